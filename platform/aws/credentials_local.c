/* credentials_local.c - providers on the node: the container endpoint (Pod Identity agent, ECS) and IMDSv2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/aws/credentials_internal.h"

#define LOCAL_DEADLINE_MS 2000
#define LOCAL_ATTEMPTS 3
#define LOCAL_BODY_MAX ((size_t)65536)
#define TOKEN_MAX 20000

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return str_empty(v) ? NULL : v;
}

/* What a role chain starts from is not the end (credential_source). */
static void found_locally(struct credentials *c, struct found *f)
{
    if (c->nroles == 0) {
        provider_found(c, f);
        return;
    }
    found_done(&c->base);
    c->base = *f;
    memset(f, 0, sizeof *f);
    assume_next_role(c);
}

/* --- container ---------------------------------------------------------------------------------------------------------------- */

static void start_container(void *arg);

static void on_container(void *arg, const struct http_response *r)
{
    struct credentials *c = arg;
    struct error err;
    struct found f = {0};
    c->http = NULL;
    bool retry = r->error.code != ERR_NONE || r->status >= 500;
    if (retry && ++c->attempts < LOCAL_ATTEMPTS) {
        c->timer = c->t->clock.timer_start(c->t->clock.ctx, 1000, start_container, c);
        return;
    }
    if (r->error.code || r->status != 200) {
        provider_failed(c, "the container endpoint",
                        r->error.code ? r->error.message : arena_printf(c->arena, "HTTP %d: %.200s", r->status, str_or(r->body, "")));
        return;
    }
    json *j = json_parse(r->body, r->body_len, &err);
    bool ok = j && found_from_json(j, "Token", &f, &err);
    json_free(j);
    if (ok)
        found_locally(c, &f);
    else
        provider_failed(c, "the container endpoint", err.message);
}

/* https anywhere; http only to this machine's own addresses (the agent's 169.254.170.23, fd00:ec2::23, ECS' 169.254.170.2, loopback). */
static const char *container_url(struct credentials *c)
{
    const char *relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    return relative ? arena_printf(c->arena, "http://169.254.170.2%s", relative) : variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

/* The file wins over the variable, and is read each time: it rotates. */
static bool authorization(struct secret **out, struct error *err)
{
    const char *path = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), *value = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    char text[TOKEN_MAX + 1];
    *out = NULL;
    if (!path) {
        *out = value ? secret_new(value, strlen(value)) : NULL;
        return true;
    }
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(err, ERR_IO, "the token file %s can not be opened", path);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    bool ok = n > 0 && n <= TOKEN_MAX;
    *out = ok ? secret_new(text, n) : NULL;
    explicit_bzero(text, sizeof text);
    return ok || error_set(err, ERR_INVALID, "the token file %s is empty or too large", path);
}

static void start_container(void *arg)
{
    struct credentials *c = arg;
    struct error err;
    struct secret *token;
    c->timer = 0;
    if (!authorization(&token, &err)) {
        provider_failed(c, "the container endpoint", err.message);
        return;
    }
    struct http_header h[2] = {{"Accept", "application/json", NULL}, {"Authorization", NULL, token}};
    struct http_call call = {.method = "GET",
                             .url = container_url(c),
                             .headers = h,
                             .nheaders = token ? 2 : 1,
                             .max_body = LOCAL_BODY_MAX,
                             .deadline_ms = LOCAL_DEADLINE_MS};
    c->http = http_start(c->t->local, &call, on_container, c, &err);
    secret_free(token);
    if (!c->http)
        provider_failed(c, "the container endpoint", err.message);
}

enum provider_start provider_container(struct credentials *c)
{
    if (!container_url(c))
        return NOT_CONFIGURED;
    c->attempts = 0;
    start_container(c);
    return STARTED;
}

/* --- IMDSv2: token, role name, credentials --------------------------------------------------------------------------------------- */

static const char *imds_base(void)
{
    const char *set = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"), *mode = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    if (set)
        return set;
    return str_eq_nocase(mode, "ipv6") ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
}

static bool imds_ask(struct credentials *c, const char *method, const char *path, http_done_fn done)
{
    struct error err;
    struct secret *token = c->imds_token ? secret_new(c->imds_token, strlen(c->imds_token)) : NULL;
    struct http_header h = token ? (struct http_header){"X-aws-ec2-metadata-token", NULL, token}
                                 : (struct http_header){"X-aws-ec2-metadata-token-ttl-seconds", "21600", NULL};
    const char *base = imds_base();
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    struct http_call call = {.method = method,
                             .url = arena_printf(c->arena, "%.*s%s", (int)n, base, path),
                             .headers = &h,
                             .nheaders = 1,
                             .max_body = LOCAL_BODY_MAX,
                             .deadline_ms = LOCAL_DEADLINE_MS};
    c->http = http_start(c->t->local, &call, done, c, &err);
    secret_free(token);
    if (!c->http)
        provider_absent(c, "IMDS", err.message);
    return c->http != NULL;
}

static bool imds_answered(struct credentials *c, const struct http_response *r)
{
    c->http = NULL;
    if (r->error.code == ERR_NONE && r->status == 200 && r->body_len > 0)
        return true;
    const char *why = r->error.code ? r->error.message : arena_printf(c->arena, "HTTP %d", r->status);
    if (c->nroles)
        provider_failed(c, "IMDS", why);
    else
        provider_absent(c, "IMDS", why);
    return false;
}

static void on_imds_credentials(void *arg, const struct http_response *r)
{
    struct credentials *c = arg;
    struct error err;
    struct found f = {0};
    if (!imds_answered(c, r))
        return;
    json *j = json_parse(r->body, r->body_len, &err);
    bool good = str_eq(json_str(j, "Code"), "Success");
    if (j && !good)
        error_set(&err, ERR_PARSE, "Code is not Success");
    bool ok = good && found_from_json(j, "Token", &f, &err);
    json_free(j);
    if (ok)
        found_locally(c, &f);
    else
        provider_failed(c, "IMDS", err.message);
}

static void on_imds_role(void *arg, const struct http_response *r)
{
    struct credentials *c = arg;
    if (!imds_answered(c, r))
        return;
    char *role = arena_strndup(c->arena, r->body, strcspn(r->body, "\r\n"));
    imds_ask(c, "GET",
             arena_printf(c->arena, "/latest/meta-data/iam/security-credentials/%s", str_percent_encode(role, "", c->arena)),
             on_imds_credentials);
}

static void on_imds_token(void *arg, const struct http_response *r)
{
    struct credentials *c = arg;
    if (!imds_answered(c, r))
        return;
    c->imds_token = strndup(r->body, strcspn(r->body, "\r\n"));
    imds_ask(c, "GET", "/latest/meta-data/iam/security-credentials/", on_imds_role);
}

enum provider_start provider_imds(struct credentials *c)
{
    if (str_eq_nocase(variable("AWS_EC2_METADATA_DISABLED"), "true"))
        return NOT_CONFIGURED;
    imds_ask(c, "PUT", "/latest/api/token", on_imds_token);
    return STARTED;
}
