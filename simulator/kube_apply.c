/*
 * kube_apply.c - managedFields and server-side apply.
 *
 * Model: an entry belongs to (manager, operation, apiVersion, subresource). A write that is no apply takes the fields
 * that it changes from everybody; an apply that would change another's field is a conflict, unless it is forced. What a
 * manager applied before and applies no more is removed when nobody else owns it.
 */
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/kube_internal.h"

static const char *const system_fields[] = {"name",
                                            "namespace",
                                            "uid",
                                            "resourceVersion",
                                            "generation",
                                            "generateName",
                                            "creationTimestamp",
                                            "deletionTimestamp",
                                            "deletionGracePeriodSeconds",
                                            "managedFields",
                                            "selfLink"};

static bool is_system_field(const char *name) {
    for (size_t i = 0; i < sizeof system_fields / sizeof system_fields[0]; i++) {
        if (str_eq(system_fields[i], name)) {
            return true;
        }
    }
    return false;
}

/* A view: the members of the new object belong to `from`. */
static void see(json *o, const json *member) {
    if (!cJSON_AddItemReferenceToObject(o, member->string, (json *)(uintptr_t)member)) {
        die("out of memory");
    }
}

static void see_metadata(json *o, const json *metadata) {
    json *m = json_object();
    for (const json *it = json_first(metadata); it != NULL; it = it->next) {
        if (!is_system_field(it->string)) {
            see(m, it);
        }
    }
    if (json_first(m) != NULL) {
        json_add_item(o, "metadata", m);
    } else {
        json_free(m);
    }
}

/* What managers can own of it: a view, that the object has to outlive. */
static json *ownable(const json *object, const struct kube_write *w) {
    bool status_aside = w->r->has_status && !w->from_world;
    json *o = json_object();
    for (const json *it = json_first(object); it != NULL; it = it->next) {
        bool is_status = str_eq(it->string, "status");
        if (w->status_only ? !is_status : is_status && status_aside) {
            continue;
        }
        if (str_eq(it->string, "metadata") && json_is_object(it)) {
            see_metadata(o, it);
        } else if (!str_eq(it->string, "apiVersion") && !str_eq(it->string, "kind")) {
            see(o, it);
        }
    }
    return o;
}

/* ---- entries ---- */

static bool is_entry_of(const json *entry, const struct kube_write *w, const char *operation, const char *version) {
    return str_eq(json_str(entry, "manager"), w->manager) && str_eq(json_str(entry, "operation"), operation) &&
           str_eq(json_str(entry, "apiVersion"), version) &&
           str_eq(json_str(entry, "subresource"), w->status_only ? "status" : NULL);
}

static json *entry_of(json *list, const struct kube_write *w, const char *operation, const char *version) {
    for (json *it = list->child; it != NULL; it = it->next) {
        if (is_entry_of(it, w, operation, version)) {
            return it;
        }
    }
    return NULL;
}

static json *entry_new(json *list, const struct kube_write *w, const char *operation, const char *version) {
    json *e = json_object();
    json_add_str(e, "manager", w->manager);
    json_add_str(e, "operation", operation);
    json_add_str(e, "apiVersion", version);
    json_add_str(e, "time", "");
    json_add_str(e, "fieldsType", "FieldsV1");
    (void)json_add_object(e, "fieldsV1");
    json_add_str(e, "subresource", w->status_only ? "status" : NULL);
    json_push(list, e);
    return e;
}

static void stamp(const struct kube_write *w, json *entry) {
    char now[TIMEFMT_MAX];
    kube_now(w->k, now);
    json_add_str(entry, "time", now);
}

static void remove_entry(json *list, json *entry) {
    json_free(cJSON_DetachItemViaPointer(list, entry));
}

/* Entries that own nothing go, and when there are too many, the oldest of an update. */
static void tidy(json *list) {
    for (json *it = list->child; it != NULL;) {
        json *next = it->next;
        if (kube_fields_empty(json_get(it, "fieldsV1"))) {
            remove_entry(list, it);
        }
        it = next;
    }
    size_t n = json_array_size(list);
    for (json *it = list->child; it != NULL && n > KUBE_MANAGERS_MAX;) {
        json *next = it->next;
        if (str_eq(json_str(it, "operation"), "Update")) {
            remove_entry(list, it);
            n--;
        }
        it = next;
    }
}

static void put_managed(json *object, json *list_take) {
    tidy(list_take);
    if (json_first(list_take) == NULL) {
        kube_drop(kube_metadata(object), "managedFields");
        json_free(list_take);
        return;
    }
    json_add_item(kube_metadata(object), "managedFields", list_take);
}

