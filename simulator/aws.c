/* aws.c - the account: its state, who calls, and which function answers. */
#include "simulator/aws.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/eks_internal.h"

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define SCRATCH_BYTES ((size_t)16 * 1024)

/* --- memory, ids, clocks --- */

void *sim_new(size_t bytes) {
    void *p = calloc(1, bytes);
    if (p == NULL) {
        die("out of memory: simulated account");
    }
    return p;
}

char *sim_strdup(const char *s) {
    char *copy = s != NULL ? strdup(s) : NULL;
    if (s != NULL && copy == NULL) {
        die("out of memory: simulated account");
    }
    return copy;
}

char *sim_printf(const char *fmt, ...) {
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0) {
        die("out of memory: simulated account");
    }
    va_end(ap);
    return s;
}

void sim_random_text(struct sim_aws *a, char *out, size_t n) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    for (size_t i = 0; i < n; i++) {
        out[i] = letters[prng_below(&a->ids, sizeof letters - 1)];
    }
    out[n] = '\0';
}

void sim_id(struct sim_aws *a, const char *prefix, char out[24]) {
    char rest[18];
    sim_random_text(a, rest, 17);
    (void)snprintf(out, 24, "%s%s", prefix, rest);
}

int64_t sim_wall_ms(const struct sim_aws *a) {
    return a->o.clock.wall_ms(a->o.clock.ctx);
}

int64_t sim_boot_ms(const struct sim_aws *a) {
    return a->o.clock.boot_ms(a->o.clock.ctx);
}

void sim_wrote(struct sim_aws *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    a->written = arena_vprintf(a->scratch, fmt, ap);
    va_end(ap);
}

/* --- life --- */

static const char *partition_of(const char *region) {
    if (str_has_prefix(region, "cn-")) {
        return "aws-cn";
    }
    return str_has_prefix(region, "us-gov-") ? "aws-us-gov" : "aws";
}

static void register_operations(struct sim_aws *a) {
    const struct sim_operation *const tables[] = {
        sim_role_operations,      sim_attachment_operations,      sim_policy_operations,     sim_provider_operations,
        sim_profile_operations,   sim_simulate_operations,        sim_sts_operations,        sim_eks_operations,
        sim_eks_addon_operations, sim_eks_association_operations, sim_eks_access_operations, sim_ec2_operations,
        sim_ec2_run_operations,
    };
    a->operations = strmap_new(SIM_OPERATIONS_MAX, free);
    a->counts = strmap_new(SIM_OPERATIONS_MAX, free);
    for (size_t t = 0; t < LENGTH(tables); t++) {
        for (const struct sim_operation *op = tables[t]; op->name != NULL; op++) {
            struct sim_operation *copy = sim_new(sizeof *copy);
            *copy = *op;
            if (!strmap_set(a->operations, op->name, copy) ||
                !strmap_set(a->counts, op->name, sim_new(sizeof(int64_t)))) {
                die("simulated account: more than %d operations", SIM_OPERATIONS_MAX);
            }
        }
    }
}

struct sim_aws *sim_aws_new(const struct sim_aws_options *o) {
    struct sim_aws *a = sim_new(sizeof *a);
    const char *issuer = str_or(o->issuer, "");

    a->o = *o;
    a->account = sim_strdup(str_or(o->account, "111122223333"));
    a->region = sim_strdup(str_or(o->region, "us-west-2"));
    a->partition = sim_strdup(partition_of(a->region));
    a->cluster = sim_strdup(str_or(o->cluster, "cluster"));
    a->version = sim_strdup(str_or(o->cluster_version, "1.36"));
    a->issuer = sim_strdup(str_has_prefix(issuer, "https://") ? issuer + strlen("https://") : issuer);
    prng_seed(&a->lags, o->seed);
    prng_seed(&a->ids, o->seed ^ UINT64_C(0x9e3779b97f4a7c15)); /* names shall not move the lags */
    a->scratch = arena_new(SCRATCH_BYTES);
    a->started_ms = sim_wall_ms(a);
    /* Twice: what is deleted stays until that is enforced. */
    a->roles = strmap_new((size_t)2 * SIM_AWS_ROLES_MAX, sim_role_free);
    a->policies = strmap_new((size_t)2 * SIM_AWS_POLICIES_MAX, sim_policy_free);
    a->providers = strmap_new((size_t)2 * SIM_PROVIDERS_MAX, sim_provider_free);
    a->profiles = strmap_new(SIM_PROFILES_MAX, sim_profile_free);
    a->instances = strmap_new((size_t)2 * SIM_AWS_INSTANCES_MAX, sim_instance_free);
    a->keys = strmap_new(SIM_KEYS_MAX, sim_principal_free);
    a->addons = json_new_array();
    a->associations = json_new_array();
    a->updates = json_new_array();
    a->entries = json_new_array();
    register_operations(a);
    sim_policies_of_aws(a);
    return a;
}

