/* test_sim_world.c - a world by itself, without an operator: what cluster and account do when they are changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/base/str.h"
#include "platform/os/loop.h"
#include "simulator/checker.h"

#define NODES 6
#define LAG_MS 200
#define PATIENCE_MS 20000
#define ROLE "arn:aws:iam::111122223333:role/nobody-made-it"
#define CNI_POLICY "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"

static struct loop *loop;
static struct sim_world *world;
static struct sim_checker *checker;
static struct sim_node_row rows[NODES];

static int count(enum sim_pod_identity identity, bool ready) {
    int found = 0;
    assert_int_equal(sim_world_rows(world, rows, NODES), NODES);
    for (int i = 0; i < NODES; i++)
        found += rows[i].identity == identity && rows[i].ready == ready;
    return found;
}

static void wait_for(enum sim_pod_identity identity, bool ready, int n) {
    struct clock k = loop_clock(loop);
    int64_t until = k.boot_ms(k.ctx) + PATIENCE_MS;
    while (count(identity, ready) != n && k.boot_ms(k.ctx) < until)
        loop_turn(loop, 20);
    assert_int_equal(count(identity, ready), n);
}

static void turn_for(int64_t ms) {
    struct clock k = loop_clock(loop);
    for (int64_t until = k.boot_ms(k.ctx) + ms; k.boot_ms(k.ctx) < until;)
        loop_turn(loop, 10);
}

static int setup(void **state) {
    struct error err;
    (void)state;
    loop = loop_new(&err);
    assert_non_null(loop);
    world = sim_world_new(&(struct sim_world_options){.clock = loop_clock(loop),
                                                      .seed = 7,
                                                      .nodes = NODES,
                                                      .enforcement_lag_ms = LAG_MS,
                                                      .pod_start_ms = 50,
                                                      .webhook_lag_ms = 100,
                                                      .webhook_misses = 1});
    checker = NULL;
    wait_for(SIM_POD_NODE_ROLE, true, NODES);
    checker = sim_checker_new(world);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sim_checker_free(checker);
    sim_world_free(world);
    loop_free(loop);
    return 0;
}

static json *copy_of(const char *resource, const char *name) {
    json *object = json_dup(sim_kube_get(sim_world_kube(world), resource, "kube-system", name));
    assert_non_null(object);
    return object;
}

static json *inside(json *object, const char *key) {
    json *there = cJSON_GetObjectItemCaseSensitive(object, key);
    return there ? there : json_add_object(object, key);
}

static void annotate(const char *role) {
    json *sa = copy_of("serviceaccounts", "aws-node");
    json_add_str(inside(inside(sa, "metadata"), "annotations"), "eks.amazonaws.com/role-arn", role);
    assert_true(sim_kube_update(sim_world_kube(world), "serviceaccounts", sa));
}

static bool violated(const char *prefix) {
    for (int i = 0; i < sim_checker_violations(checker); i++)
        if (str_has_prefix(sim_checker_violation(checker, i), prefix))
            return true;
    return false;
}

static void delete_pod(const char *name) {
    assert_true(sim_kube_delete(sim_world_kube(world), "pods", "kube-system", name));
}

static void test_pods_live_on_the_node_role(void **state) {
    (void)state;
    assert_int_equal(sim_world_rows(world, rows, NODES), NODES);
    for (int i = 0; i < NODES; i++)
        assert_true(rows[i].permitted);
    const json *ds = sim_kube_get(sim_world_kube(world), "daemonsets", "kube-system", "aws-node");
    turn_for(100);
    ds = sim_kube_get(sim_world_kube(world), "daemonsets", "kube-system", "aws-node");
    assert_int_equal(json_int64_or(ds, "status.desiredNumberScheduled", -1), NODES);
    assert_int_equal(json_int64_or(ds, "status.numberReady", -1), NODES);
    assert_int_equal(json_int64_or(ds, "status.updatedNumberScheduled", -1), NODES);
    assert_int_equal(sim_checker_violations(checker), 0);
}

/* The webhook injects what its cache knows; a role that is not there permits nothing. */
static void test_annotation_and_injection(void **state) {
    char first[80];
    (void)state;
    annotate(ROLE);
    str_copy(first, sizeof first, rows[0].pod);
    delete_pod(first); /* the webhook does not know yet */
    turn_for(60);
    assert_int_equal(count(SIM_POD_OWN_ROLE, true) + count(SIM_POD_OWN_ROLE, false), 0);
    turn_for(200);
    wait_for(SIM_POD_NODE_ROLE, true, NODES);
    delete_pod(rows[1].pod);
    wait_for(SIM_POD_OWN_ROLE, false, 1);
    assert_true(violated("S1"));
    turn_for(500);
    const json *pod = sim_kube_get(sim_world_kube(world), "pods", "kube-system", rows[1].pod);
    const json *container = json_first(json_array(pod, "spec.initContainers"));
    char *text = json_print(container);
    assert_non_null(strstr(text, ROLE));
    assert_non_null(strstr(text, "AWS_WEB_IDENTITY_TOKEN_FILE"));
    assert_non_null(strstr(text, "aws-iam-token"));
    free(text);
}

