/*
 * human.c - people with kubectl and the AWS CLI: they prepare, they break, they mend, they change their mind.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/others_internal.h"

#define MANY_MAX 1000

/* --- policies of roles --- */

static bool attach_policy(struct deed *d) {
    return deed_aws(d, "iam", "AttachRolePolicy", NULL, "RoleName", deed_arg(d, "role"), "PolicyArn",
                    deed_policy_arn(d, deed_arg(d, "policy")), NULL);
}

static bool detach_policy(struct deed *d) {
    return deed_aws(d, "iam", "DetachRolePolicy", NULL, "RoleName", deed_arg(d, "role"), "PolicyArn",
                    deed_policy_arn(d, deed_arg(d, "policy")), NULL);
}

static bool put_inline_policy(struct deed *d) {
    return deed_aws(d, "iam", "PutRolePolicy", NULL, "RoleName", deed_arg(d, "role"), "PolicyName", deed_arg(d, "name"),
                    "PolicyDocument", deed_arg(d, "document"), NULL);
}

static bool delete_inline_policy(struct deed *d) {
    return deed_aws(d, "iam", "DeleteRolePolicy", NULL, "RoleName", deed_arg(d, "role"), "PolicyName",
                    deed_arg(d, "name"), NULL);
}

static bool create_policy(struct deed *d) {
    return deed_aws(d, "iam", "CreatePolicy", NULL, "PolicyName", deed_arg(d, "name"), "PolicyDocument",
                    deed_arg(d, "document"), NULL);
}

/* --- roles --- */

static bool create_role(struct deed *d) {
    return deed_aws(d, "iam", "CreateRole", NULL, "RoleName", deed_arg(d, "role"), "Path", deed_arg(d, "path"),
                    "AssumeRolePolicyDocument", str_or(deed_arg(d, "trust"), deed_irsa_trust(d)), "PermissionsBoundary",
                    deed_arg(d, "boundary"), NULL);
}

static bool set_trust(struct deed *d) {
    return deed_aws(d, "iam", "UpdateAssumeRolePolicy", NULL, "RoleName", deed_arg(d, "role"), "PolicyDocument",
                    deed_arg(d, "trust"), NULL);
}

static bool set_boundary(struct deed *d) {
    return deed_aws(d, "iam", "PutRolePermissionsBoundary", NULL, "RoleName", deed_arg(d, "role"),
                    "PermissionsBoundary", deed_arg(d, "boundary"), NULL);
}

static bool remove_boundary(struct deed *d) {
    return deed_aws(d, "iam", "DeleteRolePermissionsBoundary", NULL, "RoleName", deed_arg(d, "role"), NULL);
}

static bool tag_role(struct deed *d) {
    return deed_aws(d, "iam", "TagRole", NULL, "RoleName", deed_arg(d, "role"), "Tags.member.1.Key", deed_arg(d, "key"),
                    "Tags.member.1.Value", deed_arg(d, "value"), NULL);
}

static bool untag_role(struct deed *d) {
    return deed_aws(d, "iam", "UntagRole", NULL, "RoleName", deed_arg(d, "role"), "TagKeys.member.1",
                    deed_arg(d, "key"), NULL);
}

/* As the console does it: with all that hangs on it. */
static bool delete_role(struct deed *d) {
    const char *role = deed_arg(d, "role");
    struct strlist arns;
    json *names = NULL;
    if (!deed_attached(d, role, &arns))
        return false;
    for (size_t i = 0; i < arns.n; i++)
        (void)deed_aws(d, "iam", "DetachRolePolicy", NULL, "RoleName", role, "PolicyArn", arns.v[i], NULL);
    if (!deed_aws(d, "iam", "ListRolePolicies", &names, "RoleName", role, NULL))
        return false;
    for (const json *it = json_first(json_array(names, "PolicyNames")); it; it = it->next)
        (void)deed_aws(d, "iam", "DeleteRolePolicy", NULL, "RoleName", role, "PolicyName", it->valuestring, NULL);
    json_free(names);
    return deed_aws(d, "iam", "DeleteRole", NULL, "RoleName", role, NULL);
}

/* Until CreateRole or CreateOpenIDConnectProvider says LimitExceeded. */
static bool fill_account(struct deed *d, const char *action, const char *param, const char *(*name)(struct deed *, int),
                         const char *trust) {
    struct error full = {0}, *err = d->err;
    d->err = &full;
    for (int i = 0; i < MANY_MAX && full.code == ERR_NONE; i++)
        (void)deed_aws(d, "iam", action, NULL, param, name(d, i), "AssumeRolePolicyDocument", trust,
                       "ClientIDList.member.1", trust ? NULL : "sts.amazonaws.com", NULL);
    d->err = err;
    return strstr(full.message, "LimitExceeded") || deed_failed(d, "%s was never too much", action);
}

