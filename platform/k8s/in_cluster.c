#include "platform/k8s/in_cluster.h"

#include <stdlib.h>
#include <string.h>

#include "platform/k8s/file_text.h"
#include "platform/k8s/pem.h"

bool in_cluster_detected(void) {
    return !str_empty(getenv("KUBERNETES_SERVICE_HOST")) && !str_empty(getenv("KUBERNETES_SERVICE_PORT"));
}

static bool read_namespace(struct k8s_config *c, const char *dir, struct error *err) {
    size_t n = 0;
    char *text = file_text(arena_printf(c->arena, "%s/namespace", dir), 4096, &n, c->arena, err);
    if (text == NULL && err->code == ERR_NOT_FOUND) {
        c->ns = "default"; /* automounted volumes have it; hand-made projections may not */
        return true;
    }
    if (text == NULL) {
        return false;
    }
    text[strcspn(text, " \t\r\n")] = '\0';
    c->ns = str_or(text, "default");
    return true;
}

static bool fill(struct k8s_config *c, const struct in_cluster_source *s, struct error *err) {
    const char *host = s->host != NULL ? s->host : getenv("KUBERNETES_SERVICE_HOST");
    const char *port = s->port != NULL ? s->port : getenv("KUBERNETES_SERVICE_PORT");
    const char *dir = str_or(s->dir, IN_CLUSTER_DIR);
    size_t n = 0;

    if (host == NULL || str_empty(host) || str_empty(port)) {
        return error_set(err, ERR_NO_CREDENTIALS,
                         "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
    }
    bool bare_ipv6 = strchr(host, ':') != NULL && host[0] != '[';
    c->server = arena_printf(c->arena, bare_ipv6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
    c->token_file = arena_printf(c->arena, "%s/token", dir);
    c->ca_file = arena_printf(c->arena, "%s/ca.crt", dir);
    c->context = "in-cluster";
    c->in_cluster = true;
    /* HTTPS_PROXY in a pod is meant for AWS; the service address is never behind it, and NO_PROXY is easily forgotten.
     */
    c->proxy_url = "";
    c->token = file_secret_trimmed(c->token_file, SECRET_MAX, err);
    if (c->token == NULL) {
        return error_wrap(err, "ServiceAccount token");
    }
    c->ca_pem = file_text(c->ca_file, K8S_FILE_MAX, &n, c->arena, err);
    bool sound = c->ca_pem != NULL && pem_has_certificate(c->ca_pem, c->ca_file, err);
    if (!sound) {
        return error_wrap(err, "CA of the API server");
    }
    return read_namespace(c, dir, err);
}

struct k8s_config *in_cluster_load(const struct in_cluster_source *s, struct error *err) {
    struct k8s_config *c = k8s_config_new();
    error_clear(err);
    if (!fill(c, s, err)) {
        k8s_config_free(c);
        return NULL;
    }
    error_clear(err);
    return c;
}
