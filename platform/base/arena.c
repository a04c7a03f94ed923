#include "platform/base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/error.h"

#define FIRST_BLOCK_DEFAULT ((size_t)992)   /* with its header what malloc keeps for the next one without looking */
#define PRINT_FIRST 256                     /* most texts are printed once: their length is known afterwards */
#define BLOCK_LARGEST ((size_t)1024 * 1024) /* blocks double up to here; larger requests get a block of their own */

struct block {
    struct block *next;
    size_t size;
    size_t used;
    max_align_t data[];
};

struct arena {
    struct block *first;
    struct block *current; /* last of the chain */
    size_t total;          /* bytes handed out since the last reset */
};

static struct block *block_new(size_t size) {
    struct block *b = malloc(sizeof *b + size);
    if (b == NULL) {
        die("out of memory: an arena block of %zu bytes", size);
    }
    b->next = NULL;
    b->size = size;
    b->used = 0;
    return b;
}

struct arena *arena_new(size_t first_block_bytes) {
    struct arena *a = malloc(sizeof *a);
    if (a == NULL) {
        die("out of memory: an arena");
    }
    a->first = block_new(first_block_bytes != 0 ? first_block_bytes : FIRST_BLOCK_DEFAULT);
    a->current = a->first;
    a->total = 0;
    return a;
}

static void free_chain(struct block *b) {
    while (b != NULL) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_free(struct arena *a) {
    if (a != NULL) {
        free_chain(a->first);
        free(a);
    }
}

void arena_reset(struct arena *a) {
    free_chain(a->first->next);
    a->first->next = NULL;
    a->first->used = 0;
    a->current = a->first;
    a->total = 0;
}

size_t arena_used(const struct arena *a) {
    return a->total;
}

static struct block *add_block(struct arena *a, size_t at_least) {
    size_t size = a->current->size < BLOCK_LARGEST ? a->current->size * 2 : BLOCK_LARGEST;
    struct block *b = block_new(size > at_least ? size : at_least);
    a->current->next = b;
    a->current = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t bytes) {
    const size_t align = _Alignof(max_align_t);

    if (bytes > ARENA_MAX || a->total + bytes > ARENA_MAX) {
        die("an arena would exceed %zu bytes", ARENA_MAX);
    }
    size_t rounded = (bytes + align - 1) / align * align;
    struct block *b = a->current;
    if (b->size - b->used < rounded) {
        b = add_block(a, rounded);
    }
    void *p = (char *)b->data + b->used;
    b->used += rounded;
    a->total += bytes;
    return memset(p, 0, bytes);
}

void *arena_array(struct arena *a, size_t n, size_t each_bytes) {
    if (each_bytes != 0 && n > SIZE_MAX / each_bytes) {
        die("an arena array of %zu elements overflows", n);
    }
    return arena_alloc(a, n * each_bytes);
}

char *arena_strdup(struct arena *a, const char *s) {
    return s != NULL ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t n) {
    char *p = arena_alloc(a, n + 1);
    if (n > 0) {
        memcpy(p, s, n);
    }
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) {
    char text[PRINT_FIRST];
    va_list again;

    va_copy(again, ap);
    int n = vsnprintf(text, sizeof text, fmt, again);
    va_end(again);
    if (n < 0) {
        die("a format that cannot be printed: %s", fmt);
    }
    char *p = arena_alloc(a, (size_t)n + 1);
    if ((size_t)n < sizeof text) {
        memcpy(p, text, (size_t)n);
    } else {
        (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    }
    explicit_bzero(text, sizeof text);
    return p;
}
