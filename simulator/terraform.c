/*
 * terraform.c - Terraform, run by somebody now and then: what its state says comes back. It attaches the policies that it
 * knows again, writes the trust policy that it knows over what is there, and removes tags that are not in its code.
 */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/others_internal.h"

/* What `terraform apply` has written before: the role as it is now. */
static bool records(struct deed *d) {
    const char *role = deed_arg(d, "role");
    json *got = NULL, *state = d->o->terraform_state;
    struct strlist arns;
    if (!deed_aws(d, "iam", "GetRole", &got, "RoleName", role, NULL))
        return false;
    if (!state)
        state = d->o->terraform_state = json_object();
    json *known = json_add_object(state, role);
    json_add_str(known, "trust", json_str(got, "Role.AssumeRolePolicyDocument"));
    json *tags = json_add_array(known, "tags");
    for (const json *it = json_first(json_array(got, "Role.Tags")); it; it = it->next)
        json_push_str(tags, json_str(it, "Key"));
    json_free(got);
    if (!deed_attached(d, role, &arns))
        return false;
    json *policies = json_add_array(known, "policies");
    for (size_t i = 0; i < arns.n; i++)
        json_push_str(policies, arns.v[i]);
    return true;
}

static bool apply_tags(struct deed *d, const char *role, const json *known, const json *got) {
    struct strlist tags = json_strings(json_array(known, "tags"), d->a);
    for (const json *it = json_first(json_array(got, "Role.Tags")); it; it = it->next)
        if (!strlist_has(&tags, json_str(it, "Key")) &&
            !deed_aws(d, "iam", "UntagRole", NULL, "RoleName", role, "TagKeys.member.1", json_str(it, "Key"), NULL))
            return false;
    return true;
}

static bool apply_policies(struct deed *d, const char *role, const json *known) {
    struct strlist attached;
    if (!deed_attached(d, role, &attached))
        return false;
    for (const json *it = json_first(json_array(known, "policies")); it; it = it->next)
        if (!strlist_has(&attached, it->valuestring) &&
            !deed_aws(d, "iam", "AttachRolePolicy", NULL, "RoleName", role, "PolicyArn", it->valuestring, NULL))
            return false;
    return true;
}

static bool apply_role(struct deed *d, const char *role, const json *known) {
    json *got = NULL;
    if (!deed_aws(d, "iam", "GetRole", &got, "RoleName", role, NULL))
        return false;
    bool same = str_eq(json_str(got, "Role.AssumeRolePolicyDocument"), json_str(known, "trust"));
    bool ok = (same || deed_aws(d, "iam", "UpdateAssumeRolePolicy", NULL, "RoleName", role, "PolicyDocument",
                                json_str(known, "trust"), NULL)) &&
              apply_tags(d, role, known, got) && apply_policies(d, role, known);
    json_free(got);
    return ok;
}

static bool applies(struct deed *d) {
    for (const json *it = json_first(d->o->terraform_state); it; it = it->next)
        if (!apply_role(d, it->string, it))
            return false;
    return true;
}

const struct sim_verb terraform_verbs[] = {
    {"records", records, {"role"}},
    {"applies", applies, {NULL}},
    {NULL, NULL, {NULL}},
};
