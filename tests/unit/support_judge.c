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

static int64_t soak_ms(struct sim *s) {
    return json_int64_or(sim_object(s), "spec.nodeRole.soakSeconds", 300) * 1000;
}

static bool holds(const json *list, const char *text) {
    for (const json *it = json_first(list); it; it = it->next)
        if (json_is_string(it) && str_eq(it->valuestring, text))
            return true;
    return false;
}

/* What the object itself says about the detachment: who is meant, and whether a person was asked. */
static bool detach_is_wanted(struct sim *s, const struct sim_role *r) {
    const json *o = sim_object(s);
    const json *only = json_array(o, "spec.nodeRole.roleARNs");
    const char *detach = str_or(json_str(o, "spec.nodeRole.detach"), "OnApproval");
    bool asked = strcmp(detach, "Automatic") == 0 ||
                 (strcmp(detach, "OnApproval") == 0 &&
                  json_key_str(json_path(o, "metadata.annotations"), CIB_ANNOTATION_APPROVE));
    return asked && (!only || holds(only, r->arn));
}

static bool status_records(struct sim *s, const char *role_arn, const char *policy) {
    bool found = false;
    for (const json *r = json_first(json_array(sim_object(s), "status.nodeRoles")); r; r = r->next)
        for (const json *p = json_first(json_array(r, "detached")); p; p = p->next)
            found =
                found || (str_eq(json_str(r, "arn"), role_arn) && json_is_string(p) && str_eq(p->valuestring, policy));
    return found;
}

static void judge_detach(struct sim *s, const struct sim_role *r, const char *policy) {
    int64_t oldest = s->listed_pods_ms < s->listed_nodes_ms ? s->listed_pods_ms : s->listed_nodes_ms;
    if (s->read_ms[EFFECT_EC2_DESCRIBE_INSTANCES] < oldest)
        oldest = s->read_ms[EFFECT_EC2_DESCRIBE_INSTANCES];
    if (!detach_is_wanted(s, r))
        violated(s, "S5", "detached %s from %s, which nobody asked for", policy, r->name);
    else if (s->unknown_node)
        violated(s, "S2", "detached %s while the role of a node is not known", policy);
    else if (!s->config.guard_independent)
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

static void judge_detach_from_adopted(struct sim *s, struct sim_role *r, const char *policy) {
    char key[160];
    snprintf(key, sizeof key, "cniiam.dev/attached/%s", strrchr(policy, '/') + 1);
    if (!str_eq(tag(r->tags, r->ntags, key), policy))
        violated(s, "S5", "detached %s from the adopted role %s, which had it before", policy, r->name);
}

static void judge_delete_role(struct sim *s, struct sim_role *r) {
    if (!is_ours(r->tags, r->ntags) || tag(r->tags, r->ntags, "cniiam.dev/adopted"))
        violated(s, "S5", "deleted role %s, which is not ours", r->name);
    if (strstr(r->trust, "ec2.amazonaws.com"))
        violated(s, "S5", "deleted role %s, which others use", r->name);
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
    const char *mode = str_or(json_str(sim_object(s), "spec.mode"), "Enforce");
    if (strcmp(mode, "Enforce") != 0 && !str_eq(effect_arg(e, "resource"), CIB_RESOURCE))
        violated(s, "mode", "%s in mode %s", effect_operation(e->kind), mode);
}

/* --- S4, S5, S16: what is made --- */

static bool may_be_attached(const struct sim *s, const char *policy) {
    return str_eq(policy, SIM_CNI_POLICY) || str_has_suffix(policy, SIM_IPV6_SUFFIX) ||
           strlist_has(&s->config.allowed_policy_arns, policy);
}

static void judge_making(struct sim *s, const struct effect *e, const struct sim_role *r) {
    const char *trust = effect_arg(e, "AssumeRolePolicyDocument"), *path = effect_arg(e, "Path");
    const char *issuer = s->issuer_of_api + strlen("https://");
    if (e->kind == EFFECT_IAM_CREATE_ROLE && !strstr(trust, issuer))
        violated(s, "S4", "created a role that trusts another cluster");
    if (e->kind == EFFECT_IAM_CREATE_ROLE && s->addon)
        violated(s, "S5", "created a role although EKS owns the add-on");
    if (e->kind == EFFECT_IAM_CREATE_ROLE && !str_has_prefix(str_or(path, "/"), str_or(s->config.role_path, "/")))
        violated(s, "S16", "created a role at %s", str_or(path, "/"));
    if (e->kind == EFFECT_IAM_ATTACH_ROLE_POLICY && r && !r->node && !may_be_attached(s, effect_arg(e, "PolicyArn")))
        violated(s, "S16", "attached %s to %s", effect_arg(e, "PolicyArn"), r->name);
}

/* S4: what the annotation names trusts aws-node and nobody who is merely called alike. */
static void judge_annotation(struct sim *s, const struct effect *e) {
    for (int i = 0; i < SIM_ROLES_MAX; i++)
        if (s->roles[i].exists && strstr(e->body, s->roles[i].arn) && strstr(s->roles[i].trust, "aws-node*") &&
            !strstr(s->roles[i].trust, "kube-system:aws-node\""))
            violated(s, "S4", "annotated with role %s, whose trust is not exact", s->roles[i].name);
}

/* --- S9: pods are touched for something, and one after another --- */

/* The ServiceAccount names our role: pods that are created now are to get it. */
static bool on_the_way_there(struct sim *s) {
    for (int i = 0; i < SIM_ROLES_MAX; i++)
        if (s->roles[i].exists && str_eq(s->roles[i].arn, s->sa_role))
            return is_ours(s->roles[i].tags, s->roles[i].ntags);
    return false;
}

static void judge_delete_pod(struct sim *s, const struct effect *e) {
    const struct sim_pod *victim = NULL;
    bool other_unready = false;
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        if (s->pods[i].exists && str_eq(s->pods[i].uid, effect_arg(e, "uid")))
            victim = &s->pods[i];
        else
            other_unready = other_unready || (s->pods[i].exists && !s->pods[i].ready);
    }
    if (!victim || !on_the_way_there(s))
        return;
    if (s->webhook_down_ms && s->now_ms - s->webhook_down_ms > 10000)
        violated(s, "S9", "re-created %s, which can not be injected", victim->name);
    else if (victim->ready && other_unready)
        violated(s, "S9", "re-created %s while another pod was not Ready", victim->name);
}

