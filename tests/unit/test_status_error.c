/* test_status_error.c - what a real API server (1.36) was seen to answer, and what each answer means for us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/base/buf.h"
#include "platform/k8s/status_error.h"

#define STATUS(code, reason, message, details)                                                                         \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"" message         \
    "\",\"reason\":\"" reason "\",\"details\":" details ",\"code\":" #code "}\n"

enum shape { PLAIN, POST, JSON_PATCH };

static const struct row {
    int status;
    const char *body;
    int header_ms;
    enum shape shape;
    enum err_code code;
    const char *wire;
    int retry_after_ms;
    const char *message; /* a part of it */
} rows[] = {
    /* text bodies */
    {429, "Too many requests, please try again later.\n", 1000, PLAIN, ERR_THROTTLED, "", 1000, "Too many requests"},
    {429, "The server is shutting down.\n", 5000, PLAIN, ERR_THROTTLED, "", 5000, "shutting down"},
    {404, "404 page not found\n", 0, PLAIN, ERR_NOT_FOUND, "PageNotFound", 0, "404 page not found"},
    {502, "<html>\n<head><title>502 Bad Gateway</title></head></html>", 0, PLAIN, ERR_UNAVAILABLE, "", 0, "502"},
    {503, "", 0, PLAIN, ERR_UNAVAILABLE, "", 0, "503"},
    {504, NULL, 0, PLAIN, ERR_TIMEOUT, "", 0, "504"},
    {401, "Unauthorized\n", 0, PLAIN, ERR_UNAUTHORIZED, "", 0, "Unauthorized"},
    {307, "", 0, PLAIN, ERR_UNSUPPORTED, "", 0, "307"},
    {400, "Client sent an HTTP request to an HTTPS server.\n", 0, PLAIN, ERR_INVALID, "", 0, "HTTPS"},
    {409, "", 0, POST, ERR_ALREADY_EXISTS, "", 0, ""},
    {409, "", 0, PLAIN, ERR_CONFLICT, "", 0, ""},
    {599, "\x1b[31mred", 0, PLAIN, ERR_UNAVAILABLE, "", 0, " [31mred"},
    /* authentication, authorization */
    {401, STATUS(401, "Unauthorized", "Unauthorized", "{}"), 0, PLAIN, ERR_UNAUTHORIZED, "Unauthorized", 0,
     "Unauthorized"},
    {403,
     STATUS(403, "Forbidden", "serviceaccounts \\\"aws-node\\\" is forbidden: User \\\"x\\\" cannot patch resource",
            "{}"),
     0, PLAIN, ERR_FORBIDDEN, "Forbidden", 0, "cannot patch resource"},
    /* absence */
    {404,
     STATUS(404, "NotFound", "serviceaccounts \\\"x\\\" not found", "{\"name\":\"x\",\"kind\":\"serviceaccounts\"}"), 0,
     PLAIN, ERR_NOT_FOUND, "NotFound", 0, "not found"},
    {404, STATUS(404, "NotFound", "the server could not find the requested resource", "{}"), 0, PLAIN, ERR_NOT_FOUND,
     "NotFound", 0, ""},
    /* 409 */
    {409, STATUS(409, "AlreadyExists", "configmaps \\\"x\\\" already exists", "{}"), 0, POST, ERR_ALREADY_EXISTS,
     "AlreadyExists", 0, "already exists"},
    {409, STATUS(409, "Conflict", "namespaces is being terminated", "{}"), 0, POST, ERR_CONFLICT, "Conflict", 0, ""},
    {409,
     STATUS(409, "Conflict",
            "Operation cannot be fulfilled on leases: the object has been modified; please apply your changes to the "
            "latest "
            "version and try again",
            "{}"),
     0, PLAIN, ERR_CONFLICT, "Conflict", 0, "has been modified"},
    {409, STATUS(409, "Conflict", "the UID in the precondition (a) does not match the UID in record (b)", "{}"), 0,
     PLAIN, ERR_CONFLICT, "Conflict", 0, "precondition"},
    {409,
     STATUS(409, "Conflict", "uid mismatch: the provided object specified uid a, and no existing object was found",
            "{}"),
     0, PLAIN, ERR_CONFLICT, "Conflict", 0, "uid mismatch"},
    {409,
     STATUS(
         409, "Conflict", "Apply failed with 1 conflict: conflict with \\\"op\\\": .metadata.annotations.role",
         "{\"causes\":[{\"reason\":\"FieldManagerConflict\",\"message\":\"conflict with \\\"kubectl-annotate\\\" using "
         "v1\",\"field\":\".metadata.annotations.eks.amazonaws.com/role-arn\"}]}"),
     0, PLAIN, ERR_FIELD_CONFLICT, "Conflict", 0,
     ".metadata.annotations.eks.amazonaws.com/role-arn: conflict with \"kubectl-annotate\" using v1"},
    /* 410 and versions that are too new */
    {410, STATUS(410, "Expired", "The resourceVersion for the provided list is too old.", "{}"), 0, PLAIN, ERR_GONE,
     "Expired", 0, "too old"},
    {410, "", 0, PLAIN, ERR_GONE, "", 0, ""},
    {400, STATUS(400, "Gone", "x", "{}"), 0, PLAIN, ERR_GONE, "Gone", 0, ""},
    {200, STATUS(410, "Expired", "too old resource version: 522 (526)", "{}"), 0, PLAIN, ERR_GONE, "Expired", 0, "522"},
    {504,
     STATUS(504, "Timeout", "Timeout: Too large resource version: 99999999, current: 326",
            "{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\",\"message\":\"Too large resource version\"}],"
            "\"retryAfterSeconds\":1}"),
     0, PLAIN, ERR_FUTURE_VERSION, "Timeout", 1000, "Too large resource version"},
    {504, STATUS(504, "Timeout", "Timeout: Too large resource version: 9, current: 3", "{}"), 0, PLAIN,
     ERR_FUTURE_VERSION, "Timeout", 0, ""},
    {504, STATUS(504, "Timeout", "Timeout: request did not complete within requested timeout", "{}"), 0, PLAIN,
     ERR_TIMEOUT, "Timeout", 0, ""},
    /* 422 */
    {422, STATUS(422, "Invalid", "the server rejected our request due to an error in our request", "{}"), 0, JSON_PATCH,
     ERR_CONFLICT, "Invalid", 0, "rejected our request"},
    {422, STATUS(422, "Invalid", "the server rejected our request due to an error in our request", "{}"), 0, PLAIN,
     ERR_INVALID, "Invalid", 0, ""},
    {422,
     STATUS(422, "Invalid", "CniIamBinding is invalid",
            "{\"causes\":[{\"reason\":\"FieldValueInvalid\",\"message\":\"x\",\"field\":\"spec.mode\"}]}"),
     0, JSON_PATCH, ERR_INVALID, "Invalid", 0, ""},
    {422,
     STATUS(
         422, "Invalid", "ServiceAccount is invalid: metadata.uid: Invalid value: field is immutable",
         "{\"causes\":[{\"reason\":\"FieldValueInvalid\",\"message\":\"Invalid value: \\\"a\\\": field is immutable\","
         "\"field\":\"metadata.uid\"}]}"),
     0, PLAIN, ERR_CONFLICT, "Invalid", 0, "field is immutable"},
    {422,
     STATUS(
         422, "Invalid", "Event is invalid: reason: field is immutable",
         "{\"causes\":[{\"reason\":\"FieldValueInvalid\",\"message\":\"field is immutable\",\"field\":\"reason\"}]}"),
     0, PLAIN, ERR_INVALID, "Invalid", 0, ""},
    {422, STATUS(422, "Invalid", "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update", "{}"),
     0, PLAIN, ERR_INVALID, "Invalid", 0, ""},
    /* 5xx */
    {500, STATUS(500, "", "etcdserver: request is too large", "{}"), 0, PLAIN, ERR_TOO_LARGE, "", 0, ""},
    {500,
     STATUS(500, "", "failed to create typed patch object (x): .metadata.annotation: field not declared in schema",
            "{}"),
     0, PLAIN, ERR_INVALID, "", 0, ".metadata.annotation"},
    {500, STATUS(500, "", "failed to create typed patch object: duplicate entries for key [type=\\\"Ready\\\"]", "{}"),
     0, PLAIN, ERR_INVALID, "", 0, ""},
    {500,
     STATUS(500, "", "resourceVersion: Invalid value: \\\"abc\\\": strconv.ParseUint: parsing: invalid syntax", "{}"),
     0, PLAIN, ERR_INVALID, "", 0, "abc"},
    {500, STATUS(500, "InternalError", "Internal error occurred: etcd cluster is unavailable", "{}"), 0, PLAIN,
     ERR_UNAVAILABLE, "InternalError", 0, ""},
    {503, STATUS(503, "ServiceUnavailable", "x", "{\"retryAfterSeconds\":3}"), 0, PLAIN, ERR_UNAVAILABLE,
     "ServiceUnavailable", 3000, ""},
    /* 4xx */
    {429, STATUS(429, "TooManyRequests", "storage is (re)initializing", "{\"retryAfterSeconds\":9}"), 1000, PLAIN,
     ERR_THROTTLED, "TooManyRequests", 1000, "initializing"},
    {413, STATUS(413, "RequestEntityTooLarge", "limit is 3145728", "{}"), 0, PLAIN, ERR_TOO_LARGE,
     "RequestEntityTooLarge", 0, ""},
    {400, STATUS(400, "BadRequest", "invalid object type", "{}"), 0, PLAIN, ERR_INVALID, "BadRequest", 0, ""},
    {406, STATUS(406, "NotAcceptable", "x", "{}"), 0, PLAIN, ERR_INVALID, "NotAcceptable", 0, ""},
    {415, STATUS(415, "UnsupportedMediaType", "x", "{}"), 0, PLAIN, ERR_INVALID, "UnsupportedMediaType", 0, ""},
    {405, STATUS(405, "MethodNotAllowed", "x", "{}"), 0, PLAIN, ERR_INVALID, "MethodNotAllowed", 0, ""},
    /* not what they claim to be */
    {403, "{\"kind\":\"Status\",\"reason\":\"Forb", 0, PLAIN, ERR_FORBIDDEN, "", 0, ""},
    {500, "{\"kind\":\"ConfigMap\"}", 0, PLAIN, ERR_UNAVAILABLE, "", 0, ""},
    {404, "{\"error\":\"nope\"}", 0, PLAIN, ERR_NOT_FOUND, "PageNotFound", 0, ""},
    {409, "{\"kind\":\"Status\",\"reason\":5,\"details\":{\"causes\":\"x\",\"retryAfterSeconds\":-4}}", 0, PLAIN,
     ERR_CONFLICT, "", 0, "409"},
    {503, "{\"kind\":\"Status\",\"details\":{\"retryAfterSeconds\":99999999999}}", 0, PLAIN, ERR_UNAVAILABLE, "",
     300000, ""},
};

