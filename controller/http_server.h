/*
 * http_server.h - small pages over libwebsockets: health, readiness, metrics.
 *
 * Model: a table of paths; a handler renders its whole answer. GET and HEAD only; another path is 404, another method
 * 405, a request with a body is refused. We listen ourselves and hand accepted connections to libwebsockets: its own
 * listener takes every address, IPv4 and IPv6, when asked for one that it cannot find, and does not say so
 * (docs/adr/0002). Too many connections: the oldest gives way, so that slow or silent peers cannot keep a probe out.
 * Ownership: http_server_new/_free (before loop_free); routes are borrowed and must outlive it.
 * Errors: ERR_INVALID (not an address), ERR_IO (busy port, address of another machine, not allowed); messages name the
 * flag. Bounds: HTTP_SERVER_PAGE_MAX bytes an answer, HTTP_SERVER_CLIENTS_MAX connections, HTTP_SERVER_REQUEST_MS from
 * the connection (or the last answer on it) to the end of the answer, 4 KiB of request headers (libwebsockets' limit).
 */
#ifndef CNI_IAM_CONTROLLER_HTTP_SERVER_H
#define CNI_IAM_CONTROLLER_HTTP_SERVER_H

#include <stddef.h>

#include "platform/base/buf.h"
#include "platform/base/error.h"
#include "platform/os/loop.h"

#define HTTP_SERVER_PAGE_MAX ((size_t)1024 * 1024)
#define HTTP_SERVER_CLIENTS_MAX 64
#define HTTP_SERVER_REQUEST_MS 10000

struct http_route {
    const char *path;
    /* Appends the page to `out`; returns the HTTP status. */
    int (*handle)(void *arg, struct buf *out);
    void *arg;
    const char *content_type;
};

struct http_server;
/* bind: "127.0.0.1:9809", "[::1]:8081", "localhost:8081" (127.0.0.1), ":8081" (every address); port 0: any free one.
 * flag names the option in error messages. */
struct http_server *http_server_new(struct loop *l, const char *bind, const char *flag, const struct http_route *routes,
                                    size_t nroutes, struct error *err);
void http_server_free(struct http_server *s);
int http_server_port(const struct http_server *s); /* the port that is bound */

#endif
