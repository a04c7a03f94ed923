#include "controller/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crd/binding.h"
#include "platform/base/str.h"
#include "platform/base/strmap.h"
#include "platform/base/timefmt.h"

#define NAMESPACE "kube-system" /* allowed for objects without a namespace, and where the operator may write anyway */
#define RESOURCE "events.events.k8s.io"

struct series {
    char name[300];
    int count;
    int64_t written_boot_ms;
};

/* One call under way. */
struct post {
    struct events *events;
    uint64_t ticket;
    char *key; /* of its series; NULL: the slot is free */
};

struct events {
    struct effector effector;
    struct clock clock;
    char instance[128];
    struct strmap *series;
    struct post posts[EVENTS_UNDERWAY_MAX];
    int allowed; /* creations left now */
    int64_t refilled_boot_ms;
    int64_t dropped;
    uint64_t serial;
};

struct events *events_new(struct effector effector, struct clock clock, const char *instance) {
    struct events *ev = calloc(1, sizeof *ev);
    if (!ev)
        die("out of memory");
    ev->effector = effector;
    ev->clock = clock;
    snprintf(ev->instance, sizeof ev->instance, "cni-iam-%.100s", str_or(instance, "unknown"));
    ev->series = strmap_new(EVENTS_SERIES_MAX, free);
    ev->allowed = EVENTS_BURST;
    ev->refilled_boot_ms = clock.boot_ms(clock.ctx);
    for (int i = 0; i < EVENTS_UNDERWAY_MAX; i++)
        ev->posts[i].events = ev;
    return ev;
}

void events_free(struct events *ev) {
    if (!ev)
        return;
    for (int i = 0; i < EVENTS_UNDERWAY_MAX; i++)
        if (ev->posts[i].key) {
            ev->effector.cancel(ev->effector.ctx, ev->posts[i].ticket);
            free(ev->posts[i].key);
        }
    strmap_free(ev->series);
    free(ev);
}

/* --- calls --- */

static void on_done(void *arg, struct effect_result *r) {
    struct post *p = arg;
    if (r->error.code) {
        p->events->dropped++;
        (void)strmap_remove(p->events->series, p->key); /* not there, for all we know: the next one is created */
    }
    free(p->key);
    p->key = NULL;
}

static struct post *free_post(struct events *ev) {
    for (int i = 0; i < EVENTS_UNDERWAY_MAX; i++)
        if (!ev->posts[i].key)
            return &ev->posts[i];
    return NULL;
}

static void submit(struct events *ev, struct post *p, const char *key, const struct effect *e) {
    p->key = strdup(key);
    if (!p->key)
        die("out of memory");
    p->ticket = ev->effector.submit(ev->effector.ctx, e, on_done, p);
}

static void micro_now(const struct events *ev, char out[TIMEFMT_MAX]) {
    timefmt_micro(ev->clock.wall_ms(ev->clock.ctx) * 1000, out); /* exactly six decimals (K-E1) */
}

static char *cut_note(const char *note, struct arena *a) {
    size_t n = strlen(note);
    if (n <= EVENTS_NOTE_MAX)
        return arena_strdup(a, note);
    n = EVENTS_NOTE_MAX - 3;
    while (n > 0 && ((unsigned char)note[n] & 0xc0) == 0x80)
        n--; /* never in the middle of a character */
    return arena_printf(a, "%.*s...", (int)n, note);
}

struct occurrence {
    const struct event_subject *about;
    bool warning;
    const char *reason, *action, *note;
};

