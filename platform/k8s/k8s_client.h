/*
 * k8s_client.h - one request to the Kubernetes API server: path, identity, deadlines, retries that are surely safe,
 * errors decoded.
 *
 * Model: k8s_client_send starts one call. The client waits for credentials where a plugin makes them, sends, and on 401
 * drops the credentials and sends once more if it got others (nothing was done on a 401). Answers below 300 are parsed
 * as JSON; everything else goes through status_error.h. What is sent again inside, and nothing else:
 * - reads (`retry`): 429 and 5xx with Retry-After (K-T6), up to K8S_READ_RETRIES; never ResourceVersionTooLarge, which
 *   is news for an informer;
 * - writes: 429, which is surely not accepted, up to K8S_WRITE_RETRIES times with a Retry-After of up to
 *   K8S_WRITE_RETRY_AFTER_MAX_MS.
 *
 * A write whose outcome is unknown is reported as such (S7, K-T5). Before each send of a write `may_write` is asked
 * (S6a); leases are exempt: their renewal is what makes the answer true. Calls on leases have K8S_LEASE_DEADLINE_MS in
 * all and are never sent again (K-T4). Credentials go to https servers only (K-A6).
 *
 * Ownership: a request is copied by send. The answer is lent to `done`, which takes `body` by setting it to NULL.
 * k8s_client_free cancels everything without callbacks; the config and the loop must outlive the client.
 *
 * Errors: through the answer. done is called exactly once, from the loop, never from inside send; not at all after
 * k8s_call_cancel.
 *
 * Bounds: K8S_CALLS_MAX calls at once (more: ERR_TOO_LARGE), HTTP_BODY_MAX bytes of answer, K8S_STATS_MAX counters.
 */
#ifndef CNI_IAM_K8S_K8S_CLIENT_H
#define CNI_IAM_K8S_K8S_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/error.h"
#include "platform/base/json.h"
#include "platform/http/http.h"
#include "platform/k8s/k8s_config.h"
#include "platform/k8s/resource.h"
#include "platform/os/loop.h"

#define K8S_READ_DEADLINE_MS 40000 /* longer than the server's own, so that we see its verdict (K-T4) */
#define K8S_WRITE_DEADLINE_MS 45000
#define K8S_LEASE_DEADLINE_MS 5000
#define K8S_READ_RETRIES 5
#define K8S_READ_RETRY_AFTER_MAX_MS 10000
#define K8S_WRITE_RETRIES 3
#define K8S_WRITE_RETRY_AFTER_MAX_MS 5000
#define K8S_CALLS_MAX 1024
#define K8S_STATS_MAX 256
#define K8S_QUERY_MAX 16
#define K8S_WARNINGS_MAX 256 /* different Warning texts that are logged in a process's life */

enum k8s_verb {
    K8S_VERB_GET,
    K8S_VERB_LIST,
    K8S_VERB_WATCH,
    K8S_VERB_CREATE,
    K8S_VERB_UPDATE,
    K8S_VERB_PATCH,
    K8S_VERB_DELETE
};
const char *k8s_verb_name(enum k8s_verb v); /* "get", ... as RBAC spells it */

struct k8s_client;
struct k8s_call; /* one call under way */

struct k8s_client_options {
    struct loop *loop;
    const struct k8s_config *config;
    const char *version;          /* of the program, for the User-Agent (K-T10) */
    const char *component;        /* "controller", "plan", ...: the User-Agent's last word */
    bool (*may_write)(void *arg); /* asked before each write; NULL: always */
    void *may_write_arg;
};
struct k8s_client *k8s_client_new(const struct k8s_client_options *o,
                                  struct error *err); /* NULL on error; connects to nothing yet */
void k8s_client_free(struct k8s_client *c);

struct k8s_request {
    enum k8s_verb verb;
    const struct k8s_resource *resource;
    const char *ns;
    const char *name;
    const char *subresource;
    struct k8s_query query[K8S_QUERY_MAX];
    size_t nquery;
    const char *body;         /* NULL: none */
    const char *content_type; /* NULL: application/json */
    const char *accept;       /* NULL: application/json */
    bool changes_nothing; /* a POST that is a read: reviews, TokenRequest, dry runs (no may_write; may be retried) */
    bool secret_answer;   /* the body holds a token: never logged, wiped */
    bool retry;           /* see above; reads only */
    int64_t deadline_ms;  /* 0: by verb and resource */
    /* Streams (WATCH): called for a 200 only; any other status ends in `done` with its error. */
    void (*on_open)(void *arg);
    bool (*on_data)(void *arg, const char *p, size_t n); /* false: end it; `done` gets ERR_CANCELLED */
    void *arg;                                           /* for on_open and on_data */
};

struct k8s_answer {
    int status;
    json *body; /* NULL for streams, empty bodies and errors */
    struct error error;
    const char *request_id; /* the server's Audit-Id, "" if none */
    int64_t sent_boot_ms;   /* when the last attempt started: what a lease counts from (S6a); 0: never sent */
};
typedef void (*k8s_done_fn)(void *arg, struct k8s_answer *answer);

struct k8s_call *k8s_client_send(struct k8s_client *c, const struct k8s_request *r, k8s_done_fn done,
                                 void *arg); /* never NULL */
void k8s_call_cancel(struct k8s_call *call); /* no callback any more; NULL is fine */

/* Counters since start, for metrics. code: HTTP status, or 0 when there was no answer. */
struct k8s_stat {
    const char *verb;
    const char *resource;
    int code;
    uint64_t count;
    uint64_t total_ms; /* of finished attempts, watches excluded */
};
void k8s_client_stats(const struct k8s_client *c, void (*each)(void *arg, const struct k8s_stat *s), void *arg);

struct loop *k8s_client_loop(const struct k8s_client *c);
const struct k8s_config *k8s_client_config(const struct k8s_client *c);

#endif
