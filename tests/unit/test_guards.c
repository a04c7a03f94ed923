/*
 * Every guard and gate alone between the operator and a broken invariant. Each row is a scenario in which nothing breaks;
 * in a build with CNI_IAM_GUARD_SWITCH (tests/guards), where its guard is switched off, the named invariant breaks.
 */
#include "support_sim.h"

#include "reconcilers/guard_switch.h"

#ifdef CNI_IAM_GUARD_SWITCH
const char *guard_switched_off;
#endif

#define ROLE(name) "arn:aws:iam::" SIM_ACCOUNT ":role/" name
#define NAMED(more) "\"role\":{\"name\":\"cni\"" more "},"

/* --- the verdict at a scenario's end --- */

static bool ends(struct sim *s, bool broken) {
    sim_done(s);
    free(s);
    return broken;
}

/* The judge saw exactly this invariant break first. */
static bool breaks(struct sim *s, const char *invariant) {
    return ends(s, s->violations && strcmp(s->violated, invariant) == 0);
}

static bool breaks_s1(struct sim *s) {
    return ends(s, s->lost_permission > 0);
}

static void run_until(struct sim *s, const char *needle) {
    for (int i = 0; i < 4000 && sim_log_index(s, needle) < 0; i++)
        sim_run(s, 50);
}

static struct sim *detached(const char *spec) {
    struct sim *s = sim_start(3, spec);
    sim_until(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    return s;
}

static void delete_binding(struct sim *s) {
    sim_delete_binding(s);
    for (int i = 0; i < 600 && !s->finalizer_gone; i++)
        sim_run(s, 1000);
}

static struct sim_pod *first_pod(struct sim *s) {
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists)
            return &s->pods[i];
    return NULL;
}

/* --- before the first write --- */

static bool the_api_server_is_of_another_cluster(void) {
    struct sim *s = sim_start(3, QUICK);
    s->issuer_of_api = "https://oidc.eks.us-west-2.amazonaws.com/id/ANOTHER";
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S4");
}

static bool eks_manages_the_add_on(void) {
    struct sim *s = sim_start(3, QUICK);
    s->addon = true;
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S5");
}

static bool a_mode_that_only_looks(void) {
    struct sim *s = sim_start(3, QUICK_WITH("\"mode\":\"Observe\",", ""));
    sim_run(s, 5 * MINUTES);
    return breaks(s, "mode");
}

static bool an_earlier_leader_comes_back(void) {
    struct sim *s = detached(QUICK);
    s->epoch = 0;
    s->sa_role[0] = '\0';
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S6");
}

/* --- the role --- */

static bool a_policy_that_nobody_allowed(void) {
    struct sim *s = sim_start(
        3, QUICK_WITH("\"permissions\":{\"policyARNs\":[\"arn:aws:iam::aws:policy/AdministratorAccess\"]},", ""));
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S16");
}

static bool a_role_at_another_path(void) {
    struct sim *s = sim_start(3, QUICK_WITH(NAMED(",\"path\":\"/admin/\""), ""));
    s->config.role_path = "/cni/";
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S16");
}

static bool a_role_of_somebody_else(void) {
    struct sim *s = sim_start(3, QUICK_WITH(NAMED(""), ""));
    sim_foreign_role(s, "cni");
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S5");
}

/* Whoever is called aws-node-something may take it too, and a proof succeeds all the same. */
static bool a_role_that_trusts_too_many(void) {
    struct sim *s = sim_start(3, QUICK_WITH("\"role\":{\"name\":\"cni\",\"management\":\"Adopt\"},", ""));
    struct sim_role *r = sim_foreign_role(s, "cni");
    s->provider = s->provider_audience = true;
    snprintf(r->trust, sizeof r->trust,
             "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"" SIM_PROVIDER "\"},\"Action\":"
             "\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringLike\":{\"" SIM_ISSUER
             ":aud\":\"sts.amazonaws.com\",\"" SIM_ISSUER ":sub\":\"system:serviceaccount:kube-system:aws-node*\"}}}}");
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S4");
}

