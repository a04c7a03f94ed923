/* test_text.c - instants as text, log lines, digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <unistd.h>

#include "platform/base/digest.h"
#include "platform/base/json.h"
#include "platform/base/log.h"
#include "platform/base/timefmt.h"

static void test_instants(void **state) {
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {INT64_C(1767323045678), "2026-01-02T03:04:05Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00Z"},
        {INT64_C(4107542400000), "2100-03-01T00:00:00Z"},
        {INT64_C(-62167219200000), "0000-01-01T00:00:00Z"},
        {INT64_MIN, "0000-01-01T00:00:00Z"},
        {INT64_MAX, "9999-12-31T23:59:59Z"},
    };
    char out[TIMEFMT_MAX];
    int64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        timefmt_rfc3339(cases[i].ms, out);
        assert_string_equal(out, cases[i].text);
        assert_true(timefmt_parse_rfc3339(out, &ms));
    }
    /* Every day of 800 years there and back. */
    for (int64_t d = -146097; d < 146097; d++) {
        timefmt_rfc3339(d * 86400000, out);
        assert_true(timefmt_parse_rfc3339(out, &ms) && ms == d * 86400000);
    }
    timefmt_micro(INT64_C(1767323045678901), out);
    assert_string_equal(out, "2026-01-02T03:04:05.678901Z");
    timefmt_micro(0, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000000Z");
    timefmt_micro(-1, out);
    assert_string_equal(out, "1969-12-31T23:59:59.999999Z");
    timefmt_micro(INT64_MAX, out);
    assert_string_equal(out, "9999-12-31T23:59:59.999999Z");
    timefmt_basic(INT64_C(1767323045678), out);
    assert_string_equal(out, "20260102T030405Z");
}

static void test_parse_rfc3339(void **state) {
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"2026-01-02T03:04:05Z", INT64_C(1767323045000)},
                {"2026-01-02T03:04:05.6Z", INT64_C(1767323045600)},
                {"2026-01-02T03:04:05.678901234Z", INT64_C(1767323045678)},
                {"2026-01-02t05:04:05+02:00", INT64_C(1767323045000)},
                {"2026-01-01T22:34:05-04:30", INT64_C(1767323045000)},
                {"2016-12-31T23:59:60Z", INT64_C(1483228800000)}};
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-01-02",
                                      "2026-01-02T03:04:05",
                                      "2026-13-02T03:04:05Z",
                                      "2026-00-02T03:04:05Z",
                                      "2026-02-29T03:04:05Z",
                                      "2026-04-31T03:04:05Z",
                                      "2026-01-00T03:04:05Z",
                                      "2026-01-02T24:04:05Z",
                                      "2026-01-02T03:60:05Z",
                                      "2026-01-02T03:04:61Z",
                                      "2026-01-02T03:04:05.Z",
                                      "2026-01-02T03:04:05ZZ",
                                      "2026-01-02 03:04:05Z",
                                      "2026-01-02T03:04:05+2:00",
                                      "2026-01-02T03:04:05+24:00",
                                      "2026-01-02T03:04:05+02:60",
                                      "2026-01-02T03:04:05+0200",
                                      "26-01-02T03:04:05Z",
                                      " 2026-01-02T03:04:05Z",
                                      "-026-01-02T03:04:05Z",
                                      "1900-02-29T00:00:00Z",
                                      "2026-01-02T03:04:05*02:00",
                                      "2026-01-02T03-04-05Z"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t ms = 0;
        assert_true(timefmt_parse_rfc3339(good[i].text, &ms));
        assert_true(ms == good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms = 77;
        if (timefmt_parse_rfc3339(bad[i], &ms)) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_true(ms == 77);
    }
    assert_false(timefmt_parse_rfc3339(NULL, NULL));
}

