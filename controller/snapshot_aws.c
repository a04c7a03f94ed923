/* snapshot_aws.c - the account: the cluster as EKS has it, from nodes to roles and policies, and back to who else uses them. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "controller/snapshot_taking.h"
#include "platform/base/strmap.h"
#include "reconcilers/names.h"
#include "simulator/snapshot.h"

#define INSTANCES_PER_CALL 200 /* values a filter may have */
static_assert(INSTANCES_PER_CALL < EFFECT_ARGS_MAX, "the filter's name and all its values are arguments");
#define TAG_PREFIX "cniiam.dev/"

struct account {
    struct taking *t;
    struct arena *a;
    const char *partition, *id, *cluster_name, *cluster_arn;
    struct strlist roles, policies, profiles; /* names, ARNs, names: what was asked for */
    struct strlist tags;                      /* keys that bindings name; of the others only our own are copied */
    struct strmap *instances;                 /* ids of those that are in the list below */
    json *role_list, *absent, *policy_list, *profile_list, *instance_list;
};

/* --- policies --- */

static json *parse_document(struct account *x, const char *text, const char *of) {
    struct error err;
    json *document = text ? json_parse(text, strlen(text), &err) : NULL;
    if (text && !document && !x->t->err->code)
        error_set(x->t->err, ERR_PARSE, "the policy document of %s: %s", of, err.message);
    return document ? document : json_object();
}

/* Adds a name that is new; false: it is not, or there are too many. */
static bool note(struct account *x, struct strlist *list, const char *name, size_t max, const char *what) {
    if (str_empty(name) || strlist_has(list, name))
        return false;
    if (list->n < max) {
        strlist_add(list, name, x->a);
        return true;
    }
    return !x->t->err->code && error_set(x->t->err, ERR_TOO_LARGE, "more than %zu %s", max, what);
}

static void want_policy(struct account *x, const char *arn) {
    note(x, &x->policies, arn, SNAPSHOT_POLICIES_MAX, "policies");
}

static void take_policy(struct account *x, const char *arn) {
    json *policy = taking_ask(x->t, effect_new(x->a, EFFECT_IAM_GET_POLICY, "PolicyArn", arn, NULL));
    if (!policy && x->t->not_found)
        return;
    const char *version = json_str(policy, "Policy.DefaultVersionId");
    json *text = version ? taking_ask(x->t, effect_new(x->a, EFFECT_IAM_GET_POLICY_VERSION, "PolicyArn", arn,
                                                       "VersionId", version, NULL))
                         : NULL;
    const char *document = json_str(text, "PolicyVersion.Document");
    json *out = json_object();
    json_add_str(out, "arn", arn);
    if (document)
        json_add_item(out, "document", parse_document(x, document, arn));
    json_push(x->policy_list, out);
    json_free(text);
    json_free(policy);
}

static void take_policies(struct account *x) {
    for (size_t i = 0; i < x->policies.n; i++)
        take_policy(x, x->policies.v[i]);
}

/* --- roles --- */

static json *tags_of(const struct account *x, const json *tags) {
    json *map = json_object();
    for (const json *it = json_first(tags); it; it = it->next)
        if (str_has_prefix(json_str(it, "Key"), TAG_PREFIX) || strlist_has(&x->tags, str_or(json_str(it, "Key"), "")))
            json_add_str(map, json_str(it, "Key"), str_or(json_str(it, "Value"), ""));
    return map;
}

static void add_attached(struct account *x, json *out, const char *role) {
    json *value = taking_ask(x->t, effect_new(x->a, EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "RoleName", role, NULL));
    json *list = json_add_array(out, "attachedPolicies");
    for (const json *it = json_first(json_array(value, "AttachedPolicies")); it; it = it->next) {
        json_push_str(list, str_or(json_str(it, "PolicyArn"), ""));
        want_policy(x, json_str(it, "PolicyArn"));
    }
    json_free(value);
}

static void add_inline(struct account *x, json *out, const char *role) {
    json *value = taking_ask(x->t, effect_new(x->a, EFFECT_IAM_LIST_ROLE_POLICIES, "RoleName", role, NULL));
    struct strlist names = json_strings(json_array(value, "PolicyNames"), x->a);
    json *list = json_add_array(out, "inlinePolicies");
    for (size_t i = 0; i < names.n; i++) {
        json *policy = taking_ask(
            x->t, effect_new(x->a, EFFECT_IAM_GET_ROLE_POLICY, "RoleName", role, "PolicyName", names.v[i], NULL));
        json *one = json_object();
        json_add_str(one, "name", names.v[i]);
        json_add_item(one, "document", parse_document(x, json_str(policy, "PolicyDocument"), names.v[i]));
        if (policy)
            json_push(list, one);
        else
            json_free(one);
        json_free(policy);
    }
    json_free(value);
}

