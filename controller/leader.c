#include "controller/leader.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/log.h"
#include "platform/base/mutant.h"
#include "platform/base/random.h"
#include "platform/base/str.h"
#include "platform/base/timefmt.h"

#define RELEASE_RETRY_MS 200
#define OBSERVED_DURATION_MAX_S 86400 /* of a record that somebody else wrote: no overflow */

enum state { STANDBY, LEADING, LEAVING, LOST };
enum asking { NOTHING, GETTING, CREATING, UPDATING, RELEASING };

struct leader {
    struct leader_options o;
    char ns[256], name[256], identity[256];
    struct effector effector;
    struct clock clock;
    struct prng prng;
    enum state state;
    enum asking asking;
    uint64_t ticket, timer, give_up_timer;
    int64_t sent_boot_ms;     /* of the call under way */
    json *lease;              /* as it was seen last; NULL: read it before the next try */
    char holder[256];         /* of that lease, kept for people */
    char *raw_spec;           /* canonical text: the record whose changes are timed */
    int64_t observed_boot_ms; /* when raw_spec changed last */
    int64_t renewed_boot_ms;  /* when the last successful renewal was sent */
    bool renewed;
    int64_t epoch, wanted_epoch;
    void (*left)(void *arg);
    void *left_arg;
};

static void on_answer(void *arg, struct effect_result *result);
static void on_tick(void *arg);

static int64_t now(const struct leader *l) {
    return l->clock.boot_ms(l->clock.ctx);
}

static void tick_after(struct leader *l, int64_t ms) {
    l->clock.timer_stop(l->clock.ctx, l->timer);
    l->timer = l->clock.timer_start(l->clock.ctx, ms > 0 ? ms : 0, on_tick, l);
}

/* --- the record --- */

static const json *spec_of(const struct leader *l) {
    return json_get(l->lease, "spec");
}

static bool is_mine(const struct leader *l) {
    return l->lease && str_eq(json_str(spec_of(l), "holderIdentity"), l->identity);
}

/* Step 3 of the algorithm: only a change of the record moves the time at which it was observed. Takes lease. */
static void observe(struct leader *l, json *lease) {
    struct arena *a = arena_new(0);
    const char *raw = json_canonical(json_get(lease, "spec"), a);
    if (!str_eq(raw, l->raw_spec)) {
        free(l->raw_spec);
        l->raw_spec = strdup(raw);
        if (!l->raw_spec)
            die("out of memory");
        l->observed_boot_ms = now(l);
    }
    arena_free(a);
    json_free(l->lease);
    l->lease = lease;
    str_copy(l->holder, sizeof l->holder, str_or(json_str(spec_of(l), "holderIdentity"), ""));
}

static void forget(struct leader *l) {
    json_free(l->lease);
    l->lease = NULL;
}

/* Nobody's, or unchanged for as long as its holder said. One that says nothing gets our own duration. */
static bool is_free(const struct leader *l) {
    int64_t seconds = json_int64_or(spec_of(l), "leaseDurationSeconds", 0);
    if (seconds > OBSERVED_DURATION_MAX_S)
        seconds = OBSERVED_DURATION_MAX_S;
    int64_t duration = seconds > 0 ? seconds * 1000 : l->o.lease_duration_ms;
    return l->holder[0] == '\0' || l->observed_boot_ms + duration <= now(l);
}

static void renew_spec(struct leader *l, json *spec) {
    char text[TIMEFMT_MAX];
    int64_t seconds = (l->o.lease_duration_ms + 999) / 1000, transitions = json_int64_or(spec, "leaseTransitions", 0);
    timefmt_micro(l->clock.wall_ms(l->clock.ctx) * 1000, text); /* exactly six decimals (K-LE4) */
    if (!str_eq(json_str(spec, "holderIdentity"), l->identity)) {
        json_add_str(spec, "acquireTime", text);
        transitions++;
    }
    if (transitions < l->wanted_epoch)
        transitions = l->wanted_epoch;
    json_add_str(spec, "holderIdentity", l->identity);
    json_add_int64(spec, "leaseDurationSeconds", seconds);
    json_add_str(spec, "renewTime", text);
    json_add_int64(spec, "leaseTransitions", transitions);
}

static void release_spec(struct leader *l, json *spec) {
    char text[TIMEFMT_MAX];
    timefmt_micro(l->clock.wall_ms(l->clock.ctx) * 1000, text);
    json_add_str(spec, "holderIdentity", "");
    json_add_int64(spec, "leaseDurationSeconds", 1);
    json_add_str(spec, "renewTime", text);
}

/* --- calls --- */

