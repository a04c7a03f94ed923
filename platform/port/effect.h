/*
 * effect.h - effects as data: every call that the operator makes to Kubernetes or AWS is one value of this type.
 *
 * Model: kind + named string arguments + an optional body. The table in effect.c gives each kind its service, operation and
 * class. Reconcilers make effects, the driver journals and performs them through an `effector`, printers describe them, and
 * their canonical key identifies the matching observation. An effect never holds a secret (S10).
 *
 * Arguments by service:
 *   IAM, STS, EC2  the wire parameters themselves: {"RoleName","x"}, {"Tags.member.1.Key","k"} (aws.md 1.1)
 *   EKS            URI labels and query parameters by their model names ("name", "clusterName", "addonName", "nodegroupName",
 *                  "namespace", "serviceAccount"); body = JSON when the operation has one
 *   Kubernetes     "resource" (plural, e.g. "serviceaccounts"), "namespace", "name", and where the verb takes them:
 *                  "labelSelector", "fieldSelector", "fieldManager", "force" ("true"), "dryRun" ("All"), "uid", "resourceVersion"
 *                  (preconditions); body = the JSON document
 *   PROVE_ROLE     "RoleArn", "Namespace", "ServiceAccount", "Audience", "Region"
 *
 * Results: a JSON value in the operation's own wire names. IAM/STS: the content of <XResult> with member lists as arrays and
 * policy documents already percent-decoded to JSON text; EC2: the content of the root element; EKS and Kubernetes: the body.
 * Pages are merged by the effector. Numbers and booleans of XML stay strings (json_bool reads them).
 *
 * Ownership: effects live in the arena they were made in; effect_dup copies into another.
 * Errors: none here; a performed effect yields a struct error.   Bounds: EFFECT_ARGS_MAX arguments.
 */
#ifndef CNI_IAM_PORT_EFFECT_H
#define CNI_IAM_PORT_EFFECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/json.h"

#define EFFECT_ARGS_MAX 256 /* a filter of EC2 with all the values that it may have, a role with all its tags */

enum effect_service {
    SERVICE_KUBERNETES,
    SERVICE_IAM,
    SERVICE_STS,
    SERVICE_EKS,
    SERVICE_EC2,
    SERVICE_PROOF /* composite: TokenRequest, AssumeRoleWithWebIdentity, EC2; its secrets never leave the platform layer */
};

/* READ may be done in any mode; WRITE changes the world; DESTRUCTIVE takes something away (needs a live guard directly before it). */
enum effect_class { EFFECT_READ, EFFECT_WRITE, EFFECT_DESTRUCTIVE };

