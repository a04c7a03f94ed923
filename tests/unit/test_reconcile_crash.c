/*
 * The process ends before and after every write of the migration and of the deletion, answers get lost, calls are
 * refused: the same end state every time, at most one restart, and no pod without permissions, also while IAM takes
 * minutes to enforce what was written.
 */
#include "support_sim.h"

#define LAGGED "{" SHORT_WAITS ",\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":100}}"
#define NODES 3

static void assert_migrated(struct sim *s) {
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), NODES);
    assert_true(sim_detached(s));
    assert_true(s->provider);
    assert_int_equal(s->restarts, 1);
    assert_string_not_equal(s->ds_key, "none");
}

static void assert_restored(struct sim *s) {
    assert_false(sim_detached(s));
    assert_int_equal(sim_pods_with_role(s, NULL), NODES);
    assert_int_equal(s->sa_role[0], 0);
    assert_false(s->provider);
    for (int i = 1; i < SIM_ROLES_MAX; i++)
        assert_false(s->roles[i].exists);
    assert_true(sim_every_pod_permitted(s));
}

static struct sim *start(int64_t lag_ms) {
    struct sim *s = sim_start(NODES, LAGGED);
    s->iam_lag_ms = lag_ms;
    return s;
}

static int migration_length(void) {
    struct sim *s = start(0);
    sim_expect_ready(s);
    int n = s->writes;
    sim_end(s);
    return n;
}

static void crashes_in_the_migration(void **state) {
    (void)state;
    int n = migration_length();
    assert_true(n >= 8);
    for (int k = 1; k <= n; k++)
        for (int after = 0; after < 2; after++) {
            struct sim *s = start(k % 2 ? 0 : 90000);
            s->crash_at = k;
            s->crash_after = after;
            sim_expect_ready(s);
            assert_migrated(s);
            sim_end(s);
        }
}

static void crashes_in_the_deletion(void **state) {
    (void)state;
    struct sim *ref = start(0);
    sim_expect_ready(ref);
    int before = ref->writes;
    sim_delete_and_wait(ref);
    assert_restored(ref);
    int n = ref->writes - before;
    sim_end(ref);
    for (int k = 1; k <= n; k++)
        for (int after = 0; after < 2; after++) {
            struct sim *s = start(k % 2 ? 0 : 90000);
            sim_expect_ready(s);
            s->crash_at = k;
            s->crash_after = after;
            sim_delete_and_wait(s);
            assert_restored(s);
            sim_end(s);
        }
}

static void deletion_at_every_step_of_the_migration(void **state) {
    (void)state;
    int n = migration_length();
    for (int k = 1; k <= n; k++) {
        struct sim *s = start(k % 2 ? 0 : 90000);
        sim_run_until_writes(s, k);
        sim_delete_and_wait(s);
        assert_restored(s);
        sim_end(s);
    }
}

/* A crash loop: every second step ends the process. Time that nobody observed does not count, so the soak is over late,
 * not early. */
static void a_crash_loop_ends_well(void **state) {
    (void)state;
    struct sim *s = start(0);
    for (int i = 0; i < 400 && !sim_condition_is(s, "Ready", "True"); i++) {
        if (s->crash_at == 0 && i < 40) {
            s->crash_at = 2;
            s->crash_after = i % 2;
        }
        sim_run(s, 10000);
    }
    assert_migrated(s);
    sim_end(s);
}

static const enum effect_kind kinds[] = {EFFECT_IAM_CREATE_OIDC_PROVIDER,
                                         EFFECT_IAM_CREATE_ROLE,
                                         EFFECT_IAM_ATTACH_ROLE_POLICY,
                                         EFFECT_IAM_TAG_ROLE,
                                         EFFECT_IAM_DETACH_ROLE_POLICY,
                                         EFFECT_K8S_APPLY,
                                         EFFECT_K8S_DELETE,
                                         EFFECT_K8S_JSON_PATCH,
                                         EFFECT_PROVE_ROLE,
                                         EFFECT_IAM_GET_ROLE,
                                         EFFECT_IAM_GET_OIDC_PROVIDER,
                                         EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES,
                                         EFFECT_IAM_GET_INSTANCE_PROFILE,
                                         EFFECT_IAM_LIST_INSTANCE_PROFILES_FOR_ROLE,
                                         EFFECT_EC2_DESCRIBE_INSTANCES,
                                         EFFECT_EKS_DESCRIBE_CLUSTER,
                                         EFFECT_EKS_DESCRIBE_ADDON,
                                         EFFECT_STS_GET_CALLER_IDENTITY,
                                         EFFECT_K8S_TOKEN_ISSUER,
                                         EFFECT_K8S_POD_DRY_RUN,
                                         EFFECT_K8S_LIST};

static const enum err_code codes[] = {ERR_LOST,     ERR_TIMEOUT,     ERR_THROTTLED,   ERR_FORBIDDEN,
                                      ERR_CONFLICT, ERR_UNAVAILABLE, ERR_UNREACHABLE, ERR_EXPIRED_CREDENTIALS,
                                      ERR_CANCELLED};

