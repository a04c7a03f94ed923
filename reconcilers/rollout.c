/*
 * rollout.c - G5: one canary, then the rest, never twice for one injection (S9).
 *
 *   no pod has the role        -> delete one Ready pod: the canary     [DaemonSet settled, or nothing worked before]
 *   some have it, not Ready    -> wait; at the deadline: fail          -> restore.c (rollback)
 *   canary Ready for settle    -> restart key on the pod template      [once: the key is a hash of the injection]
 *   template carries the key   -> follow the rollout; no progress by the deadline: fail
 *   rollout over, some missed  -> delete them one by one, each only when all others are Ready and a dry run is injected
 *   OnDelete                   -> like the last line from the start
 */
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"

const struct effect *effect_restart(struct ctx *c, const char *key) {
    json *ds = json_object();
    json_add_str(ds, "apiVersion", "apps/v1");
    json_add_str(ds, "kind", "DaemonSet");
    json *meta = json_add_object(ds, "metadata");
    json_add_str(meta, "name", "aws-node");
    json_add_str(meta, "namespace", "kube-system");
    json_add_str(meta, "uid", c->w->daemon_set->meta.uid);
    json *template_meta = json_add_object(json_add_object(json_add_object(ds, "spec"), "template"), "metadata");
    json_add_str(json_add_object(template_meta, "annotations"), CIB_ANNOTATION_RESTARTED_FOR, key);
    struct effect *e = effect_new(c->a, EFFECT_K8S_APPLY, "resource", "daemonsets", "namespace", "kube-system", "name",
                                  "aws-node", "fieldManager", FIELD_MANAGER, "force", "true", NULL);
    e->body = json_print_arena(ds, c->a);
    json_free(ds);
    return e;
}

static int64_t deadline_ms(const struct ctx *c) {
    return (int64_t)c->spec->rollout.progress_deadline_seconds * 1000;
}

static bool is_not_target(const struct pod_fact *f) {
    return f->state != POD_TARGET;
}

static bool is_ready_not_target(const struct pod_fact *f) {
    return f->state != POD_TARGET && f->ready;
}

/* No forward movement of `marker` for the deadline? While status can not be written we do nothing, and nothing else is late. */
static bool overdue(struct ctx *c, int marker) {
    struct progress *p = c->p;
    if (p->progress_boot_ms == 0 || p->progress_marker != marker || c->w->status_refused) {
        p->progress_boot_ms = c->w->now_boot_ms;
        p->progress_marker = marker;
    }
    int64_t left = deadline_ms(c) - (c->w->now_boot_ms - p->progress_boot_ms);
    if (left > 0)
        ctx_requeue(c, left);
    return left <= 0;
}

/* A pod that could not be deleted was missed by nobody, and for as long nothing else could move. */
static bool deletion_failed(const struct ctx *c) {
    const struct effect *e = c->w->last_error ? c->w->last_effect : NULL;
    return e && e->kind == EFFECT_K8S_DELETE;
}

/* Pods that the webhook misses again and again are not re-created without end: after the deadline one more for each
 * deadline. */
static bool may_try_another(struct ctx *c, int marker) {
    struct progress *p = c->p;
    int64_t now = c->w->now_boot_ms;
    if (deletion_failed(c)) {
        p->progress_boot_ms = now;
        p->retried_boot_ms = 0;
        return true;
    }
    if (!overdue(c, marker)) {
        p->retried_boot_ms = 0;
        return true;
    }
    bool first = p->retried_boot_ms == 0;
    if (!first && now - p->retried_boot_ms < deadline_ms(c))
        return false;
    p->retried_boot_ms = now;
    return !first;
}

/* What is tried once more after the deadline has a deadline of its own. */
static bool has_failed(struct ctx *c, int marker) {
    if (!overdue(c, marker))
        return false;
    int64_t left = deadline_ms(c) - (c->w->now_boot_ms - c->p->retried_boot_ms);
    bool tried = c->p->retried_boot_ms != 0 && left > 0;
    if (tried)
        ctx_requeue(c, left);
    return !tried;
}

static bool webhook_misses(struct ctx *c) {
    return ctx_stall(c, G5, REASON_WEBHOOK_NOT_INJECTING,
                     "%zu pods still live on the node role although a pod was re-created: the webhook misses them; the "
                     "node role keeps its "
                     "policy; see with: kubectl get mutatingwebhookconfigurations pod-identity-webhook",
                     c->npods - c->ntarget);
}

static bool delete_one(struct ctx *c, const struct pod_fact *f, const char *why, const char *what) {
    struct step *step = ctx_step(c, G5, effect_delete_pod(c, f->pod), why, "~ re-create pod %s on node %s (%s)",
                                 f->pod->meta.name, f->pod->node, what);
    step->event_reason = "PodRecreated";
    step->event_note = arena_printf(c->a, "deleted pod %s on node %s: %s", f->pod->meta.name, f->pod->node, what);
    return true;
}

static bool is_unready_not_target(const struct pod_fact *f) {
    return f->state != POD_TARGET && !f->ready;
}

