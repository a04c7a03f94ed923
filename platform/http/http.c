/* http.c - clients and the life of a request on the loop. Options: http_easy.c. */
#include "platform/http/http.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/http/http_internal.h"

#define CONNECTIONS_CACHED_MAX 16L

static const struct http_transport *transport; /* NULL: the real network */
static int alive;

void http_use(const struct http_transport *t) {
    if (t == transport)
        return;
    if (alive)
        die("the network can not change under a client");
    transport = t;
}

/* --- the end of a request --- */

static void unlink_request(struct http_request *r) {
    if (r->prev)
        r->prev->next = r->next;
    else
        r->client->requests = r->next;
    if (r->next)
        r->next->prev = r->prev;
    r->client->nrequests--;
}

static void wipe_list(struct curl_slist *l) {
    for (struct curl_slist *it = l; it; it = it->next)
        explicit_bzero(it->data, strlen(it->data));
    curl_slist_free_all(l);
}

static void free_request(struct http_request *r) {
    if (r->easy) {
        curl_multi_remove_handle(r->client->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    unlink_request(r);
    wipe_list(r->header_list);
    curl_slist_free_all(r->connect_to);
    if (r->request_body)
        explicit_bzero(r->request_body, r->request_body_n);
    free(r->request_body);
    free(r->method);
    headers_done(&r->headers);
    buf_done_secret(&r->body);
    free(r);
}

/* First whether the request went out at all, then what became of it: curl's codes alone do not tell ("Received
 * HTTP/0.9" after junk has the code of an unsupported protocol). */
static void classify(struct http_request *r, CURLcode rc, struct error *err) {
    const char *text = r->curl_error[0] ? r->curl_error : curl_easy_strerror(rc);
    error_clear(err);
    if (rc == CURLE_OK && r->headers.complete)
        return;
    if (rc == CURLE_OK) /* curl takes an answer that is cut inside its header lines for a whole one */
        text = "it ended inside its headers";
    if (r->too_large)
        error_set(err, ERR_TOO_LARGE, "the answer is larger than allowed");
    else if (r->ended_by_us)
        error_set(err, ERR_CANCELLED, "ended by us");
    else if (r->sends == 0)
        error_set(err, ERR_UNREACHABLE, "not sent: %s", text);
    else if (rc == CURLE_OPERATION_TIMEDOUT)
        error_set(err, ERR_TIMEOUT, "no whole answer in time: %s", text);
    else
        error_set(err, ERR_LOST, "the answer was lost: %s", text);
}

static void finish(struct http_request *r, CURLcode rc) {
    struct http_response response;
    http_fill_response(r, &response);
    classify(r, rc, &response.error);
    response.error.http_status = response.status;
    if (!r->stream) {
        response.body = buf_str(&r->body);
        response.body_len = r->body.n;
    }
    r->finishing = true;
    if (!r->cancelled)
        r->done(r->arg, &response);
    free_request(r);
}

static void drain(struct http_client *c) {
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(c->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct http_request *r = NULL;
        CURLcode rc = m->data.result; /* the message dies with the handle */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r);
        finish(r, rc);
    }
}

/* Requests that were cancelled or made inside a callback of curl, where handles may be neither removed nor added. */
static void sweep(struct http_client *c) {
    for (struct http_request *r = c->requests, *next; r; r = next) {
        next = r->next;
        if (r->cancelled) {
            free_request(r);
        } else if (r->waiting) {
            r->waiting = false;
            if (curl_multi_add_handle(c->multi, r->easy) != CURLM_OK)
                die("curl does not take a request");
        }
    }
}

static void free_options(struct http_client *c) {
    free(c->ca_pem);
    free(c->tls_server_name);
    free(c->proxy_url);
    free(c->user_agent);
    secret_free(c->cert);
    secret_free(c->key);
}

static void cancel_all(struct http_client *c) {
    for (struct http_request *r = c->requests; r; r = r->next)
        r->cancelled = true;
}

static void destroy(struct http_client *c) {
    cancel_all(c);
    sweep(c);
    curl_multi_cleanup(c->multi); /* may still call the socket and timer functions */
    c->clock.timer_stop(c->clock.ctx, c->timer);
    free_options(c);
    free(c);
    alive--;
}

static void act(struct http_client *c, curl_socket_t fd, int mask) {
    int running;
    c->acting = c->in_curl = true;
    curl_multi_socket_action(c->multi, fd, mask, &running);
    c->in_curl = false;
    drain(c);
    sweep(c);
    c->acting = false;
    if (c->dying)
        destroy(c);
}

/* --- curl on the loop --- */

static void on_io(void *arg, int fd, unsigned io) {
    int mask = (io & LOOP_READ ? CURL_CSELECT_IN : 0) | (io & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
    if (io & LOOP_ERROR)
        mask |= CURL_CSELECT_IN | CURL_CSELECT_OUT;
    act(arg, fd, mask);
}

static int on_socket_change(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg) {
    struct http_client *c = arg;
    struct loop_fd *w = socket_arg;
    unsigned io = (what & CURL_POLL_IN ? (unsigned)LOOP_READ : 0u) | (what & CURL_POLL_OUT ? (unsigned)LOOP_WRITE : 0u);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            loop_fd_remove(w);
        curl_multi_assign(c->multi, fd, NULL);
    } else if (w) {
        loop_fd_set(w, io);
    } else {
        curl_multi_assign(c->multi, fd, loop_fd_add(c->loop, fd, io, on_io, c));
    }
    return 0;
}

static void on_timer(void *arg) {
    struct http_client *c = arg;
    c->timer = 0;
    act(c, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_change(CURLM *multi, long timeout_ms, void *arg) {
    struct http_client *c = arg;
    (void)multi;
    c->clock.timer_stop(c->clock.ctx, c->timer);
    c->timer = timeout_ms < 0 ? 0 : c->clock.timer_start(c->clock.ctx, timeout_ms, on_timer, c);
    return 0;
}

/* --- clients --- */

static char *copy(const char *s) {
    char *c = s ? strdup(s) : NULL;
    if (s && !c)
        die("out of memory");
    return c;
}

static void take_options(struct http_client *c, const struct http_client_options *o) {
    c->ca_pem = copy(o->ca_pem);
    c->tls_server_name = copy(str_empty(o->tls_server_name) ? NULL : o->tls_server_name);
    c->proxy_url = copy(o->proxy_url);
    c->user_agent = copy(o->user_agent);
    c->cert = secret_dup(o->client_cert_pem);
    c->key = secret_dup(o->client_key_pem);
    c->insecure_skip_verify = o->insecure_skip_verify;
    c->allow_plain_http = o->allow_plain_http;
    c->connect_timeout_ms = o->connect_timeout_ms;
}

static bool valid_options(const struct http_client_options *o, struct error *err) {
    error_clear(err);
    if (!o->client_cert_pem != !o->client_key_pem)
        return error_set(err, ERR_INVALID, "a client certificate needs its key, and a key its certificate");
    if (!str_empty(o->tls_server_name) && !url_host_is_valid(o->tls_server_name))
        return error_set(err, ERR_INVALID, "\"%.100s\" is no TLS server name", o->tls_server_name);
    return true;
}

static void init_curl_once(void) {
    static bool done;
    if (!done && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        die("libcurl does not start");
    done = true;
}

struct http_client *http_client_new(struct loop *l, const struct http_client_options *o, struct error *err) {
    if (!valid_options(o, err))
        return NULL;
    alive++;
    if (transport)
        return transport->client_new();
    init_curl_once();
    struct http_client *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->loop = l;
    c->clock = loop_clock(l);
    take_options(c, o);
    c->multi = curl_multi_init();
    if (!c->multi)
        die("out of memory");
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_CACHED_MAX);
    return c;
}

void http_client_free(struct http_client *c) {
    if (!c)
        return;
    if (transport) {
        transport->client_free(c);
        alive--;
        return;
    }
    if (!c->acting) {
        destroy(c);
        return;
    }
    c->dying = true;
    cancel_all(c);
}

bool http_client_reconfigure(struct http_client *c, const struct http_client_options *o, struct error *err) {
    /* Pooled connections are keyed by their TLS settings, blobs included: a changed one is never reused. */
    if (!valid_options(o, err))
        return false;
    if (transport)
        return true; /* nobody shows a certificate there */
    struct http_client old = *c;
    take_options(c, o);
    free_options(&old);
    return true;
}

/* --- requests --- */

static struct http_request *new_request(struct http_client *c, const struct http_call *call, http_done_fn done,
                                        void *arg) {
    struct http_request *r = calloc(1, sizeof *r);
    if (!r)
        die("out of memory");
    r->client = c;
    r->stream = call->on_data != NULL;
    r->changes_something = call->changes_something;
    r->max_body = call->max_body ? call->max_body : HTTP_BODY_MAX;
    r->done = done;
    r->on_headers = call->on_headers;
    r->on_data = call->on_data;
    r->arg = arg;
    buf_init(&r->body, r->max_body);
    r->next = c->requests;
    if (c->requests)
        c->requests->prev = r;
    c->requests = r;
    c->nrequests++;
    return r;
}

struct http_request *http_start(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg,
                                struct error *err) {
    error_clear(err);
    if (transport)
        return transport->start(c, call, done, arg, err);
    if (c->dying)
        return error_set(err, ERR_CANCELLED, "the client is being closed"), NULL;
    if (c->nrequests >= HTTP_REQUESTS_MAX)
        return error_set(err, ERR_TOO_LARGE, "more than %d requests at once", HTTP_REQUESTS_MAX), NULL;
    struct http_request *r = new_request(c, call, done, arg);
    if (http_easy_make(r, call, err)) {
        r->waiting = c->in_curl;
        CURLMcode rc = c->in_curl ? CURLM_OK : curl_multi_add_handle(c->multi, r->easy);
        if (rc == CURLM_OK)
            return r;
        error_set(err, ERR_INTERNAL, "curl does not take the request: %s", curl_multi_strerror(rc));
    }
    free_request(r);
    return NULL;
}

void http_cancel(struct http_request *r) {
    if (r && transport) {
        transport->cancel(r);
        return;
    }
    if (!r || r->finishing)
        return;
    r->cancelled = true;
    if (!r->client->in_curl)
        free_request(r);
}

int http_retry_after_ms(const struct http_response *r, int64_t now_wall_ms) {
    return headers_retry_after_ms(r->header ? r->header(r, "Retry-After") : NULL, now_wall_ms);
}
