#include "support_sim.h"

struct sim *sim_start(int nodes, const char *spec) {
    struct sim *s = malloc(sizeof *s);
    assert_non_null(s);
    sim_init(s, nodes, spec);
    return s;
}

void sim_dump(struct sim *s) {
    static const char *const types[] = {"Ready",     "Stalled",          "Reconciling",
                                        "RolledOut", "NodeRoleDetached", "GuardActive"};
    for (int i = s->nlog > 40 ? s->nlog - 40 : 0; i < s->nlog; i++)
        print_message("%s\n", s->log[i]);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        print_message("%s: %s: ", types[i], sim_condition_reason(s, types[i]));
        print_message("%s\n", sim_condition_message(s, types[i]));
    }
}

void sim_end(struct sim *s) {
    if (s->lost_permission || s->violations) {
        sim_dump(s);
        print_error("%s\n", s->violation);
    }
    assert_int_equal(s->lost_permission, 0);
    assert_int_equal(s->violations, 0);
    sim_done(s);
    free(s);
}

void sim_expect(struct sim *s, const char *type, const char *status, const char *reason, int64_t max_ms) {
    if (sim_until(s, type, status, reason, max_ms))
        return;
    sim_dump(s);
    fail_msg("%s is not %s (%s)", type, status, reason ? reason : "any reason");
}

void sim_expect_ready(struct sim *s) {
    sim_expect(s, "Ready", "True", NULL, 40 * MINUTES);
}

bool sim_every_pod_permitted(const struct sim *s) {
    for (int i = 0; i < SIM_PODS_MAX; i++)
        if (s->pods[i].exists && !s->pods[i].had_permission)
            return false;
    return true;
}

static bool has_logged(struct sim *s, const void *needle) {
    return sim_log_index(s, needle) >= 0;
}

void sim_run_until_logged(struct sim *s, const char *needle) {
    if (has_logged(s, needle) || sim_run_until(s, has_logged, needle, 34 * MINUTES))
        return;
    sim_dump(s);
    fail_msg("never did: %s", needle);
}

static bool has_written(struct sim *s, const void *n) {
    return s->nlog >= *(const int *)n;
}

void sim_run_until_writes(struct sim *s, int n) {
    if (has_written(s, &n) || sim_run_until(s, has_written, &n, 34 * MINUTES))
        return;
    sim_dump(s);
    fail_msg("only %d of %d writes", s->nlog, n);
}

void sim_wait_for_end(struct sim *s) {
    for (int i = 0; i < 3600 && !s->finalizer_gone; i++)
        sim_run(s, 1000);
    if (s->finalizer_gone)
        return;
    sim_dump(s);
    fail_msg("deletion did not end");
}

void sim_delete_and_wait(struct sim *s) {
    sim_delete_binding(s);
    sim_wait_for_end(s);
}

struct sim_role *sim_own_role(struct sim *s) {
    const char *arn = sim_own_role_arn(s), *slash = strrchr(arn, '/');
    return slash ? sim_role(s, slash + 1) : NULL;
}

bool sim_detached(struct sim *s) {
    return !sim_role_has(&s->roles[0], SIM_CNI_POLICY);
}

void sim_approve(struct sim *s) {
    struct cib_binding *b = sim_binding(s);
    assert_non_null(b->status.plan.digest);
    sim_annotate_binding(s, CIB_ANNOTATION_APPROVE, b->status.plan.digest);
    cib_free(b);
}

void sim_join(struct sim *s) {
    sim_new_pod(s, s->nnodes++);
}

struct sim_role *sim_second_node_role(struct sim *s, int node) {
    struct sim_role *r = &s->roles[1];
    if (r->exists && !r->node)
        r = &s->roles[2];
    *r = s->roles[0];
    snprintf(r->name, sizeof r->name, "node-role-b");
    snprintf(r->arn, sizeof r->arn, NODE_ROLE_B);
    s->node_role[node] = (int)(r - s->roles);
    return r;
}

struct sim_role *sim_foreign_role(struct sim *s, const char *name) {
    struct sim_role *r = &s->roles[6];
    r->exists = true;
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->arn, sizeof r->arn, "arn:aws:iam::" SIM_ACCOUNT ":role/%s", name);
    snprintf(r->trust, sizeof r->trust, "%s", s->roles[0].trust);
    return r;
}
