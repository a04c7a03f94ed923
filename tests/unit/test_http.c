/* http.c against a real server process (http_peer.py): answers, every way not to get one, and lives that end in
 * callbacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "platform/base/str.h"
#include "support_http_peer.h"

/* In place of the C library's, so that a name server can be a dead one. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
    if (str_eq(name, "hang.test")) {
        sleep(4);
        return EAI_AGAIN;
    }
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, out);
}

static int64_t now(void) {
    struct clock c = loop_clock(peer.loop);
    return c.boot_ms(c.ctx);
}

static void turn_for(int64_t ms) {
    int64_t end = now() + ms;
    while (now() < end)
        loop_turn(peer.loop, end - now());
}

/* --- answers --- */

static void answers_come_whole(void **state) {
    static const struct {
        const char *path, *body, *header;
        int status;
    } rows[] = {
        {"/hello", "hello", "yes", 200},
        {"/status/503", "", "yes", 503},
        {"/redirect", "", "yes", 302}, /* never followed */
        {"/continue", "after 100", "yes", 200},
        {"/closedelimited", "until the end", "", 200},
        {"/trailers", "abc", "", 200}, /* not a header */
        {"/gzip", "nope", "", 200},    /* we asked for no encoding, and undo none */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a;
        get(rows[i].path, &(struct http_call){0}, &a);
        assert_int_equal(a.err.code, ERR_NONE);
        assert_int_equal(a.status, rows[i].status);
        assert_string_equal(a.body, rows[i].body);
        assert_string_equal(a.header, rows[i].header);
        assert_false(a.resent);
    }
}

static void requests_are_sent_as_given(void **state) {
    (void)state;
    struct answer a;
    struct secret *token = secret_new("Bearer s3cr3t", 13);
    struct http_header h[] = {{"X-One", "1", NULL}, {"Authorization", NULL, token}, {"Content-Type", "a/b", NULL}};
    get("/echo/../x/./%2F?a=b+c&d",
        &(struct http_call){.method = "PATCH", .headers = h, .nheaders = 3, .body = "the body", .body_len = 8}, &a);
    assert_true(str_has_prefix(a.body, "PATCH /echo/../x/./%2F?a=b+c&d HTTP/1.1\r\n"));
    assert_non_null(strstr(a.body, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(a.body, "\r\nAuthorization: Bearer s3cr3t\r\n"));
    assert_non_null(strstr(a.body, "\r\nContent-Length: 8\r\n"));
    assert_non_null(strstr(a.body, "\r\nUser-Agent: cni-iam\r\n"));
    assert_true(str_has_suffix(a.body, "\r\n\r\nthe body"));
    assert_null(strcasestr(a.body, "\nExpect"));
    assert_null(strcasestr(a.body, "\nAccept-Encoding"));
    assert_null(strcasestr(a.body, "\nCookie"));
    secret_free(token);
    get("/echo", &(struct http_call){.method = "POST", .body = "", .body_len = 0}, &a);
    assert_non_null(strstr(a.body, "\r\nContent-Length: 0\r\n"));
    get("/echo", &(struct http_call){.method = "DELETE"}, &a);
    assert_true(str_has_prefix(a.body, "DELETE /echo "));
    get("/hello", &(struct http_call){.method = "HEAD"}, &a);
    assert_int_equal(a.err.code, ERR_NONE);
    assert_int_equal(a.n, 0);
    static char large[200000];
    memset(large, 'x', sizeof large);
    get("/echo", &(struct http_call){.method = "POST", .body = large, .body_len = sizeof large}, &a);
    assert_int_equal(a.err.code, ERR_NONE);
    assert_true(a.n > sizeof large);
    struct http_header bad = {"X-Bad", "a\r\nb", NULL};
    get("/hello", &(struct http_call){.headers = &bad, .nheaders = 1}, &a);
    assert_int_equal(a.err.code, ERR_INVALID);
}

static void failures_have_their_class(void **state) {
    static const struct {
        const char *path;
        enum err_code code;
        int status;
    } rows[] = {
        {"/dies", ERR_LOST, 0},
        {"/short", ERR_LOST, 200},
        {"/cutchunk", ERR_LOST, 200},
        {"/cuthead", ERR_LOST, 200},
        {"/badchunk", ERR_LOST, 200},
        {"/badlength", ERR_LOST, 200},
        {"/nul", ERR_LOST, 200},
        {"/garbage", ERR_LOST, 0},
        {"/slow", ERR_TIMEOUT, 0},
        {"/drip", ERR_TIMEOUT, 200},
        {"/bigbody", ERR_TOO_LARGE, 200},
        {"/bigbodyunknown", ERR_TOO_LARGE, 200},
        {"/bigheader", ERR_TOO_LARGE, 200},
        {"/manyheaders", ERR_TOO_LARGE, 200},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a;
        int64_t deadline_ms = rows[i].code == ERR_TIMEOUT ? 600 : 15000;
        get(rows[i].path, &(struct http_call){.deadline_ms = deadline_ms, .max_body = 10000}, &a);
        if (a.err.code != rows[i].code || a.status != rows[i].status)
            fail_msg("%s: %s %d %s", rows[i].path, error_name(a.err.code), a.status, a.err.message);
        assert_int_equal(a.err.http_status, rows[i].status);
        assert_true(a.err.message[0]);
    }
}

static void the_body_maximum_is_exact(void **state) {
    (void)state;
    struct answer a;
    get("/hello", &(struct http_call){.max_body = 5}, &a);
    assert_int_equal(a.err.code, ERR_NONE);
    get("/hello", &(struct http_call){.max_body = 4}, &a);
    assert_int_equal(a.err.code, ERR_TOO_LARGE);
}

static void what_cannot_be_reached_was_not_sent(void **state) {
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){.proxy_url = "", .connect_timeout_ms = 300});
    struct answer a;
    struct http_call call = {0};
    call_url(c, &call, "http://127.0.0.1:1/", &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    call_url(c, &call, "https://no-such-name.invalid/", &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/",
             peer.clear); /* not TLS: the server waits for a line that does not come */
    call_url(c, &call, url, &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    http_client_free(c);
}

static void secrets_do_not_go_out_in_clear(void **state) {
    static const char *const rows[] = {"http://example.com/",        "http://10.0.0.1/", "http://2130706433/",
                                       "https://user:pw@127.0.0.1/", "ftp://127.0.0.1/", "file:///etc/passwd"};
    (void)state;
    struct answer a;
    struct http_call call = {0};
    struct http_client *c = http_peer_client(&(struct http_client_options){0});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        call_url(c, &call, rows[i], &a);
        assert_int_equal(a.err.code, ERR_INVALID);
    }
    http_client_free(c);
}

