#include "informers/watch_event.h"

#include <stdio.h>
#include <string.h>

#include "informers/rv.h"
#include "platform/base/str.h"
#include "platform/port/watch_source.h"

#define RETRY_AFTER_MAX_S 3600

static enum watch_event_type type_of(const char *name) {
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (str_eq(name, names[i])) {
            return (enum watch_event_type)i;
        }
    }
    return WATCH_EVENT_UNKNOWN;
}

/* An opaque resourceVersion is accepted; one that we could not keep, or that means "any" ("0", K-W2), is not. */
static bool usable_version(const char *rv) {
    return !str_empty(rv) && strlen(rv) < RV_MAX && !str_eq(rv, "0");
}

bool object_identity_read(const json *object, struct object_identity *out, struct error *err) {
    const json *metadata = json_get(object, "metadata");
    const char *name = json_key_str(metadata, "name");
    const char *ns = json_key_str(metadata, "namespace");

    out->uid = json_key_str(metadata, "uid");
    out->resource_version = json_key_str(metadata, "resourceVersion");
    if (str_empty(name) || str_empty(out->uid) || !usable_version(out->resource_version)) {
        return error_set(err, ERR_PARSE, "an object without name, uid or resourceVersion");
    }
    const char *slash = str_empty(ns) ? "" : "/";
    int n = snprintf(out->key, sizeof out->key, "%s%s%s", str_or(ns, ""), slash, name);
    if (n < 0 || (size_t)n >= sizeof out->key) {
        return error_set(err, ERR_PARSE, "an object with an impossibly long name");
    }
    return true;
}

static bool has_cause(const json *status, const char *reason) {
    for (const json *it = json_first(json_array(status, "details.causes")); it != NULL; it = it->next) {
        if (str_eq(json_key_str(it, "reason"), reason)) {
            return true;
        }
    }
    return false;
}

static enum err_code code_of(const json *status) {
    const char *reason = json_key_str(status, "reason");
    const char *message = str_or(json_key_str(status, "message"), "");
    int64_t http = json_int64_or(status, "code", 0);

    if (http == 410 || str_eq(reason, "Expired") || str_eq(reason, "Gone")) {
        return ERR_GONE;
    }
    if (has_cause(status, "ResourceVersionTooLarge") || strstr(message, "Too large resource version") != NULL) {
        return ERR_FUTURE_VERSION;
    }
    switch (http) {
    case 401:
        return ERR_UNAUTHORIZED;
    case 403:
        return ERR_FORBIDDEN;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 429:
        return ERR_THROTTLED;
    default:
        return http >= 500 || http == 0 ? ERR_UNAVAILABLE : ERR_INVALID;
    }
}

void status_to_error(const json *status, struct error *out) {
    int64_t retry = json_int64_or(status, "details.retryAfterSeconds", 0);

    (void)error_set(out, code_of(status), "%s", str_or(json_key_str(status, "message"), "the server gave no message"));
    (void)str_copy(out->wire, sizeof out->wire, json_key_str(status, "reason"));
    int64_t http = json_int64_or(status, "code", 0);
    out->http_status = http > 0 && http < 1000 ? (int)http : 0;
    out->retry_after_ms = retry > 0 && retry <= RETRY_AFTER_MAX_S ? (int)retry * 1000 : 0;
}

static bool read_object(struct watch_event *e, struct error *err) {
    switch (e->type) {
    case WATCH_EVENT_ADDED:
    case WATCH_EVENT_MODIFIED:
    case WATCH_EVENT_DELETED:
        return object_identity_read(e->object, &e->id, err);
    case WATCH_EVENT_BOOKMARK:
        e->id.resource_version = json_str(e->object, "metadata.resourceVersion");
        return usable_version(e->id.resource_version) ||
               error_set(err, ERR_PARSE, "a bookmark without resourceVersion");
    case WATCH_EVENT_ERROR:
        status_to_error(e->object, &e->error);
        return true;
    case WATCH_EVENT_UNKNOWN:
        break;
    }
    return true;
}

bool watch_event_decode(const char *line, size_t len, struct watch_event *out, struct error *err) {
    memset(out, 0, sizeof *out);
    if (len > WATCH_LINE_MAX) {
        return error_set(err, ERR_TOO_LARGE, "a watch event of more than %zu bytes", WATCH_LINE_MAX);
    }
    out->tree = json_parse(line, len, err);
    if (out->tree == NULL) {
        return error_wrap(err, "watch event");
    }
    const char *type = json_key_str(out->tree, "type");
    out->object = json_get(out->tree, "object");
    out->type = type_of(type);
    bool ok = type != NULL && json_is_object(out->object);
    if (!ok) {
        (void)error_set(err, ERR_PARSE, "a watch line that is no event");
    }
    if (!ok || !read_object(out, err)) {
        watch_event_done(out);
        return false;
    }
    return true;
}

void watch_event_done(struct watch_event *e) {
    json_free(e->tree);
    memset(e, 0, sizeof *e);
}
