/*
 * leader.h - leader election by a Lease, client-go's algorithm (kubernetes.md 8), with self-fencing (S6).
 *
 *   STANDBY --acquired--> LEADING --renew deadline passed, or another holder seen--> LOST (final: the process ends)
 *
 * Model: times in the record are never compared with a local clock; only changes of the record are timed, in boot time (K-LE1). A lease
 * can not fence AWS (K-LE2), so the holder fences itself: leader_may_write is false once a write that starts now could still be under way
 * when another process may have taken the lease. leaseTransitions is the epoch (K-LE5).
 *
 * Ownership: strings of the options are copied. leader_free stops without releasing; leader_release gives the lease back (bounded).
 * Errors: failing calls are retried until the deadlines decide.   Bounds: one call under way at a time.
 */
#ifndef CNI_IAM_CONTROLLER_LEADER_H
#define CNI_IAM_CONTROLLER_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/port/clock.h"
#include "platform/port/effector.h"

#define LEADER_WRITE_MAX_MS 5000  /* the longest a fenced write may take */
#define LEADER_MARGIN_MS 2000

struct leader_options {
    const char *ns, *name, *identity;
    int64_t lease_duration_ms, renew_deadline_ms, retry_period_ms;
    uint64_t seed;
    void (*started)(void *arg); /* now leading */
    void (*lost)(void *arg);    /* was leading and is not any more: stop writing at once */
    void *arg;
};

struct leader;
struct leader *leader_new(const struct leader_options *o, struct effector effector, struct clock clock);
void leader_free(struct leader *l);
void leader_start(struct leader *l);
bool leader_is_leading(const struct leader *l);
bool leader_may_write(const struct leader *l); /* S6a */
int64_t leader_epoch(const struct leader *l);
int64_t leader_renew_age_ms(const struct leader *l); /* since the last successful renewal was sent; -1: never */
const char *leader_holder(const struct leader *l);   /* as observed last; "" */
/* Gives the lease back, then calls done once (also when there is nothing to give back, or it fails within 5 s). */
void leader_release(struct leader *l, void (*done)(void *arg), void *arg);

#endif
