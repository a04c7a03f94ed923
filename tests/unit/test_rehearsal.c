/* test_rehearsal.c - the product's own operator in worlds made from changed copies of one snapshot: what it says of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controller/rehearsal_report.h"

#define SMALL TESTS_DIR "/fuzz/seeds/fuzz_snapshot/small.json"
#define MANY 200 /* and three: more than one filter of EC2 may name */

static struct arena *arena;
static json *tree, *binding;
static struct options options;

static json *at(json *from, const char *path) {
    const json *found = json_path(from, path);
    assert_non_null(found);
    return (json *)(uintptr_t)found;
}

static json *parse(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    assert_non_null(j);
    return j;
}

/* Without the instance that nobody has declared. */
static int setup(void **state) {
    (void)state;
    static char text[64 * 1024];
    FILE *f = fopen(SMALL, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    arena = arena_new(0);
    tree = parse(text);
    cJSON_DeleteItemFromArray(at(tree, "aws.instances"), (int)json_array_size(at(tree, "aws.instances")) - 1);
    binding = parse("{\"apiVersion\": \"cniiam.dev/v1alpha1\", \"kind\": \"CniIamBinding\", \"metadata\": {\"name\": "
                    "\"aws-node\"}, \"spec\": {}}");
    /* Nobody else wants the Lease: it need not be renewed every two seconds of a virtual hour. */
    options = (struct options){.lease_duration_ms = 60000,
                               .renew_deadline_ms = 40000,
                               .retry_period_ms = 10000,
                               .aws_audit_interval_ms = 60000,
                               .role_path = "/",
                               .approve = true,
                               .iam_lag_ms = 15000,
                               .pod_start_ms = 20000};
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    json_free(tree);
    json_free(binding);
    arena_free(arena);
    return 0;
}

static json *rehearse(void) {
    struct error err;
    struct buf text;
    buf_init(&text, SNAPSHOT_TEXT_MAX);
    snapshot_print(tree, &text);
    struct snapshot *s = snapshot_parse("s.json", buf_str(&text), text.n, &err);
    if (!s)
        fail_msg("%s", err.message);
    struct rehearsal_request r = {.options = &options, .snapshot = s, .binding = binding};
    json *report = rehearsal_run(&r, &err);
    if (!report)
        fail_msg("%s", err.message);
    snapshot_free(s);
    buf_done(&text);
    return report;
}

static int calls(const json *report, const char *call) {
    int n = 0;
    for (const json *it = json_first(json_array(report, "steps")); it; it = it->next)
        n += str_eq(json_str(it, "call"), call);
    return n;
}

/* The rehearsal says that, and nothing else, would go wrong. */
static void goes_wrong(const char *what, int detachments) {
    json *report = rehearse();
    const json *problems = json_array(report, "problems");
    if (json_bool(report, "converges", true) || json_array_size(problems) != 1 ||
        !strstr(json_first(problems)->valuestring, what))
        fail_msg("%s", json_print_arena(problems, arena));
    assert_int_equal(calls(report, "DetachRolePolicy"), detachments);
    json_free(report);
}

static void test_it_gets_there(void **state) {
    (void)state;
    struct buf text;
    json *report = rehearse();
    assert_true(json_bool(report, "converges", false));
    assert_int_equal(json_array_size(json_array(report, "problems")), 0);
    assert_int_equal(calls(report, "CreateOpenIDConnectProvider"), 0); /* it is there */
    assert_int_equal(calls(report, "CreateRole"), 1);
    assert_int_equal(calls(report, "DetachRolePolicy"), 2);
    assert_true(json_bool(report, "approval.given", false));
    assert_true(json_int64_or(report, "tookMs", 0) > (60 + 30 + 300) * 1000); /* the binding's own waits */
    buf_init(&text, SNAPSHOT_TEXT_MAX);
    report_text(report, &text);
    assert_non_null(strstr(buf_str(&text), "It would get there"));
    assert_non_null(strstr(buf_str(&text), "loses arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"));
    assert_non_null(strstr(buf_str(&text), "proof 60 s, settle 30 s, soak 300 s"));
    buf_done(&text);
    json_free(report);
}

static void test_never_and_not_yet(void **state) {
    (void)state;
    options.approve = false;
    json *report = rehearse();
    assert_true(json_bool(report, "converges", false));
    assert_int_equal(calls(report, "DetachRolePolicy"), 0);
    assert_false(json_bool(report, "approval.given", true));
    json_free(report);
    json_add_str(json_add_object(at(binding, "spec"), "nodeRole"), "detach", "Never");
    report = rehearse();
    assert_true(json_bool(report, "converges", false));
    assert_int_equal(calls(report, "DetachRolePolicy"), 0);
    assert_null(json_get(report, "approval"));
    json_free(report);
}

static void test_what_stalls(void **state) {
    (void)state;
    json_add_item(at(tree, "aws"), "addon",
                  parse("{\"addonName\": \"vpc-cni\", \"addonVersion\": \"v1.20.4-eksbuild.1\"}"));
    goes_wrong("Stalled is True, ManagedAddon: ", 0);
    cJSON_DeleteItemFromObjectCaseSensitive(at(tree, "aws"), "addon");
    json_add_item(
        at(tree, "aws"), "association",
        parse("{\"associationId\": \"a-1\", \"namespace\": \"kube-system\", \"serviceAccount\": \"aws-node\"}"));
    goes_wrong("Stalled is True, PodIdentityAssociationExists: ", 0);
    cJSON_DeleteItemFromObjectCaseSensitive(at(tree, "aws"), "association");
    json_add_bool(at(tree, "aws.cluster"), "autoMode", true);
    goes_wrong("Stalled is True, AutoMode: ", 0);
    json_add_bool(at(tree, "aws.cluster"), "autoMode", false);
    json_add_str(at(tree, "kubernetes"), "issuer", "https://oidc.eks.us-west-2.amazonaws.com/id/OTHER");
    goes_wrong("Stalled is True, IssuerMismatch: ", 0);
}

static void test_a_webhook_that_is_not_there(void **state) {
    (void)state;
    json_add_str(at(tree, "kubernetes"), "webhook", "Absent");
    goes_wrong("WebhookNotInjecting: ", 0);
}

static void test_a_template_with_keys_of_its_own(void **state) {
    (void)state;
    json *container = at(tree, "kubernetes.daemonSet.spec.template.spec.containers")->child;
    json_push(at(container, "env"), parse("{\"name\": \"AWS_ACCESS_KEY_ID\", \"value\": \"(left out)\"}"));
    goes_wrong("Stalled is True, CredentialOutranked: ", 0);
}

static void test_no_workload(void **state) {
    (void)state;
    cJSON_DeleteItemFromObjectCaseSensitive(at(tree, "kubernetes"), "daemonSet");
    goes_wrong("Stalled is True, WorkloadMissing: ", 0);
}

static void test_a_pod_that_is_not_ready_now(void **state) {
    (void)state;
    json_add_str(at(at(tree, "kubernetes.pods")->child, "status.conditions")->child, "status", "False");
    goes_wrong("pod aws-node-00001 on node ip-10-0-0-10.us-west-2.compute.internal is not Ready now", 2);
}

static void test_a_role_that_nobody_asked_for(void **state) {
    (void)state;
    json_add_str(json_add_object(at(binding, "spec"), "role"), "name", "cni-iam-own");
    goes_wrong("the snapshot does not know about role cni-iam-own", 2);
    json_push_str(at(tree, "aws.absentRoles"), "cni-iam-own");
    json *report = rehearse();
    assert_true(json_bool(report, "converges", false));
    json_free(report);
}

static void test_a_mode_that_writes_nothing_is_rehearsed_all_the_same(void **state) {
    (void)state;
    json_add_str(at(binding, "spec"), "mode", "Plan");
    json_add_bool(at(binding, "spec"), "suspend", true);
    json *report = rehearse();
    assert_true(json_bool(report, "converges", false));
    assert_non_null(
        strstr(json_print_arena(json_array(report, "assumptions"), arena), "mode Plan is rehearsed as Enforce"));
    json_free(report);
}

/* --- many --- */

static json *copy_named(const char *list, const char *field, const char *name) {
    json *copy = json_dup(json_first(at(tree, list)));
    json_add_str(str_eq(field, "id") ? copy : at(copy, "metadata"), field, name);
    json_push(at(tree, list), copy);
    return copy;
}

static void add_node(int i) {
    char *node = arena_printf(arena, "more-%d", i), *instance = arena_printf(arena, "i-%017x", 0x1000 + i);
    json *n = copy_named("kubernetes.nodes", "name", node);
    json_add_str(at(n, "metadata"), "uid", arena_printf(arena, "node-%d", i));
    json_add_str(at(n, "spec"), "providerID", arena_printf(arena, "aws:///us-west-2a/%s", instance));
    json *p = copy_named("kubernetes.pods", "name", arena_printf(arena, "aws-node-more-%d", i));
    json_add_str(at(p, "metadata"), "uid", arena_printf(arena, "pod-%d", i));
    json_add_str(at(p, "spec"), "nodeName", node);
    copy_named("aws.instances", "id", instance);
}

static void test_more_nodes_than_one_call_can_name(void **state) {
    (void)state;
    for (int i = 0; i < MANY; i++)
        add_node(i);
    json_add_str(at(tree, "kubernetes.daemonSet.spec.updateStrategy.rollingUpdate"), "maxUnavailable", "100%");
    json *report = rehearse();
    assert_true(json_bool(report, "converges", false));
    const json *role = json_first(json_array(report, "nodeRoles"));
    assert_int_equal(json_array_size(json_get(role, "nodes")) + json_array_size(json_get(role->next, "nodes")),
                     MANY + 3);
    assert_int_equal(calls(report, "DetachRolePolicy"), 2);
    json_free(report);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_it_gets_there),
        TEST(test_never_and_not_yet),
        TEST(test_what_stalls),
        TEST(test_a_webhook_that_is_not_there),
        TEST(test_a_template_with_keys_of_its_own),
        TEST(test_no_workload),
        TEST(test_a_pod_that_is_not_ready_now),
        TEST(test_a_role_that_nobody_asked_for),
        TEST(test_a_mode_that_writes_nothing_is_rehearsed_all_the_same),
        TEST(test_more_nodes_than_one_call_can_name),
    };
    return cmocka_run_group_tests_name("rehearsal", tests, NULL, NULL);
}
