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
 * Asked at each call that changes something, before the fault of that number would happen. true: this is a process that
 * was forked here, and *fault happens now; it ends when bench_run has returned. false: the run goes on as it was.
 */
struct bench_moment {
    int write; /* its number */
    bool deleting;
};
typedef bool (*bench_branch_fn)(void *arg, const struct bench_moment *m, struct bench_fault *fault);

struct bench_options {
    const char *scenario; /* for people */
    const char *spec;     /* JSON of the binding's spec */
    uint64_t seed;
    int nodes;
    int replicas; /* of the operator; 0: two where one of them is paused, else one */
    bool on_delete, ipv6;
    int webhook_misses;
    int64_t enforcement_lag_ms, delay_max_ms;
    int64_t rest_ms; /* between migration and deletion; 0: four looks at AWS, what was waited for before included */
    int64_t
        delete_after_ms; /* the binding is deleted that long after it was applied, wherever things stand; 0: migrated */
    const struct bench_fault *faults;
    int nfaults;
    bool drawn;             /* all of this comes from the seed */
    bench_branch_fn branch; /* NULL: one run, one process */
    void *branch_arg;
    bool trace; /* writes to standard output */
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
