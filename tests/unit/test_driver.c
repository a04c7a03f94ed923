/* driver.c: the contract of reconcile.h, with a stub for the core, an effector answered by hand and a clock moved by
 * hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/driver.h"
#include "platform/base/log.h"
#include "platform/base/str.h"
#include "support_ports.h"

#define ROLE "arn:aws:iam::111122223333:role/cni"

static struct ports ports;
static struct work_queue *queue;
static struct driver *driver;
static struct operator_config config;

/* What the stub core says, and what it was told. */
static struct {
    int calls;
    const struct effect *reads[RECONCILE_READS_MAX];
    size_t nreads;
    bool reads_always;
    const struct effect *step;
    const char *gate, *event_reason;
    bool external;
    int64_t requeue_ms;
    const char *message; /* of condition Ready */
    const char *intent;  /* action in status */
    bool note;
    /* told */
    const char *last_effect;
    enum err_code last_code;
    int last_failures;
    int64_t audit_ms;
    int proofs; /* progress.proofs handed in */
    bool status_refused;
} core;

/* The world of ports beside the effector. */
static struct {
    char object[8192]; /* the binding; "" none */
    int holds;
    bool ready, may_write, stopping;
    int64_t epoch;
    char wrote[256], events[1024];
    int intents_open, intents_closed, audits, observations;
    char outcome[64], detail[4096];
} world;

static void core_decide(const struct world *w, const struct progress *p, struct arena *a, struct decision *out) {
    memset(out, 0, sizeof *out);
    core.calls++;
    core.last_effect = w->last_effect ? effect_describe(w->last_effect, ports.arena) : NULL;
    core.last_code = w->last_error ? w->last_error->code : ERR_NONE;
    core.last_failures = w->last_failures;
    core.status_refused = w->status_refused;
    core.audit_ms = w->config->aws_audit_interval_ms;
    core.proofs = p->proofs;
    assert_int_equal(w->epoch, world.epoch);
    out->progress = *p;
    out->progress.proofs++;
    out->status = w->binding->status;
    for (size_t i = 0; i < core.nreads; i++) {
        const char *key = effect_key(core.reads[i], a);
        if (core.reads_always || !observations_get(w->observations, key, w->now_boot_ms, 0))
            out->reads[out->nreads++] = core.reads[i];
    }
    if (core.message)
        cib_condition_set(&out->status, (struct cib_condition){.type = "Ready",
                                                               .status = CIB_CONDITION_FALSE,
                                                               .reason = "Testing",
                                                               .message = core.message,
                                                               .last_transition_ms = w->now_wall_ms});
    if (core.intent) {
        out->status.node_roles = ARENA_NEW(a, struct cib_node_role);
        out->status.node_roles->arn = ROLE;
        out->status.node_roles->intent.action = core.intent;
        out->status.nnode_roles = 1;
    }
    if (core.step && !out->nreads)
        out->steps[out->nsteps++] = (struct step){.effect = core.step,
                                                  .line = "+ something",
                                                  .gate = core.gate,
                                                  .why = "because",
                                                  .event_reason = core.event_reason,
                                                  .event_note = "note",
                                                  .external = core.external};
    if (core.note)
        out->notes[out->nnotes++] = (struct event_note){.warning = true, .reason = "Noted", .note = "n", .action = "A"};
    out->requeue_after_ms = core.requeue_ms;
}

static bool collect(void *arg, const char *name, struct arena *a, struct world *w, void **hold) {
    struct error err;
    (void)arg;
    (void)a;
    if (!world.object[0])
        return false;
    json *j = json_parse(world.object, strlen(world.object), &err);
    assert_non_null(j);
    struct cib_binding *b = cib_decode(j, &err);
    json_free(j);
    assert_string_equal(b->name, name);
    w->binding = b;
    *hold = b;
    world.holds++;
    return true;
}

static void release(void *arg, void *hold) {
    (void)arg;
    cib_free(hold);
    world.holds--;
}

static void wrote(void *arg, const char *name, const char *resource, const char *rv) {
    size_t n = strlen(world.wrote);
    (void)arg;
    (void)name;
    snprintf(world.wrote + n, sizeof world.wrote - n, "%s@%s ", resource, rv);
}

static bool is_ready(void *arg, const char *name) {
    (void)arg;
    (void)name;
    return world.ready;
}

static bool may_write(void *arg) {
    (void)arg;
    return world.may_write;
}

static int64_t epoch(void *arg) {
    (void)arg;
    return world.epoch;
}

static void event(void *arg, const struct cib_binding *about, bool warning, const char *reason, const char *action,
                  const char *note) {
    size_t n = strlen(world.events);
    (void)arg;
    (void)note;
    (void)action;
    snprintf(world.events + n, sizeof world.events - n, "%s:%s:%d ", about->name, reason, warning);
}

