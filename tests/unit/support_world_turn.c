/* support_world_turn.c - the driver, in small: a pass reads, decides, writes status and takes one step. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_world_internal.h"

#define BASE_BOOT 1000000
#define BACK_OFF_BASE_MS 500
#define BACK_OFF_CAP_MS 30000

struct frame {
    struct arena *a;
    struct world w;
    struct cib_binding *second;
    const struct cib_binding *bindings[2];
    const struct pod_view *pods[SIM_PODS_MAX];
    const struct node_view *nodes[SIM_PODS_MAX];
    struct event_view *event;
    const struct event_view *events[1];
};

static void frame_objects(struct sim *s, struct frame *f) {
    if (s->sa_exists && !s->informers_know_nothing)
        f->w.service_account = decoded_service_account(&s->decoded.service_account, world_sa_json(s, f->a));
    if (s->ds_exists && !s->informers_know_nothing)
        f->w.daemon_set = decoded_daemon_set(&s->decoded.daemon_set, world_ds_json(s, f->a));
    const struct sim_pod *pods = s->informers_sleep ? s->seen : s->pods;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (pods[i].exists)
            f->pods[f->w.npods++] = decoded_pod(&s->decoded.pods[i], world_pod_json(f->a, &pods[i]));
    for (int i = 0; i < s->nnodes; i++)
        if (!s->node_gone[i])
            f->nodes[f->w.nnodes++] = decoded_node(&s->decoded.nodes[i], world_node_json(s, f->a, i));
    if (s->event.reason[0]) {
        struct error err;
        json *j =
            world_parse(arena_printf(f->a,
                                     "{\"metadata\":{\"name\":\"e1\",\"namespace\":\"kube-system\",\"uid\":\"e1\","
                                     "\"resourceVersion\":\"1\"},\"reason\":\"%s\","
                                     "\"action\":\"AssignPrivateIpAddresses\",\"lastTimestamp\":\"%s\",\"count\":1,"
                                     "\"involvedObject\":{\"kind\":\"Pod\","
                                     "\"name\":\"p\",\"uid\":\"%s\"}}",
                                     s->event.reason, world_time_text(f->a, s->event.at_ms), s->event.uid));
        f->event = event_decode(j, &err);
        f->events[0] = f->event;
        f->w.nevents = f->event ? 1 : 0;
        json_free(j);
    }
}

const json *sim_object(struct sim *s) {
    return decoded_json(&s->decoded.object, s->binding_json);
}

static void frame_init(struct sim *s, struct frame *f) {
    struct error err;
    memset(f, 0, sizeof *f);
    f->a = arena_new(65536);
    world_judge(s, false, "look");
    frame_objects(s, f);
    f->w.binding = f->bindings[0] = decoded_binding(&s->decoded.binding, s->binding_json, sim_object(s));
    f->w.nbindings = 1;
    if (s->second_binding) {
        json *j = world_parse(
            "{\"apiVersion\":\"cniiam.dev/"
            "v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"older\",\"uid\":\"older-uid\","
            "\"resourceVersion\":\"1\",\"generation\":1,\"creationTimestamp\":\"2020-01-01T00:00:00Z\"},\"spec\":{}}");
        f->second = cib_decode(j, &err);
        json_free(j);
        f->bindings[f->w.nbindings++] = f->second;
    }
    f->w.bindings = f->bindings;
    f->w.pods = f->pods;
    f->w.nodes = f->nodes;
    f->w.events = f->events;
    f->w.observations = s->observations;
    f->w.config = &s->config;
    f->w.epoch = s->epoch;
    f->w.last_effect = s->last_effect;
    f->w.last_error = s->last_effect ? &s->last_error : NULL;
    f->w.last_failures = s->last_failures;
    f->w.status_refused = s->status_was_refused;
}

static void frame_done(struct frame *f) {
    event_free(f->event);
    cib_free(f->second);
    arena_free(f->a);
}

static void read_all(struct sim *s, struct frame *f, const struct decision *d) {
    for (size_t i = 0; i < d->nreads; i++) {
        struct error err;
        json *value = world_perform(s, d->reads[i], &err);
        s->reads++;
        s->read_ms[d->reads[i]->kind] = s->now_ms;
        if (str_eq(effect_arg(d->reads[i], "resource"), "pods"))
            s->listed_pods_ms = s->now_ms;
        if (str_eq(effect_arg(d->reads[i], "resource"), "nodes"))
            s->listed_nodes_ms = s->now_ms;
        observations_put(s->observations, effect_key(d->reads[i], f->a), value, &err, BASE_BOOT + s->now_ms);
    }
}

static void write_status(struct sim *s, const struct cib_status *status) {
    json *next = cib_status_encode(status);
    const json *now = json_get(sim_object(s), "status");
    bool same = now && json_equal(now, next);
    s->status_was_refused = !same && s->status_is_refused;
    if (same || s->status_is_refused) {
        json_free(next);
        return;
    }
    json *object = json_dup(sim_object(s));
    s->status_writes++;
    if (s->epoch > s->highest_epoch)
        s->highest_epoch = s->epoch;
    json_add_item(object, "status", next);
    char *text = json_print(object);
    assert(strlen(text) < sizeof s->binding_json);
    snprintf(s->binding_json, sizeof s->binding_json, "%s", text);
    free(text);
    json_free(object);
}

static void remember_failure(struct sim *s, const struct effect *e, const struct error *err) {
    bool same = s->last_effect && err->code == s->last_error.code &&
                str_eq(effect_key(s->last_effect, s->last_arena), effect_key(e, s->last_arena));
    s->last_failures = same ? s->last_failures + 1 : 1;
    struct arena *a = arena_new(0);
    s->last_effect = effect_dup(e, a);
    arena_free(s->last_arena);
    s->last_arena = a;
    s->last_error = *err;
}

static void take_step(struct sim *s, struct frame *f, const struct step *step) {
    struct error err;
    const char *what = effect_describe(step->effect, f->a);
    bool crash = s->crash_at > 0 && --s->crash_at == 0;
    if (crash && !s->crash_after) {
        world_log(s, "crash before %s", step->line);
        sim_restart_operator(s);
        return;
    }
    sim_judge_step(s, step->effect);
    json *value = world_perform(s, step->effect, &err);
    s->writes++;
    world_log(s, "%s %s%s%s", step->gate, step->line, err.code ? " !" : "", err.code ? error_name(err.code) : "");
    world_judge(s, true, what);
    if (crash) {
        world_log(s, "crash after %s", step->line);
        json_free(value);
        sim_restart_operator(s);
        return;
    }
    observations_absorb(s->observations, step->effect, value, &err, BASE_BOOT + s->now_ms);
    json_free(value);
    if (err.code) {
        remember_failure(s, step->effect, &err);
    } else {
        s->last_effect = NULL;
        s->last_failures = 0;
    }
}

/* As the queue does it (controller/work_queue.c). */
static int64_t back_off_ms(int failures) {
    int64_t ms = (int64_t)BACK_OFF_BASE_MS << (failures < 16 ? failures - 1 : 15);
    return ms < BACK_OFF_CAP_MS ? ms : BACK_OFF_CAP_MS;
}

