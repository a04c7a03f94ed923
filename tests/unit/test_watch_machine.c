/* test_watch_machine.c - the rules of LIST and WATCH, one by one, driven by scripted inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "informers/watch_machine.h"
#include "platform/base/str.h"

/* A machine, its clock, and the last order. */
struct bench {
    struct watch_machine m;
    struct watch_order o;
    int64_t now;
};

static void input(struct bench *b, struct watch_input in) {
    in.now_ms = b->now;
    watch_machine_step(&b->m, &in, &b->o);
}

static void begin(struct bench *b, const char *remembered) {
    memset(b, 0, sizeof *b);
    b->now = 1000000;
    watch_machine_init(&b->m, 7, remembered);
    input(b, (struct watch_input){.kind = WATCH_STARTED});
}

static void page(struct bench *b, const char *rv, const char *token) {
    input(b, (struct watch_input){.kind = WATCH_PAGE_CAME, .as.page = {rv, token, 0}});
}

static void list_fails(struct bench *b, enum err_code code) {
    struct error err;
    (void)error_set(&err, code, "scripted");
    input(b, (struct watch_input){.kind = WATCH_LIST_FAILED, .as.error = &err});
}

static void ends(struct bench *b, enum err_code code, int retry_after_ms) {
    struct error err;
    (void)error_set(&err, code, "scripted");
    err.retry_after_ms = retry_after_ms;
    input(b, (struct watch_input){.kind = WATCH_ENDED, .as.error = code == ERR_NONE ? NULL : &err});
}

static void event(struct bench *b, enum watch_event_type type, const char *rv) {
    struct watch_event e = {.type = type};
    e.id.resource_version = rv;
    e.id.uid = "u";
    input(b, (struct watch_input){.kind = WATCH_EVENT_CAME, .as.event = &e});
}

static void error_event(struct bench *b, enum err_code code) {
    struct watch_event e = {.type = WATCH_EVENT_ERROR};
    (void)error_set(&e.error, code, "scripted");
    input(b, (struct watch_input){.kind = WATCH_EVENT_CAME, .as.event = &e});
}

/* Lets time pass to the moment that the machine asked for; gives the time that passed. */
static int64_t wake(struct bench *b) {
    int64_t before = b->now;
    assert_true(b->o.wake_at_ms > b->now);
    b->now = b->o.wake_at_ms - 1;
    input(b, (struct watch_input){.kind = WATCH_TICKED}); /* a moment early: nothing may happen */
    assert_int_equal(b->o.io, WATCH_IO_NONE);
    b->now++;
    input(b, (struct watch_input){.kind = WATCH_TICKED});
    return b->now - before;
}

static void watching(struct bench *b, const char *rv) {
    begin(b, NULL);
    page(b, rv, NULL);
    assert_int_equal(b->m.state, WATCH_WATCHING);
}

/* The order is a first page of the most recent state / of NotOlderThan rv / a watch at rv. */
static void assert_lists_most_recent(const struct bench *b) {
    assert_int_equal(b->o.io, WATCH_IO_LIST);
    assert_null(b->o.list.resource_version);
    assert_null(b->o.list.resource_version_match);
    assert_null(b->o.list.continue_token);
}

static void assert_lists_not_older(const struct bench *b, const char *rv) {
    assert_int_equal(b->o.io, WATCH_IO_LIST);
    assert_string_equal(b->o.list.resource_version, rv);
    assert_string_equal(b->o.list.resource_version_match, "NotOlderThan");
    assert_null(b->o.list.continue_token);
    assert_int_equal(b->o.list.limit, 0);
}

static void assert_watches(const struct bench *b, const char *rv) {
    assert_int_equal(b->o.io, WATCH_IO_WATCH);
    assert_string_equal(b->o.watch.resource_version, rv);
    assert_in_range(b->o.watch.timeout_seconds, 300, 600);
}

static void assert_waits(const struct bench *b) {
    assert_int_equal(b->m.state, WATCH_WAITING);
    assert_int_equal(b->o.io, WATCH_IO_NONE);
    assert_true(b->o.wake_at_ms > b->now);
}

static void test_start__lists_most_recent_then_watches(void **state) { /* K-L1, K-L2 */
    struct bench b;
    (void)state;
    begin(&b, NULL);
    assert_lists_most_recent(&b);
    assert_int_equal(b.o.list.limit, WATCH_PAGE_LIMIT);
    page(&b, "100", "");
    assert_int_equal(b.o.cache, WATCH_CACHE_REPLACE);
    assert_string_equal(b.o.rv, "100");
    assert_watches(&b, "100");
}

