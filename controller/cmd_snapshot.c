/* cmd_snapshot.c - cni-iam snapshot: cluster and account in one file. Reads only, but for that file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/binding_file.h"
#include "controller/commands.h"
#include "controller/snapshot_take.h"
#include "simulator/snapshot.h"

static bool write_all(int fd, const struct buf *text) {
    const char *p = buf_str(text);
    for (size_t n = text->n; n > 0;) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno != EINTR)
            return false;
        p += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

/* Beside it, then in its place: a reader sees the old one or the whole new one. */
static bool write_file(const char *path, const struct buf *text, struct error *err) {
    struct arena *a = arena_new(0);
    char *beside = arena_printf(a, "%s.%d", path, (int)getpid());
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write_all(fd, text) && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0 && close(fd) != 0)
        good = false;
    if (good && rename(beside, path) != 0) {
        why = errno;
        good = false;
    }
    if (!good && fd >= 0)
        unlink(beside);
    arena_free(a);
    return good || error_set(err, ERR_IO, "%s can not be written: %s", path, strerror(why));
}

static bool give(const struct options *o, const struct buf *text, struct error *err) {
    if (str_empty(o->output) || str_eq(o->output, "-"))
        return (fwrite(buf_str(text), 1, text->n, stdout) == text->n && fflush(stdout) == 0) ||
               error_set(err, ERR_IO, "standard output can not be written");
    return write_file(o->output, text, err);
}

static bool snapshot(const struct options *o, const json *binding, struct error *err) {
    struct connection c;
    struct buf text;
    if (!connection_open(&c, &(struct connection_options){.options = o, .component = "snapshot"}, err))
        return false;
    buf_init(&text, SNAPSHOT_TEXT_MAX);
    struct snapshot_request r = {.options = o, .binding = binding};
    bool good = snapshot_take_text(&c, &r, &text, err) && give(o, &text, err);
    buf_done(&text);
    connection_close(&c);
    return good;
}

int command_snapshot(const struct options *o) {
    struct error err;
    error_clear(&err);
    json *binding = str_empty(o->file) ? NULL : binding_file_read(o->file, &err);
    bool good = !err.code && snapshot(o, binding, &err);
    json_free(binding);
    if (!good)
        fprintf(stderr, "cni-iam snapshot: %s\n", err.message);
    return good ? 0 : 1;
}
