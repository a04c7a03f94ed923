/*
 * guard.c - G8: as long as a policy is off a node role because of us, anything that needs it brings it back.
 *
 * Never stops: not when suspended, not when other gates fail. The answer depends on the pod's credentials:
 *
 *   a pod on the node role                 -> re-attach at once
 *   an injected pod whose role is broken   -> the planners repair it, suspended too; if a fresh proof still fails after the grace:
 *                                             re-attach, wait, take the annotation off, re-create the pods
 *   MissingIAMPermissions that no repair explains, a pod not Ready or an instance not joined beyond
 *   progressDeadlineSeconds, an undeclared consumer that is no node
 *                                          -> re-attach
 *
 * After it fired, a detachment needs a new approval, Automatic included.
 */
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"
#include "reconcilers/policy_document.h"

#define BROKEN_GRACE_MS 60000
#define EVENT_FRESH_MS 300000
#define EVENT_GRACE_MS 30000
#define ATTACH_ANSWER_AGE_MS 3600000
#define FIRED_IS_NEWS_MS 600000

static struct strlist without(struct ctx *c, const struct strlist *l, const char *s) {
    struct strlist rest = {0};
    for (size_t i = 0; i < l->n; i++)
        if (!str_eq(l->v[i], s))
            strlist_add(&rest, l->v[i], c->a);
    return rest;
}

/* One policy: true when it is attached again. Nothing is read first: the attach is idempotent, and must not wait for an answer. */
static bool reattach_one(struct ctx *c, enum gate g, struct cib_node_role *r, const char *policy, const char *why) {
    /* Our own attach since the detachment: absorbing a detach forgets what was known of that role before it. */
    if (attach_succeeded(c, r->name, policy, ATTACH_ANSWER_AGE_MS)) {
        r->detached = without(c, &r->detached, policy);
        if (!strlist_has(&r->attached, policy))
            strlist_add(&r->attached, policy, c->a);
        r->intent = (struct cib_intent){0};
        c->p->restore_boot_ms = c->w->now_boot_ms;
        return true;
    }
    struct step *step =
        ctx_step(c, g, effect_attach(c, r->name, policy), why, "+ attach %s to node role %s again", policy, r->name);
    step->event_reason = "PolicyReattached";
    step->event_note = arena_printf(c->a, "attached %s to node role %s again: %s", policy, r->name, why);
    return false;
}

bool plan_reattach(struct ctx *c, enum gate g, const char *why) {
    if (GUARD(policies_are_back, !ctx_anything_detached(c)))
        return true;
    for (size_t i = 0; i < (MUTANT(only_the_first_role_is_reattached) ? 1 : c->s->nnode_roles); i++) {
        struct cib_node_role *r = &c->s->node_roles[i];
        struct strlist owed = r->detached;
        for (size_t j = 0; j < owed.n; j++)
            if (!reattach_one(c, g, r, owed.v[j], why)) {
                if (!c->missing_reads)
                    ctx_wait(c, g, REASON_RESTORING, 0, "attaching %s to node role %s again: %s", owed.v[j], r->name,
                             why);
                return false;
            }
    }
    return true;
}

/* --- triggers --- */

static const char *pod_on_node_role(struct ctx *c) {
    for (size_t i = 0; i < c->npods; i++)
        if (c->pods[i].state == POD_NODE && !str_empty(c->pods[i].pod->node))
            return arena_printf(c->a, "pod %s on node %s lives on the node role", c->pods[i].pod->meta.name,
                                c->pods[i].pod->node);
    return NULL;
}

static const struct pod_fact *pod_of_event(const struct ctx *c, const struct event_view *e) {
    for (size_t i = 0; i < c->npods; i++)
        if (str_eq(c->pods[i].pod->meta.uid, e->regarding_uid))
            return &c->pods[i];
    return NULL;
}

