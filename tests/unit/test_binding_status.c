/* test_binding_status.c - .status there and back again, what is cut, and the condition list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crd/binding.h"
#include "crd/binding_status.h"

#define AT INT64_C(1767323045000)

/* Strings up to NULL. */
static struct strlist list(struct arena *a, ...) {
    struct strlist l = {0};
    va_list ap;
    va_start(ap, a);
    for (const char *s = va_arg(ap, const char *); s != NULL; s = va_arg(ap, const char *)) {
        strlist_add(&l, s, a);
    }
    va_end(ap);
    return l;
}

static char *text_of(const struct cib_status *s) {
    json *j = cib_status_encode(s);
    char *text = json_print(j);
    json_free(j);
    return text;
}

/* encode, decode, encode: the second text equals the first. The decoded status lives in the arena. */
static struct cib_status there_and_back(const struct cib_status *s, struct arena *a) {
    struct cib_status back;
    json *j = cib_status_encode(s);
    char *first = json_print(j);
    cib_status_decode(j, &back, a);
    json_free(j);
    char *second = text_of(&back);
    assert_string_equal(first, second);
    free(first);
    free(second);
    return back;
}

static struct cib_status full_status(struct cib_node_role *roles, struct arena *a) {
    struct cib_status s = {.observed_generation = 9007199254740993, .epoch = 3, .phase = "RollingBack"};

    roles[0] = (struct cib_node_role){
        .arn = "arn:r1",
        .name = "r1",
        .attached = list(a, "p1", "p2", NULL),
        .detached = list(a, "p3", NULL),
        .findings = list(a, "inline policy x grants ec2:CreateTags", NULL),
        .may_detach = true,
        .reason = "Ready",
        .message = "m",
        .consumers_known = true,
        .probed_ms = AT,
        .intent = {.action = "Detach", .policy_arn = "p1", .digest = "d", .epoch = 3, .at_ms = AT}};
    roles[1] = (struct cib_node_role){.arn = "arn:r2", .name = "r2", .reason = "ForeignConsumer"};
    s.cluster.name = "prod", s.cluster.region = "us-west-2", s.cluster.arn = "arn:c", s.cluster.issuer = "https://i",
    s.cluster.account_id = "111122223333";
    s.role.arn = "arn:role", s.role.name = "role", s.role.id = "AROA", s.role.created = true;
    s.role.earlier = list(a, "arn:role-before", NULL);
    s.provider.arn = "arn:provider", s.provider.created = true;
    s.policies.arns = list(a, "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy", NULL);
    s.policies.created_arn = "arn:created";
    s.prior.recorded = true, s.prior.role_arn = "", s.prior.worked = true;
    s.rollout.role_arn = "arn:role", s.rollout.annotated_ms = AT, s.rollout.restart_key = "k",
    s.rollout.canary_uid = "cu", s.rollout.canary_ms = AT + 1000;
    s.nodes.total = 10, s.nodes.proven = 9;
    s.node_roles = roles, s.nnode_roles = 2;
    s.gates[0] = (struct cib_gate){"G1", CIB_GATE_PASSED, AT, "provider is right"};
    s.gates[7] = (struct cib_gate){"G8", CIB_GATE_NOT_APPLICABLE, 0, NULL};
    s.plan.digest = "digest", s.plan.steps = list(a, "+ create role", "- detach", NULL);
    s.approval.digest = "digest", s.approval.at_ms = AT, s.approval.used = true;
    s.guard.fired = true, s.guard.reason = "PodOnNodeRole", s.guard.at_ms = AT;
    cib_condition_set(&s, (struct cib_condition){"Ready", CIB_CONDITION_FALSE, "RollingOut", "9 of 10", 4, AT});
    cib_condition_set(&s, (struct cib_condition){"Reconciling", CIB_CONDITION_TRUE, "RollingOut", "", 4, AT});
    return s;
}

