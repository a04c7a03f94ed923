/* test_kubeconfig.c - K-A1 and K-A2: which file, which entry, what wins, and what each mistake is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "platform/base/str.h"
#include "platform/k8s/in_cluster.h"
#include "platform/k8s/kubeconfig.h"

/* "-----BEGIN CERTIFICATE-----\nMIIBAAAAAAAAAAAAAAAA\n-----END CERTIFICATE-----\n" and the same for a private key */
#define CERT_PEM "-----BEGIN CERTIFICATE-----\nMIIBAAAAAAAAAAAAAAAA\n-----END CERTIFICATE-----\n"
#define KEY_PEM "-----BEGIN PRIVATE KEY-----\nMIIBAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"
#define CERT_B64 "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJBQUFBQUFBQUFBQUFBQUFBCi0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
#define KEY_B64 "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUJBQUFBQUFBQUFBQUFBQUFBCi0tLS0tRU5EIFBSSVZBVEUgS0VZLS0tLS0K"

#define CLUSTER(fields) "clusters: [{name: c, cluster: {server: 'https://h:6443'" fields "}}]\n"
#define USER(fields) "users: [{name: u, user: {" fields "}}]\n"
#define CONTEXT "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
#define CONFIG(cluster_fields, user_fields) CLUSTER(cluster_fields) USER(user_fields) CONTEXT
#define EXEC(fields)                                                                                                   \
    CONFIG("", "exec: {command: plugin, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never" fields "}")

static char dir[] = "/tmp/test_kubeconfig.XXXXXX";

static struct arena *paths; /* of all tests; freed with the directory */

static char *path_of(const char *name) {
    return arena_printf(paths, "%s/%s", dir, name);
}

