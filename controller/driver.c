#include "controller/driver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/log.h"
#include "platform/base/str.h"
#include "platform/base/strmap.h"

/* What the process remembers of one binding. */
struct memory {
    struct progress progress;
    struct arena *failure_arena;
    const struct effect *last_effect;
    struct error last_error;
    int last_failures;
};

struct reading {
    struct driver *driver;
    const struct effect *effect;
    uint64_t ticket;
};

struct driver {
    struct driver_options o;
    struct observations *observations;
    struct strmap *memories;
    struct driver_stats stats;
    bool paused;

    /* the pass under way; key NULL: none */
    char *key;
    struct arena *arena;
    struct world world;
    void *hold;
    struct memory *memory;
    struct decision *decision;
    int round;
    size_t reads_open;
    int64_t reading_since_ms;
    struct reading *readings;
    size_t nreadings;
    uint64_t ticket;       /* of the write under way */
    int64_t intent;
    uint64_t next_timer;
};

static void memory_free(void *value)
{
    struct memory *m = value;
    arena_free(m->failure_arena);
    free(m);
}

static void forget_failure(struct memory *m)
{
    m->last_effect = NULL;
    m->last_failures = 0;
}

static void remember_failure(struct memory *m, const struct effect *e, const struct error *err)
{
    struct arena *a = arena_new(0);
    bool same = m->last_effect && m->last_error.code == err->code && str_eq(effect_key(m->last_effect, a), effect_key(e, a));
    m->last_effect = effect_dup(e, a);
    arena_free(m->failure_arena);
    m->failure_arena = a;
    m->last_error = *err;
    m->last_failures = same ? m->last_failures + 1 : 1;
}

static struct memory *memory_of(struct driver *d, const char *name)
{
    struct memory *m = strmap_get(d->memories, name);
    if (m)
        return m;
    m = calloc(1, sizeof *m);
    if (!m)
        die("out of memory");
    if (!strmap_set(d->memories, name, m))
        die("more than %d bindings", DRIVER_BINDINGS_MAX);
    return m;
}

static int64_t boot(const struct driver *d)
{
    return d->o.clock.boot_ms(d->o.clock.ctx);
}

/* --- the end of a pass ------------------------------------------------------------------------------------------------------- */

static void start_next(void *arg);

static void end_pass(struct driver *d)
{
    if (d->hold)
        d->o.release(d->o.arg, d->hold);
    work_queue_done(d->o.queue, d->key);
    arena_free(d->arena);
    free(d->key);
    free(d->readings);
    d->nreadings = 0;
    d->key = NULL;
    d->hold = NULL;
    d->arena = NULL;
    d->readings = NULL;
    if (!d->next_timer)
        d->next_timer = d->o.clock.timer_start(d->o.clock.ctx, 0, start_next, d);
}

static void pass_failed(struct driver *d)
{
    work_queue_add_rate_limited(d->o.queue, d->key);
    end_pass(d);
}

static void pass_done(struct driver *d)
{
    work_queue_forget(d->o.queue, d->key);
    if (d->decision->requeue_after_ms > 0)
        work_queue_add_after(d->o.queue, d->key, d->decision->requeue_after_ms);
    end_pass(d);
}

/* --- acting --------------------------------------------------------------------------------------------------------------------- */

static void log_effect(struct driver *d, const struct step *s, const struct error *err)
{
    const struct world *w = &d->world;
    LOG_AT_(err->code ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "driver", err->code ? "step failed" : "step done", F_STR("binding", d->key),
            F_STR("gate", s->gate), F_STR("step", s->line), F_STR("why", s->why), F_STR("effect", effect_describe(s->effect, d->arena)),
            F_STR("result", err->code ? error_name(err->code) : "ok"), F_STR("error", err->code ? err->message : ""),
            F_STR("bindingUID", w->binding->uid), F_STR("bindingRV", w->binding->resource_version), F_INT("epoch", w->epoch),
            F_INT("pods", w->npods), F_INT("proven", d->decision->status.nodes.proven));
}

