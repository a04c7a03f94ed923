/*
 * kube_fields.c - sets of fields in the form of FieldsV1 trees.
 *
 * Model: {"f:a":{"f:b":{}},"f:list":{"k:{\"name\":\"x\"}":{".":{},"f:image":{}}}}. An empty object is a leaf; "." says
 * that the item itself is a member besides what is below it. What the real server reads from its schema (which lists
 * are maps or sets, which maps are atomic) is a table of field names here.
 */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"

static const struct {
    const char *field;
    struct kube_list_key key;
} keyed_lists[] = {
    {"containers", {{"name", NULL}, NULL}},
    {"initContainers", {{"name", NULL}, NULL}},
    {"ephemeralContainers", {{"name", NULL}, NULL}},
    {"env", {{"name", NULL}, NULL}},
    {"volumes", {{"name", NULL}, NULL}},
    {"volumeMounts", {{"mountPath", NULL}, NULL}},
    {"ports", {{"containerPort", "protocol"}, "TCP"}},
    {"conditions", {{"type", NULL}, NULL}},
    {"addresses", {{"type", NULL}, NULL}},
    {"ownerReferences", {{"uid", NULL}, NULL}},
    {"imagePullSecrets", {{"name", NULL}, NULL}},
    {"secrets", {{"name", NULL}, NULL}},
    {"nodeRoles", {{"arn", NULL}, NULL}},
    {"gates", {{"name", NULL}, NULL}},
    {"webhooks", {{"name", NULL}, NULL}},
    {"finalizers", {{NULL, NULL}, NULL}},
    {"policyARNs", {{NULL, NULL}, NULL}},
    {"roleARNs", {{NULL, NULL}, NULL}},
    {"foreignConsumers", {{NULL, NULL}, NULL}},
};

/* Asked of every field of every write: most differ in their first letter. */
static bool is_name(const char *name, const char *field) {
    return field != NULL && name[0] == field[0] && strcmp(name, field) == 0;
}

const struct kube_list_key *kube_list_keys(const char *field) {
    for (size_t i = 0; i < sizeof keyed_lists / sizeof keyed_lists[0]; i++) {
        if (is_name(keyed_lists[i].field, field)) {
            return &keyed_lists[i].key;
        }
    }
    return NULL;
}

bool kube_is_atomic_map(const char *field) {
    static const char *const names[] = {"selector",        "nodeSelector",    "fieldRef",     "resourceFieldRef",
                                        "configMapKeyRef", "secretKeyRef",    "clientConfig", "namespaceSelector",
                                        "objectSelector",  "openAPIV3Schema", "scopeSelector"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is_name(names[i], field)) {
            return true;
        }
    }
    return false;
}

/* ---- path elements ---- */

static char *prefixed(const char two[3], const char *text, struct arena *a) {
    size_t n = strlen(text);
    char *out = arena_alloc(a, n + 3);
    memcpy(out, two, 2);
    memcpy(out + 2, text, n + 1);
    return out;
}

static bool is_plain(const char *text) {
    while (*text >= ' ' && *text < 0x7f && *text != '"' && *text != '\\') {
        text++;
    }
    return *text == '\0';
}

/* What nearly all lists have for a key, without a detour over JSON: one plain string. NULL: it is something else. */
static char *plain_element(const json *item, const char *key, struct arena *a) {
    const json *v = json_get(item, key);
    if (!json_is_string(v) || !is_plain(v->valuestring)) {
        return NULL;
    }
    size_t k = strlen(key), n = strlen(v->valuestring);
    char *out = arena_alloc(a, k + n + sizeof "k:{\"\":\"\"}");
    char *at = stpcpy(stpcpy(stpcpy(out, "k:{\""), key), "\":\"");
    stpcpy(stpcpy(at, v->valuestring), "\"}");
    return out;
}

/* NULL: the item has no key; the list is atomic then. */
char *kube_fields_element(const json *item, const struct kube_list_key *lk, struct arena *a) {
    char *plain = lk->keys[0] != NULL && lk->keys[1] == NULL ? plain_element(item, lk->keys[0], a) : NULL;
    if (plain != NULL) {
        return plain;
    }
    if (lk->keys[0] == NULL) {
        return json_is_object(item) || json_is_array(item) ? NULL : prefixed("v:", json_print_arena(item, a), a);
    }
    json *key = json_object();
    bool whole = json_is_object(item);
    for (size_t i = 0; i < 2 && lk->keys[i] != NULL && whole; i++) {
        const json *v = json_get(item, lk->keys[i]);
        if (v == NULL && i == 1 && lk->fallback != NULL) {
            json_add_str(key, lk->keys[i], lk->fallback);
        } else if (v == NULL || json_is_object(v) || json_is_array(v)) {
            whole = false;
        } else {
            json_add_item(key, lk->keys[i], json_dup(v));
        }
    }
    char *text = whole ? prefixed("k:", json_print_arena(key, a), a) : NULL;
    json_free(key);
    return text;
}