static void test_parse_http_date(void **state) {
    static const char *const bad[] = {"",
                                      "Su",
                                      "Sun",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Xxx, 06 Nov 1994 08:49:37 GMT",
                                      "Sun, 31 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 nov 1994 08:49:37 GMT",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 25:49:37 GMT",
                                      "Sunday, 06-Nov-94 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "5"};
    int64_t ms = 0;
    (void)state;
    assert_true(timefmt_parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", &ms));
    assert_true(ms == INT64_C(784111777000));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ms = 77;
        assert_false(timefmt_parse_http_date(bad[i], &ms));
        assert_true(ms == 77);
    }
    assert_false(timefmt_parse_http_date(NULL, &ms));
}

static void test_log_render__json(void **state) {
    char out[LOG_LINE_MAX];
    const struct log_field fields[] = {F_STR("key", "a/b\n\"q\"\x1b[2J\xff\x7f\xc2\x9b"),
                                       F_INT("n", INT64_MIN),
                                       F_BOOL("t", true),
                                       F_BOOL("f", false),
                                       F_STR("null", NULL),
                                       F_STR(NULL, "skipped")};
    (void)state;
    size_t n = log_render(out, sizeof out, LOG_FORMAT_JSON, INT64_C(1767323045678), LOG_LEVEL_WARN, "queue",
                          "re\tqueued", fields, sizeof fields / sizeof fields[0]);
    assert_int_equal(n, strlen(out));
    assert_string_equal(out, "{\"time\":\"2026-01-02T03:04:05.678000Z\",\"level\":\"warn\",\"component\":\"queue\","
                             "\"msg\":\"re\\tqueued\",\"key\":\"a/b\\n\\\"q\\\"\\u001b[2J\\ufffd\\u007f\\u009b\","
                             "\"n\":-9223372036854775808,\"t\":true,\"f\":false,\"null\":\"\"}\n");
}

static void test_log_render__text(void **state) {
    char out[LOG_LINE_MAX];
    const struct log_field fields[] = {F_STR("k", "plain"), F_STR("q", "two words"), F_STR("e", ""),
                                       F_STR("x", "a=b\n"), F_INT("n", 7)};
    (void)state;
    (void)log_render(out, sizeof out, LOG_FORMAT_TEXT, 0, LOG_LEVEL_INFO, "c", "say \"x\"\n", fields, 5);
    assert_string_equal(out, "1970-01-01T00:00:00.000000Z info c: say \\\"x\\\"\\n k=plain q=\"two words\" e=\"\" "
                             "x=\"a=b\\n\" n=7\n");
}

/* Whatever the size of the line, it is cut, terminated and valid JSON. */
static void test_log_render__always_valid(void **state) {
    char big[9000];
    char out[LOG_LINE_MAX];
    (void)state;
    memset(big, 'x', sizeof big - 1);
    memset(big, '\x01', 200);
    big[sizeof big - 1] = '\0';
    const struct log_field fields[] = {F_STR("big", big), F_INT("n", 1), F_STR(big, "v"), F_STR("again", big)};
    for (size_t size = 0; size <= 2000; size++) {
        for (int format = 0; format < 2; format++) {
            size_t n = log_render(out, size, (enum log_format)format, INT64_MAX, LOG_LEVEL_ERROR,
                                  size % 2 != 0 ? "c" : NULL, size % 3 != 0 ? big : NULL, fields, 4);
            if (size < 256) {
                assert_int_equal(n, 0);
                continue;
            }
            assert_true(n < size);
            assert_int_equal(out[n - 1], '\n');
            if (format == LOG_FORMAT_JSON) {
                struct error err;
                json *j = json_parse(out, n, &err);
                if (j == NULL) {
                    fail_msg("%s: %s", err.message, out);
                }
                json_free(j);
            }
        }
    }
}

static char sunk[LOG_LINE_MAX];
static void sink(void *ctx, const char *line, size_t len) {
    (void)ctx;
    memcpy(sunk, line, len);
    sunk[len] = '\0';
}

static void test_log_write__levels(void **state) {
    enum log_level level;
    enum log_format format;
    (void)state;
    log_set_sink(sink, NULL);
    log_configure(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    LOG_INFO("c", "not seen");
    assert_string_equal(sunk, "");
    LOG_ERROR("c", "seen", F_INT("n", 3));
    assert_non_null(strstr(sunk, "error c: seen n=3\n"));
    LOG_WARN("c", "no fields");
    assert_non_null(strstr(sunk, "warn c: no fields\n"));
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    log_set_sink(NULL, NULL);
    int saved = dup(STDERR_FILENO);
    assert_true(close(STDERR_FILENO) == 0);
    LOG_ERROR("c", "nowhere to go"); /* a failed write never fails the caller */
    assert_true(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
    assert_true(close(saved) == 0);
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    assert_true(log_level_parse("debug", &level) && level == LOG_LEVEL_DEBUG);
    assert_true(log_level_parse("error", &level) && level == LOG_LEVEL_ERROR);
    assert_false(log_level_parse("INFO", &level) || log_level_parse(NULL, &level) || log_level_parse("", &level));
    assert_true(log_format_parse("text", &format) && format == LOG_FORMAT_TEXT);
    assert_true(log_format_parse("json", &format) && format == LOG_FORMAT_JSON);
    assert_false(log_format_parse("xml", &format) || log_format_parse(NULL, &format));
}

static void test_sha256_and_hmac(void **state) {
    char hex[DIGEST_SHA256_HEX];
    unsigned char raw[DIGEST_SHA256_BYTES];
    (void)state;
    digest_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, raw); /* RFC 4231, case 2 */
    digest_hex(raw, sizeof raw, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void test_base64(void **state) {
    static const struct {
        const char *text;
        const char *bytes;
    } good[] = {{"", ""},           {"Zg==", "f"},           {"Zm8=", "fo"},
                {"Zm9v", "foo"},    {"Zm9vYg==", "foob"},    {"Zm9v\nYmFy\r\n", "foobar"},
                {" Z g = = ", "f"}, {"+/+/", "\xfb\xff\xbf"}};
    static const char *const bad[] = {"Z",    "Zg",    "Zg=",  "Zg===", "Zh==",   "Zm9=",     "=",       "====",
                                      "Z===", "Zm9v=", "Zm=v", "Zm-v",  "Zm9vYg", "Zm9v*AAA", "Zg==Zg=="};
    struct arena *a = arena_new(0);
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char *p = digest_base64_decode(good[i].text, &n, a);
        assert_non_null(p);
        assert_int_equal(n, strlen(good[i].bytes));
        assert_string_equal(p, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (digest_base64_decode(bad[i], &n, a) != NULL) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    assert_null(digest_base64_decode(NULL, &n, a));
    assert_null(digest_base64url_decode(NULL, 0, &n, a));
    assert_string_equal(digest_base64url_decode("Zm9vYg.rest", 6, &n, a), "foob");
    assert_int_equal(n, 4);
    assert_string_equal(digest_base64url_decode("-_-_", 4, &n, a), "\xfb\xff\xbf");
    assert_null(digest_base64url_decode("Zm9vY", 5, &n, a));
    assert_null(digest_base64url_decode("Zg==", 4, &n, a));
    assert_null(digest_base64url_decode("+/+/", 4, &n, a));
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_instants),
        cmocka_unit_test(test_parse_rfc3339),
        cmocka_unit_test(test_parse_http_date),
        cmocka_unit_test(test_log_render__json),
        cmocka_unit_test(test_log_render__text),
        cmocka_unit_test(test_log_render__always_valid),
        cmocka_unit_test(test_log_write__levels),
        cmocka_unit_test(test_sha256_and_hmac),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