static void audit(struct driver *d, const struct step *s, const struct effect_result *r)
{
    if (!d->o.store)
        return;
    struct store_audit entry = {.wall_ms = d->o.clock.wall_ms(d->o.clock.ctx),
                                .binding_uid = d->world.binding->uid,
                                .effect = effect_describe(s->effect, d->arena),
                                .digest = effect_digest(s->effect, d->arena),
                                .outcome = r->error.code ? error_name(r->error.code) : "ok",
                                .request_id = str_or(r->request_id, ""),
                                .epoch = d->world.epoch};
    d->o.store->audit(d->o.store->ctx, &entry);
    if (d->intent)
        d->o.store->intent_close(d->o.store->ctx, d->intent, entry.outcome);
    d->intent = 0;
}

static void tell_informers(struct driver *d, const struct effect *e, const json *value)
{
    const char *rv = json_str(value, "metadata.resourceVersion"), *resource = effect_arg(e, "resource");
    if (rv && resource && d->o.wrote)
        d->o.wrote(d->o.arg, d->key, resource, rv);
}

static void on_step(void *arg, struct effect_result *r)
{
    struct driver *d = arg;
    const struct step *s = &d->decision->steps[0];
    d->ticket = 0;
    audit(d, s, r);
    log_effect(d, s, &r->error);
    observations_absorb(d->observations, s->effect, r->value, &r->error, boot(d));
    if (r->error.code) {
        d->stats.step_failures++;
        remember_failure(d->memory, s->effect, &r->error);
        pass_failed(d);
        return;
    }
    d->stats.steps++;
    forget_failure(d->memory);
    if (effect_service(s->effect->kind) == SERVICE_KUBERNETES)
        tell_informers(d, s->effect, r->value);
    if (s->event_reason)
        d->o.event(d->o.arg, d->world.binding, false, s->event_reason, "Reconcile", s->event_note);
    work_queue_forget(d->o.queue, d->key);
    work_queue_add(d->o.queue, d->key);
    end_pass(d);
}

static bool fenced(struct driver *d)
{
    if (!d->o.may_write || d->o.may_write(d->o.arg))
        return false;
    LOG_WARN("driver", "not written: the lease is not fresh enough", F_STR("binding", d->key));
    return true;
}

static void act(struct driver *d)
{
    const struct decision *x = d->decision;
    if (x->nsteps == 0) {
        forget_failure(d->memory);
        pass_done(d);
        return;
    }
    if (fenced(d)) {
        pass_failed(d);
        return;
    }
    const struct step *s = &x->steps[0];
    if (s->external && d->o.store) {
        struct store_intent intent = {.digest = effect_digest(s->effect, d->arena),
                                      .description = effect_describe(s->effect, d->arena),
                                      .binding_uid = d->world.binding->uid,
                                      .epoch = d->world.epoch,
                                      .wall_ms = d->o.clock.wall_ms(d->o.clock.ctx)};
        d->intent = d->o.store->intent_open(d->o.store->ctx, &intent);
    }
    d->ticket = d->o.effector.submit(d->o.effector.ctx, s->effect, on_step, d);
}

/* --- status --------------------------------------------------------------------------------------------------------------------------- */

static void on_status(void *arg, struct effect_result *r)
{
    struct driver *d = arg;
    d->ticket = 0;
    if (r->error.code) {
        LOG_WARN("driver", "status not written", F_STR("binding", d->key), F_STR("error", r->error.message));
        pass_failed(d);
        return;
    }
    d->stats.status_writes++;
    const char *rv = json_str(r->value, "metadata.resourceVersion");
    if (rv && d->o.wrote)
        d->o.wrote(d->o.arg, d->key, CIB_RESOURCE, rv);
    act(d);
}

static bool status_differs(struct driver *d)
{
    json *now = cib_status_encode(&d->world.binding->status), *next = cib_status_encode(&d->decision->status);
    bool differs = !json_equal(now, next);
    json_free(now);
    json_free(next);
    return differs;
}

