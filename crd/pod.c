/* pod.c - an aws-node pod: what its containers live on, and whether they are well. */
#include "crd/container_env.h"
#include "crd/object_meta.h"

static const json *status_of(const json *statuses, const char *name) {
    for (const json *it = json_first(statuses); it != NULL; it = it->next) {
        if (str_eq(json_key_str(it, "name"), name)) {
            return it;
        }
    }
    return NULL;
}

static void read_status(const json *pod, struct container_view *c) {
    const json *status =
        status_of(json_array(pod, c->init ? "status.initContainerStatuses" : "status.containerStatuses"), c->name);

    c->ready = !c->init && json_bool(status, "ready", false);
    c->restart_count = json_count(status, "restartCount");
    c->started_ms = json_instant_ms(status, "state.running.startedAt");
}

static void read_identity(const json *container, const json *volumes, struct container_view *c, struct arena *a,
                          const char **audience) {
    struct container_identity id = container_identity(container, volumes);

    c->credential = id.credential;
    c->role_arn = arena_strdup(a, id.role_arn);
    c->token_file = arena_strdup(a, id.token_file);
    c->outranked_by = id.outranked_by; /* a constant */
    c->token_mounted = id.token_mounted;
    *audience = id.token_audience;
}

/* One audience for the whole pod: two different ones prove nothing. */
struct audience_seen {
    const char *first;
    bool differs;
};

static void see_audience(struct audience_seen *seen, const char *audience) {
    if (audience == NULL) {
        return;
    }
    seen->differs |= seen->first != NULL && !str_eq(seen->first, audience);
    seen->first = audience;
}

static void read_container(const json *pod, const json *it, bool init, struct pod_view *v, struct audience_seen *seen) {
    const char *audience;

    if (v->ncontainers == VIEW_CONTAINERS_MAX || str_empty(json_key_str(it, "name"))) {
        v->unreadable = true;
        return;
    }
    struct container_view *c = &v->containers[v->ncontainers++];
    c->name = arena_strdup(v->arena, json_key_str(it, "name"));
    c->image = arena_strdup(v->arena, str_or(json_key_str(it, "image"), ""));
    c->init = init;
    struct strlist skipped = str_split(object_annotation(pod, "eks.amazonaws.com/skip-containers"), ',', v->arena);
    c->skipped = strlist_has(&skipped, c->name);
    read_identity(it, json_array(pod, "spec.volumes"), c, v->arena, &audience);
    see_audience(seen, audience);
    read_status(pod, c);
}

/* Ephemeral containers are left out: `kubectl debug` adds them, the webhook never sees them, and they do no work of the
 * CNI. */
static void read_containers(const json *pod, struct pod_view *v) {
    struct audience_seen seen = {0};
    const json *init = json_path(pod, "spec.initContainers");
    const json *containers = json_array(pod, "spec.containers");

    v->unreadable = json_first(containers) == NULL || (init != NULL && !json_is_array(init));
    for (const json *it = json_is_array(init) ? json_first(init) : NULL; it != NULL; it = it->next) {
        read_container(pod, it, true, v, &seen);
    }
    for (const json *it = json_first(containers); it != NULL; it = it->next) {
        read_container(pod, it, false, v, &seen);
    }
    v->token_audience = seen.differs ? NULL : arena_strdup(v->arena, seen.first);
}

static const char *daemon_set_uid(const json *pod, struct arena *a) {
    for (const json *it = json_first(json_array(pod, "metadata.ownerReferences")); it != NULL; it = it->next) {
        if (json_bool(it, "controller", false) && str_eq(json_key_str(it, "kind"), "DaemonSet")) {
            return arena_strdup(a, json_key_str(it, "uid"));
        }
    }
    return NULL;
}

static bool is_ready(const json *pod) {
    for (const json *it = json_first(json_array(pod, "status.conditions")); it != NULL; it = it->next) {
        if (str_eq(json_key_str(it, "type"), "Ready")) {
            return str_eq(json_key_str(it, "status"), "True");
        }
    }
    return false;
}

struct pod_view *pod_decode(const json *o, struct error *err) {
    struct arena *a = arena_new(0);
    struct pod_view *v = ARENA_NEW(a, struct pod_view);

    v->arena = a;
    if (!object_meta_decode(o, &v->meta, a, err)) {
        pod_free(v);
        return NULL;
    }
    v->node = arena_strdup(a, str_or(json_str(o, "spec.nodeName"), ""));
    v->service_account = arena_strdup(a, str_or(json_str(o, "spec.serviceAccountName"), ""));
    v->phase = arena_strdup(a, str_or(json_str(o, "status.phase"), ""));
    v->host_network = json_bool(o, "spec.hostNetwork", false);
    v->ready = is_ready(o);
    v->owner_uid = daemon_set_uid(o, a);
    v->revision_hash = arena_strdup(a, object_label(o, "controller-revision-hash"));
    v->restarted_for = arena_strdup(a, object_annotation(o, "cniiam.dev/restarted-for"));
    v->skip_webhook = object_label(o, "eks.amazonaws.com/skip-pod-identity-webhook") != NULL;
    read_containers(o, v);
    return v;
}

void pod_free(struct pod_view *v) {
    if (v != NULL) {
        arena_free(v->arena);
    }
}

const struct container_view *pod_container(const struct pod_view *p, const char *name) {
    for (size_t i = 0; i < p->ncontainers; i++) {
        if (str_eq(p->containers[i].name, name)) {
            return &p->containers[i];
        }
    }
    return NULL;
}

/* The webhook injects every container, so one without an identity was missed: the pod is then as un-injected as that
 * container. Only what the pod's own annotation excludes is let off, and never aws-node itself. */
static bool counts(const struct container_view *c) {
    return !c->skipped || c->credential != POD_CREDENTIAL_NODE || str_eq(c->name, "aws-node");
}

static bool same_identity(const struct container_view *a, const struct container_view *b) {
    return a->credential == b->credential && (a->credential != POD_CREDENTIAL_IRSA || str_eq(a->role_arn, b->role_arn));
}

enum pod_credential pod_credential(const struct pod_view *p, const char **role_arn) {
    const struct container_view *main_container = pod_container(p, "aws-node");
    bool mixed = false;

    *role_arn = NULL;
    if (p->unreadable || main_container == NULL) {
        return POD_CREDENTIAL_NODE;
    }
    for (size_t i = 0; i < p->ncontainers; i++) {
        const struct container_view *c = &p->containers[i];
        if (counts(c) && c->credential == POD_CREDENTIAL_NODE) {
            return POD_CREDENTIAL_NODE; /* the worst of all, wherever it stands */
        }
        mixed |= counts(c) && !same_identity(c, main_container);
    }
    if (mixed) {
        return POD_CREDENTIAL_OTHER;
    }
    if (main_container->credential == POD_CREDENTIAL_IRSA) {
        *role_arn = main_container->role_arn;
    }
    return main_container->credential;
}
