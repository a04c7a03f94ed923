/*
 * cutover.c - G7: the policy comes off the node roles, when everything that could need it is proven not to.
 *
 * The guardrails are a chain: the first that says no names its reason. All of them are asked again on live reads, at most
 * LIVE_MAX_AGE_MS old, directly before each detachment (S2). Order within a step group: attach probe (S3), tag with the prior state,
 * intent by compare-and-swap in status (S6b), detach.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"

#define PROBE_MAX_AGE_MS 120000
#define ANNOUNCED_MS 60000 /* for so long an announcement stands */

static bool role_is_in_scope(const struct ctx *c, const struct node_role_fact *r) {
    const struct strlist *only = &c->spec->node_role.role_arns;
    return GUARD(node_role_is_listed, only->n == 0 || strlist_has(only, r->arn));
}

static struct node_role_fact *fact_of(struct ctx *c, const char *arn) {
    for (size_t i = 0; i < c->nroles; i++)
        if (str_eq(c->roles[i].arn, arn))
            return &c->roles[i];
    return NULL;
}

static void copy_fact(struct ctx *c, const struct node_role_fact *f) {
    struct cib_node_role *r = ctx_status_role(c, f->arn, true);
    if (!r)
        return;
    r->attached = f->attached;
    r->findings = f->findings;
    r->consumers_known = f->consumers_known;
    if (f->attached.n == 0 && r->intent.action)
        r->intent = (struct cib_intent){0}; /* done: what it announced is the state of the world */
}

