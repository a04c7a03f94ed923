/* iam_attachments.c - managed policies attached to roles, inline policies, and who uses a policy. */
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define POLICY_NAME_MAX 128

/* --- managed policies --- */

struct sim_history *sim_role_attachment(const struct sim_role *r, const char *policy_arn) {
    return strmap_get(r->attached, policy_arn);
}

size_t sim_role_attached(const struct sim_role *r) {
    size_t it = 0, n = 0;
    const char *arn;
    void *history;
    while (strmap_next(r->attached, &it, &arn, &history)) {
        n += sim_stored(history) != NULL;
    }
    return n;
}

/* NULL: more than SIM_ATTACHED_TRACKED_MAX, with those that are still enforced. */
static struct sim_history *attachment_slot(struct sim_role *r, const char *arn, int64_t now_ms) {
    struct sim_history *h = strmap_get(r->attached, arn);
    size_t it = 0;
    const char *key;
    void *old;

    if (h != NULL) {
        return h;
    }
    while (strmap_next(r->attached, &it, &key, &old)) {
        if (sim_history_gone(old, now_ms)) {
            (void)strmap_remove(r->attached, key);
        }
    }
    h = sim_new(sizeof *h);
    if (!strmap_set(r->attached, arn, h)) {
        free(h);
        return NULL;
    }
    return h;
}

bool sim_role_attach_now(struct sim_aws *a, struct sim_role *r, const char *policy_arn) {
    struct sim_history *h = attachment_slot(r, policy_arn, sim_boot_ms(a));
    if (h != NULL) {
        sim_set_now(h, sim_true());
    }
    return h != NULL;
}

static const char *policy_param(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *arn = sim_required(a, c, "PolicyArn", out);
    if (arn != NULL && (!str_has_prefix(arn, "arn:") || strlen(arn) > SIM_ARN_MAX)) {
        sim_fail(a, out, 400, "InvalidInput", "ARN %.200s is not valid.", arn);
        return NULL;
    }
    return arn;
}

static void attach(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    const char *arn = r != NULL ? policy_param(a, c, out) : NULL;

    if (arn == NULL) {
        return;
    }
    if (sim_policy_find(a, arn) == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "Policy %s does not exist or is not attachable.", arn);
        return;
    }
    struct sim_history *h = sim_role_attachment(r, arn);
    if (h != NULL && sim_stored(h) != NULL) {
        return; /* idempotent: nothing changed */
    }
    if (sim_role_attached(r) >= SIM_ATTACHED_MAX || (h = attachment_slot(r, arn, sim_boot_ms(a))) == NULL) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", SIM_ATTACHED_MAX);
        return;
    }
    sim_change(a, h, sim_true());
    sim_wrote(a, "AttachRolePolicy %s %s", r->name, arn);
}

static void detach(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    const char *arn = r != NULL ? policy_param(a, c, out) : NULL;
    struct sim_history *h = arn != NULL ? sim_role_attachment(r, arn) : NULL;

    if (arn != NULL && (h == NULL || sim_stored(h) == NULL)) {
        sim_fail(a, out, 404, "NoSuchEntity", "Policy %s was not found.", arn);
    } else if (arn != NULL) {
        sim_change(a, h, NULL);
        sim_wrote(a, "DetachRolePolicy %s %s", r->name, arn);
    }
}

static void give_page(struct sim_aws *a, const struct sim_aws_call *c, json *value, const char *array,
                      struct sim_aws_answer *out) {
    if (sim_page(a, c, value, array, out)) {
        out->value = value;
    } else {
        json_free(value);
    }
}

static void list_attached(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_role *r = sim_role_get(a, c, out);
    size_t it = 0;
    const char *arn;
    void *history;

    if (r == NULL) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "AttachedPolicies");
    while (strmap_next(r->attached, &it, &arn, &history)) {
        if (sim_stored(history) != NULL) {
            json *one = json_object();
            const char *name = strrchr(arn, '/');
            json_add_str(one, "PolicyName", name != NULL ? name + 1 : arn);
            json_add_str(one, "PolicyArn", arn);
            json_push(list, one);
        }
    }
    give_page(a, c, value, "AttachedPolicies", out);
}

/* --- inline policies --- */

static struct sim_inline *find_inline(const struct sim_role *r, const char *name) {
    struct sim_inline *i = strmap_get(r->inlines, name);
    return i != NULL && sim_stored(&i->document) != NULL ? i : NULL;
}

