/*
 * kube_patch.c - JSON patch (RFC 6902), merge patch (RFC 7396), strategic merge patch.
 *
 * The strategic merge knows the lists that kube_fields.c knows keys of, and the directives that kubectl sends: $patch
 * (delete, replace), $setElementOrder, $deleteFromPrimitiveList, $retainKeys.
 */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"

#define POINTER_DEPTH_MAX 64

/* ---- JSON patch ---- */

struct pointer {
    const char *steps[POINTER_DEPTH_MAX];
    size_t n;
};

static bool read_pointer(const char *text, struct arena *a, struct pointer *p) {
    p->n = 0;
    if (text == NULL || (text[0] != '/' && text[0] != '\0')) {
        return false;
    }
    while (*text == '/') {
        size_t n = strcspn(++text, "/");
        char *step = arena_strndup(a, text, n);
        char *to = step;
        if (p->n == POINTER_DEPTH_MAX) {
            return false;
        }
        for (const char *from = step; *from != '\0'; from++) {
            if (*from == '~' && from[1] != '0' && from[1] != '1') {
                return false;
            }
            *to++ = *from == '~' ? (*++from == '0' ? '~' : '/') : *from;
        }
        *to = '\0';
        p->steps[p->n++] = step;
        text += n;
    }
    return true;
}

static json *element(json *list, const char *step, bool one_past, int *index) {
    int64_t i = 0;
    int64_t n = (int64_t)json_array_size(list);
    bool canonical = str_to_int64(step, &i) && (step[0] != '0' || step[1] == '\0');
    if (!canonical || i > n || (i == n && !one_past)) {
        *index = -1;
        return NULL;
    }
    *index = (int)i;
    return cJSON_GetArrayItem(list, (int)i);
}

static json *step_into(json *at, const char *step) {
    int index;
    return json_is_array(at) ? element(at, step, false, &index) : kube_member(at, step);
}

/* The container of the last step, or NULL. */
static json *container_of(json *root, const struct pointer *p) {
    json *at = root;
    for (size_t i = 0; i + 1 < p->n && at != NULL; i++) {
        at = step_into(at, p->steps[i]);
    }
    return json_is_object(at) || json_is_array(at) ? at : NULL;
}

static json *value_at(json *root, const struct pointer *p) {
    json *at = root;
    for (size_t i = 0; i < p->n && at != NULL; i++) {
        at = step_into(at, p->steps[i]);
    }
    return at;
}

/* The tail is put back behind the new element: Debian's cJSON_InsertItemInArray (1.7.15) refuses every insertion. */
static void insert(json *list, int index, json *value_take) {
    json *tail = json_new_array();
    for (json *it = cJSON_GetArrayItem(list, index); it != NULL;) {
        json *next = it->next;
        json_push(tail, cJSON_DetachItemViaPointer(list, it));
        it = next;
    }
    json_push(list, value_take);
    for (json *it = tail->child; it != NULL;) {
        json *next = it->next;
        json_push(list, cJSON_DetachItemViaPointer(tail, it));
        it = next;
    }
    json_free(tail);
}

static bool patch_add(json *root, const struct pointer *p, const json *value) {
    json *in = p->n > 0 ? container_of(root, p) : NULL;
    int index = -1;
    if (in == NULL || value == NULL) {
        return false;
    }
    const char *last = p->steps[p->n - 1];
    if (json_is_object(in)) {
        json_add_item(in, last, json_dup(value));
        return true;
    }
    if (str_eq(last, "-")) {
        json_push(in, json_dup(value));
        return true;
    }
    (void)element(in, last, true, &index);
    if (index >= 0) {
        insert(in, index, json_dup(value));
    }
    return index >= 0;
}

static json *patch_take(json *root, const struct pointer *p) {
    json *in = p->n > 0 ? container_of(root, p) : NULL;
    json *there = in != NULL ? step_into(in, p->steps[p->n - 1]) : NULL;
    return there != NULL ? cJSON_DetachItemViaPointer(in, there) : NULL;
}

static bool patch_remove(json *root, const struct pointer *p) {
    json *taken = patch_take(root, p);
    bool there = taken != NULL;
    json_free(taken);
    return there;
}

static bool patch_replace(json *root, const struct pointer *p, const json *value) {
    json *in = p->n > 0 ? container_of(root, p) : NULL;
    json *there = in != NULL ? step_into(in, p->steps[p->n - 1]) : NULL;
    int index = -1;
    if (there == NULL || value == NULL) {
        return false;
    }
    if (json_is_object(in)) {
        json_add_item(in, p->steps[p->n - 1], json_dup(value));
        return true;
    }
    (void)element(in, p->steps[p->n - 1], false, &index);
    return cJSON_ReplaceItemInArray(in, index, json_dup(value));
}

static bool patch_move(json *root, const struct pointer *from, const struct pointer *to, bool keep) {
    json *value = keep ? json_dup(value_at(root, from)) : patch_take(root, from);
    bool done = value != NULL && patch_add(root, to, value);
    json_free(value);
    return done;
}

