/* rehearsal.c - the run: world, network and operator on one virtual clock, until it is where it should be or time is up. */
#include "controller/rehearsal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/crd_text.h"
#include "controller/operator.h"
#include "controller/rehearsal_report.h"
#include "crd/binding.h"
#include "platform/base/timefmt.h"
#include "platform/store/sqlite_store.h"
#include "reconcilers/reasons.h"
#include "simulator/virtual/virtual_loop.h"

#define LOOK_MS 500
#define HOLDS_MS 90000 /* longer than one look at AWS */
#define LEAST_MS (60 * 60 * 1000)
#define SEED 1
#define KEY_BITS 1024 /* its tokens convince nobody but the rehearsed account, and signing is a seventh of a run */
#define OPERATOR 0    /* the only process in that world */
#define IDENTITY "rehearsal"
#define ACCESS_KEY "AKIASIMULATEDOPERATOR"

extern char **environ;

struct rehearsal {
    const struct rehearsal_request *r;
    struct report *report;
    struct sim_world *world;
    struct sim_checker *checker;
    struct connection connection;
    struct sqlite_store *store;
    struct cni_operator *op;
    struct options options; /* of the operator */
    const char *name;       /* of the binding */
    bool connected, lost, approved;
};

/* --- the environment of the clients --- */

/* Whatever AWS setting the user has is of the real account. */
static void clear_aws_environment(struct arena *a) {
    struct strlist names = {0};
    for (char **v = environ; *v; v++)
        if (str_has_prefix(*v, "AWS_"))
            strlist_add(&names, arena_strndup(a, *v, strcspn(*v, "=")), a);
    for (size_t i = 0; i < names.n; i++)
        unsetenv(names.v[i]);
}

