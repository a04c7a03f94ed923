/* What others change is put right, before the detachment and after it; what is not ours to change is told. */
#include "support_sim.h"

static void annotation_removed(struct sim *s) {
    s->sa_role[0] = '\0';
}
static void annotation_of_another(struct sim *s) {
    snprintf(s->sa_role, sizeof s->sa_role, "arn:aws:iam::" SIM_ACCOUNT ":role/other");
    snprintf(s->sa_manager, sizeof s->sa_manager, "kubectl-client-side-apply");
}
static void policy_detached(struct sim *s) {
    sim_role_detach(sim_own_role(s), SIM_CNI_POLICY);
}
static void trust_emptied(struct sim *s) {
    strcpy(sim_own_role(s)->trust, "{\"Version\":\"2012-10-17\",\"Statement\":[]}");
}
static void trust_replaced(struct sim *s) {
    strcpy(sim_own_role(s)->trust, s->roles[0].trust);
}
static void trust_broadened(struct sim *s) {
    strcpy(sim_own_role(s)->trust,
           "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"CniIamAwsNode\",\"Effect\":\"Allow\",\"Principal\":{"
           "\"Federated\":\"" SIM_PROVIDER
           "\"},\"Action\":\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringLike\":{"
           "\"" SIM_ISSUER ":sub\":\"system:serviceaccount:kube-system:aws-node*\"}}}]}");
}
static void provider_deleted(struct sim *s) {
    s->provider = false;
}
static void audience_removed(struct sim *s) {
    s->provider_audience = false;
}
static void role_deleted(struct sim *s) {
    sim_own_role(s)->exists = false;
}

static bool is_whole(struct sim *s) {
    struct sim_role *r = sim_own_role(s);
    return s->provider && s->provider_audience && r && sim_role_has(r, SIM_CNI_POLICY) &&
           strstr(r->trust, "StringEquals") && !strstr(r->trust, "StringLike") && str_eq(s->sa_role, r->arn) &&
           sim_every_pod_permitted(s);
}

static void drift_is_repaired(void **state) {
    (void)state;
    void (*const breaks[])(struct sim *) = {annotation_removed, annotation_of_another, policy_detached,
                                            trust_emptied,      trust_replaced,        trust_broadened,
                                            provider_deleted,   audience_removed,      role_deleted};
    static const char *const specs[] = {"{}", QUICK};
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++)
        for (size_t k = 0; k < 2; k++) {
            struct sim *s = sim_start(3, specs[k]);
            sim_expect_ready(s);
            int restarts = s->restarts;
            breaks[i](s);
            sim_run(s, 90000); /* L7: the audit's minute, and the repair */
            if (!is_whole(s)) {
                sim_dump(s);
                fail_msg("break %zu, spec %zu", i, k);
            }
            sim_expect_ready(s);
            assert_int_equal(s->restarts, restarts); /* a repair moves no pod */
            assert_int_equal(sim_detached(s), k == 1);
            sim_end(s);
        }
}

static void foreign_statements_are_kept(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    struct sim_role *r = sim_own_role(s);
    char merged[4096];
    snprintf(merged, sizeof merged,
             "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"Ops\",\"Effect\":\"Allow\",\"Principal\":{"
             "\"AWS\":\"arn:aws:iam::1:root\"},\"Action\":\"sts:AssumeRole\"}]}");
    strcpy(r->trust, merged);
    sim_run(s, 2 * MINUTES);
    assert_non_null(strstr(r->trust, "arn:aws:iam::1:root"));
    assert_non_null(strstr(r->trust, "CniIamAwsNode"));
    int writes = s->writes;
    sim_run(s, 10 * MINUTES);
    assert_int_equal(s->writes, writes);
    /* Deletion takes our statement out and leaves the role to the others. */
    sim_delete_and_wait(s);
    assert_true(r->exists);
    assert_non_null(strstr(r->trust, "arn:aws:iam::1:root"));
    assert_null(strstr(r->trust, "CniIamAwsNode"));
    sim_end(s);
}

static void an_unreadable_trust_is_left_alone(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{}");
    sim_expect_ready(s);
    strcpy(sim_own_role(s)->trust, "{\"Statement\":\"x\"}");
    sim_expect(s, "Stalled", "True", "TrustPolicyUnreadable", 3 * MINUTES);
    assert_string_equal(sim_own_role(s)->trust, "{\"Statement\":\"x\"}");
    sim_end(s);
}

/* L8: whoever changes it back three times in ten minutes is not fought; a person has to look. */
static void a_fight_over_the_annotation_ends(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{}");
    sim_expect_ready(s);
    int before = sim_log_count(s, "annotate");
    for (int i = 0; i < 120; i++) {
        annotation_of_another(s);
        sim_run(s, 5000);
    }
    assert_string_equal(sim_condition_reason(s, "Stalled"), "Conflict");
    assert_true(sim_log_count(s, "annotate") - before <= 4);
    sim_run(s, 11 * MINUTES);
    sim_expect_ready(s);
    sim_end(s);
}

