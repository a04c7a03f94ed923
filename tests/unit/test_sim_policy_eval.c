/* The simulated account's evaluator: wildcards, statements, conditions, trust, and what IAM refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <string.h>
#include <cmocka.h>

#include "simulator/policy_eval.h"

static json *parse(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    if (j == NULL) {
        fail_msg("%s: %s", text, err.message);
    }
    return j;
}

static void wildcards(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool ignore_case, matches;
    } rows[] = {
        {"*", "", false, true},
        {"", "", false, true},
        {"", "a", false, false},
        {"ec2:*", "ec2:DescribeInstances", false, true},
        {"ec2:Describe*", "ec2:AssignPrivateIpAddresses", false, false},
        {"ec2:*Ip*", "ec2:AssignPrivateIpAddresses", false, true},
        {"EC2:describe?nstances", "ec2:DescribeInstances", true, true},
        {"EC2:describe?nstances", "ec2:DescribeInstances", false, false},
        {"a?c", "ac", false, false},
        {"a*b*c", "aXbYbZc", false, true},
        {"a*b*c", "aXbYbZ", false, false},
        {"***a", "bba", false, true},
        {"?", "", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (policy_wildcard(rows[i].pattern, rows[i].text, rows[i].ignore_case) != rows[i].matches) {
            fail_msg("%s against %s", rows[i].pattern, rows[i].text);
        }
    }
}

struct permission {
    const char *statements, *action, *resource;
    enum policy_verdict verdict;
};

static const struct permission permissions[] = {
    {"{\"Effect\":\"Allow\",\"Action\":\"ec2:*\",\"Resource\":\"*\"}", "ec2:CreateTags", "*", POLICY_ALLOWED},
    {"{\"Effect\":\"Allow\",\"Action\":[\"s3:*\",\"EC2:createtags\"],\"Resource\":[\"x\",\"arn:aws:ec2:*:*:network-"
     "interface/*\"]}",
     "ec2:CreateTags", "arn:aws:ec2:us-west-2:1:network-interface/eni-1", POLICY_ALLOWED},
    {"{\"Effect\":\"Allow\",\"Action\":\"ec2:CreateTags\",\"Resource\":\"arn:aws:ec2:*:*:network-interface/*\"}",
     "ec2:CreateTags", "*", POLICY_NOTHING},
    {"{\"Effect\":\"Allow\",\"Action\":\"ec2:CreateTags\",\"Resource\":\"arn:aws:ec2:*:*:NETWORK-interface/*\"}",
     "ec2:CreateTags", "arn:aws:ec2:us-west-2:1:network-interface/eni-1", POLICY_NOTHING},
    {"{\"Effect\":\"Allow\",\"NotAction\":\"iam:*\",\"Resource\":\"*\"}", "ec2:CreateTags", "*", POLICY_ALLOWED},
    {"{\"Effect\":\"Allow\",\"NotAction\":\"iam:*\",\"Resource\":\"*\"}", "iam:GetRole", "*", POLICY_NOTHING},
    {"{\"Effect\":\"Allow\",\"Action\":\"*\",\"NotResource\":\"a*\"}", "iam:GetRole", "ab", POLICY_NOTHING},
    {"{\"Effect\":\"Allow\",\"Action\":\"*\",\"NotResource\":\"a*\"}", "iam:GetRole", "b", POLICY_ALLOWED},
    {"[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"},{\"Effect\":\"Deny\",\"Action\":\"ec2:Assign*\","
     "\"Resource\":\"*\"}]",
     "ec2:AssignPrivateIpAddresses", "*", POLICY_DENIED},
    {"[{\"Effect\":\"Deny\",\"Action\":\"ec2:Assign*\",\"Resource\":\"*\"},{\"Effect\":\"Allow\",\"Action\":\"*\","
     "\"Resource\":\"*\"}]",
     "ec2:CreateTags", "*", POLICY_ALLOWED},
    {"{\"Effect\":\"allow\",\"Action\":\"*\",\"Resource\":\"*\"}", "ec2:CreateTags", "*", POLICY_NOTHING},
    {"{\"Effect\":\"Allow\",\"Action\":\"*\"}", "ec2:CreateTags", "*", POLICY_NOTHING},
    {"{\"Effect\":\"Allow\",\"Resource\":\"*\"}", "ec2:CreateTags", "*", POLICY_NOTHING},
    {"[]", "ec2:CreateTags", "*", POLICY_NOTHING},
    {"7", "ec2:CreateTags", "*", POLICY_NOTHING},
    {"[[\"x\"],null]", "ec2:CreateTags", "*", POLICY_NOTHING},
};

static void statements(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof permissions / sizeof *permissions; i++) {
        const struct permission *row = &permissions[i];
        json *document = json_object();
        json_add_item(document, "Statement", parse(row->statements));
        struct policy_request r = {.action = row->action, .resource = row->resource};
        if (policy_evaluate(document, &r) != row->verdict) {
            fail_msg("%s: %s on %s", row->statements, row->action, row->resource);
        }
        json_free(document);
    }
    struct policy_request r = {.action = "a:b", .resource = "*"};
    assert_int_equal(policy_evaluate(NULL, &r), POLICY_NOTHING);
}

static void conditions(void **state) {
    (void)state;
    static const struct policy_fact facts[] = {
        {"ISS/id/1:sub", "system:serviceaccount:kube-system:aws-node"},
        {"aws:SourceArn", "arn:aws:eks:us-west-2:1:cluster/prod"},
        {"aws:SecureTransport", "true"},
        {"tags", "a"},
        {"tags", "b"},
    };
    static const struct {
        const char *condition;
        bool applies;
    } rows[] = {
        {"{}", true},
        {"{\"StringEquals\":{\"iss/ID/1:sub\":\"system:serviceaccount:kube-system:aws-node\"}}", true},
        {"{\"stringequals\":{\"ISS/id/1:sub\":[\"x\",\"system:serviceaccount:kube-system:aws-node\"]}}", true},
        {"{\"StringEquals\":{\"ISS/id/1:sub\":\"system:serviceaccount:kube-system:AWS-node\"}}", false},
        {"{\"StringEquals\":{\"ISS/id/1:sub\":\"system:serviceaccount:*\"}}", false},
        {"{\"StringLike\":{\"ISS/id/1:sub\":\"system:serviceaccount:*:aws-????\"}}", true},
        {"{\"StringNotEquals\":{\"ISS/id/1:sub\":\"x\"}}", true},
        {"{\"StringNotEquals\":{\"ISS/id/1:sub\":\"system:serviceaccount:kube-system:aws-node\"}}", false},
        {"{\"StringNotEquals\":{\"absent\":\"x\"}}", true},
        {"{\"StringEquals\":{\"absent\":\"x\"}}", false},
        {"{\"StringEqualsIfExists\":{\"absent\":\"x\"}}", true},
        {"{\"StringEqualsIfExists\":{\"tags\":\"x\"}}", false},
        {"{\"StringEqualsIgnoreCase\":{\"tags\":\"B\"}}", true},
        {"{\"ArnLike\":{\"aws:SourceArn\":\"arn:aws:eks:*:1:cluster/*\"}}", true},
        {"{\"ArnLike\":{\"aws:SourceArn\":\"arn:aws:eks:*:2:cluster/*\"}}", false},
        {"{\"ArnNotLike\":{\"aws:SourceArn\":\"arn:aws:eks:*:2:cluster/*\"}}", true},
        {"{\"Bool\":{\"aws:SecureTransport\":\"true\"}}", true},
        {"{\"Bool\":{\"aws:SecureTransport\":true}}", true},
        {"{\"Bool\":{\"aws:SecureTransport\":\"false\"}}", false},
        {"{\"Null\":{\"absent\":\"true\"}}", true},
        {"{\"Null\":{\"tags\":\"true\"}}", false},
        {"{\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}}", false},
        {"{\"StringEquals\":{\"tags\":\"a\"},\"NumericLessThan\":{\"x\":\"1\"}}", false},
        {"{\"StringEquals\":{\"tags\":\"a\",\"absent\":\"x\"}}", false},
        {"{\"StringEquals\":{\"tags\":[]}}", false},
        {"{\"StringEquals\":\"tags\"}", false},
        {"\"yes\"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json *document = parse("{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"a:b\",\"Resource\":\"*\"}]}");
        json *statement = document->child->child;
        json_add_item(statement, "Condition", parse(rows[i].condition));
        struct policy_request r = {
            .action = "a:b", .resource = "*", .facts = facts, .nfacts = sizeof facts / sizeof *facts};
        if ((policy_evaluate(document, &r) == POLICY_ALLOWED) != rows[i].applies) {
            fail_msg("%s", rows[i].condition);
        }
        json_free(document);
    }
}

static enum policy_verdict trust(const char *principal, const char *action, const struct policy_principal *who) {
    json *document = parse("{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole*\"}}");
    json_add_item(document->child, "Principal", parse(principal));
    struct policy_request r = {.action = action};
    enum policy_verdict v = policy_trusts(document, who, &r);
    json_free(document);
    return v;
}

static void principals(void **state) {
    (void)state;
    const struct policy_principal web = {.federated = "arn:aws:iam::1:oidc-provider/x"},
                                  ec2 = {.service = "ec2.amazonaws.com"}, account = {.account = "111122223333"},
                                  role = {.aws = "arn:aws:iam::111122223333:role/a"};
    const char *with = "sts:AssumeRoleWithWebIdentity", *plain = "sts:AssumeRole";

    assert_int_equal(trust("{\"Federated\":\"arn:aws:iam::1:oidc-provider/x\"}", with, &web), POLICY_ALLOWED);
    assert_int_equal(trust("{\"Federated\":[\"y\",\"arn:aws:iam::1:oidc-provider/x\"]}", with, &web), POLICY_ALLOWED);
    assert_int_equal(trust("{\"Federated\":\"arn:aws:iam::1:oidc-provider/*\"}", with, &web), POLICY_NOTHING);
    assert_int_equal(trust("{\"AWS\":\"arn:aws:iam::1:oidc-provider/x\"}", with, &web), POLICY_NOTHING);
    assert_int_equal(trust("\"*\"", with, &web), POLICY_ALLOWED);
    assert_int_equal(trust("{\"Federated\":\"arn:aws:iam::1:oidc-provider/x\"}", "sts:TagSession", &web),
                     POLICY_NOTHING);
    assert_int_equal(trust("{\"Service\":\"ec2.amazonaws.com\"}", plain, &ec2), POLICY_ALLOWED);
    assert_int_equal(trust("{\"Service\":\"eks.amazonaws.com\"}", plain, &ec2), POLICY_NOTHING);
    assert_int_equal(trust("{\"AWS\":\"arn:aws:iam::111122223333:root\"}", plain, &account), POLICY_ALLOWED);
    assert_int_equal(trust("{\"AWS\":\"111122223333\"}", plain, &account), POLICY_ALLOWED);
    assert_int_equal(trust("{\"AWS\":\"arn:aws:iam::999922223333:root\"}", plain, &account), POLICY_NOTHING);
    assert_int_equal(trust("{\"AWS\":\"arn:aws:iam::111122223333:root\"}", plain, &role), POLICY_NOTHING);
    assert_int_equal(trust("{\"AWS\":\"arn:aws:iam::111122223333:role/a\"}", plain, &role), POLICY_ALLOWED);
    assert_int_equal(trust("{\"AWS\":\"*\"}", plain, &role), POLICY_ALLOWED);
    assert_int_equal(trust("{}", plain, &role), POLICY_NOTHING);
    assert_int_equal(trust("[]", plain, &role), POLICY_NOTHING);
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *document;
        bool is_trust, is_fine;
    } rows[] = {
        {"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"a:b\",\"Resource\":\"*\"}}",
         false, true},
        {"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"a:b\",\"Resource\":\"*\"}}",
         true, false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{\"Service\":\"ec2\"}}]}",
         true, true},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{\"Service\":\"ec2\"}}]}",
         false, false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{\"Who\":\"ec2\"}}]}", true,
         false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{}}]}", true, false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":\"me\"}]}", true, false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"AssumeRole\",\"Principal\":\"*\"}]}", true, false},
        {"{\"Statement\":[{\"Effect\":\"Maybe\",\"Action\":\"a:b\",\"Resource\":\"*\"}]}", false, false},
        {"{\"Statement\":[{\"Action\":\"a:b\",\"Resource\":\"*\"}]}", false, false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Resource\":\"*\"}]}", false, false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[],\"Resource\":\"*\"}]}", false, false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"a:b\"}]}", false, false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"a:b\",\"Resource\":\"*\",\"Condition\":[]}]}", false,
         false},
        {"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"a:b\",\"Resource\":\"*\",\"Condition\":{\"Bool\":1}}]}",
         false, false},
        {"{\"Version\":\"2020-01-01\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"a:b\",\"Resource\":\"*\"}]}",
         false, false},
        {"{\"Statement\":[]}", false, false},
        {"{\"Statement\":[7]}", false, false},
        {"{}", true, false},
        {"[]", true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json *document = parse(rows[i].document);
        if ((policy_document_fault(document, rows[i].is_trust) == NULL) != rows[i].is_fine) {
            fail_msg("%s", rows[i].document);
        }
        json_free(document);
    }
    assert_non_null(policy_document_fault(NULL, true));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wildcards),  cmocka_unit_test(statements), cmocka_unit_test(conditions),
        cmocka_unit_test(principals), cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
