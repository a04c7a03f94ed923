/*
 * demo_apply.h - what an administrator would do with kubectl in the demo's cluster, through the API server's front door.
 *
 * Model: manifests are created as they are, so that schema, defaults and names are checked as those of anybody; the token
 * is one that the server makes for a ServiceAccount, whose bearer may do what RBAC gives it.
 * Ownership: the token is the caller's (free).
 * Errors: ERR_PARSE; ERR_INVALID for a kind that is not known here, or what the server said when it refused.
 * Bounds: those of yaml.h. A token holds for DEMO_TOKEN_S: in the demo nobody renews it, as a kubelet would.
 */
#ifndef CNI_IAM_CONTROLLER_DEMO_APPLY_H
#define CNI_IAM_CONTROLLER_DEMO_APPLY_H

#include "platform/base/error.h"
#include "simulator/kube.h"

#define DEMO_TOKEN_S (365 * 24 * 3600)

bool demo_apply(struct sim_kube *k, const char *yaml, struct error *err); /* every document; JSON is YAML, too */
char *demo_token(struct sim_kube *k, const char *ns, const char *account, struct error *err);

#endif