/* Nobody changed back what was never written: once it is allowed, it goes on at once. */
static void refused_annotations_are_no_fight(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->fail_kind = EFFECT_K8S_APPLY;
    s->fail_match = "serviceaccounts";
    s->fail_code = ERR_FORBIDDEN;
    s->fail_count = 6;
    sim_expect(s, "Stalled", "True", "AccessDenied", 5 * MINUTES);
    while (s->fail_count > 0)
        sim_pass(s);
    sim_run(s, 10000);
    assert_true(sim_condition_is(s, "IdentityAnnotated", "True"));
    sim_expect_ready(s);
    sim_expect_ready(s);
    sim_end(s);
}

/* G8: suspend does not stop the guard, and what its pods live on is repaired sooner than any way back. What the spec asks for
 * besides waits until the binding is not suspended any more. */
static void a_suspended_role_is_repaired_under_its_pods(void **state) {
    (void)state;
    static void (*const breaks[])(struct sim *) = {policy_detached, trust_replaced, provider_deleted};
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        struct sim *s = sim_start(3, QUICK);
        sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
        sim_set_spec(s, QUICK_WITH("\"suspend\":true,\"role\":{\"tags\":{\"team\":\"net\"}},", ""));
        sim_run(s, 2 * MINUTES);
        int writes = s->writes, restarts = s->restarts;
        breaks[i](s);
        sim_run(s, 2 * MINUTES);
        assert_true(is_whole(s));
        assert_true(sim_detached(s)); /* nothing had to be given back */
        assert_int_equal(s->restarts, restarts);
        assert_int_equal(s->writes - writes, 1);
        assert_string_equal(sim_condition_reason(s, "Ready"), "Suspended");
        assert_int_equal(sim_log_count(s, "team"), 0);
        sim_set_spec(s, QUICK_WITH("\"role\":{\"tags\":{\"team\":\"net\"}},", ""));
        sim_run(s, 2 * MINUTES);
        assert_int_equal(sim_log_count(s, "team"), 1);
        sim_end(s);
    }
}

/* The first process may end before its Event is out: the next one tells it again, as long as it is news. */
static void a_guard_that_fired_is_told_by_who_comes_next(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    s->webhook_misses = 1;
    sim_join(s);
    sim_run(s, 2 * MINUTES);
    assert_false(sim_detached(s));
    assert_int_equal(s->guard_events, 1);
    sim_restart_operator(s);
    sim_run(s, 2 * MINUTES);
    assert_int_equal(s->guard_events, 2);
    sim_run(s, 20 * MINUTES);
    sim_restart_operator(s);
    sim_run(s, 2 * MINUTES);
    assert_int_equal(s->guard_events, 2);
    sim_end(s);
}

static void lose_policy(struct sim *s, int times, int64_t every_ms) {
    for (int i = 0; i < times; i++) {
        sim_role_detach(sim_own_role(s), SIM_CNI_POLICY);
        sim_run(s, every_ms);
    }
}

/* Its pods have nothing else to live on: it is attached each time, and a person hears of it. */
static void a_fight_over_the_policy_is_told_and_not_given_up(void **state) {
    (void)state;
    for (int detached = 0; detached < 2; detached++) {
        struct sim *s = sim_start(3, detached ? QUICK : "{}");
        if (detached)
            sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
        else
            sim_expect_ready(s);
        int before = sim_log_count(s, "to IAM role");
        lose_policy(s, 3, 90000);
        assert_string_equal(sim_condition_reason(s, "Stalled"), "");
        lose_policy(s, 6, 90000);
        assert_string_equal(sim_condition_reason(s, "Stalled"), "Conflict");
        assert_true(sim_role_has(sim_own_role(s), SIM_CNI_POLICY));
        assert_int_equal(sim_log_count(s, "to IAM role") - before, 9);
        sim_run(s, 11 * MINUTES);
        assert_string_equal(sim_condition_reason(s, "Stalled"), "");
        assert_true(sim_every_pod_permitted(s));
        sim_end(s);
    }
}

/* Whoever takes it off every second does not make us attach it every second. */
static void a_fight_over_the_policy_has_a_pace(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{}");
    sim_expect_ready(s);
    s->config.aws_audit_interval_ms = 1000;
    lose_policy(s, 60, 1000);
    int before = sim_log_count(s, "to IAM role");
    lose_policy(s, 120, 1000);
    assert_string_equal(sim_condition_reason(s, "Stalled"), "Conflict");
    assert_in_range(sim_log_count(s, "to IAM role") - before, 4, 12);
    sim_run(s, 11 * MINUTES);
    sim_expect_ready(s);
    sim_end(s);
}

/* Policies that were never there, and one lost now and then, are no fight. */
static void a_policy_that_is_lost_now_and_then_is_no_fight(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{}");
    sim_expect_ready(s);
    for (int i = 0; i < 8; i++) {
        lose_policy(s, 1, 4 * MINUTES);
        assert_string_equal(sim_condition_reason(s, "Stalled"), "");
    }
    sim_end(s);
}

