/* reconcile.c - the order of one decision. Each line of decide() is a gate or what has to be known for it. */
#include "reconcilers/reconcile.h"

#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"

static void copy_mutable_status(struct ctx *c) {
    struct cib_status *s = c->s;
    if (s->nnode_roles) {
        struct cib_node_role *copy = ARENA_ARRAY(c->a, s->nnode_roles, struct cib_node_role);
        memcpy(copy, s->node_roles, s->nnode_roles * sizeof *copy);
        for (size_t i = 0; i < s->nnode_roles; i++) {
            struct strlist attached = {0}, detached = {0};
            for (size_t j = 0; j < copy[i].attached.n; j++)
                strlist_add(&attached, copy[i].attached.v[j], c->a);
            for (size_t j = 0; j < copy[i].detached.n; j++)
                strlist_add(&detached, copy[i].detached.v[j], c->a);
            copy[i].attached = attached;
            copy[i].detached = detached;
        }
        s->node_roles = copy;
    }
    s->plan.steps = (struct strlist){0};
}

static void begin(struct ctx *c, const struct world *w, const struct progress *p, struct arena *a,
                  struct decision *out) {
    memset(out, 0, sizeof *out);
    memset(c, 0, sizeof *c);
    out->status = w->binding->status;
    out->progress = *p;
    c->w = w;
    c->b = w->binding;
    c->spec = &w->binding->spec;
    c->a = a;
    c->d = out;
    c->p = &out->progress;
    c->s = &out->status;
    if (!str_eq(c->p->binding_uid, c->b->uid)) {
        memset(c->p, 0, sizeof *c->p);
        str_copy(c->p->binding_uid, sizeof c->p->binding_uid, c->b->uid);
    }
    c->may_act =
        GUARD(mode_enforces, c->spec->mode == CIB_MODE_ENFORCE) && (!c->spec->suspend || MUTANT(suspend_is_ignored));
    /* Until the spec is read anew, the role is the one that the pods were given. */
    c->role_arn = str_or(c->s->rollout.role_arn, c->s->role.arn);
    c->role_name = c->s->role.name;
    copy_mutable_status(c);
    for (int g = G1; g <= G8; g++)
        c->s->gates[g].name = gate_name((enum gate)g);
}

/* --- rollback --- */

static bool in_phase(const struct ctx *c, const char *phase) {
    return str_has_prefix(c->s->phase, phase);
}

static bool roll_back(struct ctx *c) {
    bool may_act = c->may_act;
    c->may_act = c->spec->mode == CIB_MODE_ENFORCE;
    bool done = plan_restore(c, RESTORE_ROLLBACK) && !c->missing_reads;
    c->may_act = may_act;
    if (!done)
        return false;
    c->s->phase = arena_printf(c->a, "RolledBack/%lld", (long long)c->b->generation);
    c->s->rollout.canary_uid = NULL;
    c->s->rollout.annotated_ms = 0;
    c->s->gates[G5].since_ms = 0;
    c->s->gates[G5].state = CIB_GATE_PENDING;
    ctx_note(c, true, "RolledBack", "Rollback", "every pod is back on what it lived on before");
    ctx_requeue(c, 1);
    return true;
}

/* After a rollback the next try needs a changed spec, or ten minutes and a role that is proven again. */
static bool may_try_again(struct ctx *c) {
    if (!in_phase(c, "RolledBack"))
        return true;
    bool changed = !str_eq(c->s->phase, arena_printf(c->a, "RolledBack/%lld", (long long)c->b->generation));
    int64_t since = c->s->gates[G5].state == CIB_GATE_FAILED ? c->s->gates[G5].since_ms : c->w->now_wall_ms;
    bool clock_went_back = c->w->now_wall_ms < since; /* nobody knows how long ago it was */
    if (changed || clock_went_back || c->w->now_wall_ms - since >= ROLLBACK_RETRY_MS) {
        c->s->phase = NULL;
        c->p->progress_boot_ms = 0;
        c->p->repair_since_boot_ms = 0;
        return true;
    }
    return ctx_stall(c, G5, REASON_ROLLED_BACK,
                     "the role stopped working under the pods that had it, or a pod did not become Ready; every pod is "
                     "back on what it lived on "
                     "before; find the cause (kubectl get events -n kube-system), then change the spec, or wait: it is "
                     "tried again every ten minutes");
}

/* --- identity NodeRole --- */

static void not_applicable(struct ctx *c, enum gate from, enum gate to, const char *why) {
    for (int g = (int)from; g <= (int)to; g++) {
        ctx_gate_not_applicable(c, (enum gate)g, why);
        if (g != G8)
            ctx_condition(c, gate_condition((enum gate)g), CIB_CONDITION_FALSE, REASON_NOT_NEEDED, why);
    }
}

