/* test_sim_kube_watch.c - watches: order, selectors, bookmarks, expiry, and sinks that close what they are called by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "support_sim_kube.h"

#include <cmocka.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define MERGE "application/merge-patch+json"

static int setup(void **state) {
    *state = sim_test_open(true);
    return 0;
}

static int teardown(void **state) {
    sim_test_close(*state);
    return 0;
}

static void make(struct sim_test *t, const char *name, const char *label) {
    char body[200];
    (void)snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"l\":\"%s\"}}}", name, label);
    assert_int_equal(sim_test_post(t, CM, body), 201);
}

static void relabel(struct sim_test *t, const char *name, const char *label) {
    char target[200];
    char body[200];
    (void)snprintf(target, sizeof target, CM "/%s", name);
    (void)snprintf(body, sizeof body, "{\"metadata\":{\"labels\":{\"l\":\"%s\"}}}", label);
    assert_int_equal(sim_test_do(t, "PATCH", target, MERGE, body), 200);
}

static uint64_t watch_now(struct sim_test *t, const char *options) {
    char target[300];
    (void)snprintf(target, sizeof target, CM "?watch=true&resourceVersion=%lld%s",
                   (long long)sim_kube_resource_version(t->kube), options);
    return sim_test_watch(t, target, NULL);
}

static void test_events_come_in_order_and_later(void **state) {
    struct sim_test *t = *state;
    assert_true(watch_now(t, "") != 0);
    make(t, "a", "x");
    relabel(t, "a", "y");
    make(t, "b", "x");
    assert_int_equal(sim_test_do(t, "DELETE", CM "/a", NULL, NULL), 200);
    assert_int_equal(t->nlines, 0); /* never from inside a write */
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 4);
    assert_string_equal(sim_test_line(t, 0), "ADDED a");
    assert_string_equal(sim_test_line(t, 1), "MODIFIED a");
    assert_string_equal(sim_test_line(t, 2), "ADDED b");
    assert_string_equal(sim_test_line(t, 3), "DELETED a");
    assert_true(strstr(t->lines[0], "\"l\":\"x\"") != NULL);
    assert_true(strstr(t->lines[1], "\"l\":\"y\"") != NULL);
    sim_clock_advance(t->clock, 1000);
    assert_int_equal(t->nlines, 4);
    assert_int_equal(t->nends, 0);
}

static void test_other_resources_and_namespaces_are_silent(void **state) {
    struct sim_test *t = *state;
    assert_true(watch_now(t, "") != 0);
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"s\"}}"),
                     201);
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/kube-system/configmaps", "{\"metadata\":{\"name\":\"c\"}}"),
                     201);
    assert_int_equal(sim_test_post(t, CM "?dryRun=All", "{\"metadata\":{\"name\":\"dry\"}}"), 201);
    sim_clock_advance(t->clock, 1000);
    assert_int_equal(t->nlines, 0);
}

static void test_a_watch_resumes_from_its_version(void **state) {
    struct sim_test *t = *state;
    make(t, "a", "x");
    char target[200];
    (void)snprintf(target, sizeof target, CM "?watch=1&resourceVersion=%lld",
                   (long long)sim_kube_resource_version(t->kube));
    make(t, "b", "x");
    make(t, "c", "x");
    assert_true(sim_test_watch(t, target, NULL) != 0);
    assert_int_equal(t->nlines, 0);
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 2);
    assert_string_equal(sim_test_line(t, 0), "ADDED b");
    assert_string_equal(sim_test_line(t, 1), "ADDED c");
}

static void test_selectors_make_and_unmake_members(void **state) {
    struct sim_test *t = *state;
    make(t, "a", "x");
    make(t, "b", "y");
    assert_true(watch_now(t, "&labelSelector=l%3Dx") != 0);
    relabel(t, "a", "y"); /* stops to match */
    relabel(t, "b", "x"); /* begins to */
    relabel(t, "a", "z"); /* is nobody's business */
    make(t, "c", "y");
    assert_int_equal(sim_test_do(t, "DELETE", CM "/c", NULL, NULL), 200);
    assert_int_equal(sim_test_do(t, "DELETE", CM "/b", NULL, NULL), 200);
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 3);
    assert_string_equal(sim_test_line(t, 0), "DELETED a");
    assert_true(strstr(t->lines[0], "\"l\":\"x\"") != NULL); /* as it last matched */
    assert_string_equal(sim_test_line(t, 1), "ADDED b");
    assert_string_equal(sim_test_line(t, 2), "DELETED b");
}

