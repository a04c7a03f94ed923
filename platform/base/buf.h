/*
 * buf.h - a growing byte buffer with a maximum of its own.
 *
 * Model: bytes plus a terminating NUL that is not counted; append either takes all bytes or none.
 * Ownership: buf_init/buf_done; buf_take hands the bytes to the caller, who frees them.
 * Errors: append returns false when the maximum would be exceeded; `overflow` then stays set until reset,
 * so that a sequence of appends can be checked once at its end.
 * Bounds: max bytes, given at init. Exhausted memory ends the process.
 */
#ifndef CNI_IAM_BASE_BUF_H
#define CNI_IAM_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *p; /* NUL-terminated once anything was appended; NULL before */
    size_t n;
    size_t cap;
    size_t max;
    bool overflow;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b);             /* frees; the buffer may be used again after buf_init */
void buf_reset(struct buf *b);            /* empties, keeps the memory */
char *buf_take(struct buf *b);            /* the bytes (never NULL), buffer empty afterwards; caller frees */
const char *buf_str(const struct buf *b); /* "" when empty; borrowed */

bool buf_append(struct buf *b, const void *p, size_t n);
bool buf_puts(struct buf *b, const char *s);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop_front(struct buf *b, size_t n);
/* Here, as texts are written byte by byte between their names and values. */
static inline bool buf_putc(struct buf *b, char c) {
    if (b->overflow || b->cap - b->n < 2) {
        return buf_append(b, &c, 1);
    }
    b->p[b->n++] = c;
    b->p[b->n] = '\0';
    return true;
}
/* Overwrites the bytes before freeing: for buffers that held a token or key. */
void buf_done_secret(struct buf *b);

#endif
