/*
 * checker_liveness.c - L3 (what can not go on says so) and L8 (nobody writes for ever).
 *
 * L3 speaks of no progress: who asks for something else after a refusal, and gets it, goes on (a binding that is deleted
 * while a pod may not be, say). Refused once more afterwards, it is stuck again, and the minute is that of the third. Who
 * said Stalled and has not asked again for longer than any back-off waits for something else by now (a node that broke, a
 * proof that a new process makes anew); that it gets there is L2. A binding that is deleted asks for something else: what
 * was refused before counts no more.
 */
#include <stdio.h>
#include <string.h>

#include "simulator/checker_internal.h"

#define STALLED_WITHIN_MS 60000
#define REFUSALS 3
#define ASKS_AGAIN_MS 45000
#define SPELL_MS (10 * 60 * 1000)
#define SPELL_WRITES_MAX 400 /* and SPELL_NODE_WRITES_MAX for each node; a migration of 4 nodes has 45 */
#define SPELL_NODE_WRITES_MAX 8

/* --- L3 --- */

static bool is_stalled(const struct sim_checker *c) {
    for (const json *it = json_first(json_array(checker_binding(c), "status.conditions")); it; it = it->next)
        if (str_eq(json_str(it, "type"), "Stalled"))
            return str_eq(json_str(it, "status"), "True");
    return false;
}

static void on_stall_due(void *arg) {
    struct sim_checker *c = arg;
    c->stall_timer = 0;
    bool gave_up = c->said_stalled && checker_now(c) - c->refused_ms > ASKS_AGAIN_MS;
    if (c->goes_on || gave_up)
        c->refusals = 0;
    else if (checker_binding(c) && !is_stalled(c))
        violated(c, "L3: %s was refused %d times, and a minute later Stalled is not True", c->refused, c->refusals);
}

/* Refused for good: not a conflict, not a matter of time. */
static bool is_refusal(int status) {
    return status == 400 || status == 401 || status == 403 || status == 422;
}

void liveness_heard(struct sim_checker *c, const struct call *k, int status, const char *body) {
    char what[sizeof c->refused];
    bool throttled = body && strstr(body, "Throttling");
    if (str_eq(k->resource, "cniiambindings")) {
        c->said_stalled = c->said_stalled || is_stalled(c);
        return; /* who may not write status can not say so */
    }
    (void)snprintf(what, sizeof what, "%.40s %.100s", k->to_aws ? k->action : k->req->method,
                   k->to_aws ? call_param(k, "RoleName") : k->req->path);
    if (!is_refusal(status) || throttled) {
        if (str_eq(what, c->refused)) {
            world_stop_timer(c->w, &c->stall_timer);
            c->refusals = 0;
        }
        c->goes_on = c->goes_on || (status >= 200 && status < 300);
        return;
    }
    c->refusals = str_eq(what, c->refused) ? c->refusals + 1 : 1;
    c->said_stalled = c->refusals > 1 && c->said_stalled;
    c->refused_ms = checker_now(c);
    (void)str_copy(c->refused, sizeof c->refused, what);
    c->goes_on = false;
    if (c->refusals == REFUSALS && !c->stall_timer)
        c->stall_timer = world_after(c->w, STALLED_WITHIN_MS, on_stall_due, c);
}

void liveness_saw_binding(struct sim_checker *c, const json *binding) {
    bool deleting = json_str(binding, "metadata.deletionTimestamp") != NULL;
    if (deleting && !c->deleting) {
        world_stop_timer(c->w, &c->stall_timer);
        c->refusals = 0;
    }
    c->deleting = deleting;
}

/* --- L8 --- */

void liveness_judges(struct sim_checker *c) {
    int max = SPELL_WRITES_MAX + SPELL_NODE_WRITES_MAX * (int)strmap_count(c->nodes);
    if (checker_now(c) - c->spell_ms > SPELL_MS) {
        c->spell_ms = checker_now(c);
        c->spell_writes = 0;
    }
    if (++c->spell_writes == max)
        violated(c, "L8: %d writes in less than %d min", max, SPELL_MS / 60000);
}
