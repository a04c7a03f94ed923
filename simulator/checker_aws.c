/*
 * checker_aws.c - what operators ask of AWS: S4 (trust), S5 (whose it is), S14 (who asked for it), S15 (nobody needs it any
 * more), S16 (what may be asked for at all).
 */
#include <stdlib.h>
#include <string.h>

#include "simulator/aws_internal.h"
#include "simulator/checker_internal.h"

#define TAG_MANAGED_BY "cniiam.dev/managed-by"
#define TAG_CLUSTER "cniiam.dev/cluster"
#define TAG_ADOPTED "cniiam.dev/adopted"
#define SUBJECT "system:serviceaccount:" CHECKER_NS ":" CHECKER_WORKLOAD
#define AUDIENCE "sts.amazonaws.com"

/* --- S4 --- */

static bool only_has(const json *object, const char *const *keys) {
    for (const json *it = json_first(object); it; it = it->next) {
        bool known = false;
        for (const char *const *k = keys; *k; k++)
            known = known || str_eq(it->string, *k);
        if (!known)
            return false;
    }
    return true;
}

/* The one statement that an operator may write. */
static bool is_exact(const struct sim_checker *c, const json *s, struct arena *a) {
    static const char *const keys[] = {"Sid", "Effect", "Principal", "Action", "Condition", NULL};
    const struct sim_aws *aws = c->w->aws;
    const json *condition = json_get(s, "Condition"), *equals = json_get(condition, "StringEquals");
    char *provider = arena_printf(a, "arn:%s:iam::%s:oidc-provider/%s", aws->partition, aws->account, aws->issuer);
    return only_has(s, keys) && str_eq(json_str(s, "Effect"), "Allow") &&
           str_eq(json_str(s, "Action"), "sts:AssumeRoleWithWebIdentity") &&
           json_array_size(json_get(s, "Principal")) == 1 && str_eq(json_str(s, "Principal.Federated"), provider) &&
           json_array_size(condition) == 1 && json_array_size(equals) == 2 &&
           str_eq(json_key_str(equals, arena_printf(a, "%s:aud", aws->issuer)), AUDIENCE) &&
           str_eq(json_key_str(equals, arena_printf(a, "%s:sub", aws->issuer)), SUBJECT);
}

static bool has_statement(const json *document, const json *statement) {
    for (const json *s = json_first(json_array(document, "Statement")); s; s = s->next)
        if (json_equal(s, statement))
            return true;
    return false;
}

/* What was there and is not ours is there still; what is new is exactly ours. */
static void judge_trust(struct sim_checker *c, const struct call *k, const char *text, const json *before) {
    struct error err;
    json *after = json_parse(text, strlen(text), &err);
    const char *role = call_param(k, "RoleName");
    for (const json *s = json_first(json_array(after, "Statement")); s; s = s->next)
        if (!has_statement(before, s) && !is_exact(c, s, k->a))
            violated(c, "S4: role %s was to be trusted by more than this cluster's aws-node: %s", role,
                     json_print_arena(s, k->a));
    for (const json *s = json_first(json_array(before, "Statement")); s; s = s->next)
        if (!has_statement(after, s) && !is_exact(c, s, k->a))
            violated(c, "S4: role %s was to lose a statement that is somebody else's", role);
    if (!after)
        violated(c, "S4: role %s was to get a trust policy that is no JSON", role);
    json_free(after);
}

static void judge_trusts(struct sim_checker *c, const struct call *k) {
    const struct sim_role *r = sim_role_find(c->w->aws, call_param(k, "RoleName"));
    if (call_is(k, "CreateRole") && !r)
        judge_trust(c, k, call_param(k, "AssumeRolePolicyDocument"), NULL);
    else if (call_is(k, "UpdateAssumeRolePolicy") && r && !checker_recent(c, c->foreign_aws_ms))
        judge_trust(c, k, call_param(k, "PolicyDocument"), sim_stored(&r->trust));
}

/* --- S5 --- */

static const char *tag(const json *tags, const char *key) {
    for (const json *t = json_first(tags); t; t = t->next)
        if (str_eq(json_str(t, "Key"), key))
            return json_str(t, "Value");
    return NULL;
}

static bool is_ours(const struct sim_checker *c, const json *tags) {
    return str_eq(tag(tags, TAG_MANAGED_BY), "cni-iam") && str_has_suffix(tag(tags, TAG_CLUSTER), c->w->aws->cluster) &&
           tag(tags, "cniiam.dev/binding");
}

static bool may_adopt(const struct sim_checker *c, const struct call *k) {
    const char *management = json_str(checker_binding(c), "spec.role.management");
    return str_eq(management, "Adopt") &&
           (call_is(k, "TagRole") || call_is(k, "UpdateAssumeRolePolicy") || call_is(k, "AttachRolePolicy"));
}

/* Attaching and detaching the CNI policy of node roles is the one exception; S2 and S3 are about it. */
static void judge_role(struct sim_checker *c, const struct call *k) {
    const char *role = call_param(k, "RoleName");
    const struct sim_role *r = sim_role_find(c->w->aws, role);
    bool moves = call_is(k, "AttachRolePolicy") || call_is(k, "DetachRolePolicy");
    if (!role[0] || !r || call_is(k, "CreateRole"))
        return;
    if (is_ours(c, r->tags) || may_adopt(c, k))
        return;
    const char *policy = call_param(k, "PolicyArn");
    bool is_node_role = detach_is_node_role(c, role) || detach_was_node_role(c, role, policy);
    if (moves && is_node_role && str_has_suffix(policy, CHECKER_CNI_POLICY))
        return;
    violated(c, "S5: %s of role %s, which is not ours by its tags", k->action, role);
}

