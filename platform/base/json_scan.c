#include "platform/base/json_scan.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/json.h"
#include "platform/base/utf8.h"

/* What may come next. */
enum expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* after '[' */
    EXPECT_KEY_OR_END,   /* after '{' */
    EXPECT_KEY,          /* after ',' in an object */
    EXPECT_COMMA_OR_END  /* after a value; at depth 0 only white space */
};

struct scanner {
    const char *text;
    size_t len;
    size_t at;
    struct json_scan *out;
    struct error *err;
    size_t nodes;
    size_t longs_cap;
    size_t depth;
    char closer[JSON_DEPTH_MAX]; /* '}' or ']' for each open level */
    enum expect expect;
};

static bool refuse(struct scanner *s, const char *why) {
    return error_set(s->err, ERR_PARSE, "JSON: %s at byte %zu", why, s->at);
}

/* The byte at the cursor plus i; 0 at the end, which is no byte of any JSON text. */
static char peek(const struct scanner *s, size_t i) {
    return s->at + i < s->len ? s->text[s->at + i] : '\0';
}

static bool hex4(const char *p, unsigned *out) {
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit;
        if (c >= '0' && c <= '9') {
            digit = (unsigned)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (unsigned)((c | 0x20) - 'a') + 10;
        } else {
            return false;
        }
        v = v << 4 | digit;
    }
    *out = v;
    return true;
}

/* "\uXXXX" at the cursor, with its second half when it is a surrogate. */
static bool scan_unicode_escape(struct scanner *s) {
    unsigned high;
    unsigned low;

    if (s->len - s->at < 6 || !hex4(s->text + s->at + 2, &high)) {
        return refuse(s, "bad \\u escape");
    }
    if (high == 0) {
        return refuse(s, "\\u0000"); /* it would cut a C string short: two names could look the same */
    }
    if (high >= 0xdc00 && high <= 0xdfff) {
        return refuse(s, "lone surrogate");
    }
    if (high < 0xd800 || high > 0xdbff) {
        s->at += 6;
        return true;
    }
    if (s->len - s->at < 12 || s->text[s->at + 6] != '\\' || s->text[s->at + 7] != 'u' ||
        !hex4(s->text + s->at + 8, &low) || low < 0xdc00 || low > 0xdfff) {
        return refuse(s, "lone surrogate");
    }
    s->at += 12;
    return true;
}

static bool scan_escape(struct scanner *s) {
    char c = peek(s, 1);
    if (c == 'u') {
        return scan_unicode_escape(s);
    }
    if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL) {
        return refuse(s, "bad escape");
    }
    s->at += 2;
    return true;
}

static bool scan_string(struct scanner *s) {
    s->at++;
    while (s->at < s->len) {
        unsigned char c = (unsigned char)s->text[s->at];
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c == '\\') {
            if (!scan_escape(s)) {
                return false;
            }
        } else if (c < 0x20) {
            return refuse(s, "control byte in a string");
        } else if (c < 0x80) {
            s->at++;
        } else {
            uint32_t code;
            size_t n = utf8_step((const unsigned char *)s->text + s->at, s->len - s->at, &code);
            if (n == 0) {
                return refuse(s, "invalid UTF-8");
            }
            s->at += n;
        }
    }
    return refuse(s, "string without end");
}

static size_t digits(const struct scanner *s, size_t i) {
    size_t n = 0;
    while (peek(s, i + n) >= '0' && peek(s, i + n) <= '9') {
        n++;
    }
    return n;
}

static void note_long(struct scanner *s, size_t len) {
    struct json_scan *o = s->out;
    if (o->nlongs == s->longs_cap) {
        s->longs_cap = s->longs_cap != 0 ? s->longs_cap * 2 : 8;
        struct json_long_number *p = realloc(o->longs, s->longs_cap * sizeof *p);
        if (p == NULL) {
            die("out of memory: JSON");
        }
        o->longs = p;
    }
    o->longs[o->nlongs++] = (struct json_long_number){o->numbers, s->at, len};
}

