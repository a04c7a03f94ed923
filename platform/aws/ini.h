/*
 * ini.h - the shared config and credentials files of the AWS SDKs.
 *
 * Model: sections ("default", "profile x", "services y") of key = value. An indented line below a key without a value
 * is one of its nested values ("iam =" / "  endpoint_url = ..."); below a key with a value it continues that value, and
 * is dropped: nothing that is read here has a second line. Comments start with # or ; at the start of a line, or
 * after white space within one. Of the same key twice in a section the later one counts, as in the SDKs; a section may
 * come in parts. Keys are compared without case, sections and values exactly.
 *
 * Ownership: everything in the arena, values included: ini_forget wipes those that are secret before they lie about.
 * Errors: ERR_PARSE with the line, ERR_TOO_LARGE.   Bounds: INI_TEXT_MAX bytes, INI_ENTRIES_MAX entries and sections.
 */
#ifndef CNI_IAM_AWS_INI_H
#define CNI_IAM_AWS_INI_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"

#define INI_TEXT_MAX ((size_t)1024 * 1024)
#define INI_ENTRIES_MAX 20000

struct ini;
const struct ini *ini_parse(const char *text, size_t n, struct arena *a, struct error *err); /* NULL on error */
/* NULL if absent or empty; ini may be NULL in all of these. */
const char *ini_get(const struct ini *ini, const char *section, const char *key);
const char *ini_get_nested(const struct ini *ini, const char *section, const char *group, const char *key);
bool ini_has_section(const struct ini *ini, const char *section);
/* Overwrites the values of this key in all sections; they are gone from then on. */
void ini_forget(const struct ini *ini, const char *key);

#endif
