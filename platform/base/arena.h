/*
 * arena.h - memory that is freed at once: everything made for one decode, one plan, one request.
 *
 * Model: a chain of blocks; allocation moves a pointer; arena_reset keeps the first block.
 * Ownership: whoever made the arena frees it; pointers live until reset or free.
 * Errors: none: arena_alloc never returns NULL. Exhausted memory or an arena beyond its maximum ends the process
 * (inputs are capped where they come in, so the maximum is a bug's bound, not an attacker's lever).
 * Bounds: ARENA_MAX bytes an arena.
 */
#ifndef CNI_IAM_BASE_ARENA_H
#define CNI_IAM_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#define ARENA_MAX ((size_t)256 * 1024 * 1024)

struct arena;

struct arena *arena_new(size_t first_block_bytes); /* 0: a default of about 1 KiB */
void arena_free(struct arena *a);                  /* NULL is fine */
void arena_reset(struct arena *a);
size_t arena_used(const struct arena *a);

void *arena_alloc(struct arena *a, size_t bytes);                /* zeroed, aligned for any type */
void *arena_array(struct arena *a, size_t n, size_t each_bytes); /* zeroed, overflow-checked */
char *arena_strdup(struct arena *a, const char *s);              /* NULL stays NULL */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, n, type) ((type *)arena_array((a), (n), sizeof(type)))

#endif