static bool a_role_that_does_not_work(void) {
    struct sim *s = sim_start(3, QUICK);
    run_until(s, "attach");
    if (sim_own_role(s))
        sim_own_role(s)->denied = true;
    sim_run(s, 5 * MINUTES);
    return breaks_s1(s);
}

/* Proven, annotated, and broken a moment before the first pod goes. */
static bool a_role_that_breaks_before_the_canary(void) {
    struct sim *s = sim_start(3, QUICK);
    run_until(s, "annotate");
    sim_run(s, 1000);
    if (sim_own_role(s))
        sim_own_role(s)->denied = true;
    sim_run(s, 20000);
    return breaks_s1(s);
}

/* --- pods --- */

/* A role that works for aws-node, and the annotation names it. */
static struct sim_role *earlier_role(struct sim *s) {
    struct sim_role *prior = sim_foreign_role(s, "prior");
    snprintf(s->sa_role, sizeof s->sa_role, "%s", prior->arn);
    s->provider = s->provider_audience = true;
    strcpy(prior->trust,
           "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"" SIM_PROVIDER
           "\"},\"Condition\":{\"StringEquals\":{\"" SIM_ISSUER ":aud\":\"sts.amazonaws.com\",\"" SIM_ISSUER
           ":sub\":\"system:serviceaccount:kube-system:aws-node\"}}}}");
    sim_role_attach(prior, SIM_CNI_POLICY);
    return prior;
}

/* The pods live on an earlier role, the node role grants nothing, and the webhook sleeps. */
static bool pods_on_an_earlier_role(bool webhook) {
    struct sim *s = sim_start(3, QUICK);
    struct sim_role *prior = earlier_role(s);
    sim_role_detach(&s->roles[0], SIM_CNI_POLICY);
    for (int i = 0; i < SIM_PODS_MAX; i++)
        snprintf(s->pods[i].role, sizeof s->pods[i].role, "%s", s->pods[i].exists ? prior->arn : "");
    s->webhook_up = webhook;
    sim_run(s, 5 * MINUTES);
    return breaks_s1(s);
}

static bool the_webhook_sleeps(void) {
    return pods_on_an_earlier_role(false);
}

static bool another_pod_is_not_ready(void) {
    struct sim *s = sim_start(3, QUICK);
    first_pod(s)->broken = true;
    sim_run(s, 3 * MINUTES);
    return breaks(s, "S9");
}

static bool no_pod_has_tried_it(void) {
    struct sim *s = sim_start(3, QUICK);
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S9");
}

static bool somebody_writes_the_annotation_back(void) {
    struct sim *s = sim_start(3, "{}");
    sim_until(s, "Ready", "True", NULL, 40 * MINUTES);
    int before = sim_log_count(s, "annotate");
    for (int i = 0; i < 60; i++) {
        snprintf(s->sa_role, sizeof s->sa_role, ROLE("another"));
        snprintf(s->sa_manager, sizeof s->sa_manager, "kubectl");
        sim_run(s, 5000);
    }
    return ends(s, sim_log_count(s, "annotate") - before > 4); /* L8 */
}

/* --- the detachment --- */

/* Not Ready for a while in the middle of the soak, Ready again when it would be over. */
static bool a_pod_that_was_not_ready_during_the_soak(void) {
    struct sim *s = sim_start(3, "{" SHORT_WAITS ",\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":100}}");
    s->on_delete = true; /* no rollout whose end would be waited for */
    sim_until(s, "NodeRoleDetached", "False", "Soaking", 10 * MINUTES);
    sim_run(s, 40000);
    first_pod(s)->broken = true;
    sim_run(s, 20000);
    first_pod(s)->broken = false;
    sim_run(s, 45000);
    return breaks(s, "S2");
}

/* The watch is silent, and a pod was created without the role meanwhile. */
static bool a_pod_that_the_informers_missed(void) {
    struct sim *s = sim_start(3, QUICK);
    sim_until(s, "NodeRoleDetached", "False", "Soaking", 10 * MINUTES);
    sim_informers_sleep(s);
    first_pod(s)->role[0] = '\0';
    sim_run(s, MINUTES);
    return breaks(s, "S2");
}

