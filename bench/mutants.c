#include "bench/mutants.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/base/mutant.h"
#include "platform/base/random.h"
#include "platform/base/str.h"
#include "simulator/virtual/net.h"

/* The fault that a mutant is hunted with first: what happens to the nth call of that text; nth below 0: from the last; or to the call so many
 * places before that one, and after it where this is below 0. */
struct hunted_with {
    bool fault;
    enum net_fault_kind kind;
    const char *call;
    int nth, before;
};

struct mutant {
    const char *name, *scenario, *bug;
    struct hunted_with with;
};

/* What somebody could have written, and in part has: the numbers are those of known bugs of other controllers. Left out: what
 * no run of the bench can show, as it begins below platform/http (gzip members, half-open connections), and where two
 * places keep the same thing (an event of the past: the stream's state machine and the cache). */
static const struct mutant mutants[] = {
    /* informers and streams */
    {"list_at_version_zero", "irsa", "the first list takes an answer of any age (kubernetes#59848)", {0}},
    {"bookmark_is_not_remembered",
     "long-rest",
     "a watch goes on where the last object was, whatever bookmarks said",
     {0}},
    {"error_event_is_ignored", "compacted", "an ERROR event is one more line", {0}},
    {"gone_is_fatal", "compacted", "410 Gone ends the informer for good", {0}},
    {"tombstone_is_dropped", "irsa", "DELETED does not take the object out of the cache", {0}},
    {"watch_without_back_off", "streams-refused", "a refused watch is asked again at once (kubernetes#89652)", {0}},
    {"watch_retry_after_is_ignored", "streams-throttled", "Retry-After of a list or watch is not waited for", {0}},
    {"watch_with_the_deadline_of_a_read",
     "long-rest",
     "the time limit of all requests ends watches too (nginx-gateway-fabric#5793)",
     {0}},
    {"annotation_keys_ignore_case",
     "another-annotation",
     "JSON keys are looked up without regard to case (cJSON's default)",
     {0}},
    /* the Lease */
    {"renewal_is_not_checked",
     "lease-refused",
     "a renewal counts as soon as it is answered, whatever the answer (kubernetes#23731)",
     {0}},
    {"any_leader_may_write", "lease-refused", "whoever believes to lead writes, however old its last renewal", {0}},
    {"release_before_workers_stop",
     "terminated",
     "the Lease is given back while a write is under way (kubernetes#124588)",
     {0}},
    /* the driver */
    {"intent_is_not_announced",
     "irsa",
     "what destroys goes out without a word in status",
     {true, NET_LOST_AFTER, "aws DetachRolePolicy", 1, 1}},
    {"intent_without_compare_and_swap", "irsa", "the announcement does not say which version it has seen", {0}},
    {"retry_after_is_ignored", "throttled", "Retry-After of a write is not waited for", {0}},
    {"status_goes_out_early", "status-throttled", "news send the status before Retry-After is over", {0}},
    {"removal_is_sent_again_later",
     "throttled-detachment",
     "a detachment that was throttled is sent again, seconds after what it stands on was read",
     {0}},
    {"requeue_without_back_off", "denied", "what failed is tried again at once", {0}},
    {"status_with_every_pass", "irsa", "status is written whether it differs or not (casskop)", {0}},
    {"aws_is_asked_with_every_pass", "nodes-report", "no answer of AWS is kept for as long as it may be", {0}},
    {"lost_answer_is_success",
     "irsa",
     "a lost answer counts as done",
     {true, NET_LOST_BEFORE, "aws AttachRolePolicy", -1, 0}},
    {"no_such_entity_is_success", "roles-not-seen", "whatever is not there counts as done", {0}},
    {"own_writes_are_not_awaited",
     "adopted",
     "the next pass begins before the cache has seen the last write, and writes status over it (KEP-5647)",
     {0}},
    {"state_file_is_trusted", "changes-while-away", "what the state file remembers counts as seen now", {0}},
    {"token_in_message", "slow-iam", "an error message quotes the token", {0}},
    /* gates */
    {"finalizer_after_the_effects", "irsa", "the finalizer comes when AWS is changed already", {0}},
    {"role_is_named_anew_when_creating_failed",
     "irsa",
     "another try makes another role",
     {true, NET_LOST_AFTER, "aws CreateRole", 1, 0}},
    {"trust_by_string_like", "irsa", "the trust policy compares by pattern", {0}},
    {"cluster_tag_is_not_compared",
     "role-of-other-cluster",
     "managed-by and the binding's name make a role ours, of whichever cluster",
     {0}},
    {"foreign_statements_are_dropped", "adopted", "the trust policy is replaced, not merged", {0}},
    {"one_answer_is_three_proofs", "irsa", "one exchange proves the role", {0}},
    {"refusals_are_a_fight", "annotation-refused", "what was not written counts as changed back by somebody", {0}},
    {"annotation_without_uid", "irsa", "the annotation is applied to whatever has the name, or creates it", {0}},
    {"canary_does_not_settle", "irsa", "all follow as soon as the canary is Ready", {0}},
    {"canary_need_not_be_ready", "irsa", "all follow as soon as the canary is there", {0}},
    {"annotation_is_dated_by_our_clock",
     "irsa",
     "pods' ages, which the API server tells, are compared with an instant of the operator's own clock",
     {true, NET_CLOCK_AHEAD, "kube PATCH /api/v1/namespaces/kube-system/serviceaccounts/aws-node", 1, 2}},
    {"restart_key_is_the_time", "irsa", "the restart key is the time, not the injection", {0}},
    {"missed_pods_go_all_at_once", "on-delete", "the pods that are left are re-created together", {0}},
    {"pod_is_deleted_by_name", "irsa", "no preconditions: whatever pod has the name now goes", {0}},
    {"cached_reads_before_the_detachment", "deaf", "the detachment stands on what the cache says", {0}},
    {"pods_without_the_role_do_not_count", "deaf", "only pods that have the role are counted", {0}},
    {"empty_list_is_consent", "deaf-and-empty", "no node: nobody needs the policy", {0}},
    {"prior_state_is_not_recorded", "irsa", "what was taken away stands nowhere before it is taken", {0}},
    {"owed_policy_is_forgotten", "group-goes", "a node role without nodes is forgotten, and its policy with it", {0}},
    {"suspend_is_ignored", "suspended", "a suspended binding goes on", {0}},
    /* the way back */
    {"only_the_first_role_is_reattached", "irsa", "one node role gets its policy back, the others do not", {0}},
    {"soak_is_forgotten_by_a_restart",
     "slow-iam",
     "after a restart nobody waits until IAM enforces what was attached",
     {true, NET_CRASH_AFTER, "aws AttachRolePolicy", -1, -1}},
    {"ready_pods_go_back_first",
     "deleted-while-a-pod-starts",
     "a pod that is starting waits until its turn comes",
     {0}},
    {"restoring_does_not_await_the_webhook", "slow-webhook", "pods go back before the webhook forgot the role", {0}},
    {"finalizer_goes_before_the_cleanup", "irsa", "the binding goes, role and provider stay", {0}},
    {"adopted_role_is_deleted", "adopted-as-it-is", "a role that was only adopted is deleted", {0}},
    {"untagged_provider_is_deleted", "provider-was-there", "a provider that was there before is deleted", {0}},
    {"foreign_policy_is_detached", "others-attach", "policies of others come off our role", {0}},
    {"retain_is_ignored", "retained", "deletionPolicy Retain restores all the same", {0}},
    /* guards of reconcilers/guard_switch.h, switched off */
    {"mode_enforces", "mode-plan", "a mode that only looks writes", {0}},
    {"add_on_is_not_managed", "managed-add-on", "what EKS manages is changed under its hands", {0}},
    {"policy_is_allowed", "wide-policy", "any policy may be attached", {0}},
    {"role_is_ours", "role-of-other-cluster", "a role of somebody else is taken", {0}},
    {"role_is_proven", "slow-iam", "a role that STS refuses counts as proven", {0}},
    {"injection_is_seen", "slow-webhook", "pods go before the webhook knows the annotation", {0}},
    {"canary_goes_first", "irsa", "no pod goes first", {0}},
    {"live_pods_are_proven", "deaf", "the live list of pods is not judged", {0}},
    {"every_node_has_a_pod", "deaf-and-empty", "nodes without a pod do not count", {0}},
    {"no_foreign_consumer", "foreign-consumer", "an instance that is no node does not count", {0}},
    {"proofs_have_soaked", "irsa", "proofs of a moment are enough", {0}},
    {"attach_is_probed", "irsa", "the way back was never tried", {0}},
    {"detachment_is_approved", "on-approval", "nobody is asked", {0}},
    {"node_role_is_listed", "one-role-listed", "node roles that are not listed lose their policy too", {0}},
    {"prior_state_is_tagged", "irsa", "the prior state is in status alone", {0}},
    {"no_pod_on_the_node_role", "node-joins", "a pod without permissions is no alarm", {0}},
    {"no_consumer_came_later", "instance-comes-later", "who came after the detachment does not count", {0}},
    {"policies_are_back", "irsa", "deletion does not attach again", {0}},
    {"restored_policy_is_enforced", "slow-iam", "nobody waits until IAM enforces what was attached", {0}},
    {"pods_are_back", "irsa", "the role goes while pods live on it", {0}},
    {"live_tags_are_ours", "role-changes-hands", "tags are not looked at before deleting", {0}},
    {"role_is_trusted_by_nobody_else", "others-use-the-role", "a role that others use is deleted", {0}},
    {"provider_is_unused", "provider-shared", "a provider that others use is deleted", {0}},
};
#define MUTANTS (sizeof mutants / sizeof *mutants)

