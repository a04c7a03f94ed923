/* Which policies come off which node roles, when, and who is asked (G7). */
#include "support_sim.h"

static void a_shared_node_role_is_held_back(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    strcpy(s->foreign_instance, "i-0foreign");
    s->foreign_cluster = "other";
    sim_expect(s, "NodeRoleDetached", "False", "ForeignConsumer", 20 * MINUTES);
    sim_run(s, 20 * MINUTES);
    assert_false(sim_detached(s));
    s->foreign_declared = true;
    sim_set_spec(s, QUICK_WITH("", ",\"foreignConsumers\":[\"other\"]"));
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    sim_end(s);
}

static void two_node_roles_and_a_third_later(void **state) {
    (void)state;
    struct sim *s = sim_start(4, QUICK);
    struct sim_role *b = sim_second_node_role(s, 3);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    assert_true(sim_detached(s));
    assert_false(sim_role_has(b, SIM_CNI_POLICY));
    /* A node role that appears later is told, not touched. */
    struct sim_role *c = &s->roles[5];
    *c = *b;
    snprintf(c->name, sizeof c->name, "node-role-c");
    snprintf(c->arn, sizeof c->arn, "arn:aws:iam::" SIM_ACCOUNT ":role/node-role-c");
    sim_role_attach(c, SIM_CNI_POLICY);
    s->node_role[4] = 5;
    sim_join(s);
    sim_run(s, 20 * MINUTES);
    assert_true(sim_role_has(c, SIM_CNI_POLICY));
    assert_string_equal(sim_condition_reason(s, "NodeRoleDetached"), "AwaitingApproval");
    assert_true(sim_condition_is(s, "Ready", "True")); /* all that may be done unasked is done */
    sim_approve(s);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    assert_false(sim_role_has(c, SIM_CNI_POLICY));
    sim_delete_and_wait(s);
    assert_true(sim_role_has(c, SIM_CNI_POLICY) && sim_role_has(b, SIM_CNI_POLICY) && !sim_detached(s));
    sim_end(s);
}

static void only_listed_roles(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK_WITH("", ",\"roleARNs\":[\"" NODE_ROLE_B "\"]"));
    struct sim_role *b = sim_second_node_role(s, 2);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    sim_run(s, 10 * MINUTES);
    assert_false(sim_detached(s));
    assert_false(sim_role_has(b, SIM_CNI_POLICY));
    sim_end(s);
}

static void turning_off_gives_back(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    sim_set_spec(s, "{" SHORT_WAITS ",\"nodeRole\":{\"detach\":\"Never\"}}");
    sim_expect(s, "NodeRoleDetached", "False", "NotRequested", 5 * MINUTES);
    assert_false(sim_detached(s));
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
    sim_expect_ready(s);
    sim_end(s);
}

/* Also while an earlier gate is held up: the way back waits for nothing. */
static void turning_off_does_not_wait_for_other_gates(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    s->fail_kind = EFFECT_PROVE_ROLE;
    s->fail_code = ERR_UNAVAILABLE;
    s->fail_count = 1000000;
    sim_run(s, 2 * MINUTES);
    sim_set_spec(s, "{" SHORT_WAITS ",\"nodeRole\":{\"detach\":\"Never\"}}");
    sim_run(s, MINUTES);
    assert_false(sim_detached(s));
    sim_end(s);
}

static void an_approval_is_of_one_digest_and_one_detachment(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{" SHORT_WAITS ",\"nodeRole\":{\"soakSeconds\":10}}");
    sim_expect_ready(s);
    sim_annotate_binding(s, CIB_ANNOTATION_APPROVE, "0000000000000000");
    sim_run(s, 10 * MINUTES);
    assert_false(sim_detached(s));
    struct cib_binding *b = sim_binding(s);
    char old[65];
    snprintf(old, sizeof old, "%s", b->status.plan.digest);
    cib_free(b);
    /* Another node role joins: what was shown is not what would be done. */
    sim_second_node_role(s, 2);
    sim_run(s, 3 * MINUTES);
    sim_annotate_binding(s, CIB_ANNOTATION_APPROVE, old);
    sim_run(s, 10 * MINUTES);
    assert_false(sim_detached(s));
    sim_approve(s);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 10 * MINUTES);
    /* Somebody attaches it again: the approval is used up. */
    sim_role_attach(&s->roles[0], SIM_CNI_POLICY);
    sim_run(s, 20 * MINUTES);
    assert_false(sim_detached(s));
    assert_string_equal(sim_condition_reason(s, "NodeRoleDetached"), "AwaitingApproval");
    sim_end(s);
}

static void other_grants_are_findings(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct sim *s = sim_start(3, QUICK);
        if (kind == 0)
            strcpy(s->roles[0].inline_policy,
                   "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                   "[\"ec2:AssignPrivateIpAddresses\",\"ec2:AttachNetworkInterface\"]}]}");
        else
            sim_role_attach(&s->roles[0], SIM_OTHER_POLICY);
        s->other_policy = "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"ec2:*\"}}";
        sim_expect(s, "NodeRoleDetached", "False", "OtherGrant", 20 * MINUTES);
        assert_true(sim_detached(s)); /* ours went, the other one is told */
        sim_expect_ready(s);
        assert_true(kind == 0 || sim_role_has(&s->roles[0], SIM_OTHER_POLICY));
        sim_end(s);
    }
}

