/* The simulated account's wire: forms in, XML and JSON out, and bytes that are neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/aws/xml.h"
#include "platform/base/random.h"
#include "platform/base/str.h"
#include "simulator/aws_http.h"

#define AUTH(service)                                                                                                  \
    "AWS4-HMAC-SHA256 Credential=AKIAROOT/20260102/us-west-2/" service "/aws4_request, SignedHeaders=host, "           \
    "Signature=ab"
#define ISSUER "https://oidc.example/id/A"
#define TRUST                                                                                                          \
    "%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22ec2+x%22%7D%2C%"  \
    "22"                                                                                                               \
    "Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D"

struct wire {
    struct sim_aws *aws;
    struct sim_http_answer answer;
    json *value; /* of the answer, read by the product */
    char root[128];
};

static int64_t now(void *ctx) {
    (void)ctx;
    return INT64_C(1767323045000);
}

static bool verify(void *arg, const char *token, struct sim_token_claims *out) {
    (void)arg;
    if (!str_eq(token, "good token")) {
        return false;
    }
    (void)str_copy(out->issuer, sizeof out->issuer, ISSUER);
    (void)str_copy(out->subject, sizeof out->subject, "system:serviceaccount:kube-system:aws-node");
    (void)str_copy(out->audience, sizeof out->audience, "sts.amazonaws.com");
    out->expires_ms = now(NULL) + 1000;
    return true;
}

static int begin(void **state) {
    struct wire *w = calloc(1, sizeof *w);
    assert_non_null(w);
    struct sim_aws_options o = {.clock = {.wall_ms = now, .boot_ms = now},
                                .seed = 7,
                                .account = "111122223333",
                                .region = "us-west-2",
                                .cluster = "prod",
                                .cluster_version = "1.36",
                                .issuer = ISSUER,
                                .verify_token = verify};
    w->aws = sim_aws_new(&o);
    sim_aws_add_access_key(w->aws, "AKIAROOT", "arn:aws:iam::111122223333:root");
    *state = w;
    return 0;
}

static void forget(struct wire *w) {
    free(w->answer.body);
    json_free(w->value);
    w->answer.body = NULL;
    w->value = NULL;
}

static int end(void **state) {
    struct wire *w = *state;
    forget(w);
    sim_aws_free(w->aws);
    free(w);
    return 0;
}

static int ask(struct wire *w, const struct sim_http_request *req) {
    struct error err;
    forget(w);
    sim_aws_http(w->aws, req, &w->answer);
    assert_non_null(w->answer.body);
    assert_int_equal(strlen(w->answer.body), w->answer.body_len);
    if (str_eq(w->answer.content_type, "application/json")) {
        w->value = json_parse(w->answer.body, w->answer.body_len, &err);
        w->root[0] = '\0';
    } else {
        w->value = xml_to_json(w->answer.body, w->answer.body_len, w->root, &err);
    }
    if (w->value == NULL) {
        fail_msg("%s: %s", w->answer.body, err.message);
    }
    return w->answer.status;
}

static int post(struct wire *w, const char *authorization, const char *body) {
    struct sim_http_request req = {.method = "POST",
                                   .path = "/",
                                   .query = "",
                                   .authorization = authorization,
                                   .content_type = "application/x-www-form-urlencoded; charset=utf-8",
                                   .body = body,
                                   .body_len = strlen(body)};
    return ask(w, &req);
}

static int get(struct wire *w, const char *authorization, const char *path, const char *query) {
    struct sim_http_request req = {
        .method = "GET", .path = path, .query = query, .authorization = authorization, .body = ""};
    return ask(w, &req);
}

static const char *at(const struct wire *w, const char *path) {
    return str_or(json_str(w->value, path), "");
}

