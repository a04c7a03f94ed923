#include "controller/leader.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/log.h"
#include "platform/base/random.h"
#include "platform/base/str.h"
#include "platform/base/timefmt.h"

enum state { STANDBY, LEADING, LOST };
enum asking { NOTHING, GETTING, CREATING, UPDATING, RELEASING };

struct leader {
    struct leader_options o;
    char ns[256], name[256], identity[256];
    struct effector effector;
    struct clock clock;
    struct prng prng;
    enum state state;
    enum asking asking;
    uint64_t ticket, timer;
    int64_t sent_boot_ms;      /* of the call under way */
    json *lease;               /* as observed last */
    char *raw_spec;            /* canonical text: the record whose changes are timed */
    int64_t observed_boot_ms;
    int64_t renewed_boot_ms;   /* send time of the last successful renewal; 0: never */
    int64_t epoch;
    void (*released)(void *arg);
    void *released_arg;
};

static int64_t now(const struct leader *l)
{
    return l->clock.boot_ms(l->clock.ctx);
}

static const char *holder(const struct leader *l)
{
    return str_or(json_str(l->lease, "spec.holderIdentity"), "");
}

static int64_t duration_ms(const struct leader *l)
{
    return json_int64_or(json_path(l->lease, "spec"), "leaseDurationSeconds", 0) * 1000;
}

/* 3 of the algorithm: only a change of the record moves the time at which it was observed. */
static void observe(struct leader *l, json *lease)
{
    struct arena *a = arena_new(0);
    const char *raw = json_canonical(json_get(lease, "spec"), a);
    if (!str_eq(raw, l->raw_spec)) {
        free(l->raw_spec);
        l->raw_spec = strdup(raw);
        l->observed_boot_ms = now(l);
    }
    arena_free(a);
    json_free(l->lease);
    l->lease = lease;
    l->epoch = json_int64_or(json_path(lease, "spec"), "leaseTransitions", 0);
}

static void schedule(struct leader *l, int64_t ms);
static void on_answer(void *arg, struct effect_result *result);

static void ask(struct leader *l, enum asking what, const struct effect *e)
{
    l->asking = what;
    l->sent_boot_ms = now(l);
    l->ticket = l->effector.submit(l->effector.ctx, e, on_answer, l);
}

static void micro_now(const struct leader *l, char out[TIMEFMT_MAX])
{
    timefmt_micro(l->clock.wall_ms(l->clock.ctx) * 1000, out);
}

static void fill_spec(struct leader *l, json *spec, bool mine)
{
    char text[TIMEFMT_MAX];
    micro_now(l, text);
    json_add_str(spec, "holderIdentity", l->identity);
    json_add_int64(spec, "leaseDurationSeconds", (l->o.lease_duration_ms + 999) / 1000);
    json_add_str(spec, "renewTime", text);
    if (mine)
        return;
    json_add_str(spec, "acquireTime", text);
    json_add_int64(spec, "leaseTransitions", json_int64_or(spec, "leaseTransitions", -1) + 1);
}

static void send_update(struct leader *l, bool mine, bool release)
{
    struct arena *a = arena_new(0);
    json *lease = json_dup(l->lease); /* unknown fields of the spec stay (K-LE4) */
    json *spec = (json *)(uintptr_t)json_get(lease, "spec");
    if (!spec)
        spec = json_add_object(lease, "spec");
    fill_spec(l, spec, mine);
    if (release) {
        json_add_str(spec, "holderIdentity", "");
        json_add_int64(spec, "leaseDurationSeconds", 1);
    }
    struct effect *e = effect_new(a, EFFECT_K8S_UPDATE, "resource", "leases", "namespace", l->ns, "name", l->name, NULL);
    e->body = json_print_arena(lease, a);
    json_free(lease);
    ask(l, release ? RELEASING : UPDATING, e);
    arena_free(a);
}

static void send_get(struct leader *l)
{
    struct arena *a = arena_new(0);
    ask(l, GETTING, effect_new(a, EFFECT_K8S_GET, "resource", "leases", "namespace", l->ns, "name", l->name, NULL));
    arena_free(a);
}

static void send_create(struct leader *l)
{
    struct arena *a = arena_new(0);
    json *lease = json_object();
    json_add_str(lease, "apiVersion", "coordination.k8s.io/v1");
    json_add_str(lease, "kind", "Lease");
    json *meta = json_add_object(lease, "metadata");
    json_add_str(meta, "name", l->name);
    json_add_str(meta, "namespace", l->ns);
    fill_spec(l, json_add_object(lease, "spec"), false);
    struct effect *e = effect_new(a, EFFECT_K8S_CREATE, "resource", "leases", "namespace", l->ns, NULL);
    e->body = json_print_arena(lease, a);
    json_free(lease);
    ask(l, CREATING, e);
    arena_free(a);
}

static void lose(struct leader *l, const char *why)
{
    if (l->state != LEADING)
        return;
    l->state = LOST;
    LOG_ERROR("leader", "lost the lease", F_STR("why", why), F_STR("holder", holder(l)));
    l->o.lost(l->o.arg);
}

static void hold(struct leader *l, json *lease)
{
    observe(l, lease);
    l->renewed_boot_ms = l->sent_boot_ms;
    if (l->state == STANDBY) {
        l->state = LEADING;
        LOG_INFO("leader", "leading", F_STR("identity", l->identity), F_INT("epoch", l->epoch));
        l->o.started(l->o.arg);
    }
    schedule(l, l->o.retry_period_ms);
}

