/* test_sim_kube_apply.c - server-side apply: who owns what, what conflicts, what goes when it is applied no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "support_sim_kube.h"

#include <cmocka.h>

#define SA "/api/v1/namespaces/kube-system/serviceaccounts/aws-node"
#define DS "/apis/apps/v1/namespaces/kube-system/daemonsets"
#define CIB "/apis/cniiam.dev/v1alpha1/cniiambindings"
#define MERGE "application/merge-patch+json"

static int setup(void **state) {
    *state = sim_test_open(true);
    return 0;
}

static int teardown(void **state) {
    sim_test_close(*state);
    return 0;
}

static const char *annotated(const char *annotations) {
    static char body[600];
    (void)snprintf(
        body, sizeof body,
        "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"aws-node\",\"annotations\":%s}}",
        annotations);
    return body;
}

static const json *stored(struct sim_test *t) {
    return sim_kube_get(t->kube, "serviceaccounts", "kube-system", "aws-node");
}

static const char *value(struct sim_test *t, const char *annotation) {
    return str_or(json_key_str(json_path(stored(t), "metadata.annotations"), annotation), "absent");
}

/* "op:Apply kubectl:Update": who owns the annotation, in the order of the entries. */
static const char *owners(struct sim_test *t, const char *annotation) {
    static char text[300];
    char field[100];
    size_t n = 0;
    text[0] = '\0';
    (void)snprintf(field, sizeof field, "f:%s", annotation);
    for (const json *it = json_first(json_array(stored(t), "metadata.managedFields")); it != NULL; it = it->next) {
        const json *set = json_get(json_get(json_get(it, "fieldsV1"), "f:metadata"), "f:annotations");
        if (json_get(set, field) != NULL) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s:%s", n > 0 ? " " : "", json_str(it, "manager"),
                                  json_str(it, "operation"));
        }
    }
    return text;
}

static void test_apply_creates_and_owns(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r1\"}")), 201);
    assert_string_equal(value(t, "role"), "r1");
    assert_string_equal(owners(t, "role"), "op:Apply");
    int64_t rv = sim_kube_resource_version(t->kube);
    sim_clock_advance(t->clock, 5000);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r1\"}")), 200);
    assert_int_equal(sim_kube_resource_version(t->kube), rv);
    assert_string_equal(json_str(json_first(json_array(stored(t), "metadata.managedFields")), "time"),
                        "2026-01-01T00:00:00Z");
}

static void test_same_value_is_shared(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r1\"}")), 201);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=eks", annotated("{\"role\":\"r1\"}")), 200);
    assert_string_equal(owners(t, "role"), "op:Apply eks:Apply");
    /* one of two owners leaves: the value stays */
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{}")), 200);
    assert_string_equal(value(t, "role"), "r1");
    assert_string_equal(owners(t, "role"), "eks:Apply");
    /* the last one leaves */
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=eks", annotated("{}")), 200);
    assert_string_equal(value(t, "role"), "absent");
}

static void test_conflict_and_force(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r1\",\"other\":\"o\"}")), 201);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=eks", annotated("{\"role\":\"r2\"}")), 409);
    assert_string_equal(sim_test_str(t, "reason"), "Conflict");
    assert_string_equal(sim_test_str(t, "message"),
                        "Apply failed with 1 conflict: conflict with \"op\": .metadata.annotations.role");
    const json *cause = json_first(json_array(t->body, "details.causes"));
    assert_string_equal(json_str(cause, "reason"), "FieldManagerConflict");
    assert_string_equal(json_str(cause, "field"), ".metadata.annotations.role");
    assert_string_equal(value(t, "role"), "r1");
    assert_string_equal(owners(t, "role"), "op:Apply");

    assert_int_equal(sim_test_apply(t, SA "?fieldManager=eks&force=true", annotated("{\"role\":\"r2\"}")), 200);
    assert_string_equal(value(t, "role"), "r2");
    assert_string_equal(owners(t, "role"), "eks:Apply");
    assert_string_equal(owners(t, "other"), "op:Apply");
    /* who lost it may not take it away by leaving it out */
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"other\":\"o\"}")), 200);
    assert_string_equal(value(t, "role"), "r2");
}

