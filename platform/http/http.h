/*
 * http.h - HTTP client over libcurl's multi interface on the event loop.
 *
 * Model: a client (one per trust domain: the API server, AWS, link-local metadata) holds TLS and proxy settings; a
 * request is one transfer. Bodies are delivered whole (http_done) or, for watches, in pieces (on_data). No redirects,
 * no cookies, no netrc, http and https only. https is demanded unless the host is loopback, link-local or the client's
 * allow_plain_http says so (K-A6). Requests that change something use a fresh connection, so that curl never sends one
 * twice by itself (loop.md 2). Headers that hold a secret are given as struct secret and never logged.
 *
 * Ownership: http_client_new/_free; request structs are borrowed for the call; the response is lent to the callback.
 * Errors: ERR_UNREACHABLE (surely not sent), ERR_LOST / ERR_TIMEOUT (sent, outcome unknown), ERR_TOO_LARGE, ERR_INVALID
 * (URL, scheme). An HTTP status of any kind is an answer, not an error: error code ERR_NONE, status set; classes are
 * the callers'. Bounds: HTTP_HEADER_MAX bytes of headers, max_body bytes of body, total deadline for each request,
 * HTTP_REQUESTS_MAX requests in flight.
 *
 * TLS 1.2 at least. HTTP/1.1 throughout: a watch has a connection of its own, the kernel's flow control, and no stream
 * takes others with it (K-T8). Every connection has keepalives and TCP_USER_TIMEOUT, so that a half-open path is found
 * in at most 45 s (K-T1). No Accept-Encoding is sent (K-G1). Proxies: proxy.h.
 */
#ifndef CNI_IAM_HTTP_HTTP_H
#define CNI_IAM_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/secret.h"
#include "platform/os/loop.h"

#define HTTP_HEADER_MAX ((size_t)64 * 1024)
#define HTTP_BODY_MAX ((size_t)32 * 1024 * 1024)
#define HTTP_CONNECT_TIMEOUT_MS 10000
#define HTTP_REQUESTS_MAX 256

struct http_client;
struct http_request; /* in flight */

struct http_client_options {
    const char *ca_pem; /* PEM bundle text; only these are trusted then (CAPATH off); NULL: the system's */
    const struct secret *client_cert_pem; /* NULL: none */
    const struct secret *client_key_pem;
    const char *tls_server_name; /* SNI and certificate name instead of the URL's host; NULL: the host */
    bool insecure_skip_verify;
    bool allow_plain_http; /* "the user says so" */
    const char
        *proxy_url; /* NULL: HTTPS_PROXY/HTTP_PROXY/NO_PROXY of the environment; "": never; else for every host */
    const char *user_agent;
    int connect_timeout_ms; /* 0: HTTP_CONNECT_TIMEOUT_MS */
};
struct http_client *http_client_new(struct loop *l, const struct http_client_options *o, struct error *err);
void http_client_free(
    struct http_client *c); /* cancels what is in flight, without callbacks; may be called inside one */
/* Replaces TLS identity or CA (rotation): new connections use it, pooled ones are dropped. */
bool http_client_reconfigure(struct http_client *c, const struct http_client_options *o, struct error *err);

struct http_header {
    const char *name;
    const char *value;
    const struct secret *secret_value; /* instead of value: sent, never logged */
};

struct http_response {
    int status;
    const char *body; /* NUL-terminated after body_len; NULL for streams */
    size_t body_len;
    struct error error;
    const char *(*header)(const struct http_response *r,
                          const char *name); /* first value, NULL if absent; case-insensitive */
    const void *headers_;
    bool resent; /* a pooled connection died before the answer and curl sent it again (never what changes something) */
};

typedef void (*http_done_fn)(void *arg, const struct http_response *r);

struct http_call {
    const char *method; /* "GET" ... */
    const char *url;    /* absolute, already encoded; sent as is (CURLOPT_PATH_AS_IS) */
    const struct http_header *headers;
    size_t nheaders;
    const char *body; /* NULL: none */
    size_t body_len;
    bool changes_something; /* fresh connection, never resent */
    bool secret_body;       /* (bodies are always wiped after use and never logged) */
    size_t max_body;        /* 0: HTTP_BODY_MAX */
    int64_t deadline_ms;    /* whole transfer; 0: 40 s. For streams: the hard deadline of the watch */
    bool probe_half_open;   /* keepalive 15/5/3 s and TCP_USER_TIMEOUT 30 s (K-T1): all connections have it by now */
    /* Streams only (all NULL for whole bodies): */
    void (*on_headers)(void *arg, const struct http_response *r); /* final header block; body NULL */
    bool (*on_data)(void *arg, const char *p, size_t n);          /* false: end the transfer (ERR_CANCELLED in done) */
};

/* done is called exactly once, from the loop, never from inside; NULL with *err set: not started, done is not called.
 */
struct http_request *http_start(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg,
                                struct error *err);
void http_cancel(struct http_request *r); /* no callback any more; NULL is fine */

/* "https://[::1]:6443/a" -> parts in the arena. ERR_INVALID with what is wrong. */
struct url {
    const char *scheme, *host, *path; /* host without brackets; path with query, "/" at least */
    int port;                         /* the scheme's default if none */
    bool has_userinfo;
};
bool url_parse(const char *text, struct url *out, struct arena *a, struct error *err);
bool url_host_is_local(const char *host); /* loopback, localhost, 169.254.0.0/16, fe80::/10, fd00:ec2::/32 */

/* Another network under all clients (docs/adr/0004); NULL: the real one. The table's functions keep the promises of the ones
 * above, with structs of their own behind the opaque pointers. Not while a client is alive. */
struct http_transport {
    struct http_client *(*client_new)(void);
    void (*client_free)(struct http_client *c);
    struct http_request *(*start)(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg,
                                  struct error *err);
    void (*cancel)(struct http_request *r);
};
void http_use(const struct http_transport *t); /* lent until the next call */

/* Retry-After in whole seconds or as an HTTP date -> ms (0 if absent or garbage; capped at 5 minutes). */
int http_retry_after_ms(const struct http_response *r, int64_t now_wall_ms);

#endif
