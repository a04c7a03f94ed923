/* kube_write.c - create, update, delete: what every write goes through, whichever verb it came by. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/kube_internal.h"

struct kube_write kube_write_of(struct sim_kube *k, const struct kube_request *q) {
    return (struct kube_write){.k = k,
                               .r = q->r,
                               .ns = q->ns,
                               .name = q->name,
                               .status_only = str_eq(q->sub, "status"),
                               .dry_run = q->dry_run,
                               .strict = q->strict,
                               .manager = q->manager};
}

static const char *text_of_id(struct prng *p, char out[40]) {
    uint64_t a = prng_next(p);
    uint64_t b = prng_next(p);
    (void)snprintf(out, 40, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
                   (unsigned)(a & 0xfff), (unsigned)(0x8000 | (b >> 48 & 0x3fff)),
                   (unsigned long long)(b & 0xffffffffffff));
    return out;
}

static const json *schema_of(const struct kube_write *w) {
    return w->r->store == KUBE_BINDINGS ? json_path(kube_crd_version(w->k), "schema.openAPIV3Schema") : NULL;
}

/* ---- what both creations and updates are checked for ---- */

static json *check_kind(const struct kube_write *w, json *object) {
    struct arena *a = arena_new(0);
    const char *version = kube_api_version(w->r, a);
    const char *kind = json_str(object, "kind");
    const char *given = json_str(object, "apiVersion");
    json *refused = NULL;
    bool core_event = w->r->store == KUBE_EVENTS && str_eq(given, "v1");

    if (!json_is_object(object) ||
        (json_get(object, "metadata") != NULL && !json_is_object(json_get(object, "metadata")))) {
        refused =
            kube_status(400, "BadRequest", "the object provided is unrecognized (must be of type %s)", w->r->kind);
    } else if ((kind != NULL && !str_eq(kind, w->r->kind)) ||
               (given != NULL && !str_eq(given, version) && !core_event)) {
        refused = kube_status(
            400, "BadRequest",
            "the API version in the data (%s, Kind=%s) does not match the expected API version (%s, Kind=%s)",
            str_or(given, ""), str_or(kind, ""), version, w->r->kind);
    } else {
        json_add_str(object, "kind", w->r->kind);
        json_add_str(object, "apiVersion", version);
    }
    arena_free(a);
    return refused;
}

static bool is_subdomain(const char *s) {
    size_t n = strlen(s);
    if (n == 0 || n > KUBE_NAME_MAX || s[n - 1] == '-' || s[n - 1] == '.' || s[0] == '-' || s[0] == '.') {
        return false;
    }
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n && strstr(s, "..") == NULL;
}

static void check_strings(struct kube_causes *c, const json *map, const char *field) {
    size_t total = 0;
    for (const json *it = json_first(map); it != NULL; it = it->next) {
        if (!json_is_string(it)) {
            kube_cause(c, field, "FieldValueInvalid", "Invalid value: \"%s\": must be a string", it->string);
        } else {
            total += strlen(it->string) + strlen(it->valuestring);
        }
    }
    if (total > KUBE_ANNOTATIONS_MAX) {
        kube_cause(c, field, "FieldValueTooLong", "Too long: may not be more than %zu bytes", KUBE_ANNOTATIONS_MAX);
    }
}

static bool list_has_text(const json *list, const char *text) {
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        if (json_is_string(it) && str_eq(it->valuestring, text)) {
            return true;
        }
    }
    return false;
}

static void check_finalizers(struct kube_causes *c, const json *object, const json *old) {
    bool deleting = json_path(old, "metadata.deletionTimestamp") != NULL;
    for (const json *it = json_first(json_array(object, "metadata.finalizers")); it != NULL; it = it->next) {
        const char *f = json_is_string(it) ? it->valuestring : "";
        if (strchr(f, '/') == NULL && !str_eq(f, "foregroundDeletion") && !str_eq(f, "orphan") &&
            !str_eq(f, "kubernetes")) {
            kube_cause(c, "metadata.finalizers", "FieldValueInvalid",
                       "Invalid value: \"%s\": name is neither a standard finalizer name nor is it fully qualified", f);
        }
        if (deleting && !list_has_text(json_array(old, "metadata.finalizers"), f)) {
            kube_cause(c, "metadata.finalizers", "FieldValueForbidden",
                       "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
                       "[]string{\"%s\"}",
                       f);
        }
    }
}

