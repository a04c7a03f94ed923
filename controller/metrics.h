/*
 * metrics.h - Prometheus text; the names are a contract (docs/operations.md).
 * Model: a source that is NULL has no rows, or its zero; what another module counts is asked for, nothing is kept here.
 * Ownership: borrows everything for the call.   Errors: none; beyond the page's maximum the page is refused by the
 * server.
 */
#ifndef CNI_IAM_CONTROLLER_METRICS_H
#define CNI_IAM_CONTROLLER_METRICS_H

#include "controller/collect.h"
#include "controller/driver.h"
#include "controller/events.h"
#include "controller/leader.h"
#include "controller/work_queue.h"
#include "platform/aws/aws_client.h"
#include "platform/base/buf.h"
#include "platform/k8s/k8s_client.h"
#include "platform/port/store.h"

struct metrics_sources {
    const struct driver *driver;
    const struct work_queue *queue;
    const struct leader *leader; /* NULL: --leader-elect=false */
    const struct events *events;
    const struct k8s_client *k8s;
    const struct aws_client *aws;
    const struct store *store;         /* NULL: none */
    struct informer *const *informers; /* WATCH_COUNT of them, or NULL */
    int64_t fenced;                    /* writes of the clients that a stale lease held back, beside the driver's own */
    int64_t now_boot_ms;
    const char *version;
};
void metrics_render(const struct metrics_sources *m, struct buf *out);

#endif
