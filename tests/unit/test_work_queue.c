/* work_queue.c: client-go's queue semantics (K-Q1..K-Q5) on a clock that is moved by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "controller/work_queue.h"
#include "support_ports.h"

static struct ports ports;
static struct work_queue *queue;
static int woken;

static void on_wake(void *arg) {
    (void)arg;
    woken++;
}

static int setup(void **state) {
    (void)state;
    woken = 0;
    ports_init(&ports);
    queue = work_queue_new(ports_clock(&ports), on_wake, NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    work_queue_free(queue);
    assert_int_equal(ports.ntimers, 0);
    ports_done(&ports);
    return 0;
}

static void expect(const char *key) {
    const char *got = work_queue_get(queue);
    if (key == NULL) {
        assert_null(got);
        return;
    }
    assert_non_null(got);
    assert_string_equal(got, key);
}

static void test_first_in_first_out(void **state) {
    (void)state;
    work_queue_add(queue, "a");
    work_queue_add(queue, "b");
    work_queue_add(queue, "a"); /* is in it already */
    assert_int_equal(woken, 0); /* never from inside */
    ports_advance(&ports, 0);
    assert_int_equal(woken, 1);
    assert_int_equal(work_queue_stats(queue).depth, 2);
    assert_int_equal(work_queue_stats(queue).adds, 2);
    expect("a");
    expect("b");
    expect(NULL);
}

static void test_an_add_while_processing_runs_once_more_and_not_beside(void **state) {
    (void)state;
    work_queue_add(queue, "a");
    expect("a");
    work_queue_add(queue, "a");
    work_queue_add(queue, "a");
    expect(NULL); /* one worker a key */
    work_queue_done(queue, "a");
    expect("a"); /* never lost */
    work_queue_done(queue, "a");
    expect(NULL); /* exactly one more run */
}

/* client-go's TestReinsert: the place in the queue is that of done, not of add. */
static void test_what_became_dirty_meanwhile_goes_to_the_back(void **state) {
    (void)state;
    work_queue_add(queue, "a");
    expect("a");
    work_queue_add(queue, "a");
    work_queue_add(queue, "b");
    work_queue_done(queue, "a");
    expect("b");
    expect("a");
}

static void test_a_delayed_add_comes_in_time_and_not_before(void **state) {
    (void)state;
    work_queue_add_after(queue, "a", 5000);
    assert_int_equal(work_queue_stats(queue).delayed, 1);
    ports_advance(&ports, 4999);
    assert_int_equal(woken, 0);
    expect(NULL);
    ports_advance(&ports, 1);
    assert_int_equal(woken, 1);
    expect("a");
    work_queue_done(queue, "a");
    ports_advance(&ports, 3600000);
    assert_int_equal(woken, 1);
}

/* One entry a key; the earliest time stays (delaying_queue.go). */
static void test_the_earliest_of_delayed_adds_counts(void **state) {
    (void)state;
    work_queue_add_after(queue, "a", 10000);
    work_queue_add_after(queue, "a", 2000);
    work_queue_add_after(queue, "a", 5000);
    ports_advance(&ports, 2000);
    expect("a");
    work_queue_done(queue, "a");
    ports_advance(&ports, 20000);
    expect(NULL);
}

static void test_delayed_adds_come_in_the_order_of_their_time(void **state) {
    (void)state;
    work_queue_add_after(queue, "late", 3000);
    work_queue_add_after(queue, "early", 1000);
    work_queue_add_after(queue, "middle", 2000);
    ports_advance(&ports, 1000);
    expect("early");
    ports_advance(&ports, 1000);
    expect("middle");
    ports_advance(&ports, 1000);
    expect("late");
}

static void test_a_delay_that_ends_while_processing_runs_after_it(void **state) {
    (void)state;
    work_queue_add(queue, "a");
    expect("a");
    work_queue_add_after(queue, "a", 100);
    ports_advance(&ports, 100);
    expect(NULL);
    work_queue_done(queue, "a");
    expect("a");
}

static void test_no_delay_is_an_add(void **state) {
    (void)state;
    work_queue_add_after(queue, "a", 0);
    work_queue_add_after(queue, "b", -7);
    expect("a");
    expect("b");
}

/* A wait of days cannot overflow, nor does a clock that does not move spin. */
static void test_very_long_delays(void **state) {
    (void)state;
    work_queue_add_after(queue, "a", (int64_t)365 * 86400 * 1000);
    ports_advance(&ports, 86400000);
    assert_int_equal(woken, 0);
}

static int64_t wait_for(const char *key) {
    int64_t begun = ports.boot;
    while (ports.boot - begun < 120000) {
        const char *got = work_queue_get(queue);
        if (got) {
            assert_string_equal(got, key);
            return ports.boot - begun;
        }
        ports_advance(&ports, 1);
    }
    return -1;
}

static int64_t next_backoff(void) {
    work_queue_add_rate_limited(queue, "a");
    work_queue_done(queue, "a");
    return wait_for("a");
}

