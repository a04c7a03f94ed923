/* kube_status.c - Status objects: what the API server says when it refuses, and how any answer is handed out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"

static json *status_of(int code, const char *reason, const char *message) {
    json *s = json_object();
    json_add_str(s, "kind", "Status");
    json_add_str(s, "apiVersion", "v1");
    (void)json_add_object(s, "metadata");
    json_add_str(s, "status", "Failure");
    json_add_str(s, "message", message);
    json_add_str(s, "reason", reason);
    json_add_int64(s, "code", code);
    return s;
}

__attribute__((format(printf, 2, 0))) static const char *vformat(struct buf *b, const char *fmt, va_list ap) {
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0) {
        die("out of memory");
    }
    size_t n = strlen(text);
    for (n = n < KUBE_MESSAGE_MAX ? n : KUBE_MESSAGE_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--) {
    } /* never through the middle of a character */
    (void)buf_append(b, text, n);
    free(text);
    return buf_str(b);
}

json *kube_status(int code, const char *reason, const char *fmt, ...) {
    struct buf b;
    va_list ap;
    buf_init(&b, KUBE_MESSAGE_MAX + 1);
    va_start(ap, fmt);
    json *s = status_of(code, reason, vformat(&b, fmt, ap));
    va_end(ap);
    buf_done(&b);
    return s;
}

static json *add_details(json *status, const struct kube_resource *r, const char *name) {
    json *d = json_add_object(status, "details");
    json_add_str(d, "name", name);
    if (r != NULL) {
        json_add_str(d, "group", str_empty(r->group) ? NULL : r->group);
        json_add_str(d, "kind", r->plural);
    }
    return d;
}

json *kube_status_for(const struct kube_resource *r, const char *name, int code, const char *reason, const char *fmt,
                      ...) {
    struct buf b;
    va_list ap;
    buf_init(&b, KUBE_MESSAGE_MAX + 1);
    va_start(ap, fmt);
    json *s = status_of(code, reason, vformat(&b, fmt, ap));
    va_end(ap);
    buf_done(&b);
    (void)add_details(s, r, name);
    return s;
}

json *kube_not_found(const struct kube_resource *r, const char *name) {
    struct arena *a = arena_new(0);
    json *s = kube_status_for(r, name, 404, "NotFound", "%s \"%s\" not found", kube_qualified(r, a), str_or(name, ""));
    arena_free(a);
    return s;
}

/* ---- causes ---- */

static void add_cause(struct kube_causes *c, const char *field, const char *reason, const char *message) {
    if (c->n >= KUBE_CAUSES_MAX) {
        return;
    }
    if (c->n++ == 0) {
        c->list = json_new_array();
        buf_init(&c->text, KUBE_MESSAGE_MAX);
    } else {
        (void)buf_puts(&c->text, ", ");
    }
    json *one = json_object();
    json_add_str(one, "reason", reason);
    json_add_str(one, "message", message);
    json_add_str(one, "field", field);
    json_push(c->list, one);
    (void)buf_printf(&c->text, "%s: %s", field, message);
}

void kube_cause(struct kube_causes *c, const char *field, const char *reason, const char *fmt, ...) {
    struct buf b;
    va_list ap;
    buf_init(&b, KUBE_MESSAGE_MAX + 1);
    va_start(ap, fmt);
    add_cause(c, field, reason, vformat(&b, fmt, ap));
    va_end(ap);
    buf_done(&b);
}

json *kube_causes_status(struct kube_causes *c, const struct kube_resource *r, const char *name) {
    if (c->n == 0) {
        return NULL;
    }
    const char *open = c->n > 1 ? "[" : "";
    const char *close = c->n > 1 ? "]" : "";
    const char *dot = str_empty(r->group) ? "" : ".";
    json *s = kube_status(422, "Invalid", "%s%s%s \"%s\" is invalid: %s%s%s", r->kind, dot, r->group, str_or(name, ""),
                          open, buf_str(&c->text), close);
    json *d = add_details(s, r, name);
    json_add_str(d, "kind", r->kind);
    json_add_item(d, "causes", c->list);
    buf_done(&c->text);
    *c = (struct kube_causes){0};
    return s;
}

void kube_causes_drop(struct kube_causes *c) {
    if (c->n > 0) {
        json_free(c->list);
        buf_done(&c->text);
    }
    *c = (struct kube_causes){0};
}

json *kube_invalid_one(const struct kube_resource *r, const char *name, const char *field, const char *reason,
                       const char *fmt, ...) {
    struct kube_causes c = {0};
    struct buf b;
    va_list ap;
    buf_init(&b, KUBE_MESSAGE_MAX + 1);
    va_start(ap, fmt);
    add_cause(&c, field, reason, vformat(&b, fmt, ap));
    va_end(ap);
    buf_done(&b);
    return kube_causes_status(&c, r, name);
}

/* ---- answers ---- */

void kube_answer_json(struct sim_http_answer *out, int status, json *body_take) {
    *out = (struct sim_http_answer){.status = status, .content_type = "application/json"};
    out->body = json_print(body_take);
    out->body_len = strlen(out->body);
    json_free(body_take);
}

void kube_answer_status(struct sim_http_answer *out, json *status_take) {
    int code = (int)json_int64_or(status_take, "code", 500);
    int retry = (int)json_int64_or(status_take, "details.retryAfterSeconds", 0);
    kube_answer_json(out, code, status_take);
    out->retry_after_s = retry;
}

void kube_answer_text(struct sim_http_answer *out, int status, const char *text) {
    *out = (struct sim_http_answer){.status = status, .content_type = "text/plain; charset=utf-8"};
    out->body = strdup(text);
    if (out->body == NULL) {
        die("out of memory");
    }
    out->body_len = strlen(text);
}
