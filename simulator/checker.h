/*
 * checker.h - the judge of a simulated world: invariants by what is so, never by what the operator thinks.
 *
 *   S1   a node whose aws-node pod was permitted has one that is not
 *   S2   a CNI policy came off a node role while a node with that role had no Ready pod with a working role of its own
 *   S5   a provider was deleted that some role trusts
 *   S9   the DaemonSet was restarted more than twice: once on the way there, once on the way back
 *
 * Model: asked after every write to Kubernetes or AWS, and every CHECKER_LOOK_MS for as long as IAM may still be changing
 * its mind. What others break is excused for as long as sim_checker_excuse says so.
 *
 * Ownership: sim_checker_new/_free (before the world).   Errors: none.   Bounds: CHECKER_VIOLATIONS_MAX sentences are kept.
 */
#ifndef CNI_IAM_SIMULATOR_CHECKER_H
#define CNI_IAM_SIMULATOR_CHECKER_H

#include "simulator/world.h"

#define CHECKER_LOOK_MS 250
#define CHECKER_VIOLATIONS_MAX 16

struct sim_checker;
struct sim_checker *sim_checker_new(struct sim_world *w);
void sim_checker_free(struct sim_checker *c);
/* From now on S1 and S2 are not judged (true), or are again, from what is then so (false). */
void sim_checker_excuse(struct sim_checker *c, bool excused);
int sim_checker_violations(const struct sim_checker *c);
const char *sim_checker_violation(const struct sim_checker *c, int i); /* "S1: …" */
int sim_checker_restarts(const struct sim_checker *c);

#endif
