/*
 * world.h - the simulated cluster and account together, with everybody who lives in them.
 *
 * Model: one clock, one seed. Actors, one file each, hang on the API server's writes and on timers: the DaemonSet
 * controller (daemonset.c), nodes with kubelet and CNI (node.c), the identity webhook with its own lagging cache
 * (webhook.c), EKS with its add-on (addon_manager.c), other people and their tools (others.h). An aws-node pod becomes Ready when its credentials may call EC2 now; it turns
 * un-Ready and posts the CNI's MissingIAMPermissions Event when they may not any more.
 *
 * Ownership: sim_world_new/_free.   Errors: none: a world is made of what its options say.   Bounds: SIM_WORLD_NODES_MAX.
 */
#ifndef CNI_IAM_SIMULATOR_WORLD_H
#define CNI_IAM_SIMULATOR_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/port/clock.h"
#include "simulator/aws.h"
#include "simulator/kube.h"

#define SIM_WORLD_NODES_MAX 5000

struct sim_world_options {
    struct clock clock;
    uint64_t seed;
    int nodes;                  /* in three node groups, on two node roles */
    int64_t enforcement_lag_ms; /* of IAM */
    int64_t pod_start_ms;       /* from creation to Ready */
    int64_t webhook_lag_ms;     /* until the webhook's cache knows an annotation */
    int webhook_misses;         /* so many pods are not injected, the first ones of the rollout after the canary */
    bool foreign_consumer;      /* an instance on the second node role that is no node of the cluster */
    bool ipv6, on_delete;
    const char *crd_yaml; /* sim_kube_options */
    int key_bits;         /* sim_kube_options */
};

struct sim_world;
struct sim_world *sim_world_new(const struct sim_world_options *o);
void sim_world_free(struct sim_world *w);
struct sim_kube *sim_world_kube(struct sim_world *w);
struct sim_aws *sim_world_aws(struct sim_world *w);

/* May this pod's CNI call AssignPrivateIpAddresses now? (S1) pod: as the API server has it. */
bool sim_world_pod_permitted(struct sim_world *w, const json *pod);
enum sim_pod_identity { SIM_POD_NODE_ROLE, SIM_POD_OWN_ROLE, SIM_POD_NONE };
struct sim_node_row {
    char name[64], group[32], pod[80];
    enum sim_pod_identity identity;
    bool ready, permitted;
    char role[256];          /* OWN_ROLE: which */
    int64_t created_wall_ms; /* the pod */
};
int sim_world_rows(struct sim_world *w, struct sim_node_row *rows,
                   int max); /* one for each node that is to have a pod, by name */
/* What a pod that is on its node and not leaving makes of the row of that node; false: it is none of these. */
bool sim_world_row_of(struct sim_world *w, const json *pod, struct sim_node_row *row);

/* Breaking things. */
void sim_world_add_node(struct sim_world *w);
void sim_world_add_node_on(struct sim_world *w, const char *profile); /* on this instance profile */
void sim_world_look(struct sim_world *w);                             /* the kubelets look at their pods again */
void sim_world_remove_node(struct sim_world *w, const char *name);
void sim_world_webhook(struct sim_world *w, bool up);

#endif
