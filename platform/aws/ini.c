#include "platform/aws/ini.h"

#include <string.h>

#include "platform/base/str.h"

struct entry {
    const char *section, *group, *key; /* group NULL at the upper level */
    char *value;
    struct entry *next;
};

struct ini {
    struct entry *entries; /* newest first: a later value wins */
    struct strlist sections;
};

struct reader {
    struct ini *ini;
    struct arena *a;
    struct error *err;
    const char *section, *group; /* group: the key that indented lines belong to; NULL: they continue a value */
    size_t count;
    int line;
};

struct span {
    const char *p;
    size_t n;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trimmed(struct span s) {
    while (s.n && is_blank(*s.p)) {
        s.p++;
        s.n--;
    }
    while (s.n && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

static char *text_of(struct span s, struct arena *a) {
    s = trimmed(s);
    return arena_strndup(a, s.p, s.n);
}

static struct span without_comment(struct span s) {
    for (size_t i = 0; i < s.n; i++) {
        if ((s.p[i] == '#' || s.p[i] == ';') && (i == 0 || is_blank(s.p[i - 1]))) {
            s.n = i;
        }
    }
    return s;
}

/* [profile x], [profile "x y"], any white space between. */
static const char *section_name(struct span inside, struct arena *a) {
    char *name = text_of(inside, a);
    size_t kind = strcspn(name, " \t");
    if (!name[kind]) {
        return name;
    }
    char *rest = text_of((struct span){name + kind, strlen(name + kind)}, a);
    size_t n = strlen(rest);
    if (n >= 2 && (*rest == '"' || *rest == '\'') && rest[n - 1] == *rest) {
        rest = arena_strndup(a, rest + 1, n - 2);
    }
    return arena_printf(a, "%.*s %s", (int)kind, name, rest);
}

static bool read_section(struct reader *r, struct span s) {
    const char *end = memchr(s.p, ']', s.n);
    if (!end) {
        return error_set(r->err, ERR_PARSE, "line %d: a section needs a closing ]", r->line);
    }
    r->section = section_name((struct span){s.p + 1, (size_t)(end - s.p) - 1}, r->a);
    r->group = NULL;
    strlist_add(&r->ini->sections, r->section, r->a);
    return true;
}

static bool read_entry(struct reader *r, struct span s, bool indented) {
    const char *equals = memchr(s.p, '=', s.n);
    if (indented && (!r->group || !equals)) {
        return true;
    }
    if (!equals || !r->section) {
        return error_set(r->err, ERR_PARSE, "line %d: expected [section] or key = value", r->line);
    }
    size_t before = (size_t)(equals - s.p);
    struct entry *e = ARENA_NEW(r->a, struct entry);
    e->section = r->section;
    e->group = indented ? r->group : NULL;
    e->key = text_of((struct span){s.p, before}, r->a);
    e->value = text_of((struct span){equals + 1, s.n - before - 1}, r->a);
    e->next = r->ini->entries;
    r->ini->entries = e;
    if (!indented) {
        r->group = *e->value ? NULL : e->key;
    }
    return true;
}

static bool read_line(struct reader *r, struct span line) {
    bool indented = line.n && is_blank(line.p[0]);
    struct span s = trimmed(without_comment(line));
    if (s.n == 0) {
        return true;
    }
    if (++r->count > INI_ENTRIES_MAX) {
        return error_set(r->err, ERR_TOO_LARGE, "more than %d entries", INI_ENTRIES_MAX);
    }
    return *s.p == '[' && !indented ? read_section(r, s) : read_entry(r, s, indented);
}

const struct ini *ini_parse(const char *text, size_t n, struct arena *a, struct error *err) {
    struct reader r = {.ini = ARENA_NEW(a, struct ini), .a = a, .err = err};
    if (n > INI_TEXT_MAX || memchr(text, '\0', n)) {
        (void)error_set(err, ERR_PARSE, "larger than %zu bytes, or with a NUL byte", INI_TEXT_MAX);
        return NULL;
    }
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* a byte order mark, which editors leave */
        n -= 3;
    }
    for (const char *p = text, *end = text + n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t len = nl ? (size_t)(nl - p) : (size_t)(end - p);
        r.line++;
        if (!read_line(&r, (struct span){p, len})) {
            return NULL;
        }
        p += len + (nl ? 1 : 0);
    }
    return r.ini;
}

static const char *find(const struct ini *ini, const char *section, const char *group, const char *key) {
    for (const struct entry *e = ini ? ini->entries : NULL; e; e = e->next) {
        if (str_eq(e->section, section) && str_eq(e->group, group) && str_eq_nocase(e->key, key)) {
            return *e->value ? e->value : NULL;
        }
    }
    return NULL;
}

const char *ini_get_nested(const struct ini *ini, const char *section, const char *group, const char *key) {
    return find(ini, section, group, key);
}

const char *ini_get(const struct ini *ini, const char *section, const char *key) {
    return find(ini, section, NULL, key);
}

bool ini_has_section(const struct ini *ini, const char *section) {
    return ini && strlist_has(&ini->sections, section);
}

void ini_forget(const struct ini *ini, const char *key) {
    for (const struct entry *e = ini ? ini->entries : NULL; e; e = e->next) {
        if (str_eq_nocase(e->key, key)) {
            explicit_bzero(e->value, strlen(e->value));
        }
    }
}
