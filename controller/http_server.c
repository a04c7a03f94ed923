#include "controller/http_server.h"

#include <errno.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/listener.h"
#include "platform/base/str.h"

#define PIECE ((size_t)16384)
#define SEND_BUFFER_BYTES                                                                                              \
    (128 * 1024) /* what the kernel holds for a peer that does not read; it grows to megabytes by itself */
#define ACCEPTS_PER_TURN 16
#define NO_DESCRIPTORS_PAUSE_MS 200

struct connection {
    struct http_server *server;
    struct connection *older, *newer;
    struct lws *wsi; /* NULL until libwebsockets has it */
    uint64_t deadline;
    bool leaving;
    struct buf page;
    size_t sent;
};

struct http_server {
    struct loop *loop;
    struct clock clock;
    struct lws_vhost *vhost;
    const struct http_route *routes;
    size_t nroutes;
    int listen_fd, port;
    struct loop_fd *watch;
    uint64_t pause;
    struct connection *oldest, *newest;
    int clients; /* that are not leaving */
};

/* --- connections --- */

static void kill_connection(struct connection *c) {
    if (!c->wsi || c->leaving)
        return;
    c->leaving = true;
    c->server->clients--;
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

/* It goes before the loop turns again. */
static void kill_oldest(struct http_server *s) {
    struct connection *c = s->oldest;
    while (c && c->leaving)
        c = c->newer;
    if (c)
        kill_connection(c);
}

static void on_deadline(void *arg) {
    struct connection *c = arg;
    c->deadline = 0;
    kill_connection(c);
}

static void restart_deadline(struct connection *c) {
    struct clock *k = &c->server->clock;
    k->timer_stop(k->ctx, c->deadline);
    c->deadline = k->timer_start(k->ctx, HTTP_SERVER_REQUEST_MS, on_deadline, c);
}

static struct connection *new_connection(struct http_server *s) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->server = s;
    c->older = s->newest;
    if (s->newest)
        s->newest->newer = c;
    else
        s->oldest = c;
    s->newest = c;
    s->clients++;
    buf_init(&c->page, HTTP_SERVER_PAGE_MAX);
    restart_deadline(c);
    return c;
}

static void free_connection(struct connection *c) {
    struct http_server *s = c->server;
    if (c->older)
        c->older->newer = c->newer;
    else
        s->oldest = c->newer;
    if (c->newer)
        c->newer->older = c->older;
    else
        s->newest = c->older;
    if (!c->leaving)
        s->clients--;
    s->clock.timer_stop(s->clock.ctx, c->deadline);
    buf_done(&c->page);
    free(c);
}

/* --- one request --- */

static const struct http_route *find_route(const struct http_server *s, const char *path) {
    for (size_t i = 0; i < s->nroutes; i++)
        if (str_eq(s->routes[i].path, path))
            return &s->routes[i];
    return NULL;
}

static int completed(struct lws *wsi, struct connection *c) {
    buf_done(&c->page);
    restart_deadline(c);
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int send_headers(struct lws *wsi, int status, const char *type, size_t length) {
    static const unsigned char no_store[] = "no-store";
    unsigned char space[LWS_PRE + 2048], *start = space + LWS_PRE, *p = start, *end = space + sizeof space - 1;
    if (lws_add_http_common_headers(wsi, (unsigned)status, type, length, &p, end) ||
        lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, no_store, sizeof no_store - 1, &p, end) ||
        lws_finalize_write_http_header(wsi, start, &p, end))
        return -1;
    return 0;
}

static int send_piece(struct lws *wsi, struct connection *c) {
    unsigned char space[LWS_PRE + PIECE];
    size_t left = c->page.n - c->sent, n = left < PIECE ? left : PIECE;
    if (n == 0)
        return 0;
    memcpy(space + LWS_PRE, c->page.p + c->sent, n);
    bool last = n == left;
    if (lws_write(wsi, space + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)n)
        return -1;
    c->sent += n;
    if (last)
        return completed(wsi, c);
    lws_callback_on_writable(wsi);
    return 0;
}

static int send_page(struct lws *wsi, struct connection *c, int status, const char *type, bool head) {
    c->sent = 0;
    if (send_headers(wsi, status, type, c->page.n))
        return -1;
    if (head || c->page.n == 0)
        return completed(wsi, c);
    lws_callback_on_writable(wsi); /* one write for each time the socket can take it */
    return 0;
}

static int refuse(struct lws *wsi, struct connection *c, int status, const char *why, bool head) {
    buf_done(&c->page);
    buf_init(&c->page, HTTP_SERVER_PAGE_MAX);
    buf_puts(&c->page, why);
    return send_page(wsi, c, status, "text/plain", head);
}

