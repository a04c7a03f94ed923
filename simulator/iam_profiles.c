/* iam_profiles.c - instance profiles: what gives an EC2 instance its role. */
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define PROFILE_NAME_MAX 128
#define ROLE_NAME_MAX 64

/* --- the entity --- */

void sim_profile_free(void *profile) {
    struct sim_profile *p = profile;
    free(p->name);
    free(p->path);
    free(p->arn);
    free(p->role);
    json_free(p->tags);
    free(p);
}

struct sim_profile *sim_profile_find(const struct sim_aws *a, const char *name) {
    size_t it = 0;
    const char *key;
    void *profile;
    struct sim_profile *exact = name != NULL ? strmap_get(a->profiles, name) : NULL;

    while (exact == NULL && name != NULL && strmap_next(a->profiles, &it, &key, &profile)) {
        if (str_eq_nocase(key, name)) {
            return profile;
        }
    }
    return exact;
}

struct sim_profile *sim_profile_make(struct sim_aws *a, const char *name, const char *path) {
    struct sim_profile *p = sim_new(sizeof *p);
    if (!strmap_set(a->profiles, name, p)) {
        free(p);
        return NULL;
    }
    p->name = sim_strdup(name);
    p->path = sim_strdup(path);
    p->arn = sim_printf("arn:%s:iam::%s:instance-profile%s%s", a->partition, a->account, path, name);
    p->tags = json_new_array();
    p->created_ms = sim_wall_ms(a);
    sim_id(a, "AIPA", p->id);
    return p;
}

bool sim_role_in_profile(struct sim_aws *a, const char *role) {
    size_t it = 0;
    const char *key;
    void *profile;
    while (strmap_next(a->profiles, &it, &key, &profile)) {
        const struct sim_profile *p = profile;
        if (p->role != NULL && str_eq_nocase(p->role, role)) {
            return true;
        }
    }
    return false;
}

static struct sim_profile *named(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *name = sim_required_name(a, c, "InstanceProfileName", PROFILE_NAME_MAX, out);
    struct sim_profile *p = sim_profile_find(a, name);
    if (name != NULL && p == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "Instance Profile %s cannot be found.", name);
    }
    return p;
}

static json *profile_json(struct sim_aws *a, const struct sim_profile *p) {
    const struct sim_role *r = p->role != NULL ? sim_role_find(a, p->role) : NULL;
    json *o = json_object();

    json_add_str(o, "Path", p->path);
    json_add_str(o, "InstanceProfileName", p->name);
    json_add_str(o, "InstanceProfileId", p->id);
    json_add_str(o, "Arn", p->arn);
    sim_add_time(o, "CreateDate", p->created_ms);
    json *roles = json_add_array(o, "Roles");
    if (r != NULL) {
        json_push(roles, sim_role_json(a, r, false));
    }
    if (json_array_size(p->tags) > 0) {
        json_add_item(o, "Tags", json_dup(p->tags));
    }
    return o;
}

/* --- operations --- */

static void get_profile(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_profile *p = named(a, c, out);
    if (p != NULL) {
        out->value = json_object();
        json_add_item(out->value, "InstanceProfile", profile_json(a, p));
    }
}

/* Those of one role, or all. */
static void list_profiles(struct sim_aws *a, const struct sim_aws_call *c, const char *role,
                          struct sim_aws_answer *out) {
    json *value = json_object(), *list = json_add_array(value, "InstanceProfiles");
    size_t it = 0;
    const char *key;
    void *profile;

    while (strmap_next(a->profiles, &it, &key, &profile)) {
        const struct sim_profile *p = profile;
        if (role == NULL || str_eq_nocase(p->role, role)) {
            json_push(list, profile_json(a, p));
        }
    }
    if (sim_page(a, c, value, "InstanceProfiles", out)) {
        out->value = value;
    } else {
        json_free(value);
    }
}

static void list_for_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_role *r = sim_role_get(a, c, out);
    if (r != NULL) {
        list_profiles(a, c, r->name, out);
    }
}

static void list_all(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    list_profiles(a, c, NULL, out);
}

static void create_profile(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *name = sim_required_name(a, c, "InstanceProfileName", PROFILE_NAME_MAX, out);
    const char *path = name != NULL ? sim_path(a, c, out) : NULL;
    json *tags = NULL;

    if (path == NULL || !sim_tags_join(a, c, &tags, out)) {
        return;
    }
    if (sim_profile_find(a, name) != NULL) {
        sim_fail(a, out, 409, "EntityAlreadyExists", "Instance Profile %s already exists.", name);
        json_free(tags);
        return;
    }
    struct sim_profile *p = sim_profile_make(a, name, path);
    if (p == NULL) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for InstanceProfilesPerAccount: %d",
                 SIM_PROFILES_MAX);
        json_free(tags);
        return;
    }
    json_free(p->tags);
    p->tags = tags;
    out->value = json_object();
    json_add_item(out->value, "InstanceProfile", profile_json(a, p));
    sim_wrote(a, "CreateInstanceProfile %s", p->name);
}

static void add_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_profile *p = named(a, c, out);
    const struct sim_role *r = p != NULL ? sim_role_get(a, c, out) : NULL;

    if (r != NULL && p->role != NULL) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1");
    } else if (r != NULL) {
        p->role = sim_strdup(r->name);
        sim_wrote(a, "AddRoleToInstanceProfile %s %s", p->name, r->name);
    }
}

static void remove_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_profile *p = named(a, c, out);
    const char *role = p != NULL ? sim_required_name(a, c, "RoleName", ROLE_NAME_MAX, out) : NULL;

    if (role != NULL && !str_eq_nocase(p->role, role)) {
        sim_fail(a, out, 404, "NoSuchEntity", "Cannot find Role %s in Instance Profile %s", role, p->name);
    } else if (role != NULL) {
        sim_wrote(a, "RemoveRoleFromInstanceProfile %s %s", p->name, p->role);
        free(p->role);
        p->role = NULL;
    }
}

static void delete_profile(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_profile *p = named(a, c, out);
    if (p != NULL && p->role != NULL) {
        sim_fail(a, out, 409, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.");
    } else if (p != NULL) {
        sim_wrote(a, "DeleteInstanceProfile %s", p->name);
        (void)strmap_remove(a->profiles, arena_strdup(a->scratch, p->name));
    }
}

const struct sim_operation sim_profile_operations[] = {
    {"iam:GetInstanceProfile", get_profile},       {"iam:ListInstanceProfilesForRole", list_for_role},
    {"iam:ListInstanceProfiles", list_all},        {"iam:CreateInstanceProfile", create_profile},
    {"iam:AddRoleToInstanceProfile", add_role},    {"iam:RemoveRoleFromInstanceProfile", remove_role},
    {"iam:DeleteInstanceProfile", delete_profile}, {NULL, NULL},
};
