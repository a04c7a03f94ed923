/*
 * yaml.h - YAML text to the JSON tree that the rest of the program reads (libyaml behind one function).
 *
 * Model: a document is parsed event by event into nodes, which are then written as JSON and read by json_parse:
 * whatever json.h refuses (duplicate keys, NUL, bad UTF-8) is refused here too. Plain scalars become null, true/false
 * or a number only where they are spelled as JSON spells them (plus ~, Null, True, ...); "yes", "on", "012", "0x1f" and
 * dates stay strings, so that nothing is converted behind a user's back. Aliases are expanded within the bounds below;
 * an alias inside its own anchor, merge keys ("<<") and foreign tags are refused.
 *
 * Ownership: the trees are the caller's (json_free).
 *
 * Errors: ERR_PARSE with line and column, ERR_TOO_LARGE with the maximum that was exceeded.
 *
 * Bounds: YAML_TEXT_MAX bytes in, YAML_JSON_MAX bytes after expansion, YAML_DEPTH_MAX levels, YAML_NODES_MAX nodes
 * after expansion (K-A2: "billion laughs"), YAML_DOCUMENTS_MAX documents.
 */
#ifndef CNI_IAM_K8S_YAML_H
#define CNI_IAM_K8S_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/error.h"
#include "platform/base/json.h"

#define YAML_TEXT_MAX ((size_t)4 * 1024 * 1024)
#define YAML_JSON_MAX ((size_t)8 * 1024 * 1024)
#define YAML_DEPTH_MAX 64
#define YAML_NODES_MAX 100000
#define YAML_DOCUMENTS_MAX 256

/* Exactly one document. An empty text is JSON null; a second document is ERR_PARSE. NULL on error. */
json *yaml_parse(const char *text, size_t len, struct error *err);

/*
 * Every document of a stream ("---" between them), as an array; empty documents are left out. JSON is YAML, so a `-f`
 * file of either kind is read by this one. NULL on error.
 */
json *yaml_parse_all(const char *text, size_t len, struct error *err);

#endif
