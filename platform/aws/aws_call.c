#include "platform/aws/aws_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/aws/aws_client.h"
#include "platform/aws/aws_error.h"
#include "platform/aws/query.h"
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
    bool is_read, changes_something;
    char request_id[96];
    aws_answer_fn done;
    void *arg;
};

bool aws_transport_init(struct aws_transport *t, struct loop *l, const struct aws_settings *s, const char *user_agent,
                        struct error *err) {
    memset(t, 0, sizeof *t);
    t->loop = l;
    t->clock = loop_clock(l);
    t->settings = s;
    struct http_client_options aws = {.ca_pem = s->ca_bundle_pem, .user_agent = user_agent};
    struct http_client_options local = {.user_agent = user_agent, .proxy_url = "", .connect_timeout_ms = 1000};
    /* Plain http to a host that is not local only where the user named the endpoint himself: all others are https. */
    aws.allow_plain_http = s->endpoint_all || s->endpoint_iam || s->endpoint_sts || s->endpoint_eks || s->endpoint_ec2;
    t->keys = sigv4_cache_new();
    t->http = http_client_new(l, &aws, err);
    t->local = t->http ? http_client_new(l, &local, err) : NULL;
    if (!t->local) {
        aws_transport_done(t);
        return false;
    }
    return true;
}

void aws_transport_done(struct aws_transport *t) {
    if (t->http) {
        http_client_free(t->http);
    }
    if (t->local) {
        http_client_free(t->local);
    }
    sigv4_cache_free(t->keys);
    memset(t, 0, sizeof *t);
}

void aws_wipe_json(json *j) {
    for (; j; j = j->next) {
        if (j->valuestring) {
            explicit_bzero(j->valuestring, strlen(j->valuestring));
        }
        aws_wipe_json(j->child); /* as deep as the parsers let it be */
    }
}

/* --- requests --- */

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

static const char *eks_template(enum effect_kind kind) {
    for (size_t i = 0; i < sizeof eks_paths / sizeof *eks_paths; i++)
        if (eks_paths[i].kind == kind)
            return eks_paths[i].template;
    return NULL;
}

/* NULL: a label is missing, and the path would name something else. */
static char *eks_path(const struct effect *e, const char *template, struct arena *a) {
    char *path = arena_strdup(a, "");
    for (const char *p = template; *p;) {
        size_t n = strcspn(p, "{");
        path = arena_printf(a, "%s%.*s", path, (int)n, p);
        p += n;
        if (*p != '{') {
            continue;
        }
        size_t len = strcspn(p, "}");
        const char *value = effect_arg(e, arena_strndup(a, p + 1, len - 1));
        if (str_empty(value)) {
            return NULL;
        }
        path = arena_printf(a, "%s%s", path, str_percent_encode(value, "", a));
        p += len + 1;
    }
    return path;
}

static char *eks_query(const struct effect *e, const char *template, const struct aws_call_request *r,
                       struct arena *a) {
    struct buf b;
    buf_init(&b, REQUEST_MAX);
    for (size_t i = 0; i < e->nargs; i++) {
        if (!strstr(template, arena_printf(a, "{%s}", e->args[i].name))) {
            query_put(&b, e->args[i].name, e->args[i].value);
        }
    }
    if (r->page_name) {
        query_put(&b, r->page_name, r->page_token);
    }
    char *query = arena_strdup(a, buf_str(&b));
    buf_done(&b);
    return query;
}

static const char *api_version(enum effect_service service) {
    if (service == SERVICE_IAM)
        return "2010-05-08";
    return service == SERVICE_STS ? "2011-06-15" : "2016-11-15";
}

static void form_body(struct buf *b, const struct aws_call_request *r, enum effect_service service,
                      const char *action) {
    query_put(b, "Action", action);
    query_put(b, "Version", api_version(service));
    for (size_t i = 0; i < r->effect->nargs; i++) {
        query_put(b, r->effect->args[i].name, r->effect->args[i].value);
    }
    if (r->page_name) {
        query_put(b, r->page_name, r->page_token);
    }
    if (r->secret_token) {
        query_put(b, "WebIdentityToken", secret_expose(r->secret_token));
    }
}

