/*
 * watch_machine.h - LIST, WATCH, resume, relist: the rules of one resource's informer as a pure state machine.
 *
 * Model: (state, input) -> order. The machine performs nothing and reads no clock: every input carries the time, every
 * order says what to start or close, what to do to the cache, and when to come back at the latest.
 *
 *             start                 last page: REPLACE
 *   STOPPED ---------> LISTING ---------------------------> WATCHING <---+
 *                      |  ^  ^                               |  |  |     | clean end, lost, deadline (K-W6, K-T2)
 *        failed, older |  |  | 410, silent, diverged         |  |  +-----+
 *                      v  |  +-------------------------------+  |
 *                     WAITING <---------------------------------+  refused, short, garbage, 429, 5xx (K-W10)
 *
 * Which resourceVersion goes where:
 * - the first LIST asks for the most recent state (K-L2), a remembered RV notwithstanding: that RV is only a floor,
 * which the answer must reach. A WATCH is never opened at a remembered RV, only at one that a LIST of this process
 * gave: a watch at an RV from the future answers 200 and keeps silent, and loses what it should have told
 * (real-apiserver 0.1).
 * - a relist asks NotOlderThan the last RV, in one page (K-L3); after 410, or an RV from the future, the most recent.
 * - pages after the first carry the token only; the list's RV is that of its first page; an expired token restarts the
 *   list unpaged and the token in the 410 is never used (K-L5).
 * - a WATCH resumes at the newest RV that an event or a bookmark carried. Events at or before it are dropped; one
 *   *before* it means that the server went back in time: the stream is given up and the list asked again (K-W12, S12).
 * - a list older than the floor, or with objects older than known ones, is refused; after WATCH_REFUSALS_MAX refusals
 * in a row it is taken as the truth (etcd was restored from a backup), and the cache is told so.
 *
 * A stream that was opened is no proof that it works. What proves it: any line. A watch without a line for
 * WATCH_SILENCE_MS (bookmarks come every 60 s) is audited at once. The audit (K-W11, every 8 min +- 20 %, so that what
 * differs does so for 11 min at most: L5) lists the most recent state beside the running watch, waits until the watch has
 * reached that list's RV, and compares; a difference then is a divergence: counted, and the list asked again.
 *
 * Backoff (K-W10): 800 ms doubling to 30 s, times [1,2), not below Retry-After; reset after 2 min without one. A
 * resource that does not exist (404: an absent CRD, K-C7) is asked every 30 s; the last state stays, nothing is ever
 * deleted for an error.
 *
 * Invariants: in WATCHING `rv` is not empty; at most one list and one watch are under way; `floor` only falls when a
 * list was accepted after refusals.
 * Ownership: a value; an order's strings borrow from the machine until its next step.
 * Errors: inputs that no source may give in a state (a page while nothing lists) are ignored.
 * Bounds: WATCH_PAGES_MAX pages, WATCH_CONTINUE_MAX bytes of token.
 */
#ifndef CNI_IAM_INFORMERS_WATCH_MACHINE_H
#define CNI_IAM_INFORMERS_WATCH_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "informers/rv.h"
#include "informers/watch_event.h"
#include "platform/base/error.h"
#include "platform/base/random.h"
#include "platform/port/watch_source.h"

#define WATCH_PAGE_LIMIT 500
#define WATCH_PAGES_MAX 2000
#define WATCH_CONTINUE_MAX 8192
#define WATCH_TIMEOUT_MIN_S 300
#define WATCH_TIMEOUT_SPREAD_S 300
#define WATCH_DEADLINE_GRACE_MS 30000 /* K-T2 */
#define WATCH_LIST_DEADLINE_MS                                                                                         \
    90000                   /* beyond the client's own: a source that never answers must not end everything            \
                             */
#define WATCH_SHORT_MS 1000 /* a shorter watch backs off (K-W6) */
#define WATCH_SILENCE_MS 90000
#define WATCH_BACKOFF_BASE_MS 800
#define WATCH_BACKOFF_CAP_MS 30000
#define WATCH_BACKOFF_RESET_MS 120000
#define WATCH_RETRY_AFTER_MAX_MS 60000
#define WATCH_ABSENT_MS 30000
#define WATCH_FAILURES_MAX 3 /* watches that fail in a row before the list is asked again */
#define WATCH_REFUSALS_MAX 3
#define WATCH_AUDIT_MS 480000
#define WATCH_AUDIT_RETRY_MS 60000
#define WATCH_ALIGN_MS 90000