static void test_field_selectors(void **state) {
    struct sim_test *t = *state;
    assert_true(watch_now(t, "&fieldSelector=metadata.name%3Db") != 0);
    make(t, "a", "x");
    make(t, "b", "x");
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 1);
    assert_string_equal(sim_test_line(t, 0), "ADDED b");
    assert_true(watch_now(t, "&fieldSelector=data.x%3Db") == 0);
    assert_int_equal(t->status, 400);
    assert_true(sim_test_watch(t, "/apis/cniiam.dev/v1alpha1/cniiambindings?watch=1&fieldSelector=spec.mode%3DPlan",
                               NULL) != 0);
    assert_true(sim_test_watch(t, "/apis/cniiam.dev/v1alpha1/cniiambindings?watch=1&fieldSelector=spec.suspend%3Dtrue",
                               NULL) == 0);
}

static void test_the_present_state_comes_first(void **state) {
    struct sim_test *t = *state;
    make(t, "b", "x");
    make(t, "a", "x");
    assert_true(sim_test_watch(t, CM "?watch=true&allowWatchBookmarks=true", NULL) != 0);
    make(t, "c", "x");
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 4);
    assert_string_equal(sim_test_line(t, 0), "ADDED a");
    assert_string_equal(sim_test_line(t, 1), "ADDED b");
    assert_string_equal(sim_test_line(t, 2), "ADDED c");
    assert_true(strstr(t->lines[3], "\"k8s.io/initial-events-end\":\"true\"") != NULL);
    sim_test_forget_lines(t);
    /* without bookmarks there is no end marker, ever */
    assert_true(sim_test_watch(t, CM "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", NULL) !=
                0);
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 3);
    assert_true(sim_test_watch(t, CM "?watch=true&sendInitialEvents=true", NULL) == 0);
    assert_int_equal(t->status, 422);
    assert_true(sim_test_watch(t, CM "?watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=1", NULL) == 0);
    assert_int_equal(t->status, 422);
}

static void test_bookmarks_and_the_end(void **state) {
    struct sim_test *t = *state;
    assert_true(watch_now(t, "&allowWatchBookmarks=true&timeoutSeconds=100") != 0);
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"s\"}}"),
                     201);
    sim_clock_advance(t->clock, 59999);
    assert_int_equal(t->nlines, 0);
    sim_clock_advance(t->clock, 1);
    assert_int_equal(t->nlines, 1);
    char rv[60];
    (void)snprintf(rv, sizeof rv, "\"resourceVersion\":\"%lld\"", (long long)sim_kube_resource_version(t->kube));
    assert_true(strstr(t->lines[0], rv) != NULL); /* newer than anything that it saw */
    assert_true(strstr(t->lines[0], "initial-events-end") == NULL);
    sim_clock_advance(t->clock, 38000);
    assert_int_equal(t->nlines, 2); /* and one before the end */
    assert_int_equal(t->nends, 0);
    sim_clock_advance(t->clock, 2000);
    assert_int_equal(t->nends, 1);
    assert_int_equal(t->nlines, 2);
    make(t, "a", "x");
    sim_clock_advance(t->clock, 100000);
    assert_int_equal(t->nlines, 2);
    assert_int_equal(t->nends, 1);
}

static void test_timeouts(void **state) {
    struct sim_test *t = *state;
    assert_true(watch_now(t, "&allowWatchBookmarks=true&timeoutSeconds=5") != 0);
    sim_clock_advance(t->clock, 4999);
    make(t, "a", "x");
    assert_int_equal(t->nends, 0);
    sim_clock_advance(t->clock, 1);
    assert_int_equal(t->nends, 1);
    assert_int_equal(t->nlines, 1); /* no bookmark in so short a watch */
    assert_string_equal(sim_test_line(t, 0), "ADDED a");
    assert_true(watch_now(t, "&timeoutSeconds=99999999999") != 0);
    assert_true(watch_now(t, "&timeoutSeconds=0") != 0);
    sim_clock_advance(t->clock, 1799 * 1000);
    assert_int_equal(t->nends, 1);
    sim_clock_advance(t->clock, 1801 * 1000);
    assert_int_equal(t->nends, 2);
}

