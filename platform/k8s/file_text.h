/*
 * file_text.h - a small file as one secret text: tokens, certificates, kubeconfigs.
 *
 * Model: opened by path each time, because Kubernetes swaps a symlink when it rotates what it projects (K-A4). Only
 * regular files are read (a FIFO would block the one thread).
 *
 * Ownership: the secret is the caller's.
 *
 * Errors: ERR_NOT_FOUND (no such file), ERR_IO, ERR_TOO_LARGE, ERR_PARSE (a NUL byte inside, which no text file has).
 *
 * Bounds: max_bytes, at most SECRET_MAX for file_secret and K8S_FILE_MAX for file_text.
 */
#ifndef CNI_IAM_K8S_FILE_TEXT_H
#define CNI_IAM_K8S_FILE_TEXT_H

#include <stddef.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/secret.h"

struct secret *file_secret(const char *path, size_t max_bytes, struct error *err); /* NULL on error */
/* The same without white space at both ends; an empty file is ERR_PARSE. */
struct secret *file_secret_trimmed(const char *path, size_t max_bytes, struct error *err);
/* For what is no secret; in the arena, or on the heap (caller frees) when the arena is NULL. NULL on error. */
char *file_text(const char *path, size_t max_bytes, size_t *out_bytes, struct arena *a, struct error *err);

#endif
