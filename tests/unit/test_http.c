/* http.c against a real server process (http_peer.py): answers, and every way not to get one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "platform/base/str.h"
#include "platform/http/http.h"

struct peer {
    pid_t pid;
    FILE *out;
    int port, tls_port;
    char ca[8192];
};

static struct peer peer;
static struct loop *loop;

static int start_peer(void **state)
{
    struct error err;
    int fds[2];
    (void)state;
    if (pipe(fds))
        return -1;
    peer.pid = fork();
    if (peer.pid == 0) {
        dup2(fds[1], 1);
        execlp("python3", "python3", TESTS_DIR "/unit/http_peer.py", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    peer.out = fdopen(fds[0], "r");
    char ca_path[512];
    if (fscanf(peer.out, "%d %d %511s", &peer.port, &peer.tls_port, ca_path) != 3)
        return -1;
    FILE *f = fopen(ca_path, "r");
    size_t n = f ? fread(peer.ca, 1, sizeof peer.ca - 1, f) : 0;
    peer.ca[n] = '\0';
    if (f)
        fclose(f);
    loop = loop_new(&err);
    return loop ? 0 : -1;
}

static int stop_peer(void **state)
{
    (void)state;
    loop_free(loop);
    kill(peer.pid, SIGKILL);
    waitpid(peer.pid, NULL, 0);
    fclose(peer.out);
    return 0;
}

struct answer {
    bool done;
    int status;
    enum err_code code;
    char body[65536];
    size_t n;
    char header[128];
    int pieces;
    bool resent;
};

static void on_done(void *arg, const struct http_response *r)
{
    struct answer *a = arg;
    a->done = true;
    a->status = r->status;
    a->code = r->error.code;
    a->resent = r->resent;
    if (r->body)
        snprintf(a->body, sizeof a->body, "%s", r->body);
    snprintf(a->header, sizeof a->header, "%s", r->header && r->header(r, "X-Test") ? r->header(r, "X-Test") : "");
}

static bool on_piece(void *arg, const char *p, size_t n)
{
    struct answer *a = arg;
    a->pieces++;
    if (a->n + n < sizeof a->body) {
        memcpy(a->body + a->n, p, n);
        a->n += n;
    }
    return strstr(a->body, "STOP") == NULL;
}

static void call_url(struct http_client *c, struct http_call *call, const char *url, struct answer *a)
{
    struct error err;
    memset(a, 0, sizeof *a);
    call->url = url;
    if (!call->method)
        call->method = "GET";
    if (!http_start(c, call, on_done, a, &err)) {
        a->done = true;
        a->code = err.code;
        return;
    }
    for (int i = 0; i < 2000 && !a->done; i++)
        loop_turn(loop, 10);
    assert_true(a->done);
}

static struct http_client *client(const struct http_client_options *o)
{
    struct error err;
    struct http_client *c = http_client_new(loop, o, &err);
    assert_non_null(c);
    return c;
}

static void get(const char *path, struct http_call *call, struct answer *a)
{
    struct http_client *c = client(&(struct http_client_options){0});
    char url[256];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", peer.port, path);
    call_url(c, call, url, a);
    http_client_free(c);
}

static void answers_come_whole(void **state)
{
    (void)state;
    struct answer a;
    get("/hello", &(struct http_call){0}, &a);
    assert_int_equal(a.code, ERR_NONE);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "hello");
    assert_string_equal(a.header, "yes");
    get("/status/503", &(struct http_call){0}, &a);
    assert_int_equal(a.code, ERR_NONE);
    assert_int_equal(a.status, 503);
}

static void redirects_are_answers(void **state)
{
    (void)state;
    struct answer a;
    get("/redirect", &(struct http_call){0}, &a);
    assert_int_equal(a.status, 302);
}

static void failures_have_their_class(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum err_code code;
    } rows[] = {
        {"/close", ERR_LOST},      {"/short", ERR_LOST},      {"/cutchunk", ERR_LOST},       {"/garbage", ERR_LOST},
        {"/slow", ERR_TIMEOUT},    {"/bigbody", ERR_TOO_LARGE}, {"/bigheader", ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a;
        get(rows[i].path, &(struct http_call){.deadline_ms = 1000, .max_body = 10000}, &a);
        if (a.code != rows[i].code)
            print_error("%s: %s\n", rows[i].path, error_name(a.code));
        assert_int_equal(a.code, rows[i].code);
    }
}

static void unreachable_is_not_sent(void **state)
{
    (void)state;
    struct http_client *c = client(&(struct http_client_options){0});
    struct answer a;
    struct http_call call = {0};
    call_url(c, &call, "http://127.0.0.1:1/", &a);
    assert_int_equal(a.code, ERR_UNREACHABLE);
    call_url(c, &call, "http://example.com/", &a);
    assert_int_equal(a.code, ERR_INVALID); /* clear text to a host that is not local */
    call_url(c, &call, "https://user:pw@127.0.0.1/", &a);
    assert_int_equal(a.code, ERR_INVALID);
    http_client_free(c);
}

