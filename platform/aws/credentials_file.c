/* credentials_file.c - providers that need no one else: the environment and the two shared files. */
#include <stdlib.h>
#include <string.h>

#include "platform/aws/credentials_internal.h"
#include "platform/base/timefmt.h"

static bool fill(struct found *f, const char *id, const char *secret, const char *token) {
    f->access_key_id = strdup(id);
    f->secret_access_key = secret_new(secret, strlen(secret));
    f->session_token = str_empty(token) ? NULL : secret_new(token, strlen(token));
    if (f->access_key_id && f->secret_access_key && (f->session_token || str_empty(token))) {
        return true;
    }
    found_done(f); /* a key of absurd length */
    return false;
}

static enum found_keys keys(const char *id, const char *secret, const char *token, struct found *f, const char **why) {
    if (!id && !secret) {
        *why = "no access key";
        return KEYS_NONE;
    }
    *why = id ? "an access key id without its secret" : "a secret access key without its id";
    if (!id || !secret) {
        return KEYS_BROKEN;
    }
    *why = "a key is too long";
    return fill(f, id, secret, token) ? KEYS_FOUND : KEYS_BROKEN;
}

enum found_keys found_in_environment(struct found *f, const char **why) {
    const char *token = provider_variable("AWS_SESSION_TOKEN"),
               *expires = provider_variable("AWS_CREDENTIAL_EXPIRATION");
    if (!token) {
        token = provider_variable("AWS_SECURITY_TOKEN");
    }
    enum found_keys k =
        keys(provider_variable("AWS_ACCESS_KEY_ID"), provider_variable("AWS_SECRET_ACCESS_KEY"), token, f, why);
    if (k == KEYS_FOUND && expires && !timefmt_parse_rfc3339(expires, &f->expires_wall_ms)) {
        found_done(f);
        *why = "AWS_CREDENTIAL_EXPIRATION is no RFC 3339 time";
        return KEYS_BROKEN;
    }
    return k;
}

static enum found_keys in_section(const struct ini *ini, const char *section, struct found *f, const char **why) {
    return keys(ini_get(ini, section, "aws_access_key_id"), ini_get(ini, section, "aws_secret_access_key"),
                ini_get(ini, section, "aws_session_token"), f, why);
}

enum found_keys found_in_profile(const struct credentials *c, const char *profile, struct found *f, const char **why) {
    enum found_keys k = in_section(c->shared, profile, f, why);
    return k == KEYS_NONE ? in_section(c->config, aws_profile_section(c->config, profile, c->arena), f, why) : k;
}

bool found_from_json(const json *j, const char *token_member, struct found *f, struct error *err) {
    const char *expires = json_str(j, "Expiration"), *why;
    const char *id = json_str(j, "AccessKeyId"), *secret = json_str(j, "SecretAccessKey");
    if (str_empty(id) || str_empty(secret)) {
        return error_set(err, ERR_PARSE, "the answer lacks AccessKeyId or SecretAccessKey");
    }
    if (keys(id, secret, json_str(j, token_member), f, &why) != KEYS_FOUND) {
        return error_set(err, ERR_PARSE, "%s", why);
    }
    if (!str_empty(expires) && !timefmt_parse_rfc3339(expires, &f->expires_wall_ms)) {
        found_done(f);
        return error_set(err, ERR_PARSE, "Expiration is no RFC 3339 time");
    }
    return true;
}

const char *profile_value(const struct credentials *c, const char *profile, const char *key) {
    const char *v = ini_get(c->shared, profile, key);
    return v ? v : ini_get(c->config, aws_profile_section(c->config, profile, c->arena), key);
}

static enum provider_start conclude(struct credentials *c, enum found_keys k, struct found *f, const char *name,
                                    const char *why) {
    if (k == KEYS_NONE) {
        return not_configured(c, name, why);
    }
    if (k == KEYS_FOUND) {
        provider_base(c, f);
    } else {
        provider_failed(c, name, why);
    }
    return STARTED;
}

enum provider_start provider_environment(struct credentials *c) {
    struct found f = {0};
    const char *why;
    enum found_keys k = found_in_environment(&f, &why);
    return conclude(c, k, &f, "the environment", why);
}

enum provider_start provider_credentials_file(struct credentials *c) {
    struct found f = {0};
    const char *why;
    enum found_keys k = in_section(c->shared, c->t->settings->profile, &f, &why);
    return conclude(c, k, &f, c->t->settings->credentials_file, why);
}

enum provider_start provider_config_file(struct credentials *c) {
    struct found f = {0};
    const struct aws_settings *s = c->t->settings;
    const char *why;
    enum found_keys k = in_section(c->config, aws_profile_section(c->config, s->profile, c->arena), &f, &why);
    if (k == KEYS_NONE &&
        (profile_value(c, s->profile, "sso_session") || profile_value(c, s->profile, "sso_start_url"))) {
        why = "SSO is not supported, a credential_process can do it";
    }
    return conclude(c, k, &f, s->config_file, why);
}
