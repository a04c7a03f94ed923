#include "platform/k8s/kubeconfig_entry.h"

#include <string.h>

#include "platform/base/digest.h"
#include "platform/http/http.h"
#include "platform/k8s/file_text.h"
#include "platform/k8s/pem.h"

/* ---- fields ---- */

static const json *field(const struct kubeconfig_entry *e, const char *key) {
    const json *j = json_get(e->body, key);
    return j != NULL && !cJSON_IsNull(j) ? j : NULL;
}

bool kubeconfig_string(const struct kubeconfig_entry *e, const char *key, const char **out, struct error *err) {
    const json *j = field(e, key);
    *out = NULL;
    if (j == NULL) {
        return true;
    }
    if (!json_is_string(j)) {
        return error_set(err, ERR_PARSE, "%s \"%s\": %s must be a string (put it in quotes)", e->what, e->name, key);
    }
    *out = str_empty(j->valuestring) ? NULL : j->valuestring;
    return true;
}

bool kubeconfig_flag(const struct kubeconfig_entry *e, const char *key, bool *out, struct error *err) {
    const json *j = field(e, key);
    *out = false;
    if (j == NULL) {
        return true;
    }
    if (!cJSON_IsBool(j)) {
        return error_set(err, ERR_PARSE, "%s \"%s\": %s must be true or false", e->what, e->name, key);
    }
    *out = cJSON_IsTrue(j) != 0;
    return true;
}

bool kubeconfig_strings(const struct kubeconfig_entry *e, const char *key, struct strlist *out, struct arena *a,
                        struct error *err) {
    const json *j = field(e, key);
    if (j == NULL) {
        return true;
    }
    if (!json_is_array(j)) {
        return error_set(err, ERR_PARSE, "%s \"%s\": %s must be a list of strings", e->what, e->name, key);
    }
    for (const json *it = json_first(j); it != NULL; it = it->next) {
        if (!json_is_string(it)) {
            return error_set(err, ERR_PARSE, "%s \"%s\": %s must be a list of strings (put numbers in quotes)", e->what,
                             e->name, key);
        }
        strlist_add(out, it->valuestring, a);
    }
    return true;
}

const char *kubeconfig_path(const struct kubeconfig_entry *e, const char *path, struct arena *a) {
    if (path == NULL) {
        return NULL;
    }
    return path[0] == '/' ? arena_strdup(a, path) : arena_printf(a, "%s/%s", e->dir, path);
}

/* Base64 text of the field `key` -> decoded text, or NULL. */
static bool data_field(const struct kubeconfig_entry *e, const char *key, char **out, size_t *out_bytes,
                       struct arena *a, struct error *err) {
    const char *text = NULL;
    *out = NULL;
    if (!kubeconfig_string(e, key, &text, err)) {
        return false;
    }
    if (text == NULL) {
        return true;
    }
    *out = digest_base64_decode(text, out_bytes, a);
    if (*out == NULL || strlen(*out) != *out_bytes) {
        return error_set(err, ERR_PARSE, "%s \"%s\": %s is no base64 text", e->what, e->name, key);
    }
    return true;
}

/* ---- cluster ---- */

static bool take_server(const struct kubeconfig_entry *e, struct k8s_config *c, struct error *err) {
    const char *server = NULL;
    struct url u;
    if (!kubeconfig_string(e, "server", &server, err)) {
        return false;
    }
    if (server == NULL) {
        return error_set(err, ERR_INVALID, "cluster \"%s\" has no server; add server: https://...", e->name);
    }
    if (!url_parse(server, &u, c->arena, err)) {
        return error_wrap(err, "cluster \"%s\": server", e->name);
    }
    if (u.has_userinfo || strpbrk(server, "?#") != NULL) {
        return error_set(err, ERR_INVALID, "cluster \"%s\": server must be https://host[:port][/path] and no more",
                         e->name);
    }
    size_t n = strlen(server);
    while (n > 0 && server[n - 1] == '/') {
        n--;
    }
    c->server = arena_strndup(c->arena, server, n);
    return true;
}

static bool take_ca(const struct kubeconfig_entry *e, struct k8s_config *c, bool read_files, struct error *err) {
    const char *file = NULL;
    char *data = NULL;
    size_t n = 0;
    if (!kubeconfig_string(e, "certificate-authority", &file, err) ||
        !data_field(e, "certificate-authority-data", &data, &n, c->arena, err)) {
        return false;
    }
    if (data != NULL) {
        c->ca_pem = data;
        return pem_has_certificate(data, "certificate-authority-data", err) ||
               error_wrap(err, "cluster \"%s\"", e->name);
    }
    if (file == NULL) {
        return true;
    }
    c->ca_file = kubeconfig_path(e, file, c->arena);
    if (!read_files) {
        return true;
    }
    c->ca_pem = file_text(c->ca_file, K8S_FILE_MAX, &n, c->arena, err);
    if (c->ca_pem == NULL || !pem_has_certificate(c->ca_pem, c->ca_file, err)) {
        return error_wrap(err, "cluster \"%s\": certificate-authority", e->name);
    }
    return true;
}

