/*
 * main.c - cni-iam-bench: scenarios times faults times seeds (tests/sim).
 *
 *   --scenarios DIR   the folder of the scenarios (scenario.h)
 *   --scenario NAME   one of them, or all (default); faults and swarms: all that are swept
 *   --faults          every single fault at every call that changes something, of migration and deletion
 *   --pairs           every pair of faults too, both in the migration or both in the deletion
 *   --phase NAME      migration or deletion: faults (the first of a pair) in this one only
 *   --seeds N         N random swarms; --seed S the one of that seed, with its trace
 *   --trace           what the operator and everybody else did, call by call
 *   --twice           each run again: the same seed has to be the same run
 *   --jobs J          processes (default: the cores)
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/explore.h"
#include "bench/run.h"
#include "bench/scenario_set.h"
#include "platform/base/log.h"
#include "platform/base/random.h"
#include "platform/base/str.h"

#define IDLE_MS (60 * 60 * 1000) /* of a scenario in which nothing goes wrong */

struct totals {
    long runs, violations;
};

static const char *self;
static bool twice;

static void tell_failure(const struct bench_options *o, const struct bench_result *r) {
    printf("%s seed %llu", o->scenario, (unsigned long long)o->seed);
    for (int i = 0; i < o->nfaults; i++)
        printf(" %s@%d", net_fault_name(o->faults[i].kind), o->faults[i].at);
    printf(": %s\n  replay: %s --scenario %s --seed %llu", r->failure, self, o->scenario, (unsigned long long)o->seed);
    for (int i = 0; i < o->nfaults; i++)
        printf(" --fault %s@%d", net_fault_name(o->faults[i].kind), o->faults[i].at);
    printf("\n");
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
    }
}

/* --- sweeps: job j of n takes every n-th run --- */

struct sweep {
    const char *directory, *scenario;
    bool faults, pairs, have_seed, trace;
    long seeds;
    uint64_t seed;
    struct bench_fault fault[2];
    int nfaults;
    enum explore_phase phase;
    int job, jobs;
    long counter;
};

static bool mine(struct sweep *s) {
    return s->counter++ % s->jobs == s->job;
}

/* depth 1: every single fault; 2: every pair of them. */
static void faults_of(const struct sweep *s, const struct bench_options *scenario, struct totals *t) {
    struct explore_totals found = {0};
    struct explore_options e = {.scenario = scenario,
                                .depth = s->pairs ? 2 : 1,
                                .phase = s->phase,
                                .job = s->job,
                                .jobs = s->jobs,
                                .twice = twice,
                                .failed = tell_failure};
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

/* A world, delays and up to four faults, all of the seed. */
static void swarm(struct sweep *s, uint64_t seed, struct totals *t) {
    struct prng p;
    struct bench_fault f[4];
    prng_seed(&p, seed);
    struct bench_options o = swept(prng_next(&p))->options;
    if (s->scenario)
        o = scenario_set_find(s->scenario)->options;
    o.seed = seed;
    o.nodes = 1 + (int)prng_below(&p, 6);
    o.enforcement_lag_ms = (int64_t)prng_below(&p, 30000);
    o.delay_max_ms = 1 + (int64_t)prng_below(&p, 300);
    o.nfaults = (int)prng_below(&p, 5);
    for (int i = 0; i < o.nfaults; i++)
        f[i] = (struct bench_fault){(enum net_fault_kind)prng_below(&p, NET_FAULT_KINDS), 1 + (int)prng_below(&p, 40)};
    o.faults = f;
    o.trace = s->trace;
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
        once.trace = s->trace;
        once.rest_ms = scenario->swept ? IDLE_MS : 0;
        if (mine(s))
            one(&once, t);
        if ((s->faults || s->pairs) && (scenario->swept || s->scenario))
            faults_of(s, &o, t);
    }
    for (long n = 0; n < s->seeds; n++)
        if (mine(s))
            swarm(s, s->seed + (uint64_t)n, t);
}