static const char *role_name(struct deed *d, int i) {
    return arena_printf(d->a, "team-%d", i);
}

static const char *provider_name(struct deed *d, int i) {
    return arena_printf(d->a, "https://oidc.example.com/id/%d", i);
}

static const char of_ec2[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":"
    "\"ec2.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}";

static bool fill_roles(struct deed *d) {
    return fill_account(d, "CreateRole", "RoleName", role_name, of_ec2);
}

static bool fill_providers(struct deed *d) {
    return fill_account(d, "CreateOpenIDConnectProvider", "Url", provider_name, NULL);
}

/* Makes room for one. */
static bool delete_filler(struct deed *d) {
    const char *arn = "arn:aws:iam::" SIM_ACCOUNT_ID ":oidc-provider/oidc.example.com/id/0";
    if (str_eq(deed_arg(d, "kind"), "provider"))
        return deed_aws(d, "iam", "DeleteOpenIDConnectProvider", NULL, "OpenIDConnectProviderArn", arn, NULL);
    return deed_aws(d, "iam", "DeleteRole", NULL, "RoleName", "team-0", NULL);
}

/* --- the provider --- */

static const char *provider_arn(struct deed *d) {
    return arena_printf(d->a, "arn:aws:iam::" SIM_ACCOUNT_ID ":oidc-provider/%s",
                        str_or(deed_arg(d, "issuer"), SIM_ISSUER_URL + strlen("https://")));
}

static bool create_provider(struct deed *d) {
    return deed_aws(
        d, "iam", "CreateOpenIDConnectProvider", NULL, "Url",
        arena_printf(d->a, "https://%s", str_or(deed_arg(d, "issuer"), SIM_ISSUER_URL + strlen("https://"))),
        "ClientIDList.member.1", str_or(deed_arg(d, "audience"), "sts.amazonaws.com"), NULL);
}

static bool delete_provider(struct deed *d) {
    return deed_aws(d, "iam", "DeleteOpenIDConnectProvider", NULL, "OpenIDConnectProviderArn", provider_arn(d), NULL);
}

static bool remove_audience(struct deed *d) {
    return deed_aws(d, "iam", "RemoveClientIDFromOpenIDConnectProvider", NULL, "OpenIDConnectProviderArn",
                    provider_arn(d), "ClientID", str_or(deed_arg(d, "audience"), "sts.amazonaws.com"), NULL);
}

static bool set_thumbprint(struct deed *d) {
    return deed_aws(d, "iam", "UpdateOpenIDConnectProviderThumbprint", NULL, "OpenIDConnectProviderArn",
                    provider_arn(d), "ThumbprintList.member.1", deed_arg(d, "thumbprint"), NULL);
}

/* --- the cluster --- */

static bool annotate(struct deed *d) {
    const char *role = deed_arg(d, "role");
    const char *value = role ? arena_printf(d->a, "\"arn:aws:iam::" SIM_ACCOUNT_ID ":role/%s\"", role) : "null";
    return deed_kube(d, "PATCH", DEED_SERVICE_ACCOUNT, DEED_MERGE,
                     arena_printf(d->a, "{\"metadata\":{\"annotations\":{\"eks.amazonaws.com/role-arn\":%s}}}", value));
}

static bool delete_service_account(struct deed *d) {
    return deed_kube(d, "DELETE", DEED_SERVICE_ACCOUNT, NULL, NULL);
}

static bool create_service_account(struct deed *d) {
    return deed_kube(d, "POST", "/api/v1/namespaces/kube-system/serviceaccounts", DEED_JSON,
                     "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"aws-node\","
                     "\"namespace\":\"kube-system\"}}");
}

static bool patch_daemon_set(struct deed *d) {
    return deed_kube(d, "PATCH", DEED_DAEMON_SET, "application/strategic-merge-patch+json", deed_arg(d, "patch"));
}

static bool restart(struct deed *d) {
    return deed_kube(d, "PATCH", DEED_DAEMON_SET, DEED_MERGE,
                     arena_printf(d->a,
                                  "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{"
                                  "\"kubectl.kubernetes.io/restartedAt\":\"%lld\"}}}}}",
                                  (long long)world_boot_ms(d->o->w)));
}

struct names {
    struct deed *d;
    struct strlist v;
};

static void note_name(void *arg, const json *object) {
    struct names *n = arg;
    strlist_add(&n->v, json_str(object, "metadata.name"), n->d->a);
}

static bool delete_pods(struct deed *d) {
    struct names n = {.d = d};
    int64_t count = deed_number(d, "count", INT64_MAX);
    sim_kube_each(d->o->w->kube, "pods", "kube-system", note_name, &n);
    for (size_t i = 0; i < n.v.n && (int64_t)i < count; i++)
        (void)deed_kube(d, "DELETE", arena_printf(d->a, "/api/v1/namespaces/kube-system/pods/%s", n.v.v[i]), NULL,
                        NULL);
    return true;
}

static bool label_nodes(struct deed *d) {
    struct names n = {.d = d};
    int64_t count = deed_number(d, "count", INT64_MAX);
    sim_kube_each(d->o->w->kube, "nodes", NULL, note_name, &n);
    for (size_t i = 0; i < n.v.n && (int64_t)i < count; i++)
        (void)deed_kube(d, "PATCH", arena_printf(d->a, "/api/v1/nodes/%s", n.v.v[i]), DEED_MERGE,
                        arena_printf(d->a, "{\"metadata\":{\"labels\":{\"%s\":\"%s\"}}}", deed_arg(d, "key"),
                                     deed_arg(d, "value")));
    return true;
}

/* --- the binding --- */

static const char *binding_name(const struct deed *d) {
    return str_or(deed_arg(d, "name"), "aws-node");
}

static const char *binding_path(struct deed *d) {
    return arena_printf(d->a, DEED_BINDINGS "/%s", binding_name(d));
}

static bool apply_binding(struct deed *d) {
    return deed_kube(d, "POST", DEED_BINDINGS, DEED_JSON,
                     arena_printf(d->a,
                                  "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{"
                                  "\"name\":\"%s\"},\"spec\":%s}",
                                  binding_name(d), deed_arg(d, "spec")));
}

static bool patch_binding(struct deed *d) {
    return deed_kube(d, "PATCH", binding_path(d), DEED_MERGE, deed_arg(d, "patch"));
}

static bool delete_binding(struct deed *d) {
    return deed_kube(d, "DELETE", binding_path(d), NULL, NULL);
}

/* cni-iam approve: the digest that status asks for. */
static bool approve(struct deed *d) {
    const json *b = sim_kube_get(d->o->w->kube, "cniiambindings", NULL, binding_name(d));
    const char *digest = json_str(b, "status.plan.digest");
    if (!digest)
        return deed_failed(d, "there is nothing to approve");
    return deed_kube(d, "PATCH", binding_path(d), DEED_MERGE,
                     arena_printf(d->a, "{\"metadata\":{\"annotations\":{\"cniiam.dev/approve\":\"%s\"}}}", digest));
}

const struct sim_verb human_verbs[] = {
    {"attach-policy", attach_policy, {"role", "policy"}},
    {"detach-policy", detach_policy, {"role", "policy"}},
    {"put-inline-policy", put_inline_policy, {"role", "name", "document"}},
    {"delete-inline-policy", delete_inline_policy, {"role", "name"}},
    {"create-policy", create_policy, {"name", "document"}},
    {"create-role", create_role, {"role", "trust?", "path?", "boundary?"}},
    {"set-trust", set_trust, {"role", "trust"}},
    {"set-boundary", set_boundary, {"role", "boundary"}},
    {"remove-boundary", remove_boundary, {"role"}},
    {"tag-role", tag_role, {"role", "key", "value"}},
    {"untag-role", untag_role, {"role", "key"}},
    {"delete-role", delete_role, {"role"}},
    {"fill-roles", fill_roles, {NULL}},
    {"fill-providers", fill_providers, {NULL}},
    {"delete-filler", delete_filler, {"kind"}},
    {"create-provider", create_provider, {"issuer?", "audience?"}},
    {"delete-provider", delete_provider, {"issuer?"}},
    {"remove-audience", remove_audience, {"audience?"}},
    {"set-thumbprint", set_thumbprint, {"thumbprint"}},
    {"annotate", annotate, {"role?"}},
    {"create-service-account", create_service_account, {NULL}},
    {"delete-service-account", delete_service_account, {NULL}},
    {"patch-daemon-set", patch_daemon_set, {"patch"}},
    {"restart", restart, {NULL}},
    {"delete-pods", delete_pods, {"count?"}},
    {"label-nodes", label_nodes, {"key", "value", "count?"}},
    {"apply-binding", apply_binding, {"spec", "name?"}},
    {"patch-binding", patch_binding, {"patch", "name?"}},
    {"delete-binding", delete_binding, {"name?"}},
    {"approve", approve, {"name?"}},
    {NULL, NULL, {NULL}},
};
