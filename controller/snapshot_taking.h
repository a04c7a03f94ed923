/*
 * snapshot_taking.h - what the files that take a snapshot share. Private to controller/snapshot_*.c.
 *
 * Model: the first read that fails is kept in `err`; every later one is not made any more.
 * Ownership: values are the caller's.   Errors: t->err.   Bounds: UNKNOWN_MAX notes.
 */
#ifndef CNI_IAM_CONTROLLER_SNAPSHOT_TAKING_H
#define CNI_IAM_CONTROLLER_SNAPSHOT_TAKING_H

#include "controller/snapshot_take.h"

#define UNKNOWN_MAX 50

struct taking {
    struct connection *connection;
    const struct snapshot_request *request;
    struct arena *arena;
    struct error *err;
    bool not_found; /* so the last answer */
    json *unknown;  /* sentences about what may not be read */
};

/* NULL: it is not there, may not be read, or something failed. */
json *taking_ask(struct taking *t, const struct effect *e);
json *snapshot_take_aws(struct taking *t, const json *kubernetes);

#endif
