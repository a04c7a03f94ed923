/*
 * policy_document.h - IAM trust and permission documents: build, read, compare by meaning, merge (S4).
 *
 * Model: documents are JSON text; comparison follows aws.md 5.3: a string equals its one-element list, order and Sid do not matter,
 * action names and condition operators and keys are compared without case, values with case. Our trust statement is exact: one provider,
 * one action, StringEquals on aud and sub. Merging adds or replaces ours and leaves every other statement as it is.
 *
 * Ownership: texts and lists in the arena given.   Errors: false/NULL where a document is not one; the caller stalls on it.
 * Bounds: POLICY_DOCUMENT_MAX bytes in.
 */
#ifndef CNI_IAM_RECONCILERS_POLICY_DOCUMENT_H
#define CNI_IAM_RECONCILERS_POLICY_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/arena.h"
#include "platform/base/str.h"

#define POLICY_DOCUMENT_MAX ((size_t)131072)
#define TRUST_SID "CniIamAwsNode"
#define TRUST_AUDIENCE "sts.amazonaws.com"
#define TRUST_SUBJECT "system:serviceaccount:kube-system:aws-node"

/* What our statement must say. issuer without "https://". */
struct trust_want {
    const char *provider_arn;
    const char *issuer;
};

struct trust_report {
    bool exact;      /* our statement is there, exactly */
    bool ours_wrong; /* a statement with our Sid is there and is not exact */
    size_t foreign;  /* statements that are not ours */
    bool broad;      /* a foreign statement lets this cluster's provider in without an exact sub: a finding */
};

char *trust_build(const struct trust_want *w, struct arena *a);
bool trust_examine(const char *document, const struct trust_want *w, struct trust_report *out, struct arena *a);
/* The document with our statement exact and everything else kept; NULL if `document` cannot be read. */
char *trust_merge(const char *document, const struct trust_want *w, struct arena *a);
/* The document without the statements that bear our Sid; NULL if it cannot be read, has none, or if nothing else would be left. */
char *trust_without(const char *document, struct arena *a);
/* Does any statement name this provider as a principal? (S5: a provider that others trust stays.) */
bool trust_names_provider(const char *document, const char *provider_arn, struct arena *a);

/* The actions that the CNI needs (aws.md 4.2). */
struct strlist cni_actions(bool ipv6, struct arena *a);
char *ipv6_policy_build(const char *partition, struct arena *a);
/* Which of `actions` the documents together do not allow: an unconditional Deny takes away; NotAction is read. */
struct strlist policy_missing_actions(const struct strlist *documents, const struct strlist *actions, struct arena *a);
/* The CNI's own writing actions that one document allows: the sign that a node role still has CNI rights. */
struct strlist policy_cni_grants(const char *document, struct arena *a);

#endif
