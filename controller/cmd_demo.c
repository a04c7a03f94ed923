/*
 * cmd_demo.c - cni-iam demo: a migration from its beginning to its end in a simulated cluster and account on loopback.
 * The operator is the real one, a child process that knows of no simulation and has the rights that its manifests give it.
 * Gates and Events are its word; nodes, calls, writes and broken invariants come from the world itself, and the exit status
 * needs both.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/commands.h"
#include "controller/crd_text.h"
#include "controller/demo_apply.h"
#include "controller/demo_child.h"
#include "controller/demo_dir.h"
#include "controller/demo_view.h"
#include "controller/rbac_text.h"
#include "platform/base/strmap.h"
#include "simulator/checker.h"
#include "simulator/world_faces.h"

#define NODES 30
#define FOREIGN_CONSUMER "i-0ba57104b0000000f" /* on the second node role, and no node of the cluster */
#define ACCESS_KEY "AKIADEMODEMODEMODEMO"
#define SECRET_KEY "demo-demo-demo-demo-demo-demo-demo-demo-"
#define OPERATOR_ARN "arn:aws:iam::111122223333:user/cni-iam"
#define WRITES_MAX 64 /* of which the summary tells */
#define PATH_SIZE (DEMO_DIR_PATH_MAX + 32)
#define LOG_TAIL 4000
#define CA_FILE "ca.crt"

struct pace {
    int64_t pod_start_ms, lag_ms, webhook_lag_ms, tick_ms, deadline_ms;
    int64_t settle_ms; /* next to IAM's lag: what the last write breaks would be seen by then */
    int proof_s, settle_s, soak_s;
};
static const struct pace slow = {.pod_start_ms = 1200,
                                 .lag_ms = 3000,
                                 .webhook_lag_ms = 1000,
                                 .tick_ms = 100,
                                 .deadline_ms = 300000,
                                 .settle_ms = 2 * CHECKER_LOOK_MS,
                                 .proof_s = 2,
                                 .settle_s = 2,
                                 .soak_s = 5};
/* The operator looks every two seconds at what IAM or the webhook have not made effective yet, however short that is. */
static const struct pace fast = {
    .pod_start_ms = 25, .tick_ms = 50, .deadline_ms = 60000, .settle_ms = 200, .soak_s = 1};

enum phase { STARTING, MIGRATING, SETTLING, CONVERGED, FAILED, INTERRUPTED };

struct demo {
    const struct options *o;
    const struct pace *pace;
    struct loop *loop;
    struct clock clock;
    struct sim_world *world;
    struct sim_world_faces faces;
    struct sim_checker *checker;
    struct demo_child *child;
    struct demo_view *view;
    struct demo_picture picture;
    struct demo_dir dir;
    char kubeconfig[PATH_SIZE], ca[PATH_SIZE], state[PATH_SIZE], log[PATH_SIZE];
    char operators_kubeconfig[PATH_SIZE];
    char why[DEMO_TEXT_MAX]; /* FAILED */
    enum phase phase;
    bool keeps, staying, over;
    int64_t started_ms, settled_ms, converged_ms;
    uint64_t timer;
    int aws_writes, kube_writes, nwrites, violations_said;
    int complaints; /* of pods' CNIs since the last picture */
    char writes[WRITES_MAX][DEMO_TEXT_MAX];
};

static int64_t elapsed(const struct demo *d) {
    return d->clock.boot_ms(d->clock.ctx) - d->started_ms;
}

static void fail(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct demo *d, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(d->why, sizeof d->why, fmt, ap);
    va_end(ap);
    d->phase = FAILED;
    d->over = true;
}

/* --- what happens in the world --- */