static int64_t intent_open(void *ctx, const struct store_intent *intent) {
    (void)ctx;
    assert_string_equal(intent->binding_uid, "uid-1");
    assert_int_equal(intent->epoch, world.epoch);
    assert_int_equal(strlen(intent->digest), 64);
    /* before the call is sent */
    assert_int_equal(ports_count(&ports, EFFECT_IAM_CREATE_ROLE) + ports_count(&ports, EFFECT_IAM_DETACH_ROLE_POLICY) +
                         ports_count(&ports, EFFECT_IAM_ATTACH_ROLE_POLICY),
                     world.intents_open);
    return ++world.intents_open;
}

static void intent_close(void *ctx, int64_t id, const char *outcome) {
    (void)ctx;
    assert_int_equal(id, world.intents_open);
    world.intents_closed++;
    str_copy(world.outcome, sizeof world.outcome, outcome);
}

static void audit(void *ctx, const struct store_audit *entry) {
    (void)ctx;
    world.audits++;
    str_copy(world.detail, sizeof world.detail, entry->detail);
}

static void observation_put(void *ctx, const char *key, int64_t wall_ms, const char *digest, const char *json_text) {
    (void)ctx;
    (void)key;
    (void)wall_ms;
    (void)digest;
    (void)json_text;
    world.observations++;
}

static const struct store store = {
    .intent_open = intent_open, .intent_close = intent_close, .audit = audit, .observation_put = observation_put};

static void set_binding(const char *mode, const char *rv, const char *status) {
    snprintf(world.object, sizeof world.object,
             "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"b\","
             "\"uid\":\"uid-1\",\"resourceVersion\":\"%s\",\"generation\":1,"
             "\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"spec\":{\"mode\":\"%s\"}%s%s}",
             rv, mode, status ? ",\"status\":" : "", str_or(status, ""));
}

static void on_wake(void *arg) {
    (void)arg;
    if (!world.stopping)
        driver_wake(driver);
}

static void ignore_line(void *ctx, const char *line, size_t len) {
    (void)ctx;
    (void)line;
    (void)len;
}

static int setup(void **state) {
    (void)state;
    log_set_sink(ignore_line, NULL);
    memset(&core, 0, sizeof core);
    memset(&world, 0, sizeof world);
    ports_init(&ports);
    core.gate = "G2";
    core.requeue_ms = 60000;
    world.ready = world.may_write = true;
    world.epoch = 5;
    set_binding("Enforce", "10", NULL);
    config = (struct operator_config){.aws_audit_interval_ms = 300000, .role_path = "/"};
    queue = work_queue_new(ports_clock(&ports), on_wake, NULL);
    struct driver_options o = {.effector = ports_effector(&ports),
                               .clock = ports_clock(&ports),
                               .store = &store,
                               .queue = queue,
                               .config = &config,
                               .decide = core_decide,
                               .collect = collect,
                               .release = release,
                               .wrote = wrote,
                               .ready = is_ready,
                               .may_write = may_write,
                               .epoch = epoch,
                               .event = event};
    driver = driver_new(&o);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    driver_free(driver);
    work_queue_free(queue);
    assert_int_equal(world.holds, 0);
    assert_int_equal(ports_open(&ports), 0);
    assert_int_equal(ports.ntimers, 0);
    ports_done(&ports);
    log_set_sink(NULL, NULL);
    return 0;
}

static void turn(void) {
    ports_advance(&ports, 0);
}

static void add(void) {
    work_queue_add(queue, "b");
    turn();
}

static struct driver_stats stats(void) {
    struct driver_stats s;
    driver_stats(driver, &s);
    return s;
}

static const struct effect *read_role(const char *name) {
    return effect_new(ports.arena, EFFECT_IAM_GET_ROLE, "RoleName", name, NULL);
}

static const struct effect *create_role(void) {
    return effect_new(ports.arena, EFFECT_IAM_CREATE_ROLE, "RoleName", "cni", NULL);
}

static const struct effect *detach(void) {
    return effect_new(ports.arena, EFFECT_IAM_DETACH_ROLE_POLICY, "RoleName", "node", "PolicyArn", "arn:p", NULL);
}

static const struct effect *delete_pod(void) {
    return effect_new(ports.arena, EFFECT_K8S_DELETE, "resource", "pods", "namespace", "kube-system", "name", "p",
                      "uid", "u", "resourceVersion", "1", NULL);
}

static void plan(const struct effect *step, bool external) {
    core.step = step;
    core.external = external;
}

