/* test_exec_plugin.c - credential plugins as real processes: what they print, how often they run, what goes wrong
 * (K-A3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "platform/base/log.h"
#include "platform/k8s/exec_plugin.h"
#include "support_k8s_peer.h"

static struct k8s_peer peer;
static struct loop *loop;

static struct k8s_config *config_for(const char *behaviour) {
    struct k8s_config *c = k8s_peer_config(&peer);
    struct exec_config *x = ARENA_NEW(c->arena, struct exec_config);
    x->command = "python3";
    x->api_version = "client.authentication.k8s.io/v1";
    strlist_add(&x->args, TESTS_DIR "/unit/exec_plugin_peer.py", c->arena);
    strlist_add(&x->args, peer.dir, c->arena);
    strlist_add(&x->args, behaviour, c->arena);
    strlist_add(&x->env, "EXTRA=a b", c->arena);
    x->cluster_info = "{\"server\":\"https://h\"}";
    c->exec = x;
    k8s_peer_write(&peer, "runs", NULL);
    return c;
}

static int runs(void) {
    char *text = k8s_peer_read(&peer, "runs");
    int n = atoi(text);
    free(text);
    return n;
}

static const char *authorization(const struct k8s_reply *r) {
    return json_key_str(json_path(r->body, "seen.headers"), "authorization");
}

static void test_plugin__runs_once_and_is_told_what_it_needs(void **state) {
    (void)state;
    struct k8s_config *config = config_for("token");
    struct k8s_client *c = k8s_peer_client(loop, config);
    for (int i = 0; i < 3; i++) {
        struct k8s_reply r = k8s_peer_get(c, "plain");
        assert_int_equal(r.error.code, ERR_NONE);
        assert_string_equal(authorization(&r), "Bearer token-1");
        json_free(r.body);
    }
    assert_int_equal(runs(), 1);
    char *info = k8s_peer_read(&peer, "info");
    assert_string_equal(
        info, "{\"info\": {\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", "
              "\"spec\": {\"cluster\": {\"server\": \"https://h\"}, \"interactive\": false}}, \"extra\": "
              "\"a b\", \"home\": true, \"stdin\": \"\"}");
    free(info);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_plugin__one_run_serves_all_who_wait(void **state) {
    struct k8s_reply replies[5] = {{0}};
    (void)state;
    struct k8s_config *config = config_for("slow");
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_request q = {
        .verb = K8S_VERB_GET, .resource = k8s_resource_find("configmaps"), .ns = "ns", .name = "plain"};
    struct k8s_call *calls[5];
    for (int i = 0; i < 5; i++) {
        calls[i] = k8s_client_send(c, &q, k8s_peer_on_reply, &replies[i]);
    }
    k8s_call_cancel(calls[2]); /* one who waits may leave */
    for (int i = 0; i < 5; i++) {
        assert_true(i == 2 || k8s_peer_wait(loop, &replies[i].done, 5000));
        assert_int_equal(replies[i].error.code, ERR_NONE);
        json_free(replies[i].body);
    }
    assert_false(replies[2].done);
    assert_int_equal(runs(), 1);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_plugin__runs_again_once_after_401(void **state) {
    (void)state;
    struct k8s_config *config = config_for("forever");
    struct k8s_client *c = k8s_peer_client(loop, config);
    k8s_peer_write(&peer, "valid-tokens", "token-1");
    struct k8s_reply r = k8s_peer_get(c, "plain");
    assert_int_equal(r.error.code, ERR_NONE);
    json_free(r.body);
    k8s_peer_write(&peer, "valid-tokens", "token-2");
    r = k8s_peer_do(c, K8S_VERB_UPDATE, "plain");
    assert_int_equal(r.error.code, ERR_NONE);
    assert_string_equal(authorization(&r), "Bearer token-2");
    json_free(r.body);
    assert_int_equal(runs(), 2);
    /* The server will not have any: one more run, then it is an error. */
    k8s_peer_write(&peer, "valid-tokens", "none-of-them");
    r = k8s_peer_get(c, "plain");
    assert_int_equal(r.error.code, ERR_UNAUTHORIZED);
    assert_int_equal(runs(), 3);
    k8s_peer_write(&peer, "valid-tokens", NULL);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_plugin__expired_credentials_serve_who_waited_and_nobody_else(void **state) {
    (void)state;
    struct k8s_config *config = config_for("expired");
    struct k8s_client *c = k8s_peer_client(loop, config);
    for (int i = 1; i <= 2; i++) {
        struct k8s_reply r = k8s_peer_get(c, "plain");
        assert_int_equal(r.error.code, ERR_NONE);
        json_free(r.body);
        assert_int_equal(runs(), i);
    }
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_plugin__certificates(void **state) {
    (void)state;
    struct k8s_config *config = config_for("cert");
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    assert_int_equal(r.error.code, ERR_NONE);
    assert_string_equal(json_str(r.body, "seen.cn"), "alice");
    assert_null(authorization(&r));
    json_free(r.body);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_plugin__failures_say_what_is_wrong(void **state) {
    static const struct {
        const char *behaviour;
        const char *message;
    } rows[] = {{"half", "only one of clientCertificateData and clientKeyData"},
                {"swapped", "no PEM certificate"},
                {"empty", "neither a token nor a certificate"},
                {"version", "apiVersion \"client.authentication.k8s.io/v1beta1\" where the kubeconfig asks for"},
                {"time", "expirationTimestamp"},
                {"garbage", "no JSON document"},
                {"header", "spaces or control characters"},
                {"huge", "exec plugin python3"},
                {"fails", "the SSO session has expired"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct k8s_config *config = config_for(rows[i].behaviour);
        struct k8s_client *c = k8s_peer_client(loop, config);
        struct k8s_reply r = k8s_peer_get(c, "plain");
        if (r.error.code == ERR_NONE || strstr(r.error.message, rows[i].message) == NULL) {
            fail_msg("%s: %s \"%s\"", rows[i].behaviour, error_name(r.error.code), r.error.message);
        }
        assert_null(strstr(r.error.message, "eyJ"));
        /* The next call within a second gets the same answer without another run. */
        r = k8s_peer_get(c, "plain");
        assert_true(r.error.code != ERR_NONE);
        if (strcmp(rows[i].behaviour, "header") != 0) {
            assert_int_equal(runs(), 1);
        }
        k8s_client_free(c);
        k8s_config_free(config);
    }
}

static void test_plugin__missing_program_shows_the_hint(void **state) {
    (void)state;
    struct k8s_config *config = config_for("token");
    config->exec->command = "no-such-plugin-anywhere";
    config->exec->install_hint = "get it from the shop";
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    assert_int_equal(r.error.code, ERR_NO_CREDENTIALS);
    assert_non_null(strstr(r.error.message, "no-such-plugin-anywhere"));
    assert_non_null(strstr(r.error.message, "get it from the shop"));
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_plugin__a_lease_does_not_wait_for_ever(void **state) {
    (void)state;
    struct k8s_config *config = config_for("slow");
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_request q = {
        .verb = K8S_VERB_GET, .resource = k8s_resource_find("leases"), .ns = "ns", .name = "plain", .deadline_ms = 100};
    struct k8s_reply r = k8s_peer_send(c, &q);
    assert_int_equal(r.error.code, ERR_NO_CREDENTIALS);
    k8s_client_free(c); /* the plugin still runs: it is ended */
    k8s_config_free(config);
}

static void test_exec_credential_parse__table(void **state) {
#define V1 "\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\""
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"{" V1 ",\"status\":{\"token\":\"t\"}}", true},
        {"{" V1 ",\"status\":{\"token\":\"t\",\"expirationTimestamp\":null,\"clientCertificateData\":\"\"}}", true},
        {"{" V1 ",\"status\":{\"token\":\"t\",\"expirationTimestamp\":\"2030-01-01T00:00:00+02:00\"}}", true},
        {"{" V1 ",\"status\":{\"token\":5}}", false},
        {"{" V1 ",\"status\":{\"token\":\"\"}}", false},
        {"{" V1 ",\"status\":null}", false},
        {"{" V1 "}", false},
        {"{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"t\"}}", false},
        {"{" V1 ",\"status\":{\"token\":\"t\"}} trailing", false},
        {"{" V1 ",\"status\":{\"token\":\"t\",\"token\":\"u\"}}", false},
        {"[]", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct exec_credential c = {NULL, NULL, NULL, 0};
        struct error err = {0};
        bool ok =
            exec_credential_parse(rows[i].text, strlen(rows[i].text), "client.authentication.k8s.io/v1", &c, &err);
        if (ok != rows[i].ok) {
            fail_msg("row %zu: %s", i, err.message);
        }
        exec_credential_done(&c);
    }
}

static int start(void **state) {
    struct error err;
    (void)state;
    loop = loop_new(&err);
    k8s_peer_start(&peer, false);
    return loop != NULL ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    k8s_peer_stop(&peer);
    loop_free(loop);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plugin__runs_once_and_is_told_what_it_needs),
        cmocka_unit_test(test_plugin__one_run_serves_all_who_wait),
        cmocka_unit_test(test_plugin__runs_again_once_after_401),
        cmocka_unit_test(test_plugin__expired_credentials_serve_who_waited_and_nobody_else),
        cmocka_unit_test(test_plugin__certificates),
        cmocka_unit_test(test_plugin__failures_say_what_is_wrong),
        cmocka_unit_test(test_plugin__missing_program_shows_the_hint),
        cmocka_unit_test(test_plugin__a_lease_does_not_wait_for_ever),
        cmocka_unit_test(test_exec_credential_parse__table),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
