/* virtual_loop.c - the clock, the timers of the world and of each process, and the loop's machine. */
#include "simulator/virtual/virtual_loop.h"

#include <assert.h>
#include <string.h>

#include "platform/os/timer_heap.h"

#define WALL_AT_START_MS 1790000000000
#define BOOT_AT_START_MS 1000000

/* Index 0 is the world, which never stands still; process p is p + 1. */
struct owner {
    struct timer_heap timers;
    int64_t resumes_ms;
    int64_t wall_ahead_ms;
};

static struct {
    struct owner owners[VIRTUAL_PROCESSES_MAX + 1];
    int at_work;          /* index of the owner whose timer fires, or whom virtual_process names */
    uint64_t last_ticket; /* of all: what is due together fires in the order in which it was started */
    int64_t now_ms;       /* since the start */
    int64_t wall_at_start_ms;
} world;

static int64_t wall_ms(void *ctx) {
    return world.wall_at_start_ms + world.now_ms + ((const struct owner *)ctx)->wall_ahead_ms;
}

static int64_t boot_ms(void *ctx) {
    (void)ctx;
    return BOOT_AT_START_MS + world.now_ms;
}

static uint64_t timer_start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    struct timer_heap *h = &((struct owner *)ctx)->timers;
    h->last_ticket = world.last_ticket;
    world.last_ticket = timer_heap_add(h, world.now_ms + (delay_ms > 0 ? delay_ms : 0), fire, arg);
    return world.last_ticket;
}

static void timer_stop(void *ctx, uint64_t ticket) {
    timer_heap_remove(&((struct owner *)ctx)->timers, ticket);
}

static struct clock clock_of(int owner) {
    return (struct clock){.ctx = &world.owners[owner],
                          .wall_ms = wall_ms,
                          .boot_ms = boot_ms,
                          .timer_start = timer_start,
                          .timer_stop = timer_stop};
}

struct clock virtual_clock(void) {
    return clock_of(0);
}

/* --- processes --- */

struct clock virtual_process_clock(int process) {
    return clock_of(process + 1);
}

void virtual_process(int process) {
    assert(process >= VIRTUAL_WORLD && process < VIRTUAL_PROCESSES_MAX);
    world.at_work = process + 1;
}

int virtual_process_at_work(void) {
    return world.at_work - 1;
}

void virtual_process_pause(int process, int64_t ms) {
    assert(process >= 0 && process < VIRTUAL_PROCESSES_MAX);
    world.owners[process + 1].resumes_ms = world.now_ms + ms;
}

bool virtual_process_is_paused(int process) {
    return world.owners[process + 1].resumes_ms > world.now_ms;
}

void virtual_process_set_wall(int process, int64_t ahead_ms) {
    assert(process >= 0 && process < VIRTUAL_PROCESSES_MAX);
    world.owners[process + 1].wall_ahead_ms = ahead_ms;
}

/* --- the machine --- */

static struct clock clock_at_work(void) {
    return clock_of(world.at_work);
}

static void turn(int64_t max_wait_ms) {
    virtual_loop_step(world.now_ms + max_wait_ms);
}

static void forget(void) {
    for (int i = 0; i <= VIRTUAL_PROCESSES_MAX; i++)
        timer_heap_done(&world.owners[i].timers);
    memset(&world, 0, sizeof world);
}

void virtual_loop_begin_at(int64_t wall_ms) {
    static const struct loop_machine machine = {.clock = clock_at_work, .turn = turn};
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

/* --- steps --- */

static bool is_before(int64_t at_ms, const struct timer *t, int64_t best_ms, const struct timer *best) {
    return !best || at_ms < best_ms || (at_ms == best_ms && t->ticket < best->ticket);
}

/* A process that stands still fires nothing; when it goes on, all that was due meanwhile. */
static int next_owner(int64_t *at_ms) {
    const struct timer *best = NULL;
    int owner = -1;
    for (int i = 0; i <= VIRTUAL_PROCESSES_MAX; i++) {
        const struct timer *t = timer_heap_first(&world.owners[i].timers);
        int64_t at = t && t->at_ms < world.owners[i].resumes_ms ? world.owners[i].resumes_ms : (t ? t->at_ms : 0);
        if (!t || !is_before(at, t, *at_ms, best))
            continue;
        best = t;
        owner = i;
        *at_ms = at;
    }
    return owner;
}

bool virtual_loop_step(int64_t until_ms) {
    int64_t at_ms = 0;
    int owner = next_owner(&at_ms);
    if (owner < 0 || at_ms > until_ms) {
        if (world.now_ms < until_ms)
            world.now_ms = until_ms;
        return false;
    }
    struct timer due = timer_heap_take(&world.owners[owner].timers);
    if (at_ms > world.now_ms)
        world.now_ms = at_ms;
    int before = world.at_work;
    world.at_work = owner;
    due.fire(due.arg);
    world.at_work = before;
    return true;
}
