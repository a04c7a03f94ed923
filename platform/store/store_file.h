/*
 * store_file.h - the database file: made private, opened, checked, migrated, set aside. Private to platform/store.
 *
 * Model: store_file_open gives a connection that holds the exclusive lock on a database of the present schema, or says
 * what it found. It judges and performs; what to do next is sqlite_store.c's.
 * Ownership: the connection is the caller's, to be closed with sqlite3_close_v2.
 * Errors: through enum store_found and *err.
 */
#ifndef CNI_IAM_STORE_STORE_FILE_H
#define CNI_IAM_STORE_STORE_FILE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "platform/base/error.h"

#define STORE_APPLICATION_ID 0x434e4961 /* "CNIa" */

enum store_found {
    STORE_GOOD,
    STORE_UNUSABLE, /* corrupt, or newer than this program: set it aside */
    STORE_FOREIGN,  /* a database of another program, or no regular file: leave it alone */
    STORE_LATER     /* locked, read-only, full, no permission: perhaps another time */
};

enum store_found store_file_open(const char *path, int max_pages, sqlite3 **db, struct error *err);
/* Renames path, path-wal and path-shm to path.aside, ...; an earlier set is replaced. */
bool store_file_set_aside(const char *path, struct error *err);
/* What an sqlite result code means for the file. */
enum store_found store_file_judge(int rc);

#endif
