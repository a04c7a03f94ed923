/*
 * node.c - nodes with their EC2 instance, kubelet and CNI. A pod becomes Ready pod_start_ms after it was made, if its
 * credentials may do what the CNI does; later it is looked at again for as long as permissions may still change: one that is
 * refused is not Ready and posts the CNI's MissingIAMPermissions Event, one that is permitted again becomes Ready again. A pod that
 * is deleted goes a second later, or sooner where pods start sooner.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/world_internal.h"

#define LOOK_MS 2000
#define LINGER_MS 1000
#define SUBJECT "system:serviceaccount:kube-system:aws-node"

/* --- what a pod lives on --- */

static const char *env_of(const json *container, const char *name) {
    for (const json *e = json_first(json_array(container, "env")); e; e = e->next)
        if (str_eq(json_str(e, "name"), name))
            return json_str(e, "value");
    return NULL;
}

static const char *role_of_pod(const json *pod) {
    for (const json *c = json_first(json_array(pod, "spec.containers")); c; c = c->next)
        if (str_eq(json_str(c, "name"), "aws-node"))
            return env_of(c, "AWS_ROLE_ARN");
    return NULL;
}

static const char *audience_of_pod(const json *pod) {
    for (const json *v = json_first(json_array(pod, "spec.volumes")); v; v = v->next)
        for (const json *s = json_first(json_array(v, "projected.sources")); s; s = s->next)
            if (json_str(s, "serviceAccountToken.audience"))
                return json_str(s, "serviceAccountToken.audience");
    return "";
}

static const char *instance_of_node(const struct sim_world *w, const char *node) {
    const char *id = json_str(sim_kube_get(w->kube, "nodes", NULL, node), "spec.providerID");
    const char *slash = id ? strrchr(id, '/') : NULL;
    return slash ? slash + 1 : NULL;
}

bool sim_world_pod_permitted(struct sim_world *w, const json *pod) {
    const char *role = role_of_pod(pod);
    if (role)
        return sim_aws_trusts(w->aws, role, SUBJECT, audience_of_pod(pod)) &&
               sim_aws_allows(w->aws, role, SIM_CNI_ACTION(w));
    const char *instance = instance_of_node(w, json_str(pod, "spec.nodeName"));
    role = instance ? sim_aws_role_of_instance(w->aws, instance) : NULL;
    return role && sim_aws_allows(w->aws, role, SIM_CNI_ACTION(w));
}

/* As aws-node's own affinity says it. */
bool node_runs_aws_node(const json *node) {
    const json *labels = json_path(node, "metadata.labels");
    return !json_key_str(labels, "eks.amazonaws.com/compute-type") &&
           str_eq(str_or(json_key_str(labels, "kubernetes.io/os"), "linux"), "linux");
}

/* --- the kubelet --- */

