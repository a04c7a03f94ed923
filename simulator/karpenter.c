/*
 * karpenter.c - Karpenter and the autoscaler: nodes come and go, on a node role of their own where a NodeClass names one.
 */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/others_internal.h"

static void note_last(void *arg, const json *node) {
    *(const char **)arg = json_str(node, "metadata.name");
}

/* Windows nodes are so from the beginning: before the DaemonSet's controller has looked. */
static bool is_of_os(struct deed *d) {
    const char *name = NULL;
    sim_kube_each(d->o->w->kube, "nodes", NULL, note_last, &name);
    return !deed_arg(d, "os") ||
           deed_kube(
               d, "PATCH", arena_printf(d->a, "/api/v1/nodes/%s", str_or(name, "")), DEED_MERGE,
               arena_printf(d->a, "{\"metadata\":{\"labels\":{\"kubernetes.io/os\":\"%s\"}}}", deed_arg(d, "os")));
}

/* with role: a node role that is made now, with what a node needs and the CNI's policy, if `policy` is not "none". */
static bool adds_nodes(struct deed *d) {
    static const char *const policies[] = {"arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy",
                                           "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly",
                                           "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"};
    const char *role = deed_arg(d, "role");
    int64_t n = deed_number(d, "count", 1);
    if (role)
        sim_aws_add_node_role(d->o->w->aws, role, policies, str_eq(deed_arg(d, "policy"), "none") ? 2 : 3);
    for (int64_t i = 0; i < n && i < SIM_WORLD_NODES_MAX; i++) {
        if (role)
            sim_world_add_node_on(d->o->w, role);
        else
            sim_world_add_node(d->o->w);
        if (!is_of_os(d))
            return false;
    }
    return true;
}

static bool removes_node(struct deed *d) {
    const char *last = NULL;
    sim_kube_each(d->o->w->kube, "nodes", NULL, note_last, &last);
    if (!last)
        return deed_failed(d, "there is no node");
    sim_world_remove_node(d->o->w, arena_printf(d->a, "%s", last));
    return true;
}

const struct sim_verb karpenter_verbs[] = {
    {"adds-nodes", adds_nodes, {"count?", "role?", "policy?", "os?"}},
    {"removes-node", removes_node, {NULL}},
    {NULL, NULL, {NULL}},
};
