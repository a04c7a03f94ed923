#include "platform/aws/aws_error.h"

#include <string.h>

#include "platform/aws/xml.h"
#include "platform/base/str.h"

static const struct {
    const char *wire;
    enum err_code code;
} table[] = {
    {"NoSuchEntity", ERR_NOT_FOUND},
    {"ResourceNotFoundException", ERR_NOT_FOUND},
    {"NotFoundException", ERR_NOT_FOUND},
    {"InvalidInstanceID.NotFound", ERR_NOT_FOUND},
    {"EntityAlreadyExists", ERR_ALREADY_EXISTS},
    {"ResourceInUseException", ERR_ALREADY_EXISTS},
    {"ConcurrentModification", ERR_CONFLICT},
    {"DeleteConflict", ERR_DELETE_CONFLICT},
    {"LimitExceeded", ERR_QUOTA},
    {"ResourceLimitExceededException", ERR_QUOTA},
    {"MalformedPolicyDocument", ERR_MALFORMED_POLICY},
    {"PackedPolicyTooLarge", ERR_QUOTA},
    {"AccessDenied", ERR_FORBIDDEN},
    {"AccessDeniedException", ERR_FORBIDDEN},
    {"UnauthorizedOperation", ERR_FORBIDDEN},
    {"OptInRequired", ERR_FORBIDDEN},
    {"RegionDisabledException", ERR_FORBIDDEN},
    {"InvalidClientTokenId", ERR_UNAUTHORIZED},
    {"UnrecognizedClientException", ERR_UNAUTHORIZED},
    {"SignatureDoesNotMatch", ERR_UNAUTHORIZED},
    {"InvalidSignatureException", ERR_UNAUTHORIZED},
    {"MissingAuthenticationToken", ERR_UNAUTHORIZED},
    {"MissingAuthenticationTokenException", ERR_UNAUTHORIZED},
    {"IncompleteSignature", ERR_UNAUTHORIZED},
    {"AuthFailure", ERR_UNAUTHORIZED},
    {"RequestTimeTooSkewed", ERR_UNAUTHORIZED},
    {"ExpiredToken", ERR_EXPIRED_CREDENTIALS},
    {"ExpiredTokenException", ERR_EXPIRED_CREDENTIALS},
    {"RequestExpired", ERR_EXPIRED_CREDENTIALS},
    {"InvalidIdentityToken", ERR_IDENTITY_TOKEN},
    {"IDPRejectedClaim", ERR_IDENTITY_TOKEN},
    {"IDPCommunicationError", ERR_UNAVAILABLE},
    {"Throttling", ERR_THROTTLED},
    {"ThrottlingException", ERR_THROTTLED},
    {"ThrottledException", ERR_THROTTLED},
    {"RequestThrottledException", ERR_THROTTLED},
    {"TooManyRequestsException", ERR_THROTTLED},
    {"TransactionInProgressException", ERR_THROTTLED},
    {"RequestLimitExceeded", ERR_THROTTLED},
    {"BandwidthLimitExceeded", ERR_THROTTLED},
    {"LimitExceededException", ERR_THROTTLED},
    {"RequestThrottled", ERR_THROTTLED},
    {"SlowDown", ERR_THROTTLED},
    {"PriorRequestNotComplete", ERR_THROTTLED},
    {"EC2ThrottledException", ERR_THROTTLED},
    {"ProvisionedThroughputExceededException", ERR_THROTTLED},
    {"ServiceFailure", ERR_UNAVAILABLE},
    {"PolicyEvaluation", ERR_UNAVAILABLE},
    {"OpenIdIdpCommunicationError", ERR_UNAVAILABLE},
    {"ServiceUnavailable", ERR_UNAVAILABLE},
    {"ServiceUnavailableException", ERR_UNAVAILABLE},
    {"InternalFailure", ERR_UNAVAILABLE},
    {"InternalError", ERR_UNAVAILABLE},
    {"ServerException", ERR_UNAVAILABLE},
    {"RequestTimeout", ERR_UNAVAILABLE},
    {"RequestTimeoutException", ERR_UNAVAILABLE},
    {"InvalidAction", ERR_UNSUPPORTED},
    {"UnknownOperationException", ERR_UNSUPPORTED},
    {"InvalidInput", ERR_INVALID},
    {"ValidationError", ERR_INVALID},
    {"InvalidParameterException", ERR_INVALID},
    {"InvalidParameterValue", ERR_INVALID},
    {"InvalidRequestException", ERR_INVALID},
    {"ClientException", ERR_INVALID},
    {"PolicyNotAttachable", ERR_INVALID},
    {"UnmodifiableEntity", ERR_INVALID},
};

