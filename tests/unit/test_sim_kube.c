/* test_sim_kube.c - the simulated API server: objects, versions, pages, deletion, dry runs, tokens, bytes of malice. */
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

#define SA "/api/v1/namespaces/kube-system/serviceaccounts"
#define NODE_SA SA "/aws-node"

static int setup(void **state) {
    *state = sim_test_open(false);
    return 0;
}

static int teardown(void **state) {
    sim_test_close(*state);
    return 0;
}

static void make_sa(struct sim_test *t, const char *name) {
    char body[200];
    (void)snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"n\":\"%s\"}}}", name, name);
    assert_int_equal(sim_test_post(t, SA, body), 201);
}

/* ---- create, get, delete ---- */

static void test_create_get_delete(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_get(t, NODE_SA), 404);
    assert_string_equal(sim_test_str(t, "reason"), "NotFound");
    assert_string_equal(sim_test_str(t, "message"), "serviceaccounts \"aws-node\" not found");

    make_sa(t, "aws-node");
    assert_string_equal(sim_test_str(t, "kind"), "ServiceAccount");
    assert_string_equal(sim_test_str(t, "apiVersion"), "v1");
    assert_string_equal(sim_test_str(t, "metadata.namespace"), "kube-system");
    assert_string_equal(sim_test_str(t, "metadata.creationTimestamp"), "2026-01-01T00:00:00Z");
    assert_int_equal(strlen(sim_test_str(t, "metadata.uid")), 36);
    assert_null(json_path(t->body, "metadata.generation"));

    assert_int_equal(sim_test_post(t, SA, "{\"metadata\":{\"name\":\"aws-node\"}}"), 409);
    assert_string_equal(sim_test_str(t, "reason"), "AlreadyExists");
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/nons/serviceaccounts", "{\"metadata\":{\"name\":\"x\"}}"),
                     404);
    assert_string_equal(sim_test_str(t, "message"), "namespaces \"nons\" not found");
    assert_null(sim_kube_get(t->kube, "serviceaccounts", "nons", "x"));

    assert_int_equal(sim_test_do(t, "DELETE", NODE_SA, NULL, NULL), 200);
    assert_string_equal(sim_test_str(t, "kind"), "ServiceAccount");
    assert_null(sim_kube_get(t->kube, "serviceaccounts", "kube-system", "aws-node"));
    assert_int_equal(sim_test_do(t, "DELETE", NODE_SA, NULL, NULL), 404);
}

static void test_names_and_kinds_are_checked(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_post(t, SA, "{\"metadata\":{\"name\":\"Bad_Name\"}}"), 422);
    assert_true(strstr(sim_test_cause(t, "metadata.name"), "lowercase RFC 1123 subdomain") != NULL);
    assert_int_equal(sim_test_post(t, SA, "{\"metadata\":{}}"), 422);
    assert_int_equal(sim_test_post(t, SA, "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}}"),
                     400);
    assert_int_equal(sim_test_post(t, SA, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"default\"}}"), 400);
    assert_int_equal(sim_test_post(t, SA, "[]"), 400);
    assert_int_equal(sim_test_post(t, SA, "{"), 400);
    assert_int_equal(sim_test_post(t, SA, ""), 400);
    assert_int_equal(sim_test_do(t, "POST", SA, "application/x-www-form-urlencoded", "{}"), 415);
    assert_int_equal(sim_test_post(t, SA, "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"plain\"]}}"), 422);
    assert_int_equal(sim_test_get(t, SA), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 0);
    assert_int_equal(sim_test_post(t, SA, "{\"metadata\":{\"generateName\":\"gen-\"}}"), 201);
    assert_true(str_has_prefix(sim_test_str(t, "metadata.name"), "gen-"));
    assert_int_equal(strlen(sim_test_str(t, "metadata.name")), 9);
}

/* ---- updates ---- */

static void test_a_stale_update_conflicts(void **state) {
    struct sim_test *t = *state;
    make_sa(t, "aws-node");
    char old[32];
    (void)str_copy(old, sizeof old, sim_test_str(t, "metadata.resourceVersion"));
    assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, "application/merge-patch+json",
                                 "{\"metadata\":{\"annotations\":{\"a\":\"1\"}}}"),
                     200);
    char body[200];
    (void)snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"aws-node\",\"resourceVersion\":\"%s\"}}", old);
    assert_int_equal(sim_test_do(t, "PUT", NODE_SA, "application/json", body), 409);
    assert_string_equal(sim_test_str(t, "reason"), "Conflict");
    assert_true(strstr(sim_test_str(t, "message"), "the object has been modified") != NULL);
    const json *sa = sim_kube_get(t->kube, "serviceaccounts", "kube-system", "aws-node");
    assert_string_equal(json_str(sa, "metadata.annotations.a"), "1");
    assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, "application/merge-patch+json", body), 409);
    assert_int_equal(sim_test_do(t, "PUT", NODE_SA, "application/json", "{\"metadata\":{\"name\":\"aws-node\"}}"), 200);
    assert_null(json_path(t->body, "metadata.annotations"));
}

