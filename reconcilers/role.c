/* role.c - G2, first half: the role is ours or adopted, its trust is exact (S4), nothing of others is touched (S5). */
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"
#include "reconcilers/policy_document.h"

#define ADOPTION_TAGS_MAX 40 /* IAM allows 50 on a role, and a few come later */

static const char *tag_value(const json *tags, const char *key) {
    for (const json *it = json_first(tags); it; it = it->next)
        if (str_eq(json_str(it, "Key"), key))
            return json_str(it, "Value");
    return NULL;
}

static void add_tag(const struct ctx *c, struct effect *e, int *n, const char *key, const char *value) {
    ++*n;
    effect_add_arg(e, c->a, arena_printf(c->a, "Tags.member.%d.Key", *n), key);
    effect_add_arg(e, c->a, arena_printf(c->a, "Tags.member.%d.Value", *n), value);
}

static void add_own_tags(const struct ctx *c, struct effect *e, int *n) {
    add_tag(c, e, n, TAG_MANAGED_BY, TAG_MANAGED_BY_VALUE);
    add_tag(c, e, n, TAG_CLUSTER, c->cluster_arn);
    add_tag(c, e, n, TAG_BINDING, c->b->name);
    /* The prior state, for an operator that finds the role but no status (a binding pruned and applied again). */
    add_tag(c, e, n, TAG_PRIOR_ROLE, str_or(c->s->prior.role_arn, "none"));
    for (size_t i = 0; i < c->spec->role.ntags; i++)
        add_tag(c, e, n, c->spec->role.tags[i].key, c->spec->role.tags[i].value);
}

static struct trust_want wanted_trust(const struct ctx *c) {
    return (struct trust_want){.provider_arn = c->provider_arn, .issuer = c->issuer};
}

static const struct effect *create_role(struct ctx *c) {
    const struct cib_spec *spec = c->spec;
    struct trust_want w = wanted_trust(c);
    const char *duration = spec->role.max_session_duration_seconds
                               ? arena_printf(c->a, "%d", spec->role.max_session_duration_seconds)
                               : NULL;
    struct effect *e = effect_new(c->a, EFFECT_IAM_CREATE_ROLE, "RoleName", c->role_name, "Path", c->role_path,
                                  "AssumeRolePolicyDocument", trust_build(&w, c->a), NULL);
    effect_add_arg(e, c->a, "Description",
                   str_or(spec->role.description, arena_printf(c->a, "aws-node of EKS cluster %s", c->cluster_name)));
    effect_add_arg(e, c->a, "MaxSessionDuration", duration);
    effect_add_arg(e, c->a, "PermissionsBoundary", spec->role.permissions_boundary_arn);
    int n = 0;
    add_own_tags(c, e, &n);
    /* A role that somebody deleted comes back with the record of what was detached (S3). */
    for (size_t i = 0; i < c->s->nnode_roles; i++)
        for (size_t j = 0; j < c->s->node_roles[i].detached.n; j++)
            add_tag(c, e, &n, arena_printf(c->a, "%s%s", TAG_DETACHED_PREFIX, c->s->node_roles[i].name),
                    c->s->node_roles[i].detached.v[j]);
    return e;
}

static bool plan_absent_role(struct ctx *c) {
    if (c->spec->role.management != CIB_MANAGE)
        return ctx_stall(c, G2, REASON_ROLE_NOT_FOUND,
                         "role %s does not exist and role.management is %s; create it, or use management: Manage",
                         c->role_name, c->spec->role.management == CIB_ADOPT ? "Adopt" : "Reference");
    c->s->role.created = true;
    struct step *step = ctx_step(c, G2, create_role(c), "aws-node's own role",
                                 "+ create IAM role %s (trust: %s for %s only)", c->role_arn, TRUST_SUBJECT, c->issuer);
    step->event_reason = "RoleCreated";
    step->event_note = arena_printf(c->a, "created IAM role %s", c->role_arn);
    return ctx_wait(c, G2, REASON_CREATING, 0, "the IAM role %s is to be created", c->role_name);
}

/* S5: tags are read live with the role; the binding's uid is not part of it, so a binding that was applied again owns its role. */
static bool tags_say_ours(const struct ctx *c, const json *tags) {
    return str_eq(tag_value(tags, TAG_MANAGED_BY), TAG_MANAGED_BY_VALUE) &&
           (MUTANT(cluster_tag_is_not_compared) || str_eq(tag_value(tags, TAG_CLUSTER), c->cluster_arn)) &&
           str_eq(tag_value(tags, TAG_BINDING), c->b->name);
}

/* Written with the adoption, before any of them is attached: what was there before us is not ours to take off again (S5). */
static bool add_tags_of_missing_policies(struct ctx *c, struct effect *e, int *n) {
    const struct effect *list =
        effect_new(c->a, EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "RoleName", c->role_name, NULL);
    const struct observation *o = ctx_read(c, list, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, G2, list, &o->error);
    for (size_t i = 0; i < c->target_policies.n; i++) {
        const char *arn = c->target_policies.v[i];
        const char *key = name_attached_tag(arn, c->a);
        if (!attached_has(o->value, arn) && strlen(key) <= TAG_KEY_MAX && *n < ADOPTION_TAGS_MAX)
            add_tag(c, e, n, key, arn);
    }
    return true;
}

