/* mutant_scenarios.c - worlds in which bugs show: the plain ones, and those with somebody else's hands in them. */
#include <stdio.h>
#include <string.h>

#include "bench/mutants.h"
#include "bench/oracle.h"
#include "platform/base/str.h"
#include "simulator/virtual/virtual_loop.h"

#define WAITS "\"rollout\":{\"proofSeconds\":10,\"settleSeconds\":5,\"progressDeadlineSeconds\":300}"
#define SPEC(more, node_role) "{" WAITS more ",\"nodeRole\":{\"soakSeconds\":60" node_role "}}"
#define AUTOMATIC SPEC("", ",\"detach\":\"Automatic\"")
#define AUTOMATIC_WITH(more) SPEC(more, ",\"detach\":\"Automatic\"")
#define PLAIN .nodes = 4, .enforcement_lag_ms = 4000, .delay_max_ms = 40, .rest_ms = REST_MS, .goal_max_ms = GOAL_MS
#define MINUTE_MS 60000
#define REST_MS (5 * MINUTE_MS)
#define GOAL_MS (20 * MINUTE_MS)
#define LOOK_MS 250
#define HELD_MS (5 * MINUTE_MS)
#define DELETED_AFTER_MS 36000 /* the second pod is starting */
#define OTHER_CLUSTER "arn:aws:eks:us-west-2:111122223333:cluster/other"
#define PROVIDER_URL "oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
#define PROVIDER "arn:aws:iam::111122223333:oidc-provider/" PROVIDER_URL
#define EC2_TRUST                                                                                                      \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"Theirs\",\"Effect\":\"Allow\",\"Principal\":{\"Service\":"  \
    "\"ec2.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}"
#define PROVIDER_TRUST(subject)                                                                                        \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"" PROVIDER        \
    "\"},\"Action\":\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringEquals\":{\"" PROVIDER_URL                \
    ":aud\":\"sts.amazonaws.com\",\"" PROVIDER_URL ":sub\":\"system:serviceaccount:" subject "\"}}}]}"

/* --- the run under way --- */

static struct {
    struct bench_stage stage;
    bool (*awaited)(void);
    void (*then)(void);
} run;

static void after(int64_t ms, timer_fn fn) {
    struct clock c = virtual_clock();
    c.timer_start(c.ctx, ms, fn, NULL);
}

static void wait_for(void *arg) {
    (void)arg;
    if (run.awaited())
        run.then();
    else
        after(LOOK_MS, wait_for);
}

static void once(bool (*awaited)(void), void (*then)(void)) {
    run.awaited = awaited;
    run.then = then;
    after(LOOK_MS, wait_for);
}

static const json *binding(void) {
    return sim_kube_get(sim_world_kube(run.stage.world), "cniiambindings", NULL, "aws-node");
}

static bool is_held_by_finalizer(void) {
    return json_first(json_array(binding(), "metadata.finalizers")) != NULL;
}

