/* rehearsal_report.c - steps, gates, who depends on what, and what would go wrong, as one tree. */
#include "controller/rehearsal_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "controller/binding_file.h"
#include "crd/binding.h"
#include "platform/base/timefmt.h"
#include "reconcilers/names.h"
#include "reconcilers/reasons.h"
#include "simulator/virtual/virtual_loop.h"

#define VALUE_MAX 4096 /* bytes of a parameter; documents are longer than people read */

static const char *const gate_conditions[REHEARSAL_GATES] = {"ProviderReady",     "RoleReady",  "RoleProven",
                                                             "IdentityAnnotated", "RolledOut",  "PodsProven",
                                                             "NodeRoleDetached",  "GuardActive"};

void report_assume(struct report *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    json_push_str(p->assumptions, arena_vprintf(p->arena, fmt, ap));
    va_end(ap);
}

static void assume_all(struct report *p) {
    const json *root = snapshot_root(p->r->snapshot);
    const struct options *o = p->r->options;
    report_assume(p, "IAM enforces each change within %lld s (--iam-lag)", (long long)o->iam_lag_ms / 1000);
    report_assume(p, "an aws-node pod is Ready %lld s after it was made (--pod-start)",
                  (long long)o->pod_start_ms / 1000);
    report_assume(p, "the webhook learns of an annotation within %d ms, a request takes at most %d ms each way",
                  REHEARSAL_WEBHOOK_LAG_MS, REHEARSAL_DELAY_MAX_MS);
    report_assume(p, "the operator may do what manifests/ gives it, and runs off the pod network");
    report_assume(p, "nobody else changes the cluster or the account meanwhile");
    if (!str_eq(json_str(root, "kubernetes.webhook"), "Present"))
        report_assume(p, "webhook pod-identity-webhook was not seen; pods are %s",
                      str_eq(json_str(root, "kubernetes.webhook"), "Absent") ? "not injected"
                                                                             : "injected all the same");
    if (!str_empty(json_str(root, "kubernetes.lease.holderIdentity")))
        report_assume(p, "an operator held the Lease (%s): what it does by itself is not in here",
                      json_str(root, "kubernetes.lease.holderIdentity"));
    if (!json_get(json_get(root, "kubernetes"), "issuer"))
        report_assume(p, "the API server's issuer could not be read; taken for the one that EKS names");
    for (const json *it = json_first(json_get(root, "unknown")); it; it = it->next)
        report_assume(p, "not read, taken for absent: %s", it->valuestring);
}

struct report *report_new(const struct rehearsal_request *r) {
    struct arena *a = arena_new(0);
    struct report *p = ARENA_NEW(a, struct report);
    *p = (struct report){.arena = a, .r = r, .assumptions = json_new_array(), .steps = json_new_array()};
    assume_all(p);
    return p;
}

void report_free(struct report *p) {
    json_free(p->assumptions);
    json_free(p->steps);
    json_free(p->approval);
    arena_free(p->arena);
}

/* --- steps --- */

static const char *current_gate(const struct report *p) {
    for (int i = 0; i < REHEARSAL_GATES; i++)
        if (!p->gates[i].state || (!str_eq(p->gates[i].state, "Passed") && !str_eq(p->gates[i].state, "NotApplicable")))
            return arena_printf(p->arena, "G%d", i + 1);
    return "G8";
}

static json *add_step(struct report *p, const char *api, const char *call) {
    json *step = json_object();
    json_add_int64(step, "atMs", virtual_now_ms());
    json_add_str(step, "gate", current_gate(p));
    json_add_str(step, "api", api);
    json_add_str(step, "call", call);
    json_push(p->steps, step);
    return json_add_object(step, "parameters");
}

static void add_aws_step(struct report *p, const struct sim_http_request *req) {
    struct arena *a = arena_new(0);
    struct strlist pairs = str_split(req->body, '&', a);
    const char *call = "?";
    for (size_t i = 0; i < pairs.n; i++)
        if (str_has_prefix(pairs.v[i], "Action="))
            call = pairs.v[i] + strlen("Action=");
    json *parameters = add_step(p, "aws", call);
    for (size_t i = 0; i < pairs.n; i++) {
        const char *equals = strchr(pairs.v[i], '=');
        char *name = equals ? arena_strndup(a, pairs.v[i], (size_t)(equals - pairs.v[i])) : NULL;
        if (name && !str_eq(name, "Action") && !str_eq(name, "Version"))
            json_add_str(parameters, str_or(str_percent_decode(name, a), name),
                         str_or(str_percent_decode(equals + 1, a), ""));
    }
    arena_free(a);
}

/* "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node" -> "daemonsets/aws-node" */
static const char *short_path(const char *path) {
    const char *last = strrchr(path, '/'), *start = last;
    while (start && start > path && start[-1] != '/')
        start--;
    return str_or(start, path);
}