static json *check_metadata(const struct kube_write *w, const json *object, const json *old) {
    struct kube_causes c = {0};
    const char *name = str_or(kube_name_of(object), "");
    if (old == NULL && !is_subdomain(name)) {
        kube_cause(&c, "metadata.name", "FieldValueInvalid",
                   "Invalid value: \"%s\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                   "characters, '-' or '.', and must start and end with an alphanumeric character",
                   name);
    }
    check_strings(&c, json_path(object, "metadata.annotations"), "metadata.annotations");
    check_strings(&c, json_path(object, "metadata.labels"), "metadata.labels");
    check_finalizers(&c, object, old);
    return kube_causes_status(&c, w->r, name);
}

/* An emptied map or list is as if it had never been there: the real server leaves it out when it encodes. */
static void drop_empty_metadata(json *object) {
    static const char *const members[] = {"labels", "annotations", "finalizers", "ownerReferences"};
    json *m = kube_metadata(object);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const json *v = json_get(m, members[i]);
        if ((json_is_object(v) || json_is_array(v)) && json_first(v) == NULL) {
            kube_drop(m, members[i]);
        }
    }
}

static json *undecodable(const struct kube_write *w, const json *object, struct strlist *unknown, struct arena *a) {
    for (size_t i = 0; i < unknown->n; i++) {
        unknown->v[i] = arena_printf(a, "unknown field \"%s\"", unknown->v[i]);
    }
    const char *fields = strlist_join(unknown, ", ", a);
    if (w->patches) {
        return kube_invalid_one(w->r, kube_name_of(object), "patch", "FieldValueInvalid",
                                "Invalid value: \"%s\": strict decoding error: %s", json_print_arena(object, a),
                                fields);
    }
    return kube_status(400, "BadRequest", "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
                       w->r->kind, w->r->version, w->r->kind, fields);
}

/* Defaults, pruning, and under Strict the refusal of what would be pruned. */
static json *prepare_schema(const struct kube_write *w, json *object) {
    const json *schema = schema_of(w);
    json *refused = NULL;
    if (schema == NULL) {
        return NULL;
    }
    struct arena *a = arena_new(0);
    struct strlist unknown = {0};
    kube_schema_prepare(schema, object, &unknown, a);
    if (w->strict && unknown.n > 0) {
        refused = undecodable(w, object, &unknown, a);
    }
    arena_free(a);
    return refused;
}

static json *check_schema(const struct kube_write *w, const json *object, const json *old) {
    struct kube_causes c = {0};
    const json *schema = schema_of(w);
    if (schema != NULL) {
        kube_schema_check(schema, object, old, &c);
    }
    json *refused = kube_causes_status(&c, w->r, kube_name_of(object));
    return refused != NULL ? refused : kube_builtin_check(w, object, old);
}

/* ---- what follows from a write ---- */

static void delete_all(struct sim_kube *k, enum kube_store store, const struct kube_resource *r) {
    struct arena *a = arena_new(0);
    struct kube_versions all = kube_all(k, store, NULL, a);
    for (size_t i = 0; i < all.n; i++) {
        kube_unref(kube_commit(k, r, all.v[i], json_dup(all.v[i]->value), true, "kube-apiserver"));
    }
    kube_versions_drop(&all);
    arena_free(a);
}

static bool is_our_crd(const struct kube_write *w, const json *object) {
    return w->r->store == KUBE_CRDS && str_eq(kube_name_of(object), KUBE_CRD_NAME);
}

