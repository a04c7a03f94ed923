/* support_world.c - the cluster and the account themselves: roles and what they grant, pods, the DaemonSet, time, and what tests change. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/timefmt.h"
#include "support_world_internal.h"

#define WALL_OFFSET 1790000000000

void world_log(struct sim *s, const char *fmt, ...) {
    if (s->nlog >= SIM_LOG_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->log[s->nlog++], sizeof s->log[0], fmt, ap);
    va_end(ap);
}

int64_t world_wall_ms(const struct sim *s) {
    return WALL_OFFSET + s->now_ms;
}

/* --- roles --- */

struct sim_role *sim_role(struct sim *s, const char *name) {
    for (int i = 0; i < SIM_ROLES_MAX; i++)
        if (s->roles[i].exists && str_eq_nocase(s->roles[i].name, name))
            return &s->roles[i];
    return NULL;
}

struct sim_role *world_role_by_arn(struct sim *s, const char *arn) {
    for (int i = 0; i < SIM_ROLES_MAX; i++)
        if (s->roles[i].exists && strcmp(s->roles[i].arn, arn) == 0)
            return &s->roles[i];
    return NULL;
}

bool sim_role_has(const struct sim_role *r, const char *policy) {
    for (int i = 0; r && i < r->npolicies; i++)
        if (strcmp(r->policies[i], policy) == 0)
            return true;
    return false;
}

void sim_role_attach(struct sim_role *r, const char *policy) {
    if (sim_role_has(r, policy))
        return;
    r->attached_ms[r->npolicies] = INT64_MIN / 2; /* long ago, unless the operator does it */
    snprintf(r->policies[r->npolicies++], sizeof r->policies[0], "%s", policy);
}

void sim_role_detach(struct sim_role *r, const char *policy) {
    for (int i = 0; i < r->npolicies; i++)
        if (strcmp(r->policies[i], policy) == 0) {
            r->npolicies--;
            memmove(r->policies[i], r->policies[r->npolicies], sizeof r->policies[0]);
            r->attached_ms[i] = r->attached_ms[r->npolicies];
        }
}

static bool enforced(const struct sim *s, const struct sim_role *r, const char *policy) {
    for (int i = 0; r && i < r->npolicies; i++)
        if (strcmp(r->policies[i], policy) == 0)
            return s->now_ms >= r->attached_ms[i] + s->iam_lag_ms;
    return false;
}

static void set_tag(char tags[][2][256], int *n, const char *key, const char *value) {
    for (int i = 0; i < *n; i++)
        if (strcmp(tags[i][0], key) == 0) {
            snprintf(tags[i][1], 256, "%s", value);
            return;
        }
    snprintf(tags[*n][0], 256, "%s", key);
    snprintf(tags[*n][1], 256, "%s", value);
    ++*n;
}

void world_tags_from(const struct effect *e, char tags[][2][256], int *n) {
    const char *key = NULL;
    for (size_t i = 0; i < e->nargs; i++) {
        if (!str_has_prefix(e->args[i].name, "Tags.member."))
            continue;
        if (str_has_suffix(e->args[i].name, ".Key"))
            key = e->args[i].value;
        else if (key)
            set_tag(tags, n, key, e->args[i].value);
    }
}

/* --- permissions: the world's own verdict --- */

bool world_grants(const struct sim *s, const struct sim_role *r) {
    if (!r || r->denied)
        return false;
    return enforced(s, r, SIM_CNI_POLICY) || (s->policy.exists && enforced(s, r, s->policy.arn)) ||
           (s->other_policy && enforced(s, r, SIM_OTHER_POLICY) &&
            strstr(s->other_policy, "AssignPrivateIpAddresses")) ||
           strstr(r->inline_policy, "AssignPrivateIpAddresses");
}

bool world_trusts(const struct sim *s, const struct sim_role *r) {
    return s->provider && s->provider_audience && strstr(r->trust, SIM_PROVIDER) &&
           strstr(r->trust, "system:serviceaccount:kube-system:aws-node") && strstr(r->trust, "sts.amazonaws.com") &&
           !strstr(r->trust, "\"Deny\"") && s->now_ms >= r->trust_ms + s->iam_lag_ms;
}

bool sim_pod_permitted(struct sim *s, const struct sim_pod *p) {
    if (!p->role[0])
        return world_grants(s, &s->roles[s->node_role[p->node]]);
    struct sim_role *r = world_role_by_arn(s, p->role);
    return r && world_trusts(s, r) && world_grants(s, r);
}

