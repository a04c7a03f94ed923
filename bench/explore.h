/*
 * explore.h - every single fault, or every pair of faults, of one scenario.
 *
 * Model: the scenario runs once; at each of its calls that change something, and at some of its reads and events, it goes on
 * in a process of its own for each kind of fault, from there to the end, and for pairs that process does the same with the
 * writes that come after. So a second fault meets the calls that the first has led to, and what came before a fault is run
 * once for all of them. Processes come one after the other; which first faults a job takes, turns.h says.
 *
 * Ownership: the caller's.   Errors: a process that does not end as it should is a violation, told as the others are.
 * Bounds: EXPLORE_DEPTH_MAX faults a run.
 */
#ifndef CNI_IAM_BENCH_EXPLORE_H
#define CNI_IAM_BENCH_EXPLORE_H

#include "bench/run.h"
#include "bench/turns.h"

#define EXPLORE_DEPTH_MAX 2

enum explore_phase { EXPLORE_BOTH, EXPLORE_MIGRATION, EXPLORE_DELETION };

struct explore_options {
    const struct bench_options *scenario;
    int depth; /* 1: single faults; 2: pairs too, both in the migration, which is then the end, or both in the deletion */
    enum explore_phase phase;    /* of the first fault */
    bool kinds[NET_FAULT_KINDS]; /* which; of a read only those that need no look at what was before */
    int every[NET_COUNTERS];     /* n: at the first, the one n later, …; 1: at all */
    struct turns *turns;
    bool twice; /* each run again from its beginning, with its faults: it has to be the same one */
    void (*failed)(const struct bench_options *o, const struct bench_result *r);
};

struct explore_totals {
    long runs, violations;
};

/* Adds to *totals. */
void explore(const struct explore_options *o, struct explore_totals *totals);

#endif
