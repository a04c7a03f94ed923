/*
 * eks_association_calls.c - Pod Identity: which role a ServiceAccount's pods get from EKS, one for each ServiceAccount.
 *
 * Model: an association belongs to itself, or to an add-on, which says by its own calls what becomes of it.
 */
#include "platform/base/str.h"
#include "simulator/eks_internal.h"

static json *complete_association(struct sim_aws *a, json *association) {
    char id[24];
    sim_id(a, "a-", id);
    eks_add_missing(association, "clusterName", a->cluster);
    eks_add_missing(association, "namespace", "kube-system");
    eks_add_missing(association, "serviceAccount", "aws-node");
    eks_add_missing(association, "associationId", sim_lower(a, id));
    eks_add_missing(association, "associationArn",
                    eks_arn(a, "podidentityassociation",
                            arena_printf(a->scratch, "/%s", str_or(json_str(association, "associationId"), ""))));
    return association;
}

static json *association_of(struct sim_aws *a, const char *ns, const char *account) {
    for (json *it = a->associations->child; it != NULL; it = it->next) {
        if (str_eq(json_str(it, "namespace"), ns) && str_eq(json_str(it, "serviceAccount"), account)) {
            return it;
        }
    }
    return NULL;
}

void sim_aws_set_association(struct sim_aws *a, const char *association_json) {
    arena_reset(a->scratch);
    eks_remove_item(a->associations, association_of(a, "kube-system", "aws-node"));
    json *association = eks_unwrapped(association_json, "association");
    if (association != NULL) {
        json_push(a->associations, complete_association(a, association));
    }
}

static bool wanted(const json *association, const struct sim_aws_call *c, const char *member) {
    const char *v = sim_param(c, member);
    return str_empty(v) || str_eq(v, json_str(association, member));
}

static void list_associations(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    static const char *const members[] = {"clusterName",    "namespace",     "serviceAccount",
                                          "associationArn", "associationId", "ownerArn"};
    if (!eks_is_ours(a, c, "clusterName", out)) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "associations");
    for (const json *it = json_first(a->associations); it != NULL; it = it->next) {
        if (!wanted(it, c, "namespace") || !wanted(it, c, "serviceAccount")) {
            continue;
        }
        json *one = json_object(); /* a summary: without the role */
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            json_add_str(one, members[i], json_str(it, members[i]));
        }
        json_push(list, one);
    }
    eks_give_page(a, c, value, "associations", out);
}

/* NULL: answered. */
static json *find_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (!eks_is_ours(a, c, "clusterName", out)) {
        return NULL;
    }
    json *found = eks_item_with(a->associations, "associationId", str_or(sim_param(c, "associationId"), ""));
    if (found == NULL) {
        eks_not_found(a, out, "Association does not exist.");
    }
    return found;
}

static void describe_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const json *found = find_association(a, c, out);
    if (found != NULL) {
        out->value = json_object();
        json_add_item(out->value, "association", json_dup(found));
    }
}

/* NULL: answered. */
static json *new_association(struct sim_aws *a, const json *body, const char *ns, struct sim_aws_answer *out) {
    static const char *const required[] = {"serviceAccount", "roleArn"};
    static const char *const kept[] = {"serviceAccount", "roleArn", "targetRoleArn", "policy"};
    if (eks_is_missing(a, body, required, 2, out) ||
        eks_is_full(a, a->associations, SIM_ASSOCIATIONS_MAX, "Pod Identity associations", out)) {
        return NULL;
    }
    const json *there = association_of(a, ns, json_str(body, "serviceAccount"));
    if (there != NULL) {
        sim_fail(a, out, EKS_IN_USE, "Association already exists: %s", json_str(there, "associationId"));
        return NULL;
    }
    json *association = json_object();
    json_add_str(association, "namespace", ns);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        json_add_str(association, kept[i], json_str(body, kept[i]));
    }
    json_add_bool(association, "disableSessionTags", json_bool(body, "disableSessionTags", false));
    return complete_association(a, association);
}

static void make_association(struct sim_aws *a, const json *body, struct sim_aws_answer *out) {
    static const char *const required[] = {"namespace", "serviceAccount", "roleArn"};
    const char *ns = json_str(body, "namespace");
    json *association = eks_is_missing(a, body, required, 3, out) ? NULL : new_association(a, body, ns, out);
    if (association != NULL) {
        json_push(a->associations, association);
        sim_wrote(a, "CreatePodIdentityAssociation %s/%s", ns, json_str(association, "serviceAccount"));
        eks_give_changing(out, "association", association, NULL);
    }
}

static void create_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *body = eks_is_ours(a, c, "clusterName", out) ? eks_read_body(a, c, out) : NULL;
    if (body != NULL) {
        make_association(a, body, out);
    }
    json_free(body);
}

