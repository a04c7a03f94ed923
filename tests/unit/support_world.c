#include "support_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/json.h"
#include "platform/base/timefmt.h"

#define WALL_OFFSET 1790000000000
#define BASE_BOOT 1000000
#define BACK_OFF_BASE_MS 500
#define BACK_OFF_CAP_MS 30000

static void logf_(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void logf_(struct sim *s, const char *fmt, ...) {
    if (s->nlog >= SIM_LOG_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->log[s->nlog++], sizeof s->log[0], fmt, ap);
    va_end(ap);
}

static int64_t wall(const struct sim *s) {
    return WALL_OFFSET + s->now_ms;
}

/* --- roles --- */

struct sim_role *sim_role(struct sim *s, const char *name) {
    for (int i = 0; i < SIM_ROLES_MAX; i++)
        if (s->roles[i].exists && str_eq_nocase(s->roles[i].name, name))
            return &s->roles[i];
    return NULL;
}

static struct sim_role *role_by_arn(struct sim *s, const char *arn) {
    for (int i = 0; i < SIM_ROLES_MAX; i++)
        if (s->roles[i].exists && strcmp(s->roles[i].arn, arn) == 0)
            return &s->roles[i];
    return NULL;
}

bool sim_role_has(const struct sim_role *r, const char *policy) {
    for (int i = 0; r && i < r->npolicies; i++)
        if (strcmp(r->policies[i], policy) == 0)
            return true;
    return false;
}

void sim_role_attach(struct sim_role *r, const char *policy) {
    if (sim_role_has(r, policy))
        return;
    r->attached_ms[r->npolicies] = INT64_MIN / 2; /* long ago, unless the operator does it */
    snprintf(r->policies[r->npolicies++], sizeof r->policies[0], "%s", policy);
}

void sim_role_detach(struct sim_role *r, const char *policy) {
    for (int i = 0; i < r->npolicies; i++)
        if (strcmp(r->policies[i], policy) == 0) {
            r->npolicies--;
            memmove(r->policies[i], r->policies[r->npolicies], sizeof r->policies[0]);
            r->attached_ms[i] = r->attached_ms[r->npolicies];
        }
}

static bool enforced(const struct sim *s, const struct sim_role *r, const char *policy) {
    for (int i = 0; r && i < r->npolicies; i++)
        if (strcmp(r->policies[i], policy) == 0)
            return s->now_ms >= r->attached_ms[i] + s->iam_lag_ms;
    return false;
}

static void set_tag(char tags[][2][256], int *n, const char *key, const char *value) {
    for (int i = 0; i < *n; i++)
        if (strcmp(tags[i][0], key) == 0) {
            snprintf(tags[i][1], 256, "%s", value);
            return;
        }
    snprintf(tags[*n][0], 256, "%s", key);
    snprintf(tags[*n][1], 256, "%s", value);
    ++*n;
}

static void tags_from(const struct effect *e, char tags[][2][256], int *n) {
    const char *key = NULL;
    for (size_t i = 0; i < e->nargs; i++) {
        if (!str_has_prefix(e->args[i].name, "Tags.member."))
            continue;
        if (str_has_suffix(e->args[i].name, ".Key"))
            key = e->args[i].value;
        else if (key)
            set_tag(tags, n, key, e->args[i].value);
    }
}

/* --- permissions: the world's own verdict --- */

static bool grants(const struct sim *s, const struct sim_role *r) {
    if (!r || r->denied)
        return false;
    return enforced(s, r, SIM_CNI_POLICY) || (s->policy.exists && enforced(s, r, s->policy.arn)) ||
           (s->other_policy && enforced(s, r, SIM_OTHER_POLICY) &&
            strstr(s->other_policy, "AssignPrivateIpAddresses")) ||
           strstr(r->inline_policy, "AssignPrivateIpAddresses");
}

static bool trusts(const struct sim *s, const struct sim_role *r) {
    return s->provider && s->provider_audience && strstr(r->trust, SIM_PROVIDER) &&
           strstr(r->trust, "system:serviceaccount:kube-system:aws-node") && strstr(r->trust, "sts.amazonaws.com") &&
           !strstr(r->trust, "\"Deny\"") && s->now_ms >= r->trust_ms + s->iam_lag_ms;
}

bool sim_pod_permitted(struct sim *s, const struct sim_pod *p) {
    if (!p->role[0])
        return grants(s, &s->roles[s->node_role[p->node]]);
    struct sim_role *r = role_by_arn(s, p->role);
    return r && trusts(s, r) && grants(s, r);
}

/* After every change: `by_us` says that the operator made it. */
static void judge(struct sim *s, bool by_us, const char *what) {
    int unready = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        struct sim_pod *p = &s->pods[i];
        if (!p->exists)
            continue;
        bool now = sim_pod_permitted(s, p);
        if (p->had_permission && !now && by_us) {
            s->lost_permission++;
            snprintf(s->violation, sizeof s->violation, "S1: %s lost permission by: %.180s", p->name, what);
        }
        p->had_permission = now;
        p->ready = now && s->now_ms >= p->ready_at_ms && !p->broken;
        unready += !p->ready;
    }
    if (unready > s->max_unready)
        s->max_unready = unready;
    s->webhook_down_ms = s->webhook_up ? 0 : (s->webhook_down_ms ? s->webhook_down_ms : s->now_ms);
    sim_judge_proofs(s);
}

