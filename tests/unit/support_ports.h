/*
 * support_ports.h - an effector that is answered by hand and a clock that is moved by hand: the driver, the lease, the
 * queue and the Events without sockets.
 *
 * Model: every submit is kept, in order; the test answers the open ones. Timers fire while time is moved, in order.
 * Bounds: PORTS_CALLS_MAX calls and PORTS_TIMERS_MAX timers in a test.
 */
#ifndef TESTS_SUPPORT_PORTS_H
#define TESTS_SUPPORT_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/port/clock.h"
#include "platform/port/effector.h"

#define PORTS_CALLS_MAX 4096
#define PORTS_TIMERS_MAX 256

struct ports_call {
    uint64_t ticket;
    const struct effect *effect;
    json *body; /* parsed; NULL: none */
    effect_done_fn done;
    void *arg;
    bool open;
    int64_t at_boot_ms;
};

struct ports_timer {
    uint64_t ticket;
    int64_t at;
    timer_fn fire;
    void *arg;
};

struct ports {
    int64_t wall, boot;
    struct arena *arena;
    struct ports_call calls[PORTS_CALLS_MAX];
    int ncalls, cancelled;
    struct ports_timer timers[PORTS_TIMERS_MAX];
    int ntimers;
    uint64_t last_ticket;
};

void ports_init(struct ports *p);
void ports_done(struct ports *p);
struct clock ports_clock(struct ports *p);
struct effector ports_effector(struct ports *p);

/* Moves time, firing what is due on the way. 0 fires what is due now. */
void ports_advance(struct ports *p, int64_t ms);

int ports_open(const struct ports *p);            /* how many calls wait for an answer */
struct ports_call *ports_oldest(struct ports *p); /* the oldest of them; fails the test when there is none */
struct ports_call *ports_last(struct ports *p);   /* the call submitted last, open or not */
struct ports_call *ports_find(struct ports *p, enum effect_kind k); /* the oldest open one of this kind; NULL */
int ports_count(const struct ports *p, enum effect_kind k);         /* calls of this kind so far */
/* json_text NULL: no value. */
void ports_answer(struct ports *p, struct ports_call *c, const char *json_text);
void ports_fail(struct ports *p, struct ports_call *c, enum err_code code, const char *message);

#endif
