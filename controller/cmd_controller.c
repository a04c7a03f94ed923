/*
 * cmd_controller.c - cni-iam controller: wiring and the life of the process.
 *
 *   STARTING -> cluster identified (kube-system's uid) -> informers -> synced -> electing -> leading: the driver works -> STOPPING
 *
 * Stop (SIGTERM, SIGINT): the queue takes nothing new, the call under way ends (at most STOP_MS), the lease is given back, exit 0.
 * A lost lease ends the process at once with status 1: what is under way is cancelled (S6).
 */
#include <errno.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/collect.h"
#include "controller/commands.h"
#include "controller/connect.h"
#include "controller/driver.h"
#include "controller/events.h"
#include "controller/http_server.h"
#include "controller/leader.h"
#include "controller/metrics.h"
#include "controller/preflight.h"
#include "platform/base/log.h"
#include "platform/k8s/k8s_watch.h"
#include "platform/store/sqlite_store.h"

#define STOP_MS 5500 /* with LEADER_RELEASE_MS: below the 10 s of a clean end */
#define STORE_RETRY_MS 60000
#define IDENTIFY_RETRY_MS 5000
#define HEARTBEAT_MAX_MS 30000
#define LEASE_NAME "cni-iam"
#define OPEN_INTENTS_MAX 64

struct process_state {
    const struct options *o;
    struct connection c;
    struct clock clock;
    struct sqlite_store *sqlite;
    struct store store;
    struct operator_config config;
    struct k8s_watch *watch;
    struct informer *informers[WATCH_COUNT];
    struct work_queue *queue;
    struct driver *driver;
    struct events *events;
    struct leader *leader; /* NULL: --leader-elect=false */
    struct preflight *preflight;
    struct http_server *health, *metrics;
    struct http_route health_routes[2], metrics_routes[1];
    char cluster_uid[64];
    char identity[256];
    char lease_ns[256];
    bool started, stopping, done;
    int status;
    int waited_ms; /* for the call under way, while stopping */
    int64_t fenced;
};

/* --- ports of the driver --- */

static bool may_write(void *arg) {
    struct process_state *p = arg;
    bool fresh = !p->leader || leader_may_write(p->leader);
    p->fenced += !fresh && leader_is_leading(p->leader);
    return fresh && !p->stopping;
}

static int64_t epoch(void *arg) {
    struct process_state *p = arg;
    return p->leader ? leader_epoch(p->leader) : -1;
}

/*
 * A status with a higher epoch than ours: either a later leader wrote it, and our next renewal is refused, or somebody deleted the Lease and it counts
 * from 0 again: then that renewal takes it beyond what was written (K-LE5).
 */
static void compare_epochs(struct process_state *p, int64_t written) {
    if (!p->leader || written <= leader_epoch(p->leader))
        return;
    LOG_WARN("leader", "a status has a later epoch than the lease", F_INT("status", written),
             F_INT("lease", leader_epoch(p->leader)));
    leader_raise_epoch(p->leader, written + 1);
}

static bool collect(void *arg, const char *name, struct arena *a, struct world *w, void **hold) {
    struct process_state *p = arg;
    struct cluster_view *v = NULL;
    if (!cluster_view_from_informers(p->informers, name, a, w, &v))
        return false;
    compare_epochs(p, w->binding->status.epoch);
    *hold = v;
    return true;
}

static void release(void *arg, void *hold) {
    (void)arg;
    cluster_view_free(hold);
}

static void wrote(void *arg, const char *name, const char *resource, const char *rv) {
    struct process_state *p = arg;
    for (int k = 0; k < WATCH_COUNT; k++)
        if (str_eq(watched_kind((enum watched)k)->target.resource, resource))
            informer_wrote(p->informers[k], name, rv);
}

static bool ready(void *arg, const char *name) {
    struct process_state *p = arg;
    for (int k = 0; k < WATCH_COUNT; k++)
        if (!informer_ready(p->informers[k], name))
            return false;
    return true;
}

