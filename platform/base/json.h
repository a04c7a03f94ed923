/*
 * json.h - JSON: strict text, cJSON's trees.
 *
 * Model: json_parse accepts exactly one RFC 8259 document in valid UTF-8 that fills its whole input. What cJSON would
 * let through is refused: trailing bytes, duplicate keys, "\u0000" and raw NUL, raw control bytes in strings,
 * numbers like "01" or "1.", a BOM, lone surrogates, invalid UTF-8. Numbers of more than 15 digits keep their exact text
 * (cJSON_Raw), because cJSON prints a double with 15 and holds an integer to 2^53; json_int64 reads both forms exactly. Keys are compared case-sensitively everywhere.
 *
 * Ownership: json_parse gives a tree that the caller deletes with json_free. Getters borrow from the tree.
 * Errors: ERR_PARSE with byte offset, ERR_TOO_LARGE. Getters return NULL/false/default on absence or another type.
 * Bounds: JSON_TEXT_MAX bytes, JSON_DEPTH_MAX levels, JSON_NODES_MAX nodes.
 */
#ifndef CNI_IAM_BASE_JSON_H
#define CNI_IAM_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/str.h"

#define JSON_TEXT_MAX ((size_t)64 * 1024 * 1024)
#define JSON_DEPTH_MAX 128
#define JSON_NODES_MAX 4000000

typedef struct cJSON json;

json *json_parse(const char *text, size_t len, struct error *err); /* NULL on error */
void json_free(json *j);

/* One step: member `key` of object j; NULL if j is NULL, no object, or has none. */
const json *json_get(const json *j, const char *key);
/* Steps separated by '.', e.g. "spec.template.metadata"; keys that hold a dot need json_get. */
const json *json_path(const json *j, const char *path);
/* The string at path; NULL when absent or no string. */
const char *json_str(const json *j, const char *path);
/* The member's string by exact key (annotation keys have dots). */
const char *json_key_str(const json *j, const char *key);
bool json_bool(const json *j, const char *path, bool fallback); /* also the strings "true"/"false" (XML) */
bool json_int64(const json *j, const char *path, int64_t *out); /* exact; false if absent or no integer */
int64_t json_int64_or(const json *j, const char *path, int64_t fallback);
const json *json_array(const json *j, const char *path); /* the array, or NULL */
bool json_is_array(const json *j);
bool json_is_object(const json *j);
bool json_is_string(const json *j);
size_t json_array_size(const json *arr); /* 0 for NULL */

/* for (const json *it = json_first(arr); it; it = it->next) */
const json *json_first(const json *array_or_object);

/* Building. Adders replace an existing key, return the child, and end the process on exhausted memory. */
json *json_object(void);
json *json_new_array(void);
json *json_add_object(json *o, const char *key);
json *json_add_array(json *o, const char *key);
void json_add_str(json *o, const char *key, const char *value); /* NULL value: adds nothing */
void json_add_int64(json *o, const char *key, int64_t value);   /* exact */
void json_add_bool(json *o, const char *key, bool value);
void json_add_item(json *o, const char *key, json *child); /* takes child */
void json_push(json *arr, json *child);                    /* takes child */
void json_push_str(json *arr, const char *value);
json *json_dup(const json *j);

/* Compact text; caller frees with free(). Same tree, same bytes. */
char *json_print(const json *j);
char *json_print_arena(const json *j, struct arena *a);
/* Canonical text: object keys sorted bytewise, no white space: for digests and comparison. */
char *json_canonical(const json *j, struct arena *a);
bool json_equal(const json *a, const json *b);                 /* objects unordered, arrays ordered */
struct strlist json_strings(const json *arr, struct arena *a); /* strings of an array, or the single string itself */

#endif