/* One that may be changed by itself; NULL: answered. The code of the refusal is not documented. */
static json *find_free_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *found = find_association(a, c, out);
    if (found != NULL && json_str(found, "ownerArn") != NULL) {
        sim_fail(a, out, EKS_INVALID_REQUEST, "Association %s is owned by %s.", json_str(found, "associationId"),
                 json_str(found, "ownerArn"));
        return NULL;
    }
    return found;
}

static void change_association(struct sim_aws *a, json *association, const json *body, struct sim_aws_answer *out) {
    static const char *const members[] = {"roleArn", "targetRoleArn", "policy"};
    bool changes = json_get(body, "disableSessionTags") != NULL;

    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        changes = changes || !str_empty(json_str(body, members[i]));
    }
    if (!changes) {
        sim_fail(a, out, EKS_INVALID_PARAMETER, "The update changes nothing.");
        return;
    }
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        json_add_str(association, members[i], json_str(body, members[i]));
    }
    json_add_bool(association, "disableSessionTags",
                  json_bool(body, "disableSessionTags", json_bool(association, "disableSessionTags", false)));
    eks_add_epoch(association, "modifiedAt", sim_wall_ms(a));
    sim_wrote(a, "UpdatePodIdentityAssociation %s/%s", json_str(association, "namespace"),
              json_str(association, "serviceAccount"));
    eks_give_changing(out, "association", association, NULL);
}

static void update_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *found = find_free_association(a, c, out), *body = found != NULL ? eks_read_body(a, c, out) : NULL;
    if (body != NULL) {
        change_association(a, found, body, out);
    }
    json_free(body);
}

static void delete_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *found = find_free_association(a, c, out);
    if (found != NULL) {
        eks_give_changing(out, "association", found, NULL);
        sim_wrote(a, "DeletePodIdentityAssociation %s/%s", json_str(found, "namespace"),
                  json_str(found, "serviceAccount"));
        eks_remove_item(a->associations, found);
    }
}

/* --- those of an add-on --- */

static void remove_owned(struct sim_aws *a, const char *owner) {
    for (json *it = a->associations->child, *next; it != NULL; it = next) {
        next = it->next;
        if (str_eq(json_str(it, "ownerArn"), owner)) {
            json_free(cJSON_DetachItemViaPointer(a->associations, it));
        }
    }
}

/* An add-on cannot take over one that is there. */
static bool are_free(struct sim_aws *a, const json *wanted, const char *owner, struct sim_aws_answer *out) {
    for (const json *it = json_first(wanted); it != NULL; it = it->next) {
        const json *there = association_of(a, "kube-system", json_str(it, "serviceAccount"));
        if (there != NULL && !str_eq(json_str(there, "ownerArn"), owner)) {
            sim_fail(a, out, EKS_IN_USE, "Association already exists: %s", json_str(there, "associationId"));
            return false;
        }
    }
    return true;
}

bool eks_own_associations(struct sim_aws *a, const json *addon, const json *body, struct sim_aws_answer *out) {
    const json *wanted = json_array(body, "podIdentityAssociations");
    const char *owner = json_str(addon, "addonArn");
    if (wanted == NULL) {
        return true;
    }
    if (!are_free(a, wanted, owner, out)) {
        return false;
    }
    remove_owned(a, owner);
    for (const json *it = json_first(wanted); it != NULL; it = it->next) {
        json *association = new_association(a, it, "kube-system", out);
        if (association == NULL) {
            return false;
        }
        json_add_str(association, "ownerArn", owner);
        json_push(a->associations, association);
    }
    return true;
}

void eks_disown_associations(struct sim_aws *a, const json *addon, bool preserve) {
    const char *owner = json_str(addon, "addonArn");
    for (json *it = a->associations->child; preserve && it != NULL; it = it->next) {
        if (str_eq(json_str(it, "ownerArn"), owner)) {
            eks_set(it, "ownerArn", NULL);
        }
    }
    remove_owned(a, owner);
}

void eks_show_associations(struct sim_aws *a, json *addon) {
    json *arns = json_new_array();
    for (const json *it = json_first(a->associations); it != NULL; it = it->next) {
        if (str_eq(json_str(it, "ownerArn"), json_str(addon, "addonArn"))) {
            json_push_str(arns, json_str(it, "associationArn"));
        }
    }
    json_add_item(addon, "podIdentityAssociations", arns);
}

const struct sim_operation sim_eks_association_operations[] = {
    {"eks:ListPodIdentityAssociations", list_associations},
    {"eks:DescribePodIdentityAssociation", describe_association},
    {"eks:CreatePodIdentityAssociation", create_association},
    {"eks:UpdatePodIdentityAssociation", update_association},
    {"eks:DeletePodIdentityAssociation", delete_association},
    {NULL, NULL},
};