/* A complaint counts while it is fresh and newer than the detachment; an injected pod's is left to the repair for a while. */
static const char *missing_permissions(struct ctx *c, bool repairing) {
    int64_t detached_at = 0;
    for (size_t i = 0; i < c->s->nnode_roles; i++)
        if (c->s->node_roles[i].detached.n && c->s->node_roles[i].probed_ms > detached_at)
            detached_at = c->s->node_roles[i].probed_ms;
    for (size_t i = 0; i < c->w->nevents; i++) {
        const struct event_view *e = c->w->events[i];
        const struct pod_fact *f = pod_of_event(c, e);
        if (!f || e->last_ms < detached_at || c->w->now_wall_ms - e->last_ms > EVENT_FRESH_MS)
            continue;
        if (f->state == POD_TARGET && f->ready)
            continue; /* it recovered */
        if (f->state == POD_TARGET && (repairing || c->w->now_wall_ms - e->last_ms < EVENT_GRACE_MS)) {
            ctx_requeue(c, POLL_MS);
            continue;
        }
        return arena_printf(c->a, "pod %s reports MissingIAMPermissions (%s)", f->pod->meta.name,
                            str_or(e->action, "?"));
    }
    return NULL;
}

static const char *unready_too_long(struct ctx *c) {
    const char *who = NULL;
    for (size_t i = 0; i < c->npods && !who; i++)
        if (!c->pods[i].ready)
            who = c->pods[i].pod->meta.name;
    if (!who) {
        c->p->unready_since_boot_ms = 0;
        return NULL;
    }
    if (c->p->unready_since_boot_ms == 0)
        c->p->unready_since_boot_ms = c->w->now_boot_ms;
    int64_t left =
        (int64_t)c->spec->rollout.progress_deadline_seconds * 1000 - (c->w->now_boot_ms - c->p->unready_since_boot_ms);
    if (left > 0) {
        ctx_requeue(c, left);
        return NULL;
    }
    return arena_printf(c->a, "pod %s is not Ready for %d s", who, c->spec->rollout.progress_deadline_seconds);
}

static void fire(struct ctx *c, const char *why) {
    if (!c->s->guard.fired) {
        c->s->guard.fired = true;
        c->s->guard.reason = arena_strdup(c->a, why);
        c->s->guard.at_ms = c->w->now_wall_ms;
        c->s->approval.used = true; /* a new detachment needs a new approval */
    }
}

static bool answer(struct ctx *c, const char *why) {
    fire(c, why);
    bool may_act = c->may_act;
    c->may_act = c->spec->mode == CIB_MODE_ENFORCE; /* suspend does not stop the guard */
    bool done = plan_reattach(c, G8, c->s->guard.reason);
    c->may_act = may_act;
    ctx_condition(c, "GuardActive", c->spec->mode == CIB_MODE_ENFORCE ? CIB_CONDITION_TRUE : CIB_CONDITION_FALSE,
                  c->spec->mode == CIB_MODE_ENFORCE ? REASON_GUARD_FIRED : REASON_MODE_FORBIDS, c->s->guard.reason);
    ctx_requeue(c, POLL_MS);
    return done;
}

static const char *alarm(struct ctx *c) {
    const char *why = pod_on_node_role(c);
    if (!GUARD(no_pod_on_the_node_role, !why))
        return why;
    why = missing_permissions(c, c->p->repair_since_boot_ms != 0 || c->p->failing_since_boot_ms != 0);
    if (!GUARD(no_pod_reports_missing_permissions, !why))
        return why;
    why = unready_too_long(c);
    return GUARD(no_pod_is_unready_too_long, !why) ? NULL : why;
}

bool plan_guard(struct ctx *c) {
    if (!ctx_anything_detached(c))
        return true;
    const char *why = c->s->guard.fired ? str_or(c->s->guard.reason, "the guard fired") : NULL;
    if (!why)
        why = alarm(c);
    return why ? answer(c, why) : true;
}

/* --- an injected pod whose role is broken --- */

/* Fresh, whatever the other gates say: an injected pod never falls back to the node role. False: reads are missing. */
static bool judge_role(struct ctx *c, const char **why) {
    *why = NULL;
    bool suspicious = c->p->repair_since_boot_ms != 0 || c->ntarget_ready < c->ntarget;
    const struct effect *e = effect_prove_role(c, c->role_arn);
    const struct observation *o = ctx_read(c, e, suspicious ? POLL_MS : c->w->config->aws_audit_interval_ms);
    if (!o)
        return false;
    *why = proof_refusal(c, o);
    if (!*why) {
        if (o->error.code == ERR_NONE)
            c->p->repair_since_boot_ms = 0;
        return true;
    }
    if (c->p->repair_since_boot_ms == 0)
        c->p->repair_since_boot_ms = c->w->now_boot_ms;
    return true;
}

