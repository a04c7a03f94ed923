/*
 * credentials_internal.h - what the provider files share.
 *
 * A provider's start function answers NOT_CONFIGURED at once, or later exactly one of provider_found / provider_failed / provider_absent.
 */
#ifndef CNI_IAM_AWS_CREDENTIALS_INTERNAL_H
#define CNI_IAM_AWS_CREDENTIALS_INTERNAL_H

#include "platform/aws/credentials.h"
#include "platform/aws/ini.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"
#include "platform/os/process.h"

#define ROLE_CHAIN_MAX 5

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
    struct waiter waiters[CREDENTIALS_WAITERS_MAX];
    size_t nwaiters;
    bool refreshing;
    int step;
    struct buf tried;              /* "environment: not set; ..." */
    struct arena *arena;           /* of one refresh */
    struct aws_call *call;
    struct http_request *http;
    struct process *process;
    uint64_t timer;
    struct role_to_assume roles[ROLE_CHAIN_MAX];
    size_t nroles;                 /* still to be assumed, the last first */
    struct found base;             /* what the next role is assumed with */
    int attempts;
    char *imds_token;
};

enum provider_start { NOT_CONFIGURED, STARTED };

void provider_found(struct credentials *c, struct found *f); /* takes the parts of f */
void provider_failed(struct credentials *c, const char *name, const char *why);
void provider_absent(struct credentials *c, const char *name, const char *why);
void found_done(struct found *f);

enum provider_start provider_environment(struct credentials *c);
enum provider_start provider_assume_role(struct credentials *c);
enum provider_start provider_web_identity(struct credentials *c);
enum provider_start provider_credentials_file(struct credentials *c);
enum provider_start provider_process(struct credentials *c);
enum provider_start provider_config_file(struct credentials *c);
enum provider_start provider_container(struct credentials *c);
enum provider_start provider_imds(struct credentials *c);

/* Shared by several: {"AccessKeyId", "SecretAccessKey", token member, "Expiration"}. */
bool found_from_json(const json *j, const char *token_member, struct found *f, struct error *err);
bool found_from_environment(struct found *f);
bool found_from_section(const struct ini *ini, const char *section, struct found *f);
const char *profile_section_name(const struct aws_settings *s, const char *profile, struct arena *a);
/* Assumes c->roles with c->base, one after the other; then provider_found. */
void assume_next_role(struct credentials *c);

#endif