static const struct mutant *find(const char *name) {
    for (size_t i = 0; i < MUTANTS; i++)
        if (str_eq(mutants[i].name, name))
            return &mutants[i];
    return NULL;
}

int mutants_list(void) {
    for (size_t i = 0; i < MUTANTS; i++)
        printf("%s\n", mutants[i].name);
    return 0;
}

/* --- one run, in a process of its own --- */

/* What a run says, and where its calls of one text were. */
struct answer {
    struct bench_result result;
    int call_at;
};

static void switch_on(const char *name) {
#ifdef CNI_IAM_MUTANTS
    mutant_on = name;
#else
    if (name)
        die("this build has no mutants: cmake --preset mutants");
#endif
}

static int nth_call(const struct hunted_with *w) {
    const char **lines;
    int n = net_writes(&lines), at = 0, seen = 0;
    for (int i = 0; i < n; i++)
        if (strncmp(lines[w->nth > 0 ? i : n - 1 - i], w->call, strlen(w->call)) == 0 && ++seen == abs(w->nth))
            at = w->nth > 0 ? i + 1 : n - i;
    return at > w->before ? at - w->before : 0;
}

static void child(const char *mutant, const struct bench_options *o, const struct hunted_with *look_for, int out) {
    struct answer a = {0};
    alarm(MUTANTS_RUN_SECONDS);
    switch_on(mutant);
    bench_run(o, &a.result);
    a.call_at = look_for ? nth_call(look_for) : 0;
    fflush(stdout);
    if (write(out, &a, sizeof a) != (ssize_t)sizeof a)
        _exit(2);
    _exit(0);
}

