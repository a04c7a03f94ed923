/* url.c, proxy.c, headers.c: what needs no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/http/headers.h"
#include "platform/http/http.h"
#include "platform/http/proxy.h"

static void urls_are_taken_apart(void **state) {
    static const struct {
        const char *text, *scheme, *host, *path;
        int port;
    } rows[] = {
        {"https://[::1]:6443/a?b#c", "https", "::1", "/a?b", 6443},
        {"http://x", "http", "x", "/", 80},
        {"https://a.example", "https", "a.example", "/", 443},
        {"https://a.example?x=1", "https", "a.example", "/?x=1", 443},
        {"https://a.example#f", "https", "a.example", "/", 443},
        {"https://a.example:443/..%2f/./b", "https", "a.example", "/..%2f/./b", 443},
        {"https://u:p@a.example/", "https", "a.example", "/", 443},
        {"https://[fe80::1%25eth0]/", "https", "fe80::1%25eth0", "/", 443},
        {"https://a_b.example./@", "https", "a_b.example.", "/@", 443},
    };
    (void)state;
    struct arena *a = arena_new(0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err;
        struct url u;
        assert_true(url_parse(rows[i].text, &u, a, &err));
        assert_string_equal(u.scheme, rows[i].scheme);
        assert_string_equal(u.host, rows[i].host);
        assert_string_equal(u.path, rows[i].path);
        assert_int_equal(u.port, rows[i].port);
        assert_int_equal(u.has_userinfo, strchr(rows[i].text, '@') && rows[i].text[8] == 'u');
    }
    arena_free(a);
}

static void what_parsers_read_differently_is_refused(void **state) {
    static const char *const rows[] = {
        "",
        "x",
        "ftp://x",
        "HTTPS://x",
        "https:/x",
        "https://",
        "https://:443",
        "https://x:",
        "https://x:0",
        "https://x:70000",
        "https://x:1x",
        "https://x:-1",
        "https://[::1",
        "https://[::1]x",
        "https://[::1]443",
        "https://[x]/",
        "https://[]/",
        "https://[127.0.0.1]/",
        "https://a b",
        "https://a\tb",
        "https://a\n",
        "https://evil\\good/",
        "https://a%2eb/",
        "https://a;b/",
        "https://::1/",
        "https://a,b/",
        "https://[::1%25a@b]/",
        "https://\xc3\xa9.example/",
        "https://a..b:80:80/",
    };
    (void)state;
    struct arena *a = arena_new(0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err;
        struct url u;
        if (url_parse(rows[i], &u, a, &err))
            fail_msg("%s was accepted", rows[i]);
        assert_int_equal(err.code, ERR_INVALID);
        assert_true(err.message[0]);
    }
    char *large = arena_alloc(a, 9001);
    memset(large, 'a', 9000);
    memcpy(large, "https://", 8);
    struct error err;
    struct url u;
    assert_false(url_parse(large, &u, a, &err));
    assert_false(url_parse(NULL, &u, a, &err));
    arena_free(a);
}

static void local_hosts(void **state) {
    static const char *const yes[] = {"localhost",     "LOCALHOST",       "127.0.0.1",      "127.255.0.1",
                                      "::1",           "169.254.169.254", "169.254.170.23", "fe80::1",
                                      "fd00:ec2::254", "fd00:ec2::23"};
    static const char *const no[] = {"10.0.0.1",          "example.com", "fd00:ec3::1",
                                     "localhost.example", "localhost.",  "128.0.0.1",
                                     "169.255.0.1",       "2130706433",  "127.1",
                                     "0177.0.0.1",        "0.0.0.0",     "::",
                                     "::ffff:127.0.0.1",  "fec0::1",     ""};
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(url_host_is_local(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(url_host_is_local(no[i]));
    assert_false(url_host_is_local(NULL));
}

/* --- proxies: the rows are those that Go's httpproxy answers the same way --- */