/* Trap 1: a remembered RV is never watched at, and never believed; it is a floor for the first list (K-L2, K-T11). */
static void test_start__remembered_rv_is_only_a_floor(void **state) {
    struct bench b;
    (void)state;
    begin(&b, "500");
    assert_lists_most_recent(&b);
    page(&b, "501", NULL);
    assert_int_equal(b.o.cache, WATCH_CACHE_REPLACE);
    assert_watches(&b, "501");

    begin(&b, "500");
    page(&b, "90", NULL); /* restored from a backup, or a server of the past: not believed at once */
    assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
    assert_true(b.o.discard_stage);
    assert_waits(&b);
    (void)wake(&b);
    assert_lists_most_recent(&b);
    page(&b, "90", NULL);
    (void)wake(&b);
    page(&b, "91", NULL); /* the third time it is the truth */
    assert_int_equal(b.o.cache, WATCH_CACHE_RESTORE);
    assert_watches(&b, "91");
    assert_int_equal(b.m.counters.regressions, 3);
    assert_string_equal(b.m.floor, "91");

    begin(&b, "not-a-number");
    page(&b, "5", NULL);
    assert_watches(&b, "5");
}

static void test_list__lagging_server_recovers(void **state) { /* S12: one stale answer costs one wait */
    struct bench b;
    (void)state;
    begin(&b, "500");
    page(&b, "90", NULL);
    (void)wake(&b);
    page(&b, "600", NULL);
    assert_int_equal(b.o.cache, WATCH_CACHE_REPLACE);
    assert_int_equal(b.m.refusals, 0);
    /* The list is new, but an object in it is older than the one that is known. */
    watching(&b, "100");
    ends(&b, ERR_GONE, 0);
    input(&b, (struct watch_input){.kind = WATCH_PAGE_CAME, .as.page = {"200", NULL, 1}});
    assert_waits(&b);
    assert_true(b.o.discard_stage);
}

static void test_list__pages(void **state) { /* K-L5 */
    struct bench b;
    (void)state;
    begin(&b, NULL);
    page(&b, "100", "tok1");
    assert_int_equal(b.o.io, WATCH_IO_LIST);
    assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
    assert_false(b.o.discard_stage);
    assert_string_equal(b.o.list.continue_token, "tok1");
    assert_null(b.o.list.resource_version);
    assert_null(b.o.list.resource_version_match);
    assert_int_equal(b.o.list.limit, WATCH_PAGE_LIMIT);
    page(&b, "100", "tok2");
    assert_string_equal(b.o.list.continue_token, "tok2");
    page(&b, "999", NULL); /* the list's RV is that of page one */
    assert_int_equal(b.o.cache, WATCH_CACHE_REPLACE);
    assert_watches(&b, "100");
}

static void test_list__expired_token_restarts_unpaged(void **state) { /* K-L5; conformance 2 */
    struct bench b;
    (void)state;
    begin(&b, NULL);
    page(&b, "100", "tok1");
    list_fails(&b, ERR_GONE);
    assert_lists_most_recent(&b);
    assert_int_equal(b.o.list.limit, 0);
    assert_true(b.o.discard_stage);
    list_fails(&b, ERR_GONE); /* the whole list too: later */
    assert_waits(&b);
    (void)wake(&b);
    assert_lists_most_recent(&b);
    page(&b, "120", NULL);
    assert_watches(&b, "120");
}

static void test_list__refuses_what_is_no_list(void **state) {
    static const char *const bad[] = {NULL, "", "0",
                                      "1234567890123456789012345678901234567890123456789012345678901234"};
    struct bench b;
    char token[WATCH_CONTINUE_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(&b, NULL);
        page(&b, bad[i], NULL);
        assert_waits(&b);
        assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
    }
    begin(&b, NULL);
    page(&b, "1", "same");
    page(&b, "1", "same"); /* a token that leads to itself */
    assert_waits(&b);
    begin(&b, NULL);
    memset(token, 'x', sizeof token - 1);
    token[sizeof token - 1] = '\0';
    page(&b, "1", token);
    assert_waits(&b);
    begin(&b, NULL);
    for (int i = 0; b.m.state == WATCH_LISTING; i++) { /* pages without end */
        (void)snprintf(token, sizeof token, "t%d", i);
        page(&b, "1", token);
        assert_true(i <= WATCH_PAGES_MAX);
    }
    assert_waits(&b);
}

