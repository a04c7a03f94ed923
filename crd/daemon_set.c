/* daemon_set.c - the DaemonSet aws-node: its template as new pods will get it, and how far its rollout is. */
#include "crd/container_env.h"
#include "crd/object_meta.h"

#define RESTARTED_FOR "cniiam.dev/restarted-for"

static const json *container_named(const json *containers, const char *name) {
    for (const json *it = json_first(containers); it != NULL; it = it->next) {
        if (str_eq(json_key_str(it, "name"), name)) {
            return it;
        }
    }
    return NULL;
}

static bool env_is_true(const json *container, const char *name) {
    const char *value;
    return env_read(container, name, &value) == ENV_LITERAL && str_eq_nocase(value, "true");
}

static const char *first_outranking(const json *containers) {
    const char *name = NULL;
    for (const json *it = json_first(containers); it != NULL && name == NULL; it = it->next) {
        name = template_outranked_by(it);
    }
    return name;
}

static void read_template(const json *o, struct daemon_set_view *v) {
    const json *containers = json_array(o, "spec.template.spec.containers");
    const json *cni = container_named(containers, "aws-node");

    v->restarted_for =
        arena_strdup(v->arena, json_key_str(json_path(o, "spec.template.metadata.annotations"), RESTARTED_FOR));
    v->service_account = arena_strdup(v->arena, str_or(json_str(o, "spec.template.spec.serviceAccountName"), ""));
    v->cni_image = arena_strdup(v->arena, json_key_str(cni, "image"));
    v->template_ipv6 = env_is_true(cni, "ENABLE_IPv6");
    v->template_prefix_delegation = env_is_true(cni, "ENABLE_PREFIX_DELEGATION");
    v->template_outranked_by = first_outranking(json_array(o, "spec.template.spec.initContainers"));
    if (v->template_outranked_by == NULL) {
        v->template_outranked_by = first_outranking(containers);
    }
}

/* Only what a pod is made of: other members of the template's metadata (creationTimestamp) are no part of a create
 * request. */
static json *template_pod(const json *o) {
    json *pod = json_object();
    json *meta = json_add_object(pod, "metadata");
    const json *labels = json_path(o, "spec.template.metadata.labels");
    const json *annotations = json_path(o, "spec.template.metadata.annotations");
    const json *spec = json_path(o, "spec.template.spec");

    if (json_is_object(labels)) {
        json_add_item(meta, "labels", json_dup(labels));
    }
    if (json_is_object(annotations)) {
        json_add_item(meta, "annotations", json_dup(annotations));
    }
    json_add_item(pod, "spec", json_is_object(spec) ? json_dup(spec) : json_object());
    return pod;
}

static void read_rollout(const json *o, struct daemon_set_view *v) {
    v->on_delete = str_eq(json_str(o, "spec.updateStrategy.type"), "OnDelete");
    v->observed_generation = json_int64_or(o, "status.observedGeneration", 0);
    v->desired = json_count(o, "status.desiredNumberScheduled");
    v->current = json_count(o, "status.currentNumberScheduled");
    v->updated = json_count(o, "status.updatedNumberScheduled");
    v->available = json_count(o, "status.numberAvailable");
    v->ready_count = json_count(o, "status.numberReady");
    v->unavailable = json_count(o, "status.numberUnavailable");
    v->misscheduled = json_count(o, "status.numberMisscheduled");
}

struct daemon_set_view *daemon_set_decode(const json *o, struct error *err) {
    static const char *const restart_key[] = {"f:spec", "f:template", "f:metadata", "f:annotations",
                                              "f:cniiam.dev/restarted-for"};
    struct arena *a = arena_new(0);
    struct daemon_set_view *v = ARENA_NEW(a, struct daemon_set_view);

    v->arena = a;
    if (!object_meta_decode(o, &v->meta, a, err)) {
        daemon_set_free(v);
        return NULL;
    }
    read_template(o, v);
    read_rollout(o, v);
    v->restart_key_managers = field_managers(o, restart_key, sizeof restart_key / sizeof restart_key[0], a);
    v->template_pod = template_pod(o);
    return v;
}

void daemon_set_free(struct daemon_set_view *v) {
    if (v != NULL) {
        json_free(v->template_pod);
        arena_free(v->arena);
    }
}