static int status_writes_in_ten_minutes(struct sim *s) {
    sim_expect(s, "Stalled", "True", "AccessDenied", 20 * MINUTES);
    sim_run(s, 2 * MINUTES); /* what there is to say is said */
    int before = s->status_writes;
    sim_run(s, 10 * MINUTES);
    return s->status_writes - before;
}

/* L8: each write of status wakes the next try, before its back-off is over. */
static void a_refusal_that_lasts_is_no_news(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->fail_kind = EFFECT_IAM_DETACH_ROLE_POLICY;
    s->fail_code = ERR_FORBIDDEN;
    s->fail_count = 1000;
    /* Each two minutes a probe (S3), each minute an announcement. */
    assert_in_range(status_writes_in_ten_minutes(s), 0, 20);
    s->fail_count = 0;
    sim_expect(s, "NodeRoleDetached", "True", NULL, 10 * MINUTES);
    s->fail_kind = EFFECT_K8S_JSON_PATCH;
    s->fail_match = "cniiambindings";
    s->fail_count = 1000;
    sim_delete_binding(s);
    assert_int_equal(status_writes_in_ten_minutes(s), 0);
    s->fail_count = 0;
    sim_wait_for_end(s);
    assert_true(sim_every_pod_permitted(s));
    sim_end(s);
}

static void a_field_of_eks_is_respected(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{}");
    snprintf(s->sa_role, sizeof s->sa_role, "arn:aws:iam::" SIM_ACCOUNT ":role/addon");
    snprintf(s->sa_manager, sizeof s->sa_manager, "eks");
    sim_expect(s, "Stalled", "True", "FieldOwnedByEKS", 5 * MINUTES);
    assert_string_equal(s->sa_role, "arn:aws:iam::" SIM_ACCOUNT ":role/addon");
    sim_end(s);
}

static void the_sts_annotation_goes_where_it_is_needed(void **state) {
    (void)state;
    static const struct {
        const char *version, *spec;
        bool written;
    } rows[] = {{"1.21", "{}", true},
                {"1.33", "{}", false},
                {"1.33", "{\"serviceAccount\":{\"stsRegionalEndpoints\":true}}", true},
                {"1.21", "{\"serviceAccount\":{\"stsRegionalEndpoints\":false}}", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *s = sim_start(2, rows[i].spec);
        s->cluster_version = rows[i].version;
        sim_expect_ready(s);
        assert_int_equal(s->sa_sts, rows[i].written);
        sim_delete_and_wait(s);
        assert_int_equal(s->sa_role[0], 0);
        sim_end(s);
    }
}

/* S13: an hour in which nothing changes is an hour without a write, of status too. */
static void an_idle_hour_writes_nothing(void **state) {
    (void)state;
    static const char *const specs[] = {"{}", QUICK, "{\"nodeRole\":{\"detach\":\"Never\"}}",
                                        "{\"identity\":{\"type\":\"NodeRole\"}}", "{\"mode\":\"Plan\"}"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct sim *s = sim_start(3, specs[i]);
        sim_run(s, 30 * MINUTES);
        int writes = s->writes, status = s->status_writes;
        sim_run(s, 60 * MINUTES);
        assert_int_equal(s->writes, writes);
        assert_int_equal(s->status_writes, status);
        sim_end(s);
    }
}

/* ... and a restart of the operator moves no pod. */
static void a_restart_changes_nothing(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    int writes = s->writes;
    sim_restart_operator(s);
    sim_run(s, 30 * MINUTES);
    assert_int_equal(s->writes, writes);
    assert_true(sim_condition_is(s, "Ready", "True"));
    assert_true(sim_condition_is(s, "NodeRoleDetached", "True"));
    sim_end(s);
}

/* S9: a key that GitOps takes off again is no drift while every pod has the role. */
static void a_removed_restart_key_is_no_drift(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    s->ds_key[0] = '\0';
    s->ds_generation++;
    sim_run(s, 30 * MINUTES);
    assert_int_equal(s->restarts, 1);
    assert_true(sim_detached(s));
    sim_expect_ready(s);
    sim_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drift_is_repaired),
        cmocka_unit_test(foreign_statements_are_kept),
        cmocka_unit_test(an_unreadable_trust_is_left_alone),
        cmocka_unit_test(a_fight_over_the_annotation_ends),
        cmocka_unit_test(refused_annotations_are_no_fight),
        cmocka_unit_test(a_suspended_role_is_repaired_under_its_pods),
        cmocka_unit_test(a_guard_that_fired_is_told_by_who_comes_next),
        cmocka_unit_test(a_fight_over_the_policy_is_told_and_not_given_up),
        cmocka_unit_test(a_fight_over_the_policy_has_a_pace),
        cmocka_unit_test(a_policy_that_is_lost_now_and_then_is_no_fight),
        cmocka_unit_test(a_refusal_that_lasts_is_no_news),
        cmocka_unit_test(a_field_of_eks_is_respected),
        cmocka_unit_test(the_sts_annotation_goes_where_it_is_needed),
        cmocka_unit_test(an_idle_hour_writes_nothing),
        cmocka_unit_test(a_restart_changes_nothing),
        cmocka_unit_test(a_removed_restart_key_is_no_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