static bool take_proxy(const struct kubeconfig_entry *e, struct k8s_config *c, struct error *err) {
    const char *proxy = NULL;
    if (!kubeconfig_string(e, "proxy-url", &proxy, err)) {
        return false;
    }
    if (proxy == NULL) {
        return true;
    }
    if (!str_has_prefix(proxy, "http://") && !str_has_prefix(proxy, "https://") &&
        !str_has_prefix(proxy, "socks5://")) {
        return error_set(err, ERR_INVALID, "cluster \"%s\": proxy-url must begin with http://, https:// or socks5://",
                         e->name);
    }
    c->proxy_url = arena_strdup(c->arena, proxy);
    return true;
}

bool kubeconfig_cluster(const struct kubeconfig_entry *e, struct k8s_config *c, bool read_files, struct error *err) {
    const char *name = NULL;
    if (!take_server(e, c, err) || !take_ca(e, c, read_files, err) || !take_proxy(e, c, err) ||
        !kubeconfig_flag(e, "insecure-skip-tls-verify", &c->insecure_skip_tls_verify, err) ||
        !kubeconfig_string(e, "tls-server-name", &name, err)) {
        return false;
    }
    c->tls_server_name = arena_strdup(c->arena, name);
    if (c->insecure_skip_tls_verify && (c->ca_pem != NULL || c->ca_file != NULL)) {
        return error_set(err, ERR_INVALID,
                         "cluster \"%s\" has a certificate-authority and insecure-skip-tls-verify; remove one of them",
                         e->name);
    }
    return true;
}

/* ---- user ---- */

static bool refuse_auth_provider(const struct kubeconfig_entry *e, struct error *err) {
    const json *provider = field(e, "auth-provider");
    if (provider == NULL) {
        return true;
    }
    return error_set(err, ERR_INVALID,
                     "user \"%s\" has auth-provider \"%s\", which Kubernetes removed in 1.26; use an exec plugin "
                     "(for EKS: aws eks update-kubeconfig)",
                     e->name, str_or(json_str(provider, "name"), "?"));
}

/* One half of the pair: data wins over file. */
static bool take_pem(const struct kubeconfig_entry *e, const char *key, struct secret **out, const char **out_file,
                     bool read_files, struct arena *a, struct error *err) {
    const char *file = NULL;
    char *data = NULL;
    size_t n = 0;
    char *data_key = arena_printf(a, "%s-data", key);
    if (!kubeconfig_string(e, key, &file, err) || !data_field(e, data_key, &data, &n, a, err)) {
        return false;
    }
    if (data != NULL) {
        *out = secret_new(data, n);
        explicit_bzero(data, n);
        return *out != NULL || error_set(err, ERR_TOO_LARGE, "user \"%s\": %s is too large", e->name, data_key);
    }
    *out_file = kubeconfig_path(e, file, a);
    if (file == NULL || !read_files) {
        return true;
    }
    *out = file_secret(*out_file, SECRET_MAX, err);
    return *out != NULL || error_wrap(err, "user \"%s\": %s", e->name, key);
}

static bool take_certificate(const struct kubeconfig_entry *e, struct k8s_config *c, bool read_files,
                             struct error *err) {
    if (!take_pem(e, "client-certificate", &c->client_cert_pem, &c->client_cert_file, read_files, c->arena, err) ||
        !take_pem(e, "client-key", &c->client_key_pem, &c->client_key_file, read_files, c->arena, err)) {
        return false;
    }
    bool has_cert = c->client_cert_pem != NULL || c->client_cert_file != NULL;
    bool has_key = c->client_key_pem != NULL || c->client_key_file != NULL;
    if (has_cert != has_key) {
        return error_set(err, ERR_INVALID, "user \"%s\" has a %s and no %s; both or none", e->name,
                         has_cert ? "client-certificate" : "client-key",
                         has_cert ? "client-key" : "client-certificate");
    }
    if (c->client_cert_pem != NULL &&
        (!pem_has_certificate(secret_expose(c->client_cert_pem), "client-certificate", err) ||
         !pem_has_private_key(secret_expose(c->client_key_pem), "client-key", err))) {
        return error_wrap(err, "user \"%s\"", e->name);
    }
    return true;
}

