/* json_text.c - JSON as text: compact and canonical, and whether two trees say the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/json.h"
#include "platform/base/json_plain.h"

#define EQUAL_BY_SEARCH_MAX 64 /* members; above, both are sorted */

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

struct writer {
    struct buf text;
    bool sorted; /* the canonical form */
};

/* Of what has a name of its own in JSON; the canonical form numbers all control bytes. */
static char escape_name(char c) {
    static const char bytes[] = "\b\f\n\r\t";
    static const char names[] = "bfnrt";
    const char *at = strchr(bytes, c);
    return at != NULL ? names[at - bytes] : '\0';
}

static void write_escape(struct writer *w, char c) {
    char name = c == '"' || c == '\\' ? c : w->sorted ? '\0' : escape_name(c);
    if (name != '\0') {
        char two[2] = {'\\', name};
        (void)buf_append(&w->text, two, sizeof two);
    } else {
        (void)buf_printf(&w->text, "\\u%04x", (unsigned)(unsigned char)c);
    }
}

static void write_string(struct writer *w, const char *s) {
    size_t n = strlen(s);
    (void)buf_putc(&w->text, '"');
    for (size_t i = 0; i < n; i++) {
        size_t plain = json_plain(s + i, n - i, false);
        (void)buf_append(&w->text, s + i, plain);
        i += plain;
        if (i < n) {
            write_escape(w, s[i]);
        }
    }
    (void)buf_putc(&w->text, '"');
}

static void write_integer(struct buf *b, int64_t v) {
    char text[24];
    size_t at = sizeof text;
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        text[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (v < 0) {
        text[--at] = '-';
    }
    (void)buf_append(b, text + at, sizeof text - at);
}

/* Fifteen digits where they are the number, seventeen otherwise; no JSON number is infinite. */
static void write_number(struct writer *w, double v) {
    char text[32];
    if (v > -1e15 && v < 1e15 && v == (double)(int64_t)v) {
        write_integer(&w->text, (int64_t)v);
        return;
    }
    (void)snprintf(text, sizeof text, "%.15g", v);
    if (!w->sorted && strtod(text, NULL) != v) {
        (void)snprintf(text, sizeof text, "%.17g", v);
    }
    (void)buf_puts(&w->text, isfinite(v) ? text : "null");
}

static void write_value(struct writer *w, const json *j);

static void write_member(struct writer *w, const json *member, bool first) {
    if (!first) {
        (void)buf_putc(&w->text, ',');
    }
    write_string(w, member->string);
    (void)buf_putc(&w->text, ':');
    write_value(w, member);
}

static void write_sorted_members(struct writer *w, const json *j) {
    size_t n = 0;
    const json **v = sorted_members(j, &n);
    for (size_t i = 0; i < n; i++) {
        write_member(w, v[i], i == 0);
    }
    free(v);
}

static void write_object(struct writer *w, const json *j) {
    (void)buf_putc(&w->text, '{');
    if (w->sorted) {
        write_sorted_members(w, j);
    } else {
        for (const json *it = j->child; it != NULL; it = it->next) {
            write_member(w, it, it == j->child);
        }
    }
    (void)buf_putc(&w->text, '}');
}

static void write_array(struct writer *w, const json *j) {
    (void)buf_putc(&w->text, '[');
    for (const json *it = j->child; it != NULL; it = it->next) {
        if (it != j->child) {
            (void)buf_putc(&w->text, ',');
        }
        write_value(w, it);
    }
    (void)buf_putc(&w->text, ']');
}

static void write_value(struct writer *w, const json *j) {
    switch (j->type & 0xff) {
    case cJSON_Object:
        write_object(w, j);
        break;
    case cJSON_Array:
        write_array(w, j);
        break;
    case cJSON_String:
        write_string(w, j->valuestring);
        break;
    case cJSON_Number:
        write_number(w, j->valuedouble);
        break;
    case cJSON_Raw:
        (void)buf_puts(&w->text, j->valuestring);
        break;
    default:
        (void)buf_puts(&w->text, cJSON_IsTrue(j) ? "true" : cJSON_IsFalse(j) ? "false" : "null");
        break;
    }
}

/* Escapes make a text at most six times longer; what was parsed under JSON_TEXT_MAX always fits. */
static void write_tree(struct writer *w, const json *j, bool sorted) {
    w->sorted = sorted;
    buf_init(&w->text, JSON_TEXT_MAX * 6);
    if (j != NULL) {
        write_value(w, j);
    }
    if (w->text.overflow) {
        die("a JSON tree is too large for its text");
    }
}

char *json_print(const json *j) {
    struct writer w;
    write_tree(&w, j, false);
    if (j == NULL) {
        (void)buf_puts(&w.text, "null");
    }
    return buf_take(&w.text);
}

char *json_print_arena(const json *j, struct arena *a) {
    char *text = json_print(j);
    char *copy = arena_strdup(a, text);
    free(text);
    return copy;
}

char *json_canonical(const json *j, struct arena *a) {
    struct writer w;

    write_tree(&w, j, true);
    char *text = arena_strndup(a, buf_str(&w.text), w.text.n);
    buf_done(&w.text);
    return text;
}

static bool texts_equal(const json *a, const json *b) {
    struct writer x;
    struct writer y;

    write_tree(&x, a, true);
    write_tree(&y, b, true);
    bool equal = x.text.n == y.text.n && memcmp(buf_str(&x.text), buf_str(&y.text), x.text.n) == 0;
    buf_done(&x.text);
    buf_done(&y.text);
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
    if (cJSON_IsNumber(a) && cJSON_IsNumber(b) && a->valueint == b->valueint && a->valuedouble == a->valueint &&
        b->valuedouble == b->valueint) {
        return true;
    }
    return texts_equal(a, b); /* a number may be one by value or by its text */
}
