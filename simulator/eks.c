/* eks.c - the cluster as EKS describes it: its add-ons, Pod Identity associations and node groups. */
#include <inttypes.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define PAGE_MAX 100
#define ADDON "vpc-cni"

/* --- answers --- */

static void not_found(struct sim_aws *a, struct sim_aws_answer *out, const char *what) {
    sim_fail(a, out, 404, "ResourceNotFoundException", "%s", what);
}

/* true: the call is about our cluster. */
static bool is_ours(struct sim_aws *a, const struct sim_aws_call *c, const char *param, struct sim_aws_answer *out) {
    const char *name = sim_param(c, param);
    if (str_empty(name)) {
        sim_fail(a, out, 400, "InvalidParameterException", "%s is required.", param);
        return false;
    }
    if (!str_eq(name, a->cluster)) {
        not_found(a, out, arena_printf(a->scratch, "No cluster found for name: %.100s.", name));
        return false;
    }
    return true;
}

/* Epoch seconds, as EKS writes time. */
static void add_epoch(json *o, const char *key, int64_t wall_ms) {
    json_add_int64(o, key, wall_ms / 1000);
}

/* Cuts value's array to one page of maxResults from nextToken. */
static bool page(struct sim_aws *a, const struct sim_aws_call *c, json *value, const char *array,
                 struct sim_aws_answer *out) {
    const char *most_text = sim_param(c, "maxResults"), *token = sim_param(c, "nextToken");
    json *all = cJSON_DetachItemFromObjectCaseSensitive(value, array), *some = json_new_array();
    int64_t most = PAGE_MAX, from = 0, i = 0, total = (int64_t)json_array_size(all);
    bool ok = (most_text == NULL || (str_to_int64(most_text, &most) && most >= 1 && most <= PAGE_MAX)) &&
              (token == NULL || (str_has_prefix(token, "page-") && str_to_int64(token + 5, &from) && from <= total));

    while (ok && all->child != NULL && i < from + most) {
        json *item = cJSON_DetachItemViaPointer(all, all->child);
        if (i++ < from) {
            json_free(item);
        } else {
            json_push(some, item);
        }
    }
    json_free(all);
    json_add_item(value, array, some);
    if (!ok) {
        sim_fail(a, out, 400, "InvalidParameterException", "Invalid maxResults or nextToken.");
    } else if (from + most < total) {
        json_add_str(value, "nextToken", arena_printf(a->scratch, "page-%" PRId64, from + most));
    }
    return ok;
}

static void give_page(struct sim_aws *a, const struct sim_aws_call *c, json *value, const char *array,
                      struct sim_aws_answer *out) {
    if (page(a, c, value, array, out)) {
        out->value = value;
    } else {
        json_free(value);
    }
}

/* --- the cluster --- */

static void list_clusters(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    (void)c;
    out->value = json_object();
    json_push_str(json_add_array(out->value, "clusters"), a->cluster);
}

static char *eks_arn(struct sim_aws *a, const char *kind, const char *rest) {
    return arena_printf(a->scratch, "arn:%s:eks:%s:%s:%s/%s%s", a->partition, a->region, a->account, kind, a->cluster,
                        rest);
}

static void add_network(struct sim_aws *a, json *cluster) {
    json *vpc = json_add_object(cluster, "resourcesVpcConfig");
    json *subnets = json_add_array(vpc, "subnetIds");
    json_push_str(subnets, "subnet-0a0a0a0a0a0a0a0a0");
    json_push_str(subnets, "subnet-0b0b0b0b0b0b0b0b0");
    json_add_str(vpc, "vpcId", "vpc-0123456789abcdef0");
    json *network = json_add_object(cluster, "kubernetesNetworkConfig");
    json_add_str(network, a->o.ipv6 ? "serviceIpv6Cidr" : "serviceIpv4Cidr",
                 a->o.ipv6 ? "fd30:1c53:5f8a::/108" : "10.100.0.0/16");
    json_add_str(network, "ipFamily", a->o.ipv6 ? "ipv6" : "ipv4");
}

