/*
 * aws_internal.h - what the files of the simulated account share. Private to simulator/aws*.c, iam_*.c, sts.c, eks.c, ec2.c.
 *
 * Model: everything that IAM enforces later than it stores is a history: a list of values, each with the moment from which
 * it is enforced. The last one is what is stored; the last whose moment has come is what is enforced, so that an older
 * change that arrives late never undoes a newer one. A deleted entity stays until its absence is enforced as well.
 *
 * Ownership: struct sim_aws owns all entities; maps free them. Messages and lists of one call live in `scratch`.
 * Errors: sim_fail fills the answer; functions that may fail return false or NULL and have then filled it.
 * Bounds: the SIM_* numbers below; memory exhausted ends the process.
 */
#ifndef CNI_IAM_SIMULATOR_AWS_INTERNAL_H
#define CNI_IAM_SIMULATOR_AWS_INTERNAL_H

#include "platform/base/arena.h"
#include "platform/base/json.h"
#include "platform/base/random.h"
#include "platform/base/strmap.h"
#include "simulator/aws.h"
#include "simulator/policy_eval.h"

#define SIM_EFFECTS_MAX 128   /* times of changes that are remembered; what is older counts as always taking effect */
#define SIM_PENDING_MAX 64    /* changes of one thing that are not enforced yet; above, the oldest counts as enforced */
#define SIM_PROVIDERS_MAX 100 /* AWS quota */
#define SIM_PROFILES_MAX 1000 /* AWS quota */
#define SIM_KEYS_MAX 20000    /* access keys; above, the oldest session is forgotten */
#define SIM_OPERATIONS_MAX 256       /* of the dispatch table */
#define SIM_ATTACHED_MAX 10          /* AWS quota: managed policies of a role */
#define SIM_ATTACHED_TRACKED_MAX 256 /* with those whose detachment is not enforced yet */
#define SIM_INLINE_MAX 64            /* inline policies of a role, tracked */
#define SIM_VERSIONS_MAX 5           /* AWS: versions of a policy */
#define SIM_TRUST_MAX 2048           /* AWS quota: characters of a trust policy, white space not counted */
#define SIM_POLICY_MAX 6144          /* AWS: of a managed policy */
#define SIM_INLINE_SIZE_MAX 10240    /* AWS: of an inline policy */
#define SIM_TAGS_MAX 50              /* AWS: of an entity */
#define SIM_CLIENT_IDS_MAX 100       /* AWS: of a provider */
#define SIM_LIST_MAX 1000            /* members of one list parameter */
#define SIM_LISTENERS_MAX 4
#define SIM_ADDONS_MAX 50        /* of the cluster */
#define SIM_ASSOCIATIONS_MAX 500 /* of the cluster */
#define SIM_UPDATES_MAX 100      /* of add-ons; above, the oldest is forgotten */
#define SIM_ENTRIES_MAX 1000     /* access entries of the cluster */
#define SIM_RUN_MAX 100          /* instances of one RunInstances */
#define SIM_ARN_MAX 2048
#define SIM_FACTS_MAX 64 /* condition keys of one question */

/* --- histories (aws_history.c) --- */

struct sim_change {
    json *value; /* NULL: absent */
    int64_t from_ms;
};
struct sim_history {
    struct sim_change *v;
    size_t n;
};

const json *sim_stored(const struct sim_history *h);
const json *sim_enforced(const struct sim_history *h, int64_t now_ms);
bool sim_history_gone(const struct sim_history *h, int64_t now_ms); /* neither stored nor enforced */
void sim_history_done(struct sim_history *h);
/* Stores the value (taken; NULL: absent), enforced after a delay drawn from the seed. */
void sim_change(struct sim_aws *a, struct sim_history *h, json *value);
void sim_set_now(struct sim_history *h, json *value); /* enforced at once: so it has always been */

/* --- entities --- */

struct sim_inline {
    char *name, *text;
    struct sim_history document;
};

struct sim_role {
    char *name, *path, *arn, *description, *trust_text;
    char id[24];
    int64_t created_ms, last_used_ms, max_session_s;
    json *tags;                                 /* [{"Key","Value"}] */
    struct sim_history exists, trust, boundary; /* true; the document; the policy's ARN */
    struct strmap *attached;                    /* policy ARN -> struct sim_history: true */
    struct strmap *inlines;                     /* name -> struct sim_inline */
};