static void note_event(void *arg, const json *event) {
    int *n = arg;
    *n += str_eq(json_str(event, "reason"), "MissingIAMPermissions");
}

/* What IAM stores is seen at once, what it enforces later; then the CNI complains. */
static void test_detached_policy(void **state) {
    struct sim_aws_answer answer = {0};
    int complaints = 0;
    (void)state;
    const struct sim_aws_param params[] = {{"RoleName", "eks-node"}, {"PolicyArn", CNI_POLICY}};
    sim_aws_do(sim_world_aws(world),
               &(struct sim_aws_call){.service = "iam", .action = "DetachRolePolicy", .params = params, .nparams = 2},
               &answer);
    assert_int_equal(answer.status, 200);
    json_free(answer.value);
    assert_true(violated("S2"));
    assert_int_equal(count(SIM_POD_NODE_ROLE, true), NODES);
    wait_for(SIM_POD_NODE_ROLE, false, NODES * 2 / 3); /* two of the three groups */
    assert_true(violated("S1"));
    turn_for(100);
    sim_kube_each(sim_world_kube(world), "events", "kube-system", note_event, &complaints);
    assert_true(complaints >= NODES * 2 / 3);
}

/* One restart, one pod at a time, and the webhook misses the first pod of it. */
static void test_rollout(void **state) {
    (void)state;
    annotate(ROLE);
    turn_for(300);
    json *ds = copy_of("daemonsets", "aws-node");
    json *template = inside(inside(ds, "spec"), "template");
    json_add_str(inside(inside(template, "metadata"), "annotations"), "cniiam.dev/restarted-for", "a");
    assert_true(sim_kube_update(sim_world_kube(world), "daemonsets", ds));
    assert_int_equal(sim_checker_restarts(checker), 1);
    /* The second pod does not become Ready with a role that is not there: the rollout stops at its budget. */
    wait_for(SIM_POD_OWN_ROLE, false, 1);
    turn_for(500);
    assert_int_equal(count(SIM_POD_NODE_ROLE, true), NODES - 1);
    assert_int_equal(count(SIM_POD_OWN_ROLE, false), 1);
}

static void test_nodes_come_and_go(void **state) {
    struct sim_node_row more[NODES + 1];
    char gone[64];
    (void)state;
    sim_world_add_node(world);
    turn_for(300);
    assert_int_equal(sim_world_rows(world, more, NODES + 1), NODES + 1);
    for (int i = 0; i <= NODES; i++)
        assert_true(more[i].ready);
    str_copy(gone, sizeof gone, more[0].name);
    sim_world_remove_node(world, gone);
    turn_for(100);
    assert_int_equal(sim_world_rows(world, more, NODES + 1), NODES);
    assert_string_not_equal(more[0].name, gone);
    assert_int_equal(sim_checker_violations(checker), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pods_live_on_the_node_role, setup, teardown),
        cmocka_unit_test_setup_teardown(test_annotation_and_injection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_detached_policy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rollout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nodes_come_and_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
