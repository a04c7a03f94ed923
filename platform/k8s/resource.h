/*
 * resource.h - the kinds that we speak of: plural name to API path, and the encoding of that path.
 *
 * Model: a constant table. Every segment and every query value is percent-encoded here and nowhere else; callers give
 * plain text. "events" is core/v1 (what kubectl and the kubelet's events are read as); "events.events.k8s.io" is the
 * new API that we write with (K-E1).
 *
 * Ownership: the table is static; paths live in the caller's arena.
 *
 * Errors: NULL and ERR_INVALID: unknown resource, a namespaced one without namespace where one is needed, a
 * cluster-scoped one with one.
 *
 * Bounds: K8S_PATH_MAX bytes.
 */
#ifndef CNI_IAM_K8S_RESOURCE_H
#define CNI_IAM_K8S_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"

#define K8S_PATH_MAX 16384

struct k8s_resource {
    const char *name;        /* how effects and watch targets call it */
    const char *plural;      /* in the path */
    const char *group;       /* "" for core */
    const char *api_version; /* "apps/v1" */
    const char *kind;
    bool namespaced;
};

const struct k8s_resource *k8s_resource_find(const char *name); /* NULL: unknown */
const struct k8s_resource *k8s_resource_at(size_t index);       /* NULL behind the last */

struct k8s_query {
    const char *name;
    const char *value; /* NULL: left out */
};

/*
 * "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node/status?fieldManager=x". `ns` NULL on a namespaced resource
 * without name = all namespaces. name and subresource may be NULL.
 */
char *k8s_path(const struct k8s_resource *r, const char *ns, const char *name, const char *subresource,
               const struct k8s_query *query, size_t nquery, struct arena *a, struct error *err);

#endif
