/* The whole life of a binding against the small world of support_world.h: state of the world, absence too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support_world.h"

#define MINUTES 60000

static struct sim *sim_start(int nodes, const char *spec) {
    struct sim *s = malloc(sizeof *s);
    assert_non_null(s);
    sim_init(s, nodes, spec);
    return s;
}

static void sim_end(struct sim *s) {
    if (s->lost_permission)
        print_error("%s\n", s->violation);
    assert_int_equal(s->lost_permission, 0);
    sim_done(s);
    free(s);
}

static void dump(const struct sim *s) {
    for (int i = 0; i < s->nlog; i++)
        print_message("%s\n", s->log[i]);
}

static void expect(struct sim *s, const char *type, const char *status, const char *reason, int64_t max_ms) {
    if (sim_until(s, type, status, reason, max_ms))
        return;
    dump(s);
    print_error("%s is not %s (%s): reason %s: %s; Ready: %s\n", type, status, reason ? reason : "*",
                sim_condition_reason(s, type), sim_condition_message(s, type), sim_condition_reason(s, "Ready"));
    fail();
}

#define AUTOMATIC "{\"nodeRole\":{\"detach\":\"Automatic\"}}"

static void migrates_and_waits_for_approval(void **state) {
    (void)state;
    struct sim *s = sim_start(5, "{}");
    expect(s, "Ready", "True", NULL, 10 * MINUTES);
    assert_int_equal(sim_pods_with_role(s, sim_own_role_arn(s)), 5);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_string_equal(sim_condition_reason(s, "NodeRoleDetached"), "AwaitingApproval");
    sim_run(s, 20 * MINUTES);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    struct cib_binding *b = sim_binding(s);
    assert_non_null(b->status.plan.digest);
    sim_annotate_binding(s, CIB_ANNOTATION_APPROVE, b->status.plan.digest);
    cib_free(b);
    expect(s, "NodeRoleDetached", "True", "Detached", 10 * MINUTES);
    assert_false(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_true(sim_role_has(&s->roles[0], "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"));
    assert_true(sim_condition_is(s, "GuardActive", "True"));
    assert_int_equal(s->restarts, 1);
    sim_end(s);
}

static void migrates_automatically(void **state) {
    (void)state;
    struct sim *s = sim_start(5, AUTOMATIC);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    assert_false(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_true(sim_condition_is(s, "NodeRoleDetached", "True"));
    /* Canary first, then the rest, then the detachment. */
    assert_true(sim_log_index(s, "canary") < sim_log_index(s, "restart DaemonSet"));
    assert_true(sim_log_index(s, "restart DaemonSet") < sim_log_index(s, "- detach"));
    assert_true(sim_log_index(s, "probe: attach") < sim_log_index(s, "- detach"));
    int writes = s->writes, status = s->status_writes;
    sim_run(s, 60 * MINUTES);
    assert_int_equal(s->writes, writes); /* S13 */
    assert_int_equal(s->status_writes, status);
    sim_end(s);
}

static void deletion_restores(void **state) {
    (void)state;
    struct sim *s = sim_start(4, AUTOMATIC);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    int start = s->nlog;
    sim_delete_binding(s);
    for (int i = 0; i < 3000 && !s->finalizer_gone; i++)
        sim_run(s, 1000);
    if (!s->finalizer_gone)
        dump(s), print_error("stuck: %s %s\n", sim_condition_reason(s, "Ready"), sim_condition_message(s, "Ready"));
    assert_true(s->finalizer_gone);
    assert_true(sim_role_has(&s->roles[0], SIM_CNI_POLICY));
    assert_int_equal(sim_pods_with_role(s, NULL), 4);
    assert_false(s->provider);
    assert_int_equal(s->sa_role[0], 0);
    assert_string_equal(s->ds_key, "none");
    for (int i = 1; i < SIM_ROLES_MAX; i++)
        assert_false(s->roles[i].exists);
    assert_non_null(strstr(s->log[start], "again")); /* the return path first */
    sim_end(s);
}

static void provider_that_others_trust_stays(void **state) {
    (void)state;
    struct sim *s = sim_start(2, AUTOMATIC);
    expect(s, "Ready", "True", NULL, 20 * MINUTES);
    struct sim_role *other = &s->roles[5];
    other->exists = true;
    strcpy(other->name, "app");
    strcpy(other->arn, "arn:aws:iam::" SIM_ACCOUNT ":role/app");
    strcpy(
        other->trust,
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"" SIM_PROVIDER
        "\"},\"Action\":\"sts:AssumeRoleWithWebIdentity\"}]}");
    sim_delete_binding(s);
    for (int i = 0; i < 3000 && !s->finalizer_gone; i++)
        sim_run(s, 1000);
    assert_true(s->finalizer_gone);
    assert_true(s->provider);
    assert_true(other->exists);
    sim_end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrates_and_waits_for_approval),
        cmocka_unit_test(migrates_automatically),
        cmocka_unit_test(deletion_restores),
        cmocka_unit_test(provider_that_others_trust_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
