/*
 * events.h - Events about a binding (events.k8s.io/v1): best effort, deduplicated into series, never blocking (K-E1..K-E3).
 *
 * Model: the first of a kind is created; the same again (type, reason, action, note, object) becomes a series: its second is patched in, later
 * ones are only counted and written every EVENTS_REFRESH_MS. Fire and forget: a failed post is counted and dropped.
 * Ownership: everything is copied.   Errors: none.   Bounds: EVENTS_SERIES_MAX kinds remembered, EVENTS_UNDERWAY_MAX posts at once.
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

struct events;
struct events *events_new(struct effector effector, struct clock clock, const char *instance);
void events_free(struct events *ev);
struct event_subject {
    const char *name, *uid; /* of the CniIamBinding */
};
void events_post(struct events *ev, const struct event_subject *about, bool warning, const char *reason, const char *action,
                 const char *note);
int64_t events_dropped(const struct events *ev);

#endif
