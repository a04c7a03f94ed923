/* The shared config and credentials files: what the SDKs read, and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/aws/ini.h"
#include "platform/base/str.h"

static struct arena *arena;

static const struct ini *parse(const char *text) {
    struct error err;
    const struct ini *ini = ini_parse(text, strlen(text), arena, &err);
    if (!ini) {
        fail_msg("%s", err.message);
    }
    return ini;
}

static void values_and_comments(void **state) {
    (void)state;
    const struct ini *ini =
        parse("\xef\xbb\xbf# top\n[default]\nregion=us-west-2\r\nOutput =  json  \n; x = y\n"
              "secret = a#b;c=d+/ # comment\nempty =\n[ profile  two words ]\nregion = eu-west-1 ; c\n"
              "[profile \"q d\"]\na = b\n[default]\nregion = ap-south-1\n");
    assert_string_equal(ini_get(ini, "default", "region"), "ap-south-1"); /* the later one */
    assert_string_equal(ini_get(ini, "default", "output"), "json");
    assert_string_equal(ini_get(ini, "default", "secret"), "a#b;c=d+/");
    assert_null(ini_get(ini, "default", "empty"));
    assert_null(ini_get(ini, "default", "x"));
    assert_string_equal(ini_get(ini, "profile two words", "region"), "eu-west-1");
    assert_string_equal(ini_get(ini, "profile q d", "a"), "b");
    assert_null(ini_get(ini, "Default", "region"));
    assert_true(ini_has_section(ini, "default"));
    assert_false(ini_has_section(ini, "other"));
    assert_null(ini_get(NULL, "default", "region"));
    assert_false(ini_has_section(NULL, "default"));
}

static void nested_and_continued(void **state) {
    (void)state;
    const struct ini *ini =
        parse("[services local]\niam =\n  endpoint_url = http://a\n\tother = 1\nsts = \n  endpoint_url = http://b\n"
              "[default]\ncommand = x\n  role_arn = not-mine\n  more text\nregion = r\n");
    assert_string_equal(ini_get_nested(ini, "services local", "iam", "endpoint_url"), "http://a");
    assert_string_equal(ini_get_nested(ini, "services local", "iam", "other"), "1");
    assert_string_equal(ini_get_nested(ini, "services local", "sts", "endpoint_url"), "http://b");
    assert_null(ini_get(ini, "services local", "endpoint_url"));
    assert_null(ini_get(ini, "default", "role_arn")); /* a second line of another value */
    assert_string_equal(ini_get(ini, "default", "region"), "r");
}

static void refused(void **state) {
    (void)state;
    static const char *const texts[] = {"[open\n", "key = before any section\n", "[s]\nno equals\n"};
    struct error err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_null(ini_parse(texts[i], strlen(texts[i]), arena, &err));
        assert_int_equal(err.code, ERR_PARSE);
        assert_non_null(strstr(err.message, "line "));
    }
    assert_null(ini_parse("[a]\nb=\0c", 8, arena, &err));
    char *many = calloc(1, INI_TEXT_MAX + 2);
    for (size_t i = 0; i < (INI_ENTRIES_MAX + 1) * 4; i += 4) {
        memcpy(many + i, "[a]\n", 4);
    }
    assert_null(ini_parse(many, strlen(many), arena, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    memset(many, ' ', INI_TEXT_MAX + 1);
    assert_null(ini_parse(many, INI_TEXT_MAX + 1, arena, &err));
    free(many);
}

static void forgotten_values_are_gone(void **state) {
    (void)state;
    const struct ini *ini = parse("[a]\naws_secret_access_key = one\nregion = r\n[b]\nAWS_SECRET_ACCESS_KEY = two\n");
    const char *value = ini_get(ini, "a", "aws_secret_access_key");
    assert_string_equal(value, "one");
    ini_forget(ini, "aws_secret_access_key");
    assert_memory_equal(value, "\0\0\0", 3);
    assert_null(ini_get(ini, "a", "aws_secret_access_key"));
    assert_null(ini_get(ini, "b", "aws_secret_access_key"));
    assert_string_equal(ini_get(ini, "a", "region"), "r");
    ini_forget(NULL, "x");
}

static int setup(void **state) {
    (void)state;
    arena = arena_new(0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(values_and_comments), TEST(nested_and_continued), TEST(refused),
                                       TEST(forgotten_values_are_gone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
