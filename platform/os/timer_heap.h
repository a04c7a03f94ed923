/*
 * timer_heap.h - the timers of a loop in the order in which they fire. Pure: reads no clock.
 *
 * Model: a binary heap by (due time, ticket); tickets grow, so what is due at the same millisecond fires in the order
 * in which it was started. Ownership: timer_heap_done frees; arg is the caller's.   Errors: beyond the maximum or
 * without memory the process ends. Bounds: TIMER_HEAP_MAX timers. Starting and taking is O(log n); stopping looks
 * through all.
 */
#ifndef CNI_IAM_OS_TIMER_HEAP_H
#define CNI_IAM_OS_TIMER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/port/clock.h"

#define TIMER_HEAP_MAX ((size_t)65536)

struct timer {
    int64_t at_ms;
    uint64_t ticket;
    timer_fn fire;
    void *arg;
};

struct timer_heap {
    struct timer *v;
    size_t n, cap;
    uint64_t last_ticket;
};

void timer_heap_done(struct timer_heap *h);
uint64_t timer_heap_add(struct timer_heap *h, int64_t at_ms, timer_fn fire, void *arg); /* ticket, never 0 */
bool timer_heap_remove(struct timer_heap *h, uint64_t ticket);    /* false: fired, stopped, or never there */
const struct timer *timer_heap_first(const struct timer_heap *h); /* NULL when empty; valid until the next change */
struct timer timer_heap_take(struct timer_heap *h);               /* removes the first; there must be one */

#endif
