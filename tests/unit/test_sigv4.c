/* The four golden vectors (computed by two independent implementations), and the published suite's shapes that apply.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/aws/sigv4.h"
#include "platform/base/timefmt.h"

#define FORM "application/x-www-form-urlencoded; charset=utf-8"

struct row {
    struct sigv4_request r;
    const char *token, *time, *signature, *canonical_path;
};

static void check(const struct row *row) {
    struct arena *a = arena_new(0);
    struct sigv4_cache *cache = sigv4_cache_new();
    const char *key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    struct secret *secret = secret_new(key, strlen(key)),
                  *token = row->token ? secret_new(row->token, strlen(row->token)) : NULL;
    struct sigv4_credentials cred = {"AKIDEXAMPLE", secret, token};
    struct sigv4_request r = row->r;
    assert_true(timefmt_parse_rfc3339(row->time, &r.wall_ms));
    r.body_len = r.body ? strlen(r.body) : 0;
    for (int twice = 0; twice < 2; twice++) { /* the second time from the cached key */
        struct sigv4_signature s;
        sigv4_sign(cache, &r, &cred, a, &s);
        if (!strstr(s.authorization, row->signature))
            print_error("%s\n--\n%s\n", s.canonical_request, s.authorization);
        assert_non_null(strstr(s.authorization, row->signature));
        if (row->canonical_path)
            assert_non_null(strstr(s.canonical_request, row->canonical_path));
    }
    secret_free(secret);
    secret_free(token);
    sigv4_cache_free(cache);
    arena_free(a);
}

