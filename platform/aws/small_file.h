/*
 * small_file.h - files that are read anew because others rotate them: shared config, tokens, bundles.
 *
 * Model: only regular files (a FIFO would block the one thread); links are followed, since Kubernetes swaps them.
 * Ownership: the caller's buffer, the caller's secret.   Bounds: the buffer's maximum; max_bytes.
 * Errors: ERR_NOT_FOUND, ERR_IO, ERR_TOO_LARGE, ERR_INVALID (an empty token), each naming the file.
 */
#ifndef CNI_IAM_AWS_SMALL_FILE_H
#define CNI_IAM_AWS_SMALL_FILE_H

#include <stdbool.h>

#include "platform/base/buf.h"
#include "platform/base/error.h"
#include "platform/base/secret.h"

bool small_file_read(struct buf *b, const char *path, struct error *err);
/* Without white space at its end. NULL on error. */
struct secret *small_file_token(const char *path, size_t max_bytes, struct error *err);

#endif
