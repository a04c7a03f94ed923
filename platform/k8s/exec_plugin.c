#include "platform/k8s/exec_plugin.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/arena.h"
#include "platform/base/json.h"
#include "platform/base/log.h"
#include "platform/base/timefmt.h"
#include "platform/k8s/pem.h"
#include "platform/os/process.h"

struct exec_plugin {
    struct loop *loop;
    struct clock clock;
    const struct exec_config *config;
    struct exec_credential credential;
    bool has_credential;
    struct error failure; /* of the last run */
    int64_t failed_boot_ms;
    struct process *process;
    uint64_t timer;
    exec_plugin_fn done; /* NULL: no run */
    void *done_arg;
};

/* ---- what a plugin prints ---- */

void exec_credential_done(struct exec_credential *c) {
    secret_free(c->token);
    secret_free(c->cert_pem);
    secret_free(c->key_pem);
    *c = (struct exec_credential){NULL, NULL, NULL, 0};
}

static bool take_secret(const json *status, const char *key, struct secret **out, struct error *err) {
    const json *j = json_get(status, key);
    if (j == NULL || cJSON_IsNull(j)) {
        return true;
    }
    if (!json_is_string(j)) {
        return error_set(err, ERR_PARSE, "status.%s is no string", key);
    }
    if (str_empty(j->valuestring)) {
        return true;
    }
    *out = secret_new(j->valuestring, strlen(j->valuestring));
    return *out != NULL || error_set(err, ERR_TOO_LARGE, "status.%s is larger than %zu bytes", key, SECRET_MAX);
}

static bool take_expiry(const json *status, int64_t *out, struct error *err) {
    const json *j = json_get(status, "expirationTimestamp");
    if (j == NULL || cJSON_IsNull(j)) {
        return true;
    }
    if (!json_is_string(j) || !timefmt_parse_rfc3339(j->valuestring, out)) {
        return error_set(err, ERR_PARSE, "status.expirationTimestamp is no RFC 3339 time");
    }
    return true;
}

static bool take_status(const json *status, struct exec_credential *c, struct error *err) {
    if (!take_secret(status, "token", &c->token, err) ||
        !take_secret(status, "clientCertificateData", &c->cert_pem, err) ||
        !take_secret(status, "clientKeyData", &c->key_pem, err) || !take_expiry(status, &c->expires_wall_ms, err)) {
        return false;
    }
    if ((c->cert_pem == NULL) != (c->key_pem == NULL)) {
        return error_set(err, ERR_PARSE, "status has only one of clientCertificateData and clientKeyData");
    }
    if (c->token == NULL && c->cert_pem == NULL) {
        return error_set(err, ERR_PARSE, "status has neither a token nor a certificate");
    }
    return c->cert_pem == NULL || (pem_has_certificate(secret_expose(c->cert_pem), "clientCertificateData", err) &&
                                   pem_has_private_key(secret_expose(c->key_pem), "clientKeyData", err));
}

static bool take_document(const json *doc, const char *api_version, struct exec_credential *c, struct error *err) {
    if (!str_eq(json_str(doc, "kind"), "ExecCredential")) {
        return error_set(err, ERR_PARSE, "the output is no ExecCredential");
    }
    if (!str_eq(json_str(doc, "apiVersion"), api_version)) {
        return error_set(err, ERR_PARSE, "the output has apiVersion \"%.80s\" where the kubeconfig asks for \"%s\"",
                         str_or(json_str(doc, "apiVersion"), ""), api_version);
    }
    if (!json_is_object(json_get(doc, "status"))) {
        return error_set(err, ERR_PARSE, "the output has no status");
    }
    return take_status(json_get(doc, "status"), c, err);
}

bool exec_credential_parse(const char *text, size_t len, const char *api_version, struct exec_credential *out,
                           struct error *err) {
    struct exec_credential c = {NULL, NULL, NULL, 0};
    json *doc = json_parse(text, len, err);
    if (doc == NULL) {
        /* The parser's message may quote what it saw; that may be a token. */
        return error_set(err, ERR_PARSE, "the output is no JSON document");
    }
    bool ok = take_document(doc, api_version, &c, err);
    json_free(doc);
    if (!ok) {
        exec_credential_done(&c);
        return false;
    }
    *out = c;
    return true;
}

/* ---- the runs ---- */

struct exec_plugin *exec_plugin_new(struct loop *l, const struct exec_config *config) {
    struct exec_plugin *p = calloc(1, sizeof *p);
    if (p == NULL) {
        die("out of memory");
    }
    p->loop = l;
    p->clock = loop_clock(l);
    p->config = config;
    return p;
}

void exec_plugin_drop(struct exec_plugin *p) {
    exec_credential_done(&p->credential);
    p->has_credential = false;
}

