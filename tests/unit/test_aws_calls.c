/* The AWS client against a peer that answers rightly and wrongly: results, pages, retries, what is never repeated. */
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
#include "support_aws_stage.h"

static struct aws_stage peer;
static struct aws_stage_bench bench;

static int start(void **state) {
    (void)state;
    aws_stage_start(&peer);
    return 0;
}

static int stop(void **state) {
    (void)state;
    aws_stage_stop(&peer);
    return 0;
}

static int open_bench(void **state) {
    (void)state;
    aws_stage_environment(&peer);
    aws_stage_static_keys();
    aws_stage_bench_open(&bench);
    return 0;
}

/* For tests that open their own: libwebsockets leaks where two contexts live at once. */
static int only_environment(void **state) {
    (void)state;
    aws_stage_environment(&peer);
    aws_stage_static_keys();
    return 0;
}

static int close_bench(void **state) {
    (void)state;
    aws_stage_bench_close(&bench);
    return 0;
}

/* One operation with a plan of its own; the number of requests that it took. */
static int requests(enum effect_kind kind, const char *plan, enum err_code code) {
    char needle[96];
    aws_stage_plan(&peer, plan);
    bool role = kind == EFFECT_IAM_GET_ROLE || kind == EFFECT_IAM_CREATE_ROLE || kind == EFFECT_IAM_DELETE_ROLE;
    aws_stage_expect(&bench, kind, role ? "RoleName" : NULL, "r", code);
    (void)snprintf(needle, sizeof needle, "\"key\": \"%s\"", effect_operation(kind));
    return aws_stage_count(&peer, needle);
}

static void results_are_json(void **state) {
    (void)state;
    aws_stage_plan(&peer, "");
    struct aws_stage_reply r = aws_stage_ask(&bench, EFFECT_IAM_GET_ROLE, "RoleName", "a&b <c> +%\xc3\xa9", NULL, NULL);
    assert_int_equal(r.error.code, ERR_NONE);
    assert_int_equal(r.calls, 1);
    assert_string_equal(json_str(r.value, "Role.RoleName"), "a&b <c> +%\xc3\xa9");
    assert_string_equal(json_str(r.value, "Role.AssumeRolePolicyDocument"),
                        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"a+b\"}]}");
    assert_int_equal(json_array_size(json_array(r.value, "Role.Tags")), 1);
    assert_string_equal(r.request_id, "peer-request");
    json_free(r.value);
    r = aws_stage_ask(&bench, EFFECT_IAM_DELETE_ROLE, "RoleName", "r", NULL, NULL);
    assert_int_equal(r.error.code, ERR_NONE);
    json_free(r.value);
    assert_int_equal(aws_stage_count(&peer, "\"answer\": \"ok\""), 2);
}

static void eks_paths_and_bodies(void **state) {
    (void)state;
    aws_stage_plan(&peer, "");
    struct aws_stage_reply r = aws_stage_ask(&bench, EFFECT_EKS_DESCRIBE_CLUSTER, "name", "c", NULL, NULL);
    assert_int_equal(r.error.code, ERR_NONE);
    assert_string_equal(json_str(r.value, "cluster.name"), "c");
    json_free(r.value);
    r = aws_stage_ask(&bench, EFFECT_EKS_DESCRIBE_CLUSTER, "name", "c \xc3\xa9/1", NULL, NULL);
    assert_string_equal(json_str(r.value, "cluster.path"), "/clusters/c%20%C3%A9%2F1");
    json_free(r.value);
    /* Without its label the path would be that of another operation. */
    int before = aws_stage_count(&peer, "\"key\"");
    r = aws_stage_ask(&bench, EFFECT_EKS_DESCRIBE_CLUSTER, "name", "", NULL, NULL);
    assert_int_not_equal(r.error.code, ERR_NONE);
    json_free(r.value);
    aws_stage_expect(&bench, EFFECT_EKS_DESCRIBE_ADDON, "clusterName", "c", r.error.code);
    assert_int_equal(aws_stage_count(&peer, "\"key\""), before);
}

