/* The four golden vectors (computed by two independent implementations), and the published suite's shapes that apply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "platform/aws/sigv4.h"
#include "platform/base/timefmt.h"

#define FORM "application/x-www-form-urlencoded; charset=utf-8"

struct row {
    struct sigv4_request r;
    const char *token, *time, *signature, *canonical_path;
};

static void check(const struct row *row)
{
    struct arena *a = arena_new(0);
    struct sigv4_cache *cache = sigv4_cache_new();
    const char *key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    struct secret *secret = secret_new(key, strlen(key)), *token = row->token ? secret_new(row->token, strlen(row->token)) : NULL;
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

static void golden_vectors(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{"POST", "iam.amazonaws.com", "/", NULL, FORM, "Action=GetRole&Version=2010-05-08&RoleName=AmazonEKSVPCCNIRole", 0, "us-east-1", "iam", 0},
         NULL, "2026-01-02T03:04:05Z", "d3e663130f9ecc492817c4caed3ce5d487c5793713bdfc98d1ad82e1c6c6d326", NULL},
        {{"POST", "sts.us-west-2.amazonaws.com", "/", NULL, FORM, "Action=GetCallerIdentity&Version=2011-06-15", 0, "us-west-2", "sts", 0},
         "AQoDYXdzEPT//////////wEXAMPLE==", "2026-01-02T03:04:05Z", "cdb221a8b397532cb281602ed3f042b491dfa07b1b336364225a1a4c488d98ec", NULL},
        {{"GET", "eks.us-west-2.amazonaws.com", "/clusters/my-cluster/pod-identity-associations",
          "serviceAccount=aws-node&namespace=kube-system&nextToken=ab%2B%2F%3D", NULL, NULL, 0, "us-west-2", "eks", 0},
         NULL, "2026-01-02T03:04:05Z", "f6920f9da0430ba06534ea8a9ba0a70c36be57467fdfa93096e8991a54fbab75", NULL},
        {{"POST", "eks.us-west-2.amazonaws.com", "/tags/arn%3Aaws%3Aeks%3Aus-west-2%3A111122223333%3Acluster%2Fmy-cluster", NULL,
          "application/json", "{\"tags\":{\"k\":\"v\"}}", 0, "us-west-2", "eks", 0},
         NULL, "2026-01-02T03:04:05Z", "2bacfe2132c4433f04975e88044d44eaf09b3bd33c811699851058566e8104e4", "/tags/arn%253Aaws"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

/* get-vanilla and its neighbours of the published suite: service "service", us-east-1, 20150830T123600Z. */
static void published_vectors(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{"GET", "example.amazonaws.com", "/", NULL, NULL, NULL, 0, "us-east-1", "service", 0},
         NULL, "2015-08-30T12:36:00Z", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", NULL},
        {{"GET", "example.amazonaws.com", "/", "Param2=value2&Param1=value1", NULL, NULL, 0, "us-east-1", "service", 0},
         NULL, "2015-08-30T12:36:00Z", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", NULL},
        {{"POST", "example.amazonaws.com", "/", NULL, NULL, NULL, 0, "us-east-1", "service", 0},
         NULL, "2015-08-30T12:36:00Z", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", NULL},
        {{"GET", "example.amazonaws.com", "/example/..", NULL, NULL, NULL, 0, "us-east-1", "service", 0},
         NULL, "2015-08-30T12:36:00Z", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", NULL},
        {{"GET", "example.amazonaws.com", "//", NULL, NULL, NULL, 0, "us-east-1", "service", 0},
         NULL, "2015-08-30T12:36:00Z", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", NULL},
        {{"POST", "example.amazonaws.com", "/", NULL, "application/x-www-form-urlencoded", "Param1=value1", 0, "us-east-1", "service", 0},
         NULL, "2015-08-30T12:36:00Z", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_vectors), cmocka_unit_test(published_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
