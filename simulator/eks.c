/* eks.c - the cluster and its node groups as EKS describes them, and what all operations of EKS share. */
#include <inttypes.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/eks_internal.h"

#define PAGE_MAX 100

/* --- answers --- */

void eks_not_found(struct sim_aws *a, struct sim_aws_answer *out, const char *what) {
    sim_fail(a, out, 404, "ResourceNotFoundException", "%s", what);
}

bool eks_is_ours(struct sim_aws *a, const struct sim_aws_call *c, const char *param, struct sim_aws_answer *out) {
    const char *name = sim_param(c, param);
    if (str_empty(name)) {
        sim_fail(a, out, 400, "InvalidParameterException", "%s is required.", param);
        return false;
    }
    if (!str_eq(name, a->cluster)) {
        eks_not_found(a, out, arena_printf(a->scratch, "No cluster found for name: %.100s.", name));
        return false;
    }
    return true;
}

void eks_add_epoch(json *o, const char *key, int64_t wall_ms) {
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

void eks_give_page(struct sim_aws *a, const struct sim_aws_call *c, json *value, const char *array,
                   struct sim_aws_answer *out) {
    if (page(a, c, value, array, out)) {
        out->value = value;
    } else {
        json_free(value);
    }
}

/* --- arrays of what was made by hand or by calls --- */

json *eks_unwrapped(const char *text, const char *member) {
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

void eks_add_missing(json *o, const char *key, const char *value) {
    if (json_get(o, key) == NULL) {
        json_add_str(o, key, value);
    }
}

json *eks_item_with(json *list, const char *member, const char *value) {
    for (json *it = list->child; it != NULL; it = it->next) {
        if (str_eq(json_str(it, member), value)) {
            return it;
        }
    }
    return NULL;
}

void eks_remove_item(json *list, json *item) {
    json_free(item != NULL ? cJSON_DetachItemViaPointer(list, item) : NULL);
}

json *eks_read_body(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct error err;
    json *body = c->body != NULL ? json_parse(c->body, strlen(c->body), &err) : NULL;
    if (!json_is_object(body)) {
        json_free(body);
        sim_fail(a, out, 400, "SerializationException", "The request body is no JSON object.");
        return NULL;
    }
    return body;
}

bool eks_is_missing(struct sim_aws *a, const json *body, const char *const *members, size_t n,
                    struct sim_aws_answer *out) {
    for (size_t i = 0; i < n; i++) {
        if (str_empty(json_str(body, members[i]))) {
            sim_fail(a, out, 400, "InvalidParameterException", "%s is required.", members[i]);
            return true;
        }
    }
    return false;
}

bool eks_is_full(struct sim_aws *a, const json *list, size_t max, const char *what, struct sim_aws_answer *out) {
    if (json_array_size(list) < max) {
        return false;
    }
    sim_fail(a, out, 400, "ResourceLimitExceededException", "The cluster has its maximum of %zu %s.", max, what);
    return true;
}

void eks_give_changing(struct sim_aws_answer *out, const char *member, const json *item, const char *status) {
    json *copy = json_dup(item);
    for (json *it = copy->child, *next; it != NULL; it = next) {
        next = it->next;
        if (it->string[0] == '@') {
            json_free(cJSON_DetachItemViaPointer(copy, it));
        }
    }
    if (json_get(copy, "status") != NULL && status != NULL) {
        json_add_str(copy, "status", status);
    }
    out->value = json_object();
    json_add_item(out->value, member, copy);
}

void eks_set(json *o, const char *key, const char *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    json_add_str(o, key, value);
}

/* --- the cluster --- */

static void list_clusters(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    (void)c;
    out->value = json_object();
    json_push_str(json_add_array(out->value, "clusters"), a->cluster);
}

char *eks_arn(struct sim_aws *a, const char *kind, const char *rest) {
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
    if (!eks_is_ours(a, c, "name", out)) {
        return;
    }
    out->value = json_object();
    json *cluster = json_add_object(out->value, "cluster");
    json_add_str(cluster, "name", a->cluster);
    json_add_str(cluster, "arn", eks_arn(a, "cluster", ""));
    eks_add_epoch(cluster, "createdAt", a->started_ms);
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

    if (!eks_is_ours(a, c, "clusterName", out)) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "nodegroups");
    while (strmap_next(a->profiles, &it, &name, &profile)) {
        if (group_size(a, name) > 0) {
            json_push_str(list, name);
        }
    }
    eks_give_page(a, c, value, "nodegroups", out);
}

static void describe_nodegroup(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *name = str_or(sim_param(c, "nodegroupName"), "");
    if (!eks_is_ours(a, c, "clusterName", out)) {
        return;
    }
    const struct sim_profile *p = strmap_get(a->profiles, name);
    int size = p != NULL ? group_size(a, name) : 0;
    if (size == 0) {
        eks_not_found(a, out, arena_printf(a->scratch, "No node group found for name: %.100s.", name));
        return;
    }
    const struct sim_role *r = p->role != NULL ? sim_role_find(a, p->role) : NULL;
    out->value = json_object();
    json *group = json_add_object(out->value, "nodegroup");
    json_add_str(group, "nodegroupName", name);
    json_add_str(group, "nodegroupArn", eks_arn(a, "nodegroup", arena_printf(a->scratch, "/%s/0123", name)));
    json_add_str(group, "clusterName", a->cluster);
    json_add_str(group, "version", a->version);
    eks_add_epoch(group, "createdAt", a->started_ms);
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
    {"eks:ListNodegroups", list_nodegroups},
    {"eks:DescribeNodegroup", describe_nodegroup},
    {NULL, NULL},
};
