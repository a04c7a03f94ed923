/* test_sim_http_request.c - requests as clients send them, and what no client should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "simulator/http_request_parser.h"

static struct arena *arena;
static struct sim_http_parsed out;

static enum sim_http_parse parse(const char *text) {
    return sim_http_request_parse(text, strlen(text), arena, &out);
}

static void test_get(void **state) {
    const char *text = "GET /api/v1/pods?watch=1&limit=5 HTTP/1.1\r\nHost: h\r\nauthorization: Bearer x\r\n"
                       "Accept:\t application/json \r\nConnection: close\r\n\r\nGET";
    (void)state;
    assert_int_equal(parse(text), SIM_HTTP_WHOLE);
    assert_string_equal(out.request.method, "GET");
    assert_string_equal(out.request.path, "/api/v1/pods");
    assert_string_equal(out.request.query, "watch=1&limit=5");
    assert_string_equal(out.request.authorization, "Bearer x");
    assert_string_equal(out.request.accept, "application/json");
    assert_null(out.request.content_type);
    assert_int_equal(out.request.body_len, 0);
    assert_string_equal(out.request.body, "");
    assert_true(out.close);
    assert_int_equal(out.used, strlen(text) - 3);
}

static void test_bodies(void **state) {
    (void)state;
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello!"), SIM_HTTP_WHOLE);
    assert_string_equal(out.request.body, "hello");
    assert_string_equal(out.request.query, "");
    assert_false(out.close);
    assert_int_equal(
        parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n"
              "0\r\n\r\nrest"),
        SIM_HTTP_WHOLE);
    assert_string_equal(out.request.body, "abc0123456789");
    assert_int_equal(out.request.body_len, 13);
    assert_int_equal(parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"),
                     SIM_HTTP_MORE);
    assert_int_equal(parse("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
                     SIM_HTTP_MORE);
    assert_true(out.expects_continue);
    assert_int_equal(parse("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-contin"), SIM_HTTP_MORE);
    assert_false(out.expects_continue);
}

/* Every beginning of a request asks for more, and nothing else. */
static void test_pieces(void **state) {
    static const char text[] =
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n";
    (void)state;
    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_int_equal(sim_http_request_parse(text, n, arena, &out), SIM_HTTP_MORE);
    assert_int_equal(parse(text), SIM_HTTP_WHOLE);
}

static void test_refused(void **state) {
    static const char *const wrong[] = {
        "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /\r\nHost: h\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nnothing\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000000000001\r\n",
        "\x16\x03\x01\x02",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (parse(wrong[i]) != SIM_HTTP_BAD)
            fail_msg("taken: %s", wrong[i]);
        assert_int_equal(out.status, 400);
        assert_non_null(out.why);
    }
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"), SIM_HTTP_BAD);
    assert_int_equal(out.status, 413);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n"), SIM_HTTP_BAD);
    assert_int_equal(out.status, 413);
}

static void test_bounds(void **state) {
    char *text = malloc(SIM_HTTP_HEAD_MAX + 64);
    (void)state;
    memset(text, 'a', SIM_HTTP_HEAD_MAX + 64);
    assert_int_equal(sim_http_request_parse(text, SIM_HTTP_HEAD_MAX - 1, arena, &out), SIM_HTTP_MORE);
    assert_int_equal(sim_http_request_parse(text, SIM_HTTP_HEAD_MAX, arena, &out), SIM_HTTP_BAD);
    assert_int_equal(out.status, 431);
    size_t n = (size_t)snprintf(text, 64, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < SIM_HTTP_HEADERS_MAX; i++)
        n += (size_t)snprintf(text + n, 64, "X%d: y\r\n", i);
    snprintf(text + n, 64, "\r\n");
    assert_int_equal(parse(text), SIM_HTTP_BAD);
    assert_int_equal(out.status, 431);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),     cmocka_unit_test(test_bodies), cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),
    };
    arena = arena_new(0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(arena);
    return failed;
}
