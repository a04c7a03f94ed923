/* annotation.c - G4: the ServiceAccount names the role, and the webhook is seen to inject it, before any pod is touched. */
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"

#define ROLE_ARN_ANNOTATION "eks.amazonaws.com/role-arn"
#define STS_ANNOTATION "eks.amazonaws.com/sts-regional-endpoints"

/* Server-side apply of exactly the annotations that we own; metadata.uid keeps it from creating anything (K-P3). NULL values are left out. */
const struct effect *effect_annotate(struct ctx *c, const char *role_arn, const char *sts_regional) {
    json *sa = json_object();
    json_add_str(sa, "apiVersion", "v1");
    json_add_str(sa, "kind", "ServiceAccount");
    json *meta = json_add_object(sa, "metadata");
    json_add_str(meta, "name", "aws-node");
    json_add_str(meta, "namespace", "kube-system");
    if (!MUTANT(annotation_without_uid))
        json_add_str(meta, "uid", c->w->service_account->meta.uid);
    json *annotations = json_add_object(meta, "annotations");
    json_add_str(annotations, ROLE_ARN_ANNOTATION, role_arn);
    json_add_str(annotations, STS_ANNOTATION, sts_regional);
    struct effect *e = effect_new(c->a, EFFECT_K8S_APPLY, "resource", "serviceaccounts", "namespace", "kube-system",
                                  "name", "aws-node", "fieldManager", FIELD_MANAGER, "force", "true", NULL);
    e->body = json_print_arena(sa, c->a);
    json_free(sa);
    return e;
}

static bool annotated_right(const struct ctx *c) {
    const struct service_account_view *sa = c->w->service_account;
    if (!str_eq(sa->role_arn, c->role_arn))
        return false;
    return !c->sts_regional || str_eq(sa->sts_regional_endpoints, "true");
}

static const char *other_managers(struct ctx *c) {
    struct strlist others = {0};
    const struct strlist *m = &c->w->service_account->role_arn_managers;
    for (size_t i = 0; i < m->n; i++)
        if (!str_eq(m->v[i], FIELD_MANAGER))
            strlist_add(&others, m->v[i], c->a);
    return others.n ? strlist_join(&others, ", ", c->a) : NULL;
}

/* L8: three flips within ten minutes are a fight; whoever else writes the annotation has to be found by a person. */
static bool fighting(struct ctx *c) {
    struct progress *p = c->p;
    int64_t now = c->w->now_boot_ms;
    if (p->backoff_until_boot_ms > now)
        return true;
    p->backoff_until_boot_ms = 0;
    if (p->flips[0] && p->flips[1] && p->flips[2] && now - p->flips[2] < 600000) {
        p->backoff_until_boot_ms = now + 600000;
        memset(p->flips, 0, sizeof p->flips);
        return true;
    }
    return false;
}

/* The same version as at the last try: that one was refused, lost or never sent, and nobody changed anything back. */
static void count_flip(struct ctx *c) {
    const char *version = c->w->service_account->meta.resource_version;
    bool changed = !str_eq(version, c->p->annotating) || MUTANT(refusals_are_a_fight);
    str_copy(c->p->annotating, sizeof c->p->annotating, str_or(version, ""));
    if (!changed || !str_eq(c->s->rollout.role_arn, c->role_arn))
        return;
    c->p->flips[2] = c->p->flips[1];
    c->p->flips[1] = c->p->flips[0];
    c->p->flips[0] = c->w->now_boot_ms;
}

/* Another role than the one that the detachment stood on: a pod that the webhook misses on the way needs its node role. */
static bool return_path_stands(struct ctx *c) {
    const char *annotated = c->s->rollout.role_arn;
    if (GUARD(role_change_restores_first, !annotated || str_eq(annotated, c->role_arn)))
        return true;
    return plan_reattach(c, G4, "aws-node goes to another role") && soak_reattached(c);
}

