/* test_jwt.c - what a token says about itself, read without trusting it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/k8s/base64.h"
#include "platform/k8s/token.h"

/* "h." base64url(payload) ".s" */
static char *jwt(const char *payload) {
    size_t n = strlen(payload);
    char *b64 = malloc(BASE64_SIZE(n));
    char *out = NULL;
    (void)base64_encode(payload, n, b64);
    for (char *p = b64; *p != '\0'; p++) {
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    }
    b64[strcspn(b64, "=")] = '\0';
    assert_true(asprintf(&out, "aGVhZGVy.%s.c2ln", b64) > 0);
    free(b64);
    return out;
}

static bool claims_of(const char *payload, struct token_claims *c, struct arena *a, struct error *err) {
    char *t = jwt(payload);
    bool ok = token_claims(t, strlen(t), c, a, err);
    free(t);
    return ok;
}

static void test_token_claims__kubernetes_and_others(void **state) {
    struct arena *a = arena_new(0);
    struct error err = {0};
    struct token_claims c;
    (void)state;
    assert_true(
        claims_of("{\"aud\":[\"sts.amazonaws.com\",\"b\"],\"exp\":1795237200,\"iat\":1795236600,\"iss\":"
                  "\"https://oidc.eks.us-west-2.amazonaws.com/id/ABC\",\"nbf\":1795236600,\"sub\":"
                  "\"system:serviceaccount:kube-system:aws-node\",\"kubernetes.io\":{\"namespace\":\"kube-system\"}}",
                  &c, a, &err));
    assert_string_equal(c.issuer, "https://oidc.eks.us-west-2.amazonaws.com/id/ABC");
    assert_string_equal(c.subject, "system:serviceaccount:kube-system:aws-node");
    assert_int_equal(c.audiences.n, 2);
    assert_string_equal(c.audiences.v[0], "sts.amazonaws.com");
    assert_int_equal(c.expires_s, 1795237200);
    assert_int_equal(c.issued_s, 1795236600);
    assert_int_equal(c.not_before_s, 1795236600);
    assert_true(claims_of("{\"aud\":\"one\",\"exp\":1795237200.75}", &c, a, &err));
    assert_int_equal(c.audiences.n, 1);
    assert_string_equal(c.audiences.v[0], "one");
    assert_int_equal(c.expires_s, 1795237200);
    assert_null(c.issuer);
    assert_true(claims_of("{\"exp\":\"soon\",\"iat\":-5,\"nbf\":1e300,\"iss\":7}", &c, a, &err));
    assert_int_equal(c.expires_s + c.issued_s + c.not_before_s, 0);
    assert_null(c.issuer);
    assert_int_equal(c.audiences.n, 0);
    arena_free(a);
}

static void test_token_claims__garbage_is_refused(void **state) {
    static const char *const tokens[] = {"",         ".",           "..",     "a.b",      "a..c",
                                         ".b.c",     "a.b.c.d",     "a.!!.c", "a.bm90.c", "a.W10.c" /* [] */,
                                         "a.e30=.c", "opaque-token"};
    struct arena *a = arena_new(0);
    struct token_claims c;
    (void)state;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct error err = {0};
        if (token_claims(tokens[i], strlen(tokens[i]), &c, a, &err)) {
            fail_msg("row %zu was accepted", i);
        }
        assert_int_equal(err.code, ERR_PARSE);
    }
    struct error err = {0};
    assert_false(claims_of("{\"aud\":{\"a\":1}}", &c, a, &err));
    assert_false(claims_of("{\"iss\":\"a\",\"iss\":\"b\"}", &c, a, &err));
    assert_false(claims_of("{\"iss\":\"a\\u0000b\"}", &c, a, &err));
    char *big = calloc(1, SECRET_MAX + 2);
    memset(big, 'a', SECRET_MAX + 1);
    assert_false(token_claims(big, SECRET_MAX + 1, &c, a, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    free(big);
    arena_free(a);
}

static void test_base64_encode__rfc4648(void **state) {
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"},
                                          {"\xff\xfe\xfd", "//79"}};
    char out[BASE64_SIZE(8)];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(base64_encode(rows[i][0], strlen(rows[i][0]), out), strlen(rows[i][1]));
        assert_string_equal(out, rows[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_claims__kubernetes_and_others),
        cmocka_unit_test(test_token_claims__garbage_is_refused),
        cmocka_unit_test(test_base64_encode__rfc4648),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