/* After every change: `by_us` says that the operator made it. */
void world_judge(struct sim *s, bool by_us, const char *what) {
    int unready = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        struct sim_pod *p = &s->pods[i];
        if (!p->exists)
            continue;
        bool now = sim_pod_permitted(s, p);
        if (p->had_permission && !now && by_us) {
            s->lost_permission++;
            snprintf(s->violation, sizeof s->violation, "S1: %s lost permission by: %.180s", p->name, what);
        }
        p->had_permission = now;
        p->ready = now && s->now_ms >= p->ready_at_ms && !p->broken;
        unready += !p->ready;
    }
    if (unready > s->max_unready)
        s->max_unready = unready;
    s->webhook_down_ms = s->webhook_up ? 0 : (s->webhook_down_ms ? s->webhook_down_ms : s->now_ms);
    sim_judge_proofs(s);
}

/* --- the cluster --- */

static bool webhook_injects(struct sim *s) {
    if (!s->webhook_up || !s->sa_role[0])
        return false;
    if (s->webhook_misses > 0) {
        s->webhook_misses--;
        return false;
    }
    return true;
}

void sim_new_pod(struct sim *s, int node) {
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        struct sim_pod *p = &s->pods[i];
        if (p->exists)
            continue;
        memset(p, 0, sizeof *p);
        p->exists = true;
        p->node = node;
        p->rv = 1;
        snprintf(p->name, sizeof p->name, "aws-node-%d", ++s->uid_counter);
        snprintf(p->uid, sizeof p->uid, "uid-%d", s->uid_counter);
        snprintf(p->key, sizeof p->key, "%s", s->ds_key);
        if (webhook_injects(s)) {
            snprintf(p->role, sizeof p->role, "%s", s->sa_role);
            snprintf(p->audience, sizeof p->audience, "sts.amazonaws.com");
        }
        p->created_ms = world_wall_ms(s);
        p->ready_at_ms = s->now_ms + 1000;
        p->had_permission = sim_pod_permitted(s, p);
        return;
    }
    abort(); /* too many pods for SIM_PODS_MAX */
}

void sim_informers_sleep(struct sim *s) {
    memcpy(s->seen, s->pods, sizeof s->seen);
    s->informers_sleep = true;
}

void world_delete_pod(struct sim *s, struct sim_pod *p) {
    int node = p->node;
    bool permitted = p->had_permission;
    p->exists = false;
    sim_new_pod(s, node);
    p->had_permission = permitted; /* the slot is taken again: its successor is judged by what it had */
}

/* The DaemonSet controller: one pod at a time, the next when all are Ready or the present one never will be. */
static void daemon_set_tick(struct sim *s) {
    if (s->on_delete)
        return;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && strcmp(s->pods[i].key, s->ds_key) == 0 && !s->pods[i].ready)
            return; /* maxUnavailable 1 */
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && strcmp(s->pods[i].key, s->ds_key) != 0) {
            world_delete_pod(s, &s->pods[i]);
            return;
        }
}

/* What informers would tell: pods that came, went or changed their readiness. */
static int64_t fingerprint(const struct sim *s) {
    int64_t f = s->uid_counter;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        f = f * 3 + (s->pods[i].exists ? 1 + s->pods[i].ready : 0);
    return f;
}

/* Ends early when something changed that the operator would be told. */
void world_advance(struct sim *s, int64_t ms) {
    int64_t before = fingerprint(s);
    while (ms > 0 && fingerprint(s) == before) {
        int64_t part = ms > 1000 ? 1000 : ms;
        s->now_ms += part;
        ms -= part;
        world_judge(s, false, "time");
        daemon_set_tick(s);
        world_judge(s, true, "rollout"); /* only we start one */
    }
}

/* --- what tests ask and change --- */

struct cib_binding *sim_binding(struct sim *s) {
    struct error err;
    return cib_decode(sim_object(s), &err);
}

