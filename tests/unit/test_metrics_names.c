/* metrics.c: the names are a contract (docs/operations.md), and the text is what Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/metrics.h"
#include "platform/base/log.h"
#include "platform/base/str.h"
#include "support_ports.h"

static struct ports ports;
static struct work_queue *queue;
static struct driver *driver;
static struct events *events;
static struct informer *informers[WATCH_COUNT];
static struct buf page;
static bool gone;

static void nothing(void *arg) {
    (void)arg;
}

static void changed(void *arg, const char *key) {
    (void)arg;
    (void)key;
}

static uint64_t no_list(void *ctx, const struct watch_target *t, const struct list_query *q, struct watch_sink sink) {
    (void)ctx;
    (void)t;
    (void)q;
    (void)sink;
    return 1;
}

static uint64_t no_watch(void *ctx, const struct watch_target *t, const struct watch_query *q, struct watch_sink sink) {
    (void)ctx;
    (void)t;
    (void)q;
    (void)sink;
    return 1;
}

static void no_close(void *ctx, uint64_t ticket) {
    (void)ctx;
    (void)ticket;
}

static bool collect(void *arg, const char *name, struct arena *a, struct world *w, void **hold) {
    (void)arg;
    (void)name;
    (void)a;
    (void)w;
    (void)hold;
    gone = true;
    return false;
}

static int64_t errors_of_store(void *ctx) {
    (void)ctx;
    return 3;
}

static int setup(void **state) {
    (void)state;
    ports_init(&ports);
    buf_init(&page, 1024 * 1024);
    queue = work_queue_new(ports_clock(&ports), nothing, NULL);
    events = events_new(ports_effector(&ports), ports_clock(&ports), "host");
    struct driver_options o = {
        .effector = ports_effector(&ports), .clock = ports_clock(&ports), .queue = queue, .collect = collect};
    driver = driver_new(&o);
    struct watch_source source = {.list = no_list, .watch = no_watch, .close = no_close};
    for (int k = 0; k < WATCH_COUNT; k++) {
        const struct watched_kind *kind = watched_kind((enum watched)k);
        struct informer_config config = {
            .target = kind->target, .decode = kind->decode, .free_view = kind->free_view, .changed = changed};
        informers[k] = informer_new(&config, source, ports_clock(&ports), NULL);
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int k = 0; k < WATCH_COUNT; k++)
        informer_free(informers[k]);
    driver_free(driver);
    events_free(events);
    work_queue_free(queue);
    buf_done(&page);
    ports_done(&ports);
    return 0;
}

static const char *render(void) {
    static const struct store store = {.errors = errors_of_store};
    struct metrics_sources m = {.driver = driver,
                                .queue = queue,
                                .events = events,
                                .store = &store,
                                .informers = informers,
                                .fenced = 2,
                                .now_boot_ms = ports.boot,
                                .version = "1.2.3"};
    buf_reset(&page);
    metrics_render(&m, &page);
    return buf_str(&page);
}

static void assert_has(const char *text, const char *row) {
    if (!strstr(text, row))
        fail_msg("no \"%s\" in:\n%s", row, text);
}

static void test_every_name_of_the_contract_is_there(void **state) {
    (void)state;
    static const char *const names[] = {"reconcile_total",
                                        "reconcile_duration_seconds",
                                        "queue_depth",
                                        "queue_adds_total",
                                        "queue_retries_total",
                                        "watch_restarts_total",
                                        "store_resource_version",
                                        "store_age_seconds",
                                        "stale_sync_skips_total",
                                        "api_requests_total",
                                        "aws_requests_total",
                                        "aws_throttles_total",
                                        "leader",
                                        "lease_renew_age_ms",
                                        "self_fence_total",
                                        "nodes_total",
                                        "nodes_proven",
                                        "nodes_unproven",
                                        "uninjected_pods",
                                        "detach_intents_open",
                                        "invariant_violations_total",
                                        "sqlite_errors_total",
                                        "build_info"};
    const char *text = render();
    char row[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(row, sizeof row, "# TYPE cni_iam_%s ", names[i]);
        assert_has(text, row);
    }
}

static void test_values(void **state) {
    (void)state;
    work_queue_add(queue, "a");
    const char *text = render();
    assert_has(text, "cni_iam_build_info{version=\"1.2.3\"} 1\n");
    assert_has(text, "cni_iam_queue_depth 1\n");
    assert_has(text, "cni_iam_leader 1\n"); /* without election: leading */
    assert_has(text, "cni_iam_lease_renew_age_ms -1\n");
    assert_has(text, "cni_iam_sqlite_errors_total 3\n");
    assert_has(text, "cni_iam_self_fence_total 2\n");
    assert_has(text, "cni_iam_invariant_violations_total 0\n");
    assert_has(text, "cni_iam_store_age_seconds{resource=\"pods\"} -1\n");
    assert_has(text, "cni_iam_reconcile_total{result=\"acted\"} 0\n");
    assert_has(text, "cni_iam_reconcile_duration_seconds_sum 0.000\n");
    driver_wake(driver);
    ports_advance(&ports, 0);
    assert_true(gone);
    assert_has(render(), "cni_iam_queue_depth 0\n");
}

static bool is_name(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!islower((unsigned char)p[i]) && p[i] != '_' && !isdigit((unsigned char)p[i]))
            return false;
    return n > strlen("cni_iam_") && strncmp(p, "cni_iam_", 8) == 0;
}

/* Each line is a comment or "name{labels} value"; a TYPE comes before the samples of its name, and once. */
static void test_every_line_is_of_the_text_format(void **state) {
    (void)state;
    char *text = strdup(render()), *save = NULL;
    assert_non_null(text);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (str_has_prefix(line, "# HELP ") || str_has_prefix(line, "# TYPE "))
            continue;
        size_t n = strcspn(line, "{ ");
        assert_true(is_name(line, n));
        const char *value = strrchr(line, ' ');
        char *end;
        assert_non_null(value);
        (void)strtod(value + 1, &end);
        assert_true(*end == '\0' && end > value + 1);
        if (line[n] == '{')
            assert_true(value[-1] == '}');
    }
    free(text);
    const char *all = render();
    for (const char *t = strstr(all, "# TYPE "); t; t = strstr(t + 1, "# TYPE ")) {
        char row[128];
        size_t n = strcspn(t + 7, " ");
        snprintf(row, sizeof row, "# TYPE %.*s ", (int)n, t + 7);
        const char *first = strstr(all, row);
        assert_ptr_equal(first, t); /* once */
    }
}

static void test_while_starting_there_is_less(void **state) {
    (void)state;
    struct metrics_sources m = {.driver = driver, .queue = queue, .events = events, .version = "x"};
    metrics_render(&m, &page);
    assert_null(strstr(buf_str(&page), "store_age_seconds"));
    assert_has(buf_str(&page), "cni_iam_sqlite_errors_total 0\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_name_of_the_contract_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_line_is_of_the_text_format, setup, teardown),
        cmocka_unit_test_setup_teardown(test_while_starting_there_is_less, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
