#include "platform/k8s/k8s_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/log.h"
#include "platform/base/strmap.h"
#include "platform/k8s/auth.h"
#include "platform/k8s/call_stats.h"
#include "platform/k8s/status_error.h"

#define CALL_HEADERS_MAX (AUTH_HEADERS_MAX + 2)
#define STREAM_ERROR_BODY_MAX ((size_t)64 * 1024)

#if defined(__aarch64__)
#define K8S_ARCH "arm64"
#else
#define K8S_ARCH "amd64"
#endif

struct k8s_client {
    struct loop *loop;
    struct clock clock;
    const struct k8s_config *config;
    struct k8s_auth *auth;
    struct http_client *http;
    uint64_t http_generation; /* the TLS generation that http was made with */
    char *user_agent;
    bool (*may_write)(void *arg);
    void *may_write_arg;
    struct k8s_call *calls; /* doubly linked */
    size_t ncalls;
    struct call_stats stats;
    struct strmap *warnings_seen;
};

/*
 * One call: [credentials] -> attempt -> answer | wait -> attempt ...
 * At any time exactly one of `http`, `waiter.waiting` or `timer` will call back.
 */
struct k8s_call {
    struct k8s_client *client;
    struct k8s_call *next, *prev;
    struct arena *arena;
    struct k8s_request request; /* its strings are in the arena */
    const char *url;
    int64_t deadline_ms; /* of each attempt; leases: of the whole call */
    int64_t begun_boot_ms;
    int64_t sent_boot_ms;
    struct http_request *http;
    struct k8s_auth_waiter waiter;
    uint64_t timer;
    struct error failure; /* what the timer will report */
    uint64_t token_generation;
    bool sent_again_after_401;
    int retries;
    /* streams */
    int status;
    int retry_after_ms;
    bool encoded;
    struct buf error_body;
    k8s_done_fn done;
    void *arg;
};

static void attempt(struct k8s_call *call);

const char *k8s_verb_name(enum k8s_verb v) {
    switch (v) {
    case K8S_VERB_GET:
        return "get";
    case K8S_VERB_LIST:
        return "list";
    case K8S_VERB_WATCH:
        return "watch";
    case K8S_VERB_CREATE:
        return "create";
    case K8S_VERB_UPDATE:
        return "update";
    case K8S_VERB_PATCH:
        return "patch";
    case K8S_VERB_DELETE:
        return "delete";
    }
    return "?";
}

static const char *method_of(enum k8s_verb v) {
    switch (v) {
    case K8S_VERB_GET:
    case K8S_VERB_LIST:
    case K8S_VERB_WATCH:
        return "GET";
    case K8S_VERB_CREATE:
        return "POST";
    case K8S_VERB_UPDATE:
        return "PUT";
    case K8S_VERB_PATCH:
        return "PATCH";
    case K8S_VERB_DELETE:
        return "DELETE";
    }
    return "GET";
}

static bool is_read(const struct k8s_request *r) {
    return r->verb == K8S_VERB_GET || r->verb == K8S_VERB_LIST || r->verb == K8S_VERB_WATCH || r->changes_nothing;
}

static bool is_stream(const struct k8s_request *r) {
    return r->on_data != NULL;
}

static bool is_lease(const struct k8s_request *r) {
    return str_eq(r->resource->name, "leases");
}

static int64_t now_boot(const struct k8s_client *c) {
    return c->clock.boot_ms(c->clock.ctx);
}

/* ---- the end of a call ---- */

static void call_free(struct k8s_call *call) {
    buf_done(&call->error_body);
    arena_free(call->arena);
    free(call);
}

