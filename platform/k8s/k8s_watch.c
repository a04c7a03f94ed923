#include "platform/k8s/k8s_watch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/mutant.h"

#define ACCEPT_METADATA_LIST "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
#define ACCEPT_METADATA "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

/* One LIST or one WATCH under way. */
struct entry {
    struct k8s_watch *owner;
    struct entry *next;
    uint64_t ticket;
    struct watch_sink sink;
    struct k8s_call *call; /* NULL once it has ended */
    struct buf partial;    /* the line that has begun */
    struct error failure;  /* why we ended the stream ourselves */
    bool delivering;       /* inside the sink: a close must not free what the loop below still uses */
    bool closed;
    uint64_t timer; /* ends a stream that was closed from inside on_open */
};

struct k8s_watch {
    struct k8s_client *client;
    struct entry *entries;
    uint64_t last_ticket;
};

struct k8s_watch *k8s_watch_new(struct k8s_client *c) {
    struct k8s_watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        die("out of memory");
    }
    w->client = c;
    return w;
}

static struct entry *entry_new(struct k8s_watch *w, const struct watch_sink *sink) {
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        die("out of memory");
    }
    e->owner = w;
    e->ticket = ++w->last_ticket;
    e->sink = *sink;
    buf_init(&e->partial, WATCH_LINE_MAX);
    e->next = w->entries;
    w->entries = e;
    return e;
}

static void entry_free(struct entry *e) {
    struct entry **at = &e->owner->entries;
    while (*at != e) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = e->next;
    struct clock clock = loop_clock(k8s_client_loop(e->owner->client));
    clock.timer_stop(clock.ctx, e->timer);
    buf_done(&e->partial);
    free(e);
}

static void entry_close(struct entry *e) {
    e->closed = true;
    if (!e->delivering) {
        k8s_call_cancel(e->call);
        entry_free(e);
    }
}

void k8s_watch_free(struct k8s_watch *w) {
    if (w == NULL) {
        return;
    }
    while (w->entries != NULL) {
        w->entries->delivering = false;
        entry_close(w->entries);
    }
    free(w);
}

/* ---- LIST ---- */

static void on_list(void *arg, struct k8s_answer *answer) {
    struct entry *e = arg;
    struct watch_sink sink = e->sink;
    struct error err = answer->error;
    json *list = NULL;

    entry_free(e);
    if (err.code == ERR_NONE && json_array(answer->body, "items") == NULL &&
        !cJSON_IsNull(json_get(answer->body, "items"))) {
        (void)error_set(&err, ERR_PARSE, "the API server's answer to a LIST is no list");
    }
    if (err.code == ERR_NONE) {
        list = answer->body;
        answer->body = NULL;
    }
    sink.on_list(sink.arg, list, &err);
}

static void add_query(struct k8s_request *r, const char *name, const char *value) {
    assert(r->nquery < K8S_QUERY_MAX);
    r->query[r->nquery++] = (struct k8s_query){name, value};
}

static void request_for(const struct watch_target *t, struct k8s_request *r) {
    r->resource = k8s_resource_find(t->resource);
    if (r->resource == NULL) {
        die("nobody taught platform/k8s/resource.c the resource \"%s\"", t->resource);
    }
    r->ns = t->ns;
    add_query(r, "labelSelector", t->label_selector);
    add_query(r, "fieldSelector", t->field_selector);
}

static uint64_t source_list(void *ctx, const struct watch_target *t, const struct list_query *q,
                            struct watch_sink sink) {
    struct k8s_watch *w = ctx;
    struct k8s_request r = {.verb = K8S_VERB_LIST, .accept = t->metadata_only ? ACCEPT_METADATA_LIST : NULL};
    char limit[16];
    struct entry *e = entry_new(w, &sink);

    (void)snprintf(limit, sizeof limit, "%d", q->limit);
    request_for(t, &r);
    add_query(&r, "resourceVersion", q->resource_version);
    add_query(&r, "resourceVersionMatch", q->resource_version_match);
    add_query(&r, "continue", q->continue_token);
    add_query(&r, "limit", q->limit > 0 ? limit : NULL);
    e->call = k8s_client_send(w->client, &r, on_list, e);
    return e->ticket;
}

