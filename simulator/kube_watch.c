/*
 * kube_watch.c - watches: positions in the history, bookmarks, ends.
 *
 * Model: a watch is a place in the history and three timers: `due` (0 ms, when there is something to say), `bookmark`
 * and `end`. Everything is said from `due`, never from inside a write or sim_kube_watch: whoever writes sees none of
 * his own events before his call is over. A sink may close its own or other watches, and write.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"

#define BOOKMARK_EVERY_MS 60000
#define BOOKMARK_BEFORE_END_MS 2000
#define SHORT_WATCH_MS 10000
#define TIMEOUT_MIN_MS ((int64_t)1800 * 1000)
#define TIMEOUT_MAX_MS ((int64_t)10 * 365 * 86400 * 1000)

struct kube_watcher {
    struct kube_watcher *next;
    struct sim_kube *k;
    uint64_t ticket;
    struct sim_watch_sink sink;
    struct arena *a; /* the request and the selector live here */
    struct kube_request q;
    struct kube_selector *selector;
    bool bookmarks;
    uint64_t next_event; /* in the history */
    int64_t after;       /* events up to this resourceVersion are not for it */
    int64_t said;        /* of the last event, or what the watch began with */
    bool gone;           /* it began before the compaction: 410 and the end */
    bool initial;        /* the present state comes first */
    bool mark_initial;   /* and then its end */
    bool ending, delivering, closed;
    uint64_t due, bookmark, end;
    int64_t end_at; /* boot time */
};

static void on_due(void *arg);

static void stop(const struct kube_watcher *w, uint64_t *timer) {
    w->k->clock.timer_stop(w->k->clock.ctx, *timer);
    *timer = 0;
}

static void stop_all(struct kube_watcher *w) {
    stop(w, &w->due);
    stop(w, &w->bookmark);
    stop(w, &w->end);
}

static void watcher_free(struct kube_watcher *w) {
    struct kube_watcher **at = &w->k->watchers;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    w->k->nwatchers--;
    stop_all(w);
    arena_free(w->a);
    free(w);
}

static void wake(struct kube_watcher *w) {
    if (w->due == 0 && !w->closed) {
        w->due = w->k->clock.timer_start(w->k->clock.ctx, 0, on_due, w);
    }
}

void kube_watches_wake(struct sim_kube *k, enum kube_store store) {
    for (struct kube_watcher *w = k->watchers; w != NULL; w = w->next) {
        if (w->q.r->store == store) {
            wake(w);
        }
    }
}

void kube_watches_end(struct sim_kube *k, enum kube_store store) {
    for (struct kube_watcher *w = k->watchers; w != NULL; w = w->next) {
        if (w->q.r->store == store) {
            w->ending = true;
            wake(w);
        }
    }
}

void kube_watches_free(struct sim_kube *k) {
    while (k->watchers != NULL) {
        watcher_free(k->watchers);
    }
}

/* ---- what is said ---- */

static void say_text(struct kube_watcher *w, const char *type, const char *object) {
    struct buf line;
    buf_init(&line, KUBE_ANSWER_MAX);
    if (!buf_puts(&line, "{\"type\":\"") || !buf_puts(&line, type) || !buf_puts(&line, "\",\"object\":") ||
        !buf_puts(&line, object) || !buf_putc(&line, '}')) {
        die("an object of more than %zu bytes", KUBE_ANSWER_MAX);
    }
    w->sink.on_line(w->sink.arg, buf_str(&line), line.n);
    buf_done(&line);
}

static void say(struct kube_watcher *w, const char *type, json *object_take) {
    char *text = json_print(object_take);
    json_free(object_take);
    say_text(w, type, text);
    free(text);
}

static void say_object(struct kube_watcher *w, const char *type, const json *object) {
    json *shown = w->q.form == KUBE_TABLE ? kube_table(w->k, &w->q, &object, 1)
                                          : kube_show(w->k, w->q.r, object, w->q.form, true);
    w->said = kube_version_of(object);
    say(w, type, shown);
}

