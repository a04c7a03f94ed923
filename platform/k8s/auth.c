#include "platform/k8s/auth.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/log.h"
#include "platform/k8s/base64.h"
#include "platform/k8s/exec_plugin.h"
#include "platform/k8s/file_text.h"
#include "platform/k8s/pem.h"

struct k8s_auth {
    struct loop *loop;
    struct clock clock;
    const struct k8s_config *config;
    bool may_send_credentials;
    struct secret *authorization;
    uint64_t token_generation;
    int64_t token_read_boot_ms;
    char *ca_pem;
    struct secret *cert, *key;
    uint64_t tls_generation;
    int64_t ca_read_boot_ms;
    int64_t cert_read_boot_ms;
    struct exec_plugin *plugin;
    bool plugin_running;
    bool plugin_fresh;              /* a run has just ended well: use its credential even if it is about to expire */
    struct k8s_auth_waiter waiters; /* ring head */
    struct http_header headers[AUTH_HEADERS_MAX];
    size_t nimpersonation; /* headers[1..] */
};

/* ---- headers ---- */

/* A header value ends at a line end: what comes from files and plugins must not be able to write headers of its own. */
static bool header_is_safe(const char *value) {
    for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool add_header(struct k8s_auth *a, const char *name, const char *value, struct error *err) {
    if (!header_is_safe(value)) {
        return error_set(err, ERR_INVALID, "%s: the value has control characters", name);
    }
    a->headers[1 + a->nimpersonation++] = (struct http_header){.name = name, .value = value};
    return true;
}

static bool add_impersonation(struct k8s_auth *a, struct error *err) {
    const struct k8s_config *c = a->config;
    if (c->as_groups.n > K8S_CONFIG_EXTRAS_MAX) {
        return error_set(err, ERR_TOO_LARGE, "as-groups has more than %d groups", K8S_CONFIG_EXTRAS_MAX);
    }
    if ((c->as_user != NULL && !add_header(a, "Impersonate-User", c->as_user, err)) ||
        (c->as_uid != NULL && !add_header(a, "Impersonate-Uid", c->as_uid, err))) {
        return false;
    }
    for (size_t i = 0; i < c->as_groups.n; i++) {
        if (!add_header(a, "Impersonate-Group", c->as_groups.v[i], err)) {
            return false;
        }
    }
    for (size_t i = 0; i < c->nas_extra; i++) {
        const char *name = arena_printf(c->arena, "Impersonate-Extra-%s", c->as_extra[i].key);
        if (!add_header(a, name, c->as_extra[i].value, err)) {
            return false;
        }
    }
    return true;
}

static void set_authorization(struct k8s_auth *a, struct secret *header) {
    if (secret_equal(a->authorization, header)) {
        secret_free(header);
        return;
    }
    secret_free(a->authorization);
    a->authorization = header;
    a->token_generation++;
}

static bool set_bearer(struct k8s_auth *a, const struct secret *token, struct error *err) {
    static const char prefix[] = "Bearer ";
    const char *text = secret_expose(token);
    if (strlen(text) != secret_len(token) || strpbrk(text, " ") != NULL || !header_is_safe(text)) {
        return error_set(err, ERR_INVALID, "the bearer token has spaces or control characters");
    }
    size_t n = sizeof prefix - 1 + secret_len(token);
    char *header = calloc(1, n + 1);
    if (header == NULL) {
        die("out of memory");
    }
    memcpy(header, prefix, sizeof prefix - 1);
    memcpy(header + sizeof prefix - 1, text, secret_len(token));
    struct secret *made = secret_new(header, n);
    explicit_bzero(header, n);
    free(header);
    if (made == NULL) {
        return error_set(err, ERR_TOO_LARGE, "the bearer token is larger than %zu bytes", SECRET_MAX);
    }
    set_authorization(a, made);
    return true;
}

static bool set_basic(struct k8s_auth *a, struct error *err) {
    size_t nuser = strlen(a->config->username);
    size_t n = nuser + 1 + secret_len(a->config->password);
    char *pair = calloc(1, n + 1);
    char *header = calloc(1, BASE64_SIZE(n) + 6);
    if (pair == NULL || header == NULL) {
        die("out of memory");
    }
    memcpy(pair, a->config->username, nuser);
    pair[nuser] = ':';
    memcpy(pair + nuser + 1, secret_expose(a->config->password), secret_len(a->config->password));
    (void)stpcpy(header, "Basic ");
    size_t length = 6 + base64_encode(pair, n, header + 6);
    struct secret *made = secret_new(header, length);
    explicit_bzero(pair, n);
    explicit_bzero(header, length);
    free(pair);
    free(header);
    if (made == NULL) {
        return error_set(err, ERR_TOO_LARGE, "the password is too large");
    }
    set_authorization(a, made);
    return true;
}

/* ---- files ---- */

static void warn_kept(const char *what, const struct error *err) {
    LOG_WARN("k8s", "a credential file could not be used; the old content stays in use", F_STR("what", what),
             F_STR("error", err->message));
}

/* True if there is a new token. */
static bool read_token(struct k8s_auth *a) {
    struct error err;
    uint64_t before = a->token_generation;
    a->token_read_boot_ms = a->clock.boot_ms(a->clock.ctx);
    struct secret *token = file_secret_trimmed(a->config->token_file, SECRET_MAX, &err);
    if (token == NULL || !set_bearer(a, token, &err)) {
        warn_kept("token", &err);
    }
    secret_free(token);
    return a->token_generation != before;
}

static void read_ca(struct k8s_auth *a) {
    struct error err;
    size_t n = 0;
    a->ca_read_boot_ms = a->clock.boot_ms(a->clock.ctx);
    char *ca = file_text(a->config->ca_file, K8S_FILE_MAX, &n, NULL, &err);
    if (ca == NULL || !pem_has_certificate(ca, a->config->ca_file, &err)) {
        warn_kept("certificate-authority", &err);
        free(ca);
        return;
    }
    if (str_eq(ca, a->ca_pem)) {
        free(ca);
        return;
    }
    free(a->ca_pem);
    a->ca_pem = ca;
    a->tls_generation++;
    LOG_INFO("k8s", "the API server's CA has changed", F_STR("file", a->config->ca_file));
}

static void set_pair(struct k8s_auth *a, struct secret *cert, struct secret *key) {
    if (secret_equal(cert, a->cert) && secret_equal(key, a->key)) {
        secret_free(cert);
        secret_free(key);
        return;
    }
    secret_free(a->cert);
    secret_free(a->key);
    a->cert = cert;
    a->key = key;
    a->tls_generation++;
}

/* Both files or none: between the two writes of a rotation the pair does not fit, and the next check finds it whole. */
static void read_pair(struct k8s_auth *a) {
    struct error err;
    const struct k8s_config *c = a->config;
    a->cert_read_boot_ms = a->clock.boot_ms(a->clock.ctx);
    struct secret *cert = c->client_cert_file != NULL ? file_secret(c->client_cert_file, SECRET_MAX, &err)
                                                      : secret_dup(c->client_cert_pem);
    struct secret *key = cert == NULL                 ? NULL
                         : c->client_key_file != NULL ? file_secret(c->client_key_file, SECRET_MAX, &err)
                                                      : secret_dup(c->client_key_pem);
    if (cert == NULL || key == NULL || !pem_has_certificate(secret_expose(cert), "client-certificate", &err) ||
        !pem_has_private_key(secret_expose(key), "client-key", &err)) {
        warn_kept("client-certificate", &err);
        secret_free(cert);
        secret_free(key);
        return;
    }
    set_pair(a, cert, key);
}

static bool is_due(const struct k8s_auth *a, int64_t read_boot_ms, int64_t period_ms) {
    int64_t period = a->config->reread_ms > 0 ? a->config->reread_ms : period_ms;
    return a->clock.boot_ms(a->clock.ctx) - read_boot_ms >= period;
}

static void read_what_is_due(struct k8s_auth *a) {
    const struct k8s_config *c = a->config;
    if (a->may_send_credentials && c->token_file != NULL && is_due(a, a->token_read_boot_ms, AUTH_TOKEN_PERIOD_MS)) {
        (void)read_token(a);
    }
    if (c->ca_file != NULL && is_due(a, a->ca_read_boot_ms, AUTH_CA_PERIOD_MS)) {
        read_ca(a);
    }
    bool cert_in_files = c->client_cert_file != NULL || c->client_key_file != NULL;
    if (a->may_send_credentials && cert_in_files && is_due(a, a->cert_read_boot_ms, AUTH_CERT_PERIOD_MS)) {
        read_pair(a);
    }
}

/* ---- life ---- */

static bool start_with_config(struct k8s_auth *a, struct error *err) {
    const struct k8s_config *c = a->config;
    if (c->ca_pem != NULL) {
        a->ca_pem = strdup(c->ca_pem);
        if (a->ca_pem == NULL) {
            die("out of memory");
        }
    }
    if (!a->may_send_credentials) {
        bool any = c->token != NULL || c->username != NULL || c->client_cert_pem != NULL || c->exec != NULL;
        if (any) {
            LOG_WARN("k8s", "the server is not https: requests go without credentials", F_STR("server", c->server));
        }
        return true;
    }
    a->cert = secret_dup(c->client_cert_pem);
    a->key = secret_dup(c->client_key_pem);
    if (c->exec != NULL) {
        a->plugin = exec_plugin_new(a->loop, c->exec);
    }
    if (c->token != NULL && !set_bearer(a, c->token, err)) {
        return false;
    }
    return (c->username == NULL || set_basic(a, err)) && add_impersonation(a, err);
}

struct k8s_auth *k8s_auth_new(struct loop *l, const struct k8s_config *config, struct error *err) {
    struct k8s_auth *a = calloc(1, sizeof *a);
    if (a == NULL) {
        die("out of memory");
    }
    a->loop = l;
    a->clock = loop_clock(l);
    a->config = config;
    a->may_send_credentials = str_has_prefix(config->server, "https://");
    a->waiters.next = a->waiters.prev = &a->waiters;
    a->token_read_boot_ms = a->ca_read_boot_ms = a->cert_read_boot_ms = a->clock.boot_ms(a->clock.ctx);
    if (!start_with_config(a, err)) {
        k8s_auth_free(a);
        return NULL;
    }
    return a;
}

void k8s_auth_free(struct k8s_auth *a) {
    if (a == NULL) {
        return;
    }
    exec_plugin_free(a->plugin);
    secret_free(a->authorization);
    free(a->ca_pem);
    secret_free(a->cert);
    secret_free(a->key);
    free(a);
}

/* ---- the plugin ---- */

void k8s_auth_unwait(struct k8s_auth *a, struct k8s_auth_waiter *w) {
    (void)a;
    if (w->waiting) {
        w->prev->next = w->next;
        w->next->prev = w->prev;
        w->waiting = false;
    }
}

void k8s_auth_wait(struct k8s_auth *a, struct k8s_auth_waiter *w) {
    w->prev = a->waiters.prev;
    w->next = &a->waiters;
    w->prev->next = w;
    a->waiters.prev = w;
    w->waiting = true;
}

static void take_from_plugin(struct k8s_auth *a, const struct exec_credential *c, struct error *err) {
    if (c->token != NULL) {
        (void)set_bearer(a, c->token, err);
    } else {
        set_authorization(a, NULL);
    }
    set_pair(a, secret_dup(c->cert_pem), secret_dup(c->key_pem));
}

/* Moves the waiters to a ring of their own: whoever begins to wait meanwhile is served by the next run. */
static void splice(struct k8s_auth_waiter *from, struct k8s_auth_waiter *to) {
    to->next = to->prev = to;
    if (from->next != from) {
        to->next = from->next;
        to->prev = from->prev;
        to->next->prev = to;
        to->prev->next = to;
        from->next = from->prev = from;
    }
}

static void on_plugin(void *arg, const struct error *run_err) {
    struct k8s_auth *a = arg;
    struct error err = *run_err;
    struct k8s_auth_waiter served;

    a->plugin_running = false;
    if (err.code == ERR_NONE) {
        take_from_plugin(a, exec_plugin_latest(a->plugin), &err);
    }
    if (err.code != ERR_NONE) {
        exec_plugin_drop(a->plugin);
    }
    a->plugin_fresh = err.code == ERR_NONE;
    splice(&a->waiters, &served);
    while (served.next != &served) {
        struct k8s_auth_waiter *w = served.next;
        k8s_auth_unwait(a, w);
        w->fn(w->arg, &err);
    }
    a->plugin_fresh = false;
}

/* ---- use ---- */

bool k8s_auth_get(struct k8s_auth *a, struct k8s_identity *out) {
    read_what_is_due(a);
    if (a->plugin != NULL && !a->plugin_fresh && exec_plugin_credential(a->plugin) == NULL) {
        if (!a->plugin_running) {
            a->plugin_running = true;
            exec_plugin_run(a->plugin, on_plugin, a);
        }
        return false;
    }
    a->headers[0] = (struct http_header){.name = "Authorization", .secret_value = a->authorization};
    size_t skip = a->authorization == NULL ? 1 : 0;
    *out = (struct k8s_identity){.headers = a->headers + skip,
                                 .nheaders = 1 - skip + a->nimpersonation,
                                 .ca_pem = a->ca_pem,
                                 .client_cert_pem = a->cert,
                                 .client_key_pem = a->key,
                                 .token_generation = a->token_generation,
                                 .tls_generation = a->tls_generation};
    return true;
}

bool k8s_auth_rejected(struct k8s_auth *a, uint64_t token_generation) {
    if (token_generation != a->token_generation) {
        return true; /* another request has had it replaced already */
    }
    if (a->plugin != NULL) {
        exec_plugin_drop(a->plugin);
        a->token_generation++; /* so that the others who were refused with it do not drop the next one */
        return true;
    }
    return a->may_send_credentials && a->config->token_file != NULL && read_token(a);
}
