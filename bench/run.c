#include "bench/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/oracle.h"
#include "bench/state.h"
#include "bench/teller.h"
#include "controller/operator.h"
#include "platform/base/digest.h"
#include "platform/base/log.h"
#include "platform/base/str.h"
#include "simulator/checker.h"
#include "simulator/virtual/virtual_loop.h"
#include "simulator/world.h"

#define RESTART_AFTER_MS 1000
#define GOAL_LOOK_MS 500
#define GOAL_HOLDS_MS 70000  /* longer than one look at AWS: what an operator finds out after its start included */
#define QUIET_MS (80 * 1000) /* longer than one look at AWS, too; scenarios without faults rest for an hour */
#define AUDIT_INTERVAL_MS 60000
#define BENCH_REPLICAS_MAX 2
#define ACCESS_KEY "AKIASIMULATEDOPERATOR"
#define OPERATOR_ROLE "cni-iam-operator"
#define ACCOUNT "arn:aws:iam::111122223333:"
#define SECRET_KEY "canary/of+the/secret+access/key" /* S10: looked for in all that the operators let out */
#define KUBE_TOKEN ORACLE_SECRET
#define WEBHOOK_LAG_MS 500
#define POD_START_MS 3000

extern const char bench_crd_yaml[];

/* One replica with what a process has: connections, a state file, an operator. */
struct replica {
    struct run *run;
    int process;
    bool running, lost; /* lost: it gave up its lease, and ends itself */
    uint64_t restart_timer;
    struct bench_state *state;
    struct connection connection;
    struct cni_operator *op;
    struct options options;
};

struct run {
    const struct bench_options *o;
    struct bench_result *out;
    struct sim_world *world;
    struct sim_checker *checker;
    struct teller *teller;
    struct replica replicas[BENCH_REPLICAS_MAX];
    int nreplicas;
    uint64_t seed;
    bool deleting, branched;
    int lives;
};

/* --- the operator's process --- */

static bool may_write(void *arg) {
    return operator_may_write(((struct replica *)arg)->op);
}

static void end_operator(struct replica *p) {
    if (!p->running)
        return;
    p->running = false;
    operator_free(p->op);
    p->op = NULL;
    sim_checker_ends(p->run->checker, p->process);
    bench_state_close(p->state);
    connection_close(&p->connection);
}

static void start_operator(void *arg);

static void end_and_restart(struct replica *p) {
    struct clock c = virtual_clock();
    end_operator(p);
    p->lost = false;
    p->restart_timer = c.timer_start(c.ctx, RESTART_AFTER_MS, start_operator, p);
}

static void on_lost(void *arg) {
    struct replica *p = arg;
    p->lost = true; /* not from inside: the process would be gone, we still stand on its stack */
}

static void open_ports(struct replica *p) {
    struct error err;
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
    bench_state_open(p->state);
}

static void start_operator(void *arg) {
    struct replica *p = arg;
    struct run *r = p->run;
    char identity[32];
    p->restart_timer = 0;
    virtual_process(p->process);
    open_ports(p);
    snprintf(identity, sizeof identity, "operator-%d", ++r->lives);
    struct operator_options oo = {.options = &p->options,
                                  .connection = &p->connection,
                                  .clock = virtual_process_clock(p->process),
                                  .store = bench_state_port(p->state),
                                  .identity = identity,
                                  .seed = r->seed + (uint64_t)r->lives,
                                  .lost = on_lost,
                                  .arg = p};
    p->op = operator_new(&oo);
    sim_checker_begins(r->checker, p->process, identity);
    p->running = true;
    operator_start(p->op);
    virtual_process(VIRTUAL_WORLD);
}

static void crash(void *arg, int process, enum net_fault_kind kind) {
    struct replica *p = &((struct run *)arg)->replicas[process];
    end_and_restart(p);
    if (kind == NET_CRASH_FORGETS)
        bench_state_forget(p->state);
    if (kind == NET_CRASH_SPOILS)
        bench_state_spoil(p->state);
}

static void mend_disk(void *arg) {
    bench_state_disk(((struct replica *)arg)->state, DISK_GOOD);
}

static void hurt_disk(void *arg, int process, enum net_fault_kind kind, int by) {
    struct replica *p = &((struct run *)arg)->replicas[process];
    struct clock c = virtual_clock();
    bench_state_disk(p->state, kind == NET_DISK_FULL     ? DISK_FULL
                               : kind == NET_DISK_BROKEN ? DISK_BROKEN
                                                         : DISK_READ_ONLY);
    c.timer_start(c.ctx, (int64_t)by * 1000, mend_disk, p);
}

