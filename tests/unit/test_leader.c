/* leader.c: every step of the Lease algorithm, its known failure modes (K-LE3), and when a write may start (S6a). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "controller/leader.h"
#include "platform/base/str.h"
#include "support_ports.h"

#define ME "me_1"
#define MICRO_LEN 27 /* 2026-01-02T03:00:00.123000Z */

static struct ports ports;
static struct leader *leader;
static int started, lost, released;

static void on_started(void *arg) {
    (void)arg;
    started++;
}

static void on_lost(void *arg) {
    (void)arg;
    lost++;
}

static void on_released(void *arg) {
    (void)arg;
    released++;
}

static const struct leader_options defaults = {.ns = "kube-system",
                                               .name = "cni-iam",
                                               .identity = ME,
                                               .lease_duration_ms = 15000,
                                               .renew_deadline_ms = 10000,
                                               .retry_period_ms = 2000,
                                               .seed = 7,
                                               .started = on_started,
                                               .lost = on_lost};

static int setup(void **state) {
    (void)state;
    started = lost = released = 0;
    ports_init(&ports);
    leader = leader_new(&defaults, ports_effector(&ports), ports_clock(&ports));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    leader_free(leader);
    ports_done(&ports);
    return 0;
}

static const char *record(const char *holder, int transitions, const char *renewed) {
    static char text[512];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"cni-iam\",\"resourceVersion\":\"7\"},\"spec\":{\"holderIdentity\":\"%s\","
             "\"leaseDurationSeconds\":15,\"leaseTransitions\":%d,\"renewTime\":\"%s\",\"acquireTime\":\"a\","
             "\"strategy\":\"kept\"}}",
             holder, transitions, renewed);
    return text;
}

/* What was sent comes back, as the API server does it. */
static void accept(struct ports_call *c) {
    ports_answer(&ports, c, c->effect->body);
}

static void acquire_new(void) {
    leader_start(leader);
    ports_advance(&ports, 0);
    ports_fail(&ports, ports_oldest(&ports), ERR_NOT_FOUND, "no lease");
    accept(ports_oldest(&ports));
}

static void test_a_missing_lease_is_created(void **state) {
    (void)state;
    leader_start(leader);
    ports_advance(&ports, 0);
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_GET);
    ports_fail(&ports, ports_oldest(&ports), ERR_NOT_FOUND, "no lease");
    struct ports_call *c = ports_oldest(&ports);
    assert_int_equal(c->effect->kind, EFFECT_K8S_CREATE);
    assert_string_equal(json_str(c->body, "spec.holderIdentity"), ME);
    assert_int_equal(json_int64_or(json_get(c->body, "spec"), "leaseDurationSeconds", 0), 15);
    assert_int_equal(json_int64_or(json_get(c->body, "spec"), "leaseTransitions", -1), 0);
    assert_int_equal(strlen(json_str(c->body, "spec.renewTime")), MICRO_LEN); /* six decimals, or the server says 400 */
    assert_string_equal(json_str(c->body, "spec.renewTime"), json_str(c->body, "spec.acquireTime"));
    assert_int_equal(started, 0);
    assert_false(leader_may_write(leader));
    accept(c);
    assert_int_equal(started, 1);
    assert_true(leader_is_leading(leader) && leader_may_write(leader));
    assert_int_equal(leader_epoch(leader), 0);
    assert_string_equal(leader_holder(leader), ME);
}

static void test_losing_the_race_to_create_is_no_lease(void **state) {
    (void)state;
    leader_start(leader);
    ports_advance(&ports, 0);
    ports_fail(&ports, ports_oldest(&ports), ERR_NOT_FOUND, "no lease");
    ports_fail(&ports, ports_oldest(&ports), ERR_ALREADY_EXISTS, "exists");
    assert_int_equal(ports_open(&ports), 0);
    ports_advance(&ports, 4400);
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_GET);
    assert_int_equal(started, 0);
}