struct sim_version {
    char id[16];
    char *text;
    int64_t created_ms;
};

struct sim_policy {
    char *name, *path, *arn, *description;
    char id[24];
    bool of_aws;
    int64_t created_ms, updated_ms;
    json *tags;
    struct sim_version versions[SIM_VERSIONS_MAX]; /* oldest first */
    size_t nversions;
    unsigned last_version;
    char default_id[16];
    struct sim_history document; /* of the default version */
};

struct sim_provider {
    char *arn, *url; /* url without https:// */
    int64_t created_ms;
    json *tags, *thumbprints;
    struct sim_history clients; /* array of client ids */
};

struct sim_profile {
    char *name, *path, *arn, *role; /* role: its name, NULL: none */
    char id[24];
    int64_t created_ms;
    json *tags;
};

struct sim_instance {
    char *id, *profile, *cluster;
    int64_t launched_ms, terminated_ms; /* terminated_ms 0: running */
};

/* Who holds an access key. */
struct sim_principal {
    char *arn;                /* user, root, or the session of a role */
    char *role_arn, *role_id; /* NULL: no role */
    char *session;            /* NULL: no session */
    json *policy;             /* session policy; NULL: none */
    int64_t expires_ms;       /* wall clock; 0: never */
};

struct sim_aws {
    struct sim_aws_options o;
    char *account, *region, *partition, *cluster, *version, *issuer; /* issuer without https:// */
    int64_t started_ms;
    int64_t throttled_until_ms; /* boot clock */
    struct prng lags, ids;
    int64_t effect_ms[SIM_EFFECTS_MAX]; /* when changes are enforced: a ring */
    size_t neffects;
    int64_t forgotten_ms;  /* of an effect that fell out of the ring, the latest */
    struct arena *scratch; /* of one call */
    struct strmap *operations, *counts;
    int64_t total;
    struct strmap *roles, *policies, *providers, *profiles, *instances, *keys;
    json *addons, *associations, *updates, *entries; /* arrays (eks_internal.h) */
    struct sim_listener {
        void (*fn)(void *arg, const char *action, const char *line);
        void *arg;
    } listeners[SIM_LISTENERS_MAX];
    int nlisteners;
    const char *written;                /* line of the call at hand; NULL: it changed nothing */
    const struct sim_principal *caller; /* of the call at hand; NULL: the administrator */
};

/* --- operations --- */

typedef void sim_operation_fn(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out);
struct sim_operation {
    const char *name; /* "iam:GetRole" */
    sim_operation_fn *run;
};
/* Tables end with a NULL name. */
extern const struct sim_operation sim_role_operations[], sim_attachment_operations[], sim_policy_operations[],
    sim_provider_operations[], sim_profile_operations[], sim_simulate_operations[], sim_sts_operations[],
    sim_eks_operations[], sim_eks_addon_operations[], sim_eks_association_operations[], sim_eks_access_operations[],
    sim_ec2_operations[], sim_ec2_run_operations[];

/* --- memory, ids, clocks (aws.c) --- */

