#include "controller/work_queue.h"

#include <stdlib.h>
#include <string.h>

#include "platform/base/error.h"
#include "platform/base/log.h"
#include "platform/base/mutant.h"
#include "platform/base/strmap.h"

struct item {
    char *key;
    bool queued, dirty, processing;
    uint64_t order;        /* FIFO */
    int64_t ready_boot_ms; /* delayed add; 0: none */
    unsigned failures;
};

struct work_queue {
    struct clock clock;
    void (*wake)(void *arg);
    void *arg;
    struct strmap *items;
    uint64_t next_order;
    uint64_t timer;
    int64_t timer_at;
    double tokens;
    int64_t tokens_at;
    bool closed;
    struct work_queue_stats stats;
};

static int64_t now(const struct work_queue *q) {
    return q->clock.boot_ms(q->clock.ctx);
}

static void free_item(void *value) {
    struct item *i = value;
    free(i->key);
    free(i);
}

static struct item *item_of(struct work_queue *q, const char *key) {
    struct item *i = strmap_get(q->items, key);
    if (i || strmap_count(q->items) >= WORK_QUEUE_KEYS_MAX) {
        if (!i)
            LOG_ERROR("queue", "too many keys, one is refused", F_STR("key", key));
        return i;
    }
    i = calloc(1, sizeof *i);
    if (!i || !(i->key = strdup(key)))
        die("out of memory");
    strmap_set(q->items, key, i);
    return i;
}

/* A key is remembered for as long as something is due for it or its failures count. */
static void drop_idle(struct work_queue *q, const struct item *i) {
    if (!i->processing && !i->dirty && !i->ready_boot_ms && i->failures == 0)
        strmap_remove(q->items, i->key);
}

struct work_queue *work_queue_new(struct clock clock, void (*wake)(void *arg), void *arg) {
    struct work_queue *q = calloc(1, sizeof *q);
    if (!q)
        die("out of memory");
    q->clock = clock;
    q->wake = wake;
    q->arg = arg;
    q->items = strmap_new(WORK_QUEUE_KEYS_MAX + 1, free_item);
    q->tokens = WORK_QUEUE_BURST;
    q->tokens_at = now(q);
    return q;
}

void work_queue_free(struct work_queue *q) {
    if (!q)
        return;
    q->clock.timer_stop(q->clock.ctx, q->timer);
    strmap_free(q->items);
    free(q);
}

static void enqueue(struct work_queue *q, struct item *i) {
    i->queued = true;
    i->order = ++q->next_order;
}

/* The state machine of K-Q1. */
static void mark_dirty(struct work_queue *q, struct item *i) {
    if (i->dirty)
        return;
    i->dirty = true;
    q->stats.adds++;
    if (!i->processing)
        enqueue(q, i);
}

static int64_t next_delayed(const struct work_queue *q) {
    int64_t next = 0;
    const char *key;
    void *value;
    size_t it = 0;
    while (strmap_next(q->items, &it, &key, &value)) {
        const struct item *i = value;
        if (i->ready_boot_ms && (!next || i->ready_boot_ms < next))
            next = i->ready_boot_ms;
    }
    return next;
}

static bool anything_queued(const struct work_queue *q) {
    const char *key;
    void *value;
    size_t it = 0;
    while (strmap_next(q->items, &it, &key, &value))
        if (((const struct item *)value)->queued)
            return true;
    return false;
}

static void on_timer(void *arg);

static void arm_at(struct work_queue *q, int64_t at) {
    if (q->timer && q->timer_at == at)
        return;
    q->clock.timer_stop(q->clock.ctx, q->timer);
    q->timer = 0;
    if (!at || q->closed)
        return;
    q->timer_at = at;
    int64_t delay = at - now(q);
    q->timer = q->clock.timer_start(q->clock.ctx, delay > 0 ? delay : 0, on_timer, q);
}

static void arm(struct work_queue *q) {
    arm_at(q, anything_queued(q) ? now(q) : next_delayed(q));
}

