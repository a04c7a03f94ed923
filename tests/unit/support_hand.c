/* support_hand.c - see support_hand.h. */
#include "support_hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/base/str.h"
#include "simulator/aws_http.h"

#define KEY "AKIAHANDHANDHANDHAND"
#define MERGE "application/merge-patch+json"

struct hand *hand_open(bool on_delete) {
    struct hand *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->clock = sim_clock_new();
    h->heard = -1;
    h->world = sim_world_new(&(struct sim_world_options){.clock = sim_clock_port(h->clock),
                                                         .seed = 3,
                                                         .nodes = HAND_NODES,
                                                         .enforcement_lag_ms = 1000,
                                                         .pod_start_ms = 1000,
                                                         .webhook_lag_ms = 100,
                                                         .on_delete = on_delete});
    sim_aws_add_access_key(sim_world_aws(h->world), KEY, "arn:aws:iam::111122223333:root");
    hand_wait(h, 20000);
    h->checker = sim_checker_new(h->world);
    hand_lease(h, "hand", 7);
    hand_wait(h, 20000);
    sim_checker_begins(h->checker, 0, "hand");
    return h;
}

void hand_close(struct hand *h) {
    sim_checker_free(h->checker);
    sim_world_free(h->world);
    sim_clock_free(h->clock);
    free(h);
}

void hand_wait(struct hand *h, int64_t ms) {
    sim_clock_advance(h->clock, ms);
}

bool hand_violated(const struct hand *h, const char *id) {
    char prefix[8];
    (void)snprintf(prefix, sizeof prefix, "%s:", id);
    for (int i = 0; i < CHECKER_VIOLATIONS_MAX && sim_checker_violation(h->checker, i); i++)
        if (str_has_prefix(sim_checker_violation(h->checker, i), prefix))
            return true;
    return false;
}

/* --- calls --- */

static bool changes(const struct sim_http_request *req) {
    return strcmp(req->method, "GET") != 0 && !strstr(req->path, "/leases") && !strstr(req->path, "/token") &&
           !strstr(req->path, "/events");
}

static int call(struct hand *h, bool to_aws, bool is_write, const struct sim_http_request *req) {
    struct sim_checker_call c = {.replica = h->replica, .to_aws = to_aws, .changes = is_write, .req = req};
    struct sim_http_answer answer = {0};
    sim_checker_asked(h->checker, &c);
    if (to_aws)
        sim_aws_http(sim_world_aws(h->world), req, &answer);
    else
        sim_kube_http(sim_world_kube(h->world), req, &answer);
    sim_checker_served(h->checker, &c, h->heard >= 0 ? h->heard : answer.status, answer.body);
    (void)str_copy(h->answer, sizeof h->answer, str_or(answer.body, ""));
    h->status = answer.status;
    h->heard = -1;
    free(answer.body);
    return h->status;
}

static char *form(struct arena *a, const char *action, va_list ap) {
    char *body = arena_printf(a, "Action=%s&Version=2010-05-08", action);
    for (const char *name; (name = va_arg(ap, const char *)) != NULL;)
        body = arena_printf(a, "%s&%s=%s", body, name, str_percent_encode(va_arg(ap, const char *), "", a));
    return body;
}

int hand_aws(struct hand *h, const char *action, ...) {
    struct arena *a = arena_new(0);
    va_list ap;
    va_start(ap, action);
    char *body = form(a, action, ap);
    va_end(ap);
    bool read = str_has_prefix(action, "Get") || str_has_prefix(action, "List");
    struct sim_http_request req = {.method = "POST",
                                   .path = "/",
                                   .query = "",
                                   .authorization = "AWS4-HMAC-SHA256 Credential=" KEY
                                                    "/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, "
                                                    "Signature=00",
                                   .content_type = "application/x-www-form-urlencoded; charset=utf-8",
                                   .body = body,
                                   .body_len = strlen(body)};
    int status = call(h, true, !read, &req);
    arena_free(a);
    return status;
}

void hand_foreign_aws(struct hand *h, const char *action, ...) {
    struct sim_aws_param params[32];
    struct sim_aws_call c = {.service = "iam", .action = action, .params = params};
    struct sim_aws_answer answer;
    va_list ap;
    va_start(ap, action);
    for (const char *name; (name = va_arg(ap, const char *)) != NULL;)
        params[c.nparams++] = (struct sim_aws_param){name, va_arg(ap, const char *)};
    va_end(ap);
    sim_aws_do(sim_world_aws(h->world), &c, &answer);
    assert_null(answer.code);
    json_free(answer.value);
}