int64_t sim_pass(struct sim *s) {
    struct decision *d = calloc(1, sizeof *d);
    struct frame f;
    if (s->finalizer_gone) {
        free(d);
        return 60000;
    }
    frame_init(s, &f);
    observations_begin_pass(s->observations);
    for (int round = 0;; round++) {
        f.w.now_boot_ms = BASE_BOOT + s->now_ms;
        f.w.now_wall_ms = world_wall_ms(s) + s->wall_ahead_ms;
        reconcile_decide(&f.w, &s->progress, f.a, d);
        if (!d->nreads || round >= RECONCILE_ROUNDS_MAX)
            break;
        read_all(s, &f, d);
    }
    assert(d->nreads == 0);
    s->progress = d->progress;
    for (size_t i = 0; i < d->nnotes; i++)
        s->guard_events += str_eq(d->notes[i].reason, "GuardFired");
    write_status(s, &d->status);
    int64_t wait = d->requeue_after_ms;
    if (s->status_was_refused) {
        wait = BACK_OFF_CAP_MS;
    } else if (d->nsteps) {
        take_step(s, &f, &d->steps[0]);
        wait = s->last_effect ? back_off_ms(s->last_failures) : 0;
    }
    frame_done(&f);
    free(d);
    return wait;
}

void sim_run(struct sim *s, int64_t for_ms) {
    int64_t end = s->now_ms + for_ms;
    while (s->now_ms < end) {
        int64_t wait = sim_pass(s);
        if (wait <= 0)
            wait = 10;
        world_advance(s, wait < end - s->now_ms ? wait : end - s->now_ms);
    }
}

bool sim_run_until(struct sim *s, bool (*done)(struct sim *s, const void *arg), const void *arg, int64_t max_ms) {
    int64_t end = s->now_ms + max_ms;
    while (s->now_ms < end) {
        int64_t wait = sim_pass(s);
        if (done(s, arg))
            return true;
        world_advance(s, wait > 0 ? wait : 10);
    }
    return false;
}

struct wanted {
    const char *type, *status, *reason;
};

static bool is_so(struct sim *s, const void *arg) {
    const struct wanted *w = arg;
    return sim_condition_is(s, w->type, w->status) &&
           (!w->reason || str_eq(sim_condition_reason(s, w->type), w->reason));
}

bool sim_until(struct sim *s, const char *type, const char *status, const char *reason, int64_t max_ms) {
    const struct wanted w = {type, status, reason};
    return sim_run_until(s, is_so, &w, max_ms);
}
