/* The role, the webhook or the pods break at the worst moment: every pod ends with permissions, and a condition says
 * what happened. */
#include "support_sim.h"

static void deny(struct sim *s) {
    sim_own_role(s)->denied = true;
}
static void deny_in_trust(struct sim *s) {
    strcpy(sim_own_role(s)->trust, "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"No\",\"Effect\":\"Deny\","
                                   "\"Principal\":\"*\",\"Action\":\"sts:*\"}]}");
}
static void provider_gone_for_good(struct sim *s) {
    s->provider = false;
    s->fail_kind = EFFECT_IAM_CREATE_OIDC_PROVIDER;
    s->fail_code = ERR_FORBIDDEN;
    s->fail_count = 1000000;
}
static void mend(struct sim *s) {
    s->fail_count = 0;
    sim_own_role(s)->denied = false;
    strcpy(sim_own_role(s)->trust, s->roles[0].trust);
}

static void (*const breaks[])(struct sim *) = {deny, deny_in_trust, provider_gone_for_good};
static const char *const moments[] = {"attach", "annotate", "canary", "restart DaemonSet", "- detach"};

/* Between G3 and the canary, at the canary, in the middle of the rollout, after the detachment. */
static void a_broken_role_ends_with_permissions(void **state) {
    (void)state;
    for (size_t b = 0; b < 3; b++)
        for (size_t m = 0; m < 5; m++) {
            struct sim *s = sim_start(4, QUICK);
            sim_run_until_logged(s, moments[m]);
            if (m == 3)
                sim_run(s, 2500); /* two pods of four are new */
            breaks[b](s);
            sim_run(s, 30 * MINUTES);
            if (!sim_every_pod_permitted(s) || !sim_condition_is(s, "Stalled", "True") || sim_detached(s)) {
                sim_dump(s);
                fail_msg("break %zu at %s", b, moments[m]);
            }
            mend(s);
            sim_expect(s, "PodsProven", "True", NULL, 40 * MINUTES);
            assert_true(sim_every_pod_permitted(s));
            if (m == 4)
                assert_string_equal(sim_condition_reason(s, "NodeRoleDetached"), "AwaitingApproval");
            else
                sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
            sim_end(s);
        }
}

/* The operator is restarted in each of these states: the way back is found again from the world. */
/* Who may not delete pods for longer than the deadline goes on when it may, and rolls nothing back. */
static void refused_deletions_are_no_missed_pods(void **state) {
    (void)state;
    for (int on_delete = 0; on_delete < 2; on_delete++) {
        struct sim *s = sim_start(3, QUICK);
        s->on_delete = on_delete;
        s->fail_kind = EFFECT_K8S_DELETE;
        s->fail_code = ERR_FORBIDDEN;
        s->fail_count = 1000000;
        sim_run(s, 30 * MINUTES);
        assert_string_equal(sim_condition_reason(s, "Stalled"), "AccessDenied");
        s->fail_count = 0;
        sim_run(s, 2 * MINUTES);
        assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
        sim_expect_ready(s);
        sim_end(s);
    }
}

static void a_rollback_survives_restarts(void **state) {
    (void)state;
    for (size_t m = 2; m < 5; m++) {
        struct sim *s = sim_start(4, QUICK);
        s->iam_lag_ms = 5000;
        sim_run_until_logged(s, moments[m]);
        deny(s);
        for (int i = 0; i < 30; i++) {
            sim_run(s, MINUTES);
            if (i % 3 == 2)
                sim_restart_operator(s);
        }
        sim_run(s, 10 * MINUTES);
        assert_true(sim_every_pod_permitted(s));
        assert_false(sim_detached(s));
        sim_end(s);
    }
}

