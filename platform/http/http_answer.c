/* http_answer.c - what comes back: header lines, bodies whole or in pieces, and how often the request went out. */
#include <string.h>

#include "platform/http/http_internal.h"

static const char *find_header(const struct http_response *response, const char *name) {
    const struct http_request *r = response->headers_;
    return headers_get(&r->headers, name);
}

void http_fill_response(struct http_request *r, struct http_response *out) {
    long status = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    memset(out, 0, sizeof *out);
    out->status = (int)status;
    out->header = find_header;
    out->headers_ = r;
    out->resent = r->sends > 1;
}

static void tell_headers(struct http_request *r) {
    struct http_response response;
    http_fill_response(r, &response);
    if (response.status < 200)
        return; /* 100 Continue is no answer */
    r->headers.complete = true;
    if (r->on_headers && !r->cancelled)
        r->on_headers(r->arg, &response);
}

static size_t on_header(char *p, size_t size, size_t n, void *arg) {
    struct http_request *r = arg;
    n *= size;
    switch (headers_take(&r->headers, p, n)) {
    case HEADERS_TOO_LARGE:
        r->too_large = true;
        return 0;
    case HEADERS_BLOCK_ENDS:
        tell_headers(r);
        break;
    case HEADERS_GO_ON:
        break;
    }
    return r->cancelled ? 0 : n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    struct http_request *r = arg;
    n *= size;
    if (r->cancelled)
        return 0;
    if (r->stream) {
        if (r->on_data(r->arg, p, n) && !r->cancelled)
            return n;
        r->ended_by_us = true;
        return 0;
    }
    if (r->body.n + n > r->max_body || !buf_append(&r->body, p, n)) {
        r->too_large = true;
        return 0;
    }
    return n;
}

/* Counts the request lines that really went out. CURLINFO_REQUEST_SIZE counts a proxy's CONNECT as well, and
 * CURLINFO_NUM_CONNECTS does not tell a first try on a pooled connection from a second one on a new connection. Nothing
 * is kept of what is seen here. */
static int on_debug(CURL *easy, curl_infotype type, char *p, size_t n, void *arg) {
    struct http_request *r = arg;
    size_t method_n = strlen(r->method);
    (void)easy;
    if (type == CURLINFO_HEADER_OUT && n > method_n && memcmp(p, r->method, method_n) == 0 && p[method_n] == ' ')
        r->sends++;
    return 0;
}

void http_receive_into(struct http_request *r) {
    curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_DEBUGFUNCTION, on_debug);
    curl_easy_setopt(r->easy, CURLOPT_DEBUGDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->curl_error);
}
