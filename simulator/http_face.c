/* http_face.c - listener, connections, answers and streams. */
#include "simulator/http_face.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/base/arena.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"
#include "simulator/http_request_parser.h"

#define BACKLOG 128
#define PIECE ((size_t)64 * 1024)
#define COMPACT_AT ((size_t)256 * 1024) /* sent bytes are dropped from the buffer's front in steps of this */

struct sim_face_stream { /* a connection */
    struct sim_face *face;
    int fd;
    struct sim_tls_link *tls; /* NULL: plain */
    struct loop_fd *watch;
    struct buf in, out;
    size_t sent;
    uint64_t deadline;
    uint64_t used_at; /* the face's count of requests: who has been idle longest */
    bool greeting;    /* TLS' handshake is not over */
    bool continued, closing, streaming, doomed;
    void (*on_gone)(void *arg);
    void *on_gone_arg;
};

struct sim_face {
    struct loop *loop;
    struct clock clock;
    struct sim_face_handler handler;
    struct sim_tls *tls;
    int fd, port;
    char url[32];
    struct loop_fd *watch;
    struct sim_face_stream *connections[SIM_FACE_CONNECTIONS_MAX];
    size_t n;
    uint64_t requests;
    struct arena *arena; /* of the request that is handled */
};

/* --- connections --- */

static void no_deadline(struct sim_face_stream *c) {
    c->face->clock.timer_stop(c->face->clock.ctx, c->deadline);
    c->deadline = 0;
}

static void connection_close(struct sim_face_stream *c) {
    struct sim_face *f = c->face;
    if (c->streaming)
        c->on_gone(c->on_gone_arg);
    no_deadline(c);
    loop_fd_remove(c->watch);
    sim_tls_end(c->tls);
    close(c->fd);
    buf_done(&c->in);
    buf_done(&c->out);
    for (size_t i = 0; i < f->n; i++)
        if (f->connections[i] == c)
            f->connections[i] = f->connections[--f->n];
    free(c);
}

/* Not here and now: whoever writes to the stream may be in the middle of something. The socket's end wakes the loop. */
static void doom(struct sim_face_stream *c) {
    c->doomed = true;
    shutdown(c->fd, SHUT_RDWR);
    loop_fd_set(c->watch, LOOP_READ | LOOP_WRITE);
}

static void on_deadline(void *arg) {
    struct sim_face_stream *c = arg;
    c->deadline = 0;
    connection_close(c);
}

static size_t pending(const struct sim_face_stream *c) {
    return c->out.n - c->sent;
}

/* --- answers --- */

static const char *phrase(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return status < 400 ? "OK" : "Error";
    }
}

static void put_answer(struct sim_face_stream *c, const struct sim_http_answer *a, bool with_body) {
    buf_printf(&c->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", a->status, phrase(a->status),
               str_or(a->content_type, "text/plain"), a->body ? a->body_len : 0);
    if (a->retry_after_s > 0)
        buf_printf(&c->out, "Retry-After: %d\r\n", a->retry_after_s);
    if (a->error_type)
        buf_printf(&c->out, "x-amzn-ErrorType: %s\r\n", a->error_type);
    buf_printf(&c->out, "%s\r\n", c->closing ? "Connection: close\r\n" : "");
    if (with_body && a->body && a->body_len > 0)
        buf_append(&c->out, a->body, a->body_len);
    if (c->out.overflow)
        doom(c);
}

static void refuse(struct sim_face_stream *c, const struct sim_http_parsed *parsed) {
    char text[160];
    snprintf(text, sizeof text, "%s\n", parsed->why);
    c->closing = true;
    put_answer(c, &(struct sim_http_answer){.status = parsed->status, .body = text, .body_len = strlen(text)}, true);
}

static void handle(struct sim_face_stream *c, const struct sim_http_request *req) {
    struct sim_http_answer answer = {.status = 500};
    c->face->handler.handle(c->face->handler.arg, req, c, &answer);
    if (!c->streaming)
        put_answer(c, &answer, !str_eq(req->method, "HEAD"));
    free(answer.body);
}

/* --- streams --- */

