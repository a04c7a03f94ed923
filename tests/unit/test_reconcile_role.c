/* The role, its policies and deletion: what is ours goes, what is not stays (S5, S15, S16). */
#include "support_sim.h"

#define NAMED(management) "\"role\":{\"name\":\"cni\",\"management\":\"" management "\"},"

static void retain_and_abandon(void **state) {
    (void)state;
    for (int abandon = 0; abandon < 2; abandon++) {
        struct sim *s = sim_start(3, QUICK);
        sim_expect_ready(s);
        if (abandon)
            sim_annotate_binding(s, CIB_ANNOTATION_ABANDON, "true");
        else
            sim_set_spec(s, QUICK_WITH("\"deletionPolicy\":\"Retain\",", ""));
        int writes = s->writes;
        sim_delete_and_wait(s);
        assert_int_equal(s->writes, writes + 1); /* the finalizer */
        assert_true(sim_detached(s));
        sim_end(s);
    }
}

static void suspended_bindings_restore_too(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    sim_set_spec(s, QUICK_WITH("\"suspend\":true,", ""));
    sim_delete_and_wait(s);
    assert_false(sim_detached(s));
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    sim_end(s);
}

static void a_reading_mode_does_not_restore(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    sim_set_spec(s, QUICK_WITH("\"mode\":\"Observe\",", ""));
    sim_delete_binding(s);
    sim_expect(s, "Stalled", "True", "ModeForbidsWrites", 5 * MINUTES);
    sim_set_spec(s, QUICK);
    sim_wait_for_end(s);
    assert_false(sim_detached(s));
    sim_end(s);
}

/* ... and so is a policy that it had; one that it did not have goes, and the mark of it. */
static void adopted_roles_keep_the_policies_that_they_had(void **state) {
    (void)state;
    for (int had = 0; had < 2; had++) {
        struct sim *s = sim_start(3, QUICK_WITH(NAMED("Adopt"), ""));
        struct sim_role *r = sim_foreign_role(s, "cni");
        if (had)
            sim_role_attach(r, SIM_CNI_POLICY);
        sim_role_attach(r, "arn:aws:iam::aws:policy/ReadOnlyAccess");
        sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
        assert_true(sim_role_has(r, SIM_CNI_POLICY));
        sim_delete_and_wait(s);
        assert_int_equal(sim_role_has(r, SIM_CNI_POLICY), had);
        assert_true(sim_role_has(r, "arn:aws:iam::aws:policy/ReadOnlyAccess"));
        for (int i = 0; i < r->ntags; i++)
            assert_null(strstr(r->tags[i][0], "cniiam.dev/attached/"));
        sim_end(s);
    }
}

static void adopted_roles_are_kept(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK_WITH(NAMED("Adopt"), ""));
    struct sim_role *r = sim_foreign_role(s, "cni");
    s->provider = s->provider_audience = true;
    sim_expect_ready(s);
    assert_non_null(strstr(r->trust, "ec2.amazonaws.com"));
    sim_delete_and_wait(s);
    assert_true(r->exists && s->provider);
    assert_null(strstr(r->trust, "aws-node"));
    sim_end(s);
}

static void a_foreign_role_of_the_name_is_left_alone(void **state) {
    (void)state;
    struct sim *s = sim_start(2, QUICK_WITH(NAMED("Manage"), ""));
    struct sim_role *r = sim_foreign_role(s, "cni");
    char trust[4096];
    snprintf(trust, sizeof trust, "%s", r->trust);
    sim_expect(s, "Stalled", "True", "RoleNotOurs", 5 * MINUTES);
    sim_expect(s, "RoleReady", "False", "RoleNotOurs", 1 * MINUTES); /* and not what would come after */
    assert_string_equal(r->trust, trust);
    assert_int_equal(r->ntags, 0);
    sim_delete_and_wait(s);
    assert_true(r->exists);
    assert_string_equal(r->trust, trust);
    sim_end(s);
}