static void add_role(struct account *x, const json *role) {
    json *out = json_object();
    const char *name = str_or(json_str(role, "RoleName"), ""), *session = json_str(role, "MaxSessionDuration");
    const char *boundary = json_str(role, "PermissionsBoundary.PermissionsBoundaryArn");
    int64_t seconds = json_int64_or(role, "MaxSessionDuration", 3600);
    if (session && !str_to_int64(session, &seconds))
        seconds = 3600;
    json_add_str(out, "name", name);
    json_add_str(out, "path", str_or(json_str(role, "Path"), "/"));
    json_add_str(out, "arn", json_str(role, "Arn"));
    json_add_str(out, "description", json_str(role, "Description"));
    json_add_int64(out, "maxSessionSeconds", seconds);
    json_add_str(out, "permissionsBoundary", boundary);
    want_policy(x, boundary);
    json_add_item(out, "tags", tags_of(x, json_array(role, "Tags")));
    json_add_item(out, "trust", parse_document(x, json_str(role, "AssumeRolePolicyDocument"), name));
    add_attached(x, out, name);
    add_inline(x, out, name);
    json_push(x->role_list, out);
}

static void take_role(struct account *x, const char *name) {
    if (!note(x, &x->roles, name, SNAPSHOT_ROLES_MAX, "roles"))
        return;
    json *value = taking_ask(x->t, effect_new(x->a, EFFECT_IAM_GET_ROLE, "RoleName", name, NULL));
    const json *role = json_get(value, "Role");
    if (role)
        add_role(x, role);
    else if (x->t->not_found)
        json_push_str(x->absent, name);
    json_free(value);
}

/* --- from nodes to roles, and back --- */

static const char *cluster_tag(const json *instance) {
    for (const json *t = json_first(json_array(instance, "tagSet")); t; t = t->next)
        if (str_has_prefix(json_str(t, "key"), "kubernetes.io/cluster/"))
            return json_str(t, "key") + strlen("kubernetes.io/cluster/");
    return NULL;
}

static void add_profile(struct account *x, const json *profile) {
    const char *name = json_str(profile, "InstanceProfileName");
    if (!note(x, &x->profiles, name, SNAPSHOT_LIST_MAX, "instance profiles"))
        return;
    const char *role = json_str(json_first(json_array(profile, "Roles")), "RoleName");
    json *out = json_object();
    json_add_str(out, "name", name);
    json_add_str(out, "arn", json_str(profile, "Arn"));
    json_add_str(out, "role", role);
    json_push(x->profile_list, out);
    take_role(x, role);
}

static void take_profile(struct account *x, const char *name) {
    if (strlist_has(&x->profiles, name))
        return;
    json *value =
        taking_ask(x->t, effect_new(x->a, EFFECT_IAM_GET_INSTANCE_PROFILE, "InstanceProfileName", name, NULL));
    if (value)
        add_profile(x, json_get(value, "InstanceProfile"));
    json_free(value);
}

static void add_instance(struct account *x, const json *instance) {
    const char *id = json_str(instance, "instanceId");
    const char *arn = json_str(instance, "iamInstanceProfile.arn"), *state = json_str(instance, "instanceState.name");
    if (!id || strmap_get(x->instances, id))
        return;
    if (!strmap_set(x->instances, id, x)) {
        if (!x->t->err->code)
            error_set(x->t->err, ERR_TOO_LARGE, "more than %d instances", SNAPSHOT_LIST_MAX);
        return;
    }
    if (arn)
        take_profile(x, name_of_arn(arn));
    json *out = json_object();
    json_add_str(out, "id", id);
    json_add_str(out, "state", state);
    if (arn && strlist_has(&x->profiles, name_of_arn(arn)))
        json_add_str(out, "profile", name_of_arn(arn));
    json_add_str(out, "clusterTag", cluster_tag(instance));
    json_push(x->instance_list, out);
}

static void take_instances(struct account *x, const struct effect *e) {
    json *value = taking_ask(x->t, e);
    for (const json *r = json_first(json_array(value, "reservationSet")); r; r = r->next)
        for (const json *i = json_first(json_array(r, "instancesSet")); i; i = i->next)
            add_instance(x, i);
    json_free(value);
}

static void take_node_instances(struct account *x, const json *nodes) {
    struct effect *e = NULL;
    int n = 0;
    for (const json *it = json_first(nodes); it; it = it->next) {
        const char *id = name_of_arn(json_str(it, "spec.providerID"));
        if (!str_has_prefix(id, "i-"))
            continue;
        if (!e)
            e = effect_new(x->a, EFFECT_EC2_DESCRIBE_INSTANCES, "Filter.1.Name", "instance-id", NULL);
        effect_add_arg(e, x->a, arena_printf(x->a, "Filter.1.Value.%d", ++n), id);
        if (n == INSTANCES_PER_CALL) {
            take_instances(x, e);
            e = NULL;
            n = 0;
        }
    }
    if (e)
        take_instances(x, e);
}

