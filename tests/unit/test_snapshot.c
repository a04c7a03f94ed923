/* test_snapshot.c - a snapshot: what is copied into it, what is read of it, where it is wrong, and the world that it makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/base/arena.h"
#include "simulator/snapshot.h"
#include "simulator/virtual/virtual_loop.h"
#include "simulator/world_load.h"

#define SMALL TESTS_DIR "/fuzz/seeds/fuzz_snapshot/small.json"
#define CNI_POLICY "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
#define NODE_ROLE "arn:aws:iam::111122223333:role/eks-node"

static struct arena *arena;
static char *small;

static int setup(void **state) {
    (void)state;
    FILE *f = fopen(SMALL, "r");
    assert_non_null(f);
    arena = arena_new(0);
    small = arena_alloc(arena, 64 * 1024);
    size_t n = fread(small, 1, 64 * 1024 - 1, f);
    assert_true(n > 1000 && n < 64 * 1024 - 1);
    fclose(f);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

/* The small one with the first of these texts in place of the other. */
static const char *with(const char *from, const char *to) {
    const char *at = strstr(small, from);
    assert_non_null(at);
    return arena_printf(arena, "%.*s%s%s", (int)(at - small), small, to, at + strlen(from));
}

static struct snapshot *parse(const char *text, struct error *err) {
    return snapshot_parse("s.json", text, strlen(text), err);
}

static struct sim_world *load(const char *text, struct error *err) {
    struct snapshot *s = parse(text, err);
    assert_non_null(s);
    struct sim_world *w = sim_world_load(
        &(struct sim_world_options){
            .clock = virtual_clock(), .seed = 1, .enforcement_lag_ms = 5000, .pod_start_ms = 1000},
        s, err);
    snapshot_free(s);
    return w;
}

/* --- reading --- */

static int line_of(const char *text, const char *what) {
    int line = 1;
    for (const char *p = text; p < strstr(text, what); p++)
        line += *p == '\n';
    return line;
}

