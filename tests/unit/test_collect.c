/* test_collect.c - what a world is made of: from informers, and from one LIST each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "controller/collect.h"
#include "platform/base/str.h"
#include "support_ports.h"

#define OBJECT(name, rest)                                                                                             \
    "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"u-" name "\",\"resourceVersion\":\"5\"}" rest "}"
#define BINDING(name)                                                                                                  \
    "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"" name                \
    "\",\"uid\":\"u-" name "\",\"resourceVersion\":\"5\"},\"spec\":{}}"
#define LIST(items) "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" items "]}"

static json *parse(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    if (!j)
        fail_msg("%s: %s", err.message, text);
    return j;
}

static const char *const answers[WATCH_COUNT] = {
    [WATCH_BINDINGS] = LIST(BINDING("a") "," BINDING("b")),
    [WATCH_SERVICE_ACCOUNT] = LIST(OBJECT("aws-node", "")),
    [WATCH_DAEMON_SET] = LIST(OBJECT("aws-node", ",\"spec\":{\"template\":{\"spec\":{\"containers\":[]}}}")),
    [WATCH_PODS] = LIST(OBJECT("aws-node-1", ",\"spec\":{\"containers\":[]}") "," OBJECT("aws-node-2", "")),
    [WATCH_NODES] = LIST(OBJECT("n1", ",\"spec\":{\"providerID\":\"aws:///a/i-1\"}")),
    [WATCH_EVENTS] = LIST(""),
};

static void make_lists(json *lists[WATCH_COUNT]) {
    for (int k = 0; k < WATCH_COUNT; k++)
        lists[k] = parse(answers[k]);
}

static void free_lists(json *lists[WATCH_COUNT]) {
    for (int k = 0; k < WATCH_COUNT; k++)
        json_free(lists[k]);
}

static void check_world(const struct world *w) {
    assert_string_equal(w->service_account->meta.name, "aws-node");
    assert_string_equal(w->daemon_set->meta.name, "aws-node");
    assert_int_equal(w->npods, 2);
    assert_string_equal(w->pods[1]->meta.name, "aws-node-2");
    assert_int_equal(w->nnodes, 1);
    assert_string_equal(w->nodes[0]->meta.name, "n1");
    assert_int_equal(w->nevents, 0);
}

static void test_what_is_watched(void **state) {
    (void)state;
    assert_string_equal(watched_kind(WATCH_BINDINGS)->target.resource, "cniiambindings");
    for (int k = 0; k < WATCH_COUNT; k++) {
        const struct watched_kind *kind = watched_kind((enum watched)k);
        assert_non_null(kind->decode);
        assert_non_null(kind->free_view);
        bool of_cluster = k == WATCH_BINDINGS || k == WATCH_NODES;
        assert_int_equal(kind->target.ns == NULL, of_cluster);
        assert_int_equal(!kind->target.label_selector && !kind->target.field_selector,
                         of_cluster); /* nothing more than needed */
    }
}

static void test_lists_make_a_world(void **state) {
    (void)state;
    json *lists[WATCH_COUNT];
    struct error err = {0};
    struct world w = {0};
    struct arena *a = arena_new(0);
    make_lists(lists);
    json *mine = parse(BINDING("b"));
    struct cib_binding *b = cib_decode(mine, &err);
    struct cluster_view *v = cluster_view_from_lists(lists, &err);
    free_lists(lists); /* the view holds nothing of them */
    json_free(mine);
    assert_non_null(v);
    cluster_view_fill(v, b, a, &w);
    check_world(&w);
    assert_ptr_equal(w.binding, b);
    assert_int_equal(w.nbindings, 2); /* ours stands for the listed one of its name */
    assert_string_equal(w.bindings[0]->name, "a");
    assert_ptr_equal(w.bindings[1], b);
    cluster_view_free(v);
    cib_free(b);
    arena_free(a);
}

