#include "platform/store/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/base/str.h"
#include "platform/store/sqlite_store.h"
#include "platform/store/store_schema.h"

/* Makes the directories above path, private; what is there already stays as it is. */
static void make_parents(const char *path) {
    char part[PATH_MAX];

    if (!str_copy(part, sizeof part, path)) {
        return;
    }
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0700); /* if it fails, opening the file will say so */
        *slash = '/';
    }
}

static bool with_suffix(char out[PATH_MAX], const char *path, const char *suffix) {
    int n = snprintf(out, PATH_MAX, "%s%s", path, suffix);
    return n > 0 && n < PATH_MAX;
}

/* A write-ahead log without its database would be replayed into the new one. */
static void drop_orphans(const char *path) {
    static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
    char name[PATH_MAX];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (with_suffix(name, path, suffixes[i])) {
            (void)unlink(name);
        }
    }
}

/* The file exists, is a regular one, and is ours alone: sqlite gives -wal the same mode. */
static enum store_found prepare_file(const char *path, struct error *err) {
    struct stat st;

    make_parents(path);
    /* Nothing follows a link at the last step, and a FIFO does not hold us up. */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        drop_orphans(path);
    } else if (errno == EEXIST) {
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    }
    if (fd < 0) {
        (void)error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
        return STORE_LATER;
    }
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (regular && (st.st_mode & 0777) != 0600) {
        (void)fchmod(fd, 0600); /* another owner's file stays as it is; then sqlite decides whether we can use it */
    }
    (void)close(fd);
    if (!regular) {
        (void)error_set(err, ERR_IO, "%s: not a regular file", path);
        return STORE_FOREIGN;
    }
    return STORE_GOOD;
}

enum store_found store_file_judge(int rc) {
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return STORE_GOOD;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_FORMAT:
    case SQLITE_ERROR: /* our statements are right: then the tables are not what they should be */
        return STORE_UNUSABLE;
    default:
        return STORE_LATER;
    }
}

static enum store_found report(sqlite3 *db, int rc, const char *path, struct error *err) {
    const char *what = (rc & 0xff) == SQLITE_BUSY ? "locked by another process" : sqlite3_errmsg(db);
    (void)error_set(err, ERR_IO, "%s: %s", path, what);
    /* We could open the file for writing: if sqlite cannot write, the file says so of itself. */
    return (rc & 0xff) == SQLITE_READONLY ? STORE_UNUSABLE : store_file_judge(rc);
}

/* The one number that a pragma answers. */
static int pragma_int(sqlite3 *db, const char *sql, int *out) {
    sqlite3_stmt *stmt = NULL;

    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int(stmt, 0);
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

static int configure(sqlite3 *db, int max_pages) {
    char sql[512];

    (void)sqlite3_busy_timeout(db, 0);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, STORE_TEXT_MAX + 4096);
    (void)sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    /* Exclusive before WAL: then there is no shared memory, and a second process gets BUSY. */
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                   "PRAGMA cache_size=-512; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON;"
                   "PRAGMA journal_size_limit=4194304; PRAGMA temp_store=MEMORY; PRAGMA max_page_count=%d;"
                   "BEGIN IMMEDIATE; COMMIT;",
                   max_pages);
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* quick_check answers "ok" in one row, or what is wrong. */
static int check_pages(sqlite3 *db) {
    sqlite3_stmt *stmt = NULL;

    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    if (rc == SQLITE_ROW) {
        rc = str_eq((const char *)sqlite3_column_text(stmt, 0), "ok") ? SQLITE_OK : SQLITE_CORRUPT;
    }
    (void)sqlite3_finalize(stmt);
    return rc;
}

/* Whose database it is; brings it to the present version. */
static enum store_found adopt(sqlite3 *db, const char *path, struct error *err) {
    int id = 0;
    int version = 0;
    int tables = 0;
    bool matches = false;

    int rc = pragma_int(db, "PRAGMA application_id", &id);
    if (rc == SQLITE_OK) {
        rc = pragma_int(db, "PRAGMA user_version", &version);
    }
    if (rc == SQLITE_OK) {
        rc = pragma_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
    }
    if (rc != SQLITE_OK) {
        return report(db, rc, path, err);
    }
    bool empty = id == 0 && version == 0 && tables == 0;
    if (!empty && id != STORE_APPLICATION_ID) {
        (void)error_set(err, ERR_IO, "%s: the database of another program", path);
        return STORE_FOREIGN;
    }
    if (version < 0 || version > STORE_SCHEMA_VERSION) {
        (void)error_set(err, ERR_IO, "%s: version %d, this program knows %d", path, version, STORE_SCHEMA_VERSION);
        return STORE_UNUSABLE;
    }
    rc = check_pages(db);
    if (rc == SQLITE_OK) {
        rc = store_schema_migrate(db, version);
    }
    if (rc == SQLITE_OK) {
        rc = store_schema_matches(db, &matches);
    }
    if (rc != SQLITE_OK) {
        return report(db, rc, path, err);
    }
    if (!matches) {
        (void)error_set(err, ERR_IO, "%s: its tables are not ours", path);
        return STORE_UNUSABLE;
    }
    return STORE_GOOD;
}

enum store_found store_file_open(const char *path, int max_pages, sqlite3 **db, struct error *err) {
    *db = NULL;
    enum store_found found = prepare_file(path, err);
    if (found != STORE_GOOD) {
        return found;
    }
    int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (*db == NULL) {
        die("out of memory: sqlite");
    }
    if (rc == SQLITE_OK) {
        rc = configure(*db, max_pages);
    }
    found = rc == SQLITE_OK ? adopt(*db, path, err) : report(*db, rc, path, err);
    if (found != STORE_GOOD) {
        (void)sqlite3_close_v2(*db);
        *db = NULL;
    }
    return found;
}

bool store_file_set_aside(const char *path, struct error *err) {
    static const char *const suffixes[] = {"-wal", "-shm", ""}; /* the database last: until then it is found again */
    char from[PATH_MAX];
    char to[PATH_MAX];
    char target[PATH_MAX];

    if (!with_suffix(target, path, ".aside")) {
        return error_set(err, ERR_IO, "%s: the name is too long", path);
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (!with_suffix(from, path, suffixes[i]) || !with_suffix(to, target, suffixes[i])) {
            return error_set(err, ERR_IO, "%s: the name is too long", path);
        }
        if (rename(from, to) != 0 && errno != ENOENT) {
            return error_set(err, ERR_IO, "%s: cannot be set aside: %s", from, strerror(errno));
        }
    }
    return true;
}
