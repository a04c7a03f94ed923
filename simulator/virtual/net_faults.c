/* net_faults.c - see net_faults.h. */
#include "simulator/virtual/net_faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/json.h"
#include "platform/base/str.h"

#define RETRY_AFTER_S 3

static const struct {
    const char *name;
    enum net_counter counter;
    int by[6]; /* what a sweep tries; ended by 0 */
} kinds[NET_FAULT_KINDS] = {
    [NET_LOST_BEFORE] = {"lost-before", NET_COUNTS_WRITES, {0}},
    [NET_LOST_AFTER] = {"lost-after", NET_COUNTS_WRITES, {0}},
    [NET_TWICE] = {"twice", NET_COUNTS_WRITES, {0}},
    [NET_DENIED] = {"denied", NET_COUNTS_WRITES, {0}},
    [NET_THROTTLED] = {"throttled", NET_COUNTS_WRITES, {0}},
    [NET_UNAVAILABLE] = {"unavailable", NET_COUNTS_WRITES, {0}},
    [NET_CRASH_BEFORE] = {"crash-before", NET_COUNTS_WRITES, {0}},
    [NET_CRASH_AFTER] = {"crash-after", NET_COUNTS_WRITES, {0}},
    /* less than the Lease's renewals bear, more than they do, more than the Lease, more than a signature is good for */
    [NET_PAUSE] = {"pause", NET_COUNTS_WRITES, {3, 12, 60, 1200, 0}},
    [NET_CONFLICT] = {"conflict", NET_COUNTS_WRITES, {0}},
    [NET_TIMEOUT_AFTER] = {"timeout-after", NET_COUNTS_WRITES, {0}},
    [NET_LIMITED] = {"limited", NET_COUNTS_WRITES, {0}},
    [NET_FORBIDDEN] = {"forbidden", NET_COUNTS_WRITES, {300, 0}},
    [NET_COMPACTED] = {"compacted", NET_COUNTS_WRITES, {0}},
    [NET_SLOW_WATCH] = {"slow-watch", NET_COUNTS_WRITES, {20, 0}},
    [NET_STALE_LIST] = {"stale-list", NET_COUNTS_WRITES, {1, 4, 16, 64, 0}},
    [NET_CRASH_FORGETS] = {"crash-forgets", NET_COUNTS_WRITES, {0}},
    [NET_CRASH_SPOILS] = {"crash-spoils", NET_COUNTS_WRITES, {0}},
    [NET_DISK_FULL] = {"disk-full", NET_COUNTS_WRITES, {300, 0}},
    [NET_DISK_BROKEN] = {"disk-broken", NET_COUNTS_WRITES, {300, 0}},
    [NET_DISK_READ_ONLY] = {"disk-read-only", NET_COUNTS_WRITES, {300, 0}},
    /* more than a signature bears; the year 2038, and 1970 */
    [NET_CLOCK_AHEAD] = {"clock-ahead", NET_COUNTS_WRITES, {600, 400000000, 0}},
    [NET_CLOCK_BACK] = {"clock-back", NET_COUNTS_WRITES, {600, 1790000000, 0}},
    [NET_WATCH_CUT] = {"watch-cut", NET_COUNTS_EVENTS, {0}},
    [NET_WATCH_GONE] = {"watch-gone", NET_COUNTS_EVENTS, {0}},
    [NET_READ_LOST] = {"read-lost", NET_COUNTS_READS, {0}},
    [NET_READ_DENIED] = {"read-denied", NET_COUNTS_READS, {0}},
    [NET_READ_UNAVAILABLE] = {"read-unavailable", NET_COUNTS_READS, {0}},
    [NET_EMPTY_LIST] = {"empty-list", NET_COUNTS_READS, {0}},
    [NET_STALE_READ] = {"stale-read", NET_COUNTS_READS, {0}},
};

const char *net_fault_name(enum net_fault_kind kind) {
    return kinds[kind].name;
}

enum net_counter net_fault_counter(enum net_fault_kind kind) {
    return kinds[kind].counter;
}

int net_fault_by(enum net_fault_kind kind, int i) {
    return kinds[kind].by[i];
}

/* --- what servers say --- */

static void answer_with(struct sim_http_answer *out, bool to_aws, int status, const char *code, const char *reason) {
    char text[512];
    if (to_aws)
        snprintf(text, sizeof text,
                 "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>injected</Message></Error>"
                 "<RequestId>r</RequestId></ErrorResponse>",
                 code);
    else
        snprintf(text, sizeof text,
                 "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"injected\","
                 "\"reason\":\"%s\",\"code\":%d}",
                 reason, status);
    *out = (struct sim_http_answer){.status = status,
                                    .content_type = to_aws ? "text/xml" : "application/json",
                                    .body = strdup(text),
                                    .body_len = strlen(text)};
}

