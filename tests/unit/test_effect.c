/* Effects as values: arguments, copies, descriptions and the canonical key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <string.h>
#include <cmocka.h>

#include "platform/base/str.h"
#include "platform/port/effect.h"

static int with_arena(void **state) {
    *state = arena_new(0);
    return 0;
}

static int without_arena(void **state) {
    arena_free(*state);
    return 0;
}

static void the_table(void **state) {
    (void)state;
    static const struct {
        enum effect_service service;
        const char *name;
    } services[] = {{SERVICE_KUBERNETES, "kubernetes"},
                    {SERVICE_IAM, "iam"},
                    {SERVICE_STS, "sts"},
                    {SERVICE_EKS, "eks"},
                    {SERVICE_EC2, "ec2"},
                    {SERVICE_PROOF, "proof"}};
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        assert_string_equal(effect_service_name(services[i].service), services[i].name);
    }
    for (enum effect_kind k = 0; k < EFFECT_KIND_COUNT; k++) {
        const char *op = effect_operation(k);
        assert_non_null(op);
        bool reads = str_has_prefix(op, "Get") || str_has_prefix(op, "List") || str_has_prefix(op, "Describe") ||
                     str_has_prefix(op, "Simulate");
        bool takes_away = str_has_prefix(op, "Delete") || str_has_prefix(op, "Detach");
        if (effect_service(k) == SERVICE_KUBERNETES || effect_service(k) == SERVICE_PROOF) {
            continue; /* their names say less */
        }
        enum effect_class expected = reads ? EFFECT_READ : (takes_away ? EFFECT_DESTRUCTIVE : EFFECT_WRITE);
        if (effect_class(k) != expected) {
            fail_msg("%s has the class %d", op, (int)effect_class(k));
        }
    }
    assert_int_equal(effect_class(EFFECT_K8S_DELETE), EFFECT_DESTRUCTIVE);
    assert_int_equal(effect_class(EFFECT_K8S_APPLY), EFFECT_WRITE);
    assert_int_equal(effect_class(EFFECT_K8S_POD_DRY_RUN), EFFECT_READ);
}

static void arguments(void **state) {
    struct arena *a = *state;
    struct effect *e = effect_new(a, EFFECT_IAM_TAG_ROLE, "RoleName", "r", "Path", NULL, "Empty", "", NULL);
    assert_int_equal(e->nargs, 2); /* what is NULL is left out, what is empty is not */
    assert_string_equal(effect_arg(e, "RoleName"), "r");
    assert_string_equal(effect_arg(e, "Empty"), "");
    assert_null(effect_arg(e, "Path"));
    assert_null(effect_arg(e, "rolename"));
    char value[] = "v";
    effect_add_arg(e, a, "Tags.member.1.Key", value);
    value[0] = 'x'; /* it was copied */
    assert_string_equal(effect_arg(e, "Tags.member.1.Key"), "v");
    effect_add_arg(e, a, "RoleName", "second"); /* the first one counts */
    assert_string_equal(effect_arg(e, "RoleName"), "r");
    assert_int_equal(effect_new(a, EFFECT_IAM_LIST_ROLES, NULL)->nargs, 0);
}

static void as_many_as_allowed(void **state) {
    struct arena *a = *state;
    struct effect *e = effect_new(a, EFFECT_IAM_TAG_ROLE, NULL);
    for (int i = 0; i < EFFECT_ARGS_MAX; i++) {
        effect_add_arg(e, a, arena_printf(a, "n%d", i), arena_printf(a, "%d", i));
    }
    assert_int_equal(e->nargs, EFFECT_ARGS_MAX);
    for (int i = 0; i < EFFECT_ARGS_MAX; i++) {
        assert_string_equal(e->args[i].name, arena_printf(a, "n%d", i)); /* wire order */
        assert_string_equal(e->args[i].value, arena_printf(a, "%d", i));
    }
}

static void a_copy_stands_alone(void **state) {
    struct arena *b = *state, *a = arena_new(0);
    struct effect *e = effect_new(a, EFFECT_K8S_APPLY, "resource", "serviceaccounts", "name", "x", NULL);
    e->body = arena_strdup(a, "{\"a\":1}");
    struct effect *copy = effect_dup(e, b);
    const char *key = effect_key(e, b);
    arena_free(a);
    assert_string_equal(effect_key(copy, b), key);
    assert_string_equal(copy->body, "{\"a\":1}");
    struct effect *bare = effect_dup(effect_new(b, EFFECT_IAM_LIST_ROLES, NULL), b);
    assert_null(bare->body);
    assert_int_equal(bare->nargs, 0);
}

