/*
 * http_server.h - small pages over libwebsockets: health, readiness, metrics.
 *
 * Model: a table of paths; a handler renders its whole answer. GET and HEAD only; everything else is 404 or 405. Bound exactly where asked: an IPv4
 * address is bound as IPv4 only, because libwebsockets would take every address otherwise; a busy port is an error, not a retry.
 * Ownership: http_server_new/_free; routes are borrowed and must outlive it.
 * Errors: ERR_INVALID (address), ERR_IO (busy port, address of another machine).
 * Bounds: HTTP_SERVER_PAGE_MAX bytes an answer, HTTP_SERVER_CLIENTS_MAX connections, 10 s for a request's headers.
 */
#ifndef CNI_IAM_CONTROLLER_HTTP_SERVER_H
#define CNI_IAM_CONTROLLER_HTTP_SERVER_H

#include <stddef.h>

#include "platform/base/buf.h"
#include "platform/base/error.h"
#include "platform/os/loop.h"

#define HTTP_SERVER_PAGE_MAX ((size_t)1024 * 1024)
#define HTTP_SERVER_CLIENTS_MAX 64

struct http_route {
    const char *path;
    /* Appends the page to `out`; returns the HTTP status. */
    int (*handle)(void *arg, struct buf *out);
    void *arg;
    const char *content_type;
};

struct http_server;
/* bind: "127.0.0.1:9809", ":8081", "[::1]:8081". flag names the option in error messages. */
struct http_server *http_server_new(struct loop *l, const char *bind, const char *flag, const struct http_route *routes, size_t nroutes,
                                    struct error *err);
void http_server_free(struct http_server *s);
int http_server_port(const struct http_server *s);

#endif
