#include "crd/object_meta.h"

#include <limits.h>

#include "platform/base/timefmt.h"

int64_t json_instant_ms(const json *j, const char *path) {
    int64_t ms = 0;
    const char *text = json_str(j, path);
    return text != NULL && timefmt_parse_rfc3339(text, &ms) ? ms : 0;
}

int64_t json_deletion_ms(const json *object) {
    int64_t ms = json_instant_ms(object, "metadata.deletionTimestamp");
    bool unreadable = ms == 0 && json_str(object, "metadata.deletionTimestamp") != NULL;
    return unreadable ? 1 : ms;
}

int json_count(const json *j, const char *path) {
    int64_t n = json_int64_or(j, path, 0);
    return n >= 0 && n <= INT_MAX ? (int)n : 0;
}

const char *object_label(const json *object, const char *key) {
    return json_key_str(json_path(object, "metadata.labels"), key);
}

const char *object_annotation(const json *object, const char *key) {
    return json_key_str(json_path(object, "metadata.annotations"), key);
}

bool object_meta_decode(const json *object, struct object_meta *out, struct arena *a, struct error *err) {
    static const char *const identity[] = {"metadata.name", "metadata.uid", "metadata.resourceVersion"};

    for (size_t i = 0; i < sizeof identity / sizeof identity[0]; i++) {
        if (str_empty(json_str(object, identity[i]))) {
            return error_set(err, ERR_PARSE, "%s is missing", identity[i]);
        }
    }
    out->ns = arena_strdup(a, str_or(json_str(object, "metadata.namespace"), ""));
    out->name = arena_strdup(a, json_str(object, "metadata.name"));
    out->uid = arena_strdup(a, json_str(object, "metadata.uid"));
    out->resource_version = arena_strdup(a, json_str(object, "metadata.resourceVersion"));
    out->generation = json_int64_or(object, "metadata.generation", 0);
    out->creation_ms = json_instant_ms(object, "metadata.creationTimestamp");
    out->deletion_ms = json_deletion_ms(object);
    return true;
}

static bool owns(const json *fields, const char *const *steps, size_t nsteps) {
    for (size_t i = 0; i < nsteps; i++) {
        fields = json_get(fields, steps[i]);
    }
    return fields != NULL;
}

struct strlist field_managers(const json *object, const char *const *steps, size_t nsteps, struct arena *a) {
    struct strlist names = {0};

    for (const json *it = json_first(json_array(object, "metadata.managedFields")); it != NULL; it = it->next) {
        const char *manager = json_key_str(it, "manager");
        if (manager != NULL && owns(json_get(it, "fieldsV1"), steps, nsteps) && !strlist_has(&names, manager)) {
            strlist_add(&names, manager, a);
        }
    }
    return names;
}

int64_t field_set_ms(const json *object, const char *const *steps, size_t nsteps) {
    int64_t newest = 0;

    for (const json *it = json_first(json_array(object, "metadata.managedFields")); it != NULL; it = it->next) {
        int64_t at = owns(json_get(it, "fieldsV1"), steps, nsteps) ? json_instant_ms(it, "time") : 0;
        newest = at > newest ? at : newest;
    }
    return newest;
}