static void test_relist__not_older_then_most_recent(void **state) { /* K-L3, conformance 3 */
    static const enum err_code codes[] = {ERR_GONE, ERR_FUTURE_VERSION};
    struct bench b;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        watching(&b, "100");
        event(&b, WATCH_EVENT_BOOKMARK, "130");
        ends(&b, ERR_INVALID, 0);
        (void)wake(&b);
        assert_lists_not_older(&b, "130");
        list_fails(&b, codes[i]);
        assert_lists_most_recent(&b); /* at once */
        list_fails(&b, codes[i]);
        assert_waits(&b);
        (void)wake(&b);
        assert_lists_most_recent(&b);
        page(&b, "131", NULL);
        assert_watches(&b, "131");
    }
    watching(&b, "100"); /* 504 without an end: what was asked is asked again */
    ends(&b, ERR_INVALID, 0);
    (void)wake(&b);
    list_fails(&b, ERR_TIMEOUT);
    (void)wake(&b);
    assert_lists_not_older(&b, "100");
    list_fails(&b, ERR_INVALID); /* perhaps it is our RV that the server cannot stand */
    (void)wake(&b);
    assert_lists_most_recent(&b);
}

static void test_gone__three_forms(void **state) { /* K-L4, conformance 2 */
    struct bench b;
    (void)state;
    watching(&b, "100");
    ends(&b, ERR_GONE, 0); /* HTTP 410 at the start of a watch */
    assert_lists_most_recent(&b);
    page(&b, "200", NULL);
    assert_watches(&b, "200");
    error_event(&b, ERR_GONE); /* HTTP 200 and an ERROR event; the second in a row waits: no hot loop */
    assert_true(b.o.close_watch);
    assert_waits(&b);
    (void)wake(&b);
    assert_lists_most_recent(&b);
    page(&b, "300", NULL);
    event(&b, WATCH_EVENT_MODIFIED, "301");
    b.now += 60000;
    error_event(&b, ERR_GONE); /* in the middle, after events */
    assert_lists_most_recent(&b);
    assert_int_equal(b.m.counters.gone, 3);
}

static void test_bookmark__advances_only_the_rv(void **state) { /* K-W4, conformance 4 */
    struct bench b;
    (void)state;
    watching(&b, "100");
    event(&b, WATCH_EVENT_BOOKMARK, "150");
    assert_int_equal(b.o.cache, WATCH_CACHE_PROGRESS);
    assert_string_equal(b.o.rv, "150");
    event(&b, WATCH_EVENT_BOOKMARK, "140"); /* never back */
    assert_string_equal(b.o.rv, "150");
    b.now += 300000;
    ends(&b, ERR_NONE, 0);
    assert_watches(&b, "150");
    assert_int_equal(b.m.counters.lists, 1);
}

static void test_events__in_order_once(void **state) { /* K-W3, K-W12, conformance 11 */
    struct bench b;
    (void)state;
    watching(&b, "99");
    event(&b, WATCH_EVENT_ADDED, "100"); /* longer is newer */
    assert_int_equal(b.o.cache, WATCH_CACHE_APPLY);
    event(&b, WATCH_EVENT_MODIFIED, "101");
    assert_int_equal(b.o.cache, WATCH_CACHE_APPLY);
    event(&b, WATCH_EVENT_DELETED, "102");
    assert_int_equal(b.o.cache, WATCH_CACHE_APPLY);
    event(&b, WATCH_EVENT_DELETED, "102"); /* again: dropped */
    assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
    assert_false(b.o.close_watch);
    event(&b, WATCH_EVENT_UNKNOWN, NULL); /* skipped */
    assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
    assert_int_equal(b.m.counters.unknown, 1);
    event(&b, WATCH_EVENT_ADDED, "57"); /* the past: refused, and the list asked again (S12) */
    assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
    assert_true(b.o.close_watch);
    assert_waits(&b);
    (void)wake(&b);
    assert_lists_not_older(&b, "102");
    assert_int_equal(b.m.counters.regressions, 1);
    assert_int_equal(b.m.counters.dropped, 2);
}