void sim_face_stream_open(struct sim_face_stream *s, const char *content_type, void (*on_gone)(void *arg), void *arg) {
    s->streaming = true;
    s->on_gone = on_gone;
    s->on_gone_arg = arg;
    buf_printf(&s->out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n", content_type,
               s->closing ? "Connection: close\r\n" : "");
}

void sim_face_stream_line(struct sim_face_stream *s, const char *line, size_t len) {
    if (s->doomed)
        return;
    if (pending(s) + len > SIM_FACE_STREAM_MAX) {
        doom(s);
        return;
    }
    buf_printf(&s->out, "%zx\r\n", len + 1);
    buf_append(&s->out, line, len);
    buf_puts(&s->out, "\n\r\n");
    loop_fd_set(s->watch, LOOP_READ | LOOP_WRITE);
}

void sim_face_stream_end(struct sim_face_stream *s) {
    s->streaming = false;
    if (s->doomed)
        return;
    buf_puts(&s->out, "0\r\n\r\n");
    loop_fd_set(s->watch, LOOP_READ | LOOP_WRITE);
}

/* --- reading and writing --- */

static void on_incomplete(struct sim_face_stream *c, const struct sim_http_parsed *parsed) {
    struct clock *k = &c->face->clock;
    if (parsed->expects_continue && !c->continued) {
        c->continued = true;
        buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    if (!c->deadline && c->in.n > 0)
        c->deadline = k->timer_start(k->ctx, SIM_FACE_REQUEST_MS, on_deadline, c);
}

/* One request of those that were read; false: there is none, or there shall be no more. */
static bool serve_one(struct sim_face_stream *c) {
    struct sim_http_parsed parsed;
    struct sim_face *f = c->face;
    arena_reset(f->arena);
    enum sim_http_parse r = sim_http_request_parse(buf_str(&c->in), c->in.n, f->arena, &parsed);
    if (r == SIM_HTTP_MORE) {
        on_incomplete(c, &parsed);
        return false;
    }
    no_deadline(c);
    c->continued = false;
    c->used_at = ++f->requests;
    if (r == SIM_HTTP_BAD) {
        refuse(c, &parsed);
        return false;
    }
    c->closing = parsed.close;
    handle(c, &parsed.request);
    buf_drop_front(&c->in, parsed.used);
    return !c->closing;
}

static bool is_passing(int e) {
    return e == EAGAIN || e == EINTR;
}

/* Both: bytes; 0: not now; -1: the connection is over. */
static ssize_t socket_send(const struct sim_face_stream *c, const char *p, size_t n) {
    if (c->tls)
        return sim_tls_send(c->tls, p, n);
    ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 && is_passing(errno) ? 0 : sent;
}

static ssize_t socket_receive(const struct sim_face_stream *c, char *to, size_t room) {
    if (c->tls)
        return sim_tls_receive(c->tls, to, room);
    ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
    if (n == 0)
        return -1;
    return n < 0 && is_passing(errno) ? 0 : n;
}

/* false: the connection is broken. */
static bool send_pending(struct sim_face_stream *c) {
    while (pending(c) > 0) {
        ssize_t n = socket_send(c, c->out.p + c->sent, pending(c));
        if (n <= 0)
            return n == 0;
        c->sent += (size_t)n;
        if (c->sent >= COMPACT_AT || pending(c) == 0) {
            buf_drop_front(&c->out, c->sent);
            c->sent = 0;
        }
    }
    return true;
}

/* false: the client has ended, or sends behind a stream what nobody will read. */
static bool receive(struct sim_face_stream *c) {
    char piece[PIECE];
    ssize_t n = socket_receive(c, piece, sizeof piece);
    if (c->greeting && n >= 0 && sim_tls_is_ready(c->tls)) {
        c->greeting = false;
        no_deadline(c);
    }
    return n == 0 || (n > 0 && !c->streaming && buf_append(&c->in, piece, (size_t)n));
}

/* While an answer waits to be read, so do the requests behind it. */
static bool wants_input(const struct sim_face_stream *c) {
    return c->streaming || pending(c) == 0;
}

static unsigned waits_for(const struct sim_face_stream *c) {
    return (wants_input(c) ? (unsigned)LOOP_READ : 0u) | (pending(c) > 0 ? (unsigned)LOOP_WRITE : 0u) |
           (c->tls ? sim_tls_waits_for(c->tls) : 0u);
}

static void on_connection(void *arg, int fd, unsigned io) {
    struct sim_face_stream *c = arg;
    bool alive = !c->doomed;
    (void)fd;
    if (alive && wants_input(c) && ((io & LOOP_READ) || c->tls))
        alive = receive(c);
    else if (io & LOOP_ERROR)
        alive = false;
    alive = alive && send_pending(c);
    while (alive && !c->doomed && pending(c) == 0 && !c->streaming && !c->closing && serve_one(c))
        alive = send_pending(c);
    alive = alive && !c->doomed && send_pending(c);
    if (!alive || (c->closing && !c->streaming && pending(c) == 0)) {
        connection_close(c);
        return;
    }
    loop_fd_set(c->watch, waits_for(c));
}

static struct sim_face_stream *longest_idle(const struct sim_face *f) {
    struct sim_face_stream *found = NULL;
    for (size_t i = 0; i < f->n; i++) {
        struct sim_face_stream *c = f->connections[i];
        if (!c->streaming && pending(c) == 0 && (!found || c->used_at < found->used_at))
            found = c;
    }
    return found;
}

static void on_listener(void *arg, int fd, unsigned io) {
    struct sim_face *f = arg;
    int one = 1;
    (void)io;
    int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (s < 0)
        return;
    struct sim_face_stream *idle = f->n == SIM_FACE_CONNECTIONS_MAX ? longest_idle(f) : NULL;
    if (idle)
        connection_close(idle);
    struct sim_face_stream *c = f->n < SIM_FACE_CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(s);
        return;
    }
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *c = (struct sim_face_stream){.face = f, .fd = s, .used_at = ++f->requests};
    buf_init(&c->in, SIM_HTTP_REQUEST_MAX + PIECE);
    buf_init(&c->out, SIM_FACE_ANSWER_MAX);
    f->connections[f->n++] = c;
    c->watch = loop_fd_add(f->loop, s, LOOP_READ, on_connection, c);
    if (f->tls) {
        c->tls = sim_tls_accept(f->tls, s);
        c->greeting = true;
        c->deadline = f->clock.timer_start(f->clock.ctx, SIM_FACE_REQUEST_MS, on_deadline, c);
    }
}

