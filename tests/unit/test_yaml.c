/* test_yaml.c - YAML to JSON: scalars as JSON has them, aliases within bounds, what is refused and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/base/buf.h"
#include "platform/k8s/yaml.h"

static char *to_json(const char *yaml, struct error *err) {
    json *j = yaml_parse(yaml, strlen(yaml), err);
    char *text = j != NULL ? json_print(j) : NULL;
    json_free(j);
    return text;
}

static void test_yaml_parse__types_only_what_json_spells(void **state) {
    static const struct {
        const char *yaml;
        const char *json;
    } rows[] = {
        {"", "null"},
        {"a: 1", "{\"a\":1}"},
        {"a: -12\nb: 1.5\nc: 1e3", "{\"a\":-12,\"b\":1.5,\"c\":1000}"},
        {"a: 9007199254740993", "{\"a\":9007199254740993}"},
        {"a: 012\nb: 0x1f\nc: 0o7\nd: 1_000\ne: +1\nf: .5\ng: 1.\nh: .inf",
         "{\"a\":\"012\",\"b\":\"0x1f\",\"c\":\"0o7\",\"d\":\"1_000\",\"e\":\"+1\",\"f\":\".5\",\"g\":\"1.\","
         "\"h\":\".inf\"}"},
        {"a: true\nb: False\nc: yes\nd: on\ne: n", "{\"a\":true,\"b\":false,\"c\":\"yes\",\"d\":\"on\",\"e\":\"n\"}"},
        {"a:\nb: ~\nc: null\nd: ''", "{\"a\":null,\"b\":null,\"c\":null,\"d\":\"\"}"},
        {"a: '1'\nb: \"true\"\nc: !!str 5\nd: ! 6", "{\"a\":\"1\",\"b\":\"true\",\"c\":\"5\",\"d\":\"6\"}"},
        {"a: 2020-01-01\nb: 12:30", "{\"a\":\"2020-01-01\",\"b\":\"12:30\"}"},
        {"- a\n- [1, {b: c}]\n- []\n- {}", "[\"a\",[1,{\"b\":\"c\"}],[],{}]"},
        {"a: |\n  x\n  y\nb: >-\n  x\n  y", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}"},
        {"1: x\ntrue: y", "{\"1\":\"x\",\"true\":\"y\"}"},
        {"a: \"\\u00e9 \\\" \\\\ \\t\"", "{\"a\":\"\xc3\xa9 \\\" \\\\ \\t\"}"},
        {"{\"a\": [1, null, true, \"x\"]}", "{\"a\":[1,null,true,\"x\"]}"},
        {"a: !!int 5\nb: !!bool true", "{\"a\":5,\"b\":true}"},
        {"%YAML 1.1\n---\na: 1\n...\n", "{\"a\":1}"},
        {"plain", "\"plain\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        char *text = to_json(rows[i].yaml, &err);
        if (text == NULL) {
            fail_msg("row %zu: %s", i, err.message);
        }
        assert_string_equal(text, rows[i].json);
        free(text);
    }
}

static void test_yaml_parse__aliases_are_expanded(void **state) {
    struct error err = {0};
    (void)state;
    char *text = to_json("base: &b {x: 1}\nuse: *b\nlist: [*b, &c 2, *c]\nk: &k name\n*k : v", &err);
    assert_non_null(text);
    assert_string_equal(
        text, "{\"base\":{\"x\":1},\"use\":{\"x\":1},\"list\":[{\"x\":1},2,2],\"k\":\"name\",\"name\":\"v\"}");
    free(text);
}

static void test_yaml_parse__refuses_with_a_place(void **state) {
    static const struct {
        const char *yaml;
        enum err_code code;
        const char *message;
    } rows[] = {
        {"a: 1\nb: 2\na: 3", ERR_PARSE, "line 3, column 1: the key \"a\" is here a second time"},
        {"a: {b: 1, b: 2}", ERR_PARSE, "a second time"},
        {"1: a\n'1': b", ERR_PARSE, "a second time"},
        {"a: [1, 2", ERR_PARSE, "line"},
        {"a: *nope", ERR_PARSE, "no anchor"},
        {"a: &a [*a]", ERR_PARSE, "inside its own anchor"},
        {"a: &a {b: *a}", ERR_PARSE, "inside its own anchor"},
        {"x: &x {a: 1}\ny:\n  <<: *x", ERR_PARSE, "merge keys"},
        {"a: !!python/object:os.system x", ERR_PARSE, "tag"},
        {"a: !!binary aGk=", ERR_PARSE, "tag"},
        {"a: !mine {b: 1}", ERR_PARSE, "tag"},
        {"a: !!set [1]", ERR_PARSE, "tag"},
        {"? [a, b]\n: c", ERR_PARSE, "a key must be"},
        {"a: 1\n---\nb: 2", ERR_PARSE, "2 documents"},
        {"a: \"\\0\"", ERR_PARSE, ""},
        {"a: \"\\x01", ERR_PARSE, ""},
        {"\ta: 1", ERR_PARSE, ""},
        {"a: \xff", ERR_PARSE, ""},
        {"a: b: c", ERR_PARSE, ""},
        {"--- &a [x]\n--- *a", ERR_PARSE, "no anchor"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        json *j = yaml_parse(rows[i].yaml, strlen(rows[i].yaml), &err);
        assert_null(j);
        assert_int_equal(err.code, rows[i].code);
        if (strstr(err.message, rows[i].message) == NULL) {
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, err.message, rows[i].message);
        }
    }
}

static void test_yaml_parse__billion_laughs_ends_at_a_bound(void **state) {
    struct error err = {0};
    (void)state;
    struct buf b;
    buf_init(&b, 65536);
    (void)buf_puts(&b, "a0: &a0 [lol]\n");
    for (int i = 1; i < 30; i++) {
        (void)buf_printf(&b, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
                         i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    assert_null(yaml_parse(buf_str(&b), b.n, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    buf_done(&b);
    /* The same with few nodes and long strings: bytes are bounded too. */
    buf_init(&b, 1024 * 1024);
    (void)buf_puts(&b, "s: &s ");
    for (int i = 0; i < 100000; i++) {
        (void)buf_putc(&b, 'x');
    }
    (void)buf_puts(&b, "\nl: [");
    for (int i = 0; i < 200; i++) {
        (void)buf_puts(&b, "*s,");
    }
    (void)buf_puts(&b, "]\n");
    assert_null(yaml_parse(buf_str(&b), b.n, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    buf_done(&b);
}

static void test_yaml_parse__depth_nodes_text_documents_are_bounded(void **state) {
    struct error err = {0};
    struct buf b;
    (void)state;
    for (size_t depth = YAML_DEPTH_MAX - 1; depth < YAML_DEPTH_MAX + 2; depth++) {
        buf_init(&b, 65536);
        for (size_t i = 0; i < depth; i++) {
            (void)buf_putc(&b, '[');
        }
        for (size_t i = 0; i < depth; i++) {
            (void)buf_putc(&b, ']');
        }
        json *j = yaml_parse(buf_str(&b), b.n, &err);
        assert_int_equal(j != NULL, depth <= YAML_DEPTH_MAX);
        json_free(j);
        buf_done(&b);
    }
    buf_init(&b, 1024 * 1024);
    for (int i = 0; i < YAML_NODES_MAX + 2; i++) {
        (void)buf_puts(&b, "- a\n");
    }
    assert_null(yaml_parse(buf_str(&b), b.n, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    buf_done(&b);
    char *big = calloc(1, YAML_TEXT_MAX + 1);
    assert_null(yaml_parse(big, YAML_TEXT_MAX + 1, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    free(big);
    buf_init(&b, 65536);
    for (int i = 0; i <= YAML_DOCUMENTS_MAX; i++) {
        (void)buf_puts(&b, "---\na: 1\n");
    }
    assert_null(yaml_parse_all(buf_str(&b), b.n, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    buf_done(&b);
}

static void test_yaml_parse_all__documents_in_order_without_the_empty(void **state) {
    static const char text[] = "# a comment\n---\nkind: A\n---\n---\n# nothing\n---\nkind: B\n...\n---\n[1]\n";
    struct error err = {0};
    (void)state;
    json *j = yaml_parse_all(text, strlen(text), &err);
    assert_non_null(j);
    char *out = json_print(j);
    assert_string_equal(out, "[{\"kind\":\"A\"},{\"kind\":\"B\"},[1]]");
    free(out);
    json_free(j);
    j = yaml_parse_all("", 0, &err);
    assert_int_equal(json_array_size(j), 0);
    json_free(j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml_parse__types_only_what_json_spells),
        cmocka_unit_test(test_yaml_parse__aliases_are_expanded),
        cmocka_unit_test(test_yaml_parse__refuses_with_a_place),
        cmocka_unit_test(test_yaml_parse__billion_laughs_ends_at_a_bound),
        cmocka_unit_test(test_yaml_parse__depth_nodes_text_documents_are_bounded),
        cmocka_unit_test(test_yaml_parse_all__documents_in_order_without_the_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
