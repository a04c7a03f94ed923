/* test_sim_kube_authorize.c - RBAC: bindings of both kinds, names, subresources, groups, absence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "support_sim_kube.h"

#include <cmocka.h>

#define SYSTEM "/api/v1/namespaces/kube-system"
#define RBAC "/apis/rbac.authorization.k8s.io/v1"
#define RULE(groups, resources, verbs)                                                                                 \
    "{\"apiGroups\":[\"" groups "\"],\"resources\":[\"" resources "\"],\"verbs\":[\"" verbs "\"]}"
#define BINDING(kind, name, subject)                                                                                   \
    "{\"metadata\":{\"name\":\"" name "\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"" kind   \
    "\",\"name\":\"" name "\"},\"subjects\":[" subject "]}"
#define ROLE(name, rules) "{\"metadata\":{\"name\":\"" name "\"},\"rules\":[" rules "]}"
#define OPERATOR "{\"kind\":\"ServiceAccount\",\"name\":\"op\",\"namespace\":\"kube-system\"}"

static char bearer[4096];

static int setup(void **state) {
    struct sim_test *t = sim_test_open(false);
    assert_int_equal(sim_test_post(t, SYSTEM "/serviceaccounts", "{\"metadata\":{\"name\":\"op\"}}"), 201);
    assert_int_equal(sim_test_post(t, SYSTEM "/serviceaccounts/op/token", "{\"spec\":{}}"), 201);
    (void)snprintf(bearer, sizeof bearer, "Bearer %s", sim_test_str(t, "status.token"));
    *state = t;
    return 0;
}

static int teardown(void **state) {
    sim_test_close(*state);
    return 0;
}

/* As the operator: the status, with the message in `said`. */
static int as_operator(struct sim_test *t, const char *method, const char *path, const char *query, const char *type,
                       const char *body, char said[512]) {
    struct error err = {0};
    struct sim_http_request r = {.method = method,
                                 .path = path,
                                 .query = query,
                                 .authorization = bearer,
                                 .content_type = type,
                                 .user_agent = "op/1",
                                 .body = body,
                                 .body_len = strlen(body)};
    struct sim_http_answer out;
    sim_kube_http(t->kube, &r, &out);
    json *j = json_parse(out.body, out.body_len, &err);
    (void)str_copy(said, 512, str_or(json_str(j, "message"), ""));
    json_free(j);
    free(out.body);
    return out.status;
}

static int get(struct sim_test *t, const char *path, const char *query) {
    char said[512];
    return as_operator(t, "GET", path, query, NULL, "", said);
}

static void test_nothing_by_default(void **state) {
    struct sim_test *t = *state;
    char said[512];
    assert_int_equal(as_operator(t, "GET", SYSTEM "/pods", "", NULL, "", said), 403);
    assert_string_equal(said, "pods is forbidden: User \"system:serviceaccount:kube-system:op\" cannot list resource "
                              "\"pods\" in API group \"\" in the namespace \"kube-system\"");
    assert_int_equal(as_operator(t, "DELETE", "/api/v1/nodes/n", "", NULL, "", said), 403);
    assert_string_equal(said, "nodes \"n\" is forbidden: User \"system:serviceaccount:kube-system:op\" cannot delete "
                              "resource \"nodes\" in API group \"\" at the cluster scope");
    assert_int_equal(as_operator(t, "GET", "/metrics", "", NULL, "", said), 403);
    assert_string_equal(said, "forbidden: User \"system:serviceaccount:kube-system:op\" cannot get path \"/metrics\"");
    assert_int_equal(get(t, "/version", ""), 200);
    assert_int_equal(get(t, "/apis", ""), 200);
    assert_int_equal(get(t, "/versions", ""), 403);
}

static void test_roles_of_a_namespace(void **state) {
    struct sim_test *t = *state;
    char said[512];
    assert_int_equal(sim_test_post(t, RBAC "/namespaces/kube-system/rolebindings", BINDING("Role", "r", OPERATOR)),
                     201);
    assert_int_equal(get(t, SYSTEM "/pods", ""), 403); /* bound to a role that is not there */
    assert_int_equal(sim_test_post(t, RBAC "/namespaces/kube-system/roles", ROLE("r", RULE("", "pods", "list"))), 201);
    assert_int_equal(get(t, SYSTEM "/pods", ""), 200);
    assert_int_equal(get(t, SYSTEM "/pods/x", ""), 403); /* get is another verb */
    assert_int_equal(get(t, "/api/v1/namespaces/default/pods", ""), 403);
    assert_int_equal(get(t, "/api/v1/pods", ""), 403);
    assert_int_equal(as_operator(t, "POST", SYSTEM "/pods", "", NULL, "{}", said), 403);
    assert_int_equal(sim_test_do(t, "DELETE", RBAC "/namespaces/kube-system/rolebindings/r", NULL, NULL), 200);
    assert_int_equal(get(t, SYSTEM "/pods", ""), 403);
}