static const char *how_it_ended(int status) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return "L8: the run does not end: something turns in circles";
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        return "assert: the process ended itself";
    return "assert: the process ended in the middle";
}

static struct answer run(const char *mutant, const struct bench_options *o, const struct hunted_with *look_for) {
    struct answer a = {0};
    int pipes[2], status = 0;
    fflush(stdout);
    if (pipe(pipes) != 0)
        die("pipe failed");
    pid_t pid = fork();
    if (pid < 0)
        die("fork failed");
    if (pid == 0)
        child(mutant, o, look_for, pipes[1]);
    close(pipes[1]);
    bool whole = read(pipes[0], &a, sizeof a) == (ssize_t)sizeof a;
    close(pipes[0]);
    waitpid(pid, &status, 0);
    if (!whole)
        snprintf(a.result.failure, sizeof a.result.failure, "%s", how_it_ended(status));
    return a;
}

/* --- the hunt --- */

struct hunt {
    const struct mutant *m;
    int runs;
    struct bench_options o; /* of the run that killed */
    struct bench_fault fault[4];
    char killed_by[512];
};

static struct bench_options options_of(const struct bench_options *scenario) {
    struct bench_options o = *scenario;
    o.oracles = true;
    if (!o.seed)
        o.seed = 1;
    return o;
}

