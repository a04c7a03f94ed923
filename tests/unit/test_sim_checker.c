/* test_sim_checker.c - the judge: silent where all is right, and each invariant broken by hand is named by its id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/base/str.h"
#include "support_hand.h"

static struct hand *h;

static int setup(void **state) {
    (void)state;
    h = hand_open(false);
    return 0;
}

static int setup_on_delete(void **state) {
    (void)state;
    h = hand_open(true);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    hand_close(h);
    return 0;
}

static void assert_quiet(void) {
    for (int i = 0; i < CHECKER_VIOLATIONS_MAX && sim_checker_violation(h->checker, i); i++)
        print_error("%s\n", sim_checker_violation(h->checker, i));
    assert_int_equal(sim_checker_violations(h->checker), 0);
}

/* Exactly this one, and no other id. */
static void assert_only(const char *id) {
    assert_true(hand_violated(h, id));
    for (int i = 0; i < CHECKER_VIOLATIONS_MAX && sim_checker_violation(h->checker, i); i++)
        if (!str_has_prefix(sim_checker_violation(h->checker, i), id))
            fail_msg("besides %s: %s", id, sim_checker_violation(h->checker, i));
}

static void test_the_right_way_is_quiet(void **state) {
    (void)state;
    hand_to(h, HAND_CLEANED_UP);
    assert_quiet();
    assert_int_equal(sim_checker_restarts(h->checker), 2);
}

/* --- S2, S3 --- */

static void test_s2_not_soaked(void **state) {
    (void)state;
    hand_to(h, HAND_RESTARTED);
    hand_aws(h, "AttachRolePolicy", "RoleName", "eks-node", "PolicyArn", HAND_POLICY, NULL);
    hand_announce(h, "eks-node", "Detach", 7);
    hand_detach(h, "eks-node");
    assert_only("S2");
}

static void test_s2_pod_on_the_node_role(void **state) {
    (void)state;
    hand_to(h, HAND_CANARY);
    hand_wait(h, HAND_SOAK_MS);
    hand_aws(h, "AttachRolePolicy", "RoleName", "eks-node", "PolicyArn", HAND_POLICY, NULL);
    hand_announce(h, "eks-node", "Detach", 7);
    hand_detach(h, "eks-node");
    assert_only("S2");
}

static void test_s2_foreign_instance(void **state) {
    (void)state;
    hand_to(h, HAND_PROBED);
    sim_aws_run_instance(sim_world_aws(h->world), "i-0foreign", "eks-node", NULL);
    hand_wait(h, 20000);
    hand_announce(h, "eks-node", "Detach", 7);
    hand_detach(h, "eks-node");
    assert_only("S2");
}

/* What came after the picture was taken could not be in it. */
static void test_s2_an_instance_of_this_moment_is_no_fault(void **state) {
    (void)state;
    hand_to(h, HAND_ANNOUNCED);
    sim_aws_run_instance(sim_world_aws(h->world), "i-0foreign", "eks-node", NULL);
    hand_detach(h, "eks-node");
    assert_quiet();
}

static void test_s3_not_probed(void **state) {
    (void)state;
    hand_to(h, HAND_SOAKED);
    hand_announce(h, "eks-node", "Detach", 7);
    hand_detach(h, "eks-node");
    assert_only("S3");
}

static void test_s3_not_recorded(void **state) {
    (void)state;
    hand_to(h, HAND_PROBED);
    hand_announce(h, "eks-node-memory", "Detach", 7);
    hand_detach(h, "eks-node");
    assert_true(hand_violated(h, "S3"));
    assert_true(hand_violated(h, "S6")); /* nor announced */
}

/* --- S4 --- */

static void create_with(const char *trust) {
    hand_aws(h, "CreateRole", "RoleName", "other", "Path", "/", "AssumeRolePolicyDocument", trust, NULL);
}

static void test_s4_trust_by_pattern(void **state) {
    (void)state;
    create_with("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":"
                "\"" HAND_PROVIDER "\"},\"Action\":\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringLike\":{"
                "\"" HAND_ISSUER ":sub\":\"system:serviceaccount:kube-system:*\"}}}]}");
    assert_only("S4");
}

static void test_s4_foreign_statement_is_lost(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    hand_foreign_aws(h, "UpdateAssumeRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyDocument",
                     "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":"
                     "\"arn:aws:iam::111122223333:root\"},\"Action\":\"sts:AssumeRole\"}]}",
                     NULL);
    hand_wait(h, 20000);
    hand_aws(h, "UpdateAssumeRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyDocument", HAND_TRUST, NULL);
    assert_only("S4");
}