static void a_failing_role_is_tried_again_in_ten_minutes_not_before(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_run_until_logged(s, "canary");
    deny(s);
    sim_expect(s, "Stalled", "True", NULL, 10 * MINUTES);
    sim_run(s, 10 * MINUTES);
    mend(s);
    int canaries = sim_log_count(s, "canary");
    sim_run(s, 9 * MINUTES);
    assert_string_equal(sim_condition_reason(s, "Stalled"), "RolledBack");
    assert_int_equal(sim_log_count(s, "canary"), canaries);
    sim_run(s, 3 * MINUTES);
    assert_int_equal(sim_log_count(s, "canary"), canaries + 1);
    sim_expect_ready(s);
    sim_end(s);
}

/* Waits that outlive a process are kept as instants of the wall clock. */
static void a_clock_that_goes_back_puts_off_nothing(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_run_until_logged(s, "canary");
    deny(s);
    sim_expect(s, "Stalled", "True", NULL, 10 * MINUTES);
    sim_run(s, 10 * MINUTES);
    mend(s);
    sim_run(s, MINUTES);
    s->wall_ahead_ms = -10000 * MINUTES;
    sim_run(s, 12 * MINUTES);
    sim_expect_ready(s);
    sim_end(s);
}

/* Pods' ages are the API server's; against a clock that is ahead every pod would look older than the annotation. */
static void a_clock_that_is_ahead_makes_no_pod_old(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->wall_ahead_ms = 60 * MINUTES;
    sim_run(s, 10 * MINUTES);
    sim_expect_ready(s);
    assert_int_equal(sim_log_count(s, "canary"), 1);
    sim_end(s);
}

static void a_changed_spec_is_tried_at_once(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_run_until_logged(s, "canary");
    deny(s);
    sim_expect(s, "Stalled", "True", NULL, 10 * MINUTES);
    sim_run(s, 10 * MINUTES);
    mend(s);
    sim_set_spec(s, QUICK_WITH("", ",\"foreignConsumers\":[\"x\"]"));
    int canaries = sim_log_count(s, "canary");
    sim_run(s, 2 * MINUTES);
    assert_int_equal(sim_log_count(s, "canary"), canaries + 1);
    sim_end(s);
}

/* A canary that does not become Ready for a reason of its own takes the annotation back with it. */
static void a_canary_that_never_is_ready(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_run_until_logged(s, "canary");
    for (int i = 0; i < SIM_PODS_MAX; i++)
        s->pods[i].broken = s->pods[i].exists && s->pods[i].role[0];
    sim_run(s, 8 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    assert_string_equal(sim_condition_reason(s, "Stalled"), "RolledBack");
    assert_int_equal(s->restarts, 0);
    sim_end(s);
}

static void a_rollout_that_hangs_goes_back(void **state) {
    (void)state;
    struct sim *s = sim_start(4, QUICK);
    sim_run_until_logged(s, "restart DaemonSet");
    sim_run(s, 2500);
    for (int i = 0; i < SIM_PODS_MAX; i++)
        s->pods[i].broken = s->pods[i].exists && s->pods[i].role[0] && !s->pods[i].ready;
    sim_run(s, 8 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, NULL), 4);
    assert_true(sim_every_pod_permitted(s));
    sim_end(s);
}

/* --- the webhook --- */

static void missed_pods_before_the_detachment(void **state) {
    (void)state;
    for (int misses = 1; misses <= 4; misses++) {
        struct sim *s = sim_start(4, QUICK);
        s->webhook_misses = misses;
        sim_expect_ready(s);
        assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 4);
        assert_true(sim_detached(s));
        assert_int_equal(s->restarts, 1);
        sim_end(s);
    }
}

/* The dry run is injected, the pods are not: it ends with a reason, not with pods that are deleted for ever. */
static void a_webhook_that_always_misses(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->webhook_misses = 1000000;
    sim_expect(s, "Stalled", "True", "WebhookNotInjecting", 20 * MINUTES);
    int deleted = sim_log_count(s, "re-create");
    sim_run(s, 30 * MINUTES);
    assert_true(sim_log_count(s, "re-create") - deleted <= 20);
    assert_false(sim_detached(s));
    s->webhook_misses = 0;
    sim_expect_ready(s);
    /* The pod that it gets right has time to become Ready. */
    assert_int_equal(sim_log_count(s, "remove the role annotation"), 0);
    sim_end(s);
}