/* A read has no commit that its answer could be lost after. */
static bool may_be_after(enum effect_kind kind, enum err_code code) {
    return effect_class(kind) != EFFECT_READ && (code == ERR_LOST || code == ERR_TIMEOUT || code == ERR_UNAVAILABLE);
}

static void inject(struct sim *s, size_t kind, size_t code, int after) {
    s->fail_kind = kinds[kind];
    s->fail_code = codes[code];
    s->fail_count = after ? 1 : 2;
    s->fail_after_commit = after;
}

static void every_single_fault_of_the_migration(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t c = 0; c < sizeof codes / sizeof *codes; c++)
            for (int after = 0; after <= may_be_after(kinds[k], codes[c]); after++) {
                struct sim *s = sim_start(NODES, QUICK);
                inject(s, k, c, after);
                sim_expect_ready(s);
                assert_migrated(s);
                sim_end(s);
            }
}

static const enum effect_kind deleting[] = {EFFECT_IAM_ATTACH_ROLE_POLICY,
                                            EFFECT_IAM_DETACH_ROLE_POLICY,
                                            EFFECT_IAM_DELETE_ROLE,
                                            EFFECT_IAM_DELETE_OIDC_PROVIDER,
                                            EFFECT_IAM_LIST_ROLES,
                                            EFFECT_IAM_GET_ROLE,
                                            EFFECT_IAM_GET_OIDC_PROVIDER,
                                            EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES,
                                            EFFECT_K8S_APPLY,
                                            EFFECT_K8S_JSON_PATCH,
                                            EFFECT_K8S_LIST,
                                            EFFECT_K8S_POD_DRY_RUN,
                                            EFFECT_EKS_DESCRIBE_CLUSTER,
                                            EFFECT_EC2_DESCRIBE_INSTANCES};

static void every_single_fault_of_the_deletion(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof deleting / sizeof *deleting; k++)
        for (size_t c = 0; c < sizeof codes / sizeof *codes; c++)
            for (int after = 0; after <= may_be_after(deleting[k], codes[c]); after++) {
                struct sim *s = sim_start(NODES, QUICK);
                sim_expect_ready(s);
                inject(s, 0, c, after);
                s->fail_kind = deleting[k];
                sim_delete_and_wait(s);
                assert_restored(s);
                sim_end(s);
            }
}

/* L3: said within three failures, with what to do; healed without a restart. */
static void a_lasting_refusal_is_said_and_healed(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct sim *s = sim_start(NODES, QUICK);
        s->fail_kind = kinds[k];
        s->fail_code = ERR_FORBIDDEN;
        s->fail_count = 1000000;
        sim_expect(s, "Stalled", "True", kinds[k] == EFFECT_PROVE_ROLE ? "RoleNotProven" : "AccessDenied",
                   20 * MINUTES);
        s->fail_count = 0;
        sim_expect_ready(s);
        assert_migrated(s);
        sim_end(s);
    }
}

static void reasons_of_other_refusals(void **state) {
    (void)state;
    static const struct {
        enum effect_kind kind;
        enum err_code code;
        const char *reason;
    } rows[] = {{EFFECT_IAM_CREATE_ROLE, ERR_QUOTA, "QuotaExceeded"},
                {EFFECT_IAM_CREATE_ROLE, ERR_FORBIDDEN, "AccessDenied"},
                {EFFECT_IAM_CREATE_OIDC_PROVIDER, ERR_QUOTA, "QuotaExceeded"},
                {EFFECT_IAM_CREATE_ROLE, ERR_NO_CREDENTIALS, "NoCredentials"},
                {EFFECT_IAM_CREATE_ROLE, ERR_INVALID, "RequestRefused"},
                {EFFECT_IAM_ATTACH_ROLE_POLICY, ERR_NOT_FOUND, "PolicyNotFound"},
                {EFFECT_K8S_APPLY, ERR_FIELD_CONFLICT, "Conflict"},
                {EFFECT_IAM_CREATE_ROLE, ERR_THROTTLED, "ServerUnavailable"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *s = sim_start(NODES, QUICK);
        s->fail_kind = rows[i].kind;
        s->fail_code = rows[i].code;
        s->fail_count = 1000000;
        sim_expect(s, "Stalled", "True", rows[i].reason, 10 * MINUTES);
        s->fail_count = 0;
        sim_expect_ready(s);
        sim_end(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crashes_in_the_migration),
        cmocka_unit_test(crashes_in_the_deletion),
        cmocka_unit_test(deletion_at_every_step_of_the_migration),
        cmocka_unit_test(a_crash_loop_ends_well),
        cmocka_unit_test(every_single_fault_of_the_migration),
        cmocka_unit_test(every_single_fault_of_the_deletion),
        cmocka_unit_test(a_lasting_refusal_is_said_and_healed),
        cmocka_unit_test(reasons_of_other_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
