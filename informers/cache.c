#include "informers/cache.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/error.h"
#include "platform/base/str.h"

/* One object, shared by the cache, stages and snapshots. */
struct object {
    struct cached pub;
    size_t refs;
    void (*free_view)(void *view);
    char text[]; /* key, uid, resourceVersion */
};

struct staged {
    struct object *object;
    char *json;
};

struct snapshot {
    struct cache_snapshot pub; /* first: the public pointer is this one */
    size_t refs;
    struct object **objects;
    const void **views;
};

struct cache {
    struct strmap *objects;
    size_t max;
    void (*free_view)(void *view);
    char progress[RV_MAX];
    struct snapshot *latest; /* NULL after a change */
};

struct cache_stage {
    const struct cache *cache;
    struct strmap *entries;
    size_t regressed;
};

static void *checked(void *p) {
    if (p == NULL) {
        die("out of memory: a cache");
    }
    return p;
}

static struct object *object_new(const struct object_identity *id, void *view, void (*free_view)(void *view)) {
    size_t key = strlen(id->key) + 1;
    size_t uid = strlen(id->uid) + 1;
    size_t rv = strlen(id->resource_version) + 1;
    struct object *o = checked(malloc(sizeof *o + key + uid + rv));

    o->pub.key = memcpy(o->text, id->key, key);
    o->pub.uid = memcpy(o->text + key, id->uid, uid);
    o->pub.resource_version = memcpy(o->text + key + uid, id->resource_version, rv);
    o->pub.view = view;
    o->refs = 1;
    o->free_view = free_view;
    return o;
}

static void object_unref(struct object *o) {
    assert(o->refs > 0);
    o->refs--;
    if (o->refs == 0) {
        if (o->free_view != NULL && o->pub.view != NULL) {
            o->free_view(o->pub.view);
        }
        free(o);
    }
}

static void drop_object(void *o) {
    object_unref(o);
}

static void drop_staged(void *value) {
    struct staged *s = value;
    if (s->object != NULL) {
        object_unref(s->object);
    }
    free(s->json);
    free(s);
}

struct cache *cache_new(size_t max_objects, void (*free_view)(void *view)) {
    struct cache *c = checked(calloc(1, sizeof *c));
    c->objects = strmap_new(max_objects, drop_object);
    c->max = max_objects;
    c->free_view = free_view;
    return c;
}

static void forget_snapshot(struct cache *c) {
    if (c->latest != NULL) {
        cache_snapshot_release(&c->latest->pub);
        c->latest = NULL;
    }
}

void cache_free(struct cache *c) {
    if (c != NULL) {
        forget_snapshot(c);
        strmap_free(c->objects);
        free(c);
    }
}

static struct object *find(const struct cache *c, const char *key) {
    return strmap_get(c->objects, key);
}

const struct cached *cache_get(const struct cache *c, const char *key) {
    const struct object *o = find(c, key);
    return o != NULL ? &o->pub : NULL;
}

size_t cache_count(const struct cache *c) {
    return strmap_count(c->objects);
}

const char *cache_progress(const struct cache *c) {
    return c->progress;
}

void cache_set_progress(struct cache *c, const char *rv) {
    rv_advance(c->progress, rv);
}

static void drop_view(const struct cache *c, void *view) {
    if (c->free_view != NULL && view != NULL) {
        c->free_view(view);
    }
}

/* News at or before what is known; opaque versions are news unless they are equal (K-W12). */
static bool is_old_news(const struct object *known, const char *rv) {
    return rv_reached(known->pub.resource_version, rv);
}

enum cache_change cache_upsert(struct cache *c, const struct object_identity *id, void *view) {
    const struct object *known = find(c, id->key);
    enum cache_change change = CACHE_ADDED;

