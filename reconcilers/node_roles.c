/*
 * node_roles.c - who has the CNI's permissions by way of a node role: node -> EC2 instance -> instance profile -> role -> policies,
 * and back: role -> profiles -> instances, to find consumers that are no node of this cluster (S2).
 */
#include <assert.h>
#include <string.h>

#include "platform/base/strmap.h"
#include "reconcilers/context.h"
#include "reconcilers/policy_document.h"

#define INSTANCES_PER_CALL 200 /* values a filter may have */
static_assert(INSTANCES_PER_CALL < EFFECT_ARGS_MAX, "the filter's name and all its values are arguments");

static bool node_counts(const struct node_view *n) {
    return !n->fargate && !n->hybrid && !n->automode && !n->windows;
}

static void collect_nodes(struct ctx *c) {
    c->nodes = ARENA_ARRAY(c->a, c->w->nnodes ? c->w->nnodes : 1, const struct node_view *);
    c->nnodes = 0;
    for (size_t i = 0; i < c->w->nnodes; i++)
        if (node_counts(c->w->nodes[i]))
            c->nodes[c->nnodes++] = c->w->nodes[i];
}

static void unknown(struct ctx *c, const char *why) {
    c->roles_known = false;
    if (!c->roles_unknown_why)
        c->roles_unknown_why = why;
}

static const struct effect *describe_instances(struct ctx *c, size_t from, size_t to) {
    /* A filter, not InstanceId.N: an instance that is gone must not fail the call for all others. */
    struct effect *e = effect_new(c->a, EFFECT_EC2_DESCRIBE_INSTANCES, "Filter.1.Name", "instance-id", NULL);
    int n = 0;
    for (size_t i = from; i < to; i++)
        if (c->nodes[i]->instance_id)
            effect_add_arg(e, c->a, arena_printf(c->a, "Filter.1.Value.%d", ++n), c->nodes[i]->instance_id);
    return n ? e : NULL;
}

/* What the answer says of each node that was asked about: id -> where its instance is, or NULL. One walk: looking
 * through hundreds of instances for each of hundreds of nodes was a quarter of a pass. */
static struct strmap *find_instances(struct ctx *c, const json *value, size_t from, size_t to) {
    const json **found = ARENA_ARRAY(c->a, to - from, const json *);
    struct strmap *by_id = strmap_new(INSTANCES_PER_CALL, NULL);
    for (size_t i = from; i < to; i++) {
        found[i - from] = NULL;
        if (c->nodes[i]->instance_id)
            (void)strmap_set(by_id, c->nodes[i]->instance_id, &found[i - from]);
    }
    for (const json *r = json_first(json_array(value, "reservationSet")); r; r = r->next)
        for (const json *i = json_first(json_array(r, "instancesSet")); i; i = i->next) {
            const char *id = json_key_str(i, "instanceId");
            const json **at = id ? strmap_get(by_id, id) : NULL;
            if (at && !*at)
                *at = i;
        }
    return by_id;
}

static const json *found_instance(const struct strmap *by_id, const char *id) {
    const json **at = id ? strmap_get(by_id, id) : NULL;
    return at ? *at : NULL;
}

static struct node_role_fact *role_fact(struct ctx *c, const char *arn) {
    for (size_t i = 0; i < c->nroles; i++)
        if (str_eq(c->roles[i].arn, arn))
            return &c->roles[i];
    if (c->nroles >= CIB_NODE_ROLES_MAX) {
        unknown(c, "more node roles than this version handles");
        return NULL;
    }
    struct node_role_fact *r = &c->roles[c->nroles++];
    r->arn = arena_strdup(c->a, arn);
    r->name = name_of_arn(r->arn);
    return r;
}

