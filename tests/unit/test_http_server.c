/* http_server.c and listener.c: pages by real sockets, and peers that are slow, silent, many or wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/http_server.h"
#include "controller/listener.h"
#include "platform/base/str.h"

static struct loop *loop;
static struct http_server *server;
static int rendered;

static int small(void *arg, struct buf *out) {
    rendered++;
    buf_puts(out, arg);
    return 200;
}

static int unready(void *arg, struct buf *out) {
    (void)arg;
    buf_puts(out, "not yet\n");
    return 503;
}

static int repeated(void *arg, struct buf *out) {
    static const char piece[1024] = {'x'};
    for (size_t i = 0; i < *(const size_t *)arg / sizeof piece; i++)
        buf_append(out, piece, sizeof piece);
    return 200;
}

static int nothing(void *arg, struct buf *out) {
    (void)arg;
    (void)out;
    return 200;
}

static size_t large = 1024 * 1024, too_large = 2 * 1024 * 1024;
static char hello[] = "hello\n";
static const struct http_route routes[] = {
    {"/hello", small, hello, "text/plain"},     {"/unready", unready, NULL, "text/plain"},
    {"/large", repeated, &large, "text/plain"}, {"/toolarge", repeated, &too_large, "text/plain"},
    {"/nothing", nothing, NULL, "text/plain"},
};

static struct http_server *serve(const char *bind_to, struct error *err) {
    return http_server_new(loop, bind_to, "--test-bind-address", routes, sizeof routes / sizeof *routes, err);
}

static int set_up(void **state) {
    struct error err;
    (void)state;
    loop = loop_new(&err);
    server = loop ? serve("127.0.0.1:0", &err) : NULL;
    return server ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    http_server_free(server);
    loop_free(loop);
    return 0;
}

/* --- a client --- */

