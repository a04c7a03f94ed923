/* Scenario files: what they may say, and what is said of those that are wrong: where, and what was expected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "bench/scenario_set.h"
#include "platform/base/str.h"

#define HEAD "about: a\nsources: [b]\nspec: {}\n"
#define GOOD HEAD "expect: {ends: migrated}\n"

static struct scenario *parse(const char *text) {
    struct error err;
    struct scenario *s = scenario_parse("x", "x.yaml", text, strlen(text), &err);
    if (!s)
        fail_msg("%s", err.message);
    return s;
}

static void usual_world(void **state) {
    (void)state;
    struct scenario *s = parse(GOOD);
    assert_string_equal(s->options.scenario, "x");
    assert_string_equal(s->options.spec, "{}");
    assert_int_equal(s->options.nodes, 4);
    assert_int_equal(s->options.enforcement_lag_ms, 4000);
    assert_false(s->swept);
    assert_ptr_equal(s->options.story, &s->story);
    assert_int_equal(s->story.nsteps, 0);
    assert_int_equal(s->story.end, STORY_ENDS_MIGRATED);
    assert_int_equal(s->story.deletion, STORY_DELETION_RESTORES);
    scenario_free(s);
}

static void world_and_spec(void **state) {
    (void)state;
    struct scenario *s = parse("about: a\nsources: [b]\nswept: true\n"
                               "world: {nodes: 7, onDelete: true, ipv6: true, webhookMisses: 2, webhookLag: 1s, "
                               "enforcementLag: 1m30s, podStart: 250ms, networkDelay: 5ms, foreignConsumer: true, "
                               "operatorRole: true}\n"
                               "spec: {a: 1, b: [x, \"1\", true, ~], c: {d: -2.5}}\n"
                               "expect: {ends: migrated}\n");
    const struct bench_options *o = &s->options;
    assert_true(s->swept);
    assert_int_equal(o->nodes, 7);
    assert_true(o->on_delete && o->ipv6 && o->foreign_consumer && o->operator_role);
    assert_int_equal(o->webhook_misses, 2);
    assert_int_equal(o->webhook_lag_ms, 1000);
    assert_int_equal(o->enforcement_lag_ms, 90000);
    assert_int_equal(o->pod_start_ms, 250);
    assert_int_equal(o->delay_max_ms, 5);
    assert_string_equal(o->spec, "{\"a\":1,\"b\":[\"x\",\"1\",true,null],\"c\":{\"d\":-2.5}}");
    scenario_free(s);
}

static void steps_in_their_order(void **state) {
    (void)state;
    struct scenario *s =
        parse(HEAD "steps:\n"
                   "  - {when: start, who: human, does: fill-roles}\n"
                   "  - {when: next, who: human, does: delete-role, with: {role: r}}\n"
                   "  - {when: write 12, wait: 3s, who: human, does: attach-policy, with: {role: r, policy: p}}\n"
                   "  - {when: call aws CreateRole, who: human, does: restart}\n"
                   "  - {when: condition Stalled RoleNotOurs, who: human, does: restart}\n"
                   "  - {when: migrated, repairedWithin: 2m, who: human, does: delete-pods}\n"
                   "  - {when: gone, who: human, does: restart}\n"
                   "  - {when: deleting, who: human, does: restart}\n"
                   "expect: {ends: stalled, reason: RoleNotOurs, message: eks, deletion: retains}\n");
    const struct story_step *p = s->story.steps;
    assert_int_equal(s->story.nsteps, 8);
    assert_int_equal(p[0].when, STORY_START);
    assert_int_equal(p[0].line, 5);
    assert_int_equal(p[1].when, STORY_START); /* next, within the start */
    assert_string_equal(p[1].args[0].value, "r");
    assert_int_equal(p[2].when, STORY_WRITE);
    assert_int_equal(p[2].write, 12);
    assert_int_equal(p[2].wait_ms, 3000);
    assert_int_equal(p[2].nargs, 2);
    assert_ptr_equal(p[2].verb, sim_verb_find("human", "attach-policy"));
    assert_string_equal(p[3].text, "aws CreateRole");
    assert_string_equal(p[4].type, "Stalled");
    assert_string_equal(p[4].text, "RoleNotOurs");
    assert_int_equal(p[5].repaired_within_ms, 120000);
    assert_int_equal(p[6].when, STORY_GONE);
    assert_int_equal(p[7].when, STORY_DELETING);
    assert_int_equal(s->story.end, STORY_ENDS_STALLED);
    assert_string_equal(s->story.reason, "RoleNotOurs");
    assert_string_equal(s->story.message, "eks");
    assert_int_equal(s->story.deletion, STORY_DELETION_RETAINS);
    scenario_free(s);
}

