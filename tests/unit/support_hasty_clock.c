#include "support_hasty_clock.h"

#include <stdlib.h>
#include <string.h>

struct hasty_timer {
    uint64_t ticket; /* the loop's; 0: free */
    int64_t delay_ms;
    timer_fn fire;
    void *arg;
};

static struct clock real;
static struct hasty_timer timers[HASTY_TIMERS_MAX];
static int64_t skipped_ms;

static int64_t wall_ms(void *ctx) {
    (void)ctx;
    return real.wall_ms(real.ctx);
}

static int64_t boot_ms(void *ctx) {
    (void)ctx;
    return real.boot_ms(real.ctx) + skipped_ms;
}

static void on_timer(void *arg) {
    struct hasty_timer *t = arg, fired = *t;
    t->ticket = 0;
    skipped_ms += fired.delay_ms;
    fired.fire(fired.arg);
}

static uint64_t timer_start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    (void)ctx;
    for (size_t i = 0; i < HASTY_TIMERS_MAX; i++) {
        struct hasty_timer *t = &timers[i];
        if (t->ticket)
            continue;
        *t = (struct hasty_timer){.delay_ms = delay_ms, .fire = fire, .arg = arg};
        t->ticket = real.timer_start(real.ctx, 0, on_timer, t);
        return t->ticket;
    }
    abort();
}

static void timer_stop(void *ctx, uint64_t ticket) {
    (void)ctx;
    for (size_t i = 0; ticket && i < HASTY_TIMERS_MAX; i++) {
        if (timers[i].ticket != ticket)
            continue;
        real.timer_stop(real.ctx, ticket);
        timers[i].ticket = 0;
    }
}

struct clock hasty_clock(struct loop *l) {
    real = loop_clock(l);
    memset(timers, 0, sizeof timers);
    skipped_ms = 0;
    return (struct clock){.wall_ms = wall_ms, .boot_ms = boot_ms, .timer_start = timer_start, .timer_stop = timer_stop};
}

int64_t hasty_clock_skipped_ms(void) {
    return skipped_ms;
}
