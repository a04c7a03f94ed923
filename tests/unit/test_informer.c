/* test_informer.c - informer and cache: what becomes visible, when, and what never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "informers/informer.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"

#define LOG_MAX 20000

/* The world of one informer: a scripted source, clock and store, and what the informer told. */
struct bench {
    struct informer *inf;
    int64_t now;
    int64_t timer_at; /* -1: none */
    timer_fn timer_fire;
    void *timer_arg;
    uint64_t tickets;
    uint64_t list_ticket, watch_ticket; /* open ones; 0: none */
    struct watch_sink sink;
    char list_rv[RV_MAX], list_match[32], list_token[256], watch_rv[RV_MAX];
    int lists, watches, synced;
    char *changed[LOG_MAX];
    size_t nchanged;
    char saved_rv[RV_MAX];
    char *saved_key[64], *saved_text[64];
    size_t nsaved;
    int commits;
    bool saving;
};

struct thing {
    char value[32];
};
static int things; /* alive */

static void *thing_decode(const json *o, struct error *err) {
    if (json_str(o, "bad") != NULL) {
        (void)error_set(err, ERR_PARSE, "a bad thing");
        return NULL;
    }
    struct thing *t = calloc(1, sizeof *t);
    assert_non_null(t);
    (void)str_copy(t->value, sizeof t->value, str_or(json_str(o, "value"), ""));
    things++;
    return t;
}

static void thing_free(void *view) {
    things--;
    free(view);
}

static int64_t boot_ms(void *ctx) {
    return ((struct bench *)ctx)->now;
}

static uint64_t timer_start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    struct bench *b = ctx;
    assert_true(delay_ms >= 0);
    assert_int_equal(b->timer_at, -1);
    b->timer_at = b->now + delay_ms;
    b->timer_fire = fire;
    b->timer_arg = arg;
    return 1;
}

static void timer_stop(void *ctx, uint64_t ticket) {
    if (ticket != 0) {
        ((struct bench *)ctx)->timer_at = -1;
    }
}

static uint64_t source_list(void *ctx, const struct watch_target *t, const struct list_query *q,
                            struct watch_sink sink) {
    struct bench *b = ctx;
    assert_string_equal(t->resource, "things");
    assert_int_equal(b->list_ticket, 0);
    b->lists++;
    (void)str_copy(b->list_rv, sizeof b->list_rv, q->resource_version);
    (void)str_copy(b->list_match, sizeof b->list_match, q->resource_version_match);
    (void)str_copy(b->list_token, sizeof b->list_token, q->continue_token);
    b->sink = sink;
    b->list_ticket = ++b->tickets;
    return b->list_ticket;
}

static uint64_t source_watch(void *ctx, const struct watch_target *t, const struct watch_query *q,
                             struct watch_sink sink) {
    struct bench *b = ctx;
    (void)t;
    assert_int_equal(b->watch_ticket, 0);
    b->watches++;
    (void)str_copy(b->watch_rv, sizeof b->watch_rv, q->resource_version);
    b->sink = sink;
    b->watch_ticket = ++b->tickets;
    return b->watch_ticket;
}

static void source_close(void *ctx, uint64_t ticket) {
    struct bench *b = ctx;
    assert_true(ticket == b->list_ticket || ticket == b->watch_ticket);
    *(ticket == b->list_ticket ? &b->list_ticket : &b->watch_ticket) = 0;
}

static void snapshot_begin(void *ctx, const char *cluster, const char *resource, const char *rv) {
    struct bench *b = ctx;
    assert_string_equal(cluster, "cluster-uid");
    assert_string_equal(resource, "things");
    assert_false(b->saving);
    b->saving = true;
    for (size_t i = 0; i < b->nsaved; i++) {
        free(b->saved_key[i]);
        free(b->saved_text[i]);
    }
    b->nsaved = 0;
    (void)str_copy(b->saved_rv, sizeof b->saved_rv, rv);
}

static void snapshot_put(void *ctx, const char *key, const char *rv, const char *text) {
    struct bench *b = ctx;
    assert_true(b->saving && b->nsaved < 64 && rv[0] != '\0');
    b->saved_key[b->nsaved] = strdup(key);
    b->saved_text[b->nsaved++] = strdup(text);
}

static void snapshot_commit(void *ctx) {
    struct bench *b = ctx;
    assert_true(b->saving);
    b->saving = false;
    b->commits++;
}

static bool snapshot_load(void *ctx, const char *cluster, const char *resource, char rv_out[64],
                          void (*each)(void *arg, const char *key, const char *json_text), void *arg) {
    struct bench *b = ctx;
    assert_string_equal(cluster, "cluster-uid");
    assert_string_equal(resource, "things");
    if (b->saved_rv[0] == '\0') {
        return false;
    }
    (void)str_copy(rv_out, 64, b->saved_rv);
    for (size_t i = 0; i < b->nsaved; i++) {
        each(arg, b->saved_key[i], b->saved_text[i]);
    }
    return true;
}