/* L2: no time in which nothing may be done counts as one in which nothing moved. */
static void a_status_that_is_refused_while_pods_are_missed(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_run_until_logged(s, "restart DaemonSet");
    s->webhook_misses = 3;
    s->status_is_refused = true;
    sim_run(s, 10 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 0);
    s->status_is_refused = false;
    sim_expect(s, "RolledOut", "True", NULL, 2 * MINUTES);
    assert_int_equal(sim_log_count(s, "remove the role annotation"), 0);
    sim_end(s);
}

static void a_sleeping_webhook_touches_no_pod(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->webhook_up = false;
    sim_expect(s, "Stalled", "True", "WebhookNotInjecting", 20 * MINUTES);
    assert_int_equal(sim_log_count(s, "re-create"), 0);
    s->webhook_up = true;
    sim_expect_ready(s);
    sim_end(s);
}

static void a_webhook_that_sleeps_from_the_canary_on(void **state) {
    (void)state;
    struct sim *s = sim_start(4, QUICK);
    sim_run_until_logged(s, "canary");
    s->webhook_up = false;
    sim_run(s, 20 * MINUTES);
    assert_true(sim_every_pod_permitted(s));
    assert_false(sim_detached(s));
    assert_true(sim_condition_is(s, "Ready", "False"));
    s->webhook_up = true;
    sim_expect_ready(s);
    sim_end(s);
}

/* S1': one pod without the role after the detachment brings the policy back within 30 s; then a person is asked again.
 */
static void a_missed_pod_after_the_detachment(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    s->webhook_misses = 1;
    sim_join(s);
    int64_t at = s->now_ms;
    for (int i = 0; i < 300 && sim_detached(s); i++)
        sim_run(s, 200);
    assert_true(s->now_ms - at <= 30000);
    sim_run(s, 20 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 4);
    assert_false(sim_detached(s)); /* Automatic does not take it off again unasked */
    assert_string_equal(sim_condition_reason(s, "NodeRoleDetached"), "AwaitingApproval");
    assert_string_equal(sim_condition_reason(s, "GuardActive"), "GuardFired");
    sim_approve(s);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    sim_expect_ready(s);
    sim_end(s);
}

/* --- other alarms of the guard --- */

static void event_of(struct sim *s, const struct sim_pod *p) {
    snprintf(s->event.reason, sizeof s->event.reason, "MissingIAMPermissions");
    snprintf(s->event.uid, sizeof s->event.uid, "%s", p->uid);
    s->event.at_ms = 1790000000000 + s->now_ms;
}

static struct sim_pod *any_pod(struct sim *s) {
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists)
            return &s->pods[i];
    return NULL;
}

static void a_pod_that_reports_missing_permissions(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    event_of(s, any_pod(s));
    sim_run(s, 3 * MINUTES);
    assert_true(sim_detached(s)); /* Ready again: it has recovered */
    any_pod(s)->broken = true;
    event_of(s, any_pod(s));
    sim_run(s, MINUTES);
    assert_false(sim_detached(s));
    assert_non_null(strstr(sim_condition_message(s, "GuardActive"), "MissingIAMPermissions"));
    sim_end(s);
}

static void old_reports_and_reports_of_others_are_no_alarm(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    any_pod(s)->broken = true;
    event_of(s, any_pod(s));
    s->event.at_ms -= 3600000;
    sim_run(s, MINUTES);
    snprintf(s->event.uid, sizeof s->event.uid, "some-other-pod");
    s->event.at_ms += 3600000;
    sim_run(s, 30000);
    assert_true(sim_detached(s));
    sim_end(s);
}

