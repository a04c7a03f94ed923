/*
 * support_sim_clock.h - a clock that stands still until a test moves it.
 *
 * Model: wall and boot time go together; timers fire in the order of their time, those of the same time in the order in
 * which they were started.   Bounds: SIM_CLOCK_TIMERS_MAX.
 */
#ifndef CNI_IAM_TESTS_SUPPORT_SIM_CLOCK_H
#define CNI_IAM_TESTS_SUPPORT_SIM_CLOCK_H

#include <stdint.h>

#include "platform/port/clock.h"

#define SIM_CLOCK_TIMERS_MAX 65536
#define SIM_CLOCK_BEGIN_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

struct sim_clock;
struct sim_clock *sim_clock_new(void);
void sim_clock_free(struct sim_clock *c);
struct clock sim_clock_port(struct sim_clock *c);
/* Fires what is due until then, timers that are started meanwhile included; 0: what is due now. */
void sim_clock_advance(struct sim_clock *c, int64_t ms);

#endif
