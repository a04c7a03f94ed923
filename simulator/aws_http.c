/* aws_http.c - requests of the query protocol and of rest-json to calls of the account, and answers back. */
#include "simulator/aws_http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "platform/base/utf8.h"
#include "simulator/aws_internal.h"
#include "simulator/aws_xml.h"

#define PARAMS_MAX 2048
#define ANSWER_MAX ((size_t)32 * 1024 * 1024)
#define KEY_MAX 128
#define SIGNATURE_LASTS_MS (5 * 60 * 1000)
#define SCOPE_MAX 5
#define SEGMENTS_MAX 8

/* One request while it is answered. */
struct exchange {
    struct sim_aws *a;
    const struct sim_http_request *req;
    struct sim_http_answer *out;
    struct arena *arena;
    const char *service, *access_key; /* "" and NULL: not signed */
    struct sim_aws_param *params;
    size_t nparams;
    char request_id[40];
};

/* --- answers --- */

static void make_request_id(struct exchange *x) {
    uint64_t hi = prng_next(&x->a->ids), lo = prng_next(&x->a->ids);
    (void)snprintf(x->request_id, sizeof x->request_id, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(hi >> 32),
                   (unsigned)(hi >> 16 & 0xffff), (unsigned)(hi & 0xfff), (unsigned)(lo >> 52),
                   (unsigned long long)(lo & UINT64_C(0xffffffffffff)));
}

static void give(struct exchange *x, int status, const char *content_type, struct buf *b) {
    if (b->overflow) {
        status = 500;
        buf_reset(b);
    }
    x->out->status = status;
    x->out->content_type = content_type;
    x->out->body_len = b->n;
    x->out->body = buf_take(b);
}

static void give_error(struct exchange *x, int status, const char *code, const char *message) {
    struct buf b;
    buf_init(&b, ANSWER_MAX);
    if (str_eq(x->service, "eks")) {
        json *o = json_object();
        json_add_str(o, "__type", code);
        json_add_str(o, "message", message);
        char *text = json_print(o);
        (void)buf_puts(&b, text);
        free(text);
        json_free(o);
        x->out->error_type = code;
        give(x, status, "application/json", &b);
        return;
    }
    aws_xml_error(&b, x->service, status, code, message, x->request_id);
    give(x, status, "text/xml", &b);
}

static void give_value(struct exchange *x, const char *action, const json *value) {
    struct buf b;
    buf_init(&b, ANSWER_MAX);
    if (str_eq(x->service, "eks")) {
        char *text = json_print(value);
        (void)buf_puts(&b, text);
        free(text);
        give(x, 200, "application/json", &b);
        return;
    }
    aws_xml_answer(&b, x->service, action, value, x->request_id);
    give(x, 200, "text/xml", &b);
}

static void call(struct exchange *x, const char *action, const char *body) {
    struct sim_aws_call c = {.service = x->service,
                             .action = action,
                             .params = x->params,
                             .nparams = x->nparams,
                             .body = body,
                             .access_key = x->access_key};
    struct sim_aws_answer answer;

    sim_aws_do(x->a, &c, &answer);
    if (answer.code != NULL) {
        give_error(x, answer.status, answer.code, answer.message);
    } else {
        give_value(x, action, answer.value);
    }
    json_free(answer.value);
}

/* --- reading --- */

static bool is_utf8(const char *s) {
    const unsigned char *p = (const unsigned char *)s;
    uint32_t code;
    for (size_t n = strlen(s), step; n > 0; p += step, n -= step) {
        if ((step = utf8_step(p, n, &code)) == 0) {
            return false;
        }
    }
    return true;
}

/* Percent-decoded text of a form; NULL: a bad escape, a NUL, or no UTF-8. */
static char *form_decode(struct arena *a, const char *s, size_t n) {
    char *copy = arena_strndup(a, s, n);
    for (char *p = copy; *p != '\0'; p++) {
        *p = (char)(*p == '+' ? ' ' : *p);
    }
    char *text = str_percent_decode(copy, a);
    return text != NULL && is_utf8(text) ? text : NULL;
}

static bool add_params(struct exchange *x, const char *form) {
    for (const char *p = form; *p != '\0';) {
        size_t n = strcspn(p, "&"), k = strcspn(p, "=&");
        if (n > 0) {
            if (x->nparams == PARAMS_MAX) {
                return false;
            }
            struct sim_aws_param *param = &x->params[x->nparams++];
            param->name = form_decode(x->arena, p, k);
            param->value = k < n ? form_decode(x->arena, p + k + 1, n - k - 1) : "";
            if (param->name == NULL || param->value == NULL) {
                return false;
            }
        }
        p += n + (p[n] == '&');
    }
    return true;
}

static const char *param(const struct exchange *x, const char *name) {
    for (size_t i = 0; i < x->nparams; i++) {
        if (str_eq(x->params[i].name, name)) {
            return x->params[i].value;
        }
    }
    return NULL;
}

