/* credentials_file.c - providers that need no server: environment, the two shared files, credential_process. */
#include <stdlib.h>
#include <string.h>

#include "platform/aws/credentials_internal.h"
#include "platform/base/timefmt.h"

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return str_empty(v) ? NULL : v;
}

static void fill(struct found *f, const char *id, const char *secret, const char *token)
{
    f->access_key_id = strdup(id);
    f->secret_access_key = secret_new(secret, strlen(secret));
    f->session_token = str_empty(token) ? NULL : secret_new(token, strlen(token));
    if (!f->access_key_id || !f->secret_access_key)
        die("out of memory, or a key of absurd length");
}

bool found_from_environment(struct found *f)
{
    const char *id = variable("AWS_ACCESS_KEY_ID"), *secret = variable("AWS_SECRET_ACCESS_KEY");
    const char *token = variable("AWS_SESSION_TOKEN");
    if (!id || !secret)
        return false;
    fill(f, id, secret, token ? token : variable("AWS_SECURITY_TOKEN"));
    const char *expires = variable("AWS_CREDENTIAL_EXPIRATION");
    if (expires)
        timefmt_parse_rfc3339(expires, &f->expires_wall_ms);
    return true;
}

bool found_from_section(const struct ini *ini, const char *section, struct found *f)
{
    const char *id = ini_get(ini, section, "aws_access_key_id"), *secret = ini_get(ini, section, "aws_secret_access_key");
    if (!id || !secret)
        return false;
    fill(f, id, secret, ini_get(ini, section, "aws_session_token"));
    return true;
}

bool found_from_json(const json *j, const char *token_member, struct found *f, struct error *err)
{
    const char *id = json_str(j, "AccessKeyId"), *secret = json_str(j, "SecretAccessKey"), *expires = json_str(j, "Expiration");
    if (str_empty(id) || str_empty(secret))
        return error_set(err, ERR_PARSE, "the answer lacks AccessKeyId or SecretAccessKey");
    fill(f, id, secret, json_str(j, token_member));
    if (expires && !timefmt_parse_rfc3339(expires, &f->expires_wall_ms)) {
        found_done(f);
        return error_set(err, ERR_PARSE, "Expiration is no RFC 3339 time");
    }
    return true;
}

const char *profile_section_name(const struct aws_settings *s, const char *profile, struct arena *a)
{
    const char *named = arena_printf(a, "profile %s", profile);
    return str_eq(profile, "default") && !ini_has_section(s->config, named) ? "default" : named;
}

enum provider_start provider_environment(struct credentials *c)
{
    struct found f = {0};
    if (!found_from_environment(&f))
        return NOT_CONFIGURED;
    provider_found(c, &f);
    return STARTED;
}

enum provider_start provider_credentials_file(struct credentials *c)
{
    struct found f = {0};
    if (!found_from_section(c->t->settings->credentials, c->t->settings->profile, &f))
        return NOT_CONFIGURED;
    provider_found(c, &f);
    return STARTED;
}

enum provider_start provider_config_file(struct credentials *c)
{
    struct found f = {0};
    const struct aws_settings *s = c->t->settings;
    if (!found_from_section(s->config, profile_section_name(s, s->profile, c->arena), &f))
        return NOT_CONFIGURED;
    provider_found(c, &f);
    return STARTED;
}

/* --- credential_process -------------------------------------------------------------------------------------------------- */

static void on_process(void *arg, const char *out, size_t n, const struct error *err)
{
    struct credentials *c = arg;
    struct error parse;
    struct found f = {0};
    c->process = NULL;
    if (err->code) {
        provider_failed(c, "credential_process", err->message);
        return;
    }
    json *j = json_parse(out, n, &parse);
    bool right_version = json_int64_or(j, "Version", 0) == 1;
    bool ok = j && right_version && found_from_json(j, "SessionToken", &f, &parse);
    if (j && !right_version)
        error_set(&parse, ERR_PARSE, "its output has not \"Version\": 1");
    json_free(j);
    if (ok)
        provider_found(c, &f);
    else
        provider_failed(c, "credential_process", parse.message);
}

/* Words split at space; single and double quotes and backslash as a POSIX shell reads them, but no shell is started. NULL: an open quote. */
static const char **split_words(const char *s, struct arena *a)
{
    const char **argv = ARENA_ARRAY(a, strlen(s) / 2 + 2, const char *);
    size_t n = 0;
    while (*s) {
        while (*s == ' ' || *s == '\t')
            s++;
        if (!*s)
            break;
        char *word = arena_alloc(a, strlen(s) + 1), *w = word, quote = 0;
        for (; *s && (quote || (*s != ' ' && *s != '\t')); s++) {
            if (quote && *s == quote)
                quote = 0;
            else if (!quote && (*s == '"' || *s == '\''))
                quote = *s;
            else if (*s == '\\' && quote != '\'' && s[1])
                *w++ = *++s;
            else
                *w++ = *s;
        }
        if (quote)
            return NULL;
        argv[n++] = word;
    }
    return n ? argv : NULL;
}

enum provider_start provider_process(struct credentials *c)
{
    const struct aws_settings *s = c->t->settings;
    const char *command = ini_get(s->config, profile_section_name(s, s->profile, c->arena), "credential_process");
    struct error err;
    if (!command)
        command = ini_get(s->credentials, s->profile, "credential_process");
    if (!command)
        return NOT_CONFIGURED;
    const char **argv = split_words(command, c->arena);
    if (!argv) {
        provider_failed(c, "credential_process", "a quote is not closed, or it is empty");
        return STARTED;
    }
    struct process_request r = {.argv = argv};
    c->process = process_start(c->t->loop, &r, on_process, c, &err);
    if (!c->process)
        provider_failed(c, "credential_process", err.message);
    return STARTED;
}