static void after_write(const struct kube_write *w, const json *object, const json *old, bool removed) {
    if (!is_our_crd(w, object)) {
        return;
    }
    w->k->bindings_served = !removed;
    if (removed) {
        delete_all(w->k, KUBE_BINDINGS, kube_resource_find("cniiam.dev", "v1alpha1", "cniiambindings"));
    }
    if (removed || (old != NULL && !json_equal(json_get(old, "spec"), json_get(object, "spec")))) {
        kube_watches_end(w->k, KUBE_BINDINGS);
    }
}

static struct kube_version *stored(const struct kube_write *w, struct kube_version *old, json *object_take,
                                   bool removes) {
    if (w->dry_run) {
        if (old == NULL) {
            kube_drop(kube_metadata(object_take), "resourceVersion");
        }
        return kube_loose_version(object_take, old != NULL ? old->rv : 0);
    }
    struct kube_version *v = kube_commit(w->k, w->r, old, object_take, removes, w->manager);
    after_write(w, v->value, old != NULL ? old->value : NULL, removes);
    return v;
}

/* ---- create ---- */

static json *settle_name(const struct kube_write *w, json *object) {
    json *m = kube_metadata(object);
    const char *ns = json_key_str(m, "namespace");
    const char *name = json_key_str(m, "name");
    const char *prefix = json_key_str(m, "generateName");
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char made[KUBE_NAME_MAX + 8];

    if (w->ns != NULL && ns != NULL && !str_eq(ns, w->ns)) {
        return kube_status(400, "BadRequest",
                           "the namespace of the provided object does not match the namespace sent on the request");
    }
    json_add_str(m, "namespace", w->ns);
    if (!w->r->namespaced) {
        kube_drop(m, "namespace");
    }
    if (w->name != NULL && name != NULL && !str_eq(w->name, name)) {
        return kube_status(400, "BadRequest", "the name of the object (%s) does not match the name on the URL (%s)",
                           name, w->name);
    }
    if (str_empty(name) && str_empty(prefix)) {
        return kube_invalid_one(w->r, "", "metadata.name", "FieldValueRequired",
                                "Required value: name or generateName is required");
    }
    if (str_empty(name)) {
        size_t n = (size_t)snprintf(made, KUBE_NAME_MAX, "%.200s", prefix);
        for (int i = 0; i < 5; i++) {
            made[n++] = alphabet[prng_below(&w->k->prng, sizeof alphabet - 1)];
        }
        made[n] = '\0';
        json_add_str(m, "name", made);
    }
    return NULL;
}

static json *check_place(const struct kube_write *w, const json *object) {
    const char *ns = kube_namespace_of(object);
    const char *name = kube_name_of(object);
    struct arena *a = arena_new(0);
    json *refused = NULL;
    if (w->r->namespaced && str_empty(ns)) {
        refused = kube_status(400, "BadRequest", "an empty namespace may not be set during creation");
    } else if (w->r->namespaced && !w->from_world && kube_find(w->k, KUBE_NAMESPACES, NULL, ns) == NULL) {
        refused = kube_not_found(kube_resource_named("namespaces"), ns);
    } else if (kube_find(w->k, w->r->store, ns, name) != NULL) {
        refused = kube_status_for(w->r, name, 409, "AlreadyExists", "%s \"%s\" already exists", kube_qualified(w->r, a),
                                  name);
    } else if (kube_is_full(w->k) && !w->dry_run) {
        refused = kube_status(500, "InternalError", "etcdserver: mvcc: database space exceeded");
    }
    arena_free(a);
    return refused;
}

static void complete_metadata(const struct kube_write *w, json *object) {
    char text[TIMEFMT_MAX];
    char id[40];
    json *m = kube_metadata(object);
    static const char *const not_given[] = {"deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion",
                                            "selfLink"};
    for (size_t i = 0; i < sizeof not_given / sizeof not_given[0]; i++) {
        kube_drop(m, not_given[i]);
    }
    if (!w->from_world || json_key_str(m, "uid") == NULL) {
        json_add_str(m, "uid", text_of_id(&w->k->prng, id));
    }
    if (!w->from_world || json_key_str(m, "creationTimestamp") == NULL) {
        kube_now(w->k, text);
        json_add_str(m, "creationTimestamp", text);
    }
    kube_drop(m, "generation");
    if (w->r->has_generation) {
        json_add_int64(m, "generation", 1);
    }
    if (w->r->has_status && !w->from_world) {
        kube_drop(object, "status");
    }
}

