/*
 * names.h - names and keys that are computed, so that a retry after a lost answer finds what the first try made.
 *
 * Ownership: results in the arena.   Errors: none.
 */
#ifndef CNI_IAM_RECONCILERS_NAMES_H
#define CNI_IAM_RECONCILERS_NAMES_H

#include "platform/base/arena.h"
#include "platform/base/str.h"

#define ROLE_NAME_MAX 64
#define TAG_PREFIX "cniiam.dev/"
#define TAG_MANAGED_BY TAG_PREFIX "managed-by"
#define TAG_CLUSTER TAG_PREFIX "cluster"
#define TAG_BINDING TAG_PREFIX "binding"
#define TAG_ADOPTED TAG_PREFIX "adopted"
#define TAG_PRIOR_ROLE TAG_PREFIX "prior-role-arn"
#define TAG_ATTACHED_PREFIX TAG_PREFIX "attached/" /* on an adopted role: that policy was not there before us */
#define TAG_KEY_MAX 128
#define TAG_DETACHED_PREFIX TAG_PREFIX "detached/"
#define TAG_MANAGED_BY_VALUE "cni-iam"

/* Unique to the cluster (by its ARN), at most 64 characters: "cni-iam-<cluster>-<8 hex>". */
char *name_default_role(const char *cluster_name, const char *cluster_arn, struct arena *a);
/* The IPv6 customer policy that we create: "<role>-ipv6", at most 128 characters. */
char *name_ipv6_policy(const char *role_name, struct arena *a);
/* The key of the tag that says that this policy was not on the adopted role before us: S5 at deletion. */
char *name_attached_tag(const char *policy_arn, struct arena *a);
/* Last path segment of an ARN's resource: the name IAM calls take (aws.md 1.7). */
const char *name_of_arn(const char *arn);
/* Second field of an ARN, "aws" if there is none. */
char *partition_of_arn(const char *arn, struct arena *a);
/* The key for the pod template annotation: one value per desired injection (S9). role NULL: the value for "no identity". */
char *name_restart_key(const char *role_arn, const char *audience, bool regional_sts, struct arena *a);
/* 16 hex characters over the parts, order-sensitive. */
char *name_digest(const struct strlist *parts, struct arena *a);

#endif
