/* binding.c - a CniIamBinding from its JSON. */
#include "crd/binding.h"

#include "crd/binding_spec.h"
#include "crd/binding_status.h"
#include "crd/object_meta.h"

static bool is_binding(const json *o) {
    return str_eq(json_key_str(o, "kind"), CIB_KIND) && str_has_prefix(json_key_str(o, "apiVersion"), CIB_GROUP "/");
}

/* Every one, also what is no string, so that an index here is the index in the object: a patch counts on it. */
static void read_finalizers(const json *o, struct cib_binding *b) {
    for (const json *it = json_first(json_array(o, "metadata.finalizers")); it != NULL; it = it->next) {
        const char *name = json_is_string(it) ? it->valuestring : "";
        strlist_add(&b->finalizers, name, b->arena);
        b->has_finalizer |= str_eq(name, CIB_FINALIZER);
    }
}

/* A binding that a person wrote in a file has no uid and no resourceVersion yet: both are then "". */
static void read_meta(const json *o, struct cib_binding *b) {
    b->name = arena_strdup(b->arena, json_str(o, "metadata.name"));
    b->uid = arena_strdup(b->arena, str_or(json_str(o, "metadata.uid"), ""));
    b->resource_version = arena_strdup(b->arena, str_or(json_str(o, "metadata.resourceVersion"), ""));
    b->generation = json_int64_or(o, "metadata.generation", 0);
    b->creation_ms = json_instant_ms(o, "metadata.creationTimestamp");
    b->deletion_ms = json_deletion_ms(o);
}

struct cib_binding *cib_decode(const json *object, struct error *err) {
    if (!is_binding(object)) {
        (void)error_set(err, ERR_INVALID,
                        "not a " CIB_KIND " of " CIB_GROUP ": write apiVersion: " CIB_API_VERSION
                        " and kind: " CIB_KIND);
        return NULL;
    }
    if (str_empty(json_str(object, "metadata.name"))) {
        (void)error_set(err, ERR_INVALID, "metadata.name is missing: write one");
        return NULL;
    }
    struct arena *a = arena_new(0);
    struct cib_binding *b = ARENA_NEW(a, struct cib_binding);
    b->arena = a;
    read_meta(object, b);
    read_finalizers(object, b);
    b->approve = arena_strdup(a, object_annotation(object, CIB_ANNOTATION_APPROVE));
    b->abandon = arena_strdup(a, object_annotation(object, CIB_ANNOTATION_ABANDON));
    b->spec_error = cib_spec_decode(json_get(object, "spec"), &b->spec, a);
    cib_status_decode(json_get(object, "status"), &b->status, a);
    return b;
}

void cib_free(struct cib_binding *b) {
    if (b != NULL) {
        arena_free(b->arena);
    }
}
