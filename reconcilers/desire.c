/* desire.c - what the role is called, which policies it needs, and whether the spec may ask for that (S16). */
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"

static bool desire_role_name(struct ctx *c) {
    const struct cib_spec *spec = c->spec;
    c->role_path = str_or(spec->role.path, str_or(c->w->config->role_path, "/"));
    if (spec->role.arn) {
        c->role_name = name_of_arn(spec->role.arn);
        c->role_arn = spec->role.arn;
        return true;
    }
    c->role_name = spec->role.name ? spec->role.name : name_default_role(c->cluster_name, c->cluster_arn, c->a);
    if (MUTANT(role_is_named_anew_when_creating_failed) && c->w->last_effect &&
        c->w->last_effect->kind == EFFECT_IAM_CREATE_ROLE)
        c->role_name = arena_printf(c->a, "%s-2", c->role_name);
    c->role_arn = arena_printf(c->a, "arn:%s:iam::%s:role%s%s", c->partition, c->account, c->role_path, c->role_name);
    return true;
}

static bool check_path(struct ctx *c) {
    const char *allowed = str_or(c->w->config->role_path, "/");
    if (GUARD(role_path_is_allowed, c->spec->role.management == CIB_REFERENCE || str_has_prefix(c->role_path, allowed)))
        return true;
    return ctx_stall(c, G2, REASON_ROLE_PATH_REFUSED,
                     "spec.role.path %s is outside of the operator's --role-path %s; use a path below it", c->role_path,
                     allowed);
}

static const char *managed_cni_policy(const struct ctx *c) {
    return arena_printf(c->a, "arn:%s:iam::aws:policy/AmazonEKS_CNI_Policy", c->partition);
}

static const char *ipv6_policy_arn(const struct ctx *c) {
    return arena_printf(c->a, "arn:%s:iam::%s:policy%s%s", c->partition, c->account, c->role_path,
                        name_ipv6_policy(c->role_name, c->a));
}

static bool policy_is_allowed(const struct ctx *c, const char *arn) {
    const struct strlist *allowed = &c->w->config->allowed_policy_arns;
    if (allowed->n > 0)
        return strlist_has(allowed, arn);
    return str_eq(arn, managed_cni_policy(c)) || str_eq(arn, ipv6_policy_arn(c));
}

bool desire_role(struct ctx *c) {
    if (!desire_role_name(c) || !check_path(c))
        return false;
    const struct strlist *named = &c->spec->permissions.policy_arns;
    for (size_t i = 0; i < named->n; i++) {
        if (!GUARD(policy_is_allowed, policy_is_allowed(c, named->v[i])))
            return ctx_stall(c, G2, REASON_POLICY_NOT_ALLOWED,
                             "spec.permissions.policyARNs names %s, which the operator's --allowed-policy-arns does "
                             "not list; add it "
                             "there or leave it out",
                             named->v[i]);
        strlist_add(&c->target_policies, named->v[i], c->a);
    }
    if (named->n == 0)
        strlist_add(&c->target_policies, c->ipv6 ? ipv6_policy_arn(c) : managed_cni_policy(c), c->a);
    const char *audience = c->w->service_account ? c->w->service_account->audience : NULL;
    c->restart_key = name_restart_key(c->role_arn, audience, c->sts_regional, c->a);
    return true;
}
