#include "bench/scenario.h"

#include <stdlib.h>
#include <string.h>

#include "bench/scenario_tree.h"
#include "platform/base/str.h"

#define DURATION_MAX_MS (4 * 60 * 60 * 1000)
#define WRITE_MAX 4096

/* --- world --- */

static const struct tree_key world_keys[] = {
    {"nodes", tree_number, offsetof(struct bench_options, nodes), 1, 200, NULL, false},
    {"onDelete", tree_bool, offsetof(struct bench_options, on_delete), 0, 0, NULL, false},
    {"ipv6", tree_bool, offsetof(struct bench_options, ipv6), 0, 0, NULL, false},
    {"webhookMisses", tree_number, offsetof(struct bench_options, webhook_misses), 0, 200, NULL, false},
    {"webhookLag", tree_duration, offsetof(struct bench_options, webhook_lag_ms), 1, DURATION_MAX_MS, NULL, false},
    {"enforcementLag", tree_duration, offsetof(struct bench_options, enforcement_lag_ms), 0, DURATION_MAX_MS, NULL,
     false},
    {"podStart", tree_duration, offsetof(struct bench_options, pod_start_ms), 100, DURATION_MAX_MS, NULL, false},
    {"networkDelay", tree_duration, offsetof(struct bench_options, delay_max_ms), 1, 10000, NULL, false},
    {"foreignConsumer", tree_bool, offsetof(struct bench_options, foreign_consumer), 0, 0, NULL, false},
    {"operatorRole", tree_bool, offsetof(struct bench_options, operator_role), 0, 0, NULL, false},
};

static bool read_world(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    (void)k;
    return tree_mapping(t, node, TREE_KEYS(world_keys), out);
}

static bool read_spec(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    (void)k;
    if (node->type != YAML_MAPPING_NODE)
        return tree_bad(t, node, "expected the spec of a binding, as keys and values");
    json *spec = tree_json(t, node);
    if (!spec)
        return false;
    *(const char **)out = json_print_arena(spec, t->arena);
    json_free(spec);
    return true;
}

/* --- steps --- */

static const char moments[] =
    "start, applied, next, migrated, gone, deleting, condition TYPE REASON, write N or call TEXT";

static bool read_when(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    static const struct {
        const char *word;
        enum story_when when;
    } words[] = {{"start", STORY_START},       {"applied", STORY_APPLIED}, {"next", STORY_NEXT},
                 {"migrated", STORY_MIGRATED}, {"gone", STORY_GONE},       {"deleting", STORY_DELETING}};
    struct story_step *s = out;
    const char *text = str_or(tree_scalar(node), "");
    (void)k;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(text, words[i].word)) {
            s->when = words[i].when;
            return true;
        }
    struct strlist parts = str_split(text, ' ', t->arena);
    int64_t n = 0;
    if (parts.n == 2 && str_eq(parts.v[0], "write") && str_to_int64(parts.v[1], &n) && n >= 1 && n <= WRITE_MAX) {
        s->when = STORY_WRITE;
        s->write = (int)n;
        return true;
    }
    if (parts.n == 3 && str_eq(parts.v[0], "condition")) {
        s->when = STORY_CONDITION;
        s->type = parts.v[1];
        s->text = parts.v[2];
        return true;
    }
    if (parts.n >= 2 && str_eq(parts.v[0], "call")) {
        s->when = STORY_CALL;
        s->text = arena_strdup(t->arena, text + strlen("call "));
        return true;
    }
    return tree_bad(t, node, "expected %s", moments);
}

/* what it is done with: names and texts, looked at when the verb is known */
static bool read_arg(struct tree *t, yaml_node_t *key, yaml_node_t *value, void *out) {
    struct story_step *s = out;
    const char *text = tree_scalar(value);
    if (s->nargs == SIM_DEED_ARGS_MAX)
        return tree_bad(t, key, "expected at most %d arguments", SIM_DEED_ARGS_MAX);
    if (!text)
        return tree_bad(t, value, "expected a text for %s", tree_scalar(key));
    s->args[s->nargs++] =
        (struct sim_deed_arg){.name = arena_strdup(t->arena, tree_scalar(key)), .value = arena_strdup(t->arena, text)};
    return true;
}

