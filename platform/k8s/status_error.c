#include "platform/k8s/status_error.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"

/* A Status and where it came in, taken apart once. */
struct status {
    int http_status;
    const char *reason;  /* "" if none */
    const char *message; /* "" if none */
    const json *causes;  /* NULL if none */
    const struct status_request *req;
};

static bool has_cause(const struct status *s, const char *reason) {
    for (const json *c = json_first(s->causes); c != NULL; c = c->next) {
        if (str_eq(json_str(c, "reason"), reason)) {
            return true;
        }
    }
    return false;
}

static bool message_has(const struct status *s, const char *part) {
    return strstr(s->message, part) != NULL;
}

static enum err_code code_of_409(const struct status *s) {
    if (has_cause(s, "FieldManagerConflict")) {
        return ERR_FIELD_CONFLICT;
    }
    if (str_eq(s->reason, "AlreadyExists") || (s->req->is_create && str_empty(s->reason))) {
        return ERR_ALREADY_EXISTS;
    }
    return ERR_CONFLICT;
}

/* A failed `test` can not be told from a path that is missing (K-P8): both mean that the object is not what we took it
 * for. */
static enum err_code code_of_422(const struct status *s) {
    if (s->req->is_json_patch && json_array_size(s->causes) == 0) {
        return ERR_CONFLICT;
    }
    for (const json *c = json_first(s->causes); c != NULL; c = c->next) {
        const char *message = json_str(c, "message");
        if (str_eq(json_str(c, "field"), "metadata.uid") && message != NULL &&
            strstr(message, "field is immutable") != NULL) {
            return ERR_CONFLICT;
        }
    }
    if (message_has(s, "metadata.uid") && message_has(s, "field is immutable")) {
        return ERR_CONFLICT;
    }
    return ERR_INVALID;
}

/* 500 without a reason is how the server says several things that no retry will mend (trap 10). */
static enum err_code code_of_500(const struct status *s) {
    static const char *const permanent[] = {"field not declared in schema", "duplicate entries for key",
                                            "failed to create typed patch object", "resourceVersion: Invalid value",
                                            "failed to prune fields"};
    if (message_has(s, "request is too large")) {
        return ERR_TOO_LARGE;
    }
    for (size_t i = 0; i < sizeof permanent / sizeof permanent[0]; i++) {
        if (message_has(s, permanent[i])) {
            return ERR_INVALID;
        }
    }
    return ERR_UNAVAILABLE;
}

static enum err_code code_of(const struct status *s) {
    if (has_cause(s, "ResourceVersionTooLarge") || message_has(s, "Too large resource version")) {
        return ERR_FUTURE_VERSION;
    }
    if (s->http_status == 410 || str_eq(s->reason, "Gone") || str_eq(s->reason, "Expired")) {
        return ERR_GONE;
    }
    switch (s->http_status) {
    case 401:
        return ERR_UNAUTHORIZED;
    case 403:
        return ERR_FORBIDDEN;
    case 404:
        return ERR_NOT_FOUND;
    case 408:
    case 504:
        return ERR_TIMEOUT;
    case 409:
        return code_of_409(s);
    case 413:
        return ERR_TOO_LARGE;
    case 422:
        return code_of_422(s);
    case 429:
        return ERR_THROTTLED;
    case 500:
        return code_of_500(s);
    default:
        break;
    }
    if (s->http_status >= 300 && s->http_status < 400) {
        return ERR_UNSUPPORTED;
    }
    return s->http_status >= 400 && s->http_status < 500 ? ERR_INVALID : ERR_UNAVAILABLE;
}

/* "another manager owns .metadata.annotations.x (kubectl-annotate), ...": what a user has to know to decide. */
static void describe_field_conflict(const struct status *s, char *out, size_t size) {
    size_t at = 0;
    size_t shown = 0;
    for (const json *c = json_first(s->causes); c != NULL && at + 1 < size; c = c->next) {
        if (!str_eq(json_str(c, "reason"), "FieldManagerConflict")) {
            continue;
        }
        if (shown == STATUS_CAUSES_SHOWN) {
            (void)snprintf(out + at, size - at, ", ...");
            return;
        }
        int n = snprintf(out + at, size - at, "%s%s: %s", shown == 0 ? "" : ", ", str_or(json_str(c, "field"), "?"),
                         str_or(json_str(c, "message"), "conflict"));
        at += n > 0 ? (size_t)n : 0;
        shown++;
    }
}

