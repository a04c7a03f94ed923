/* checker_leader.c - S6 (only the holder of the Lease writes, and announces what it takes away) and L6 (it is replaced in time). */
#include <stdlib.h>
#include <string.h>

#include "simulator/checker_internal.h"

#define REPLACED_WITHIN_MS 35000

static void note_lease(void *arg, const json *lease) {
    const json **found = arg;
    if (!*found)
        *found = lease;
}

static const json *lease(const struct sim_checker *c) {
    const json *found = NULL;
    sim_kube_each(c->w->kube, "leases", NULL, note_lease, &found);
    return found;
}

void leader_saw_lease(struct sim_checker *c) {
    if (!c->at_hand)
        c->foreign_lease_ms = checker_now(c);
}

static void judge_holder(struct sim_checker *c, const struct call *k) {
    const char *me = c->replicas[k->replica].identity, *holder = json_str(lease(c), "spec.holderIdentity");
    if (me[0] && !str_eq(me, holder) && !checker_recent(c, c->foreign_lease_ms))
        violated(c, "S6: %s wrote (%s) while the Lease is %s's", me, k->to_aws ? k->action : k->req->path,
                 str_or(holder, "nobody"));
}

static const json *role_in_status(const struct sim_checker *c, const char *role) {
    for (const json *r = json_first(json_array(checker_binding(c), "status.nodeRoles")); r; r = r->next)
        if (str_has_suffix(json_str(r, "arn"), role))
            return r;
    return NULL;
}

static void judge_intent(struct sim_checker *c, const struct call *k) {
    const char *role = call_param(k, "RoleName"), *policy = call_param(k, "PolicyArn");
    const json *intent = json_get(role_in_status(c, role), "intent");
    int64_t epoch = json_int64_or(lease(c), "spec.leaseTransitions", 0);
    if (!str_eq(json_str(intent, "action"), "Detach") || !str_eq(json_str(intent, "policyARN"), policy))
        violated(c, "S6: %s was to come off node role %s, and status does not announce it", policy, role);
    else if (json_int64_or(intent, "epoch", 0) != epoch)
        violated(c, "S6: %s was to come off node role %s by epoch %lld; this is epoch %lld", policy, role,
                 (long long)json_int64_or(intent, "epoch", 0), (long long)epoch);
}

static bool is_destructive(const struct call *k) {
    return call_is(k, "DetachRolePolicy") || call_is(k, "DeleteRole") || call_is(k, "DeletePolicy") ||
           call_is(k, "DeleteOpenIDConnectProvider");
}

void leader_judges(struct sim_checker *c, const struct call *k) {
    struct checker_replica *r = &c->replicas[k->replica];
    judge_holder(c, k);
    if (is_destructive(k) && r->identity[0] && !r->swapped)
        violated(c, "S6: %s without a compare-and-swap of status right before", k->action);
    if (call_is(k, "DetachRolePolicy") && detach_is_node_role(c, call_param(k, "RoleName")))
        judge_intent(c, k);
    r->swapped = false;
}

/* What was refused for its rate, or before it was read, may be asked again under the same announcement. */
void leader_heard(struct sim_checker *c, struct call *k, int status, const char *body) {
    bool swap = call_is_kube(k, "PATCH", "cniiambindings", "status") && status == 200 &&
                json_str(call_body(k), "metadata.resourceVersion");
    bool later =
        is_destructive(k) && body &&
        (strstr(body, "Throttling") || strstr(body, "RequestLimitExceeded") || strstr(body, "SignatureDoesNotMatch"));
    if (swap || later)
        c->replicas[k->replica].swapped = true;
}

/* --- L6 --- */

static void on_due(void *arg) {
    struct sim_checker *c = arg;
    const char *holder = json_str(lease(c), "spec.holderIdentity");
    bool alive = false;
    c->failover_timer = 0;
    for (int i = 0; i < CHECKER_REPLICAS_MAX; i++)
        alive = alive || (c->replicas[i].identity[0] && str_eq(c->replicas[i].identity, holder));
    if (!alive && !c->excused)
        violated(c, "L6: %d s after the leader was gone the Lease is still %s's", REPLACED_WITHIN_MS / 1000,
                 str_or(holder, "nobody"));
}

void sim_checker_ends(struct sim_checker *c, int replica) {
    bool led = str_eq(c->replicas[replica].identity, json_str(lease(c), "spec.holderIdentity"));
    c->replicas[replica] = (struct checker_replica){.versions = c->replicas[replica].versions};
    if (!led && !c->failover_timer)
        return;
    world_stop_timer(c->w, &c->failover_timer); /* who was to take over may be the one that is gone now */
    c->failover_timer = world_after(c->w, REPLACED_WITHIN_MS, on_due, c);
}
