/* binding_spec.c - .spec with its defaults; every rule of the schema once more, with the field and what to write. */
#include "crd/binding_spec.h"

#include <string.h>

#include "crd/binding_names.h"
#include "crd/binding_text.h"

#define WAIT_MAX 86400  /* one day */
#define SOAK_MAX 604800 /* one week */

/* Collects the first complaint while it goes on reading. */
struct reader {
    struct arena *a;
    const char *problem;
};

static void complain(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct reader *r, const char *fmt, ...) {
    va_list ap;

    if (r->problem != NULL) {
        return;
    }
    va_start(ap, fmt);
    r->problem = arena_vprintf(r->a, fmt, ap);
    va_end(ap);
}

/* `path` is relative to the spec; null is absence. */
static const json *field(const json *spec, const char *path) {
    const json *v = json_path(spec, path);
    return v != NULL && !cJSON_IsNull(v) ? v : NULL;
}

static const char *text(struct reader *r, const json *spec, const char *path, bool (*valid)(const char *),
                        const char *want) {
    const json *v = field(spec, path);

    if (v == NULL) {
        return NULL;
    }
    if (!json_is_string(v) || !valid(v->valuestring)) {
        complain(r, "spec.%s is not valid: write %s", path, want);
        return NULL;
    }
    return arena_strdup(r->a, v->valuestring);
}

static unsigned word(struct reader *r, const json *spec, const char *path, const struct cib_words *words) {
    const json *v = field(spec, path);
    unsigned value = 0; /* the first word is the default */

    if (v != NULL && !(json_is_string(v) && cib_word_find(words, v->valuestring, &value))) {
        struct strlist allowed = {0};
        for (unsigned i = 0; i < words->n; i++) {
            strlist_add(&allowed, words->word[i], r->a);
        }
        complain(r, "spec.%s is not valid: write one of %s", path, strlist_join(&allowed, ", ", r->a));
    }
    return value;
}

static int number(struct reader *r, const json *spec, const char *path, int min, int max, int fallback) {
    int64_t n;

    if (field(spec, path) == NULL) {
        return fallback;
    }
    if (!json_int64(spec, path, &n) || n < min || n > max) {
        complain(r, "spec.%s is not valid: write a whole number from %d to %d", path, min, max);
        return fallback;
    }
    return (int)n;
}

static enum cib_tristate boolean(struct reader *r, const json *spec, const char *path) {
    const json *v = field(spec, path);

    if (v == NULL) {
        return CIB_UNSET;
    }
    if (!cJSON_IsBool(v)) {
        complain(r, "spec.%s is not valid: write true or false", path);
        return CIB_UNSET;
    }
    return cJSON_IsTrue(v) ? CIB_TRUE : CIB_FALSE;
}

static struct strlist texts(struct reader *r, const json *spec, const char *path, size_t max,
                            bool (*valid)(const char *), const char *want) {
    struct strlist out = {0};
    const json *list = field(spec, path);

    if (list != NULL && !json_is_array(list)) {
        complain(r, "spec.%s is not valid: write a list of %s", path, want);
        return out;
    }
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        if (!json_is_string(it) || !valid(it->valuestring)) {
            complain(r, "spec.%s has an item that is not valid: write %s", path, want);
        } else if (out.n == max) {
            complain(r, "spec.%s is too long: write at most %zu items", path, max);
            break;
        } else if (!strlist_has(&out, it->valuestring)) {
            strlist_add(&out, it->valuestring, r->a);
        }
    }
    return out;
}

static void read_tags(struct reader *r, const json *spec, struct cib_spec *out) {
    const json *tags = field(spec, "role.tags");

    if (tags == NULL) {
        return;
    }
    if (!json_is_object(tags) || json_array_size(tags) > CIB_TAGS_MAX) {
        complain(r, "spec.role.tags is not valid: write a map of at most %d keys and values", CIB_TAGS_MAX);
        return;
    }
    out->role.tags = ARENA_ARRAY(r->a, json_array_size(tags) + 1, struct cib_tag);
    for (const json *it = json_first(tags); it != NULL; it = it->next) {
        if (!cib_is_tag_key(it->string) || !json_is_string(it) || !cib_is_tag_value(it->valuestring)) {
            complain(
                r,
                "spec.role.tags has a tag that is not valid: write keys without the prefixes aws: and cniiam.dev/, and "
                "letters, digits, blanks and _.:/=+-@");
            continue;
        }
        out->role.tags[out->role.ntags].key = arena_strdup(r->a, it->string);
        out->role.tags[out->role.ntags++].value = arena_strdup(r->a, it->valuestring);
    }
}

static void read_cluster(struct reader *r, const json *spec, struct cib_spec *out) {
    out->cluster.name = text(r, spec, "cluster.name", cib_is_cluster_name, "the name of the EKS cluster, like prod");
    out->cluster.region = text(r, spec, "cluster.region", cib_is_region, "an AWS Region, like us-west-2");
    out->cluster.account_id = text(r, spec, "cluster.accountID", cib_is_account_id, "12 digits in quotes");
}

