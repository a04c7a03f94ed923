/* test_binding.c - .spec: defaults, every rule, and objects that are older than the schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crd/binding.h"

#define HEAD                                                                                                           \
    "{\"apiVersion\":\"cniiam.dev/"                                                                                    \
    "v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"aws-node\",\"uid\":\"u\","                         \
    "\"resourceVersion\":\"5\",\"generation\":2"
#define ROLE_ARN "arn:aws:iam::111122223333:role/cni"

static struct cib_binding *decode(const char *text, struct error *err) {
    json *j = json_parse(text, strlen(text), err);
    if (j == NULL) {
        fail_msg("%s: %s", err->message, text);
    }
    struct cib_binding *b = cib_decode(j, err);
    json_free(j);
    return b;
}

static struct cib_binding *with_spec(const char *spec) {
    static char text[65536];
    struct error err;
    (void)snprintf(text, sizeof text, HEAD "},\"spec\":%s}", spec);
    struct cib_binding *b = decode(text, &err);
    assert_non_null(b);
    return b;
}

static void assert_defaults(const struct cib_spec *s) {
    assert_int_equal(s->mode, CIB_MODE_ENFORCE);
    assert_int_equal(s->identity, CIB_IDENTITY_IRSA);
    assert_int_equal(s->role.management, CIB_MANAGE);
    assert_int_equal(s->permissions.ip_family, CIB_IP_AUTO);
    assert_int_equal(s->node_role.detach, CIB_DETACH_ON_APPROVAL);
    assert_int_equal(s->deletion_policy, CIB_DELETION_RESTORE);
    assert_int_equal(s->rollout.proof_seconds, 60);
    assert_int_equal(s->rollout.settle_seconds, 30);
    assert_int_equal(s->rollout.progress_deadline_seconds, 600);
    assert_int_equal(s->node_role.soak_seconds, 300);
    assert_int_equal(s->sts_regional_endpoints, CIB_UNSET);
    assert_int_equal(s->role.max_session_duration_seconds, 0);
    assert_int_equal(
        s->role.ntags + s->permissions.policy_arns.n + s->node_role.role_arns.n + s->node_role.foreign_consumers.n, 0);
    assert_null(s->cluster.name);
    assert_null(s->cluster.region);
    assert_null(s->cluster.account_id);
    assert_null(s->role.name);
    assert_null(s->role.arn);
    assert_null(s->role.path);
    assert_false(s->suspend);
}

static void test_cib_decode__defaults(void **state) {
    static const char *const specs[] = {
        "{}",
        "null",
        "{\"role\":{},\"cluster\":{},\"rollout\":{},\"nodeRole\":{},\"identity\":{},\"permissions\":{},"
        "\"serviceAccount\":{}}",
        "{\"mode\":null,\"role\":null,\"rollout\":{\"proofSeconds\":null},\"nodeRole\":{\"roleARNs\":null},\"suspend\":"
        "null}",
        "{\"ofALaterVersion\":{\"x\":1}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        struct cib_binding *b = with_spec(specs[i]);
        if (b->spec_error != NULL) {
            fail_msg("%s: %s", specs[i], b->spec_error);
        }
        assert_defaults(&b->spec);
        cib_free(b);
    }
    struct error err;
    struct cib_binding *b = decode(HEAD "}}", &err); /* no spec at all */
    assert_null(b->spec_error);
    assert_defaults(&b->spec);
    cib_free(b);
}

