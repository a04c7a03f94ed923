/*
 * store_schema.h - tables, versions and the way from one to the next. Private to platform/store.
 *
 * Model: user_version counts the migrations that were applied; each is one transaction. A database is ours if its
 * schema, text by text, is what the migrations make: a file that was tampered with brings no triggers of its own.
 * Errors: sqlite result codes.
 */
#ifndef CNI_IAM_STORE_STORE_SCHEMA_H
#define CNI_IAM_STORE_STORE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>

#define STORE_SCHEMA_VERSION 1

int store_schema_migrate(sqlite3 *db, int from_version); /* to STORE_SCHEMA_VERSION */
int store_schema_matches(sqlite3 *db, bool *matches);    /* at STORE_SCHEMA_VERSION */

#endif
