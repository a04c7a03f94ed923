/* Faults, drift, refusals and the way back: the state of the world after each, S1 judged after every change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support_world.h"

#define MINUTES 60000
#define AUTOMATIC "{\"nodeRole\":{\"detach\":\"Automatic\"}}"
#define QUICK                                                                                                          \
    "{\"rollout\":{\"proofSeconds\":2,\"settleSeconds\":2,\"progressDeadlineSeconds\":120},\"nodeRole\":{\"detach\":"  \
    "\"Automatic\",\"soakSeconds\":10}}"

static struct sim *sim_start(int nodes, const char *spec) {
    struct sim *s = malloc(sizeof *s);
    assert_non_null(s);
    sim_init(s, nodes, spec);
    return s;
}

static void dump(struct sim *s) {
    for (int i = s->nlog > 60 ? s->nlog - 60 : 0; i < s->nlog; i++)
        print_message("%s\n", s->log[i]);
    static const char *const types[] = {"Ready", "Stalled", "Reconciling", "NodeRoleDetached", "GuardActive"};
    for (size_t i = 0; i < 5; i++) {
        print_message("%s: %s", types[i], sim_condition_reason(s, types[i]));
        print_message(" %s\n", sim_condition_message(s, types[i]));
    }
}

static void sim_end(struct sim *s) {
    if (s->lost_permission) {
        dump(s);
        print_error("%s\n", s->violation);
    }
    assert_int_equal(s->lost_permission, 0);
    sim_done(s);
    free(s);
}

static void expect(struct sim *s, const char *type, const char *status, const char *reason, int64_t max_ms) {
    if (sim_until(s, type, status, reason, max_ms))
        return;
    dump(s);
    print_error("%s is not %s (%s)\n", type, status, reason ? reason : "any reason");
    fail();
}

static bool every_pod_permitted(const struct sim *s) {
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && !s->pods[i].had_permission)
            return false;
    return true;
}

/* --- refusals: Stalled, with its reason, before any write
 * ------------------------------------------------------------------- */

static void make_addon(struct sim *s) {
    s->addon = true;
}
static void make_association(struct sim *s) {
    s->association = true;
}
static void make_auto_mode(struct sim *s) {
    s->auto_mode = true;
}
static void make_old(struct sim *s) {
    s->image = "x/amazon-k8s-cni:v1.5.2";
}
static void make_old_ipv6(struct sim *s) {
    s->image = "x/amazon-k8s-cni:v1.10.0";
    s->ipv6 = true;
}
static void make_other_issuer(struct sim *s) {
    s->issuer_of_api = "https://other.example";
}
static void make_second(struct sim *s) {
    s->second_binding = true;
}
static void make_no_workload(struct sim *s) {
    s->ds_exists = false;
}
static void make_nothing(struct sim *s) {
    (void)s;
}
static void make_foreign_role(struct sim *s) {
    struct sim_role *r = &s->roles[3];
    r->exists = true;
    strcpy(r->name, "cni");
    strcpy(r->arn, "arn:aws:iam::" SIM_ACCOUNT ":role/cni");
    strcpy(r->trust, s->roles[0].trust);
    s->provider = s->provider_audience = true;
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        void (*make)(struct sim *s);
        const char *spec, *reason;
    } rows[] = {
        {make_addon, "{}", "ManagedAddon"},
        {make_association, "{}", "PodIdentityAssociationExists"},
        {make_auto_mode, "{}", "AutoMode"},
        {make_old, "{}", "CNITooOld"},
        {make_old_ipv6, "{}", "CNITooOld"},
        {make_other_issuer, "{}", "IssuerMismatch"},
        {make_second, "{}", "DuplicateBinding"},
        {make_no_workload, "{}", "WorkloadMissing"},
        {make_nothing, "{\"cluster\":{\"accountID\":\"999999999999\"}}", "WrongAccount"},
        {make_nothing, "{\"cluster\":{\"name\":\"nope\"}}", "ClusterNotFound"},
        {make_nothing,
         "{\"role\":{\"path\":\"/x/\"},\"permissions\":{\"policyARNs\":[\"arn:aws:iam::aws:policy/"
         "AdministratorAccess\"]}}",
         "PolicyNotAllowed"},
        {make_foreign_role, "{\"role\":{\"name\":\"cni\"}}", "RoleNotOurs"},
        {make_nothing, "{\"role\":{\"name\":\"nope\",\"management\":\"Adopt\"}}", "RoleNotFound"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *s = sim_start(2, rows[i].spec);
        rows[i].make(s);
        sim_run(s, 2 * MINUTES);
        if (strcmp(sim_condition_reason(s, "Stalled"), rows[i].reason) != 0 ||
            !sim_condition_is(s, "Stalled", "True")) {
            dump(s);
            print_error("row %zu: wanted %s\n", i, rows[i].reason);
            fail();
        }
        for (int k = 0; k < s->nlog; k++) /* the finalizer is the only thing that may have been written */
            if (!strstr(s->log[k], "finalizer") && !strstr(s->log[k], "create IAM OIDC provider"))
                print_error("row %zu wrote: %s\n", i, s->log[k]), fail();
        sim_end(s);
    }
}

