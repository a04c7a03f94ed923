/*
 * main.c - cni-iam-bench: scenarios times faults times seeds (tests/sim).
 *
 *   --scenarios DIR   the folder of the scenarios (scenario.h)
 *   --scenario NAME   one of them, or all (default); faults and swarms: all that are swept
 *   --faults          every single fault at every call that changes something, of migration and deletion, and at some
 *                     of the reads and events; with --all at each of them, and lists of every age
 *   --kind KIND       of those, this kind only
 *   --pairs           every pair of faults too, both in the migration or both in the deletion
 *   --phase NAME      migration or deletion: faults (the first of a pair) in this one only
 *   --seeds N         N random swarms; --seed S the one of that seed, with its trace
 *   --twice           each run again: the same seed has to be the same run
 *   --fault KIND@N    with --seed: this fault instead of the seed's, up to four; none: none
 *   --drawn           with --scenario, --seed and --fault: world, delays and replicas as the seed draws them
 *   --replicas N      with --scenario and --seed
 *   --jobs J          processes (default: the cores)
 *   --mutants         names of the planted bugs (bench/mutants.h, tests/mutants); --mutant NAME hunts one, "none" none;
 *                     with --scenario NAME: that run alone, told; with --seeds N: in random worlds only
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/explore.h"
#include "bench/mutants.h"
#include "bench/run.h"
#include "bench/scenario_set.h"
#include "bench/turns.h"
#include "platform/base/log.h"
#include "platform/base/random.h"
#include "platform/base/str.h"

#define IDLE_MS (60 * 60 * 1000)     /* of a scenario in which nothing goes wrong */
#define DELETION_AFTER_MAX_MS 200000 /* most migrations are through by then */
#define FAULTS_MAX 4                 /* of one run */

struct totals {
    long runs, violations;
};

#define SPARSE_POINTS 40 /* of events and reads, unless all are asked for */
#define STALE_VERSIONS_MAX 128

static const char *self;
static bool twice, forced; /* forced: one scenario for all seeds */

static void tell_faults(const struct bench_options *o, const char *before) {
    for (int i = 0; i < o->nfaults; i++) {
        printf("%s%s@%d", before, net_fault_name(o->faults[i].kind), o->faults[i].at);
        if (o->faults[i].by)
            printf("/%d", o->faults[i].by);
    }
}

static void tell_replay(const struct bench_options *o, const char *what) {
    printf("  %s: %s", what, self);
    if (!o->drawn || forced)
        printf(" --scenario %s", o->scenario);
    printf(" --seed %llu", (unsigned long long)o->seed);
    if (o->drawn)
        printf(" --drawn");
    else if (o->replicas)
        printf(" --replicas %d", o->replicas);
    tell_faults(o, " --fault ");
    printf(o->nfaults ? "\n" : " --fault none\n");
}

static void tell_failure(const struct bench_options *o, const struct bench_result *r) {
    printf("%s seed %llu", o->scenario, (unsigned long long)o->seed);
    tell_faults(o, " ");
    printf(": %s\n", r->failure);
    tell_replay(o, "replay");
    fflush(stdout);
}

static bool fails_alike(const struct bench_options *o, const struct bench_result *as) {
    struct bench_result r;
    size_t id = strcspn(as->failure, ":");
    bench_run(o, &r);
    return r.failure[0] && strcspn(r.failure, ":") == id && strncmp(r.failure, as->failure, id) == 0;
}

/* Leaves out every fault without which the same invariant breaks. */
static void minimise(const struct bench_options *o, const struct bench_result *r) {
    struct bench_fault fewer[FAULTS_MAX];
    struct bench_options less = *o;
    memcpy(fewer, o->faults, (size_t)o->nfaults * sizeof *fewer);
    less.faults = fewer;
    less.trace = false;
    for (int i = 0; i < less.nfaults;) {
        struct bench_fault left_out = fewer[i];
        memmove(&fewer[i], &fewer[i + 1], (size_t)(less.nfaults - i - 1) * sizeof *fewer);
        less.nfaults--;
        if (fails_alike(&less, r))
            continue;
        memmove(&fewer[i + 1], &fewer[i], (size_t)(less.nfaults - i) * sizeof *fewer);
        fewer[i++] = left_out;
        less.nfaults++;
    }
    tell_replay(&less, "the least of it");
    fflush(stdout);
}

static void one(const struct bench_options *o, struct totals *t) {
    struct bench_result r;
    bench_run(o, &r);
    t->runs++;
    if (twice && !r.failure[0]) {
        int64_t first = r.trace_hash;
        bench_run(o, &r);
        if (r.trace_hash != first)
            snprintf(r.failure, sizeof r.failure, "the same seed was not the same run");
    }
    if (r.failure[0]) {
        t->violations++;
        tell_failure(o, &r);
        if (o->nfaults > 0)
            minimise(o, &r);
    }
}

