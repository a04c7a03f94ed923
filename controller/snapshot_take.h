/*
 * snapshot_take.h - the cluster and the account, read into a snapshot (simulator/snapshot.h).
 *
 * Model: reads alone, by the clients that the operator uses: the watched objects, the API server's issuer, the cluster as EKS has
 * it, and everything between a node and its permissions: instance, instance profile, role, policies; then back, to find other
 * users of these roles. What may not be read is said in "unknown" and taken for absent; what fails otherwise ends it.
 *
 * Ownership: the tree is the caller's (json_free).   Errors: the first read that failed, named.
 * Bounds: SNAPSHOT_ROLES_MAX roles, SNAPSHOT_POLICIES_MAX policies, SNAPSHOT_LIST_MAX objects of a kind.
 */
#ifndef CNI_IAM_CONTROLLER_SNAPSHOT_TAKE_H
#define CNI_IAM_CONTROLLER_SNAPSHOT_TAKE_H

#include "controller/connect.h"
#include "platform/base/buf.h"

#define SNAPSHOT_ROLES_MAX 64
#define SNAPSHOT_POLICIES_MAX 150

struct snapshot_request {
    const struct options *options;
    const json *binding; /* of a file, not applied yet; NULL: those of the cluster say what is read */
};
json *snapshot_take(struct connection *c, const struct snapshot_request *r, struct error *err);
/* Takes it and appends its text, read back and checked. */
bool snapshot_take_text(struct connection *c, const struct snapshot_request *r, struct buf *out, struct error *err);

#endif
