/* credentials_sts.c - providers that ask STS: web identity (IRSA), and a profile that assumes a role. */
#include <stdlib.h>
#include <string.h>

#include "platform/aws/credentials_internal.h"
#include "platform/aws/small_file.h"

#define RETRY_MS 500
#define SESSION_NAME "cni-iam"

static void on_again(void *arg) {
    struct credentials *c = arg;
    c->timer = 0;
    c->again(c);
}

static bool worth_another(const struct error *err) {
    return err->code == ERR_THROTTLED || err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT ||
           err->code == ERR_LOST || err->code == ERR_UNREACHABLE;
}

static void on_sts(struct credentials *c, const char *name, struct aws_answer *answer) {
    struct found f = {0};
    struct error err = answer->error;
    c->call = NULL;
    if ((answer->skewed || worth_another(&err)) && ++c->attempts < c->t->settings->max_attempts) {
        int64_t wait = answer->skewed ? 0 : (int64_t)RETRY_MS << c->attempts;
        c->timer = c->t->clock.timer_start(c->t->clock.ctx, wait, on_again, c);
        return;
    }
    c->attempts = 0;
    if (err.code == ERR_NONE && found_from_json(json_get(answer->value, "Credentials"), "SessionToken", &f, &err)) {
        provider_base(c, &f);
    } else if (worth_another(&err)) {
        provider_unreachable(c, name, err.message);
    } else {
        provider_failed(c, name, err.message);
    }
}

/* --- web identity --- */

static void on_web_identity(void *arg, struct aws_answer *answer) {
    on_sts(arg, "web identity", answer);
}

/* The token is read for every attempt: the kubelet rotates it. */
static void ask_web_identity(struct credentials *c) {
    struct error err;
    struct secret *token = small_file_token(c->token_path, WEB_IDENTITY_TOKEN_MAX, &err);
    if (token) {
        struct aws_call_request r = {.effect = effect_new(c->arena, EFFECT_STS_GET_CALLER_IDENTITY, "RoleArn",
                                                          c->web_role, "RoleSessionName", c->web_session, NULL),
                                     .action = "AssumeRoleWithWebIdentity",
                                     .service = SERVICE_STS,
                                     .secret_token = token};
        c->call = aws_call_start(c->t, &r, on_web_identity, c, &err);
        secret_free(token);
    }
    if (!c->call) {
        provider_failed(c, "web identity", err.message);
    }
}

void start_web_identity(struct credentials *c, const char *token_path, const char *role, const char *session) {
    c->token_path = token_path;
    c->web_role = role;
    c->web_session = str_or(session, SESSION_NAME);
    c->again = ask_web_identity;
    ask_web_identity(c);
}

static const char *configured(const char *variable, const struct credentials *c, const char *key) {
    const char *v = provider_variable(variable);
    return v ? v : profile_value(c, c->t->settings->profile, key);
}

enum provider_start provider_web_identity(struct credentials *c) {
    const char *path = configured("AWS_WEB_IDENTITY_TOKEN_FILE", c, "web_identity_token_file");
    const char *role = configured("AWS_ROLE_ARN", c, "role_arn");
    if (!path) {
        return not_configured(c, "web identity", "no AWS_WEB_IDENTITY_TOKEN_FILE");
    }
    if (!role) {
        provider_failed(c, "web identity", "AWS_WEB_IDENTITY_TOKEN_FILE without AWS_ROLE_ARN");
        return STARTED;
    }
    start_web_identity(c, path, role, configured("AWS_ROLE_SESSION_NAME", c, "role_session_name"));
    return STARTED;
}

/* --- a profile's role --- */

#define ROLE "the profile's role"

static void on_role(void *arg, struct aws_answer *answer) {
    on_sts(arg, ROLE, answer);
}

/* The role stays on the stack until it was assumed: what comes back is a base for the one below. */
static void ask_role(struct credentials *c) {
    struct error err;
    const struct role_to_assume *role = &c->roles[c->nroles];
    struct sigv4_credentials cred = {c->base.access_key_id, c->base.secret_access_key, c->base.session_token};
    struct aws_call_request r = {.effect = effect_new(c->arena, EFFECT_STS_GET_CALLER_IDENTITY, "RoleArn",
                                                      role->role_arn, "RoleSessionName",
                                                      str_or(role->session_name, SESSION_NAME), "ExternalId",
                                                      role->external_id, "DurationSeconds", role->duration, NULL),
                                 .action = "AssumeRole",
                                 .service = SERVICE_STS,
                                 .credentials = &cred};
    c->call = aws_call_start(c->t, &r, on_role, c, &err);
    if (!c->call) {
        provider_failed(c, ROLE, err.message);
    }
}

