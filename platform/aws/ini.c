#include "platform/aws/ini.h"

#include <string.h>

#include "platform/base/str.h"

struct entry {
    const char *section, *group, *key, *value; /* group NULL at the upper level */
    struct entry *next;
};

struct ini {
    struct entry *entries; /* newest first: a later value wins */
    struct strlist sections;
};

static char *trimmed(struct arena *a, const char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t')) {
        p++;
        n--;
    }
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r'))
        n--;
    return arena_strndup(a, p, n);
}

/* " #" and " ;" start a comment inside a line. */
static size_t without_comment(const char *p, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if ((p[i] == '#' || p[i] == ';') && (p[i - 1] == ' ' || p[i - 1] == '\t'))
            return i;
    return n;
}

static bool open_section(struct ini *ini, const char *p, size_t n, const char **section, struct arena *a)
{
    const char *end = memchr(p, ']', n);
    if (!end)
        return false;
    char *name = trimmed(a, p + 1, (size_t)(end - p) - 1);
    /* "profile x" with any white space between; quotes around the name are allowed. */
    if (str_has_prefix(name, "profile ") || str_has_prefix(name, "profile\t"))
        name = arena_printf(a, "profile %s", trimmed(a, name + 8, strlen(name + 8)));
    strlist_add(&ini->sections, name, a);
    *section = name;
    return true;
}

static void add(struct ini *ini, const char *section, const char *group, const char *key, const char *value, struct arena *a)
{
    struct entry *e = ARENA_NEW(a, struct entry);
    *e = (struct entry){section, group, key, value, ini->entries};
    ini->entries = e;
}

const struct ini *ini_parse(const char *text, size_t n, struct arena *a, struct error *err)
{
    struct ini *ini = ARENA_NEW(a, struct ini);
    const char *section = NULL, *group = NULL;
    size_t count = 0;
    int line = 0;
    if (n > INI_TEXT_MAX || memchr(text, '\0', n))
        return error_set(err, ERR_PARSE, "larger than %zu bytes, or with a NUL byte", INI_TEXT_MAX), NULL;
    for (const char *p = text, *end = text + n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t len = nl ? (size_t)(nl - p) : (size_t)(end - p);
        bool indented = len && (*p == ' ' || *p == '\t');
        const char *content = trimmed(a, p, without_comment(p, len));
        p += len + 1;
        line++;
        if (!*content || *content == '#' || *content == ';')
            continue;
        if (*content == '[' && !indented) {
            group = NULL;
            if (!open_section(ini, content, strlen(content), &section, a))
                return error_set(err, ERR_PARSE, "line %d: a section needs a closing ]", line), NULL;
            continue;
        }
        const char *equals = strchr(content, '=');
        if (!equals && indented)
            continue; /* a continued value: nothing that is read here has one */
        if (!equals || !section)
            return error_set(err, ERR_PARSE, "line %d: expected [section] or key = value", line), NULL;
        if (++count > INI_ENTRIES_MAX)
            return error_set(err, ERR_TOO_LARGE, "more than %d entries", INI_ENTRIES_MAX), NULL;
        const char *key = trimmed(a, content, (size_t)(equals - content)), *value = trimmed(a, equals + 1, strlen(equals + 1));
        if (!indented)
            group = *value ? NULL : key;
        add(ini, section, indented ? group : NULL, key, value, a);
    }
    return ini;
}

const char *ini_get_nested(const struct ini *ini, const char *section, const char *group, const char *key)
{
    for (const struct entry *e = ini ? ini->entries : NULL; e; e = e->next)
        if (str_eq(e->section, section) && str_eq(e->group, group) && str_eq_nocase(e->key, key))
            return e->value;
    return NULL;
}

const char *ini_get(const struct ini *ini, const char *section, const char *key)
{
    const char *value = ini_get_nested(ini, section, NULL, key);
    return str_empty(value) ? NULL : value;
}

int ini_has_section(const struct ini *ini, const char *section)
{
    return ini && strlist_has(&ini->sections, section);
}