static void say_version(struct kube_watcher *w, const char *type, struct kube_version *v) {
    if (!kube_shows_whole(w->q.r, w->q.form)) {
        say_object(w, type, v->value);
        return;
    }
    w->said = kube_version_of(v->value);
    say_text(w, type, kube_version_text(v));
}

static void say_bookmark(struct kube_watcher *w, bool initial_end) {
    json *o = json_object();
    bool metadata = w->q.form == KUBE_METADATA;
    json_add_str(o, "kind", metadata ? "PartialObjectMetadata" : w->q.r->kind);
    json_add_str(o, "apiVersion", metadata ? "meta.k8s.io/v1" : kube_api_version(w->q.r, w->a));
    json *m = json_add_object(o, "metadata");
    struct buf text;
    buf_init(&text, 32);
    (void)buf_printf(&text, "%lld", (long long)w->said);
    json_add_str(m, "resourceVersion", buf_str(&text));
    buf_done(&text);
    json_add_item(m, "creationTimestamp", cJSON_CreateNull());
    if (initial_end) {
        json_add_str(json_add_object(m, "annotations"), "k8s.io/initial-events-end", "true");
    }
    say(w, "BOOKMARK", o);
}

/* An object that begins or ceases to match comes as ADDED or DELETED. */
static void say_event(struct kube_watcher *w, const struct kube_event *e) {
    bool now = e->change != KUBE_DELETED && kube_selector_matches(w->selector, e->now->value);
    bool before = e->old != NULL && kube_selector_matches(w->selector, e->old->value);
    if (now) {
        say_version(w, before ? "MODIFIED" : "ADDED", e->now);
        return;
    }
    if (!before) {
        return;
    }
    json *last = json_dup(e->change == KUBE_DELETED ? e->now->value : e->old->value);
    kube_copy_member(kube_metadata(last), json_get(e->now->value, "metadata"), "resourceVersion");
    say_object(w, "DELETED", last);
    json_free(last);
}

static void say_initial(struct kube_watcher *w) {
    struct arena *a = arena_new(0);
    struct kube_versions all = kube_all(w->k, w->q.r->store, w->q.ns, a);
    int64_t rv = w->k->rv;
    w->initial = false;
    w->next_event = w->k->next_event;
    for (size_t i = 0; i < all.n && !w->closed; i++) {
        if (kube_selector_matches(w->selector, all.v[i]->value)) {
            say_version(w, "ADDED", all.v[i]);
        }
    }
    w->said = rv;
    if (w->mark_initial && !w->closed) {
        say_bookmark(w, true);
    }
    kube_versions_drop(&all);
    arena_free(a);
}

static void say_pending(struct kube_watcher *w) {
    if (w->next_event < w->k->first_event) { /* a slow reader: the stream ends, and its last version is expired */
        w->ending = true;
        return;
    }
    while (w->next_event < w->k->next_event && !w->closed) {
        struct kube_event e = *kube_event_at(w->k, w->next_event++);
        if (e.store != w->q.r->store || e.rv <= w->after ||
            (w->q.ns != NULL && !str_eq(kube_namespace_of(e.now->value), w->q.ns))) {
            continue;
        }
        kube_ref(e.now); /* a sink may write until the ring has turned */
        if (e.old != NULL) {
            kube_ref(e.old);
        }
        say_event(w, &e);
        kube_unref(e.now);
        kube_unref(e.old);
        if (w->next_event < w->k->first_event) {
            w->ending = true;
            return;
        }
    }
}

static void say_gone(struct kube_watcher *w) {
    w->ending = true;
    say(w, "ERROR",
        kube_status(410, "Expired", "too old resource version: %lld (%lld)", (long long)w->after,
                    (long long)w->k->compacted));
}

static void on_due(void *arg) {
    struct kube_watcher *w = arg;
    w->due = 0;
    w->delivering = true;
    if (w->gone) {
        say_gone(w);
    } else if (w->q.form != KUBE_METADATA_LIST) {
        if (w->initial) {
            say_initial(w);
        }
        say_pending(w);
    } else {
        w->ending = true; /* the wrong media type: an end at once, and no word why */
    }
    w->delivering = false;
    if (w->closed) {
        watcher_free(w);
    } else if (w->ending) {
        struct sim_watch_sink sink = w->sink;
        watcher_free(w);
        sink.on_end(sink.arg);
    }
}

