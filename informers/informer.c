#include "informers/informer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/mutant.h"
#include "platform/base/str.h"

struct informer {
    struct informer_config config;
    struct watch_source source;
    struct clock clock;
    const struct store *store;

    struct watch_machine machine;
    struct cache *cache;
    struct cache_stage *stage; /* of the list or audit under way; NULL: none */
    struct strmap *deleted;    /* keys whose deletion came since the audit's list was asked for */
    struct strmap *gates;      /* reconcile key -> RV that the cache must reach */
    bool synced;

    uint64_t list_ticket, watch_ticket, timer_ticket; /* 0: none */
    int64_t wake_at_ms;                               /* of the timer */

    int64_t undecodable, refused, last_contact_ms;
    struct error error; /* stands until the next good answer */
    int64_t error_since_ms;
    struct error decode_error; /* of the last object that could not be read */
};

static void step(struct informer *inf, const struct watch_input *in);

static int64_t now_of(const struct informer *inf) {
    return inf->clock.boot_ms(inf->clock.ctx);
}

/* Failures that stand. */

static void note_error(struct informer *inf, const struct error *err) {
    if (inf->error.code == ERR_NONE) {
        inf->error_since_ms = now_of(inf);
    }
    inf->error = *err;
}

static void note_contact(struct informer *inf) {
    inf->last_contact_ms = now_of(inf);
    error_clear(&inf->error);
}

/* Timer: one, for whatever the machine wants to be woken for. */

static void on_timer(void *arg) {
    struct informer *inf = arg;
    const struct watch_input in = {.kind = WATCH_TICKED, .now_ms = now_of(inf)};

    inf->timer_ticket = 0;
    step(inf, &in);
}

static void set_timer(struct informer *inf, int64_t wake_at_ms) {
    if (inf->timer_ticket != 0 && wake_at_ms == inf->wake_at_ms) {
        return;
    }
    inf->clock.timer_stop(inf->clock.ctx, inf->timer_ticket);
    inf->timer_ticket = 0;
    inf->wake_at_ms = wake_at_ms;
    if (wake_at_ms != 0) {
        int64_t delay = wake_at_ms - now_of(inf);
        inf->timer_ticket = inf->clock.timer_start(inf->clock.ctx, delay > 0 ? delay : 0, on_timer, inf);
    }
}

static void close_ticket(struct informer *inf, uint64_t *ticket) {
    if (*ticket != 0) {
        inf->source.close(inf->source.ctx, *ticket);
        *ticket = 0;
    }
}

/* Snapshots in the store: the objects of a list, in one go, at the list's RV. */

static bool keeps_snapshots(const struct informer *inf) {
    return inf->store != NULL && inf->config.cluster != NULL;
}

static void save_snapshot(const struct informer *inf, const char *rv) {
    const struct cached *object;
    const char *text;

    if (!keeps_snapshots(inf)) {
        return;
    }
    const struct store *s = inf->store;
    s->snapshot_begin(s->ctx, inf->config.cluster, inf->config.target.resource, rv);
    for (size_t it = 0; cache_stage_next(inf->stage, &it, &object, &text);) {
        if (text != NULL) {
            s->snapshot_put(s->ctx, object->key, object->resource_version, text);
        }
    }
    s->snapshot_commit(s->ctx);
}

/* managedFields are nearly half of an object, and only live views are asked for them (K-I7). Changes the item. */
static char *snapshot_text(json *item) {
    json *metadata = cJSON_GetObjectItemCaseSensitive(item, "metadata");
    cJSON_DeleteItemFromObjectCaseSensitive(metadata, "managedFields");
    return json_print(item);
}

static void load_warm(void *arg, const char *key, const char *json_text) {
    struct informer *inf = arg;
    struct object_identity id;
    struct error err;

    json *object = json_parse(json_text, strlen(json_text), &err);
    if (object != NULL && object_identity_read(object, &id, &err) && str_eq(id.key, key)) {
        void *view = inf->config.decode(object, &err);
        if (view != NULL) {
            (void)cache_upsert(inf->cache, &id, view);
            inf->config.changed(inf->config.arg, key);
        }
    }
    json_free(object);
}