static void test_cib_decode__every_field(void **state) {
    (void)state;
    struct cib_binding *b = with_spec(
        "{\"mode\":\"Plan\",\"cluster\":{\"name\":\"prod\",\"region\":\"us-gov-west-1\",\"accountID\":\"111122223333\"}"
        ","
        "\"identity\":{\"type\":\"NodeRole\"},\"role\":{\"arn\":\"arn:aws-us-gov:iam::111122223333:role/a/b/cni\","
        "\"management\":\"Adopt\",\"permissionsBoundaryARN\":\"arn:aws-us-gov:iam::111122223333:policy/b\","
        "\"tags\":{\"team\":\"net work\",\"empty\":\"\"},\"maxSessionDurationSeconds\":3600,\"description\":\"for the "
        "\\u00fc\"},"
        "\"permissions\":{\"ipFamily\":\"IPv6\",\"policyARNs\":[\"arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy\"]},"
        "\"serviceAccount\":{\"stsRegionalEndpoints\":false},"
        "\"rollout\":{\"proofSeconds\":0,\"settleSeconds\":1,\"progressDeadlineSeconds\":86400},"
        "\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":0,\"roleARNs\":[\"" ROLE_ARN "\",\"" ROLE_ARN "\"],"
        "\"foreignConsumers\":[\"i-0123\"]},\"deletionPolicy\":\"Retain\",\"suspend\":true}");
    const struct cib_spec *s = &b->spec;
    assert_null(b->spec_error);
    assert_int_equal(s->mode, CIB_MODE_PLAN);
    assert_string_equal(s->cluster.name, "prod");
    assert_string_equal(s->cluster.region, "us-gov-west-1");
    assert_string_equal(s->cluster.account_id, "111122223333");
    assert_int_equal(s->identity, CIB_IDENTITY_NODE_ROLE);
    assert_string_equal(s->role.arn, "arn:aws-us-gov:iam::111122223333:role/a/b/cni");
    assert_int_equal(s->role.management, CIB_ADOPT);
    assert_string_equal(s->role.permissions_boundary_arn, "arn:aws-us-gov:iam::111122223333:policy/b");
    assert_int_equal(s->role.ntags, 2);
    assert_string_equal(s->role.tags[0].key, "team");
    assert_string_equal(s->role.tags[0].value, "net work");
    assert_string_equal(s->role.tags[1].value, "");
    assert_int_equal(s->role.max_session_duration_seconds, 3600);
    assert_string_equal(s->role.description, "for the \xc3\xbc");
    assert_int_equal(s->permissions.ip_family, CIB_IP_V6);
    assert_int_equal(s->permissions.policy_arns.n, 1);
    assert_int_equal(s->sts_regional_endpoints, CIB_FALSE);
    assert_int_equal(s->rollout.proof_seconds, 0);
    assert_int_equal(s->rollout.settle_seconds, 1);
    assert_int_equal(s->rollout.progress_deadline_seconds, 86400);
    assert_int_equal(s->node_role.detach, CIB_DETACH_AUTOMATIC);
    assert_int_equal(s->node_role.soak_seconds, 0);
    assert_int_equal(s->node_role.role_arns.n, 1); /* a set */
    assert_string_equal(s->node_role.foreign_consumers.v[0], "i-0123");
    assert_int_equal(s->deletion_policy, CIB_DELETION_RETAIN);
    assert_true(s->suspend);
    cib_free(b);
}

