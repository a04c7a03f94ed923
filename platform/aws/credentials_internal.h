/*
 * credentials_internal.h - what the provider files share.
 *
 * Model: a provider's start function either notes why it is not configured and answers NOT_CONFIGURED at once, or sees
 * to it that, now or later, exactly one of provider_base, provider_failed, provider_unreachable and
 * provider_absent is called. A provider may
 * serve as the source of a role: provider_base then goes on with the role.
 * Ownership: see the members.   Errors: in the calls.   Bounds: ROLE_CHAIN_MAX roles one after the other.
 */
#ifndef CNI_IAM_AWS_CREDENTIALS_INTERNAL_H
#define CNI_IAM_AWS_CREDENTIALS_INTERNAL_H

#include "platform/aws/credentials.h"
#include "platform/aws/ini.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"
#include "platform/os/process.h"

#define ROLE_CHAIN_MAX 5
#define WEB_IDENTITY_TOKEN_MAX ((size_t)20000) /* STS takes no longer one */

struct found {
    char *access_key_id;
    struct secret *secret_access_key, *session_token;
    int64_t expires_wall_ms; /* 0: never */
};

struct waiter {
    credentials_fn done;
    void *arg;
};

struct role_to_assume {
    const char *role_arn, *external_id, *session_name, *duration;
};

struct credentials {
    struct aws_transport *t;
    struct found now;
    bool valid;
    uint64_t generation;
    int64_t pause_until_boot_ms;
    struct waiter waiters[CREDENTIALS_WAITERS_MAX];
    size_t nwaiters;
    size_t answering; /* so many at the front are being answered; those behind asked meanwhile */
    bool *gone;       /* set by free while they are */
    /* Of one refresh: */
    bool refreshing;
    int step;
    struct buf tried; /* "environment: not set; ..." */
    struct arena *arena;
    const struct ini *config, *shared;
    struct aws_call *call;
    struct http_request *http;
    struct process *process;
    uint64_t timer;
    struct role_to_assume roles[ROLE_CHAIN_MAX];
    size_t nroles;     /* still to be assumed, the last first */
    struct found base; /* what the next role is assumed with */
    int attempts;
    void (*again)(struct credentials *c); /* what an attempt at STS is made with */
    const char *token_path, *web_role, *web_session;
    struct secret *imds_token;
    const char *imds_path;
};

enum provider_start { NOT_CONFIGURED, STARTED };

void provider_base(struct credentials *c, struct found *f); /* takes the parts of f */
void provider_failed(struct credentials *c, const char *name, const char *why);
void provider_unreachable(struct credentials *c, const char *name, const char *why); /* failed, and may pass */
void provider_absent(struct credentials *c, const char *name, const char *why);
enum provider_start not_configured(struct credentials *c, const char *name, const char *why);
void found_done(struct found *f);

enum provider_start provider_environment(struct credentials *c);
enum provider_start provider_assume_role(struct credentials *c);
enum provider_start provider_web_identity(struct credentials *c);
enum provider_start provider_credentials_file(struct credentials *c);
enum provider_start provider_process(struct credentials *c);
enum provider_start provider_config_file(struct credentials *c);
enum provider_start provider_container(struct credentials *c);
enum provider_start provider_imds(struct credentials *c);

/* For the sources of roles. */
enum found_keys { KEYS_NONE, KEYS_FOUND, KEYS_BROKEN };
enum found_keys found_in_environment(struct found *f, const char **why);
enum found_keys found_in_profile(const struct credentials *c, const char *profile, struct found *f, const char **why);
/* Assumes the next of c->roles with c->base. */
void assume_next_role(struct credentials *c);
void start_process(struct credentials *c, const char *command);
void start_web_identity(struct credentials *c, const char *token_path, const char *role, const char *session);

/* {"AccessKeyId", "SecretAccessKey", token_member, "Expiration"}. */
bool found_from_json(const json *j, const char *token_member, struct found *f, struct error *err);
/* The profile's value, from the credentials file or else the config file. NULL: none. */
const char *profile_value(const struct credentials *c, const char *profile, const char *key);
/* An environment variable; NULL where it is unset or empty. */
const char *provider_variable(const char *name);

#endif
