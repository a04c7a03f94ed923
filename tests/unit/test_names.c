/* Names are computed: the same for every try, within IAM's limits, different for what differs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reconcilers/names.h"

static int set_up(void **state) {
    *state = arena_new(0);
    return 0;
}

static int tear_down(void **state) {
    arena_free(*state);
    return 0;
}

static void roles_are_named_after_the_cluster(void **state) {
    char cluster[101];
    memset(cluster, 'x', 100);
    cluster[100] = '\0';
    const char *one = name_default_role("prod", "arn:aws:eks:us-west-2:1:cluster/prod", *state);
    assert_string_equal(one, name_default_role("prod", "arn:aws:eks:us-west-2:1:cluster/prod", *state));
    assert_string_not_equal(one, name_default_role("prod", "arn:aws:eks:us-east-1:1:cluster/prod", *state));
    assert_memory_equal(one, "cni-iam-prod-", 13);
    assert_true(strlen(name_default_role(cluster, "arn:x", *state)) <= ROLE_NAME_MAX);
    assert_string_equal(name_ipv6_policy("r", *state), "r-ipv6");
}

static void arns_are_taken_apart(void **state) {
    assert_string_equal(name_of_arn("arn:aws:iam::1:role/path/to/name"), "name");
    assert_string_equal(name_of_arn("name"), "name");
    assert_null(name_of_arn(NULL));
    assert_string_equal(partition_of_arn("arn:aws-us-gov:iam::1:role/x", *state), "aws-us-gov");
    assert_string_equal(partition_of_arn("arn:aws", *state), "aws");
    assert_string_equal(partition_of_arn("x", *state), "aws");
    assert_string_equal(partition_of_arn(NULL, *state), "aws");
}

static void one_restart_key_for_one_injection(void **state) {
    const char *key = name_restart_key("arn:r", NULL, false, *state);
    assert_int_equal(strlen(key), 16);
    assert_string_equal(key, name_restart_key("arn:r", NULL, false, *state));
    assert_string_not_equal(key, name_restart_key("arn:s", NULL, false, *state));
    assert_string_not_equal(key, name_restart_key("arn:r", "x", false, *state));
    assert_string_not_equal(key, name_restart_key("arn:r", NULL, true, *state));
    assert_string_equal(name_restart_key(NULL, "x", true, *state), "none");
}

static void digests_see_order_and_borders(void **state) {
    struct strlist ab = {0}, ba = {0}, joined = {0};
    strlist_add(&ab, "a", *state);
    strlist_add(&ab, "b", *state);
    strlist_add(&ba, "b", *state);
    strlist_add(&ba, "a", *state);
    strlist_add(&joined, "ab", *state);
    assert_string_not_equal(name_digest(&ab, *state), name_digest(&ba, *state));
    assert_string_not_equal(name_digest(&ab, *state), name_digest(&joined, *state));
    assert_string_equal(name_digest(&ab, *state), name_digest(&ab, *state));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(roles_are_named_after_the_cluster, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arns_are_taken_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_restart_key_for_one_injection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(digests_see_order_and_borders, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
