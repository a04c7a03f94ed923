#include "platform/store/store_schema.h"

#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/store/store_file.h"

/* migrations[n] leads from version n to n + 1. Never change one that was released: add another. */
static const char *const migrations[STORE_SCHEMA_VERSION] = {
    /* The RV of a resource's snapshot, and its objects. */
    "CREATE TABLE snapshot(cluster TEXT NOT NULL, resource TEXT NOT NULL, resource_version TEXT NOT NULL,"
    " PRIMARY KEY(cluster, resource)) WITHOUT ROWID;"
    "CREATE TABLE snapshot_object(cluster TEXT NOT NULL, resource TEXT NOT NULL, key TEXT NOT NULL,"
    " resource_version TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY(cluster, resource, key)) WITHOUT ROWID;"
    /* What AWS last answered, by the key of the read. */
    "CREATE TABLE observation(key TEXT PRIMARY KEY NOT NULL, wall_ms INTEGER NOT NULL, digest TEXT NOT NULL,"
    " json TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX observation_age ON observation(wall_ms);"
    /* An external write is announced here before it is made; ids are random, so that one outlives its file harmlessly.
     */
    "CREATE TABLE intent(id INTEGER PRIMARY KEY, digest TEXT NOT NULL, description TEXT NOT NULL,"
    " binding_uid TEXT NOT NULL, epoch INTEGER NOT NULL, wall_ms INTEGER NOT NULL, outcome TEXT);"
    "CREATE INDEX intent_open ON intent(wall_ms) WHERE outcome IS NULL;"
    /* The history is only ever appended to; its old end falls off at the cap. */
    "CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, wall_ms INTEGER NOT NULL, binding_uid TEXT NOT NULL,"
    " effect TEXT NOT NULL, digest TEXT NOT NULL, outcome TEXT NOT NULL, request_id TEXT NOT NULL,"
    " epoch INTEGER NOT NULL, detail TEXT);"
    "CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END;",
};

static int exec(sqlite3 *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int migrate_one(sqlite3 *db, int version) {
    char pragmas[96];

    (void)snprintf(pragmas, sizeof pragmas, "PRAGMA application_id=%d; PRAGMA user_version=%d;", STORE_APPLICATION_ID,
                   version + 1);
    int rc = exec(db, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK) {
        rc = exec(db, migrations[version]);
    }
    if (rc == SQLITE_OK) {
        rc = exec(db, pragmas);
    }
    if (rc == SQLITE_OK) {
        rc = exec(db, "COMMIT");
    }
    if (rc != SQLITE_OK) {
        (void)exec(db, "ROLLBACK");
    }
    return rc;
}

int store_schema_migrate(sqlite3 *db, int from_version) {
    int rc = SQLITE_OK;

    for (int v = from_version; v < STORE_SCHEMA_VERSION && rc == SQLITE_OK; v++) {
        rc = migrate_one(db, v);
    }
    return rc;
}

static int schema_statement(sqlite3 *db, sqlite3_stmt **stmt) {
    return sqlite3_prepare_v2(db,
                              "SELECT type, name, tbl_name, sql FROM sqlite_schema"
                              " WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name",
                              -1, stmt, NULL);
}

static bool same_row(sqlite3_stmt *a, sqlite3_stmt *b) {
    for (int i = 0; i < 4; i++) {
        if (!str_eq((const char *)sqlite3_column_text(a, i), (const char *)sqlite3_column_text(b, i))) {
            return false;
        }
    }
    return true;
}

/* Steps two schemas in parallel; SQLITE_OK when both were read to their end or to a difference. */
static int compare_schemas(sqlite3_stmt *a, sqlite3_stmt *b, bool *matches) {
    for (;;) {
        int ra = sqlite3_step(a);
        int rb = sqlite3_step(b);
        if (ra == SQLITE_DONE || rb == SQLITE_DONE) {
            *matches = ra == rb;
            return SQLITE_OK;
        }
        if (ra != SQLITE_ROW || rb != SQLITE_ROW) {
            return ra != SQLITE_ROW ? ra : rb;
        }
        if (!same_row(a, b)) {
            *matches = false;
            return SQLITE_OK;
        }
    }
}

int store_schema_matches(sqlite3 *db, bool *matches) {
    sqlite3 *model = NULL;
    sqlite3_stmt *ours = NULL;
    sqlite3_stmt *theirs = NULL;

    *matches = false;
    int rc = sqlite3_open_v2(":memory:", &model, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (rc == SQLITE_OK) {
        rc = store_schema_migrate(model, 0);
    }
    if (rc == SQLITE_OK) {
        rc = schema_statement(model, &ours);
    }
    if (rc == SQLITE_OK) {
        rc = schema_statement(db, &theirs);
    }
    if (rc == SQLITE_OK) {
        rc = compare_schemas(ours, theirs, matches);
    }
    (void)sqlite3_finalize(ours);
    (void)sqlite3_finalize(theirs);
    (void)sqlite3_close_v2(model);
    return rc;
}
