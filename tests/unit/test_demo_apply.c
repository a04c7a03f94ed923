/* test_demo_apply.c - the demo's operator may do what its manifests say, and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/demo_apply.h"
#include "controller/rbac_text.h"
#include "support_sim_kube.h"

#include <cmocka.h>

#define SYSTEM "/api/v1/namespaces/kube-system"

static char bearer[4096];

static int setup(void **state) {
    struct sim_test *t = sim_test_open(false);
    struct error err;
    if (!demo_apply(t->kube, service_account_text, &err) || !demo_apply(t->kube, rbac_text, &err))
        fail_msg("%s", err.message);
    char *token = demo_token(t->kube, "kube-system", "cni-iam", &err);
    assert_non_null(token);
    (void)snprintf(bearer, sizeof bearer, "Bearer %s", token);
    free(token);
    *state = t;
    return 0;
}

static int teardown(void **state) {
    sim_test_close(*state);
    return 0;
}

static int as_operator(struct sim_test *t, const char *method, const char *path) {
    struct sim_http_request r = {
        .method = method, .path = path, .query = "", .authorization = bearer, .user_agent = "op/1", .body = ""};
    struct sim_http_answer out;
    sim_kube_http(t->kube, &r, &out);
    free(out.body);
    return out.status;
}

static void test_what_ships_decides(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(as_operator(t, "GET", SYSTEM "/pods"), 200);
    assert_int_equal(as_operator(t, "GET", "/api/v1/nodes"), 200);
    assert_int_equal(as_operator(t, "GET", "/api/v1/namespaces/kube-system"), 200);
    assert_int_equal(as_operator(t, "GET", "/api/v1/namespaces/default"), 403);
    assert_int_equal(as_operator(t, "DELETE", "/api/v1/nodes/any"), 403);
    assert_int_equal(as_operator(t, "GET", SYSTEM "/configmaps"), 403);
    assert_true(sim_kube_delete(t->kube, "rolebindings", "kube-system", "cni-iam"));
    assert_int_equal(as_operator(t, "GET", SYSTEM "/pods"), 403);
}

static void test_what_is_refused(void **state) {
    static const struct {
        const char *yaml, *said;
        enum err_code code;
    } v[] = {{"kind: [", "", ERR_PARSE},
             {"{apiVersion: v1, kind: Pod, metadata: {name: p}}", "kind Pod is none", ERR_INVALID},
             {"{apiVersion: v1}", "kind without a name", ERR_INVALID},
             {"{apiVersion: v2, kind: ServiceAccount, metadata: {name: a}}", "kind ServiceAccount", ERR_INVALID},
             {"{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: none}}", "404", ERR_INVALID},
             {"{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}\n---\n"
              "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}",
              "409", ERR_INVALID}};
    struct sim_test *t = *state;
    struct error err;
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        assert_false(demo_apply(t->kube, v[i].yaml, &err));
        assert_int_equal(err.code, v[i].code);
        if (!strstr(err.message, v[i].said))
            fail_msg("\"%s\" is not in \"%s\"", v[i].said, err.message);
    }
    assert_non_null(sim_kube_get(t->kube, "serviceaccounts", "default", "a"));
    assert_null(demo_token(t->kube, "kube-system", "nobody", &err));
    assert_non_null(strstr(err.message, "404"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_ships_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