static void admit(const struct kube_write *w, json *object) {
    for (size_t i = 0; w->r->store == KUBE_PODS && i < w->k->nadmission; i++) {
        w->k->admission[i].fn(w->k->admission[i].arg, object, w->dry_run);
    }
}

static json *prepare_new(const struct kube_write *w, json *object) {
    json *refused = check_kind(w, object);
    refused = refused != NULL ? refused : settle_name(w, object);
    if (refused != NULL) {
        return refused;
    }
    if (w->r->store == KUBE_EVENTS) {
        kube_event_to_core(object);
    }
    refused = check_place(w, object);
    refused = refused != NULL ? refused : check_metadata(w, object, NULL);
    refused = refused != NULL ? refused : prepare_schema(w, object);
    if (refused != NULL) {
        return refused;
    }
    complete_metadata(w, object);
    drop_empty_metadata(object);
    kube_builtin_prepare(w, object, NULL);
    if (!w->applied) {
        kube_drop(kube_metadata(object), "managedFields");
        kube_managed_update(w, NULL, object);
    }
    admit(w, object);
    return check_schema(w, object, NULL);
}

json *kube_create(const struct kube_write *w, json *object_take, struct kube_version **out) {
    json *refused = prepare_new(w, object_take);
    if (refused != NULL) {
        json_free(object_take);
        return refused;
    }
    *out = stored(w, NULL, object_take, false);
    return NULL;
}

/* ---- update ---- */

static json *check_identity(const struct kube_write *w, const struct kube_version *live, const json *object,
                            bool as_patch) {
    const char *uid = json_str(object, "metadata.uid");
    const char *real = json_str(live->value, "metadata.uid");
    const char *name = kube_name_of(object);
    const char *ns = kube_namespace_of(object);
    const char *live_name = kube_name_of(live->value);

    if (name != NULL && !str_eq(name, live_name)) {
        return kube_status(400, "BadRequest", "the name of the object (%s) does not match the name on the URL (%s)",
                           name, live_name);
    }
    if (ns != NULL && w->r->namespaced && !str_eq(ns, kube_namespace_of(live->value))) {
        return kube_status(400, "BadRequest",
                           "the namespace of the object (%s) does not match the namespace on the URL (%s)", ns,
                           kube_namespace_of(live->value));
    }
    if (uid != NULL && !str_eq(uid, real) && as_patch) {
        return kube_invalid_one(w->r, live_name, "metadata.uid", "FieldValueInvalid",
                                "Invalid value: \"%s\": field is immutable", uid);
    }
    if (uid != NULL && !str_eq(uid, real)) {
        struct arena *a = arena_new(0);
        json *s =
            kube_status_for(w->r, live_name, 409, "Conflict",
                            "Operation cannot be fulfilled on %s \"%s\": Precondition failed: UID in precondition: "
                            "%s, UID in object meta: %s",
                            kube_qualified(w->r, a), live_name, uid, real);
        arena_free(a);
        return s;
    }
    return NULL;
}

static json *check_version(const struct kube_write *w, const struct kube_version *live, const json *object) {
    const char *name = kube_name_of(live->value);
    const char *given = json_str(object, "metadata.resourceVersion");
    int64_t rv = 0;
    if (str_empty(given)) {
        if ((w->r->store == KUBE_BINDINGS || w->r->store == KUBE_LEASES) && !w->from_world) {
            return kube_invalid_one(w->r, name, "metadata.resourceVersion", "FieldValueInvalid",
                                    "Invalid value: 0: must be specified for an update");
        }
        return NULL;
    }
    if (!str_to_int64(given, &rv)) {
        return kube_invalid_one(w->r, name, "metadata.resourceVersion", "FieldValueInvalid",
                                "Invalid value: \"%s\": not a valid version", given);
    }
    if (rv != live->rv) {
        struct arena *a = arena_new(0);
        json *s =
            kube_status_for(w->r, name, 409, "Conflict",
                            "Operation cannot be fulfilled on %s \"%s\": the object has been modified; please apply "
                            "your changes to the latest version and try again",
                            kube_qualified(w->r, a), name);
        arena_free(a);
        return s;
    }
    return NULL;
}