static void post_event(void *arg, const struct cib_binding *about, bool warning, const char *reason, const char *action,
                       const char *note) {
    struct process_state *p = arg;
    struct event_subject subject = {.name = about->name, .uid = about->uid};
    LOG_AT_(warning ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "event", note, F_STR("binding", about->name),
            F_STR("reason", reason));
    events_post(p->events, &subject, warning, reason, action, note);
}

static void on_queue(void *arg) {
    struct process_state *p = arg;
    if (p->started && !p->stopping)
        driver_wake(p->driver);
}

/* --- informers --- */

/* Whatever changed, every binding is worth a look: they are one or two. */
static void on_changed(void *arg, const char *key) {
    struct process_state *p = arg;
    (void)key;
    if (!p->informers[WATCH_BINDINGS])
        return;
    const struct cache_snapshot *s = informer_snapshot(p->informers[WATCH_BINDINGS]);
    for (size_t i = 0; i < s->n; i++)
        work_queue_add(p->queue, ((const struct cib_binding *)s->views[i])->name);
    cache_snapshot_release(s);
    driver_nudge(p->driver);
}

/* A binding that is gone is no longer among those: its memory goes with a last pass. */
static void on_binding_changed(void *arg, const char *key) {
    work_queue_add(((struct process_state *)arg)->queue, key);
    on_changed(arg, key);
}

static bool all_synced(const struct process_state *p) {
    for (int k = 0; k < WATCH_COUNT; k++)
        if (!p->informers[k] || !informer_synced(p->informers[k]))
            return false;
    return true;
}

static void start_work(struct process_state *p) {
    if (p->started || p->stopping || !all_synced(p) || (p->leader && !leader_is_leading(p->leader)))
        return;
    p->started = true;
    LOG_INFO("controller", "working", F_INT("epoch", epoch(p)));
    on_changed(p, NULL);
    driver_wake(p->driver);
}

static void on_synced(void *arg) {
    struct process_state *p = arg;
    if (!all_synced(p))
        return;
    LOG_INFO("controller", "informers are synced");
    start_work(p);
}

static void start_informers(struct process_state *p, struct watch_source source) {
    for (int k = 0; k < WATCH_COUNT; k++) {
        const struct watched_kind *kind = watched_kind((enum watched)k);
        uint64_t seed;
        RAND_bytes((unsigned char *)&seed, sizeof seed);
        struct informer_config config = {.target = kind->target,
                                         .decode = kind->decode,
                                         .free_view = kind->free_view,
                                         .changed = k == WATCH_BINDINGS ? on_binding_changed : on_changed,
                                         .synced = on_synced,
                                         .arg = p,
                                         .cluster = p->cluster_uid,
                                         .seed = seed};
        p->informers[k] = informer_new(&config, source, p->clock, &p->store);
    }
    for (int k = 0; k < WATCH_COUNT; k++)
        informer_start(p->informers[k]);
}

/* --- pages --- */

static int page_healthz(void *arg, struct buf *out) {
    struct process_state *p = arg;
    int64_t turn = p->clock.boot_ms(p->clock.ctx) - loop_heartbeat_boot_ms(p->c.loop);
    bool lease = !p->leader || !leader_is_leading(p->leader) ||
                 leader_renew_age_ms(p->leader) <= p->o->lease_duration_ms + 20000;
    if (turn < HEARTBEAT_MAX_MS && lease)
        return buf_puts(out, "ok\n"), 200;
    buf_printf(out, "loop turned %lld ms ago, lease %s\n", (long long)turn, lease ? "fresh" : "not renewed");
    return 503;
}