static json *managed_of(const json *object) {
    const json *list = json_array(object, "metadata.managedFields");
    return list != NULL ? json_dup(list) : json_new_array();
}

void kube_managed_update(const struct kube_write *w, const json *old, json *now) {
    struct arena *a = arena_new(0);
    const char *version = kube_api_version(w->r, a);
    json *list = managed_of(old);
    json *before = ownable(old, w);
    json *after = ownable(now, w);
    json *changed = kube_fields_changed(before, after);
    json *removed = kube_fields_removed(before, after);
    json *mine = entry_of(list, w, "Update", version);

    for (json *it = list->child; it != NULL; it = it->next) {
        kube_fields_subtract(kube_member(it, "fieldsV1"), removed);
        if (it != mine) {
            kube_fields_subtract(kube_member(it, "fieldsV1"), changed);
        }
    }
    if (!kube_fields_empty(changed)) {
        mine = mine != NULL ? mine : entry_new(list, w, "Update", version);
        kube_fields_add(kube_member(mine, "fieldsV1"), changed);
        stamp(w, mine);
    }
    put_managed(now, list);
    json_free(before);
    json_free(after);
    json_free(changed);
    json_free(removed);
    arena_free(a);
}

/* ---- merging what is applied into what is there ---- */

static void merge_value(json *parent, const char *field, const json *config, struct arena *a);

static void merge_members(json *to, const json *config, struct arena *a) {
    for (const json *it = json_first(config); it != NULL; it = it->next) {
        merge_value(to, it->string, it, a);
    }
}

static void merge_items(json *list, const json *config, const struct kube_list_key *lk, struct arena *a) {
    for (const json *it = json_first(config); it != NULL; it = it->next) {
        json *there = kube_fields_item(list, kube_fields_element(it, lk, a));
        if (there == NULL) {
            json_push(list, json_dup(it));
        } else if (json_is_object(it)) {
            merge_members(there, it, a);
        }
    }
}

static bool all_keyed(const json *list, const struct kube_list_key *lk, struct arena *a) {
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        if (kube_fields_element(it, lk, a) == NULL) {
            return false;
        }
    }
    return true;
}

static void merge_value(json *parent, const char *field, const json *config, struct arena *a) {
    json *there = kube_member(parent, field);
    const struct kube_list_key *lk = json_is_array(config) && json_is_array(there) ? kube_list_keys(field) : NULL;
    if (json_is_object(config) && json_is_object(there) && !kube_is_atomic_map(field)) {
        merge_members(there, config, a);
    } else if (lk != NULL && all_keyed(config, lk, a) && all_keyed(there, lk, a)) {
        merge_items(there, config, lk, a);
    } else {
        json_add_item(parent, field, json_dup(config));
    }
}

/* ---- removing what is no longer applied ---- */

static void prune(json *value, const json *gone, const json *kept, bool is_item);

static void prune_one(json *value, const json *gone, const json *kept) {
    const char *e = gone->string;
    json *there = str_has_prefix(e, "f:") ? kube_member(value, e + 2) : kube_fields_item(value, e);
    const json *others = json_get(kept, e);
    if (there == NULL || str_eq(e, ".")) {
        return;
    }
    bool is_item = e[0] == 'k';
    if (json_first(gone) == NULL || (is_item && json_get(gone, ".") != NULL && others == NULL)) {
        json_free(cJSON_DetachItemViaPointer(value, there));
        return;
    }
    prune(there, gone, others, is_item);
    if (!is_item && others == NULL && (json_is_object(there) || json_is_array(there)) && json_first(there) == NULL) {
        json_free(cJSON_DetachItemViaPointer(value, there));
    }
}

/* An item that stays, because another owns a part of it, keeps the fields that are its key. */
static bool is_key_field(const char *e) {
    static const char *const keys[] = {"f:name",     "f:type", "f:mountPath", "f:containerPort",
                                       "f:protocol", "f:uid",  "f:arn"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (str_eq(keys[i], e)) {
            return true;
        }
    }
    return false;
}

static void prune(json *value, const json *gone, const json *kept, bool is_item) {
    for (const json *it = json_first(gone); it != NULL; it = it->next) {
        if (!is_item || !is_key_field(it->string)) {
            prune_one(value, it, kept);
        }
    }
}

/* ---- conflicts ---- */

struct conflict_text {
    struct kube_causes causes;
    const char *who;
};

static void on_conflict(void *arg, const char *path) {
    struct conflict_text *c = arg;
    kube_cause(&c->causes, path, "FieldManagerConflict", "conflict with %s", c->who);
}

