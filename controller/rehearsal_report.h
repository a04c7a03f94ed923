/*
 * rehearsal_report.h - what a rehearsal writes down while it runs, and the tree and text that come of it.
 *
 * Model: steps as the servers see them, gates as the binding's status tells them. Private to rehearsal*.c and cmd_rehearse.c.
 * Ownership: report_new/_free; the tree is the caller's.   Errors: none.   Bounds: REHEARSAL_STEPS_MAX.
 */
#ifndef CNI_IAM_CONTROLLER_REHEARSAL_REPORT_H
#define CNI_IAM_CONTROLLER_REHEARSAL_REPORT_H

#include "controller/rehearsal.h"
#include "platform/base/buf.h"
#include "simulator/checker.h"
#include "simulator/virtual/net.h"
#include "simulator/world_load.h"

#define REHEARSAL_WEBHOOK_LAG_MS 500
#define REHEARSAL_DELAY_MAX_MS 40
#define REHEARSAL_GATES 8

struct report {
    struct arena *arena;
    const struct rehearsal_request *r;
    json *assumptions, *steps, *approval;
    int64_t binding_writes;
    struct report_gate {
        const char *state, *evidence; /* NULL: not seen yet */
        int64_t at_ms;                /* of the last change of state */
    } gates[REHEARSAL_GATES];
};

struct report *report_new(const struct rehearsal_request *r);
void report_free(struct report *p);
void report_assume(struct report *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void report_request(struct report *p, struct sim_kube *k, bool to_aws, const struct sim_http_request *req);
void report_binding(struct report *p, const json *binding);
void report_approval(struct report *p, const char *digest, bool given);
json *report_end(struct report *p, const json *binding, const struct sim_checker *checker, bool there);

/* For people. */
void report_text(const json *tree, struct buf *out);

#endif