static void test_updates_without_effect_keep_the_version(void **state) {
    struct sim_test *t = *state;
    make_sa(t, "aws-node");
    int64_t rv = sim_kube_resource_version(t->kube);
    assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, "application/merge-patch+json",
                                 "{\"metadata\":{\"labels\":{\"n\":\"aws-node\"}}}"),
                     200);
    assert_int_equal(sim_kube_resource_version(t->kube), rv);
}

static void test_uid_in_writes(void **state) {
    struct sim_test *t = *state;
    make_sa(t, "aws-node");
    const char *wrong = "{\"metadata\":{\"name\":\"aws-node\",\"uid\":\"other\"}}";
    assert_int_equal(sim_test_do(t, "PUT", NODE_SA, "application/json", wrong), 409);
    assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, "application/merge-patch+json", wrong), 422);
    assert_true(strstr(sim_test_cause(t, "metadata.uid"), "field is immutable") != NULL);
}

static void test_json_patch(void **state) {
    struct sim_test *t = *state;
    const char *type = "application/json-patch+json";
    make_sa(t, "aws-node");
    assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, type,
                                 "[{\"op\":\"test\",\"path\":\"/metadata/labels/n\",\"value\":\"aws-node\"},"
                                 "{\"op\":\"add\",\"path\":\"/metadata/labels/a~1b\",\"value\":\"1\"},"
                                 "{\"op\":\"remove\",\"path\":\"/metadata/labels/n\"}]"),
                     200);
    const json *sa = sim_kube_get(t->kube, "serviceaccounts", "kube-system", "aws-node");
    assert_string_equal(json_key_str(json_path(sa, "metadata.labels"), "a/b"), "1");
    assert_null(json_path(sa, "metadata.labels.n"));
    int64_t rv = sim_kube_resource_version(t->kube);

    static const char *const refused[] = {
        "[{\"op\":\"test\",\"path\":\"/metadata/labels/n\",\"value\":\"x\"}]",
        "[{\"op\":\"remove\",\"path\":\"/metadata/none\"}]", "[{\"op\":\"add\",\"path\":\"/a/b/c\",\"value\":1}]",
        "[{\"op\":\"replace\",\"path\":\"/none\",\"value\":1}]", "[{\"op\":\"dance\",\"path\":\"/metadata\"}]"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, type, refused[i]), 422);
        assert_string_equal(sim_test_str(t, "message"),
                            "the server rejected our request due to an error in our request");
        assert_null(json_first(json_get(t->body, "details")));
    }
    assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, type, /* all of it, or nothing */
                                 "[{\"op\":\"remove\",\"path\":\"/metadata/labels\"},"
                                 "{\"op\":\"test\",\"path\":\"/metadata/name\",\"value\":\"x\"}]"),
                     422);
    assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, type, "{}"), 400);
    assert_int_equal(sim_test_do(t, "PATCH", SA "/none", type, "[]"), 404);
    assert_int_equal(sim_test_do(t, "PATCH", NODE_SA, "application/json", "{}"), 415);
    assert_int_equal(sim_kube_resource_version(t->kube), rv);
}

static void test_json_patch_lists(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/default/configmaps",
                                   "{\"metadata\":{\"name\":\"c\",\"finalizers\":[\"a/1\",\"a/2\",\"a/3\"]}}"),
                     201);
    assert_int_equal(
        sim_test_do(t, "PATCH", "/api/v1/namespaces/default/configmaps/c", "application/json-patch+json",
                    "[{\"op\":\"add\",\"path\":\"/metadata/finalizers/1\",\"value\":\"b/1\"},"
                    "{\"op\":\"remove\",\"path\":\"/metadata/finalizers/0\"},"
                    "{\"op\":\"add\",\"path\":\"/metadata/finalizers/-\",\"value\":\"z/1\"},"
                    "{\"op\":\"move\",\"from\":\"/metadata/finalizers/3\",\"path\":\"/metadata/finalizers/0\"},"
                    "{\"op\":\"replace\",\"path\":\"/metadata/finalizers/2\",\"value\":\"r/1\"}]"),
        200);
    struct arena *a = arena_new(0);
    struct strlist l = json_strings(json_array(t->body, "metadata.finalizers"), a);
    assert_string_equal(strlist_join(&l, " ", a), "z/1 b/1 r/1 a/3");
    arena_free(a);
    assert_int_equal(sim_test_do(t, "PATCH", "/api/v1/namespaces/default/configmaps/c", "application/json-patch+json",
                                 "[{\"op\":\"remove\",\"path\":\"/metadata/finalizers/01\"}]"),
                     422);
}

/* ---- deletion ---- */

