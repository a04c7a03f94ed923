/*
 * rehearsal.h - the migration in a world made from a snapshot: the product's own operator, in memory, on virtual time.
 *
 * Model: the operator of operator.h with its real clients, as on the day; cluster, account, machine and network are simulated
 * (simulator/world_load.h, simulator/virtual). All waits are the binding's own. The report says every write in its order, when
 * each gate passed, who depends on each node role, and what would go wrong.
 *
 * Report, a tree: {"kind": "Rehearsal", "version": 1, "converges": bool, "binding", "takenAt", "tookMs", "assumptions": [text],
 * "steps": [{"atMs", "gate", "api": "aws"|"kubernetes", "call", "parameters": {name: text}}], "gates": [{"name", "condition",
 * "state", "atMs", "tookMs", "evidence"}], "approval": {"atMs", "digest", "given": bool}, "nodeRoles": [{"arn", "nodes": [text],
 * "others": [text], "findings": [text], "detaches": [text]}], "problems": [text]}.
 *
 * Ownership: the tree is the caller's (json_free). Nothing is written but a kubeconfig for the clients, in a directory of its own
 * that is gone when this returns.
 * Errors: NULL; ERR_PARSE for a snapshot that contradicts itself, ERR_INVALID for a binding that the API server would refuse.
 * Bounds: REHEARSAL_STEPS_MAX steps; the virtual time that the binding's own waits need, three times, and an hour.
 */
#ifndef CNI_IAM_CONTROLLER_REHEARSAL_H
#define CNI_IAM_CONTROLLER_REHEARSAL_H

#include "controller/options.h"
#include "platform/base/json.h"
#include "simulator/snapshot.h"

#define REHEARSAL_STEPS_MAX 20000

struct rehearsal_request {
    const struct options *options;
    const struct snapshot *snapshot;
    const json *binding; /* of a file; NULL: the one of the snapshot */
};
/* No loop and no client may be alive. The environment of the process loses its AWS variables. */
json *rehearsal_run(const struct rehearsal_request *r, struct error *err);

#endif