static bool has_body(struct lws *wsi) {
    char length[24];
    int n = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return true;
    return n > 0 &&
           !(lws_hdr_copy(wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0 && str_eq(length, "0"));
}

static int on_request(struct http_server *s, struct lws *wsi, struct connection *c, const char *path) {
    const struct http_route *r = find_route(s, path);
    bool head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    if (!head && lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0) {
        lws_return_http_status(wsi, HTTP_STATUS_METHOD_NOT_ALLOWED, NULL);
        return -1; /* closes: what follows may be a body */
    }
    if (has_body(wsi)) {
        lws_return_http_status(wsi, HTTP_STATUS_BAD_REQUEST, NULL);
        return -1;
    }
    if (!r)
        return refuse(wsi, c, HTTP_STATUS_NOT_FOUND, "not found\n", head);
    buf_done(&c->page);
    buf_init(&c->page, HTTP_SERVER_PAGE_MAX);
    int status = r->handle(r->arg, &c->page);
    if (c->page.overflow)
        return refuse(wsi, c, HTTP_STATUS_INTERNAL_SERVER_ERROR, "the page is larger than allowed\n", head);
    return send_page(wsi, c, status, r->content_type, head);
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    struct connection *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    (void)user;
    (void)len;
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP:
        return c ? on_request(c->server, wsi, c, in) : -1;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return c ? send_piece(wsi, c) : -1;
    case LWS_CALLBACK_WSI_DESTROY:
        if (c) {
            lws_set_opaque_user_data(wsi, NULL);
            free_connection(c);
        }
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {{"pages", on_lws, 0, 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};

/* --- listening --- */

static bool is_listed(const struct http_server *s, const struct connection *c) {
    const struct connection *it = s->oldest;
    while (it && it != c)
        it = it->newer;
    return it != NULL;
}

static void adopt(struct http_server *s, int fd) {
    int send_buffer = SEND_BUFFER_BYTES;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    if (s->clients >= HTTP_SERVER_CLIENTS_MAX)
        kill_oldest(s);
    struct connection *c = new_connection(s);
    struct lws_adopt_desc how = {.vh = s->vhost, .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP, .opaque = c};
    how.fd.sockfd = fd;
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&how);
    if (wsi)
        c->wsi = wsi;
    else if (is_listed(s, c))
        free_connection(c); /* refused without WSI_DESTROY; the descriptor is closed */
}

static void on_pause_over(void *arg) {
    struct http_server *s = arg;
    s->pause = 0;
    loop_fd_set(s->watch, LOOP_READ);
}

static void on_connect(void *arg, int listen_fd, unsigned io) {
    struct http_server *s = arg;
    (void)io;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            adopt(s, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The connection stays ready: without a pause the loop would spin. */
            loop_fd_set(s->watch, 0);
            s->pause = s->clock.timer_start(s->clock.ctx, NO_DESCRIPTORS_PAUSE_MS, on_pause_over, s);
        }
        return;
    }
}

static bool open_vhost(struct http_server *s, const char *name) {
    static const struct lws_protocol_vhost_options nosniff = {.name = "x-content-type-options:", .value = "nosniff"};
    struct lws_context_creation_info info = {0};
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = protocols;
    info.vhost_name = name;
    info.server_string = "cni-iam";
    info.headers = &nosniff;
    info.keepalive_timeout = 5;
    info.timeout_secs_ah_idle = HTTP_SERVER_REQUEST_MS / 1000;
    s->vhost = lws_create_vhost(loop_lws(s->loop), &info);
    return s->vhost != NULL;
}

struct http_server *http_server_new(struct loop *l, const char *bind, const char *flag, const struct http_route *routes,
                                    size_t nroutes, struct error *err) {
    int port;
    int fd = listener_open(bind, flag, &port, err);
    if (fd < 0)
        return NULL;
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        die("out of memory");
    *s = (struct http_server){
        .loop = l, .clock = loop_clock(l), .routes = routes, .nroutes = nroutes, .listen_fd = fd, .port = port};
    if (!open_vhost(s, flag)) {
        error_set(err, ERR_IO, "%s: libwebsockets does not make a server", flag);
        close(fd);
        free(s);
        return NULL;
    }
    s->watch = loop_fd_add(l, fd, LOOP_READ, on_connect, s);
    return s;
}

int http_server_port(const struct http_server *s) {
    return s->port;
}

void http_server_free(struct http_server *s) {
    if (!s)
        return;
    s->clock.timer_stop(s->clock.ctx, s->pause);
    loop_fd_remove(s->watch);
    close(s->listen_fd);
    /* Connections may end later, with the loop: they must not look at s any more. */
    for (struct connection *c = s->oldest, *newer; c; c = newer) {
        newer = c->newer;
        if (c->wsi) {
            lws_set_opaque_user_data(c->wsi, NULL);
            kill_connection(c);
        }
        free_connection(c);
    }
    lws_vhost_destroy(s->vhost);
    free(s);
}
