/* report.c - Ready, Reconciling, Stalled by the kstatus rules (K-S1..K-S3); the rest was set by the planners. */
#include <string.h>

#include "reconcilers/context.h"

static bool cutover_is_due(const struct ctx *c) {
    const struct cib_status *s = c->s;
    if (c->spec->node_role.detach == CIB_DETACH_NEVER)
        return false;
    bool open_approval = s->approval.digest && !s->approval.used;
    /* Automatic is for the first detachment: what comes later, a node role that appears, is asked for again. */
    return open_approval ||
           (c->spec->node_role.detach == CIB_DETACH_AUTOMATIC && !s->guard.fired && !s->approval.digest);
}

static bool everything_holds(const struct ctx *c) {
    for (int g = G1; g <= G6; g++) {
        enum cib_gate_state state = c->s->gates[g].state;
        if (state != CIB_GATE_PASSED && state != CIB_GATE_NOT_APPLICABLE)
            return false;
    }
    enum cib_gate_state cutover = c->s->gates[G7].state;
    if (!cutover_is_due(c) || cutover == CIB_GATE_PASSED || cutover == CIB_GATE_NOT_APPLICABLE)
        return true;
    const struct cib_condition *n = cib_condition_find(c->s, "NodeRoleDetached");
    return n && str_eq(n->reason, REASON_OTHER_GRANT);
}

static void set_abnormal(struct ctx *c, const char *type, bool on, const char *reason, const char *message) {
    if (on)
        ctx_condition(c, type, CIB_CONDITION_TRUE, reason, message);
    else
        cib_condition_remove(c->s, type);
}

static void report_reading_mode(struct ctx *c) {
    size_t n = c->s->plan.steps.n;
    const char *message =
        arena_printf(c->a, "%zu steps would be taken, see status.plan.steps; set spec.mode: Enforce to take them", n);
    set_abnormal(c, "Reconciling", false, NULL, NULL);
    if (n == 0 && everything_holds(c))
        ctx_condition(c, "Ready", CIB_CONDITION_TRUE, REASON_UP_TO_DATE, "nothing would be changed");
    else
        ctx_condition(c, "Ready", CIB_CONDITION_FALSE, REASON_PLANNED, message);
}

void report(struct ctx *c) {
    report_guard(c);
    c->s->observed_generation = c->b->generation;
    if (c->w->epoch >= 0)
        c->s->epoch = c->w->epoch;
    set_abnormal(c, "Stalled", c->stalled, c->stalled_reason, c->stalled_message);
    bool holds = !c->stalled && everything_holds(c) && !c->b->deletion_ms;
    if (c->stalled) {
        set_abnormal(c, "Reconciling", false, NULL, NULL);
        ctx_condition(c, "Ready", CIB_CONDITION_FALSE, c->stalled_reason, c->stalled_message);
    } else if (c->spec->suspend && !c->b->deletion_ms) {
        set_abnormal(c, "Reconciling", false, NULL, NULL);
        ctx_condition(c, "Ready", CIB_CONDITION_FALSE, REASON_SUSPENDED, "spec.suspend is true: only the guard acts");
    } else if (c->spec->mode != CIB_MODE_ENFORCE && !c->b->deletion_ms) {
        report_reading_mode(c);
    } else if (holds) {
        set_abnormal(c, "Reconciling", false, NULL, NULL);
        ctx_condition(c, "Ready", CIB_CONDITION_TRUE, REASON_UP_TO_DATE, "aws-node runs with an identity of its own");
    } else {
        const char *reason = str_or(c->waiting_reason, REASON_RECONCILING);
        const char *message = str_or(c->waiting_message, "in progress");
        ctx_condition(c, "Reconciling", CIB_CONDITION_TRUE, reason, message);
        ctx_condition(c, "Ready", CIB_CONDITION_FALSE, reason, message);
    }
}
