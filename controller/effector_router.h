/*
 * effector_router.h - one effector for all kinds: Kubernetes, AWS, and the proof of the role, which needs both.
 *
 * Model: by effect_service. PROVE_ROLE asks the API server for a token of the ServiceAccount (TokenRequest, K-A8) and hands it to the AWS client,
 * which exchanges it; the token never becomes part of an effect or a result (S10).
 * Ownership: effector_router_new/_free; the parts are borrowed.   Errors: through results.
 */
#ifndef CNI_IAM_CONTROLLER_EFFECTOR_ROUTER_H
#define CNI_IAM_CONTROLLER_EFFECTOR_ROUTER_H

#include "platform/aws/aws_client.h"
#include "platform/k8s/k8s_effects.h"
#include "platform/port/effector.h"

#define PROOF_TOKEN_SECONDS 600

struct effector_router;
struct effector_router *effector_router_new(struct k8s_client *k8s, struct k8s_effects *effects,
                                            struct aws_client *aws);
void effector_router_free(struct effector_router *r);
struct effector effector_router_effector(struct effector_router *r);

#endif