static void expect_next(enum effect_kind kind) {
    assert_int_equal(ports_oldest(&ports)->effect->kind, kind);
}

static void accept(void) {
    ports_answer(&ports, ports_oldest(&ports), "{\"metadata\":{\"resourceVersion\":\"11\"}}");
}

static void refuse(enum err_code code) {
    ports_fail(&ports, ports_oldest(&ports), code, "refused");
}

/* --- reads --- */

static void test_reads_are_done_before_the_decision_counts(void **state) {
    (void)state;
    core.reads[0] = read_role("a");
    core.reads[1] = read_role("b");
    core.nreads = 2;
    add();
    assert_int_equal(ports_open(&ports), 2); /* beside each other */
    assert_int_equal(core.calls, 1);
    ports_answer(&ports, ports_oldest(&ports), "{\"Role\":{}}");
    assert_int_equal(core.calls, 1);
    refuse(ERR_FORBIDDEN); /* a failure is an answer too */
    assert_int_equal(core.calls, 2);
    assert_true(driver_idle(driver));
    assert_int_equal(world.observations, 1);
    assert_int_equal(stats().reads, 2);
    assert_int_equal(stats().quiet, 1);
    ports_advance(&ports, 60000); /* requeue_after */
    assert_int_equal(core.calls, 3);
}

static void test_only_so_many_reads_at_once(void **state) {
    (void)state;
    char name[16];
    for (core.nreads = 0; core.nreads < 100; core.nreads++) {
        snprintf(name, sizeof name, "r%zu", core.nreads);
        core.reads[core.nreads] = read_role(name);
    }
    add();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ports_open(&ports), i <= 100 - DRIVER_READS_UNDERWAY ? DRIVER_READS_UNDERWAY : 100 - i);
        ports_answer(&ports, ports_oldest(&ports), "{}");
    }
    assert_int_equal(core.calls, 2);
    assert_true(driver_idle(driver));
}

static void test_reads_that_do_not_end_are_a_bug_and_not_a_loop(void **state) {
    (void)state;
    core.reads[0] = read_role("a");
    core.nreads = 1;
    core.reads_always = true;
    add();
    int rounds = 0;
    while (ports_open(&ports) && ++rounds < 1000)
        ports_answer(&ports, ports_oldest(&ports), "{}");
    assert_int_equal(rounds, RECONCILE_ROUNDS_MAX);
    assert_int_equal(stats().violations, 1);
    assert_int_equal(ports_count(&ports, EFFECT_K8S_APPLY_STATUS), 0);
    ports_advance(&ports, 499);
    assert_int_equal(ports_open(&ports), 0);
    ports_advance(&ports, 1); /* with backoff */
    assert_int_equal(ports_open(&ports), 1);
}

static void test_a_change_ends_a_long_wait_for_reads(void **state) {
    (void)state;
    core.reads[0] = read_role("a");
    core.nreads = 1;
    add();
    ports_advance(&ports, DRIVER_READ_PATIENCE_MS - 1);
    driver_nudge(driver);
    assert_int_equal(ports.cancelled, 0);
    ports_advance(&ports, 1);
    driver_nudge(driver);
    assert_int_equal(ports.cancelled, 1);
    turn();
    assert_int_equal(core.calls, 2); /* decides anew, with what changed */
    ports_answer(&ports, ports_oldest(&ports), "{}");
    driver_nudge(NULL);
}

static void test_progress_is_kept_and_ends_with_the_binding(void **state) {
    (void)state;
    add();
    add();
    add();
    assert_int_equal(core.proofs, 2);
    world.object[0] = '\0';
    add();
    set_binding("Enforce", "11", NULL);
    add();
    assert_int_equal(core.proofs, 0);
}

/* --- status --- */

static void test_status_is_written_before_the_step(void **state) {
    (void)state;
    core.message = "first";
    plan(create_role(), true);
    add();
    struct ports_call *c = ports_oldest(&ports);
    expect_next(EFFECT_K8S_APPLY_STATUS);
    assert_string_equal(json_str(c->body, "metadata.uid"), "uid-1"); /* keeps it from being created */
    assert_string_equal(json_str(c->body, "metadata.resourceVersion"),
                        "10"); /* S3: an old picture does not write over a new one */
    assert_string_equal(effect_arg(c->effect, "force"), "true");
    assert_int_equal(world.intents_open, 0);
    accept();
    assert_string_equal(world.wrote, "cniiambindings@11 ");
    expect_next(EFFECT_IAM_CREATE_ROLE);
    assert_int_equal(world.intents_open, 1);
    accept();
    assert_int_equal(world.intents_closed, 1);
    assert_string_equal(world.outcome, "ok");
    assert_int_equal(world.audits, 1);
}

