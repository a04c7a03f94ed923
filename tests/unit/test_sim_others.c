/* The others: what people, Terraform, eksctl, ACK, GitOps, EKS and Karpenter do to a world without an operator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/base/str.h"
#include "simulator/others.h"
#include "simulator/virtual/virtual_loop.h"

#define NODES 3
#define WORKER "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
#define CNI "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
#define REGISTRY "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
#define EC2_TRUST                                                                                                      \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":"                     \
    "\"ec2.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}"

static struct sim_world *world;
static struct sim_others *others;

static void pass(int64_t ms) {
    int64_t until = virtual_now_ms() + ms;
    while (virtual_loop_step(until))
        ;
}

static int setup(void **state) {
    (void)state;
    virtual_loop_begin();
    world = sim_world_new(&(struct sim_world_options){.clock = virtual_clock(),
                                                      .seed = 1,
                                                      .nodes = NODES,
                                                      .enforcement_lag_ms = 1000,
                                                      .pod_start_ms = 1000,
                                                      .webhook_lag_ms = 100,
                                                      .key_bits = 1024});
    others = sim_others_new(world);
    pass(10000);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sim_others_free(others);
    sim_world_free(world);
    return 0;
}

static bool try_it(const char *who, const char *does, const struct sim_deed_arg *args, struct error *err) {
    const struct sim_verb *v = sim_verb_find(who, does);
    size_t n = 0;
    assert_non_null(v);
    while (args && args[n].name)
        n++;
    return sim_others_do(others, v, args, n, err);
}

static void do_it(const char *who, const char *does, const struct sim_deed_arg *args) {
    struct error err;
    if (!try_it(who, does, args, &err))
        fail_msg("%s %s: %s", who, does, err.message);
}
#define ARGS(...) ((const struct sim_deed_arg[]){__VA_ARGS__, {NULL, NULL}})

static json *ask(const char *action, const char *role) {
    struct sim_aws_param p = {"RoleName", role};
    struct sim_aws_call call = {.service = "iam", .action = action, .params = &p, .nparams = 1};
    struct sim_aws_answer answer;
    sim_aws_do(sim_world_aws(world), &call, &answer);
    return answer.value;
}

static bool is_attached(const char *role, const char *arn) {
    json *list = ask("ListAttachedRolePolicies", role);
    bool found = false;
    for (const json *it = json_first(json_array(list, "AttachedPolicies")); it; it = it->next)
        found = found || str_eq(json_str(it, "PolicyArn"), arn);
    json_free(list);
    return found;
}

static bool role_says(const char *role, const char *text) {
    json *got = ask("GetRole", role);
    char *printed = json_print(got);
    bool says = got && strstr(printed, text);
    free(printed);
    json_free(got);
    return says;
}

static const json *account(void) {
    return sim_kube_get(sim_world_kube(world), "serviceaccounts", "kube-system", "aws-node");
}

static const char *annotation(void) {
    return str_or(json_key_str(json_path(account(), "metadata.annotations"), "eks.amazonaws.com/role-arn"), "");
}

/* --- names --- */

static void everybody_has_a_name(void **state) {
    char names[512], verbs[1024], little[8];
    (void)state;
    assert_true(sim_actor_names(names, sizeof names));
    struct arena *a = arena_new(0);
    struct strlist all = str_split(names, ',', a);
    assert_int_equal(all.n, 9);
    for (size_t i = 0; i < all.n; i++) {
        assert_true(sim_actor_is(all.v[i]));
        assert_true(sim_verb_names(all.v[i], verbs, sizeof verbs) && verbs[0]);
        struct strlist each = str_split(verbs, ',', a);
        for (size_t v = 0; v < each.n; v++)
            assert_non_null(sim_verb_find(all.v[i], each.v[v]));
    }
    arena_free(a);
    assert_false(sim_actor_is("nobody"));
    assert_null(sim_verb_find("nobody", "restart"));
    assert_null(sim_verb_find("human", "sleeps"));
    assert_false(sim_actor_names(little, sizeof little)); /* cut, and said so */
    assert_int_equal(strlen(little), sizeof little - 1);
}