/* X(kind, service, "Operation", class) */
#define EFFECT_TABLE(X)                                                                                                \
    X(K8S_GET, SERVICE_KUBERNETES, "Get", EFFECT_READ)                                                                 \
    X(K8S_LIST, SERVICE_KUBERNETES, "List", EFFECT_READ)                                                               \
    X(K8S_POD_DRY_RUN, SERVICE_KUBERNETES, "CreateDryRun", EFFECT_READ)                                                \
    X(K8S_ACCESS_REVIEW, SERVICE_KUBERNETES, "SelfSubjectAccessReview", EFFECT_READ)                                   \
    X(K8S_TOKEN_ISSUER, SERVICE_KUBERNETES, "TokenIssuer", EFFECT_READ)                                                \
    X(K8S_APPLY, SERVICE_KUBERNETES, "Apply", EFFECT_WRITE)                                                            \
    X(K8S_APPLY_STATUS, SERVICE_KUBERNETES, "ApplyStatus", EFFECT_WRITE)                                               \
    X(K8S_JSON_PATCH, SERVICE_KUBERNETES, "JSONPatch", EFFECT_WRITE)                                                   \
    X(K8S_CREATE, SERVICE_KUBERNETES, "Create", EFFECT_WRITE)                                                          \
    X(K8S_UPDATE, SERVICE_KUBERNETES, "Update", EFFECT_WRITE)                                                          \
    X(K8S_MERGE_PATCH, SERVICE_KUBERNETES, "MergePatch", EFFECT_WRITE)                                                 \
    X(K8S_DELETE, SERVICE_KUBERNETES, "Delete", EFFECT_DESTRUCTIVE)                                                    \
    X(PROVE_ROLE, SERVICE_PROOF, "ProveRole", EFFECT_READ)                                                             \
    X(STS_GET_CALLER_IDENTITY, SERVICE_STS, "GetCallerIdentity", EFFECT_READ)                                          \
    X(EKS_DESCRIBE_CLUSTER, SERVICE_EKS, "DescribeCluster", EFFECT_READ)                                               \
    X(EKS_DESCRIBE_ADDON, SERVICE_EKS, "DescribeAddon", EFFECT_READ)                                                   \
    X(EKS_LIST_POD_IDENTITY_ASSOCIATIONS, SERVICE_EKS, "ListPodIdentityAssociations", EFFECT_READ)                     \
    X(EKS_LIST_NODEGROUPS, SERVICE_EKS, "ListNodegroups", EFFECT_READ)                                                 \
    X(EKS_DESCRIBE_NODEGROUP, SERVICE_EKS, "DescribeNodegroup", EFFECT_READ)                                           \
    X(EC2_DESCRIBE_INSTANCES, SERVICE_EC2, "DescribeInstances", EFFECT_READ)                                           \
    X(IAM_GET_INSTANCE_PROFILE, SERVICE_IAM, "GetInstanceProfile", EFFECT_READ)                                        \
    X(IAM_LIST_INSTANCE_PROFILES_FOR_ROLE, SERVICE_IAM, "ListInstanceProfilesForRole", EFFECT_READ)                    \
    X(IAM_GET_ROLE, SERVICE_IAM, "GetRole", EFFECT_READ)                                                               \
    X(IAM_LIST_ROLES, SERVICE_IAM, "ListRoles", EFFECT_READ)                                                           \
    X(IAM_LIST_ATTACHED_ROLE_POLICIES, SERVICE_IAM, "ListAttachedRolePolicies", EFFECT_READ)                           \
    X(IAM_LIST_ROLE_POLICIES, SERVICE_IAM, "ListRolePolicies", EFFECT_READ)                                            \
    X(IAM_GET_ROLE_POLICY, SERVICE_IAM, "GetRolePolicy", EFFECT_READ)                                                  \
    X(IAM_GET_POLICY, SERVICE_IAM, "GetPolicy", EFFECT_READ)                                                           \
    X(IAM_GET_POLICY_VERSION, SERVICE_IAM, "GetPolicyVersion", EFFECT_READ)                                            \
    X(IAM_LIST_POLICY_VERSIONS, SERVICE_IAM, "ListPolicyVersions", EFFECT_READ)                                        \
    X(IAM_LIST_ENTITIES_FOR_POLICY, SERVICE_IAM, "ListEntitiesForPolicy", EFFECT_READ)                                 \
    X(IAM_LIST_OIDC_PROVIDERS, SERVICE_IAM, "ListOpenIDConnectProviders", EFFECT_READ)                                 \
    X(IAM_GET_OIDC_PROVIDER, SERVICE_IAM, "GetOpenIDConnectProvider", EFFECT_READ)                                     \
    X(IAM_SIMULATE_PRINCIPAL_POLICY, SERVICE_IAM, "SimulatePrincipalPolicy", EFFECT_READ)                              \
    X(IAM_CREATE_OIDC_PROVIDER, SERVICE_IAM, "CreateOpenIDConnectProvider", EFFECT_WRITE)                              \
    X(IAM_ADD_CLIENT_ID, SERVICE_IAM, "AddClientIDToOpenIDConnectProvider", EFFECT_WRITE)                              \
    X(IAM_TAG_OIDC_PROVIDER, SERVICE_IAM, "TagOpenIDConnectProvider", EFFECT_WRITE)                                    \
    X(IAM_DELETE_OIDC_PROVIDER, SERVICE_IAM, "DeleteOpenIDConnectProvider", EFFECT_DESTRUCTIVE)                        \
    X(IAM_CREATE_ROLE, SERVICE_IAM, "CreateRole", EFFECT_WRITE)                                                        \
    X(IAM_UPDATE_ROLE, SERVICE_IAM, "UpdateRole", EFFECT_WRITE)                                                        \
    X(IAM_TAG_ROLE, SERVICE_IAM, "TagRole", EFFECT_WRITE)                                                              \
    X(IAM_UNTAG_ROLE, SERVICE_IAM, "UntagRole", EFFECT_WRITE)                                                          \
    X(IAM_PUT_ROLE_BOUNDARY, SERVICE_IAM, "PutRolePermissionsBoundary", EFFECT_WRITE)                                  \
    X(IAM_UPDATE_ASSUME_ROLE_POLICY, SERVICE_IAM, "UpdateAssumeRolePolicy", EFFECT_WRITE)                              \
    X(IAM_ATTACH_ROLE_POLICY, SERVICE_IAM, "AttachRolePolicy", EFFECT_WRITE)                                           \
    X(IAM_DETACH_ROLE_POLICY, SERVICE_IAM, "DetachRolePolicy", EFFECT_DESTRUCTIVE)                                     \
    X(IAM_DELETE_ROLE, SERVICE_IAM, "DeleteRole", EFFECT_DESTRUCTIVE)                                                  \
    X(IAM_CREATE_POLICY, SERVICE_IAM, "CreatePolicy", EFFECT_WRITE)                                                    \
    X(IAM_CREATE_POLICY_VERSION, SERVICE_IAM, "CreatePolicyVersion", EFFECT_WRITE)                                     \
    X(IAM_DELETE_POLICY_VERSION, SERVICE_IAM, "DeletePolicyVersion", EFFECT_DESTRUCTIVE)                               \
    X(IAM_DELETE_POLICY, SERVICE_IAM, "DeletePolicy", EFFECT_DESTRUCTIVE)

