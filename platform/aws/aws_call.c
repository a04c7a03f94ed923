#include "platform/aws/aws_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/aws/aws_client.h"
#include "platform/aws/aws_error.h"
#include "platform/aws/xml.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"
#include "platform/base/timefmt.h"

#define REQUEST_MAX ((size_t)1024 * 1024)
#define FORM "application/x-www-form-urlencoded; charset=utf-8"

struct aws_call {
    struct aws_transport *t;
    struct http_request *http;
    enum effect_service service;
    char operation[64];
    aws_answer_fn done;
    void *arg;
};

bool aws_transport_init(struct aws_transport *t, struct loop *l, const struct aws_settings *s, const char *user_agent, struct error *err)
{
    memset(t, 0, sizeof *t);
    t->loop = l;
    t->clock = loop_clock(l);
    t->settings = s;
    struct http_client_options aws = {.ca_pem = s->ca_bundle_pem, .user_agent = user_agent};
    struct http_client_options local = {.user_agent = user_agent, .proxy_url = "", .connect_timeout_ms = 1000};
    /* Plain http to a host that is not local only where the user named the endpoint himself. */
    aws.allow_plain_http = s->endpoint_all || s->endpoint_iam || s->endpoint_sts || s->endpoint_eks || s->endpoint_ec2;
    t->keys = sigv4_cache_new();
    t->http = http_client_new(l, &aws, err);
    t->local = t->http ? http_client_new(l, &local, err) : NULL;
    return t->local != NULL;
}

void aws_transport_done(struct aws_transport *t)
{
    http_client_free(t->http);
    http_client_free(t->local);
    sigv4_cache_free(t->keys);
    memset(t, 0, sizeof *t);
}

/* --- requests ----------------------------------------------------------------------------------------------------------- */

/* URI templates of EKS: labels in braces, the rest of the arguments go into the query (aws.md 1.8.3). */
static const struct {
    enum effect_kind kind;
    const char *template;
} eks_paths[] = {
    {EFFECT_EKS_DESCRIBE_CLUSTER, "/clusters/{name}"},
    {EFFECT_EKS_DESCRIBE_ADDON, "/clusters/{clusterName}/addons/{addonName}"},
    {EFFECT_EKS_LIST_POD_IDENTITY_ASSOCIATIONS, "/clusters/{clusterName}/pod-identity-associations"},
    {EFFECT_EKS_LIST_NODEGROUPS, "/clusters/{clusterName}/node-groups"},
    {EFFECT_EKS_DESCRIBE_NODEGROUP, "/clusters/{clusterName}/node-groups/{nodegroupName}"},
};

static const char *eks_template(enum effect_kind kind)
{
    for (size_t i = 0; i < sizeof eks_paths / sizeof *eks_paths; i++)
        if (eks_paths[i].kind == kind)
            return eks_paths[i].template;
    return NULL;
}

static char *eks_path(const struct effect *e, const char *template, struct arena *a)
{
    char *path = arena_strdup(a, "");
    for (const char *p = template; *p;) {
        size_t n = strcspn(p, "{");
        path = arena_printf(a, "%s%.*s", path, (int)n, p);
        p += n;
        if (*p != '{')
            continue;
        size_t len = strcspn(p, "}");
        const char *value = effect_arg(e, arena_strndup(a, p + 1, len - 1));
        path = arena_printf(a, "%s%s", path, str_percent_encode(str_or(value, ""), "", a));
        p += len + 1;
    }
    return path;
}

static char *eks_query(const struct effect *e, const char *template, const struct aws_call_request *r, struct arena *a)
{
    char *query = arena_strdup(a, "");
    for (size_t i = 0; i < e->nargs; i++) {
        const struct effect_arg *arg = &e->args[i];
        if (!strstr(template, arena_printf(a, "{%s}", arg->name)))
            query = arena_printf(a, "%s%s%s=%s", query, *query ? "&" : "", arg->name, str_percent_encode(arg->value, "", a));
    }
    if (r->extra_name)
        query = arena_printf(a, "%s%s%s=%s", query, *query ? "&" : "", r->extra_name, str_percent_encode(r->extra_value, "", a));
    return query;
}