static void a_description(void **state) {
    struct arena *a = *state;
    char longer[200];
    memset(longer, 'p', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    const struct effect *e =
        effect_new(a, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "r", "PolicyArn", "arn:aws:iam::aws:policy/P", NULL);
    assert_string_equal(effect_describe(e, a), "iam:AttachRolePolicy RoleName=r PolicyArn=arn:aws:iam::aws:policy/P");
    const char *text = effect_describe(effect_new(a, EFFECT_IAM_CREATE_ROLE, "Doc", longer, "RoleName", "r", NULL), a);
    assert_non_null(strstr(text, "ppp... RoleName=r"));
    assert_true(strlen(text) < 160);
}

static void equal_calls_have_equal_keys(void **state) {
    struct arena *a = *state;
    const struct effect *e = effect_new(a, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "r", "PolicyArn", "p", NULL);
    const struct effect *f = effect_new(a, EFFECT_IAM_ATTACH_ROLE_POLICY, "PolicyArn", "p", "RoleName", "r", NULL);
    assert_string_equal(effect_key(e, a), effect_key(f, a));
    assert_string_equal(effect_key(e, a), "iam:AttachRolePolicy PolicyArn=p RoleName=r");
    assert_string_equal(effect_digest(e, a), effect_digest(f, a));
    assert_int_equal(strlen(effect_digest(e, a)), 64);
    assert_string_equal(e->args[0].name, "RoleName"); /* sorting left the effect alone */
}

static void other_calls_have_other_keys(void **state) {
    struct arena *a = *state;
    struct effect *apply = effect_new(a, EFFECT_K8S_APPLY, "name", "x", NULL);
    struct effect *with_body = effect_dup(apply, a);
    with_body->body = "{}";
    struct effect *const other[] = {
        effect_new(a, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "r", "PolicyArn", "p", NULL),
        effect_new(a, EFFECT_IAM_DETACH_ROLE_POLICY, "RoleName", "r", "PolicyArn", "p", NULL),
        effect_new(a, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "r", "PolicyArn", "q", NULL),
        effect_new(a, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "r", NULL),
        effect_new(a, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "r", "PolicyArn", "", NULL),
        apply,
        with_body,
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(effect_key(other[i], a), effect_key(other[j], a));
        }
    }
}

/* The key identifies an observation: no value may pass for another call's arguments. */
static void values_do_not_forge_arguments(void **state) {
    struct arena *a = *state;
    const struct effect *two = effect_new(a, EFFECT_IAM_GET_ROLE, "A", "1", "B", "2", NULL);
    const struct effect *one = effect_new(a, EFFECT_IAM_GET_ROLE, "A", "1 B=2", NULL);
    assert_string_not_equal(effect_key(one, a), effect_key(two, a));
    const struct effect *escaped = effect_new(a, EFFECT_IAM_GET_ROLE, "A", "1\001`B=2", NULL);
    assert_string_not_equal(effect_key(one, a), effect_key(escaped, a));
    const char *arn = "arn:aws:iam::1:policy/50%/p"; /* what a path may hold is found in the key */
    assert_non_null(strstr(effect_key(effect_new(a, EFFECT_IAM_GET_POLICY, "PolicyArn", arn, NULL), a), arn));
    struct effect *body = effect_new(a, EFFECT_IAM_GET_ROLE, "A", "1", NULL);
    body->body = "x";
    const struct effect *text = effect_new(a, EFFECT_IAM_GET_ROLE, "A", "1 body=x", NULL);
    assert_string_not_equal(effect_key(body, a), effect_key(text, a));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_arena, without_arena)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(the_table),
                                       TEST(arguments),
                                       TEST(as_many_as_allowed),
                                       TEST(a_copy_stands_alone),
                                       TEST(a_description),
                                       TEST(equal_calls_have_equal_keys),
                                       TEST(other_calls_have_other_keys),
                                       TEST(values_do_not_forge_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