static void test_preconditions_of_a_delete(void **state) {
    struct sim_test *t = *state;
    make_sa(t, "aws-node");
    char uid[40];
    char rv[24];
    char body[300];
    (void)str_copy(uid, sizeof uid, sim_test_str(t, "metadata.uid"));
    (void)str_copy(rv, sizeof rv, sim_test_str(t, "metadata.resourceVersion"));
    assert_int_equal(sim_test_do(t, "DELETE", NODE_SA, "application/json", "{\"preconditions\":{\"uid\":\"other\"}}"),
                     409);
    assert_true(strstr(sim_test_str(t, "message"), "the UID in the precondition (other)") != NULL);
    assert_int_equal(
        sim_test_do(t, "DELETE", NODE_SA, "application/json", "{\"preconditions\":{\"resourceVersion\":\"1\"}}"), 409);
    assert_non_null(sim_kube_get(t->kube, "serviceaccounts", "kube-system", "aws-node"));
    (void)snprintf(body, sizeof body, "{\"preconditions\":{\"uid\":\"%s\",\"resourceVersion\":\"%s\"}}", uid, rv);
    assert_int_equal(sim_test_do(t, "DELETE", NODE_SA "?dryRun=All", "application/json", body), 200);
    assert_non_null(sim_kube_get(t->kube, "serviceaccounts", "kube-system", "aws-node"));
    assert_int_equal(sim_test_do(t, "DELETE", NODE_SA, "application/json", body), 200);
    assert_null(sim_kube_get(t->kube, "serviceaccounts", "kube-system", "aws-node"));
}

static void test_finalizers_hold_an_object(void **state) {
    struct sim_test *t = *state;
    const char *path = "/apis/cniiam.dev/v1alpha1/cniiambindings";
    const char *one = "/apis/cniiam.dev/v1alpha1/cniiambindings/b";
    const char *merge = "application/merge-patch+json";
    assert_int_equal(
        sim_test_post(t, path, "{\"metadata\":{\"name\":\"b\",\"finalizers\":[\"cniiam.dev/guard\"]},\"spec\":{}}"),
        201);
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 1);
    assert_int_equal(sim_test_do(t, "DELETE", one, NULL, NULL), 200);
    assert_string_equal(sim_test_str(t, "kind"), "CniIamBinding");
    assert_string_equal(sim_test_str(t, "metadata.deletionTimestamp"), "2026-01-01T00:00:00Z");
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 2);
    int64_t rv = sim_kube_resource_version(t->kube);
    assert_int_equal(sim_test_do(t, "DELETE", one, NULL, NULL), 200);
    assert_int_equal(sim_kube_resource_version(t->kube), rv);

    assert_int_equal(
        sim_test_do(t, "PATCH", one, merge, "{\"metadata\":{\"finalizers\":[\"cniiam.dev/guard\",\"x/new\"]}}"), 422);
    assert_true(strstr(sim_test_str(t, "message"), "no new finalizers can be added") != NULL);
    assert_int_equal(sim_test_do(t, "PATCH", one, merge, "{\"metadata\":{\"annotations\":{\"a\":\"b\"}}}"), 200);
    assert_int_equal(sim_test_do(t, "PATCH", one, merge, "{\"metadata\":{\"finalizers\":null}}"), 200);
    assert_int_equal(sim_test_get(t, one), 404);
    assert_null(sim_kube_get(t->kube, "cniiambindings", NULL, "b"));
}

static void test_a_pod_on_a_node_is_ended_by_its_kubelet(void **state) {
    struct sim_test *t = *state;
    const char *pods = "/api/v1/namespaces/kube-system/pods";
    assert_int_equal(
        sim_test_post(
            t, pods, "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\"}]}}"),
        201);
    assert_string_equal(sim_test_str(t, "status.phase"), "Pending");
    assert_int_equal(sim_test_do(t, "DELETE", "/api/v1/namespaces/kube-system/pods/p", NULL, NULL), 200);
    assert_string_equal(sim_test_str(t, "metadata.deletionTimestamp"), "2026-01-01T00:00:30Z");
    assert_non_null(sim_kube_get(t->kube, "pods", "kube-system", "p"));
    assert_true(sim_kube_delete(t->kube, "pods", "kube-system", "p"));
    assert_null(sim_kube_get(t->kube, "pods", "kube-system", "p"));
    assert_false(sim_kube_delete(t->kube, "pods", "kube-system", "p"));

    assert_int_equal(
        sim_test_post(t, pods, "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}"), 201);
    assert_int_equal(sim_test_do(t, "DELETE", "/api/v1/namespaces/kube-system/pods/q", NULL, NULL), 200);
    assert_null(sim_kube_get(t->kube, "pods", "kube-system", "q"));
}

/* ---- generation, status ---- */

static const char daemonset[] =
    "{\"metadata\":{\"name\":\"aws-node\"},\"spec\":{\"selector\":{\"matchLabels\":{\"k\":\"v\"}},\"template\":{"
    "\"metadata\":{\"labels\":{\"k\":\"v\"}},\"spec\":{\"containers\":[{\"name\":\"aws-node\",\"image\":\"i\"}]}}}}";
#define DS "/apis/apps/v1/namespaces/kube-system/daemonsets"