/* AKID/date/region/service/aws4_request */
static bool read_scope(struct exchange *x, const char *scope) {
    static const char *const services[] = {"iam", "sts", "ec2", "eks"};
    const char *at[SCOPE_MAX];
    size_t len[SCOPE_MAX], n = 0;

    for (const char *p = scope; n < SCOPE_MAX; p += len[n++] + 1) {
        at[n] = p;
        len[n] = strcspn(p, "/, \t");
        if (n < SCOPE_MAX - 1 && p[len[n]] != '/') {
            return false;
        }
    }
    if (len[0] == 0 || len[0] > KEY_MAX || len[4] != strlen("aws4_request") ||
        strncmp(at[4], "aws4_request", len[4]) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        if (len[3] == strlen(services[i]) && strncmp(at[3], services[i], len[3]) == 0) {
            x->service = services[i];
            x->access_key = arena_strndup(x->arena, at[0], len[0]);
            return true;
        }
    }
    return false;
}

/* false: there is a signature that is none. */
static bool read_signature(struct exchange *x) {
    const char *header = x->req->authorization, *presigned = param(x, "X-Amz-Credential");

    if (header == NULL) {
        return presigned == NULL || read_scope(x, presigned);
    }
    const char *credential = strstr(header, "Credential=");
    return str_has_prefix(header, "AWS4-HMAC-SHA256") && credential != NULL &&
           read_scope(x, credential + strlen("Credential="));
}

/* A signature is good for five minutes; false: refused. EC2 has words of its own. */
static bool is_of_now(struct exchange *x) {
    const char *d = x->req->date;
    int64_t signed_ms, now_ms = sim_wall_ms(x->a);
    bool is_ec2 = str_eq(x->service, "ec2"), is_eks = str_eq(x->service, "eks");

    if (d == NULL || strlen(d) != strlen("20260102T030405Z")) {
        return true;
    }
    const char *text = arena_printf(x->arena, "%.4s-%.2s-%.5s:%.2s:%.3s", d, d + 4, d + 6, d + 11, d + 13);
    if (!timefmt_parse_rfc3339(text, &signed_ms) ||
        (signed_ms >= now_ms - SIGNATURE_LASTS_MS && signed_ms <= now_ms + SIGNATURE_LASTS_MS)) {
        return true;
    }
    if (is_ec2) {
        give_error(x, 400, "RequestExpired", "Request has expired.");
    } else {
        give_error(x, 403, is_eks ? "InvalidSignatureException" : "SignatureDoesNotMatch",
                   signed_ms < now_ms ? "Signature expired" : "Signature not yet current");
    }
    return false;
}

/* --- rest-json --- */

static const struct route {
    const char *method, *template, *action;
} routes[] = {
    {"GET", "clusters", "ListClusters"},
    {"GET", "clusters/{name}", "DescribeCluster"},
    {"GET", "clusters/{clusterName}/addons", "ListAddons"},
    {"POST", "clusters/{clusterName}/addons", "CreateAddon"},
    {"GET", "clusters/{clusterName}/addons/{addonName}", "DescribeAddon"},
    {"DELETE", "clusters/{clusterName}/addons/{addonName}", "DeleteAddon"},
    {"POST", "clusters/{clusterName}/addons/{addonName}/update", "UpdateAddon"},
    {"GET", "clusters/{name}/updates", "ListUpdates"},
    {"GET", "clusters/{name}/updates/{updateId}", "DescribeUpdate"},
    {"GET", "clusters/{clusterName}/pod-identity-associations", "ListPodIdentityAssociations"},
    {"POST", "clusters/{clusterName}/pod-identity-associations", "CreatePodIdentityAssociation"},
    {"GET", "clusters/{clusterName}/pod-identity-associations/{associationId}", "DescribePodIdentityAssociation"},
    {"POST", "clusters/{clusterName}/pod-identity-associations/{associationId}", "UpdatePodIdentityAssociation"},
    {"DELETE", "clusters/{clusterName}/pod-identity-associations/{associationId}", "DeletePodIdentityAssociation"},
    {"GET", "access-policies", "ListAccessPolicies"},
    {"GET", "clusters/{clusterName}/access-entries", "ListAccessEntries"},
    {"POST", "clusters/{clusterName}/access-entries", "CreateAccessEntry"},
    {"GET", "clusters/{clusterName}/access-entries/{principalArn}", "DescribeAccessEntry"},
    {"POST", "clusters/{clusterName}/access-entries/{principalArn}", "UpdateAccessEntry"},
    {"DELETE", "clusters/{clusterName}/access-entries/{principalArn}", "DeleteAccessEntry"},
    {"GET", "clusters/{clusterName}/access-entries/{principalArn}/access-policies", "ListAssociatedAccessPolicies"},
    {"POST", "clusters/{clusterName}/access-entries/{principalArn}/access-policies", "AssociateAccessPolicy"},
    {"DELETE", "clusters/{clusterName}/access-entries/{principalArn}/access-policies/{policyArn}",
     "DisassociateAccessPolicy"},
    {"GET", "clusters/{clusterName}/node-groups", "ListNodegroups"},
    {"GET", "clusters/{clusterName}/node-groups/{nodegroupName}", "DescribeNodegroup"},
};

