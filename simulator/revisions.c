/*
 * revisions.c - ControllerRevisions: what kubectl rollout history and undo go by. The DaemonSet controller keeps one for each
 * template that aws-node had; the one in use has the highest number.
 */
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/world_internal.h"

#define HISTORY_MAX 10 /* as revisionHistoryLimit is by default: of those that no pod is of any more */

struct history {
    struct arena *a;
    const char *uid;
    int64_t last;
    struct strlist unused; /* names; the oldest is the lowest number */
    struct strlist in_use; /* hashes */
    int64_t lowest;
    const char *oldest;
};

static const char *hash_of(const json *object) {
    return str_or(json_key_str(json_path(object, "metadata.labels"), HASH_LABEL), "");
}

static void note_pod(void *arg, const json *pod) {
    struct history *h = arg;
    if (!strlist_has(&h->in_use, hash_of(pod)))
        strlist_add(&h->in_use, hash_of(pod), h->a);
}

static void note_revision(void *arg, const json *revision) {
    struct history *h = arg;
    const json *owner = json_first(json_array(revision, "metadata.ownerReferences"));
    int64_t number = json_int64_or(revision, "revision", 0);
    if (!owner || !str_eq(json_str(owner, "uid"), h->uid))
        return;
    h->last = number > h->last ? number : h->last;
    if (strlist_has(&h->in_use, hash_of(revision)))
        return;
    const char *name = json_str(revision, "metadata.name");
    strlist_add(&h->unused, name, h->a);
    if (!h->oldest || number < h->lowest) {
        h->lowest = number;
        h->oldest = arena_strdup(h->a, name);
    }
}

static void add_owner(json *meta, const json *ds) {
    json *owner = json_object();
    json_add_str(owner, "apiVersion", "apps/v1");
    json_add_str(owner, "kind", "DaemonSet");
    json_add_str(owner, "name", json_str(ds, "metadata.name"));
    json_add_str(owner, "uid", json_str(ds, "metadata.uid"));
    json_add_bool(owner, "controller", true);
    json_add_bool(owner, "blockOwnerDeletion", true);
    json_push(json_add_array(meta, "ownerReferences"), owner);
}

static json *new_revision(const json *ds, const char *hash, const char *name, int64_t number) {
    json *r = json_object();
    json *meta = json_add_object(r, "metadata");
    json_add_str(meta, "name", name);
    json_add_str(meta, "namespace", "kube-system");
    const json *labels = json_path(ds, "spec.template.metadata.labels");
    json_add_item(meta, "labels", json_is_object(labels) ? json_dup(labels) : json_object());
    json_add_str(cJSON_GetObjectItemCaseSensitive(meta, "labels"), HASH_LABEL, hash);
    add_owner(meta, ds);
    json_add_str(r, "apiVersion", "apps/v1");
    json_add_str(r, "kind", "ControllerRevision");
    json_add_int64(r, "revision", number);
    json *template = json_dup(json_path(ds, "spec.template"));
    json_add_str(template, "$patch", "replace");
    json_add_item(json_add_object(json_add_object(r, "data"), "spec"), "template", template);
    return r;
}

/* A template that comes again gets the next number; false: it is an older DaemonSet's, which is on its way out. */
static bool number_it(struct sim_world *w, const json *ds, const char *hash, const struct history *h) {
    const char *name = arena_printf(h->a, "aws-node-%s", hash);
    const json *there = sim_kube_get(w->kube, "controllerrevisions", "kube-system", name);
    if (!there)
        return sim_kube_create(w->kube, "controllerrevisions", new_revision(ds, hash, name, h->last + 1));
    const json *owner = json_first(json_array(there, "metadata.ownerReferences"));
    if (owner && !str_eq(json_str(owner, "uid"), h->uid))
        return false;
    if (owner && json_int64_or(there, "revision", 0) == h->last)
        return true;
    json *next = json_dup(there);
    json_add_int64(next, "revision", h->last + 1);
    add_owner(cJSON_GetObjectItemCaseSensitive(next, "metadata"), ds); /* adopted, if it was left behind */
    return sim_kube_update(w->kube, "controllerrevisions", next);
}

void revisions_keep(struct sim_world *w, const json *ds, const char *hash) {
    char now[sizeof w->revision_of];
    struct arena *a;
    const char *uid = str_or(json_str(ds, "metadata.uid"), "");
    (void)snprintf(now, sizeof now, "%s %s", hash, uid);
    if (str_eq(now, w->revision_of))
        return;
    a = arena_new(0);
    struct history h = {.a = a, .uid = uid};
    sim_kube_each(w->kube, "pods", "kube-system", note_pod, &h);
    strlist_add(&h.in_use, hash, a);
    sim_kube_each(w->kube, "controllerrevisions", "kube-system", note_revision, &h);
    if (number_it(w, ds, hash, &h))
        memcpy(w->revision_of, now, sizeof now);
    if (h.unused.n > HISTORY_MAX)
        sim_kube_delete(w->kube, "controllerrevisions", "kube-system", h.oldest);
    arena_free(a);
}