static void on_changed(void *arg, const char *key) {
    struct bench *b = arg;
    assert_true(b->nchanged < LOG_MAX);
    b->changed[b->nchanged++] = strdup(key);
}

static void on_synced(void *arg) {
    struct bench *b = arg;
    b->synced++;
    assert_true(informer_synced(b->inf) || b->inf == NULL);
}

static void forget_changes(struct bench *b) {
    for (size_t i = 0; i < b->nchanged; i++) {
        free(b->changed[i]);
    }
    b->nchanged = 0;
}

static void begin_with(struct bench *b, size_t max_objects, bool with_store) {
    static struct store store;
    const struct informer_config config = {
        .target = {.resource = "things"},
        .decode = thing_decode,
        .free_view = thing_free,
        .changed = on_changed,
        .synced = on_synced,
        .arg = b,
        .cluster = "cluster-uid",
        .seed = 5,
        .max_objects = max_objects,
    };
    const struct watch_source source = {b, source_list, source_watch, source_close};
    const struct clock clock = {b, NULL, boot_ms, timer_start, timer_stop};

    store = (struct store){.ctx = b,
                           .snapshot_begin = snapshot_begin,
                           .snapshot_put = snapshot_put,
                           .snapshot_commit = snapshot_commit,
                           .snapshot_load = snapshot_load};
    b->now = 1000000;
    b->timer_at = -1;
    b->list_ticket = 0;
    b->watch_ticket = 0;
    b->synced = 0;
    b->inf = informer_new(&config, source, clock, with_store ? &store : NULL);
    informer_start(b->inf);
}

static void begin(struct bench *b) {
    memset(b, 0, sizeof *b);
    begin_with(b, 0, false);
}

static void finish(struct bench *b) {
    informer_free(b->inf);
    b->inf = NULL;
    assert_int_equal(b->list_ticket, 0);
    assert_int_equal(b->watch_ticket, 0);
    assert_int_equal(b->timer_at, -1);
    forget_changes(b);
    for (size_t i = 0; i < b->nsaved; i++) {
        free(b->saved_key[i]);
        free(b->saved_text[i]);
    }
    b->nsaved = 0;
    assert_int_equal(things, 0);
}

static void list_text(struct bench *b, const char *text) {
    struct error err;
    json *list = json_parse(text, strlen(text), &err);
    if (list == NULL) {
        fail_msg("%s", err.message);
    }
    assert_true(b->list_ticket != 0);
    b->list_ticket = 0;
    b->sink.on_list(b->sink.arg, list, NULL);
}

static void list_fails(struct bench *b, enum err_code code) {
    struct error err;
    (void)error_set(&err, code, "scripted");
    b->list_ticket = 0;
    b->sink.on_list(b->sink.arg, NULL, &err);
}

#define ITEM(ns, name, uid, rv, value)                                                                                 \
    "{\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name "\",\"uid\":\"" uid "\",\"resourceVersion\":\"" rv      \
    "\",\"managedFields\":[{}]},\"value\":\"" value "\"}"
#define LIST(rv, items) "{\"items\":[" items "],\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"\"}}"
#define EVENT(type, item) "{\"type\":\"" type "\",\"object\":" item "}"
#define BOOKMARK(rv)                                                                                                   \
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"name\":\"\",\"resourceVersion\":\"" rv "\"},\"spec\":null}}"

static void line(struct bench *b, const char *text) {
    b->sink.on_line(b->sink.arg, text, strlen(text));
}

static void ends(struct bench *b, enum err_code code) {
    struct error err;
    (void)error_set(&err, code, "scripted");
    b->watch_ticket = 0;
    b->sink.on_end(b->sink.arg, code == ERR_NONE ? NULL : &err);
}

static void wake(struct bench *b) {
    assert_true(b->timer_at >= b->now);
    b->now = b->timer_at;
    b->timer_at = -1;
    b->timer_fire(b->timer_arg);
}

static const char *value_of(struct bench *b, const char *key) {
    const struct thing *t = informer_get(b->inf, key);
    return t != NULL ? t->value : NULL;
}

static void assert_value(struct bench *b, const char *key, const char *value) {
    const char *v = value_of(b, key);
    if (!str_eq(v, value)) {
        fail_msg("%s is %s, not %s", key, str_or(v, "(absent)"), str_or(value, "(absent)"));
    }
}

static size_t count_of(struct bench *b) {
    struct informer_stats s;
    informer_stats(b->inf, &s);
    return s.objects;
}

