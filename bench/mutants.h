/*
 * mutants.h - planted bugs (platform/base/mutant.h), and whether the bench finds them: tests/mutants.
 *
 * Model: each has the scenario in which it is hunted first, without a fault or with one. Then: every other scenario, every
 * kind of fault at calls of its own one, MUTANTS_SEEDS_MAX seeds; until an oracle, a checker or a phase of a run objects, or the
 * process that makes the run ends. Each run is a process of its own. The run that killed is made once more without the
 * mutant and has to be clean: else the bench cries wolf.
 *
 * Ownership: static tables.   Errors: a mutant that survives, or a killing run that is not clean: status 1.
 * Bounds: MUTANTS_RUNS_MAX runs a mutant, MUTANTS_RUN_SECONDS of wall time a run.
 */
#ifndef CNI_IAM_BENCH_MUTANTS_H
#define CNI_IAM_BENCH_MUTANTS_H

#include "bench/run.h"

#define MUTANTS_SEEDS_MAX 20
#define MUTANTS_RUNS_MAX 200
#define MUTANTS_RUN_SECONDS 60

/* Scenarios of the mutants' own: the bench's and those with somebody else's hands in them. NULL: no such. */
const struct bench_options *mutant_scenario(const char *name);
const struct bench_options *mutant_scenario_at(size_t i); /* NULL: beyond the last */

int mutants_list(void); /* their names, one a line */
/* One row. "none": every scenario without any, has to be clean. seeds > 0: that many random worlds instead. */
int mutants_run(const char *name, int seeds);
int mutants_trace(const char *name, const char *scenario); /* one run, told */

#endif