/* --- sent once --- */

static int counted(struct http_client *c) {
    struct answer a;
    call_url(c, &(struct http_call){0}, "/count", &a);
    return atoi(a.body);
}

static void a_write_is_sent_once_and_a_read_that_was_sent_again_says_so(void **state) {
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){0});
    struct answer a;
    int before = counted(c); /* leaves a connection in the pool */
    call_url(c, &(struct http_call){.method = "POST", .body = "x", .body_len = 1, .changes_something = true}, "/dies",
             &a);
    assert_int_equal(a.err.code, ERR_LOST);
    assert_false(a.resent);
    assert_int_equal(counted(c), before + 1);
    call_url(c, &(struct http_call){0}, "/dies", &a);
    assert_int_equal(a.err.code, ERR_LOST);
    assert_true(a.resent);
    assert_int_equal(counted(c), before + 3);
    http_client_free(c);
}

static void connections_are_pooled_for_reads(void **state) {
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){0});
    struct answer a, b;
    call_url(c, &(struct http_call){0}, "/port", &a);
    call_url(c, &(struct http_call){0}, "/port", &b);
    assert_string_equal(a.body, b.body);
    call_url(c, &(struct http_call){.changes_something = true}, "/port", &b);
    assert_string_not_equal(a.body, b.body);
    http_client_free(c);
}

/* --- streams --- */

static void stream(const char *path, int64_t deadline_ms, struct answer *a) {
    get(path, &(struct http_call){.on_headers = answer_headers, .on_data = answer_piece, .deadline_ms = deadline_ms},
        a);
}

static void streams_come_in_pieces(void **state) {
    (void)state;
    struct answer a;
    stream("/stream", 15000, &a);
    assert_in_range(a.pieces, 3, 3);
    assert_int_equal(a.err.code, ERR_CANCELLED);
    stream("/streamwhole", 15000, &a);
    assert_int_equal(a.err.code, ERR_NONE);
    assert_string_equal(a.body, "one\ntwo\n");
    assert_int_equal(a.status, 200);
    stream("/streamcut", 15000, &a);
    assert_int_equal(a.err.code, ERR_LOST);
    assert_string_equal(a.body, "one\n");
    stream("/streamslow", 2000, &a);
    assert_int_equal(a.err.code, ERR_TIMEOUT);
    assert_int_equal(a.pieces, 1);
}

