/* virtual_loop.c - the clock, the timers and the loop's machine. */
#include "simulator/virtual/virtual_loop.h"
#include "platform/os/timer_heap.h"

#define WALL_AT_START_MS 1790000000000
#define BOOT_AT_START_MS 1000000

static struct {
    struct timer_heap timers;
    int64_t now_ms; /* since the start */
    int64_t wall_at_start_ms;
} world;

static int64_t wall_ms(void *ctx) {
    (void)ctx;
    return world.wall_at_start_ms + world.now_ms;
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

struct clock virtual_clock(void) {
    return (struct clock){.wall_ms = wall_ms, .boot_ms = boot_ms, .timer_start = timer_start, .timer_stop = timer_stop};
}

static void turn(int64_t max_wait_ms) {
    virtual_loop_step(world.now_ms + max_wait_ms);
}

static void forget(void) {
    timer_heap_done(&world.timers);
    world.timers = (struct timer_heap){0};
    world.now_ms = 0;
}

void virtual_loop_begin_at(int64_t wall_ms) {
    static const struct loop_machine machine = {.clock = virtual_clock, .turn = turn};
    forget();
    world.wall_at_start_ms = wall_ms;
    loop_use(&machine);
}

void virtual_loop_begin(void) {
    virtual_loop_begin_at(WALL_AT_START_MS);
}

void virtual_loop_end(void) {
    forget();
    loop_use(NULL);
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