int hand_kube(struct hand *h, const char *method, const char *path, const char *content_type, const char *body) {
    struct sim_http_request req = {.method = method,
                                   .path = path,
                                   .query = "",
                                   .content_type = content_type,
                                   .user_agent = "hand",
                                   .body = str_or(body, ""),
                                   .body_len = body ? strlen(body) : 0};
    return call(h, false, changes(&req), &req);
}

int hand_merge(struct hand *h, const char *path, const char *patch) {
    return hand_kube(h, "PATCH", path, MERGE, patch);
}

void hand_lease(struct hand *h, const char *holder, int epoch) {
    struct sim_kube *k = sim_world_kube(h->world);
    struct error err;
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"cni-iam\","
                   "\"namespace\":\"kube-system\"},\"spec\":{\"holderIdentity\":\"%s\",\"leaseTransitions\":%d}}",
                   holder, epoch);
    if (!sim_kube_create(k, "leases", json_parse(text, strlen(text), &err)))
        assert_true(sim_kube_update(k, "leases", json_parse(text, strlen(text), &err)));
}

/* --- steps --- */

static void make_role(struct hand *h) {
    hand_kube(h, "GET", HAND_ACCOUNT, NULL, NULL);
    assert_int_equal(hand_aws(h, "CreateOpenIDConnectProvider", "Url", "https://" HAND_ISSUER, "ClientIDList.member.1",
                              "sts.amazonaws.com", "Tags.member.1.Key", "cniiam.dev/managed-by", "Tags.member.1.Value",
                              "cni-iam", "Tags.member.2.Key", "cniiam.dev/cluster", "Tags.member.2.Value",
                              "arn:aws:eks:us-west-2:111122223333:cluster/prod", "Tags.member.3.Key",
                              "cniiam.dev/binding", "Tags.member.3.Value", "aws-node", NULL),
                     200);
    assert_int_equal(hand_aws(h, "CreateRole", "RoleName", HAND_ROLE_NAME, "Path", "/", "AssumeRolePolicyDocument",
                              HAND_TRUST, "Tags.member.1.Key", "cniiam.dev/managed-by", "Tags.member.1.Value",
                              "cni-iam", "Tags.member.2.Key", "cniiam.dev/cluster", "Tags.member.2.Value",
                              "arn:aws:eks:us-west-2:111122223333:cluster/prod", "Tags.member.3.Key",
                              "cniiam.dev/binding", "Tags.member.3.Value", "aws-node", NULL),
                     200);
    assert_int_equal(hand_aws(h, "AttachRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyArn", HAND_POLICY, NULL), 200);
    hand_wait(h, 5000);
}

static void annotate(struct hand *h) {
    assert_int_equal(hand_merge(h, HAND_ACCOUNT,
                                "{\"metadata\":{\"annotations\":{\"eks.amazonaws.com/role-arn\":\"" HAND_ROLE "\"}}}"),
                     200);
    hand_wait(h, 5000);
}

int hand_delete_pod(struct hand *h, int node, bool by_uid) {
    struct sim_node_row rows[HAND_NODES];
    char path[160], body[256] = "{}";
    assert_true(sim_world_rows(h->world, rows, HAND_NODES) > node);
    const json *pod = sim_kube_get(sim_world_kube(h->world), "pods", "kube-system", rows[node].pod);
    assert_non_null(pod);
    (void)snprintf(path, sizeof path, "/api/v1/namespaces/kube-system/pods/%s", rows[node].pod);
    if (by_uid)
        (void)snprintf(body, sizeof body, "{\"preconditions\":{\"uid\":\"%s\",\"resourceVersion\":\"%s\"}}",
                       json_str(pod, "metadata.uid"), json_str(pod, "metadata.resourceVersion"));
    return hand_kube(h, "DELETE", path, "application/json", body);
}

static void canary(struct hand *h) {
    assert_int_equal(hand_delete_pod(h, 0, true), 200);
    hand_wait(h, 20000);
}

static void restart(struct hand *h, const char *key) {
    char patch[256];
    (void)snprintf(patch, sizeof patch,
                   "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"cniiam.dev/restarted-for\":\"%s\"}}}}}",
                   key);
    assert_int_equal(hand_merge(h, HAND_WORKLOAD, patch), 200);
    hand_wait(h, 30000);
}

