/* aws_load.c - policies, roles, profiles, instances, providers and what EKS says, as a snapshot has them. */
#include "simulator/aws_load.h"

#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

/* A policy whose document nobody was allowed to read. */
#define NO_DOCUMENT                                                                                                    \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"none:None\",\"Resource\":\"*\"}]}"
#define PARAMS_MAX (2 * (SIM_CLIENT_IDS_MAX + SIM_TAGS_MAX))

struct loading {
    struct sim_aws *a;
    const struct snapshot *s;
    struct arena *arena;
    struct error *err;
};

static const json *member(const json *object, const char *key) {
    const json *there = json_get(object, key);
    return there ? there : object;
}

static bool check_place(struct loading *l, const json *aws) {
    static const char *const wanted[] = {"ipv4", "ipv6"};
    const json *cluster = json_get(aws, "cluster"), *family = json_get(cluster, "ipFamily");
    const char *account = json_str(aws, "account"), *issuer = json_str(cluster, "issuer");
    if (strlen(account) != 12 || strspn(account, "0123456789") != 12)
        return snapshot_refuse(l->s, json_get(aws, "account"), l->err, "expected the 12 digits of an account");
    if (!sim_is_name(json_str(aws, "region"), 31))
        return snapshot_refuse(l->s, json_get(aws, "region"), l->err, "expected a region");
    if (!sim_is_name(json_str(cluster, "name"), 100))
        return snapshot_refuse(l->s, json_get(cluster, "name"), l->err, "expected the name of a cluster");
    if (issuer && (!str_has_prefix(issuer, "https://") || strlen(issuer) > 255))
        return snapshot_refuse(l->s, json_get(cluster, "issuer"), l->err, "expected a URL that begins with https://");
    if (family && !str_eq(family->valuestring, wanted[0]) && !str_eq(family->valuestring, wanted[1]))
        return snapshot_refuse(l->s, family, l->err, "expected ipv4 or ipv6");
    char *arn = arena_printf(l->arena, "arn:%s:eks:%s:%s:cluster/%s", l->a->partition, l->a->region, l->a->account,
                             l->a->cluster);
    return str_eq(json_str(cluster, "arn"), arn) ||
           snapshot_refuse(l->s, json_get(cluster, "arn"), l->err, "expected %s, as account, region and name say", arn);
}

static bool load_policies(struct loading *l, const json *policies) {
    for (const json *it = json_first(policies); it; it = it->next) {
        const json *document = json_get(it, "document");
        const char *text = document ? json_print_arena(document, l->arena) : NO_DOCUMENT;
        if (!sim_aws_set_policy(l->a, json_str(it, "arn"), text))
            return snapshot_refuse(l->s, member(it, document ? "document" : "arn"), l->err,
                                   "expected the ARN of a policy, and a document that IAM takes");
    }
    return true;
}

/* --- roles --- */

static json *tags_of(const json *map) {
    json *tags = json_new_array();
    for (const json *it = json_first(map); it; it = it->next) {
        json *tag = json_object();
        json_add_str(tag, "Key", it->string);
        json_add_str(tag, "Value", it->valuestring);
        json_push(tags, tag);
    }
    return tags;
}

static bool load_inline(struct loading *l, struct sim_role *r, const json *policies) {
    for (const json *it = json_first(policies); it; it = it->next) {
        struct sim_inline *i = sim_new(sizeof *i);
        i->name = sim_strdup(json_str(it, "name"));
        i->text = sim_strdup(json_print_arena(json_get(it, "document"), l->arena));
        sim_set_now(&i->document, json_dup(json_get(it, "document")));
        if (strmap_get(r->inlines, i->name) || !strmap_set(r->inlines, i->name, i)) {
            sim_inline_free(i);
            return snapshot_refuse(l->s, it, l->err, "expected no second policy of this name, and at most %d",
                                   SIM_INLINE_MAX);
        }
    }
    return true;
}

static bool load_attached(struct loading *l, struct sim_role *r, const json *arns) {
    for (const json *it = json_first(arns); it; it = it->next) {
        if (!sim_policy_find(l->a, it->valuestring))
            return snapshot_refuse(l->s, it, l->err, "expected a policy that aws.policies has");
        if (!sim_role_attach_now(l->a, r, it->valuestring))
            return snapshot_refuse(l->s, it, l->err, "expected at most %d policies", SIM_ATTACHED_TRACKED_MAX);
    }
    return true;
}

static bool load_boundary(struct loading *l, struct sim_role *r, const json *arn) {
    if (!arn)
        return true;
    if (!sim_policy_find(l->a, arn->valuestring))
        return snapshot_refuse(l->s, arn, l->err, "expected a policy that aws.policies has");
    sim_set_now(&r->boundary, json_dup(arn));
    return true;
}

static bool load_role(struct loading *l, const json *role) {
    const char *name = json_str(role, "name");
    if (!sim_is_name(name, 64) || sim_role_find(l->a, name))
        return snapshot_refuse(l->s, member(role, "name"), l->err, "expected the name of a role, and no second of it");
    struct sim_role *r = sim_role_make(l->a, name, json_str(role, "path"));
    if (!r)
        return snapshot_refuse(l->s, role, l->err, "expected at most %d roles", SIM_AWS_ROLES_MAX);
    sim_set_now(&r->exists, sim_true());
    r->trust_text = sim_strdup(json_print_arena(json_get(role, "trust"), l->arena));
    sim_set_now(&r->trust, json_dup(json_get(role, "trust")));
    r->description = sim_strdup(json_str(role, "description"));
    r->max_session_s = json_int64_or(role, "maxSessionSeconds", 3600);
    json_free(r->tags);
    r->tags = tags_of(json_get(role, "tags"));
    if (!str_eq(r->arn, json_str(role, "arn")))
        return snapshot_refuse(l->s, member(role, "arn"), l->err, "expected %s, as account, path and name say", r->arn);
    return load_boundary(l, r, json_get(role, "permissionsBoundary")) &&
           load_attached(l, r, json_get(role, "attachedPolicies")) &&
           load_inline(l, r, json_get(role, "inlinePolicies"));
}

