/*
 * world_internal.h - what the actors of one world share. Each file is one actor; it hangs on writes and timers.
 *
 * Ownership: everything belongs to the world.   Errors: none.   Bounds: world.h's.
 */
#ifndef CNI_IAM_SIMULATOR_WORLD_INTERNAL_H
#define CNI_IAM_SIMULATOR_WORLD_INTERNAL_H

#include "platform/base/arena.h"
#include "platform/base/random.h"
#include "simulator/world.h"

#define SIM_REGION "us-west-2"
#define SIM_ACCOUNT_ID "111122223333"
#define SIM_CLUSTER_NAME "prod"
#define SIM_ISSUER_URL "https://oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
#define SIM_CNI_ACTION(w) ((w)->o.ipv6 ? "ec2:AssignIpv6Addresses" : "ec2:AssignPrivateIpAddresses")

/* Where a world is. */
struct world_place {
    const char *account, *region, *cluster, *cluster_version;
    const char *issuer;      /* as EKS says it */
    const char *kube_issuer; /* as the API server puts it into tokens */
    bool auto_mode;
};

struct sim_world {
    struct sim_world_options o;
    char region[32];
    struct prng prng;
    struct sim_kube *kube;
    struct sim_aws *aws;
    int nodes_made, pods_made;
    /* daemonset.c */
    uint64_t daemonset_timer;
    /* revisions.c */
    char revision_of[96]; /* the template whose revision is the last */
    /* garbage.c */
    uint64_t garbage_timer;
    bool owners_wait; /* for what they owned to be gone */
    /* addon_manager.c */
    uint64_t addon_timer;
    /* node.c */
    uint64_t node_timer;
    int64_t look_until_ms; /* permissions may still change until then */
    int complaints;
    int broken_node; /* its number, from 1: no pod becomes Ready there; 0: none */
    /* webhook.c */
    bool webhook_up;
    char injected_role[256], coming_role[256]; /* what its cache knows, and what it is about to know */
    uint64_t webhook_timer;
    struct leaving *leaving; /* pods that are being deleted (node.c) */
    int misses_left;
};

struct sim_world *world_empty(const struct sim_world_options *o, const struct world_place *place); /* nobody in it */
void world_begin(struct sim_world *w); /* everything is in its place: the actors look at it */

int64_t world_boot_ms(const struct sim_world *w);
uint64_t world_after(struct sim_world *w, int64_t ms, timer_fn fire, void *arg);
void world_stop_timer(struct sim_world *w, uint64_t *ticket);
json *world_parse(const char *text); /* of our own: a mistake in it ends the process */

void daemonset_on_write(struct sim_world *w, const char *resource, const json *object);
void daemonset_sync(struct sim_world *w);
#define HASH_LABEL "controller-revision-hash"
char *daemonset_hash(const json *ds, struct arena *a); /* what pods of its template have as HASH_LABEL */

void node_on_write(struct sim_world *w, const char *type, const char *resource, const json *object);
void node_forget_leaving(struct sim_world *w);
void node_on_aws_write(struct sim_world *w);
bool node_runs_aws_node(const json *node);

void revisions_keep(struct sim_world *w, const json *ds, const char *hash);

void garbage_on_write(struct sim_world *w, const char *type, const char *resource, const json *object);

void addon_manager_on_aws_write(struct sim_world *w, const char *action, const char *line);

void webhook_on_write(struct sim_world *w, const char *resource, const json *object);
void webhook_admit(struct sim_world *w, json *pod, bool dry_run);

#endif