static void probe(struct hand *h) {
    assert_int_equal(hand_aws(h, "AttachRolePolicy", "RoleName", "eks-node", "PolicyArn", HAND_POLICY, NULL), 200);
    assert_int_equal(hand_aws(h, "AttachRolePolicy", "RoleName", "eks-node-memory", "PolicyArn", HAND_POLICY, NULL),
                     200);
}

int hand_announce(struct hand *h, const char *role, const char *action, int epoch) {
    const json *b = sim_kube_get(sim_world_kube(h->world), "cniiambindings", NULL, "aws-node");
    char patch[768];
    (void)snprintf(patch, sizeof patch,
                   "{\"metadata\":{\"resourceVersion\":\"%s\"},\"status\":{\"nodeRoles\":[{\"arn\":"
                   "\"arn:aws:iam::111122223333:role/%s\",\"detached\":[\"" HAND_POLICY
                   "\"],\"intent\":{\"action\":\"%s\",\"policyARN\":\"" HAND_POLICY "\",\"epoch\":%d}}]}}",
                   json_str(b, "metadata.resourceVersion"), role, action, epoch);
    return hand_merge(h, HAND_BINDING "/status", patch);
}

int hand_detach(struct hand *h, const char *role) {
    return hand_aws(h, "DetachRolePolicy", "RoleName", role, "PolicyArn", HAND_POLICY, NULL);
}

static void detach(struct hand *h) {
    assert_int_equal(hand_detach(h, "eks-node"), 200);
    assert_int_equal(hand_announce(h, "eks-node-memory", "Detach", 7), 200);
    assert_int_equal(hand_detach(h, "eks-node-memory"), 200);
    hand_wait(h, 10000);
}

static void give_back(struct hand *h) {
    assert_int_equal(sim_kube_delete(sim_world_kube(h->world), "cniiambindings", NULL, "aws-node"), true);
    probe(h);
}

static void take_annotation_off(struct hand *h) {
    hand_wait(h, HAND_SOAK_MS);
    assert_int_equal(
        hand_merge(h, HAND_ACCOUNT, "{\"metadata\":{\"annotations\":{\"eks.amazonaws.com/role-arn\":null}}}"), 200);
    hand_wait(h, 5000);
}

static void swap(struct hand *h) {
    assert_int_equal(hand_announce(h, "eks-node", "Restore", 7), 200);
}

static void clean_up(struct hand *h) {
    swap(h);
    assert_int_equal(hand_detach(h, HAND_ROLE_NAME), 200);
    swap(h);
    assert_int_equal(hand_aws(h, "DeleteRole", "RoleName", HAND_ROLE_NAME, NULL), 200);
    swap(h);
    assert_int_equal(hand_aws(h, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", HAND_PROVIDER, NULL), 200);
}

static void make_binding(struct hand *h) {
    static const char text[] = "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{"
                               "\"name\":\"aws-node\",\"finalizers\":[\"cniiam.dev/restore\"]},\"spec\":{\"nodeRole\":{"
                               "\"detach\":\"Automatic\",\"soakSeconds\":60}}}";
    struct error err;
    assert_true(sim_kube_create(sim_world_kube(h->world), "cniiambindings", json_parse(text, strlen(text), &err)));
}

static void do_step(struct hand *h, enum hand_step step) {
    switch (step) {
    case HAND_MADE_ROLE:
        make_binding(h);
        make_role(h);
        break;
    case HAND_ANNOTATED:
        annotate(h);
        break;
    case HAND_CANARY:
        canary(h);
        break;
    case HAND_RESTARTED:
        restart(h, "1");
        break;
    case HAND_SOAKED:
        hand_wait(h, HAND_SOAK_MS);
        break;
    case HAND_PROBED:
        probe(h);
        break;
    case HAND_ANNOUNCED:
        assert_int_equal(hand_announce(h, "eks-node", "Detach", 7), 200);
        break;
    case HAND_DETACHED:
        detach(h);
        break;
    case HAND_GIVEN_BACK:
        give_back(h);
        break;
    case HAND_RETURNED:
        take_annotation_off(h);
        break;
    case HAND_RESTORED:
        restart(h, "none");
        break;
    case HAND_CLEANED_UP:
        clean_up(h);
        break;
    }
}

void hand_to(struct hand *h, enum hand_step last) {
    for (enum hand_step step = HAND_MADE_ROLE; step <= last; step++)
        do_step(h, step);
}
