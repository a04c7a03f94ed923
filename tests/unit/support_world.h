/*
 * support_world.h - a small cluster and account for the tests of the pure core: it answers effects, moves on a virtual clock, and judges
 * after every change whether a running aws-node pod lost permissions because of us (S1).
 *
 * It shares no decision with reconcilers/: permissions are answered from its own tables.
 */
#ifndef TESTS_SUPPORT_WORLD_H
#define TESTS_SUPPORT_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crd/binding.h"
#include "crd/views.h"
#include "reconcilers/reconcile.h"
#include "support_decoded.h"

#define SIM_PODS_MAX 16
#define SIM_ROLES_MAX 8
#define SIM_LOG_MAX 4096
#define SIM_CNI_POLICY "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
#define SIM_ACCOUNT "111122223333"
#define SIM_ISSUER "oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
#define SIM_PROVIDER "arn:aws:iam::" SIM_ACCOUNT ":oidc-provider/" SIM_ISSUER
#define SIM_CLUSTER "arn:aws:eks:us-west-2:" SIM_ACCOUNT ":cluster/prod"

struct sim_role {
    bool exists;
    char name[65], arn[128], trust[4096];
    char tags[20][2][256];
    int ntags;
    char policies[8][256];
    int64_t attached_ms[8]; /* enforced iam_lag_ms later */
    int npolicies;
    int64_t trust_ms; /* of the last write by the operator: enforced iam_lag_ms later */
    bool node;        /* trusted by EC2 */
    bool denied;      /* an explicit deny somewhere: no permission whatever is attached */
    char boundary[128];
    char inline_policy[512];
    char description[128], max_session[16];
};

struct sim_pod {
    bool exists;
    int node;
    char name[32], uid[32], role[128], key[32], audience[64];
    int64_t created_ms, ready_at_ms; /* Ready from then on, while it has permission */
    bool ready, had_permission, lost;
    bool foreign;    /* bears the label, but is not the DaemonSet's */
    bool static_key; /* AWS_ACCESS_KEY_ID in its spec outranks whatever is injected */
    bool broken;     /* never Ready, for reasons of its own */
    int rv;
};

struct sim {
    int64_t now_ms;        /* wall = boot + an offset */
    int64_t wall_ahead_ms; /* of the operator's own clock */
    int nnodes;
    int node_role[SIM_PODS_MAX]; /* index into roles */
    bool node_gone[SIM_PODS_MAX];
    struct sim_pod pods[SIM_PODS_MAX];
    struct sim_role roles[SIM_ROLES_MAX];
    bool provider;
    bool provider_ours, provider_audience;
    char provider_tags[8][2][256];
    int nprovider_tags;
    struct sim_role policy; /* the customer policy: name, tags; trust holds its document */
    bool ipv6;

    /* the cluster's objects */
    bool sa_exists, ds_exists;
    char sa_role[128], sa_manager[64];
    int64_t sa_set_ms; /* by the API server's clock */
    bool sa_sts;
    int sa_rv;
    char ds_key[32];
    int64_t ds_generation;
    bool on_delete;
    const char *image;
    int uid_counter;
    bool webhook_up;
    int webhook_misses; /* so many injections are missed */
    bool addon, association, auto_mode;
    bool no_issuer, fargate, no_provider_id, ec2_knows_nothing, lists_are_empty, template_key, boundary_denies;
    const char *cluster_arn, *cluster_version;
    const char *other_policy; /* document of a customer policy OTHER_POLICY_ARN */
    int policy_versions;
    int64_t iam_lag_ms;
    const char *issuer_of_api;
    const char *account;
    bool other_sa_has_role;
    char foreign_instance[32]; /* an instance on node role 0 that is no node; "" none */
    const char *foreign_cluster;
    struct {
        char reason[32], uid[32];
        int64_t at_ms;
    } event;

    /* the operator */
    struct operator_config config;
    char binding_json[16384]; /* the object as the API server holds it, status included */
    struct observations *observations;
    struct progress progress;
    int64_t epoch, highest_epoch;
    enum effect_kind fail_kind; /* with fail_code: answers of that kind fail fail_count times */
    enum err_code fail_code;
    int fail_count;
    const char *fail_match; /* only calls that are described with this; NULL: all of the kind */
    bool fail_after_commit;
    int crash_at; /* the n-th step from now ends the process: before it (its write is lost), or after it (its answer is) */
    bool crash_after;
    const struct effect *last_effect;
    struct error last_error;
    int last_failures;
    struct arena *last_arena;
    bool second_binding, finalizer_gone;

