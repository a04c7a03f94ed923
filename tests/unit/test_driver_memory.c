/* test_driver_memory.c - what the driver remembers of a binding, for whom, and how patient it is with slow reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "controller/driver.h"
#include "support_ports.h"

static struct ports ports;
static struct work_queue *queue;
static struct driver *driver;
static struct operator_config config = {.aws_audit_interval_ms = 60000};
static const char *uid;
static bool wants_read, wants_step;
static int64_t read_max_age_ms;
static int decisions, proofs_told, failures_told;

static void core_decide(const struct world *w, const struct progress *p, struct arena *a, struct decision *out) {
    const struct effect *read = effect_new(a, EFFECT_IAM_GET_ROLE, "RoleName", "cni", NULL);
    memset(out, 0, sizeof *out);
    out->status = w->binding->status;
    out->progress = *p;
    out->progress.proofs++;
    proofs_told = p->proofs;
    failures_told = w->last_failures;
    if (wants_read && !observations_get(w->observations, effect_key(read, a), w->now_boot_ms, read_max_age_ms)) {
        out->reads[out->nreads++] = read;
        return;
    }
    decisions++;
    if (wants_step)
        out->steps[out->nsteps++] = (struct step){.effect = effect_new(a, EFFECT_IAM_TAG_ROLE, "RoleName", "cni", NULL),
                                                  .line = "+ tag",
                                                  .gate = "G2",
                                                  .why = "because",
                                                  .external = true};
}

static bool collect(void *arg, const char *name, struct arena *a, struct world *w, void **hold) {
    struct error err;
    (void)arg;
    if (!uid)
        return false;
    const char *text = arena_printf(a,
                                    "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{"
                                    "\"name\":\"%s\",\"uid\":\"%s\",\"resourceVersion\":\"1\"},\"spec\":{}}",
                                    name, uid);
    json *j = json_parse(text, strlen(text), &err);
    *hold = cib_decode(j, &err);
    json_free(j);
    w->binding = *hold;
    return true;
}

static void release(void *arg, void *hold) {
    (void)arg;
    cib_free(hold);
}

static int64_t epoch(void *arg) {
    (void)arg;
    return 1;
}

static void event(void *arg, const struct cib_binding *about, bool warning, const char *reason, const char *action,
                  const char *note) {
    (void)arg;
    (void)about;
    (void)warning;
    (void)reason;
    (void)action;
    (void)note;
}

static void wake(void *arg) {
    (void)arg;
    driver_wake(driver);
}

static int setup(void **state) {
    read_max_age_ms = 0;
    (void)state;
    ports_init(&ports);
    uid = "uid-1";
    wants_read = wants_step = false;
    decisions = proofs_told = failures_told = 0;
    queue = work_queue_new(ports_clock(&ports), wake, NULL);
    struct driver_options o = {.effector = ports_effector(&ports),
                               .clock = ports_clock(&ports),
                               .queue = queue,
                               .config = &config,
                               .decide = core_decide,
                               .collect = collect,
                               .release = release,
                               .epoch = epoch,
                               .event = event};
    driver = driver_new(&o);
    driver_wake(driver);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    driver_free(driver);
    work_queue_free(queue);
    ports_done(&ports);
    return 0;
}

static void run(const char *name) {
    work_queue_add(queue, name);
    ports_advance(&ports, 0);
}

static void answer_status(void) {
    struct ports_call *c = ports_find(&ports, EFFECT_K8S_APPLY_STATUS);
    if (c)
        ports_answer(&ports, c, "{\"metadata\":{\"resourceVersion\":\"2\"}}");
}

static void test_a_binding_made_anew_begins_with_nothing(void **state) {
    (void)state;
    wants_step = true;
    run("a");
    answer_status();
    ports_fail(&ports, ports_find(&ports, EFFECT_IAM_TAG_ROLE), ERR_FORBIDDEN, "no");
    ports_advance(&ports, 1000);
    assert_int_equal(failures_told, 1);
    assert_int_equal(proofs_told, 1);
    answer_status();
    ports_fail(&ports, ports_find(&ports, EFFECT_IAM_TAG_ROLE), ERR_FORBIDDEN, "no");
    uid = "uid-2"; /* deleted and made anew between two looks */
    ports_advance(&ports, 2000);
    assert_int_equal(failures_told, 0);
    assert_int_equal(proofs_told, 0);
}

/* What AWS said a moment ago, to a binding that is gone, is no ground for the first write of another. */
static void test_a_binding_made_anew_asks_aws_anew(void **state) {
    (void)state;
    wants_read = true;
    read_max_age_ms = 60000;
    run("a");
    ports_answer(&ports, ports_find(&ports, EFFECT_IAM_GET_ROLE), "{}");
    assert_int_equal(decisions, 1);
    ports_advance(&ports, 1000);
    run("a");
    assert_int_equal(decisions, 2);
    ports_advance(&ports, 1000);
    uid = "uid-2";
    run("a");
    assert_int_equal(decisions, 2);
    assert_non_null(ports_find(&ports, EFFECT_IAM_GET_ROLE));
}

/* News every 100 ms for ever, and AWS needs ten seconds for each answer. */
static void test_news_without_end_do_not_starve_a_slow_read(void **state) {
    (void)state;
    wants_read = true;
    run("a");
    for (int i = 0; i < 1200 && decisions == 0; i++) {
        ports_advance(&ports, 100);
        work_queue_add(queue, "a");
        driver_nudge(driver);
        ports_advance(&ports, 0);
        struct ports_call *c = ports_find(&ports, EFFECT_IAM_GET_ROLE);
        if (c && ports.boot - c->at_boot_ms >= 10000)
            ports_answer(&ports, c, "{}");
    }
    assert_int_equal(decisions, 1);
    assert_int_equal(ports.cancelled, 2); /* after 3 s, after 6 s; then it was let be */
}

static void test_after_an_answer_patience_is_short_again(void **state) {
    (void)state;
    wants_read = true;
    run("a");
    ports_advance(&ports, DRIVER_READ_PATIENCE_MS);
    driver_nudge(driver);
    ports_advance(&ports, 0);
    assert_int_equal(ports.cancelled, 1);
    ports_answer(&ports, ports_find(&ports, EFFECT_IAM_GET_ROLE), "{}");
    assert_int_equal(decisions, 1);
    ports_advance(&ports, 1000);
    run("a");
    ports_advance(&ports, DRIVER_READ_PATIENCE_MS);
    driver_nudge(driver);
    assert_int_equal(ports.cancelled, 2);
}

static void test_a_gone_binding_makes_room(void **state) {
    (void)state;
    char name[32];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < DRIVER_BINDINGS_MAX; i++) {
            snprintf(name, sizeof name, "b-%d-%d", round, i);
            uid = "uid-1";
            run(name);
            assert_int_equal(decisions, round * DRIVER_BINDINGS_MAX + i + 1);
            uid = NULL;
            if (round == 0)
                run(name);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_binding_made_anew_begins_with_nothing),
        TEST(test_a_binding_made_anew_asks_aws_anew),
        TEST(test_news_without_end_do_not_starve_a_slow_read),
        TEST(test_after_an_answer_patience_is_short_again),
        TEST(test_a_gone_binding_makes_room),
    };
    return cmocka_run_group_tests_name("driver memory", tests, NULL, NULL);
}
