/*
 * store.h - port: the cache and journal on disk. Never the truth (S11): every call may do nothing, every read may find nothing.
 *
 * Model: informer snapshots (warm start), the last AWS observations, an intent before every AWS write, an audit history.
 * Reads call back with what is there; a caller must behave the same, only slower, when nothing comes.
 * Ownership: everything is borrowed for the call.   Errors: none by design: the store counts them (store_errors) and goes on without.
 */
#ifndef CNI_IAM_PORT_STORE_H
#define CNI_IAM_PORT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/base/json.h"

struct store_intent {
    const char *digest;      /* effect digest */
    const char *description; /* effect_describe */
    const char *binding_uid;
    int64_t epoch; /* leaseTransitions of the writer (S6) */
    int64_t wall_ms;
};

struct store_audit {
    int64_t wall_ms;
    const char *binding_uid;
    const char *effect; /* description */
    const char *digest;
    const char *outcome; /* "ok" or an error's name */
    const char *request_id;
    int64_t epoch;
    const char *detail; /* JSON: inputs' uids and resourceVersions, gate results; NULL: none */
};

struct store {
    void *ctx;
    /* Informer snapshots: one call per object between begin and commit. `cluster` is the kube-system namespace's uid. */
    void (*snapshot_begin)(void *ctx, const char *cluster, const char *resource, const char *resource_version);
    void (*snapshot_put)(void *ctx, const char *key, const char *resource_version, const char *json_text);
    void (*snapshot_commit)(void *ctx);
    bool (*snapshot_load)(void *ctx, const char *cluster, const char *resource, char rv_out[64],
                          void (*each)(void *arg, const char *key, const char *json_text), void *arg);
    /* Observations by effect key. */
    void (*observation_put)(void *ctx, const char *key, int64_t wall_ms, const char *digest, const char *json_text);
    void (*observation_each)(void *ctx,
                             void (*each)(void *arg, const char *key, int64_t wall_ms, const char *json_text),
                             void *arg);
    /* Intents: durable before intent_open returns (where there is a disk at all). outcome NULL while open. */
    int64_t (*intent_open)(void *ctx, const struct store_intent *intent); /* row id, 0: not recorded */
    void (*intent_close)(void *ctx, int64_t id, const char *outcome);
    void (*intent_each_open)(void *ctx, void (*each)(void *arg, int64_t id, const struct store_intent *intent),
                             void *arg);
    void (*audit)(void *ctx, const struct store_audit *entry);
    int64_t (*errors)(void *ctx); /* since start */
};

#endif
