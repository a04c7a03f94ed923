#include "platform/store/sqlite_store.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/random.h"
#include "platform/base/str.h"
#include "platform/store/store_file.h"

#define TRIM_OBSERVATIONS                                                                                              \
    "DELETE FROM observation WHERE key IN (SELECT key FROM observation ORDER BY wall_ms DESC LIMIT ?1,-1)"
#define TRIM_INTENTS                                                                                                   \
    "DELETE FROM intent WHERE id IN (SELECT id FROM intent ORDER BY outcome IS NULL DESC, wall_ms DESC LIMIT ?1,-1)"
#define OPEN_INTENTS                                                                                                   \
    "SELECT id,digest,description,binding_uid,epoch,wall_ms FROM intent WHERE outcome IS NULL ORDER BY wall_ms,id"

/* X(name, sql) */
#define STATEMENTS(X)                                                                                                  \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                                        \
    X(COMMIT, "COMMIT")                                                                                                \
    X(ROLLBACK, "ROLLBACK")                                                                                            \
    X(SNAPSHOT_FORGET_OTHERS, "DELETE FROM snapshot WHERE cluster<>?1")                                                \
    X(OBJECTS_FORGET_OTHERS, "DELETE FROM snapshot_object WHERE cluster<>?1")                                          \
    X(OBJECTS_FORGET, "DELETE FROM snapshot_object WHERE cluster=?1 AND resource=?2")                                  \
    X(SNAPSHOT_PUT, "INSERT OR REPLACE INTO snapshot VALUES(?1,?2,?3)")                                                \
    X(OBJECT_PUT, "INSERT OR REPLACE INTO snapshot_object VALUES(?1,?2,?3,?4,?5)")                                     \
    X(SNAPSHOT_GET, "SELECT resource_version FROM snapshot WHERE cluster=?1 AND resource=?2")                          \
    X(OBJECTS_GET, "SELECT key,json FROM snapshot_object WHERE cluster=?1 AND resource=?2 ORDER BY key")               \
    X(OBSERVATION_PUT, "INSERT OR REPLACE INTO observation VALUES(?1,?2,?3,?4)")                                       \
    X(OBSERVATION_TRIM, TRIM_OBSERVATIONS)                                                                             \
    X(OBSERVATION_GET, "SELECT key,wall_ms,json FROM observation ORDER BY key")                                        \
    X(INTENT_PUT, "INSERT INTO intent VALUES(?1,?2,?3,?4,?5,?6,NULL)")                                                 \
    X(INTENT_CLOSE, "UPDATE intent SET outcome=?2 WHERE id=?1 AND outcome IS NULL")                                    \
    X(INTENT_TRIM, TRIM_INTENTS)                                                                                       \
    X(INTENT_GET, OPEN_INTENTS)                                                                                        \
    X(AUDIT_PUT, "INSERT INTO audit VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8)")                                             \
    X(AUDIT_TRIM, "DELETE FROM audit WHERE id<=?1")

enum statement {
#define X(name, sql) SQL_##name,
    STATEMENTS(X)
#undef X
        SQL_COUNT
};

static const char *const statement_text[SQL_COUNT] = {
#define X(name, sql) sql,
    STATEMENTS(X)
#undef X
};

#define TRIM_EVERY 64 /* puts between two looks at a cap */

struct sqlite_store {
    char path[PATH_MAX];
    int max_pages;
    int64_t audit_max;
    sqlite3 *db; /* NULL: OFF */
    sqlite3_stmt *statements[SQL_COUNT];
    struct prng prng; /* for intents' ids */

    /* A snapshot under way; its transaction is open while `cluster` is not NULL. */
    char *cluster, *resource;

    int64_t puts; /* of observations, for trimming now and then */
    int64_t errors, aside;
    struct error problem;
};

/* Opening and closing. */

static void note_problem(struct sqlite_store *s, const struct error *err) {
    s->errors++;
    s->problem = *err;
}

static enum store_found try_open(struct sqlite_store *s) {
    struct error err = {0};

