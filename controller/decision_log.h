/*
 * decision_log.h - what was known when an effect was performed: one log line, and the same as JSON for the audit
 * history.
 *
 * Model: the objects that a decision stood on are named by uid and resourceVersion; pods and nodes, which may be many,
 * by their number and a digest over "uid:resourceVersion" in the order given. Two decisions with equal inputs, progress
 * apart, have equal lines (reliability.md 2.12).
 * Ownership: everything is borrowed; the detail is in the arena.   Errors: none.   Bounds: log.h's for the line.
 */
#ifndef CNI_IAM_CONTROLLER_DECISION_LOG_H
#define CNI_IAM_CONTROLLER_DECISION_LOG_H

#include "reconcilers/reconcile.h"

struct decision_record {
    const struct world *world;
    const struct decision *decision;
    const struct step *step;
    const struct error *error; /* of the effect */
    const char *request_id;
    int64_t took_ms;
};

void decision_log(const struct decision_record *r, struct arena *a);
char *decision_detail(const struct decision_record *r, struct arena *a);

#endif
