/* http_request_parser.c - request line, headers, and a body by length or in chunks. */
#include "simulator/http_request_parser.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define METHOD_MAX 16

struct span {
    const char *p; /* NULL: absent */
    size_t n;
};

struct head {
    struct span method, path, query;
    struct span authorization, accept, content_type, user_agent, host;
    struct span length, encoding, expect, connection;
    size_t end; /* the first byte of the body */
};

static enum sim_http_parse bad(struct sim_http_parsed *out, int status, const char *why) {
    out->status = status;
    out->why = why;
    return SIM_HTTP_BAD;
}

static bool span_is(struct span s, const char *text) {
    return s.p && s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

static char *span_copy(struct span s, struct arena *a) {
    return s.p ? arena_strndup(a, s.p, s.n) : NULL;
}

static bool is_token(struct span s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.n > 0;
}

/* Lines end with CR LF, and nothing below a space is in them but tabs. */
static bool is_text(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '\r' && (i + 1 == n || p[i + 1] == '\n'))
            continue;
        if (c == '\n' && i > 0 && p[i - 1] == '\r')
            continue;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* The line that begins at *at, without its end; false when there is none. */
static bool take_line(const char *p, size_t n, size_t *at, struct span *line) {
    const char *end = *at < n ? memmem(p + *at, n - *at, "\r\n", 2) : NULL;
    if (!end)
        return false;
    *line = (struct span){p + *at, (size_t)(end - (p + *at))};
    *at += line->n + 2;
    return true;
}

static const char *read_target(struct span target, struct head *h) {
    if (target.n == 0 || target.p[0] != '/')
        return "the target is no path";
    for (size_t i = 0; i < target.n; i++)
        if (target.p[i] <= ' ' || target.p[i] >= 0x7f || target.p[i] == '#')
            return "the target has bytes that belong percent-encoded";
    const char *mark = memchr(target.p, '?', target.n);
    size_t path = mark ? (size_t)(mark - target.p) : target.n;
    h->path = (struct span){target.p, path};
    h->query = mark ? (struct span){mark + 1, target.n - path - 1} : (struct span){"", 0};
    return NULL;
}

static const char *read_request_line(struct span line, struct head *h) {
    const char *first = memchr(line.p, ' ', line.n);
    const char *last = memrchr(line.p, ' ', line.n);
    if (line.n > SIM_HTTP_LINE_MAX)
        return "the request line is too long";
    if (!first || first == last)
        return "the request line is not METHOD TARGET HTTP/1.1";
    h->method = (struct span){line.p, (size_t)(first - line.p)};
    struct span version = {last + 1, line.n - (size_t)(last + 1 - line.p)};
    if (version.n != 8 || memcmp(version.p, "HTTP/1.1", 8) != 0)
        return "only HTTP/1.1 is spoken here";
    if (h->method.n > METHOD_MAX || !is_token(h->method))
        return "the method is none";
    return read_target((struct span){first + 1, (size_t)(last - first - 1)}, h);
}

/* Where a header's value goes; NULL: nobody reads it. */
static struct span *place_of(struct head *h, struct span name) {
    const struct {
        const char *name;
        struct span *to;
    } known[] = {
        {"Authorization", &h->authorization}, {"Accept", &h->accept}, {"Content-Type", &h->content_type},
        {"User-Agent", &h->user_agent},       {"Host", &h->host},     {"Content-Length", &h->length},
        {"Transfer-Encoding", &h->encoding},  {"Expect", &h->expect}, {"Connection", &h->connection},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_is(name, known[i].name))
            return known[i].to;
    return NULL;
}

static const char *read_header(struct span line, struct head *h) {
    const char *colon = memchr(line.p, ':', line.n);
    if (!colon)
        return "a header has no colon";
    struct span name = {line.p, (size_t)(colon - line.p)};
    struct span value = {colon + 1, line.n - name.n - 1};
    if (!is_token(name))
        return "a header's name is none";
    while (value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t')) {
        value.p++;
        value.n--;
    }
    while (value.n > 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
        value.n--;
    struct span *to = place_of(h, name);
    if (to && to->p)
        return "a header comes twice";
    if (to)
        *to = value;
    return NULL;
}

static enum sim_http_parse read_head(const char *p, size_t n, struct head *h, struct sim_http_parsed *out) {
    size_t seen = n < SIM_HTTP_HEAD_MAX ? n : SIM_HTTP_HEAD_MAX, at = 0;
    const char *end = memmem(p, seen, "\r\n\r\n", 4);
    struct span line;
    if (!is_text(p, end ? (size_t)(end - p) + 4 : seen))
        return bad(out, 400, "the head is no text");
    if (!end)
        return n < SIM_HTTP_HEAD_MAX ? SIM_HTTP_MORE : bad(out, 431, "the head is too large");
    h->end = (size_t)(end - p) + 4;
    if (!take_line(p, h->end, &at, &line))
        return bad(out, 400, "no request line");
    const char *why = read_request_line(line, h);
    for (int count = 0; !why && at + 2 < h->end; count++) {
        if (count == SIM_HTTP_HEADERS_MAX)
            return bad(out, 431, "too many headers");
        if (!take_line(p, h->end, &at, &line))
            return bad(out, 400, "a header does not end");
        why = read_header(line, h);
    }
    if (!why && !h->host.p)
        why = "there is no Host";
    if (!why && h->expect.p && !span_is(h->expect, "100-continue"))
        why = "it expects what is not known here";
    return why ? bad(out, 400, why) : SIM_HTTP_WHOLE;
}

static bool read_number(struct span s, unsigned base, size_t *out) {
    size_t value = 0;
    if (s.n == 0 || s.n > 9)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit >= base)
            return false;
        value = value * base + digit;
    }
    *out = value;
    return true;
}

