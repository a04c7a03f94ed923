/* checker_rollout.c - S9: what an operator may do to the pods. */
#include <stdio.h>
#include <string.h>

#include "simulator/checker_internal.h"

#define RESTART_ANNOTATION "cniiam.dev/restarted-for"

/* --- what is so --- */

void rollout_saw_account(struct sim_checker *c, const json *sa) {
    const char *role = str_or(json_key_str(json_path(sa, "metadata.annotations"), CHECKER_ROLE_ARN), "");
    if (!str_eq(json_str(sa, "metadata.namespace"), CHECKER_NS) ||
        !str_eq(json_str(sa, "metadata.name"), CHECKER_WORKLOAD) || str_eq(role, c->annotated))
        return;
    (void)str_copy(c->annotated, sizeof c->annotated, role);
    c->annotated_wall_ms = c->w->o.clock.wall_ms(c->w->o.clock.ctx);
    checker_look(c);
}

static void judge_restart(struct sim_checker *c, const json *ds) {
    const char *key = str_or(json_key_str(json_path(ds, "spec.template.metadata.annotations"), RESTART_ANNOTATION), "");
    if (str_eq(key, c->restarted_for))
        return;
    (void)str_copy(c->restarted_for, sizeof c->restarted_for, key);
    c->restarts++;
    if (c->restarts > 2)
        violated(c, "S9: the DaemonSet was restarted %d times", c->restarts);
}

void rollout_saw_workload(struct sim_checker *c, const json *ds) {
    judge_restart(c, ds);
}

void rollout_begins(struct sim_checker *c) {
    const json *sa = sim_kube_get(c->w->kube, "serviceaccounts", CHECKER_NS, CHECKER_WORKLOAD);
    if (sa)
        rollout_saw_account(c, sa);
}