void assume_next_role(struct credentials *c) {
    c->nroles--;
    c->again = ask_role;
    ask_role(c);
}

/* credential_source: where the first role's base comes from when no profile has it. */
static void start_source(struct credentials *c, const char *source) {
    struct found f = {0};
    const char *why = NULL;
    if (str_eq(source, "Environment")) {
        if (found_in_environment(&f, &why) == KEYS_FOUND) {
            provider_base(c, &f);
            return;
        }
    } else if (str_eq(source, "Ec2InstanceMetadata")) {
        why = provider_imds(c) == NOT_CONFIGURED ? "IMDS is disabled" : NULL;
    } else if (str_eq(source, "EcsContainer")) {
        why = provider_container(c) == NOT_CONFIGURED ? "no container endpoint is set" : NULL;
    } else {
        why = "it must be Environment, Ec2InstanceMetadata or EcsContainer";
    }
    if (why) {
        provider_failed(c, ROLE, arena_printf(c->arena, "credential_source %.30s: %s", source, why));
    }
}

/* A source profile that is no role itself: keys, a web identity, or a process. */
static void start_source_profile(struct credentials *c, const char *profile) {
    struct found f = {0};
    const char *why, *path = profile_value(c, profile, "web_identity_token_file");
    const char *role = profile_value(c, profile, "role_arn"),
               *command = profile_value(c, profile, "credential_process");
    enum found_keys k = found_in_profile(c, profile, &f, &why);
    if (k == KEYS_FOUND) {
        provider_base(c, &f);
    } else if (k == KEYS_NONE && path && role) {
        start_web_identity(c, path, role, profile_value(c, profile, "role_session_name"));
    } else if (k == KEYS_NONE && command) {
        start_process(c, command);
    } else {
        provider_failed(c, ROLE, arena_printf(c->arena, "source_profile %.60s: %s", profile, why));
    }
}

static bool push_role(struct credentials *c, const char *profile, const char **why) {
    *why = "source_profile goes in a circle, or over more than five roles";
    if (c->nroles >= ROLE_CHAIN_MAX) {
        return false;
    }
    c->roles[c->nroles++] = (struct role_to_assume){.role_arn = profile_value(c, profile, "role_arn"),
                                                    .external_id = profile_value(c, profile, "external_id"),
                                                    .session_name = profile_value(c, profile, "role_session_name"),
                                                    .duration = profile_value(c, profile, "duration_seconds")};
    *why = "mfa_serial needs a person";
    return !profile_value(c, profile, "mfa_serial");
}

/* From the profile down to one that has credentials of its own: each role on the way is pushed, the last is assumed
 * first. */
enum provider_start provider_assume_role(struct credentials *c) {
    const char *profile = c->t->settings->profile, *why;
    c->nroles = 0;
    for (;;) {
        const char *role = profile_value(c, profile, "role_arn"), *source = profile_value(c, profile, "source_profile");
        const char *kind = profile_value(c, profile, "credential_source");
        struct found f = {0};
        /* A source's own keys come before its role, as in the SDKs. */
        bool has_keys = c->nroles > 0 && found_in_profile(c, profile, &f, &why) != KEYS_NONE;
        found_done(&f);
        if (c->nroles > 0 && (has_keys || !role || (!source && !kind))) {
            start_source_profile(c, profile);
            return STARTED;
        }
        if (!role || (!source && !kind)) {
            return not_configured(c, ROLE, "no role_arn with source_profile or credential_source");
        }
        if (!push_role(c, profile, &why) || (source && kind)) {
            provider_failed(c, ROLE, source && kind ? "source_profile and credential_source exclude each other" : why);
            return STARTED;
        }
        if (kind) {
            start_source(c, kind);
            return STARTED;
        }
        profile = source;
    }
}