/* Staging of pages. Deletions are noted from the moment the list is asked for: it may be older than they are. */

static void begin_stage(struct informer *inf) {
    if (inf->stage == NULL) {
        inf->stage = cache_stage_new(inf->cache);
        inf->deleted = strmap_new(INFORMER_DELETED_MAX, NULL);
    }
}

static void drop_stage(struct informer *inf) {
    cache_stage_free(inf->stage);
    inf->stage = NULL;
    strmap_free(inf->deleted);
    inf->deleted = NULL;
}

static void *decode(struct informer *inf, const json *object) {
    error_clear(&inf->decode_error);
    void *view = inf->config.decode(object, &inf->decode_error);

    if (view == NULL) {
        inf->undecodable++;
        (void)error_wrap(&inf->decode_error, "%s", inf->config.target.resource);
        note_error(inf, &inf->decode_error);
    }
    return view;
}

/* One item of a list. False: it has no identity, and the list as a whole cannot be used. */
static bool stage_item(struct informer *inf, json *item, struct error *err) {
    struct object_identity id;

    if (!object_identity_read(item, &id, err)) {
        return false;
    }
    void *view = decode(inf, item);
    if (view == NULL) {
        (void)cache_stage_keep(inf->stage, &id);
        return true;
    }
    char *text = keeps_snapshots(inf) ? snapshot_text(item) : NULL;
    if (cache_stage_put(inf->stage, &id, view, text) == CACHE_FULL) {
        inf->refused++;
        return error_set(err, ERR_TOO_LARGE, "%s: more than %zu objects", inf->config.target.resource,
                         inf->config.max_objects);
    }
    return true;
}

/* All items of a page. A list without an `items` member is no list: it must not pass for an empty one (S14). */
static bool stage_page(struct informer *inf, json *list, struct error *err) {
    json *items = cJSON_GetObjectItemCaseSensitive(list, "items");

    if (!json_is_object(list) || (!json_is_array(items) && !cJSON_IsNull(items))) {
        return error_set(err, ERR_PARSE, "%s: a list without items", inf->config.target.resource);
    }
    for (json *it = items->child; it != NULL; it = it->next) {
        if (!stage_item(inf, it, err)) {
            return false;
        }
    }
    return true;
}

static void on_list(void *arg, json *list, const struct error *err) {
    struct informer *inf = arg;
    struct watch_input in = {.kind = WATCH_PAGE_CAME, .now_ms = now_of(inf)};
    struct error own;

    inf->list_ticket = 0;
    bool ok = err == NULL || err->code == ERR_NONE;
    if (ok) {
        note_contact(inf);
        ok = stage_page(inf, list, &own);
        err = &own;
    }
    if (ok) {
        in.as.page.resource_version = json_str(list, "metadata.resourceVersion");
        in.as.page.continue_token = json_str(list, "metadata.continue");
        in.as.page.regressed = cache_stage_regressed(inf->stage);
    } else {
        in.kind = WATCH_LIST_FAILED;
        in.as.error = err;
        note_error(inf, err);
    }
    step(inf, &in);
    json_free(list);
}

/* Lines of the watch. */

static void on_open(void *arg) {
    struct informer *inf = arg;
    const struct watch_input in = {.kind = WATCH_OPENED, .now_ms = now_of(inf)};
    step(inf, &in);
}

static void on_end(void *arg, const struct error *err) {
    struct informer *inf = arg;
    const struct watch_input in = {.kind = WATCH_ENDED, .now_ms = now_of(inf), .as.error = err};

    inf->watch_ticket = 0;
    if (err != NULL && err->code != ERR_NONE) {
        note_error(inf, err);
    }
    step(inf, &in);
}