    /* what happened */
    char log[SIM_LOG_MAX][160];
    int nlog;
    int lost_permission; /* S1 violations */
    int guard_events;    /* GuardFired, as often as it was told */
    int writes, reads, status_writes, restarts, restart_applies;
    int max_unready;
    char violation[256];
    int violations; /* of the other invariants, by the judge of support_judge.c */
    char violated[16];
    int64_t proven_since_ms, started_ms, probed_ms[SIM_ROLES_MAX];
    int64_t read_ms[EFFECT_KIND_COUNT], listed_pods_ms, listed_nodes_ms;
    bool foreign_declared;
    bool policy_used_elsewhere;  /* the customer policy is attached to a role of others */
    bool profile_is_empty;       /* the second node's instance profile has no role */
    int unknown_node;            /* n: node n-1 has no providerID */
    int64_t webhook_down_ms;     /* since when it does not inject; 0: it does */
    bool informers_know_nothing; /* of ServiceAccount and DaemonSet */
    bool status_is_refused, status_was_refused;
    bool informers_sleep; /* the operator sees the pods as they were */
    struct sim_pod seen[SIM_PODS_MAX];

    struct {
        struct decoded object, binding, service_account, daemon_set, pods[SIM_PODS_MAX], nodes[SIM_PODS_MAX];
    } decoded;
};

/* The judge's part: before a step is done, and after every change of the world. */
void sim_judge_step(struct sim *s, const struct effect *e);
void sim_judge_proofs(struct sim *s);
bool sim_pod_permitted(struct sim *s, const struct sim_pod *p);
void sim_informers_sleep(struct sim *s);
#define SIM_OTHER_POLICY "arn:aws:iam::" SIM_ACCOUNT ":policy/extra"
#define SIM_IPV6_SUFFIX "-ipv6"

/* A cluster of `nodes` nodes on one node role with the managed CNI policy, a self-managed aws-node, spec as JSON text ("{}" for all
 * defaults). Waits of the spec are as given. */
void sim_init(struct sim *s, int nodes, const char *spec_json);
void sim_done(struct sim *s);
void sim_set_spec(struct sim *s, const char *spec_json);
void sim_annotate_binding(struct sim *s, const char *key, const char *value);
void sim_delete_binding(struct sim *s);
void sim_restart_operator(struct sim *s); /* forgets everything that is not in the world */

/* One decision with its reads, its status write and at most one step. Returns the milliseconds to wait before the next (0: a step was done). */
int64_t sim_pass(struct sim *s);
/* Passes and time until `for_ms` have gone by. */
void sim_run(struct sim *s, int64_t for_ms);
/* Passes until `done` is true directly after one, time standing still there; false after max_ms. The operator is called when it asked for
 * it or is told of something, as by its queue. */
bool sim_run_until(struct sim *s, bool (*done)(struct sim *s, const void *arg), const void *arg, int64_t max_ms);
/* Until condition `type` has the status and, if not NULL, the reason; false after max_ms. */
bool sim_until(struct sim *s, const char *type, const char *status, const char *reason, int64_t max_ms);
const char *sim_condition_reason(struct sim *s, const char *type); /* "" if absent */
bool sim_condition_is(struct sim *s, const char *type, const char *status);
const char *sim_condition_message(struct sim *s, const char *type);
struct cib_binding *sim_binding(struct sim *s); /* caller frees */
const json *sim_object(struct sim *s);          /* the binding as JSON, until it changes */
struct sim_role *sim_role(struct sim *s, const char *name);
bool sim_role_has(const struct sim_role *r, const char *policy);
void sim_role_attach(struct sim_role *r, const char *policy);
void sim_role_detach(struct sim_role *r, const char *policy);
int sim_pods_with_role(const struct sim *s, const char *role_arn); /* NULL: on the node role */
int sim_log_index(const struct sim *s, const char *needle);        /* first line that holds it; -1 */
int sim_log_count(const struct sim *s, const char *needle);
const char *sim_own_role_arn(struct sim *s);
void sim_new_pod(struct sim *s, int node);

#endif
