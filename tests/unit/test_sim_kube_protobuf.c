/* test_sim_kube_protobuf.c - what kubectl v1.36.3 sends, byte for byte, and bytes that nobody should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "simulator/kube_protobuf.h"

#define BYTES(text) (text), sizeof(text) - 1
#define NO_METADATA                                                                                                    \
    "\n\x10\n\0\x12\0\x1a\0\"\0*\0"                                                                                    \
    "2\0"                                                                                                              \
    "8\0"                                                                                                              \
    "B\0"
#define END "\x1a\0\"\0"

static void expect(const char *bytes, size_t n, const char *wanted) {
    struct error err = {0};
    struct error none = {0};
    json *j = kube_protobuf_read(bytes, n, &err);
    json *w = json_parse(wanted, strlen(wanted), &none);
    char *text = j != NULL ? json_print(j) : NULL;
    assert_non_null(w);
    if (j == NULL || !json_equal(j, w)) {
        fail_msg("%s is not %s", j != NULL ? text : err.message, wanted);
    }
    free(text);
    json_free(j);
    json_free(w);
}

static void refused(const char *bytes, size_t n, enum err_code code) {
    struct error err = {0};
    assert_null(kube_protobuf_read(bytes, n, &err));
    assert_int_equal(err.code, code);
    assert_true(err.message[0] != '\0');
}

static void test_reviews(void **state) {
    (void)state;
    expect(BYTES("k8s\0\n2\n\x17"
                 "authorization.k8s.io/v1\x12\x17SelfSubjectAccessReview\x12I" NO_METADATA
                 "\x12+\n)\n\x0bkube-system\x12\x03get\x1a\0\"\0*\tpods.apps2\x03log:\x01x\x1a\x08\x08\0\x12\0\x1a\0 "
                 "\0" END),
           "{\"kind\":\"SelfSubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/v1\",\"metadata\":{},\"spec\":{"
           "\"resourceAttributes\":{\"namespace\":\"kube-system\",\"verb\":\"get\",\"resource\":\"pods.apps\","
           "\"subresource\":\"log\",\"name\":\"x\"}}}");
    expect(BYTES("k8s\0\n1\n\x17"
                 "authorization.k8s.io/v1\x12\x16SelfSubjectRulesReview\x12\x1f" NO_METADATA "\x12\x05\n\x03"
                 "foo\x1a\x04\x18\0\"\0" END),
           "{\"kind\":\"SelfSubjectRulesReview\",\"apiVersion\":\"authorization.k8s.io/v1\",\"metadata\":{},\"spec\":{"
           "\"namespace\":\"foo\"}}");
    expect(BYTES("k8s\0\n-\n\x18"
                 "authentication.k8s.io/v1\x12\x11SelfSubjectReview\x12\x1a" NO_METADATA
                 "\x12\x06\n\x04\n\0\x12\0" END),
           "{\"kind\":\"SelfSubjectReview\",\"apiVersion\":\"authentication.k8s.io/v1\",\"metadata\":{}}");
}

static void test_token_request(void **state) {
    (void)state;
    expect(
        BYTES("k8s\0\n(\n\x18"
              "authentication.k8s.io/v1\x12\x0cTokenRequest\x12\x34" NO_METADATA "\x12\x1a\n\x01"
              "a\n\x01"
              "b\x1a\x0f\n\x03Pod\x12\x02v1\x1a\x01p\"\x01u \x84\x07\x1a\x04\n\0\x12\0" END),
        "{\"kind\":\"TokenRequest\",\"apiVersion\":\"authentication.k8s.io/v1\",\"metadata\":{},\"spec\":{"
        "\"audiences\":[\"a\",\"b\"],\"boundObjectRef\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"name\":\"p\",\"uid\":"
        "\"u\"},\"expirationSeconds\":900}}");
}

static void test_objects(void **state) {
    (void)state;
    expect(
        BYTES("k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12.\n\x11\n\x01x\x12\0\x1a\0\"\0*\0"
              "2\0"
              "8\0"
              "B\0\x12\x06\n\x01"
              "a"
              "\x12\x01"
              "b\x12\x05\n\x01"
              "c\x12\0\x1a\n\n\x03"
              "bin\x12\x03\0\xff\x10" END),
        "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":\"b\",\"c\":\"\"},"
        "\"binaryData\":{\"bin\":\"AP8Q\"}}");
    expect(BYTES("k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1b\n\x13\n\x03"
                 "foo\x12\0\x1a\0\"\0*\0"
                 "2\0"
                 "8\0"
                 "B\0\x12\0\x1a\x02"
                 "\n\0" END),
           "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"foo\"},\"spec\":{}}");
    expect(BYTES("k8s\0\n\x14\n\x02v1\x12\x0eServiceAccount\x12\x15\n\x13\n\x03"
                 "foo\x12\0\x1a\0\"\0*\0"
                 "2\0"
                 "8\0"
                 "B\0" END),
           "{\"kind\":\"ServiceAccount\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"foo\"}}");
    expect(BYTES("k8s\0\n\x14\n\x02v1\x12\x0eServiceAccount\x12\x1e\n\x0c\n\x01s\x6a\x07\n\x01K\x30\0\x38\x01\x12\x03\n"
                 "\x01S\x12"
                 "\x03\n\x01T\x1a\x02\n\0 \0"),
           "{\"kind\":\"ServiceAccount\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"s\",\"ownerReferences\":[{"
           "\"kind\":"
           "\"K\",\"controller\":false,\"blockOwnerDeletion\":true}]},\"secrets\":[{\"kind\":\"S\"},{\"kind\":\"T\"}],"
           "\"imagePullSecrets\":[{}],\"automountServiceAccountToken\":false}");
}

/* A grace period of 0 is one; a negative one takes ten bytes. */
static void test_delete_options(void **state) {
    (void)state;
    expect(BYTES("k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x02\x08\x03" END),
           "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"gracePeriodSeconds\":3}");
    expect(BYTES("k8s\0\n\x18\n\x07"
                 "apps/v1\x12\rDeleteOptions\x12\x13\x08\0\x12\x03\n\x01u\"\x05"
                 "Hello*\x03"
                 "All"),
           "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"apps/"
           "v1\",\"gracePeriodSeconds\":0,\"preconditions\":{\"uid\":\"u\"},"
           "\"propagationPolicy\":\"Hello\",\"dryRun\":[\"All\"]}");
    expect(BYTES("k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
           "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"gracePeriodSeconds\":-1}");
}

#define OPTIONS(rest) BYTES("k8s\0\n\x13\n\x02v1\x12\rDeleteOptions" rest)

/* Of fields that are not in a table only the form is looked at. */
static void test_unknown_fields(void **state) {
    (void)state;
    expect(OPTIONS("\x12\x14\xfa\x01\x02hi\xf8\x01\x07\xf9\x01"
                   "12345678"
                   "\x08\x01"),
           "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"gracePeriodSeconds\":1}");
    refused(OPTIONS("\x12\x01\xfb"), ERR_PARSE);     /* the key does not end */
    refused(OPTIONS("\x12\x02\xfb\x01"), ERR_PARSE); /* a group */
    refused(OPTIONS("\x12\x03\xfd\x01"
                    "1"),
            ERR_PARSE); /* four bytes of which one is there */
}

static void test_refused(void **state) {
    (void)state;
    refused(BYTES(""), ERR_PARSE);
    refused(BYTES("k8s"), ERR_PARSE);
    refused(BYTES("{\"kind\":\"Pod\"}"), ERR_PARSE);
    refused(BYTES("k8s\0"), ERR_UNSUPPORTED);
    refused(BYTES("k8s\0\n\x09\n\x02v1\x12\x03Pod\x12\0"), ERR_UNSUPPORTED);
    refused(BYTES("k8s\0\n\x11\n\x04"
                  "x/v1\x12\tConfigMap\x12\0"),
            ERR_UNSUPPORTED);
    refused(BYTES("k8s\0\n\x7f"), ERR_PARSE);
    refused(BYTES("k8s\0\x08\x01"), ERR_PARSE);           /* a type that is a number */
    refused(BYTES("k8s\0\0"), ERR_PARSE);                 /* field 0 */
    refused(OPTIONS("\x1a\x04gzip\x12\0"), ERR_PARSE);    /* encoded */
    refused(OPTIONS("\x12\x02\x0a\0"), ERR_PARSE);        /* a grace period of text */
    refused(OPTIONS("\x12\x03\x2a\x01\xff"), ERR_PARSE);  /* no UTF-8 */
    refused(OPTIONS("\x12\x03\x2a\x01\0"), ERR_PARSE);    /* a NUL */
    refused(OPTIONS("\x12\x02\x28\x01"), ERR_PARSE);      /* a text that is a number */
    refused(OPTIONS("\x12\x02\x10\x01"), ERR_PARSE);      /* a message that is a number */
    refused(OPTIONS("\x12\x04\x12\x7f\x01u"), ERR_PARSE); /* longer than what it is in */
    refused(OPTIONS("\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), ERR_PARSE); /* beyond 64 bits */
}

static void test_bounds(void **state) {
    static const char head[] = "k8s\0\n\x13\n\x02v1\x12\rDeleteOptions\x12\x80\x80\x04"; /* 65536 bytes follow */
    size_t n = sizeof head - 1 + 65536;
    char *body = malloc(n);
    (void)state;
    assert_non_null(body);
    memcpy(body, head, sizeof head - 1);
    for (size_t i = sizeof head - 1; i < n; i += 2) {
        memcpy(body + i, "\x2a\0", 2);
    }
    refused(body, n, ERR_PARSE);
    size_t type_end = sizeof head - 1 - 4;
    for (size_t i = 4; i < sizeof head - 1;
         i++) { /* nor is any beginning of it a message, but a type without content */
        struct error err = {0};
        json *j = kube_protobuf_read(body, i, &err);
        assert_true((j != NULL) == (i == type_end));
        json_free(j);
    }
    free(body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reviews),        cmocka_unit_test(test_token_request),  cmocka_unit_test(test_objects),
        cmocka_unit_test(test_delete_options), cmocka_unit_test(test_unknown_fields), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