static void on_line(void *arg, const char *line, size_t len) {
    struct informer *inf = arg;
    struct watch_event event;
    struct error err;

    if (!watch_event_decode(line, len, &event, &err)) {
        /* Not an event, so not progress: the stream is given up, and resumed before this line (K-W8). */
        close_ticket(inf, &inf->watch_ticket);
        on_end(inf, &err);
        return;
    }
    if (event.type == WATCH_EVENT_ERROR) {
        note_error(inf, &event.error);
    } else {
        note_contact(inf);
    }
    const struct watch_input in = {.kind = WATCH_EVENT_CAME, .now_ms = now_of(inf), .as.event = &event};
    step(inf, &in);
    watch_event_done(&event);
}

/* What the machine orders. */

static void apply_event(struct informer *inf, const struct watch_event *e) {
    enum cache_change change;

    if (e->type == WATCH_EVENT_DELETED) {
        change = MUTANT(tombstone_is_dropped) ? CACHE_STALE : cache_delete(inf->cache, &e->id);
        if (inf->deleted != NULL) {
            (void)strmap_set(inf->deleted, e->id.key, inf);
        }
    } else {
        void *view = decode(inf, e->object);
        const struct cached *known = cache_get(inf->cache, e->id.key);
        if (view == NULL && known != NULL && str_eq(known->uid, e->id.uid)) {
            return; /* the last readable state stays; the error is noted */
        }
        change = view != NULL ? cache_upsert(inf->cache, &e->id, view) : CACHE_STALE;
    }
    if (change == CACHE_FULL) {
        inf->refused++;
    } else if (change != CACHE_STALE) {
        inf->config.changed(inf->config.arg, e->id.key);
    }
}

static void key_changed(void *arg, const char *key, enum cache_change change) {
    struct informer *inf = arg;
    (void)change;
    inf->config.changed(inf->config.arg, key);
}

static void replace(struct informer *inf, const char *rv, bool restored) {
    struct cache_stage *stage = inf->stage;

    assert(stage != NULL);
    save_snapshot(inf, rv);
    inf->stage = NULL;
    if (restored) { /* the RVs that gates wait for may never come again */
        strmap_free(inf->gates);
        inf->gates = strmap_new(INFORMER_GATES_MAX, free);
    }
    cache_swap(inf->cache, stage, rv, restored, key_changed, inf);
    drop_stage(inf);
    if (!inf->synced) {
        inf->synced = true;
        if (inf->config.synced != NULL) {
            inf->config.synced(inf->config.arg);
        }
    }
}

static void do_cache(struct informer *inf, const struct watch_order *order, const struct watch_input *in) {
    switch (order->cache) {
    case WATCH_CACHE_KEEP:
        break;
    case WATCH_CACHE_REPLACE:
    case WATCH_CACHE_RESTORE:
        replace(inf, order->rv, order->cache == WATCH_CACHE_RESTORE);
        break;
    case WATCH_CACHE_APPLY:
        /* Before the progress: whoever sees the progress must see the object too. */
        apply_event(inf, in->as.event);
        cache_set_progress(inf->cache, order->rv);
        break;
    case WATCH_CACHE_PROGRESS:
        cache_set_progress(inf->cache, order->rv);
        break;
    }
}

static void do_io(struct informer *inf, const struct watch_order *order) {
    const struct watch_sink sink = {inf, on_list, on_open, on_line, on_end};

    switch (order->io) {
    case WATCH_IO_NONE:
        break;
    case WATCH_IO_LIST:
        begin_stage(inf);
        inf->list_ticket = inf->source.list(inf->source.ctx, &inf->config.target, &order->list, sink);
        break;
    case WATCH_IO_WATCH:
        inf->watch_ticket = inf->source.watch(inf->source.ctx, &inf->config.target, &order->watch, sink);
        break;
    }
}

static void compare(struct informer *inf) {
    const char *list_rv = inf->machine.audit_rv;
    size_t differences = cache_compare(inf->cache, inf->stage, list_rv, inf->deleted);

    if (differences == 0) {
        save_snapshot(inf, list_rv);
    }
    const struct watch_input in = {.kind = WATCH_AUDITED, .now_ms = now_of(inf), .as.differences = differences};
    step(inf, &in);
}