static void facts_of_each_kind(void **state) {
    (void)state;
    struct scenario *s = parse(HEAD "expect:\n  ends: ready\n  reason: Soaking\n  deletion: none\n  facts:\n"
                                    "    - {role: r, is: true}\n"
                                    "    - {role: r, policy: p, is: false}\n"
                                    "    - {role: r, trusts: t, is: true}\n"
                                    "    - {role: r, tagged: k=v, is: true}\n"
                                    "    - {provider: u, is: true}\n"
                                    "    - {annotation: '', is: true}\n"
                                    "    - {pods: own-role, is: true}\n"
                                    "    - {event: e, is: true}\n"
                                    "  afterwards: [{role: r, is: false}]\n");
    static const enum story_fact_kind kinds[] = {STORY_FACT_ROLE, STORY_FACT_POLICY,   STORY_FACT_TRUST,
                                                 STORY_FACT_TAG,  STORY_FACT_PROVIDER, STORY_FACT_ANNOTATION,
                                                 STORY_FACT_PODS, STORY_FACT_EVENT};
    assert_int_equal(s->story.facts.n, 8);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(s->story.facts.v[i].kind, kinds[i]);
    assert_false(s->story.facts.v[1].is);
    assert_string_equal(s->story.facts.v[1].text, "p");
    assert_string_equal(s->story.facts.v[5].subject, "");
    assert_int_equal(s->story.afterwards.n, 1);
    assert_false(s->story.afterwards.v[0].is);
    scenario_free(s);
}

#define STEP(text) HEAD "expect: {ends: migrated}\nsteps:\n  - {" text "}\n"

static void wrong_ones(void **state) {
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "x.yaml:1:1: expected a document"},
        {"about: [", "x.yaml:2:1: expected YAML"},
        {"- a\n", "x.yaml:1:1: expected keys and values"},
        {"about: a\nsources: [b]\nexpect: {ends: migrated}\n", "x.yaml:1:1: expected the key spec"},
        {GOOD "wrld: {}\n", "x.yaml:5:1: expected one of about, sources, swept, world, spec, steps, expect, not wrld"},
        {GOOD "about: again\n", "x.yaml:5:1: expected about once"},
        {GOOD "world: {nodes: 0}\n", "x.yaml:5:16: expected a number from 1 to 200 for nodes"},
        {GOOD "world: {nodes: four}\n", "x.yaml:5:16: expected a number from 1 to 200 for nodes"},
        {GOOD "world: {podStart: 3}\n", "x.yaml:5:19: expected a duration"},
        {GOOD "world: {ipv6: yes}\n", "x.yaml:5:15: expected true or false for ipv6"},
        {GOOD "world: {ipv6: \"true\"}\n", "x.yaml:5:15: expected true or false for ipv6"},
        {GOOD "swept: true\nsteps: [{when: start, who: human, does: restart}]\n", "x.yaml:1:1: expected no steps"},
        {"about: a\nsources: [b]\nspec: text\nexpect: {ends: migrated}\n",
         "x.yaml:3:7: expected the spec of a binding"},
        {"about: a\nsources: b\nspec: {}\nexpect: {ends: migrated}\n", "x.yaml:2:10: expected a list"},
        {HEAD "expect: {ends: soon}\n",
         "x.yaml:4:16: expected one of migrated, ready, stalled, waiting, gone for ends"},
        {HEAD "expect: {ends: stalled}\n", "x.yaml:4:9: expected the key reason where it ends stalled"},
        {HEAD "expect: {ends: migrated, reason: X}\n", "x.yaml:4:9: expected no reason"},
        {HEAD "expect: {ends: migrated, facts: [{role: r}]}\n", "x.yaml:4:34: expected the key is"},
        {HEAD "expect: {ends: migrated, facts: [{pods: all, is: true}]}\n",
         "x.yaml:4:34: expected own-role or node-role"},
        {HEAD "expect: {ends: migrated, facts: [{policy: p, is: true}]}\n", "x.yaml:4:34: expected one fact"},
        {HEAD "expect: {ends: migrated, facts: [{role: r, event: e, is: true}]}\n", "x.yaml:4:34: expected one fact"},
        {STEP("who: human, does: restart"), "x.yaml:6:5: expected the key when"},
        {STEP("when: later, who: human, does: restart"), "x.yaml:6:12: expected start, applied"},
        {STEP("when: write 0, who: human, does: restart"), "x.yaml:6:12: expected start, applied"},
        {STEP("when: next, who: human, does: restart"), "x.yaml:6:5: expected another moment than next"},
        {STEP("when: start, who: nobody, does: restart"), "x.yaml:6:5: expected who to be one of human, terraform"},
        {STEP("when: start, who: human, does: sleep"), "x.yaml:6:5: expected what human does: one of attach-policy"},
        {STEP("when: start, who: human, does: restart, with: {x: y}"),
         "x.yaml:6:5: expected no x: restart takes nothing"},
        {STEP("when: start, who: human, does: delete-role"), "x.yaml:6:5: expected delete-role with role"},
        {STEP("when: start, who: human, does: delete-role, with: {role: [r]}"),
         "x.yaml:6:63: expected a text for role"},
        {STEP("when: start, wait: -1s, who: human, does: restart"), "x.yaml:6:25: expected a duration"},
        {STEP("when: deleting, who: human, does: restart}\n  - {when: migrated, who: human, does: restart"),
         "x.yaml:7:5: expected deleting or next"},
        {STEP("when: applied, who: human, does: restart}\n  - {when: start, who: human, does: restart"),
         "x.yaml:7:5: expected the steps of the start first"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        assert_null(scenario_parse("x", "x.yaml", cases[i].text, strlen(cases[i].text), &err));
        if (!str_has_prefix(err.message, cases[i].expected))
            fail_msg("case %zu: %s", i, err.message);
        assert_int_equal(err.code, ERR_PARSE);
    }
}