static void test_status__there_and_back(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct cib_node_role roles[2];
    struct cib_status s = full_status(roles, a);
    struct cib_status b = there_and_back(&s, a);
    assert_true(b.present);
    assert_int_equal(b.observed_generation, 9007199254740993);
    assert_string_equal(b.cluster.account_id, "111122223333");
    assert_true(b.role.created && b.provider.created && b.prior.recorded && b.prior.worked && b.approval.used &&
                b.guard.fired);
    assert_string_equal(b.role.earlier.v[0], "arn:role-before");
    assert_string_equal(b.prior.role_arn, "");   /* was there, and empty */
    assert_null(b.prior.sts_regional_endpoints); /* was absent */
    assert_int_equal(b.rollout.canary_ms, AT + 1000);
    assert_int_equal(b.nodes.total * 100 + b.nodes.proven, 1009);
    assert_int_equal(b.nnode_roles, 2);
    assert_string_equal(b.node_roles[0].findings.v[0], "inline policy x grants ec2:CreateTags");
    assert_string_equal(b.node_roles[0].intent.action, "Detach");
    assert_int_equal(b.node_roles[0].intent.epoch, 3);
    assert_true(b.node_roles[0].may_detach && b.node_roles[0].consumers_known);
    assert_false(b.node_roles[1].may_detach);
    assert_null(b.node_roles[1].intent.action);
    assert_string_equal(b.gates[0].evidence, "provider is right");
    assert_int_equal(b.gates[7].state, CIB_GATE_NOT_APPLICABLE);
    assert_string_equal(b.gates[3].name, "G4");
    assert_int_equal(b.gates[3].state, CIB_GATE_PENDING);
    assert_int_equal(b.plan.steps.n, 2);
    assert_string_equal(b.phase, "RollingBack");
    assert_int_equal(b.nconditions, 2);
    assert_int_equal(b.conditions[0].last_transition_ms, AT);
    arena_free(a);
}

static void test_status__summary_for_the_printer_column(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct cib_node_role roles[2];
    struct cib_status s = full_status(roles, a);
    char *text = text_of(&s);
    assert_non_null(strstr(text, "\"nodes\":{\"total\":10,\"proven\":9,\"summary\":\"9/10\"}"));
    assert_non_null(strstr(text, "\"observedGeneration\":9007199254740993"));
    free(text);
    arena_free(a);
}

static void test_status__empty(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct cib_status s = {0};
    char *text = text_of(&s);
    assert_true(str_has_prefix(text, "{\"nodes\":{\"total\":0,\"proven\":0,\"summary\":\"0/0\"},\"gates\":["
                                     "{\"name\":\"G1\",\"state\":\"Pending\"},"));
    assert_true(str_has_suffix(text, "{\"name\":\"G8\",\"state\":\"Pending\"}]}"));
    free(text);
    struct cib_status b;
    cib_status_decode(NULL, &b, a);
    assert_false(b.present);
    assert_string_equal(b.phase, "");
    assert_string_equal(b.gates[7].name, "G8");
    arena_free(a);
}

/* Bytes of a foreign server may come to stand in a message: what the API server would refuse is made acceptable. */
static void test_status__cuts_what_the_schema_refuses(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    char *longer = arena_alloc(a, 10001);
    memset(longer, 'x', 10000);
    longer[CIB_TEXT_LINE - 4] = '\xc3'; /* a letter of two bytes across the cut */
    longer[CIB_TEXT_LINE - 3] = '\xbc';
    struct cib_status s = {.phase = longer};
    s.plan.digest = "d";
    s.plan.steps = list(a,
                        "a\xff"
                        "b",
                        "\xc3", NULL);
    s.gates[0] = (struct cib_gate){"G1", CIB_GATE_FAILED, AT, longer};
    cib_condition_set(&s, (struct cib_condition){"Ready", CIB_CONDITION_UNKNOWN, NULL, longer, 1, AT});
    struct cib_status b = there_and_back(&s, a);
    assert_int_equal(strlen(b.gates[0].evidence), CIB_TEXT_LINE - 1); /* the letter is left out whole */
    assert_true(str_has_suffix(b.gates[0].evidence, "x..."));
    assert_int_equal(strlen(b.conditions[0].message), CIB_TEXT_MESSAGE);
    assert_string_equal(b.conditions[0].reason, "Unknown");
    assert_string_equal(b.plan.steps.v[0], "a?b");
    assert_string_equal(b.plan.steps.v[1], "?");
    arena_free(a);
}

static void test_status__lists_end(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct cib_status s = {.nnode_roles = CIB_NODE_ROLES_MAX + 5};
    s.node_roles = ARENA_ARRAY(a, s.nnode_roles, struct cib_node_role);
    for (size_t i = 0; i < s.nnode_roles; i++) {
        s.node_roles[i].arn = arena_printf(a, "arn:%zu", i);
    }
    for (int i = 0; i < CIB_STEPS_MAX + 5; i++) {
        strlist_add(&s.plan.steps, arena_printf(a, "+ %d", i), a);
    }
    struct cib_status b = there_and_back(&s, a);
    assert_int_equal(b.nnode_roles, CIB_NODE_ROLES_MAX);
    assert_int_equal(b.plan.steps.n, CIB_STEPS_MAX);
    arena_free(a);
}