static void describe_cluster(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (!is_ours(a, c, "name", out)) {
        return;
    }
    out->value = json_object();
    json *cluster = json_add_object(out->value, "cluster");
    json_add_str(cluster, "name", a->cluster);
    json_add_str(cluster, "arn", eks_arn(a, "cluster", ""));
    add_epoch(cluster, "createdAt", a->started_ms);
    json_add_str(cluster, "version", a->version);
    json_add_str(
        cluster, "endpoint",
        arena_printf(a->scratch, "https://0123456789ABCDEF0123456789ABCDEF.gr7.%s.eks.amazonaws.com", a->region));
    json_add_str(cluster, "roleArn",
                 arena_printf(a->scratch, "arn:%s:iam::%s:role/%s-cluster", a->partition, a->account, a->cluster));
    add_network(a, cluster);
    json *oidc = json_add_object(json_add_object(cluster, "identity"), "oidc");
    json_add_str(oidc, "issuer", arena_printf(a->scratch, "https://%s", a->issuer));
    json_add_str(cluster, "status", "ACTIVE");
    json_add_str(cluster, "platformVersion", "eks.1");
    json *access = json_add_object(cluster, "accessConfig");
    json_add_str(access, "authenticationMode", "API_AND_CONFIG_MAP");
    json_add_bool(json_add_object(cluster, "computeConfig"), "enabled", a->o.auto_mode);
    (void)json_add_object(cluster, "tags");
}

/* --- add-ons and associations: arrays of what was made by hand or by calls --- */

static json *unwrapped(const char *text, const char *member) {
    struct error err;
    json *j = text != NULL ? json_parse(text, strlen(text), &err) : NULL;
    json *inner = json_get(j, member) != NULL ? cJSON_DetachItemFromObjectCaseSensitive(j, member) : NULL;
    if (inner != NULL) {
        json_free(j);
        j = inner;
    }
    if (text != NULL && !json_is_object(j)) {
        die("simulated account: %s that is no JSON object", member);
    }
    return j;
}

static void add_missing(json *o, const char *key, const char *value) {
    if (json_get(o, key) == NULL) {
        json_add_str(o, key, value);
    }
}

static json *item_with(json *list, const char *member, const char *value) {
    for (json *it = list->child; it != NULL; it = it->next) {
        if (str_eq(json_str(it, member), value)) {
            return it;
        }
    }
    return NULL;
}

static void remove_item(json *list, json *item) {
    json_free(item != NULL ? cJSON_DetachItemViaPointer(list, item) : NULL);
}

/* The object of a POST; NULL: answered. */
static json *read_body(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct error err;
    json *body = c->body != NULL ? json_parse(c->body, strlen(c->body), &err) : NULL;
    if (!json_is_object(body)) {
        json_free(body);
        sim_fail(a, out, 400, "SerializationException", "The request body is no JSON object.");
        return NULL;
    }
    return body;
}

static bool is_missing(struct sim_aws *a, const json *body, const char *const *members, size_t n,
                       struct sim_aws_answer *out) {
    for (size_t i = 0; i < n; i++) {
        if (str_empty(json_str(body, members[i]))) {
            sim_fail(a, out, 400, "InvalidParameterException", "%s is required.", members[i]);
            return true;
        }
    }
    return false;
}

static bool is_full(struct sim_aws *a, const json *list, size_t max, const char *what, struct sim_aws_answer *out) {
    if (json_array_size(list) < max) {
        return false;
    }
    sim_fail(a, out, 400, "ResourceLimitExceededException", "The cluster has its maximum of %zu %s.", max, what);
    return true;
}

/* The answer to a write says what is under way; the next read, what is. */
static void give_changing(struct sim_aws_answer *out, const char *member, const json *item, const char *status) {
    json *copy = json_dup(item);
    if (json_get(copy, "status") != NULL) {
        json_add_str(copy, "status", status);
    }
    out->value = json_object();
    json_add_item(out->value, member, copy);
}

/* --- add-ons --- */

static json *complete_addon(struct sim_aws *a, json *addon) {
    const char *name = str_or(json_str(addon, "addonName"), ADDON);
    add_missing(addon, "addonName", name);
    add_missing(addon, "clusterName", a->cluster);
    add_missing(addon, "status", "ACTIVE");
    add_missing(addon, "addonVersion", "v1.23.1-eksbuild.1");
    add_missing(addon, "addonArn", eks_arn(a, "addon", arena_printf(a->scratch, "/%s/0123", name)));
    return addon;
}

