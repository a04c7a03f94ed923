/* demo_dir.c - made, locked, removed; and what others left. */
#include "controller/demo_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/base/str.h"

#define NAME "cni-iam-demo."
#define KEPT "kept"

/* The directory is flat: kubeconfigs, a certificate, a log, a database with its side files. */
static void empty(int fd) {
    int own = dup(fd);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    const struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            unlinkat(fd, e->d_name, 0);
    if (dir)
        closedir(dir);
    else if (own >= 0)
        close(own);
}

static bool is_left(int fd) {
    struct stat s;
    return fstat(fd, &s) == 0 && s.st_uid == geteuid() && s.st_mtime < time(NULL) - DEMO_DIR_REST_S &&
           faccessat(fd, KEPT, F_OK, 0) < 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static bool sweep_one(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool left = fd >= 0 && is_left(fd);
    if (left) {
        empty(fd);
        unlinkat(parent, name, AT_REMOVEDIR);
    }
    if (fd >= 0)
        close(fd);
    return left;
}

static void sweep(const char *tmp) {
    DIR *dir = opendir(tmp);
    const struct dirent *e;
    for (int n = 0; dir && n < DEMO_DIR_SWEEP_MAX && (e = readdir(dir));)
        n += str_has_prefix(e->d_name, NAME) && sweep_one(dirfd(dir), e->d_name);
    if (dir)
        closedir(dir);
}

bool demo_dir_make(struct demo_dir *d, struct error *err) {
    const char *tmp = str_or(getenv("TMPDIR"), "/tmp");
    *d = (struct demo_dir){.fd = -1};
    if (strlen(tmp) > DEMO_DIR_PATH_MAX - 40)
        return error_set(err, ERR_INVALID, "TMPDIR is too long: set it to a shorter one");
    sweep(tmp);
    snprintf(d->path, sizeof d->path, "%s/" NAME "XXXXXX", tmp);
    if (!mkdtemp(d->path)) {
        d->path[0] = '\0';
        return error_set(err, ERR_IO, "no directory for temporary files in %s (%s): set TMPDIR to one that is writable",
                         tmp, strerror(errno));
    }
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return (d->fd >= 0 && flock(d->fd, LOCK_EX | LOCK_NB) == 0) ||
           error_set(err, ERR_IO, "%s can not be locked (%s): set TMPDIR to a local file system", d->path,
                     strerror(errno));
}

static void let_go(struct demo_dir *d) {
    if (d->fd >= 0)
        close(d->fd);
    *d = (struct demo_dir){.fd = -1};
}

void demo_dir_remove(struct demo_dir *d) {
    if (d->path[0]) {
        if (d->fd >= 0)
            empty(d->fd);
        rmdir(d->path);
    }
    let_go(d);
}

void demo_dir_keep(struct demo_dir *d) {
    int mark = d->fd >= 0 ? openat(d->fd, KEPT, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (mark >= 0)
        close(mark);
    let_go(d);
}
