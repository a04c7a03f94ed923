/* The simulated account in process: the way of IRSA with its lag, limits, exact error codes, and what stays as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/base/str.h"
#include "simulator/aws.h"

#define LAG_MS 10000
#define ISSUER "https://oidc.eks.us-west-2.amazonaws.com/id/ABC"
#define BARE_ISSUER "oidc.eks.us-west-2.amazonaws.com/id/ABC"
#define PROVIDER "arn:aws:iam::111122223333:oidc-provider/" BARE_ISSUER
#define ROLE "arn:aws:iam::111122223333:role/cni-iam-prod"
#define CNI "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
#define SUBJECT "system:serviceaccount:kube-system:aws-node"
#define ALLOW_ALL                                                                                                      \
    "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}"
#define TRUST(provider, subject)                                                                                       \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"" provider "\"}," \
    "\"Action\":\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringEquals\":{\"" BARE_ISSUER                     \
    ":aud\":\"sts.amazonaws.com\",\"" BARE_ISSUER ":sub\":\"" subject "\"}}}]}"
#define GOOD_TRUST TRUST(PROVIDER, SUBJECT)
#define EC2_TRUST                                                                                                      \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws."     \
    "com\"}"                                                                                                           \
    ",\"Action\":\"sts:AssumeRole\"}]}"

struct account {
    struct sim_aws *aws;
    int64_t now_ms;
    struct sim_aws_answer answer;
    int writes;
    char last_action[64], last_line[256];
};

static int64_t now(void *ctx) {
    return ((struct account *)ctx)->now_ms;
}

/* Tokens are "issuer|subject|audience". */
static bool verify(void *arg, const char *token, struct sim_token_claims *out) {
    const char *p = strchr(token, '|'), *q = p != NULL ? strchr(p + 1, '|') : NULL;
    if (q == NULL) {
        return false;
    }
    (void)snprintf(out->issuer, sizeof out->issuer, "%.*s", (int)(p - token), token);
    (void)snprintf(out->subject, sizeof out->subject, "%.*s", (int)(q - p - 1), p + 1);
    (void)snprintf(out->audience, sizeof out->audience, "%s", q + 1);
    out->expires_ms = ((struct account *)arg)->now_ms + 1000;
    return true;
}

static void on_write(void *arg, const char *action, const char *line) {
    struct account *t = arg;
    t->writes++;
    (void)str_copy(t->last_action, sizeof t->last_action, action);
    (void)str_copy(t->last_line, sizeof t->last_line, line);
}

static int begin_with(void **state, int64_t lag_ms) {
    struct account *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->now_ms = INT64_C(1767323045000); /* 2026-01-02T03:04:05Z */
    struct sim_aws_options o = {.clock = {.ctx = t, .wall_ms = now, .boot_ms = now},
                                .seed = 7,
                                .account = "111122223333",
                                .region = "us-west-2",
                                .cluster = "prod",
                                .cluster_version = "1.36",
                                .issuer = ISSUER,
                                .enforcement_lag_ms = lag_ms,
                                .verify_token = verify,
                                .verify_arg = t};
    t->aws = sim_aws_new(&o);
    sim_aws_on_write(t->aws, on_write, t);
    *state = t;
    return 0;
}

static int begin(void **state) {
    return begin_with(state, 0);
}

static int begin_lagging(void **state) {
    return begin_with(state, LAG_MS);
}

static int end(void **state) {
    struct account *t = *state;
    json_free(t->answer.value);
    sim_aws_free(t->aws);
    free(t);
    return 0;
}

/* "iam:GetRole" by the holder of the key (NULL: the administrator), with name, value pairs. Returns the code, "" if it went well. */
static const char *as(struct account *t, const char *key, const char *what, va_list ap) {
    struct sim_aws_param params[64];
    size_t n = 0;
    char service[16];
    const char *action = strchr(what, ':') + 1, *name;

    while ((name = va_arg(ap, const char *)) != NULL) {
        assert_true(n < sizeof params / sizeof *params);
        params[n].name = name;
        params[n++].value = va_arg(ap, const char *);
    }
    (void)snprintf(service, sizeof service, "%.*s", (int)(action - 1 - what), what);
    struct sim_aws_call c = {.service = service, .action = action, .params = params, .nparams = n, .access_key = key};
    json_free(t->answer.value);
    sim_aws_do(t->aws, &c, &t->answer);
    assert_true((t->answer.code == NULL) == (t->answer.status == 200));
    assert_true(t->answer.code == NULL || (t->answer.value == NULL && t->answer.message != NULL));
    return t->answer.code != NULL ? t->answer.code : "";
}

static const char *as_key(struct account *t, const char *key, const char *what, ...) __attribute__((sentinel));
static const char *as_key(struct account *t, const char *key, const char *what, ...) {
    va_list ap;
    va_start(ap, what);
    const char *code = as(t, key, what, ap);
    va_end(ap);
    return code;
}

static const char *ask(struct account *t, const char *what, ...) __attribute__((sentinel));
static const char *ask(struct account *t, const char *what, ...) {
    va_list ap;
    va_start(ap, what);
    const char *code = as(t, NULL, what, ap);
    va_end(ap);
    return code;
}

#define OK(call) assert_string_equal(call, "")
/* Refused with this code and status, and nothing was written. */
#define REFUSED(t, call, error, http)                                                                                  \
    do {                                                                                                               \
        int writes_before = (t)->writes;                                                                               \
        assert_string_equal(call, error);                                                                              \
        assert_int_equal((t)->answer.status, http);                                                                    \
        assert_int_equal((t)->writes, writes_before);                                                                  \
    } while (0)
#define VALUE(t, path) json_str((t)->answer.value, path)

static const char *token_for(const char *subject, const char *audience) {
    static char token[512];
    (void)snprintf(token, sizeof token, ISSUER "|%s|%s", subject, audience);
    return token;
}

static const char *assume(struct account *t, const char *token) {
    return ask(t, "sts:AssumeRoleWithWebIdentity", "RoleArn", ROLE, "RoleSessionName", "cni", "DurationSeconds", "900",
               "WebIdentityToken", token, NULL);
}

static void create_role(struct account *t, const char *name) {
    OK(ask(t, "iam:CreateRole", "RoleName", name, "AssumeRolePolicyDocument", EC2_TRUST, NULL));
}

/* Provider, role, policy. */
static void create_identity(struct account *t) {
    OK(ask(t, "iam:CreateOpenIDConnectProvider", "Url", ISSUER, "ClientIDList.member.1", "sts.amazonaws.com", NULL));
    assert_string_equal(VALUE(t, "OpenIDConnectProviderArn"), PROVIDER);
    OK(ask(t, "iam:CreateRole", "RoleName", "cni-iam-prod", "AssumeRolePolicyDocument", GOOD_TRUST, NULL));
    assert_string_equal(VALUE(t, "Role.Arn"), ROLE);
    OK(ask(t, "iam:AttachRolePolicy", "RoleName", "cni-iam-prod", "PolicyArn", CNI, NULL));
    assert_string_equal(t->last_line, "AttachRolePolicy cni-iam-prod " CNI);
}

/* --- the way of IRSA --- */

