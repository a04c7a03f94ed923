/*
 * kube_internal.h - what the files of the simulated API server share.
 *
 * Model: a stored object is a kube_version, never changed once it is stored and counted by references: the store, the
 * history and whoever is answering hold one each, so that a listener may write while an answer is being made.
 * Functions that may refuse return a Status object that the caller owns, or NULL when all is well.
 *
 * Ownership: as named; `take` in a parameter's name says that the function takes the tree.   Errors: Status trees.
 * Bounds: the KUBE_*_MAX below.
 */
#ifndef CNI_IAM_SIMULATOR_KUBE_INTERNAL_H
#define CNI_IAM_SIMULATOR_KUBE_INTERNAL_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/buf.h"
#include "platform/base/json.h"
#include "platform/base/random.h"
#include "platform/base/strmap.h"
#include "simulator/kube.h"

#define KUBE_ANSWER_MAX ((size_t)512 * 1024 * 1024)
#define KUBE_MESSAGE_MAX ((size_t)64 * 1024)
#define KUBE_WATCHES_MAX 4096
#define KUBE_HOOKS_MAX 16
#define KUBE_QUERY_MAX 32
#define KUBE_SEGMENTS_MAX 10
#define KUBE_CAUSES_MAX 64
#define KUBE_PATCH_OPS_MAX 10000
#define KUBE_MANAGERS_MAX 64
#define KUBE_NAME_MAX 253
#define KUBE_ANNOTATIONS_MAX ((size_t)256 * 1024)

#define KUBE_CRD_NAME "cniiambindings.cniiam.dev"

/* One stored collection each. The two groups of Events share one; KUBE_NO_STORE: reviews, that are only answered. */
enum kube_store {
    KUBE_NAMESPACES,
    KUBE_NODES,
    KUBE_PODS,
    KUBE_SERVICEACCOUNTS,
    KUBE_EVENTS,
    KUBE_CONFIGMAPS,
    KUBE_DAEMONSETS,
    KUBE_CONTROLLERREVISIONS,
    KUBE_LEASES,
    KUBE_CRDS,
    KUBE_BINDINGS,
    KUBE_WEBHOOKS,
    KUBE_CLUSTERROLES,
    KUBE_CLUSTERROLEBINDINGS,
    KUBE_ROLES,
    KUBE_ROLEBINDINGS,
    KUBE_STORES,
    KUBE_NO_STORE = KUBE_STORES
};

struct kube_resource {
    enum kube_store store;
    const char *plural, *group, *version, *kind, *singular, *short_name; /* group "": the core; short_name NULL: none */
    bool namespaced, has_status, has_generation;
};

const struct kube_resource *kube_resource_at(size_t index); /* NULL past the end */
const struct kube_resource *kube_resource_find(const char *group, const char *version, const char *plural);
const struct kube_resource *kube_resource_named(const char *plural); /* what is stored under that plural name */
const char *kube_api_version(const struct kube_resource *r, struct arena *a);
/* "pods", "daemonsets.apps": how messages call it. */
const char *kube_qualified(const struct kube_resource *r, struct arena *a);

/* --- the store --- */
struct kube_version {
    unsigned refs;
    int64_t rv;
    json *value; /* never changed once it is stored */
    char *text;  /* of the value, when it was asked for */
};
const char *kube_version_text(struct kube_version *v);
void kube_ref(struct kube_version *v);
void kube_unref(struct kube_version *v); /* NULL is fine */

enum kube_change { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED };
struct kube_event {
    int64_t rv;
    enum kube_change change;
    enum kube_store store;
    struct kube_version *now; /* of a deletion: the last state, with the resourceVersion of the deletion */
    struct kube_version *old; /* NULL for ADDED */
};

struct kube_versions {
    struct kube_version **v;
    size_t n;
};

struct kube_watcher;
struct kube_admission {
    void (*fn)(void *arg, json *pod, bool dry_run);
    void *arg;
};
struct kube_listener {
    void (*fn)(void *arg, const char *type, const char *resource, const json *object, const char *manager);
    void *arg;
};

struct sim_kube {
    struct clock clock;
    char *issuer;
    struct prng prng;
    int64_t rv;
    int64_t compacted; /* nothing before this resourceVersion is known any more */
    size_t nobjects;
    struct strmap *objects[KUBE_STORES]; /* "namespace/name" or "name" -> struct kube_version */
    struct kube_event *history;          /* a ring of SIM_KUBE_HISTORY_MAX */
    uint64_t first_event, next_event;    /* counted from 0 */
    struct kube_watcher *watchers;
    size_t nwatchers;
    uint64_t last_ticket;
    struct kube_admission admission[KUBE_HOOKS_MAX];
    size_t nadmission;
    struct kube_listener listeners[KUBE_HOOKS_MAX];
    size_t nlisteners;
    bool bindings_served; /* a CRD is there, or none was asked for */
    EVP_PKEY *key;        /* made when the first token is */
    int key_bits;         /* 0: as many as an API server has */
    char key_id[48];
};