static void take_other_users(struct account *x) {
    struct strlist node_roles = {0};
    for (const json *it = json_first(x->profile_list); it; it = it->next)
        if (json_str(it, "role"))
            strlist_add(&node_roles, json_str(it, "role"), x->a);
    for (size_t i = 0; i < node_roles.n; i++) {
        json *value = taking_ask(
            x->t, effect_new(x->a, EFFECT_IAM_LIST_INSTANCE_PROFILES_FOR_ROLE, "RoleName", node_roles.v[i], NULL));
        for (const json *p = json_first(json_array(value, "InstanceProfiles")); p; p = p->next) {
            add_profile(x, p);
            take_instances(x, effect_new(x->a, EFFECT_EC2_DESCRIBE_INSTANCES, "Filter.1.Name",
                                         "iam-instance-profile.arn", "Filter.1.Value.1", json_str(p, "Arn"), NULL));
        }
        json_free(value);
    }
}

/* --- the roles that bindings name --- */

static void note_tags(struct account *x, const json *spec) {
    for (const json *it = json_first(json_path(spec, "role.tags")); it; it = it->next)
        strlist_add(&x->tags, str_or(it->string, ""), x->a);
}

static void take_role_of_spec(struct account *x, const json *spec) {
    const char *arn = json_str(spec, "role.arn"), *name = json_str(spec, "role.name");
    const char *role = arn ? name_of_arn(arn) : name ? name : name_default_role(x->cluster_name, x->cluster_arn, x->a);
    const char *path = str_or(json_str(spec, "role.path"), x->t->request->options->role_path);
    struct strlist named = json_strings(json_array(spec, "permissions.policyARNs"), x->a);
    take_role(x, role);
    want_policy(x, json_str(spec, "role.permissionsBoundaryARN"));
    for (size_t i = 0; i < named.n; i++)
        want_policy(x, named.v[i]);
    json *own = taking_ask(x->t, effect_new(x->a, EFFECT_IAM_GET_POLICY, "PolicyArn",
                                            arena_printf(x->a, "arn:%s:iam::%s:policy%s%s", x->partition, x->id, path,
                                                         name_ipv6_policy(role, x->a)),
                                            NULL));
    want_policy(x, json_str(own, "Policy.Arn"));
    json_free(own);
}

static void take_named_roles(struct account *x, const json *kubernetes) {
    static const char role_arn[] = "eks.amazonaws.com/role-arn";
    const json *annotations = json_path(kubernetes, "serviceAccount.metadata.annotations");
    take_role_of_spec(x, json_get(x->t->request->binding, "spec"));
    for (const json *b = json_first(json_array(kubernetes, "bindings")); b; b = b->next) {
        take_role_of_spec(x, json_get(b, "spec"));
        take_role(x, json_str(b, "status.role.name"));
    }
    take_role(x, name_of_arn(json_key_str(annotations, role_arn)));
    want_policy(x, arena_printf(x->a, "arn:%s:iam::aws:policy/AmazonEKS_CNI_Policy", x->partition));
}

/* --- EKS --- */

static const char *name_cluster(const struct taking *t, const json *kubernetes) {
    const json *first = json_first(json_array(kubernetes, "bindings"));
    const char *name = str_or(json_str(t->request->binding, "spec.cluster.name"), t->request->options->cluster_name);
    return str_or(name, json_str(first, "spec.cluster.name"));
}

static json *take_cluster(struct account *x) {
    json *value = taking_ask(x->t, effect_new(x->a, EFFECT_EKS_DESCRIBE_CLUSTER, "name", x->cluster_name, NULL));
    const json *cluster = json_get(value, "cluster");
    json *out = json_object();
    if (!cluster && !x->t->err->code)
        error_set(x->t->err, ERR_NOT_FOUND, "there is no EKS cluster %s that may be read in this region",
                  x->cluster_name);
    x->cluster_arn = arena_strdup(x->a, str_or(json_str(cluster, "arn"), ""));
    x->partition = partition_of_arn(x->cluster_arn, x->a);
    json_add_str(out, "name", x->cluster_name);
    json_add_str(out, "arn", x->cluster_arn);
    json_add_str(out, "version", json_str(cluster, "version"));
    json_add_str(out, "issuer", json_str(cluster, "identity.oidc.issuer"));
    json_add_str(out, "ipFamily", json_str(cluster, "kubernetesNetworkConfig.ipFamily"));
    json_add_bool(out, "autoMode", json_bool(cluster, "computeConfig.enabled", false));
    json_free(value);
    return out;
}