static void read_role(struct reader *r, const json *spec, struct cib_spec *out) {
    out->role.name = text(r, spec, "role.name", cib_is_role_name, "at most 64 letters, digits and _+=,.@-");
    out->role.arn =
        text(r, spec, "role.arn", cib_is_role_arn, "a role's ARN, like arn:aws:iam::123456789012:role/name");
    out->role.path = text(r, spec, "role.path", cib_is_path, "a path that starts and ends with a slash, like /cni/");
    out->role.permissions_boundary_arn = text(r, spec, "role.permissionsBoundaryARN", cib_is_policy_arn,
                                              "a policy's ARN, like arn:aws:iam::123456789012:policy/name");
    out->role.description = text(r, spec, "role.description", cib_is_description, "at most 1000 printable characters");
    out->role.max_session_duration_seconds = number(r, spec, "role.maxSessionDurationSeconds", 3600, 43200, 0);
    out->role.management = (enum cib_management)word(r, spec, "role.management", &cib_managements);
    read_tags(r, spec, out);
}

/* Fields that contradict one another: the CEL rules of the schema. */
static void check_role(struct reader *r, const struct cib_spec *s) {
    if (s->role.name != NULL && s->role.arn != NULL) {
        complain(r, "spec.role.name and spec.role.arn exclude each other: write one of them");
    }
    if (s->role.arn != NULL && s->role.management == CIB_MANAGE) {
        complain(r, "spec.role.arn names an existing role: write management: Adopt or management: Reference with it");
    }
    if (s->role.arn != NULL && s->role.path != NULL) {
        complain(r, "spec.role.path is a part of spec.role.arn already: remove spec.role.path");
    }
    if (s->role.management != CIB_MANAGE && s->role.arn == NULL && s->role.name == NULL) {
        complain(r, "spec.role.management %s needs an existing role: write spec.role.arn or spec.role.name",
                 cib_word(&cib_managements, s->role.management));
    }
}

static void read_rollout(struct reader *r, const json *spec, struct cib_spec *out) {
    out->rollout.proof_seconds = number(r, spec, "rollout.proofSeconds", 0, WAIT_MAX, 60);
    out->rollout.settle_seconds = number(r, spec, "rollout.settleSeconds", 0, WAIT_MAX, 30);
    out->rollout.progress_deadline_seconds = number(r, spec, "rollout.progressDeadlineSeconds", 0, WAIT_MAX, 600);
}

static void read_node_role(struct reader *r, const json *spec, struct cib_spec *out) {
    out->node_role.detach = (enum cib_detach)word(r, spec, "nodeRole.detach", &cib_detaches);
    out->node_role.soak_seconds = number(r, spec, "nodeRole.soakSeconds", 0, SOAK_MAX, 300);
    out->node_role.role_arns = texts(r, spec, "nodeRole.roleARNs", CIB_NODE_ROLES_MAX, cib_is_role_arn,
                                     "roles' ARNs, like arn:aws:iam::123456789012:role/name");
    out->node_role.foreign_consumers = texts(r, spec, "nodeRole.foreignConsumers", CIB_CONSUMERS_MAX, cib_is_consumer,
                                             "ARNs or ids without blanks, like i-0123456789abcdef0");
}

static void check_parents(struct reader *r, const json *spec) {
    static const char *const parents[] = {"cluster",        "identity", "role",    "permissions",
                                          "serviceAccount", "rollout",  "nodeRole"};
    for (size_t i = 0; i < sizeof parents / sizeof parents[0]; i++) {
        const json *v = field(spec, parents[i]);
        if (v != NULL && !json_is_object(v)) {
            complain(r, "spec.%s is not valid: write a map", parents[i]);
        }
    }
}

const char *cib_spec_decode(const json *spec, struct cib_spec *out, struct arena *a) {
    struct reader r = {.a = a};

    memset(out, 0, sizeof *out);
    if (spec != NULL && !cJSON_IsNull(spec) && !json_is_object(spec)) {
        complain(&r, "spec is not valid: write a map; spec: {} is enough");
    }
    check_parents(&r, spec);
    out->mode = (enum cib_mode)word(&r, spec, "mode", &cib_modes);
    read_cluster(&r, spec, out);
    out->identity = (enum cib_identity)word(&r, spec, "identity.type", &cib_identities);
    read_role(&r, spec, out);
    check_role(&r, out);
    out->permissions.ip_family = (enum cib_ip_family)word(&r, spec, "permissions.ipFamily", &cib_ip_families);
    out->permissions.policy_arns = texts(&r, spec, "permissions.policyARNs", CIB_POLICIES_MAX, cib_is_policy_arn,
                                         "policies' ARNs, like arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy");
    out->sts_regional_endpoints = boolean(&r, spec, "serviceAccount.stsRegionalEndpoints");
    read_rollout(&r, spec, out);
    read_node_role(&r, spec, out);
    out->deletion_policy = (enum cib_deletion)word(&r, spec, "deletionPolicy", &cib_deletions);
    out->suspend = boolean(&r, spec, "suspend") == CIB_TRUE;
    return r.problem;
}