static void judge_restart(struct sim *s) {
    int ready = 0, with_role = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        ready += s->pods[i].exists && s->pods[i].ready;
        with_role += s->pods[i].exists && s->pods[i].ready && str_eq(s->pods[i].role, s->sa_role);
    }
    if (on_the_way_there(s) && ready > 0 && with_role == 0)
        violated(s, "S9", "restarted all pods before one of them was Ready with the role");
}

/* S6: a later leader has written. */
static void judge_epoch(struct sim *s) {
    if (s->epoch >= 0 && s->epoch < s->highest_epoch)
        violated(s, "S6", "an earlier leader wrote");
}

void sim_judge_step(struct sim *s, const struct effect *e) {
    struct sim_role *r = effect_arg(e, "RoleName") ? sim_role(s, effect_arg(e, "RoleName")) : NULL;
    judge_mode(s, e);
    judge_epoch(s);
    judge_making(s, e, r);
    if (e->kind == EFFECT_K8S_DELETE)
        judge_delete_pod(s, e);
    if (e->kind == EFFECT_K8S_APPLY && str_eq(effect_arg(e, "resource"), "daemonsets"))
        judge_restart(s);
    if (e->kind == EFFECT_K8S_APPLY && str_eq(effect_arg(e, "resource"), "serviceaccounts"))
        judge_annotation(s, e);
    if (e->kind == EFFECT_IAM_DETACH_ROLE_POLICY && r && r->node)
        judge_detach(s, r, effect_arg(e, "PolicyArn"));
    else if (e->kind == EFFECT_IAM_DETACH_ROLE_POLICY && r && !is_ours(r->tags, r->ntags))
        violated(s, "S5", "detached a policy from role %s, which is not ours", r->name);
    else if (e->kind == EFFECT_IAM_DETACH_ROLE_POLICY && r && tag(r->tags, r->ntags, "cniiam.dev/adopted"))
        judge_detach_from_adopted(s, r, effect_arg(e, "PolicyArn"));
    if (e->kind == EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY && r && !is_ours(r->tags, r->ntags))
        violated(s, "S5", "rewrote the trust of role %s, which is not ours", r->name);
    if (e->kind == EFFECT_IAM_DELETE_ROLE && r)
        judge_delete_role(s, r);
    if (e->kind == EFFECT_IAM_DELETE_OIDC_PROVIDER)
        judge_delete_provider(s);
}
