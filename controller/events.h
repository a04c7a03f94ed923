/*
 * events.h - Events about a binding (events.k8s.io/v1): best effort, deduplicated into series, never blocking
 * (K-E1..K-E3).
 *
 * Model: the first of a kind is created; the same again (object, type, reason, action, note) becomes a series: its
 * second is patched in, later ones are only counted and written every EVENTS_REFRESH_MS. An Event that the server does
 * not have (any more) is created anew by the next of its kind. Creations beyond EVENTS_BURST wait for nobody: they are
 * dropped, one more is allowed every EVENTS_REFILL_MS. Conditions are the truth, Events are not.
 *
 * Ownership: everything is copied; ports are borrowed. events_free cancels what is under way.
 * Errors: none: a failed or dropped post is counted.
 * Bounds: EVENTS_SERIES_MAX kinds remembered (the oldest goes), EVENTS_UNDERWAY_MAX posts at once, EVENTS_NOTE_MAX
 * bytes a note.
 */
#ifndef CNI_IAM_CONTROLLER_EVENTS_H
#define CNI_IAM_CONTROLLER_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/port/clock.h"
#include "platform/port/effector.h"

#define EVENTS_SERIES_MAX 256
#define EVENTS_UNDERWAY_MAX 16
#define EVENTS_REFRESH_MS 1800000
#define EVENTS_BURST 100
#define EVENTS_REFILL_MS 5000
#define EVENTS_NOTE_MAX 1000 /* the API allows 1,024 */

struct events;
struct events *events_new(struct effector effector, struct clock clock, const char *instance);
void events_free(struct events *ev);
struct event_subject {
    const char *name, *uid; /* of the CniIamBinding */
};
void events_post(struct events *ev, const struct event_subject *about, bool warning, const char *reason,
                 const char *action, const char *note);
int64_t events_dropped(const struct events *ev);

#endif
