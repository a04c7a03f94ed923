/*
 * kube_authorize.c - who asks, and whether RBAC lets him.
 *
 * A bearer of one of our own ServiceAccount tokens may do what Roles and ClusterRoles that are bound to him say, and what
 * the real server's default roles give everybody: discovery, and reviews of himself. Whoever comes without such a token is
 * the cluster's administrator. No impersonation, no aggregation of ClusterRoles, no escalation checks.
 */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"

#define BEARER "Bearer "
#define ACCOUNT_PREFIX "system:serviceaccount:"

/* ---- who ---- */

static json *unauthorized(void) {
    return kube_status(401, "Unauthorized", "Unauthorized");
}

/* Three parts with dots between them: it means to be a token of an issuer. */
static bool is_jwt(const char *token) {
    const char *dot = strchr(token, '.');
    return dot != NULL && strchr(dot + 1, '.') != NULL;
}

static json *find_caller(struct sim_kube *k, struct kube_request *q) {
    const char *header = str_or(q->http->authorization, "");
    struct sim_token_claims claims;
    if (!str_has_prefix(header, BEARER) || !is_jwt(header + strlen(BEARER))) {
        return NULL;
    }
    if (!sim_kube_verify_token(k, header + strlen(BEARER), &claims) || !str_eq(claims.audience, KUBE_AUDIENCE) ||
        !str_has_prefix(claims.subject, ACCOUNT_PREFIX)) {
        return unauthorized();
    }
    const char *rest = claims.subject + strlen(ACCOUNT_PREFIX);
    size_t n = strcspn(rest, ":");
    q->user = arena_strdup(q->a, claims.subject);
    q->user_ns = arena_strndup(q->a, rest, n);
    q->user_account = arena_strdup(q->a, rest[n] == ':' ? rest + n + 1 : "");
    return kube_find(k, KUBE_SERVICEACCOUNTS, q->user_ns, q->user_account) != NULL ? NULL : unauthorized();
}

/* ---- what a role says ---- */

static bool has(const json *list, const char *text) {
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        if (json_is_string(it) && str_eq(it->valuestring, text)) {
            return true;
        }
    }
    return false;
}

static bool has_or_all(const json *rule, const char *member, const char *text) {
    return has(json_array(rule, member), "*") || has(json_array(rule, member), text);
}

static bool names_resource(const json *rule, const struct kube_question *ask, struct arena *a) {
    const json *list = json_array(rule, "resources");
    if (str_empty(ask->sub)) {
        return has(list, "*") || has(list, ask->resource);
    }
    return has(list, "*") || has(list, arena_printf(a, "%s/%s", ask->resource, ask->sub)) ||
           has(list, arena_printf(a, "*/%s", ask->sub));
}

static bool names_path(const json *rule, const char *path) {
    for (const json *it = json_first(json_array(rule, "nonResourceURLs")); it != NULL; it = it->next) {
        const char *wanted = json_is_string(it) ? it->valuestring : "";
        size_t n = strlen(wanted);
        if (str_eq(wanted, path) || (n > 0 && wanted[n - 1] == '*' && strncmp(wanted, path, n - 1) == 0)) {
            return true;
        }
    }
    return false;
}

static bool rule_allows(const json *rule, const struct kube_question *ask, struct arena *a) {
    const json *only = json_array(rule, "resourceNames");
    if (!has_or_all(rule, "verbs", ask->verb)) {
        return false;
    }
    if (ask->path != NULL) {
        return names_path(rule, ask->path);
    }
    return has_or_all(rule, "apiGroups", ask->group) && names_resource(rule, ask, a) &&
           (json_first(only) == NULL || (!str_empty(ask->name) && has(only, ask->name)));
}

/* ---- who is bound to what ---- */

static bool is_group_of(const struct kube_request *q, const char *group) {
    return str_eq(group, "system:authenticated") || str_eq(group, "system:serviceaccounts") ||
           str_eq(group, arena_printf(q->a, "system:serviceaccounts:%s", q->user_ns));
}

static bool is_subject(const struct kube_request *q, const json *binding) {
    for (const json *s = json_first(json_array(binding, "subjects")); s != NULL; s = s->next) {
        const char *kind = json_str(s, "kind");
        const char *name = str_or(json_str(s, "name"), "");
        if ((str_eq(kind, "ServiceAccount") && str_eq(name, q->user_account) &&
             str_eq(json_str(s, "namespace"), q->user_ns)) ||
            (str_eq(kind, "User") && str_eq(name, q->user)) || (str_eq(kind, "Group") && is_group_of(q, name))) {
            return true;
        }
    }
    return false;
}

static const json *role_of(struct sim_kube *k, const json *binding, const char *ns) {
    const char *name = str_or(json_str(binding, "roleRef.name"), "");
    bool cluster = str_eq(json_str(binding, "roleRef.kind"), "ClusterRole");
    const struct kube_version *v = kube_find(k, cluster ? KUBE_CLUSTERROLES : KUBE_ROLES, cluster ? NULL : ns, name);
    return v != NULL ? v->value : NULL;
}

