/*
 * binding.h - CniIamBinding (cniiam.dev/v1alpha1) as C values: decode with defaults, encode of status.
 *
 * Model: one struct per object, in an arena of its own, immutable once decoded. Defaults are those of the CRD schema, applied again here,
 * because stored objects may be older than the schema (K-C3, K-C6). Status is what the operator last wrote: a record for people and for a
 * restarted operator, never the only ground for an act that takes something away.
 *
 * Ownership: cib_decode makes a struct with its own arena; cib_free frees all. Status values made by reconcilers live in the plan's arena.
 * Errors: ERR_INVALID naming the field and what to write.
 * Bounds: CIB_* below; longer lists are refused (the schema refuses them first).
 */
#ifndef CNI_IAM_CRD_BINDING_H
#define CNI_IAM_CRD_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/json.h"
#include "platform/base/str.h"

#define CIB_GROUP "cniiam.dev"
#define CIB_API_VERSION "cniiam.dev/v1alpha1"
#define CIB_KIND "CniIamBinding"
#define CIB_RESOURCE "cniiambindings"
#define CIB_FINALIZER "cniiam.dev/restore"
#define CIB_ANNOTATION_APPROVE "cniiam.dev/approve"
#define CIB_ANNOTATION_ABANDON "cniiam.dev/abandon"
#define CIB_ANNOTATION_RESTARTED_FOR "cniiam.dev/restarted-for"

#define CIB_GATES 8
#define CIB_CONDITIONS_MAX 16
#define CIB_NODE_ROLES_MAX 32
#define CIB_POLICIES_MAX 20
#define CIB_TAGS_MAX 40
#define CIB_CONSUMERS_MAX 64
#define CIB_STEPS_MAX 64
#define CIB_EARLIER_ROLES_MAX 8
#define CIB_FINDINGS_MAX 32 /* per node role */

enum cib_mode { CIB_MODE_ENFORCE, CIB_MODE_PLAN, CIB_MODE_OBSERVE };
enum cib_identity { CIB_IDENTITY_IRSA, CIB_IDENTITY_NODE_ROLE, CIB_IDENTITY_POD_IDENTITY };
enum cib_management { CIB_MANAGE, CIB_ADOPT, CIB_REFERENCE };
enum cib_ip_family { CIB_IP_AUTO, CIB_IP_V4, CIB_IP_V6 };
enum cib_detach { CIB_DETACH_ON_APPROVAL, CIB_DETACH_NEVER, CIB_DETACH_AUTOMATIC };
enum cib_deletion { CIB_DELETION_RESTORE, CIB_DELETION_RETAIN };
enum cib_tristate { CIB_UNSET, CIB_TRUE, CIB_FALSE };

struct cib_tag {
    const char *key, *value;
};

struct cib_spec {
    enum cib_mode mode;
    struct {
        const char *name, *region, *account_id; /* NULL: the operator's own / no guard */
    } cluster;
    enum cib_identity identity;
    struct {
        const char *name, *arn; /* at most one is set; both NULL: the deterministic default name */
        const char *path;       /* NULL: the operator's --role-path */
        const char *permissions_boundary_arn;
        const char *description;
        struct cib_tag *tags;
        size_t ntags;
        int max_session_duration_seconds; /* 0: unset */
        enum cib_management management;
    } role;
    struct {
        enum cib_ip_family ip_family;
        struct strlist policy_arns;
    } permissions;
    enum cib_tristate sts_regional_endpoints;
    struct {
        int proof_seconds, settle_seconds, progress_deadline_seconds;
    } rollout;
    struct {
        enum cib_detach detach;
        int soak_seconds;
        struct strlist role_arns; /* restricts what may be detached; empty: every node role found */
        struct strlist
            foreign_consumers; /* ARNs or ids of instances, instance profiles, roles, clusters that are declared */
    } node_role;
    enum cib_deletion deletion_policy;
    bool suspend;
};

enum cib_condition_status { CIB_CONDITION_TRUE, CIB_CONDITION_FALSE, CIB_CONDITION_UNKNOWN };
struct cib_condition {
    const char *type;
    enum cib_condition_status status;
    const char *reason, *message;
    int64_t observed_generation;
    int64_t last_transition_ms; /* wall */
};

enum cib_gate_state { CIB_GATE_PENDING, CIB_GATE_WAITING, CIB_GATE_PASSED, CIB_GATE_FAILED, CIB_GATE_NOT_APPLICABLE };
struct cib_gate {
    const char *name; /* "G1" ... "G8" */
    enum cib_gate_state state;
    int64_t since_ms; /* wall; when `state` was first so */
    const char *evidence;
};