static void test_a_compacted_version_is_expired(void **state) {
    struct sim_test *t = *state;
    make(t, "a", "x");
    char target[200];
    (void)snprintf(target, sizeof target, CM "?watch=1&resourceVersion=%lld",
                   (long long)sim_kube_resource_version(t->kube) - 1);
    assert_true(watch_now(t, "") != 0); /* an open one lives on */
    sim_kube_compact(t->kube);
    assert_true(sim_test_watch(t, target, NULL) != 0);
    assert_int_equal(t->status, 200);
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 1);
    assert_true(strstr(t->lines[0], "\"type\":\"ERROR\"") != NULL);
    assert_true(strstr(t->lines[0], "\"code\":410") != NULL);
    assert_true(strstr(t->lines[0], "\"reason\":\"Expired\"") != NULL);
    assert_int_equal(t->nends, 1);
    make(t, "b", "x");
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 2);
    assert_string_equal(sim_test_line(t, 1), "ADDED b");
    assert_true(watch_now(t, "") != 0);
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nends, 1);
}

/* The trap: no error, and what happens up to that version is never told. */
static void test_a_future_version_is_silent(void **state) {
    struct sim_test *t = *state;
    char target[200];
    (void)snprintf(target, sizeof target, CM "?watch=1&resourceVersion=%lld",
                   (long long)sim_kube_resource_version(t->kube) + 2);
    assert_true(sim_test_watch(t, target, NULL) != 0);
    make(t, "a", "x");
    make(t, "b", "x");
    make(t, "c", "x");
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 1);
    assert_string_equal(sim_test_line(t, 0), "ADDED c");
}

static void test_forms(void **state) {
    struct sim_test *t = *state;
    make(t, "a", "x");
    assert_true(sim_test_watch(t, CM "?watch=1",
                               "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json") != 0);
    sim_clock_advance(t->clock, 0);
    assert_true(strstr(t->lines[0], "\"kind\":\"PartialObjectMetadata\"") != NULL);
    sim_test_forget_lines(t);
    assert_true(sim_test_watch(t, CM "?watch=1", "application/json;as=Table;g=meta.k8s.io;v=v1,application/json") != 0);
    sim_clock_advance(t->clock, 0);
    assert_true(strstr(t->lines[0], "\"kind\":\"Table\"") != NULL);
    sim_test_forget_lines(t);
    /* the trap: the list's media type ends a watch at once, without a word */
    assert_true(sim_test_watch(t, CM "?watch=1", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1") !=
                0);
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nlines, 0);
    assert_int_equal(t->nends, 1);
}

static void test_refused_watches(void **state) {
    struct sim_test *t = *state;
    assert_true(sim_test_watch(t, CM "?watch=1&resourceVersion=abc", NULL) == 0);
    assert_int_equal(t->status, 500);
    assert_true(sim_test_watch(t, CM "?watch=1&labelSelector=((", NULL) == 0);
    assert_int_equal(t->status, 400);
    struct sim_http_request r = {.method = "GET", .path = CM "/a", .query = "watch=1", .body = ""};
    assert_false(sim_kube_is_watch(&r));
    r = (struct sim_http_request){.method = "GET", .path = CM, .query = "watch=false", .body = ""};
    assert_false(sim_kube_is_watch(&r));
    r = (struct sim_http_request){.method = "POST", .path = CM, .query = "watch=1", .body = ""};
    assert_false(sim_kube_is_watch(&r));
    r = (struct sim_http_request){.method = "GET", .path = "/api/v1/unicorns", .query = "watch=1", .body = ""};
    assert_false(sim_kube_is_watch(&r));
}

/* ---- sinks that close, write, and open ---- */

struct actor {
    struct sim_test *t;
    uint64_t ticket;
    int lines, ends;
};

static void close_at_once(void *arg, const char *line, size_t len) {
    struct actor *a = arg;
    (void)line, (void)len;
    a->lines++;
    make(a->t, a->lines == 1 ? "made-inside" : "never", "x");
    sim_kube_watch_close(a->t->kube, a->ticket);
}

