/*
 * eks_addon_calls.c - managed add-ons: made, updated, deleted. What they do in the cluster does whoever listens
 * (addon_manager.c).
 *
 * Model: an update is InProgress for UPDATE_MS, the add-on UPDATING; then it is Successful, or Failed if somebody said
 * that the cluster had refused. An update that does not name the role takes it away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/eks_internal.h"

#define ADDON EKS_CNI_ADDON
#define UPDATE_MS 3000
#define ROLE_ARN_MAX 255

/* --- add-ons --- */

static json *complete_addon(struct sim_aws *a, json *addon) {
    const char *name = str_or(json_str(addon, "addonName"), ADDON);
    eks_add_missing(addon, "addonName", name);
    eks_add_missing(addon, "clusterName", a->cluster);
    eks_add_missing(addon, "status", "ACTIVE");
    eks_add_missing(addon, "addonVersion", "v1.23.1-eksbuild.1");
    eks_add_missing(addon, "addonArn", eks_arn(a, "addon", arena_printf(a->scratch, "/%s/0123", name)));
    return addon;
}

void sim_aws_set_addon(struct sim_aws *a, const char *addon_json) {
    arena_reset(a->scratch);
    eks_remove_item(a->addons, eks_item_with(a->addons, "addonName", ADDON));
    json *addon = eks_unwrapped(addon_json, "addon");
    if (addon != NULL) {
        json_push(a->addons, complete_addon(a, addon));
    }
}

static void list_addons(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (!eks_is_ours(a, c, "clusterName", out)) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "addons");
    for (const json *it = json_first(a->addons); it != NULL; it = it->next) {
        json_push_str(list, json_str(it, "addonName"));
    }
    eks_give_page(a, c, value, "addons", out);
}

/* Ends what is due. */
static void settle(struct sim_aws *a) {
    for (json *u = a->updates->child; u != NULL; u = u->next) {
        if (!str_eq(json_str(u, "status"), "InProgress") || sim_boot_ms(a) < json_int64_or(u, "@endsMs", 0)) {
            continue;
        }
        json *addon = eks_item_with(a->addons, "addonName", json_str(u, "@addonName"));
        bool failed = json_array_size(json_array(u, "errors")) > 0;
        json_add_str(u, "status", failed ? "Failed" : "Successful");
        if (addon != NULL) {
            json_add_str(addon, "status", failed ? "UPDATE_FAILED" : "ACTIVE");
        }
    }
}

/* NULL: answered. */
static json *find_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *name = str_or(sim_param(c, "addonName"), "");
    if (!eks_is_ours(a, c, "clusterName", out)) {
        return NULL;
    }
    settle(a);
    json *addon = eks_item_with(a->addons, "addonName", name);
    if (addon == NULL) {
        eks_not_found(a, out, arena_printf(a->scratch, "No addon: %.100s found in cluster: %s", name, a->cluster));
    }
    return addon;
}

static void describe_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *addon = find_addon(a, c, out);
    if (addon != NULL) {
        eks_show_associations(a, addon);
        eks_give_changing(out, "addon", addon, NULL);
    }
}

/* What CreateAddon and UpdateAddon have in common. */
static bool is_wrong(struct sim_aws *a, const json *body, struct sim_aws_answer *out) {
    static const char *const ways[] = {"NONE", "OVERWRITE", "PRESERVE"};
    const json *role = json_get(body, "serviceAccountRoleArn");
    const char *way = str_or(json_str(body, "resolveConflicts"), "NONE");
    size_t n = strlen(str_or(json_str(body, "serviceAccountRoleArn"), "")), i = 0;

    if (role != NULL && (n < 1 || n > ROLE_ARN_MAX)) {
        sim_fail(a, out, EKS_INVALID_PARAMETER, "serviceAccountRoleArn must have 1 to %d characters.", ROLE_ARN_MAX);
        return true;
    }
    while (i < sizeof ways / sizeof *ways && !str_eq(way, ways[i])) {
        i++;
    }
    if (i == sizeof ways / sizeof *ways) {
        sim_fail(a, out, EKS_INVALID_PARAMETER, "resolveConflicts is none of OVERWRITE, NONE and PRESERVE.");
        return true;
    }
    return false;
}