static bool check_ownership(struct ctx *c, const json *role) {
    const json *tags = json_get(role, "Tags");
    c->role_adopted = str_eq(tag_value(tags, TAG_ADOPTED), "true");
    c->role_ours = tags_say_ours(c, tags);
    if (GUARD(role_is_ours, c->spec->role.management == CIB_REFERENCE || c->role_ours))
        return true;
    if (c->spec->role.management == CIB_MANAGE)
        return ctx_stall(
            c, G2, REASON_ROLE_NOT_OURS,
            "role %s exists and was not made by this binding; choose another spec.role.name, or set role.management: "
            "Adopt to have its trust extended and its policies attached (it is then never deleted)",
            c->role_name);
    struct effect *e = effect_new(c->a, EFFECT_IAM_TAG_ROLE, "RoleName", c->role_name, NULL);
    int n = 0;
    add_own_tags(c, e, &n);
    add_tag(c, e, &n, TAG_ADOPTED, "true");
    if (!add_tags_of_missing_policies(c, e, &n))
        return false;
    struct step *step = ctx_step(c, G2, e, "adoption was asked for",
                                 "~ adopt IAM role %s (tags only; it is never deleted)", c->role_arn);
    step->event_reason = "RoleAdopted";
    step->event_note = arena_printf(c->a, "adopted IAM role %s", c->role_arn);
    return ctx_wait(c, G2, REASON_REPAIRING, 0, "role %s is to be adopted", c->role_name);
}

static bool plan_trust(struct ctx *c, const json *role) {
    struct trust_want w = wanted_trust(c);
    struct trust_report r;
    const char *document = json_str(role, "AssumeRolePolicyDocument");
    if (!trust_examine(document, &w, &r, c->a))
        return ctx_stall(c, G2, REASON_TRUST_POLICY_UNREADABLE,
                         "the trust policy of role %s can not be read as a policy document; see with: aws iam get-role "
                         "--role-name %s",
                         c->role_name, c->role_name);
    if (r.broad)
        ctx_note(c, true, "BroadTrust", "Inspect",
                 "role %s also trusts this cluster's provider without an exact sub: any ServiceAccount it allows can "
                 "take the role",
                 c->role_name);
    if (GUARD(trust_is_exact, r.exact && !r.ours_wrong))
        return true;
    if (c->spec->role.management == CIB_REFERENCE)
        return ctx_stall(c, G2, REASON_ROLE_NOT_READY,
                         "role %s is only referenced and its trust policy lacks the statement for aws-node; add: %s",
                         c->role_name, trust_build(&w, c->a));
    /* IAM takes the document whole: one that was read a while ago would undo what others wrote since. */
    if (!ctx_read(c, effect_new(c->a, EFFECT_IAM_GET_ROLE, "RoleName", c->role_name, NULL), 0))
        return false;
    struct step *step =
        ctx_step(c, G2,
                 effect_new(c->a, EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY, "RoleName", c->role_name, "PolicyDocument",
                            trust_merge(document, &w, c->a), NULL),
                 "the trust for aws-node must be exact; statements of others are kept",
                 "~ update trust of IAM role %s (ours exact, %zu foreign statements kept)", c->role_name, r.foreign);
    step->event_reason = "TrustRepaired";
    step->event_note = arena_printf(c->a, "wrote the trust statement of aws-node in role %s, kept %zu others",
                                    c->role_name, r.foreign);
    return ctx_wait(c, G2, REASON_REPAIRING, 0, "the trust policy of role %s is to be corrected", c->role_name);
}

static bool plan_boundary(struct ctx *c, const json *role) {
    const char *want = c->spec->role.permissions_boundary_arn;
    if (!want || c->spec->role.management == CIB_REFERENCE ||
        str_eq(json_str(role, "PermissionsBoundary.PermissionsBoundaryArn"), want))
        return true;
    ctx_step(
        c, G2,
        effect_new(c->a, EFFECT_IAM_PUT_ROLE_BOUNDARY, "RoleName", c->role_name, "PermissionsBoundary", want, NULL),
        "spec.role.permissionsBoundaryARN", "~ set permissions boundary of IAM role %s to %s", c->role_name, want);
    return ctx_wait(c, G2, REASON_REPAIRING, 0, "the boundary of role %s is to be set", c->role_name);
}

