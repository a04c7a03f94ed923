/* What was read, how long it counts, and what a write makes of it (S7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "reconcilers/observations.h"

static struct observations *map;
static struct arena *a;

static int set_up(void **state) {
    (void)state;
    map = observations_new();
    a = arena_new(0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    observations_free(map);
    observations_free(NULL);
    arena_free(a);
    return 0;
}

static json *text(const char *s) {
    struct error err;
    json *j = json_parse(s, strlen(s), &err);
    assert_non_null(j);
    return j;
}

static struct error failure(enum err_code code) {
    struct error err = {.code = code};
    return err;
}

static void ages_and_passes(void **state) {
    (void)state;
    observations_put(map, "k", text("1"), NULL, 1000);
    assert_non_null(observations_get(map, "k", 999999, 0)); /* of this pass: fresh for every question */
    observations_begin_pass(map);
    assert_non_null(observations_get(map, "k", 2000, 1000));
    assert_null(observations_get(map, "k", 2001, 1000));
    assert_null(observations_get(map, "other", 1000, 1000));
    observations_forget_all(map);
    assert_null(observations_get(map, "k", 1000, 1000));
}

static void errors_count_in_their_own_pass(void **state) {
    (void)state;
    struct error refused = failure(ERR_FORBIDDEN), absent = failure(ERR_NOT_FOUND);
    observations_put(map, "refused", NULL, &refused, 1000);
    observations_put(map, "absent", NULL, &absent, 1000);
    assert_int_equal(observations_get(map, "refused", 1000, 0)->error.code, ERR_FORBIDDEN);
    observations_begin_pass(map);
    assert_null(observations_get(map, "refused", 1000, 1000));
    /* "It is not there" is an answer like any other. */
    assert_int_equal(observations_get(map, "absent", 1000, 1000)->error.code, ERR_NOT_FOUND);
}

static void the_oldest_goes_when_it_is_full(void **state) {
    (void)state;
    char key[32];
    for (int i = 0; i <= OBSERVATIONS_MAX; i++) {
        snprintf(key, sizeof key, "k%d", i);
        observations_put(map, key, text("{}"), NULL, 1000 + i);
    }
    assert_null(observations_get(map, "k0", 1000, 99999));
    assert_non_null(observations_get(map, "k1", 1000, 99999));
    assert_non_null(observations_get(map, key, 1000, 99999));
}

/* --- after a write --- */

static const struct effect *get_role(const char *name) {
    return effect_new(a, EFFECT_IAM_GET_ROLE, "RoleName", name, NULL);
}

static const struct effect *list_attached(const char *name) {
    return effect_new(a, EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "RoleName", name, NULL);
}

static const struct observation *known(const struct effect *e) {
    return observations_get(map, effect_key(e, a), 1000, 1000);
}

static void know(const struct effect *e, const char *value) {
    observations_put(map, effect_key(e, a), text(value), NULL, 1000);
}

static const struct effect *attach(const char *policy) {
    return effect_new(a, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "zz", "PolicyArn", policy, NULL);
}

static void a_created_role_is_known_from_the_answer(void **state) {
    (void)state;
    const struct effect *e =
        effect_new(a, EFFECT_IAM_CREATE_ROLE, "RoleName", "zz", "AssumeRolePolicyDocument", "{}", "Tags.member.1.Key",
                   "k", "Tags.member.1.Value", "v", "Tags.member.2.Value", "stray", NULL);
    json *answer = text("{\"Role\":{\"Arn\":\"arn:r\",\"RoleName\":\"r\"}}");
    observations_absorb(map, e, answer, NULL, 1000);
    const json *role = json_get(known(get_role("zz"))->value, "Role");
    assert_string_equal(json_str(role, "Arn"), "arn:r");
    assert_string_equal(json_str(role, "AssumeRolePolicyDocument"), "{}");
    assert_string_equal(json_str(json_first(json_get(role, "Tags")), "Key"), "k");
    assert_int_equal(json_array_size(json_array(known(list_attached("zz"))->value, "AttachedPolicies")), 0);
    json_free(answer);
    answer = text("{}"); /* an answer without the role proves nothing */
    observations_absorb(map, e, answer, NULL, 1000);
    assert_null(known(get_role("zz")));
    json_free(answer);
}

