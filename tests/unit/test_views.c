/* test_views.c - ServiceAccount, DaemonSet, Node, Event and the CNI's version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crd/views.h"

#define META(rest) "\"metadata\":{\"name\":\"aws-node\",\"uid\":\"u\",\"resourceVersion\":\"1\"" rest "}"

static json *parse(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    if (j == NULL) {
        fail_msg("%s: %s", err.message, text);
    }
    return j;
}

static void test_decode__refuses_objects_without_identity(void **state) {
    static const char *const bad[] = {"null",
                                      "[]",
                                      "{}",
                                      "{\"metadata\":{}}",
                                      "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}}",
                                      "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"}}",
                                      "{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"1\"}}",
                                      "{\"metadata\":{\"name\":7,\"uid\":\"u\",\"resourceVersion\":\"1\"}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error err = {0};
        json *j = parse(bad[i]);
        assert_null(service_account_decode(j, &err));
        assert_null(pod_decode(j, &err));
        assert_null(daemon_set_decode(j, &err));
        assert_null(node_decode(j, &err));
        assert_null(event_decode(j, &err));
        assert_int_equal(err.code, ERR_PARSE);
        json_free(j);
    }
    service_account_free(NULL);
    pod_free(NULL);
    daemon_set_free(NULL);
    node_free(NULL);
    event_free(NULL);
}

static void test_service_account_decode__annotations_and_their_owners(void **state) {
    (void)state;
    struct error err;
    json *j = parse("{" META(
        ",\"annotations\":{\"eks.amazonaws.com/role-arn\":\"r\",\"eks.amazonaws.com/audience\":\"a\","
        "\"eks.amazonaws.com/sts-regional-endpoints\":\"true\",\"eks.amazonaws.com/token-expiration\":\"600\"},"
        "\"managedFields\":[{\"manager\":\"eks\",\"operation\":\"Apply\",\"fieldsV1\":{\"f:metadata\":{\"f:labels\":{}}"
        "}},"
        "{\"manager\":\"kubectl-annotate\",\"fieldsV1\":{\"f:metadata\":{\"f:annotations\":{\".\":{},"
        "\"f:eks.amazonaws.com/role-arn\":{}}}}},"
        "{\"manager\":\"cni-iam\",\"time\":\"2026-01-02T03:04:05Z\",\"fieldsV1\":{\"f:metadata\":{\"f:annotations\":{"
        "\"f:eks.amazonaws.com/role-arn\":{},"
        "\"f:eks.amazonaws.com/sts-regional-endpoints\":{}}}}},"
        "{\"manager\":\"cni-iam\",\"fieldsV1\":{\"f:metadata\":{\"f:annotations\":{\"f:eks.amazonaws.com/"
        "role-arn\":{}}}}},"
        "{\"manager\":7},7]") "}");
    struct service_account_view *v = service_account_decode(j, &err);
    assert_string_equal(v->role_arn, "r");
    assert_string_equal(v->audience, "a");
    assert_string_equal(v->sts_regional_endpoints, "true");
    assert_string_equal(v->token_expiration, "600");
    assert_int_equal(v->role_arn_managers.n, 2);
    assert_string_equal(v->role_arn_managers.v[0], "kubectl-annotate");
    assert_int_equal(v->sts_regional_managers.n, 1);
    assert_int_equal(v->role_arn_set_ms, 1767323045000); /* the newest of its owners; others do not say */
    assert_true(strlist_has(&v->sts_regional_managers, "cni-iam"));
    service_account_free(v);
    json_free(j);
}

static void test_service_account_decode__absent_annotations_are_null(void **state) {
    (void)state;
    struct error err;
    json *j = parse("{" META(",\"annotations\":{\"eks.amazonaws.com/role-arn\":\"\"}") "}");
    struct service_account_view *v = service_account_decode(j, &err);
    assert_string_equal(v->role_arn, ""); /* there, and empty: not the same as absent */
    assert_null(v->sts_regional_endpoints);
    assert_int_equal(v->role_arn_managers.n, 0);
    service_account_free(v);
    json_free(j);
}