static void irsa_takes_effect_after_its_lag(void **state) {
    struct account *t = *state;
    create_identity(t);
    OK(ask(t, "iam:ListAttachedRolePolicies", "RoleName", "cni-iam-prod", NULL)); /* stored at once */
    assert_int_equal(json_array_size(json_array(t->answer.value, "AttachedPolicies")), 1);
    assert_false(sim_aws_trusts(t->aws, ROLE, SUBJECT, "sts.amazonaws.com"));
    t->now_ms += LAG_MS;
    assert_true(sim_aws_trusts(t->aws, ROLE, SUBJECT, "sts.amazonaws.com"));
    assert_true(sim_aws_allows(t->aws, ROLE, "ec2:AssignPrivateIpAddresses"));
    assert_true(sim_aws_allows(t->aws, ROLE, "ec2:CreateTags"));
    assert_false(sim_aws_allows(t->aws, ROLE, "ec2:RunInstances"));
    assert_false(sim_aws_trusts(t->aws, ROLE, "system:serviceaccount:default:aws-node", "sts.amazonaws.com"));
    OK(assume(t, token_for(SUBJECT, "sts.amazonaws.com")));
    char key[64];
    (void)str_copy(key, sizeof key, VALUE(t, "Credentials.AccessKeyId"));
    assert_true(str_has_prefix(key, "ASIA"));
    assert_string_equal(VALUE(t, "AssumedRoleUser.Arn"), "arn:aws:sts::111122223333:assumed-role/cni-iam-prod/cni");
    OK(ask(t, "iam:GetRole", "RoleName", "cni-iam-prod", NULL));
    assert_non_null(VALUE(t, "Role.RoleLastUsed.LastUsedDate"));
    REFUSED(t, as_key(t, key, "ec2:DescribeInstances", "DryRun", "true", NULL), "DryRunOperation", 412);
    REFUSED(t, as_key(t, key, "ec2:DescribeNetworkInterfaces", "DryRun", "true", NULL), "DryRunOperation", 412);
    REFUSED(t, as_key(t, key, "ec2:AssignPrivateIpAddresses", "DryRun", "true", NULL), "DryRunOperation", 412);
    REFUSED(t, as_key(t, key, "ec2:DescribeVpcs", "DryRun", "true", NULL), "UnauthorizedOperation", 403);
    REFUSED(t, as_key(t, key, "iam:GetRole", "RoleName", "cni-iam-prod", NULL), "AccessDenied", 403);
    REFUSED(t, as_key(t, key, "eks:DescribeCluster", "name", "prod", NULL), "AccessDeniedException", 403);
    OK(as_key(t, key, "sts:GetCallerIdentity", NULL));
    assert_string_equal(VALUE(t, "Arn"), "arn:aws:sts::111122223333:assumed-role/cni-iam-prod/cni");

    OK(ask(t, "iam:DetachRolePolicy", "RoleName", "cni-iam-prod", "PolicyArn", CNI, NULL));
    OK(ask(t, "iam:ListAttachedRolePolicies", "RoleName", "cni-iam-prod", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "AttachedPolicies")), 0);
    assert_true(sim_aws_allows(t->aws, ROLE, "ec2:DescribeInstances"));
    REFUSED(t, as_key(t, key, "ec2:DescribeInstances", "DryRun", "true", NULL), "DryRunOperation", 412);
    t->now_ms += LAG_MS;
    assert_false(sim_aws_allows(t->aws, ROLE, "ec2:DescribeInstances"));
    REFUSED(t, as_key(t, key, "ec2:DescribeInstances", "DryRun", "true", NULL), "UnauthorizedOperation", 403);
    t->now_ms += 900 * 1000;
    REFUSED(t, as_key(t, key, "ec2:DescribeInstances", NULL), "RequestExpired", 400);
}

static void broken_trust_is_refused_after_its_lag(void **state) {
    struct account *t = *state;
    create_identity(t);
    t->now_ms += LAG_MS;
    OK(ask(t, "iam:UpdateAssumeRolePolicy", "RoleName", "cni-iam-prod", "PolicyDocument",
           TRUST(PROVIDER, "system:serviceaccount:kube-system:other"), NULL));
    OK(assume(t, token_for(SUBJECT, "sts.amazonaws.com")));
    t->now_ms += LAG_MS;
    REFUSED(t, assume(t, token_for(SUBJECT, "sts.amazonaws.com")), "AccessDenied", 403);
    assert_string_equal(t->answer.message, "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    OK(ask(t, "iam:UpdateAssumeRolePolicy", "RoleName", "cni-iam-prod", "PolicyDocument", GOOD_TRUST, NULL));
    t->now_ms += LAG_MS;
    OK(assume(t, token_for(SUBJECT, "sts.amazonaws.com")));
}

/* Of changes on their way the newest that arrived counts: an older one that comes later undoes nothing. */
static void changes_do_not_overtake_backwards(void **state) {
    struct account *t = *state;
    create_role(t, "r");
    const char *arn = "arn:aws:iam::111122223333:role/r";
    t->now_ms += LAG_MS;
    for (int round = 0; round < 200; round++) { /* more than are remembered */
        OK(ask(t, round % 2 ? "iam:DetachRolePolicy" : "iam:AttachRolePolicy", "RoleName", "r", "PolicyArn", CNI,
               NULL));
    }
    OK(ask(t, "iam:AttachRolePolicy", "RoleName", "r", "PolicyArn", CNI, NULL));
    bool last = false;
    int turns = 0;
    for (int i = 0; i <= LAG_MS; i += 10, t->now_ms += 10) {
        bool is = sim_aws_allows(t->aws, arn, "ec2:DescribeInstances");
        turns += is != last;
        last = is;
    }
    assert_true(last);
    assert_true(turns < 60); /* at most as many as there were changes that still counted */
    assert_true(sim_aws_allows(t->aws, arn, "ec2:DescribeInstances"));
}

static void lags_follow_the_seed(void **state) {
    struct account *t = *state, *other;
    void *second = NULL;
    (void)begin_lagging(&second);
    other = second;
    create_identity(t);
    create_identity(other);
    for (int i = 0; i < LAG_MS; i += 100, t->now_ms += 100, other->now_ms += 100) {
        assert_int_equal(sim_aws_allows(t->aws, ROLE, "ec2:CreateTags"),
                         sim_aws_allows(other->aws, ROLE, "ec2:CreateTags"));
        assert_int_equal(sim_aws_trusts(t->aws, ROLE, SUBJECT, "sts.amazonaws.com"),
                         sim_aws_trusts(other->aws, ROLE, SUBJECT, "sts.amazonaws.com"));
    }
    (void)end(&second);
}

static void tokens_are_looked_at(void **state) {
    struct account *t = *state;
    OK(ask(t, "iam:CreateRole", "RoleName", "cni-iam-prod", "AssumeRolePolicyDocument", GOOD_TRUST, NULL));
    REFUSED(t, assume(t, token_for(SUBJECT, "sts.amazonaws.com")), "InvalidIdentityToken", 400);
    assert_string_equal(t->answer.message, "No OpenIDConnect provider found in your account for " ISSUER);
    OK(ask(t, "iam:CreateOpenIDConnectProvider", "Url", ISSUER, "ClientIDList.member.1", "other", NULL));
    REFUSED(t, assume(t, token_for(SUBJECT, "sts.amazonaws.com")), "InvalidIdentityToken", 400);
    assert_string_equal(t->answer.message, "Incorrect token audience");
    OK(ask(t, "iam:AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", PROVIDER, "ClientID",
           "sts.amazonaws.com", NULL));
    OK(assume(t, token_for(SUBJECT, "sts.amazonaws.com")));
    REFUSED(t, assume(t, "no token at all"), "InvalidIdentityToken", 400);
    REFUSED(t, assume(t, "x"), "ValidationError", 400);
    REFUSED(t, assume(t, token_for("system:serviceaccount:default:x", "sts.amazonaws.com")), "AccessDenied", 403);
    REFUSED(t, assume(t, token_for(SUBJECT, "other")), "AccessDenied", 403);
    REFUSED(t,
            ask(t, "sts:AssumeRoleWithWebIdentity", "RoleArn", "arn:aws:iam::111122223333:role/none", "RoleSessionName",
                "cni", "WebIdentityToken", token_for(SUBJECT, "sts.amazonaws.com"), NULL),
            "AccessDenied", 403);
    REFUSED(t,
            ask(t, "sts:AssumeRoleWithWebIdentity", "RoleArn", ROLE, "RoleSessionName", "cni", "DurationSeconds", "899",
                "WebIdentityToken", "t", NULL),
            "ValidationError", 400);
    REFUSED(t,
            ask(t, "sts:AssumeRoleWithWebIdentity", "RoleArn", ROLE, "RoleSessionName", "cni", "DurationSeconds",
                "7200", "WebIdentityToken", token_for(SUBJECT, "sts.amazonaws.com"), NULL),
            "ValidationError", 400);
    OK(ask(t, "iam:DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", PROVIDER, NULL));
    REFUSED(t, assume(t, token_for(SUBJECT, "sts.amazonaws.com")), "InvalidIdentityToken", 400);
}

/* --- roles --- */

static void roles_live_and_die(void **state) {
    struct account *t = *state;
    OK(ask(t, "iam:CreateRole", "RoleName", "Cni-Role", "Path", "/team/", "AssumeRolePolicyDocument", EC2_TRUST,
           "Description", "d", "Tags.member.1.Key", "a", "Tags.member.1.Value", "1", NULL));
    assert_string_equal(t->last_action, "CreateRole");
    assert_string_equal(VALUE(t, "Role.Arn"), "arn:aws:iam::111122223333:role/team/Cni-Role");
    OK(ask(t, "iam:GetRole", "RoleName", "cni-role", NULL)); /* names ignore case and keep it */
    assert_string_equal(VALUE(t, "Role.RoleName"), "Cni-Role");
    assert_string_equal(VALUE(t, "Role.AssumeRolePolicyDocument"), EC2_TRUST);
    assert_string_equal(VALUE(t, "Role.MaxSessionDuration"), "3600");
    assert_string_equal(VALUE(t, "Role.CreateDate"), "2026-01-02T03:04:05Z");
    assert_int_equal(json_array_size(json_array(t->answer.value, "Role.Tags")), 1);
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", "CNI-ROLE", "AssumeRolePolicyDocument", EC2_TRUST, NULL),
            "EntityAlreadyExists", 409);
    OK(ask(t, "iam:UpdateRole", "RoleName", "Cni-Role", "Description", "e", "MaxSessionDuration", "7200", NULL));
    assert_true(json_is_object(t->answer.value));
    OK(ask(t, "iam:TagRole", "RoleName", "Cni-Role", "Tags.member.1.Key", "A", "Tags.member.1.Value", "2",
           "Tags.member.2.Key", "b", "Tags.member.2.Value", "", NULL));
    assert_null(t->answer.value);
    OK(ask(t, "iam:UntagRole", "RoleName", "Cni-Role", "TagKeys.member.1", "b", "TagKeys.member.2", "absent", NULL));
    OK(ask(t, "iam:GetRole", "RoleName", "Cni-Role", NULL));
    const json *tag = json_first(json_array(t->answer.value, "Role.Tags"));
    assert_string_equal(json_str(tag, "Key"), "A");
    assert_string_equal(json_str(tag, "Value"), "2");
    assert_null(tag->next);
    assert_string_equal(VALUE(t, "Role.Description"), "e");
    OK(ask(t, "iam:DeleteRole", "RoleName", "Cni-Role", NULL));
    assert_string_equal(t->last_line, "DeleteRole Cni-Role");
    REFUSED(t, ask(t, "iam:GetRole", "RoleName", "Cni-Role", NULL), "NoSuchEntity", 404);
    assert_string_equal(t->answer.message, "The role with name Cni-Role cannot be found.");
    OK(ask(t, "iam:ListRoles", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "Roles")), 0);
    create_role(t, "Cni-Role"); /* the name is free again, and nothing is left of the old one */
    OK(ask(t, "iam:GetRole", "RoleName", "Cni-Role", NULL));
    assert_null(json_path(t->answer.value, "Role.Tags"));
    assert_null(VALUE(t, "Role.Description"));
    assert_string_equal(VALUE(t, "Role.Path"), "/");
}

