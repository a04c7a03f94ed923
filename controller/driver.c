#include "controller/driver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "controller/decision_log.h"
#include "platform/base/log.h"
#include "platform/base/mutant.h"
#include "platform/base/str.h"
#include "platform/base/strmap.h"

/* What the process remembers of one binding. */
struct memory {
    char uid[64];      /* a binding made anew under the same name begins with nothing */
    unsigned given_up; /* passes in a row whose reads were given up for news */
    struct progress progress;
    struct arena *failure_arena;
    const struct effect *last_effect; /* that failed; NULL: none */
    struct error last_error;
    int last_failures;
    int told_failures;                 /* of these the status has told */
    int64_t not_before_boot_ms;        /* the server asked not to be sent last_effect earlier; 0: it did not */
    int64_t status_not_before_boot_ms; /* nor the status */
    bool status_refused;               /* and nothing was done since, for want of it */
};

struct reading {
    struct driver *driver;
    const struct effect *effect;
    uint64_t ticket; /* 0: not asked yet, or answered */
};

struct driver {
    struct driver_options o;
    struct operator_config config; /* the options' own, with the audit interval of the moment */
    struct observations *observations;
    struct strmap *memories;
    struct driver_stats stats;
    bool paused;
    int64_t unsettled_until_ms; /* boot; 0: never was */

    /* the pass under way; key NULL: none */
    char *key;
    int64_t begun_ms;
    struct arena *arena;
    struct world world;
    void *hold;
    struct memory *memory;
    struct decision *decision;
    int round;
    struct reading *readings;
    size_t nreadings, reads_sent, reads_open;
    int64_t reading_since_ms;
    uint64_t ticket; /* of the write under way */
    int64_t sent_ms;
    int64_t intent;
    uint64_t next_timer;
};

static void memory_free(void *value) {
    struct memory *m = value;
    arena_free(m->failure_arena);
    free(m);
}

static void forget_failure(struct memory *m) {
    m->last_effect = NULL;
    m->last_failures = m->told_failures = 0;
    m->not_before_boot_ms = 0;
}

static void remember_failure(struct memory *m, const struct effect *e, const struct error *err) {
    struct arena *a = arena_new(0);
    bool same =
        m->last_effect && m->last_error.code == err->code && str_eq(effect_key(m->last_effect, a), effect_key(e, a));
    m->last_effect = effect_dup(e, a);
    arena_free(m->failure_arena);
    m->failure_arena = a;
    m->last_error = *err;
    m->last_failures = same ? m->last_failures + 1 : 1;
    if (!same)
        m->told_failures = 0;
}

/* What an earlier process saw, as if it were seen now: S11 says what that is worth. */
static void trust_stored(void *arg, const char *key, int64_t wall_ms, const char *json_text) {
    struct driver *d = arg;
    struct error err;
    (void)wall_ms;
    json *value = json_parse(json_text, strlen(json_text), &err);
    if (value)
        observations_put(d->observations, key, value, NULL, d->o.clock.boot_ms(d->o.clock.ctx));
}

static struct memory *memory_of(struct driver *d, const char *name, const char *uid) {
    struct memory *m = strmap_get(d->memories, name);
    if (m && str_eq(m->uid, uid))
        return m;
    (void)strmap_remove(d->memories, name);
    /* Whether the job applies at all is asked anew, not read off answers that another binding's passes left behind. */
    observations_free(d->observations);
    d->observations = observations_new();
    if (MUTANT(state_file_is_trusted) && d->o.store)
        d->o.store->observation_each(d->o.store->ctx, trust_stored, d);
    if (strmap_count(d->memories) >= DRIVER_BINDINGS_MAX)
        return NULL;
    m = calloc(1, sizeof *m);
    if (!m)
        die("out of memory");
    (void)str_copy(m->uid, sizeof m->uid, uid);
    (void)strmap_set(d->memories, name, m);
    return m;
}

static int64_t boot(const struct driver *d) {
    return d->o.clock.boot_ms(d->o.clock.ctx);
}

static int64_t wall(const struct driver *d) {
    return d->o.clock.wall_ms(d->o.clock.ctx);
}

/* --- the end of a pass --- */

static void start_next(void *arg);