/* One chunk: its size and where it begins. The size line is short: without its end, more than 16 bytes are too many. */
static enum sim_http_parse read_chunk(const char *p, size_t n, size_t *at, struct span *data,
                                      struct sim_http_parsed *out) {
    struct span line;
    size_t size;
    if (!take_line(p, n < *at + 16 ? n : *at + 16, at, &line))
        return n < *at + 16 ? SIM_HTTP_MORE : bad(out, 400, "a chunk's size is too long");
    if (!read_number(line, 16, &size))
        return bad(out, 400, "a chunk's size is no number");
    if (size > SIM_HTTP_BODY_MAX)
        return bad(out, 413, "the body is too large");
    if (n - *at < size + 2)
        return SIM_HTTP_MORE;
    *data = (struct span){p + *at, size};
    *at += size;
    if (memcmp(p + *at, "\r\n", 2) != 0)
        return bad(out, 400, "a chunk does not end where it says");
    *at += 2;
    return SIM_HTTP_WHOLE;
}

/* Once to measure (body NULL), once more to copy. */
static enum sim_http_parse read_chunks(const char *p, size_t n, size_t start, char *body, size_t *len, size_t *end,
                                       struct sim_http_parsed *out) {
    *end = start;
    *len = 0;
    for (int count = 0; count < SIM_HTTP_CHUNKS_MAX; count++) {
        struct span data;
        enum sim_http_parse r = read_chunk(p, n, end, &data, out);
        if (r != SIM_HTTP_WHOLE || data.n == 0)
            return r;
        if (*len + data.n > SIM_HTTP_BODY_MAX)
            return bad(out, 413, "the body is too large");
        if (body)
            memcpy(body + *len, data.p, data.n);
        *len += data.n;
    }
    return bad(out, 413, "too many chunks");
}

/* Where the body is and how long; chunks are joined later. */
static enum sim_http_parse measure_body(const char *p, size_t n, const struct head *h, size_t *len, size_t *end,
                                        struct sim_http_parsed *out) {
    *len = 0;
    *end = h->end;
    if (h->encoding.p && h->length.p)
        return bad(out, 400, "a length and chunks");
    if (h->encoding.p && !span_is(h->encoding, "chunked"))
        return bad(out, 400, "a transfer encoding other than chunked");
    if (h->encoding.p)
        return read_chunks(p, n, h->end, NULL, len, end, out);
    if (h->length.p && !read_number(h->length, 10, len))
        return bad(out, h->length.n > 9 ? 413 : 400, "the length is no number");
    if (*len > SIM_HTTP_BODY_MAX)
        return bad(out, 413, "the body is too large");
    *end += *len;
    return n < *end ? SIM_HTTP_MORE : SIM_HTTP_WHOLE;
}

static void fill(const char *p, size_t n, const struct head *h, size_t len, struct arena *a,
                 struct sim_http_parsed *out) {
    char *body = arena_alloc(a, len + 1);
    size_t end;
    if (h->encoding.p)
        read_chunks(p, n, h->end, body, &len, &end, out);
    else if (len > 0)
        memcpy(body, p + h->end, len);
    out->request = (struct sim_http_request){.method = span_copy(h->method, a),
                                             .path = span_copy(h->path, a),
                                             .query = span_copy(h->query, a),
                                             .authorization = span_copy(h->authorization, a),
                                             .accept = span_copy(h->accept, a),
                                             .content_type = span_copy(h->content_type, a),
                                             .user_agent = span_copy(h->user_agent, a),
                                             .body = body,
                                             .body_len = len};
    out->close = span_is(h->connection, "close");
}

enum sim_http_parse sim_http_request_parse(const char *bytes, size_t n, struct arena *a, struct sim_http_parsed *out) {
    struct head h = {0};
    size_t len, end;
    *out = (struct sim_http_parsed){0};
    enum sim_http_parse r = n > 0 ? read_head(bytes, n, &h, out) : SIM_HTTP_MORE;
    if (r != SIM_HTTP_WHOLE)
        return r;
    r = measure_body(bytes, n, &h, &len, &end, out);
    if (r == SIM_HTTP_MORE)
        out->expects_continue = h.expect.p != NULL;
    if (r != SIM_HTTP_WHOLE)
        return r;
    fill(bytes, n, &h, len, a, out);
    out->used = end;
    return SIM_HTTP_WHOLE;
}