enum effect_kind {
#define X(kind, service, op, class_) EFFECT_##kind,
    EFFECT_TABLE(X)
#undef X
        EFFECT_KIND_COUNT
};

struct effect_arg {
    const char *name;
    const char *value;
};

struct effect {
    enum effect_kind kind;
    size_t nargs;
    struct effect_arg *args; /* in the order given; wire order for AWS */
    const char *body;        /* JSON text, or NULL */
};

/* Makes an effect from a NULL-terminated list of name, value pairs; pairs with a NULL value are left out. */
struct effect *effect_new(struct arena *a, enum effect_kind kind, ...) __attribute__((sentinel));
void effect_add_arg(struct effect *e, struct arena *a, const char *name,
                    const char *value); /* NULL value: adds nothing */
struct effect *effect_dup(const struct effect *e, struct arena *a);

const char *effect_arg(const struct effect *e, const char *name); /* NULL if absent */
enum effect_service effect_service(enum effect_kind kind);
const char *effect_service_name(enum effect_service service); /* "kubernetes", "iam", ... */
const char *effect_operation(enum effect_kind kind);
enum effect_class effect_class(enum effect_kind kind);

/* "iam:AttachRolePolicy RoleName=x PolicyArn=y": for people: plan lines, logs, audit. Long values are shortened. */
char *effect_describe(const struct effect *e, struct arena *a);
/* Canonical identity: service, operation, all arguments sorted, body. Equal keys = the same call. */
char *effect_key(const struct effect *e, struct arena *a);
/* SHA-256 of the key, hex, 64 characters. */
char *effect_digest(const struct effect *e, struct arena *a);

/* Outcome of one effect. `value` is NULL where the operation has no output or failed. */
struct effect_result {
    struct error error;     /* code ERR_NONE on success */
    json *value;            /* owned by whoever holds the result */
    const char *request_id; /* "" if none; borrowed for the callback */
};

#endif