static void roles_are_validated(void **state) {
    struct account *t = *state;
    char name[66], big[4096];
    memset(name, 'n', 65);
    name[65] = '\0';
    REFUSED(t, ask(t, "iam:CreateRole", "AssumeRolePolicyDocument", EC2_TRUST, NULL), "ValidationError", 400);
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", "r", NULL), "ValidationError", 400);
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", name, "AssumeRolePolicyDocument", EC2_TRUST, NULL),
            "ValidationError", 400);
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", "a/b", "AssumeRolePolicyDocument", EC2_TRUST, NULL),
            "ValidationError", 400);
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", "r", "Path", "x", "AssumeRolePolicyDocument", EC2_TRUST, NULL),
            "ValidationError", 400);
    REFUSED(t,
            ask(t, "iam:CreateRole", "RoleName", "r", "MaxSessionDuration", "60", "AssumeRolePolicyDocument", EC2_TRUST,
                NULL),
            "ValidationError", 400);
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", "r", "AssumeRolePolicyDocument", "{", NULL),
            "MalformedPolicyDocument", 400);
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", "r", "AssumeRolePolicyDocument", ALLOW_ALL, NULL),
            "MalformedPolicyDocument", 400);
    REFUSED(t,
            ask(t, "iam:CreateRole", "RoleName", "r", "AssumeRolePolicyDocument", EC2_TRUST, "PermissionsBoundary",
                "arn:aws:iam::111122223333:policy/none", NULL),
            "NoSuchEntity", 404);
    /* White space is not counted. */
    (void)snprintf(big, sizeof big, "%2500s%s", "", EC2_TRUST);
    OK(ask(t, "iam:CreateRole", "RoleName", "wide", "AssumeRolePolicyDocument", big, NULL));
    size_t n = strlen(EC2_TRUST) - 1;
    (void)snprintf(big, sizeof big, "%.*s,\"Id\":\"", (int)n, EC2_TRUST);
    memset(big + strlen(big), 'x', 2048);
    (void)snprintf(big + n + 2048, 8, "\"}");
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", "long", "AssumeRolePolicyDocument", big, NULL), "LimitExceeded",
            409);
    assert_string_equal(t->answer.message, "Cannot exceed quota for ACLSizePerRole: 2048");
    REFUSED(t, ask(t, "iam:UpdateAssumeRolePolicy", "RoleName", "wide", "PolicyDocument", big, NULL), "LimitExceeded",
            409);
    REFUSED(t, ask(t, "iam:UpdateAssumeRolePolicy", "RoleName", "wide", "PolicyDocument", "[]", NULL),
            "MalformedPolicyDocument", 400);
    REFUSED(t, ask(t, "iam:GetRole", "RoleName", "long", NULL), "NoSuchEntity", 404);
    REFUSED(t, ask(t, "iam:MakeCoffee", NULL), "InvalidAction", 400);
    REFUSED(t, ask(t, "s3:ListBuckets", NULL), "InvalidAction", 400);
}