static bool is_soaking(void) {
    for (const json *c = json_first(json_array(binding(), "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), "NodeRoleDetached") && str_eq(json_str(c, "reason"), "Soaking"))
            return true;
    return false;
}

static bool is_proving(void) {
    for (const json *c = json_first(json_array(binding(), "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), "RoleReady") && str_eq(json_str(c, "status"), "True"))
            return true;
    return false;
}

static bool goes_back(void) {
    const json *ds = sim_kube_get(sim_world_kube(run.stage.world), "daemonsets", "kube-system", "aws-node");
    return str_eq(json_key_str(json_path(ds, "spec.template.metadata.annotations"), "cniiam.dev/restarted-for"),
                  "none");
}

/* --- weather --- */

static void all_is_well(void *arg) {
    (void)arg;
    *net_weather() = (struct net_weather){0};
    sim_world_webhook(run.stage.world, true);
}

static void first_name(void *arg, const json *pod) {
    char *name = arg;
    if (!name[0])
        snprintf(name, 80, "%s", str_or(json_str(pod, "metadata.name"), ""));
}

/* Nobody tells the operator that a pod was made anew, and without the role. */
static void a_pod_changes_in_silence(void) {
    char name[80] = "";
    net_weather()->hanging[0] = "/pods";
    net_weather()->hanging[1] = "/daemonsets";
    sim_world_webhook(run.stage.world, false);
    sim_kube_each(sim_world_kube(run.stage.world), "pods", "kube-system", first_name, name);
    sim_kube_delete(sim_world_kube(run.stage.world), "pods", "kube-system", name);
    after(3 * MINUTE_MS, all_is_well);
}

static void deaf(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE)
        once(is_soaking, a_pod_changes_in_silence);
}

static void lists_lie_too(void) {
    a_pod_changes_in_silence();
    net_weather()->lists_are_empty = true;
}

static void deaf_and_empty(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE)
        once(is_soaking, lists_lie_too);
}

static void compact(void) {
    net_break_streams();
    sim_kube_compact(sim_world_kube(run.stage.world));
}

static void compacted(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE)
        once(is_proving, compact);
}

static void refuse_streams(void) {
    struct net_weather *w = net_weather();
    w->refused = "GET /api/v1/namespaces/kube-system/pods";
    w->refused_streams = true;
    w->refusal = NET_UNAVAILABLE;
    net_break_streams();
    after(2 * MINUTE_MS, all_is_well);
}

static void streams_refused(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE)
        once(is_proving, refuse_streams);
}

static void throttle_streams(void) {
    refuse_streams();
    net_weather()->refusal = NET_THROTTLED;
    net_weather()->retry_after_s = 8;
}

static void streams_throttled(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE)
        once(is_proving, throttle_streams);
}

static void refuse(const char *what, enum net_fault_kind how, int retry_after_s, int64_t for_ms) {
    struct net_weather *w = net_weather();
    w->refused = what;
    w->refusal = how;
    w->retry_after_s = retry_after_s;
    after(for_ms, all_is_well);
}

static void throttled(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE)
        refuse("kube PATCH /api/v1/namespaces/kube-system/serviceaccounts/aws-node", NET_THROTTLED, 15, 2 * MINUTE_MS);
}

static void denied(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE)
        refuse("aws AttachRolePolicy", NET_DENIED, 0, 4 * MINUTE_MS);
}

static void annotation_refused(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE)
        refuse("kube PATCH /api/v1/namespaces/kube-system/serviceaccounts/aws-node", NET_DENIED, 0, MINUTE_MS);
}

/* --- the lease --- */

static void refuse_lease(void) {
    sim_checker_excuse(run.stage.checker, true); /* nobody can take a Lease that is refused to all */
    refuse("/leases/", NET_UNAVAILABLE, 0, 40000);
    net_weather()->aws_delay_ms = 2500;
}

static void lease_refused(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE) {
        net_weather()->aws_delay_ms = 2500;
        once(is_held_by_finalizer, refuse_lease);
    }
}

static void stop(void *arg) {
    (void)arg;
    run.stage.stop_operator(run.stage.arg);
    after(20000, all_is_well);
}

static void stop_soon(void) {
    after(1000, stop);
}

static void terminated(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MADE) {
        net_weather()->aws_delay_ms = 4000;
        net_weather()->writes_outlive = true;
        once(is_held_by_finalizer, stop_soon);
    }
}

/* --- nodes and other people's things --- */

/* And nobody hears its complaints: Events may get lost. */
static void node_joins(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MIGRATED) {
        net_weather()->hanging[0] = "/events";
        sim_world_webhook(s->world, false);
        sim_world_add_node(s->world);
    }
    if (when == BENCH_DELETED)
        all_is_well(NULL);
}

/* Nodes report every ten seconds, as kubelets do. */
static void report_node(void *arg) {
    struct sim_kube *k = sim_world_kube(run.stage.world);
    static int n;
    (void)arg;
    json *node = json_dup(sim_kube_get(k, "nodes", NULL, "ip-10-0-0-10.us-west-2.compute.internal"));
    json *meta = cJSON_GetObjectItemCaseSensitive(node, "metadata");
    char text[16];
    snprintf(text, sizeof text, "%d", ++n);
    json_add_str(json_add_object(meta, "annotations"), "heartbeat", text);
    sim_kube_update(k, "nodes", node);
    after(10000, report_node);
}

static void nodes_report(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_MIGRATED)
        report_node(NULL);
}

