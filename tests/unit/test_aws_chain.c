/* The provider chain against a peer: who wins, what is refused, renewal. The key in use is what GetCallerIdentity says.
 */
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

static int fresh(void **state) {
    (void)state;
    aws_stage_environment(&peer);
    aws_stage_plan(&peer, "");
    return 0;
}

/* A client made for one question. */
static struct error ask_once(char key[128]) {
    struct aws_stage_bench b;
    struct error err;
    aws_stage_bench_open(&b);
    (void)str_copy(key, 128, aws_stage_key_in_use(&b, &err));
    aws_stage_bench_close(&b);
    return err;
}

static void expect_key(const char *prefix) {
    char key[128];
    struct error err = ask_once(key);
    if (err.code != ERR_NONE || !str_has_prefix(key, prefix)) {
        print_error("wanted %s, got \"%s\": %s\n", prefix, key, err.message);
    }
    assert_int_equal(err.code, ERR_NONE);
    assert_true(str_has_prefix(key, prefix));
}

static void expect_none(const char *text) {
    char key[128];
    struct error err = ask_once(key);
    if (err.code != ERR_NO_CREDENTIALS || strstr(err.message, text) == NULL) {
        print_error("wanted \"%s\", got %s: %s\n", text, error_name(err.code), err.message);
    }
    assert_int_equal(err.code, ERR_NO_CREDENTIALS);
    assert_non_null(strstr(err.message, text));
}

static void use_imds(void) {
    (void)unsetenv("AWS_EC2_METADATA_DISABLED");
}

static void use_web_identity(void) {
    aws_stage_write(&peer, "token", "jwt.jwt.jwt\n");
    (void)setenv("AWS_WEB_IDENTITY_TOKEN_FILE", aws_stage_path(&peer, "token"), 1);
    (void)setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/op", 1);
}

static void use_container(void) {
    char url[128];
    (void)snprintf(url, sizeof url, "%s/keys", peer.url);
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
}

static void nothing_at_all(void **state) {
    (void)state;
    expect_none("");
    assert_int_equal(aws_stage_count(&peer, "\"key\""), 0); /* nothing was sent unsigned */
}

static void the_environment(void **state) {
    (void)state;
    aws_stage_static_keys();
    use_web_identity();
    expect_key("AKIDPEER");
    (void)setenv("AWS_ACCESS_KEY_ID", "ASIAENV", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "secret-of-ASIAENV", 1);
    (void)setenv("AWS_SESSION_TOKEN", "token-of-ASIAENV", 1);
    expect_key("ASIAENV");
    /* Half a pair is a mistake, not a reason to be somebody else. */
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
    expect_none("without its secret");
}

static void web_identity(void **state) {
    (void)state;
    use_web_identity();
    use_container();
    use_imds();
    expect_key("ASIAWEB"); /* before the container, before IMDS */
    assert_int_equal(aws_stage_count(&peer, "\"WebIdentityToken\": \"jwt.jwt.jwt\""), 1);
    assert_int_equal(aws_stage_count(&peer, "\"RoleArn\": \"arn:aws:iam::111122223333:role/op\""), 1);
    aws_stage_plan(&peer, "AssumeRoleWithWebIdentity idp throttled ok");
    expect_key("ASIAWEB");
    aws_stage_plan(&peer, "AssumeRoleWithWebIdentity identity");
    expect_none("No OpenIDConnect provider");
    aws_stage_write(&peer, "token", "");
    expect_none("token");
    aws_stage_write(&peer, "token", NULL);
    expect_none("token");
    aws_stage_write(&peer, "token", "t");
    (void)unsetenv("AWS_ROLE_ARN");
    expect_none("AWS_ROLE_ARN");
}

/* A server that can not be reached now is another thing than credentials that are not there. */
static void a_broken_sts_is_temporary(void **state) {
    char key[128];
    (void)state;
    use_web_identity();
    aws_stage_plan(&peer, "AssumeRoleWithWebIdentity lost");
    struct error err = ask_once(key);
    assert_true(error_is_transient(err.code));
    assert_false(error_is_ambiguous(err.code)); /* what was asked for was surely not sent */
}

