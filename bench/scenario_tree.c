#include "bench/scenario_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"

/* --- the document --- */

static bool bad_at(struct tree *t, yaml_mark_t mark, const char *message) {
    if (t->err->code != ERR_NONE)
        return false;
    return error_set(t->err, ERR_PARSE, "%s:%zu:%zu: %s", t->file, mark.line + 1, mark.column + 1, message);
}

bool tree_bad(struct tree *t, const yaml_node_t *node, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *message = arena_vprintf(t->arena, fmt, ap);
    va_end(ap);
    return bad_at(t, node->start_mark, message);
}

bool tree_load(struct tree *t, const char *text, size_t n) {
    yaml_parser_t parser;
    memset(&t->document, 0, sizeof t->document);
    if (!yaml_parser_initialize(&parser))
        die("out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    bool ok = yaml_parser_load(&parser, &t->document) != 0;
    if (!ok) {
        memset(&t->document, 0, sizeof t->document); /* libyaml has freed it */
        bad_at(t, parser.problem_mark,
               arena_printf(t->arena, "expected YAML: %s", str_or(parser.problem, "it can not be read")));
    } else if (!tree_root(t)) {
        ok = bad_at(t, parser.mark, "expected a document");
    }
    yaml_parser_delete(&parser);
    return ok;
}

void tree_done(struct tree *t) {
    yaml_document_delete(&t->document);
}

yaml_node_t *tree_root(struct tree *t) {
    return yaml_document_get_root_node(&t->document);
}

int tree_line(const yaml_node_t *node) {
    return (int)node->start_mark.line + 1;
}

static yaml_node_t *at(struct tree *t, int index) {
    return yaml_document_get_node(&t->document, index);
}

/* An alias shows a node again: what is looked at is counted, not what is written. */
static bool may_look(struct tree *t, const yaml_node_t *node) {
    return t->nodes_left-- > 0 || tree_bad(t, node, "expected a smaller file: it has too many values");
}

/* --- scalars --- */

const char *tree_scalar(const yaml_node_t *node) {
    if (node->type != YAML_SCALAR_NODE || strlen((const char *)node->data.scalar.value) != node->data.scalar.length)
        return NULL;
    return (const char *)node->data.scalar.value;
}

static bool is_plain(const yaml_node_t *node) {
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool tree_text(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    const char *text = tree_scalar(node);
    if (!text)
        return tree_bad(t, node, "expected a text for %s", k->name);
    *(const char **)out = arena_strdup(t->arena, text);
    return true;
}

bool tree_number(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    const char *text = tree_scalar(node);
    int64_t n = 0;
    if (!text || !str_to_int64(text, &n) || n < k->min || n > k->max)
        return tree_bad(t, node, "expected a number from %lld to %lld for %s", (long long)k->min, (long long)k->max,
                        k->name);
    *(int *)out = (int)n;
    return true;
}

bool tree_duration(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    const char *text = tree_scalar(node);
    int64_t ms = 0;
    if (!text || !str_to_duration_ms(text, &ms) || ms < k->min || ms > k->max)
        return tree_bad(t, node, "expected a duration from %lldms to %lldms for %s, with its unit: 500ms, 30s, 2m",
                        (long long)k->min, (long long)k->max, k->name);
    *(int64_t *)out = ms;
    return true;
}

bool tree_bool(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    const char *text = is_plain(node) ? tree_scalar(node) : NULL;
    if (!str_eq(text, "true") && !str_eq(text, "false"))
        return tree_bad(t, node, "expected true or false for %s", k->name);
    *(bool *)out = str_eq(text, "true");
    return true;
}

bool tree_word(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    const char *text = tree_scalar(node);
    struct strlist all = {0};
    for (int i = 0; k->words[i]; i++) {
        if (str_eq(text, k->words[i])) {
            *(int *)out = i;
            return true;
        }
        strlist_add(&all, k->words[i], t->arena);
    }
    return tree_bad(t, node, "expected one of %s for %s", strlist_join(&all, ", ", t->arena), k->name);
}

/* --- collections --- */

static bool is_twice(struct tree *t, yaml_node_t *node, const yaml_node_pair_t *pair) {
    const char *name = tree_scalar(at(t, pair->key));
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < pair; p++)
        if (str_eq(tree_scalar(at(t, p->key)), name))
            return true;
    return false;
}

bool tree_pairs(struct tree *t, yaml_node_t *node,
                bool (*read)(struct tree *t, yaml_node_t *key, yaml_node_t *value, void *out), void *out) {
    if (node->type != YAML_MAPPING_NODE)
        return tree_bad(t, node, "expected keys and values");
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *key = at(t, p->key);
        if (!may_look(t, key))
            return false;
        if (!tree_scalar(key))
            return tree_bad(t, key, "expected a key");
        if (is_twice(t, node, p))
            return tree_bad(t, key, "expected %s once", tree_scalar(key));
        if (!read(t, key, at(t, p->value), out))
            return false;
    }
    return true;
}