/* --- the cluster --- */

static bool webhook_injects(struct sim *s) {
    if (!s->webhook_up || !s->sa_role[0])
        return false;
    if (s->webhook_misses > 0) {
        s->webhook_misses--;
        return false;
    }
    return true;
}

void sim_new_pod(struct sim *s, int node) {
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        struct sim_pod *p = &s->pods[i];
        if (p->exists)
            continue;
        memset(p, 0, sizeof *p);
        p->exists = true;
        p->node = node;
        p->rv = 1;
        snprintf(p->name, sizeof p->name, "aws-node-%d", ++s->uid_counter);
        snprintf(p->uid, sizeof p->uid, "uid-%d", s->uid_counter);
        snprintf(p->key, sizeof p->key, "%s", s->ds_key);
        if (webhook_injects(s)) {
            snprintf(p->role, sizeof p->role, "%s", s->sa_role);
            snprintf(p->audience, sizeof p->audience, "sts.amazonaws.com");
        }
        p->created_ms = wall(s);
        p->ready_at_ms = s->now_ms + 1000;
        p->had_permission = sim_pod_permitted(s, p);
        return;
    }
    abort(); /* too many pods for SIM_PODS_MAX */
}

void sim_informers_sleep(struct sim *s) {
    memcpy(s->seen, s->pods, sizeof s->seen);
    s->informers_sleep = true;
}

static void delete_pod(struct sim *s, struct sim_pod *p) {
    int node = p->node;
    bool permitted = p->had_permission;
    p->exists = false;
    sim_new_pod(s, node);
    p->had_permission = permitted; /* the slot is taken again: its successor is judged by what it had */
}

/* The DaemonSet controller: one pod at a time, the next when all are Ready or the present one never will be. */
static void daemon_set_tick(struct sim *s) {
    if (s->on_delete)
        return;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && strcmp(s->pods[i].key, s->ds_key) == 0 && !s->pods[i].ready)
            return; /* maxUnavailable 1 */
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && strcmp(s->pods[i].key, s->ds_key) != 0) {
            delete_pod(s, &s->pods[i]);
            return;
        }
}

/* What informers would tell: pods that came, went or changed their readiness. */
static int64_t fingerprint(const struct sim *s) {
    int64_t f = s->uid_counter;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        f = f * 3 + (s->pods[i].exists ? 1 + s->pods[i].ready : 0);
    return f;
}

/* Ends early when something changed that the operator would be told. */
static void advance(struct sim *s, int64_t ms) {
    int64_t before = fingerprint(s);
    while (ms > 0 && fingerprint(s) == before) {
        int64_t part = ms > 1000 ? 1000 : ms;
        s->now_ms += part;
        ms -= part;
        judge(s, false, "time");
        daemon_set_tick(s);
        judge(s, true, "rollout"); /* only we start one */
    }
}

/* --- views --- */

static char *time_text(struct arena *a, int64_t ms) {
    char text[TIMEFMT_MAX];
    timefmt_rfc3339(ms, text);
    return arena_strdup(a, text);
}

