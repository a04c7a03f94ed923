/* Trust and permission documents: what we write is exact, what others wrote is kept (S4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/base/json.h"
#include "platform/base/random.h"
#include "reconcilers/policy_document.h"

#define ISSUER "oidc.eks.us-west-2.amazonaws.com/id/ABC"
#define PROVIDER "arn:aws:iam::111122223333:oidc-provider/" ISSUER
#define OTHER_PROVIDER "arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-west-2.amazonaws.com/id/DEF"
#define SUB "system:serviceaccount:kube-system:aws-node"

static const struct trust_want want = {.provider_arn = PROVIDER, .issuer = ISSUER};

#define DOC(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"
#define TRUST(head, principal, action, condition)                                                                      \
    "{" head "\"Effect\":\"Allow\",\"Principal\":" principal ",\"Action\":" action ",\"Condition\":" condition "}"
#define FEDERATED "{\"Federated\":\"" PROVIDER "\"}"
#define WEB "\"sts:AssumeRoleWithWebIdentity\""
#define EQUALS "{\"StringEquals\":{\"" ISSUER ":aud\":\"sts.amazonaws.com\",\"" ISSUER ":sub\":\"" SUB "\"}}"
#define OURS "\"Sid\":\"CniIamAwsNode\","
#define EC2 "{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}"

static int set_up(void **state) {
    *state = arena_new(0);
    return 0;
}

static int tear_down(void **state) {
    arena_free(*state);
    return 0;
}

static json *parse(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    assert_non_null(j);
    return j;
}

/* --- what counts as our statement --- */

struct row {
    const char *name, *document;
    bool exact, ours_wrong, broad;
    size_t foreign;
};

#define EXACT_LISTS "{\"StringEquals\":{\"" ISSUER ":sub\":[\"" SUB "\"],\"" ISSUER ":aud\":[\"sts.amazonaws.com\"]}}"
#define OTHER_CASE "{\"stringequals\":{\"" ISSUER ":AUD\":\"sts.amazonaws.com\",\"" ISSUER ":Sub\":\"" SUB "\"}}"
#define SUB_CASE                                                                                                       \
    "{\"StringEquals\":{\"" ISSUER ":aud\":\"sts.amazonaws.com\",\"" ISSUER                                            \
    ":sub\":\"system:serviceaccount:kube-system:AWS-node\"}}"
#define TWO_SUBS "{\"StringEquals\":{\"" ISSUER ":aud\":\"sts.amazonaws.com\",\"" ISSUER ":sub\":[\"" SUB "\",\"x\"]}}"
#define LIKE "{\"StringLike\":{\"" ISSUER ":aud\":\"sts.amazonaws.com\",\"" ISSUER ":sub\":\"" SUB "\"}}"
#define NO_SUB "{\"StringEquals\":{\"" ISSUER ":aud\":\"sts.amazonaws.com\"}}"
#define MORE                                                                                                           \
    "{\"StringEquals\":{\"" ISSUER ":aud\":\"sts.amazonaws.com\",\"" ISSUER ":sub\":\"" SUB                            \
    "\"},\"Bool\":{\"aws:SecureTransport\":\"true\"}}"