static void make_addon(struct sim_aws *a, const json *body, struct sim_aws_answer *out) {
    static const char *const required[] = {"addonName"}, *const kept[] = {"addonVersion", "serviceAccountRoleArn",
                                                                          "configurationValues"};
    const char *name = json_str(body, "addonName");

    if (eks_is_missing(a, body, required, 1, out) || is_wrong(a, body, out) ||
        eks_is_full(a, a->addons, SIM_ADDONS_MAX, "add-ons", out)) {
        return;
    }
    if (eks_item_with(a->addons, "addonName", name) != NULL) {
        sim_fail(a, out, EKS_IN_USE, "Addon already exists.");
        return;
    }
    json *addon = json_object();
    json_add_str(addon, "addonName", name);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        json_add_str(addon, kept[i], json_str(body, kept[i]));
    }
    (void)complete_addon(a, addon);
    json_add_str(addon, "@resolveConflicts", json_str(body, "resolveConflicts"));
    if (!eks_own_associations(a, addon, body, out)) {
        json_free(addon);
        return;
    }
    json_push(a->addons, addon);
    sim_wrote(a, "CreateAddon %s", name);
    eks_show_associations(a, addon);
    eks_give_changing(out, "addon", addon, "CREATING");
}

static void create_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *body = eks_is_ours(a, c, "clusterName", out) ? eks_read_body(a, c, out) : NULL;
    if (body != NULL) {
        make_addon(a, body, out);
    }
    json_free(body);
}

static void delete_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *addon = find_addon(a, c, out);
    if (addon != NULL) {
        eks_disown_associations(a, addon, str_eq(sim_param(c, "preserve"), "true"));
        eks_give_changing(out, "addon", addon, "DELETING");
        sim_wrote(a, "DeleteAddon %s", json_str(addon, "addonName"));
        eks_remove_item(a->addons, addon);
    }
}

/* --- updates --- */

static void add_param(json *params, const char *type, const char *value) {
    if (value != NULL) {
        json *param = json_object();
        json_add_str(param, "type", type);
        json_add_str(param, "value", value);
        json_push(params, param);
    }
}

static json *new_update(struct sim_aws *a, const char *addon, const json *body) {
    static const char *const members[][2] = {{"addonVersion", "AddonVersion"},
                                             {"serviceAccountRoleArn", "ServiceAccountRoleArn"},
                                             {"resolveConflicts", "ResolveConflicts"},
                                             {"configurationValues", "ConfigurationValues"}};
    char id[40];
    uint64_t hi = prng_next(&a->ids), lo = prng_next(&a->ids);
    (void)snprintf(id, sizeof id, "%08" PRIx32 "-%04x-3%03x-8%03x-%012" PRIx64, (uint32_t)(hi >> 32),
                   (unsigned)(hi >> 16 & 0xffff), (unsigned)(hi & 0xfff), (unsigned)(lo >> 52),
                   lo & UINT64_C(0xffffffffffff));
    json *u = json_object();
    json_add_str(u, "id", id);
    json_add_str(u, "status", "InProgress");
    json_add_str(u, "type", "AddonUpdate");
    json *params = json_add_array(u, "params");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        add_param(params, members[i][1], json_str(body, members[i][0]));
    }
    eks_add_epoch(u, "createdAt", sim_wall_ms(a));
    (void)json_add_array(u, "errors");
    json_add_str(u, "@addonName", addon);
    json_add_str(u, "@token", json_str(body, "clientRequestToken"));
    json_add_int64(u, "@endsMs", sim_boot_ms(a) + UPDATE_MS);
    return u;
}

/* The role is what this update says; version and configuration stay if it says nothing. */
static void change_addon(struct sim_aws *a, json *addon, const json *body) {
    eks_set(addon, "serviceAccountRoleArn", json_str(body, "serviceAccountRoleArn"));
    json_add_str(addon, "addonVersion", json_str(body, "addonVersion"));
    json_add_str(addon, "configurationValues", json_str(body, "configurationValues"));
    eks_set(addon, "@resolveConflicts", json_str(body, "resolveConflicts"));
    json_add_str(addon, "status", "UPDATING");
    cJSON_DeleteItemFromObjectCaseSensitive(addon, "health");
    eks_add_epoch(addon, "modifiedAt", sim_wall_ms(a));
}

