/* test_virtual.c - the machine and the network of a simulated world, put in at run time and taken out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_moves_by_timers_alone),
        cmocka_unit_test(test_a_process_stands_still),
        cmocka_unit_test(test_requests_reach_the_world),
        cmocka_unit_test(test_the_real_machine_is_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
