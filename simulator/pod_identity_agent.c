/* pod_identity_agent.c - EKS Pod Identity: an association for kube-system/aws-node, which outranks the annotation. */
#include "simulator/others_internal.h"

static bool associates(struct deed *d) {
    return deed_aws_body(d, "eks", "CreatePodIdentityAssociation",
                         arena_printf(d->a,
                                      "{\"namespace\":\"kube-system\",\"serviceAccount\":\"aws-node\",\"roleArn\":"
                                      "\"arn:aws:iam::" SIM_ACCOUNT_ID ":role/%s\"}",
                                      deed_arg(d, "role")),
                         "clusterName", SIM_CLUSTER_NAME, NULL);
}

static bool dissociates(struct deed *d) {
    json *list = NULL;
    if (!deed_aws(d, "eks", "ListPodIdentityAssociations", &list, "clusterName", SIM_CLUSTER_NAME, "serviceAccount",
                  "aws-node", NULL))
        return false;
    const char *id = arena_strdup(d->a, json_str(json_first(json_array(list, "associations")), "associationId"));
    json_free(list);
    return deed_aws(d, "eks", "DeletePodIdentityAssociation", NULL, "clusterName", SIM_CLUSTER_NAME, "associationId",
                    id, NULL);
}

const struct sim_verb pod_identity_verbs[] = {
    {"associates", associates, {"role"}},
    {"dissociates", dissociates, {NULL}},
    {NULL, NULL, {NULL}},
};