static bool item_is(const json *item, const json *key) {
    for (const json *it = json_first(key); it != NULL; it = it->next) {
        const json *v = json_get(item, it->string);
        bool fallback = v == NULL && str_eq(it->string, "protocol") && str_eq(it->valuestring, "TCP");
        if (!fallback && (v == NULL || !json_equal(v, it))) {
            return false;
        }
    }
    return json_is_object(item);
}

json *kube_fields_item(json *list, const char *element) {
    struct error err = {0};
    bool is_set = str_has_prefix(element, "v:");
    if (!json_is_array(list) || (!is_set && !str_has_prefix(element, "k:"))) {
        return NULL;
    }
    json *key = json_parse(element + 2, strlen(element + 2), &err);
    json *found = NULL;
    for (json *it = key != NULL ? list->child : NULL; it != NULL && found == NULL; it = it->next) {
        found = (is_set ? json_equal(it, key) : item_is(it, key)) ? it : NULL;
    }
    json_free(key);
    return found;
}

/* All items have keys, and no two the same. */
static bool list_is_keyed(const json *list, const struct kube_list_key *lk, struct arena *a) {
    struct strlist seen = {0};
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        const char *e = lk != NULL ? kube_fields_element(it, lk, a) : NULL;
        if (e == NULL || strlist_has(&seen, e)) {
            return false;
        }
        strlist_add(&seen, e, a);
    }
    return json_is_array(list) && json_first(list) != NULL;
}

/* ---- all leaves ---- */

static void leaves(const char *field, const json *value, json *set, struct arena *a) {
    if (json_is_object(value) && json_first(value) != NULL && !kube_is_atomic_map(field)) {
        for (const json *it = json_first(value); it != NULL; it = it->next) {
            leaves(it->string, it, json_add_object(set, prefixed("f:", it->string, a)), a);
        }
        return;
    }
    const struct kube_list_key *lk = json_is_array(value) ? kube_list_keys(field) : NULL;
    if (lk == NULL || !list_is_keyed(value, lk, a)) {
        return;
    }
    for (const json *it = json_first(value); it != NULL; it = it->next) {
        json *member = json_add_object(set, kube_fields_element(it, lk, a));
        if (lk->keys[0] != NULL) {
            (void)json_add_object(member, ".");
            leaves("", it, member, a);
        }
    }
}

json *kube_fields_of(const json *value) {
    struct arena *a = arena_new(0);
    json *set = json_object();
    leaves("", value, set, a);
    arena_free(a);
    return set;
}

/* ---- comparing ---- */

static void changed(const char *field, const json *old, const json *now, json *parent, const char *element,
                    struct arena *a);

static void changed_members(const json *old, const json *now, json *set, struct arena *a) {
    for (const json *it = json_first(now); it != NULL; it = it->next) {
        changed(it->string, json_get(old, it->string), it, set, prefixed("f:", it->string, a), a);
    }
}

static void changed_items(const struct kube_list_key *lk, const json *old, const json *now, json *set,
                          struct arena *a) {
    for (const json *it = json_first(now); it != NULL; it = it->next) {
        const char *e = kube_fields_element(it, lk, a);
        const json *before = kube_fields_item((json *)(uintptr_t)old, e);
        if (before == NULL) {
            json *member = json_add_object(set, e);
            if (lk->keys[0] != NULL) {
                (void)json_add_object(member, ".");
                leaves("", it, member, a);
            }
        } else if (!json_equal(before, it)) {
            json *member = json_object();
            changed_members(before, it, member, a);
            if (json_first(member) != NULL) {
                json_add_item(set, e, member);
            } else {
                json_free(member);
            }
        }
    }
}

/* Adds to parent, under element, what of `now` is new or other than in `old`. */
static void changed(const char *field, const json *old, const json *now, json *parent, const char *element,
                    struct arena *a) {
    if (old != NULL && json_equal(old, now)) {
        return;
    }
    json *below = json_object();
    const struct kube_list_key *lk = json_is_array(now) && json_is_array(old) ? kube_list_keys(field) : NULL;
    bool map = json_is_object(now) && json_is_object(old) && !kube_is_atomic_map(field);
    bool list = lk != NULL && list_is_keyed(now, lk, a) && (json_first(old) == NULL || list_is_keyed(old, lk, a));

    if (map) {
        changed_members(old, now, below, a);
    } else if (list) {
        changed_items(lk, old, now, below, a);
    } else {
        leaves(field, now, below, a);
    }
    if ((map || list) && json_first(below) == NULL) {
        json_free(below);
        return;
    }
    if (old == NULL && json_first(below) != NULL) {
        (void)json_add_object(below, ".");
    }
    json_add_item(parent, element, below);
}

json *kube_fields_changed(const json *old, const json *now) {
    struct arena *a = arena_new(0);
    json *set = json_object();
    changed_members(old, now, set, a);
    arena_free(a);
    return set;
}