static void test_a_free_lease_is_taken_with_a_new_epoch(void **state) {
    (void)state;
    leader_start(leader);
    ports_advance(&ports, 0);
    ports_answer(&ports, ports_oldest(&ports), record("", 4, "t0"));
    struct ports_call *c = ports_oldest(&ports);
    assert_int_equal(c->effect->kind, EFFECT_K8S_UPDATE);
    assert_int_equal(json_int64_or(json_get(c->body, "spec"), "leaseTransitions", -1), 5);
    assert_string_equal(json_str(c->body, "metadata.resourceVersion"), "7"); /* compare-and-swap */
    assert_string_equal(json_str(c->body, "spec.strategy"), "kept");         /* unknown fields stay (K-LE4) */
    assert_string_not_equal(json_str(c->body, "spec.acquireTime"), "a");
    accept(c);
    assert_int_equal(leader_epoch(leader), 5);
}

/* Only changes are timed: a renewTime from the far past or future says nothing (K-LE1). */
static void test_a_silent_holder_is_followed_after_its_duration(void **state) {
    (void)state;
    leader_start(leader);
    int asked = 0;
    int64_t begun = ports.boot;
    while (ports.boot - begun < 15000) {
        ports_advance(&ports, 100);
        if (ports_open(&ports)) {
            asked++;
            ports_answer(&ports, ports_oldest(&ports), record("other", 4, "1999-01-01T00:00:00.000000Z"));
            assert_int_equal(ports_count(&ports, EFFECT_K8S_UPDATE), 0);
        }
    }
    assert_in_range(asked, 3, 8); /* every 2.0 to 4.4 s */
    ports_advance(&ports, 4400);
    ports_answer(&ports, ports_oldest(&ports), record("other", 4, "1999-01-01T00:00:00.000000Z"));
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_UPDATE);
    accept(ports_oldest(&ports));
    assert_int_equal(leader_epoch(leader), 5);
    assert_in_range(ports.boot - begun, 15000, 23800); /* L6 */
}

static void test_a_holder_that_renews_keeps_it(void **state) {
    (void)state;
    char at[32];
    leader_start(leader);
    for (int i = 0; i < 600; i++) {
        ports_advance(&ports, 100);
        snprintf(at, sizeof at, "t%d", i / 100);
        if (ports_open(&ports))
            ports_answer(&ports, ports_oldest(&ports), record("other", 4, at));
    }
    assert_int_equal(ports_count(&ports, EFFECT_K8S_UPDATE), 0);
    assert_int_equal(started + lost, 0);
    assert_string_equal(leader_holder(leader), "other");
}

/* A change of the wall clock by an hour, either way, changes nothing. */
static void test_the_wall_clock_does_not_matter(void **state) {
    (void)state;
    acquire_new();
    ports.wall += 3600000;
    ports_advance(&ports, 2000);
    accept(ports_oldest(&ports));
    ports.wall -= 7200000;
    ports_advance(&ports, 2000);
    accept(ports_oldest(&ports));
    assert_true(leader_may_write(leader));
    assert_int_equal(lost, 0);
}

static void test_renewals_take_the_fast_path(void **state) {
    (void)state;
    acquire_new();
    char *acquired = arena_strdup(ports.arena, json_str(ports_last(&ports)->body, "spec.acquireTime"));
    for (int i = 0; i < 50; i++) {
        ports_advance(&ports, 2000);
        struct ports_call *c = ports_oldest(&ports);
        assert_int_equal(c->effect->kind, EFFECT_K8S_UPDATE);
        assert_string_equal(json_str(c->body, "spec.acquireTime"), acquired);
        assert_int_equal(json_int64_or(json_get(c->body, "spec"), "leaseTransitions", -1), 0);
        accept(c);
    }
    assert_int_equal(ports_count(&ports, EFFECT_K8S_GET), 1);
    assert_int_equal(started, 1);
    assert_int_equal(lost, 0);
}

