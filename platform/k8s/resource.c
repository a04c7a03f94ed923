#include "platform/k8s/resource.h"

#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/str.h"

static const struct k8s_resource resources[] = {
    {"serviceaccounts", "serviceaccounts", "", "v1", "ServiceAccount", true},
    {"pods", "pods", "", "v1", "Pod", true},
    {"nodes", "nodes", "", "v1", "Node", false},
    {"namespaces", "namespaces", "", "v1", "Namespace", false},
    {"configmaps", "configmaps", "", "v1", "ConfigMap", true},
    {"events", "events", "", "v1", "Event", true},
    {"events.events.k8s.io", "events", "events.k8s.io", "events.k8s.io/v1", "Event", true},
    {"daemonsets", "daemonsets", "apps", "apps/v1", "DaemonSet", true},
    {"controllerrevisions", "controllerrevisions", "apps", "apps/v1", "ControllerRevision", true},
    {"leases", "leases", "coordination.k8s.io", "coordination.k8s.io/v1", "Lease", true},
    {"cniiambindings", "cniiambindings", "cniiam.dev", "cniiam.dev/v1alpha1", "CniIamBinding", false},
    {"customresourcedefinitions", "customresourcedefinitions", "apiextensions.k8s.io", "apiextensions.k8s.io/v1",
     "CustomResourceDefinition", false},
    {"mutatingwebhookconfigurations", "mutatingwebhookconfigurations", "admissionregistration.k8s.io",
     "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", false},
    {"selfsubjectaccessreviews", "selfsubjectaccessreviews", "authorization.k8s.io", "authorization.k8s.io/v1",
     "SelfSubjectAccessReview", false},
};
#define RESOURCES (sizeof resources / sizeof resources[0])

const struct k8s_resource *k8s_resource_find(const char *name) {
    for (size_t i = 0; i < RESOURCES; i++) {
        if (str_eq(resources[i].name, name)) {
            return &resources[i];
        }
    }
    return NULL;
}

const struct k8s_resource *k8s_resource_at(size_t index) {
    return index < RESOURCES ? &resources[index] : NULL;
}

/* The server would take "." and ".." for directions, and an empty segment for the collection. */
static bool segment_is_sound(const char *s) {
    return !str_empty(s) && !str_eq(s, ".") && !str_eq(s, "..");
}

static bool check_scope(const struct k8s_resource *r, const char *ns, const char *name, const char *subresource,
                        struct error *err) {
    if (ns != NULL && !r->namespaced) {
        return error_set(err, ERR_INVALID, "%s are cluster-scoped; a namespace was given", r->name);
    }
    if (ns == NULL && name != NULL && r->namespaced) {
        return error_set(err, ERR_INVALID, "%s \"%s\" needs a namespace", r->name, name);
    }
    if (subresource != NULL && name == NULL) {
        return error_set(err, ERR_INVALID, "%s/%s needs a name", r->name, subresource);
    }
    if ((ns != NULL && !segment_is_sound(ns)) || (name != NULL && !segment_is_sound(name)) ||
        (subresource != NULL && !segment_is_sound(subresource))) {
        return error_set(err, ERR_INVALID, "%s: a namespace, name or subresource is empty or made of dots", r->name);
    }
    return true;
}

static void put_segment(struct buf *b, const char *segment, struct arena *a) {
    (void)buf_putc(b, '/');
    (void)buf_puts(b, str_percent_encode(segment, "", a));
}

static void put_query(struct buf *b, const struct k8s_query *query, size_t nquery, struct arena *a) {
    char separator = '?';
    for (size_t i = 0; i < nquery; i++) {
        if (query[i].value != NULL) {
            (void)buf_putc(b, separator);
            (void)buf_puts(b, str_percent_encode(query[i].name, "", a));
            (void)buf_putc(b, '=');
            (void)buf_puts(b, str_percent_encode(query[i].value, "", a));
            separator = '&';
        }
    }
}

char *k8s_path(const struct k8s_resource *r, const char *ns, const char *name, const char *subresource,
               const struct k8s_query *query, size_t nquery, struct arena *a, struct error *err) {
    if (!check_scope(r, ns, name, subresource, err)) {
        return NULL;
    }
    struct buf b;
    buf_init(&b, K8S_PATH_MAX);
    (void)buf_printf(&b, "/%s/%s", str_empty(r->group) ? "api" : "apis", r->api_version);
    if (ns != NULL) {
        (void)buf_puts(&b, "/namespaces");
        put_segment(&b, ns, a);
    }
    put_segment(&b, r->plural, a);
    if (name != NULL) {
        put_segment(&b, name, a);
    }
    if (subresource != NULL) {
        put_segment(&b, subresource, a);
    }
    put_query(&b, query, nquery, a);
    char *path = b.overflow ? NULL : arena_strdup(a, buf_str(&b));
    buf_done(&b);
    if (path == NULL) {
        (void)error_set(err, ERR_TOO_LARGE, "a request's path is longer than %d bytes", K8S_PATH_MAX);
    }
    return path;
}
