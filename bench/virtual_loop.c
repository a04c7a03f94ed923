/*
 * virtual_loop.c - platform/os/loop.h on virtual time: the seam at which the bench takes the place of the machine.
 *
 * One clock for everybody in the world. Time moves only in bench_step, to the next timer that is due, so a run is the
 * same run whenever it is made. There are no descriptors: whoever asks for one is wrong here.
 */
#include <stdlib.h>

#include "bench/virtual_loop.h"
#include "platform/os/timer_heap.h"

#define WALL_AT_START_MS 1790000000000
#define BOOT_AT_START_MS 1000000

struct loop {
    int unused;
};

static struct {
    struct timer_heap timers;
    int64_t now_ms; /* since the start */
} world;

static int64_t wall_ms(void *ctx) {
    (void)ctx;
    return WALL_AT_START_MS + world.now_ms;
}

static int64_t boot_ms(void *ctx) {
    (void)ctx;
    return BOOT_AT_START_MS + world.now_ms;
}

static uint64_t timer_start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    (void)ctx;
    return timer_heap_add(&world.timers, world.now_ms + (delay_ms > 0 ? delay_ms : 0), fire, arg);
}

static void timer_stop(void *ctx, uint64_t ticket) {
    (void)ctx;
    timer_heap_remove(&world.timers, ticket);
}

void virtual_loop_begin(void) {
    timer_heap_done(&world.timers);
    world.timers = (struct timer_heap){0};
    world.now_ms = 0;
}

struct clock virtual_clock(void) {
    return (struct clock){.wall_ms = wall_ms, .boot_ms = boot_ms, .timer_start = timer_start, .timer_stop = timer_stop};
}

int64_t virtual_now_ms(void) {
    return world.now_ms;
}

bool virtual_loop_step(int64_t until_ms) {
    const struct timer *first = timer_heap_first(&world.timers);
    if (!first || first->at_ms > until_ms) {
        if (world.now_ms < until_ms)
            world.now_ms = until_ms;
        return false;
    }
    struct timer due = timer_heap_take(&world.timers);
    if (due.at_ms > world.now_ms)
        world.now_ms = due.at_ms;
    due.fire(due.arg);
    return true;
}

/* --- loop.h --- */

struct loop *loop_new(struct error *err) {
    (void)err;
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        die("out of memory");
    return l;
}

void loop_free(struct loop *l) {
    free(l);
}

struct clock loop_clock(struct loop *l) {
    (void)l;
    return virtual_clock();
}

static void no_descriptors(const char *what) {
    die("%s: there are no descriptors in a simulated world", what);
}

void loop_run(struct loop *l) {
    (void)l;
    no_descriptors("loop_run");
}

void loop_stop(struct loop *l) {
    (void)l;
}

void loop_turn(struct loop *l, int64_t max_wait_ms) {
    (void)l;
    virtual_loop_step(world.now_ms + max_wait_ms);
}

struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned io, loop_fd_fn fn, void *arg) {
    (void)l, (void)fd, (void)io, (void)fn, (void)arg;
    no_descriptors("loop_fd_add");
    return NULL;
}

void loop_fd_set(struct loop_fd *w, unsigned io) {
    (void)w, (void)io;
}

void loop_fd_remove(struct loop_fd *w) {
    (void)w;
}

void loop_on_signal(struct loop *l, void (*fn)(void *arg, int signo), void *arg) {
    (void)l, (void)fn, (void)arg;
}

struct lws_context *loop_lws(struct loop *l) {
    (void)l;
    no_descriptors("loop_lws");
    return NULL;
}

int64_t loop_heartbeat_boot_ms(const struct loop *l) {
    (void)l;
    return boot_ms(NULL);
}
