/*
 * watch_source.h - port: LIST pages and WATCH streams of one Kubernetes resource.
 *
 * Model: the informer says what to ask, the source asks it and hands back bytes. No policy here: retries, resourceVersion rules and
 * backoff are the watch machine's.
 * Callbacks come from the event loop, never from inside list/watch. For a watch: on_open at most once (headers with 200), on_line for
 * every complete line, on_end exactly once (error NULL: the server ended it cleanly). For a list: on_list exactly once.
 * A partial last line is never delivered. After close no callback comes.
 * Bounds: WATCH_LINE_MAX bytes a line (real-apiserver.md 2: objects grow sixfold by escaping); beyond it the watch ends with ERR_TOO_LARGE.
 */
#ifndef CNI_IAM_PORT_WATCH_SOURCE_H
#define CNI_IAM_PORT_WATCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/error.h"
#include "platform/base/json.h"

#define WATCH_LINE_MAX ((size_t)16 * 1024 * 1024)

/* What is watched; constant for an informer's life. */
struct watch_target {
    const char *resource;       /* "pods" */
    const char *ns;             /* NULL: cluster-scoped or all namespaces */
    const char *label_selector; /* NULL: none */
    const char *field_selector; /* NULL: none */
    bool metadata_only;         /* PartialObjectMetadata[List] (K-I9) */
};

struct list_query {
    const char *resource_version;       /* NULL: most recent */
    const char *resource_version_match; /* "NotOlderThan" or NULL */
    const char *continue_token;         /* NULL: first page */
    int limit;                          /* 0: none */
};

struct watch_query {
    const char *resource_version;
    int timeout_seconds;
};

struct watch_sink {
    void *arg;
    void (*on_list)(void *arg, json *list, const struct error *err); /* list is taken by the callee; NULL on error */
    void (*on_open)(void *arg);
    void (*on_line)(void *arg, const char *line, size_t len); /* without '\n' */
    void (*on_end)(void *arg, const struct error *err);       /* NULL: clean end */
};

struct watch_source {
    void *ctx;
    uint64_t (*list)(void *ctx, const struct watch_target *t, const struct list_query *q, struct watch_sink sink);
    uint64_t (*watch)(void *ctx, const struct watch_target *t, const struct watch_query *q, struct watch_sink sink);
    void (*close)(void *ctx, uint64_t ticket);
};

#endif