static void start_replicas(struct run *r) {
    for (int i = 0; i < r->nreplicas; i++)
        start_operator(&r->replicas[i]);
}

static void end_lost(struct run *r) {
    for (int i = 0; i < r->nreplicas; i++)
        if (r->replicas[i].lost)
            end_and_restart(&r->replicas[i]);
}

static bool one_runs(const struct run *r) {
    for (int i = 0; i < r->nreplicas; i++)
        if (r->replicas[i].running && !r->replicas[i].lost)
            return true;
    return false;
}

static bool one_is_lost(const struct run *r) {
    for (int i = 0; i < r->nreplicas; i++)
        if (r->replicas[i].lost)
            return true;
    return false;
}

static void stop_gently(void *arg) {
    struct run *r = arg;
    for (int i = 0; i < r->nreplicas; i++)
        if (r->replicas[i].running)
            operator_stop(r->replicas[i].op, on_lost, &r->replicas[i]);
}

static bool is_running(void *arg) {
    return one_runs(arg);
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
    if (teller_failure(r->teller)[0])
        fail(r, "%s", teller_failure(r->teller));
    if (oracle_violation()) {
        r->out->violations++;
        fail(r, "%s", oracle_violation());
    }
    return r->out->failure[0] == '\0';
}

static bool objected(const struct run *r) {
    return sim_checker_violations(r->checker) || oracle_violation();
}

/* --- phases --- */

static bool goal_migrated(const struct run *r) {
    return is_true(r, "Ready") && is_true(r, "NodeRoleDetached") && one_runs(r);
}

/* Where the end is that nothing goes on, it can be there before a fault is over, and what is learnt then is told. */
static bool one_may_yet_be_told(const struct run *r) {
    int n;
    const struct net_fault *faults = net_faults(&n);
    bool lasts = false;
    for (int i = 0; i < n; i++)
        lasts = lasts || (faults[i].hit && (faults[i].kind == NET_FORBIDDEN || faults[i].kind == NET_SLOW_WATCH) &&
                          faults[i].over_ms > virtual_now_ms());
    return lasts && teller_story(r->teller)->end != STORY_ENDS_MIGRATED;
}

static bool goal_ended(const struct run *r) {
    return !one_may_yet_be_told(r) && teller_is_done(r->teller) && teller_has_ended(r->teller) && one_runs(r);
}

static bool goal_gone(const struct run *r) {
    return binding(r) == NULL && teller_is_deleted_done(r->teller) && one_runs(r);
}

static int64_t trouble_is_over_ms(int64_t begun_ms) {
    int n;
    const struct net_fault *faults = net_faults(&n);
    for (int i = 0; i < n; i++)
        if (faults[i].hit && faults[i].over_ms > begun_ms)
            begun_ms = faults[i].over_ms;
    return begun_ms;
}

static int faults_hit(void) {
    int n, hit = 0;
    const struct net_fault *faults = net_faults(&n);
    for (int i = 0; i < n; i++)
        hit += faults[i].hit;
    return hit;
}

static int64_t lasts_ms(const struct net_fault *f) {
    return f->kind == NET_EMPTY_LIST ? NET_DIVERGENCE_MS : (int64_t)f->by * 1000;
}

/* What lasts longer than the progress deadline ends in a rollback, and the next try comes ten minutes later. */
static bool one_outlasts_the_deadline(const struct run *r) {
    int n;
    const struct net_fault *faults = net_faults(&n);
    int64_t deadline_s = json_int64_or(binding(r), "spec.rollout.progressDeadlineSeconds", 600);
    for (int i = 0; i < n; i++)
        if (faults[i].hit && lasts_ms(&faults[i]) >= deadline_s * 1000)
            return true;
    return false;
}

static int64_t bound_ms(const struct run *r) {
    int64_t soak_s = json_int64_or(binding(r), "spec.nodeRole.soakSeconds", 300);
    return BENCH_SETTLES_MS + GOAL_HOLDS_MS + soak_s * 1000 + (int64_t)r->o->nodes * BENCH_NODE_MS;
}

/* Then only they know how long it takes. */
static bool others_act(const struct run *r) {
    return r->o->on_phase || (r->o->story && r->o->story->nsteps > 0);
}

