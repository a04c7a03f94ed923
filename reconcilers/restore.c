/*
 * restore.c - back to what aws-node lived on before: for a rollback, deletion, identity NodeRole. The order is the safety (S15):
 *
 *   1 every policy that we took off a node role is attached again        (the return path first)
 *   2 soak, if one was off: until IAM enforces it everywhere
 *     what the informers do not show is asked for: an empty list is no absence (S14)
 *   3 the annotation goes, or goes back to what it was
 *   4 wait until a dry-run pod does not get our role any more
 *   5 re-create the pods that have it: one rollout (restart key "none"), or one by one for a rollback and for OnDelete
 *   6 no pod has the role, all are present (and Ready, where anything worked before)
 *   7 the same by a list that is younger than 4: a webhook that was late may have injected a pod that no watch has shown yet
 * Nothing of the role, its policy or the provider is touched before 7.
 */
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"

#define ROLE_ARN_PATH "/metadata/annotations/eks.amazonaws.com~1role-arn"
#define STS_PATH "/metadata/annotations/eks.amazonaws.com~1sts-regional-endpoints"

/* A rollback leaves pods alone that run well with the role of before. */
static bool goes(const struct ctx *c, const char *role) {
    return str_eq(role, c->role_arn) || (c->earlier_too && role && strlist_has(&c->s->role.earlier, role));
}

/* Pods that bear the role but fail a check of the proof (wrong audience, too old) bear it all the same. */
static bool bears_role(const struct ctx *c, const struct pod_fact *f) {
    const char *role = NULL;
    if (f->state == POD_TARGET)
        return true;
    return pod_credential(f->pod, &role) == POD_CREDENTIAL_IRSA && goes(c, role);
}

static void patch_op(json *ops, const char *op, const char *path, const char *value) {
    json *o = json_object();
    json_add_str(o, "op", op);
    json_add_str(o, "path", path);
    json_add_str(o, "value", value);
    json_push(ops, o);
}

/* A JSON patch with tests: removes the value that we set even where another manager owns it too, and nothing else. */
static const struct effect *effect_unannotate(struct ctx *c) {
    const struct service_account_view *sa = c->w->service_account;
    json *ops = json_new_array();
    patch_op(ops, "test", "/metadata/uid", sa->meta.uid);
    patch_op(ops, "test", ROLE_ARN_PATH, sa->role_arn);
    patch_op(ops, "remove", ROLE_ARN_PATH, NULL);
    if (sa->sts_regional_endpoints && strlist_has(&sa->sts_regional_managers, FIELD_MANAGER))
        patch_op(ops, "remove", STS_PATH, NULL);
    struct effect *e = effect_new(c->a, EFFECT_K8S_JSON_PATCH, "resource", "serviceaccounts", "namespace",
                                  "kube-system", "name", "aws-node", "fieldManager", FIELD_MANAGER, NULL);
    e->body = json_print_arena(ops, c->a);
    json_free(ops);
    return e;
}

static bool policy_was_off(const struct ctx *c) {
    for (size_t i = 0; i < c->s->nnode_roles; i++)
        if (c->s->node_roles[i].probed_ms > 0)
            return true;
    return false;
}

bool soak_reattached(struct ctx *c) {
    if (!policy_was_off(c))
        return true;
    struct progress *p = c->p;
    if (p->restore_boot_ms <= 0 && MUTANT(soak_is_forgotten_by_a_restart))
        return true;
    if (p->restore_boot_ms <= 0)
        p->restore_boot_ms = c->w->now_boot_ms; /* after a restart the wait starts anew */
    int64_t left = (int64_t)c->spec->node_role.soak_seconds * 1000 - (c->w->now_boot_ms - p->restore_boot_ms);
    if (GUARD(restored_policy_is_enforced, left <= 0))
        return true;
    return ctx_wait(c, G8, REASON_RESTORING, left,
                    "the policy is attached to the node roles again; waits %d s until IAM enforces it",
                    c->spec->node_role.soak_seconds);
}

