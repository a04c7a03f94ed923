/*
 * demo_view.h - what `cni-iam demo` shows: the gates, the nodes, what was done.
 *
 * Model: a picture is drawn whenever there is a new one. Live (on a terminal) in place, with ANSI sequences, cut to the
 * terminal's size; otherwise a line for what is different from the last picture. Lines of the journal (events, writes)
 * are said once: live the last of them stand below the picture.
 *
 * Ownership: demo_view_new/_free; pictures and lines are copied as needed.   Errors: none.
 * Bounds: DEMO_*_MAX.
 */
#ifndef CNI_IAM_CONTROLLER_DEMO_VIEW_H
#define CNI_IAM_CONTROLLER_DEMO_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "simulator/world.h"

#define DEMO_NODES_MAX 120
#define DEMO_GROUPS_MAX 8
#define DEMO_GATES 8
#define DEMO_LINES_MAX 8 /* of the journal, on a terminal */
#define DEMO_TEXT_MAX 240

struct demo_gate {
    char name[8], state[16], evidence[DEMO_TEXT_MAX];
};
struct demo_group {
    char name[32], role[64];
    bool role_allows; /* the node role still grants what the CNI does, to every pod on its nodes */
};
struct demo_picture {
    int64_t elapsed_ms;
    struct demo_gate gates[DEMO_GATES]; /* no name: the binding says nothing of it yet */
    struct demo_group groups[DEMO_GROUPS_MAX];
    int ngroups;
    struct sim_node_row rows[DEMO_NODES_MAX];
    int nrows;
    int64_t aws_calls;
    int aws_writes, violations;
    char ready[DEMO_TEXT_MAX]; /* reason and message of the condition Ready */
};

enum demo_mark { DEMO_PLAIN, DEMO_GOOD, DEMO_BAD, DEMO_WRITE };

struct demo_view;
struct demo_view *demo_view_new(FILE *out, bool live, bool color, const char *title);
void demo_view_free(struct demo_view *v); /* NULL is fine */
void demo_view_say(struct demo_view *v, enum demo_mark mark, int64_t elapsed_ms, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void demo_view_draw(struct demo_view *v, const struct demo_picture *p);
/* The last picture stays where it is; from now on only lines. */
void demo_view_settle(struct demo_view *v);

#endif
