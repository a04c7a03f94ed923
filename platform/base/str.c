#include "platform/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool str_eq(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_nocase(const char *a, const char *b) {
    if (a == NULL || b == NULL) {
        return a == b;
    }
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

bool str_empty(const char *s) {
    return s == NULL || s[0] == '\0';
}

bool str_has_prefix(const char *s, const char *prefix) {
    return s != NULL && prefix != NULL && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *s, const char *suffix) {
    if (s == NULL || suffix == NULL) {
        return false;
    }
    size_t n = strlen(s);
    size_t m = strlen(suffix);
    return m <= n && memcmp(s + n - m, suffix, m) == 0;
}

const char *str_or(const char *s, const char *fallback) {
    return str_empty(s) ? fallback : s;
}

bool str_copy(char *dst, size_t dst_size, const char *src) {
    if (dst_size == 0) {
        return false;
    }
    size_t n = src != NULL ? strlen(src) : 0;
    size_t take = n < dst_size ? n : dst_size - 1;
    if (take > 0) {
        memcpy(dst, src, take);
    }
    dst[take] = '\0';
    return take == n;
}

bool strlist_has(const struct strlist *l, const char *s) {
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(l->v[i], s)) {
            return true;
        }
    }
    return false;
}

/* Capacity is not stored: the array holds the next power of two, at least four. */
void strlist_add(struct strlist *l, const char *s, struct arena *a) {
    bool full = l->n == 0 || (l->n >= 4 && (l->n & (l->n - 1)) == 0);
    if (full) {
        const char **v = ARENA_ARRAY(a, l->n == 0 ? 4 : l->n * 2, const char *);
        for (size_t i = 0; i < l->n; i++) {
            v[i] = l->v[i];
        }
        l->v = v;
    }
    l->v[l->n++] = arena_strdup(a, s);
}

static bool subset(const struct strlist *a, const struct strlist *b) {
    for (size_t i = 0; i < a->n; i++) {
        if (!strlist_has(b, a->v[i])) {
            return false;
        }
    }
    return true;
}

bool strlist_eq_set(const struct strlist *a, const struct strlist *b) {
    return subset(a, b) && subset(b, a);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct strlist str_split(const char *s, char sep, struct arena *a) {
    struct strlist l = {0};

    while (s != NULL) {
        const char *end = strchr(s, sep);
        size_t n = end != NULL ? (size_t)(end - s) : strlen(s);
        while (n > 0 && is_space(*s)) {
            s++;
            n--;
        }
        while (n > 0 && is_space(s[n - 1])) {
            n--;
        }
        if (n > 0) {
            strlist_add(&l, arena_strndup(a, s, n), a);
        }
        s = end != NULL ? end + 1 : NULL;
    }
    return l;
}

char *strlist_join(const struct strlist *l, const char *sep, struct arena *a) {
    size_t total = 1;
    size_t sep_n = strlen(sep);

    for (size_t i = 0; i < l->n; i++) {
        total += strlen(l->v[i]) + sep_n;
    }
    char *out = arena_alloc(a, total);
    char *p = out;
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) {
            p = mempcpy(p, sep, sep_n);
        }
        p = mempcpy(p, l->v[i], strlen(l->v[i]));
    }
    return out;
}

bool str_to_int64(const char *s, int64_t *out) {
    int64_t v = 0;

    if (str_empty(s)) {
        return false;
    }
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v)) {
            return false;
        }
    }
    *out = v;
    return true;
}

/* "ms", "s", "m" or "h" at *s, in milliseconds; 0 for anything else. */
static int64_t duration_unit(const char **s) {
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (str_has_prefix(*s, units[i].name)) {
            *s += strlen(units[i].name);
            return units[i].ms;
        }
    }
    return 0;
}

/* One "12.5m" of a duration: moves *s, adds to *total. */
static bool duration_part(const char **s, int64_t *total) {
    int64_t whole = 0;
    int64_t fraction = 0; /* in units of 10^-6 */
    int64_t scale = 100000;
    bool digits = false;

    for (; **s >= '0' && **s <= '9'; (*s)++) {
        digits = true;
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, **s - '0', &whole)) {
            return false;
        }
    }
    if (**s == '.') {
        (*s)++;
        for (; **s >= '0' && **s <= '9'; (*s)++) {
            digits = true;
            fraction += (**s - '0') * scale;
            scale /= 10;
        }
    }
    int64_t unit = duration_unit(s);
    return digits && unit != 0 && !__builtin_mul_overflow(whole, unit, &whole) &&
           !__builtin_add_overflow(*total, whole, total) &&
           !__builtin_add_overflow(*total, fraction * unit / 1000000, total);
}

bool str_to_duration_ms(const char *s, int64_t *out_ms) {
    int64_t total = 0;

    if (str_empty(s)) {
        return false;
    }
    if (strcmp(s, "0") == 0) {
        *out_ms = 0;
        return true;
    }
    while (*s != '\0') {
        if (!duration_part(&s, &total)) {
            return false;
        }
    }
    *out_ms = total;
    return true;
}

static bool unreserved(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

char *str_percent_encode(const char *s, const char *keep, struct arena *a) {
    static const char digits[] = "0123456789ABCDEF";

    if (s == NULL) {
        return NULL;
    }
    char *out = arena_alloc(a, strlen(s) * 3 + 1);
    char *p = out;
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (unreserved(*s) || (keep != NULL && strchr(keep, *s) != NULL)) {
            *p++ = *s;
        } else {
            *p++ = '%';
            *p++ = digits[c >> 4];
            *p++ = digits[c & 15u];
        }
    }
    return out;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *str_percent_decode(const char *s, struct arena *a) {
    if (s == NULL) {
        return NULL;
    }
    char *out = arena_alloc(a, strlen(s) + 1);
    for (char *p = out; *s != '\0'; p++) {
        if (*s != '%') {
            *p = *s++;
            continue;
        }
        int high = hex_value(s[1]);
        int low = high >= 0 ? hex_value(s[2]) : -1;
        if (low < 0 || (high == 0 && low == 0)) {
            return NULL;
        }
        *p = (char)(high << 4 | low);
        s += 3;
    }
    return out;
}