static bool take_token(const struct kubeconfig_entry *e, struct k8s_config *c, bool read_files, struct error *err) {
    const char *token = NULL;
    const char *file = NULL;
    if (!kubeconfig_string(e, "token", &token, err) || !kubeconfig_string(e, "tokenFile", &file, err)) {
        return false;
    }
    if (token != NULL) {
        c->token = secret_new(token, strlen(token));
        if (c->token == NULL) {
            return error_set(err, ERR_TOO_LARGE, "user \"%s\": token is too large", e->name);
        }
    }
    if (file == NULL) {
        return true;
    }
    c->token_file = kubeconfig_path(e, file, c->arena);
    if (!read_files) {
        return true;
    }
    /* The file wins; a token beside it is what to use until the file can be read. */
    struct secret *read = file_secret_trimmed(c->token_file, SECRET_MAX, err);
    if (read == NULL && c->token == NULL) {
        return error_wrap(err, "user \"%s\": tokenFile", e->name);
    }
    if (read != NULL) {
        secret_free(c->token);
        c->token = read;
    }
    return true;
}

static bool take_basic(const struct kubeconfig_entry *e, struct k8s_config *c, struct error *err) {
    const char *username = NULL;
    const char *password = NULL;
    if (!kubeconfig_string(e, "username", &username, err) || !kubeconfig_string(e, "password", &password, err)) {
        return false;
    }
    if (username == NULL && password == NULL) {
        return true;
    }
    if (username == NULL || strchr(username, ':') != NULL) {
        return error_set(err, ERR_INVALID, "user \"%s\": a password needs a username without ':'", e->name);
    }
    c->username = arena_strdup(c->arena, username);
    c->password = secret_new(str_or(password, ""), password != NULL ? strlen(password) : 0);
    return c->password != NULL || error_set(err, ERR_TOO_LARGE, "user \"%s\": password is too large", e->name);
}

/* Header names take letters, digits and some punctuation; the rest is percent-encoded, as client-go does. */
static bool take_extra(const struct kubeconfig_entry *e, struct k8s_config *c, struct error *err) {
    const json *extra = field(e, "as-user-extra");
    if (extra != NULL && !json_is_object(extra)) {
        return error_set(err, ERR_PARSE, "user \"%s\": as-user-extra must be a mapping to lists of strings", e->name);
    }
    struct kubeconfig_entry sub = {e->what, e->name, e->dir, extra};
    for (const json *it = json_first(extra); it != NULL; it = it->next) {
        struct strlist values = {NULL, 0};
        if (!kubeconfig_strings(&sub, it->string, &values, c->arena, err)) {
            return false;
        }
        for (size_t i = 0; i < values.n; i++) {
            if (c->nas_extra == K8S_CONFIG_EXTRAS_MAX) {
                return error_set(err, ERR_TOO_LARGE, "user \"%s\": as-user-extra has more than %d values", e->name,
                                 K8S_CONFIG_EXTRAS_MAX);
            }
            c->as_extra[c->nas_extra++] =
                (struct k8s_impersonation_extra){str_percent_encode(it->string, "!#$&'*+^`|", c->arena), values.v[i]};
        }
    }
    return true;
}

static bool take_impersonation(const struct kubeconfig_entry *e, struct k8s_config *c, struct error *err) {
    const char *user = NULL;
    const char *uid = NULL;
    if (!kubeconfig_string(e, "as", &user, err) || !kubeconfig_string(e, "as-uid", &uid, err) ||
        !kubeconfig_strings(e, "as-groups", &c->as_groups, c->arena, err) || !take_extra(e, c, err)) {
        return false;
    }
    c->as_user = arena_strdup(c->arena, user);
    c->as_uid = arena_strdup(c->arena, uid);
    if (user == NULL && (uid != NULL || c->as_groups.n > 0 || c->nas_extra > 0)) {
        return error_set(err, ERR_INVALID, "user \"%s\": as-uid, as-groups and as-user-extra need as", e->name);
    }
    return true;
}

static bool check_one_method(const struct kubeconfig_entry *e, const struct k8s_config *c, struct error *err) {
    bool token = c->token != NULL || c->token_file != NULL;
    bool basic = c->username != NULL;
    bool cert = c->client_cert_pem != NULL || c->client_cert_file != NULL;
    if ((int)token + (int)basic + (int)cert > 1) {
        return error_set(err, ERR_INVALID,
                         "user \"%s\" has more than one way to log in (%s%s%s); keep one of token, username, "
                         "client-certificate",
                         e->name, token ? "token " : "", basic ? "username " : "", cert ? "client-certificate" : "");
    }
    return true;
}

bool kubeconfig_user(const struct kubeconfig_entry *e, const struct kubeconfig_entry *cluster, struct k8s_config *c,
                     bool read_files, struct error *err) {
    if (!refuse_auth_provider(e, err) || !take_certificate(e, c, read_files, err) ||
        !take_token(e, c, read_files, err) || !take_basic(e, c, err) || !take_impersonation(e, c, err) ||
        !check_one_method(e, c, err) || !kubeconfig_exec(e, cluster, c, err)) {
        return false;
    }
    /* A static credential beside a plugin bypasses the plugin (K-A3). */
    if (c->token != NULL || c->token_file != NULL || c->username != NULL || c->client_cert_pem != NULL) {
        c->exec = NULL;
    }
    return true;
}