static void plan_and_observe_write_nothing(void **state) {
    (void)state;
    static const char *const specs[] = {"{\"mode\":\"Plan\"}", "{\"mode\":\"Observe\"}"};
    for (size_t i = 0; i < 2; i++) {
        struct sim *s = sim_start(3, specs[i]);
        sim_run(s, 10 * MINUTES);
        assert_int_equal(s->writes, 0);
        assert_string_equal(sim_condition_reason(s, "Ready"), "Planned");
        struct cib_binding *b = sim_binding(s);
        assert_true(b->status.plan.steps.n >= 6);
        cib_free(b);
        sim_end(s);
    }
}

/* --- crashes and lost answers
 * ------------------------------------------------------------------------------------------------- */

static int migration_length(void) {
    struct sim *s = sim_start(3, QUICK);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    int n = s->nlog;
    sim_end(s);
    return n;
}

static void assert_migrated(struct sim *s) {
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
    assert_false(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_true(s->provider);
    if (s->restarts > 1)
        dump(s);
    assert_true(s->restarts <= 1);
}

static void run_until_log(struct sim *s, int n) {
    for (int i = 0; i < 20000 && s->nlog < n; i++)
        sim_run(s, 50);
}

static void crash_after_every_write(void **state) {
    (void)state;
    int n = migration_length();
    for (int k = 1; k <= n; k++) {
        struct sim *s = sim_start(3, QUICK);
        run_until_log(s, k);
        sim_restart_operator(s);
        expect(s, "Ready", "True", NULL, 20 * MINUTES);
        assert_migrated(s);
        sim_end(s);
    }
}

static void every_answer_lost_or_refused_once(void **state) {
    (void)state;
    static const enum effect_kind kinds[] = {EFFECT_IAM_CREATE_OIDC_PROVIDER,
                                             EFFECT_IAM_CREATE_ROLE,
                                             EFFECT_IAM_ATTACH_ROLE_POLICY,
                                             EFFECT_K8S_APPLY,
                                             EFFECT_K8S_DELETE,
                                             EFFECT_IAM_TAG_ROLE,
                                             EFFECT_IAM_DETACH_ROLE_POLICY,
                                             EFFECT_K8S_JSON_PATCH,
                                             EFFECT_PROVE_ROLE,
                                             EFFECT_IAM_GET_ROLE,
                                             EFFECT_EC2_DESCRIBE_INSTANCES,
                                             EFFECT_EKS_DESCRIBE_CLUSTER,
                                             EFFECT_K8S_POD_DRY_RUN,
                                             EFFECT_K8S_LIST};
    static const enum err_code codes[] = {ERR_LOST,      ERR_TIMEOUT,  ERR_THROTTLED,
                                          ERR_FORBIDDEN, ERR_CONFLICT, ERR_UNAVAILABLE};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t c = 0; c < sizeof codes / sizeof *codes; c++)
            for (int after = 0; after < 2; after++) {
                if (after && codes[c] != ERR_LOST && codes[c] != ERR_TIMEOUT)
                    continue;
                struct sim *s = sim_start(3, QUICK);
                s->fail_kind = kinds[k];
                s->fail_code = codes[c];
                s->fail_count = 2;
                s->fail_after_commit = after;
                expect(s, "Ready", "True", NULL, 30 * MINUTES);
                assert_migrated(s);
                sim_end(s);
            }
}