static void group_goes(const struct bench_stage *s, enum bench_phase when) {
    if (when == BENCH_MIGRATED)
        sim_world_remove_node(s->world, "ip-10-0-0-12.us-west-2.compute.internal");
}

static void aws(const struct bench_stage *s, const char *action, const struct sim_aws_param *p, size_t n) {
    struct sim_aws_call call = {.service = "iam", .action = action, .params = p, .nparams = n};
    struct sim_aws_answer answer;
    sim_aws_do(sim_world_aws(s->world), &call, &answer);
    if (answer.status != 200)
        die("somebody else's %s: %s %s", action, str_or(answer.code, "?"), str_or(answer.message, ""));
    json_free(answer.value);
}

static void make_role(const struct bench_stage *s, const char *trust, const char *cluster) {
    const struct sim_aws_param p[] = {{"RoleName", "shared"},
                                      {"AssumeRolePolicyDocument", trust},
                                      {"Tags.member.1.Key", "cniiam.dev/managed-by"},
                                      {"Tags.member.1.Value", cluster ? "cni-iam" : "terraform"},
                                      {"Tags.member.2.Key", "cniiam.dev/cluster"},
                                      {"Tags.member.2.Value", cluster ? cluster : "none"},
                                      {"Tags.member.3.Key", "cniiam.dev/binding"},
                                      {"Tags.member.3.Value", "aws-node"}};
    aws(s, "CreateRole", p, sizeof p / sizeof *p);
}

static void role_of_other_cluster(const struct bench_stage *s, enum bench_phase when) {
    if (when == BENCH_MADE)
        make_role(s, EC2_TRUST, OTHER_CLUSTER);
}

static void role_of_somebody(const struct bench_stage *s, enum bench_phase when) {
    if (when == BENCH_MADE)
        make_role(s, EC2_TRUST, NULL);
}

/* Made by somebody for just this, as we would have made it. */
static void role_was_there(const struct bench_stage *s, enum bench_phase when) {
    if (when == BENCH_MADE)
        make_role(s, PROVIDER_TRUST("kube-system:aws-node"), NULL);
}

static void other_role_trusts_provider(const struct bench_stage *s, enum bench_phase when) {
    if (when == BENCH_MIGRATED)
        make_role(s, PROVIDER_TRUST("default:app"), NULL);
}

static void provider_was_there(const struct bench_stage *s, enum bench_phase when) {
    const struct sim_aws_param p[] = {{"Url", "https://" PROVIDER_URL}, {"ClientIDList.member.1", "sts.amazonaws.com"}};
    if (when == BENCH_MADE)
        aws(s, "CreateOpenIDConnectProvider", p, 2);
}

static void own_role_name(void *arg, const char *name) {
    snprintf(arg, 80, "%s", name);
}

static void on_own_role(const struct bench_stage *s, const char *action, struct sim_aws_param *p, size_t n) {
    char name[80] = "";
    own_role_name(name, str_or(json_str(sim_kube_get(sim_world_kube(s->world), "cniiambindings", NULL, "aws-node"),
                                        "status.role.name"),
                               ""));
    p[0] = (struct sim_aws_param){"RoleName", name};
    aws(s, action, p, n);
}

static void retag(void) {
    struct sim_aws_param p[] = {
        {NULL, NULL}, {"Tags.member.1.Key", "cniiam.dev/managed-by"}, {"Tags.member.1.Value", "terraform"}};
    on_own_role(&run.stage, "TagRole", p, 3);
    oracle_keep("aws DeleteRole|aws DetachRolePolicy");
}

static void role_changes_hands(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_DELETED)
        once(goes_back, retag);
}

/* The last pod that had the role is replaced: what we made goes next. */
static bool pods_are_back(void) {
    struct sim_node_row rows[16];
    int n = sim_world_rows(run.stage.world, rows, 16);
    for (int i = 0; i < n; i++)
        if (rows[i].identity != SIM_POD_NODE_ROLE)
            return false;
    return goes_back();
}

static bool is_away(void) {
    return !run.stage.is_running(run.stage.arg);
}