/* --- sweeps --- */

struct sweep {
    const char *directory, *scenario, *kind;
    bool faults, whole, pairs, have_seed, drawn, no_faults;
    long seeds;
    uint64_t seed;
    struct bench_fault fault[FAULTS_MAX];
    int nfaults, replicas;
    enum explore_phase phase;
    int jobs;
    struct turns turns;
};

static bool is_asked_for(const struct sweep *s, enum net_fault_kind kind) {
    return !s->kind || str_eq(s->kind, net_fault_name(kind));
}

static int step_of(const struct sweep *s, enum net_counter counter, const int *counts) {
    return counter == NET_COUNTS_WRITES || s->whole ? 1 : 1 + counts[counter] / SPARSE_POINTS;
}

static void explore_with(struct sweep *s, const struct bench_options *scenario, int depth,
                         bool (*has)(enum net_fault_kind kind), const int *counts, struct totals *t) {
    struct explore_totals found = {0};
    struct explore_options e = {.scenario = scenario,
                                .depth = depth,
                                .phase = s->phase,
                                .turns = &s->turns,
                                .twice = twice,
                                .failed = tell_failure};
    bool any = false;
    for (int k = 0; k < NET_FAULT_KINDS; k++) {
        e.kinds[k] = has((enum net_fault_kind)k) && is_asked_for(s, (enum net_fault_kind)k);
        any = any || e.kinds[k];
    }
    for (int c = 0; c < NET_COUNTERS; c++)
        e.every[c] = step_of(s, (enum net_counter)c, counts);
    if (any)
        explore(&e, &found);
    t->runs += found.runs;
    t->violations += found.violations;
}

static const struct scenario *swept(uint64_t any) {
    size_t n = 0, nth = 0;
    for (size_t i = 0; i < scenario_set_size(); i++)
        n += scenario_set_at(i)->swept;
    for (size_t i = 0; n > 0 && i < scenario_set_size(); i++)
        if (scenario_set_at(i)->swept && nth++ == any % n)
            return scenario_set_at(i);
    die("bench: no scenario is swept");
}

/* Pairs are of what the network, the servers and a crash do to one call. */
static bool is_plain(enum net_fault_kind kind) {
    return kind <= NET_CRASH_AFTER;
}

/* A pause is for two replicas; of a stale read the network has to know what was there before. */
static bool is_of_one_moment(enum net_fault_kind kind) {
    return kind != NET_PAUSE && kind != NET_STALE_READ;
}

static bool is_pause(enum net_fault_kind kind) {
    return kind == NET_PAUSE;
}

/* Each run from its beginning. */
static void faults_in_full(struct sweep *s, const struct bench_options *scenario, enum net_fault_kind kind,
                           const int *counts, struct totals *t) {
    enum net_counter counter = net_fault_counter(kind);
    int ages = kind == NET_STALE_LIST ? STALE_VERSIONS_MAX : 1;
    for (int at = 1; at <= counts[counter]; at += step_of(s, counter, counts))
        for (int by = 1; by <= ages; by++) {
            struct bench_fault f = {.kind = kind, .at = at, .by = kind == NET_STALE_LIST ? by : 0};
            struct bench_options o = *scenario;
            o.faults = &f;
            o.nfaults = 1;
            if (turns_mine(&s->turns))
                one(&o, t);
        }
}

static void faults_of(struct sweep *s, const struct bench_options *scenario, struct totals *t) {
    struct bench_options two = *scenario;
    struct bench_result r;
    two.replicas = 2;
    if (s->pairs) {
        static const int of_writes_only[NET_COUNTERS];
        explore_with(s, scenario, 2, is_plain, of_writes_only, t);
        return;
    }
    bench_run(scenario, &r);
    explore_with(s, scenario, 1, is_of_one_moment, r.counts, t);
    explore_with(s, &two, 1, is_pause, r.counts, t);
    if (is_asked_for(s, NET_STALE_READ))
        faults_in_full(s, scenario, NET_STALE_READ, r.counts, t);
    if (is_asked_for(s, NET_STALE_LIST) && s->whole)
        faults_in_full(s, scenario, NET_STALE_LIST, r.counts, t);
}

static struct bench_fault random_fault(struct prng *p) {
    static const uint64_t range[NET_COUNTERS] = {
        [NET_COUNTS_WRITES] = 40, [NET_COUNTS_EVENTS] = 300, [NET_COUNTS_READS] = 600};
    struct bench_fault f = {.kind = (enum net_fault_kind)prng_below(p, NET_FAULT_KINDS)};
    int by = net_fault_by(f.kind, 0);
    f.at = 1 + (int)prng_below(p, range[net_fault_counter(f.kind)]);
    f.by = by > 0 ? 1 + (int)prng_below(p, prng_below(p, 2) ? 30 : 1200) : 0;
    return f;
}