static void a_role_that_is_only_referenced(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK_WITH(NAMED("Reference"), ""));
    sim_expect(s, "Stalled", "True", "RoleNotFound", 5 * MINUTES);
    struct sim_role *r = sim_foreign_role(s, "cni");
    sim_expect(s, "Stalled", "True", "RoleNotReady", 5 * MINUTES);
    snprintf(r->trust, sizeof r->trust,
             "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"" SIM_PROVIDER "\"},\"Action\":"
             "\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringEquals\":{\"" SIM_ISSUER
             ":aud\":\"sts.amazonaws.com\","
             "\"" SIM_ISSUER ":sub\":\"system:serviceaccount:kube-system:aws-node\"}}}}");
    sim_run(s, 3 * MINUTES);
    assert_non_null(strstr(sim_condition_message(s, "Stalled"), "lacks policy"));
    sim_role_attach(r, SIM_CNI_POLICY);
    sim_expect_ready(s);
    assert_int_equal(r->ntags, 0);
    sim_delete_and_wait(s);
    assert_true(r->exists && sim_role_has(r, SIM_CNI_POLICY));
    assert_false(sim_detached(s));
    sim_end(s);
}

static void a_boundary_is_set_and_asked(void **state) {
    (void)state;
    struct sim *s = sim_start(
        2, QUICK_WITH("\"role\":{\"permissionsBoundaryARN\":\"arn:aws:iam::" SIM_ACCOUNT ":policy/b\"},", ""));
    s->boundary_denies = true;
    sim_expect(s, "Stalled", "True", "BoundaryDenies", 10 * MINUTES);
    s->boundary_denies = false;
    sim_expect_ready(s);
    sim_own_role(s)->boundary[0] = '\0';
    sim_run(s, 3 * MINUTES);
    assert_string_equal(sim_own_role(s)->boundary, "arn:aws:iam::" SIM_ACCOUNT ":policy/b");
    sim_end(s);
}

static void tags_are_kept_as_the_spec_says(void **state) {
    (void)state;
    struct sim *s = sim_start(2, QUICK);
    sim_expect_ready(s);
    sim_set_spec(s, QUICK_WITH("\"role\":{\"tags\":{\"team\":\"net\"}},", ""));
    sim_run(s, 3 * MINUTES);
    struct sim_role *r = sim_own_role(s);
    bool found = false;
    for (int i = 0; i < r->ntags; i++)
        found = found || (strcmp(r->tags[i][0], "team") == 0 && strcmp(r->tags[i][1], "net") == 0);
    assert_true(found);
    sim_end(s);
}

static void the_ipv6_policy_is_made_repaired_and_removed(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->ipv6 = true;
    sim_expect_ready(s);
    assert_non_null(strstr(s->policy.trust, "ec2:AssignIpv6Addresses"));
    for (int i = 0; i < 6; i++) { /* IAM keeps five versions */
        strcpy(s->policy.trust, "{\"Statement\":[]}");
        sim_run(s, 2 * MINUTES);
        assert_non_null(strstr(s->policy.trust, "ec2:AssignIpv6Addresses"));
    }
    sim_delete_and_wait(s);
    assert_false(s->policy.exists);
    sim_end(s);
}

static void bootstrap_and_its_deletion(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_role_detach(&s->roles[0], SIM_CNI_POLICY);
    sim_run(s, 0);
    sim_expect_ready(s);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
    assert_string_equal(sim_condition_reason(s, "NodeRoleDetached"), "NothingToDetach");
    sim_delete_and_wait(s);
    assert_true(sim_every_pod_permitted(s));
    sim_end(s);
}

/* S1: the webhook missed a pod, which is never Ready then; going back would take from the others what they have. */
static void a_bootstrap_that_misses_a_pod_goes_on(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_role_detach(&s->roles[0], SIM_CNI_POLICY);
    sim_run(s, 0);
    while (s->restart_applies == 0)
        sim_run(s, 1000);
    s->webhook_misses = 1;
    sim_expect(s, "Stalled", "True", "PodNotReady", 30 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 1); /* the canary: the rollout waits for the pod */
    sim_expect_ready(s);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
    assert_int_equal(s->lost_permission, 0);
    sim_end(s);
}