static const char *owner_text(const json *entry, struct arena *a) {
    const char *manager = json_str(entry, "manager");
    if (str_eq(json_str(entry, "operation"), "Apply")) {
        return arena_printf(a, "\"%s\"", manager);
    }
    const char *sub = json_str(entry, "subresource");
    return arena_printf(a, "\"%s\"%s%s%s using %s", manager, sub != NULL ? " with subresource \"" : "", str_or(sub, ""),
                        sub != NULL ? "\"" : "", json_str(entry, "apiVersion"));
}

static json *conflict_status(struct conflict_text *c, const struct kube_write *w) {
    if (c->causes.n == 0) {
        return NULL;
    }
    struct buf b;
    buf_init(&b, KUBE_MESSAGE_MAX);
    (void)buf_printf(&b, "Apply failed with %zu conflict%s:", c->causes.n, c->causes.n == 1 ? "" : "s");
    for (const json *it = json_first(c->causes.list); it != NULL; it = it->next) {
        const char *lead = c->causes.n == 1 ? " " : "\n- ";
        (void)buf_printf(&b, "%s%s: %s", lead, json_str(it, "message"), json_str(it, "field"));
    }
    json *causes = json_dup(c->causes.list);
    json *unused = kube_causes_status(&c->causes, w->r, w->name);
    json_free(unused);
    json *s = kube_status(409, "Conflict", "%s", buf_str(&b));
    json_add_item(json_add_object(s, "details"), "causes", causes);
    buf_done(&b);
    return s;
}

/* The others lose what the apply changes (force), or are the reason why it is refused. */
static json *settle_owners(const struct kube_write *w, json *list, const json *mine, const json *changed, bool force,
                           struct arena *a) {
    struct conflict_text c = {0};
    for (json *it = list->child; it != NULL; it = it->next) {
        if (it == mine) {
            continue;
        }
        json *common = kube_fields_common(changed, json_get(it, "fieldsV1"));
        if (force) {
            kube_fields_subtract(kube_member(it, "fieldsV1"), common);
        } else {
            c.who = owner_text(it, a);
            kube_fields_each(common, on_conflict, &c);
        }
        json_free(common);
    }
    return conflict_status(&c, w);
}

/* ---- apply ---- */

static json *kept_by_others(const json *list, const json *mine, const json *applied) {
    json *kept = json_dup(applied);
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        if (it != mine) {
            kube_fields_add(kept, json_get(it, "fieldsV1"));
        }
    }
    return kept;
}

static void prune_former(json *object, json *list, const json *mine, const json *applied) {
    json *gone = json_dup(json_get(mine, "fieldsV1"));
    kube_fields_subtract(gone, applied);
    for (const json *it = list->child; it != NULL && !kube_fields_empty(gone); it = it->next) {
        if (it != mine) {
            kube_fields_subtract(gone, json_get(it, "fieldsV1"));
        }
    }
    if (!kube_fields_empty(gone)) {
        json *kept = kept_by_others(list, mine, applied);
        prune(object, gone, kept, false);
        json_free(kept);
    }
    json_free(gone);
}

static void own(const struct kube_write *w, json *list, json *mine, json *applied_take, const char *version) {
    if (mine != NULL && json_equal(json_get(mine, "fieldsV1"), applied_take)) {
        json_free(applied_take);
        return;
    }
    mine = mine != NULL ? mine : entry_new(list, w, "Apply", version);
    json_add_item(mine, "fieldsV1", applied_take);
    stamp(w, mine);
}

/* What the object becomes; NULL and *refused on a conflict. */
static json *applied_object(const struct kube_write *w, const json *live, const json *config, bool force,
                            json **refused) {
    struct arena *a = arena_new(0);
    const char *version = kube_api_version(w->r, a);
    json *mine_config = ownable(config, w);
    json *applied = kube_fields_of(mine_config);
    json *object = json_dup(live);
    json *list = managed_of(live);
    json *mine = entry_of(list, w, "Apply", version);

    merge_members(object, mine_config, a);
    json *changed = kube_fields_changed(live, object);
    *refused = settle_owners(w, list, mine, changed, force, a);
    if (*refused == NULL) {
        if (mine != NULL) {
            prune_former(object, list, mine, applied);
        }
        own(w, list, mine, applied, version);
        put_managed(object, list);
    } else {
        json_free(applied);
        json_free(list);
        json_free(object);
        object = NULL;
    }
    json_free(changed);
    json_free(mine_config);
    arena_free(a);
    return object;
}

