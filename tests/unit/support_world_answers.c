/* support_world_answers.c - what it answers to each effect, and what a write changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_world_internal.h"

/* --- reads --- */

static json *tags_json(char tags[][2][256], int n) {
    json *list = json_new_array();
    for (int i = 0; i < n; i++) {
        json *t = json_object();
        json_add_str(t, "Key", tags[i][0]);
        json_add_str(t, "Value", tags[i][1]);
        json_push(list, t);
    }
    return list;
}

static json *role_json(struct sim_role *r) {
    json *j = json_object();
    json_add_str(j, "RoleName", r->name);
    json_add_str(j, "Arn", r->arn);
    json_add_str(j, "RoleId", "AROAEXAMPLE");
    json_add_str(j, "AssumeRolePolicyDocument", r->trust);
    json_add_str(j, "MaxSessionDuration", r->max_session[0] ? r->max_session : "3600");
    json_add_str(j, "Description", r->description);
    json_add_item(j, "Tags", tags_json(r->tags, r->ntags));
    if (r->boundary[0])
        json_add_str(json_add_object(j, "PermissionsBoundary"), "PermissionsBoundaryArn", r->boundary);
    return j;
}

static json *not_found(struct error *err, const char *what) {
    error_set(err, ERR_NOT_FOUND, "%s can not be found", what);
    return NULL;
}

static json *instance_json(struct arena *a, const char *id, int role) {
    return world_parse(
        arena_printf(a,
                     "{\"instanceId\":\"%s\",\"instanceState\":{\"name\":\"running\"},\"iamInstanceProfile\":{"
                     "\"arn\":\"arn:aws:iam::" SIM_ACCOUNT ":instance-profile/profile-%d\"}}",
                     id, role));
}

static json *describe_instances(struct sim *s, struct arena *a, const struct effect *e) {
    json *v = json_object(), *reservation = json_object();
    json *set = json_add_array(v, "reservationSet"), *instances = json_add_array(reservation, "instancesSet");
    bool by_profile = str_eq(effect_arg(e, "Filter.1.Name"), "iam-instance-profile.arn");
    if (s->ec2_knows_nothing) {
        json_free(reservation);
        return v;
    }
    const char *profile = effect_arg(e, "Filter.1.Value.1");
    for (int i = 0; i < s->nnodes; i++) {
        const char *arn = arena_printf(a, "arn:aws:iam::" SIM_ACCOUNT ":instance-profile/profile-%d", s->node_role[i]);
        if (!s->node_gone[i] && (!by_profile || str_eq(profile, arn)))
            json_push(instances, instance_json(a, arena_printf(a, "i-%017d", i), s->node_role[i]));
    }
    if (s->foreign_instance[0] && by_profile && str_has_suffix(profile, "profile-0")) {
        json *foreign = instance_json(a, s->foreign_instance, 0);
        if (s->foreign_cluster) {
            json *tag = json_object();
            json_add_str(tag, "key", arena_printf(a, "kubernetes.io/cluster/%s", s->foreign_cluster));
            json_add_str(tag, "value", "owned");
            json_push(json_add_array(foreign, "tagSet"), tag);
        }
        json_push(instances, foreign);
    }
    json_push(set, reservation);
    return v;
}

static json *describe_cluster(struct sim *s, struct arena *a) {
    return world_parse(arena_printf(
        a,
        "{\"cluster\":{\"name\":\"prod\",\"arn\":\"%s\",\"version\":\"%s\",\"status\":\"ACTIVE\",\"identity\":{"
        "\"oidc\":{\"issuer\":\"%s\"}},\"kubernetesNetworkConfig\":{\"ipFamily\":\"%s\"}%s}}",
        str_or(s->cluster_arn, SIM_CLUSTER), str_or(s->cluster_version, "1.33"),
        s->no_issuer ? "" : "https://" SIM_ISSUER, s->ipv6 ? "ipv6" : "ipv4",
        s->auto_mode ? ",\"computeConfig\":{\"enabled\":true}" : ""));
}

