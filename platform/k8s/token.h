/*
 * token.h - ServiceAccount tokens by TokenRequest, and what a token says about itself (K-A8).
 *
 * Model: k8s_token_request mints one token for one audience. The token is a struct secret from the moment it is parsed.
 * token_claims reads the claims of any JWT *without verifying it*: good for finding out what an issuer calls itself and
 * for telling an operator what is wrong with a token, never for trusting one.
 *
 * Ownership: the secret is lent to the callback (secret_dup to keep it). Claims live in the caller's arena.
 *
 * Errors: the API's (ERR_FORBIDDEN, ERR_NOT_FOUND, ...); ERR_PARSE for a token that is no JWT.
 *
 * Bounds: SECRET_MAX bytes of token, TOKEN_AUDIENCES_MAX audiences; 600 s to 2^32 s of life (the server's own limits).
 */
#ifndef CNI_IAM_K8S_TOKEN_H
#define CNI_IAM_K8S_TOKEN_H

#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/secret.h"
#include "platform/base/str.h"
#include "platform/k8s/k8s_client.h"

#define TOKEN_AUDIENCES_MAX 64
#define TOKEN_SECONDS_MIN 600

/* err->code ERR_NONE on success; else token is NULL. expires_wall_ms from status.expirationTimestamp. */
typedef void (*k8s_token_fn)(void *arg, const struct secret *token, int64_t expires_wall_ms, const struct error *err);

/* K-A8. audience NULL: the API server's own. done is called exactly once, from the loop; k8s_token_cancel instead. */
struct k8s_token_call;
struct k8s_token_call *k8s_token_request(struct k8s_client *c, const char *ns, const char *service_account,
                                         const char *audience, int64_t seconds, k8s_token_fn done, void *arg);
void k8s_token_cancel(struct k8s_token_call *call);

struct token_claims {
    const char *issuer;
    const char *subject;
    struct strlist audiences; /* `aud` may be a string or an array (Kubernetes: an array) */
    int64_t expires_s;        /* seconds since 1970; 0: not said */
    int64_t issued_s;
    int64_t not_before_s;
};
bool token_claims(const char *token, size_t len, struct token_claims *out, struct arena *a, struct error *err);

#endif