struct kube_version *kube_find(const struct sim_kube *k, enum kube_store store, const char *ns, const char *name);
/* All of a store in the order of their keys, each with a reference; ns NULL: of every namespace. */
struct kube_versions kube_all(const struct sim_kube *k, enum kube_store store, const char *ns, struct arena *a);
/* As it was at resourceVersion rv, which must not be compacted. */
struct kube_versions kube_all_at(const struct sim_kube *k, enum kube_store store, const char *ns, int64_t rv,
                                 struct arena *a);
void kube_versions_drop(struct kube_versions *l);
bool kube_is_full(const struct sim_kube *k);
/* Stores, replaces (old != NULL) or `removes`, and watches and listeners learn it. The caller gets a reference. */
struct kube_version *kube_commit(struct sim_kube *k, const struct kube_resource *r, struct kube_version *old,
                                 json *value_take, bool removes, const char *manager);
/* A version that is not stored: of dry runs. */
struct kube_version *kube_loose_version(json *value_take, int64_t rv);
const struct kube_event *kube_event_at(const struct sim_kube *k, uint64_t number);
const char *kube_change_name(enum kube_change c);

/* --- trees --- */
json *kube_member(json *o, const char *key); /* NULL if absent */
json *kube_need_object(json *o, const char *key);
void kube_drop(json *o, const char *key);
json *kube_metadata(json *object);
const char *kube_name_of(const json *object);
const char *kube_namespace_of(const json *object);
int64_t kube_version_of(const json *object);                        /* metadata.resourceVersion; 0: none */
void kube_copy_member(json *to, const json *from, const char *key); /* absent in from: removed from to */
void kube_now(const struct sim_kube *k, char out[40]);

/* The store's key: "namespace/name" or "name". */
#define KUBE_KEY_MAX 600
const char *kube_key_of(const json *object, char key[KUBE_KEY_MAX]);
char *kube_base64url(const void *p, size_t n, struct arena *a);

/* --- requests --- */
enum kube_form { KUBE_FULL, KUBE_TABLE, KUBE_METADATA, KUBE_METADATA_LIST };
struct kube_param {
    const char *name, *value;
};
struct kube_request {
    const struct sim_http_request *http;
    struct arena *a;
    const char *segments[KUBE_SEGMENTS_MAX];
    size_t nsegments;
    struct kube_param query[KUBE_QUERY_MAX];
    size_t nquery;
    enum kube_form form;
    const struct kube_resource *r; /* NULL: no path of a resource */
    const char *ns, *name, *sub;   /* NULL: none */
    const char *manager;
    const char *user, *user_ns, *user_account; /* NULL: the administrator; else a ServiceAccount */
    bool dry_run, strict;
};
json *kube_request_read(const struct sim_http_request *http, struct arena *a, struct kube_request *out);
const char *kube_query(const struct kube_request *q, const char *name); /* NULL when absent or empty */
bool kube_query_true(const struct kube_request *q, const char *name);

