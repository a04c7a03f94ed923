/* events.c: what is posted, series, and that nothing of it can hurt (K-E1..K-E3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "controller/events.h"
#include "platform/base/str.h"
#include "support_ports.h"

static struct ports ports;
static struct events *events;
static const struct event_subject subject = {"aws-node", "uid-1"};

static int setup(void **state) {
    (void)state;
    ports_init(&ports);
    events = events_new(ports_effector(&ports), ports_clock(&ports), "host_1");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    events_free(events);
    assert_int_equal(ports_open(&ports), 0);
    ports_done(&ports);
    return 0;
}

static void post(const char *reason, const char *note) {
    events_post(events, &subject, false, reason, "Reconcile", note);
}

static void test_the_first_is_created(void **state) {
    (void)state;
    events_post(events, &subject, true, "RolledBack", "Rollback", "every pod is back");
    struct ports_call *c = ports_oldest(&ports);
    assert_int_equal(c->effect->kind, EFFECT_K8S_CREATE);
    assert_string_equal(effect_arg(c->effect, "resource"), "events.events.k8s.io");
    assert_string_equal(json_str(c->body, "type"), "Warning");
    assert_string_equal(json_str(c->body, "reason"), "RolledBack");
    assert_string_equal(json_str(c->body, "action"), "Rollback");
    assert_string_equal(json_str(c->body, "note"), "every pod is back");
    assert_string_equal(json_str(c->body, "eventTime"), "2026-01-02T03:00:00.123000Z"); /* six decimals, or 400 */
    assert_string_equal(json_str(c->body, "regarding.uid"), "uid-1");
    assert_string_equal(json_str(c->body, "regarding.name"), "aws-node");
    assert_string_equal(json_str(c->body, "reportingInstance"), "cni-iam-host_1");
    assert_true(str_has_prefix(json_str(c->body, "metadata.name"), "aws-node."));
    ports_answer(&ports, c, "{}");
    assert_int_equal(events_dropped(events), 0);
}

static void test_the_same_again_becomes_a_series(void **state) {
    (void)state;
    post("Waiting", "n");
    char *name = arena_strdup(ports.arena, json_str(ports_last(&ports)->body, "metadata.name"));
    ports_answer(&ports, ports_oldest(&ports), "{}");
    post("Waiting", "n");
    struct ports_call *c = ports_oldest(&ports);
    assert_int_equal(c->effect->kind, EFFECT_K8S_MERGE_PATCH);
    assert_string_equal(effect_arg(c->effect, "name"), name);
    assert_int_equal(json_int64_or(json_get(c->body, "series"), "count", 0), 2);
    assert_non_null(json_str(c->body, "series.lastObservedTime"));
    ports_answer(&ports, c, "{}");
    for (int i = 0; i < 100; i++)
        post("Waiting", "n"); /* only counted */
    assert_int_equal(ports.ncalls, 2);
    ports_advance(&ports, EVENTS_REFRESH_MS + 1);
    post("Waiting", "n");
    assert_int_equal(ports.ncalls, 3);
    assert_int_equal(json_int64_or(json_get(ports_last(&ports)->body, "series"), "count", 0), 103);
    ports_answer(&ports, ports_oldest(&ports), "{}");
}

static void test_what_differs_is_an_event_of_its_own(void **state) {
    (void)state;
    struct event_subject other = {"aws-node", "uid-2"}; /* made anew under the same name (S8) */
    post("A", "n");
    post("B", "n");
    post("A", "m");
    events_post(events, &subject, true, "A", "Reconcile", "n");
    events_post(events, &subject, false, "A", "Other", "n");
    events_post(events, &other, false, "A", "Reconcile", "n");
    assert_int_equal(ports_count(&ports, EFFECT_K8S_CREATE), 6);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(json_str(ports.calls[i].body, "metadata.name"),
                                    json_str(ports.calls[j].body, "metadata.name"));
    while (ports_open(&ports))
        ports_answer(&ports, ports_oldest(&ports), "{}");
}