static void end_pass(struct driver *d) {
    d->stats.pass_ms += (uint64_t)(boot(d) - d->begun_ms);
    if (d->hold)
        d->o.release(d->o.arg, d->hold);
    work_queue_done(d->o.queue, d->key);
    arena_free(d->arena);
    free(d->key);
    free(d->readings);
    d->key = NULL;
    d->hold = NULL;
    d->arena = NULL;
    d->readings = NULL;
    d->nreadings = d->reads_sent = d->reads_open = 0;
    if (!d->next_timer)
        d->next_timer = d->o.clock.timer_start(d->o.clock.ctx, 0, start_next, d);
}

/* err NULL: a failure of ours. */
static void pass_failed(struct driver *d, const struct error *err) {
    d->stats.failed++;
    if (err && err->retry_after_ms > 0 && !MUTANT(retry_after_is_ignored))
        work_queue_add_after(d->o.queue, d->key, err->retry_after_ms);
    else
        work_queue_add_rate_limited(d->o.queue, d->key);
    end_pass(d);
}

static void pass_put_off(struct driver *d, int64_t ms) {
    d->stats.put_off++;
    work_queue_add_after(d->o.queue, d->key, ms);
    end_pass(d);
}

static void pass_quiet(struct driver *d) {
    d->stats.quiet++;
    work_queue_forget(d->o.queue, d->key);
    if (d->decision->requeue_after_ms > 0)
        work_queue_add_after(d->o.queue, d->key, d->decision->requeue_after_ms);
    end_pass(d);
}

static void pass_acted(struct driver *d) {
    d->stats.acted++;
    work_queue_forget(d->o.queue, d->key);
    work_queue_add(d->o.queue, d->key);
    end_pass(d);
}

/* --- acting --- */

static const struct step *step_of(const struct driver *d) {
    return d->decision->nsteps > 0 ? &d->decision->steps[0] : NULL;
}

static bool is_destructive(const struct step *s) {
    return s && effect_class(s->effect->kind) == EFFECT_DESTRUCTIVE;
}

static bool fenced(struct driver *d) {
    if (!d->o.may_write || d->o.may_write(d->o.arg))
        return false;
    d->stats.fenced++;
    LOG_DEBUG("driver", "not written now: the lease is not fresh enough", F_STR("binding", d->key));
    return true;
}

static void open_intent(struct driver *d, const struct step *s) {
    d->intent = 0;
    if (!s->external || !d->o.store)
        return;
    struct store_intent intent = {.digest = effect_digest(s->effect, d->arena),
                                  .description = effect_describe(s->effect, d->arena),
                                  .binding_uid = d->world.binding->uid,
                                  .epoch = d->world.epoch,
                                  .wall_ms = wall(d)};
    d->intent = d->o.store->intent_open(d->o.store->ctx, &intent);
}

static void audit(struct driver *d, const struct decision_record *record) {
    if (!d->o.store)
        return;
    const struct step *s = record->step;
    assert(s);
    struct store_audit entry = {.wall_ms = wall(d),
                                .binding_uid = d->world.binding->uid,
                                .effect = effect_describe(s->effect, d->arena),
                                .digest = effect_digest(s->effect, d->arena),
                                .outcome = record->error->code ? error_name(record->error->code) : "ok",
                                .request_id = record->request_id,
                                .epoch = d->world.epoch,
                                .detail = decision_detail(record, d->arena)};
    d->o.store->audit(d->o.store->ctx, &entry);
    if (d->intent)
        d->o.store->intent_close(d->o.store->ctx, d->intent, entry.outcome);
    d->intent = 0;
}

static void tell_informers(struct driver *d, const struct effect *e, const json *value) {
    const char *rv = json_str(value, "metadata.resourceVersion"), *resource = effect_arg(e, "resource");
    if (rv && resource && d->o.wrote)
        d->o.wrote(d->o.arg, d->key, resource, rv);
}

static int64_t asked_to_wait_ms(const struct error *err) {
    if (err->retry_after_ms <= 0 || MUTANT(retry_after_is_ignored))
        return 0;
    return err->retry_after_ms < DRIVER_RETRY_AFTER_MAX_MS ? err->retry_after_ms : DRIVER_RETRY_AFTER_MAX_MS;
}