static int page_readyz(void *arg, struct buf *out) {
    struct process_state *p = arg;
    bool ok = p->informers[0] != NULL && !p->stopping;
    if (!p->informers[0])
        buf_puts(out, "the API server was not reached yet\n");
    for (int k = 0; k < WATCH_COUNT && p->informers[k]; k++) {
        const char *resource = watched_kind((enum watched)k)->target.resource;
        int64_t since;
        const struct error *err = informer_error(p->informers[k], &since);
        if (informer_absent(p->informers[k]))
            buf_printf(out, "%s: the API server does not know them; install the CRD: kubectl apply -f crd/\n",
                       resource);
        else if (!informer_synced(p->informers[k]))
            buf_printf(out, "%s: not synced%s%s\n", resource, err ? ": " : "", err ? err->message : "");
        ok = ok && informer_synced(p->informers[k]);
    }
    ok = preflight_report(p->preflight, out) == 0 && ok;
    if (p->stopping)
        buf_puts(out, "stopping\n");
    else if (ok)
        buf_printf(out, "ok, %s\n", !p->leader || leader_is_leading(p->leader) ? "leading" : "standby");
    return ok ? 200 : 503;
}

static int page_metrics(void *arg, struct buf *out) {
    struct process_state *p = arg;
    if (!p->informers[0])
        return buf_puts(out, "# starting\n"), 200;
    struct metrics_sources m = {.driver = p->driver,
                                .queue = p->queue,
                                .leader = p->leader,
                                .events = p->events,
                                .k8s = p->c.k8s,
                                .aws = p->c.aws,
                                .store = &p->store,
                                .informers = p->informers,
                                .fenced = p->fenced,
                                .now_boot_ms = p->clock.boot_ms(p->clock.ctx),
                                .version = CNI_IAM_VERSION};
    metrics_render(&m, out);
    return 200;
}

static bool open_pages(struct process_state *p, struct error *err) {
    p->health_routes[0] = (struct http_route){"/healthz", page_healthz, p, "text/plain"};
    p->health_routes[1] = (struct http_route){"/readyz", page_readyz, p, "text/plain"};
    p->metrics_routes[0] = (struct http_route){"/metrics", page_metrics, p, "text/plain; version=0.0.4"};
    if (!str_eq(p->o->health_probe_bind_address, "0")) {
        p->health = http_server_new(p->c.loop, p->o->health_probe_bind_address, "--health-probe-bind-address",
                                    p->health_routes, 2, err);
        if (!p->health)
            return false;
    }
    if (!str_eq(p->o->metrics_bind_address, "0")) {
        p->metrics =
            http_server_new(p->c.loop, p->o->metrics_bind_address, "--metrics-bind-address", p->metrics_routes, 1, err);
        if (!p->metrics)
            return false;
    }
    return true;
}

/* --- stopping --- */

static void leave(void *arg) {
    struct process_state *p = arg;
    p->done = true;
    loop_stop(p->c.loop);
}

static void give_lease_back(struct process_state *p) {
    if (p->leader)
        leader_release(p->leader, leave, p);
    else
        leave(p);
}

/* The effect under way may commit: its answer is worth waiting for, the lease's other claimants wait longer than that. */
static void wait_for_driver(void *arg) {
    struct process_state *p = arg;
    if (driver_idle(p->driver)) {
        give_lease_back(p);
        return;
    }
    if (p->waited_ms >= STOP_MS) { /* a write may still commit: nobody may begin before the lease runs out by itself */
        leave(p);
        return;
    }
    p->waited_ms += 50;
    p->clock.timer_start(p->clock.ctx, 50, wait_for_driver, p);
}

static void stop(struct process_state *p, const char *why) {
    if (p->stopping)
        return;
    p->stopping = true;
    LOG_INFO("controller", "stopping", F_STR("why", why));
    work_queue_shut_down(p->queue);
    driver_pause(p->driver);
    wait_for_driver(p);
}

