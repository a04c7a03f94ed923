/* json_text.c - JSON as text: strict parsing, printing, canonical form. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/json.h"
#include "platform/base/json_scan.h"

#define EQUAL_BY_SEARCH_MAX 64 /* members; above, both are sorted */

/* Objects with fewer keys are compared pair by pair; larger ones are sorted, so that hostile input costs n log n. */
#define PAIRWISE_MAX 8

static int compare_items(const void *a, const void *b) {
    const json *const *x = a;
    const json *const *y = b;
    return strcmp((*x)->string, (*y)->string);
}

/* The members of an object, sorted by key; caller frees. */
static const json **sorted_members(const json *object, size_t *n_out) {
    size_t n = json_array_size(object);
    const json **v = malloc((n + 1) * sizeof(void *));
    if (v == NULL) {
        die("out of memory: JSON");
    }
    size_t i = 0;
    for (const json *it = object->child; it != NULL; it = it->next) {
        v[i++] = it;
    }
    qsort(v, n, sizeof(void *), compare_items);
    *n_out = n;
    return v;
}

static const char *duplicate_pairwise(const json *object) {
    for (const json *a = object->child; a != NULL; a = a->next) {
        for (const json *b = a->next; b != NULL; b = b->next) {
            if (strcmp(a->string, b->string) == 0) {
                return a->string;
            }
        }
    }
    return NULL;
}

/* A key that the object has twice, or NULL. */
static const char *duplicate_key(const json *object) {
    const char *found = NULL;
    size_t n = 0;

    for (const json *it = object->child; it != NULL && n <= PAIRWISE_MAX; it = it->next) {
        n++;
    }
    if (n <= PAIRWISE_MAX) {
        return duplicate_pairwise(object);
    }
    const json **v = sorted_members(object, &n);
    for (size_t i = 1; i < n && found == NULL; i++) {
        if (strcmp(v[i - 1]->string, v[i]->string) == 0) {
            found = v[i]->string;
        }
    }
    free(v);
    return found;
}

struct settling {
    const char *text;
    const struct json_scan *scan;
    size_t number;    /* of the next number in document order */
    size_t next_long; /* first of scan->longs not yet placed */
    struct error *err;
};

static bool settle_number(json *node, struct settling *s) {
    size_t ordinal = s->number++;

    if (s->next_long < s->scan->nlongs && s->scan->longs[s->next_long].ordinal == ordinal) {
        const struct json_long_number *exact = &s->scan->longs[s->next_long++];
        char *text = cJSON_malloc(exact->len + 1);
        if (text == NULL) {
            die("out of memory: JSON");
        }
        memcpy(text, s->text + exact->offset, exact->len);
        text[exact->len] = '\0';
        node->type = cJSON_Raw;
        node->valuestring = text;
        return true;
    }
    if (!isfinite(node->valuedouble)) {
        return error_set(s->err, ERR_PARSE, "JSON: a number is out of range");
    }
    return true;
}

/* Gives long numbers their text and refuses duplicate keys. Recursion ends at JSON_DEPTH_MAX: the scan has seen to it.
 */
static bool settle(json *node, struct settling *s) {
    if (cJSON_IsNumber(node)) {
        return settle_number(node, s);
    }
    if (cJSON_IsObject(node)) {
        const char *twice = duplicate_key(node);
        if (twice != NULL) {
            return error_set(s->err, ERR_PARSE, "JSON: key \"%.64s\" occurs twice in an object", twice);
        }
    }
    for (json *it = node->child; it != NULL; it = it->next) {
        if (!settle(it, s)) {
            return false;
        }
    }
    return true;
}

json *json_parse(const char *text, size_t len, struct error *err) {
    struct json_scan scan;
    const char *end = NULL;

    if (!json_scan(text, len, &scan, err)) {
        return NULL;
    }
    json *root = cJSON_ParseWithLengthOpts(text, len, &end, 0);
    if (root == NULL) {
        (void)error_set(err, ERR_PARSE, "JSON: refused at byte %zu", end != NULL ? (size_t)(end - text) : 0);
    } else {
        struct settling s = {.text = text, .scan = &scan, .err = err};
        if (!settle(root, &s)) {
            cJSON_Delete(root);
            root = NULL;
        }
    }
    json_scan_done(&scan);
    return root;
}

char *json_print(const json *j) {
    char *text = j != NULL ? cJSON_PrintUnformatted(j) : strdup("null");
    if (text == NULL) {
        die("out of memory: JSON text");
    }
    return text;
}

char *json_print_arena(const json *j, struct arena *a) {
    char *text = json_print(j);
    char *copy = arena_strdup(a, text);
    free(text);
    return copy;
}

