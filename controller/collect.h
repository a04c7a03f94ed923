/*
 * collect.h - the world's objects, from the informers (controller) or from one LIST each (plan).
 *
 * Model: a cluster_view owns what a struct world borrows. Frozen: what changes meanwhile is in the next one.
 * Ownership: *_free.   Errors: as the LISTs give them.
 */
#ifndef CNI_IAM_CONTROLLER_COLLECT_H
#define CNI_IAM_CONTROLLER_COLLECT_H

#include <stdbool.h>

#include "informers/informer.h"
#include "platform/port/effector.h"
#include "reconcilers/reconcile.h"

enum watched {
    WATCH_BINDINGS,
    WATCH_SERVICE_ACCOUNT,
    WATCH_DAEMON_SET,
    WATCH_PODS,
    WATCH_NODES,
    WATCH_EVENTS,
    WATCH_COUNT
};

struct watched_kind {
    struct watch_target target;
    void *(*decode)(const json *object, struct error *err);
    void (*free_view)(void *view);
};
const struct watched_kind *watched_kind(enum watched w);

/* From informers: takes snapshots; false if there is no binding of that name. */
struct cluster_view;
bool cluster_view_from_informers(struct informer *const informers[WATCH_COUNT], const char *name, struct arena *a,
                                 struct world *w, struct cluster_view **out);
void cluster_view_free(struct cluster_view *v);

/* From LIST values in the order of enum watched (each {"items": [...]}, may be NULL). Objects that can not be read are an error. */
struct cluster_view *cluster_view_from_lists(json *const lists[WATCH_COUNT], struct error *err);
void cluster_view_fill(const struct cluster_view *v, const struct cib_binding *binding, struct arena *a,
                       struct world *w);

#endif