static void add_eks(struct account *x, json *out) {
    json *addon = taking_ask(x->t, effect_new(x->a, EFFECT_EKS_DESCRIBE_ADDON, "clusterName", x->cluster_name,
                                              "addonName", "vpc-cni", NULL));
    if (json_get(addon, "addon"))
        json_add_item(out, "addon", json_dup(json_get(addon, "addon")));
    json_free(addon);
    json *associations =
        taking_ask(x->t, effect_new(x->a, EFFECT_EKS_LIST_POD_IDENTITY_ASSOCIATIONS, "clusterName", x->cluster_name,
                                    "namespace", "kube-system", "serviceAccount", "aws-node", NULL));
    const json *first = json_first(json_array(associations, "associations"));
    if (first)
        json_add_item(out, "association", json_dup(first));
    json_free(associations);
}

static void add_node_groups(struct account *x, json *out) {
    json *names = taking_ask(x->t, effect_new(x->a, EFFECT_EKS_LIST_NODEGROUPS, "clusterName", x->cluster_name, NULL));
    json *list = json_add_array(out, "nodeGroups");
    for (const json *it = json_first(json_array(names, "nodegroups")); it; it = it->next) {
        json *value = taking_ask(x->t, effect_new(x->a, EFFECT_EKS_DESCRIBE_NODEGROUP, "clusterName", x->cluster_name,
                                                  "nodegroupName", it->valuestring, NULL));
        json *group = json_object();
        json_add_str(group, "name", it->valuestring);
        json_add_str(group, "nodeRole", json_str(value, "nodegroup.nodeRole"));
        json_add_str(group, "status", json_str(value, "nodegroup.status"));
        json_push(list, group);
        json_free(value);
    }
    json_free(names);
}

/* Of all providers only the cluster's own matters. */
static void add_provider(struct account *x, json *out, const char *issuer) {
    json *list = json_add_array(out, "providers");
    if (!str_has_prefix(issuer, "https://"))
        return;
    const char *arn = arena_printf(x->a, "arn:%s:iam::%s:oidc-provider/%s", x->partition, x->id, issuer + 8);
    json *value =
        taking_ask(x->t, effect_new(x->a, EFFECT_IAM_GET_OIDC_PROVIDER, "OpenIDConnectProviderArn", arn, NULL));
    if (!value)
        return;
    json *one = json_object();
    json_add_str(one, "arn", arn);
    json_add_str(one, "url", issuer);
    json *ids = json_add_array(one, "clientIds");
    for (const json *it = json_first(json_array(value, "ClientIDList")); it; it = it->next)
        json_push_str(ids, it->valuestring);
    json_add_item(one, "tags", tags_of(x, json_array(value, "Tags")));
    json_push(list, one);
    json_free(value);
}

/* --- the whole --- */

static const char *account_id(struct account *x) {
    json *value = taking_ask(x->t, effect_new(x->a, EFFECT_STS_GET_CALLER_IDENTITY, NULL));
    const char *id = arena_strdup(x->a, str_or(json_str(value, "Account"), ""));
    json_free(value);
    return id;
}

json *snapshot_take_aws(struct taking *t, const json *kubernetes) {
    struct account x = {.t = t, .a = t->arena, .cluster_name = name_cluster(t, kubernetes)};
    json *out = json_object();
    if (str_empty(x.cluster_name)) {
        if (!t->err->code)
            error_set(t->err, ERR_INVALID, "which EKS cluster? give --cluster-name");
        return out;
    }
    fprintf(stderr, "reading EKS cluster %s\n", x.cluster_name);
    note_tags(&x, json_get(t->request->binding, "spec"));
    for (const json *b = json_first(json_array(kubernetes, "bindings")); b; b = b->next)
        note_tags(&x, json_get(b, "spec"));
    x.id = account_id(&x);
    json_add_str(out, "account", x.id);
    json_add_str(out, "region", t->connection->settings->region);
    json *cluster = take_cluster(&x);
    json_add_item(out, "cluster", cluster);
    add_eks(&x, out);
    add_node_groups(&x, out);
    add_provider(&x, out, json_str(cluster, "issuer"));
    x.instances = strmap_new(SNAPSHOT_LIST_MAX, NULL);
    x.role_list = json_add_array(out, "roles");
    x.absent = json_add_array(out, "absentRoles");
    x.policy_list = json_add_array(out, "policies");
    x.profile_list = json_add_array(out, "profiles");
    x.instance_list = json_add_array(out, "instances");
    fprintf(stderr, "reading IAM and EC2\n");
    take_node_instances(&x, json_array(kubernetes, "nodes"));
    take_other_users(&x);
    take_named_roles(&x, kubernetes);
    take_policies(&x);
    strmap_free(x.instances);
    return out;
}
