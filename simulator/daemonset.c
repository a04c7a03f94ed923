/*
 * daemonset.c - the DaemonSet controller, for kube-system/aws-node: a pod for each node, a rolling update of at most
 * maxUnavailable (at least one) at a time, OnDelete, and the counts in its status. Pods that are not Ready and of the old
 * template go first and do not wait for the budget, as in the real one.
 */
#include <stdio.h>
#include <string.h>

#include "platform/base/digest.h"
#include "platform/base/str.h"
#include "simulator/world_internal.h"

#define SYNC_MS 20 /* after the write that asked for it */

struct count {
    int desired, current, updated, ready, unavailable;
};

/* The pod of one node, and what the controller wants to know of it. */
struct place {
    char node[64], pod[80];
    bool has_pod, is_new, is_ready, is_leaving;
};

struct places {
    struct place *v;
    int n, room;
    struct arena *a;
    const char *hash, *uid;
};

static bool is_ready(const json *pod) {
    for (const json *c = json_first(json_array(pod, "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), "Ready"))
            return str_eq(json_str(c, "status"), "True");
    return false;
}

static struct place *place_new(struct places *p) {
    if (p->n == p->room) {
        int room = p->room ? 2 * p->room : 16;
        struct place *v = ARENA_ARRAY(p->a, (size_t)room, struct place);
        if (p->n)
            memcpy(v, p->v, (size_t)p->n * sizeof *v);
        p->v = v;
        p->room = room;
    }
    return &p->v[p->n++];
}

static void collect_node(void *arg, const json *node) {
    struct places *p = arg;
    if (!node_runs_aws_node(node) || p->n >= SIM_WORLD_NODES_MAX)
        return;
    struct place *at = place_new(p);
    snprintf(at->node, sizeof at->node, "%s", str_or(json_str(node, "metadata.name"), ""));
}

static bool is_owned(const json *pod, const char *uid) {
    const json *owner = json_first(json_array(pod, "metadata.ownerReferences"));
    return owner && str_eq(json_str(owner, "uid"), uid);
}

static void collect_pod(void *arg, const json *pod) {
    struct places *p = arg;
    if (!is_owned(pod, p->uid))
        return;
    const char *node = json_str(pod, "spec.nodeName");
    for (int i = 0; i < p->n; i++) {
        struct place *at = &p->v[i];
        if (!str_eq(at->node, node) || (at->has_pod && !at->is_leaving))
            continue;
        at->has_pod = true;
        at->is_leaving = json_str(pod, "metadata.deletionTimestamp") != NULL;
        at->is_new = str_eq(json_key_str(json_path(pod, "metadata.labels"), HASH_LABEL), p->hash);
        at->is_ready = is_ready(pod) && !at->is_leaving;
        snprintf(at->pod, sizeof at->pod, "%s", str_or(json_str(pod, "metadata.name"), ""));
    }
}

char *daemonset_hash(const json *ds, struct arena *a) {
    char hex[DIGEST_SHA256_HEX];
    const char *text = json_canonical(json_path(ds, "spec.template"), a);
    digest_sha256_hex(text, strlen(text), hex);
    return arena_printf(a, "%.10s", hex);
}

static json *own(json *object, const char *key) {
    json *there = cJSON_GetObjectItemCaseSensitive(object, key);
    return there ? there : json_add_object(object, key);
}

static void create_pod(struct sim_world *w, const json *ds, const struct places *p, const char *node) {
    json *pod = json_dup(json_path(ds, "spec.template"));
    char name[64];
    json_add_str(pod, "apiVersion", "v1");
    json_add_str(pod, "kind", "Pod");
    json *meta = own(pod, "metadata");
    do
        snprintf(name, sizeof name, "aws-node-%05d", ++w->pods_made);
    while (sim_kube_get(w->kube, "pods", "kube-system", name));
    json_add_str(meta, "name", name);
    json_add_str(meta, "namespace", "kube-system");
    json_add_str(own(meta, "labels"), HASH_LABEL, p->hash);
    json *owner = json_object();
    json_add_str(owner, "apiVersion", "apps/v1");
    json_add_str(owner, "kind", "DaemonSet");
    json_add_str(owner, "name", "aws-node");
    json_add_str(owner, "uid", p->uid);
    json_add_bool(owner, "controller", true);
    json_push(json_add_array(meta, "ownerReferences"), owner);
    json_add_str(own(pod, "spec"), "nodeName", node);
    json_add_str(json_add_object(pod, "status"), "phase", "Pending");
    sim_kube_create(w->kube, "pods", pod);
}

static void place_missing(struct sim_world *w, const json *ds, const struct places *p) {
    for (int i = 0; i < p->n; i++)
        if (!p->v[i].has_pod)
            create_pod(w, ds, p, p->v[i].node);
}

static struct count count(const struct places *p) {
    struct count c = {.desired = p->n};
    for (int i = 0; i < p->n; i++) {
        const struct place *at = &p->v[i];
        c.current += at->has_pod;
        c.updated += at->has_pod && at->is_new;
        c.ready += at->is_ready;
        c.unavailable += !at->is_ready;
    }
    return c;
}

/* A number, or a percentage that is rounded up; at least one. */
static int unavailable_max(const json *ds, int desired, struct arena *a) {
    const json *max = json_path(ds, "spec.updateStrategy.rollingUpdate.maxUnavailable");
    const char *text = json_is_string(max) ? max->valuestring : "";
    int64_t n = json_int64_or(ds, "spec.updateStrategy.rollingUpdate.maxUnavailable", 1);
    if (str_has_suffix(text, "%") && str_to_int64(arena_strndup(a, text, strlen(text) - 1), &n))
        n = (desired * (n < 100 ? n : 100) + 99) / 100;
    return n < 1 ? 1 : n < desired ? (int)n : desired;
}

static void roll(struct sim_world *w, const json *ds, const struct places *p, struct count c, struct arena *a) {
    if (str_eq(json_str(ds, "spec.updateStrategy.type"), "OnDelete"))
        return;
    int budget = unavailable_max(ds, c.desired, a) - c.unavailable;
    for (int i = 0; i < p->n; i++) {
        const struct place *at = &p->v[i];
        if (!at->has_pod || at->is_leaving || at->is_new)
            continue;
        if (at->is_ready && budget <= 0)
            continue;
        budget -= at->is_ready;
        sim_kube_delete(w->kube, "pods", "kube-system", at->pod);
    }
}

static void write_status(struct sim_world *w, const json *ds, struct count c) {
    json *status = json_object(), *next = json_dup(ds);
    json_add_int64(status, "observedGeneration", json_int64_or(ds, "metadata.generation", 1));
    json_add_int64(status, "desiredNumberScheduled", c.desired);
    json_add_int64(status, "currentNumberScheduled", c.current);
    json_add_int64(status, "updatedNumberScheduled", c.updated);
    json_add_int64(status, "numberReady", c.ready);
    json_add_int64(status, "numberAvailable", c.ready);
    json_add_int64(status, "numberMisscheduled", 0);
    if (json_equal(json_get(ds, "status"), status)) {
        json_free(status);
        json_free(next);
        return;
    }
    json_add_item(next, "status", status);
    sim_kube_update(w->kube, "daemonsets", next);
}

void daemonset_sync(struct sim_world *w) {
    const json *stored = sim_kube_get(w->kube, "daemonsets", "kube-system", "aws-node");
    if (!stored || json_str(stored, "metadata.deletionTimestamp"))
        return;
    json *ds = json_dup(stored);
    struct arena *a = arena_new(0);
    struct places p = {.a = a, .hash = daemonset_hash(ds, a), .uid = json_str(ds, "metadata.uid")};
    revisions_keep(w, ds, p.hash);
    sim_kube_each(w->kube, "nodes", NULL, collect_node, &p);
    sim_kube_each(w->kube, "pods", "kube-system", collect_pod, &p);
    struct count c = count(&p);
    place_missing(w, ds, &p);
    roll(w, ds, &p, c, a);
    write_status(w, ds, c);
    json_free(ds);
    arena_free(a);
}

static void on_timer(void *arg) {
    struct sim_world *w = arg;
    w->daemonset_timer = 0;
    daemonset_sync(w);
}

void daemonset_on_write(struct sim_world *w, const char *resource, const json *object) {
    (void)object;
    bool ours = str_eq(resource, "pods") || str_eq(resource, "nodes") || str_eq(resource, "daemonsets");
    if (ours && !w->daemonset_timer)
        w->daemonset_timer = world_after(w, SYNC_MS, on_timer, w);
}
