#include "controller/binding_file.h"

#include <stdio.h>

#include "crd/binding.h"
#include "platform/k8s/yaml.h"

bool file_read(const char *path, struct buf *out, struct error *err) {
    FILE *f = str_eq(path, "-") ? stdin : fopen(path, "r");
    char piece[8192];
    size_t n;
    if (!f)
        return error_set(err, ERR_IO, "%s can not be opened", path);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0 && buf_append(out, piece, n))
        ;
    bool failed = ferror(f) != 0;
    if (f != stdin)
        fclose(f);
    if (out->overflow)
        return error_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, out->max);
    return !failed || error_set(err, ERR_IO, "%s can not be read", path);
}

json *binding_file_read(const char *path, struct error *err) {
    struct buf text;
    json *found = NULL;
    buf_init(&text, BINDING_FILE_MAX);
    bool good = file_read(path, &text, err);
    json *documents = good ? yaml_parse_all(buf_str(&text), text.n, err) : NULL;
    buf_done(&text);
    if (good && !documents)
        error_wrap(err, "%s", path);
    for (const json *d = json_first(documents); d && !found; d = d->next)
        if (str_eq(json_str(d, "kind"), CIB_KIND))
            found = json_dup(d);
    if (documents && !found)
        error_set(err, ERR_INVALID, "%s holds no " CIB_KIND, path);
    json_free(documents);
    return found;
}
