/* demo_apply.c - manifests and TokenRequests as requests of an administrator. */
#include "controller/demo_apply.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/arena.h"
#include "platform/k8s/yaml.h"

#define RBAC "rbac.authorization.k8s.io/v1"

static const struct kind {
    const char *api_version, *kind, *plural;
    bool namespaced;
} kinds[] = {
    {"v1", "ServiceAccount", "serviceaccounts", true},
    {RBAC, "ClusterRole", "clusterroles", false},
    {RBAC, "ClusterRoleBinding", "clusterrolebindings", false},
    {RBAC, "Role", "roles", true},
    {RBAC, "RoleBinding", "rolebindings", true},
    {"cniiam.dev/v1alpha1", "CniIamBinding", "cniiambindings", false},
};

static const struct kind *kind_of(const json *object) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (str_eq(json_str(object, "apiVersion"), kinds[i].api_version) &&
            str_eq(json_str(object, "kind"), kinds[i].kind))
            return &kinds[i];
    return NULL;
}

/* The answer's body, to be freed; NULL: refused. */
static char *post(struct sim_kube *k, const char *path, const char *body, struct error *err) {
    struct sim_http_answer answer = {0};
    sim_kube_http(k,
                  &(struct sim_http_request){.method = "POST",
                                             .path = path,
                                             .query = "",
                                             .authorization = "Bearer user",
                                             .accept = "application/json",
                                             .content_type = "application/json",
                                             .user_agent = "kubectl/demo",
                                             .body = body,
                                             .body_len = strlen(body)},
                  &answer);
    if (answer.status == 201)
        return answer.body;
    error_set(err, ERR_INVALID, "the API server refused %s: %d %.180s", path, answer.status, str_or(answer.body, ""));
    free(answer.body);
    return NULL;
}

static bool apply_one(struct sim_kube *k, const json *object, struct error *err) {
    const struct kind *kind = kind_of(object);
    if (!kind)
        return error_set(err, ERR_INVALID, "kind %s is none that the demo can create",
                         str_or(json_str(object, "kind"), "without a name"));
    struct arena *a = arena_new(0);
    const char *ns = str_or(json_str(object, "metadata.namespace"), "default");
    const char *path =
        arena_printf(a, "/%s/%s%s/%s", str_eq(kind->api_version, "v1") ? "api" : "apis", kind->api_version,
                     kind->namespaced ? arena_printf(a, "/namespaces/%s", ns) : "", kind->plural);
    char *answer = post(k, path, json_print_arena(object, a), err);
    bool ok = answer != NULL;
    free(answer);
    arena_free(a);
    return ok;
}

bool demo_apply(struct sim_kube *k, const char *yaml, struct error *err) {
    json *documents = yaml_parse_all(yaml, strlen(yaml), err);
    bool ok = documents != NULL;
    for (const json *d = json_first(documents); ok && d; d = d->next)
        ok = apply_one(k, d, err);
    json_free(documents);
    return ok;
}

char *demo_token(struct sim_kube *k, const char *ns, const char *account, struct error *err) {
    struct arena *a = arena_new(0);
    const char *path = arena_printf(a, "/api/v1/namespaces/%s/serviceaccounts/%s/token", ns, account);
    char *answer = post(k, path, arena_printf(a, "{\"spec\":{\"expirationSeconds\":%d}}", DEMO_TOKEN_S), err);
    json *request = answer ? json_parse(answer, strlen(answer), err) : NULL;
    const char *found = json_str(request, "status.token");
    char *token = found ? strdup(found) : NULL;
    if (request && !token)
        error_set(err, ERR_INVALID, "the API server made no token for %s", account);
    json_free(request);
    free(answer);
    arena_free(a);
    return token;
}
