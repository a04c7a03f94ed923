#include "platform/k8s/yaml.h"

#include <string.h>
#include <yaml.h>

#include "platform/base/arena.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"
#include "platform/base/strmap.h"

#define YAML_ANCHORS_MAX 1000

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };

/* Nodes form a graph: an alias is a second pointer to the anchor's node. `open` is true while its end was not read. */
struct node {
    enum node_kind kind;
    const char *text; /* scalars */
    size_t text_bytes;
    bool is_string;      /* quoted, block, or !!str */
    struct node **items; /* mappings: key, value, key, ... */
    size_t count, capacity;
    size_t line, column; /* from 1 */
    bool open;
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    struct arena *arena;
    struct strmap *anchors;
    size_t nodes;
    struct error *err;
};

struct writer {
    struct buf out;
    size_t nodes;
    struct error *err;
};

static struct node *read_node(struct reader *r, unsigned depth);

static bool next_event(struct reader *r) {
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event) == 1) {
        return true;
    }
    return error_set(r->err, ERR_PARSE, "YAML line %zu, column %zu: %s", r->parser.problem_mark.line + 1,
                     r->parser.problem_mark.column + 1, str_or(r->parser.problem, "can not be read"));
}

static bool refuse(struct reader *r, const char *what) {
    return error_set(r->err, ERR_PARSE, "YAML line %zu, column %zu: %s", r->event.start_mark.line + 1,
                     r->event.start_mark.column + 1, what);
}

static struct node *node_new(struct reader *r, enum node_kind kind, const yaml_char_t *anchor) {
    if (++r->nodes > YAML_NODES_MAX) {
        (void)error_set(r->err, ERR_TOO_LARGE, "YAML has more than %d nodes", YAML_NODES_MAX);
        return NULL;
    }
    struct node *n = ARENA_NEW(r->arena, struct node);
    n->kind = kind;
    n->line = r->event.start_mark.line + 1;
    n->column = r->event.start_mark.column + 1;
    if (anchor != NULL && !strmap_set(r->anchors, (const char *)anchor, n)) {
        (void)error_set(r->err, ERR_TOO_LARGE, "YAML has more than %d anchors", YAML_ANCHORS_MAX);
        return NULL;
    }
    return n;
}

static void node_push(struct reader *r, struct node *parent, struct node *child) {
    if (parent->count == parent->capacity) {
        size_t capacity = parent->capacity == 0 ? 4 : parent->capacity * 2;
        struct node **items = ARENA_ARRAY(r->arena, capacity, struct node *);
        if (parent->count > 0) {
            memcpy(items, parent->items, parent->count * sizeof(struct node *));
        }
        parent->items = items;
        parent->capacity = capacity;
    }
    parent->items[parent->count++] = child;
}

/* Only the tags of JSON's own types are known; anything else would be an instruction to a program that we are not. */
static bool tag_is_known(const yaml_char_t *tag, const char *plain_tag) {
    return tag == NULL || str_eq((const char *)tag, plain_tag) || str_eq((const char *)tag, "!");
}

static struct node *read_scalar(struct reader *r) {
    const char *tag = (const char *)r->event.data.scalar.tag;
    bool str_tag = str_eq(tag, YAML_STR_TAG) || str_eq(tag, "!");
    bool json_tag = str_eq(tag, YAML_NULL_TAG) || str_eq(tag, YAML_BOOL_TAG) || str_eq(tag, YAML_INT_TAG) ||
                    str_eq(tag, YAML_FLOAT_TAG);
    if (tag != NULL && !str_tag && !json_tag) {
        (void)refuse(r, "this tag is not supported");
        return NULL;
    }
    struct node *n = node_new(r, NODE_SCALAR, r->event.data.scalar.anchor);
    if (n == NULL) {
        return NULL;
    }
    n->is_string = str_tag || (r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE && !json_tag);
    n->text_bytes = r->event.data.scalar.length;
    n->text = arena_strndup(r->arena, (const char *)r->event.data.scalar.value, n->text_bytes);
    return n;
}

static struct node *read_alias(struct reader *r) {
    struct node *n = strmap_get(r->anchors, (const char *)r->event.data.alias.anchor);
    if (n == NULL) {
        (void)refuse(r, "this alias has no anchor before it");
        return NULL;
    }
    if (n->open) {
        (void)refuse(r, "this alias stands inside its own anchor");
        return NULL;
    }
    return n;
}