static bool read_with(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    (void)k;
    return tree_pairs(t, node, read_arg, out);
}

static const struct tree_key step_keys[] = {
    {"when", read_when, 0, 0, 0, NULL, true},
    {"wait", tree_duration, offsetof(struct story_step, wait_ms), 0, DURATION_MAX_MS, NULL, false},
    {"who", tree_text, offsetof(struct story_step, who), 0, 0, NULL, true},
    {"does", tree_text, offsetof(struct story_step, does), 0, 0, NULL, true},
    {"with", read_with, 0, 0, 0, NULL, false},
    {"repairedWithin", tree_duration, offsetof(struct story_step, repaired_within_ms), 1, DURATION_MAX_MS, NULL, false},
};

static bool has_arg(const struct story_step *s, const char *param) {
    for (size_t i = 0; i < s->nargs; i++)
        if (str_eq(s->args[i].name, param))
            return true;
    return false;
}

static bool is_param(const char *param, const char *name) {
    size_t n = strlen(name);
    return strncmp(param, name, n) == 0 && (param[n] == '\0' || str_eq(param + n, "?"));
}

static bool check_args(struct tree *t, const yaml_node_t *node, const struct story_step *s) {
    const char *const *params = sim_verb_params(s->verb);
    struct strlist all = {0};
    for (size_t p = 0; params[p]; p++)
        strlist_add(&all, params[p], t->arena);
    const char *takes = all.n ? strlist_join(&all, ", ", t->arena) : "nothing";
    for (size_t p = 0; params[p]; p++)
        if (!str_has_suffix(params[p], "?") && !has_arg(s, params[p]))
            return tree_bad(t, node, "expected %s with %s: %s takes %s", s->does, params[p], s->does, takes);
    for (size_t i = 0; i < s->nargs; i++) {
        size_t p = 0;
        while (params[p] && !is_param(params[p], s->args[i].name))
            p++;
        if (!params[p])
            return tree_bad(t, node, "expected no %.60s: %s takes %s", s->args[i].name, s->does, takes);
    }
    return true;
}

static bool check_step(struct tree *t, const yaml_node_t *node, struct story_step *s, const struct story *story) {
    char names[512];
    const struct story_step *last = story->nsteps ? &story->steps[story->nsteps - 1] : NULL;
    if (!sim_actor_is(s->who)) {
        (void)sim_actor_names(names, sizeof names);
        return tree_bad(t, node, "expected who to be one of %s, not %.60s", names, s->who);
    }
    s->verb = sim_verb_find(s->who, s->does);
    if (!s->verb) {
        (void)sim_verb_names(s->who, names, sizeof names);
        return tree_bad(t, node, "expected what %s does: one of %s, not %.60s", s->who, names, s->does);
    }
    if (!last && s->when == STORY_NEXT)
        return tree_bad(t, node, "expected another moment than next for the first step");
    if (last && s->when == STORY_START && last->when != STORY_START)
        return tree_bad(t, node, "expected the steps of the start first");
    if (last && last->when == STORY_DELETING && s->when != STORY_DELETING && s->when != STORY_NEXT)
        return tree_bad(t, node, "expected deleting or next after a step of the deletion");
    return check_args(t, node, s);
}

static bool read_step(struct tree *t, yaml_node_t *item, void *out) {
    struct story *story = out;
    struct story_step *s = &story->steps[story->nsteps];
    *s = (struct story_step){.line = tree_line(item)};
    if (!tree_mapping(t, item, TREE_KEYS(step_keys), s) || !check_step(t, item, s, story))
        return false;
    if (s->when == STORY_NEXT &&
        (story->steps[story->nsteps - 1].when == STORY_START || story->steps[story->nsteps - 1].when == STORY_DELETING))
        s->when = story->steps[story->nsteps - 1].when; /* steps of one phase stay in it */
    story->nsteps++;
    return true;
}

static bool read_steps(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    (void)k;
    return tree_list(t, node, STORY_STEPS_MAX, read_step, out);
}

/* --- expectations --- */

