#include "reconcilers/context.h"
#include "platform/base/mutant.h"

#include <assert.h>
#include <string.h>

static const char *const gate_conditions[CIB_GATES] = {"ProviderReady",     "RoleReady",  "RoleProven",
                                                       "IdentityAnnotated", "RolledOut",  "PodsProven",
                                                       "NodeRoleDetached",  "GuardActive"};
static const char *const gate_names[CIB_GATES] = {"G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"};

const char *gate_name(enum gate g) {
    return gate_names[g];
}

const char *gate_condition(enum gate g) {
    return gate_conditions[g];
}

/* What stalls is asked again with every retry: a cause that went away is seen within 60 s (L3). */
static int64_t not_older_while_stalled(const struct ctx *c, int64_t age_ms) {
    bool stalled = cib_condition_find(&c->w->binding->status, "Stalled") != NULL;
    return stalled && age_ms > STALLED_RETRY_MS / 2 ? STALLED_RETRY_MS / 2 : age_ms;
}

int64_t ctx_audit_age(const struct ctx *c) {
    /* A proof that fails says that something known is no longer so: it is looked for at once, not with the next audit. */
    if (MUTANT(aws_is_asked_with_every_pass))
        return 0;
    if (c->live || c->p->repair_since_boot_ms || c->p->failing_since_boot_ms)
        return LIVE_MAX_AGE_MS;
    return not_older_while_stalled(c, c->w->config->aws_audit_interval_ms);
}

int64_t ctx_facts_age(const struct ctx *c) {
    return not_older_while_stalled(c, FACTS_MAX_AGE_MS);
}

static bool already_asked(const struct ctx *c, const char *key) {
    for (size_t i = 0; i < c->d->nreads; i++)
        if (str_eq(effect_key(c->d->reads[i], c->a), key))
            return true;
    return false;
}

const struct observation *ctx_read(struct ctx *c, const struct effect *e, int64_t max_age_ms) {
    assert(effect_class(e->kind) == EFFECT_READ);
    const char *key = effect_key(e, c->a);
    const struct observation *o = observations_get(c->w->observations, key, c->w->now_boot_ms, max_age_ms);
    if (o)
        return o;
    c->missing_reads = true;
    if (c->d->nreads < RECONCILE_READS_MAX && !already_asked(c, key))
        c->d->reads[c->d->nreads++] = e;
    return NULL;
}

void ctx_requeue(struct ctx *c, int64_t after_ms) {
    if (after_ms < 1)
        after_ms = 1;
    if (c->d->requeue_after_ms == 0 || after_ms < c->d->requeue_after_ms)
        c->d->requeue_after_ms = after_ms;
}

void ctx_condition(struct ctx *c, const char *type, enum cib_condition_status status, const char *reason,
                   const char *message) {
    struct cib_condition cond = {.type = type,
                                 .status = status,
                                 .reason = reason,
                                 .message = str_or(message, ""),
                                 .observed_generation = c->b->generation,
                                 .last_transition_ms = c->w->now_wall_ms};
    cib_condition_set(c->s, cond);
}

void ctx_set_gate(struct ctx *c, enum gate g, enum cib_gate_state state, const char *evidence) {
    struct cib_gate *gate = &c->s->gates[g];
    const struct cib_gate *was = &c->w->binding->status.gates[g];
    if (!gate->name || gate->since_ms == 0)
        gate->since_ms = c->w->now_wall_ms;
    else if (gate->state != state)
        gate->since_ms = was->state == state && was->since_ms > 0 ? was->since_ms : c->w->now_wall_ms;
    gate->name = gate_names[g];
    gate->state = state;
    gate->evidence = evidence;
}

bool ctx_gate_passed(const struct ctx *c, enum gate g) {
    return c->s->gates[g].state == CIB_GATE_PASSED;
}

