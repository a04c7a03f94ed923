#include "controller/operator.h"

#include <stdlib.h>
#include <string.h>

#include "controller/collect.h"
#include "controller/driver.h"
#include "controller/events.h"
#include "controller/leader.h"
#include "controller/preflight.h"
#include "platform/base/log.h"
#include "platform/base/mutant.h"
#include "platform/base/random.h"
#include "platform/k8s/k8s_watch.h"

#define IDENTIFY_RETRY_MS 5000
#define STOP_POLL_MS 50
#define LEASE_STALE_MS 20000
#define OPEN_INTENTS_MAX 64

struct cni_operator {
    struct operator_options o;
    struct prng prng; /* seeds of the parts */
    struct operator_config config;
    struct k8s_watch *watch;
    struct informer *informers[WATCH_COUNT];
    struct work_queue *queue;
    struct driver *driver;
    struct events *events;
    struct leader *leader; /* NULL: --leader-elect=false */
    struct preflight *preflight;
    char cluster_uid[64];
    char lease_ns[256];
    bool started, stopping;
    int waited_ms;        /* for the call under way, while stopping */
    uint64_t timer, call; /* while starting or stopping: the one that will call back */
    void (*stopped)(void *arg);
    void *stopped_arg;
    int64_t fenced;
};

/* --- ports of the driver --- */

static bool may_write(void *arg) {
    struct cni_operator *op = arg;
    bool fresh = !op->leader || leader_may_write(op->leader);
    op->fenced += !fresh && leader_is_leading(op->leader);
    return fresh && !op->stopping;
}

static int64_t epoch(void *arg) {
    struct cni_operator *op = arg;
    return op->leader ? leader_epoch(op->leader) : -1;
}

/*
 * A status with a higher epoch than ours: either a later leader wrote it, and our next renewal is refused, or somebody deleted the Lease and it counts
 * from 0 again: then that renewal takes it beyond what was written (K-LE5).
 */
static void compare_epochs(struct cni_operator *op, int64_t written) {
    if (!op->leader || written <= leader_epoch(op->leader))
        return;
    LOG_WARN("leader", "a status has a later epoch than the lease", F_INT("status", written),
             F_INT("lease", leader_epoch(op->leader)));
    leader_raise_epoch(op->leader, written + 1);
}

static bool collect(void *arg, const char *name, struct arena *a, struct world *w, void **hold) {
    struct cni_operator *op = arg;
    struct cluster_view *v = NULL;
    if (!cluster_view_from_informers(op->informers, name, a, w, &v))
        return false;
    compare_epochs(op, w->binding->status.epoch);
    *hold = v;
    return true;
}

static void release(void *arg, void *hold) {
    (void)arg;
    cluster_view_free(hold);
}

static void wrote(void *arg, const char *name, const char *resource, const char *rv) {
    struct cni_operator *op = arg;
    for (int k = 0; k < WATCH_COUNT; k++)
        if (str_eq(watched_kind((enum watched)k)->target.resource, resource))
            informer_wrote(op->informers[k], name, rv);
}

static bool ready(void *arg, const char *name) {
    struct cni_operator *op = arg;
    for (int k = 0; k < WATCH_COUNT; k++)
        if (!informer_ready(op->informers[k], name))
            return false;
    return true;
}

static void post_event(void *arg, const struct cib_binding *about, bool warning, const char *reason, const char *action,
                       const char *note) {
    struct cni_operator *op = arg;
    struct event_subject subject = {.name = about->name, .uid = about->uid};
    LOG_AT_(warning ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "event", note, F_STR("binding", about->name),
            F_STR("reason", reason));
    events_post(op->events, &subject, warning, reason, action, note);
}

static void on_queue(void *arg) {
    struct cni_operator *op = arg;
    if (op->started && !op->stopping)
        driver_wake(op->driver);
}

/* --- informers --- */

/* Whatever changed, every binding is worth a look: they are one or two. */
static void on_changed(void *arg, const char *key) {
    struct cni_operator *op = arg;
    (void)key;
    if (!op->informers[WATCH_BINDINGS])
        return;
    const struct cache_snapshot *s = informer_snapshot(op->informers[WATCH_BINDINGS]);
    for (size_t i = 0; i < s->n; i++)
        work_queue_add(op->queue, ((const struct cib_binding *)s->views[i])->name);
    cache_snapshot_release(s);
    driver_nudge(op->driver);
}