static int64_t broken_grace_ms(const struct ctx *c) {
    int64_t deadline = (int64_t)c->spec->rollout.progress_deadline_seconds * 1000;
    return deadline < BROKEN_GRACE_MS ? deadline : BROKEN_GRACE_MS;
}

bool judge_injected_pods(struct ctx *c) {
    const char *why = NULL;
    if (c->ntarget == 0 || !judge_role(c, &why))
        return c->ntarget == 0;
    if (GUARD(role_of_injected_pods_works, !why))
        return true;
    int64_t left = broken_grace_ms(c) - (c->w->now_boot_ms - c->p->repair_since_boot_ms);
    if (left > 0) {
        ctx_requeue(c, left < POLL_MS ? left : POLL_MS);
        return true; /* the planners repair what they find meanwhile */
    }
    const char *text = arena_printf(c->a, "the role of the injected pods does not work: %s", why);
    if (ctx_anything_detached(c))
        return answer(c, text) && false;
    if (c->spec->mode == CIB_MODE_ENFORCE && !str_has_prefix(c->s->phase, "RollingBack")) {
        c->s->phase = "RollingBack";
        ctx_note(c, true, "RollbackStarted", "Rollback",
                 "%s; the annotation is taken off and the injected pods are re-created", text);
    }
    return true;
}

/* An undeclared consumer that appears after the detachment (a new instance has progressDeadlineSeconds to join). */
bool judge_consumers(struct ctx *c) {
    if (!ctx_anything_detached(c) || !c->roles_known)
        return true;
    for (size_t i = 0; i < c->nroles; i++) {
        struct cib_node_role *s = ctx_status_role(c, c->roles[i].arn, false);
        if (!s || s->detached.n == 0)
            continue;
        if (!observe_consumers(c, &c->roles[i], G8))
            return false;
        if (GUARD(no_consumer_came_later, !c->roles[i].foreign))
            continue;
        if (c->p->foreign_since_boot_ms == 0)
            c->p->foreign_since_boot_ms = c->w->now_boot_ms;
        int64_t left = (int64_t)c->spec->rollout.progress_deadline_seconds * 1000 -
                       (c->w->now_boot_ms - c->p->foreign_since_boot_ms);
        if (left > 0) {
            ctx_requeue(c, left);
            return true;
        }
        return answer(c, c->roles[i].foreign) && false;
    }
    c->p->foreign_since_boot_ms = 0;
    return true;
}

/* Told by every process that finds it in status while it is news: one that ends right after it fired may not have got it out. */
static void tell_that_it_fired(struct ctx *c) {
    int64_t fired_s = c->s->guard.at_ms / 1000; /* status keeps seconds */
    if (!c->s->guard.fired || fired_s == c->p->guard_told_s || c->w->now_wall_ms - c->s->guard.at_ms > FIRED_IS_NEWS_MS)
        return;
    c->p->guard_told_s = fired_s;
    ctx_note(c, true, "GuardFired", "Reattach", "%s: the CNI policy goes back to the node roles", c->s->guard.reason);
}

void report_guard(struct ctx *c) {
    bool watching = ctx_anything_detached(c);
    tell_that_it_fired(c);
    if (c->s->guard.fired) {
        if (!watching)
            ctx_condition(c, "GuardActive", CIB_CONDITION_FALSE, REASON_GUARD_FIRED, c->s->guard.reason);
    } else if (watching && c->spec->mode != CIB_MODE_ENFORCE) {
        ctx_condition(c, "GuardActive", CIB_CONDITION_FALSE, REASON_MODE_FORBIDS,
                      "a policy is off a node role and this mode writes nothing: set spec.mode: Enforce");
    } else if (watching) {
        ctx_condition(c, "GuardActive", CIB_CONDITION_TRUE, REASON_WATCHING,
                      "every pod has its own role; the policy comes back if one needs it");
    } else {
        ctx_condition(c, "GuardActive", CIB_CONDITION_FALSE, REASON_NOT_NEEDED, "the node roles have their policy");
    }
    if (c->s->guard.fired)
        ctx_set_gate(c, G8, CIB_GATE_FAILED, c->s->guard.reason);
    else
        ctx_set_gate(c, G8, watching ? CIB_GATE_PASSED : CIB_GATE_PENDING, watching ? "watching" : "nothing to guard");
}
