/* test_views_pod.c - which identity the spec of a pod leads to (S2, G6): every way to be wrong about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crd/views.h"

#define ROLE "arn:aws:iam::111122223333:role/cni"
#define OTHER_ROLE "arn:aws:iam::111122223333:role/else"
#define DIR "/var/run/secrets/eks.amazonaws.com/serviceaccount"
#define TOKEN_VOLUME(audience)                                                                                         \
    "{\"name\":\"aws-iam-token\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{" audience                      \
    "\"expirationSeconds\":86400,\"path\":\"token\"}}]}}"
#define STS TOKEN_VOLUME("\"audience\":\"sts.amazonaws.com\",")
#define ENV(name, value) "{\"name\":\"" name "\",\"value\":\"" value "\"}"
#define PAIR(role) ENV("AWS_ROLE_ARN", role) "," ENV("AWS_WEB_IDENTITY_TOKEN_FILE", DIR "/token")
#define MOUNT "{\"name\":\"aws-iam-token\",\"mountPath\":\"" DIR "\",\"readOnly\":true}"
#define FULL_URI ENV("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")
#define CONTAINER(name, env, mounts)                                                                                   \
    "{\"name\":\"" name "\",\"image\":\"i\",\"env\":[" env "],\"volumeMounts\":[" mounts "]}"
#define META "\"metadata\":{\"name\":\"p\",\"uid\":\"u\",\"resourceVersion\":\"1\"}"
#define POD(init, containers, volumes)                                                                                 \
    "{" META ",\"spec\":{\"initContainers\":[" init "],\"containers\":[" containers "],\"volumes\":[" volumes "]}}"

static struct pod_view *decode(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    if (j == NULL) {
        fail_msg("%s: %s", err.message, text);
    }
    struct pod_view *p = pod_decode(j, &err);
    json_free(j);
    assert_non_null(p);
    return p;
}

struct env_case {
    const char *what;
    const char *env; /* of the only container, aws-node; its token is mounted */
    enum pod_credential want;
    const char *outranked_by;
};

