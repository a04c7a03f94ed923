/* test_sim_kube_schema.c - the CRD at work: defaults, pruning, each rule, and the words of a refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"
#include "support_sim_kube.h"

#include <cmocka.h>

#define CIB "/apis/cniiam.dev/v1alpha1/cniiambindings"
#define CRD "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/cniiambindings.cniiam.dev"
#define MERGE "application/merge-patch+json"

static int setup(void **state) {
    *state = sim_test_open(true);
    return 0;
}

static int teardown(void **state) {
    sim_test_close(*state);
    return 0;
}

static int post_spec(struct sim_test *t, const char *query, const char *spec) {
    char body[8000];
    (void)snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"b\"},\"spec\":%s}", spec);
    char target[200];
    (void)snprintf(target, sizeof target, CIB "%s", query);
    return sim_test_post(t, target, body);
}

static void test_defaults_of_an_empty_spec(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(post_spec(t, "", "{}"), 201);
    const json *spec = json_get(sim_kube_get(t->kube, "cniiambindings", NULL, "b"), "spec");
    assert_string_equal(json_str(spec, "mode"), "Enforce");
    assert_string_equal(json_str(spec, "identity.type"), "IRSA");
    assert_string_equal(json_str(spec, "role.management"), "Manage");
    assert_string_equal(json_str(spec, "permissions.ipFamily"), "Auto");
    assert_int_equal(json_int64_or(spec, "rollout.proofSeconds", -1), 60);
    assert_int_equal(json_int64_or(spec, "rollout.settleSeconds", -1), 30);
    assert_int_equal(json_int64_or(spec, "rollout.progressDeadlineSeconds", -1), 600);
    assert_string_equal(json_str(spec, "nodeRole.detach"), "OnApproval");
    assert_int_equal(json_int64_or(spec, "nodeRole.soakSeconds", -1), 300);
    assert_string_equal(json_str(spec, "deletionPolicy"), "Restore");
    assert_true(cJSON_IsFalse(json_get(spec, "suspend")));
    assert_true(json_is_object(json_get(spec, "serviceAccount")));
    assert_null(json_get(spec, "cluster")); /* it has no default: a default below an absent object is none */
}

static void test_nulls_and_what_is_not_known(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(post_spec(t, "",
                               "{\"mode\":null,\"serviceAccount\":{\"stsRegionalEndpoints\":null},\"modus\":\"x\","
                               "\"rollout\":{\"hurry\":true}}"),
                     201);
    const json *spec = json_get(t->body, "spec");
    assert_string_equal(json_str(spec, "mode"), "Enforce");
    assert_true(cJSON_IsNull(json_path(spec, "serviceAccount.stsRegionalEndpoints"))); /* nullable */
    assert_null(json_get(spec, "modus"));
    assert_null(json_path(spec, "rollout.hurry"));
    assert_int_equal(sim_test_do(t, "DELETE", CIB "/b", NULL, NULL), 200);

    assert_int_equal(post_spec(t, "?fieldValidation=Strict", "{\"modus\":\"x\"}"), 400);
    assert_true(strstr(sim_test_str(t, "message"), "strict decoding error: unknown field \"spec.modus\"") != NULL);
    assert_null(sim_kube_get(t->kube, "cniiambindings", NULL, "b"));
    assert_int_equal(post_spec(t, "", "{}"), 201);
    assert_int_equal(sim_test_do(t, "PATCH", CIB "/b?fieldValidation=Strict", MERGE, "{\"spec\":{\"modus\":\"x\"}}"),
                     422);
    assert_true(strstr(sim_test_cause(t, "patch"), "strict decoding error: unknown field \"spec.modus\"") != NULL);
}

/* ---- refusals ---- */

