#include "controller/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crd/binding.h"
#include "platform/base/str.h"
#include "platform/base/strmap.h"
#include "platform/base/timefmt.h"

#define NAMESPACE "kube-system" /* allowed for objects without a namespace, and where the operator may write anyway */
#define NOTE_MAX 1000       /* the API allows 1,024 bytes */

struct series {
    char name[300];
    int count;
    int64_t written_boot_ms;
};

struct events {
    struct effector effector;
    struct clock clock;
    char instance[128];
    struct strmap *series;
    int under_way;
    int64_t dropped;
    uint64_t serial;
};

static void on_done(void *arg, struct effect_result *r)
{
    struct events *ev = arg;
    ev->under_way--;
    if (r->error.code)
        ev->dropped++;
}

struct events *events_new(struct effector effector, struct clock clock, const char *instance)
{
    struct events *ev = calloc(1, sizeof *ev);
    if (!ev)
        die("out of memory");
    ev->effector = effector;
    ev->clock = clock;
    snprintf(ev->instance, sizeof ev->instance, "cni-iam-%.100s", str_or(instance, "unknown"));
    ev->series = strmap_new(EVENTS_SERIES_MAX, free);
    return ev;
}

void events_free(struct events *ev)
{
    if (!ev)
        return;
    strmap_free(ev->series);
    free(ev);
}

static void submit(struct events *ev, const struct effect *e)
{
    ev->under_way++;
    ev->effector.submit(ev->effector.ctx, e, on_done, ev);
}

static char *cut_note(const char *note, struct arena *a)
{
    size_t n = strlen(note);
    if (n <= NOTE_MAX)
        return arena_strdup(a, note);
    n = NOTE_MAX - 3;
    while (n > 0 && ((unsigned char)note[n] & 0xc0) == 0x80)
        n--; /* never in the middle of a character */
    return arena_printf(a, "%.*s...", (int)n, note);
}

static void post_first(struct events *ev, struct series *s, const struct event_subject *about, bool warning, const char *reason,
                       const char *action, const char *note)
{
    struct arena *a = arena_new(0);
    char at[TIMEFMT_MAX];
    timefmt_micro(ev->clock.wall_ms(ev->clock.ctx) * 1000, at);
    json *e = json_object();
    json_add_str(e, "apiVersion", "events.k8s.io/v1");
    json_add_str(e, "kind", "Event");
    json *meta = json_add_object(e, "metadata");
    json_add_str(meta, "name", s->name);
    json_add_str(meta, "namespace", NAMESPACE);
    json_add_str(e, "eventTime", at);
    json_add_str(e, "reportingController", "cniiam.dev/cni-iam");
    json_add_str(e, "reportingInstance", ev->instance);
    json_add_str(e, "action", str_or(action, "Reconcile"));
    json_add_str(e, "reason", reason);
    json_add_str(e, "type", warning ? "Warning" : "Normal");
    json_add_str(e, "note", cut_note(note, a));
    json *regarding = json_add_object(e, "regarding");
    json_add_str(regarding, "apiVersion", CIB_API_VERSION);
    json_add_str(regarding, "kind", CIB_KIND);
    json_add_str(regarding, "name", about->name);
    json_add_str(regarding, "uid", about->uid);
    struct effect *create = effect_new(a, EFFECT_K8S_CREATE, "resource", "events.events.k8s.io", "namespace", NAMESPACE, NULL);
    create->body = json_print_arena(e, a);
    json_free(e);
    submit(ev, create);
    arena_free(a);
}

static void post_series(struct events *ev, struct series *s)
{
    struct arena *a = arena_new(0);
    char at[TIMEFMT_MAX];
    timefmt_micro(ev->clock.wall_ms(ev->clock.ctx) * 1000, at);
    struct effect *patch = effect_new(a, EFFECT_K8S_MERGE_PATCH, "resource", "events.events.k8s.io", "namespace", NAMESPACE, "name",
                                      s->name, NULL);
    patch->body = arena_printf(a, "{\"series\":{\"count\":%d,\"lastObservedTime\":\"%s\"}}", s->count, at);
    submit(ev, patch);
    arena_free(a);
}

static struct series *series_new(struct events *ev, const char *key, const struct event_subject *about)
{
    if (strmap_count(ev->series) >= EVENTS_SERIES_MAX) {
        const char *oldest;
        void *value;
        size_t it = 0;
        if (strmap_next(ev->series, &it, &oldest, &value))
            strmap_remove(ev->series, oldest); /* insertion order: the oldest kind */
    }
    struct series *s = calloc(1, sizeof *s);
    if (!s)
        die("out of memory");
    snprintf(s->name, sizeof s->name, "%.200s.%llx%llx", about->name, (unsigned long long)ev->clock.wall_ms(ev->clock.ctx),
             (unsigned long long)++ev->serial);
    strmap_set(ev->series, key, s);
    return s;
}

void events_post(struct events *ev, const struct event_subject *about, bool warning, const char *reason, const char *action,
                 const char *note)
{
    if (!reason || !note)
        return;
    if (ev->under_way >= EVENTS_UNDERWAY_MAX) {
        ev->dropped++;
        return;
    }
    struct arena *a = arena_new(0);
    const char *key = arena_printf(a, "%s|%d|%s|%s|%s", about->uid, warning, reason, str_or(action, ""), note);
    int64_t now = ev->clock.boot_ms(ev->clock.ctx);
    struct series *s = strmap_get(ev->series, key);
    if (!s) {
        s = series_new(ev, key, about);
        s->count = 1;
        s->written_boot_ms = now;
        post_first(ev, s, about, warning, reason, action, note);
    } else if (++s->count == 2 || now - s->written_boot_ms > EVENTS_REFRESH_MS) {
        s->written_boot_ms = now;
        post_series(ev, s);
    }
    arena_free(a);
}

int64_t events_dropped(const struct events *ev)
{
    return ev->dropped;
}