static void test_first_list__changed_then_synced(void **state) { /* K-I2, K-I3 */
    struct bench b;
    (void)state;
    begin(&b);
    assert_false(informer_synced(b.inf));
    list_text(&b, "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"t\"},\"items\":[" ITEM("ns", "b", "u1", "4",
                                                                                                   "1") "]}");
    assert_string_equal(b.list_token, "t");
    assert_int_equal(count_of(&b), 0); /* a page is not visible before the list is whole */
    assert_int_equal(b.nchanged, 0);
    list_text(&b, LIST("12", ITEM("ns", "a", "u2", "9", "2")));
    assert_true(informer_synced(b.inf));
    assert_int_equal(b.synced, 1);
    assert_int_equal(b.nchanged, 2);
    assert_string_equal(b.watch_rv, "10");
    assert_value(&b, "ns/a", "2");
    assert_value(&b, "ns/b", "1");
    assert_value(&b, "a", NULL);
    const struct cache_snapshot *s = informer_snapshot(b.inf);
    assert_int_equal(s->n, 2);
    assert_string_equal(s->objects[0]->key, "ns/a"); /* sorted */
    assert_string_equal(((const struct thing *)s->views[1])->value, "1");
    const struct cache_snapshot *again = informer_snapshot(b.inf);
    assert_ptr_equal(s, again);
    cache_snapshot_release(again);
    line(&b, EVENT("DELETED", ITEM("ns", "b", "u1", "11", "1")));
    assert_int_equal(s->n, 2); /* a snapshot stays as it was */
    assert_string_equal(((const struct thing *)s->views[1])->value, "1");
    informer_free(b.inf); /* and outlives the informer */
    b.inf = NULL;
    assert_string_equal(s->objects[1]->key, "ns/b");
    cache_snapshot_release(s);
    cache_snapshot_release(NULL);
    finish(&b);
}

static void test_events__upsert_and_delete(void **state) { /* K-W3 */
    struct bench b;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    forget_changes(&b);
    b.sink.on_open(b.sink.arg);
    line(&b, EVENT("ADDED", ITEM("ns", "a", "u1", "11", "2"))); /* ADDED of a known key: an update */
    assert_value(&b, "ns/a", "2");
    line(&b, EVENT("MODIFIED", ITEM("", "n", "u2", "12", "3"))); /* MODIFIED of an unknown one: an addition */
    assert_value(&b, "n", "3");
    line(&b, EVENT("DELETED", ITEM("ns", "x", "u9", "13", ""))); /* of what we never had */
    line(&b, EVENT("DELETED", ITEM("ns", "a", "u1", "14", "2")));
    assert_value(&b, "ns/a", NULL);
    line(&b, EVENT("SOMETHING", "{}"));
    assert_int_equal(b.nchanged, 3);
    finish(&b);
}

static void test_uid__is_identity(void **state) { /* K-I1, conformance 12 */
    struct bench b;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "old", "5", "1")));
    line(&b, EVENT("ADDED", ITEM("ns", "a", "new", "12", "2"))); /* the deletion was never seen */
    assert_value(&b, "ns/a", "2");
    line(&b, EVENT("DELETED", ITEM("ns", "a", "old", "13", "1"))); /* about the one that is gone */
    assert_value(&b, "ns/a", "2");
    assert_int_equal(count_of(&b), 1);
    finish(&b);
}

static void test_bookmark__touches_no_object(void **state) { /* K-W4 */
    struct bench b;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    forget_changes(&b);
    line(&b, BOOKMARK("20"));
    assert_int_equal(b.nchanged, 0);
    assert_int_equal(count_of(&b), 1);
    b.now += 5000;
    ends(&b, ERR_NONE);
    assert_string_equal(b.watch_rv, "20");
    assert_int_equal(b.lists, 1);
    finish(&b);
}

/* Conformance 9: an event cut anywhere is never an event: nothing changes, and the stream resumes before it. */
static void test_truncated_event__at_every_byte(void **state) {
    static const char event[] = EVENT("MODIFIED", ITEM("ns", "a", "u1", "11", "2"));
    struct bench b;
    (void)state;
    for (size_t n = 0; n < sizeof event - 1; n++) {
        begin(&b);
        list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
        b.sink.on_line(b.sink.arg, event, n);
        assert_value(&b, "ns/a", "1");
        assert_int_equal(b.watch_ticket, 0);
        wake(&b);
        assert_string_equal(b.watch_rv, "10");
        line(&b, event);
        assert_value(&b, "ns/a", "2");
        finish(&b);
    }
    begin(&b); /* and at the end of the stream: no line at all, a lost connection */
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    ends(&b, ERR_LOST);
    assert_value(&b, "ns/a", "1");
    finish(&b);
}

