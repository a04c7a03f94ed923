/* Where the job does not apply: Stalled with a reason from the closed list, and not one write. */
#include "support_sim.h"

static void nothing(struct sim *s) {
    (void)s;
}
static void addon(struct sim *s) {
    s->addon = true;
}
static void association(struct sim *s) {
    s->association = true;
}
static void auto_mode(struct sim *s) {
    s->auto_mode = true;
}
static void fargate(struct sim *s) {
    s->fargate = true;
}
static void old(struct sim *s) {
    s->image = "x/amazon-k8s-cni:v1.5.2";
}
static void old_for_ipv6(struct sim *s) {
    s->image = "x/amazon-k8s-cni:v1.10.0";
    s->ipv6 = true;
}
static void other_issuer(struct sim *s) {
    s->issuer_of_api = "https://other.example";
}
static void no_issuer(struct sim *s) {
    s->no_issuer = true;
}
static void second(struct sim *s) {
    s->second_binding = true;
}
static void no_daemon_set(struct sim *s) {
    s->ds_exists = false;
}
static void no_service_account(struct sim *s) {
    s->sa_exists = false;
}
static void static_key(struct sim *s) {
    s->template_key = true;
}
static void nameless(struct sim *s) {
    s->config.cluster_name = NULL;
}
static void no_region(struct sim *s) {
    s->config.region = "";
}
static void no_account(struct sim *s) {
    s->account = "";
}
static void other_path(struct sim *s) {
    s->config.role_path = "/cni/";
}

static const struct {
    void (*make)(struct sim *s);
    const char *spec, *reason;
} rows[] = {
    {addon, "{}", "ManagedAddon"},
    {association, "{}", "PodIdentityAssociationExists"},
    {auto_mode, "{}", "AutoMode"},
    {fargate, "{}", "FargateOnly"},
    {old, "{}", "CNITooOld"},
    {old_for_ipv6, "{}", "CNITooOld"},
    {other_issuer, "{}", "IssuerMismatch"},
    {no_issuer, "{}", "NoOIDCIssuer"},
    {second, "{}", "DuplicateBinding"},
    {no_daemon_set, "{}", "WorkloadMissing"},
    {no_service_account, "{}", "WorkloadMissing"},
    {static_key, "{}", "CredentialOutranked"},
    {nameless, "{}", "ClusterUnknown"},
    {no_region, "{}", "ClusterUnknown"},
    {nothing, "{\"cluster\":{\"accountID\":\"999999999999\"}}", "WrongAccount"},
    {nothing, "{\"cluster\":{\"name\":\"nope\"}}", "ClusterNotFound"},
    {nothing, "{\"identity\":{\"type\":\"PodIdentity\"}}", "NotYetSupported"},
    {nothing, "{\"permissions\":{\"policyARNs\":[\"arn:aws:iam::aws:policy/AdministratorAccess\"]}}",
     "PolicyNotAllowed"},
    {other_path, "{\"role\":{\"path\":\"/\"}}", "RolePathRefused"},
};

static void refusals_write_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *s = sim_start(2, rows[i].spec);
        rows[i].make(s);
        sim_run(s, 5 * MINUTES);
        if (!sim_condition_is(s, "Stalled", "True") ||
            strcmp(sim_condition_reason(s, "Stalled"), rows[i].reason) != 0) {
            sim_dump(s);
            fail_msg("row %zu: wanted %s", i, rows[i].reason);
        }
        assert_int_equal(s->writes, 0);
        assert_int_equal(s->status_writes, 1); /* said once */
        sim_end(s);
    }
}

/* L3: it goes on within a minute after the cause is gone, without a restart. */
static void a_cause_that_goes_away_is_noticed(void **state) {
    (void)state;
    struct sim *s = sim_start(2, QUICK);
    s->addon = true;
    sim_expect(s, "Stalled", "True", "ManagedAddon", MINUTES);
    s->addon = false;
    sim_run(s, MINUTES);
    assert_true(s->writes > 0);
    sim_expect_ready(s);
    sim_end(s);
}

