/* test_options.c - flags, their twins in the environment, which of them wins, and errors that name the flag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <string.h>
#include <cmocka.h>

#include "controller/options.h"

static const char *environment[16][2];
static int nenvironment;
static struct arena *arena;
static struct options o;
static struct error err;

static const char *env(const char *name) {
    for (int i = 0; i < nenvironment; i++)
        if (str_eq(environment[i][0], name))
            return environment[i][1];
    return NULL;
}

static void set_env(const char *name, const char *value) {
    environment[nenvironment][0] = name;
    environment[nenvironment++][1] = value;
}

static int setup(void **state) {
    (void)state;
    nenvironment = 0;
    arena = arena_new(0);
    error_clear(&err);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

static bool parse_n(enum command command, int argc, const char *const *argv) {
    return options_parse(argc, argv, command, env, arena, &o, &err);
}

#define PARSE(command, ...)                                                                                            \
    parse_n((command), (int)(sizeof((const char *const[]){NULL, ##__VA_ARGS__}) / sizeof(char *)) - 1,                 \
            (const char *const[]){NULL, ##__VA_ARGS__} + 1)
#define REFUSED(needle, command, ...)                                                                                  \
    do {                                                                                                               \
        assert_false(PARSE((command), __VA_ARGS__));                                                                   \
        assert_int_equal(err.code, ERR_INVALID);                                                                       \
        if (!strstr(err.message, (needle)))                                                                            \
            fail_msg("\"%s\" does not hold \"%s\"", err.message, (needle));                                            \
    } while (0)

static void test_the_defaults_are_the_contract(void **state) {
    (void)state;
    assert_true(PARSE(COMMAND_CONTROLLER));
    assert_true(o.leader_elect);
    assert_int_equal(o.lease_duration_ms, 15000);
    assert_int_equal(o.renew_deadline_ms, 10000);
    assert_int_equal(o.retry_period_ms, 2000);
    assert_int_equal(o.aws_audit_interval_ms, 60000);
    assert_string_equal(o.metrics_bind_address, "0");
    assert_string_equal(o.health_probe_bind_address, "0");
    assert_string_equal(o.role_path, "/");
    assert_null(o.kubeconfig);
    assert_null(o.context);
    assert_null(o.cluster_name);
    assert_null(o.region);
    assert_null(o.leader_election_namespace);
    assert_null(o.state_file);
    assert_int_equal(o.allowed_policy_arns.n, 0);
    assert_int_equal(o.log_level, LOG_LEVEL_INFO);
    assert_int_equal(o.log_format, LOG_FORMAT_JSON);
    assert_true(PARSE(COMMAND_PLAN));
    assert_int_equal(o.log_level, LOG_LEVEL_WARN);
    assert_int_equal(o.log_format, LOG_FORMAT_TEXT);
}

/* One row a flag: how it is written, and what shows that it arrived. */
static bool has_all(void) {
    return str_eq(o.kubeconfig, "/k") && str_eq(o.context, "c") && str_eq(o.cluster_name, "prod") &&
           str_eq(o.region, "eu-west-1") && !o.leader_elect && str_eq(o.leader_election_namespace, "ops") &&
           o.lease_duration_ms == 90000 && o.renew_deadline_ms == 30000 && o.retry_period_ms == 500 &&
           o.aws_audit_interval_ms == 300000 && str_eq(o.metrics_bind_address, "127.0.0.1:8080") &&
           str_eq(o.health_probe_bind_address, ":8081") && str_eq(o.state_file, "/s.db") &&
           o.allowed_policy_arns.n == 2 && str_eq(o.allowed_policy_arns.v[1], "arn:aws:iam::1:policy/b") &&
           str_eq(o.role_path, "/cni/") && o.log_level == LOG_LEVEL_DEBUG && o.log_format == LOG_FORMAT_TEXT;
}

static void test_every_flag_with_an_equals_sign(void **state) {
    (void)state;
    assert_true(PARSE(COMMAND_CONTROLLER, "--kubeconfig=/k", "--context=c", "--cluster-name=prod", "--region=eu-west-1",
                      "--leader-elect=false", "--leader-election-namespace=ops", "--leader-elect-lease-duration=1m30s",
                      "--leader-elect-renew-deadline=30s", "--leader-elect-retry-period=500ms",
                      "--aws-audit-interval=5m", "--metrics-bind-address=127.0.0.1:8080",
                      "--health-probe-bind-address=:8081", "--state-file=/s.db",
                      "--allowed-policy-arns=arn:aws:iam::1:policy/a, arn:aws:iam::1:policy/b", "--role-path=/cni/",
                      "--log-level=debug", "--log-format=text"));
    assert_true(has_all());
}