static void test_generation_and_status(void **state) {
    struct sim_test *t = *state;
    const char *merge = "application/merge-patch+json";
    assert_int_equal(sim_test_post(t, DS, daemonset), 201);
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 1);
    assert_int_equal(sim_test_do(t, "PATCH", DS "/aws-node", merge, "{\"metadata\":{\"annotations\":{\"a\":\"1\"}}}"),
                     200);
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 1);
    assert_int_equal(sim_test_do(t, "PATCH", DS "/aws-node", merge, "{\"status\":{\"numberReady\":9}}"), 200);
    assert_int_equal(json_int64_or(t->body, "status.numberReady", -1), 0);
    assert_int_equal(sim_test_do(t, "PATCH", DS "/aws-node/status", merge,
                                 "{\"spec\":{\"minReadySeconds\":5},\"status\":{\"numberReady\":3}}"),
                     200);
    assert_int_equal(json_int64_or(t->body, "status.numberReady", 0), 3);
    assert_null(json_path(t->body, "spec.minReadySeconds"));
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 1);
    assert_int_equal(sim_test_do(t, "PATCH", DS "/aws-node", merge,
                                 "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"r\":\"1\"}}}}}"),
                     200);
    assert_int_equal(json_int64_or(t->body, "metadata.generation", 0), 2);
    assert_int_equal(json_int64_or(t->body, "status.numberReady", 0), 3);
    const json *annotations = json_path(t->body, "metadata.annotations");
    assert_string_equal(json_key_str(annotations, "deprecated.daemonset.template.generation"), "2");
    assert_int_equal(
        sim_test_do(t, "PATCH", DS "/aws-node", merge, "{\"spec\":{\"selector\":{\"matchLabels\":{\"k\":\"w\"}}}}"),
        422);
    assert_int_equal(sim_test_get(t, SA "/x/status"), 404);
}

static void test_strategic_merge(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(sim_test_post(t, DS, daemonset), 201);
    assert_int_equal(
        sim_test_do(t, "PATCH", DS "/aws-node", "application/strategic-merge-patch+json",
                    "{\"spec\":{\"template\":{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"aws-node\"}],"
                    "\"containers\":[{\"name\":\"aws-node\",\"env\":[{\"name\":\"A\",\"value\":\"1\"}]},"
                    "{\"name\":\"second\",\"image\":\"j\"}]}}}}"),
        200);
    const json *containers = json_array(t->body, "spec.template.spec.containers");
    assert_int_equal(json_array_size(containers), 2);
    assert_string_equal(json_str(json_first(containers), "image"), "i");
    assert_string_equal(json_str(json_first(json_array(json_first(containers), "env")), "value"), "1");
    assert_null(json_get(json_path(t->body, "spec.template.spec"), "$setElementOrder/containers"));
    assert_int_equal(
        sim_test_do(
            t, "PATCH", DS "/aws-node", "application/strategic-merge-patch+json",
            "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"second\",\"$patch\":\"delete\"}]}}}}"),
        200);
    assert_int_equal(json_array_size(json_array(t->body, "spec.template.spec.containers")), 1);
}

/* ---- lists ---- */

static void test_pages_are_consistent(void **state) {
    struct sim_test *t = *state;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    char target[600];
    for (int i = 0; i < 5; i++) {
        make_sa(t, names[i]);
    }
    assert_int_equal(sim_test_get(t, SA "?limit=2"), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 2);
    assert_int_equal(json_int64_or(t->body, "metadata.remainingItemCount", 0), 3);
    assert_null(json_get(json_first(json_array(t->body, "items")), "kind"));
    char rv[24];
    (void)str_copy(rv, sizeof rv, sim_test_str(t, "metadata.resourceVersion"));
    (void)snprintf(target, sizeof target, SA "?limit=2&continue=%s", sim_test_str(t, "metadata.continue"));

    make_sa(t, "bb"); /* between the pages: it belongs to neither */
    make_sa(t, "zz");
    assert_int_equal(sim_test_do(t, "DELETE", SA "/d", NULL, NULL), 200);
    assert_int_equal(sim_test_get(t, target), 200);
    const json *items = json_array(t->body, "items");
    assert_int_equal(json_array_size(items), 2);
    assert_string_equal(json_str(json_first(items), "metadata.name"), "c");
    assert_string_equal(json_str(json_first(items)->next, "metadata.name"), "d");
    assert_string_equal(sim_test_str(t, "metadata.resourceVersion"), rv);
    char last[600];
    (void)snprintf(last, sizeof last, SA "?limit=2&continue=%s", sim_test_str(t, "metadata.continue"));
    assert_int_equal(sim_test_get(t, last), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 1);
    assert_null(json_path(t->body, "metadata.continue"));

    sim_kube_compact(t->kube);
    assert_int_equal(sim_test_get(t, target), 410);
    assert_string_equal(sim_test_str(t, "reason"), "Expired");
    (void)snprintf(target, sizeof target, SA "?continue=%s", sim_test_str(t, "metadata.continue"));
    assert_int_equal(sim_test_get(t, target), 200); /* bb, c, e, zz: as it is now, from where it was */
    assert_int_equal(json_array_size(json_array(t->body, "items")), 4);
    assert_int_equal(sim_test_get(t, SA "?continue=garbage"), 400);
    assert_int_equal(sim_test_get(t, SA "?continue=abc&resourceVersion=5"), 400);
}