static void an_account_that_is_not_said_is_waited_for(void **state) {
    (void)state;
    struct sim *s = sim_start(2, "{}");
    no_account(s);
    sim_run(s, 3 * MINUTES);
    assert_int_equal(s->writes, 0);
    assert_string_equal(sim_condition_reason(s, "Ready"), "ServerUnavailable");
    sim_end(s);
}

/* Pinned in status: another cluster under the same name is not this binding's. */
static void another_cluster_under_the_name(void **state) {
    (void)state;
    struct sim *s = sim_start(2, QUICK);
    sim_expect_ready(s);
    int writes = s->writes;
    s->cluster_arn = "arn:aws:eks:us-west-2:" SIM_ACCOUNT ":cluster/prod2";
    sim_run(s, 5 * MINUTES);
    assert_string_equal(sim_condition_reason(s, "Stalled"), "ClusterChanged");
    assert_int_equal(s->writes, writes);
    sim_end(s);
}

/* Pods can not be made again without their ServiceAccount: they keep what they have until it is back (S1), and that is said (L3). */
static void a_deletion_waits_for_the_service_account(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    int restarts = s->restarts;
    s->sa_exists = false;
    sim_run(s, 20 * MINUTES); /* what was asked before is not remembered any more */
    sim_delete_binding(s);
    sim_expect(s, "Stalled", "True", "WorkloadMissing", MINUTES);
    sim_run(s, 5 * MINUTES);
    assert_int_equal(s->restarts, restarts);
    assert_false(sim_detached(s)); /* the way back needs no ServiceAccount */
    s->sa_exists = true;
    sim_wait_for_end(s);
    assert_true(s->finalizer_gone);
    sim_end(s);
}

static void a_deletion_after_the_cni_was_removed_ends(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    s->sa_exists = s->ds_exists = false;
    s->sa_role[0] = '\0';
    sim_delete_binding(s);
    sim_expect(s, "Stalled", "True", "WorkloadMissing", MINUTES); /* its pods run still */
    for (int i = 0; i < SIM_PODS_MAX; i++)
        s->pods[i].exists = false;
    sim_wait_for_end(s);
    assert_true(s->finalizer_gone);
    sim_end(s);
}

/* kubectl delete daemonset --cascade=orphan: the role is what its pods still live on (S1). */
static void a_deletion_waits_for_orphans(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    s->ds_exists = false;
    sim_delete_binding(s);
    sim_expect(s, "Stalled", "True", "WorkloadMissing", MINUTES);
    sim_run(s, 5 * MINUTES);
    assert_false(s->finalizer_gone);
    assert_true(sim_every_pod_permitted(s));
    s->ds_exists = true;
    sim_wait_for_end(s);
    sim_end(s);
}

static void an_image_without_a_version_is_left_to_the_proofs(void **state) {
    (void)state;
    struct sim *s = sim_start(2, QUICK);
    s->image = "mirror.example/cni@sha256:abc";
    sim_expect_ready(s);
    sim_end(s);
}

