#include "platform/http/headers.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/error.h"
#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "platform/http/http.h"

#define RETRY_AFTER_MAX_MS 300000

static void forget(struct headers *h) {
    for (size_t i = 0; i < h->n; i++) {
        free(h->v[i].name);
        free(h->v[i].value);
    }
    h->n = 0;
}

void headers_done(struct headers *h) {
    forget(h);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char *trimmed(const char *p, size_t n) {
    while (n > 0 && is_space(*p)) {
        p++;
        n--;
    }
    while (n > 0 && is_space(p[n - 1])) {
        n--;
    }
    char *s = strndup(p, n);
    if (s == NULL) {
        die("out of memory");
    }
    return s;
}

static void keep(struct headers *h, const char *line, size_t n) {
    const char *colon = memchr(line, ':', n);
    if (colon == NULL || is_space(line[0]) || h->n >= HEADERS_KEPT_MAX) {
        return;
    }
    h->v[h->n].name = trimmed(line, (size_t)(colon - line));
    h->v[h->n++].value = trimmed(colon + 1, n - (size_t)(colon - line) - 1);
}

enum headers_line headers_take(struct headers *h, const char *line, size_t n) {
    if (n > HTTP_HEADER_MAX - h->bytes) {
        return HEADERS_TOO_LARGE;
    }
    h->bytes += n;
    if (h->complete) {
        return HEADERS_GO_ON;
    }
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        forget(h);
        return HEADERS_GO_ON;
    }
    if (n == 0 || line[0] == '\r' || line[0] == '\n') {
        return HEADERS_BLOCK_ENDS;
    }
    keep(h, line, n);
    return HEADERS_GO_ON;
}

const char *headers_get(const struct headers *h, const char *name) {
    for (size_t i = 0; i < h->n; i++) {
        if (str_eq_nocase(h->v[i].name, name)) {
            return h->v[i].value;
        }
    }
    return NULL;
}

int headers_retry_after_ms(const char *value, int64_t now_wall_ms) {
    int64_t seconds = 0;
    int64_t at_ms = 0;
    if (value == NULL) {
        return 0;
    }
    if (str_to_int64(value, &seconds)) {
        return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : (int)(seconds * 1000);
    }
    if (!timefmt_parse_http_date(value, &at_ms) || at_ms <= now_wall_ms) {
        return 0;
    }
    return at_ms - now_wall_ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : (int)(at_ms - now_wall_ms);
}