static void test_events__opaque_versions(void **state) { /* K-W12: only equality then */
    struct bench b;
    (void)state;
    watching(&b, "v-a");
    event(&b, WATCH_EVENT_ADDED, "v-b");
    assert_int_equal(b.o.cache, WATCH_CACHE_APPLY);
    event(&b, WATCH_EVENT_ADDED, "v-b");
    assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
    event(&b, WATCH_EVENT_ADDED, "007");
    assert_int_equal(b.o.cache, WATCH_CACHE_APPLY);
    b.now += 5000;
    ends(&b, ERR_NONE, 0);
    assert_watches(&b, "007");
}

static void test_end__resumes_without_list(void **state) { /* K-W6, K-W10 */
    static const enum err_code codes[] = {ERR_NONE, ERR_LOST, ERR_TIMEOUT};
    struct bench b;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        watching(&b, "100");
        event(&b, WATCH_EVENT_ADDED, "104");
        b.now += 5000;
        ends(&b, codes[i], 0);
        assert_watches(&b, "104");
    }
}

static void test_end__very_short_watches_back_off(void **state) { /* K-W6; 800 ms doubling to 30 s, times [1,2) */
    struct bench b;
    int64_t base = 800;
    (void)state;
    watching(&b, "100");
    for (int i = 0; i < 12; i++) {
        b.now += 999;
        ends(&b, ERR_NONE, 0);
        assert_waits(&b);
        int64_t waited = wake(&b);
        assert_true(waited >= base && waited < 2 * base);
        base = base * 2 < 30000 ? base * 2 : 30000;
        assert_watches(&b, "100");
    }
    b.now += 121000; /* two minutes without backing off */
    event(&b, WATCH_EVENT_BOOKMARK, "101");
    ends(&b, ERR_UNREACHABLE, 0);
    assert_true(wake(&b) < 1600);
}

static void test_refused__same_rv_later(void **state) { /* K-W7, K-W10, conformance 8, 24 */
    static const enum err_code codes[] = {ERR_UNREACHABLE, ERR_THROTTLED, ERR_UNAVAILABLE, ERR_PARSE, ERR_FORBIDDEN};
    struct bench b;
    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        watching(&b, "100");
        ends(&b, codes[i], 0);
        assert_waits(&b);
        assert_true(wake(&b) >= 800);
        assert_watches(&b, "100");
    }
    watching(&b, "100");
    ends(&b, ERR_THROTTLED, 17000); /* Retry-After is honoured, */
    assert_int_equal(wake(&b), 17000);
    ends(&b, ERR_THROTTLED, 3600000); /* within reason, */
    assert_int_equal(wake(&b), WATCH_RETRY_AFTER_MAX_MS);
    begin(&b, NULL);
    struct error err;
    (void)error_set(&err, ERR_THROTTLED, "initializing");
    err.retry_after_ms = 5000;
    input(&b, (struct watch_input){.kind = WATCH_LIST_FAILED, .as.error = &err}); /* and for lists. */
    assert_int_equal(wake(&b), 5000);
    assert_lists_most_recent(&b);
}

static void test_failures_in_a_row__relist(void **state) { /* K-W10: 500s and garbage end in a list */
    struct bench b;
    (void)state;
    watching(&b, "100");
    for (int i = 0; i < WATCH_FAILURES_MAX; i++) {
        ends(&b, ERR_UNAVAILABLE, 0);
        (void)wake(&b);
        assert_watches(&b, "100");
    }
    ends(&b, ERR_PARSE, 0);
    (void)wake(&b);
    assert_lists_not_older(&b, "100");
}

static void test_every_error__ends_in_a_wait_or_a_list(void **state) { /* no code is forgotten, none loops hot */
    struct bench b;
    (void)state;
    for (int code = ERR_INVALID; code < ERR_CODE_COUNT; code++) {
        watching(&b, "100");
        ends(&b, (enum err_code)code, 0);
        assert_true(b.m.state == WATCH_WAITING || code == ERR_GONE);
        begin(&b, NULL);
        list_fails(&b, (enum err_code)code);
        assert_waits(&b);
        assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
        (void)wake(&b);
        assert_int_equal(b.o.io, WATCH_IO_LIST);
    }
}