static bool plan_write(struct ctx *c) {
    const struct service_account_view *sa = c->w->service_account;
    if (strlist_has(&sa->role_arn_managers, "eks") && !str_eq(sa->role_arn, c->role_arn))
        return ctx_stall(c, G4, REASON_FIELD_OWNED,
                         "EKS itself owns the annotation %s of kube-system/aws-node (now %s); set the role through the "
                         "add-on instead",
                         ROLE_ARN_ANNOTATION, str_or(sa->role_arn, "empty"));
    if (!GUARD(nobody_fights_back, !fighting(c)))
        return ctx_stall(c, G4, REASON_CONFLICT,
                         "the annotation %s of kube-system/aws-node was changed back three times in ten minutes (field "
                         "managers: %s); "
                         "stop whoever writes it; trying again in ten minutes",
                         ROLE_ARN_ANNOTATION, str_or(other_managers(c), "unknown"));
    if (!return_path_stands(c))
        return ctx_pending(c, G4), false;
    const char *others = sa->role_arn && !str_eq(sa->role_arn, c->role_arn) ? other_managers(c) : NULL;
    bool acting = !c->blocked && c->may_act && !c->missing_reads;
    struct step *step = ctx_step(c, G4, effect_annotate(c, c->role_arn, c->sts_regional ? "true" : NULL),
                                 "the identity webhook injects the role that this annotation names",
                                 "%s annotate ServiceAccount kube-system/aws-node: %s=%s", sa->role_arn ? "~" : "+",
                                 ROLE_ARN_ANNOTATION, c->role_arn);
    if (!acting)
        return ctx_pending(c, G4), false;
    bool again = str_eq(c->s->rollout.role_arn, c->role_arn);
    count_flip(c);
    if (!again)
        c->s->rollout.annotated_ms = c->w->now_wall_ms;
    c->s->rollout.role_arn = c->role_arn;
    c->p->annotated_boot_ms = c->p->freed_boot_ms = 0;
    step->event_reason = others ? "AnnotationTaken" : (again ? "AnnotationRepaired" : "Annotated");
    step->event_note =
        others ? arena_printf(c->a, "took %s from field manager %s (was %s)", ROLE_ARN_ANNOTATION, others, sa->role_arn)
               : arena_printf(c->a, "set %s to %s", ROLE_ARN_ANNOTATION, c->role_arn);
    return ctx_wait(c, G4, REASON_ANNOTATING, 0, "the ServiceAccount is to be annotated");
}

static bool wait_for_injection(struct ctx *c) {
    const char *role = NULL;
    int64_t now = c->w->now_boot_ms;
    if (!dry_run_role(c, G4, POLL_MS, &role))
        return false;
    if (!GUARD(injection_is_seen, str_eq(role, c->role_arn))) {
        c->p->annotated_boot_ms = 0;
        if (c->p->uninjected_boot_ms == 0)
            c->p->uninjected_boot_ms = now;
        if (now - c->p->uninjected_boot_ms > (int64_t)c->spec->rollout.progress_deadline_seconds * 1000)
            return ctx_stall(c, G4, REASON_WEBHOOK_NOT_INJECTING,
                             "the annotation stands, but a dry-run pod is not injected with %s: is the pod identity "
                             "webhook up? no pod was "
                             "touched; see with: kubectl get mutatingwebhookconfigurations pod-identity-webhook",
                             c->role_arn);
        return ctx_wait(c, G4, REASON_WAITING_FOR_WEBHOOK, POLL_MS, "waits until a dry-run pod comes back injected");
    }
    if (c->p->annotated_boot_ms == 0)
        c->p->annotated_boot_ms = now;
    c->p->uninjected_boot_ms = 0;
    int64_t left = (int64_t)c->spec->rollout.settle_seconds * 1000 - (now - c->p->annotated_boot_ms);
    if (left > 0)
        return ctx_wait(c, G4, REASON_SETTLING, left, "a dry-run pod is injected; settles for %d s",
                        c->spec->rollout.settle_seconds);
    return true;
}

/* Pods' ages are told by the API server's clock; where ours is ahead of it, every new pod would be older than the annotation. */
static void take_servers_time(struct ctx *c) {
    int64_t set_ms = c->w->service_account->role_arn_set_ms;
    if (set_ms > 0 && c->s->rollout.annotated_ms > set_ms && !MUTANT(annotation_is_dated_by_our_clock))
        c->s->rollout.annotated_ms = set_ms;
}

bool plan_annotation(struct ctx *c) {
    if (!annotated_right(c))
        return plan_write(c);
    take_servers_time(c);
    if (!c->s->rollout.role_arn || !str_eq(c->s->rollout.role_arn, c->role_arn))
        c->s->rollout.role_arn = c->role_arn; /* it was so before us */
    bool all_have_it = c->npods > 0 && c->ntarget == c->npods;
    if (!all_have_it && c->npods > 0) {
        if (c->blocked || c->missing_reads)
            return ctx_pending(c, G4), false;
        if (!wait_for_injection(c))
            return false;
    }
    return ctx_pass(c, G4, REASON_ANNOTATED, "kube-system/aws-node names %s, new pods are injected", c->role_arn);
}
