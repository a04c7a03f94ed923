/*
 * main.c - cni-iam-bench: scenarios times faults times seeds (tests/sim).
 *
 *   --scenario NAME   one of them, or all (default)
 *   --faults          every single fault at every call that changes something, of migration and deletion
 *   --pairs           every pair of faults
 *   --seeds N         N random swarms; --seed S the one of that seed, with its trace
 *   --twice           each run again: the same seed has to be the same run
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

#include "bench/mutants.h"
#include "bench/run.h"
#include "platform/base/log.h"
#include "platform/base/random.h"
#include "platform/base/str.h"

#define WAITS "\"rollout\":{\"proofSeconds\":10,\"settleSeconds\":5,\"progressDeadlineSeconds\":300}"
#define AUTOMATIC "{" WAITS ",\"nodeRole\":{\"detach\":\"Automatic\",\"soakSeconds\":60}}"

static const struct bench_options scenarios[] = {
    {.scenario = "irsa", .spec = AUTOMATIC, .nodes = 4, .enforcement_lag_ms = 4000, .delay_max_ms = 40},
    {.scenario = "one-node", .spec = AUTOMATIC, .nodes = 1, .enforcement_lag_ms = 4000, .delay_max_ms = 40},
    {.scenario = "missed-pods",
     .spec = AUTOMATIC,
     .nodes = 4,
     .webhook_misses = 2,
     .enforcement_lag_ms = 4000,
     .delay_max_ms = 40},
    {.scenario = "on-delete",
     .spec = AUTOMATIC,
     .nodes = 4,
     .on_delete = true,
     .enforcement_lag_ms = 4000,
     .delay_max_ms = 40},
    {.scenario = "slow-iam", .spec = AUTOMATIC, .nodes = 3, .enforcement_lag_ms = 50000, .delay_max_ms = 40},
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

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
    const char *scenario;
    bool faults, pairs, have_seed, trace;
    long seeds;
    uint64_t seed;
    struct bench_fault fault[2];
    int nfaults;
    int job, jobs;
    long counter;
};

static bool mine(struct sweep *s) {
    return s->counter++ % s->jobs == s->job;
}

static int writes_of(const struct bench_options *o) {
    struct bench_result r;
    bench_run(o, &r);
    return r.writes;
}

static void single_faults(struct sweep *s, const struct bench_options *scenario, struct totals *t) {
    int writes = writes_of(scenario);
    for (int kind = 0; kind < NET_FAULT_KINDS; kind++)
        for (int at = 1; at <= writes; at++) {
            struct bench_fault f = {.kind = (enum net_fault_kind)kind, .at = at};
            struct bench_options o = *scenario;
            o.faults = &f;
            o.nfaults = 1;
            if (mine(s))
                one(&o, t);
        }
}

static void pairs_of_faults(struct sweep *s, const struct bench_options *scenario, struct totals *t) {
    int writes = writes_of(scenario);
    for (int first = 0; first < NET_FAULT_KINDS * writes; first++)
        for (int second = first + 1; second < NET_FAULT_KINDS * writes; second++) {
            struct bench_fault f[2] = {{(enum net_fault_kind)(first % NET_FAULT_KINDS), 1 + first / NET_FAULT_KINDS},
                                       {(enum net_fault_kind)(second % NET_FAULT_KINDS), 1 + second / NET_FAULT_KINDS}};
            struct bench_options o = *scenario;
            o.faults = f;
            o.nfaults = 2;
            if (f[0].at != f[1].at && mine(s))
                one(&o, t);
        }
}

/* A world, delays and up to four faults, all of the seed. */
static void swarm(struct sweep *s, uint64_t seed, struct totals *t) {
    struct prng p;
    struct bench_fault f[4];
    prng_seed(&p, seed);
    struct bench_options o = scenarios[prng_below(&p, SCENARIOS)];
    if (s->scenario)
        for (size_t i = 0; i < SCENARIOS; i++)
            if (str_eq(scenarios[i].scenario, s->scenario))
                o = scenarios[i];
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
    for (size_t i = 0; i < SCENARIOS && !s->have_seed && !s->seeds; i++) {
        struct bench_options o = scenarios[i];
        o.seed = 1;
        if (s->scenario && !str_eq(s->scenario, o.scenario))
            continue;
        if (mine(s))
            one(&o, t);
        if (s->faults)
            single_faults(s, &o, t);
        if (s->pairs)
            pairs_of_faults(s, &o, t);
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
        for (size_t i = 0; i < SCENARIOS; i++)
            if (str_eq(scenarios[i].scenario, s->scenario)) {
                struct bench_options o = scenarios[i];
                o.seed = s->seed;
                o.faults = s->fault;
                o.nfaults = s->nfaults;
                o.trace = true;
                one(&o, &t);
            }
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
            "usage: %s [--scenario NAME] [--faults] [--pairs] [--twice] [--seeds N] [--seed S] [--fault KIND@N] "
            "[--jobs J]\n",
            self);
    fprintf(stderr, "scenarios:");
    for (size_t i = 0; i < SCENARIOS; i++)
        fprintf(stderr, " %s", scenarios[i].scenario);
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
    static const struct option options[] = {{"scenario", required_argument, NULL, 'c'},
                                            {"faults", no_argument, NULL, 'f'},
                                            {"pairs", no_argument, NULL, 'p'},
                                            {"twice", no_argument, NULL, 't'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"jobs", required_argument, NULL, 'j'},
                                            {"fault", required_argument, NULL, 'x'},
                                            {"mutants", no_argument, NULL, 'l'},
                                            {"mutant", required_argument, NULL, 'm'},
                                            {NULL, 0, NULL, 0}};
    struct sweep s = {.jobs = (int)sysconf(_SC_NPROCESSORS_ONLN), .seed = 1};
    const char *mutant = NULL;
    self = argv[0];
    if (getenv("CNI_IAM_BENCH_LOG")) {
        log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    } else {
        log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
        log_set_sink(discard, NULL);
    }
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'c')
            s.scenario = optarg;
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
        else if (c != 'x' || !parse_fault(&s, optarg))
            return usage();
    }
    if (optind != argc || s.jobs < 1 || s.jobs > 64)
        return usage();
    if (mutant)
        return s.scenario ? mutants_trace(mutant, s.scenario) : mutants_run(mutant, (int)s.seeds);
    return s.have_seed && !s.seeds ? replay(&s) : run_jobs(&s);
}
