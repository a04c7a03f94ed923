/*
 * cmd_controller.c - cni-iam controller: the life of the process around one operator (operator.h).
 *
 * Stop (SIGTERM, SIGINT): operator_stop, exit 0. A lost lease ends the process at once with status 1: what is under way
 * is cancelled (S6).
 */
#include <errno.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/commands.h"
#include "controller/connect.h"
#include "controller/http_server.h"
#include "controller/operator.h"
#include "platform/base/log.h"
#include "platform/store/sqlite_store.h"

#define STORE_RETRY_MS 60000
#define HEARTBEAT_MAX_MS 30000

struct process_state {
    const struct options *o;
    struct connection c;
    struct clock clock;
    struct sqlite_store *sqlite;
    struct cni_operator *op;
    struct http_server *health, *metrics;
    struct http_route health_routes[2], metrics_routes[1];
    char identity[256];
    bool stopping;
};

static bool may_write(void *arg) {
    return operator_may_write(((struct process_state *)arg)->op);
}

/* --- pages --- */

static int page_healthz(void *arg, struct buf *out) {
    struct process_state *p = arg;
    int64_t turn = p->clock.boot_ms(p->clock.ctx) - loop_heartbeat_boot_ms(p->c.loop);
    bool lease = operator_lease_is_fresh(p->op);
    if (turn < HEARTBEAT_MAX_MS && lease)
        return buf_puts(out, "ok\n"), 200;
    buf_printf(out, "loop turned %lld ms ago, lease %s\n", (long long)turn, lease ? "fresh" : "not renewed");
    return 503;
}

static int page_readyz(void *arg, struct buf *out) {
    return operator_report(((struct process_state *)arg)->op, out) ? 200 : 503;
}

static int page_metrics(void *arg, struct buf *out) {
    struct process_state *p = arg;
    if (!operator_is_started(p->op))
        return buf_puts(out, "# starting\n"), 200;
    struct metrics_sources m;
    operator_metrics(p->op, &m);
    m.version = CNI_IAM_VERSION;
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
    loop_stop(((struct process_state *)arg)->c.loop);
}

static void on_signal(void *arg, int signo) {
    struct process_state *p = arg;
    if (signo == SIGHUP || p->stopping)
        return;
    p->stopping = true;
    LOG_INFO("controller", "stopping", F_STR("why", signo == SIGTERM ? "SIGTERM" : "SIGINT"));
    operator_stop(p->op, leave, p);
}

static void on_lost(void *arg) {
    (void)arg;
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

static void retry_store(void *arg) {
    struct process_state *p = arg;
    sqlite_store_retry(p->sqlite);
    p->clock.timer_start(p->clock.ctx, STORE_RETRY_MS, retry_store, p);
}

static void wire(struct process_state *p) {
    struct sqlite_store_options store = {.path = state_path(p->o, p->c.arena)};
    uint64_t seed;
    p->clock = loop_clock(p->c.loop);
    p->sqlite = sqlite_store_open(&store);
    make_identity(p);
    RAND_bytes((unsigned char *)&seed, sizeof seed);
    struct operator_options o = {.options = p->o,
                                 .connection = &p->c,
                                 .clock = p->clock,
                                 .store = sqlite_store_port(p->sqlite),
                                 .identity = p->identity,
                                 .seed = seed,
                                 .lost = on_lost,
                                 .arg = p};
    p->op = operator_new(&o);
    retry_store(p);
}

static void unwire(struct process_state *p) {
    http_server_free(p->health);
    http_server_free(p->metrics);
    operator_free(p->op);
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
    operator_start(p->op);
    loop_run(p->c.loop);
    LOG_INFO("controller", "stopped");
    unwire(p);
    free(p);
    return 0;
}