static void ask(struct leader *l, enum asking what, enum effect_kind kind, const json *body) {
    struct arena *a = arena_new(0);
    const char *name = kind == EFFECT_K8S_CREATE ? NULL : l->name;
    struct effect *e = effect_new(a, kind, "resource", "leases", "namespace", l->ns, "name", name, NULL);
    e->body = body ? json_print_arena(body, a) : NULL;
    l->asking = what;
    l->sent_boot_ms = now(l);
    l->ticket = l->effector.submit(l->effector.ctx, e, on_answer, l);
    arena_free(a);
}

static void send_get(struct leader *l) {
    ask(l, GETTING, EFFECT_K8S_GET, NULL);
}

/* The whole object goes back, so that fields that we do not know stay (K-LE4). */
static void send_update(struct leader *l, enum asking what) {
    json *lease = json_dup(l->lease);
    json *spec = (json *)(uintptr_t)json_get(lease, "spec");
    if (!spec)
        spec = json_add_object(lease, "spec");
    if (what == RELEASING)
        release_spec(l, spec);
    else
        renew_spec(l, spec);
    ask(l, what, EFFECT_K8S_UPDATE, lease);
    json_free(lease);
}

static void send_create(struct leader *l) {
    json *lease = json_object();
    json_add_str(lease, "apiVersion", "coordination.k8s.io/v1");
    json_add_str(lease, "kind", "Lease");
    json *meta = json_add_object(lease, "metadata");
    json_add_str(meta, "name", l->name);
    json_add_str(meta, "namespace", l->ns);
    json *spec = json_add_object(lease, "spec");
    json_add_int64(spec, "leaseTransitions", -1);
    renew_spec(l, spec);
    ask(l, CREATING, EFFECT_K8S_CREATE, lease);
    json_free(lease);
}

/* --- standby and leading --- */

static void lose(struct leader *l, const char *why) {
    l->state = LOST;
    l->clock.timer_stop(l->clock.ctx, l->timer);
    l->timer = 0;
    LOG_ERROR("leader", "lost the lease", F_STR("why", why), F_STR("holder", l->holder), F_INT("epoch", l->epoch));
    l->o.lost(l->o.arg);
}

static int64_t left_ms(const struct leader *l) {
    return l->o.renew_deadline_ms - (now(l) - l->renewed_boot_ms);
}

/* Not (yet) ours, or not renewed this time. */
static void try_later(struct leader *l) {
    int64_t wait = l->o.retry_period_ms;
    if (l->state == STANDBY)
        wait += (int64_t)((double)wait * LEADER_JITTER * prng_unit(&l->prng));
    else if (left_ms(l) <= 0)
        return lose(l, "not renewed within the renew deadline");
    else if (wait > left_ms(l))
        wait = left_ms(l);
    tick_after(l, wait);
}

static void hold(struct leader *l, json *lease) {
    observe(l, lease);
    l->renewed_boot_ms = l->sent_boot_ms;
    l->renewed = true;
    l->epoch = json_int64_or(spec_of(l), "leaseTransitions", 0);
    bool first = l->state == STANDBY;
    l->state = LEADING;
    tick_after(l, l->o.retry_period_ms);
    if (first) {
        LOG_INFO("leader", "leading", F_STR("identity", l->identity), F_INT("epoch", l->epoch));
        l->o.started(l->o.arg);
    }
}

static void after_get(struct leader *l) {
    if (l->state == LEADING && !is_mine(l))
        lose(l, l->holder[0] ? "another holder has it" : "somebody gave it back");
    else if (is_mine(l) || is_free(l))
        send_update(l, UPDATING);
    else
        try_later(l);
}

static void on_tick(void *arg) {
    struct leader *l = arg;
    l->timer = 0;
    if (l->state == LEADING && left_ms(l) <= 0) {
        lose(l, "not renewed within the renew deadline"); /* also when a call hangs: nobody waits for it (K-LE3) */
        return;
    }
    if (l->asking == NOTHING && l->state == LEADING && is_mine(l))
        send_update(l, UPDATING); /* the fast path */
    else if (l->asking == NOTHING)
        send_get(l);
    if (l->state == LEADING)
        tick_after(l, left_ms(l));
}

static void answered(struct leader *l, enum asking asked, json *value, const struct error *err) {
    if (err->code == ERR_NONE && asked == GETTING) {
        observe(l, value);
        after_get(l);
    } else if (err->code == ERR_NONE) {
        hold(l, value);
    } else if (asked == GETTING && err->code == ERR_NOT_FOUND) {
        json_free(value);
        /* Somebody deleted it: creating is atomic, so we still are the holder, with the same epoch, or another one is.
         */
        if (l->state == LEADING)
            leader_raise_epoch(l, l->epoch);
        send_create(l);
    } else {
        json_free(value);
        LOG_DEBUG("leader", "lease call failed", F_STR("error", err->message));
        if (MUTANT(renewal_is_not_checked))
            l->renewed_boot_ms = l->sent_boot_ms;
        forget(l);
        try_later(l);
    }
}