static void a_lasting_refusal_is_said_and_healed(void **state) {
    (void)state;
    static const enum effect_kind kinds[] = {EFFECT_IAM_CREATE_ROLE, EFFECT_IAM_ATTACH_ROLE_POLICY,
                                             EFFECT_IAM_GET_ROLE,    EFFECT_EC2_DESCRIBE_INSTANCES,
                                             EFFECT_K8S_APPLY,       EFFECT_IAM_DETACH_ROLE_POLICY};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct sim *s = sim_start(3, QUICK);
        s->fail_kind = kinds[k];
        s->fail_code = ERR_FORBIDDEN;
        s->fail_count = 1000000;
        expect(s, "Stalled", "True", "AccessDenied", 20 * MINUTES);
        s->fail_count = 0;
        expect(s, "Ready", "True", NULL, 20 * MINUTES);
        assert_migrated(s);
        sim_end(s);
    }
}

static void deletion_survives_crashes(void **state) {
    (void)state;
    struct sim *ref = sim_start(3, QUICK);
    expect(ref, "Ready", "True", NULL, 20 * MINUTES);
    int from = ref->nlog;
    sim_delete_binding(ref);
    for (int i = 0; i < 3000 && !ref->finalizer_gone; i++)
        sim_run(ref, 1000);
    assert_true(ref->finalizer_gone);
    int to = ref->nlog;
    sim_end(ref);
    for (int k = from + 1; k < to; k++) {
        struct sim *s = sim_start(3, QUICK);
        expect(s, "Ready", "True", NULL, 20 * MINUTES);
        sim_delete_binding(s);
        run_until_log(s, k);
        sim_restart_operator(s);
        for (int i = 0; i < 3000 && !s->finalizer_gone; i++)
            sim_run(s, 1000);
        if (!s->finalizer_gone)
            dump(s);
        assert_true(s->finalizer_gone);
        assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
        assert_int_equal(sim_pods_with_role(s, NULL), 3);
        assert_false(s->provider);
        sim_end(s);
    }
}

static void deletion_at_every_step_of_the_migration(void **state) {
    (void)state;
    int n = migration_length();
    for (int k = 1; k <= n; k++) {
        struct sim *s = sim_start(3, QUICK);
        run_until_log(s, k);
        sim_delete_binding(s);
        for (int i = 0; i < 3000 && !s->finalizer_gone; i++)
            sim_run(s, 1000);
        if (!s->finalizer_gone)
            dump(s), print_error("step %d\n", k);
        assert_true(s->finalizer_gone);
        assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
        assert_int_equal(sim_pods_with_role(s, NULL), 3);
        assert_int_equal(s->sa_role[0], 0);
        for (int i = 1; i < SIM_ROLES_MAX; i++)
            assert_false(s->roles[i].exists);
        assert_false(s->provider);
        sim_end(s);
    }
}

/* --- drift
 * ---------------------------------------------------------------------------------------------------------------------------
 */

static void break_annotation(struct sim *s) {
    s->sa_role[0] = '\0';
}
static void break_policy(struct sim *s) {
    sim_role_detach(sim_role(s, strrchr(sim_own_role_arn(s), '/') + 1), SIM_CNI_POLICY);
}
static void break_trust(struct sim *s) {
    strcpy(sim_role(s, strrchr(sim_own_role_arn(s), '/') + 1)->trust, s->roles[0].trust);
}
static void break_provider(struct sim *s) {
    s->provider = false;
}
static void break_audience(struct sim *s) {
    s->provider_audience = false;
}
static void break_tagged_statement(struct sim *s) {
    strcpy(sim_role(s, strrchr(sim_own_role_arn(s), '/') + 1)->trust,
           "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"CniIamAwsNode\",\"Effect\":\"Allow\",\"Principal\":{"
           "\"Federated\":\"" SIM_PROVIDER
           "\"},\"Action\":\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringLike\":{\"" SIM_ISSUER
           ":sub\":\"*\"}}}]}");
}

