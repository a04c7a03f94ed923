/* kube_discovery.c - /version, /api, /apis, health, the issuer's documents, and as much OpenAPI as kubectl asks for. */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"

static json *kind_of(const char *kind, const char *version) {
    json *o = json_object();
    json_add_str(o, "kind", kind);
    json_add_str(o, "apiVersion", version);
    return o;
}

static json *version(void) {
    json *o = json_object();
    json_add_str(o, "major", "1");
    json_add_str(o, "minor", "36");
    json_add_str(o, "gitVersion", "v1.36.3");
    json_add_str(o, "gitTreeState", "clean");
    json_add_str(o, "goVersion", "go1.26");
    json_add_str(o, "compiler", "gc");
    json_add_str(o, "platform", "linux/amd64");
    return o;
}

static json *core_versions(void) {
    json *o = json_object();
    json_add_str(o, "kind", "APIVersions");
    json_push_str(json_add_array(o, "versions"), "v1");
    return o;
}

/* ---- groups ---- */

static bool is_served(const struct sim_kube *k, const struct kube_resource *r) {
    return r->store != KUBE_BINDINGS || k->bindings_served;
}

static json *version_entry(const struct kube_resource *r, struct arena *a) {
    json *v = json_object();
    json_add_str(v, "groupVersion", kube_api_version(r, a));
    json_add_str(v, "version", r->version);
    return v;
}

static json *group_entry(const struct kube_resource *r, struct arena *a) {
    json *g = json_object();
    json_add_str(g, "name", r->group);
    json_push(json_add_array(g, "versions"), version_entry(r, a));
    json_add_item(g, "preferredVersion", version_entry(r, a));
    return g;
}

static bool is_first_of_group(size_t index) {
    const struct kube_resource *r = kube_resource_at(index);
    for (size_t i = 0; i < index; i++) {
        if (str_eq(kube_resource_at(i)->group, r->group)) {
            return false;
        }
    }
    return !str_empty(r->group);
}

static json *groups(const struct sim_kube *k, struct arena *a) {
    json *o = kind_of("APIGroupList", "v1");
    json *list = json_add_array(o, "groups");
    for (size_t i = 0; kube_resource_at(i) != NULL; i++) {
        if (is_first_of_group(i) && is_served(k, kube_resource_at(i))) {
            json_push(list, group_entry(kube_resource_at(i), a));
        }
    }
    return o;
}

static json *one_group(const struct sim_kube *k, const char *name, struct arena *a) {
    for (size_t i = 0; kube_resource_at(i) != NULL; i++) {
        const struct kube_resource *r = kube_resource_at(i);
        if (str_eq(r->group, name) && !str_empty(name) && is_served(k, r)) {
            json *g = group_entry(r, a);
            json_add_str(g, "kind", "APIGroup");
            json_add_str(g, "apiVersion", "v1");
            return g;
        }
    }
    return NULL;
}

/* ---- resources ---- */

static json *resource_entry(const struct kube_resource *r, const char *name, const char *const *verbs) {
    json *e = json_object();
    json_add_str(e, "name", name);
    json_add_str(e, "singularName", strchr(name, '/') == NULL ? r->singular : "");
    json_add_bool(e, "namespaced", r->namespaced);
    json_add_str(e, "kind", r->kind);
    json *list = json_add_array(e, "verbs");
    for (; *verbs != NULL; verbs++) {
        json_push_str(list, *verbs);
    }
    return e;
}

