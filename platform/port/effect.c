#include "platform/port/effect.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/digest.h"
#include "platform/base/str.h"

#define KEY_MAX ((size_t)4 * 1024 * 1024)
#define DESCRIBED_VALUE_MAX 96

struct kind_row {
    enum effect_service service;
    const char *operation;
    enum effect_class class;
};

static const struct kind_row kinds[EFFECT_KIND_COUNT] = {
#define X(kind, service, op, class_) [EFFECT_##kind] = {service, op, class_},
    EFFECT_TABLE(X)
#undef X
};

enum effect_service effect_service(enum effect_kind kind) {
    assert(kind < EFFECT_KIND_COUNT);
    return kinds[kind].service;
}

const char *effect_operation(enum effect_kind kind) {
    assert(kind < EFFECT_KIND_COUNT);
    return kinds[kind].operation;
}

enum effect_class effect_class(enum effect_kind kind) {
    assert(kind < EFFECT_KIND_COUNT);
    return kinds[kind].class;
}

const char *effect_service_name(enum effect_service service) {
    switch (service) {
    case SERVICE_KUBERNETES:
        return "kubernetes";
    case SERVICE_IAM:
        return "iam";
    case SERVICE_STS:
        return "sts";
    case SERVICE_EKS:
        return "eks";
    case SERVICE_EC2:
        return "ec2";
    case SERVICE_PROOF:
        return "proof";
    }
    return "?";
}

void effect_add_arg(struct effect *e, struct arena *a, const char *name, const char *value) {
    if (!value)
        return;
    assert(e->nargs < EFFECT_ARGS_MAX);
    /* Grows by powers of two; old arrays stay in the arena. */
    if ((e->nargs & (e->nargs - 1)) == 0) {
        struct effect_arg *grown = ARENA_ARRAY(a, e->nargs ? e->nargs * 2 : 1, struct effect_arg);
        if (e->nargs)
            memcpy(grown, e->args, e->nargs * sizeof *grown);
        e->args = grown;
    }
    e->args[e->nargs++] = (struct effect_arg){arena_strdup(a, name), arena_strdup(a, value)};
}

struct effect *effect_new(struct arena *a, enum effect_kind kind, ...) {
    struct effect *e = ARENA_NEW(a, struct effect);
    e->kind = kind;
    va_list ap;
    va_start(ap, kind);
    for (const char *name = va_arg(ap, const char *); name; name = va_arg(ap, const char *)) {
        const char *value = va_arg(ap, const char *);
        effect_add_arg(e, a, name, value);
    }
    va_end(ap);
    return e;
}

struct effect *effect_dup(const struct effect *e, struct arena *a) {
    struct effect *copy = ARENA_NEW(a, struct effect);
    copy->kind = e->kind;
    for (size_t i = 0; i < e->nargs; i++)
        effect_add_arg(copy, a, e->args[i].name, e->args[i].value);
    copy->body = arena_strdup(a, e->body);
    return copy;
}

const char *effect_arg(const struct effect *e, const char *name) {
    for (size_t i = 0; i < e->nargs; i++)
        if (str_eq(e->args[i].name, name))
            return e->args[i].value;
    return NULL;
}

char *effect_describe(const struct effect *e, struct arena *a) {
    struct buf b;
    buf_init(&b, KEY_MAX);
    buf_printf(&b, "%s:%s", effect_service_name(effect_service(e->kind)), effect_operation(e->kind));
    for (size_t i = 0; i < e->nargs; i++) {
        const char *v = e->args[i].value;
        bool cut = strlen(v) > DESCRIBED_VALUE_MAX;
        buf_printf(&b, " %s=%.*s%s", e->args[i].name, DESCRIBED_VALUE_MAX, v, cut ? "..." : "");
    }
    char *text = arena_strdup(a, buf_str(&b));
    buf_done(&b);
    return text;
}

static int by_name(const void *x, const void *y) {
    const struct effect_arg *p = x, *q = y;
    int order = strcmp(p->name, q->name);
    return order ? order : strcmp(p->value, q->value);
}

static void put_escaped(struct buf *b, char c) {
    buf_putc(b, '\x01');
    buf_putc(b, (char)(c + '@'));
}

/*
 * What separates arguments is escaped within them: no value may pass for another call's arguments. Printable text stays
 * as it is, '%' too: names and ARNs are looked for in keys.
 */
static void put_value(struct buf *b, const char *text) {
    while (*text) {
        size_t plain = 0;
        while ((unsigned char)text[plain] > ' ')
            plain++;
        buf_append(b, text, plain);
        text += plain;
        if (*text)
            put_escaped(b, *text++);
    }
}

char *effect_key(const struct effect *e, struct arena *a) {
    struct effect_arg *sorted = ARENA_ARRAY(a, e->nargs ? e->nargs : 1, struct effect_arg);
    if (e->nargs)
        memcpy(sorted, e->args, e->nargs * sizeof *sorted);
    qsort(sorted, e->nargs, sizeof *sorted, by_name);
    struct buf b;
    buf_init(&b, KEY_MAX);
    buf_puts(&b, effect_service_name(effect_service(e->kind)));
    buf_putc(&b, ':');
    buf_puts(&b, effect_operation(e->kind));
    for (size_t i = 0; i < e->nargs; i++) {
        buf_putc(&b, ' ');
        buf_puts(&b, sorted[i].name);
        buf_putc(&b, '=');
        put_value(&b, sorted[i].value);
    }
    if (e->body) {
        buf_putc(&b, '\n');
        buf_puts(&b, e->body);
    }
    char *text = arena_strdup(a, buf_str(&b));
    buf_done(&b);
    return text;
}

char *effect_digest(const struct effect *e, struct arena *a) {
    char hex[DIGEST_SHA256_HEX];
    const char *key = effect_key(e, a);
    digest_sha256_hex(key, strlen(key), hex);
    return arena_strdup(a, hex);
}