static void test_what_is_wrong_is_told_with_its_line(void **state) {
    static const struct {
        const char *from, *to, *says, *at; /* at: a text of the line; NULL: line 1 */
    } rows[] = {
        {"\"kind\": \"Snapshot\"", "\"kind\": \"Rehearsal\"", "kind: expected kind \"Snapshot\"", "Rehearsal"},
        {"\"version\": 1", "\"version\": 2", "version: expected version 1; take the snapshot again", "\"version\": 2"},
        {"\"version\": 1,", "", "expected version 1", NULL},
        {"\"takenAt\"", "\"takenat\"", "takenat: expected no such field", "takenat"},
        {"\"nodes\": [", "\"node\": [", "kubernetes.node: expected no such field", "\"node\": ["},
        {"\"account\": \"111122223333\"", "\"account\": 111122223333", "aws.account: expected a text",
         "\"account\": 1111"},
        {"\"generation\": 1", "\"generation\": 1.5", "metadata.generation: expected a whole number", "1.5"},
        {"\"hostNetwork\": true", "\"hostNetwork\": \"yes\"", "hostNetwork: expected true or false", "\"yes\""},
        {"\"absentRoles\": [", "\"absentRoles\": [7,", "aws.absentRoles[0]: expected a text", "absentRoles"},
        {"\"clientIds\": [", "\"clientId\": [", "aws.providers[0].clientId: expected no such field", "\"clientId\""},
        {"\"unknown\": []", "\"unknown\": {}", "unknown: expected a list of texts", "\"unknown\""},
        {"\"maxUnavailable\": \"10%\"", "\"maxUnavailable\": true", "maxUnavailable: expected a number or a text",
         "true"},
        {"\"webhook\": \"Present\",", "", "kubernetes: expected a field \"webhook\", a text", "\"kubernetes\""},
        {"\"kind\": \"Snapshot\",", "\"kind\": \"Snapshot\"", "expected JSON: ", "\"version\""},
        {"\"unknown\": [", "\"unknown\": [\"\x01\"", "expected JSON: JSON: control byte", "\"unknown\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err;
        const char *text = with(rows[i].from, rows[i].to);
        assert_null(parse(text, &err));
        assert_int_equal(err.code, ERR_PARSE);
        if (!strstr(err.message, rows[i].says))
            fail_msg("row %zu: %s", i, err.message);
        const char *begins = arena_printf(arena, "s.json:%d: ", rows[i].at ? line_of(text, rows[i].at) : 1);
        if (strncmp(err.message, begins, strlen(begins)) != 0)
            fail_msg("row %zu: not %s%s", i, begins, err.message);
    }
}

static void test_what_is_no_snapshot_at_all(void **state) {
    static const char *const texts[] = {
        "", "[]", "null", "\"x\"", "{}", "{\"kind\": 7}", "{\"kind\": \"Snapshot\"}", "nonsense"};
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_null(parse(texts[i], &err));
        assert_int_equal(err.code, ERR_PARSE);
        assert_int_equal(strncmp(err.message, "s.json:1: ", 10), 0);
    }
    assert_null(snapshot_parse("s.json", "", SNAPSHOT_TEXT_MAX + 1, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
}

/* --- taking --- */

static void test_nothing_but_the_named_fields_is_copied(void **state) {
    static const char text[] =
        "{\"kubernetes\": {\"secret\": \"S1\", \"serviceAccount\": {\"metadata\": {\"name\": \"aws-node\", "
        "\"annotations\": "
        "{\"note\": \"S2\", \"kubectl.kubernetes.io/last-applied-configuration\": \"S3\", "
        "\"eks.amazonaws.com/role-arn\": "
        "\"kept1\"}, \"labels\": {\"x\": \"S4\"}, \"managedFields\": \"S5\"}, \"secrets\": [{\"name\": \"S6\"}]}, "
        "\"pods\": [{\"metadata\": {}, \"spec\": {\"containers\": [{\"name\": \"kept2\", \"args\": [\"S7\"], \"env\": ["
        "{\"name\": \"KEPT3\", \"value\": \"S8\"}, {\"name\": \"A\", \"value\": \"S9$(B)\"}, {\"name\": \"KEPT4\", "
        "\"valueFrom\": {\"secretKeyRef\": {\"name\": \"S10\"}}}, {\"name\": \"AWS_ROLE_ARN\", \"value\": \"kept5\"}, "
        "{\"name\": \"E\", \"value\": \"\"}], \"envFrom\": [{\"secretRef\": {\"name\": \"S11\"}}]}], \"volumes\": "
        "[{\"name\": "
        "\"kept6\", \"secret\": {\"secretName\": \"S12\"}, \"projected\": {\"sources\": [{\"secret\": {\"name\": "
        "\"S13\"}}]}}]}}]}}";
    struct error err;
    struct buf out;
    (void)state;
    json *tree = json_parse(text, strlen(text), &err), *copy = snapshot_copy(tree);
    assert_non_null(tree);
    buf_init(&out, SNAPSHOT_TEXT_MAX);
    snapshot_print(copy, &out);
    for (int i = 1; i <= 13; i++)
        if (strstr(buf_str(&out), arena_printf(arena, "\"S%d", i)))
            fail_msg("S%d is in it: %s", i, buf_str(&out));
    for (int i = 1; i <= 6; i++)
        if (!strstr(buf_str(&out), arena_printf(arena, "%s%d", i == 3 || i == 4 ? "KEPT" : "kept", i)))
            fail_msg("%d is not in it: %s", i, buf_str(&out));
    /* Whether a variable is set, and whether anybody could know its value, stays. */
    assert_non_null(strstr(buf_str(&out), "\"value\": \"(left out)\""));
    assert_non_null(strstr(buf_str(&out), "\"value\": \"$(LEFT_OUT)\""));
    assert_non_null(strstr(buf_str(&out), "\"value\": \"\""));
    assert_non_null(strstr(buf_str(&out), "\"valueFrom\": {}"));
    assert_non_null(strstr(buf_str(&out), "\"envFrom\": [\n"));
    buf_done(&out);
    json_free(copy);
    json_free(tree);
}

static void test_text_comes_back_as_it_was(void **state) {
    struct error err;
    struct buf out;
    (void)state;
    struct snapshot *s = parse(small, &err);
    assert_non_null(s);
    json *copy = snapshot_copy(snapshot_root(s));
    assert_true(json_equal(copy, snapshot_root(s)));
    buf_init(&out, SNAPSHOT_TEXT_MAX);
    snapshot_print(copy, &out);
    struct snapshot *again = parse(buf_str(&out), &err);
    assert_non_null(again);
    assert_true(json_equal(snapshot_root(again), snapshot_root(s)));
    buf_done(&out);
    json_free(copy);
    snapshot_free(again);
    snapshot_free(s);
}

/* --- the world --- */

static void test_what_contradicts_itself_makes_no_world(void **state) {
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"account\": \"111122223333\"", "\"account\": \"1111\"", "aws.account: expected the 12 digits"},
        {"\"region\": \"us-west-2\"", "\"region\": \"eu-west-1\"", "aws.cluster.arn: expected arn:aws:eks:eu-west-1"},
        {"\"ipFamily\": \"ipv4\"", "\"ipFamily\": \"ipx\"", "ipFamily: expected ipv4 or ipv6"},
        {"\"webhook\": \"Present\"", "\"webhook\": \"Here\"",
         "kubernetes.webhook: expected Present, Absent or Unknown"},
        {"\"profile\": \"eks-node-memory\"", "\"profile\": \"other\"", "expected a profile that aws.profiles has"},
        {"\"permissionsBoundary\": \"arn:aws:iam::111122223333:policy/team/boundary\"",
         "\"permissionsBoundary\": \"arn:aws:iam::111122223333:policy/none\"",
         "expected a policy that aws.policies has"},
        {"\"arn\": \"" NODE_ROLE "\"", "\"arn\": \"" NODE_ROLE "-2\"", "expected " NODE_ROLE ", as account, path"},
        {"\"id\": \"i-0ba57104b0000000f\"", "\"id\": \"x\"", "expected the id of an instance"},
        {"\"role\": \"eks-node-memory\"", "\"role\": \"gone\"", "expected a role that aws.roles has"},
        {"\"url\": \"https://", "\"url\": \"http://", "aws.providers[0].arn: expected a provider that IAM takes"},
        {"\"name\": \"aws-node-00002\"", "\"name\": \"aws-node-00001\"", "expected a Pod that the API server takes"},
        {"\"namespace\": \"kube-system\"", "\"namespace\": \"default\"",
         "metadata.namespace: expected namespace kube-system"},
        {"\"name\": \"eks-node-memory\",\n        \"path\"", "\"name\": \"eks-node\",\n        \"path\"",
         "expected the name of a role, and no second"},
    };
    (void)state;
    virtual_loop_begin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err;
        error_clear(&err);
        struct sim_world *w = load(with(rows[i].from, rows[i].to), &err);
        if (w || err.code != ERR_PARSE || !strstr(err.message, rows[i].says) || strncmp(err.message, "s.json:", 7) != 0)
            fail_msg("row %zu: %s", i, err.message);
    }
    virtual_loop_end();
}

