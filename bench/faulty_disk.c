#include "bench/faulty_disk.h"

#include <assert.h>
#include <sqlite3.h>
#include <stddef.h>
#include <string.h>

#include "platform/base/error.h"

/* One of sqlite's files: ours before, the real one behind. */
struct faulty_file {
    sqlite3_file base;
    int disk; /* -1: none of ours */
    sqlite3_file *real;
};

static sqlite3_vfs *below;
static enum disk_state disks[FAULTY_DISKS_MAX];

/* "…/state-1.db-wal" is on disk 1. */
static int disk_of(const char *path) {
    const char *name = path ? strstr(path, "/state-") : NULL;
    if (!name || strncmp(name + strlen("/state-0"), ".db", 3) != 0)
        return -1;
    int n = name[strlen("/state-")] - '0';
    return n >= 0 && n < FAULTY_DISKS_MAX ? n : -1;
}

static enum disk_state state_of(int disk) {
    return disk < 0 ? DISK_GOOD : disks[disk];
}

static int write_fails_with(int disk, int otherwise) {
    switch (state_of(disk)) {
    case DISK_GOOD:
        return SQLITE_OK;
    case DISK_FULL:
        return SQLITE_FULL;
    case DISK_BROKEN:
    case DISK_READ_ONLY:
        break;
    }
    return otherwise;
}

/* --- a file --- */

static struct faulty_file *faulty(sqlite3_file *f) {
    return (struct faulty_file *)f;
}

static sqlite3_file *real(sqlite3_file *f) {
    return faulty(f)->real;
}

static int do_close(sqlite3_file *f) {
    return real(f)->pMethods->xClose(real(f));
}

static int do_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at) {
    if (state_of(faulty(f)->disk) == DISK_BROKEN)
        return SQLITE_IOERR_READ;
    return real(f)->pMethods->xRead(real(f), to, n, at);
}

static int do_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at) {
    int rc = write_fails_with(faulty(f)->disk, SQLITE_IOERR_WRITE);
    return rc == SQLITE_OK ? real(f)->pMethods->xWrite(real(f), from, n, at) : rc;
}

static int do_truncate(sqlite3_file *f, sqlite3_int64 size) {
    int rc = write_fails_with(faulty(f)->disk, SQLITE_IOERR_TRUNCATE);
    return rc == SQLITE_OK || rc == SQLITE_FULL ? real(f)->pMethods->xTruncate(real(f), size) : rc;
}

static int do_sync(sqlite3_file *f, int flags) {
    int rc = write_fails_with(faulty(f)->disk, SQLITE_IOERR_FSYNC);
    return rc == SQLITE_OK || rc == SQLITE_FULL ? real(f)->pMethods->xSync(real(f), flags) : rc;
}

static int do_size(sqlite3_file *f, sqlite3_int64 *size) {
    return real(f)->pMethods->xFileSize(real(f), size);
}

static int do_lock(sqlite3_file *f, int lock) {
    return real(f)->pMethods->xLock(real(f), lock);
}

static int do_unlock(sqlite3_file *f, int lock) {
    return real(f)->pMethods->xUnlock(real(f), lock);
}

static int do_check_lock(sqlite3_file *f, int *out) {
    return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int do_control(sqlite3_file *f, int what, void *arg) {
    return real(f)->pMethods->xFileControl(real(f), what, arg);
}

static int do_sector_size(sqlite3_file *f) {
    return real(f)->pMethods->xSectorSize(real(f));
}

static int do_characteristics(sqlite3_file *f) {
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

/* Of the first version: without shared memory, as the store locks its file for itself. */
static const sqlite3_io_methods methods = {.iVersion = 1,
                                           .xClose = do_close,
                                           .xRead = do_read,
                                           .xWrite = do_write,
                                           .xTruncate = do_truncate,
                                           .xSync = do_sync,
                                           .xFileSize = do_size,
                                           .xLock = do_lock,
                                           .xUnlock = do_unlock,
                                           .xCheckReservedLock = do_check_lock,
                                           .xFileControl = do_control,
                                           .xSectorSize = do_sector_size,
                                           .xDeviceCharacteristics = do_characteristics};

/* --- the disk --- */

static int do_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out_flags) {
    struct faulty_file *file = faulty(f);
    (void)vfs;
    file->base.pMethods = NULL; /* sqlite closes nothing */
    file->disk = disk_of(path);
    file->real = (sqlite3_file *)(file + 1);
    if (state_of(file->disk) == DISK_BROKEN || state_of(file->disk) == DISK_READ_ONLY)
        return SQLITE_CANTOPEN;
    int rc = below->xOpen(below, path, file->real, flags, out_flags);
    if (rc == SQLITE_OK)
        file->base.pMethods = &methods;
    return rc;
}

static int do_delete(sqlite3_vfs *vfs, const char *path, int sync) {
    int rc = write_fails_with(disk_of(path), SQLITE_IOERR_DELETE);
    (void)vfs;
    return rc == SQLITE_OK || rc == SQLITE_FULL ? below->xDelete(below, path, sync) : rc;
}

static void install(void) {
    static sqlite3_vfs above;
    if (below)
        return;
    below = sqlite3_vfs_find(NULL);
    if (!below)
        die("bench: sqlite has no files");
    above = *below; /* all else is as it is: nothing of it looks at whose it is */
    above.zName = "faulty";
    above.szOsFile = (int)sizeof(struct faulty_file) + below->szOsFile;
    above.pNext = NULL;
    above.xOpen = do_open;
    above.xDelete = do_delete;
    if (sqlite3_vfs_register(&above, 1) != SQLITE_OK)
        die("bench: sqlite does not take a disk");
}

void faulty_disk_set(int replica, enum disk_state state) {
    assert(replica >= 0 && replica < FAULTY_DISKS_MAX);
    install();
    disks[replica] = state;
}