static void tags_have_limits(void **state) {
    struct account *t = *state;
    char key[130], text[16];
    memset(key, 'k', 129);
    key[129] = '\0';
    create_role(t, "r");
    REFUSED(t, ask(t, "iam:TagRole", "RoleName", "r", "Tags.member.1.Key", key, "Tags.member.1.Value", "", NULL),
            "ValidationError", 400);
    REFUSED(t, ask(t, "iam:TagRole", "RoleName", "r", "Tags.member.1.Key", "aws:x", "Tags.member.1.Value", "", NULL),
            "InvalidInput", 400);
    REFUSED(t, ask(t, "iam:TagRole", "RoleName", "r", "Tags.member.1.Key", "x", "Tags.member.1.Value", "a&b", NULL),
            "ValidationError", 400);
    REFUSED(t,
            ask(t, "iam:TagRole", "RoleName", "r", "Tags.member.1.Key", "x", "Tags.member.1.Value", "",
                "Tags.member.2.Key", "X", "Tags.member.2.Value", "", NULL),
            "InvalidInput", 400);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(text, sizeof text, "key-%d", i);
        OK(ask(t, "iam:TagRole", "RoleName", "r", "Tags.member.1.Key", text, "Tags.member.1.Value", "", NULL));
    }
    REFUSED(t, ask(t, "iam:TagRole", "RoleName", "r", "Tags.member.1.Key", "one more", "Tags.member.1.Value", "", NULL),
            "LimitExceeded", 409);
    OK(ask(t, "iam:ListRoleTags", "RoleName", "r", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "Tags")), 50);
}

static void pages_are_followed(void **state) {
    struct account *t = *state;
    char name[16], marker[32] = "";
    for (int i = 0; i < 25; i++) {
        (void)snprintf(name, sizeof name, "role-%d", i);
        create_role(t, name);
    }
    size_t seen = 0;
    for (int page = 0; page < 3; page++) {
        OK(ask(t, "iam:ListRoles", "MaxItems", "10", *marker ? "Marker" : "Unused", marker, NULL));
        seen += json_array_size(json_array(t->answer.value, "Roles"));
        assert_string_equal(VALUE(t, "IsTruncated"), page < 2 ? "true" : "false");
        (void)str_copy(marker, sizeof marker, str_or(VALUE(t, "Marker"), ""));
    }
    assert_int_equal(seen, 25);
    assert_string_equal(marker, "");
    REFUSED(t, ask(t, "iam:ListRoles", "Marker", "page-99", NULL), "ValidationError", 400);
    REFUSED(t, ask(t, "iam:ListRoles", "MaxItems", "0", NULL), "ValidationError", 400);
}

static void accounts_fill_up(void **state) {
    struct account *t = *state;
    char name[16];
    for (int i = 0; i < SIM_AWS_ROLES_MAX; i++) {
        (void)snprintf(name, sizeof name, "role-%d", i);
        create_role(t, name);
    }
    REFUSED(t, ask(t, "iam:CreateRole", "RoleName", "more", "AssumeRolePolicyDocument", EC2_TRUST, NULL),
            "LimitExceeded", 409);
    OK(ask(t, "iam:DeleteRole", "RoleName", "role-3", NULL));
    create_role(t, "more");
}

/* --- policies --- */

static void attachments_have_limits(void **state) {
    struct account *t = *state;
    char name[16], arn[128];
    create_role(t, "r");
    REFUSED(t, ask(t, "iam:AttachRolePolicy", "RoleName", "r", "PolicyArn", "arn:aws:iam::aws:policy/None", NULL),
            "NoSuchEntity", 404);
    REFUSED(t, ask(t, "iam:AttachRolePolicy", "RoleName", "r", "PolicyArn", "CNI", NULL), "InvalidInput", 400);
    REFUSED(t, ask(t, "iam:DetachRolePolicy", "RoleName", "r", "PolicyArn", CNI, NULL), "NoSuchEntity", 404);
    REFUSED(t, ask(t, "iam:AttachRolePolicy", "RoleName", "none", "PolicyArn", CNI, NULL), "NoSuchEntity", 404);
    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "policy-%d", i);
        (void)snprintf(arn, sizeof arn, "arn:aws:iam::111122223333:policy/%s", name);
        OK(ask(t, "iam:CreatePolicy", "PolicyName", name, "PolicyDocument", ALLOW_ALL, NULL));
        OK(ask(t, "iam:AttachRolePolicy", "RoleName", "r", "PolicyArn", arn, NULL));
    }
    REFUSED(t, ask(t, "iam:AttachRolePolicy", "RoleName", "r", "PolicyArn", CNI, NULL), "LimitExceeded", 409);
    assert_string_equal(t->answer.message, "Cannot exceed quota for PoliciesPerRole: 10");
    int writes = t->writes;
    OK(ask(t, "iam:AttachRolePolicy", "RoleName", "r", "PolicyArn", arn, NULL)); /* again: nothing changes */
    assert_int_equal(t->writes, writes);
    REFUSED(t, ask(t, "iam:DeleteRole", "RoleName", "r", NULL), "DeleteConflict", 409);
    assert_string_equal(t->answer.message, "Cannot delete entity, must detach all policies first.");
    REFUSED(t, ask(t, "iam:DeletePolicy", "PolicyArn", arn, NULL), "DeleteConflict", 409);
    OK(ask(t, "iam:ListEntitiesForPolicy", "PolicyArn", arn, "EntityFilter", "Role", NULL));
    assert_string_equal(json_str(json_first(json_array(t->answer.value, "PolicyRoles")), "RoleName"), "r");
    OK(ask(t, "iam:GetPolicy", "PolicyArn", arn, NULL));
    assert_string_equal(VALUE(t, "Policy.AttachmentCount"), "1");
    OK(ask(t, "iam:DetachRolePolicy", "RoleName", "r", "PolicyArn", arn, NULL));
    OK(ask(t, "iam:AttachRolePolicy", "RoleName", "r", "PolicyArn", CNI, NULL));
    OK(ask(t, "iam:DeletePolicy", "PolicyArn", arn, NULL));
    REFUSED(t, ask(t, "iam:GetPolicy", "PolicyArn", arn, NULL), "NoSuchEntity", 404);
}

static void policies_have_versions(void **state) {
    struct account *t = *state;
    const char *arn = "arn:aws:iam::111122223333:policy/p";
    OK(ask(t, "iam:CreatePolicy", "PolicyName", "p", "PolicyDocument", ALLOW_ALL, NULL));
    assert_string_equal(VALUE(t, "Policy.Arn"), arn);
    REFUSED(t, ask(t, "iam:CreatePolicy", "PolicyName", "P", "PolicyDocument", ALLOW_ALL, NULL), "EntityAlreadyExists",
            409);
    for (int i = 2; i <= 5; i++) {
        OK(ask(t, "iam:CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", ALLOW_ALL, "SetAsDefault",
               i == 3 ? "true" : "false", NULL));
    }
    REFUSED(t, ask(t, "iam:CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", ALLOW_ALL, NULL), "LimitExceeded",
            409);
    REFUSED(t, ask(t, "iam:CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", "{}", NULL),
            "MalformedPolicyDocument", 400);
    REFUSED(t, ask(t, "iam:DeletePolicyVersion", "PolicyArn", arn, "VersionId", "v3", NULL), "DeleteConflict", 409);
    REFUSED(t, ask(t, "iam:DeletePolicyVersion", "PolicyArn", arn, "VersionId", "v9", NULL), "NoSuchEntity", 404);
    REFUSED(t, ask(t, "iam:DeletePolicy", "PolicyArn", arn, NULL), "DeleteConflict", 409);
    OK(ask(t, "iam:GetPolicyVersion", "PolicyArn", arn, "VersionId", "v3", NULL));
    assert_string_equal(VALUE(t, "PolicyVersion.IsDefaultVersion"), "true");
    assert_string_equal(VALUE(t, "PolicyVersion.Document"), ALLOW_ALL);
    OK(ask(t, "iam:DeletePolicyVersion", "PolicyArn", arn, "VersionId", "v1", NULL));
    OK(ask(t, "iam:CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", ALLOW_ALL, NULL));
    assert_string_equal(VALUE(t, "PolicyVersion.VersionId"), "v6");
    OK(ask(t, "iam:ListPolicyVersions", "PolicyArn", arn, NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "Versions")), 5);
    REFUSED(t, ask(t, "iam:CreatePolicyVersion", "PolicyArn", CNI, "PolicyDocument", ALLOW_ALL, NULL), "AccessDenied",
            403);
    OK(ask(t, "iam:GetPolicy", "PolicyArn", CNI, NULL));
    assert_string_equal(VALUE(t, "Policy.DefaultVersionId"), "v1");
}