static int dial(const char *ip, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int dial_server(void) {
    int fd = dial("127.0.0.1", http_server_port(server));
    assert_true(fd >= 0);
    return fd;
}

static void say(int fd, const char *text) {
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static char answer[4 * 1024 * 1024];

/* Reads until the peer closes (true), or until ms have passed or `enough` bytes came (false). */
static bool listen_for(int fd, size_t *n, size_t enough, int ms) {
    struct clock c = loop_clock(loop);
    int64_t end = c.boot_ms(c.ctx) + ms;
    while (c.boot_ms(c.ctx) < end && *n < enough) {
        loop_turn(loop, 5);
        ssize_t got = recv(fd, answer + *n, sizeof answer - 1 - *n, 0);
        if (got > 0)
            *n += (size_t)got;
        answer[*n] = '\0';
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return true;
    }
    return false;
}

static const char *body_of(const char *text) {
    const char *p = strstr(text, "\r\n\r\n");
    return p ? p + 4 : "";
}

/* One request on a connection of its own that asks to be closed. */
static int ask(const char *request) {
    int status = 0;
    size_t n = 0;
    int fd = dial_server();
    say(fd, request);
    answer[0] = '\0';
    (void)listen_for(fd, &n, sizeof answer, 3000);
    close(fd);
    return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

#define ASK(method, path) method " " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

/* --- answers --- */

static void pages_are_answered(void **state) {
    (void)state;
    assert_int_equal(ask(ASK("GET", "/hello") "\r\n"), 200);
    assert_string_equal(body_of(answer), "hello\n");
    assert_non_null(strcasestr(answer, "content-type: text/plain\r\n"));
    assert_non_null(strcasestr(answer, "content-length: 6\r\n"));
    assert_non_null(strcasestr(answer, "cache-control: no-store\r\n"));
    assert_non_null(strcasestr(answer, "x-content-type-options: nosniff\r\n"));
    assert_null(strcasestr(answer, "libwebsockets"));
    assert_int_equal(ask(ASK("GET", "/hello?verbose=1") "\r\n"), 200);
    assert_int_equal(ask(ASK("GET", "/unready") "\r\n"), 503);
    assert_string_equal(body_of(answer), "not yet\n");
    assert_int_equal(ask(ASK("GET", "/nothing") "\r\n"), 200);
    assert_string_equal(body_of(answer), "");
}

static void head_has_no_body(void **state) {
    (void)state;
    assert_int_equal(ask(ASK("HEAD", "/hello") "\r\n"), 200);
    assert_non_null(strcasestr(answer, "content-length: 6\r\n"));
    assert_string_equal(body_of(answer), "");
    assert_int_equal(ask(ASK("HEAD", "/none") "\r\n"), 404);
    assert_string_equal(body_of(answer), "");
}

static void other_paths_and_methods_are_refused(void **state) {
    (void)state;
    rendered = 0;
    assert_int_equal(ask(ASK("GET", "/") "\r\n"), 404);
    assert_int_equal(ask(ASK("GET", "/hello/") "\r\n"), 404);
    assert_int_equal(ask(ASK("GET", "/../hello2") "\r\n"), 404);
    assert_int_equal(ask(ASK("POST", "/hello") "Content-Length: 2\r\n\r\nhi"), 405);
    assert_int_equal(ask(ASK("PUT", "/hello") "Content-Length: 2\r\n\r\nhi"), 405);
    assert_int_equal(ask(ASK("GET", "/hello") "Content-Length: 2\r\n\r\nhi"), 400);
    assert_int_equal(ask(ASK("GET", "/hello") "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
    assert_int_equal(rendered, 0);
    assert_int_equal(ask(ASK("GET", "/hello") "Content-Length: 0\r\n\r\n"), 200);
}

static void large_pages_come_whole_and_too_large_ones_not_at_all(void **state) {
    (void)state;
    assert_int_equal(ask(ASK("GET", "/large") "\r\n"), 200);
    assert_non_null(strcasestr(answer, "content-length: 1048576\r\n"));
    const char *body = body_of(answer);
    size_t n = 0;
    while (n < large && body[n] == (n % 1024 ? '\0' : 'x'))
        n++;
    assert_int_equal(n, large);
    assert_int_equal(ask(ASK("GET", "/toolarge") "\r\n"), 500);
}

static void a_connection_serves_several_requests(void **state) {
    (void)state;
    int fd = dial_server();
    for (int i = 0; i < 3; i++) {
        size_t n = 0;
        say(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        memset(answer, 0, 4096);
        for (int j = 0; j < 300 && str_empty(body_of(answer)); j++)
            assert_false(listen_for(fd, &n, 1024, 10));
        assert_string_equal(body_of(answer), "hello\n");
    }
    close(fd);
}

static void garbage_gets_no_page(void **state) {
    (void)state;
    static char header[9000];
    rendered = 0;
    assert_int_not_equal(ask("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), 200);
    assert_int_not_equal(ask("hello?\r\n\r\n"), 200);
    snprintf(header, sizeof header, "%sX-Big: %0*d\r\n\r\n", ASK("GET", "/hello"), 8000, 0);
    assert_int_not_equal(ask(header), 200);
    assert_int_equal(rendered, 0);
    assert_int_equal(ask(ASK("GET", "/hello") "\r\n"), 200);
}

/* --- limits --- */

static void many_silent_peers_do_not_keep_a_probe_out(void **state) {
    (void)state;
    int silent[HTTP_SERVER_CLIENTS_MAX + 10];
    size_t count = sizeof silent / sizeof *silent, closed = 0;
    for (size_t i = 0; i < count; i++) {
        silent[i] = dial_server();
        if (i % 16 == 0)
            loop_turn(loop, 1);
    }
    assert_int_equal(ask(ASK("GET", "/hello") "\r\n"), 200);
    for (size_t i = 0; i < count; i++) {
        char c;
        closed += recv(silent[i], &c, 1, 0) == 0;
        close(silent[i]);
    }
    assert_int_equal(closed, count + 1 - HTTP_SERVER_CLIENTS_MAX); /* the oldest, for the newest and for the probe */
}

/* A silent peer, one that sends a byte now and then, one that does not read its answer: each is gone by the deadline.
 */
static void slow_peers_are_cut_off(void **state) {
    (void)state;
    struct clock c = loop_clock(loop);
    int64_t start = c.boot_ms(c.ctx), next = start;
    int small_window = 65536;
    int fd[3] = {dial_server(), dial_server(), dial_server()};
    bool open[2] = {true, true};
    say(fd[1], "GET /he");
    setsockopt(fd[2], SOL_SOCKET, SO_RCVBUF, &small_window, sizeof small_window);
    say(fd[2], ASK("GET", "/large") "\r\n");
    while ((open[0] || open[1]) && c.boot_ms(c.ctx) < start + HTTP_SERVER_REQUEST_MS + 6000) {
        loop_turn(loop, 50);
        if (open[1] && c.boot_ms(c.ctx) >= next) {
            say(fd[1], "l");
            next += 500;
        }
        for (int i = 0; i < 2; i++) {
            char byte;
            ssize_t n = recv(fd[i], &byte, 1, 0);
            if (open[i] && (n == 0 || (n < 0 && errno != EAGAIN))) {
                open[i] = false;
                assert_in_range(c.boot_ms(c.ctx) - start, HTTP_SERVER_REQUEST_MS - 2000, HTTP_SERVER_REQUEST_MS + 4000);
            }
        }
    }
    assert_false(open[0]);
    assert_false(open[1]);
    size_t n = 0;
    assert_true(listen_for(fd[2], &n, sizeof answer, 3000)); /* what was on its way, then the end */
    assert_true(n < large);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
}

static void a_server_ends_with_connections_open(void **state) {
    (void)state;
    struct error err;
    struct http_server *other = serve("127.0.0.1:0", &err);
    assert_non_null(other);
    int idle = dial("127.0.0.1", http_server_port(other)), half = dial("127.0.0.1", http_server_port(other));
    int reading = dial("127.0.0.1", http_server_port(other));
    say(half, "GET /hel");
    say(reading, ASK("GET", "/large") "\r\n");
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 1);
    http_server_free(other);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 1);
    say(half, "lo HTTP/1.1\r\n\r\n");
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 1);
    close(idle);
    close(half);
    close(reading);
}

/* --- where it listens --- */

static void bound_exactly_where_asked(void **state) {
    (void)state;
    struct error err;
    char name[INET6_ADDRSTRLEN];
    struct sockaddr_in6 a;
    socklen_t n = sizeof a;
    int port = http_server_port(server);
    int fd = dial("127.0.0.2", port); /* the same machine, another address */
    assert_int_equal(fd, -1);
    int other;
    fd = listener_open("[::1]:0", "--x", &other, &err);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    assert_string_equal(inet_ntop(AF_INET6, &a.sin6_addr, name, sizeof name), "::1");
    assert_int_equal(ntohs(a.sin6_port), other);
    assert_int_equal(dial("127.0.0.1", other), -1);
    close(fd);
    fd = listener_open(":0", "--x", &other, &err);
    assert_true(fd >= 0);
    int client = dial("127.0.0.2", other);
    assert_true(client >= 0);
    close(client);
    close(fd);
    fd = listener_open("localhost:0", "--x", &other, &err);
    assert_true(fd >= 0);
    assert_int_equal(dial("127.0.0.2", other), -1);
    close(fd);
}

static void addresses_that_cannot_be_bound_say_why(void **state) {
    (void)state;
    struct error err;
    char busy[64];
    snprintf(busy, sizeof busy, "127.0.0.1:%d", http_server_port(server));
    assert_null(serve(busy, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.message, "--test-bind-address"));
    assert_non_null(strstr(err.message, "in use"));
    assert_null(serve("192.0.2.1:8081", &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.message, "does not have the address"));
    static const char *const bad[] = {
        "",          "8081",  "127.0.0.1",      "127.0.0.1:",     "127.0.0.1:70000", "::1:8081",
        "eth0:8081", "[::1]", "example.com:80", "[127.0.0.1]:80", "127.0.0.1:-1",    "[::1:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(serve(bad[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, "--test-bind-address"));
    }
    assert_null(serve(NULL, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_are_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_has_no_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_paths_and_methods_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_pages_come_whole_and_too_large_ones_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_connection_serves_several_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(garbage_gets_no_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_silent_peers_do_not_keep_a_probe_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slow_peers_are_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_ends_with_connections_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bound_exactly_where_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(addresses_that_cannot_be_bound_say_why, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
