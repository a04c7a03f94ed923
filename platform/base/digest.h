/*
 * digest.h - SHA-256 and HMAC-SHA-256 over OpenSSL's EVP, hex and base64.
 * Ownership: arenas as named.  Errors: a failing EVP call ends the process (no memory, or a broken library).
 */
#ifndef CNI_IAM_BASE_DIGEST_H
#define CNI_IAM_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/arena.h"

#define DIGEST_SHA256_BYTES 32
#define DIGEST_SHA256_HEX (64 + 1)

void digest_sha256(const void *p, size_t n, unsigned char out[DIGEST_SHA256_BYTES]);
void digest_sha256_hex(const void *p, size_t n, char out[DIGEST_SHA256_HEX]);
void digest_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n, unsigned char out[DIGEST_SHA256_BYTES]);
void digest_hex(const unsigned char *p, size_t n, char *out); /* 2n+1 bytes */
/* Strict base64 (standard alphabet, padded; white space and line ends skipped) and unpadded base64url; NULL on garbage.
 * The result has a NUL after *out_n bytes. */
char *digest_base64_decode(const char *s, size_t *out_n, struct arena *a);
char *digest_base64url_decode(const char *s, size_t n, size_t *out_n, struct arena *a);

#endif
