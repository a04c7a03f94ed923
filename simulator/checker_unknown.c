/* checker_unknown.c - S7 (an outcome that is not known is read first) and S12 (no watch from an earlier version than before). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulator/checker_internal.h"

static const char *after(const char *text, const char *mark) {
    const char *at = strstr(text, mark);
    return at ? at + strlen(mark) : text;
}

/* What a call is about; NULL: nothing that could be unknown. Bindings are swapped, Leases fenced. */
static const char *object_of(const struct call *k) {
    const char *role = call_param(k, "RoleName"), *url = call_param(k, "Url");
    const char *provider = call_param(k, "OpenIDConnectProviderArn");
    if (k->to_aws && role[0])
        return arena_printf(k->a, "role %s", role);
    if (k->to_aws && (provider[0] || url[0]))
        return arena_printf(k->a, "provider %s",
                            provider[0] ? after(provider, "oidc-provider/") : after(url, "https://"));
    if (k->to_aws && call_param(k, "PolicyArn")[0])
        return arena_printf(k->a, "policy %s", call_param(k, "PolicyArn"));
    if (k->to_aws || str_eq(k->resource, "cniiambindings") || !k->resource)
        return NULL;
    return arena_printf(k->a, "%s %s", k->resource, str_or(k->name, ""));
}

/* A list tells of all of its kind. */
static void was_listed(struct sim_checker *c, const char *resource) {
    const char *key;
    void *value;
    for (size_t it = 0; strmap_next(c->unknown, &it, &key, &value);)
        if (str_has_prefix(key, resource) && key[strlen(resource)] == ' ')
            (void)strmap_remove(c->unknown, key);
}

static const char *words_of(const struct call *k) {
    return arena_printf(k->a, "%s %s %s", k->req->method, k->req->path, k->req->body_len ? k->req->body : "");
}

/* Attaching ends the same way whatever became of the write before, a detachment too, and gives pods what they need (S1'): it waits for
 * no look. So does the same document when it is applied again. */
static bool assumes_nothing(const struct call *k, const char *last) {
    bool applies = str_eq(k->req->method, "PATCH") && k->req->content_type && strstr(k->req->content_type, "apply");
    return call_is(k, "AttachRolePolicy") || (applies && str_eq(last, words_of(k)));
}

void unknown_judges(struct sim_checker *c, const struct call *k) {
    const char *object = object_of(k);
    if (!k->changes) {
        if (object)
            (void)strmap_remove(c->unknown, object);
        if (!k->to_aws && !k->name && k->resource)
            was_listed(c, k->resource);
        return;
    }
    const char *last = object ? strmap_get(c->unknown, object) : NULL;
    if (last && !assumes_nothing(k, last))
        violated(c, "S7: what became of the last write to %s is not known, and %s came without a look", object,
                 k->to_aws ? k->action : k->req->method);
}

static bool is_ambiguous(int status) {
    return status == 0 || status == 500 || status == 502 || status == 504;
}

void unknown_heard(struct sim_checker *c, const struct call *k, int status) {
    const char *object = object_of(k);
    if (k->changes && object && is_ambiguous(status))
        (void)strmap_set(c->unknown, object, strdup(words_of(k)));
}

/* An event of the object tells as well as a read does what it has become. */
void sim_checker_line(struct sim_checker *c, const char *path, const char *line) {
    const char *slash = strrchr(path, '/'), *resource = slash ? slash + 1 : path, *key;
    void *value;
    for (size_t it = 0; strmap_next(c->unknown, &it, &key, &value);) {
        char name[160];
        size_t n = strlen(resource);
        if (!str_has_prefix(key, resource) || key[n] != ' ')
            continue;
        (void)snprintf(name, sizeof name, "\"name\":\"%s\"", key + n + 1);
        if (strstr(line, name))
            (void)strmap_remove(c->unknown, key);
    }
}

/* --- S12 --- */

void unknown_judges_watch(struct sim_checker *c, const struct call *k) {
    struct checker_replica *r = &c->replicas[k->replica];
    const char *last;
    int64_t before = 0, now = 0;
    if (!k->watch || !str_to_int64(k->resource_version, &now))
        return;
    if (!r->versions)
        r->versions = strmap_new(CHECKER_OBJECTS_MAX, free);
    last = strmap_get(r->versions, k->resource);
    if (last && str_to_int64(last, &before) && now < before)
        violated(c, "S12: %s are watched from version %lld, after %lld", k->resource, (long long)now,
                 (long long)before);
    (void)strmap_set(r->versions, k->resource, strdup(k->resource_version));
}
