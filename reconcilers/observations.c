#include "reconcilers/observations.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/strmap.h"

struct entry {
    struct observation o; /* o.value is owned */
};

struct observations {
    struct strmap *map;
    uint64_t pass;
};

static void entry_free(void *value) {
    struct entry *e = value;
    json_free((json *)(uintptr_t)e->o.value);
    free(e);
}

struct observations *observations_new(void) {
    struct observations *o = calloc(1, sizeof *o);
    if (!o)
        die("out of memory");
    o->map = strmap_new(OBSERVATIONS_MAX, entry_free);
    o->pass = 1;
    return o;
}

void observations_free(struct observations *o) {
    if (!o)
        return;
    strmap_free(o->map);
    free(o);
}

void observations_begin_pass(struct observations *o) {
    o->pass++;
}

static void drop_oldest(struct observations *o) {
    const char *key, *oldest = NULL;
    void *value;
    int64_t at = INT64_MAX;
    size_t it = 0;
    while (strmap_next(o->map, &it, &key, &value)) {
        const struct entry *e = value;
        if (e->o.at_boot_ms < at) {
            at = e->o.at_boot_ms;
            oldest = key;
        }
    }
    if (oldest)
        strmap_remove(o->map, oldest);
}

void observations_put(struct observations *o, const char *key, json *value, const struct error *err,
                      int64_t at_boot_ms) {
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        die("out of memory");
    e->o.value = value;
    if (err)
        e->o.error = *err;
    e->o.at_boot_ms = at_boot_ms;
    e->o.pass = o->pass;
    if (strmap_count(o->map) >= OBSERVATIONS_MAX && !strmap_get(o->map, key))
        drop_oldest(o);
    strmap_set(o->map, key, e);
}

/* "It is not there" is an answer that may be kept; a refusal or a failure is asked again in the next pass. */
static bool is_answer(const struct observation *o) {
    return o->error.code == ERR_NONE || o->error.code == ERR_NOT_FOUND;
}

const struct observation *observations_get(const struct observations *o, const char *key, int64_t now_boot_ms,
                                           int64_t max_age_ms) {
    const struct entry *e = strmap_get(o->map, key);
    if (!e)
        return NULL;
    if (e->o.pass == o->pass)
        return &e->o;
    if (is_answer(&e->o) && now_boot_ms - e->o.at_boot_ms <= max_age_ms)
        return &e->o;
    return NULL;
}

void observations_forget_all(struct observations *o) {
    const char *key;
    void *value;
    size_t it = 0;
    while (strmap_next(o->map, &it, &key, &value))
        strmap_remove(o->map, key);
}

static bool mentions(const char *key, const char *part) {
    return part && part[0] && strstr(key, part);
}

static void forget_mentioning(struct observations *o, const char *a, const char *b) {
    const char *key;
    void *value;
    size_t it = 0;
    while (strmap_next(o->map, &it, &key, &value))
        if (mentions(key, a) || mentions(key, b))
            strmap_remove(o->map, key);
}

static void put_value(struct observations *o, struct arena *a, enum effect_kind kind, const char *arg, const char *name,
                      json *value, int64_t at) {
    observations_put(o, effect_key(effect_new(a, kind, arg, name, NULL), a), value, NULL, at);
}

static json *tags_of(const struct effect *e) {
    json *tags = json_new_array();
    json *tag = NULL;
    for (size_t i = 0; i < e->nargs; i++) {
        const char *name = e->args[i].name;
        if (!str_has_prefix(name, "Tags.member."))
            continue;
        if (str_has_suffix(name, ".Key")) {
            tag = json_object();
            json_add_str(tag, "Key", e->args[i].value);
            json_push(tags, tag);
        } else if (tag) {
            json_add_str(tag, "Value", e->args[i].value);
        }
    }
    return tags;
}

/* The answer of CreateRole is the role: what it leaves out (emulators leave out tags) is what was sent. */
static void absorb_create_role(struct observations *o, struct arena *a, const struct effect *e, const json *value,
                               int64_t at) {
    const char *name = effect_arg(e, "RoleName");
    const json *role = json_get(value, "Role");
    if (!json_str(role, "Arn")) {
        forget_mentioning(o, name, NULL);
        return;
    }
    json *copy = json_dup(role);
    json_add_str(copy, "AssumeRolePolicyDocument", effect_arg(e, "AssumeRolePolicyDocument"));
    json_add_item(copy, "Tags", tags_of(e));
    json *result = json_object();
    json_add_item(result, "Role", copy);
    put_value(o, a, EFFECT_IAM_GET_ROLE, "RoleName", name, result, at);
    json *attached = json_object();
    json_add_array(attached, "AttachedPolicies");
    put_value(o, a, EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "RoleName", name, attached, at);
}

