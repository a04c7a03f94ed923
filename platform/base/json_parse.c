/* json_parse.c - strict JSON text to a tree of cJSON's nodes, in one pass: what one parser accepts no other reads again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/json.h"
#include "platform/base/json_plain.h"
#include "platform/base/utf8.h"

#define NUMBER_TEXT_MAX 63
#define NUMBER_DIGITS 15 /* with more of them the tree keeps the text: a double would become another number */
#define PAIRWISE_MAX 8   /* keys that are compared pair by pair; more are sorted: hostile input costs n log n */

/* What may come next. */
enum expect {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* after '[' */
    EXPECT_KEY_OR_END,   /* after '{' */
    EXPECT_KEY,          /* after ',' in an object */
    EXPECT_COMMA_OR_END  /* after a value; at depth 0 only white space */
};

struct parser {
    const char *text;
    size_t len;
    size_t at;
    struct error *err;
    size_t nodes;
    json *root;
    char *key; /* of the member whose value comes next */
    size_t depth;
    json *open[JSON_DEPTH_MAX]; /* objects and arrays around the cursor */
    enum expect expect;
};

static bool refuse(struct parser *p, const char *why) {
    return error_set(p->err, ERR_PARSE, "JSON: %s at byte %zu", why, p->at);
}

/* The byte at the cursor plus i; 0 at the end, which is no byte of any JSON text. */
static char peek(const struct parser *p, size_t i) {
    return p->at + i < p->len ? p->text[p->at + i] : '\0';
}

static void *allocated(size_t bytes) {
    void *m = malloc(bytes);
    if (m == NULL) {
        die("out of memory: JSON");
    }
    return m;
}

static char *copied(const char *s, size_t n) {
    char *text = allocated(n + 1);
    memcpy(text, s, n);
    text[n] = '\0';
    return text;
}

/* ---- strings ---- */

static bool hex4(const char *s, unsigned *out) {
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
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
static bool pass_unicode_escape(struct parser *p) {
    unsigned high;
    unsigned low;

    if (p->len - p->at < 6 || !hex4(p->text + p->at + 2, &high)) {
        return refuse(p, "bad \\u escape");
    }
    if (high == 0) {
        return refuse(p, "\\u0000"); /* it would cut a C string short: two names could look the same */
    }
    if (high >= 0xdc00 && high <= 0xdfff) {
        return refuse(p, "lone surrogate");
    }
    if (high < 0xd800 || high > 0xdbff) {
        p->at += 6;
        return true;
    }
    if (p->len - p->at < 12 || p->text[p->at + 6] != '\\' || p->text[p->at + 7] != 'u' ||
        !hex4(p->text + p->at + 8, &low) || low < 0xdc00 || low > 0xdfff) {
        return refuse(p, "lone surrogate");
    }
    p->at += 12;
    return true;
}

static bool pass_escape(struct parser *p) {
    char c = peek(p, 1);
    if (c == 'u') {
        return pass_unicode_escape(p);
    }
    if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL) {
        return refuse(p, "bad escape");
    }
    p->at += 2;
    return true;
}

/* From the opening quote to behind the closing one. */
static bool pass_string(struct parser *p, bool *escaped) {
    *escaped = false;
    p->at++;
    while (p->at += json_plain(p->text + p->at, p->len - p->at, true), p->at < p->len) {
        unsigned char c = (unsigned char)p->text[p->at];
        if (c == '"') {
            p->at++;
            return true;
        }
        if (c == '\\') {
            *escaped = true;
            if (!pass_escape(p)) {
                return false;
            }
        } else if (c < 0x20) {
            return refuse(p, "control byte in a string");
        } else {
            uint32_t code;
            size_t n = utf8_step((const unsigned char *)p->text + p->at, p->len - p->at, &code);
            if (n == 0) {
                return refuse(p, "invalid UTF-8");
            }
            p->at += n;
        }
    }
    return refuse(p, "string without end");
}

