/* test_sim_face.c - the loopback server with a real socket on the other side. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/base/str.h"
#include "platform/http/http.h"
#include "simulator/http_face.h"

#define READ_MAX 65536
#define LARGE ((size_t)8 * 1024 * 1024)
#define TURNS_MAX 20000
#define TIMERS_MAX 8

static struct loop *loop;
static struct sim_face *face;
static struct sim_tls *tls;
static struct sim_face_stream *stream;
static int gone, requests;

static void on_gone(void *arg) {
    (void)arg;
    gone++;
    stream = NULL;
}

/* A byte that tells its place, so that nothing can be lost or doubled unseen. */
static char pattern(size_t i) {
    return (char)('a' + (i / 7919 + i) % 26);
}

static void handler(void *arg, const struct sim_http_request *req, struct sim_face_stream *s,
                    struct sim_http_answer *out) {
    (void)arg;
    requests++;
    if (str_eq(req->path, "/watch")) {
        stream = s;
        sim_face_stream_open(s, "application/json", on_gone, NULL);
        return;
    }
    if (str_eq(req->path, "/large")) {
        out->status = 200;
        out->body = malloc(LARGE);
        out->body_len = LARGE;
        for (size_t i = 0; i < LARGE; i++)
            out->body[i] = pattern(i);
        return;
    }
    out->status = str_eq(req->path, "/missing") ? 404 : 200;
    out->content_type = "text/plain";
    out->retry_after_s = out->status == 404 ? 7 : 0;
    if (asprintf(&out->body, "%s %s?%s [%s]", req->method, req->path, req->query, req->body) >= 0)
        out->body_len = strlen(out->body);
}

static int connect_to(const struct sim_face *f) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)sim_face_port(f)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&at, sizeof at), 0);
    return fd;
}