static void test_equal_status_is_not_written(void **state) {
    (void)state;
    set_binding("Enforce", "10",
                "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\"Testing\",\"message\":\"m\","
                "\"observedGeneration\":0,\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}");
    core.message = "m";
    for (int i = 0; i < 50; i++)
        add();
    assert_int_equal(core.calls, 50);
    assert_int_equal(ports.ncalls, 0); /* S13 */
}

static void test_a_step_waits_for_a_status_that_was_not_written(void **state) {
    (void)state;
    core.message = "first";
    plan(create_role(), true);
    add();
    refuse(ERR_UNAVAILABLE);
    assert_int_equal(ports_count(&ports, EFFECT_IAM_CREATE_ROLE), 0);
    ports_advance(&ports, 500);
    refuse(ERR_INVALID); /* for good: still not */
    assert_int_equal(ports_count(&ports, EFFECT_IAM_CREATE_ROLE), 0);
    ports_advance(&ports, 1000);
    assert_int_equal(ports_count(&ports, EFFECT_K8S_APPLY_STATUS), 3);
}

/* L3: while nothing may be done nothing is late; the first pass that is not held up ends that, with a status to write or without. */
static void test_the_core_is_told_of_a_refused_status(void **state) {
    (void)state;
    core.message = "first";
    add();
    refuse(ERR_UNAVAILABLE);
    ports_advance(&ports, 500);
    assert_true(core.status_refused);
    refuse(ERR_CONFLICT); /* overtaken is not refused */
    ports_advance(&ports, 1000);
    assert_false(core.status_refused);
    refuse(ERR_FORBIDDEN);
    core.message = NULL; /* as the server has it */
    ports_advance(&ports, 60000);
    assert_true(core.status_refused);
    assert_int_equal(ports_open(&ports), 0);
    add();
    assert_false(core.status_refused);
}

/* A bug in the status must not cost permissions: what gives back goes on. */
static void test_the_guard_gives_back_even_when_the_status_is_refused(void **state) {
    (void)state;
    core.message = "refused";
    core.gate = "G8";
    plan(effect_new(ports.arena, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "node", NULL), true);
    add();
    refuse(ERR_INVALID);
    expect_next(EFFECT_IAM_ATTACH_ROLE_POLICY);
    accept();
    turn();
    refuse(ERR_NOT_FOUND); /* nobody's guard any more */
    assert_int_equal(ports_open(&ports), 0);
    ports_advance(&ports, 500);
    refuse(ERR_UNAVAILABLE); /* passes: the next try comes soon */
    assert_int_equal(ports_open(&ports), 0);
    ports_advance(&ports, 1000);
    refuse(ERR_CONFLICT); /* a watch that lags does not show what a status would have to name */
    expect_next(EFFECT_IAM_ATTACH_ROLE_POLICY);
    accept();
    turn();
    plan(detach(), true); /* takes away: never */
    refuse(ERR_CONFLICT);
    ports_advance(&ports, 1000);
    refuse(ERR_INVALID);
    assert_int_equal(ports_open(&ports), 0);
}

/* Pods that have nothing but their own role wait for no sentence about it. */
static void test_a_repair_goes_on_when_the_status_is_refused_and_a_policy_is_off(void **state) {
    (void)state;
    set_binding("Enforce", "10",
                "{\"nodeRoles\":[{\"arn\":\"" ROLE "\",\"detached\":[\"arn:aws:iam::aws:policy/p\"]}]}");
    core.message = "refused";
    plan(create_role(), true);
    add();
    refuse(ERR_UNAVAILABLE); /* passes */
    assert_int_equal(ports_open(&ports), 0);
    ports_advance(&ports, 500);
    refuse(ERR_FORBIDDEN);
    expect_next(EFFECT_IAM_CREATE_ROLE);
    accept();
    turn();
    plan(effect_new(ports.arena, EFFECT_K8S_APPLY, "resource", "daemonsets", NULL), false); /* repairs nothing */
    refuse(ERR_FORBIDDEN);
    ports_advance(&ports, 1000);
    refuse(ERR_FORBIDDEN);
    assert_int_equal(ports_open(&ports), 0);
    plan(detach(), true);
    ports_advance(&ports, 2000);
    refuse(ERR_FORBIDDEN);
    assert_int_equal(ports_open(&ports), 0);
}

/* --- compare-and-swap --- */

