/*
 * virtual_loop.h - virtual time for a world in one process.
 *
 * Model: one clock for operators and world alike. virtual_loop_step fires the next timer and moves time to it; nothing else
 * moves time, so a run is the same run whenever it is made. Timers belong to the world or to a process: to the one whose
 * timer fires, or that virtual_process named, when it asked its loop for a clock. A process that is paused (SIGSTOP, a
 * suspended machine) fires nothing; when it goes on, all that was due meanwhile, in its order. Between begin and end the loops of
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
struct clock virtual_clock(void);            /* the world's */

#define VIRTUAL_WORLD (-1)
#define VIRTUAL_PROCESSES_MAX 4
void virtual_process(int process); /* who is at work from now on, outside of timers; VIRTUAL_WORLD: nobody */
int virtual_process_at_work(void);
struct clock virtual_process_clock(int process);
void virtual_process_pause(int process, int64_t ms); /* from now on */
bool virtual_process_is_paused(int process);
/* Its machine's wall clock is so far ahead of the world's from now on (behind: negative); what it waits for takes as long. */
void virtual_process_set_wall(int process, int64_t ahead_ms);

int64_t virtual_now_ms(void); /* since the start */
/* Fires the next timer if it is due by until_ms; else time is until_ms and false is returned. */
bool virtual_loop_step(int64_t until_ms);

#endif
