/*
 * addon_manager.c - EKS' hands in the cluster: what the VPC CNI's add-on says it applies to the ServiceAccount, as field
 * manager "eks". When that changes the role, the pods are made anew a little later; by what key EKS does it is not documented.
 *
 * NONE leaves what others own and fails; OVERWRITE takes it; PRESERVE leaves it and succeeds.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/world_internal.h"

#define ACCOUNT "/api/v1/namespaces/kube-system/serviceaccounts/aws-node"
#define DAEMON_SET "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node"
#define RESTART_MS 1000
#define ROLE_KEY "eks.amazonaws.com/role-arn"

/* The status. */
static int apply(struct sim_world *w, const char *path, const char *body, bool force) {
    struct sim_http_request req = {.method = "PATCH",
                                   .path = path,
                                   .query = force ? "fieldManager=eks&force=true" : "fieldManager=eks",
                                   .content_type = "application/apply-patch+yaml",
                                   .user_agent = "eks/1.0",
                                   .body = body,
                                   .body_len = strlen(body)};
    struct sim_http_answer answer = {0};
    sim_kube_http(w->kube, &req, &answer);
    free(answer.body);
    return answer.status;
}

static char *account(struct arena *a, const char *role) {
    const char *annotations = role ? arena_printf(a, ",\"annotations\":{\"" ROLE_KEY "\":\"%s\"}", role) : "";
    return arena_printf(a,
                        "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"aws-node\","
                        "\"namespace\":\"kube-system\",\"labels\":{\"k8s-app\":\"aws-node\"}%s}}",
                        annotations);
}

static const char *role_of_account(struct sim_world *w, struct arena *a) {
    const json *there = sim_kube_get(w->kube, "serviceaccounts", "kube-system", "aws-node");
    return arena_strdup(a, str_or(json_key_str(json_path(there, "metadata.annotations"), ROLE_KEY), ""));
}

static void restart(void *arg) {
    struct sim_world *w = arg;
    struct arena *a = arena_new(0);
    w->addon_timer = 0;
    if (sim_kube_get(w->kube, "daemonsets", "kube-system", "aws-node"))
        (void)apply(
            w, DAEMON_SET,
            arena_printf(a,
                         "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"aws-node\","
                         "\"namespace\":\"kube-system\"},\"spec\":{\"template\":{\"metadata\":{\"annotations\":{"
                         "\"eks.amazonaws.com/restartedAt\":\"%lld\"}}}}}",
                         (long long)world_boot_ms(w)),
            true);
    arena_free(a);
}

void addon_manager_on_aws_write(struct sim_world *w, const char *action, const char *line) {
    struct sim_addon_wish wish;
    if ((!str_eq(action, "CreateAddon") && !str_eq(action, "UpdateAddon")) || !str_has_suffix(line, " vpc-cni") ||
        !sim_aws_addon_wish(w->aws, &wish))
        return;
    struct arena *a = arena_new(0);
    const char *before = role_of_account(w, a);
    int status = apply(w, ACCOUNT, account(a, wish.role_arn), wish.force);
    if (status == 409 && wish.preserve)
        status = apply(w, ACCOUNT, account(a, NULL), false);
    if (status == 409)
        sim_aws_addon_conflict(w->aws,
                               "Conflicts found when trying to apply. Will not continue due to resolve conflicts "
                               "mode. Conflicts: ServiceAccount aws-node - .metadata.annotations");
    else if (!str_eq(before, role_of_account(w, a)) && !w->addon_timer)
        w->addon_timer = world_after(w, RESTART_MS, restart, w);
    arena_free(a);
}
