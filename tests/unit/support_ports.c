#include "support_ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

void ports_init(struct ports *p) {
    memset(p, 0, sizeof *p);
    p->wall = 1767322800123; /* 2026-01-02T03:00:00.123Z */
    p->boot = 1000000;
    p->arena = arena_new(0);
}

void ports_done(struct ports *p) {
    for (int i = 0; i < p->ncalls; i++)
        json_free(p->calls[i].body);
    arena_free(p->arena);
}

/* --- clock --- */

static int64_t wall_ms(void *ctx) {
    return ((struct ports *)ctx)->wall;
}

static int64_t boot_ms(void *ctx) {
    return ((struct ports *)ctx)->boot;
}

static uint64_t timer_start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    struct ports *p = ctx;
    assert_true(delay_ms >= 0);
    assert_true(p->ntimers < PORTS_TIMERS_MAX);
    p->timers[p->ntimers++] = (struct ports_timer){++p->last_ticket, p->boot + delay_ms, fire, arg};
    return p->last_ticket;
}

static void timer_stop(void *ctx, uint64_t ticket) {
    struct ports *p = ctx;
    for (int i = 0; ticket && i < p->ntimers; i++)
        if (p->timers[i].ticket == ticket) {
            p->timers[i] = p->timers[--p->ntimers];
            return;
        }
}

struct clock ports_clock(struct ports *p) {
    return (struct clock){
        .ctx = p, .wall_ms = wall_ms, .boot_ms = boot_ms, .timer_start = timer_start, .timer_stop = timer_stop};
}

static struct ports_timer *next_timer(struct ports *p) {
    struct ports_timer *next = NULL;
    for (int i = 0; i < p->ntimers; i++) {
        struct ports_timer *t = &p->timers[i];
        if (!next || t->at < next->at || (t->at == next->at && t->ticket < next->ticket))
            next = t;
    }
    return next;
}

void ports_advance(struct ports *p, int64_t ms) {
    int64_t end = p->boot + ms;
    int fired = 0;
    for (struct ports_timer *t = next_timer(p); t && t->at <= end; t = next_timer(p)) {
        struct ports_timer due = *t;
        timer_stop(p, due.ticket);
        if (due.at > p->boot) {
            p->wall += due.at - p->boot;
            p->boot = due.at;
        }
        due.fire(due.arg);
        assert_true(++fired < 100000); /* a timer that starts itself with no delay for ever is a hot loop */
    }
    p->wall += end - p->boot;
    p->boot = end;
}

/* --- effector --- */

static uint64_t submit(void *ctx, const struct effect *e, effect_done_fn done, void *arg) {
    struct ports *p = ctx;
    struct error err;
    assert_true(p->ncalls < PORTS_CALLS_MAX);
    struct ports_call *c = &p->calls[p->ncalls++];
    *c = (struct ports_call){.ticket = ++p->last_ticket,
                             .effect = effect_dup(e, p->arena),
                             .done = done,
                             .arg = arg,
                             .open = true,
                             .at_boot_ms = p->boot};
    if (e->body)
        assert_non_null(c->body = json_parse(e->body, strlen(e->body), &err));
    return c->ticket;
}

static void cancel(void *ctx, uint64_t ticket) {
    struct ports *p = ctx;
    for (int i = 0; i < p->ncalls; i++)
        if (p->calls[i].ticket == ticket && p->calls[i].open) {
            p->calls[i].open = false;
            p->cancelled++;
            return;
        }
    fail_msg("cancel of a call that is not open");
}

struct effector ports_effector(struct ports *p) {
    return (struct effector){.ctx = p, .submit = submit, .cancel = cancel};
}

int ports_open(const struct ports *p) {
    int n = 0;
    for (int i = 0; i < p->ncalls; i++)
        n += p->calls[i].open;
    return n;
}

struct ports_call *ports_oldest(struct ports *p) {
    for (int i = 0; i < p->ncalls; i++)
        if (p->calls[i].open)
            return &p->calls[i];
    fail_msg("nothing was asked");
    return NULL;
}

struct ports_call *ports_last(struct ports *p) {
    assert_true(p->ncalls > 0);
    return &p->calls[p->ncalls - 1];
}

struct ports_call *ports_find(struct ports *p, enum effect_kind k) {
    for (int i = 0; i < p->ncalls; i++)
        if (p->calls[i].open && p->calls[i].effect->kind == k)
            return &p->calls[i];
    return NULL;
}

int ports_count(const struct ports *p, enum effect_kind k) {
    int n = 0;
    for (int i = 0; i < p->ncalls; i++)
        n += p->calls[i].effect->kind == k;
    return n;
}

static void deliver(struct ports_call *c, struct effect_result *r) {
    assert_true(c->open);
    c->open = false;
    c->done(c->arg, r);
    json_free(r->value);
}

void ports_answer(struct ports *p, struct ports_call *c, const char *json_text) {
    struct effect_result r = {.request_id = "request-1"};
    struct error err;
    (void)p;
    if (json_text)
        assert_non_null(r.value = json_parse(json_text, strlen(json_text), &err));
    deliver(c, &r);
}

void ports_fail(struct ports *p, struct ports_call *c, enum err_code code, const char *message) {
    struct effect_result r = {.request_id = "request-1"};
    (void)p;
    error_set(&r.error, code, "%s", message);
    deliver(c, &r);
}
