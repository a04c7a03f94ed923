/*
 * aws_load.h - the account of a snapshot. Private to world_load.c.
 * Ownership: the snapshot is lent.   Errors: as snapshot_refuse's; the account is then only to be freed.   Bounds: aws.h's.
 */
#ifndef CNI_IAM_SIMULATOR_AWS_LOAD_H
#define CNI_IAM_SIMULATOR_AWS_LOAD_H

#include "simulator/aws.h"
#include "simulator/snapshot.h"

/* Leaves the account without a lag: everything in it is enforced. */
bool aws_load(struct sim_aws *a, const struct snapshot *s, struct error *err);

#endif
