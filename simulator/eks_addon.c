/*
 * eks_addon.c - somebody who makes the VPC CNI a managed add-on of EKS, and changes it; what EKS then does in the cluster is
 * addon_manager.c.
 */
#include "platform/base/str.h"
#include "simulator/others_internal.h"

static bool apply_account(struct deed *d) {
    const char *role = deed_arg(d, "role");
    const char *annotations =
        role ? arena_printf(d->a,
                            ",\"annotations\":{\"eks.amazonaws.com/role-arn\":\"arn:aws:iam::" SIM_ACCOUNT_ID
                            ":role/%s\"}",
                            role)
             : "";
    return deed_kube(
        d, "PATCH", DEED_SERVICE_ACCOUNT, DEED_APPLY,
        arena_printf(d->a,
                     "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":"
                     "\"aws-node\",\"namespace\":\"kube-system\",\"labels\":{\"k8s-app\":\"aws-node\"}%s}}",
                     annotations));
}

static const char *role_member(struct deed *d) {
    const char *role = deed_arg(d, "role");
    return role ? arena_printf(d->a, ",\"serviceAccountRoleArn\":\"arn:aws:iam::" SIM_ACCOUNT_ID ":role/%s\"", role)
                : "";
}

/* aws eks create-addon --addon-name vpc-cni --resolve-conflicts OVERWRITE [--service-account-role-arn] */
static bool creates_addon(struct deed *d) {
    return deed_aws_body(
        d, "eks", "CreateAddon",
        arena_printf(d->a, "{\"addonName\":\"vpc-cni\",\"resolveConflicts\":\"OVERWRITE\"%s}", role_member(d)),
        "clusterName", SIM_CLUSTER_NAME, NULL);
}

/* aws eks update-addon --addon-name vpc-cni; without a role the add-on goes back to that of the node. */
static bool updates_addon(struct deed *d) {
    return deed_aws_body(
        d, "eks", "UpdateAddon",
        arena_printf(d->a, "{\"resolveConflicts\":\"%s\"%s}", str_or(deed_arg(d, "conflicts"), "NONE"), role_member(d)),
        "clusterName", SIM_CLUSTER_NAME, "addonName", "vpc-cni", NULL);
}

/* aws eks delete-addon --preserve: what it applied stays. */
static bool deletes_addon(struct deed *d) {
    return deed_aws(d, "eks", "DeleteAddon", NULL, "clusterName", SIM_CLUSTER_NAME, "addonName", "vpc-cni", "preserve",
                    "true", NULL);
}

/* A Fargate profile got a pod: a node without an instance, which has no aws-node. */
static bool adds_fargate_node(struct deed *d) {
    return deed_kube(
        d, "POST", "/api/v1/nodes", DEED_JSON,
        arena_printf(d->a,
                     "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
                     "\"kubernetes.io/os\":\"linux\",\"eks.amazonaws.com/compute-type\":\"fargate\"}},\"spec\":{"
                     "\"providerID\":\"aws:///us-west-2a/0c0c0c0c0c-fargate/%s\"}}",
                     deed_arg(d, "name"), deed_arg(d, "name")));
}

const struct sim_verb eks_addon_verbs[] = {
    {"creates-addon", creates_addon, {"role?"}},
    {"updates-addon", updates_addon, {"role?", "conflicts?"}},
    {"deletes-addon", deletes_addon, {NULL}},
    {"adds-fargate-node", adds_fargate_node, {"name"}},
    {"applies-service-account", apply_account, {"role?"}},
    {NULL, NULL, {NULL}},
};