static void turn(int times) {
    for (int i = 0; i < times; i++)
        loop_turn(loop, 5);
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What has come by now; *ended: the server has closed. */
static const char *hear(int fd, bool *ended) {
    static char text[READ_MAX];
    size_t n = 0;
    *ended = false;
    for (int i = 0; i < 20 && !*ended && n < sizeof text - 1; i++) {
        turn(1);
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, MSG_DONTWAIT);
        *ended = got == 0 || (got < 0 && errno == ECONNRESET);
        n += got > 0 ? (size_t)got : 0;
    }
    text[n] = '\0';
    return text;
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static int begin(struct sim_tls *with) {
    struct error err;
    loop = loop_new(&err);
    assert_non_null(loop);
    face = sim_face_new(loop, 0, with, (struct sim_face_handler){NULL, handler}, &err);
    assert_non_null(face);
    gone = requests = 0;
    stream = NULL;
    return 0;
}

static int setup(void **state) {
    (void)state;
    return begin(NULL);
}

static int setup_tls(void **state) {
    struct error err;
    (void)state;
    tls = sim_tls_new(&err);
    assert_non_null(tls);
    return begin(tls);
}

static int teardown(void **state) {
    (void)state;
    sim_face_free(face);
    sim_tls_free(tls);
    tls = NULL;
    loop_free(loop);
    return 0;
}

static void test_answers(void **state) {
    bool ended;
    (void)state;
    int fd = connect_to(face);
    say(fd, "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    const char *text = hear(fd, &ended);
    assert_has(text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 19\r\n\r\nPOST /a?b=c [hello]");
    say(fd, "GET /missing HTTP/1.1\r\nHost: h\r\n\r\n"); /* the same connection */
    text = hear(fd, &ended);
    assert_has(text, "HTTP/1.1 404 Not Found");
    assert_has(text, "Retry-After: 7");
    assert_false(ended);
    say(fd, "HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    text = hear(fd, &ended);
    assert_has(text, "Connection: close\r\n\r\n");
    assert_null(strstr(text, "HEAD /x"));
    assert_true(ended);
    close(fd);
}

static void test_pipelined_in_order(void **state) {
    bool ended;
    (void)state;
    int fd = connect_to(face);
    say(fd, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r");
    const char *text = hear(fd, &ended);
    assert_true(strstr(text, "GET /1") < strstr(text, "GET /2"));
    assert_null(strstr(text, "GET /3"));
    say(fd, "\n");
    assert_has(hear(fd, &ended), "GET /3");
    close(fd);
}

static void test_continue_and_pieces(void **state) {
    bool ended;
    (void)state;
    int fd = connect_to(face);
    say(fd, "PUT /c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_string_equal(hear(fd, &ended), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "2\r\nab\r\n");
    assert_string_equal(hear(fd, &ended), "");
    say(fd, "1\r\nc\r\n0\r\n\r\n");
    assert_has(hear(fd, &ended), "PUT /c? [abc]");
    close(fd);
}

static void test_garbage(void **state) {
    bool ended;
    (void)state;
    int fd = connect_to(face);
    say(fd, "\x16\x03\x01 hello, TLS\r\n\r\n");
    assert_has(hear(fd, &ended), "HTTP/1.1 400 Bad Request");
    assert_true(ended);
    assert_int_equal(requests, 0);
    close(fd);
}

static void test_stream(void **state) {
    bool ended;
    (void)state;
    int fd = connect_to(face);
    say(fd, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_has(hear(fd, &ended), "Transfer-Encoding: chunked\r\n\r\n");
    sim_face_stream_line(stream, "{\"a\":1}", 7);
    assert_string_equal(hear(fd, &ended), "8\r\n{\"a\":1}\n\r\n");
    sim_face_stream_end(stream);
    assert_string_equal(hear(fd, &ended), "0\r\n\r\n");
    assert_int_equal(gone, 0);
    say(fd, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
    hear(fd, &ended);
    assert_non_null(stream);
    close(fd);
    turn(5);
    assert_int_equal(gone, 1);
}

/* Who does not read is disconnected, and not from inside of the write. */
static void test_slow_reader(void **state) {
    bool ended;
    char *line = malloc(1024 * 1024);
    (void)state;
    memset(line, 'x', 1024 * 1024);
    int fd = connect_to(face);
    say(fd, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
    hear(fd, &ended);
    struct sim_face_stream *s = stream;
    for (size_t n = 0; n <= SIM_FACE_STREAM_MAX + 1024 * 1024; n += 1024 * 1024)
        sim_face_stream_line(s, line, 1024 * 1024);
    assert_int_equal(gone, 0);
    turn(5);
    assert_int_equal(gone, 1);
    close(fd);
    free(line);
}

static void test_many_connections(void **state) {
    static int fds[SIM_FACE_CONNECTIONS_MAX + 10];
    bool ended;
    (void)state;
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        fds[i] = connect_to(face);
        turn(1);
    }
    turn(20);
    hear(fds[0], &ended);
    assert_true(ended); /* idle longest */
    int last = fds[sizeof fds / sizeof *fds - 1];
    say(last, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_has(hear(last, &ended), "200 OK");
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
}

static void test_port_in_use(void **state) {
    struct error err;
    (void)state;
    assert_null(sim_face_new(loop, sim_face_port(face), NULL, (struct sim_face_handler){NULL, handler}, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_has(err.message, "name another port");
}

/* --- TLS, with the product's own client --- */

struct reply {
    bool done;
    int status;
    enum err_code code;
    size_t n;
    char text[256]; /* its beginning */
};

static void on_reply(void *arg, const struct http_response *r) {
    struct reply *got = arg;
    got->done = true;
    got->status = r->status;
    got->code = r->error.code;
    if (r->body) {
        got->n = r->body_len;
        snprintf(got->text, sizeof got->text, "%s", r->body);
    }
}

static bool on_piece(void *arg, const char *p, size_t n) {
    struct reply *got = arg;
    snprintf(got->text + got->n, sizeof got->text - got->n, "%.*s", (int)n, p);
    got->n += n;
    return true;
}

static struct http_client *client(const char *ca_pem, const char *name) {
    struct error err;
    struct http_client *c = http_client_new(
        loop, &(struct http_client_options){.ca_pem = ca_pem, .tls_server_name = name, .proxy_url = ""}, &err);
    assert_non_null(c);
    return c;
}

static struct http_request *start(struct http_client *c, const char *method, const char *path, const char *body,
                                  struct reply *got) {
    struct error err;
    char url[128];
    snprintf(url, sizeof url, "%s%s", sim_face_url(face), path);
    *got = (struct reply){0};
    bool streams = str_eq(path, "/watch");
    struct http_request *r = http_start(c,
                                        &(struct http_call){.method = method,
                                                            .url = url,
                                                            .body = body,
                                                            .body_len = body ? strlen(body) : 0,
                                                            .changes_something = body != NULL,
                                                            .on_data = streams ? on_piece : NULL},
                                        on_reply, got, &err);
    assert_non_null(r);
    return r;
}

static void until_done(const struct reply *got) {
    for (int i = 0; i < TURNS_MAX && !got->done; i++)
        turn(1);
    assert_true(got->done);
}

static void test_tls_requests(void **state) {
    struct reply got;
    (void)state;
    assert_true(str_has_prefix(sim_face_url(face), "https://127.0.0.1:"));
    struct http_client *c = client(sim_tls_ca_pem(tls), NULL);
    start(c, "GET", "/a?b=c", NULL, &got);
    until_done(&got);
    assert_int_equal(got.code, ERR_NONE);
    assert_string_equal(got.text, "GET /a?b=c []");
    start(c, "GET", "/missing", NULL, &got); /* the same connection */
    until_done(&got);
    assert_int_equal(got.status, 404);
    char *body = malloc(1024 * 1024 + 1);
    memset(body, 'x', 1024 * 1024);
    body[1024 * 1024] = '\0';
    start(c, "POST", "/p", body, &got); /* one of its own, in many records */
    until_done(&got);
    assert_int_equal(got.n, strlen("POST /p? []") + 1024 * 1024);
    free(body);
    http_client_free(c);
    c = client(sim_tls_ca_pem(tls), "localhost");
    start(c, "GET", "/named", NULL, &got);
    until_done(&got);
    assert_int_equal(got.status, 200);
    http_client_free(c);
}

static void test_tls_is_not_trusted_by_others(void **state) {
    struct error err;
    struct reply got;
    (void)state;
    struct sim_tls *other = sim_tls_new(&err);
    assert_string_not_equal(sim_tls_ca_pem(other), sim_tls_ca_pem(tls));
    struct {
        const char *ca, *name;
    } const wrong[] = {{NULL, NULL}, {sim_tls_ca_pem(other), NULL}, {sim_tls_ca_pem(tls), "other.test"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct http_client *c = client(wrong[i].ca, wrong[i].name);
        start(c, "GET", "/", NULL, &got);
        until_done(&got);
        assert_int_equal(got.code, ERR_UNREACHABLE);
        http_client_free(c);
    }
    assert_int_equal(requests, 0);
    assert_null(strstr(sim_tls_ca_pem(tls), "PRIVATE"));
    sim_tls_free(other);
}

static void test_tls_stream(void **state) {
    struct reply got;
    (void)state;
    struct http_client *c = client(sim_tls_ca_pem(tls), NULL);
    start(c, "GET", "/watch", NULL, &got);
    for (int i = 0; i < TURNS_MAX && !stream; i++)
        turn(1);
    sim_face_stream_line(stream, "{\"a\":1}", 7);
    for (int i = 0; i < 400 && got.n < 8; i++)
        turn(1);
    assert_string_equal(got.text, "{\"a\":1}\n");
    sim_face_stream_line(stream, "{\"b\":2}", 7);
    sim_face_stream_end(stream);
    until_done(&got);
    assert_string_equal(got.text, "{\"a\":1}\n{\"b\":2}\n");
    assert_int_equal(gone, 0);
    stream = NULL;
    struct http_request *r = start(c, "GET", "/watch", NULL, &got);
    for (int i = 0; i < TURNS_MAX && !stream; i++)
        turn(1);
    http_cancel(r);
    for (int i = 0; i < 400 && !gone; i++)
        turn(1);
    assert_int_equal(gone, 1);
    http_client_free(c);
}

/* --- TLS, with a client that does what no good one does --- */

struct peer {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static struct peer peer_connect(int max_version) {
    struct peer p = {.fd = connect_to(face), .ctx = SSL_CTX_new(TLS_client_method())};
    int little = 128 * 1024; /* with much less TCP itself waits, for hundreds of milliseconds */
    int one = 1;
    setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    setsockopt(p.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    assert_int_equal(fcntl(p.fd, F_SETFL, O_NONBLOCK), 0);
    SSL_CTX_set_max_proto_version(p.ctx, max_version);
    p.ssl = SSL_new(p.ctx);
    SSL_set_fd(p.ssl, p.fd);
    return p;
}

static void peer_close(struct peer *p) {
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    close(p->fd);
    ERR_clear_error();
}

static bool peer_greets(struct peer *p) {
    int result = 0;
    for (int i = 0; i < 200 && (result = SSL_connect(p->ssl)) != 1; i++) {
        int why = SSL_get_error(p->ssl, result);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            break;
        turn(1);
    }
    ERR_clear_error();
    return result == 1;
}

/* `until` bytes, a piece for each turn of the server; the first `skip` are not looked at. */
static size_t peer_reads_slowly(struct peer *p, size_t until, size_t skip) {
    static char piece[50000];
    size_t n = 0, got;
    for (int i = 0; i < TURNS_MAX && n < until; i++) {
        loop_turn(loop, 1);
        if (SSL_read_ex(p->ssl, piece, sizeof piece, &got) != 1)
            continue;
        for (size_t b = 0; b < got; b++, n++)
            if (n >= skip && piece[b] != pattern(n - skip))
                fail_msg("byte %zu is wrong", n - skip);
    }
    ERR_clear_error();
    return n;
}

static void ask_peer(struct peer *p, const char *text) {
    assert_int_equal(SSL_write(p->ssl, text, (int)strlen(text)), strlen(text));
}

static void test_tls_large_answer_to_a_slow_reader(void **state) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8388608\r\n\r\n";
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct peer p = peer_connect(versions[i]);
        assert_true(peer_greets(&p));
        ask_peer(&p, "GET /large HTTP/1.1\r\nHost: h\r\n\r\nGET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        turn(20);
        assert_int_equal(requests, 2 * i + 1); /* the next one waits until this one is read */
        assert_int_equal(peer_reads_slowly(&p, sizeof head - 1 + LARGE, sizeof head - 1), sizeof head - 1 + LARGE);
        assert_int_equal(peer_reads_slowly(&p, sizeof head - 1 + LARGE, sizeof head - 1), sizeof head - 1 + LARGE);
        peer_close(&p);
    }
}

/* What waits grows, and so moves, while TLS is in the middle of sending its beginning. */
static void test_tls_stream_that_grows_while_it_waits(void **state) {
    static char line[100000];
    static char piece[4096];
    size_t n = 0, got, wanted = 0;
    (void)state;
    memset(line, 'x', sizeof line);
    struct peer p = peer_connect(TLS1_3_VERSION);
    assert_true(peer_greets(&p));
    ask_peer(&p, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 200 && !stream; i++)
        turn(1);
    for (int i = 0; i < 200; i++) { /* the kernel takes half of it */
        sim_face_stream_line(stream, line, sizeof line);
        wanted += sizeof line;
        loop_turn(loop, 1);
    }
    for (int i = 0; i < TURNS_MAX && n < wanted; i++) {
        loop_turn(loop, 1);
        while (SSL_read_ex(p.ssl, piece, sizeof piece, &got) == 1)
            for (size_t b = 0; b < got; b++)
                n += piece[b] == 'x';
    }
    assert_int_equal(n, wanted);
    assert_int_equal(gone, 0);
    peer_close(&p);
    for (int i = 0; i < 400 && !gone; i++)
        turn(1);
    assert_int_equal(gone, 1);
}

static void assert_serves(void) {
    struct reply got;
    struct http_client *c = client(sim_tls_ca_pem(tls), NULL);
    start(c, "GET", "/", NULL, &got);
    until_done(&got);
    assert_int_equal(got.status, 200);
    http_client_free(c);
}

static void test_tls_plain_bytes(void **state) {
    static const struct {
        const char *said;
        bool ends;
    } v[] = {{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
             {"\x16\x03\x01\x01\x01 no hello at all", false}, /* of 257 bytes, says its head: it may go on */
             {"\x16\x03\x01\x01\x05\x02 no hello", false},
             {"\n", false}};
    bool ended;
    (void)state;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        int fd = connect_to(face);
        say(fd, v[i].said);
        assert_null(strstr(hear(fd, &ended), "HTTP/1.1 2"));
        assert_int_equal(ended, v[i].ends);
        close(fd);
    }
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(requests, 0);
    assert_serves();
}

static void test_tls_old_versions(void **state) {
    (void)state;
    struct peer p = peer_connect(TLS1_1_VERSION);
    SSL_set_security_level(p.ssl, 0); /* it would send nothing otherwise */
    SSL_set_cipher_list(p.ssl, "ALL");
    assert_false(peer_greets(&p));
    peer_close(&p);
    assert_serves();
}

/* --- the timers of a face, which fire when a test says so --- */

struct armed {
    int64_t delay_ms;
    timer_fn fire;
    void *arg;
};
static struct armed timers[TIMERS_MAX];
static bool by_hand;

static uint64_t arm(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    (void)ctx;
    for (uint64_t i = 0; i < TIMERS_MAX; i++)
        if (!timers[i].fire) {
            timers[i] = (struct armed){delay_ms, fire, arg};
            return i + 1;
        }
    fail_msg("too many timers");
    return 0;
}

static void disarm(void *ctx, uint64_t ticket) {
    (void)ctx;
    if (ticket)
        timers[ticket - 1] = (struct armed){0};
}

static int armed(void) {
    int n = 0;
    for (size_t i = 0; i < TIMERS_MAX; i++)
        n += timers[i].fire != NULL;
    return n;
}

static void until_armed(int wanted) {
    for (int i = 0; i < 400 && armed() != wanted; i++)
        turn(1);
    assert_int_equal(armed(), wanted);
}

struct clock __real_loop_clock(struct loop *l);
struct clock __wrap_loop_clock(struct loop *l);
struct clock __wrap_loop_clock(struct loop *l) { /* the linker puts it before the loop's own */
    struct clock c = __real_loop_clock(l);
    if (by_hand) {
        c.timer_start = arm;
        c.timer_stop = disarm;
    }
    return c;
}

static int setup_timers(void **state) {
    by_hand = true;
    memset(timers, 0, sizeof timers);
    int result = setup_tls(state);
    by_hand = false; /* the client's are its own affair */
    return result;
}

static void test_tls_handshake_that_stops(void **state) {
    bool ended;
    char hello[4096];
    (void)state;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_connect(ssl);
    int n = BIO_read(SSL_get_wbio(ssl), hello, sizeof hello);
    assert_true(n > 100);
    int fd = connect_to(face);
    assert_int_equal(send(fd, hello, (size_t)n / 2, MSG_NOSIGNAL), n / 2);
    hear(fd, &ended);
    assert_false(ended);
    assert_int_equal(armed(), 1);
    assert_serves(); /* others meanwhile */
    assert_int_equal(armed(), 1);
    struct armed late = timers[0];
    assert_int_equal(late.delay_ms, SIM_FACE_REQUEST_MS);
    timers[0] = (struct armed){0};
    late.fire(late.arg);
    hear(fd, &ended);
    assert_true(ended);
    assert_int_equal(armed(), 0);
    close(fd);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    ERR_clear_error();
}

/* Who has shaken hands may be silent for as long as he likes, but not in the middle of a request. */
static void test_tls_deadline_ends_with_the_handshake(void **state) {
    (void)state;
    struct peer p = peer_connect(TLS1_3_VERSION);
    until_armed(1);
    assert_true(peer_greets(&p));
    until_armed(0);
    ask_peer(&p, "GET / HTTP/1.1\r\n");
    until_armed(1);
    ask_peer(&p, "Host: h\r\n\r\n");
    until_armed(0);
    assert_int_equal(requests, 1);
    peer_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipelined_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_continue_and_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_port_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls_requests, setup_tls, teardown),
        cmocka_unit_test_setup_teardown(test_tls_is_not_trusted_by_others, setup_tls, teardown),
        cmocka_unit_test_setup_teardown(test_tls_stream, setup_tls, teardown),
        cmocka_unit_test_setup_teardown(test_tls_large_answer_to_a_slow_reader, setup_tls, teardown),
        cmocka_unit_test_setup_teardown(test_tls_stream_that_grows_while_it_waits, setup_tls, teardown),
        cmocka_unit_test_setup_teardown(test_tls_plain_bytes, setup_tls, teardown),
        cmocka_unit_test_setup_teardown(test_tls_old_versions, setup_tls, teardown),
        cmocka_unit_test_setup_teardown(test_tls_handshake_that_stops, setup_timers, teardown),
        cmocka_unit_test_setup_teardown(test_tls_deadline_ends_with_the_handshake, setup_timers, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
