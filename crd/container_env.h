/*
 * container_env.h - which AWS identity the spec of one container leads to (reliability.md 2.0, G6).
 *
 * Model: read from the env list alone, as the kubelet builds it and the AWS SDK for Go reads it: of two entries with one name the last
 * counts, an empty value is no value. What cannot be known from the spec (valueFrom, "$(VAR)", envFrom) is read in its unsafe sense:
 * it never makes an identity, and it always outranks one.
 * Ownership: results are borrowed from the JSON.   Errors: none.
 */
#ifndef CNI_IAM_CRD_CONTAINER_ENV_H
#define CNI_IAM_CRD_CONTAINER_ENV_H

#include "crd/views.h"

enum env_reading {
    ENV_UNSET,   /* absent or empty */
    ENV_LITERAL, /* *value is what the process sees */
    ENV_OPAQUE   /* set, to something that the spec does not show */
};
enum env_reading env_read(const json *container, const char *name, const char **value);

struct container_identity {
    enum pod_credential credential;
    const char *role_arn, *token_file; /* literal values; NULL */
    const char *outranked_by;          /* env name or "envFrom"; NULL: nothing */
    bool token_mounted;
    const char *token_audience; /* of the source that serves token_file; "": the API server's own; NULL: not mounted */
};
struct container_identity container_identity(const json *container, const json *volumes);

/* The first thing in a container of a pod *template* that would be there before, or instead of, what the webhook injects. */
const char *template_outranked_by(const json *container);

#endif
