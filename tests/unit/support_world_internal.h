/*
 * support_world_internal.h - what the parts of support_world share.
 *
 * Model: views, answers and the turn of the operator each look at the one struct sim; only support_world.c moves time and
 * judges.   Ownership: texts and trees of an arena are the arena's, other trees the caller's.   Errors: *err as effectors set it.
 * Bounds: those of support_world.h.
 */
#ifndef TESTS_SUPPORT_WORLD_INTERNAL_H
#define TESTS_SUPPORT_WORLD_INTERNAL_H

#include "platform/base/json.h"
#include "support_world.h"

/* support_world.c */
void world_log(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int64_t world_wall_ms(const struct sim *s);
struct sim_role *world_role_by_arn(struct sim *s, const char *arn);
void world_tags_from(const struct effect *e, char tags[][2][256], int *n);
bool world_grants(const struct sim *s, const struct sim_role *r);
bool world_trusts(const struct sim *s, const struct sim_role *r);
void world_judge(struct sim *s, bool by_us, const char *what);
void world_delete_pod(struct sim *s, struct sim_pod *p);
void world_advance(struct sim *s, int64_t ms);

/* support_world_views.c */
char *world_time_text(struct arena *a, int64_t ms);
const char *world_pod_json(struct arena *a, const struct sim_pod *p);
const char *world_node_json(const struct sim *s, struct arena *a, int i);
const char *world_sa_json(struct sim *s, struct arena *a);
const char *world_ds_json(struct sim *s, struct arena *a);
json *world_parse(const char *text);

/* support_world_answers.c */
json *world_perform(struct sim *s, const struct effect *e, struct error *err);

#endif
