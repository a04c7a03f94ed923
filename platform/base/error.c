#include "platform/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The one table. A code's disposition is the answer for callers that do not know the call: for a write whose answer
 * could not be read (Parse, Unavailable, Timeout, Lost, Cancelled) the outcome is unknown, so these are re-read, never
 * repeated (S7). */
static const struct {
    const char *name;
    enum err_disposition disposition;
} table[ERR_CODE_COUNT] = {
    [ERR_NONE] = {"OK", DISPOSITION_OK},
    [ERR_INVALID] = {"Invalid", DISPOSITION_STALL},
    [ERR_PARSE] = {"Parse", DISPOSITION_REREAD},
    [ERR_TOO_LARGE] = {"TooLarge", DISPOSITION_STALL},
    [ERR_NOT_FOUND] = {"NotFound", DISPOSITION_REPLAN},
    [ERR_ALREADY_EXISTS] = {"AlreadyExists", DISPOSITION_REPLAN},
    [ERR_CONFLICT] = {"Conflict", DISPOSITION_REPLAN},
    [ERR_FIELD_CONFLICT] = {"FieldConflict", DISPOSITION_REPLAN},
    [ERR_GONE] = {"Gone", DISPOSITION_REPLAN},
    [ERR_FUTURE_VERSION] = {"FutureVersion", DISPOSITION_RETRY},
    [ERR_FORBIDDEN] = {"Forbidden", DISPOSITION_STALL},
    [ERR_UNAUTHORIZED] = {"Unauthorized", DISPOSITION_STALL},
    [ERR_EXPIRED_CREDENTIALS] = {"ExpiredCredentials", DISPOSITION_REFRESH},
    [ERR_NO_CREDENTIALS] = {"NoCredentials", DISPOSITION_STALL},
    [ERR_QUOTA] = {"Quota", DISPOSITION_STALL},
    [ERR_MALFORMED_POLICY] = {"MalformedPolicy", DISPOSITION_STALL},
    [ERR_DELETE_CONFLICT] = {"DeleteConflict", DISPOSITION_REPLAN},
    [ERR_IDENTITY_TOKEN] = {"IdentityToken", DISPOSITION_RETRY},
    [ERR_THROTTLED] = {"Throttled", DISPOSITION_RETRY},
    [ERR_UNAVAILABLE] = {"Unavailable", DISPOSITION_REREAD},
    [ERR_TIMEOUT] = {"Timeout", DISPOSITION_REREAD},
    [ERR_LOST] = {"Lost", DISPOSITION_REREAD},
    [ERR_UNREACHABLE] = {"Unreachable", DISPOSITION_RETRY},
    [ERR_UNSUPPORTED] = {"Unsupported", DISPOSITION_STALL},
    [ERR_CANCELLED] = {"Cancelled", DISPOSITION_REREAD},
    [ERR_IO] = {"IO", DISPOSITION_RETRY},
    [ERR_INTERNAL] = {"Internal", DISPOSITION_FATAL},
};

/* Messages end in logs, status and terminals: control bytes of a foreign server must not get that far. */
static void replace_control_bytes(char *s) {
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f) {
            *s = ' ';
        }
    }
}

static void finish_message(struct error *err, int wanted) {
    if (wanted < 0) {
        (void)snprintf(err->message, sizeof err->message, "(unprintable message)");
        return;
    }
    if ((size_t)wanted >= sizeof err->message) {
        size_t cut = sizeof err->message - 4;
        while (cut > 0 && ((unsigned char)err->message[cut] & 0xc0u) == 0x80u) {
            cut--; /* never through the middle of a UTF-8 sequence */
        }
        memcpy(err->message + cut, "...", 4);
    }
    replace_control_bytes(err->message);
}

bool error_set(struct error *err, enum err_code code, const char *fmt, ...) {
    va_list ap;

    err->code = code;
    err->http_status = 0;
    err->retry_after_ms = 0;
    err->wire[0] = '\0';
    va_start(ap, fmt);
    int wanted = vsnprintf(err->message, sizeof err->message, fmt, ap);
    va_end(ap);
    finish_message(err, wanted);
    return false;
}

bool error_wrap(struct error *err, const char *fmt, ...) {
    char prefix[ERROR_MESSAGE_MAX];
    char old[ERROR_MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    if (n < 0) {
        return false;
    }
    memcpy(old, err->message, sizeof old);
    old[sizeof old - 1] = '\0';
    /* Cutting is wanted here, and finish_message marks it. */
    size_t used = strlen(prefix);
    size_t old_n = strlen(old);
    size_t size = sizeof err->message;
    memcpy(err->message, prefix, used + 1);
    for (size_t i = 0; i < 2 && used + 1 < size; i++) {
        err->message[used++] = ": "[i];
    }
    size_t take = old_n < size - 1 - used ? old_n : size - 1 - used;
    memcpy(err->message + used, old, take);
    err->message[used + take] = '\0';
    bool cut = take < old_n || (size_t)n >= sizeof prefix;
    finish_message(err, cut ? (int)size : (int)(used + take));
    return false;
}

void error_clear(struct error *err) {
    memset(err, 0, sizeof *err);
}

const char *error_name(enum err_code code) {
    return (unsigned)code < ERR_CODE_COUNT ? table[code].name : "Unknown";
}

enum err_disposition error_disposition(enum err_code code) {
    return (unsigned)code < ERR_CODE_COUNT ? table[code].disposition : DISPOSITION_FATAL;
}

bool error_is_ambiguous(enum err_code code) {
    return error_disposition(code) == DISPOSITION_REREAD;
}

bool error_is_transient(enum err_code code) {
    enum err_disposition d = error_disposition(code);
    return d == DISPOSITION_RETRY || d == DISPOSITION_REREAD || d == DISPOSITION_REPLAN || d == DISPOSITION_REFRESH;
}

void die(const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("cni-iam: fatal: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    abort();
}