static const char *injected_env(struct arena *a, const char *role, bool static_key) {
    if (!role[0])
        return static_key ? ",\"env\":[{\"name\":\"AWS_ACCESS_KEY_ID\",\"value\":\"x\"}]" : "";
    const char *key = static_key ? "{\"name\":\"AWS_ACCESS_KEY_ID\",\"value\":\"x\"}," : "";
    return arena_printf(
        a,
        ",\"env\":[%s{\"name\":\"AWS_ROLE_ARN\",\"value\":\"%s\"},{\"name\":\"AWS_WEB_IDENTITY_TOKEN_FILE\",\"value\":"
        "\"/var/run/secrets/eks.amazonaws.com/serviceaccount/token\"}],\"volumeMounts\":[{\"name\":\"aws-iam-token\","
        "\"mountPath\":\"/var/run/secrets/eks.amazonaws.com/serviceaccount\",\"readOnly\":true}]",
        key, role);
}

static const char *pod_json(struct arena *a, const struct sim_pod *p) {
    const char *env = injected_env(a, p->role, p->static_key);
    const char *volumes = p->role[0]
                              ? arena_printf(a,
                                             ",\"volumes\":[{\"name\":\"aws-iam-token\",\"projected\":{\"sources\":[{"
                                             "\"serviceAccountToken\":{\"audience\":\"%s\",\"expirationSeconds\":86400,"
                                             "\"path\":\"token\"}}]}}]",
                                             p->audience)
                              : "";
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"kube-system\",\"uid\":\"%s\",\"resourceVersion\":\"%d\","
        "\"creationTimestamp\":"
        "\"%s\",\"labels\":{\"k8s-app\":\"aws-node\"},\"ownerReferences\":[{\"apiVersion\":\"apps/"
        "v1\",\"kind\":\"DaemonSet\",\"name\":"
        "\"aws-node\",\"uid\":\"%s\",\"controller\":true}]},\"spec\":{\"nodeName\":\"node-%d\",\"serviceAccountName\":"
        "\"aws-node\","
        "\"hostNetwork\":true,\"initContainers\":[{\"name\":\"aws-vpc-cni-init\",\"image\":\"i:v1\"%s}],\"containers\":"
        "[{\"name\":"
        "\"aws-node\",\"image\":\"x/"
        "amazon-k8s-cni:v1.23.1\"%s},{\"name\":\"aws-eks-nodeagent\",\"image\":\"y:v1\"%s}]%s},\"status\":{"
        "\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}",
        p->name, p->uid, p->rv, time_text(a, p->created_ms), p->foreign ? "other-uid" : "ds-uid", p->node, env, env,
        env, volumes, p->ready ? "True" : "False");
}

static const char *node_json(const struct sim *s, struct arena *a, int i) {
    const char *fargate = s->fargate ? ",\"eks.amazonaws.com/compute-type\":\"fargate\"" : "";
    const char *provider =
        s->no_provider_id || s->unknown_node == i + 1 ? "" : arena_printf(a, "aws:///us-west-2a/i-%017d", i);
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"node-%d\",\"uid\":\"node-uid-%d\",\"resourceVersion\":\"1\",\"labels\":{"
        "\"kubernetes.io/os\":\"linux\"%s}},\"spec\":{\"providerID\":\"%s\"},\"status\":{"
        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
        i, i, fargate, provider);
}

static const char *sa_json(struct sim *s, struct arena *a) {
    char set[TIMEFMT_MAX];
    timefmt_rfc3339(s->sa_set_ms, set);
    const char *sts = s->sa_sts ? ",\"eks.amazonaws.com/sts-regional-endpoints\":\"true\"" : "";
    const char *annotations =
        s->sa_role[0] ? arena_printf(a, ",\"annotations\":{\"eks.amazonaws.com/role-arn\":\"%s\"%s}", s->sa_role, sts)
                      : "";
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"aws-node\",\"namespace\":\"kube-system\",\"uid\":\"sa-uid\",\"resourceVersion\":"
        "\"%d\"%s,"
        "\"managedFields\":[{\"manager\":\"%s\",\"operation\":\"Apply\",\"time\":\"%s\",\"fieldsType\":\"FieldsV1\","
        "\"fieldsV1\":{"
        "\"f:metadata\":{\"f:annotations\":{\"f:eks.amazonaws.com/role-arn\":{}}}}}]}}",
        s->sa_rv, annotations, s->sa_manager, set);
}