enum err_code aws_error_code(const char *wire) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_eq(table[i].wire, wire))
            return table[i].code;
    return ERR_NONE;
}

/* A code that the table lacks still says that the service read the request and refused it. */
static enum err_code code_of_status(int status, const char *wire) {
    if (str_has_suffix(wire, ".NotFound")) {
        return ERR_NOT_FOUND; /* EC2's family */
    }
    if (status == 429) {
        return ERR_THROTTLED;
    }
    if (status >= 500) {
        return ERR_UNAVAILABLE;
    }
    return status == 403 ? ERR_FORBIDDEN : ERR_INVALID;
}

static void set(struct error *err, int status, const char *wire, const char *message) {
    enum err_code code = aws_error_code(wire);
    (void)error_set(err, code ? code : code_of_status(status, wire), "%s: %s", wire, str_or(message, "no message"));
    err->http_status = status;
    (void)str_copy(err->wire, sizeof err->wire, wire);
}

static void set_unknown(struct error *err, int status) {
    enum err_code code = ERR_UNSUPPORTED;
    if (status == 429) {
        code = ERR_THROTTLED;
    } else if (status == 408) {
        code = ERR_TIMEOUT;
    } else if (status == 502 || status == 503 || status == 504) {
        code = ERR_UNAVAILABLE;
    }
    (void)error_set(err, code, "HTTP %d without an AWS error in it: does this endpoint know the operation?", status);
    err->http_status = status;
}

static bool decode_xml(int status, const char *body, size_t n, struct error *err) {
    char root[128];
    struct error parse;
    json *x = xml_to_json(body, n, root, &parse);
    const json *e = NULL;
    if (str_eq(root, "ErrorResponse")) {
        e = json_get(x, "Error"); /* IAM, STS */
    } else if (str_eq(root, "Response")) {
        e = json_path(x, "Errors.Error"); /* EC2 */
    }
    const char *code = json_str(e, "Code");
    bool found = !str_empty(code);
    if (found) {
        set(err, status, code, str_or(json_str(e, "Message"), json_str(e, "message")));
    }
    json_free(x);
    return found;
}

/* "ResourceNotFoundException:http://..." and "com.amazon.coral.service#AccessDeniedException". */
static const char *bare_code(const char *text, struct arena *a) {
    if (str_empty(text)) {
        return NULL;
    }
    char *code = arena_strndup(a, text, strcspn(text, ":"));
    char *hash = strrchr(code, '#');
    return hash ? hash + 1 : code;
}

static bool decode_json(int status, const char *body, size_t n, const char *error_type, struct error *err) {
    struct error parse;
    struct arena *a = arena_new(0);
    json *j = json_parse(body, n, &parse);
    const char *code = NULL;
    if (json_is_object(j))
        code = bare_code(error_type, a);
    if (str_empty(code)) {
        code = bare_code(json_str(j, "code"), a);
    }
    if (str_empty(code)) {
        code = bare_code(json_str(j, "__type"), a);
    }
    bool found = !str_empty(code);
    if (found)
        set(err, status, code, str_or(json_str(j, "message"), json_str(j, "Message")));
    json_free(j);
    arena_free(a);
    return found;
}

void aws_error_decode(enum effect_service service, int status, const char *body, size_t n, const char *error_type,
                      struct error *err) {
    error_clear(err);
    bool found =
        service == SERVICE_EKS ? decode_json(status, body, n, error_type, err) : decode_xml(status, body, n, err);
    if (!found)
        set_unknown(err, status);
}