static void inline_policies_and_boundaries_count(void **state) {
    struct account *t = *state;
    const char *arn = "arn:aws:iam::111122223333:role/r", *edge = "arn:aws:iam::111122223333:policy/edge";
    create_role(t, "r");
    assert_false(sim_aws_allows(t->aws, arn, "ec2:AttachNetworkInterface"));
    OK(ask(t, "iam:PutRolePolicy", "RoleName", "r", "PolicyName", "in", "PolicyDocument", ALLOW_ALL, NULL));
    assert_true(sim_aws_allows(t->aws, arn, "ec2:AttachNetworkInterface"));
    OK(ask(t, "iam:GetRolePolicy", "RoleName", "r", "PolicyName", "in", NULL));
    assert_string_equal(VALUE(t, "PolicyDocument"), ALLOW_ALL);
    OK(ask(t, "iam:CreatePolicy", "PolicyName", "edge", "PolicyDocument",
           "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"ec2:Describe*\",\"Resource\":\"*\"}}", NULL));
    OK(ask(t, "iam:PutRolePermissionsBoundary", "RoleName", "r", "PermissionsBoundary", edge, NULL));
    assert_false(sim_aws_allows(t->aws, arn, "ec2:AttachNetworkInterface"));
    assert_true(sim_aws_allows(t->aws, arn, "ec2:DescribeInstances"));
    OK(ask(t, "iam:GetRole", "RoleName", "r", NULL));
    assert_string_equal(VALUE(t, "Role.PermissionsBoundary.PermissionsBoundaryArn"), edge);
    OK(ask(t, "iam:SimulatePrincipalPolicy", "PolicySourceArn", arn, "ActionNames.member.1", "ec2:DescribeInstances",
           "ActionNames.member.2", "ec2:AttachNetworkInterface", NULL));
    const json *first = json_first(json_array(t->answer.value, "EvaluationResults"));
    assert_string_equal(json_str(first, "EvalDecision"), "allowed");
    assert_string_equal(json_str(first->next, "EvalDecision"), "implicitDeny");
    assert_string_equal(json_str(first->next, "PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary"),
                        "false");
    REFUSED(t, ask(t, "iam:DeletePolicy", "PolicyArn", edge, NULL), "DeleteConflict", 409);
    REFUSED(t, ask(t, "iam:DeleteRole", "RoleName", "r", NULL), "DeleteConflict", 409);
    OK(ask(t, "iam:DeleteRolePolicy", "RoleName", "r", "PolicyName", "in", NULL));
    REFUSED(t, ask(t, "iam:GetRolePolicy", "RoleName", "r", "PolicyName", "in", NULL), "NoSuchEntity", 404);
    OK(ask(t, "iam:ListRolePolicies", "RoleName", "r", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "PolicyNames")), 0);
    assert_false(sim_aws_allows(t->aws, arn, "ec2:DescribeInstances"));
    OK(ask(t, "iam:DeleteRolePermissionsBoundary", "RoleName", "r", NULL));
    OK(ask(t, "iam:DeleteRole", "RoleName", "r", NULL));
}

static void simulation_excludes(void **state) {
    struct account *t = *state;
    create_identity(t);
    OK(ask(t, "iam:SimulatePrincipalPolicy", "PolicySourceArn", ROLE, "ActionNames.member.1", "ec2:DescribeInstances",
           NULL));
    assert_string_equal(json_str(json_first(json_array(t->answer.value, "EvaluationResults")), "EvalDecision"),
                        "allowed");
    OK(ask(t, "iam:SimulatePrincipalPolicy", "PolicySourceArn", ROLE, "ActionNames.member.1", "ec2:DescribeInstances",
           "PolicyExclusionList.member.1.PolicyType", "aws-managed", "PolicyExclusionList.member.1.PolicyArn", CNI,
           NULL));
    assert_string_equal(json_str(json_first(json_array(t->answer.value, "EvaluationResults")), "EvalDecision"),
                        "implicitDeny");
    REFUSED(t, ask(t, "iam:SimulatePrincipalPolicy", "PolicySourceArn", ROLE, NULL), "ValidationError", 400);
    REFUSED(t,
            ask(t, "iam:SimulatePrincipalPolicy", "PolicySourceArn", ROLE "x", "ActionNames.member.1", "ec2:X", NULL),
            "NoSuchEntity", 404);
    REFUSED(t, ask(t, "iam:SimulatePrincipalPolicy", "PolicySourceArn", ROLE, "ActionNames.member.1", "X", NULL),
            "InvalidInput", 400);
}

static void providers_are_validated(void **state) {
    struct account *t = *state;
    static const char *const bad[] = {"http://x",        "https://",    "https:///x",
                                      "https://x:443/y", "https://x?y", "https://x y"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        REFUSED(t, ask(t, "iam:CreateOpenIDConnectProvider", "Url", bad[i], NULL), "ValidationError", 400);
    }
    REFUSED(t, ask(t, "iam:CreateOpenIDConnectProvider", "Url", ISSUER, "ThumbprintList.member.1", "abc", NULL),
            "ValidationError", 400);
    OK(ask(t, "iam:CreateOpenIDConnectProvider", "Url", ISSUER, "ThumbprintList", "", "Tags.member.1.Key", "k",
           "Tags.member.1.Value", "v", NULL));
    REFUSED(t, ask(t, "iam:CreateOpenIDConnectProvider", "Url", ISSUER, NULL), "EntityAlreadyExists", 409);
    OK(ask(t, "iam:GetOpenIDConnectProvider", "OpenIDConnectProviderArn", PROVIDER, NULL));
    assert_string_equal(VALUE(t, "Url"), BARE_ISSUER);
    assert_int_equal(json_array_size(json_array(t->answer.value, "ClientIDList")), 0);
    assert_int_equal(json_array_size(json_array(t->answer.value, "ThumbprintList")), 1);
    int writes = t->writes;
    for (int i = 0; i < 2; i++) { /* idempotent */
        OK(ask(t, "iam:AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", PROVIDER, "ClientID", "x",
               NULL));
    }
    assert_int_equal(t->writes, writes + 1);
    OK(ask(t, "iam:TagOpenIDConnectProvider", "OpenIDConnectProviderArn", PROVIDER, "Tags.member.1.Key", "k",
           "Tags.member.1.Value", "w", NULL));
    REFUSED(t, ask(t, "iam:GetOpenIDConnectProvider", "OpenIDConnectProviderArn", "x", NULL), "InvalidInput", 400);
    OK(ask(t, "iam:DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", PROVIDER, NULL));
    REFUSED(t, ask(t, "iam:GetOpenIDConnectProvider", "OpenIDConnectProviderArn", PROVIDER, NULL), "NoSuchEntity", 404);
    OK(ask(t, "iam:ListOpenIDConnectProviders", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "OpenIDConnectProviderList")), 0);
}

/* --- who asks --- */