static void what_is_not_known_holds_it_back(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct sim *s = sim_start(3, "{" SHORT_WAITS ",\"nodeRole\":{\"soakSeconds\":10}}");
        sim_expect_ready(s);
        s->no_provider_id = kind == 0;
        s->ec2_knows_nothing = kind == 1;
        s->lists_are_empty = kind == 2;
        sim_set_spec(s, QUICK);
        sim_run(s, 20 * MINUTES);
        assert_false(sim_detached(s));
        assert_false(sim_condition_is(s, "NodeRoleDetached", "True"));
        s->no_provider_id = s->ec2_knows_nothing = s->lists_are_empty = false;
        sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
        sim_end(s);
    }
}

static void no_node_is_no_reason(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{}");
    sim_expect_ready(s);
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        s->node_gone[i] = true;
        s->pods[i].exists = false;
    }
    sim_set_spec(s, QUICK);
    sim_run(s, 20 * MINUTES);
    assert_false(sim_detached(s));
    sim_end(s);
}

/* A cluster without nodes at first: what joins later is detached, and deletion gives it back. */
static void nodes_that_come_after_the_binding(void **state) {
    (void)state;
    struct sim *s = sim_start(0, QUICK);
    sim_run(s, 5 * MINUTES);
    for (int i = 0; i < 3; i++)
        sim_join(s);
    sim_expect(s, "NodeRoleDetached", "True", "Detached", 20 * MINUTES);
    sim_delete_and_wait(s);
    assert_false(sim_detached(s));
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    sim_end(s);
}

static void the_guard_must_be_independent(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->config.guard_independent = false;
    sim_expect(s, "Stalled", "True", "GuardNotIndependent", 20 * MINUTES);
    sim_run(s, 10 * MINUTES);
    assert_false(sim_detached(s));
    sim_end(s);
}

static void an_instance_profile_without_a_role(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_second_node_role(s, 1);
    s->profile_is_empty = true;
    sim_expect(s, "Stalled", "True", "ConsumerUnknown", 20 * MINUTES);
    assert_false(sim_detached(s));
    s->profile_is_empty = false;
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    sim_end(s);
}

/* A pod with the label that is not the DaemonSet's stands for no node. */
static void a_stray_pod_proves_no_node(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{" SHORT_WAITS ",\"nodeRole\":{\"soakSeconds\":10}}");
    sim_expect_ready(s);
    sim_set_spec(s, QUICK);
    s->nnodes = 4; /* joined, its pod is not there yet */
    sim_new_pod(s, 0);
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && s->pods[i].created_ms == 1790000000000 + s->now_ms)
            s->pods[i].foreign = true;
    sim_run(s, 20 * MINUTES);
    assert_false(sim_detached(s));
    sim_end(s);
}

static void a_pod_with_a_key_of_its_own_is_not_proven(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{" SHORT_WAITS ",\"nodeRole\":{\"soakSeconds\":10}}");
    sim_expect_ready(s);
    for (int i = 0; i < SIM_PODS_MAX; i++)
        s->pods[i].static_key = s->pods[i].exists && s->pods[i].node == 1;
    sim_set_spec(s, QUICK);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 10 * MINUTES);
    assert_int_equal(sim_log_count(s, "AWS_ACCESS_KEY_ID"), 1); /* re-created first, as the judge of S2 saw too */
    sim_end(s);
}

/* Time that was not observed does not count (G7). */
static void a_gap_starts_the_soak_anew(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{" SHORT_WAITS ",\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":200}}");
    sim_expect(s, "NodeRoleDetached", "False", "Soaking", 10 * MINUTES);
    s->now_ms += 10 * MINUTES;
    sim_run(s, 150000);
    assert_false(sim_detached(s));
    sim_run(s, 2 * MINUTES);
    assert_true(sim_detached(s));
    sim_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shared_node_role_is_held_back),
        cmocka_unit_test(two_node_roles_and_a_third_later),
        cmocka_unit_test(only_listed_roles),
        cmocka_unit_test(turning_off_gives_back),
        cmocka_unit_test(turning_off_does_not_wait_for_other_gates),
        cmocka_unit_test(an_approval_is_of_one_digest_and_one_detachment),
        cmocka_unit_test(other_grants_are_findings),
        cmocka_unit_test(what_is_not_known_holds_it_back),
        cmocka_unit_test(no_node_is_no_reason),
        cmocka_unit_test(nodes_that_come_after_the_binding),
        cmocka_unit_test(the_guard_must_be_independent),
        cmocka_unit_test(an_instance_profile_without_a_role),
        cmocka_unit_test(a_stray_pod_proves_no_node),
        cmocka_unit_test(a_pod_with_a_key_of_its_own_is_not_proven),
        cmocka_unit_test(a_gap_starts_the_soak_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
