/*
 * support_hand.h - an operator made of hands: it does what a test tells it to, right or wrong, under the judge's eyes.
 *
 * Model: a world of HAND_NODES nodes (two node roles) on a clock that stands still; every call goes to its server as the
 * network hands it on: asked, served, heard. hand_* below do one step of a migration the right way; a test takes
 * hand_to(step), does something else, and asks for the id of the violation.
 *
 * Ownership: hand_open/hand_close.   Errors: a step that the world refuses fails the test.
 */
#ifndef CNI_IAM_TESTS_SUPPORT_HAND_H
#define CNI_IAM_TESTS_SUPPORT_HAND_H

#include "simulator/checker.h"
#include "support_sim_clock.h"

#define HAND_NODES 3
#define HAND_SOAK_MS 60000
#define HAND_POLICY "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
#define HAND_ROLE_NAME "cni-iam-prod-1"
#define HAND_ROLE "arn:aws:iam::111122223333:role/" HAND_ROLE_NAME
#define HAND_ISSUER "oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
#define HAND_PROVIDER "arn:aws:iam::111122223333:oidc-provider/" HAND_ISSUER
#define HAND_TRUST                                                                                                     \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"CniIamAwsNode\",\"Effect\":\"Allow\",\"Principal\":{"       \
    "\"Federated\":\"" HAND_PROVIDER "\"},\"Action\":\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{"                \
    "\"StringEquals\":{\"" HAND_ISSUER ":aud\":\"sts.amazonaws.com\",\"" HAND_ISSUER                                   \
    ":sub\":\"system:serviceaccount:kube-system:aws-node\"}}}]}"
#define HAND_BINDING "/apis/cniiam.dev/v1alpha1/cniiambindings/aws-node"
#define HAND_ACCOUNT "/api/v1/namespaces/kube-system/serviceaccounts/aws-node"
#define HAND_WORKLOAD "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node"

enum hand_step {
    HAND_MADE_ROLE, /* provider, role, its policy */
    HAND_ANNOTATED,
    HAND_CANARY,
    HAND_RESTARTED,
    HAND_SOAKED, /* all pods are on the role, for HAND_SOAK_MS */
    HAND_PROBED,
    HAND_ANNOUNCED,
    HAND_DETACHED, /* both node roles */
    HAND_GIVEN_BACK,
    HAND_RETURNED,  /* soaked, the annotation is off */
    HAND_RESTORED,  /* no pod has the role */
    HAND_CLEANED_UP /* role and provider are gone */
};

struct hand {
    struct sim_clock *clock;
    struct sim_world *world;
    struct sim_checker *checker;
    int replica;
    int status;        /* of the last answer */
    int heard;         /* what the operator hears instead; -1: the status */
    char answer[8192]; /* the beginning of it */
};

struct hand *hand_open(bool on_delete);
void hand_close(struct hand *h);
void hand_to(struct hand *h, enum hand_step last); /* from the beginning, all of it right */
void hand_wait(struct hand *h, int64_t ms);
/* Names and values, ended by NULL. */
int hand_aws(struct hand *h, const char *action, ...) __attribute__((sentinel));
int hand_kube(struct hand *h, const char *method, const char *path, const char *content_type, const char *body);
int hand_merge(struct hand *h, const char *path, const char *patch);
int hand_delete_pod(struct hand *h, int node, bool by_uid);
void hand_lease(struct hand *h, const char *holder, int epoch); /* by another hand */
/* status.nodeRoles of one role, by compare-and-swap. */
int hand_announce(struct hand *h, const char *role, const char *action, int epoch);
int hand_detach(struct hand *h, const char *role);
void hand_foreign_aws(struct hand *h, const char *action, ...) __attribute__((sentinel)); /* somebody else */
bool hand_violated(const struct hand *h, const char *id);                                 /* "S2" */

#endif