static const struct row rows[] = {
    {"as we write it", DOC(TRUST(OURS, FEDERATED, WEB, EQUALS)), true, false, false, 0},
    {"without our Sid", DOC(TRUST("", FEDERATED, WEB, EQUALS)), true, false, false, 0},
    {"another Sid", DOC(TRUST("\"Sid\":\"x\",", FEDERATED, WEB, EQUALS)), true, false, false, 0},
    {"one-element lists", DOC(TRUST(OURS, "{\"Federated\":[\"" PROVIDER "\"]}", "[" WEB "]", EXACT_LISTS)), true, false,
     false, 0},
    {"keys and action in other case", DOC(TRUST(OURS, FEDERATED, "\"STS:assumerolewithwebidentity\"", OTHER_CASE)),
     true, false, false, 0},
    {"one statement, not a list", "{\"Statement\":" TRUST(OURS, FEDERATED, WEB, EQUALS) "}", true, false, false, 0},
    {"no statement at all", "{\"Version\":\"2012-10-17\"}", false, false, false, 0},
    {"empty list", DOC(""), false, false, false, 0},
    {"values compare with case", DOC(TRUST(OURS, FEDERATED, WEB, SUB_CASE)), false, true, false, 0},
    {"two subjects", DOC(TRUST(OURS, FEDERATED, WEB, TWO_SUBS)), false, true, false, 0},
    {"StringLike", DOC(TRUST(OURS, FEDERATED, WEB, LIKE)), false, true, false, 0},
    {"no sub", DOC(TRUST(OURS, FEDERATED, WEB, NO_SUB)), false, true, false, 0},
    {"one condition more", DOC(TRUST(OURS, FEDERATED, WEB, MORE)), false, true, false, 0},
    {"one action more", DOC(TRUST(OURS, FEDERATED, "[" WEB ",\"sts:TagSession\"]", EQUALS)), false, true, false, 0},
    {"a wildcard action", DOC(TRUST(OURS, FEDERATED, "\"sts:*\"", EQUALS)), false, true, false, 0},
    {"another provider", DOC(TRUST(OURS, "{\"Federated\":\"" OTHER_PROVIDER "\"}", WEB, EQUALS)), false, true, false,
     0},
    {"two principals", DOC(TRUST(OURS, "{\"Federated\":\"" PROVIDER "\",\"AWS\":\"*\"}", WEB, EQUALS)), false, true,
     false, 0},
    {"anybody", DOC(TRUST(OURS, "\"*\"", WEB, EQUALS)), false, true, false, 0},
    {"an unknown member", DOC(TRUST(OURS "\"NotAction\":\"x\",", FEDERATED, WEB, EQUALS)), false, true, false, 0},
    {"a number for a string", DOC(TRUST(OURS, FEDERATED, "1", EQUALS)), false, true, false, 0},
    {"Deny with our Sid",
     DOC("{\"Sid\":\"CniIamAwsNode\",\"Effect\":\"Deny\",\"Principal\":" FEDERATED ",\"Action\":" WEB
         ",\"Condition\":" EQUALS "}"),
     false, true, false, 0},
    {"ours and others", DOC(EC2 "," TRUST(OURS, FEDERATED, WEB, EQUALS) "," EC2), true, false, false, 2},
    {"exact and wrong", DOC(TRUST("", FEDERATED, WEB, EQUALS) "," TRUST(OURS, FEDERATED, WEB, LIKE)), true, true, false,
     0},
    {"a foreign broad one", DOC(TRUST("\"Sid\":\"all\",", FEDERATED, WEB, NO_SUB)), false, false, true, 1},
    {"a foreign StringLike", DOC(TRUST("\"Sid\":\"all\",", "{\"Federated\":[\"x\",\"" PROVIDER "\"]}", WEB, LIKE)),
     false, false, true, 1},
    {"a foreign Deny is not broad", DOC("{\"Effect\":\"Deny\",\"Principal\":" FEDERATED ",\"Action\":" WEB "}"), false,
     false, false, 1},
};

static void statements_are_judged(void **state) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct trust_report r;
        bool good = trust_examine(rows[i].document, &want, &r, *state) && r.exact == rows[i].exact &&
                    r.ours_wrong == rows[i].ours_wrong && r.broad == rows[i].broad && r.foreign == rows[i].foreign;
        if (!good)
            fail_msg("%s: exact %d wrong %d broad %d foreign %zu", rows[i].name, r.exact, r.ours_wrong, r.broad,
                     r.foreign);
    }
}

static const char *const garbage[] = {NULL,
                                      "",
                                      "{",
                                      "[]",
                                      "\"x\"",
                                      "null",
                                      "{} x",
                                      "{\"Statement\":\"x\"}",
                                      "{\"Statement\":[1]}",
                                      "{\"Statement\":[{},[]]}",
                                      "{\"Statement\":null}",
                                      "{\"Statement\":[],\"Statement\":[]}"};