static void golden_vectors(void **state) {
    (void)state;
    static const struct row rows[] = {
        {{"POST", "iam.amazonaws.com", "/", NULL, FORM,
          "Action=GetRole&Version=2010-05-08&RoleName=AmazonEKSVPCCNIRole", 0, "us-east-1", "iam", 0},
         NULL,
         "2026-01-02T03:04:05Z",
         "d3e663130f9ecc492817c4caed3ce5d487c5793713bdfc98d1ad82e1c6c6d326",
         NULL},
        {{"POST", "sts.us-west-2.amazonaws.com", "/", NULL, FORM, "Action=GetCallerIdentity&Version=2011-06-15", 0,
          "us-west-2", "sts", 0},
         "AQoDYXdzEPT//////////wEXAMPLE==",
         "2026-01-02T03:04:05Z",
         "cdb221a8b397532cb281602ed3f042b491dfa07b1b336364225a1a4c488d98ec",
         NULL},
        {{"GET", "eks.us-west-2.amazonaws.com", "/clusters/my-cluster/pod-identity-associations",
          "serviceAccount=aws-node&namespace=kube-system&nextToken=ab%2B%2F%3D", NULL, NULL, 0, "us-west-2", "eks", 0},
         NULL,
         "2026-01-02T03:04:05Z",
         "f6920f9da0430ba06534ea8a9ba0a70c36be57467fdfa93096e8991a54fbab75",
         NULL},
        {{"POST", "eks.us-west-2.amazonaws.com",
          "/tags/arn%3Aaws%3Aeks%3Aus-west-2%3A111122223333%3Acluster%2Fmy-cluster", NULL, "application/json",
          "{\"tags\":{\"k\":\"v\"}}", 0, "us-west-2", "eks", 0},
         NULL,
         "2026-01-02T03:04:05Z",
         "2bacfe2132c4433f04975e88044d44eaf09b3bd33c811699851058566e8104e4",
         "/tags/arn%253Aaws"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

/* get-vanilla and its neighbours of the published suite: service "service", us-east-1, 20150830T123600Z. */
static void published_vectors(void **state) {
    (void)state;
    static const struct row rows[] = {
        {{"GET", "example.amazonaws.com", "/", NULL, NULL, NULL, 0, "us-east-1", "service", 0},
         NULL,
         "2015-08-30T12:36:00Z",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
         NULL},
        {{"GET", "example.amazonaws.com", "/", "Param2=value2&Param1=value1", NULL, NULL, 0, "us-east-1", "service", 0},
         NULL,
         "2015-08-30T12:36:00Z",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
         NULL},
        {{"POST", "example.amazonaws.com", "/", NULL, NULL, NULL, 0, "us-east-1", "service", 0},
         NULL,
         "2015-08-30T12:36:00Z",
         "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
         NULL},
        {{"GET", "example.amazonaws.com", "/example/..", NULL, NULL, NULL, 0, "us-east-1", "service", 0},
         NULL,
         "2015-08-30T12:36:00Z",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
         NULL},
        {{"GET", "example.amazonaws.com", "//", NULL, NULL, NULL, 0, "us-east-1", "service", 0},
         NULL,
         "2015-08-30T12:36:00Z",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
         NULL},
        {{"POST", "example.amazonaws.com", "/", NULL, "application/x-www-form-urlencoded", "Param1=value1", 0,
          "us-east-1", "service", 0},
         NULL,
         "2015-08-30T12:36:00Z",
         "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
         NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

/* Printed by aws_vectors.py: botocore signs these. */
static void botocores_vectors(void **state) {
    (void)state;
#define TOKEN "AQoDYXdzEPT//////////wEXAMPLE=="
#define WHEN "2026-01-02T03:04:05Z"
    static const struct row rows[] = {
        {{"POST", "iam.amazonaws.com", "/", NULL, FORM, "Action=ListRoles&Version=2010-05-08&Marker=a%2Bb%2F%3D", 0,
          "us-east-1", "iam", 0},
         NULL,
         WHEN,
         "e5fa0e85d8cac69794f06cf70adf8464eeb4f2d1381145d11e68dbe52a99972d",
         NULL},
        {{"POST", "iam.us-gov.amazonaws.com", "/", NULL, FORM, "Action=GetRole&Version=2010-05-08&RoleName=x", 0,
          "us-gov-west-1", "iam", 0},
         TOKEN,
         WHEN,
         "411c04503e6c7ace3f09ebd7f0b580c06355a3953a4cf2ef2401c6f5ef15b553",
         NULL},
        {{"POST", "sts.cn-north-1.amazonaws.com.cn", "/", NULL, FORM, "", 0, "cn-north-1", "sts", 0},
         NULL,
         WHEN,
         "f42536c37dca35a48a185e1247ec02e45d3f44b7c63fd0dd606a5078127bb5c0",
         NULL},
        {{"POST", "ec2.eu-west-1.amazonaws.com", "/", NULL, FORM,
          "Action=DescribeInstances&Version=2016-11-15&DryRun=true", 0, "eu-west-1", "ec2", 0},
         TOKEN,
         WHEN,
         "f4bfd4156a046e331060007b3b5cbf5d7ad782f6124d147c9a48890ccaf8ad78",
         NULL},
        {{"POST", "localhost:4566", "/", NULL, FORM, "Action=GetRole", 0, "us-east-1", "iam", 0},
         NULL,
         WHEN,
         "b6529f1ff0cc387706430481e2ad521bca602ff9e9226d33c1fcf584a04ed5e5",
         NULL},
        {{"POST", "127.0.0.1:5000", "/prefix/", NULL, FORM, "Action=GetRole", 0, "us-east-1", "iam", 0},
         NULL,
         WHEN,
         "1a7cd0a46f72e154cc5d8f55f994f3bdea9eefd3e2c14f62dfe157a77bdcc45f",
         NULL},
        {{"GET", "eks.us-west-2.amazonaws.com", "/clusters/my-cluster", NULL, NULL, NULL, 0, "us-west-2", "eks", 0},
         NULL,
         WHEN,
         "df4d724a9385bafddcd8e27f9da4b5405fbc9d61ed04284e948b850b5abd5bb3",
         NULL},
        {{"GET", "eks.us-west-2.amazonaws.com", "/clusters/a%20b%2Fc", NULL, NULL, NULL, 0, "us-west-2", "eks", 0},
         NULL,
         WHEN,
         "0fdb6ba7c9b4c0c6be68b03695d71ca5114cf29caf181810682fa1bbea41c012",
         NULL},
        {{"GET", "eks.us-west-2.amazonaws.com", "/clusters/my-cluster/addons/vpc-cni", NULL, NULL, NULL, 0, "us-west-2",
          "eks", 0},
         TOKEN,
         WHEN,
         "4080940136485d6c77f132402ddb9f0e593431ebe64aa0a83aac48e458c4ca9f",
         NULL},
        {{"GET", "eks.us-west-2.amazonaws.com", "/clusters/c/node-groups", "nextToken=&maxResults=100", NULL, NULL, 0,
          "us-west-2", "eks", 0},
         NULL,
         WHEN,
         "c4f6d5e4cecd388c9cdd79fc296f1482579fe73c1fea3c0bc504f0172d32b416",
         NULL},
        {{"GET", "eks.us-west-2.amazonaws.com", "/clusters/c/node-groups", "a-b=1&a=2&a.b=3&A=4", NULL, NULL, 0,
          "us-west-2", "eks", 0},
         NULL,
         WHEN,
         "9358d5bfab451a709745858aa1f755f71b28dd7881ab18624d8b38703058eea4",
         NULL},
        {{"GET", "eks.us-west-2.amazonaws.com", "/clusters/c/node-groups", "b=%E1%88%B4&a=x~y_z-1.2", NULL, NULL, 0,
          "us-west-2", "eks", 0},
         NULL,
         WHEN,
         "039f76a2ef4eee6992afd1f9dc76cbe5040cce5dcdcd1fc1910dec649ae25d6a",
         NULL},
        {{"DELETE", "eks.us-west-2.amazonaws.com", "/clusters/c/pod-identity-associations/a-1", NULL, NULL, NULL, 0,
          "us-west-2", "eks", 0},
         NULL,
         WHEN,
         "1223fe12efa601af28e642ead403b6b7d712828e3c1e426dee6e0b36b162640b",
         NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

/* Keys are kept by secret, date, region and service; more of them than the cache holds still sign rightly. */
static void cached_keys_do_not_mix(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct sigv4_cache *cache = sigv4_cache_new();
    struct secret *one = secret_new("one", 3), *two = secret_new("two", 3);
    const struct secret *secrets[] = {one, two};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3 * SIGV4_KEYS_MAX; i++) {
            struct sigv4_request r = {
                .method = "GET", .host = "h", .path = "/", .service = "iam", .wall_ms = 86400000LL * (i / 4)};
            struct sigv4_credentials cred = {"AKID", secrets[i % 2], NULL};
            struct sigv4_signature cached, fresh;
            struct sigv4_cache *empty = sigv4_cache_new();
            r.region = i / 2 % 2 ? "us-east-1" : "us-east-2";
            sigv4_sign(cache, &r, &cred, a, &cached);
            sigv4_sign(empty, &r, &cred, a, &fresh);
            assert_string_equal(cached.authorization, fresh.authorization);
            sigv4_cache_free(empty);
        }
    }
    secret_free(one);
    secret_free(two);
    sigv4_cache_free(cache);
    sigv4_cache_free(NULL);
    arena_free(a);
}

static void the_token_stays_out_of_what_is_kept(void **state) {
    (void)state;
    struct arena *a = arena_new(0);
    struct sigv4_cache *cache = sigv4_cache_new();
    struct secret *key = secret_new("k", 1), *token = secret_new("hidden-token", 12);
    struct sigv4_credentials cred = {"AKID", key, token};
    struct sigv4_request r = {.method = "GET", .host = "h", .path = "/", .region = "r", .service = "s"};
    struct sigv4_signature s;
    sigv4_sign(cache, &r, &cred, a, &s);
    assert_null(strstr(s.canonical_request, "hidden-token"));
    assert_non_null(strstr(s.authorization, "SignedHeaders=host;x-amz-date;x-amz-security-token"));
    secret_free(key);
    secret_free(token);
    sigv4_cache_free(cache);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_vectors), cmocka_unit_test(published_vectors),
                                       cmocka_unit_test(botocores_vectors), cmocka_unit_test(cached_keys_do_not_mix),
                                       cmocka_unit_test(the_token_stays_out_of_what_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
