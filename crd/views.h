/*
 * views.h - the slices of built-in Kubernetes objects that the operator reads.
 *
 * Model: decode keeps what reconcilers ask about and drops the rest (K-I7): a pod is a few hundred bytes. Each view has its own arena
 * and is immutable. Absent counters of a DaemonSet are zero (real-apiserver.md 8).
 *
 * Ownership: *_decode makes, *_free frees.   Errors: NULL with ERR_PARSE naming the field when an object lacks its identity
 * (metadata.name, uid, resourceVersion); everything else is tolerated and read in its unsafe sense: an unreadable credential is NODE.
 * Bounds: VIEW_* below; more containers than that make the pod `unreadable`.
 */
#ifndef CNI_IAM_CRD_VIEWS_H
#define CNI_IAM_CRD_VIEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/json.h"
#include "platform/base/str.h"

#define VIEW_CONTAINERS_MAX 32

struct object_meta {
    const char *ns, *name, *uid, *resource_version; /* ns "" when cluster-scoped */
    int64_t generation;
    int64_t creation_ms, deletion_ms; /* wall; deletion 0: none */
};

struct service_account_view {
    struct arena *arena;
    struct object_meta meta;
    const char *role_arn;               /* eks.amazonaws.com/role-arn; NULL: absent */
    const char *audience;               /* eks.amazonaws.com/audience */
    const char *sts_regional_endpoints; /* eks.amazonaws.com/sts-regional-endpoints */
    const char *token_expiration;
    struct strlist role_arn_managers; /* field managers that own f:eks.amazonaws.com/role-arn */
    struct strlist sts_regional_managers;
    int64_t role_arn_set_ms; /* not before then it got what it says, by the API server's clock; 0: not known */
};

/* How a container of a pod gets AWS credentials, from its spec alone (reliability.md 2.0). */
enum pod_credential {
    POD_CREDENTIAL_NODE,         /* nothing injected, or unreadable */
    POD_CREDENTIAL_IRSA,         /* AWS_ROLE_ARN + AWS_WEB_IDENTITY_TOKEN_FILE + the projected token */
    POD_CREDENTIAL_POD_IDENTITY, /* AWS_CONTAINER_CREDENTIALS_FULL_URI */
    POD_CREDENTIAL_OTHER         /* static keys, a shared file or profile: outranks the identity */
};

struct container_view {
    const char *name, *image;
    bool init;
    enum pod_credential credential;
    const char *role_arn; /* AWS_ROLE_ARN as injected; NULL */
    const char *token_file;
    const char
        *outranked_by;  /* env name that outranks the identity (AWS_ACCESS_KEY_ID, ..., or "envFrom"); NULL: none */
    bool token_mounted; /* a projected ServiceAccount token is what the container finds at token_file */
    bool skipped;       /* named in the pod's annotation eks.amazonaws.com/skip-containers */
    bool ready;         /* status; false for init containers */
    int restart_count;
    int64_t started_ms; /* running since; 0: not running */
};

struct pod_view {
    struct arena *arena;
    struct object_meta meta;
    const char *node; /* spec.nodeName; "" while unscheduled */
    const char *service_account;
    const char *phase;
    bool host_network;
    bool ready;                 /* condition Ready is True */
    bool unreadable;            /* spec could not be judged: treated as NODE */
    const char *owner_uid;      /* controlling DaemonSet's uid; NULL: none */
    const char *revision_hash;  /* label controller-revision-hash */
    const char *restarted_for;  /* annotation cniiam.dev/restarted-for copied from the template; NULL */
    const char *token_audience; /* of the token that all containers find at their token_file; "": the API server's own;
                                          NULL: none, or they differ */
    bool skip_webhook;          /* label eks.amazonaws.com/skip-pod-identity-webhook */
    struct container_view containers[VIEW_CONTAINERS_MAX]; /* init containers included */
    size_t ncontainers;
};

struct daemon_set_view {
    struct arena *arena;
    struct object_meta meta;
    const char *restarted_for;                      /* template annotation; NULL: absent */
    const char *service_account;                    /* template's serviceAccountName */
    const char *cni_image;                          /* image of container "aws-node"; NULL: no such container */
    bool template_ipv6, template_prefix_delegation; /* ENABLE_IPv6, ENABLE_PREFIX_DELEGATION are "true" in it */
    const char *template_outranked_by;              /* credential env in the template; NULL: none */
    bool on_delete;                                 /* updateStrategy.type OnDelete */
    int64_t observed_generation;
    int desired, current, updated, available, ready_count, unavailable, misscheduled;
    struct strlist restart_key_managers;
    json *template_pod; /* {"metadata":{labels, annotations}, "spec":{...}} to build the dry-run pod; owned */
};

struct node_view {
    struct arena *arena;
    struct object_meta meta;
    const char *provider_id; /* aws:///us-west-2a/i-0123; "" */
    const char *instance_id; /* NULL when provider_id is not an EC2 instance */
    bool ready, unschedulable;
    bool fargate, hybrid, automode, windows; /* by eks.amazonaws.com/compute-type and kubernetes.io/os labels */
};

/* aws-node's MissingIAMPermissions events (core/v1). */
struct event_view {
    struct arena *arena;
    struct object_meta meta;
    const char *reason, *action, *note;
    const char *regarding_uid, *regarding_name;
    int64_t last_ms; /* wall: last observation */
    int count;
};

struct service_account_view *service_account_decode(const json *o, struct error *err);
void service_account_free(struct service_account_view *v);
struct pod_view *pod_decode(const json *o, struct error *err);
void pod_free(struct pod_view *v);
struct daemon_set_view *daemon_set_decode(const json *o, struct error *err);
void daemon_set_free(struct daemon_set_view *v);
struct node_view *node_decode(const json *o, struct error *err);
void node_free(struct node_view *v);
struct event_view *event_decode(const json *o, struct error *err);
void event_free(struct event_view *v);

/* The container named "aws-node", or NULL. */
const struct container_view *pod_container(const struct pod_view *p, const char *name);
/* The pod's identity, in its unsafe reading. Every container and init container counts, because the webhook injects them all; one that the
 * pod's skip-containers annotation excludes may be without (aws-node itself never). NODE if the pod is unreadable, has no container
 * aws-node, or any that counts is NODE; OTHER if they differ in kind or role; else what they all are. *role_arn: the role when IRSA,
 * else NULL. */
enum pod_credential pod_credential(const struct pod_view *p, const char **role_arn);

/* "602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni:v1.18.3-eksbuild.2@sha256:..." -> 1,18,3; false if there is no such tag. */
struct cni_version {
    int major, minor, patch;
};
bool cni_version_parse(const char *image, struct cni_version *out);
int cni_version_compare(struct cni_version a, struct cni_version b);

#endif
