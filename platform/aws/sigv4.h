/*
 * sigv4.h - AWS Signature Version 4 for the services spoken here (not S3: paths are encoded once more than they are
 * sent).
 *
 * Model: pure: request + credentials + time -> the Authorization header. Derived keys are kept for a day's scope.
 * Signed headers: content-type (if sent), host, x-amz-date, x-amz-security-token (if any). Source: aws.md 2.2.
 * Ownership: results in the arena; the cache owns its keys and wipes them.   Errors: none.   Bounds: SIGV4_KEYS_MAX
 * cached keys.
 */
#ifndef CNI_IAM_AWS_SIGV4_H
#define CNI_IAM_AWS_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/secret.h"

#define SIGV4_KEYS_MAX 16

struct sigv4_request {
    const char *method;
    const char *host;         /* with ":port" if it is not the scheme's default */
    const char *path;         /* as it goes on the wire, already encoded; "/" at least */
    const char *query;        /* as it goes on the wire, without '?'; NULL or "": none */
    const char *content_type; /* NULL: none is sent */
    const char *body;
    size_t body_len;
    const char *region, *service;
    int64_t wall_ms;
};

struct sigv4_credentials {
    const char *access_key_id;
    const struct secret *secret_access_key;
    const struct secret *session_token; /* NULL: none */
};

struct sigv4_signature {
    const char *authorization;
    const char *amz_date;          /* value of X-Amz-Date */
    const char *canonical_request; /* for tests and for the curious; the session token is left out */
    const char *string_to_sign;
};

struct sigv4_cache;
struct sigv4_cache *sigv4_cache_new(void);
void sigv4_cache_free(struct sigv4_cache *c);
void sigv4_sign(struct sigv4_cache *c, const struct sigv4_request *r, const struct sigv4_credentials *cred,
                struct arena *a, struct sigv4_signature *out);

#endif