static void a_refusal_in_the_servers_words(void **state) {
    struct error err;
    (void)state;
    assert_false(try_it("human", "delete-role", ARGS({"role", "nobody"}), &err));
    assert_non_null(strstr(err.message, "human: iam:ListAttachedRolePolicies: NoSuchEntity"));
    assert_false(try_it("human", "delete-binding", NULL, &err));
    assert_non_null(strstr(err.message, "404"));
    assert_false(try_it("human", "delete-pods", ARGS({"count", "many"}), &err));
    assert_non_null(strstr(err.message, "many is no number"));
}

/* --- who comes back --- */

static void terraform_brings_back_what_it_knows(void **state) {
    (void)state;
    do_it("human", "create-role", ARGS({"role", "cni"}, {"trust", EC2_TRUST}));
    do_it("human", "attach-policy", ARGS({"role", "cni"}, {"policy", "AmazonEKS_CNI_Policy"}));
    do_it("human", "tag-role", ARGS({"role", "cni"}, {"key", "team"}, {"value", "a"}));
    do_it("terraform", "records", ARGS({"role", "cni"}));
    do_it("human", "detach-policy", ARGS({"role", "cni"}, {"policy", "AmazonEKS_CNI_Policy"}));
    do_it("human", "attach-policy", ARGS({"role", "cni"}, {"policy", WORKER}));
    do_it("human", "tag-role", ARGS({"role", "cni"}, {"key", "ours"}, {"value", "b"}));
    do_it("eksctl", "creates-iamserviceaccount", NULL); /* another role, which it does not know */
    do_it("terraform", "applies", NULL);
    assert_true(is_attached("cni", CNI));
    assert_true(is_attached("cni", WORKER)); /* attachments of others are not its own */
    assert_true(role_says("cni", "team") && !role_says("cni", "ours"));
    assert_true(role_says("cni", "ec2.amazonaws.com"));
}

static int deeds, deeds_done;

static void count_deed(void *arg, bool done) {
    (void)arg;
    deeds += !done;
    deeds_done += done;
}

static void ack_owns_the_whole_list(void **state) {
    (void)state;
    deeds = deeds_done = 0;
    sim_others_on_deed(others, count_deed, NULL);
    do_it("ack", "owns-role", ARGS({"role", "eks-node"}, {"policies", "AmazonEKSWorkerNodePolicy"}, {"every", "20s"}));
    assert_true(is_attached("eks-node", WORKER) && !is_attached("eks-node", CNI) && !is_attached("eks-node", REGISTRY));
    do_it("human", "attach-policy", ARGS({"role", "eks-node"}, {"policy", CNI}));
    pass(19000);
    assert_true(is_attached("eks-node", CNI));
    pass(2000);
    assert_false(is_attached("eks-node", CNI));
    assert_int_equal(deeds, 3);
    assert_int_equal(deeds_done, 3);
    do_it("ack", "stops", NULL);
    do_it("human", "attach-policy", ARGS({"role", "eks-node"}, {"policy", CNI}));
    pass(60000);
    assert_true(is_attached("eks-node", CNI));
}

static void gitops_takes_the_annotation_off(void **state) {
    (void)state;
    do_it("human", "annotate", ARGS({"role", "cni"}));
    assert_true(str_has_suffix(annotation(), ":role/cni"));
    int64_t before = sim_kube_resource_version(sim_world_kube(world));
    do_it("gitops", "syncs-service-account", NULL);
    assert_string_equal(annotation(), "");
    assert_true(sim_kube_resource_version(sim_world_kube(world)) > before);
    before = sim_kube_resource_version(sim_world_kube(world));
    do_it("gitops", "syncs-service-account", NULL); /* nothing differs, nothing is written */
    assert_int_equal(sim_kube_resource_version(sim_world_kube(world)), before);
    do_it("gitops", "self-heals", ARGS({"every", "5s"}));
    do_it("human", "annotate", ARGS({"role", "cni"}));
    pass(6000);
    assert_string_equal(annotation(), "");
}

