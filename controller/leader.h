/*
 * leader.h - leader election by a Lease: client-go's algorithm (kubernetes.md 8) with self-fencing (S6).
 *
 *   STANDBY --acquired--> LEADING --not renewed within the renew deadline, or somebody else holds it--> LOST
 *      |                     |
 *      +-----release---------+--> LEAVING --given back, nothing to give back, or LEADER_RELEASE_MS gone--> LOST
 *
 * Model: times in the record are never compared with a local clock; only changes of the raw record are timed, in boot
 * time (K-LE1). While leading, the lease is renewed with the cached version and no GET (the fast path); after any
 * failure it is read again first. leaseTransitions is the epoch (K-LE5): it grows with each change of the holder and
 * stays for as long as this process leads, unless leader_raise_epoch asks for more.
 *
 * A lease can not fence AWS (K-LE2), so the holder fences itself: leader_may_write is true only within
 * leader_write_window_ms of the *sending* of the last successful renewal. A write that starts then ends before the
 * renew deadline even if it takes LEADER_WRITE_MAX_MS; the time from there to the end of the lease is what clocks may
 * differ in rate (S6a).
 *
 * LOST is final: `lost` is called at once, the process cancels what is under way and ends.
 *
 * Ownership: the options' strings are copied; ports are borrowed. leader_free cancels without releasing.
 * Errors: none are returned: a failing call is tried again until the deadlines decide.
 * Bounds: one call under way at a time; its deadline is the effector's (5 s for leases).
 */
#ifndef CNI_IAM_CONTROLLER_LEADER_H
#define CNI_IAM_CONTROLLER_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/port/clock.h"
#include "platform/port/effector.h"

#define LEADER_WRITE_MAX_MS 5000 /* the longest a fenced write may take */
#define LEADER_MARGIN_MS 2000
#define LEADER_RELEASE_MS 3000
#define LEADER_JITTER 1.2 /* of the retry period, while waiting for the lease */

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
/* Renew deadline less the longest write less a margin; both shrink with a short deadline. */
int64_t leader_write_window_ms(const struct leader_options *o);

int64_t leader_epoch(const struct leader *l);
/* The next renewal takes leaseTransitions to at least `epoch`. For a Lease that was deleted and counts from 0 again:
 * only who still holds it can do this, so nobody overtakes a later leader. */
void leader_raise_epoch(struct leader *l, int64_t epoch);

int64_t leader_renew_age_ms(const struct leader *l); /* since the last successful renewal was sent; -1: never */
const char *leader_holder(const struct leader *l);   /* as observed last; "" */

/* Gives the lease back. `done` is called once, perhaps from inside, also when there is nothing to give back or it does
 * not succeed in time. */
void leader_release(struct leader *l, void (*done)(void *arg), void *arg);

#endif