/* What is small as text and huge as a tree, or deep, or only huge. */
static void bounds(void **state) {
    struct error err;
    char text[4096] = HEAD "expect: {ends: migrated}\nworld: {}\n";
    (void)state;
    static const char laughs[] = "about: a\nsources: [b]\nspec:\n  a: &a [x,x,x,x,x,x,x,x,x,x]\n"
                                 "  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                                 "  d: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\nexpect: {ends: migrated}\n";
    assert_null(scenario_parse("x", "x.yaml", laughs, sizeof laughs - 1, &err));
    assert_non_null(strstr(err.message, "expected a smaller file"));

    snprintf(text, sizeof text, "about: a\nsources: [b]\nspec: {a: %.*s", SCENARIO_DEPTH_MAX + 1,
             "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
    snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s}\nexpect: {ends: migrated}\n",
             SCENARIO_DEPTH_MAX + 1, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    assert_null(scenario_parse("x", "x.yaml", text, strlen(text), &err));
    assert_non_null(strstr(err.message, "expected fewer levels"));

    char *large = calloc(1, SCENARIO_TEXT_MAX + 2);
    assert_non_null(large);
    memset(large, ' ', SCENARIO_TEXT_MAX + 1);
    assert_null(scenario_parse("x", "x.yaml", large, SCENARIO_TEXT_MAX + 1, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    free(large);
}

/* --- folders --- */

static void put(const char *directory, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void drop(const char *directory, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(unlink(path), 0);
}

static void folder_by_name(void **state) {
    struct error err = {0};
    char directory[] = "scenarios-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_false(scenario_set_load(directory, &err)); /* there is none */
    put(directory, "b.yaml", GOOD);
    put(directory, "a.yaml", GOOD);
    put(directory, "notes.txt", "no scenario");
    assert_true(scenario_set_load(directory, &err));
    assert_int_equal(scenario_set_size(), 2);
    assert_string_equal(scenario_set_at(0)->options.scenario, "a");
    assert_ptr_equal(scenario_set_find("b"), scenario_set_at(1));
    assert_null(scenario_set_find("notes"));
    scenario_set_free();

    put(directory, "c.yaml", GOOD "nodes: 3\n"); /* one bad file, and nothing is loaded */
    err = (struct error){0};
    assert_false(scenario_set_load(directory, &err));
    assert_non_null(strstr(err.message, "/c.yaml:5:1: expected one of"));
    assert_int_equal(scenario_set_size(), 0);
    drop(directory, "a.yaml");
    drop(directory, "b.yaml");
    drop(directory, "c.yaml");
    drop(directory, "notes.txt");
    assert_int_equal(rmdir(directory), 0);
}

/* Every file of the repository is one. */
static void all_of_ours(void **state) {
    struct error err = {0};
    (void)state;
    if (!scenario_set_load(TESTS_DIR "/../bench/scenarios", &err))
        fail_msg("%s", err.message);
    static const char *const swept[] = {"irsa", "one-node", "missed-pods", "on-delete", "slow-iam"};
    for (size_t i = 0; i < sizeof swept / sizeof *swept; i++) {
        assert_non_null(scenario_set_find(swept[i]));
        assert_true(scenario_set_find(swept[i])->swept);
    }
    scenario_set_free();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_world),        cmocka_unit_test(world_and_spec), cmocka_unit_test(steps_in_their_order),
        cmocka_unit_test(facts_of_each_kind), cmocka_unit_test(wrong_ones),     cmocka_unit_test(bounds),
        cmocka_unit_test(folder_by_name),     cmocka_unit_test(all_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