static struct strlist segments(struct exchange *x, const char *path) {
    struct strlist l = {0};
    for (const char *p = path; *p != '\0' && l.n <= SEGMENTS_MAX;) {
        size_t n = strcspn(p, "/");
        strlist_add(&l, arena_strndup(x->arena, p, n), x->arena);
        p += n + (p[n] == '/');
    }
    return l;
}

/* Labels become parameters, before those of the query. */
static bool match_route(struct exchange *x, const char *template, const struct strlist *path) {
    struct strlist wanted = segments(x, template);
    size_t before = x->nparams;

    for (size_t i = 0; i < wanted.n && wanted.n == path->n; i++) {
        const char *w = wanted.v[i];
        if (w[0] != '{') {
            if (!str_eq(w, path->v[i])) {
                break;
            }
        } else {
            char *value = str_percent_decode(path->v[i], x->arena);
            if (value == NULL || !is_utf8(value) || x->nparams == PARAMS_MAX) {
                break;
            }
            x->params[x->nparams++] = (struct sim_aws_param){arena_strndup(x->arena, w + 1, strlen(w) - 2), value};
        }
        if (i + 1 == wanted.n) {
            return true;
        }
    }
    x->nparams = before;
    return false;
}

static void answer_eks(struct exchange *x) {
    const char *path = str_or(x->req->path, "/"), *body = str_or(x->req->body, "");
    struct strlist parts = segments(x, path + (path[0] == '/'));

    x->nparams = 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!str_eq(x->req->method, routes[i].method) || !match_route(x, routes[i].template, &parts)) {
            continue;
        }
        if (!add_params(x, str_or(x->req->query, ""))) {
            give_error(x, 400, "InvalidParameterException", "The query string is malformed.");
        } else if (strlen(body) != x->req->body_len) {
            give_error(x, 400, "SerializationException", "The request body holds a NUL.");
        } else {
            call(x, routes[i].action, str_eq(routes[i].method, "POST") ? body : NULL);
        }
        return;
    }
    give_error(x, 400, "InvalidRequestException", "Unknown operation.");
}

/* --- query --- */

static bool is_action(const char *s) {
    size_t n = 0;
    while (isalnum((unsigned char)s[n])) {
        n++;
    }
    return n > 0 && n <= 128 && s[n] == '\0';
}

static void answer_query(struct exchange *x) {
    const char *action = param(x, "Action");

    if (str_empty(action)) {
        give_error(x, 400, "MissingAction", "The request must contain the parameter Action.");
    } else if (!is_action(action)) {
        give_error(x, 400, "InvalidAction", "The action is not valid for this endpoint.");
    } else {
        call(x, action, NULL);
    }
}

/* EKS alone has paths. */
static bool is_eks_path(const char *path) {
    return str_has_prefix(path, "/clusters") || str_has_prefix(path, "/access-policies");
}

static void answer_unsigned(struct exchange *x) {
    if (str_eq(param(x, "Action"), "AssumeRoleWithWebIdentity")) {
        x->service = "sts";
        answer_query(x);
    } else if (is_eks_path(x->req->path)) {
        x->service = "eks";
        give_error(x, 403, "MissingAuthenticationTokenException", "Missing Authentication Token");
    } else {
        give_error(x, 403, "MissingAuthenticationToken", "Request is missing Authentication Token");
    }
}

static void answer_request(struct exchange *x) {
    const struct sim_http_request *req = x->req;
    bool is_post = str_eq(req->method, "POST"), is_rest = is_eks_path(req->path);
    const char *body = is_post && !is_rest ? str_or(req->body, "") : "";

    if (is_rest) {
        x->service = "eks"; /* the shape of errors, until the signature says it */
    }
    if (req->body_len > SIM_AWS_BODY_MAX) {
        give_error(x, 413, "RequestEntityTooLarge", "The request body is too large.");
    } else if (*body != '\0' && strlen(body) != req->body_len) {
        give_error(x, 400, "MalformedQueryString", "The request body holds a NUL.");
    } else if (!add_params(x, str_or(req->query, "")) || !add_params(x, body)) {
        give_error(x, 400, "MalformedQueryString", "The query string contains a syntax error.");
    } else if (!read_signature(x)) {
        give_error(x, 400, "IncompleteSignature", "Authorization header requires 'Credential' parameter.");
    } else if (x->access_key == NULL) {
        answer_unsigned(x);
    } else if (!is_of_now(x)) {
        return;
    } else if (str_eq(x->service, "eks")) {
        answer_eks(x);
    } else {
        answer_query(x);
    }
}

void sim_aws_http(struct sim_aws *a, const struct sim_http_request *req, struct sim_http_answer *out) {
    __attribute__((uninitialized)) struct sim_aws_param params[PARAMS_MAX]; /* only what is read in is looked at */
    struct exchange x = {.a = a, .req = req, .out = out, .arena = arena_new(0), .service = "", .params = params};

    *out = (struct sim_http_answer){0};
    make_request_id(&x);
    answer_request(&x);
    arena_free(x.arena);
}
