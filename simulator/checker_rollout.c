/*
 * checker_rollout.c - what operators may do in the cluster: S5 and S16 (which objects, which part of them), S8 (by uid), S9
 * (one restart, the canary first, one pod at a time), S15 (the annotation goes when the way back is open).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulator/checker_internal.h"

#define RESTART_ANNOTATION "cniiam.dev/restarted-for"
#define STS_ANNOTATION "eks.amazonaws.com/sts-regional-endpoints"
#define SOAK_DEFAULT_S 300

static bool is_workload(const json *object) {
    return str_eq(json_str(object, "metadata.namespace"), CHECKER_NS) &&
           str_eq(json_str(object, "metadata.name"), CHECKER_WORKLOAD);
}

/* --- S15 --- */

static void judge_way_back(struct sim_checker *c, const char *role) {
    const char *key;
    void *value;
    int64_t soak_s = json_int64_or(checker_binding(c), "spec.nodeRole.soakSeconds", SOAK_DEFAULT_S);
    for (size_t it = 0; strmap_next(c->policies, &it, &key, &value);) {
        const struct checker_policy *p = value;
        if (p->took)
            violated(c, "S15: the annotation of %s went while a policy that was taken is off: %s", role, key);
        else if (p->given_back && p->attached_ms >= 0 && checker_now(c) - p->attached_ms < soak_s * 1000)
            violated(c, "S15: the annotation of %s went %lld s after a policy was given back: %s", role,
                     (long long)(checker_now(c) - p->attached_ms) / 1000, key);
    }
}

void rollout_saw_account(struct sim_checker *c, const json *sa) {
    const json *annotations = json_path(sa, "metadata.annotations");
    const char *role = str_or(json_key_str(annotations, CHECKER_ROLE_ARN), "");
    if (!is_workload(sa))
        return;
    (void)str_copy(c->regional, sizeof c->regional, str_or(json_key_str(annotations, STS_ANNOTATION), ""));
    if (str_eq(role, c->annotated))
        return;
    if (c->at_hand && c->annotated[0])
        judge_way_back(c, c->annotated);
    (void)str_copy(c->annotated, sizeof c->annotated, role);
    c->annotated_wall_ms = c->w->o.clock.wall_ms(c->w->o.clock.ctx);
    checker_look(c);
}

/* --- S9: the restart --- */

static bool any_is_proven(const struct sim_checker *c) {
    const char *name;
    void *value;
    for (size_t it = 0; strmap_next(c->nodes, &it, &name, &value);) {
        const struct checker_node *n = value;
        if (n->proven || checker_recent(c, n->lost_ms))
            return true;
    }
    return false;
}

static const char *sick_node(const struct sim_checker *c) {
    const char *name;
    void *value;
    for (size_t it = 0; strmap_next(c->nodes, &it, &name, &value);) {
        const struct checker_node *n = value;
        if (n->unready_ms >= 0 && !checker_recent(c, n->unready_ms) && !checker_recent(c, n->seen_ms))
            return name;
    }
    return NULL;
}

/* What aws-node had when the judge came: pods worked with it, and go back to it without a canary (S15). */
static bool goes_back(const struct sim_checker *c) {
    return str_eq(c->annotated, c->annotated_first);
}

/* Bootstrap (no pod had anything before us) is spared the canary and the health of the rest. */
static void judge_restart(struct sim_checker *c, const json *ds) {
    char injection[sizeof c->restarted_role];
    (void)snprintf(injection, sizeof injection, "%.250s%s%s", c->annotated, c->annotated[0] ? "," : "",
                   c->annotated[0] ? c->regional : "");
    if (c->restarted_once && str_eq(injection, c->restarted_role))
        violated(c, "S9: the DaemonSet was restarted a second time for the injection of %s",
                 str_or(c->annotated, "nothing"));
    if (str_eq(json_str(ds, "spec.updateStrategy.type"), "OnDelete"))
        violated(c, "S9: the template of a DaemonSet with OnDelete was changed");
    if (c->annotated[0] && c->worked && !c->excused && !goes_back(c) && !any_is_proven(c))
        violated(c, "S9: the DaemonSet was restarted before one pod worked with %s", c->annotated);
    const char *sick = c->annotated[0] && c->worked && !c->excused ? sick_node(c) : NULL;
    if (sick)
        violated(c, "S9: the DaemonSet was restarted while node %s has no Ready pod", sick);
    (void)str_copy(c->restarted_role, sizeof c->restarted_role, injection);
    c->restarted_once = true;
}

/* --- S5: the rest of the workload, the spec of the binding --- */

static json *without_annotations(const json *template) {
    json *copy = json_dup(template);
    cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(copy, "metadata"), "annotations");
    return copy;
}

