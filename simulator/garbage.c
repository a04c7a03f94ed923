/*
 * garbage.c - the garbage collector: what is owned goes when its owner is gone, or is set free first.
 *
 * An owner that is deleted with propagationPolicy Orphan or Foreground stays until its finalizer is taken off here: when
 * nothing refers to it any more, or when nothing that it owned is left. It looks where an owner goes, not at what was made
 * for an owner that never was.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/world_internal.h"

#define SYNC_MS 20
#define OWNED_MAX SIM_WORLD_NODES_MAX /* that are looked at in one go; the others in the next */

static const struct {
    const char *kind, *resource;
    bool namespaced;
} owners[] = {{"DaemonSet", "daemonsets", true},
              {"ConfigMap", "configmaps", true},
              {"ServiceAccount", "serviceaccounts", true},
              {"CniIamBinding", "cniiambindings", false}};
#define OWNERS (sizeof owners / sizeof *owners)
static const struct {
    const char *resource, *api;
} owned[] = {{"pods", "api/v1"}, {"configmaps", "api/v1"}, {"controllerrevisions", "apis/apps/v1"}};
#define OWNED (sizeof owned / sizeof *owned)

static bool has_finalizer(const json *object, const char *name) {
    for (const json *f = json_first(json_array(object, "metadata.finalizers")); f; f = f->next)
        if (str_eq(json_is_string(f) ? f->valuestring : NULL, name))
            return true;
    return false;
}

static bool is_orphaning(const json *owner) {
    return json_str(owner, "metadata.deletionTimestamp") && has_finalizer(owner, "orphan");
}

static bool is_in_foreground(const json *owner) {
    return json_str(owner, "metadata.deletionTimestamp") && has_finalizer(owner, "foregroundDeletion");
}

/* --- what is owned --- */

/* An object of the kind that it says, or NULL; known: there are such kinds here. */
static const json *owner_of(struct sim_world *w, const json *object, const json *reference, bool *known) {
    for (size_t i = 0; i < OWNERS; i++)
        if (str_eq(json_str(reference, "kind"), owners[i].kind)) {
            const json *found = sim_kube_get(w->kube, owners[i].resource,
                                             owners[i].namespaced ? json_str(object, "metadata.namespace") : NULL,
                                             str_or(json_str(reference, "name"), ""));
            *known = true;
            return found && str_eq(json_str(found, "metadata.uid"), json_str(reference, "uid")) ? found : NULL;
        }
    *known = false;
    return NULL;
}

struct sweep {
    struct sim_world *w;
    struct arena *a;
    json *v[OWNED_MAX];
    size_t n;
};

static void note_owned(void *arg, const json *object) {
    struct sweep *s = arg;
    if (s->n < OWNED_MAX && json_first(json_array(object, "metadata.ownerReferences")) &&
        !json_str(object, "metadata.deletionTimestamp"))
        s->v[s->n++] = json_dup(object);
}

static void set_free(struct sim_world *w, const char *resource, const json *object, const char *uid) {
    json *next = json_dup(object), *kept = json_new_array();
    for (const json *r = json_first(json_array(next, "metadata.ownerReferences")); r; r = r->next)
        if (!str_eq(json_str(r, "uid"), uid))
            json_push(kept, json_dup(r));
    json_add_item(cJSON_GetObjectItemCaseSensitive(next, "metadata"), "ownerReferences", kept);
    sim_kube_update(w->kube, resource, next);
}

/* As everybody deletes: a pod that runs is left to its kubelet. */
static void collect(const struct sweep *s, size_t kind, const json *object) {
    const char *ns = json_str(object, "metadata.namespace"), *name = json_str(object, "metadata.name");
    const char *body = arena_printf(s->a, "{\"preconditions\":{\"uid\":\"%s\"}}", json_str(object, "metadata.uid"));
    const char *path = arena_printf(s->a, "/%s/namespaces/%s/%s/%s", owned[kind].api, ns, owned[kind].resource, name);
    struct sim_http_request req = {.method = "DELETE",
                                   .path = path,
                                   .query = "",
                                   .content_type = "application/json",
                                   .user_agent = "kube-controller-manager/generic-garbage-collector",
                                   .body = body,
                                   .body_len = strlen(body)};
    struct sim_http_answer answer = {0};
    sim_kube_http(s->w->kube, &req, &answer);
    free(answer.body);
}