static void on_timer(void *arg) {
    struct work_queue *q = arg;
    const char *key;
    void *value;
    size_t it = 0;
    q->timer = 0;
    while (strmap_next(q->items, &it, &key, &value)) {
        struct item *i = value;
        if (i->ready_boot_ms && i->ready_boot_ms <= now(q)) {
            i->ready_boot_ms = 0;
            mark_dirty(q, i);
        }
    }
    if (!q->closed && anything_queued(q))
        q->wake(q->arg);
    /* What is queued and was not got has been told once: done, or the next add, tells again. Anything else would be a
     * hot loop. */
    if (!q->timer)
        arm_at(q, next_delayed(q));
}

void work_queue_add(struct work_queue *q, const char *key) {
    struct item *i = q->closed ? NULL : item_of(q, key);
    if (!i)
        return;
    mark_dirty(q, i);
    arm(q);
}

void work_queue_add_after(struct work_queue *q, const char *key, int64_t after_ms) {
    if (after_ms <= 0) {
        work_queue_add(q, key);
        return;
    }
    struct item *i = q->closed ? NULL : item_of(q, key);
    if (!i)
        return;
    int64_t at = now(q) + after_ms;
    if (!i->ready_boot_ms || at < i->ready_boot_ms)
        i->ready_boot_ms = at;
    arm(q);
}

/* What the bucket makes a failure wait on top: nothing while there are tokens. */
static int64_t bucket_ms(struct work_queue *q) {
    double earned = (double)(now(q) - q->tokens_at) * WORK_QUEUE_PER_SECOND / 1000.0;
    q->tokens_at = now(q);
    q->tokens = q->tokens + earned > WORK_QUEUE_BURST ? WORK_QUEUE_BURST : q->tokens + earned;
    q->tokens -= 1.0;
    return q->tokens >= 0 ? 0 : (int64_t)(-q->tokens * 1000.0 / WORK_QUEUE_PER_SECOND);
}

void work_queue_add_rate_limited(struct work_queue *q, const char *key) {
    struct item *i = q->closed ? NULL : item_of(q, key);
    if (!i)
        return;
    unsigned shift = i->failures < 16 ? i->failures : 16; /* beyond that the cap holds: no overflow */
    int64_t own = (int64_t)WORK_QUEUE_BASE_MS << shift, bucket = bucket_ms(q);
    if (own > WORK_QUEUE_CAP_MS)
        own = WORK_QUEUE_CAP_MS;
    if (MUTANT(requeue_without_back_off))
        own = bucket = 0;
    i->failures++;
    q->stats.retries++;
    work_queue_add_after(q, key, own > bucket ? own : bucket);
}

void work_queue_forget(struct work_queue *q, const char *key) {
    struct item *i = strmap_get(q->items, key);
    if (!i)
        return;
    i->failures = 0;
    drop_idle(q, i);
}

const char *work_queue_get(struct work_queue *q) {
    struct item *head = NULL;
    const char *key;
    void *value;
    size_t it = 0;
    while (strmap_next(q->items, &it, &key, &value)) {
        struct item *i = value;
        if (i->queued && (!head || i->order < head->order))
            head = i;
    }
    if (!head)
        return NULL;
    head->queued = head->dirty = false;
    head->processing = true;
    return head->key;
}

void work_queue_done(struct work_queue *q, const char *key) {
    struct item *i = strmap_get(q->items, key);
    if (!i)
        return;
    i->processing = false;
    if (i->dirty)
        enqueue(q, i);
    drop_idle(q, i);
    arm(q);
}

void work_queue_shut_down(struct work_queue *q) {
    q->closed = true;
    q->clock.timer_stop(q->clock.ctx, q->timer);
    q->timer = 0;
}

struct work_queue_stats work_queue_stats(const struct work_queue *q) {
    struct work_queue_stats s = q->stats;
    const char *key;
    void *value;
    size_t it = 0;
    while (strmap_next(q->items, &it, &key, &value)) {
        const struct item *i = value;
        s.depth += i->queued;
        s.delayed += i->ready_boot_ms != 0;
    }
    return s;
}