static struct node *read_sequence(struct reader *r, unsigned depth) {
    if (!tag_is_known(r->event.data.sequence_start.tag, YAML_SEQ_TAG)) {
        (void)refuse(r, "this tag is not supported");
        return NULL;
    }
    struct node *n = node_new(r, NODE_SEQUENCE, r->event.data.sequence_start.anchor);
    if (n == NULL) {
        return NULL;
    }
    n->open = true;
    for (;;) {
        if (!next_event(r)) {
            return NULL;
        }
        if (r->event.type == YAML_SEQUENCE_END_EVENT) {
            n->open = false;
            return n;
        }
        struct node *child = read_node(r, depth + 1);
        if (child == NULL) {
            return NULL;
        }
        node_push(r, n, child);
    }
}

static bool read_pair(struct reader *r, struct node *map, struct strmap *seen, unsigned depth) {
    struct node *key = read_node(r, depth + 1);
    if (key == NULL) {
        return false;
    }
    if (key->kind != NODE_SCALAR) {
        return refuse(r, "a key must be a plain word or a string");
    }
    if (!key->is_string && str_eq(key->text, "<<")) {
        return refuse(r, "merge keys (<<) are not supported; write the fields out");
    }
    if (strmap_get(seen, key->text) != NULL) {
        return error_set(r->err, ERR_PARSE, "YAML line %zu, column %zu: the key \"%s\" is here a second time",
                         key->line, key->column, key->text);
    }
    (void)strmap_set(seen, key->text, key);
    if (!next_event(r)) {
        return false;
    }
    struct node *value = read_node(r, depth + 1);
    if (value == NULL) {
        return false;
    }
    node_push(r, map, key);
    node_push(r, map, value);
    return true;
}

static struct node *read_mapping(struct reader *r, unsigned depth) {
    if (!tag_is_known(r->event.data.mapping_start.tag, YAML_MAP_TAG)) {
        (void)refuse(r, "this tag is not supported");
        return NULL;
    }
    struct node *n = node_new(r, NODE_MAPPING, r->event.data.mapping_start.anchor);
    if (n == NULL) {
        return NULL;
    }
    n->open = true;
    struct strmap *seen = strmap_new(YAML_NODES_MAX, NULL);
    bool ok = next_event(r);
    while (ok && r->event.type != YAML_MAPPING_END_EVENT) {
        ok = read_pair(r, n, seen, depth) && next_event(r);
    }
    strmap_free(seen);
    n->open = false;
    return ok ? n : NULL;
}

/* The node that the current event begins. */
static struct node *read_node(struct reader *r, unsigned depth) {
    if (depth > YAML_DEPTH_MAX) {
        (void)error_set(r->err, ERR_TOO_LARGE, "YAML is nested deeper than %d levels", YAML_DEPTH_MAX);
        return NULL;
    }
    switch ((int)r->event.type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(r);
    case YAML_ALIAS_EVENT:
        return read_alias(r);
    case YAML_SEQUENCE_START_EVENT:
        return read_sequence(r, depth);
    case YAML_MAPPING_START_EVENT:
        return read_mapping(r, depth);
    default:
        (void)refuse(r, "a value is missing");
        return NULL;
    }
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? : what JSON calls a number. */
static bool is_json_number(const char *s) {
    s += *s == '-' ? 1 : 0;
    size_t digits = strspn(s, "0123456789");
    if (digits == 0 || (digits > 1 && s[0] == '0')) {
        return false;
    }
    s += digits;
    if (*s == '.') {
        digits = strspn(s + 1, "0123456789");
        if (digits == 0) {
            return false;
        }
        s += digits + 1;
    }
    if (*s == 'e' || *s == 'E') {
        s += 1;
        s += *s == '+' || *s == '-' ? 1 : 0;
        digits = strspn(s, "0123456789");
        if (digits == 0) {
            return false;
        }
        s += digits;
    }
    return *s == '\0';
}

/* The JSON spelling of a plain scalar, or NULL: it is a string. */
static const char *plain_literal(const struct node *n) {
    static const char *const literals[][2] = {
        {"", "null"},     {"~", "null"},    {"null", "null"},   {"Null", "null"},   {"NULL", "null"},  {"true", "true"},
        {"True", "true"}, {"TRUE", "true"}, {"false", "false"}, {"False", "false"}, {"FALSE", "false"}};
    if (n->is_string || strlen(n->text) != n->text_bytes) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof literals / sizeof literals[0]; i++) {
        if (str_eq(n->text, literals[i][0])) {
            return literals[i][1];
        }
    }
    return is_json_number(n->text) ? n->text : NULL;
}

static void write_string(struct buf *b, const char *s, size_t n) {
    (void)buf_putc(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') {
            (void)buf_putc(b, '\\');
            (void)buf_putc(b, (char)c);
        } else if (c < 0x20) {
            (void)buf_printf(b, "\\u%04x", c); /* NUL becomes an escape that json_parse refuses */
        } else {
            (void)buf_putc(b, (char)c);
        }
    }
    (void)buf_putc(b, '"');
}

