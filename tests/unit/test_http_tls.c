/* http.c: whom it trusts, as whom it comes, and through which proxy, against real TLS servers and a real CONNECT proxy
 * (http_peer.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "support_http_peer.h"

static struct arena *texts;
static char *ca, *other_ca;
static struct secret *alice, *alice_key, *bob, *bob_key;

static struct secret *secret_file(const char *name) {
    char *text = http_peer_file(name, texts);
    return secret_new(text, strlen(text));
}

static int start(void **state) {
    static const char *const names[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy",
                                        "NO_PROXY",    "no_proxy",    "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    if (http_peer_start(state))
        return -1;
    texts = arena_new(0);
    ca = http_peer_file("ca.pem", texts);
    other_ca = http_peer_file("otherca.pem", texts);
    alice = secret_file("alice.pem");
    alice_key = secret_file("alice.key");
    bob = secret_file("bob.pem");
    bob_key = secret_file("bob.key");
    return 0;
}

static int stop(void **state) {
    secret_free(alice);
    secret_free(alice_key);
    secret_free(bob);
    secret_free(bob_key);
    arena_free(texts);
    return http_peer_stop(state);
}

static const char *at(const char *host, int port, const char *path) {
    return arena_printf(texts, "https://%s:%d%s", host, port, path);
}

static void ask(const struct http_client_options *o, const char *url, struct answer *a) {
    struct http_client *c = http_peer_client(o);
    call_url(c, &(struct http_call){.deadline_ms = 15000}, url, a);
    http_client_free(c);
}

/* --- trust --- */