/* Not (yet) ours: a holder that stays silent for its duration may be followed; ours was lost at the renew deadline. */
static void try_later(struct leader *l)
{
    if (l->state == LEADING && now(l) - l->renewed_boot_ms >= l->o.renew_deadline_ms) {
        lose(l, "not renewed within --leader-elect-renew-deadline");
        return;
    }
    double jitter = l->state == STANDBY ? 1.0 + 1.2 * prng_unit(&l->prng) : 1.0;
    schedule(l, (int64_t)((double)l->o.retry_period_ms * jitter));
}

static void decide_after_get(struct leader *l)
{
    bool mine = str_eq(holder(l), l->identity);
    if (!mine && l->state == LEADING) {
        lose(l, "another holder has it");
        return;
    }
    bool free_now = holder(l)[0] == '\0' || l->observed_boot_ms + duration_ms(l) <= now(l);
    if (mine || free_now)
        send_update(l, mine && l->state == LEADING, false);
    else
        try_later(l);
}

static void after_release(struct leader *l)
{
    void (*done)(void *) = l->released;
    l->released = NULL;
    l->clock.timer_stop(l->clock.ctx, l->timer);
    l->timer = 0;
    if (done)
        done(l->released_arg);
}

static void on_answer(void *arg, struct effect_result *r)
{
    struct leader *l = arg;
    enum asking asked = l->asking;
    json *value = r->value;
    r->value = NULL;
    l->asking = NOTHING;
    l->ticket = 0;
    if (l->released || l->state == LOST) {
        json_free(value);
        if (l->released && asked != RELEASING && l->lease && str_eq(holder(l), l->identity))
            send_update(l, true, true); /* a renewal was under way: its answer carries the newest version, or the release is refused */
        else if (l->released)
            after_release(l);
        return;
    }
    if (r->error.code == ERR_NONE && asked == GETTING) {
        observe(l, value);
        decide_after_get(l);
        return;
    }
    if (r->error.code == ERR_NONE) {
        hold(l, value);
        return;
    }
    json_free(value);
    if (asked == GETTING && r->error.code == ERR_NOT_FOUND) {
        send_create(l);
        return;
    }
    LOG_DEBUG("leader", "lease call failed", F_STR("error", r->error.message));
    /* Whatever we believed of the lease is read again before the next try. */
    json_free(l->lease);
    l->lease = NULL;
    try_later(l);
}

static void on_timer(void *arg)
{
    struct leader *l = arg;
    l->timer = 0;
    if (l->state == LOST || l->released)
        return;
    if (l->asking != NOTHING) { /* hung: the deadline decides even without an answer (K-LE3) */
        if (l->state == LEADING && now(l) - l->renewed_boot_ms >= l->o.renew_deadline_ms)
            lose(l, "a renewal hung beyond --leader-elect-renew-deadline");
        else
            schedule(l, 200);
        return;
    }
    bool mine = l->state == LEADING && l->lease && str_eq(holder(l), l->identity);
    if (mine)
        send_update(l, true, false); /* the fast path: no GET */
    else
        send_get(l);
    if (l->state == LEADING && !l->timer)
        schedule(l, l->o.renew_deadline_ms - (now(l) - l->renewed_boot_ms) + 1);
}

static void schedule(struct leader *l, int64_t ms)
{
    l->clock.timer_stop(l->clock.ctx, l->timer);
    l->timer = l->clock.timer_start(l->clock.ctx, ms > 0 ? ms : 0, on_timer, l);
}

struct leader *leader_new(const struct leader_options *o, struct effector effector, struct clock clock)
{
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

void leader_free(struct leader *l)
{
    if (!l)
        return;
    l->clock.timer_stop(l->clock.ctx, l->timer);
    if (l->ticket)
        l->effector.cancel(l->effector.ctx, l->ticket);
    json_free(l->lease);
    free(l->raw_spec);
    free(l);
}

void leader_start(struct leader *l)
{
    schedule(l, 0);
}

bool leader_is_leading(const struct leader *l)
{
    return l->state == LEADING;
}

bool leader_may_write(const struct leader *l)
{
    int64_t last = l->o.lease_duration_ms - LEADER_WRITE_MAX_MS - LEADER_MARGIN_MS;
    if (last < l->o.lease_duration_ms / 2)
        last = l->o.lease_duration_ms / 2;
    if (last > l->o.renew_deadline_ms)
        last = l->o.renew_deadline_ms;
    return l->state == LEADING && !l->released && now(l) - l->renewed_boot_ms <= last;
}

int64_t leader_epoch(const struct leader *l)
{
    return l->epoch;
}

int64_t leader_renew_age_ms(const struct leader *l)
{
    return l->renewed_boot_ms ? now(l) - l->renewed_boot_ms : -1;
}

const char *leader_holder(const struct leader *l)
{
    return holder(l);
}

static void on_release_timeout(void *arg)
{
    struct leader *l = arg;
    l->timer = 0;
    after_release(l);
}

void leader_release(struct leader *l, void (*done)(void *arg), void *arg)
{
    l->released = done;
    l->released_arg = arg;
    l->clock.timer_stop(l->clock.ctx, l->timer);
    l->timer = l->clock.timer_start(l->clock.ctx, LEADER_WRITE_MAX_MS, on_release_timeout, l);
    if (l->asking != NOTHING)
        return; /* its answer goes on */
    if (l->state == LEADING && l->lease)
        send_update(l, true, true);
    else
        after_release(l);
}
