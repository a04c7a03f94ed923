/*
 * secret.h - bytes that must never reach a log, a file, an argument list or a core dump (S10).
 *
 * Model: an opaque value on locked, undumpable pages; there is no way to print it: only secret_expose gives the bytes, to the
 * code that signs or sends, and every call of it can be found by name.
 * Ownership: secret_new copies; the source is the caller's to wipe. secret_free wipes.  Errors: memory exhausted ends the process.
 * Bounds: SECRET_MAX bytes.  Honest limit: libcurl and OpenSSL keep copies of header and key bytes of their own.
 */
#ifndef CNI_IAM_BASE_SECRET_H
#define CNI_IAM_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_MAX ((size_t)64 * 1024)

struct secret;
struct secret *secret_new(const char *bytes, size_t n); /* NULL if n > SECRET_MAX */
struct secret *secret_dup(const struct secret *s);      /* NULL stays NULL */
void secret_free(struct secret *s);
const char *secret_expose(const struct secret *s); /* NUL-terminated; borrowed; never log it */
size_t secret_len(const struct secret *s);
bool secret_equal(const struct secret *a, const struct secret *b); /* constant time */
/* Once at start: no core dumps, not dumpable, not traceable by other processes of the user. */
void secret_harden_process(void);

#endif