static bool a_node_whose_pod_is_not_there_yet(void) {
    struct sim *s = sim_start(3, "{" SHORT_WAITS ",\"nodeRole\":{\"soakSeconds\":10}}");
    sim_until(s, "Ready", "True", NULL, 20 * MINUTES);
    sim_set_spec(s, QUICK);
    s->nnodes = 4;
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S2");
}

static bool lists_come_back_empty(void) {
    struct sim *s = sim_start(3, QUICK);
    sim_until(s, "NodeRoleDetached", "False", "Soaking", 10 * MINUTES);
    s->lists_are_empty = true;
    first_pod(s)->role[0] = '\0';
    sim_informers_sleep(s);
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->seen[i].exists)
            snprintf(s->seen[i].role, sizeof s->seen[i].role, "%s", s->sa_role);
    sim_run(s, MINUTES);
    return breaks(s, "S2");
}

static bool a_node_that_ec2_does_not_know(void) {
    struct sim *s = sim_start(3, QUICK);
    sim_second_node_role(s, 1);
    s->unknown_node = 2;
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S2");
}

static bool an_instance_that_is_no_node(void) {
    struct sim *s = sim_start(3, QUICK);
    strcpy(s->foreign_instance, "i-0foreign");
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S2");
}

static bool proofs_of_a_moment(void) {
    return breaks(detached(QUICK), "S2");
}

static bool an_operator_on_the_pod_network(void) {
    struct sim *s = sim_start(3, QUICK);
    s->config.guard_independent = false;
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S18");
}

static bool a_way_back_that_was_never_tried(void) {
    return breaks(detached(QUICK), "S3");
}

static bool nobody_was_asked(void) {
    struct sim *s = sim_start(3, "{" SHORT_WAITS ",\"nodeRole\":{\"soakSeconds\":10}}");
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S5");
}

static bool a_node_role_that_is_not_listed(void) {
    struct sim *s = sim_start(3, QUICK_WITH("", ",\"roleARNs\":[\"" NODE_ROLE_B "\"]"));
    sim_run(s, 5 * MINUTES);
    return breaks(s, "S5");
}

/* Status and object are lost together: what the role's tags say is all that is left. */
static bool the_binding_was_pruned(void) {
    struct sim *s = detached(QUICK);
    snprintf(s->binding_json, sizeof s->binding_json,
             "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"aws-node\","
             "\"uid\":\"cib-2\",\"resourceVersion\":\"10\",\"generation\":1,\"creationTimestamp\":"
             "\"2026-02-01T00:00:00Z\"},\"spec\":%s}",
             QUICK);
    sim_restart_operator(s);
    sim_run(s, 5 * MINUTES);
    delete_binding(s);
    return ends(s, sim_detached(s)); /* S15: the policy did not come back */
}

/* --- the guard --- */

static bool a_pod_on_the_node_role(void) {
    struct sim *s = detached(QUICK);
    s->webhook_misses = 1;
    sim_join(s);
    sim_run(s, 30000);
    return ends(s, sim_detached(s)); /* S1': it waits for longer than 30 s */
}

static bool a_pod_that_complains(void) {
    struct sim *s = detached(QUICK);
    struct sim_pod *p = first_pod(s);
    p->broken = true;
    snprintf(s->event.reason, sizeof s->event.reason, "MissingIAMPermissions");
    snprintf(s->event.uid, sizeof s->event.uid, "%s", p->uid);
    s->event.at_ms = 1790000000000 + s->now_ms;
    sim_run(s, MINUTES);
    return ends(s, sim_detached(s));
}

static bool a_pod_that_is_not_ready(void) {
    struct sim *s = detached(QUICK);
    first_pod(s)->broken = true;
    sim_run(s, 4 * MINUTES);
    return ends(s, sim_detached(s));
}

static bool the_role_breaks_under_its_pods(void) {
    struct sim *s = detached(QUICK);
    if (sim_own_role(s))
        sim_own_role(s)->denied = true;
    sim_run(s, 30 * MINUTES);
    return ends(s, !sim_every_pod_permitted(s));
}