/* Only what the path may change stays changed. The result replaces object_take. */
static json *limit_to_path(const struct kube_write *w, const json *live, json *object_take) {
    if (!w->status_only) {
        if (w->r->has_status && !w->from_world) {
            kube_copy_member(object_take, live, "status");
        }
        return object_take;
    }
    json *o = json_dup(live);
    kube_copy_member(o, object_take, "status");
    const json *m = json_get(object_take, "metadata");
    if (w->applied) { /* the entries of an apply are in the object already */
        kube_copy_member(kube_metadata(o), m, "managedFields");
    }
    if (w->r->store != KUBE_BINDINGS && !w->applied) {
        kube_copy_member(kube_metadata(o), m, "annotations");
        kube_copy_member(kube_metadata(o), m, "labels");
    }
    json_free(object_take);
    return o;
}

static void keep_system_metadata(const struct kube_write *w, const json *live, json *object) {
    static const char *const kept[] = {"name",
                                       "namespace",
                                       "uid",
                                       "generation",
                                       "creationTimestamp",
                                       "deletionTimestamp",
                                       "selfLink",
                                       "generateName",
                                       "resourceVersion",
                                       "deletionGracePeriodSeconds"};
    const json *old = json_get(live, "metadata");
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        kube_copy_member(kube_metadata(object), old, kept[i]);
    }
    if (!w->applied) {
        kube_copy_member(kube_metadata(object), old, "managedFields");
    }
}

static bool is_beside_spec(const char *member) {
    return str_eq(member, "metadata") || str_eq(member, "status") || str_eq(member, "kind") ||
           str_eq(member, "apiVersion");
}

static bool has_spec_of(const json *a, const json *b) {
    for (const json *it = json_first(b); it != NULL; it = it->next) {
        if (!is_beside_spec(it->string) && !json_equal(json_get(a, it->string), it)) {
            return false;
        }
    }
    return true;
}

/* Everything but metadata and status is the same. */
static bool same_spec(const json *a, const json *b) {
    return has_spec_of(a, b) && has_spec_of(b, a);
}

static json *prepare_changed(const struct kube_write *w, const json *live, json *object) {
    keep_system_metadata(w, live, object);
    json *refused = check_metadata(w, object, live);
    refused = refused != NULL ? refused : prepare_schema(w, object);
    if (refused != NULL) {
        return refused;
    }
    drop_empty_metadata(object);
    kube_builtin_prepare(w, object, live);
    if (w->r->has_generation && !same_spec(live, object)) {
        json_add_int64(kube_metadata(object), "generation", json_int64_or(live, "metadata.generation", 0) + 1);
    }
    if (!w->applied) {
        kube_managed_update(w, live, object);
    }
    return check_schema(w, object, live);
}