/* Two quiet watches cost nothing: the process is not woken (docs/adr/0002). */
static void quiet_streams_do_not_turn_the_loop(void **state) {
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){0});
    struct answer a[2] = {{0}, {0}};
    struct rusage before, later;
    struct error err;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/streamslow", peer.clear);
    struct http_call call = {
        .method = "GET", .url = url, .on_headers = answer_headers, .on_data = answer_piece, .deadline_ms = 300000};
    for (int i = 0; i < 2; i++) {
        assert_non_null(http_start(c, &call, answer_done, &a[i], &err));
        for (int j = 0; j < 300 && !a[i].pieces; j++)
            loop_turn(peer.loop, 10);
    }
    turn_for(1500); /* curl looks after a new transfer for a while */
    getrusage(RUSAGE_SELF, &before);
    turn_for(2000);
    getrusage(RUSAGE_SELF, &later);
    assert_in_range(later.ru_nvcsw - before.ru_nvcsw, 0, 3);
    http_client_free(c);
}

/* What K-T1 asks for stands on the socket. That a dead path is noticed: tests/wire. */
static void sockets_have_their_options(void **state) {
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){0});
    struct answer a = {0};
    struct error err;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/streamslow", peer.clear);
    struct http_call call = {.method = "GET", .url = url, .on_headers = answer_headers, .on_data = answer_piece};
    assert_non_null(http_start(c, &call, answer_done, &a, &err));
    for (int i = 0; i < 300 && !a.pieces; i++)
        loop_turn(peer.loop, 10);
    int found = 0;
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in to;
        socklen_t n = sizeof to, size = sizeof(int);
        int alive, idle, interval, count, timeout;
        if (getpeername(fd, (struct sockaddr *)&to, &n) != 0 || to.sin_family != AF_INET ||
            ntohs(to.sin_port) != peer.clear)
            continue;
        found++;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &alive, &size), 0);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &size), 0);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, &size), 0);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, &size), 0);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size), 0);
        assert_true(alive && idle + interval * count <= 45 && timeout == 30000);
    }
    assert_int_equal(found, 1);
    http_client_free(c);
}

/* --- endings --- */

static void cancelled_calls_do_not_come_back(void **state) {
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){0});
    struct error err;
    struct answer a = {0};
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/slow", peer.clear);
    struct http_call call = {.method = "GET", .url = url};
    struct http_request *at_once = http_start(c, &call, answer_done, &a, &err);
    http_cancel(at_once);
    struct http_request *later = http_start(c, &call, answer_done, &a, &err);
    turn_for(100);
    http_cancel(later);
    http_cancel(NULL);
    http_start(c, &call, answer_done, &a, &err);
    turn_for(50);
    http_client_free(c);
    turn_for(50);
    assert_false(a.done);
}

struct scene {
    struct http_client *client;
    struct http_request *mine, *other;
    struct answer first, second, third;
    char url[128];
    int calls;
};

