/* node.c - a node: which EC2 instance it is, and which kinds of compute aws-node does not run on. */
#include <string.h>

#include "crd/object_meta.h"

/* "i-" and 8 or 17 hexadecimal digits, the last part of aws:///ZONE/ID. Fargate and hybrid nodes have other forms. */
static bool is_instance_id(const char *s) {
    size_t n = strlen(s);
    return str_has_prefix(s, "i-") && (n == 10 || n == 19) && strspn(s + 2, "0123456789abcdef") == n - 2;
}

static const char *instance_id_of(const char *provider_id, struct arena *a) {
    if (!str_has_prefix(provider_id, "aws://")) {
        return NULL;
    }
    const char *last = strrchr(provider_id, '/');
    return is_instance_id(last + 1) ? arena_strdup(a, last + 1) : NULL;
}

static bool is_ready(const json *o) {
    for (const json *it = json_first(json_array(o, "status.conditions")); it != NULL; it = it->next) {
        if (str_eq(json_key_str(it, "type"), "Ready")) {
            return str_eq(json_key_str(it, "status"), "True");
        }
    }
    return false;
}

struct node_view *node_decode(const json *o, struct error *err) {
    struct arena *a = arena_new(0);
    struct node_view *v = ARENA_NEW(a, struct node_view);

    v->arena = a;
    if (!object_meta_decode(o, &v->meta, a, err)) {
        node_free(v);
        return NULL;
    }
    const char *compute = object_label(o, "eks.amazonaws.com/compute-type");
    v->provider_id = arena_strdup(a, str_or(json_str(o, "spec.providerID"), ""));
    v->instance_id = instance_id_of(v->provider_id, a);
    v->ready = is_ready(o);
    v->unschedulable = json_bool(o, "spec.unschedulable", false);
    v->fargate = str_eq(compute, "fargate");
    v->hybrid = str_eq(compute, "hybrid");
    v->automode = str_eq(compute, "auto");
    v->windows = str_eq(object_label(o, "kubernetes.io/os"), "windows");
    return v;
}

void node_free(struct node_view *v) {
    if (v != NULL) {
        arena_free(v->arena);
    }
}
