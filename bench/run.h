/*
 * run.h - one run of the product's own operator in a simulated world: migrate, rest, delete, all under the checkers.
 *
 * Model: world, network and operator on one virtual clock, everything drawn from one seed. The operator is the one of
 * controller/operator.h with its real clients for Kubernetes and AWS; only sockets, the clock and the machine are
 * simulated (virtual_loop.h, net.h). A crash takes an operator away in the middle of a call and starts another; of two
 * replicas one leads and the other waits for the Lease.
 *
 * Ownership: the result is a value.   Errors: a run that does not get where it should says so in `failure`.
 * Bounds: BENCH_VIRTUAL_MAX_MS of virtual time a phase, and L2's.
 */
#ifndef CNI_IAM_BENCH_RUN_H
#define CNI_IAM_BENCH_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "simulator/checker.h"
#include "simulator/virtual/net.h"

#define BENCH_VIRTUAL_MAX_MS (60 * 60 * 1000)
#define BENCH_TRIES_AGAIN_MS (11 * 60 * 1000) /* after a rollback */
#define BENCH_SETTLES_MS (10 * 60 * 1000) /* L2: and the soak, and BENCH_NODE_MS for each node, after the last fault */
#define BENCH_NODE_MS 15000

struct bench_fault {
    enum net_fault_kind kind;
    int at, by; /* net.h */
};

/*
 * Asked at each call and each event, before the fault of that number would happen. true: this is a process that was forked
 * here, and *fault happens now; it ends when bench_run has returned. false: the run goes on as it was.
 */
struct bench_moment {
    enum net_counter counter;
    int number;
    bool deleting;
};
typedef bool (*bench_branch_fn)(void *arg, const struct bench_moment *m, struct bench_fault *fault);

/* Where somebody else's hands may change the world. */
enum bench_phase { BENCH_MADE, BENCH_MIGRATED, BENCH_DELETED };
struct bench_stage {
    struct sim_world *world;
    struct sim_checker *checker;
    bool (*is_running)(void *arg);
    void (*stop_operator)(void *arg); /* as SIGTERM does; another starts when it is gone */
    void *arg;
};
struct story;

struct bench_options {
    const char *scenario;      /* for people */
    const char *spec;          /* JSON of the binding's spec */
    const struct story *story; /* what else happens, and how it ends (story.h); NULL: nothing, and migrated */
    uint64_t seed;
    int nodes;
    int replicas; /* of the operator; 0: two where one of them is paused, else one */
    bool on_delete, ipv6, foreign_consumer;
    bool operator_role; /* the operator is a role that others can deny things to, not root */
    int webhook_misses;
    int64_t enforcement_lag_ms, delay_max_ms;
    int64_t pod_start_ms, webhook_lag_ms; /* 0: three seconds, half a second */
    /* Between migration and deletion; 0: four looks at AWS, what was waited for before included; < 0: no rest is expected. */
    int64_t rest_ms;
    /* The binding is deleted that long after it was applied, wherever things stand; 0: at the scenario's end. */
    int64_t delete_after_ms;
    bool no_deletion; /* the run is over where the migration has come to rest */
    const struct bench_fault *faults;
    int nfaults;
    bool drawn;             /* all of this comes from the seed */
    bench_branch_fn branch; /* NULL: one run, one process */
    void *branch_arg;
    bool branch_exits; /* the branch's process ends after bench_run: files are removed, memory is left */
    bool trace;        /* writes to standard output */

    /* For mutants (bench/mutants.h). */
    bool oracles;                                                         /* bench/oracle.h looks on */
    void (*on_phase)(const struct bench_stage *s, enum bench_phase when); /* NULL: nobody else is there */
    const char *keep;       /* words of calls that nobody may make: what belongs to others; '|' between them */
    const char *kept_trust; /* a word that no trust policy may lose */
    int64_t held_ms;        /* > 0: this binding never gets as far as a detachment; so long is waited to see it */
    int64_t goal_max_ms;    /* for the migration, and for the deletion; 0: BENCH_VIRTUAL_MAX_MS */
    int foreign_roles;      /* that others have besides the two node roles */
    bool foreign_provider, stays_migrated; /* the last: deletion gives nothing back */
};

struct bench_result {
    char failure[512]; /* "" if all is as it should be */
    int violations;
    int migration_writes, writes; /* calls that change something; the second with the deletion's */
    int64_t calls, virtual_ms, trace_hash;
    int counts[NET_COUNTERS]; /* what faults can be at */
    bool faults_met;
};

void bench_run(const struct bench_options *o, struct bench_result *out);

#endif