static bool plan_attributes(struct ctx *c, const json *role) {
    const struct cib_spec *spec = c->spec;
    if (spec->role.management != CIB_MANAGE)
        return true;
    int64_t duration = json_int64_or(role, "MaxSessionDuration", 3600);
    const char *text = json_str(role, "MaxSessionDuration");
    if (text)
        str_to_int64(text, &duration);
    bool duration_differs =
        spec->role.max_session_duration_seconds && duration != spec->role.max_session_duration_seconds;
    bool description_differs = spec->role.description && !str_eq(json_str(role, "Description"), spec->role.description);
    if (duration_differs || description_differs) {
        /* Both are always sent: some implementations reset what is left out (aws.md 3.2). */
        if (spec->role.max_session_duration_seconds)
            duration = spec->role.max_session_duration_seconds;
        ctx_step(c, G2,
                 effect_new(c->a, EFFECT_IAM_UPDATE_ROLE, "RoleName", c->role_name, "Description",
                            str_or(spec->role.description, json_str(role, "Description")), "MaxSessionDuration",
                            arena_printf(c->a, "%lld", (long long)duration), NULL),
                 "spec.role", "~ update description and session duration of IAM role %s", c->role_name);
        return ctx_wait(c, G2, REASON_REPAIRING, 0, "attributes of role %s are to be updated", c->role_name);
    }
    for (size_t i = 0; i < spec->role.ntags; i++) {
        const struct cib_tag *t = &spec->role.tags[i];
        if (str_eq(tag_value(json_get(role, "Tags"), t->key), t->value))
            continue;
        ctx_step(c, G2,
                 effect_new(c->a, EFFECT_IAM_TAG_ROLE, "RoleName", c->role_name, "Tags.member.1.Key", t->key,
                            "Tags.member.1.Value", t->value, NULL),
                 "spec.role.tags", "~ tag IAM role %s: %s=%s", c->role_name, t->key, t->value);
        return ctx_wait(c, G2, REASON_REPAIRING, 0, "tags of role %s are to be set", c->role_name);
    }
    return true;
}

/* What aws-node lived on before us; recorded once, before the first write that could change it (S3, S15). */
static void record_prior(struct ctx *c) {
    const struct service_account_view *sa = c->w->service_account;
    const char *role = sa ? sa->role_arn : NULL;
    c->s->prior.recorded = true;
    c->s->prior.role_arn = str_eq(role, c->role_arn) ? NULL : role;
    c->s->prior.sts_regional_endpoints = sa ? sa->sts_regional_endpoints : NULL;
    /* No pod yet: nothing was broken. No node, or one whose role is not known: nothing says that it was (S14). */
    bool granted = role != NULL || c->npods == 0 || !c->roles_known || c->nnodes == 0;
    for (size_t i = 0; i < c->nroles; i++)
        granted = granted || c->roles[i].grants_cni;
    c->s->prior.worked = granted && (c->nready > 0 || c->npods == 0);
}

/* A status that was lost with its object is rebuilt from the tags of the role, so that deletion still restores (S15). */
static void recall_prior_state(struct ctx *c, const json *role) {
    const json *tags = json_get(role, "Tags");
    const char *prior = tag_value(tags, TAG_PRIOR_ROLE);
    c->s->prior.recorded = true;
    c->s->prior.role_arn = str_eq(prior, "none") ? NULL : prior;
    c->s->prior.worked = true;
    for (const json *it = json_first(tags); it; it = it->next) {
        const char *key = json_str(it, "Key"), *policy = json_str(it, "Value");
        if (!str_has_prefix(key, TAG_DETACHED_PREFIX) || str_empty(policy) || str_eq(policy, "none"))
            continue;
        const char *arn =
            arena_printf(c->a, "arn:%s:iam::%s:role/%s", c->partition, c->account, key + strlen(TAG_DETACHED_PREFIX));
        struct cib_node_role *r = ctx_status_role(c, arn, true);
        if (r && !strlist_has(&r->detached, policy))
            strlist_add(&r->detached, policy, c->a);
        if (r)
            r->probed_ms = c->w->now_wall_ms; /* it was off: the way back has to soak */
    }
}

bool plan_role(struct ctx *c) {
    const struct effect *e = effect_new(c->a, EFFECT_IAM_GET_ROLE, "RoleName", c->role_name, NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (o->error.code && o->error.code != ERR_NOT_FOUND)
        return ctx_read_failed(c, G2, e, &o->error);
    remember_earlier_roles(c);
    c->s->role.name = c->role_name;
    c->s->role.arn = c->role_arn;
    if (!c->s->prior.recorded && o->error.code == ERR_NOT_FOUND)
        record_prior(c);
    if (o->error.code == ERR_NOT_FOUND)
        return plan_absent_role(c);
    c->role_present = true;
    const json *role = json_get(o->value, "Role");
    /* IAM names ignore case: the ARN that IAM states is the one that the token exchange and the annotation need. */
    c->role_arn = str_or(json_str(role, "Arn"), c->role_arn);
    c->s->role.arn = c->role_arn;
    c->s->role.id = json_str(role, "RoleId");
    const char *audience = c->w->service_account ? c->w->service_account->audience : NULL;
    c->restart_key = name_restart_key(c->role_arn, audience, c->sts_regional, c->a);
    bool recall = tags_say_ours(c, json_get(role, "Tags"));
    if (!c->s->prior.recorded && recall)
        recall_prior_state(c, role);
    else if (!c->s->prior.recorded)
        record_prior(c);
    if (!check_ownership(c, role))
        return false;
    return plan_trust(c, role) && (c->repairs_only || (plan_boundary(c, role) && plan_attributes(c, role)));
}