static void no_proxy_as_go_reads_it(void **state) {
    static const struct {
        const char *no_proxy, *url;
        bool direct;
    } rows[] = {
        {NULL, "https://a.example/", false},
        {"", "https://a.example/", false},
        {"*", "https://a.example/", true},
        {"a.example", "https://a.example/", true},
        {"A.Example", "https://a.eXAMPLE/", true},
        {"a.example", "https://b.a.example/", true},
        {"a.example", "https://ba.example/", false},
        {".a.example", "https://a.example/", false},
        {".a.example", "https://b.a.example/", true},
        {"*.a.example", "https://b.a.example/", true},
        {"*.a.example", "https://a.example/", false},
        {"a.example:443", "https://a.example/", true},
        {"a.example:8443", "https://a.example/", false},
        {"a.example:8443", "https://a.example:8443/", true},
        {"x.example, a.example", "https://a.example/", true},
        {"x.example,,a.example,", "https://a.example/", true},
        {"10.0.0.1", "https://10.0.0.1/", true},
        {"10.0.0.1", "https://10.0.0.10/", false},
        {"10.0.0.1:443", "https://10.0.0.1/", true},
        {"10.0.0.1:444", "https://10.0.0.1/", false},
        {"10.0.0.0/8", "https://10.1.2.3/", true},
        {"10.0.0.0/8", "https://11.1.2.3/", false},
        {"10.0.0.0/9", "https://10.127.0.1/", true},
        {"10.0.0.0/9", "https://10.128.0.1/", false},
        {"0.0.0.0/0", "https://1.2.3.4/", true},
        {"10.0.0.0/33", "https://10.0.0.0/", false},
        {"10.0.0.0/x", "https://10.0.0.0/", false},
        {"10.0.0.0/8", "https://ten.example/", false},
        {"fd00::/8", "https://[fd00:1::1]/", true},
        {"fd00::/8", "https://[fe00::1]/", false},
        {"2001:db8::1", "https://[2001:db8::1]/", true},
        {"[2001:db8::1]:443", "https://[2001:db8::1]/", true},
        {"[2001:db8::1]:1", "https://[2001:db8::1]/", false},
        {"0.0.0.1", "https://10.0.0.1/", false},
        {"/8", "https://10.0.0.1/", false},
        {".", "https://10.0.0.1/", false},
        {":443", "https://a.example/", false},
        {"[", "https://a.example/", false},
    };
    (void)state;
    struct arena *a = arena_new(0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err;
        struct url u;
        struct proxy_settings s = {.https_proxy = "http://proxy:3128", .no_proxy = rows[i].no_proxy};
        assert_true(url_parse(rows[i].url, &u, a, &err));
        if (str_empty(proxy_for(&u, &s)) != rows[i].direct)
            fail_msg("NO_PROXY=%s %s", str_or(rows[i].no_proxy, ""), rows[i].url);
    }
    arena_free(a);
}

static void the_scheme_chooses_the_proxy(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct error err;
    struct url tls, clear, local;
    assert_true(url_parse("https://a.example", &tls, a, &err) && url_parse("http://a.example", &clear, a, &err) &&
                url_parse("http://169.254.169.254/", &local, a, &err));
    struct proxy_settings s = {.https_proxy = "s", .http_proxy = "c"};
    assert_string_equal(proxy_for(&tls, &s), "s");
    assert_string_equal(proxy_for(&clear, &s), "c");
    assert_string_equal(proxy_for(&local, &s), ""); /* metadata is never asked through a proxy */
    s.https_proxy = NULL;
    assert_string_equal(proxy_for(&tls, &s), "");
    arena_free(a);
}