static void on_end(void *arg) {
    struct kube_watcher *w = arg;
    w->end = 0;
    w->ending = true;
    wake(w);
}

static void on_bookmark(void *arg);

/* Every minute, and shortly before the end; short watches have none. */
static void plan_bookmark(struct kube_watcher *w) {
    struct clock c = w->k->clock;
    int64_t left = w->end_at - BOOKMARK_BEFORE_END_MS - c.boot_ms(c.ctx);
    w->bookmark = 0;
    if (w->bookmarks && left > 0) {
        w->bookmark = c.timer_start(c.ctx, left < BOOKMARK_EVERY_MS ? left : BOOKMARK_EVERY_MS, on_bookmark, w);
    }
}

static void on_bookmark(void *arg) {
    struct kube_watcher *w = arg;
    plan_bookmark(w);
    if (w->due != 0 || w->ending) {
        return; /* what is pending comes first; the next bookmark tells of it */
    }
    w->delivering = true;
    if (w->k->rv > w->said) {
        w->said = w->k->rv;
    }
    say_bookmark(w, false);
    w->delivering = false;
    if (w->closed) {
        watcher_free(w);
    }
}

/* ---- opening ---- */

bool sim_kube_is_watch(const struct sim_http_request *req) {
    struct arena *a = arena_new(0);
    struct kube_request q;
    json *refused = kube_request_read(req, a, &q);
    bool watch = refused == NULL && str_eq(req->method, "GET") && q.r != NULL && q.name == NULL &&
                 q.r->store != KUBE_NO_STORE && kube_query_true(&q, "watch");
    json_free(refused);
    arena_free(a);
    return watch;
}

static json *invalid_option(const char *field, const char *what) {
    json *s = kube_status(422, "Invalid", "ListOptions.meta.k8s.io \"\" is invalid: %s: Forbidden: %s", field, what);
    json *cause = json_object();
    json_add_str(cause, "reason", "FieldValueForbidden");
    json_add_str(cause, "message", what);
    json_add_str(cause, "field", field);
    json_push(json_add_array(json_add_object(s, "details"), "causes"), cause);
    return s;
}

