/* ec2_run.c - instances that somebody starts and ends by calls: other consumers of a node role, nodes that never join. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define SPECIFICATIONS_MAX 10
#define CLUSTER_TAG "kubernetes.io/cluster/"

struct wish {
    int64_t least, most;
    const char *profile, *cluster; /* NULL: none */
};

/* --- RunInstances --- */

/* Of tags only those are kept that make an instance one of a cluster. */
static bool read_tag(struct sim_aws *a, const char *key, const char *value, struct wish *w,
                     struct sim_aws_answer *out) {
    const char *cluster = str_has_prefix(key, CLUSTER_TAG)  ? key + strlen(CLUSTER_TAG)
                          : str_eq(key, "eks:cluster-name") ? str_or(value, "")
                                                            : NULL;
    if (str_empty(cluster) || (w->cluster != NULL && !str_eq(w->cluster, cluster))) {
        sim_fail(a, out, 400, "InvalidParameterValue",
                 "This simulation keeps no tag %.128s: only " CLUSTER_TAG "NAME and eks:cluster-name, of one cluster.",
                 key);
        return false;
    }
    w->cluster = cluster;
    return true;
}

static bool read_tags(struct sim_aws *a, const struct sim_aws_call *c, struct wish *w, struct sim_aws_answer *out) {
    char name[80];
    for (int i = 1; i <= SPECIFICATIONS_MAX; i++) {
        for (int n = 1; n <= SIM_TAGS_MAX; n++) {
            (void)snprintf(name, sizeof name, "TagSpecification.%d.Tag.%d.Key", i, n);
            const char *key = sim_param(c, name);
            (void)snprintf(name, sizeof name, "TagSpecification.%d.Tag.%d.Value", i, n);
            if (key == NULL) {
                break;
            }
            if (!read_tag(a, key, sim_param(c, name), w, out)) {
                return false;
            }
        }
    }
    return true;
}

/* By name or ARN; none is fine. */
static bool read_profile(struct sim_aws *a, const struct sim_aws_call *c, struct wish *w, struct sim_aws_answer *out) {
    const char *arn = sim_param(c, "IamInstanceProfile.Arn"), *slash = arn != NULL ? strrchr(arn, '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : sim_param(c, "IamInstanceProfile.Name");
    const struct sim_profile *p = sim_profile_find(a, name);

    if ((name == NULL && arn == NULL) || (p != NULL && (arn == NULL || str_eq(arn, p->arn)))) {
        w->profile = p != NULL ? p->name : NULL;
        return true;
    }
    sim_fail(a, out, 400, "InvalidParameterValue", "Value (%.200s) for parameter iamInstanceProfile.%s is invalid.",
             str_or(arn, name), arn != NULL ? "arn" : "name");
    return false;
}

static bool read_count(struct sim_aws *a, const struct sim_aws_call *c, const char *name, int64_t *n,
                       struct sim_aws_answer *out) {
    const char *text = sim_param(c, name);
    if (text == NULL) {
        sim_fail(a, out, 400, "MissingParameter", "The request must contain the parameter %s", name);
        return false;
    }
    if (!str_to_int64(text, n) || *n < 1 || *n > SIM_RUN_MAX) {
        sim_fail(a, out, 400, "InvalidParameterValue", "Value (%.40s) for parameter %s is invalid.", text, name);
        return false;
    }
    return true;
}

static bool read_wish(struct sim_aws *a, const struct sim_aws_call *c, struct wish *w, struct sim_aws_answer *out) {
    *w = (struct wish){0};
    if (!read_count(a, c, "MinCount", &w->least, out) || !read_count(a, c, "MaxCount", &w->most, out)) {
        return false;
    }
    if (w->least > w->most) {
        sim_fail(a, out, 400, "InvalidParameterValue", "MinCount may not be greater than MaxCount");
        return false;
    }
    return read_profile(a, c, w, out) && read_tags(a, c, w, out);
}

static const struct sim_instance *start(struct sim_aws *a, const struct wish *w) {
    char id[24];
    (void)snprintf(id, sizeof id, "i-%017" PRIx64, prng_next(&a->ids));
    sim_aws_run_instance(a, id, w->profile, w->cluster);
    return strmap_get(a->instances, id);
}

static void set_state(json *instance, const char *key, const char *code, const char *name) {
    json *state = json_add_object(instance, key);
    json_add_str(state, "code", code);
    json_add_str(state, "name", name);
}

static void run_instances(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct wish w;
    json *set = NULL;

    if (!sim_ec2_may_go_on(a, c, out) || !read_wish(a, c, &w, out)) {
        return;
    }
    if (strmap_count(a->instances) + (size_t)w.most > SIM_AWS_INSTANCES_MAX) {
        sim_fail(a, out, 400, "InstanceLimitExceeded",
                 "You have requested more instances than your current limit of %d.", SIM_AWS_INSTANCES_MAX);
        return;
    }
    for (int64_t n = 0; n < w.most; n++) {
        const struct sim_instance *i = start(a, &w);
        if (i == NULL) {
            die("simulated account: no place for an instance");
        }
        json *reservation = sim_reservation_json(a, i);
        json *made = cJSON_GetObjectItemCaseSensitive(reservation, "instancesSet");
        set_state(made->child, "instanceState", "0", "pending");
        if (set == NULL) {
            out->value = reservation;
            set = made;
        } else {
            json_push(set, cJSON_DetachItemViaPointer(made, made->child));
            json_free(reservation);
        }
    }
    sim_wrote(a, "RunInstances %" PRId64 " on %s", w.most, str_or(w.profile, "no profile"));
}

/* --- TerminateInstances --- */

static bool are_known(struct sim_aws *a, const struct strlist *ids, struct sim_aws_answer *out) {
    if (ids->n == 0) {
        sim_fail(a, out, 400, "MissingParameter", "The request must contain the parameter InstanceId");
    }
    for (size_t i = 0; i < ids->n; i++) {
        if (strmap_get(a->instances, ids->v[i]) == NULL) {
            sim_fail(a, out, 400, "InvalidInstanceID.NotFound", "The instance ID '%.100s' does not exist", ids->v[i]);
            return false;
        }
    }
    return ids->n > 0;
}

static void terminate_instances(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct strlist ids;
    if (!sim_ec2_may_go_on(a, c, out) || !sim_list(a, c, "InstanceId", &ids, out) || !are_known(a, &ids, out)) {
        return;
    }
    out->value = json_object();
    json *set = json_add_array(out->value, "instancesSet");
    for (size_t i = 0; i < ids.n; i++) {
        const struct sim_instance *instance = strmap_get(a->instances, ids.v[i]);
        bool was_running = instance->terminated_ms == 0;
        json *one = json_object();
        json_add_str(one, "instanceId", ids.v[i]);
        set_state(one, "currentState", was_running ? "32" : "48", was_running ? "shutting-down" : "terminated");
        set_state(one, "previousState", was_running ? "16" : "48", was_running ? "running" : "terminated");
        json_push(set, one);
        sim_aws_terminate_instance(a, ids.v[i]);
    }
    sim_wrote(a, "TerminateInstances %s%s", ids.v[0], ids.n > 1 ? " and others" : "");
}

const struct sim_operation sim_ec2_run_operations[] = {
    {"ec2:RunInstances", run_instances},
    {"ec2:TerminateInstances", terminate_instances},
    {NULL, NULL},
};