static json *prove(struct sim *s, const struct effect *e, struct error *err) {
    struct sim_role *r = world_role_by_arn(s, effect_arg(e, "RoleArn"));
    if (!s->provider) {
        error_set(err, ERR_IDENTITY_TOKEN, "No OpenIDConnect provider found in your account");
        return NULL;
    }
    if (!r || !world_trusts(s, r)) {
        error_set(err, ERR_FORBIDDEN, "Not authorized to perform sts:AssumeRoleWithWebIdentity");
        return NULL;
    }
    return world_parse(world_grants(s, r) ? "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"allowed\"}}"
                                          : "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"denied\"}}");
}

static json *list_pods(struct sim *s, struct arena *a) {
    json *v = json_object(), *items = json_add_array(v, "items");
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && !s->lists_are_empty)
            json_push(items, world_parse(world_pod_json(a, &s->pods[i])));
    return v;
}

static json *list_nodes(struct sim *s, struct arena *a) {
    json *v = json_object(), *items = json_add_array(v, "items");
    for (int i = 0; i < s->nnodes; i++)
        if (!s->node_gone[i] && !s->lists_are_empty)
            json_push(items, world_parse(world_node_json(s, a, i)));
    return v;
}

static json *dry_run(struct sim *s, struct arena *a) {
    struct sim_pod p = {.exists = true, .rv = 1};
    snprintf(p.name, sizeof p.name, "aws-node-probe");
    snprintf(p.uid, sizeof p.uid, "probe");
    if (s->webhook_up && s->sa_role[0]) {
        snprintf(p.role, sizeof p.role, "%s", s->sa_role);
        snprintf(p.audience, sizeof p.audience, "sts.amazonaws.com");
    }
    return world_parse(world_pod_json(a, &p));
}

static json *list_service_accounts(struct sim *s, struct arena *a) {
    json *v = json_object(), *items = json_add_array(v, "items");
    json_push(items, world_parse(world_sa_json(s, a)));
    if (s->other_sa_has_role)
        json_push(items, world_parse("{\"metadata\":{\"name\":\"app\",\"namespace\":\"default\",\"annotations\":{\"eks."
                                     "amazonaws.com/role-arn\":"
                                     "\"arn:aws:iam::" SIM_ACCOUNT ":role/app\"}}}"));
    return v;
}

static json *list_attached(struct sim_role *r) {
    json *v = json_object(), *list = json_add_array(v, "AttachedPolicies");
    for (int i = 0; i < r->npolicies; i++) {
        json *p = json_object();
        json_add_str(p, "PolicyArn", r->policies[i]);
        json_push(list, p);
    }
    return v;
}

static json *list_versions(const struct sim *s, struct arena *a) {
    json *v = json_object(), *list = json_add_array(v, "Versions");
    for (int i = s->policy_versions; i >= 0; i--) /* the newest first; it is the default */
        json_push(list,
                  world_parse(arena_printf(
                      a, "{\"VersionId\":\"v%d\",\"IsDefaultVersion\":\"%s\",\"CreateDate\":\"2026-01-0%dT00:00:00Z\"}",
                      i + 1, i == s->policy_versions ? "true" : "false", i + 1)));
    return v;
}