/* Calls fn with every rule that the caller has: everywhere, and in the namespace (NULL: none); until fn says true. */
static bool each_rule(struct sim_kube *k, const struct kube_request *q, const char *ns,
                      bool (*fn)(void *arg, const json *rule), void *arg) {
    static const enum kube_store stores[] = {KUBE_CLUSTERROLEBINDINGS, KUBE_ROLEBINDINGS};
    bool found = false;
    for (size_t s = 0; s < 2 && !found && (s == 0 || !str_empty(ns)); s++) {
        struct kube_versions all = kube_all(k, stores[s], s == 0 ? NULL : ns, q->a);
        for (size_t i = 0; i < all.n && !found; i++) {
            const json *role = is_subject(q, all.v[i]->value) ? role_of(k, all.v[i]->value, ns) : NULL;
            for (const json *r = json_first(json_array(role, "rules")); r != NULL && !found; r = r->next) {
                found = fn(arg, r);
            }
        }
        kube_versions_drop(&all);
    }
    return found;
}

struct asked {
    const struct kube_question *question;
    struct arena *a;
};

static bool rule_answers(void *arg, const json *rule) {
    const struct asked *asked = arg;
    return rule_allows(rule, asked->question, asked->a);
}

/* system:discovery, system:public-info-viewer, system:service-account-issuer-discovery, system:basic-user */
static bool is_everybodys(const struct kube_question *ask) {
    static const char *const paths[] = {"/api",     "/apis",    "/healthz",   "/livez",      "/readyz",
                                        "/version", "/openapi", "/openid/v1", "/.well-known"};
    static const char *const reviews[] = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"};
    for (size_t i = 0; ask->path != NULL && i < sizeof paths / sizeof paths[0]; i++) {
        size_t n = strlen(paths[i]);
        if (strncmp(ask->path, paths[i], n) == 0 && (ask->path[n] == '\0' || ask->path[n] == '/')) {
            return str_eq(ask->verb, "get");
        }
    }
    for (size_t i = 0; ask->path == NULL && i < sizeof reviews / sizeof reviews[0]; i++) {
        if (str_eq(ask->resource, reviews[i])) {
            return str_eq(ask->verb, "create");
        }
    }
    return false;
}

bool kube_may(struct sim_kube *k, const struct kube_request *q, const struct kube_question *ask) {
    struct asked asked = {ask, q->a};
    return q->user == NULL || is_everybodys(ask) || each_rule(k, q, ask->ns, rule_answers, &asked);
}

static bool copy_rule(void *arg, const json *rule) {
    json *status = arg;
    bool paths = json_first(json_array(rule, "nonResourceURLs")) != NULL;
    json_push(kube_member(status, paths ? "nonResourceRules" : "resourceRules"), json_dup(rule));
    return false;
}

void kube_rules_of(struct sim_kube *k, const struct kube_request *q, const char *ns, json *status) {
    (void)each_rule(k, q, ns, copy_rule, status);
}

/* ---- requests ---- */

static const char *verb_of(const struct kube_request *q) {
    static const char *const verbs[][2] = {
        {"POST", "create"}, {"PUT", "update"}, {"PATCH", "patch"}, {"DELETE", "delete"}};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (str_eq(q->http->method, verbs[i][0])) {
            return verbs[i][1];
        }
    }
    bool single = q->r == NULL || q->name != NULL;
    return single ? "get" : kube_query_true(q, "watch") ? "watch" : "list";
}

/* A list or watch of one object by its name is about that object. */
static const char *name_of(const struct kube_request *q) {
    static const char key[] = "metadata.name=";
    const char *fields = str_or(kube_query(q, "fieldSelector"), "");
    return q->name == NULL && str_has_prefix(fields, key) ? fields + strlen(key) : q->name;
}

static json *forbidden(const struct kube_request *q, const struct kube_question *ask) {
    if (ask->path != NULL) {
        return kube_status(403, "Forbidden", "forbidden: User \"%s\" cannot %s path \"%s\"", q->user, ask->verb,
                           ask->path);
    }
    const char *named = str_empty(ask->name) ? "" : arena_printf(q->a, " \"%s\"", ask->name);
    const char *where =
        str_empty(ask->ns) ? " at the cluster scope" : arena_printf(q->a, " in the namespace \"%s\"", ask->ns);
    return kube_status_for(q->r, ask->name, 403, "Forbidden",
                           "%s%s is forbidden: User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\"%s",
                           kube_qualified(q->r, q->a), named, q->user, ask->verb, ask->resource,
                           ask->sub != NULL ? "/" : "", str_or(ask->sub, ""), ask->group, where);
}

static json *decide(struct sim_kube *k, const struct kube_request *q, const struct kube_question *ask) {
    return kube_may(k, q, ask) ? NULL : forbidden(q, ask);
}

json *kube_authorize(struct sim_kube *k, struct kube_request *q) {
    json *refused = find_caller(k, q);
    if (refused != NULL || q->user == NULL) {
        return refused;
    }
    struct kube_question ask = {.verb = verb_of(q), .path = str_or(q->http->path, "/")};
    if (q->r == NULL) {
        return decide(k, q, &ask);
    }
    ask = (struct kube_question){.verb = ask.verb,
                                 .group = q->r->group,
                                 .resource = q->r->plural,
                                 .sub = q->sub,
                                 .ns = q->r->store == KUBE_NAMESPACES ? q->name : q->ns,
                                 .name = name_of(q)};
    refused = decide(k, q, &ask);
    bool applies = str_has_prefix(q->http->content_type, "application/apply-patch+yaml");
    if (refused == NULL && applies && kube_find(k, q->r->store, q->ns, q->name) == NULL) {
        ask.verb = "create"; /* what an apply makes has to be allowed as well */
        refused = decide(k, q, &ask);
    }
    return refused;
}