static void gitops_prunes_and_applies_the_binding(void **state) {
    (void)state;
    do_it("human", "apply-binding", ARGS({"spec", "{\"suspend\":true}"}));
    do_it("gitops", "prunes-binding", NULL);
    assert_null(sim_kube_get(sim_world_kube(world), "cniiambindings", NULL, "aws-node"));
    do_it("gitops", "applies-binding", NULL);
    const json *b = sim_kube_get(sim_world_kube(world), "cniiambindings", NULL, "aws-node");
    assert_true(json_bool(b, "spec.suspend", false));
}

/* --- who owns --- */

static void eksctl_and_the_service_account(void **state) {
    (void)state;
    do_it("eksctl", "associates-provider", NULL);
    do_it("eksctl", "creates-iamserviceaccount", NULL);
    const char *role = strrchr(annotation(), '/');
    assert_non_null(role);
    assert_true(is_attached(role + 1, CNI));
    do_it("eksctl", "updates-aws-node", NULL);
    assert_string_equal(annotation(), "");
    do_it("eksctl", "deletes-iamserviceaccount", NULL);
    assert_null(account());
}

static void eks_owns_the_annotation_of_its_addon(void **state) {
    (void)state;
    do_it("eks", "creates-addon", ARGS({"role", "cni"}));
    assert_true(str_has_suffix(annotation(), ":role/cni"));
    bool owns = false;
    for (const json *m = json_first(json_array(account(), "metadata.managedFields")); m; m = m->next) {
        char *text = json_print(m);
        owns = owns || (str_eq(json_str(m, "manager"), "eks") && strstr(text, "role-arn"));
        free(text);
    }
    assert_true(owns);
    struct error err;
    assert_false(try_it("eks", "creates-addon", NULL, &err));
    assert_non_null(strstr(err.message, "ResourceInUse"));
    do_it("eks", "deletes-addon", NULL);
    assert_true(str_has_suffix(annotation(), ":role/cni")); /* --preserve */
}

static int pods_on(enum sim_pod_identity identity) {
    static struct sim_node_row rows[16];
    int n = sim_world_rows(world, rows, 16), found = 0;
    for (int i = 0; i < n; i++)
        found += rows[i].ready && rows[i].identity == identity;
    return found;
}

static json *addon(void) {
    const struct sim_aws_param params[] = {{"clusterName", "prod"}, {"addonName", "vpc-cni"}};
    struct sim_aws_call call = {.service = "eks", .action = "DescribeAddon", .params = params, .nparams = 2};
    struct sim_aws_answer answer;
    sim_aws_do(sim_world_aws(world), &call, &answer);
    return answer.value;
}

static void assert_addon(const char *status) {
    json *a = addon();
    assert_string_equal(json_str(a, "addon.status"), status);
    json_free(a);
}

static void an_addon_makes_pods_anew_for_another_role(void **state) {
    (void)state;
    do_it("human", "create-role", ARGS({"role", "cni"}));
    do_it("human", "create-provider", NULL);
    do_it("human", "attach-policy", ARGS({"role", "cni"}, {"policy", CNI}));
    do_it("eks", "creates-addon", NULL);
    pass(60000);
    assert_int_equal(pods_on(SIM_POD_NODE_ROLE), NODES); /* nothing changed for them */
    do_it("eks", "updates-addon", ARGS({"role", "cni"}));
    assert_addon("UPDATING");
    struct error err;
    assert_false(try_it("eks", "updates-addon", NULL, &err));
    assert_non_null(strstr(err.message, "ResourceInUse"));
    pass(60000);
    assert_addon("ACTIVE");
    assert_int_equal(pods_on(SIM_POD_OWN_ROLE), NODES);
    do_it("eks", "updates-addon", NULL); /* an update that does not say the role takes it away */
    assert_string_equal(annotation(), "");
    pass(60000);
    assert_int_equal(pods_on(SIM_POD_NODE_ROLE), NODES);
}