static const char *node_role_that_grants_nothing(const struct ctx *c) {
    for (size_t i = 0; i < c->nroles && !c->s->prior.role_arn; i++)
        if (!c->roles[i].grants_cni)
            return c->roles[i].arn;
    return NULL;
}

/* S1: there is no way back to nothing. A pod that never had anything may be tried again, now and then. */
static bool stay(struct ctx *c, const char *why, const char *lacks) {
    const struct pod_fact *f = pick_pod(c, is_unready_not_target);
    if (f && may_try_another(c, (int)c->ntarget_ready))
        return prove_again(c) && delete_one(c, f, "it has no permissions and was not injected", "not injected") &&
               ctx_wait(c, G5, REASON_ROLLING_OUT, POLL_MS, "re-creating pod %s, which was not injected",
                        f->pod->meta.name);
    return ctx_stall(
        c, G5, REASON_POD_NOT_READY,
        "%s; it is not rolled back: node role %s grants the CNI nothing, and pods that are Ready would be without "
        "permissions; see with: kubectl -n kube-system get pods -l k8s-app=aws-node -o wide; mend or delete the "
        "nodes whose pod is not Ready, it goes on by itself",
        why, lacks);
}

static bool fail(struct ctx *c, const char *why) {
    const char *lacks = node_role_that_grants_nothing(c);
    if (!GUARD(rollback_takes_nothing, !lacks || c->ntarget_ready == 0))
        return stay(c, why, lacks);
    c->s->phase = "RollingBack";
    ctx_note(c, true, "RollbackStarted", "Rollback",
             "%s; the annotation is taken off and the injected pods are re-created", why);
    ctx_requeue(c, 1);
    return ctx_wait(c, G5, REASON_ROLLING_BACK, 1, "%s: rolling back", why);
}

static bool start_canary(struct ctx *c) {
    bool bootstrap = !c->s->prior.worked && c->nready == 0;
    if (!GUARD(canary_waits_for_health, bootstrap || (daemon_set_settled(c) && pods_all_present(c))))
        return ctx_wait(c, G5, REASON_WAITING, POLL_MS,
                        "the DaemonSet is in the middle of a rollout or not healthy; the canary starts when all of its "
                        "pods are Ready");
    if (c->s->rollout.canary_uid && !may_try_another(c, 0))
        return webhook_misses(c);
    const struct pod_fact *f = pick_pod(c, bootstrap ? is_not_target : is_ready_not_target);
    if (!f)
        return ctx_wait(c, G5, REASON_WAITING, POLL_MS, "no pod that could be the canary");
    if (!prove_again(c))
        return false;
    delete_one(c, f, "one pod goes first: from then on its node lives on the role", "canary");
    /* L8: again the same one is no news; written, it would wake the next try. */
    if (!str_eq(c->s->rollout.canary_uid, f->pod->meta.uid))
        c->s->rollout.canary_ms = c->w->now_wall_ms;
    c->s->rollout.canary_uid = f->pod->meta.uid;
    c->p->canary_ready_boot_ms = 0;
    return ctx_wait(c, G5, REASON_CANARY, POLL_MS, "re-creating pod %s on node %s as the canary", f->pod->meta.name,
                    f->pod->node);
}

static bool watch_canary(struct ctx *c) {
    int64_t now = c->w->now_boot_ms;
    if (!MUTANT(canary_need_not_be_ready) && (c->ntarget_ready < c->ntarget || !pods_fit(c))) {
        c->p->canary_ready_boot_ms = 0;
        if (has_failed(c, (int)c->ntarget_ready))
            return fail(c, "the canary was not Ready within progressDeadlineSeconds");
        return ctx_wait(c, G5, REASON_CANARY, POLL_MS, "waits until the canary is Ready");
    }
    c->p->progress_boot_ms = 0;
    if (c->p->canary_ready_boot_ms == 0)
        c->p->canary_ready_boot_ms = now;
    int64_t left = (int64_t)c->spec->rollout.settle_seconds * 1000 - (now - c->p->canary_ready_boot_ms);
    if (left > 0 && !MUTANT(canary_does_not_settle))
        return ctx_wait(c, G5, REASON_CANARY, left, "the canary is Ready with the role; settles for %d s",
                        c->spec->rollout.settle_seconds);
    return true;
}

static bool restart_daemon_set(struct ctx *c) {
    if (!prove_again(c))
        return false;
    const char *key =
        MUTANT(restart_key_is_the_time) ? arena_printf(c->a, "%lld", (long long)c->w->now_wall_ms) : c->restart_key;
    struct step *step =
        ctx_step(c, G5, effect_restart(c, key), "the canary holds: all other pods follow",
                 "~ restart DaemonSet kube-system/aws-node (%s=%s)", CIB_ANNOTATION_RESTARTED_FOR, c->restart_key);
    c->s->rollout.restart_key = c->restart_key;
    c->p->progress_boot_ms = 0;
    step->event_reason = "RolloutStarted";
    step->event_note = arena_printf(c->a, "restarted DaemonSet aws-node for %s", c->role_arn);
    return ctx_wait(c, G5, REASON_ROLLING_OUT, POLL_MS, "restarting the DaemonSet");
}