static const char *ds_json(struct sim *s, struct arena *a) {
    int desired = 0, updated = 0, ready = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (!p->exists)
            continue;
        desired += !p->foreign;
        updated += strcmp(p->key, s->ds_key) == 0;
        ready += p->ready;
    }
    const char *key =
        s->ds_key[0] ? arena_printf(a, ",\"annotations\":{\"cniiam.dev/restarted-for\":\"%s\"}", s->ds_key) : "";
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"aws-node\",\"namespace\":\"kube-system\",\"uid\":\"ds-uid\",\"resourceVersion\":"
        "\"7\",\"generation\":"
        "%" PRId64
        "},\"spec\":{\"updateStrategy\":{\"type\":\"%s\"},\"selector\":{\"matchLabels\":{\"k8s-app\":\"aws-node\"}},"
        "\"template\":{\"metadata\":{\"labels\":{\"k8s-app\":\"aws-node\"}%s},\"spec\":{\"serviceAccountName\":\"aws-"
        "node\",\"hostNetwork\":"
        "true,\"containers\":[{\"name\":\"aws-node\",\"image\":\"%s\"%s}]}}},\"status\":{\"observedGeneration\":"
        "%" PRId64 ",\"desiredNumberScheduled\":%d,\"currentNumberScheduled\":%d,\"updatedNumberScheduled\":%d,"
        "\"numberAvailable\":%d,\"numberReady\":%d}}",
        s->ds_generation, s->on_delete ? "OnDelete" : "RollingUpdate", key, s->image,
        injected_env(a, "", s->template_key), s->ds_generation, desired, desired, updated, ready, ready);
}

static json *parse(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    if (!j) {
        fprintf(stderr, "support_world: %s: %s\n", err.message, text);
        abort();
    }
    return j;
}

/* --- answers: reads --- */

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
    return parse(arena_printf(a,
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
    return parse(arena_printf(
        a,
        "{\"cluster\":{\"name\":\"prod\",\"arn\":\"%s\",\"version\":\"%s\",\"status\":\"ACTIVE\",\"identity\":{"
        "\"oidc\":{\"issuer\":\"%s\"}},\"kubernetesNetworkConfig\":{\"ipFamily\":\"%s\"}%s}}",
        str_or(s->cluster_arn, SIM_CLUSTER), str_or(s->cluster_version, "1.33"),
        s->no_issuer ? "" : "https://" SIM_ISSUER, s->ipv6 ? "ipv6" : "ipv4",
        s->auto_mode ? ",\"computeConfig\":{\"enabled\":true}" : ""));
}

static json *prove(struct sim *s, const struct effect *e, struct error *err) {
    struct sim_role *r = role_by_arn(s, effect_arg(e, "RoleArn"));
    if (!s->provider) {
        error_set(err, ERR_IDENTITY_TOKEN, "No OpenIDConnect provider found in your account");
        return NULL;
    }
    if (!r || !trusts(s, r)) {
        error_set(err, ERR_FORBIDDEN, "Not authorized to perform sts:AssumeRoleWithWebIdentity");
        return NULL;
    }
    return parse(grants(s, r) ? "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"allowed\"}}"
                              : "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"denied\"}}");
}

static json *list_pods(struct sim *s, struct arena *a) {
    json *v = json_object(), *items = json_add_array(v, "items");
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && !s->lists_are_empty)
            json_push(items, parse(pod_json(a, &s->pods[i])));
    return v;
}

static json *list_nodes(struct sim *s, struct arena *a) {
    json *v = json_object(), *items = json_add_array(v, "items");
    for (int i = 0; i < s->nnodes; i++)
        if (!s->node_gone[i] && !s->lists_are_empty)
            json_push(items, parse(node_json(s, a, i)));
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
    return parse(pod_json(a, &p));
}

