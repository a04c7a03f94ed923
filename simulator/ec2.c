/* ec2.c - instances, and the actions of the CNI as far as they show who may do them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define TERMINATED_SEEN_MS ((int64_t)3600 * 1000) /* AWS: a terminated instance is shown for an hour */
#define FILTERS_MAX 50
#define PAGE_MIN 5
#define PAGE_MAX 1000
#define CLUSTER_TAG "kubernetes.io/cluster/"

/* --- the entity --- */

void sim_instance_free(void *instance) {
    struct sim_instance *i = instance;
    free(i->id);
    free(i->profile);
    free(i->cluster);
    free(i);
}

static void forget_terminated(struct sim_aws *a, int64_t older_than_ms) {
    size_t it = 0;
    const char *id;
    void *instance;
    while (strmap_next(a->instances, &it, &id, &instance)) {
        const struct sim_instance *i = instance;
        if (i->terminated_ms != 0 && i->terminated_ms < older_than_ms) {
            (void)strmap_remove(a->instances, id);
        }
    }
}

void sim_aws_run_instance(struct sim_aws *a, const char *instance_id, const char *profile, const char *cluster_tag) {
    struct sim_instance *i = sim_new(sizeof *i);

    if (strmap_count(a->instances) >= SIM_AWS_INSTANCES_MAX) {
        forget_terminated(a, INT64_MAX);
    }
    i->id = sim_strdup(instance_id);
    i->profile = sim_strdup(profile);
    i->cluster = sim_strdup(cluster_tag);
    i->launched_ms = sim_wall_ms(a);
    if (strmap_count(a->instances) >= SIM_AWS_INSTANCES_MAX || !strmap_set(a->instances, instance_id, i)) {
        sim_instance_free(i);
    }
}

void sim_aws_terminate_instance(struct sim_aws *a, const char *instance_id) {
    struct sim_instance *i = strmap_get(a->instances, instance_id);
    if (i != NULL && i->terminated_ms == 0) {
        i->terminated_ms = sim_wall_ms(a);
    }
}

const char *sim_aws_role_of_instance(const struct sim_aws *a, const char *instance_id) {
    const struct sim_instance *i = strmap_get(a->instances, instance_id);
    const struct sim_profile *p = i != NULL && i->terminated_ms == 0 ? sim_profile_find(a, i->profile) : NULL;
    const struct sim_role *r = p != NULL && p->role != NULL ? sim_role_find(a, p->role) : NULL;
    return r != NULL ? r->arn : NULL;
}

static const char *state_of(const struct sim_instance *i) {
    return i->terminated_ms != 0 ? "terminated" : "running";
}

/* --- what the caller may --- */

static void unauthorized(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    sim_fail(
        a, out, 403, "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: %s is not authorized to perform: ec2:%s because no "
        "identity-based policy allows the ec2:%s action",
        a->caller != NULL ? a->caller->arn : "root", c->action, c->action);
}

bool sim_ec2_may_go_on(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    char resource[SIM_ARN_MAX];
    const char *action = arena_printf(a->scratch, "ec2:%s", c->action);

    if (!sim_may(a, a->caller, action, sim_resource_of(a, action, resource, sizeof resource))) {
        unauthorized(a, c, out);
        return false;
    }
    if (str_eq(sim_param(c, "DryRun"), "true")) {
        sim_fail(a, out, 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.");
        return false;
    }
    return true;
}

/* --- DescribeInstances --- */

struct filter {
    const char *name;
    struct strlist values;
};
struct selection {
    struct filter filters[FILTERS_MAX];
    size_t nfilters;
    struct strlist ids;
};

static bool read_selection(struct sim_aws *a, const struct sim_aws_call *c, struct selection *s,
                           struct sim_aws_answer *out) {
    char name[64];
    if (!sim_list(a, c, "InstanceId", &s->ids, out)) {
        return false;
    }
    for (int i = 1;; i++) {
        (void)snprintf(name, sizeof name, "Filter.%d.Name", i);
        const char *filter = sim_param(c, name);
        if (filter == NULL) {
            return true;
        }
        if (s->nfilters == FILTERS_MAX) {
            sim_fail(a, out, 400, "FilterLimitExceeded", "The maximum number of filters is %d.", FILTERS_MAX);
            return false;
        }
        struct filter *f = &s->filters[s->nfilters++];
        f->name = filter;
        (void)snprintf(name, sizeof name, "Filter.%d.Value", i);
        if (!sim_list(a, c, name, &f->values, out)) {
            return false;
        }
    }
}

static bool is_known_filter(const char *name) {
    static const char *const names[] = {"instance-id", "instance-state-name", "iam-instance-profile.arn", "tag-key"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_eq(name, names[i])) {
            return true;
        }
    }
    return str_has_prefix(name, "tag:");
}