static void test_absent_resource__waits_and_keeps(void **state) { /* K-C7, S14, conformance 21 */
    struct bench b;
    (void)state;
    begin(&b, NULL);
    list_fails(&b, ERR_UNSUPPORTED); /* "404 page not found" as text */
    assert_true(b.m.absent);
    assert_true(wake(&b) >= WATCH_ABSENT_MS);
    page(&b, "5", NULL);
    assert_false(b.m.absent);
    ends(&b, ERR_NOT_FOUND, 0); /* deleted in the middle: nothing is undone */
    assert_true(b.m.absent);
    assert_int_equal(b.o.cache, WATCH_CACHE_KEEP);
    (void)wake(&b);
    assert_lists_most_recent(&b);
    page(&b, "9", NULL);
    assert_int_equal(b.o.cache, WATCH_CACHE_REPLACE);
}

static void test_deadline__is_hard(void **state) { /* K-T2, conformance 6: a server that ignores timeoutSeconds */
    struct bench b;
    (void)state;
    watching(&b, "100");
    int64_t deadline = b.now + b.o.watch.timeout_seconds * 1000 + 30000;
    while (b.now + 60000 < deadline) {
        b.now += 60000;
        event(&b, WATCH_EVENT_BOOKMARK, "100");
        if (b.o.wake_at_ms < b.now + 60000) {
            b.m.audit_at_ms = deadline * 2; /* audits have tests of their own */
        }
        assert_true(b.o.wake_at_ms <= deadline || b.o.wake_at_ms == 0);
    }
    b.now = deadline;
    input(&b, (struct watch_input){.kind = WATCH_TICKED});
    assert_true(b.o.close_watch);
    assert_watches(&b, "100");
}

static void test_list__never_answered(void **state) {
    struct bench b;
    (void)state;
    begin(&b, NULL);
    assert_int_equal(b.o.wake_at_ms, b.now + WATCH_LIST_DEADLINE_MS);
    b.now += WATCH_LIST_DEADLINE_MS;
    input(&b, (struct watch_input){.kind = WATCH_TICKED});
    assert_true(b.o.close_list);
    assert_waits(&b);
}

/* Trap 1: a watch at an RV from the future says 200 and nothing else. A list tells. */
static void test_silence__is_audited(void **state) {
    struct bench b;
    (void)state;
    watching(&b, "100");
    input(&b, (struct watch_input){.kind = WATCH_OPENED});
    assert_int_equal(wake(&b), WATCH_SILENCE_MS);
    assert_lists_most_recent(&b);
    assert_false(b.o.close_watch);
    assert_true(watch_machine_auditing(&b.m));
    page(&b, "60", NULL); /* the server is behind what we saw: it was restored */
    assert_true(b.o.close_watch);
    assert_false(b.o.compare);
    assert_waits(&b);
    for (int i = 0; i < WATCH_REFUSALS_MAX; i++) {
        (void)wake(&b);
        assert_lists_most_recent(&b);
        page(&b, "61", NULL);
    }
    assert_int_equal(b.o.cache, WATCH_CACHE_RESTORE);
    assert_watches(&b, "61");
}

static void test_silence__ended_without_a_line_is_not_resumed(void **state) {
    struct bench b;
    (void)state;
    watching(&b, "100");
    b.now += WATCH_SILENCE_MS;
    ends(&b, ERR_NONE, 0);
    assert_lists_not_older(&b, "100");
}

static void test_silence__checked_once(void **state) { /* a server without bookmarks is not listed every 90 s */
    struct bench b;
    (void)state;
    watching(&b, "100");
    (void)wake(&b);
    page(&b, "105", NULL);
    assert_true(b.o.compare);
    input(&b, (struct watch_input){.kind = WATCH_AUDITED, .as.differences = 0});
    assert_int_equal(b.o.cache, WATCH_CACHE_PROGRESS); /* complete up to the list's RV */
    assert_string_equal(b.o.rv, "105");
    assert_true(b.o.wake_at_ms > b.now + WATCH_SILENCE_MS);
    b.now += 200000;
    ends(&b, ERR_NONE, 0);
    assert_watches(&b, "100"); /* the stream's own RV: events up to 105 may still be on their way */
}

static void test_audit__every_eight_minutes(void **state) { /* K-W11 */
    struct bench b;
    int64_t least = INT64_MAX;
    int64_t most = 0;
    (void)state;
    for (int i = 0; i < 200; i++) {
        begin(&b, NULL);
        prng_seed(&b.m.prng, (uint64_t)i);
        page(&b, "100", NULL);
        int64_t due = b.m.audit_at_ms - b.now;
        least = due < least ? due : least;
        most = due > most ? due : most;
    }
    assert_in_range(least, 384000, 400000);
    assert_in_range(most, 560000, 576000);
}

