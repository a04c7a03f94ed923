/*
 * picture.h - what roles, policies and providers there are: a set of lines that can be compared.
 *
 * Model: "role R", "role R policy P", "provider ARN". What somebody changed between two pictures can be carried over to a
 * third, so that "as it was before, but for what others did" is a comparison.
 *
 * Ownership: a picture is the caller's: json_free.   Errors: none.   Bounds: the account's.
 */
#ifndef CNI_IAM_BENCH_PICTURE_H
#define CNI_IAM_BENCH_PICTURE_H

#include "simulator/aws.h"

json *picture_take(struct sim_aws *a);
bool picture_has(const json *picture, const char *line);
/* To `into`: what is in `after` and not in `before`, and the other way round; not what hangs on a role that `into` lacks. */
void picture_carry_over(json *into, const json *before, const json *after);
/* The first line that one has and the other has not, with + or -; false: they are the same. */
bool picture_differs(const json *was, const json *is, char *out, size_t size);

#endif