static void canonical_string(struct buf *b, const char *s) {
    (void)buf_putc(b, '"');
    while (*s != '\0') {
        size_t plain = 0;
        while ((unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\') {
            plain++;
        }
        (void)buf_append(b, s, plain);
        s += plain;
        if (*s == '"' || *s == '\\') {
            (void)buf_putc(b, '\\');
            (void)buf_putc(b, *s++);
        } else if (*s != '\0') {
            (void)buf_printf(b, "\\u%04x", (unsigned)(unsigned char)*s++);
        }
    }
    (void)buf_putc(b, '"');
}

static void canonical_number(struct buf *b, double v) {
    if (v > -1e15 && v < 1e15 && v == (double)(int64_t)v) {
        (void)buf_printf(b, "%lld", (long long)v);
    } else {
        (void)buf_printf(b, "%.15g", v);
    }
}

static void canonical_value(struct buf *b, const json *j);

static void canonical_object(struct buf *b, const json *j) {
    size_t n = 0;
    const json **v = sorted_members(j, &n);

    (void)buf_putc(b, '{');
    for (size_t i = 0; i < n; i++) {
        (void)buf_puts(b, i > 0 ? "," : "");
        canonical_string(b, v[i]->string);
        (void)buf_putc(b, ':');
        canonical_value(b, v[i]);
    }
    (void)buf_putc(b, '}');
    free(v);
}

static void canonical_array(struct buf *b, const json *j) {
    (void)buf_putc(b, '[');
    for (const json *it = j->child; it != NULL; it = it->next) {
        (void)buf_puts(b, it != j->child ? "," : "");
        canonical_value(b, it);
    }
    (void)buf_putc(b, ']');
}

static void canonical_value(struct buf *b, const json *j) {
    switch (j->type & 0xff) {
    case cJSON_Object:
        canonical_object(b, j);
        break;
    case cJSON_Array:
        canonical_array(b, j);
        break;
    case cJSON_String:
        canonical_string(b, j->valuestring);
        break;
    case cJSON_Number:
        canonical_number(b, j->valuedouble);
        break;
    case cJSON_Raw:
        (void)buf_puts(b, j->valuestring);
        break;
    default:
        (void)buf_puts(b, cJSON_IsTrue(j) ? "true" : cJSON_IsFalse(j) ? "false" : "null");
        break;
    }
}

/* Escapes make a text at most six times longer; what was parsed under JSON_TEXT_MAX always fits. */
static void canonical(struct buf *b, const json *j) {
    buf_init(b, JSON_TEXT_MAX * 6);
    if (j != NULL) {
        canonical_value(b, j);
    }
    if (b->overflow) {
        die("a JSON tree is too large for its canonical text");
    }
}

char *json_canonical(const json *j, struct arena *a) {
    struct buf b;

    canonical(&b, j);
    char *text = arena_strndup(a, buf_str(&b), b.n);
    buf_done(&b);
    return text;
}

static bool texts_equal(const json *a, const json *b) {
    struct buf x;
    struct buf y;

    canonical(&x, a);
    canonical(&y, b);
    bool equal = x.n == y.n && memcmp(buf_str(&x), buf_str(&y), x.n) == 0;
    buf_done(&x);
    buf_done(&y);
    return equal;
}

static size_t members_of(const json *o) {
    size_t n = 0;
    for (const json *it = o->child; it != NULL; it = it->next) {
        n++;
    }
    return n;
}

/* Keys are unique (json_parse refuses others, adders replace): as many members, and each of one in the other. */
static bool objects_equal(const json *a, const json *b) {
    size_t n = members_of(a);
    if (n != members_of(b)) {
        return false;
    }
    if (n > EQUAL_BY_SEARCH_MAX) {
        return texts_equal(a, b);
    }
    for (const json *it = a->child; it != NULL; it = it->next) {
        const json *twin = json_get(b, it->string);
        if (twin == NULL || !json_equal(it, twin)) {
            return false;
        }
    }
    return true;
}

static bool arrays_equal(const json *a, const json *b) {
    const json *x = a->child;
    const json *y = b->child;
    while (x != NULL && y != NULL && json_equal(x, y)) {
        x = x->next;
        y = y->next;
    }
    return x == NULL && y == NULL;
}

bool json_equal(const json *a, const json *b) {
    if (a == NULL || b == NULL || a == b) {
        return a == b;
    }
    if (cJSON_IsObject(a) && cJSON_IsObject(b)) {
        return objects_equal(a, b);
    }
    if (cJSON_IsArray(a) && cJSON_IsArray(b)) {
        return arrays_equal(a, b);
    }
    if (cJSON_IsString(a) && cJSON_IsString(b)) {
        return strcmp(a->valuestring, b->valuestring) == 0;
    }
    return texts_equal(a, b); /* a number may be one by value or by its text */
}