static void callers_are_told_apart(void **state) {
    struct account *t = *state;
    static const char trust[] =
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::111122223333:"
        "role/operator\"},\"Action\":\"sts:AssumeRole\"}]}";
    create_role(t, "operator");
    sim_aws_add_access_key(t->aws, "AKIAUSER", "arn:aws:iam::111122223333:user/jo");
    sim_aws_add_access_key(t->aws, "AKIAROLE", "arn:aws:iam::111122223333:role/operator");
    REFUSED(t, as_key(t, "AKIANOBODY", "iam:ListRoles", NULL), "InvalidClientTokenId", 403);
    REFUSED(t, as_key(t, "AKIANOBODY", "ec2:DescribeInstances", NULL), "AuthFailure", 401);
    OK(as_key(t, "AKIAUSER", "iam:ListRoles", NULL));
    OK(as_key(t, "AKIAUSER", "sts:GetCallerIdentity", NULL));
    assert_string_equal(VALUE(t, "Arn"), "arn:aws:iam::111122223333:user/jo");
    OK(ask(t, "sts:GetCallerIdentity", NULL));
    assert_string_equal(VALUE(t, "Arn"), "arn:aws:iam::111122223333:root");
    assert_string_equal(VALUE(t, "Account"), "111122223333");
    REFUSED(t, as_key(t, "AKIAROLE", "iam:CreateRole", "RoleName", "x", "AssumeRolePolicyDocument", EC2_TRUST, NULL),
            "AccessDenied", 403);
    REFUSED(t, ask(t, "iam:GetRole", "RoleName", "x", NULL), "NoSuchEntity", 404);
    OK(ask(
        t, "iam:PutRolePolicy", "RoleName", "operator", "PolicyName", "roles", "PolicyDocument",
        "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iam:CreateRole\",\"Resource\":\"arn:aws:iam::111122223333:"
        "role/cni-*\"}}",
        NULL));
    REFUSED(t, as_key(t, "AKIAROLE", "iam:CreateRole", "RoleName", "x", "AssumeRolePolicyDocument", EC2_TRUST, NULL),
            "AccessDenied", 403);
    OK(as_key(t, "AKIAROLE", "iam:CreateRole", "RoleName", "cni-x", "AssumeRolePolicyDocument", trust, NULL));
    OK(as_key(t, "AKIAROLE", "sts:AssumeRole", "RoleArn", "arn:aws:iam::111122223333:role/cni-x", "RoleSessionName",
              "me", NULL));
    REFUSED(t,
            as_key(t, "AKIAUSER", "sts:AssumeRole", "RoleArn", "arn:aws:iam::111122223333:role/cni-x",
                   "RoleSessionName", "me", NULL),
            "AccessDenied", 403);
    REFUSED(t, ask(t, "sts:AssumeRole", "RoleArn", "nonsense", "RoleSessionName", "me", NULL), "ValidationError", 400);
}

static void sessions_end_with_their_role(void **state) {
    struct account *t = *state;
    create_identity(t);
    OK(assume(t, token_for(SUBJECT, "sts.amazonaws.com")));
    char key[64];
    (void)str_copy(key, sizeof key, VALUE(t, "Credentials.AccessKeyId"));
    OK(ask(t, "iam:DetachRolePolicy", "RoleName", "cni-iam-prod", "PolicyArn", CNI, NULL));
    OK(ask(t, "iam:DeleteRole", "RoleName", "cni-iam-prod", NULL));
    OK(ask(t, "iam:CreateRole", "RoleName", "cni-iam-prod", "AssumeRolePolicyDocument", GOOD_TRUST, NULL));
    OK(ask(t, "iam:AttachRolePolicy", "RoleName", "cni-iam-prod", "PolicyArn", CNI, NULL));
    REFUSED(t, as_key(t, key, "ec2:DescribeInstances", "DryRun", "true", NULL), "UnauthorizedOperation", 403);
    assert_true(sim_aws_allows(t->aws, ROLE, "ec2:DescribeInstances"));
}

/* --- the world's hands, EC2 and EKS --- */

static size_t instances(struct account *t, const char *filter, const char *value) {
    OK(ask(t, "ec2:DescribeInstances", "Filter.1.Name", filter, "Filter.1.Value.1", value, NULL));
    return json_array_size(json_array(t->answer.value, "reservationSet"));
}

static void instances_have_roles(void **state) {
    struct account *t = *state;
    const char *const policies[] = {CNI, "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"};
    sim_aws_add_node_role(t->aws, "node-a", policies, 2);
    sim_aws_run_instance(t->aws, "i-1", "node-a", "prod");
    sim_aws_run_instance(t->aws, "i-2", "node-a", NULL);
    sim_aws_run_instance(t->aws, "i-3", "none", NULL);
    const char *arn = sim_aws_role_of_instance(t->aws, "i-1");
    assert_string_equal(arn, "arn:aws:iam::111122223333:role/node-a");
    assert_null(sim_aws_role_of_instance(t->aws, "i-3"));
    assert_null(sim_aws_role_of_instance(t->aws, "i-9"));
    assert_true(
        sim_aws_allows(t->aws, arn, "ec2:AssignPrivateIpAddresses")); /* there from the start, whatever the lag */
    assert_int_equal(instances(t, "instance-id", "i-2"), 1);
    assert_int_equal(instances(t, "instance-id", "i-9"), 0);
    assert_int_equal(instances(t, "instance-id", "i-?"), 3);
    OK(ask(t, "ec2:DescribeInstances", "Filter.1.Name", "instance-id", "Filter.1.Value.1", "i-3", "Filter.1.Value.2",
           "i-1", "Filter.1.Value.3", "i-3", "Filter.1.Value.4", "i-9", "Filter.2.Name", "tag-key", "Filter.2.Value.1",
           "*prod", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "reservationSet")), 1);
    assert_int_equal(instances(t, "iam-instance-profile.arn", "arn:aws:iam::111122223333:instance-profile/node-a"), 2);
    assert_int_equal(instances(t, "tag:kubernetes.io/cluster/prod", "owned"), 1);
    const json *i = json_first(json_array(json_first(json_array(t->answer.value, "reservationSet")), "instancesSet"));
    assert_string_equal(json_str(i, "instanceId"), "i-1");
    assert_string_equal(json_str(i, "instanceState.name"), "running");
    assert_string_equal(json_str(i, "iamInstanceProfile.arn"), "arn:aws:iam::111122223333:instance-profile/node-a");
    assert_string_equal(json_str(json_first(json_array(i, "tagSet")), "key"), "kubernetes.io/cluster/prod");
    sim_aws_terminate_instance(t->aws, "i-1");
    assert_int_equal(instances(t, "instance-state-name", "terminated"), 1);
    assert_null(sim_aws_role_of_instance(t->aws, "i-1"));
    t->now_ms += 2 * 3600 * 1000;
    assert_int_equal(instances(t, "instance-state-name", "*"), 2);
    REFUSED(t, ask(t, "ec2:DescribeInstances", "InstanceId.1", "i-1", NULL), "InvalidInstanceID.NotFound", 400);
    REFUSED(t, ask(t, "ec2:DescribeInstances", "Filter.1.Name", "colour", NULL), "InvalidParameterValue", 400);
    OK(ask(t, "iam:GetInstanceProfile", "InstanceProfileName", "node-a", NULL));
    assert_string_equal(json_str(json_first(json_array(t->answer.value, "InstanceProfile.Roles")), "RoleName"),
                        "node-a");
    OK(ask(t, "iam:ListInstanceProfilesForRole", "RoleName", "node-a", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "InstanceProfiles")), 1);
    REFUSED(t, ask(t, "iam:DeleteRole", "RoleName", "node-a", NULL), "DeleteConflict", 409);
    REFUSED(t, ask(t, "iam:GetInstanceProfile", "InstanceProfileName", "none", NULL), "NoSuchEntity", 404);
}

