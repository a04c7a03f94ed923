/* observe.c - which cluster and account this is, and whether the job applies to it at all: before any write. */
#include <string.h>

#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"

static bool observe_account(struct ctx *c) {
    const struct effect *e = effect_new(c->a, EFFECT_STS_GET_CALLER_IDENTITY, NULL);
    const struct observation *o = ctx_read(c, e, ctx_facts_age(c));
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, G1, e, &o->error);
    c->account = json_str(o->value, "Account");
    c->partition = partition_of_arn(json_str(o->value, "Arn"), c->a);
    if (str_empty(c->account))
        return ctx_wait(c, G1, REASON_UNAVAILABLE, RETRY_MS, "sts:GetCallerIdentity answered without an account");
    if (c->spec->cluster.account_id && !str_eq(c->spec->cluster.account_id, c->account))
        return ctx_stall(
            c, G1, REASON_WRONG_ACCOUNT,
            "spec.cluster.accountID is %s, the operator's credentials are of account %s; use credentials of the "
            "right account (aws sts get-caller-identity) or correct the field",
            c->spec->cluster.account_id, c->account);
    return true;
}

static bool ipv6_cluster(const struct ctx *c, const json *cluster) {
    if (c->spec->permissions.ip_family != CIB_IP_AUTO)
        return c->spec->permissions.ip_family == CIB_IP_V6;
    return str_eq(json_str(cluster, "kubernetesNetworkConfig.ipFamily"), "ipv6");
}

/* Regional STS is the webhook's default on every cluster since 1.22; before that the annotation is needed. */
static bool needs_sts_annotation(const struct ctx *c, const json *cluster) {
    if (c->spec->sts_regional_endpoints != CIB_UNSET)
        return c->spec->sts_regional_endpoints == CIB_TRUE;
    int64_t minor = 0;
    const char *version = json_str(cluster, "version");
    return str_has_prefix(version, "1.") && str_to_int64(version + 2, &minor) && minor < 22;
}

static bool pin_cluster(struct ctx *c, const char *arn, const char *issuer) {
    if (c->s->cluster.arn && (!str_eq(c->s->cluster.arn, arn) || !str_eq(c->s->cluster.issuer, issuer)))
        return ctx_stall(
            c, G1, REASON_CLUSTER_CHANGED,
            "this binding was made for cluster %s with issuer %s, the cluster is now %s with issuer %s; delete the "
            "binding (deletionPolicy: Retain if that cluster is gone) and apply it anew",
            c->s->cluster.arn, str_or(c->s->cluster.issuer, "?"), arn, issuer);
    c->s->cluster.name = c->cluster_name;
    c->s->cluster.region = c->region;
    c->s->cluster.account_id = c->account;
    c->s->cluster.arn = arn;
    c->s->cluster.issuer = issuer;
    return true;
}

static bool workload_missing(struct ctx *c, const char *what) {
    return ctx_stall(c, G1, REASON_WORKLOAD_MISSING,
                     "kube-system/aws-node has no %s; install the VPC CNI, or delete this binding", what);
}

/* Deleted with the whole CNI: no pod needs anything, and the pinned issuer was compared when the account was there. */
static bool cni_is_uninstalled(const struct ctx *c) {
    return c->b->deletion_ms && !c->w->daemon_set && c->w->npods == 0 && c->w->binding->status.cluster.issuer;
}

/* The API server's issuer is read off a token of the ServiceAccount: without it nothing is known of the API server. */
static bool observe_api_server(struct ctx *c, const char *issuer) {
    if (!c->w->service_account)
        return cni_is_uninstalled(c) || workload_missing(c, "ServiceAccount");
    const struct effect *e =
        effect_new(c->a, EFFECT_K8S_TOKEN_ISSUER, "namespace", "kube-system", "name", "aws-node", NULL);
    const struct observation *o = ctx_read(c, e, ctx_facts_age(c));
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, G1, e, &o->error);
    const char *own = json_str(o->value, "issuer");
    if (!GUARD(issuer_is_the_api_servers, str_eq(own, issuer)))
        return ctx_stall(
            c, G1, REASON_ISSUER_MISMATCH,
            "cluster %s has the issuer %s, the API server this operator talks to issues as %s: they are two clusters; "
            "correct spec.cluster.name (or --cluster-name) or the kubeconfig",
            c->cluster_name, issuer, str_or(own, "?"));
    return true;
}

