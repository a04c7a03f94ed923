/*
 * world_load.h - a world made from a snapshot, instead of the one that world.h invents.
 *
 * Model: the cluster's objects and the account's entities as the snapshot has them, all of it enforced; then the same actors
 * as in every world. Pods are taken as they are: credentials decide at once who of them is Ready. IAM's lag begins with the
 * first change.
 *
 * Ownership: sim_world_load, then sim_world_free; the snapshot is lent for the call.
 * Errors: ERR_PARSE with file, line and what was expected, for what contradicts itself; then there is no world.
 * Bounds: those of world.h and aws.h.
 */
#ifndef CNI_IAM_SIMULATOR_WORLD_LOAD_H
#define CNI_IAM_SIMULATOR_WORLD_LOAD_H

#include "simulator/snapshot.h"
#include "simulator/world.h"

/* Of the options, nodes, ipv6 and foreign_consumer are the snapshot's to say. */
struct sim_world *sim_world_load(const struct sim_world_options *o, const struct snapshot *s, struct error *err);

#endif
