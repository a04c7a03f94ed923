#include "bench/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/oracle.h"
#include "bench/virtual_loop.h"
#include "controller/operator.h"
#include "platform/base/digest.h"
#include "platform/base/str.h"
#include "platform/store/sqlite_store.h"
#include "simulator/checker.h"
#include "simulator/world.h"

#define RESTART_AFTER_MS 1000
#define GOAL_LOOK_MS 500
#define GOAL_HOLDS_MS 90000 /* longer than one look at AWS: what an operator finds out after its start included */
#define QUIET_MS (10 * 60 * 1000)
#define QUIET_LONG_MS (60 * 60 * 1000) /* where nothing went wrong */
#define AUDIT_INTERVAL_MS 60000
#define ACCESS_KEY "AKIASIMULATEDOPERATOR"
#define WEBHOOK_LAG_MS 500

extern const char bench_crd_yaml[];

/* One replica with what a process has: connections, a state file, an operator. */
struct replica {
    bool running;
    struct connection connection;
    struct sqlite_store *store;
    struct cni_operator *op;
    struct options options;
};

struct run {
    const struct bench_options *o;
    struct bench_result *out;
    struct sim_world *world;
    struct sim_checker *checker;
    struct replica replica;
    char dir[64], state[96];
    uint64_t seed, restart_timer;
    bool lost; /* the operator gave up its lease: it ends itself */
    int lives;
};

/* --- the operator's process --- */

static bool may_write(void *arg) {
    return operator_may_write(((struct replica *)arg)->op);
}

static void end_operator(struct run *r) {
    struct replica *p = &r->replica;
    if (!p->running)
        return;
    p->running = false;
    operator_free(p->op);
    p->op = NULL;
    sqlite_store_close(p->store);
    connection_close(&p->connection);
}

static void start_operator(void *arg);

static void end_and_restart(void *arg) {
    struct run *r = arg;
    struct clock c = virtual_clock();
    end_operator(r);
    r->restart_timer = c.timer_start(c.ctx, RESTART_AFTER_MS, start_operator, r);
}

static void on_lost(void *arg) {
    struct run *r = arg;
    r->lost = true; /* not from inside: the process would be gone, we still stand on its stack */
}

static void start_operator(void *arg) {
    struct run *r = arg;
    struct replica *p = &r->replica;
    struct error err;
    char identity[32];
    memset(p, 0, sizeof *p);
    r->restart_timer = 0;
    p->options = (struct options){.cluster_name = "prod",
                                  .region = "us-west-2",
                                  .leader_elect = true,
                                  .lease_duration_ms = 15000,
                                  .renew_deadline_ms = 10000,
                                  .retry_period_ms = 2000,
                                  .aws_audit_interval_ms = AUDIT_INTERVAL_MS,
                                  .role_path = "/"};
    struct connection_options co = {.options = &p->options, .component = "bench", .may_write = may_write, .arg = p};
    if (!connection_open(&p->connection, &co, &err))
        die("bench: %s", err.message);
    struct sqlite_store_options so = {.path = r->state};
    p->store = sqlite_store_open(&so);
    snprintf(identity, sizeof identity, "operator-%d", ++r->lives);
    struct operator_options oo = {.options = &p->options,
                                  .connection = &p->connection,
                                  .clock = virtual_clock(),
                                  .store = sqlite_store_port(p->store),
                                  .identity = identity,
                                  .seed = r->seed + (uint64_t)r->lives,
                                  .lost = on_lost,
                                  .arg = r};
    p->op = operator_new(&oo);
    p->running = true;
    operator_start(p->op);
}

static void crash(void *arg) {
    end_and_restart(arg);
}

static void stop_gently(void *arg) {
    struct run *r = arg;
    if (r->replica.running)
        operator_stop(r->replica.op, on_lost, r);
}

static bool is_running(void *arg) {
    return ((struct run *)arg)->replica.running;
}

static void enter(struct run *r, enum bench_phase when) {
    struct bench_stage s = {
        .world = r->world, .checker = r->checker, .is_running = is_running, .stop_operator = stop_gently, .arg = r};
    if (r->o->on_phase)
        r->o->on_phase(&s, when);
}

/* --- the world as it is --- */

static const json *binding(const struct run *r) {
    return sim_kube_get(sim_world_kube(r->world), "cniiambindings", NULL, "aws-node");
}

