/* kube_token.c - ServiceAccount tokens: RS256 by OpenSSL, the key set that verifies them, and verification for STS. */
#include <assert.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/digest.h"
#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/kube_internal.h"

#define KEY_BITS 2048 /* unless the options say otherwise */
#define NUMBER_MAX 512
#define TOKEN_MAX ((size_t)16 * 1024)
#define EXPIRATION_MIN_S 600
#define EXPIRATION_MAX_S (INT64_C(1) << 32)

char *kube_base64url(const void *p, size_t n, struct arena *a) {
    char *out = arena_alloc(a, (n + 2) / 3 * 4 + 1);
    int len = EVP_EncodeBlock((unsigned char *)out, p, (int)n);
    while (len > 0 && out[len - 1] == '=') {
        out[--len] = '\0';
    }
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    }
    return out;
}

/* One key of a size for all worlds of the process: making one takes longer than a whole migration. */
static EVP_PKEY *key_of(struct sim_kube *k) {
    static EVP_PKEY *shared;
    static int bits;
    int want = k->key_bits ? k->key_bits : KEY_BITS;
    if (k->key != NULL) {
        return k->key;
    }
    if (shared == NULL || bits != want) {
        EVP_PKEY_free(shared);
        shared = EVP_RSA_gen((unsigned)want);
        bits = want;
    }
    if (shared == NULL || EVP_PKEY_up_ref(shared) != 1) {
        die("OpenSSL made no RSA key");
    }
    k->key = shared;
    return k->key;
}

void kube_token_free(struct sim_kube *k) {
    EVP_PKEY_free(k->key);
}

static const char *number_of(EVP_PKEY *key, const char *which, struct arena *a) {
    BIGNUM *n = NULL;
    unsigned char bytes[NUMBER_MAX];
    if (EVP_PKEY_get_bn_param(key, which, &n) != 1 || BN_num_bytes(n) > NUMBER_MAX) {
        die("OpenSSL does not tell the numbers of an RSA key");
    }
    int len = BN_bn2bin(n, bytes);
    BN_free(n);
    return kube_base64url(bytes, (size_t)len, a);
}

static const char *key_id(struct sim_kube *k, struct arena *a) {
    unsigned char sum[DIGEST_SHA256_BYTES];
    if (k->key_id[0] == '\0') {
        const char *n = number_of(key_of(k), OSSL_PKEY_PARAM_RSA_N, a);
        digest_sha256(n, strlen(n), sum);
        (void)snprintf(k->key_id, sizeof k->key_id, "%s", kube_base64url(sum, sizeof sum, a));
    }
    return k->key_id;
}

json *kube_jwks(struct sim_kube *k) {
    struct arena *a = arena_new(0);
    json *set = json_object();
    json *key = json_object();
    json_add_str(key, "use", "sig");
    json_add_str(key, "kty", "RSA");
    json_add_str(key, "kid", key_id(k, a));
    json_add_str(key, "alg", "RS256");
    json_add_str(key, "n", number_of(key_of(k), OSSL_PKEY_PARAM_RSA_N, a));
    json_add_str(key, "e", number_of(key_of(k), OSSL_PKEY_PARAM_RSA_E, a));
    json_push(json_add_array(set, "keys"), key);
    arena_free(a);
    return set;
}

/* ---- making ---- */

static const char *sign(EVP_PKEY *key, const char *text, struct arena *a) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char signature[NUMBER_MAX];
    size_t n = sizeof signature;
    if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, signature, &n, (const unsigned char *)text, strlen(text)) != 1) {
        die("OpenSSL did not sign");
    }
    EVP_MD_CTX_free(ctx);
    return kube_base64url(signature, n, a);
}

static const char *part_of(json *tree_take, struct arena *a) {
    const char *text = json_print_arena(tree_take, a);
    json_free(tree_take);
    return kube_base64url(text, strlen(text), a);
}