void sim_aws_free(struct sim_aws *a) {
    if (a == NULL) {
        return;
    }
    struct strmap *const maps[] = {a->roles,     a->policies, a->providers,  a->profiles,
                                   a->instances, a->keys,     a->operations, a->counts};
    for (size_t i = 0; i < LENGTH(maps); i++) {
        strmap_free(maps[i]);
    }
    char *const texts[] = {a->account, a->region, a->partition, a->cluster, a->version, a->issuer};
    for (size_t i = 0; i < LENGTH(texts); i++) {
        free(texts[i]);
    }
    json_free(a->addons);
    json_free(a->associations);
    json_free(a->updates);
    json_free(a->entries);
    arena_free(a->scratch);
    free(a);
}

/* --- who calls --- */

struct refusal {
    const char *service;
    int status;
    const char *code, *message;
};

static void refuse(struct sim_aws *a, const struct refusal *table, size_t n, const char *service,
                   struct sim_aws_answer *out) {
    size_t i = 0;
    while (i + 1 < n && !str_eq(table[i].service, service)) {
        i++;
    }
    sim_fail(a, out, table[i].status, table[i].code, "%s", table[i].message);
}

static const struct refusal unknown_key[] = {
    {"ec2", 401, "AuthFailure", "AWS was not able to validate the provided access credentials"},
    {"eks", 403, "UnrecognizedClientException", "The security token included in the request is invalid."},
    {"iam", 403, "InvalidClientTokenId", "The security token included in the request is invalid."},
};
static const struct refusal expired_key[] = {
    {"ec2", 400, "RequestExpired", "Request has expired."},
    {"eks", 403, "ExpiredTokenException", "The security token included in the request is expired"},
    {"iam", 403, "ExpiredToken", "The security token included in the request is expired"},
};

static const struct refusal throttled[] = {
    {"ec2", 503, "RequestLimitExceeded", "Request limit exceeded."},
    {"eks", 429, "TooManyRequestsException", "Too Many Requests"},
    {"iam", 400, "Throttling", "Rate exceeded"},
};

void sim_aws_throttle(struct sim_aws *a, int64_t ms) {
    a->throttled_until_ms = sim_boot_ms(a) + ms;
}

static bool find_caller(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    a->caller = NULL;
    if (c->access_key == NULL) {
        return true;
    }
    const struct sim_principal *p = strmap_get(a->keys, c->access_key);
    if (p == NULL) {
        refuse(a, unknown_key, LENGTH(unknown_key), c->service, out);
        return false;
    }
    if (p->expires_ms != 0 && p->expires_ms <= sim_wall_ms(a)) {
        refuse(a, expired_key, LENGTH(expired_key), c->service, out);
        return false;
    }
    if (sim_boot_ms(a) < a->throttled_until_ms) {
        refuse(a, throttled, LENGTH(throttled), c->service, out);
        return false;
    }
    a->caller = p;
    return true;
}

/* The ARN that a permission on this call is about. */
static const char *resource_of_call(struct sim_aws *a, const struct sim_aws_call *c) {
    static const char *const params[] = {"PolicyArn", "OpenIDConnectProviderArn", "PolicySourceArn"};
    const char *role = sim_param(c, "RoleName"), *v;
    const struct sim_role *r = role != NULL ? sim_role_find(a, role) : NULL;

    if (role != NULL) {
        return r != NULL ? r->arn : arena_printf(a->scratch, "arn:%s:iam::%s:role/%s", a->partition, a->account, role);
    }
    for (size_t i = 0; i < LENGTH(params); i++) {
        if ((v = sim_param(c, params[i])) != NULL) {
            return v;
        }
    }
    if (str_eq(c->service, "eks")) {
        return arena_printf(a->scratch, "arn:%s:eks:%s:%s:cluster/%s", a->partition, a->region, a->account, a->cluster);
    }
    return "*";
}

/* IAM and EKS; STS and EC2 look for themselves. */
static bool authorize(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    if (a->caller == NULL || str_eq(c->service, "ec2") || str_eq(c->service, "sts")) {
        return true;
    }
    const char *action = arena_printf(a->scratch, "%s:%s", c->service, c->action), *resource = resource_of_call(a, c);
    if (sim_may(a, a->caller, action, resource)) {
        return true;
    }
    sim_fail(a, out, 403, str_eq(c->service, "eks") ? "AccessDeniedException" : "AccessDenied",
             "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s "
             "action",
             a->caller->arn, action, resource, action);
    return false;
}

