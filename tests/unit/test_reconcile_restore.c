/* The way back when something on it does not work any more: pods keep what they have, and a condition says who has to do what. */
#include "support_sim.h"

static struct sim *migrated(const char *spec) {
    struct sim *s = sim_start(3, spec);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    return s;
}

/* --- a pod that never becomes Ready --- */

/* Whatever pod is on the node does not become Ready. */
static void run_with_a_broken_node(struct sim *s, int node, int64_t for_ms) {
    for (int64_t gone = 0; gone < for_ms; gone += 1000) {
        for (int i = 0; i < SIM_PODS_MAX; i++)
            if (s->pods[i].exists && s->pods[i].node == node)
                s->pods[i].broken = true;
        sim_run(s, 1000);
    }
}

static void mend_node(struct sim *s) {
    for (int i = 0; i < SIM_PODS_MAX; i++)
        s->pods[i].broken = false;
}

static void a_broken_node_holds_up_a_deletion_and_is_told(void **state) {
    (void)state;
    struct sim *s = migrated(QUICK);
    sim_delete_binding(s);
    run_with_a_broken_node(s, 1, MINUTES);
    assert_string_equal(sim_condition_reason(s, "Stalled"), ""); /* the deadline is two minutes */
    run_with_a_broken_node(s, 1, 4 * MINUTES);
    assert_string_equal(sim_condition_reason(s, "Stalled"), "PodNotReady");
    assert_non_null(strstr(sim_condition_message(s, "Stalled"), "node-1"));
    assert_false(s->finalizer_gone);
    assert_false(sim_detached(s));
    mend_node(s);
    sim_expect(s, "Ready", "False", "Restoring", MINUTES);
    assert_string_equal(sim_condition_reason(s, "Stalled"), "");
    sim_wait_for_end(s);
    sim_end(s);
}

/* Long, but it moves: nobody has to do anything. */
static void a_slow_way_back_is_not_stalled(void **state) {
    (void)state;
    struct sim *s = migrated("{\"rollout\":{\"proofSeconds\":2,\"settleSeconds\":2,\"progressDeadlineSeconds\":60},"
                             "\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":10}}");
    sim_delete_binding(s);
    sim_run_until_logged(s, "restart DaemonSet kube-system/aws-node (cniiam.dev/restarted-for=none");
    for (int node = 0; node < 3; node++) {
        run_with_a_broken_node(s, node, 45000);
        assert_string_equal(sim_condition_reason(s, "Stalled"), "");
        mend_node(s);
        sim_run(s, 3000);
    }
    sim_wait_for_end(s);
    sim_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_node_holds_up_a_deletion_and_is_told),
        cmocka_unit_test(a_slow_way_back_is_not_stalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