static json *reference(const json *object) {
    json *o = json_object();
    json_add_str(o, "name", kube_name_of(object));
    json_add_str(o, "uid", json_str(object, "metadata.uid"));
    return o;
}

struct token_wish {
    const json *account;
    const json *pod; /* NULL: not bound */
    const json *audiences;
    int64_t seconds;
};

static json *claims_of(struct sim_kube *k, const struct token_wish *t, struct arena *a) {
    int64_t now = k->clock.wall_ms(k->clock.ctx) / 1000;
    const char *ns = kube_namespace_of(t->account);
    char id[40];
    json *c = json_object();
    json_add_item(c, "aud", json_dup(t->audiences));
    json_add_int64(c, "exp", now + t->seconds);
    json_add_int64(c, "iat", now);
    json_add_str(c, "iss", k->issuer);
    (void)snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)prng_next(&k->prng),
                   (unsigned long long)prng_next(&k->prng));
    json_add_str(c, "jti", id);
    json *about = json_add_object(c, "kubernetes.io");
    json_add_str(about, "namespace", ns);
    if (t->pod != NULL) {
        json_add_item(about, "pod", reference(t->pod));
    }
    json_add_item(about, "serviceaccount", reference(t->account));
    json_add_int64(c, "nbf", now);
    json_add_str(c, "sub", arena_printf(a, "system:serviceaccount:%s:%s", ns, kube_name_of(t->account)));
    return c;
}

static const char *make_token(struct sim_kube *k, const struct token_wish *t, struct arena *a) {
    json *header = json_object();
    json_add_str(header, "alg", "RS256");
    json_add_str(header, "kid", key_id(k, a));
    const char *first = part_of(header, a);
    const char *signed_text = arena_printf(a, "%s.%s", first, part_of(claims_of(k, t, a), a));
    return arena_printf(a, "%s.%s", signed_text, sign(key_of(k), signed_text, a));
}

/* ---- TokenRequest ---- */

static json *find_pod(struct sim_kube *k, const struct kube_request *q, const json *ref, const json **pod) {
    const char *name = json_str(ref, "name");
    const char *uid = json_str(ref, "uid");
    const struct kube_version *v;
    if (ref == NULL) {
        return NULL;
    }
    if (!str_eq(json_str(ref, "kind"), "Pod")) {
        return kube_status(400, "BadRequest", "cannot bind token for serviceaccount \"%s\" to %s object", q->name,
                           str_or(json_str(ref, "kind"), ""));
    }
    v = name != NULL ? kube_find(k, KUBE_PODS, q->ns, name) : NULL;
    if (v == NULL) {
        return kube_not_found(kube_resource_named("pods"), name);
    }
    if (uid != NULL && !str_eq(uid, json_str(v->value, "metadata.uid"))) {
        return kube_status_for(
            kube_resource_named("pods"), name, 409, "Conflict",
            "Operation cannot be fulfilled on Pod \"%s\": the UID in the bound object reference (%s) does "
            "not match the UID in record. The object might have been deleted and then recreated",
            name, uid);
    }
    *pod = v->value;
    return NULL;
}

static json *check_seconds(int64_t s) {
    static const struct kube_resource r = {
        KUBE_NO_STORE, "serviceaccounts", "authentication.k8s.io", "v1", "TokenRequest", "", NULL, true, false, false};
    if (s < EXPIRATION_MIN_S) {
        return kube_invalid_one(&r, "", "spec.expirationSeconds", "FieldValueInvalid",
                                "Invalid value: %lld: may not specify a duration less than 10 minutes", (long long)s);
    }
    if (s > EXPIRATION_MAX_S) {
        return kube_invalid_one(&r, "", "spec.expirationSeconds", "FieldValueInvalid",
                                "Invalid value: %lld: may not specify a duration larger than 2^32 seconds",
                                (long long)s);
    }
    return NULL;
}

