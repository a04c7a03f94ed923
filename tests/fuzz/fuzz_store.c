/* fuzz_store.c - any bytes as the state file: the store opens, does everything, and at its end works or is off.
 *
 * First byte: 0 the rest is the file, 1 the rest is the file's log beside a good file, else the rest are edits
 * (two bytes of place, one of value) to a good file. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/store/sqlite_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static char wal_path[72];
static unsigned char good[256 * 1024];
static size_t good_n;

static void nothing_object(void *arg, const char *key, const char *text) {
    (void)arg;
    assert(key != NULL && text != NULL);
}

static void nothing_observation(void *arg, const char *key, int64_t wall_ms, const char *text) {
    (void)wall_ms;
    nothing_object(arg, key, text);
}

static void nothing_intent(void *arg, int64_t id, const struct store_intent *intent) {
    (void)id;
    nothing_object(arg, intent->digest, intent->binding_uid);
}

static void use(struct sqlite_store *s) {
    struct store p = sqlite_store_port(s);
    const struct store_intent intent = {"d", "iam:CreateRole", "uid", 1, 2};
    const struct store_audit entry = {1, "uid", "iam:CreateRole", "d", "ok", "r", 1, "{}"};
    char rv[64];

    (void)p.snapshot_load(p.ctx, "cluster", "pods", rv, nothing_object, NULL);
    p.observation_each(p.ctx, nothing_observation, NULL);
    p.intent_each_open(p.ctx, nothing_intent, NULL);
    p.snapshot_begin(p.ctx, "cluster", "pods", "10");
    p.snapshot_put(p.ctx, "ns/a", "9", "{}");
    p.snapshot_commit(p.ctx);
    p.observation_put(p.ctx, "key", 1, "digest", "{}");
    p.intent_close(p.ctx, p.intent_open(p.ctx, &intent), "ok");
    (void)p.intent_open(p.ctx, &intent);
    p.audit(p.ctx, &entry);
    if (sqlite_store_is_open(s) && sqlite_store_errors(s) == 0) {
        assert(p.snapshot_load(p.ctx, "cluster", "pods", rv, nothing_object, NULL));
        assert(strcmp(rv, "10") == 0);
    }
}

static void run_once(void) {
    const struct sqlite_store_options o = {.path = path, .max_pages = 256};
    struct sqlite_store *s = sqlite_store_open(&o);
    use(s);
    sqlite_store_retry(s);
    use(s);
    sqlite_store_close(s);
}

static void spill(const char *name, const unsigned char *bytes, size_t n) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert(fd >= 0);
    assert(write(fd, bytes, n) == (ssize_t)n);
    assert(close(fd) == 0);
}

static void prepare(void) {
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(path, sizeof path, "%s/fuzz_store.%d", dir, (int)getpid());
    (void)snprintf(wal_path, sizeof wal_path, "%s-wal", path);
    run_once();
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, good, sizeof good);
    assert(n > 0);
    good_n = (size_t)n;
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (good_n == 0) {
        prepare();
    }
    if (size == 0) {
        return 0;
    }
    (void)unlink(wal_path);
    if (data[0] == 0) {
        spill(path, data + 1, size - 1);
    } else if (data[0] == 1) {
        spill(path, good, good_n);
        spill(wal_path, data + 1, size - 1);
    } else {
        unsigned char *edited = malloc(good_n);
        assert(edited != NULL);
        memcpy(edited, good, good_n);
        for (size_t i = 1; i + 2 < size; i += 3) {
            edited[(size_t)(data[i] << 8 | data[i + 1]) % good_n] = data[i + 2];
        }
        spill(path, edited, good_n);
        free(edited);
    }
    run_once();
    (void)unlink(path);
    return 0;
}