void sim_aws_set_addon(struct sim_aws *a, const char *addon_json) {
    arena_reset(a->scratch);
    remove_item(a->addons, item_with(a->addons, "addonName", ADDON));
    json *addon = unwrapped(addon_json, "addon");
    if (addon != NULL) {
        json_push(a->addons, complete_addon(a, addon));
    }
}

static void list_addons(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (!is_ours(a, c, "clusterName", out)) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "addons");
    for (const json *it = json_first(a->addons); it != NULL; it = it->next) {
        json_push_str(list, json_str(it, "addonName"));
    }
    give_page(a, c, value, "addons", out);
}

/* NULL: answered. */
static json *find_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *name = str_or(sim_param(c, "addonName"), "");
    if (!is_ours(a, c, "clusterName", out)) {
        return NULL;
    }
    json *addon = item_with(a->addons, "addonName", name);
    if (addon == NULL) {
        not_found(a, out, arena_printf(a->scratch, "No addon: %.100s found in cluster: %s", name, a->cluster));
    }
    return addon;
}

static void describe_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const json *addon = find_addon(a, c, out);
    if (addon != NULL) {
        give_changing(out, "addon", addon, json_str(addon, "status"));
    }
}

static void make_addon(struct sim_aws *a, const json *body, struct sim_aws_answer *out) {
    static const char *const required[] = {"addonName"}, *const kept[] = {"addonVersion", "serviceAccountRoleArn"};
    const char *name = json_str(body, "addonName");

    if (is_missing(a, body, required, 1, out) || is_full(a, a->addons, SIM_ADDONS_MAX, "add-ons", out)) {
        return;
    }
    if (item_with(a->addons, "addonName", name) != NULL) {
        sim_fail(a, out, 409, "ResourceInUseException", "Addon already exists.");
        return;
    }
    json *addon = json_object();
    json_add_str(addon, "addonName", name);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        json_add_str(addon, kept[i], json_str(body, kept[i]));
    }
    json_push(a->addons, complete_addon(a, addon));
    sim_wrote(a, "CreateAddon %s", name);
    give_changing(out, "addon", addon, "CREATING");
}

static void create_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *body = is_ours(a, c, "clusterName", out) ? read_body(a, c, out) : NULL;
    if (body != NULL) {
        make_addon(a, body, out);
    }
    json_free(body);
}

static void delete_addon(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *addon = find_addon(a, c, out);
    if (addon != NULL) {
        give_changing(out, "addon", addon, "DELETING");
        sim_wrote(a, "DeleteAddon %s", json_str(addon, "addonName"));
        remove_item(a->addons, addon);
    }
}

/* --- Pod Identity --- */