static void pages_are_merged(void **state) {
    (void)state;
    aws_stage_plan(&peer, "");
    struct aws_stage_reply r = aws_stage_ask(&bench, EFFECT_IAM_LIST_ROLES, "PathPrefix", "/x/", NULL, NULL);
    assert_int_equal(r.error.code, ERR_NONE);
    const json *roles = json_array(r.value, "Roles");
    assert_int_equal(json_array_size(roles), 3);
    assert_string_equal(json_str(json_first(roles), "RoleName"), "a");
    assert_string_equal(json_str(json_first(roles)->next->next, "RoleName"), "c");
    json_free(r.value);
    assert_int_equal(aws_stage_count(&peer, "\"PathPrefix\": \"/x/\""), 3);
    r = aws_stage_ask(&bench, EFFECT_EC2_DESCRIBE_INSTANCES, "Filter.1.Name", "vpc-id", "Filter.1.Value.1", "v");
    assert_int_equal(json_array_size(json_array(r.value, "reservationSet")), 3);
    json_free(r.value);
    r = aws_stage_ask(&bench, EFFECT_EKS_LIST_POD_IDENTITY_ASSOCIATIONS, "clusterName", "c", "namespace",
                      "kube-system");
    assert_int_equal(json_array_size(json_array(r.value, "associations")), 2);
    assert_string_equal(json_str(json_first(json_array(r.value, "associations"))->next, "associationId"), "t+/=1");
    json_free(r.value);
}

/* A list that only looks whole would make somebody delete or detach: it is an error. */
static void lists_that_do_not_end(void **state) {
    (void)state;
    aws_stage_plan(&peer, "ListRoles no-marker");
    aws_stage_expect(&bench, EFFECT_IAM_LIST_ROLES, NULL, NULL, ERR_PARSE);
    aws_stage_plan(&peer, "ListRoles endless");
    struct aws_stage_reply r = aws_stage_ask(&bench, EFFECT_IAM_LIST_ROLES, NULL, NULL, NULL, NULL);
    assert_int_not_equal(r.error.code, ERR_NONE);
    assert_null(r.value);
    assert_true(aws_stage_count(&peer, "ListRoles") <= AWS_PAGES_MAX);
    aws_stage_plan(&peer, "ListRoles ok denied");
    aws_stage_expect(&bench, EFFECT_IAM_LIST_ROLES, NULL, NULL, ERR_FORBIDDEN);
    assert_int_equal(requests(EFFECT_IAM_LIST_ROLES, "ListRoles ok throttled ok", ERR_NONE), 4);
}

static void reads_are_repeated(void **state) {
    (void)state;
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole throttled throttled ok", ERR_NONE), 3);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole throttled", ERR_THROTTLED), 3);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole failure ok", ERR_NONE), 2);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole unavailable ok", ERR_NONE), 2);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole lost ok", ERR_NONE), 2);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole half half ok", ERR_NONE), 3);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole throttled-later ok", ERR_NONE), 2);
    /* Verdicts are not. */
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole denied ok", ERR_FORBIDDEN), 1);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole missing ok", ERR_NOT_FOUND), 1);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole quota ok", ERR_QUOTA), 1);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole html-404 ok", ERR_UNSUPPORTED), 1);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole html-500 ok", ERR_UNSUPPORTED), 1);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole redirect ok", ERR_UNSUPPORTED), 1);
}

/* S7: whatever may have been carried out is told to who asked, and never sent again. */
static void writes_are_not(void **state) {
    (void)state;
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole throttled throttled ok", ERR_NONE), 3);
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole lost ok", ERR_LOST), 1);
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole half ok", ERR_LOST), 1);
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole failure ok", ERR_UNAVAILABLE), 1);
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole unavailable ok", ERR_UNAVAILABLE), 1);
    assert_int_equal(requests(EFFECT_IAM_DELETE_ROLE, "DeleteRole hang ok", ERR_TIMEOUT), 1);
    static const char *const unreadable[] = {"garbage", "html-200", "nothing", "other", "error-200", "huge"};
    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++) {
        char plan[64];
        (void)snprintf(plan, sizeof plan, "CreateRole %s ok", unreadable[i]);
        aws_stage_plan(&peer, plan);
        struct aws_stage_reply r = aws_stage_ask(&bench, EFFECT_IAM_CREATE_ROLE, "RoleName", "r", NULL, NULL);
        if (!error_is_ambiguous(r.error.code)) {
            print_error("%s: %s: %s\n", unreadable[i], error_name(r.error.code), r.error.message);
        }
        assert_true(error_is_ambiguous(r.error.code));
        assert_null(r.value);
        assert_int_equal(aws_stage_count(&peer, "CreateRole"), 1);
    }
}

