/* test_virtual.c - the machine and the network of a simulated world, put in at run time and taken out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/base/str.h"
#include "platform/http/http.h"
#include "platform/os/loop.h"
#include "simulator/virtual/net.h"
#include "simulator/virtual/virtual_loop.h"
#include "simulator/world.h"

#define HOUR_MS (60 * 60 * 1000)

static int fired, answered, status;

static void fire(void *arg) {
    (void)arg;
    fired++;
}

static void on_answer(void *arg, const struct http_response *r) {
    (void)arg;
    answered++;
    status = r->status;
}

static void test_time_moves_by_timers_alone(void **state) {
    struct error err;
    (void)state;
    fired = 0;
    virtual_loop_begin();
    struct loop *l = loop_new(&err);
    struct clock k = loop_clock(l);
    int64_t start = k.boot_ms(k.ctx);
    k.timer_start(k.ctx, HOUR_MS, fire, NULL);
    loop_turn(l, HOUR_MS - 1);
    assert_int_equal(k.boot_ms(k.ctx) - start, HOUR_MS - 1);
    assert_int_equal(fired, 0);
    loop_turn(l, HOUR_MS);
    assert_int_equal(k.boot_ms(k.ctx) - start, HOUR_MS);
    assert_int_equal(fired, 1);
    assert_int_equal(loop_heartbeat_boot_ms(l), k.boot_ms(k.ctx));
    loop_free(l);
    virtual_loop_end();
}

static int order;

static void note_order(void *arg) {
    order = order * 10 + *(int *)arg;
}

/* A paused process fires nothing; afterwards what was due, in its order. The world goes on. */
static void test_a_process_stands_still(void **state) {
    struct error err;
    int one = 1, two = 2, three = 3;
    (void)state;
    order = 0;
    virtual_loop_begin();
    virtual_process(0);
    struct loop *l = loop_new(&err);
    struct clock k = loop_clock(l), w = virtual_clock();
    virtual_process(VIRTUAL_WORLD);
    k.timer_start(k.ctx, 20, note_order, &three);
    k.timer_start(k.ctx, 10, note_order, &two);
    w.timer_start(w.ctx, 30, note_order, &one);
    virtual_process_pause(0, 1000);
    while (virtual_loop_step(999))
        ;
    assert_int_equal(order, 1);
    assert_true(virtual_process_is_paused(0));
    while (virtual_loop_step(1000))
        ;
    assert_int_equal(order, 123);
    assert_false(virtual_process_is_paused(0));
    loop_free(l);
    virtual_loop_end();
}