static void test_garbage__changes_nothing(void **state) {
    static const char *const lines[] = {
        "",
        "[]",
        "null",
        "{}",
        "{\"type\":\"ADDED\"}",
        "{\"type\":1,\"object\":{}}",
        "{\"type\":\"ADDED\",\"object\":[]}",
        "{\"type\":\"ADDED\",\"object\":{}}",
        "{\"type\":\"BOOKMARK\",\"object\":{}}",
        "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"0\"}}}",
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}}}",
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"11\"}}}",
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"11\"}}}",
        "{\"type\":\"ADDED\",\"type\":\"DELETED\",\"object\":{}}",
        "HTTP/1.1 502 Bad Gateway",
    };
    static const char *const lists[] = {
        "[]",
        "{}",
        "\"x\"",
        "{\"items\":[]}",
        "{\"items\":{},\"metadata\":{\"resourceVersion\":\"11\"}}",
        "{\"metadata\":{\"resourceVersion\":\"11\"}}",
        "{\"items\":[{}],\"metadata\":{\"resourceVersion\":\"11\"}}",
        "{\"items\":[1],\"metadata\":{\"resourceVersion\":\"11\"}}",
        "{\"kind\":\"Status\",\"code\":500}",
    };
    struct bench b;
    int64_t since;
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        begin(&b);
        list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
        assert_null(informer_error(b.inf, &since));
        line(&b, lines[i]);
        assert_int_equal(b.watch_ticket, 0);
        assert_int_equal(informer_error(b.inf, &since)->code, ERR_PARSE);
        assert_int_equal(count_of(&b), 1);
        wake(&b);
        line(&b, BOOKMARK("11"));
        assert_null(informer_error(b.inf, &since));
        finish(&b);
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        begin(&b);
        list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
        ends(&b, ERR_GONE);
        forget_changes(&b);
        list_text(&b, lists[i]); /* no list is not an empty list (S14) */
        assert_int_equal(count_of(&b), 1);
        assert_int_equal(b.nchanged, 0);
        finish(&b);
    }
    begin(&b);
    list_text(&b, "{\"items\":null,\"metadata\":{\"resourceVersion\":\"11\"}}"); /* null is one */
    assert_true(informer_synced(b.inf));
    finish(&b);
}

/* Conformance 10: any number of events in one go, whatever the chunks. */
static void test_many_events__in_one_chunk(void **state) {
    struct bench b;
    char text[256];
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ""));
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(text, sizeof text, EVENT("ADDED", ITEM("ns", "n%05d", "u%d", "%d", "%d")), i, i, 11 + i, i);
        line(&b, text);
    }
    assert_int_equal(count_of(&b), 10000);
    assert_value(&b, "ns/n09999", "9999");
    b.now += 5000;
    ends(&b, ERR_NONE);
    assert_string_equal(b.watch_rv, "10010");
    finish(&b);
}

static void test_huge_event(void **state) { /* K-W8: 16 MiB is the cap, 9.4 MB is a possible object */
    struct bench b;
    struct buf big;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ""));
    buf_init(&big, 2 * WATCH_LINE_MAX);
    char *xs = malloc(10 * 1000 * 1000 + 1);
    memset(xs, 'x', 10 * 1000 * 1000);
    xs[10 * 1000 * 1000] = '\0';
    assert_true(buf_printf(&big,
                           EVENT("ADDED", "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"11\"},"
                                          "\"value\":\"v\",\"data\":\"%s\"}"),
                           xs));
    line(&b, buf_str(&big));
    assert_value(&b, "a", "v");
    assert_true(buf_puts(&big, xs));
    line(&b, buf_str(&big));
    int64_t since;
    assert_int_equal(informer_error(b.inf, &since)->code, ERR_TOO_LARGE);
    free(xs);
    buf_done(&big);
    finish(&b);
}

static void test_relist__swaps_and_reports_the_difference(void **state) { /* K-I2, S12 */
    struct bench b;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "same", "u1", "5", "1") "," ITEM("ns", "gone", "u2", "6", "1") "," ITEM(
                                 "ns", "new", "u3", "7", "1") "," ITEM("ns", "again", "u4", "8", "1")));
    forget_changes(&b);
    ends(&b, ERR_GONE);
    assert_string_equal(b.list_match, "");
    list_text(&b, LIST("20", ITEM("ns", "same", "u1", "5", "1") "," ITEM("ns", "new", "u3", "17", "2") "," ITEM(
                                 "ns", "again", "u5", "18", "3") "," ITEM("ns", "more", "u6", "19", "4")));
    assert_int_equal(b.nchanged, 4);
    assert_value(&b, "ns/gone", NULL);
    assert_value(&b, "ns/same", "1");
    assert_value(&b, "ns/new", "2");
    assert_value(&b, "ns/again", "3");
    for (size_t i = 0; i < b.nchanged; i++) {
        assert_string_not_equal(b.changed[i], "ns/same");
    }
    assert_int_equal(b.synced, 1);
    finish(&b);
}