static void test_every_flag_with_the_value_apart(void **state) {
    (void)state;
    assert_true(PARSE(COMMAND_CONTROLLER, "--kubeconfig", "/k", "--context", "c", "--cluster-name", "prod", "--region",
                      "eu-west-1", "--leader-elect", "false", "--leader-election-namespace", "ops",
                      "--leader-elect-lease-duration", "1m30s", "--leader-elect-renew-deadline", "30s",
                      "--leader-elect-retry-period", "500ms", "--aws-audit-interval", "5m", "--metrics-bind-address",
                      "127.0.0.1:8080", "--health-probe-bind-address", ":8081", "--state-file", "/s.db",
                      "--allowed-policy-arns", "arn:aws:iam::1:policy/a,arn:aws:iam::1:policy/b", "--role-path",
                      "/cni/", "--log-level", "debug", "--log-format", "text"));
    assert_true(has_all());
}

static void test_every_flag_from_the_environment(void **state) {
    (void)state;
    set_env("CNI_IAM_KUBECONFIG", "/k");
    set_env("CNI_IAM_CONTEXT", "c");
    set_env("CNI_IAM_CLUSTER_NAME", "prod");
    set_env("CNI_IAM_REGION", "eu-west-1");
    set_env("CNI_IAM_LEADER_ELECT", "0");
    set_env("CNI_IAM_LEADER_ELECTION_NAMESPACE", "ops");
    set_env("CNI_IAM_LEADER_ELECT_LEASE_DURATION", "1m30s");
    set_env("CNI_IAM_LEADER_ELECT_RENEW_DEADLINE", "30s");
    set_env("CNI_IAM_LEADER_ELECT_RETRY_PERIOD", "500ms");
    set_env("CNI_IAM_METRICS_BIND_ADDRESS", "127.0.0.1:8080");
    set_env("CNI_IAM_HEALTH_PROBE_BIND_ADDRESS", ":8081");
    set_env("CNI_IAM_STATE_FILE", "/s.db");
    set_env("CNI_IAM_ALLOWED_POLICY_ARNS", "arn:aws:iam::1:policy/a,arn:aws:iam::1:policy/b");
    set_env("CNI_IAM_ROLE_PATH", "/cni/");
    set_env("CNI_IAM_LOG_LEVEL", "debug");
    set_env("CNI_IAM_LOG_FORMAT", "text");
    assert_true(PARSE(COMMAND_CONTROLLER, "--aws-audit-interval=5m"));
    assert_true(has_all());
    nenvironment = 0;
    set_env("CNI_IAM_AWS_AUDIT_INTERVAL", "90s");
    assert_true(PARSE(COMMAND_CONTROLLER));
    assert_int_equal(o.aws_audit_interval_ms, 90000);
}

static void test_the_command_line_wins_and_the_last_flag_too(void **state) {
    (void)state;
    set_env("CNI_IAM_CLUSTER_NAME", "from-env");
    set_env("CNI_IAM_REGION", "");
    assert_true(PARSE(COMMAND_CONTROLLER, "--cluster-name=first", "--cluster-name", "last"));
    assert_string_equal(o.cluster_name, "last");
    assert_null(o.region); /* empty in the environment: not given */
    assert_true(PARSE(COMMAND_CONTROLLER, "--state-file="));
    assert_string_equal(o.state_file, ""); /* on the command line: none */
}

static void test_a_switch_takes_no_value_or_one(void **state) {
    (void)state;
    set_env("CNI_IAM_LEADER_ELECT", "false");
    assert_true(PARSE(COMMAND_CONTROLLER));
    assert_false(o.leader_elect);
    assert_true(PARSE(COMMAND_CONTROLLER, "--leader-elect"));
    assert_true(o.leader_elect);
    assert_true(PARSE(COMMAND_CONTROLLER, "--leader-elect", "--region=x"));
    assert_true(o.leader_elect);
    assert_string_equal(o.region, "x");
    REFUSED("--leader-elect maybe: write true|false", COMMAND_CONTROLLER, "--leader-elect=maybe");
}

