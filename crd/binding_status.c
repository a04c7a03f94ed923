/* binding_status.c - .status as JSON: what the operator says, in an order that never changes. */
#include "crd/binding_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crd/binding_names.h"
#include "platform/base/timefmt.h"
#include "platform/base/utf8.h"

/* A copy of at most `max` bytes of valid UTF-8: bytes that are none become '?', a cut is marked. The caller frees it.
 */
static char *fitted(const char *s, size_t max) {
    size_t n = strlen(s);
    size_t limit = n <= max ? n : max - 3;
    size_t used = 0;
    char *out = malloc(max + 1);

    if (out == NULL) {
        die("out of memory: status");
    }
    while (used < limit) {
        uint32_t code;
        size_t step = utf8_step((const unsigned char *)s + used, n - used, &code);
        size_t take = step > 0 ? step : 1;
        if (used + take > limit) {
            break;
        }
        memcpy(out + used, step > 0 ? s + used : "?", take);
        used += take;
    }
    for (size_t dots = n > max ? 3 : 0; dots > 0; dots--) {
        out[used++] = '.';
    }
    out[used] = '\0';
    return out;
}

/* Most texts are: nothing has to be copied. */
static bool is_short_ascii(const char *s, size_t max) {
    size_t n = 0;
    while (n <= max && s[n] > 0) {
        n++;
    }
    return n <= max && s[n] == '\0';
}

static void add_text(json *o, const char *key, const char *value, size_t max) {
    if (value != NULL && is_short_ascii(value, max)) {
        json_add_str(o, key, value);
    } else if (value != NULL) {
        char *cut = fitted(value, max);
        json_add_str(o, key, cut);
        free(cut);
    }
}

static void add_id(json *o, const char *key, const char *value) {
    if (!str_empty(value)) {
        add_text(o, key, value, CIB_TEXT_ID);
    }
}

static void add_instant(json *o, const char *key, int64_t ms) {
    if (ms != 0) {
        char at[TIMEFMT_MAX];
        timefmt_rfc3339(ms, at);
        json_add_str(o, key, at);
    }
}

static void add_number(json *o, const char *key, int64_t value) {
    if (value != 0) {
        json_add_int64(o, key, value);
    }
}

static void add_flag(json *o, const char *key, bool value) {
    if (value) {
        json_add_bool(o, key, true);
    }
}

static void add_list(json *o, const char *key, const struct strlist *l, size_t max_items) {
    if (l->n == 0) {
        return;
    }
    json *arr = json_add_array(o, key);
    for (size_t i = 0; i < l->n && i < max_items; i++) {
        char *cut = is_short_ascii(l->v[i], CIB_TEXT_LINE) ? NULL : fitted(l->v[i], CIB_TEXT_LINE);
        json_push_str(arr, cut != NULL ? cut : l->v[i]);
        free(cut);
    }
}

/* Takes `child`; an empty one is left out. */
static void add_part(json *o, const char *key, json *child) {
    if (json_first(child) == NULL) {
        json_free(child);
        return;
    }
    json_add_item(o, key, child);
}

static json *cluster_json(const struct cib_status *s) {
    json *o = json_object();
    add_id(o, "name", s->cluster.name);
    add_id(o, "region", s->cluster.region);
    add_id(o, "arn", s->cluster.arn);
    add_id(o, "issuer", s->cluster.issuer);
    add_id(o, "accountID", s->cluster.account_id);
    return o;
}

static json *role_json(const struct cib_status *s) {
    json *o = json_object();
    add_id(o, "arn", s->role.arn);
    add_id(o, "name", s->role.name);
    add_id(o, "id", s->role.id);
    add_flag(o, "created", s->role.created);
    add_list(o, "earlierARNs", &s->role.earlier, CIB_EARLIER_ROLES_MAX);
    return o;
}

static json *provider_json(const struct cib_status *s) {
    json *o = json_object();
    add_id(o, "arn", s->provider.arn);
    add_flag(o, "created", s->provider.created);
    return o;
}

static json *policies_json(const struct cib_status *s) {
    json *o = json_object();
    add_list(o, "arns", &s->policies.arns, CIB_POLICIES_MAX);
    add_id(o, "createdARN", s->policies.created_arn);
    return o;
}

/* An annotation that was there with an empty value is not one that was absent: both texts are kept, even empty. */
static json *prior_json(const struct cib_status *s) {
    json *o = json_object();
    if (!s->prior.recorded) {
        return o;
    }
    json_add_bool(o, "recorded", true);
    add_text(o, "roleARN", s->prior.role_arn, CIB_TEXT_ID);
    add_text(o, "stsRegionalEndpoints", s->prior.sts_regional_endpoints, CIB_TEXT_ID);
    json_add_bool(o, "worked", s->prior.worked);
    return o;
}

static json *rollout_json(const struct cib_status *s) {
    json *o = json_object();
    add_id(o, "roleARN", s->rollout.role_arn);
    add_instant(o, "annotatedAt", s->rollout.annotated_ms);
    add_id(o, "restartKey", s->rollout.restart_key);
    add_id(o, "canaryUID", s->rollout.canary_uid);
    add_instant(o, "canaryAt", s->rollout.canary_ms);
    return o;
}

/* Always there, zeros too: scripts read the numbers, the printer column the text. */
static json *nodes_json(const struct cib_status *s) {
    char summary[48];
    json *o = json_object();
    (void)snprintf(summary, sizeof summary, "%lld/%lld", (long long)s->nodes.proven, (long long)s->nodes.total);
    json_add_int64(o, "total", s->nodes.total);
    json_add_int64(o, "proven", s->nodes.proven);
    json_add_str(o, "summary", summary);
    return o;
}