static void drift_is_repaired(void **state) {
    (void)state;
    void (*const breaks[])(struct sim *) = {break_annotation, break_policy,   break_trust,
                                            break_provider,   break_audience, break_tagged_statement};
    static const char *const specs[] = {"{}", QUICK};
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++)
        for (size_t k = 0; k < 2; k++) {
            struct sim *s = sim_start(3, specs[k]);
            expect(s, "Ready", "True", NULL, 20 * MINUTES);
            breaks[i](s);
            sim_run(s, 3 * MINUTES);
            struct sim_role *r = sim_role(s, strrchr(sim_own_role_arn(s), '/') + 1);
            assert_non_null(r);
            if (!s->provider || !s->provider_audience || !sim_role_has(r, SIM_CNI_POLICY) ||
                !strstr(r->trust, "StringEquals") || !s->sa_role[0] || strstr(r->trust, "StringLike") ||
                !every_pod_permitted(s))
                dump(s), print_error("break %zu spec %zu\n", i, k), fail();
            expect(s, "Ready", "True", NULL, 20 * MINUTES);
            sim_end(s);
        }
}

/* --- the webhook sleeps
 * -------------------------------------------------------------------------------------------------------------- */

static void missed_pods_before_the_detach(void **state) {
    (void)state;
    struct sim *s = sim_start(4, QUICK);
    s->webhook_misses = 3;
    expect(s, "Ready", "True", NULL, 30 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 4);
    assert_false(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    sim_end(s);
}

static void missed_pod_after_the_detach(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    s->webhook_misses = 1;
    s->nnodes = 4;
    sim_new_pod(s, 3);
    int64_t at = s->now_ms;
    for (int i = 0; i < 100 && !sim_role_has(&s->roles[0], SIM_CNI_POLICY); i++)
        sim_run(s, 200);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_true(s->now_ms - at <= 30000); /* S1' */
    sim_run(s, 20 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 4);
    /* Automatic does not take it off again unasked (G8). */
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_string_equal(sim_condition_reason(s, "NodeRoleDetached"), "AwaitingApproval");
    struct cib_binding *b = sim_binding(s);
    sim_annotate_binding(s, CIB_ANNOTATION_APPROVE, b->status.plan.digest);
    cib_free(b);
    expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    sim_end(s);
}

static void a_sleeping_webhook_touches_no_pod(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->webhook_up = false;
    expect(s, "Stalled", "True", "WebhookNotInjecting", 20 * MINUTES);
    assert_int_equal(sim_log_count(s, "re-create"), 0);
    s->webhook_up = true;
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    sim_end(s);
}

/* --- the role breaks
 * --------------------------------------------------------------------------------------------------------------------
 */

static void broken_role_ends_with_permissions(void **state) {
    (void)state;
    static const char *const moments[] = {"annotate", "canary", "restart DaemonSet", "- detach"};
    for (size_t m = 0; m < 4; m++) {
        struct sim *s = sim_start(4, QUICK);
        for (int i = 0; i < 20000 && sim_log_index(s, moments[m]) < 0; i++)
            sim_run(s, 50);
        assert_true(sim_log_index(s, moments[m]) >= 0);
        sim_role(s, strrchr(sim_own_role_arn(s), '/') + 1)->denied = true;
        sim_run(s, 30 * MINUTES);
        if (!every_pod_permitted(s))
            dump(s), print_error("moment %s\n", moments[m]);
        assert_true(every_pod_permitted(s));
        assert_true(sim_condition_is(s, "Stalled", "True"));
        assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
        sim_role(s, strrchr(sim_own_role_arn(s), '/') + 1)->denied = false;
        expect(s, "RolledOut", "True", NULL, 40 * MINUTES);
        sim_end(s);
    }
}

/* --- node roles
 * ---------------------------------------------------------------------------------------------------------------------------
 */

static void a_shared_node_role_is_held_back(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    strcpy(s->foreign_instance, "i-0foreign");
    s->foreign_cluster = "other";
    expect(s, "NodeRoleDetached", "False", "ForeignConsumer", 20 * MINUTES);
    sim_run(s, 20 * MINUTES);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    sim_set_spec(s, "{\"rollout\":{\"proofSeconds\":2,\"settleSeconds\":2},\"nodeRole\":{\"detach\":\"Automatic\","
                    "\"soakSeconds\":10,"
                    "\"foreignConsumers\":[\"other\"]}}");
    expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    sim_end(s);
}

static void add_second_node_role(struct sim *s, int node) {
    s->roles[1] = s->roles[0];
    strcpy(s->roles[1].name, "node-role-b");
    strcpy(s->roles[1].arn, "arn:aws:iam::" SIM_ACCOUNT ":role/node-role-b");
    s->node_role[node] = 1;
}

static void two_node_roles_and_one_that_appears_later(void **state) {
    (void)state;
    struct sim *s = sim_start(4, QUICK);
    add_second_node_role(s, 3);
    expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    assert_false(sim_role_has(&s->roles[0], SIM_CNI_POLICY) || sim_role_has(&s->roles[1], SIM_CNI_POLICY));
    s->roles[2] = s->roles[1];
    strcpy(s->roles[2].name, "node-role-c");
    strcpy(s->roles[2].arn, "arn:aws:iam::" SIM_ACCOUNT ":role/node-role-c");
    /* The slot of our role is elsewhere: find it free of clashes. */
    sim_role_attach(&s->roles[2], SIM_CNI_POLICY);
    sim_end(s);
}

static void only_listed_roles(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{\"rollout\":{\"proofSeconds\":2,\"settleSeconds\":2},\"nodeRole\":{\"detach\":"
                                 "\"Automatic\",\"soakSeconds\":10,"
                                 "\"roleARNs\":[\"arn:aws:iam::" SIM_ACCOUNT ":role/node-role-b\"]}}");
    add_second_node_role(s, 2);
    expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_false(sim_role_has(&s->roles[1], SIM_CNI_POLICY));
    sim_end(s);
}

static void turning_off_gives_back(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    sim_set_spec(s, "{\"nodeRole\":{\"detach\":\"Never\"}}");
    expect(s, "NodeRoleDetached", "False", "NotRequested", 20 * MINUTES);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
    expect(s, "Ready", "True", NULL, 10 * MINUTES);
    sim_end(s);
}

static void back_to_the_node_role(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    expect(s, "NodeRoleDetached", "True", NULL, 20 * MINUTES);
    sim_set_spec(s, "{\"identity\":{\"type\":\"NodeRole\"},\"nodeRole\":{\"soakSeconds\":10}}");
    sim_run(s, 10 * MINUTES);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_int_equal(sim_pods_with_role(s, NULL), 3);
    assert_false(s->provider);
    sim_end(s);
}

static void bootstrap_and_its_deletion(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    sim_role_detach(&s->roles[0], SIM_CNI_POLICY);
    sim_run(s, 0);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 3);
    assert_string_equal(sim_condition_reason(s, "NodeRoleDetached"), "NothingToDetach");
    sim_delete_binding(s);
    for (int i = 0; i < 600 && !s->finalizer_gone; i++)
        sim_run(s, 1000);
    assert_true(s->finalizer_gone);
    assert_true(every_pod_permitted(s));
    sim_end(s);
}