struct raw_fact {
    const char *role, *policy, *trusts, *tagged, *provider, *annotation, *pods, *event;
    bool is;
};

static const struct tree_key fact_keys[] = {
    {"role", tree_text, offsetof(struct raw_fact, role), 0, 0, NULL, false},
    {"policy", tree_text, offsetof(struct raw_fact, policy), 0, 0, NULL, false},
    {"trusts", tree_text, offsetof(struct raw_fact, trusts), 0, 0, NULL, false},
    {"tagged", tree_text, offsetof(struct raw_fact, tagged), 0, 0, NULL, false},
    {"provider", tree_text, offsetof(struct raw_fact, provider), 0, 0, NULL, false},
    {"annotation", tree_text, offsetof(struct raw_fact, annotation), 0, 0, NULL, false},
    {"pods", tree_text, offsetof(struct raw_fact, pods), 0, 0, NULL, false},
    {"event", tree_text, offsetof(struct raw_fact, event), 0, 0, NULL, false},
    {"is", tree_bool, offsetof(struct raw_fact, is), 0, 0, NULL, true},
};

static bool add_fact(struct tree *t, const yaml_node_t *node, const struct raw_fact *raw, struct story_facts *facts) {
    const struct {
        enum story_fact_kind kind;
        const char *subject, *text;
    } forms[] = {{STORY_FACT_POLICY, raw->role, raw->policy},
                 {STORY_FACT_TRUST, raw->role, raw->trusts},
                 {STORY_FACT_TAG, raw->role, raw->tagged},
                 {STORY_FACT_PROVIDER, raw->provider, ""},
                 {STORY_FACT_PODS, raw->pods, ""},
                 {STORY_FACT_ANNOTATION, raw->annotation, ""},
                 {STORY_FACT_EVENT, raw->event, ""},
                 {STORY_FACT_ROLE, raw->role, ""}};
    bool of_role = raw->role && (raw->policy || raw->trusts || raw->tagged);
    int said = (raw->role != NULL) + (raw->provider != NULL) + (raw->pods != NULL) + (raw->annotation != NULL) +
               (raw->event != NULL);
    int more = (raw->policy != NULL) + (raw->trusts != NULL) + (raw->tagged != NULL);
    if (said != 1 || more > 1 || (more == 1 && !of_role))
        return tree_bad(t, node,
                        "expected one fact: role (with policy, trusts or tagged, or alone), provider, annotation, pods "
                        "or event");
    if (raw->pods && !str_eq(raw->pods, "own-role") && !str_eq(raw->pods, "node-role"))
        return tree_bad(t, node, "expected own-role or node-role for pods");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].subject && forms[i].text) {
            facts->v[facts->n++] = (struct story_fact){.line = tree_line(node),
                                                       .kind = forms[i].kind,
                                                       .subject = forms[i].subject,
                                                       .text = forms[i].text,
                                                       .is = raw->is};
            return true;
        }
    return false;
}

static bool read_fact(struct tree *t, yaml_node_t *item, void *out) {
    struct raw_fact raw = {0};
    return tree_mapping(t, item, TREE_KEYS(fact_keys), &raw) && add_fact(t, item, &raw, out);
}

static bool read_facts(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    (void)k;
    return tree_list(t, node, STORY_FACTS_MAX, read_fact, out);
}

static const char *const ends[] = {"migrated", "ready", "stalled", "waiting", "gone", NULL};
static const char *const deletions[] = {"restores", "retains", "none", NULL};
struct raw_expect {
    struct story *story;
    int end, deletion;
};

static bool read_end_facts(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    return read_facts(t, k, node, &((struct raw_expect *)out)->story->facts);
}

static bool read_later_facts(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    return read_facts(t, k, node, &((struct raw_expect *)out)->story->afterwards);
}

static bool read_reason(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    return tree_text(t, k, node, (void *)&((struct raw_expect *)out)->story->reason);
}

static bool read_message(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    return tree_text(t, k, node, (void *)&((struct raw_expect *)out)->story->message);
}