static bool write_node(struct writer *w, const struct node *n, unsigned depth) {
    if (++w->nodes > YAML_NODES_MAX) {
        return error_set(w->err, ERR_TOO_LARGE, "YAML has more than %d nodes once its aliases are expanded",
                         YAML_NODES_MAX);
    }
    if (depth > YAML_DEPTH_MAX) {
        return error_set(w->err, ERR_TOO_LARGE, "YAML is nested deeper than %d levels", YAML_DEPTH_MAX);
    }
    if (n->kind == NODE_SCALAR) {
        const char *literal = plain_literal(n);
        if (literal != NULL) {
            (void)buf_puts(&w->out, literal);
        } else {
            write_string(&w->out, n->text, n->text_bytes);
        }
    } else {
        bool map = n->kind == NODE_MAPPING;
        (void)buf_putc(&w->out, map ? '{' : '[');
        for (size_t i = 0; i < n->count; i++) {
            if (i > 0) {
                (void)buf_putc(&w->out, map && i % 2 == 1 ? ':' : ',');
            }
            if (map && i % 2 == 0) {
                write_string(&w->out, n->items[i]->text, n->items[i]->text_bytes);
            } else if (!write_node(w, n->items[i], depth + 1)) {
                return false;
            }
        }
        (void)buf_putc(&w->out, map ? '}' : ']');
    }
    if (w->out.overflow) {
        return error_set(w->err, ERR_TOO_LARGE, "YAML is larger than %zu bytes once its aliases are expanded",
                         YAML_JSON_MAX);
    }
    return true;
}

/* Writes the document that has begun. Anchors end with their document. */
static bool convert_document(struct reader *r, struct writer *w) {
    r->anchors = strmap_new(YAML_ANCHORS_MAX, NULL);
    struct node *root = next_event(r) ? read_node(r, 1) : NULL;
    strmap_free(r->anchors);
    return root != NULL && write_node(w, root, 1) && next_event(r); /* the document's end */
}

static bool is_empty_document(const struct writer *w, size_t begin) {
    return str_eq(buf_str(&w->out) + begin, "null");
}

/* Writes all documents as one JSON array; empty ones are left out. */
static bool convert_stream(struct reader *r, struct writer *w) {
    size_t documents = 0;
    if (!next_event(r) || !buf_putc(&w->out, '[')) { /* the stream's start */
        return false;
    }
    for (;;) {
        if (!next_event(r)) {
            return false;
        }
        if (r->event.type == YAML_STREAM_END_EVENT) {
            return buf_putc(&w->out, ']') ||
                   error_set(r->err, ERR_TOO_LARGE, "YAML is larger than %zu bytes as JSON", YAML_JSON_MAX);
        }
        if (++documents > YAML_DOCUMENTS_MAX) {
            return error_set(r->err, ERR_TOO_LARGE, "YAML has more than %d documents", YAML_DOCUMENTS_MAX);
        }
        size_t before = w->out.n;
        if (before > 1) {
            (void)buf_putc(&w->out, ',');
        }
        size_t begin = w->out.n;
        if (!convert_document(r, w)) {
            return false;
        }
        if (is_empty_document(w, begin)) {
            w->out.n = before;
            w->out.p[before] = '\0';
        }
    }
}

json *yaml_parse_all(const char *text, size_t len, struct error *err) {
    struct reader r = {.err = err};
    struct writer w = {.err = err};
    json *out = NULL;

    if (len > YAML_TEXT_MAX) {
        (void)error_set(err, ERR_TOO_LARGE, "YAML is larger than %zu bytes", YAML_TEXT_MAX);
        return NULL;
    }
    if (yaml_parser_initialize(&r.parser) != 1) {
        die("out of memory");
    }
    r.arena = arena_new(0);
    buf_init(&w.out, YAML_JSON_MAX);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    if (convert_stream(&r, &w)) {
        out = json_parse(buf_str(&w.out), w.out.n, err);
        if (out == NULL) {
            (void)error_wrap(err, "YAML");
        }
    }
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    arena_free(r.arena);
    buf_done_secret(&w.out); /* kubeconfigs hold keys */
    return out;
}

json *yaml_parse(const char *text, size_t len, struct error *err) {
    json *all = yaml_parse_all(text, len, err);
    if (all == NULL) {
        return NULL;
    }
    json *one = NULL;
    if (json_array_size(all) <= 1) {
        const json *first = json_first(all);
        one = first != NULL ? json_dup(first) : cJSON_CreateNull();
    } else {
        (void)error_set(err, ERR_PARSE, "YAML has %zu documents where one is expected", json_array_size(all));
    }
    json_free(all);
    return one;
}