void exec_plugin_free(struct exec_plugin *p) {
    if (p == NULL) {
        return;
    }
    if (p->process != NULL) {
        process_cancel(p->process);
    }
    p->clock.timer_stop(p->clock.ctx, p->timer);
    exec_plugin_drop(p);
    free(p);
}

const struct exec_credential *exec_plugin_credential(const struct exec_plugin *p) {
    if (!p->has_credential) {
        return NULL;
    }
    if (p->credential.expires_wall_ms != 0 &&
        p->clock.wall_ms(p->clock.ctx) >= p->credential.expires_wall_ms - EXEC_PLUGIN_LEEWAY_MS) {
        return NULL;
    }
    return &p->credential;
}

const struct exec_credential *exec_plugin_latest(const struct exec_plugin *p) {
    return p->has_credential ? &p->credential : NULL;
}

static void finish(struct exec_plugin *p, const struct error *err) {
    exec_plugin_fn done = p->done;
    p->done = NULL;
    if (err->code != ERR_NONE && err != &p->failure) {
        p->failure = *err;
        p->failed_boot_ms = p->clock.boot_ms(p->clock.ctx);
    }
    done(p->done_arg, err);
}

static void on_output(void *arg, const char *out, size_t len, const struct error *run_err) {
    struct exec_plugin *p = arg;
    struct exec_credential fresh = {NULL, NULL, NULL, 0};
    struct error err = *run_err;

    p->process = NULL;
    if (err.code == ERR_NONE && exec_credential_parse(out, len, p->config->api_version, &fresh, &err)) {
        exec_plugin_drop(p);
        p->credential = fresh;
        p->has_credential = true;
        p->failure.code = ERR_NONE;
        error_clear(&err);
        LOG_DEBUG("k8s", "exec plugin gave a credential", F_STR("command", p->config->command),
                  F_BOOL("certificate", fresh.cert_pem != NULL), F_INT("expires_wall_ms", fresh.expires_wall_ms));
    } else {
        char reason[ERROR_MESSAGE_MAX];
        (void)str_copy(reason, sizeof reason, err.message);
        (void)error_set(&err, ERR_NO_CREDENTIALS, "exec plugin %s: %s", p->config->command, reason);
    }
    finish(p, &err);
}

static void on_failure_timer(void *arg) {
    struct exec_plugin *p = arg;
    p->timer = 0;
    finish(p, &p->failure);
}

/* KUBERNETES_EXEC_INFO and the kubeconfig's own variables. */
static const char *const *environment(const struct exec_config *config, struct arena *a) {
    const char **env = ARENA_ARRAY(a, config->env.n + 2, const char *);
    json *info = json_object();
    json_add_str(info, "apiVersion", config->api_version);
    json_add_str(info, "kind", "ExecCredential");
    json *spec = json_add_object(info, "spec");
    struct error ignored;
    json *cluster =
        config->cluster_info != NULL ? json_parse(config->cluster_info, strlen(config->cluster_info), &ignored) : NULL;
    if (cluster != NULL) {
        json_add_item(spec, "cluster", cluster);
    }
    json_add_bool(spec, "interactive", false);
    for (size_t i = 0; i < config->env.n; i++) {
        env[i] = config->env.v[i];
    }
    env[config->env.n] = arena_printf(a, "KUBERNETES_EXEC_INFO=%s", json_print_arena(info, a));
    json_free(info);
    return env;
}

static bool start(struct exec_plugin *p, struct error *err) {
    struct arena *a = arena_new(0);
    const struct exec_config *config = p->config;
    const char **argv = ARENA_ARRAY(a, config->args.n + 2, const char *);
    argv[0] = config->command;
    for (size_t i = 0; i < config->args.n; i++) {
        argv[i + 1] = config->args.v[i];
    }
    struct process_request r = {.argv = argv, .extra_env = environment(config, a)};
    p->process = process_start(p->loop, &r, on_output, p, err);
    arena_free(a);
    return p->process != NULL;
}

void exec_plugin_run(struct exec_plugin *p, exec_plugin_fn done, void *arg) {
    struct error err;
    assert(p->done == NULL);
    p->done = done;
    p->done_arg = arg;
    bool hold = p->failure.code != ERR_NONE && p->clock.boot_ms(p->clock.ctx) - p->failed_boot_ms < EXEC_PLUGIN_HOLD_MS;
    if (!hold && start(p, &err)) {
        return;
    }
    if (!hold) {
        (void)error_set(&p->failure, ERR_NO_CREDENTIALS, "exec plugin %s can not be started: %s%s%s",
                        p->config->command, err.message, p->config->install_hint != NULL ? "; " : "",
                        str_or(p->config->install_hint, ""));
        p->failed_boot_ms = p->clock.boot_ms(p->clock.ctx);
    }
    p->timer = p->clock.timer_start(p->clock.ctx, 0, on_failure_timer, p);
}
