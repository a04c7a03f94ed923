/*
 * effect_request.h - one K8S_* effect as one request: the table of verbs, content types and query parameters. Part of
 * k8s_effects.h's module.
 *
 * Model: pure: effect in, request out, nothing sent. K8S_TOKEN_ISSUER is not here: it is a TokenRequest (token.h).
 *
 * Ownership: the request's strings live in the arena or in the effect.
 *
 * Errors: ERR_INVALID, ERR_PARSE for an effect that breaks the rules of k8s_effects.h.
 */
#ifndef CNI_IAM_K8S_EFFECT_REQUEST_H
#define CNI_IAM_K8S_EFFECT_REQUEST_H

#include "platform/k8s/k8s_client.h"
#include "platform/port/effect.h"

bool effect_request(const struct effect *e, struct k8s_request *out, struct arena *a, struct error *err);

#endif