/* One owner that stays is enough to stay. */
static void judge(const struct sweep *s, size_t kind, const json *object) {
    bool stays = false;
    for (const json *r = json_first(json_array(object, "metadata.ownerReferences")); r; r = r->next) {
        bool known;
        const json *owner = owner_of(s->w, object, r, &known);
        if (owner && is_orphaning(owner)) {
            set_free(s->w, owned[kind].resource, object, json_str(r, "uid"));
            return;
        }
        stays = stays || !known || (owner && !is_in_foreground(owner));
    }
    if (!stays)
        collect(s, kind, object);
}

static void look_at_owned(struct sim_world *w, struct arena *a) {
    struct sweep *s = ARENA_NEW(a, struct sweep);
    s->w = w;
    s->a = a;
    for (size_t kind = 0; kind < OWNED; kind++) {
        s->n = 0;
        sim_kube_each(w->kube, owned[kind].resource, NULL, note_owned, s);
        for (size_t i = 0; i < s->n; i++) {
            judge(s, kind, s->v[i]);
            json_free(s->v[i]);
        }
    }
}

/* --- owners that wait --- */

struct search {
    const char *uid;
    bool found;
};

static void look_for_reference(void *arg, const json *object) {
    struct search *f = arg;
    for (const json *r = json_first(json_array(object, "metadata.ownerReferences")); r && !f->found; r = r->next)
        f->found = str_eq(json_str(r, "uid"), f->uid);
}

static bool owns_something(struct sim_world *w, const char *uid) {
    struct search f = {.uid = uid};
    for (size_t kind = 0; kind < OWNED; kind++)
        sim_kube_each(w->kube, owned[kind].resource, NULL, look_for_reference, &f);
    return f.found;
}

static void note_waiting(void *arg, const json *object) {
    struct sweep *s = arg;
    if (s->n < OWNED_MAX && (is_orphaning(object) || is_in_foreground(object)))
        s->v[s->n++] = json_dup(object);
}

static void let_go(struct sim_world *w, const char *resource, json *owner) {
    json *kept = json_new_array();
    for (const json *f = json_first(json_array(owner, "metadata.finalizers")); f; f = f->next)
        if (!str_eq(f->valuestring, "orphan") && !str_eq(f->valuestring, "foregroundDeletion"))
            json_push(kept, json_dup(f));
    bool others = json_first(kept) != NULL;
    json_add_item(cJSON_GetObjectItemCaseSensitive(owner, "metadata"), "finalizers", kept);
    if (others)
        sim_kube_update(w->kube, resource, json_dup(owner));
    else if (sim_kube_update(w->kube, resource, json_dup(owner)))
        (void)sim_kube_delete(w->kube, resource, json_str(owner, "metadata.namespace"),
                              json_str(owner, "metadata.name"));
}

static void look_at_owners(struct sim_world *w, struct arena *a) {
    struct sweep *s = ARENA_NEW(a, struct sweep);
    w->owners_wait = false;
    for (size_t i = 0; i < OWNERS; i++) {
        s->n = 0;
        sim_kube_each(w->kube, owners[i].resource, NULL, note_waiting, s);
        for (size_t k = 0; k < s->n; k++) {
            if (owns_something(w, json_str(s->v[k], "metadata.uid")))
                w->owners_wait = true;
            else
                let_go(w, owners[i].resource, s->v[k]);
            json_free(s->v[k]);
        }
    }
}

static void on_timer(void *arg) {
    struct sim_world *w = arg;
    struct arena *a = arena_new(0);
    w->garbage_timer = 0;
    look_at_owned(w, a);
    look_at_owners(w, a);
    arena_free(a);
}

static bool is_owner(const char *resource) {
    for (size_t i = 0; i < OWNERS; i++)
        if (str_eq(resource, owners[i].resource))
            return true;
    return false;
}

void garbage_on_write(struct sim_world *w, const char *type, const char *resource, const json *object) {
    bool goes = is_owner(resource) && (str_eq(type, "DELETED") || is_orphaning(object) || is_in_foreground(object));
    bool went = w->owners_wait && str_eq(type, "DELETED");
    if ((goes || went) && !w->garbage_timer)
        w->garbage_timer = world_after(w, SYNC_MS, on_timer, w);
}
