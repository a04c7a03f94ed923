/* test_store.c - the sqlite store: what it keeps, and that nothing that happens to its file stops or misleads anybody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "platform/base/arena.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"
#include "platform/store/sqlite_store.h"

/* sqlite finds these instead of the C library's: what it asks the disk to make durable is counted. */
static int syncs;

int fdatasync(int fd) {
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

/* A directory of its own for each test, and the store's file in it. */
struct place {
    char dir[64];
    char path[96];
};

static int make_place(void **state) {
    struct place *p = calloc(1, sizeof *p);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/test_store.XXXXXX");
    if (mkdtemp(p->dir) == NULL) {
        return -1;
    }
    (void)snprintf(p->path, sizeof p->path, "%s/state.db", p->dir);
    *state = p;
    return 0;
}

static int drop_place(void **state) {
    struct place *p = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    int rc = system(command);
    free(p);
    return rc;
}

static struct sqlite_store *open_store(const struct place *p) {
    const struct sqlite_store_options o = {.path = p->path};
    return sqlite_store_open(&o);
}

/* Collects what reads call back with. */
static char seen[65536];
static void see(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void see(const char *fmt, ...) {
    va_list ap;
    size_t n = strlen(seen);
    va_start(ap, fmt);
    (void)vsnprintf(seen + n, sizeof seen - n, fmt, ap);
    va_end(ap);
}

static void see_object(void *arg, const char *key, const char *text) {
    (void)arg;
    see("%s=%s;", key, text);
}

static void see_observation(void *arg, const char *key, int64_t wall_ms, const char *text) {
    (void)arg;
    see("%s@%lld=%s;", key, (long long)wall_ms, text);
}

static int64_t seen_intent;
static void see_intent(void *arg, int64_t id, const struct store_intent *i) {
    (void)arg;
    seen_intent = id;
    see("%s/%s/%s/%lld/%lld;", i->digest, i->description, i->binding_uid, (long long)i->epoch, (long long)i->wall_ms);
}

static const char *load(struct sqlite_store *s, const char *resource) {
    struct store p = sqlite_store_port(s);
    char rv[64] = "";
    seen[0] = '\0';
    if (!p.snapshot_load(p.ctx, "cluster", resource, rv, see_object, NULL)) {
        return "nothing";
    }
    see("at %s", rv);
    return seen;
}

static const char *observations(struct sqlite_store *s) {
    struct store p = sqlite_store_port(s);
    seen[0] = '\0';
    p.observation_each(p.ctx, see_observation, NULL);
    return seen;
}

static const char *intents(struct sqlite_store *s) {
    struct store p = sqlite_store_port(s);
    seen[0] = '\0';
    p.intent_each_open(p.ctx, see_intent, NULL);
    return seen;
}

static void save(struct sqlite_store *s, const char *cluster, const char *resource, const char *rv, const char *value) {
    struct store p = sqlite_store_port(s);
    p.snapshot_begin(p.ctx, cluster, resource, rv);
    p.snapshot_put(p.ctx, "ns/b", "2", value);
    p.snapshot_put(p.ctx, "ns/a", "1", value);
    p.snapshot_commit(p.ctx);
}

static const struct store_intent an_intent = {"d1", "iam:AttachRolePolicy", "uid1", 3, 1000};

static void audit_one(struct sqlite_store *s, int64_t at) {
    struct store p = sqlite_store_port(s);
    const struct store_audit e = {at, "uid1", "iam:AttachRolePolicy", "d1", "ok", NULL, 3, at % 2 == 0 ? "{}" : NULL};
    p.audit(p.ctx, &e);
}

/* Does everything once: nothing may crash, whatever state the store is in. */
static void exercise(struct sqlite_store *s) {
    struct store p = sqlite_store_port(s);
    save(s, "cluster", "pods", "10", "{}");
    p.observation_put(p.ctx, "k", 5, "d", "{}");
    int64_t id = p.intent_open(p.ctx, &an_intent);
    p.intent_close(p.ctx, id, "ok");
    audit_one(s, 1);
    (void)load(s, "pods");
    (void)observations(s);
    (void)intents(s);
    sqlite_store_retry(s);
    assert_true(p.errors(p.ctx) == sqlite_store_errors(s));
}

/* The store is there and works like a new one. */
static void assert_works(struct sqlite_store *s) {
    assert_true(sqlite_store_is_open(s));
    save(s, "cluster", "works", "77", "{}");
    assert_string_equal(load(s, "works"), "ns/a={};ns/b={};at 77");
}

static int64_t query(const struct place *p, const char *sql) {
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open_v2(p->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    int rc = sqlite3_step(stmt);
    int64_t v = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -rc;
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    return v;
}

static bool exists(const struct place *p, const char *suffix) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s%s", p->path, suffix);
    return access(name, F_OK) == 0;
}

static void test_snapshots__are_replaced_as_a_whole(void **state) {
    const struct place *p = *state;
    struct sqlite_store *s = open_store(p);
    assert_string_equal(load(s, "pods"), "nothing");
    save(s, "cluster", "pods", "10", "{\"x\":1}");
    save(s, "cluster", "nodes", "11", "{}");
    assert_string_equal(load(s, "pods"), "ns/a={\"x\":1};ns/b={\"x\":1};at 10");
    sqlite_store_close(s);
    s = open_store(p); /* another process */
    assert_string_equal(load(s, "nodes"), "ns/a={};ns/b={};at 11");
    struct store q = sqlite_store_port(s);
    q.snapshot_begin(q.ctx, "cluster", "pods", "20"); /* a smaller one: what is missing is gone */
    q.snapshot_put(q.ctx, "ns/c", "3", "{}");
    q.snapshot_commit(q.ctx);
    assert_string_equal(load(s, "pods"), "ns/c={};at 20");
    q.snapshot_begin(q.ctx, "cluster", "pods", "30"); /* begun and never ended */
    q.snapshot_put(q.ctx, "ns/d", "3", "{}");
    assert_string_equal(load(s, "pods"), "ns/c={};at 20");
    q.snapshot_put(q.ctx, "ns/e", "3", "{}"); /* nothing was begun */
    q.snapshot_commit(q.ctx);
    assert_string_equal(load(s, "pods"), "ns/c={};at 20");
    save(s, "another cluster", "pods", "1", "{}"); /* one cluster a file */
    assert_string_equal(load(s, "pods"), "nothing");
    assert_string_equal(load(s, "nodes"), "nothing");
    assert_int_equal(sqlite_store_errors(s), 0);
    assert_null(sqlite_store_problem(s));
    sqlite_store_close(s);
    assert_int_equal(query(p, "PRAGMA user_version"), 1);
    assert_int_equal(query(p, "SELECT count(*) FROM snapshot_object"), 2);
}

static void test_observations__latest_by_key_and_capped(void **state) {
    const struct place *p = *state;
    struct sqlite_store *s = open_store(p);
    struct store q = sqlite_store_port(s);
    char key[32];
    q.observation_put(q.ctx, "b", 1, "d", "1");
    q.observation_put(q.ctx, "a", 2, NULL, "2");
    q.observation_put(q.ctx, "b", 3, "d", "3");
    assert_string_equal(observations(s), "a@2=2;b@3=3;");
    for (int i = 0; i < STORE_OBSERVATIONS_MAX + 200; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        q.observation_put(q.ctx, key, 10 + i, "d", "{}");
    }
    sqlite_store_close(s);
    assert_in_range(query(p, "SELECT count(*) FROM observation"), STORE_OBSERVATIONS_MAX, STORE_OBSERVATIONS_MAX + 64);
    assert_int_equal(query(p, "SELECT count(*) FROM observation WHERE key IN ('a','b','k0')"), 0); /* the oldest went */
}

static void test_intents__are_open_until_closed(void **state) {
    const struct place *p = *state;
    struct sqlite_store *s = open_store(p);
    struct store q = sqlite_store_port(s);
    int64_t id = q.intent_open(q.ctx, &an_intent);
    assert_true(id > 0);
    int64_t second = q.intent_open(q.ctx, &(struct store_intent){"d2", "x", NULL, 4, 2000});
    assert_true(second > 0 && second != id);
    q.intent_close(q.ctx, second, "ok");
    q.intent_close(q.ctx, second, "twice"); /* the first outcome counts */
    q.intent_close(q.ctx, 0, "never recorded");
    q.intent_close(q.ctx, 12345, "unknown");
    sqlite_store_close(s);
    s = open_store(p);
    assert_string_equal(intents(s), "d1/iam:AttachRolePolicy/uid1/3/1000;");
    assert_true(seen_intent == id);
    q = sqlite_store_port(s);
    q.intent_close(q.ctx, id, "Lost");
    assert_string_equal(intents(s), "");
    for (int i = 0; i < STORE_INTENTS_MAX + 10; i++) {
        id = q.intent_open(q.ctx, &(struct store_intent){"d", "x", "u", 1, 3000 + i});
        q.intent_close(q.ctx, id, "ok");
    }
    sqlite_store_close(s);
    assert_int_equal(query(p, "SELECT count(*) FROM intent"), STORE_INTENTS_MAX);
    assert_int_equal(query(p, "SELECT count(*) FROM intent WHERE outcome='twice'"), 0);
}

/* The disk has an intent before the act; what merely helps is not waited for. */
static void test_intents__are_synced(void **state) {
    struct sqlite_store *s = open_store(*state);
    struct store q = sqlite_store_port(s);
    q.observation_put(q.ctx, "k", 1, "d", "{}");
    syncs = 0;
    q.observation_put(q.ctx, "k", 2, "d", "{}");
    audit_one(s, 1);
    save(s, "cluster", "pods", "1", "{}");
    assert_int_equal(syncs, 0);
    int64_t id = q.intent_open(q.ctx, &an_intent);
    assert_int_equal(syncs, 1);
    q.intent_close(q.ctx, id, "ok");
    assert_int_equal(syncs, 1);
    sqlite_store_close(s);
}

/* kill -9 directly after intent_open: the row is there. */
static void test_intents__survive_a_kill(void **state) {
    const struct place *p = *state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct store q = sqlite_store_port(open_store(p));
        (void)q.intent_open(q.ctx, &an_intent);
        (void)kill(getpid(), SIGKILL);
    }
    assert_true(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    struct sqlite_store *s = open_store(p);
    assert_string_equal(intents(s), "d1/iam:AttachRolePolicy/uid1/3/1000;");
    assert_int_equal(sqlite_store_errors(s), 0);
    sqlite_store_close(s);
}

static void test_audit__append_only_and_capped(void **state) {
    const struct place *p = *state;
    const struct sqlite_store_options o = {.path = p->path, .audit_max = 100};
    struct sqlite_store *s = sqlite_store_open(&o);
    for (int i = 0; i < 1000; i++) {
        audit_one(s, i);
    }
    assert_int_equal(sqlite_store_errors(s), 0);
    sqlite_store_close(s);
    assert_in_range(query(p, "SELECT count(*) FROM audit"), 100, 164);
    assert_int_equal(query(p, "SELECT max(wall_ms) FROM audit"), 999);
    assert_int_equal(query(p, "SELECT count(*) FROM audit WHERE detail='{}' AND wall_ms%2=1"), 0);
    assert_true(query(p, "UPDATE audit SET outcome='better'") < 0);
}

static void test_large_values__are_left_out(void **state) {
    struct sqlite_store *s = open_store(*state);
    struct store q = sqlite_store_port(s);
    char *big = malloc(STORE_TEXT_MAX + 2);
    memset(big, 'x', STORE_TEXT_MAX + 1);
    big[STORE_TEXT_MAX + 1] = '\0';
    q.snapshot_begin(q.ctx, "cluster", "pods", "1");
    q.snapshot_put(q.ctx, "big", "1", big);
    q.snapshot_put(q.ctx, "small", "1", "{}");
    q.snapshot_commit(q.ctx);
    assert_string_equal(load(s, "pods"), "small={};at 1");
    q.observation_put(q.ctx, "k", 1, "d", big);
    assert_string_equal(observations(s), "");
    assert_int_equal(q.intent_open(q.ctx, &(struct store_intent){"d", big, "u", 1, 1}), 0);
    q.audit(q.ctx, &(struct store_audit){1, "u", "e", "d", "o", "r", 1, big});
    assert_works(s);
    free(big);
    sqlite_store_close(s);
}

static void test_file__is_private(void **state) {
    const struct place *p = *state;
    struct stat st;
    char name[128];
    struct sqlite_store *s = open_store(p);
    exercise(s);
    static const char *const suffixes[] = {"", "-wal"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof name, "%s%s", p->path, suffixes[i]);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    sqlite_store_close(s);
    assert_int_equal(chmod(p->path, 0644), 0);
    s = open_store(p);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    sqlite_store_close(s);
}

static void test_missing_directories__are_made(void **state) {
    const struct place *p = *state;
    char path[128];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/a/b/state.db", p->dir);
    const struct sqlite_store_options o = {.path = path};
    struct sqlite_store *s = sqlite_store_open(&o);
    assert_works(s);
    sqlite_store_close(s);
    (void)snprintf(path, sizeof path, "%s/a", p->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_no_path__is_off(void **state) {
    static const char *const paths[] = {NULL, "", "/proc/cni-iam/state.db", "/dev/null/state.db"};
    char longpath[5000];
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const struct sqlite_store_options o = {.path = paths[i]};
        struct sqlite_store *s = sqlite_store_open(&o);
        assert_false(sqlite_store_is_open(s));
        exercise(s);
        struct store q = sqlite_store_port(s);
        assert_int_equal(q.intent_open(q.ctx, &an_intent), 0);
        assert_int_equal(sqlite_store_problem(s) != NULL, i >= 2);
        sqlite_store_close(s);
    }
    memset(longpath, 'x', sizeof longpath - 1);
    longpath[sizeof longpath - 1] = '\0';
    const struct sqlite_store_options o = {.path = longpath};
    struct sqlite_store *s = sqlite_store_open(&o);
    exercise(s);
    assert_non_null(sqlite_store_problem(s));
    sqlite_store_close(s);
    sqlite_store_close(NULL);
}

/* The file's bytes, with a hand on them. */
static char *slurp(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc(4 * 1024 * 1024);
    *n = fread(bytes, 1, 4 * 1024 * 1024, f);
    assert_int_equal(fclose(f), 0);
    return bytes;
}

static void spill(const char *path, const char *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Three hundred values of a size. */
static void fill(const struct place *p, size_t each) {
    struct sqlite_store *s = open_store(p);
    struct store q = sqlite_store_port(s);
    char key[32];
    char text[8192];
    memset(text, 't', sizeof text - 1);
    text[each] = '\0';
    q.snapshot_begin(q.ctx, "cluster", "bulk", "10");
    for (int i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "ns/%03d", i);
        q.snapshot_put(q.ctx, key, "1", text);
    }
    q.snapshot_commit(q.ctx);
    exercise(s);
    sqlite_store_close(s);
}

static void test_corrupt_header__is_set_aside(void **state) {
    const struct place *p = *state;
    static const char *const texts[] = {"this is no database, whatever its name says, and it is long enough to tell",
                                        "SQLite format 3", "x"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        spill(p->path, texts[i], strlen(texts[i]));
        struct sqlite_store *s = open_store(p);
        assert_works(s);
        /* Less than a header may be as good as empty. */
        assert_true(sqlite_store_set_aside(s) == 1 || i > 0);
        assert_true(exists(p, ".aside"));
        sqlite_store_close(s);
    }
    fill(p, 255);
    size_t n;
    char *bytes = slurp(p->path, &n);
    memset(bytes, 0xff, 100);
    spill(p->path, bytes, n);
    free(bytes);
    struct sqlite_store *s = open_store(p);
    assert_works(s);
    sqlite_store_close(s);
}

static void test_empty_file__is_a_new_one(void **state) {
    const struct place *p = *state;
    char wal[128];
    (void)snprintf(wal, sizeof wal, "%s-wal", p->path);
    spill(wal, "garbage without a database", 26);
    struct sqlite_store *s = open_store(p); /* no file, but a log: the log is not replayed */
    assert_works(s);
    sqlite_store_close(s);
    spill(p->path, "", 0);
    spill(wal, "garbage beside an empty database", 32);
    s = open_store(p);
    assert_works(s);
    assert_int_equal(sqlite_store_errors(s), 0);
    sqlite_store_close(s);
}

static void test_truncated__at_many_places(void **state) {
    const struct place *p = *state;
    size_t n;
    fill(p, 255);
    char *bytes = slurp(p->path, &n);
    assert_true(n > 20 * 4096);
    for (size_t cut = 1; cut < n; cut += 3 * 1024 + 7) {
        spill(p->path, bytes, cut);
        struct sqlite_store *s = open_store(p);
        exercise(s);
        assert_works(s);
        sqlite_store_close(s);
    }
    free(bytes);
}

/* Pages overwritten, one after another: found at the start or when touched; the store works afterwards. */
static void test_flipped_pages(void **state) {
    const struct place *p = *state;
    size_t n;
    fill(p, 255);
    char *bytes = slurp(p->path, &n);
    char *hurt = malloc(n);
    int aside = 0;
    for (size_t page = 0; page < n / 4096; page++) {
        for (unsigned kind = 0; kind < 3; kind++) {
            memcpy(hurt, bytes, n);
            size_t at = page * 4096 + (kind == 0 ? 0 : kind == 1 ? 5 : 2000) + (page == 0 ? 100 : 0);
            memset(hurt + at, kind == 2 ? 0x41 : 0xff, kind == 2 ? 64 : 12);
            spill(p->path, hurt, n);
            struct sqlite_store *s = open_store(p);
            exercise(s);
            assert_works(s);
            aside += (int)sqlite_store_set_aside(s);
            sqlite_store_close(s);
        }
    }
    assert_true(aside > 10);
    for (size_t bit = 0; bit < 100 * 8; bit++) { /* every bit of the header */
        memcpy(hurt, bytes, n);
        hurt[bit / 8] = (char)(hurt[bit / 8] ^ (1 << (bit % 8)));
        spill(p->path, hurt, n);
        struct sqlite_store *s = open_store(p);
        exercise(s);
        if (!sqlite_store_is_open(s)) { /* the bits of application_id: it says that it is somebody else's */
            assert_non_null(strstr(sqlite_store_problem(s)->message, "another program"));
        }
        sqlite_store_close(s);
    }
    free(hurt);
    free(bytes);
}

/* Corruption that comes while the file is open. */
static void test_corrupted_while_open(void **state) {
    const struct place *p = *state;
    fill(p, 8000); /* more than the page cache holds */
    struct sqlite_store *s = open_store(p);
    int fd = open(p->path, O_WRONLY);
    char junk[4096];
    memset(junk, 0xee, sizeof junk);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 4096; at < st.st_size; at += 4096) {
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    }
    assert_int_equal(close(fd), 0);
    (void)load(s, "bulk");
    exercise(s);
    assert_true(sqlite_store_set_aside(s) >= 1);
    assert_works(s);
    sqlite_store_close(s);
}

static void sql(const struct place *p, const char *text) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

static void test_newer_version__is_set_aside(void **state) {
    const struct place *p = *state;
    fill(p, 255);
    sql(p, "PRAGMA user_version=2");
    struct sqlite_store *s = open_store(p);
    assert_string_equal(load(s, "pods"), "nothing");
    assert_works(s);
    assert_int_equal(sqlite_store_set_aside(s), 1);
    sqlite_store_close(s);
    assert_true(exists(p, ".aside"));
    sql(p, "PRAGMA user_version=-5");
    s = open_store(p);
    assert_works(s);
    sqlite_store_close(s);
}

static void test_foreign_database__is_left_alone(void **state) {
    const struct place *p = *state;
    sql(p, "CREATE TABLE precious(x); INSERT INTO precious VALUES(42)");
    struct sqlite_store *s = open_store(p);
    assert_false(sqlite_store_is_open(s));
    exercise(s);
    sqlite_store_close(s);
    assert_int_equal(query(p, "SELECT x FROM precious"), 42);
    assert_false(exists(p, ".aside"));
}

static void test_tampered_schema__is_set_aside(void **state) {
    const struct place *p = *state;
    static const char *const deeds[] = {
        "CREATE TRIGGER evil AFTER INSERT ON intent BEGIN DELETE FROM intent; END",
        "CREATE TABLE more(x)",
        "DROP TABLE observation",
        "DROP TABLE observation; CREATE VIEW observation AS SELECT 1 AS key",
        "DROP TRIGGER audit_is_append_only",
        "ALTER TABLE audit ADD COLUMN x",
    };
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
        struct sqlite_store *s = open_store(p);
        sqlite_store_close(s);
        sql(p, deeds[i]);
        s = open_store(p);
        assert_works(s);
        assert_int_equal(sqlite_store_set_aside(s), 1);
        assert_string_equal(sqlite_store_problem(s)->message + strlen(p->path), ": its tables are not ours");
        sqlite_store_close(s);
    }
}

static void test_not_a_file__is_left_alone(void **state) {
    const struct place *p = *state;
    assert_int_equal(mkfifo(p->path, 0600), 0); /* would hold us up for ever */
    struct sqlite_store *s = open_store(p);
    assert_false(sqlite_store_is_open(s));
    exercise(s);
    sqlite_store_close(s);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(symlink("/etc/passwd", p->path), 0);
    s = open_store(p);
    assert_false(sqlite_store_is_open(s));
    exercise(s);
    sqlite_store_close(s);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(mkdir(p->path, 0700), 0);
    s = open_store(p);
    assert_false(sqlite_store_is_open(s));
    sqlite_store_close(s);
}

/* Another process has it: OFF at once, without waiting, and back when it is free. */
static void test_locked__until_it_is_free(void **state) {
    const struct place *p = *state;
    int ready[2];
    int stop[2];
    int status;
    char c = 0;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(stop), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)close(stop[1]);
        struct sqlite_store *s = open_store(p);
        save(s, "cluster", "pods", "5", "{}");
        (void)!write(ready[1], "r", 1);
        (void)!read(stop[0], &c, 1);
        sqlite_store_close(s);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    struct sqlite_store *s = open_store(p);
    assert_false(sqlite_store_is_open(s));
    assert_non_null(strstr(sqlite_store_problem(s)->message, "locked"));
    exercise(s);
    assert_false(sqlite_store_is_open(s));
    assert_int_equal(sqlite_store_set_aside(s), 0);
    assert_int_equal(close(stop[1]), 0);
    assert_true(waitpid(child, &status, 0) == child);
    sqlite_store_retry(s);
    assert_true(sqlite_store_is_open(s));
    assert_string_equal(load(s, "pods"), "ns/a={};ns/b={};at 5");
    sqlite_store_close(s);
}