static void judge_adopted(struct sim_checker *c, const struct call *k) {
    const struct sim_role *r = sim_role_find(c->w->aws, call_param(k, "RoleName"));
    if (call_is(k, "DeleteRole") && r && str_eq(tag(r->tags, TAG_ADOPTED), "true"))
        violated(c, "S5: role %s was there before us and was to be deleted", r->name);
}

static void judge_policy(struct sim_checker *c, const struct call *k) {
    const struct sim_policy *p = sim_policy_find(c->w->aws, call_param(k, "PolicyArn"));
    bool changes = call_is(k, "DeletePolicy") || call_is(k, "DeletePolicyVersion") ||
                   call_is(k, "CreatePolicyVersion") || call_is(k, "SetDefaultPolicyVersion");
    if (changes && p && !is_ours(c, p->tags))
        violated(c, "S5: %s of policy %s, which is not ours by its tags", k->action, p->arn);
}

static const char *user_of_provider(const struct sim_checker *c, const char *provider) {
    const char *key;
    void *value;
    for (size_t it = 0; strmap_next(c->w->aws->roles, &it, &key, &value);) {
        const struct sim_role *r = value;
        if (sim_stored(&r->exists) && r->trust_text && strstr(r->trust_text, provider))
            return r->name;
    }
    return NULL;
}

static void judge_provider(struct sim_checker *c, const struct call *k) {
    const char *arn = call_param(k, "OpenIDConnectProviderArn");
    const struct sim_provider *p = strmap_get(c->w->aws->providers, arn);
    bool extends = call_is(k, "AddClientIDToOpenIDConnectProvider") && str_eq(call_param(k, "ClientID"), AUDIENCE);
    if (!p || extends)
        return;
    if (!is_ours(c, p->tags))
        violated(c, "S5: %s of provider %s, which is not ours by its tags", k->action, arn);
    const char *user = user_of_provider(c, arn);
    if (call_is(k, "DeleteOpenIDConnectProvider") && user)
        violated(c, "S5: provider %s was to be deleted while role %s trusts it", arn, user);
}

/* --- S14, S15 --- */

static bool removes(struct sim_checker *c, const struct call *k) {
    return call_is(k, "DeleteRole") || call_is(k, "DeletePolicy") || call_is(k, "DeleteOpenIDConnectProvider") ||
           (call_is(k, "DetachRolePolicy") && !detach_is_node_role(c, call_param(k, "RoleName")));
}

/* Somebody has to have asked for it: by deleting the binding, or by another spec than it began with. */
static void judge_wish(struct sim_checker *c, const struct call *k) {
    const json *b = checker_binding(c);
    if (!b)
        violated(c, "S14: %s with no binding there", k->action);
    else if (!json_str(b, "metadata.deletionTimestamp") && json_int64_or(b, "metadata.generation", 1) <= 1)
        violated(c, "S14: %s, and nobody asked for it", k->action);
}

struct bearer {
    const char *role, *pod;
};

static void note_bearer(void *arg, const json *pod) {
    struct bearer *b = arg;
    char *text = b->pod ? NULL : json_print(json_get(pod, "spec"));
    if (text && strstr(text, b->role))
        b->pod = json_str(pod, "metadata.name");
    free(text);
}

static void judge_bearers(struct sim_checker *c, const struct call *k) {
    const char *name = call_param(k, "RoleName");
    struct bearer b = {.role = arena_printf(k->a, ":role/%s\"", name)};
    if (!name[0])
        return;
    sim_kube_each(c->w->kube, "pods", CHECKER_NS, note_bearer, &b);
    if (b.pod)
        violated(c, "S15: %s of role %s while pod %s bears it", k->action, name, b.pod);
    if (str_has_suffix(c->annotated, arena_printf(k->a, ":role/%s", name)))
        violated(c, "S15: %s of role %s while the ServiceAccount names it", k->action, name);
}

/* --- S16 --- */

static bool may_be_attached(const struct sim_checker *c, const char *arn) {
    if (str_has_suffix(arn, ":iam::aws:policy" CHECKER_CNI_POLICY))
        return true;
    const struct sim_policy *p = sim_policy_find(c->w->aws, arn);
    return p && is_ours(c, p->tags);
}

static void judge_bounds(struct sim_checker *c, const struct call *k) {
    static const char *const never[] = {"PutRolePolicy", "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary",
                                        "CreateAccessKey", "AddRoleToInstanceProfile"};
    const char *arn = call_param(k, "PolicyArn");
    if (call_is(k, "AttachRolePolicy") && !may_be_attached(c, arn))
        violated(c, "S16: policy %s was to be attached to role %s", arn, call_param(k, "RoleName"));
    if (call_is(k, "CreateRole") && !str_eq(str_or(call_param(k, "Path"), "/"), CHECKER_ROLE_PATH))
        violated(c, "S16: role %s was to be made in path %s", call_param(k, "RoleName"), call_param(k, "Path"));
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (call_is(k, never[i]))
            violated(c, "S16: %s is nothing that an operator may ask for", never[i]);
}

void aws_judges(struct sim_checker *c, const struct call *k) {
    judge_bounds(c, k);
    judge_trusts(c, k);
    if (removes(c, k)) {
        judge_wish(c, k);
        judge_bearers(c, k);
    }
    if (checker_recent(c, c->foreign_aws_ms))
        return; /* S5: the tags may be other ones since they were read */
    judge_role(c, k);
    judge_adopted(c, k);
    judge_policy(c, k);
    judge_provider(c, k);
}
