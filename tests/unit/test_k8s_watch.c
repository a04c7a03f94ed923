/* test_k8s_watch.c - streams from a real peer: framing at every byte, sizes, cuts, silence, errors; LIST pages (K-W*,
 * K-G1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/k8s/k8s_watch.h"
#include "support_k8s_peer.h"

static struct k8s_peer peer;
static struct loop *loop;
static struct k8s_config *config;
static struct k8s_client *client;
static struct k8s_watch *watches;
static struct watch_source source;

struct seen {
    bool done;
    int opened;
    int lines;
    int bad; /* lines that are no JSON */
    size_t longest;
    uint64_t ticket;
    int close_after; /* lines; 0: never; -1: in on_open */
    struct error end;
    bool clean;
    json *list;
};

static void on_list(void *arg, json *list, const struct error *err) {
    struct seen *s = arg;
    s->done = true;
    s->list = list;
    if (list == NULL) {
        s->end = *err;
    }
}

static void on_open(void *arg) {
    struct seen *s = arg;
    s->opened++;
    if (s->close_after == -1) {
        source.close(source.ctx, s->ticket);
    }
}

static void on_line(void *arg, const char *line, size_t len) {
    struct seen *s = arg;
    struct error err;
    assert_int_equal(s->opened, 1);
    json *j = json_parse(line, len, &err);
    s->bad += j == NULL ? 1 : 0;
    json_free(j);
    s->lines++;
    s->longest = len > s->longest ? len : s->longest;
    if (s->close_after > 0 && s->lines == s->close_after) {
        source.close(source.ctx, s->ticket);
    }
}

static void on_end(void *arg, const struct error *err) {
    struct seen *s = arg;
    assert_false(s->done);
    s->done = true;
    s->clean = err == NULL;
    if (err != NULL) {
        s->end = *err;
    }
}

static struct watch_sink sink_of(struct seen *s) {
    return (struct watch_sink){s, on_list, on_open, on_line, on_end};
}

static struct watch_target target(const char *scenario, bool metadata_only) {
    static char selector[64];
    (void)snprintf(selector, sizeof selector, "scenario=%s", scenario);
    return (struct watch_target){
        .resource = "pods", .ns = "kube-system", .label_selector = selector, .metadata_only = metadata_only};
}

/* Watches until the end; the peer gets timeoutSeconds as given. */
static void watch(const char *scenario, int timeout_seconds, struct seen *s) {
    struct watch_target t = target(scenario, false);
    struct watch_query q = {.resource_version = "5", .timeout_seconds = timeout_seconds};
    s->ticket = source.watch(source.ctx, &t, &q, sink_of(s));
    assert_int_equal(s->opened + s->lines, 0);
    if (!k8s_peer_wait(loop, &s->done, 30000)) {
        fail_msg("%s does not end", scenario);
    }
}

static void test_watch__framing(void **state) {
    static const struct {
        const char *scenario;
        int lines;
    } rows[] = {{"bytes", 3}, {"burst", 10000}, {"late-headers", 1}, {"large", 2}, {"error-event", 1}, {"steady", 100}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct seen s = {0};
        watch(rows[i].scenario, 30, &s);
        if (!s.clean || s.lines != rows[i].lines || s.bad != 0 || s.opened != 1) {
            fail_msg("%s: clean %d lines %d bad %d opened %d: %s", rows[i].scenario, s.clean, s.lines, s.bad, s.opened,
                     s.end.message);
        }
    }
    struct seen s = {0};
    watch("every-split", 30, &s);
    assert_true(s.clean && s.bad == 0 && s.lines > 300 && s.lines % 2 == 0);
}