static void count_end(void *arg) {
    ((struct actor *)arg)->ends++;
}

static void test_a_sink_may_close_its_watch(void **state) {
    struct sim_test *t = *state;
    struct actor a = {.t = t};
    struct sim_http_answer out;
    struct sim_http_request r = {.method = "GET", .path = CM, .query = "watch=1&timeoutSeconds=60", .body = ""};
    make(t, "a", "x");
    make(t, "b", "x");
    a.ticket = sim_kube_watch(t->kube, &r, (struct sim_watch_sink){&a, close_at_once, count_end}, &out);
    assert_true(a.ticket != 0);
    sim_clock_advance(t->clock, 100000);
    assert_int_equal(a.lines, 1);
    assert_int_equal(a.ends, 0);
    assert_non_null(sim_kube_get(t->kube, "configmaps", "default", "made-inside"));
    sim_kube_watch_close(t->kube, a.ticket); /* again, and one that never was */
    sim_kube_watch_close(t->kube, 4711);
}

static void test_a_deleted_crd_takes_its_objects_along(void **state) {
    struct sim_test *t = *state;
    const char *crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/cniiambindings.cniiam.dev";
    const char *path = "/apis/cniiam.dev/v1alpha1/cniiambindings";
    assert_int_equal(sim_test_post(t, path, "{\"metadata\":{\"name\":\"b\"},\"spec\":{}}"), 201);
    assert_true(sim_test_watch(t, "/apis/cniiam.dev/v1alpha1/cniiambindings?watch=1", NULL) != 0);
    sim_clock_advance(t->clock, 0);
    assert_int_equal(sim_test_get(t, crd), 200);
    char *text = strdup(t->text);
    assert_int_equal(sim_test_do(t, "DELETE", crd, NULL, NULL), 200);
    sim_clock_advance(t->clock, 0);
    assert_string_equal(sim_test_line(t, 1), "DELETED b");
    assert_int_equal(t->nends, 1);
    assert_int_equal(sim_test_get(t, path), 404);
    assert_string_equal(t->content_type, "text/plain; charset=utf-8");
    assert_true(sim_test_watch(t, "/apis/cniiam.dev/v1alpha1/cniiambindings?watch=1", NULL) == 0);
    assert_int_equal(t->status, 404);
    assert_int_equal(sim_test_post(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", text), 201);
    assert_int_equal(sim_test_get(t, path), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 0);
    free(text);
}

/* The ring of the history turns: what is not known any more is expired, and the present is right. */
static void test_history_has_a_maximum(void **state) {
    struct sim_test *t = *state;
    char label[32];
    make(t, "a", "first");
    int64_t begin = sim_kube_resource_version(t->kube);
    assert_true(watch_now(t, "") != 0); /* a slow reader */
    for (int i = 0; i < SIM_KUBE_HISTORY_MAX + 10; i++) {
        json *o = json_dup(sim_kube_get(t->kube, "configmaps", "default", "a"));
        (void)snprintf(label, sizeof label, "%d", i);
        json_add_str(json_add_object(o, "data"), "i", label);
        assert_true(sim_kube_update(t->kube, "configmaps", o));
    }
    char target[200];
    (void)snprintf(target, sizeof target, CM "?watch=1&resourceVersion=%lld", (long long)begin);
    assert_true(sim_test_watch(t, target, NULL) != 0);
    sim_clock_advance(t->clock, 0);
    assert_int_equal(t->nends, 2);
    assert_int_equal(t->nlines, 1); /* of the second: the first ends without a word */
    assert_true(strstr(t->lines[0], "\"code\":410") != NULL);
    assert_string_equal(json_str(sim_kube_get(t->kube, "configmaps", "default", "a"), "data.i"), label);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events_come_in_order_and_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_resources_and_namespaces_are_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_watch_resumes_from_its_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_selectors_make_and_unmake_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_field_selectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_present_state_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bookmarks_and_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_compacted_version_is_expired, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_future_version_is_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_watches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sink_may_close_its_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deleted_crd_takes_its_objects_along, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history_has_a_maximum, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