static void step_failed(struct driver *d, const struct step *s, const struct error *err) {
    if (s->external && error_is_ambiguous(err->code))
        driver_unsettled(d);
    if (err->code == ERR_CANCELLED) { /* the client asked may_write again: surely not sent */
        d->stats.fenced++;
        pass_put_off(d, DRIVER_FENCED_MS);
        return;
    }
    d->stats.step_failures++;
    remember_failure(d->memory, s->effect, err);
    int64_t asked = asked_to_wait_ms(err);
    d->memory->not_before_boot_ms = asked > 0 ? boot(d) + asked : 0;
    pass_failed(d, err);
}

static void step_done(struct driver *d, const struct step *s, const json *value) {
    d->stats.steps++;
    forget_failure(d->memory);
    if (effect_service(s->effect->kind) == SERVICE_KUBERNETES)
        tell_informers(d, s->effect, value);
    if (s->event_reason)
        d->o.event(d->o.arg, d->world.binding, false, s->event_reason, "Reconcile", s->event_note);
    pass_acted(d);
}

static void on_step(void *arg, struct effect_result *r) {
    struct driver *d = arg;
    const struct step *s = step_of(d);
    struct decision_record record = {.world = &d->world,
                                     .decision = d->decision,
                                     .step = s,
                                     .error = &r->error,
                                     .request_id = str_or(r->request_id, ""),
                                     .took_ms = boot(d) - d->sent_ms};
    d->ticket = 0;
    if (MUTANT(lost_answer_is_success) && error_is_ambiguous(r->error.code))
        error_clear(&r->error);
    if (MUTANT(no_such_entity_is_success) && r->error.code == ERR_NOT_FOUND)
        error_clear(&r->error);
    audit(d, &record);
    decision_log(&record, d->arena);
    observations_absorb(d->observations, s->effect, r->value, &r->error, boot(d));
    if (r->error.code)
        step_failed(d, s, &r->error);
    else
        step_done(d, s, r->value);
}

/* Modes Plan and Observe write nothing but our own object: the core promises it, this makes sure. */
static bool forbidden(struct driver *d, const struct step *s) {
    bool own = str_eq(effect_arg(s->effect, "resource"), CIB_RESOURCE) && !s->external;
    if (d->world.binding->spec.mode == CIB_MODE_ENFORCE || own || effect_class(s->effect->kind) == EFFECT_READ)
        return false;
    d->stats.violations++;
    LOG_ERROR("driver", "a step in a mode that writes nothing: not done", F_STR("binding", d->key),
              F_STR("effect", effect_describe(s->effect, d->arena)));
    return true;
}

/* News wake a pass early; the step that the server does not want yet waits all the same, any other goes. */
static int64_t left_to_wait_ms(const struct driver *d, const struct step *s) {
    const struct memory *m = d->memory;
    int64_t left = m->not_before_boot_ms - boot(d);
    bool same =
        left > 0 && m->last_effect && str_eq(effect_key(m->last_effect, d->arena), effect_key(s->effect, d->arena));
    return same ? left : 0;
}

static void act(struct driver *d) {
    const struct step *s = step_of(d);
    int64_t left_ms = s ? left_to_wait_ms(d, s) : 0;
    if (!s) {
        forget_failure(d->memory);
        pass_quiet(d);
    } else if (forbidden(d, s)) {
        pass_failed(d, NULL);
    } else if (fenced(d)) {
        pass_put_off(d, DRIVER_FENCED_MS);
    } else if (left_ms > 0) {
        pass_put_off(d, left_ms);
    } else {
        open_intent(d, s);
        d->sent_ms = boot(d);
        d->ticket = d->o.effector.submit(d->o.effector.ctx, s->effect, on_step, d);
    }
}

/* --- status --- */

/* Its compare-and-swap carries the version that was seen: a status write before it would only make it miss. */
static bool patches_binding(const struct step *s) {
    return s && str_eq(effect_arg(s->effect, "resource"), CIB_RESOURCE);
}

static bool anything_is_off(const struct driver *d) {
    const struct cib_status *s = &d->world.binding->status;
    for (size_t i = 0; i < s->nnode_roles; i++)
        if (s->node_roles[i].detached.n > 0)
            return true;
    return false;
}

static bool gives_back(const struct step *s) {
    return s && str_eq(s->gate, "G8") && effect_class(s->effect->kind) == EFFECT_WRITE;
}

