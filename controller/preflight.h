/*
 * preflight.h - may the operator do in Kubernetes what its effects need? Asked at the start (K-A7), told in readiness.
 *
 * Model: one SelfSubjectAccessReview after the other, from a table that restates manifests/base/rbac.yaml. While
 * something is missing, everything is asked again every PREFLIGHT_RETRY_MS, so that a role that was repaired is
 * noticed. An answer says what is allowed now, it is no promise: a 403 later is the effect's own. Ownership: ports are
 * borrowed; preflight_free cancels.   Errors: a review that fails counts as allowed and is logged: not knowing is no
 * reason to be unready. Bounds: one call under way at a time.
 */
#ifndef CNI_IAM_CONTROLLER_PREFLIGHT_H
#define CNI_IAM_CONTROLLER_PREFLIGHT_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/buf.h"
#include "platform/port/clock.h"
#include "platform/port/effector.h"

#define PREFLIGHT_RETRY_MS 60000

struct preflight;
/* lease_ns NULL: no election, nothing of leases is asked. */
struct preflight *preflight_new(struct effector effector, struct clock clock, const char *lease_ns,
                                const char *lease_name);
void preflight_free(struct preflight *p);
void preflight_start(struct preflight *p);
/* How many permissions are missing as of the last whole round; one line each is appended to out. */
size_t preflight_report(const struct preflight *p, struct buf *out);

#endif
