/* test_k8s_effects.c - each K8S_* effect as it goes over the wire, and the effects that must never get that far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/k8s/k8s_effects.h"
#include "support_k8s_peer.h"

static struct k8s_peer peer;
static struct loop *loop;
static struct k8s_config *config;
static struct k8s_client *client;
static struct k8s_effects *effects;
static struct effector effector;
static struct arena *arena;

struct outcome {
    bool done;
    struct error error;
    json *value;
};

static void on_done(void *arg, struct effect_result *r) {
    struct outcome *o = arg;
    o->done = true;
    o->error = r->error;
    o->value = r->value;
    r->value = NULL;
}

static struct outcome perform(struct effect *e) {
    struct outcome o = {0};
    assert_true(effector.submit(effector.ctx, e, on_done, &o) != 0);
    assert_false(o.done);
    assert_true(k8s_peer_wait(loop, &o.done, 20000));
    assert_true((o.value == NULL) == (o.error.code != ERR_NONE));
    return o;
}

static struct effect *with_body(struct effect *e, const char *body) {
    e->body = body;
    return e;
}

#define SA_ARGS "resource", "serviceaccounts", "namespace", "kube-system", "name", "aws-node"
#define UID "\"metadata\":{\"uid\":\"u-1\""

/* What the peer saw, and what it must have seen. */
static void test_effects__on_the_wire(void **state) {
    (void)state;
    const struct {
        struct effect *effect;
        const char *method, *path, *type;
        const char *body; /* NULL: none */
    } rows[] = {
        {effect_new(arena, EFFECT_K8S_GET, SA_ARGS, NULL), "GET",
         "/api/v1/namespaces/kube-system/serviceaccounts/aws-node", NULL, ""},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "cni-iam", "force", "true", NULL),
                   "{" UID ",\"annotations\":{\"a/b\":\"c\"}}}"),
         "PATCH", "/api/v1/namespaces/kube-system/serviceaccounts/aws-node?fieldManager=cni-iam&force=true",
         "application/apply-patch+yaml",
         "{" UID
         ",\"annotations\":{\"a/b\":\"c\"},\"name\":\"aws-node\",\"namespace\":\"kube-system\"},\"apiVersion\":\"v1\","
         "\"kind\":\"ServiceAccount\"}"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "cni-iam", "create", "true", NULL),
                   "{}"),
         "PATCH", "/api/v1/namespaces/kube-system/serviceaccounts/aws-node?fieldManager=cni-iam",
         "application/apply-patch+yaml",
         "{\"metadata\":{\"name\":\"aws-node\",\"namespace\":\"kube-system\"},\"apiVersion\":\"v1\",\"kind\":"
         "\"ServiceAccount\"}"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY_STATUS, "resource", "cniiambindings", "name", "b", "fieldManager",
                              "f", "force", "true", NULL),
                   "{" UID "},\"status\":{}}"),
         "PATCH", "/apis/cniiam.dev/v1alpha1/cniiambindings/b/status?fieldManager=f&force=true",
         "application/apply-patch+yaml",
         "{" UID ",\"name\":\"b\"},\"status\":{},\"apiVersion\":\"cniiam.dev/v1alpha1\",\"kind\":\"CniIamBinding\"}"},
        {with_body(effect_new(arena, EFFECT_K8S_JSON_PATCH, "resource", "cniiambindings", "name", "b", NULL),
                   "[{\"op\":\"test\",\"path\":\"/metadata/finalizers/0\",\"value\":\"x\"}]"),
         "PATCH", "/apis/cniiam.dev/v1alpha1/cniiambindings/b", "application/json-patch+json",
         "[{\"op\":\"test\",\"path\":\"/metadata/finalizers/0\",\"value\":\"x\"}]"},
        {with_body(effect_new(arena, EFFECT_K8S_MERGE_PATCH, "resource", "events.events.k8s.io", "namespace", "default",
                              "name", "e.1", "fieldManager", "f", NULL),
                   "{\"series\":{\"count\":2}}"),
         "PATCH", "/apis/events.k8s.io/v1/namespaces/default/events/e.1?fieldManager=f", "application/merge-patch+json",
         "{\"series\":{\"count\":2}}"},
        {with_body(effect_new(arena, EFFECT_K8S_CREATE, "resource", "configmaps", "namespace", "ns", "name", "n",
                              "dryRun", "All", NULL),
                   "{\"data\":{}}"),
         "POST", "/api/v1/namespaces/ns/configmaps?dryRun=All", "application/json",
         "{\"data\":{},\"metadata\":{\"name\":\"n\",\"namespace\":\"ns\"},\"apiVersion\":\"v1\",\"kind\":"
         "\"ConfigMap\"}"},
        {with_body(effect_new(arena, EFFECT_K8S_UPDATE, "resource", "leases", "namespace", "ns", "name", "l", NULL),
                   "{\"metadata\":{\"resourceVersion\":\"5\"}}"),
         "PUT", "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l", "application/json",
         "{\"metadata\":{\"resourceVersion\":\"5\",\"name\":\"l\",\"namespace\":\"ns\"},\"apiVersion\":"
         "\"coordination.k8s.io/v1\",\"kind\":\"Lease\"}"},
        {effect_new(arena, EFFECT_K8S_DELETE, "resource", "pods", "namespace", "kube-system", "name", "aws-node-x",
                    "uid", "u-1", "resourceVersion", "7", "gracePeriodSeconds", "10", NULL),
         "DELETE", "/api/v1/namespaces/kube-system/pods/aws-node-x", "application/json",
         "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"preconditions\":{\"uid\":\"u-1\",\"resourceVersion\":"
         "\"7\"},"
         "\"gracePeriodSeconds\":10}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outcome o = perform(rows[i].effect);
        if (o.error.code != ERR_NONE) {
            fail_msg("row %zu: %s", i, o.error.message);
        }
        const json *seen = json_get(o.value, "seen");
        assert_string_equal(json_str(seen, "method"), rows[i].method);
        assert_string_equal(json_str(seen, "path"), rows[i].path);
        assert_string_equal(str_or(json_key_str(json_get(seen, "headers"), "content-type"), ""),
                            str_or(rows[i].type, ""));
        assert_string_equal(json_str(seen, "body"), rows[i].body);
        json_free(o.value);
    }
}

