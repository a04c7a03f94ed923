/*
 * driver.h - runs the pure core: observe, decide, report, act; one pass at a time (reconcilers/reconcile.h says the
 * contract).
 *
 *   IDLE -> collect -> DECIDE -> reads? -> READING -+
 *    ^                  ^  ^                        |
 *    |                  |  +------------------------+
 *    |                  +- status to write? -> WRITING_STATUS -> step? -> ACTING -+
 *    +--------------------------------------------------------------------------+
 *
 * Model: the queue gives a key; the pass freezes what the informers know (collect), asks the core, performs what it
 * asks for through the effector. A status is written before the step that it announces, only when it differs from what
 * the object holds (S13). Before a destructive step it is written by compare-and-swap, and before a destructive step in
 * AWS it is written in any case: that is what tells us that no later leader has written since (S6b). An AWS write is
 * journaled before it is sent, and its outcome afterwards.
 *
 * Before each write `may_write` is asked (S6a); after a no the binding is looked at again DRIVER_FENCED_MS later. After
 * a write of ours nothing is decided for that binding until the informers have seen it (K-I5).
 *
 * A write whose outcome is unknown, ours or that of an earlier leader, may still commit for as long as its signature is
 * good: for DRIVER_UNSETTLED_MS AWS is looked at every DRIVER_UNSETTLED_AUDIT_MS at least (S6c).
 *
 * A step that a server refused with a time to come back is not sent again before it, whatever news wake a pass earlier.
 *
 * Every status write names the version of the binding that it was decided from: what was recorded meanwhile is not
 * written over (S3).
 *
 * A status that the server refuses, for good or because the binding has moved on, must not keep the guard from giving
 * permissions back: a step of G8 that takes nothing away is then done all the same. Refused for good, and while a policy is
 * off a node role, so is every write to AWS and to the ServiceAccount that takes nothing away, for it may be the repair of
 * the role that all pods live on (L7).
 *
 * Ownership: driver_new/_free; the ports are borrowed.
 * Errors: failures go back into the core as last_error and into the log and the audit history; never lost.
 * Bounds: RECONCILE_ROUNDS_MAX rounds a pass, DRIVER_READS_UNDERWAY reads at once, DRIVER_BINDINGS_MAX bindings (others
 * wait and are logged).
 */
#ifndef CNI_IAM_CONTROLLER_DRIVER_H
#define CNI_IAM_CONTROLLER_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/work_queue.h"
#include "platform/port/clock.h"
#include "platform/port/effector.h"
#include "platform/port/store.h"
#include "reconcilers/reconcile.h"

#define DRIVER_BINDINGS_MAX 256
#define DRIVER_READS_UNDERWAY 32
#define DRIVER_READ_PATIENCE_MS 3000
#define DRIVER_PATIENCE_DOUBLINGS 3 /* in a row: at most 24 s, longer than a read may take */
#define DRIVER_NOT_READY_MS 100     /* our write was not seen yet; its event wakes us earlier */
#define DRIVER_FENCED_MS 250
#define DRIVER_RETRY_AFTER_MAX_MS 60000 /* however long a server asks: something else may have to go on (S1') */
#define DRIVER_REFUSED_MS 60000         /* a binding beyond DRIVER_BINDINGS_MAX */
#define DRIVER_UNSETTLED_MS (15 * 60 * 1000)
#define DRIVER_UNSETTLED_AUDIT_MS 30000

struct driver_options {
    struct effector effector;
    struct clock clock;
    const struct store *store; /* NULL: none */
    struct work_queue *queue;
    const struct operator_config *config;
    /* NULL: reconcile_decide */
    void (*decide)(const struct world *w, const struct progress *p, struct arena *a, struct decision *out);
    /* Fills the world's objects for the binding; false: it is gone. Held until release(hold). */
    bool (*collect)(void *arg, const char *name, struct arena *a, struct world *w, void **hold);
    void (*release)(void *arg, void *hold);
    /* Read-your-writes: after a write to `resource` with this resourceVersion; may this binding be decided on? */
    void (*wrote)(void *arg, const char *name, const char *resource, const char *rv);
    bool (*ready)(void *arg, const char *name);
    bool (*may_write)(void *arg); /* NULL: always */
    int64_t (*epoch)(void *arg);
    void (*event)(void *arg, const struct cib_binding *about, bool warning, const char *reason, const char *action,
                  const char *note);
    void *arg;
};

struct driver_stats {
    /* By their end: with a step, with nothing to do, failed, put off (not seen our write, no fresh lease, nudged). */
    uint64_t passes, acted, quiet, failed, put_off;
    uint64_t pass_ms; /* of finished passes */
    uint64_t steps, step_failures, status_writes, read_rounds, reads, stale_skips, fenced, violations;
    int64_t nodes_total, nodes_proven, uninjected, intents_open; /* of the binding decided last */
};

struct driver;
struct driver *driver_new(const struct driver_options *o); /* paused */
void driver_free(struct driver *d);                        /* cancels what is under way */
void driver_wake(struct driver *d);                        /* the queue has something, or we may work now */
/* Something changed: a pass that has waited DRIVER_READ_PATIENCE_MS for its reads begins anew, so that a slow AWS never
 * keeps the guard from a pod. */
void driver_nudge(struct driver *d);
/* Takes no new key and gives up reading; a write that is under way ends by itself: driver_idle says when. */
void driver_pause(struct driver *d);
bool driver_idle(const struct driver *d);
/* A write of an earlier run has no outcome: S6c, from now on. */
void driver_unsettled(struct driver *d);
void driver_stats(const struct driver *d, struct driver_stats *out);

#endif