static void write_status(struct driver *d)
{
    const struct decision *x = d->decision;
    const struct cib_binding *b = d->world.binding;
    bool removes_finalizer = b->deletion_ms && x->nsteps && x->steps[0].effect->kind == EFFECT_K8S_JSON_PATCH &&
                             str_eq(effect_arg(x->steps[0].effect, "resource"), CIB_RESOURCE);
    /* A finalizer patch carries the resourceVersion that was seen: a status write before it would only make it miss. */
    bool patches_binding = x->nsteps && str_eq(effect_arg(x->steps[0].effect, "resource"), CIB_RESOURCE);
    if (!status_differs(d) || removes_finalizer || patches_binding) {
        act(d);
        return;
    }
    if (fenced(d)) {
        pass_failed(d);
        return;
    }
    bool cas = x->nsteps && effect_class(x->steps[0].effect->kind) == EFFECT_DESTRUCTIVE; /* S6b */
    json *document = cib_status_apply_document(b, &x->status, cas ? b->resource_version : NULL);
    struct effect *e = effect_new(d->arena, EFFECT_K8S_APPLY_STATUS, "resource", CIB_RESOURCE, "name", b->name, "fieldManager",
                                  FIELD_MANAGER, "force", "true", NULL);
    e->body = json_print_arena(document, d->arena);
    json_free(document);
    d->ticket = d->o.effector.submit(d->o.effector.ctx, e, on_status, d);
}

static void post_notes(struct driver *d)
{
    const struct decision *x = d->decision;
    for (size_t i = 0; i < x->nnotes; i++)
        d->o.event(d->o.arg, d->world.binding, x->notes[i].warning, x->notes[i].reason, x->notes[i].action, x->notes[i].note);
}

static void note_figures(struct driver *d)
{
    const struct cib_status *s = &d->decision->status;
    d->stats.nodes_total = s->nodes.total;
    d->stats.nodes_proven = s->nodes.proven;
    d->stats.uninjected = s->nodes.total - s->nodes.proven;
    d->stats.intents_open = 0;
    for (size_t i = 0; i < s->nnode_roles; i++)
        d->stats.intents_open += s->node_roles[i].intent.action != NULL;
}

/* --- deciding ----------------------------------------------------------------------------------------------------------------------------- */

static void decide(struct driver *d);

/* For people and for later runs; nothing is decided by it (S11). */
static void remember_reading(struct driver *d, const struct effect *e, const char *key, const struct effect_result *r)
{
    if (!d->o.store || !r->value || effect_service(e->kind) == SERVICE_KUBERNETES)
        return;
    char *text = json_print(r->value);
    d->o.store->observation_put(d->o.store->ctx, key, d->o.clock.wall_ms(d->o.clock.ctx), effect_digest(e, d->arena), text);
    free(text);
}

static void on_read(void *arg, struct effect_result *r)
{
    struct reading *reading = arg;
    struct driver *d = reading->driver;
    reading->ticket = 0;
    const char *key = effect_key(reading->effect, d->arena);
    remember_reading(d, reading->effect, key, r);
    observations_put(d->observations, key, r->value, &r->error, boot(d));
    r->value = NULL;
    if (--d->reads_open == 0)
        decide(d);
}

static void read_all(struct driver *d)
{
    const struct decision *x = d->decision;
    free(d->readings);
    d->nreadings = x->nreads;
    d->readings = calloc(x->nreads, sizeof *d->readings);
    if (!d->readings)
        die("out of memory");
    d->reads_open = x->nreads;
    d->reading_since_ms = boot(d);
    d->stats.read_rounds++;
    d->stats.reads += x->nreads;
    for (size_t i = 0; i < d->nreadings; i++) {
        d->readings[i] = (struct reading){.driver = d, .effect = x->reads[i]};
        d->readings[i].ticket = d->o.effector.submit(d->o.effector.ctx, x->reads[i], on_read, &d->readings[i]);
    }
}

static void decide(struct driver *d)
{
    d->world.now_boot_ms = boot(d);
    d->world.now_wall_ms = d->o.clock.wall_ms(d->o.clock.ctx);
    d->o.decide(&d->world, &d->memory->progress, d->arena, d->decision);
    if (d->decision->nreads > 0 && d->round++ < RECONCILE_ROUNDS_MAX) {
        read_all(d);
        return;
    }
    if (d->decision->nreads > 0) {
        d->stats.rounds_exhausted++;
        LOG_ERROR("driver", "the reads of a pass do not end", F_STR("binding", d->key),
                  F_STR("read", effect_describe(d->decision->reads[0], d->arena)));
        pass_failed(d);
        return;
    }
    d->memory->progress = d->decision->progress;
    note_figures(d);
    post_notes(d);
    write_status(d);
}