/* An Event lives an hour on the server; a series may live longer here. */
static void test_an_event_that_is_gone_is_created_anew(void **state) {
    (void)state;
    post("A", "n");
    ports_answer(&ports, ports_oldest(&ports), "{}");
    post("A", "n");
    ports_fail(&ports, ports_oldest(&ports), ERR_NOT_FOUND, "gone");
    assert_int_equal(events_dropped(events), 1);
    post("A", "n");
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_CREATE);
    ports_fail(&ports, ports_oldest(&ports), ERR_FORBIDDEN, "no");
    post("A", "n");
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_CREATE);
    ports_answer(&ports, ports_oldest(&ports), "{}");
}

static void test_a_slow_server_blocks_nobody(void **state) {
    (void)state;
    char note[32];
    for (int i = 0; i < EVENTS_UNDERWAY_MAX + 5; i++) {
        snprintf(note, sizeof note, "n%d", i);
        post("A", note);
    }
    assert_int_equal(ports_open(&ports), EVENTS_UNDERWAY_MAX);
    assert_int_equal(events_dropped(events), 5);
    /* teardown: those under way are cancelled, no callback comes */
}

static void test_a_storm_is_cut(void **state) {
    (void)state;
    char note[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(note, sizeof note, "n%d", i);
        post("A", note);
        while (ports_open(&ports))
            ports_answer(&ports, ports_oldest(&ports), "{}");
    }
    assert_int_equal(ports_count(&ports, EFFECT_K8S_CREATE), EVENTS_BURST);
    assert_int_equal(events_dropped(events), 1000 - EVENTS_BURST);
    ports_advance(&ports, 3 * EVENTS_REFILL_MS);
    for (int i = 0; i < 10; i++) {
        snprintf(note, sizeof note, "later %d", i);
        post("A", note);
        while (ports_open(&ports))
            ports_answer(&ports, ports_oldest(&ports), "{}");
    }
    assert_int_equal(ports_count(&ports, EFFECT_K8S_CREATE), EVENTS_BURST + 3);
    ports_advance(&ports, 86400000);
    post("B", "the bucket does not overflow");
    ports_answer(&ports, ports_oldest(&ports), "{}");
}

static void test_only_so_many_kinds_are_remembered(void **state) {
    (void)state;
    char note[32];
    for (int i = 0; i < EVENTS_SERIES_MAX + 1; i++) {
        snprintf(note, sizeof note, "n%d", i);
        ports_advance(&ports, EVENTS_REFILL_MS);
        post("A", note);
        ports_answer(&ports, ports_oldest(&ports), "{}");
    }
    post("A", "n0"); /* the oldest was forgotten */
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_CREATE);
    ports_answer(&ports, ports_oldest(&ports), "{}");
    post("A", "n256"); /* the newest was not */
    assert_int_equal(ports_oldest(&ports)->effect->kind, EFFECT_K8S_MERGE_PATCH);
    ports_answer(&ports, ports_oldest(&ports), "{}");
}

static void test_long_notes_are_cut_between_characters(void **state) {
    (void)state;
    char note[3000];
    for (size_t i = 0; i + 2 < sizeof note; i += 2)
        memcpy(note + i, "\xc3\xa4", 3);
    post("A", note);
    const char *sent = json_str(ports_last(&ports)->body, "note");
    assert_in_range(strlen(sent), 900, 1024);
    assert_true(str_has_suffix(sent, "\xc3\xa4..."));
    ports_answer(&ports, ports_oldest(&ports), "{}");
}

static void test_nothing_to_say(void **state) {
    (void)state;
    events_post(events, &subject, false, NULL, NULL, "n");
    events_post(events, &subject, false, "A", NULL, NULL);
    assert_int_equal(ports.ncalls, 0);
    events_post(events, &subject, false, "A", NULL, "n");
    assert_string_equal(json_str(ports_last(&ports)->body, "action"), "Reconcile");
    ports_answer(&ports, ports_oldest(&ports), "{}");
    events_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_first_is_created, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_same_again_becomes_a_series, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_differs_is_an_event_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_event_that_is_gone_is_created_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_server_blocks_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_storm_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_so_many_kinds_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_notes_are_cut_between_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_to_say, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
