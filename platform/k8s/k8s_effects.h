/*
 * k8s_effects.h - the effector port for the K8S_* kinds of EFFECT_TABLE.
 *
 * Model: each effect becomes one call of k8s_client.h (a LIST: one a page). What a body lacks and the arguments say
 * (apiVersion, kind, metadata.name, metadata.namespace) is filled in; what contradicts them is refused before anything
 * is sent.
 *
 * Arguments, beside "resource", "namespace", "name":
 * - K8S_GET: "subresource".
 * - K8S_LIST: "labelSelector", "fieldSelector", "metadataOnly" ("true"). resourceVersion is unset: live (K-L2). Pages
 *   of K8S_LIST_PAGE are merged; when a page's token died (410) the list is read once more in one piece (K-L5).
 * - K8S_POD_DRY_RUN: "namespace"; body = the Pod. Value: the Pod as admission made it.
 * - K8S_ACCESS_REVIEW: "namespace", "verb", "group", "resource", "subresource", "name" -> {"allowed": bool, "reason"}
 *   (K-A7).
 * - K8S_TOKEN_ISSUER: "namespace", "name" (the ServiceAccount), "audience" (default sts.amazonaws.com) -> {"issuer",
 *   "subject", "audiences"}; the token itself is dropped here.
 * - K8S_APPLY: "fieldManager", "force" ("true"). The body must carry metadata.uid, which is what keeps the server from
 *   creating a missing object (K-P3), unless "create" is "true".
 * - K8S_APPLY_STATUS: the same on /status; uid always.
 * - K8S_JSON_PATCH: body = an array of operations; "subresource", "fieldManager". A failed `test` is ERR_CONFLICT
 *   (K-P8).
 * - K8S_MERGE_PATCH: "subresource", "fieldManager".
 * - K8S_CREATE: "fieldManager", "dryRun".
 * - K8S_UPDATE: body with metadata.resourceVersion (K-P1); "subresource", "fieldManager".
 * - K8S_DELETE: "uid" and "resourceVersion", both mandatory (K-P7); "propagationPolicy", "gracePeriodSeconds".
 *
 * Results: the body of the answer (the written object for writes), or as above. 404 is ERR_NOT_FOUND; wire
 * "PageNotFound": the API itself (the CRD) is absent (K-C7).
 *
 * Ownership: k8s_effects_new/_free; free cancels without callbacks. The client must outlive it.
 *
 * Errors: status_error.h's; ERR_INVALID for an effect that breaks the rules above; ERR_CANCELLED when may_write says
 * no.
 *
 * Bounds: K8S_LIST_PAGES_MAX pages, K8S_LIST_ITEMS_MAX items of one list.
 */
#ifndef CNI_IAM_K8S_K8S_EFFECTS_H
#define CNI_IAM_K8S_K8S_EFFECTS_H

#include "platform/k8s/k8s_client.h"
#include "platform/port/effector.h"

#define K8S_LIST_PAGE 500
#define K8S_LIST_PAGES_MAX 1000
#define K8S_LIST_ITEMS_MAX 200000

struct k8s_effects;
struct k8s_effects *k8s_effects_new(struct k8s_client *c);
void k8s_effects_free(struct k8s_effects *x);
struct effector k8s_effects_effector(struct k8s_effects *x); /* submit of another service's kind is ERR_INTERNAL */

#endif