static int unprivileged(const struct place *p, bool (*deed)(const struct place *p)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
            _exit(3);
        }
        _exit(deed(p) ? 0 : 1);
    }
    assert_true(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool goes_on_without(const struct place *p) {
    struct sqlite_store *s = open_store(p);
    bool off = !sqlite_store_is_open(s) && sqlite_store_problem(s) != NULL;
    exercise(s);
    sqlite_store_close(s);
    return off;
}

static void test_read_only(void **state) {
    const struct place *p = *state;
    fill(p, 255);
    assert_int_equal(chmod(p->path, 0444), 0);
    assert_int_equal(chmod(p->dir, 0555), 0);
    assert_int_equal(unprivileged(p, goes_on_without), 0); /* the file */
    assert_int_equal(chmod(p->path, 0666), 0);
    assert_int_equal(unprivileged(p, goes_on_without), 0); /* the directory: no log can be made */
    assert_false(exists(p, ".aside"));
    assert_int_equal(chmod(p->dir, 0700), 0);
    struct sqlite_store *s = open_store(p);
    assert_string_equal(load(s, "pods"), "ns/a={};ns/b={};at 10"); /* and nothing was lost */
    sqlite_store_close(s);
}

static void test_full__loses_writes_only(void **state) {
    const struct place *p = *state;
    const struct sqlite_store_options o = {.path = p->path, .max_pages = 40};
    struct sqlite_store *s = sqlite_store_open(&o);
    struct store q = sqlite_store_port(s);
    char key[32];
    char *text = malloc(20000);
    memset(text, 'x', 19999);
    text[19999] = '\0';
    save(s, "cluster", "pods", "10", "{}");
    q.snapshot_begin(q.ctx, "cluster", "nodes", "11");
    for (int i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof key, "n%d", i);
        q.snapshot_put(q.ctx, key, "1", text);
    }
    q.snapshot_commit(q.ctx);
    assert_true(sqlite_store_errors(s) > 0);
    assert_true(sqlite_store_is_open(s));
    assert_string_equal(load(s, "nodes"), "nothing"); /* all or nothing */
    assert_string_equal(load(s, "pods"), "ns/a={};ns/b={};at 10");
    for (int i = 0; i < 50; i++) { /* full to the brim */
        (void)snprintf(key, sizeof key, "o%d", i);
        q.observation_put(q.ctx, key, i, "d", text);
    }
    int64_t id = 1;
    for (int i = 0; i < 5000 && id != 0; i++) {
        id = q.intent_open(q.ctx, &an_intent);
    }
    assert_int_equal(id, 0); /* not recorded, and it says so */
    exercise(s);
    assert_true(sqlite_store_is_open(s));
    assert_int_equal(sqlite_store_set_aside(s), 0);
    sqlite_store_close(s);
    s = open_store(p); /* room again */
    assert_works(s);
    free(text);
    sqlite_store_close(s);

    const struct sqlite_store_options tiny = {.path = p->path, .max_pages = 2};
    assert_int_equal(unlink(p->path), 0);
    s = sqlite_store_open(&tiny); /* not even the tables fit */
    assert_false(sqlite_store_is_open(s));
    exercise(s);
    sqlite_store_close(s);
}