static void retag_provider(void) {
    const struct sim_aws_param p[] = {{"OpenIDConnectProviderArn", PROVIDER},
                                      {"Tags.member.1.Key", "cniiam.dev/managed-by"},
                                      {"Tags.member.1.Value", "terraform"}};
    aws(&run.stage, "TagOpenIDConnectProvider", p, 3);
    oracle_keep("aws DeleteOpenIDConnectProvider");
}

static void stop_and_retag(void) {
    run.stage.stop_operator(run.stage.arg);
    once(is_away, retag_provider);
}

static void provider_changes_hands_meanwhile(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when == BENCH_DELETED)
        once(pods_are_back, stop_and_retag);
}

static void eks_manages_the_addon(const struct bench_stage *s, enum bench_phase when) {
    if (when == BENCH_MADE)
        sim_aws_set_addon(sim_world_aws(s->world), "{\"addonName\":\"vpc-cni\",\"status\":\"ACTIVE\"}");
}

static void instance_comes_later(const struct bench_stage *s, enum bench_phase when) {
    if (when == BENCH_MIGRATED)
        sim_aws_run_instance(sim_world_aws(s->world), "i-0ba57104b0000000f", "eks-node-memory", NULL);
}

/* As IAM answers for a role that was made a moment ago. */
static void node_roles_are_not_seen(const struct bench_stage *s, enum bench_phase when) {
    run.stage = *s;
    if (when != BENCH_DELETED)
        return;
    refuse("aws AttachRolePolicy", NET_DENIED, 0, 20000);
    net_weather()->not_found = true;
}

static void others_attach_a_policy(const struct bench_stage *s, enum bench_phase when) {
    struct sim_aws_param p[] = {{NULL, NULL}, {"PolicyArn", "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"}};
    if (when == BENCH_MIGRATED)
        on_own_role(s, "AttachRolePolicy", p, 2);
}

static void others_use_the_role(const struct bench_stage *s, enum bench_phase when) {
    if (when != BENCH_MIGRATED)
        return;
    char text[4096] = "";
    const char *name =
        json_str(sim_kube_get(sim_world_kube(s->world), "cniiambindings", NULL, "aws-node"), "status.role.name");
    struct sim_aws_param get = {"RoleName", name};
    struct sim_aws_call call = {.service = "iam", .action = "GetRole", .params = &get, .nparams = 1};
    struct sim_aws_answer answer;
    sim_aws_do(sim_world_aws(s->world), &call, &answer);
    snprintf(text, sizeof text, "%s", str_or(json_str(answer.value, "Role.AssumeRolePolicyDocument"), ""));
    json_free(answer.value);
    char *end = strrchr(text, ']');
    if (!end)
        die("a trust policy without a list: %s", text);
    snprintf(
        end, sizeof text - (size_t)(end - text), "%s",
        ",{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}");
    struct sim_aws_param p[] = {{NULL, NULL}, {"PolicyDocument", text}};
    on_own_role(s, "UpdateAssumeRolePolicy", p, 2);
}

/* An annotation whose key differs from the webhook's in case alone: another key, of somebody else. */
static void another_annotation(const struct bench_stage *s, enum bench_phase when) {
    struct sim_kube *k = sim_world_kube(s->world);
    if (when != BENCH_MADE)
        return;
    json *sa = json_dup(sim_kube_get(k, "serviceaccounts", "kube-system", "aws-node"));
    json *meta = cJSON_GetObjectItemCaseSensitive(sa, "metadata");
    json_add_str(json_add_object(meta, "annotations"), "EKS.amazonaws.com/Role-ARN",
                 "arn:aws:iam::111122223333:role/x");
    sim_kube_update(k, "serviceaccounts", sa);
}

static void nothing_after_deletion(const struct bench_stage *s, enum bench_phase when) {
    (void)s;
    if (when == BENCH_DELETED)
        oracle_keep("aws |serviceaccounts/aws-node|daemonsets/aws-node|DELETE+/pods/");
}

/* --- all of them --- */

