/* test_in_cluster.c - a pod's life: token, CA and client certificates change on disk while connections are open (K-A4,
 * K-A5). */
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

#include "platform/k8s/in_cluster.h"
#include "support_k8s_peer.h"

static struct k8s_peer peer;
static struct loop *loop;

static struct k8s_config *load(void) {
    struct error err = {0};
    char port[16];
    char *ca = k8s_peer_read(&peer, "ca1.pem");
    k8s_peer_write(&peer, "ca.crt", ca);
    free(ca);
    k8s_peer_write(&peer, "token", "one");
    k8s_peer_write(&peer, "namespace", "cni-iam-system");
    (void)snprintf(port, sizeof port, "%d", peer.port);
    struct in_cluster_source s = {.host = "127.0.0.1", .port = port, .dir = peer.dir};
    struct k8s_config *c = in_cluster_load(&s, &err);
    if (c == NULL) {
        fail_msg("%s", err.message);
    }
    return c;
}

static const char *authorization(const struct k8s_reply *r) {
    return json_key_str(json_path(r->body, "seen.headers"), "authorization");
}

static struct k8s_reply get_ok(struct k8s_client *c) {
    struct k8s_reply r = k8s_peer_get(c, "plain");
    if (r.error.code != ERR_NONE) {
        fail_msg("%s", r.error.message);
    }
    return r;
}

static void test_token__is_read_again_before_anybody_says_401(void **state) {
    (void)state;
    struct k8s_config *config = load();
    config->reread_ms = 1;
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = get_ok(c);
    assert_string_equal(authorization(&r), "Bearer one");
    json_free(r.body);
    k8s_peer_write(&peer, "token", "two\n");
    (void)usleep(5000);
    r = get_ok(c);
    assert_string_equal(authorization(&r), "Bearer two");
    json_free(r.body);
    k8s_peer_write(&peer, "token", NULL); /* the projection is being swapped */
    (void)usleep(5000);
    r = get_ok(c);
    assert_string_equal(authorization(&r), "Bearer two");
    json_free(r.body);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_token__the_usual_period_is_not_every_request(void **state) {
    (void)state;
    struct k8s_config *config = load();
    struct k8s_client *c = k8s_peer_client(loop, config);
    k8s_peer_write(&peer, "token", "two");
    struct k8s_reply r = get_ok(c);
    assert_string_equal(authorization(&r), "Bearer one");
    json_free(r.body);
    k8s_client_free(c);
    k8s_config_free(config);
}

static void test_ca__rotated(void **state) {
    (void)state;
    struct k8s_config *config = load();
    config->reread_ms = 1;
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = get_ok(c);
    json_free(r.body);
    char *ca1 = k8s_peer_read(&peer, "ca1.pem");
    char *ca2 = k8s_peer_read(&peer, "ca2.pem");
    char *both = NULL;
    assert_true(asprintf(&both, "%s%s", ca1, ca2) > 0);

    /* A half-written file changes nothing. */
    k8s_peer_write(&peer, "ca.crt", "-----BEGIN CERTIFICATE-----\nMIIB");
    (void)usleep(5000);
    r = get_ok(c);
    json_free(r.body);
    /* The bundle holds both while the servers change over; then the old one goes. */
    k8s_peer_write(&peer, "ca.crt", both);
    (void)usleep(5000);
    r = get_ok(c);
    json_free(r.body);
    k8s_peer_write(&peer, "use-ca2", "");
    r = k8s_peer_do(c, K8S_VERB_UPDATE,
                    "plain"); /* writes use a connection of their own: the new certificate is seen */
    assert_int_equal(r.error.code, ERR_NONE);
    json_free(r.body);
    k8s_peer_write(&peer, "ca.crt", ca2);
    (void)usleep(5000);
    r = get_ok(c);
    json_free(r.body);
    /* And the other way round: what is no longer trusted is refused. */
    k8s_peer_write(&peer, "ca.crt", ca1);
    (void)usleep(5000);
    r = k8s_peer_do(c, K8S_VERB_UPDATE, "plain");
    assert_int_equal(r.error.code, ERR_UNREACHABLE);
    k8s_peer_write(&peer, "use-ca2", NULL);
    r = get_ok(c);
    json_free(r.body);
    k8s_client_free(c);
    k8s_config_free(config);
    free(ca1);
    free(ca2);
    free(both);
}

static void test_client_certificate__rotated_in_two_writes(void **state) {
    (void)state;
    struct k8s_config *config = k8s_peer_config(&peer);
    char *cert1 = k8s_peer_read(&peer, "client.pem");
    char *key1 = k8s_peer_read(&peer, "client.key");
    char *cert2 = k8s_peer_read(&peer, "client2.pem");
    char *key2 = k8s_peer_read(&peer, "client2.key");
    k8s_peer_write(&peer, "tls.crt", cert1);
    k8s_peer_write(&peer, "tls.key", key1);
    config->client_cert_file = arena_printf(config->arena, "%s/tls.crt", peer.dir);
    config->client_key_file = arena_printf(config->arena, "%s/tls.key", peer.dir);
    config->client_cert_pem = secret_new(cert1, strlen(cert1));
    config->client_key_pem = secret_new(key1, strlen(key1));
    config->reread_ms = 1;
    struct k8s_client *c = k8s_peer_client(loop, config);
    struct k8s_reply r = get_ok(c);
    assert_string_equal(json_str(r.body, "seen.cn"), "alice");
    json_free(r.body);
    k8s_peer_write(&peer, "tls.crt", "not yet");
    (void)usleep(5000);
    r = get_ok(c);
    assert_string_equal(json_str(r.body, "seen.cn"), "alice");
    json_free(r.body);
    k8s_peer_write(&peer, "tls.crt", cert2);
    k8s_peer_write(&peer, "tls.key", key2);
    (void)usleep(5000);
    r = get_ok(c);
    assert_string_equal(json_str(r.body, "seen.cn"), "bob");
    json_free(r.body);
    k8s_client_free(c);
    k8s_config_free(config);
    free(cert1);
    free(key1);
    free(cert2);
    free(key2);
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
        cmocka_unit_test(test_token__is_read_again_before_anybody_says_401),
        cmocka_unit_test(test_token__the_usual_period_is_not_every_request),
        cmocka_unit_test(test_ca__rotated),
        cmocka_unit_test(test_client_certificate__rotated_in_two_writes),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
