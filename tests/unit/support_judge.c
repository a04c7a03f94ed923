/*
 * support_judge.c - the judge of the small world: invariants other than S1, from the world's own tables, directly
 * before each step. It shares no decision with reconcilers/: it looks at what is so, not at why the operator thinks so.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_world.h"

static void violated(struct sim *s, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void violated(struct sim *s, const char *name, const char *fmt, ...) {
    va_list ap;
    if (s->violations++ > 0)
        return; /* the first is told */
    snprintf(s->violated, sizeof s->violated, "%s", name);
    int n = snprintf(s->violation, sizeof s->violation, "%s: ", name);
    va_start(ap, fmt);
    vsnprintf(s->violation + n, sizeof s->violation - (size_t)n, fmt, ap);
    va_end(ap);
}

/* --- S2, S3, S14, S18: taking a policy off a node role --- */

static bool node_is_proven(struct sim *s, int node) {
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        struct sim_pod *p = &s->pods[i];
        if (p->exists && !p->foreign && p->node == node && p->role[0] && p->ready && !p->static_key &&
            sim_pod_permitted(s, p))
            return true;
    }
    return false;
}

static bool all_proven(struct sim *s) {
    int nodes = 0;
    for (int n = 0; n < s->nnodes; n++) {
        if (s->node_gone[n])
            continue;
        nodes++;
        if (!node_is_proven(s, n))
            return false;
    }
    return nodes > 0;
}

/* Since when, without a gap, every node has a pod that lives on a role of its own. */
void sim_judge_proofs(struct sim *s) {
    if (!all_proven(s))
        s->proven_since_ms = -1;
    else if (s->proven_since_ms < 0)
        s->proven_since_ms = s->now_ms;
}

static int64_t soak_ms(const struct sim *s) {
    struct error err;
    json *o = json_parse(s->binding_json, strlen(s->binding_json), &err);
    int64_t seconds = json_int64_or(o, "spec.nodeRole.soakSeconds", 300);
    json_free(o);
    return seconds * 1000;
}

static bool status_records(const struct sim *s, const char *role_arn, const char *policy) {
    struct error err;
    bool found = false;
    json *o = json_parse(s->binding_json, strlen(s->binding_json), &err);
    for (const json *r = json_first(json_array(o, "status.nodeRoles")); r; r = r->next)
        for (const json *p = json_first(json_array(r, "detached")); p; p = p->next)
            found =
                found || (str_eq(json_str(r, "arn"), role_arn) && json_is_string(p) && str_eq(p->valuestring, policy));
    json_free(o);
    return found;
}

static void judge_detach(struct sim *s, const struct sim_role *r, const char *policy) {
    int64_t oldest = s->listed_pods_ms < s->listed_nodes_ms ? s->listed_pods_ms : s->listed_nodes_ms;
    if (s->read_ms[EFFECT_EC2_DESCRIBE_INSTANCES] < oldest)
        oldest = s->read_ms[EFFECT_EC2_DESCRIBE_INSTANCES];
    if (!s->config.guard_independent)
        violated(s, "S18", "detached %s under a guard that needs the CNI", policy);
    else if (!all_proven(s))
        violated(s, "S2", "detached from %s while a node has no pod with a role of its own", r->name);
    else if (s->foreign_instance[0] && !s->foreign_declared && r == &s->roles[0])
        violated(s, "S2", "detached from %s, which %s uses", r->name, s->foreign_instance);
    else if (s->now_ms - oldest > 10000)
        violated(s, "S2", "detached from %s on a snapshot of %lld ms ago", r->name, (long long)(s->now_ms - oldest));
    else if (s->now_ms - s->proven_since_ms < soak_ms(s) || s->now_ms - s->started_ms < soak_ms(s))
        violated(s, "S2", "detached from %s before the soak was over", r->name);
    else if (s->probed_ms[r - s->roles] == 0 || s->now_ms - s->probed_ms[r - s->roles] > 120000)
        violated(s, "S3", "detached from %s without proof that it can be attached again", r->name);
    else if (!status_records(s, r->arn, policy))
        violated(s, "S3", "detached from %s before status said so", r->name);
    else if (!str_eq(policy, SIM_CNI_POLICY) && !str_has_suffix(policy, SIM_IPV6_SUFFIX))
        violated(s, "S5", "detached %s from %s", policy, r->name);
}

/* --- S5, S15: what is deleted or rewritten --- */

static const char *tag(char tags[][2][256], int n, const char *key) {
    for (int i = 0; i < n; i++)
        if (strcmp(tags[i][0], key) == 0)
            return tags[i][1];
    return NULL;
}

static bool is_ours(char tags[][2][256], int n) {
    return str_eq(tag(tags, n, "cniiam.dev/managed-by"), "cni-iam") &&
           str_eq(tag(tags, n, "cniiam.dev/cluster"), SIM_CLUSTER) &&
           str_eq(tag(tags, n, "cniiam.dev/binding"), "aws-node");
}

static void judge_delete_role(struct sim *s, struct sim_role *r) {
    if (!is_ours(r->tags, r->ntags) || tag(r->tags, r->ntags, "cniiam.dev/adopted"))
        violated(s, "S5", "deleted role %s, which is not ours", r->name);
    if (sim_pods_with_role(s, r->arn) > 0 || str_eq(s->sa_role, r->arn))
        violated(s, "S15", "deleted role %s, which pods bear", r->name);
}

static void judge_delete_provider(struct sim *s) {
    if (!is_ours(s->provider_tags, s->nprovider_tags))
        violated(s, "S5", "deleted a provider that is not ours");
    if (s->other_sa_has_role)
        violated(s, "S5", "deleted the provider that another ServiceAccount needs");
    for (int i = 0; i < SIM_ROLES_MAX; i++)
        if (s->roles[i].exists && strstr(s->roles[i].trust, SIM_PROVIDER))
            violated(s, "S5", "deleted the provider that role %s trusts", s->roles[i].name);
}

static void judge_mode(struct sim *s, const struct effect *e) {
    struct error err;
    json *o = json_parse(s->binding_json, strlen(s->binding_json), &err);
    const char *mode = str_or(json_str(o, "spec.mode"), "Enforce");
    if (strcmp(mode, "Enforce") != 0 && !str_eq(effect_arg(e, "resource"), CIB_RESOURCE))
        violated(s, "mode", "%s in mode %s", effect_operation(e->kind), mode);
    json_free(o);
}

void sim_judge_step(struct sim *s, const struct effect *e) {
    struct sim_role *r = effect_arg(e, "RoleName") ? sim_role(s, effect_arg(e, "RoleName")) : NULL;
    judge_mode(s, e);
    if (e->kind == EFFECT_IAM_DETACH_ROLE_POLICY && r && r->node)
        judge_detach(s, r, effect_arg(e, "PolicyArn"));
    else if (e->kind == EFFECT_IAM_DETACH_ROLE_POLICY && r && !is_ours(r->tags, r->ntags))
        violated(s, "S5", "detached a policy from role %s, which is not ours", r->name);
    if (e->kind == EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY && r && !is_ours(r->tags, r->ntags))
        violated(s, "S5", "rewrote the trust of role %s, which is not ours", r->name);
    if (e->kind == EFFECT_IAM_DELETE_ROLE && r)
        judge_delete_role(s, r);
    if (e->kind == EFFECT_IAM_DELETE_OIDC_PROVIDER)
        judge_delete_provider(s);
}
