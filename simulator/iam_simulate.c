/* iam_simulate.c - what a role may do, as stored or as enforced; SimulatePrincipalPolicy. */
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

/* --- decisions --- */

static const json *seen(const struct sim_aws *a, const struct sim_question *q, const struct sim_history *h) {
    return q->enforced ? sim_enforced(h, sim_boot_ms(a)) : sim_stored(h);
}

static const json *policy_document(const struct sim_aws *a, const struct sim_question *q, const char *arn) {
    const struct sim_policy *p = strmap_get(a->policies, arn);
    return p != NULL ? seen(a, q, &p->document) : NULL;
}

static bool is_excluded(const struct sim_question *q, const char *name) {
    return q->excluded != NULL && strlist_has(q->excluded, name);
}

static enum policy_verdict of_policies(const struct sim_aws *a, const struct sim_role *r, const struct sim_question *q,
                                       const struct policy_request *request) {
    enum policy_verdict v = POLICY_NOTHING;
    size_t it = 0, at = 0;
    const char *name;
    void *value;

    while (strmap_next(r->attached, &it, &name, &value)) {
        if (!is_excluded(q, name) && seen(a, q, value) != NULL) {
            v = policy_verdict_join(v, policy_evaluate(policy_document(a, q, name), request));
        }
    }
    while (strmap_next(r->inlines, &at, &name, &value)) {
        const struct sim_inline *i = value;
        if (!is_excluded(q, name)) {
            v = policy_verdict_join(v, policy_evaluate(seen(a, q, &i->document), request));
        }
    }
    for (const json *d = json_first(q->more); d != NULL; d = d->next) {
        v = policy_verdict_join(v, policy_evaluate(d, request));
    }
    return v;
}

/* What the boundary leaves of a verdict. */
static struct sim_decision bound(const struct sim_aws *a, const struct sim_role *r, const struct sim_question *q,
                                 const struct policy_request *request, enum policy_verdict verdict) {
    const json *arn = q->without_boundary ? NULL : seen(a, q, &r->boundary);
    struct sim_decision d = {.verdict = verdict, .bounded = arn != NULL, .boundary_allows = true};

    if (arn != NULL) {
        enum policy_verdict b = policy_evaluate(policy_document(a, q, arn->valuestring), request);
        d.boundary_allows = b == POLICY_ALLOWED;
        if (b == POLICY_DENIED || (!d.boundary_allows && verdict == POLICY_ALLOWED)) {
            d.verdict = b;
        }
    }
    return d;
}

struct sim_decision sim_decide(struct sim_aws *a, const struct sim_role *r, const struct sim_question *q) {
    struct policy_fact facts[SIM_FACTS_MAX + 4] = {
        {"aws:PrincipalArn", r->arn},
        {"aws:PrincipalAccount", a->account},
        {"aws:RequestedRegion", a->region},
        {"aws:SecureTransport", "true"},
    };
    struct policy_request request = {.action = q->action, .resource = q->resource, .facts = facts, .nfacts = 4};

    for (size_t i = 0; i < q->nfacts && i < SIM_FACTS_MAX; i++) {
        facts[request.nfacts++] = q->facts[i];
    }
    if (seen(a, q, &r->exists) == NULL) {
        return (struct sim_decision){.verdict = POLICY_NOTHING, .boundary_allows = true};
    }
    return bound(a, r, q, &request, of_policies(a, r, q, &request));
}

const char *sim_resource_of(struct sim_aws *a, const char *action, char *out, size_t size) {
    const char *verb = strchr(action, ':');
    bool on_interface = str_has_prefix(action, "ec2:") && !str_has_prefix(verb, ":Describe");

    if (!on_interface) {
        return "*";
    }
    (void)snprintf(out, size, "arn:%s:ec2:%s:%s:network-interface/eni-0123456789abcdef0", a->partition, a->region,
                   a->account);
    return out;
}

/* --- SimulatePrincipalPolicy --- */

struct simulation {
    const struct sim_role *role;
    struct strlist actions, resources, excluded;
    struct policy_fact facts[SIM_FACTS_MAX];
    size_t nfacts;
    bool without_boundary;
    json *more;
};

static bool read_exclusions(struct sim_aws *a, const struct sim_aws_call *c, struct simulation *s) {
    char name[96];
    for (int i = 1; i <= 256; i++) {
        const char *const prefix = "PolicyExclusionList.member";
        (void)snprintf(name, sizeof name, "%s.%d.PolicyType", prefix, i);
        const char *type = sim_param(c, name);
        (void)snprintf(name, sizeof name, "%s.%d.PolicyArn", prefix, i);
        const char *arn = sim_param(c, name);
        (void)snprintf(name, sizeof name, "%s.%d.InlinePolicyIdentifier.PolicyName", prefix, i);
        const char *inlined = sim_param(c, name);
        if (type == NULL && arn == NULL && inlined == NULL) {
            break;
        }
        if (arn != NULL || inlined != NULL) {
            strlist_add(&s->excluded, arn != NULL ? arn : inlined, a->scratch);
        }
        s->without_boundary = s->without_boundary || str_eq(type, "permission-boundary");
    }
    return true;
}

static bool read_context(struct sim_aws *a, const struct sim_aws_call *c, struct simulation *s,
                         struct sim_aws_answer *out) {
    char name[96];
    for (int i = 1;; i++) {
        struct strlist values;
        (void)snprintf(name, sizeof name, "ContextEntries.member.%d.ContextKeyName", i);
        const char *key = sim_param(c, name);
        if (key == NULL) {
            return true;
        }
        (void)snprintf(name, sizeof name, "ContextEntries.member.%d.ContextKeyValues.member", i);
        if (!sim_list(a, c, name, &values, out)) {
            return false;
        }
        if (s->nfacts + values.n > SIM_FACTS_MAX) {
            sim_fail(a, out, 400, "InvalidInput", "More than %d context values.", SIM_FACTS_MAX);
            return false;
        }
        for (size_t v = 0; v < values.n; v++) {
            s->facts[s->nfacts++] = (struct policy_fact){key, values.v[v]};
        }
    }
}

