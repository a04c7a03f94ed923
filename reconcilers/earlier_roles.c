/*
 * earlier_roles.c - roles that pods had by this binding before spec.role named another one.
 *
 * Status lists them from the moment that another name is planned. Each goes when nobody uses it any more: the annotation names
 * another, a live list shows no pod that bears it (a terminating one does), and both have been so for soakSeconds, as a webhook may
 * be late. What may be removed of it is decided as for every role of ours (S5): its live tags, its trust, its policies.
 */
#include <string.h>

#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"

void remember_earlier_roles(struct ctx *c) {
    const struct strlist *known = &c->s->role.earlier;
    const char *was = c->s->role.arn;
    struct strlist all = {0};
    for (size_t i = 0; i < known->n; i++)
        if (!str_eq_nocase(name_of_arn(known->v[i]), c->role_name))
            strlist_add(&all, known->v[i], c->a);
    bool changed = was && !str_eq_nocase(name_of_arn(was), c->role_name) && !strlist_has(&all, was);
    if (changed && all.n < CIB_EARLIER_ROLES_MAX)
        strlist_add(&all, was, c->a);
    else if (changed)
        ctx_note(c, true, "RoleRetained", "Change", "role %s stays: %d earlier ones are in use still", was,
                 CIB_EARLIER_ROLES_MAX);
    c->s->role.earlier = all;
}

static bool unused_for_long_enough(struct ctx *c) {
    struct progress *p = c->p;
    if (p->earlier_unused_boot_ms == 0)
        p->earlier_unused_boot_ms = c->w->now_boot_ms;
    int64_t left = (int64_t)c->spec->node_role.soak_seconds * 1000 - (c->w->now_boot_ms - p->earlier_unused_boot_ms);
    if (left > 0)
        ctx_requeue(c, left);
    return left <= 0;
}

/* The IPv6 policy is named after its role and beside it. */
static const char *ipv6_policy_of(struct ctx *c, const char *role_arn) {
    const char *path = strstr(role_arn, ":role/");
    if (!path)
        return NULL;
    return arena_printf(c->a, "%.*s:policy%.*s%s", (int)(path - role_arn), role_arn,
                        (int)(name_of_arn(role_arn) - (path + strlen(":role"))), path + strlen(":role"),
                        name_ipv6_policy(name_of_arn(role_arn), c->a));
}

/* True: there is nothing left to do about it. */
static bool clean_up(struct ctx *c, const char *arn, bool deleting) {
    bool known;
    if (!deleting && !unused_for_long_enough(c))
        return false;
    const char *user = role_user(c, arn, LIVE_MAX_AGE_MS, &known);
    if (!known)
        return false;
    if (GUARD(earlier_role_is_unused, !user))
        return cleanup_role(c, name_of_arn(arn)) && (!c->ipv6 || cleanup_policy(c, ipv6_policy_of(c, arn)));
    c->p->earlier_unused_boot_ms = 0;
    if (deleting)
        return ctx_wait(c, G8, REASON_RESTORING, POLL_MS, "the earlier role %s stays as long as %s", arn, user);
    ctx_requeue(c, RETRY_MS);
    return false;
}

bool cleanup_earlier_roles(struct ctx *c, bool deleting) {
    const struct strlist all = c->s->role.earlier;
    struct strlist left = {0};
    for (size_t i = 0; i < all.n; i++)
        if (left.n > 0 || !clean_up(c, all.v[i], deleting))
            strlist_add(&left, all.v[i], c->a);
    c->s->role.earlier = left;
    return left.n == 0;
}