static void set_aws_environment(void) {
    struct arena *a = arena_new(0);
    clear_aws_environment(a);
    arena_free(a);
    setenv("AWS_ENDPOINT_URL", NET_AWS, 1);
    setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY, 1);
    setenv("AWS_SECRET_ACCESS_KEY", "simulated", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static bool write_kubeconfig(const char *path) {
    static const char text[] = "apiVersion: v1\nkind: Config\ncurrent-context: sim\n"
                               "clusters: [{name: sim, cluster: {server: \"" NET_KUBE "\"}}]\n"
                               "users: [{name: sim, user: {token: simulated}}]\n"
                               "contexts: [{name: sim, context: {cluster: sim, user: sim}}]\n";
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1;
    if (fd >= 0)
        close(fd);
    return good;
}

static bool may_write(void *arg) {
    return operator_may_write(((struct rehearsal *)arg)->op);
}

static bool open_connection(struct rehearsal *x, const struct connection_options *co, struct error *err) {
    virtual_process(OPERATOR);
    bool good = connection_open(&x->connection, co, err);
    virtual_process(VIRTUAL_WORLD);
    return good;
}

/* The file is read when the connection is opened, and never again. */
static bool connect_operator(struct rehearsal *x, struct error *err) {
    struct arena *a = arena_new(0);
    char *dir = arena_printf(a, "%s/cni-iam-rehearse-XXXXXX", str_or(getenv("TMPDIR"), "/tmp"));
    bool made = mkdtemp(dir) != NULL;
    char *path = arena_printf(a, "%s/config", dir);
    x->options.kubeconfig = path;
    struct connection_options co = {.options = &x->options, .component = "rehearse", .may_write = may_write, .arg = x};
    if (!made || !write_kubeconfig(path))
        error_set(err, ERR_IO, "%s can not be written", path);
    else
        x->connected = open_connection(x, &co, err);
    if (made) {
        unlink(path);
        rmdir(dir);
    }
    x->options.kubeconfig = NULL;
    arena_free(a);
    return x->connected;
}

/* --- the binding --- */

static bool kube_call(struct rehearsal *x, const char *method, const char *type, const json *body, struct error *err) {
    struct arena *a = arena_new(0);
    const char *text = json_print_arena(body, a), *base = "/apis/cniiam.dev/v1alpha1/cniiambindings";
    bool post = str_eq(method, "POST");
    struct sim_http_request req = {.method = method,
                                   .path = post ? base : arena_printf(a, "%s/%s", base, x->name),
                                   .query = "",
                                   .content_type = type,
                                   .user_agent = "kubectl/rehearse",
                                   .body = text,
                                   .body_len = strlen(text)};
    struct sim_http_answer answer = {0};
    struct error ignored;
    sim_kube_http(sim_world_kube(x->world), &req, &answer);
    json *status = answer.status >= 300 && answer.body ? json_parse(answer.body, answer.body_len, &ignored) : NULL;
    bool good = answer.status < 300 || error_set(err, ERR_INVALID, "the API server would refuse the binding: %.400s",
                                                 str_or(json_str(status, "message"), "for no reason that it tells"));
    json_free(status);
    free(answer.body);
    arena_free(a);
    return good;
}

static const json *binding_of(const struct rehearsal *x) {
    return sim_kube_get(sim_world_kube(x->world), CIB_RESOURCE, NULL, x->name);
}

/* As it would be applied, but for what would make a rehearsal pointless. */
static json *binding_to_apply(struct rehearsal *x, const json *wanted) {
    const json *live = binding_of(x), *given = json_get(wanted, "spec");
    json *object = live ? json_dup(live) : json_object();
    json *spec = json_is_object(given) ? json_dup(given) : json_object();
    if (!live) {
        json_add_str(object, "apiVersion", str_or(json_str(wanted, "apiVersion"), ""));
        json_add_str(object, "kind", CIB_KIND);
        json_add_str(json_add_object(object, "metadata"), "name", x->name);
    }
    if (json_get(spec, "mode") && !str_eq(json_str(spec, "mode"), "Enforce")) {
        report_assume(x->report, "mode %s is rehearsed as Enforce", str_or(json_str(spec, "mode"), "?"));
        json_add_str(spec, "mode", "Enforce");
    }
    if (json_bool(spec, "suspend", false)) {
        report_assume(x->report, "the binding is suspended: rehearsed as if it were not");
        json_add_bool(spec, "suspend", false);
    }
    json_add_item(object, "spec", spec);
    return object;
}

static bool name_binding(struct rehearsal *x, struct error *err) {
    const json *bindings = json_path(snapshot_root(x->r->snapshot), "kubernetes.bindings"),
               *first = json_first(bindings);
    x->name = json_str(x->r->binding ? x->r->binding : first, "metadata.name");
    if (!x->r->binding && (!first || first->next))
        return error_set(err, ERR_INVALID, "the cluster has %s: write which one: -f binding.yaml",
                         first ? "more than one binding" : "no binding");
    return x->name || error_set(err, ERR_INVALID, "the CniIamBinding has no metadata.name");
}

static bool apply_binding(struct rehearsal *x, struct error *err) {
    bool is_new = binding_of(x) == NULL;
    json *object = binding_to_apply(x, x->r->binding ? x->r->binding : binding_of(x));
    bool good = kube_call(x, is_new ? "POST" : "PUT", "application/json", object, err);
    json_free(object);
    return good;
}

static const json *condition(const struct rehearsal *x, const char *type) {
    for (const json *c = json_first(json_array(binding_of(x), "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), type) &&
            json_int64_or(c, "observedGeneration", -1) == json_int64_or(binding_of(x), "metadata.generation", 0))
            return c;
    return NULL;
}

static bool is_true(const struct rehearsal *x, const char *type) {
    return str_eq(json_str(condition(x, type), "status"), "True");
}

static bool has_reason(const struct rehearsal *x, const char *type, const char *reason) {
    return str_eq(json_str(condition(x, type), "reason"), reason);
}

/* What cni-iam approve does, once. */
static void approve(struct rehearsal *x) {
    const char *digest = json_str(binding_of(x), "status.plan.digest");
    struct error ignored;
    if (x->approved || !digest || !has_reason(x, "NodeRoleDetached", REASON_AWAITING_APPROVAL))
        return;
    x->approved = true;
    report_approval(x->report, digest, x->r->options->approve);
    if (!x->r->options->approve)
        return;
    json *patch = json_object(), *meta = json_add_object(patch, "metadata");
    json_add_str(json_add_object(meta, "annotations"), CIB_ANNOTATION_APPROVE, digest);
    kube_call(x, "PATCH", "application/merge-patch+json", patch, &ignored);
    json_free(patch);
}

/* --- the run --- */

static bool is_there(const struct rehearsal *x) {
    bool waits = has_reason(x, "NodeRoleDetached", REASON_AWAITING_APPROVAL) && !x->r->options->approve;
    return is_true(x, "Ready") &&
           (is_true(x, "NodeRoleDetached") || waits || has_reason(x, "NodeRoleDetached", REASON_NOT_REQUESTED));
}

static bool is_stuck(const struct rehearsal *x) {
    return is_true(x, "Stalled");
}

/* How long the binding's own waits are, in all. */
static int64_t waits_s(const struct rehearsal *x) {
    struct error ignored;
    struct cib_binding *b = cib_decode(binding_of(x), &ignored);
    int64_t seconds = 0;
    if (b) {
        const struct cib_spec *s = &b->spec;
        report_assume(x->report, "the binding's own waits: proof %d s, settle %d s, soak %d s",
                      s->rollout.proof_seconds, s->rollout.settle_seconds, s->node_role.soak_seconds);
        seconds = (int64_t)s->rollout.proof_seconds + s->rollout.settle_seconds + s->rollout.progress_deadline_seconds +
                  s->node_role.soak_seconds;
    }
    cib_free(b);
    return seconds;
}

static int64_t longest_ms(const struct rehearsal *x) {
    int64_t nodes = (int64_t)json_array_size(json_path(snapshot_root(x->r->snapshot), "kubernetes.nodes"));
    return LEAST_MS + 3 * (waits_s(x) * 1000 + nodes * (x->r->options->pod_start_ms + LOOK_MS));
}

/* Until it is where it should be, or stuck, for as long as one look at everything takes. */
static bool run(struct rehearsal *x) {
    int64_t end = virtual_now_ms() + longest_ms(x), look = 0, since = -1;
    bool was_there = false;
    while (virtual_now_ms() < end && !x->lost) {
        virtual_loop_step(end);
        if (virtual_now_ms() < look)
            continue;
        look = virtual_now_ms() + LOOK_MS;
        approve(x);
        bool there = is_there(x), stays = there || is_stuck(x);
        if (!stays || there != was_there)
            since = stays ? virtual_now_ms() : -1;
        was_there = there;
        if (since >= 0 && virtual_now_ms() - since >= HOLDS_MS + x->r->options->iam_lag_ms)
            break;
    }
    return is_there(x);
}

static void on_request(void *arg, bool to_aws, const struct sim_http_request *req) {
    struct rehearsal *x = arg;
    report_request(x->report, sim_world_kube(x->world), to_aws, req);
}

static void on_kube_write(void *arg, const char *type, const char *resource, const json *object, const char *manager) {
    struct rehearsal *x = arg;
    (void)type, (void)manager;
    if (str_eq(resource, CIB_RESOURCE) && str_eq(json_str(object, "metadata.name"), x->name))
        report_binding(x->report, object);
}

static void on_lost(void *arg) {
    ((struct rehearsal *)arg)->lost = true;
}

/* The checker knows what it has heard of: one that was not there from the beginning is told of no call, and judges by what it
 * sees (checker.h). */
static bool is_fresh(const struct rehearsal *x) {
    return json_array_size(json_path(snapshot_root(x->r->snapshot), "kubernetes.bindings")) == 0;
}

static bool make_world(struct rehearsal *x, struct error *err) {
    const struct options *o = x->r->options;
    struct sim_world_options w = {.clock = virtual_clock(),
                                  .seed = SEED,
                                  .enforcement_lag_ms = o->iam_lag_ms,
                                  .pod_start_ms = o->pod_start_ms,
                                  .webhook_lag_ms = REHEARSAL_WEBHOOK_LAG_MS,
                                  .crd_yaml = crd_text,
                                  .key_bits = KEY_BITS};
    x->world = sim_world_load(&w, x->r->snapshot, err);
    if (!x->world)
        return false;
    sim_aws_add_access_key(
        sim_world_aws(x->world), ACCESS_KEY,
        arena_printf(x->report->arena, "arn:aws:iam::%s:root", json_str(snapshot_root(x->r->snapshot), "aws.account")));
    sim_kube_on_write(sim_world_kube(x->world), on_kube_write, x);
    x->checker = sim_checker_new(x->world);
    struct net_options n = {.kube = sim_world_kube(x->world),
                            .aws = sim_world_aws(x->world),
                            .checker = is_fresh(x) ? x->checker : NULL,
                            .seed = SEED,
                            .delay_max_ms = REHEARSAL_DELAY_MAX_MS,
                            .request = on_request,
                            .arg = x};
    net_begin(&n);
    return true;
}

static void start_operator(struct rehearsal *x) {
    struct sqlite_store_options none = {.path = NULL};
    x->store = sqlite_store_open(&none);
    struct operator_options oo = {.options = &x->options,
                                  .connection = &x->connection,
                                  .clock = virtual_process_clock(OPERATOR),
                                  .store = sqlite_store_port(x->store),
                                  .identity = IDENTITY,
                                  .seed = SEED,
                                  .lost = on_lost,
                                  .arg = x};
    virtual_process(OPERATOR);
    x->op = operator_new(&oo);
    if (is_fresh(x))
        sim_checker_begins(x->checker, OPERATOR, IDENTITY);
    operator_start(x->op);
    virtual_process(VIRTUAL_WORLD);
}

static void take_down(struct rehearsal *x) {
    operator_free(x->op);
    if (x->store)
        sqlite_store_close(x->store);
    if (x->connected)
        connection_close(&x->connection);
    sim_checker_free(x->checker);
    sim_world_free(x->world);
    net_end();
    virtual_loop_end();
}

static struct options operator_options_of(const struct rehearsal_request *r) {
    const json *aws = json_get(snapshot_root(r->snapshot), "aws");
    struct options o = *r->options;
    o.cluster_name = str_or(o.cluster_name, json_str(aws, "cluster.name"));
    o.region = json_str(aws, "region");
    o.context = NULL;
    o.leader_elect = true;
    return o;
}

json *rehearsal_run(const struct rehearsal_request *r, struct error *err) {
    struct rehearsal x = {.r = r, .options = operator_options_of(r)};
    int64_t taken_ms = 0;
    if (!timefmt_parse_rfc3339(json_str(snapshot_root(r->snapshot), "takenAt"), &taken_ms))
        return snapshot_refuse(r->snapshot, json_get(snapshot_root(r->snapshot), "takenAt"), err,
                               "expected an instant such as 2026-01-02T03:04:05Z"),
               NULL;
    set_aws_environment();
    virtual_loop_begin_at(taken_ms);
    x.report = report_new(r);
    json *tree = NULL;
    if (name_binding(&x, err) && make_world(&x, err) && connect_operator(&x, err) && apply_binding(&x, err)) {
        start_operator(&x);
        bool there = run(&x);
        tree = report_end(x.report, binding_of(&x), x.checker, there);
    }
    report_free(x.report);
    take_down(&x);
    return tree;
}