    if (known != NULL) {
        change = str_eq(known->pub.uid, id->uid) ? CACHE_UPDATED : CACHE_RECREATED;
        if (is_old_news(known, id->resource_version)) {
            drop_view(c, view);
            return CACHE_STALE;
        }
    }
    struct object *o = object_new(id, view, c->free_view);
    if (!strmap_set(c->objects, id->key, o)) {
        object_unref(o);
        return CACHE_FULL;
    }
    forget_snapshot(c);
    return change;
}

enum cache_change cache_delete(struct cache *c, const struct object_identity *id) {
    const struct object *known = find(c, id->key);

    /* Another UID: the news is about an earlier object of that name, which is gone already. */
    if (known == NULL || !str_eq(known->pub.uid, id->uid) ||
        rv_older(id->resource_version, known->pub.resource_version)) {
        return CACHE_STALE;
    }
    (void)strmap_remove(c->objects, id->key);
    forget_snapshot(c);
    return CACHE_DELETED;
}

struct cache_stage *cache_stage_new(const struct cache *c) {
    struct cache_stage *s = checked(calloc(1, sizeof *s));
    s->cache = c;
    s->entries = strmap_new(c->max, drop_staged);
    return s;
}

void cache_stage_free(struct cache_stage *s) {
    if (s != NULL) {
        strmap_free(s->entries);
        free(s);
    }
}

static enum cache_change stage_object(struct cache_stage *s, struct object *o, char *text) {
    struct staged *entry = checked(calloc(1, sizeof *entry));
    bool again = strmap_get(s->entries, o->pub.key) != NULL;

    entry->object = o;
    entry->json = text;
    if (!strmap_set(s->entries, o->pub.key, entry)) {
        drop_staged(entry);
        return CACHE_FULL;
    }
    return again ? CACHE_STALE : CACHE_ADDED;
}

enum cache_change cache_stage_put(struct cache_stage *s, const struct object_identity *id, void *view, char *text) {
    const struct object *known = find(s->cache, id->key);

    if (known != NULL && str_eq(known->pub.uid, id->uid) &&
        rv_older(id->resource_version, known->pub.resource_version)) {
        s->regressed++;
    }
    return stage_object(s, object_new(id, view, s->cache->free_view), text);
}

bool cache_stage_keep(struct cache_stage *s, const struct object_identity *id) {
    struct object *known = find(s->cache, id->key);

    if (known == NULL || !str_eq(known->pub.uid, id->uid)) {
        return false;
    }
    known->refs++;
    return stage_object(s, known, NULL) != CACHE_FULL;
}

size_t cache_stage_regressed(const struct cache_stage *s) {
    return s->regressed;
}

bool cache_stage_next(const struct cache_stage *s, size_t *it, const struct cached **object, const char **text) {
    const char *key;
    void *value;

    if (!strmap_next(s->entries, it, &key, &value)) {
        return false;
    }
    const struct staged *entry = value;
    *object = &entry->object->pub;
    *text = entry->json;
    return true;
}

static enum cache_change change_of(const struct object *before, const struct object *now) {
    if (before == NULL) {
        return CACHE_ADDED;
    }
    if (!str_eq(before->pub.uid, now->pub.uid)) {
        return CACHE_RECREATED;
    }
    bool same = str_eq(before->pub.resource_version, now->pub.resource_version);
    return same ? CACHE_STALE : CACHE_UPDATED;
}

typedef void (*changed_fn)(void *arg, const char *key, enum cache_change change);

/* Tells what differs between two maps of objects; both stay as they are meanwhile. */
static void report(const struct strmap *before, const struct strmap *now, changed_fn changed, void *arg) {
    const char *key;
    void *value;

    for (size_t it = 0; strmap_next(now, &it, &key, &value);) {
        enum cache_change change = change_of(strmap_get(before, key), value);
        if (change != CACHE_STALE) {
            changed(arg, key, change);
        }
    }
    for (size_t it = 0; strmap_next(before, &it, &key, &value);) {
        if (strmap_get(now, key) == NULL) {
            changed(arg, key, CACHE_DELETED);
        }
    }
}