static void answers_that_are_none(void **state) {
    (void)state;
    static const char *const answers[] = {"garbage", "html-200", "nothing", "other", "error-200", "huge"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        char plan[64];
        (void)snprintf(plan, sizeof plan, "GetRole %s\nDescribeInstances %s", answers[i], answers[i]);
        aws_stage_plan(&peer, plan);
        struct aws_stage_reply r = aws_stage_ask(&bench, EFFECT_IAM_GET_ROLE, "RoleName", "r", NULL, NULL);
        assert_int_not_equal(r.error.code, ERR_NONE);
        assert_int_not_equal(r.error.code, ERR_NOT_FOUND);
        assert_null(r.value);
        r = aws_stage_ask(&bench, EFFECT_EC2_DESCRIBE_INSTANCES, NULL, NULL, NULL, NULL);
        assert_int_not_equal(r.error.code, ERR_NONE);
        assert_null(r.value);
    }
    aws_stage_plan(&peer, "eks garbage");
    aws_stage_expect(&bench, EFFECT_EKS_DESCRIBE_CLUSTER, "name", "c", ERR_PARSE);
    aws_stage_plan(&peer, "eks array");
    aws_stage_expect(&bench, EFFECT_EKS_DESCRIBE_CLUSTER, "name", "c", ERR_PARSE);
    aws_stage_plan(&peer, "eks missing");
    aws_stage_expect(&bench, EFFECT_EKS_DESCRIBE_CLUSTER, "name", "c", ERR_NOT_FOUND);
    aws_stage_plan(&peer, "eks html-404");
    aws_stage_expect(&bench, EFFECT_EKS_DESCRIBE_CLUSTER, "name", "c", ERR_UNSUPPORTED);
    aws_stage_plan(&peer, "eks not-found");
    aws_stage_expect(&bench, EFFECT_EKS_DESCRIBE_CLUSTER, "name", "c", ERR_UNSUPPORTED);
}

static void clocks_that_differ(void **state) {
    (void)state;
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole ahead", ERR_NONE), 2);
    /* Learnt: the next one is right at once. */
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole ahead", ERR_NONE), 1);
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole ahead", ERR_NONE), 1);
}

static void a_write_is_repeated_for_the_clock(void **state) {
    (void)state;
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole ahead", ERR_NONE), 2);
    /* Learnt back once, and then it is no matter of the clock. */
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole skew-lie", ERR_UNAUTHORIZED), 2);
}

static void a_clock_that_is_never_right(void **state) {
    (void)state;
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole skew-lie", ERR_UNAUTHORIZED), 1);
}

static bool refuse(void *arg) {
    int *left = arg;
    return (*left)-- > 0;
}

static void the_gate_is_asked_before_each_attempt(void **state) {
    (void)state;
    int left = 0;
    aws_client_set_write_gate(bench.client, refuse, &left);
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole ok", ERR_CANCELLED), 0);
    assert_int_equal(requests(EFFECT_IAM_GET_ROLE, "GetRole ok", ERR_NONE), 1);
    left = 1;
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole throttled ok", ERR_CANCELLED), 1);
    left = 2;
    assert_int_equal(requests(EFFECT_IAM_CREATE_ROLE, "CreateRole throttled ok", ERR_NONE), 2);
}

static void cancelled_is_silent(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct effector x = aws_client_effector(bench.client);
    struct effect *e = effect_new(a, EFFECT_IAM_GET_ROLE, "RoleName", "r", NULL);
    struct aws_stage_reply cancelled = {0}, other = {0};
    aws_stage_plan(&peer, "GetRole short-hang ok");
    x.cancel(x.ctx, x.submit(x.ctx, e, aws_stage_on_reply, &cancelled)); /* before it started */
    uint64_t ticket = x.submit(x.ctx, e, aws_stage_on_reply, &cancelled);
    bool never = false;
    (void)aws_stage_wait(&bench, &never, 500);
    x.cancel(x.ctx, ticket); /* while it waits for the answer */
    x.cancel(x.ctx, ticket);
    (void)x.submit(x.ctx, e, aws_stage_on_reply, &other);
    assert_true(aws_stage_wait(&bench, &other.done, 10000));
    (void)aws_stage_wait(&bench, &never, 4000);
    assert_int_equal(cancelled.calls, 0);
    assert_int_equal(other.error.code, ERR_NONE);
    json_free(other.value);
    arena_free(a);
}

static void many_at_once(void **state) {
    enum { N = 100 };
    (void)state;
    static struct aws_stage_reply replies[N];
    struct arena *a = arena_new(0);
    struct effector x = aws_client_effector(bench.client);
    struct effect *e = effect_new(a, EFFECT_IAM_GET_ROLE, "RoleName", "r", NULL);
    aws_stage_plan(&peer, "");
    memset(replies, 0, sizeof replies);
    for (int i = 0; i < N; i++) {
        (void)x.submit(x.ctx, e, aws_stage_on_reply, &replies[i]);
    }
    for (int i = 0; i < N; i++) {
        assert_true(aws_stage_wait(&bench, &replies[i].done, 30000));
        assert_int_equal(replies[i].error.code, ERR_NONE);
        json_free(replies[i].value);
    }
    arena_free(a);
}