static json *intent_json(const struct cib_intent *i) {
    json *o = json_object();
    if (i->action == NULL) {
        return o;
    }
    add_id(o, "action", i->action);
    add_id(o, "policyARN", i->policy_arn);
    add_id(o, "digest", i->digest);
    add_number(o, "epoch", i->epoch);
    add_instant(o, "at", i->at_ms);
    return o;
}

static json *node_role_json(const struct cib_node_role *r) {
    json *o = json_object();
    add_id(o, "arn", r->arn);
    add_id(o, "name", r->name);
    add_list(o, "attached", &r->attached, CIB_POLICIES_MAX);
    add_list(o, "detached", &r->detached, CIB_POLICIES_MAX);
    add_list(o, "findings", &r->findings, CIB_FINDINGS_MAX);
    json_add_bool(o, "mayDetach", r->may_detach);
    add_id(o, "reason", r->reason);
    add_text(o, "message", r->message, CIB_TEXT_MESSAGE);
    add_flag(o, "consumersKnown", r->consumers_known);
    add_instant(o, "probedAt", r->probed_ms);
    add_part(o, "intent", intent_json(&r->intent));
    return o;
}

static void add_node_roles(json *o, const struct cib_status *s) {
    if (s->nnode_roles == 0) {
        return;
    }
    json *arr = json_add_array(o, "nodeRoles");
    for (size_t i = 0; i < s->nnode_roles && i < CIB_NODE_ROLES_MAX; i++) {
        json_push(arr, node_role_json(&s->node_roles[i]));
    }
}

/* All eight in every status, so that a reader sees which are still to come. */
static void add_gates(json *o, const struct cib_status *s) {
    json *arr = json_add_array(o, "gates");
    for (size_t i = 0; i < CIB_GATES; i++) {
        const struct cib_gate *g = &s->gates[i];
        json *gate = json_object();
        json_add_str(gate, "name", cib_gate_ids[i]);
        json_add_str(gate, "state", cib_gate_state_name(g->state));
        add_instant(gate, "since", g->since_ms);
        if (!str_empty(g->evidence)) {
            add_text(gate, "evidence", g->evidence, CIB_TEXT_LINE);
        }
        json_push(arr, gate);
    }
}

static json *plan_json(const struct cib_status *s) {
    json *o = json_object();
    add_id(o, "digest", s->plan.digest);
    add_list(o, "steps", &s->plan.steps, CIB_STEPS_MAX);
    return o;
}

static json *approval_json(const struct cib_status *s) {
    json *o = json_object();
    add_id(o, "digest", s->approval.digest);
    add_instant(o, "at", s->approval.at_ms);
    add_flag(o, "used", s->approval.used);
    add_id(o, "previous", s->approval.previous);
    return o;
}

static json *guard_json(const struct cib_status *s) {
    json *o = json_object();
    add_flag(o, "fired", s->guard.fired);
    add_id(o, "reason", s->guard.reason);
    add_instant(o, "at", s->guard.at_ms);
    return o;
}

static json *condition_json(const struct cib_condition *c) {
    json *o = json_object();
    json_add_str(o, "type", c->type);
    json_add_str(o, "status", cib_word(&cib_condition_statuses, (unsigned)c->status));
    add_text(o, "reason", str_or(c->reason, "Unknown"), CIB_TEXT_ID); /* required, and never empty (K-S1) */
    add_text(o, "message", str_or(c->message, ""), CIB_TEXT_MESSAGE);
    add_number(o, "observedGeneration", c->observed_generation);
    char at[TIMEFMT_MAX];
    timefmt_rfc3339(c->last_transition_ms, at);
    json_add_str(o, "lastTransitionTime", at);
    return o;
}

static void add_conditions(json *o, const struct cib_status *s) {
    if (s->nconditions == 0) {
        return;
    }
    json *arr = json_add_array(o, "conditions");
    for (size_t i = 0; i < s->nconditions; i++) {
        json_push(arr, condition_json(&s->conditions[i]));
    }
}

json *cib_status_encode(const struct cib_status *s) {
    json *o = json_object();

    add_number(o, "observedGeneration", s->observed_generation);
    add_part(o, "cluster", cluster_json(s));
    add_part(o, "role", role_json(s));
    add_part(o, "provider", provider_json(s));
    add_part(o, "policies", policies_json(s));
    add_part(o, "prior", prior_json(s));
    add_part(o, "rollout", rollout_json(s));
    add_part(o, "nodes", nodes_json(s));
    add_node_roles(o, s);
    add_gates(o, s);
    add_part(o, "plan", plan_json(s));
    add_part(o, "approval", approval_json(s));
    add_part(o, "guard", guard_json(s));
    add_id(o, "phase", s->phase);
    add_number(o, "epoch", s->epoch);
    add_conditions(o, s);
    return o;
}

json *cib_status_apply_document(const struct cib_binding *b, const struct cib_status *s, const char *resource_version) {
    json *doc = json_object();

    json_add_str(doc, "apiVersion", CIB_API_VERSION);
    json_add_str(doc, "kind", CIB_KIND);
    json *meta = json_add_object(doc, "metadata");
    json_add_str(meta, "name", b->name);
    json_add_str(meta, "uid", b->uid);
    json_add_str(meta, "resourceVersion", resource_version);
    json_add_item(doc, "status", cib_status_encode(s));
    return doc;
}
