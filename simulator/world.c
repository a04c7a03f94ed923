/* world.c - a cluster and an account as EKS makes them, and everybody who lives there. */
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/world_internal.h"

int64_t world_boot_ms(const struct sim_world *w) {
    return w->o.clock.boot_ms(w->o.clock.ctx);
}

uint64_t world_after(struct sim_world *w, int64_t ms, timer_fn fire, void *arg) {
    return w->o.clock.timer_start(w->o.clock.ctx, ms, fire, arg);
}

void world_stop_timer(struct sim_world *w, uint64_t *ticket) {
    w->o.clock.timer_stop(w->o.clock.ctx, *ticket);
    *ticket = 0;
}

json *world_parse(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    if (!j)
        die("simulator: %s in %s", err.message, text);
    return j;
}

/* --- wires --- */

static void on_kube_write(void *arg, const char *type, const char *resource, const json *object, const char *manager) {
    struct sim_world *w = arg;
    (void)manager;
    daemonset_on_write(w, resource, object);
    node_on_write(w, type, resource, object);
    webhook_on_write(w, resource, object);
    garbage_on_write(w, type, resource, object);
}

static void on_admission(void *arg, json *pod, bool dry_run) {
    webhook_admit(arg, pod, dry_run);
}

static void on_aws_write(void *arg, const char *action, const char *line) {
    addon_manager_on_aws_write(arg, action, line);
    node_on_aws_write(arg);
}

static bool verify_token(void *arg, const char *token, struct sim_token_claims *out) {
    return sim_kube_verify_token(((struct sim_world *)arg)->kube, token, out);
}

/* --- the furniture --- */

static const char aws_node[] =
    "{\"apiVersion\":\"apps/"
    "v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"aws-node\",\"namespace\":\"kube-system\","
    "\"labels\":{\"k8s-app\":\"aws-node\"}},\"spec\":{\"selector\":{\"matchLabels\":{\"k8s-app\":\"aws-node\"}},"
    "\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxUnavailable\":\"10%\"}},\"template\":{"
    "\"metadata\":{\"labels\":{\"k8s-app\":\"aws-node\",\"app.kubernetes.io/name\":\"aws-node\"}},\"spec\":{"
    "\"serviceAccountName\":\"aws-node\",\"hostNetwork\":true,\"priorityClassName\":\"system-node-critical\","
    "\"terminationGracePeriodSeconds\":10,\"tolerations\":[{\"operator\":\"Exists\"}],\"initContainers\":[{\"name\":"
    "\"aws-vpc-cni-init\",\"image\":\"602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni-init:v1.21.1\"}],"
    "\"containers\":[{\"name\":\"aws-node\",\"image\":\"602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni:"
    "v1.21.1\",\"env\":[{\"name\":\"WARM_ENI_TARGET\",\"value\":\"1\"}]},{\"name\":\"aws-eks-nodeagent\",\"image\":"
    "\"602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon/aws-network-policy-agent:v1.2.7\"}]}}}}";

static void make_cluster(struct sim_world *w) {
    sim_kube_create(
        w->kube, "namespaces",
        world_parse("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"kube-system\"}}"));
    sim_kube_create(w->kube, "namespaces",
                    world_parse("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"default\"}}"));
    sim_kube_create(
        w->kube, "serviceaccounts",
        world_parse("{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"aws-node\","
                    "\"namespace\":\"kube-system\",\"labels\":{\"k8s-app\":\"aws-node\"}}}"));
    json *ds = world_parse(aws_node);
    if (w->o.on_delete)
        json_add_str(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(ds, "spec"), "updateStrategy"),
                     "type", "OnDelete");
    sim_kube_create(w->kube, "daemonsets", ds);
    for (int i = 0; i < w->o.nodes; i++)
        sim_world_add_node(w);
}

static void make_account(struct sim_world *w) {
    static const char *const policies[] = {"arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy",
                                           "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly",
                                           "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"};
    sim_aws_add_node_role(w->aws, "eks-node", policies, 3);
    sim_aws_add_node_role(w->aws, "eks-node-memory", policies, 3);
    if (w->o.foreign_consumer)
        sim_aws_run_instance(w->aws, "i-0ba57104b0000000f", "eks-node-memory", NULL);
}

/* Ready before anybody looks: as a cluster that has run for long. */
static void settle(struct sim_world *w) {
    daemonset_sync(w);
}

struct sim_world *world_empty(const struct sim_world_options *o, const struct world_place *place) {
    struct sim_world *w = calloc(1, sizeof *w);
    if (!w)
        die("out of memory");
    w->o = *o;
    w->webhook_up = true;
    w->misses_left = o->webhook_misses;
    str_copy(w->region, sizeof w->region, place->region);
    prng_seed(&w->prng, o->seed);
    struct sim_kube_options k = {.clock = o->clock,
                                 .seed = prng_next(&w->prng),
                                 .issuer = place->kube_issuer,
                                 .crd_yaml = o->crd_yaml,
                                 .key_bits = o->key_bits};
    w->kube = sim_kube_new(&k);
    struct sim_aws_options a = {.clock = o->clock,
                                .seed = prng_next(&w->prng),
                                .account = place->account,
                                .region = place->region,
                                .cluster = place->cluster,
                                .cluster_version = place->cluster_version,
                                .issuer = place->issuer,
                                .ipv6 = o->ipv6,
                                .auto_mode = place->auto_mode,
                                .enforcement_lag_ms = o->enforcement_lag_ms,
                                .verify_token = verify_token,
                                .verify_arg = w};
    w->aws = sim_aws_new(&a);
    sim_kube_on_admission(w->kube, on_admission, w);
    sim_kube_on_write(w->kube, on_kube_write, w);
    return w;
}

void world_begin(struct sim_world *w) {
    sim_aws_on_write(w->aws, on_aws_write, w);
    settle(w);
}

struct sim_world *sim_world_new(const struct sim_world_options *o) {
    static const struct world_place place = {.account = SIM_ACCOUNT_ID,
                                             .region = SIM_REGION,
                                             .cluster = SIM_CLUSTER_NAME,
                                             .cluster_version = "1.36",
                                             .issuer = SIM_ISSUER_URL,
                                             .kube_issuer = SIM_ISSUER_URL};
    struct sim_world *w = world_empty(o, &place);
    make_account(w);
    make_cluster(w);
    world_begin(w);
    return w;
}

void sim_world_free(struct sim_world *w) {
    if (!w)
        return;
    world_stop_timer(w, &w->daemonset_timer);
    world_stop_timer(w, &w->addon_timer);
    world_stop_timer(w, &w->garbage_timer);
    world_stop_timer(w, &w->node_timer);
    world_stop_timer(w, &w->webhook_timer);
    node_forget_leaving(w);
    sim_kube_free(w->kube);
    sim_aws_free(w->aws);
    free(w);
}

struct sim_kube *sim_world_kube(struct sim_world *w) {
    return w->kube;
}

struct sim_aws *sim_world_aws(struct sim_world *w) {
    return w->aws;
}