    enum store_found found = store_file_open(s->path, s->max_pages, &s->db, &err);
    if (found != STORE_GOOD) {
        note_problem(s, &err);
    }
    return found;
}

/* Sets the unusable file aside and starts with a new one. */
static void replace_file(struct sqlite_store *s) {
    struct error err = {0};

    if (!store_file_set_aside(s->path, &err)) {
        note_problem(s, &err);
        return;
    }
    s->aside++;
    (void)try_open(s);
}

static void open_file(struct sqlite_store *s) {
    if (s->path[0] != '\0' && try_open(s) == STORE_UNUSABLE) {
        replace_file(s);
    }
}

struct sqlite_store *sqlite_store_open(const struct sqlite_store_options *o) {
    struct sqlite_store *s = calloc(1, sizeof *s);
    uint64_t seed = 0;

    if (s == NULL) {
        die("out of memory: a store");
    }
    s->max_pages = o->max_pages > 0 ? o->max_pages : STORE_PAGES_MAX;
    s->audit_max = o->audit_max > 0 ? o->audit_max : STORE_AUDIT_MAX;
    sqlite3_randomness((int)sizeof seed, &seed);
    prng_seed(&s->prng, seed);
    if (!str_copy(s->path, sizeof s->path, o->path)) {
        struct error err;
        (void)error_set(&err, ERR_IO, "the path of the state file is too long");
        note_problem(s, &err);
        s->path[0] = '\0';
    }
    open_file(s);
    return s;
}

static void forget_snapshot(struct sqlite_store *s) {
    free(s->cluster);
    free(s->resource);
    s->cluster = NULL;
    s->resource = NULL;
}

static void close_file(struct sqlite_store *s) {
    for (int i = 0; i < SQL_COUNT; i++) {
        (void)sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
    (void)sqlite3_close_v2(s->db);
    s->db = NULL;
    forget_snapshot(s);
}

void sqlite_store_close(struct sqlite_store *s) {
    if (s != NULL) {
        close_file(s);
        free(s);
    }
}

void sqlite_store_retry(struct sqlite_store *s) {
    if (s->db == NULL) {
        open_file(s);
    }
}

bool sqlite_store_is_open(const struct sqlite_store *s) {
    return s->db != NULL;
}

int64_t sqlite_store_errors(const struct sqlite_store *s) {
    return s->errors;
}

int64_t sqlite_store_set_aside(const struct sqlite_store *s) {
    return s->aside;
}

const struct error *sqlite_store_problem(const struct sqlite_store *s) {
    return s->problem.code != ERR_NONE ? &s->problem : NULL;
}

/* Running statements. A failure is counted here, and what it means for the file is done, once no statement runs. */

/* No room, or something in the way of this one call only: the file stays open. */
static bool concerns_only_this_call(int rc) {
    switch (rc & 0xff) {
    case SQLITE_ERROR:
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM:
    case SQLITE_CONSTRAINT:
        return true;
    default:
        return false;
    }
}

static bool failed(struct sqlite_store *s, int rc) {
    struct error err;

    (void)error_set(&err, ERR_IO, "%s: %s", s->path, sqlite3_errmsg(s->db));
    note_problem(s, &err);
    if (concerns_only_this_call(rc)) {
        return false;
    }
    close_file(s); /* OFF, until a retry; */
    if (store_file_judge(rc) == STORE_UNUSABLE) {
        replace_file(s); /* or at once with a new file. */
    }
    return false;
}

static sqlite3_stmt *prepare(struct sqlite_store *s, enum statement which) {
    sqlite3_stmt **stmt = &s->statements[which];

    if (s->db == NULL) {
        return NULL;
    }
    if (*stmt == NULL) {
        int rc = sqlite3_prepare_v3(s->db, statement_text[which], -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
        if (rc != SQLITE_OK) {
            (void)failed(s, rc);
            return NULL;
        }
    }
    return *stmt;
}

/* Makes a statement that came to `rc` ready for the next use; true if that is a good end. */
static bool end(struct sqlite_store *s, sqlite3_stmt *stmt, int rc) {
    (void)sqlite3_reset(stmt);
    (void)sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE || failed(s, rc);
}

/* Runs a statement whose rows, if any, nobody wants. */
static bool finish(struct sqlite_store *s, sqlite3_stmt *stmt) {
    int rc = SQLITE_ROW;

    if (stmt == NULL) {
        return false;
    }
    while (rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);
    }
    return end(s, stmt, rc);
}

/* Runs a statement, `row` for each row. */
static bool each_row(struct sqlite_store *s, sqlite3_stmt *stmt, void (*row)(void *arg, sqlite3_stmt *stmt),
                     void *arg) {
    int rc = SQLITE_ROW;

    if (stmt == NULL) {
        return false;
    }
    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW; rc = sqlite3_step(stmt)) {
        row(arg, stmt);
    }
    return end(s, stmt, rc);
}