static void instances_come_in_pages(void **state) {
    struct account *t = *state;
    char id[16];
    for (int i = 0; i < 12; i++) {
        (void)snprintf(id, sizeof id, "i-%d", i);
        sim_aws_run_instance(t->aws, id, "p", "prod");
    }
    OK(ask(t, "ec2:DescribeInstances", "MaxResults", "10", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "reservationSet")), 10);
    char token[32];
    (void)str_copy(token, sizeof token, VALUE(t, "nextToken"));
    OK(ask(t, "ec2:DescribeInstances", "MaxResults", "10", "NextToken", token, NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "reservationSet")), 2);
    assert_null(VALUE(t, "nextToken"));
    REFUSED(t, ask(t, "ec2:DescribeInstances", "NextToken", "x", NULL), "InvalidParameterValue", 400);
    REFUSED(t, ask(t, "ec2:DescribeInstances", "MaxResults", "1", NULL), "InvalidParameterValue", 400);
}

static void profiles_are_made_by_hand(void **state) {
    struct account *t = *state;
    create_role(t, "r");
    OK(ask(t, "iam:CreateInstanceProfile", "InstanceProfileName", "P", "Path", "/x/", NULL));
    REFUSED(t, ask(t, "iam:CreateInstanceProfile", "InstanceProfileName", "p", NULL), "EntityAlreadyExists", 409);
    OK(ask(t, "iam:AddRoleToInstanceProfile", "InstanceProfileName", "P", "RoleName", "r", NULL));
    REFUSED(t, ask(t, "iam:AddRoleToInstanceProfile", "InstanceProfileName", "P", "RoleName", "r", NULL),
            "LimitExceeded", 409);
    REFUSED(t, ask(t, "iam:DeleteInstanceProfile", "InstanceProfileName", "P", NULL), "DeleteConflict", 409);
    OK(ask(t, "iam:RemoveRoleFromInstanceProfile", "InstanceProfileName", "P", "RoleName", "r", NULL));
    OK(ask(t, "iam:DeleteInstanceProfile", "InstanceProfileName", "P", NULL));
    OK(ask(t, "iam:ListInstanceProfiles", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "InstanceProfiles")), 0);
    OK(ask(t, "iam:DeleteRole", "RoleName", "r", NULL));
}

static void the_cluster_is_described(void **state) {
    struct account *t = *state;
    OK(ask(t, "eks:DescribeCluster", "name", "prod", NULL));
    assert_string_equal(VALUE(t, "cluster.arn"), "arn:aws:eks:us-west-2:111122223333:cluster/prod");
    assert_string_equal(VALUE(t, "cluster.identity.oidc.issuer"), ISSUER);
    assert_string_equal(VALUE(t, "cluster.kubernetesNetworkConfig.ipFamily"), "ipv4");
    assert_string_equal(VALUE(t, "cluster.status"), "ACTIVE");
    REFUSED(t, ask(t, "eks:DescribeCluster", "name", "other", NULL), "ResourceNotFoundException", 404);
    assert_string_equal(t->answer.message, "No cluster found for name: other.");
    REFUSED(t, ask(t, "eks:DescribeAddon", "clusterName", "prod", "addonName", "vpc-cni", NULL),
            "ResourceNotFoundException", 404);
    sim_aws_set_addon(t->aws, "{\"serviceAccountRoleArn\":\"" ROLE "\"}");
    OK(ask(t, "eks:DescribeAddon", "clusterName", "prod", "addonName", "vpc-cni", NULL));
    assert_string_equal(VALUE(t, "addon.serviceAccountRoleArn"), ROLE);
    sim_aws_set_addon(t->aws, NULL);
    REFUSED(t, ask(t, "eks:DescribeAddon", "clusterName", "prod", "addonName", "vpc-cni", NULL),
            "ResourceNotFoundException", 404);
    OK(ask(t, "eks:ListPodIdentityAssociations", "clusterName", "prod", "namespace", "kube-system", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "associations")), 0);
    sim_aws_set_association(t->aws, "{\"roleArn\":\"" ROLE "\"}");
    OK(ask(t, "eks:ListPodIdentityAssociations", "clusterName", "prod", "namespace", "kube-system", NULL));
    const json *one = json_first(json_array(t->answer.value, "associations"));
    assert_string_equal(json_str(one, "serviceAccount"), "aws-node");
    assert_null(json_str(one, "roleArn"));
    OK(ask(t, "eks:ListPodIdentityAssociations", "clusterName", "prod", "namespace", "default", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "associations")), 0);
    sim_aws_set_association(t->aws, NULL);
    sim_aws_add_node_role(t->aws, "node-a", NULL, 0);
    sim_aws_run_instance(t->aws, "i-1", "node-a", "prod");
    OK(ask(t, "eks:ListNodegroups", "clusterName", "prod", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "nodegroups")), 1);
    OK(ask(t, "eks:DescribeNodegroup", "clusterName", "prod", "nodegroupName", "node-a", NULL));
    assert_string_equal(VALUE(t, "nodegroup.nodeRole"), "arn:aws:iam::111122223333:role/node-a");
    REFUSED(t, ask(t, "eks:DescribeNodegroup", "clusterName", "prod", "nodegroupName", "x", NULL),
            "ResourceNotFoundException", 404);
}

/* an operation of EKS with a body */
static const char *tell(struct account *t, const char *action, const char *principal, const char *body) {
    const struct sim_aws_param params[] = {{"clusterName", "prod"}, {"principalArn", principal}};
    struct sim_aws_call call = {.service = "eks", .action = action, .params = params, .nparams = 2, .body = body};
    json_free(t->answer.value);
    sim_aws_do(t->aws, &call, &t->answer);
    return str_or(t->answer.code, "");
}

#define ENTRY "arn:aws:iam::111122223333:role/p/admins"
#define ADMIN "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

