/*
 * reconcile.h - the pure core: (world, progress) -> decision.
 *
 * Model: reconcile_decide looks at one binding and everything known, and says: which reads are missing, which steps to take in which order,
 * what to report, when to look again. It performs nothing, reads no clock, keeps no state of its own: `progress` is the little memory of one
 * binding that lives in the process (waits in boot time, proofs seen) and is handed in and out. After a restart progress is empty, and every
 * wait starts anew: time that was not observed does not count (G7).
 *
 * The driver's part (controller/driver.c):
 *   1. observations_begin_pass; decide; while decision.reads is not empty: perform them all, put the results, decide again
 *      (at most RECONCILE_ROUNDS_MAX rounds a pass).
 *   2. if decision.status differs from what the object holds, write it (server-side apply on /status with uid) BEFORE the step.
 *   3. in mode Enforce, if there are steps: perform steps[0] only; journal an intent before an AWS write; absorb the answer; emit its Event;
 *      requeue the binding at once. The first failure ends the pass; the error is handed to the next decide through `last_error`.
 *   4. else requeue after requeue_after_ms (0: only on change).
 * Steps beyond the first are the plan: what would follow if all went well.
 * mode Plan and Observe: decide returns no step for the driver to perform (steps are only described in status.plan), except none.
 *
 * Ownership: the decision lives in the arena given. World is borrowed.   Errors: none: every problem becomes a condition.
 */
#ifndef CNI_IAM_RECONCILERS_RECONCILE_H
#define CNI_IAM_RECONCILERS_RECONCILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crd/binding.h"
#include "crd/views.h"
#include "platform/port/effect.h"
#include "reconcilers/observations.h"

#define RECONCILE_ROUNDS_MAX 24
#define RECONCILE_READS_MAX 512
#define RECONCILE_NOTES_MAX 32
#define FIELD_MANAGER "cni-iam"

/* Constant for the life of the process. */
struct operator_config {
    const char *cluster_name, *region; /* --cluster-name, --region; NULL: every binding must say */
    struct strlist
        allowed_policy_arns; /* --allowed-policy-arns; empty: the managed CNI policies and our IPv6 policy (S16) */
    const char *role_path;   /* --role-path; "/" by default */
    int64_t aws_audit_interval_ms;   /* --aws-audit-interval */
    bool guard_independent;          /* S18: runs off the pod network, or outside the cluster */
    const char *guard_dependent_why; /* sentence, when not */
};

/* Everything known at one instant. Arrays are snapshots of the informers' caches. */
struct world {
    const struct cib_binding *binding;
    const struct cib_binding *const *bindings; /* all of the cluster, this one included */
    size_t nbindings;
    const struct service_account_view *service_account; /* kube-system/aws-node; NULL: absent */
    const struct daemon_set_view *daemon_set;           /* kube-system/aws-node; NULL: absent */
    const struct pod_view *const *pods;                 /* k8s-app=aws-node in kube-system */
    size_t npods;
    const struct node_view *const *nodes;
    size_t nnodes;
    const struct event_view *const *events;
    size_t nevents;
    bool agent_ready; /* reserved for Pod Identity; false */
    struct observations *observations;
    const struct operator_config *config;
    int64_t now_wall_ms, now_boot_ms;
    int64_t epoch; /* leaseTransitions of our lease (K-LE5); -1: without election */
    /* Outcome of the step performed last in this pass or the one before; effect NULL: none, or it succeeded. */
    const struct effect *last_effect;
    const struct error *last_error;
    int last_failures;   /* identical failures in a row (L3) */
    bool status_refused; /* the last one could not be written, and nothing is done before it is (S3) */
};

#define PROGRESS_PROOFS_MAX 8
/* In-process memory of one binding: all instants are boot time, but for guard_told_s. Zero-initialised by the driver; replaced by each decision. */
struct progress {
    char binding_uid[64];
    char proven_role[256];       /* the role the proofs below are of */
    int64_t proof_first_boot_ms; /* 0: none */
    int64_t proof_last_boot_ms;
    int proofs;
    int64_t uninjected_boot_ms; /* a dry run is not injected although the annotation stands since; 0: it is */
    int64_t retried_boot_ms;    /* overdue, and one more pod was tried at; 0: not overdue */
    int64_t annotated_boot_ms;  /* injection first seen right by dry run since the annotation stands; 0: not */
    int64_t canary_ready_boot_ms;
    char canary_uid[64];
    int64_t rollout_started_boot_ms;
    int64_t progress_boot_ms;       /* the last forward movement of the rollout (deadline) */
    int progress_marker;            /* proven pods at that time */
    int64_t soak_first_boot_ms;     /* all proofs true without interruption since; 0: not now */
    int64_t soak_last_boot_ms;      /* seen true last: a gap longer than RECONCILE_GAP_MAX_MS restarts the soak */
    int64_t restore_boot_ms;        /* re-attached at: soak of deletion and of rollback */
    int64_t restore_moved_boot_ms;  /* pods came forward on the way back last at; 0: none is under way */
    int restore_left;               /* what was left to do then */
    int64_t freed_boot_ms;          /* the annotation is back, and no new pod gets the role since; 0: not known */
    int64_t earlier_unused_boot_ms; /* no pod has had a role of before since; 0: one has, or there is none */
    int64_t unready_since_boot_ms;  /* an aws-node pod or node is unready since (guard); 0: none */
    int64_t foreign_since_boot_ms;  /* an undeclared consumer of a detached node role is seen since; 0: none */
    int64_t repair_since_boot_ms;   /* injected pods whose role is broken since (guard); 0: none */
    int64_t guard_told_s;           /* wall: the Event GuardFired was told for the guard that fired then; 0: for none */
    int64_t failing_since_boot_ms;
    int64_t backoff_until_boot_ms; /* a fight with another controller (L8) */
    int64_t flips[3];
    char annotating[64];                /* resourceVersion of the ServiceAccount that was last to be annotated */
    int64_t policy_flips[3];            /* the CNI's own role lost a policy that it had, the last time first */
    int64_t policy_fight_until_boot_ms; /* somebody takes it off again and again (L8); in the past: nobody does */
    char note[64];
};
#define RECONCILE_GAP_MAX_MS 120000

struct step {
    const struct effect *effect;
    const char *line;                      /* "+ create IAM role x (trust: ...)" */
    const char *gate;                      /* "G2" */
    const char *why;                       /* one sentence: goes to the audit */
    const char *event_reason, *event_note; /* Event emitted on success; NULL: none */
    bool external;                         /* AWS: an intent is journaled before it */
};

/* An Event to post about the binding (driver: deduplicated by reason+note). */
struct event_note {
    bool warning;
    const char *reason, *note, *action;
};

struct decision {
    const struct effect *reads[RECONCILE_READS_MAX];
    size_t nreads;
    struct step steps[CIB_STEPS_MAX];
    size_t nsteps;
    struct cib_status status;
    struct event_note notes[RECONCILE_NOTES_MAX];
    size_t nnotes;
    int64_t requeue_after_ms; /* 0: on change only */
    struct progress progress; /* replaces the one handed in */
};

/* Fills *out. Deterministic: equal inputs give equal decisions. */
void reconcile_decide(const struct world *w, const struct progress *p, struct arena *a, struct decision *out);

#endif
