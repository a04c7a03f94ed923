#include "controller/http_server.h"

#include <arpa/inet.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"

#define PIECE ((size_t)16384)

struct http_server {
    struct lws_vhost *vhost;
    const struct http_route *routes;
    size_t nroutes;
    char name[64];
    int clients;
};

struct connection {
    struct buf page;
    size_t sent;
    bool counted;
};

static const struct http_route *find_route(const struct http_server *s, const char *path)
{
    for (size_t i = 0; i < s->nroutes; i++)
        if (str_eq(s->routes[i].path, path))
            return &s->routes[i];
    return NULL;
}

static int send_headers(struct lws *wsi, int status, const char *type, size_t length)
{
    unsigned char space[LWS_PRE + 2048], *start = space + LWS_PRE, *p = start, *end = space + sizeof space - 1;
    if (lws_add_http_common_headers(wsi, (unsigned)status, type, length, &p, end) || lws_finalize_write_http_header(wsi, start, &p, end))
        return -1;
    return 0;
}

static int refuse(struct lws *wsi, int status)
{
    if (lws_return_http_status(wsi, (unsigned)status, NULL) || lws_http_transaction_completed(wsi))
        return -1;
    return 0;
}

static int on_request(struct http_server *s, struct lws *wsi, struct connection *c, const char *path)
{
    const struct http_route *r = find_route(s, path);
    bool head = false;
#if defined(LWS_WITH_HTTP_UNCOMMON_HEADERS)
    head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
#endif
    if (!head && lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0)
        return refuse(wsi, HTTP_STATUS_METHOD_NOT_ALLOWED);
    if (!r)
        return refuse(wsi, HTTP_STATUS_NOT_FOUND);
    buf_done(&c->page);
    buf_init(&c->page, HTTP_SERVER_PAGE_MAX);
    c->sent = 0;
    int status = r->handle(r->arg, &c->page);
    if (c->page.overflow)
        return refuse(wsi, HTTP_STATUS_INTERNAL_SERVER_ERROR);
    if (send_headers(wsi, status, r->content_type, c->page.n))
        return -1;
    if (head || c->page.n == 0)
        return lws_http_transaction_completed(wsi) ? -1 : 0;
    lws_callback_on_writable(wsi);
    return 0;
}

static int on_writable(struct lws *wsi, struct connection *c)
{
    unsigned char space[LWS_PRE + PIECE];
    size_t left = c->page.n - c->sent, n = left < PIECE ? left : PIECE;
    if (n == 0)
        return 0;
    memcpy(space + LWS_PRE, c->page.p + c->sent, n);
    bool last = n == left;
    if (lws_write(wsi, space + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)n)
        return -1;
    c->sent += n;
    if (!last) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct lws_vhost *vhost = lws_get_vhost(wsi);
    struct http_server *s = vhost ? lws_get_vhost_user(vhost) : NULL;
    struct connection *c = user;
    (void)len;
    switch ((int)reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return s && s->clients >= HTTP_SERVER_CLIENTS_MAX;
    case LWS_CALLBACK_HTTP_BIND_PROTOCOL:
        if (c && !c->counted) {
            buf_init(&c->page, HTTP_SERVER_PAGE_MAX);
            c->counted = true;
            s->clients++;
        }
        return 0;
    case LWS_CALLBACK_HTTP:
        return c ? on_request(s, wsi, c, in) : -1;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return c ? on_writable(wsi, c) : -1;
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (c && c->counted) {
            buf_done(&c->page);
            c->counted = false;
            s->clients--;
        }
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {{"pages", on_lws, sizeof(struct connection), 0, 0, NULL, 0},
                                                 {NULL, NULL, 0, 0, 0, NULL, 0}};

/* "host:port" -> parts; host "" means every address. */
static bool split_bind(const char *bind, char host[128], int *port, const char *flag, struct error *err)
{
    const char *colon = bind ? strrchr(bind, ':') : NULL;
    int64_t value;
    if (!colon || !str_to_int64(colon + 1, &value) || value > 65535)
        return error_set(err, ERR_INVALID, "%s \"%s\": write HOST:PORT, e.g. 127.0.0.1:9809, or 0 for off", flag, str_or(bind, ""));
    size_t n = (size_t)(colon - bind);
    const char *start = bind;
    if (n >= 2 && bind[0] == '[' && bind[n - 1] == ']') {
        start++;
        n -= 2;
    }
    if (n >= 128)
        return error_set(err, ERR_INVALID, "%s: the host is too long", flag);
    memcpy(host, start, n);
    host[n] = '\0';
    *port = (int)value;
    return true;
}

struct http_server *http_server_new(struct loop *l, const char *bind, const char *flag, const struct http_route *routes, size_t nroutes,
                                    struct error *err)
{
    char host[128];
    int port;
    if (!split_bind(bind, host, &port, flag, err))
        return NULL;
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        die("out of memory");
    s->routes = routes;
    s->nroutes = nroutes;
    snprintf(s->name, sizeof s->name, "%s", flag);
    struct in_addr v4;
    struct lws_context_creation_info info = {0};
    info.port = port;
    info.iface = host[0] ? host : NULL;
    info.protocols = protocols;
    info.vhost_name = s->name;
    info.user = s;
    info.options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
    if (host[0] && inet_pton(AF_INET, host, &v4) == 1)
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6; /* else libwebsockets binds every address */
    info.keepalive_timeout = 5;
    info.timeout_secs_ah_idle = 10;
    s->vhost = lws_create_vhost(loop_lws(l), &info);
    if (!s->vhost) {
        error_set(err, ERR_IO, "%s %s can not be bound: is the port in use, or the address of another machine? choose another or 0 for off",
                  flag, bind);
        free(s);
        return NULL;
    }
    return s;
}

int http_server_port(const struct http_server *s)
{
    return lws_get_vhost_listen_port(s->vhost);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    lws_vhost_destroy(s->vhost);
    /* Connections still being closed look at s until the context is gone: it is freed with the process's last memory. */
}
