/* credentials_imds.c - IMDSv2 on the instance: session token, name of the role, its credentials. */
#include <string.h>

#include "platform/aws/credentials_internal.h"

#define NAME "IMDS"
#define DEADLINE_MS 1000
#define ATTEMPTS_MAX 10
#define BODY_MAX ((size_t)65536)
#define ROLES "/latest/meta-data/iam/security-credentials/"

static const char *setting(const struct credentials *c, const char *variable, const char *key) {
    const char *v = provider_variable(variable);
    return v ? v : profile_value(c, c->t->settings->profile, key);
}

static const char *imds_base(const struct credentials *c) {
    const char *set = setting(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
    const char *mode = setting(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode");
    const char *base = str_eq_nocase(mode, "ipv6") ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
    base = set ? set : base;
    size_t n = strlen(base);
    while (n && base[n - 1] == '/') {
        n--;
    }
    return arena_strndup(c->arena, base, n);
}

static int64_t number(const struct credentials *c, const char *variable, const char *key, int64_t fallback) {
    const char *text = setting(c, variable, key);
    int64_t n;
    return text && str_to_int64(text, &n) && n >= 1 && n <= ATTEMPTS_MAX ? n : fallback;
}

static void refused(struct credentials *c, const char *why) {
    if (c->nroles) {
        provider_failed(c, NAME, why); /* credential_source named it */
    } else {
        provider_absent(c, NAME, why);
    }
}

static void on_imds(void *arg, const struct http_response *r);

static void imds_ask(void *arg) {
    struct credentials *c = arg;
    struct error err;
    struct http_header h = {"X-aws-ec2-metadata-token-ttl-seconds", "21600", NULL};
    if (c->imds_token) {
        h = (struct http_header){"X-aws-ec2-metadata-token", NULL, c->imds_token};
    }
    c->timer = 0;
    struct http_call call = {.method = c->imds_token ? "GET" : "PUT",
                             .url = arena_printf(c->arena, "%s%s", imds_base(c), c->imds_path),
                             .headers = &h,
                             .nheaders = 1,
                             .max_body = BODY_MAX,
                             .deadline_ms = DEADLINE_MS *
                                            number(c, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout", 1)};
    c->http = http_start(c->t->local, &call, on_imds, c, &err);
    if (!c->http) {
        refused(c, err.message);
    }
}

static void take_credentials(struct credentials *c, const struct http_response *r) {
    struct error err;
    struct found f = {0};
    json *j = json_parse(r->body, r->body_len, &err);
    bool good = str_eq(json_str(j, "Code"), "Success");
    if (j && !good) {
        (void)error_set(&err, ERR_PARSE, "its answer has not \"Code\": \"Success\"");
    }
    bool ok = good && found_from_json(j, "Token", &f, &err);
    aws_wipe_json(j);
    json_free(j);
    if (ok) {
        provider_base(c, &f);
    } else {
        provider_failed(c, NAME, err.message);
    }
}

static void on_imds(void *arg, const struct http_response *r) {
    struct credentials *c = arg;
    c->http = NULL;
    if ((r->error.code || r->status >= 500) &&
        ++c->attempts < number(c, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts", 1)) {
        c->timer = c->t->clock.timer_start(c->t->clock.ctx, 1000, imds_ask, c);
        return;
    }
    if (r->error.code || r->status != 200 || r->body_len == 0) {
        refused(c, r->error.code ? r->error.message : arena_printf(c->arena, "HTTP %d at %s", r->status, c->imds_path));
        return;
    }
    size_t line = strcspn(r->body, "\r\n");
    c->attempts = 0;
    if (line == 0) {
        refused(c, "it answered with an empty line");
        return;
    }
    if (!c->imds_token) {
        c->imds_token = secret_new(r->body, line);
        c->imds_path = ROLES;
        imds_ask(c);
    } else if (str_eq(c->imds_path, ROLES)) {
        const char *role = arena_strndup(c->arena, r->body, line);
        c->imds_path = arena_printf(c->arena, ROLES "%s", str_percent_encode(role, "", c->arena));
        imds_ask(c);
    } else {
        take_credentials(c, r);
    }
}

enum provider_start provider_imds(struct credentials *c) {
    if (str_eq_nocase(provider_variable("AWS_EC2_METADATA_DISABLED"), "true")) {
        return not_configured(c, NAME, "AWS_EC2_METADATA_DISABLED");
    }
    c->attempts = 0;
    c->imds_path = "/latest/api/token";
    imds_ask(c);
    return STARTED;
}