#define DS(template_meta, spec, rest)                                                                                  \
    "{" META(",\"generation\":4") ",\"spec\":{\"template\":{\"metadata\":{" template_meta "},\"spec\":{" spec          \
                                  "}}" rest "}}"
#define CONTAINERS(env)                                                                                                \
    "\"containers\":[{\"name\":\"agent\"},{\"name\":\"aws-node\",\"image\":\"x:v1.20.0\",\"env\":[" env "]}]"

static struct daemon_set_view *daemon_set(const char *text) {
    struct error err;
    json *j = parse(text);
    struct daemon_set_view *v = daemon_set_decode(j, &err);
    assert_non_null(v);
    json_free(j);
    return v;
}

static void test_daemon_set_decode__template_and_counters(void **state) {
    (void)state;
    struct daemon_set_view *v = daemon_set(
        DS("\"creationTimestamp\":null,\"labels\":{\"k8s-app\":\"aws-node\"},\"annotations\":{\"cniiam.dev/"
           "restarted-for\":\"k\"}",
           "\"serviceAccountName\":\"aws-node\",\"hostNetwork\":true," CONTAINERS(
               "{\"name\":\"ENABLE_IPv6\",\"value\":\"true\"},{\"name\":\"ENABLE_PREFIX_DELEGATION\",\"value\":"
               "\"false\"}"),
           ",\"updateStrategy\":{\"type\":\"OnDelete\"}},\"status\":{\"observedGeneration\":3,"
           "\"desiredNumberScheduled\":10,"
           "\"currentNumberScheduled\":9,\"updatedNumberScheduled\":8,\"numberAvailable\":7,\"numberReady\":6,"
           "\"numberUnavailable\":3,\"numberMisscheduled\":1"));
    assert_string_equal(v->restarted_for, "k");
    assert_string_equal(v->service_account, "aws-node");
    assert_string_equal(v->cni_image, "x:v1.20.0");
    assert_true(v->template_ipv6 && !v->template_prefix_delegation && v->on_delete);
    assert_null(v->template_outranked_by);
    assert_int_equal(v->meta.generation, 4);
    assert_int_equal(v->observed_generation, 3);
    assert_int_equal(v->desired * 1000000 + v->current * 100000 + v->updated * 10000 + v->available * 1000, 10987000);
    assert_int_equal(v->ready_count * 100 + v->unavailable * 10 + v->misscheduled, 631);
    char *pod = json_print(v->template_pod);
    assert_non_null(strstr(pod, "\"metadata\":{\"labels\":{\"k8s-app\":\"aws-node\"},\"annotations\":{\"cniiam"));
    assert_non_null(strstr(pod, "\"hostNetwork\":true"));
    assert_null(strstr(pod, "creationTimestamp"));
    free(pod);
    daemon_set_free(v);
}

static void test_daemon_set_decode__absent_counters_are_zero(void **state) {
    (void)state;
    struct daemon_set_view *v =
        daemon_set("{" META("") ",\"status\":{\"numberReady\":-1,\"numberAvailable\":99999999999}}");
    assert_int_equal(v->desired + v->updated + v->available + v->ready_count, 0);
    assert_null(v->cni_image);
    assert_null(v->restarted_for);
    assert_false(v->on_delete);
    assert_true(json_is_object(json_get(v->template_pod, "spec")));
    daemon_set_free(v);
}