static void test_status_error__every_answer_seen(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct status_request shape = {.is_create = r->shape == POST, .is_json_patch = r->shape == JSON_PATCH};
        struct error err = {0};
        status_error(r->status, r->body, r->body != NULL ? strlen(r->body) : 0, r->header_ms, &shape, &err);
        if (err.code != r->code || strcmp(err.wire, r->wire) != 0 || err.retry_after_ms != r->retry_after_ms ||
            strstr(err.message, r->message) == NULL || err.http_status != r->status) {
            fail_msg("row %zu (%d): got %s, wire \"%s\", retry %d, \"%s\"", i, r->status, error_name(err.code),
                     err.wire, err.retry_after_ms, err.message);
        }
    }
}

static void test_status_error__names_some_of_many_conflicts(void **state) {
    struct error err = {0};
    struct buf b;
    (void)state;
    buf_init(&b, 65536);
    (void)buf_puts(&b, "{\"kind\":\"Status\",\"reason\":\"Conflict\",\"details\":{\"causes\":[{\"reason\":\"Other\"}");
    for (int i = 0; i < 50; i++) {
        (void)buf_printf(
            &b, ",{\"reason\":\"FieldManagerConflict\",\"message\":\"conflict with \\\"m%d\\\"\",\"field\":\".f%d\"}",
            i, i);
    }
    (void)buf_puts(&b, "]}}");
    status_error(409, buf_str(&b), b.n, 0, NULL, &err);
    assert_int_equal(err.code, ERR_FIELD_CONFLICT);
    assert_string_equal(err.message,
                        ".f0: conflict with \"m0\", .f1: conflict with \"m1\", .f2: conflict with \"m2\", .f3: "
                        "conflict with \"m3\", ...");
    buf_done(&b);
}