/* ---- WATCH ---- */

static void on_open(void *arg) {
    struct entry *e = arg;
    if (e->closed) {
        return;
    }
    e->delivering = true;
    e->sink.on_open(e->sink.arg);
    e->delivering = false;
}

static void deliver(struct entry *e, const char *line, size_t len) {
    if (len > 0) {
        e->sink.on_line(e->sink.arg, line, len);
    }
}

static bool too_long(struct entry *e) {
    return error_set(&e->failure, ERR_TOO_LARGE, "a watch event is larger than %zu bytes", WATCH_LINE_MAX);
}

/* Each byte is looked at once; a line that lies whole in one piece is delivered from there, without a copy. */
static bool split_lines(struct entry *e, const char *p, size_t n) {
    while (n > 0 && !e->closed) {
        const char *end = memchr(p, '\n', n);
        size_t piece = end != NULL ? (size_t)(end - p) : n;
        if (e->partial.n + piece > WATCH_LINE_MAX) {
            return too_long(e);
        }
        if (end == NULL) {
            return buf_append(&e->partial, p, piece) || too_long(e);
        }
        if (e->partial.n == 0) {
            deliver(e, p, piece);
        } else {
            if (!buf_append(&e->partial, p, piece)) {
                return too_long(e);
            }
            deliver(e, e->partial.p, e->partial.n);
            buf_reset(&e->partial);
        }
        p += piece + 1;
        n -= piece + 1;
    }
    return !e->closed;
}

static bool on_data(void *arg, const char *p, size_t n) {
    struct entry *e = arg;
    if (e->closed) {
        return false;
    }
    e->delivering = true;
    bool go_on = split_lines(e, p, n);
    e->delivering = false;
    return go_on;
}

static void on_end(void *arg, struct k8s_answer *answer) {
    struct entry *e = arg;
    struct watch_sink sink = e->sink;
    struct error err = answer->error;
    bool closed = e->closed;

    if (e->failure.code != ERR_NONE) {
        err = e->failure;
    } else if (err.code == ERR_NONE && e->partial.n > 0) {
        (void)error_set(&err, ERR_LOST, "the watch ended in the middle of an event");
    }
    entry_free(e);
    if (!closed) {
        sink.on_end(sink.arg, err.code == ERR_NONE ? NULL : &err);
    }
}

static uint64_t source_watch(void *ctx, const struct watch_target *t, const struct watch_query *q,
                             struct watch_sink sink) {
    struct k8s_watch *w = ctx;
    char timeout[16];
    struct entry *e = entry_new(w, &sink);
    struct k8s_request r = {.verb = K8S_VERB_WATCH,
                            .accept = t->metadata_only ? ACCEPT_METADATA : NULL,
                            .deadline_ms = ((int64_t)q->timeout_seconds + K8S_WATCH_GRACE_S) * 1000,
                            .on_open = on_open,
                            .on_data = on_data,
                            .arg = e};
    if (MUTANT(watch_with_the_deadline_of_a_read)) {
        r.deadline_ms = K8S_READ_DEADLINE_MS;
    }
    (void)snprintf(timeout, sizeof timeout, "%d", q->timeout_seconds);
    request_for(t, &r);
    add_query(&r, "watch", "1");
    add_query(&r, "resourceVersion", q->resource_version);
    add_query(&r, "allowWatchBookmarks", "true");
    add_query(&r, "timeoutSeconds", timeout);
    e->call = k8s_client_send(w->client, &r, on_end, e);
    return e->ticket;
}

static void source_close(void *ctx, uint64_t ticket) {
    struct k8s_watch *w = ctx;
    for (struct entry *e = w->entries; e != NULL; e = e->next) {
        if (e->ticket == ticket && !e->closed) {
            entry_close(e);
            return;
        }
    }
}

struct watch_source k8s_watch_source(struct k8s_watch *w) {
    return (struct watch_source){.ctx = w, .list = source_list, .watch = source_watch, .close = source_close};
}
