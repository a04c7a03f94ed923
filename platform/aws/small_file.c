#include "platform/aws/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_all(struct buf *b, int fd, const char *path, struct error *err) {
    char piece[8192];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0 && buf_append(b, piece, (size_t)n)) {
    }
    int why = errno;
    explicit_bzero(piece, sizeof piece);
    if (b->overflow) {
        return error_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, b->max);
    }
    return n == 0 || error_set(err, ERR_IO, "%s: %s", path, strerror(why));
}

bool small_file_read(struct buf *b, const char *path, struct error *err) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        enum err_code code = errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
        return error_set(err, code, "%s: %s", path, strerror(errno));
    }
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read_all(b, fd, path, err)
                                                         : error_set(err, ERR_IO, "%s is no regular file", path);
    (void)close(fd);
    return ok;
}

struct secret *small_file_token(const char *path, size_t max_bytes, struct error *err) {
    struct secret *s = NULL;
    struct buf b;
    buf_init(&b, max_bytes);
    if (small_file_read(&b, path, err)) {
        size_t n = b.n;
        while (n > 0 && strchr(" \t\r\n", b.p[n - 1])) {
            n--;
        }
        s = n > 0 ? secret_new(b.p, n) : NULL;
        if (!s) {
            (void)error_set(err, ERR_INVALID, "the token file %s is empty", path);
        }
    }
    buf_done_secret(&b);
    return s;
}
