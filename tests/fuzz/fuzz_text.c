/* fuzz_text.c - the small text parsers (instants, durations, numbers, base64, percent-coding) and the log's escaping.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/digest.h"
#include "platform/base/json.h"
#include "platform/base/log.h"
#include "platform/base/timefmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void numbers(const char *s) {
    char out[TIMEFMT_MAX];
    int64_t v = 0;

    if (timefmt_parse_rfc3339(s, &v)) {
        timefmt_rfc3339(v, out);
        assert(timefmt_parse_rfc3339(out, &v));
    }
    if (timefmt_parse_http_date(s, &v)) {
        timefmt_micro(v, out);
        timefmt_basic(v, out);
    }
    assert(!str_to_duration_ms(s, &v) || v >= 0);
    assert(!str_to_int64(s, &v) || v >= 0);
}

static void codings(const char *s, struct arena *a) {
    size_t n = 0;

    char *bytes = digest_base64_decode(s, &n, a);
    assert(bytes == NULL || n <= strlen(s));
    bytes = digest_base64url_decode(s, strlen(s), &n, a);
    assert(bytes == NULL || n <= strlen(s));
    (void)str_percent_decode(s, a);
    assert(strcmp(str_percent_decode(str_percent_encode(s, NULL, a), a), s) == 0);
}

static void log_line(const char *s) {
    char out[512];
    struct error err;
    const struct log_field field = F_STR("value", s);

    size_t n = log_render(out, sizeof out, LOG_FORMAT_JSON, 0, LOG_LEVEL_INFO, "fuzz", s, &field, 1);
    json *j = json_parse(out, n, &err);
    assert(j != NULL);
    json_free(j);
    n = log_render(out, sizeof out, LOG_FORMAT_TEXT, 0, LOG_LEVEL_INFO, "fuzz", s, &field, 1);
    assert(memchr(out, '\n', n) == out + n - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_new(0);
    char *s = arena_strndup(a, (const char *)data, size);

    numbers(s);
    codings(s, a);
    log_line(s);
    arena_free(a);
    return 0;
}
