/* binding_status_decode.c - .status from JSON: what an earlier run, or another replica, left for us. */
#include "crd/binding_names.h"
#include "crd/binding_status.h"
#include "crd/object_meta.h"

static const char *text(const json *j, const char *path, struct arena *a) {
    return arena_strdup(a, json_str(j, path));
}

static struct strlist list(const json *j, const char *path, size_t max, struct arena *a) {
    struct strlist out = {0};
    for (const json *it = json_first(json_array(j, path)); it != NULL && out.n < max; it = it->next) {
        if (json_is_string(it)) {
            strlist_add(&out, it->valuestring, a);
        }
    }
    return out;
}

static void read_identity(const json *j, struct cib_status *s, struct arena *a) {
    s->cluster.name = text(j, "cluster.name", a);
    s->cluster.region = text(j, "cluster.region", a);
    s->cluster.arn = text(j, "cluster.arn", a);
    s->cluster.issuer = text(j, "cluster.issuer", a);
    s->cluster.account_id = text(j, "cluster.accountID", a);
    s->role.arn = text(j, "role.arn", a);
    s->role.name = text(j, "role.name", a);
    s->role.id = text(j, "role.id", a);
    s->role.created = json_bool(j, "role.created", false);
    s->role.earlier = list(j, "role.earlierARNs", CIB_EARLIER_ROLES_MAX, a);
    s->provider.arn = text(j, "provider.arn", a);
    s->provider.created = json_bool(j, "provider.created", false);
    s->policies.arns = list(j, "policies.arns", CIB_POLICIES_MAX, a);
    s->policies.created_arn = text(j, "policies.createdARN", a);
}

static void read_rollout(const json *j, struct cib_status *s, struct arena *a) {
    s->prior.recorded = json_bool(j, "prior.recorded", false);
    s->prior.role_arn = text(j, "prior.roleARN", a);
    s->prior.sts_regional_endpoints = text(j, "prior.stsRegionalEndpoints", a);
    s->prior.worked = json_bool(j, "prior.worked", false);
    s->rollout.role_arn = text(j, "rollout.roleARN", a);
    s->rollout.annotated_ms = json_instant_ms(j, "rollout.annotatedAt");
    s->rollout.restart_key = text(j, "rollout.restartKey", a);
    s->rollout.canary_uid = text(j, "rollout.canaryUID", a);
    s->rollout.canary_ms = json_instant_ms(j, "rollout.canaryAt");
    s->nodes.total = json_int64_or(j, "nodes.total", 0);
    s->nodes.proven = json_int64_or(j, "nodes.proven", 0);
}

static void read_intent(const json *j, struct cib_intent *i, struct arena *a) {
    i->action = text(j, "action", a);
    i->policy_arn = text(j, "policyARN", a);
    i->digest = text(j, "digest", a);
    i->epoch = json_int64_or(j, "epoch", 0);
    i->at_ms = json_instant_ms(j, "at");
}

static void read_node_role(const json *j, struct cib_node_role *r, struct arena *a) {
    r->arn = text(j, "arn", a);
    r->name = text(j, "name", a);
    r->attached = list(j, "attached", CIB_POLICIES_MAX, a);
    r->detached = list(j, "detached", CIB_POLICIES_MAX, a);
    r->findings = list(j, "findings", CIB_FINDINGS_MAX, a);
    r->may_detach = json_bool(j, "mayDetach", false);
    r->reason = text(j, "reason", a);
    r->message = text(j, "message", a);
    r->consumers_known = json_bool(j, "consumersKnown", false);
    r->probed_ms = json_instant_ms(j, "probedAt");
    read_intent(json_get(j, "intent"), &r->intent, a);
}

static void read_node_roles(const json *j, struct cib_status *s, struct arena *a) {
    const json *roles = json_array(j, "nodeRoles");

    if (json_first(roles) != NULL) {
        s->node_roles = ARENA_ARRAY(a, CIB_NODE_ROLES_MAX, struct cib_node_role);
    }
    for (const json *it = json_first(roles); it != NULL && s->nnode_roles < CIB_NODE_ROLES_MAX; it = it->next) {
        if (!str_empty(json_str(it, "arn"))) {
            read_node_role(it, &s->node_roles[s->nnode_roles++], a);
        }
    }
}

static void read_gates(const json *j, struct cib_status *s, struct arena *a) {
    for (size_t i = 0; i < CIB_GATES; i++) {
        s->gates[i].name = cib_gate_ids[i];
    }
    for (const json *it = json_first(json_array(j, "gates")); it != NULL; it = it->next) {
        for (size_t i = 0; i < CIB_GATES; i++) {
            unsigned state;
            if (str_eq(json_str(it, "name"), cib_gate_ids[i]) &&
                cib_word_find(&cib_gate_states, json_str(it, "state"), &state)) {
                s->gates[i].state = (enum cib_gate_state)state;
                s->gates[i].since_ms = json_instant_ms(it, "since");
                s->gates[i].evidence = text(it, "evidence", a);
            }
        }
    }
}

static void read_plan_and_guard(const json *j, struct cib_status *s, struct arena *a) {
    s->plan.digest = text(j, "plan.digest", a);
    s->plan.steps = list(j, "plan.steps", CIB_STEPS_MAX, a);
    s->approval.digest = text(j, "approval.digest", a);
    s->approval.at_ms = json_instant_ms(j, "approval.at");
    s->approval.used = json_bool(j, "approval.used", false);
    s->approval.previous = text(j, "approval.previous", a);
    s->guard.fired = json_bool(j, "guard.fired", false);
    s->guard.reason = text(j, "guard.reason", a);
    s->guard.at_ms = json_instant_ms(j, "guard.at");
}

static void read_conditions(const json *j, struct cib_status *s, struct arena *a) {
    for (const json *it = json_first(json_array(j, "conditions")); it != NULL; it = it->next) {
        unsigned status;
        const char *type = json_str(it, "type");
        if (s->nconditions == CIB_CONDITIONS_MAX || str_empty(type) || cib_condition_find(s, type) != NULL ||
            !cib_word_find(&cib_condition_statuses, json_str(it, "status"), &status)) {
            continue;
        }
        s->conditions[s->nconditions++] = (struct cib_condition){
            .type = arena_strdup(a, type),
            .status = (enum cib_condition_status)status,
            .reason = text(it, "reason", a),
            .message = text(it, "message", a),
            .observed_generation = json_int64_or(it, "observedGeneration", 0),
            .last_transition_ms = json_instant_ms(it, "lastTransitionTime"),
        };
    }
}

void cib_status_decode(const json *status, struct cib_status *s, struct arena *a) {
    *s = (struct cib_status){.present = json_is_object(status)};
    s->observed_generation = json_int64_or(status, "observedGeneration", 0);
    read_identity(status, s, a);
    read_rollout(status, s, a);
    read_node_roles(status, s, a);
    read_gates(status, s, a);
    read_plan_and_guard(status, s, a);
    s->phase = arena_strdup(a, str_or(json_str(status, "phase"), ""));
    s->epoch = json_int64_or(status, "epoch", 0);
    read_conditions(status, s, a);
}