static void test_relist__an_older_object_is_refused(void **state) { /* S12 */
    struct bench b;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "9", "new")));
    ends(&b, ERR_GONE);
    for (int i = 0; i < 2; i++) {
        list_text(&b, LIST("20", ITEM("ns", "a", "u1", "5", "old")));
        assert_value(&b, "ns/a", "new");
        wake(&b);
        assert_string_equal(b.list_rv, "");
    }
    informer_wrote(b.inf, "binding", "1000");
    assert_false(informer_ready(b.inf, "binding"));
    list_text(&b, LIST("7", ITEM("ns", "a", "u1", "5", "old"))); /* again and again: then it is so */
    assert_value(&b, "ns/a", "old");
    assert_true(informer_ready(b.inf, "binding")); /* a gate must not wait for an RV that will not come */
    line(&b, EVENT("MODIFIED", ITEM("ns", "a", "u1", "8", "newer")));
    assert_value(&b, "ns/a", "newer");
    finish(&b);
}

static void test_undecodable__keeps_the_last_readable_state(void **state) {
    struct bench b;
    struct informer_stats s;
    int64_t since;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    line(&b, "{\"type\":\"MODIFIED\",\"object\":{\"bad\":\"1\",\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\","
             "\"uid\":\"u1\","
             "\"resourceVersion\":\"11\"}}}");
    assert_value(&b, "ns/a", "1");
    assert_int_equal(informer_error(b.inf, &since)->code, ERR_PARSE);
    assert_true(b.watch_ticket != 0); /* one object's trouble, not the stream's */
    line(&b, "{\"type\":\"ADDED\",\"object\":{\"bad\":\"1\",\"metadata\":{\"namespace\":\"ns\",\"name\":\"z\",\"uid\":"
             "\"u2\","
             "\"resourceVersion\":\"12\"}}}");
    assert_value(&b, "ns/z", NULL);
    ends(&b, ERR_GONE);
    list_text(&b, "{\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[{\"bad\":\"1\",\"metadata\":{\"namespace\":"
                  "\"ns\",\"name\":"
                  "\"a\",\"uid\":\"u1\",\"resourceVersion\":\"11\"}},{\"bad\":\"1\",\"metadata\":{\"namespace\":\"ns\","
                  "\"name\":\"z\","
                  "\"uid\":\"u2\",\"resourceVersion\":\"12\"}}]}");
    assert_value(&b, "ns/a", "1"); /* not as if it were deleted */
    assert_int_equal(count_of(&b), 1);
    informer_stats(b.inf, &s);
    assert_int_equal(s.undecodable, 4);
    line(&b, "{\"type\":\"MODIFIED\",\"object\":{\"bad\":\"1\",\"metadata\":{\"namespace\":\"ns\",\"name\":\"a\","
             "\"uid\":\"other\","
             "\"resourceVersion\":\"21\"}}}");
    assert_value(&b, "ns/a", "1");
    finish(&b);
}

static void test_bounds__objects(void **state) {
    struct bench b;
    struct informer_stats s;
    int64_t since;
    (void)state;
    memset(&b, 0, sizeof b);
    begin_with(&b, 2, false);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1") "," ITEM("ns", "b", "u2", "6",
                                                                      "1") "," ITEM("ns", "c", "u3", "7", "1")));
    assert_false(informer_synced(b.inf)); /* half a list is no list */
    assert_int_equal(informer_error(b.inf, &since)->code, ERR_TOO_LARGE);
    wake(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1") "," ITEM("ns", "b", "u2", "6", "1")));
    line(&b, EVENT("ADDED", ITEM("ns", "c", "u3", "11", "1")));
    assert_int_equal(count_of(&b), 2);
    informer_stats(b.inf, &s);
    assert_int_equal(s.refused, 2);
    finish(&b);
}

static void test_read_your_writes(void **state) { /* K-I5 */
    struct bench b;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    assert_true(informer_ready(b.inf, "binding"));
    informer_wrote(b.inf, "binding", "15");
    assert_false(informer_ready(b.inf, "binding"));
    assert_true(informer_ready(b.inf, "other"));
    line(&b, EVENT("MODIFIED", ITEM("ns", "a", "u1", "12", "2"))); /* an earlier one does not do */
    assert_false(informer_ready(b.inf, "binding"));
    informer_wrote(b.inf, "binding", "13"); /* an older write does not lower the gate */
    line(&b, EVENT("MODIFIED", ITEM("ns", "a", "u1", "13", "2")));
    assert_false(informer_ready(b.inf, "binding"));
    line(&b, EVENT("MODIFIED", ITEM("ns", "a", "u1", "15", "3")));
    assert_true(informer_ready(b.inf, "binding"));
    assert_value(&b, "ns/a", "3");
    line(&b, EVENT("MODIFIED", ITEM("ns", "a", "u1", "16", "4"))); /* the event came before the answer */
    informer_wrote(b.inf, "binding", "16");
    assert_true(informer_ready(b.inf, "binding"));
    informer_wrote(b.inf, "binding", "18"); /* created and deleted unseen: a bookmark opens it */
    line(&b, BOOKMARK("18"));
    assert_true(informer_ready(b.inf, "binding"));
    informer_wrote(b.inf, "binding", "20"); /* a list does too */
    ends(&b, ERR_GONE);
    assert_false(informer_ready(b.inf, "binding"));
    list_text(&b, LIST("25", ""));
    assert_true(informer_ready(b.inf, "binding"));
    informer_wrote(b.inf, "binding", "opaque"); /* nothing to compare with */
    informer_wrote(b.inf, "binding", NULL);
    assert_true(informer_ready(b.inf, "binding"));
    char key[32];
    for (int i = 0; i < INFORMER_GATES_MAX + 10; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        informer_wrote(b.inf, key, "99");
        assert_int_equal(informer_ready(b.inf, key), i >= INFORMER_GATES_MAX);
    }
    finish(&b);
}