static void add_kube_step(struct report *p, struct sim_kube *k, const struct sim_http_request *req) {
    struct error ignored;
    const char *what = short_path(req->path), *name = strrchr(req->path, '/');
    if (strstr(req->path, "/" CIB_RESOURCE)) {
        p->binding_writes++;
        return;
    }
    json *parameters = add_step(p, "kubernetes", arena_printf(p->arena, "%s %s", req->method, what));
    const json *pod = str_has_prefix(what, "pods/") && name ? sim_kube_get(k, "pods", "kube-system", name + 1) : NULL;
    json_add_str(parameters, "node", json_str(pod, "spec.nodeName"));
    json *body = json_parse(req->body, req->body_len, &ignored);
    const json *metadata = json_path(body, str_has_prefix(what, "daemonsets/") ? "spec.template.metadata" : "metadata");
    for (const json *it = json_first(json_get(metadata, "annotations")); it; it = it->next)
        if (json_is_string(it))
            json_add_str(parameters, it->string, it->valuestring);
    json_free(body);
}

void report_request(struct report *p, struct sim_kube *k, bool to_aws, const struct sim_http_request *req) {
    if (json_array_size(p->steps) >= REHEARSAL_STEPS_MAX)
        return;
    if (to_aws)
        add_aws_step(p, req);
    else
        add_kube_step(p, k, req);
}

/* --- gates --- */

void report_binding(struct report *p, const json *binding) {
    int i = 0;
    for (const json *g = json_first(json_array(binding, "status.gates")); g && i < REHEARSAL_GATES; g = g->next, i++) {
        struct report_gate *gate = &p->gates[i];
        const char *state = json_str(g, "state");
        if (!gate->state || !str_eq(gate->state, state)) {
            gate->state = arena_strdup(p->arena, str_or(state, "?"));
            gate->at_ms = virtual_now_ms();
        }
        if (!str_eq(gate->evidence, json_str(g, "evidence")))
            gate->evidence = arena_strdup(p->arena, json_str(g, "evidence"));
    }
}

void report_approval(struct report *p, const char *digest, bool given) {
    p->approval = json_object();
    json_add_int64(p->approval, "atMs", virtual_now_ms());
    json_add_str(p->approval, "digest", digest);
    json_add_bool(p->approval, "given", given);
}

/* Each gate from when the one before it had passed. */
static json *gates_of(const struct report *p) {
    json *list = json_new_array();
    int64_t before_ms = 0;
    for (int i = 0; i < REHEARSAL_GATES; i++) {
        const struct report_gate *g = &p->gates[i];
        json *gate = json_object();
        json_add_str(gate, "name", arena_printf(p->arena, "G%d", i + 1));
        json_add_str(gate, "condition", gate_conditions[i]);
        json_add_str(gate, "state", str_or(g->state, "Pending"));
        json_add_int64(gate, "atMs", g->at_ms);
        if (str_eq(g->state, "Passed")) {
            json_add_int64(gate, "tookMs", g->at_ms > before_ms ? g->at_ms - before_ms : 0);
            before_ms = g->at_ms > before_ms ? g->at_ms : before_ms;
        }
        json_add_str(gate, "evidence", g->evidence);
        json_push(list, gate);
    }
    return list;
}

/* --- who depends on each node role --- */

static const json *find(const json *list, const char *key, const char *value) {
    for (const json *it = json_first(list); it && value; it = it->next)
        if (str_eq(json_key_str(it, key), value))
            return it;
    return NULL;
}

static const char *role_of_instance(const json *aws, const json *instance) {
    const char *profile = json_str(instance, "profile");
    return json_str(find(json_get(aws, "profiles"), "name", profile), "role");
}

static const char *node_of_instance(const json *nodes, const char *id) {
    for (const json *n = json_first(nodes); n; n = n->next)
        if (str_eq(name_of_arn(json_str(n, "spec.providerID")), id))
            return json_str(n, "metadata.name");
    return NULL;
}

static void add_consumers(struct report *p, json *out, const char *role) {
    const json *root = snapshot_root(p->r->snapshot), *aws = json_get(root, "aws");
    json *nodes = json_add_array(out, "nodes"), *others = json_add_array(out, "others");
    for (const json *i = json_first(json_get(aws, "instances")); i; i = i->next) {
        const char *id = json_str(i, "id"), *tag = json_str(i, "clusterTag");
        if (!str_eq(role_of_instance(aws, i), role) || str_eq(json_str(i, "state"), "terminated"))
            continue;
        const char *node = node_of_instance(json_path(root, "kubernetes.nodes"), id);
        if (node)
            json_push_str(nodes, node);
        else
            json_push_str(others, arena_printf(p->arena, "instance %s (profile %s, %s%s)", id,
                                               str_or(json_str(i, "profile"), "?"),
                                               tag ? "tagged for cluster " : "no cluster's", str_or(tag, "")));
    }
}

static void copy_texts(json *out, const char *key, const json *list) {
    json *copy = json_add_array(out, key);
    for (const json *it = json_first(list); it; it = it->next)
        json_push_str(copy, it->valuestring);
}

