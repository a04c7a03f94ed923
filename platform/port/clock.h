/*
 * clock.h - port: what time it is, and timers.
 *
 * Model: two clocks. `wall_ms` is what goes into objects and signatures; `boot_ms` (CLOCK_BOOTTIME: counts suspend) is what every
 * wait, lease and age is measured with, so that a jump of the wall clock changes nothing (K-LE1).
 * Timers fire once, from the event loop. timer_start copies nothing; fire is called with arg at or after boot_ms + delay.
 */
#ifndef CNI_IAM_PORT_CLOCK_H
#define CNI_IAM_PORT_CLOCK_H

#include <stdint.h>

typedef void (*timer_fn)(void *arg);

struct clock {
    void *ctx;
    int64_t (*wall_ms)(void *ctx);
    int64_t (*boot_ms)(void *ctx);
    uint64_t (*timer_start)(void *ctx, int64_t delay_ms, timer_fn fire, void *arg); /* ticket, never 0 */
    void (*timer_stop)(void *ctx, uint64_t ticket); /* 0 and tickets that have fired are fine */
};

#endif
