#include "simulator/checker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/strmap.h"
#include "simulator/world_internal.h"

#define RESTART_ANNOTATION "cniiam.dev/restarted-for"

struct sim_checker {
    struct sim_world *w;
    struct strmap *permitted; /* node name -> "" if its pod was permitted when looked at last */
    struct sim_node_row *rows;
    uint64_t timer;
    int64_t look_until_ms;
    bool excused;
    int violations, restarts;
    char restarted_for[64];
    char sentences[CHECKER_VIOLATIONS_MAX][256];
};

static char yes[] = "";

static void violated(struct sim_checker *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void violated(struct sim_checker *c, const char *fmt, ...) {
    va_list ap;
    if (c->violations++ >= CHECKER_VIOLATIONS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(c->sentences[c->violations - 1], sizeof c->sentences[0], fmt, ap);
    va_end(ap);
}

/* --- S1 --- */

static void judge_node(struct sim_checker *c, const struct sim_node_row *row) {
    bool was = strmap_get(c->permitted, row->name) != NULL;
    if (row->identity == SIM_POD_NONE)
        return; /* between two pods: the next is judged by what the last one had */
    if (was && !row->permitted && !c->excused)
        violated(c, "S1: pod %s on node %s has no permission, as the pod of that node had before (%s)", row->pod,
                 row->name, row->identity == SIM_POD_OWN_ROLE ? "role of its own" : "node role");
    if (row->permitted)
        strmap_set(c->permitted, row->name, yes);
    else
        strmap_remove(c->permitted, row->name);
}

static void look(struct sim_checker *c) {
    int n = sim_world_rows(c->w, c->rows, SIM_WORLD_NODES_MAX);
    for (int i = 0; i < n; i++)
        judge_node(c, &c->rows[i]);
}

static void on_timer(void *arg) {
    struct sim_checker *c = arg;
    c->timer = 0;
    look(c);
    if (world_boot_ms(c->w) < c->look_until_ms)
        c->timer = world_after(c->w, CHECKER_LOOK_MS, on_timer, c);
}

static void look_for_a_while(struct sim_checker *c) {
    c->look_until_ms = world_boot_ms(c->w) + c->w->o.enforcement_lag_ms + 2 * CHECKER_LOOK_MS;
    if (!c->timer)
        c->timer = world_after(c->w, CHECKER_LOOK_MS, on_timer, c);
}

/* --- S2, S5 --- */

static bool uses_role(struct sim_checker *c, const struct sim_node_row *row, const char *role) {
    const char *provider = json_str(sim_kube_get(c->w->kube, "nodes", NULL, row->name), "spec.providerID");
    const char *slash = provider ? strrchr(provider, '/') : NULL;
    const char *arn = slash ? sim_aws_role_of_instance(c->w->aws, slash + 1) : NULL;
    const char *name = arn ? strrchr(arn, '/') : NULL;
    return name && strcmp(name + 1, role) == 0;
}

static void judge_detach(struct sim_checker *c, const char *role) {
    int n = sim_world_rows(c->w, c->rows, SIM_WORLD_NODES_MAX);
    for (int i = 0; i < n && !c->excused; i++) {
        const struct sim_node_row *row = &c->rows[i];
        if (uses_role(c, row, role) && !(row->identity == SIM_POD_OWN_ROLE && row->ready && row->permitted))
            violated(c, "S2: a policy came off node role %s while node %s has no Ready pod with a working role", role,
                     row->name);
    }
}

static void on_aws_write(void *arg, const char *action, const char *line) {
    struct sim_checker *c = arg;
    char role[80];
    if (str_eq(action, "DetachRolePolicy") && sscanf(line, "DetachRolePolicy %79s", role) == 1)
        judge_detach(c, role);
    look(c);
    look_for_a_while(c);
}

/* --- S9 --- */

static void judge_restart(struct sim_checker *c, const json *ds) {
    const char *key = str_or(json_key_str(json_path(ds, "spec.template.metadata.annotations"), RESTART_ANNOTATION), "");
    if (strcmp(key, c->restarted_for) == 0)
        return;
    snprintf(c->restarted_for, sizeof c->restarted_for, "%s", key);
    c->restarts++;
    if (c->restarts > 2)
        violated(c, "S9: the DaemonSet was restarted %d times", c->restarts);
}

static void on_kube_write(void *arg, const char *type, const char *resource, const json *object, const char *manager) {
    struct sim_checker *c = arg;
    (void)type, (void)manager;
    if (str_eq(resource, "daemonsets"))
        judge_restart(c, object);
    if (str_eq(resource, "pods"))
        look(c);
}

/* --- life --- */

struct sim_checker *sim_checker_new(struct sim_world *w) {
    struct sim_checker *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->w = w;
    c->permitted = strmap_new(SIM_WORLD_NODES_MAX, NULL);
    c->rows = calloc(SIM_WORLD_NODES_MAX, sizeof *c->rows);
    if (!c->rows)
        die("out of memory");
    look(c);
    sim_kube_on_write(w->kube, on_kube_write, c);
    sim_aws_on_write(w->aws, on_aws_write, c);
    return c;
}

void sim_checker_free(struct sim_checker *c) {
    if (!c)
        return;
    world_stop_timer(c->w, &c->timer);
    strmap_free(c->permitted);
    free(c->rows);
    free(c);
}

void sim_checker_excuse(struct sim_checker *c, bool excused) {
    c->excused = excused;
    if (!excused) {
        strmap_free(c->permitted);
        c->permitted = strmap_new(SIM_WORLD_NODES_MAX, NULL);
        look(c);
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