/* The paths of the set that `now` has no more stay in it. */
static void only_missing(json *set, const json *value) {
    for (json *it = set->child; it != NULL;) {
        json *next = it->next;
        const char *e = it->string;
        const json *v = str_has_prefix(e, "f:") ? json_get(value, e + 2)
                        : str_eq(e, ".")        ? value
                                                : kube_fields_item((json *)(uintptr_t)value, e);
        bool leaf = json_first(it) == NULL;
        if (v != NULL && !leaf) {
            only_missing(it, v);
        }
        if (v != NULL && json_first(it) == NULL) {
            kube_drop(set, e);
        }
        it = next;
    }
}

static void removed_members(const json *old, const json *now, json *set, struct arena *a) {
    for (const json *it = json_first(old); it != NULL; it = it->next) {
        const json *v = json_get(now, it->string);
        if (v != NULL && json_equal(it, v)) {
            continue;
        }
        json *below = json_object();
        if (v != NULL && json_is_object(it) && json_is_object(v) && !kube_is_atomic_map(it->string)) {
            removed_members(it, v, below, a);
        } else {
            leaves(it->string, it, below, a);
            if (v != NULL) {
                only_missing(below, v);
            }
        }
        if (v == NULL || json_first(below) != NULL) {
            json_add_item(set, prefixed("f:", it->string, a), below);
        } else {
            json_free(below);
        }
    }
}

json *kube_fields_removed(const json *old, const json *now) {
    struct arena *a = arena_new(0);
    json *set = json_object();
    removed_members(old, now, set, a);
    arena_free(a);
    return set;
}

/* ---- set operations ---- */

bool kube_fields_empty(const json *set) {
    return json_first(set) == NULL;
}

/* Nothing is left but the "." of the field itself, which goes with what was below it. */
static bool is_husk(const json *member, const json *taken) {
    const json *left = json_first(member);
    return left == NULL || (left->next == NULL && str_eq(left->string, ".") && json_get(taken, ".") == NULL &&
                            member->string[0] == 'f');
}

/* A leaf takes a leaf only: an empty map that somebody owns does not own what others put into it. */
void kube_fields_subtract(json *set, const json *other) {
    for (const json *it = json_first(other); it != NULL; it = it->next) {
        json *mine = kube_member(set, it->string);
        if (mine == NULL) {
            continue;
        }
        bool was_leaf = json_first(mine) == NULL;
        if (json_first(it) == NULL) {
            if (was_leaf) {
                kube_drop(set, it->string);
            }
            continue;
        }
        kube_fields_subtract(mine, it);
        if (!was_leaf && is_husk(mine, it)) {
            kube_drop(set, it->string);
        }
    }
}

void kube_fields_add(json *set, const json *other) {
    for (const json *it = json_first(other); it != NULL; it = it->next) {
        json *mine = kube_member(set, it->string);
        if (mine == NULL) {
            json_add_item(set, it->string, json_dup(it));
        } else {
            kube_fields_add(mine, it);
        }
    }
}

json *kube_fields_common(const json *a, const json *b) {
    json *set = json_object();
    for (const json *it = json_first(a); it != NULL; it = it->next) {
        const json *there = json_get(b, it->string);
        if (there == NULL) {
            continue;
        }
        if (json_first(it) == NULL || json_first(there) == NULL) {
            if (json_first(it) == json_first(there)) { /* both are leaves */
                (void)json_add_object(set, it->string);
            }
            continue;
        }
        json *below = kube_fields_common(it, there);
        if (json_first(below) != NULL) {
            json_add_item(set, it->string, below);
        } else {
            json_free(below);
        }
    }
    return set;
}

/* ---- as text ---- */

static const char *key_text(const char *element, struct arena *a) {
    struct error err = {0};
    json *key = json_parse(element + 2, strlen(element + 2), &err);
    const char *text = "[";
    for (const json *it = json_first(key); it != NULL; it = it->next) {
        text = arena_printf(a, "%s%s%s=%s", text, text[1] == '\0' ? "" : ",", it->string, json_print_arena(it, a));
    }
    json_free(key);
    return arena_printf(a, "%s]", text);
}

static void walk(const json *set, const char *prefix, struct arena *a, void (*fn)(void *arg, const char *path),
                 void *arg) {
    for (const json *it = json_first(set); it != NULL; it = it->next) {
        const char *e = it->string;
        const char *path = str_eq(e, ".")            ? prefix
                           : str_has_prefix(e, "f:") ? arena_printf(a, "%s.%s", prefix, e + 2)
                           : str_has_prefix(e, "k:") ? arena_printf(a, "%s%s", prefix, key_text(e, a))
                                                     : arena_printf(a, "%s[=%s]", prefix, e + 2);
        if (json_first(it) == NULL) {
            fn(arg, path);
        } else {
            walk(it, path, a, fn, arg);
        }
    }
}

void kube_fields_each(const json *set, void (*fn)(void *arg, const char *path), void *arg) {
    struct arena *a = arena_new(0);
    walk(set, "", a, fn, arg);
    arena_free(a);
}
