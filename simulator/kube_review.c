/* kube_review.c - reviews: what the caller may do, and who it is. Everybody is a cluster administrator here. */
#include "platform/base/str.h"
#include "simulator/kube_internal.h"

#define CALLER "kubernetes-admin"

static json *push_object(json *list) {
    json *o = json_object();
    json_push(list, o);
    return o;
}

static void push_all(json *rule, const char *member) {
    json_push_str(json_add_array(rule, member), "*");
}

static json *access_review(const struct kube_request *q, json *body) {
    bool resource = json_is_object(json_path(body, "spec.resourceAttributes"));
    bool path = json_is_object(json_path(body, "spec.nonResourceAttributes"));
    if (resource == path) {
        return kube_invalid_one(q->r, "", "spec.resourceAttributes", "FieldValueInvalid",
                                "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be "
                                "specified");
    }
    json_add_bool(json_add_object(body, "status"), "allowed", true);
    return NULL;
}

static json *rules_review(const struct kube_request *q, json *body) {
    if (str_empty(json_str(body, "spec.namespace"))) {
        return kube_status(400, "BadRequest", "no namespace on request");
    }
    (void)q;
    json *status = json_add_object(body, "status");
    json_add_bool(status, "incomplete", false);
    json *rule = push_object(json_add_array(status, "resourceRules"));
    push_all(rule, "verbs");
    push_all(rule, "apiGroups");
    push_all(rule, "resources");
    rule = push_object(json_add_array(status, "nonResourceRules"));
    push_all(rule, "verbs");
    push_all(rule, "nonResourceURLs");
    return NULL;
}

static json *subject_review(const struct kube_request *q, json *body) {
    (void)q;
    json *user = json_add_object(json_add_object(body, "status"), "userInfo");
    json_add_str(user, "username", CALLER);
    json *groups = json_add_array(user, "groups");
    json_push_str(groups, "system:masters");
    json_push_str(groups, "system:authenticated");
    return NULL;
}

json *kube_review(const struct kube_request *q, json *body_take, json **out) {
    static const struct {
        const char *kind;
        json *(*answer)(const struct kube_request *q, json *body);
    } kinds[] = {{"SelfSubjectAccessReview", access_review},
                 {"SelfSubjectRulesReview", rules_review},
                 {"SelfSubjectReview", subject_review}};
    json *refused = kube_status(404, "NotFound", "the server could not find the requested resource");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (str_eq(q->r->kind, kinds[i].kind)) {
            json_free(refused);
            refused = kinds[i].answer(q, body_take);
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
