/*
 * webhook.c - the pod identity webhook of EKS: injects the role that the ServiceAccount's annotation names, as its own
 * cache knows it. The cache learns of a write webhook_lag_ms later; while the webhook is down, pods go uninjected
 * (failurePolicy: Ignore).
 */
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/world_internal.h"

#define ANNOTATION "eks.amazonaws.com/role-arn"
#define TOKEN_DIR "/var/run/secrets/eks.amazonaws.com/serviceaccount"

static void learn(void *arg) {
    struct sim_world *w = arg;
    w->webhook_timer = 0;
    snprintf(w->injected_role, sizeof w->injected_role, "%s", w->coming_role);
}

void webhook_on_write(struct sim_world *w, const char *resource, const json *object) {
    if (!str_eq(resource, "serviceaccounts") || !str_eq(json_str(object, "metadata.name"), "aws-node"))
        return;
    const char *role = json_key_str(json_path(object, "metadata.annotations"), ANNOTATION);
    if (str_eq(role ? role : "", w->coming_role))
        return;
    snprintf(w->coming_role, sizeof w->coming_role, "%s", str_or(role, ""));
    world_stop_timer(w, &w->webhook_timer);
    w->webhook_timer = world_after(w, w->o.webhook_lag_ms, learn, w);
}

static json *member(json *object, const char *key, json *(*make)(void)) {
    json *there = cJSON_GetObjectItemCaseSensitive(object, key);
    if (there)
        return there;
    json_add_item(object, key, make());
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static void add_env(json *env, const char *name, const char *value) {
    json *item = json_object();
    json_add_str(item, "name", name);
    json_add_str(item, "value", value);
    json_push(env, item);
}

static void inject_container(json *container, const char *role, const char *region) {
    json *env = member(container, "env", json_new_array);
    add_env(env, "AWS_STS_REGIONAL_ENDPOINTS", "regional");
    add_env(env, "AWS_DEFAULT_REGION", region);
    add_env(env, "AWS_REGION", region);
    add_env(env, "AWS_ROLE_ARN", role);
    add_env(env, "AWS_WEB_IDENTITY_TOKEN_FILE", TOKEN_DIR "/token");
    json *mount = json_object();
    json_add_str(mount, "name", "aws-iam-token");
    json_add_bool(mount, "readOnly", true);
    json_add_str(mount, "mountPath", TOKEN_DIR);
    json_push(member(container, "volumeMounts", json_new_array), mount);
}

static void inject_all(const struct sim_world *w, json *spec, const char *key) {
    json *list = cJSON_GetObjectItemCaseSensitive(spec, key);
    for (json *c = list ? list->child : NULL; c; c = c->next)
        inject_container(c, w->injected_role, w->region);
}

/* The pods of the rollout that follows the canary are the ones that it misses. */
static bool misses(struct sim_world *w, const json *pod, bool dry_run) {
    bool of_rollout = json_key_str(json_path(pod, "metadata.annotations"), "cniiam.dev/restarted-for") != NULL;
    if (dry_run || !of_rollout || w->misses_left == 0)
        return false;
    w->misses_left--;
    return true;
}

void webhook_admit(struct sim_world *w, json *pod, bool dry_run) {
    json *spec = cJSON_GetObjectItemCaseSensitive(pod, "spec");
    if (!w->webhook_up || !w->injected_role[0] || !spec || !str_eq(json_str(spec, "serviceAccountName"), "aws-node") ||
        misses(w, pod, dry_run))
        return;
    inject_all(w, spec, "initContainers");
    inject_all(w, spec, "containers");
    json_push(member(spec, "volumes", json_new_array),
              world_parse("{\"name\":\"aws-iam-token\",\"projected\":{\"defaultMode\":420,\"sources\":[{"
                          "\"serviceAccountToken\":{\"audience\":\"sts.amazonaws.com\",\"expirationSeconds\":86400,"
                          "\"path\":\"token\"}}]}}"));
}

void sim_world_webhook(struct sim_world *w, bool up) {
    w->webhook_up = up;
}
