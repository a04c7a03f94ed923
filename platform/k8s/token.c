#include "platform/k8s/token.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/digest.h"
#include "platform/base/json.h"
#include "platform/base/timefmt.h"

struct k8s_token_call {
    struct k8s_call *call;
    k8s_token_fn done;
    void *arg;
};

/* ---- TokenRequest ---- */

static void wipe_string(const json *j) {
    if (json_is_string(j)) {
        explicit_bzero(j->valuestring, strlen(j->valuestring));
    }
}

static void on_answer(void *arg, struct k8s_answer *answer) {
    struct k8s_token_call *call = arg;
    struct error err = answer->error;
    struct secret *token = NULL;
    int64_t expires = 0;

    if (err.code == ERR_NONE) {
        const json *status = json_get(answer->body, "status");
        const json *text = json_get(status, "token");
        const char *expiry = json_str(status, "expirationTimestamp");
        if (json_is_string(text) && !str_empty(text->valuestring)) {
            token = secret_new(text->valuestring, strlen(text->valuestring));
        }
        wipe_string(text);
        if (token == NULL || expiry == NULL || !timefmt_parse_rfc3339(expiry, &expires)) {
            (void)error_set(&err, ERR_PARSE, "the TokenRequest's answer has no token or no expirationTimestamp");
            secret_free(token);
            token = NULL;
        }
    }
    call->done(call->arg, token, expires, &err);
    secret_free(token);
    free(call);
}

static char *token_body(const char *audience, int64_t seconds) {
    json *o = json_object();
    json_add_str(o, "apiVersion", "authentication.k8s.io/v1");
    json_add_str(o, "kind", "TokenRequest");
    json *spec = json_add_object(o, "spec");
    json *audiences = json_add_array(spec, "audiences");
    if (audience != NULL) {
        json_push_str(audiences, audience);
    }
    json_add_int64(spec, "expirationSeconds", seconds);
    char *text = json_print(o);
    json_free(o);
    return text;
}

struct k8s_token_call *k8s_token_request(struct k8s_client *c, const char *ns, const char *service_account,
                                         const char *audience, int64_t seconds, k8s_token_fn done, void *arg) {
    struct k8s_token_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        die("out of memory");
    }
    call->done = done;
    call->arg = arg;
    char *body = token_body(audience, seconds);
    struct k8s_request r = {.verb = K8S_VERB_CREATE,
                            .resource = k8s_resource_find("serviceaccounts"),
                            .ns = ns,
                            .name = service_account,
                            .subresource = "token",
                            .body = body,
                            .changes_nothing = true,
                            .secret_answer = true,
                            .retry = true};
    call->call = k8s_client_send(c, &r, on_answer, call);
    free(body);
    return call;
}

void k8s_token_cancel(struct k8s_token_call *call) {
    if (call != NULL) {
        k8s_call_cancel(call->call);
        free(call);
    }
}

/* ---- claims ---- */

/* NumericDate may have a fraction (RFC 7519); whole seconds are enough. */
static int64_t seconds_claim(const json *claims, const char *key) {
    int64_t exact = 0;
    const json *j = json_get(claims, key);
    if (json_int64(claims, key, &exact)) {
        return exact > 0 ? exact : 0;
    }
    if (j != NULL && cJSON_IsNumber(j) && isfinite(j->valuedouble) && j->valuedouble > 0 && j->valuedouble < 1e15) {
        return (int64_t)j->valuedouble;
    }
    return 0;
}

static bool take_audiences(const json *aud, struct strlist *out, struct arena *a, struct error *err) {
    if (aud == NULL) {
        return true;
    }
    if (!json_is_string(aud) && !json_is_array(aud)) {
        return error_set(err, ERR_PARSE, "the token's aud is neither a string nor a list");
    }
    if (json_array_size(aud) > TOKEN_AUDIENCES_MAX) {
        return error_set(err, ERR_TOO_LARGE, "the token has more than %d audiences", TOKEN_AUDIENCES_MAX);
    }
    *out = json_strings(aud, a);
    return true;
}

/* header.payload.signature; the header and the signature are not looked at. */
static bool payload_of(const char *token, size_t len, const char **out, size_t *out_len) {
    const char *first = memchr(token, '.', len);
    if (first == NULL) {
        return false;
    }
    const char *begin = first + 1;
    const char *second = memchr(begin, '.', len - (size_t)(begin - token));
    if (second == NULL || second == begin || first == token) {
        return false;
    }
    const char *rest = second + 1;
    if (memchr(rest, '.', len - (size_t)(rest - token)) != NULL) {
        return false;
    }
    *out = begin;
    *out_len = (size_t)(second - begin);
    return true;
}

bool token_claims(const char *token, size_t len, struct token_claims *out, struct arena *a, struct error *err) {
    const char *payload = NULL;
    size_t payload_len = 0;
    size_t n = 0;
    struct error ignored;
    if (len > SECRET_MAX) {
        return error_set(err, ERR_TOO_LARGE, "a token is larger than %zu bytes", SECRET_MAX);
    }
    if (!payload_of(token, len, &payload, &payload_len)) {
        return error_set(err, ERR_PARSE, "a token is no JWT (header.payload.signature)");
    }
    const char *text = digest_base64url_decode(payload, payload_len, &n, a);
    json *claims = text != NULL ? json_parse(text, n, &ignored) : NULL;
    if (!json_is_object(claims)) {
        json_free(claims);
        return error_set(err, ERR_PARSE, "a token's payload is no base64url JSON object");
    }
    struct token_claims c = {.issuer = arena_strdup(a, json_key_str(claims, "iss")),
                             .subject = arena_strdup(a, json_key_str(claims, "sub")),
                             .expires_s = seconds_claim(claims, "exp"),
                             .issued_s = seconds_claim(claims, "iat"),
                             .not_before_s = seconds_claim(claims, "nbf")};
    bool ok = take_audiences(json_get(claims, "aud"), &c.audiences, a, err);
    json_free(claims);
    if (ok) {
        *out = c;
    }
    return ok;
}