static void add_resource(json *list, const struct kube_resource *r, struct arena *a) {
    static const char *const all[] = {"create", "delete", "get", "list", "patch", "update", "watch", NULL};
    static const char *const create[] = {"create", NULL};
    static const char *const status[] = {"get", "patch", "update", NULL};
    json *e = resource_entry(r, r->plural, r->store == KUBE_NO_STORE ? create : all);
    if (r->short_name != NULL) {
        json_push_str(json_add_array(e, "shortNames"), r->short_name);
    }
    if (r->store == KUBE_PODS || r->store == KUBE_DAEMONSETS) { /* kubectl get all */
        json_push_str(json_add_array(e, "categories"), "all");
    }
    json_push(list, e);
    if (r->has_status) {
        json_push(list, resource_entry(r, arena_printf(a, "%s/status", r->plural), status));
    }
    if (r->store == KUBE_SERVICEACCOUNTS) {
        json *token = resource_entry(r, "serviceaccounts/token", create);
        json_add_str(token, "group", "authentication.k8s.io");
        json_add_str(token, "version", "v1");
        json_add_str(token, "kind", "TokenRequest");
        json_push(list, token);
    }
}

static json *resources(const struct sim_kube *k, const char *group, const char *v, struct arena *a) {
    json *o = kind_of("APIResourceList", "v1");
    json_add_str(o, "groupVersion", str_empty(group) ? v : arena_printf(a, "%s/%s", group, v));
    json *list = json_add_array(o, "resources");
    for (size_t i = 0; kube_resource_at(i) != NULL; i++) {
        const struct kube_resource *r = kube_resource_at(i);
        if (str_eq(r->group, group) && str_eq(r->version, v) && is_served(k, r)) {
            add_resource(list, r, a);
        }
    }
    if (json_first(list) == NULL) {
        json_free(o);
        return NULL;
    }
    return o;
}

/* ---- OpenAPI v3: an index, and of each group only which PATCH knows fieldValidation ---- */

static json *openapi_index(const struct sim_kube *k, struct arena *a) {
    json *o = json_object();
    json *paths = json_add_object(o, "paths");
    for (size_t i = 0; kube_resource_at(i) != NULL; i++) {
        const struct kube_resource *r = kube_resource_at(i);
        if (!is_served(k, r)) {
            continue;
        }
        const char *path = arena_printf(a, "%s/%s", str_empty(r->group) ? "api" : "apis", kube_api_version(r, a));
        json_add_str(json_add_object(paths, path), "serverRelativeURL",
                     arena_printf(a, "/openapi/v3/%s?hash=%llu", path, (unsigned long long)i));
    }
    return o;
}

static json *group_version_kind(const struct kube_resource *r) {
    json *gvk = json_object();
    json_add_str(gvk, "group", r->group);
    json_add_str(gvk, "version", r->version);
    json_add_str(gvk, "kind", r->kind);
    return gvk;
}

static json *patch_operation(const struct kube_resource *r) {
    json *operation = json_object();
    json *parameters = json_add_array(operation, "parameters");
    static const char *const names[] = {"dryRun", "fieldManager", "fieldValidation", "force"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json *p = json_object();
        json_add_str(p, "name", names[i]);
        json_add_str(p, "in", "query");
        json_add_str(json_add_object(p, "schema"), "type", "string");
        json_push(parameters, p);
    }
    json_add_item(operation, "x-kubernetes-group-version-kind", group_version_kind(r));
    json_add_str(json_add_object(json_add_object(operation, "responses"), "200"), "description", "OK");
    return operation;
}

/* What kubectl explain reads: the CRD's own schema; of the built-in kinds nothing. */
static void add_schemas(const struct sim_kube *k, const char *group, json *document) {
    json *schemas = json_add_object(json_add_object(document, "components"), "schemas");
    const json *schema = json_path(kube_crd_version(k), "schema.openAPIV3Schema");
    const struct kube_resource *r = kube_resource_named("cniiambindings");
    if (!str_eq(group, r->group) || schema == NULL) {
        return;
    }
    json *copy = json_dup(schema);
    json *kinds = json_add_array(copy, "x-kubernetes-group-version-kind");
    json_push(kinds, group_version_kind(r));
    json_add_item(schemas, "dev.cniiam.v1alpha1.CniIamBinding", copy);
}