static void test_requests_reach_the_world(void **state) {
    struct error err;
    (void)state;
    answered = status = 0;
    virtual_loop_begin();
    struct sim_world *w =
        sim_world_new(&(struct sim_world_options){.clock = virtual_clock(), .nodes = 1, .pod_start_ms = 1});
    net_begin(&(struct net_options){.kube = sim_world_kube(w), .aws = sim_world_aws(w), .delay_max_ms = 10});
    struct loop *l = loop_new(&err);
    struct http_client *c = http_client_new(l, &(struct http_client_options){0}, &err);
    assert_non_null(
        http_start(c, &(struct http_call){.method = "GET", .url = NET_KUBE "/api/v1/nodes"}, on_answer, NULL, &err));
    http_cancel(
        http_start(c, &(struct http_call){.method = "GET", .url = NET_KUBE "/api/v1/pods"}, on_answer, NULL, &err));
    for (int i = 0; i < 1000; i++)
        loop_turn(l, 1);
    assert_int_equal(answered, 1);
    assert_int_equal(status, 200);
    assert_int_equal(net_calls(), 2);
    assert_null(http_start(c, &(struct http_call){.method = "GET", .url = "https://elsewhere.example/"}, on_answer,
                           NULL, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    http_client_free(c);
    loop_free(l);
    sim_world_free(w);
    net_end();
    virtual_loop_end();
}

/* --- faults: what the server did, and what is heard of it --- */

#define ACCOUNT NET_KUBE "/api/v1/namespaces/kube-system/serviceaccounts/aws-node"

static struct sim_world *world;
static struct loop *loop;
static struct http_client *client;
static char heard[65536];

static void note_answer(void *arg, const struct http_response *r) {
    (void)arg;
    status = r->error.code ? -(int)r->error.code : r->status;
    (void)str_copy(heard, sizeof heard, r->body ? r->body : "");
}

static int crashes;

static void on_crash(void *arg, int process, enum net_fault_kind kind) {
    struct error err;
    (void)arg, (void)kind;
    crashes++;
    assert_int_equal(process, 0);
    http_client_free(client);
    virtual_process(0);
    client = http_client_new(loop, &(struct http_client_options){0}, &err);
    virtual_process(VIRTUAL_WORLD);
}

static int setup_world(void **state) {
    struct error err;
    (void)state;
    virtual_loop_begin();
    world = sim_world_new(&(struct sim_world_options){.clock = virtual_clock(), .nodes = 2, .pod_start_ms = 1});
    net_begin(&(struct net_options){
        .kube = sim_world_kube(world), .aws = sim_world_aws(world), .delay_max_ms = 10, .crash = on_crash});
    virtual_process(0);
    loop = loop_new(&err);
    client = http_client_new(loop, &(struct http_client_options){0}, &err);
    virtual_process(VIRTUAL_WORLD);
    return 0;
}

static int teardown_world(void **state) {
    (void)state;
    http_client_free(client);
    loop_free(loop);
    sim_world_free(world);
    net_end();
    virtual_loop_end();
    return 0;
}

static int ask(const struct http_call *call) {
    struct error err;
    status = 0;
    assert_non_null(http_start(client, call, note_answer, NULL, &err));
    for (int i = 0; i < 100; i++)
        loop_turn(loop, 1);
    return status;
}

static int annotate(const char *value) {
    char body[128];
    static const struct http_header headers[] = {{"Content-Type", "application/merge-patch+json", NULL}};
    (void)snprintf(body, sizeof body, "{\"metadata\":{\"annotations\":{\"x\":\"%s\"}}}", value);
    return ask(&(struct http_call){.method = "PATCH",
                                   .url = ACCOUNT,
                                   .headers = headers,
                                   .nheaders = 1,
                                   .body = body,
                                   .body_len = strlen(body),
                                   .changes_something = true});
}

static const char *annotation(void) {
    const json *sa = sim_kube_get(sim_world_kube(world), "serviceaccounts", "kube-system", "aws-node");
    return str_or(json_key_str(json_path(sa, "metadata.annotations"), "x"), "");
}

static void test_refused_or_done(void **state) {
    static const struct {
        enum net_fault_kind kind;
        int status;
        bool done;
    } cases[] = {{NET_CONFLICT, 409, false},        {NET_LIMITED, 429, false},
                 {NET_UNAVAILABLE, 503, false},     {NET_TIMEOUT_AFTER, 504, true},
                 {NET_LOST_AFTER, -ERR_LOST, true}, {NET_LOST_BEFORE, -ERR_LOST, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char value[8];
        (void)snprintf(value, sizeof value, "v%zu", i);
        net_add_fault(cases[i].kind, (int)i + 1, 0);
        assert_int_equal(annotate(value), cases[i].status);
        assert_int_equal(str_eq(annotation(), value), cases[i].done);
    }
    assert_int_equal(annotate("last"), 200);
    assert_int_equal(net_count(NET_COUNTS_WRITES), 7);
}

static void test_forbidden_for_a_while(void **state) {
    (void)state;
    net_add_fault(NET_FORBIDDEN, 1, 60);
    assert_int_equal(annotate("a"), 403);
    assert_int_equal(annotate("a"), 403);
    while (virtual_loop_step(61000))
        ;
    assert_int_equal(annotate("a"), 200);
}

static void test_a_paused_process_hears_later(void **state) {
    (void)state;
    net_add_fault(NET_PAUSE, 1, 60);
    assert_int_equal(annotate("a"), 0);
    assert_string_equal(annotation(), "a");
    while (virtual_loop_step(62000))
        ;
    assert_int_equal(status, 200);
}

static void test_a_wall_clock_jumps_and_waits_do_not(void **state) {
    struct clock own = virtual_process_clock(0), others = virtual_clock();
    int64_t before = own.wall_ms(own.ctx), booted = own.boot_ms(own.ctx), world_before = others.wall_ms(others.ctx);
    (void)state;
    net_add_fault(NET_CLOCK_BACK, 1, 600);
    net_add_fault(NET_CLOCK_AHEAD, 2, 60);
    assert_int_equal(annotate("a"), 200);
    int64_t passed = own.boot_ms(own.ctx) - booted;
    assert_true(passed < 1000);
    assert_int_equal(own.wall_ms(own.ctx), before + passed - 600000);
    assert_int_equal(others.wall_ms(others.ctx), world_before + passed);
    assert_int_equal(annotate("b"), 200);
    assert_int_equal(own.wall_ms(own.ctx), others.wall_ms(others.ctx) + 60000);
}

static void test_an_empty_list(void **state) {
    static const struct http_call list = {.method = "GET", .url = NET_KUBE "/api/v1/nodes"};
    (void)state;
    net_add_fault(NET_EMPTY_LIST, 2, 0);
    assert_int_equal(ask(&list), 200);
    assert_non_null(strstr(heard, "ip-10-0-0-10"));
    assert_int_equal(ask(&list), 200);
    assert_null(strstr(heard, "ip-10-0-0-10"));
    assert_non_null(strstr(heard, "\"items\":[]"));
}

/* The next process is told what was; a second list, and a read of one object, are of today. */
static void test_old_lists_after_a_crash(void **state) {
    static const struct http_call list = {.method = "GET",
                                          .url = NET_KUBE "/api/v1/namespaces/kube-system/serviceaccounts?limit=500"};
    (void)state;
    assert_int_equal(annotate("before"), 200);
    assert_int_equal(annotate("after"), 200);
    crashes = 0;
    net_add_fault(NET_STALE_LIST, 3, 1);
    (void)annotate("never");
    assert_int_equal(crashes, 1);
    assert_int_equal(ask(&list), 200);
    assert_non_null(strstr(heard, "before"));
    assert_int_equal(ask(&list), 200);
    assert_non_null(strstr(heard, "after"));
}

static bool on_event(void *arg, const char *p, size_t n) {
    (void)arg;
    (void)snprintf(heard, sizeof heard, "%.*s", (int)n, p); /* pieces of a stream have no end of their own */
    fired++;
    return true;
}

static void watch_with(enum net_fault_kind kind) {
    struct error err;
    fired = status = 0;
    assert_non_null(http_start(client,
                               &(struct http_call){.method = "GET",
                                                   .url = NET_KUBE "/api/v1/nodes?watch=true&resourceVersion=0",
                                                   .on_data = on_event},
                               note_answer, NULL, &err));
    net_add_fault(kind, net_count(NET_COUNTS_EVENTS) + 2, 0);
    for (int i = 0; i < 200; i++)
        loop_turn(loop, 1);
}

static void test_watches_end(void **state) {
    (void)state;
    watch_with(NET_WATCH_CUT);
    assert_int_equal(fired, 1);
    assert_int_equal(status, -ERR_LOST);
    watch_with(NET_WATCH_GONE);
    assert_int_equal(fired, 2);
    assert_int_equal(status, 200);
}

static void test_the_real_machine_is_back(void **state) {
    struct error err;
    (void)state;
    virtual_loop_begin();
    virtual_loop_end();
    struct loop *l = loop_new(&err);
    assert_non_null(l);
    assert_non_null(loop_lws(l));
    struct http_client *c = http_client_new(l, &(struct http_client_options){0}, &err);
    assert_non_null(c);
    assert_null(http_start(c, &(struct http_call){.method = "GET", .url = "ftp://example/"}, on_answer, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID); /* the world's network knows no schemes */
    http_client_free(c);
    loop_free(l);
}

#define WITH_WORLD(name) cmocka_unit_test_setup_teardown(name, setup_world, teardown_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_moves_by_timers_alone),
        cmocka_unit_test(test_a_process_stands_still),
        cmocka_unit_test(test_requests_reach_the_world),
        WITH_WORLD(test_refused_or_done),
        WITH_WORLD(test_forbidden_for_a_while),
        WITH_WORLD(test_a_paused_process_hears_later),
        WITH_WORLD(test_a_wall_clock_jumps_and_waits_do_not),
        WITH_WORLD(test_an_empty_list),
        WITH_WORLD(test_old_lists_after_a_crash),
        WITH_WORLD(test_watches_end),
        cmocka_unit_test(test_the_real_machine_is_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
