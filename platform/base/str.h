/*
 * str.h - small string functions that the C library lacks; string lists.
 *
 * Ownership: nothing is allocated except where an arena is a parameter.   Errors: none.
 * All functions accept NULL strings: NULL equals only NULL, and has no prefix.
 */
#ifndef CNI_IAM_BASE_STR_H
#define CNI_IAM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"

struct strlist {
    const char **v;
    size_t n;
};

bool str_eq(const char *a, const char *b);
bool str_eq_nocase(const char *a, const char *b); /* ASCII */
bool str_empty(const char *s);                    /* NULL or "" */
bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);
const char *str_or(const char *s, const char *fallback);    /* fallback when s is NULL or "" */
bool str_copy(char *dst, size_t dst_size, const char *src); /* false when cut; always terminated */

bool strlist_has(const struct strlist *l, const char *s);
void strlist_add(struct strlist *l, const char *s, struct arena *a);   /* copies the text and, as needed, the array */
bool strlist_eq_set(const struct strlist *a, const struct strlist *b); /* same members, any order */
struct strlist str_split(const char *s, char sep, struct arena *a);    /* trimmed, empty parts dropped */
char *strlist_join(const struct strlist *l, const char *sep, struct arena *a);

/* Decimal without sign, space or leading "+"; false on anything else or overflow. */
bool str_to_int64(const char *s, int64_t *out);
/* Go/kubectl durations: "15s", "1m30s", "500ms", "1h", "0"; false on anything else, negatives included. */
bool str_to_duration_ms(const char *s, int64_t *out_ms);

char *str_percent_encode(const char *s, const char *keep,
                         struct arena *a);                /* RFC 3986: keeps A-Za-z0-9-._~ and `keep` */
char *str_percent_decode(const char *s, struct arena *a); /* RFC 3986: '+' stays '+'; NULL on a bad or NUL escape */

#endif