/* A binding that is gone is no longer among those: its memory goes with a last pass. */
static void on_binding_changed(void *arg, const char *key) {
    work_queue_add(((struct cni_operator *)arg)->queue, key);
    on_changed(arg, key);
}

static bool all_synced(const struct cni_operator *op) {
    for (int k = 0; k < WATCH_COUNT; k++)
        if (!op->informers[k] || !informer_synced(op->informers[k]))
            return false;
    return true;
}

static void start_work(struct cni_operator *op) {
    if (op->started || op->stopping || !all_synced(op) || (op->leader && !leader_is_leading(op->leader)))
        return;
    op->started = true;
    LOG_INFO("controller", "working", F_INT("epoch", epoch(op)));
    on_changed(op, NULL);
    driver_wake(op->driver);
}

static void on_synced(void *arg) {
    struct cni_operator *op = arg;
    if (!all_synced(op))
        return;
    LOG_INFO("controller", "informers are synced");
    start_work(op);
}

static void start_informers(struct cni_operator *op, struct watch_source source) {
    for (int k = 0; k < WATCH_COUNT; k++) {
        const struct watched_kind *kind = watched_kind((enum watched)k);
        struct informer_config config = {.target = kind->target,
                                         .decode = kind->decode,
                                         .free_view = kind->free_view,
                                         .changed = k == WATCH_BINDINGS ? on_binding_changed : on_changed,
                                         .synced = on_synced,
                                         .arg = op,
                                         .cluster = op->cluster_uid,
                                         .seed = prng_next(&op->prng)};
        op->informers[k] = informer_new(&config, source, op->o.clock, &op->o.store);
    }
    for (int k = 0; k < WATCH_COUNT; k++)
        informer_start(op->informers[k]);
}

/* --- starting --- */

/* S18: a guard on the pod network depends on the very CNI it guards. */
static void judge_independence(struct cni_operator *op, const json *pod) {
    op->config.guard_independent = true;
    if (!op->o.connection->config->in_cluster)
        return;
    const char *type = json_key_str(json_path(pod, "metadata.labels"), "eks.amazonaws.com/fargate-profile");
    if (json_bool(pod, "spec.hostNetwork", false) || type)
        return;
    op->config.guard_independent = false;
    op->config.guard_dependent_why =
        pod ? "the operator's pod is on the pod network" : "the operator's own pod could not be read";
}

static void identify(void *arg);

static void on_own_pod(void *arg, struct effect_result *r) {
    struct cni_operator *op = arg;
    op->call = 0;
    if (r->error.code)
        LOG_WARN("controller", "own pod not read", F_STR("error", r->error.message));
    if (r->error.code && r->error.code != ERR_NOT_FOUND && error_is_transient(r->error.code)) {
        op->timer = op->o.clock.timer_start(op->o.clock.ctx, IDENTIFY_RETRY_MS, identify, op);
        return;
    }
    judge_independence(op, r->value);
    preflight_start(op->preflight);
    op->watch = k8s_watch_new(op->o.connection->k8s);
    start_informers(op, k8s_watch_source(op->watch));
    if (op->leader)
        leader_start(op->leader);
}

static void on_kube_system(void *arg, struct effect_result *r) {
    struct cni_operator *op = arg;
    op->call = 0;
    const char *uid = json_str(r->value, "metadata.uid");
    if (!uid) {
        LOG_WARN("controller", "the API server does not answer yet", F_STR("error", r->error.message));
        op->timer = op->o.clock.timer_start(op->o.clock.ctx, IDENTIFY_RETRY_MS, identify, op);
        return;
    }
    str_copy(op->cluster_uid, sizeof op->cluster_uid, uid);
    const char *name = getenv("CNI_IAM_POD_NAME");
    if (!op->o.connection->config->in_cluster || str_empty(name)) {
        struct effect_result none = {0};
        none.request_id = "";
        on_own_pod(op, &none);
        return;
    }
    const struct effect *e = effect_new(op->o.connection->arena, EFFECT_K8S_GET, "resource", "pods", "namespace",
                                        op->o.connection->config->ns, "name", name, NULL);
    op->call = op->o.connection->effector.submit(op->o.connection->effector.ctx, e, on_own_pod, op);
}