static void start_audit(struct bench *b) {
    watching(b, "100");
    event(b, WATCH_EVENT_BOOKMARK, "110");
    b->m.audit_at_ms = b->now + 1;
    b->now++;
    input(b, (struct watch_input){.kind = WATCH_TICKED});
    assert_lists_most_recent(b);
    assert_true(b->o.discard_stage);
    assert_int_equal(b->o.list.limit, WATCH_PAGE_LIMIT);
}

static void test_audit__finds_a_divergence(void **state) {
    struct bench b;
    (void)state;
    start_audit(&b);
    page(&b, "120", "tok");
    assert_string_equal(b.o.list.continue_token, "tok");
    page(&b, "120", NULL);
    assert_true(b.o.compare);
    input(&b, (struct watch_input){.kind = WATCH_AUDITED, .as.differences = 2});
    assert_int_equal(b.o.io, WATCH_IO_NONE); /* the watch may only be behind: wait for it */
    event(&b, WATCH_EVENT_MODIFIED, "119");
    assert_false(b.o.compare);
    event(&b, WATCH_EVENT_MODIFIED, "121");
    assert_int_equal(b.o.cache, WATCH_CACHE_APPLY);
    assert_true(b.o.compare);
    input(&b, (struct watch_input){.kind = WATCH_AUDITED, .as.differences = 1});
    assert_true(b.o.close_watch);
    assert_lists_most_recent(&b);
    assert_int_equal(b.m.counters.divergences, 1);
    page(&b, "130", NULL);
    assert_int_equal(b.o.cache, WATCH_CACHE_REPLACE);
}

static void test_audit__lag_is_no_divergence(void **state) {
    struct bench b;
    (void)state;
    start_audit(&b);
    page(&b, "120", NULL);
    input(&b, (struct watch_input){.kind = WATCH_AUDITED, .as.differences = 3});
    event(&b, WATCH_EVENT_BOOKMARK, "125");
    assert_true(b.o.compare);
    input(&b, (struct watch_input){.kind = WATCH_AUDITED, .as.differences = 0});
    assert_false(b.o.close_watch);
    assert_int_equal(b.m.counters.divergences, 0);
    assert_int_equal(b.m.counters.audits, 1);
    assert_int_equal(b.m.state, WATCH_WATCHING);
}

static void test_audit__undecided_relists(void **state) {
    struct bench b;
    (void)state;
    start_audit(&b);
    page(&b, "120", NULL);
    input(&b, (struct watch_input){.kind = WATCH_AUDITED, .as.differences = 3});
    assert_int_equal(wake(&b), WATCH_ALIGN_MS);
    assert_true(b.o.close_watch && b.o.discard_stage);
    assert_lists_most_recent(&b);
    assert_int_equal(b.m.counters.divergences, 0);
}

static void test_audit__failures_do_not_touch_the_watch(void **state) {
    struct bench b;
    (void)state;
    start_audit(&b);
    list_fails(&b, ERR_FORBIDDEN);
    assert_false(b.o.close_watch);
    assert_int_equal(b.m.state, WATCH_WATCHING);
    assert_true(b.o.wake_at_ms > b.now);
    start_audit(&b);
    page(&b, "", NULL);
    assert_false(b.o.close_watch);
    assert_false(b.o.compare);
    start_audit(&b);
    b.now += WATCH_LIST_DEADLINE_MS;
    input(&b, (struct watch_input){.kind = WATCH_TICKED});
    assert_true(b.o.close_list);
    assert_false(b.o.close_watch);
    start_audit(&b);
    ends(&b, ERR_LOST, 0); /* the watch ends beside it: the audit is void */
    assert_true(b.o.close_list);
    assert_true(b.o.discard_stage);
    assert_false(watch_machine_auditing(&b.m));
}