/* --- answers --- */

/* IAM and STS put what they say into <XResult>; what changes something may have none. */
static json *take_result(struct aws_call *c, json *x, struct error *err) {
    char name[sizeof c->operation + 8];
    (void)snprintf(name, sizeof name, "%sResult", c->operation);
    const json *result = json_get(x, name);
    json *value = NULL;
    if (result) {
        value = json_is_object(result) ? cJSON_DetachItemViaPointer(x, (json *)(uintptr_t)result) : json_object();
    } else if (!c->is_read) {
        value = json_object();
    } else {
        (void)error_set(err, ERR_PARSE, "the answer has no <%s>", name);
    }
    return value;
}

static json *parse_xml(struct aws_call *c, const struct http_response *r, struct error *err) {
    char root[128], name[sizeof c->operation + 12];
    json *x = xml_to_json(r->body, r->body_len, root, err), *value = NULL;
    if (!x) {
        return NULL;
    }
    (void)snprintf(name, sizeof name, "%sResponse", c->operation);
    const char *id = str_or(json_str(x, "ResponseMetadata.RequestId"), json_str(x, "requestId"));
    (void)str_copy(c->request_id, sizeof c->request_id, str_or(id, ""));
    /* An answer of another operation, or of no AWS service, must not pass for an empty one. */
    if (!str_eq(root, name)) {
        (void)error_set(err, ERR_PARSE, "the answer is a <%s>, not of %s", root, c->operation);
    } else if (c->service == SERVICE_EC2) {
        value = json_is_object(x) ? x : json_object();
        x = value == x ? NULL : x;
    } else {
        value = take_result(c, x, err);
    }
    if (c->service == SERVICE_STS) {
        aws_wipe_json(x);
    }
    json_free(x);
    return value;
}

static json *parse_json(const struct http_response *r, struct error *err) {
    json *j = json_parse(r->body, r->body_len, err);
    if (j && !json_is_object(j)) {
        json_free(j);
        (void)error_set(err, ERR_PARSE, "the answer is no JSON object");
        return NULL;
    }
    return j;
}

static json *parse_body(struct aws_call *c, const struct http_response *r, struct error *err) {
    json *value = c->service == SERVICE_EKS ? parse_json(r, err) : parse_xml(c, r, err);
    if (!value && c->changes_something) {
        err->code = ERR_LOST; /* it said yes to something */
    }
    return value;
}

static void decode_refusal(struct aws_call *c, const struct http_response *r, struct error *err) {
    aws_error_decode(c->service, r->status, r->body, r->body_len, r->header(r, "x-amzn-errortype"), err);
    if (c->changes_something && err->code == ERR_UNSUPPORTED && r->status >= 500) {
        err->code = ERR_UNAVAILABLE; /* whatever wrote that page may have written it afterwards */
    }
}

/* RFC 9110 Date of the answer against ours: minutes off means every signature fails. */
static bool learn_skew(struct aws_call *c, const struct http_response *r, const struct error *err) {
    enum { TOLERATED_MS = 60000 };
    int64_t server;
    const char *date = r->header(r, "Date");
    if ((err->code != ERR_UNAUTHORIZED && err->code != ERR_EXPIRED_CREDENTIALS) || !date ||
        !timefmt_parse_http_date(date, &server))
        return false;
    int64_t skew = server - c->t->clock.wall_ms(c->t->clock.ctx), change = skew - c->t->skew_ms;
    if (change < TOLERATED_MS && change > -TOLERATED_MS)
        return false;
    c->t->skew_ms = skew;
    return true;
}

