/*
 * status_error.h - what the API server said, as one of our errors.
 *
 * Model: a failed answer has an HTTP status and a body. The body is a Status when it is JSON of that kind; else (APF's
 * and a shutting down server's 429, an absent API's 404, a proxy's HTML) the HTTP status alone decides. Where one code
 * means several things, the request decides: 409 on POST may be AlreadyExists; 422 on a JSON patch is a failed `test`.
 *
 * The rows (K-T6, K-L1, K-L4, K-P2, K-P8; observed on 1.36):
 * - 413: ERR_TOO_LARGE. Other 4xx: ERR_INVALID, but 422 with empty causes to a JSON patch: ERR_CONFLICT; 422 "field is
 *   immutable" on metadata.uid: ERR_CONFLICT.
 * - 401 ERR_UNAUTHORIZED; 403 ERR_FORBIDDEN.
 * - 404 Status: ERR_NOT_FOUND; 404 text: ERR_NOT_FOUND with wire "PageNotFound" (the API itself is absent).
 * - 409 AlreadyExists: ERR_ALREADY_EXISTS; causes FieldManagerConflict: ERR_FIELD_CONFLICT, the managers and fields
 *   named in the message; else ERR_CONFLICT.
 * - 410, reason Gone or Expired: ERR_GONE. Cause ResourceVersionTooLarge (or its text of 1.17): ERR_FUTURE_VERSION.
 * - 429: ERR_THROTTLED. 504, reason Timeout: ERR_TIMEOUT.
 * - 500 "request is too large": ERR_TOO_LARGE; 500 "field not declared in schema", "duplicate entries for key",
 *   "resourceVersion: Invalid value" and their like: ERR_INVALID, because they will not pass. Other 5xx:
 * ERR_UNAVAILABLE.
 * - anything else: ERR_UNAVAILABLE (3xx: ERR_UNSUPPORTED).
 *
 * Ownership: values.
 *
 * Errors: none: every input gives an error value.
 *
 * Bounds: STATUS_BODY_MAX bytes are looked at; messages are cut by error.h. The object that Strict validation echoes is
 * never copied beyond that.
 */
#ifndef CNI_IAM_K8S_STATUS_ERROR_H
#define CNI_IAM_K8S_STATUS_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/error.h"
#include "platform/base/json.h"

#define STATUS_BODY_MAX ((size_t)1024 * 1024)
#define STATUS_CAUSES_SHOWN 4

struct status_request {
    bool is_create;     /* POST */
    bool is_json_patch; /* application/json-patch+json */
};

/* retry_after_ms: of the header, 0 if none; the body's details.retryAfterSeconds counts when there is no header. */
void status_error(int http_status, const char *body, size_t len, int retry_after_ms, const struct status_request *req,
                  struct error *out);

/* A Status object inside a 200: the object of an ERROR event. Success and other kinds give ERR_PARSE. */
void status_object_error(const json *status, struct error *out);

#endif
