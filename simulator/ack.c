/*
 * ack.c - ACK's IAM controller with a Role resource: its spec's policies are all that may be attached, what is missing is
 * attached, what is not in the list is detached, and it comes back.
 */
#include "platform/base/str.h"
#include "simulator/others_internal.h"

static bool reconcile(struct deed *d) {
    const char *role = json_str(d->o->ack_spec, "role");
    struct strlist wanted = json_strings(json_array(d->o->ack_spec, "policies"), d->a), attached;
    if (!deed_attached(d, role, &attached))
        return false;
    for (size_t i = 0; i < wanted.n; i++)
        if (!strlist_has(&attached, wanted.v[i]) &&
            !deed_aws(d, "iam", "AttachRolePolicy", NULL, "RoleName", role, "PolicyArn", wanted.v[i], NULL))
            return false;
    for (size_t i = 0; i < attached.n; i++)
        if (!strlist_has(&wanted, attached.v[i]) &&
            !deed_aws(d, "iam", "DetachRolePolicy", NULL, "RoleName", role, "PolicyArn", attached.v[i], NULL))
            return false;
    return true;
}

/* policies: with commas; every: its resync. */
static bool owns_role(struct deed *d) {
    struct strlist policies = str_split(deed_arg(d, "policies"), ',', d->a);
    json_free(d->o->ack_spec);
    d->o->ack_spec = json_object();
    json_add_str(d->o->ack_spec, "role", deed_arg(d, "role"));
    json *list = json_add_array(d->o->ack_spec, "policies");
    for (size_t i = 0; i < policies.n; i++)
        json_push_str(list, deed_policy_arn(d, policies.v[i]));
    static const struct sim_verb again = {"reconciles", reconcile, {NULL}};
    keeper_start(&d->o->ack, d, &again, deed_duration_ms(d, "every", 30000));
    return reconcile(d);
}

static bool stops(struct deed *d) {
    keeper_stop(&d->o->ack);
    return true;
}

const struct sim_verb ack_verbs[] = {
    {"owns-role", owns_role, {"role", "policies", "every?"}},
    {"reconciles", reconcile, {NULL}},
    {"stops", stops, {NULL}},
    {NULL, NULL, {NULL}},
};
