/* support_sim.h - short words for tests against support_world.h: start, expect, break, end without a violation. */
#ifndef TESTS_SUPPORT_SIM_H
#define TESTS_SUPPORT_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support_world.h"

#define MINUTES 60000
#define AUTOMATIC "{\"nodeRole\":{\"detach\":\"Automatic\"}}"
#define SHORT_WAITS "\"rollout\":{\"proofSeconds\":2,\"settleSeconds\":2,\"progressDeadlineSeconds\":120}"
#define QUICK_WITH(more, node_role)                                                                                    \
    "{" more SHORT_WAITS ",\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":10" node_role "}}"
#define QUICK QUICK_WITH("", "")
#define NODE_ROLE_B "arn:aws:iam::" SIM_ACCOUNT ":role/node-role-b"

struct sim *sim_start(int nodes, const char *spec);
void sim_end(struct sim *s); /* fails the test if any invariant was violated */
void sim_dump(struct sim *s);
void sim_expect(struct sim *s, const char *type, const char *status, const char *reason, int64_t max_ms);
/* As sim_expect for a reason alone, whatever the status. */
void sim_expect_ready(struct sim *s);
bool sim_every_pod_permitted(const struct sim *s);
void sim_run_until_logged(struct sim *s, const char *needle);
void sim_run_until_writes(struct sim *s, int n); /* n lines in the log */
void sim_delete_and_wait(struct sim *s);
void sim_wait_for_end(struct sim *s);
struct sim_role *sim_own_role(struct sim *s);
bool sim_detached(struct sim *s); /* node role 0 has no CNI policy */
void sim_approve(struct sim *s);
void sim_join(struct sim *s); /* one node more, with its pod */
struct sim_role *sim_second_node_role(struct sim *s, int node);
struct sim_role *sim_foreign_role(struct sim *s, const char *name); /* exists, not tagged, trusts EC2 */

#endif