static void identify(void *arg) {
    struct cni_operator *op = arg;
    op->timer = 0;
    if (op->stopping)
        return;
    const struct effect *e =
        effect_new(op->o.connection->arena, EFFECT_K8S_GET, "resource", "namespaces", "name", "kube-system", NULL);
    op->call = op->o.connection->effector.submit(op->o.connection->effector.ctx, e, on_kube_system, op);
}

/* Writes of an earlier run without an outcome: they may still commit (S6c). The store may not be called from inside its own callback. */
struct open_intents {
    int64_t ids[OPEN_INTENTS_MAX];
    size_t n;
};

static void note_open_intent(void *arg, int64_t id, const struct store_intent *intent) {
    struct open_intents *open = arg;
    LOG_WARN("store", "a write of an earlier run has no outcome: live state is read before anything else",
             F_STR("effect", intent->description), F_INT("epoch", intent->epoch));
    if (open->n < OPEN_INTENTS_MAX)
        open->ids[open->n++] = id;
}

static void settle_intents(struct cni_operator *op) {
    struct open_intents open = {.n = 0};
    op->o.store.intent_each_open(op->o.store.ctx, note_open_intent, &open);
    for (size_t i = 0; i < open.n; i++)
        op->o.store.intent_close(op->o.store.ctx, open.ids[i], "unknown");
    if (open.n)
        driver_unsettled(op->driver);
}

static void on_leading(void *arg) {
    start_work(arg);
}

static void on_lost(void *arg) {
    struct cni_operator *op = arg;
    op->o.lost(op->o.arg);
}

static void make_leader(struct cni_operator *op) {
    const struct options *o = op->o.options;
    const struct k8s_config *config = op->o.connection->config;
    str_copy(op->lease_ns, sizeof op->lease_ns,
             str_or(o->leader_election_namespace, config->in_cluster ? config->ns : "kube-system"));
    if (!o->leader_elect)
        return;
    struct leader_options lo = {.ns = op->lease_ns,
                                .name = OPERATOR_LEASE_NAME,
                                .identity = op->o.identity,
                                .lease_duration_ms = o->lease_duration_ms,
                                .renew_deadline_ms = o->renew_deadline_ms,
                                .retry_period_ms = o->retry_period_ms,
                                .seed = prng_next(&op->prng),
                                .started = on_leading,
                                .lost = on_lost,
                                .arg = op};
    op->leader = leader_new(&lo, op->o.connection->effector, op->o.clock);
}

static void make_driver(struct cni_operator *op) {
    struct driver_options d = {.effector = op->o.connection->effector,
                               .clock = op->o.clock,
                               .store = &op->o.store,
                               .queue = op->queue,
                               .config = &op->config,
                               .collect = collect,
                               .release = release,
                               .wrote = wrote,
                               .ready = ready,
                               .may_write = may_write,
                               .epoch = epoch,
                               .event = post_event,
                               .arg = op};
    op->driver = driver_new(&d);
}

struct cni_operator *operator_new(const struct operator_options *o) {
    struct cni_operator *op = calloc(1, sizeof *op);
    if (!op)
        die("out of memory");
    op->o = *o;
    prng_seed(&op->prng, o->seed);
    op->config = (struct operator_config){.cluster_name = o->options->cluster_name,
                                          .region = str_or(o->options->region, o->connection->settings->region),
                                          .allowed_policy_arns = o->options->allowed_policy_arns,
                                          .role_path = o->options->role_path,
                                          .aws_audit_interval_ms = o->options->aws_audit_interval_ms};
    aws_client_seed(o->connection->aws, prng_next(&op->prng));
    op->queue = work_queue_new(o->clock, on_queue, op);
    op->events = events_new(o->connection->effector, o->clock, o->identity);
    make_driver(op);
    settle_intents(op);
    make_leader(op);
    op->preflight =
        preflight_new(o->connection->effector, o->clock, op->leader ? op->lease_ns : NULL, OPERATOR_LEASE_NAME);
    return op;
}

