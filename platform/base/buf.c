#include "platform/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/error.h"

#define BUF_FIRST_CAP ((size_t)256)

void buf_init(struct buf *b, size_t max_bytes) {
    memset(b, 0, sizeof *b);
    b->max = max_bytes;
}

void buf_done(struct buf *b) {
    free(b->p);
    b->p = NULL;
    b->n = 0;
    b->cap = 0;
    b->overflow = false;
}

void buf_done_secret(struct buf *b) {
    if (b->p != NULL) {
        explicit_bzero(b->p, b->cap);
    }
    buf_done(b);
}

void buf_reset(struct buf *b) {
    b->n = 0;
    b->overflow = false;
    if (b->p != NULL) {
        b->p[0] = '\0';
    }
}

static bool grow(struct buf *b, size_t n) {
    if (b->overflow || n > b->max || b->n > b->max - n) {
        b->overflow = true;
        return false;
    }
    size_t need = b->n + n + 1;
    size_t cap = b->cap != 0 ? b->cap : BUF_FIRST_CAP;
    while (cap < need) {
        cap *= 2;
    }
    if (cap > b->max + 1) {
        cap = b->max + 1;
    }
    /* Not realloc: it could leave a copy of a secret behind in freed memory. */
    char *p = malloc(cap);
    if (p == NULL) {
        die("out of memory: a buffer of %zu bytes", cap);
    }
    if (b->p != NULL) {
        memcpy(p, b->p, b->n);
        explicit_bzero(b->p, b->n);
        free(b->p);
    }
    p[b->n] = '\0';
    b->p = p;
    b->cap = cap;
    return true;
}

/* Makes room for n more bytes and the NUL; false, and overflow set, beyond the maximum. */
static inline bool reserve(struct buf *b, size_t n) {
    return (n < b->cap - b->n && !b->overflow) || grow(b, n);
}

char *buf_take(struct buf *b) {
    char *p = b->p;
    if (p == NULL) {
        p = calloc(1, 1);
        if (p == NULL) {
            die("out of memory: one byte");
        }
    }
    b->p = NULL;
    b->n = 0;
    b->cap = 0;
    b->overflow = false;
    return p;
}

const char *buf_str(const struct buf *b) {
    return b->p != NULL ? b->p : "";
}

bool buf_append(struct buf *b, const void *p, size_t n) {
    if (!reserve(b, n)) {
        return false;
    }
    if (n > 0) {
        memcpy(b->p + b->n, p, n);
    }
    b->n += n;
    b->p[b->n] = '\0';
    return true;
}

bool buf_puts(struct buf *b, const char *s) {
    return buf_append(b, s, strlen(s));
}

bool buf_printf(struct buf *b, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        die("a format that cannot be printed: %s", fmt);
    }
    if (!reserve(b, (size_t)n)) {
        return false;
    }
    va_start(ap, fmt);
    (void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
    return true;
}

void buf_drop_front(struct buf *b, size_t n) {
    if (n >= b->n) {
        b->n = 0;
    } else {
        memmove(b->p, b->p + n, b->n - n);
        b->n -= n;
    }
    if (b->p != NULL) {
        b->p[b->n] = '\0';
    }
}
