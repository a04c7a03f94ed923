/*
 * support_hasty_clock.h - a loop's clock on which waiting takes no time.
 *
 * Model: a timer fires at one of the loop's next turns whatever its delay is, and from then on boot_ms is that delay ahead of the loop's. What
 * a client does after its waits is done at once; only sockets are waited for. The wall clock is the loop's: peers check signatures by it.
 * For clients that wait for one thing at a time: timers fire in the order in which they were started.
 * Ownership: one for the process; the loop has to outlive what uses the clock.   Errors: none.
 * Bounds: HASTY_TIMERS_MAX timers at once; more ends the process.
 */
#ifndef CNI_IAM_TESTS_SUPPORT_HASTY_CLOCK_H
#define CNI_IAM_TESTS_SUPPORT_HASTY_CLOCK_H

#include "platform/os/loop.h"

#define HASTY_TIMERS_MAX 512

struct clock hasty_clock(struct loop *l); /* begins with nothing skipped */
int64_t hasty_clock_skipped_ms(void);     /* what was not waited for */

#endif