static bool is_finished(const json *object) {
    return json_path(object, "metadata.deletionTimestamp") != NULL &&
           json_first(json_array(object, "metadata.finalizers")) == NULL &&
           json_int64_or(object, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

json *kube_update(const struct kube_write *w, struct kube_version *live, json *object_take, bool as_patch,
                  struct kube_version **out) {
    json *refused = check_kind(w, object_take);
    refused = refused != NULL ? refused : check_identity(w, live, object_take, as_patch);
    refused = refused != NULL ? refused : check_version(w, live, object_take);
    if (refused == NULL) {
        if (w->r->store == KUBE_EVENTS) {
            kube_event_to_core(object_take);
        }
        object_take = limit_to_path(w, live->value, object_take);
        refused = prepare_changed(w, live->value, object_take);
    }
    if (refused != NULL) {
        json_free(object_take);
        return refused;
    }
    if (json_equal(object_take, live->value)) {
        json_free(object_take);
        kube_ref(live);
        *out = live;
        return NULL;
    }
    *out = stored(w, live, object_take, is_finished(object_take));
    return NULL;
}

/* ---- delete ---- */

static json *check_preconditions(const struct kube_write *w, const struct kube_version *live, const json *options) {
    const char *uid = json_str(options, "preconditions.uid");
    const char *rv = json_str(options, "preconditions.resourceVersion");
    const char *real_uid = json_str(live->value, "metadata.uid");
    const char *real_rv = json_str(live->value, "metadata.resourceVersion");
    bool wrong_uid = uid != NULL && !str_eq(uid, real_uid);
    if (!wrong_uid && (rv == NULL || str_eq(rv, real_rv))) {
        return NULL;
    }
    struct arena *a = arena_new(0);
    const char *what = wrong_uid ? "UID" : "ResourceVersion";
    json *s = kube_status_for(
        w->r, w->name, 409, "Conflict",
        "Operation cannot be fulfilled on %s \"%s\": the %s in the precondition (%s) does not match "
        "the %s in record (%s). The object might have been deleted and then recreated",
        kube_qualified(w->r, a), w->name, what, wrong_uid ? uid : rv, what, wrong_uid ? real_uid : real_rv);
    arena_free(a);
    return s;
}

/* Marks it: finalizers, or a kubelet, have to be waited for. */
static json *marked(const struct kube_write *w, const json *live, int64_t grace_s, const char *finalizer) {
    json *o = json_dup(live);
    json *m = kube_metadata(o);
    if (finalizer != NULL) {
        json *list = kube_member(m, "finalizers");
        json_push_str(list != NULL ? list : json_add_array(m, "finalizers"), finalizer);
    }
    char text[TIMEFMT_MAX];
    timefmt_rfc3339(w->k->clock.wall_ms(w->k->clock.ctx) + grace_s * 1000, text);
    json_add_str(m, "deletionTimestamp", text);
    json_add_int64(m, "deletionGracePeriodSeconds", grace_s);
    if (w->r->has_generation) {
        json_add_int64(m, "generation", json_int64_or(live, "metadata.generation", 0) + 1);
    }
    return o;
}

/* What keeps an owner until the garbage collector has seen to what it owns; NULL: nothing. */
static const char *finalizer_of(const struct kube_write *w, const json *options) {
    const char *policy = json_str(options, "propagationPolicy");
    if (w->from_world || w->r->store == KUBE_PODS) {
        return NULL;
    }
    if (str_eq(policy, "Orphan") || json_bool(options, "orphanDependents", false)) {
        return "orphan";
    }
    return str_eq(policy, "Foreground") ? "foregroundDeletion" : NULL;
}

static int64_t grace_of(const struct kube_write *w, const json *live, const json *options) {
    if (w->from_world || w->r->store != KUBE_PODS || !kube_pod_needs_grace(live)) {
        return 0;
    }
    int64_t grace = json_int64_or(live, "spec.terminationGracePeriodSeconds", 30);
    grace = json_int64_or(options, "gracePeriodSeconds", grace);
    return grace < 0 ? 1 : grace > 86400 ? 86400 : grace;
}

json *kube_delete(const struct kube_write *w, const json *options, struct kube_version **out, bool *gone) {
    struct kube_version *live = kube_find(w->k, w->r->store, w->ns, w->name);
    json *refused = live == NULL ? kube_not_found(w->r, w->name) : check_preconditions(w, live, options);
    if (refused != NULL) {
        return refused;
    }
    assert(live != NULL);
    kube_ref(live);
    int64_t grace = grace_of(w, live->value, options);
    bool deleting = json_path(live->value, "metadata.deletionTimestamp") != NULL;
    const char *keeps = deleting ? NULL : finalizer_of(w, options);
    bool waits = json_first(json_array(live->value, "metadata.finalizers")) != NULL || grace > 0 || keeps != NULL;
    *gone = !waits;
    if (waits && deleting) {
        kube_ref(live);
        *out = live;
    } else {
        *out = stored(w, live, waits ? marked(w, live->value, grace, keeps) : json_dup(live->value), !waits);
    }
    kube_unref(live);
    return NULL;
}
