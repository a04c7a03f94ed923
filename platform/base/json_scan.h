/*
 * json_scan.h - is this text one strict JSON document? Private to json_text.c.
 *
 * Model: one pass over the bytes, no tree. It refuses what cJSON would let through (json.h) and notes the numbers that
 * cJSON would not print as they were (more than JSON_NUMBER_DIGITS digits), by their place in document order, so that
 * the tree can be given their exact text afterwards. Duplicate keys are the tree's business: there the keys are decoded
 * ("a" and "\u0061" are the same).
 * Ownership: json_scan_done frees the notes.
 * Errors: ERR_PARSE with byte offset, ERR_TOO_LARGE.
 * Bounds: those of json.h; JSON_NUMBER_TEXT_MAX bytes a number (cJSON's own buffer).
 */
#ifndef CNI_IAM_BASE_JSON_SCAN_H
#define CNI_IAM_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/error.h"

#define JSON_NUMBER_TEXT_MAX 63
#define JSON_NUMBER_DIGITS 15

struct json_long_number {
    size_t ordinal; /* the how-manieth number of the document, from 0 */
    size_t offset;
    size_t len;
};

struct json_scan {
    struct json_long_number *longs;
    size_t nlongs;
    size_t numbers; /* all of them */
};

bool json_scan(const char *text, size_t len, struct json_scan *out, struct error *err);
void json_scan_done(struct json_scan *s);

#endif
