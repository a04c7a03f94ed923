/*
 * policy_eval.h - what a policy document says of one request: permissions and trust, as AWS evaluates them.
 *
 * Model: documents are parsed JSON. A statement applies when its principal (trust), action, resource and all conditions
 * match; of the statements that apply, a Deny wins over every Allow, and nothing that applies is an implicit deny.
 * Wildcards are * and ?. Actions and condition keys are compared without regard to case, resources and values with.
 * Operators: StringEquals, StringNotEquals, StringEqualsIgnoreCase, StringLike, StringNotLike, ArnEquals, ArnLike,
 * ArnNotEquals, ArnNotLike, Bool, Null, and each with IfExists; a statement with any other operator does not apply.
 *
 * Ownership: everything is borrowed for the call.   Errors: none: what is not understood does not match.
 * Bounds: documents as json.h bounds them; POLICY_DOCUMENT_MAX in what IAM takes.
 * Source: IAM user guide, policy evaluation logic and condition operators.
 */
#ifndef CNI_IAM_SIMULATOR_POLICY_EVAL_H
#define CNI_IAM_SIMULATOR_POLICY_EVAL_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/json.h"

#define POLICY_DOCUMENT_MAX ((size_t)131072)

enum policy_verdict { POLICY_NOTHING, POLICY_ALLOWED, POLICY_DENIED };

struct policy_fact { /* one condition key and its value; a key may come several times */
    const char *key, *value;
};

struct policy_request {
    const char *action;   /* "ec2:DescribeInstances" */
    const char *resource; /* an ARN, or "*" */
    const struct policy_fact *facts;
    size_t nfacts;
};

/* Who asks to take a role: the members that are known; the others NULL. */
struct policy_principal {
    const char *federated; /* ARN of the provider */
    const char *service;   /* "ec2.amazonaws.com" */
    const char *aws;       /* ARN of a user or role */
    const char *account;   /* stands for its root: "111122223333" */
};

/* A permissions policy or boundary. */
enum policy_verdict policy_evaluate(const json *document, const struct policy_request *r);
/* A trust policy; resource of the request is not looked at. */
enum policy_verdict policy_trusts(const json *document, const struct policy_principal *who,
                                  const struct policy_request *r);
/* The stronger of two documents' verdicts. */
enum policy_verdict policy_verdict_join(enum policy_verdict a, enum policy_verdict b);

bool policy_wildcard(const char *pattern, const char *text, bool ignore_case);
/* What IAM says of a document that it refuses; NULL: it takes it. Static text. */
const char *policy_document_fault(const json *document, bool is_trust);

#endif