static bool patch_one(json *root, const json *operation, struct arena *a) {
    const char *op = str_or(json_str(operation, "op"), "");
    const json *value = json_get(operation, "value");
    struct pointer path;
    struct pointer from;
    if (!read_pointer(json_str(operation, "path"), a, &path)) {
        return false;
    }
    if (str_eq(op, "test")) {
        const json *there = value_at(root, &path);
        return there == NULL ? value == NULL || cJSON_IsNull(value) : value != NULL && json_equal(there, value);
    }
    if (str_eq(op, "add")) {
        return patch_add(root, &path, value);
    }
    if (str_eq(op, "remove")) {
        return patch_remove(root, &path);
    }
    if (str_eq(op, "replace")) {
        return patch_replace(root, &path, value);
    }
    bool copies = str_eq(op, "copy");
    return (copies || str_eq(op, "move")) && read_pointer(json_str(operation, "from"), a, &from) &&
           patch_move(root, &from, &path, copies);
}

/* A test that fails and a path that is nowhere are answered alike, and without details: so does the real one. */
static json *cannot_be_patched(void) {
    json *s = kube_status(422, "Invalid", "the server rejected our request due to an error in our request");
    (void)json_add_object(s, "details");
    return s;
}

json *kube_patch_json(const struct kube_write *w, const json *object, const json *patch, json **out) {
    (void)w;
    if (!json_is_array(patch)) {
        return kube_status(400, "BadRequest",
                           "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch");
    }
    if (json_array_size(patch) > KUBE_PATCH_OPS_MAX) {
        return kube_status(413, "RequestEntityTooLarge",
                           "The allowed maximum operations in a JSON patch is %d, got %zu", KUBE_PATCH_OPS_MAX,
                           json_array_size(patch));
    }
    struct arena *a = arena_new(0);
    json *copy = json_dup(object);
    bool done = true;
    for (const json *it = json_first(patch); it != NULL && done; it = it->next) {
        done = patch_one(copy, it, a);
    }
    arena_free(a);
    if (!done) {
        json_free(copy);
        return cannot_be_patched();
    }
    *out = copy;
    return NULL;
}

/* ---- merge patch ---- */

static void merge(json *to, const json *patch) {
    for (const json *it = json_first(patch); it != NULL; it = it->next) {
        if (cJSON_IsNull(it)) {
            kube_drop(to, it->string);
        } else if (json_is_object(it)) {
            merge(kube_need_object(to, it->string), it);
        } else {
            json_add_item(to, it->string, json_dup(it));
        }
    }
}

json *kube_patch_merge(const json *object, const json *patch) {
    json *copy = json_dup(object);
    merge(copy, patch);
    return copy;
}

/* ---- strategic merge patch ---- */

static void strategic(json *to, const json *patch, struct arena *a);

static bool says(const json *patch, const char *what) {
    return str_eq(json_key_str(patch, "$patch"), what);
}

static void strategic_list(json *to, const json *patch, const struct kube_list_key *lk, struct arena *a) {
    for (const json *it = json_first(patch); it != NULL; it = it->next) {
        const char *e = kube_fields_element(it, lk, a);
        json *there = e != NULL ? kube_fields_item(to, e) : NULL;
        if (says(it, "delete")) {
            json_free(there != NULL ? cJSON_DetachItemViaPointer(to, there) : NULL);
        } else if (there != NULL && json_is_object(it)) {
            strategic(there, it, a);
        } else if (there == NULL) {
            json *made = json_is_object(it) ? json_object() : json_dup(it);
            if (json_is_object(it)) {
                strategic(made, it, a);
            }
            json_push(to, made);
        }
    }
}

static void delete_values(json *list, const json *values) {
    for (const json *v = json_first(values); v != NULL && json_is_array(list); v = v->next) {
        for (json *it = list->child; it != NULL;) {
            json *next = it->next;
            if (json_equal(it, v)) {
                json_free(cJSON_DetachItemViaPointer(list, it));
            }
            it = next;
        }
    }
}

static void retain_keys(json *to, const json *keys) {
    for (json *it = to->child; it != NULL;) {
        json *next = it->next;
        bool kept = false;
        for (const json *k = json_first(keys); k != NULL; k = k->next) {
            kept = kept || (json_is_string(k) && str_eq(k->valuestring, it->string));
        }
        if (!kept) {
            json_free(cJSON_DetachItemViaPointer(to, it));
        }
        it = next;
    }
}

static void directive(json *to, const json *d) {
    static const char from_list[] = "$deleteFromPrimitiveList/";
    if (str_has_prefix(d->string, from_list)) {
        delete_values(kube_member(to, d->string + strlen(from_list)), d);
    } else if (str_eq(d->string, "$retainKeys")) {
        retain_keys(to, d);
    }
}

static void strategic_one(json *to, const json *it, struct arena *a) {
    json *there = kube_member(to, it->string);
    const struct kube_list_key *lk = json_is_array(it) ? kube_list_keys(it->string) : NULL;
    if (it->string[0] == '$') {
        directive(to, it);
    } else if (cJSON_IsNull(it) || says(it, "delete")) {
        kube_drop(to, it->string);
    } else if (json_is_object(it)) {
        json *below = says(it, "replace") ? json_add_object(to, it->string) : kube_need_object(to, it->string);
        strategic(below, it, a);
    } else if (lk != NULL) {
        strategic_list(json_is_array(there) ? there : json_add_array(to, it->string), it, lk, a);
    } else {
        json_add_item(to, it->string, json_dup(it));
    }
}

static void strategic(json *to, const json *patch, struct arena *a) {
    for (const json *it = json_first(patch); it != NULL; it = it->next) {
        strategic_one(to, it, a);
    }
}

json *kube_patch_strategic(const json *object, const json *patch) {
    struct arena *a = arena_new(0);
    json *copy = json_dup(object);
    strategic(copy, patch, a);
    arena_free(a);
    return copy;
}