static void a_write_is_sent_once(void **state)
{
    (void)state;
    struct http_client *c = client(&(struct http_client_options){0});
    char url[128];
    struct answer a;
    struct http_call warm = {0}, write = {.method = "POST", .body = "x", .body_len = 1, .changes_something = true};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/hello", peer.port);
    call_url(c, &warm, url, &a);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/dies", peer.port);
    call_url(c, &write, url, &a);
    assert_int_equal(a.code, ERR_LOST);
    assert_false(a.resent);
    struct http_call count = {0};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/count", peer.port);
    call_url(c, &count, url, &a);
    assert_string_equal(a.body, "1");
    http_client_free(c);
}

static void streams_come_in_pieces_and_can_be_ended(void **state)
{
    (void)state;
    struct answer a;
    get("/stream", &(struct http_call){.on_data = on_piece, .deadline_ms = 5000}, &a);
    assert_true(a.pieces >= 3);
    assert_int_equal(a.code, ERR_CANCELLED);
}

static void headers_with_line_ends_are_refused(void **state)
{
    (void)state;
    struct answer a;
    struct http_header h = {"X-Bad", "a\r\nb", NULL};
    get("/hello", &(struct http_call){.headers = &h, .nheaders = 1}, &a);
    assert_int_equal(a.code, ERR_INVALID);
}

static void tls_trusts_only_what_it_is_given(void **state)
{
    (void)state;
    char url[128];
    struct answer a;
    struct http_call call = {0};
    snprintf(url, sizeof url, "https://127.0.0.1:%d/hello", peer.tls_port);
    struct http_client *c = client(&(struct http_client_options){.ca_pem = peer.ca});
    call_url(c, &call, url, &a);
    assert_int_equal(a.code, ERR_NONE);
    assert_string_equal(a.body, "hello");
    http_client_free(c);
    c = client(&(struct http_client_options){0});
    call_url(c, &call, url, &a);
    assert_int_equal(a.code, ERR_UNREACHABLE);
    http_client_free(c);
    c = client(&(struct http_client_options){.ca_pem = peer.ca, .tls_server_name = "other.example"});
    call_url(c, &call, url, &a);
    assert_int_equal(a.code, ERR_UNREACHABLE);
    http_client_free(c);
    c = client(&(struct http_client_options){.ca_pem = peer.ca, .tls_server_name = "peer.test"});
    call_url(c, &call, url, &a);
    assert_int_equal(a.code, ERR_NONE);
    http_client_free(c);
}

static void cancelled_calls_do_not_come_back(void **state)
{
    (void)state;
    struct http_client *c = client(&(struct http_client_options){0});
    struct error err;
    struct answer a = {0};
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/slow", peer.port);
    struct http_call call = {.method = "GET", .url = url};
    struct http_request *r = http_start(c, &call, on_done, &a, &err);
    assert_non_null(r);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, 10);
    http_cancel(r);
    for (int i = 0; i < 10; i++)
        loop_turn(loop, 10);
    assert_false(a.done);
    http_client_free(c);
}

static void urls(void **state)
{
    (void)state;
    struct arena *a = arena_new(0);
    struct error err;
    struct url u;
    assert_true(url_parse("https://[::1]:6443/a?b#c", &u, a, &err));
    assert_string_equal(u.host, "::1");
    assert_int_equal(u.port, 6443);
    assert_string_equal(u.path, "/a?b");
    assert_true(url_parse("http://x", &u, a, &err));
    assert_int_equal(u.port, 80);
    assert_string_equal(u.path, "/");
    static const char *const bad[] = {"", "ftp://x", "https://", "https://x:0", "https://x:70000", "https://[::1", "https://a b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(url_parse(bad[i], &u, a, &err));
    assert_true(url_host_is_local("127.0.0.1") && url_host_is_local("169.254.169.254") && url_host_is_local("fd00:ec2::254") &&
                url_host_is_local("localhost") && url_host_is_local("::1"));
    assert_false(url_host_is_local("10.0.0.1") || url_host_is_local("example.com") || url_host_is_local("fd00:ec3::1"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),
        cmocka_unit_test(answers_come_whole),
        cmocka_unit_test(redirects_are_answers),
        cmocka_unit_test(failures_have_their_class),
        cmocka_unit_test(unreachable_is_not_sent),
        cmocka_unit_test(a_write_is_sent_once),
        cmocka_unit_test(streams_come_in_pieces_and_can_be_ended),
        cmocka_unit_test(headers_with_line_ends_are_refused),
        cmocka_unit_test(tls_trusts_only_what_it_is_given),
        cmocka_unit_test(cancelled_calls_do_not_come_back),
    };
    return cmocka_run_group_tests(tests, start_peer, stop_peer);
}