static const char *condition_member(struct sim *s, const char *type, const char *member) {
    static char out[1024];
    out[0] = '\0';
    for (const json *c = json_first(json_array(sim_object(s), "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), type))
            snprintf(out, sizeof out, "%s", str_or(json_str(c, member), ""));
    return out;
}

const char *sim_condition_reason(struct sim *s, const char *type) {
    return condition_member(s, type, "reason");
}

const char *sim_condition_message(struct sim *s, const char *type) {
    return condition_member(s, type, "message");
}

bool sim_condition_is(struct sim *s, const char *type, const char *status) {
    return str_eq(condition_member(s, type, "status"), status);
}

int sim_pods_with_role(const struct sim *s, const char *role_arn) {
    int n = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        n += s->pods[i].exists && strcmp(s->pods[i].role, str_or(role_arn, "")) == 0;
    return n;
}

int sim_log_index(const struct sim *s, const char *needle) {
    for (int i = 0; i < s->nlog; i++)
        if (strstr(s->log[i], needle))
            return i;
    return -1;
}

int sim_log_count(const struct sim *s, const char *needle) {
    int n = 0;
    for (int i = 0; i < s->nlog; i++)
        n += strstr(s->log[i], needle) != NULL;
    return n;
}

const char *sim_own_role_arn(struct sim *s) {
    static char arn[128];
    struct cib_binding *b = sim_binding(s);
    snprintf(arn, sizeof arn, "%s", str_or(b->status.role.arn, ""));
    cib_free(b);
    return arn;
}

static void edit_binding(struct sim *s, const char *spec_json, const char *key, const char *value, bool delete) {
    json *o = world_parse(s->binding_json);
    json *meta = (json *)(uintptr_t)json_get(o, "metadata");
    if (spec_json) {
        json_add_item(o, "spec", world_parse(spec_json));
        json_add_int64(meta, "generation", json_int64_or(meta, "generation", 1) + 1);
    }
    if (key) {
        json *annotations = (json *)(uintptr_t)json_get(meta, "annotations");
        json_add_str(annotations ? annotations : json_add_object(meta, "annotations"), key, value);
    }
    if (delete) {
        char text[TIMEFMT_MAX];
        timefmt_rfc3339(world_wall_ms(s), text);
        json_add_str(meta, "deletionTimestamp", text);
    }
    char *text = json_print(o);
    snprintf(s->binding_json, sizeof s->binding_json, "%s", text);
    free(text);
    json_free(o);
}

void sim_set_spec(struct sim *s, const char *spec_json) {
    edit_binding(s, spec_json, NULL, NULL, false);
}

void sim_annotate_binding(struct sim *s, const char *key, const char *value) {
    edit_binding(s, NULL, key, value, false);
}

void sim_delete_binding(struct sim *s) {
    edit_binding(s, NULL, NULL, NULL, true);
}

void sim_restart_operator(struct sim *s) {
    observations_free(s->observations);
    s->observations = observations_new();
    memset(&s->progress, 0, sizeof s->progress);
    s->last_effect = NULL;
    s->started_ms = s->now_ms;
    s->epoch++;
}

void sim_init(struct sim *s, int nodes, const char *spec_json) {
    memset(s, 0, sizeof *s);
    s->nnodes = nodes;
    s->sa_exists = s->ds_exists = s->webhook_up = true;
    s->image = "602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon-k8s-cni:v1.23.1-eksbuild.1";
    s->issuer_of_api = "https://" SIM_ISSUER;
    s->account = SIM_ACCOUNT;
    s->ds_generation = 1;
    s->epoch = 1;
    s->last_arena = arena_new(0);
    s->observations = observations_new();
    s->config = (struct operator_config){.cluster_name = "prod",
                                         .region = "us-west-2",
                                         .role_path = "/",
                                         .aws_audit_interval_ms = 60000,
                                         .guard_independent = true};
    struct sim_role *node_role = &s->roles[0];
    node_role->exists = node_role->node = true;
    snprintf(node_role->name, sizeof node_role->name, "node-role");
    snprintf(node_role->arn, sizeof node_role->arn, "arn:aws:iam::" SIM_ACCOUNT ":role/node-role");
    snprintf(node_role->trust, sizeof node_role->trust,
             "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2."
             "amazonaws.com\"},\"Action\":"
             "\"sts:AssumeRole\"}]}");
    sim_role_attach(node_role, "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy");
    sim_role_attach(node_role, SIM_CNI_POLICY);
    for (int i = 0; i < nodes; i++)
        sim_new_pod(s, i);
    snprintf(s->binding_json, sizeof s->binding_json,
             "{\"apiVersion\":\"cniiam.dev/"
             "v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"aws-node\",\"uid\":\"cib-uid\","
             "\"resourceVersion\":\"10\",\"generation\":1,\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"spec\":%s}",
             spec_json);
    world_advance(s, 5000);
}

void sim_done(struct sim *s) {
    struct decoded *single[] = {&s->decoded.object, &s->decoded.binding, &s->decoded.service_account,
                                &s->decoded.daemon_set};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        decoded_drop(single[i]);
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        decoded_drop(&s->decoded.pods[i]);
        decoded_drop(&s->decoded.nodes[i]);
    }
    observations_free(s->observations);
    arena_free(s->last_arena);
}
