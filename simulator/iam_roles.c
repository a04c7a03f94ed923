/* iam_roles.c - roles: creation, trust, tags, boundary, deletion. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define NAME_MAX_ROLE 64
#define DESCRIPTION_MAX 1000
#define SESSION_MIN_S 3600
#define SESSION_MAX_S 43200

/* --- the entity --- */

static void free_history(void *history) {
    sim_history_done(history);
    free(history);
}

void sim_inline_free(void *p) {
    struct sim_inline *i = p;
    sim_history_done(&i->document);
    free(i->name);
    free(i->text);
    free(i);
}

void sim_role_free(void *role) {
    struct sim_role *r = role;
    char *const texts[] = {r->name, r->path, r->arn, r->description, r->trust_text};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(texts[i]);
    }
    json_free(r->tags);
    sim_history_done(&r->exists);
    sim_history_done(&r->trust);
    sim_history_done(&r->boundary);
    strmap_free(r->attached);
    strmap_free(r->inlines);
    free(r);
}

/* Stored or still enforced; a name longer than a role's can be none. */
static struct sim_role *look_up(const struct sim_aws *a, const char *name) {
    char key[NAME_MAX_ROLE + 1];

    if (!str_copy(key, sizeof key, name)) {
        return NULL;
    }
    for (char *p = key; *p != '\0'; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    return strmap_get(a->roles, key);
}

struct sim_role *sim_role_find(const struct sim_aws *a, const char *name) {
    struct sim_role *r = look_up(a, name);
    return r != NULL && sim_stored(&r->exists) != NULL ? r : NULL;
}

struct sim_role *sim_role_get(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *name = sim_required_name(a, c, "RoleName", NAME_MAX_ROLE, out);
    struct sim_role *r = name != NULL ? sim_role_find(a, name) : NULL;
    if (name != NULL && r == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "The role with name %s cannot be found.", name);
    }
    return r;
}

struct sim_role *sim_role_by_arn(const struct sim_aws *a, const char *arn) {
    const char *name = arn != NULL ? strrchr(arn, '/') : NULL;
    struct sim_role *r = name != NULL ? look_up(a, name + 1) : NULL;
    return r != NULL && str_eq(r->arn, arn) ? r : NULL;
}

/* Forgets roles whose deletion is enforced; returns how many are stored. */
static size_t sweep(struct sim_aws *a) {
    size_t it = 0, stored = 0;
    const char *key;
    void *value;

    while (strmap_next(a->roles, &it, &key, &value)) {
        struct sim_role *r = value;
        if (sim_history_gone(&r->exists, sim_boot_ms(a))) {
            (void)strmap_remove(a->roles, key);
        } else {
            stored += sim_stored(&r->exists) != NULL;
        }
    }
    return stored;
}

/* A name that comes again takes over what is still enforced of the deleted role. */
struct sim_role *sim_role_make(struct sim_aws *a, const char *name, const char *path) {
    if (sweep(a) >= SIM_AWS_ROLES_MAX) {
        return NULL;
    }
    const char *key = sim_lower(a, name);
    struct sim_role *r = strmap_get(a->roles, key);
    if (r == NULL) {
        r = sim_new(sizeof *r);
        r->attached = strmap_new(SIM_ATTACHED_TRACKED_MAX, free_history);
        r->inlines = strmap_new(SIM_INLINE_MAX, sim_inline_free);
        if (!strmap_set(a->roles, key, r)) {
            sim_role_free(r);
            return NULL;
        }
    }
    char *const old[] = {r->name, r->path, r->arn, r->description};
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        free(old[i]);
    }
    r->name = sim_strdup(name);
    r->path = sim_strdup(path);
    r->arn = sim_printf("arn:%s:iam::%s:role%s%s", a->partition, a->account, path, name);
    r->description = NULL;
    json_free(r->tags);
    r->tags = json_new_array();
    sim_id(a, "AROA", r->id);
    r->created_ms = sim_wall_ms(a);
    r->last_used_ms = 0;
    r->max_session_s = SESSION_MIN_S;
    return r;
}

static void add_boundary(json *o, const struct sim_role *r) {
    const json *boundary = sim_stored(&r->boundary);
    if (boundary != NULL) {
        json *b = json_add_object(o, "PermissionsBoundary");
        json_add_str(b, "PermissionsBoundaryType", "Policy");
        json_add_str(b, "PermissionsBoundaryArn", boundary->valuestring);
    }
}

