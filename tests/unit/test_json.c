/* test_json.c - strict JSON: what is refused, what is exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/base/json.h"
#include "platform/base/json_plain.h"

static json *parse(const char *text) {
    struct error err;
    return json_parse(text, strlen(text), &err);
}

static void test_parse__refuses(void **state) {
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "[1,]",
        "{\"a\":1,}",
        "{,}",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "1 2",
        "{} x",
        "[] []",
        "nul",
        "True",
        "tru",
        "NaN",
        "Infinity",
        "+1",
        ".5",
        "1.",
        "01",
        "-01",
        "-",
        "1e",
        "1e+",
        "0x10",
        "1.e3",
        "--1",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\t\"",
        "\"\n\"",
        "\"\x01\"",
        "\"\x1f\"",
        "\xef\xbb\xbf{}",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xe0\x80\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf0\x80\x80\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\x80\"",
        "\"\xe2\x82\"",
        "\"\xe2",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"x\":{\"b\":1,\"c\":2,\"b\":3}}",
        "[{\"a\":1,\"a\":1}]",
        "\x0b{}",
        "{}\x0c",
        "/* */{}",
        "'a'",
        "1e999",
        "-1e999",
        "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,\"a\":11}",
        "0.0000000000000000000000000000000000000000000000000000000000000001",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error err = {0};
        json *j = json_parse(bad[i], strlen(bad[i]), &err);
        if (j != NULL) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_int_equal(err.code, ERR_PARSE);
        assert_true(strncmp(err.message, "JSON: ", 6) == 0);
    }
}