static void test_cluster_roles(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_post(t, RBAC "/clusterroles", ROLE("c", RULE("apps", "*", "*"))), 201);
    assert_int_equal(
        sim_test_post(t, RBAC "/namespaces/kube-system/rolebindings", BINDING("ClusterRole", "c", OPERATOR)), 201);
    assert_int_equal(get(t, "/apis/apps/v1/namespaces/kube-system/daemonsets", ""), 200); /* there, and only there */
    assert_int_equal(get(t, "/apis/apps/v1/daemonsets", ""), 403);
    assert_int_equal(sim_test_post(t, RBAC "/clusterrolebindings",
                                   BINDING("ClusterRole", "c",
                                           "{\"kind\":\"Group\",\"name\":\"system:serviceaccounts:"
                                           "kube-system\"}")),
                     201);
    assert_int_equal(get(t, "/apis/apps/v1/daemonsets", ""), 200);
    assert_int_equal(get(t, "/api/v1/nodes", ""), 403);
}

static void test_names(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(
        sim_test_post(t, RBAC "/clusterroles",
                      ROLE("n", "{\"apiGroups\":[\"\"],\"resources\":[\"serviceaccounts\"],\"resourceNames\":[\"op\"],"
                                "\"verbs\":[\"get\",\"list\",\"watch\"]}")),
        201);
    assert_int_equal(sim_test_post(t, RBAC "/clusterrolebindings", BINDING("ClusterRole", "n", OPERATOR)), 201);
    assert_int_equal(get(t, SYSTEM "/serviceaccounts/op", ""), 200);
    assert_int_equal(get(t, SYSTEM "/serviceaccounts/other", ""), 403);
    assert_int_equal(get(t, SYSTEM "/serviceaccounts", ""), 403);
    assert_int_equal(get(t, SYSTEM "/serviceaccounts", "fieldSelector=metadata.name%3Dop"), 200);
    assert_int_equal(get(t, SYSTEM "/serviceaccounts", "fieldSelector=metadata.name%3Dother"), 403);
}

static void test_subresources(void **state) {
    struct sim_test *t = *state;
    char said[512];
    assert_int_equal(sim_test_post(t, RBAC "/clusterroles", ROLE("s", RULE("", "serviceaccounts", "*"))), 201);
    assert_int_equal(sim_test_post(t, RBAC "/clusterrolebindings", BINDING("ClusterRole", "s", OPERATOR)), 201);
    assert_int_equal(as_operator(t, "POST", SYSTEM "/serviceaccounts/op/token", "", NULL, "{\"spec\":{}}", said), 403);
    assert_string_equal(
        said, "serviceaccounts \"op\" is forbidden: User \"system:serviceaccount:kube-system:op\" cannot create "
              "resource \"serviceaccounts/token\" in API group \"\" in the namespace \"kube-system\"");
    assert_int_equal(sim_test_post(t, RBAC "/clusterroles", ROLE("t", RULE("", "*/token", "create"))), 201);
    assert_int_equal(sim_test_post(t, RBAC "/clusterrolebindings", BINDING("ClusterRole", "t", OPERATOR)), 201);
    assert_int_equal(as_operator(t, "POST", SYSTEM "/serviceaccounts/op/token", "", NULL, "{\"spec\":{}}", said), 201);
}

/* An apply that makes something is a creation as well. */
static void test_an_apply_that_creates(void **state) {
    static const char apply[] = "application/apply-patch+yaml";
    static const char body[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"k\":\"v\"}}";
    struct sim_test *t = *state;
    char said[512];
    assert_int_equal(sim_test_post(t, RBAC "/clusterroles", ROLE("p", RULE("", "configmaps", "patch"))), 201);
    assert_int_equal(sim_test_post(t, RBAC "/clusterrolebindings", BINDING("ClusterRole", "p", OPERATOR)), 201);
    assert_int_equal(as_operator(t, "PATCH", SYSTEM "/configmaps/x", "fieldManager=op", apply, body, said), 403);
    assert_non_null(strstr(said, "cannot create resource \"configmaps\""));
    assert_int_equal(sim_test_post(t, SYSTEM "/configmaps", "{\"metadata\":{\"name\":\"x\"}}"), 201);
    assert_int_equal(as_operator(t, "PATCH", SYSTEM "/configmaps/x", "fieldManager=op", apply, body, said), 200);
}

static void test_tokens(void **state) {
    struct sim_test *t = *state;
    char last = bearer[strlen(bearer) - 2];
    bearer[strlen(bearer) - 2] = last == 'A' ? 'B' : 'A';
    assert_int_equal(get(t, "/version", ""), 401);
    bearer[strlen(bearer) - 2] = last;
    assert_int_equal(get(t, "/version", ""), 200);
    assert_int_equal(sim_test_do(t, "DELETE", SYSTEM "/serviceaccounts/op", NULL, NULL), 200);
    assert_int_equal(get(t, "/version", ""), 401);
    assert_int_equal(sim_test_post(t, SYSTEM "/serviceaccounts", "{\"metadata\":{\"name\":\"op\"}}"), 201);
    assert_int_equal(sim_test_post(t, SYSTEM "/serviceaccounts/op/token", "{\"spec\":{\"audiences\":[\"sts\"]}}"), 201);
    (void)snprintf(bearer, sizeof bearer, "Bearer %s", sim_test_str(t, "status.token"));
    assert_int_equal(get(t, "/version", ""), 401); /* for somebody else */
    (void)snprintf(bearer, sizeof bearer, "Bearer user");
    assert_int_equal(get(t, SYSTEM "/pods", ""), 200); /* whoever brings no such token is the administrator */
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_by_default), TEST(test_roles_of_a_namespace),  TEST(test_cluster_roles), TEST(test_names),
        TEST(test_subresources),       TEST(test_an_apply_that_creates), TEST(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
