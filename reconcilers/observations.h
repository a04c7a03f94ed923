/*
 * observations.h - what was read from AWS and Kubernetes by effects, by effect key, with its age.
 *
 * Model: a map from effect_key to the last result (value or error) and when it was taken. Planners ask with a maximum age; what is
 * missing or too old they add to the reads of their decision, the driver performs them and decides again. An entry taken in the current
 * pass is fresh for every question of that pass, so that a pass ends; an entry that is an error counts in its own pass only, so
 * that each pass asks again (the queue's backoff sets the pace).
 * After a write, observations_absorb brings the map up to date: by what the answer proves (a created role), else by forgetting.
 *
 * Ownership: the map owns keys and values.   Errors: none.   Bounds: OBSERVATIONS_MAX entries, the oldest goes first.
 */
#ifndef CNI_IAM_RECONCILERS_OBSERVATIONS_H
#define CNI_IAM_RECONCILERS_OBSERVATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/base/json.h"
#include "platform/port/effect.h"

#define OBSERVATIONS_MAX 4096

struct observation {
    const json *value; /* NULL on error or where there is no output */
    struct error error;
    int64_t at_boot_ms;
    uint64_t pass;
};

struct observations;
struct observations *observations_new(void);
void observations_free(struct observations *o);
/* Starts a pass: called by the driver once for each reconcile of a binding. */
void observations_begin_pass(struct observations *o);
/* Records the outcome of a read. Takes value. */
void observations_put(struct observations *o, const char *key, json *value, const struct error *err,
                      int64_t at_boot_ms);
/* The entry if it is usable: taken in this pass, or a success not older than max_age_ms. Else NULL. */
const struct observation *observations_get(const struct observations *o, const char *key, int64_t now_boot_ms,
                                           int64_t max_age_ms);
/* After a write: what it proves, or what it makes unknown. `err` is the write's outcome (S7: unknown outcomes forget). */
void observations_absorb(struct observations *o, const struct effect *write, const json *value, const struct error *err,
                         int64_t at_boot_ms);
void observations_forget_all(struct observations *o);

#endif
