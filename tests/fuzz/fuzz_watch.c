/* fuzz_watch.c - an informer driven by bytes: foreign lines and lists, true ones in any order, failures, time.
 *
 * Whatever comes: at most one list and one watch, always something to wait for, progress and objects never go back
 * unless a restored server was accepted, and nothing leaks. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "informers/informer.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct informer *inf;
    int64_t now, timer_at;
    timer_fn fire;
    void *fire_arg;
    uint64_t tickets, list_ticket, watch_ticket;
    struct watch_sink sink;
    char progress[RV_MAX];
    const uint8_t *p;
    size_t n;
};

static void *decode(const json *o, struct error *err) {
    if (json_str(o, "bad") != NULL) {
        (void)error_set(err, ERR_PARSE, "bad");
        return NULL;
    }
    return strdup("view");
}

static void changed(void *arg, const char *key) {
    struct world *w = arg;
    assert(key[0] != '\0');
    assert(w->now > 0);
}

static int64_t boot_ms(void *ctx) {
    return ((struct world *)ctx)->now;
}

static uint64_t timer_start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    struct world *w = ctx;
    assert(delay_ms >= 0 && delay_ms < 3600000 && w->timer_at < 0);
    w->timer_at = w->now + delay_ms;
    w->fire = fire;
    w->fire_arg = arg;
    return 1;
}

static void timer_stop(void *ctx, uint64_t ticket) {
    if (ticket != 0) {
        ((struct world *)ctx)->timer_at = -1;
    }
}

static uint64_t source_list(void *ctx, const struct watch_target *t, const struct list_query *q,
                            struct watch_sink sink) {
    struct world *w = ctx;
    (void)t;
    assert(w->list_ticket == 0);
    assert(q->resource_version == NULL || str_eq(q->resource_version_match, "NotOlderThan"));
    assert(q->continue_token == NULL || q->resource_version == NULL);
    w->sink = sink;
    w->list_ticket = ++w->tickets;
    return w->list_ticket;
}

static uint64_t source_watch(void *ctx, const struct watch_target *t, const struct watch_query *q,
                             struct watch_sink sink) {
    struct world *w = ctx;
    (void)t;
    assert(w->watch_ticket == 0);
    assert(!str_empty(q->resource_version) && !str_eq(q->resource_version, "0"));
    w->sink = sink;
    w->watch_ticket = ++w->tickets;
    return w->watch_ticket;
}

static void source_close(void *ctx, uint64_t ticket) {
    struct world *w = ctx;
    assert(ticket != 0 && (ticket == w->list_ticket || ticket == w->watch_ticket));
    *(ticket == w->list_ticket ? &w->list_ticket : &w->watch_ticket) = 0;
}

static uint8_t byte(struct world *w) {
    if (w->n == 0) {
        return 0;
    }
    w->n--;
    return *w->p++;
}

/* A list answer, or its failure, if one is asked for. */
static void answer_list(struct world *w, const char *text, size_t n) {
    struct error err = {0};
    if (w->list_ticket == 0) {
        return;
    }
    json *list = json_parse(text, n, &err);
    w->list_ticket = 0;
    w->sink.on_list(w->sink.arg, list, list != NULL ? NULL : &err);
}

static void give_line(struct world *w, const char *text, size_t n) {
    if (w->watch_ticket != 0) {
        w->sink.on_line(w->sink.arg, text, n);
    }
}

static void put_object(struct buf *b, struct world *w) {
    unsigned name = byte(w) % 8;
    unsigned uid = byte(w) % 3;
    unsigned rv = 1 + byte(w);
    (void)buf_printf(b, "{\"metadata\":{\"name\":\"n%u\",\"uid\":\"u%u-%u\",\"resourceVersion\":\"%u\"}%s}", name, name,
                     uid, rv, byte(w) % 16 == 0 ? ",\"bad\":\"x\"" : "");
}

