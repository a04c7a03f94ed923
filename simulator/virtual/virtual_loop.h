/*
 * virtual_loop.h - virtual time for a world in one process.
 *
 * Model: one clock and one heap of timers for operator and world alike. virtual_loop_step fires the next timer and moves
 * time to it; nothing else moves time, so a run is the same run whenever it is made. Between begin and end the loops of
 * platform/os/loop.h are on this machine; there are no descriptors in it.
 * Ownership: process-wide; virtual_loop_begin forgets all timers and starts time anew.   Errors: none.
 * Bounds: TIMER_HEAP_MAX timers.
 */
#ifndef CNI_IAM_VIRTUAL_VIRTUAL_LOOP_H
#define CNI_IAM_VIRTUAL_VIRTUAL_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/os/loop.h"

void virtual_loop_begin(void);
void virtual_loop_begin_at(int64_t wall_ms); /* the same, and the wall clock says this */
void virtual_loop_end(void);                 /* when every loop is freed: the real machine again */
struct clock virtual_clock(void);
int64_t virtual_now_ms(void); /* since the start */
/* Fires the next timer if it is due by until_ms; else time is until_ms and false is returned. */
bool virtual_loop_step(int64_t until_ms);

#endif