static void fill(const struct status *s, int retry_after_ms, struct error *out) {
    enum err_code code = code_of(s);
    char text[ERROR_MESSAGE_MAX] = "";
    if (code == ERR_FIELD_CONFLICT) {
        describe_field_conflict(s, text, sizeof text);
    } else {
        /* Bytes beyond the message's maximum are cut here, so that an echoed object costs nothing. */
        (void)snprintf(text, sizeof text, "%s", s->message);
    }
    if (text[0] == '\0') {
        (void)error_set(out, code, "the API server answered %d", s->http_status);
    } else {
        (void)error_set(out, code, "%s", text);
    }
    out->http_status = s->http_status;
    out->retry_after_ms = retry_after_ms;
    (void)str_copy(out->wire, sizeof out->wire, s->reason);
}

static int retry_after_of(const json *status) {
    int64_t seconds = json_int64_or(status, "details.retryAfterSeconds", 0);
    if (seconds <= 0) {
        return 0;
    }
    return seconds > 300 ? 300 * 1000 : (int)seconds * 1000;
}

/* Text bodies: one line of them says enough ("Too many requests, please try again later."). */
static void fill_from_text(struct status *s, const char *body, size_t len, int retry_after_ms, struct error *out) {
    char line[160] = "";
    size_t n = 0;
    while (n < len && n + 1 < sizeof line && body[n] != '\n' && body[n] != '\r' && body[n] != '\0') {
        line[n] = body[n];
        n++;
    }
    line[n] = '\0';
    s->message = line[0] == '<' ? "" : line; /* a proxy's HTML says nothing in its first line */
    fill(s, retry_after_ms, out);
    s->message = "";
    if (s->http_status == 404) {
        (void)str_copy(out->wire, sizeof out->wire, "PageNotFound");
    }
}

static bool looks_like_object(const char *body, size_t len) {
    size_t i = 0;
    while (i < len && strchr(" \t\r\n", body[i]) != NULL && body[i] != '\0') {
        i++;
    }
    return i < len && body[i] == '{';
}

void status_error(int http_status, const char *body, size_t len, int retry_after_ms, const struct status_request *req,
                  struct error *out) {
    static const struct status_request plain = {false, false};
    struct status s = {.http_status = http_status, .reason = "", .message = "", .req = req != NULL ? req : &plain};
    struct error ignored;
    json *j = NULL;

    if (body == NULL) {
        len = 0;
    }
    if (len > 0 && len <= STATUS_BODY_MAX && looks_like_object(body, len)) {
        j = json_parse(body, len, &ignored);
    }
    if (j == NULL || !str_eq(json_str(j, "kind"), "Status")) {
        fill_from_text(&s, body, len, retry_after_ms, out);
        json_free(j);
        return;
    }
    s.reason = str_or(json_str(j, "reason"), "");
    s.message = str_or(json_str(j, "message"), "");
    s.causes = json_array(j, "details.causes");
    fill(&s, retry_after_ms > 0 ? retry_after_ms : retry_after_of(j), out);
    json_free(j);
}

void status_object_error(const json *status, struct error *out) {
    static const struct status_request plain = {false, false};
    int64_t code = json_int64_or(status, "code", 500);
    struct status s = {.http_status = code >= 100 && code < 600 ? (int)code : 500,
                       .reason = str_or(json_str(status, "reason"), ""),
                       .message = str_or(json_str(status, "message"), ""),
                       .causes = json_array(status, "details.causes"),
                       .req = &plain};
    if (!str_eq(json_str(status, "kind"), "Status") || str_eq(json_str(status, "status"), "Success")) {
        (void)error_set(out, ERR_PARSE, "an error event holds no failed Status");
        return;
    }
    fill(&s, retry_after_of(status), out);
}