static json *answer_iam_read(struct sim *s, struct arena *a, const struct effect *e, struct error *err) {
    struct sim_role *r = sim_role(s, effect_arg(e, "RoleName"));
    switch ((int)e->kind) {
    case EFFECT_IAM_GET_OIDC_PROVIDER: {
        if (!s->provider)
            return not_found(err, "provider");
        json *v = json_object();
        json *ids = json_add_array(v, "ClientIDList");
        if (s->provider_audience)
            json_push_str(ids, "sts.amazonaws.com");
        json_add_item(v, "Tags", tags_json(s->provider_tags, s->nprovider_tags));
        return v;
    }
    case EFFECT_IAM_GET_ROLE: {
        if (!r)
            return not_found(err, "role");
        json *v = json_object();
        json_add_item(v, "Role", role_json(r));
        return v;
    }
    case EFFECT_IAM_LIST_ROLES: {
        json *v = json_object(), *list = json_add_array(v, "Roles");
        for (int i = 0; i < SIM_ROLES_MAX; i++)
            if (s->roles[i].exists)
                json_push(list, role_json(&s->roles[i]));
        return v;
    }
    case EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES:
        return r ? list_attached(r) : not_found(err, "role");
    case EFFECT_IAM_LIST_ROLE_POLICIES:
        return world_parse(r && r->inline_policy[0] ? "{\"PolicyNames\":[\"extra\"]}" : "{\"PolicyNames\":[]}");
    case EFFECT_IAM_GET_ROLE_POLICY: {
        json *v = json_object();
        json_add_str(v, "PolicyDocument", r ? r->inline_policy : "{}");
        return v;
    }
    case EFFECT_IAM_GET_INSTANCE_PROFILE: {
        int index = atoi(effect_arg(e, "InstanceProfileName") + strlen("profile-"));
        json *v = json_object(), *profile = json_add_object(v, "InstanceProfile");
        json *roles = json_add_array(profile, "Roles");
        if (!s->profile_is_empty || index == 0)
            json_push(roles, role_json(&s->roles[index]));
        return v;
    }
    case EFFECT_IAM_LIST_INSTANCE_PROFILES_FOR_ROLE:
        return world_parse(arena_printf(
            a,
            "{\"InstanceProfiles\":[{\"InstanceProfileName\":\"profile-%d\",\"Arn\":\"arn:aws:iam::" SIM_ACCOUNT
            ":instance-profile/profile-%d\"}]}",
            (int)(r - s->roles), (int)(r - s->roles)));
    case EFFECT_IAM_GET_POLICY: {
        if (s->other_policy && str_eq(effect_arg(e, "PolicyArn"), SIM_OTHER_POLICY))
            return world_parse("{\"Policy\":{\"DefaultVersionId\":\"v3\"}}");
        if (!s->policy.exists || !str_eq(effect_arg(e, "PolicyArn"), s->policy.arn))
            return not_found(err, "policy");
        json *v = json_object(), *p = json_add_object(v, "Policy");
        int attached = s->policy_used_elsewhere;
        for (int i = 0; i < SIM_ROLES_MAX; i++)
            attached += s->roles[i].exists && sim_role_has(&s->roles[i], s->policy.arn);
        json_add_str(p, "DefaultVersionId", "v1");
        json_add_str(p, "AttachmentCount", arena_printf(a, "%d", attached));
        json_add_item(p, "Tags", tags_json(s->policy.tags, s->policy.ntags));
        return v;
    }
    case EFFECT_IAM_GET_POLICY_VERSION: {
        json *v = json_object();
        bool other = str_eq(effect_arg(e, "PolicyArn"), SIM_OTHER_POLICY);
        json_add_str(json_add_object(v, "PolicyVersion"), "Document", other ? s->other_policy : s->policy.trust);
        return v;
    }
    case EFFECT_IAM_LIST_POLICY_VERSIONS:
        return list_versions(s, a);
    case EFFECT_IAM_SIMULATE_PRINCIPAL_POLICY:
        return world_parse(arena_printf(
            a,
            "{\"EvaluationResults\":[{\"EvalActionName\":\"ec2:CreateTags\",\"EvalDecision\":\"implicitDeny\","
            "\"PermissionsBoundaryDecisionDetail\":{\"AllowedByPermissionsBoundary\":\"%s\"}}]}",
            s->boundary_denies ? "false" : "true"));
    default:
        error_set(err, ERR_UNSUPPORTED, "support_world: %s is not known", effect_operation(e->kind));
        return NULL;
    }
}

