/*
 * utf8.h - one step through UTF-8, strict.
 *
 * Source: RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.   Errors: 0 for a byte that starts no
 * valid sequence.
 */
#ifndef CNI_IAM_BASE_UTF8_H
#define CNI_IAM_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length 1..4 of the sequence at p (n bytes are there), 0 when invalid or cut; *code gets the code point then. */
size_t utf8_step(const unsigned char *p, size_t n, uint32_t *code);

#endif