static void test_a_detachment_follows_a_swap_of_the_status_that_was_seen(void **state) {
    (void)state;
    core.intent = "Detach";
    plan(detach(), true);
    add();
    expect_next(EFFECT_K8S_APPLY_STATUS);
    assert_string_equal(json_str(ports_oldest(&ports)->body, "metadata.resourceVersion"), "10");
    refuse(ERR_CONFLICT); /* somebody else wrote: a later leader, a changed spec, an annotation */
    assert_int_equal(ports_count(&ports, EFFECT_IAM_DETACH_ROLE_POLICY), 0);
    assert_int_equal(core.calls, 1);
    ports_advance(&ports, 500);
    assert_int_equal(core.calls, 2); /* decides anew */
    accept();
    expect_next(EFFECT_IAM_DETACH_ROLE_POLICY);
    accept();
}

/* S6b: also when its text says so already, because the first try failed. */
static void test_every_detachment_follows_a_swap_of_its_own(void **state) {
    (void)state;
    plan(detach(), true);
    add();
    accept();
    refuse(ERR_THROTTLED);
    ports_advance(&ports, 500);
    expect_next(EFFECT_K8S_APPLY_STATUS);
    assert_string_equal(json_str(ports_oldest(&ports)->body, "metadata.resourceVersion"), "10");
}

static void test_other_destructive_steps_swap_when_the_status_differs(void **state) {
    (void)state;
    plan(delete_pod(), false);
    add();
    expect_next(EFFECT_K8S_DELETE); /* has preconditions of its own */
    accept();
    assert_string_equal(world.wrote, "pods@11 ");
    core.message = "differs";
    turn();
    assert_string_equal(json_str(ports_oldest(&ports)->body, "metadata.resourceVersion"), "10");
}

static const struct effect *patch_finalizer(void) {
    struct effect *e = effect_new(ports.arena, EFFECT_K8S_JSON_PATCH, "resource", "cniiambindings", "name", "b", NULL);
    e->body = "[]";
    return e;
}

/* Its version would be changed by a status write; a failure is told all the same, once each time. */
static void test_a_patch_of_the_binding_goes_before_its_status(void **state) {
    (void)state;
    core.message = "differs";
    plan(patch_finalizer(), false);
    add();
    expect_next(EFFECT_K8S_JSON_PATCH);
    refuse(ERR_FORBIDDEN);
    ports_advance(&ports, 500);
    expect_next(EFFECT_K8S_APPLY_STATUS);
    accept();
    assert_int_equal(ports_open(&ports), 0); /* the patch carries the version from before */
    ports_advance(&ports, DRIVER_NOT_READY_MS);
    expect_next(EFFECT_K8S_JSON_PATCH);
    refuse(ERR_FORBIDDEN);
    ports_advance(&ports, 1000);
    expect_next(EFFECT_K8S_APPLY_STATUS);
}

/* --- steps --- */

static void test_a_step_is_told_and_followed_at_once(void **state) {
    (void)state;
    struct error err;
    core.event_reason = "RoleCreated";
    plan(create_role(), true);
    add();
    ports_answer(&ports, ports_oldest(&ports), "{\"Role\":{\"RoleName\":\"cni\"}}");
    assert_string_equal(world.events, "b:RoleCreated:0 ");
    assert_true(driver_idle(driver));
    plan(NULL, false);
    turn();
    assert_int_equal(core.calls, 2);
    assert_int_equal(stats().steps, 1);
    assert_int_equal(stats().acted, 1);
    json *detail = json_parse(world.detail, strlen(world.detail), &err);
    assert_non_null(detail);
    assert_string_equal(json_str(detail, "bindingRV"), "10");
    assert_string_equal(json_str(detail, "gate"), "G2");
    assert_true(str_has_prefix(json_str(detail, "gates"), "G1=Pending G2="));
    json_free(detail);
}

static void test_failures_go_back_into_the_core(void **state) {
    (void)state;
    static const int64_t waits[] = {500, 1000, 2000};
    plan(create_role(), true);
    add();
    for (int i = 0; i < 3; i++) {
        refuse(ERR_FORBIDDEN);
        assert_string_equal(world.outcome, "Forbidden");
        assert_string_equal(world.events, "");
        ports_advance(&ports, waits[i] - 1);
        assert_int_equal(ports_open(&ports), 0);
        ports_advance(&ports, 1);
        assert_int_equal(core.last_failures, i + 1);
        assert_int_equal(core.last_code, ERR_FORBIDDEN);
        assert_non_null(strstr(core.last_effect, "CreateRole"));
    }
    refuse(ERR_THROTTLED); /* another failure counts anew */
    ports_advance(&ports, 4000);
    assert_int_equal(core.last_failures, 1);
    accept();
    plan(NULL, false);
    turn();
    assert_null(core.last_effect);
    assert_int_equal(core.last_failures, 0);
}