static void test_list_versions(void **state) {
    struct sim_test *t = *state;
    make_sa(t, "a");
    char target[200];
    (void)snprintf(target, sizeof target, SA "?resourceVersion=%lld&resourceVersionMatch=Exact",
                   (long long)sim_kube_resource_version(t->kube));
    make_sa(t, "b");
    assert_int_equal(sim_test_get(t, target), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 1);
    assert_int_equal(sim_test_get(t, SA "?resourceVersion=1&resourceVersionMatch=NotOlderThan"), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 2);
    assert_int_equal(sim_test_get(t, SA "?resourceVersion=0&limit=1"), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 2);
    assert_int_equal(sim_test_get(t, SA "?resourceVersion=99999999"), 504);
    assert_string_equal(sim_test_str(t, "reason"), "Timeout");
    assert_int_equal(sim_test_get(t, SA "/a?resourceVersion=99999999"), 504);
    assert_int_equal(sim_test_get(t, SA "?resourceVersionMatch=Exact"), 422);
    assert_int_equal(sim_test_get(t, SA "?resourceVersion=abc"), 400);
    assert_int_equal(sim_test_get(t, SA "?limit=x"), 400);
    assert_int_equal(sim_test_get(t, SA "?limit=-1"), 200);
    sim_kube_compact(t->kube);
    assert_int_equal(sim_test_get(t, target), 410);
}

static void assert_selected(struct sim_test *t, const char *selector, const char *names) {
    char target[300];
    struct arena *a = arena_new(0);
    struct strlist l = {0};
    (void)snprintf(target, sizeof target, SA "?%s", selector);
    assert_int_equal(sim_test_get(t, target), 200);
    for (const json *it = json_first(json_array(t->body, "items")); it != NULL; it = it->next) {
        strlist_add(&l, json_str(it, "metadata.name"), a);
    }
    assert_string_equal(str_or(strlist_join(&l, " ", a), ""), names);
    arena_free(a);
}

static void test_selectors(void **state) {
    struct sim_test *t = *state;
    make_sa(t, "a");
    make_sa(t, "b");
    make_sa(t, "c");
    assert_selected(t, "labelSelector=n%3Db", "b");
    assert_selected(t, "labelSelector=n!=b", "a c");
    assert_selected(t, "labelSelector=n+in+(a,c)", "a c");
    assert_selected(t, "labelSelector=n%20notin%20(a,c)", "b");
    assert_selected(t, "labelSelector=n,n!=a", "b c");
    assert_selected(t, "labelSelector=!n", "");
    assert_selected(t, "fieldSelector=metadata.name=a", "a");
    assert_selected(t, "fieldSelector=metadata.name!=a,metadata.namespace=kube-system", "b c");
    assert_int_equal(sim_test_get(t, SA "?fieldSelector=spec.foo=a"), 400);
    assert_int_equal(sim_test_get(t, SA "?labelSelector=a%20b"), 400);
    assert_int_equal(sim_test_get(t, "/api/v1/serviceaccounts?labelSelector=n=a"), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 1);
}

