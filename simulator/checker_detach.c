/* checker_detach.c - S2 and S3: what must be so when a CNI policy comes off a node role. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulator/aws_internal.h"
#include "simulator/checker_internal.h"

#define PROBE_MAX_MS 150000 /* "the same step group" */
#define SOAK_DEFAULT_S 300

/* --- what operators did with the policies of roles --- */

static const char *policy_key(struct arena *a, const char *role, const char *policy) {
    return arena_printf(a, "%s %s", role, policy);
}

static struct checker_policy *policy_of(struct sim_checker *c, const char *key) {
    struct checker_policy *p = strmap_get(c->policies, key);
    if (p)
        return p;
    p = calloc(1, sizeof *p);
    if (!p)
        die("out of memory");
    p->attached_ms = p->probed_ms = -1;
    (void)strmap_set(c->policies, key, p);
    return p;
}

/* Attaching what is attached changes nothing, and proves that it may be done. */
void detach_heard(struct sim_checker *c, const struct call *k, int status) {
    const char *role = call_param(k, "RoleName"), *policy = call_param(k, "PolicyArn");
    if (call_is(k, "AttachRolePolicy") && status == 200)
        policy_of(c, policy_key(k->a, role, policy))->probed_ms = checker_now(c);
}

/* Whose instances may all be gone by now. */
bool detach_was_node_role(struct sim_checker *c, const char *role, const char *policy) {
    struct arena *a = arena_new(0);
    bool known = strmap_get(c->policies, policy_key(a, role, policy)) != NULL;
    arena_free(a);
    return known;
}

/* --- who lives on a role --- */

bool detach_is_node_role(struct sim_checker *c, const char *role) {
    const char *key;
    void *value;
    for (size_t it = 0; strmap_next(c->w->aws->instances, &it, &key, &value);) {
        const char *arn = sim_aws_role_of_instance(c->w->aws, key);
        const char *slash = arn ? strrchr(arn, '/') : NULL;
        if (slash && str_eq(slash + 1, role))
            return true;
    }
    return false;
}

struct node_of {
    const char *instance, *name;
};

static void match_node(void *arg, const json *node) {
    struct node_of *f = arg;
    const char *id = json_str(node, "spec.providerID"), *slash = id ? strrchr(id, '/') : NULL;
    if (slash && str_eq(slash + 1, f->instance))
        f->name = json_str(node, "metadata.name");
}

static const char *last_part(const char *s) {
    const char *slash = s ? strrchr(s, '/') : NULL;
    return slash ? slash + 1 : s;
}

static bool is_declared(const struct sim_checker *c, const char *role, const struct sim_instance *i) {
    for (const json *d = json_first(json_array(checker_binding(c), "spec.nodeRole.foreignConsumers")); d; d = d->next) {
        const char *name = last_part(d->valuestring);
        if (str_eq(name, role) || str_eq(name, i->id) || str_eq(name, i->profile) || str_eq(name, i->cluster))
            return true;
    }
    return false;
}

/* Was it proven for as long as the soak is, in a picture that may be as old as a picture may be? */
static bool is_soaked(const struct sim_checker *c, const struct checker_node *n, int64_t soak_ms) {
    if (n->proven)
        return checker_now(c) - n->proven_ms >= soak_ms;
    return checker_recent(c, n->lost_ms) && n->was_ms >= 0 && n->lost_ms - n->was_ms >= soak_ms;
}

static void judge_consumer(struct sim_checker *c, const char *role, const struct sim_instance *i, int64_t soak_ms) {
    struct node_of f = {.instance = i->id};
    sim_kube_each(c->w->kube, "nodes", NULL, match_node, &f);
    if (!f.name) {
        if (!is_declared(c, role, i) && sim_wall_ms(c->w->aws) - i->launched_ms >= CHECKER_RACE_MS)
            violated(c, "S2: a policy came off node role %s while instance %s, no node and not declared, uses it", role,
                     i->id);
        return;
    }
    const struct checker_node *n = strmap_get(c->nodes, f.name);
    if (!n || checker_recent(c, n->seen_ms) || is_soaked(c, n, soak_ms))
        return;
    if (n->proven)
        violated(c, "S2: a policy came off node role %s while node %s was proven for %lld s only", role, f.name,
                 (long long)(checker_now(c) - n->proven_ms) / 1000);
    else
        violated(c, "S2: a policy came off node role %s while node %s had no Ready pod with a working role", role,
                 f.name);
}