static void test_effects__refused_before_they_are_sent(void **state) {
    (void)state;
    const struct {
        struct effect *effect;
        const char *message;
    } rows[] = {
        {effect_new(arena, EFFECT_K8S_GET, "resource", "secrets", "namespace", "a", "name", "b", NULL),
         "unknown resource"},
        {effect_new(arena, EFFECT_K8S_GET, "resource", "pods", "namespace", "a", NULL), "needs a name"},
        {effect_new(arena, EFFECT_K8S_GET, "resource", "pods", "name", "a", NULL), "needs a namespace"},
        {effect_new(arena, EFFECT_K8S_GET, NULL), "unknown resource"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "f", NULL), "{}"), "K-P3"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "f", NULL),
                   "{\"metadata\":{\"uid\":\"\"}}"),
         "K-P3"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY_STATUS, SA_ARGS, "fieldManager", "f", "create", "true", NULL),
                   "{}"),
         "K-P3"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, NULL), "{" UID "}}"), "fieldManager"},
        {effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "f", NULL), "no body"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "f", NULL),
                   "{" UID ",\"name\":\"other\"}}"),
         "name is not \"aws-node\""},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "f", NULL),
                   "{" UID "},\"kind\":\"Pod\"}"),
         "kind is not \"ServiceAccount\""},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "f", NULL), "[]"), "no object"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "f", NULL), "{\"metadata\":[]}"),
         "metadata"},
        {with_body(effect_new(arena, EFFECT_K8S_APPLY, SA_ARGS, "fieldManager", "f", NULL), "{"), "body of Apply"},
        {with_body(effect_new(arena, EFFECT_K8S_UPDATE, SA_ARGS, NULL), "{" UID "}}"), "K-P1"},
        {with_body(effect_new(arena, EFFECT_K8S_JSON_PATCH, SA_ARGS, NULL), "{}"), "list of operations"},
        {with_body(effect_new(arena, EFFECT_K8S_MERGE_PATCH, SA_ARGS, NULL), "[]"), "object"},
        {effect_new(arena, EFFECT_K8S_DELETE, SA_ARGS, "uid", "u", NULL), "K-P7"},
        {effect_new(arena, EFFECT_K8S_DELETE, SA_ARGS, "resourceVersion", "u", NULL), "K-P7"},
        {effect_new(arena, EFFECT_K8S_DELETE, SA_ARGS, "uid", "u", "resourceVersion", "1", "gracePeriodSeconds", "x",
                    NULL),
         "gracePeriodSeconds"},
        {with_body(effect_new(arena, EFFECT_K8S_CREATE, "resource", "pods", NULL), "{}"), "needs a namespace"},
        {with_body(effect_new(arena, EFFECT_K8S_POD_DRY_RUN, NULL), "{}"), "needs a namespace"},
        {effect_new(arena, EFFECT_K8S_ACCESS_REVIEW, "verb", "get", NULL), "verb and resource"},
        {effect_new(arena, EFFECT_K8S_TOKEN_ISSUER, "name", "x", NULL), "namespace and name"},
        {effect_new(arena, EFFECT_IAM_GET_ROLE, NULL), "no request to the Kubernetes API"},
    };
    k8s_peer_forget(&peer);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outcome o = perform(rows[i].effect);
        if (o.error.code == ERR_NONE || strstr(o.error.message, rows[i].message) == NULL) {
            fail_msg("row %zu: %s \"%s\"", i, error_name(o.error.code), o.error.message);
        }
    }
    assert_int_equal(k8s_peer_count(&peer, "method"), 0);
}