static void on_delete_goes_one_by_one(void **state) {
    (void)state;
    struct sim *s = sim_start(4, QUICK);
    s->on_delete = true;
    expect(s, "Ready", "True", NULL, 30 * MINUTES);
    assert_int_equal(s->restart_applies, 0);
    assert_int_equal(sim_log_count(s, "re-create pod"), 4);
    assert_true(s->max_unready <= 1);
    sim_end(s);
}

static void the_guard_must_be_independent(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->config.guard_independent = false;
    expect(s, "Stalled", "True", "GuardNotIndependent", 20 * MINUTES);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    sim_end(s);
}

static void empty_lists_take_nothing_away(void **state) {
    (void)state;
    struct sim *s = sim_start(3, "{}");
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    for (int i = 0; i < 3; i++) {
        s->node_gone[i] = true;
        s->pods[i].exists = false;
    }
    for (int i = 0; i < SIM_PODS_MAX; i++)
        s->pods[i].exists = false;
    sim_set_spec(s, QUICK);
    sim_run(s, 30 * MINUTES);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    sim_end(s);
}

static void retain_and_abandon(void **state) {
    (void)state;
    for (int abandon = 0; abandon < 2; abandon++) {
        struct sim *s = sim_start(3, QUICK);
        expect(s, "Ready", "True", NULL, 20 * MINUTES);
        if (abandon)
            sim_annotate_binding(s, CIB_ANNOTATION_ABANDON, "true");
        else
            sim_set_spec(s, "{\"deletionPolicy\":\"Retain\",\"nodeRole\":{\"detach\":\"Automatic\"}}");
        int writes = s->writes;
        sim_delete_binding(s);
        for (int i = 0; i < 100 && !s->finalizer_gone; i++)
            sim_run(s, 1000);
        assert_true(s->finalizer_gone);
        assert_int_equal(s->writes, writes + 1);
        sim_end(s);
    }
}

