#include "bench/scenario_set.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"

#define SUFFIX ".yaml"

static struct scenario *set[SCENARIO_SET_MAX];
static size_t nset;

static int is_scenario(const struct dirent *e) {
    return e->d_name[0] != '.' && str_has_suffix(e->d_name, SUFFIX);
}

/* The caller's; one byte more than may be is read, so that too much is seen as such. */
static char *read_text(const char *path, size_t *n, struct error *err) {
    FILE *f = fopen(path, "re");
    char *text = malloc(SCENARIO_TEXT_MAX + 1);
    if (!text)
        die("out of memory");
    *n = f ? fread(text, 1, SCENARIO_TEXT_MAX + 1, f) : 0;
    bool ok = f && !ferror(f);
    if (f)
        (void)fclose(f);
    if (ok)
        return text;
    free(text);
    error_set(err, ERR_IO, "%s: can not be read: %s", path, strerror(errno));
    return NULL;
}

static bool load_one(const char *directory, const char *file, struct error *err) {
    char path[512], name[128];
    size_t n = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, file) >= sizeof path || strlen(file) >= sizeof name)
        return error_set(err, ERR_TOO_LARGE, "%s: expected a shorter path", file);
    snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - strlen(SUFFIX)), file);
    if (nset == SCENARIO_SET_MAX)
        return error_set(err, ERR_TOO_LARGE, "%s: expected at most %d scenarios", directory, SCENARIO_SET_MAX);
    char *text = read_text(path, &n, err);
    struct scenario *s = text ? scenario_parse(name, path, text, n, err) : NULL;
    free(text);
    if (s)
        set[nset++] = s;
    return s != NULL;
}

bool scenario_set_load(const char *directory, struct error *err) {
    struct dirent **names = NULL;
    int n = scandir(directory, &names, is_scenario, alphasort);
    bool ok = n > 0;
    if (!ok)
        error_set(err, ERR_IO, "%s: expected scenarios: %s", directory, n < 0 ? strerror(errno) : "there is none");
    for (int i = 0; i < n; i++) {
        ok = ok && load_one(directory, names[i]->d_name, err);
        free(names[i]);
    }
    free(names);
    if (!ok)
        scenario_set_free();
    return ok;
}

size_t scenario_set_size(void) {
    return nset;
}

const struct scenario *scenario_set_at(size_t i) {
    return i < nset ? set[i] : NULL;
}

const struct scenario *scenario_set_find(const char *name) {
    for (size_t i = 0; i < nset; i++)
        if (str_eq(set[i]->options.scenario, name))
            return set[i];
    return NULL;
}

void scenario_set_free(void) {
    while (nset)
        scenario_free(set[--nset]);
}