static void a_created_provider_is_known_from_the_answer(void **state) {
    (void)state;
    const struct effect *get = effect_new(a, EFFECT_IAM_GET_OIDC_PROVIDER, "OpenIDConnectProviderArn", "arn:p", NULL);
    const struct effect *e = effect_new(a, EFFECT_IAM_CREATE_OIDC_PROVIDER, "Url", "https://issuer",
                                        "ClientIDList.member.1", "sts.amazonaws.com", NULL);
    json *empty = text("{}"), *answer = text("{\"OpenIDConnectProviderArn\":\"arn:p\"}");
    observations_absorb(map, e, empty, NULL, 1000);
    assert_null(known(get));
    observations_absorb(map, e, answer, NULL, 1000);
    assert_string_equal(json_str(known(get)->value, "Url"), "issuer");
    struct error lost = failure(ERR_LOST);
    observations_absorb(map, e, NULL, &lost, 1000);
    assert_null(known(get)); /* S7 */
    json_free(empty);
    json_free(answer);
}

static void an_attached_policy_is_added_once(void **state) {
    (void)state;
    observations_absorb(map, attach("arn:x"), NULL, NULL, 1000);
    assert_null(known(list_attached("zz"))); /* nothing was known: nothing is made up */
    assert_non_null(known(attach("arn:x"))); /* the proof of S3 */
    know(list_attached("zz"), "{}");
    observations_absorb(map, attach("arn:x"), NULL, NULL, 1000);
    observations_absorb(map, attach("arn:x"), NULL, NULL, 1000);
    observations_absorb(map, attach("arn:y"), NULL, NULL, 1000);
    assert_int_equal(json_array_size(json_array(known(list_attached("zz"))->value, "AttachedPolicies")), 2);
}

static void a_detachment_ends_the_proof_of_the_attach(void **state) {
    (void)state;
    observations_absorb(map, attach("arn:x"), NULL, NULL, 1000);
    know(get_role("app-x"), "{}");
    observations_absorb(map, effect_new(a, EFFECT_IAM_DETACH_ROLE_POLICY, "RoleName", "zz", "PolicyArn", "arn:x", NULL),
                        NULL, NULL, 1000);
    assert_null(known(attach("arn:x")));
    assert_non_null(known(get_role("app-x")));
}

static void outcomes_decide_what_is_forgotten(void **state) {
    (void)state;
    static const struct {
        enum err_code code;
        bool forgets;
    } rows[] = {{ERR_NONE, true},       {ERR_LOST, true},         {ERR_TIMEOUT, true},      {ERR_UNAVAILABLE, true},
                {ERR_CONFLICT, true},   {ERR_NOT_FOUND, true},    {ERR_FORBIDDEN, false},   {ERR_THROTTLED, false},
                {ERR_CANCELLED, false}, {ERR_UNREACHABLE, false}, {ERR_UNAUTHORIZED, false}};
    const struct effect *e = effect_new(a, EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY, "RoleName", "zz", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = failure(rows[i].code);
        know(get_role("zz"), "{}");
        observations_absorb(map, e, NULL, &err, 1000);
        assert_int_equal(known(get_role("zz")) == NULL, rows[i].forgets);
    }
}

static void a_write_to_the_cluster_forgets_the_cluster_only(void **state) {
    (void)state;
    const struct effect *pods = effect_new(a, EFFECT_K8S_LIST, "resource", "pods", NULL);
    know(pods, "{}");
    know(get_role("zz"), "{}");
    observations_absorb(map, effect_new(a, EFFECT_K8S_DELETE, "resource", "pods", "name", "p", NULL), NULL, NULL, 1000);
    assert_null(known(pods));
    assert_non_null(known(get_role("zz")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ages_and_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_count_in_their_own_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_goes_when_it_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_created_role_is_known_from_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_created_provider_is_known_from_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_attached_policy_is_added_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_detachment_ends_the_proof_of_the_attach, set_up, tear_down),
        cmocka_unit_test_setup_teardown(outcomes_decide_what_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_to_the_cluster_forgets_the_cluster_only, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
