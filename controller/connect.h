/*
 * connect.h - what every subcommand needs: the loop, the clients of the API server and of AWS, one effector over both.
 * Ownership: connection_open/_close.   Errors: the first thing that is missing, with what to do.
 */
#ifndef CNI_IAM_CONTROLLER_CONNECT_H
#define CNI_IAM_CONTROLLER_CONNECT_H

#include "controller/effector_router.h"
#include "controller/options.h"
#include "platform/aws/aws_client.h"
#include "platform/k8s/k8s_client.h"
#include "platform/os/loop.h"

struct connection {
    struct loop *loop;
    struct arena *arena;
    struct k8s_config *config;
    struct k8s_client *k8s;
    struct k8s_effects *effects;
    struct aws_settings *settings;
    struct aws_client *aws;
    struct effector_router *router;
    struct effector effector;
};

struct connection_options {
    const struct options *options;
    const char *component;
    bool (*may_write)(void *arg); /* NULL: always */
    void *arg;
    bool kubernetes_only;
};
bool connection_open(struct connection *c, const struct connection_options *o, struct error *err);
void connection_close(struct connection *c);

/* Performs one effect and waits for it, turning the loop: for commands. The value is the caller's. */
json *connection_call(struct connection *c, const struct effect *e, struct error *err);

#endif