/* "There is more" without saying where would pass a part for the whole, and somebody would decide by what is absent. */
static bool find_next(struct aws_answer *answer) {
    bool truncated = json_bool(answer->value, "IsTruncated", false);
    const char *token = truncated ? json_str(answer->value, "Marker") : json_str(answer->value, "nextToken");
    answer->next_token = str_empty(token) ? NULL : token;
    if (truncated && !answer->next_token)
        return error_set(&answer->error, ERR_PARSE, "a list that says IsTruncated and has no Marker");
    return true;
}

static void on_http(void *arg, const struct http_response *r) {
    struct aws_call *c = arg;
    struct aws_answer answer = {.error = r->error, .request_id = ""};
    if (r->error.code == ERR_NONE) {
        const char *id = r->header(r, "x-amzn-RequestId");
        if (r->status >= 200 && r->status < 300)
            answer.value = parse_body(c, r, &answer.error);
        else
            decode_refusal(c, r, &answer.error);
        answer.request_id = str_or(id, c->request_id);
        answer.error.http_status = r->status;
        answer.error.retry_after_ms = http_retry_after_ms(r, c->t->clock.wall_ms(c->t->clock.ctx));
        answer.skewed = learn_skew(c, r, &answer.error);
    } else if (c->changes_something && answer.error.code == ERR_TOO_LARGE) {
        answer.error.code = ERR_LOST; /* sent, and what it said is not known */
    }
    if (answer.value && !find_next(&answer)) {
        json_free(answer.value);
        answer.value = NULL;
    }
    c->done(c->arg, &answer);
    if (c->service == SERVICE_STS)
        aws_wipe_json(answer.value);
    json_free(answer.value);
    free(c);
}

/* --- sending --- */

struct prepared {
    struct aws_endpoint endpoint;
    const char *method, *path, *query, *content_type;
    struct buf body;
};

static bool prepare_parts(struct aws_transport *t, const struct aws_call_request *r, struct aws_call *c,
                          struct prepared *p, struct arena *a, struct error *err) {
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
        if (!p->path)
            return error_set(err, ERR_INVALID, "%s needs %s", c->operation, template);
        p->query = eks_query(r->effect, template, r, a);
        return true;
    }
    p->method = "POST";
    p->content_type = FORM;
    form_body(&p->body, r, c->service, c->operation);
    return !p->body.overflow || error_set(err, ERR_TOO_LARGE, "the request is larger than %zu bytes", REQUEST_MAX);
}

static bool prepare(struct aws_transport *t, const struct aws_call_request *r, struct aws_call *c, struct prepared *p,
                    struct arena *a, struct error *err) {
    if (!prepare_parts(t, r, c, p, a, err)) {
        return false;
    }
    p->path = arena_printf(a, "%s%s", p->endpoint.base_path, p->path);
    return true;
}

static size_t sign(struct aws_transport *t, const struct aws_call_request *r, const struct prepared *p,
                   struct http_header h[6], struct arena *a) {
    size_t n = 0;
    if (p->content_type)
        h[n++] = (struct http_header){"Content-Type", p->content_type, NULL};
    h[n++] = (struct http_header){"Accept", "application/json, text/xml, */*", NULL};
    if (!r->credentials)
        return n;
    struct sigv4_request request = {.method = p->method,
                                    .host = p->endpoint.host,
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

struct aws_call *aws_call_start(struct aws_transport *t, const struct aws_call_request *r, aws_answer_fn done,
                                void *arg, struct error *err) {
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
    c->is_read = effect_class(r->effect->kind) == EFFECT_READ;
    c->changes_something = r->changes_something;
    if (prepare(t, r, c, &p, a, err)) {
        size_t n = sign(t, r, &p, headers, a);
        const char *url = arena_printf(a, "%s%s%s%s", p.endpoint.origin, p.path, *p.query ? "?" : "", p.query);
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

void aws_call_cancel(struct aws_call *c) {
    if (!c)
        return;
    http_cancel(c->http);
    free(c);
}
