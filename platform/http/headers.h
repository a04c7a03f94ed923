/*
 * headers.h - the header lines of an answer, as curl hands them over one by one.
 *
 * Model: a status line begins a new block and forgets the one before (100 Continue). Folded lines and lines without a
 * colon are dropped. Ownership: headers_done frees; values are borrowed until the next block. Errors: HEADERS_TOO_LARGE
 * beyond HTTP_HEADER_MAX bytes of all blocks together. Bounds: HTTP_HEADER_MAX bytes; HEADERS_KEPT_MAX lines are kept,
 * later ones are dropped (no answer we read has that many).
 */
#ifndef CNI_IAM_HTTP_HEADERS_H
#define CNI_IAM_HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADERS_KEPT_MAX 128

struct headers {
    struct {
        char *name, *value;
    } v[HEADERS_KEPT_MAX];
    size_t n, bytes;
    bool complete; /* the final block has ended: what comes now are trailers, which nobody reads */
};

enum headers_line { HEADERS_GO_ON, HEADERS_BLOCK_ENDS, HEADERS_TOO_LARGE };

void headers_done(struct headers *h);
enum headers_line headers_take(struct headers *h, const char *line, size_t n);
const char *headers_get(const struct headers *h, const char *name); /* first value, NULL if absent; case-insensitive */
/* Retry-After's value -> ms; 0 for NULL and garbage. */
int headers_retry_after_ms(const char *value, int64_t now_wall_ms);

#endif
