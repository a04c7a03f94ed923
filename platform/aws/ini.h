/*
 * ini.h - the shared config and credentials files of the AWS SDKs.
 *
 * Model: sections ("default", "profile x", "services y") of key = value; indented lines after an empty value are a nested level ("iam =" / "  endpoint_url = ...").
 * Comments start with # or ;. A later value of the same key wins, as in the SDKs.
 * Ownership: everything in the arena.   Errors: ERR_PARSE with the line.   Bounds: INI_TEXT_MAX bytes, INI_ENTRIES_MAX entries.
 */
#ifndef CNI_IAM_AWS_INI_H
#define CNI_IAM_AWS_INI_H

#include <stddef.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"

#define INI_TEXT_MAX ((size_t)1024 * 1024)
#define INI_ENTRIES_MAX 20000

struct ini;
const struct ini *ini_parse(const char *text, size_t n, struct arena *a, struct error *err);
const char *ini_get(const struct ini *ini, const char *section, const char *key);                      /* NULL if absent; ini may be NULL */
const char *ini_get_nested(const struct ini *ini, const char *section, const char *group, const char *key);
int ini_has_section(const struct ini *ini, const char *section);

#endif