static const struct env_case env_cases[] = {
    {"nothing", "", POD_CREDENTIAL_NODE, NULL},
    {"foreign variables", ENV("WARM_ENI_TARGET", "1"), POD_CREDENTIAL_NODE, NULL},
    {"the pair", PAIR(ROLE), POD_CREDENTIAL_IRSA, NULL},
    {"the pair and the region",
     ENV("AWS_REGION", "us-west-2") "," PAIR(ROLE) "," ENV("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
     POD_CREDENTIAL_IRSA, NULL},
    {"role alone", ENV("AWS_ROLE_ARN", ROLE), POD_CREDENTIAL_NODE, NULL},
    {"file alone", ENV("AWS_WEB_IDENTITY_TOKEN_FILE", DIR "/token"), POD_CREDENTIAL_NODE, NULL},
    {"empty role", PAIR(""), POD_CREDENTIAL_NODE, NULL},
    {"the last of two roles counts, and it is empty", PAIR(ROLE) "," ENV("AWS_ROLE_ARN", ""), POD_CREDENTIAL_NODE,
     NULL},
    {"role from a field", PAIR(ROLE) ",{\"name\":\"AWS_ROLE_ARN\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"x\"}}}",
     POD_CREDENTIAL_NODE, NULL},
    {"role from another variable", PAIR("$(ROLE)"), POD_CREDENTIAL_NODE, NULL},
    {"role that is no string",
     "{\"name\":\"AWS_ROLE_ARN\",\"value\":7}," ENV("AWS_WEB_IDENTITY_TOKEN_FILE", DIR "/token"), POD_CREDENTIAL_NODE,
     NULL},
    {"file that is not mounted", ENV("AWS_ROLE_ARN", ROLE) "," ENV("AWS_WEB_IDENTITY_TOKEN_FILE", "/tmp/token"),
     POD_CREDENTIAL_NODE, NULL},
    {"file of another name in the volume",
     ENV("AWS_ROLE_ARN", ROLE) "," ENV("AWS_WEB_IDENTITY_TOKEN_FILE", DIR "/other"), POD_CREDENTIAL_NODE, NULL},
    {"file beside the mount", ENV("AWS_ROLE_ARN", ROLE) "," ENV("AWS_WEB_IDENTITY_TOKEN_FILE", DIR "x/token"),
     POD_CREDENTIAL_NODE, NULL},
    {"names have their case", ENV("aws_role_arn", ROLE) "," ENV("AWS_WEB_IDENTITY_TOKEN_FILE", DIR "/token"),
     POD_CREDENTIAL_NODE, NULL},
    {"static key", PAIR(ROLE) "," ENV("AWS_ACCESS_KEY_ID", "AKIA"), POD_CREDENTIAL_OTHER, "AWS_ACCESS_KEY_ID"},
    {"static key from a secret",
     PAIR(ROLE) ",{\"name\":\"AWS_ACCESS_KEY_ID\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}}",
     POD_CREDENTIAL_OTHER, "AWS_ACCESS_KEY_ID"},
    {"empty static key is none", PAIR(ROLE) "," ENV("AWS_ACCESS_KEY_ID", ""), POD_CREDENTIAL_IRSA, NULL},
    {"static key, then emptied", ENV("AWS_ACCESS_KEY_ID", "AKIA") "," PAIR(ROLE) ",{\"name\":\"AWS_ACCESS_KEY_ID\"}",
     POD_CREDENTIAL_IRSA, NULL},
    {"emptied, then a static key", ENV("AWS_ACCESS_KEY_ID", "") "," PAIR(ROLE) "," ENV("AWS_ACCESS_KEY_ID", "AKIA"),
     POD_CREDENTIAL_OTHER, "AWS_ACCESS_KEY_ID"},
    {"static key without the pair", ENV("AWS_ACCESS_KEY_ID", "AKIA"), POD_CREDENTIAL_OTHER, "AWS_ACCESS_KEY_ID"},
    {"old name of the key", PAIR(ROLE) "," ENV("AWS_ACCESS_KEY", "AKIA"), POD_CREDENTIAL_OTHER, "AWS_ACCESS_KEY"},
    {"secret key alone", PAIR(ROLE) "," ENV("AWS_SECRET_ACCESS_KEY", "s"), POD_CREDENTIAL_OTHER,
     "AWS_SECRET_ACCESS_KEY"},
    {"old name of the secret key", PAIR(ROLE) "," ENV("AWS_SECRET_KEY", "s"), POD_CREDENTIAL_OTHER, "AWS_SECRET_KEY"},
    {"profile", PAIR(ROLE) "," ENV("AWS_PROFILE", "p"), POD_CREDENTIAL_OTHER, "AWS_PROFILE"},
    {"default profile", PAIR(ROLE) "," ENV("AWS_DEFAULT_PROFILE", "p"), POD_CREDENTIAL_OTHER, "AWS_DEFAULT_PROFILE"},
    {"credentials file", PAIR(ROLE) "," ENV("AWS_SHARED_CREDENTIALS_FILE", "/c"), POD_CREDENTIAL_OTHER,
     "AWS_SHARED_CREDENTIALS_FILE"},
    {"config file", PAIR(ROLE) "," ENV("AWS_CONFIG_FILE", "/c"), POD_CREDENTIAL_OTHER, "AWS_CONFIG_FILE"},
    {"Pod Identity", FULL_URI, POD_CREDENTIAL_POD_IDENTITY, NULL},
    {"Pod Identity that cannot be read", "{\"name\":\"AWS_CONTAINER_CREDENTIALS_FULL_URI\",\"valueFrom\":{}}",
     POD_CREDENTIAL_NODE, NULL},
    {"both kinds", PAIR(ROLE) "," FULL_URI, POD_CREDENTIAL_OTHER, "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
    {"half a pair and Pod Identity", ENV("AWS_ROLE_ARN", ROLE) "," FULL_URI, POD_CREDENTIAL_OTHER,
     "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
    {"ECS endpoint", ENV("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"), POD_CREDENTIAL_OTHER,
     "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
    {"the pair and an ECS endpoint", PAIR(ROLE) "," ENV("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"),
     POD_CREDENTIAL_OTHER, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
};

static void test_pod_decode__reads_env_as_the_sdk_does(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof env_cases / sizeof env_cases[0]; i++) {
        const struct env_case *c = &env_cases[i];
        char text[4096];
        const char *role;
        (void)snprintf(text, sizeof text, POD("", CONTAINER("aws-node", "%s", MOUNT), STS), c->env);
        struct pod_view *p = decode(text);
        if (pod_credential(p, &role) != c->want || !str_eq(p->containers[0].outranked_by, c->outranked_by)) {
            fail_msg("%s: %d, outranked by %s", c->what, (int)p->containers[0].credential,
                     str_or(p->containers[0].outranked_by, "-"));
        }
        assert_true((c->want == POD_CREDENTIAL_IRSA) == str_eq(role, ROLE));
        pod_free(p);
    }
}

struct mount_case {
    const char *what, *mounts, *volumes;
    bool mounted;
    const char *audience;
};

static const struct mount_case mount_cases[] = {
    {"as the webhook does", MOUNT, STS, true, "sts.amazonaws.com"},
    {"no volume", MOUNT, "", false, NULL},
    {"no mount", "", STS, false, NULL},
    {"trailing slash", "{\"name\":\"aws-iam-token\",\"mountPath\":\"" DIR "/\"}", STS, true, "sts.amazonaws.com"},
    {"from above", "{\"name\":\"aws-iam-token\",\"mountPath\":\"/var/run/secrets/eks.amazonaws.com\"}", STS, false,
     NULL},
    {"audience of the API server", MOUNT, TOKEN_VOLUME(""), true, ""},
    {"audience of Pod Identity", MOUNT, TOKEN_VOLUME("\"audience\":\"pods.eks.amazonaws.com\","), true,
     "pods.eks.amazonaws.com"},
    {"subPath", "{\"name\":\"aws-iam-token\",\"mountPath\":\"" DIR "\",\"subPath\":\"a\"}", STS, false, NULL},
    {"subPathExpr", "{\"name\":\"aws-iam-token\",\"mountPath\":\"" DIR "\",\"subPathExpr\":\"$(A)\"}", STS, false,
     NULL},
    {"the file itself is mounted", "{\"name\":\"aws-iam-token\",\"mountPath\":\"" DIR "/token\"}", STS, false, NULL},
    {"a host path", MOUNT, "{\"name\":\"aws-iam-token\",\"hostPath\":{\"path\":\"/x\"}}", false, NULL},
    {"hidden by a deeper mount", MOUNT ",{\"name\":\"x\",\"mountPath\":\"" DIR "/token\"}",
     STS ",{\"name\":\"x\",\"emptyDir\":{}}", false, NULL},
    {"above another mount", "{\"name\":\"x\",\"mountPath\":\"/var/run\"}," MOUNT,
     STS ",{\"name\":\"x\",\"emptyDir\":{}}", true, "sts.amazonaws.com"},
    {"mounted at the root", "{\"name\":\"x\",\"mountPath\":\"/\"}", "{\"name\":\"x\",\"emptyDir\":{}}", false, NULL},
    {"a configMap in the projection", MOUNT,
     "{\"name\":\"aws-iam-token\",\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"c\"}}]}}", false, NULL},
    {"mount without a name", "{\"mountPath\":\"" DIR "\"}", STS, false, NULL},
    {"garbage", "7,null,\"x\",{\"mountPath\":7}", STS ",7", false, NULL},
};

static void test_pod_decode__finds_the_token_that_is_really_there(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mount_cases / sizeof mount_cases[0]; i++) {
        const struct mount_case *c = &mount_cases[i];
        char text[4096];
        const char *role;
        (void)snprintf(text, sizeof text, POD("", CONTAINER("aws-node", PAIR(ROLE), "%s"), "%s"), c->mounts,
                       c->volumes);
        struct pod_view *p = decode(text);
        if (p->containers[0].token_mounted != c->mounted || !str_eq(p->token_audience, c->audience)) {
            fail_msg("%s: mounted %d, audience %s", c->what, p->containers[0].token_mounted,
                     str_or(p->token_audience, "-"));
        }
        assert_int_equal(pod_credential(p, &role), c->mounted ? POD_CREDENTIAL_IRSA : POD_CREDENTIAL_NODE);
        assert_string_equal(p->containers[0].role_arn, ROLE);
        pod_free(p);
    }
}

#define GOOD(name) CONTAINER(name, PAIR(ROLE), MOUNT)
#define BARE(name) CONTAINER(name, "", "")
#define ELSE(name) CONTAINER(name, PAIR(OTHER_ROLE), MOUNT)
#define KEYS(name) CONTAINER(name, PAIR(ROLE) "," ENV("AWS_ACCESS_KEY_ID", "k"), MOUNT)
#define PODID(name) CONTAINER(name, FULL_URI, "")
#define SKIP(list)                                                                                                     \
    "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\",\"resourceVersion\":\"1\",\"annotations\":{"                          \
    "\"eks.amazonaws.com/skip-containers\":\"" list "\"}},\"spec\":{\"initContainers\":["

struct pod_case {
    const char *what, *text;
    enum pod_credential want;
    bool unreadable;
};

static const struct pod_case pod_cases[] = {
    {"all three injected", POD(GOOD("init"), GOOD("aws-node") "," GOOD("agent"), STS), POD_CREDENTIAL_IRSA, false},
    {"none injected", POD(BARE("init"), BARE("aws-node") "," BARE("agent"), ""), POD_CREDENTIAL_NODE, false},
    {"init container missed", POD(BARE("init"), GOOD("aws-node") "," GOOD("agent"), STS), POD_CREDENTIAL_NODE, false},
    {"aws-node missed", POD(GOOD("init"), BARE("aws-node") "," GOOD("agent"), STS), POD_CREDENTIAL_NODE, false},
    {"agent missed", POD(GOOD("init"), GOOD("aws-node") "," BARE("agent"), STS), POD_CREDENTIAL_NODE, false},
    {"agent skipped",
     SKIP(" x, agent ") "],\"containers\":[" GOOD("aws-node") "," BARE("agent") "],\"volumes\":[" STS "]}}",
     POD_CREDENTIAL_IRSA, false},
    {"aws-node may not be skipped",
     SKIP("aws-node,agent") "],\"containers\":[" BARE("aws-node") "," BARE("agent") "],\"volumes\":[" STS "]}}",
     POD_CREDENTIAL_NODE, false},
    {"a skipped one with another identity",
     SKIP("agent") "],\"containers\":[" GOOD("aws-node") "," ELSE("agent") "],\"volumes\":[" STS "]}}",
     POD_CREDENTIAL_OTHER, false},
    {"two roles", POD(ELSE("init"), GOOD("aws-node"), STS), POD_CREDENTIAL_OTHER, false},
    {"keys in one", POD(GOOD("init"), GOOD("aws-node") "," KEYS("agent"), STS), POD_CREDENTIAL_OTHER, false},
    {"keys in one, another missed", POD(KEYS("init"), GOOD("aws-node") "," BARE("agent"), STS), POD_CREDENTIAL_NODE,
     false},
    {"Pod Identity in all", POD(PODID("init"), PODID("aws-node"), ""), POD_CREDENTIAL_POD_IDENTITY, false},
    {"one of each kind", POD(PODID("init"), GOOD("aws-node"), STS), POD_CREDENTIAL_OTHER, false},
    {"no container aws-node", POD("", GOOD("else"), STS), POD_CREDENTIAL_NODE, false},
    {"envFrom",
     "{" META ",\"spec\":{\"containers\":[{\"name\":\"aws-node\",\"envFrom\":[{\"configMapRef\":{\"name\":\"c\"}}],"
     "\"env\":[" PAIR(ROLE) "],\"volumeMounts\":[" MOUNT "]}],\"volumes\":[" STS "]}}",
     POD_CREDENTIAL_NODE, false},
    {"no spec", "{" META "}", POD_CREDENTIAL_NODE, true},
    {"no containers", "{" META ",\"spec\":{\"containers\":[]}}", POD_CREDENTIAL_NODE, true},
    {"containers as a map", "{" META ",\"spec\":{\"containers\":{\"aws-node\":{}}}}", POD_CREDENTIAL_NODE, true},
    {"init containers as a map",
     "{" META ",\"spec\":{\"initContainers\":{\"x\":{}},\"containers\":[" GOOD("aws-node") "],\"volumes\":[" STS "]}}",
     POD_CREDENTIAL_NODE, true},
    {"a container without a name", POD("", GOOD("aws-node") ",{}", STS), POD_CREDENTIAL_NODE, true},
    {"an ephemeral container does not count",
     "{" META ",\"spec\":{\"ephemeralContainers\":[" BARE("debug") "],\"containers\":[" GOOD(
         "aws-node") "],\"volumes\":[" STS "]}}",
     POD_CREDENTIAL_IRSA, false},
};

static void test_pod_credential__is_the_worst_of_all_containers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pod_cases / sizeof pod_cases[0]; i++) {
        const struct pod_case *c = &pod_cases[i];
        const char *role;
        struct pod_view *p = decode(c->text);
        enum pod_credential got = pod_credential(p, &role);
        if (got != c->want || p->unreadable != c->unreadable) {
            fail_msg("%s: %d, unreadable %d", c->what, (int)got, p->unreadable);
        }
        assert_true((got == POD_CREDENTIAL_IRSA) == (role != NULL));
        pod_free(p);
    }
}

static void test_pod_decode__envFrom_is_named(void **state) {
    (void)state;
    struct pod_view *p = decode("{" META ",\"spec\":{\"containers\":[{\"name\":\"aws-node\",\"envFrom\":[{}]}]}}");
    assert_string_equal(p->containers[0].outranked_by, "envFrom");
    pod_free(p);
}

static void test_pod_decode__too_many_containers_are_unreadable(void **state) {
    (void)state;
    char text[16384] = "{" META ",\"spec\":{\"volumes\":[" STS "],\"containers\":[";
    for (int i = 0; i <= VIEW_CONTAINERS_MAX; i++) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, "%s" CONTAINER("%s%d", PAIR(ROLE), MOUNT), i ? "," : "",
                       i ? "c" : "aws-node", i);
    }
    strcat(text, "]}}");
    struct pod_view *p = decode(text);
    const char *role;
    assert_true(p->unreadable);
    assert_int_equal(p->ncontainers, VIEW_CONTAINERS_MAX);
    assert_int_equal(pod_credential(p, &role), POD_CREDENTIAL_NODE);
    pod_free(p);
}