static bool an_instance_that_came_later(void) {
    struct sim *s = detached(QUICK);
    strcpy(s->foreign_instance, "i-0new");
    sim_run(s, 10 * MINUTES);
    return ends(s, sim_detached(s)); /* S2 does not hold any more, and the policy is still off */
}

/* --- the way back --- */

static bool a_policy_that_is_still_off(void) {
    struct sim *s = detached(QUICK);
    delete_binding(s);
    return ends(s, sim_detached(s));
}

static bool a_policy_that_is_not_enforced_yet(void) {
    struct sim *s = detached(QUICK);
    s->iam_lag_ms = 8000;
    delete_binding(s);
    return breaks_s1(s);
}

static bool deleted_when_the_earlier_role(void (*has)(struct sim_role *prior)) {
    struct sim *s = sim_start(3, QUICK);
    struct sim_role *prior = earlier_role(s);
    sim_until(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    has(prior);
    delete_binding(s);
    return breaks_s1(s);
}

static void gone(struct sim_role *prior) {
    prior->exists = false;
}

static void lost_its_policy(struct sim_role *prior) {
    sim_role_detach(prior, SIM_CNI_POLICY);
}

static void lost_its_trust(struct sim_role *prior) {
    strcpy(prior->trust, "{\"Statement\":[]}");
}

static bool the_earlier_role_is_gone(void) {
    return deleted_when_the_earlier_role(gone);
}

static bool the_earlier_role_has_no_policy(void) {
    return deleted_when_the_earlier_role(lost_its_policy);
}

static bool the_earlier_role_has_no_trust(void) {
    return deleted_when_the_earlier_role(lost_its_trust);
}

static bool a_node_role_that_grants_nothing(void) {
    struct sim *s = detached(QUICK);
    struct sim_role *b = sim_second_node_role(s, 3);
    sim_role_detach(b, SIM_CNI_POLICY);
    sim_join(s);
    sim_run(s, 5 * MINUTES);
    delete_binding(s);
    return breaks_s1(s);
}

static bool a_rollout_that_hangs_in_a_bootstrap(void) {
    struct sim *s = sim_start(3, QUICK);
    sim_role_detach(&s->roles[0], SIM_CNI_POLICY);
    sim_run(s, 0);
    sim_expect(s, "IdentityAnnotated", "True", NULL, 10 * MINUTES);
    while (s->restart_applies == 0)
        sim_run(s, 1000);
    s->webhook_misses = 1;
    sim_run(s, 40 * MINUTES);
    return breaks_s1(s);
}

static bool pods_that_still_bear_the_role(void) {
    struct sim *s = detached(QUICK);
    s->webhook_misses = 0;
    delete_binding(s);
    return breaks_s1(s);
}

static bool informers_that_know_nothing(void) {
    struct sim *s = detached(QUICK);
    s->informers_know_nothing = true;
    s->informers_sleep = true; /* nor of pods, which would be spared as orphans */
    memset(s->seen, 0, sizeof s->seen);
    s->lists_are_empty = true;
    delete_binding(s);
    return breaks_s1(s);
}

static bool another_role_and_a_missed_pod(void) {
    struct sim *s = detached(QUICK);
    s->iam_lag_ms = 5000;
    s->webhook_misses = 1;
    sim_set_spec(s, QUICK_WITH(NAMED(""), ""));
    sim_run(s, 5 * MINUTES);
    return breaks_s1(s);
}

/* The watch is silent, and a late webhook gave a new pod the role of before. */
static bool a_pod_with_the_role_of_before(void) {
    struct sim *s = detached(QUICK);
    char before[128];
    snprintf(before, sizeof before, "%s", sim_own_role_arn(s));
    sim_set_spec(s, QUICK_WITH(NAMED(""), ""));
    sim_until(s, "PodsProven", "False", NULL, 5 * MINUTES);
    sim_until(s, "PodsProven", "True", NULL, 5 * MINUTES);
    sim_informers_sleep(s);
    snprintf(first_pod(s)->role, sizeof first_pod(s)->role, "%s", before);
    sim_run(s, 3 * MINUTES);
    return breaks_s1(s);
}

static bool everybody_is_back(struct sim *s, const void *role) {
    int back = 0;
    for (int i = 0; i < SIM_PODS_MAX; i++)
        back += s->pods[i].exists && s->pods[i].ready && strcmp(s->pods[i].role, role) != 0;
    return back == s->nnodes;
}

/* The watch is silent, and the webhook was late when the annotation had gone already. */
static bool a_pod_that_got_the_role_at_last(void) {
    struct sim *s = detached(QUICK);
    char role[128];
    snprintf(role, sizeof role, "%s", sim_own_role_arn(s));
    sim_delete_binding(s);
    run_until(s, "restart DaemonSet kube-system/aws-node (cniiam.dev/restarted-for=none");
    sim_run_until(s, everybody_is_back, role, 5 * MINUTES);
    sim_informers_sleep(s);
    snprintf(first_pod(s)->role, sizeof first_pod(s)->role, "%s", role);
    sim_run(s, 3 * MINUTES);
    return breaks_s1(s);
}

static bool a_role_whose_tags_changed_hands(void) {
    struct sim *s = detached(QUICK);
    struct sim_role *r = sim_own_role(s);
    sim_delete_binding(s);
    run_until(s, "restart DaemonSet kube-system/aws-node (cniiam.dev/restarted-for=none");
    for (int i = 0; r && i < r->ntags; i++)
        if (strcmp(r->tags[i][0], "cniiam.dev/managed-by") == 0)
            strcpy(r->tags[i][1], "terraform");
    for (int i = 0; i < 600 && !s->finalizer_gone; i++)
        sim_run(s, 1000);
    return breaks(s, "S5");
}

static bool an_adopted_role_that_had_the_policy(void) {
    struct sim *s = sim_start(3, QUICK_WITH("\"role\":{\"name\":\"cni\",\"management\":\"Adopt\"},", ""));
    sim_role_attach(sim_foreign_role(s, "cni"), SIM_CNI_POLICY);
    sim_until(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    delete_binding(s);
    return breaks(s, "S5");
}

static bool a_role_that_others_use_too(void) {
    struct sim *s = detached(QUICK);
    struct sim_role *r = sim_own_role(s);
    char *end = r ? strrchr(r->trust, ']') : NULL;
    if (end)
        snprintf(end, sizeof r->trust - (size_t)(end - r->trust), "%s",
                 ",{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws.com\"},"
                 "\"Action\":\"sts:AssumeRole\"}]}");
    delete_binding(s);
    return breaks(s, "S5");
}

static bool a_provider_that_others_use_too(void) {
    struct sim *s = detached(QUICK);
    s->other_sa_has_role = true;
    delete_binding(s);
    return breaks(s, "S5");
}

/* --- all of them --- */

struct row {
    const char *guard, *invariant;
    bool (*broken)(void);
};
#define ROW(guard, invariant, scenario)                                                                                \
    { #guard, invariant, scenario }
static const struct row rows[] = {
    /* before the first write, and G1 */
    ROW(issuer_is_the_api_servers, "S4", the_api_server_is_of_another_cluster),
    ROW(add_on_is_not_managed, "S5", eks_manages_the_add_on),
    ROW(mode_enforces, "mode", a_mode_that_only_looks),
    ROW(no_newer_leader, "S6", an_earlier_leader_comes_back),
    /* G2 */
    ROW(policy_is_allowed, "S16", a_policy_that_nobody_allowed),
    ROW(role_path_is_allowed, "S16", a_role_at_another_path),
    ROW(role_is_ours, "S5", a_role_of_somebody_else),
    ROW(trust_is_exact, "S4", a_role_that_trusts_too_many),
    /* G3 */
    ROW(role_is_proven, "S1", a_role_that_does_not_work),
    ROW(proof_is_fresh, "S1", a_role_that_breaks_before_the_canary),
    /* G4 */
    ROW(injection_is_seen, "S1", the_webhook_sleeps),
    ROW(nobody_fights_back, "L8", somebody_writes_the_annotation_back),
    /* G5 */
    ROW(canary_waits_for_health, "S9", another_pod_is_not_ready),
    ROW(canary_goes_first, "S9", no_pod_has_tried_it),
    /* G6 */
    ROW(every_pod_is_ready, "S2", a_pod_that_was_not_ready_during_the_soak),
    /* G7 */
    ROW(live_pods_are_proven, "S2", a_pod_that_the_informers_missed),
    ROW(every_node_has_a_pod, "S2", a_node_whose_pod_is_not_there_yet),
    ROW(every_node_has_a_pod, "S2", lists_come_back_empty),
    ROW(every_node_role_is_known, "S2", a_node_that_ec2_does_not_know),
    ROW(no_foreign_consumer, "S2", an_instance_that_is_no_node),
    ROW(proofs_have_soaked, "S2", proofs_of_a_moment),
    ROW(guard_is_independent, "S18", an_operator_on_the_pod_network),
    ROW(attach_is_probed, "S3", a_way_back_that_was_never_tried),
    ROW(detachment_is_approved, "S5", nobody_was_asked),
    ROW(node_role_is_listed, "S5", a_node_role_that_is_not_listed),
    ROW(prior_state_is_tagged, "S15", the_binding_was_pruned),
    /* G8 */
    ROW(no_pod_on_the_node_role, "S1'", a_pod_on_the_node_role),
    ROW(no_pod_reports_missing_permissions, "S1'", a_pod_that_complains),
    ROW(no_pod_is_unready_too_long, "S1'", a_pod_that_is_not_ready),
    ROW(role_of_injected_pods_works, "S1'", the_role_breaks_under_its_pods),
    ROW(no_consumer_came_later, "S2", an_instance_that_came_later),
    /* the way back */
    ROW(policies_are_back, "S15", a_policy_that_is_still_off),
    ROW(restored_policy_is_enforced, "S1", a_policy_that_is_not_enforced_yet),
    ROW(node_roles_grant, "S1", a_node_role_that_grants_nothing),
    ROW(rollback_takes_nothing, "S1", a_rollout_that_hangs_in_a_bootstrap),
    ROW(prior_role_works, "S1", the_earlier_role_is_gone),
    ROW(prior_role_works, "S1", the_earlier_role_has_no_policy),
    ROW(prior_role_works, "S1", the_earlier_role_has_no_trust),
    ROW(absent_workload_is_looked_for, "S1", informers_that_know_nothing),
    ROW(pods_are_back, "S1", pods_that_still_bear_the_role),
    ROW(pods_are_back, "S1", a_pod_that_got_the_role_at_last),
    ROW(role_change_restores_first, "S1", another_role_and_a_missed_pod),
    ROW(earlier_role_is_unused, "S1", a_pod_with_the_role_of_before),
    ROW(live_tags_are_ours, "S5", a_role_whose_tags_changed_hands),
    ROW(adopted_policy_is_ours, "S5", an_adopted_role_that_had_the_policy),
    ROW(role_is_trusted_by_nobody_else, "S5", a_role_that_others_use_too),
    ROW(provider_is_unused, "S5", a_provider_that_others_use_too),
};
#define ROWS (sizeof rows / sizeof *rows)

static void with_its_guard_nothing_breaks(void **state) {
    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].broken())
            fail_msg("%s breaks although %s is on", rows[i].invariant, rows[i].guard);
}

static void without_it_the_invariant_breaks(void **state) {
    (void)state;
#ifdef CNI_IAM_GUARD_SWITCH
    int failed = 0;
    for (size_t i = 0; i < ROWS; i++) {
        guard_switched_off = rows[i].guard;
        bool broken = rows[i].broken();
        guard_switched_off = NULL;
        print_message("%-36s off: %-4s %s\n", rows[i].guard, rows[i].invariant, broken ? "breaks" : "HOLDS");
        failed += !broken;
    }
    assert_int_equal(failed, 0);
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_its_guard_nothing_breaks),
        cmocka_unit_test(without_it_the_invariant_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
