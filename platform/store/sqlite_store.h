/*
 * sqlite_store.h - the store port on an sqlite file: a cache and a journal, never the truth (S11).
 *
 * Model: one file, one owner (exclusive lock), WAL. Whatever is wrong with the file, the operator goes on:
 *
 *   missing                         a new one is made, directories too
 *   corrupt, cut, no database,      it is set aside (FILE, -wal and -shm together become FILE.aside...; one set is
 *   of a newer version              kept) and a new one is made
 *   another program's database      it is left alone; OFF
 *   locked by another process       OFF, until sqlite_store_retry finds it free
 *   read-only, cannot be opened     OFF, until sqlite_store_retry
 *   full                            writes are lost and counted; reads go on, and so do writes when there is room again
 *
 * OFF: every write does nothing, every read finds nothing. Nothing here is logged; `errors` and `problem` say what
 * hurts.
 *
 * Durability: an intent is on disk (synchronous FULL) before intent_open returns. Snapshots, observations, outcomes and
 * the audit history may lose their last entries in a power cut (NORMAL), never their consistency.
 *
 * Ownership: sqlite_store_open never fails and is ended by sqlite_store_close; the port borrows it. Callbacks of reads
 * must not call the store.
 * Errors: counted, never returned.
 * Bounds: STORE_* below. One cluster a file: a snapshot of another cluster replaces what there was. The file is private
 * (0600). busy_timeout is 0: the loop is never held up by a lock; a commit takes what the disk takes.
 */
#ifndef CNI_IAM_STORE_SQLITE_STORE_H
#define CNI_IAM_STORE_SQLITE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/base/error.h"
#include "platform/port/store.h"

#define STORE_PAGES_MAX 65536            /* of 4 KiB: 256 MiB */
#define STORE_TEXT_MAX (8 * 1024 * 1024) /* bytes of one value; larger ones are not stored */
#define STORE_OBSERVATIONS_MAX 4096
#define STORE_INTENTS_MAX 1024 /* open ones first, then the newest closed ones */
#define STORE_AUDIT_MAX 100000

struct sqlite_store_options {
    const char *path; /* NULL or "": no file, OFF for good */
    int max_pages;    /* 0: STORE_PAGES_MAX */
    int audit_max;    /* 0: STORE_AUDIT_MAX */
};

struct sqlite_store;
struct sqlite_store *sqlite_store_open(const struct sqlite_store_options *o); /* never NULL */
void sqlite_store_close(struct sqlite_store *s);
struct store sqlite_store_port(struct sqlite_store *s);

/* Tries again to open what is OFF; does nothing otherwise. To be called now and then. */
void sqlite_store_retry(struct sqlite_store *s);

bool sqlite_store_is_open(const struct sqlite_store *s);
int64_t sqlite_store_errors(const struct sqlite_store *s);    /* since start */
int64_t sqlite_store_set_aside(const struct sqlite_store *s); /* files found unusable and set aside, since start */
/* The last thing that went wrong, or NULL if nothing ever did. */
const struct error *sqlite_store_problem(const struct sqlite_store *s);

#endif
