/*
 * effect_body.h - the body of a write, completed from the effect's arguments and checked against them. Part of
 * k8s_effects.h's module.
 *
 * Model: apiVersion, kind, metadata.name and metadata.namespace are filled in where they are absent; where they are
 * there and say something else than the arguments, the effect is contradictory and nothing is sent.
 *
 * Ownership: the text is in the arena.
 *
 * Errors: ERR_INVALID, ERR_PARSE; NULL then.
 */
#ifndef CNI_IAM_K8S_EFFECT_BODY_H
#define CNI_IAM_K8S_EFFECT_BODY_H

#include "platform/base/arena.h"
#include "platform/k8s/resource.h"
#include "platform/port/effect.h"

struct effect_body_rules {
    bool needs_uid;              /* metadata.uid (K-P3) */
    bool needs_resource_version; /* metadata.resourceVersion (K-P1) */
};

/* An object's body: apply, create, update. */
const char *effect_body_object(const struct effect *e, const struct k8s_resource *r,
                               const struct effect_body_rules *rules, struct arena *a, struct error *err);
/* A patch: an array of operations (JSON patch), or an object (merge patch). */
const char *effect_body_patch(const struct effect *e, bool is_json_patch, struct arena *a, struct error *err);
/* DeleteOptions with both preconditions (K-P7). */
const char *effect_body_delete(const struct effect *e, struct arena *a, struct error *err);
/* SelfSubjectAccessReview (K-A7). */
const char *effect_body_review(const struct effect *e, struct arena *a, struct error *err);

#endif
