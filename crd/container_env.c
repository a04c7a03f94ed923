#include "crd/container_env.h"

#include <string.h>

#define ROLE_ARN "AWS_ROLE_ARN"
#define TOKEN_FILE "AWS_WEB_IDENTITY_TOKEN_FILE"
#define FULL_URI "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define RELATIVE_URI "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"

/* Static keys come before the web identity in the SDK's chain; a profile or a file of one's own may hold keys, a
 * process or another role, and one that cannot be loaded makes the whole chain fail. The short names of the keys are
 * still read by the SDK for Go. */
static const char *const static_credentials[] = {
    "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY",      "AWS_SECRET_ACCESS_KEY",       "AWS_SECRET_KEY",
    "AWS_PROFILE",       "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
};

static enum env_reading read_entry(const json *entry, const char **value) {
    const json *v = json_get(entry, "value");

    if (json_get(entry, "valueFrom") != NULL || (v != NULL && !json_is_string(v))) {
        return ENV_OPAQUE;
    }
    if (v == NULL || v->valuestring[0] == '\0') {
        return ENV_UNSET;
    }
    if (strstr(v->valuestring, "$(") != NULL) { /* the kubelet puts another variable in its place */
        return ENV_OPAQUE;
    }
    *value = v->valuestring;
    return ENV_LITERAL;
}

enum env_reading env_read(const json *container, const char *name, const char **value) {
    const json *last = NULL;

    *value = NULL;
    for (const json *it = json_first(json_array(container, "env")); it != NULL; it = it->next) {
        if (str_eq(json_key_str(it, "name"), name)) {
            last = it;
        }
    }
    return last != NULL ? read_entry(last, value) : ENV_UNSET;
}

static bool is_set(const json *container, const char *name) {
    const char *ignored;
    return env_read(container, name, &ignored) != ENV_UNSET;
}

static bool has_env_from(const json *container) {
    return json_first(json_get(container, "envFrom")) != NULL;
}

static const char *static_credential(const json *container) {
    for (size_t i = 0; i < sizeof static_credentials / sizeof static_credentials[0]; i++) {
        if (is_set(container, static_credentials[i])) {
            return static_credentials[i];
        }
    }
    return NULL;
}

static size_t length_without_slashes(const char *path) {
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/') {
        n--;
    }
    return n;
}

/* The mount that `file` is seen through: the deepest one that covers it. *inside is the rest of the path. */
static const json *covering_mount(const json *container, const char *file, const char **inside) {
    const json *best = NULL;
    size_t best_n = 0;

    for (const json *it = json_first(json_array(container, "volumeMounts")); it != NULL; it = it->next) {
        const char *path = json_key_str(it, "mountPath");
        size_t n = path != NULL ? length_without_slashes(path) : 0;
        bool covers = path != NULL && strncmp(file, path, n) == 0 && (file[n] == '/' || file[n] == '\0');
        if (covers && (best == NULL || n >= best_n)) {
            best = it;
            best_n = n;
            *inside = file[n] == '/' ? file + n + 1 : file + n;
        }
    }
    return best;
}

static const json *volume_named(const json *volumes, const char *name) {
    for (const json *it = json_first(volumes); it != NULL; it = it->next) {
        if (str_eq(json_key_str(it, "name"), name)) {
            return it;
        }
    }
    return NULL;
}

static const char *projected_audience(const json *volume, const char *path) {
    for (const json *it = json_first(json_array(volume, "projected.sources")); it != NULL; it = it->next) {
        const json *token = json_get(it, "serviceAccountToken");
        if (token != NULL && str_eq(json_key_str(token, "path"), path)) {
            return str_or(json_key_str(token, "audience"), "");
        }
    }
    return NULL;
}

/* Audience of the ServiceAccount token at `file`; NULL when something else, or nothing, is there. */
static const char *token_audience_at(const json *container, const json *volumes, const char *file) {
    const char *inside = "";
    const json *mount = covering_mount(container, file, &inside);

    if (mount == NULL || !str_empty(json_key_str(mount, "subPath")) || !str_empty(json_key_str(mount, "subPathExpr"))) {
        return NULL; /* a subPath is a copy that is never renewed */
    }
    const char *volume = json_key_str(mount, "name");
    return volume != NULL ? projected_audience(volume_named(volumes, volume), inside) : NULL;
}

static void read_web_identity(const json *container, const json *volumes, struct container_identity *id) {
    (void)env_read(container, ROLE_ARN, &id->role_arn);
    (void)env_read(container, TOKEN_FILE, &id->token_file);
    if (id->token_file != NULL) {
        id->token_audience = token_audience_at(container, volumes, id->token_file);
        id->token_mounted = id->token_audience != NULL;
    }
}

/* The web identity's pair is there, if only in part: the SDK takes it, and nothing after it, even where it then fails.
 */
static bool claims_web_identity(const json *container) {
    return is_set(container, ROLE_ARN) || is_set(container, TOKEN_FILE);
}

static const char *container_endpoint(const json *container) {
    return is_set(container, FULL_URI) ? FULL_URI : is_set(container, RELATIVE_URI) ? RELATIVE_URI : NULL;
}

static enum pod_credential judge_web_identity(const json *container, struct container_identity *id) {
    /* Both kinds at once: SDKs differ in which they take. */
    id->outranked_by = container_endpoint(container);
    if (id->outranked_by != NULL) {
        return POD_CREDENTIAL_OTHER;
    }
    return id->role_arn != NULL && id->token_mounted ? POD_CREDENTIAL_IRSA : POD_CREDENTIAL_NODE;
}

struct container_identity container_identity(const json *container, const json *volumes) {
    struct container_identity id = {.credential = POD_CREDENTIAL_NODE};
    const char *uri;

    read_web_identity(container, volumes, &id);
    if (has_env_from(container)) {
        id.outranked_by = "envFrom";
        return id;
    }
    id.outranked_by = static_credential(container);
    if (id.outranked_by != NULL) {
        id.credential = POD_CREDENTIAL_OTHER;
    } else if (claims_web_identity(container)) {
        id.credential = judge_web_identity(container, &id);
    } else if (env_read(container, FULL_URI, &uri) == ENV_LITERAL) {
        id.credential = POD_CREDENTIAL_POD_IDENTITY;
    } else if (is_set(container, RELATIVE_URI)) {
        id.outranked_by = RELATIVE_URI;
        id.credential = POD_CREDENTIAL_OTHER;
    }
    return id;
}

const char *template_outranked_by(const json *container) {
    const char *name = static_credential(container);

    if (name == NULL && is_set(container, ROLE_ARN)) {
        name = ROLE_ARN; /* the webhook leaves alone a container that has either of the pair */
    }
    if (name == NULL && is_set(container, TOKEN_FILE)) {
        name = TOKEN_FILE;
    }
    if (name == NULL) {
        name = container_endpoint(container);
    }
    return name == NULL && has_env_from(container) ? "envFrom" : name;
}