/* An act on a node role that was announced by compare-and-swap before it is done (S6b). */
struct cib_intent {
    const char *action; /* "Detach"; NULL: none */
    const char *policy_arn;
    const char *digest;
    int64_t epoch;
    int64_t at_ms;
};

struct cib_node_role {
    const char *arn, *name;
    struct strlist attached; /* policies of ours-to-move that are attached now */
    struct strlist detached; /* those that we detached: what Restore attaches again */
    struct strlist findings; /* other grants of CNI actions: sentences */
    bool may_detach;
    const char *reason, *message; /* why (not) */
    bool consumers_known;
    int64_t probed_ms; /* last successful attach probe (S3) */
    struct cib_intent intent;
};

struct cib_status {
    bool present; /* decoded from an object that had one */
    int64_t observed_generation;
    struct {
        const char *name, *region, *arn, *issuer, *account_id;
    } cluster; /* pinned once set */
    struct {
        const char *arn, *name, *id;
        bool created;           /* by us: may be deleted by us (S5, together with live tags) */
        struct strlist earlier; /* ARNs of roles that it named before, until nobody has them and they are gone */
    } role;
    struct {
        const char *arn;
        bool created;
    } provider;
    struct {
        struct strlist arns;
        const char *created_arn; /* customer policy that we made (IPv6) */
    } policies;
    struct {
        bool recorded;
        const char *role_arn, *sts_regional_endpoints; /* annotation values before us; NULL: absent */
        bool worked; /* pods had permissions before us; false: bootstrap, deletion retains (S15) */
    } prior;
    struct {
        const char *role_arn; /* what we annotated; NULL: nothing now */
        int64_t annotated_ms;
        const char *restart_key; /* last key applied to the pod template */
        const char *canary_uid;
        int64_t canary_ms;
    } rollout;
    struct {
        int64_t total, proven;
    } nodes;
    struct cib_node_role *node_roles;
    size_t nnode_roles;
    struct cib_gate gates[CIB_GATES];
    struct {
        const char *digest;   /* of what an approval would allow; NULL: nothing to approve */
        struct strlist steps; /* human lines with "+ ", "~ ", "- " */
    } plan;
    struct {
        const char *digest; /* approved; NULL: none */
        int64_t at_ms;
        bool used;
        const char *previous; /* the one used up before: part of every later digest, so that none is valid twice */
    } approval;
    struct {
        bool fired; /* after that a detach needs a new approval, Automatic included (G8) */
        const char *reason;
        int64_t at_ms;
    } guard;
    const char
        *phase; /* internal resume point: "", "RollingBack", "Finalizing:<step>"; a hint, re-derived from the world */
    int64_t epoch; /* leaseTransitions of the last writer (K-LE5) */
    struct cib_condition conditions[CIB_CONDITIONS_MAX];
    size_t nconditions;
};

struct cib_binding {
    struct arena *arena;
    const char *name, *uid, *resource_version;
    int64_t generation;
    int64_t creation_ms, deletion_ms; /* deletion 0: not being deleted */
    bool has_finalizer;
    struct strlist finalizers; /* all, in their order */
    const char *approve;       /* annotation values; NULL: absent */
    const char *abandon;
    struct cib_spec spec;
    const char *spec_error; /* NULL, or why this stored spec is unusable: Stalled/InvalidSpec with this message */
    struct cib_status status;
};

/* NULL on objects that are no CniIamBinding at all, or have no name; uid and resource_version of one that was read from
 * a file are "". Field errors go into spec_error so that the object can still be reported on. */
struct cib_binding *cib_decode(const json *object, struct error *err);
void cib_free(struct cib_binding *b);

/* The `status` value for server-side apply; deterministic: equal statuses give equal text. Zero and NULL members are left out, but for
 * nodes, the eight gates and mayDetach, which are always said. Instants have whole seconds, lists end at their maximum, texts are cut to what the schema
 * allows: a status that is refused would hide everything. */
json *cib_status_encode(const struct cib_status *s);
/* Complete apply document for /status: apiVersion, kind, metadata{name, uid [, resourceVersion when given]}, status. */
json *cib_status_apply_document(const struct cib_binding *b, const struct cib_status *s, const char *resource_version);
/* Sets or replaces by type; last_transition_ms changes only with the status value (K-S1). Strings are borrowed. */
void cib_condition_set(struct cib_status *s, struct cib_condition c);
void cib_condition_remove(struct cib_status *s, const char *type);
const struct cib_condition *cib_condition_find(const struct cib_status *s, const char *type);

const char *cib_mode_name(enum cib_mode m);
const char *cib_identity_name(enum cib_identity i);
const char *cib_detach_name(enum cib_detach d);
const char *cib_gate_state_name(enum cib_gate_state s);

#endif