static bool is_ready(const json *pod) {
    for (const json *c = json_first(json_array(pod, "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), "Ready"))
            return str_eq(json_str(c, "status"), "True");
    return false;
}

static json *ready_status(bool ready, const json *pod) {
    json *status = json_object();
    json_add_str(status, "phase", "Running");
    json *condition = json_object();
    json_add_str(condition, "type", "Ready");
    json_add_str(condition, "status", ready ? "True" : "False");
    json_add_str(condition, "reason", ready ? "PodReady" : "ContainersNotReady");
    json_push(json_add_array(status, "conditions"), condition);
    json *list = json_add_array(status, "containerStatuses");
    for (const json *c = json_first(json_array(pod, "spec.containers")); c; c = c->next) {
        json *one = json_object();
        json_add_str(one, "name", json_str(c, "name"));
        json_add_bool(one, "ready", ready);
        json_push(list, one);
    }
    return status;
}

static void set_ready(struct sim_world *w, const json *pod, bool ready) {
    json *next = json_dup(pod);
    json_add_item(next, "status", ready_status(ready, pod));
    sim_kube_update(w->kube, "pods", next);
}

static void complain(struct sim_world *w, const json *pod) {
    char now[TIMEFMT_MAX], name[64];
    timefmt_rfc3339(w->o.clock.wall_ms(w->o.clock.ctx), now);
    snprintf(name, sizeof name, "aws-node.%06d", ++w->complaints);
    json *event = world_parse("{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"reason\":\"MissingIAMPermissions\","
                              "\"action\":\"AssignPrivateIpAddresses\",\"type\":\"Warning\",\"count\":1,"
                              "\"source\":{\"component\":\"aws-node\"},\"reportingComponent\":\"aws-node\"}");
    json *meta = json_add_object(event, "metadata");
    json_add_str(meta, "name", name);
    json_add_str(meta, "namespace", "kube-system");
    json *about = json_add_object(event, "involvedObject");
    json_add_str(about, "apiVersion", "v1");
    json_add_str(about, "kind", "Pod");
    json_add_str(about, "namespace", "kube-system");
    json_add_str(about, "name", json_str(pod, "metadata.name"));
    json_add_str(about, "uid", json_str(pod, "metadata.uid"));
    json_add_str(event, "message",
                 "Unauthorized operation: failed to call ec2:AssignPrivateIpAddresses due to missing "
                 "permissions");
    json_add_str(event, "firstTimestamp", now);
    json_add_str(event, "lastTimestamp", now);
    sim_kube_create(w->kube, "events", event);
}

static int64_t age_ms(const struct sim_world *w, const json *pod) {
    int64_t created;
    if (!timefmt_parse_rfc3339(json_str(pod, "metadata.creationTimestamp"), &created))
        return 0;
    return w->o.clock.wall_ms(w->o.clock.ctx) - created;
}

struct names {
    char v[SIM_WORLD_NODES_MAX][80];
    int n;
};

static void note_name(void *arg, const json *pod) {
    struct names *names = arg;
    if (names->n < SIM_WORLD_NODES_MAX && json_str(pod, "spec.nodeName"))
        snprintf(names->v[names->n++], sizeof names->v[0], "%s", str_or(json_str(pod, "metadata.name"), ""));
}

static bool is_broken(const struct sim_world *w, const json *pod) {
    const char *instance = w->broken_node ? instance_of_node(w, json_str(pod, "spec.nodeName")) : NULL;
    return instance && strtol(instance + strlen("i-"), NULL, 16) == w->broken_node;
}

/* Never less than was asked for before: IAM may change its mind later than a pod starts. */
static void look_until(struct sim_world *w, int64_t ms) {
    int64_t until = world_boot_ms(w) + ms;
    if (until > w->look_until_ms)
        w->look_until_ms = until;
}

static void look_at(struct sim_world *w, const char *name) {
    const json *stored = sim_kube_get(w->kube, "pods", "kube-system", name);
    if (!stored || json_str(stored, "metadata.deletionTimestamp"))
        return;
    bool started = str_eq(json_str(stored, "status.phase"), "Running"), ready = is_ready(stored);
    if (!started && age_ms(w, stored) < w->o.pod_start_ms) {
        look_until(w, LOOK_MS);
        return;
    }
    bool permitted = sim_world_pod_permitted(w, stored);
    bool works = permitted && !is_broken(w, stored);
    if (permitted && started && works == ready)
        return;
    json *pod = json_dup(stored); /* writes follow */
    if (!started || works != ready)
        set_ready(w, pod, works);
    if (!permitted)
        complain(w, pod);
    json_free(pod);
}

static void on_look(void *arg) {
    struct sim_world *w = arg;
    static struct names names;
    names.n = 0;
    w->node_timer = 0;
    sim_kube_each(w->kube, "pods", "kube-system", note_name, &names);
    for (int i = 0; i < names.n; i++)
        look_at(w, names.v[i]);
    if (world_boot_ms(w) <= w->look_until_ms)
        w->node_timer = world_after(w, w->o.pod_start_ms < LOOK_MS ? w->o.pod_start_ms : LOOK_MS, on_look, w);
}

static void look_for(struct sim_world *w, int64_t ms) {
    look_until(w, ms);
    if (!w->node_timer)
        w->node_timer = world_after(w, w->o.pod_start_ms < LOOK_MS ? w->o.pod_start_ms : LOOK_MS, on_look, w);
}

void sim_world_look(struct sim_world *w) {
    look_for(w, w->o.pod_start_ms + LOOK_MS);
}

void node_on_aws_write(struct sim_world *w) {
    look_for(w, w->o.enforcement_lag_ms + 2 * LOOK_MS);
}

/* --- pods that come and go --- */

struct leaving {
    struct leaving *next;
    struct sim_world *w;
    uint64_t timer;
    char ns[64], name[256], uid[64];
};

static void leaving_free(struct leaving *l) {
    struct leaving **at = &l->w->leaving;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    world_stop_timer(l->w, &l->timer);
    free(l);
}

static void gone(void *arg) {
    struct leaving *l = arg;
    const json *pod = sim_kube_get(l->w->kube, "pods", l->ns, l->name);
    if (pod && str_eq(json_str(pod, "metadata.uid"), l->uid))
        sim_kube_delete(l->w->kube, "pods", l->ns, l->name);
    l->timer = 0;
    leaving_free(l);
}

void node_forget_leaving(struct sim_world *w) {
    for (struct leaving *l = w->leaving, *next; l; l = next) {
        next = l->next;
        world_stop_timer(w, &l->timer);
        free(l);
    }
    w->leaving = NULL;
}

void node_on_write(struct sim_world *w, const char *type, const char *resource, const json *object) {
    if (!str_eq(resource, "pods"))
        return;
    if (str_eq(type, "ADDED"))
        look_for(w, w->o.pod_start_ms + LOOK_MS);
    if (!str_eq(type, "MODIFIED") || !json_str(object, "metadata.deletionTimestamp"))
        return;
    struct leaving *l = calloc(1, sizeof *l);
    if (!l)
        die("out of memory");
    l->w = w;
    l->next = w->leaving;
    w->leaving = l;
    snprintf(l->ns, sizeof l->ns, "%s", str_or(json_str(object, "metadata.namespace"), ""));
    snprintf(l->name, sizeof l->name, "%s", str_or(json_str(object, "metadata.name"), ""));
    snprintf(l->uid, sizeof l->uid, "%s", str_or(json_str(object, "metadata.uid"), ""));
    l->timer = world_after(w, w->o.pod_start_ms < LINGER_MS ? w->o.pod_start_ms : LINGER_MS, gone, l);
}

/* --- nodes --- */

static const char *const groups[] = {"general", "batch", "memory"};

/* The first two groups share a node role, the third has one of its own. */
static const char *profile_of(int n) {
    return n % 3 == 2 ? "eks-node-memory" : "eks-node";
}

void sim_world_add_node_on(struct sim_world *w, const char *profile) {
    char name[64], instance[32];
    int n = w->nodes_made++;
    snprintf(name, sizeof name, "ip-10-0-%d-%d.us-west-2.compute.internal", n / 200, n % 200 + 10);
    snprintf(instance, sizeof instance, "i-%017x", n + 1);
    sim_aws_run_instance(w->aws, instance, profile, SIM_CLUSTER_NAME);
    struct arena *a = arena_new(0);
    sim_kube_create(
        w->kube, "nodes",
        world_parse(arena_printf(
            a,
            "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/os\":"
            "\"linux\",\"kubernetes.io/arch\":\"amd64\",\"eks.amazonaws.com/nodegroup\":\"%s\","
            "\"topology.kubernetes.io/zone\":\"us-west-2%c\"}},\"spec\":{\"providerID\":\"aws:///us-west-2%c/%s\"},"
            "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\"}]}}",
            name, groups[n % 3], 'a' + n % 3, 'a' + n % 3, instance)));
    arena_free(a);
}

void sim_world_add_node(struct sim_world *w) {
    sim_world_add_node_on(w, profile_of(w->nodes_made));
}

void sim_world_remove_node(struct sim_world *w, const char *name) {
    const char *instance = instance_of_node(w, name);
    static struct names names;
    if (!instance)
        return;
    sim_aws_terminate_instance(w->aws, instance);
    sim_kube_delete(w->kube, "nodes", NULL, name);
    names.n = 0;
    sim_kube_each(w->kube, "pods", "kube-system", note_name, &names);
    for (int i = 0; i < names.n; i++)
        if (str_eq(json_str(sim_kube_get(w->kube, "pods", "kube-system", names.v[i]), "spec.nodeName"), name))
            sim_kube_delete(w->kube, "pods", "kube-system", names.v[i]);
}

/* --- for people --- */

struct rows {
    struct sim_world *w;
    struct sim_node_row *v;
    int n, max;
};

static void add_row(void *arg, const json *node) {
    struct rows *rows = arg;
    if (rows->n >= rows->max || !node_runs_aws_node(node))
        return;
    struct sim_node_row *row = &rows->v[rows->n++];
    memset(row, 0, sizeof *row);
    row->identity = SIM_POD_NONE;
    snprintf(row->name, sizeof row->name, "%s", str_or(json_str(node, "metadata.name"), ""));
    snprintf(row->group, sizeof row->group, "%s",
             str_or(json_key_str(json_path(node, "metadata.labels"), "eks.amazonaws.com/nodegroup"), ""));
}

bool sim_world_row_of(struct sim_world *w, const json *pod, struct sim_node_row *row) {
    const char *node = json_str(pod, "spec.nodeName"), *role = role_of_pod(pod);
    if (!node || json_str(pod, "metadata.deletionTimestamp"))
        return false;
    snprintf(row->name, sizeof row->name, "%s", node);
    snprintf(row->pod, sizeof row->pod, "%s", str_or(json_str(pod, "metadata.name"), ""));
    snprintf(row->role, sizeof row->role, "%s", str_or(role, ""));
    row->identity = role ? SIM_POD_OWN_ROLE : SIM_POD_NODE_ROLE;
    row->ready = is_ready(pod);
    row->permitted = sim_world_pod_permitted(w, pod);
    if (!timefmt_parse_rfc3339(json_str(pod, "metadata.creationTimestamp"), &row->created_wall_ms))
        row->created_wall_ms = 0;
    return true;
}

static void fill_row(void *arg, const json *pod) {
    struct rows *rows = arg;
    const char *node = json_str(pod, "spec.nodeName");
    for (int i = 0; i < rows->n; i++)
        if (str_eq(rows->v[i].name, node))
            sim_world_row_of(rows->w, pod, &rows->v[i]);
}

int sim_world_rows(struct sim_world *w, struct sim_node_row *rows, int max) {
    struct rows r = {.w = w, .v = rows, .max = max};
    sim_kube_each(w->kube, "nodes", NULL, add_row, &r);
    sim_kube_each(w->kube, "pods", "kube-system", fill_row, &r);
    return r.n;
}