static bool scan_number(struct scanner *s) {
    size_t sign = peek(s, 0) == '-' ? 1 : 0;
    size_t whole = digits(s, sign);
    size_t n = sign + whole;
    size_t part = 0;

    if (whole == 0 || (whole > 1 && peek(s, sign) == '0')) {
        return refuse(s, "bad number");
    }
    if (peek(s, n) == '.') {
        part = digits(s, n + 1);
        n += 1 + part;
        if (part == 0) {
            return refuse(s, "bad number");
        }
    }
    if (peek(s, n) == 'e' || peek(s, n) == 'E') {
        n += peek(s, n + 1) == '+' || peek(s, n + 1) == '-' ? 2 : 1;
        size_t exponent = digits(s, n);
        n += exponent;
        if (exponent == 0) {
            return refuse(s, "bad number");
        }
    }
    if (n > JSON_NUMBER_TEXT_MAX) {
        return refuse(s, "number too long");
    }
    if (whole + part > JSON_NUMBER_DIGITS) {
        note_long(s, n);
    }
    s->out->numbers++;
    s->at += n;
    return true;
}

static bool scan_word(struct scanner *s, const char *word, size_t n) {
    if (s->len - s->at < n || memcmp(s->text + s->at, word, n) != 0) {
        return refuse(s, "unknown word");
    }
    s->at += n;
    return true;
}

static bool open_level(struct scanner *s, char closer) {
    if (s->depth == JSON_DEPTH_MAX) {
        return error_set(s->err, ERR_TOO_LARGE, "JSON: more than %d levels at byte %zu", JSON_DEPTH_MAX, s->at);
    }
    s->closer[s->depth++] = closer;
    s->at++;
    s->expect = closer == '}' ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    return true;
}

static bool scan_value(struct scanner *s) {
    char c = peek(s, 0);

    if (++s->nodes > JSON_NODES_MAX) {
        return error_set(s->err, ERR_TOO_LARGE, "JSON: more than %d values", JSON_NODES_MAX);
    }
    s->expect = EXPECT_COMMA_OR_END;
    switch (c) {
    case '{':
        return open_level(s, '}');
    case '[':
        return open_level(s, ']');
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true", 4);
    case 'f':
        return scan_word(s, "false", 5);
    case 'n':
        return scan_word(s, "null", 4);
    default:
        break;
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return scan_number(s);
    }
    return refuse(s, "no value");
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct scanner *s) {
    while (s->at < s->len && is_space(s->text[s->at])) {
        s->at++;
    }
}

static bool scan_key(struct scanner *s) {
    if (peek(s, 0) != '"') {
        return refuse(s, "no key");
    }
    if (!scan_string(s)) {
        return false;
    }
    skip_space(s);
    if (peek(s, 0) != ':') {
        return refuse(s, "no colon");
    }
    s->at++;
    s->expect = EXPECT_VALUE;
    return true;
}

static bool at_closer(const struct scanner *s) {
    return s->depth > 0 && peek(s, 0) == s->closer[s->depth - 1];
}

static void close_level(struct scanner *s) {
    s->depth--;
    s->at++;
    s->expect = EXPECT_COMMA_OR_END;
}

static bool step(struct scanner *s) {
    bool may_close = s->expect != EXPECT_VALUE && s->expect != EXPECT_KEY;

    if (may_close && at_closer(s)) {
        close_level(s);
        return true;
    }
    switch (s->expect) {
    case EXPECT_VALUE:
    case EXPECT_VALUE_OR_END:
        return scan_value(s);
    case EXPECT_KEY:
    case EXPECT_KEY_OR_END:
        return scan_key(s);
    case EXPECT_COMMA_OR_END:
        break;
    }
    if (s->depth == 0) {
        return refuse(s, "trailing bytes");
    }
    if (peek(s, 0) != ',') {
        return refuse(s, "no comma");
    }
    s->at++;
    s->expect = s->closer[s->depth - 1] == '}' ? EXPECT_KEY : EXPECT_VALUE;
    return true;
}

bool json_scan(const char *text, size_t len, struct json_scan *out, struct error *err) {
    struct scanner s = {.text = text, .len = len, .out = out, .err = err, .expect = EXPECT_VALUE};

    memset(out, 0, sizeof *out);
    if (len > JSON_TEXT_MAX) {
        return error_set(err, ERR_TOO_LARGE, "JSON: %zu bytes, more than %zu", len, JSON_TEXT_MAX);
    }
    for (;;) {
        skip_space(&s);
        if (s.at == len) {
            break;
        }
        if (!step(&s)) {
            json_scan_done(out);
            return false;
        }
    }
    if (s.depth > 0 || s.expect != EXPECT_COMMA_OR_END) {
        json_scan_done(out);
        return refuse(&s, "the text ends too early");
    }
    return true;
}

void json_scan_done(struct json_scan *s) {
    free(s->longs);
    s->longs = NULL;
    s->nlongs = 0;
}