static bool run(struct sqlite_store *s, enum statement which) {
    return finish(s, prepare(s, which));
}

/* NULL is stored as "": the columns are NOT NULL, and an absent text must not cost the row. */
static void bind_text(sqlite3_stmt *stmt, int at, const char *text) {
    if (stmt != NULL) {
        (void)sqlite3_bind_text(stmt, at, text != NULL ? text : "", -1, SQLITE_STATIC);
    }
}

static void bind_int(sqlite3_stmt *stmt, int at, int64_t value) {
    if (stmt != NULL) {
        (void)sqlite3_bind_int64(stmt, at, value);
    }
}

static const char *column(sqlite3_stmt *stmt, int at) {
    const char *text = (const char *)sqlite3_column_text(stmt, at);
    return text != NULL ? text : "";
}

static bool fits(const char *text) {
    return text == NULL || strnlen(text, STORE_TEXT_MAX + 1) <= STORE_TEXT_MAX;
}

/* Ends a snapshot that was begun and never committed: nothing of it stays. */
static void abandon_snapshot(struct sqlite_store *s) {
    if (s->cluster != NULL) {
        forget_snapshot(s);
        if (s->db != NULL && sqlite3_get_autocommit(s->db) == 0) { /* some failures roll back by themselves */
            (void)run(s, SQL_ROLLBACK);
        }
    }
}

/* Snapshots. */

static bool forget_objects(struct sqlite_store *s, const char *cluster, const char *resource) {
    static const enum statement others[] = {SQL_SNAPSHOT_FORGET_OTHERS, SQL_OBJECTS_FORGET_OTHERS};

    for (size_t i = 0; i < 2; i++) {
        sqlite3_stmt *stmt = prepare(s, others[i]);
        bind_text(stmt, 1, cluster);
        if (!finish(s, stmt)) {
            return false;
        }
    }
    sqlite3_stmt *stmt = prepare(s, SQL_OBJECTS_FORGET);
    bind_text(stmt, 1, cluster);
    bind_text(stmt, 2, resource);
    return finish(s, stmt);
}

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        die("out of memory: a store");
    }
    return copy;
}

static void snapshot_begin(void *ctx, const char *cluster, const char *resource, const char *resource_version) {
    struct sqlite_store *s = ctx;

    abandon_snapshot(s);
    if (!run(s, SQL_BEGIN)) {
        return;
    }
    s->cluster = copy_of(cluster);
    s->resource = copy_of(resource);
    bool ok = forget_objects(s, cluster, resource);
    if (ok) {
        sqlite3_stmt *stmt = prepare(s, SQL_SNAPSHOT_PUT);
        bind_text(stmt, 1, cluster);
        bind_text(stmt, 2, resource);
        bind_text(stmt, 3, resource_version);
        ok = finish(s, stmt);
    }
    if (!ok) {
        abandon_snapshot(s);
    }
}

