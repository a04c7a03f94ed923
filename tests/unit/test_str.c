/* test_str.c - string functions, lists, durations, percent-coding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/base/str.h"

static void test_compare__null_is_only_null(void **state) {
    (void)state;
    assert_true(str_eq(NULL, NULL) && str_eq("a", "a"));
    assert_false(str_eq("a", NULL) || str_eq(NULL, "") || str_eq("a", "A"));
    assert_true(str_eq_nocase("aBc-1", "AbC-1") && str_eq_nocase(NULL, NULL) && str_eq_nocase("", ""));
    assert_false(str_eq_nocase("a", "ab") || str_eq_nocase("ab", "a") || str_eq_nocase(NULL, "a") ||
                 str_eq_nocase("a", NULL));
    assert_true(str_empty(NULL) && str_empty("") && !str_empty(" "));
    assert_true(str_has_prefix("abc", "ab") && str_has_prefix("abc", "") && !str_has_prefix("a", "ab"));
    assert_false(str_has_prefix(NULL, "") || str_has_prefix("a", NULL));
    assert_true(str_has_suffix("abc", "bc") && str_has_suffix("abc", "abc") && !str_has_suffix("bc", "abc"));
    assert_false(str_has_suffix(NULL, "") || str_has_suffix("a", NULL));
    assert_string_equal(str_or("", "x"), "x");
    assert_string_equal(str_or(NULL, "x"), "x");
    assert_string_equal(str_or("y", "x"), "y");
}

static void test_copy__says_when_it_cuts(void **state) {
    char d[4] = "zzz";
    (void)state;
    assert_true(str_copy(d, sizeof d, "abc"));
    assert_string_equal(d, "abc");
    assert_false(str_copy(d, sizeof d, "abcd"));
    assert_string_equal(d, "abc");
    assert_true(str_copy(d, sizeof d, NULL));
    assert_string_equal(d, "");
    assert_false(str_copy(d, 0, "a"));
}

static void test_lists(void **state) {
    struct arena *a = arena_new(0);
    struct strlist l = {0};
    char name[16];
    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        strlist_add(&l, name, a);
    }
    assert_int_equal(l.n, 100);
    assert_string_equal(l.v[0], "n0");
    assert_string_equal(l.v[99], "n99");
    assert_true(strlist_has(&l, "n63") && !strlist_has(&l, "n100"));
    struct strlist x = str_split(" a ,b,, c\t,", ',', a);
    assert_int_equal(x.n, 3);
    assert_string_equal(strlist_join(&x, ", ", a), "a, b, c");
    struct strlist y = str_split("c,a,b", ',', a);
    assert_true(strlist_eq_set(&x, &y));
    strlist_add(&y, "d", a);
    assert_false(strlist_eq_set(&x, &y) || strlist_eq_set(&y, &x));
    assert_int_equal(str_split(NULL, ',', a).n, 0);
    assert_int_equal(str_split(" , ", ',', a).n, 0);
    struct strlist none = {0};
    assert_string_equal(strlist_join(&none, ",", a), "");
    arena_free(a);
}

static void test_to_int64(void **state) {
    static const struct {
        const char *s;
        bool ok;
        int64_t v;
    } cases[] = {{"0", true, 0},   {"9223372036854775807", true, INT64_MAX},
                 {"007", true, 7}, {"9223372036854775808", false, 0},
                 {"", false, 0},   {NULL, false, 0},
                 {"-1", false, 0}, {"+1", false, 0},
                 {" 1", false, 0}, {"1 ", false, 0},
                 {"1x", false, 0}, {"99999999999999999999", false, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t v = -7;
        assert_int_equal(str_to_int64(cases[i].s, &v), cases[i].ok);
        assert_true(v == (cases[i].ok ? cases[i].v : -7));
    }
}

static void test_to_duration(void **state) {
    static const struct {
        const char *s;
        bool ok;
        int64_t ms;
    } cases[] = {{"15s", true, 15000},
                 {"1m30s", true, 90000},
                 {"500ms", true, 500},
                 {"1h", true, 3600000},
                 {"0", true, 0},
                 {"0s", true, 0},
                 {"1.5s", true, 1500},
                 {".5s", true, 500},
                 {"1.s", true, 1000},
                 {"1h2m3s4ms", true, 3723004},
                 {"0.0000001s", true, 0},
                 {"0.29s", true, 290},
                 {"1", false, 0},
                 {"", false, 0},
                 {NULL, false, 0},
                 {"-1s", false, 0},
                 {"+1s", false, 0},
                 {"1d", false, 0},
                 {"s", false, 0},
                 {".s", false, 0},
                 {"1s ", false, 0},
                 {" 1s", false, 0},
                 {"1ss", false, 0},
                 {"1S", false, 0},
                 {"1us", false, 0},
                 {"1ns", false, 0},
                 {"1m30", false, 0},
                 {"9223372036854775807h", false, 0},
                 {"99999999999999999999s", false, 0},
                 {"9223372036854775807ms1ms", false, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t v = -7;
        if (str_to_duration_ms(cases[i].s, &v) != cases[i].ok || v != (cases[i].ok ? cases[i].ms : -7)) {
            fail_msg("%s: %lld", cases[i].s, (long long)v);
        }
    }
}

static void test_percent(void **state) {
    struct arena *a = arena_new(0);
    (void)state;
    assert_string_equal(str_percent_encode("aZ09-._~ /+%=\xc3\xa9", NULL, a), "aZ09-._~%20%2F%2B%25%3D%C3%A9");
    assert_string_equal(str_percent_encode("a/b c", "/", a), "a/b%20c");
    assert_null(str_percent_encode(NULL, NULL, a));
    assert_string_equal(str_percent_decode("%7B%22a%22%3a+%20%7d", a), "{\"a\":+ }");
    assert_string_equal(str_percent_decode("", a), "");
    static const char *const bad[] = {"%", "%1", "%zz", "%1z", "a%00b", "%%20", "%2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(str_percent_decode(bad[i], a));
    }
    assert_null(str_percent_decode(NULL, a));
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare__null_is_only_null),
        cmocka_unit_test(test_copy__says_when_it_cuts),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_to_int64),
        cmocka_unit_test(test_to_duration),
        cmocka_unit_test(test_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
