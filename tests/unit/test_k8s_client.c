/* test_k8s_client.c - one request against a real peer over TLS: identity, 401, retries, lost and garbled answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/base/log.h"
#include "platform/k8s/token.h"
#include "support_k8s_peer.h"

static struct k8s_peer peer;
static struct loop *loop;

static const char *seen(const struct k8s_reply *r, const char *header) {
    return json_key_str(json_path(r->body, "seen.headers"), header);
}

static void expect(struct k8s_reply *r, enum err_code code) {
    if (r->error.code != code) {
        fail_msg("got %s (%d) \"%s\", wanted %s", error_name(r->error.code), r->status, r->error.message,
                 error_name(code));
    }
    json_free(r->body);
    r->body = NULL;
}

/* ---- what is sent ---- */

static void test_send__headers_and_static_token(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    config->token = secret_new("static-token", 12);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    assert_int_equal(r.status, 200);
    assert_string_equal(seen(&r, "authorization"), "Bearer static-token");
    assert_true(strncmp(seen(&r, "user-agent"), "cni-iam/1.2.3 (linux/", 21) == 0);
    assert_non_null(strstr(seen(&r, "user-agent"), ") test"));
    assert_string_equal(seen(&r, "accept"), "application/json");
    assert_null(seen(&r, "accept-encoding"));
    assert_null(seen(&r, "content-type"));
    assert_string_equal(json_str(r.body, "seen.path"), "/api/v1/namespaces/ns/configmaps/plain");
    expect(&r, ERR_NONE);
    r = k8s_peer_do(c, K8S_VERB_UPDATE, "plain");
    assert_string_equal(json_str(r.body, "seen.method"), "PUT");
    assert_string_equal(seen(&r, "content-type"), "application/json");
    assert_string_equal(json_str(r.body, "seen.body"), "{\"a\":1}");
    expect(&r, ERR_NONE);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_send__basic_and_impersonation(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    config->username = "me";
    config->password = secret_new("p:w", 3);
    config->as_user = "root";
    config->as_uid = "7";
    strlist_add(&config->as_groups, "g1", config->arena);
    strlist_add(&config->as_groups, "g2", config->arena);
    config->as_extra[config->nas_extra++] = (struct k8s_impersonation_extra){"scopes%2fx", "view"};
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    assert_string_equal(seen(&r, "authorization"), "Basic bWU6cDp3");
    assert_string_equal(seen(&r, "impersonate-user"), "root");
    assert_string_equal(seen(&r, "impersonate-uid"), "7");
    assert_string_equal(seen(&r, "impersonate-extra-scopes%2fx"), "view");
    assert_int_equal(json_array_size(json_path(r.body, "seen.groups")), 2);
    expect(&r, ERR_NONE);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_send__client_certificate(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    char *cert = k8s_peer_read(&peer, "client.pem");
    char *key = k8s_peer_read(&peer, "client.key");
    config->client_cert_pem = secret_new(cert, strlen(cert));
    config->client_key_pem = secret_new(key, strlen(key));
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    assert_string_equal(json_str(r.body, "seen.cn"), "alice");
    expect(&r, ERR_NONE);
    k8s_client_free(c);
    k8s_config_free(config);
    free(cert);
    free(key);
}

static void test_send__tls_server_name_and_trust(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    config->tls_server_name = "api.example";
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    expect(&r, ERR_NONE);
    k8s_client_free(c);
    config->tls_server_name = "other.example";
    c = k8s_peer_client(loop, config);
    r = k8s_peer_get(c, "plain");
    expect(&r, ERR_UNREACHABLE);
    k8s_client_free(c);
    config->tls_server_name = NULL;
    char *ca2 = k8s_peer_read(&peer, "ca2.pem");
    config->ca_pem = ca2;
    c = k8s_peer_client(loop, config);
    r = k8s_peer_get(c, "plain");
    expect(&r, ERR_UNREACHABLE);
    k8s_client_free(c);
    config->ca_pem = NULL;
    config->insecure_skip_tls_verify = true;
    c = k8s_peer_client(loop, config);
    r = k8s_peer_get(c, "plain");
    expect(&r, ERR_NONE);
    k8s_client_free(c);
    k8s_config_free(config);
    free(ca2);
}

static void test_send__no_credentials_over_plain_http(void **state) {
    struct k8s_peer plain;
    (void)state;
    k8s_peer_start(&plain, true);
    struct k8s_config *config = k8s_peer_config(&plain);
    config->token = secret_new("secret-token", 12);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    assert_null(seen(&r, "authorization"));
    expect(&r, ERR_NONE);
    k8s_client_free(c);
    k8s_config_free(config);
    k8s_peer_stop(&plain);
}

static void test_send__through_the_kubeconfigs_proxy(void **state) {
    struct k8s_peer proxy;
    (void)state;
    k8s_peer_start(&proxy, true);
    char *socks = k8s_peer_read(&proxy, "socks-port");
    struct k8s_config *config = k8s_peer_config(&peer);
    const char *urls[] = {arena_printf(config->arena, "http://127.0.0.1:%d", proxy.port),
                          arena_printf(config->arena, "socks5://127.0.0.1:%s", socks)};
    const char *methods[] = {"CONNECT", "SOCKS"};
    config->token = secret_new("secret-token", 12);
    for (size_t i = 0; i < 2; i++) {
        config->proxy_url = urls[i];
        struct k8s_client *c = k8s_peer_client(loop, config);
        struct k8s_reply r = k8s_peer_get(c, "plain");
        assert_string_equal(seen(&r, "authorization"), "Bearer secret-token");
        expect(&r, ERR_NONE);
        assert_int_equal(k8s_peer_count(&proxy, methods[i]), 1);
        k8s_client_free(c);
    }
    assert_int_equal(k8s_peer_count(&proxy, "secret-token"), 0); /* the proxy sees the host and nothing else */
    k8s_config_free(config);
    free(socks);
    k8s_peer_stop(&proxy);
}

/* ---- 401 and rotation ---- */

static void test_token_file__rotated_then_401_then_ok(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    k8s_peer_write(&peer, "token", "one\n");
    k8s_peer_write(&peer, "valid-tokens", "one");
    config->token_file = arena_printf(config->arena, "%s/token", peer.dir);
    config->token = secret_new("one", 3);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    expect(&r, ERR_NONE);

    /* The kubelet has written a new token and the server forgot the old: one 401, the file is read again, the call
     * succeeds. */
    k8s_peer_write(&peer, "token", "two\n");
    k8s_peer_write(&peer, "valid-tokens", "two");
    k8s_peer_forget(&peer);
    r = k8s_peer_do(c, K8S_VERB_UPDATE, "plain");
    assert_string_equal(seen(&r, "authorization"), "Bearer two");
    expect(&r, ERR_NONE);
    assert_int_equal(k8s_peer_count(&peer, "\"PUT\""), 2);

    /* Emptied or unreadable: the old token stays in use. */
    k8s_peer_write(&peer, "token", "");
    r = k8s_peer_get(c, "plain");
    expect(&r, ERR_NONE);
    k8s_peer_write(&peer, "valid-tokens", "three");
    k8s_peer_forget(&peer);
    r = k8s_peer_get(c, "plain");
    expect(&r, ERR_UNAUTHORIZED);
    assert_int_equal(k8s_peer_count(&peer, "\"GET\""), 1); /* no other credential: not sent again */
    k8s_peer_write(&peer, "token", "three");
    r = k8s_peer_get(c, "plain");
    expect(&r, ERR_NONE);
    /* A token that can not stand in a header is as good as none. */
    k8s_peer_write(&peer, "token", "four\r\nX-Evil: 1");
    k8s_peer_write(&peer, "valid-tokens", "four");
    r = k8s_peer_get(c, "plain");
    expect(&r, ERR_UNAUTHORIZED);
    k8s_peer_write(&peer, "valid-tokens", NULL);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_static_token__401_is_final(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    config->token = secret_new("wrong", 5);
    k8s_peer_write(&peer, "valid-tokens", "right");
    struct k8s_client *c = k8s_peer_client(loop, config);
    k8s_peer_forget(&peer);
    struct k8s_reply r = k8s_peer_get(c, "plain");
    assert_int_equal(r.status, 401);
    expect(&r, ERR_UNAUTHORIZED);
    assert_int_equal(k8s_peer_count(&peer, "\"GET\""), 1);
    k8s_peer_write(&peer, "valid-tokens", NULL);
    k8s_client_free(c);
    k8s_config_free(config);
}

/* ---- retries ---- */

static void test_read__retried_as_the_server_asks(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_get(c, "apf-1");
    expect(&r, ERR_NONE);
    r = k8s_peer_get(c, "unavailable-1");
    expect(&r, ERR_NONE);
    k8s_peer_forget(&peer);
    r = k8s_peer_get(c, "future");
    expect(&r, ERR_FUTURE_VERSION);
    assert_int_equal(k8s_peer_count(&peer, "future"), 1);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_write__only_429_is_sent_again(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_do(c, K8S_VERB_UPDATE, "apf-1");
    expect(&r, ERR_NONE);
    k8s_peer_forget(&peer);
    r = k8s_peer_do(c, K8S_VERB_UPDATE, "longwait-1"); /* a minute is not ours to sit out */
    assert_int_equal(r.error.retry_after_ms, 60000);
    expect(&r, ERR_THROTTLED);
    r = k8s_peer_do(c, K8S_VERB_UPDATE, "unavailable-9");
    expect(&r, ERR_UNAVAILABLE);
    static const enum k8s_verb verbs[] = {K8S_VERB_CREATE, K8S_VERB_UPDATE, K8S_VERB_PATCH, K8S_VERB_DELETE};
    for (size_t i = 0; i < 4; i++) {
        r = k8s_peer_do(c, verbs[i], "commit-504");
        expect(&r, ERR_TIMEOUT);
        r = k8s_peer_do(c, verbs[i], "commit-lost");
        expect(&r, ERR_LOST);
    }
    assert_int_equal(k8s_peer_count(&peer, "longwait-1"), 1);
    assert_int_equal(k8s_peer_count(&peer, "unavailable-9"), 1);
    assert_int_equal(k8s_peer_count(&peer, "commit-504"), 4);
    assert_int_equal(k8s_peer_count(&peer, "commit-lost"), 4);
    k8s_client_free(c);
    k8s_config_free(config);
}

static bool answer_of(void *arg) {
    return *(bool *)arg;
}

static void test_write__asks_may_write_each_time_but_not_for_leases(void **state) {
    struct error err = {0};
    bool may = false;
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client_options o = {.loop = loop,
                                   .config = config,
                                   .version = "1",
                                   .component = "t",
                                   .may_write = answer_of,
                                   .may_write_arg = &may};
    struct k8s_client *c = k8s_client_new(&o, &err);
    k8s_peer_forget(&peer);
    struct k8s_reply r = k8s_peer_do(c, K8S_VERB_DELETE, "plain");
    expect(&r, ERR_CANCELLED);
    assert_int_equal(k8s_peer_count(&peer, "DELETE"), 0);
    r = k8s_peer_get(c, "plain");
    expect(&r, ERR_NONE);
    struct k8s_request lease = {
        .verb = K8S_VERB_UPDATE, .resource = k8s_resource_find("leases"), .ns = "ns", .name = "cni-iam", .body = "{}"};
    r = k8s_peer_send(c, &lease);
    expect(&r, ERR_NONE);
    struct k8s_request review = {.verb = K8S_VERB_CREATE,
                                 .resource = k8s_resource_find("selfsubjectaccessreviews"),
                                 .changes_nothing = true,
                                 .body = "{\"spec\":{\"resourceAttributes\":{\"verb\":\"get\"}}}"};
    r = k8s_peer_send(c, &review);
    expect(&r, ERR_NONE);
    may = true;
    r = k8s_peer_do(c, K8S_VERB_DELETE, "plain");
    expect(&r, ERR_NONE);
    k8s_client_free(c);
    k8s_config_free(config);
}

/* ---- bad answers ---- */

static void test_answers__lost_garbled_and_too_large(void **state) {
    static const struct {
        const char *name;
        enum err_code code;
    } rows[] = {{"page-not-found", ERR_NOT_FOUND},
                {"gone-for-good", ERR_NOT_FOUND},
                {"redirect", ERR_UNSUPPORTED},
                {"garbage", ERR_PARSE},
                {"truncated-json", ERR_PARSE},
                {"truncated", ERR_LOST},
                {"reset", ERR_LOST},
                {"huge", ERR_TOO_LARGE},
                {"conflict", ERR_CONFLICT},
                {"field-conflict", ERR_FIELD_CONFLICT}};
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct k8s_reply r = k8s_peer_get(c, rows[i].name);
        if (r.error.code != rows[i].code) {
            fail_msg("%s: %s \"%s\"", rows[i].name, error_name(r.error.code), r.error.message);
        }
        json_free(r.body);
    }
    struct k8s_reply r = k8s_peer_get(c, "page-not-found");
    assert_string_equal(r.error.wire, "PageNotFound");
    r = k8s_peer_get(c, "gone-for-good");
    assert_string_equal(r.error.wire, "NotFound");
    r = k8s_peer_get(c, "empty");
    assert_null(r.body);
    expect(&r, ERR_NONE);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_json_patch__failed_test_is_a_conflict(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_request p = {.verb = K8S_VERB_PATCH,
                            .resource = k8s_resource_find("configmaps"),
                            .ns = "ns",
                            .name = "patch-test-failed",
                            .content_type = "application/json-patch+json",
                            .body = "[]"};
    struct k8s_reply r = k8s_peer_send(c, &p);
    expect(&r, ERR_CONFLICT);
    p.content_type = "application/merge-patch+json";
    r = k8s_peer_send(c, &p);
    expect(&r, ERR_INVALID);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_deadline__a_server_that_never_answers(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_request q = {.verb = K8S_VERB_GET,
                            .resource = k8s_resource_find("configmaps"),
                            .ns = "ns",
                            .name = "never",
                            .deadline_ms = 300};
    struct k8s_reply r = k8s_peer_send(c, &q);
    expect(&r, ERR_TIMEOUT);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_refused__nobody_listens(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    config->server = "https://127.0.0.1:1";
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = k8s_peer_do(c, K8S_VERB_UPDATE, "plain");
    expect(&r, ERR_UNREACHABLE);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_send__bad_requests_are_told_from_the_loop(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_request q = {.verb = K8S_VERB_GET, .resource = k8s_resource_find("nodes"), .ns = "ns", .name = "x"};
    struct k8s_reply r = k8s_peer_send(c, &q);
    expect(&r, ERR_INVALID);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_cancel__and_free_with_calls_under_way(void **state) {
    struct k8s_reply reply = {0};
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_request q = {
        .verb = K8S_VERB_GET, .resource = k8s_resource_find("configmaps"), .ns = "ns", .name = "plain", .retry = true};
    struct k8s_call *call = k8s_client_send(c, &q, k8s_peer_on_reply, &reply);
    k8s_call_cancel(call);
    call = k8s_client_send(c, &q, k8s_peer_on_reply, &reply);
    loop_turn(loop, 1);
    k8s_call_cancel(call);
    q.name = "never";
    (void)k8s_client_send(c, &q, k8s_peer_on_reply, &reply);
    q.name = "apf-99"; /* waits for its Retry-After when the client goes */
    (void)k8s_client_send(c, &q, k8s_peer_on_reply, &reply);
    (void)k8s_peer_wait(loop, &reply.done, 300);
    k8s_client_free(c);
    (void)k8s_peer_wait(loop, &reply.done, 100);
    assert_false(reply.done);
    k8s_config_free(config);
}

/* ---- counters, warnings, tokens ---- */

static void count_gets(void *arg, const struct k8s_stat *s) {
    if (strcmp(s->verb, "get") == 0 && strcmp(s->resource, "configmaps") == 0 && (s->code == 200 || s->code == 404)) {
        *(uint64_t *)arg += s->count * (s->code == 404 ? 100 : 1);
    }
}

static char logged[65536];

static void keep_log(void *ctx, const char *line, size_t len) {
    (void)ctx;
    if (strlen(logged) + len + 1 < sizeof logged) {
        (void)strncat(logged, line, len);
    }
}

static void test_stats_and_warnings(void **state) {
    uint64_t counted = 0;
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    logged[0] = '\0';
    log_set_sink(keep_log, NULL);
    for (int i = 0; i < 3; i++) {
        struct k8s_reply r = k8s_peer_get(c, "warn");
        expect(&r, ERR_NONE);
    }
    log_set_sink(NULL, NULL);
    const char *first = strstr(logged, "unknown field");
    assert_non_null(first);
    assert_null(strstr(first + 1, "unknown field")); /* each warning once */
    struct k8s_reply r = k8s_peer_get(c, "gone-for-good");
    expect(&r, ERR_NOT_FOUND);
    k8s_client_stats(c, count_gets, &counted);
    assert_int_equal(counted, 103);
    k8s_client_free(c);
    k8s_config_free(config);
}

struct minted {
    bool done;
    char issuer[64];
    int64_t expires;
    struct error error;
};

static void on_token(void *arg, const struct secret *token, int64_t expires, const struct error *err) {
    struct minted *m = arg;
    struct arena *a = arena_new(0);
    struct token_claims c;
    m->done = true;
    m->error = *err;
    m->expires = expires;
    if (token != NULL && token_claims(secret_expose(token), secret_len(token), &c, a, &m->error)) {
        assert_string_equal(c.audiences.v[0], "sts.amazonaws.com");
        (void)str_copy(m->issuer, sizeof m->issuer, c.issuer);
    }
    arena_free(a);
}

static void test_token_request__mints_without_leaving_a_trace(void **state) {
    struct minted m = {0};
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    struct k8s_client *c = k8s_peer_client(loop, config);
    logged[0] = '\0';
    log_set_sink(keep_log, NULL);
    log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    k8s_peer_forget(&peer);
    (void)k8s_token_request(c, "kube-system", "aws-node", "sts.amazonaws.com", 600, on_token, &m);
    assert_true(k8s_peer_wait(loop, &m.done, 5000));
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_set_sink(NULL, NULL);
    assert_int_equal(m.error.code, ERR_NONE);
    assert_string_equal(m.issuer, "https://issuer.example");
    assert_int_equal(m.expires, 2000000000000);
    assert_int_equal(k8s_peer_count(&peer, "/api/v1/namespaces/kube-system/serviceaccounts/aws-node/token"), 1);
    assert_int_equal(k8s_peer_count(&peer, "expirationSeconds\\\":600"), 1);
    assert_null(strstr(logged, "eyJ"));
    struct k8s_token_call *t = k8s_token_request(c, "kube-system", "aws-node", NULL, 600, on_token, &m);
    m.done = false;
    k8s_token_cancel(t);
    (void)k8s_peer_wait(loop, &m.done, 200);
    assert_false(m.done);
    k8s_client_free(c);
    k8s_config_free(config);
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
        cmocka_unit_test(test_send__headers_and_static_token),
        cmocka_unit_test(test_send__basic_and_impersonation),
        cmocka_unit_test(test_send__client_certificate),
        cmocka_unit_test(test_send__tls_server_name_and_trust),
        cmocka_unit_test(test_send__no_credentials_over_plain_http),
        cmocka_unit_test(test_send__through_the_kubeconfigs_proxy),
        cmocka_unit_test(test_token_file__rotated_then_401_then_ok),
        cmocka_unit_test(test_static_token__401_is_final),
        cmocka_unit_test(test_read__retried_as_the_server_asks),
        cmocka_unit_test(test_write__only_429_is_sent_again),
        cmocka_unit_test(test_write__asks_may_write_each_time_but_not_for_leases),
        cmocka_unit_test(test_answers__lost_garbled_and_too_large),
        cmocka_unit_test(test_json_patch__failed_test_is_a_conflict),
        cmocka_unit_test(test_deadline__a_server_that_never_answers),
        cmocka_unit_test(test_refused__nobody_listens),
        cmocka_unit_test(test_send__bad_requests_are_told_from_the_loop),
        cmocka_unit_test(test_cancel__and_free_with_calls_under_way),
        cmocka_unit_test(test_stats_and_warnings),
        cmocka_unit_test(test_token_request__mints_without_leaving_a_trace),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