static void test_absent_crd__keeps_everything(void **state) { /* K-C7, S14, conformance 21, 23 */
    struct bench b;
    int64_t since;
    (void)state;
    begin(&b);
    list_fails(&b, ERR_UNSUPPORTED);
    assert_true(informer_absent(b.inf));
    assert_false(informer_synced(b.inf));
    wake(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    assert_false(informer_absent(b.inf));
    forget_changes(&b);
    b.now += 60000;
    ends(&b, ERR_NONE);
    ends(&b, ERR_NOT_FOUND);
    assert_true(informer_absent(b.inf));
    assert_true(informer_synced(b.inf));
    assert_int_equal(b.nchanged, 0);
    assert_value(&b, "ns/a", "1");
    assert_int_equal(informer_error(b.inf, &since)->code, ERR_NOT_FOUND);
    int64_t failed_at = b.now;
    assert_int_equal(since, failed_at);
    for (int i = 0; i < 20; i++) {
        wake(&b);
        list_fails(&b, i % 2 != 0 ? ERR_FORBIDDEN : ERR_UNSUPPORTED);
    }
    assert_true(b.now - failed_at >= 20 * 800); /* never in a hot loop */
    assert_value(&b, "ns/a", "1");
    assert_non_null(informer_error(b.inf, &since));
    assert_int_equal(since, failed_at);
    finish(&b);
}

static void test_error_events(void **state) { /* K-W5 */
    static const struct {
        const char *status;
        enum err_code code;
        const char *list_match; /* of the list that follows, after waiting if need be; NULL: a watch follows */
    } cases[] = {
        {"{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old resource version: 522 (526)\"}", ERR_GONE, ""},
        {"{\"reason\":\"Gone\"}", ERR_GONE, ""},
        {"{\"reason\":\"Expired\"}", ERR_GONE, ""},
        {"{\"code\":504,\"reason\":\"Timeout\",\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]}}",
         ERR_FUTURE_VERSION, ""},
        {"{\"code\":504,\"message\":\"Timeout: Too large resource version: 9, current: 3\"}", ERR_FUTURE_VERSION, ""},
        {"{\"code\":429,\"details\":{\"retryAfterSeconds\":3}}", ERR_THROTTLED, NULL},
        {"{\"code\":500,\"message\":\"etcdserver: leader changed\"}", ERR_UNAVAILABLE, NULL},
        {"{\"code\":403,\"reason\":\"Forbidden\"}", ERR_FORBIDDEN, NULL},
        {"{\"code\":401}", ERR_UNAUTHORIZED, NULL},
        {"{\"code\":404}", ERR_NOT_FOUND, ""},
        {"{\"code\":409}", ERR_CONFLICT, "NotOlderThan"},
        {"{\"code\":422}", ERR_INVALID, "NotOlderThan"},
        {"{}", ERR_UNAVAILABLE, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench b;
        char text[512];
        int64_t since;
        begin(&b);
        list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
        (void)snprintf(text, sizeof text, "{\"type\":\"ERROR\",\"object\":%s}", cases[i].status);
        line(&b, text);
        assert_int_equal(b.watch_ticket, 0);
        assert_int_equal(informer_error(b.inf, &since)->code, cases[i].code);
        assert_value(&b, "ns/a", "1");
        if (b.list_ticket == 0) {
            wake(&b);
        }
        if (cases[i].list_match != NULL) {
            assert_int_equal(b.lists, 2);
            assert_string_equal(b.list_match, cases[i].list_match);
        } else {
            assert_string_equal(b.watch_rv, "10");
            assert_int_equal(b.watches, 2);
        }
        finish(&b);
    }
}

static void start_audit(struct bench *b) {
    wake(b); /* silence: the audit is due at once */
    assert_int_equal(b->lists, 2);
    assert_true(b->list_ticket != 0 && b->watch_ticket != 0);
    assert_string_equal(b->list_rv, "");
}

static void test_audit__finds_what_the_watch_lost(void **state) { /* K-W11 */
    struct bench b;
    struct informer_stats s;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1") "," ITEM("ns", "lost", "u2", "6", "1")));
    start_audit(&b);
    list_text(&b, LIST("20", ITEM("ns", "a", "u1", "15", "2"))); /* "lost" was deleted, "a" changed; no event came */
    assert_value(&b, "ns/lost", "1");
    assert_true(b.watch_ticket != 0); /* the watch may be behind: it is given the time to catch up */
    line(&b, BOOKMARK("21"));         /* it has: then events are missing */
    assert_int_equal(b.watch_ticket, 0);
    list_text(&b, LIST("22", ITEM("ns", "a", "u1", "15", "2")));
    assert_value(&b, "ns/lost", NULL);
    assert_value(&b, "ns/a", "2");
    informer_stats(b.inf, &s);
    assert_int_equal(s.watch.divergences, 2);
    assert_string_equal(b.watch_rv, "22");
    finish(&b);
}

static void test_audit__events_that_were_only_late(void **state) {
    struct bench b;
    struct informer_stats s;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1") "," ITEM("ns", "b", "u2", "6", "1") "," ITEM(
                                 "ns", "c", "u3", "7", "1") "," ITEM("ns", "d", "u4", "8", "1")));
    start_audit(&b);
    line(&b, EVENT("DELETED", ITEM("ns", "d", "u4", "25", "1"))); /* after the list's RV, before its answer */
    list_text(&b, LIST("20", ITEM("ns", "a", "u1", "15", "2") "," ITEM("ns", "d", "u4", "8",
                                                                       "1") "," ITEM("ns", "c", "u3", "7", "1")));
    assert_int_equal(b.watch_ticket, 0); /* the watch was beyond 20: "a" and "b" are certain differences */
    informer_stats(b.inf, &s);
    assert_int_equal(s.watch.divergences, 2);
    finish(&b);

    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1") "," ITEM("ns", "b", "u2", "6", "1")));
    start_audit(&b);
    list_text(&b, LIST("20", ITEM("ns", "a", "u9", "15", "2")));
    line(&b, EVENT("DELETED", ITEM("ns", "b", "u2", "13", "1")));
    line(&b, EVENT("ADDED", ITEM("ns", "a", "u9", "15", "2")));
    line(&b, EVENT("ADDED", ITEM("ns", "e", "u5", "21", "1")));
    informer_stats(b.inf, &s);
    assert_int_equal(s.watch.divergences, 0);
    assert_int_equal(s.watch.audits, 1);
    assert_true(b.watch_ticket != 0);
    finish(&b);
}