static const json *condition(const struct run *r, const char *type) {
    for (const json *c = json_first(json_array(binding(r), "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), type))
            return c;
    return NULL;
}

static bool is_true(const struct run *r, const char *type) {
    const json *c = condition(r, type);
    return str_eq(json_str(c, "status"), "True") &&
           json_int64_or(c, "observedGeneration", -1) == json_int64_or(binding(r), "metadata.generation", 0);
}

static bool has_cni_policy(const struct run *r, const char *role) {
    struct sim_aws_param p = {"RoleName", role};
    struct sim_aws_call call = {.service = "iam", .action = "ListAttachedRolePolicies", .params = &p, .nparams = 1};
    struct sim_aws_answer answer;
    bool found = false;
    sim_aws_do(sim_world_aws(r->world), &call, &answer);
    for (const json *it = json_first(json_array(answer.value, "AttachedPolicies")); it; it = it->next)
        found = found || str_has_suffix(json_str(it, "PolicyArn"), "/AmazonEKS_CNI_Policy");
    json_free(answer.value);
    return found;
}

static int count_of(const struct run *r, const char *action, const char *list) {
    struct sim_aws_call call = {.service = "iam", .action = action};
    struct sim_aws_answer answer;
    sim_aws_do(sim_world_aws(r->world), &call, &answer);
    int n = (int)json_array_size(json_array(answer.value, list));
    json_free(answer.value);
    return n;
}

/* --- failing --- */

static void fail(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct run *r, const char *fmt, ...) {
    va_list ap;
    if (r->out->failure[0])
        return;
    va_start(ap, fmt);
    vsnprintf(r->out->failure, sizeof r->out->failure, fmt, ap);
    va_end(ap);
}

static bool judged(struct run *r) {
    r->out->violations = sim_checker_violations(r->checker);
    if (r->out->violations)
        fail(r, "%s", sim_checker_violation(r->checker, 0));
    if (oracle_violation()) {
        r->out->violations++;
        fail(r, "%s", oracle_violation());
    }
    return r->out->violations == 0;
}

static bool objected(const struct run *r) {
    return sim_checker_violations(r->checker) || oracle_violation();
}

/* --- phases --- */

static bool goal_migrated(const struct run *r) {
    return is_true(r, "Ready") && is_true(r, "NodeRoleDetached") && r->replica.running;
}

static bool goal_gone(const struct run *r) {
    return binding(r) == NULL && r->replica.running;
}

static bool run_until(struct run *r, bool (*goal)(const struct run *r), const char *what) {
    int64_t max = r->o->goal_max_ms ? r->o->goal_max_ms : BENCH_VIRTUAL_MAX_MS;
    int64_t end = virtual_now_ms() + max, look = 0, since = -1;
    while (virtual_now_ms() < end) {
        virtual_loop_step(end);
        if (r->lost) {
            r->lost = false;
            end_and_restart(r);
        }
        if (objected(r))
            return judged(r);
        if (virtual_now_ms() < look)
            continue;
        look = virtual_now_ms() + GOAL_LOOK_MS;
        since = goal(r) ? (since < 0 ? virtual_now_ms() : since) : -1;
        if (since >= 0 && virtual_now_ms() - since >= GOAL_HOLDS_MS)
            return true;
    }
    const json *ready = condition(r, "Ready");
    fail(r, "L2: not %s after %lld min: Ready=%s %s: %s", what, (long long)max / 60000,
         str_or(json_str(ready, "status"), "?"), str_or(json_str(ready, "reason"), "?"),
         str_or(json_str(ready, "message"), "?"));
    return false;
}

/* S13: nothing to do, nothing written; and AWS is looked at once an interval. */
static bool rest(struct run *r, const char *when) {
    int64_t quiet = r->o->rest_ms ? r->o->rest_ms : (r->o->nfaults ? QUIET_MS : QUIET_LONG_MS);
    int64_t end = virtual_now_ms() + quiet;
    int64_t looks = sim_aws_count(sim_world_aws(r->world), "eks:DescribeCluster");
    int before = net_writes(NULL);
    const char **lines;
    while (virtual_loop_step(end))
        if (r->lost || objected(r))
            break;
    int after = net_writes(&lines);
    if (after != before)
        fail(r, "S13: %d writes in %lld min at rest %s, the first: %s", after - before, (long long)quiet / 60000, when,
             lines[before]);
    looks = sim_aws_count(sim_world_aws(r->world), "eks:DescribeCluster") - looks;
    if (r->o->nfaults == 0 && looks > quiet / AUDIT_INTERVAL_MS + 1) /* an unknown outcome is watched closely (S6c) */
        fail(r, "S13: AWS was looked at %lld times in %lld min", (long long)looks, (long long)quiet / 60000);
    return judged(r) && !r->out->failure[0];
}

static void check_migrated(struct run *r) {
    static struct sim_node_row rows[SIM_WORLD_NODES_MAX];
    int n = sim_world_rows(r->world, rows, SIM_WORLD_NODES_MAX);
    for (int i = 0; i < n; i++)
        if (rows[i].identity != SIM_POD_OWN_ROLE || !rows[i].ready || !rows[i].permitted)
            fail(r, "L1: node %s is not migrated", rows[i].name);
    if (has_cni_policy(r, "eks-node") || (r->o->nodes > 2 && has_cni_policy(r, "eks-node-memory")))
        fail(r, "L1: a node role still has the policy");
}

static void check_restored(struct run *r) {
    static struct sim_node_row rows[SIM_WORLD_NODES_MAX];
    int n = sim_world_rows(r->world, rows, SIM_WORLD_NODES_MAX);
    for (int i = 0; i < n; i++)
        if (rows[i].identity != SIM_POD_NODE_ROLE || !rows[i].ready || !rows[i].permitted)
            fail(r, "S15: node %s is not back on its node role", rows[i].name);
    if (!has_cni_policy(r, "eks-node") || (r->o->nodes > 2 && !has_cni_policy(r, "eks-node-memory")))
        fail(r, "S15: a node role lacks its policy");
    int roles = count_of(r, "ListRoles", "Roles") - 2 - r->o->foreign_roles;
    if (roles > 0)
        fail(r, "S15: a role of ours is left");
    if (roles < 0)
        fail(r, "S5: a role of somebody else is gone");
    int providers = count_of(r, "ListOpenIDConnectProviders", "OpenIDConnectProviderList") - r->o->foreign_provider;
    if (providers > 0)
        fail(r, "S15: the provider is left");
    if (providers < 0)
        fail(r, "S5: the provider of somebody else is gone");
}

/* --- one run --- */

static void kube_call(struct run *r, const char *method, const char *path, const char *body) {
    struct sim_http_request req = {.method = method,
                                   .path = path,
                                   .query = "",
                                   .content_type = "application/json",
                                   .user_agent = "kubectl/bench",
                                   .body = body,
                                   .body_len = strlen(body)};
    struct sim_http_answer answer = {0};
    sim_kube_http(sim_world_kube(r->world), &req, &answer);
    if (answer.status >= 300)
        fail(r, "%s %s: %d %.300s", method, path, answer.status, answer.body ? answer.body : "");
    free(answer.body);
}

static void apply_binding(struct run *r) {
    struct arena *a = arena_new(0);
    kube_call(r, "POST", "/apis/cniiam.dev/v1alpha1/cniiambindings",
              arena_printf(a,
                           "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":"
                           "\"aws-node\"},\"spec\":%s}",
                           r->o->spec));
    arena_free(a);
}

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        die("bench: can not write %s", path);
}

/* Every run begins with no state file; the operators of one run share it, as those of one node do. */
static void remove_state(const struct run *r) {
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s%s", r->state, suffixes[i]);
        unlink(path);
    }
}

static void remove_directory(const struct run *r) {
    char path[128];
    remove_state(r);
    snprintf(path, sizeof path, "%s/config", r->dir);
    unlink(path);
    rmdir(r->dir);
}

static void prepare_environment(struct run *r) {
    char path[128];
    snprintf(r->dir, sizeof r->dir, "/dev/shm/cni-iam-bench-%d", (int)getpid());
    if (mkdir(r->dir, 0700) != 0 && errno != EEXIST)
        die("bench: can not make %s", r->dir);
    snprintf(r->state, sizeof r->state, "%s/state.db", r->dir);
    remove_state(r);
    snprintf(path, sizeof path, "%s/config", r->dir);
    write_file(path, "apiVersion: v1\nkind: Config\ncurrent-context: sim\n"
                     "clusters: [{name: sim, cluster: {server: \"" NET_KUBE "\"}}]\n"
                     "users: [{name: sim, user: {token: " ORACLE_SECRET "}}]\n"
                     "contexts: [{name: sim, context: {cluster: sim, user: sim}}]\n");
    setenv("KUBECONFIG", path, 1);
    setenv("AWS_ENDPOINT_URL", NET_AWS, 1);
    setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY, 1);
    setenv("AWS_SECRET_ACCESS_KEY", ORACLE_SECRET, 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static void make_world(struct run *r) {
    const struct bench_options *o = r->o;
    struct sim_world_options w = {.clock = virtual_clock(),
                                  .seed = o->seed,
                                  .nodes = o->nodes,
                                  .enforcement_lag_ms = o->enforcement_lag_ms,
                                  .pod_start_ms = 3000,
                                  .webhook_lag_ms = o->webhook_lag_ms ? o->webhook_lag_ms : WEBHOOK_LAG_MS,
                                  .webhook_misses = o->webhook_misses,
                                  .foreign_consumer = o->foreign_consumer,
                                  .ipv6 = o->ipv6,
                                  .on_delete = o->on_delete,
                                  .crd_yaml = bench_crd_yaml};
    r->world = sim_world_new(&w);
    sim_aws_add_access_key(sim_world_aws(r->world), ACCESS_KEY, "arn:aws:iam::111122223333:root");
    int64_t settled = virtual_now_ms() + 10000;
    while (virtual_loop_step(settled))
        ;
    r->checker = sim_checker_new(r->world);
    struct net_options n = {.kube = sim_world_kube(r->world),
                            .aws = sim_world_aws(r->world),
                            .seed = o->seed,
                            .delay_max_ms = o->delay_max_ms,
                            .crash = crash,
                            .arg = r,
                            .tap = o->oracles ? oracle_tap : NULL};
    net_begin(&n);
    oracle_begin(o->oracles ? r->world : NULL, o, r->state);
    for (int i = 0; i < o->nfaults; i++)
        net_add_fault(o->faults[i].kind, o->faults[i].at);
}

static void measure(struct run *r) {
    const char **lines;
    int nfaults;
    char hex[DIGEST_SHA256_HEX];
    struct bench_result *out = r->out;
    out->writes = net_writes(&lines);
    out->calls = net_calls();
    out->virtual_ms = virtual_now_ms();
    struct buf text;
    buf_init(&text, (size_t)4 << 20);
    for (int i = 0; i < out->writes; i++) {
        buf_printf(&text, "%s\n", lines[i]);
        if (r->o->trace)
            printf("  %3d %s%s\n", i + 1, lines[i], i + 1 == out->migration_writes ? "   <- migrated" : "");
    }
    if (r->o->trace)
        printf("  %lld calls in %lld s of virtual time, %d operators\n", (long long)out->calls,
               (long long)out->virtual_ms / 1000, r->lives);
    buf_printf(&text, "%lld %lld", (long long)out->calls, (long long)out->virtual_ms);
    digest_sha256_hex(text.p, text.n, hex);
    hex[15] = '\0';
    out->trace_hash = (int64_t)strtoll(hex, NULL, 16);
    buf_done(&text);
    const struct net_fault *faults = net_faults(&nfaults);
    out->faults_met = true;
    for (int i = 0; i < nfaults; i++)
        out->faults_met = out->faults_met && faults[i].hit;
}

/* A binding that has to be held back: nothing happens for a while, and that is all. */
static bool held(struct run *r) {
    int64_t end = virtual_now_ms() + r->o->held_ms;
    while (virtual_loop_step(end) && !objected(r))
        if (r->lost) {
            r->lost = false;
            end_and_restart(r);
        }
    return judged(r);
}

static bool migrated(struct run *r) {
    if (r->o->held_ms)
        return held(r);
    if (!run_until(r, goal_migrated, "migrated"))
        return false;
    check_migrated(r);
    return judged(r) && !r->out->failure[0];
}

static void phases(struct run *r) {
    apply_binding(r);
    if (r->out->failure[0] || !migrated(r))
        return;
    r->out->migration_writes = net_writes(NULL);
    enter(r, BENCH_MIGRATED);
    if (!r->o->held_ms && r->o->rest_ms >= 0 && !rest(r, "after the migration"))
        return;
    if (r->o->rest_ms < 0) /* what others did to it needs its time */
        for (int64_t end = virtual_now_ms() - r->o->rest_ms; virtual_loop_step(end) && !objected(r);)
            ;
    enter(r, BENCH_DELETED);
    kube_call(r, "DELETE", "/apis/cniiam.dev/v1alpha1/cniiambindings/aws-node", "");
    if (!run_until(r, goal_gone, "gone"))
        return;
    if (!r->o->stays_migrated)
        check_restored(r);
    oracle_end();
    judged(r);
}

void bench_run(const struct bench_options *o, struct bench_result *out) {
    struct run *r = calloc(1, sizeof *r);
    struct clock c = virtual_clock();
    if (!r)
        die("out of memory");
    memset(out, 0, sizeof *out);
    r->o = o;
    r->out = out;
    r->seed = o->seed;
    prepare_environment(r);
    virtual_loop_begin();
    make_world(r);
    enter(r, BENCH_MADE);
    start_operator(r);
    phases(r);
    measure(r);
    c.timer_stop(c.ctx, r->restart_timer);
    end_operator(r);
    sim_checker_free(r->checker);
    sim_world_free(r->world);
    remove_directory(r);
    free(r);
}