static bool check_selection(struct sim_aws *a, const struct selection *s, struct sim_aws_answer *out) {
    for (size_t i = 0; i < s->nfilters; i++) {
        if (!is_known_filter(s->filters[i].name)) {
            sim_fail(a, out, 400, "InvalidParameterValue", "The filter '%.100s' is invalid", s->filters[i].name);
            return false;
        }
    }
    for (size_t i = 0; i < s->ids.n; i++) {
        if (!str_has_prefix(s->ids.v[i], "i-")) {
            sim_fail(a, out, 400, "InvalidInstanceID.Malformed", "Invalid id: \"%.100s\"", s->ids.v[i]);
            return false;
        }
        if (strmap_get(a->instances, s->ids.v[i]) == NULL) {
            sim_fail(a, out, 400, "InvalidInstanceID.NotFound", "The instance ID '%.100s' does not exist", s->ids.v[i]);
            return false;
        }
    }
    return true;
}

static bool any_value(const struct filter *f, const char *text) {
    for (size_t i = 0; text != NULL && i < f->values.n; i++) {
        if (policy_wildcard(f->values.v[i], text, false)) {
            return true;
        }
    }
    return false;
}

static const char *profile_arn(const struct sim_aws *a, const struct sim_instance *i, const char **id) {
    const struct sim_profile *p = sim_profile_find(a, i->profile);
    *id = p != NULL ? p->id : NULL;
    return p != NULL ? p->arn : NULL;
}

static bool matches_filter(const struct sim_aws *a, const struct sim_instance *i, const struct filter *f) {
    char tag[256];
    const char *unused;

    if (str_eq(f->name, "instance-id")) {
        return any_value(f, i->id);
    }
    if (str_eq(f->name, "instance-state-name")) {
        return any_value(f, state_of(i));
    }
    if (str_eq(f->name, "iam-instance-profile.arn")) {
        return any_value(f, profile_arn(a, i, &unused));
    }
    if (i->cluster == NULL) {
        return false;
    }
    (void)snprintf(tag, sizeof tag, CLUSTER_TAG "%s", i->cluster);
    if (str_eq(f->name, "tag-key")) {
        return any_value(f, tag);
    }
    if (str_eq(f->name + strlen("tag:"), "eks:cluster-name")) {
        return any_value(f, i->cluster);
    }
    return str_eq(f->name + strlen("tag:"), tag) && any_value(f, "owned");
}

static bool is_selected(const struct sim_aws *a, const struct sim_instance *i, const struct selection *s) {
    for (size_t n = 0; n < s->nfilters; n++) {
        if (!matches_filter(a, i, &s->filters[n])) {
            return false;
        }
    }
    return s->ids.n == 0 || strlist_has(&s->ids, i->id);
}

/* The filter that names instances one by one, without wildcards; NULL: there is none. */
static const struct filter *naming_filter(const struct selection *s) {
    for (size_t i = 0; i < s->nfilters; i++) {
        const struct filter *f = &s->filters[i];
        bool exact = str_eq(f->name, "instance-id");
        for (size_t v = 0; exact && v < f->values.n; v++) {
            exact = strpbrk(f->values.v[v], "*?") == NULL;
        }
        if (exact) {
            return f;
        }
    }
    return NULL;
}

static bool was_named(const struct filter *f, size_t before, const char *id) {
    const struct strlist earlier = {f->values.v, before};
    return strlist_has(&earlier, id);
}

/* Over all instances, or, with thousands of them, only over those that are named. */
static const struct sim_instance *next_candidate(const struct sim_aws *a, const struct filter *named, size_t *it) {
    const char *id;
    void *instance;

    if (named == NULL) {
        return strmap_next(a->instances, it, &id, &instance) ? instance : NULL;
    }
    while (*it < named->values.n) {
        size_t at = (*it)++;
        instance = strmap_get(a->instances, named->values.v[at]);
        if (instance != NULL && !was_named(named, at, named->values.v[at])) {
            return instance;
        }
    }
    return NULL;
}

static const struct sim_instance *next_selected(const struct sim_aws *a, const struct selection *s,
                                                const struct filter *named, size_t *it) {
    const struct sim_instance *i;
    do {
        i = next_candidate(a, named, it);
    } while (i != NULL && !is_selected(a, i, s));
    return i;
}

static void push_tag(json *set, const char *key, const char *value) {
    json *tag = json_object();
    json_add_str(tag, "key", key);
    json_add_str(tag, "value", value);
    json_push(set, tag);
}

static json *instance_json(struct sim_aws *a, const struct sim_instance *i) {
    json *o = json_object();
    const char *profile_id, *arn = profile_arn(a, i, &profile_id);

    json_add_str(o, "instanceId", i->id);
    json *state = json_add_object(o, "instanceState");
    json_add_str(state, "code", i->terminated_ms != 0 ? "48" : "16");
    json_add_str(state, "name", state_of(i));
    json_add_str(o, "instanceType", "m6i.large");
    sim_add_time(o, "launchTime", i->launched_ms);
    if (i->terminated_ms == 0) {
        json_add_str(o, "subnetId", "subnet-0a0a0a0a0a0a0a0a0");
        json_add_str(o, "vpcId", "vpc-0123456789abcdef0");
    }
    if (arn != NULL) {
        json *profile = json_add_object(o, "iamInstanceProfile");
        json_add_str(profile, "arn", arn);
        json_add_str(profile, "id", profile_id);
    }
    json *tags = json_add_array(o, "tagSet");
    if (i->cluster != NULL) {
        push_tag(tags, arena_printf(a->scratch, CLUSTER_TAG "%s", i->cluster), "owned");
        push_tag(tags, "eks:cluster-name", i->cluster);
    }
    return o;
}