static const struct refusal {
    const char *spec, *field, *message;
} refusals[] = {
    {"{\"mode\":\"Force\"}", "spec.mode",
     "Unsupported value: \"Force\": supported values: \"Enforce\", \"Plan\", \"Observe\""},
    {"{\"mode\":7}", "spec.mode", "Invalid value: \"integer\": spec.mode in body must be of type string: \"integer\""},
    {"[]", "spec", "Invalid value: \"array\": spec in body must be of type object: \"array\""},
    {"{\"suspend\":\"true\"}", "spec.suspend",
     "Invalid value: \"string\": spec.suspend in body must be of type boolean: \"string\""},
    {"{\"rollout\":{\"proofSeconds\":1.5}}", "spec.rollout.proofSeconds",
     "Invalid value: \"number\": spec.rollout.proofSeconds in body must be of type integer: \"number\""},
    {"{\"rollout\":{\"proofSeconds\":86401}}", "spec.rollout.proofSeconds",
     "Invalid value: 86401: spec.rollout.proofSeconds in body should be less than or equal to 86400"},
    {"{\"rollout\":{\"settleSeconds\":-1}}", "spec.rollout.settleSeconds",
     "Invalid value: -1: spec.rollout.settleSeconds in body should be greater than or equal to 0"},
    {"{\"cluster\":{\"accountID\":\"1234567890123\"}}", "spec.cluster.accountID",
     "Too long: may not be more than 12 bytes"},
    {"{\"nodeRole\":{\"roleARNs\":[\"arn:aws:iam::111122223333:role/a\",\"arn:aws:iam::111122223333:role/a\"]}}",
     "spec.nodeRole.roleARNs[1]", "Duplicate value: \"arn:aws:iam::111122223333:role/a\""},
    {"{\"cluster\":{\"name\":\"-x\"}}", "spec.cluster.name",
     "Invalid value: \"string\": Write the name of the EKS cluster, like prod; it has letters, digits, - and _ and "
     "starts with "
     "a letter or digit."},
    {"{\"cluster\":{\"region\":\"Frankfurt\"}}", "spec.cluster.region",
     "Invalid value: \"string\": Write an AWS Region, like us-west-2."},
    {"{\"cluster\":{\"accountID\":\"12\"}}", "spec.cluster.accountID",
     "Invalid value: \"string\": Write the 12 digits of the AWS account in quotes, like \"111122223333\"."},
    {"{\"identity\":{\"type\":\"PodIdentity\"}}", "spec.identity.type",
     "Invalid value: \"string\": PodIdentity is not supported yet. Write IRSA, or NodeRole to stay on the node role."},
    {"{\"role\":{\"name\":\"a\",\"arn\":\"arn:aws:iam::111122223333:role/a\",\"management\":\"Adopt\"}}", "spec.role",
     "Invalid value: \"object\": role.name and role.arn exclude each other. Write role.name for a role in this "
     "account, or "
     "role.arn for one that exists."},
    {"{\"role\":{\"arn\":\"arn:aws:iam::111122223333:role/a\"}}", "spec.role",
     "Invalid value: \"object\": role.arn names a role that exists. Add management: Adopt to have its trust policy and "
     "permissions kept right, or management: Reference to leave it as it is; or write role.name to have a role made."},
    {"{\"role\":{\"arn\":\"arn:aws:iam::111122223333:role/a\",\"path\":\"/x/\",\"management\":\"Adopt\"}}", "spec.role",
     "Invalid value: \"object\": The path is a part of role.arn. Remove role.path."},
    {"{\"role\":{\"management\":\"Adopt\"}}", "spec.role",
     "Invalid value: \"object\": management: Adopt and management: Reference need a role that exists. Write role.arn "
     "or "
     "role.name."},
    {"{\"role\":{\"name\":\"a\",\"management\":\"Reference\",\"tags\":{\"k\":\"v\"}}}", "spec.role",
     "Invalid value: \"object\": With management: Reference nothing of the role is changed. Remove "
     "permissionsBoundaryARN, "
     "tags, description and maxSessionDurationSeconds, or write management: Adopt."},
    {"{\"role\":{\"name\":\"a/b\"}}", "spec.role.name",
     "Invalid value: \"string\": Write at most 64 letters, digits and the characters _+=,.@- as role.name; a path "
     "belongs into "
     "role.path."},
    {"{\"role\":{\"arn\":\"arn:aws:iam::1:role/a\",\"management\":\"Adopt\"}}", "spec.role.arn",
     "Invalid value: \"string\": Write the ARN of a role, like arn:aws:iam::111122223333:role/name."},
    {"{\"role\":{\"path\":\"cni\"}}", "spec.role.path",
     "Invalid value: \"string\": Write a path that starts and ends with a slash, like /cni/."},
    {"{\"role\":{\"permissionsBoundaryARN\":\"arn:aws:iam::111122223333:role/a\"}}", "spec.role.permissionsBoundaryARN",
     "Invalid value: \"string\": Write the ARN of a policy, like arn:aws:iam::111122223333:policy/boundary."},
    {"{\"role\":{\"tags\":{\"aws:x\":\"v\"}}}", "spec.role.tags",
     "Invalid value: \"object\": The prefixes aws: and cniiam.dev/ are reserved. Write other tag keys."},
    {"{\"role\":{\"tags\":{\"k\":\"a*b\"}}}", "spec.role.tags",
     "Invalid value: \"object\": Write tags of letters, digits, blanks and the characters _.:/=+-@ with keys of 1 to "
     "128 "
     "characters."},
    {"{\"role\":{\"tags\":{\"k\":\"\xf0\x9f\x98\x80\"}}}", "spec.role.tags",
     "Invalid value: \"object\": Write tags of letters, digits, blanks and the characters _.:/=+-@ with keys of 1 to "
     "128 "
     "characters."},
    {"{\"role\":{\"tags\":{\"k\":7}}}", "spec.role.tags.k",
     "Invalid value: \"integer\": spec.role.tags.k in body must be of type string: \"integer\""},
    {"{\"role\":{\"description\":\"\xe2\x82\xac\"}}", "spec.role.description",
     "Invalid value: \"string\": Write a description of Latin-1 characters; IAM takes no others."},
    {"{\"role\":{\"maxSessionDurationSeconds\":60}}", "spec.role.maxSessionDurationSeconds",
     "Invalid value: 60: spec.role.maxSessionDurationSeconds in body should be greater than or equal to 3600"},
    {"{\"permissions\":{\"policyARNs\":[\"AmazonEKS_CNI_Policy\"]}}", "spec.permissions.policyARNs[0]",
     "Invalid value: \"string\": Write ARNs of policies, like arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy."},
    {"{\"nodeRole\":{\"roleARNs\":[\"node\"]}}", "spec.nodeRole.roleARNs[0]",
     "Invalid value: \"string\": Write ARNs of roles, like arn:aws:iam::111122223333:role/node."},
    {"{\"nodeRole\":{\"foreignConsumers\":[\"i 1\"]}}", "spec.nodeRole.foreignConsumers[0]",
     "Invalid value: \"string\": Write ARNs or ids without blanks, like i-0123456789abcdef0."},
};

