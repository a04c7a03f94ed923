/* user.exec: what to run, and what the plugin is told about the cluster (K-A3). */
#include <string.h>

#include "platform/base/json.h"
#include "platform/k8s/base64.h"
#include "platform/k8s/kubeconfig_entry.h"

static bool check_version_and_mode(const struct kubeconfig_entry *user, const char *version, const char *mode,
                                   struct error *err) {
    bool v1 = str_eq(version, "client.authentication.k8s.io/v1");
    if (!v1 && !str_eq(version, "client.authentication.k8s.io/v1beta1")) {
        return error_set(err, ERR_INVALID,
                         "user \"%s\": exec.apiVersion must be client.authentication.k8s.io/v1 or .../v1beta1, not "
                         "\"%s\" (update the plugin: aws eks update-kubeconfig)",
                         user->name, str_or(version, ""));
    }
    if (mode == NULL && v1) {
        return error_set(err, ERR_INVALID,
                         "user \"%s\": exec.interactiveMode must be set for %s (Never or IfAvailable)", user->name,
                         version);
    }
    if (str_eq(mode, "Always")) {
        return error_set(err, ERR_INVALID,
                         "user \"%s\": exec.interactiveMode is Always, and there is no terminal here; use Never or "
                         "IfAvailable",
                         user->name);
    }
    if (mode != NULL && !str_eq(mode, "Never") && !str_eq(mode, "IfAvailable")) {
        return error_set(err, ERR_INVALID, "user \"%s\": exec.interactiveMode \"%s\" is none of Never, IfAvailable",
                         user->name, mode);
    }
    return true;
}

static bool take_env(const struct kubeconfig_entry *user, const json *env, struct exec_config *x, struct arena *a,
                     struct error *err) {
    if (env == NULL || cJSON_IsNull(env)) {
        return true;
    }
    if (!json_is_array(env)) {
        return error_set(err, ERR_PARSE, "user \"%s\": exec.env must be a list of name and value", user->name);
    }
    for (const json *it = json_first(env); it != NULL; it = it->next) {
        const char *name = json_str(it, "name");
        const char *value = json_str(it, "value");
        const json *raw = json_get(it, "value");
        if (str_empty(name) || strchr(name, '=') != NULL) {
            return error_set(err, ERR_INVALID, "user \"%s\": an item of exec.env has no name, or one with '='",
                             user->name);
        }
        if (raw != NULL && !cJSON_IsNull(raw) && value == NULL) {
            return error_set(err, ERR_PARSE, "user \"%s\": exec.env %s must be a string (put it in quotes)", user->name,
                             name);
        }
        strlist_add(&x->env, arena_printf(a, "%s=%s", name, value != NULL ? value : ""), a);
    }
    return true;
}

/* The extension that is meant for plugins. */
static const json *plugin_extension(const json *cluster) {
    for (const json *it = json_first(json_array(cluster, "extensions")); it != NULL; it = it->next) {
        if (str_eq(json_str(it, "name"), "client.authentication.k8s.io/exec")) {
            return json_get(it, "extension");
        }
    }
    return NULL;
}

/* ExecCredential.spec.cluster; files are given as data, as client-go does. */
static const char *describe_cluster(const struct kubeconfig_entry *cluster, const struct k8s_config *c) {
    json *o = json_object();
    json_add_str(o, "server", c->server);
    json_add_str(o, "tls-server-name", c->tls_server_name);
    if (c->insecure_skip_tls_verify) {
        json_add_bool(o, "insecure-skip-tls-verify", true);
    }
    if (c->ca_pem != NULL) {
        size_t n = strlen(c->ca_pem);
        char *text = arena_alloc(c->arena, BASE64_SIZE(n));
        (void)base64_encode(c->ca_pem, n, text);
        json_add_str(o, "certificate-authority-data", text);
    }
    json_add_str(o, "proxy-url", c->proxy_url);
    const json *extension = plugin_extension(cluster->body);
    if (extension != NULL) {
        json_add_item(o, "config", json_dup(extension));
    }
    const char *text = json_print_arena(o, c->arena);
    json_free(o);
    return text;
}

bool kubeconfig_exec(const struct kubeconfig_entry *user, const struct kubeconfig_entry *cluster, struct k8s_config *c,
                     struct error *err) {
    const json *body = json_get(user->body, "exec");
    const char *command = NULL;
    const char *version = NULL;
    const char *mode = NULL;
    const char *hint = NULL;
    if (body == NULL || cJSON_IsNull(body)) {
        return true;
    }
    struct kubeconfig_entry e = {"user", user->name, user->dir, body};
    struct exec_config *x = ARENA_NEW(c->arena, struct exec_config);
    if (!json_is_object(body)) {
        return error_set(err, ERR_PARSE, "user \"%s\": exec must be a mapping", user->name);
    }
    if (!kubeconfig_string(&e, "command", &command, err) || !kubeconfig_string(&e, "apiVersion", &version, err) ||
        !kubeconfig_string(&e, "interactiveMode", &mode, err) || !kubeconfig_string(&e, "installHint", &hint, err) ||
        !kubeconfig_strings(&e, "args", &x->args, c->arena, err) ||
        !kubeconfig_flag(&e, "provideClusterInfo", &x->provide_cluster_info, err) ||
        !take_env(user, json_get(body, "env"), x, c->arena, err)) {
        return false;
    }
    if (command == NULL) {
        return error_set(err, ERR_INVALID, "user \"%s\": exec has no command", user->name);
    }
    if (!check_version_and_mode(user, version, mode, err)) {
        return false;
    }
    /* A bare name is looked up in PATH; anything with a '/' belongs to the file's directory. */
    x->command =
        strchr(command, '/') == NULL ? arena_strdup(c->arena, command) : kubeconfig_path(&e, command, c->arena);
    x->api_version = arena_strdup(c->arena, version);
    x->install_hint = arena_strdup(c->arena, hint);
    x->cluster_info = x->provide_cluster_info ? describe_cluster(cluster, c) : NULL;
    c->exec = x;
    return true;
}