static void stay_on_node_role(struct ctx *c) {
    c->role_name = c->s->role.name;
    c->role_arn = c->s->role.arn;
    observe_pods(c);
    const char *lacks = NULL;
    if (c->role_arn && !(plan_reattach(c, G7, "identity.type is NodeRole") && node_roles_carry(c, &lacks)))
        return;
    if (lacks) {
        ctx_stall(
            c, G5, REASON_PERMISSIONS_INCOMPLETE,
            "node role %s does not grant the CNI's permissions, its pods would be without; attach the policy with: "
            "aws iam attach-role-policy --role-name %s --policy-arn arn:%s:iam::aws:policy/AmazonEKS_CNI_Policy",
            lacks, name_of_arn(lacks), c->partition);
        return;
    }
    if (c->role_arn && !(plan_restore(c, RESTORE_NODE_ROLE) && plan_cleanup(c)))
        return;
    if (c->missing_reads)
        return;
    c->s->role.arn = c->s->role.name = c->s->role.id = NULL;
    c->s->role.created = false;
    c->s->provider.arn = NULL;
    not_applicable(c, G1, G7, "spec.identity.type is NodeRole");
}

/* --- the gates, in order --- */

static bool know_the_cluster(struct ctx *c) {
    if (c->spec->identity == CIB_IDENTITY_POD_IDENTITY)
        return ctx_stall(c, G1, REASON_NOT_YET, "spec.identity.type PodIdentity is not supported yet; use IRSA");
    return observe_cluster(c) && observe_eligibility(c);
}

/* Suspend does not stop the guard (G8), and the first thing that it does for injected pods is to repair what they live on. */
static bool guard_repairs(const struct ctx *c) {
    return c->spec->suspend && c->spec->mode == CIB_MODE_ENFORCE && c->ntarget > 0 && c->p->repair_since_boot_ms != 0;
}

static void plan_identity(struct ctx *c) {
    bool may_act = c->may_act;
    c->repairs_only = guard_repairs(c);
    c->may_act = may_act || c->repairs_only;
    plan_provider(c);
    plan_role(c);
    plan_permissions(c);
    c->may_act = may_act;
}

/* What nobody uses any more. No gate waits for it, and it waits for none but the proof that pods have what they need. */
static void tidy_up(struct ctx *c) {
    bool proven = c->s->role.earlier.n > 0 && c->may_act;
    for (int g = G1; g <= G6; g++)
        proven = proven && ctx_gate_passed(c, (enum gate)g);
    if (!proven)
        c->p->earlier_unused_boot_ms = 0;
    if (!proven || ctx_has_step(c) || c->missing_reads)
        return;
    bool blocked = c->blocked;
    c->blocked = false;
    (void)cleanup_earlier_roles(c, false);
    c->blocked = blocked;
}

static void pass_gates(struct ctx *c) {
    if (!observe_node_roles(c, G2) || (!MUTANT(finalizer_after_the_effects) && !plan_finalizer(c)))
        return;
    plan_identity(c);
    if (c->missing_reads || (MUTANT(finalizer_after_the_effects) && !plan_finalizer(c)))
        return;
    observe_pods(c); /* the role's ARN is known as IAM states it */
    prove_role(c);
    if (c->missing_reads)
        return;
    if (!c->blocked && !may_try_again(c))
        return;
    plan_annotation(c);
    if (!c->missing_reads)
        plan_rollout(c);
    if (c->missing_reads)
        return;
    prove_pods(c);
    if (!judge_injected_pods(c) || c->missing_reads)
        return;
    plan_cutover(c);
    if (!c->missing_reads && judge_consumers(c))
        tidy_up(c);
}

static void go_forward(struct ctx *c) {
    /* The way back needs neither AWS facts nor eligibility. */
    if (in_phase(c, "RollingBack") && !roll_back(c))
        return;
    if (!know_the_cluster(c)) {
        if (!c->missing_reads)
            judge_injected_pods(c); /* the guard and the way back go on when nothing else can */
        return;
    }
    if (c->spec->identity == CIB_IDENTITY_NODE_ROLE) {
        stay_on_node_role(c);
        return;
    }
    if (desire_role(c)) {
        observe_pods(c);
        pass_gates(c);
    }
}

static bool a_newer_leader_wrote(struct ctx *c) {
    if (GUARD(no_newer_leader, c->w->epoch < 0 || c->s->epoch <= c->w->epoch))
        return false; /* below 0: nobody is elected, there is no other */
    c->may_act = false;
    c->s->epoch = c->w->binding->status.epoch;
    ctx_requeue(c, POLL_MS);
    return true;
}

/* detach: Never gives back at once, whatever holds up the other gates. */
static bool turned_off_gives_back(struct ctx *c) {
    if (c->spec->node_role.detach != CIB_DETACH_NEVER || !c->may_act || c->b->spec_error)
        return true;
    return plan_reattach(c, G7, "spec.nodeRole.detach is Never");
}

void reconcile_decide(const struct world *w, const struct progress *p, struct arena *a, struct decision *out) {
    struct ctx ctx, *c = &ctx;
    begin(c, w, p, a, out);
    if (a_newer_leader_wrote(c)) {
        out->status = w->binding->status;
        return;
    }
    observe_pods(c);
    if (c->b->deletion_ms) {
        plan_finalize(c);
    } else if (plan_guard(c) && turned_off_gives_back(c) && !c->missing_reads) {
        if (c->b->spec_error)
            ctx_stall(c, G1, REASON_INVALID_SPEC, "%s", c->b->spec_error);
        else
            go_forward(c);
    }
    /* Foreign changes in AWS are noticed by looking: nothing announces them. */
    ctx_requeue(c, w->config->aws_audit_interval_ms);
    report(c);
}
