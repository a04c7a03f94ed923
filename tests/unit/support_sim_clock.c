/* support_sim_clock.c - see support_sim_clock.h. */
#include "support_sim_clock.h"

#include <stdlib.h>

#include "platform/base/error.h"

struct timer {
    uint64_t ticket; /* 0: free */
    int64_t at;
    timer_fn fire;
    void *arg;
};

struct sim_clock {
    int64_t now;
    uint64_t last_ticket;
    struct timer *timers;
    size_t n, cap;
};

struct sim_clock *sim_clock_new(void) {
    struct sim_clock *c = calloc(1, sizeof *c);
    if (c == NULL) {
        die("out of memory");
    }
    c->now = SIM_CLOCK_BEGIN_MS;
    return c;
}

void sim_clock_free(struct sim_clock *c) {
    free(c->timers);
    free(c);
}

static int64_t now_ms(void *ctx) {
    return ((struct sim_clock *)ctx)->now;
}

static struct timer *slot(struct sim_clock *c) {
    for (size_t i = 0; i < c->n; i++) {
        if (c->timers[i].ticket == 0) {
            return &c->timers[i];
        }
    }
    if (c->n == c->cap) {
        c->cap = c->cap == 0 ? 64 : c->cap * 2;
        c->timers = c->cap <= SIM_CLOCK_TIMERS_MAX ? realloc(c->timers, c->cap * sizeof c->timers[0]) : NULL;
        if (c->timers == NULL) {
            die("too many timers");
        }
    }
    return &c->timers[c->n++];
}

static uint64_t start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    struct sim_clock *c = ctx;
    struct timer *t = slot(c);
    *t = (struct timer){++c->last_ticket, c->now + delay_ms, fire, arg};
    return t->ticket;
}

static void stop(void *ctx, uint64_t ticket) {
    struct sim_clock *c = ctx;
    for (size_t i = 0; ticket != 0 && i < c->n; i++) {
        if (c->timers[i].ticket == ticket) {
            c->timers[i].ticket = 0;
        }
    }
}

struct clock sim_clock_port(struct sim_clock *c) {
    return (struct clock){c, now_ms, now_ms, start, stop};
}

static struct timer *next_due(struct sim_clock *c, int64_t until) {
    struct timer *best = NULL;
    for (size_t i = 0; i < c->n; i++) {
        struct timer *t = &c->timers[i];
        if (t->ticket != 0 && t->at <= until &&
            (best == NULL || t->at < best->at || (t->at == best->at && t->ticket < best->ticket))) {
            best = t;
        }
    }
    return best;
}

void sim_clock_advance(struct sim_clock *c, int64_t ms) {
    int64_t until = c->now + ms;
    for (struct timer *t = next_due(c, until); t != NULL; t = next_due(c, until)) {
        struct timer fired = *t;
        t->ticket = 0;
        c->now = fired.at > c->now ? fired.at : c->now;
        fired.fire(fired.arg);
    }
    c->now = until;
}
