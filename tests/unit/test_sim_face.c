/* test_sim_face.c - the loopback server with a real socket on the other side. */
#include <arpa/inet.h>
#include <errno.h>
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
#include "simulator/http_face.h"

#define READ_MAX 65536

static struct loop *loop;
static struct sim_face *face;
static struct sim_face_stream *stream;
static int gone, requests;

static void on_gone(void *arg) {
    (void)arg;
    gone++;
    stream = NULL;
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

static int setup(void **state) {
    struct error err;
    (void)state;
    loop = loop_new(&err);
    assert_non_null(loop);
    face = sim_face_new(loop, 0, (struct sim_face_handler){NULL, handler}, &err);
    assert_non_null(face);
    gone = requests = 0;
    stream = NULL;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sim_face_free(face);
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
    assert_null(sim_face_new(loop, sim_face_port(face), (struct sim_face_handler){NULL, handler}, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_has(err.message, "name another port");
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