static void test_refusals(void **state) {
    struct sim_test *t = *state;
    int64_t rv = sim_kube_resource_version(t->kube);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        assert_int_equal(post_spec(t, "", r->spec), 422);
        assert_string_equal(sim_test_cause(t, r->field), r->message);
        assert_string_equal(sim_test_str(t, "reason"), "Invalid");
        assert_true(str_has_prefix(sim_test_str(t, "message"), "CniIamBinding.cniiam.dev \"b\" is invalid: "));
    }
    assert_null(sim_kube_get(t->kube, "cniiambindings", NULL, "b"));
    assert_int_equal(sim_kube_resource_version(t->kube), rv);
}

static void test_a_spec_is_required(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_post(t, CIB, "{\"metadata\":{\"name\":\"b\"}}"), 201); /* spec has a default: {} */
    assert_string_equal(sim_test_str(t, "spec.mode"), "Enforce");
}

static void test_too_many(void **state) {
    struct sim_test *t = *state;
    struct buf b;
    buf_init(&b, 8000);
    (void)buf_puts(&b, "{\"permissions\":{\"policyARNs\":[");
    for (int i = 0; i < 21; i++) {
        (void)buf_printf(&b, "%s\"arn:aws:iam::aws:policy/p%d\"", i > 0 ? "," : "", i);
    }
    (void)buf_puts(&b, "]}}");
    assert_int_equal(post_spec(t, "", buf_str(&b)), 422);
    assert_string_equal(sim_test_cause(t, "spec.permissions.policyARNs"), "Too many: 21: must have at most 20 items");
    buf_reset(&b);
    (void)buf_puts(&b, "{\"role\":{\"tags\":{");
    for (int i = 0; i < 41; i++) {
        (void)buf_printf(&b, "%s\"k%d\":\"\"", i > 0 ? "," : "", i);
    }
    (void)buf_puts(&b, "}}}");
    assert_int_equal(post_spec(t, "", buf_str(&b)), 422);
    assert_string_equal(sim_test_cause(t, "spec.role.tags"), "Too many: 41: must have at most 40 items");
    buf_done(&b);
}

