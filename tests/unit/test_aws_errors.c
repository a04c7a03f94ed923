/* Error envelopes of IAM, STS, EC2 and EKS, and pages that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/aws/aws_error.h"
#include "platform/base/str.h"

#define IAM(code)                                                                                                      \
    "<ErrorResponse xmlns='x'><Error><Type>Sender</Type><Code>" code                                                   \
    "</Code><Message>m</Message></Error></ErrorResponse>"
#define EC2(code)                                                                                                      \
    "<Response><Errors><Error><Code>" code                                                                             \
    "</Code><Message>m</Message></Error></Errors><RequestID>r</RequestID></Response>"

struct row {
    enum effect_service service;
    int status;
    const char *body, *type;
    enum err_code code;
    const char *wire;
};

static const struct row rows[] = {
    {SERVICE_IAM, 404, IAM("NoSuchEntity"), NULL, ERR_NOT_FOUND, "NoSuchEntity"},
    {SERVICE_IAM, 409, IAM("EntityAlreadyExists"), NULL, ERR_ALREADY_EXISTS, "EntityAlreadyExists"},
    {SERVICE_IAM, 409, IAM("LimitExceeded"), NULL, ERR_QUOTA, "LimitExceeded"},
    {SERVICE_IAM, 400, IAM("LimitExceededException"), NULL, ERR_THROTTLED, "LimitExceededException"},
    {SERVICE_IAM, 400, IAM("Throttling"), NULL, ERR_THROTTLED, "Throttling"},
    {SERVICE_IAM, 409, IAM("ConcurrentModification"), NULL, ERR_CONFLICT, "ConcurrentModification"},
    {SERVICE_IAM, 409, IAM("DeleteConflict"), NULL, ERR_DELETE_CONFLICT, "DeleteConflict"},
    {SERVICE_IAM, 400, IAM("MalformedPolicyDocument"), NULL, ERR_MALFORMED_POLICY, "MalformedPolicyDocument"},
    {SERVICE_IAM, 400, IAM("UnmodifiableEntity"), NULL, ERR_INVALID, "UnmodifiableEntity"},
    {SERVICE_IAM, 400, IAM("OpenIdIdpCommunicationError"), NULL, ERR_UNAVAILABLE, "OpenIdIdpCommunicationError"},
    {SERVICE_IAM, 500, IAM("ServiceFailure"), NULL, ERR_UNAVAILABLE, "ServiceFailure"},
    {SERVICE_IAM, 403, IAM("SomethingNew"), NULL, ERR_FORBIDDEN, "SomethingNew"},
    {SERVICE_IAM, 400, IAM("SomethingNew"), NULL, ERR_INVALID, "SomethingNew"},
    {SERVICE_IAM, 429, IAM("SomethingNew"), NULL, ERR_THROTTLED, "SomethingNew"},
    {SERVICE_IAM, 500, IAM("SomethingNew"), NULL, ERR_UNAVAILABLE, "SomethingNew"},
    {SERVICE_STS, 403, IAM("AccessDenied"), NULL, ERR_FORBIDDEN, "AccessDenied"},
    {SERVICE_STS, 400, IAM("InvalidIdentityToken"), NULL, ERR_IDENTITY_TOKEN, "InvalidIdentityToken"},
    {SERVICE_STS, 403, IAM("IDPRejectedClaim"), NULL, ERR_IDENTITY_TOKEN, "IDPRejectedClaim"},
    {SERVICE_STS, 400, IAM("IDPCommunicationError"), NULL, ERR_UNAVAILABLE, "IDPCommunicationError"},
    {SERVICE_STS, 400, IAM("ExpiredTokenException"), NULL, ERR_EXPIRED_CREDENTIALS, "ExpiredTokenException"},
    {SERVICE_STS, 403, IAM("InvalidClientTokenId"), NULL, ERR_UNAUTHORIZED, "InvalidClientTokenId"},
    {SERVICE_STS, 403, IAM("RegionDisabledException"), NULL, ERR_FORBIDDEN, "RegionDisabledException"},
    {SERVICE_EC2, 403, EC2("UnauthorizedOperation"), NULL, ERR_FORBIDDEN, "UnauthorizedOperation"},
    {SERVICE_EC2, 412, EC2("DryRunOperation"), NULL, ERR_INVALID, "DryRunOperation"},
    {SERVICE_EC2, 503, EC2("RequestLimitExceeded"), NULL, ERR_THROTTLED, "RequestLimitExceeded"},
    {SERVICE_EC2, 400, EC2("InvalidInstanceID.NotFound"), NULL, ERR_NOT_FOUND, "InvalidInstanceID.NotFound"},
    {SERVICE_EC2, 400, EC2("InvalidVpcID.NotFound"), NULL, ERR_NOT_FOUND, "InvalidVpcID.NotFound"},
    {SERVICE_EC2, 401, EC2("AuthFailure"), NULL, ERR_UNAUTHORIZED, "AuthFailure"},
    {SERVICE_EKS, 404, "{\"message\":\"m\",\"clusterName\":null}", "ResourceNotFoundException", ERR_NOT_FOUND,
     "ResourceNotFoundException"},
    {SERVICE_EKS, 404, "{}", "ResourceNotFoundException:http://i.a.com/coral/com.a#x", ERR_NOT_FOUND,
     "ResourceNotFoundException"},
    {SERVICE_EKS, 403, "{\"__type\":\"com.amazon.coral#AccessDeniedException\"}", NULL, ERR_FORBIDDEN,
     "AccessDeniedException"},
    {SERVICE_EKS, 400, "{\"code\":\"InvalidParameterException\",\"Message\":\"m\"}", NULL, ERR_INVALID,
     "InvalidParameterException"},
    {SERVICE_EKS, 409, "{\"__type\":\"ResourceInUseException\"}", "", ERR_ALREADY_EXISTS, "ResourceInUseException"},
    {SERVICE_EKS, 429, "{}", "TooManyRequestsException", ERR_THROTTLED, "TooManyRequestsException"},
    {SERVICE_EKS, 500, "{}", "ServerException", ERR_UNAVAILABLE, "ServerException"},
    /* No AWS error: never a permission answer, never "not found". */
    {SERVICE_EKS, 404, "<html>ResourceNotFoundException</html>", "ResourceNotFoundException", ERR_UNSUPPORTED, ""},
    {SERVICE_EKS, 404, "", "ResourceNotFoundException", ERR_UNSUPPORTED, ""},
    {SERVICE_EKS, 404, "{\"message\":\"ResourceNotFoundException\"}", NULL, ERR_UNSUPPORTED, ""},
    {SERVICE_EKS, 403, "{\"code\":403,\"kind\":\"Status\"}", NULL, ERR_UNSUPPORTED, ""},
    {SERVICE_EKS, 403, "[\"AccessDeniedException\"]", "AccessDeniedException", ERR_UNSUPPORTED, ""},
    {SERVICE_IAM, 404, "<!doctype html><html>NoSuchEntity</html>", NULL, ERR_UNSUPPORTED, ""},
    {SERVICE_IAM, 404, "<html><Error><Code>NoSuchEntity</Code></Error></html>", NULL, ERR_UNSUPPORTED, ""},
    {SERVICE_IAM, 403, "AccessDenied", NULL, ERR_UNSUPPORTED, ""},
    {SERVICE_IAM, 500, "<html>AccessDenied</html>", NULL, ERR_UNSUPPORTED, ""},
    {SERVICE_IAM, 503, "", NULL, ERR_UNAVAILABLE, ""},
    {SERVICE_IAM, 504, "<html>", NULL, ERR_UNAVAILABLE, ""},
    {SERVICE_IAM, 429, "slow", NULL, ERR_THROTTLED, ""},
    {SERVICE_IAM, 408, "", NULL, ERR_TIMEOUT, ""},
    {SERVICE_IAM, 404, "<ErrorResponse><Error><Code/></Error></ErrorResponse>", NULL, ERR_UNSUPPORTED, ""},
    {SERVICE_EC2, 403, IAM("AccessDenied"), NULL, ERR_FORBIDDEN, "AccessDenied"},
};

static void envelopes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err;
        const struct row *r = &rows[i];
        aws_error_decode(r->service, r->status, r->body, strlen(r->body), r->type, &err);
        if (err.code != r->code || !str_eq(err.wire, r->wire) || err.http_status != r->status) {
            fail_msg("%d %s: %s \"%s\" %s", r->status, r->body, error_name(err.code), err.wire, err.message);
        }
    }
}

static void long_texts_are_cut(void **state) {
    (void)state;
    char body[4096];
    struct error err;
    (void)strcpy(body, "<ErrorResponse><Error><Code>");
    memset(body + strlen(body), 'c', 300);
    body[328] = '\0';
    (void)strcat(body, "</Code><Message>\x01</Message></Error></ErrorResponse>");
    aws_error_decode(SERVICE_IAM, 400, body, strlen(body), NULL, &err); /* a control byte is no XML */
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    body[strlen(body) - strlen("\x01</Message></Error></ErrorResponse>")] = 'm';
    aws_error_decode(SERVICE_IAM, 400, body, strlen(body), NULL, &err);
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(strlen(err.wire), ERROR_WIRE_CODE_MAX - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(envelopes), cmocka_unit_test(long_texts_are_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
