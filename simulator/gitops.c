/*
 * gitops.c - Argo CD or Flux with the manifests of the VPC CNI and of the binding: what is not in git goes, what is in git
 * comes back. A ServiceAccount is replaced by the one in git, annotations included.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/others_internal.h"

static bool sync_account(struct deed *d) {
    const json *now = sim_kube_get(d->o->w->kube, "serviceaccounts", "kube-system", "aws-node");
    if (!now || !json_key_str(json_path(now, "metadata.annotations"), "eks.amazonaws.com/role-arn"))
        return true; /* nothing differs, nothing is written */
    return deed_kube(d, "PATCH", DEED_SERVICE_ACCOUNT, DEED_MERGE, "{\"metadata\":{\"annotations\":null}}");
}

static bool self_heals(struct deed *d) {
    static const struct sim_verb again = {"syncs-service-account", sync_account, {NULL}};
    keeper_start(&d->o->gitops, d, &again, deed_duration_ms(d, "every", 5000));
    return sync_account(d);
}

static bool stops(struct deed *d) {
    keeper_stop(&d->o->gitops);
    return true;
}

/* A commit took the binding out of the folder. */
static bool prunes_binding(struct deed *d) {
    json_free(d->o->binding);
    d->o->binding = json_dup(json_get(sim_kube_get(d->o->w->kube, "cniiambindings", NULL, "aws-node"), "spec"));
    return deed_kube(d, "DELETE", DEED_BINDINGS "/aws-node", NULL, NULL);
}

/* The commit was reverted. */
static bool applies_binding(struct deed *d) {
    const char *spec = d->o->binding ? json_print_arena(d->o->binding, d->a) : "{}";
    return deed_kube(d, "PATCH", DEED_BINDINGS "/aws-node", DEED_APPLY,
                     arena_printf(d->a,
                                  "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{"
                                  "\"name\":\"aws-node\"},\"spec\":%s}",
                                  spec));
}

const struct sim_verb gitops_verbs[] = {
    {"syncs-service-account", sync_account, {NULL}},
    {"self-heals", self_heals, {"every?"}},
    {"stops", stops, {NULL}},
    {"prunes-binding", prunes_binding, {NULL}},
    {"applies-binding", applies_binding, {NULL}},
    {NULL, NULL, {NULL}},
};