bool ctx_stall(struct ctx *c, enum gate g, const char *reason, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *message = arena_vprintf(c->a, fmt, ap);
    va_end(ap);
    if (!c->stalled) {
        c->stalled = true;
        c->stalled_reason = reason;
        c->stalled_message = message;
    }
    c->blocked = true;
    c->gate_stalled[g] = true;
    ctx_set_gate(c, g, CIB_GATE_FAILED, message);
    ctx_condition(c, gate_conditions[g], CIB_CONDITION_FALSE, reason, message);
    ctx_requeue(c, STALLED_RETRY_MS);
    return false;
}

bool ctx_wait(struct ctx *c, enum gate g, const char *reason, int64_t requeue_ms, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *message = arena_vprintf(c->a, fmt, ap);
    va_end(ap);
    if (!c->waiting_reason) {
        c->waiting_reason = reason;
        c->waiting_message = message;
    }
    c->blocked = true;
    if (!c->gate_stalled[g]) {
        ctx_set_gate(c, g, CIB_GATE_WAITING, message);
        ctx_condition(c, gate_conditions[g], CIB_CONDITION_FALSE, reason, message);
    }
    if (requeue_ms > 0)
        ctx_requeue(c, requeue_ms);
    return false;
}

bool ctx_pass(struct ctx *c, enum gate g, const char *reason, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *message = arena_vprintf(c->a, fmt, ap);
    va_end(ap);
    ctx_set_gate(c, g, CIB_GATE_PASSED, message);
    ctx_condition(c, gate_conditions[g], CIB_CONDITION_TRUE, reason, message);
    return true;
}

void ctx_pending(struct ctx *c, enum gate g) {
    ctx_set_gate(c, g, CIB_GATE_PENDING, "waits for an earlier gate");
    ctx_condition(c, gate_conditions[g], CIB_CONDITION_FALSE, REASON_WAITING, "waits for an earlier gate");
}

void ctx_gate_not_applicable(struct ctx *c, enum gate g, const char *why) {
    ctx_set_gate(c, g, CIB_GATE_NOT_APPLICABLE, why);
}

/* What somebody has to do when a server said no for good. */
static const char *advice(const struct effect *e, enum err_code code) {
    bool aws = effect_service(e->kind) != SERVICE_KUBERNETES;
    if (code == ERR_FORBIDDEN && aws)
        return "allow it in the operator's IAM policy (manifests/iam/operator-policy.json); see with: aws iam "
               "simulate-principal-policy";
    if (code == ERR_FORBIDDEN)
        return "grant it in the operator's RBAC: kubectl apply -k manifests/base";
    if (code == ERR_NO_CREDENTIALS || code == ERR_UNAUTHORIZED)
        return "give the operator credentials; see with: aws sts get-caller-identity";
    if (code == ERR_QUOTA)
        return "raise the quota; see with: aws iam get-account-summary";
    return "see the operator's log for the whole answer";
}

static const char *stall_reason(const struct effect *e, enum err_code code) {
    if (code == ERR_FORBIDDEN)
        return REASON_ACCESS_DENIED;
    if (code == ERR_NO_CREDENTIALS || code == ERR_UNAUTHORIZED)
        return REASON_NO_CREDENTIALS;
    if (code == ERR_QUOTA)
        /* A role is made with our statement alone, which is far from the limit: then it is the number of roles. */
        return e->kind == EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY ? REASON_TRUST_POLICY_TOO_LONG : REASON_QUOTA;
    if (code == ERR_NOT_FOUND && e->kind == EFFECT_IAM_ATTACH_ROLE_POLICY)
        return REASON_POLICY_NOT_FOUND;
    if (code == ERR_CONFLICT || code == ERR_FIELD_CONFLICT || code == ERR_ALREADY_EXISTS)
        return REASON_CONFLICT;
    return REASON_REQUEST_REFUSED;
}

bool ctx_read_failed(struct ctx *c, enum gate g, const struct effect *e, const struct error *err) {
    const char *what = effect_describe(e, c->a);
    if (error_is_transient(err->code))
        return ctx_wait(c, g, REASON_UNAVAILABLE, err->retry_after_ms > 0 ? err->retry_after_ms : RETRY_MS, "%s: %s",
                        what, err->message);
    return ctx_stall(c, g, stall_reason(e, err->code), "%s was refused: %s; %s", what, err->message,
                     advice(e, err->code));
}

