/*
 * snapshot.h - a cluster and an account in one file, for a rehearsal.
 *
 * Model: one JSON document, version SNAPSHOT_VERSION. snapshot_shape.c names every field that may be in it: taking a snapshot
 * copies what is named and nothing else (snapshot_copy), reading one refuses what is not named. So no Secret, no token, no value
 * of an environment variable but a few named ones, and no annotation but the named ones is ever in it. Kubernetes' objects keep
 * their own form, cut to these fields; the account has one of its own.
 *
 * Ownership: snapshot_parse/_free; nodes of the tree are lent.
 * Errors: ERR_PARSE and ERR_TOO_LARGE as "FILE:LINE: where: what was expected"; then nothing is given.
 * Bounds: SNAPSHOT_TEXT_MAX bytes, SNAPSHOT_LIST_MAX members of a list; depth and nodes are json.h's.
 */
#ifndef CNI_IAM_SIMULATOR_SNAPSHOT_H
#define CNI_IAM_SIMULATOR_SNAPSHOT_H

#include <stddef.h>

#include "platform/base/buf.h"
#include "platform/base/error.h"
#include "platform/base/json.h"

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_KIND "Snapshot"
#define SNAPSHOT_TEXT_MAX ((size_t)32 * 1024 * 1024)
#define SNAPSHOT_LIST_MAX 10000
#define SNAPSHOT_LEFT_OUT "(left out)" /* in place of a value that is not copied */

struct snapshot;
struct snapshot *snapshot_parse(const char *file, const char *text, size_t len, struct error *err);
void snapshot_free(struct snapshot *s);
const json *snapshot_root(const struct snapshot *s);
/* Says that this node is wrong: file, line, path, and the sentence. Returns false. */
bool snapshot_refuse(const struct snapshot *s, const json *node, struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The named fields of a tree, in their order; the caller owns it. */
json *snapshot_copy(const json *tree);
/* Text for people and machines: two spaces a level, the order of the tree. */
void snapshot_print(const json *tree, struct buf *out);

#endif
