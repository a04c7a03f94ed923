/* fuzz_http_headers.c - header lines as a server may send them, and Retry-After. One line a line of input. */
#include <assert.h>
#include <string.h>

#include "platform/http/headers.h"
#include "platform/http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct headers h = {0};
    const char *p = (const char *)data, *end = p + size;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t n = eol ? (size_t)(eol - p) + 1 : (size_t)(end - p);
        enum headers_line line = headers_take(&h, p, n);
        assert(h.n <= HEADERS_KEPT_MAX && h.bytes <= HTTP_HEADER_MAX);
        if (line == HEADERS_TOO_LARGE) {
            break;
        }
        if (line == HEADERS_BLOCK_ENDS) {
            int ms = headers_retry_after_ms(headers_get(&h, "Retry-After"), 1000000);
            assert(ms >= 0 && ms <= 300000);
            h.complete = n > 1; /* "\n" alone: as after 100 Continue */
        }
        p += n;
    }
    for (size_t i = 0; i < h.n; i++) {
        assert(headers_get(&h, h.v[i].name) != NULL);
        assert(strpbrk(h.v[i].name, "\n:") == NULL && strchr(h.v[i].value, '\n') == NULL);
    }
    headers_done(&h);
    return 0;
}
