/* snapshot.c - reading a snapshot: all of it or nothing, and where it is wrong. */
#include "simulator/snapshot.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulator/snapshot_internal.h"

#define NUMBER_MAX 9007199254740992.0 /* 2^53 */

struct snapshot {
    struct arena *arena;
    const char *file, *text;
    json *root;
};

/* --- where a node stands in the text --- */

struct cursor {
    const char *at;
    size_t line;
    const json *wanted;
    char path[256];
};

static void skip_space(struct cursor *c) {
    for (; *c->at && strchr(" \t\r\n:,", *c->at); c->at++)
        c->line += *c->at == '\n';
}

static void skip_string(struct cursor *c) {
    for (c->at++; *c->at && *c->at != '"'; c->at++)
        if (*c->at == '\\' && c->at[1])
            c->at++;
    c->at += *c->at != '\0';
}

static bool find(struct cursor *c, const json *node, size_t path_n);

static bool find_in(struct cursor *c, const json *node, size_t path_n) {
    bool is_object = json_is_object(node);
    int i = 0;
    c->at++; /* the bracket */
    for (const json *it = node->child; it; it = it->next, i++) {
        size_t room = sizeof c->path - path_n;
        int n = is_object ? snprintf(c->path + path_n, room, "%s%.80s", path_n ? "." : "", it->string)
                          : snprintf(c->path + path_n, room, "[%d]", i);
        skip_space(c);
        if (is_object)
            skip_string(c);
        if (find(c, it, (size_t)n < room ? path_n + (size_t)n : path_n))
            return true;
    }
    c->path[path_n] = '\0';
    skip_space(c);
    c->at += *c->at != '\0';
    return false;
}

/* Text and tree go side by side: the tree was made from this text, and keys are unique. */
static bool find(struct cursor *c, const json *node, size_t path_n) {
    skip_space(c);
    if (node == c->wanted)
        return true;
    if (*c->at == '{' || *c->at == '[')
        return find_in(c, node, path_n);
    if (*c->at == '"')
        skip_string(c);
    else
        c->at += strcspn(c->at, " \t\r\n,]}");
    return false;
}