static void test_list__pages_are_merged(void **state) {
    (void)state;
    k8s_peer_forget(&peer);
    struct outcome o = perform(effect_new(arena, EFFECT_K8S_LIST, "resource", "pods", "namespace", "kube-system",
                                          "labelSelector", "scenario=pages", NULL));
    assert_int_equal(o.error.code, ERR_NONE);
    const json *items = json_array(o.value, "items");
    assert_int_equal(json_array_size(items), 1200);
    int i = 0;
    for (const json *it = json_first(items); it != NULL; it = it->next) {
        char name[32];
        (void)snprintf(name, sizeof name, "pod-%d", i++);
        assert_string_equal(json_str(it, "metadata.name"), name);
    }
    assert_string_equal(json_str(o.value, "metadata.resourceVersion"), "77");
    assert_null(json_path(o.value, "metadata.continue"));
    json_free(o.value);
    assert_int_equal(k8s_peer_count(&peer, "limit=500"), 3);
    assert_int_equal(k8s_peer_count(&peer, "resourceVersion"), 0); /* live (K-L2) */

    /* A page's token has died: everything once more, in one piece. */
    k8s_peer_forget(&peer);
    o = perform(effect_new(arena, EFFECT_K8S_LIST, "resource", "pods", "labelSelector", "scenario=expires", NULL));
    assert_int_equal(o.error.code, ERR_NONE);
    assert_int_equal(json_array_size(json_array(o.value, "items")), 1200);
    json_free(o.value);
    assert_int_equal(k8s_peer_count(&peer, "method"), 3);

    o = perform(effect_new(arena, EFFECT_K8S_LIST, "resource", "pods", "labelSelector", "scenario=null", NULL));
    assert_int_equal(o.error.code, ERR_NONE);
    assert_int_equal(json_array_size(json_array(o.value, "items")), 0);
    json_free(o.value);
    o = perform(effect_new(arena, EFFECT_K8S_LIST, "resource", "pods", "labelSelector", "scenario=nolist", NULL));
    assert_int_equal(o.error.code, ERR_PARSE);
    k8s_peer_forget(&peer);
    o = perform(effect_new(arena, EFFECT_K8S_LIST, "resource", "pods", "labelSelector", "scenario=pages",
                           "fieldSelector", "n=3", "metadataOnly", "true", NULL));
    assert_int_equal(json_array_size(json_array(o.value, "items")), 3);
    json_free(o.value);
    assert_int_equal(k8s_peer_count(&peer, "as=PartialObjectMetadataList"), 1);
}

