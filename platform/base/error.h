/*
 * error.h - one table of errors: every failure in the program is one of these codes.
 *
 * Model: a fallible function returns bool (or a pointer) and fills a caller-owned `struct error`. The code
 * says what went wrong; the table in error.c gives each code its name and its *disposition*: what a caller
 * that only wants to know "what now" has to do. Code branches on the disposition first, on the code where
 * one code needs an answer of its own (NOT_FOUND), and never on the message.
 *
 * Ownership: values only, nothing to free.   Errors: none.
 * Bounds: message ERROR_MESSAGE_MAX bytes, cut with "..."; control bytes are replaced when it is formatted.
 */
#ifndef CNI_IAM_BASE_ERROR_H
#define CNI_IAM_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#define ERROR_MESSAGE_MAX 512
#define ERROR_WIRE_CODE_MAX 64

enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,             /* our request or input is wrong: 400, 422, InvalidInput, a bad flag */
    ERR_PARSE,               /* bytes from outside that are not what they claim to be */
    ERR_TOO_LARGE,           /* a named maximum was exceeded */
    ERR_NOT_FOUND,           /* 404 Status, NoSuchEntity, a parsed ResourceNotFoundException */
    ERR_ALREADY_EXISTS,      /* EntityAlreadyExists, 409 AlreadyExists, ResourceInUseException */
    ERR_CONFLICT,            /* 409 Conflict, failed precondition, failed JSON-patch test, ConcurrentModification */
    ERR_FIELD_CONFLICT,      /* server-side apply: another manager owns the field (FieldManagerConflict) */
    ERR_GONE,                /* 410 Gone/Expired in any of its three forms: relist */
    ERR_FUTURE_VERSION,      /* resourceVersion newer than the server's (ResourceVersionTooLarge) */
    ERR_FORBIDDEN,           /* 403, AccessDenied, UnauthorizedOperation */
    ERR_UNAUTHORIZED,        /* 401, InvalidClientTokenId, SignatureDoesNotMatch */
    ERR_EXPIRED_CREDENTIALS, /* ExpiredToken, ExpiredTokenException, RequestExpired: refresh once, retry */
    ERR_NO_CREDENTIALS,      /* the provider chain found nothing */
    ERR_QUOTA,               /* LimitExceeded: a quota, permanent; never throttling (AWS IAM quotas) */
    ERR_MALFORMED_POLICY,    /* MalformedPolicyDocument */
    ERR_DELETE_CONFLICT,     /* DeleteConflict */
    ERR_IDENTITY_TOKEN,      /* InvalidIdentityToken, IDPRejectedClaim: trust or provider is not (yet) right */
    ERR_THROTTLED,           /* 429, Throttling...: retry later, honour retry_after_ms */
    ERR_UNAVAILABLE,         /* 500/502/503, ServiceFailure: for a write the outcome is unknown */
    ERR_TIMEOUT,             /* sent, no answer in time, or 504: outcome unknown */
    ERR_LOST,                /* sent, connection ended before a whole answer: outcome unknown */
    ERR_UNREACHABLE,         /* surely not sent: name, connect, TLS */
    ERR_UNSUPPORTED,         /* the server does not know this call (404 text/html, InvalidAction) */
    ERR_CANCELLED,           /* we gave it up ourselves (shutdown, lost lease) */
    ERR_IO,                  /* file, database, child process */
    ERR_INTERNAL,            /* a promise inside the program was broken */
    ERR_CODE_COUNT
};

/* What to do now. */
enum err_disposition {
    DISPOSITION_OK,
    DISPOSITION_RETRY,   /* the same call again, with backoff */
    DISPOSITION_REREAD,  /* the outcome is unknown: read live state before anything else (S7) */
    DISPOSITION_REPLAN,  /* our picture is old: observe afresh, decide anew */
    DISPOSITION_REFRESH, /* new credentials, then once more */
    DISPOSITION_STALL,   /* will not pass without a change by somebody */
    DISPOSITION_FATAL    /* a bug of ours */
};

struct error {
    enum err_code code;
    int http_status;                /* 0: there was no answer */
    int retry_after_ms;             /* 0: the server named none */
    char wire[ERROR_WIRE_CODE_MAX]; /* code or reason as the server spelled it, "" if none */
    char message[ERROR_MESSAGE_MAX];
};

/* Sets *err (never NULL) and returns false, so that `return error_set(...)` reads as a sentence. */
bool error_set(struct error *err, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message; code and the rest stay. Returns false. */
bool error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void error_clear(struct error *err);
const char *error_name(enum err_code code); /* "NotFound"; static */
enum err_disposition error_disposition(enum err_code code);
bool error_is_ambiguous(enum err_code code); /* disposition REREAD */
bool error_is_transient(enum err_code code); /* RETRY, REREAD, REPLAN, REFRESH */

/* Ends the process: a promise of the program is broken, or memory is exhausted. Crash-only (S7, S11). */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