static void unreadable_documents_are_never_rewritten(void **state) {
    struct trust_report r;
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        assert_false(trust_examine(garbage[i], &want, &r, *state));
        assert_null(trust_merge(garbage[i], &want, *state));
        assert_null(trust_without(garbage[i], *state));
        assert_true(trust_names_provider(garbage[i], PROVIDER, *state)); /* the careful answer */
        assert_int_equal(policy_cni_grants(garbage[i], *state).n, 0);
    }
    char *long_text = test_malloc(POLICY_DOCUMENT_MAX + 3);
    memset(long_text, ' ', POLICY_DOCUMENT_MAX + 2);
    memcpy(long_text, "{}", 2);
    long_text[POLICY_DOCUMENT_MAX + 2] = '\0';
    assert_false(trust_examine(long_text, &want, &r, *state));
    test_free(long_text);
}

/* --- merging --- */

static void expect_same(const char *x, const char *y) {
    assert_non_null(x);
    json *a = parse(x), *b = parse(y);
    if (!json_equal(a, b))
        fail_msg("%s\nis not\n%s", x, y);
    json_free(a);
    json_free(b);
}

static void merging_keeps_what_others_wrote(void **state) {
    struct arena *a = *state;
    const char *exact = TRUST(OURS, FEDERATED, WEB, EQUALS);
    const char *doc = trust_merge(DOC(EC2), &want, a);
    expect_same(doc, arena_printf(a, DOC(EC2 ",%s"), exact));
    expect_same(trust_merge(doc, &want, a), doc);
    expect_same(trust_merge(DOC(TRUST(OURS, FEDERATED, WEB, LIKE) "," EC2), &want, a), doc);
    expect_same(trust_merge("{}", &want, a), trust_build(&want, a));
    expect_same(trust_merge("{\"Version\":\"2008-10-17\",\"Id\":\"x\",\"Statement\":" EC2 "}", &want, a),
                arena_printf(a, "{\"Version\":\"2008-10-17\",\"Id\":\"x\",\"Statement\":[" EC2 ",%s]}", exact));
}

static void only_statements_with_our_sid_are_withdrawn(void **state) {
    struct arena *a = *state;
    expect_same(trust_without(trust_merge(DOC(EC2), &want, a), a), DOC(EC2));
    assert_null(trust_without(trust_build(&want, a), a)); /* a role is never without a trust policy */
    assert_null(trust_without(DOC(EC2), a));
    /* An equal statement that an adopted role had before us stays. */
    assert_null(trust_without(DOC(EC2 "," TRUST("\"Sid\":\"eksctl\",", FEDERATED, WEB, EQUALS)), a));
}

static void a_provider_that_is_named_is_seen(void **state) {
    struct arena *a = *state;
    assert_true(trust_names_provider(trust_build(&want, a), PROVIDER, a));
    assert_true(trust_names_provider(DOC(EC2 "," TRUST("", "{\"Federated\":[\"x\",\"" PROVIDER "\"]}", WEB, LIKE)),
                                     PROVIDER, a));
    assert_false(trust_names_provider(DOC(EC2), PROVIDER, a));
    assert_false(trust_names_provider(trust_build(&want, a), OTHER_PROVIDER, a));
    assert_false(trust_names_provider(DOC(TRUST("", "{\"Federated\":[1]}", WEB, LIKE)), PROVIDER, a));
}

/* --- S4 as a property over generated documents --- */

static const char *pick(struct prng *p, const char *const *from, size_t n) {
    return from[prng_below(p, n)];
}