static void iam_speaks_query(void **state) {
    struct wire *w = *state;
    assert_int_equal(
        post(w, AUTH("iam"),
             "Action=CreateRole&Version=2010-05-08&RoleName=cni&Description=a+%3Cb%3E+%26&Tags.member.1.Key=k&"
             "Tags.member.1.Value=%c3%a4&AssumeRolePolicyDocument=" TRUST),
        200);
    assert_string_equal(w->root, "CreateRoleResponse");
    assert_non_null(strstr(w->answer.body, "xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\""));
    assert_non_null(strstr(w->answer.body, "%22ec2%20x%22")); /* documents are percent-encoded, blanks too */
    assert_int_equal(strlen(at(w, "ResponseMetadata.RequestId")), 36);
    assert_int_equal(post(w, AUTH("iam"), "Action=GetRole&Version=2010-05-08&RoleName=cni"), 200);
    assert_string_equal(at(w, "GetRoleResult.Role.Description"), "a <b> &");
    assert_string_equal(json_str(json_first(json_array(w->value, "GetRoleResult.Role.Tags")), "Value"), "\xc3\xa4");
    assert_string_equal(at(w, "GetRoleResult.Role.AssumeRolePolicyDocument"),
                        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2 "
                        "x\"},\"Action\":\"sts:AssumeRole\"}]}");
    assert_int_equal(post(w, AUTH("iam"), "Action=TagRole&RoleName=cni&Tags.member.1.Key=x&Tags.member.1.Value="), 200);
    assert_null(strstr(w->answer.body, "TagRoleResult"));
    assert_int_equal(post(w, AUTH("iam"), "Action=UpdateRole&RoleName=cni"), 200);
    assert_non_null(strstr(w->answer.body, "<UpdateRoleResult/>"));
    assert_int_equal(get(w, AUTH("iam"), "/", "Action=ListRoles&MaxItems=1"), 200);
    assert_int_equal(json_array_size(json_array(w->value, "ListRolesResult.Roles")), 1);
    assert_string_equal(at(w, "ListRolesResult.IsTruncated"), "false");
    assert_int_equal(post(w, AUTH("iam"), "Action=GetRole&RoleName=none"), 404);
    assert_string_equal(w->root, "ErrorResponse");
    assert_string_equal(at(w, "Error.Code"), "NoSuchEntity");
    assert_string_equal(at(w, "Error.Type"), "Sender");
    assert_string_equal(at(w, "Error.Message"), "The role with name none cannot be found.");
    assert_int_equal(post(w, AUTH("iam"), "Action=DetachRolePolicy&RoleName=cni&PolicyArn=arn%3Aaws%3Ax"), 404);
    assert_int_equal(post(w, AUTH("iam"),
                          "Action=GetPolicyVersion&VersionId=v1&PolicyArn=arn:aws:iam::aws:policy/"
                          "AmazonEKS_CNI_Policy"),
                     200);
    assert_true(str_has_prefix(at(w, "GetPolicyVersionResult.PolicyVersion.Document"), "{\"Version\":\"2012-10-17\""));
}

static void sts_takes_tokens_unsigned(void **state) {
    struct wire *w = *state;
    static const char assume[] = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"
                                 "111122223333%3Arole%2Fcni&RoleSessionName=s1&WebIdentityToken=good+token";
    assert_int_equal(post(w, NULL, assume), 400);
    assert_non_null(strstr(w->answer.body, "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\""));
    assert_string_equal(at(w, "Error.Code"), "InvalidIdentityToken");
    assert_int_equal(post(w, AUTH("iam"),
                          "Action=CreateOpenIDConnectProvider&Url=https%3A%2F%2Foidc.example%2Fid%2FA&"
                          "ClientIDList.member.1=sts.amazonaws.com"),
                     200);
    assert_int_equal(
        post(w, AUTH("iam"),
             "Action=CreateRole&RoleName=cni&AssumeRolePolicyDocument=%7B%22Statement%22%3A%7B%22Effect%22%3A"
             "%22Allow%22%2C%22Principal%22%3A%7B%22Federated%22%3A%22arn:aws:iam::111122223333:oidc-provider/"
             "oidc.example/id/A%22%7D%2C%22Action%22%3A%22sts:AssumeRoleWithWebIdentity%22%7D%7D"),
        200);
    assert_int_equal(post(w, NULL, assume), 200);
    assert_string_equal(w->root, "AssumeRoleWithWebIdentityResponse");
    char authorization[256];
    (void)snprintf(authorization, sizeof authorization,
                   "AWS4-HMAC-SHA256 Credential=%s/20260102/us-west-2/ec2/aws4_request",
                   at(w, "AssumeRoleWithWebIdentityResult.Credentials.AccessKeyId"));
    assert_int_equal(post(w, authorization, "Action=DescribeInstances&Version=2016-11-15&DryRun=true"), 403);
    assert_string_equal(w->root, "Response");
    assert_non_null(strstr(w->answer.body, "<Errors><Error><Code>UnauthorizedOperation</Code>"));
    assert_non_null(strstr(w->answer.body, "<RequestID>"));
    assert_int_equal(post(w, AUTH("iam"),
                          "Action=AttachRolePolicy&RoleName=cni&PolicyArn=arn:aws:iam::aws:policy/"
                          "AmazonEKS_CNI_Policy"),
                     200);
    assert_int_equal(post(w, authorization, "Action=AssignPrivateIpAddresses&Version=2016-11-15&DryRun=true"), 412);
    assert_non_null(strstr(w->answer.body, "<Code>DryRunOperation</Code>"));
    assert_int_equal(post(w, NULL, "Action=GetCallerIdentity"), 403);
    assert_string_equal(at(w, "Error.Code"), "MissingAuthenticationToken");
    assert_int_equal(post(w, NULL, "Action=AssumeRole&RoleArn=x"), 403);
    assert_int_equal(post(w, AUTH("sts"), "Action=GetCallerIdentity&Version=2011-06-15"), 200);
    assert_string_equal(at(w, "GetCallerIdentityResult.Arn"), "arn:aws:iam::111122223333:root");
    assert_int_equal(get(w, NULL, "/",
                         "Action=GetCallerIdentity&X-Amz-Credential=AKIAROOT%2F20260102%2Fus-west-2%2Fsts%2F"
                         "aws4_request"),
                     200);
}