static int count(struct sim_world *w, enum sim_pod_identity identity, bool permitted) {
    struct sim_node_row rows[8];
    int found = 0, n = sim_world_rows(w, rows, 8);
    for (int i = 0; i < n; i++)
        found += rows[i].identity == identity && rows[i].ready && rows[i].permitted == permitted;
    assert_int_equal(n, 3);
    return found;
}

static void pass(int64_t ms) {
    for (int64_t until = virtual_now_ms() + ms; virtual_loop_step(until);)
        ;
}

static const char *created(struct sim_world *w, const char *pod) {
    const json *object = sim_kube_get(sim_world_kube(w), "pods", "kube-system", pod);
    assert_non_null(object);
    return json_str(object, "metadata.creationTimestamp");
}

static int detach(struct sim_world *w, const char *role) {
    struct sim_aws_param p[] = {{"RoleName", role}, {"PolicyArn", CNI_POLICY}};
    struct sim_aws_call call = {.service = "iam", .action = "DetachRolePolicy", .params = p, .nparams = 2};
    struct sim_aws_answer answer;
    sim_aws_do(sim_world_aws(w), &call, &answer);
    json_free(answer.value);
    return answer.status;
}

static void test_the_world_is_the_one_of_the_snapshot(void **state) {
    struct error err;
    (void)state;
    virtual_loop_begin();
    struct sim_world *w = load(small, &err);
    assert_non_null(w);
    int64_t before = sim_kube_resource_version(sim_world_kube(w));
    assert_int_equal(count(w, SIM_POD_NODE_ROLE, true), 3); /* at once: nothing has to be enforced yet */
    pass(60000);
    assert_int_equal(count(w, SIM_POD_NODE_ROLE, true), 3);
    assert_int_equal(sim_kube_resource_version(sim_world_kube(w)), before); /* pods and DaemonSet were settled */
    assert_string_equal(created(w, "aws-node-00002"), "2026-01-01T00:00:00Z");
    assert_string_equal(sim_aws_role_of_instance(sim_world_aws(w), "i-0ba57104b0000000f"), NODE_ROLE "-memory");
    assert_false(sim_aws_allows(sim_world_aws(w), NODE_ROLE, "logs:PutLogEvents"));
    assert_true(
        sim_aws_allows(sim_world_aws(w), NODE_ROLE "-memory", "logs:PutLogEvents")); /* inline, in the boundary */
    sim_world_free(w);
    virtual_loop_end();
}