static void the_shared_files(void **state) {
    (void)state;
    aws_stage_write(&peer, "credentials",
                    "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key=secret-of-AKIDFILE\n"
                    "[other]\naws_access_key_id=ASIAOTHER\naws_secret_access_key=secret-of-ASIAOTHER\n"
                    "aws_session_token=token-of-ASIAOTHER\n[half]\naws_access_key_id=AKIDHALF\n");
    aws_stage_write(&peer, "config",
                    "[profile inconfig]\naws_access_key_id=AKIDCONFIG\n"
                    "aws_secret_access_key=secret-of-AKIDCONFIG\n[default]\nregion=eu-west-1\n");
    expect_key("AKIDFILE");
    (void)setenv("AWS_PROFILE", "other", 1);
    expect_key("ASIAOTHER");
    (void)setenv("AWS_PROFILE", "inconfig", 1);
    expect_key("AKIDCONFIG");
    (void)setenv("AWS_PROFILE", "half", 1);
    expect_none("without its secret");
    aws_stage_static_keys();
    expect_key("AKIDPEER"); /* the environment's keys before a profile's */
}

static void keys_are_read_anew(void **state) {
    struct aws_stage_bench b;
    struct error err;
    (void)state;
    aws_stage_write(&peer, "credentials",
                    "[default]\naws_access_key_id=AKIDOLD\naws_secret_access_key=secret-of-AKIDOLD\n");
    aws_stage_bench_open(&b);
    assert_string_equal(aws_stage_key_in_use(&b, &err), "AKIDOLD");
    aws_stage_write(&peer, "credentials",
                    "[default]\naws_access_key_id=AKIDNEW\naws_secret_access_key=secret-of-AKIDNEW\n");
    aws_stage_plan(&peer, "GetRole expired ok");
    aws_stage_expect(&b, EFFECT_IAM_GET_ROLE, "RoleName", "r", ERR_NONE);
    assert_string_equal(aws_stage_key_in_use(&b, &err), "AKIDNEW");
    aws_stage_bench_close(&b);
}

static void a_profile_s_role(void **state) {
    (void)state;
    aws_stage_write(&peer, "credentials",
                    "[base]\naws_access_key_id=AKIDBASE\naws_secret_access_key=secret-of-AKIDBASE\n");
    aws_stage_write(
        &peer, "config",
        "[profile one]\nrole_arn=arn:aws:iam::111122223333:role/one\nsource_profile=base\nexternal_id=x1\n"
        "duration_seconds=1800\nrole_session_name=me\n"
        "[profile two]\nrole_arn=arn:aws:iam::111122223333:role/two\nsource_profile=one\n"
        "[profile env]\nrole_arn=arn:aws:iam::111122223333:role/env\ncredential_source=Environment\n"
        "[profile imds]\nrole_arn=arn:aws:iam::111122223333:role/imds\ncredential_source=Ec2InstanceMetadata\n"
        "[profile box]\nrole_arn=arn:aws:iam::111122223333:role/box\ncredential_source=EcsContainer\n"
        "[profile a]\nrole_arn=arn:a\nsource_profile=b\n[profile b]\nrole_arn=arn:b\nsource_profile=a\n"
        "[profile lost]\nrole_arn=arn:l\nsource_profile=nowhere\n"
        "[profile mfa]\nrole_arn=arn:l\nsource_profile=base\nmfa_serial=arn:m\n");
    (void)setenv("AWS_PROFILE", "one", 1);
    expect_key("ASIAROLE");
    assert_int_equal(aws_stage_count(&peer, "\"ExternalId\": \"x1\""), 1);
    assert_int_equal(aws_stage_count(&peer, "\"DurationSeconds\": \"1800\""), 1);
    assert_int_equal(aws_stage_count(&peer, "Credential=AKIDBASE/"), 1);
    (void)setenv("AWS_PROFILE", "two", 1);
    aws_stage_plan(&peer, "AssumeRole ok throttled ok");
    expect_key("ASIAROLE");
    assert_int_equal(aws_stage_count(&peer, "role/one"), 1);
    assert_int_equal(aws_stage_count(&peer, "role/two"), 2);
    (void)setenv("AWS_PROFILE", "a", 1);
    expect_none("circle");
    (void)setenv("AWS_PROFILE", "lost", 1);
    expect_none("nowhere");
    (void)setenv("AWS_PROFILE", "mfa", 1);
    expect_none("mfa_serial");
    (void)setenv("AWS_PROFILE", "imds", 1);
    expect_none("IMDS");
    use_imds();
    expect_key("ASIAROLE");
    aws_stage_plan(&peer, "imds-token not-found");
    expect_none("IMDS");
    use_container();
    expect_none("IMDS"); /* the other sources are not asked instead */
    (void)setenv("AWS_PROFILE", "box", 1);
    expect_key("ASIAROLE");
    assert_int_equal(aws_stage_count(&peer, "Credential=ASIAPOD"), 1);
    (void)setenv("AWS_PROFILE", "env", 1);
    expect_none("Environment");
}