static void test_status_decode__tolerates_garbage(void **state) {
    static const char *const bad[] = {
        "7", "[]",
        "{\"conditions\":7,\"gates\":{\"G1\":1},\"nodeRoles\":[7,{},{\"arn\":7}],\"nodes\":\"x\",\"plan\":[],\"epoch\":"
        "\"x\"}",
        "{\"conditions\":[{\"type\":\"Ready\"},{\"status\":\"True\"},{\"type\":\"A\",\"status\":\"yes\"}]}",
        "{\"gates\":[{\"name\":\"G9\",\"state\":\"Passed\"},{\"name\":\"G1\",\"state\":\"Great\"}],\"plan\":{\"steps\":"
        "[7]}}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct arena *a = arena_new(0);
        struct error err;
        struct cib_status s;
        json *j = json_parse(bad[i], strlen(bad[i]), &err);
        cib_status_decode(j, &s, a);
        assert_int_equal(s.nconditions + s.nnode_roles + s.plan.steps.n, 0);
        assert_int_equal(s.gates[0].state, CIB_GATE_PENDING);
        json_free(j);
        arena_free(a);
    }
}

static void test_status_decode__one_condition_a_type(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct cib_status s;
    json *j = json_object();
    json *list = json_add_array(j, "conditions");
    for (int i = 0; i < 40; i++) {
        json *c = json_object();
        json_add_str(c, "type", arena_printf(a, "T%d", i / 2));
        json_add_str(c, "status", i % 2 ? "False" : "True");
        json_push(list, c);
    }
    cib_status_decode(j, &s, a);
    assert_int_equal(s.nconditions, CIB_CONDITIONS_MAX);
    assert_int_equal(s.conditions[1].status, CIB_CONDITION_TRUE);
    json_free(j);
    arena_free(a);
}

static void test_cib_condition_set__transition_only_with_the_status(void **state) {
    (void)state;
    struct cib_status s = {0};
    cib_condition_set(&s, (struct cib_condition){"Ready", CIB_CONDITION_UNKNOWN, "A", "a", 1, 1000});
    cib_condition_set(&s, (struct cib_condition){"Ready", CIB_CONDITION_UNKNOWN, "B", "b", 2, 2000});
    const struct cib_condition *c = cib_condition_find(&s, "Ready");
    assert_int_equal(c->last_transition_ms, 1000);
    assert_string_equal(c->reason, "B");
    assert_int_equal(c->observed_generation, 2);
    cib_condition_set(&s, (struct cib_condition){"Ready", CIB_CONDITION_TRUE, "C", "", 2, 3000});
    assert_int_equal(cib_condition_find(&s, "Ready")->last_transition_ms, 3000);
    assert_int_equal(s.nconditions, 1);
}

static void test_cib_condition_remove__keeps_the_others_in_order(void **state) {
    (void)state;
    struct cib_status s = {0};
    cib_condition_set(&s, (struct cib_condition){"A", CIB_CONDITION_TRUE, "R", "", 1, 1});
    cib_condition_set(&s, (struct cib_condition){"B", CIB_CONDITION_TRUE, "R", "", 1, 1});
    cib_condition_set(&s, (struct cib_condition){"C", CIB_CONDITION_TRUE, "R", "", 1, 1});
    cib_condition_remove(&s, "B");
    cib_condition_remove(&s, "B");
    assert_int_equal(s.nconditions, 2);
    assert_string_equal(s.conditions[1].type, "C");
    assert_null(cib_condition_find(&s, "B"));
}

static void test_cib_status_apply_document__names_the_object(void **state) {
    (void)state;
    struct cib_binding b = {.name = "aws-node", .uid = "u"};
    struct cib_status s = {0};
    json *with = cib_status_apply_document(&b, &s, "12");
    json *without = cib_status_apply_document(&b, &s, NULL);
    char *text = json_print(with);
    assert_true(
        str_has_prefix(text, "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{"
                             "\"name\":\"aws-node\",\"uid\":\"u\",\"resourceVersion\":\"12\"},\"status\":{\"nodes\":"));
    assert_null(json_path(without, "metadata.resourceVersion"));
    free(text);
    json_free(with);
    json_free(without);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__there_and_back),
        cmocka_unit_test(test_status__summary_for_the_printer_column),
        cmocka_unit_test(test_status__empty),
        cmocka_unit_test(test_status__cuts_what_the_schema_refuses),
        cmocka_unit_test(test_status__lists_end),
        cmocka_unit_test(test_status_decode__tolerates_garbage),
        cmocka_unit_test(test_status_decode__one_condition_a_type),
        cmocka_unit_test(test_cib_condition_set__transition_only_with_the_status),
        cmocka_unit_test(test_cib_condition_remove__keeps_the_others_in_order),
        cmocka_unit_test(test_cib_status_apply_document__names_the_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
