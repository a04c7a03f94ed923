#include "controller/metrics.h"

#include <inttypes.h>

#define PREFIX "cni_iam_"

static void one(struct buf *b, const char *name, const char *type, const char *help, int64_t value)
{
    buf_printf(b, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n" PREFIX "%s %" PRId64 "\n", name, help, name, type, name, value);
}

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void k8s_row(void *arg, const struct k8s_stat *s)
{
    buf_printf(arg, PREFIX "api_requests_total{verb=\"%s\",resource=\"%s\",code=\"%d\"} %" PRIu64 "\n", s->verb, s->resource, s->code,
               s->count);
}

static void aws_row(void *arg, const struct aws_stat *s)
{
    buf_printf(arg, PREFIX "aws_requests_total{service=\"%s\",api=\"%s\",code=\"%s\"} %" PRIu64 "\n", s->service, s->operation, s->outcome,
               s->count);
}

static void driver_rows(const struct metrics_sources *m, struct buf *b)
{
    struct driver_stats s;
    driver_stats(m->driver, &s);
    one(b, "reconcile_total", "counter", "Passes begun.", (int64_t)s.passes);
    one(b, "steps_total", "counter", "Writes done.", (int64_t)s.steps);
    one(b, "step_failures_total", "counter", "Writes that failed.", (int64_t)s.step_failures);
    one(b, "status_writes_total", "counter", "Status writes.", (int64_t)s.status_writes);
    one(b, "stale_sync_skips_total", "counter", "Passes put off until the informers saw our own write.", (int64_t)s.stale_skips);
    one(b, "nodes_total", "gauge", "Pods of aws-node.", s.nodes_total);
    one(b, "nodes_proven", "gauge", "Of these Ready with the role.", s.nodes_proven);
    one(b, "uninjected_pods", "gauge", "Of these without.", s.uninjected);
    one(b, "detach_intents_open", "gauge", "Detachments announced and not seen done.", s.intents_open);
    one(b, "invariant_violations_total", "counter", "Passes whose reads did not end: a bug.", (int64_t)s.violations);
}

static void informer_rows(const struct metrics_sources *m, struct buf *b)
{
    head(b, "store_age_seconds", "gauge", "Since the last contact with the API server, by resource.");
    for (int k = 0; k < WATCH_COUNT; k++) {
        struct informer_stats s;
        informer_stats(m->informers[k], &s);
        int64_t age = s.last_contact_ms ? (m->now_boot_ms - s.last_contact_ms) / 1000 : -1;
        buf_printf(b, PREFIX "store_age_seconds{resource=\"%s\"} %" PRId64 "\n", watched_kind((enum watched)k)->target.resource, age);
    }
    head(b, "store_objects", "gauge", "Objects held, by resource.");
    for (int k = 0; k < WATCH_COUNT; k++) {
        struct informer_stats s;
        informer_stats(m->informers[k], &s);
        buf_printf(b, PREFIX "store_objects{resource=\"%s\"} %zu\n", watched_kind((enum watched)k)->target.resource, s.objects);
    }
}

void metrics_render(const struct metrics_sources *m, struct buf *b)
{
    struct work_queue_stats q = work_queue_stats(m->queue);
    head(b, "build_info", "gauge", "Version.");
    buf_printf(b, PREFIX "build_info{version=\"%s\"} 1\n", m->version);
    driver_rows(m, b);
    one(b, "queue_depth", "gauge", "Bindings that wait for a pass.", (int64_t)q.depth);
    one(b, "queue_adds_total", "counter", "Adds.", (int64_t)q.adds);
    one(b, "queue_retries_total", "counter", "Adds after a failure.", (int64_t)q.retries);
    one(b, "leader", "gauge", "1 while leading.", m->leader ? leader_is_leading(m->leader) : 1);
    one(b, "lease_renew_age_ms", "gauge", "Since the last renewal; -1: never.", m->leader ? leader_renew_age_ms(m->leader) : -1);
    one(b, "events_dropped_total", "counter", "Events that were not posted.", events_dropped(m->events));
    one(b, "sqlite_errors_total", "counter", "Store calls that failed.", m->store ? m->store->errors(m->store->ctx) : 0);
    informer_rows(m, b);
    head(b, "api_requests_total", "counter", "Calls of the API server.");
    k8s_client_stats(m->k8s, k8s_row, b);
    head(b, "aws_requests_total", "counter", "Calls of AWS.");
    aws_client_stats(m->aws, aws_row, b);
}