static bool read_page(struct sim_aws *a, const struct sim_aws_call *c, int64_t *from, int64_t *most,
                      struct sim_aws_answer *out) {
    const char *max = sim_param(c, "MaxResults"), *token = sim_param(c, "NextToken");
    *from = 0;
    *most = PAGE_MAX;
    if (max != NULL && (!str_to_int64(max, most) || *most < PAGE_MIN || *most > PAGE_MAX)) {
        sim_fail(a, out, 400, "InvalidParameterValue", "Value ( %.40s ) for parameter maxResults is invalid.", max);
        return false;
    }
    if (!str_empty(token) &&
        (!str_has_prefix(token, "page-") || !str_to_int64(token + 5, from) || *from > 2 * SIM_AWS_INSTANCES_MAX)) {
        sim_fail(a, out, 400, "InvalidParameterValue", "Invalid NextToken.");
        return false;
    }
    return true;
}

json *sim_reservation_json(struct sim_aws *a, const struct sim_instance *i) {
    const char *id = str_has_prefix(i->id, "i-") ? i->id + 2 : i->id;
    json *reservation = json_object();
    json_add_str(reservation, "reservationId", arena_printf(a->scratch, "r-%s", id));
    json_add_str(reservation, "ownerId", a->account);
    json_push(json_add_array(reservation, "instancesSet"), instance_json(a, i));
    return reservation;
}

static void describe_instances(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct selection s = {0};
    const struct sim_instance *i;
    int64_t from, most, n = 0;
    size_t it = 0;

    if (!sim_ec2_may_go_on(a, c, out) || !read_selection(a, c, &s, out)) {
        return;
    }
    forget_terminated(a, sim_wall_ms(a) - TERMINATED_SEEN_MS);
    if (!check_selection(a, &s, out) || !read_page(a, c, &from, &most, out)) {
        return;
    }
    const struct filter *named = naming_filter(&s);
    json *value = json_object(), *reservations = json_add_array(value, "reservationSet");
    while ((i = next_selected(a, &s, named, &it)) != NULL) {
        if (n >= from && n < from + most) {
            json_push(reservations, sim_reservation_json(a, i));
        }
        n++;
    }
    if (n > from + most) {
        json_add_str(value, "nextToken", arena_printf(a->scratch, "page-%" PRId64, from + most));
    }
    out->value = value;
}

/* --- the CNI's other actions: there are no interfaces, subnets and groups to be seen --- */

static void describe_nothing(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    static const struct {
        const char *action, *set;
    } sets[] = {
        {"DescribeNetworkInterfaces", "networkInterfaceSet"}, {"DescribeTags", "tagSet"},
        {"DescribeInstanceTypes", "instanceTypeSet"},         {"DescribeSubnets", "subnetSet"},
        {"DescribeSecurityGroups", "securityGroupInfo"},      {"DescribeVpcs", "vpcSet"},
    };
    if (!sim_ec2_may_go_on(a, c, out)) {
        return;
    }
    out->value = json_object();
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (str_eq(sets[i].action, c->action)) {
            (void)json_add_array(out->value, sets[i].set);
        }
    }
}

/* Allowed, and then about an interface that does not exist. */
static void change_nothing(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (sim_ec2_may_go_on(a, c, out)) {
        sim_fail(a, out, 400, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%.64s' does not exist",
                 str_or(sim_param(c, "NetworkInterfaceId"), ""));
    }
}

const struct sim_operation sim_ec2_operations[] = {
    {"ec2:DescribeInstances", describe_instances},
    {"ec2:DescribeNetworkInterfaces", describe_nothing},
    {"ec2:DescribeTags", describe_nothing},
    {"ec2:DescribeInstanceTypes", describe_nothing},
    {"ec2:DescribeSubnets", describe_nothing},
    {"ec2:DescribeSecurityGroups", describe_nothing},
    {"ec2:DescribeVpcs", describe_nothing},
    {"ec2:AssignPrivateIpAddresses", change_nothing},
    {"ec2:UnassignPrivateIpAddresses", change_nothing},
    {"ec2:AssignIpv6Addresses", change_nothing},
    {"ec2:UnassignIpv6Addresses", change_nothing},
    {"ec2:AttachNetworkInterface", change_nothing},
    {"ec2:DetachNetworkInterface", change_nothing},
    {"ec2:CreateNetworkInterface", change_nothing},
    {"ec2:DeleteNetworkInterface", change_nothing},
    {"ec2:ModifyNetworkInterfaceAttribute", change_nothing},
    {"ec2:CreateTags", change_nothing},
    {NULL, NULL},
};