static void test_a_step_that_is_not_needed_any_more_ends_its_failures(void **state) {
    (void)state;
    plan(create_role(), true);
    add();
    refuse(ERR_FORBIDDEN);
    plan(NULL, false);
    ports_advance(&ports, 500);
    assert_non_null(core.last_effect);
    add();
    assert_null(core.last_effect);
}

static void refuse_for(int retry_after_ms) {
    struct ports_call *c = ports_oldest(&ports);
    struct effect_result r = {.request_id = ""};
    error_set(&r.error, ERR_THROTTLED, "slow down");
    r.error.retry_after_ms = retry_after_ms;
    c->open = false;
    c->done(c->arg, &r);
}

static void test_a_server_may_say_when_to_come_back(void **state) {
    (void)state;
    plan(create_role(), true);
    add();
    refuse_for(7000);
    ports_advance(&ports, 6999);
    assert_int_equal(ports_open(&ports), 0);
    ports_advance(&ports, 1);
    assert_int_equal(ports_open(&ports), 1);
}

static void test_news_do_not_make_it_come_back_earlier(void **state) {
    (void)state;
    plan(create_role(), true);
    add();
    refuse_for(7000);
    ports_advance(&ports, 1000);
    work_queue_add(queue, "b");
    ports_advance(&ports, 100);
    assert_int_equal(ports_count(&ports, EFFECT_IAM_CREATE_ROLE), 1);
    plan(delete_pod(), false); /* another step need not wait */
    work_queue_add(queue, "b");
    ports_advance(&ports, 100);
    assert_int_equal(ports_count(&ports, EFFECT_K8S_DELETE), 1);
}

static void test_news_do_not_make_the_status_come_back_earlier(void **state) {
    (void)state;
    core.message = "first";
    plan(create_role(), true);
    add();
    refuse_for(7000);
    for (int i = 0; i < 6; i++) {
        ports_advance(&ports, 1000);
        core.message = i % 2 ? "first" : "another";
        work_queue_add(queue, "b");
        ports_advance(&ports, 100);
    }
    assert_int_equal(ports.ncalls, 1);
    ports_advance(&ports, 400);
    assert_int_equal(ports_count(&ports, EFFECT_K8S_APPLY_STATUS), 2);
    accept();
    expect_next(EFFECT_IAM_CREATE_ROLE);
    accept();
}

/* S1': a status that has to wait for a minute is no reason to leave pods without permissions for a minute. */
static void test_the_guard_does_not_wait_until_a_status_is_welcome(void **state) {
    (void)state;
    core.message = "fired";
    core.gate = "G8";
    plan(effect_new(ports.arena, EFFECT_IAM_ATTACH_ROLE_POLICY, "RoleName", "node", NULL), true);
    add();
    refuse_for(60000);
    expect_next(EFFECT_IAM_ATTACH_ROLE_POLICY);
    accept();
    turn();
    expect_next(EFFECT_IAM_ATTACH_ROLE_POLICY); /* of another node role, say */
    plan(detach(), true);
    accept();
    ports_advance(&ports, 50000);
    assert_int_equal(ports_open(&ports), 0); /* what takes away waits for its announcement */
    ports_advance(&ports, 10000);
    expect_next(EFFECT_K8S_APPLY_STATUS);
    accept();
    expect_next(EFFECT_IAM_DETACH_ROLE_POLICY);
    accept();
}

static void test_notes_become_events(void **state) {
    (void)state;
    core.note = true;
    add();
    assert_string_equal(world.events, "b:Noted:1 ");
}

/* --- when nothing may be written --- */

static void test_without_a_fresh_lease_nothing_is_written(void **state) {
    (void)state;
    world.may_write = false;
    core.message = "differs";
    plan(create_role(), true);
    add();
    assert_int_equal(ports.ncalls, 0);
    ports_advance(&ports, 10 * DRIVER_FENCED_MS);
    assert_int_equal(ports.ncalls, 0);
    assert_in_range(core.calls, 10, 12); /* goes on looking, without haste */
    assert_int_equal(stats().fenced, core.calls);
    world.may_write = true;
    ports_advance(&ports, DRIVER_FENCED_MS); /* and is not slowed by what was no failure */
    assert_int_equal(ports_open(&ports), 1);
    world.may_write = false;
    accept();
    assert_int_equal(ports_open(&ports), 0); /* asked again before the step */
    assert_int_equal(world.intents_open, 0);
}