static void test_daemon_set_decode__what_the_template_has_before_the_webhook(void **state) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        {DS("", CONTAINERS("{\"name\":\"AWS_ROLE_ARN\",\"value\":\"r\"}"), ""), "AWS_ROLE_ARN"},
        {DS("", CONTAINERS("{\"name\":\"AWS_WEB_IDENTITY_TOKEN_FILE\",\"value\":\"f\"}"), ""),
         "AWS_WEB_IDENTITY_TOKEN_FILE"},
        {DS("", CONTAINERS("{\"name\":\"AWS_ACCESS_KEY_ID\",\"valueFrom\":{}}"), ""), "AWS_ACCESS_KEY_ID"},
        {DS("", CONTAINERS("{\"name\":\"AWS_CONTAINER_CREDENTIALS_FULL_URI\",\"value\":\"u\"}"), ""),
         "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
        {DS("", "\"containers\":[{\"name\":\"aws-node\",\"envFrom\":[{\"secretRef\":{\"name\":\"s\"}}]}]", ""),
         "envFrom"},
        {DS("",
            "\"initContainers\":[{\"name\":\"i\",\"env\":[{\"name\":\"AWS_PROFILE\",\"value\":\"p\"}]}]," CONTAINERS(
                ""),
            ""),
         "AWS_PROFILE"},
        {DS("", CONTAINERS("{\"name\":\"AWS_PROFILE\",\"value\":\"\"}"), ""), NULL},
        {DS("", "\"containers\":[{\"name\":\"aws-node\",\"envFrom\":[]}]", ""), NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct daemon_set_view *v = daemon_set(cases[i].text);
        if (!str_eq(v->template_outranked_by, cases[i].want)) {
            fail_msg("case %zu: %s", i, str_or(v->template_outranked_by, "-"));
        }
        daemon_set_free(v);
    }
}

