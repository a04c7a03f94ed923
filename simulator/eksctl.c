/*
 * eksctl.c - eksctl, which makes a role and an annotation of its own for a ServiceAccount, and deletes ServiceAccounts that
 * it did not make.
 */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/others_internal.h"

#define ROLE "eksctl-prod-addon-iamserviceaccount-kube-syst-Role1-H5K8PWQ2XV7J" /* as CloudFormation names it */

/* eksctl utils associate-iam-oidc-provider --approve */
static bool associate_provider(struct deed *d) {
    return deed_aws(d, "iam", "CreateOpenIDConnectProvider", NULL, "Url", SIM_ISSUER_URL, "ClientIDList.member.1",
                    "sts.amazonaws.com", "Tags.member.1.Key", "alpha.eksctl.io/cluster-name", "Tags.member.1.Value",
                    SIM_CLUSTER_NAME, NULL);
}

static bool annotate(struct deed *d, const char *value) {
    return deed_kube(d, "PATCH", DEED_SERVICE_ACCOUNT, DEED_MERGE,
                     arena_printf(d->a, "{\"metadata\":{\"annotations\":{\"eks.amazonaws.com/role-arn\":%s}}}", value));
}

/* eksctl create iamserviceaccount --name aws-node --override-existing-serviceaccounts */
static bool create_account(struct deed *d) {
    return deed_aws(d, "iam", "CreateRole", NULL, "RoleName", ROLE, "AssumeRolePolicyDocument", deed_irsa_trust(d),
                    "Tags.member.1.Key", "alpha.eksctl.io/cluster-name", "Tags.member.1.Value", SIM_CLUSTER_NAME,
                    "Tags.member.2.Key", "alpha.eksctl.io/iamserviceaccount-name", "Tags.member.2.Value",
                    "kube-system/aws-node", NULL) &&
           deed_aws(d, "iam", "AttachRolePolicy", NULL, "RoleName", ROLE, "PolicyArn",
                    deed_policy_arn(d, "AmazonEKS_CNI_Policy"), NULL) &&
           annotate(d, "\"arn:aws:iam::" SIM_ACCOUNT_ID ":role/" ROLE "\"");
}

/* eksctl delete iamserviceaccount: whoever made the ServiceAccount, it goes. */
static bool delete_account(struct deed *d) {
    return deed_kube(d, "DELETE", DEED_SERVICE_ACCOUNT, NULL, NULL);
}

/* eksctl utils update-aws-node: the manifest's ServiceAccount, without annotations. */
static bool update_aws_node(struct deed *d) {
    return annotate(d, "null");
}

const struct sim_verb eksctl_verbs[] = {
    {"associates-provider", associate_provider, {NULL}},
    {"creates-iamserviceaccount", create_account, {NULL}},
    {"deletes-iamserviceaccount", delete_account, {NULL}},
    {"updates-aws-node", update_aws_node, {NULL}},
    {NULL, NULL, {NULL}},
};
