#include "platform/k8s/file_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_regular(const char *path, struct error *err) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        (void)error_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                        strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)error_set(err, ERR_IO, "%s is not a regular file", path);
        (void)close(fd);
        return -1;
    }
    return fd;
}

static ssize_t read_all(int fd, char *to, size_t size) {
    size_t have = 0;
    while (have < size) {
        ssize_t n = read(fd, to + have, size - have);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        have += (size_t)n;
    }
    return (ssize_t)have;
}

/* On the heap, NUL-terminated; the caller wipes *out_bytes of it and frees. One byte more is read, to notice what is too
 * large; memory behind the text is not touched. */
static char *slurp(const char *path, size_t max_bytes, size_t *out_bytes, struct error *err) {
    int fd = open_regular(path, err);
    if (fd < 0) {
        return NULL;
    }
    char *text = malloc(max_bytes + 2);
    if (text == NULL) {
        die("out of memory");
    }
    ssize_t n = read_all(fd, text, max_bytes + 1);
    int saved = errno;
    (void)close(fd);
    bool ok = true;
    text[n > 0 ? n : 0] = '\0';
    if (n < 0) {
        ok = error_set(err, ERR_IO, "%s: %s", path, strerror(saved));
    } else if ((size_t)n > max_bytes) {
        ok = error_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max_bytes);
    } else if (memchr(text, '\0', (size_t)n) != NULL) {
        ok = error_set(err, ERR_PARSE, "%s holds a NUL byte", path);
    }
    if (!ok) {
        explicit_bzero(text, n >= 0 ? (size_t)n : max_bytes + 2); /* what an error left behind is not known */
        free(text);
        return NULL;
    }
    *out_bytes = (size_t)n;
    return text;
}

static struct secret *to_secret(char *text, size_t offset, size_t n, size_t have, const char *path, struct error *err) {
    struct secret *s = secret_new(text + offset, n);
    explicit_bzero(text, have);
    free(text);
    if (s == NULL) {
        (void)error_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, SECRET_MAX);
    }
    return s;
}

struct secret *file_secret(const char *path, size_t max_bytes, struct error *err) {
    size_t n = 0;
    char *text = slurp(path, max_bytes, &n, err);
    return text != NULL ? to_secret(text, 0, n, n, path, err) : NULL;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct secret *file_secret_trimmed(const char *path, size_t max_bytes, struct error *err) {
    size_t n = 0;
    size_t from = 0;
    char *text = slurp(path, max_bytes, &n, err);
    if (text == NULL) {
        return NULL;
    }
    size_t have = n;
    while (n > 0 && is_space(text[n - 1])) {
        n--;
    }
    while (from < n && is_space(text[from])) {
        from++;
    }
    if (from == n) {
        free(text);
        (void)error_set(err, ERR_PARSE, "%s is empty", path);
        return NULL;
    }
    return to_secret(text, from, n - from, have, path, err);
}

char *file_text(const char *path, size_t max_bytes, size_t *out_bytes, struct arena *a, struct error *err) {
    size_t n = 0;
    char *text = slurp(path, max_bytes, &n, err);
    if (text == NULL) {
        return NULL;
    }
    *out_bytes = n;
    char *copy = a != NULL ? arena_strndup(a, text, n) : strdup(text);
    if (copy == NULL) {
        die("out of memory");
    }
    explicit_bzero(text, n);
    free(text);
    return copy;
}