/* false: reads are missing or the gate was answered. */
static bool add_node_role(struct ctx *c, enum gate g, const struct node_view *node, const char *profile_arn) {
    const char *profile = name_of_arn(profile_arn);
    const struct effect *e = effect_new(c->a, EFFECT_IAM_GET_INSTANCE_PROFILE, "InstanceProfileName", profile, NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (o->error.code && o->error.code != ERR_NOT_FOUND)
        return ctx_read_failed(c, g, e, &o->error);
    const json *role = json_first(json_array(o->value, "InstanceProfile.Roles"));
    const char *arn = json_str(role, "Arn");
    if (!arn) {
        unknown(c, arena_printf(c->a, "instance profile %s of node %s has no role", profile, node->meta.name));
        return true;
    }
    struct node_role_fact *r = role_fact(c, arn);
    if (r) {
        r->nodes++;
        if (!strlist_has(&r->profiles, profile))
            strlist_add(&r->profiles, profile, c->a);
    }
    return true;
}

static bool resolve_chunk(struct ctx *c, enum gate g, size_t from, size_t to) {
    const struct effect *e = describe_instances(c, from, to);
    const struct observation *o = e ? ctx_read(c, e, ctx_audit_age(c)) : NULL;
    if (e && !o)
        return false;
    if (o && o->error.code)
        return ctx_read_failed(c, g, e, &o->error);
    bool complete = true;
    struct strmap *by_id = find_instances(c, o ? o->value : NULL, from, to);
    for (size_t i = from; i < to; i++) {
        const struct node_view *node = c->nodes[i];
        const json *instance = found_instance(by_id, node->instance_id);
        const char *profile = json_str(instance, "iamInstanceProfile.arn");
        if (!node->instance_id)
            unknown(c, arena_printf(c->a, "node %s has no EC2 providerID", node->meta.name));
        else if (!instance)
            unknown(c,
                    arena_printf(c->a, "EC2 does not know instance %s of node %s", node->instance_id, node->meta.name));
        else if (!profile)
            unknown(c, arena_printf(c->a, "instance %s of node %s has no instance profile", node->instance_id,
                                    node->meta.name));
        else
            complete = add_node_role(c, g, node, profile) && complete;
    }
    strmap_free(by_id);
    return complete;
}

/* --- what is attached --- */

/* Only the managed CNI policy, or an allowed one that permissions.policyARNs names, is ever moved (S5, S16). */
static bool is_movable(const struct ctx *c, const char *policy) {
    if (str_eq(policy, arena_printf(c->a, "arn:%s:iam::aws:policy/AmazonEKS_CNI_Policy", c->partition)))
        return true;
    return strlist_has(&c->spec->permissions.policy_arns, policy);
}

/* AWS's own policies that every node has and that grant nothing of the CNI. */
static bool is_harmless(const char *policy) {
    static const char *const known[] = {"AmazonEKSWorkerNodePolicy",          "AmazonEKSWorkerNodeMinimalPolicy",
                                        "AmazonEC2ContainerRegistryReadOnly", "AmazonEC2ContainerRegistryPullOnly",
                                        "AmazonSSMManagedInstanceCore",       "CloudWatchAgentServerPolicy"};
    if (!policy || !strstr(policy, ":iam::aws:policy/"))
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq(name_of_arn(policy), known[i]))
            return true;
    return false;
}

static void add_finding(struct ctx *c, struct node_role_fact *r, const char *what, const char *text) {
    struct strlist grants = policy_cni_grants(text, c->a);
    if (grants.n == 0)
        return;
    r->grants_cni = true;
    strlist_add(&r->findings,
                arena_printf(c->a, "%s also grants %s%s; it is not the operator's to remove", what, grants.v[0],
                             grants.n > 1 ? " and more" : ""),
                c->a);
}

static bool inspect_other_policy(struct ctx *c, struct node_role_fact *r, const char *arn) {
    const struct observation *o =
        ctx_read(c, effect_new(c->a, EFFECT_IAM_GET_POLICY, "PolicyArn", arn, NULL), ctx_facts_age(c));
    if (!o)
        return false;
    const char *version = json_str(o->value, "Policy.DefaultVersionId");
    if (o->error.code || !version)
        return true; /* a finding at most: not worth stopping for */
    o = ctx_read(c, effect_new(c->a, EFFECT_IAM_GET_POLICY_VERSION, "PolicyArn", arn, "VersionId", version, NULL),
                 ctx_facts_age(c));
    if (!o)
        return false;
    if (!o->error.code)
        add_finding(c, r, arn, json_str(o->value, "PolicyVersion.Document"));
    return true;
}

static bool inspect_inline(struct ctx *c, struct node_role_fact *r) {
    const struct observation *o =
        ctx_read(c, effect_new(c->a, EFFECT_IAM_LIST_ROLE_POLICIES, "RoleName", r->name, NULL), ctx_facts_age(c));
    if (!o)
        return false;
    if (o->error.code)
        return true;
    bool complete = true;
    struct strlist names = json_strings(json_array(o->value, "PolicyNames"), c->a);
    for (size_t i = 0; i < names.n; i++) {
        const struct observation *p = ctx_read(
            c, effect_new(c->a, EFFECT_IAM_GET_ROLE_POLICY, "RoleName", r->name, "PolicyName", names.v[i], NULL),
            ctx_facts_age(c));
        if (!p)
            complete = false;
        else if (!p->error.code)
            add_finding(c, r, arena_printf(c->a, "inline policy %s", names.v[i]), json_str(p->value, "PolicyDocument"));
    }
    return complete;
}