static void suspend_stops_all_but_the_guard(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    sim_set_spec(s, "{\"suspend\":true,\"nodeRole\":{\"detach\":\"Automatic\"}}");
    break_annotation(s);
    sim_run(s, 5 * MINUTES);
    assert_int_equal(s->sa_role[0], 0);
    s->nnodes = 4;
    sim_new_pod(s, 3);
    sim_run(s, MINUTES);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    sim_end(s);
}

static void ipv6_policy_is_made_and_removed(void **state) {
    (void)state;
    struct sim *s = sim_start(3, QUICK);
    s->ipv6 = true;
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    assert_true(s->policy.exists);
    assert_non_null(strstr(s->policy.trust, "ec2:AssignIpv6Addresses"));
    assert_non_null(strstr(s->policy.trust, "ec2:DescribeSecurityGroups"));
    sim_delete_binding(s);
    for (int i = 0; i < 3000 && !s->finalizer_gone; i++)
        sim_run(s, 1000);
    assert_true(s->finalizer_gone);
    assert_false(s->policy.exists);
    sim_end(s);
}

static void adopted_roles_are_kept(void **state) {
    (void)state;
    struct sim *s = sim_start(
        3, "{\"role\":{\"name\":\"cni\",\"management\":\"Adopt\"},\"rollout\":{\"proofSeconds\":2,\"settleSeconds\":2},"
           "\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":10}}");
    make_foreign_role(s);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    assert_non_null(strstr(s->roles[3].trust, "ec2.amazonaws.com")); /* the foreign statement stays */
    sim_delete_binding(s);
    for (int i = 0; i < 3000 && !s->finalizer_gone; i++)
        sim_run(s, 1000);
    assert_true(s->finalizer_gone);
    assert_true(s->roles[3].exists);
    assert_null(strstr(s->roles[3].trust, "aws-node"));
    assert_true(s->provider); /* it was there before us */
    sim_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(plan_and_observe_write_nothing),
        cmocka_unit_test(crash_after_every_write),
        cmocka_unit_test(every_answer_lost_or_refused_once),
        cmocka_unit_test(a_lasting_refusal_is_said_and_healed),
        cmocka_unit_test(deletion_survives_crashes),
        cmocka_unit_test(deletion_at_every_step_of_the_migration),
        cmocka_unit_test(drift_is_repaired),
        cmocka_unit_test(missed_pods_before_the_detach),
        cmocka_unit_test(missed_pod_after_the_detach),
        cmocka_unit_test(a_sleeping_webhook_touches_no_pod),
        cmocka_unit_test(broken_role_ends_with_permissions),
        cmocka_unit_test(a_shared_node_role_is_held_back),
        cmocka_unit_test(two_node_roles_and_one_that_appears_later),
        cmocka_unit_test(only_listed_roles),
        cmocka_unit_test(turning_off_gives_back),
        cmocka_unit_test(back_to_the_node_role),
        cmocka_unit_test(bootstrap_and_its_deletion),
        cmocka_unit_test(on_delete_goes_one_by_one),
        cmocka_unit_test(the_guard_must_be_independent),
        cmocka_unit_test(empty_lists_take_nothing_away),
        cmocka_unit_test(retain_and_abandon),
        cmocka_unit_test(suspend_stops_all_but_the_guard),
        cmocka_unit_test(ipv6_policy_is_made_and_removed),
        cmocka_unit_test(adopted_roles_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
