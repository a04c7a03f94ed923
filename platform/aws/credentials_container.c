/* credentials_container.c - the container endpoint: the Pod Identity agent of EKS, and ECS. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "platform/aws/credentials_internal.h"
#include "platform/aws/small_file.h"

#define NAME "the container endpoint"
#define DEADLINE_MS 2000
#define ATTEMPTS 3
#define PAUSE_MS 1000
#define BODY_MAX ((size_t)65536)

static void start_container(void *arg);

static void on_container(void *arg, const struct http_response *r) {
    struct credentials *c = arg;
    struct error err;
    struct found f = {0};
    c->http = NULL;
    if ((r->error.code || r->status >= 500 || r->status == 429) && ++c->attempts < ATTEMPTS) {
        c->timer = c->t->clock.timer_start(c->t->clock.ctx, PAUSE_MS, start_container, c);
        return;
    }
    if (r->error.code || r->status != 200) {
        const char *why = arena_printf(c->arena, "HTTP %d: %.200s", r->status, str_or(r->body, ""));
        provider_failed(c, NAME, r->error.code ? r->error.message : why);
        return;
    }
    json *j = json_parse(r->body, r->body_len, &err);
    bool ok = j && found_from_json(j, "Token", &f, &err);
    aws_wipe_json(j);
    json_free(j);
    if (ok) {
        provider_base(c, &f);
    } else {
        provider_failed(c, NAME, err.message);
    }
}

/* The hosts that plain http may go to: this machine, ECS' 169.254.170.2, the agent's 169.254.170.23 and fd00:ec2::23.
 */
static bool may_be_plain(const char *host) {
    struct in_addr v4;
    struct in6_addr v6, agent;
    if (str_eq_nocase(host, "localhost")) {
        return true;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        uint32_t n = ntohl(v4.s_addr);
        return n >> 24 == 127 || n == 0xa9feaa02u || n == 0xa9feaa17u;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && inet_pton(AF_INET6, "fd00:ec2::23", &agent) == 1 &&
           (IN6_IS_ADDR_LOOPBACK(&v6) || IN6_ARE_ADDR_EQUAL(&v6, &agent));
}

/* NULL: not set, or err says what is wrong with it. */
static const char *container_url(struct credentials *c, struct error *err) {
    const char *relative = provider_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = provider_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    struct url u;
    error_clear(err);
    if (relative) {
        if (*relative != '/') {
            (void)error_set(err, ERR_INVALID, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must start with /");
            return NULL;
        }
        return arena_printf(c->arena, "http://169.254.170.2%s", relative);
    }
    if (!full || !url_parse(full, &u, c->arena, err)) {
        return NULL;
    }
    if (!str_eq_nocase(u.scheme, "https") && !may_be_plain(u.host)) {
        (void)error_set(err, ERR_INVALID, "AWS_CONTAINER_CREDENTIALS_FULL_URI: http to %.80s is not allowed", u.host);
        return NULL;
    }
    return full;
}

/* The file wins over the variable, and is read each time: it rotates. False: it can not be sent. */
static bool authorization(struct secret **out, struct error *err) {
    const char *path = provider_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *value = provider_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    *out = NULL;
    if (path) {
        *out = small_file_token(path, WEB_IDENTITY_TOKEN_MAX, err);
        if (!*out) {
            return false;
        }
    } else if (value) {
        *out = secret_new(value, strlen(value));
    }
    if (*out && strpbrk(secret_expose(*out), "\r\n")) {
        secret_free(*out);
        *out = NULL;
        return error_set(err, ERR_INVALID, "the authorization token has a line end inside");
    }
    return true;
}

static void start_container(void *arg) {
    struct credentials *c = arg;
    struct error err;
    struct secret *token = NULL;
    c->timer = 0;
    const char *url = container_url(c, &err);
    if (url && authorization(&token, &err)) {
        struct http_header h[2] = {{"Accept", "application/json", NULL}, {"Authorization", NULL, token}};
        struct http_call call = {.method = "GET",
                                 .url = url,
                                 .headers = h,
                                 .nheaders = token ? 2 : 1,
                                 .max_body = BODY_MAX,
                                 .deadline_ms = DEADLINE_MS};
        c->http = http_start(c->t->local, &call, on_container, c, &err);
        secret_free(token);
    }
    if (!c->http) {
        provider_failed(c, NAME, err.message);
    }
}

enum provider_start provider_container(struct credentials *c) {
    struct error err;
    if (!container_url(c, &err) && err.code == ERR_NONE) {
        return not_configured(c, "container", "no AWS_CONTAINER_CREDENTIALS_*");
    }
    c->attempts = 0;
    start_container(c);
    return STARTED;
}