static void test_forms(void **state) {
    struct sim_test *t = *state;
    make_sa(t, "a");
    assert_int_equal(
        sim_test_accept(t, SA, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"),
        200);
    assert_string_equal(sim_test_str(t, "kind"), "PartialObjectMetadataList");
    assert_string_equal(json_str(json_first(json_array(t->body, "items")), "kind"), "PartialObjectMetadata");
    assert_int_equal(sim_test_accept(t, SA, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"), 406);
    assert_int_equal(sim_test_accept(t, SA "/a", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"), 200);
    assert_string_equal(sim_test_str(t, "kind"), "PartialObjectMetadata");
    assert_int_equal(sim_test_accept(t, SA "/a", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                     406);
    sim_clock_advance(t->clock, 90 * 1000);
    assert_int_equal(sim_test_accept(t, SA, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), 200);
    assert_string_equal(sim_test_str(t, "kind"), "Table");
    const json *cells = json_array(json_first(json_array(t->body, "rows")), "cells");
    assert_string_equal(json_first(cells)->valuestring, "a");
    assert_string_equal(json_first(cells)->next->next->valuestring, "90s");
}

/* ---- dry runs, admission ---- */

static void inject(void *arg, json *pod, bool dry_run) {
    int *calls = arg;
    *calls += dry_run ? 100 : 1;
    json_add_bool(pod, "injected", true);
}

static void count_write(void *arg, const char *type, const char *resource, const json *object, const char *manager) {
    (void)type, (void)resource, (void)object, (void)manager;
    (*(int *)arg)++;
}

static void test_dry_run_stores_nothing(void **state) {
    struct sim_test *t = *state;
    int calls = 0;
    int writes = 0;
    sim_kube_on_admission(t->kube, inject, &calls);
    sim_kube_on_write(t->kube, count_write, &writes);
    int64_t rv = sim_kube_resource_version(t->kube);
    const char *pod = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}";
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/kube-system/pods?dryRun=All", pod), 201);
    assert_true(json_bool(t->body, "injected", false));
    assert_int_equal(calls, 100);
    assert_true(strlen(sim_test_str(t, "metadata.uid")) == 36);
    assert_null(json_path(t->body, "metadata.resourceVersion"));
    assert_null(sim_kube_get(t->kube, "pods", "kube-system", "p"));
    assert_int_equal(sim_kube_resource_version(t->kube), rv);
    assert_int_equal(writes, 0);
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/kube-system/pods?dryRun=all", pod), 422);
    assert_int_equal(sim_test_post(t, "/api/v1/namespaces/kube-system/pods", pod), 201);
    assert_int_equal(calls, 101);
    assert_int_equal(writes, 1);
    assert_int_equal(sim_test_do(t, "PATCH", "/api/v1/namespaces/kube-system/pods/p?dryRun=All",
                                 "application/merge-patch+json", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"),
                     200);
    assert_string_equal(sim_test_str(t, "metadata.labels.x"), "y");
    assert_null(json_path(sim_kube_get(t->kube, "pods", "kube-system", "p"), "metadata.labels"));
}

/* ---- the world's own hands ---- */

struct echo {
    struct sim_test *t;
    int depth, events;
    char last[200];
};

/* An actor that writes from inside a write. */
static void on_write(void *arg, const char *type, const char *resource, const json *object, const char *manager) {
    struct echo *e = arg;
    e->events++;
    (void)snprintf(e->last, sizeof e->last, "%s %s %s %s", type, resource, json_str(object, "metadata.name"), manager);
    if (str_eq(resource, "nodes") && e->depth++ == 0) {
        json *o = json_object();
        json_add_str(json_add_object(o, "metadata"), "name", "second");
        assert_true(sim_kube_create(e->t->kube, "nodes", o));
    }
}

static json *named(const char *ns, const char *name) {
    json *o = json_object();
    json *m = json_add_object(o, "metadata");
    json_add_str(m, "name", name);
    json_add_str(m, "namespace", ns);
    return o;
}

static void test_the_world_writes(void **state) {
    struct sim_test *t = *state;
    struct echo e = {.t = t};
    sim_kube_on_write(t->kube, on_write, &e);
    assert_true(sim_kube_create(t->kube, "nodes", named(NULL, "first")));
    assert_int_equal(e.events, 2);
    assert_non_null(sim_kube_get(t->kube, "nodes", NULL, "second"));
    assert_false(sim_kube_create(t->kube, "nodes", named(NULL, "first")));
    assert_false(sim_kube_update(t->kube, "nodes", named(NULL, "third")));
    assert_false(sim_kube_create(t->kube, "unicorns", named(NULL, "x")));

    json *node = json_dup(sim_kube_get(t->kube, "nodes", NULL, "first"));
    char *uid = strdup(json_str(node, "metadata.uid"));
    json_add_str(json_add_object(node, "status"), "x", "y");
    json_add_str(json_add_object(node, "spec"), "providerID", "aws:///a/i-1");
    assert_true(sim_kube_update(t->kube, "nodes", node));
    assert_string_equal(e.last, "MODIFIED nodes first cluster");
    const json *now = sim_kube_get(t->kube, "nodes", NULL, "first");
    assert_string_equal(json_str(now, "status.x"), "y");
    assert_string_equal(json_str(now, "spec.providerID"), "aws:///a/i-1");
    assert_string_equal(json_str(now, "metadata.uid"), uid);
    free(uid);
}

static void test_events_in_both_groups(void **state) {
    struct sim_test *t = *state;
    assert_int_equal(
        sim_test_post(
            t, "/apis/events.k8s.io/v1/namespaces/default/events",
            "{\"metadata\":{\"name\":\"e\"},\"eventTime\":\"2026-01-01T00:00:00.000000Z\",\"reportingController\":\"c/"
            "x\","
            "\"reportingInstance\":\"i\",\"action\":\"A\",\"reason\":\"R\",\"type\":\"Normal\",\"note\":\"n\","
            "\"regarding\":{\"kind\":\"CniIamBinding\",\"name\":\"b\"}}"),
        201);
    assert_string_equal(sim_test_str(t, "note"), "n");
    assert_string_equal(sim_test_str(t, "apiVersion"), "events.k8s.io/v1");
    assert_int_equal(sim_test_get(t, "/api/v1/namespaces/default/events/e"), 200);
    assert_string_equal(sim_test_str(t, "message"), "n");
    assert_string_equal(sim_test_str(t, "involvedObject.name"), "b");
    assert_null(json_get(t->body, "note"));
    assert_int_equal(sim_test_get(t, "/api/v1/events?fieldSelector=involvedObject.name%3Db"), 200);
    assert_int_equal(json_array_size(json_array(t->body, "items")), 1);
    assert_int_equal(sim_test_do(t, "PATCH", "/apis/events.k8s.io/v1/namespaces/default/events/e",
                                 "application/merge-patch+json",
                                 "{\"series\":{\"count\":2,\"lastObservedTime\":\"2026-01-01T00:00:00.000000Z\"}}"),
                     200);
    assert_int_equal(sim_test_post(t, "/apis/events.k8s.io/v1/namespaces/default/events",
                                   "{\"metadata\":{\"name\":\"f\"},\"eventTime\":\"2026-01-01T00:00:00Z\"}"),
                     400);
    assert_int_equal(
        sim_test_post(t, "/apis/events.k8s.io/v1/namespaces/default/events", "{\"metadata\":{\"name\":\"f\"}}"), 422);
}

#define LEASES "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"

static void test_leases(void **state) {
    struct sim_test *t = *state;
    char body[300];
    assert_int_equal(
        sim_test_post(t, LEASES,
                      "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"a\",\"leaseDurationSeconds\":15,"
                      "\"renewTime\":\"2026-01-01T00:00:00.000000Z\"}}"),
        201);
    (void)snprintf(body, sizeof body,
                   "{\"metadata\":{\"name\":\"l\",\"resourceVersion\":\"%s\"},\"spec\":{\"holderIdentity\":\"b\"}}",
                   sim_test_str(t, "metadata.resourceVersion"));
    assert_int_equal(sim_test_do(t, "PUT", LEASES "/l", "application/json", body), 200);
    assert_int_equal(sim_test_do(t, "PUT", LEASES "/l", "application/json", body), 409);
    assert_string_equal(json_str(sim_kube_get(t->kube, "leases", "kube-system", "l"), "spec.holderIdentity"), "b");
    assert_int_equal(sim_test_do(t, "PUT", LEASES "/l", "application/json", "{\"metadata\":{\"name\":\"l\"}}"), 422);
    assert_true(strstr(sim_test_str(t, "message"), "must be specified for an update") != NULL);
    assert_int_equal(sim_test_post(t, LEASES, "{\"metadata\":{\"name\":\"m\"},\"spec\":{\"leaseDurationSeconds\":0}}"),
                     422);
    assert_int_equal(
        sim_test_post(t, LEASES, "{\"metadata\":{\"name\":\"m\"},\"spec\":{\"renewTime\":\"2026-01-01T00:00:00Z\"}}"),
        400);
    assert_null(sim_kube_get(t->kube, "leases", "kube-system", "m"));
}

/* ---- tokens, reviews ---- */

static void test_token_round_trip(void **state) {
    struct sim_test *t = *state;
    struct sim_token_claims c;
    const char *wish = "{\"spec\":{\"audiences\":[\"sts.amazonaws.com\"],\"expirationSeconds\":600}}";
    assert_int_equal(sim_test_post(t, NODE_SA "/token", wish), 404);
    make_sa(t, "aws-node");
    assert_int_equal(sim_test_post(t, NODE_SA "/token", wish), 201);
    assert_string_equal(sim_test_str(t, "status.expirationTimestamp"), "2026-01-01T00:10:00Z");
    char *token = strdup(sim_test_str(t, "status.token"));
    assert_true(sim_kube_verify_token(t->kube, token, &c));
    assert_string_equal(c.subject, "system:serviceaccount:kube-system:aws-node");
    assert_string_equal(c.audience, "sts.amazonaws.com");
    assert_string_equal(c.issuer, "https://oidc.example/id/1");
    assert_true(c.expires_ms == SIM_CLOCK_BEGIN_MS + 600 * 1000);

    for (size_t i = 0; i + 1 < strlen(token); i += 7) { /* not one character may be another */
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        assert_false(sim_kube_verify_token(t->kube, token, &c));
        token[i] = was;
    }
    assert_false(sim_kube_verify_token(t->kube, "", &c));
    assert_false(sim_kube_verify_token(t->kube, NULL, &c));
    assert_false(sim_kube_verify_token(t->kube, "a.b", &c));
    assert_false(sim_kube_verify_token(t->kube, "a.b.c", &c));
    sim_clock_advance(t->clock, 600 * 1000);
    assert_false(sim_kube_verify_token(t->kube, token, &c));
    free(token);

    assert_int_equal(sim_test_post(t, NODE_SA "/token", "{\"spec\":{\"expirationSeconds\":599}}"), 422);
    assert_true(strstr(sim_test_str(t, "message"), "less than 10 minutes") != NULL);
    assert_int_equal(
        sim_test_post(t, NODE_SA "/token", "{\"spec\":{\"boundObjectRef\":{\"kind\":\"Pod\",\"name\":\"none\"}}}"),
        404);
    assert_int_equal(sim_test_get(t, "/openid/v1/jwks"), 200);
    assert_string_equal(json_str(json_first(json_array(t->body, "keys")), "alg"), "RS256");
    assert_int_equal(sim_test_get(t, "/.well-known/openid-configuration"), 200);
    assert_string_equal(sim_test_str(t, "issuer"), "https://oidc.example/id/1");
}

/* All servers of a process have one key: the issuer tells them apart. */
static void test_another_servers_token_is_refused(void **state) {
    struct sim_test *t = *state;
    struct sim_token_claims c;
    struct sim_kube_options o = {.clock = sim_clock_port(t->clock), .seed = 7, .issuer = "https://oidc.example/id/2"};
    struct sim_kube *other = sim_kube_new(&o);
    make_sa(t, "aws-node");
    assert_int_equal(sim_test_post(t, NODE_SA "/token", "{}"), 201);
    assert_true(sim_kube_verify_token(t->kube, sim_test_str(t, "status.token"), &c));
    assert_false(sim_kube_verify_token(other, sim_test_str(t, "status.token"), &c));
    assert_string_equal(c.issuer, "https://oidc.example/id/1");
    sim_kube_free(other);
}

static void test_reviews_and_discovery(void **state) {
    struct sim_test *t = *state;
    int64_t rv = sim_kube_resource_version(t->kube);
    assert_int_equal(sim_test_post(t, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                                   "{\"spec\":{\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"pods\"}}}"),
                     201);
    assert_true(json_bool(t->body, "status.allowed", false));
    assert_int_equal(sim_kube_resource_version(t->kube), rv);
    assert_int_equal(sim_test_get(t, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), 405);
    assert_int_equal(sim_test_get(t, "/version"), 200);
    assert_string_equal(sim_test_str(t, "minor"), "36");
    assert_int_equal(sim_test_get(t, "/api"), 200);
    assert_int_equal(sim_test_get(t, "/apis"), 200);
    assert_int_equal(sim_test_get(t, "/apis/apps"), 200);
    assert_int_equal(sim_test_get(t, "/api/v1"), 200);
    assert_string_equal(json_str(json_first(json_array(t->body, "resources")), "name"), "namespaces");
    assert_int_equal(sim_test_get(t, "/openapi/v3"), 200);
    assert_int_equal(sim_test_get(t, "/openapi/v3/apis/apps/v1"), 200);
    assert_int_equal(sim_test_get(t, "/readyz"), 200);
    assert_string_equal(t->text, "ok");
    assert_int_equal(sim_test_get(t, "/apis/apps/v1/unicorns"), 404);
    assert_string_equal(sim_test_str(t, "kind"), "Status");
    assert_int_equal(sim_test_get(t, "/apis/cniiam.dev/v2/cniiambindings"), 404);
    assert_string_equal(t->content_type, "text/plain; charset=utf-8");
    assert_string_equal(t->text, "404 page not found\n");
}

/* ---- malice ---- */

static void test_hostile_requests(void **state) {
    struct sim_test *t = *state;
    static const char *const targets[] = {"",
                                          "x",
                                          "/",
                                          "//api/v1/pods",
                                          "/api/v1/%00",
                                          "/api/v1/%zz",
                                          "/api/v1/namespaces/%2e%2e/pods/a",
                                          "/api/v1/namespaces//pods",
                                          "/a/b/c/d/e/f/g/h/i/j/k/l/m",
                                          "/api/v1/pods?%zz=1",
                                          "/api/v1/pods?limit=99999999999999999999",
                                          "/api/v1/pods?labelSelector=((((",
                                          "/api/v1/pods?fieldSelector=,,,=",
                                          "/api/v1/namespaces/default/pods/a/b/c/d"};
    static const char *const methods[] = {"GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", ""};
    int64_t rv = sim_kube_resource_version(t->kube);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
            int status = sim_test_do(t, methods[m], targets[i], "application/json", "{\"metadata\":7}");
            assert_true(status == 200 || (status >= 400 && status <= 415) || status == 422);
        }
    }
    static const char *const bodies[] = {
        "{\"metadata\":{\"name\":7}}", "{\"metadata\":{\"name\":\"a\",\"annotations\":{\"x\":1}}}",
        "{\"metadata\":{\"name\":\"a\",\"labels\":[]},\"spec\":[]}", "\xff\xfe", "null"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        (void)sim_test_post(t, "/api/v1/namespaces/kube-system/pods", bodies[i]);
        assert_true(t->status >= 400 && t->status < 500);
        (void)sim_test_apply(t, "/api/v1/namespaces/kube-system/pods/a?fieldManager=x", bodies[i]);
        assert_true(t->status >= 400 && t->status < 500);
    }
    assert_int_equal(sim_kube_resource_version(t->kube), rv);
}

static void test_a_body_too_large(void **state) {
    struct sim_test *t = *state;
    char *body = malloc(SIM_KUBE_BODY_MAX + 2);
    memset(body, ' ', SIM_KUBE_BODY_MAX + 1);
    body[SIM_KUBE_BODY_MAX + 1] = '\0';
    assert_int_equal(sim_test_post(t, SA, body), 413);
    assert_string_equal(sim_test_str(t, "reason"), "RequestEntityTooLarge");
    free(body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_get_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_and_kinds_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stale_update_conflicts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_updates_without_effect_keep_the_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_uid_in_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_patch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_patch_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_preconditions_of_a_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_finalizers_hold_an_object, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pod_on_a_node_is_ended_by_its_kubelet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generation_and_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strategic_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages_are_consistent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_selectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dry_run_stores_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_world_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events_in_both_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_servers_token_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reviews_and_discovery, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_body_too_large, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
