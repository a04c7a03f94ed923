/* event.c - an Event, in the words of core/v1 or of events.k8s.io/v1: both are one object with other field names. */
#include "crd/object_meta.h"

static const char *either(const json *o, const char *core, const char *events_k8s_io) {
    const char *s = json_str(o, core);
    return s != NULL ? s : json_str(o, events_k8s_io);
}

static int64_t last_seen_ms(const json *o) {
    static const char *const paths[] = {"lastTimestamp",  "deprecatedLastTimestamp", "eventTime",
                                        "firstTimestamp", "series.lastObservedTime", "metadata.creationTimestamp"};
    int64_t last = 0;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int64_t ms = json_instant_ms(o, paths[i]);
        last = ms > last ? ms : last;
    }
    return last;
}

static int times_seen(const json *o) {
    static const char *const paths[] = {"count", "deprecatedCount", "series.count"};
    int most = 1;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int n = json_count(o, paths[i]);
        most = n > most ? n : most;
    }
    return most;
}

struct event_view *event_decode(const json *o, struct error *err) {
    struct arena *a = arena_new(0);
    struct event_view *v = ARENA_NEW(a, struct event_view);

    v->arena = a;
    if (!object_meta_decode(o, &v->meta, a, err)) {
        event_free(v);
        return NULL;
    }
    v->reason = arena_strdup(a, json_str(o, "reason"));
    v->action = arena_strdup(a, json_str(o, "action"));
    v->note = arena_strdup(a, either(o, "message", "note"));
    v->regarding_uid = arena_strdup(a, either(o, "involvedObject.uid", "regarding.uid"));
    v->regarding_name = arena_strdup(a, either(o, "involvedObject.name", "regarding.name"));
    v->last_ms = last_seen_ms(o);
    v->count = times_seen(o);
    return v;
}

void event_free(struct event_view *v) {
    if (v != NULL) {
        arena_free(v->arena);
    }
}