static void test_what_is_accepted(void **state) {
    struct sim_test *t = *state;
    static const char *const specs[] = {
        "{\"role\":{\"arn\":\"arn:aws-us-gov:iam::111122223333:role/a/b/name\",\"management\":\"Adopt\"}}",
        "{\"role\":{\"arn\":\"arn:aws-iso-b:iam::111122223333:role/name\",\"management\":\"Reference\"}}",
        "{\"role\":{\"path\":\"/\",\"name\":\"a\",\"tags\":{\"Gr\xc3\xb6\xc3\x9f \xe6\x97\xa5\":\"a b=c:d@e\"}}}",
        "{\"role\":{\"description\":\"caf\xc3\xa9\\n~\"}}",
        "{\"cluster\":{\"name\":\"prod_1\",\"region\":\"us-gov-west-1\",\"accountID\":\"111122223333\"}}",
        "{\"rollout\":{\"proofSeconds\":0},\"nodeRole\":{\"soakSeconds\":604800,\"foreignConsumers\":[\"i-1\"]}}",
        "{\"permissions\":{\"policyARNs\":[\"arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy\"]}}"};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        assert_int_equal(post_spec(t, "", specs[i]), 201);
        assert_int_equal(sim_test_do(t, "DELETE", CIB "/b", NULL, NULL), 200);
    }
}

/* ---- transitions ---- */

#define HEAD "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"b\"},"

static void test_the_cluster_is_pinned(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(post_spec(t, "", "{\"cluster\":{\"name\":\"prod\"}}"), 201);
    assert_int_equal(sim_test_do(t, "PATCH", CIB "/b", MERGE, "{\"spec\":{\"cluster\":{\"name\":\"other\"}}}"), 200);
    assert_int_equal(
        sim_test_apply(t, CIB "/b/status?fieldManager=op",
                       HEAD "\"status\":{\"cluster\":{\"arn\":\"a\",\"name\":\"prod\",\"region\":\"eu-west-1\"}}}"),
        200);
    /* the stored violation may stay; a change to another wrong name may not */
    assert_int_equal(sim_test_do(t, "PATCH", CIB "/b", MERGE, "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"), 422);
    assert_int_equal(sim_test_do(t, "PATCH", CIB "/b", MERGE, "{\"spec\":{\"cluster\":{\"name\":\"third\"}}}"), 422);
    const char *message = sim_test_cause(t, "spec.cluster.name");
    assert_true(
        str_has_prefix(message, "Forbidden: The binding belongs to the cluster in status.cluster: write that name"));
    assert_int_equal(sim_test_do(t, "PATCH", CIB "/b", MERGE, "{\"spec\":{\"cluster\":null}}"), 200);
    assert_int_equal(sim_test_do(t, "PATCH", CIB "/b", MERGE, "{\"spec\":{\"cluster\":{\"name\":\"other\"}}}"), 422);
    assert_int_equal(sim_test_do(t, "PATCH", CIB "/b", MERGE, "{\"spec\":{\"cluster\":{\"region\":\"us-west-2\"}}}"),
                     422);
    message = sim_test_cause(t, "spec.cluster.region");
    assert_true(
        str_has_prefix(message, "Forbidden: The binding belongs to the cluster in status.cluster: write its region"));
    assert_int_equal(sim_test_do(t, "PATCH", CIB "/b", MERGE, "{\"spec\":{\"cluster\":{\"name\":\"prod\"}}}"), 200);
}

static void test_status_is_checked_too(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(post_spec(t, "", "{}"), 201);
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=op",
                                    HEAD "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"Maybe\"}]}}"),
                     422);
    assert_string_equal(sim_test_cause(t, "status.conditions[0].status"),
                        "Unsupported value: \"Maybe\": supported values: \"True\", \"False\", \"Unknown\"");
    assert_string_equal(sim_test_cause(t, "status.conditions[0].message"), "Required value");
    assert_true(strstr(sim_test_cause(t, "<nil>"), "some validation rules were not checked") != NULL);
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=op",
                                    HEAD "\"status\":{\"rollout\":{\"annotatedAt\":\"yesterday\"}}}"),
                     422);
    assert_string_equal(sim_test_cause(t, "status.rollout.annotatedAt"),
                        "Invalid value: \"yesterday\": status.rollout.annotatedAt in body must be of type date-time: "
                        "\"yesterday\"");
    assert_null(json_get(sim_kube_get(t->kube, "cniiambindings", NULL, "b"), "status"));
}

static void test_big_integers_stay_exact(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(post_spec(t, "", "{}"), 201);
    assert_int_equal(
        sim_test_apply(t, CIB "/b/status?fieldManager=op", HEAD "\"status\":{\"epoch\":9007199254740993}}"), 200);
    assert_int_equal(sim_test_get(t, CIB "/b"), 200);
    assert_true(strstr(t->text, "\"epoch\":9007199254740993") != NULL);
}

/* ---- the CRD ---- */