static void on_signal(void *arg, int signo) {
    if (signo != SIGHUP)
        stop(arg, signo == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void on_leading(void *arg) {
    start_work(arg);
}

static void on_lost(void *arg) {
    struct process_state *p = arg;
    (void)p;
    /* Nothing may be written from here on, and nothing clean is worth a second writer (K-LE2). */
    LOG_ERROR("controller", "the lease is lost: ending at once");
    _exit(1);
}

/* --- starting --- */

static const char *state_path(const struct options *o, struct arena *a) {
    if (o->state_file)
        return o->state_file;
    const char *home = getenv("XDG_STATE_HOME");
    const char *dir = str_empty(home) ? "/var/lib/cni-iam" : arena_printf(a, "%s/cni-iam", home);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        LOG_WARN("store", "no state directory: going on without", F_STR("dir", dir), F_STR("error", strerror(errno)));
    return arena_printf(a, "%s/state.db", dir);
}

static void make_identity(struct process_state *p) {
    char host[128] = "unknown";
    unsigned char r[8];
    gethostname(host, sizeof host - 1);
    RAND_bytes(r, sizeof r);
    snprintf(p->identity, sizeof p->identity, "%s_%02x%02x%02x%02x%02x%02x%02x%02x", host, r[0], r[1], r[2], r[3], r[4],
             r[5], r[6], r[7]);
}

static void make_leader(struct process_state *p) {
    uint64_t seed;
    const char *own = p->c.config->in_cluster ? p->c.config->ns : "kube-system";
    RAND_bytes((unsigned char *)&seed, sizeof seed);
    str_copy(p->lease_ns, sizeof p->lease_ns, str_or(p->o->leader_election_namespace, own));
    if (!p->o->leader_elect)
        return;
    struct leader_options o = {.ns = p->lease_ns,
                               .name = LEASE_NAME,
                               .identity = p->identity,
                               .lease_duration_ms = p->o->lease_duration_ms,
                               .renew_deadline_ms = p->o->renew_deadline_ms,
                               .retry_period_ms = p->o->retry_period_ms,
                               .seed = seed,
                               .started = on_leading,
                               .lost = on_lost,
                               .arg = p};
    p->leader = leader_new(&o, p->c.effector, p->clock);
}

/* S18: a guard on the pod network depends on the very CNI it guards. */
static void judge_independence(struct process_state *p, const json *pod) {
    p->config.guard_independent = true;
    if (!p->c.config->in_cluster)
        return;
    const char *type = json_key_str(json_path(pod, "metadata.labels"), "eks.amazonaws.com/fargate-profile");
    if (json_bool(pod, "spec.hostNetwork", false) || type)
        return;
    p->config.guard_independent = false;
    p->config.guard_dependent_why =
        pod ? "the operator's pod is on the pod network" : "the operator's own pod could not be read";
}

static void on_own_pod(void *arg, struct effect_result *r) {
    struct process_state *p = arg;
    judge_independence(p, r->value);
    if (r->error.code)
        LOG_WARN("controller", "own pod not read", F_STR("error", r->error.message));
    preflight_start(p->preflight);
    p->watch = k8s_watch_new(p->c.k8s);
    start_informers(p, k8s_watch_source(p->watch));
    if (p->leader)
        leader_start(p->leader);
}

static void identify(void *arg);

static void on_kube_system(void *arg, struct effect_result *r) {
    struct process_state *p = arg;
    const char *uid = json_str(r->value, "metadata.uid");
    if (!uid) {
        LOG_WARN("controller", "the API server does not answer yet", F_STR("error", r->error.message));
        p->clock.timer_start(p->clock.ctx, IDENTIFY_RETRY_MS, identify, p);
        return;
    }
    str_copy(p->cluster_uid, sizeof p->cluster_uid, uid);
    const char *name = getenv("CNI_IAM_POD_NAME");
    if (!p->c.config->in_cluster || str_empty(name)) {
        struct effect_result none = {0};
        none.request_id = "";
        on_own_pod(p, &none);
        return;
    }
    const struct effect *e =
        effect_new(p->c.arena, EFFECT_K8S_GET, "resource", "pods", "namespace", p->c.config->ns, "name", name, NULL);
    p->c.effector.submit(p->c.effector.ctx, e, on_own_pod, p);
}

static void identify(void *arg) {
    struct process_state *p = arg;
    if (p->stopping)
        return;
    const struct effect *e =
        effect_new(p->c.arena, EFFECT_K8S_GET, "resource", "namespaces", "name", "kube-system", NULL);
    p->c.effector.submit(p->c.effector.ctx, e, on_kube_system, p);
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

static void settle_intents(struct process_state *p) {
    struct open_intents open = {.n = 0};
    p->store.intent_each_open(p->store.ctx, note_open_intent, &open);
    for (size_t i = 0; i < open.n; i++)
        p->store.intent_close(p->store.ctx, open.ids[i], "unknown");
    if (open.n)
        driver_unsettled(p->driver);
}

static void retry_store(void *arg) {
    struct process_state *p = arg;
    sqlite_store_retry(p->sqlite);
    p->clock.timer_start(p->clock.ctx, STORE_RETRY_MS, retry_store, p);
}

static void wire(struct process_state *p) {
    p->clock = loop_clock(p->c.loop);
    struct sqlite_store_options store = {.path = state_path(p->o, p->c.arena)};
    p->sqlite = sqlite_store_open(&store);
    p->store = sqlite_store_port(p->sqlite);
    p->config = (struct operator_config){.cluster_name = p->o->cluster_name,
                                         .region = str_or(p->o->region, p->c.settings->region),
                                         .allowed_policy_arns = p->o->allowed_policy_arns,
                                         .role_path = p->o->role_path,
                                         .aws_audit_interval_ms = p->o->aws_audit_interval_ms};
    make_identity(p);
    p->queue = work_queue_new(p->clock, on_queue, p);
    p->events = events_new(p->c.effector, p->clock, p->identity);
    struct driver_options d = {.effector = p->c.effector,
                               .clock = p->clock,
                               .store = &p->store,
                               .queue = p->queue,
                               .config = &p->config,
                               .collect = collect,
                               .release = release,
                               .wrote = wrote,
                               .ready = ready,
                               .may_write = may_write,
                               .epoch = epoch,
                               .event = post_event,
                               .arg = p};
    p->driver = driver_new(&d);
    settle_intents(p);
    make_leader(p);
    p->preflight = preflight_new(p->c.effector, p->clock, p->leader ? p->lease_ns : NULL, LEASE_NAME);
    retry_store(p);
}

static void unwire(struct process_state *p) {
    http_server_free(p->health);
    http_server_free(p->metrics);
    driver_free(p->driver);
    leader_free(p->leader);
    preflight_free(p->preflight);
    for (int k = 0; k < WATCH_COUNT; k++)
        if (p->informers[k])
            informer_free(p->informers[k]);
    if (p->watch)
        k8s_watch_free(p->watch);
    work_queue_free(p->queue);
    events_free(p->events);
    sqlite_store_close(p->sqlite);
    connection_close(&p->c);
}

int command_controller(const struct options *o) {
    struct process_state *p = calloc(1, sizeof *p);
    struct error err;
    if (!p)
        die("out of memory");
    p->o = o;
    struct connection_options co = {.options = o, .component = "controller", .may_write = may_write, .arg = p};
    if (!connection_open(&p->c, &co, &err)) {
        LOG_ERROR("controller", err.message);
        free(p);
        return 1;
    }
    wire(p);
    loop_on_signal(p->c.loop, on_signal, p);
    if (!open_pages(p, &err)) {
        LOG_ERROR("controller", err.message);
        unwire(p);
        free(p);
        return 1;
    }
    LOG_INFO("controller", "started", F_STR("version", CNI_IAM_VERSION), F_STR("server", p->c.config->server),
             F_STR("identity", p->identity));
    identify(p);
    loop_run(p->c.loop);
    LOG_INFO("controller", "stopped");
    unwire(p);
    free(p);
    return 0;
}