static void judge_consumers(struct sim_checker *c, const char *role, int64_t soak_ms) {
    const char *key;
    void *value;
    for (size_t it = 0; !c->excused && strmap_next(c->w->aws->instances, &it, &key, &value);) {
        const struct sim_instance *i = value;
        const char *arn = i->terminated_ms ? NULL : sim_aws_role_of_instance(c->w->aws, i->id);
        if (arn && str_eq(last_part(arn), role))
            judge_consumer(c, role, i, soak_ms);
    }
}

/* --- judging --- */

static const json *status_of_role(const struct sim_checker *c, const char *role) {
    for (const json *r = json_first(json_array(checker_binding(c), "status.nodeRoles")); r; r = r->next)
        if (str_eq(last_part(json_str(r, "arn")), role))
            return r;
    return NULL;
}

static bool lists(const json *array, const char *text) {
    for (const json *it = json_first(array); it; it = it->next)
        if (str_eq(it->valuestring, text))
            return true;
    return false;
}

static void judge_way_back(struct sim_checker *c, const struct call *k, const char *role, const char *policy) {
    const struct checker_policy *p = strmap_get(c->policies, policy_key(k->a, role, policy));
    const json *status = status_of_role(c, role);
    if (!p || p->probed_ms < 0 || checker_now(c) - p->probed_ms > PROBE_MAX_MS)
        violated(c, "S3: %s came off node role %s, and attaching it had not been tried before", policy, role);
    if (!lists(json_array(status, "detached"), policy))
        violated(c, "S3: %s came off node role %s, and status does not say so", policy, role);
}

static bool is_attached(const struct sim_checker *c, const char *role, const char *policy) {
    const struct sim_role *r = sim_role_find(c->w->aws, role);
    const struct sim_history *h = r ? strmap_get(r->attached, policy) : NULL;
    return h && sim_stored(h) != NULL;
}

/* line: "AttachRolePolicy <role> <policy>". Where nobody tells of calls, every write is taken for an operator's. */
void detach_saw_write(struct sim_checker *c, const char *action, const char *line) {
    bool attach = str_eq(action, "AttachRolePolicy");
    char role[80];
    if (!attach && !str_eq(action, "DetachRolePolicy"))
        return;
    (void)sscanf(line, "%*s %79s", role);
    struct checker_policy *p = policy_of(c, line + strlen(action) + 1);
    if (attach) {
        p->given_back = p->given_back || p->took;
        p->took = false;
    } else {
        p->took =
            c->at_hand && detach_is_node_role(c, role); /* a role of its own that nobody has is not owed anything */
        p->given_back = false;
        p->probed_ms = -1;
    }
    if (!attach && !c->told && detach_is_node_role(c, role))
        judge_consumers(c, role, 0);
    p->attached_ms = attach && c->at_hand ? checker_now(c) : -1;
}

static void judge_detach(struct sim_checker *c, const struct call *k) {
    const char *role = call_param(k, "RoleName"), *policy = call_param(k, "PolicyArn");
    int64_t soak_s = json_int64_or(checker_binding(c), "spec.nodeRole.soakSeconds", SOAK_DEFAULT_S);
    if (!is_attached(c, role, policy))
        return; /* nothing comes of it */
    judge_way_back(c, k, role, policy);
    judge_consumers(c, role, soak_s * 1000);
}

void detach_judges(struct sim_checker *c, const struct call *k) {
    if (call_is(k, "DetachRolePolicy") && detach_is_node_role(c, call_param(k, "RoleName")))
        judge_detach(c, k);
}