static void test_pod_decode__audiences_that_differ_are_none(void **state) {
    (void)state;
    struct pod_view *p =
        decode(POD("", GOOD("aws-node") "," CONTAINER("b", PAIR(ROLE), "{\"name\":\"v2\",\"mountPath\":\"" DIR "\"}"),
                   STS ",{\"name\":\"v2\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"audience\":\"x\","
                       "\"path\":\"token\"}}]}}"));
    assert_null(p->token_audience);
    pod_free(p);
}

static void test_pod_decode__reads_state_and_owner(void **state) {
    (void)state;
    struct pod_view *p = decode(
        "{\"metadata\":{\"name\":\"aws-node-x\",\"namespace\":\"kube-system\",\"uid\":\"u\",\"resourceVersion\":\"7\","
        "\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"deletionTimestamp\":\"2026-01-02T03:04:06Z\","
        "\"labels\":{\"controller-revision-hash\":\"h\",\"eks.amazonaws.com/skip-pod-identity-webhook\":\"\"},"
        "\"annotations\":{\"cniiam.dev/restarted-for\":\"k\"},"
        "\"ownerReferences\":[{\"kind\":\"Node\",\"uid\":\"n\",\"controller\":false},"
        "{\"kind\":\"DaemonSet\",\"uid\":\"d\",\"controller\":true}]},"
        "\"spec\":{\"nodeName\":\"n1\",\"serviceAccountName\":\"aws-node\",\"hostNetwork\":true,"
        "\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"aws-node\",\"image\":\"img\"}]},"
        "\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
        "\"containerStatuses\":[{\"name\":\"aws-node\",\"ready\":true,\"restartCount\":3,"
        "\"state\":{\"running\":{\"startedAt\":\"2026-01-02T03:04:07Z\"}}}]}}");
    const struct container_view *c = pod_container(p, "aws-node");
    assert_string_equal(p->meta.ns, "kube-system");
    assert_string_equal(p->node, "n1");
    assert_string_equal(p->owner_uid, "d");
    assert_string_equal(p->revision_hash, "h");
    assert_string_equal(p->restarted_for, "k");
    assert_true(p->skip_webhook && p->host_network && p->ready);
    assert_int_equal(p->meta.deletion_ms - p->meta.creation_ms, 1000);
    assert_int_equal(c->started_ms - p->meta.creation_ms, 2000);
    assert_int_equal(c->restart_count, 3);
    assert_true(c->ready && !c->init && p->containers[0].init);
    assert_null(pod_container(p, "agent"));
    pod_free(p);
}

static void test_pod_decode__absence_is_not_readiness(void **state) {
    (void)state;
    struct pod_view *p = decode("{" META ",\"spec\":{\"containers\":[{\"name\":\"aws-node\"}]}}");
    assert_false(p->ready);
    assert_false(p->containers[0].ready);
    assert_string_equal(p->node, "");
    assert_null(p->owner_uid);
    assert_null(p->token_audience);
    pod_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pod_decode__reads_env_as_the_sdk_does),
        cmocka_unit_test(test_pod_decode__finds_the_token_that_is_really_there),
        cmocka_unit_test(test_pod_credential__is_the_worst_of_all_containers),
        cmocka_unit_test(test_pod_decode__envFrom_is_named),
        cmocka_unit_test(test_pod_decode__too_many_containers_are_unreadable),
        cmocka_unit_test(test_pod_decode__audiences_that_differ_are_none),
        cmocka_unit_test(test_pod_decode__reads_state_and_owner),
        cmocka_unit_test(test_pod_decode__absence_is_not_readiness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