static json *check_options(const struct kube_request *q, bool *initial_wanted) {
    const char *match = kube_query(q, "resourceVersionMatch");
    const char *initial = kube_query(q, "sendInitialEvents");
    *initial_wanted = str_eq(initial, "true") || str_eq(initial, "1");
    if (initial == NULL && match != NULL) {
        return invalid_option("resourceVersionMatch",
                              "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    }
    if (initial != NULL && !str_eq(match, "NotOlderThan")) {
        return invalid_option("resourceVersionMatch",
                              "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    return NULL;
}

static json *read_position(struct kube_watcher *w) {
    const char *text = kube_query(&w->q, "resourceVersion");
    int64_t rv = 0;
    bool initial_wanted = false;
    json *refused = check_options(&w->q, &initial_wanted);
    if (refused != NULL) {
        return refused;
    }
    if (text != NULL && !str_to_int64(text, &rv)) {
        return kube_status(500, NULL,
                           "resourceVersion: Invalid value: \"%s\": strconv.ParseUint: parsing \"%s\": invalid syntax",
                           text, text);
    }
    w->initial = rv == 0 || initial_wanted;
    w->mark_initial = w->initial && w->bookmarks;
    w->after = w->initial ? 0 : rv;
    w->said = w->after;
    w->gone = !w->initial && rv < w->k->compacted;
    w->next_event = w->k->next_event;
    while (!w->initial && w->next_event > w->k->first_event && kube_event_at(w->k, w->next_event - 1)->rv > rv) {
        w->next_event--;
    }
    return NULL;
}

/* timeoutSeconds, or between half an hour and an hour as the server likes. */
static int64_t timeout_ms(struct kube_watcher *w) {
    const char *text = kube_query(&w->q, "timeoutSeconds");
    int64_t s = 0;
    if (text != NULL && text[0] == '-') {
        return 0;
    }
    if (text == NULL || !str_to_int64(text, &s) || s == 0) {
        return TIMEOUT_MIN_MS + (int64_t)prng_below(&w->k->prng, (uint64_t)TIMEOUT_MIN_MS);
    }
    return s > TIMEOUT_MAX_MS / 1000 ? TIMEOUT_MAX_MS : s * 1000;
}

static void start_timers(struct kube_watcher *w) {
    struct clock c = w->k->clock;
    int64_t timeout = timeout_ms(w);
    w->end = c.timer_start(c.ctx, timeout, on_end, w);
    w->end_at = c.boot_ms(c.ctx) + timeout;
    if (timeout > SHORT_WATCH_MS) {
        plan_bookmark(w);
    }
    if (w->initial || w->gone || w->next_event < w->k->next_event || w->q.form == KUBE_METADATA_LIST) {
        wake(w);
    }
}

/* The request is borrowed for the call only. */
static const struct sim_http_request *keep_request(const struct sim_http_request *req, struct arena *a) {
    struct sim_http_request *kept = ARENA_NEW(a, struct sim_http_request);
    kept->method = arena_strdup(a, req->method);
    kept->path = arena_strdup(a, req->path);
    kept->query = arena_strdup(a, req->query);
    kept->authorization = req->authorization != NULL ? arena_strdup(a, req->authorization) : NULL;
    kept->accept = arena_strdup(a, req->accept);
    kept->user_agent = arena_strdup(a, req->user_agent);
    kept->body = "";
    return kept;
}

static json *open_watch(struct kube_watcher *w, const struct sim_http_request *req) {
    json *refused = kube_request_read(keep_request(req, w->a), w->a, &w->q);
    refused = refused != NULL ? refused : kube_authorize(w->k, &w->q);
    if (refused == NULL && (w->q.r == NULL || w->q.r->store == KUBE_NO_STORE || w->q.name != NULL)) {
        refused = kube_status(404, "NotFound", "the server could not find the requested resource");
    }
    if (refused == NULL && w->k->nwatchers >= KUBE_WATCHES_MAX) {
        refused = kube_status(429, "TooManyRequests", "too many watches");
    }
    if (refused == NULL) {
        w->bookmarks = kube_query_true(&w->q, "allowWatchBookmarks");
        refused = kube_selector_read(w->k, &w->q, &w->selector);
    }
    return refused != NULL ? refused : read_position(w);
}

uint64_t sim_kube_watch(struct sim_kube *k, const struct sim_http_request *req, struct sim_watch_sink sink,
                        struct sim_http_answer *out) {
    struct kube_watcher *w = calloc(1, sizeof *w);
    if (w == NULL) {
        die("out of memory");
    }
    *out = (struct sim_http_answer){.status = 200, .content_type = "application/json"};
    w->k = k;
    w->sink = sink;
    w->a = arena_new(0);
    json *refused = open_watch(w, req);
    bool absent = refused == NULL && w->q.r->store == KUBE_BINDINGS && !k->bindings_served;
    if (refused != NULL || absent) {
        arena_free(w->a);
        free(w);
        if (absent) {
            kube_answer_text(out, 404, "404 page not found\n");
        } else {
            kube_answer_status(out, refused);
        }
        return 0;
    }
    w->ticket = ++k->last_ticket;
    w->next = k->watchers;
    k->watchers = w;
    k->nwatchers++;
    start_timers(w);
    return w->ticket;
}

void sim_kube_watch_close(struct sim_kube *k, uint64_t ticket) {
    for (struct kube_watcher *w = k->watchers; w != NULL; w = w->next) {
        if (w->ticket == ticket) {
            w->closed = true;
            stop_all(w);
            if (!w->delivering) {
                watcher_free(w);
            }
            return;
        }
    }
}