void operator_free(struct cni_operator *op) {
    if (!op)
        return;
    op->o.clock.timer_stop(op->o.clock.ctx, op->timer);
    if (op->call)
        op->o.connection->effector.cancel(op->o.connection->effector.ctx, op->call);
    driver_free(op->driver);
    leader_free(op->leader);
    preflight_free(op->preflight);
    for (int k = 0; k < WATCH_COUNT; k++)
        if (op->informers[k])
            informer_free(op->informers[k]);
    if (op->watch)
        k8s_watch_free(op->watch);
    work_queue_free(op->queue);
    events_free(op->events);
    free(op);
}

void operator_start(struct cni_operator *op) {
    identify(op);
}

/* --- stopping --- */

static void leave(void *arg) {
    struct cni_operator *op = arg;
    op->stopped(op->stopped_arg);
}

/* The effect under way may commit: its answer is worth waiting for, the lease's other claimants wait longer than that. */
static void wait_for_driver(void *arg) {
    struct cni_operator *op = arg;
    op->timer = 0;
    if (driver_idle(op->driver) || MUTANT(release_before_workers_stop)) {
        if (op->leader)
            leader_release(op->leader, leave, op);
        else
            leave(op);
        return;
    }
    if (op->waited_ms >=
        OPERATOR_STOP_MS) { /* it may still commit: nobody may begin before the lease runs out by itself */
        leave(op);
        return;
    }
    op->waited_ms += STOP_POLL_MS;
    op->timer = op->o.clock.timer_start(op->o.clock.ctx, STOP_POLL_MS, wait_for_driver, op);
}

void operator_stop(struct cni_operator *op, void (*done)(void *arg), void *arg) {
    if (op->stopping)
        return;
    op->stopping = true;
    op->stopped = done;
    op->stopped_arg = arg;
    op->o.clock.timer_stop(op->o.clock.ctx, op->timer);
    work_queue_shut_down(op->queue);
    driver_pause(op->driver);
    wait_for_driver(op);
}

/* --- what others ask --- */

bool operator_may_write(const struct cni_operator *op) {
    return op && may_write((void *)(uintptr_t)op);
}

bool operator_is_started(const struct cni_operator *op) {
    return op->informers[0] != NULL;
}

bool operator_lease_is_fresh(const struct cni_operator *op) {
    return !op->leader || !leader_is_leading(op->leader) ||
           leader_renew_age_ms(op->leader) <= op->o.options->lease_duration_ms + LEASE_STALE_MS;
}

bool operator_report(const struct cni_operator *op, struct buf *out) {
    bool ok = operator_is_started(op) && !op->stopping;
    if (!operator_is_started(op))
        buf_puts(out, "the API server was not reached yet\n");
    for (int k = 0; k < WATCH_COUNT && op->informers[k]; k++) {
        const char *resource = watched_kind((enum watched)k)->target.resource;
        int64_t since;
        const struct error *err = informer_error(op->informers[k], &since);
        if (informer_absent(op->informers[k]))
            buf_printf(out, "%s: the API server does not know them; install the CRD: kubectl apply -f crd/\n",
                       resource);
        else if (!informer_synced(op->informers[k]))
            buf_printf(out, "%s: not synced%s%s\n", resource, err ? ": " : "", err ? err->message : "");
        ok = ok && informer_synced(op->informers[k]);
    }
    ok = preflight_report(op->preflight, out) == 0 && ok;
    if (op->stopping)
        buf_puts(out, "stopping\n");
    else if (ok)
        buf_printf(out, "ok, %s\n", !op->leader || leader_is_leading(op->leader) ? "leading" : "standby");
    return ok;
}

void operator_metrics(const struct cni_operator *op, struct metrics_sources *out) {
    *out = (struct metrics_sources){.driver = op->driver,
                                    .queue = op->queue,
                                    .leader = op->leader,
                                    .events = op->events,
                                    .k8s = op->o.connection->k8s,
                                    .aws = op->o.connection->aws,
                                    .store = &op->o.store,
                                    .informers = op->informers,
                                    .fenced = op->fenced,
                                    .now_boot_ms = op->o.clock.boot_ms(op->o.clock.ctx)};
}