bool snapshot_refuse(const struct snapshot *s, const json *node, struct error *err, const char *fmt, ...) {
    struct cursor c = {.at = s->text, .line = 1, .wanted = node};
    char sentence[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    find(&c, s->root, 0);
    return error_set(err, ERR_PARSE, "%.100s:%zu: %s%s%s", s->file, c.line, c.path, c.path[0] ? ": " : "", sentence);
}

/* --- the shape --- */

static const char *const expected[] = {[SHAPE_TEXT] = "a text",
                                       [SHAPE_NUMBER] = "a whole number",
                                       [SHAPE_SWITCH] = "true or false",
                                       [SHAPE_COUNT] = "a number or a text such as \"10%\"",
                                       [SHAPE_OBJECT] = "an object",
                                       [SHAPE_LIST] = "a list of objects",
                                       [SHAPE_TEXTS] = "a list of texts",
                                       [SHAPE_MAP] = "an object of texts",
                                       [SHAPE_VARIABLES] = "a list of objects with a name",
                                       [SHAPE_TREE] = "an object"};

static bool check_members(const struct snapshot *s, const json *object, const struct shape *members, struct error *err);

static bool is_number(const json *node) {
    return cJSON_IsRaw(node) || (cJSON_IsNumber(node) && node->valuedouble >= -NUMBER_MAX &&
                                 node->valuedouble <= NUMBER_MAX && node->valuedouble == floor(node->valuedouble));
}

static bool check_texts(const struct snapshot *s, const json *node, struct error *err) {
    for (const json *it = json_first(node); it; it = it->next)
        if (!json_is_string(it))
            return snapshot_refuse(s, it, err, "expected a text");
    return true;
}

static bool check_list(const struct snapshot *s, const json *node, const struct shape *m, struct error *err) {
    if (json_array_size(node) > SNAPSHOT_LIST_MAX)
        return snapshot_refuse(s, node, err, "expected at most %d members", SNAPSHOT_LIST_MAX);
    for (const json *it = json_first(node); it; it = it->next) {
        if (!json_is_object(it))
            return snapshot_refuse(s, it, err, "expected an object");
        if (m->type == SHAPE_LIST && !check_members(s, it, m->members, err))
            return false;
        if (m->type == SHAPE_VARIABLES && !json_key_str(it, "name"))
            return snapshot_refuse(s, it, err, "expected an object with a name");
    }
    return true;
}

static bool has_type(const json *node, enum shape_type type) {
    switch (type) {
    case SHAPE_TEXT:
        return json_is_string(node);
    case SHAPE_NUMBER:
        return !json_is_string(node) && is_number(node);
    case SHAPE_SWITCH:
        return cJSON_IsBool(node);
    case SHAPE_COUNT:
        return json_is_string(node) || is_number(node);
    case SHAPE_OBJECT:
    case SHAPE_MAP:
    case SHAPE_TREE:
        return json_is_object(node);
    case SHAPE_LIST:
    case SHAPE_TEXTS:
    case SHAPE_VARIABLES:
        return json_is_array(node);
    }
    return false;
}

static bool check_node(const struct snapshot *s, const json *node, const struct shape *m, struct error *err) {
    if (!has_type(node, m->type))
        return snapshot_refuse(s, node, err, "expected %s", expected[m->type]);
    if (m->type == SHAPE_OBJECT)
        return check_members(s, node, m->members, err);
    if (m->type == SHAPE_LIST || m->type == SHAPE_VARIABLES)
        return check_list(s, node, m, err);
    return (m->type != SHAPE_TEXTS && m->type != SHAPE_MAP) || check_texts(s, node, err);
}

static const struct shape *shape_named(const struct shape *members, const char *key) {
    for (; members->key; members++)
        if (str_eq(members->key, key))
            return members;
    return NULL;
}

static bool check_members(const struct snapshot *s, const json *object, const struct shape *members,
                          struct error *err) {
    for (const json *it = json_first(object); it; it = it->next) {
        const struct shape *m = shape_named(members, it->string);
        if (!m)
            return snapshot_refuse(s, it, err, "expected no such field");
        if (!check_node(s, it, m, err))
            return false;
    }
    for (const struct shape *m = members; m->key; m++)
        if (m->required && !json_get(object, m->key))
            return snapshot_refuse(s, object, err, "expected a field \"%s\", %s", m->key, expected[m->type]);
    return true;
}

static bool check_kind(const struct snapshot *s, struct error *err) {
    const json *kind = json_get(s->root, "kind"), *version = json_get(s->root, "version");
    if (!json_is_object(s->root) || !str_eq(json_str(s->root, "kind"), SNAPSHOT_KIND))
        return snapshot_refuse(s, kind ? kind : s->root, err,
                               "expected kind \"" SNAPSHOT_KIND "\": a file that `cni-iam snapshot` wrote");
    if (json_int64_or(s->root, "version", 0) != SNAPSHOT_VERSION)
        return snapshot_refuse(s, version ? version : s->root, err, "expected version %d; take the snapshot again",
                               SNAPSHOT_VERSION);
    return true;
}

/* --- life --- */

/* The parser tells the byte; people look for lines. */
static void tell_line(const struct snapshot *s, size_t len, struct error *err) {
    const char *mark = " at byte ";
    char *at = strstr(err->message, mark);
    int64_t offset = 0;
    size_t line = 1;
    char why[ERROR_MESSAGE_MAX];
    if (!at || !str_to_int64(at + strlen(mark), &offset))
        offset = 0;
    for (size_t i = 0; i < (size_t)offset && i < len; i++)
        line += s->text[i] == '\n';
    snprintf(why, sizeof why, "%.*s", at ? (int)(at - err->message) : 300, err->message);
    error_set(err, err->code, "%.100s:%zu: expected JSON: %s", s->file, line, why);
}

struct snapshot *snapshot_parse(const char *file, const char *text, size_t len, struct error *err) {
    if (len > SNAPSHOT_TEXT_MAX)
        return error_set(err, ERR_TOO_LARGE, "%.100s:1: expected at most %zu bytes", file, SNAPSHOT_TEXT_MAX), NULL;
    struct arena *a = arena_new(0);
    struct snapshot *s = ARENA_NEW(a, struct snapshot);
    *s = (struct snapshot){.arena = a, .file = arena_strdup(a, file), .text = arena_strndup(a, text, len)};
    s->root = json_parse(s->text, len, err);
    if (!s->root)
        tell_line(s, len, err);
    if (s->root && check_kind(s, err) && check_members(s, s->root, snapshot_shape, err))
        return s;
    snapshot_free(s);
    return NULL;
}

void snapshot_free(struct snapshot *s) {
    if (!s)
        return;
    json_free(s->root);
    arena_free(s->arena);
}

const json *snapshot_root(const struct snapshot *s) {
    return s->root;
}