/* The clients ask once more, directly before they send. */
static void test_a_call_that_was_not_sent_is_no_failure(void **state) {
    (void)state;
    plan(create_role(), true);
    add();
    refuse(ERR_CANCELLED);
    assert_int_equal(world.intents_closed, 1);
    ports_advance(&ports, DRIVER_FENCED_MS);
    assert_int_equal(core.last_failures, 0);
    assert_null(core.last_effect);
    assert_int_equal(ports_open(&ports), 1);
    core.message = "differs";
    refuse(ERR_CANCELLED);
    ports_advance(&ports, DRIVER_FENCED_MS);
    refuse(ERR_CANCELLED);
    ports_advance(&ports, DRIVER_FENCED_MS);
    expect_next(EFFECT_K8S_APPLY_STATUS);
}

static void test_modes_that_write_nothing_write_nothing(void **state) {
    (void)state;
    static const char *const modes[] = {"Plan", "Observe"};
    core.message = "differs";
    for (int i = 0; i < 2; i++) {
        set_binding(modes[i], "10", NULL);
        plan(create_role(), true); /* a core that broke its promise */
        add();
        accept();
        assert_int_equal(ports_open(&ports), 0);
        plan(delete_pod(), false);
        ports_advance(&ports, 30000);
        while (ports_open(&ports))
            accept();
    }
    assert_int_equal(ports_count(&ports, EFFECT_K8S_APPLY_STATUS), ports.ncalls);
    plan(patch_finalizer(), false); /* letting go of our own object */
    ports_advance(&ports, 30000);
    assert_int_equal(ports_last(&ports)->effect->kind, EFFECT_K8S_JSON_PATCH);
}

static void test_our_own_write_is_seen_before_the_next_decision(void **state) {
    (void)state;
    world.ready = false;
    add();
    assert_int_equal(core.calls, 0);
    ports_advance(&ports, 10 * DRIVER_NOT_READY_MS);
    assert_int_equal(core.calls, 0);
    assert_in_range(stats().stale_skips, 10, 12);
    world.ready = true;
    add(); /* its event */
    assert_int_equal(core.calls, 1);
}

static void test_no_pass_beside_another(void **state) {
    (void)state;
    core.reads[0] = read_role("a");
    core.nreads = 1;
    add();
    add();
    add();
    assert_int_equal(ports_open(&ports), 1);
    core.nreads = 0;
    ports_answer(&ports, ports_oldest(&ports), "{}");
    turn();
    assert_int_equal(core.calls, 3); /* what came meanwhile: one more pass */
}

/* --- S6c --- */

static void test_unknown_outcomes_are_watched_closely_for_a_while(void **state) {
    (void)state;
    plan(create_role(), true);
    add();
    assert_int_equal(core.audit_ms, 300000);
    refuse(ERR_FORBIDDEN); /* surely not done */
    plan(NULL, false);
    ports_advance(&ports, 500);
    assert_int_equal(core.audit_ms, 300000);
    plan(create_role(), true);
    add();
    refuse(ERR_TIMEOUT);
    plan(NULL, false);
    ports_advance(&ports, 1000);
    assert_int_equal(core.audit_ms, DRIVER_UNSETTLED_AUDIT_MS);
    ports_advance(&ports, DRIVER_UNSETTLED_MS);
    add();
    assert_int_equal(core.audit_ms, 300000);
    driver_unsettled(driver); /* an intent of an earlier run */
    add();
    assert_int_equal(core.audit_ms, DRIVER_UNSETTLED_AUDIT_MS);
    config.aws_audit_interval_ms = 3000; /* shorter than that already */
    add();
    assert_int_equal(core.audit_ms, 3000);
}

static void test_intents_of_earlier_epochs_are_watched_closely(void **state) {
    (void)state;
    static const struct {
        const char *epoch, *at;
        int64_t audit_ms;
    } rows[] = {
        {"4", "2026-01-02T02:50:00Z", DRIVER_UNSETTLED_AUDIT_MS},
        {"4", "2026-01-02T02:40:00Z", 300000}, /* its signature is too old to be taken */
        {"5", "2026-01-02T02:50:00Z", 300000}, /* our own */
    };
    char text[512];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(text, sizeof text,
                 "{\"nodeRoles\":[{\"arn\":\"%s\",\"name\":\"node\",\"mayDetach\":true,\"intent\":{\"action\":"
                 "\"Detach\",\"policyARN\":\"arn:p\",\"digest\":\"d\",\"epoch\":%s,\"at\":\"%s\"}}]}",
                 ROLE, rows[i].epoch, rows[i].at);
        set_binding("Enforce", "10", text);
        add();
        assert_int_equal(core.audit_ms, rows[i].audit_ms);
    }
    assert_int_equal(stats().intents_open, 1);
}

/* --- the end --- */