/* Who lives on the role alone waits for no sentence: what gives back, and what repairs the role while a policy is off. */
static bool waits_for_no_status(const struct driver *d) {
    const struct step *s = step_of(d);
    if (!s || effect_class(s->effect->kind) != EFFECT_WRITE)
        return false;
    return gives_back(s) ||
           (anything_is_off(d) && (s->external || str_eq(effect_arg(s->effect, "resource"), "serviceaccounts")));
}

/* S1': what gives back waits neither for a server that wants no status for good, or not for a while, nor until a watch that
 * lags shows the version that a status has to name. */
static bool goes_without_status(const struct driver *d, const struct error *err) {
    bool for_good = error_disposition(err->code) == DISPOSITION_STALL && err->code != ERR_NOT_FOUND;
    bool overtaken = err->code == ERR_CONFLICT && gives_back(step_of(d));
    return overtaken || (waits_for_no_status(d) && (for_good || asked_to_wait_ms(err) > 0));
}

static void status_failed(struct driver *d, const struct error *err) {
    LOG_WARN("driver", "status not written", F_STR("binding", d->key), F_STR("error", err->message));
    int64_t asked = asked_to_wait_ms(err);
    d->memory->status_not_before_boot_ms = asked > 0 ? boot(d) + asked : 0;
    d->memory->status_refused = err->code != ERR_CANCELLED && err->code != ERR_CONFLICT;
    if (err->code == ERR_CANCELLED)
        pass_put_off(d, DRIVER_FENCED_MS);
    else if (goes_without_status(d, err))
        act(d);
    else
        pass_failed(d, err);
}

static void on_status(void *arg, struct effect_result *r) {
    struct driver *d = arg;
    d->ticket = 0;
    if (r->error.code) {
        status_failed(d, &r->error);
        return;
    }
    d->stats.status_writes++;
    d->memory->status_refused = false;
    const char *rv = json_str(r->value, "metadata.resourceVersion");
    if (rv && d->o.wrote)
        d->o.wrote(d->o.arg, d->key, CIB_RESOURCE, rv);
    if (patches_binding(step_of(d)))
        pass_put_off(d, DRIVER_NOT_READY_MS);
    else
        act(d);
}

static bool status_differs(struct driver *d) {
    json *now = cib_status_encode(&d->world.binding->status), *next = cib_status_encode(&d->decision->status);
    bool differs = !json_equal(now, next) || MUTANT(status_with_every_pass);
    json_free(now);
    json_free(next);
    return differs;
}

static bool status_is_due(struct driver *d) {
    const struct step *s = step_of(d);
    if (is_destructive(s) && s->external && !MUTANT(intent_is_not_announced))
        return true; /* S6b: the swap is the proof, not the text */
    if (!status_differs(d))
        return false;
    if (!patches_binding(s))
        return true;
    /* The step goes first, unless it failed and nobody was told (L3). */
    bool untold = d->memory->told_failures != d->memory->last_failures;
    d->memory->told_failures = d->memory->last_failures;
    return untold;
}

static void write_status(struct driver *d) {
    const struct cib_binding *b = d->world.binding;
    if (!status_is_due(d)) {
        d->memory->status_refused = false;
        act(d);
        return;
    }
    if (fenced(d)) {
        pass_put_off(d, DRIVER_FENCED_MS);
        return;
    }
    int64_t left_ms = d->memory->status_not_before_boot_ms - boot(d);
    if (left_ms > 0 && !MUTANT(status_goes_out_early)) { /* news woke this pass early */
        if (waits_for_no_status(d))
            act(d);
        else
            pass_put_off(d, left_ms);
        return;
    }
    /* S3: who took over with an old picture would write over what was detached meanwhile, and nobody knew of it any more. */
    bool blind =
        MUTANT(intent_without_compare_and_swap) || (MUTANT(own_writes_are_not_awaited) && !is_destructive(step_of(d)));
    const char *seen = blind ? NULL : b->resource_version;
    json *document = cib_status_apply_document(b, &d->decision->status, seen);
    struct effect *e = effect_new(d->arena, EFFECT_K8S_APPLY_STATUS, "resource", CIB_RESOURCE, "name", b->name,
                                  "fieldManager", FIELD_MANAGER, "force", "true", NULL);
    e->body = json_print_arena(document, d->arena);
    json_free(document);
    d->ticket = d->o.effector.submit(d->o.effector.ctx, e, on_status, d);
}

