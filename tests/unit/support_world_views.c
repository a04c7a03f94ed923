/* support_world_views.c - its objects as the API server would show them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/timefmt.h"
#include "support_world_internal.h"

char *world_time_text(struct arena *a, int64_t ms) {
    char text[TIMEFMT_MAX];
    timefmt_rfc3339(ms, text);
    return arena_strdup(a, text);
}

static const char *injected_env(struct arena *a, const char *role, bool static_key) {
    if (!role[0])
        return static_key ? ",\"env\":[{\"name\":\"AWS_ACCESS_KEY_ID\",\"value\":\"x\"}]" : "";
    const char *key = static_key ? "{\"name\":\"AWS_ACCESS_KEY_ID\",\"value\":\"x\"}," : "";
    return arena_printf(
        a,
        ",\"env\":[%s{\"name\":\"AWS_ROLE_ARN\",\"value\":\"%s\"},{\"name\":\"AWS_WEB_IDENTITY_TOKEN_FILE\",\"value\":"
        "\"/var/run/secrets/eks.amazonaws.com/serviceaccount/token\"}],\"volumeMounts\":[{\"name\":\"aws-iam-token\","
        "\"mountPath\":\"/var/run/secrets/eks.amazonaws.com/serviceaccount\",\"readOnly\":true}]",
        key, role);
}

const char *world_pod_json(struct arena *a, const struct sim_pod *p) {
    const char *env = injected_env(a, p->role, p->static_key);
    const char *volumes = p->role[0]
                              ? arena_printf(a,
                                             ",\"volumes\":[{\"name\":\"aws-iam-token\",\"projected\":{\"sources\":[{"
                                             "\"serviceAccountToken\":{\"audience\":\"%s\",\"expirationSeconds\":86400,"
                                             "\"path\":\"token\"}}]}}]",
                                             p->audience)
                              : "";
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"kube-system\",\"uid\":\"%s\",\"resourceVersion\":\"%d\","
        "\"creationTimestamp\":"
        "\"%s\",\"labels\":{\"k8s-app\":\"aws-node\"},\"ownerReferences\":[{\"apiVersion\":\"apps/"
        "v1\",\"kind\":\"DaemonSet\",\"name\":"
        "\"aws-node\",\"uid\":\"%s\",\"controller\":true}]},\"spec\":{\"nodeName\":\"node-%d\",\"serviceAccountName\":"
        "\"aws-node\","
        "\"hostNetwork\":true,\"initContainers\":[{\"name\":\"aws-vpc-cni-init\",\"image\":\"i:v1\"%s}],\"containers\":"
        "[{\"name\":"
        "\"aws-node\",\"image\":\"x/"
        "amazon-k8s-cni:v1.23.1\"%s},{\"name\":\"aws-eks-nodeagent\",\"image\":\"y:v1\"%s}]%s},\"status\":{"
        "\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}",
        p->name, p->uid, p->rv, world_time_text(a, p->created_ms), p->foreign ? "other-uid" : "ds-uid", p->node, env,
        env, env, volumes, p->ready ? "True" : "False");
}

const char *world_node_json(const struct sim *s, struct arena *a, int i) {
    const char *fargate = s->fargate ? ",\"eks.amazonaws.com/compute-type\":\"fargate\"" : "";
    const char *provider =
        s->no_provider_id || s->unknown_node == i + 1 ? "" : arena_printf(a, "aws:///us-west-2a/i-%017d", i);
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"node-%d\",\"uid\":\"node-uid-%d\",\"resourceVersion\":\"1\",\"labels\":{"
        "\"kubernetes.io/os\":\"linux\"%s}},\"spec\":{\"providerID\":\"%s\"},\"status\":{"
        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
        i, i, fargate, provider);
}

const char *world_sa_json(struct sim *s, struct arena *a) {
    char set[TIMEFMT_MAX];
    timefmt_rfc3339(s->sa_set_ms, set);
    const char *sts = s->sa_sts ? ",\"eks.amazonaws.com/sts-regional-endpoints\":\"true\"" : "";
    const char *annotations =
        s->sa_role[0] ? arena_printf(a, ",\"annotations\":{\"eks.amazonaws.com/role-arn\":\"%s\"%s}", s->sa_role, sts)
                      : "";
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"aws-node\",\"namespace\":\"kube-system\",\"uid\":\"sa-uid\",\"resourceVersion\":"
        "\"%d\"%s,"
        "\"managedFields\":[{\"manager\":\"%s\",\"operation\":\"Apply\",\"time\":\"%s\",\"fieldsType\":\"FieldsV1\","
        "\"fieldsV1\":{"
        "\"f:metadata\":{\"f:annotations\":{\"f:eks.amazonaws.com/role-arn\":{}}}}}]}}",
        s->sa_rv, annotations, s->sa_manager, set);
}

const char *world_ds_json(struct sim *s, struct arena *a) {
    int desired = 0, updated = 0, ready = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (!p->exists)
            continue;
        desired += !p->foreign;
        updated += strcmp(p->key, s->ds_key) == 0;
        ready += p->ready;
    }
    const char *key =
        s->ds_key[0] ? arena_printf(a, ",\"annotations\":{\"cniiam.dev/restarted-for\":\"%s\"}", s->ds_key) : "";
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"aws-node\",\"namespace\":\"kube-system\",\"uid\":\"ds-uid\",\"resourceVersion\":"
        "\"7\",\"generation\":"
        "%" PRId64
        "},\"spec\":{\"updateStrategy\":{\"type\":\"%s\"},\"selector\":{\"matchLabels\":{\"k8s-app\":\"aws-node\"}},"
        "\"template\":{\"metadata\":{\"labels\":{\"k8s-app\":\"aws-node\"}%s},\"spec\":{\"serviceAccountName\":\"aws-"
        "node\",\"hostNetwork\":"
        "true,\"containers\":[{\"name\":\"aws-node\",\"image\":\"%s\"%s}]}}},\"status\":{\"observedGeneration\":"
        "%" PRId64 ",\"desiredNumberScheduled\":%d,\"currentNumberScheduled\":%d,\"updatedNumberScheduled\":%d,"
        "\"numberAvailable\":%d,\"numberReady\":%d}}",
        s->ds_generation, s->on_delete ? "OnDelete" : "RollingUpdate", key, s->image,
        injected_env(a, "", s->template_key), s->ds_generation, desired, desired, updated, ready, ready);
}

json *world_parse(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    if (!j) {
        fprintf(stderr, "support_world: %s: %s\n", err.message, text);
        abort();
    }
    return j;
}