static void snapshot_put(void *ctx, const char *key, const char *resource_version, const char *json_text) {
    struct sqlite_store *s = ctx;

    if (s->cluster == NULL || !fits(json_text)) {
        return;
    }
    sqlite3_stmt *stmt = prepare(s, SQL_OBJECT_PUT);
    bind_text(stmt, 1, s->cluster);
    bind_text(stmt, 2, s->resource);
    bind_text(stmt, 3, key);
    bind_text(stmt, 4, resource_version);
    bind_text(stmt, 5, json_text);
    if (!finish(s, stmt)) {
        abandon_snapshot(s);
    }
}

static void snapshot_commit(void *ctx) {
    struct sqlite_store *s = ctx;

    if (s->cluster != NULL && run(s, SQL_COMMIT)) {
        forget_snapshot(s);
    } else {
        abandon_snapshot(s);
    }
}

struct object_reader {
    void (*each)(void *arg, const char *key, const char *json_text);
    void *arg;
};

static void read_object(void *arg, sqlite3_stmt *stmt) {
    const struct object_reader *r = arg;
    r->each(r->arg, column(stmt, 0), column(stmt, 1));
}

static void read_version(void *arg, sqlite3_stmt *stmt) {
    char *rv = arg;
    if (!str_copy(rv, 64, column(stmt, 0))) {
        rv[0] = '\0';
    }
}

static bool snapshot_load(void *ctx, const char *cluster, const char *resource, char rv_out[64],
                          void (*each)(void *arg, const char *key, const char *json_text), void *arg) {
    struct sqlite_store *s = ctx;
    struct object_reader reader = {each, arg};

    abandon_snapshot(s);
    rv_out[0] = '\0';
    sqlite3_stmt *stmt = prepare(s, SQL_SNAPSHOT_GET);
    bind_text(stmt, 1, cluster);
    bind_text(stmt, 2, resource);
    if (!each_row(s, stmt, read_version, rv_out) || rv_out[0] == '\0') {
        return false;
    }
    stmt = prepare(s, SQL_OBJECTS_GET);
    bind_text(stmt, 1, cluster);
    bind_text(stmt, 2, resource);
    return each_row(s, stmt, read_object, &reader);
}

/* Observations. */

static void trim(struct sqlite_store *s, enum statement which, int64_t keep) {
    sqlite3_stmt *stmt = prepare(s, which);
    bind_int(stmt, 1, keep);
    (void)finish(s, stmt);
}

static void observation_put(void *ctx, const char *key, int64_t wall_ms, const char *digest, const char *json_text) {
    struct sqlite_store *s = ctx;

    abandon_snapshot(s);
    if (!fits(key) || !fits(json_text)) {
        return;
    }
    sqlite3_stmt *stmt = prepare(s, SQL_OBSERVATION_PUT);
    bind_text(stmt, 1, key);
    bind_int(stmt, 2, wall_ms);
    bind_text(stmt, 3, digest);
    bind_text(stmt, 4, json_text);
    if (finish(s, stmt) && s->puts++ % TRIM_EVERY == 0) {
        trim(s, SQL_OBSERVATION_TRIM, STORE_OBSERVATIONS_MAX);
    }
}

struct observation_reader {
    void (*each)(void *arg, const char *key, int64_t wall_ms, const char *json_text);
    void *arg;
};

static void read_observation(void *arg, sqlite3_stmt *stmt) {
    const struct observation_reader *r = arg;
    r->each(r->arg, column(stmt, 0), sqlite3_column_int64(stmt, 1), column(stmt, 2));
}

static void observation_each(void *ctx,
                             void (*each)(void *arg, const char *key, int64_t wall_ms, const char *json_text),
                             void *arg) {
    struct sqlite_store *s = ctx;
    struct observation_reader reader = {each, arg};

    abandon_snapshot(s);
    (void)each_row(s, prepare(s, SQL_OBSERVATION_GET), read_observation, &reader);
}

/* Intents: what is about to be done in AWS must be known after any crash, so the row is on disk first. */

