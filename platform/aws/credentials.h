/*
 * credentials.h - who we are to AWS: the SDKs' provider chain.
 *
 * Order (aws.md 2.3), the first that is configured counts:
 *   environment           AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CREDENTIAL_EXPIRATION
 *   the profile's role    role_arn with source_profile or credential_source; external_id, role_session_name,
 *                         duration_seconds; a source may be a role itself, a web identity or a credential_process
 *   web identity          AWS_WEB_IDENTITY_TOKEN_FILE + AWS_ROLE_ARN [+ AWS_ROLE_SESSION_NAME], or the profile's
 *   credentials file      AWS_SHARED_CREDENTIALS_FILE
 *   credential_process    of the profile: argv, no shell
 *   config file           AWS_CONFIG_FILE
 *   container             AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI with
 *                         AWS_CONTAINER_AUTHORIZATION_TOKEN[_FILE]: the Pod Identity agent, ECS
 *   IMDSv2                unless AWS_EC2_METADATA_DISABLED; version 1 is never spoken
 *
 * One that is configured and fails ends the chain with its error: falling through to another identity would be a
 * surprise. Only IMDS may be absent.
 *
 * Kept until they are about to expire: from CREDENTIALS_ADVISORY_MS before the end one refresh runs while everybody
 * goes on with what there is, from CREDENTIALS_MANDATORY_MS before it everybody waits for that refresh. When it fails,
 * what holds for CREDENTIALS_LAST_USE_MS yet is used on. One refresh for all who wait; not more often than once in
 * CREDENTIALS_PAUSE_MS while the old ones hold. Files, tokens and roles are read anew at every refresh.
 *
 * Ownership: credentials_new/_free; what get hands out is lent for the callback. free may be called inside one.
 * Errors: ERR_NO_CREDENTIALS with what was tried and why each did not do; ERR_UNREACHABLE where STS did not answer.
 * Bounds: CREDENTIALS_WAITERS_MAX.
 */
#ifndef CNI_IAM_AWS_CREDENTIALS_H
#define CNI_IAM_AWS_CREDENTIALS_H

#include "platform/aws/aws_call.h"

#define CREDENTIALS_WAITERS_MAX 512
#define CREDENTIALS_ADVISORY_MS 900000
#define CREDENTIALS_MANDATORY_MS 600000
#define CREDENTIALS_LAST_USE_MS 60000
#define CREDENTIALS_PAUSE_MS 60000

struct credentials;
struct credentials *credentials_new(struct aws_transport *t);
void credentials_free(struct credentials *c);
/* done may be called at once, from inside, when valid credentials are at hand. cred NULL: err says why. */
typedef void (*credentials_fn)(void *arg, const struct sigv4_credentials *cred, const struct error *err);
void credentials_get(struct credentials *c, credentials_fn done, void *arg);
void credentials_forget_waiter(struct credentials *c, const void *arg);
/* Which credentials get hands out: grows with every refresh. */
uint64_t credentials_generation(const struct credentials *c);
/* Those of this generation were refused: the next get refreshes. Later ones stay. */
void credentials_invalidate(struct credentials *c, uint64_t generation);

#endif
