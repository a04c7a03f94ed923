/*
 * turns.h - runs dealt out among processes: whoever is done takes the next that nobody has.
 *
 * Model: all processes go through the same list in the same order, and each asks at each item whether it is its own. One
 * counter in shared memory deals them out, so that a long run of one process holds up no other.
 *
 * Ownership: begun before the processes are forked; the page lives as long as they do.
 * Errors: ends the process where there is no memory to share.   Bounds: LONG_MAX items.
 */
#ifndef CNI_IAM_BENCH_TURNS_H
#define CNI_IAM_BENCH_TURNS_H

#include <stdatomic.h>
#include <stdbool.h>

struct turns {
    atomic_long *next; /* shared: the first item that is nobody's */
    long at, taken;    /* this process's: where in the list it is, and which item it will run; < 0: it has taken none */
};

void turns_begin(struct turns *t);
/* Goes on to the next item of the list: is it this process's? */
bool turns_mine(struct turns *t);

#endif
