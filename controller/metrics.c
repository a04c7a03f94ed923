#include "controller/metrics.h"

#include <inttypes.h>

#define PREFIX "cni_iam_"

static void one(struct buf *b, const char *name, const char *type, const char *help, int64_t value) {
    buf_printf(b, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n" PREFIX "%s %" PRId64 "\n", name, help, name, type,
               name, value);
}

static void head(struct buf *b, const char *name, const char *type, const char *help) {
    buf_printf(b, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void k8s_row(void *arg, const struct k8s_stat *s) {
    buf_printf(arg, PREFIX "api_requests_total{verb=\"%s\",resource=\"%s\",code=\"%d\"} %" PRIu64 "\n", s->verb,
               s->resource, s->code, s->count);
}

static void aws_row(void *arg, const struct aws_stat *s) {
    buf_printf(arg, PREFIX "aws_requests_total{service=\"%s\",api=\"%s\",code=\"%s\"} %" PRIu64 "\n", s->service,
               s->operation, s->outcome, s->count);
}

static void pass_rows(const struct driver_stats *s, struct buf *b) {
    const struct {
        const char *result;
        uint64_t n;
    } rows[] = {{"acted", s->acted}, {"quiet", s->quiet}, {"failed", s->failed}, {"put_off", s->put_off}};
    head(b, "reconcile_total", "counter", "Passes by their end.");
    uint64_t ended = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_printf(b, PREFIX "reconcile_total{result=\"%s\"} %" PRIu64 "\n", rows[i].result, rows[i].n);
        ended += rows[i].n;
    }
    head(b, "reconcile_duration_seconds", "summary", "Time of passes, reads and writes included.");
    buf_printf(b, PREFIX "reconcile_duration_seconds_sum %" PRIu64 ".%03u\n", s->pass_ms / 1000,
               (unsigned)(s->pass_ms % 1000));
    buf_printf(b, PREFIX "reconcile_duration_seconds_count %" PRIu64 "\n", ended);
}

static void driver_rows(const struct metrics_sources *m, struct buf *b) {
    struct driver_stats s;
    driver_stats(m->driver, &s);
    pass_rows(&s, b);
    one(b, "steps_total", "counter", "Writes done.", (int64_t)s.steps);
    one(b, "step_failures_total", "counter", "Writes that failed.", (int64_t)s.step_failures);
    one(b, "status_writes_total", "counter", "Status writes.", (int64_t)s.status_writes);
    one(b, "reads_total", "counter", "Reads that decisions asked for.", (int64_t)s.reads);
    one(b, "stale_sync_skips_total", "counter", "Passes put off until the informers saw our own write.",
        (int64_t)s.stale_skips);
    one(b, "self_fence_total", "counter", "Writes not begun because the lease was not fresh enough.",
        (int64_t)s.fenced + m->fenced);
    one(b, "nodes_total", "gauge", "Pods of aws-node.", s.nodes_total);
    one(b, "nodes_proven", "gauge", "Of these Ready with the role.", s.nodes_proven);
    one(b, "nodes_unproven", "gauge", "Of these not Ready, or without the role.", s.nodes_total - s.nodes_proven);
    one(b, "uninjected_pods", "gauge", "Of these without.", s.uninjected);
    one(b, "detach_intents_open", "gauge", "Detachments announced and not seen done.", s.intents_open);
    one(b, "invariant_violations_total", "counter",
        "Promises of the program that were broken, and the act not done: a bug.", (int64_t)s.violations);
}

static const char *resource_of(int k) {
    return watched_kind((enum watched)k)->target.resource;
}

static void restart_rows(struct buf *b, const char *resource, const struct watch_counters *w) {
    const struct {
        const char *reason;
        int64_t n;
    } rows[] = {
        {"gone", w->gone}, {"regression", w->regressions}, {"divergence", w->divergences}, {"backoff", w->backoffs}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        buf_printf(b, PREFIX "watch_restarts_total{resource=\"%s\",reason=\"%s\"} %" PRId64 "\n", resource,
                   rows[i].reason, rows[i].n);
}

static void informer_rows(const struct metrics_sources *m, struct buf *b) {
    struct informer_stats s[WATCH_COUNT];
    for (int k = 0; k < WATCH_COUNT; k++)
        informer_stats(m->informers[k], &s[k]);
    head(b, "store_age_seconds", "gauge", "Since the last contact with the API server, by resource; -1: none yet.");
    for (int k = 0; k < WATCH_COUNT; k++)
        buf_printf(b, PREFIX "store_age_seconds{resource=\"%s\"} %" PRId64 "\n", resource_of(k),
                   s[k].last_contact_ms ? (m->now_boot_ms - s[k].last_contact_ms) / 1000 : -1);
    head(b, "store_objects", "gauge", "Objects held, by resource.");
    for (int k = 0; k < WATCH_COUNT; k++)
        buf_printf(b, PREFIX "store_objects{resource=\"%s\"} %zu\n", resource_of(k), s[k].objects);
    head(b, "store_resource_version", "gauge", "How far the cache is, by resource.");
    for (int k = 0; k < WATCH_COUNT; k++) {
        int64_t rv;
        if (str_to_int64(s[k].progress, &rv))
            buf_printf(b, PREFIX "store_resource_version{resource=\"%s\"} %" PRId64 "\n", resource_of(k), rv);
    }
    head(b, "watches_total", "counter", "Watches opened, by resource.");
    for (int k = 0; k < WATCH_COUNT; k++)
        buf_printf(b, PREFIX "watches_total{resource=\"%s\"} %" PRId64 "\n", resource_of(k), s[k].watch.watches);
    head(b, "watch_restarts_total", "counter", "Watches and lists given up, by resource and reason.");
    for (int k = 0; k < WATCH_COUNT; k++)
        restart_rows(b, resource_of(k), &s[k].watch);
}

static void count_throttles(void *arg, const struct aws_stat *s) {
    if (str_eq(s->outcome, error_name(ERR_THROTTLED)))
        *(uint64_t *)arg += s->count;
}

static void call_rows(const struct metrics_sources *m, struct buf *b) {
    uint64_t throttles = 0;
    head(b, "api_requests_total", "counter", "Calls of the API server.");
    if (m->k8s)
        k8s_client_stats(m->k8s, k8s_row, b);
    head(b, "aws_requests_total", "counter", "Calls of AWS.");
    if (m->aws)
        aws_client_stats(m->aws, aws_row, b);
    if (m->aws)
        aws_client_stats(m->aws, count_throttles, &throttles);
    one(b, "aws_throttles_total", "counter", "Calls that AWS throttled.", (int64_t)throttles);
}

void metrics_render(const struct metrics_sources *m, struct buf *b) {
    struct work_queue_stats q = work_queue_stats(m->queue);
    head(b, "build_info", "gauge", "Version.");
    buf_printf(b, PREFIX "build_info{version=\"%s\"} 1\n", m->version);
    driver_rows(m, b);
    one(b, "queue_depth", "gauge", "Bindings that wait for a pass.", (int64_t)q.depth);
    one(b, "queue_adds_total", "counter", "Adds.", (int64_t)q.adds);
    one(b, "queue_retries_total", "counter", "Adds after a failure.", (int64_t)q.retries);
    one(b, "leader", "gauge", "1 while leading.", m->leader ? leader_is_leading(m->leader) : 1);
    one(b, "lease_renew_age_ms", "gauge", "Since the last renewal; -1: never.",
        m->leader ? leader_renew_age_ms(m->leader) : -1);
    one(b, "events_dropped_total", "counter", "Events that were not posted.", events_dropped(m->events));
    one(b, "sqlite_errors_total", "counter", "Store calls that failed.",
        m->store ? m->store->errors(m->store->ctx) : 0);
    if (m->informers)
        informer_rows(m, b);
    call_rows(m, b);
}
