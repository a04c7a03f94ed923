/* world_load.c - the cluster of a snapshot, and how it begins to live. The account: aws_load.c. */
#include "simulator/world_load.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_load.h"
#include "simulator/world_internal.h"

#define BINDINGS_PATH "/apis/cniiam.dev/v1alpha1/cniiambindings"
#define STATUS_OWNER "cni-iam" /* the field manager of the operator */

struct loading {
    struct sim_world *w;
    const struct snapshot *s;
    const json *kubernetes;
    struct error *err;
};

static const json *name_of(const json *object) {
    const json *name = json_path(object, "metadata.name");
    return name ? name : object;
}

/* Takes the copy; `from` is where it stands in the snapshot. */
static bool create(struct loading *l, const char *resource, json *copy, const char *kind, const char *version,
                   const json *from) {
    json_add_str(copy, "apiVersion", version);
    json_add_str(copy, "kind", kind);
    return sim_kube_create(l->w->kube, resource, copy) ||
           snapshot_refuse(l->s, name_of(from), l->err, "expected a %s that the API server takes, and no second of it",
                           kind);
}

static bool is_in_kube_system(struct loading *l, const json *object, const char *name) {
    const json *ns = json_path(object, "metadata.namespace");
    if (!str_eq(json_str(object, "metadata.namespace"), "kube-system"))
        return snapshot_refuse(l->s, ns ? ns : object, l->err, "expected namespace kube-system");
    return !name || str_eq(json_str(object, "metadata.name"), name) ||
           snapshot_refuse(l->s, name_of(object), l->err, "expected %s", name);
}

static bool load_nodes(struct loading *l) {
    const json *nodes = json_array(l->kubernetes, "nodes");
    if (json_array_size(nodes) > SIM_WORLD_NODES_MAX)
        return snapshot_refuse(l->s, nodes, l->err, "expected at most %d nodes", SIM_WORLD_NODES_MAX);
    for (const json *it = json_first(nodes); it; it = it->next)
        if (!create(l, "nodes", json_dup(it), "Node", "v1", it))
            return false;
    return true;
}

/* The API server counts generations from 1 again: what was observed stays observed. */
static void restate_generation(json *copy, const json *from) {
    json *status = cJSON_GetObjectItemCaseSensitive(copy, "status");
    int64_t observed = json_int64_or(from, "status.observedGeneration", 0);
    if (status)
        json_add_int64(status, "observedGeneration", observed >= json_int64_or(from, "metadata.generation", 1));
}

static bool load_workload(struct loading *l) {
    const json *account = json_get(l->kubernetes, "serviceAccount"), *ds = json_get(l->kubernetes, "daemonSet");
    if (account && (!is_in_kube_system(l, account, "aws-node") ||
                    !create(l, "serviceaccounts", json_dup(account), "ServiceAccount", "v1", account)))
        return false;
    if (!ds)
        return true;
    json *copy = json_dup(ds);
    restate_generation(copy, ds);
    if (is_in_kube_system(l, ds, "aws-node"))
        return create(l, "daemonsets", copy, "DaemonSet", "apps/v1", ds);
    json_free(copy);
    return false;
}

static const char *hash_of(const json *pod) {
    return json_key_str(json_path(pod, "metadata.labels"), HASH_LABEL);
}

/* The hash of the current template, as the real controller writes it: that of the youngest pod, once one is up to date. */
static const char *current_hash(const struct loading *l) {
    const json *youngest = NULL;
    if (json_int64_or(l->kubernetes, "daemonSet.status.updatedNumberScheduled", 0) == 0)
        return NULL;
    for (const json *it = json_first(json_array(l->kubernetes, "pods")); it; it = it->next)
        if (!youngest || strcmp(str_or(json_str(it, "metadata.creationTimestamp"), ""),
                                str_or(json_str(youngest, "metadata.creationTimestamp"), "")) > 0)
            youngest = it;
    return hash_of(youngest);
}

/* Two controllers hash one template differently: pods of the current one get the hash that ours has for it. */
static void restate_hash(json *copy, const char *theirs, const char *ours) {
    json *metadata = cJSON_GetObjectItemCaseSensitive(copy, "metadata");
    if (theirs && ours && str_eq(hash_of(copy), theirs))
        json_add_str(cJSON_GetObjectItemCaseSensitive(metadata, "labels"), HASH_LABEL, ours);
}