/* --- deciding --- */

static void decide(struct driver *d);

static void post_notes(struct driver *d) {
    const struct decision *x = d->decision;
    for (size_t i = 0; i < x->nnotes; i++)
        d->o.event(d->o.arg, d->world.binding, x->notes[i].warning, x->notes[i].reason, x->notes[i].action,
                   x->notes[i].note);
}

static void note_figures(struct driver *d) {
    const struct cib_status *s = &d->decision->status;
    d->stats.nodes_total = s->nodes.total;
    d->stats.nodes_proven = s->nodes.proven;
    d->stats.uninjected = s->nodes.total - s->nodes.proven;
    d->stats.intents_open = 0;
    for (size_t i = 0; i < s->nnode_roles; i++)
        d->stats.intents_open += s->node_roles[i].intent.action != NULL;
}

/* For people and for later runs; nothing is decided by it (S11). */
static void remember_reading(struct driver *d, const struct effect *e, const char *key, const struct effect_result *r) {
    if (!d->o.store || !r->value || effect_service(e->kind) == SERVICE_KUBERNETES)
        return;
    char *text = json_print(r->value);
    d->o.store->observation_put(d->o.store->ctx, key, wall(d), effect_digest(e, d->arena), text);
    free(text);
}

static void send_reads(struct driver *d);

static void on_read(void *arg, struct effect_result *r) {
    struct reading *reading = arg;
    struct driver *d = reading->driver;
    reading->ticket = 0;
    const char *key = effect_key(reading->effect, d->arena);
    remember_reading(d, reading->effect, key, r);
    observations_put(d->observations, key, r->value, &r->error, boot(d));
    r->value = NULL;
    d->reads_open--;
    if (d->reads_sent < d->nreadings)
        send_reads(d);
    else if (d->reads_open == 0)
        decide(d);
}

static void send_reads(struct driver *d) {
    while (d->reads_sent < d->nreadings && d->reads_open < DRIVER_READS_UNDERWAY) {
        struct reading *r = &d->readings[d->reads_sent++];
        d->reads_open++;
        r->ticket = d->o.effector.submit(d->o.effector.ctx, r->effect, on_read, r);
    }
}

static void read_all(struct driver *d) {
    const struct decision *x = d->decision;
    free(d->readings);
    d->nreadings = x->nreads;
    d->reads_sent = d->reads_open = 0;
    d->readings = calloc(x->nreads, sizeof *d->readings);
    if (!d->readings)
        die("out of memory");
    for (size_t i = 0; i < d->nreadings; i++)
        d->readings[i] = (struct reading){.driver = d, .effect = x->reads[i]};
    d->reading_since_ms = boot(d);
    d->stats.read_rounds++;
    d->stats.reads += x->nreads;
    send_reads(d);
}

static void give_up_reading(struct driver *d) {
    for (size_t i = 0; i < d->reads_sent; i++)
        if (d->readings[i].ticket)
            d->o.effector.cancel(d->o.effector.ctx, d->readings[i].ticket);
    d->nreadings = d->reads_sent = d->reads_open = 0;
}

static void decide(struct driver *d) {
    struct decision *x = d->decision;
    d->world.now_boot_ms = boot(d);
    d->world.now_wall_ms = wall(d);
    d->o.decide(&d->world, &d->memory->progress, d->arena, x);
    if (x->nreads > 0 && d->round++ < RECONCILE_ROUNDS_MAX) {
        read_all(d);
        return;
    }
    if (x->nreads > 0) {
        d->stats.violations++;
        LOG_ERROR("driver", "the reads of a pass do not end", F_STR("binding", d->key),
                  F_STR("read", effect_describe(x->reads[0], d->arena)));
        pass_failed(d, NULL);
        return;
    }
    d->memory->progress = x->progress;
    d->memory->given_up = 0;
    note_figures(d);
    post_notes(d);
    write_status(d);
}

/* --- passes --- */

static bool has_unsettled_intent(const struct driver *d) {
    const struct cib_status *s = &d->world.binding->status;
    for (size_t i = 0; i < s->nnode_roles; i++) {
        const struct cib_intent *in = &s->node_roles[i].intent;
        if (in->action && in->epoch != d->world.epoch && wall(d) - in->at_ms < DRIVER_UNSETTLED_MS)
            return true;
    }
    return false;
}