/* A node of a role that never had the policy joined after the migration: deletion must not take its pod's role away. */
static void deletion_spares_pods_whose_node_role_never_had_it(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    struct sim_role *b = sim_second_node_role(s, 3);
    sim_role_detach(b, SIM_CNI_POLICY);
    sim_join(s);
    sim_run(s, 5 * MINUTES);
    sim_delete_and_wait(s);
    assert_true(sim_every_pod_permitted(s));
    assert_false(sim_detached(s));
    sim_end(s);
}

static void on_delete_goes_one_by_one(void **state) {
    (void)state;
    struct sim *s = sim_start(4, QUICK);
    s->on_delete = true;
    sim_expect_ready(s);
    assert_int_equal(s->restart_applies, 0);
    assert_int_equal(sim_log_count(s, "re-create pod"), 4);
    sim_delete_and_wait(s);
    assert_int_equal(s->restart_applies, 0);
    assert_int_equal(sim_pods_with_role(s, NULL), 4);
    assert_true(s->max_unready <= 1);
    sim_end(s);
}

/* S9: deleted while a pod starts with the role; that one goes back first, any other would be a second node without. */
static void the_way_back_begins_with_what_is_not_ready(void **state) {
    (void)state;
    for (int last = 1; last < 4; last++) {
        struct sim *s = sim_start(4, QUICK);
        s->on_delete = true;
        for (int i = 0; sim_log_count(s, "re-create pod") <= last; i++) {
            assert_true(i < 10000);
            s->now_ms += sim_pass(s);
        }
        sim_delete_and_wait(s);
        assert_int_equal(s->max_unready, 1);
        assert_int_equal(sim_pods_with_role(s, NULL), 4);
        sim_end(s);
    }
}

/* S14: lists that came back empty hold a deletion up, until they are asked again; what is really gone does not. */
static void what_informers_do_not_show_is_no_absence(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    s->informers_know_nothing = true;
    sim_delete_binding(s);
    sim_run(s, 10 * MINUTES);
    assert_false(s->finalizer_gone);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
    s->informers_know_nothing = false;
    sim_delete_and_wait(s);
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    assert_int_equal(s->restarts, 2);
    sim_end(s);
}

/* S14: that no node is shown is no proof that nothing worked, which would make a deletion leave everything as it is. */
static void pods_on_nodes_that_are_not_shown_worked_before(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    for (int i = 0; i < 3; i++)
        s->node_gone[i] = true;
    sim_run(s, MINUTES);
    for (int i = 0; i < 3; i++)
        s->node_gone[i] = false;
    sim_expect_ready(s);
    sim_delete_and_wait(s);
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    sim_end(s);
}

static void a_workload_that_is_gone_holds_nothing_up(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    s->sa_exists = s->ds_exists = false;
    s->sa_role[0] = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        s->pods[i].exists = false;
    s->nnodes = 0;
    sim_delete_and_wait(s);
    assert_false(s->provider);
    sim_end(s);
}

