/*
 * demo_dir.h - the directory of a demo's files, which does not outlive it: not even a demo that was killed.
 *
 * Model: a new flat directory under TMPDIR (/tmp), locked for as long as its process lives. Making one removes what earlier
 * demos of this user left: directories of that name that nobody has locked, that are not marked as kept, and that are
 * older than DEMO_DIR_REST_S, so that one which is just being made is left alone.
 *
 * Ownership: the caller's struct; make, then remove or keep.   Errors: ERR_INVALID, ERR_IO with what to do.
 * Bounds: DEMO_DIR_PATH_MAX, DEMO_DIR_SWEEP_MAX leftovers a time.
 */
#ifndef CNI_IAM_CONTROLLER_DEMO_DIR_H
#define CNI_IAM_CONTROLLER_DEMO_DIR_H

#include <stdbool.h>

#include "platform/base/error.h"

#define DEMO_DIR_PATH_MAX 300
#define DEMO_DIR_SWEEP_MAX 100
#define DEMO_DIR_REST_S 60

struct demo_dir {
    char path[DEMO_DIR_PATH_MAX]; /* "" : there is none */
    int fd;                       /* holds the lock */
};

bool demo_dir_make(struct demo_dir *d, struct error *err);
void demo_dir_remove(struct demo_dir *d); /* with all files in it */
void demo_dir_keep(struct demo_dir *d);   /* no later demo removes it */

#endif