static void test_a_failed_renewal_reads_before_the_next_try(void **state) {
    (void)state;
    acquire_new();
    ports_advance(&ports, 2000);
    ports_fail(&ports, ports_oldest(&ports), ERR_TIMEOUT, "no answer"); /* it may have been committed */
    ports_advance(&ports, 2000);
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_GET);
    ports_answer(&ports, ports_oldest(&ports), record(ME, 0, "t1"));
    struct ports_call *c = ports_oldest(&ports);
    assert_int_equal(c->effect->kind, EFFECT_K8S_UPDATE);
    assert_int_equal(json_int64_or(json_get(c->body, "spec"), "leaseTransitions", -1), 0); /* still ours: same epoch */
    accept(c);
    assert_int_equal(lost, 0);
    assert_true(leader_may_write(leader));
}

/* The loser is told (kubernetes#23731, #44887), and exactly once. */
static void test_the_renew_deadline_ends_it(void **state) {
    (void)state;
    acquire_new();
    int64_t renewed = ports.boot;
    while (!lost && ports.boot - renewed < 20000) {
        ports_advance(&ports, 10);
        if (!lost && ports_open(&ports))
            ports_fail(&ports, ports_oldest(&ports), ERR_UNREACHABLE, "refused");
    }
    assert_int_equal(ports.boot - renewed, 10000);
    assert_int_equal(lost, 1);
    assert_false(leader_is_leading(leader));
    ports_advance(&ports, 60000);
    assert_int_equal(lost, 1);
    assert_int_equal(started, 1);
    assert_int_equal(ports_open(&ports), 0); /* it asks for nothing any more */
}

static void test_a_renewal_that_hangs_does_not_delay_the_end(void **state) {
    (void)state;
    acquire_new();
    ports_advance(&ports, 2000);
    assert_int_equal(ports_open(&ports), 1);
    ports_advance(&ports, 7999);
    assert_int_equal(lost, 0);
    ports_advance(&ports, 1);
    assert_int_equal(lost, 1);
    accept(ports_oldest(&ports)); /* too late: what was lost stays lost */
    assert_false(leader_may_write(leader));
    assert_false(leader_is_leading(leader));
}

static void test_another_holder_ends_it_at_once(void **state) {
    (void)state;
    acquire_new();
    ports_advance(&ports, 2000);
    ports_fail(&ports, ports_oldest(&ports), ERR_CONFLICT, "the object has been modified");
    assert_int_equal(lost, 0);
    ports_advance(&ports, 2000);
    ports_answer(&ports, ports_oldest(&ports), record("other", 1, "t1"));
    assert_int_equal(lost, 1);
    assert_int_equal(ports_open(&ports), 0);
}

static void test_a_lease_emptied_by_hand_ends_it(void **state) {
    (void)state;
    acquire_new();
    ports_advance(&ports, 2000);
    ports_fail(&ports, ports_oldest(&ports), ERR_CONFLICT, "the object has been modified");
    ports_advance(&ports, 2000);
    ports_answer(&ports, ports_oldest(&ports), record("", 0, "t1"));
    assert_int_equal(lost, 1); /* somebody may have led in between */
}

static void test_a_deleted_lease_is_made_anew_with_the_epoch(void **state) {
    (void)state;
    leader_start(leader);
    ports_advance(&ports, 0);
    ports_answer(&ports, ports_oldest(&ports), record("", 41, "t0"));
    accept(ports_oldest(&ports));
    ports_advance(&ports, 2000);
    ports_fail(&ports, ports_oldest(&ports), ERR_NOT_FOUND, "gone");
    ports_advance(&ports, 2000);
    ports_fail(&ports, ports_oldest(&ports), ERR_NOT_FOUND, "gone");
    struct ports_call *c = ports_oldest(&ports);
    assert_int_equal(c->effect->kind, EFFECT_K8S_CREATE);
    accept(c);
    assert_int_equal(leader_epoch(leader), 42);
    assert_int_equal(lost, 0);
    assert_int_equal(started, 1);
}