static bool read_documents(struct sim_aws *a, const struct sim_aws_call *c, struct simulation *s,
                           struct sim_aws_answer *out) {
    struct strlist texts, bounds;
    if (!sim_list(a, c, "PolicyInputList.member", &texts, out) ||
        !sim_list(a, c, "PermissionsBoundaryPolicyInputList.member", &bounds, out)) {
        return false;
    }
    if (bounds.n > 0) {
        sim_fail(a, out, 400, "InvalidInput", "This simulation knows no PermissionsBoundaryPolicyInputList.");
        return false;
    }
    s->more = json_new_array();
    for (size_t i = 0; i < texts.n; i++) {
        json *d = sim_document(a, texts.v[i], false, POLICY_DOCUMENT_MAX, "PolicySize", out);
        if (d == NULL) {
            sim_fail(a, out, 400, "InvalidInput", "Invalid policy in PolicyInputList.");
            return false;
        }
        json_push(s->more, d);
    }
    return true;
}

static bool read_simulation(struct sim_aws *a, const struct sim_aws_call *c, struct simulation *s,
                            struct sim_aws_answer *out) {
    const char *arn = sim_required(a, c, "PolicySourceArn", out);
    if (arn == NULL || !sim_list(a, c, "ActionNames.member", &s->actions, out) ||
        !sim_list(a, c, "ResourceArns.member", &s->resources, out)) {
        return false;
    }
    s->role = sim_role_by_arn(a, arn);
    if (s->role == NULL || sim_stored(&s->role->exists) == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "Entity %.200s cannot be found.", arn);
        return false;
    }
    if (s->actions.n == 0) {
        sim_invalid(a, out,
                    "1 validation error detected: Value null at 'actionNames' failed to satisfy constraint: Member "
                    "must not be null");
        return false;
    }
    if (s->resources.n == 0) {
        strlist_add(&s->resources, "*", a->scratch);
    }
    for (size_t i = 0; i < s->actions.n; i++) {
        if (strchr(s->actions.v[i], ':') == NULL) {
            sim_fail(a, out, 400, "InvalidInput", "Invalid action: %.128s", s->actions.v[i]);
            return false;
        }
    }
    return read_exclusions(a, c, s) && read_context(a, c, s, out) && read_documents(a, c, s, out);
}

static const char *decision_text(enum policy_verdict v) {
    static const char *const texts[] = {
        [POLICY_NOTHING] = "implicitDeny", [POLICY_ALLOWED] = "allowed", [POLICY_DENIED] = "explicitDeny"};
    return texts[v];
}

static void add_boundary_detail(json *o, struct sim_decision d) {
    if (d.bounded) {
        json *detail = json_add_object(o, "PermissionsBoundaryDecisionDetail");
        json_add_str(detail, "AllowedByPermissionsBoundary", d.boundary_allows ? "true" : "false");
    }
}

/* Over several resources the most restrictive decision counts: a deny, then nothing, then an allow. */
static enum policy_verdict stricter(enum policy_verdict x, enum policy_verdict y) {
    if (x == POLICY_DENIED || y == POLICY_DENIED) {
        return POLICY_DENIED;
    }
    return x == POLICY_NOTHING || y == POLICY_NOTHING ? POLICY_NOTHING : POLICY_ALLOWED;
}

static json *simulate_action(struct sim_aws *a, const struct simulation *s, const char *action) {
    json *result = json_object(), *by_resource = json_new_array();
    struct sim_decision all = {.verdict = POLICY_ALLOWED, .boundary_allows = true};

    for (size_t i = 0; i < s->resources.n; i++) {
        struct sim_question q = {.action = action,
                                 .resource = s->resources.v[i],
                                 .excluded = &s->excluded,
                                 .without_boundary = s->without_boundary,
                                 .more = s->more,
                                 .facts = s->facts,
                                 .nfacts = s->nfacts};
        struct sim_decision d = sim_decide(a, s->role, &q);
        json *one = json_object();
        json_add_str(one, "EvalResourceName", q.resource);
        json_add_str(one, "EvalResourceDecision", decision_text(d.verdict));
        (void)json_add_array(one, "MatchedStatements");
        add_boundary_detail(one, d);
        json_push(by_resource, one);
        all.verdict = stricter(all.verdict, d.verdict);
        all.bounded = d.bounded;
        all.boundary_allows = all.boundary_allows && d.boundary_allows;
    }
    json_add_str(result, "EvalActionName", action);
    json_add_str(result, "EvalResourceName", s->resources.v[0]);
    json_add_str(result, "EvalDecision", decision_text(all.verdict));
    (void)json_add_array(result, "MatchedStatements");
    (void)json_add_array(result, "MissingContextValues");
    add_boundary_detail(result, all);
    json_add_item(result, "ResourceSpecificResults", by_resource);
    return result;
}

static void simulate(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct simulation s = {0};

    if (read_simulation(a, c, &s, out)) {
        json *value = json_object(), *results = json_add_array(value, "EvaluationResults");
        for (size_t i = 0; i < s.actions.n; i++) {
            json_push(results, simulate_action(a, &s, s.actions.v[i]));
        }
        if (sim_page(a, c, value, "EvaluationResults", out)) {
            out->value = value;
        } else {
            json_free(value);
        }
    }
    json_free(s.more);
}

const struct sim_operation sim_simulate_operations[] = {
    {"iam:SimulatePrincipalPolicy", simulate},
    {NULL, NULL},
};
