#include "bench/picture.h"

#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"

static json *ask(struct sim_aws *a, const char *action, const char *role) {
    struct sim_aws_param p = {"RoleName", role};
    struct sim_aws_call call = {.service = "iam", .action = action, .params = &p, .nparams = role ? 1 : 0};
    struct sim_aws_answer answer;
    sim_aws_do(a, &call, &answer);
    return answer.value;
}

static void add_line(json *picture, const char *format_role, const char *policy) {
    char line[512];
    (void)snprintf(line, sizeof line, "%s%s%s", format_role, policy ? " policy " : "", str_or(policy, ""));
    json_add_bool(picture, line, true);
}

static void add_policies(json *picture, struct sim_aws *a, const char *role, const char *line) {
    json *attached = ask(a, "ListAttachedRolePolicies", role), *inlined = ask(a, "ListRolePolicies", role);
    for (const json *it = json_first(json_array(attached, "AttachedPolicies")); it; it = it->next)
        add_line(picture, line, json_str(it, "PolicyArn"));
    for (const json *it = json_first(json_array(inlined, "PolicyNames")); it; it = it->next)
        add_line(picture, line, it->valuestring);
    json_free(attached);
    json_free(inlined);
}

json *picture_take(struct sim_aws *a) {
    json *picture = json_object(), *roles = ask(a, "ListRoles", NULL);
    json *providers = ask(a, "ListOpenIDConnectProviders", NULL);
    for (const json *it = json_first(json_array(roles, "Roles")); it; it = it->next) {
        char line[160];
        (void)snprintf(line, sizeof line, "role %s", str_or(json_str(it, "RoleName"), "?"));
        add_line(picture, line, NULL);
        add_policies(picture, a, json_str(it, "RoleName"), line);
    }
    for (const json *it = json_first(json_array(providers, "OpenIDConnectProviderList")); it; it = it->next) {
        char line[320];
        (void)snprintf(line, sizeof line, "provider %s", str_or(json_str(it, "Arn"), "?"));
        add_line(picture, line, NULL);
    }
    json_free(roles);
    json_free(providers);
    return picture;
}

bool picture_has(const json *picture, const char *line) {
    return json_get(picture, line) != NULL;
}

/* "role R" of "role R policy P"; false: the line stands for itself. */
static bool owner_of(const char *line, char *out, size_t size) {
    const char *policy = strstr(line, " policy ");
    if (!policy)
        return false;
    (void)snprintf(out, size, "%.*s", (int)(policy - line), line);
    return true;
}

void picture_carry_over(json *into, const json *before, const json *after) {
    char owner[160];
    for (const json *it = json_first(before); it; it = it->next)
        if (!picture_has(after, it->string))
            cJSON_DeleteItemFromObjectCaseSensitive(into, it->string);
    for (const json *it = json_first(after); it; it = it->next)
        if (!picture_has(before, it->string) &&
            (!owner_of(it->string, owner, sizeof owner) || picture_has(into, owner)))
            json_add_bool(into, it->string, true);
}

bool picture_differs(const json *was, const json *is, char *out, size_t size) {
    for (const json *it = json_first(was); it; it = it->next)
        if (!picture_has(is, it->string)) {
            (void)snprintf(out, size, "-%s", it->string);
            return true;
        }
    for (const json *it = json_first(is); it; it = it->next)
        if (!picture_has(was, it->string)) {
            (void)snprintf(out, size, "+%s", it->string);
            return true;
        }
    return false;
}
