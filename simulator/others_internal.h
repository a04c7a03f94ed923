/*
 * others_internal.h - what the actors of others.h share: a deed under way, and how they speak to the servers.
 *
 * Ownership: a deed's arena ends with it; what an actor remembers is in struct sim_others.
 * Errors: others.h's; the first refusal ends a deed.   Bounds: SIM_VERB_PARAMS_MAX, SIM_DEED_CALL_PARAMS_MAX.
 */
#ifndef CNI_IAM_SIMULATOR_OTHERS_INTERNAL_H
#define CNI_IAM_SIMULATOR_OTHERS_INTERNAL_H

#include "simulator/others.h"
#include "simulator/world_internal.h"

#define SIM_DEED_CALL_PARAMS_MAX 16

struct deed {
    struct sim_others *o;
    const char *who; /* the actor: user agent, field manager, access key */
    const struct sim_deed_arg *args;
    size_t nargs;
    struct arena *a;
    struct error *err;
};

struct sim_verb {
    const char *does;
    bool (*act)(struct deed *d);
    const char *params[SIM_DEED_ARGS_MAX + 1];
};
/* Tables end with a NULL name; each is the end of its actor's file. */
extern const struct sim_verb human_verbs[], terraform_verbs[], eksctl_verbs[], ack_verbs[], gitops_verbs[],
    eks_addon_verbs[], pod_identity_verbs[], karpenter_verbs[], trouble_verbs[];

/* A program that comes back by itself. */
struct keeper {
    struct sim_others *o;
    struct sim_verb verb;
    int64_t every_ms;
    uint64_t timer; /* 0: not running */
};

struct sim_others {
    struct sim_world *w;
    void (*on_deed)(void *arg, bool done);
    void *arg;
    struct keeper ack, gitops;
    json *terraform_state, *ack_spec; /* role -> what it should be */
    json *binding;                    /* its spec, as it is in git */
};

/* --- arguments --- */
const char *deed_arg(const struct deed *d, const char *name);                       /* NULL: left out */
int64_t deed_duration_ms(const struct deed *d, const char *name, int64_t fallback); /* "30s" */
int64_t deed_number(const struct deed *d, const char *name, int64_t fallback);
bool deed_failed(const struct deed *d, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* false */

/* --- AWS --- */
/* Names and values, then NULL; a NULL value is left out. *out is the caller's; NULL: not wanted. */
bool deed_aws(struct deed *d, const char *service, const char *action, json **out, ...) __attribute__((sentinel));
bool deed_aws_body(struct deed *d, const char *service, const char *action, const char *body, ...)
    __attribute__((sentinel));
const char *deed_policy_arn(const struct deed *d, const char *policy); /* a name means one of AWS */
const char *deed_irsa_trust(const struct deed *d);                     /* for aws-node, as everybody writes it */
bool deed_attached(struct deed *d, const char *role, struct strlist *arns);

/* --- Kubernetes: with the actor's field manager --- */
bool deed_kube(struct deed *d, const char *method, const char *path, const char *type, const char *body);
#define DEED_SERVICE_ACCOUNT "/api/v1/namespaces/kube-system/serviceaccounts/aws-node"
#define DEED_DAEMON_SET "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node"
#define DEED_BINDINGS "/apis/cniiam.dev/v1alpha1/cniiambindings"
#define DEED_JSON "application/json"
#define DEED_MERGE "application/merge-patch+json"
#define DEED_APPLY "application/apply-patch+yaml"

/* --- programs that come back --- */
void keeper_start(struct keeper *k, const struct deed *d, const struct sim_verb *verb, int64_t every_ms);
void keeper_stop(struct keeper *k);

#endif
