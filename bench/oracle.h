/*
 * oracle.h - what every run has to keep besides what simulator/checker.h judges: by the calls that are made.
 *
 * Model: a tap on the network and listeners at the world. The first broken rule is kept as a sentence with the id of its
 * invariant (docs/architecture.md, section 4). Rules, by file:
 *
 *   oracle_gates.c   S2 (soak, foreign consumers), S3, S4, S5 (what belongs to others), S9 (one pod goes first, one at a time), S15
 *                    (finalizer first), S16, G3 (proofs before the annotation), S1' (attached again within 30 s)
 *   oracle_wire.c    S6 (lease, announcement), S8 (preconditions), S10 (secrets), S12 (lists and watches that go back),
 *                    L8 (the same call again and again), Retry-After
 *
 * Ownership: process-wide; oracle_begin starts anew. world NULL: nobody looks.   Errors: none.
 * Bounds: ORACLE_NAMES_MAX things are remembered by name; beyond that the process ends.
 */
#ifndef CNI_IAM_BENCH_ORACLE_H
#define CNI_IAM_BENCH_ORACLE_H

#include "bench/run.h"
#include "bench/state.h"
#include "simulator/virtual/net.h"

#define ORACLE_NAMES_MAX 512
#define ORACLE_SECRET "canary-2f9b1c77d1e0" /* our AWS secret key and our API token: nobody may read it anywhere */

void oracle_begin(struct sim_world *world, const struct bench_options *o, const struct bench_state *state);
void oracle_tap(void *arg, const struct net_call *c);
void oracle_keep(const char *words); /* from now on, instead of the scenario's own; lasts as long as the run */
void oracle_end(void);               /* what only shows in the end: the state file */
const char *oracle_violation(void);  /* "S8: …"; NULL: none */

#endif