static bool load_pods(struct loading *l) {
    struct arena *a = arena_new(0);
    const json *ds = sim_kube_get(l->w->kube, "daemonsets", "kube-system", "aws-node");
    const char *theirs = current_hash(l), *ours = ds ? daemonset_hash(ds, a) : NULL;
    bool good = true;
    for (const json *it = json_first(json_array(l->kubernetes, "pods")); it && good; it = it->next) {
        json *copy = json_dup(it);
        restate_hash(copy, theirs, ours);
        good = is_in_kube_system(l, it, NULL);
        if (good)
            good = create(l, "pods", copy, "Pod", "v1", it);
        else
            json_free(copy);
    }
    arena_free(a);
    return good;
}

/* As its owner applied it: only then can the owner take away by leaving out. */
static bool apply_status(struct loading *l, const json *binding) {
    struct arena *a = arena_new(0);
    json *patch = json_object(), *metadata = json_add_object(patch, "metadata");
    json_add_str(patch, "apiVersion", json_str(binding, "apiVersion"));
    json_add_str(patch, "kind", json_str(binding, "kind"));
    json_add_str(metadata, "name", json_str(binding, "metadata.name"));
    json_add_item(patch, "status", json_dup(json_get(binding, "status")));
    const char *text = json_print_arena(patch, a);
    const char *name = str_percent_encode(json_str(binding, "metadata.name"), "", a);
    struct sim_http_request req = {.method = "PATCH",
                                   .path = arena_printf(a, BINDINGS_PATH "/%s/status", name),
                                   .query = "fieldManager=" STATUS_OWNER "&force=true",
                                   .content_type = "application/apply-patch+yaml",
                                   .body = text,
                                   .body_len = strlen(text)};
    struct sim_http_answer answer = {0};
    sim_kube_http(l->w->kube, &req, &answer);
    free(answer.body);
    json_free(patch);
    arena_free(a);
    return answer.status < 300 ||
           snapshot_refuse(l->s, json_get(binding, "status"), l->err, "expected a status that the API server takes");
}

static bool load_bindings(struct loading *l) {
    for (const json *it = json_first(json_array(l->kubernetes, "bindings")); it; it = it->next) {
        json *copy = json_dup(it);
        cJSON_DeleteItemFromObjectCaseSensitive(copy, "status");
        if (!create(l, "cniiambindings", copy, str_or(json_str(it, "kind"), ""), str_or(json_str(it, "apiVersion"), ""),
                    it) ||
            (json_get(it, "status") && !apply_status(l, it)))
            return false;
    }
    return true;
}

static bool load_webhook(struct loading *l) {
    const json *webhook = json_get(l->kubernetes, "webhook");
    const char *what = json_str(l->kubernetes, "webhook");
    if (!str_eq(what, "Present") && !str_eq(what, "Absent") && !str_eq(what, "Unknown"))
        return snapshot_refuse(l->s, webhook, l->err, "expected Present, Absent or Unknown");
    l->w->webhook_up = !str_eq(what, "Absent");
    memcpy(l->w->injected_role, l->w->coming_role, sizeof l->w->injected_role); /* it has known for long */
    world_stop_timer(l->w, &l->w->webhook_timer);
    return true;
}

static bool load_cluster(struct loading *l) {
    return load_nodes(l) && load_workload(l) && load_pods(l) && load_bindings(l) && load_webhook(l);
}

static struct world_place place_of(const json *root) {
    const json *aws = json_get(root, "aws");
    const char *issuer = json_str(aws, "cluster.issuer");
    return (struct world_place){.account = json_str(aws, "account"),
                                .region = json_str(aws, "region"),
                                .cluster = json_str(aws, "cluster.name"),
                                .cluster_version = json_str(aws, "cluster.version"),
                                .issuer = issuer,
                                .kube_issuer = str_or(json_str(root, "kubernetes.issuer"), issuer),
                                .auto_mode = json_bool(aws, "cluster.autoMode", false)};
}

struct sim_world *sim_world_load(const struct sim_world_options *o, const struct snapshot *s, struct error *err) {
    const json *root = snapshot_root(s);
    struct world_place place = place_of(root);
    struct sim_world_options options = *o;
    options.ipv6 = str_eq(json_str(root, "aws.cluster.ipFamily"), "ipv6");
    struct loading l = {
        .w = world_empty(&options, &place), .s = s, .kubernetes = json_get(root, "kubernetes"), .err = err};
    if (aws_load(l.w->aws, s, err) && load_cluster(&l)) {
        sim_aws_set_lag(l.w->aws, o->enforcement_lag_ms);
        world_begin(l.w);
        return l.w;
    }
    sim_world_free(l.w);
    return NULL;
}
