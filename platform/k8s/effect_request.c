#include "platform/k8s/effect_request.h"

#include <assert.h>

#include "platform/base/str.h"
#include "platform/k8s/effect_body.h"
#include "platform/k8s/k8s_effects.h"

#define ACCEPT_METADATA_LIST "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

static void add_query(struct k8s_request *r, const char *name, const char *value) {
    assert(r->nquery < K8S_QUERY_MAX);
    r->query[r->nquery++] = (struct k8s_query){name, value};
}

static bool is_true(const struct effect *e, const char *arg) {
    return str_eq(effect_arg(e, arg), "true");
}

/* Resource, namespace, name: what nearly every kind has in common. */
static bool set_target(const struct effect *e, struct k8s_request *r, bool needs_name, struct error *err) {
    const char *resource = effect_arg(e, "resource");
    r->resource = k8s_resource_find(resource);
    r->ns = effect_arg(e, "namespace");
    r->name = needs_name ? effect_arg(e, "name") : NULL;
    r->subresource = effect_arg(e, "subresource");
    if (r->resource == NULL) {
        return error_set(err, ERR_INVALID, "%s: unknown resource \"%s\"", effect_operation(e->kind),
                         str_or(resource, ""));
    }
    if (needs_name && str_empty(r->name)) {
        return error_set(err, ERR_INVALID, "%s %s needs a name", effect_operation(e->kind), resource);
    }
    return true;
}

static bool make_list(const struct effect *e, struct k8s_request *r, struct error *err) {
    static const char page[] = "500";
    _Static_assert(K8S_LIST_PAGE == 500, "the text above says the same");
    r->verb = K8S_VERB_LIST;
    r->retry = true;
    r->accept = is_true(e, "metadataOnly") ? ACCEPT_METADATA_LIST : NULL;
    add_query(r, "labelSelector", effect_arg(e, "labelSelector"));
    add_query(r, "fieldSelector", effect_arg(e, "fieldSelector"));
    add_query(r, "limit", page);
    return set_target(e, r, false, err);
}

static bool make_dry_run(const struct effect *e, struct k8s_request *r, struct arena *a, struct error *err) {
    static const struct effect_body_rules none = {false, false};
    r->verb = K8S_VERB_CREATE;
    r->changes_nothing = true;
    r->retry = true;
    r->resource = k8s_resource_find("pods");
    r->ns = effect_arg(e, "namespace");
    add_query(r, "dryRun", "All");
    if (str_empty(r->ns)) {
        return error_set(err, ERR_INVALID, "a dry-run Pod needs a namespace");
    }
    r->body = effect_body_object(e, r->resource, &none, a, err);
    return r->body != NULL;
}

static bool make_review(const struct effect *e, struct k8s_request *r, struct arena *a, struct error *err) {
    r->verb = K8S_VERB_CREATE;
    r->changes_nothing = true;
    r->retry = true;
    r->resource = k8s_resource_find("selfsubjectaccessreviews");
    r->body = effect_body_review(e, a, err);
    return r->body != NULL;
}

static bool make_apply(const struct effect *e, struct k8s_request *r, struct arena *a, struct error *err) {
    bool status = e->kind == EFFECT_K8S_APPLY_STATUS;
    struct effect_body_rules rules = {.needs_uid = status || !is_true(e, "create")};
    if (!set_target(e, r, true, err)) {
        return false;
    }
    if (str_empty(effect_arg(e, "fieldManager"))) {
        return error_set(err, ERR_INVALID, "%s needs a fieldManager", effect_operation(e->kind));
    }
    r->verb = K8S_VERB_PATCH;
    r->content_type = "application/apply-patch+yaml"; /* JSON is YAML; the +json form is 415 */
    r->subresource = status ? "status" : NULL;
    add_query(r, "fieldManager", effect_arg(e, "fieldManager"));
    add_query(r, "force", is_true(e, "force") ? "true" : NULL);
    add_query(r, "dryRun", effect_arg(e, "dryRun"));
    r->body = effect_body_object(e, r->resource, &rules, a, err);
    return r->body != NULL;
}

static bool make_patch(const struct effect *e, struct k8s_request *r, struct arena *a, struct error *err) {
    bool is_json_patch = e->kind == EFFECT_K8S_JSON_PATCH;
    r->verb = K8S_VERB_PATCH;
    r->content_type = is_json_patch ? "application/json-patch+json" : "application/merge-patch+json";
    add_query(r, "fieldManager", effect_arg(e, "fieldManager"));
    add_query(r, "dryRun", effect_arg(e, "dryRun"));
    if (!set_target(e, r, true, err)) {
        return false;
    }
    r->body = effect_body_patch(e, is_json_patch, a, err);
    return r->body != NULL;
}

static bool make_create(const struct effect *e, struct k8s_request *r, struct arena *a, struct error *err) {
    static const struct effect_body_rules none = {false, false};
    r->verb = K8S_VERB_CREATE;
    add_query(r, "fieldManager", effect_arg(e, "fieldManager"));
    add_query(r, "dryRun", effect_arg(e, "dryRun"));
    if (!set_target(e, r, false, err)) {
        return false;
    }
    r->subresource = NULL;
    if (r->resource->namespaced && str_empty(r->ns)) {
        return error_set(err, ERR_INVALID, "Create %s needs a namespace", r->resource->name);
    }
    r->body = effect_body_object(e, r->resource, &none, a, err);
    return r->body != NULL;
}

static bool make_update(const struct effect *e, struct k8s_request *r, struct arena *a, struct error *err) {
    static const struct effect_body_rules rules = {.needs_resource_version = true};
    r->verb = K8S_VERB_UPDATE;
    add_query(r, "fieldManager", effect_arg(e, "fieldManager"));
    add_query(r, "dryRun", effect_arg(e, "dryRun"));
    if (!set_target(e, r, true, err)) {
        return false;
    }
    r->body = effect_body_object(e, r->resource, &rules, a, err);
    return r->body != NULL;
}

static bool make_delete(const struct effect *e, struct k8s_request *r, struct arena *a, struct error *err) {
    r->verb = K8S_VERB_DELETE;
    add_query(r, "dryRun", effect_arg(e, "dryRun"));
    if (!set_target(e, r, true, err)) {
        return false;
    }
    r->body = effect_body_delete(e, a, err);
    return r->body != NULL;
}

bool effect_request(const struct effect *e, struct k8s_request *out, struct arena *a, struct error *err) {
    *out = (struct k8s_request){.verb = K8S_VERB_GET};
    switch ((int)e->kind) {
    case EFFECT_K8S_GET:
        out->retry = true;
        return set_target(e, out, true, err);
    case EFFECT_K8S_LIST:
        return make_list(e, out, err);
    case EFFECT_K8S_POD_DRY_RUN:
        return make_dry_run(e, out, a, err);
    case EFFECT_K8S_ACCESS_REVIEW:
        return make_review(e, out, a, err);
    case EFFECT_K8S_APPLY:
    case EFFECT_K8S_APPLY_STATUS:
        return make_apply(e, out, a, err);
    case EFFECT_K8S_JSON_PATCH:
    case EFFECT_K8S_MERGE_PATCH:
        return make_patch(e, out, a, err);
    case EFFECT_K8S_CREATE:
        return make_create(e, out, a, err);
    case EFFECT_K8S_UPDATE:
        return make_update(e, out, a, err);
    case EFFECT_K8S_DELETE:
        return make_delete(e, out, a, err);
    default:
        return error_set(err, ERR_INTERNAL, "%s is no request to the Kubernetes API", effect_operation(e->kind));
    }
}