/* --- leaving --- */

static void leave(struct leader *l) {
    void (*left)(void *) = l->left;
    l->state = LOST;
    l->left = NULL;
    l->clock.timer_stop(l->clock.ctx, l->give_up_timer);
    l->clock.timer_stop(l->clock.ctx, l->timer);
    l->give_up_timer = l->timer = 0;
    if (left)
        left(l->left_arg);
}

static void on_give_up(void *arg) {
    struct leader *l = arg;
    l->give_up_timer = 0;
    LOG_WARN("leader", "the lease was not given back in time: it runs out by itself");
    leave(l);
}

static void on_release_tick(void *arg) {
    struct leader *l = arg;
    l->timer = 0;
    send_get(l);
}

/* The newest version first: a renewal that was under way may have been committed (K-LE3). */
static void leaving_answered(struct leader *l, enum asking asked, json *value, const struct error *err) {
    if (asked == GETTING && err->code == ERR_NONE) {
        observe(l, value);
        if (is_mine(l))
            send_update(l, RELEASING);
        else
            leave(l);
        return;
    }
    json_free(value);
    if ((asked == RELEASING && err->code == ERR_NONE) || (asked == GETTING && err->code == ERR_NOT_FOUND))
        leave(l);
    else if (err->code == ERR_NONE)
        send_get(l);
    else
        l->timer = l->clock.timer_start(l->clock.ctx, RELEASE_RETRY_MS, on_release_tick, l);
}

static void on_answer(void *arg, struct effect_result *r) {
    struct leader *l = arg;
    enum asking asked = l->asking;
    json *value = r->value;
    r->value = NULL;
    l->asking = NOTHING;
    l->ticket = 0;
    if (l->state == LOST)
        json_free(value);
    else if (l->state == LEAVING)
        leaving_answered(l, asked, value, &r->error);
    else
        answered(l, asked, value, &r->error);
}

void leader_release(struct leader *l, void (*done)(void *arg), void *arg) {
    bool held = l->state == LEADING;
    bool may_be_held = held || l->asking == CREATING || l->asking == UPDATING;
    l->left = done;
    l->left_arg = arg;
    if (!may_be_held || l->state == LOST) {
        leave(l);
        return;
    }
    l->state = LEAVING;
    l->clock.timer_stop(l->clock.ctx, l->timer);
    l->timer = 0;
    l->give_up_timer = l->clock.timer_start(l->clock.ctx, LEADER_RELEASE_MS, on_give_up, l);
    if (l->asking == NOTHING)
        send_get(l);
}

/* --- life and questions --- */

struct leader *leader_new(const struct leader_options *o, struct effector effector, struct clock clock) {
    struct leader *l = calloc(1, sizeof *l);
    if (!l)
        die("out of memory");
    l->o = *o;
    str_copy(l->ns, sizeof l->ns, o->ns);
    str_copy(l->name, sizeof l->name, o->name);
    str_copy(l->identity, sizeof l->identity, o->identity);
    l->effector = effector;
    l->clock = clock;
    prng_seed(&l->prng, o->seed);
    return l;
}

void leader_free(struct leader *l) {
    if (!l)
        return;
    l->clock.timer_stop(l->clock.ctx, l->timer);
    l->clock.timer_stop(l->clock.ctx, l->give_up_timer);
    if (l->ticket)
        l->effector.cancel(l->effector.ctx, l->ticket);
    json_free(l->lease);
    free(l->raw_spec);
    free(l);
}

void leader_start(struct leader *l) {
    tick_after(l, 0);
}

bool leader_is_leading(const struct leader *l) {
    return l->state == LEADING;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t leader_write_window_ms(const struct leader_options *o) {
    int64_t write = least(LEADER_WRITE_MAX_MS, o->renew_deadline_ms / 2);
    int64_t margin = least(LEADER_MARGIN_MS, o->renew_deadline_ms / 5);
    return o->renew_deadline_ms - write - margin;
}

bool leader_may_write(const struct leader *l) {
    bool fresh = now(l) - l->renewed_boot_ms <= leader_write_window_ms(&l->o) || MUTANT(any_leader_may_write);
    return l->state == LEADING && fresh;
}

int64_t leader_epoch(const struct leader *l) {
    return l->epoch;
}

void leader_raise_epoch(struct leader *l, int64_t epoch) {
    if (epoch > l->wanted_epoch)
        l->wanted_epoch = epoch;
}

int64_t leader_renew_age_ms(const struct leader *l) {
    return l->renewed ? now(l) - l->renewed_boot_ms : -1;
}

const char *leader_holder(const struct leader *l) {
    return l->holder;
}