static json *get_workload(struct sim *s, struct arena *a, const struct effect *e, struct error *err) {
    if (str_eq(effect_arg(e, "resource"), "serviceaccounts"))
        return s->sa_exists ? world_parse(world_sa_json(s, a)) : not_found(err, "serviceaccount");
    return s->ds_exists ? world_parse(world_ds_json(s, a)) : not_found(err, "daemonset");
}

static json *answer_read(struct sim *s, struct arena *a, const struct effect *e, struct error *err) {
    switch ((int)e->kind) {
    case EFFECT_STS_GET_CALLER_IDENTITY:
        return world_parse(arena_printf(a, "{\"Account\":\"%s\",\"Arn\":\"arn:aws:iam::%s:user/op\",\"UserId\":\"x\"}",
                                        s->account, s->account));
    case EFFECT_EKS_DESCRIBE_CLUSTER:
        return str_eq(effect_arg(e, "name"), "prod") ? describe_cluster(s, a) : not_found(err, "cluster");
    case EFFECT_EKS_DESCRIBE_ADDON:
        return s->addon ? world_parse("{\"addon\":{\"addonName\":\"vpc-cni\"}}") : not_found(err, "addon");
    case EFFECT_EKS_LIST_POD_IDENTITY_ASSOCIATIONS:
        return world_parse(s->association ? "{\"associations\":[{\"associationId\":\"a-1\"}]}"
                                          : "{\"associations\":[]}");
    case EFFECT_EC2_DESCRIBE_INSTANCES:
        return describe_instances(s, a, e);
    case EFFECT_K8S_TOKEN_ISSUER:
        if (!s->sa_exists)
            return not_found(err, "serviceaccounts \"aws-node\"");
        return world_parse(arena_printf(a, "{\"issuer\":\"%s\"}", s->issuer_of_api));
    case EFFECT_PROVE_ROLE:
        return prove(s, e, err);
    case EFFECT_K8S_POD_DRY_RUN:
        return dry_run(s, a);
    case EFFECT_K8S_GET:
        return get_workload(s, a, e, err);
    case EFFECT_K8S_LIST:
        if (str_eq(effect_arg(e, "resource"), "pods"))
            return list_pods(s, a);
        return str_eq(effect_arg(e, "resource"), "nodes") ? list_nodes(s, a) : list_service_accounts(s, a);
    default:
        return answer_iam_read(s, a, e, err);
    }
}

/* --- writes --- */

static void untag(struct sim_role *r, const char *key) {
    int kept = 0;
    for (int i = 0; i < r->ntags; i++)
        if (strcmp(r->tags[i][0], key) != 0)
            memmove(r->tags[kept++], r->tags[i], sizeof r->tags[i]);
    r->ntags = kept;
}

static json *create_role(struct sim *s, const struct effect *e, struct error *err) {
    if (sim_role(s, effect_arg(e, "RoleName"))) {
        error_set(err, ERR_ALREADY_EXISTS, "role exists");
        return NULL;
    }
    for (int i = 0; i < SIM_ROLES_MAX; i++) {
        struct sim_role *r = &s->roles[i];
        if (r->exists)
            continue;
        memset(r, 0, sizeof *r);
        r->exists = true;
        r->trust_ms = s->now_ms;
        snprintf(r->boundary, sizeof r->boundary, "%s", str_or(effect_arg(e, "PermissionsBoundary"), ""));
        snprintf(r->name, sizeof r->name, "%s", effect_arg(e, "RoleName"));
        snprintf(r->arn, sizeof r->arn, "arn:aws:iam::" SIM_ACCOUNT ":role%s%s", str_or(effect_arg(e, "Path"), "/"),
                 effect_arg(e, "RoleName"));
        snprintf(r->trust, sizeof r->trust, "%s", effect_arg(e, "AssumeRolePolicyDocument"));
        snprintf(r->description, sizeof r->description, "%s", str_or(effect_arg(e, "Description"), ""));
        snprintf(r->max_session, sizeof r->max_session, "%s", str_or(effect_arg(e, "MaxSessionDuration"), "3600"));
        world_tags_from(e, r->tags, &r->ntags);
        json *v = json_object();
        json_add_item(v, "Role", role_json(r));
        return v;
    }
    abort();
}

