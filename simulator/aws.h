/*
 * aws.h - the simulated AWS account: IAM, STS, EKS and EC2 of one account and one cluster.
 *
 * Model: state in memory, changed by calls alone. What IAM *stores* is seen at once by Get and List; what the data plane
 * *enforces* (sim_aws_allows, sim_aws_trusts, and with them STS and EC2) follows at most `enforcement_lag_ms` later, each
 * change by a delay of its own drawn from the seed. Verdicts come from an evaluator of policy documents and trust
 * policies that shares no code with the product: explicit deny, allow, boundary, wildcards, StringEquals, StringLike.
 * Answers carry the operation's own wire names (aws.md): members as arrays, policy documents as JSON text, so that the
 * in-process face hands them on and the HTTP face (aws_http.h) writes XML or JSON from them.
 *
 * Ownership: sim_aws_new/_free; an answer's value is the caller's (json_free), its strings last until the next call.
 * Errors: AWS' own codes with AWS' own status; an unknown action is InvalidAction, 400.
 * Bounds: SIM_AWS_* entities of a kind; above them LimitExceeded, as AWS says it.
 */
#ifndef CNI_IAM_SIMULATOR_AWS_H
#define CNI_IAM_SIMULATOR_AWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/json.h"
#include "platform/port/clock.h"

#define SIM_AWS_ROLES_MAX 1000
#define SIM_AWS_POLICIES_MAX 200
#define SIM_AWS_INSTANCES_MAX 5000

struct sim_aws;

/* What STS learns from a token that the cluster's issuer signed. */
struct sim_token_claims {
    char issuer[256], subject[256], audience[128];
    int64_t expires_ms;
};

struct sim_aws_options {
    struct clock clock; /* only wall_ms and boot_ms are used */
    uint64_t seed;
    const char *account, *region, *cluster, *cluster_version; /* "111122223333", "us-west-2", "prod", "1.36" */
    const char *issuer;                                       /* "https://oidc.eks.…/id/…" */
    bool ipv6, auto_mode;
    int64_t enforcement_lag_ms;
    /* true: the cluster signed this token and it has not expired. */
    bool (*verify_token)(void *arg, const char *token, struct sim_token_claims *out);
    void *verify_arg;
};

struct sim_aws *sim_aws_new(const struct sim_aws_options *o);
void sim_aws_free(struct sim_aws *a);

struct sim_aws_param {
    const char *name, *value;
};
struct sim_aws_call {
    const char *service, *action; /* "iam" "AttachRolePolicy"; "eks" "DescribeCluster"; "ec2" "DescribeInstances" */
    const struct sim_aws_param *params; /* wire parameters; for EKS its labels by model names ("name", "clusterName") */
    size_t nparams;
    const char *body;       /* EKS operations with one; NULL: none */
    const char *access_key; /* who signed; NULL: the account's administrator */
};
struct sim_aws_answer {
    int status;                 /* 200, 400, 403, 404, 409 … */
    const char *code, *message; /* NULL on success */
    json *value;                /* NULL where the operation has no output */
};
void sim_aws_do(struct sim_aws *a, const struct sim_aws_call *call, struct sim_aws_answer *out);

/* --- what the world asks (enforced view) --- */
bool sim_aws_allows(struct sim_aws *a, const char *role_arn,
                    const char *action); /* may sessions of the role do it now? */
/* May a token of this subject and audience, of our cluster's issuer, take the role now? */
bool sim_aws_trusts(struct sim_aws *a, const char *role_arn, const char *subject, const char *audience);
/* Did IAM change its mind since then, by itself: a change that was stored before became enforced (boot clock)? Maybe not
 * where it says so; never where it says no. */
bool sim_aws_took_effect(const struct sim_aws *a, int64_t after_ms, int64_t until_ms);
const char *sim_aws_role_of_instance(const struct sim_aws *a, const char *instance_id); /* ARN; NULL: none */

/* --- what the world does: hands of other people, no validation of who may --- */
/* A role that EC2 trusts, an instance profile of the same name, and the policies attached (full ARNs). */
void sim_aws_add_node_role(struct sim_aws *a, const char *name, const char *const *policy_arns, size_t n);
/* Running instance; cluster_tag NULL: not tagged for a cluster. */
void sim_aws_run_instance(struct sim_aws *a, const char *instance_id, const char *profile, const char *cluster_tag);
void sim_aws_terminate_instance(struct sim_aws *a, const char *instance_id);
void sim_aws_set_addon(struct sim_aws *a, const char *addon_json); /* NULL: self-managed */
void sim_aws_set_association(struct sim_aws *a,
                             const char *association_json); /* for kube-system/aws-node; NULL: none */
/* What the VPC CNI's add-on wants in the cluster; false: there is none. Strings last until the next call. */
struct sim_addon_wish {
    const char *role_arn; /* NULL: none */
    bool force, preserve; /* what others own: taken, left (else it is a conflict) */
};
bool sim_aws_addon_wish(struct sim_aws *a, struct sim_addon_wish *out);
void sim_aws_addon_conflict(struct sim_aws *a, const char *message); /* what is under way failed by it */
/* A managed policy of this ARN, AWS' own or the account's, enforced at once; one that is there gets the document as its new
 * default. false: no policy ARN, no policy document, or too many. */
bool sim_aws_set_policy(struct sim_aws *a, const char *policy_arn, const char *document);
/* From now on; what was changed before keeps its delay. */
void sim_aws_set_lag(struct sim_aws *a, int64_t enforcement_lag_ms);
/* From now on for so long every call of somebody with an access key is throttled. */
void sim_aws_throttle(struct sim_aws *a, int64_t ms);
/* A long-lived access key for a user or role; only what it says is checked, not its secret. */
void sim_aws_add_access_key(struct sim_aws *a, const char *access_key, const char *principal_arn);

/* Counts since start, by "service:Action", for checkers and the demo. */
int64_t sim_aws_count(const struct sim_aws *a, const char *service_action); /* NULL: all */
/* Adds a listener, called after every call that changed something, with "AttachRolePolicy cni-iam-prod …" for people. */
void sim_aws_on_write(struct sim_aws *a, void (*fn)(void *arg, const char *action, const char *line), void *arg);

#endif
