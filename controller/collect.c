#include "controller/collect.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"

/* Untyped twins of the decoders: an informer holds views of one kind each. */
#define KIND(kind, decode_fn, free_fn)                                                                                 \
    static void *decode_##kind(const json *o, struct error *err) {                                                     \
        return decode_fn(o, err);                                                                                      \
    }                                                                                                                  \
    static void free_##kind(void *v) {                                                                                 \
        free_fn(v);                                                                                                    \
    }
KIND(binding, cib_decode, cib_free)
KIND(service_account, service_account_decode, service_account_free)
KIND(daemon_set, daemon_set_decode, daemon_set_free)
KIND(pod, pod_decode, pod_free)
KIND(node, node_decode, node_free)
KIND(event, event_decode, event_free)
#undef KIND

static const struct watched_kind kinds[WATCH_COUNT] = {
    [WATCH_BINDINGS] = {{.resource = CIB_RESOURCE}, decode_binding, free_binding},
    [WATCH_SERVICE_ACCOUNT] = {{.resource = "serviceaccounts",
                                .ns = "kube-system",
                                .field_selector = "metadata.name=aws-node"},
                               decode_service_account,
                               free_service_account},
    [WATCH_DAEMON_SET] = {{.resource = "daemonsets", .ns = "kube-system", .field_selector = "metadata.name=aws-node"},
                          decode_daemon_set,
                          free_daemon_set},
    [WATCH_PODS] = {{.resource = "pods", .ns = "kube-system", .label_selector = "k8s-app=aws-node"},
                    decode_pod,
                    free_pod},
    /* Whole objects: the providerID is in spec, which metadata-only leaves out (K-I9). */
    [WATCH_NODES] = {{.resource = "nodes"}, decode_node, free_node},
    [WATCH_EVENTS] = {{.resource = "events", .ns = "kube-system", .field_selector = "reason=MissingIAMPermissions"},
                      decode_event,
                      free_event},
};

const struct watched_kind *watched_kind(enum watched w) {
    return &kinds[w];
}

struct cluster_view {
    const struct cache_snapshot *snapshots[WATCH_COUNT]; /* from informers */
    void **views[WATCH_COUNT];                           /* owned, from lists */
    size_t n[WATCH_COUNT];
};

void cluster_view_free(struct cluster_view *v) {
    if (!v)
        return;
    for (int k = 0; k < WATCH_COUNT; k++) {
        if (v->snapshots[k])
            cache_snapshot_release(v->snapshots[k]);
        for (size_t i = 0; v->views[k] && i < v->n[k]; i++)
            kinds[k].free_view(v->views[k][i]);
        free(v->views[k]);
    }
    free(v);
}

static const void *const *views_of(const struct cluster_view *v, enum watched k, size_t *n) {
    if (v->snapshots[k]) {
        *n = v->snapshots[k]->n;
        return v->snapshots[k]->views;
    }
    *n = v->n[k];
    return (const void *const *)v->views[k];
}

static const void *only(const struct cluster_view *v, enum watched k) {
    size_t n;
    const void *const *views = views_of(v, k, &n);
    return n ? views[0] : NULL;
}

/* The binding itself may be none of those listed (plan -f of one that is not applied yet): it then stands in the list beside them. */
void cluster_view_fill(const struct cluster_view *v, const struct cib_binding *binding, struct arena *a,
                       struct world *w) {
    size_t n;
    const void *const *all = views_of(v, WATCH_BINDINGS, &n);
    const struct cib_binding **bindings = ARENA_ARRAY(a, n + 1, const struct cib_binding *);
    w->nbindings = 0;
    for (size_t i = 0; i < n; i++) {
        const struct cib_binding *b = all[i];
        if (!str_eq(b->name, binding->name))
            bindings[w->nbindings++] = b;
    }
    bindings[w->nbindings++] = binding;
    w->bindings = bindings;
    w->binding = binding;
    w->service_account = only(v, WATCH_SERVICE_ACCOUNT);
    w->daemon_set = only(v, WATCH_DAEMON_SET);
    w->pods = (const struct pod_view *const *)views_of(v, WATCH_PODS, &w->npods);
    w->nodes = (const struct node_view *const *)views_of(v, WATCH_NODES, &w->nnodes);
    w->events = (const struct event_view *const *)views_of(v, WATCH_EVENTS, &w->nevents);
}

static struct cluster_view *view_new(void) {
    struct cluster_view *v = calloc(1, sizeof *v);
    if (!v)
        die("out of memory");
    return v;
}

bool cluster_view_from_informers(struct informer *const informers[WATCH_COUNT], const char *name, struct arena *a,
                                 struct world *w, struct cluster_view **out) {
    struct cluster_view *v = view_new();
    const struct cib_binding *binding = NULL;
    for (int k = 0; k < WATCH_COUNT; k++)
        v->snapshots[k] = informer_snapshot(informers[k]);
    const struct cache_snapshot *all = v->snapshots[WATCH_BINDINGS];
    for (size_t i = 0; i < all->n; i++)
        if (str_eq(((const struct cib_binding *)all->views[i])->name, name))
            binding = all->views[i];
    if (!binding) {
        cluster_view_free(v);
        return false;
    }
    cluster_view_fill(v, binding, a, w);
    *out = v;
    return true;
}

static bool decode_list(struct cluster_view *v, enum watched k, const json *list, struct error *err) {
    const json *items = json_array(list, "items");
    size_t n = json_array_size(items);
    v->views[k] = calloc(n ? n : 1, sizeof *v->views[k]);
    if (!v->views[k])
        die("out of memory");
    for (const json *it = json_first(items); it; it = it->next) {
        void *view = kinds[k].decode(it, err);
        if (!view)
            return error_wrap(err, "%s", kinds[k].target.resource);
        v->views[k][v->n[k]++] = view;
    }
    return true;
}

struct cluster_view *cluster_view_from_lists(json *const lists[WATCH_COUNT], struct error *err) {
    struct cluster_view *v = view_new();
    for (int k = 0; k < WATCH_COUNT; k++)
        if (!decode_list(v, (enum watched)k, lists[k], err)) {
            cluster_view_free(v);
            return NULL;
        }
    return v;
}