/* Of DescribeAddon only a parsed ResourceNotFoundException means self-managed. */
static void other_answers_are_no_absence(void **state) {
    (void)state;
    static const struct {
        enum effect_kind kind;
        enum err_code code;
        const char *reason;
    } answers[] = {{EFFECT_EKS_DESCRIBE_ADDON, ERR_FORBIDDEN, "AccessDenied"},
                   {EFFECT_EKS_DESCRIBE_ADDON, ERR_UNSUPPORTED, "RequestRefused"},
                   {EFFECT_EKS_DESCRIBE_ADDON, ERR_UNAVAILABLE, "ServerUnavailable"},
                   {EFFECT_EKS_LIST_POD_IDENTITY_ASSOCIATIONS, ERR_FORBIDDEN, "AccessDenied"},
                   {EFFECT_EKS_DESCRIBE_CLUSTER, ERR_FORBIDDEN, "AccessDenied"},
                   {EFFECT_K8S_TOKEN_ISSUER, ERR_FORBIDDEN, "AccessDenied"},
                   {EFFECT_STS_GET_CALLER_IDENTITY, ERR_NO_CREDENTIALS, "NoCredentials"},
                   {EFFECT_EC2_DESCRIBE_INSTANCES, ERR_FORBIDDEN, "AccessDenied"}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct sim *s = sim_start(2, QUICK);
        s->fail_kind = answers[i].kind;
        s->fail_code = answers[i].code;
        s->fail_count = 1000000;
        sim_run(s, 3 * MINUTES);
        assert_string_equal(sim_condition_reason(s, "Ready"), answers[i].reason);
        assert_int_equal(s->writes, 0);
        s->fail_count = 0;
        sim_expect_ready(s);
        sim_end(s);
    }
}

/* A region without Pod Identity has no associations. */
static void no_pod_identity_is_no_association(void **state) {
    (void)state;
    struct sim *s = sim_start(2, QUICK);
    s->fail_kind = EFFECT_EKS_LIST_POD_IDENTITY_ASSOCIATIONS;
    s->fail_code = ERR_UNSUPPORTED;
    s->fail_count = 1000000;
    sim_expect_ready(s);
    sim_end(s);
}

static void plan_and_observe_write_nothing(void **state) {
    (void)state;
    static const char *const modes[] = {"{\"mode\":\"Plan\"}", "{\"mode\":\"Observe\"}", "{\"suspend\":true}"};
    for (size_t i = 0; i < 3; i++) {
        struct sim *s = sim_start(3, modes[i]);
        sim_run(s, 10 * MINUTES);
        assert_int_equal(s->writes, 0);
        assert_string_equal(sim_condition_reason(s, "Ready"), i < 2 ? "Planned" : "Suspended");
        struct cib_binding *b = sim_binding(s);
        assert_true(b->status.plan.steps.n >= 6);
        cib_free(b);
        sim_end(s);
    }
}

static void a_plan_with_nothing_to_do_says_so(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    int writes = s->writes;
    sim_set_spec(s, "{\"mode\":\"Plan\",\"nodeRole\":{\"detach\":\"Automatic\"}}");
    sim_run(s, 10 * MINUTES);
    assert_int_equal(s->writes, writes);
    assert_true(sim_condition_is(s, "Ready", "True"));
    assert_string_equal(sim_condition_reason(s, "GuardActive"), "ModeForbidsWrites");
    sim_end(s);
}

/* S6: what a newer leader wrote is not overwritten by an older one. */
static void an_older_leader_keeps_still(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_expect_ready(s);
    s->epoch = 0;
    s->sa_role[0] = '\0';
    int writes = s->writes, status = s->status_writes;
    sim_run(s, 10 * MINUTES);
    assert_int_equal(s->writes, writes);
    assert_int_equal(s->status_writes, status);
    sim_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_write_nothing),
        cmocka_unit_test(a_cause_that_goes_away_is_noticed),
        cmocka_unit_test(an_account_that_is_not_said_is_waited_for),
        cmocka_unit_test(another_cluster_under_the_name),
        cmocka_unit_test(a_deletion_waits_for_the_service_account),
        cmocka_unit_test(a_deletion_after_the_cni_was_removed_ends),
        cmocka_unit_test(a_deletion_waits_for_orphans),
        cmocka_unit_test(an_image_without_a_version_is_left_to_the_proofs),
        cmocka_unit_test(other_answers_are_no_absence),
        cmocka_unit_test(no_pod_identity_is_no_association),
        cmocka_unit_test(plan_and_observe_write_nothing),
        cmocka_unit_test(a_plan_with_nothing_to_do_says_so),
        cmocka_unit_test(an_older_leader_keeps_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