static json *complete_association(struct sim_aws *a, json *association) {
    char id[24];
    sim_id(a, "a-", id);
    add_missing(association, "clusterName", a->cluster);
    add_missing(association, "namespace", "kube-system");
    add_missing(association, "serviceAccount", "aws-node");
    add_missing(association, "associationId", sim_lower(a, id));
    add_missing(association, "associationArn",
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
    remove_item(a->associations, association_of(a, "kube-system", "aws-node"));
    json *association = unwrapped(association_json, "association");
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
    if (!is_ours(a, c, "clusterName", out)) {
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
    give_page(a, c, value, "associations", out);
}

/* NULL: answered. */
static json *find_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (!is_ours(a, c, "clusterName", out)) {
        return NULL;
    }
    json *found = item_with(a->associations, "associationId", str_or(sim_param(c, "associationId"), ""));
    if (found == NULL) {
        not_found(a, out, "Association does not exist.");
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

static void make_association(struct sim_aws *a, const json *body, struct sim_aws_answer *out) {
    static const char *const required[] = {"namespace", "serviceAccount", "roleArn"};
    const char *ns = json_str(body, "namespace"), *account = json_str(body, "serviceAccount");

    if (is_missing(a, body, required, 3, out) ||
        is_full(a, a->associations, SIM_ASSOCIATIONS_MAX, "Pod Identity associations", out)) {
        return;
    }
    const json *there = association_of(a, ns, account);
    if (there != NULL) {
        sim_fail(a, out, 409, "ResourceInUseException", "Association already exists: %s",
                 json_str(there, "associationId"));
        return;
    }
    json *association = json_object();
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        json_add_str(association, required[i], json_str(body, required[i]));
    }
    json_push(a->associations, complete_association(a, association));
    sim_wrote(a, "CreatePodIdentityAssociation %s/%s", ns, account);
    give_changing(out, "association", association, NULL);
}

static void create_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *body = is_ours(a, c, "clusterName", out) ? read_body(a, c, out) : NULL;
    if (body != NULL) {
        make_association(a, body, out);
    }
    json_free(body);
}

static void delete_association(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    json *found = find_association(a, c, out);
    if (found != NULL) {
        give_changing(out, "association", found, NULL);
        sim_wrote(a, "DeletePodIdentityAssociation %s/%s", json_str(found, "namespace"),
                  json_str(found, "serviceAccount"));
        remove_item(a->associations, found);
    }
}

/* --- node groups: one for each instance profile whose running instances are tagged for the cluster --- */

/* How many nodes of the cluster run with this profile. */
static int group_size(const struct sim_aws *a, const char *profile) {
    size_t it = 0;
    const char *key;
    void *instance;
    int n = 0;

    while (strmap_next(a->instances, &it, &key, &instance)) {
        const struct sim_instance *i = instance;
        n += i->terminated_ms == 0 && str_eq(i->cluster, a->cluster) && str_eq(i->profile, profile);
    }
    return n;
}

static void list_nodegroups(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    size_t it = 0;
    const char *name;
    void *profile;

    if (!is_ours(a, c, "clusterName", out)) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "nodegroups");
    while (strmap_next(a->profiles, &it, &name, &profile)) {
        if (group_size(a, name) > 0) {
            json_push_str(list, name);
        }
    }
    give_page(a, c, value, "nodegroups", out);
}

static void describe_nodegroup(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *name = str_or(sim_param(c, "nodegroupName"), "");
    if (!is_ours(a, c, "clusterName", out)) {
        return;
    }
    const struct sim_profile *p = strmap_get(a->profiles, name);
    int size = p != NULL ? group_size(a, name) : 0;
    if (size == 0) {
        not_found(a, out, arena_printf(a->scratch, "No node group found for name: %.100s.", name));
        return;
    }
    const struct sim_role *r = p->role != NULL ? sim_role_find(a, p->role) : NULL;
    out->value = json_object();
    json *group = json_add_object(out->value, "nodegroup");
    json_add_str(group, "nodegroupName", name);
    json_add_str(group, "nodegroupArn", eks_arn(a, "nodegroup", arena_printf(a->scratch, "/%s/0123", name)));
    json_add_str(group, "clusterName", a->cluster);
    json_add_str(group, "version", a->version);
    add_epoch(group, "createdAt", a->started_ms);
    json_add_str(group, "status", "ACTIVE");
    json_add_str(group, "capacityType", "ON_DEMAND");
    json *scaling = json_add_object(group, "scalingConfig");
    json_add_int64(scaling, "minSize", 0);
    json_add_int64(scaling, "maxSize", size);
    json_add_int64(scaling, "desiredSize", size);
    json_add_str(group, "amiType", "AL2023_x86_64_STANDARD");
    json_add_str(group, "nodeRole", r != NULL ? r->arn : NULL);
}

const struct sim_operation sim_eks_operations[] = {
    {"eks:ListClusters", list_clusters},
    {"eks:DescribeCluster", describe_cluster},
    {"eks:ListAddons", list_addons},
    {"eks:DescribeAddon", describe_addon},
    {"eks:CreateAddon", create_addon},
    {"eks:DeleteAddon", delete_addon},
    {"eks:ListPodIdentityAssociations", list_associations},
    {"eks:DescribePodIdentityAssociation", describe_association},
    {"eks:CreatePodIdentityAssociation", create_association},
    {"eks:DeletePodIdentityAssociation", delete_association},
    {"eks:ListNodegroups", list_nodegroups},
    {"eks:DescribeNodegroup", describe_nodegroup},
    {NULL, NULL},
};
