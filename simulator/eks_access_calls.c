/*
 * eks_access_calls.c - access entries: which IAM principals are who in the cluster, and by which of EKS' own policies.
 *
 * Model: kept and shown; nobody comes to the API server with an IAM identity, so that nothing follows from them there.
 * Node roles have the entry that EKS makes with a node group.
 */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/eks_internal.h"

#define POLICY "cluster-access-policy/"
#define GROUPS_MAX 100

static const char *const policies[] = {"AmazonEKSAdminPolicy", "AmazonEKSAdminViewPolicy",
                                       "AmazonEKSClusterAdminPolicy", "AmazonEKSEditPolicy", "AmazonEKSViewPolicy"};
static const char *const types[] = {"STANDARD", "FARGATE_LINUX", "EC2_LINUX",     "EC2_WINDOWS",
                                    "EC2",      "HYBRID_LINUX",  "HYPERPOD_LINUX"};
static const char *const reserved[] = {"system:", "eks:", "aws:", "amazon:", "iam:"};
#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* --- policies of EKS --- */

static const char *policy_arn(struct sim_aws *a, const char *name) {
    return arena_printf(a->scratch, "arn:%s:eks::aws:" POLICY "%s", a->partition, name);
}

static void list_access_policies(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *value = json_object(), *list = json_add_array(value, "accessPolicies");
    for (size_t i = 0; i < LENGTH(policies); i++) {
        json *one = json_object();
        json_add_str(one, "name", policies[i]);
        json_add_str(one, "arn", policy_arn(a, policies[i]));
        json_push(list, one);
    }
    eks_give_page(a, c, value, "accessPolicies", out);
}

static bool is_policy(struct sim_aws *a, const char *arn) {
    for (size_t i = 0; i < LENGTH(policies); i++) {
        if (str_eq(arn, policy_arn(a, policies[i]))) {
            return true;
        }
    }
    return false;
}

/* --- entries --- */

/* NULL: answered. */
static json *find_entry(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (!eks_is_ours(a, c, "clusterName", out)) {
        return NULL;
    }
    json *entry = eks_item_with(a->entries, "principalArn", str_or(sim_param(c, "principalArn"), ""));
    if (entry == NULL) {
        eks_not_found(a, out,
                      "The specified principalArn could not be found. You can view your available access "
                      "entries with 'aws eks list-access-entries'.");
    }
    return entry;
}

static bool has_policy(const json *entry, const char *arn) {
    for (const json *it = json_first(json_array(entry, "@policies")); it != NULL; it = it->next) {
        if (str_eq(json_str(it, "policyArn"), arn)) {
            return true;
        }
    }
    return false;
}

static void list_entries(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *with = sim_param(c, "associatedPolicyArn");
    if (!eks_is_ours(a, c, "clusterName", out)) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "accessEntries");
    for (const json *it = json_first(a->entries); it != NULL; it = it->next) {
        if (str_empty(with) || has_policy(it, with)) {
            json_push_str(list, json_str(it, "principalArn"));
        }
    }
    eks_give_page(a, c, value, "accessEntries", out);
}

static void describe_entry(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const json *entry = find_entry(a, c, out);
    if (entry != NULL) {
        eks_give_changing(out, "accessEntry", entry, NULL);
    }
}

/* A principal of IAM: roles have to be there, of users there are none to look at. */
static bool is_principal(struct sim_aws *a, const char *arn) {
    const char *prefix = arena_printf(a->scratch, "arn:%s:iam::", a->partition);
    const char *rest = str_has_prefix(arn, prefix) ? strchr(arn + strlen(prefix), ':') : NULL;
    const struct sim_role *r = sim_role_by_arn(a, arn);
    if (rest != NULL && str_has_prefix(rest, ":role/")) {
        return r != NULL && sim_stored(&r->exists) != NULL;
    }
    return rest != NULL && str_has_prefix(rest, ":user/");
}

static const char *user_name(struct sim_aws *a, const char *principal, bool is_node) {
    const char *role = strstr(principal, ":role/");
    if (is_node) {
        return "system:node:{{EC2PrivateDNSName}}";
    }
    return role == NULL ? principal
                        : arena_printf(a->scratch, "arn:%s:sts::%s:assumed-role/%s/{{SessionName}}", a->partition,
                                       a->account, strrchr(role, '/') + 1);
}

static const char *entry_arn(struct sim_aws *a, const char *principal) {
    char id[24];
    sim_id(a, "", id);
    return eks_arn(a, "access-entry",
                   arena_printf(a->scratch, "/%s/%s/%s/%s", strstr(principal, ":role/") != NULL ? "role" : "user",
                                a->account, strrchr(principal, '/') + 1, sim_lower(a, id)));
}