static void test_the_epoch_is_raised_by_the_next_renewal(void **state) {
    (void)state;
    acquire_new();
    leader_raise_epoch(leader, 9);
    assert_int_equal(leader_epoch(leader), 0); /* not before the server agreed */
    ports_advance(&ports, 2000);
    assert_int_equal(json_int64_or(json_get(ports_oldest(&ports)->body, "spec"), "leaseTransitions", -1), 9);
    accept(ports_oldest(&ports));
    assert_int_equal(leader_epoch(leader), 9);
    leader_raise_epoch(leader, 3); /* never down */
    ports_advance(&ports, 2000);
    accept(ports_oldest(&ports));
    assert_int_equal(leader_epoch(leader), 9);
}

/* S6a: counted from the sending of the renewal, not from its answer. */
static void test_when_a_write_may_start(void **state) {
    (void)state;
    assert_int_equal(leader_write_window_ms(&defaults), 3000); /* 10 s - 5 s - 2 s */
    acquire_new();
    ports_advance(&ports, 2000);
    struct ports_call *c = ports_oldest(&ports);
    ports_advance(&ports, 1000);
    assert_true(leader_may_write(leader)); /* 3,000 since the last one */
    ports_advance(&ports, 1);
    assert_false(leader_may_write(leader));
    accept(c); /* sent 1,001 ms ago */
    assert_int_equal(leader_renew_age_ms(leader), 1001);
    assert_true(leader_may_write(leader));
    ports_advance(&ports, 2000);
    accept(ports_oldest(&ports));
    ports.boot += 1200000; /* the machine slept: boot time counts it */
    assert_false(leader_may_write(leader));
    ports_advance(&ports, 0);
    assert_int_equal(lost, 1);
}

static void test_the_window_of_short_leases_is_longer_than_a_retry(void **state) {
    (void)state;
    struct leader_options o = defaults;
    o.renew_deadline_ms = 2000;
    o.retry_period_ms = 500;
    assert_int_equal(leader_write_window_ms(&o), 600);
    o.renew_deadline_ms = 60000;
    assert_int_equal(leader_write_window_ms(&o), 53000);
}

static void release(void) {
    leader_release(leader, on_released, NULL);
}

static void test_release_gives_it_back(void **state) {
    (void)state;
    acquire_new();
    release();
    assert_false(leader_may_write(leader)); /* from now on nothing is written */
    ports_answer(&ports, ports_oldest(&ports), record(ME, 0, "t1"));
    struct ports_call *c = ports_oldest(&ports);
    assert_int_equal(c->effect->kind, EFFECT_K8S_UPDATE);
    assert_string_equal(json_str(c->body, "spec.holderIdentity"), "");
    assert_int_equal(json_int64_or(json_get(c->body, "spec"), "leaseDurationSeconds", 0), 1);
    assert_int_equal(json_int64_or(json_get(c->body, "spec"), "leaseTransitions", -1), 0); /* kept */
    assert_string_equal(json_str(c->body, "spec.strategy"), "kept");
    assert_int_equal(released, 0);
    accept(c);
    assert_int_equal(released, 1);
    assert_int_equal(lost, 0);
    ports_advance(&ports, 60000);
    assert_int_equal(ports_open(&ports), 0);
    assert_int_equal(released, 1);
}

/* The renewal that is under way changes the version (K-LE3): release must not trip over it. */
static void test_release_while_a_renewal_is_under_way(void **state) {
    (void)state;
    acquire_new();
    ports_advance(&ports, 2000);
    struct ports_call *renewal = ports_oldest(&ports);
    release();
    assert_int_equal(ports_open(&ports), 1);
    accept(renewal);
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_GET);
    ports_answer(&ports, ports_oldest(&ports), record(ME, 0, "t2"));
    ports_fail(&ports, ports_oldest(&ports), ERR_CONFLICT, "modified"); /* 409: read again */
    ports_advance(&ports, 200);
    ports_answer(&ports, ports_oldest(&ports), record(ME, 0, "t3"));
    accept(ports_oldest(&ports));
    assert_int_equal(released, 1);
}