static void remember_template(struct sim_checker *c, const json *ds) {
    const char *key = json_key_str(json_path(ds, "spec.template.metadata.annotations"), RESTART_ANNOTATION);
    json_free(c->template);
    c->template = without_annotations(json_path(ds, "spec.template"));
    c->generation = json_int64_or(ds, "metadata.generation", 0);
    (void)str_copy(c->restarted_for, sizeof c->restarted_for, str_or(key, ""));
}

void rollout_saw_workload(struct sim_checker *c, const json *ds) {
    const char *key = json_key_str(json_path(ds, "spec.template.metadata.annotations"), RESTART_ANNOTATION);
    if (!is_workload(ds) || json_int64_or(ds, "metadata.generation", 0) == c->generation)
        return;
    bool restart = !str_eq(str_or(key, ""), c->restarted_for);
    c->restarts += restart;
    if (c->at_hand && restart)
        judge_restart(c, ds);
    if (c->at_hand && c->template) {
        json *now = without_annotations(json_path(ds, "spec.template"));
        if (!json_equal(now, c->template))
            violated(c, "S5: an operator changed more of the DaemonSet than annotations of its template");
        json_free(now);
    }
    remember_template(c, ds);
}

void rollout_saw_binding(struct sim_checker *c, const char *type, const json *binding) {
    int64_t generation = json_int64_or(binding, "metadata.generation", 0);
    if (c->at_hand && str_eq(type, "MODIFIED") && generation != c->binding_generation)
        violated(c, "S5: an operator changed the spec of binding %s", str_or(json_str(binding, "metadata.name"), "?"));
    c->binding_generation = generation;
}

void rollout_begins(struct sim_checker *c) {
    const json *sa = sim_kube_get(c->w->kube, "serviceaccounts", CHECKER_NS, CHECKER_WORKLOAD);
    const json *ds = sim_kube_get(c->w->kube, "daemonsets", CHECKER_NS, CHECKER_WORKLOAD);
    if (sa)
        rollout_saw_account(c, sa);
    c->annotated_wall_ms = 0; /* a world that is loaded in the middle: since when, nobody here has seen */
    checker_look(c);
    if (any_is_proven(c))
        (void)str_copy(c->annotated_first, sizeof c->annotated_first, c->annotated);
    if (ds)
        remember_template(c, ds);
    c->binding_generation = json_int64_or(checker_binding(c), "metadata.generation", 0);
}

/* --- requests --- */

static const char *other_wound(const struct sim_checker *c, const char *node) {
    const char *name;
    void *value;
    for (size_t it = 0; strmap_next(c->nodes, &it, &name, &value);)
        if (((struct checker_node *)value)->wounded && !str_eq(name, node))
            return name;
    return NULL;
}

static void judge_delete(struct sim_checker *c, struct call *k) {
    const json *body = call_body(k);
    const char *uid = json_str(body, "preconditions.uid"), *rv = json_str(body, "preconditions.resourceVersion");
    const json *pod = sim_kube_get(c->w->kube, "pods", k->ns, k->name);
    if (str_empty(uid) || str_empty(rv))
        violated(c, "S8: pod %s was to be deleted by its name alone", str_or(k->name, "?"));
    if (!pod || !str_eq(uid, json_str(pod, "metadata.uid")) || !str_eq(rv, json_str(pod, "metadata.resourceVersion")))
        return; /* nothing comes of it */
    if (!str_eq(json_key_str(json_path(pod, "metadata.labels"), "k8s-app"), CHECKER_WORKLOAD))
        violated(c, "S5: pod %s, which is no aws-node pod, was to be deleted", k->name);
    const char *wound = other_wound(c, json_str(pod, "spec.nodeName"));
    if (wound && c->worked && !c->excused)
        violated(c, "S9: pod %s was to be re-created while node %s waits for its pod", k->name, wound);
}

static bool is_our_object(const struct call *k) {
    return str_eq(k->ns, CHECKER_NS) && str_eq(k->name, CHECKER_WORKLOAD) && !k->subresource;
}

static void judge_target(struct sim_checker *c, struct call *k) {
    bool patch = str_eq(k->req->method, "PATCH");
    bool own = patch && str_eq(k->resource, "cniiambindings");
    bool ours =
        patch && is_our_object(k) && (str_eq(k->resource, "serviceaccounts") || str_eq(k->resource, "daemonsets"));
    bool pod = call_is_kube(k, "DELETE", "pods", NULL) && str_eq(k->ns, CHECKER_NS);
    if (!own && !ours && !pod)
        violated(c, "S16: %s %s is nothing that an operator may ask for", k->req->method, k->req->path);
    if (pod)
        judge_delete(c, k);
}

void rollout_judges(struct sim_checker *c, struct call *k) {
    if (k->changes)
        judge_target(c, k);
    else if (call_is_kube(k, "POST", "serviceaccounts", "token") &&
             !(str_eq(k->ns, CHECKER_NS) && str_eq(k->name, CHECKER_WORKLOAD)))
        violated(c, "S16: a token of ServiceAccount %s/%s was asked for", str_or(k->ns, "?"), str_or(k->name, "?"));
}