/* L2, L4: within ten minutes, the soak and the rollout, from when the last trouble is over. */
static bool run_until(struct run *r, bool (*goal)(const struct run *r), const char *what) {
    int64_t max_ms = r->o->goal_max_ms ? r->o->goal_max_ms : BENCH_VIRTUAL_MAX_MS;
    int64_t begun = virtual_now_ms(), bound = others_act(r) ? max_ms : bound_ms(r), end = begun + max_ms, look = 0,
            since = -1;
    int hit = faults_hit();
    while (virtual_now_ms() < end && virtual_now_ms() < trouble_is_over_ms(begun) + bound +
                                                            (one_outlasts_the_deadline(r) ? BENCH_TRIES_AGAIN_MS : 0)) {
        virtual_loop_step(end);
        end_lost(r);
        if (objected(r) || !teller_look(r->teller))
            return judged(r);
        if (virtual_now_ms() < look)
            continue;
        look = virtual_now_ms() + GOAL_LOOK_MS;
        since = goal(r) ? (since < 0 || faults_hit() > hit ? virtual_now_ms() : since) : -1;
        hit = faults_hit(); /* what one leads to has time to show; one that lasts, after its end */
        if (since >= 0 && virtual_now_ms() - trouble_is_over_ms(since) >= GOAL_HOLDS_MS)
            return true;
    }
    const json *ready = condition(r, "Ready"), *detached = condition(r, "NodeRoleDetached");
    fail(r, "%s: not %s after %lld s: Ready=%s %s: %s; NodeRoleDetached=%s %s", r->deleting ? "L4" : "L2", what,
         (long long)(virtual_now_ms() - begun) / 1000, str_or(json_str(ready, "status"), "?"),
         str_or(json_str(ready, "reason"), "?"), str_or(json_str(ready, "message"), "?"),
         str_or(json_str(detached, "status"), "?"), str_or(json_str(detached, "reason"), "?"));
    return false;
}

static void judge_silence(struct run *r, int before, int64_t looks, int64_t quiet, const char *when) {
    const char **lines;
    int after = net_writes(&lines), nfaults;
    bool goes_on = teller_story(r->teller)->end == STORY_ENDS_STALLED; /* tries and looks, for the cause to go (L3) */
    while (goes_on && before < after && str_has_prefix(lines[before], "aws "))
        before++;
    (void)net_faults(&nfaults);
    if (after != before)
        fail(r, "S13: %d writes in %lld s at rest %s, the first: %s", after - before, (long long)quiet / 1000, when,
             lines[before]);
    if (nfaults == 0 && !goes_on &&
        looks > quiet / AUDIT_INTERVAL_MS + 1) /* an unknown outcome is watched closely (S6c) */
        fail(r, "S13: AWS was looked at %lld times in %lld s", (long long)looks, (long long)quiet / 1000);
}

