/*
 * proof.c - G3: a fresh proof of the role before any pod is touched, and again with every audit.
 *
 * Pods that hold a session do not notice a broken trust for up to an hour (reliability.md 2.0): only a fresh token exchange does.
 * Three successes, the last at least proofSeconds after the first; any failure starts anew.
 */
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"
#include "reconcilers/policy_document.h"

#define PROOFS_NEEDED 3
#define PROOF_INTERVAL_MIN_MS 200

static void forget_proofs(struct progress *p) {
    p->proofs = 0;
    p->proof_first_boot_ms = 0;
    p->proof_last_boot_ms = 0;
}

static int64_t window_ms(const struct ctx *c) {
    return (int64_t)c->spec->rollout.proof_seconds * 1000;
}

static int64_t interval_ms(const struct ctx *c) {
    int64_t part = window_ms(c) / (PROOFS_NEEDED - 1);
    return part > PROOF_INTERVAL_MIN_MS ? part : PROOF_INTERVAL_MIN_MS;
}

static bool proven(const struct ctx *c) {
    const struct progress *p = c->p;
    return str_eq(p->proven_role, c->role_arn) && p->proofs >= PROOFS_NEEDED &&
           p->proof_last_boot_ms - p->proof_first_boot_ms >= window_ms(c);
}

const char *proof_refusal(struct ctx *c, const struct observation *o) {
    if (o->error.code == ERR_FORBIDDEN || o->error.code == ERR_IDENTITY_TOKEN)
        return o->error.message;
    for (const json *it = json_first(json_get(o->value, "ec2")); it; it = it->next)
        if (json_is_string(it) && str_eq(it->valuestring, "denied"))
            return arena_printf(c->a, "ec2:%s is denied to it", it->string);
    return NULL;
}

static bool not_proven(struct ctx *c, const char *why) {
    forget_proofs(c->p);
    if (c->p->failing_since_boot_ms == 0)
        c->p->failing_since_boot_ms = c->w->now_boot_ms;
    int64_t deadline = (int64_t)c->spec->rollout.progress_deadline_seconds * 1000;
    if (c->w->now_boot_ms - c->p->failing_since_boot_ms < deadline)
        return ctx_wait(c, G3, REASON_PROVING, POLL_MS, "the role does not work (yet): %s", why);
    return ctx_stall(
        c, G3, REASON_ROLE_NOT_PROVEN,
        "the role %s was not usable for %d s: %s; look for a Deny in its trust policy, its policies, a boundary or an "
        "organization policy",
        c->role_arn, c->spec->rollout.progress_deadline_seconds, why);
}

static void count_success(struct ctx *c, const struct observation *o) {
    struct progress *p = c->p;
    p->failing_since_boot_ms = 0;
    if (MUTANT(one_answer_is_three_proofs)) {
        p->proofs = PROOFS_NEEDED;
        p->proof_first_boot_ms = o->at_boot_ms - window_ms(c);
        p->proof_last_boot_ms = o->at_boot_ms;
        return;
    }
    if (p->proofs > 0 && o->at_boot_ms - p->proof_last_boot_ms < PROOF_INTERVAL_MIN_MS / 2)
        return; /* the same answer seen again */
    if (p->proofs == 0)
        p->proof_first_boot_ms = o->at_boot_ms;
    p->proofs++;
    p->proof_last_boot_ms = o->at_boot_ms;
}

/* The way back and the guard go on where the cluster could not be looked at: what status says will do. */
const struct effect *effect_prove_role(struct ctx *c, const char *role_arn) {
    const char *region = str_or(c->region, str_or(c->s->cluster.region, c->w->config->region));
    return effect_new(c->a, EFFECT_PROVE_ROLE, "RoleArn", role_arn, "Namespace", "kube-system", "ServiceAccount",
                      "aws-node", "Audience", TRUST_AUDIENCE, "Region", region, NULL);
}

/* Directly before a pod is touched: the proof that G3 stands on may be as old as the audit interval. False: a read is
 * missing. */
bool prove_again(struct ctx *c) {
    return c->blocked || GUARD(proof_is_fresh, ctx_read(c, effect_prove_role(c, c->role_arn), 0) != NULL);
}

bool prove_role(struct ctx *c) {
    if (!str_eq(c->p->proven_role, c->role_arn)) {
        forget_proofs(c->p);
        str_copy(c->p->proven_role, sizeof c->p->proven_role, c->role_arn);
    }
    if (c->blocked) {
        /* A role, trust, policy or provider that is being repaired has to prove itself again. */
        if (!c->missing_reads)
            forget_proofs(c->p);
        return ctx_pending(c, G3), false;
    }
    const struct effect *e = effect_prove_role(c, c->role_arn);
    int64_t age = proven(c) ? ctx_audit_age(c) : interval_ms(c);
    const struct observation *o = ctx_read(c, e, age);
    if (!o)
        return false;
    const char *refused = proof_refusal(c, o);
    if (!GUARD(role_is_proven, refused == NULL))
        return not_proven(c, refused);
    if (o->error.code && !refused)
        return ctx_read_failed(c, G3, e, &o->error);
    count_success(c, o);
    if (!proven(c))
        return ctx_wait(
            c, G3, REASON_PROVING, interval_ms(c), "the role answered %d times; %d answers over %d s are needed",
            c->p->proofs < PROOFS_NEEDED ? c->p->proofs : PROOFS_NEEDED, PROOFS_NEEDED, c->spec->rollout.proof_seconds);
    return ctx_pass(c, G3, REASON_PROVEN, "AssumeRoleWithWebIdentity as %s and EC2 with its credentials succeed",
                    TRUST_SUBJECT);
}