static void only_the_given_authority_is_trusted(void **state) {
    struct answer a;
    const char *url = at("127.0.0.1", peer.tls, "/hello");
    char *both = arena_printf(texts, "%s%s", other_ca, ca);
    (void)state;
    ask(&(struct http_client_options){.ca_pem = ca}, url, &a);
    assert_int_equal(a.err.code, ERR_NONE);
    assert_string_equal(a.body, "hello");
    ask(&(struct http_client_options){.ca_pem = both}, url, &a);
    assert_int_equal(a.err.code, ERR_NONE);
    static const char *const bad[] = {"", "no PEM at all",
                                      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask(&(struct http_client_options){.ca_pem = bad[i]}, url, &a);
        assert_int_equal(a.err.code, ERR_UNREACHABLE);
    }
    ask(&(struct http_client_options){.ca_pem = other_ca}, url, &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    ask(&(struct http_client_options){0}, url, &a); /* the system's */
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    ask(&(struct http_client_options){.insecure_skip_verify = true}, url, &a);
    assert_int_equal(a.err.code, ERR_NONE);
}

static void the_name_must_be_right(void **state) {
    struct answer a;
    (void)state;
    ask(&(struct http_client_options){.ca_pem = ca}, at("localhost", peer.tls, "/hello"),
        &a); /* not in the certificate */
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    ask(&(struct http_client_options){.ca_pem = ca, .tls_server_name = "peer.test"},
        at("localhost", peer.tls, "/hello"), &a);
    assert_int_equal(a.err.code, ERR_NONE);
    ask(&(struct http_client_options){.ca_pem = ca, .tls_server_name = "127.0.0.1"},
        at("localhost", peer.tls, "/hello"), &a);
    assert_int_equal(a.err.code, ERR_NONE);
    ask(&(struct http_client_options){.ca_pem = ca, .tls_server_name = "other.test"},
        at("127.0.0.1", peer.tls, "/hello"), &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    ask(&(struct http_client_options){.ca_pem = ca, .tls_server_name = "peer.test"},
        at("127.0.0.1", peer.tls, "/echo/../a?b"), &a);
    assert_true(
        str_has_prefix(a.body, "GET /echo/../a?b HTTP/1.1\r\n")); /* only the name in the handshake is another */
    assert_non_null(strstr(a.body, arena_printf(texts, "\r\nHost: 127.0.0.1:%d\r\n", peer.tls)));
}

static void old_tls_is_refused(void **state) {
    struct answer a;
    (void)state;
    ask(&(struct http_client_options){.ca_pem = ca, .insecure_skip_verify = true},
        at("127.0.0.1", peer.old_tls, "/hello"), &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
}

static void options_that_contradict_are_refused(void **state) {
    struct error err;
    (void)state;
    assert_null(http_client_new(peer.loop, &(struct http_client_options){.client_cert_pem = alice}, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(http_client_new(peer.loop, &(struct http_client_options){.client_key_pem = alice_key}, &err));
    assert_null(http_client_new(peer.loop, &(struct http_client_options){.tls_server_name = "a:1/b@c"}, &err));
    struct http_client *c = http_peer_client(&(struct http_client_options){.ca_pem = ca});
    assert_false(http_client_reconfigure(c, &(struct http_client_options){.client_cert_pem = alice}, &err));
    struct answer a;
    call_url(c, &(struct http_call){0}, at("127.0.0.1", peer.tls, "/hello"), &a); /* still as before */
    assert_int_equal(a.err.code, ERR_NONE);
    http_client_free(c);
}

/* A pooled connection of before is not used for an identity or a trust of after. */
static void rotation_holds_at_once(void **state) {
    struct answer a;
    struct error err;
    const char *url = at("127.0.0.1", peer.tls, "/hello");
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){.ca_pem = ca});
    for (int i = 0; i < 2; i++) {
        call_url(c, &(struct http_call){0}, url, &a);
        assert_int_equal(a.err.code, ERR_NONE);
        assert_true(http_client_reconfigure(c, &(struct http_client_options){.ca_pem = other_ca}, &err));
        call_url(c, &(struct http_call){0}, url, &a);
        assert_int_equal(a.err.code, ERR_UNREACHABLE);
        assert_true(http_client_reconfigure(c, &(struct http_client_options){.ca_pem = ca}, &err));
    }
    http_client_free(c);
}

static void client_certificates(void **state) {
    struct answer a;
    struct error err;
    const char *url = at("127.0.0.1", peer.mutual, "/whoami");
    struct http_client_options as_alice = {.ca_pem = ca, .client_cert_pem = alice, .client_key_pem = alice_key};
    struct http_client_options as_bob = {.ca_pem = ca, .client_cert_pem = bob, .client_key_pem = bob_key};
    (void)state;
    struct http_client *c = http_peer_client(&as_alice);
    for (int i = 0; i < 2; i++) {
        call_url(c, &(struct http_call){0}, url, &a);
        assert_string_equal(a.body, "alice");
        assert_true(http_client_reconfigure(c, &as_bob, &err));
        call_url(c, &(struct http_call){0}, url, &a);
        assert_string_equal(a.body, "bob");
        assert_true(http_client_reconfigure(c, &as_alice, &err));
    }
    http_client_free(c);
    ask(&(struct http_client_options){.ca_pem = ca, .client_cert_pem = alice, .client_key_pem = bob_key}, url, &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    /* With TLS 1.3 the refusal comes after our handshake has ended: the request may have gone out. */
    ask(&(struct http_client_options){.ca_pem = ca}, url, &a);
    assert_true(a.err.code == ERR_LOST || a.err.code == ERR_UNREACHABLE);
    assert_int_equal(a.status, 0);
}

/* --- proxies --- */

static const char *proxy_url(const char *userinfo) {
    return arena_printf(texts, "http://%s127.0.0.1:%d", userinfo, peer.proxy);
}

static void last_connect(struct answer *a) {
    get("/connect", &(struct http_call){0}, a);
}

static void the_environment_names_a_proxy(void **state) {
    struct answer a;
    const char *url = at("peer.test", peer.tls, "/hello"); /* a name that only the proxy knows */
    (void)state;
    setenv("HTTPS_PROXY", proxy_url(""), 1);
    ask(&(struct http_client_options){.ca_pem = ca}, url, &a);
    assert_int_equal(a.err.code, ERR_NONE);
    assert_string_equal(a.body, "hello");
    assert_string_equal(a.header, "yes"); /* the server's, not the proxy's */
    ask(&(struct http_client_options){.ca_pem = ca, .proxy_url = "", .connect_timeout_ms = 500}, url, &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    setenv("NO_PROXY", ".other,peer.test", 1);
    ask(&(struct http_client_options){.ca_pem = ca, .connect_timeout_ms = 500}, url, &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    /* A proxy that the caller names (a kubeconfig's) holds whatever NO_PROXY says. */
    setenv("NO_PROXY", "*", 1);
    ask(&(struct http_client_options){.ca_pem = ca, .proxy_url = proxy_url("")}, url, &a);
    assert_int_equal(a.err.code, ERR_NONE);
    unsetenv("HTTPS_PROXY");
    unsetenv("NO_PROXY");
    setenv("ALL_PROXY", proxy_url(""), 1);
    ask(&(struct http_client_options){.ca_pem = ca, .connect_timeout_ms = 500}, url, &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    unsetenv("ALL_PROXY");
}

static void the_proxy_gets_its_secret_and_not_ours(void **state) {
    struct answer a;
    struct secret *token = secret_new("Bearer s3cr3t", 13);
    struct http_header h[] = {{"Authorization", NULL, token}};
    (void)state;
    struct http_client *c =
        http_peer_client(&(struct http_client_options){.ca_pem = ca, .proxy_url = proxy_url("user:pass@")});
    call_url(c, &(struct http_call){.headers = h, .nheaders = 1}, at("peer.test", peer.tls, "/echo"), &a);
    assert_int_equal(a.err.code, ERR_NONE);
    assert_non_null(strstr(a.body, "s3cr3t"));
    assert_null(strcasestr(a.body, "Proxy-"));
    assert_non_null(strstr(a.body, "\r\nHost: peer.test:"));
    last_connect(&a);
    assert_true(str_has_prefix(a.body, arena_printf(texts, "CONNECT peer.test:%d HTTP/1.1\r\n", peer.tls)));
    assert_non_null(strstr(a.body, "\r\nProxy-Authorization: Basic dXNlcjpwYXNz"));
    assert_null(strstr(a.body, "s3cr3t"));
    http_client_free(c);
    secret_free(token);
}

static void another_name_through_a_proxy(void **state) {
    struct answer a;
    struct http_client_options o = {.ca_pem = ca, .proxy_url = proxy_url(""), .tls_server_name = "peer.test"};
    (void)state;
    ask(&o, at("10.1.2.3", peer.tls, "/hello"), &a);
    assert_int_equal(a.err.code, ERR_NONE);
    last_connect(&a);
    assert_true(str_has_prefix(a.body, arena_printf(texts, "CONNECT 10.1.2.3:%d ", peer.tls)));
}

/* Whatever a proxy does, the request itself was not sent, and its answer is not the server's. */
static void a_proxy_that_fails_means_not_sent(void **state) {
    static const char *const hosts[] = {"refused.test", "silent.test"};
    struct answer a;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct http_client *c =
            http_peer_client(&(struct http_client_options){.proxy_url = proxy_url(""), .connect_timeout_ms = 500});
        struct http_call write = {.method = "POST", .body = "x", .body_len = 1, .changes_something = true};
        call_url(c, &write, at(hosts[i], 443, "/"), &a);
        assert_int_equal(a.err.code, ERR_UNREACHABLE);
        assert_int_equal(a.status, 0);
        assert_string_equal(a.header, "");
        http_client_free(c);
    }
    ask(&(struct http_client_options){.proxy_url = "http://127.0.0.1:1"}, at("peer.test", peer.tls, "/"), &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    ask(&(struct http_client_options){.proxy_url = "gopher://127.0.0.1:1"}, at("peer.test", peer.tls, "/"), &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
}

static void local_hosts_are_asked_directly(void **state) {
    struct answer a;
    (void)state;
    setenv("HTTP_PROXY", proxy_url(""), 1);
    setenv("HTTPS_PROXY", proxy_url(""), 1);
    get("/hello", &(struct http_call){0}, &a);
    assert_string_equal(a.body, "hello");
    ask(&(struct http_client_options){.allow_plain_http = true}, "http://somewhere.test/",
        &a); /* others go through it */
    assert_string_equal(a.body, "by the proxy");
    unsetenv("HTTP_PROXY");
    unsetenv("HTTPS_PROXY");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_given_authority_is_trusted),
        cmocka_unit_test(the_name_must_be_right),
        cmocka_unit_test(old_tls_is_refused),
        cmocka_unit_test(options_that_contradict_are_refused),
        cmocka_unit_test(rotation_holds_at_once),
        cmocka_unit_test(client_certificates),
        cmocka_unit_test(the_environment_names_a_proxy),
        cmocka_unit_test(the_proxy_gets_its_secret_and_not_ours),
        cmocka_unit_test(another_name_through_a_proxy),
        cmocka_unit_test(a_proxy_that_fails_means_not_sent),
        cmocka_unit_test(local_hosts_are_asked_directly),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
