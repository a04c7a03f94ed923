/* aws_xml.c - values as the XML of IAM, STS and EC2. */
#include "simulator/aws_xml.h"

#include <string.h>

#include "platform/base/arena.h"
#include "platform/base/str.h"

#define IAM_NAMESPACE "https://iam.amazonaws.com/doc/2010-05-08/"
#define STS_NAMESPACE "https://sts.amazonaws.com/doc/2011-06-15/"
#define EC2_NAMESPACE "http://ec2.amazonaws.com/doc/2016-11-15/"

static void put_text(struct buf *b, const char *s) {
    for (const char *p = s; *p != '\0'; p++) {
        unsigned char ch = (unsigned char)*p;
        if (ch == '<') {
            (void)buf_puts(b, "&lt;");
        } else if (ch == '>') {
            (void)buf_puts(b, "&gt;");
        } else if (ch == '&') {
            (void)buf_puts(b, "&amp;");
        } else if (ch == '\r') {
            (void)buf_puts(b, "&#xD;");
        } else if (ch < ' ' && ch != '\t' && ch != '\n') {
            (void)buf_putc(b, '?');
        } else {
            (void)buf_putc(b, *p);
        }
    }
}

static bool is_document(const char *name) {
    return str_eq(name, "AssumeRolePolicyDocument") || str_eq(name, "PolicyDocument") || str_eq(name, "Document");
}

static void put_document(struct buf *b, const char *text) {
    struct arena *a = arena_new(strlen(text) * 4);
    (void)buf_puts(b, str_percent_encode(text, "", a));
    arena_free(a);
}

static void put_members(struct buf *b, const json *value, const char *item);

static void put_tag(struct buf *b, const char *open, const char *name, const char *close) {
    (void)buf_puts(b, open);
    (void)buf_puts(b, name);
    (void)buf_puts(b, close);
}

static void put_element(struct buf *b, const char *name, const json *value, const char *item) {
    if (value->child == NULL && !json_is_string(value)) {
        put_tag(b, "<", name, "/>");
        return;
    }
    put_tag(b, "<", name, ">");
    if (!json_is_string(value)) {
        put_members(b, value, item);
    } else if (is_document(name)) {
        put_document(b, value->valuestring);
    } else {
        put_text(b, value->valuestring);
    }
    put_tag(b, "</", name, ">");
}

static void put_members(struct buf *b, const json *value, const char *item) {
    for (const json *it = json_first(value); it != NULL; it = it->next) {
        put_element(b, json_is_array(value) ? item : it->string, it, item);
    }
}

static const char *namespace_of(const char *service) {
    return str_eq(service, "sts") ? STS_NAMESPACE : IAM_NAMESPACE;
}

void aws_xml_answer(struct buf *b, const char *service, const char *action, const json *value, const char *request_id) {
    if (str_eq(service, "ec2")) {
        (void)buf_printf(
            b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%sResponse xmlns=\"%s\"><requestId>%s</requestId>", action,
            EC2_NAMESPACE, request_id);
        put_members(b, value, "item");
        (void)buf_printf(b, "</%sResponse>", action);
        return;
    }
    (void)buf_printf(b, "<%sResponse xmlns=\"%s\">", action, namespace_of(service));
    if (value != NULL) {
        struct arena *a = arena_new(0);
        put_element(b, arena_printf(a, "%sResult", action), value, "member");
        arena_free(a);
    }
    (void)buf_printf(b, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>", request_id,
                     action);
}

void aws_xml_error(struct buf *b, const char *service, int status, const char *code, const char *message,
                   const char *request_id) {
    if (str_eq(service, "ec2")) {
        (void)buf_puts(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>");
        put_text(b, code);
        (void)buf_puts(b, "</Code><Message>");
        put_text(b, message);
        (void)buf_printf(b, "</Message></Error></Errors><RequestID>%s</RequestID></Response>", request_id);
        return;
    }
    (void)buf_printf(b, "<ErrorResponse xmlns=\"%s\"><Error><Type>%s</Type><Code>", namespace_of(service),
                     status < 500 ? "Sender" : "Receiver");
    put_text(b, code);
    (void)buf_puts(b, "</Code><Message>");
    put_text(b, message);
    (void)buf_printf(b, "</Message></Error><RequestId>%s</RequestId></ErrorResponse>", request_id);
}