static void absorb_create_provider(struct observations *o, struct arena *a, const struct effect *e, const json *value,
                                   int64_t at) {
    const char *arn = json_str(value, "OpenIDConnectProviderArn");
    const char *url = effect_arg(e, "Url");
    if (!arn || !url)
        return;
    json *provider = json_object();
    json_add_str(provider, "Url", str_has_prefix(url, "https://") ? url + 8 : url);
    json *clients = json_add_array(provider, "ClientIDList");
    json_push_str(clients, effect_arg(e, "ClientIDList.member.1"));
    json_add_item(provider, "Tags", tags_of(e));
    put_value(o, a, EFFECT_IAM_GET_OIDC_PROVIDER, "OpenIDConnectProviderArn", arn, provider, at);
}

static void absorb_attach(struct observations *o, struct arena *a, const struct effect *e, int64_t at) {
    const char *role = effect_arg(e, "RoleName"), *policy = effect_arg(e, "PolicyArn");
    observations_put(o, effect_key(e, a), NULL, NULL, at); /* that it worked is the proof of S3 */
    const char *key = effect_key(effect_new(a, EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "RoleName", role, NULL), a);
    const struct entry *old = strmap_get(o->map, key);
    if (!old || !old->o.value)
        return;
    json *value = json_dup(old->o.value);
    json *list = (json *)(uintptr_t)json_array(value, "AttachedPolicies");
    if (!list)
        list = json_add_array(value, "AttachedPolicies");
    for (const json *it = json_first(list); it; it = it->next)
        if (str_eq(json_str(it, "PolicyArn"), policy)) {
            json_free(value);
            return;
        }
    json *item = json_object();
    json_add_str(item, "PolicyArn", policy);
    json_push(list, item);
    observations_put(o, key, value, NULL, at);
}

static void absorb_aws_success(struct observations *o, struct arena *a, const struct effect *e, const json *value,
                               int64_t at) {
    if (e->kind == EFFECT_IAM_CREATE_ROLE) {
        absorb_create_role(o, a, e, value, at);
    } else if (e->kind == EFFECT_IAM_CREATE_OIDC_PROVIDER) {
        absorb_create_provider(o, a, e, value, at);
    } else if (e->kind == EFFECT_IAM_ATTACH_ROLE_POLICY) {
        absorb_attach(o, a, e, at);
    } else {
        forget_mentioning(o, effect_arg(e, "RoleName"), effect_arg(e, "PolicyArn"));
        forget_mentioning(o, effect_arg(e, "OpenIDConnectProviderArn"), effect_arg(e, "PolicyName"));
    }
}

/* Surely nothing was changed: what was known still stands. */
static bool was_refused(enum err_code code) {
    return code == ERR_FORBIDDEN || code == ERR_UNAUTHORIZED || code == ERR_NO_CREDENTIALS ||
           code == ERR_EXPIRED_CREDENTIALS || code == ERR_THROTTLED || code == ERR_UNREACHABLE || code == ERR_CANCELLED;
}

void observations_absorb(struct observations *o, const struct effect *write, const json *value, const struct error *err,
                         int64_t at_boot_ms) {
    if (err && was_refused(err->code))
        return;
    if (effect_service(write->kind) == SERVICE_KUBERNETES) {
        forget_mentioning(o, "kubernetes:", NULL);
        return;
    }
    struct arena *a = arena_new(0);
    if (err && err->code != ERR_NONE) {
        /* Lost or conflicting: whatever we believed of these objects is asked again (S7). */
        forget_mentioning(o, effect_arg(write, "RoleName"), effect_arg(write, "PolicyArn"));
        forget_mentioning(o, effect_arg(write, "OpenIDConnectProviderArn"), effect_arg(write, "PolicyName"));
        if (write->kind == EFFECT_IAM_CREATE_OIDC_PROVIDER)
            forget_mentioning(o, "OpenIDConnectProvider", NULL);
    } else {
        absorb_aws_success(o, a, write, value, at_boot_ms);
    }
    arena_free(a);
}
