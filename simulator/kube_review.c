/* kube_review.c - reviews: what the caller may do, and who it is. */
#include "platform/base/str.h"
#include "simulator/kube_internal.h"

#define ADMINISTRATOR "kubernetes-admin"

static json *push_object(json *list) {
    json *o = json_object();
    json_push(list, o);
    return o;
}

static void push_all(json *rule, const char *member) {
    json_push_str(json_add_array(rule, member), "*");
}

static json *access_review(struct sim_kube *k, const struct kube_request *q, json *body) {
    const json *resource = json_path(body, "spec.resourceAttributes");
    const json *path = json_path(body, "spec.nonResourceAttributes");
    if (json_is_object(resource) == json_is_object(path)) {
        return kube_invalid_one(q->r, "", "spec.resourceAttributes", "FieldValueInvalid",
                                "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be "
                                "specified");
    }
    const json *from = json_is_object(resource) ? resource : path;
    struct kube_question ask = {.verb = str_or(json_str(from, "verb"), ""),
                                .group = str_or(json_str(from, "group"), ""),
                                .resource = str_or(json_str(from, "resource"), ""),
                                .sub = json_str(from, "subresource"),
                                .ns = json_str(from, "namespace"),
                                .name = json_str(from, "name"),
                                .path = from == path ? str_or(json_str(from, "path"), "") : NULL};
    bool allowed = kube_may(k, q, &ask);
    json_add_bool(json_add_object(body, "status"), "allowed", allowed);
    return NULL;
}

static json *rules_review(struct sim_kube *k, const struct kube_request *q, json *body) {
    const char *ns = json_str(body, "spec.namespace");
    if (str_empty(ns)) {
        return kube_status(400, "BadRequest", "no namespace on request");
    }
    json *status = json_object();
    json_add_bool(status, "incomplete", false);
    json *resources = json_add_array(status, "resourceRules");
    json *paths = json_add_array(status, "nonResourceRules");
    if (q->user != NULL) {
        kube_rules_of(k, q, ns, status);
    } else {
        json *rule = push_object(resources);
        push_all(rule, "verbs");
        push_all(rule, "apiGroups");
        push_all(rule, "resources");
        rule = push_object(paths);
        push_all(rule, "verbs");
        push_all(rule, "nonResourceURLs");
    }
    json_add_item(body, "status", status);
    return NULL;
}

static json *subject_review(struct sim_kube *k, const struct kube_request *q, json *body) {
    (void)k;
    json *user = json_add_object(json_add_object(body, "status"), "userInfo");
    json_add_str(user, "username", str_or(q->user, ADMINISTRATOR));
    json *groups = json_add_array(user, "groups");
    json_push_str(groups, q->user != NULL ? "system:serviceaccounts" : "system:masters");
    if (q->user != NULL) {
        json_push_str(groups, arena_printf(q->a, "system:serviceaccounts:%s", q->user_ns));
    }
    json_push_str(groups, "system:authenticated");
    return NULL;
}

json *kube_review(struct sim_kube *k, const struct kube_request *q, json *body_take, json **out) {
    static const struct {
        const char *kind;
        json *(*answer)(struct sim_kube *k, const struct kube_request *q, json *body);
    } kinds[] = {{"SelfSubjectAccessReview", access_review},
                 {"SelfSubjectRulesReview", rules_review},
                 {"SelfSubjectReview", subject_review}};
    json *refused = kube_status(404, "NotFound", "the server could not find the requested resource");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (str_eq(q->r->kind, kinds[i].kind)) {
            json_free(refused);
            refused = kinds[i].answer(k, q, body_take);
        }
    }
    if (refused != NULL) {
        json_free(body_take);
        return refused;
    }
    json_add_str(body_take, "kind", q->r->kind);
    json_add_str(body_take, "apiVersion", kube_api_version(q->r, q->a));
    (void)kube_metadata(body_take);
    *out = body_take;
    return NULL;
}
