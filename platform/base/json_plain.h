/*
 * json_plain.h - how far a text goes on without a byte that JSON's strings treat in a way of their own.
 *
 * Model: eight bytes at a time, as most texts of Kubernetes and AWS have no such byte at all. Of the tricks with carries only
 * the first hit is exact, and only that one is used.
 *
 * Ownership: borrowed bytes.   Errors: none.   Bounds: no byte behind the n given is read.
 */
#ifndef CNI_IAM_BASE_JSON_PLAIN_H
#define CNI_IAM_BASE_JSON_PLAIN_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool json_is_plain(char c, bool ascii) {
    unsigned char u = (unsigned char)c;
    return u >= 0x20 && u != '"' && u != '\\' && !(ascii && u >= 0x80);
}

/* Bytes at s, at most n, before the first quote, backslash, control byte and, with `ascii`, part of a longer character. */
static inline size_t json_plain(const char *s, size_t n, bool ascii) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = UINT64_C(0x8080808080808080);
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t v;
        memcpy(&v, s + i, sizeof v);
        v = le64toh(v);
        uint64_t quote = v ^ ones * '"';
        uint64_t backslash = v ^ ones * '\\';
        uint64_t hits =
            ((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | (ascii ? v : 0);
        if ((hits & tops) != 0) {
            return i + (size_t)__builtin_ctzll(hits & tops) / 8;
        }
    }
    while (i < n && json_is_plain(s[i], ascii)) {
        i++;
    }
    return i;
}

#endif