static void free_with_calls_under_way(void **state) {
    (void)state;
    struct aws_stage_bench own;
    struct aws_stage_reply r = {0};
    struct arena *a = arena_new(0);
    aws_stage_plan(&peer, "GetRole short-hang");
    aws_stage_bench_open(&own);
    struct effector x = aws_client_effector(own.client);
    (void)x.submit(x.ctx, effect_new(a, EFFECT_IAM_GET_ROLE, "RoleName", "r", NULL), aws_stage_on_reply, &r);
    for (int i = 0; i < 10; i++) {
        loop_turn(own.loop, 20);
    }
    (void)x.submit(x.ctx, effect_new(a, EFFECT_IAM_GET_ROLE, "RoleName", "r", NULL), aws_stage_on_reply, &r);
    aws_stage_bench_close(&own);
    assert_int_equal(r.calls, 0);
    arena_free(a);
}

static void nobody_listens(void **state) {
    (void)state;
    struct aws_stage_bench own;
    (void)setenv("AWS_ENDPOINT_URL_IAM", "http://127.0.0.1:9", 1);
    aws_stage_bench_open(&own);
    struct aws_stage_reply r = aws_stage_ask(&own, EFFECT_IAM_CREATE_ROLE, "RoleName", "r", NULL, NULL);
    assert_int_equal(r.error.code, ERR_UNREACHABLE);
    aws_stage_bench_close(&own);
    (void)unsetenv("AWS_REGION");
    (void)unsetenv("AWS_ENDPOINT_URL_IAM");
    aws_stage_bench_open(&own);
    aws_stage_expect(&own, EFFECT_STS_GET_CALLER_IDENTITY, NULL, NULL, ERR_INVALID); /* no region */
    aws_stage_bench_close(&own);
}

/* A burst of throttling must not be answered with three times the load for ever. */
static void retries_have_a_budget(void **state) {
    (void)state;
    (void)setenv("AWS_MAX_ATTEMPTS", "1", 1);
    struct aws_stage_bench own;
    aws_stage_bench_open(&own);
    aws_stage_plan(&peer, "GetRole throttled ok");
    aws_stage_expect(&own, EFFECT_IAM_GET_ROLE, "RoleName", "r", ERR_THROTTLED);
    assert_int_equal(aws_stage_count(&peer, "GetRole"), 1);
    aws_stage_bench_close(&own);
}

struct sum {
    uint64_t ok, throttled, forbidden;
};

static void add_stat(void *arg, const struct aws_stat *s) {
    struct sum *sum = arg;
    assert_string_equal(s->service, "iam");
    assert_string_equal(s->operation, "GetRole");
    sum->ok += str_eq(s->outcome, "ok") ? s->count : 0;
    sum->throttled += str_eq(s->outcome, "Throttled") ? s->count : 0;
    sum->forbidden += str_eq(s->outcome, "Forbidden") ? s->count : 0;
}

static void attempts_are_counted(void **state) {
    (void)state;
    struct sum sum = {0};
    (void)requests(EFFECT_IAM_GET_ROLE, "GetRole throttled ok", ERR_NONE);
    (void)requests(EFFECT_IAM_GET_ROLE, "GetRole denied", ERR_FORBIDDEN);
    aws_client_stats(bench.client, add_stat, &sum);
    assert_int_equal(sum.ok, 1);
    assert_int_equal(sum.throttled, 1);
    assert_int_equal(sum.forbidden, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
#define TEST_ALONE(name) cmocka_unit_test_setup(name, only_environment)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(results_are_json),
                                       TEST(eks_paths_and_bodies),
                                       TEST(pages_are_merged),
                                       TEST(lists_that_do_not_end),
                                       TEST(reads_are_repeated),
                                       TEST(writes_are_not),
                                       TEST(answers_that_are_none),
                                       TEST(clocks_that_differ),
                                       TEST(a_write_is_repeated_for_the_clock),
                                       TEST(a_clock_that_is_never_right),
                                       TEST(the_gate_is_asked_before_each_attempt),
                                       TEST(cancelled_is_silent),
                                       TEST(many_at_once),
                                       TEST_ALONE(free_with_calls_under_way),
                                       TEST_ALONE(nobody_listens),
                                       TEST_ALONE(retries_have_a_budget),
                                       TEST(attempts_are_counted)};
    return cmocka_run_group_tests(tests, start, stop);
}