static void test_an_empty_cluster(void **state) {
    (void)state;
    json *lists[WATCH_COUNT] = {0};
    struct error err = {0};
    struct world w = {0};
    struct arena *a = arena_new(0);
    json *mine = parse(BINDING("new"));
    struct cib_binding *b = cib_decode(mine, &err);
    struct cluster_view *v = cluster_view_from_lists(lists, &err);
    assert_non_null(v);
    cluster_view_fill(v, b, a, &w);
    assert_int_equal(w.nbindings, 1);
    assert_null(w.service_account);
    assert_null(w.daemon_set);
    assert_int_equal(w.npods + w.nnodes + w.nevents, 0);
    cluster_view_free(v);
    cluster_view_free(NULL);
    cib_free(b);
    json_free(mine);
    arena_free(a);
}

static void test_what_can_not_be_read_is_named(void **state) {
    (void)state;
    for (int k = 0; k < WATCH_COUNT; k++) {
        json *lists[WATCH_COUNT];
        struct error err = {0};
        make_lists(lists);
        json_push((json *)(uintptr_t)json_array(lists[k], "items"), json_object());
        assert_null(cluster_view_from_lists(lists, &err));
        assert_true(str_has_prefix(err.message, watched_kind((enum watched)k)->target.resource));
        free_lists(lists);
    }
}

/* --- from informers: each is answered its list by hand --- */

static struct watch_sink sinks[WATCH_COUNT];
static int nsinks;

static uint64_t source_list(void *ctx, const struct watch_target *t, const struct list_query *q,
                            struct watch_sink sink) {
    (void)ctx;
    (void)t;
    (void)q;
    assert_true(nsinks < WATCH_COUNT);
    sinks[nsinks++] = sink;
    return (uint64_t)nsinks;
}

static uint64_t source_watch(void *ctx, const struct watch_target *t, const struct watch_query *q,
                             struct watch_sink sink) {
    (void)ctx;
    (void)t;
    (void)q;
    (void)sink;
    return 99;
}

static void source_close(void *ctx, uint64_t ticket) {
    (void)ctx;
    (void)ticket;
}

static void changed(void *arg, const char *key) {
    (void)key;
    ++*(int *)arg;
}

static void test_informers_make_a_world_that_stays(void **state) {
    (void)state;
    static struct ports ports;
    struct informer *informers[WATCH_COUNT];
    struct watch_source source = {NULL, source_list, source_watch, source_close};
    struct cluster_view *v = NULL;
    struct world w = {0};
    int changes = 0;
    ports_init(&ports);
    nsinks = 0;
    for (int k = 0; k < WATCH_COUNT; k++) {
        const struct watched_kind *kind = watched_kind((enum watched)k);
        struct informer_config config = {.target = kind->target,
                                         .decode = kind->decode,
                                         .free_view = kind->free_view,
                                         .changed = changed,
                                         .arg = &changes};
        informers[k] = informer_new(&config, source, ports_clock(&ports), NULL);
        informer_start(informers[k]);
        ports_advance(&ports, 0);
        assert_int_equal(nsinks, k + 1);
        sinks[k].on_list(sinks[k].arg, parse(answers[k]), NULL);
        assert_true(informer_synced(informers[k]));
    }
    assert_int_equal(changes, 7);
    assert_false(cluster_view_from_informers(informers, "gone", ports.arena, &w, &v));
    assert_true(cluster_view_from_informers(informers, "b", ports.arena, &w, &v));
    for (int k = 0; k < WATCH_COUNT; k++)
        informer_free(informers[k]); /* the world is a snapshot of its own */
    check_world(&w);
    assert_string_equal(w.binding->name, "b");
    assert_int_equal(w.nbindings, 2);
    cluster_view_free(v);
    ports_done(&ports);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_watched),
        cmocka_unit_test(test_lists_make_a_world),
        cmocka_unit_test(test_an_empty_cluster),
        cmocka_unit_test(test_what_can_not_be_read_is_named),
        cmocka_unit_test(test_informers_make_a_world_that_stays),
    };
    return cmocka_run_group_tests_name("collect", tests, NULL, NULL);
}
