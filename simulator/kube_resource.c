/* kube_resource.c - the resources that the simulated API server serves. */
#include "platform/base/str.h"
#include "simulator/kube_internal.h"

static const struct kube_resource resources[] = {
    {KUBE_NAMESPACES, "namespaces", "", "v1", "Namespace", "namespace", "ns", false, true, false},
    {KUBE_NODES, "nodes", "", "v1", "Node", "node", "no", false, true, false},
    {KUBE_PODS, "pods", "", "v1", "Pod", "pod", "po", true, true, true},
    {KUBE_SERVICEACCOUNTS, "serviceaccounts", "", "v1", "ServiceAccount", "serviceaccount", "sa", true, false, false},
    {KUBE_EVENTS, "events", "", "v1", "Event", "event", "ev", true, false, false},
    {KUBE_CONFIGMAPS, "configmaps", "", "v1", "ConfigMap", "configmap", "cm", true, false, false},
    {KUBE_DAEMONSETS, "daemonsets", "apps", "v1", "DaemonSet", "daemonset", "ds", true, true, true},
    {KUBE_CONTROLLERREVISIONS, "controllerrevisions", "apps", "v1", "ControllerRevision", "controllerrevision", NULL,
     true, false, false},
    {KUBE_LEASES, "leases", "coordination.k8s.io", "v1", "Lease", "lease", NULL, true, false, false},
    {KUBE_EVENTS, "events", "events.k8s.io", "v1", "Event", "event", "ev", true, false, false},
    {KUBE_CRDS, "customresourcedefinitions", "apiextensions.k8s.io", "v1", "CustomResourceDefinition",
     "customresourcedefinition", "crd", false, true, true},
    {KUBE_BINDINGS, "cniiambindings", "cniiam.dev", "v1alpha1", "CniIamBinding", "cniiambinding", "cib", false, true,
     true},
    {KUBE_WEBHOOKS, "mutatingwebhookconfigurations", "admissionregistration.k8s.io", "v1",
     "MutatingWebhookConfiguration", "mutatingwebhookconfiguration", NULL, false, false, true},
    {KUBE_CLUSTERROLES, "clusterroles", "rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterrole", NULL, false,
     false, false},
    {KUBE_CLUSTERROLEBINDINGS, "clusterrolebindings", "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding",
     "clusterrolebinding", NULL, false, false, false},
    {KUBE_ROLES, "roles", "rbac.authorization.k8s.io", "v1", "Role", "role", NULL, true, false, false},
    {KUBE_ROLEBINDINGS, "rolebindings", "rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebinding", NULL, true,
     false, false},
    {KUBE_NO_STORE, "selfsubjectaccessreviews", "authorization.k8s.io", "v1", "SelfSubjectAccessReview",
     "selfsubjectaccessreview", NULL, false, false, false},
    {KUBE_NO_STORE, "selfsubjectrulesreviews", "authorization.k8s.io", "v1", "SelfSubjectRulesReview",
     "selfsubjectrulesreview", NULL, false, false, false},
    {KUBE_NO_STORE, "selfsubjectreviews", "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreview", NULL,
     false, false, false},
};
#define RESOURCES (sizeof resources / sizeof resources[0])

const struct kube_resource *kube_resource_at(size_t index) {
    return index < RESOURCES ? &resources[index] : NULL;
}

const struct kube_resource *kube_resource_find(const char *group, const char *version, const char *plural) {
    for (size_t i = 0; i < RESOURCES; i++) {
        const struct kube_resource *r = &resources[i];
        if (str_eq(r->group, group) && str_eq(r->version, version) && str_eq(r->plural, plural)) {
            return r;
        }
    }
    return NULL;
}

const struct kube_resource *kube_resource_named(const char *plural) {
    for (size_t i = 0; i < RESOURCES; i++) {
        if (str_eq(resources[i].plural, plural) && resources[i].store != KUBE_NO_STORE) {
            return &resources[i];
        }
    }
    return NULL;
}

const char *kube_api_version(const struct kube_resource *r, struct arena *a) {
    return str_empty(r->group) ? r->version : arena_printf(a, "%s/%s", r->group, r->version);
}

const char *kube_qualified(const struct kube_resource *r, struct arena *a) {
    return str_empty(r->group) ? r->plural : arena_printf(a, "%s.%s", r->plural, r->group);
}
