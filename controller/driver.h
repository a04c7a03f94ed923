/*
 * driver.h - runs the pure core: observe, decide, report, act; one pass at a time (reconcilers/reconcile.h says the contract).
 *
 *   IDLE -> [collect] -> DECIDE -> reads? -> READING -> DECIDE ... -> status differs? -> WRITING_STATUS -> step? -> ACTING -> IDLE
 *
 * Model: the queue gives a key; the pass freezes what the informers know (collect), asks the core, performs what it asks for through the effector. A
 * status is written before the step it announces; before a destructive step it is written by compare-and-swap (S6b). An AWS write is journaled
 * before it is sent. After a write of ours nothing is decided for that binding until the informers have seen it (K-I5).
 * Before each write `may_write` is asked (S6a).
 *
 * Ownership: driver_new/_free; the ports are borrowed.   Errors: failures go back into the core as last_error and into the log; never lost.
 * Bounds: RECONCILE_ROUNDS_MAX rounds a pass, DRIVER_BINDINGS_MAX bindings remembered.
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
#define DRIVER_READ_PATIENCE_MS 3000
#define DRIVER_NOT_READY_MS 25 /* until the informers have seen our write */

struct driver_options {
    struct effector effector;
    struct clock clock;
    const struct store *store; /* NULL: none */
    struct work_queue *queue;
    const struct operator_config *config;
    void (*decide)(const struct world *w, const struct progress *p, struct arena *a, struct decision *out); /* NULL: reconcile_decide */
    /* Fills the world's objects for the binding; false: it is gone. Held until release(hold). */
    bool (*collect)(void *arg, const char *name, struct arena *a, struct world *w, void **hold);
    void (*release)(void *arg, void *hold);
    /* Read-your-writes: after a write to `resource` with this resulting resourceVersion; may this binding be decided on? */
    void (*wrote)(void *arg, const char *name, const char *resource, const char *rv);
    bool (*ready)(void *arg, const char *name);
    bool (*may_write)(void *arg);
    int64_t (*epoch)(void *arg);
    void (*event)(void *arg, const struct cib_binding *about, bool warning, const char *reason, const char *action, const char *note);
    void *arg;
};

struct driver_stats {
    uint64_t passes, steps, step_failures, status_writes, read_rounds, reads, stale_skips, rounds_exhausted;
    int64_t nodes_total, nodes_proven, uninjected, intents_open; /* of the binding decided last */
};

struct driver;
struct driver *driver_new(const struct driver_options *o);
void driver_free(struct driver *d); /* cancels what is under way */
void driver_wake(struct driver *d); /* the queue has something, or we may work now */
/* Something changed: a pass that has waited DRIVER_READ_PATIENCE_MS for its reads begins anew, so that a slow AWS never keeps the guard from a pod. */
void driver_nudge(struct driver *d);
void driver_pause(struct driver *d); /* takes no new key; calls idle once the pass under way is over */
bool driver_idle(const struct driver *d);
void driver_stats(const struct driver *d, struct driver_stats *out);

#endif