json *sim_role_json(const struct sim_aws *a, const struct sim_role *r, bool whole) {
    json *o = json_object();
    char number[24];

    json_add_str(o, "Path", r->path);
    json_add_str(o, "RoleName", r->name);
    json_add_str(o, "RoleId", r->id);
    json_add_str(o, "Arn", r->arn);
    sim_add_time(o, "CreateDate", r->created_ms);
    json_add_str(o, "AssumeRolePolicyDocument", r->trust_text);
    json_add_str(o, "Description", r->description);
    (void)snprintf(number, sizeof number, "%lld", (long long)r->max_session_s);
    json_add_str(o, "MaxSessionDuration", number);
    if (!whole) {
        return o;
    }
    add_boundary(o, r);
    if (json_array_size(r->tags) > 0) {
        json_add_item(o, "Tags", json_dup(r->tags));
    }
    json *used = json_add_object(o, "RoleLastUsed");
    if (r->last_used_ms != 0) {
        sim_add_time(used, "LastUsedDate", r->last_used_ms);
        json_add_str(used, "Region", a->region);
    }
    return o;
}

/* --- reading --- */

static void get_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_role *r = sim_role_get(a, c, out);
    if (r != NULL) {
        out->value = json_object();
        json_add_item(out->value, "Role", sim_role_json(a, r, true));
    }
}

static void list_roles(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *prefix = str_or(sim_param(c, "PathPrefix"), "/"), *key;
    json *value = json_object(), *roles = json_add_array(value, "Roles");
    size_t it = 0;
    void *role;

    while (strmap_next(a->roles, &it, &key, &role)) {
        const struct sim_role *r = role;
        if (sim_stored(&r->exists) != NULL && str_has_prefix(r->path, prefix)) {
            json_push(roles, sim_role_json(a, r, false));
        }
    }
    if (sim_page(a, c, value, "Roles", out)) {
        out->value = value;
    } else {
        json_free(value);
    }
}

static void list_role_tags(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_role *r = sim_role_get(a, c, out);
    if (r == NULL) {
        return;
    }
    json *value = json_object();
    json_add_item(value, "Tags", json_dup(r->tags));
    if (sim_page(a, c, value, "Tags", out)) {
        out->value = value;
    } else {
        json_free(value);
    }
}

/* --- creating --- */

struct new_role {
    const char *name, *path, *trust, *description, *boundary;
    json *document, *tags;
    int64_t session_s;
};

static bool check_description(struct sim_aws *a, const char *text, struct sim_aws_answer *out) {
    if (text == NULL || strlen(text) <= DESCRIPTION_MAX) {
        return true;
    }
    sim_invalid(a, out,
                "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have "
                "length less than or equal to %d",
                DESCRIPTION_MAX);
    return false;
}

static bool check_boundary(struct sim_aws *a, const char *arn, struct sim_aws_answer *out) {
    if (arn == NULL || sim_policy_find(a, arn) != NULL) {
        return true;
    }
    sim_fail(a, out, 404, "NoSuchEntity", "Scope ARN: %s does not exist or is not attachable.", arn);
    return false;
}

static bool read_new_role(struct sim_aws *a, const struct sim_aws_call *c, struct new_role *n,
                          struct sim_aws_answer *out) {
    n->name = sim_required_name(a, c, "RoleName", NAME_MAX_ROLE, out);
    n->trust = n->name != NULL ? sim_required(a, c, "AssumeRolePolicyDocument", out) : NULL;
    n->path = n->trust != NULL ? sim_path(a, c, out) : NULL;
    n->description = sim_param(c, "Description");
    n->boundary = sim_param(c, "PermissionsBoundary");
    if (n->path == NULL || !check_description(a, n->description, out) ||
        !sim_number(a, c, "MaxSessionDuration", SESSION_MIN_S, SESSION_MAX_S, SESSION_MIN_S, &n->session_s, out) ||
        !sim_tags_join(a, c, &n->tags, out)) {
        return false;
    }
    if (sim_role_find(a, n->name) != NULL) {
        sim_fail(a, out, 409, "EntityAlreadyExists", "Role with name %s already exists.", n->name);
        return false;
    }
    n->document = sim_document(a, n->trust, true, SIM_TRUST_MAX, "ACLSizePerRole", out);
    return n->document != NULL && check_boundary(a, n->boundary, out);
}

static json *text_value(const char *s) {
    json *array = json_new_array();
    json_push_str(array, s);
    json *text = cJSON_DetachItemFromArray(array, 0);
    json_free(array);
    return text;
}

