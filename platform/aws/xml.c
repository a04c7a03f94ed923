#include "platform/aws/xml.h"

#include <expat.h>
#include <string.h>

#include "platform/base/arena.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"

struct frame {
    json *object, *array; /* at most one of them, once a child was seen */
    size_t members;
};

struct reader {
    XML_Parser parser;
    struct frame stack[XML_DEPTH_MAX];
    int depth;
    size_t nodes;
    struct buf text;
    char *root;
    json *result;
    struct error *err;
    bool failed;
};

static void stop(struct reader *r, enum err_code code, const char *why) {
    if (!r->failed)
        error_set(r->err, code, "XML: %s", why);
    r->failed = true;
    XML_StopParser(r->parser, XML_FALSE);
}

static const char *local_name(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

static void on_start(void *arg, const char *name, const char **attributes) {
    struct reader *r = arg;
    (void)attributes;
    if (r->depth >= XML_DEPTH_MAX)
        stop(r, ERR_TOO_LARGE, "too deep");
    else if (++r->nodes > XML_NODES_MAX)
        stop(r, ERR_TOO_LARGE, "too many elements");
    if (r->failed)
        return;
    if (r->depth == 0)
        str_copy(r->root, 128, local_name(name));
    r->stack[r->depth++] = (struct frame){NULL, NULL, 0};
    buf_reset(&r->text);
}

static bool is_document(const char *name) {
    return str_eq(name, "AssumeRolePolicyDocument") || str_eq(name, "PolicyDocument") || str_eq(name, "Document");
}

static json *text_value(struct reader *r, const char *name) {
    const char *text = buf_str(&r->text);
    if (!is_document(name))
        return cJSON_CreateString(text);
    while (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t')
        text++;
    if (*text == '{')
        return cJSON_CreateString(text);
    struct arena *a = arena_new(0);
    const char *decoded = str_percent_decode(text, a); /* RFC 3986: '+' stays */
    json *value = cJSON_CreateString(decoded ? decoded : text);
    arena_free(a);
    return value;
}

static void put(struct reader *r, const char *name, json *value) {
    struct frame *parent = &r->stack[r->depth - 1];
    bool listed = str_eq(name, "member") || str_eq(name, "item");
    if (listed && !parent->object) {
        if (!parent->array)
            parent->array = json_new_array();
        json_push(parent->array, value);
    } else if (!parent->array) {
        if (!parent->object)
            parent->object = json_object();
        if (++parent->members > XML_MEMBERS_MAX) /* looking for each in all the others would take for ever */
            stop(r, ERR_TOO_LARGE, "too many members");
        json_add_item(parent->object, name, value);
    } else {
        json_free(value); /* a stray element beside list members */
    }
}

static void on_end(void *arg, const char *name) {
    struct reader *r = arg;
    if (r->failed || r->depth == 0)
        return;
    struct frame f = r->stack[--r->depth];
    json *value = f.array ? f.array : (f.object ? f.object : text_value(r, local_name(name)));
    buf_reset(&r->text);
    if (r->depth == 0)
        r->result = value;
    else
        put(r, local_name(name), value);
}

static void on_text(void *arg, const char *p, int n) {
    struct reader *r = arg;
    if (!buf_append(&r->text, p, (size_t)n))
        stop(r, ERR_TOO_LARGE, "a text is too long");
}

static void on_doctype(void *arg, const char *name, const char *system, const char *public, int has_internal) {
    (void)name;
    (void)system;
    (void)public;
    (void)has_internal;
    stop(arg, ERR_PARSE, "a document type is refused");
}

json *xml_to_json(const char *text, size_t n, char root[128], struct error *err) {
    struct reader r = {.root = root, .err = err};
    root[0] = '\0';
    error_clear(err);
    if (n > INT32_MAX)
        return error_set(err, ERR_TOO_LARGE, "XML: larger than 2 GiB"), NULL;
    r.parser = XML_ParserCreate(NULL);
    if (!r.parser)
        die("out of memory");
    buf_init(&r.text, XML_TEXT_MAX);
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    if (XML_Parse(r.parser, text, (int)n, 1) != XML_STATUS_OK && !r.failed) {
        r.failed = true;
        error_set(err, ERR_PARSE, "XML: %s at line %lu", XML_ErrorString(XML_GetErrorCode(r.parser)),
                  XML_GetCurrentLineNumber(r.parser));
    }
    XML_ParserFree(r.parser);
    buf_done(&r.text);
    while (r.depth > 0) {
        struct frame f = r.stack[--r.depth];
        json_free(f.object);
        json_free(f.array);
    }
    if (!r.failed)
        return r.result;
    json_free(r.result);
    return NULL;
}