static void test_what_is_applied_no_more_goes(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/kube-system/serviceaccounts",
                                   "{\"metadata\":{\"name\":\"aws-node\",\"annotations\":{\"mine\":\"m\"}}}"),
                     201);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"a\":\"1\",\"b\":\"2\"}")), 200);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"b\":\"2\"}")), 200);
    assert_string_equal(value(t, "a"), "absent");
    assert_string_equal(value(t, "b"), "2");
    assert_string_equal(value(t, "mine"), "m");
    assert_int_equal(
        sim_test_apply(t, SA "?fieldManager=op",
                       "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"aws-node\"}}"),
        200);
    assert_string_equal(value(t, "b"), "absent");
    assert_string_equal(value(t, "mine"), "m");
    assert_string_equal(owners(t, "b"), "");
}

/* kubectl annotate --overwrite never conflicts, and takes the field silently. */
static void test_an_update_takes_ownership(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r1\"}")), 201);
    assert_int_equal(sim_test_do(t, "PATCH", SA "?fieldManager=kubectl-annotate", MERGE,
                                 "{\"metadata\":{\"annotations\":{\"role\":\"r2\"}}}"),
                     200);
    assert_string_equal(owners(t, "role"), "kubectl-annotate:Update");
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r1\"}")), 409);
    assert_string_equal(
        sim_test_str(t, "message"),
        "Apply failed with 1 conflict: conflict with \"kubectl-annotate\" using v1: .metadata.annotations.role");
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{}")), 200);
    assert_string_equal(value(t, "role"), "r2");
    /* the manager of a write without fieldManager is the user agent's name */
    assert_int_equal(sim_test_do(t, "PATCH", SA, MERGE, "{\"metadata\":{\"annotations\":{\"role\":\"r3\"}}}"), 200);
    assert_string_equal(owners(t, "role"), "tester:Update");
    assert_int_equal(sim_test_do(t, "PATCH", SA, MERGE, "{\"metadata\":{\"annotations\":{\"role\":null}}}"), 200);
    assert_string_equal(owners(t, "role"), "");
}

static void test_updating_and_applying_are_two_managers(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r1\"}")), 201);
    assert_int_equal(
        sim_test_do(t, "PATCH", SA "?fieldManager=op", MERGE, "{\"metadata\":{\"annotations\":{\"role\":\"r2\"}}}"),
        200);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r3\"}")), 409);
    assert_true(strstr(sim_test_str(t, "message"), "conflict with \"op\" using v1") != NULL);
}

#define NAMED(more) "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"aws-node\"" more "}}"

static void test_what_an_apply_may_not_say(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, SA, annotated("{}")), 422);
    assert_string_equal(sim_test_cause(t, "fieldManager"), "Required value: is required for apply patch");
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", "{\"metadata\":{\"name\":\"aws-node\"}}"), 400);
    assert_int_equal(
        sim_test_apply(t, SA "?fieldManager=op",
                       "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"other\"}}"),
        400);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\"}"),
                     400);
    assert_true(strstr(sim_test_str(t, "message"), "undeterminable") != NULL);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", NAMED(",\"managedFields\":[]")), 400);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", NAMED(",\"uid\":\"u\"")),
                     409); /* missing, and not to be made */
    assert_true(strstr(sim_test_str(t, "message"), "uid mismatch") != NULL);
    assert_null(stored(t));
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", NAMED(",\"resourceVersion\":\"5\"")),
                     201); /* the trap: it is created all the same */
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", NAMED(",\"resourceVersion\":\"5\"")),
                     409); /* stale, though nothing would change */
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", NAMED(",\"uid\":\"u\"")), 422);
    assert_int_equal(sim_test_do(t, "PATCH", SA "?force=true", MERGE, "{}"), 422);
}

static void test_dry_apply(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op&dryRun=All", annotated("{\"role\":\"r1\"}")), 201);
    assert_null(stored(t));
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op", annotated("{\"role\":\"r1\"}")), 201);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=eks&dryRun=All", annotated("{\"role\":\"r2\"}")), 409);
    assert_int_equal(sim_test_apply(t, SA "?fieldManager=op&dryRun=All", annotated("{\"role\":\"r2\"}")), 200);
    assert_string_equal(sim_test_str(t, "metadata.annotations.role"), "r2");
    assert_string_equal(value(t, "role"), "r1");
}