static void a_process(void **state) {
    char config[512];
    (void)state;
    const char *path = aws_stage_path(&peer, "out.json");
    (void)snprintf(config, sizeof config, "[default]\ncredential_process = cat '%s'\n", path);
    aws_stage_write(&peer, "config", config);
    aws_stage_write(&peer, "out.json",
                    "{\"Version\":1,\"AccessKeyId\":\"ASIAPROC\",\"SecretAccessKey\":\"secret-of-ASIAPROC\","
                    "\"SessionToken\":\"token-of-ASIAPROC\",\"Expiration\":\"2099-01-01T00:00:00Z\"}");
    expect_key("ASIAPROC");
    aws_stage_write(&peer, "out.json", "{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"B\"}");
    expect_none("Version");
    aws_stage_write(&peer, "out.json", "{\"Version\":1,\"AccessKeyId\":\"A\"}");
    expect_none("SecretAccessKey");
    aws_stage_write(&peer, "out.json", "no json");
    expect_none("credential_process");
    aws_stage_write(&peer, "out.json", NULL);
    use_imds();
    expect_none("credential_process"); /* configured and broken: never the node's role instead */
}

static void a_container(void **state) {
    (void)state;
    use_imds();
    use_container();
    expect_key("ASIAPOD");
    aws_stage_write(&peer, "expected-token", "agent-token");
    expect_none("400");
    aws_stage_write(&peer, "agent", "agent-token\n");
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong", 1);
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", aws_stage_path(&peer, "agent"), 1);
    expect_key("ASIAPOD"); /* the file wins */
    aws_stage_write(&peer, "agent", "agent-token\r\nX-Evil: 1\n");
    expect_none("container");
    (void)unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "agent-token", 1);
    aws_stage_plan(&peer, "container failure failure ok");
    expect_key("ASIAPOD");
    aws_stage_plan(&peer, "container html-200");
    expect_none("container");
    aws_stage_plan(&peer, "container redirect");
    expect_none("301");
    static const char *const elsewhere[] = {"http://192.0.2.1/keys", "http://169.254.1.1/keys", "ftp://127.0.0.1/",
                                            "keys"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", elsewhere[i], 1);
        expect_none("container");
    }
    (void)setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@192.0.2.1/keys", 1);
    expect_none("container");
}

static void the_node(void **state) {
    (void)state;
    use_imds();
    expect_key("ASIAIMDS");
    assert_int_equal(aws_stage_count(&peer, "security-credentials/node-role"), 1);
    aws_stage_plan(&peer, "imds-token not-found");
    expect_none("IMDS");
    aws_stage_plan(&peer, "imds-role not-found"); /* an instance without a profile */
    expect_none("IMDS");
    aws_stage_plan(&peer, "imds-keys not-success");
    expect_none("IMDS");
    aws_stage_plan(&peer, "imds-keys no-keys");
    expect_none("IMDS");
    aws_stage_plan(&peer, "imds-keys old-keys"); /* what IMDS can not renew is used on, as the SDKs do */
    expect_key("ASIAOLD");
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://192.0.2.1", 1);
    expect_none("IMDS");
}

static void renewal(void **state) {
    struct aws_stage_bench b;
    struct error err;
    char first[128];
    (void)state;
    use_web_identity();
    aws_stage_bench_open(&b);
    (void)str_copy(first, sizeof first, aws_stage_key_in_use(&b, &err));
    assert_string_equal(aws_stage_key_in_use(&b, &err), first); /* kept */
    assert_int_equal(aws_stage_count(&peer, "AssumeRoleWithWebIdentity"), 1);
    /* Refused as expired: renewed once, with the token as it is now, and asked again. */
    aws_stage_write(&peer, "token", "rotated");
    aws_stage_plan(&peer, "GetRole expired ok");
    aws_stage_expect(&b, EFFECT_IAM_GET_ROLE, "RoleName", "r", ERR_NONE);
    assert_int_equal(aws_stage_count(&peer, "\"WebIdentityToken\": \"rotated\""), 1);
    aws_stage_plan(&peer, "CreateRole expired ok");
    aws_stage_expect(&b, EFFECT_IAM_CREATE_ROLE, "RoleName", "r", ERR_NONE);
    aws_stage_plan(&peer, "GetRole expired");
    aws_stage_expect(&b, EFFECT_IAM_GET_ROLE, "RoleName", "r", ERR_EXPIRED_CREDENTIALS);
    assert_int_equal(aws_stage_count(&peer, "GetRole"), 2);
    aws_stage_bench_close(&b);
}

