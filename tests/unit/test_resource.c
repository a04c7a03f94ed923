/* test_resource.c - kinds, paths and their encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <string.h>
#include <cmocka.h>

#include "platform/base/str.h"
#include "platform/k8s/resource.h"

static void test_k8s_path__table(void **state) {
    static const struct {
        const char *resource, *ns, *name, *sub;
        struct k8s_query q[4];
        const char *path; /* NULL: refused */
    } rows[] = {
        {"serviceaccounts",
         "kube-system",
         "aws-node",
         NULL,
         {{0}},
         "/api/v1/namespaces/kube-system/serviceaccounts/aws-node"},
        {"serviceaccounts",
         "kube-system",
         "aws-node",
         "token",
         {{0}},
         "/api/v1/namespaces/kube-system/serviceaccounts/aws-node/token"},
        {"pods",
         NULL,
         NULL,
         NULL,
         {{"labelSelector", "k8s-app=aws-node,x in (a, b)"}, {"limit", "500"}},
         "/api/v1/pods?labelSelector=k8s-app%3Daws-node%2Cx%20in%20%28a%2C%20b%29&limit=500"},
        {"pods",
         "kube-system",
         NULL,
         NULL,
         {{"fieldSelector", NULL}, {"continue", "a+b/c=&d"}},
         "/api/v1/namespaces/kube-system/pods?continue=a%2Bb%2Fc%3D%26d"},
        {"nodes", NULL, "ip-10-0-0-1.ec2.internal", NULL, {{0}}, "/api/v1/nodes/ip-10-0-0-1.ec2.internal"},
        {"namespaces", NULL, "kube-system", NULL, {{0}}, "/api/v1/namespaces/kube-system"},
        {"daemonsets",
         "kube-system",
         "aws-node",
         "status",
         {{"fieldManager", "cni-iam"}, {"force", "true"}},
         "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node/status?fieldManager=cni-iam&force=true"},
        {"controllerrevisions",
         "kube-system",
         NULL,
         NULL,
         {{0}},
         "/apis/apps/v1/namespaces/kube-system/controllerrevisions"},
        {"events", "kube-system", NULL, NULL, {{0}}, "/api/v1/namespaces/kube-system/events"},
        {"events.events.k8s.io", "default", NULL, NULL, {{0}}, "/apis/events.k8s.io/v1/namespaces/default/events"},
        {"leases",
         "kube-system",
         "cni-iam",
         NULL,
         {{0}},
         "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/cni-iam"},
        {"cniiambindings",
         NULL,
         "aws-node",
         "status",
         {{0}},
         "/apis/cniiam.dev/v1alpha1/cniiambindings/aws-node/status"},
        {"customresourcedefinitions",
         NULL,
         "cniiambindings.cniiam.dev",
         NULL,
         {{0}},
         "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/cniiambindings.cniiam.dev"},
        {"selfsubjectaccessreviews", NULL, NULL, NULL, {{0}}, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
        {"configmaps",
         "kube-system",
         "a/../b?c#d%",
         NULL,
         {{0}},
         "/api/v1/namespaces/kube-system/configmaps/a%2F..%2Fb%3Fc%23d%25"},
        /* refused */
        {"nodes", "kube-system", "x", NULL, {{0}}, NULL},
        {"pods", NULL, "x", NULL, {{0}}, NULL},
        {"pods", "kube-system", "", NULL, {{0}}, NULL},
        {"pods", "", NULL, NULL, {{0}}, NULL},
        {"pods", "kube-system", "..", NULL, {{0}}, NULL},
        {"pods", ".", "a", NULL, {{0}}, NULL},
        {"pods", "kube-system", NULL, "status", {{0}}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        struct arena *a = arena_new(0);
        const struct k8s_resource *r = k8s_resource_find(rows[i].resource);
        assert_non_null(r);
        size_t n = 0;
        while (n < 4 && rows[i].q[n].name != NULL) {
            n++;
        }
        char *path = k8s_path(r, rows[i].ns, rows[i].name, rows[i].sub, rows[i].q, n, a, &err);
        if (rows[i].path == NULL) {
            assert_null(path);
            assert_int_equal(err.code, ERR_INVALID);
        } else {
            assert_non_null(path);
            assert_string_equal(path, rows[i].path);
        }
        arena_free(a);
    }
}

static void test_k8s_path__length_is_bounded(void **state) {
    struct error err = {0};
    struct arena *a = arena_new(0);
    (void)state;
    char *long_value = arena_alloc(a, K8S_PATH_MAX);
    memset(long_value, '=', K8S_PATH_MAX - 1);
    struct k8s_query q = {"labelSelector", long_value};
    assert_null(k8s_path(k8s_resource_find("pods"), NULL, NULL, NULL, &q, 1, a, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    arena_free(a);
}

static void test_k8s_resource__names_are_unique_and_kinds_known(void **state) {
    (void)state;
    assert_null(k8s_resource_find("secrets"));
    assert_null(k8s_resource_find(NULL));
    size_t n = 0;
    for (const struct k8s_resource *r = k8s_resource_at(0); r != NULL; r = k8s_resource_at(++n)) {
        assert_ptr_equal(k8s_resource_find(r->name), r);
        assert_true(str_eq(r->name, r->plural) || str_has_prefix(r->name, r->plural));
        assert_true(r->group[0] == '\0' ? str_eq(r->api_version, "v1") : str_has_prefix(r->api_version, r->group));
    }
    assert_int_equal(n, 14);
    assert_string_equal(k8s_resource_find("leases")->kind, "Lease");
    assert_true(k8s_resource_find("leases")->namespaced);
    assert_false(k8s_resource_find("cniiambindings")->namespaced);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_k8s_path__table),
        cmocka_unit_test(test_k8s_path__length_is_bounded),
        cmocka_unit_test(test_k8s_resource__names_are_unique_and_kinds_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