static void test_the_lag_begins_with_the_first_change(void **state) {
    struct error err;
    (void)state;
    virtual_loop_begin();
    struct sim_world *w = load(small, &err);
    assert_non_null(w);
    assert_int_equal(detach(w, "eks-node"), 200);
    assert_true(sim_aws_allows(sim_world_aws(w), NODE_ROLE, "ec2:AssignPrivateIpAddresses"));
    pass(20000);
    assert_false(sim_aws_allows(sim_world_aws(w), NODE_ROLE, "ec2:AssignPrivateIpAddresses"));
    assert_int_equal(count(w, SIM_POD_NODE_ROLE, true), 1); /* that of the other node role */
    sim_world_free(w);
    virtual_loop_end();
}

static void test_a_pod_of_an_older_template_is_replaced(void **state) {
    struct error err;
    (void)state;
    virtual_loop_begin();
    const char *old =
        with("\"creationTimestamp\": \"2026-01-01T00:00:00Z\",\n          \"generation\": 1,\n          \"labels\": {\n"
             "            \"k8s-app\": \"aws-node\",\n            \"app.kubernetes.io/name\": \"aws-node\",\n"
             "            \"controller-revision-hash\": \"",
             "\"creationTimestamp\": \"2025-01-01T00:00:00Z\",\n          \"generation\": 1,\n          \"labels\": {\n"
             "            \"k8s-app\": \"aws-node\",\n            \"app.kubernetes.io/name\": \"aws-node\",\n"
             "            \"controller-revision-hash\": \"older");
    struct sim_world *w = load(old, &err);
    assert_non_null(w);
    pass(60000);
    assert_string_not_equal(created(w, "aws-node-00001"), "2025-01-01T00:00:00Z"); /* another one of that name */
    assert_string_equal(created(w, "aws-node-00002"), "2026-01-01T00:00:00Z");
    assert_int_equal(count(w, SIM_POD_NODE_ROLE, true), 3);
    sim_world_free(w);
    virtual_loop_end();
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_wrong_is_told_with_its_line),    TEST(test_what_is_no_snapshot_at_all),
        TEST(test_nothing_but_the_named_fields_is_copied), TEST(test_text_comes_back_as_it_was),
        TEST(test_what_contradicts_itself_makes_no_world), TEST(test_the_world_is_the_one_of_the_snapshot),
        TEST(test_the_lag_begins_with_the_first_change),   TEST(test_a_pod_of_an_older_template_is_replaced),
    };
    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