enum watch_state { WATCH_STOPPED, WATCH_LISTING, WATCH_WATCHING, WATCH_WAITING };

enum watch_input_kind {
    WATCH_STARTED,     /* once, first */
    WATCH_PAGE_CAME,   /* a page of the list or audit under way; the caller has staged its items */
    WATCH_LIST_FAILED, /* error */
    WATCH_OPENED,      /* headers came */
    WATCH_EVENT_CAME,  /* event */
    WATCH_ENDED,       /* error, NULL for a clean end; also for a line that was no event */
    WATCH_AUDITED,     /* the answer to `compare`: differences */
    WATCH_TICKED       /* the time that `wake_at_ms` named, or any other */
};

struct watch_input {
    enum watch_input_kind kind;
    int64_t now_ms; /* boot time */
    union {
        struct {
            const char *resource_version, *continue_token; /* NULL or "": absent, the end */
            size_t regressed;                              /* staged objects older than the cached ones, so far */
        } page;
        const struct error *error;
        const struct watch_event *event;
        size_t differences;
    } as;
};

enum watch_io { WATCH_IO_NONE, WATCH_IO_LIST, WATCH_IO_WATCH };

enum watch_cache_act {
    WATCH_CACHE_KEEP,
    WATCH_CACHE_REPLACE, /* the staged list becomes the cache, at `rv` */
    WATCH_CACHE_RESTORE, /* the same, and older objects are right: the server was restored from a backup */
    WATCH_CACHE_APPLY,   /* this event */
    WATCH_CACHE_PROGRESS /* nothing changed up to `rv` */
};

struct watch_order {
    bool close_list, close_watch; /* first: those under way end without callback */
    bool discard_stage;           /* what was staged belongs to no list any more */
    enum watch_cache_act cache;
    const char *rv;
    bool compare; /* then: compare the staged audit with the cache, and answer with WATCH_AUDITED */
    enum watch_io io;
    struct list_query list;
    struct watch_query watch;
    int64_t wake_at_ms; /* boot time; 0: nothing to wait for */
};

struct watch_counters {
    int64_t lists, watches, events, bookmarks, dropped, regressions, gone, backoffs, audits, divergences, unknown;
};

enum watch_audit { WATCH_AUDIT_NONE, WATCH_AUDIT_LISTING, WATCH_AUDIT_COMPARING, WATCH_AUDIT_ALIGNING };

struct watch_machine {
    enum watch_state state;
    struct prng prng;
    struct watch_counters counters;
    char rv[RV_MAX];    /* resume point: "" before the first list */
    char floor[RV_MAX]; /* newest collection RV known to have existed; "" none */
    bool absent;        /* the server says that there is no such resource */

    /* list under way, or to come after waiting */
    bool not_older; /* ask NotOlderThan the floor; else the most recent */
    bool unpaged;
    int pages;
    char list_rv[RV_MAX];
    char continue_token[WATCH_CONTINUE_MAX];
    int64_t list_deadline_ms;
    int refusals;

    /* watch under way */
    int timeout_seconds;
    int64_t watch_started_ms;
    int64_t lines; /* on this watch */
    int failures, gone_in_a_row;

    /* waiting */
    enum watch_io next;
    int64_t wait_until_ms;
    struct backoff backoff;
    int64_t backoff_ended_ms;

    /* audit beside the watch */
    enum watch_audit audit;
    int64_t audit_at_ms, audit_since_ms;
    char audit_rv[RV_MAX]; /* while listing: the floor when it was asked; then the list's */
    bool silence_checked;
};

/* remembered_rv: from a snapshot of an earlier process, or NULL. */
void watch_machine_init(struct watch_machine *m, uint64_t seed, const char *remembered_rv);
void watch_machine_step(struct watch_machine *m, const struct watch_input *in, struct watch_order *out);
/* True while pages that come belong to an audit: they are staged for comparison, not for replacing. */
bool watch_machine_auditing(const struct watch_machine *m);
const char *watch_state_name(enum watch_state s);

#endif