#define NAMED_SHARED(management) ",\"role\":{\"name\":\"shared\"" management "}"
static const struct bench_options scenarios[] = {
    {.scenario = "irsa", .spec = AUTOMATIC, PLAIN},
    {.scenario = "missed-pods", .spec = AUTOMATIC, PLAIN, .webhook_misses = 2},
    {.scenario = "on-delete", .spec = AUTOMATIC, PLAIN, .on_delete = true},
    {.scenario = "slow-iam",
     .spec = AUTOMATIC,
     .nodes = 3,
     .enforcement_lag_ms = 50000,
     .delay_max_ms = 40,
     .rest_ms = REST_MS,
     .goal_max_ms = GOAL_MS},
    {.scenario = "slow-webhook", .spec = AUTOMATIC, PLAIN, .webhook_lag_ms = 20000},
    {.scenario = "long-rest", .spec = AUTOMATIC, .nodes = 4, .enforcement_lag_ms = 4000, .delay_max_ms = 40},
    {.scenario = "deaf", .spec = AUTOMATIC, PLAIN, .on_phase = deaf},
    {.scenario = "deaf-and-empty", .spec = AUTOMATIC, PLAIN, .on_phase = deaf_and_empty},
    {.scenario = "compacted", .spec = AUTOMATIC, PLAIN, .on_phase = compacted},
    {.scenario = "streams-refused", .spec = AUTOMATIC, PLAIN, .on_phase = streams_refused},
    {.scenario = "streams-throttled", .spec = AUTOMATIC, PLAIN, .on_phase = streams_throttled},
    {.scenario = "throttled", .spec = AUTOMATIC, PLAIN, .on_phase = throttled},
    {.scenario = "denied", .spec = AUTOMATIC, PLAIN, .on_phase = denied},
    {.scenario = "annotation-refused",
     .spec = AUTOMATIC,
     .nodes = 4,
     .enforcement_lag_ms = 4000,
     .delay_max_ms = 40,
     .rest_ms = REST_MS,
     .goal_max_ms = 8 * MINUTE_MS,
     .on_phase = annotation_refused},
    {.scenario = "deleted-while-a-pod-starts",
     .spec = AUTOMATIC,
     PLAIN,
     .on_delete = true,
     .pod_start_ms = 8000,
     .held_ms = DELETED_AFTER_MS},
    {.scenario = "lease-refused", .spec = AUTOMATIC, PLAIN, .on_phase = lease_refused},
    {.scenario = "terminated", .spec = AUTOMATIC, PLAIN, .on_phase = terminated},
    {.scenario = "node-joins",
     .spec = AUTOMATIC,
     .nodes = 4,
     .enforcement_lag_ms = 4000,
     .delay_max_ms = 40,
     .goal_max_ms = GOAL_MS,
     .rest_ms = -3 * MINUTE_MS,
     .on_phase = node_joins},
    {.scenario = "nodes-report", .spec = AUTOMATIC, PLAIN, .on_phase = nodes_report},
    {.scenario = "instance-comes-later",
     .spec = AUTOMATIC,
     .nodes = 4,
     .enforcement_lag_ms = 4000,
     .delay_max_ms = 40,
     .goal_max_ms = GOAL_MS,
     .rest_ms = -8 * MINUTE_MS,
     .on_phase = instance_comes_later},
    {.scenario = "managed-add-on",
     .spec = AUTOMATIC,
     PLAIN,
     .held_ms = HELD_MS,
     .keep = "aws |serviceaccounts/aws-node|daemonsets/aws-node",
     .on_phase = eks_manages_the_addon},
    {.scenario = "group-goes",
     .spec = AUTOMATIC,
     .nodes = 4,
     .enforcement_lag_ms = 4000,
     .delay_max_ms = 40,
     .goal_max_ms = GOAL_MS,
     .rest_ms = -3 * MINUTE_MS,
     .on_phase = group_goes},
    {.scenario = "foreign-consumer", .spec = AUTOMATIC, PLAIN, .held_ms = HELD_MS, .foreign_consumer = true},
    {.scenario = "role-of-other-cluster",
     .spec = AUTOMATIC_WITH(NAMED_SHARED("")),
     PLAIN,
     .held_ms = HELD_MS,
     .foreign_roles = 1,
     .keep = "aws +RoleName=shared",
     .on_phase = role_of_other_cluster},
    {.scenario = "adopted",
     .spec = AUTOMATIC_WITH(NAMED_SHARED(",\"management\":\"Adopt\"")),
     PLAIN,
     .foreign_roles = 1,
     .keep = "aws DeleteRole",
     .kept_trust = "ec2.amazonaws.com",
     .on_phase = role_of_somebody},
    {.scenario = "adopted-as-it-is",
     .spec = AUTOMATIC_WITH(NAMED_SHARED(",\"management\":\"Adopt\"")),
     PLAIN,
     .foreign_roles = 1,
     .foreign_provider = true,
     .keep = "aws DeleteRole",
     .on_phase = role_was_there},
    {.scenario = "provider-shared",
     .spec = AUTOMATIC,
     PLAIN,
     .foreign_roles = 1,
     .foreign_provider = true,
     .keep = "aws DeleteOpenIDConnectProvider",
     .on_phase = other_role_trusts_provider},
    {.scenario = "provider-was-there",
     .spec = AUTOMATIC,
     PLAIN,
     .foreign_provider = true,
     .keep = "aws DeleteOpenIDConnectProvider",
     .on_phase = provider_was_there},
    {.scenario = "role-changes-hands",
     .spec = AUTOMATIC,
     PLAIN,
     .foreign_roles = 1,
     .foreign_provider = true,
     .on_phase = role_changes_hands},
    {.scenario = "changes-while-away",
     .spec = SPEC("", ",\"detach\":\"Never\""),
     PLAIN,
     .held_ms = HELD_MS,
     .foreign_provider = true,
     .on_phase = provider_changes_hands_meanwhile},
    {.scenario = "roles-not-seen", .spec = AUTOMATIC, PLAIN, .on_phase = node_roles_are_not_seen},
    {.scenario = "others-attach",
     .spec = AUTOMATIC,
     PLAIN,
     .foreign_roles = 1,
     .foreign_provider = true,
     .keep = "DetachRolePolicy+AmazonEKSWorkerNodePolicy|aws DeleteRole",
     .on_phase = others_attach_a_policy},
    {.scenario = "others-use-the-role",
     .spec = AUTOMATIC,
     PLAIN,
     .foreign_roles = 1,
     .keep = "aws DeleteRole",
     .kept_trust = "ec2.amazonaws.com",
     .on_phase = others_use_the_role},
    {.scenario = "another-annotation", .spec = AUTOMATIC, PLAIN, .on_phase = another_annotation},
    {.scenario = "on-approval",
     .spec = SPEC("", ""),
     PLAIN,
     .held_ms = HELD_MS,
     .keep = "DetachRolePolicy+RoleName=eks-node"},
    {.scenario = "one-role-listed",
     .spec = SPEC("", ",\"detach\":\"Automatic\",\"roleARNs\":[\"arn:aws:iam::111122223333:role/eks-node\"]"),
     PLAIN,
     .held_ms = HELD_MS,
     .keep = "DetachRolePolicy+RoleName=eks-node-memory"},
    {.scenario = "suspended",
     .spec = AUTOMATIC_WITH(",\"suspend\":true"),
     PLAIN,
     .held_ms = HELD_MS,
     .keep = "aws |serviceaccounts/aws-node|daemonsets/aws-node|DELETE+/pods/"},
    {.scenario = "mode-plan",
     .spec = AUTOMATIC_WITH(",\"mode\":\"Plan\""),
     PLAIN,
     .held_ms = HELD_MS,
     .keep = "aws |serviceaccounts/aws-node|daemonsets/aws-node|DELETE+/pods/"},
    {.scenario = "retained",
     .spec = AUTOMATIC_WITH(",\"deletionPolicy\":\"Retain\""),
     PLAIN,
     .stays_migrated = true,
     .on_phase = nothing_after_deletion},
    {.scenario = "wide-policy",
     .spec = AUTOMATIC_WITH(",\"permissions\":{\"policyARNs\":[\"arn:aws:iam::aws:policy/AdministratorAccess\"]}"),
     PLAIN,
     .held_ms = HELD_MS},
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

const struct bench_options *mutant_scenario_at(size_t i) {
    return i < SCENARIOS ? &scenarios[i] : NULL;
}

const struct bench_options *mutant_scenario(const char *name) {
    for (size_t i = 0; i < SCENARIOS; i++)
        if (str_eq(scenarios[i].scenario, name))
            return &scenarios[i];
    return NULL;
}