void cache_swap(struct cache *c, struct cache_stage *s, const char *rv, bool restored, changed_fn changed, void *arg) {
    struct strmap *fresh = strmap_new(c->max, drop_object);
    struct strmap *before = c->objects;
    const char *key;
    void *value;

    for (size_t it = 0; strmap_next(s->entries, &it, &key, &value);) {
        struct staged *entry = value;
        struct object *o = entry->object;
        entry->object = NULL; /* its reference goes to the cache */
        if (!strmap_set(fresh, key, o)) {
            die("a stage holds more than its cache may"); /* both have the same maximum */
        }
    }
    c->objects = fresh;
    forget_snapshot(c);
    if (restored) {
        c->progress[0] = '\0';
    }
    cache_set_progress(c, rv);
    if (changed != NULL) {
        report(before, fresh, changed, arg);
    }
    strmap_free(before);
    cache_stage_free(s);
}

static bool differs(const struct cached *known, const struct cached *listed, const char *list_rv) {
    if (str_eq(known->uid, listed->uid)) {
        return !rv_reached(known->resource_version, listed->resource_version);
    }
    return !rv_older(list_rv, known->resource_version); /* a newer incarnation is no difference */
}

size_t cache_compare(const struct cache *c, const struct cache_stage *s, const char *list_rv,
                     const struct strmap *deleted) {
    size_t differences = 0;
    const struct cached *listed;
    const char *key;
    void *value;

    for (size_t it = 0; cache_stage_next(s, &it, &listed, &key);) {
        const struct cached *known = cache_get(c, listed->key);
        bool gone = known == NULL && strmap_get(deleted, listed->key) == NULL;
        differences += gone || (known != NULL && differs(known, listed, list_rv)) ? 1 : 0;
    }
    for (size_t it = 0; strmap_next(c->objects, &it, &key, &value);) {
        const struct object *known = value;
        bool missing = strmap_get(s->entries, key) == NULL;
        differences += missing && !rv_older(list_rv, known->pub.resource_version) ? 1 : 0;
    }
    return differences;
}

static int by_key(const void *a, const void *b) {
    const struct object *const *x = a;
    const struct object *const *y = b;
    return strcmp((*x)->pub.key, (*y)->pub.key);
}

static struct snapshot *snapshot_new(const struct cache *c) {
    struct snapshot *s = checked(calloc(1, sizeof *s));
    const char *key;
    void *value;
    size_t n = cache_count(c);

    s->objects = checked(calloc(n + 1, sizeof(void *)));
    s->views = checked(calloc(n + 1, sizeof(void *)));
    size_t i = 0;
    for (size_t it = 0; strmap_next(c->objects, &it, &key, &value);) {
        s->objects[i] = value;
        s->objects[i++]->refs++;
    }
    qsort(s->objects, n, sizeof(void *), by_key);
    for (i = 0; i < n; i++) {
        s->views[i] = s->objects[i]->pub.view;
    }
    s->refs = 1;
    s->pub.n = n;
    s->pub.views = s->views;
    s->pub.objects = (const struct cached *const *)s->objects; /* `pub` is an object's first member */
    return s;
}

const struct cache_snapshot *cache_snapshot(struct cache *c) {
    if (c->latest == NULL) {
        c->latest = snapshot_new(c);
    }
    c->latest->refs++;
    return &c->latest->pub;
}

void cache_snapshot_release(const struct cache_snapshot *public) {
    if (public == NULL) {
        return;
    }
    struct snapshot *s = (struct snapshot *)(uintptr_t) public;
    assert(s->refs > 0);
    s->refs--;
    if (s->refs > 0) {
        return;
    }
    for (size_t i = 0; i < s->pub.n; i++) {
        object_unref(s->objects[i]);
    }
    free(s->objects);
    free(s->views);
    free(s);
}
