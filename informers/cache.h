/*
 * cache.h - what one informer knows: immutable objects by key, swapped as a whole on a list.
 *
 * Model: key -> object (uid, resourceVersion, decoded view). An object never changes after it was put in; whoever wants
 * to keep one takes a reference. The UID is the identity: the same key with another UID is a deletion and an addition
 * (K-I1). An object's resourceVersion never falls (K-W12, S12): older news are refused. A list is collected in a stage
 * beside the cache and becomes visible in one step (K-I2). `progress` is the newest resourceVersion up to which the
 * cache is known to be complete: of list, event or bookmark.
 *
 * Snapshots: cache_snapshot gives all views, sorted by key, as they are at this moment; it stays valid whatever comes
 * later, and the same one is given out again until something changes.
 *
 * Ownership: put calls take the view, also when they refuse it; free_view ends it with its last reference. Snapshots
 * are released by whoever took them. Errors: a refused put is CACHE_STALE; a full cache or stage CACHE_FULL.   Bounds:
 * max_objects, given at creation.
 */
#ifndef CNI_IAM_INFORMERS_CACHE_H
#define CNI_IAM_INFORMERS_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "informers/rv.h"
#include "informers/watch_event.h"
#include "platform/base/strmap.h"

enum cache_change {
    CACHE_STALE, /* older than what is known, or unknown to begin with: nothing happened */
    CACHE_FULL,  /* max_objects reached: refused */
    CACHE_ADDED,
    CACHE_UPDATED,
    CACHE_RECREATED, /* same key, other UID: the old one is gone (K-I1) */
    CACHE_DELETED
};

struct cached {
    const char *key, *uid, *resource_version;
    void *view;
};

struct cache;
struct cache *cache_new(size_t max_objects, void (*free_view)(void *view));
void cache_free(struct cache *c); /* snapshots that are still held survive it */

enum cache_change cache_upsert(struct cache *c, const struct object_identity *id, void *view);
enum cache_change cache_delete(struct cache *c, const struct object_identity *id);
const struct cached *cache_get(const struct cache *c, const char *key); /* borrowed until the next change */
size_t cache_count(const struct cache *c);
const char *cache_progress(const struct cache *c); /* "" before anything came */
void cache_set_progress(struct cache *c, const char *rv);

/* Stage: a list that is being collected. `text` (may be NULL) is the object as JSON, taken. */
struct cache_stage;
struct cache_stage *cache_stage_new(const struct cache *c);
void cache_stage_free(struct cache_stage *s); /* NULL is fine */
/* ADDED, STALE when the key was there already in an earlier page (the later one counts), or FULL. */
enum cache_change cache_stage_put(struct cache_stage *s, const struct object_identity *id, void *view, char *text);
/* Puts the object that the cache holds under this identity's key and UID, because the new one cannot be read. False:
 * none. */
bool cache_stage_keep(struct cache_stage *s, const struct object_identity *id);
size_t
cache_stage_regressed(const struct cache_stage *s); /* staged objects older than the cached ones of the same UID */
bool cache_stage_next(const struct cache_stage *s, size_t *it, const struct cached **object, const char **text);

/* The stage becomes the cache, at rv; the stage is freed. `changed` is called for each key that was added, updated,
 * recreated or deleted, after the swap. */
void cache_swap(struct cache *c, struct cache_stage *s, const char *rv, bool restored,
                void (*changed)(void *arg, const char *key, enum cache_change change), void *arg);

/* How many objects differ between the cache and a list taken at list_rv, where newer ones in the cache are no
 * difference. `deleted` holds the keys whose deletion was seen since the list was asked for. */
size_t cache_compare(const struct cache *c, const struct cache_stage *s, const char *list_rv,
                     const struct strmap *deleted);

struct cache_snapshot {
    const void *const *views;
    const struct cached *const *objects;
    size_t n;
};
const struct cache_snapshot *
cache_snapshot(struct cache *c); /* a reference: give it back with cache_snapshot_release */
void cache_snapshot_release(const struct cache_snapshot *s);

#endif