/* --- Status --- */
struct kube_causes {
    json *list; /* NULL until the first */
    struct buf text;
    size_t n;
};
json *kube_status(int code, const char *reason, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
json *kube_status_for(const struct kube_resource *r, const char *name, int code, const char *reason, const char *fmt,
                      ...) __attribute__((format(printf, 5, 6)));
json *kube_not_found(const struct kube_resource *r, const char *name);
json *kube_invalid_one(const struct kube_resource *r, const char *name, const char *field, const char *reason,
                       const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void kube_cause(struct kube_causes *c, const char *field, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* 422 with the causes, or NULL when there are none; empties them either way. */
void kube_causes_drop(struct kube_causes *c); /* they are not told */
json *kube_causes_status(struct kube_causes *c, const struct kube_resource *r, const char *name);
void kube_answer_status(struct sim_http_answer *out, json *status_take);
void kube_answer_version(struct sim_kube *k, const struct kube_request *q, int status, struct kube_version *v,
                         struct sim_http_answer *out);
void kube_answer_json(struct sim_http_answer *out, int status, json *body_take);
void kube_answer_text(struct sim_http_answer *out, int status, const char *text);

/* --- selectors --- */
struct kube_selector;
/* NULL in *out: everything matches. */
json *kube_selector_read(const struct sim_kube *k, const struct kube_request *q, struct kube_selector **out);
bool kube_selector_matches(const struct kube_selector *s, const json *object);

/* --- reading --- */
void kube_get(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out);
void kube_list(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out);
/* The object as this resource and form shows it; the caller owns it. `whole`: kind and apiVersion stay. */
bool kube_shows_whole(const struct kube_resource *r, enum kube_form form); /* as it is stored */
json *kube_show(const struct sim_kube *k, const struct kube_resource *r, const json *object, enum kube_form form,
                bool whole);
json *kube_table(const struct sim_kube *k, const struct kube_request *q, const json *const *objects, size_t n);

/* --- writing --- */
struct kube_write {
    struct sim_kube *k;
    const struct kube_resource *r;
    const char *ns, *name; /* of the URL; NULL name: a create without one */
    bool status_only;      /* the subresource */
    bool dry_run, strict;
    bool from_world; /* no authorisation, no subresources, no namespace to be there */
    bool applied;    /* managedFields are already right */
    bool patches;    /* it came as a patch: what is not decoded strictly is 422, not 400 */
    const char *manager;
};
json *kube_create(const struct kube_write *w, json *object_take, struct kube_version **out);
/* `as_patch`: a wrong uid is an immutable field, not a failed precondition. */
json *kube_update(const struct kube_write *w, struct kube_version *live, json *object_take, bool as_patch,
                  struct kube_version **out);
json *kube_delete(const struct kube_write *w, const json *options, struct kube_version **out, bool *gone);
struct kube_write kube_write_of(struct sim_kube *k, const struct kube_request *q);

/* Rules and defaults of the built-in kinds. old NULL: a creation. */
void kube_builtin_prepare(const struct kube_write *w, json *object, const json *old);
json *kube_builtin_check(const struct kube_write *w, const json *object, const json *old);
void kube_event_to_core(json *event);       /* events.k8s.io/v1 -> v1 */
void kube_event_to_group(json *event);      /* v1 -> events.k8s.io/v1 */
bool kube_pod_needs_grace(const json *pod); /* its kubelet has to end it */

/* --- field sets: FieldsV1 trees --- */
struct kube_list_key {
    const char *keys[2];  /* NULL, NULL: a set of values */
    const char *fallback; /* of the second key */
};
/* NULL: atomic. */
const struct kube_list_key *kube_list_keys(const char *field);
bool kube_is_atomic_map(const char *field);
json *kube_fields_of(const json *value);                     /* all leaves */
json *kube_fields_changed(const json *old, const json *now); /* added or modified leaves of now */
json *kube_fields_removed(const json *old, const json *now); /* leaves of old that now has not */
bool kube_fields_empty(const json *set);
void kube_fields_subtract(json *set, const json *other);
void kube_fields_add(json *set, const json *other);
json *kube_fields_common(const json *a, const json *b);
/* Calls fn for each member with its path as messages write it: .spec.containers[name="x"].image */
void kube_fields_each(const json *set, void (*fn)(void *arg, const char *path), void *arg);
/* The item of a list that the path element "k:{...}" or "v:..." names, or NULL. */
json *kube_fields_item(json *list, const char *element);
char *kube_fields_element(const json *item, const struct kube_list_key *lk, struct arena *a); /* of one list item */

/* --- managedFields --- */
void kube_managed_update(const struct kube_write *w, const json *old, json *now);
json *kube_apply(const struct kube_write *w, struct kube_version *live, json *config_take, bool force,
                 struct kube_version **out);

/* --- patches: the patched copy in *out, or a Status --- */
json *kube_patch_json(const struct kube_write *w, const json *object, const json *patch, json **out);
json *kube_patch_merge(const json *object, const json *patch);     /* RFC 7396 */
json *kube_patch_strategic(const json *object, const json *patch); /* lists by key, $patch and its like */

/* --- the CRD --- */
json *kube_yaml_parse(const char *text, size_t n, struct error *err); /* one document */
json *kube_crd_check(const json *crd);                                /* a rule that is not known refuses it */
const json *kube_crd_version(const struct sim_kube *k);               /* spec.versions[0]; NULL: no schema */
void kube_crd_established(json *crd, const char *now);
/* Fills defaults and removes what the schema does not know; the paths of that go to `unknown` when it is given. */
void kube_schema_prepare(const json *schema, json *object, struct strlist *unknown, struct arena *a);
void kube_schema_check(const json *schema, const json *object, const json *old, struct kube_causes *c);
bool kube_rule_known(const char *message);
bool kube_rule_holds(const char *message, const json *self, const json *old_self);
bool kube_rule_is_transition(const char *message); /* it speaks of oldSelf: only updates are checked */

/* --- who may what --- */
struct kube_question {
    const char *verb, *group, *resource, *sub, *ns, *name; /* NULL or "": none */
    const char *path;                                      /* not NULL: about no resource */
};
json *kube_authorize(struct sim_kube *k, struct kube_request *q); /* fills q->user; 401, 403 or NULL */
bool kube_may(struct sim_kube *k, const struct kube_request *q, const struct kube_question *ask);
/* Copies the caller's rules in this namespace to status.resourceRules and status.nonResourceRules, which are there. */
void kube_rules_of(struct sim_kube *k, const struct kube_request *q, const char *ns, json *status);

/* --- reviews, tokens, discovery --- */
#define KUBE_AUDIENCE "https://kubernetes.default.svc"
json *kube_review(struct sim_kube *k, const struct kube_request *q, json *body_take, json **out);
json *kube_token_request(struct sim_kube *k, const struct kube_request *q, json *body_take, json **out);
void kube_token_free(struct sim_kube *k);
bool kube_discover(struct sim_kube *k, const struct kube_request *q, struct sim_http_answer *out);
json *kube_jwks(struct sim_kube *k);

/* --- watches --- */
void kube_watches_wake(struct sim_kube *k, enum kube_store store);
void kube_watches_end(struct sim_kube *k, enum kube_store store);
void kube_watches_free(struct sim_kube *k);

#endif