static void back_to_the_node_role_and_forth(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    sim_set_spec(s, QUICK_WITH("\"identity\":{\"type\":\"NodeRole\"},", ""));
    sim_run(s, 10 * MINUTES);
    sim_expect_ready(s);
    assert_false(sim_detached(s));
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    assert_false(s->provider);
    sim_set_spec(s, QUICK);
    sim_run(s, MINUTES);
    sim_expect(s, "PodsProven", "True", NULL, 20 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
    sim_end(s);
}

/* The status was lost with its object, the role remembers: applied again, it owns its role and restores what it took.
 */
static void a_binding_that_was_pruned_and_applied_again(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->iam_lag_ms = 5000;
    sim_expect_ready(s);
    snprintf(s->binding_json, sizeof s->binding_json,
             "{\"apiVersion\":\"cniiam.dev/"
             "v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"aws-node\",\"uid\":\"cib-2\","
             "\"resourceVersion\":\"10\",\"generation\":1,\"creationTimestamp\":\"2026-02-01T00:00:00Z\"},\"spec\":%s}",
             QUICK);
    sim_restart_operator(s);
    sim_run(s, 5 * MINUTES);
    assert_true(sim_condition_is(s, "GuardActive", "True"));
    sim_delete_and_wait(s);
    assert_false(sim_detached(s));
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    sim_end(s);
}

/* Another role after a detachment: the policy is back first, a pod that the webhook misses on the way has something to
 * live on. */
static void another_role_after_a_detachment(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->iam_lag_ms = 5000;
    sim_expect_ready(s);
    char old[128];
    snprintf(old, sizeof old, "%s", sim_own_role_arn(s));
    s->webhook_misses = 1;
    sim_set_spec(s, QUICK_WITH(NAMED("Manage"), ""));
    sim_run(s, 20 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, "arn:aws:iam::" SIM_ACCOUNT ":role/cni"), 3);
    assert_false(sim_detached(s));
    assert_true(sim_every_pod_permitted(s));
    sim_delete_and_wait(s);
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    sim_end(s);
}

static void a_prior_role_comes_back(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    struct sim_role *prior = sim_foreign_role(s, "prior");
    snprintf(s->sa_role, sizeof s->sa_role, "%s", prior->arn);
    s->provider = s->provider_audience = true;
    strcpy(prior->trust,
           "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"" SIM_PROVIDER
           "\"},\"Condition\":{\"StringEquals\":{\"" SIM_ISSUER ":aud\":\"sts.amazonaws.com\",\"" SIM_ISSUER
           ":sub\":\"system:serviceaccount:kube-system:aws-node\"}}}}");
    sim_role_attach(prior, SIM_CNI_POLICY);
    sim_expect_ready(s);
    sim_delete_and_wait(s);
    assert_string_equal(s->sa_role, prior->arn);
    sim_end(s);
}

static void a_prior_role_that_is_gone_does_not(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    struct sim_role *prior = sim_foreign_role(s, "prior");
    snprintf(s->sa_role, sizeof s->sa_role, "%s", prior->arn);
    s->provider = s->provider_audience = true;
    sim_expect_ready(s);
    prior->exists = false;
    sim_delete_and_wait(s);
    assert_string_equal(s->sa_role, "");
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    assert_true(sim_every_pod_permitted(s));
    sim_end(s);
}

#define CNI_ACTIONS                                                                                                    \
    "\"ec2:AssignPrivateIpAddresses\",\"ec2:AttachNetworkInterface\",\"ec2:CreateNetworkInterface\","                  \
    "\"ec2:DeleteNetworkInterface\",\"ec2:Describe*\",\"ec2:DetachNetworkInterface\",\"ec2:CreateTags\","              \
    "\"ec2:ModifyNetworkInterfaceAttribute\",\"ec2:UnassignPrivateIpAddresses\""
#define OWN_POLICY "\"permissions\":{\"policyARNs\":[\"" SIM_OTHER_POLICY "\"]},"

static void existing_policies_instead_of_ours(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK_WITH(OWN_POLICY, ""));
    const char *allowed[] = {SIM_CNI_POLICY, SIM_OTHER_POLICY};
    s->config.allowed_policy_arns = (struct strlist){.v = allowed, .n = 2};
    sim_expect(s, "Stalled", "True", "PolicyNotFound", 5 * MINUTES);
    s->other_policy = "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":[\"ec2:AssignPrivateIpAddresses\"],"
                      "\"Resource\":\"*\"}}";
    sim_expect(s, "Stalled", "True", "PermissionsIncomplete", 20 * MINUTES);
    assert_non_null(strstr(sim_condition_message(s, "Stalled"), "ec2:AttachNetworkInterface"));
    assert_int_equal(sim_log_count(s, "attach"), 0);
    s->other_policy = "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":[" CNI_ACTIONS "],\"Resource\":\"*\"}}";
    sim_expect_ready(s);
    assert_true(sim_role_has(sim_own_role(s), SIM_OTHER_POLICY));
    assert_false(sim_role_has(sim_own_role(s), SIM_CNI_POLICY));
    sim_delete_and_wait(s);
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    sim_end(s);
}