/* True: the hunt is over. */
static bool hunt_in(struct hunt *h, const struct bench_options *scenario, const struct bench_fault *f, int nfaults) {
    struct bench_options o = options_of(scenario);
    for (int i = 0; i < nfaults; i++)
        h->fault[i] = f[i];
    o.faults = h->fault;
    o.nfaults = nfaults;
    h->o = o;
    h->runs++;
    struct answer a = run(h->m->name, &o, NULL);
    snprintf(h->killed_by, sizeof h->killed_by, "%s", a.result.failure);
    return a.result.failure[0] || h->runs >= MUTANTS_RUNS_MAX;
}

static bool hunt_as_told(struct hunt *h, const struct bench_options *scenario) {
    const struct hunted_with *w = &h->m->with;
    if (!w->fault)
        return hunt_in(h, scenario, NULL, 0);
    struct bench_options o = options_of(scenario);
    struct bench_fault f = {.kind = w->kind, .at = run(NULL, &o, w).call_at};
    if (f.at == 0)
        die("%s: no call %s in scenario %s", h->m->name, w->call, o.scenario);
    return hunt_in(h, scenario, &f, 1);
}

static bool hunt_everywhere(struct hunt *h) {
    const struct bench_options *o;
    for (size_t i = 0; (o = mutant_scenario_at(i)); i++)
        if ((h->m->with.fault || !str_eq(o->scenario, h->m->scenario)) && hunt_in(h, o, NULL, 0))
            return true;
    return false;
}

/* Each kind at every fourth call, each at other ones. */
#define FAULT_STRIDE 4
#define PLAIN_SCENARIOS 4 /* the first ones */
static bool hunt_with_faults(struct hunt *h, const struct bench_options *scenario) {
    struct bench_options o = options_of(scenario);
    int writes = run(NULL, &o, NULL).result.writes;
    for (int kind = 0; kind < NET_FAULT_KINDS; kind++)
        for (int at = 1 + kind % FAULT_STRIDE; at <= writes; at += FAULT_STRIDE) {
            struct bench_fault f = {.kind = (enum net_fault_kind)kind, .at = at};
            if (hunt_in(h, scenario, &f, 1))
                return true;
        }
    return false;
}

/* A plain world, delays and up to four faults, all of the seed. */
static struct bench_options world_of_seed(uint64_t seed, struct bench_fault f[4]) {
    struct prng p;
    prng_seed(&p, seed);
    struct bench_options o = *mutant_scenario_at(prng_below(&p, PLAIN_SCENARIOS));
    o.nfaults = (int)prng_below(&p, 5);
    for (int i = 0; i < o.nfaults; i++)
        f[i] = (struct bench_fault){.kind = (enum net_fault_kind)prng_below(&p, NET_FAULT_KINDS),
                                    .at = 1 + (int)prng_below(&p, 40)};
    o.seed = seed;
    o.nodes = 1 + (int)prng_below(&p, 6);
    o.enforcement_lag_ms = (int64_t)prng_below(&p, 30000);
    return o;
}

static bool hunt_with_seeds(struct hunt *h, int seeds) {
    for (uint64_t seed = 2; seed < (uint64_t)seeds + 2; seed++) {
        struct bench_fault f[4];
        struct bench_options o = world_of_seed(seed, f);
        if (hunt_in(h, &o, f, o.nfaults))
            return true;
    }
    return false;
}