/* --- passes -------------------------------------------------------------------------------------------------------------------------------- */

static void begin_pass(struct driver *d, const char *key)
{
    d->key = strdup(key);
    d->arena = arena_new(65536);
    memset(&d->world, 0, sizeof d->world);
    d->round = 0;
    d->intent = 0;
    if (!d->key)
        die("out of memory");
    if (d->o.ready && !d->o.ready(d->o.arg, key)) {
        d->stats.stale_skips++;
        work_queue_add_after(d->o.queue, key, DRIVER_NOT_READY_MS);
        end_pass(d);
        return;
    }
    if (!d->o.collect(d->o.arg, key, d->arena, &d->world, &d->hold)) {
        strmap_remove(d->memories, key);
        work_queue_forget(d->o.queue, key);
        end_pass(d);
        return;
    }
    d->stats.passes++;
    d->memory = memory_of(d, key);
    d->world.observations = d->observations;
    d->world.config = d->o.config;
    d->world.epoch = d->o.epoch(d->o.arg);
    d->world.last_effect = d->memory->last_effect;
    d->world.last_error = d->memory->last_effect ? &d->memory->last_error : NULL;
    d->world.last_failures = d->memory->last_failures;
    observations_begin_pass(d->observations);
    decide(d);
}

static void start_next(void *arg)
{
    struct driver *d = arg;
    d->next_timer = 0;
    if (d->key || d->paused)
        return;
    const char *key = work_queue_get(d->o.queue);
    if (key)
        begin_pass(d, key);
}

static void cancel_reads(struct driver *d);

struct driver *driver_new(const struct driver_options *o)
{
    struct driver *d = calloc(1, sizeof *d);
    if (!d)
        die("out of memory");
    d->o = *o;
    if (!d->o.decide)
        d->o.decide = reconcile_decide;
    d->observations = observations_new();
    d->memories = strmap_new(DRIVER_BINDINGS_MAX, memory_free);
    d->decision = calloc(1, sizeof *d->decision);
    if (!d->decision)
        die("out of memory");
    d->paused = true;
    return d;
}

void driver_free(struct driver *d)
{
    if (!d)
        return;
    d->o.clock.timer_stop(d->o.clock.ctx, d->next_timer);
    if (d->ticket)
        d->o.effector.cancel(d->o.effector.ctx, d->ticket);
    cancel_reads(d);
    if (d->key && d->hold)
        d->o.release(d->o.arg, d->hold);
    arena_free(d->arena);
    free(d->key);
    free(d->readings);
    free(d->decision);
    observations_free(d->observations);
    strmap_free(d->memories);
    free(d);
}

void driver_wake(struct driver *d)
{
    d->paused = false;
    if (!d->key && !d->next_timer)
        d->next_timer = d->o.clock.timer_start(d->o.clock.ctx, 0, start_next, d);
}

static void cancel_reads(struct driver *d)
{
    for (size_t i = 0; i < d->nreadings && d->readings; i++)
        if (d->readings[i].ticket)
            d->o.effector.cancel(d->o.effector.ctx, d->readings[i].ticket);
    d->nreadings = 0;
}

void driver_nudge(struct driver *d)
{
    bool reading = d && d->key && d->reads_open > 0 && !d->ticket;
    if (!reading || boot(d) - d->reading_since_ms < DRIVER_READ_PATIENCE_MS)
        return;
    cancel_reads(d);
    d->reads_open = 0;
    work_queue_add(d->o.queue, d->key);
    end_pass(d);
}

void driver_pause(struct driver *d)
{
    d->paused = true;
}

bool driver_idle(const struct driver *d)
{
    return d->key == NULL;
}

void driver_stats(const struct driver *d, struct driver_stats *out)
{
    *out = d->stats;
}
