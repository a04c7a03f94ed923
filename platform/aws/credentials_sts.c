/* credentials_sts.c - providers that ask STS: web identity (IRSA), and a profile that assumes a role. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/aws/credentials_internal.h"

#define TOKEN_MAX ((size_t)20000) /* STS takes no longer one */

static void found_from_sts(struct credentials *c, const char *name, struct aws_answer *answer, void (*then)(struct credentials *, struct found *))
{
    struct found f = {0};
    struct error err = answer->error;
    if (err.code == ERR_NONE && found_from_json(json_get(answer->value, "Credentials"), "SessionToken", &f, &err))
        then(c, &f);
    else
        provider_failed(c, name, err.message);
}

/* --- web identity --------------------------------------------------------------------------------------------------------- */

static void on_web_identity(void *arg, struct aws_answer *answer)
{
    struct credentials *c = arg;
    c->call = NULL;
    found_from_sts(c, "web identity", answer, provider_found);
}

static struct secret *read_token(const char *path, struct error *err)
{
    char text[20001];
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(err, ERR_IO, "the token file %s can not be opened", path), NULL;
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    struct secret *s = n && n <= TOKEN_MAX ? secret_new(text, n) : NULL;
    explicit_bzero(text, sizeof text);
    if (!s)
        error_set(err, ERR_INVALID, "the token file %s is empty or larger than %zu bytes", path, TOKEN_MAX);
    return s;
}

static const char *configured(const char *variable, const struct credentials *c, const char *key)
{
    const char *v = getenv(variable);
    const struct aws_settings *s = c->t->settings;
    return str_empty(v) ? ini_get(s->config, profile_section_name(s, s->profile, c->arena), key) : v;
}

enum provider_start provider_web_identity(struct credentials *c)
{
    const char *path = configured("AWS_WEB_IDENTITY_TOKEN_FILE", c, "web_identity_token_file");
    const char *role = configured("AWS_ROLE_ARN", c, "role_arn"), *session = configured("AWS_ROLE_SESSION_NAME", c, "role_session_name");
    struct error err;
    if (!path || !role)
        return NOT_CONFIGURED;
    /* Read at every refresh: the kubelet rotates it. */
    struct secret *token = read_token(path, &err);
    if (token) {
        struct effect *e = effect_new(c->arena, EFFECT_STS_GET_CALLER_IDENTITY, "RoleArn", role, "RoleSessionName",
                                      str_or(session, "cni-iam"), NULL);
        struct aws_call_request r = {.effect = e, .action = "AssumeRoleWithWebIdentity", .service = SERVICE_STS, .secret_token = token};
        c->call = aws_call_start(c->t, &r, on_web_identity, c, &err);
        secret_free(token);
    }
    if (!c->call)
        provider_failed(c, "web identity", err.message);
    return STARTED;
}

/* --- a profile's role ----------------------------------------------------------------------------------------------------- */

static void on_role(void *arg, struct aws_answer *answer);

static void with_base(struct credentials *c, struct found *f)
{
    found_done(&c->base);
    c->base = *f;
    memset(f, 0, sizeof *f);
    assume_next_role(c);
}

void assume_next_role(struct credentials *c)
{
    struct error err;
    if (c->nroles == 0) {
        struct found f = c->base;
        memset(&c->base, 0, sizeof c->base);
        provider_found(c, &f);
        return;
    }
    const struct role_to_assume *role = &c->roles[--c->nroles];
    struct effect *e = effect_new(c->arena, EFFECT_STS_GET_CALLER_IDENTITY, "RoleArn", role->role_arn, "RoleSessionName",
                                  str_or(role->session_name, "cni-iam"), "ExternalId", role->external_id, "DurationSeconds",
                                  role->duration, NULL);
    struct sigv4_credentials cred = {c->base.access_key_id, c->base.secret_access_key, c->base.session_token};
    struct aws_call_request r = {.effect = e, .action = "AssumeRole", .service = SERVICE_STS, .credentials = &cred};
    c->call = aws_call_start(c->t, &r, on_role, c, &err);
    if (!c->call)
        provider_failed(c, "the profile's role", err.message);
}

static void on_role(void *arg, struct aws_answer *answer)
{
    struct credentials *c = arg;
    c->call = NULL;
    found_from_sts(c, "the profile's role", answer, with_base);
}

static bool base_of_profile(struct credentials *c, const char *profile, struct found *f)
{
    const struct aws_settings *s = c->t->settings;
    return found_from_section(s->credentials, profile, f) ||
           found_from_section(s->config, profile_section_name(s, profile, c->arena), f);
}

static bool push_role(struct credentials *c, const char *section)
{
    const struct ini *ini = c->t->settings->config;
    if (c->nroles >= ROLE_CHAIN_MAX)
        return false;
    c->roles[c->nroles++] = (struct role_to_assume){.role_arn = ini_get(ini, section, "role_arn"),
                                                    .external_id = ini_get(ini, section, "external_id"),
                                                    .session_name = ini_get(ini, section, "role_session_name"),
                                                    .duration = ini_get(ini, section, "duration_seconds")};
    return true;
}

/* credential_source: where the first role's base comes from when no profile has it. */
static void start_source(struct credentials *c, const char *source)
{
    struct found f = {0};
    if (str_eq(source, "Environment")) {
        if (found_from_environment(&f))
            with_base(c, &f);
        else
            provider_failed(c, "the profile's role", "credential_source is Environment, which has no keys");
    } else if (str_eq(source, "Ec2InstanceMetadata")) {
        if (provider_imds(c) == NOT_CONFIGURED)
            provider_failed(c, "the profile's role", "credential_source is Ec2InstanceMetadata, which is disabled");
    } else if (str_eq(source, "EcsContainer")) {
        if (provider_container(c) == NOT_CONFIGURED)
            provider_failed(c, "the profile's role", "credential_source is EcsContainer, which is not set");
    } else {
        provider_failed(c, "the profile's role", "credential_source must be Environment, Ec2InstanceMetadata or EcsContainer");
    }
}

enum provider_start provider_assume_role(struct credentials *c)
{
    const struct aws_settings *s = c->t->settings;
    const char *profile = s->profile;
    struct found f = {0};
    c->nroles = 0;
    for (;;) {
        const char *section = profile_section_name(s, profile, c->arena);
        const char *source = ini_get(s->config, section, "source_profile"), *kind = ini_get(s->config, section, "credential_source");
        if (!ini_get(s->config, section, "role_arn") || (!source && !kind))
            return NOT_CONFIGURED; /* a web identity's role, or none */
        if (!push_role(c, section)) {
            provider_failed(c, "the profile's role", "source_profile goes in a circle, or over more than five roles");
            return STARTED;
        }
        if (kind) {
            start_source(c, kind);
            return STARTED;
        }
        if (base_of_profile(c, source, &f)) {
            with_base(c, &f);
            return STARTED;
        }
        if (!ini_get(s->config, profile_section_name(s, source, c->arena), "role_arn")) {
            provider_failed(c, "the profile's role", arena_printf(c->arena, "source_profile %s has no keys", source));
            return STARTED;
        }
        profile = source;
    }
}