static char *put_utf8(char *out, unsigned code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

/* The escape at s, which pass_escape has let through; returns what is behind it. */
static const char *unescape(const char *s, char **out) {
    static const char names[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";
    unsigned code = 0;
    unsigned low = 0;

    if (s[1] != 'u') {
        *(*out)++ = bytes[strchr(names, s[1]) - names];
        return s + 2;
    }
    (void)hex4(s + 2, &code);
    if (code < 0xd800 || code > 0xdfff) {
        *out = put_utf8(*out, code);
        return s + 6;
    }
    (void)hex4(s + 8, &low);
    *out = put_utf8(*out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
    return s + 12;
}

/* An escape is never shorter than what it stands for. */
static char *unescaped(const char *s, const char *end) {
    char *text = allocated((size_t)(end - s) + 1);
    char *out = text;
    while (s < end) {
        if (*s == '\\') {
            s = unescape(s, &out);
        } else {
            *out++ = *s++;
        }
    }
    *out = '\0';
    return text;
}

static char *parse_string(struct parser *p) {
    bool escaped;
    size_t begin = p->at + 1;
    if (!pass_string(p, &escaped)) {
        return NULL;
    }
    const char *s = p->text + begin;
    size_t n = p->at - 1 - begin;
    if (escaped) {
        return unescaped(s, s + n);
    }
    return copied(s, n);
}

/* ---- values ---- */

/* A new node of that type, in its place: the cursor stands where its value begins. */
static json *add_node(struct parser *p, int type) {
    json *node = allocated(sizeof *node);
    json *parent = p->depth > 0 ? p->open[p->depth - 1] : NULL;

    *node = (json){.type = type, .string = p->key};
    p->key = NULL;
    p->expect = EXPECT_COMMA_OR_END;
    if (parent == NULL) {
        p->root = node;
    } else if (parent->child == NULL) {
        parent->child = node;
        node->prev = node; /* the first one knows the last: cJSON's way */
    } else {
        node->prev = parent->child->prev;
        node->prev->next = node;
        parent->child->prev = node;
    }
    return node;
}

static size_t digits(const struct parser *p, size_t i) {
    size_t n = 0;
    while (peek(p, i + n) >= '0' && peek(p, i + n) <= '9') {
        n++;
    }
    return n;
}

/* Length of the number at the cursor, 0 when it is refused; *significant: its digits before an exponent. */
static size_t number_length(struct parser *p, size_t *significant, bool *whole_number) {
    size_t sign = peek(p, 0) == '-' ? 1 : 0;
    size_t whole = digits(p, sign);
    size_t n = sign + whole;
    size_t part = 0;
    bool good = whole == 1 || (whole > 1 && peek(p, sign) != '0');

    if (good && peek(p, n) == '.') {
        part = digits(p, n + 1);
        good = part > 0;
        n += 1 + part;
    }
    *whole_number = part == 0;
    if (good && (peek(p, n) == 'e' || peek(p, n) == 'E')) {
        n += peek(p, n + 1) == '+' || peek(p, n + 1) == '-' ? 2 : 1;
        size_t exponent = digits(p, n);
        good = exponent > 0;
        n += exponent;
        *whole_number = false;
    }
    *significant = whole + part;
    if (!good || n > NUMBER_TEXT_MAX) {
        (void)refuse(p, good ? "number too long" : "bad number");
        return 0;
    }
    return n;
}

static double number_value(const char *s, size_t n, bool whole_number) {
    char text[NUMBER_TEXT_MAX + 1];
    int64_t v = 0;

    if (!whole_number) {
        memcpy(text, s, n);
        text[n] = '\0';
        return strtod(text, NULL);
    }
    for (size_t i = s[0] == '-' ? 1 : 0; i < n; i++) {
        v = v * 10 + (s[i] - '0');
    }
    return s[0] == '-' ? -(double)v : (double)v;
}

static int nearest_int(double v) {
    return v >= INT32_MAX ? INT32_MAX : v <= INT32_MIN ? INT32_MIN : (int)v;
}

static bool parse_number(struct parser *p) {
    size_t significant;
    bool whole_number;
    const char *s = p->text + p->at;
    size_t n = number_length(p, &significant, &whole_number);

    if (n == 0) {
        return false;
    }
    if (significant > NUMBER_DIGITS) {
        json *exact = add_node(p, cJSON_Raw);
        exact->valuestring = copied(s, n);
    } else {
        double v = number_value(s, n, whole_number);
        if (!isfinite(v)) {
            return refuse(p, "a number is out of range");
        }
        json *number = add_node(p, cJSON_Number);
        number->valuedouble = v;
        number->valueint = nearest_int(v);
    }
    p->at += n;
    return true;
}

static bool parse_word(struct parser *p, const char *word, int type) {
    size_t n = strlen(word);
    if (p->len - p->at < n || memcmp(p->text + p->at, word, n) != 0) {
        return refuse(p, "unknown word");
    }
    (void)add_node(p, type);
    p->at += n;
    return true;
}

static bool open_level(struct parser *p, int type) {
    if (p->depth == JSON_DEPTH_MAX) {
        return error_set(p->err, ERR_TOO_LARGE, "JSON: more than %d levels at byte %zu", JSON_DEPTH_MAX, p->at);
    }
    json *node = add_node(p, type);
    p->open[p->depth++] = node;
    p->at++;
    p->expect = type == cJSON_Object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    return true;
}

static bool parse_text(struct parser *p) {
    char *text = parse_string(p);
    if (text == NULL) {
        return false;
    }
    add_node(p, cJSON_String)->valuestring = text;
    return true;
}

static bool parse_value(struct parser *p) {
    char c = peek(p, 0);

    if (++p->nodes > JSON_NODES_MAX) {
        return error_set(p->err, ERR_TOO_LARGE, "JSON: more than %d values", JSON_NODES_MAX);
    }
    switch (c) {
    case '{':
        return open_level(p, cJSON_Object);
    case '[':
        return open_level(p, cJSON_Array);
    case '"':
        return parse_text(p);
    case 't':
        return parse_word(p, "true", cJSON_True);
    case 'f':
        return parse_word(p, "false", cJSON_False);
    case 'n':
        return parse_word(p, "null", cJSON_NULL);
    default:
        break;
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return parse_number(p);
    }
    return refuse(p, "no value");
}

/* ---- objects ---- */

static int compare_keys(const void *a, const void *b) {
    const json *const *x = a;
    const json *const *y = b;
    return strcmp((*x)->string, (*y)->string);
}

static const char *duplicate_pairwise(const json *object) {
    for (const json *a = object->child; a != NULL; a = a->next) {
        for (const json *b = a->next; b != NULL; b = b->next) {
            if (a->string[0] == b->string[0] && strcmp(a->string, b->string) == 0) {
                return a->string;
            }
        }
    }
    return NULL;
}

static const char *duplicate_sorted(const json *object, size_t n) {
    const char *found = NULL;
    size_t i = 0;
    const json **v = allocated((n + 1) * sizeof(void *));
    for (const json *it = object->child; it != NULL; it = it->next) {
        v[i++] = it;
    }
    qsort(v, n, sizeof(void *), compare_keys);
    for (i = 1; i < n && found == NULL; i++) {
        if (strcmp(v[i - 1]->string, v[i]->string) == 0) {
            found = v[i]->string;
        }
    }
    free(v);
    return found;
}

/* Keys are compared as they are decoded: "a" and "\u0061" are the same. */
static bool has_each_key_once(struct parser *p, const json *object) {
    size_t n = json_array_size(object);
    const char *twice = n <= PAIRWISE_MAX ? duplicate_pairwise(object) : duplicate_sorted(object, n);
    return twice == NULL || error_set(p->err, ERR_PARSE, "JSON: key \"%.64s\" occurs twice in an object", twice);
}

static void skip_space(struct parser *p) {
    while (p->at < p->len &&
           (p->text[p->at] == ' ' || p->text[p->at] == '\t' || p->text[p->at] == '\r' || p->text[p->at] == '\n')) {
        p->at++;
    }
}

static bool parse_key(struct parser *p) {
    if (peek(p, 0) != '"') {
        return refuse(p, "no key");
    }
    p->key = parse_string(p);
    if (p->key == NULL) {
        return false;
    }
    skip_space(p);
    if (peek(p, 0) != ':') {
        return refuse(p, "no colon");
    }
    p->at++;
    p->expect = EXPECT_VALUE;
    return true;
}

/* ---- the document ---- */

static bool in_object(const struct parser *p) {
    return p->open[p->depth - 1]->type == cJSON_Object;
}

static bool at_end_of_level(const struct parser *p) {
    return p->depth > 0 && peek(p, 0) == (in_object(p) ? '}' : ']');
}

static bool close_level(struct parser *p) {
    const json *closed = p->open[--p->depth];
    p->at++;
    p->expect = EXPECT_COMMA_OR_END;
    return closed->type != cJSON_Object || has_each_key_once(p, closed);
}

static bool step(struct parser *p) {
    bool may_close = p->expect != EXPECT_VALUE && p->expect != EXPECT_KEY;

    if (may_close && at_end_of_level(p)) {
        return close_level(p);
    }
    switch (p->expect) {
    case EXPECT_VALUE:
    case EXPECT_VALUE_OR_END:
        return parse_value(p);
    case EXPECT_KEY:
    case EXPECT_KEY_OR_END:
        return parse_key(p);
    case EXPECT_COMMA_OR_END:
        break;
    }
    if (p->depth == 0) {
        return refuse(p, "trailing bytes");
    }
    if (peek(p, 0) != ',') {
        return refuse(p, "no comma");
    }
    p->at++;
    p->expect = in_object(p) ? EXPECT_KEY : EXPECT_VALUE;
    return true;
}

static bool parse_document(struct parser *p) {
    if (p->len > JSON_TEXT_MAX) {
        return error_set(p->err, ERR_TOO_LARGE, "JSON: %zu bytes, more than %zu", p->len, JSON_TEXT_MAX);
    }
    while (skip_space(p), p->at < p->len) {
        if (!step(p)) {
            return false;
        }
    }
    return (p->depth == 0 && p->expect == EXPECT_COMMA_OR_END) || refuse(p, "the text ends too early");
}

json *json_parse(const char *text, size_t len, struct error *err) {
    struct parser p;

    p.text = text;
    p.len = len;
    p.at = p.nodes = p.depth = 0;
    p.err = err;
    p.root = NULL;
    p.key = NULL;
    p.expect = EXPECT_VALUE; /* p.open is as deep as p.depth says */
    if (!parse_document(&p)) {
        free(p.key);
        cJSON_Delete(p.root);
        return NULL;
    }
    return p.root;
}