static void test_reviews_tokens_dry_runs(void **state) {
    (void)state;
    struct outcome o =
        perform(effect_new(arena, EFFECT_K8S_ACCESS_REVIEW, "verb", "get", "resource", "pods", "namespace",
                           "kube-system", "group", "", "subresource", "x", "name", "n", NULL));
    assert_true(json_bool(o.value, "allowed", false));
    json_free(o.value);
    o = perform(effect_new(arena, EFFECT_K8S_ACCESS_REVIEW, "verb", "delete", "resource", "pods", NULL));
    assert_false(json_bool(o.value, "allowed", true));
    json_free(o.value);
    o = perform(effect_new(arena, EFFECT_K8S_TOKEN_ISSUER, "namespace", "kube-system", "name", "aws-node", NULL));
    assert_string_equal(json_str(o.value, "issuer"), "https://issuer.example");
    assert_string_equal(json_str(o.value, "subject"), "system:serviceaccount:kube-system:aws-node");
    assert_string_equal(json_array(o.value, "audiences")->child->valuestring, "sts.amazonaws.com");
    assert_null(json_path(o.value, "token"));
    json_free(o.value);
    k8s_peer_forget(&peer);
    o = perform(with_body(effect_new(arena, EFFECT_K8S_POD_DRY_RUN, "namespace", "kube-system", NULL),
                          "{\"metadata\":{\"generateName\":\"aws-node-\"}}"));
    assert_int_equal(json_array_size(json_array(o.value, "spec.containers")), 1);
    json_free(o.value);
    assert_int_equal(k8s_peer_count(&peer, "/api/v1/namespaces/kube-system/pods?dryRun=All"), 1);
}

static void test_outcomes__that_are_unknown_say_so(void **state) {
    (void)state;
    struct outcome o =
        perform(with_body(effect_new(arena, EFFECT_K8S_APPLY, "resource", "configmaps", "namespace", "ns", "name",
                                     "commit-504", "fieldManager", "f", "create", "true", NULL),
                          "{}"));
    assert_true(error_is_ambiguous(o.error.code));
    o = perform(effect_new(arena, EFFECT_K8S_DELETE, "resource", "configmaps", "namespace", "ns", "name", "commit-lost",
                           "uid", "u", "resourceVersion", "1", NULL));
    assert_true(error_is_ambiguous(o.error.code));
    o = perform(effect_new(arena, EFFECT_K8S_DELETE, "resource", "configmaps", "namespace", "ns", "name", "conflict",
                           "uid", "u", "resourceVersion", "1", NULL));
    assert_int_equal(o.error.code, ERR_CONFLICT);
    o = perform(effect_new(arena, EFFECT_K8S_GET, "resource", "configmaps", "namespace", "ns", "name", "empty", NULL));
    assert_int_equal(o.error.code, ERR_PARSE);
}

static void test_cancel(void **state) {
    struct outcome o = {0};
    (void)state;
    const struct effect *kinds[] = {
        effect_new(arena, EFFECT_K8S_GET, "resource", "configmaps", "namespace", "ns", "name", "plain", NULL),
        effect_new(arena, EFFECT_K8S_GET, NULL),
        effect_new(arena, EFFECT_K8S_TOKEN_ISSUER, "namespace", "kube-system", "name", "aws-node", NULL),
        effect_new(arena, EFFECT_K8S_LIST, "resource", "pods", "labelSelector", "scenario=pages", NULL)};
    for (size_t i = 0; i < 4; i++) {
        uint64_t ticket = effector.submit(effector.ctx, kinds[i], on_done, &o);
        effector.cancel(effector.ctx, ticket);
        effector.cancel(effector.ctx, ticket);
    }
    struct k8s_effects *mine = k8s_effects_new(client);
    struct effector e = k8s_effects_effector(mine);
    for (size_t i = 0; i < 4; i++) {
        (void)e.submit(e.ctx, kinds[i], on_done, &o);
    }
    k8s_effects_free(mine);
    (void)k8s_peer_wait(loop, &o.done, 200);
    assert_false(o.done);
}

static int start(void **state) {
    struct error err;
    (void)state;
    loop = loop_new(&err);
    k8s_peer_start(&peer, false);
    config = k8s_peer_config(&peer);
    client = k8s_peer_client(loop, config);
    effects = k8s_effects_new(client);
    effector = k8s_effects_effector(effects);
    arena = arena_new(0);
    return 0;
}

static int stop(void **state) {
    (void)state;
    arena_free(arena);
    k8s_effects_free(effects);
    k8s_client_free(client);
    k8s_config_free(config);
    k8s_peer_stop(&peer);
    loop_free(loop);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_effects__on_the_wire),
        cmocka_unit_test(test_effects__refused_before_they_are_sent),
        cmocka_unit_test(test_list__pages_are_merged),
        cmocka_unit_test(test_reviews_tokens_dry_runs),
        cmocka_unit_test(test_outcomes__that_are_unknown_say_so),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