/* --- S5, S8, S16 --- */

static void test_s5_role_of_somebody_else(void **state) {
    (void)state;
    hand_foreign_aws(h, "CreateRole", "RoleName", "theirs", "AssumeRolePolicyDocument", HAND_TRUST, NULL);
    hand_wait(h, 20000);
    hand_aws(h, "AttachRolePolicy", "RoleName", "theirs", "PolicyArn", HAND_POLICY, NULL);
    assert_only("S5");
}

static void test_s5_provider_in_use(void **state) {
    (void)state;
    hand_to(h, HAND_RESTORED);
    hand_announce(h, "eks-node", "Restore", 7);
    hand_aws(h, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", HAND_PROVIDER, NULL);
    assert_only("S5");
}

static void test_s5_more_of_the_workload(void **state) {
    (void)state;
    hand_merge(h, HAND_WORKLOAD, "{\"spec\":{\"template\":{\"spec\":{\"priorityClassName\":\"other\"}}}}");
    assert_only("S5");
}

static void test_s5_spec_of_the_binding(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    assert_int_equal(hand_merge(h, HAND_BINDING, "{\"spec\":{\"nodeRole\":{\"soakSeconds\":1}}}"), 200);
    assert_only("S5");
}

static void test_s8_pod_by_name(void **state) {
    (void)state;
    hand_to(h, HAND_ANNOTATED);
    hand_delete_pod(h, 0, false);
    assert_only("S8");
}

static void test_s16_policy_that_nobody_allowed(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    hand_aws(h, "AttachRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyArn",
             "arn:aws:iam::aws:policy/AdministratorAccess", NULL);
    assert_only("S16");
}

static void test_s16_another_object(void **state) {
    (void)state;
    hand_merge(h, "/api/v1/namespaces/default/serviceaccounts/default", "{\"metadata\":{}}");
    assert_only("S16");
}

static void test_s16_token_of_another_account(void **state) {
    (void)state;
    hand_kube(h, "POST", "/api/v1/namespaces/kube-system/serviceaccounts/admin/token", "application/json", "{}");
    assert_only("S16");
}

/* --- S6 --- */

static void test_s6_not_the_holder(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    hand_lease(h, "another", 8);
    hand_wait(h, 20000);
    hand_aws(h, "AttachRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyArn", HAND_POLICY, NULL);
    assert_only("S6");
}

static void test_s6_older_epoch(void **state) {
    (void)state;
    hand_to(h, HAND_PROBED);
    hand_announce(h, "eks-node", "Detach", 6);
    hand_detach(h, "eks-node");
    assert_only("S6");
}

static void test_s6_no_swap_before(void **state) {
    (void)state;
    hand_to(h, HAND_ANNOUNCED);
    hand_aws(h, "TagRole", "RoleName", HAND_ROLE_NAME, "Tags.member.1.Key", "a", "Tags.member.1.Value", "b", NULL);
    hand_detach(h, "eks-node");
    assert_only("S6");
}

/* --- S7 --- */

static void test_s7_no_look_after_a_lost_answer(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    h->heard = 0;
    hand_aws(h, "AttachRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyArn", HAND_POLICY, NULL);
    hand_aws(h, "TagRole", "RoleName", HAND_ROLE_NAME, "Tags.member.1.Key", "a", "Tags.member.1.Value", "b", NULL);
    assert_only("S7");
}

/* Attaching ends the same way whatever became of the write before. */
static void test_s7_a_look_or_what_assumes_nothing(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    h->heard = 504;
    hand_aws(h, "TagRole", "RoleName", HAND_ROLE_NAME, "Tags.member.1.Key", "a", "Tags.member.1.Value", "b", NULL);
    hand_aws(h, "GetRole", "RoleName", HAND_ROLE_NAME, NULL);
    hand_aws(h, "TagRole", "RoleName", HAND_ROLE_NAME, "Tags.member.1.Key", "c", "Tags.member.1.Value", "d", NULL);
    h->heard = 0;
    hand_aws(h, "AttachRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyArn", HAND_POLICY, NULL);
    hand_aws(h, "AttachRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyArn", HAND_POLICY, NULL);
    assert_quiet();
}

/* --- S9 --- */

static int restart(const char *key) {
    char patch[160];
    (void)snprintf(patch, sizeof patch,
                   "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"cniiam.dev/restarted-for\":\"%s\"}}}}}",
                   key);
    return hand_merge(h, HAND_WORKLOAD, patch);
}

static void test_s9_no_canary(void **state) {
    (void)state;
    hand_to(h, HAND_ANNOTATED);
    assert_int_equal(restart("1"), 200);
    assert_only("S9");
}

static void test_s9_twice_for_one_injection(void **state) {
    (void)state;
    hand_to(h, HAND_SOAKED);
    assert_int_equal(restart("2"), 200);
    assert_only("S9");
}

static void test_s9_two_pods_at_a_time(void **state) {
    (void)state;
    hand_to(h, HAND_ANNOTATED);
    hand_delete_pod(h, 0, true);
    hand_delete_pod(h, 1, true);
    assert_only("S9");
}

static void test_s9_on_delete(void **state) {
    (void)state;
    hand_to(h, HAND_CANARY);
    assert_int_equal(restart("1"), 200);
    assert_only("S9");
}

/* --- S10 --- */

static void test_s10_in_status(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    sim_checker_secret(h->checker, "a-long-secret-of-mine");
    hand_merge(h, HAND_BINDING "/status", "{\"status\":{\"message\":\"key a-long-secret-of-mine\"}}");
    assert_only("S10");
}

static void test_s10_token_in_the_log(void **state) {
    (void)state;
    hand_kube(h, "POST", "/api/v1/namespaces/kube-system/serviceaccounts/aws-node/token", "application/json",
              "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\",\"spec\":{\"audiences\":["
              "\"sts.amazonaws.com\"],\"expirationSeconds\":600}}");
    assert_int_equal(h->status, 201);
    sim_checker_let_out(h->checker, "the log", "nothing here", 12);
    assert_quiet();
    sim_checker_let_out(h->checker, "the log", h->answer, strlen(h->answer));
    assert_only("S10");
}

/* --- S12 --- */

static void watch_from(const char *query) {
    struct sim_http_request req = {.method = "GET", .path = "/api/v1/pods", .query = query, .body = ""};
    struct sim_checker_call c = {.req = &req};
    sim_checker_asked(h->checker, &c);
    sim_checker_served(h->checker, &c, 200, NULL);
}

static void test_s12_back_in_time(void **state) {
    (void)state;
    watch_from("watch=true&resourceVersion=40");
    watch_from("watch=true&resourceVersion=40");
    watch_from("watch=true&resourceVersion=41");
    assert_quiet();
    watch_from("watch=true&resourceVersion=39");
    assert_only("S12");
}

static void test_s12_a_new_process_knows_nothing(void **state) {
    (void)state;
    watch_from("watch=true&resourceVersion=40");
    sim_checker_begins(h->checker, 0, "hand");
    watch_from("watch=true&resourceVersion=39");
    assert_quiet();
}

/* --- S14, S15 --- */

static void test_s14_nobody_asked(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    hand_announce(h, "eks-node", "Restore", 7);
    hand_aws(h, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", HAND_PROVIDER, NULL);
    assert_true(hand_violated(h, "S14"));
}

static void take_annotation_off(void) {
    hand_merge(h, HAND_ACCOUNT, "{\"metadata\":{\"annotations\":{\"eks.amazonaws.com/role-arn\":null}}}");
}

static void test_s15_way_back_is_not_open(void **state) {
    (void)state;
    hand_to(h, HAND_DETACHED);
    take_annotation_off();
    assert_only("S15");
}

static void test_s15_given_back_a_moment_ago(void **state) {
    (void)state;
    hand_to(h, HAND_GIVEN_BACK);
    hand_wait(h, HAND_SOAK_MS / 2);
    take_annotation_off();
    assert_only("S15");
}

static void test_s15_role_that_pods_bear(void **state) {
    (void)state;
    hand_to(h, HAND_RETURNED);
    hand_announce(h, "eks-node", "Restore", 7);
    hand_detach(h, HAND_ROLE_NAME);
    assert_true(hand_violated(h, "S15"));
}

/* --- L3, L6, L8 --- */

static void refused(int times) {
    for (int i = 0; i < times; i++) {
        h->heard = 403;
        hand_aws(h, "TagRole", "RoleName", HAND_ROLE_NAME, "Tags.member.1.Key", "a", "Tags.member.1.Value", "b", NULL);
        hand_wait(h, 5000);
    }
}

static void test_l3_stuck_in_silence(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    refused(2);
    hand_wait(h, 120000);
    assert_quiet();
    refused(1);
    hand_wait(h, 50000);
    assert_quiet();
    hand_wait(h, 10000);
    assert_only("L3");
}

static void test_l3_stalled_says_so(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    refused(3);
    hand_merge(h, HAND_BINDING "/status", "{\"status\":{\"conditions\":[{\"type\":\"Stalled\",\"status\":\"True\"}]}}");
    hand_wait(h, 120000);
    assert_quiet();
}

/* What was refused is not tried any more: something else is done instead, and that works. */
static void test_l3_another_way_is_taken(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    refused(3);
    hand_aws(h, "TagRole", "RoleName", "eks-node", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b", NULL);
    int others = sim_checker_violations(h->checker);
    hand_wait(h, 120000);
    assert_int_equal(sim_checker_violations(h->checker), others);
    assert_false(hand_violated(h, "L3"));
}

static void say_stalled(const char *status) {
    char patch[160];
    snprintf(patch, sizeof patch, "{\"status\":{\"conditions\":[{\"type\":\"Stalled\",\"status\":\"%s\"}]}}", status);
    hand_merge(h, HAND_BINDING "/status", patch);
}

/* It was said, and is not asked for any more: something else is waited for. But who asks on has to say it on. */
static void test_l3_said_and_given_up(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    refused(3);
    say_stalled("True");
    say_stalled("False");
    hand_wait(h, 120000);
    assert_quiet();
    refused(3);
    say_stalled("True");
    say_stalled("False");
    hand_wait(h, 30000);
    refused(1);
    hand_wait(h, 30000);
    assert_only("L3");
}

static void test_l3_stuck_next_to_what_works(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    refused(3);
    hand_aws(h, "TagRole", "RoleName", "eks-node", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b", NULL);
    refused(1);
    hand_wait(h, 120000);
    assert_true(hand_violated(h, "L3"));
}

static void test_l6_nobody_takes_over(void **state) {
    (void)state;
    sim_checker_ends(h->checker, 0);
    hand_wait(h, 36000);
    assert_only("L6");
}

static void test_l6_taken_over(void **state) {
    (void)state;
    sim_checker_begins(h->checker, 1, "second");
    sim_checker_ends(h->checker, 0);
    hand_wait(h, 20000);
    hand_lease(h, "second", 8);
    hand_wait(h, 36000);
    assert_quiet();
}

static void test_l8_writes_for_ever(void **state) {
    (void)state;
    hand_to(h, HAND_MADE_ROLE);
    for (int i = 0; i < 500; i++)
        hand_aws(h, "AttachRolePolicy", "RoleName", HAND_ROLE_NAME, "PolicyArn", HAND_POLICY, NULL);
    assert_only("L8");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_the_right_way_is_quiet),
        T(test_s2_not_soaked),
        T(test_s2_pod_on_the_node_role),
        T(test_s2_foreign_instance),
        T(test_s2_an_instance_of_this_moment_is_no_fault),
        T(test_s3_not_probed),
        T(test_s3_not_recorded),
        T(test_s4_trust_by_pattern),
        T(test_s4_foreign_statement_is_lost),
        T(test_s5_role_of_somebody_else),
        T(test_s5_provider_in_use),
        T(test_s5_more_of_the_workload),
        T(test_s5_spec_of_the_binding),
        T(test_s8_pod_by_name),
        T(test_s16_policy_that_nobody_allowed),
        T(test_s16_another_object),
        T(test_s16_token_of_another_account),
        T(test_s6_not_the_holder),
        T(test_s6_older_epoch),
        T(test_s6_no_swap_before),
        T(test_s7_no_look_after_a_lost_answer),
        T(test_s7_a_look_or_what_assumes_nothing),
        T(test_s9_no_canary),
        T(test_s9_twice_for_one_injection),
        T(test_s9_two_pods_at_a_time),
        cmocka_unit_test_setup_teardown(test_s9_on_delete, setup_on_delete, teardown),
        T(test_s10_in_status),
        T(test_s10_token_in_the_log),
        T(test_s12_back_in_time),
        T(test_s12_a_new_process_knows_nothing),
        T(test_s14_nobody_asked),
        T(test_s15_way_back_is_not_open),
        T(test_s15_given_back_a_moment_ago),
        T(test_s15_role_that_pods_bear),
        T(test_l3_stuck_in_silence),
        T(test_l3_stalled_says_so),
        T(test_l3_another_way_is_taken),
        T(test_l3_said_and_given_up),
        T(test_l3_stuck_next_to_what_works),
        T(test_l6_nobody_takes_over),
        T(test_l6_taken_over),
        T(test_l8_writes_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
