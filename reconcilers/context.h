/*
 * context.h - what the planners of one decision share. Internal to reconcilers/.
 *
 * Model: planners run in the order of the gates; each looks at facts, asks for reads, adds steps and says how its gate stands.
 * `blocked` is set by the first gate that has not passed: later planners then only describe what would follow, they neither act nor wait.
 * Everything lives in the arena of the decision.
 */
#ifndef CNI_IAM_RECONCILERS_CONTEXT_H
#define CNI_IAM_RECONCILERS_CONTEXT_H

#include "reconcilers/names.h"
#include "reconcilers/reasons.h"
#include "reconcilers/reconcile.h"

#define LIVE_MAX_AGE_MS 10000   /* S2: the snapshot that a detachment stands on */
#define FACTS_MAX_AGE_MS 600000 /* what hardly ever changes: account, API server's issuer */
#define POLL_MS 2000
#define RETRY_MS 5000
#define STALLED_RETRY_MS 30000 /* L3: a cause that went away is seen within 60 s */
#define ROLLBACK_RETRY_MS 600000

enum gate { G1, G2, G3, G4, G5, G6, G7, G8 };

/* One aws-node pod as the proof sees it. */
enum pod_state { POD_NODE, POD_TARGET, POD_OTHER_ROLE };
struct pod_fact {
    const struct pod_view *pod;
    enum pod_state state;
    bool ready;
    bool ours;          /* controlled by the DaemonSet */
    const char *defect; /* why it is not POD_TARGET: sentence; NULL */
};

struct node_role_fact {
    const char *name, *arn;
    struct strlist attached; /* movable policies that are attached */
    struct strlist findings;
    struct strlist profiles; /* instance profile names that carry it */
    size_t nodes;            /* nodes of this cluster on it */
    bool grants_cni;         /* something attached, movable or not, grants the CNI's actions */
    const char *foreign;     /* an undeclared consumer: sentence; NULL: none seen */
    bool foreign_is_declared;
    bool consumers_known;
};

struct ctx {
    const struct world *w;
    const struct cib_binding *b;
    const struct cib_spec *spec;
    struct arena *a;
    struct decision *d;
    struct progress *p;   /* = &d->progress */
    struct cib_status *s; /* = &d->status */

    bool blocked; /* an earlier gate has not passed */
    bool missing_reads;
    bool live; /* reads are asked with LIVE_MAX_AGE_MS: directly before a destructive step */
    bool stalled;
    bool gate_stalled[CIB_GATES]; /* in this pass: what is only waited for does not cover it */
    const char *stalled_reason, *stalled_message;
    const char *waiting_reason, *waiting_message;
    bool may_act;          /* Enforce, not suspended (or guard, or finalize) */
    bool earlier_too;      /* the way back is for pods with an earlier role of this binding too */
    bool repairs_only;     /* may_act is the guard's alone: what the spec asks for besides has to wait */
    struct step described; /* where a planner writes about a step that is only described */

    /* facts */
    const char *account, *partition, *region, *cluster_name, *cluster_arn;
    const char *issuer; /* without https:// */
    const char *provider_arn;
    bool ipv6;
    bool sts_regional; /* write the annotation */
    const char *role_name, *role_arn, *role_path;
    bool role_ours; /* live tags say so */
    bool role_present, role_adopted;
    struct strlist target_policies;
    const char *restart_key;
    struct pod_fact *pods;
    size_t npods, ntarget, ntarget_ready, nnode, nother, nready;
    struct node_role_fact *roles;
    size_t nroles;
    bool roles_known; /* every node's role was found */
    const char *roles_unknown_why;
    const struct node_view **nodes; /* EC2 nodes that count */
    size_t nnodes;
};

/* --- reads --- */
/* The observation, or NULL: then it was added to the reads of the decision and the planner returns at once. */
const struct observation *ctx_read(struct ctx *c, const struct effect *e, int64_t max_age_ms);
int64_t ctx_audit_age(const struct ctx *c); /* the audit interval, or LIVE_MAX_AGE_MS while `live` */
int64_t ctx_facts_age(const struct ctx *c); /* for what hardly ever changes */
/* A read that failed: stalls or waits by the error's disposition, saying what was asked. Always returns false. */
bool ctx_read_failed(struct ctx *c, enum gate g, const struct effect *e, const struct error *err);

