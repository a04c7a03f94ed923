/* checker_nodes.c - S1, and what is so about each node's pod and since when. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulator/checker_internal.h"

#define WHOLE_SECONDS_MS 1000 /* creationTimestamp has no more */

struct checker_node *checker_node(struct sim_checker *c, const char *name) {
    struct checker_node *n = strmap_get(c->nodes, name);
    if (n)
        return n;
    n = calloc(1, sizeof *n);
    if (!n)
        die("out of memory");
    *n = (struct checker_node){.seen_ms = c->began ? checker_now(c) : -1,
                               .proven_ms = -1,
                               .was_ms = -1,
                               .lost_ms = -1,
                               .ready_ms = -1,
                               .unready_ms = checker_now(c)};
    (void)strmap_set(c->nodes, name, n);
    return n;
}

static bool is_proof(const struct sim_checker *c, const struct sim_node_row *row) {
    return row->identity == SIM_POD_OWN_ROLE && row->ready && row->permitted && str_eq(row->role, c->annotated) &&
           row->created_wall_ms + WHOLE_SECONDS_MS > c->annotated_wall_ms;
}

static void note_proof(struct sim_checker *c, struct checker_node *n, bool proven) {
    if (proven == n->proven)
        return;
    if (!proven) {
        n->was_ms = n->proven_ms;
        n->lost_ms = checker_now(c);
    }
    n->proven = proven;
    n->proven_ms = proven ? checker_now(c) : -1;
}

static void note_ready(struct sim_checker *c, struct checker_node *n, bool ready) {
    if (ready) {
        n->wounded = false;
        n->unready_ms = -1;
        n->ready_ms = n->ready_ms < 0 ? checker_now(c) : n->ready_ms;
    } else {
        n->ready_ms = -1;
        n->unready_ms = n->unready_ms < 0 ? checker_now(c) : n->unready_ms;
    }
}

/* Between two pods the node is what its last pod was: the next is judged by what that one had. */
static void judge_permission(struct sim_checker *c, struct checker_node *n, const struct sim_node_row *row) {
    if (n->permitted && !row->permitted && !c->excused)
        violated(c, "S1: pod %s on node %s has no permission, as the pod of that node had before (%s)", row->pod,
                 row->name, row->identity == SIM_POD_OWN_ROLE ? "role of its own" : "node role");
    n->permitted = row->permitted;
    n->worked = n->worked || row->permitted;
}

void nodes_saw_row(struct sim_checker *c, const struct sim_node_row *row) {
    struct checker_node *n = checker_node(c, row->name);
    if (row->identity != SIM_POD_NONE)
        judge_permission(c, n, row);
    note_proof(c, n, is_proof(c, row));
    note_ready(c, n, row->identity != SIM_POD_NONE && row->ready);
}

void checker_look(struct sim_checker *c) {
    int n = sim_world_rows(c->w, c->rows, SIM_WORLD_NODES_MAX);
    c->looked_ms = checker_now(c);
    for (int i = 0; i < n; i++) {
        nodes_saw_row(c, &c->rows[i]);
        c->worked = c->worked || c->rows[i].permitted;
    }
}

/* Pods that are no aws-node pod have nothing to do with it. */
static bool is_workload(const json *pod) {
    return str_eq(json_key_str(json_path(pod, "metadata.labels"), "k8s-app"), CHECKER_WORKLOAD);
}

void nodes_saw_pod(struct sim_checker *c, const char *type, const json *pod) {
    struct sim_node_row row = {.identity = SIM_POD_NONE};
    const char *node = json_str(pod, "spec.nodeName");
    if (!node || !is_workload(pod))
        return;
    if (!str_eq(type, "DELETED") && sim_world_row_of(c->w, pod, &row)) {
        nodes_saw_row(c, &row);
        return;
    }
    struct checker_node *n = strmap_get(c->nodes, node);
    if (!n)
        return; /* the node went before its pod: nobody waits there */
    note_proof(c, n, false);
    note_ready(c, n, false);
    n->wounded = n->wounded || (c->at_hand && str_eq(type, "MODIFIED"));
}

void nodes_saw_node(struct sim_checker *c, const char *type, const json *node) {
    const char *name = str_or(json_str(node, "metadata.name"), "");
    if (str_eq(type, "DELETED"))
        (void)strmap_remove(c->nodes, name);
    else
        (void)checker_node(c, name);
}

void nodes_forget(struct sim_checker *c) {
    const char *name;
    void *value;
    for (size_t it = 0; strmap_next(c->nodes, &it, &name, &value);)
        ((struct checker_node *)value)->permitted = false;
}