/* A world, delays, one or two replicas and up to four faults, all of the seed. */
static struct bench_options draw(const struct sweep *s, uint64_t seed, struct bench_fault f[FAULTS_MAX]) {
    struct prng p;
    prng_seed(&p, seed);
    struct bench_options o = swept(prng_next(&p))->options;
    if (s->scenario)
        o = scenario_set_find(s->scenario)->options;
    o.seed = seed;
    o.drawn = true;
    bool free = !s->scenario || scenario_set_find(s->scenario)->swept; /* else people count on nodes, IAM and an end */
    int nodes = 1 + (int)prng_below(&p, 6);
    o.nodes = free ? nodes : o.nodes;
    int64_t lag_ms = (int64_t)prng_below(&p, 30000);
    o.enforcement_lag_ms = free ? lag_ms : o.enforcement_lag_ms;
    o.delay_max_ms = 1 + (int64_t)prng_below(&p, 300);
    o.nfaults = (int)prng_below(&p, FAULTS_MAX + 1);
    o.replicas = 1 + (int)prng_below(&p, 2);
    o.delete_after_ms = prng_below(&p, 2) ? 1 + (int64_t)prng_below(&p, DELETION_AFTER_MAX_MS) : 0;
    o.delete_after_ms = free ? o.delete_after_ms : 0;
    for (int i = 0; i < o.nfaults; i++)
        f[i] = random_fault(&p);
    o.faults = f;
    return o;
}

static void swarm(const struct sweep *s, uint64_t seed, struct totals *t) {
    struct bench_fault f[FAULTS_MAX];
    struct bench_options o = draw(s, seed, f);
    one(&o, t);
}

static void sweep(struct sweep *s, struct totals *t) {
    for (size_t i = 0; i < scenario_set_size() && !s->have_seed && !s->seeds; i++) {
        const struct scenario *scenario = scenario_set_at(i);
        struct bench_options o = scenario->options;
        o.seed = 1;
        if (s->scenario && !str_eq(s->scenario, o.scenario))
            continue;
        struct bench_options once = o;
        once.rest_ms = scenario->swept ? IDLE_MS : 0;
        if (turns_mine(&s->turns))
            one(&once, t);
        if ((s->faults || s->pairs) && (scenario->swept || s->scenario))
            faults_of(s, &o, t);
    }
    for (long n = 0; n < s->seeds; n++)
        if (turns_mine(&s->turns))
            swarm(s, s->seed + (uint64_t)n, t);
}

/* One run with its trace: of a scenario, or what the seed draws; with the faults that are told, or those of the seed. */
static int replay(struct sweep *s) {
    struct totals t = {0};
    struct bench_fault f[FAULTS_MAX];
    bool drawn = s->drawn || !s->scenario || (s->nfaults == 0 && !s->no_faults);
    struct bench_options o = drawn ? draw(s, s->seed, f) : scenario_set_find(s->scenario)->options;
    if (s->nfaults || s->no_faults) {
        o.faults = s->fault;
        o.nfaults = s->nfaults;
    }
    o.replicas = s->replicas ? s->replicas : o.replicas;
    o.seed = s->seed;
    o.trace = true;
    one(&o, &t);
    printf("runs=%ld violations=%ld\n", t.runs, t.violations);
    return t.violations != 0;
}

static int64_t number(const char *text) {
    int64_t n = 0;
    return str_to_int64(text, &n) && n >= 0 && n <= 1000000000 ? n : 0;
}

static bool parse_fault(struct sweep *s, const char *text) {
    const char *at = strchr(text, '@');
    if (str_eq(text, "none"))
        return s->no_faults = true;
    for (int kind = 0; at && kind < NET_FAULT_KINDS && s->nfaults < FAULTS_MAX; kind++)
        if (str_has_prefix(text, net_fault_name((enum net_fault_kind)kind)) &&
            strlen(net_fault_name((enum net_fault_kind)kind)) == (size_t)(at - text)) {
            const char *by = strchr(at, '/');
            char digits[16];
            snprintf(digits, sizeof digits, "%.*s", (int)strcspn(at + 1, "/"), at + 1);
            s->fault[s->nfaults++] = (struct bench_fault){
                .kind = (enum net_fault_kind)kind, .at = (int)number(digits), .by = by ? (int)number(by + 1) : 0};
            return true;
        }
    return false;
}