static void a_pod_that_is_not_ready_for_too_long(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    any_pod(s)->broken = true;
    sim_run(s, 100000);
    assert_true(sim_detached(s));
    sim_run(s, 2 * MINUTES);
    assert_false(sim_detached(s));
    assert_non_null(strstr(sim_condition_message(s, "GuardActive"), "not Ready"));
    sim_end(s);
}

static void a_foreign_consumer_that_comes_later(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    strcpy(s->foreign_instance, "i-0new");
    sim_run(s, 2 * MINUTES);
    assert_true(sim_detached(s)); /* it may be about to join */
    sim_run(s, 5 * MINUTES);
    assert_false(sim_detached(s));
    sim_end(s);
}

static void nodes_come_and_go(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_run_until_logged(s, "canary");
    sim_join(s);
    sim_run_until_logged(s, "restart DaemonSet");
    sim_join(s);
    s->node_gone[0] = true;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && s->pods[i].node == 0)
            s->pods[i].exists = false;
    sim_expect_ready(s);
    assert_true(sim_detached(s));
    sim_join(s); /* injected: no alarm */
    sim_run(s, 10 * MINUTES);
    assert_true(sim_detached(s));
    sim_expect_ready(s);
    sim_end(s);
}

/* suspend stops everything but the guard. */
static void a_suspended_guard_still_guards(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    sim_set_spec(s, QUICK_WITH("\"suspend\":true,", ""));
    s->sa_role[0] = '\0';
    sim_run(s, 5 * MINUTES);
    assert_int_equal(s->sa_role[0], 0);
    assert_true(sim_detached(s));
    sim_join(s);
    sim_run(s, 30000);
    assert_false(sim_detached(s));
    sim_end(s);
}

/* The managed add-on was installed, and then the role broke: the guard and the way back go on where all else is
 * refused. */
static void a_refused_cluster_is_guarded_too(void **state) {
    (void)state;
    for (int detached = 0; detached < 2; detached++) {
        struct sim *s = sim_start(3, detached ? QUICK : "{" SHORT_WAITS "}");
        sim_expect_ready(s);
        s->addon = true;
        sim_run(s, 5 * MINUTES);
        deny(s);
        sim_run(s, 30 * MINUTES);
        assert_false(sim_detached(s));
        if (!sim_every_pod_permitted(s))
            sim_dump(s);
        assert_true(sim_every_pod_permitted(s));
        sim_end(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_role_ends_with_permissions),
        cmocka_unit_test(refused_deletions_are_no_missed_pods),
        cmocka_unit_test(a_rollback_survives_restarts),
        cmocka_unit_test(a_failing_role_is_tried_again_in_ten_minutes_not_before),
        cmocka_unit_test(a_clock_that_goes_back_puts_off_nothing),
        cmocka_unit_test(a_clock_that_is_ahead_makes_no_pod_old),
        cmocka_unit_test(a_changed_spec_is_tried_at_once),
        cmocka_unit_test(a_canary_that_never_is_ready),
        cmocka_unit_test(a_rollout_that_hangs_goes_back),
        cmocka_unit_test(missed_pods_before_the_detachment),
        cmocka_unit_test(a_webhook_that_always_misses),
        cmocka_unit_test(a_status_that_is_refused_while_pods_are_missed),
        cmocka_unit_test(a_sleeping_webhook_touches_no_pod),
        cmocka_unit_test(a_webhook_that_sleeps_from_the_canary_on),
        cmocka_unit_test(a_missed_pod_after_the_detachment),
        cmocka_unit_test(a_pod_that_reports_missing_permissions),
        cmocka_unit_test(old_reports_and_reports_of_others_are_no_alarm),
        cmocka_unit_test(a_pod_that_is_not_ready_for_too_long),
        cmocka_unit_test(a_foreign_consumer_that_comes_later),
        cmocka_unit_test(nodes_come_and_go),
        cmocka_unit_test(a_suspended_guard_still_guards),
        cmocka_unit_test(a_refused_cluster_is_guarded_too),
    };
    if (getenv("ONLY"))
        cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
