/*
 * eks_internal.h - what the files of EKS' operations share: answers, pages, bodies. Private to simulator/eks*_calls.c and eks.c.
 *
 * Model: add-ons, associations and access entries are arrays of what was made, in the form in which EKS shows them. What is
 * ours alone in an item (when an update ends) has a key that begins with '@', and is not shown.
 *
 * Ownership: lists own their items.   Errors: false or NULL: the answer is filled.   Bounds: aws_internal.h's.
 */
#ifndef CNI_IAM_SIMULATOR_EKS_INTERNAL_H
#define CNI_IAM_SIMULATOR_EKS_INTERNAL_H

#include "simulator/aws_internal.h"

#define EKS_CNI_ADDON "vpc-cni"
#define EKS_INVALID_PARAMETER 400, "InvalidParameterException"
#define EKS_INVALID_REQUEST 400, "InvalidRequestException"
#define EKS_IN_USE 409, "ResourceInUseException"

void eks_not_found(struct sim_aws *a, struct sim_aws_answer *out, const char *what);
/* true: the call is about our cluster. */
bool eks_is_ours(struct sim_aws *a, const struct sim_aws_call *c, const char *param, struct sim_aws_answer *out);
void eks_add_epoch(json *o, const char *key, int64_t wall_ms); /* seconds, as EKS writes time */
char *eks_arn(struct sim_aws *a, const char *kind, const char *rest);
/* Cuts value's array to one page of maxResults from nextToken, and answers with it; takes value. */
void eks_give_page(struct sim_aws *a, const struct sim_aws_call *c, json *value, const char *array,
                   struct sim_aws_answer *out);
/* The answer to a write says what is under way; the next read, what is. NULL: as it is. */
void eks_give_changing(struct sim_aws_answer *out, const char *member, const json *item, const char *status);

json *eks_read_body(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out); /* the caller's */
bool eks_is_missing(struct sim_aws *a, const json *body, const char *const *members, size_t n,
                    struct sim_aws_answer *out);
bool eks_is_full(struct sim_aws *a, const json *list, size_t max, const char *what, struct sim_aws_answer *out);
json *eks_unwrapped(const char *text, const char *member); /* of our own: no JSON object ends the process */
void eks_add_missing(json *o, const char *key, const char *value);
json *eks_item_with(json *list, const char *member, const char *value);
void eks_remove_item(json *list, json *item);
void eks_set(json *o, const char *key, const char *value); /* NULL: absent */

/* --- associations that an add-on owns (eks_association_calls.c) --- */

/* Those of body's podIdentityAssociations instead of those it has; not there: as they are. */
bool eks_own_associations(struct sim_aws *a, const json *addon, const json *body, struct sim_aws_answer *out);
void eks_disown_associations(struct sim_aws *a, const json *addon, bool preserve);
void eks_show_associations(struct sim_aws *a, json *addon);

/* An entry of a node role, as EKS makes it with a node group. */
void eks_enter_node_role(struct sim_aws *a, const char *role_arn);

#endif