static void apply_service_account(struct sim *s, const json *body) {
    const char *role = json_key_str(json_path(body, "metadata.annotations"), "eks.amazonaws.com/role-arn");
    if (!str_eq(s->sa_role, str_or(role, "")))
        s->sa_set_ms = world_wall_ms(s);
    snprintf(s->sa_role, sizeof s->sa_role, "%s", str_or(role, ""));
    s->sa_rv++;
    s->sa_sts =
        json_key_str(json_path(body, "metadata.annotations"), "eks.amazonaws.com/sts-regional-endpoints") != NULL;
    snprintf(s->sa_manager, sizeof s->sa_manager, "cni-iam");
}

static void apply_daemon_set(struct sim *s, const json *body) {
    const char *key = json_key_str(json_path(body, "spec.template.metadata.annotations"), "cniiam.dev/restarted-for");
    s->restart_applies++;
    if (str_eq(key, s->ds_key))
        return;
    snprintf(s->ds_key, sizeof s->ds_key, "%s", str_or(key, ""));
    s->ds_generation++;
    s->restarts++;
}

static void patch_object(struct sim *s, const struct effect *e, const json *ops) {
    const json *last = NULL;
    for (const json *op = json_first(ops); op; op = op->next)
        if (!str_eq(json_str(op, "op"), "test"))
            last = last ? last : op;
    if (str_eq(effect_arg(e, "resource"), "serviceaccounts")) {
        s->sa_role[0] = '\0';
        s->sa_rv++;
        return;
    }
    json *object = world_parse(s->binding_json);
    json *meta = (json *)(uintptr_t)json_get(object, "metadata");
    json *list = json_add_array(meta, "finalizers");
    if (str_eq(json_str(last, "op"), "add"))
        json_push_str(list, CIB_FINALIZER);
    else
        s->finalizer_gone = true;
    char *text = json_print(object);
    snprintf(s->binding_json, sizeof s->binding_json, "%s", text);
    free(text);
    json_free(object);
}

static void apply_k8s(struct sim *s, const struct effect *e, struct error *err) {
    if (e->kind == EFFECT_K8S_DELETE) {
        for (int i = 0; i < SIM_PODS_MAX; i++)
            if (s->pods[i].exists && str_eq(s->pods[i].uid, effect_arg(e, "uid"))) {
                world_delete_pod(s, &s->pods[i]);
                return;
            }
        error_set(err, ERR_NOT_FOUND, "pod not found");
        return;
    }
    json *body = world_parse(e->body);
    if (e->kind == EFFECT_K8S_JSON_PATCH)
        patch_object(s, e, body);
    else if (str_eq(effect_arg(e, "resource"), "serviceaccounts"))
        apply_service_account(s, body);
    else
        apply_daemon_set(s, body);
    json_free(body);
}

static json *create_policy(struct sim *s, const struct effect *e) {
    s->policy.exists = true;
    snprintf(s->policy.arn, sizeof s->policy.arn, "arn:aws:iam::" SIM_ACCOUNT ":policy%s%s",
             str_or(effect_arg(e, "Path"), "/"), effect_arg(e, "PolicyName"));
    snprintf(s->policy.trust, sizeof s->policy.trust, "%s", effect_arg(e, "PolicyDocument"));
    world_tags_from(e, s->policy.tags, &s->policy.ntags);
    return json_object();
}

