/*
 * checker_internal.h - what the files of the judge share. Each file judges one idea.
 *
 *   checker.c           sentences, life, S1
 *   checker_nodes.c     what each node's pod is and since when: what S1, S2 and S9 ask
 *   checker_call.c      the operators' requests, taken apart and handed round
 *   checker_detach.c    S2, S3, S15 (way back), S16
 *   checker_aws.c       S4, S5, S14, S15 (order of removal), S16
 *   checker_rollout.c   S9, S5 and S8 of Kubernetes writes
 *   checker_leader.c    S6, L6
 *   checker_unknown.c   S7, S12
 *   checker_secrets.c   S10
 *   checker_liveness.c  L3, L8
 *
 * Model: a judge looks at one call, before the world has seen it, and at what the world is then. What it remembers it
 * remembers of the world. What other people changed less than CHECKER_RACE_MS ago could not be known to the operator.
 *
 * Ownership: everything belongs to struct sim_checker.   Errors: none.   Bounds: CHECKER_*_MAX.
 */
#ifndef CNI_IAM_SIMULATOR_CHECKER_INTERNAL_H
#define CNI_IAM_SIMULATOR_CHECKER_INTERNAL_H

#include "platform/base/arena.h"
#include "platform/base/str.h"
#include "platform/base/strmap.h"
#include "simulator/checker.h"
#include "simulator/world_internal.h"

#define CHECKER_RACE_MS 12000 /* a picture may be 10 s old (S2), and its reader has a way to go */
#define CHECKER_PARAMS_MAX 128
#define CHECKER_OBJECTS_MAX 1024 /* that one kind of note is kept about */
#define CHECKER_ROLE_ARN "eks.amazonaws.com/role-arn"
#define CHECKER_CNI_POLICY "/AmazonEKS_CNI_Policy"
#define CHECKER_NS "kube-system"
#define CHECKER_WORKLOAD "aws-node"
#define CHECKER_ROLE_PATH "/"

/* A request of an operator, taken apart. */
struct call {
    int replica;
    bool to_aws, changes, dry_run, watch;
    struct arena *a;
    const struct sim_http_request *req;
    /* AWS: "" where it is not of the query protocol */
    const char *action;
    struct sim_aws_param params[CHECKER_PARAMS_MAX];
    size_t nparams;
    /* Kubernetes; NULL: none */
    const char *resource, *ns, *name, *subresource, *resource_version;
    json *body; /* once it was asked for */
};
const json *call_body(struct call *c);                          /* NULL: none, or no JSON */
const char *call_param(const struct call *c, const char *name); /* "" if absent */
bool call_is(const struct call *c, const char *action);
bool call_is_kube(const struct call *c, const char *method, const char *resource, const char *subresource);

/* What is so about the pod of one node. Times are of the boot clock; -1: never, or not now. */
struct checker_node {
    bool permitted, worked;  /* as it was seen last; ever */
    bool proven;             /* Ready, on the role of its own that the annotation names, made after it, permitted */
    bool leaving;            /* the node is gone */
    int64_t seen_ms;         /* since when there is the node; -1: it was there before the judge */
    int64_t proven_ms;       /* since when */
    int64_t was_ms, lost_ms; /* the last proof that ended: from, to */
    int64_t ready_ms, unready_ms;
    bool wounded; /* an operator deleted its pod and the next is not Ready yet */
};

struct checker_replica {
    char identity[64];
    bool swapped;            /* its last write was a status with a resourceVersion, and the server took it */
    struct strmap *versions; /* resource -> the newest resourceVersion it watched from, as text */
};

/* A policy of a node role, as operators handled it. */
struct checker_policy {
    int64_t attached_ms; /* an operator's attach made it so then; -1: none did */
    int64_t probed_ms;   /* an operator heard then that attaching works; -1: since it was taken off nobody did */
    bool took;           /* an operator took it off, and it was not attached since */
    bool given_back;     /* attached_ms is that of a return */
};

