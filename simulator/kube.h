/*
 * kube.h - the simulated Kubernetes API server: one etcd, its resources, its rules.
 *
 * Model: objects are JSON trees by resource, namespace and name, each write gives the next resourceVersion (one counter
 * for all), and stays in a history from which watches are served until it is compacted. Every request, whichever face it
 * came by, is one sim_http_request: in process the product's own effect_request() makes it, on loopback a socket does.
 * Rules as a real kube-apiserver answers them (real-apiserver.md): 409 AlreadyExists and Conflict, 410 Expired, 404, 422
 * with causes, uid and resourceVersion preconditions, server-side apply with managedFields and conflicts, JSON patch with
 * test, merge patch, status subresource, finalizers, generation, dryRun=All, TokenRequest (RS256, one key a process),
 * reviews of oneself, label and field selectors, limit and continue, watch with bookmarks, discovery, Table, bodies in
 * protobuf where kubectl sends them.
 * Resources: namespaces, nodes, pods, serviceaccounts (with /token), events (v1 and events.k8s.io/v1), configmaps,
 * daemonsets.apps, leases.coordination.k8s.io, customresourcedefinitions, cniiambindings.cniiam.dev (schema, defaults and
 * CEL of crd/cniiambindings.yaml), mutatingwebhookconfigurations, selfsubject{access,rules,}reviews,
 * roles, rolebindings, clusterroles, clusterrolebindings.
 * Admission hooks (webhook.c) see a pod before it is stored. A DELETE of a pod that is on a node only marks it: its
 * kubelet removes it with sim_kube_delete. Nobody collects garbage but the world (garbage.c). The bearer of a ServiceAccount's token
 * may do what RBAC says, everybody else everything.
 *
 * Ownership: sim_kube_new/_free; objects that getters return are borrowed until the next write.
 * Errors: Status objects.   Bounds: SIM_KUBE_OBJECTS_MAX, SIM_KUBE_HISTORY_MAX events, SIM_KUBE_BODY_MAX.
 */
#ifndef CNI_IAM_SIMULATOR_KUBE_H
#define CNI_IAM_SIMULATOR_KUBE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/base/json.h"
#include "platform/port/clock.h"
#include "simulator/aws.h"
#include "simulator/http_message.h"

#define SIM_KUBE_OBJECTS_MAX 20000
#define SIM_KUBE_HISTORY_MAX 20000
#define SIM_KUBE_BODY_MAX ((size_t)3 * 1024 * 1024)

struct sim_kube;

struct sim_kube_options {
    struct clock clock; /* timers are used for watch timeouts and bookmarks */
    uint64_t seed;
    const char *issuer;   /* of the tokens: "https://oidc.eks…" */
    const char *crd_yaml; /* text of crd/cniiambindings.yaml; NULL: cniiambindings are stored without a schema */
    int key_bits;         /* of the key that signs tokens; 0: 2048. Who makes thousands of worlds takes fewer */
};

struct sim_kube *sim_kube_new(const struct sim_kube_options *o);
void sim_kube_free(struct sim_kube *k);

/* Everything but watches. */
void sim_kube_http(struct sim_kube *k, const struct sim_http_request *req, struct sim_http_answer *out);

/* --- watches --- */
struct sim_watch_sink {
    void *arg;
    void (*on_line)(void *arg, const char *line, size_t len); /* one event, without '\n' */
    void (*on_end)(void *arg);                                /* timeoutSeconds is over */
};
bool sim_kube_is_watch(const struct sim_http_request *req); /* ?watch=true or 1 on a collection */
/* 0: refused, `out` says why (410 as an ERROR event comes through the sink, as the real one does). Events that are due
 * come from a timer, never from inside this call. */
uint64_t sim_kube_watch(struct sim_kube *k, const struct sim_http_request *req, struct sim_watch_sink sink,
                        struct sim_http_answer *out);
void sim_kube_watch_close(struct sim_kube *k, uint64_t ticket); /* on_end is not called */

/* --- what the world does and asks (no authorisation) --- */
/* resource: "pods", "daemonsets", … the plural name. ns NULL: cluster-scoped. */
const json *sim_kube_get(const struct sim_kube *k, const char *resource, const char *ns, const char *name);
void sim_kube_each(struct sim_kube *k, const char *resource, const char *ns, void (*fn)(void *arg, const json *object),
                   void *arg);
/* Creates (admission included: the pod may come out changed) or replaces; metadata is completed. Takes the object.
 * false: it exists (create) or does not (update), or admission refused. */
bool sim_kube_create(struct sim_kube *k, const char *resource, json *object);
bool sim_kube_update(struct sim_kube *k, const char *resource, json *object); /* spec and status alike; keeps uid */
bool sim_kube_delete(struct sim_kube *k, const char *resource, const char *ns, const char *name);
int64_t sim_kube_resource_version(const struct sim_kube *k);
void sim_kube_compact(struct sim_kube *k); /* watches from before now get 410 */

/* Pods pass through here on creation, dry runs included; may change the pod. */
void sim_kube_on_admission(struct sim_kube *k, void (*fn)(void *arg, json *pod, bool dry_run), void *arg);
/* After every committed write: type is ADDED, MODIFIED or DELETED. */
void sim_kube_on_write(struct sim_kube *k,
                       void (*fn)(void *arg, const char *type, const char *resource, const json *object,
                                  const char *manager),
                       void *arg);

/* For STS: signature, expiry, claims. */
bool sim_kube_verify_token(struct sim_kube *k, const char *token, struct sim_token_claims *out);

#endif