/* --- calls --- */

static const char *api_version(const char *service) {
    if (str_eq(service, "ec2")) {
        return "2016-11-15";
    }
    return str_eq(service, "sts") ? "2011-06-15" : "2010-05-08";
}

static void tell(struct sim_aws *a, const char *action) {
    if (a->written != NULL && a->nlisteners > 0) {
        char *line = sim_strdup(a->written); /* the listener may make calls */
        char *name = sim_strdup(action);
        a->written = NULL;
        for (int i = 0; i < a->nlisteners; i++) {
            a->listeners[i].fn(a->listeners[i].arg, name, line);
        }
        free(name);
        free(line);
    }
}

void sim_aws_do(struct sim_aws *a, const struct sim_aws_call *call, struct sim_aws_answer *out) {
    const char *action = str_or(call->action, ""), *service = str_or(call->service, "");

    arena_reset(a->scratch);
    a->written = NULL;
    *out = (struct sim_aws_answer){.status = 200};
    a->total++;
    const char *name = arena_printf(a->scratch, "%s:%s", service, action);
    const struct sim_operation *op = strmap_get(a->operations, name);
    if (op == NULL) {
        sim_fail(a, out, 400, "InvalidAction", "Could not find operation %.128s for version %s", action,
                 api_version(service));
        return;
    }
    ++*(int64_t *)strmap_get(a->counts, name);
    if (!find_caller(a, call, out) || !authorize(a, call, out)) {
        return;
    }
    op->run(a, call, out);
    if (out->code == NULL) {
        tell(a, op->name + strlen(service) + 1);
    }
}

int64_t sim_aws_count(const struct sim_aws *a, const char *service_action) {
    const int64_t *n = service_action != NULL ? strmap_get(a->counts, service_action) : &a->total;
    return n != NULL ? *n : 0;
}

void sim_aws_on_write(struct sim_aws *a, void (*fn)(void *arg, const char *action, const char *line), void *arg) {
    if (a->nlisteners == SIM_LISTENERS_MAX) {
        die("more than %d listeners", SIM_LISTENERS_MAX);
    }
    a->listeners[a->nlisteners++] = (struct sim_listener){fn, arg};
}

/* --- what the world asks and does --- */

bool sim_aws_allows(struct sim_aws *a, const char *role_arn, const char *action) {
    char resource[SIM_ARN_MAX];
    const struct sim_role *r = sim_role_by_arn(a, role_arn);
    struct sim_question q = {
        .action = action, .resource = sim_resource_of(a, action, resource, sizeof resource), .enforced = true};
    return r != NULL && sim_decide(a, r, &q).verdict == POLICY_ALLOWED;
}

bool sim_aws_trusts(struct sim_aws *a, const char *role_arn, const char *subject, const char *audience) {
    const struct sim_role *r = sim_role_by_arn(a, role_arn);
    return r != NULL && sim_provider_fault(a, a->issuer, audience) == NULL &&
           sim_role_trusts(a, r, a->issuer, subject, audience);
}

static void mend_node_role(struct sim_aws *a, struct sim_role *r) {
    char *trust =
        sim_printf("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":"
                   "\"ec2.amazonaws.com%s\"},\"Action\":\"sts:AssumeRole\"}]}",
                   str_eq(a->partition, "aws-cn") ? ".cn" : "");
    struct error err;
    free(r->trust_text);
    r->trust_text = trust;
    sim_set_now(&r->exists, sim_true());
    sim_set_now(&r->trust, json_parse(trust, strlen(trust), &err));
}

void sim_aws_add_node_role(struct sim_aws *a, const char *name, const char *const *policy_arns, size_t n) {
    arena_reset(a->scratch);
    struct sim_role *r = sim_role_find(a, name);
    struct sim_profile *p = sim_profile_find(a, name);

    r = r != NULL ? r : sim_role_make(a, name, "/");
    p = p != NULL ? p : sim_profile_make(a, name, "/");
    if (r == NULL || p == NULL) {
        return;
    }
    mend_node_role(a, r);
    for (size_t i = 0; i < n; i++) {
        (void)sim_role_attach_now(a, r, policy_arns[i]);
    }
    free(p->role);
    p->role = sim_strdup(r->name);
    eks_enter_node_role(a, r->arn);
}

void sim_aws_set_lag(struct sim_aws *a, int64_t enforcement_lag_ms) {
    a->o.enforcement_lag_ms = enforcement_lag_ms;
}