bool ctx_has_step(const struct ctx *c) {
    return c->d->nsteps > 0;
}

void ctx_plan_line(struct ctx *c, const char *fmt, ...) {
    if (c->s->plan.steps.n >= CIB_STEPS_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    strlist_add(&c->s->plan.steps, arena_vprintf(c->a, fmt, ap), c->a);
    va_end(ap);
}

/* A write that is answered "not found" or "conflict" again and again has a cause of its own: the server is well. */
static const char *failed_reason(const struct effect *e, enum err_code code) {
    enum err_disposition d = error_disposition(code);
    return d == DISPOSITION_RETRY || d == DISPOSITION_REREAD ? REASON_UNAVAILABLE : stall_reason(e, code);
}

/* The same step failed the last time for a reason that repeating does not cure: say so; it is still tried again, with the
 * queue's backoff, so that a cause that went away is noticed (L3). */
static void report_failed_step(struct ctx *c, enum gate g, const struct effect *e) {
    const struct world *w = c->w;
    if (!w->last_effect || !w->last_error || !str_eq(effect_key(w->last_effect, c->a), effect_key(e, c->a)))
        return;
    const struct error *err = w->last_error;
    bool lasting = error_disposition(err->code) == DISPOSITION_STALL || w->last_failures >= 3;
    const char *what = effect_describe(e, c->a);
    if (lasting)
        ctx_stall(c, g, failed_reason(e, err->code), "%s failed: %s; %s", what, err->message, advice(e, err->code));
    else
        ctx_wait(c, g, REASON_UNAVAILABLE, 0, "%s failed, trying again: %s", what, err->message);
}

struct step *ctx_step(struct ctx *c, enum gate g, const struct effect *e, const char *why, const char *line_fmt, ...) {
    va_list ap;
    va_start(ap, line_fmt);
    const char *line = arena_vprintf(c->a, line_fmt, ap);
    va_end(ap);
    ctx_plan_line(c, "%s", line);
    if (c->blocked || c->missing_reads || !c->may_act || c->d->nsteps > 0 || !e) {
        if (!c->d->nsteps || !e)
            c->blocked = true;
        c->described = (struct step){0};
        return &c->described;
    }
    struct step *s = &c->d->steps[c->d->nsteps++];
    *s = (struct step){.effect = e,
                       .line = line,
                       .gate = gate_names[g],
                       .why = why,
                       .external = effect_service(e->kind) != SERVICE_KUBERNETES};
    report_failed_step(c, g, e);
    c->blocked = true;
    return s;
}

void ctx_note(struct ctx *c, bool warning, const char *reason, const char *action, const char *fmt, ...) {
    if (c->d->nnotes >= RECONCILE_NOTES_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    const char *note = arena_vprintf(c->a, fmt, ap);
    va_end(ap);
    c->d->notes[c->d->nnotes++] =
        (struct event_note){.warning = warning, .reason = reason, .note = note, .action = action};
}

struct cib_node_role *ctx_status_role(struct ctx *c, const char *arn, bool create) {
    struct cib_status *s = c->s;
    for (size_t i = 0; i < s->nnode_roles; i++)
        if (str_eq(s->node_roles[i].arn, arn))
            return &s->node_roles[i];
    if (!create || s->nnode_roles >= CIB_NODE_ROLES_MAX)
        return NULL;
    struct cib_node_role *grown = ARENA_ARRAY(c->a, s->nnode_roles + 1, struct cib_node_role);
    if (s->nnode_roles)
        memcpy(grown, s->node_roles, s->nnode_roles * sizeof *grown);
    s->node_roles = grown;
    struct cib_node_role *r = &grown[s->nnode_roles++];
    r->arn = arena_strdup(c->a, arn);
    r->name = name_of_arn(r->arn);
    return r;
}

bool ctx_anything_detached(const struct ctx *c) {
    for (size_t i = 0; i < c->s->nnode_roles; i++)
        if (c->s->node_roles[i].detached.n > 0)
            return true;
    return false;
}