static void test_audit__quiet_and_equal(void **state) {
    struct bench b;
    struct informer_stats s;
    (void)state;
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    informer_wrote(b.inf, "binding", "18");
    start_audit(&b);
    list_text(&b, LIST("20", ITEM("ns", "a", "u1", "5", "1")));
    informer_stats(b.inf, &s);
    assert_int_equal(s.watch.audits, 1);
    assert_string_equal(s.progress, "20"); /* complete up to there, for certain */
    assert_true(informer_ready(b.inf, "binding"));
    start_audit((b.lists = 1, &b)); /* the next one, ten minutes later or when the watch has come to its deadline */
    finish(&b);
}

static void test_store__warm_start(void **state) { /* S11, trap 1 */
    struct bench b;
    (void)state;
    memset(&b, 0, sizeof b);
    begin_with(&b, 0, true);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1") "," ITEM("ns", "b", "u2", "6", "1")));
    assert_int_equal(b.commits, 1);
    assert_string_equal(b.saved_rv, "10");
    assert_int_equal(b.nsaved, 2);
    assert_null(strstr(b.saved_text[0], "managedFields")); /* K-I7 */
    informer_free(b.inf);
    assert_int_equal(things, 0);
    forget_changes(&b);

    begin_with(&b, 0, true); /* another process */
    assert_value(&b, "ns/a", "1");
    assert_false(informer_synced(b.inf)); /* to look at, not to act on */
    assert_int_equal(b.synced, 0);
    assert_int_equal(b.nchanged, 2);
    assert_string_equal(b.list_rv, ""); /* the first list is of now, whatever is remembered (K-L2) */
    forget_changes(&b);
    list_text(&b, LIST("30", ITEM("ns", "a", "u1", "5", "1")));
    assert_true(informer_synced(b.inf));
    assert_value(&b, "ns/b", NULL);
    assert_int_equal(b.nchanged, 1);
    assert_int_equal(b.commits, 2);
    start_audit((b.lists = 1, &b)); /* an audit that finds nothing refreshes the snapshot */
    list_text(&b, LIST("40", ITEM("ns", "a", "u1", "5", "1")));
    assert_string_equal(b.saved_rv, "40");
    finish(&b);
}

