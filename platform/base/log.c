#include "platform/base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "platform/base/utf8.h"

static enum log_level log_min = LOG_LEVEL_INFO;
static enum log_format log_form = LOG_FORMAT_JSON;
static void (*log_sink)(void *ctx, const char *line, size_t len);
static void *log_sink_ctx;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_configure(enum log_level min_level, enum log_format format) {
    log_min = min_level;
    log_form = format;
}

bool log_level_parse(const char *s, enum log_level *out) {
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (str_eq(s, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_format_parse(const char *s, enum log_format *out) {
    bool json = str_eq(s, "json");
    if (!json && !str_eq(s, "text")) {
        return false;
    }
    *out = json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
    return true;
}

bool log_enabled(enum log_level level) {
    return level >= log_min;
}

void log_set_sink(void (*sink)(void *ctx, const char *line, size_t len), void *ctx) {
    log_sink = sink;
    log_sink_ctx = ctx;
}

/* A line under construction. TAIL bytes are kept back at every moment, so that a cut string can still be closed:
 * ..."}\n NUL */
#define TAIL ((size_t)8)
#define ESCAPE_LONGEST ((size_t)6)

struct line {
    char *p;
    size_t n;
    size_t size;
};

static bool fits(const struct line *l, size_t more) {
    return l->n + more + TAIL <= l->size;
}

/* Structure (names, quotes, braces): whoever calls it has checked that it fits, or uses the tail. */
static void raw(struct line *l, const char *s, size_t n) {
    if (l->n + n < l->size) {
        memcpy(l->p + l->n, s, n);
        l->n += n;
    }
}

static void raws(struct line *l, const char *s) {
    raw(l, s, strlen(s));
}

/* The JSON escape of one code point (or broken byte) into out; returns its length, 0 when it may stand as it is. */
static size_t escape(uint32_t code, char out[8]) {
    static const char named[] = "\"\"\\\\\nn\rr\tt";

    for (size_t i = 0; named[i] != '\0'; i += 2) {
        if (code == (unsigned char)named[i]) {
            out[0] = '\\';
            out[1] = named[i + 1];
            return 2;
        }
    }
    /* C0, DEL and C1: a terminal could take each of them for a command. */
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
        return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)code);
    }
    return 0;
}

/* The inside of a quoted string; ends in "..." where it had to be cut. */
static void quoted(struct line *l, const char *s) {
    size_t left = strlen(s);

    raw(l, "\"", 1);
    while (left > 0) {
        uint32_t code = 0;
        char esc[8];
        size_t step = utf8_step((const unsigned char *)s, left, &code);
        size_t n = step == 0 ? (size_t)snprintf(esc, sizeof esc, "\\ufffd") : escape(code, esc);
        if (!fits(l, ESCAPE_LONGEST)) {
            raws(l, "...");
            break;
        }
        if (n > 0) {
            raw(l, esc, n);
        } else {
            raw(l, s, step);
        }
        s += step != 0 ? step : 1;
        left -= step != 0 ? step : 1;
    }
    raw(l, "\"", 1);
}

static void number(struct line *l, const struct log_field *f) {
    char text[24];
    if (f->type == LOG_FIELD_BOOL) {
        raws(l, f->num != 0 ? "true" : "false");
        return;
    }
    (void)snprintf(text, sizeof text, "%lld", (long long)f->num);
    raws(l, text);
}

static void json_member(struct line *l, const char *key, const char *value) {
    /* A name needs at most six bytes a character, then quotes, colon, comma; a value at least "...". */
    if (!fits(l, strlen(key) * ESCAPE_LONGEST + 16)) {
        return;
    }
    raws(l, l->n > 1 ? "," : "");
    quoted(l, key);
    raw(l, ":", 1);
    quoted(l, value);
}

static void json_field(struct line *l, const struct log_field *f) {
    if (f->type == LOG_FIELD_STR) {
        json_member(l, f->key, f->str != NULL ? f->str : "");
        return;
    }
    if (fits(l, strlen(f->key) * ESCAPE_LONGEST + 32)) {
        raw(l, ",", 1);
        quoted(l, f->key);
        raw(l, ":", 1);
        number(l, f);
    }
}

/* Plain where that is unambiguous: nothing to escape, no space, no quote, no '='. */
static void text_value(struct line *l, const char *s) {
    bool plain = s[0] != '\0' && fits(l, strlen(s));
    for (const char *p = s; plain && *p != '\0'; p++) {
        plain = (unsigned char)*p > 0x20 && (unsigned char)*p < 0x7f && strchr("\"\\=", *p) == NULL;
    }
    if (plain) {
        raws(l, s);
    } else {
        quoted(l, s);
    }
}

static void text_field(struct line *l, const struct log_field *f) {
    if (!fits(l, strlen(f->key) + 32)) {
        return;
    }
    raw(l, " ", 1);
    raws(l, f->key);
    raw(l, "=", 1);
    if (f->type == LOG_FIELD_STR) {
        text_value(l, f->str != NULL ? f->str : "");
    } else {
        number(l, f);
    }
}

static void head_json(struct line *l, const char *when, const char *level, const char *component, const char *message) {
    raw(l, "{", 1);
    json_member(l, "time", when);
    json_member(l, "level", level);
    json_member(l, "component", component);
    json_member(l, "msg", message);
}

static void head_text(struct line *l, const char *when, const char *level, const char *component, const char *message) {
    raws(l, when);
    raw(l, " ", 1);
    raws(l, level);
    raw(l, " ", 1);
    raws(l, component);
    raws(l, ": ");
    /* A message is a sentence of ours; only what could break the line is escaped. */
    size_t quote = l->n;
    quoted(l, message);
    if (l->n >= quote + 2) {
        l->n--;
        memmove(l->p + quote, l->p + quote + 1, l->n - quote - 1);
        l->n--;
    }
}

size_t log_render(char *out, size_t out_size, enum log_format format, int64_t wall_ms, enum log_level level,
                  const char *component, const char *message, const struct log_field *fields, size_t nfields) {
    char when[TIMEFMT_MAX];
    struct line l = {out, 0, out_size};
    bool json = format == LOG_FORMAT_JSON;

    if (out_size < 256) {
        if (out_size > 0) {
            out[0] = '\0';
        }
        return 0;
    }
    /* The clock may be anything; times 1000 must not overflow. */
    bool sane = wall_ms > INT64_MIN / 1000 && wall_ms < INT64_MAX / 1000;
    timefmt_micro(sane ? wall_ms * 1000 : 0, when);
    (json ? head_json : head_text)(&l, when, level_names[(unsigned)level & 3u], str_or(component, "-"),
                                   message != NULL ? message : "");
    for (size_t i = 0; i < nfields && i < LOG_FIELDS_MAX; i++) {
        if (fields[i].key != NULL) {
            (json ? json_field : text_field)(&l, &fields[i]);
        }
    }
    raws(&l, json ? "}\n" : "\n");
    out[l.n] = '\0';
    return l.n;
}

void log_write(enum log_level level, const char *component, const char *message, const struct log_field *fields,
               size_t nfields) {
    char line[LOG_LINE_MAX];
    struct timespec now = {0};

    if (!log_enabled(level)) {
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    size_t n = log_render(line, sizeof line, log_form, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, level,
                          component, message, fields, nfields);
    if (log_sink != NULL) {
        log_sink(log_sink_ctx, line, n);
        return;
    }
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
}