/* ---- lists by key ---- */

#define DS_HEAD "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"aws-node\"}"
#define SELECTOR "\"selector\":{\"matchLabels\":{\"k\":\"v\"}},"
#define WITH_CONTAINERS(selector, containers)                                                                          \
    DS_HEAD ",\"spec\":{" selector "\"template\":{\"metadata\":{\"labels\":{\"k\":\"v\"}},\"spec\":{"                  \
            "\"containers\":[" containers "]}}}}"

static const json *container(struct sim_test *t, const char *name) {
    const json *ds = sim_kube_get(t->kube, "daemonsets", "kube-system", "aws-node");
    const json *it = json_first(json_array(ds, "spec.template.spec.containers"));
    while (it != NULL && !str_eq(json_str(it, "name"), name)) {
        it = it->next;
    }
    return it;
}

static void test_containers_are_owned_one_by_one(void **state) {
    struct sim_test *t = *state;
    const char *body;
    body = WITH_CONTAINERS(SELECTOR,
                           "{\"name\":\"aws-node\",\"image\":\"i:1\",\"env\":[{\"name\":\"A\",\"value\":\"1\"}]}");
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=eks", body), 201);
    body = WITH_CONTAINERS(
        "", "{\"name\":\"aws-node\",\"env\":[{\"name\":\"B\",\"value\":\"2\"}]},{\"name\":\"agent\",\"image\":\"j\"}");
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=op", body), 200);
    assert_string_equal(json_str(container(t, "aws-node"), "image"), "i:1");
    assert_int_equal(json_array_size(json_array(container(t, "aws-node"), "env")), 2);
    assert_non_null(container(t, "agent"));

    body = WITH_CONTAINERS("", "{\"name\":\"aws-node\",\"image\":\"i:2\"}");
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=op", body), 409);
    assert_true(strstr(sim_test_str(t, "message"), ".spec.template.spec.containers[name=\"aws-node\"].image") != NULL);

    body = DS_HEAD "}";
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=op", body), 200);
    assert_null(container(t, "agent"));
    assert_int_equal(json_array_size(json_array(container(t, "aws-node"), "env")), 1);
    assert_string_equal(json_str(container(t, "aws-node"), "name"), "aws-node");
}

/* The restart key: an apply with nothing but a template annotation. */
static void test_restart_key(void **state) {
    struct sim_test *t = *state;
    const char *body;
    const char *key =
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"aws-node\"},\"spec\":{"
        "\"template\":{\"metadata\":{\"annotations\":{\"cniiam.dev/restarted-for\":\"r\"}}}}}";
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=op", key), 422);
    assert_null(sim_kube_get(t->kube, "daemonsets", "kube-system", "aws-node"));
    body = WITH_CONTAINERS(SELECTOR, "{\"name\":\"aws-node\",\"image\":\"i:1\"}");
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=eks", body), 201);
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=op", key), 200);
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 2);
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=op", key), 200);
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 2);
    assert_int_equal(sim_test_apply(t, DS "/aws-node?fieldManager=eks&force=true", body), 200);
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 2);
    const json *annotations = json_path(t->body, "spec.template.metadata.annotations");
    assert_string_equal(json_key_str(annotations, "cniiam.dev/restarted-for"), "r");
    assert_int_equal(
        sim_test_apply(t, DS "/aws-node?fieldManager=op",
                       "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"aws-node\"}}"),
        200);
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 3);
    assert_null(json_path(t->body, "spec.template.metadata.annotations"));
}

/* ---- status ---- */

#define CONDITION(type, status)                                                                                        \
    "{\"type\":\"" type "\",\"status\":\"" status                                                                      \
    "\",\"reason\":\"R\",\"message\":\"m\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}"
#define BINDING_HEAD "{\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\",\"metadata\":{\"name\":\"b\"},"