static void principals_enter_the_cluster(void **state) {
    struct account *t = *state;
    sim_aws_add_node_role(t->aws, "node-a", NULL, 0);
    OK(ask(t, "iam:CreateRole", "RoleName", "admins", "Path", "/p/", "AssumeRolePolicyDocument", EC2_TRUST, NULL));
    REFUSED(t, tell(t, "CreateAccessEntry", "", "{\"principalArn\":\"arn:aws:iam::111122223333:role/none\"}"),
            "InvalidParameterException", 400);
    REFUSED(
        t,
        tell(t, "CreateAccessEntry", "", "{\"principalArn\":\"" ENTRY "\",\"kubernetesGroups\":[\"system:masters\"]}"),
        "InvalidParameterException", 400);
    REFUSED(
        t,
        tell(t, "CreateAccessEntry", "", "{\"principalArn\":\"" ENTRY "\",\"type\":\"EC2_LINUX\",\"username\":\"x\"}"),
        "InvalidRequestException", 400);
    OK(tell(t, "CreateAccessEntry", "", "{\"principalArn\":\"" ENTRY "\",\"kubernetesGroups\":[\"admins\"]}"));
    assert_string_equal(VALUE(t, "accessEntry.username"),
                        "arn:aws:sts::111122223333:assumed-role/admins/{{SessionName}}");
    REFUSED(t, tell(t, "CreateAccessEntry", "", "{\"principalArn\":\"" ENTRY "\"}"), "ResourceInUseException", 409);
    REFUSED(t,
            tell(t, "AssociateAccessPolicy", ENTRY, "{\"policyArn\":\"arn:x\",\"accessScope\":{\"type\":\"cluster\"}}"),
            "InvalidParameterException", 400);
    REFUSED(t,
            tell(t, "AssociateAccessPolicy", ENTRY,
                 "{\"policyArn\":\"" ADMIN "\",\"accessScope\":{\"type\":\"namespace\"}}"),
            "InvalidParameterException", 400);
    for (int i = 0; i < 2; i++)
        OK(tell(t, "AssociateAccessPolicy", ENTRY,
                "{\"policyArn\":\"" ADMIN "\",\"accessScope\":{\"type\":\"cluster\"}}"));
    assert_string_equal(VALUE(t, "associatedAccessPolicy.accessScope.type"), "cluster");
    OK(tell(t, "ListAssociatedAccessPolicies", ENTRY, NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "associatedAccessPolicies")), 1);
    OK(ask(t, "eks:ListAccessEntries", "clusterName", "prod", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "accessEntries")), 2); /* and that of the node role */
    OK(ask(t, "eks:ListAccessEntries", "clusterName", "prod", "associatedPolicyArn", ADMIN, NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "accessEntries")), 1);
    OK(tell(t, "DescribeAccessEntry", "arn:aws:iam::111122223333:role/node-a", NULL));
    assert_string_equal(VALUE(t, "accessEntry.type"), "EC2_LINUX");
    REFUSED(t,
            tell(t, "AssociateAccessPolicy", "arn:aws:iam::111122223333:role/node-a",
                 "{\"policyArn\":\"" ADMIN "\",\"accessScope\":{\"type\":\"cluster\"}}"),
            "InvalidRequestException", 400);
    OK(ask(t, "eks:DisassociateAccessPolicy", "clusterName", "prod", "principalArn", ENTRY, "policyArn", ADMIN, NULL));
    REFUSED(
        t,
        ask(t, "eks:DisassociateAccessPolicy", "clusterName", "prod", "principalArn", ENTRY, "policyArn", ADMIN, NULL),
        "ResourceNotFoundException", 404);
    OK(tell(t, "UpdateAccessEntry", ENTRY, "{\"kubernetesGroups\":[],\"username\":\"them\"}"));
    assert_string_equal(VALUE(t, "accessEntry.username"), "them");
    OK(tell(t, "DeleteAccessEntry", ENTRY, NULL));
    REFUSED(t, tell(t, "DescribeAccessEntry", ENTRY, NULL), "ResourceNotFoundException", 404);
}

static void instances_come_and_go(void **state) {
    struct account *t = *state;
    char id[24];
    sim_aws_add_node_role(t->aws, "node-a", NULL, 0);
    OK(ask(t, "ec2:RunInstances", "MinCount", "1", "MaxCount", "2", "IamInstanceProfile.Name", "node-a",
           "TagSpecification.1.Tag.1.Key", "kubernetes.io/cluster/prod", "TagSpecification.1.Tag.1.Value", "owned",
           "TagSpecification.1.Tag.2.Key", "eks:cluster-name", "TagSpecification.1.Tag.2.Value", "prod", NULL));
    const json *set = json_array(t->answer.value, "instancesSet");
    assert_int_equal(json_array_size(set), 2);
    assert_string_equal(json_str(json_first(set), "instanceState.name"), "pending");
    assert_true(str_copy(id, sizeof id, json_str(json_first(set), "instanceId")));
    assert_string_equal(t->last_line, "RunInstances 2 on node-a");
    assert_string_equal(sim_aws_role_of_instance(t->aws, id), "arn:aws:iam::111122223333:role/node-a");
    OK(ask(t, "eks:ListNodegroups", "clusterName", "prod", NULL));
    assert_int_equal(json_array_size(json_array(t->answer.value, "nodegroups")), 1);
    OK(ask(t, "ec2:TerminateInstances", "InstanceId.1", id, NULL));
    assert_null(sim_aws_role_of_instance(t->aws, id));
    OK(ask(t, "ec2:TerminateInstances", "InstanceId.1", id, NULL));
    REFUSED(t, ask(t, "ec2:TerminateInstances", "InstanceId.1", "i-no", NULL), "InvalidInstanceID.NotFound", 400);
    REFUSED(t, ask(t, "ec2:TerminateInstances", NULL), "MissingParameter", 400);
    OK(ask(t, "ec2:RunInstances", "MinCount", "1", "MaxCount", "1", NULL)); /* without a profile */
    int writes = t->writes;
    REFUSED(t, ask(t, "ec2:RunInstances", "MinCount", "1", NULL), "MissingParameter", 400);
    REFUSED(t, ask(t, "ec2:RunInstances", "MinCount", "2", "MaxCount", "1", NULL), "InvalidParameterValue", 400);
    REFUSED(t, ask(t, "ec2:RunInstances", "MinCount", "1", "MaxCount", "101", NULL), "InvalidParameterValue", 400);
    REFUSED(t, ask(t, "ec2:RunInstances", "MinCount", "1", "MaxCount", "1", "IamInstanceProfile.Name", "x", NULL),
            "InvalidParameterValue", 400);
    REFUSED(t,
            ask(t, "ec2:RunInstances", "MinCount", "1", "MaxCount", "1", "IamInstanceProfile.Arn",
                "arn:aws:iam::999999999999:instance-profile/node-a", NULL),
            "InvalidParameterValue", 400);
    REFUSED(t,
            ask(t, "ec2:RunInstances", "MinCount", "1", "MaxCount", "1", "TagSpecification.1.Tag.1.Key", "Name",
                "TagSpecification.1.Tag.1.Value", "x", NULL),
            "InvalidParameterValue", 400);
    REFUSED(t, ask(t, "ec2:RunInstances", "MinCount", "1", "MaxCount", "1", "DryRun", "true", NULL), "DryRunOperation",
            412);
    assert_int_equal(t->writes, writes);
}

static void calls_are_counted(void **state) {
    struct account *t = *state;
    create_role(t, "r");
    REFUSED(t, ask(t, "iam:GetRole", "RoleName", "none", NULL), "NoSuchEntity", 404);
    REFUSED(t, ask(t, "iam:Nothing", NULL), "InvalidAction", 400);
    assert_int_equal(sim_aws_count(t->aws, "iam:CreateRole"), 1);
    assert_int_equal(sim_aws_count(t->aws, "iam:GetRole"), 1);
    assert_int_equal(sim_aws_count(t->aws, "iam:DeleteRole"), 0);
    assert_int_equal(sim_aws_count(t->aws, "iam:Nothing"), 0);
    assert_int_equal(sim_aws_count(t->aws, NULL), 3);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
#define LAGGING(f) cmocka_unit_test_setup_teardown(f, begin_lagging, end)
    const struct CMUnitTest tests[] = {
        LAGGING(irsa_takes_effect_after_its_lag),
        LAGGING(broken_trust_is_refused_after_its_lag),
        LAGGING(changes_do_not_overtake_backwards),
        LAGGING(lags_follow_the_seed),
        TEST(tokens_are_looked_at),
        TEST(roles_live_and_die),
        TEST(roles_are_validated),
        TEST(tags_have_limits),
        TEST(pages_are_followed),
        TEST(accounts_fill_up),
        TEST(attachments_have_limits),
        TEST(policies_have_versions),
        TEST(inline_policies_and_boundaries_count),
        TEST(simulation_excludes),
        TEST(providers_are_validated),
        TEST(callers_are_told_apart),
        TEST(sessions_end_with_their_role),
        LAGGING(instances_have_roles),
        TEST(instances_come_in_pages),
        TEST(profiles_are_made_by_hand),
        TEST(the_cluster_is_described),
        TEST(principals_enter_the_cluster),
        TEST(instances_come_and_go),
        TEST(calls_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