/* S6c: until it is over, what may still commit is looked at often enough to be undone. */
static void set_config(struct driver *d) {
    d->config = *d->o.config;
    bool unsettled = boot(d) < d->unsettled_until_ms || has_unsettled_intent(d);
    if (unsettled && d->config.aws_audit_interval_ms > DRIVER_UNSETTLED_AUDIT_MS)
        d->config.aws_audit_interval_ms = DRIVER_UNSETTLED_AUDIT_MS;
}

static void fill_world(struct driver *d) {
    struct world *w = &d->world;
    w->observations = d->observations;
    w->epoch = d->o.epoch(d->o.arg);
    w->config = &d->config;
    w->last_effect = d->memory->last_effect;
    w->last_error = d->memory->last_effect ? &d->memory->last_error : NULL;
    w->last_failures = d->memory->last_failures;
    w->status_refused = d->memory->status_refused;
    set_config(d);
}

static void binding_is_gone(struct driver *d) {
    (void)strmap_remove(d->memories, d->key);
    work_queue_forget(d->o.queue, d->key);
    end_pass(d);
}

static void begin_pass(struct driver *d, const char *key) {
    d->key = strdup(key);
    if (!d->key)
        die("out of memory");
    d->arena = arena_new(65536);
    d->begun_ms = boot(d);
    memset(&d->world, 0, sizeof d->world);
    d->round = 0;
    d->intent = 0;
    if (d->o.ready && !d->o.ready(d->o.arg, key) && !MUTANT(own_writes_are_not_awaited)) {
        d->stats.stale_skips++;
        pass_put_off(d, DRIVER_NOT_READY_MS);
        return;
    }
    if (!d->o.collect(d->o.arg, key, d->arena, &d->world, &d->hold)) {
        binding_is_gone(d);
        return;
    }
    d->memory = memory_of(d, key, d->world.binding->uid);
    if (!d->memory) {
        LOG_ERROR("driver", "too many bindings: this one waits", F_STR("binding", key),
                  F_INT("max", DRIVER_BINDINGS_MAX));
        pass_put_off(d, DRIVER_REFUSED_MS);
        return;
    }
    d->stats.passes++;
    fill_world(d);
    observations_begin_pass(d->observations);
    decide(d);
}

static void start_next(void *arg) {
    struct driver *d = arg;
    d->next_timer = 0;
    if (d->key || d->paused)
        return;
    const char *key = work_queue_get(d->o.queue);
    if (key)
        begin_pass(d, key);
}

/* --- life --- */

struct driver *driver_new(const struct driver_options *o) {
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

void driver_free(struct driver *d) {
    if (!d)
        return;
    d->o.clock.timer_stop(d->o.clock.ctx, d->next_timer);
    if (d->ticket)
        d->o.effector.cancel(d->o.effector.ctx, d->ticket);
    give_up_reading(d);
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

void driver_wake(struct driver *d) {
    d->paused = false;
    if (!d->key && !d->next_timer)
        d->next_timer = d->o.clock.timer_start(d->o.clock.ctx, 0, start_next, d);
}

static bool is_reading(const struct driver *d) {
    return d->key && d->reads_open > 0;
}

void driver_nudge(struct driver *d) {
    if (!d || !is_reading(d))
        return;
    /* Twice as patient each time: where news never end, a slow read still comes to its end. */
    unsigned doublings =
        d->memory->given_up < DRIVER_PATIENCE_DOUBLINGS ? d->memory->given_up : DRIVER_PATIENCE_DOUBLINGS;
    if (boot(d) - d->reading_since_ms < (int64_t)DRIVER_READ_PATIENCE_MS << doublings)
        return;
    d->memory->given_up++;
    give_up_reading(d);
    pass_put_off(d, 0);
}

void driver_pause(struct driver *d) {
    d->paused = true;
    if (is_reading(d)) {
        give_up_reading(d);
        pass_put_off(d, 0);
    }
}

bool driver_idle(const struct driver *d) {
    return d->key == NULL;
}

void driver_unsettled(struct driver *d) {
    d->unsettled_until_ms = boot(d) + DRIVER_UNSETTLED_MS;
}

void driver_stats(const struct driver *d, struct driver_stats *out) {
    *out = d->stats;
}