static bool is_reserved(const char *name) {
    for (size_t i = 0; i < LENGTH(reserved); i++) {
        if (str_has_prefix(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

/* What a body says of user and groups, for an entry of this type. */
static bool names_are_right(struct sim_aws *a, const json *body, const char *type, struct sim_aws_answer *out) {
    const json *groups = json_array(body, "kubernetesGroups");
    const char *user = json_str(body, "username");

    if (!str_eq(type, "STANDARD") && (user != NULL || json_array_size(groups) > 0)) {
        sim_fail(a, out, EKS_INVALID_REQUEST,
                 "An access entry of type %s has no username and kubernetesGroups of its own.", type);
        return false;
    }
    bool wrong = json_array_size(groups) > GROUPS_MAX || (user != NULL && is_reserved(user));
    for (const json *it = json_first(groups); it != NULL && !wrong; it = it->next) {
        wrong = str_empty(it->valuestring) || is_reserved(it->valuestring);
    }
    if (wrong) {
        sim_fail(a, out, EKS_INVALID_PARAMETER,
                 "A username or group begins with system:, eks:, aws:, amazon: or iam:.");
    }
    return !wrong;
}

static void add_groups(json *entry, const json *body, bool is_node) {
    const json *groups = json_array(body, "kubernetesGroups");
    json *list = groups != NULL ? json_dup(groups) : json_new_array();
    if (is_node) {
        json_push_str(list, "system:nodes");
    }
    json_add_item(entry, "kubernetesGroups", list);
}

static json *new_entry(struct sim_aws *a, const char *principal, const char *type, const json *body) {
    bool is_node = str_eq(type, "EC2_LINUX") || str_eq(type, "EC2_WINDOWS");
    json *entry = json_object();
    json_add_str(entry, "clusterName", a->cluster);
    json_add_str(entry, "principalArn", principal);
    add_groups(entry, body, is_node);
    json_add_str(entry, "accessEntryArn", entry_arn(a, principal));
    eks_add_epoch(entry, "createdAt", sim_wall_ms(a));
    eks_add_epoch(entry, "modifiedAt", sim_wall_ms(a));
    json_add_item(entry, "tags",
                  json_is_object(json_get(body, "tags")) ? json_dup(json_get(body, "tags")) : json_object());
    json_add_str(entry, "username", str_or(json_str(body, "username"), user_name(a, principal, is_node)));
    json_add_str(entry, "type", type);
    (void)json_add_array(entry, "@policies");
    return entry;
}

void eks_enter_node_role(struct sim_aws *a, const char *role_arn) {
    if (eks_item_with(a->entries, "principalArn", role_arn) == NULL && json_array_size(a->entries) < SIM_ENTRIES_MAX) {
        json_push(a->entries, new_entry(a, role_arn, "EC2_LINUX", NULL));
    }
}

static bool is_type(const char *type) {
    for (size_t i = 0; i < LENGTH(types); i++) {
        if (str_eq(type, types[i])) {
            return true;
        }
    }
    return false;
}

static void make_entry(struct sim_aws *a, const json *body, struct sim_aws_answer *out) {
    static const char *const required[] = {"principalArn"};
    const char *principal = json_str(body, "principalArn"), *type = str_or(json_str(body, "type"), "STANDARD");

    if (eks_is_missing(a, body, required, 1, out)) {
        return;
    }
    if (!is_principal(a, principal)) {
        sim_fail(a, out, EKS_INVALID_PARAMETER, "The specified principalArn is invalid: invalid principal.");
        return;
    }
    if (!is_type(type)) {
        sim_fail(a, out, EKS_INVALID_PARAMETER, "The specified type is invalid.");
        return;
    }
    if (eks_item_with(a->entries, "principalArn", principal) != NULL) {
        sim_fail(a, out, EKS_IN_USE, "The specified access entry resource is already in use on this cluster.");
        return;
    }
    if (!names_are_right(a, body, type, out) || eks_is_full(a, a->entries, SIM_ENTRIES_MAX, "access entries", out)) {
        return;
    }
    json *entry = new_entry(a, principal, type, body);
    json_push(a->entries, entry);
    sim_wrote(a, "CreateAccessEntry %s", principal);
    eks_give_changing(out, "accessEntry", entry, NULL);
}

static void create_entry(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *body = eks_is_ours(a, c, "clusterName", out) ? eks_read_body(a, c, out) : NULL;
    if (body != NULL) {
        make_entry(a, body, out);
    }
    json_free(body);
}

static void update_entry(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *entry = find_entry(a, c, out), *body = entry != NULL ? eks_read_body(a, c, out) : NULL;
    if (body != NULL && names_are_right(a, body, json_str(entry, "type"), out)) {
        if (json_array(body, "kubernetesGroups") != NULL) {
            add_groups(entry, body, false);
        }
        json_add_str(entry, "username", json_str(body, "username"));
        eks_add_epoch(entry, "modifiedAt", sim_wall_ms(a));
        sim_wrote(a, "UpdateAccessEntry %s", json_str(entry, "principalArn"));
        eks_give_changing(out, "accessEntry", entry, NULL);
    }
    json_free(body);
}

static void delete_entry(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *entry = find_entry(a, c, out);
    if (entry != NULL) {
        sim_wrote(a, "DeleteAccessEntry %s", json_str(entry, "principalArn"));
        eks_remove_item(a->entries, entry);
        out->value = json_object();
    }
}

/* --- what they may --- */

static void list_associated(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const json *entry = find_entry(a, c, out);
    if (entry == NULL) {
        return;
    }
    json *value = json_object();
    json_add_str(value, "clusterName", a->cluster);
    json_add_str(value, "principalArn", json_str(entry, "principalArn"));
    json_add_item(value, "associatedAccessPolicies", json_dup(json_array(entry, "@policies")));
    eks_give_page(a, c, value, "associatedAccessPolicies", out);
}

static bool scope_is_right(const json *scope) {
    size_t n = json_array_size(json_array(scope, "namespaces"));
    return str_eq(json_str(scope, "type"), "cluster") ? n == 0 : str_eq(json_str(scope, "type"), "namespace") && n > 0;
}

/* What there was of the same policy goes: its scope is that of the last call. */
static void associate(struct sim_aws *a, json *entry, const json *body, struct sim_aws_answer *out) {
    const char *arn = str_or(json_str(body, "policyArn"), "");
    json *list = cJSON_GetObjectItemCaseSensitive(entry, "@policies"), *one;

    if (!is_policy(a, arn)) {
        sim_fail(a, out, EKS_INVALID_PARAMETER, "The policyArn parameter format is not valid");
        return;
    }
    if (!scope_is_right(json_get(body, "accessScope"))) {
        sim_fail(a, out, EKS_INVALID_PARAMETER, "The specified accessScope is invalid.");
        return;
    }
    if (!str_eq(json_str(entry, "type"), "STANDARD")) {
        sim_fail(a, out, EKS_INVALID_REQUEST, "The type of the access entry does not take access policies.");
        return;
    }
    eks_remove_item(list, eks_item_with(list, "policyArn", arn));
    json_push(list, one = json_object());
    json_add_str(one, "policyArn", arn);
    json_add_item(one, "accessScope", json_dup(json_get(body, "accessScope")));
    eks_add_epoch(one, "associatedAt", sim_wall_ms(a));
    eks_add_epoch(one, "modifiedAt", sim_wall_ms(a));
    sim_wrote(a, "AssociateAccessPolicy %s %s", json_str(entry, "principalArn"), arn);
    eks_give_changing(out, "associatedAccessPolicy", one, NULL);
    json_add_str(out->value, "clusterName", a->cluster);
    json_add_str(out->value, "principalArn", json_str(entry, "principalArn"));
}

static void associate_policy(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *entry = find_entry(a, c, out), *body = entry != NULL ? eks_read_body(a, c, out) : NULL;
    if (body != NULL) {
        associate(a, entry, body, out);
    }
    json_free(body);
}

static void disassociate_policy(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *entry = find_entry(a, c, out);
    json *list = entry != NULL ? cJSON_GetObjectItemCaseSensitive(entry, "@policies") : NULL;
    json *one = list != NULL ? eks_item_with(list, "policyArn", str_or(sim_param(c, "policyArn"), "")) : NULL;
    if (entry == NULL) {
        return;
    }
    if (one == NULL) {
        eks_not_found(a, out, "The specified policyArn is not associated with the access entry.");
        return;
    }
    sim_wrote(a, "DisassociateAccessPolicy %s %s", json_str(entry, "principalArn"), json_str(one, "policyArn"));
    eks_remove_item(list, one);
    out->value = json_object();
}

const struct sim_operation sim_eks_access_operations[] = {
    {"eks:ListAccessPolicies", list_access_policies},
    {"eks:ListAccessEntries", list_entries},
    {"eks:DescribeAccessEntry", describe_entry},
    {"eks:CreateAccessEntry", create_entry},
    {"eks:UpdateAccessEntry", update_entry},
    {"eks:DeleteAccessEntry", delete_entry},
    {"eks:ListAssociatedAccessPolicies", list_associated},
    {"eks:AssociateAccessPolicy", associate_policy},
    {"eks:DisassociateAccessPolicy", disassociate_policy},
    {NULL, NULL},
};