bool net_is_refusal(enum net_fault_kind kind) {
    switch ((int)kind) {
    case NET_DENIED:
    case NET_THROTTLED:
    case NET_UNAVAILABLE:
    case NET_CONFLICT:
    case NET_LIMITED:
    case NET_FORBIDDEN:
    case NET_READ_DENIED:
    case NET_READ_UNAVAILABLE:
        return true;
    default:
        return false;
    }
}

void net_refusal(enum net_fault_kind kind, bool to_aws, struct sim_http_answer *out) {
    switch ((int)kind) {
    case NET_THROTTLED:
        answer_with(out, to_aws, to_aws ? 400 : 429, "Throttling", "TooManyRequests");
        break;
    case NET_LIMITED:
        answer_with(out, to_aws, to_aws ? 503 : 429, "RequestLimitExceeded", "TooManyRequests");
        out->retry_after_s = RETRY_AFTER_S;
        break;
    case NET_UNAVAILABLE:
    case NET_READ_UNAVAILABLE:
        answer_with(out, to_aws, 503, "ServiceUnavailable", "ServiceUnavailable");
        break;
    case NET_CONFLICT:
        answer_with(out, to_aws, 409, "ConcurrentModification", "Conflict");
        break;
    default:
        answer_with(out, to_aws, 403, "AccessDenied", "Forbidden");
        break;
    }
}

void net_not_found(bool to_aws, struct sim_http_answer *out) {
    free(out->body);
    answer_with(out, to_aws, 404, "NoSuchEntity", "NotFound");
}

void net_gateway_timeout(bool to_aws, struct sim_http_answer *out) {
    answer_with(out, to_aws, 504, "GatewayTimeout", "Timeout");
}

bool net_empty_list(struct sim_http_answer *answer) {
    struct error err;
    json *list = answer->body ? json_parse(answer->body, answer->body_len, &err) : NULL;
    bool is_list = answer->status == 200 && json_array(list, "items");
    if (is_list) {
        json_add_item(list, "items", json_new_array());
        free(answer->body);
        answer->body = json_print(list);
        answer->body_len = strlen(answer->body);
    }
    json_free(list);
    return is_list;
}

/* --- reads from before the last write --- */

#define STALE_FOR_MS 60000 /* IAM: "eventually" */

struct memo {
    char *path, *authorization, *content_type, *body;
    struct sim_http_answer before; /* body NULL: nothing was written since it was asked first */
};

struct net_stale {
    struct sim_aws *aws;
    struct memo v[NET_STALE_MAX];
    size_t n;
    int64_t written_ms;
};

struct net_stale *net_stale_new(struct sim_aws *aws) {
    struct net_stale *s = calloc(1, sizeof *s);
    if (!s)
        die("out of memory");
    s->aws = aws;
    return s;
}

void net_stale_free(struct net_stale *s) {
    for (size_t i = 0; s && i < s->n; i++) {
        free(s->v[i].path);
        free(s->v[i].authorization);
        free(s->v[i].content_type);
        free(s->v[i].body);
        free(s->v[i].before.body);
    }
    free(s);
}

static struct memo *memo_of(struct net_stale *s, const struct sim_http_request *req) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->v[i].body, req->body) && str_eq(s->v[i].path, req->path))
            return &s->v[i];
    return NULL;
}

static bool is_iam_read(const struct sim_http_request *req) {
    return req->authorization && strstr(req->authorization, "/iam/aws4_request") &&
           (strstr(req->body, "Action=Get") || strstr(req->body, "Action=List"));
}

void net_stale_saw_read(struct net_stale *s, const struct sim_http_request *req) {
    if (!is_iam_read(req) || s->n == NET_STALE_MAX || memo_of(s, req))
        return;
    s->v[s->n++] = (struct memo){.path = strdup(req->path),
                                 .authorization = strdup(req->authorization),
                                 .content_type = strdup(str_or(req->content_type, "")),
                                 .body = strdup(req->body)};
}

void net_stale_before_write(struct net_stale *s, int64_t now_ms) {
    s->written_ms = now_ms;
    for (size_t i = 0; i < s->n; i++) {
        struct memo *m = &s->v[i];
        struct sim_http_request req = {.method = "POST",
                                       .path = m->path,
                                       .query = "",
                                       .authorization = m->authorization,
                                       .content_type = m->content_type,
                                       .body = m->body,
                                       .body_len = strlen(m->body)};
        free(m->before.body);
        sim_aws_http(s->aws, &req, &m->before);
        m->before.error_type = NULL; /* lasts until the next call only */
    }
}

bool net_stale_answer(struct net_stale *s, const struct sim_http_request *req, int64_t now_ms,
                      struct sim_http_answer *out) {
    const struct memo *m = is_iam_read(req) ? memo_of(s, req) : NULL;
    if (!m || !m->before.body || now_ms - s->written_ms > STALE_FOR_MS)
        return false;
    *out = m->before;
    out->body = strdup(m->before.body);
    return true;
}