static const struct tree_key expect_keys[] = {
    {"ends", tree_word, offsetof(struct raw_expect, end), 0, 0, ends, true},
    {"reason", read_reason, 0, 0, 0, NULL, false},
    {"message", read_message, 0, 0, 0, NULL, false},
    {"deletion", tree_word, offsetof(struct raw_expect, deletion), 0, 0, deletions, false},
    {"facts", read_end_facts, 0, 0, 0, NULL, false},
    {"afterwards", read_later_facts, 0, 0, 0, NULL, false},
};

static bool read_expect(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    struct raw_expect raw = {.story = out};
    (void)k;
    if (!tree_mapping(t, node, TREE_KEYS(expect_keys), &raw))
        return false;
    raw.story->end = (enum story_end)raw.end;
    raw.story->deletion = (enum story_deletion)raw.deletion;
    bool gives_reason = raw.story->end != STORY_ENDS_MIGRATED && raw.story->end != STORY_ENDS_GONE;
    if (!gives_reason && (raw.story->reason || raw.story->message))
        return tree_bad(t, node, "expected no reason where it ends %s", ends[raw.end]);
    if (gives_reason && !raw.story->reason)
        return tree_bad(t, node, "expected the key reason where it ends %s", ends[raw.end]);
    return true;
}

/* --- the file --- */

static bool read_source(struct tree *t, yaml_node_t *item, void *out) {
    (void)out;
    return !str_empty(tree_scalar(item)) || tree_bad(t, item, "expected a text");
}

static bool read_sources(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out) {
    (void)k, (void)out;
    return tree_list(t, node, STORY_FACTS_MAX, read_source, NULL);
}

static const struct tree_key file_keys[] = {
    {"about", tree_text, offsetof(struct scenario, about), 0, 0, NULL, true},
    {"sources", read_sources, 0, 0, 0, NULL, true},
    {"swept", tree_bool, offsetof(struct scenario, swept), 0, 0, NULL, false},
    {"world", read_world, offsetof(struct scenario, options), 0, 0, NULL, false},
    {"spec", read_spec, offsetof(struct scenario, options.spec), 0, 0, NULL, true},
    {"steps", read_steps, offsetof(struct scenario, story), 0, 0, NULL, false},
    {"expect", read_expect, offsetof(struct scenario, story), 0, 0, NULL, true},
};

static bool read_file(struct tree *t, struct scenario *s) {
    if (!tree_mapping(t, tree_root(t), TREE_KEYS(file_keys), s))
        return false;
    if (s->swept && (s->story.nsteps || s->story.end != STORY_ENDS_MIGRATED ||
                     s->story.deletion != STORY_DELETION_RESTORES || s->story.facts.n || s->story.afterwards.n))
        return tree_bad(t, tree_root(t), "expected no steps and no facts in a scenario that is swept");
    return true;
}

static struct scenario *scenario_new(const char *name) {
    struct arena *a = arena_new(0);
    struct scenario *s = ARENA_NEW(a, struct scenario);
    s->arena = a;
    s->options = (struct bench_options){.scenario = arena_strdup(a, name),
                                        .nodes = 4,
                                        .enforcement_lag_ms = 4000,
                                        .delay_max_ms = 40,
                                        .pod_start_ms = 3000,
                                        .webhook_lag_ms = 500};
    return s;
}

struct scenario *scenario_parse(const char *name, const char *file, const char *text, size_t n, struct error *err) {
    *err = (struct error){0};
    if (n > SCENARIO_TEXT_MAX) {
        error_set(err, ERR_TOO_LARGE, "%s:1:1: expected at most %zu bytes", file, SCENARIO_TEXT_MAX);
        return NULL;
    }
    struct scenario *s = scenario_new(name);
    struct tree t = {.file = file,
                     .arena = s->arena,
                     .err = err,
                     .nodes_left = SCENARIO_NODES_MAX,
                     .depth_left = SCENARIO_DEPTH_MAX};
    bool ok = tree_load(&t, text, n) && read_file(&t, s);
    tree_done(&t);
    if (!ok) {
        scenario_free(s);
        return NULL;
    }
    s->options.story = &s->story;
    return s;
}

void scenario_free(struct scenario *s) {
    if (s)
        arena_free(s->arena);
}