static void write_file(const char *name, const char *text) {
    char *p = path_of(name);
    FILE *f = fopen(p, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static struct k8s_config *parse(const char *text, struct error *err) {
    return kubeconfig_parse(text, strlen(text), dir, NULL, true, err);
}

static struct k8s_config *must_parse(const char *text) {
    struct error err = {0};
    struct k8s_config *c = parse(text, &err);
    if (c == NULL) {
        fail_msg("%s\n%s", err.message, text);
    }
    return c;
}

/* ---- fields ---- */

static void test_kubeconfig__cluster_fields(void **state) {
    (void)state;
    struct k8s_config *c = must_parse(CONFIG(", tls-server-name: api.example, proxy-url: 'socks5://p:1080', "
                                             "certificate-authority-data: " CERT_B64 ", disable-compression: true",
                                             ""));
    assert_string_equal(c->server, "https://h:6443");
    assert_string_equal(c->tls_server_name, "api.example");
    assert_string_equal(c->proxy_url, "socks5://p:1080");
    assert_string_equal(c->ca_pem, CERT_PEM);
    assert_null(c->ca_file);
    assert_false(c->insecure_skip_tls_verify);
    assert_string_equal(c->ns, "default");
    assert_string_equal(c->context, "x");
    assert_null(c->token);
    k8s_config_free(c);

    c = must_parse(
        "clusters: [{name: c, cluster: {server: 'https://[::1]:6443/k8s/', insecure-skip-tls-verify: true}}]\n"
        "contexts: [{name: x, context: {cluster: c, namespace: prod}}]\ncurrent-context: x\n");
    assert_string_equal(c->server, "https://[::1]:6443/k8s");
    assert_true(c->insecure_skip_tls_verify);
    assert_null(c->ca_pem);
    assert_null(c->tls_server_name);
    assert_string_equal(c->ns, "prod");
    k8s_config_free(c);
}

static void test_kubeconfig__data_wins_over_files_and_paths_are_relative(void **state) {
    (void)state;
    write_file("ca.pem", CERT_PEM "second\n");
    write_file("cert.pem", CERT_PEM);
    write_file("key.pem", KEY_PEM);
    struct k8s_config *c =
        must_parse(CONFIG(", certificate-authority: ca.pem", "client-certificate: cert.pem, client-key: key.pem"));
    assert_string_equal(c->ca_pem, CERT_PEM "second\n");
    char *p = path_of("ca.pem");
    assert_string_equal(c->ca_file, p);
    p = path_of("cert.pem");
    assert_string_equal(c->client_cert_file, p);
    assert_string_equal(secret_expose(c->client_key_pem), KEY_PEM);
    k8s_config_free(c);

    c = must_parse(CONFIG(", certificate-authority: missing.pem, certificate-authority-data: " CERT_B64,
                          "client-certificate: missing, client-certificate-data: " CERT_B64
                          ", client-key: missing, client-key-data: " KEY_B64));
    assert_string_equal(c->ca_pem, CERT_PEM);
    assert_null(c->ca_file);
    assert_null(c->client_cert_file);
    assert_string_equal(secret_expose(c->client_cert_pem), CERT_PEM);
    k8s_config_free(c);
}

static void test_kubeconfig__tokens(void **state) {
    (void)state;
    write_file("token", "  from-file \n\n");
    struct k8s_config *c = must_parse(CONFIG("", "token: abc"));
    assert_string_equal(secret_expose(c->token), "abc");
    assert_null(c->token_file);
    k8s_config_free(c);
    c = must_parse(CONFIG("", "token: abc, tokenFile: token"));
    assert_string_equal(secret_expose(c->token), "from-file");
    assert_non_null(c->token_file);
    k8s_config_free(c);
    c = must_parse(CONFIG("", "token: abc, tokenFile: missing"));
    assert_string_equal(secret_expose(c->token), "abc");
    k8s_config_free(c);
}

static void test_kubeconfig__basic_and_impersonation(void **state) {
    (void)state;
    struct k8s_config *c =
        must_parse(CONFIG("", "username: me, password: 'p:w', as: root, as-uid: '7', as-groups: [a, b], "
                              "as-user-extra: {Scopes/x: [s1, s2], ok: [v]}"));
    assert_string_equal(c->username, "me");
    assert_string_equal(secret_expose(c->password), "p:w");
    assert_string_equal(c->as_user, "root");
    assert_string_equal(c->as_uid, "7");
    assert_int_equal(c->as_groups.n, 2);
    assert_int_equal(c->nas_extra, 3);
    assert_string_equal(c->as_extra[0].key, "Scopes%2Fx");
    assert_string_equal(c->as_extra[1].value, "s2");
    assert_string_equal(c->as_extra[2].key, "ok");
    k8s_config_free(c);
}

static void test_kubeconfig__exec(void **state) {
    (void)state;
    struct k8s_config *c = must_parse(
        "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority-data: " CERT_B64
        ", tls-server-name: n, "
        "proxy-url: 'http://p', extensions: [{name: other, extension: 1}, {name: client.authentication.k8s.io/exec, "
        "extension: {audience: x}}]}}]\n" USER(
            "exec: {command: ./bin/plugin, apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable, "
            "args: [get-token, --x], env: [{name: A, value: b}, {name: EMPTY, value: ''}], provideClusterInfo: true, "
            "installHint: install it}") CONTEXT);
    char *p = path_of("./bin/plugin");
    assert_non_null(c->exec);
    assert_string_equal(c->exec->command, p);
    assert_int_equal(c->exec->args.n, 2);
    assert_string_equal(c->exec->args.v[1], "--x");
    assert_string_equal(c->exec->env.v[0], "A=b");
    assert_string_equal(c->exec->env.v[1], "EMPTY=");
    assert_string_equal(c->exec->install_hint, "install it");
    assert_string_equal(c->exec->cluster_info,
                        "{\"server\":\"https://h\",\"tls-server-name\":\"n\",\"certificate-authority-data\":\"" CERT_B64
                        "\",\"proxy-url\":\"http://p\",\"config\":{\"audience\":\"x\"}}");
    k8s_config_free(c);

    c = must_parse(EXEC(""));
    assert_string_equal(c->exec->command, "plugin");
    assert_null(c->exec->cluster_info);
    k8s_config_free(c);
    /* v1beta1 has a default for interactiveMode. */
    c = must_parse(CONFIG("", "exec: {command: p, apiVersion: client.authentication.k8s.io/v1beta1}"));
    assert_non_null(c->exec);
    k8s_config_free(c);
    /* A static token bypasses the plugin. */
    c = must_parse(CONFIG("", "token: t, exec: {command: p, apiVersion: client.authentication.k8s.io/v1beta1}"));
    assert_null(c->exec);
    k8s_config_free(c);
}

static void test_kubeconfig__a_user_without_fields_is_anonymous(void **state) {
    (void)state;
    struct k8s_config *c = must_parse(CLUSTER("") "users:\n- name: u\n  user:\n" CONTEXT);
    assert_true(c->token == NULL && c->username == NULL && c->exec == NULL && c->client_cert_pem == NULL);
    k8s_config_free(c);
}

static void test_kubeconfig__json_is_yaml(void **state) {
    (void)state;
    struct k8s_config *c = must_parse(
        "{\"apiVersion\":\"v1\",\"kind\":\"Config\",\"clusters\":[{\"name\":\"c\",\"cluster\":{\"server\":\"https://"
        "h\"}}],"
        "\"contexts\":[{\"name\":\"x\",\"context\":{\"cluster\":\"c\",\"user\":\"\"}}],\"current-context\":\"x\","
        "\"preferences\":{}}");
    assert_string_equal(c->server, "https://h");
    k8s_config_free(c);
}

/* ---- errors ---- */

static void test_kubeconfig__every_mistake_says_what_to_do(void **state) {
    static const struct {
        const char *text;
        enum err_code code;
        const char *message;
    } rows[] = {
        {"", ERR_NO_CREDENTIALS, "no current-context; give --context NAME (it has: none)"},
        {"- a", ERR_PARSE, "not a mapping"},
        {"a: [", ERR_PARSE, "kubeconfig"},
        {"contexts: [{name: a, context: {cluster: c}}, {name: b, context: {cluster: c}}]", ERR_NO_CREDENTIALS,
         "it has: a, b"},
        {"contexts: [{name: a, context: {cluster: c}}]\ncurrent-context: z", ERR_INVALID,
         "no context named \"z\" (it has: a)"},
        {"contexts: [{name: a, context: {}}]\ncurrent-context: a", ERR_INVALID, "names no cluster"},
        {"contexts: [{name: a, context: {cluster: c}}]\ncurrent-context: a", ERR_INVALID, "no cluster named \"c\""},
        {CLUSTER("") CONTEXT, ERR_INVALID, "no user named \"u\""},
        {"contexts: {a: b}\ncurrent-context: a", ERR_PARSE, "contexts must be a list"},
        {"contexts: [{context: {}}]\ncurrent-context: a", ERR_PARSE, "has no name"},
        {"contexts: [{name: a}]\ncurrent-context: a", ERR_INVALID, "context \"a\" names no cluster"},
        {"contexts: [{name: a, context: [b]}]\ncurrent-context: a", ERR_PARSE, "context \"a\" is no mapping"},
        {"clusters: [{name: c, cluster: {server: 'https://h'}}, {name: c, cluster: {server: 'https://i'}}]\n" USER("")
             CONTEXT,
         ERR_PARSE, "\"c\" twice"},
        {"clusters: [{name: c, cluster: {}}]\n" USER("a: b") CONTEXT, ERR_INVALID, "has no server"},
        {"clusters: [{name: c, cluster: {x: y}}]\n" USER("a: b") CONTEXT, ERR_INVALID,
         "has no server; add server: https://"},
        {"clusters: [{name: c, cluster: {server: 5}}]\n" USER("a: b") CONTEXT, ERR_PARSE, "server must be a string"},
        {"clusters: [{name: c, cluster: {server: 'https://u:p@h'}}]\n" USER("a: b") CONTEXT, ERR_INVALID,
         "https://host"},
        {"clusters: [{name: c, cluster: {server: 'https://h/?x=1'}}]\n" USER("a: b") CONTEXT, ERR_INVALID, "no more"},
        {CONFIG(", insecure-skip-tls-verify: 'true'", "a: b"), ERR_PARSE, "must be true or false"},
        {CONFIG(", insecure-skip-tls-verify: true, certificate-authority-data: " CERT_B64, "a: b"), ERR_INVALID,
         "remove one of them"},
        {CONFIG(", certificate-authority: nope.pem", "a: b"), ERR_NOT_FOUND, "nope.pem"},
        {CONFIG(", certificate-authority-data: '%%'", "a: b"), ERR_PARSE, "no base64"},
        {CONFIG(", certificate-authority-data: aGVsbG8=", "a: b"), ERR_PARSE, "no PEM certificate"},
        {CONFIG(", proxy-url: 'ftp://x'", "a: b"), ERR_INVALID, "http://, https:// or socks5://"},
        {CONFIG("", "auth-provider: {name: gcp}"), ERR_INVALID, "auth-provider \"gcp\", which Kubernetes removed"},
        {CONFIG("", "token: t, username: me, password: x"), ERR_INVALID,
         "more than one way to log in (token username )"},
        {CONFIG("", "tokenFile: missing"), ERR_NOT_FOUND, "tokenFile"},
        {CONFIG("", "token: [a]"), ERR_PARSE, "token must be a string"},
        {CONFIG("", "token: 123"), ERR_PARSE, "put it in quotes"},
        {CONFIG("", "client-certificate-data: " CERT_B64), ERR_INVALID, "has a client-certificate and no client-key"},
        {CONFIG("", "client-key-data: " KEY_B64), ERR_INVALID, "has a client-key and no client-certificate"},
        {CONFIG("", "client-certificate-data: " KEY_B64 ", client-key-data: " CERT_B64), ERR_PARSE,
         "no PEM certificate"},
        {CONFIG("", "password: x"), ERR_INVALID, "needs a username"},
        {CONFIG("", "as-groups: [a]"), ERR_INVALID, "need as"},
        {CONFIG("", "as: a, as-groups: [1]"), ERR_PARSE, "list of strings"},
        {CONFIG("", "as: a, as-user-extra: [1]"), ERR_PARSE, "as-user-extra"},
        {CONFIG("", "as: a, as-user-extra: {k: v}"), ERR_PARSE, "k must be a list"},
        {CONFIG("", "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}"), ERR_INVALID,
         "exec has no command"},
        {CONFIG("", "exec: {command: p}"), ERR_INVALID, "exec.apiVersion must be"},
        {CONFIG("", "exec: {command: p, apiVersion: client.authentication.k8s.io/v1alpha1}"), ERR_INVALID,
         "aws eks update-kubeconfig"},
        {CONFIG("", "exec: {command: p, apiVersion: client.authentication.k8s.io/v1}"), ERR_INVALID,
         "interactiveMode must be set"},
        {CONFIG("", "exec: {command: p, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}"),
         ERR_INVALID, "no terminal"},
        {CONFIG("", "exec: {command: p, apiVersion: client.authentication.k8s.io/v1, interactiveMode: never}"),
         ERR_INVALID, "none of Never"},
        {CONFIG("", "exec: [a]"), ERR_PARSE, "exec must be a mapping"},
        {EXEC(", args: a"), ERR_PARSE, "args must be a list"},
        {EXEC(", env: [{value: x}]"), ERR_INVALID, "no name"},
        {EXEC(", env: [{name: A=B, value: x}]"), ERR_INVALID, "'='"},
        {EXEC(", env: [{name: A, value: 1}]"), ERR_PARSE, "exec.env A must be a string"},
        {EXEC(", env: {A: B}"), ERR_PARSE, "exec.env must be a list"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        struct k8s_config *c = parse(rows[i].text, &err);
        bool right = c == NULL && err.code == rows[i].code && strstr(err.message, rows[i].message) != NULL;
        k8s_config_free(c);
        if (!right) {
            fail_msg("row %zu: %s \"%s\", wanted %s \"%s\"", i, error_name(err.code), err.message,
                     error_name(rows[i].code), rows[i].message);
        }
    }
}

static void test_kubeconfig__only_the_chosen_context_is_validated(void **state) {
    struct error err = {0};
    (void)state;
    static const char text[] = CLUSTER(
        "") "users: [{name: u, user: {token: t}}, {name: bad, user: {auth-provider: {name: oidc}}}]\n"
            "contexts: [{name: x, context: {cluster: c, user: u}}, {name: y, context: {cluster: c, user: bad}}]\n"
            "current-context: x\n";
    struct k8s_config *c = kubeconfig_parse(text, strlen(text), dir, NULL, true, &err);
    assert_non_null(c);
    k8s_config_free(c);
    assert_null(kubeconfig_parse(text, strlen(text), dir, "y", true, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

/* ---- files ---- */

static void test_kubeconfig_load__first_file_wins_whole_entries(void **state) {
    struct error err = {0};
    (void)state;
    assert_int_equal(mkdir(path_of("sub"), 0700), 0);
    write_file("one", "clusters: [{name: c, cluster: {server: 'https://one'}}]\nusers: []\n");
    write_file("sub/two", "clusters: [{name: c, cluster: {server: 'https://two', tls-server-name: lost}}]\n"
                          "users: [{name: u, user: {tokenFile: tok}}]\n" CONTEXT);
    write_file("sub/tok", "second");
    write_file("three", "current-context: nope\ncontexts: [{name: nope, context: {cluster: c}}]\n");
    const char *files[] = {path_of("absent"), path_of("one"), path_of("sub/two"), path_of("one"), path_of("three")};
    struct kubeconfig_source s = {.paths = files, .npaths = 5};
    struct k8s_config *c = kubeconfig_load(&s, NULL, &err);
    if (c == NULL) {
        fail_msg("%s", err.message);
    }
    assert_string_equal(c->server, "https://one");
    assert_null(c->tls_server_name);
    assert_string_equal(secret_expose(c->token), "second"); /* relative to its own file */
    assert_string_equal(c->context, "x");                   /* the first current-context */
    k8s_config_free(c);
    c = kubeconfig_load(&s, "nope", &err);
    assert_non_null(c);
    k8s_config_free(c);
}

static void test_kubeconfig_load__missing_and_unreadable_files(void **state) {
    struct error err = {0};
    (void)state;
    const char *absent = path_of("absent");
    struct kubeconfig_source s = {.paths = &absent, .npaths = 1, .explicit_path = true};
    assert_null(kubeconfig_load(&s, NULL, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    s.explicit_path = false;
    assert_null(kubeconfig_load(&s, NULL, &err));
    assert_int_equal(err.code, ERR_NO_CREDENTIALS);
    assert_non_null(strstr(err.message, "--kubeconfig"));
    const char *directory = dir;
    s.paths = &directory;
    assert_null(kubeconfig_load(&s, NULL, &err));
    assert_int_equal(err.code, ERR_IO);
    write_file("broken", "a: [");
    const char *broken = path_of("broken");
    s.paths = &broken;
    assert_null(kubeconfig_load(&s, NULL, &err));
    assert_int_equal(err.code, ERR_PARSE);
    assert_non_null(strstr(err.message, "broken"));
    char *fifo = path_of("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const char *fifo_path = fifo;
    s.paths = &fifo_path;
    assert_null(kubeconfig_load(&s, NULL, &err)); /* and does not hang */
    assert_int_equal(err.code, ERR_IO);
}

static void test_k8s_config_load__order_of_sources(void **state) {
    struct error err = {0};
    (void)state;
    write_file("flag", CONFIG("", "token: flag"));
    write_file("env", CONFIG("", "token: env"));
    assert_int_equal(mkdir(path_of(".kube"), 0700), 0);
    write_file(".kube/config", CONFIG("", "token: home"));
    char *flag = path_of("flag");
    char *list = arena_printf(paths, "%s/absent::%s/env:", dir, dir);
    setenv("HOME", dir, 1);
    setenv("KUBECONFIG", list, 1);
    unsetenv("KUBERNETES_SERVICE_HOST");

    struct k8s_config_request r = {.kubeconfig = flag};
    struct k8s_config *c = k8s_config_load(&r, &err);
    assert_string_equal(secret_expose(c->token), "flag");
    k8s_config_free(c);
    r.kubeconfig = NULL;
    c = k8s_config_load(&r, &err);
    assert_string_equal(secret_expose(c->token), "env");
    k8s_config_free(c);
    unsetenv("KUBECONFIG");
    c = k8s_config_load(&r, &err);
    assert_string_equal(secret_expose(c->token), "home");
    k8s_config_free(c);
    /* Inside a cluster the pod's own files come before the home directory's, unless a context is asked for. */
    setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_null(k8s_config_load(&r, &err));
    assert_non_null(strstr(err.message, IN_CLUSTER_DIR));
    r.context = "x";
    c = k8s_config_load(&r, &err);
    assert_string_equal(secret_expose(c->token), "home");
    k8s_config_free(c);
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("HOME");
    assert_null(k8s_config_load(&r, &err));
    assert_int_equal(err.code, ERR_NO_CREDENTIALS);
}

/* ---- in cluster ---- */

static void test_in_cluster_load__files_and_ipv6(void **state) {
    struct error err = {0};
    (void)state;
    assert_int_equal(mkdir(path_of("sa"), 0700), 0);
    char *sa = path_of("sa");
    struct in_cluster_source s = {.host = "10.100.0.1", .port = "443", .dir = sa};
    assert_null(in_cluster_load(&s, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    write_file("sa/token", "tok\n");
    assert_null(in_cluster_load(&s, &err));
    write_file("sa/ca.crt", "half a certificate");
    assert_null(in_cluster_load(&s, &err));
    assert_int_equal(err.code, ERR_PARSE);
    write_file("sa/ca.crt", CERT_PEM);
    struct k8s_config *c = in_cluster_load(&s, &err);
    assert_non_null(c);
    assert_string_equal(c->server, "https://10.100.0.1:443");
    assert_string_equal(c->ns, "default");
    assert_true(c->in_cluster);
    k8s_config_free(c);
    write_file("sa/namespace", "cni-iam-system\n");
    s.host = "fd00::1";
    c = in_cluster_load(&s, &err);
    assert_string_equal(c->server, "https://[fd00::1]:443");
    assert_string_equal(c->ns, "cni-iam-system");
    assert_string_equal(secret_expose(c->token), "tok");
    k8s_config_free(c);
    s.host = "";
    assert_null(in_cluster_load(&s, &err));
    assert_int_equal(err.code, ERR_NO_CREDENTIALS);
    write_file("sa/token", " \n");
    s.host = "h";
    assert_null(in_cluster_load(&s, &err));
    assert_int_equal(err.code, ERR_PARSE);
}

static int make_dir(void **state) {
    (void)state;
    paths = arena_new(0);
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state) {
    (void)state;
    int rc = system(arena_printf(paths, "rm -rf '%s'", dir));
    arena_free(paths);
    return rc;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kubeconfig__cluster_fields),
        cmocka_unit_test(test_kubeconfig__data_wins_over_files_and_paths_are_relative),
        cmocka_unit_test(test_kubeconfig__tokens),
        cmocka_unit_test(test_kubeconfig__basic_and_impersonation),
        cmocka_unit_test(test_kubeconfig__exec),
        cmocka_unit_test(test_kubeconfig__a_user_without_fields_is_anonymous),
        cmocka_unit_test(test_kubeconfig__json_is_yaml),
        cmocka_unit_test(test_kubeconfig__every_mistake_says_what_to_do),
        cmocka_unit_test(test_kubeconfig__only_the_chosen_context_is_validated),
        cmocka_unit_test(test_kubeconfig_load__first_file_wins_whole_entries),
        cmocka_unit_test(test_kubeconfig_load__missing_and_unreadable_files),
        cmocka_unit_test(test_k8s_config_load__order_of_sources),
        cmocka_unit_test(test_in_cluster_load__files_and_ipv6),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