/* S13: nothing to do, nothing written; and AWS is looked at once an interval. Where a fault falls into the rest, another. */
static bool rest(struct run *r, const char *when) {
    int64_t quiet = r->o->rest_ms ? r->o->rest_ms : QUIET_MS, end = virtual_now_ms() + quiet;
    int64_t looks = sim_aws_count(sim_world_aws(r->world), "eks:DescribeCluster");
    int before = net_writes(NULL), hit = faults_hit();
    while (virtual_loop_step(end))
        if (one_is_lost(r) || objected(r))
            break;
    looks = sim_aws_count(sim_world_aws(r->world), "eks:DescribeCluster") - looks;
    if (faults_hit() > hit)
        return judged(r) && run_until(r, goal_ended, "where the scenario ends, again") && rest(r, when);
    judge_silence(r, before, looks, quiet, when);
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

static void config_path(const struct run *r, char path[128]) {
    snprintf(path, 128, "%s/config", bench_state_directory(r->replicas[0].state));
}

static void write_config(const struct run *r) {
    char path[128];
    config_path(r, path);
    write_file(path, "apiVersion: v1\nkind: Config\ncurrent-context: sim\n"
                     "clusters: [{name: sim, cluster: {server: \"" NET_KUBE "\"}}]\n"
                     "users: [{name: sim, user: {token: " KUBE_TOKEN "}}]\n"
                     "contexts: [{name: sim, context: {cluster: sim, user: sim}}]\n");
    setenv("KUBECONFIG", path, 1);
}

static void prepare_replicas(struct run *r) {
    bool pauses = false;
    for (int i = 0; i < r->o->nfaults; i++)
        pauses = pauses || r->o->faults[i].kind == NET_PAUSE;
    r->nreplicas = r->o->replicas > 0 ? r->o->replicas : pauses ? 2 : 1;
    if (r->nreplicas > BENCH_REPLICAS_MAX)
        die("bench: more than %d replicas", BENCH_REPLICAS_MAX);
    for (int i = 0; i < r->nreplicas; i++) {
        r->replicas[i].run = r;
        r->replicas[i].process = i;
        r->replicas[i].state = bench_state_new(i);
    }
}

static void prepare_environment(struct run *r) {
    prepare_replicas(r);
    write_config(r);
    setenv("AWS_ENDPOINT_URL", NET_AWS, 1);
    setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY, 1);
    setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY, 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static void remove_environment(struct run *r) {
    char path[128];
    config_path(r, path);
    unlink(path);
    for (int i = 0; i < r->nreplicas; i++)
        bench_state_free(r->replicas[i].state);
}

/* --- branches --- */

static void on_counted(void *arg, enum net_counter counter, int number) {
    struct run *r = arg;
    struct bench_fault fault;
    struct bench_moment now = {.counter = counter, .number = number, .deleting = r->deleting};
    if (!r->o->branch || !r->o->branch(r->o->branch_arg, &now, &fault))
        return;
    r->branched = true;
    for (int i = 0; i < r->nreplicas; i++)
        bench_state_take_copy(r->replicas[i].state);
    write_config(r);
    net_add_fault(fault.kind, fault.at, fault.by);
}

/* --- S10: what is let out --- */

static void on_log_line(void *ctx, const char *line, size_t len) {
    sim_checker_let_out(((struct run *)ctx)->checker, "the log", line, len);
}

static void discard_line(void *ctx, const char *line, size_t len) {
    (void)ctx, (void)line, (void)len;
}

static void on_state_bytes(void *arg, const char *bytes, size_t n) {
    sim_checker_let_out(((struct run *)arg)->checker, "the state file", bytes, n);
}

static void check_files(struct run *r) {
    for (int i = 0; i < r->nreplicas; i++)
        bench_state_read(r->replicas[i].state, on_state_bytes, r);
    judged(r);
}

static void settle(int64_t ms) {
    int64_t settled = virtual_now_ms() + ms;
    while (virtual_loop_step(settled))
        ;
}

static void make_operator(struct run *r) {
    static const struct sim_aws_param params[] = {
        {"RoleName", OPERATOR_ROLE},
        {"PolicyName", "cni-iam"},
        {"PolicyDocument", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\","
                           "\"Resource\":\"*\"}]}"}};
    struct sim_aws_call call = {.service = "iam", .action = "PutRolePolicy", .params = params, .nparams = 3};
    struct sim_aws *aws = sim_world_aws(r->world);
    struct sim_aws_answer answer;
    if (r->o->operator_role) {
        sim_aws_add_node_role(aws, OPERATOR_ROLE, NULL, 0);
        sim_aws_do(aws, &call, &answer);
        json_free(answer.value);
    }
    sim_aws_add_access_key(aws, ACCESS_KEY, r->o->operator_role ? ACCOUNT "role/" OPERATOR_ROLE : ACCOUNT "root");
}

/* What others did before there was a binding: the judge begins with what is then so. */
static void make_teller(struct run *r) {
    struct teller_options t = {.story = r->o->story,
                               .world = r->world,
                               .now_ms = virtual_now_ms,
                               .enforcement_lag_ms = r->o->enforcement_lag_ms,
                               .trace = r->o->trace};
    r->teller = teller_new(&t);
    if (teller_start(r->teller, settle))
        settle(r->o->enforcement_lag_ms + 10000);
}

static void make_world(struct run *r) {
    const struct bench_options *o = r->o;
    struct sim_world_options w = {.clock = virtual_clock(),
                                  .seed = o->seed,
                                  .nodes = o->nodes,
                                  .enforcement_lag_ms = o->enforcement_lag_ms,
                                  .pod_start_ms = o->pod_start_ms ? o->pod_start_ms : POD_START_MS,
                                  .webhook_lag_ms = o->webhook_lag_ms ? o->webhook_lag_ms : WEBHOOK_LAG_MS,
                                  .webhook_misses = o->webhook_misses,
                                  .foreign_consumer = o->foreign_consumer,
                                  .ipv6 = o->ipv6,
                                  .on_delete = o->on_delete,
                                  .crd_yaml = bench_crd_yaml,
                                  .key_bits =
                                      512}; /* as few as a SHA-256 signature fits in: signing is what a token costs */
    r->world = sim_world_new(&w);
    make_operator(r);
    settle(10000);
    make_teller(r);
    r->checker = sim_checker_new(r->world);
    sim_checker_secret(r->checker, SECRET_KEY);
    sim_checker_secret(r->checker, KUBE_TOKEN);
    if (!getenv("CNI_IAM_BENCH_LOG")) {
        log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
        log_set_sink(on_log_line, r);
    }
    struct net_options n = {.kube = sim_world_kube(r->world),
                            .aws = sim_world_aws(r->world),
                            .checker = r->checker,
                            .seed = o->seed,
                            .delay_max_ms = o->delay_max_ms,
                            .crash = crash,
                            .disk = hurt_disk,
                            .counted = on_counted,
                            .arg = r,
                            .tap = o->oracles ? oracle_tap : NULL};
    net_begin(&n);
    oracle_begin(o->oracles ? r->world : NULL, o, r->replicas[0].state);
    teller_begin(r->teller, r->checker);
    for (int i = 0; i < o->nfaults; i++)
        net_add_fault(o->faults[i].kind, o->faults[i].at, o->faults[i].by);
}

static void measure(struct run *r) {
    const char **lines;
    int nfaults;
    char hex[DIGEST_SHA256_HEX];
    struct bench_result *out = r->out;
    out->writes = net_writes(&lines);
    out->calls = net_calls();
    for (int i = 0; i < NET_COUNTERS; i++)
        out->counts[i] = net_count((enum net_counter)i);
    out->virtual_ms = virtual_now_ms();
    struct buf text;
    buf_init(&text, (size_t)4 << 20);
    for (int i = 0; i < out->writes; i++) {
        buf_printf(&text, "%s\n", lines[i]);
        if (r->o->trace)
            printf("  %3d %7.1f s  %s%s\n", i + 1, (double)net_write_ms(i) / 1000, lines[i],
                   i + 1 == out->migration_writes ? "   <- migrated" : "");
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

/* Whoever deletes, or changes things by hand, does not ask how far the operator is. */
static bool run_for_a_while(struct run *r, int64_t ms) {
    int64_t end = virtual_now_ms() + ms;
    while (virtual_loop_step(end)) {
        end_lost(r);
        if (objected(r))
            return judged(r);
    }
    return judged(r);
}

static bool delete_binding(struct run *r) {
    r->deleting = true;
    kube_call(r, "DELETE", "/apis/cniiam.dev/v1alpha1/cniiambindings/aws-node", "");
    teller_delete(r->teller);
    return run_until(r, goal_gone, "gone") && judged(r);
}

/* --- a scenario of a file --- */

static bool story_ends(struct run *r) {
    if (!run_until(r, goal_ended, "where the scenario ends"))
        return false;
    teller_check_end(r->teller);
    if (!judged(r))
        return false;
    r->out->migration_writes = net_writes(NULL);
    return rest(r, "at its end") && teller_story(r->teller)->deletion != STORY_DELETION_NONE && binding(r);
}

static void follow_the_story(struct run *r) {
    if (!(r->o->delete_after_ms ? run_for_a_while(r, r->o->delete_after_ms) : story_ends(r)))
        return;
    if (r->o->no_deletion || !delete_binding(r))
        return;
    teller_check_deletion(r->teller);
    judged(r);
}

/* --- a planted bug's world, in which hands of others are at work (mutants.h) --- */

static bool migrate(struct run *r) {
    if (r->o->held_ms) /* a binding that is held back: nothing happens for a while, and that is all */
        return run_for_a_while(r, r->o->held_ms);
    if (!run_until(r, goal_migrated, "migrated"))
        return false;
    check_migrated(r);
    return judged(r) && !r->out->failure[0];
}

static bool migrate_and_rest(struct run *r) {
    if (!migrate(r))
        return false;
    r->out->migration_writes = net_writes(NULL);
    enter(r, BENCH_MIGRATED);
    if (r->o->rest_ms < 0)
        return run_for_a_while(r, -r->o->rest_ms);
    return r->o->held_ms || rest(r, "after the migration");
}

static void follow_the_hands(struct run *r) {
    if (!migrate_and_rest(r))
        return;
    enter(r, BENCH_DELETED);
    if (!delete_binding(r))
        return;
    if (!r->o->stays_migrated)
        check_restored(r);
    oracle_end();
    judged(r);
}

static void phases(struct run *r) {
    apply_binding(r);
    if (r->out->failure[0])
        return;
    if (r->o->oracles)
        follow_the_hands(r);
    else
        follow_the_story(r);
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
    start_replicas(r);
    phases(r);
    check_files(r);
    measure(r);
    if (r->branched && o->branch_exits) { /* memory that is shared until it is written: giving it back would copy it */
        remove_environment(r);
        return;
    }
    for (int i = 0; i < r->nreplicas; i++) {
        c.timer_stop(c.ctx, r->replicas[i].restart_timer);
        end_operator(&r->replicas[i]);
    }
    if (!getenv("CNI_IAM_BENCH_LOG"))
        log_set_sink(discard_line, NULL);
    teller_free(r->teller);
    sim_checker_free(r->checker);
    sim_world_free(r->world);
    remove_environment(r);
    free(r);
}