static bool put_intent(struct sqlite_store *s, int64_t id, const struct store_intent *intent) {
    sqlite3_stmt *stmt = prepare(s, SQL_INTENT_PUT);
    bind_int(stmt, 1, id);
    bind_text(stmt, 2, intent->digest);
    bind_text(stmt, 3, intent->description);
    bind_text(stmt, 4, intent->binding_uid);
    bind_int(stmt, 5, intent->epoch);
    bind_int(stmt, 6, intent->wall_ms);
    return finish(s, stmt);
}

/* A pragma takes effect when it is compiled: it cannot be kept as a statement. */
static bool set_synchronous(struct sqlite_store *s, const char *sql) {
    if (s->db == NULL) {
        return false;
    }
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK || failed(s, rc);
}

static int64_t intent_open(void *ctx, const struct store_intent *intent) {
    struct sqlite_store *s = ctx;

    abandon_snapshot(s);
    int64_t id = (int64_t)(prng_next(&s->prng) >> 1) | 1;
    bool ok = fits(intent->description) && set_synchronous(s, "PRAGMA synchronous=FULL") && put_intent(s, id, intent);
    (void)set_synchronous(s, "PRAGMA synchronous=NORMAL");
    return ok ? id : 0;
}

static void intent_close(void *ctx, int64_t id, const char *outcome) {
    struct sqlite_store *s = ctx;

    if (id == 0) {
        return;
    }
    abandon_snapshot(s);
    sqlite3_stmt *stmt = prepare(s, SQL_INTENT_CLOSE);
    bind_int(stmt, 1, id);
    bind_text(stmt, 2, outcome);
    if (finish(s, stmt)) {
        trim(s, SQL_INTENT_TRIM, STORE_INTENTS_MAX);
    }
}

struct intent_reader {
    void (*each)(void *arg, int64_t id, const struct store_intent *intent);
    void *arg;
};

static void read_intent(void *arg, sqlite3_stmt *stmt) {
    const struct intent_reader *r = arg;
    const struct store_intent intent = {.digest = column(stmt, 1),
                                        .description = column(stmt, 2),
                                        .binding_uid = column(stmt, 3),
                                        .epoch = sqlite3_column_int64(stmt, 4),
                                        .wall_ms = sqlite3_column_int64(stmt, 5)};
    r->each(r->arg, sqlite3_column_int64(stmt, 0), &intent);
}

static void intent_each_open(void *ctx, void (*each)(void *arg, int64_t id, const struct store_intent *intent),
                             void *arg) {
    struct sqlite_store *s = ctx;
    struct intent_reader reader = {each, arg};

    abandon_snapshot(s);
    (void)each_row(s, prepare(s, SQL_INTENT_GET), read_intent, &reader);
}

/* History. */

static void audit(void *ctx, const struct store_audit *e) {
    struct sqlite_store *s = ctx;

    abandon_snapshot(s);
    if (!fits(e->effect) || !fits(e->detail)) {
        return;
    }
    sqlite3_stmt *stmt = prepare(s, SQL_AUDIT_PUT);
    bind_int(stmt, 1, e->wall_ms);
    bind_text(stmt, 2, e->binding_uid);
    bind_text(stmt, 3, e->effect);
    bind_text(stmt, 4, e->digest);
    bind_text(stmt, 5, e->outcome);
    bind_text(stmt, 6, e->request_id);
    bind_int(stmt, 7, e->epoch);
    if (stmt != NULL && e->detail != NULL) {
        bind_text(stmt, 8, e->detail);
    }
    if (finish(s, stmt)) {
        int64_t id = sqlite3_last_insert_rowid(s->db);
        if (id > s->audit_max && id % TRIM_EVERY == 0) {
            trim(s, SQL_AUDIT_TRIM, id - s->audit_max);
        }
    }
}

static int64_t errors(void *ctx) {
    return sqlite_store_errors(ctx);
}

struct store sqlite_store_port(struct sqlite_store *s) {
    return (struct store){
        .ctx = s,
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
        .errors = errors,
    };
}