/* Status lists the roles of today's nodes, and those that still owe their policy back. */
static void copy_facts(struct ctx *c) {
    struct cib_status *s = c->s;
    size_t kept = 0;
    for (size_t i = 0; i < s->nnode_roles; i++)
        if (fact_of(c, s->node_roles[i].arn) || (s->node_roles[i].detached.n > 0 && !MUTANT(owed_policy_is_forgotten)))
            s->node_roles[kept++] = s->node_roles[i];
    s->nnode_roles = kept;
    for (size_t i = 0; i < c->nroles; i++)
        copy_fact(c, &c->roles[i]);
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* What an approval allows: this role, these policies off these node roles, once (the digest used before is part of it). */
static const char *approval_digest(struct ctx *c) {
    struct strlist parts = {0};
    for (size_t i = 0; i < c->s->nnode_roles; i++) {
        const struct cib_node_role *r = &c->s->node_roles[i];
        struct node_role_fact *f = fact_of(c, r->arn);
        if (f && !role_is_in_scope(c, f))
            continue;
        struct strlist policies = {0};
        for (size_t j = 0; j < r->attached.n; j++)
            strlist_add(&policies, r->attached.v[j], c->a);
        for (size_t j = 0; j < r->detached.n; j++)
            if (!strlist_has(&policies, r->detached.v[j]))
                strlist_add(&policies, r->detached.v[j], c->a);
        if (policies.n == 0)
            continue;
        qsort(policies.v, policies.n, sizeof *policies.v, by_text);
        strlist_add(&parts, arena_printf(c->a, "%s: %s", r->arn, strlist_join(&policies, ",", c->a)), c->a);
    }
    if (parts.n == 0)
        return NULL;
    qsort(parts.v, parts.n, sizeof *parts.v, by_text);
    strlist_add(&parts, c->b->uid, c->a);
    strlist_add(&parts, c->role_arn, c->a);
    strlist_add(&parts, str_or(c->s->approval.used ? c->s->approval.digest : c->s->approval.previous, ""), c->a);
    strlist_add(&parts, arena_printf(c->a, "%lld", (long long)c->s->guard.at_ms), c->a);
    return name_digest(&parts, c->a);
}

static bool approved(struct ctx *c) {
    return c->s->approval.digest && !c->s->approval.used && str_eq(c->s->approval.digest, c->s->plan.digest);
}

static void accept_approval(struct ctx *c) {
    const char *digest = c->s->plan.digest;
    /* Until the first detachment is over: what it covers may still change, as node roles come to be known. */
    bool first = !c->s->approval.used && !c->s->guard.fired;
    bool automatic = c->spec->node_role.detach == CIB_DETACH_AUTOMATIC && first;
    if (!digest || approved(c) || (!automatic && !str_eq(c->b->approve, digest)))
        return;
    if (c->s->approval.used)
        c->s->approval.previous = c->s->approval.digest;
    c->s->approval.digest = digest;
    c->s->approval.at_ms = c->w->now_wall_ms;
    c->s->approval.used = false;
    c->s->guard.fired = false;
    c->s->guard.reason = NULL;
    if (!automatic)
        ctx_note(c, false, "Approved", "Approve", "the detachment %s was approved", digest);
}

static bool nothing_left(struct ctx *c, size_t in_scope) {
    bool took = ctx_anything_detached(c);
    const char *finding = NULL, *role = NULL;
    for (size_t i = 0; i < c->nroles; i++)
        if (c->roles[i].findings.n > 0 && !finding) {
            finding = c->roles[i].findings.v[0];
            role = c->roles[i].name;
        }
    if (took && c->s->approval.digest)
        c->s->approval.used = true;
    c->p->soak_first_boot_ms = 0;
    if (!c->roles_known || c->nnodes == 0)
        return ctx_wait(c, G7, c->nnodes ? REASON_CONSUMER_UNKNOWN : REASON_NO_NODES, 0, "%s",
                        str_or(c->roles_unknown_why, "no node: nothing is known of node roles"));
    if (finding) {
        ctx_wait(c, G7, REASON_OTHER_GRANT, 0, "node role %s: %s", role, finding);
        c->blocked = false;
        return true;
    }
    return ctx_pass(c, G7, took ? REASON_DETACHED : REASON_NOTHING_TO_DETACH,
                    "no CNI policy is attached to %zu node roles", in_scope);
}

/* --- the chain of guardrails --- */

static bool pod_has_target(struct ctx *c, const struct pod_view *p, const char **why) {
    const char *role = NULL;
    bool right = pod_credential(p, &role) == POD_CREDENTIAL_IRSA && str_eq(role, c->role_arn) &&
                 str_eq(p->token_audience, "sts.amazonaws.com") && !p->unreadable;
    if (right && p->ready)
        return true;
    *why = arena_printf(c->a, "pod %s on node %s %s", p->meta.name, p->node,
                        right ? "is not Ready" : "does not have the role");
    return false;
}

/* S2: one live snapshot of the pods, judged on its own; a terminating pod still lives on what it had. */
static bool live_pods_proven(struct ctx *c, size_t *count) {
    const struct effect *e = effect_new(c->a, EFFECT_K8S_LIST, "resource", "pods", "namespace", "kube-system",
                                        "labelSelector", "k8s-app=aws-node", NULL);
    const struct observation *o = ctx_read(c, e, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, G7, e, &o->error);
    for (const json *it = json_first(json_array(o->value, "items")); it; it = it->next) {
        struct error err;
        struct pod_view *p = pod_decode(it, &err);
        const char *why = p ? NULL : arena_printf(c->a, "a pod can not be read: %s", err.message);
        bool good = GUARD(live_pods_are_proven, p && pod_has_target(c, p, &why));
        pod_free(p);
        if (!good && !MUTANT(pods_without_the_role_do_not_count))
            return ctx_wait(c, G7, REASON_PODS_UNPROVEN, POLL_MS, "live check: %s", why);
        ++*count;
    }
    return true;
}

static bool live_nodes_covered(struct ctx *c, size_t pods) {
    const struct effect *e = effect_new(c->a, EFFECT_K8S_LIST, "resource", "nodes", NULL);
    const struct observation *o = ctx_read(c, e, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, G7, e, &o->error);
    size_t nodes = 0;
    for (const json *it = json_first(json_array(o->value, "items")); it; it = it->next) {
        struct error err;
        struct node_view *n = node_decode(it, &err);
        nodes += n && !n->fargate && !n->hybrid && !n->automode && !n->windows;
        node_free(n);
    }
    if (MUTANT(empty_list_is_consent) && nodes == 0)
        return true;
    /* S14: an empty answer is no reason to take anything away. */
    if (!GUARD(every_node_has_a_pod, nodes > 0 && pods >= nodes && nodes == c->nnodes))
        return ctx_wait(c, G7, REASON_PODS_UNPROVEN, POLL_MS, "live check: %zu nodes, %zu proven pods", nodes, pods);
    return true;
}

static bool check_consumers(struct ctx *c, struct node_role_fact *r, bool asked) {
    if (!GUARD(every_node_role_is_known, c->roles_known))
        return ctx_stall(c, G7, REASON_CONSUMER_UNKNOWN,
                         "%s: what is not known counts as a consumer of the node role; correct it",
                         c->roles_unknown_why);
    if (!observe_consumers(c, r, G7))
        return false;
    struct cib_node_role *s = ctx_status_role(c, r->arn, true);
    if (s)
        s->consumers_known = true;
    if (GUARD(no_foreign_consumer, r->foreign == NULL))
        return true;
    const char *text = arena_printf(
        c->a, "%s; move it to a role of its own, or declare it in spec.nodeRole.foreignConsumers", r->foreign);
    if (asked)
        return ctx_stall(c, G7, REASON_FOREIGN_CONSUMER, "%s", text);
    return ctx_wait(c, G7, REASON_FOREIGN_CONSUMER, 0, "%s", text);
}

static bool soaked(struct ctx *c) {
    struct progress *p = c->p;
    int64_t now = c->w->now_boot_ms, need = (int64_t)c->spec->node_role.soak_seconds * 1000;
    int64_t gap = RECONCILE_GAP_MAX_MS > 2 * c->w->config->aws_audit_interval_ms
                      ? RECONCILE_GAP_MAX_MS
                      : 2 * c->w->config->aws_audit_interval_ms;
    /* Time that was not observed does not count. */
    if (p->soak_first_boot_ms == 0 || now - p->soak_last_boot_ms > gap)
        p->soak_first_boot_ms = now;
    p->soak_last_boot_ms = now;
    if (GUARD(proofs_have_soaked, now - p->soak_first_boot_ms >= need))
        return true;
    int64_t left = need - (now - p->soak_first_boot_ms);
    return ctx_wait(c, G7, REASON_SOAKING, left < 10000 ? left : 10000,
                    "all proofs have to hold for %d s before the detachment", c->spec->node_role.soak_seconds);
}

static bool may_be_asked(struct ctx *c) {
    if (!GUARD(guard_is_independent, c->w->config->guard_independent))
        return ctx_stall(c, G7, REASON_GUARD_NOT_INDEPENDENT,
                         "%s: a guard that needs the CNI can not save it; run the operator with hostNetwork: true "
                         "(manifests/base), on Fargate, "
                         "or outside the cluster",
                         str_or(c->w->config->guard_dependent_why, "the operator runs on the pod network"));
    return true;
}

/* Everything again, on reads that are at most LIVE_MAX_AGE_MS old. */
static bool revalidate(struct ctx *c, struct node_role_fact **r) {
    const char *arn = (*r)->arn;
    size_t pods = 0;
    if (MUTANT(cached_reads_before_the_detachment))
        return true;
    c->live = true;
    bool good = plan_provider(c) && plan_role(c) && plan_permissions(c) && prove_role(c) && observe_node_roles(c, G7) &&
                live_pods_proven(c, &pods) && live_nodes_covered(c, pods);
    if (good) {
        *r = fact_of(c, arn);
        good =
            *r ? check_consumers(c, *r, true)
               : ctx_wait(c, G7, REASON_CONSUMER_UNKNOWN, POLL_MS, "live check: no node has the role %s any more", arn);
    }
    c->live = false;
    return good && !c->missing_reads;
}

/* --- acts --- */

/* S3: an attach of what is attached proves that we may re-attach now. The answer is kept under the effect's own key. */
static bool attach_was_probed(struct ctx *c, const char *role, const char *policy) {
    return attach_succeeded(c, role, policy, PROBE_MAX_AGE_MS);
}

static bool role_is_tagged(struct ctx *c, const char *node_role, const char *policy) {
    if (c->spec->role.management == CIB_REFERENCE)
        return true;
    const struct observation *o =
        ctx_read(c, effect_new(c->a, EFFECT_IAM_GET_ROLE, "RoleName", c->role_name, NULL), LIVE_MAX_AGE_MS);
    const char *key = arena_printf(c->a, "%s%s", TAG_DETACHED_PREFIX, node_role);
    for (const json *t = o ? json_first(json_path(o->value, "Role.Tags")) : NULL; t; t = t->next)
        if (str_eq(json_str(t, "Key"), key) && str_eq(json_str(t, "Value"), policy))
            return true;
    return false;
}

/* L8: a refused detachment is tried again under the same announcement. A new one is news, which would wake the next try. */
static bool is_announced(const struct ctx *c, const struct cib_intent *i, const char *policy) {
    return str_eq(i->action, "Detach") && str_eq(i->policy_arn, policy) && str_eq(i->digest, c->s->plan.digest) &&
           i->epoch == c->w->epoch && c->w->now_wall_ms >= i->at_ms && c->w->now_wall_ms - i->at_ms < ANNOUNCED_MS;
}

static void announce(struct ctx *c, struct cib_node_role *s, const char *policy) {
    if (!strlist_has(&s->detached, policy) && !MUTANT(prior_state_is_not_recorded))
        strlist_add(&s->detached, policy, c->a);
    if (is_announced(c, &s->intent, policy))
        return;
    s->probed_ms = c->w->now_wall_ms;
    s->intent = (struct cib_intent){.action = "Detach",
                                    .policy_arn = policy,
                                    .digest = c->s->plan.digest,
                                    .epoch = c->w->epoch,
                                    .at_ms = c->w->now_wall_ms};
}

static void detach(struct ctx *c, const struct node_role_fact *r, const char *policy) {
    struct step *step = ctx_step(
        c, G7, effect_new(c->a, EFFECT_IAM_DETACH_ROLE_POLICY, "RoleName", r->name, "PolicyArn", policy, NULL),
        "every consumer of the node role is proven or declared", "- detach %s from node role %s", policy, r->name);
    struct cib_node_role *s = ctx_status_role(c, r->arn, true);
    if (!ctx_has_step(c) || !s)
        return;
    /* The prior state and the intent stand in status before the call goes out; the driver writes them by compare-and-swap. */
    announce(c, s, policy);
    step->event_reason = "PolicyDetached";
    step->event_note = arena_printf(c->a, "detached %s from node role %s", policy, r->name);
}

static bool act(struct ctx *c, struct node_role_fact *r) {
    const char *policy = r->attached.v[0];
    if (!GUARD(attach_is_probed, attach_was_probed(c, r->name, policy))) {
        ctx_step(c, G7, effect_attach(c, r->name, policy), "proves that the policy could be attached again",
                 "~ probe: attach %s to node role %s (it is attached)", policy, r->name);
        return ctx_wait(c, G7, REASON_DETACHING, 0, "proving that %s may be attached again to %s", policy, r->name);
    }
    if (!GUARD(prior_state_is_tagged, role_is_tagged(c, r->name, policy))) {
        if (c->missing_reads)
            return false;
        ctx_step(c, G7,
                 effect_new(c->a, EFFECT_IAM_TAG_ROLE, "RoleName", c->role_name, "Tags.member.1.Key",
                            arena_printf(c->a, "%s%s", TAG_DETACHED_PREFIX, r->name), "Tags.member.1.Value", policy,
                            NULL),
                 "the prior state is recorded with the role before it changes", "~ tag IAM role %s: %s had %s",
                 c->role_name, r->name, policy);
        return ctx_wait(c, G7, REASON_DETACHING, 0, "recording the prior state of %s", r->name);
    }
    if (!revalidate(c, &r))
        return false;
    if (r->attached.n == 0)
        return ctx_wait(c, G7, REASON_DETACHING, 1, "live check: %s is not attached any more", policy);
    detach(c, r, r->attached.v[0]);
    return ctx_wait(c, G7, REASON_DETACHING, 0, "detaching %s from %s", policy, r->name);
}

static void describe(struct ctx *c, const char *suffix) {
    for (size_t i = 0; i < c->nroles; i++)
        for (size_t j = 0; role_is_in_scope(c, &c->roles[i]) && j < c->roles[i].attached.n; j++)
            ctx_plan_line(c, "- detach %s from node role %s%s", c->roles[i].attached.v[j], c->roles[i].name, suffix);
}

static const char *verdict(struct ctx *c, const struct node_role_fact *f, const char **message) {
    *message = NULL;
    if (f->attached.n == 0)
        return ctx_status_role(c, f->arn, true)->detached.n ? REASON_DETACHED : REASON_NOTHING_TO_DETACH;
    if (!role_is_in_scope(c, f)) {
        *message = "spec.nodeRole.roleARNs does not list it";
        return REASON_NOT_REQUESTED;
    }
    if (c->spec->node_role.detach == CIB_DETACH_NEVER)
        return REASON_NOT_REQUESTED;
    if (f->foreign) {
        *message = f->foreign;
        return REASON_FOREIGN_CONSUMER;
    }
    if (!c->roles_known) {
        *message = c->roles_unknown_why;
        return REASON_CONSUMER_UNKNOWN;
    }
    return approved(c) ? REASON_DETACHING : REASON_AWAITING_APPROVAL;
}

/* nodeRoles[] of status: what is attached, whether it may go, and why not. */
static void describe_roles(struct ctx *c) {
    for (size_t i = 0; i < c->nroles; i++) {
        struct cib_node_role *r = ctx_status_role(c, c->roles[i].arn, true);
        if (!r)
            continue;
        r->reason = verdict(c, &c->roles[i], &r->message);
        r->may_detach = str_eq(r->reason, REASON_DETACHING) || str_eq(r->reason, REASON_AWAITING_APPROVAL);
    }
}

static bool turned_off(struct ctx *c) {
    c->s->plan.digest = NULL;
    if (!plan_reattach(c, G7, "spec.nodeRole.detach is Never"))
        return false;
    ctx_wait(c, G7, REASON_NOT_REQUESTED, 0, "spec.nodeRole.detach is Never");
    c->blocked = false; /* that is what was asked for */
    return true;
}

static struct node_role_fact *next_role(struct ctx *c, size_t *in_scope) {
    struct node_role_fact *next = NULL;
    for (size_t i = 0; i < c->nroles; i++) {
        if (!role_is_in_scope(c, &c->roles[i]))
            continue;
        ++*in_scope;
        if (!next && c->roles[i].attached.n > 0)
            next = &c->roles[i];
    }
    return next;
}

static bool await_approval(struct ctx *c) {
    describe(c, " (after: cni-iam approve)");
    c->blocked = true;
    ctx_wait(c, G7, REASON_AWAITING_APPROVAL, 0, "%sapprove with: cni-iam approve %s (digest %s)",
             c->s->guard.fired ? "the guard fired; a detachment needs a new approval; " : "", c->b->name,
             c->s->plan.digest);
    return false;
}

bool plan_cutover(struct ctx *c) {
    copy_facts(c);
    size_t in_scope = 0;
    struct node_role_fact *r = next_role(c, &in_scope);
    if (c->spec->node_role.detach == CIB_DETACH_NEVER) {
        bool done = turned_off(c);
        describe_roles(c);
        return done;
    }
    c->s->plan.digest = r ? approval_digest(c) : NULL;
    /* What is off stays off, whatever else is in progress: a node that joins does not make it undone. */
    if (!r && !c->missing_reads && c->roles_known && ctx_anything_detached(c)) {
        bool blocked = c->blocked;
        nothing_left(c, in_scope);
        c->blocked = blocked;
        describe_roles(c);
        return !blocked;
    }
    if (c->blocked || c->missing_reads || !c->may_act) {
        describe(c, c->spec->node_role.detach == CIB_DETACH_AUTOMATIC ? "" : " (after: cni-iam approve)");
        describe_roles(c);
        c->p->soak_first_boot_ms = 0;
        return ctx_pending(c, G7), false;
    }
    if (!r) {
        bool done = nothing_left(c, in_scope);
        describe_roles(c);
        return done;
    }
    accept_approval(c);
    bool asked = GUARD(detachment_is_approved, approved(c));
    bool clear = may_be_asked(c) && check_consumers(c, r, asked);
    describe_roles(c);
    if (!clear) {
        if (!c->missing_reads)
            describe(c, " (held back)");
        return false;
    }
    bool soak_done = soaked(c);
    if (!asked) {
        /* The soak runs on while the approval is awaited; what is shown is what the reader can act on. */
        c->waiting_reason = NULL;
        return await_approval(c);
    }
    if (!soak_done) {
        describe(c, "");
        return false;
    }
    return act(c, r);
}