static void a_role_by_its_arn(void **state) {
    (void)state;
    struct sim *s = sim_start(
        3, QUICK_WITH("\"role\":{\"arn\":\"arn:aws:iam::" SIM_ACCOUNT ":role/cni\",\"management\":\"Adopt\"},", ""));
    struct sim_role *r = sim_foreign_role(s, "cni");
    sim_expect_ready(s);
    assert_int_equal(sim_pods_with_role(s, r->arn), 3);
    assert_non_null(strstr(r->trust, "aws-node"));
    sim_delete_and_wait(s);
    assert_true(r->exists);
    sim_end(s);
}

static void description_and_session_duration(void **state) {
    (void)state;
    struct sim *s =
        sim_start(2, QUICK_WITH("\"role\":{\"description\":\"for the CNI\",\"maxSessionDurationSeconds\":7200},", ""));
    sim_expect_ready(s);
    struct sim_role *r = sim_own_role(s);
    assert_string_equal(r->description, "for the CNI");
    assert_string_equal(r->max_session, "7200");
    strcpy(r->description, "edited by hand");
    sim_run(s, 3 * MINUTES);
    assert_string_equal(r->description, "for the CNI");
    strcpy(r->max_session, "3600");
    sim_run(s, 3 * MINUTES);
    assert_string_equal(r->max_session, "7200");
    sim_end(s);
}

/* Somebody attached a policy of his own: he uses the role. */
static void a_role_with_policies_of_others_stays(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    struct sim_role *r = sim_own_role(s);
    sim_role_attach(r, SIM_OTHER_POLICY);
    sim_delete_and_wait(s);
    assert_true(r->exists && s->provider); /* it still trusts the provider */
    assert_false(sim_detached(s));
    sim_end(s);
}

static void a_policy_that_others_use_stays(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->ipv6 = true;
    sim_expect_ready(s);
    s->policy_used_elsewhere = true;
    sim_delete_and_wait(s);
    assert_true(s->policy.exists);
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    sim_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(existing_policies_instead_of_ours),
        cmocka_unit_test(a_role_by_its_arn),
        cmocka_unit_test(description_and_session_duration),
        cmocka_unit_test(a_role_with_policies_of_others_stays),
        cmocka_unit_test(a_policy_that_others_use_stays),
        cmocka_unit_test(retain_and_abandon),
        cmocka_unit_test(suspended_bindings_restore_too),
        cmocka_unit_test(a_reading_mode_does_not_restore),
        cmocka_unit_test(adopted_roles_are_kept),
        cmocka_unit_test(adopted_roles_keep_the_policies_that_they_had),
        cmocka_unit_test(a_foreign_role_of_the_name_is_left_alone),
        cmocka_unit_test(a_role_that_is_only_referenced),
        cmocka_unit_test(a_boundary_is_set_and_asked),
        cmocka_unit_test(tags_are_kept_as_the_spec_says),
        cmocka_unit_test(the_ipv6_policy_is_made_repaired_and_removed),
        cmocka_unit_test(bootstrap_and_its_deletion),
        cmocka_unit_test(a_bootstrap_that_misses_a_pod_goes_on),
        cmocka_unit_test(deletion_spares_pods_whose_node_role_never_had_it),
        cmocka_unit_test(on_delete_goes_one_by_one),
        cmocka_unit_test(the_way_back_begins_with_what_is_not_ready),
        cmocka_unit_test(what_informers_do_not_show_is_no_absence),
        cmocka_unit_test(pods_on_nodes_that_are_not_shown_worked_before),
        cmocka_unit_test(a_workload_that_is_gone_holds_nothing_up),
        cmocka_unit_test(back_to_the_node_role_and_forth),
        cmocka_unit_test(a_binding_that_was_pruned_and_applied_again),
        cmocka_unit_test(another_role_after_a_detachment),
        cmocka_unit_test(a_prior_role_comes_back),
        cmocka_unit_test(a_prior_role_that_is_gone_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