/* --- verdicts --- */
/* Each sets the gate's state, `blocked`, the condition of the gate; they return false so that planners can `return` them. */
bool ctx_stall(struct ctx *c, enum gate g, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
bool ctx_wait(struct ctx *c, enum gate g, const char *reason, int64_t requeue_ms, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
bool ctx_pass(struct ctx *c, enum gate g, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The gate waits for an earlier one. */
void ctx_pending(struct ctx *c, enum gate g);
void ctx_gate_not_applicable(struct ctx *c, enum gate g, const char *why);
void ctx_requeue(struct ctx *c, int64_t after_ms);

/* --- steps --- */
/* Adds to the plan; it becomes the executable step if nothing before it is blocked, there is none yet, and may_act. */
struct step *ctx_step(struct ctx *c, enum gate g, const struct effect *e, const char *why, const char *line_fmt, ...)
    __attribute__((format(printf, 5, 6)));
bool ctx_has_step(const struct ctx *c);
void ctx_note(struct ctx *c, bool warning, const char *reason, const char *action, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void ctx_plan_line(struct ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *gate_name(enum gate g);
const char *gate_condition(enum gate g);
void ctx_condition(struct ctx *c, const char *type, enum cib_condition_status status, const char *reason,
                   const char *message);
/* Since when: planners may say this and then that, what counts is what status said before. Another time with each decision would be
 * news, and wake the next one (L8). since_ms 0: whoever set it wants it to begin now. */
void ctx_set_gate(struct ctx *c, enum gate g, enum cib_gate_state state, const char *evidence);
bool ctx_gate_passed(const struct ctx *c, enum gate g);
struct cib_node_role *ctx_status_role(struct ctx *c, const char *arn, bool create);
bool ctx_anything_detached(const struct ctx *c); /* status says that we took a policy off some node role */

/* --- planners, in order --- */
bool observe_cluster(struct ctx *c);                 /* account, cluster, issuer, pinning */
bool observe_eligibility(struct ctx *c);             /* duplicate, add-on, association, version, Auto Mode, Fargate */
void observe_pods(struct ctx *c);                    /* pod facts for c->role_arn (pure) */
bool observe_node_roles(struct ctx *c, enum gate g); /* node -> instance -> profile -> role -> policies */
bool observe_consumers(struct ctx *c, struct node_role_fact *r, enum gate g);
bool desire_role(struct ctx *c); /* role_name, role_arn, target policies, restart key; S16 */

bool plan_finalizer(struct ctx *c);
bool plan_provider(struct ctx *c);    /* G1 */
bool plan_role(struct ctx *c);        /* G2: role, trust, boundary, tags */
bool plan_permissions(struct ctx *c); /* G2: policies */
bool prove_role(struct ctx *c);       /* G3 */
/* Why the role does not work; NULL: it does, or the answer says nothing about it. */
const char *proof_refusal(struct ctx *c, const struct observation *o);
bool prove_again(struct ctx *c);     /* false: return at once, the decision is made anew with a proof of this pass */
bool plan_annotation(struct ctx *c); /* G4 */
bool plan_rollout(struct ctx *c);    /* G5 */
bool prove_pods(struct ctx *c);      /* G6 */
bool plan_cutover(struct ctx *c);    /* G7 */
bool plan_guard(struct ctx *c);      /* G8: true if nothing has to be done */

/* Late parts of the guard: a role that stopped working under its pods; a consumer that came later. False: stop here. */
bool judge_injected_pods(struct ctx *c);
bool judge_consumers(struct ctx *c);
void report_guard(struct ctx *c);

/* Back to what aws-node lived on before: for a rollback, deletion, identity NodeRole. */
enum restore_goal { RESTORE_ROLLBACK, RESTORE_DELETE, RESTORE_NODE_ROLE };
bool plan_restore(struct ctx *c, enum restore_goal goal); /* true when pods are proven back */
/* Would pods that go back to their node role have permissions? *lacks: the first role that grants none. False: not known (yet). */
bool node_roles_carry(struct ctx *c, const char **lacks);
bool soak_reattached(struct ctx *c);                 /* a policy that was off is on again long enough to be enforced */
bool plan_cleanup(struct ctx *c);                    /* roles, policy, provider: S5; true when done */
bool cleanup_role(struct ctx *c, const char *name);  /* what is ours of that role; true when done */
bool cleanup_policy(struct ctx *c, const char *arn); /* one that we made; NULL: none */
bool cleanup_earlier_roles(struct ctx *c, bool deleting); /* true when none is left */
void remember_earlier_roles(struct ctx *c); /* status.role still says what was, c->role_name what is wanted */
/* Attaches every policy again that we took off. True when nothing is left to attach. */
bool plan_reattach(struct ctx *c, enum gate g, const char *why);
void plan_finalize(struct ctx *c); /* deletion as a whole */

/* effects that several planners make */
const struct effect *effect_attach(struct ctx *c, const char *role, const char *policy);
const struct effect *effect_prove_role(struct ctx *c, const char *role_arn);
bool attached_has(const json *attached, const char *arn); /* an answer of ListAttachedRolePolicies */
bool attach_succeeded(struct ctx *c, const char *role, const char *policy, int64_t within_ms); /* our own, as known */
const struct effect *effect_delete_pod(struct ctx *c, const struct pod_view *p);
const struct effect *effect_annotate(struct ctx *c, const char *role_arn, const char *sts_regional);
const struct effect *effect_restart(struct ctx *c, const char *key);
const struct pod_fact *pick_pod(const struct ctx *c, bool (*wanted)(const struct pod_fact *p));
bool daemon_set_settled(const struct ctx *c); /* kstatus' DaemonSet rule (K-S4) */
bool pods_all_present(const struct ctx *c);   /* a live, Ready pod for each that the DaemonSet wants */
bool pods_fit(const struct ctx *c);           /* as pods_all_present, but lenient where nothing worked before */
bool dry_run_role(struct ctx *c, enum gate g, int64_t max_age_ms, const char **role_arn); /* what a new pod would get */
/* Who has the role, by the annotation and a live list of the pods; NULL: nobody. *known false: it has to be read first. */
const char *role_user(struct ctx *c, const char *arn, int64_t max_age_ms, bool *known);

void report(struct ctx *c); /* Ready, Reconciling, Stalled and the rest */

#endif