static const char *api_version(enum effect_service service)
{
    if (service == SERVICE_IAM)
        return "2010-05-08";
    return service == SERVICE_STS ? "2011-06-15" : "2016-11-15";
}

static void put_parameter(struct buf *b, const char *name, const char *value)
{
    struct arena *a = arena_new(0);
    buf_printf(b, "&%s=", name);
    buf_puts(b, str_percent_encode(value, "", a));
    arena_free(a);
}

static void form_body(struct buf *b, const struct aws_call_request *r, enum effect_service service, const char *action)
{
    buf_printf(b, "Action=%s&Version=%s", action, api_version(service));
    for (size_t i = 0; r->effect && i < r->effect->nargs; i++)
        put_parameter(b, r->effect->args[i].name, r->effect->args[i].value);
    if (r->extra_name)
        put_parameter(b, r->extra_name, r->extra_value);
    if (r->secret_token)
        put_parameter(b, "WebIdentityToken", secret_expose(r->secret_token));
}

/* --- answers ----------------------------------------------------------------------------------------------------------------- */

static json *parse_body(struct aws_call *c, const struct http_response *r, struct error *err)
{
    if (c->service == SERVICE_EKS)
        return json_parse(r->body, r->body_len, err);
    char root[128];
    json *x = xml_to_json(r->body, r->body_len, root, err);
    if (!x || c->service == SERVICE_EC2)
        return x;
    char name[128];
    snprintf(name, sizeof name, "%sResult", c->operation);
    const json *result = json_get(x, name);
    /* An answer of another operation, or of no AWS service, must not pass for an empty one. */
    if (!result && !str_has_suffix(root, "Response")) {
        json_free(x);
        error_set(err, ERR_PARSE, "the answer is a <%s>, not of %s", root, c->operation);
        return NULL;
    }
    json *value = result && json_is_object(result) ? json_dup(result) : json_object();
    json_free(x);
    return value;
}

/* RFC 9110 Date of the answer against ours: minutes off means every signature fails. */
static bool learn_skew(struct aws_call *c, const struct http_response *r, const struct error *err)
{
    enum { TOLERATED_MS = 60000 };
    int64_t server;
    const char *date = r->header(r, "Date");
    if ((err->code != ERR_UNAUTHORIZED && err->code != ERR_EXPIRED_CREDENTIALS) || !date || !timefmt_parse_http_date(date, &server))
        return false;
    int64_t skew = server - c->t->clock.wall_ms(c->t->clock.ctx), change = skew - c->t->skew_ms;
    if (change < TOLERATED_MS && change > -TOLERATED_MS)
        return false;
    c->t->skew_ms = skew;
    return true;
}

static void find_next(struct aws_answer *answer)
{
    const char *token = json_bool(answer->value, "IsTruncated", false) ? json_str(answer->value, "Marker") : NULL;
    token = str_or(token, json_str(answer->value, "nextToken"));
    answer->next_token = str_empty(token) ? NULL : token;
}

static void on_http(void *arg, const struct http_response *r)
{
    struct aws_call *c = arg;
    struct aws_answer answer = {.error = r->error, .request_id = ""};
    if (r->error.code == ERR_NONE) {
        const char *id = r->header(r, "x-amzn-RequestId");
        answer.request_id = str_or(id, "");
        if (r->status >= 200 && r->status < 300)
            answer.value = parse_body(c, r, &answer.error);
        else
            aws_error_decode(c->service, r->status, r->body, r->body_len, r->header(r, "x-amzn-errortype"), &answer.error);
        answer.error.http_status = r->status;
        answer.error.retry_after_ms = http_retry_after_ms(r, c->t->clock.wall_ms(c->t->clock.ctx));
        answer.skewed = learn_skew(c, r, &answer.error);
    }
    if (answer.value)
        find_next(&answer);
    c->done(c->arg, &answer);
    json_free(answer.value);
    free(c);
}

/* --- sending --------------------------------------------------------------------------------------------------------------------- */

