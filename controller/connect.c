#include "controller/connect.h"

#include <string.h>

static bool open_kubernetes(struct connection *c, const struct connection_options *o, struct error *err) {
    struct k8s_config_request request = {.kubeconfig = o->options->kubeconfig, .context = o->options->context};
    c->config = k8s_config_load(&request, err);
    if (!c->config)
        return error_wrap(err, "no Kubernetes cluster");
    struct k8s_client_options options = {.loop = c->loop,
                                         .config = c->config,
                                         .version = CNI_IAM_VERSION,
                                         .component = o->component,
                                         .may_write = o->may_write,
                                         .may_write_arg = o->arg};
    c->k8s = k8s_client_new(&options, err);
    if (!c->k8s)
        return false;
    c->effects = k8s_effects_new(c->k8s);
    return true;
}

static bool open_aws(struct connection *c, const struct connection_options *o, struct error *err) {
    c->settings = aws_settings_load(c->arena, o->options->region, err);
    if (!c->settings)
        return error_wrap(err, "AWS settings");
    c->aws = aws_client_new(c->loop, c->settings, "cni-iam/" CNI_IAM_VERSION, err);
    if (!c->aws)
        return false;
    if (o->may_write)
        aws_client_set_write_gate(c->aws, o->may_write, o->arg);
    return true;
}

bool connection_open(struct connection *c, const struct connection_options *o, struct error *err) {
    memset(c, 0, sizeof *c);
    c->arena = arena_new(0);
    c->loop = loop_new(err);
    if (!c->loop || !open_kubernetes(c, o, err) || (!o->kubernetes_only && !open_aws(c, o, err))) {
        connection_close(c);
        return false;
    }
    if (o->kubernetes_only) {
        c->effector = k8s_effects_effector(c->effects);
        return true;
    }
    c->router = effector_router_new(c->k8s, c->effects, c->aws);
    c->effector = effector_router_effector(c->router);
    return true;
}

void connection_close(struct connection *c) {
    effector_router_free(c->router);
    if (c->aws)
        aws_client_free(c->aws);
    if (c->effects)
        k8s_effects_free(c->effects);
    if (c->k8s)
        k8s_client_free(c->k8s);
    if (c->config)
        k8s_config_free(c->config);
    loop_free(c->loop);
    arena_free(c->arena);
    memset(c, 0, sizeof *c);
}

struct waiting {
    bool done;
    json *value;
    struct error error;
};

static void on_done(void *arg, struct effect_result *r) {
    struct waiting *w = arg;
    w->done = true;
    w->value = r->value;
    r->value = NULL;
    w->error = r->error;
}

json *connection_call(struct connection *c, const struct effect *e, struct error *err) {
    struct waiting w = {0};
    c->effector.submit(c->effector.ctx, e, on_done, &w);
    while (!w.done)
        loop_turn(c->loop, 1000);
    *err = w.error;
    return w.value;
}