/* The same run without the mutant has to be clean: what killed was the bug, not the bench. */
static bool is_clean_without(struct hunt *h) {
    h->o.faults = h->fault;
    struct answer a = run(NULL, &h->o, NULL);
    if (a.result.failure[0])
        printf("%-40s FALSE  the same run (%s%s%s@%d) without it: %s\n", h->m->name, h->o.scenario,
               h->o.nfaults ? " " : "", h->o.nfaults ? net_fault_name(h->fault[0].kind) : "",
               h->o.nfaults ? h->fault[0].at : 0, a.result.failure);
    return !a.result.failure[0];
}

static void tell(const struct hunt *h) {
    char where[120];
    snprintf(where, sizeof where, "%s%s%s", h->o.scenario, h->o.nfaults ? " " : "",
             h->o.nfaults ? net_fault_name(h->fault[0].kind) : "");
    if (h->o.nfaults)
        snprintf(where + strlen(where), sizeof where - strlen(where), "@%d", h->fault[0].at);
    printf("%-40s killed %3d  %-28s %.160s\n", h->m->name, h->runs, where, h->killed_by);
}

static bool is_clean(const struct bench_options *o, const char *what) {
    struct answer a = run(NULL, o, NULL);
    printf("%-40s %-8s %s\n", what, a.result.failure[0] ? "WRONG" : "clean", a.result.failure);
    return !a.result.failure[0];
}

static int run_without(int seeds) {
    const struct bench_options *s;
    int wrong = 0;
    for (size_t i = 0; !seeds && (s = mutant_scenario_at(i)); i++) {
        struct bench_options o = options_of(s);
        wrong += !is_clean(&o, o.scenario);
    }
    for (uint64_t seed = 2; seed < (uint64_t)seeds + 2; seed++) {
        struct bench_fault f[4];
        char what[40];
        struct bench_options plain = world_of_seed(seed, f), o = options_of(&plain);
        o.faults = f;
        snprintf(what, sizeof what, "seed %d (%s)", (int)seed, o.scenario);
        wrong += !is_clean(&o, what);
    }
    return wrong != 0;
}

int mutants_run(const char *name, int seeds) {
    static struct hunt h;
    h = (struct hunt){.m = find(name)};
    if (str_eq(name, "none"))
        return run_without(seeds);
    const struct bench_options *own = h.m ? mutant_scenario(h.m->scenario) : NULL;
    if (!own) {
        fprintf(stderr, "no mutant %s (--mutants lists them), or no scenario for it\n", name);
        return 2;
    }
    if (seeds)
        hunt_with_seeds(&h, seeds);
    else if (!hunt_as_told(&h, own) && !hunt_everywhere(&h) && !hunt_with_faults(&h, own))
        hunt_with_seeds(&h, MUTANTS_SEEDS_MAX);
    if (!h.killed_by[0]) {
        printf("%-40s SURVIVES %d runs: %s\n", h.m->name, h.runs, h.m->bug);
        return 1;
    }
    if (!is_clean_without(&h))
        return 1;
    tell(&h);
    return 0;
}

int mutants_trace(const char *name, const char *scenario) {
    const struct mutant *m = find(name);
    const struct bench_options *s = mutant_scenario(scenario);
    if (!s || (!m && !str_eq(name, "none")))
        return 2;
    struct bench_options o = options_of(s);
    struct bench_fault f = {0};
    if (m && m->with.fault && str_eq(m->scenario, scenario)) {
        f = (struct bench_fault){.kind = m->with.kind, .at = run(NULL, &o, &m->with).call_at};
        o.faults = &f;
        o.nfaults = 1;
    }
    o.trace = true;
    struct answer a = run(m ? name : NULL, &o, NULL);
    printf("%s\n", a.result.failure[0] ? a.result.failure : "clean");
    return a.result.failure[0] != '\0';
}