static void test_pausing_gives_up_reads_and_lets_a_write_end(void **state) {
    (void)state;
    core.reads[0] = read_role("a");
    core.nreads = 1;
    add();
    world.stopping = true;
    driver_pause(driver);
    assert_true(driver_idle(driver));
    assert_int_equal(ports.cancelled, 1);
    ports_advance(&ports, 100000);
    assert_int_equal(core.calls, 1);
    core.nreads = 0;
    plan(create_role(), true);
    driver_wake(driver);
    turn();
    driver_pause(driver);
    assert_false(driver_idle(driver));
    accept();
    assert_true(driver_idle(driver));
    assert_int_equal(world.audits, 1); /* recorded as ever */
    ports_advance(&ports, 100000);
    assert_int_equal(ports_open(&ports), 0);
}

static void test_freed_in_the_middle_of_a_read(void **state) {
    (void)state;
    core.reads[0] = read_role("a");
    core.nreads = 1;
    add();
}

static void test_freed_in_the_middle_of_a_status_write(void **state) {
    (void)state;
    core.message = "m";
    add();
    assert_int_equal(ports_open(&ports), 1);
}

static void test_freed_in_the_middle_of_a_step(void **state) {
    (void)state;
    plan(create_role(), true);
    add();
    assert_int_equal(world.intents_open, 1);
    assert_int_equal(world.intents_closed, 0); /* stays open: the next run reads before it writes */
}

static bool collect_any(void *arg, const char *name, struct arena *a, struct world *w, void **hold) {
    static struct cib_binding one;
    (void)arg;
    (void)a;
    one.name = one.uid = one.resource_version = name;
    w->binding = &one;
    *hold = NULL;
    return true;
}

static void test_too_many_bindings_wait(void **state) {
    (void)state;
    struct driver_options o = {.effector = ports_effector(&ports),
                               .clock = ports_clock(&ports),
                               .queue = queue,
                               .config = &config,
                               .decide = core_decide,
                               .collect = collect_any,
                               .release = release,
                               .epoch = epoch,
                               .event = event};
    char name[16];
    driver_free(driver);
    driver = driver_new(&o);
    core.requeue_ms = 0;
    for (int i = 0; i < DRIVER_BINDINGS_MAX + 20; i++) {
        snprintf(name, sizeof name, "b%d", i);
        work_queue_add(queue, name);
    }
    for (int i = 0; i < 2 * DRIVER_BINDINGS_MAX; i++)
        turn();
    assert_int_equal(core.calls, DRIVER_BINDINGS_MAX);
    assert_int_equal(stats().put_off, 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_reads_are_done_before_the_decision_counts),
        TEST(test_only_so_many_reads_at_once),
        TEST(test_reads_that_do_not_end_are_a_bug_and_not_a_loop),
        TEST(test_a_change_ends_a_long_wait_for_reads),
        TEST(test_progress_is_kept_and_ends_with_the_binding),
        TEST(test_status_is_written_before_the_step),
        TEST(test_equal_status_is_not_written),
        TEST(test_a_step_waits_for_a_status_that_was_not_written),
        TEST(test_the_core_is_told_of_a_refused_status),
        TEST(test_the_guard_gives_back_even_when_the_status_is_refused),
        TEST(test_a_repair_goes_on_when_the_status_is_refused_and_a_policy_is_off),
        TEST(test_a_detachment_follows_a_swap_of_the_status_that_was_seen),
        TEST(test_every_detachment_follows_a_swap_of_its_own),
        TEST(test_other_destructive_steps_swap_when_the_status_differs),
        TEST(test_a_patch_of_the_binding_goes_before_its_status),
        TEST(test_a_step_is_told_and_followed_at_once),
        TEST(test_failures_go_back_into_the_core),
        TEST(test_a_step_that_is_not_needed_any_more_ends_its_failures),
        TEST(test_a_server_may_say_when_to_come_back),
        TEST(test_news_do_not_make_it_come_back_earlier),
        TEST(test_news_do_not_make_the_status_come_back_earlier),
        TEST(test_the_guard_does_not_wait_until_a_status_is_welcome),
        TEST(test_notes_become_events),
        TEST(test_without_a_fresh_lease_nothing_is_written),
        TEST(test_a_call_that_was_not_sent_is_no_failure),
        TEST(test_modes_that_write_nothing_write_nothing),
        TEST(test_our_own_write_is_seen_before_the_next_decision),
        TEST(test_no_pass_beside_another),
        TEST(test_unknown_outcomes_are_watched_closely_for_a_while),
        TEST(test_intents_of_earlier_epochs_are_watched_closely),
        TEST(test_pausing_gives_up_reads_and_lets_a_write_end),
        TEST(test_freed_in_the_middle_of_a_read),
        TEST(test_freed_in_the_middle_of_a_status_write),
        TEST(test_freed_in_the_middle_of_a_step),
        TEST(test_too_many_bindings_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