static void test_node_decode__instance_or_not(void **state) {
    static const struct {
        const char *provider_id, *want;
    } cases[] = {
        {"aws:///us-west-2a/i-0123456789abcdef0", "i-0123456789abcdef0"},
        {"aws:///us-west-2a/i-01234567", "i-01234567"},
        {"aws:///us-west-2a/i-0123456789ABCDEF0", NULL},
        {"aws:///us-west-2a/i-012", NULL},
        {"aws:///us-west-2a/5f7e2c2f99-4ab1/fargate-ip-10-0-0-1.us-west-2.compute.internal", NULL},
        {"eks-hybrid:///us-west-2/prod/mi-0123456789abcdef0", NULL},
        {"aws://", NULL},
        {"gce://x/y/i-01234567", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err;
        json *j = parse("{" META("") ",\"spec\":{}}");
        json_add_str((json *)(uintptr_t)json_get(j, "spec"), "providerID", cases[i].provider_id);
        struct node_view *v = node_decode(j, &err);
        if (!str_eq(v->instance_id, cases[i].want)) {
            fail_msg("%s: %s", cases[i].provider_id, str_or(v->instance_id, "-"));
        }
        assert_string_equal(v->provider_id, cases[i].provider_id);
        assert_false(v->ready);
        node_free(v);
        json_free(j);
    }
}

static void test_node_decode__kinds_of_compute(void **state) {
    (void)state;
    struct error err;
    json *j = parse("{" META(",\"labels\":{\"eks.amazonaws.com/compute-type\":\"auto\",\"kubernetes.io/"
                             "os\":\"windows\"}") ",\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":[{"
                                                  "\"type\":\"MemoryPressure\",\"status\":\"True\"},"
                                                  "{\"type\":\"Ready\",\"status\":\"True\"}]}}");
    struct node_view *v = node_decode(j, &err);
    assert_true(v->automode && v->windows && v->ready && v->unschedulable);
    assert_false(v->fargate || v->hybrid);
    node_free(v);
    json_free(j);
    j = parse("{" META(
        ",\"labels\":{\"eks.amazonaws.com/compute-type\":\"fargate\"}") ",\"status\":{\"conditions\":[{\"type\":"
                                                                        "\"Ready\",\"status\":\"Unknown\"}]}}");
    v = node_decode(j, &err);
    assert_true(v->fargate && !v->ready && !v->automode);
    node_free(v);
    json_free(j);
}

static void test_event_decode__both_forms(void **state) {
    static const char *const forms[] = {
        "{" META("") ",\"reason\":\"MissingIAMPermissions\",\"action\":\"AssignPrivateIpAddresses\",\"message\":\"m\","
                     "\"involvedObject\":{\"uid\":\"pu\",\"name\":\"pn\"},\"count\":3,\"firstTimestamp\":\"2026-01-"
                     "02T03:04:05Z\","
                     "\"lastTimestamp\":\"2026-01-02T03:04:07Z\",\"eventTime\":null}",
        "{" META("") ",\"reason\":\"MissingIAMPermissions\",\"action\":\"AssignPrivateIpAddresses\",\"note\":\"m\","
                     "\"regarding\":{\"uid\":\"pu\",\"name\":\"pn\"},\"eventTime\":\"2026-01-02T03:04:05.000000Z\","
                     "\"series\":{\"count\":3,\"lastObservedTime\":\"2026-01-02T03:04:07.000000Z\"}}"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct error err;
        json *j = parse(forms[i]);
        struct event_view *v = event_decode(j, &err);
        assert_string_equal(v->reason, "MissingIAMPermissions");
        assert_string_equal(v->action, "AssignPrivateIpAddresses");
        assert_string_equal(v->note, "m");
        assert_string_equal(v->regarding_uid, "pu");
        assert_string_equal(v->regarding_name, "pn");
        assert_int_equal(v->count, 3);
        assert_int_equal(v->last_ms % 100000, 47000);
        event_free(v);
        json_free(j);
    }
}

static void test_cni_version_parse__tags(void **state) {
    static const struct {
        const char *image;
        int want[3]; /* -1: no version */
    } cases[] = {
        {"602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni:v1.18.3-eksbuild.2@sha256:0123", {1, 18, 3}},
        {"602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni:v1.23.1", {1, 23, 1}},
        {"mirror.example:5000/eks/cni:1.5.3", {1, 5, 3}},
        {"amazon-k8s-cni:v1.10.1-custom", {1, 10, 1}},
        {"cni:1.2.3@sha256:9", {1, 2, 3}},
        {"mirror.example:5000/eks/cni", {-1, 0, 0}},
        {"cni@sha256:0123", {-1, 0, 0}},
        {"cni@sha256:1.2.3", {-1, 0, 0}},
        {"cni:latest", {-1, 0, 0}},
        {"cni:v1.18", {-1, 0, 0}},
        {"cni:v1", {-1, 0, 0}},
        {"cni:v1.18.", {-1, 0, 0}},
        {"cni:v1.18.3.4", {-1, 0, 0}},
        {"cni:v1.18.3x", {-1, 0, 0}},
        {"cni:v1-18.3", {-1, 0, 0}},
        {"cni:v1.999999.3", {-1, 0, 0}},
        {"cni:", {-1, 0, 0}},
        {"", {-1, 0, 0}},
        {NULL, {-1, 0, 0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cni_version v = {0, 0, 0};
        bool ok = cni_version_parse(cases[i].image, &v);
        if (ok != (cases[i].want[0] >= 0) ||
            (ok && (v.major != cases[i].want[0] || v.minor != cases[i].want[1] || v.patch != cases[i].want[2]))) {
            fail_msg("%s: %d %d.%d.%d", str_or(cases[i].image, "NULL"), ok, v.major, v.minor, v.patch);
        }
    }
}

static void test_cni_version_compare__numbers_not_text(void **state) {
    (void)state;
    struct cni_version a = {1, 9, 3}, b = {1, 10, 1}, c = {2, 0, 0};
    assert_int_equal(cni_version_compare(a, b), -1);
    assert_int_equal(cni_version_compare(c, b), 1);
    assert_int_equal(cni_version_compare(b, b), 0);
    b.patch = 0;
    assert_int_equal(cni_version_compare(b, (struct cni_version){1, 10, 1}), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode__refuses_objects_without_identity),
        cmocka_unit_test(test_service_account_decode__annotations_and_their_owners),
        cmocka_unit_test(test_service_account_decode__absent_annotations_are_null),
        cmocka_unit_test(test_daemon_set_decode__template_and_counters),
        cmocka_unit_test(test_daemon_set_decode__absent_counters_are_zero),
        cmocka_unit_test(test_daemon_set_decode__what_the_template_has_before_the_webhook),
        cmocka_unit_test(test_node_decode__instance_or_not),
        cmocka_unit_test(test_node_decode__kinds_of_compute),
        cmocka_unit_test(test_event_decode__both_forms),
        cmocka_unit_test(test_cni_version_parse__tags),
        cmocka_unit_test(test_cni_version_compare__numbers_not_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