/* One run with its trace; --fault as told, else the swarm of that seed. */
static int replay(struct sweep *s) {
    struct totals t = {0};
    s->trace = true;
    if (!s->scenario || !s->nfaults) {
        swarm(s, s->seed, &t);
    } else {
        struct bench_options o = scenario_set_find(s->scenario)->options;
        o.seed = s->seed;
        o.faults = s->fault;
        o.nfaults = s->nfaults;
        o.trace = true;
        one(&o, &t);
    }
    printf("runs=%ld violations=%ld\n", t.runs, t.violations);
    return t.violations != 0;
}

static int64_t number(const char *text) {
    int64_t n = 0;
    return str_to_int64(text, &n) && n >= 0 && n <= 1000000000 ? n : 0;
}

static bool parse_fault(struct sweep *s, const char *text) {
    const char *at = strchr(text, '@');
    for (int kind = 0; at && kind < NET_FAULT_KINDS && s->nfaults < 2; kind++)
        if (strncmp(text, net_fault_name((enum net_fault_kind)kind), (size_t)(at - text)) == 0) {
            s->fault[s->nfaults++] = (struct bench_fault){(enum net_fault_kind)kind, (int)number(at + 1)};
            return true;
        }
    return false;
}

static int usage(void) {
    fprintf(stderr,
            "usage: %s [--scenarios DIR] [--scenario NAME] [--faults | --pairs] [--phase migration|deletion] [--twice] "
            "[--trace] [--seeds N] "
            "[--seed S] [--fault KIND@N] "
            "[--jobs J]\n",
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
    for (s->job = 0; s->job < s->jobs; s->job++) {
        if (pipe(pipes[s->job]) != 0)
            die("pipe failed");
        if (fork() == 0) {
            struct totals t = {0};
            sweep(s, &t);
            fflush(stdout);
            if (write(pipes[s->job][1], &t, sizeof t) != (ssize_t)sizeof t)
                _exit(2);
            _exit(0);
        }
        close(pipes[s->job][1]);
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
    static const struct option options[] = {
        {"scenarios", required_argument, NULL, 'd'}, {"scenario", required_argument, NULL, 'c'},
        {"faults", no_argument, NULL, 'f'},          {"pairs", no_argument, NULL, 'p'},
        {"twice", no_argument, NULL, 't'},           {"trace", no_argument, NULL, 'v'},
        {"seeds", required_argument, NULL, 'n'},     {"seed", required_argument, NULL, 's'},
        {"phase", required_argument, NULL, 'h'},     {"jobs", required_argument, NULL, 'j'},
        {"fault", required_argument, NULL, 'x'},     {NULL, 0, NULL, 0}};
    struct sweep s = {.jobs = (int)sysconf(_SC_NPROCESSORS_ONLN), .seed = 1, .directory = CNI_IAM_SCENARIOS};
    struct error err = {0};
    self = argv[0];
    if (getenv("CNI_IAM_BENCH_LOG")) {
        log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    } else {
        log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
        log_set_sink(discard, NULL);
    }
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'd')
            s.directory = optarg;
        else if (c == 'c')
            s.scenario = optarg;
        else if (c == 'f')
            s.faults = true;
        else if (c == 'p')
            s.pairs = true;
        else if (c == 'v')
            s.trace = true;
        else if (c == 't')
            twice = true;
        else if (c == 'n')
            s.seeds = (long)number(optarg);
        else if (c == 's')
            s.have_seed = true, s.seed = (uint64_t)number(optarg);
        else if (c == 'j')
            s.jobs = (int)number(optarg);
        else if (c == 'h' && str_eq(optarg, "migration"))
            s.phase = EXPLORE_MIGRATION;
        else if (c == 'h' && str_eq(optarg, "deletion"))
            s.phase = EXPLORE_DELETION;
        else if (c != 'x' || !parse_fault(&s, optarg))
            return usage();
    }
    if (!scenario_set_load(s.directory, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    if (optind != argc || s.jobs < 1 || s.jobs > 64 || (s.scenario && !scenario_set_find(s.scenario)))
        return usage();
    return s.have_seed && !s.seeds ? replay(&s) : run_jobs(&s);
}