static void the_environment_upper_case_first(void **state) {
    (void)state;
    setenv("https_proxy", "lower", 1);
    setenv("ALL_PROXY", "all", 1);
    unsetenv("HTTPS_PROXY");
    unsetenv("HTTP_PROXY");
    unsetenv("http_proxy");
    setenv("NO_PROXY", "n", 1);
    struct proxy_settings s = proxy_settings_of_environment();
    assert_string_equal(s.https_proxy, "lower");
    assert_null(s.http_proxy);
    assert_string_equal(s.no_proxy, "n");
    setenv("HTTPS_PROXY", "upper", 1);
    assert_string_equal(proxy_settings_of_environment().https_proxy, "upper");
    setenv("HTTPS_PROXY", "", 1);
    assert_string_equal(proxy_settings_of_environment().https_proxy, "lower");
}

/* --- headers --- */

static enum headers_line take(struct headers *h, const char *line) {
    return headers_take(h, line, strlen(line));
}

static void header_lines(void **state) {
    (void)state;
    struct headers h = {0};
    take(&h, "HTTP/1.1 100 Continue\r\n");
    take(&h, "X-Old: 1\r\n");
    assert_int_equal(take(&h, "\r\n"), HEADERS_BLOCK_ENDS);
    take(&h, "HTTP/1.1 200 OK\r\n");
    take(&h, "Content-Type:\t text/plain \t\r\n");
    take(&h, "X-Twice: first\r\n");
    take(&h, "x-twice: second\r\n");
    take(&h, " X-Folded: no\r\n");
    take(&h, "no colon\r\n");
    take(&h, "X-Empty:\r\n");
    assert_int_equal(take(&h, "\r\n"), HEADERS_BLOCK_ENDS);
    h.complete = true;
    assert_int_equal(take(&h, "X-Trailer: 1\r\n"), HEADERS_GO_ON);
    assert_int_equal(take(&h, "\r\n"), HEADERS_GO_ON);
    assert_null(headers_get(&h, "X-Old"));
    assert_string_equal(headers_get(&h, "content-type"), "text/plain");
    assert_string_equal(headers_get(&h, "X-TWICE"), "first");
    assert_null(headers_get(&h, "X-Folded"));
    assert_string_equal(headers_get(&h, "X-Empty"), "");
    assert_null(headers_get(&h, "X-Trailer"));
    headers_done(&h);
}

static void header_bounds(void **state) {
    (void)state;
    struct headers h = {0};
    for (int i = 0; i < 2 * HEADERS_KEPT_MAX; i++)
        assert_int_equal(take(&h, "A: b\r\n"), HEADERS_GO_ON);
    assert_int_equal(h.n, HEADERS_KEPT_MAX);
    char line[1024];
    memset(line, 'x', sizeof line);
    enum headers_line last = HEADERS_GO_ON;
    int taken = 0;
    while (last == HEADERS_GO_ON && taken++ < 100)
        last = headers_take(&h, line, sizeof line);
    assert_int_equal(last, HEADERS_TOO_LARGE);
    assert_in_range(taken, 60, 64);
    headers_done(&h);
}

static void retry_after(void **state) {
    static const struct {
        const char *value;
        int ms;
    } rows[] = {
        {NULL, 0},
        {"", 0},
        {"0", 0},
        {"1", 1000},
        {"32", 32000},
        {"300", 300000},
        {"301", 300000},
        {"99999999999999999", 300000},
        {"99999999999999999999999", 0},
        {"-1", 0},
        {"1.5", 0},
        {"soon", 0},
        {"5 ", 0},
        {"Thu, 01 Jan 1970 00:02:00 GMT", 20000},
        {"Thu, 01 Jan 1970 00:01:00 GMT", 0},
        {"Thu, 01 Jan 2070 00:00:00 GMT", 300000},
        {"Thu, 01 Jan 1970", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(headers_retry_after_ms(rows[i].value, 100000), rows[i].ms);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(what_parsers_read_differently_is_refused),
        cmocka_unit_test(local_hosts),
        cmocka_unit_test(no_proxy_as_go_reads_it),
        cmocka_unit_test(the_scheme_chooses_the_proxy),
        cmocka_unit_test(the_environment_upper_case_first),
        cmocka_unit_test(header_lines),
        cmocka_unit_test(header_bounds),
        cmocka_unit_test(retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
