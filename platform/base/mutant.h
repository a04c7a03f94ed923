/*
 * mutant.h - planted bugs, each with a name: does the bench find them?
 *
 * Model: MUTANT(name) marks the place of one bug that somebody could have made: `if (MUTANT(skip_soak) || soaked)`. It is
 * the constant false, and gone. In a build with CNI_IAM_MUTANTS (cmake --preset mutants, tests only) it is true while
 * mutant_on holds the name: cni-iam-bench --mutant NAME has to find a run that an oracle or a checker objects to.
 * bench/mutants.c lists them all, with the guards of reconcilers/guard_switch.h.
 *
 * Ownership: mutant_on is borrowed, and process-wide.   Errors, bounds: none.
 */
#ifndef CNI_IAM_BASE_MUTANT_H
#define CNI_IAM_BASE_MUTANT_H

#ifdef CNI_IAM_MUTANTS
#include <stdbool.h>

extern const char *mutant_on; /* NULL: none */
bool mutant_is_on(const char *name);
#define MUTANT(name) mutant_is_on(#name)
#else
#define MUTANT(name) false
#endif

#endif