static int usage(void) {
    fprintf(stderr,
            "usage: %s [--scenarios DIR] [--scenario NAME] [--faults [--all] | --pairs] [--kind KIND] [--phase "
            "migration|deletion] "
            "[--twice]\n"
            "       [--seeds N] [--seed S] [--drawn] [--fault KIND@N[/BY] | --fault none] [--replicas N] [--jobs J]\n",
            self);
    fprintf(stderr, "scenarios:");
    for (size_t i = 0; i < scenario_set_size(); i++)
        fprintf(stderr, " %s", scenario_set_at(i)->options.scenario);
    fprintf(stderr, "\nfaults:");
    for (int kind = 0; kind < NET_FAULT_KINDS; kind++)
        fprintf(stderr, " %s", net_fault_name((enum net_fault_kind)kind));
    fprintf(stderr, "\n");
    return 2;
}

static int run_jobs(struct sweep *s) {
    struct timespec begun, ended;
    struct totals all = {0};
    int pipes[64][2];
    clock_gettime(CLOCK_MONOTONIC, &begun);
    turns_begin(&s->turns);
    for (int j = 0; j < s->jobs; j++) {
        if (pipe(pipes[j]) != 0)
            die("pipe failed");
        if (fork() == 0) {
            struct totals t = {0};
            sweep(s, &t);
            fflush(stdout);
            if (write(pipes[j][1], &t, sizeof t) != (ssize_t)sizeof t)
                _exit(2);
            _exit(0);
        }
        close(pipes[j][1]);
    }
    for (int j = 0; j < s->jobs; j++) {
        struct totals t = {0};
        if (read(pipes[j][0], &t, sizeof t) != (ssize_t)sizeof t) {
            printf("job %d ended in the middle\n", j);
            all.violations++;
        }
        all.runs += t.runs;
        all.violations += t.violations;
    }
    while (wait(NULL) > 0)
        ;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    double seconds = (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
    printf("runs=%ld violations=%ld runs_per_s=%.0f\n", all.runs, all.violations, (double)all.runs / seconds);
    return all.violations != 0;
}

static void discard(void *ctx, const char *line, size_t len) {
    (void)ctx, (void)line, (void)len;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"scenarios", required_argument, NULL, 'D'},
                                            {"scenario", required_argument, NULL, 'c'},

                                            {"faults", no_argument, NULL, 'f'},
                                            {"pairs", no_argument, NULL, 'p'},
                                            {"twice", no_argument, NULL, 't'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"jobs", required_argument, NULL, 'j'},
                                            {"fault", required_argument, NULL, 'x'},
                                            {"kind", required_argument, NULL, 'k'},
                                            {"phase", required_argument, NULL, 'h'},
                                            {"replicas", required_argument, NULL, 'r'},
                                            {"drawn", no_argument, NULL, 'd'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"mutants", no_argument, NULL, 'l'},
                                            {"mutant", required_argument, NULL, 'm'},
                                            {NULL, 0, NULL, 0}};
    struct sweep s = {.jobs = (int)sysconf(_SC_NPROCESSORS_ONLN), .seed = 1, .directory = CNI_IAM_SCENARIOS};
    struct error err = {0};
    const char *mutant = NULL;
    self = argv[0];
    if (getenv("CNI_IAM_BENCH_LOG")) {
        log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    } else {
        log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
        log_set_sink(discard, NULL);
    }
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'D')
            s.directory = optarg;
        else if (c == 'c')
            s.scenario = optarg;
        else if (c == 'a')
            s.whole = true;
        else if (c == 'k')
            s.kind = optarg;
        else if (c == 'f')
            s.faults = true;
        else if (c == 'p')
            s.pairs = true;
        else if (c == 't')
            twice = true;
        else if (c == 'n')
            s.seeds = (long)number(optarg);
        else if (c == 's')
            s.have_seed = true, s.seed = (uint64_t)number(optarg);
        else if (c == 'j')
            s.jobs = (int)number(optarg);
        else if (c == 'l')
            return mutants_list();
        else if (c == 'm')
            mutant = optarg;
        else if (c == 'd')
            s.drawn = true;
        else if (c == 'r')
            s.replicas = (int)number(optarg);
        else if (c == 'h' && str_eq(optarg, "migration"))
            s.phase = EXPLORE_MIGRATION;
        else if (c == 'h' && str_eq(optarg, "deletion"))
            s.phase = EXPLORE_DELETION;
        else if (c != 'x' || !parse_fault(&s, optarg))
            return usage();
    }
    if (optind == argc && mutant)
        return s.scenario ? mutants_trace(mutant, s.scenario) : mutants_run(mutant, (int)s.seeds);
    if (!scenario_set_load(s.directory, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    if (optind != argc || s.jobs < 1 || s.jobs > 64 || (s.scenario && !scenario_set_find(s.scenario)))
        return usage();
    forced = s.scenario != NULL;
    return s.have_seed && !s.seeds ? replay(&s) : run_jobs(&s);
}