static void call_unlink(struct k8s_call *call) {
    struct k8s_client *c = call->client;
    if (call->prev != NULL) {
        call->prev->next = call->next;
    } else {
        c->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    c->ncalls--;
}

/* Nothing of the client is touched after `done`, which may free it. */
static void finish(struct k8s_call *call, struct k8s_answer *answer) {
    call_unlink(call);
    answer->sent_boot_ms = call->sent_boot_ms;
    if (answer->request_id == NULL) {
        answer->request_id = "";
    }
    call->done(call->arg, answer);
    json_free(answer->body);
    call_free(call);
}

static void finish_with_error(struct k8s_call *call, const struct error *err) {
    struct k8s_answer answer = {.status = err->http_status, .error = *err};
    finish(call, &answer);
}

static void on_failure_timer(void *arg) {
    struct k8s_call *call = arg;
    call->timer = 0;
    finish_with_error(call, &call->failure);
}

/* `done` is never called from inside send: failures that are known at once are told by the loop's next turn. */
static void fail_soon(struct k8s_call *call, const struct error *err) {
    struct clock *clock = &call->client->clock;
    call->failure = *err;
    call->timer = clock->timer_start(clock->ctx, 0, on_failure_timer, call);
}

static void stop(struct k8s_call *call) {
    struct k8s_client *c = call->client;
    http_cancel(call->http);
    k8s_auth_unwait(c->auth, &call->waiter);
    c->clock.timer_stop(c->clock.ctx, call->timer);
}

void k8s_call_cancel(struct k8s_call *call) {
    if (call != NULL) {
        stop(call);
        call_unlink(call);
        call_free(call);
    }
}

/* ---- counters and warnings ---- */

static void count(struct k8s_call *call, int code) {
    int64_t took = is_stream(&call->request) ? 0 : now_boot(call->client) - call->sent_boot_ms;
    call_stats_add(&call->client->stats, k8s_verb_name(call->request.verb), call->request.resource->name, code, took);
}

static void log_warning(struct k8s_call *call, const struct http_response *r) {
    struct k8s_client *c = call->client;
    const char *text = r->header(r, "Warning");
    if (text == NULL || strmap_get(c->warnings_seen, text) != NULL || !strmap_set(c->warnings_seen, text, c)) {
        return;
    }
    LOG_WARN("k8s", "the API server warns", F_STR("verb", k8s_verb_name(call->request.verb)),
             F_STR("resource", call->request.resource->name), F_STR("warning", text));
}

/* ---- answers ---- */

static void on_retry_timer(void *arg) {
    struct k8s_call *call = arg;
    call->timer = 0;
    attempt(call);
}

/* See the header for what may be sent again. */
static bool may_retry(const struct k8s_call *call, const struct error *err) {
    const struct k8s_request *r = &call->request;
    if (err->retry_after_ms <= 0 || is_lease(r) || is_stream(r)) {
        return false;
    }
    if (!is_read(r)) {
        return err->http_status == 429 && call->retries < K8S_WRITE_RETRIES &&
               err->retry_after_ms <= K8S_WRITE_RETRY_AFTER_MAX_MS;
    }
    return r->retry && err->code != ERR_FUTURE_VERSION && (err->http_status == 429 || err->http_status >= 500) &&
           call->retries < K8S_READ_RETRIES;
}

static void retry_later(struct k8s_call *call, const struct error *err) {
    struct clock *clock = &call->client->clock;
    int64_t delay = err->retry_after_ms;
    if (delay > K8S_READ_RETRY_AFTER_MAX_MS) {
        delay = K8S_READ_RETRY_AFTER_MAX_MS;
    }
    call->retries++;
    LOG_DEBUG("k8s", "the API server asks to come back later", F_STR("verb", k8s_verb_name(call->request.verb)),
              F_STR("resource", call->request.resource->name), F_INT("status", err->http_status),
              F_INT("delay_ms", delay));
    call->timer = clock->timer_start(clock->ctx, delay, on_retry_timer, call);
}

static void on_success(struct k8s_call *call, const struct http_response *r) {
    struct k8s_answer answer = {.status = r->status, .request_id = r->header(r, "Audit-Id")};
    error_clear(&answer.error);
    if (r->body_len > 0) {
        answer.body = json_parse(r->body, r->body_len, &answer.error);
        if (answer.body == NULL) {
            const char *what = call->request.secret_answer ? "no JSON" : answer.error.message;
            char text[ERROR_MESSAGE_MAX];
            (void)str_copy(text, sizeof text, what);
            (void)error_set(&answer.error, ERR_PARSE, "the API server's answer can not be read: %s", text);
            answer.error.http_status = r->status;
        }
    }
    finish(call, &answer);
}

/* 401: nothing was done, so whatever the request is, it may be sent once more with another credential. */
static bool send_again_after_401(struct k8s_call *call) {
    bool other = k8s_auth_rejected(call->client->auth, call->token_generation);
    if (!other || call->sent_again_after_401) {
        return false;
    }
    call->sent_again_after_401 = true;
    attempt(call);
    return true;
}

static void on_failure(struct k8s_call *call, int status, const char *body, size_t len, int retry_after_ms,
                       const char *request_id) {
    struct k8s_answer answer = {.status = status, .request_id = request_id};
    struct status_request shape = {.is_create = call->request.verb == K8S_VERB_CREATE,
                                   .is_json_patch = str_eq(call->request.content_type, "application/json-patch+json")};
    if (status == 401 && send_again_after_401(call)) {
        return;
    }
    status_error(status, body, len, retry_after_ms, &shape, &answer.error);
    if (may_retry(call, &answer.error)) {
        retry_later(call, &answer.error);
        return;
    }
    finish(call, &answer);
}

static void on_done(void *arg, const struct http_response *r) {
    struct k8s_call *call = arg;
    call->http = NULL;
    count(call, r->error.code == ERR_NONE ? r->status : 0);
    if (r->error.code != ERR_NONE) {
        struct error err = r->error;
        (void)error_wrap(&err, "%s %s", k8s_verb_name(call->request.verb), call->request.resource->name);
        finish_with_error(call, &err);
        return;
    }
    log_warning(call, r);
    if (r->status >= 200 && r->status < 300) {
        on_success(call, r);
    } else {
        on_failure(call, r->status, r->body, r->body_len,
                   http_retry_after_ms(r, call->client->clock.wall_ms(call->client->clock.ctx)),
                   r->header(r, "Audit-Id"));
    }
}

/* ---- streams ---- */

static void on_stream_headers(void *arg, const struct http_response *r) {
    struct k8s_call *call = arg;
    const char *encoding = r->header(r, "Content-Encoding");
    call->status = r->status;
    call->retry_after_ms = http_retry_after_ms(r, call->client->clock.wall_ms(call->client->clock.ctx));
    call->encoded = encoding != NULL && !str_eq_nocase(encoding, "identity");
    log_warning(call, r);
    if (call->status == 200 && !call->encoded && call->request.on_open != NULL) {
        call->request.on_open(call->request.arg);
    }
}

static bool on_stream_data(void *arg, const char *p, size_t n) {
    struct k8s_call *call = arg;
    if (call->status != 200) {
        (void)buf_append(&call->error_body, p, n); /* beyond the maximum the status speaks for itself */
        return true;
    }
    return !call->encoded && call->request.on_data(call->request.arg, p, n);
}

static void on_stream_done(void *arg, const struct http_response *r) {
    struct k8s_call *call = arg;
    struct k8s_answer answer = {.status = call->status, .error = r->error};
    call->http = NULL;
    count(call, call->status);
    if (call->encoded) {
        (void)error_set(&answer.error, ERR_PARSE, "the watch came with a Content-Encoding, which was not asked for");
        finish(call, &answer);
    } else if (call->status != 0 && call->status != 200) {
        on_failure(call, call->status, buf_str(&call->error_body), call->error_body.n, call->retry_after_ms, NULL);
    } else if (call->status == 0 && r->error.code == ERR_NONE) {
        (void)error_set(&answer.error, ERR_LOST, "the watch ended without an answer");
        finish(call, &answer);
    } else {
        finish(call, &answer);
    }
}

/* ---- one attempt ---- */

static void http_options(const struct k8s_client *c, const struct k8s_identity *id, struct http_client_options *o) {
    *o = (struct http_client_options){.ca_pem = id->ca_pem,
                                      .client_cert_pem = id->client_cert_pem,
                                      .client_key_pem = id->client_key_pem,
                                      .tls_server_name = c->config->tls_server_name,
                                      .insecure_skip_verify = c->config->insecure_skip_tls_verify,
                                      .proxy_url = c->config->proxy_url,
                                      .user_agent = c->user_agent};
}

/* New CA or certificate: a failure leaves the connections as they are until the files change again. */
static void follow_identity(struct k8s_client *c, const struct k8s_identity *id) {
    struct http_client_options o;
    struct error err;
    if (id->tls_generation == c->http_generation) {
        return;
    }
    c->http_generation = id->tls_generation;
    http_options(c, id, &o);
    if (!http_client_reconfigure(c->http, &o, &err)) {
        LOG_WARN("k8s", "the new TLS identity can not be used", F_STR("error", err.message));
    }
}

static void on_credentials(void *arg, const struct error *err) {
    struct k8s_call *call = arg;
    call->client->clock.timer_stop(call->client->clock.ctx, call->timer);
    call->timer = 0;
    if (err->code != ERR_NONE) {
        finish_with_error(call, err);
        return;
    }
    attempt(call);
}

static void on_credentials_late(void *arg) {
    struct k8s_call *call = arg;
    struct error err;
    call->timer = 0;
    k8s_auth_unwait(call->client->auth, &call->waiter);
    (void)error_set(&err, ERR_NO_CREDENTIALS, "no credentials within %lld ms", (long long)call->deadline_ms);
    finish_with_error(call, &err);
}

static void wait_for_credentials(struct k8s_call *call) {
    struct k8s_client *c = call->client;
    call->waiter.fn = on_credentials;
    call->waiter.arg = call;
    k8s_auth_wait(c->auth, &call->waiter);
    call->timer = c->clock.timer_start(c->clock.ctx, call->deadline_ms, on_credentials_late, call);
}

static size_t fill_headers(const struct k8s_call *call, const struct k8s_identity *id, struct http_header *to) {
    size_t n = 0;
    for (size_t i = 0; i < id->nheaders; i++) {
        to[n++] = id->headers[i];
    }
    to[n++] = (struct http_header){.name = "Accept", .value = call->request.accept};
    if (call->request.body != NULL) {
        to[n++] = (struct http_header){.name = "Content-Type", .value = call->request.content_type};
    }
    return n;
}

/* A lease's five seconds are for everything: waiting for a credential is part of them. */
static int64_t time_left(const struct k8s_call *call) {
    if (!is_lease(&call->request)) {
        return call->deadline_ms;
    }
    return call->deadline_ms - (now_boot(call->client) - call->begun_boot_ms);
}

static bool transmit(struct k8s_call *call, const struct k8s_identity *id, struct error *err) {
    struct k8s_client *c = call->client;
    const struct k8s_request *r = &call->request;
    struct http_header headers[CALL_HEADERS_MAX];
    /* A lease is written with its resourceVersion, so that a second sending could only conflict: it may use a pooled
     * connection. */
    struct http_call h = {.method = method_of(r->verb),
                          .url = call->url,
                          .headers = headers,
                          .nheaders = fill_headers(call, id, headers),
                          .body = r->body,
                          .body_len = r->body != NULL ? strlen(r->body) : 0,
                          .changes_something = !is_read(r) && !is_lease(r),
                          .secret_body = r->secret_answer,
                          .deadline_ms = time_left(call)};
    if (h.deadline_ms <= 0) {
        return error_set(err, ERR_UNREACHABLE, "the call's deadline passed before it was sent");
    }
    if (is_stream(r)) {
        h.on_headers = on_stream_headers;
        h.on_data = on_stream_data;
        buf_reset(&call->error_body);
        call->status = 0;
    }
    call->token_generation = id->token_generation;
    call->sent_boot_ms = now_boot(c);
    call->http = http_start(c->http, &h, is_stream(r) ? on_stream_done : on_done, call, err);
    return call->http != NULL;
}

static void attempt(struct k8s_call *call) {
    struct k8s_client *c = call->client;
    struct k8s_identity id;
    struct error err;

    if (!k8s_auth_get(c->auth, &id)) {
        wait_for_credentials(call);
        return;
    }
    follow_identity(c, &id);
    /* S6a: asked at the last moment, on every attempt, because time has passed since the decision. */
    if (!is_read(&call->request) && !is_lease(&call->request) && c->may_write != NULL &&
        !c->may_write(c->may_write_arg)) {
        (void)error_set(&err, ERR_CANCELLED, "not sent: this process may not write any more (its lease is not fresh)");
        fail_soon(call, &err);
        return;
    }
    if (!transmit(call, &id, &err)) {
        fail_soon(call, &err);
    }
}

/* ---- calls ---- */

static int64_t default_deadline(const struct k8s_request *r) {
    if (is_lease(r) && r->verb != K8S_VERB_WATCH) {
        return K8S_LEASE_DEADLINE_MS;
    }
    return is_read(r) ? K8S_READ_DEADLINE_MS : K8S_WRITE_DEADLINE_MS;
}

static bool copy_request(struct k8s_call *call, const struct k8s_request *r, struct error *err) {
    struct arena *a = call->arena;
    char *path = k8s_path(r->resource, r->ns, r->name, r->subresource, r->query, r->nquery, a, err);
    if (path == NULL) {
        return false;
    }
    call->url = arena_printf(a, "%s%s", call->client->config->server, path);
    call->request.body = arena_strdup(a, r->body);
    call->request.content_type = arena_strdup(a, str_or(r->content_type, "application/json"));
    call->request.accept = arena_strdup(a, str_or(r->accept, "application/json"));
    call->deadline_ms = r->deadline_ms > 0 ? r->deadline_ms : default_deadline(r);
    return true;
}

struct k8s_call *k8s_client_send(struct k8s_client *c, const struct k8s_request *r, k8s_done_fn done, void *arg) {
    struct k8s_call *call = calloc(1, sizeof *call);
    struct error err;
    if (call == NULL) {
        die("out of memory");
    }
    assert(r->resource != NULL && r->nquery <= K8S_QUERY_MAX);
    call->client = c;
    call->arena = arena_new(0);
    call->request = *r;
    call->done = done;
    call->arg = arg;
    call->begun_boot_ms = now_boot(c);
    buf_init(&call->error_body, STREAM_ERROR_BODY_MAX);
    call->next = c->calls;
    if (c->calls != NULL) {
        c->calls->prev = call;
    }
    c->calls = call;
    if (++c->ncalls > K8S_CALLS_MAX) {
        (void)error_set(&err, ERR_TOO_LARGE, "more than %d calls to the API server at once", K8S_CALLS_MAX);
        fail_soon(call, &err);
    } else if (!copy_request(call, r, &err)) {
        fail_soon(call, &err);
    } else {
        attempt(call);
    }
    return call;
}

/* ---- the client ---- */

static bool open_client(struct k8s_client *c, struct error *err) {
    struct http_client_options o;
    struct k8s_identity id = {.ca_pem = c->config->ca_pem,
                              .client_cert_pem = c->config->client_cert_pem,
                              .client_key_pem = c->config->client_key_pem};
    c->auth = k8s_auth_new(c->loop, c->config, err);
    if (c->auth == NULL) {
        return false;
    }
    http_options(c, &id, &o);
    c->http = http_client_new(c->loop, &o, err);
    return c->http != NULL;
}

struct k8s_client *k8s_client_new(const struct k8s_client_options *o, struct error *err) {
    struct k8s_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        die("out of memory");
    }
    c->loop = o->loop;
    c->clock = loop_clock(o->loop);
    c->config = o->config;
    c->may_write = o->may_write;
    c->may_write_arg = o->may_write_arg;
    c->warnings_seen = strmap_new(K8S_WARNINGS_MAX, NULL);
    struct buf agent;
    buf_init(&agent, 256);
    (void)buf_printf(&agent, "cni-iam/%s (linux/" K8S_ARCH ") %s", str_or(o->version, "0"), str_or(o->component, ""));
    c->user_agent = buf_take(&agent);
    if (!open_client(c, err)) {
        k8s_client_free(c);
        return NULL;
    }
    return c;
}

void k8s_client_free(struct k8s_client *c) {
    if (c == NULL) {
        return;
    }
    while (c->calls != NULL) {
        k8s_call_cancel(c->calls);
    }
    if (c->http != NULL) {
        http_client_free(c->http);
    }
    k8s_auth_free(c->auth);
    strmap_free(c->warnings_seen);
    free(c->user_agent);
    free(c);
}

void k8s_client_stats(const struct k8s_client *c, void (*each)(void *arg, const struct k8s_stat *s), void *arg) {
    for (size_t i = 0; i < c->stats.count; i++) {
        each(arg, &c->stats.rows[i]);
    }
}

struct loop *k8s_client_loop(const struct k8s_client *c) {
    return c->loop;
}

const struct k8s_config *k8s_client_config(const struct k8s_client *c) {
    return c->config;
}