static void note_write(struct demo *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note_write(struct demo *d, const char *fmt, ...) {
    char text[DEMO_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!d->staying && d->nwrites < WRITES_MAX)
        snprintf(d->writes[d->nwrites++], sizeof d->writes[0], "%5.1f s  %.220s", (double)elapsed(d) / 1000, text);
    if (d->view)
        demo_view_say(d->view, DEMO_WRITE, elapsed(d), "%s", text);
}

static void on_aws_write(void *arg, const char *action, const char *line) {
    struct demo *d = arg;
    (void)action;
    d->aws_writes++;
    note_write(d, "AWS         %s", line);
}

static void on_event(struct demo *d, const char *type, const json *event) {
    const char *kind = str_or(json_str(event, "involvedObject.kind"), json_str(event, "regarding.kind"));
    const char *reason = str_or(json_str(event, "reason"), "");
    if (!str_eq(type, "ADDED") || !d->view)
        return;
    bool warning = str_eq(json_str(event, "type"), "Warning");
    if (str_eq(kind, "CniIamBinding"))
        demo_view_say(d->view, warning ? DEMO_BAD : DEMO_GOOD, elapsed(d), "%s: %s", reason,
                      str_or(json_str(event, "message"), str_or(json_str(event, "note"), "")));
    else if (warning && str_eq(reason, "MissingIAMPermissions"))
        d->complaints++;
}

static void on_kube_write(void *arg, const char *type, const char *resource, const json *object, const char *manager) {
    struct demo *d = arg;
    bool matters = str_eq(resource, "serviceaccounts") || str_eq(resource, "daemonsets") || str_eq(resource, "pods");
    if (str_eq(resource, "events"))
        on_event(d, type, object);
    bool by_user = str_has_prefix(manager, "kubectl"); /* somebody looks around, and breaks something */
    if (!matters || (!by_user && !str_has_prefix(manager, "cni-iam")))
        return;
    bool leaving = json_str(object, "metadata.deletionTimestamp") != NULL || str_eq(type, "DELETED");
    d->kube_writes += !by_user;
    note_write(d, "Kubernetes  %s%s %s %s", by_user ? "(by you) " : "", leaving ? "delete" : "change", resource,
               str_or(json_str(object, "metadata.name"), ""));
}

/* --- the picture --- */

static void see_gates(struct demo_picture *p, const json *binding) {
    const char *state;
    int64_t n;
    for (const json *g = json_first(json_array(binding, "status.gates")); g; g = g->next) {
        const char *name = json_str(g, "name");
        if (!name || name[0] != 'G' || !str_to_int64(name + 1, &n) || n < 1 || n > DEMO_GATES)
            continue;
        struct demo_gate *gate = &p->gates[n - 1];
        state = str_or(json_str(g, "state"), "");
        str_copy(gate->name, sizeof gate->name, name);
        str_copy(gate->state, sizeof gate->state, state);
        str_copy(gate->evidence, sizeof gate->evidence, str_or(json_str(g, "evidence"), ""));
    }
}

static const json *condition(const json *binding, const char *type) {
    for (const json *c = json_first(json_array(binding, "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), type))
            return c;
    return NULL;
}

static bool is_true(const json *binding, const char *type) {
    return str_eq(json_str(condition(binding, type), "status"), "True");
}

static struct demo_group *group_of(struct demo_picture *p, const char *name) {
    for (int i = 0; i < p->ngroups; i++)
        if (str_eq(p->groups[i].name, name))
            return &p->groups[i];
    if (p->ngroups == DEMO_GROUPS_MAX)
        return NULL;
    struct demo_group *g = &p->groups[p->ngroups++];
    str_copy(g->name, sizeof g->name, name);
    return g;
}

static void see_groups(struct demo *d) {
    struct demo_picture *p = &d->picture;
    struct sim_aws *aws = sim_world_aws(d->world);
    p->ngroups = 0;
    for (int i = 0; i < p->nrows; i++) {
        struct demo_group *g = group_of(p, p->rows[i].group);
        const json *node = sim_kube_get(sim_world_kube(d->world), "nodes", NULL, p->rows[i].name);
        const char *id = json_str(node, "spec.providerID"), *slash = id ? strrchr(id, '/') : NULL;
        const char *arn = slash ? sim_aws_role_of_instance(aws, slash + 1) : NULL;
        const char *name = arn ? strrchr(arn, '/') : NULL;
        if (!g || !name)
            continue;
        str_copy(g->role, sizeof g->role, name + 1);
        g->role_allows = sim_aws_allows(aws, arn, "ec2:AssignPrivateIpAddresses");
    }
}

static const json *see(struct demo *d) {
    struct demo_picture *p = &d->picture;
    const json *binding = sim_kube_get(sim_world_kube(d->world), "cniiambindings", NULL, "aws-node");
    const json *ready = condition(binding, "Ready");
    p->elapsed_ms = elapsed(d);
    p->nrows = sim_world_rows(d->world, p->rows, DEMO_NODES_MAX);
    see_gates(p, binding);
    see_groups(d);
    p->aws_calls = sim_aws_count(sim_world_aws(d->world), NULL);
    p->aws_writes = d->aws_writes;
    p->violations = sim_checker_violations(d->checker);
    snprintf(p->ready, sizeof p->ready, "%s%s%.200s", str_or(json_str(ready, "reason"), "-"), ready ? ": " : "",
             str_or(json_str(ready, "message"), ""));
    for (; d->violations_said < p->violations && sim_checker_violation(d->checker, d->violations_said);
         d->violations_said++)
        demo_view_say(d->view, DEMO_BAD, p->elapsed_ms, "%s", sim_checker_violation(d->checker, d->violations_said));
    if (d->complaints > 0)
        demo_view_say(d->view, DEMO_BAD, p->elapsed_ms, "%d warnings of pods: missing IAM permissions", d->complaints);
    d->complaints = 0;
    demo_view_draw(d->view, p);
    return binding;
}

/* --- the story --- */

static bool all_ready(const struct demo_picture *p) {
    for (int i = 0; i < p->nrows; i++)
        if (p->rows[i].identity == SIM_POD_NONE || !p->rows[i].ready)
            return false;
    return p->nrows > 0;
}

static void apply_binding(struct demo *d) {
    char body[1024];
    struct error err;
    snprintf(body, sizeof body,
             "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":"
             "\"aws-node\"},\"spec\":{\"rollout\":{\"proofSeconds\":%d,\"settleSeconds\":%d,"
             "\"progressDeadlineSeconds\":120},\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":%d,"
             "\"foreignConsumers\":[\"" FOREIGN_CONSUMER "\"]}}}",
             d->pace->proof_s, d->pace->settle_s, d->pace->soak_s);
    if (!demo_apply(sim_world_kube(d->world), body, &err))
        fail(d, "%s", err.message);
    else
        demo_view_say(d->view, DEMO_GOOD, elapsed(d), "kubectl apply: one CniIamBinding, nodeRole.detach Automatic");
}

static void go_on(struct demo *d, const json *binding) {
    bool done = is_true(binding, "Ready") && is_true(binding, "NodeRoleDetached");
    int64_t now = elapsed(d);
    if (d->phase == STARTING && all_ready(&d->picture)) {
        d->phase = MIGRATING;
        apply_binding(d);
    } else if (d->phase == MIGRATING && done) {
        d->phase = SETTLING;
        d->converged_ms = d->settled_ms = now;
    } else if (d->phase == SETTLING && !done) {
        d->phase = MIGRATING;
    } else if (d->phase == SETTLING && now >= d->settled_ms + d->pace->lag_ms + d->pace->settle_ms &&
               all_ready(&d->picture)) {
        d->phase = CONVERGED;
        d->over = true;
    }
}

static void on_tick(void *arg) {
    struct demo *d = arg;
    char why[64];
    d->timer = d->clock.timer_start(d->clock.ctx, d->pace->tick_ms, on_tick, d);
    const json *binding = see(d);
    if (demo_child_ended(d->child, why, sizeof why))
        fail(d, "the controller ended by itself: %s", why);
    else if (!d->staying && elapsed(d) > d->pace->deadline_ms)
        fail(d, "not done after %lld s; %.180s", (long long)d->pace->deadline_ms / 1000, d->picture.ready);
    else if (!d->staying)
        go_on(d, binding);
}

static void on_signal(void *arg, int signo) {
    struct demo *d = arg;
    (void)signo;
    if (!d->staying)
        d->phase = INTERRUPTED;
    d->over = true;
}

/* --- files --- */

static bool make_dir(struct demo *d, struct error *err) {
    if (!demo_dir_make(&d->dir, err))
        return false;
    snprintf(d->kubeconfig, sizeof d->kubeconfig, "%s/kubeconfig", d->dir.path);
    snprintf(d->operators_kubeconfig, sizeof d->operators_kubeconfig, "%s/operator.kubeconfig", d->dir.path);
    snprintf(d->ca, sizeof d->ca, "%s/" CA_FILE, d->dir.path);
    snprintf(d->state, sizeof d->state, "%s/state.db", d->dir.path);
    snprintf(d->log, sizeof d->log, "%s/controller.log", d->dir.path);
    return true;
}

static bool write_file(const char *path, const char *text, struct error *err) {
    FILE *f = fopen(path, "we");
    if (!f)
        return error_set(err, ERR_IO, "%s can not be written: %s", path, strerror(errno));
    bool ok = fputs(text, f) >= 0;
    return (fclose(f) == 0 && ok) || error_set(err, ERR_IO, "%s can not be written: is the disk full?", path);
}

/* The authority lies beside it for the AWS clients, which take it as a file only. */
static bool write_kubeconfig(const struct demo *d, const char *path, const char *token, struct error *err) {
    struct arena *a = arena_new(0);
    const char *text =
        arena_printf(a,
                     "apiVersion: v1\nkind: Config\ncurrent-context: demo\n"
                     "clusters:\n- name: demo\n  cluster: {server: \"%s\", certificate-authority: " CA_FILE "}\n"
                     "users:\n- name: demo\n  user: {token: %s}\n"
                     "contexts:\n- name: demo\n  context: {cluster: demo, user: demo, namespace: kube-system}\n",
                     sim_face_url(d->faces.kube), token);
    bool ok = write_file(path, text, err);
    arena_free(a);
    return ok;
}

/* One for people, who are administrators, and one for the operator. */
static bool write_access(const struct demo *d, struct error *err) {
    char *token = demo_token(sim_world_kube(d->world), "kube-system", "cni-iam", err);
    bool ok = token && write_file(d->ca, sim_world_faces_ca(&d->faces), err) &&
              write_kubeconfig(d, d->kubeconfig, "user", err) &&
              write_kubeconfig(d, d->operators_kubeconfig, token, err);
    free(token);
    return ok;
}

static void print_log_tail(const struct demo *d) {
    char text[LOG_TAIL + 1];
    FILE *f = fopen(d->log, "re");
    if (!f)
        return;
    if (fseek(f, -LOG_TAIL, SEEK_END) < 0)
        rewind(f);
    text[fread(text, 1, LOG_TAIL, f)] = '\0';
    fclose(f);
    fprintf(stderr, "The controller's last words:\n%s\n", text);
}

/* --- the controller --- */

static bool start_controller(struct demo *d, struct error *err) {
    struct arena *a = arena_new(0);
    const char *const argv[] = {"cni-iam",
                                "controller",
                                "--kubeconfig",
                                d->operators_kubeconfig,
                                "--cluster-name",
                                "prod",
                                "--region",
                                "us-west-2",
                                "--leader-election-namespace",
                                "kube-system",
                                "--state-file",
                                d->state,
                                "--aws-audit-interval",
                                "2s",
                                "--log-format",
                                "json",
                                NULL};
    const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                               arena_printf(a, "HOME=%s", d->dir.path),
                               arena_printf(a, "AWS_ENDPOINT_URL=%s", sim_face_url(d->faces.aws)),
                               arena_printf(a, "AWS_CA_BUNDLE=%s", d->ca),
                               "AWS_ACCESS_KEY_ID=" ACCESS_KEY,
                               "AWS_SECRET_ACCESS_KEY=" SECRET_KEY,
                               "AWS_REGION=us-west-2",
                               "AWS_EC2_METADATA_DISABLED=true",
                               NULL};
    d->child = demo_child_start(argv, env, d->log, err);
    arena_free(a);
    return d->child != NULL;
}

/* --- life --- */

static bool make_world(struct demo *d, struct error *err) {
    const struct pace *p = d->pace;
    d->loop = loop_new(err);
    if (!d->loop)
        return false;
    d->clock = loop_clock(d->loop);
    d->started_ms = d->clock.boot_ms(d->clock.ctx);
    d->world = sim_world_new(&(struct sim_world_options){.clock = d->clock,
                                                         .seed = (uint64_t)d->o->seed,
                                                         .nodes = NODES,
                                                         .enforcement_lag_ms = p->lag_ms,
                                                         .pod_start_ms = p->pod_start_ms,
                                                         .webhook_lag_ms = p->webhook_lag_ms,
                                                         .webhook_misses = 1,
                                                         .foreign_consumer = true,
                                                         .crd_yaml = crd_text});
    sim_aws_add_access_key(sim_world_aws(d->world), ACCESS_KEY, OPERATOR_ARN);
    /* As an administrator would install it: what its manifests do not allow would be missing here, too. */
    if (!demo_apply(sim_world_kube(d->world), service_account_text, err) ||
        !demo_apply(sim_world_kube(d->world), rbac_text, err))
        return false;
    d->checker = sim_checker_new(d->world);
    sim_aws_on_write(sim_world_aws(d->world), on_aws_write, d);
    sim_kube_on_write(sim_world_kube(d->world), on_kube_write, d);
    loop_on_signal(d->loop, on_signal, d);
    return sim_world_faces_open(&d->faces, d->loop, d->world, SIM_WORLD_TLS, err);
}

static void make_view(struct demo *d) {
    char title[DEMO_TEXT_MAX];
    bool terminal = isatty(STDOUT_FILENO) && !str_eq(getenv("TERM"), "dumb");
    snprintf(title, sizeof title, "%d nodes on 2 node roles; kubeconfig %.100s, AWS %s", NODES, d->kubeconfig,
             sim_face_url(d->faces.aws));
    d->view = demo_view_new(stdout, terminal, terminal && !d->o->no_color && str_empty(getenv("NO_COLOR")), title);
    d->keeps = d->o->keep || (terminal && !d->o->fast);
}

static bool begin(struct demo *d, struct error *err) {
    if (!make_dir(d, err) || !make_world(d, err) || !write_access(d, err) || !start_controller(d, err))
        return false;
    make_view(d);
    d->timer = d->clock.timer_start(d->clock.ctx, 0, on_tick, d);
    return true;
}

static void end(struct demo *d) {
    demo_child_stop(d->child, d->loop); /* first: it would complain of servers that are gone */
    demo_view_free(d->view);
    sim_world_faces_close(&d->faces);
    sim_checker_free(d->checker);
    sim_world_free(d->world);
    if (d->loop)
        loop_free(d->loop);
}

/* --- what is told at the end --- */

static bool succeeded(const struct demo *d) {
    return d->phase == CONVERGED && sim_checker_violations(d->checker) == 0;
}

static void print_summary(const struct demo *d) {
    printf("\nWrites, in their order:\n");
    for (int i = 0; i < d->nwrites; i++)
        printf("  %s\n", d->writes[i]);
    printf("\n%.1f s, %lld AWS calls of which %d wrote, %d writes to Kubernetes' workload, %d restarts, "
           "%d invariants broken\n",
           (double)d->converged_ms / 1000, (long long)sim_aws_count(sim_world_aws(d->world), NULL), d->aws_writes,
           d->kube_writes, sim_checker_restarts(d->checker), sim_checker_violations(d->checker));
    if (succeeded(d))
        printf(
            "Every aws-node pod has the role of its own; no node role grants what the CNI needs any more; no pod was "
            "without permissions meanwhile.\n");
}

/* The AWS CLI sends even 127.0.0.1 to a proxy. */
static const char *past_the_proxy(void) {
    static const char *const names[] = {"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!str_empty(getenv(names[i])))
            return "  export NO_PROXY=127.0.0.1,$NO_PROXY no_proxy=127.0.0.1,$no_proxy\n";
    return "";
}

static void print_look_around(const struct demo *d) {
    printf("\nLook around, in another terminal:\n"
           "  export KUBECONFIG=%s\n"
           "%s"
           "  export AWS_ENDPOINT_URL=%s AWS_CA_BUNDLE=%s AWS_REGION=us-west-2 AWS_DEFAULT_REGION=us-west-2 "
           "AWS_ACCESS_KEY_ID=%s "
           "AWS_SECRET_ACCESS_KEY=%s\n"
           "  kubectl get cib -o wide; kubectl get pods; kubectl get events\n"
           "  aws iam list-attached-role-policies --role-name eks-node\n"
           "Break something, and watch here how it is repaired:\n"
           "  kubectl annotate sa aws-node eks.amazonaws.com/role-arn-\n"
           "  aws iam detach-role-policy --policy-arn arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy --role-name \\\n"
           "    $(kubectl get cib aws-node -o jsonpath='{.status.role.name}')\n"
           "  kubectl delete cib aws-node   # gives everything back, in the safe order\n"
           "The controller's log is %s. Ctrl-C ends this world.\n\n",
           d->kubeconfig, past_the_proxy(), sim_face_url(d->faces.aws), d->ca, ACCESS_KEY, SECRET_KEY, d->log);
    fflush(stdout);
}

static void run(struct demo *d) {
    for (d->over = false; !d->over;)
        loop_turn(d->loop, d->pace->tick_ms);
}

static void stay(struct demo *d) {
    print_look_around(d);
    d->staying = true;
    sim_checker_excuse(d->checker, true); /* what people break is theirs */
    run(d);
}

static int tell(const struct demo *d) {
    bool ok = succeeded(d);
    for (int i = 0; i < sim_checker_violations(d->checker) && sim_checker_violation(d->checker, i); i++)
        fprintf(stderr, "cni-iam demo: %s\n", sim_checker_violation(d->checker, i));
    if (d->phase == INTERRUPTED)
        fprintf(stderr, "cni-iam demo: ended before it was done\n");
    if (d->phase == FAILED) {
        fprintf(stderr, "cni-iam demo: %s\n", d->why);
        print_log_tail(d);
    }
    if (!ok && d->phase != INTERRUPTED)
        fprintf(stderr, "cni-iam demo: the controller's log and its state are kept in %s\n", d->dir.path);
    return ok ? 0 : 1;
}

int command_demo(const struct options *o) {
    struct error err;
    struct demo *d = calloc(1, sizeof *d);
    if (!d)
        die("out of memory");
    d->o = o;
    d->pace = o->fast ? &fast : &slow;
    int status = 1;
    if (!begin(d, &err)) {
        fprintf(stderr, "cni-iam demo: %s\n", err.message);
    } else {
        run(d);
        demo_view_settle(d->view);
        if (d->phase == CONVERGED)
            print_summary(d);
        status = tell(d);
        if (status == 0 && d->keeps) {
            stay(d);
            status = d->phase == FAILED ? tell(d) : 0;
        }
    }
    bool keep_files = d->view && d->phase != INTERRUPTED && status != 0;
    end(d);
    (keep_files ? demo_dir_keep : demo_dir_remove)(&d->dir);
    free(d);
    return status;
}
