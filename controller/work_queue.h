/*
 * work_queue.h - which bindings want a look: client-go's queue semantics (K-Q1..K-Q5).
 *
 * Model: three sets. Add puts a key into `dirty` and, unless it is being processed, into the queue; get moves the head
 * into `processing`; done re-queues it if it became dirty meanwhile. So one worker a key, and an add during processing
 * is never lost and causes exactly one more run. Delayed adds keep the earliest time of a key. add_rate_limited waits
 * max(per-key exponential, token bucket).
 *
 * Ownership: keys are copied.   Errors: none.   Bounds: WORK_QUEUE_KEYS_MAX keys; more are refused and logged.
 */
#ifndef CNI_IAM_CONTROLLER_WORK_QUEUE_H
#define CNI_IAM_CONTROLLER_WORK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/port/clock.h"

#define WORK_QUEUE_KEYS_MAX 1024
#define WORK_QUEUE_BASE_MS 500  /* the first retry; AWS is behind it, so slower than client-go's 5 ms (K-Q3) */
#define WORK_QUEUE_CAP_MS 30000 /* L3: a cause that went away is noticed within 60 s */
#define WORK_QUEUE_BURST 100
#define WORK_QUEUE_PER_SECOND 10

struct work_queue;
/* `wake` is called from a timer, never from inside, when a key may be got. */
struct work_queue *work_queue_new(struct clock clock, void (*wake)(void *arg), void *arg);
void work_queue_free(struct work_queue *q);
void work_queue_add(struct work_queue *q, const char *key);
void work_queue_add_after(struct work_queue *q, const char *key, int64_t after_ms);
void work_queue_add_rate_limited(struct work_queue *q, const char *key);
void work_queue_forget(struct work_queue *q, const char *key); /* the next failure starts at the base again */
const char *work_queue_get(struct work_queue *q);              /* NULL: empty; borrowed until done */
void work_queue_done(struct work_queue *q, const char *key);
void work_queue_shut_down(struct work_queue *q); /* adds are ignored from now on */

struct work_queue_stats {
    size_t depth, delayed;
    uint64_t adds, retries;
};
struct work_queue_stats work_queue_stats(const struct work_queue *q);

#endif