static bool name_cluster(struct ctx *c) {
    c->cluster_name = c->spec->cluster.name ? c->spec->cluster.name : c->w->config->cluster_name;
    c->region = c->spec->cluster.region ? c->spec->cluster.region : c->w->config->region;
    if (str_empty(c->cluster_name) || str_empty(c->region))
        return ctx_stall(c, G1, REASON_CLUSTER_UNKNOWN,
                         "neither spec.cluster nor the operator's --cluster-name and --region say which EKS cluster "
                         "this is; set one");
    return true;
}

static bool wait_for_cluster(struct ctx *c, const struct effect *e, const struct error *err) {
    if (err->code == ERR_NOT_FOUND)
        return ctx_stall(c, G1, REASON_CLUSTER_NOT_FOUND,
                         "there is no EKS cluster %s in %s of account %s; see with: aws eks list-clusters --region %s",
                         c->cluster_name, c->region, c->account, c->region);
    return ctx_read_failed(c, G1, e, err);
}

bool observe_cluster(struct ctx *c) {
    if (!name_cluster(c) || !observe_account(c))
        return false;
    const struct effect *e = effect_new(c->a, EFFECT_EKS_DESCRIBE_CLUSTER, "name", c->cluster_name, NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (o->error.code)
        return wait_for_cluster(c, e, &o->error);
    const json *cluster = json_get(o->value, "cluster");
    const char *arn = json_str(cluster, "arn"), *issuer = json_str(cluster, "identity.oidc.issuer");
    if (str_empty(arn))
        return ctx_wait(c, G1, REASON_UNAVAILABLE, RETRY_MS, "eks:DescribeCluster answered without an ARN");
    if (!str_has_prefix(issuer, "https://"))
        return ctx_stall(
            c, G1, REASON_NO_OIDC_ISSUER,
            "cluster %s has no OIDC issuer, so IRSA can not be used; see with: aws eks describe-cluster --name %s "
            "--query cluster.identity",
            c->cluster_name, c->cluster_name);
    c->cluster_arn = arn;
    c->issuer = issuer + strlen("https://");
    c->provider_arn = arena_printf(c->a, "arn:%s:iam::%s:oidc-provider/%s", c->partition, c->account, c->issuer);
    c->ipv6 = ipv6_cluster(c, cluster);
    c->sts_regional = needs_sts_annotation(c, cluster);
    return pin_cluster(c, arn, issuer) && observe_api_server(c, issuer);
}

/* --- eligibility --- */

static const char *effective_cluster(const struct ctx *c, const struct cib_binding *b) {
    return b->spec.cluster.name ? b->spec.cluster.name : c->w->config->cluster_name;
}

static bool is_older(const struct cib_binding *x, const struct cib_binding *y) {
    if (x->creation_ms != y->creation_ms)
        return x->creation_ms < y->creation_ms;
    return strcmp(x->name, y->name) < 0;
}

static bool check_duplicate(struct ctx *c) {
    for (size_t i = 0; i < c->w->nbindings; i++) {
        const struct cib_binding *other = c->w->bindings[i];
        if (str_eq(other->uid, c->b->uid) || !str_eq(effective_cluster(c, other), effective_cluster(c, c->b)))
            continue;
        if (is_older(other, c->b))
            return ctx_stall(
                c, G1, REASON_DUPLICATE_BINDING,
                "CniIamBinding %s already manages aws-node of this cluster; delete this one: kubectl delete cib %s",
                other->name, c->b->name);
    }
    return true;
}

static bool check_addon(struct ctx *c) {
    const struct effect *e =
        effect_new(c->a, EFFECT_EKS_DESCRIBE_ADDON, "clusterName", c->cluster_name, "addonName", "vpc-cni", NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (GUARD(add_on_is_not_managed, o->error.code == ERR_NOT_FOUND))
        return true;
    if (o->error.code)
        return ctx_read_failed(c, G1, e, &o->error);
    return ctx_stall(
        c, G1, REASON_MANAGED_ADDON,
        "the VPC CNI of this cluster is the managed add-on vpc-cni: EKS owns its ServiceAccount, and its role is set "
        "by "
        "eks:UpdateAddon, which this version does not do; set it with: aws eks update-addon --cluster-name %s "
        "--addon-name vpc-cni --service-account-role-arn ... --resolve-conflicts PRESERVE",
        c->cluster_name);
}

static bool check_association(struct ctx *c) {
    const struct effect *e = effect_new(c->a, EFFECT_EKS_LIST_POD_IDENTITY_ASSOCIATIONS, "clusterName", c->cluster_name,
                                        "namespace", "kube-system", "serviceAccount", "aws-node", NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    /* A region or emulator without Pod Identity has no associations. */
    if (o->error.code == ERR_UNSUPPORTED || o->error.code == ERR_NOT_FOUND)
        return true;
    if (o->error.code)
        return ctx_read_failed(c, G1, e, &o->error);
    if (json_array_size(json_array(o->value, "associations")) == 0)
        return true;
    return ctx_stall(
        c, G1, REASON_POD_IDENTITY_ASSOCIATION,
        "an EKS Pod Identity association for kube-system/aws-node exists and outranks IRSA; delete it with: aws eks "
        "delete-pod-identity-association, or do not use this binding");
}

static bool check_version(struct ctx *c) {
    static const struct cni_version irsa = {1, 5, 3}, ipv6 = {1, 10, 1};
    struct cni_version v;
    const char *image = c->w->daemon_set->cni_image;
    if (!image || !cni_version_parse(image, &v))
        return true; /* a mirror's own tag: the proofs have to show it */
    const struct cni_version *least = c->ipv6 ? &ipv6 : &irsa;
    if (cni_version_compare(v, *least) >= 0)
        return true;
    return ctx_stall(c, G1, REASON_CNI_TOO_OLD,
                     "aws-node is version %d.%d.%d, an identity of its own needs %d.%d.%d%s; upgrade the VPC CNI",
                     v.major, v.minor, v.patch, least->major, least->minor, least->patch, c->ipv6 ? " on IPv6" : "");
}

static bool check_compute(struct ctx *c) {
    const struct effect *e = effect_new(c->a, EFFECT_EKS_DESCRIBE_CLUSTER, "name", c->cluster_name, NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (json_bool(o->value, "cluster.computeConfig.enabled", false))
        return ctx_stall(
            c, G1, REASON_AUTO_MODE,
            "this cluster uses EKS Auto Mode, where the VPC CNI is part of the node and has no DaemonSet to bind");
    size_t fargate = 0;
    for (size_t i = 0; i < c->w->nnodes; i++)
        fargate += c->w->nodes[i]->fargate;
    if (fargate > 0 && fargate == c->w->nnodes)
        return ctx_stall(c, G1, REASON_FARGATE_ONLY,
                         "all nodes are EKS Fargate, which does not run aws-node: there is nothing to do");
    return true;
}

static bool check_workload(struct ctx *c) {
    if (!c->w->daemon_set)
        return workload_missing(c, "DaemonSet");
    if (c->w->daemon_set->service_account && !str_eq(c->w->daemon_set->service_account, "aws-node"))
        return ctx_stall(c, G1, REASON_WORKLOAD_MISSING,
                         "DaemonSet aws-node runs with ServiceAccount %s, not aws-node; correct its template",
                         c->w->daemon_set->service_account);
    if (c->w->daemon_set->template_outranked_by)
        return ctx_stall(c, G1, REASON_CREDENTIAL_OUTRANKED,
                         "the DaemonSet's template sets %s, which outranks an identity of its own; remove it",
                         c->w->daemon_set->template_outranked_by);
    return true;
}

/* Everything is asked, so that all reads of a first pass go out together; then the first reason in order speaks. */
bool observe_eligibility(struct ctx *c) {
    if (!check_duplicate(c))
        return false;
    bool workload = check_workload(c);
    bool addon = check_addon(c), association = check_association(c), compute = check_compute(c);
    return workload && addon && association && compute && check_version(c);
}
