/* permissions.c - G2, second half: the policies of the target role are attached and cover what this CNI needs. */
#include <string.h>

#include "reconcilers/context.h"
#include "reconcilers/policy_document.h"

const struct effect *effect_attach(struct ctx *c, const char *role, const char *policy) {
    return effect_new(c->a, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", role, "PolicyArn", policy, NULL);
}

bool attach_succeeded(struct ctx *c, const char *role, const char *policy, int64_t within_ms) {
    const char *key = effect_key(effect_attach(c, role, policy), c->a);
    const struct observation *o = observations_get(c->w->observations, key, c->w->now_boot_ms, within_ms);
    return o && o->error.code == ERR_NONE;
}

static bool is_aws_managed(const char *arn) {
    return arn && strstr(arn, ":iam::aws:policy/") != NULL;
}

static bool is_our_ipv6_policy(const struct ctx *c, const char *arn) {
    return c->spec->permissions.policy_arns.n == 0 && c->ipv6 && str_eq(arn, c->target_policies.v[0]);
}

static const struct effect *create_ipv6_policy(struct ctx *c) {
    return effect_new(c->a, EFFECT_IAM_CREATE_POLICY, "PolicyName", name_ipv6_policy(c->role_name, c->a), "Path",
                      c->role_path, "PolicyDocument", ipv6_policy_build(c->partition, c->a), "Description",
                      "What the Amazon VPC CNI needs in an IPv6 cluster", "Tags.member.1.Key", TAG_MANAGED_BY,
                      "Tags.member.1.Value", TAG_MANAGED_BY_VALUE, "Tags.member.2.Key", TAG_CLUSTER,
                      "Tags.member.2.Value", c->cluster_arn, "Tags.member.3.Key", TAG_BINDING, "Tags.member.3.Value",
                      c->b->name, NULL);
}

static bool plan_absent_policy(struct ctx *c, const char *arn) {
    if (!is_our_ipv6_policy(c, arn))
        return ctx_stall(c, G2, REASON_POLICY_NOT_FOUND,
                         "policy %s does not exist; create it, or correct spec.permissions.policyARNs", arn);
    c->s->policies.created_arn = arn;
    struct step *step = ctx_step(c, G2, create_ipv6_policy(c), "an IPv6 cluster has no managed CNI policy",
                                 "+ create IAM policy %s (IPv6 CNI actions)", arn);
    step->event_reason = "PolicyCreated";
    step->event_note = arena_printf(c->a, "created IAM policy %s", arn);
    return ctx_wait(c, G2, REASON_CREATING, 0, "the IPv6 policy %s is to be created", arn);
}

/* The default version's document of a customer policy; NULL: missing reads, or the gate was answered already. */
static const char *policy_text(struct ctx *c, const char *arn, const json **policy) {
    const struct effect *e = effect_new(c->a, EFFECT_IAM_GET_POLICY, "PolicyArn", arn, NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return NULL;
    if (o->error.code == ERR_NOT_FOUND)
        return plan_absent_policy(c, arn), NULL;
    if (o->error.code)
        return ctx_read_failed(c, G2, e, &o->error), NULL;
    *policy = json_get(o->value, "Policy");
    const char *version = str_or(json_str(*policy, "DefaultVersionId"), "v1");
    const struct effect *get =
        effect_new(c->a, EFFECT_IAM_GET_POLICY_VERSION, "PolicyArn", arn, "VersionId", version, NULL);
    o = ctx_read(c, get, ctx_audit_age(c));
    if (!o)
        return NULL;
    if (o->error.code)
        return ctx_read_failed(c, G2, get, &o->error), NULL;
    return str_or(json_str(o->value, "PolicyVersion.Document"), "{}");
}

/* IAM keeps five versions: the oldest that is not the default goes first. */
static bool make_room_for_version(struct ctx *c, const char *arn) {
    const struct effect *e = effect_new(c->a, EFFECT_IAM_LIST_POLICY_VERSIONS, "PolicyArn", arn, NULL);
    const struct observation *o = ctx_read(c, e, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, G2, e, &o->error);
    const json *versions = json_array(o->value, "Versions"), *oldest = NULL;
    if (json_array_size(versions) < 5)
        return true;
    for (const json *it = json_first(versions); it; it = it->next)
        if (!json_bool(it, "IsDefaultVersion", false) &&
            (!oldest || strcmp(str_or(json_str(it, "CreateDate"), ""), str_or(json_str(oldest, "CreateDate"), "")) < 0))
            oldest = it;
    ctx_step(c, G2,
             effect_new(c->a, EFFECT_IAM_DELETE_POLICY_VERSION, "PolicyArn", arn, "VersionId",
                        json_str(oldest, "VersionId"), NULL),
             "a policy has at most five versions", "- delete version %s of IAM policy %s",
             str_or(json_str(oldest, "VersionId"), "?"), arn);
    return ctx_wait(c, G2, REASON_REPAIRING, 0, "policy %s has five versions, the oldest is to be deleted", arn);
}

static bool repair_ipv6_policy(struct ctx *c, const char *arn, const json *policy) {
    bool ours = false;
    for (const json *it = json_first(json_get(policy, "Tags")); it; it = it->next)
        ours =
            ours || (str_eq_nocase(json_str(it, "Key"), TAG_CLUSTER) && str_eq(json_str(it, "Value"), c->cluster_arn));
    if (!ours)
        return ctx_stall(c, G2, REASON_POLICY_NOT_OURS,
                         "policy %s lacks CNI actions and was not made by this binding; correct it, or name another in "
                         "spec.permissions.policyARNs",
                         arn);
    if (!make_room_for_version(c, arn))
        return false;
    ctx_step(c, G2,
             effect_new(c->a, EFFECT_IAM_CREATE_POLICY_VERSION, "PolicyArn", arn, "PolicyDocument",
                        ipv6_policy_build(c->partition, c->a), "SetAsDefault", "true", NULL),
             "the policy lacks actions that the CNI needs", "~ update IAM policy %s (IPv6 CNI actions)", arn);
    return ctx_wait(c, G2, REASON_REPAIRING, 0, "policy %s is to be updated", arn);
}

static bool check_coverage(struct ctx *c) {
    struct strlist documents = {0};
    const struct strlist *arns = &c->target_policies;
    for (size_t i = 0; i < arns->n; i++) {
        if (is_aws_managed(arns->v[i]))
            return true; /* AWS keeps it current; G3 proves what it is worth */
        const json *policy = NULL;
        const char *text = policy_text(c, arns->v[i], &policy);
        if (!text)
            return false;
        struct strlist one = {0}, needed = cni_actions(c->ipv6, c->a);
        strlist_add(&one, text, c->a);
        if (is_our_ipv6_policy(c, arns->v[i]) && policy_missing_actions(&one, &needed, c->a).n > 0)
            return repair_ipv6_policy(c, arns->v[i], policy);
        strlist_add(&documents, text, c->a);
    }
    struct strlist needed = cni_actions(c->ipv6, c->a), missing = policy_missing_actions(&documents, &needed, c->a);
    if (missing.n == 0)
        return true;
    return ctx_stall(c, G2, REASON_PERMISSIONS_INCOMPLETE,
                     "the policies in spec.permissions.policyARNs do not allow %s, which the VPC CNI needs; add them "
                     "or name another policy",
                     strlist_join(&missing, ", ", c->a));
}

bool attached_has(const json *attached, const char *arn) {
    for (const json *it = json_first(json_array(attached, "AttachedPolicies")); it; it = it->next)
        if (str_eq(json_str(it, "PolicyArn"), arn))
            return true;
    return false;
}

/* --- a fight over a policy of the role (L8) ---
 *
 * Pods that live on the role have nothing without the policy: unlike an annotation it is attached however often it goes, only not more
 * often than FIGHT_PACE_MS. What ends after three rounds is that nobody hears of it, and that the migration goes on. */
#define FIGHT_MS 600000
#define FIGHT_PACE_MS 10000

static void count_loss(struct ctx *c) {
    struct progress *p = c->p;
    int64_t now = c->w->now_boot_ms;
    if (p->policy_flips[0] && now - p->policy_flips[0] < FIGHT_PACE_MS)
        return; /* IAM does not show our own attach yet: nobody is that fast */
    if (p->policy_flips[2] && now - p->policy_flips[2] < FIGHT_MS)
        p->policy_fight_until_boot_ms = now + FIGHT_MS;
    p->policy_flips[2] = p->policy_flips[1];
    p->policy_flips[1] = p->policy_flips[0];
    p->policy_flips[0] = now;
}

static bool is_fought_over(const struct ctx *c) {
    return c->p->policy_fight_until_boot_ms > c->w->now_boot_ms;
}

static bool tell_fight(struct ctx *c) {
    return ctx_stall(
        c, G2, REASON_CONFLICT,
        "somebody took a policy off role %s more than three times in ten minutes; it is attached each "
        "time, and pods are without permissions until then; stop whoever does it; see who with: aws "
        "cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=DetachRolePolicy",
        c->role_name);
}

/* False: not yet. */
static bool pace_of_fight_allows(struct ctx *c) {
    int64_t left = FIGHT_PACE_MS - (c->w->now_boot_ms - c->p->policy_flips[0]);
    if (!is_fought_over(c) || left <= 0)
        return true;
    ctx_requeue(c, left);
    return tell_fight(c);
}

static bool attach_missing(struct ctx *c, const char *arn) {
    bool was_there =
        c->w->binding->status.gates[G2].state == CIB_GATE_PASSED || attach_succeeded(c, c->role_name, arn, FIGHT_MS);
    bool acting = !c->blocked && c->may_act && !c->missing_reads;
    if (acting && was_there && !pace_of_fight_allows(c))
        return false;
    struct step *step = ctx_step(c, G2, effect_attach(c, c->role_name, arn), "what the VPC CNI needs",
                                 "+ attach %s to IAM role %s", arn, c->role_name);
    step->event_reason = "PolicyAttached";
    step->event_note = arena_printf(c->a, "attached %s to role %s", arn, c->role_name);
    if (acting && was_there)
        count_loss(c);
    if (is_fought_over(c))
        return tell_fight(c);
    return ctx_wait(c, G2, REASON_CREATING, 0, "policy %s is to be attached to role %s", arn, c->role_name);
}

static bool plan_attachments(struct ctx *c) {
    const struct effect *e = effect_new(c->a, EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "RoleName", c->role_name, NULL);
    const struct observation *o = c->role_present ? ctx_read(c, e, ctx_audit_age(c)) : NULL;
    if (c->role_present && !o)
        return false;
    if (o && o->error.code)
        return ctx_read_failed(c, G2, e, &o->error);
    for (size_t i = 0; i < c->target_policies.n; i++) {
        const char *arn = c->target_policies.v[i];
        if (o && attached_has(o->value, arn))
            continue;
        if (c->spec->role.management == CIB_REFERENCE)
            return ctx_stall(
                c, G2, REASON_ROLE_NOT_READY,
                "role %s is only referenced and lacks policy %s; attach it: aws iam attach-role-policy --role-name %s "
                "--policy-arn %s",
                c->role_name, arn, c->role_name, arn);
        return attach_missing(c, arn);
    }
    return !is_fought_over(c) || tell_fight(c);
}

static bool boundary_denies(const json *value, struct strlist *denied, struct arena *a) {
    for (const json *it = json_first(json_array(value, "EvaluationResults")); it; it = it->next)
        if (!json_bool(it, "PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary", true))
            strlist_add(denied, str_or(json_str(it, "EvalActionName"), "?"), a);
    return denied->n > 0;
}

/* Only a hint (G2): asked where a boundary is, and an implementation without the simulator is no reason to stop. */
static bool check_boundary(struct ctx *c) {
    const struct effect *get = effect_new(c->a, EFFECT_IAM_GET_ROLE, "RoleName", c->role_name, NULL);
    const struct observation *role = ctx_read(c, get, ctx_audit_age(c));
    if (!role)
        return false;
    if (!json_str(role->value, "Role.PermissionsBoundary.PermissionsBoundaryArn"))
        return true;
    struct effect *e = effect_new(c->a, EFFECT_IAM_SIMULATE_PRINCIPAL_POLICY, "PolicySourceArn", c->role_arn, NULL);
    struct strlist actions = cni_actions(c->ipv6, c->a), denied = {0};
    for (size_t i = 0; i < actions.n; i++)
        effect_add_arg(e, c->a, arena_printf(c->a, "ActionNames.member.%zu", i + 1), actions.v[i]);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (o->error.code || !boundary_denies(o->value, &denied, c->a))
        return true;
    return ctx_stall(c, G2, REASON_BOUNDARY_DENIES,
                     "the permissions boundary of role %s takes away %s; extend the boundary or use a role without it",
                     c->role_name, strlist_join(&denied, ", ", c->a));
}

bool plan_permissions(struct ctx *c) {
    c->s->policies.arns = c->target_policies;
    bool coverage = check_coverage(c);
    if (!coverage && !c->role_present) {
        plan_attachments(c); /* only described: what follows once the policy exists */
        return false;
    }
    if (!coverage || !plan_attachments(c) || !c->role_present)
        return false;
    if (!check_boundary(c))
        return false;
    return ctx_pass(c, G2, REASON_VERIFIED, "%s: trust exact, %s attached", c->role_arn,
                    strlist_join(&c->target_policies, ", ", c->a));
}