static void ec2_speaks_its_own(void **state) {
    struct wire *w = *state;
    sim_aws_add_node_role(w->aws, "node", NULL, 0);
    sim_aws_run_instance(w->aws, "i-1", "node", "prod");
    assert_int_equal(post(w, AUTH("ec2"), "Action=DescribeInstances&Filter.1.Name=instance-id&Filter.1.Value.1=i-1"),
                     200);
    assert_non_null(strstr(w->answer.body, "xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15"));
    const json *i = json_first(json_array(json_first(json_array(w->value, "reservationSet")), "instancesSet"));
    assert_string_equal(json_str(i, "instanceId"), "i-1");
    assert_string_equal(json_str(i, "instanceState.name"), "running");
    assert_int_equal(strlen(at(w, "requestId")), 36);
    assert_int_equal(post(w, AUTH("ec2"), "Action=DescribeInstances&Filter.1.Name=instance-id&Filter.1.Value.1=i-2"),
                     200);
    assert_non_null(strstr(w->answer.body, "<reservationSet/>"));
}

static void eks_speaks_json(void **state) {
    struct wire *w = *state;
    assert_int_equal(get(w, AUTH("eks"), "/clusters/prod", ""), 200);
    assert_string_equal(at(w, "cluster.identity.oidc.issuer"), ISSUER);
    assert_null(w->answer.error_type);
    assert_int_equal(get(w, AUTH("eks"), "/clusters/prod/addons/vpc-cni", ""), 404);
    assert_string_equal(w->answer.error_type, "ResourceNotFoundException");
    assert_string_equal(at(w, "__type"), "ResourceNotFoundException");
    assert_string_equal(at(w, "message"), "No addon: vpc-cni found in cluster: prod");
    sim_aws_set_association(w->aws, "{}");
    assert_int_equal(get(w, AUTH("eks"), "/clusters/prod/pod-identity-associations",
                         "namespace=kube-system&serviceAccount=aws%2Dnode"),
                     200);
    assert_int_equal(json_array_size(json_array(w->value, "associations")), 1);
    assert_int_equal(get(w, AUTH("eks"), "/clusters/prod/pod-identity-associations", "namespace=x"), 200);
    assert_int_equal(json_array_size(json_array(w->value, "associations")), 0);
    assert_int_equal(get(w, AUTH("eks"), "/clusters/prod/node-groups", ""), 200);
    assert_int_equal(get(w, AUTH("eks"), "/clusters/prod/node-groups/x", ""), 404);
    assert_int_equal(get(w, AUTH("eks"), "/clusters/%70rod", "clusterName=other&name=other"), 200);
    assert_int_equal(get(w, AUTH("eks"), "/clusters/other", ""), 404);
    assert_int_equal(get(w, AUTH("eks"), "/clusters/%zz", ""), 400);
    assert_int_equal(get(w, AUTH("eks"), "/nothing/at/all", ""), 400);
    assert_string_equal(at(w, "__type"), "InvalidRequestException");
    assert_int_equal(get(w, NULL, "/clusters/prod", ""), 403);
    assert_string_equal(w->answer.error_type, "MissingAuthenticationTokenException");
}

