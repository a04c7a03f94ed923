/*
 * informer.h - one resource, kept in memory and up to date: machine + watch source + cache.
 *
 * Model: the informer asks what the watch machine orders, decodes what comes, keeps it in a cache of typed views, and
 * tells `changed` which keys are worth another look. Reconcilers get keys, never events (K-I4), and read the cache.
 *
 *   informer_start -> [warm views, changed(key)...] -> first list, changed(key)... -> synced() -> changed(key)...
 *
 * `synced` comes after every `changed` of the first list has been called (K-I3); nothing may act before. Warm views are
 * there to be looked at while the first list is on its way; they are what an earlier process saw, and never synced.
 *
 * Read your writes (K-I5): after a write that this resource's informer will see, informer_wrote(reconcile key, RV of
 * the answer); informer_ready(reconcile key) is false until the cache has come to that RV. More than half of the events
 * arrive before the answer to the write that caused them: then it is ready at once. Results are never written into the
 * cache. An irreversible act needs a live read on top (K-I6).
 *
 * An object that cannot be decoded keeps its last readable state while it has the same UID and is counted; without
 * name, uid or resourceVersion the whole answer is refused: an object that we cannot name must not look like a deleted
 * one.
 *
 * Ownership: informer_new/_free; free closes what is under way, without callbacks. Source, clock and store are borrowed
 * and must outlive it; the strings of the config too. Snapshots outlive it.
 * Errors: none are returned: informer_error says what hurts now, and for how long.
 * Bounds: max_objects objects; INFORMER_GATES_MAX keys wait for their writes (beyond that a key counts as ready: the
 * gate saves work, correctness rests on live reads and preconditions); INFORMER_DELETED_MAX deletions beside an audit.
 */
#ifndef CNI_IAM_INFORMERS_INFORMER_H
#define CNI_IAM_INFORMERS_INFORMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "informers/cache.h"
#include "informers/watch_machine.h"
#include "platform/port/clock.h"
#include "platform/port/store.h"
#include "platform/port/watch_source.h"

#define INFORMER_OBJECTS_MAX 50000
#define INFORMER_GATES_MAX 4096
#define INFORMER_DELETED_MAX 50000

struct informer_config {
    struct watch_target target;
    void *(*decode)(const json *object, struct error *err); /* a typed view, NULL: unreadable */
    void (*free_view)(void *view);
    void (*changed)(void *arg, const char *key); /* may be called for a key that is gone */
    void (*synced)(void *arg);                   /* once; may be NULL */
    void *arg;
    const char *cluster; /* kube-system's uid: the store keeps snapshots under it; NULL: no snapshots */
    uint64_t seed;       /* jitter */
    size_t max_objects;  /* 0: INFORMER_OBJECTS_MAX */
};

struct informer;
struct informer *informer_new(const struct informer_config *config, struct watch_source source, struct clock clock,
                              const struct store *store); /* store NULL: none */
void informer_free(struct informer *inf);
void informer_start(struct informer *inf);

bool informer_synced(const struct informer *inf);
bool informer_absent(const struct informer *inf); /* the server has no such resource (a missing CRD); the cache stays */

/* All views, sorted by key; a reference. */
const struct cache_snapshot *informer_snapshot(struct informer *inf);
const void *informer_get(const struct informer *inf, const char *key); /* view, borrowed until the loop goes on; NULL */

void informer_wrote(struct informer *inf, const char *reconcile_key, const char *rv);
bool informer_ready(struct informer *inf, const char *reconcile_key);

struct informer_stats {
    struct watch_counters watch;
    enum watch_state state;
    size_t objects;
    int64_t undecodable;     /* objects that could not be read, ever */
    int64_t refused;         /* objects beyond max_objects */
    int64_t last_contact_ms; /* boot time of the last page or line; 0: never */
    const char *progress;    /* resourceVersion */
};
void informer_stats(const struct informer *inf, struct informer_stats *out);
/* The failure that stands, or NULL; *since_ms (boot time) is when it began. Any good page or line ends it. */
const struct error *informer_error(const struct informer *inf, int64_t *since_ms);

#endif