json *kube_token_request(struct sim_kube *k, const struct kube_request *q, json *body_take, json **out) {
    const struct kube_version *account = kube_find(k, KUBE_SERVICEACCOUNTS, q->ns, q->name);
    struct token_wish t = {.seconds = json_int64_or(body_take, "spec.expirationSeconds", 3600)};
    char until[TIMEFMT_MAX];
    json *refused = account == NULL ? kube_not_found(q->r, q->name) : check_seconds(t.seconds);
    refused = refused != NULL ? refused : find_pod(k, q, json_path(body_take, "spec.boundObjectRef"), &t.pod);
    if (refused != NULL) {
        json_free(body_take);
        return refused;
    }
    json *spec = kube_need_object(body_take, "spec");
    if (json_first(json_array(spec, "audiences")) == NULL) {
        json_push_str(json_add_array(spec, "audiences"), KUBE_AUDIENCE);
    }
    json_add_int64(spec, "expirationSeconds", t.seconds);
    assert(account != NULL);
    t.account = account->value;
    t.audiences = json_get(spec, "audiences");
    json_add_str(body_take, "kind", "TokenRequest");
    json_add_str(body_take, "apiVersion", "authentication.k8s.io/v1");
    json *m = kube_metadata(body_take);
    json_add_str(m, "name", q->name);
    json_add_str(m, "namespace", q->ns);
    json *status = json_add_object(body_take, "status");
    json_add_str(status, "token", make_token(k, &t, q->a));
    timefmt_rfc3339(k->clock.wall_ms(k->clock.ctx) + t.seconds * 1000, until);
    json_add_str(status, "expirationTimestamp", until);
    *out = body_take;
    return NULL;
}

/* ---- verification ---- */

static json *decode_part(const char *p, size_t n, struct arena *a) {
    struct error err = {0};
    size_t len = 0;
    const char *text = digest_base64url_decode(p, n, &len, a);
    return text != NULL ? json_parse(text, len, &err) : NULL;
}

static bool signature_holds(EVP_PKEY *key, const char *text, size_t n, const char *signature, struct arena *a) {
    size_t len = 0;
    const char *bytes = digest_base64url_decode(signature, strlen(signature), &len, a);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = bytes != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(ctx, (const unsigned char *)bytes, len, (const unsigned char *)text, n) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static bool read_claims(struct sim_kube *k, const json *c, struct sim_token_claims *out) {
    int64_t expires = 0;
    int64_t from = 0;
    int64_t now = k->clock.wall_ms(k->clock.ctx);
    const json *aud = json_get(c, "aud");
    const json *first = json_is_array(aud) ? json_first(aud) : aud;
    bool good = json_int64(c, "exp", &expires) && json_int64(c, "nbf", &from) && json_is_string(first) &&
                str_copy(out->issuer, sizeof out->issuer, json_str(c, "iss")) &&
                str_copy(out->subject, sizeof out->subject, json_str(c, "sub")) &&
                str_copy(out->audience, sizeof out->audience, first->valuestring);
    out->expires_ms = expires * 1000;
    return good && str_eq(out->issuer, k->issuer) && now < out->expires_ms && now >= from * 1000;
}

bool sim_kube_verify_token(struct sim_kube *k, const char *token, struct sim_token_claims *out) {
    const char *dot = token != NULL && strlen(token) <= TOKEN_MAX ? strchr(token, '.') : NULL;
    const char *second = dot != NULL ? strchr(dot + 1, '.') : NULL;
    if (second == NULL) {
        return false;
    }
    struct arena *a = arena_new(0);
    json *header = decode_part(token, (size_t)(dot - token), a);
    json *claims = NULL;
    bool good = str_eq(json_key_str(header, "alg"), "RS256") && str_eq(json_key_str(header, "kid"), key_id(k, a)) &&
                signature_holds(key_of(k), token, (size_t)(second - token), second + 1, a);
    if (good) {
        claims = decode_part(dot + 1, (size_t)(second - dot - 1), a);
        good = claims != NULL && read_claims(k, claims, out);
    }
    json_free(header);
    json_free(claims);
    arena_free(a);
    return good;
}