static void test_watch__asks_as_it_should(void **state) {
    struct seen s = {0};
    (void)state;
    k8s_peer_forget(&peer);
    watch("late-headers", 300, &s);
    char *log = k8s_peer_read(&peer, "log.jsonl");
    assert_non_null(strstr(log, "/api/v1/namespaces/kube-system/pods?labelSelector=scenario%3Dlate-headers&watch=1&"
                                "resourceVersion=5&allowWatchBookmarks=true&timeoutSeconds=300\""));
    assert_null(strstr(log, "accept-encoding"));
    free(log);
    struct watch_target t = target("late-headers", true);
    struct watch_query q = {.resource_version = "5", .timeout_seconds = 30};
    struct seen metadata = {0};
    k8s_peer_forget(&peer);
    (void)source.watch(source.ctx, &t, &q, sink_of(&metadata));
    assert_true(k8s_peer_wait(loop, &metadata.done, 5000));
    assert_int_equal(
        k8s_peer_count(&peer, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"), 1);
}

static void test_watch__ends(void **state) {
    static const struct {
        const char *scenario;
        int timeout;
        enum err_code code;
        int lines;
        int opened;
    } rows[] = {
        {"cut", 30, ERR_LOST, 1, 1},
        {"cut-clean", 30, ERR_LOST, 1, 1},
        {"gzip", 30, ERR_PARSE, 0, 0},
        {"too-large", 30, ERR_TOO_LARGE, 1, 1},
        {"expired", 30, ERR_GONE, 0, 0},
        {"forbidden", 30, ERR_FORBIDDEN, 0, 0},
        {"throttled", 30, ERR_THROTTLED, 0, 0},
        /* The grace is 30 s: -29 gives the silent server one second in all. */
        {"silent", -29, ERR_TIMEOUT, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct seen s = {0};
        watch(rows[i].scenario, rows[i].timeout, &s);
        if (s.clean || s.end.code != rows[i].code || s.lines != rows[i].lines || s.opened != rows[i].opened) {
            fail_msg("%s: clean %d %s \"%s\" lines %d opened %d", rows[i].scenario, s.clean, error_name(s.end.code),
                     s.end.message, s.lines, s.opened);
        }
    }
}

/* Until the count is there, however long a busy machine takes; then a moment, for what must not come. */
static void wait_until(const int *count, int n, const bool *done) {
    struct clock clock = loop_clock(loop);
    int64_t end = clock.boot_ms(clock.ctx) + 60000;
    while (*count < n && clock.boot_ms(clock.ctx) < end) {
        loop_turn(loop, 20);
    }
    (void)k8s_peer_wait(loop, done, 100);
}

static void test_watch__closed_by_us(void **state) {
    (void)state;
    /* Inside a line, with ten thousand more in hand; inside on_open; before anything came; on a quiet stream. */
    struct seen inside = {.close_after = 10};
    struct watch_target t = target("burst", false);
    struct watch_query q = {.resource_version = "5", .timeout_seconds = 30};
    inside.ticket = source.watch(source.ctx, &t, &q, sink_of(&inside));
    wait_until(&inside.lines, 10, &inside.done);
    assert_int_equal(inside.lines, 10);
    assert_false(inside.done);

    struct seen opening = {.close_after = -1};
    t = target("silent", false);
    opening.ticket = source.watch(source.ctx, &t, &q, sink_of(&opening));
    wait_until(&opening.opened, 1, &opening.done);
    assert_int_equal(opening.opened, 1);
    assert_false(opening.done);

    struct seen early = {0};
    uint64_t ticket = source.watch(source.ctx, &t, &q, sink_of(&early));
    source.close(source.ctx, ticket);
    source.close(source.ctx, ticket);
    struct seen quiet = {0};
    ticket = source.watch(source.ctx, &t, &q, sink_of(&quiet));
    wait_until(&quiet.opened, 1, &quiet.done);
    source.close(source.ctx, ticket);
    (void)k8s_peer_wait(loop, &quiet.done, 100);
    assert_false(quiet.done || early.done);
    assert_int_equal(early.opened, 0);
    assert_int_equal(quiet.opened, 1);
}

static void test_list__pages_and_errors(void **state) {
    (void)state;
    struct watch_target t = target("pages", true);
    struct list_query q = {.limit = 500, .resource_version = "7", .resource_version_match = "NotOlderThan"};
    struct seen s = {0};
    k8s_peer_forget(&peer);
    (void)source.list(source.ctx, &t, &q, sink_of(&s));
    assert_true(k8s_peer_wait(loop, &s.done, 5000));
    assert_int_equal(json_array_size(json_array(s.list, "items")), 500);
    assert_string_equal(json_str(s.list, "metadata.continue"), "500");
    json_free(s.list);
    assert_int_equal(k8s_peer_count(&peer, "resourceVersion=7&resourceVersionMatch=NotOlderThan&limit=500"), 1);
    assert_int_equal(
        k8s_peer_count(&peer, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"), 1);

    struct list_query next = {.limit = 500, .continue_token = "1000"};
    struct seen last = {0};
    (void)source.list(source.ctx, &t, &next, sink_of(&last));
    assert_true(k8s_peer_wait(loop, &last.done, 5000));
    assert_int_equal(json_array_size(json_array(last.list, "items")), 200);
    assert_string_equal(json_str(last.list, "metadata.continue"), "");
    json_free(last.list);

    struct seen expired = {0};
    t = target("expires", false);
    (void)source.list(source.ctx, &t, &next, sink_of(&expired));
    assert_true(k8s_peer_wait(loop, &expired.done, 5000));
    assert_int_equal(expired.end.code, ERR_GONE);
    struct seen nolist = {0};
    t = target("nolist", false);
    (void)source.list(source.ctx, &t, &next, sink_of(&nolist));
    assert_true(k8s_peer_wait(loop, &nolist.done, 5000));
    assert_int_equal(nolist.end.code, ERR_PARSE);
    struct seen closed = {0};
    source.close(source.ctx, source.list(source.ctx, &t, &next, sink_of(&closed)));
    (void)k8s_peer_wait(loop, &closed.done, 100);
    assert_false(closed.done);
}

static void test_free__with_streams_open(void **state) {
    (void)state;
    struct k8s_watch *w = k8s_watch_new(client);
    struct watch_source mine = k8s_watch_source(w);
    struct seen s = {0};
    struct watch_target t = target("silent", false);
    struct watch_query q = {.resource_version = "5", .timeout_seconds = 30};
    (void)mine.watch(mine.ctx, &t, &q, sink_of(&s));
    (void)mine.watch(mine.ctx, &t, &q, sink_of(&s));
    (void)k8s_peer_wait(loop, &s.done, 200);
    k8s_watch_free(w);
    (void)k8s_peer_wait(loop, &s.done, 50);
    assert_false(s.done);
}

static int start(void **state) {
    struct error err;
    (void)state;
    loop = loop_new(&err);
    k8s_peer_start(&peer, false);
    config = k8s_peer_config(&peer);
    client = k8s_peer_client(loop, config);
    watches = k8s_watch_new(client);
    source = k8s_watch_source(watches);
    return 0;
}

static int stop(void **state) {
    (void)state;
    k8s_watch_free(watches);
    k8s_client_free(client);
    k8s_config_free(config);
    k8s_peer_stop(&peer);
    loop_free(loop);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch__framing),
        cmocka_unit_test(test_watch__asks_as_it_should),
        cmocka_unit_test(test_watch__ends),
        cmocka_unit_test(test_watch__closed_by_us),
        cmocka_unit_test(test_list__pages_and_errors),
        cmocka_unit_test(test_free__with_streams_open),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
