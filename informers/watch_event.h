/*
 * watch_event.h - one line of a watch stream as a value; a Status as an error; who an object is.
 *
 * Model: {"type": ..., "object": {...}}. ADDED, MODIFIED and DELETED must name their object (name, uid,
 * resourceVersion). Of a BOOKMARK only the resourceVersion means anything: the rest is zero values, never an object
 * (K-W4). An ERROR's object is a Status (K-W5). Types that we do not know are skipped by the machine (K-W3).
 *
 * Ownership: watch_event_decode makes a tree that watch_event_done frees; the strings borrow from it.
 * Errors: ERR_PARSE when the line is no event, ERR_TOO_LARGE above WATCH_LINE_MAX; nothing is to be freed then.
 * Bounds: WATCH_LINE_MAX bytes (K-W8), OBJECT_KEY_MAX bytes a key.
 */
#ifndef CNI_IAM_INFORMERS_WATCH_EVENT_H
#define CNI_IAM_INFORMERS_WATCH_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/error.h"
#include "platform/base/json.h"

#define OBJECT_KEY_MAX 512 /* namespace (63) "/" name (253), with room */

enum watch_event_type {
    WATCH_EVENT_ADDED,
    WATCH_EVENT_MODIFIED,
    WATCH_EVENT_DELETED,
    WATCH_EVENT_BOOKMARK,
    WATCH_EVENT_ERROR,
    WATCH_EVENT_UNKNOWN
};

struct object_identity {
    char key[OBJECT_KEY_MAX]; /* "namespace/name", or "name" when cluster-scoped */
    const char *uid;
    const char *resource_version;
};

struct watch_event {
    enum watch_event_type type;
    json *tree;
    const json *object;
    struct object_identity id; /* ADDED, MODIFIED, DELETED; BOOKMARK: only resource_version */
    struct error error;        /* ERROR */
};

bool watch_event_decode(const char *line, size_t len, struct watch_event *out, struct error *err);
void watch_event_done(struct watch_event *e);

/* False with ERR_PARSE when name, uid or a usable resourceVersion is missing. */
bool object_identity_read(const json *object, struct object_identity *out, struct error *err);

/* What a Status says, in the program's codes: 410 in its forms is ERR_GONE (K-L4), a resourceVersion from the future
 * ERR_FUTURE_VERSION, also where only the message says so. */
void status_to_error(const json *status, struct error *out);

#endif