static void test_deleted_while_open(void **state) { /* S11: at any moment */
    const struct place *p = *state;
    struct sqlite_store *s = open_store(p);
    save(s, "cluster", "pods", "10", "{}");
    assert_int_equal(unlink(p->path), 0);
    exercise(s);
    exercise(s);
    sqlite_store_close(s);
    s = open_store(p);
    assert_works(s);
    sqlite_store_close(s);
}

static void test_aside__one_set_is_kept(void **state) {
    const struct place *p = *state;
    size_t n;
    for (int i = 0; i < 3; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "no database number %d, but long enough for a header or so", i);
        spill(p->path, text, strlen(text));
        sqlite_store_close(open_store(p));
    }
    char aside[128];
    (void)snprintf(aside, sizeof aside, "%s.aside", p->path);
    char *bytes = slurp(aside, &n);
    assert_true(memcmp(bytes, "no database number 2", 20) == 0);
    free(bytes);
    /* It cannot be moved: OFF, and nothing is destroyed. */
    assert_int_equal(unlink(aside), 0);
    assert_int_equal(mkdir(aside, 0700), 0);
    char inside[160];
    (void)snprintf(inside, sizeof inside, "%s/x", aside);
    spill(inside, "x", 1);
    spill(p->path, "no database at all, and no place to put it aside either", 55);
    struct sqlite_store *s = open_store(p);
    assert_false(sqlite_store_is_open(s));
    exercise(s);
    sqlite_store_close(s);
    bytes = slurp(p->path, &n);
    assert_int_equal(n, 55);
    free(bytes);
}

