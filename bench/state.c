#include "bench/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/base/error.h"
#include "platform/store/sqlite_store.h"

#define COPY_BYTES (1024 * 1024)
#define SPOILT_BYTES 8192
#define STATE_FILE_MAX (64 * 1024 * 1024) /* larger ones are not read */

struct bench_state {
    int replica;
    char dir[64], path[96];
    struct sqlite_store *store; /* NULL: no operator runs */
};

/* And what the store found unusable and set aside. */
static const char *const suffixes[] = {"", "-wal", "-shm", ".aside", ".aside-wal", ".aside-shm"};
#define SUFFIXES (sizeof suffixes / sizeof *suffixes)

static void place(struct bench_state *s) {
    snprintf(s->dir, sizeof s->dir, "/dev/shm/cni-iam-bench-%d", (int)getpid());
    snprintf(s->path, sizeof s->path, "%s/state-%d.db", s->dir, s->replica);
    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST)
        die("bench: can not make %s", s->dir);
}

static void remove_files(const struct bench_state *s) {
    for (size_t i = 0; i < SUFFIXES; i++) {
        char path[120];
        snprintf(path, sizeof path, "%s%s", s->path, suffixes[i]);
        unlink(path);
    }
}

struct bench_state *bench_state_new(int replica) {
    struct bench_state *s = calloc(1, sizeof *s);
    if (!s)
        die("out of memory");
    s->replica = replica;
    faulty_disk_set(replica, DISK_GOOD);
    place(s);
    remove_files(s);
    return s;
}

void bench_state_free(struct bench_state *s) {
    if (!s)
        return;
    bench_state_close(s);
    remove_files(s);
    rmdir(s->dir);
    free(s);
}

void bench_state_open(struct bench_state *s) {
    struct sqlite_store_options o = {.path = s->path};
    s->store = sqlite_store_open(&o);
}

void bench_state_close(struct bench_state *s) {
    if (s->store)
        sqlite_store_close(s->store);
    s->store = NULL;
}

void bench_state_read(const struct bench_state *s, void (*each)(void *arg, const char *bytes, size_t n), void *arg) {
    for (size_t i = 0; i < SUFFIXES; i++) {
        char path[120];
        struct stat st;
        snprintf(path, sizeof path, "%s%s", s->path, suffixes[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        bool whole = fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= STATE_FILE_MAX;
        char *bytes = whole ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
        if (bytes != MAP_FAILED) {
            each(arg, bytes, (size_t)st.st_size);
            munmap(bytes, (size_t)st.st_size);
        } else if (whole) {
            die("bench: can not read %s", path);
        }
        if (fd >= 0)
            close(fd);
    }
}

void bench_state_forget(struct bench_state *s) {
    remove_files(s);
}

void bench_state_spoil(struct bench_state *s) {
    static const char other[] = "other bytes, as a broken disk has them ";
    struct stat st;
    FILE *f = fopen(s->path, "r+b");
    if (f && fstat(fileno(f), &st) == 0 && fseek(f, st.st_size / 2, SEEK_SET) == 0)
        for (int i = 0; i < SPOILT_BYTES / (int)sizeof other; i++)
            (void)fwrite(other, 1, sizeof other, f);
    if (f)
        fclose(f);
}

void bench_state_disk(struct bench_state *s, enum disk_state disk) {
    faulty_disk_set(s->replica, disk);
    if (s->store)
        sqlite_store_retry(s->store);
}

const char *bench_state_directory(const struct bench_state *s) {
    return s->dir;
}

/* Within the kernel: with each branch of a sweep a megabyte or two. */
static void copy_file(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return;
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = out < 0 ? -1 : 1;
    while (n > 0)
        n = sendfile(out, in, NULL, COPY_BYTES);
    if (n < 0 || close(out) != 0)
        die("bench: can not write %s", to);
    close(in);
}

void bench_state_take_copy(struct bench_state *s) {
    struct bench_state from = *s;
    place(s);
    remove_files(s);
    for (size_t i = 0; i < SUFFIXES; i++) {
        char source[120], target[120];
        snprintf(source, sizeof source, "%s%s", from.path, suffixes[i]);
        snprintf(target, sizeof target, "%s%s", s->path, suffixes[i]);
        copy_file(source, target);
    }
    if (s->store)
        bench_state_open(s);
}

/* --- the port: whatever store is there now --- */

static struct store now(void *ctx) {
    const struct bench_state *s = ctx;
    return sqlite_store_port(s->store);
}

static void snapshot_begin(void *ctx, const char *cluster, const char *resource, const char *rv) {
    struct store s = now(ctx);
    s.snapshot_begin(s.ctx, cluster, resource, rv);
}

static void snapshot_put(void *ctx, const char *key, const char *rv, const char *text) {
    struct store s = now(ctx);
    s.snapshot_put(s.ctx, key, rv, text);
}

static void snapshot_commit(void *ctx) {
    struct store s = now(ctx);
    s.snapshot_commit(s.ctx);
}

static bool snapshot_load(void *ctx, const char *cluster, const char *resource, char rv_out[64],
                          void (*each)(void *arg, const char *key, const char *json_text), void *arg) {
    struct store s = now(ctx);
    return s.snapshot_load(s.ctx, cluster, resource, rv_out, each, arg);
}

static void observation_put(void *ctx, const char *key, int64_t wall_ms, const char *digest, const char *text) {
    struct store s = now(ctx);
    s.observation_put(s.ctx, key, wall_ms, digest, text);
}

static void observation_each(void *ctx,
                             void (*each)(void *arg, const char *key, int64_t wall_ms, const char *json_text),
                             void *arg) {
    struct store s = now(ctx);
    s.observation_each(s.ctx, each, arg);
}

static int64_t intent_open(void *ctx, const struct store_intent *intent) {
    struct store s = now(ctx);
    return s.intent_open(s.ctx, intent);
}

static void intent_close(void *ctx, int64_t id, const char *outcome) {
    struct store s = now(ctx);
    s.intent_close(s.ctx, id, outcome);
}

static void intent_each_open(void *ctx, void (*each)(void *arg, int64_t id, const struct store_intent *intent),
                             void *arg) {
    struct store s = now(ctx);
    s.intent_each_open(s.ctx, each, arg);
}

static void audit(void *ctx, const struct store_audit *entry) {
    struct store s = now(ctx);
    s.audit(s.ctx, entry);
}

static int64_t errors(void *ctx) {
    struct store s = now(ctx);
    return s.errors(s.ctx);
}

struct store bench_state_port(struct bench_state *s) {
    return (struct store){.ctx = s,
                          .snapshot_begin = snapshot_begin,
                          .snapshot_put = snapshot_put,
                          .snapshot_commit = snapshot_commit,
                          .snapshot_load = snapshot_load,
                          .observation_put = observation_put,
                          .observation_each = observation_each,
                          .intent_open = intent_open,
                          .intent_close = intent_close,
                          .intent_each_open = intent_each_open,
                          .audit = audit,
                          .errors = errors};
}