static void free_client_in_done(void *arg, const struct http_response *r) {
    struct scene *s = arg;
    (void)r;
    s->calls++;
    http_client_free(s->client);
    struct http_call call = {.method = "GET", .url = s->url};
    struct error err;
    assert_null(http_start(s->client, &call, answer_done, &s->third, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
}

static bool free_client_in_data(void *arg, const char *p, size_t n) {
    struct scene *s = arg;
    (void)p;
    (void)n;
    s->calls++;
    http_client_free(s->client);
    return true;
}

static void clients_may_be_freed_in_their_callbacks(void **state) {
    (void)state;
    struct error err;
    for (int streamed = 0; streamed < 2; streamed++) {
        struct scene s = {.client = http_peer_client(&(struct http_client_options){0})};
        snprintf(s.url, sizeof s.url, "http://127.0.0.1:%d%s", peer.clear, streamed ? "/streamslow" : "/hello");
        struct http_call call = {.method = "GET", .url = s.url};
        struct http_call with_data = {.method = "GET", .url = s.url, .on_data = free_client_in_data};
        for (int i = 0; i < 3; i++)
            assert_non_null(http_start(s.client, streamed ? &with_data : &call, free_client_in_done, &s, &err));
        for (int i = 0; i < 1000 && !s.calls; i++)
            loop_turn(peer.loop, 10);
        turn_for(200);
        assert_int_equal(s.calls, 1); /* the others went with the client */
    }
}

/* From inside curl: cancels itself or another, and starts a third. */
static bool act_in_data(void *arg, const char *p, size_t n) {
    struct scene *s = arg;
    struct error err;
    (void)p;
    (void)n;
    if (s->calls++ == 0) {
        struct http_call call = {.method = "GET", .url = s->url};
        http_cancel(s->other);
        assert_non_null(http_start(s->client, &call, answer_done, &s->third, &err));
        http_cancel(http_start(s->client, &call, answer_done, &s->second, &err));
        http_cancel(s->mine);
    }
    return true;
}

static void never_done(void *arg, const struct http_response *r) {
    (void)arg;
    (void)r;
    fail();
}

static void callbacks_may_start_and_cancel(void **state) {
    (void)state;
    struct error err;
    char streamed[128];
    struct scene s = {.client = http_peer_client(&(struct http_client_options){0})};
    snprintf(s.url, sizeof s.url, "http://127.0.0.1:%d/hello", peer.clear);
    snprintf(streamed, sizeof streamed, "http://127.0.0.1:%d/streamslow", peer.clear);
    struct http_call slow = {.method = "GET", .url = streamed};
    struct http_call acting = {.method = "GET", .url = streamed, .on_data = act_in_data};
    s.other = http_start(s.client, &slow, never_done, NULL, &err);
    s.mine = http_start(s.client, &acting, never_done, &s, &err);
    for (int i = 0; i < 300 && !s.third.done; i++)
        loop_turn(peer.loop, 10);
    assert_string_equal(s.third.body, "hello");
    turn_for(100);
    assert_int_equal(s.calls, 1);
    assert_false(s.second.done);
    http_client_free(s.client);
}

static void so_many_at_once_and_no_more(void **state) {
    static struct answer answers[HTTP_REQUESTS_MAX];
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){0});
    struct error err;
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/hello", peer.clear);
    struct http_call call = {.method = "GET", .url = url};
    memset(answers, 0, sizeof answers);
    for (size_t i = 0; i < HTTP_REQUESTS_MAX; i++)
        assert_non_null(http_start(c, &call, answer_done, &answers[i], &err));
    assert_null(http_start(c, &call, answer_done, NULL, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    for (size_t i = 0; i < HTTP_REQUESTS_MAX; i++) {
        for (int j = 0; j < 1000 && !answers[i].done; j++)
            loop_turn(peer.loop, 10);
        assert_string_equal(answers[i].body, "hello");
    }
    http_client_free(c);
}

/* The loop turns on while a name server is silent: after a timeout, a cancel, and the end of the client. */
static void a_dead_name_server_does_not_stop_the_loop(void **state) {
    (void)state;
    struct http_client *c = http_peer_client(&(struct http_client_options){.proxy_url = "", .connect_timeout_ms = 200});
    struct answer a = {0};
    struct error err;
    int64_t start = now();
    call_url(c, &(struct http_call){0}, "https://hang.test/", &a);
    assert_int_equal(a.err.code, ERR_UNREACHABLE);
    struct http_call call = {.method = "GET", .url = "https://hang.test/"};
    struct http_request *r = http_start(c, &call, answer_done, &a, &err);
    turn_for(50);
    http_cancel(r);
    http_start(c, &call, answer_done, &a, &err);
    turn_for(50);
    http_client_free(c);
    assert_in_range(now() - start, 200, 3500); /* one lookup takes 4 s */
    sleep(5);                                  /* the threads end: nothing of them may be left (LeakSanitizer) */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_whole),
        cmocka_unit_test(requests_are_sent_as_given),
        cmocka_unit_test(failures_have_their_class),
        cmocka_unit_test(the_body_maximum_is_exact),
        cmocka_unit_test(what_cannot_be_reached_was_not_sent),
        cmocka_unit_test(secrets_do_not_go_out_in_clear),
        cmocka_unit_test(a_write_is_sent_once_and_a_read_that_was_sent_again_says_so),
        cmocka_unit_test(connections_are_pooled_for_reads),
        cmocka_unit_test(streams_come_in_pieces),
        cmocka_unit_test(quiet_streams_do_not_turn_the_loop),
        cmocka_unit_test(sockets_have_their_options),
        cmocka_unit_test(cancelled_calls_do_not_come_back),
        cmocka_unit_test(clients_may_be_freed_in_their_callbacks),
        cmocka_unit_test(callbacks_may_start_and_cancel),
        cmocka_unit_test(so_many_at_once_and_no_more),
        cmocka_unit_test(a_dead_name_server_does_not_stop_the_loop),
    };
    return cmocka_run_group_tests(tests, http_peer_start, http_peer_stop);
}