static void test_errors_name_the_flag_and_what_to_write(void **state) {
    (void)state;
    REFUSED("unknown flag --bogus; see --help", COMMAND_CONTROLLER, "--bogus=1");
    REFUSED("unknown flag --kubeconfi;", COMMAND_CONTROLLER, "--kubeconfi=x"); /* no prefixes */
    REFUSED("unknown flag --;", COMMAND_CONTROLLER, "--");
    REFUSED("unknown flag -x;", COMMAND_CONTROLLER, "-x");
    REFUSED("unexpected argument \"prod\"", COMMAND_CONTROLLER, "prod");
    REFUSED("unexpected argument \"-\"", COMMAND_CONTROLLER, "-");
    REFUSED("unexpected argument \"\"", COMMAND_PLAN, "");
    REFUSED("--region needs a value: REGION", COMMAND_CONTROLLER, "--region");
    REFUSED("-f needs a file", COMMAND_PLAN, "-f");
    REFUSED("unknown flag -f;", COMMAND_CONTROLLER, "-f", "x");
    REFUSED("--log-level loud: write LEVEL", COMMAND_CONTROLLER, "--log-level=loud");
    REFUSED("--log-format xml: write FORMAT", COMMAND_CONTROLLER, "--log-format", "xml");
    REFUSED("--aws-audit-interval 5: write a duration such as 15s", COMMAND_CONTROLLER, "--aws-audit-interval=5");
    REFUSED("greater than 0", COMMAND_CONTROLLER, "--aws-audit-interval=0");
    REFUSED("--aws-audit-interval -5s", COMMAND_CONTROLLER, "--aws-audit-interval=-5s");
    REFUSED("--role-path cni", COMMAND_CONTROLLER, "--role-path=cni");
    REFUSED("--role-path /cni must start and end with /", COMMAND_CONTROLLER, "--role-path=/cni");
    REFUSED("--role-path", COMMAND_CONTROLLER, "--role-path=");
    set_env("CNI_IAM_LEADER_ELECT_RETRY_PERIOD", "soon");
    REFUSED("environment CNI_IAM_LEADER_ELECT_RETRY_PERIOD: ", COMMAND_CONTROLLER);
}

static void test_a_typo_in_the_allowed_policies_is_found_at_the_start(void **state) {
    (void)state;
    REFUSED("--allowed-policy-arns AmazonEKS_CNI_Policy", COMMAND_CONTROLLER,
            "--allowed-policy-arns=arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy,AmazonEKS_CNI_Policy");
    assert_true(PARSE(COMMAND_CONTROLLER, "--allowed-policy-arns=arn:aws-cn:iam::aws:policy/AmazonEKS_CNI_Policy,"));
    assert_int_equal(o.allowed_policy_arns.n, 1);
}

static void test_the_election_keeps_its_distances(void **state) {
    (void)state;
    REFUSED("--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline", COMMAND_CONTROLLER,
            "--leader-elect-lease-duration=10s");
    REFUSED("must be greater than 1.2 times --leader-elect-retry-period", COMMAND_CONTROLLER,
            "--leader-elect-renew-deadline=12s", "--leader-elect-retry-period=10s");
    assert_true(PARSE(COMMAND_CONTROLLER, "--leader-elect-lease-duration=12001ms", "--leader-elect-renew-deadline=12s",
                      "--leader-elect-retry-period=9999ms"));
}

static void test_a_subcommand_takes_its_own_flags_only(void **state) {
    (void)state;
    REFUSED("unknown flag --digest", COMMAND_CONTROLLER, "--digest=x");
    REFUSED("unknown flag --leader-elect", COMMAND_PLAN, "--leader-elect");
    REFUSED("unknown flag --region", COMMAND_APPROVE, "--region=x");
    set_env("CNI_IAM_LEADER_ELECT", "nonsense"); /* not a flag of plan: not looked at */
    assert_true(PARSE(COMMAND_PLAN, "-f", "-", "--role-path=/a/"));
    assert_string_equal(o.file, "-");
    assert_true(PARSE(COMMAND_PLAN, "--filename", "b.yaml"));
    assert_string_equal(o.file, "b.yaml");
    assert_true(PARSE(COMMAND_APPROVE, "--digest", "abc", "aws-node"));
    assert_string_equal(o.digest, "abc");
    assert_string_equal(o.name, "aws-node");
    REFUSED("unexpected argument \"two\"", COMMAND_APPROVE, "one", "two");
}

static void test_a_value_has_a_maximum(void **state) {
    (void)state;
    static char text[OPTIONS_VALUE_MAX + 32];
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "--region=", 9);
    REFUSED("--region xxxx", COMMAND_CONTROLLER, text);
    REFUSED("longer than 65536 bytes", COMMAND_CONTROLLER, text);
    text[OPTIONS_VALUE_MAX + 9] = '\0';
    assert_true(PARSE(COMMAND_CONTROLLER, text));
    assert_int_equal(strlen(o.region), OPTIONS_VALUE_MAX);
}