struct sim_checker {
    struct sim_world *w;
    struct strmap *nodes; /* name -> struct checker_node */
    struct sim_node_row *rows;
    uint64_t timer;
    int64_t look_until_ms, looked_ms;
    bool excused, worked; /* worked: a pod had permissions when the judge came */
    int violations;
    char sentences[CHECKER_VIOLATIONS_MAX][CHECKER_SENTENCE_MAX];

    bool began;   /* what comes now was not there before */
    bool told;    /* somebody tells of the operators' calls */
    bool at_hand; /* a call of an operator is being carried out */
    struct checker_replica replicas[CHECKER_REPLICAS_MAX];
    struct strmap *policies; /* "role policy" -> struct checker_policy */
    struct strmap *unknown;  /* objects with an outcome that nobody read yet -> the words of that write */
    int64_t foreign_aws_ms, foreign_lease_ms; /* when somebody else changed something last */

    /* the annotation */
    char annotated[256], regional[32], annotated_first[256]; /* the last: with what pods worked when the judge came */
    int64_t annotated_wall_ms;
    /* the DaemonSet */
    int restarts;
    char restarted_for[64], restarted_role[320]; /* the key; role and endpoints that it stood for */
    bool restarted_once;
    json *template; /* the pod template without its annotations */
    int64_t generation, binding_generation;

    struct strmap *secrets;
    unsigned char secret_filter[16384]; /* bits: pieces of secrets */
    /* liveness */
    char refused[160];
    int refusals;
    int64_t refused_ms;
    bool goes_on, said_stalled; /* another write was taken since; Stalled was True since the first */
    bool deleting;
    uint64_t stall_timer, failover_timer;
    int64_t spell_ms;
    int spell_writes;
};

void violated(struct sim_checker *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int64_t checker_now(const struct sim_checker *c);
bool checker_recent(const struct sim_checker *c, int64_t at_ms); /* less than CHECKER_RACE_MS ago */
const json *checker_binding(const struct sim_checker *c);        /* the first; NULL: there is none */
void checker_look(struct sim_checker *c);                        /* at every node */

struct checker_node *checker_node(struct sim_checker *c, const char *name);
void nodes_saw_pod(struct sim_checker *c, const char *type, const json *pod);
void nodes_saw_row(struct sim_checker *c, const struct sim_node_row *row);
void nodes_saw_node(struct sim_checker *c, const char *type, const json *node);
void nodes_forget(struct sim_checker *c); /* what the pods had: the next look is the first */

void detach_saw_write(struct sim_checker *c, const char *action, const char *line);
bool detach_is_node_role(struct sim_checker *c, const char *role);
bool detach_was_node_role(struct sim_checker *c, const char *role, const char *policy);
void detach_judges(struct sim_checker *c, const struct call *k);
void detach_heard(struct sim_checker *c, const struct call *k, int status);

void aws_judges(struct sim_checker *c, const struct call *k);

void rollout_begins(struct sim_checker *c);
void rollout_saw_account(struct sim_checker *c, const json *service_account);
void rollout_saw_workload(struct sim_checker *c, const json *daemon_set);
void rollout_saw_binding(struct sim_checker *c, const char *type, const json *binding);
void rollout_judges(struct sim_checker *c, struct call *k); /* writes or not */

void leader_saw_lease(struct sim_checker *c);
void leader_judges(struct sim_checker *c, const struct call *k);
void leader_heard(struct sim_checker *c, struct call *k, int status, const char *body);

void unknown_judges(struct sim_checker *c, const struct call *k); /* reads too */
void unknown_heard(struct sim_checker *c, const struct call *k, int status);
void unknown_judges_watch(struct sim_checker *c, const struct call *k);

void secrets_judges(struct sim_checker *c, const struct call *k);
void secrets_heard(struct sim_checker *c, const struct call *k, const char *body);

void liveness_judges(struct sim_checker *c);
void liveness_saw_binding(struct sim_checker *c, const json *binding);
void liveness_heard(struct sim_checker *c, const struct call *k, int status, const char *body);

#endif