/* kubernetes#124588: release without a time limit made two leaders. */
static void test_release_that_hangs_ends_in_time(void **state) {
    (void)state;
    acquire_new();
    release();
    ports_advance(&ports, LEADER_RELEASE_MS - 1);
    assert_int_equal(released, 0);
    ports_advance(&ports, 1);
    assert_int_equal(released, 1);
    ports_answer(&ports, ports_oldest(&ports), record(ME, 0, "t1"));
    assert_int_equal(ports_open(&ports), 0); /* nothing is written behind our back */
}

static void test_release_when_another_took_it(void **state) {
    (void)state;
    acquire_new();
    release();
    ports_answer(&ports, ports_oldest(&ports), record("other", 1, "t1"));
    assert_int_equal(released, 1);
    assert_int_equal(ports_open(&ports), 0);
}

static void test_release_of_what_was_never_held(void **state) {
    (void)state;
    leader_start(leader);
    ports_advance(&ports, 0);
    release(); /* a GET is under way */
    assert_int_equal(released, 1);
    ports_answer(&ports, ports_oldest(&ports), record("", 0, "t1"));
    assert_int_equal(ports_open(&ports), 0); /* does not take it any more */
    assert_int_equal(started + lost, 0);     /* never led: never told that it stopped */
}

static void test_release_while_it_is_being_acquired(void **state) {
    (void)state;
    leader_start(leader);
    ports_advance(&ports, 0);
    ports_answer(&ports, ports_oldest(&ports), record("", 0, "t1"));
    release();
    accept(ports_oldest(&ports)); /* the acquisition */
    assert_int_equal(started, 0);
    ports_answer(&ports, ports_oldest(&ports), record(ME, 1, "t2"));
    accept(ports_oldest(&ports));
    assert_int_equal(released, 1);
}

/* Records that somebody else made: no crash, no early taking. */
static void test_strange_records(void **state) {
    (void)state;
    static const struct {
        const char *lease;
        bool free;
    } rows[] = {
        {"{\"metadata\":{}}", true},
        {"{\"spec\":{}}", true},
        {"{\"spec\":{\"holderIdentity\":\"x\"}}", false},
        {"{\"spec\":{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":0}}", false},
        {"{\"spec\":{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":-5}}", false},
        {"{\"spec\":{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":9223372036854775807}}", false},
        {"{\"spec\":{\"holderIdentity\":7,\"leaseTransitions\":\"x\"}}", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct leader *l = leader_new(&defaults, ports_effector(&ports), ports_clock(&ports));
        leader_start(l);
        ports_advance(&ports, 0);
        ports_answer(&ports, ports_oldest(&ports), rows[i].lease);
        assert_int_equal(ports_open(&ports), rows[i].free ? 1 : 0);
        leader_free(l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_missing_lease_is_created, setup, teardown),
        cmocka_unit_test_setup_teardown(test_losing_the_race_to_create_is_no_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_free_lease_is_taken_with_a_new_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_silent_holder_is_followed_after_its_duration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_holder_that_renews_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_wall_clock_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renewals_take_the_fast_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_renewal_reads_before_the_next_try, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_renew_deadline_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_renewal_that_hangs_does_not_delay_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_holder_ends_it_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lease_emptied_by_hand_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deleted_lease_is_made_anew_with_the_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_epoch_is_raised_by_the_next_renewal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_when_a_write_may_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_window_of_short_leases_is_longer_than_a_retry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_gives_it_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_while_a_renewal_is_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_that_hangs_ends_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_when_another_took_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_of_what_was_never_held, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_while_it_is_being_acquired, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strange_records, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