void *sim_new(size_t bytes); /* zeroed; never NULL */
char *sim_strdup(const char *s);
char *sim_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* the caller frees */
void sim_id(struct sim_aws *a, const char *prefix, char out[24]);
void sim_random_text(struct sim_aws *a, char *out, size_t n); /* n letters and digits, and a NUL */
int64_t sim_wall_ms(const struct sim_aws *a);
int64_t sim_boot_ms(const struct sim_aws *a);
/* What people read of this call; it says as well that the call changed something. */
void sim_wrote(struct sim_aws *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- parameters and answers (aws_params.c) --- */

void sim_fail(struct sim_aws *a, struct sim_aws_answer *out, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void sim_invalid(struct sim_aws *a, struct sim_aws_answer *out, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));                             /* ValidationError */
const char *sim_param(const struct sim_aws_call *c, const char *name); /* NULL: absent */
const char *sim_required(struct sim_aws *a, const struct sim_aws_call *c, const char *name, struct sim_aws_answer *out);
/* A name of [\w+=,.@-]{1,max}. */
const char *sim_required_name(struct sim_aws *a, const struct sim_aws_call *c, const char *param, size_t max,
                              struct sim_aws_answer *out);
bool sim_is_name(const char *s, size_t max);
/* The path parameter, "/" if absent; NULL: it is none. */
const char *sim_path(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out);
/* PREFIX.1, PREFIX.2 … up to the first that is absent; false beyond SIM_LIST_MAX. */
bool sim_list(struct sim_aws *a, const struct sim_aws_call *c, const char *prefix, struct strlist *list,
              struct sim_aws_answer *out);
bool sim_number(struct sim_aws *a, const struct sim_aws_call *c, const char *name, int64_t min, int64_t max,
                int64_t fallback, int64_t *n, struct sim_aws_answer *out);
/* Cuts value's array to one page of MaxItems from Marker and says IsTruncated. */
bool sim_page(struct sim_aws *a, const struct sim_aws_call *c, json *value, const char *array,
              struct sim_aws_answer *out);
/* Tags.member.N joined to those in `tags` (changed only on success). */
bool sim_tags_join(struct sim_aws *a, const struct sim_aws_call *c, json **tags, struct sim_aws_answer *out);
bool sim_tags_drop(struct sim_aws *a, const struct sim_aws_call *c, json *tags, struct sim_aws_answer *out);
void sim_add_time(json *o, const char *key, int64_t wall_ms);
/* Parses and judges a policy document; NULL: refused. The caller owns it. */
json *sim_document(struct sim_aws *a, const char *text, bool is_trust, size_t max, const char *quota,
                   struct sim_aws_answer *out);
json *sim_true(void);
const char *sim_lower(struct sim_aws *a, const char *name); /* key of a name that ignores case; in scratch */

/* --- IAM --- */

struct sim_role *sim_role_find(const struct sim_aws *a, const char *name); /* stored; NULL: none */
struct sim_role *sim_role_get(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out);
struct sim_role *sim_role_by_arn(const struct sim_aws *a, const char *arn);            /* stored or enforced */
struct sim_role *sim_role_make(struct sim_aws *a, const char *name, const char *path); /* NULL: too many */
json *sim_role_json(const struct sim_aws *a, const struct sim_role *r, bool whole);
void sim_role_free(void *role);
void sim_inline_free(void *policy);
bool sim_role_attach_now(struct sim_aws *a, struct sim_role *r, const char *policy_arn);
size_t sim_role_attached(const struct sim_role *r); /* stored */
struct sim_history *sim_role_attachment(const struct sim_role *r, const char *policy_arn);

struct sim_policy *sim_policy_find(struct sim_aws *a, const char *arn); /* stored */
void sim_policy_free(void *policy);
void sim_policies_of_aws(struct sim_aws *a);
void sim_provider_free(void *provider);
/* Do our cluster's tokens of this audience get through? NULL: yes; else what STS says. */
const char *sim_provider_fault(struct sim_aws *a, const char *issuer, const char *audience);
void sim_profile_free(void *profile);
struct sim_profile *sim_profile_find(const struct sim_aws *a, const char *name);
struct sim_profile *sim_profile_make(struct sim_aws *a, const char *name, const char *path);
bool sim_role_in_profile(struct sim_aws *a, const char *role);
void sim_instance_free(void *instance);
/* EC2: may the caller do this? false: answered, by a refusal or because it was a dry run. */
bool sim_ec2_may_go_on(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out);
json *sim_reservation_json(struct sim_aws *a, const struct sim_instance *i);

/* --- decisions (iam_simulate.c) --- */

struct sim_question {
    const char *action, *resource;
    bool enforced;                  /* else: as stored */
    const struct strlist *excluded; /* policy ARNs and names of inline policies that do not count; NULL: none */
    bool without_boundary;
    const json *more;                /* array of further documents; NULL: none */
    const struct policy_fact *facts; /* besides those of the account; at most SIM_FACTS_MAX */
    size_t nfacts;
};
struct sim_decision {
    enum policy_verdict verdict; /* with the boundary */
    bool bounded, boundary_allows;
};
struct sim_decision sim_decide(struct sim_aws *a, const struct sim_role *r, const struct sim_question *q);
/* An ARN of the kind that the action is about. */
const char *sim_resource_of(struct sim_aws *a, const char *action, char *out, size_t size);

/* --- STS --- */

void sim_principal_free(void *principal);
bool sim_role_trusts(struct sim_aws *a, const struct sim_role *r, const char *issuer, const char *subject,
                     const char *audience);
bool sim_may(struct sim_aws *a, const struct sim_principal *p, const char *action, const char *resource);

#endif
