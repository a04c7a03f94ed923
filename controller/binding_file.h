/*
 * binding_file.h - the CniIamBinding of a file that -f names, YAML or JSON; "-" is standard input.
 * Ownership: the caller's (json_free).   Errors: NULL; ERR_IO, ERR_PARSE, ERR_INVALID with the file's name.
 * Bounds: BINDING_FILE_MAX bytes.
 */
#ifndef CNI_IAM_CONTROLLER_BINDING_FILE_H
#define CNI_IAM_CONTROLLER_BINDING_FILE_H

#include "platform/base/buf.h"
#include "platform/base/error.h"
#include "platform/base/json.h"

#define BINDING_FILE_MAX ((size_t)1024 * 1024)

json *binding_file_read(const char *path, struct error *err);
/* A whole file; false: err has the name. More than out's maximum is ERR_TOO_LARGE. */
bool file_read(const char *path, struct buf *out, struct error *err);

#endif