static void begin_update(struct sim_aws *a, json *addon, const json *body, struct sim_aws_answer *out) {
    const char *name = json_str(addon, "addonName"), *token = json_str(body, "clientRequestToken");
    const json *same = token != NULL ? eks_item_with(a->updates, "@token", token) : NULL;

    if (same != NULL && str_eq(json_str(same, "@addonName"), name)) {
        eks_give_changing(out, "update", same, NULL);
        return;
    }
    if (str_eq(json_str(addon, "status"), "UPDATING")) {
        sim_fail(a, out, EKS_IN_USE, "Addon %s cannot be updated as it is currently in UPDATING state", name);
        return;
    }
    if (is_wrong(a, body, out) || !eks_own_associations(a, addon, body, out)) {
        return;
    }
    change_addon(a, addon, body);
    if (json_array_size(a->updates) == SIM_UPDATES_MAX) {
        eks_remove_item(a->updates, a->updates->child);
    }
    json *update = new_update(a, name, body);
    json_push(a->updates, update);
    sim_wrote(a, "UpdateAddon %s", name);
    eks_give_changing(out, "update", update, NULL);
}

static void update_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *addon = find_addon(a, c, out), *body = addon != NULL ? eks_read_body(a, c, out) : NULL;
    if (body != NULL) {
        begin_update(a, addon, body, out);
    }
    json_free(body);
}

/* true: an update of what the call is about. */
static bool is_about(const struct sim_aws_call *c, const json *update) {
    const char *addon = sim_param(c, "addonName");
    return addon != NULL && str_eq(addon, json_str(update, "@addonName"));
}

static void describe_update(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *id = str_or(sim_param(c, "updateId"), "");
    if (!eks_is_ours(a, c, "name", out)) {
        return;
    }
    settle(a);
    const json *update = eks_item_with(a->updates, "id", id);
    if (update == NULL || !is_about(c, update)) {
        eks_not_found(a, out, arena_printf(a->scratch, "No update found for ID: %.100s", id));
        return;
    }
    eks_give_changing(out, "update", update, NULL);
}

static void list_updates(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (!eks_is_ours(a, c, "name", out)) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "updateIds");
    for (const json *it = json_first(a->updates); it != NULL; it = it->next) {
        if (is_about(c, it)) {
            json_push_str(list, json_str(it, "id"));
        }
    }
    eks_give_page(a, c, value, "updateIds", out);
}

/* --- what the cluster has to do with it --- */

bool sim_aws_addon_wish(struct sim_aws *a, struct sim_addon_wish *out) {
    const json *addon = eks_item_with(a->addons, "addonName", ADDON);
    const char *way = json_str(addon, "@resolveConflicts");
    *out = (struct sim_addon_wish){.role_arn = json_str(addon, "serviceAccountRoleArn"),
                                   .force = str_eq(way, "OVERWRITE"),
                                   .preserve = str_eq(way, "PRESERVE")};
    return addon != NULL;
}

static json *issue(const char *code_key, const char *message_key, const char *message) {
    json *one = json_object();
    json_add_str(one, code_key, "ConfigurationConflict");
    json_add_str(one, message_key, message);
    (void)json_add_array(one, "resourceIds");
    return one;
}

void sim_aws_addon_conflict(struct sim_aws *a, const char *message) {
    json *addon = eks_item_with(a->addons, "addonName", ADDON);
    if (addon == NULL) {
        return;
    }
    json_push(json_add_array(json_add_object(addon, "health"), "issues"), issue("code", "message", message));
    if (!str_eq(json_str(addon, "status"), "UPDATING")) {
        json_add_str(addon, "status", "CREATE_FAILED");
    }
    for (json *u = a->updates->child; u != NULL; u = u->next) {
        if (str_eq(json_str(u, "@addonName"), ADDON) && str_eq(json_str(u, "status"), "InProgress")) {
            json_push(cJSON_GetObjectItemCaseSensitive(u, "errors"), issue("errorCode", "errorMessage", message));
        }
    }
}

const struct sim_operation sim_eks_addon_operations[] = {
    {"eks:ListAddons", list_addons},         {"eks:DescribeAddon", describe_addon},
    {"eks:CreateAddon", create_addon},       {"eks:UpdateAddon", update_addon},
    {"eks:DeleteAddon", delete_addon},       {"eks:ListUpdates", list_updates},
    {"eks:DescribeUpdate", describe_update}, {NULL, NULL},
};
