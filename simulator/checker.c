/* checker.c - the judge's life: what it hears, whom it asks. */
#include "simulator/checker_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void violated(struct sim_checker *c, const char *fmt, ...) {
    va_list ap;
    if (c->violations++ >= CHECKER_VIOLATIONS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(c->sentences[c->violations - 1], sizeof c->sentences[0], fmt, ap);
    va_end(ap);
}

int64_t checker_now(const struct sim_checker *c) {
    return world_boot_ms(c->w);
}

bool checker_recent(const struct sim_checker *c, int64_t at_ms) {
    return at_ms >= 0 && checker_now(c) - at_ms < CHECKER_RACE_MS;
}

static void note_binding(void *arg, const json *binding) {
    const json **found = arg;
    if (!*found)
        *found = binding;
}

const json *checker_binding(const struct sim_checker *c) {
    const json *found = NULL;
    sim_kube_each(c->w->kube, "cniiambindings", NULL, note_binding, &found);
    return found;
}

/* --- looking --- */

static void on_timer(void *arg) {
    struct sim_checker *c = arg;
    c->timer = 0;
    if (sim_aws_took_effect(c->w->aws, c->looked_ms, checker_now(c)))
        checker_look(c);
    if (checker_now(c) < c->look_until_ms)
        c->timer = world_after(c->w, CHECKER_LOOK_MS, on_timer, c);
}

static void look_for_a_while(struct sim_checker *c) {
    c->look_until_ms = checker_now(c) + c->w->o.enforcement_lag_ms + 2 * CHECKER_LOOK_MS;
    if (!c->timer)
        c->timer = world_after(c->w, CHECKER_LOOK_MS, on_timer, c);
}

static void on_aws_write(void *arg, const char *action, const char *line) {
    struct sim_checker *c = arg;
    if (!c->at_hand)
        c->foreign_aws_ms = checker_now(c);
    detach_saw_write(c, action, line);
    checker_look(c);
    look_for_a_while(c);
}

static void saw_binding(struct sim_checker *c, const char *type, const json *binding) {
    rollout_saw_binding(c, type, binding);
    liveness_saw_binding(c, binding);
}

static void on_kube_write(void *arg, const char *type, const char *resource, const json *object, const char *manager) {
    struct sim_checker *c = arg;
    (void)manager;
    if (str_eq(resource, "pods"))
        nodes_saw_pod(c, type, object);
    else if (str_eq(resource, "nodes"))
        nodes_saw_node(c, type, object);
    else if (str_eq(resource, "serviceaccounts"))
        rollout_saw_account(c, object);
    else if (str_eq(resource, "daemonsets"))
        rollout_saw_workload(c, object);
    else if (str_eq(resource, "cniiambindings"))
        saw_binding(c, type, object);
    else if (str_eq(resource, "leases"))
        leader_saw_lease(c);
}

/* --- life --- */

struct sim_checker *sim_checker_new(struct sim_world *w) {
    struct sim_checker *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->w = w;
    c->foreign_aws_ms = c->foreign_lease_ms = -1;
    c->nodes = strmap_new(2 * SIM_WORLD_NODES_MAX, free);
    c->policies = strmap_new(CHECKER_OBJECTS_MAX, free);
    c->unknown = strmap_new(CHECKER_OBJECTS_MAX, free);
    c->secrets = strmap_new(CHECKER_OBJECTS_MAX, NULL);
    c->rows = calloc(SIM_WORLD_NODES_MAX, sizeof *c->rows);
    if (!c->rows)
        die("out of memory");
    checker_look(c);
    rollout_begins(c);
    c->began = true;
    sim_kube_on_write(w->kube, on_kube_write, c);
    sim_aws_on_write(w->aws, on_aws_write, c);
    return c;
}

void sim_checker_free(struct sim_checker *c) {
    if (!c)
        return;
    world_stop_timer(c->w, &c->timer);
    world_stop_timer(c->w, &c->stall_timer);
    world_stop_timer(c->w, &c->failover_timer);
    strmap_free(c->nodes);
    strmap_free(c->policies);
    strmap_free(c->unknown);
    strmap_free(c->secrets);
    for (int i = 0; i < CHECKER_REPLICAS_MAX; i++)
        strmap_free(c->replicas[i].versions);
    json_free(c->template);
    free(c->rows);
    free(c);
}

void sim_checker_excuse(struct sim_checker *c, bool excused) {
    c->excused = excused;
    if (!excused) {
        nodes_forget(c);
        checker_look(c);
    }
}

int sim_checker_violations(const struct sim_checker *c) {
    return c->violations;
}

const char *sim_checker_violation(const struct sim_checker *c, int i) {
    return i < c->violations && i < CHECKER_VIOLATIONS_MAX ? c->sentences[i] : NULL;
}

int sim_checker_restarts(const struct sim_checker *c) {
    return c->restarts;
}