static void test_status_error__does_not_swallow_an_echoed_object(void **state) {
    struct error err = {0};
    struct buf b;
    (void)state;
    buf_init(&b, 4 * STATUS_BODY_MAX);
    (void)buf_puts(&b, "{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"");
    for (size_t i = 0; i < 4000; i++) {
        (void)buf_puts(&b, "echo ");
    }
    (void)buf_puts(&b, "\"}");
    status_error(422, buf_str(&b), b.n, 0, NULL, &err);
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(strlen(err.message) < ERROR_MESSAGE_MAX);
    /* Beyond the maximum nothing is parsed; the HTTP status alone counts. */
    while (b.n <= STATUS_BODY_MAX) {
        (void)buf_puts(&b, "                                                                ");
    }
    status_error(422, buf_str(&b), b.n, 0, NULL, &err);
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.wire, "");
    buf_done(&b);
}

static void test_status_object_error__error_events(void **state) {
    static const struct {
        const char *body;
        enum err_code code;
    } events[] = {
        {STATUS(410, "Expired", "too old resource version: 522 (526)", "{}"), ERR_GONE},
        {"{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"x\",\"reason\":\"Gone\"}", ERR_GONE},
        {STATUS(504, "Timeout", "Timeout: Too large resource version: 9, current: 3", "{}"), ERR_FUTURE_VERSION},
        {STATUS(500, "InternalError", "x", "{}"), ERR_UNAVAILABLE},
        {STATUS(429, "TooManyRequests", "x", "{\"retryAfterSeconds\":2}"), ERR_THROTTLED},
        {"{\"kind\":\"Pod\"}", ERR_PARSE},
        {"{\"kind\":\"Status\",\"status\":\"Success\"}", ERR_PARSE},
        {"{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":99999999999}", ERR_UNAVAILABLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        struct error err = {0};
        json *j = json_parse(events[i].body, strlen(events[i].body), &err);
        assert_non_null(j);
        status_object_error(j, &err);
        assert_int_equal(err.code, events[i].code);
        json_free(j);
    }
    struct error err = {0};
    status_object_error(NULL, &err);
    assert_int_equal(err.code, ERR_PARSE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_error__every_answer_seen),
        cmocka_unit_test(test_status_error__names_some_of_many_conflicts),
        cmocka_unit_test(test_status_error__does_not_swallow_an_echoed_object),
        cmocka_unit_test(test_status_object_error__error_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