static json *list_service_accounts(struct sim *s, struct arena *a) {
    json *v = json_object(), *items = json_add_array(v, "items");
    json_push(items, parse(sa_json(s, a)));
    if (s->other_sa_has_role)
        json_push(items, parse("{\"metadata\":{\"name\":\"app\",\"namespace\":\"default\",\"annotations\":{\"eks."
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
                  parse(arena_printf(
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
        return parse(r && r->inline_policy[0] ? "{\"PolicyNames\":[\"extra\"]}" : "{\"PolicyNames\":[]}");
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
        return parse(arena_printf(
            a,
            "{\"InstanceProfiles\":[{\"InstanceProfileName\":\"profile-%d\",\"Arn\":\"arn:aws:iam::" SIM_ACCOUNT
            ":instance-profile/profile-%d\"}]}",
            (int)(r - s->roles), (int)(r - s->roles)));
    case EFFECT_IAM_GET_POLICY: {
        if (s->other_policy && str_eq(effect_arg(e, "PolicyArn"), SIM_OTHER_POLICY))
            return parse("{\"Policy\":{\"DefaultVersionId\":\"v3\"}}");
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
        return parse(arena_printf(
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
        return s->sa_exists ? parse(sa_json(s, a)) : not_found(err, "serviceaccount");
    return s->ds_exists ? parse(ds_json(s, a)) : not_found(err, "daemonset");
}

static json *answer_read(struct sim *s, struct arena *a, const struct effect *e, struct error *err) {
    switch ((int)e->kind) {
    case EFFECT_STS_GET_CALLER_IDENTITY:
        return parse(arena_printf(a, "{\"Account\":\"%s\",\"Arn\":\"arn:aws:iam::%s:user/op\",\"UserId\":\"x\"}",
                                  s->account, s->account));
    case EFFECT_EKS_DESCRIBE_CLUSTER:
        return str_eq(effect_arg(e, "name"), "prod") ? describe_cluster(s, a) : not_found(err, "cluster");
    case EFFECT_EKS_DESCRIBE_ADDON:
        return s->addon ? parse("{\"addon\":{\"addonName\":\"vpc-cni\"}}") : not_found(err, "addon");
    case EFFECT_EKS_LIST_POD_IDENTITY_ASSOCIATIONS:
        return parse(s->association ? "{\"associations\":[{\"associationId\":\"a-1\"}]}" : "{\"associations\":[]}");
    case EFFECT_EC2_DESCRIBE_INSTANCES:
        return describe_instances(s, a, e);
    case EFFECT_K8S_TOKEN_ISSUER:
        if (!s->sa_exists)
            return not_found(err, "serviceaccounts \"aws-node\"");
        return parse(arena_printf(a, "{\"issuer\":\"%s\"}", s->issuer_of_api));
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

/* --- answers: writes --- */

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
        tags_from(e, r->tags, &r->ntags);
        json *v = json_object();
        json_add_item(v, "Role", role_json(r));
        return v;
    }
    abort();
}

static void apply_service_account(struct sim *s, const json *body) {
    const char *role = json_key_str(json_path(body, "metadata.annotations"), "eks.amazonaws.com/role-arn");
    if (!str_eq(s->sa_role, str_or(role, "")))
        s->sa_set_ms = wall(s);
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
    json *object = parse(s->binding_json);
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
                delete_pod(s, &s->pods[i]);
                return;
            }
        error_set(err, ERR_NOT_FOUND, "pod not found");
        return;
    }
    json *body = parse(e->body);
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
    tags_from(e, s->policy.tags, &s->policy.ntags);
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
        tags_from(e, s->provider_tags, &s->nprovider_tags);
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
        tags_from(e, r->tags, &r->ntags);
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

static json *perform(struct sim *s, const struct effect *e, struct error *err) {
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

/* --- the driver, in small --- */

struct frame {
    struct arena *a;
    struct world w;
    struct cib_binding *second;
    const struct cib_binding *bindings[2];
    const struct pod_view *pods[SIM_PODS_MAX];
    const struct node_view *nodes[SIM_PODS_MAX];
    struct event_view *event;
    const struct event_view *events[1];
};

static void frame_objects(struct sim *s, struct frame *f) {
    if (s->sa_exists && !s->informers_know_nothing)
        f->w.service_account = decoded_service_account(&s->decoded.service_account, sa_json(s, f->a));
    if (s->ds_exists && !s->informers_know_nothing)
        f->w.daemon_set = decoded_daemon_set(&s->decoded.daemon_set, ds_json(s, f->a));
    const struct sim_pod *pods = s->informers_sleep ? s->seen : s->pods;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (pods[i].exists)
            f->pods[f->w.npods++] = decoded_pod(&s->decoded.pods[i], pod_json(f->a, &pods[i]));
    for (int i = 0; i < s->nnodes; i++)
        if (!s->node_gone[i])
            f->nodes[f->w.nnodes++] = decoded_node(&s->decoded.nodes[i], node_json(s, f->a, i));
    if (s->event.reason[0]) {
        struct error err;
        json *j = parse(arena_printf(f->a,
                                     "{\"metadata\":{\"name\":\"e1\",\"namespace\":\"kube-system\",\"uid\":\"e1\","
                                     "\"resourceVersion\":\"1\"},\"reason\":\"%s\","
                                     "\"action\":\"AssignPrivateIpAddresses\",\"lastTimestamp\":\"%s\",\"count\":1,"
                                     "\"involvedObject\":{\"kind\":\"Pod\","
                                     "\"name\":\"p\",\"uid\":\"%s\"}}",
                                     s->event.reason, time_text(f->a, s->event.at_ms), s->event.uid));
        f->event = event_decode(j, &err);
        f->events[0] = f->event;
        f->w.nevents = f->event ? 1 : 0;
        json_free(j);
    }
}

const json *sim_object(struct sim *s) {
    return decoded_json(&s->decoded.object, s->binding_json);
}

static void frame_init(struct sim *s, struct frame *f) {
    struct error err;
    memset(f, 0, sizeof *f);
    f->a = arena_new(65536);
    judge(s, false, "look");
    frame_objects(s, f);
    f->w.binding = f->bindings[0] = decoded_binding(&s->decoded.binding, s->binding_json, sim_object(s));
    f->w.nbindings = 1;
    if (s->second_binding) {
        json *j = parse(
            "{\"apiVersion\":\"cniiam.dev/"
            "v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"older\",\"uid\":\"older-uid\","
            "\"resourceVersion\":\"1\",\"generation\":1,\"creationTimestamp\":\"2020-01-01T00:00:00Z\"},\"spec\":{}}");
        f->second = cib_decode(j, &err);
        json_free(j);
        f->bindings[f->w.nbindings++] = f->second;
    }
    f->w.bindings = f->bindings;
    f->w.pods = f->pods;
    f->w.nodes = f->nodes;
    f->w.events = f->events;
    f->w.observations = s->observations;
    f->w.config = &s->config;
    f->w.epoch = s->epoch;
    f->w.last_effect = s->last_effect;
    f->w.last_error = s->last_effect ? &s->last_error : NULL;
    f->w.last_failures = s->last_failures;
    f->w.status_refused = s->status_was_refused;
}

static void frame_done(struct frame *f) {
    event_free(f->event);
    cib_free(f->second);
    arena_free(f->a);
}

static void read_all(struct sim *s, struct frame *f, const struct decision *d) {
    for (size_t i = 0; i < d->nreads; i++) {
        struct error err;
        json *value = perform(s, d->reads[i], &err);
        s->reads++;
        s->read_ms[d->reads[i]->kind] = s->now_ms;
        if (str_eq(effect_arg(d->reads[i], "resource"), "pods"))
            s->listed_pods_ms = s->now_ms;
        if (str_eq(effect_arg(d->reads[i], "resource"), "nodes"))
            s->listed_nodes_ms = s->now_ms;
        observations_put(s->observations, effect_key(d->reads[i], f->a), value, &err, BASE_BOOT + s->now_ms);
    }
}

static void write_status(struct sim *s, const struct cib_status *status) {
    json *next = cib_status_encode(status);
    const json *now = json_get(sim_object(s), "status");
    bool same = now && json_equal(now, next);
    s->status_was_refused = !same && s->status_is_refused;
    if (same || s->status_is_refused) {
        json_free(next);
        return;
    }
    json *object = json_dup(sim_object(s));
    s->status_writes++;
    if (s->epoch > s->highest_epoch)
        s->highest_epoch = s->epoch;
    json_add_item(object, "status", next);
    char *text = json_print(object);
    assert(strlen(text) < sizeof s->binding_json);
    snprintf(s->binding_json, sizeof s->binding_json, "%s", text);
    free(text);
    json_free(object);
}

static void remember_failure(struct sim *s, const struct effect *e, const struct error *err) {
    bool same = s->last_effect && err->code == s->last_error.code &&
                str_eq(effect_key(s->last_effect, s->last_arena), effect_key(e, s->last_arena));
    s->last_failures = same ? s->last_failures + 1 : 1;
    struct arena *a = arena_new(0);
    s->last_effect = effect_dup(e, a);
    arena_free(s->last_arena);
    s->last_arena = a;
    s->last_error = *err;
}

static void take_step(struct sim *s, struct frame *f, const struct step *step) {
    struct error err;
    const char *what = effect_describe(step->effect, f->a);
    bool crash = s->crash_at > 0 && --s->crash_at == 0;
    if (crash && !s->crash_after) {
        logf_(s, "crash before %s", step->line);
        sim_restart_operator(s);
        return;
    }
    sim_judge_step(s, step->effect);
    json *value = perform(s, step->effect, &err);
    s->writes++;
    logf_(s, "%s %s%s%s", step->gate, step->line, err.code ? " !" : "", err.code ? error_name(err.code) : "");
    judge(s, true, what);
    if (crash) {
        logf_(s, "crash after %s", step->line);
        json_free(value);
        sim_restart_operator(s);
        return;
    }
    observations_absorb(s->observations, step->effect, value, &err, BASE_BOOT + s->now_ms);
    json_free(value);
    if (err.code) {
        remember_failure(s, step->effect, &err);
    } else {
        s->last_effect = NULL;
        s->last_failures = 0;
    }
}

/* As the queue does it (controller/work_queue.c). */
static int64_t back_off_ms(int failures) {
    int64_t ms = (int64_t)BACK_OFF_BASE_MS << (failures < 16 ? failures - 1 : 15);
    return ms < BACK_OFF_CAP_MS ? ms : BACK_OFF_CAP_MS;
}

int64_t sim_pass(struct sim *s) {
    struct decision *d = calloc(1, sizeof *d);
    struct frame f;
    if (s->finalizer_gone) {
        free(d);
        return 60000;
    }
    frame_init(s, &f);
    observations_begin_pass(s->observations);
    for (int round = 0;; round++) {
        f.w.now_boot_ms = BASE_BOOT + s->now_ms;
        f.w.now_wall_ms = wall(s) + s->wall_ahead_ms;
        reconcile_decide(&f.w, &s->progress, f.a, d);
        if (!d->nreads || round >= RECONCILE_ROUNDS_MAX)
            break;
        read_all(s, &f, d);
    }
    assert(d->nreads == 0);
    s->progress = d->progress;
    for (size_t i = 0; i < d->nnotes; i++)
        s->guard_events += str_eq(d->notes[i].reason, "GuardFired");
    write_status(s, &d->status);
    int64_t wait = d->requeue_after_ms;
    if (s->status_was_refused) {
        wait = BACK_OFF_CAP_MS;
    } else if (d->nsteps) {
        take_step(s, &f, &d->steps[0]);
        wait = s->last_effect ? back_off_ms(s->last_failures) : 0;
    }
    frame_done(&f);
    free(d);
    return wait;
}

void sim_run(struct sim *s, int64_t for_ms) {
    int64_t end = s->now_ms + for_ms;
    while (s->now_ms < end) {
        int64_t wait = sim_pass(s);
        if (wait <= 0)
            wait = 10;
        advance(s, wait < end - s->now_ms ? wait : end - s->now_ms);
    }
}

bool sim_run_until(struct sim *s, bool (*done)(struct sim *s, const void *arg), const void *arg, int64_t max_ms) {
    int64_t end = s->now_ms + max_ms;
    while (s->now_ms < end) {
        int64_t wait = sim_pass(s);
        if (done(s, arg))
            return true;
        advance(s, wait > 0 ? wait : 10);
    }
    return false;
}

struct wanted {
    const char *type, *status, *reason;
};

static bool is_so(struct sim *s, const void *arg) {
    const struct wanted *w = arg;
    return sim_condition_is(s, w->type, w->status) &&
           (!w->reason || str_eq(sim_condition_reason(s, w->type), w->reason));
}

bool sim_until(struct sim *s, const char *type, const char *status, const char *reason, int64_t max_ms) {
    const struct wanted w = {type, status, reason};
    return sim_run_until(s, is_so, &w, max_ms);
}

/* --- the rest --- */

struct cib_binding *sim_binding(struct sim *s) {
    struct error err;
    return cib_decode(sim_object(s), &err);
}

static const char *condition_member(struct sim *s, const char *type, const char *member) {
    static char out[1024];
    out[0] = '\0';
    for (const json *c = json_first(json_array(sim_object(s), "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), type))
            snprintf(out, sizeof out, "%s", str_or(json_str(c, member), ""));
    return out;
}

const char *sim_condition_reason(struct sim *s, const char *type) {
    return condition_member(s, type, "reason");
}

const char *sim_condition_message(struct sim *s, const char *type) {
    return condition_member(s, type, "message");
}

bool sim_condition_is(struct sim *s, const char *type, const char *status) {
    return str_eq(condition_member(s, type, "status"), status);
}

int sim_pods_with_role(const struct sim *s, const char *role_arn) {
    int n = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        n += s->pods[i].exists && strcmp(s->pods[i].role, str_or(role_arn, "")) == 0;
    return n;
}

int sim_log_index(const struct sim *s, const char *needle) {
    for (int i = 0; i < s->nlog; i++)
        if (strstr(s->log[i], needle))
            return i;
    return -1;
}

int sim_log_count(const struct sim *s, const char *needle) {
    int n = 0;
    for (int i = 0; i < s->nlog; i++)
        n += strstr(s->log[i], needle) != NULL;
    return n;
}

const char *sim_own_role_arn(struct sim *s) {
    static char arn[128];
    struct cib_binding *b = sim_binding(s);
    snprintf(arn, sizeof arn, "%s", str_or(b->status.role.arn, ""));
    cib_free(b);
    return arn;
}

static void edit_binding(struct sim *s, const char *spec_json, const char *key, const char *value, bool delete) {
    json *o = parse(s->binding_json);
    json *meta = (json *)(uintptr_t)json_get(o, "metadata");
    if (spec_json) {
        json_add_item(o, "spec", parse(spec_json));
        json_add_int64(meta, "generation", json_int64_or(meta, "generation", 1) + 1);
    }
    if (key) {
        json *annotations = (json *)(uintptr_t)json_get(meta, "annotations");
        json_add_str(annotations ? annotations : json_add_object(meta, "annotations"), key, value);
    }
    if (delete) {
        char text[TIMEFMT_MAX];
        timefmt_rfc3339(wall(s), text);
        json_add_str(meta, "deletionTimestamp", text);
    }
    char *text = json_print(o);
    snprintf(s->binding_json, sizeof s->binding_json, "%s", text);
    free(text);
    json_free(o);
}

void sim_set_spec(struct sim *s, const char *spec_json) {
    edit_binding(s, spec_json, NULL, NULL, false);
}

void sim_annotate_binding(struct sim *s, const char *key, const char *value) {
    edit_binding(s, NULL, key, value, false);
}

void sim_delete_binding(struct sim *s) {
    edit_binding(s, NULL, NULL, NULL, true);
}

void sim_restart_operator(struct sim *s) {
    observations_free(s->observations);
    s->observations = observations_new();
    memset(&s->progress, 0, sizeof s->progress);
    s->last_effect = NULL;
    s->started_ms = s->now_ms;
    s->epoch++;
}

void sim_init(struct sim *s, int nodes, const char *spec_json) {
    memset(s, 0, sizeof *s);
    s->nnodes = nodes;
    s->sa_exists = s->ds_exists = s->webhook_up = true;
    s->image = "602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni:v1.23.1-eksbuild.1";
    s->issuer_of_api = "https://" SIM_ISSUER;
    s->account = SIM_ACCOUNT;
    s->ds_generation = 1;
    s->epoch = 1;
    s->last_arena = arena_new(0);
    s->observations = observations_new();
    s->config = (struct operator_config){.cluster_name = "prod",
                                         .region = "us-west-2",
                                         .role_path = "/",
                                         .aws_audit_interval_ms = 60000,
                                         .guard_independent = true};
    struct sim_role *node_role = &s->roles[0];
    node_role->exists = node_role->node = true;
    snprintf(node_role->name, sizeof node_role->name, "node-role");
    snprintf(node_role->arn, sizeof node_role->arn, "arn:aws:iam::" SIM_ACCOUNT ":role/node-role");
    snprintf(node_role->trust, sizeof node_role->trust,
             "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2."
             "amazonaws.com\"},\"Action\":"
             "\"sts:AssumeRole\"}]}");
    sim_role_attach(node_role, "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy");
    sim_role_attach(node_role, SIM_CNI_POLICY);
    for (int i = 0; i < nodes; i++)
        sim_new_pod(s, i);
    snprintf(s->binding_json, sizeof s->binding_json,
             "{\"apiVersion\":\"cniiam.dev/"
             "v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"aws-node\",\"uid\":\"cib-uid\","
             "\"resourceVersion\":\"10\",\"generation\":1,\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"spec\":%s}",
             spec_json);
    advance(s, 5000);
}

void sim_done(struct sim *s) {
    struct decoded *single[] = {&s->decoded.object, &s->decoded.binding, &s->decoded.service_account,
                                &s->decoded.daemon_set};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        decoded_drop(single[i]);
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        decoded_drop(&s->decoded.pods[i]);
        decoded_drop(&s->decoded.nodes[i]);
    }
    observations_free(s->observations);
    arena_free(s->last_arena);
}
