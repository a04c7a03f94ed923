/* preflight.c: which permissions are asked for, and what is told about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "controller/preflight.h"
#include "platform/base/str.h"
#include "support_ports.h"

static struct ports ports;
static struct preflight *preflight;
static struct buf text;

static int setup(void **state) {
    (void)state;
    ports_init(&ports);
    buf_init(&text, 65536);
    preflight = preflight_new(ports_effector(&ports), ports_clock(&ports), "ops", "cni-iam");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    preflight_free(preflight);
    assert_int_equal(ports_open(&ports), 0);
    assert_int_equal(ports.ntimers, 0);
    buf_done(&text);
    ports_done(&ports);
    return 0;
}

/* Answers all; `denied` is a verb that is not allowed for `resource`. */
static int round_of_answers(const char *denied, const char *resource) {
    int n = 0;
    while (ports_open(&ports)) {
        struct ports_call *c = ports_oldest(&ports);
        assert_int_equal(ports_open(&ports), 1); /* one after the other */
        assert_int_equal(c->effect->kind, EFFECT_K8S_ACCESS_REVIEW);
        bool no = str_eq(effect_arg(c->effect, "verb"), denied) && str_eq(effect_arg(c->effect, "resource"), resource);
        ports_answer(&ports, c, no ? "{\"allowed\":false}" : "{\"allowed\":true}");
        n++;
    }
    return n;
}

static void test_all_allowed(void **state) {
    (void)state;
    assert_int_equal(preflight_report(preflight, &text), 0); /* not known yet */
    preflight_start(preflight);
    preflight_start(preflight); /* once */
    assert_int_equal(round_of_answers(NULL, NULL), 25);
    assert_int_equal(preflight_report(preflight, &text), 0);
    assert_int_equal(ports.ntimers, 0); /* never again */
    bool token = false, lease = false;
    for (int i = 0; i < ports.ncalls; i++) {
        const struct effect *e = ports.calls[i].effect;
        token |= str_eq(effect_arg(e, "subresource"), "token") && str_eq(effect_arg(e, "name"), "aws-node");
        lease |= str_eq(effect_arg(e, "resource"), "leases") && str_eq(effect_arg(e, "namespace"), "ops") &&
                 str_eq(effect_arg(e, "name"), "cni-iam") && str_eq(effect_arg(e, "verb"), "update");
    }
    assert_true(token && lease);
}

static void test_what_is_missing_is_told_and_asked_again(void **state) {
    (void)state;
    preflight_start(preflight);
    round_of_answers("delete", "pods");
    assert_int_equal(preflight_report(preflight, &text), 1);
    assert_string_equal(
        buf_str(&text),
        "missing permission: delete pods in kube-system; grant it with: kubectl apply -k manifests/base\n");
    ports_advance(&ports, PREFLIGHT_RETRY_MS);
    assert_int_equal(preflight_report(preflight, &text), 1); /* until the round is over */
    round_of_answers(NULL, NULL);
    assert_int_equal(preflight_report(preflight, &text), 0);
    assert_int_equal(ports.ntimers, 0);
}

static void test_how_rights_are_written(void **state) {
    (void)state;
    preflight_start(preflight);
    round_of_answers("create", "serviceaccounts");
    ports_advance(&ports, PREFLIGHT_RETRY_MS);
    (void)preflight_report(preflight, &text);
    assert_non_null(strstr(buf_str(&text), ": create serviceaccounts/token aws-node in kube-system;"));
    round_of_answers("patch", "cniiambindings");
    (void)preflight_report(preflight, &text);
    assert_non_null(strstr(buf_str(&text), ": patch cniiambindings/status.cniiam.dev;"));
}

static void test_not_knowing_is_not_missing(void **state) {
    (void)state;
    preflight_start(preflight);
    while (ports_open(&ports))
        ports_fail(&ports, ports_oldest(&ports), ERR_FORBIDDEN, "no reviews here");
    assert_int_equal(preflight_report(preflight, &text), 0);
}

static void test_without_election_no_leases(void **state) {
    (void)state;
    preflight_free(preflight);
    preflight = preflight_new(ports_effector(&ports), ports_clock(&ports), NULL, NULL);
    preflight_start(preflight);
    assert_int_equal(round_of_answers("get", "leases"), 22);
    assert_int_equal(preflight_report(preflight, &text), 0);
}

static void test_freed_while_asking_and_while_waiting(void **state) {
    (void)state;
    preflight_start(preflight);
    preflight_free(preflight);
    assert_int_equal(ports.cancelled, 1);
    preflight = preflight_new(ports_effector(&ports), ports_clock(&ports), NULL, NULL);
    preflight_start(preflight);
    round_of_answers("list", "pods");
    assert_int_equal(ports.ntimers, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_missing_is_told_and_asked_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_how_rights_are_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_knowing_is_not_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_election_no_leases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed_while_asking_and_while_waiting, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