static char *random_statement(struct prng *p, struct arena *a) {
    static const char *const sids[] = {"", "", OURS, "\"Sid\":\"x\",", "\"Sid\":\"cniiamawsnode\","};
    static const char *const effects[] = {"\"Allow\"", "\"Deny\"", "\"allow\"", "1"};
    static const char *const principals[] = {FEDERATED, "{\"Federated\":[\"" PROVIDER "\"]}", "\"*\"",
                                             "{\"AWS\":\"arn:aws:iam::1:root\"}",
                                             "{\"Federated\":\"" OTHER_PROVIDER "\"}"};
    static const char *const actions[] = {WEB, "[" WEB "]", "\"sts:*\"", "[]", "\"sts:AssumeRole\""};
    static const char *const conditions[] = {EQUALS, EXACT_LISTS, OTHER_CASE, LIKE, NO_SUB, MORE, TWO_SUBS, "{}", "[]"};
    return arena_printf(a, "{%s\"Effect\":%s,\"Principal\":%s,\"Action\":%s,\"Condition\":%s}", pick(p, sids, 5),
                        prng_below(p, 3) ? effects[0] : pick(p, effects, 4), pick(p, principals, 5),
                        pick(p, actions, 5), pick(p, conditions, 9));
}

/* Is `s` in `list`, by meaning of JSON? */
static bool holds(const json *list, const json *s) {
    for (const json *it = json_first(list); it; it = it->next)
        if (json_equal(it, s))
            return true;
    return false;
}

static void check_merge(const char *before, struct arena *a) {
    struct trust_report r, r2;
    assert_true(trust_examine(before, &want, &r, a));
    const char *after = trust_merge(before, &want, a);
    assert_true(trust_examine(after, &want, &r2, a));
    assert_true(r2.exact && !r2.ours_wrong);
    assert_int_equal(r2.foreign, r.foreign);
    json *x = parse(before), *y = parse(after), *own = parse(trust_build(&want, a));
    const json *old = json_get(x, "Statement"), *new = json_get(y, "Statement");
    const json *ours = json_first(json_get(own, "Statement"));
    /* Never broader: each statement was there before, or is the exact one. */
    for (const json *it = json_first(new); it; it = it->next)
        assert_true(json_equal(it, ours) || holds(old, it));
    /* Nothing of others is lost: what is gone bore our Sid or meant exactly what ours means. */
    for (const json *it = json_first(old); it; it = it->next) {
        char *alone = arena_printf(a, "{\"Statement\":[%s]}", json_print_arena(it, a));
        assert_true(holds(new, it) || str_eq(json_str(it, "Sid"), TRUST_SID) ||
                    (trust_examine(alone, &want, &r, a) && r.exact));
    }
    expect_same(trust_merge(after, &want, a), after);
    json_free(x);
    json_free(y);
    json_free(own);
}

static void merged_documents_are_exact_and_never_broader(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 20240611);
    for (int i = 0; i < 3000; i++) {
        struct arena *a = arena_new(0);
        char *list = arena_strdup(a, "");
        for (uint64_t n = prng_below(&p, 5); n > 0; n--)
            list = arena_printf(a, "%s%s%s", list, list[0] ? "," : "", random_statement(&p, a));
        check_merge(arena_printf(a, "{\"Version\":\"2012-10-17\",\"Statement\":[%s]}", list), a);
        arena_free(a);
    }
}

static void what_is_built_reads_as_exact(void **state) {
    struct prng p;
    prng_seed(&p, 7);
    for (int i = 0; i < 200; i++) {
        char *issuer = arena_printf(*state, "oidc.eks.eu-%llu.amazonaws.com/id/%016llX",
                                    (unsigned long long)prng_below(&p, 100), (unsigned long long)prng_next(&p));
        struct trust_want w = {.issuer = issuer,
                               .provider_arn = arena_printf(*state, "arn:aws-cn:iam::1:oidc-provider/%s", issuer)};
        struct trust_report r;
        assert_true(trust_examine(trust_build(&w, *state), &w, &r, *state));
        assert_true(r.exact && !r.ours_wrong && !r.broad && r.foreign == 0);
        assert_true(trust_examine(trust_build(&w, *state), &want, &r, *state));
        assert_true(!r.exact && r.ours_wrong);
    }
}

/* --- permissions --- */

static size_t missing(struct arena *a, bool ipv6, const char *first, const char *second) {
    struct strlist documents = {0}, actions = cni_actions(ipv6, a);
    strlist_add(&documents, first, a);
    if (second)
        strlist_add(&documents, second, a);
    return policy_missing_actions(&documents, &actions, a).n;
}

