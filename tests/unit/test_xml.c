/* XML of IAM, STS and EC2 to JSON: shapes, documents, caps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/aws/pages.h"
#include "platform/aws/xml.h"
#include "platform/base/buf.h"

struct row {
    const char *xml, *json; /* NULL: refused */
};

static const struct row rows[] = {
    {"<A/>", "\"\""},
    {"<A>x &amp; &lt;y&gt; &#228;</A>", "\"x & <y> \xc3\xa4\""},
    {"<A><b>1</b><c/></A>", "{\"b\":\"1\",\"c\":\"\"}"},
    {"<A>\n <b> 1 </b>\n</A>", "{\"b\":\" 1 \"}"},
    {"<A><L><member>x</member><member><k>v</k></member></L></A>", "{\"L\":[\"x\",{\"k\":\"v\"}]}"},
    {"<A><L><item/></L></A>", "{\"L\":[\"\"]}"},
    {"<A><L><member>x</member><stray>y</stray></L></A>", "{\"L\":[\"x\"]}"},
    {"<A><b>1</b><b>2</b></A>", "{\"b\":\"2\"}"},
    {"<n:A xmlns:n='u'><n:b z='1'>1</n:b></n:A>", "{\"b\":\"1\"}"},
    {"<?xml version=\"1.0\" encoding=\"UTF-8\"?><A><b><![CDATA[<c>]]></b></A>", "{\"b\":\"<c>\"}"},
    {"<A><PolicyDocument>%7B%22a%22%3A%20%22b+c%22%7D</PolicyDocument></A>",
     "{\"PolicyDocument\":\"{\\\"a\\\": \\\"b+c\\\"}\"}"},
    {"<A><Document>\n {\"a\":\"%41\"}</Document></A>", "{\"Document\":\"{\\\"a\\\":\\\"%41\\\"}\"}"},
    {"<A><AssumeRolePolicyDocument>%zz</AssumeRolePolicyDocument></A>", "{\"AssumeRolePolicyDocument\":\"%zz\"}"},
    {"<A><Other>%41</Other></A>", "{\"Other\":\"%41\"}"},
    {"", NULL},
    {"text", NULL},
    {"<A>", NULL},
    {"<A></B>", NULL},
    {"<A/><B/>", NULL},
    {"<A>&#0;</A>", NULL},
    {"<A>\xff</A>", NULL},
    {"<A>&other;</A>", NULL},
    {"<!DOCTYPE html><html/>", NULL},
    {"<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>", NULL},
    {"<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>", NULL},
};

static void shapes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char root[128];
        struct error err;
        json *j = xml_to_json(rows[i].xml, strlen(rows[i].xml), root, &err);
        if (!rows[i].json) {
            assert_null(j);
            assert_int_equal(err.code, ERR_PARSE);
            continue;
        }
        if (!j) {
            fail_msg("%s: %s", rows[i].xml, err.message);
        }
        char *text = json_print(j);
        assert_string_equal(text, rows[i].json);
        assert_string_equal(root, "A");
        free(text);
        json_free(j);
    }
}

static enum err_code repeated(const char *before, const char *open, const char *close, size_t n, const char *after) {
    struct buf b;
    struct error err;
    char root[128];
    buf_init(&b, (size_t)64 << 20);
    (void)buf_puts(&b, before);
    for (size_t i = 0; i < n; i++) {
        (void)buf_printf(&b, "%s%zu%s", open, i, close);
    }
    (void)buf_puts(&b, after);
    json *j = xml_to_json(b.p, b.n, root, &err);
    buf_done(&b);
    json_free(j);
    return j ? ERR_NONE : err.code;
}

static void caps(void **state) {
    (void)state;
    assert_int_equal(repeated("<A>", "<b", "/>", XML_MEMBERS_MAX, "</A>"), ERR_NONE);
    assert_int_equal(repeated("<A>", "<b", "/>", XML_MEMBERS_MAX + 1, "</A>"), ERR_TOO_LARGE);
    assert_int_equal(repeated("<A>", "<member>", "</member>", 5000, "</A>"), ERR_NONE);
    assert_int_equal(repeated("<A>", "<member>", "</member>", XML_NODES_MAX, "</A>"), ERR_TOO_LARGE);
    assert_int_equal(repeated("", "<a><!--", "-->", XML_DEPTH_MAX + 1, ""), ERR_TOO_LARGE);
    assert_int_equal(repeated("<A>", "0123456789", "0123456789", XML_TEXT_MAX / 20, "</A>"), ERR_TOO_LARGE);
}

static void pages(void **state) {
    (void)state;
    struct error err;
    const char *a = "{\"L\":\"\",\"M\":[\"1\"],\"o\":{\"x\":[\"1\"]},\"s\":\"first\",\"IsTruncated\":\"true\","
                    "\"Marker\":\"m\",\"nextToken\":\"n\"}";
    const char *b = "{\"L\":[\"2\"],\"M\":[\"2\",\"3\"],\"o\":{\"x\":[\"2\"]},\"s\":\"second\",\"t\":\"new\","
                    "\"IsTruncated\":\"false\"}";
    json *into = json_parse(a, strlen(a), &err), *page = json_parse(b, strlen(b), &err);
    pages_merge(into, page);
    pages_drop_marks(into);
    const char *want =
        "{\"L\":[\"2\"],\"M\":[\"1\",\"2\",\"3\"],\"o\":{\"x\":[\"1\",\"2\"]},\"s\":\"first\",\"t\":\"new\"}";
    json *wanted = json_parse(want, strlen(want), &err);
    assert_true(json_equal(into, wanted));
    json_free(wanted);
    json_free(page);
    json_free(into);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(caps), cmocka_unit_test(pages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