static json *apply_iam(struct sim *s, const struct effect *e, struct error *err) {
    struct sim_role *r = sim_role(s, effect_arg(e, "RoleName"));
    const char *policy = effect_arg(e, "PolicyArn");
    if (effect_arg(e, "RoleName") && !r && e->kind != EFFECT_IAM_CREATE_ROLE)
        return not_found(err, "role");
    switch ((int)e->kind) {
    case EFFECT_IAM_CREATE_OIDC_PROVIDER: {
        s->provider = s->provider_audience = true;
        s->nprovider_tags = 0;
        world_tags_from(e, s->provider_tags, &s->nprovider_tags);
        json *v = json_object();
        json_add_str(v, "OpenIDConnectProviderArn", SIM_PROVIDER);
        return v;
    }
    case EFFECT_IAM_ADD_CLIENT_ID:
        s->provider_audience = true;
        return NULL;
    case EFFECT_IAM_DELETE_OIDC_PROVIDER:
        s->provider = false;
        return NULL;
    case EFFECT_IAM_CREATE_ROLE:
        return create_role(s, e, err);
    case EFFECT_IAM_TAG_ROLE:
        world_tags_from(e, r->tags, &r->ntags);
        return NULL;
    case EFFECT_IAM_UNTAG_ROLE:
        untag(r, effect_arg(e, "TagKeys.member.1"));
        return NULL;
    case EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY:
        snprintf(r->trust, sizeof r->trust, "%s", effect_arg(e, "PolicyDocument"));
        r->trust_ms = s->now_ms;
        return NULL;
    case EFFECT_IAM_UPDATE_ROLE:
        snprintf(r->description, sizeof r->description, "%s", str_or(effect_arg(e, "Description"), ""));
        snprintf(r->max_session, sizeof r->max_session, "%s", effect_arg(e, "MaxSessionDuration"));
        return NULL;
    case EFFECT_IAM_PUT_ROLE_BOUNDARY:
        snprintf(r->boundary, sizeof r->boundary, "%s", effect_arg(e, "PermissionsBoundary"));
        return NULL;
    case EFFECT_IAM_ATTACH_ROLE_POLICY:
        s->probed_ms[r - s->roles] = s->now_ms;
        if (!sim_role_has(r, policy)) {
            sim_role_attach(r, policy);
            r->attached_ms[r->npolicies - 1] = s->now_ms;
        }
        return NULL;
    case EFFECT_IAM_DETACH_ROLE_POLICY:
        sim_role_detach(r, policy);
        return NULL;
    case EFFECT_IAM_DELETE_ROLE:
        r->exists = false;
        return NULL;
    case EFFECT_IAM_CREATE_POLICY:
        return create_policy(s, e);
    case EFFECT_IAM_CREATE_POLICY_VERSION:
        if (s->policy_versions >= 4) {
            error_set(err, ERR_QUOTA, "LimitExceeded: five versions");
            return NULL;
        }
        s->policy_versions++;
        snprintf(s->policy.trust, sizeof s->policy.trust, "%s", effect_arg(e, "PolicyDocument"));
        return NULL;
    case EFFECT_IAM_DELETE_POLICY_VERSION:
        s->policy_versions--;
        return NULL;
    case EFFECT_IAM_DELETE_POLICY:
        if (s->policy_versions > 0) {
            error_set(err, ERR_DELETE_CONFLICT, "delete the other versions first");
            return NULL;
        }
        s->policy.exists = false;
        return NULL;
    default:
        error_set(err, ERR_UNSUPPORTED, "support_world: write %s is not known", effect_operation(e->kind));
        return NULL;
    }
}

json *world_perform(struct sim *s, const struct effect *e, struct error *err) {
    struct arena *a = arena_new(0);
    bool fail = s->fail_count > 0 && s->fail_kind == e->kind &&
                (!s->fail_match || strstr(effect_describe(e, a), s->fail_match));
    json *value = NULL;
    error_clear(err);
    if (fail)
        s->fail_count--;
    if (!fail || s->fail_after_commit) {
        if (effect_class(e->kind) == EFFECT_READ)
            value = answer_read(s, a, e, err);
        else if (effect_service(e->kind) == SERVICE_KUBERNETES)
            apply_k8s(s, e, err);
        else
            value = apply_iam(s, e, err);
    }
    if (fail) {
        json_free(value);
        value = NULL;
        error_set(err, s->fail_code, "injected: %s", error_name(s->fail_code));
    }
    arena_free(a);
    return value;
}