static void test_status_is_applied_alone(void **state) {
    struct sim_test *t = *state;
    const char *status =
        BINDING_HEAD "\"spec\":{\"mode\":\"Plan\"},\"status\":{\"conditions\":[" CONDITION("Ready", "False") "]}}";
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=op", status), 404);
    assert_int_equal(sim_test_post(t, CIB, "{\"metadata\":{\"name\":\"b\"},\"spec\":{},\"status\":{\"phase\":\"x\"}}"),
                     201);
    assert_null(json_get(t->body, "status"));
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=op", status), 200);
    assert_string_equal(sim_test_str(t, "spec.mode"), "Enforce");
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 1);
    assert_int_equal(json_array_size(json_array(t->body, "status.conditions")), 1);
    int64_t rv = sim_kube_resource_version(t->kube);
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=op", status), 200);
    assert_int_equal(sim_kube_resource_version(t->kube), rv);

    /* another one owns its own type */
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=other",
                                    BINDING_HEAD "\"status\":{\"conditions\":[" CONDITION("Seen", "True") "]}}"),
                     200);
    assert_int_equal(json_array_size(json_array(t->body, "status.conditions")), 2);
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=other",
                                    BINDING_HEAD "\"status\":{\"conditions\":[" CONDITION("Ready", "True") "]}}"),
                     409);
    assert_true(strstr(sim_test_str(t, "message"), ".status.conditions[type=\"Ready\"].status") != NULL);
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=op",
                                    BINDING_HEAD "\"status\":{\"conditions\":[" CONDITION(
                                        "Ready", "True") "," CONDITION("Ready", "False") "]}}"),
                     500);
    assert_true(strstr(sim_test_str(t, "message"), "duplicate entries for key") != NULL);
    /* what op applies no more goes, what the other has stays */
    assert_int_equal(sim_test_apply(t, CIB "/b/status?fieldManager=op", BINDING_HEAD "\"status\":{\"phase\":\"p\"}}"),
                     200);
    assert_int_equal(json_array_size(json_array(t->body, "status.conditions")), 1);
    assert_string_equal(sim_test_str(t, "status.phase"), "p");
    /* and a write to the object itself leaves the status alone */
    assert_int_equal(sim_test_apply(t, CIB "/b?fieldManager=op",
                                    BINDING_HEAD "\"spec\":{\"mode\":\"Observe\"},\"status\":{\"phase\":\"q\"}}"),
                     409);
    assert_int_equal(sim_test_apply(t, CIB "/b?fieldManager=op&force=true",
                                    BINDING_HEAD "\"spec\":{\"mode\":\"Observe\"},\"status\":{\"phase\":\"q\"}}"),
                     200);
    assert_string_equal(sim_test_str(t, "status.phase"), "p");
    assert_string_equal(sim_test_str(t, "spec.mode"), "Observe");
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 2);
}

static void test_undeclared_fields_are_refused(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, CIB "/b?fieldManager=op", BINDING_HEAD "\"spec\":{\"modus\":\"Plan\"}}"), 500);
    assert_true(strstr(sim_test_str(t, "message"), ".spec.modus: field not declared in schema") != NULL);
    assert_null(sim_kube_get(t->kube, "cniiambindings", NULL, "b"));
}

/* Nobody owns the defaults of what was applied; of what was posted, the one who posted it. */
static void test_ownership_of_defaults(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_apply(t, CIB "/b?fieldManager=op", BINDING_HEAD "\"spec\":{}}"), 201);
    const json *entry = json_first(json_array(t->body, "metadata.managedFields"));
    assert_null(json_get(json_get(json_get(entry, "fieldsV1"), "f:spec"), "f:mode"));
    assert_int_equal(sim_test_apply(t, CIB "/b?fieldManager=other", BINDING_HEAD "\"spec\":{\"mode\":\"Plan\"}}"), 200);
    assert_int_equal(sim_test_post(t, CIB, "{\"metadata\":{\"name\":\"c\"},\"spec\":{}}"), 201);
    entry = json_first(json_array(t->body, "metadata.managedFields"));
    assert_non_null(json_get(json_get(json_get(entry, "fieldsV1"), "f:spec"), "f:mode"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_apply_creates_and_owns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_value_is_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conflict_and_force, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_applied_no_more_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_update_takes_ownership, setup, teardown),
        cmocka_unit_test_setup_teardown(test_updating_and_applying_are_two_managers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_an_apply_may_not_say, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dry_apply, setup, teardown),
        cmocka_unit_test_setup_teardown(test_containers_are_owned_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status_is_applied_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_undeclared_fields_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ownership_of_defaults, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
