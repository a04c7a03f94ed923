/* Another role in the binding: the one of before goes when nobody has it any more, and not a moment sooner. */
#include "support_sim.h"

#define NAMED(name) QUICK_WITH("\"role\":{\"name\":\"" name "\"},", "")

static struct sim *migrated(const char *spec) {
    struct sim *s = sim_start(3, spec);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    return s;
}

static void expect_pods_on(struct sim *s, const char *name) {
    sim_expect(s, "PodsProven", "True", NULL, 20 * MINUTES);
    sim_run(s, 3 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_role(s, name)->arn), 3);
    assert_true(sim_every_pod_permitted(s));
}

static void the_role_of_before_goes(void **state) {
    (void)state;
    struct sim *s = migrated(NAMED("first"));
    sim_set_spec(s, NAMED("second"));
    sim_run_until_logged(s, "to IAM role second");
    assert_non_null(sim_role(s, "first"));
    expect_pods_on(s, "second");
    assert_null(sim_role(s, "first"));
    assert_true(s->provider);
    int writes = s->writes, status = s->status_writes;
    sim_run(s, 30 * MINUTES);
    assert_int_equal(s->writes, writes); /* S13 */
    assert_int_equal(s->status_writes, status);
    sim_delete_and_wait(s);
    assert_null(sim_role(s, "second"));
    assert_false(s->provider);
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    sim_end(s);
}

/* Whoever thinks better of it before the first pod moved loses nothing. */
static void a_mind_that_is_changed_back(void **state) {
    (void)state;
    static const char *const moments[] = {"create IAM role second", "to IAM role second", "canary"};
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        struct sim *s = migrated(NAMED("first"));
        int canaries = sim_log_count(s, moments[i]);
        sim_set_spec(s, NAMED("second"));
        for (int n = 0; n < 4000 && sim_log_count(s, moments[i]) == canaries; n++)
            sim_run(s, 50);
        sim_set_spec(s, NAMED("first"));
        sim_run(s, 10 * MINUTES);
        expect_pods_on(s, "first");
        assert_null(sim_role(s, "second"));
        sim_delete_and_wait(s);
        assert_null(sim_role(s, "first"));
        sim_end(s);
    }
}

/* S15: pods may have the one role, the other, or none yet. */
static void a_deletion_in_the_middle_gives_back_all_of_it(void **state) {
    (void)state;
    for (int writes = 1; writes <= 8; writes++) /* the change has eight */
        for (int restart = 0; restart < 2; restart++) {
            struct sim *s = migrated(NAMED("first"));
            sim_set_spec(s, NAMED("second"));
            sim_run_until_writes(s, s->nlog + writes);
            if (restart)
                sim_restart_operator(s);
            sim_delete_and_wait(s);
            assert_null(sim_role(s, "first"));
            assert_null(sim_role(s, "second"));
            assert_false(s->provider);
            assert_string_equal(s->sa_role, "");
            assert_int_equal(sim_pods_with_role(s, NULL), 3);
            assert_true(sim_every_pod_permitted(s));
            sim_end(s);
        }
}

/* S5: others trust it by now, or have attached a policy: only what is ours is taken back. */
static void what_others_made_of_it_stays(void **state) {
    (void)state;
    for (int trust = 0; trust < 2; trust++) {
        struct sim *s = migrated(NAMED("first"));
        struct sim_role *first = sim_role(s, "first");
        if (trust)
            sim_set_spec(s, NAMED("second"));
        char *end = strrchr(first->trust, ']');
        if (trust)
            snprintf(end, sizeof first->trust - (size_t)(end - first->trust), "%s",
                     ",{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws.com\"},"
                     "\"Action\":\"sts:AssumeRole\"}]}");
        else
            sim_role_attach(first, "arn:aws:iam::aws:policy/ReadOnlyAccess");
        sim_set_spec(s, NAMED("second"));
        sim_run(s, 10 * MINUTES);
        expect_pods_on(s, "second");
        first = sim_role(s, "first");
        assert_non_null(first);
        if (trust) {
            assert_non_null(strstr(first->trust, "ec2.amazonaws.com"));
            assert_null(strstr(first->trust, "CniIamAwsNode"));
        } else {
            assert_true(sim_role_has(first, "arn:aws:iam::aws:policy/ReadOnlyAccess"));
        }
        sim_end(s);
    }
}

/* Pods have it still, as the webhook sleeps. */
static void a_role_in_use_stays(void **state) {
    (void)state;
    struct sim *s = migrated(NAMED("first"));
    s->webhook_up = false;
    sim_set_spec(s, NAMED("second"));
    sim_run(s, 30 * MINUTES);
    assert_non_null(sim_role(s, "first"));
    assert_true(sim_every_pod_permitted(s));
    s->webhook_up = true;
    sim_run(s, 30 * MINUTES);
    expect_pods_on(s, "second");
    assert_null(sim_role(s, "first"));
    sim_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_role_of_before_goes),
        cmocka_unit_test(a_mind_that_is_changed_back),
        cmocka_unit_test(a_deletion_in_the_middle_gives_back_all_of_it),
        cmocka_unit_test(what_others_made_of_it_stays),
        cmocka_unit_test(a_role_in_use_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