/* --- life --- */

static bool listen_on(struct sim_face *f, int port, struct error *err) {
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int one = 1;
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->fd < 0)
        return error_set(err, ERR_IO, "no socket: %s", strerror(errno));
    setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(f->fd, (const struct sockaddr *)(const void *)&at, sizeof at) < 0 || listen(f->fd, BACKLOG) < 0)
        return error_set(err, ERR_IO, "127.0.0.1:%d can not be listened on: %s; %s", port, strerror(errno),
                         port ? "name another port, or 0 for any that is free" : "is there a loopback interface?");
    getsockname(f->fd, (struct sockaddr *)(void *)&at, &len);
    f->port = ntohs(at.sin_port);
    snprintf(f->url, sizeof f->url, "%s://127.0.0.1:%d", f->tls ? "https" : "http", f->port);
    return true;
}

struct sim_face *sim_face_new(struct loop *l, int port, struct sim_tls *tls, struct sim_face_handler h,
                              struct error *err) {
    struct sim_face *f = calloc(1, sizeof *f);
    if (!f)
        die("out of memory: face");
    *f = (struct sim_face){.loop = l, .clock = loop_clock(l), .handler = h, .tls = tls, .fd = -1};
    f->arena = arena_new(PIECE);
    if (!listen_on(f, port, err)) {
        sim_face_free(f);
        return NULL;
    }
    f->watch = loop_fd_add(l, f->fd, LOOP_READ, on_listener, f);
    return f;
}

void sim_face_free(struct sim_face *f) {
    if (!f)
        return;
    while (f->n > 0)
        connection_close(f->connections[f->n - 1]);
    loop_fd_remove(f->watch);
    if (f->fd >= 0)
        close(f->fd);
    arena_free(f->arena);
    free(f);
}

int sim_face_port(const struct sim_face *f) {
    return f->port;
}

const char *sim_face_url(const struct sim_face *f) {
    return f->url;
}