static void test_parse__accepts(void **state) {
    static const char *const good[] = {
        "{}",
        "[]",
        "0",
        "-0",
        "1.5e3",
        "-1E-2",
        "\"\"",
        "null",
        "true",
        "false",
        " \t\r\n{ \"a\" : [ 1 , 2 ] } \n",
        "\"\\ud83d\\ude00\"",
        "\"\\u0001\"",
        "\"\x7f\"",
        "\"\xf0\x9f\x98\x80\"",
        "\"\xe2\x82\xac\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "{\"a\":1,\"A\":2}",
        "{\"\":1}",
        "[[],{},[[]]]",
        "{\"a\":{\"a\":{\"a\":1}}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        json *j = parse(good[i]);
        if (j == NULL) {
            fail_msg("refused: %s", good[i]);
        }
        json_free(j);
    }
}

static void test_parse__refuses_nul_bytes_and_every_prefix(void **state) {
    static const char text[] = "{\"a\":[1,\"\\ud83d\\ude00\",true,null],\"b\":{\"c\":-1.5e+3}}";
    struct error err;
    (void)state;
    assert_null(json_parse("{}\0", 3, &err));
    assert_null(json_parse("\"a\0b\"", 5, &err));
    assert_null(json_parse("\0", 1, &err));
    for (size_t n = 0; n < sizeof text - 1; n++) {
        assert_null(json_parse(text, n, &err));
    }
    json *j = json_parse(text, sizeof text - 1, &err);
    assert_non_null(j);
    json_free(j);
}

static void test_parse__bounds_depth(void **state) {
    char text[2 * JSON_DEPTH_MAX + 4];
    struct error err;
    (void)state;
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    json *j = json_parse(text, (size_t)2 * JSON_DEPTH_MAX, &err);
    assert_non_null(j);
    json_free(j);
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_null(json_parse(text, (size_t)2 * JSON_DEPTH_MAX + 2, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
}

static void test_parse__bounds_size_and_values(void **state) {
    struct error err;
    size_t n = (size_t)JSON_NODES_MAX * 2 + 3;
    char *text = malloc(JSON_TEXT_MAX + 1);
    (void)state;
    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 1; i < n - 1; i += 2) {
        text[i] = '1';
        text[i + 1] = ',';
    }
    text[n - 1] = ']';
    text[n - 2] = ' ';
    text[n - 3] = ' ';
    text[n - 2] = '1';
    text[n - 3] = ',';
    assert_null(json_parse(text, n, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    memset(text, ' ', JSON_TEXT_MAX + 1);
    assert_null(json_parse(text, JSON_TEXT_MAX + 1, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    free(text);
}

/* Ten thousand keys with a long common beginning: sorted, not compared pair by pair; the last repeats the first. */
static void test_parse__finds_a_duplicate_among_many(void **state) {
    char *text = malloc(1000000);
    (void)state;
    assert_non_null(text);
    size_t n = 0;
    text[n++] = '{';
    for (int i = 0; i < 10000; i++) {
        n += (size_t)sprintf(text + n, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%05d\":%d,", i, i);
    }
    text[n - 1] = '}';
    struct error err;
    json *j = json_parse(text, n, &err);
    assert_non_null(j);
    json_free(j);
    n += (size_t)sprintf(text + n - 1, ",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%05d\":1}", 0) - 1;
    assert_null(json_parse(text, n, &err));
    assert_non_null(strstr(err.message, "twice"));
    free(text);
}

static void test_int64__is_exact(void **state) {
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"9007199254740992", true, INT64_C(9007199254740992)},
        {"9007199254740993", true, INT64_C(9007199254740993)},
        {"-9007199254740993", true, INT64_C(-9007199254740993)},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"123456789012345678901234567890", false, 0},
        {"1.5", false, 0},
        {"1e3", true, 1000},
        {"1e300", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        int64_t v = 77;
        (void)snprintf(text, sizeof text, "{\"x\":1,\"big\":18446744073709551615,\"v\":%s}", cases[i].text);
        json *j = parse(text);
        assert_non_null(j);
        assert_int_equal(json_int64(j, "v", &v), cases[i].ok);
        assert_true(v == (cases[i].ok ? cases[i].value : 77));
        assert_true(json_int64_or(j, "v", 5) == (cases[i].ok ? cases[i].value : 5));
        json_free(j);
    }
    assert_true(json_int64_or(NULL, "v", 5) == 5);
}

static size_t plain_one_by_one(const char *s, size_t n, bool ascii) {
    size_t i = 0;
    while (i < n && json_is_plain(s[i], ascii)) {
        i++;
    }
    return i;
}

/* Each byte at each place among plain ones, and two of them: eight at a time and one by one come to the same. */
static void test_plain__agrees_with_one_by_one(void **state) {
    enum { LONGEST = 26 };
    char text[LONGEST];
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t n = 0; n <= LONGEST; n++) {
            for (size_t at = 0; at < n; at++) {
                memset(text, '!', sizeof text); /* next to a quote: where a borrow could show */
                text[at] = (char)c;
                text[n - 1] = n % 2 ? '#' : (char)c;
                assert_int_equal(json_plain(text, n, true), plain_one_by_one(text, n, true));
                assert_int_equal(json_plain(text, n, false), plain_one_by_one(text, n, false));
            }
        }
    }
}

/* A string with one of the bytes that are written in a way of their own, wherever it stands. */
static void test_print__strings_of_all_bytes_come_back(void **state) {
    enum { LONGEST = 20 };
    char text[LONGEST + 1];
    (void)state;
    for (int c = 1; c < 0x80; c++) {
        for (size_t at = 0; at < LONGEST; at++) {
            memset(text, 'x', LONGEST);
            text[LONGEST] = '\0';
            text[at] = (char)c;
            json *o = json_object();
            json_add_str(o, text, text);
            char *printed = json_print(o);
            json *again = parse(printed);
            assert_string_equal(json_key_str(again, text), text);
            json_free(again);
            json_free(o);
            free(printed);
        }
    }
}

/* What was read is written again, digit for digit, wherever the big integer stands. */
static void test_print__keeps_big_integers(void **state) {
    static const char text[] = "[1,9007199254740993,1234567890123456,0.12345678901234567,123456789012345,{\"a\":2,"
                               "\"b\":-9223372036854775808},[3,18446744073709551616],4]";
    (void)state;
    json *j = parse(text);
    char *out = json_print(j);
    assert_string_equal(out, text);
    free(out);
    json *copy = json_dup(j);
    assert_true(json_equal(j, copy));
    json_free(copy);
    json_free(j);
    json *o = json_object();
    json_add_int64(o, "v", INT64_MAX);
    json_add_int64(o, "w", INT64_MIN);
    json_add_int64(o, "x", -(INT64_C(1) << 53));
    out = json_print(o);
    assert_string_equal(out, "{\"v\":9223372036854775807,\"w\":-9223372036854775808,\"x\":-9007199254740992}");
    free(out);
    json_free(o);
}

static void test_getters__present_and_absent(void **state) {
    (void)state;
    json *j =
        parse("{\"a\":{\"b\":{\"c\":\"x\"}},\"a.b\":\"dotted\",\"s\":\"true\",\"f\":\"false\",\"t\":true,\"n\":null,"
              "\"l\":[\"p\",1,\"q\"],\"A\":\"upper\"}");
    assert_string_equal(json_str(j, "a.b.c"), "x");
    assert_null(json_str(j, "a.b"));
    assert_null(json_str(j, "a.b.c.d"));
    assert_null(json_str(j, "a.b.C"));
    assert_null(json_str(j, "ab"));
    assert_null(json_str(j, ""));
    assert_null(json_str(NULL, "a"));
    assert_string_equal(json_key_str(j, "a.b"), "dotted");
    assert_null(json_key_str(j, "a"));
    assert_null(json_key_str(j, "zz"));
    assert_string_equal(json_str(j, "A"), "upper");
    assert_null(json_get(json_array(j, "l"), "p"));
    assert_true(json_bool(j, "s", false));
    assert_false(json_bool(j, "f", true));
    assert_true(json_bool(j, "t", false));
    assert_true(json_bool(j, "n", true));
    assert_false(json_bool(j, "absent", false));
    assert_null(json_array(j, "a"));
    assert_int_equal(json_array_size(json_array(j, "l")), 3);
    assert_int_equal(json_array_size(NULL), 0);
    assert_true(json_is_object(j) && json_is_array(json_get(j, "l")) && json_is_string(json_get(j, "s")));
    assert_false(json_is_object(NULL) || json_is_array(NULL) || json_is_string(NULL));
    struct arena *a = arena_new(0);
    struct strlist l = json_strings(json_get(j, "l"), a);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.v[1], "q");
    l = json_strings(json_get(j, "s"), a);
    assert_int_equal(l.n, 1);
    assert_int_equal(json_strings(NULL, a).n, 0);
    arena_free(a);
    json_free(j);
}

static void test_building__replaces_and_keeps_order(void **state) {
    (void)state;
    json *o = json_object();
    json_add_str(o, "a", "1");
    json_add_str(o, "none", NULL);
    json_add_int64(o, "b", 2);
    json_add_str(o, "a", "again");
    json_add_bool(o, "t", true);
    json_push_str(json_add_array(o, "l"), "x");
    json_add_int64(json_add_object(o, "o"), "k", -3);
    json *arr = json_new_array();
    json_push(arr, json_object());
    json_add_item(o, "l", arr);
    char *text = json_print(o);
    assert_string_equal(text, "{\"a\":\"again\",\"b\":2,\"t\":true,\"l\":[{}],\"o\":{\"k\":-3}}");
    free(text);
    struct arena *a = arena_new(0);
    assert_string_equal(json_print_arena(NULL, a), "null");
    arena_free(a);
    json_free(o);
    assert_null(json_dup(NULL));
    json_free(NULL);
}

static json *many(int n, bool backwards, int odd) {
    json *o = json_object();
    for (int i = 0; i < n; i++) {
        char key[16];
        int k = backwards ? n - 1 - i : i;
        (void)snprintf(key, sizeof key, "k%d", k);
        json_add_int64(o, key, k == odd ? -1 : k);
    }
    return o;
}

static void test_equal__with_many_members(void **state) {
    (void)state;
    for (int n = 60; n <= 70; n++) {
        json *x = many(n, false, -1);
        json *y = many(n, true, -1);
        json *z = many(n, true, n / 2);
        assert_true(json_equal(x, y));
        assert_false(json_equal(x, z));
        json_free(x);
        json_free(y);
        json_free(z);
    }
}

static void test_canonical__sorts_and_compares(void **state) {
    static const struct {
        const char *a;
        const char *b;
        bool equal;
    } cases[] = {
        {"{\"b\":1,\"a\":[1,2]}", "{\"a\":[1,2],\"b\":1}", true},
        {"[1,2]", "[2,1]", false},
        {"1", "1.0", true},
        {"0", "-0", true},
        {"1", "\"1\"", false},
        {"null", "false", false},
        {"true", "false", false},
        {"9007199254740993", "9007199254740992", false},
        {"{\"a\":1}", "{\"A\":1}", false},
        {"{\"a\":1}", "{\"a\":1,\"b\":null}", false},
        {"\"\\u00e9\"", "\"\xc3\xa9\"", true},
        {"\"a\\/b\"", "\"a/b\"", true},
        {"0.1", "0.10", true},
        {"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false},
        {"{\"a\":{\"x\":[{\"y\":1}]}}", "{\"a\":{\"x\":[{\"y\":1}]}}", true},
        {"{\"a\":{\"x\":[{\"y\":1}]}}", "{\"a\":{\"x\":[{\"y\":2}]}}", false},
        {"[1,2]", "[1,2,3]", false},
        {"[]", "{}", false},
        {"\"{}\"", "{}", false},
    };
    struct arena *a = arena_new(0);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json *x = parse(cases[i].a);
        json *y = parse(cases[i].b);
        assert_int_equal(json_equal(x, y), cases[i].equal);
        assert_true(json_equal(x, x));
        assert_false(json_equal(x, NULL));
        json_free(x);
        json_free(y);
    }
    assert_true(json_equal(NULL, NULL));
    json *j = parse("{ \"b\" : [ null , true, false, \"q\\\"\\\\\\n\" ] , \"a\" : 1.5 , \"c\": {} }");
    char *text = json_canonical(j, a);
    assert_string_equal(text, "{\"a\":1.5,\"b\":[null,true,false,\"q\\\"\\\\\\u000a\"],\"c\":{}}");
    json *again = parse(text);
    assert_true(json_equal(j, again));
    json_free(again);
    json_free(j);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse__refuses),
        cmocka_unit_test(test_parse__accepts),
        cmocka_unit_test(test_parse__refuses_nul_bytes_and_every_prefix),
        cmocka_unit_test(test_parse__bounds_depth),
        cmocka_unit_test(test_parse__bounds_size_and_values),
        cmocka_unit_test(test_parse__finds_a_duplicate_among_many),
        cmocka_unit_test(test_int64__is_exact),
        cmocka_unit_test(test_plain__agrees_with_one_by_one),
        cmocka_unit_test(test_print__strings_of_all_bytes_come_back),
        cmocka_unit_test(test_print__keeps_big_integers),
        cmocka_unit_test(test_getters__present_and_absent),
        cmocka_unit_test(test_building__replaces_and_keeps_order),
        cmocka_unit_test(test_canonical__sorts_and_compares),
        cmocka_unit_test(test_equal__with_many_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