static void test_printer_columns(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(post_spec(t, "", "{}"), 201);
    assert_int_equal(
        sim_test_apply(t, CIB "/b/status?fieldManager=op",
                       HEAD "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\"Why\","
                            "\"message\":\"m\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}"),
        200);
    assert_int_equal(sim_test_accept(t, CIB, "application/json;as=Table;v=v1;g=meta.k8s.io"), 200);
    const json *cells = json_array(json_first(json_array(t->body, "rows")), "cells");
    const json *it = json_first(cells);
    assert_string_equal(it->valuestring, "b");
    it = it->next;
    assert_string_equal(it->valuestring, "False");
    it = it->next;
    assert_string_equal(it->valuestring, "Why");
    it = it->next;
    assert_string_equal(it->valuestring, "Enforce");
    it = it->next;
    assert_string_equal(it->valuestring, "IRSA");
    it = it->next;
    assert_true(cJSON_IsNull(it)); /* no summary yet */
    const json *column = json_first(json_array(t->body, "columnDefinitions"));
    assert_string_equal(json_str(column, "name"), "Name");
    assert_string_equal(json_str(column->next, "name"), "Ready");
    assert_int_equal(json_array_size(json_array(t->body, "columnDefinitions")), json_array_size(cells));
}

static void test_lists_of_bindings(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(post_spec(t, "", "{}"), 201);
    assert_int_equal(sim_test_get(t, CIB "?limit=500"), 200);
    assert_true(str_has_prefix(t->text, "{\"kind\":\"CniIamBindingList\""));
    assert_string_equal(json_str(json_first(json_array(t->body, "items")), "kind"), "CniIamBinding");
    assert_non_null(json_path(t->body, "metadata.continue"));
    assert_string_equal(sim_test_str(t, "metadata.continue"), "");
    assert_true(strstr(t->text, "\"items\"") < strstr(t->text, "],\"metadata\""));
}

static void test_every_rule_of_the_crd_is_known(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_get(t, CRD), 200);
    assert_null(kube_crd_check(t->body));
    const json *established = json_first(json_array(t->body, "status.conditions"))->next;
    assert_string_equal(json_str(established, "type"), "Established");
    assert_string_equal(json_str(established, "status"), "True");
    /* and one that is not is refused */
    assert_int_equal(
        sim_test_do(t, "PATCH", CRD, "application/json-patch+json",
                    "[{\"op\":\"add\",\"path\":\"/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations/0\","
                    "\"value\":{\"rule\":\"1 == 2\",\"message\":\"Never.\"}}]"),
        422);
    assert_true(strstr(sim_test_str(t, "message"), "does not know the rule 1 == 2") != NULL);
    assert_int_equal(post_spec(t, "", "{}"), 201);
}

static void test_without_a_schema(void **state) {
    (void)state;
    struct sim_test *t = sim_test_open(false);
    assert_int_equal(post_spec(t, "", "{\"anything\":1}"), 201);
    assert_int_equal(json_int64_or(t->body, "spec.anything", 0), 1);
    assert_null(json_path(t->body, "spec.mode"));
    assert_int_equal(sim_test_get(t, CRD), 404);
    sim_test_close(t);
}

/* ---- YAML ---- */

static void test_yaml(void **state) {
    (void)state;
    struct error err = {0};
    const char *text = "a: [1, \"1\", true, \"true\", ~, x]\nb: >-\n  one\n  two\nc: {d: 1.5, e: -3}\n";
    json *j = kube_yaml_parse(text, strlen(text), &err);
    assert_non_null(j);
    char *printed = json_print(j);
    assert_string_equal(printed,
                        "{\"a\":[1,\"1\",true,\"true\",null,\"x\"],\"b\":\"one two\",\"c\":{\"d\":1.5,\"e\":-3}}");
    free(printed);
    json_free(j);
    static const char *const refused[] = {"",     "a: 1\na: 2\n", "a: &x 1\nb: *x\n",
                                          "a: [", "? [a]\n: b\n", "\xff\xfe\xff"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        error_clear(&err);
        assert_null(kube_yaml_parse(refused[i], strlen(refused[i]), &err));
        assert_true(err.code != ERR_NONE);
    }
    char deep[400];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    error_clear(&err);
    assert_null(kube_yaml_parse(deep, strlen(deep), &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults_of_an_empty_spec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nulls_and_what_is_not_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_spec_is_required, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_cluster_is_pinned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status_is_checked_too, setup, teardown),
        cmocka_unit_test_setup_teardown(test_big_integers_stay_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_printer_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists_of_bindings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_rule_of_the_crd_is_known, setup, teardown),
        cmocka_unit_test(test_without_a_schema),
        cmocka_unit_test(test_yaml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
