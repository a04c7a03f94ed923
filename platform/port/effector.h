/*
 * effector.h - port: performs effects.
 *
 * Model: submit starts the call; `done` is called exactly once, from the event loop, never from inside submit. The effector
 * retries only what is safe to retry (reads; writes that were surely not sent; throttling before the call was accepted) and
 * reports every unknown outcome as such (S7).
 * Ownership: the effect is copied by submit; the result is lent to `done`, which takes `value` by setting it to NULL.
 * Errors: all through the result. After cancel, `done` is not called any more.
 */
#ifndef CNI_IAM_PORT_EFFECTOR_H
#define CNI_IAM_PORT_EFFECTOR_H

#include <stdint.h>

#include "platform/port/effect.h"

typedef void (*effect_done_fn)(void *arg, struct effect_result *result);

struct effector {
    void *ctx;
    uint64_t (*submit)(void *ctx, const struct effect *e, effect_done_fn done, void *arg); /* ticket, never 0 */
    void (*cancel)(void *ctx, uint64_t ticket);
};

#endif