static void test_failures_back_off_to_a_cap(void **state) {
    (void)state;
    static const int64_t waits[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    work_queue_add(queue, "a");
    expect("a");
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        assert_int_equal(next_backoff(), waits[i]);
    for (int i = 0; i < 100; i++)
        assert_int_equal(next_backoff(), 30000); /* no overflow of 500 << n */
    work_queue_forget(queue, "a");
    assert_int_equal(next_backoff(), 500);
    assert_int_equal(work_queue_stats(queue).retries, 109);
}

static void test_failures_of_one_key_do_not_slow_another(void **state) {
    (void)state;
    work_queue_add(queue, "a");
    expect("a");
    for (int i = 0; i < 6; i++)
        next_backoff();
    work_queue_add_rate_limited(queue, "b");
    work_queue_done(queue, "a");
    assert_int_equal(wait_for("b"), 500);
}

/* The bucket: a burst of a hundred, then ten a second, whatever the keys are. */
static void test_the_bucket_holds_back_a_storm(void **state) {
    (void)state;
    char key[16];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i);
        work_queue_add_rate_limited(queue, key);
    }
    ports_advance(&ports, 500);
    int burst = 0;
    while (work_queue_get(queue))
        burst++;
    assert_in_range(burst, 100, 106); /* the first hundred, and those whose turn comes within their own 500 ms */
    ports_advance(&ports, 9000);
    int later = 0;
    while (work_queue_get(queue))
        later++;
    assert_in_range(later, 85, 95);
    ports_advance(&ports, 2000);
    while (work_queue_get(queue))
        later++;
    assert_int_equal(burst + later, 200);
}

/* What is not fetched is told once, and again by done: never in a loop. */
static void test_a_busy_driver_is_not_woken_for_ever(void **state) {
    (void)state;
    work_queue_add_after(queue, "later", 1000);
    work_queue_add(queue, "a");
    work_queue_add(queue, "b");
    ports_advance(&ports, 500); /* ports_advance fails the test when timers spin */
    assert_int_equal(woken, 1);
    expect("a");
    work_queue_done(queue, "a");
    ports_advance(&ports, 0);
    assert_int_equal(woken, 2);
    expect("b");
    ports_advance(&ports, 500);
    expect("later");
}

static void test_shut_down_takes_nothing_new_and_lets_the_rest_go(void **state) {
    (void)state;
    work_queue_add(queue, "a");
    work_queue_add_after(queue, "b", 100);
    work_queue_shut_down(queue);
    work_queue_add(queue, "c");
    work_queue_add_after(queue, "d", 1);
    work_queue_add_rate_limited(queue, "e");
    ports_advance(&ports, 10000);
    expect("a");
    work_queue_done(queue, "a");
    expect(NULL);
}

static void test_more_keys_than_allowed_are_refused(void **state) {
    (void)state;
    char key[16];
    for (int i = 0; i < WORK_QUEUE_KEYS_MAX + 10; i++) {
        snprintf(key, sizeof key, "k%d", i);
        work_queue_add(queue, key);
    }
    assert_int_equal(work_queue_stats(queue).depth, WORK_QUEUE_KEYS_MAX);
    const char *first = work_queue_get(queue);
    work_queue_done(queue, first);
    work_queue_add(queue, "there is room again");
    assert_int_equal(work_queue_stats(queue).depth, WORK_QUEUE_KEYS_MAX);
}

/* Keys that come and go leave nothing behind, failed ones included. */
static void test_finished_keys_are_forgotten(void **state) {
    (void)state;
    char key[16];
    for (int i = 0; i < 3 * WORK_QUEUE_KEYS_MAX; i++) {
        snprintf(key, sizeof key, "k%d", i);
        work_queue_add(queue, key);
        expect(key);
        if (i % 3 == 0) {
            work_queue_add_rate_limited(queue, key);
            work_queue_done(queue, key);
            assert_true(wait_for(key) > 0);
        }
        if (i % 2) {
            work_queue_forget(queue, key);
            work_queue_done(queue, key);
        } else {
            work_queue_done(queue, key);
            work_queue_forget(queue, key);
        }
    }
    work_queue_add(queue, "still taken");
    expect("still taken");
}

static void test_done_and_forget_of_unknown_keys(void **state) {
    (void)state;
    work_queue_done(queue, "never seen");
    work_queue_forget(queue, "never seen");
    expect(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_in_first_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_add_while_processing_runs_once_more_and_not_beside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_became_dirty_meanwhile_goes_to_the_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_delayed_add_comes_in_time_and_not_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_earliest_of_delayed_adds_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delayed_adds_come_in_the_order_of_their_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_delay_that_ends_while_processing_runs_after_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_delay_is_an_add, setup, teardown),
        cmocka_unit_test_setup_teardown(test_very_long_delays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_back_off_to_a_cap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_of_one_key_do_not_slow_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_bucket_holds_back_a_storm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_busy_driver_is_not_woken_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shut_down_takes_nothing_new_and_lets_the_rest_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_keys_than_allowed_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_finished_keys_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_done_and_forget_of_unknown_keys, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