static json *apply_new(const struct kube_write *w, json *config_take, struct kube_version **out) {
    struct arena *a = arena_new(0);
    json *mine = ownable(config_take, w);
    json *list = json_new_array();
    struct kube_write created = *w;

    own(w, list, NULL, kube_fields_of(mine), kube_api_version(w->r, a));
    put_managed(config_take, list);
    json_free(mine);
    arena_free(a);
    created.applied = true;
    return kube_create(&created, config_take, out);
}

/* Items with the same key twice: nobody could own one of them. */
static const char *duplicate_key(const char *field, const json *value, struct arena *a) {
    const struct kube_list_key *lk = json_is_array(value) ? kube_list_keys(field) : NULL;
    const char *found = NULL;
    struct strlist seen = {0};
    for (const json *it = json_is_object(value) || json_is_array(value) ? json_first(value) : NULL;
         it != NULL && found == NULL; it = it->next) {
        const char *e = lk != NULL ? kube_fields_element(it, lk, a) : NULL;
        found = e != NULL && strlist_has(&seen, e) ? e + 2 : duplicate_key(str_or(it->string, ""), it, a);
        if (e != NULL) {
            strlist_add(&seen, e, a);
        }
    }
    return found;
}

static json *check_config(const struct kube_write *w, const struct kube_version *live, const json *config) {
    struct arena *a = arena_new(0);
    const char *uid = json_str(config, "metadata.uid");
    const char *name = kube_name_of(config);
    const char *twice = duplicate_key("", config, a);
    json *refused = NULL;

    if (!str_eq(json_str(config, "kind"), w->r->kind) ||
        !str_eq(json_str(config, "apiVersion"), kube_api_version(w->r, a))) {
        refused = kube_status(400, "BadRequest", "invalid object type: %s, Kind=%s",
                              str_or(json_str(config, "apiVersion"), ""), str_or(json_str(config, "kind"), ""));
    } else if (json_path(config, "metadata.managedFields") != NULL) {
        refused = kube_status(400, "BadRequest", "metadata.managedFields must be nil");
    } else if (live == NULL && w->status_only) {
        refused = kube_not_found(w->r, w->name);
    } else if (live == NULL && uid != NULL) {
        refused =
            kube_status_for(w->r, w->name, 409, "Conflict",
                            "Operation cannot be fulfilled on %s \"%s\": uid mismatch: the provided object specified "
                            "uid %s, and no existing object was found",
                            kube_qualified(w->r, a), w->name, uid);
    } else if (live == NULL && name == NULL) {
        refused = kube_status(400, "BadRequest", "the name of the object (%s based on URL) was undeterminable: %s",
                              w->name, "name must be provided");
    } else if (twice != NULL) {
        refused = kube_status(500, NULL, "failed to create typed patch object: duplicate entries for key %s", twice);
    }
    arena_free(a);
    return refused;
}

/* An applied field that the schema does not know is refused, whatever fieldValidation says. */
static json *check_declared(const struct kube_write *w, const json *config) {
    const json *schema =
        w->r->store == KUBE_BINDINGS ? json_path(kube_crd_version(w->k), "schema.openAPIV3Schema") : NULL;
    struct arena *a = arena_new(0);
    struct strlist unknown = {0};
    json *refused = NULL;
    if (schema != NULL) {
        json *copy = json_dup(config);
        kube_schema_prepare(schema, copy, &unknown, a);
        json_free(copy);
    }
    if (unknown.n > 0) {
        refused = kube_status(
            500, NULL, "failed to create typed patch object (/%s; %s, Kind=%s): .%s: field not declared in schema",
            w->name, kube_api_version(w->r, a), w->r->kind, unknown.v[0]);
    }
    arena_free(a);
    return refused;
}

json *kube_apply(const struct kube_write *w, struct kube_version *live, json *config_take, bool force,
                 struct kube_version **out) {
    json *refused = check_config(w, live, config_take);
    refused = refused != NULL ? refused : check_declared(w, config_take);
    if (refused == NULL && live == NULL) {
        return apply_new(w, config_take, out);
    }
    if (refused == NULL) {
        json *object = applied_object(w, live->value, config_take, force, &refused);
        if (object != NULL) { /* preconditions are in the config: a stale one is refused though nothing would change */
            static const char *const asked[] = {"uid", "resourceVersion", "name", "namespace"};
            for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
                const char *value = json_key_str(json_get(config_take, "metadata"), asked[i]);
                json_add_str(kube_metadata(object), asked[i], value);
            }
            struct kube_write applied = *w;
            applied.applied = true;
            refused = kube_update(&applied, live, object, true, out);
        }
    }
    json_free(config_take);
    return refused;
}