static void step(struct informer *inf, const struct watch_input *in) {
    struct watch_order order;

    watch_machine_step(&inf->machine, in, &order);
    if (order.close_list) {
        close_ticket(inf, &inf->list_ticket);
    }
    if (order.close_watch) {
        close_ticket(inf, &inf->watch_ticket);
    }
    if (order.discard_stage) {
        drop_stage(inf);
    }
    do_cache(inf, &order, in);
    do_io(inf, &order);
    set_timer(inf, order.wake_at_ms);
    if (order.compare) {
        compare(inf);
    }
}

/* Life. */

struct informer *informer_new(const struct informer_config *config, struct watch_source source, struct clock clock,
                              const struct store *store) {
    struct informer *inf = calloc(1, sizeof *inf);
    if (inf == NULL) {
        die("out of memory: an informer");
    }
    inf->config = *config;
    if (inf->config.max_objects == 0) {
        inf->config.max_objects = INFORMER_OBJECTS_MAX;
    }
    inf->source = source;
    inf->clock = clock;
    inf->store = store;
    inf->cache = cache_new(inf->config.max_objects, config->free_view);
    inf->gates = strmap_new(INFORMER_GATES_MAX, free);
    return inf;
}

void informer_free(struct informer *inf) {
    if (inf == NULL) {
        return;
    }
    close_ticket(inf, &inf->list_ticket);
    close_ticket(inf, &inf->watch_ticket);
    set_timer(inf, 0);
    drop_stage(inf);
    cache_free(inf->cache);
    strmap_free(inf->gates);
    free(inf);
}

void informer_start(struct informer *inf) {
    char remembered[RV_MAX] = "";
    bool warm =
        keeps_snapshots(inf) && inf->store->snapshot_load(inf->store->ctx, inf->config.cluster,
                                                          inf->config.target.resource, remembered, load_warm, inf);

    watch_machine_init(&inf->machine, inf->config.seed, warm ? remembered : NULL);
    const struct watch_input in = {.kind = WATCH_STARTED, .now_ms = now_of(inf)};
    step(inf, &in);
}

bool informer_synced(const struct informer *inf) {
    return inf->synced;
}

bool informer_absent(const struct informer *inf) {
    return inf->machine.absent;
}

const struct cache_snapshot *informer_snapshot(struct informer *inf) {
    return cache_snapshot(inf->cache);
}

const void *informer_get(const struct informer *inf, const char *key) {
    const struct cached *c = cache_get(inf->cache, key);
    return c != NULL ? c->view : NULL;
}

/* Read your writes. */

void informer_wrote(struct informer *inf, const char *reconcile_key, const char *rv) {
    const char *waiting = strmap_get(inf->gates, reconcile_key);

    if (!rv_valid(rv) || rv_reached(cache_progress(inf->cache), rv) || (waiting != NULL && rv_reached(waiting, rv))) {
        return;
    }
    char *copy = strdup(rv);
    if (copy == NULL) {
        die("out of memory: a write gate");
    }
    if (!strmap_set(inf->gates, reconcile_key, copy)) {
        free(copy);
    }
}

bool informer_ready(struct informer *inf, const char *reconcile_key) {
    const char *waiting = strmap_get(inf->gates, reconcile_key);

    if (waiting == NULL) {
        return true;
    }
    if (!rv_reached(cache_progress(inf->cache), waiting)) {
        return false;
    }
    (void)strmap_remove(inf->gates, reconcile_key);
    return true;
}

void informer_stats(const struct informer *inf, struct informer_stats *out) {
    *out = (struct informer_stats){
        .watch = inf->machine.counters,
        .state = inf->machine.state,
        .objects = cache_count(inf->cache),
        .undecodable = inf->undecodable,
        .refused = inf->refused,
        .last_contact_ms = inf->last_contact_ms,
        .progress = cache_progress(inf->cache),
    };
}

const struct error *informer_error(const struct informer *inf, int64_t *since_ms) {
    if (inf->error.code == ERR_NONE) {
        return NULL;
    }
    *since_ms = inf->error_since_ms;
    return &inf->error;
}