static void test_help_names_every_flag_of_the_subcommand(void **state) {
    (void)state;
    static const char *const names[] = {"--kubeconfig",
                                        "--context",
                                        "--cluster-name",
                                        "--region",
                                        "--leader-elect",
                                        "--leader-election-namespace",
                                        "--leader-elect-lease-duration",
                                        "--leader-elect-renew-deadline",
                                        "--leader-elect-retry-period",
                                        "--aws-audit-interval",
                                        "--metrics-bind-address",
                                        "--health-probe-bind-address",
                                        "--state-file",
                                        "--allowed-policy-arns",
                                        "--role-path",
                                        "--log-level",
                                        "--log-format"};
    const char *text = options_help(COMMAND_CONTROLLER, arena);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(strstr(text, names[i]));
    assert_null(strstr(text, "--digest"));
    assert_non_null(strstr(options_help(COMMAND_APPROVE, arena), "--digest"));
    assert_true(PARSE(COMMAND_CONTROLLER, "--help", "--role-path=bad")); /* who asks for help gets it */
    assert_true(o.help);
    assert_true(PARSE(COMMAND_APPROVE, "-h"));
    assert_true(o.help);
}

static void test_the_demo_has_flags_of_its_own(void **state) {
    (void)state;
    assert_true(PARSE(COMMAND_DEMO));
    assert_false(o.fast || o.keep || o.no_color);
    assert_int_equal(o.seed, 1);
    assert_true(PARSE(COMMAND_DEMO, "--fast", "--seed", "42", "--no-color", "--keep=true"));
    assert_true(o.fast && o.keep && o.no_color);
    assert_int_equal(o.seed, 42);
    REFUSED("--seed many: write a number", COMMAND_DEMO, "--seed", "many");
    REFUSED("unknown flag --fast", COMMAND_CONTROLLER, "--fast");
    REFUSED("unknown flag --kubeconfig", COMMAND_DEMO, "--kubeconfig=x"); /* it touches nothing that is real */
}

static void test_snapshot_and_rehearse_read_alike(void **state) {
    (void)state;
    assert_true(PARSE(COMMAND_REHEARSE));
    assert_true(o.approve && o.iam_lag_ms == 15000 && o.pod_start_ms == 20000 && !o.output && !o.snapshot);
    assert_true(PARSE(COMMAND_REHEARSE, "-f", "b", "-o", "json", "--snapshot=s", "--iam-lag", "1m", "--pod-start=5s",
                      "--approve=false", "--cluster-name=prod"));
    assert_true(!o.approve && o.iam_lag_ms == 60000 && o.pod_start_ms == 5000);
    assert_string_equal(o.output, "json");
    assert_string_equal(o.snapshot, "s");
    assert_true(PARSE(COMMAND_SNAPSHOT, "-o", "s", "-f", "b", "--region=x"));
    assert_string_equal(o.output, "s");
    assert_string_equal(o.file, "b");
    REFUSED("-o needs a value", COMMAND_SNAPSHOT, "-o");
    REFUSED("--iam-lag 15: write a duration", COMMAND_REHEARSE, "--iam-lag=15");
    REFUSED("unknown flag --snapshot", COMMAND_SNAPSHOT, "--snapshot=s");
    REFUSED("unknown flag --iam-lag", COMMAND_PLAN, "--iam-lag=15s");
    REFUSED("unknown flag -o", COMMAND_PLAN, "-o", "x");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_defaults_are_the_contract),
        TEST(test_every_flag_with_an_equals_sign),
        TEST(test_every_flag_with_the_value_apart),
        TEST(test_every_flag_from_the_environment),
        TEST(test_the_command_line_wins_and_the_last_flag_too),
        TEST(test_a_switch_takes_no_value_or_one),
        TEST(test_errors_name_the_flag_and_what_to_write),
        TEST(test_a_typo_in_the_allowed_policies_is_found_at_the_start),
        TEST(test_the_election_keeps_its_distances),
        TEST(test_a_subcommand_takes_its_own_flags_only),
        TEST(test_a_value_has_a_maximum),
        TEST(test_the_demo_has_flags_of_its_own),
        TEST(test_snapshot_and_rehearse_read_alike),
        TEST(test_help_names_every_flag_of_the_subcommand),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