struct mapping {
    const struct tree_key *keys;
    size_t n;
    char *out;
    bool seen[32];
};

static bool read_key(struct tree *t, yaml_node_t *key, yaml_node_t *value, void *out) {
    struct mapping *m = out;
    struct strlist all = {0};
    for (size_t i = 0; i < m->n; i++) {
        const struct tree_key *k = &m->keys[i];
        if (str_eq(tree_scalar(key), k->name)) {
            m->seen[i] = true;
            return k->read(t, k, value, m->out + k->offset);
        }
        strlist_add(&all, k->name, t->arena);
    }
    return tree_bad(t, key, "expected one of %s, not %.60s", strlist_join(&all, ", ", t->arena), tree_scalar(key));
}

bool tree_mapping(struct tree *t, yaml_node_t *node, const struct tree_key *keys, size_t n, void *out) {
    struct mapping m = {.keys = keys, .n = n, .out = out};
    if (n > sizeof m.seen / sizeof *m.seen)
        die("scenario: a table of %zu keys", n);
    if (!tree_pairs(t, node, read_key, &m))
        return false;
    for (size_t i = 0; i < n; i++)
        if (keys[i].required && !m.seen[i])
            return tree_bad(t, node, "expected the key %s", keys[i].name);
    return true;
}

bool tree_list(struct tree *t, yaml_node_t *node, size_t max,
               bool (*read)(struct tree *t, yaml_node_t *item, void *out), void *out) {
    if (node->type != YAML_SEQUENCE_NODE)
        return tree_bad(t, node, "expected a list");
    if ((size_t)(node->data.sequence.items.top - node->data.sequence.items.start) > max)
        return tree_bad(t, node, "expected at most %zu items", max);
    for (const yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++)
        if (!may_look(t, at(t, *i)) || !read(t, at(t, *i), out))
            return false;
    return true;
}

/* --- JSON --- */

static json *scalar_json(struct tree *t, const yaml_node_t *node) {
    const char *text = tree_scalar(node);
    struct error ignored = {0};
    if (!text) {
        tree_bad(t, node, "expected a text without NUL");
        return NULL;
    }
    if (!is_plain(node))
        return cJSON_CreateString(text);
    if (str_empty(text) || str_eq(text, "~") || str_eq(text, "null"))
        return cJSON_CreateNull();
    if (str_eq(text, "true") || str_eq(text, "false"))
        return cJSON_CreateBool(str_eq(text, "true"));
    json *number = strchr("-0123456789", text[0]) ? json_parse(text, strlen(text), &ignored) : NULL;
    return number ? number : cJSON_CreateString(text);
}

static bool add_member(struct tree *t, yaml_node_t *key, yaml_node_t *value, void *out) {
    json *child = tree_json(t, value);
    if (!child)
        return false;
    json_add_item(out, tree_scalar(key), child);
    return true;
}

static bool add_item(struct tree *t, yaml_node_t *item, void *out) {
    json *child = tree_json(t, item);
    if (!child)
        return false;
    json_push(out, child);
    return true;
}

json *tree_json(struct tree *t, yaml_node_t *node) {
    if (!may_look(t, node))
        return NULL;
    if (node->type == YAML_SCALAR_NODE)
        return scalar_json(t, node);
    if (t->depth_left <= 0) {
        tree_bad(t, node, "expected fewer levels");
        return NULL;
    }
    t->depth_left--;
    bool is_map = node->type == YAML_MAPPING_NODE;
    json *j = is_map ? json_object() : json_new_array();
    bool ok = is_map ? tree_pairs(t, node, add_member, j) : tree_list(t, node, SIZE_MAX, add_item, j);
    t->depth_left++;
    if (!ok)
        json_free(j);
    return ok ? j : NULL;
}