static void create_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct new_role n = {0};
    struct sim_role *r = NULL;

    if (read_new_role(a, c, &n, out) && (r = sim_role_make(a, n.name, n.path)) == NULL) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for RolesPerAccount: %d", SIM_AWS_ROLES_MAX);
    }
    if (r == NULL) {
        json_free(n.document);
        json_free(n.tags);
        return;
    }
    free(r->trust_text);
    r->trust_text = sim_strdup(n.trust);
    r->description = sim_strdup(n.description);
    r->max_session_s = n.session_s;
    json_free(r->tags);
    r->tags = n.tags;
    sim_change(a, &r->trust, n.document);
    sim_change(a, &r->exists, sim_true());
    if (n.boundary != NULL || sim_stored(&r->boundary) != NULL) {
        sim_change(a, &r->boundary, n.boundary != NULL ? text_value(n.boundary) : NULL);
    }
    out->value = json_object();
    json_add_item(out->value, "Role", sim_role_json(a, r, true));
    sim_wrote(a, "CreateRole %s", r->name);
}

/* --- changing --- */

static void update_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    const char *description = sim_param(c, "Description");
    int64_t session_s;

    if (r == NULL || !check_description(a, description, out) ||
        !sim_number(a, c, "MaxSessionDuration", SESSION_MIN_S, SESSION_MAX_S, r->max_session_s, &session_s, out)) {
        return;
    }
    if (description != NULL) {
        free(r->description);
        r->description = sim_strdup(description);
    }
    r->max_session_s = session_s;
    out->value = json_object();
    sim_wrote(a, "UpdateRole %s", r->name);
}

static void update_trust(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    const char *text = r != NULL ? sim_required(a, c, "PolicyDocument", out) : NULL;
    json *document = text != NULL ? sim_document(a, text, true, SIM_TRUST_MAX, "ACLSizePerRole", out) : NULL;

    if (document == NULL) {
        return;
    }
    free(r->trust_text);
    r->trust_text = sim_strdup(text);
    sim_change(a, &r->trust, document);
    sim_wrote(a, "UpdateAssumeRolePolicy %s", r->name);
}

static void tag_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    if (r != NULL && sim_tags_join(a, c, &r->tags, out)) {
        sim_wrote(a, "TagRole %s", r->name);
    }
}

static void untag_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    if (r != NULL && sim_tags_drop(a, c, r->tags, out)) {
        sim_wrote(a, "UntagRole %s", r->name);
    }
}

static void put_boundary(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    const char *arn = r != NULL ? sim_required(a, c, "PermissionsBoundary", out) : NULL;
    if (arn != NULL && check_boundary(a, arn, out)) {
        sim_change(a, &r->boundary, text_value(arn));
        sim_wrote(a, "PutRolePermissionsBoundary %s %s", r->name, arn);
    }
}

static void delete_boundary(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    if (r != NULL && sim_stored(&r->boundary) == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "The role with name %s does not have a permissions boundary.", r->name);
    } else if (r != NULL) {
        sim_change(a, &r->boundary, NULL);
        sim_wrote(a, "DeleteRolePermissionsBoundary %s", r->name);
    }
}

static bool has_inline(const struct sim_role *r) {
    size_t it = 0;
    const char *key;
    void *value;
    while (strmap_next(r->inlines, &it, &key, &value)) {
        const struct sim_inline *i = value;
        if (sim_stored(&i->document) != NULL) {
            return true;
        }
    }
    return false;
}

static void delete_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_role *r = sim_role_get(a, c, out);
    const char *conflict = NULL;

    if (r == NULL) {
        return;
    }
    if (sim_role_in_profile(a, r->name)) {
        conflict = "Cannot delete entity, must remove roles from instance profile first.";
    } else if (sim_role_attached(r) > 0) {
        conflict = "Cannot delete entity, must detach all policies first.";
    } else if (has_inline(r)) {
        conflict = "Cannot delete entity, must delete policies first.";
    }
    if (conflict != NULL) {
        sim_fail(a, out, 409, "DeleteConflict", "%s", conflict);
        return;
    }
    sim_wrote(a, "DeleteRole %s", r->name);
    sim_change(a, &r->exists, NULL);
}

const struct sim_operation sim_role_operations[] = {
    {"iam:GetRole", get_role},
    {"iam:ListRoles", list_roles},
    {"iam:ListRoleTags", list_role_tags},
    {"iam:CreateRole", create_role},
    {"iam:UpdateRole", update_role},
    {"iam:UpdateAssumeRolePolicy", update_trust},
    {"iam:TagRole", tag_role},
    {"iam:UntagRole", untag_role},
    {"iam:PutRolePermissionsBoundary", put_boundary},
    {"iam:DeleteRolePermissionsBoundary", delete_boundary},
    {"iam:DeleteRole", delete_role},
    {NULL, NULL},
};