static int eks_do(struct wire *w, const char *method, const char *path, const char *body, size_t n) {
    struct sim_http_request req = {
        .method = method, .path = path, .query = "", .authorization = AUTH("eks"), .body = body, .body_len = n};
    return ask(w, &req);
}
#define EKS(w, method, path, body) eks_do(w, method, path, body, sizeof(body) - 1)
#define ADDONS "/clusters/prod/addons"
#define ASSOCIATIONS "/clusters/prod/pod-identity-associations"

static void eks_is_changed(void **state) {
    struct wire *w = *state;
    char path[200];
    assert_int_equal(EKS(w, "POST", ADDONS, "{\"addonName\":\"vpc-cni\",\"serviceAccountRoleArn\":\"arn:x\"}"), 200);
    assert_string_equal(at(w, "addon.status"), "CREATING");
    assert_int_equal(EKS(w, "POST", ADDONS, "{\"addonName\":\"vpc-cni\"}"), 409);
    assert_int_equal(EKS(w, "POST", ADDONS, "{\"addonName\":\"coredns\"}"), 200);
    assert_int_equal(get(w, AUTH("eks"), ADDONS "/vpc-cni", ""), 200);
    assert_string_equal(at(w, "addon.serviceAccountRoleArn"), "arn:x");
    assert_string_equal(at(w, "addon.status"), "ACTIVE");
    assert_int_equal(EKS(w, "DELETE", ADDONS "/vpc-cni", ""), 200);
    assert_int_equal(EKS(w, "DELETE", ADDONS "/vpc-cni", ""), 404);
    assert_int_equal(get(w, AUTH("eks"), ADDONS, ""), 200);
    assert_int_equal(json_array_size(json_array(w->value, "addons")), 1);
    static const char one[] = "{\"namespace\":\"kube-system\",\"serviceAccount\":\"aws-node\",\"roleArn\":\"arn:x\"}";
    assert_int_equal(EKS(w, "POST", ASSOCIATIONS, one), 200);
    (void)snprintf(path, sizeof path, ASSOCIATIONS "/%s", at(w, "association.associationId"));
    assert_int_equal(EKS(w, "POST", ASSOCIATIONS, one), 409);
    assert_int_equal(get(w, AUTH("eks"), path, ""), 200);
    assert_string_equal(at(w, "association.roleArn"), "arn:x");
    assert_int_equal(EKS(w, "DELETE", path, ""), 200);
    assert_int_equal(EKS(w, "DELETE", path, ""), 404);
}

static void addons_and_associations_are_updated(void **state) {
    struct wire *w = *state;
    char path[200];
    assert_int_equal(EKS(w, "POST", ADDONS, "{\"addonName\":\"vpc-cni\",\"serviceAccountRoleArn\":\"arn:x\"}"), 200);
    assert_int_equal(EKS(w, "POST", ADDONS "/vpc-cni/update", "{\"serviceAccountRoleArn\":\"\"}"), 400);
    assert_int_equal(EKS(w, "POST", ADDONS "/none/update", "{}"), 404);
    static const char own[] =
        "{\"clientRequestToken\":\"t\",\"podIdentityAssociations\":[{\"serviceAccount\":\"aws-node\","
        "\"roleArn\":\"arn:y\"}]}";
    assert_int_equal(EKS(w, "POST", ADDONS "/vpc-cni/update", own), 200);
    assert_string_equal(at(w, "update.status"), "InProgress");
    (void)snprintf(path, sizeof path, "/clusters/prod/updates/%s", at(w, "update.id"));
    assert_int_equal(EKS(w, "POST", ADDONS "/vpc-cni/update", own), 200); /* the same request, the same update */
    assert_string_equal(at(w, "update.id"), path + strlen("/clusters/prod/updates/"));
    assert_int_equal(EKS(w, "POST", ADDONS "/vpc-cni/update", "{}"), 409);
    assert_int_equal(get(w, AUTH("eks"), path, "addonName=vpc-cni"), 200);
    assert_int_equal(get(w, AUTH("eks"), path, ""), 404); /* of the cluster itself there are none */
    assert_int_equal(get(w, AUTH("eks"), "/clusters/prod/updates", "addonName=vpc-cni"), 200);
    assert_int_equal(json_array_size(json_array(w->value, "updateIds")), 1);
    assert_int_equal(get(w, AUTH("eks"), ADDONS "/vpc-cni", ""), 200);
    assert_string_equal(at(w, "addon.status"), "UPDATING");
    assert_null(json_str(w->value, "addon.serviceAccountRoleArn")); /* not named, and gone */
    assert_int_equal(json_array_size(json_array(w->value, "addon.podIdentityAssociations")), 1);
    (void)snprintf(path, sizeof path, ASSOCIATIONS "%s",
                   strrchr(json_first(json_array(w->value, "addon.podIdentityAssociations"))->valuestring, '/'));
    assert_int_equal(EKS(w, "DELETE", path, ""), 400); /* the add-on's */
    assert_int_equal(EKS(w, "DELETE", ADDONS "/vpc-cni", ""), 200);
    assert_int_equal(EKS(w, "DELETE", path, ""), 404);
    static const char one[] = "{\"namespace\":\"a\",\"serviceAccount\":\"b\",\"roleArn\":\"arn:x\"}";
    assert_int_equal(EKS(w, "POST", ASSOCIATIONS, one), 200);
    (void)snprintf(path, sizeof path, ASSOCIATIONS "/%s", at(w, "association.associationId"));
    assert_int_equal(EKS(w, "POST", path, "{}"), 400);
    assert_int_equal(EKS(w, "POST", path, "{\"roleArn\":\"arn:y\"}"), 200);
    assert_string_equal(at(w, "association.roleArn"), "arn:y");
    assert_int_equal(get(w, AUTH("eks"), "/access-policies", ""), 200);
    assert_int_equal(json_array_size(json_array(w->value, "accessPolicies")), 5);
    assert_int_equal(
        get(w, AUTH("eks"), "/clusters/prod/access-entries/arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx/access-policies", ""),
        404);
    assert_string_equal(w->answer.error_type, "ResourceNotFoundException");
}

