#include "platform/k8s/k8s_config.h"

#include <stdlib.h>
#include <string.h>

#include "platform/k8s/in_cluster.h"
#include "platform/k8s/kubeconfig.h"

struct k8s_config *k8s_config_new(void) {
    struct arena *a = arena_new(0);
    struct k8s_config *c = ARENA_NEW(a, struct k8s_config);
    c->arena = a;
    c->ns = "default";
    c->context = "";
    return c;
}

void k8s_config_free(struct k8s_config *c) {
    if (c == NULL) {
        return;
    }
    secret_free(c->client_cert_pem);
    secret_free(c->client_key_pem);
    secret_free(c->token);
    secret_free(c->password);
    arena_free(c->arena);
}

static struct k8s_config *load_from_environment(const char *list, const char *context, struct error *err) {
    struct arena *a = arena_new(0);
    struct strlist paths = str_split(list, ':', a);
    struct kubeconfig_source s = {.paths = paths.v, .npaths = paths.n};
    struct k8s_config *c = kubeconfig_load(&s, context, err);
    arena_free(a);
    return c;
}

static struct k8s_config *load_from_home(const char *context, struct error *err) {
    const char *home = getenv("HOME");
    if (home == NULL || home[0] == '\0') {
        (void)error_set(err, ERR_NO_CREDENTIALS,
                        "no kubeconfig: give --kubeconfig or set KUBECONFIG (HOME is not set)");
        return NULL;
    }
    struct arena *a = arena_new(0);
    const char *path = arena_printf(a, "%s/.kube/config", home);
    struct kubeconfig_source s = {.paths = &path, .npaths = 1};
    struct k8s_config *c = kubeconfig_load(&s, context, err);
    arena_free(a);
    return c;
}

struct k8s_config *k8s_config_load(const struct k8s_config_request *r, struct error *err) {
    const char *list = getenv("KUBECONFIG");
    if (!str_empty(r->kubeconfig)) {
        struct kubeconfig_source s = {.paths = &r->kubeconfig, .npaths = 1, .explicit_path = true};
        return kubeconfig_load(&s, r->context, err);
    }
    if (!str_empty(list)) {
        return load_from_environment(list, r->context, err);
    }
    if (in_cluster_detected() && str_empty(r->context)) {
        struct in_cluster_source s = {NULL, NULL, NULL};
        return in_cluster_load(&s, err);
    }
    return load_from_home(r->context, err);
}