static void permissions_are_judged(void **state) {
    struct arena *a = *state;
    const char *all = DOC("{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}");
    assert_int_equal(missing(a, false, all, NULL), 0);
    assert_int_equal(missing(a, true, ipv6_policy_build("aws", a), NULL), 0);
    assert_int_equal(missing(a, false, DOC(""), NULL), 13);
    assert_int_equal(missing(a, false, "nonsense", NULL), 13);
    assert_int_equal(missing(a, false, DOC("{\"Effect\":\"Allow\",\"Action\":\"EC2:*\"}"), NULL), 0);
    assert_int_equal(missing(a, false, DOC("{\"Effect\":\"Allow\",\"Action\":\"ec2:D*s\"}"), NULL), 13 - 5);
    assert_int_equal(missing(a, false, DOC("{\"Effect\":\"Allow\",\"Action\":[1,\"ec2:CreateTag?\"]}"), NULL), 12);
    assert_int_equal(missing(a, false, DOC("{\"Effect\":\"Allow\",\"Action\":\"ec2:CreateTags?\"}"), NULL), 13);
    assert_int_equal(missing(a, false, DOC("{\"Effect\":\"Allow\",\"NotAction\":\"iam:*\"}"), NULL), 0);
    assert_int_equal(missing(a, false, DOC("{\"Effect\":\"Allow\",\"NotAction\":\"ec2:CreateTags\"}"), NULL), 1);
    const char *deny = DOC("{\"Effect\":\"Deny\",\"Action\":\"ec2:CreateTags\",\"Resource\":\"*\"}");
    assert_int_equal(missing(a, false, all, deny), 1);
    /* A Deny under a condition may never apply: the proof of the role has to show it. */
    const char *conditional = DOC("{\"Effect\":\"Deny\",\"Action\":\"*\",\"Condition\":{\"Bool\":{\"x\":\"true\"}}}");
    assert_int_equal(missing(a, false, all, conditional), 0);
    assert_int_equal(missing(a, false, all, DOC("{\"Effect\":\"Deny\",\"NotAction\":\"ec2:*\"}")), 0);
}

static void grants_of_a_node_role_are_seen(void **state) {
    struct arena *a = *state;
    assert_int_equal(policy_cni_grants(DOC("{\"Effect\":\"Allow\",\"Action\":\"ec2:Describe*\"}"), a).n, 0);
    assert_int_equal(policy_cni_grants(DOC("{\"Effect\":\"Allow\",\"Action\":\"ec2:*\"}"), a).n, 7);
    assert_int_equal(policy_cni_grants(DOC("{\"Effect\":\"Allow\",\"Action\":\"ec2:*\"},"
                                           "{\"Effect\":\"Deny\",\"Action\":\"ec2:Attach*\"}"),
                                       a)
                         .n,
                     6);
    assert_string_equal(policy_cni_grants(ipv6_policy_build("aws", a), a).v[0], "ec2:AssignIpv6Addresses");
}

static void hostile_wildcards_end_soon(void **state) {
    char pattern[4096];
    memset(pattern, '*', sizeof pattern);
    for (size_t i = 1; i < sizeof pattern; i += 2)
        pattern[i] = 'e';
    pattern[sizeof pattern - 1] = '\0';
    const char *doc = arena_printf(*state, DOC("{\"Effect\":\"Allow\",\"Action\":\"%s\"}"), pattern);
    assert_int_equal(policy_cni_grants(doc, *state).n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(statements_are_judged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unreadable_documents_are_never_rewritten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merging_keeps_what_others_wrote, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_statements_with_our_sid_are_withdrawn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_provider_that_is_named_is_seen, set_up, tear_down),
        cmocka_unit_test(merged_documents_are_exact_and_never_broader),
        cmocka_unit_test_setup_teardown(what_is_built_reads_as_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(permissions_are_judged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(grants_of_a_node_role_are_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_wildcards_end_soon, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
