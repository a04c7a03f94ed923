/*
 * base64.h - standard base64 with padding: the direction that digest.h does not have.
 *
 * Ownership: the caller's buffer of BASE64_SIZE(n) bytes; it may hold a secret, so nothing is allocated.
 *
 * Errors: none.
 */
#ifndef CNI_IAM_K8S_BASE64_H
#define CNI_IAM_K8S_BASE64_H

#include <stddef.h>

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

size_t base64_encode(const void *bytes, size_t n, char *out); /* NUL-terminated; returns the length without it */

#endif