static void true_list(struct world *w) {
    struct buf b;
    unsigned items = byte(w) % 6;
    buf_init(&b, 65536);
    (void)buf_printf(&b, "{\"metadata\":{\"resourceVersion\":\"%u\",\"continue\":\"%s\"},\"items\":[", 1u + byte(w),
                     byte(w) % 4 == 0 ? "more" : "");
    for (unsigned i = 0; i < items; i++) {
        (void)buf_puts(&b, i > 0 ? "," : "");
        put_object(&b, w);
    }
    (void)buf_puts(&b, "]}");
    answer_list(w, buf_str(&b), b.n);
    buf_done(&b);
}

static void true_event(struct world *w) {
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "OTHER"};
    struct buf b;
    buf_init(&b, 65536);
    (void)buf_printf(&b, "{\"type\":\"%s\",\"object\":", types[byte(w) % 6]);
    put_object(&b, w);
    (void)buf_putc(&b, '}');
    give_line(w, buf_str(&b), b.n);
    buf_done(&b);
}

static void fail(struct world *w, bool list) {
    struct error err;
    (void)error_set(&err, (enum err_code)(byte(w) % ERR_CODE_COUNT), "scripted");
    err.retry_after_ms = byte(w) * 100;
    if (list && w->list_ticket != 0) {
        w->list_ticket = 0;
        if (err.code == ERR_NONE) {
            err.code = ERR_GONE;
        }
        w->sink.on_list(w->sink.arg, NULL, &err);
    } else if (!list && w->watch_ticket != 0) {
        w->watch_ticket = 0;
        w->sink.on_end(w->sink.arg, err.code == ERR_NONE ? NULL : &err);
    }
}

static void pass_time(struct world *w) {
    w->now += (int64_t)byte(w) * 1000;
    if (byte(w) % 2 == 0 && w->timer_at > w->now) {
        w->now = w->timer_at;
    }
    if (w->timer_at >= 0 && w->timer_at <= w->now) {
        w->timer_at = -1;
        w->fire(w->fire_arg);
    }
}

static void foreign(struct world *w, bool list) {
    size_t n = (size_t)byte(w) * 4;
    n = n < w->n ? n : w->n;
    (list ? answer_list : give_line)(w, (const char *)w->p, n);
    w->p += n;
    w->n -= n;
}

static void check(struct world *w) {
    struct informer_stats s;
    informer_stats(w->inf, &s);
    assert(w->timer_at >= 0);
    assert(w->list_ticket != 0 || w->watch_ticket != 0 || s.state == WATCH_WAITING);
    assert((s.state == WATCH_WATCHING) == (w->watch_ticket != 0));
    if (s.watch.regressions == 0) {
        assert(!rv_older(s.progress, w->progress));
    }
    (void)str_copy(w->progress, sizeof w->progress, s.progress);
    const struct cache_snapshot *snap = informer_snapshot(w->inf);
    assert(snap->n == s.objects);
    for (size_t i = 0; i < snap->n; i++) {
        assert(snap->views[i] != NULL);
        assert(i == 0 || strcmp(snap->objects[i - 1]->key, snap->objects[i]->key) < 0);
    }
    cache_snapshot_release(snap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w = {.now = 1000, .timer_at = -1, .p = data, .n = size};
    const struct informer_config config = {.target = {.resource = "things"},
                                           .decode = decode,
                                           .free_view = free,
                                           .changed = changed,
                                           .arg = &w,
                                           .seed = 3,
                                           .max_objects = 7};

    w.inf = informer_new(&config, (struct watch_source){&w, source_list, source_watch, source_close},
                         (struct clock){&w, NULL, boot_ms, timer_start, timer_stop}, NULL);
    informer_start(w.inf);
    while (w.n > 0) {
        switch (byte(&w) % 8) {
        case 0:
            foreign(&w, true);
            break;
        case 1:
            foreign(&w, false);
            break;
        case 2:
            true_list(&w);
            break;
        case 3:
        case 4:
            true_event(&w);
            break;
        case 5:
            fail(&w, true);
            break;
        case 6:
            fail(&w, false);
            break;
        default:
            pass_time(&w);
            break;
        }
        check(&w);
    }
    informer_free(w.inf);
    assert(w.list_ticket == 0 && w.watch_ticket == 0 && w.timer_at < 0);
    return 0;
}