#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_snapshots__are_replaced_as_a_whole),
        IN_PLACE(test_observations__latest_by_key_and_capped),
        IN_PLACE(test_intents__are_open_until_closed),
        IN_PLACE(test_intents__are_synced),
        IN_PLACE(test_intents__survive_a_kill),
        IN_PLACE(test_audit__append_only_and_capped),
        IN_PLACE(test_large_values__are_left_out),
        IN_PLACE(test_file__is_private),
        IN_PLACE(test_missing_directories__are_made),
        cmocka_unit_test(test_no_path__is_off),
        IN_PLACE(test_corrupt_header__is_set_aside),
        IN_PLACE(test_empty_file__is_a_new_one),
        IN_PLACE(test_truncated__at_many_places),
        IN_PLACE(test_flipped_pages),
        IN_PLACE(test_corrupted_while_open),
        IN_PLACE(test_newer_version__is_set_aside),
        IN_PLACE(test_foreign_database__is_left_alone),
        IN_PLACE(test_tampered_schema__is_set_aside),
        IN_PLACE(test_not_a_file__is_left_alone),
        IN_PLACE(test_locked__until_it_is_free),
        IN_PLACE(test_read_only),
        IN_PLACE(test_full__loses_writes_only),
        IN_PLACE(test_deleted_while_open),
        IN_PLACE(test_aside__one_set_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