/* A role that pods lived on before us may be gone meanwhile, or have lost its policy or its trust, and nobody noticed: no pod had it.
 * A fresh token of theirs shows it; then they go back to the node roles. One of which nothing can be learnt counts as good. */
static bool prior_role_is_known(struct ctx *c) {
    const char *arn = c->s->prior.role_arn;
    if (!arn || !c->w->service_account)
        return true;
    const struct effect *e = effect_prove_role(c, arn);
    const struct observation *o = ctx_read(c, e, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (error_is_transient(o->error.code))
        return ctx_read_failed(c, G8, e, &o->error);
    const char *refused = proof_refusal(c, o);
    if (GUARD(prior_role_works, !refused))
        return true;
    ctx_note(c, true, "PriorRoleLost", "Restore",
             "role %s, which aws-node had before, does not work any more (%s): back to the node roles", arn, refused);
    c->s->prior.role_arn = NULL;
    return true;
}

/* Pods that lived on a role of their own before us go back to that one, whatever the node roles grant. A node whose role
 * is not known is no reason to keep a binding for ever. */
bool node_roles_carry(struct ctx *c, const char **lacks) {
    *lacks = NULL;
    if (!prior_role_is_known(c))
        return false;
    if (c->s->prior.role_arn || (c->ntarget == 0 && c->s->role.earlier.n == 0))
        return true;
    if (!observe_node_roles(c, G8) || c->missing_reads)
        return false;
    for (size_t i = 0; i < c->nroles; i++)
        if (!GUARD(node_roles_grant, c->roles[i].grants_cni))
            *lacks = c->roles[i].arn;
    return true;
}

static bool absence_is_confirmed(struct ctx *c, const char *resource) {
    const struct effect *e =
        effect_new(c->a, EFFECT_K8S_GET, "resource", resource, "namespace", "kube-system", "name", "aws-node", NULL);
    const struct observation *o = ctx_read(c, e, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (o->error.code == ERR_NOT_FOUND)
        return true;
    if (o->error.code)
        return ctx_read_failed(c, G4, e, &o->error);
    return ctx_wait(c, G4, REASON_RESTORING, RETRY_MS,
                    "kube-system/aws-node is there, but the list of %s that was given to the operator lacks it",
                    resource);
}

/* S14: without a workload nothing bears the role, and without an account nobody gets it; a list that came back empty says
 * neither. */
static bool workload_is_known(struct ctx *c) {
    return (c->w->service_account || absence_is_confirmed(c, "serviceaccounts")) &&
           (c->w->daemon_set || absence_is_confirmed(c, "daemonsets"));
}

static bool restore_annotation(struct ctx *c) {
    const struct service_account_view *sa = c->w->service_account;
    const char *prior = c->s->prior.role_arn;
    if (!sa || !goes(c, sa->role_arn) || str_eq(prior, sa->role_arn)) {
        c->s->rollout.role_arn = NULL;
        return true;
    }
    struct step *step;
    c->p->freed_boot_ms = 0;
    if (prior)
        step = ctx_step(c, G4, effect_annotate(c, prior, c->s->prior.sts_regional_endpoints), "what it was before us",
                        "~ annotate ServiceAccount kube-system/aws-node with its earlier role %s", prior);
    else
        step = ctx_step(c, G4, effect_unannotate(c), "new pods get the node role again",
                        "- remove the role annotation from ServiceAccount kube-system/aws-node");
    step->event_reason = "AnnotationRestored";
    step->event_note = arena_printf(c->a, "the annotation no longer names %s", sa->role_arn);
    return ctx_wait(c, G4, REASON_RESTORING, 0, "taking the annotation back");
}

static bool new_pods_are_free(struct ctx *c) {
    const char *role = NULL;
    if (!c->w->daemon_set || !c->w->service_account)
        return true;
    if (!dry_run_role(c, G4, POLL_MS, &role))
        return false;
    if (!goes(c, role) || MUTANT(restoring_does_not_await_the_webhook))
        return true;
    return ctx_wait(c, G4, REASON_RESTORING, POLL_MS, "waits until a dry-run pod is not injected with %s any more",
                    role);
}

/* Pods of a DaemonSet that was deleted without them run on, and live on what they have. */
static bool orphans_are_gone(struct ctx *c) {
    for (size_t i = 0; i < c->npods; i++)
        if (bears_role(c, &c->pods[i]))
            return ctx_stall(c, G6, REASON_WORKLOAD_MISSING,
                             "there is no DaemonSet kube-system/aws-node, and pod %s on node %s runs on with the role; "
                             "install the VPC CNI, or delete the pod",
                             c->pods[i].pod->meta.name, c->pods[i].pod->node);
    return true;
}

static bool goes_before(const struct pod_fact *x, const struct pod_fact *y) {
    return x->ready != y->ready && !MUTANT(ready_pods_go_back_first) ? !x->ready
                                                                     : strcmp(x->pod->node, y->pod->node) < 0;
}

/* One that is not Ready goes first: its node has nothing to lose, and any other would be a second node without a pod (S9). */
static const struct pod_fact *pod_with_role(const struct ctx *c) {
    const struct pod_fact *next = NULL;
    for (size_t i = 0; i < c->npods; i++) {
        const struct pod_fact *f = &c->pods[i];
        if (f->ours && bears_role(c, f) && (!next || goes_before(f, next)))
            next = f;
    }
    return next;
}

/* --- what the way back waits for --- */

static size_t terminating(const struct ctx *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->w->npods; i++)
        n += c->w->pods[i]->meta.deletion_ms != 0;
    return n;
}

static int left_to_restore(const struct ctx *c) {
    const struct daemon_set_view *ds = c->w->daemon_set;
    size_t wanted = ds->desired > 0 ? (size_t)ds->desired : 0;
    size_t left = terminating(c) + (wanted > c->npods ? wanted - c->npods : 0);
    for (size_t i = 0; i < c->npods; i++)
        left += !c->pods[i].ready + 2 * (size_t)bears_role(c, &c->pods[i]);
    return (int)left;
}

/* Somebody has to look after one pod: which? */
static const char *who_holds_up(struct ctx *c) {
    for (size_t i = 0; i < c->npods; i++)
        if (!c->pods[i].ready)
            return arena_printf(c->a, "pod %s on node %s is not Ready", c->pods[i].pod->meta.name,
                                c->pods[i].pod->node);
    for (size_t i = 0; i < c->w->npods; i++)
        if (c->w->pods[i]->meta.deletion_ms)
            return arena_printf(c->a, "pod %s on node %s does not end", c->w->pods[i]->meta.name, c->w->pods[i]->node);
    return "the DaemonSet controller does not make the pods that are missing";
}

/* Waits, and says so to people once nothing has come forward for progressDeadlineSeconds (L3); it goes on by itself. */
static bool wait_for_pods(struct ctx *c, enum gate g, const char *what) {
    struct progress *p = c->p;
    int left = left_to_restore(c);
    int deadline_s = c->spec->rollout.progress_deadline_seconds;
    if (p->restore_moved_boot_ms == 0 || left < p->restore_left) {
        p->restore_moved_boot_ms = c->w->now_boot_ms;
        p->restore_left = left;
    }
    if (c->w->now_boot_ms - p->restore_moved_boot_ms < (int64_t)deadline_s * 1000)
        return ctx_wait(c, g, REASON_RESTORING, POLL_MS, "%s", what);
    return ctx_stall(c, g, REASON_POD_NOT_READY,
                     "the way back has not moved for %d s: %s; see with: kubectl -n kube-system get pods -l "
                     "k8s-app=aws-node -o wide; mend or delete that node, it goes on by itself",
                     deadline_s, who_holds_up(c));
}

static bool everyone_present(const struct ctx *c) {
    const struct daemon_set_view *ds = c->w->daemon_set;
    return terminating(c) == 0 && c->npods >= (size_t)(ds->desired > 0 ? ds->desired : 0);
}

static bool restart_once(struct ctx *c) {
    const char *none = name_restart_key(NULL, NULL, false, c->a);
    const struct daemon_set_view *ds = c->w->daemon_set;
    if (ds->on_delete || str_eq(ds->restarted_for, none))
        return true;
    struct step *step =
        ctx_step(c, G5, effect_restart(c, none), "the pods go back to what they lived on before",
                 "~ restart DaemonSet kube-system/aws-node (%s=%s)", CIB_ANNOTATION_RESTARTED_FOR, none);
    c->s->rollout.restart_key = none;
    step->event_reason = "RolloutStarted";
    step->event_note = "restarted DaemonSet aws-node without the role";
    return ctx_wait(c, G5, REASON_RESTORING, POLL_MS, "restarting the DaemonSet without the role");
}

/* One at a time. A broken pod need not be Ready to be replaced, but every other has to be there. */
static bool recreate_one(struct ctx *c, const struct pod_fact *f) {
    if (!everyone_present(c))
        return wait_for_pods(c, G5, "waits for the pod that was re-created last");
    for (size_t i = 0; i < c->npods; i++)
        if (!c->pods[i].ready && !bears_role(c, &c->pods[i]) && c->s->prior.worked)
            return wait_for_pods(c, G5, arena_printf(c->a, "waits until pod %s is Ready", c->pods[i].pod->meta.name));
    struct step *step = ctx_step(c, G5, effect_delete_pod(c, f->pod), "it bears the role that goes",
                                 "~ re-create pod %s on node %s (without the role)", f->pod->meta.name, f->pod->node);
    step->event_reason = "PodRecreated";
    step->event_note = arena_printf(c->a, "deleted pod %s on node %s: back to what it lived on before",
                                    f->pod->meta.name, f->pod->node);
    return ctx_wait(c, G5, REASON_RESTORING, POLL_MS, "re-creating pod %s without the role", f->pod->meta.name);
}

static bool restore_pods(struct ctx *c, enum restore_goal goal) {
    const struct daemon_set_view *ds = c->w->daemon_set;
    const struct pod_fact *f = pod_with_role(c);
    bool one_by_one = goal == RESTORE_ROLLBACK;
    if (!ds)
        return orphans_are_gone(c);
    if (f && !new_pods_are_free(c))
        return false;
    if (f && !one_by_one && !restart_once(c))
        return false;
    if (f && !one_by_one && !ds->on_delete &&
        (ds->meta.generation != ds->observed_generation || ds->updated < ds->desired))
        return wait_for_pods(c, G5, "the DaemonSet rolls out without the role");
    if (f)
        return recreate_one(c, f);
    if (!everyone_present(c) || (c->s->prior.worked && !pods_all_present(c)))
        return wait_for_pods(c, G6, "waits until every pod is Ready without the role");
    c->p->restore_moved_boot_ms = 0;
    return true;
}

static bool role_is_let_go(struct ctx *c) {
    bool known;
    if (!c->role_arn)
        return true;
    if (c->p->freed_boot_ms == 0) {
        if (!new_pods_are_free(c))
            return false;
        c->p->freed_boot_ms = c->w->now_boot_ms;
    }
    int64_t age_ms = c->w->now_boot_ms - c->p->freed_boot_ms;
    const char *user = role_user(c, c->role_arn, age_ms < LIVE_MAX_AGE_MS ? age_ms : LIVE_MAX_AGE_MS, &known);
    if (!known || !user)
        return known;
    return ctx_wait(c, G6, REASON_RESTORING, POLL_MS, "role %s stays as long as %s", c->role_name, user);
}

static bool pods_are_back(struct ctx *c, enum restore_goal goal) {
    return restore_pods(c, goal) && (goal == RESTORE_ROLLBACK || role_is_let_go(c));
}

bool plan_restore(struct ctx *c, enum restore_goal goal) {
    c->earlier_too = goal == RESTORE_DELETE || goal == RESTORE_NODE_ROLE;
    const char *why = goal == RESTORE_DELETE ? "the binding is being deleted" : "aws-node goes back to the node role";
    return plan_reattach(c, G7, why) && soak_reattached(c) &&
           GUARD(absent_workload_is_looked_for, workload_is_known(c)) && restore_annotation(c) &&
           GUARD(pods_are_back, pods_are_back(c, goal));
}