static bool inspect_role(struct ctx *c, enum gate g, struct node_role_fact *r) {
    const struct effect *e = effect_new(c->a, EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "RoleName", r->name, NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, g, e, &o->error);
    bool complete = true;
    for (const json *it = json_first(json_array(o->value, "AttachedPolicies")); it; it = it->next) {
        const char *arn = json_str(it, "PolicyArn");
        if (is_movable(c, arn)) {
            r->grants_cni = true;
            strlist_add(&r->attached, arn, c->a);
        } else if (arn && !is_harmless(arn)) {
            complete = inspect_other_policy(c, r, arn) && complete;
        }
    }
    return inspect_inline(c, r) && complete;
}

bool observe_node_roles(struct ctx *c, enum gate g) {
    c->roles = ARENA_ARRAY(c->a, CIB_NODE_ROLES_MAX, struct node_role_fact);
    c->nroles = 0;
    c->roles_known = true;
    c->roles_unknown_why = NULL;
    collect_nodes(c);
    bool complete = true;
    for (size_t from = 0; from < c->nnodes; from += INSTANCES_PER_CALL) {
        size_t to = from + INSTANCES_PER_CALL < c->nnodes ? from + INSTANCES_PER_CALL : c->nnodes;
        complete = resolve_chunk(c, g, from, to) && complete;
    }
    for (size_t i = 0; i < c->nroles; i++)
        complete = inspect_role(c, g, &c->roles[i]) && complete;
    return complete;
}

/* --- who else uses a node role --- */

static const char *cluster_tag(const json *instance) {
    for (const json *t = json_first(json_array(instance, "tagSet")); t; t = t->next)
        if (str_has_prefix(json_str(t, "key"), "kubernetes.io/cluster/"))
            return json_str(t, "key") + strlen("kubernetes.io/cluster/");
    return NULL;
}

static bool is_declared(const struct ctx *c, const struct node_role_fact *r, const char *profile, const char *instance,
                        const char *cluster) {
    const struct strlist *d = &c->spec->node_role.foreign_consumers;
    for (size_t i = 0; i < d->n; i++)
        if (str_eq(d->v[i], r->arn) || str_eq(d->v[i], r->name) || str_eq(d->v[i], instance) ||
            str_eq(d->v[i], profile) || str_eq(name_of_arn(d->v[i]), profile) ||
            (cluster && str_eq(name_of_arn(d->v[i]), cluster)))
            return true;
    return false;
}

static bool is_our_node(const struct ctx *c, const char *instance_id) {
    for (size_t i = 0; i < c->nnodes; i++)
        if (str_eq(c->nodes[i]->instance_id, instance_id))
            return true;
    return false;
}

static void judge_consumer(struct ctx *c, struct node_role_fact *r, const char *profile, const json *instance) {
    const char *id = json_str(instance, "instanceId"), *state = json_str(instance, "instanceState.name");
    if (str_eq(state, "terminated") || str_eq(state, "shutting-down") || is_our_node(c, id))
        return;
    const char *cluster = cluster_tag(instance);
    if (is_declared(c, r, profile, id, cluster)) {
        r->foreign_is_declared = true;
        return;
    }
    if (!r->foreign)
        r->foreign = arena_printf(
            c->a, "instance %s (profile %s%s%s) uses node role %s and is no node of this cluster that runs aws-node",
            str_or(id, "?"), profile, cluster ? ", cluster " : "", str_or(cluster, ""), r->name);
}

bool observe_consumers(struct ctx *c, struct node_role_fact *r, enum gate g) {
    const struct effect *e = effect_new(c->a, EFFECT_IAM_LIST_INSTANCE_PROFILES_FOR_ROLE, "RoleName", r->name, NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, g, e, &o->error);
    bool complete = true;
    r->foreign = NULL;
    for (const json *p = json_first(json_array(o->value, "InstanceProfiles")); p; p = p->next) {
        const char *arn = json_str(p, "Arn"), *name = json_str(p, "InstanceProfileName");
        const struct effect *d = effect_new(c->a, EFFECT_EC2_DESCRIBE_INSTANCES, "Filter.1.Name",
                                            "iam-instance-profile.arn", "Filter.1.Value.1", arn, NULL);
        const struct observation *i = ctx_read(c, d, ctx_audit_age(c));
        if (!i) {
            complete = false;
            continue;
        }
        if (i->error.code)
            return ctx_read_failed(c, g, d, &i->error);
        for (const json *res = json_first(json_array(i->value, "reservationSet")); res; res = res->next)
            for (const json *one = json_first(json_array(res, "instancesSet")); one; one = one->next)
                judge_consumer(c, r, str_or(name, "?"), one);
    }
    r->consumers_known = complete;
    return complete;
}