static char *event_body(const struct events *ev, const char *name, const struct occurrence *o, struct arena *a) {
    char at[TIMEFMT_MAX];
    micro_now(ev, at);
    json *e = json_object();
    json_add_str(e, "apiVersion", "events.k8s.io/v1");
    json_add_str(e, "kind", "Event");
    json *meta = json_add_object(e, "metadata");
    json_add_str(meta, "name", name);
    json_add_str(meta, "namespace", NAMESPACE);
    json_add_str(e, "eventTime", at);
    json_add_str(e, "reportingController", "cniiam.dev/cni-iam");
    json_add_str(e, "reportingInstance", ev->instance);
    json_add_str(e, "action", o->action);
    json_add_str(e, "reason", o->reason);
    json_add_str(e, "type", o->warning ? "Warning" : "Normal");
    json_add_str(e, "note", cut_note(o->note, a));
    json *regarding = json_add_object(e, "regarding");
    json_add_str(regarding, "apiVersion", CIB_API_VERSION);
    json_add_str(regarding, "kind", CIB_KIND);
    json_add_str(regarding, "name", o->about->name);
    json_add_str(regarding, "uid", o->about->uid);
    char *text = json_print_arena(e, a);
    json_free(e);
    return text;
}

/* --- series --- */

static bool may_create(struct events *ev) {
    int64_t now = ev->clock.boot_ms(ev->clock.ctx), earned = (now - ev->refilled_boot_ms) / EVENTS_REFILL_MS;
    if (earned > 0) {
        ev->allowed = earned > EVENTS_BURST - ev->allowed ? EVENTS_BURST : ev->allowed + (int)earned;
        ev->refilled_boot_ms += earned * EVENTS_REFILL_MS;
    }
    return ev->allowed > 0 && ev->allowed--;
}

static struct series *series_new(struct events *ev, const char *key, const char *object) {
    if (strmap_count(ev->series) >= EVENTS_SERIES_MAX) {
        const char *oldest;
        void *value;
        size_t it = 0;
        if (strmap_next(ev->series, &it, &oldest, &value))
            (void)strmap_remove(ev->series, oldest); /* insertion order: the oldest kind */
    }
    struct series *s = calloc(1, sizeof *s);
    if (!s)
        die("out of memory");
    snprintf(s->name, sizeof s->name, "%.200s.%llx%llx", object, (unsigned long long)ev->clock.wall_ms(ev->clock.ctx),
             (unsigned long long)++ev->serial);
    s->count = 1;
    (void)strmap_set(ev->series, key, s);
    return s;
}

static void create(struct events *ev, struct post *p, const char *key, const struct occurrence *o, struct arena *a) {
    struct series *s = series_new(ev, key, o->about->name);
    struct effect *e = effect_new(a, EFFECT_K8S_CREATE, "resource", RESOURCE, "namespace", NAMESPACE, NULL);
    e->body = event_body(ev, s->name, o, a);
    s->written_boot_ms = ev->clock.boot_ms(ev->clock.ctx);
    submit(ev, p, key, e);
}

static void patch(struct events *ev, struct post *p, const char *key, struct series *s, struct arena *a) {
    char at[TIMEFMT_MAX];
    micro_now(ev, at);
    struct effect *e =
        effect_new(a, EFFECT_K8S_MERGE_PATCH, "resource", RESOURCE, "namespace", NAMESPACE, "name", s->name, NULL);
    e->body = arena_printf(a, "{\"series\":{\"count\":%d,\"lastObservedTime\":\"%s\"}}", s->count, at);
    s->written_boot_ms = ev->clock.boot_ms(ev->clock.ctx);
    submit(ev, p, key, e);
}

void events_post(struct events *ev, const struct event_subject *about, bool warning, const char *reason,
                 const char *action, const char *note) {
    if (!reason || !note)
        return;
    struct arena *a = arena_new(0);
    struct occurrence o = {about, warning, reason, str_or(action, "Reconcile"), note};
    const char *key = arena_printf(a, "%s|%d|%s|%s|%s", about->uid, warning, reason, o.action, note);
    struct series *s = strmap_get(ev->series, key);
    struct post *p = free_post(ev);
    int64_t now = ev->clock.boot_ms(ev->clock.ctx);
    bool due = s && ++s->count >= 2 && (s->count == 2 || now - s->written_boot_ms > EVENTS_REFRESH_MS);
    if (!s && (!p || !may_create(ev)))
        ev->dropped++;
    else if (!s)
        create(ev, p, key, &o, a);
    else if (due && p)
        patch(ev, p, key, s, a);
    arena_free(a);
}

int64_t events_dropped(const struct events *ev) {
    return ev->dropped;
}