static void test_store__garbage_in_a_snapshot(void **state) { /* S11: changes speed only */
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"metadata\":{}}",
        "{\"bad\":\"1\"}",
        ITEM("ns", "other", "u", "1", "1"),
        "{\"bad\":\"1\",\"metadata\":{\"name\":\"k\",\"uid\":\"u\",\"resourceVersion\":\"1\"}}"};
    struct bench b;
    (void)state;
    memset(&b, 0, sizeof b);
    (void)str_copy(b.saved_rv, sizeof b.saved_rv, "garbage");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        b.saved_key[i] = strdup("k");
        b.saved_text[i] = strdup(texts[i]);
        b.nsaved++;
    }
    begin_with(&b, 0, true);
    assert_int_equal(count_of(&b), 0);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    assert_value(&b, "ns/a", "1");
    finish(&b);
}

static void test_cache__refuses_old_news(void **state) { /* K-W12, S12 */
    struct cache *c = cache_new(3, thing_free);
    struct error err;
    struct object_identity id = {.key = "k", .uid = "u", .resource_version = "10"};
    json *o = json_object();
    (void)state;
    assert_int_equal(cache_upsert(c, &id, thing_decode(o, &err)), CACHE_ADDED);
    assert_int_equal(cache_upsert(c, &id, thing_decode(o, &err)), CACHE_STALE);
    id.resource_version = "9";
    assert_int_equal(cache_upsert(c, &id, thing_decode(o, &err)), CACHE_STALE);
    assert_int_equal(cache_delete(c, &id), CACHE_STALE);
    id.uid = "older";
    assert_int_equal(cache_upsert(c, &id, thing_decode(o, &err)), CACHE_STALE);
    id.resource_version = "11";
    assert_int_equal(cache_upsert(c, &id, thing_decode(o, &err)), CACHE_RECREATED);
    id.resource_version = "12";
    assert_int_equal(cache_upsert(c, &id, thing_decode(o, &err)), CACHE_UPDATED);
    assert_string_equal(cache_get(c, "k")->resource_version, "12");
    assert_int_equal(cache_delete(c, &id), CACHE_DELETED);
    assert_int_equal(cache_count(c), 0);
    cache_set_progress(c, "5");
    cache_set_progress(c, "4");
    assert_string_equal(cache_progress(c), "5");

    struct cache_stage *s = cache_stage_new(c);
    assert_int_equal(cache_stage_put(s, &id, thing_decode(o, &err), NULL), CACHE_ADDED);
    assert_int_equal(cache_stage_put(s, &id, thing_decode(o, &err), strdup("text")), CACHE_STALE);
    assert_false(cache_stage_keep(s, &id));
    cache_swap(c, s, "20", false, NULL, NULL);
    assert_int_equal(cache_count(c), 1);
    cache_stage_free(NULL);
    cache_free(NULL);
    cache_free(c);
    json_free(o);
    assert_int_equal(things, 0);
}

static void test_identity__keys(void **state) {
    struct object_identity id;
    struct error err;
    char text[1200];
    char name[600];
    (void)state;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"%s\",\"uid\":\"u\",\"resourceVersion\":\"1\"}}", name);
    json *o = json_parse(text, strlen(text), &err);
    assert_false(object_identity_read(o, &id, &err));
    json_free(o);
    assert_false(object_identity_read(NULL, &id, &err));
}

static void test_free__at_any_moment(void **state) {
    struct bench b;
    (void)state;
    begin(&b);
    finish(&b);
    begin(&b);
    list_text(&b, "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"t\"},\"items\":[" ITEM("ns", "b", "u1", "4",
                                                                                                   "1") "]}");
    finish(&b);
    begin(&b);
    list_text(&b, LIST("10", ITEM("ns", "a", "u1", "5", "1")));
    start_audit(&b);
    finish(&b);
    informer_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_list__changed_then_synced),
        cmocka_unit_test(test_events__upsert_and_delete),
        cmocka_unit_test(test_uid__is_identity),
        cmocka_unit_test(test_bookmark__touches_no_object),
        cmocka_unit_test(test_truncated_event__at_every_byte),
        cmocka_unit_test(test_garbage__changes_nothing),
        cmocka_unit_test(test_many_events__in_one_chunk),
        cmocka_unit_test(test_huge_event),
        cmocka_unit_test(test_relist__swaps_and_reports_the_difference),
        cmocka_unit_test(test_relist__an_older_object_is_refused),
        cmocka_unit_test(test_undecodable__keeps_the_last_readable_state),
        cmocka_unit_test(test_bounds__objects),
        cmocka_unit_test(test_read_your_writes),
        cmocka_unit_test(test_absent_crd__keeps_everything),
        cmocka_unit_test(test_error_events),
        cmocka_unit_test(test_audit__finds_what_the_watch_lost),
        cmocka_unit_test(test_audit__events_that_were_only_late),
        cmocka_unit_test(test_audit__quiet_and_equal),
        cmocka_unit_test(test_store__warm_start),
        cmocka_unit_test(test_store__garbage_in_a_snapshot),
        cmocka_unit_test(test_cache__refuses_old_news),
        cmocka_unit_test(test_identity__keys),
        cmocka_unit_test(test_free__at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