static bool follow_rollout(struct ctx *c) {
    if (has_failed(c, (int)c->ntarget_ready))
        return fail(c, "the rollout did not move for progressDeadlineSeconds");
    return ctx_wait(c, G5, REASON_ROLLING_OUT, POLL_MS, "%zu of %zu pods have the role and are Ready", c->ntarget_ready,
                    c->npods);
}

/* Pods that the webhook missed, and all pods of an OnDelete DaemonSet. G4 has just seen a dry-run pod injected. */
static bool recreate_stragglers(struct ctx *c) {
    if (!pods_fit(c) && !MUTANT(missed_pods_go_all_at_once))
        return follow_rollout(c);
    if (!may_try_another(c, (int)c->ntarget))
        return webhook_misses(c);
    const struct pod_fact *f = pick_pod(c, is_not_target);
    if (!f)
        return ctx_stall(c, G5, REASON_PODS_UNPROVEN,
                         "a pod with the label k8s-app=aws-node is not controlled by DaemonSet aws-node and has no "
                         "identity; remove it");
    if (!prove_again(c))
        return false;
    delete_one(c, f, "it was not injected when it was created", str_or(f->defect, "not injected"));
    return ctx_wait(c, G5, REASON_ROLLING_OUT, POLL_MS, "re-creating pod %s: %s", f->pod->meta.name,
                    str_or(f->defect, ""));
}

static void describe(struct ctx *c) {
    if (c->ntarget == 0 && c->npods > 0)
        ctx_plan_line(c, "~ re-create one aws-node pod as the canary, prove it, let it settle");
    if (c->w->daemon_set && c->w->daemon_set->on_delete)
        ctx_plan_line(c, "~ re-create the %zu other pods one by one (updateStrategy OnDelete)", c->npods - c->ntarget);
    else if (c->w->daemon_set && !str_eq(c->w->daemon_set->restarted_for, c->restart_key))
        ctx_plan_line(c, "~ restart DaemonSet kube-system/aws-node (%s=%s)", CIB_ANNOTATION_RESTARTED_FOR,
                      c->restart_key);
}

bool plan_rollout(struct ctx *c) {
    const struct daemon_set_view *ds = c->w->daemon_set;
    if (c->npods == 0) {
        if (ds->desired > 0)
            return ctx_wait(c, G5, REASON_WAITING, POLL_MS, "the DaemonSet wants %d pods and none is there",
                            ds->desired);
        return ctx_pass(c, G5, REASON_NO_NODES, "no node runs aws-node: nothing to restart");
    }
    if (c->ntarget == c->npods) {
        c->p->canary_ready_boot_ms = 0;
        /* The canary is of the old template: the rollout replaces it once more. No deadline here: every pod has the role, and a rollout
         * of somebody else's that hangs is no reason to take it back. */
        bool ours = str_eq(ds->restarted_for, c->restart_key) && !ds->on_delete;
        if (ours && !daemon_set_settled(c) && !ctx_anything_detached(c))
            return ctx_wait(c, G5, REASON_ROLLING_OUT, POLL_MS, "every pod has the role; the rollout is not over yet");
        return ctx_pass(c, G5, REASON_ROLLED_OUT, "every pod was created with the role");
    }
    if (c->blocked || c->missing_reads || !c->may_act) {
        describe(c);
        ctx_pending(c, G5);
        c->blocked = true;
        return false;
    }
    if (!GUARD(canary_goes_first, c->ntarget > 0))
        return start_canary(c);
    bool restarted = ds->on_delete || str_eq(ds->restarted_for, c->restart_key);
    if (!restarted)
        return watch_canary(c) && restart_daemon_set(c);
    if (!daemon_set_settled(c) && !MUTANT(missed_pods_go_all_at_once))
        return follow_rollout(c);
    return recreate_stragglers(c);
}

/* --- G6 --- */

bool prove_pods(struct ctx *c) {
    const struct daemon_set_view *ds = c->w->daemon_set;
    if (c->npods == 0 && ds->desired == 0)
        return ctx_pass(c, G6, REASON_NO_NODES, "no node runs aws-node");
    for (size_t i = 0; i < c->npods; i++)
        if (c->pods[i].state != POD_TARGET) {
            if (c->blocked)
                return ctx_pending(c, G6), false;
            return ctx_wait(c, G6, REASON_PODS_UNPROVEN, POLL_MS, "pod %s on node %s: %s", c->pods[i].pod->meta.name,
                            c->pods[i].pod->node, str_or(c->pods[i].defect, "unproven"));
        }
    if (!GUARD(every_pod_is_ready, pods_all_present(c)))
        return ctx_wait(c, G6, REASON_PODS_UNPROVEN, POLL_MS, "%zu of %d pods are Ready with the role",
                        c->ntarget_ready, ds->desired);
    return ctx_pass(c, G6, REASON_PROVEN, "%zu of %zu pods run with %s", c->ntarget_ready, c->npods, c->role_arn);
}