static const char *host_of(const char *url)
{
    const char *p = strstr(url, "://");
    return p ? p + 3 : url;
}

struct prepared {
    struct aws_endpoint endpoint;
    const char *method, *path, *query, *content_type;
    struct buf body;
};

static bool prepare(struct aws_transport *t, const struct aws_call_request *r, struct aws_call *c, struct prepared *p, struct arena *a,
                    struct error *err)
{
    buf_init(&p->body, REQUEST_MAX);
    if (!aws_endpoint_resolve(t->settings, c->service, r->region, a, &p->endpoint, err))
        return false;
    p->path = "/";
    p->query = "";
    if (c->service == SERVICE_EKS) {
        const char *template = eks_template(r->effect->kind);
        if (!template)
            return error_set(err, ERR_INTERNAL, "no path for %s", c->operation);
        p->method = "GET";
        p->path = eks_path(r->effect, template, a);
        p->query = eks_query(r->effect, template, r, a);
        return true;
    }
    p->method = "POST";
    p->content_type = FORM;
    form_body(&p->body, r, c->service, c->operation);
    return !p->body.overflow || error_set(err, ERR_TOO_LARGE, "the request is larger than %zu bytes", REQUEST_MAX);
}

static size_t sign(struct aws_transport *t, const struct aws_call_request *r, const struct prepared *p, struct http_header h[6],
                   struct arena *a)
{
    size_t n = 0;
    if (p->content_type)
        h[n++] = (struct http_header){"Content-Type", p->content_type, NULL};
    h[n++] = (struct http_header){"Accept", "application/json, text/xml, */*", NULL};
    if (!r->credentials)
        return n;
    struct sigv4_request request = {.method = p->method,
                                    .host = host_of(p->endpoint.url),
                                    .path = p->path,
                                    .query = p->query,
                                    .content_type = p->content_type,
                                    .body = buf_str(&p->body),
                                    .body_len = p->body.n,
                                    .region = p->endpoint.signing_region,
                                    .service = p->endpoint.signing_name,
                                    .wall_ms = t->clock.wall_ms(t->clock.ctx) + t->skew_ms};
    struct sigv4_signature s;
    sigv4_sign(t->keys, &request, r->credentials, a, &s);
    h[n++] = (struct http_header){"X-Amz-Date", s.amz_date, NULL};
    h[n++] = (struct http_header){"Authorization", s.authorization, NULL};
    if (r->credentials->session_token)
        h[n++] = (struct http_header){"X-Amz-Security-Token", NULL, r->credentials->session_token};
    return n;
}

struct aws_call *aws_call_start(struct aws_transport *t, const struct aws_call_request *r, aws_answer_fn done, void *arg, struct error *err)
{
    struct arena *a = arena_new(0);
    struct prepared p = {0};
    struct http_header headers[6];
    struct aws_call *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->t = t;
    c->service = r->action ? r->service : effect_service(r->effect->kind);
    str_copy(c->operation, sizeof c->operation, r->action ? r->action : effect_operation(r->effect->kind));
    c->done = done;
    c->arg = arg;
    if (prepare(t, r, c, &p, a, err)) {
        size_t n = sign(t, r, &p, headers, a);
        const char *url = arena_printf(a, "%s%s%s%s", p.endpoint.url, p.path, *p.query ? "?" : "", p.query);
        struct http_call call = {.method = p.method,
                                 .url = url,
                                 .headers = headers,
                                 .nheaders = n,
                                 .body = p.content_type ? buf_str(&p.body) : NULL,
                                 .body_len = p.body.n,
                                 .changes_something = r->changes_something,
                                 .secret_body = true,
                                 .max_body = AWS_BODY_MAX,
                                 .deadline_ms = r->changes_something ? AWS_WRITE_DEADLINE_MS : AWS_READ_DEADLINE_MS};
        c->http = http_start(t->http, &call, on_http, c, err);
    }
    buf_done_secret(&p.body);
    arena_free(a);
    if (c->http)
        return c;
    free(c);
    return NULL;
}

void aws_call_cancel(struct aws_call *c)
{
    if (!c)
        return;
    http_cancel(c->http);
    free(c);
}
