/* aws_history.c - values that IAM stores now and enforces later. */
#include <stdlib.h>
#include <string.h>

#include "simulator/aws_internal.h"

#define FIRST_ROOM 4 /* values of a history before it has to grow */

const json *sim_stored(const struct sim_history *h) {
    return h->n > 0 ? h->v[h->n - 1].value : NULL;
}

const json *sim_enforced(const struct sim_history *h, int64_t now_ms) {
    for (size_t i = h->n; i > 0; i--) {
        if (h->v[i - 1].from_ms <= now_ms) {
            return h->v[i - 1].value;
        }
    }
    return NULL;
}

bool sim_history_gone(const struct sim_history *h, int64_t now_ms) {
    return sim_stored(h) == NULL && sim_enforced(h, now_ms) == NULL;
}

void sim_history_done(struct sim_history *h) {
    for (size_t i = 0; i < h->n; i++) {
        json_free(h->v[i].value);
    }
    free(h->v);
    *h = (struct sim_history){0};
}

static void drop_front(struct sim_history *h, size_t n) {
    for (size_t i = 0; i < n; i++) {
        json_free(h->v[i].value);
    }
    h->n -= n;
    memmove(h->v, h->v + n, h->n * sizeof *h->v);
}

/* What was before the value that is enforced now can never be enforced again. */
static void forget_past(struct sim_history *h, int64_t now_ms) {
    for (size_t i = h->n; i > 1; i--) {
        if (h->v[i - 1].from_ms <= now_ms) {
            drop_front(h, i - 1);
            return;
        }
    }
    if (h->n >= SIM_PENDING_MAX) {
        drop_front(h, 1);
        h->v[0].from_ms = INT64_MIN;
    }
}

static void append(struct sim_history *h, json *value, int64_t from_ms) {
    if (h->v == NULL) {
        h->v = sim_new(FIRST_ROOM * sizeof *h->v);
    } else if (h->n >= FIRST_ROOM) {
        struct sim_change *v = realloc(h->v, (h->n + 1) * sizeof *h->v);
        if (v == NULL) {
            die("out of memory: simulated account");
        }
        h->v = v;
    }
    h->v[h->n++] = (struct sim_change){value, from_ms};
}

static void note_effect(struct sim_aws *a, int64_t at_ms) {
    int64_t *slot = &a->effect_ms[a->neffects++ % SIM_EFFECTS_MAX];
    if (a->neffects > SIM_EFFECTS_MAX && *slot > a->forgotten_ms) {
        a->forgotten_ms = *slot;
    }
    *slot = at_ms;
}

void sim_change(struct sim_aws *a, struct sim_history *h, json *value) {
    int64_t now = sim_boot_ms(a), lag = a->o.enforcement_lag_ms;
    int64_t delay = lag > 0 ? (int64_t)prng_below(&a->lags, (uint64_t)lag + 1) : 0;

    forget_past(h, now);
    append(h, value, now + delay);
    note_effect(a, now + delay);
}

bool sim_aws_took_effect(const struct sim_aws *a, int64_t after_ms, int64_t until_ms) {
    for (size_t i = 0; i < a->neffects && i < SIM_EFFECTS_MAX; i++) {
        if (a->effect_ms[i] > after_ms && a->effect_ms[i] <= until_ms) {
            return true;
        }
    }
    return a->forgotten_ms > after_ms;
}

void sim_set_now(struct sim_history *h, json *value) {
    sim_history_done(h);
    append(h, value, INT64_MIN);
}