static void an_addon_meets_what_others_own(void **state) {
    (void)state;
    do_it("human", "annotate", ARGS({"role", "mine"}));
    do_it("eks", "creates-addon", NULL);
    do_it("eks", "updates-addon", ARGS({"role", "cni"}));
    assert_true(str_has_suffix(annotation(), ":role/mine"));
    pass(4000);
    assert_addon("UPDATE_FAILED");
    do_it("eks", "updates-addon", ARGS({"role", "cni"}, {"conflicts", "PRESERVE"}));
    pass(4000);
    assert_addon("ACTIVE");
    assert_true(str_has_suffix(annotation(), ":role/mine"));
    do_it("eks", "updates-addon", ARGS({"role", "cni"}, {"conflicts", "OVERWRITE"}));
    assert_true(str_has_suffix(annotation(), ":role/cni"));
}

static void an_association_comes_and_goes(void **state) {
    struct error err;
    (void)state;
    do_it("pod-identity", "associates", ARGS({"role", "cni"}));
    assert_false(try_it("pod-identity", "associates", ARGS({"role", "cni"}), &err)); /* one for an account */
    do_it("pod-identity", "dissociates", NULL);
    assert_false(try_it("pod-identity", "dissociates", NULL, &err));
}

/* --- nodes and trouble --- */

static int ready_pods(void) {
    static struct sim_node_row rows[16];
    int n = sim_world_rows(world, rows, 16), ready = 0;
    for (int i = 0; i < n; i++)
        ready += rows[i].ready;
    return ready;
}

static void nodes_come_and_go(void **state) {
    (void)state;
    assert_int_equal(ready_pods(), NODES);
    do_it("karpenter", "adds-nodes", ARGS({"count", "2"}, {"role", "KarpenterNodeRole-prod"}));
    do_it("karpenter", "adds-nodes", ARGS({"os", "windows"}));
    do_it("eks", "adds-fargate-node", ARGS({"name", "fargate-1"}));
    pass(10000);
    assert_int_equal(ready_pods(), NODES + 2); /* Windows and Fargate have no aws-node */
    assert_true(is_attached("KarpenterNodeRole-prod", CNI));
    do_it("trouble", "node-breaks", ARGS({"number", "1"}));
    pass(10000);
    assert_int_equal(ready_pods(), NODES + 1);
    do_it("trouble", "node-mends", NULL);
    pass(10000);
    assert_int_equal(ready_pods(), NODES + 2);
}

static void throttling_ends(void **state) {
    struct error err;
    (void)state;
    do_it("trouble", "aws-throttles", ARGS({"for", "30s"}));
    assert_false(try_it("human", "fill-roles", NULL, &err));
    assert_false(try_it("human", "create-provider", NULL, &err));
    assert_non_null(strstr(err.message, "Throttling"));
    pass(31000);
    do_it("human", "create-provider", NULL);
}

static void an_account_is_full(void **state) {
    struct error err;
    (void)state;
    do_it("human", "fill-providers", NULL);
    assert_false(try_it("human", "create-provider", NULL, &err));
    assert_non_null(strstr(err.message, "LimitExceeded"));
    do_it("human", "delete-filler", ARGS({"kind", "provider"}));
    do_it("human", "create-provider", NULL);
}

int main(void) {
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_has_a_name),
        WITH_WORLD(a_refusal_in_the_servers_words),
        WITH_WORLD(terraform_brings_back_what_it_knows),
        WITH_WORLD(ack_owns_the_whole_list),
        WITH_WORLD(gitops_takes_the_annotation_off),
        WITH_WORLD(gitops_prunes_and_applies_the_binding),
        WITH_WORLD(eksctl_and_the_service_account),
        WITH_WORLD(eks_owns_the_annotation_of_its_addon),
        WITH_WORLD(an_addon_makes_pods_anew_for_another_role),
        WITH_WORLD(an_addon_meets_what_others_own),
        WITH_WORLD(an_association_comes_and_goes),
        WITH_WORLD(nodes_come_and_go),
        WITH_WORLD(throttling_ends),
        WITH_WORLD(an_account_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