static json *openapi_group(const struct sim_kube *k, const char *group, const char *v, struct arena *a) {
    json *o = json_object();
    json_add_str(o, "openapi", "3.0.0");
    json *info = json_add_object(o, "info");
    json_add_str(info, "title", "Kubernetes");
    json_add_str(info, "version", "v1.36.3");
    add_schemas(k, group, o);
    json *paths = json_add_object(o, "paths");
    for (size_t i = 0; kube_resource_at(i) != NULL; i++) {
        const struct kube_resource *r = kube_resource_at(i);
        if (!str_eq(r->group, group) || !str_eq(r->version, v) || !is_served(k, r)) {
            continue;
        }
        const char *path =
            arena_printf(a, "/%s/%s/%s%s/{name}", str_empty(group) ? "api" : "apis", kube_api_version(r, a),
                         r->namespaced ? "namespaces/{namespace}/" : "", r->plural);
        json_add_item(json_add_object(paths, path), "patch", patch_operation(r));
    }
    return o;
}

static json *openapi(const struct sim_kube *k, const struct kube_request *q) {
    if (q->nsegments == 2) {
        return openapi_index(k, q->a);
    }
    if (q->nsegments == 4 && str_eq(q->segments[2], "api")) {
        return openapi_group(k, "", q->segments[3], q->a);
    }
    if (q->nsegments == 5 && str_eq(q->segments[2], "apis")) {
        return openapi_group(k, q->segments[3], q->segments[4], q->a);
    }
    return NULL;
}

static json *issuer_document(const struct sim_kube *k, struct arena *a) {
    json *o = json_object();
    json_add_str(o, "issuer", k->issuer);
    json_add_str(o, "jwks_uri", arena_printf(a, "%s/openid/v1/jwks", k->issuer));
    json_push_str(json_add_array(o, "response_types_supported"), "id_token");
    json_push_str(json_add_array(o, "subject_types_supported"), "public");
    json_push_str(json_add_array(o, "id_token_signing_alg_values_supported"), "RS256");
    return o;
}

/* ---- by path ---- */

static json *document(struct sim_kube *k, const struct kube_request *q) {
    const char *first = q->nsegments > 0 ? q->segments[0] : "";
    const char *second = q->nsegments > 1 ? q->segments[1] : "";
    const char *third = q->nsegments > 2 ? q->segments[2] : "";
    if (str_eq(first, "version") && q->nsegments == 1) {
        return version();
    }
    if (str_eq(first, "api") && q->nsegments <= 2) {
        return q->nsegments == 1 ? core_versions() : resources(k, "", second, q->a);
    }
    if (str_eq(first, "apis") && q->nsegments <= 3) {
        return q->nsegments == 1   ? groups(k, q->a)
               : q->nsegments == 2 ? one_group(k, second, q->a)
                                   : resources(k, second, third, q->a);
    }
    if (str_eq(first, "openapi") && str_eq(second, "v3")) {
        return openapi(k, q);
    }
    if (str_eq(first, "openid") && str_eq(second, "v1") && str_eq(third, "jwks") && q->nsegments == 3) {
        return kube_jwks(k);
    }
    if (str_eq(first, ".well-known") && str_eq(second, "openid-configuration") && q->nsegments == 2) {
        return issuer_document(k, q->a);
    }
    return NULL;
}

bool kube_discover(struct sim_kube *k, const struct kube_request *q, struct sim_http_answer *out) {
    static const char *const health[] = {"healthz", "livez", "readyz"};
    if (!str_eq(q->http->method, "GET")) {
        return false;
    }
    for (size_t i = 0; i < sizeof health / sizeof health[0]; i++) {
        if (q->nsegments >= 1 && str_eq(q->segments[0], health[i])) {
            kube_answer_text(out, 200, "ok");
            return true;
        }
    }
    json *found = document(k, q);
    if (found != NULL) {
        kube_answer_json(out, 200, found);
    }
    return found != NULL;
}