/* Ten minutes left: renewal is tried, once for all and not at every call; while it fails the old ones serve. */
static void early_renewal(void **state) {
    struct aws_stage_bench b;
    struct error err;
    (void)state;
    use_web_identity();
    aws_stage_write(&peer, "lifetime", "600");
    aws_stage_plan(&peer, "AssumeRoleWithWebIdentity ok identity");
    aws_stage_bench_open(&b);
    assert_true(str_has_prefix(aws_stage_key_in_use(&b, &err), "ASIAWEB"));
    for (int i = 0; i < 20; i++) {
        assert_true(str_has_prefix(aws_stage_key_in_use(&b, &err), "ASIAWEB"));
    }
    bool never = false;
    (void)aws_stage_wait(&b, &never, 200);
    assert_true(aws_stage_count(&peer, "AssumeRoleWithWebIdentity") <= 3);
    aws_stage_bench_close(&b);
}

static void one_refresh_for_all(void **state) {
    enum { N = 40 };
    static struct aws_stage_reply replies[N];
    struct aws_stage_bench b;
    struct arena *a = arena_new(0);
    (void)state;
    use_web_identity();
    aws_stage_plan(&peer, "AssumeRoleWithWebIdentity short-hang");
    aws_stage_bench_open(&b);
    struct effector x = aws_client_effector(b.client);
    struct effect *e = effect_new(a, EFFECT_IAM_GET_ROLE, "RoleName", "r", NULL);
    uint64_t tickets[N];
    memset(replies, 0, sizeof replies);
    for (int i = 0; i < N; i++) {
        tickets[i] = x.submit(x.ctx, e, aws_stage_on_reply, &replies[i]);
    }
    bool never = false;
    (void)aws_stage_wait(&b, &never, 300);
    x.cancel(x.ctx, tickets[3]); /* while they wait for credentials */
    for (int i = 0; i < N; i++) {
        if (i != 3) {
            assert_true(aws_stage_wait(&b, &replies[i].done, 30000));
            assert_int_equal(replies[i].error.code, ERR_NONE);
        }
        json_free(replies[i].value);
    }
    assert_int_equal(replies[3].calls, 0);
    assert_int_equal(aws_stage_count(&peer, "AssumeRoleWithWebIdentity"), 1);
    aws_stage_bench_close(&b);
    arena_free(a);
}

static void free_while_refreshing(void **state) {
    struct aws_stage_bench b;
    struct aws_stage_reply r = {0};
    struct arena *a = arena_new(0);
    (void)state;
    use_imds();
    aws_stage_plan(&peer, "imds-role short-hang");
    aws_stage_bench_open(&b);
    struct effector x = aws_client_effector(b.client);
    (void)x.submit(x.ctx, effect_new(a, EFFECT_IAM_GET_ROLE, "RoleName", "r", NULL), aws_stage_on_reply, &r);
    bool never = false;
    (void)aws_stage_wait(&b, &never, 300);
    aws_stage_bench_close(&b);
    assert_int_equal(r.calls, 0);
    arena_free(a);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(nothing_at_all),
                                       TEST(the_environment),
                                       TEST(web_identity),
                                       TEST(a_broken_sts_is_temporary),
                                       TEST(the_shared_files),
                                       TEST(keys_are_read_anew),
                                       TEST(a_profile_s_role),
                                       TEST(a_process),
                                       TEST(a_container),
                                       TEST(the_node),
                                       TEST(renewal),
                                       TEST(early_renewal),
                                       TEST(one_refresh_for_all),
                                       TEST(free_while_refreshing)};
    return cmocka_run_group_tests(tests, start, stop);
}