static bool load_roles(struct loading *l, const json *roles) {
    for (const json *it = json_first(roles); it; it = it->next)
        if (!load_role(l, it))
            return false;
    return true;
}

/* --- instances --- */

static const char *path_of_profile(struct loading *l, const char *arn, const char *name) {
    const char *from = strstr(arn, ":instance-profile/");
    size_t n = from ? strlen(from) - strlen(":instance-profile") : 0, end = strlen(name);
    if (!from || n <= end || !str_eq(arn + strlen(arn) - end, name))
        return NULL;
    return arena_strndup(l->arena, from + strlen(":instance-profile"), n - end);
}

static bool load_profiles(struct loading *l, const json *profiles) {
    for (const json *it = json_first(profiles); it; it = it->next) {
        const char *name = json_str(it, "name"), *role = json_str(it, "role");
        const char *path = path_of_profile(l, json_str(it, "arn"), name);
        struct sim_profile *p =
            path && sim_is_name(name, 128) && !sim_profile_find(l->a, name) ? sim_profile_make(l->a, name, path) : NULL;
        if (!p || !str_eq(p->arn, json_str(it, "arn")))
            return snapshot_refuse(l->s, member(it, "arn"), l->err,
                                   "expected the ARN of a profile of this account and name, and no second of it");
        if (role && !sim_role_find(l->a, role))
            return snapshot_refuse(l->s, json_get(it, "role"), l->err, "expected a role that aws.roles has");
        p->role = sim_strdup(role);
    }
    return true;
}

static bool load_instances(struct loading *l, const json *instances) {
    if (json_array_size(instances) > SIM_AWS_INSTANCES_MAX)
        return snapshot_refuse(l->s, instances, l->err, "expected at most %d instances", SIM_AWS_INSTANCES_MAX);
    for (const json *it = json_first(instances); it; it = it->next) {
        const char *id = json_str(it, "id"), *profile = json_str(it, "profile"), *state = json_str(it, "state");
        if (!str_has_prefix(id, "i-") || strmap_get(l->a->instances, id))
            return snapshot_refuse(l->s, member(it, "id"), l->err,
                                   "expected the id of an instance, and no second of it");
        if (profile && !sim_profile_find(l->a, profile))
            return snapshot_refuse(l->s, json_get(it, "profile"), l->err, "expected a profile that aws.profiles has");
        if (!str_eq(state, "terminated") && !str_eq(state, "shutting-down"))
            sim_aws_run_instance(l->a, id, profile, json_str(it, "clusterTag"));
    }
    return true;
}

/* --- providers, EKS --- */

struct params {
    struct sim_aws_param v[PARAMS_MAX];
    size_t n;
};

static void add(struct params *p, const char *name, const char *value) {
    if (p->n < PARAMS_MAX)
        p->v[p->n++] = (struct sim_aws_param){name, value};
}

static bool load_provider(struct loading *l, const json *provider) {
    struct params p = {.n = 0};
    struct sim_aws_answer answer;
    int n = 0;
    add(&p, "Url", json_str(provider, "url"));
    for (const json *it = json_first(json_get(provider, "clientIds")); it; it = it->next)
        add(&p, arena_printf(l->arena, "ClientIDList.member.%d", ++n), it->valuestring);
    n = 0;
    for (const json *it = json_first(json_get(provider, "tags")); it; it = it->next) {
        add(&p, arena_printf(l->arena, "Tags.member.%d.Key", ++n), it->string);
        add(&p, arena_printf(l->arena, "Tags.member.%d.Value", n), it->valuestring);
    }
    struct sim_aws_call call = {
        .service = "iam", .action = "CreateOpenIDConnectProvider", .params = p.v, .nparams = p.n};
    sim_aws_do(l->a, &call, &answer);
    bool right = !answer.code && str_eq(json_str(answer.value, "OpenIDConnectProviderArn"), json_str(provider, "arn"));
    char *why = arena_strdup(l->arena, str_or(answer.message, "the URL is another one's"));
    json_free(answer.value);
    return right ||
           snapshot_refuse(l->s, member(provider, "arn"), l->err, "expected a provider that IAM takes: %s", why);
}

static bool load_providers(struct loading *l, const json *providers) {
    for (const json *it = json_first(providers); it; it = it->next)
        if (!load_provider(l, it))
            return false;
    return true;
}

static void load_eks(struct loading *l, const json *aws) {
    const json *addon = json_get(aws, "addon"), *association = json_get(aws, "association");
    sim_aws_set_addon(l->a, addon ? json_print_arena(addon, l->arena) : NULL);
    sim_aws_set_association(l->a, association ? json_print_arena(association, l->arena) : NULL);
}

bool aws_load(struct sim_aws *a, const struct snapshot *s, struct error *err) {
    const json *aws = json_get(snapshot_root(s), "aws");
    struct loading l = {.a = a, .s = s, .arena = arena_new(0), .err = err};
    sim_aws_set_lag(a, 0);
    arena_reset(a->scratch);
    bool good = check_place(&l, aws) && load_policies(&l, json_get(aws, "policies")) &&
                load_roles(&l, json_get(aws, "roles")) && load_profiles(&l, json_get(aws, "profiles")) &&
                load_instances(&l, json_get(aws, "instances")) && load_providers(&l, json_get(aws, "providers"));
    if (good)
        load_eks(&l, aws);
    arena_free(l.arena);
    return good;
}