static void test_inputs_out_of_place__are_ignored(void **state) {
    struct bench b;
    (void)state;
    memset(&b, 0, sizeof b);
    watch_machine_init(&b.m, 1, NULL);
    page(&b, "1", NULL);
    event(&b, WATCH_EVENT_ADDED, "1");
    ends(&b, ERR_NONE, 0);
    input(&b, (struct watch_input){.kind = WATCH_TICKED});
    assert_int_equal(b.m.state, WATCH_STOPPED);
    assert_int_equal(b.o.wake_at_ms, 0);
    begin(&b, NULL);
    event(&b, WATCH_EVENT_ADDED, "1");
    ends(&b, ERR_NONE, 0);
    input(&b, (struct watch_input){.kind = WATCH_STARTED});
    input(&b, (struct watch_input){.kind = WATCH_AUDITED});
    assert_int_equal(b.m.state, WATCH_LISTING);
    page(&b, "10", NULL);
    page(&b, "11", NULL);
    list_fails(&b, ERR_GONE);
    input(&b, (struct watch_input){.kind = WATCH_AUDITED, .as.differences = 5});
    input(&b, (struct watch_input){.kind = WATCH_STARTED});
    assert_int_equal(b.m.state, WATCH_WATCHING);
    assert_string_equal(b.m.rv, "10");
    ends(&b, ERR_INVALID, 0);
    page(&b, "12", NULL);
    event(&b, WATCH_EVENT_ADDED, "13");
    assert_int_equal(b.m.state, WATCH_WAITING);
    assert_string_equal(watch_state_name(b.m.state), "Waiting");
}

/* Conformance 25: only differences of boot time count; the machine is given no other clock. */
static void test_rv__compare(void **state) {
    char at[RV_MAX] = "";
    (void)state;
    assert_true(rv_older("9", "10") && rv_older("10", "11") &&
                rv_older("18446744073709551615", "18446744073709551616"));
    assert_false(rv_older("10", "10") || rv_older("11", "10") || rv_older("", "1") || rv_older(NULL, "1"));
    assert_false(rv_older("0", "1") || rv_older("01", "2") || rv_older("1a", "2") || rv_older("1", "-2"));
    assert_true(rv_reached("10", "10") && rv_reached("11", "10") && rv_reached("x", "x"));
    assert_false(rv_reached("9", "10") || rv_reached("x", "y") || rv_reached("x", "1") || rv_reached("", "1"));
    rv_advance(at, "x");
    assert_string_equal(at, "x");
    rv_advance(at, "5");
    rv_advance(at, "4");
    rv_advance(at, "");
    rv_advance(at, NULL);
    rv_advance(at, "y");
    rv_advance(at, "1234567890123456789012345678901234567890123456789012345678901234");
    assert_string_equal(at, "5");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start__lists_most_recent_then_watches),
        cmocka_unit_test(test_start__remembered_rv_is_only_a_floor),
        cmocka_unit_test(test_list__lagging_server_recovers),
        cmocka_unit_test(test_list__pages),
        cmocka_unit_test(test_list__expired_token_restarts_unpaged),
        cmocka_unit_test(test_list__refuses_what_is_no_list),
        cmocka_unit_test(test_relist__not_older_then_most_recent),
        cmocka_unit_test(test_gone__three_forms),
        cmocka_unit_test(test_bookmark__advances_only_the_rv),
        cmocka_unit_test(test_events__in_order_once),
        cmocka_unit_test(test_events__opaque_versions),
        cmocka_unit_test(test_end__resumes_without_list),
        cmocka_unit_test(test_end__very_short_watches_back_off),
        cmocka_unit_test(test_refused__same_rv_later),
        cmocka_unit_test(test_failures_in_a_row__relist),
        cmocka_unit_test(test_every_error__ends_in_a_wait_or_a_list),
        cmocka_unit_test(test_absent_resource__waits_and_keeps),
        cmocka_unit_test(test_deadline__is_hard),
        cmocka_unit_test(test_list__never_answered),
        cmocka_unit_test(test_silence__is_audited),
        cmocka_unit_test(test_silence__ended_without_a_line_is_not_resumed),
        cmocka_unit_test(test_silence__checked_once),
        cmocka_unit_test(test_audit__every_eight_minutes),
        cmocka_unit_test(test_audit__finds_a_divergence),
        cmocka_unit_test(test_audit__lag_is_no_divergence),
        cmocka_unit_test(test_audit__undecided_relists),
        cmocka_unit_test(test_audit__failures_do_not_touch_the_watch),
        cmocka_unit_test(test_inputs_out_of_place__are_ignored),
        cmocka_unit_test(test_rv__compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