static void signatures_are_of_now(void **state) {
    struct wire *w = *state;
    static const struct {
        const char *authorization, *date;
        int status;
        const char *code;
    } rows[] = {{AUTH("iam"), "19700101T000000Z", 403, "SignatureDoesNotMatch"},
                {AUTH("sts"), "29700101T000000Z", 403, "SignatureDoesNotMatch"},
                {AUTH("ec2"), "19700101T000000Z", 400, "RequestExpired"},
                {AUTH("eks"), "19700101T000000Z", 403, "InvalidSignatureException"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim_http_request req = {.method = "GET",
                                       .path = i == 3 ? "/clusters/prod" : "/",
                                       .query = i == 3 ? "" : "Action=ListRoles",
                                       .authorization = rows[i].authorization,
                                       .date = rows[i].date,
                                       .body = ""};
        assert_int_equal(ask(w, &req), rows[i].status);
        assert_non_null(strstr(w->answer.body, rows[i].code));
    }
}

static void bodies_of_eks_are_looked_at(void **state) {
    struct wire *w = *state;
    assert_int_equal(EKS(w, "POST", ADDONS, ""), 400);
    assert_int_equal(EKS(w, "POST", ADDONS, "[]"), 400);
    assert_int_equal(EKS(w, "POST", ADDONS, "{\"addonName\":7}"), 400);
    assert_int_equal(EKS(w, "POST", ADDONS, "{}\0"), 400);
    assert_string_equal(w->answer.error_type, "SerializationException");
    assert_int_equal(EKS(w, "POST", ASSOCIATIONS, "{\"namespace\":\"kube-system\"}"), 400);
    assert_string_equal(w->answer.error_type, "InvalidParameterException");
    assert_int_equal(EKS(w, "POST", "/clusters/other/addons", "{\"addonName\":\"x\"}"), 404);
    assert_int_equal(EKS(w, "PUT", ADDONS, "{}"), 400);
    assert_int_equal(get(w, AUTH("eks"), ADDONS, ""), 200);
    assert_int_equal(json_array_size(json_array(w->value, "addons")), 0);
}

static void garbage_is_refused_and_changes_nothing(void **state) {
    struct wire *w = *state;
    static const struct {
        const char *authorization, *body;
        int status;
        const char *code;
    } rows[] = {
        {AUTH("iam"), "", 400, "MissingAction"},
        {AUTH("iam"), "Action=", 400, "MissingAction"},
        {AUTH("iam"), "Action=<script>", 400, "InvalidAction"},
        {AUTH("iam"), "Action=NoSuch", 400, "InvalidAction"},
        {AUTH("iam"), "Action=CreateRole&RoleName=%zz&AssumeRolePolicyDocument=" TRUST, 400, "MalformedQueryString"},
        {AUTH("iam"), "Action=CreateRole&RoleName=x%00&AssumeRolePolicyDocument=" TRUST, 400, "MalformedQueryString"},
        {AUTH("iam"), "Action=CreateRole&RoleName=%ff&AssumeRolePolicyDocument=" TRUST, 400, "MalformedQueryString"},
        {AUTH("iam"), "Action=CreateRole&RoleName=\xc3&AssumeRolePolicyDocument=" TRUST, 400, "MalformedQueryString"},
        {AUTH("iam"), "Action=CreateRole&RoleName=x%01&AssumeRolePolicyDocument=" TRUST, 400, "ValidationError"},
        {AUTH("iam"), "Action=CreateRole&RoleName=x&AssumeRolePolicyDocument=%5B%5B%5B", 400,
         "MalformedPolicyDocument"},
        {AUTH("iam"), "&&&=&=x&Action", 400, "MissingAction"},
        {AUTH("s3"), "Action=ListRoles", 400, "IncompleteSignature"},
        {"AWS4-HMAC-SHA256 Credential=/20260102/us-west-2/iam/aws4_request", "Action=ListRoles", 400,
         "IncompleteSignature"},
        {"AWS4-HMAC-SHA256 Credential=AKIAROOT/iam", "Action=ListRoles", 400, "IncompleteSignature"},
        {"AWS4-HMAC-SHA256 Credential=", "Action=ListRoles", 400, "IncompleteSignature"},
        {"Bearer x", "Action=ListRoles", 400, "IncompleteSignature"},
        {"", "Action=ListRoles", 400, "IncompleteSignature"},
        {"AWS4-HMAC-SHA256 Credential=AKIANOBODY/20260102/us-west-2/iam/aws4_request", "Action=ListRoles", 403,
         "InvalidClientTokenId"},
        {NULL, "Action=CreateRole&RoleName=x&AssumeRolePolicyDocument=" TRUST, 403, "MissingAuthenticationToken"},
        {AUTH("ec2"), "Action=CreateRole&RoleName=x&AssumeRolePolicyDocument=" TRUST, 400, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status = post(w, rows[i].authorization, rows[i].body);
        if (status != rows[i].status || (rows[i].code != NULL && !str_eq(at(w, "Error.Code"), rows[i].code))) {
            fail_msg("%s: %d %s", rows[i].body, status, w->answer.body);
        }
    }
    struct sim_http_request cut = {.method = "POST",
                                   .path = "/",
                                   .query = "",
                                   .authorization = AUTH("iam"),
                                   .body = "Action=ListRoles\0x",
                                   .body_len = 18};
    assert_int_equal(ask(w, &cut), 400);
    cut.body_len = SIM_AWS_BODY_MAX + 1;
    assert_int_equal(ask(w, &cut), 413);
    assert_int_equal(post(w, AUTH("iam"), "Action=ListRoles"), 200);
    assert_non_null(strstr(w->answer.body, "<Roles/>"));
}

/* Bytes of a good request, changed at random: always an answer that the product can read. */
static void any_bytes_are_answered(void **state) {
    struct wire *w = *state;
    static const char good[] =
        "Action=CreateRole&Version=2010-05-08&RoleName=cni&Tags.member.1.Key=k&Tags.member.1.Value=v&"
        "AssumeRolePolicyDocument=" TRUST;
    struct prng p;
    prng_seed(&p, 1);
    for (int round = 0; round < 3000; round++) {
        char body[sizeof good];
        memcpy(body, good, sizeof good);
        for (uint64_t n = 1 + prng_below(&p, 4); n > 0; n--) {
            body[prng_below(&p, sizeof good - 1)] = (char)(1 + prng_below(&p, 255));
        }
        int status = post(w, AUTH("iam"), body);
        assert_true(status == 200 || (status >= 400 && status < 500));
        status = post(w, AUTH("iam"), "Action=DeleteRole&RoleName=cni");
        assert_true(status == 200 || status == 404);
    }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(iam_speaks_query),
        TEST(sts_takes_tokens_unsigned),
        TEST(ec2_speaks_its_own),
        TEST(eks_speaks_json),
        TEST(eks_is_changed),
        TEST(addons_and_associations_are_updated),
        TEST(signatures_are_of_now),
        TEST(bodies_of_eks_are_looked_at),
        TEST(garbage_is_refused_and_changes_nothing),
        TEST(any_bytes_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
