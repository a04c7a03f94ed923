/* snapshot_copy.c - the named fields of a tree, and nothing else. */
#include <string.h>

#include "simulator/snapshot_internal.h"

static bool is_named(const char *const *keys, const char *key) {
    if (!keys)
        return true;
    for (; *keys; keys++) {
        size_t n = strlen(*keys);
        if (str_eq(*keys, key) || ((*keys)[n - 1] == '*' && strncmp(*keys, key, n - 1) == 0))
            return true;
    }
    return false;
}

static json *copy_map(const json *map, const char *const *keys) {
    json *out = json_object();
    for (const json *it = json_first(map); it; it = it->next)
        if (json_is_string(it) && is_named(keys, it->string))
            json_add_str(out, it->string, it->valuestring);
    return out;
}

/* Whether there is a value, and whether the kubelet would put another in its place, is all that matters of the others. */
static json *copy_variable(const json *variable, const char *const *keys) {
    json *out = json_object();
    const char *name = json_key_str(variable, "name"), *value = json_key_str(variable, "value");
    json_add_str(out, "name", str_or(name, ""));
    if (json_get(variable, "valueFrom"))
        json_add_object(out, "valueFrom");
    if (value && strstr(value, "$("))
        value = "$(LEFT_OUT)";
    else if (!str_empty(value) && !is_named(keys, str_or(name, "")))
        value = SNAPSHOT_LEFT_OUT;
    json_add_str(out, "value", value);
    return out;
}

static json *copy_members(const json *object, const struct shape *members) {
    json *out = json_object();
    for (const struct shape *m = members; m->key; m++) {
        const json *from = json_get(object, m->key);
        json *list = NULL;
        if (!from || cJSON_IsNull(from))
            continue;
        switch (m->type) {
        case SHAPE_OBJECT:
            json_add_item(out, m->key, copy_members(from, m->members));
            break;
        case SHAPE_MAP:
            json_add_item(out, m->key, copy_map(from, m->keys));
            break;
        case SHAPE_LIST:
        case SHAPE_VARIABLES:
            list = json_add_array(out, m->key);
            for (const json *it = json_first(from); it; it = it->next)
                json_push(list, m->type == SHAPE_LIST ? copy_members(it, m->members) : copy_variable(it, m->keys));
            break;
        case SHAPE_TEXT:
        case SHAPE_NUMBER:
        case SHAPE_SWITCH:
        case SHAPE_COUNT:
        case SHAPE_TEXTS:
        case SHAPE_TREE:
            json_add_item(out, m->key, json_dup(from));
            break;
        }
    }
    return out;
}

json *snapshot_copy(const json *tree) {
    return copy_members(tree, snapshot_shape);
}

/* --- text --- */

static void put(const json *node, int level, struct buf *out);

static void put_scalar(const json *node, struct buf *out) {
    struct arena *a = arena_new(0);
    buf_puts(out, json_print_arena(node, a));
    arena_free(a);
}

static void put_key(const char *key, struct buf *out) {
    json *list = json_new_array();
    json_push_str(list, key);
    put_scalar(list->child, out);
    json_free(list);
    buf_puts(out, ": ");
}

static void put(const json *node, int level, struct buf *out) {
    bool is_object = json_is_object(node);
    if ((!is_object && !json_is_array(node)) || !node->child) {
        put_scalar(node, out);
        return;
    }
    buf_putc(out, is_object ? '{' : '[');
    for (const json *it = node->child; it; it = it->next) {
        buf_printf(out, "\n%*s", 2 * (level + 1), "");
        if (is_object)
            put_key(it->string, out);
        put(it, level + 1, out);
        if (it->next)
            buf_putc(out, ',');
    }
    buf_printf(out, "\n%*s%c", 2 * level, "", is_object ? '}' : ']');
}

void snapshot_print(const json *tree, struct buf *out) {
    put(tree, 0, out);
    buf_putc(out, '\n');
}
