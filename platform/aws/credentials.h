/*
 * credentials.h - who we are to AWS: the SDKs' provider chain.
 *
 * Order (aws.md 2.3): environment (unless a profile was chosen) -> the profile's assume-role -> web identity -> shared credentials file -> credential_process -> config
 * file -> container (Pod Identity agent, ECS) -> IMDSv2. The first that is configured gives the credentials; one that is configured and fails ends the chain with its
 * error, but for IMDS, whose absence only means that there is none.
 * Kept until REFRESH_MS before they expire; refreshed once for all who wait (single flight); token files are read anew at every refresh. While a
 * refresh fails, credentials that still hold are used.
 *
 * Ownership: credentials_new/_free; what get hands out is lent for the callback.
 * Errors: ERR_NO_CREDENTIALS with what was tried and why it did not do.   Bounds: CREDENTIALS_WAITERS_MAX.
 */
#ifndef CNI_IAM_AWS_CREDENTIALS_H
#define CNI_IAM_AWS_CREDENTIALS_H

#include "platform/aws/aws_call.h"

#define CREDENTIALS_WAITERS_MAX 512
#define CREDENTIALS_REFRESH_MS 900000  /* advisory: 15 minutes before the end */
#define CREDENTIALS_MANDATORY_MS 60000 /* not used any more so shortly before it */

struct credentials;
struct credentials *credentials_new(struct aws_transport *t);
void credentials_free(struct credentials *c);
/* done may be called at once, from inside, when valid credentials are at hand. cred NULL: err. */
typedef void (*credentials_fn)(void *arg, const struct sigv4_credentials *cred, const struct error *err);
void credentials_get(struct credentials *c, credentials_fn done, void *arg);
void credentials_forget_waiter(struct credentials *c, void *arg);
void credentials_invalidate(struct credentials *c); /* refused as expired: the next get refreshes */

#endif