static void list_inline(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_role *r = sim_role_get(a, c, out);
    size_t it = 0;
    const char *name;
    void *one;

    if (r == NULL) {
        return;
    }
    json *value = json_object(), *names = json_add_array(value, "PolicyNames");
    while (strmap_next(r->inlines, &it, &name, &one)) {
        if (find_inline(r, name) != NULL) {
            json_push_str(names, name);
        }
    }
    give_page(a, c, value, "PolicyNames", out);
}

/* The inline policy of the call; NULL: refused. */
static struct sim_inline *named_inline(struct sim_aws *a, const struct sim_aws_call *c, struct sim_role **r,
                                       struct sim_aws_answer *out) {
    *r = sim_role_get(a, c, out);
    const char *name = *r != NULL ? sim_required_name(a, c, "PolicyName", POLICY_NAME_MAX, out) : NULL;
    struct sim_inline *i = name != NULL ? find_inline(*r, name) : NULL;
    if (name != NULL && i == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "The role policy with name %s cannot be found.", name);
    }
    return i;
}

static void get_inline(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r;
    const struct sim_inline *i = named_inline(a, c, &r, out);
    if (i != NULL) {
        out->value = json_object();
        json_add_str(out->value, "RoleName", r->name);
        json_add_str(out->value, "PolicyName", i->name);
        json_add_str(out->value, "PolicyDocument", i->text);
    }
}

static void put_inline(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    const char *name = r != NULL ? sim_required_name(a, c, "PolicyName", POLICY_NAME_MAX, out) : NULL;
    const char *text = name != NULL ? sim_required(a, c, "PolicyDocument", out) : NULL;
    json *document = text != NULL ? sim_document(a, text, false, SIM_INLINE_SIZE_MAX, "RolePolicySize", out) : NULL;

    if (document == NULL) {
        return;
    }
    struct sim_inline *i = strmap_get(r->inlines, name);
    if (i == NULL) {
        i = sim_new(sizeof *i);
        if (!strmap_set(r->inlines, name, i)) {
            free(i);
            json_free(document);
            sim_fail(a, out, 409, "LimitExceeded", "Maximum policy size of %d bytes exceeded for role %s",
                     SIM_INLINE_SIZE_MAX, r->name);
            return;
        }
        i->name = sim_strdup(name);
    }
    free(i->text);
    i->text = sim_strdup(text);
    sim_change(a, &i->document, document);
    sim_wrote(a, "PutRolePolicy %s %s", r->name, name);
}

static void delete_inline(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r;
    struct sim_inline *i = named_inline(a, c, &r, out);
    if (i != NULL) {
        sim_change(a, &i->document, NULL);
        sim_wrote(a, "DeleteRolePolicy %s %s", r->name, i->name);
    }
}

/* --- who uses a policy --- */

static bool uses(const struct sim_role *r, const char *arn, const char *usage) {
    const struct sim_history *h = sim_role_attachment(r, arn);
    const json *boundary = sim_stored(&r->boundary);
    bool attached = h != NULL && sim_stored(h) != NULL, bounds = boundary != NULL && str_eq(boundary->valuestring, arn);

    if (str_eq(usage, "PermissionsPolicy")) {
        return attached;
    }
    return str_eq(usage, "PermissionsBoundary") ? bounds : attached || bounds;
}

static void list_entities(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *arn = policy_param(a, c, out), *key;
    const char *filter = str_or(sim_param(c, "EntityFilter"), "Role"), *usage = sim_param(c, "PolicyUsageFilter");
    size_t it = 0;
    void *role;

    if (arn == NULL) {
        return;
    }
    if (sim_policy_find(a, arn) == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "Policy %s was not found.", arn);
        return;
    }
    json *value = json_object(), *roles = json_add_array(value, "PolicyRoles");
    (void)json_add_array(value, "PolicyGroups");
    (void)json_add_array(value, "PolicyUsers");
    while (str_eq(filter, "Role") && strmap_next(a->roles, &it, &key, &role)) {
        const struct sim_role *r = role;
        if (sim_stored(&r->exists) != NULL && uses(r, arn, usage)) {
            json *one = json_object();
            json_add_str(one, "RoleName", r->name);
            json_add_str(one, "RoleId", r->id);
            json_push(roles, one);
        }
    }
    give_page(a, c, value, "PolicyRoles", out);
}

const struct sim_operation sim_attachment_operations[] = {
    {"iam:AttachRolePolicy", attach},
    {"iam:DetachRolePolicy", detach},
    {"iam:ListAttachedRolePolicies", list_attached},
    {"iam:ListRolePolicies", list_inline},
    {"iam:GetRolePolicy", get_inline},
    {"iam:PutRolePolicy", put_inline},
    {"iam:DeleteRolePolicy", delete_inline},
    {"iam:ListEntitiesForPolicy", list_entities},
    {NULL, NULL},
};
