/*
 * operator.h - the operator behind its ports: informers, driver, work queue, leader, Events, preflight.
 *
 *   operator_start -> kube-system's uid -> own pod (in a cluster) -> informers, lease -> synced and leading: the driver works
 *   operator_stop  -> nothing new is taken, the call under way ends (at most OPERATOR_STOP_MS), the lease is given back
 *
 * Model: everything between the command line and the ports. The controller command gives it real connections, the bench
 * simulated ones; there is no other difference.
 *
 * Ownership: operator_new/_free; options, connection and store are borrowed and must outlive it. operator_free cancels
 * what is under way and gives nothing back: as a crash would.
 * Errors: none are returned: what fails is tried again, and told in operator_report.
 * Bounds: those of its parts.
 */
#ifndef CNI_IAM_CONTROLLER_OPERATOR_H
#define CNI_IAM_CONTROLLER_OPERATOR_H

#include "controller/connect.h"
#include "controller/metrics.h"
#include "controller/options.h"
#include "platform/base/buf.h"
#include "platform/port/store.h"

#define OPERATOR_STOP_MS 5500 /* with LEADER_RELEASE_MS: below the 10 s of a clean end */
#define OPERATOR_LEASE_NAME "cni-iam"

struct operator_options {
    const struct options *options;
    struct connection *connection; /* its writes must ask operator_may_write */
    struct clock clock;
    struct store store;
    const char *identity;    /* in the lease */
    uint64_t seed;           /* of all jitter */
    void (*lost)(void *arg); /* the lease is lost: end at once, nothing may be written from here on */
    void *arg;
};

struct cni_operator;
struct cni_operator *operator_new(const struct operator_options *o);
void operator_free(struct cni_operator *op);
void operator_start(struct cni_operator *op);
/* `done` is called once, perhaps from inside. */
void operator_stop(struct cni_operator *op, void (*done)(void *arg), void *arg);
bool operator_may_write(const struct cni_operator *op); /* S6a; NULL: not made yet, no */

/* For readiness: a line for all that is missing; true if nothing is. */
bool operator_report(const struct cni_operator *op, struct buf *out);
bool operator_lease_is_fresh(const struct cni_operator *op); /* or not held */
bool operator_is_started(const struct cni_operator *op);     /* the API server was reached */
void operator_metrics(const struct cni_operator *op, struct metrics_sources *out);

#endif