/* What the schema refuses is refused here too, with the field in the sentence. */
static void test_cib_decode__names_what_is_wrong(void **state) {
    static const struct {
        const char *spec, *says;
    } cases[] = {
        {"7", "spec is not valid"},
        {"[]", "spec is not valid"},
        {"{\"mode\":\"enforce\"}", "spec.mode is not valid: write one of Enforce, Plan, Observe"},
        {"{\"mode\":1}", "spec.mode"},
        {"{\"cluster\":7}", "spec.cluster is not valid: write a map"},
        {"{\"cluster\":{\"name\":\"-x\"}}", "spec.cluster.name"},
        {"{\"cluster\":{\"name\":\"\"}}", "spec.cluster.name"},
        {"{\"cluster\":{\"name\":\"a b\"}}", "spec.cluster.name"},
        {"{\"cluster\":{\"region\":\"us-west\"}}", "spec.cluster.region"},
        {"{\"cluster\":{\"region\":\"2\"}}", "spec.cluster.region"},
        {"{\"cluster\":{\"region\":\"evil.example/2\"}}", "spec.cluster.region"},
        {"{\"cluster\":{\"accountID\":111122223333}}", "spec.cluster.accountID"},
        {"{\"cluster\":{\"accountID\":\"1111\"}}", "spec.cluster.accountID"},
        {"{\"identity\":{\"type\":\"irsa\"}}", "spec.identity.type"},
        {"{\"role\":{\"name\":\"a/b\"}}", "spec.role.name"},
        {"{\"role\":{\"name\":\"\"}}", "spec.role.name"},
        {"{\"role\":{\"name\":\"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg\"}}",
         "spec.role.name"},
        {"{\"role\":{\"name\":\"a\",\"arn\":\"" ROLE_ARN "\",\"management\":\"Adopt\"}}", "exclude each other"},
        {"{\"role\":{\"arn\":\"" ROLE_ARN "\"}}", "write management: Adopt or management: Reference"},
        {"{\"role\":{\"arn\":\"" ROLE_ARN "\",\"management\":\"Adopt\",\"path\":\"/x/\"}}", "remove spec.role.path"},
        {"{\"role\":{\"management\":\"Reference\"}}", "write spec.role.arn or spec.role.name"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws:iam::1111:role/x\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:gcp:iam::111122223333:role/x\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws:iam::111122223333:user/x\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws:iam::aws:role/x\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws:iam::111122223333:role/\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws:iam::111122223333:role//x\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws:iam::111122223333:rolex\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws:sts::111122223333:role/x\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws\"}}", "spec.role.arn"},
        {"{\"role\":{\"management\":\"Adopt\",\"arn\":\"arn:aws-iso-:iam::111122223333:role/x\"}}", "spec.role.arn"},
        {"{\"role\":{\"path\":\"cni\"}}", "spec.role.path"},
        {"{\"role\":{\"path\":\"/a//b/\"}}", "spec.role.path"},
        {"{\"role\":{\"path\":\"/a b/\"}}", "spec.role.path"},
        {"{\"role\":{\"permissionsBoundaryARN\":\"" ROLE_ARN "\"}}", "spec.role.permissionsBoundaryARN"},
        {"{\"role\":{\"description\":\"a\\u0007\"}}", "spec.role.description"},
        {"{\"role\":{\"tags\":[\"a\"]}}", "spec.role.tags"},
        {"{\"role\":{\"tags\":{\"aws:x\":\"y\"}}}", "spec.role.tags"},
        {"{\"role\":{\"tags\":{\"AWS:x\":\"y\"}}}", "spec.role.tags"},
        {"{\"role\":{\"tags\":{\"cniiam.dev/managed-by\":\"y\"}}}", "spec.role.tags"},
        {"{\"role\":{\"tags\":{\"\":\"y\"}}}", "spec.role.tags"},
        {"{\"role\":{\"tags\":{\"a\":7}}}", "spec.role.tags"},
        {"{\"role\":{\"tags\":{\"a\":\"<\"}}}", "spec.role.tags"},
        {"{\"role\":{\"maxSessionDurationSeconds\":60}}", "from 3600 to 43200"},
        {"{\"permissions\":{\"ipFamily\":\"ipv4\"}}", "spec.permissions.ipFamily"},
        {"{\"permissions\":{\"policyARNs\":\"x\"}}", "spec.permissions.policyARNs"},
        {"{\"permissions\":{\"policyARNs\":[\"AmazonEKS_CNI_Policy\"]}}", "spec.permissions.policyARNs"},
        {"{\"serviceAccount\":{\"stsRegionalEndpoints\":\"true\"}}", "write true or false"},
        {"{\"rollout\":{\"proofSeconds\":-1}}", "spec.rollout.proofSeconds is not valid: write a whole number from 0"},
        {"{\"rollout\":{\"settleSeconds\":1.5}}", "spec.rollout.settleSeconds"},
        {"{\"rollout\":{\"progressDeadlineSeconds\":86401}}", "spec.rollout.progressDeadlineSeconds"},
        {"{\"nodeRole\":{\"soakSeconds\":9223372036854775808}}", "spec.nodeRole.soakSeconds"},
        {"{\"nodeRole\":{\"detach\":\"Always\"}}", "spec.nodeRole.detach"},
        {"{\"nodeRole\":{\"roleARNs\":[7]}}", "spec.nodeRole.roleARNs"},
        {"{\"nodeRole\":{\"foreignConsumers\":[\"a b\"]}}", "spec.nodeRole.foreignConsumers"},
        {"{\"deletionPolicy\":\"Delete\"}", "spec.deletionPolicy"},
        {"{\"suspend\":\"yes\"}", "spec.suspend"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cib_binding *b = with_spec(cases[i].spec);
        if (b->spec_error == NULL || strstr(b->spec_error, cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].spec, str_or(b->spec_error, "(no complaint)"));
        }
        cib_free(b);
    }
}

static void test_cib_decode__partitions(void **state) {
    static const char *const partitions[] = {"aws",     "aws-cn",    "aws-us-gov", "aws-eusc",
                                             "aws-iso", "aws-iso-b", "aws-iso-f"};
    (void)state;
    for (size_t i = 0; i < sizeof partitions / sizeof partitions[0]; i++) {
        char spec[256];
        (void)snprintf(spec, sizeof spec,
                       "{\"role\":{\"management\":\"Reference\",\"arn\":\"arn:%s:iam::111122223333:role/x\"},"
                       "\"permissions\":{\"policyARNs\":[\"arn:%s:iam::aws:policy/a/b\"]}}",
                       partitions[i], partitions[i]);
        struct cib_binding *b = with_spec(spec);
        if (b->spec_error != NULL) {
            fail_msg("%s: %s", spec, b->spec_error);
        }
        cib_free(b);
    }
}

static void test_cib_decode__lists_end(void **state) {
    (void)state;
    char *spec = malloc(16384);
    strcpy(spec, "{\"nodeRole\":{\"foreignConsumers\":[");
    for (int i = 0; i <= CIB_CONSUMERS_MAX; i++) {
        (void)sprintf(spec + strlen(spec), "%s\"i-%d\"", i ? "," : "", i);
    }
    strcat(spec, "]}}");
    struct cib_binding *b = with_spec(spec);
    assert_non_null(strstr(b->spec_error, "at most 64 items"));
    assert_int_equal(b->spec.node_role.foreign_consumers.n, CIB_CONSUMERS_MAX);
    cib_free(b);
    strcpy(spec, "{\"role\":{\"tags\":{");
    for (int i = 0; i <= CIB_TAGS_MAX; i++) {
        (void)sprintf(spec + strlen(spec), "%s\"k%d\":\"\"", i ? "," : "", i);
    }
    strcat(spec, "}}}");
    b = with_spec(spec);
    assert_non_null(strstr(b->spec_error, "at most 40"));
    cib_free(b);
    free(spec);
}

/* A binding that breaks a rule is still guarded by what else it says. */
static void test_cib_decode__reads_on_after_a_complaint(void **state) {
    (void)state;
    struct cib_binding *b = with_spec("{\"mode\":\"x\",\"role\":{\"name\":\"r\"},\"nodeRole\":{\"detach\":\"Never\"}}");
    assert_non_null(b->spec_error);
    assert_int_equal(b->spec.node_role.detach, CIB_DETACH_NEVER);
    assert_string_equal(b->spec.role.name, "r");
    cib_free(b);
}

static void test_cib_decode__metadata(void **state) {
    (void)state;
    struct error err;
    struct cib_binding *b =
        decode(HEAD ",\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"deletionTimestamp\":\"2026-01-02T03:04:06Z\","
                    "\"finalizers\":[\"x/y\",\"cniiam.dev/restore\"],\"annotations\":{\"cniiam.dev/approve\":\"d\","
                    "\"cniiam.dev/abandon\":\"true\"}},\"spec\":{}}",
               &err);
    assert_string_equal(b->name, "aws-node");
    assert_string_equal(b->uid, "u");
    assert_string_equal(b->resource_version, "5");
    assert_int_equal(b->generation, 2);
    assert_int_equal(b->deletion_ms - b->creation_ms, 1000);
    assert_true(b->has_finalizer);
    assert_int_equal(b->finalizers.n, 2);
    assert_string_equal(b->finalizers.v[0], "x/y");
    assert_string_equal(b->approve, "d");
    assert_string_equal(b->abandon, "true");
    assert_false(b->status.present);
    cib_free(b);
    cib_free(NULL);
}

static void test_cib_decode__of_a_file(void **state) {
    (void)state;
    struct error err;
    struct cib_binding *b =
        decode("{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"a\","
               "\"deletionTimestamp\":\"soon\",\"finalizers\":[7]}}",
               &err);
    assert_string_equal(b->uid, "");
    assert_string_equal(b->resource_version, "");
    assert_int_equal(b->deletion_ms, 1); /* unreadable, but being deleted */
    assert_false(b->has_finalizer);
    assert_int_equal(b->finalizers.n, 1); /* counted, so that indexes agree with the object's */
    cib_free(b);
}

static void test_cib_decode__refuses_other_objects(void **state) {
    static const char *const bad[] = {
        "null",
        "{}",
        "{\"apiVersion\":\"v1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"a\"}}",
        "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}",
        "{\"apiVersion\":\"cniiam.development/v1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"a\"}}",
        "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error err = {0};
        assert_null(decode(bad[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, "write"));
    }
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(cib_mode_name(CIB_MODE_OBSERVE), "Observe");
    assert_string_equal(cib_identity_name(CIB_IDENTITY_POD_IDENTITY), "PodIdentity");
    assert_string_equal(cib_detach_name(CIB_DETACH_NEVER), "Never");
    assert_string_equal(cib_gate_state_name(CIB_GATE_NOT_APPLICABLE), "NotApplicable");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cib_decode__defaults),
        cmocka_unit_test(test_cib_decode__every_field),
        cmocka_unit_test(test_cib_decode__names_what_is_wrong),
        cmocka_unit_test(test_cib_decode__partitions),
        cmocka_unit_test(test_cib_decode__lists_end),
        cmocka_unit_test(test_cib_decode__reads_on_after_a_complaint),
        cmocka_unit_test(test_cib_decode__metadata),
        cmocka_unit_test(test_cib_decode__of_a_file),
        cmocka_unit_test(test_cib_decode__refuses_other_objects),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