static json *node_roles_of(struct report *p, const json *binding) {
    const json *aws = json_get(snapshot_root(p->r->snapshot), "aws");
    json *list = json_new_array();
    for (const json *role = json_first(json_get(aws, "roles")); role; role = role->next) {
        if (!find(json_get(aws, "profiles"), "role", json_str(role, "name")))
            continue;
        const json *told = find(json_array(binding, "status.nodeRoles"), "arn", json_str(role, "arn"));
        json *one = json_object();
        json_add_str(one, "arn", json_str(role, "arn"));
        add_consumers(p, one, json_str(role, "name"));
        copy_texts(one, "detaches", json_get(told, "detached"));
        copy_texts(one, "findings", json_get(told, "findings"));
        json_push(list, one);
    }
    return list;
}

/* --- what would go wrong --- */

static const json *condition_of(const json *binding, const char *type) {
    return find(json_array(binding, "status.conditions"), "type", type);
}

static void add_condition(struct report *p, json *problems, const json *binding, const char *type) {
    const json *c = condition_of(binding, type);
    json_push_str(problems, arena_printf(p->arena, "%s is %s, %s: %s", type, str_or(json_str(c, "status"), "unknown"),
                                         str_or(json_str(c, "reason"), "?"), str_or(json_str(c, "message"), "")));
}

static bool is_ready(const json *object) {
    return str_eq(json_str(find(json_array(object, "status.conditions"), "type", "Ready"), "status"), "True");
}

/* The simulated pods work as soon as their role does; why a real one does not, nobody here knows. */
static void add_unready(struct report *p, json *problems) {
    const json *kubernetes = json_get(snapshot_root(p->r->snapshot), "kubernetes");
    for (const json *it = json_first(json_get(kubernetes, "pods")); it; it = it->next)
        if (!is_ready(it))
            json_push_str(problems,
                          arena_printf(p->arena, "pod %s on node %s is not Ready now: the rollout would wait for it",
                                       str_or(json_str(it, "metadata.name"), "?"),
                                       str_or(json_str(it, "spec.nodeName"), "?")));
}

/* A role that the snapshot was not asked for is neither there nor absent. */
static void add_unasked_role(struct report *p, json *problems, const json *binding) {
    const json *aws = json_get(snapshot_root(p->r->snapshot), "aws");
    const char *arn = json_str(binding, "spec.role.arn"), *name = json_str(binding, "spec.role.name");
    name = arn ? name_of_arn(arn) : name;
    if (!name || find(json_get(aws, "roles"), "name", name))
        return;
    struct strlist absent = json_strings(json_get(aws, "absentRoles"), p->arena);
    if (!strlist_has(&absent, name))
        json_push_str(problems, arena_printf(p->arena,
                                             "the snapshot does not know about role %s; take it again with "
                                             "cni-iam snapshot -f and this binding",
                                             name));
}

static json *problems_of(struct report *p, const json *binding, const struct sim_checker *checker, bool there) {
    json *problems = json_new_array();
    bool stalled = str_eq(json_str(condition_of(binding, "Stalled"), "status"), "True");
    if (stalled)
        add_condition(p, problems, binding, "Stalled");
    else if (!there)
        add_condition(p, problems, binding,
                      str_eq(json_str(condition_of(binding, "Ready"), "status"), "True") ? "NodeRoleDetached"
                                                                                         : "Ready");
    if (json_bool(binding, "status.guard.fired", false))
        json_push_str(problems, arena_printf(p->arena, "the guard attached the policies again: %s",
                                             str_or(json_str(binding, "status.guard.reason"), "?")));
    add_unready(p, problems);
    add_unasked_role(p, problems, binding);
    for (int i = 0; sim_checker_violation(checker, i); i++)
        json_push_str(problems, sim_checker_violation(checker, i));
    return problems;
}

/* --- the whole --- */

json *report_end(struct report *p, const json *binding, const struct sim_checker *checker, bool there) {
    json *tree = json_object();
    json *problems = problems_of(p, binding, checker, there);
    const json *last = json_first(p->steps);
    while (last && last->next)
        last = last->next;
    json_add_str(tree, "kind", "Rehearsal");
    json_add_int64(tree, "version", 1);
    json_add_bool(tree, "converges", json_array_size(problems) == 0);
    json_add_str(tree, "binding", json_str(binding, "metadata.name"));
    json_add_str(tree, "takenAt", json_str(snapshot_root(p->r->snapshot), "takenAt"));
    json_add_int64(tree, "tookMs", json_int64_or(last, "atMs", 0));
    json_add_item(tree, "assumptions", json_dup(p->assumptions));
    json_add_item(tree, "steps", json_dup(p->steps));
    json_add_int64(tree, "bindingWrites", p->binding_writes);
    json_add_item(tree, "gates", gates_of(p));
    if (p->approval)
        json_add_item(tree, "approval", json_dup(p->approval));
    json_add_item(tree, "nodeRoles", node_roles_of(p, binding));
    json_add_item(tree, "problems", problems);
    return tree;
}
