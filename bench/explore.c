#include "bench/explore.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/base/error.h"

struct explorer {
    const struct explore_options *o;
    struct bench_options *running;
    struct explore_totals *totals; /* shared by all processes of the job */
    struct bench_fault faults[EXPLORE_DEPTH_MAX];
    int depth; /* faults that this process has had */
    bool first_deleting;
};

static void tell(const struct explorer *e, const struct bench_result *r) {
    struct bench_options o = *e->o->scenario;
    o.faults = e->faults;
    o.nfaults = e->depth;
    e->totals->violations++;
    e->o->failed(&o, r);
    fflush(stdout);
}

static void tell_death(const struct explorer *e, const struct bench_fault *f, int status) {
    struct explorer dead = *e;
    struct bench_result r = {0};
    dead.faults[dead.depth++] = *f;
    snprintf(r.failure, sizeof r.failure, "the process ended with %s %d",
             WIFSIGNALED(status) ? "signal" : "exit status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    tell(&dead, &r);
}

static bool is_wanted(const struct explorer *e, bool deleting) {
    if (e->depth >= e->o->depth)
        return false;
    if (e->depth > 0)
        return deleting == e->first_deleting;
    return e->o->phase == EXPLORE_BOTH || deleting == (e->o->phase == EXPLORE_DELETION);
}

/* true in the new process, which has that fault. */
static bool fork_with(struct explorer *e, const struct bench_moment *m, const struct bench_fault *fault) {
    int status = 0;
    if (e->depth == 0 && !turns_mine(e->o->turns))
        return false;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        e->first_deleting = m->deleting;
        e->running->no_deletion =
            e->o->depth > 1 && !m->deleting; /* pairs are of one phase: the other was gone through */
        e->faults[e->depth++] = *fault;
        return true;
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        die("bench: a process could not be made, or waited for");
    if (status != 0)
        tell_death(e, fault, status);
    return false;
}

static bool is_here(const struct explorer *e, enum net_fault_kind kind, const struct bench_moment *m) {
    return e->o->kinds[kind] && net_fault_counter(kind) == m->counter && (m->number - 1) % e->o->every[m->counter] == 0;
}

/* Of a pair each fault lasts as long, or goes back as far, as the first that a sweep tries. */
static bool branch(void *arg, const struct bench_moment *m, struct bench_fault *fault) {
    struct explorer *e = arg;
    if (!is_wanted(e, m->deleting))
        return false;
    for (int k = 0; k < NET_FAULT_KINDS; k++) {
        enum net_fault_kind kind = (enum net_fault_kind)k;
        if (!is_here(e, kind, m))
            continue;
        for (int i = 0; i == 0 || (e->o->depth == 1 && net_fault_by(kind, i) > 0); i++) {
            *fault = (struct bench_fault){kind, m->number, net_fault_by(kind, i)};
            if (fork_with(e, m, fault))
                return true;
        }
    }
    return false;
}

static void run_again(const struct explorer *e, struct bench_result *r) {
    struct bench_options o = *e->running;
    int64_t first = r->trace_hash;
    o.branch = NULL;
    o.faults = e->faults;
    o.nfaults = e->depth;
    bench_run(&o, r);
    if (!r->failure[0] && r->trace_hash != first)
        snprintf(r->failure, sizeof r->failure, "from its beginning it was another run");
}

void explore(const struct explore_options *o, struct explore_totals *totals) {
    struct bench_options scenario = *o->scenario;
    struct bench_result r;
    struct explorer e = {.o = o, .running = &scenario};
    e.totals = mmap(NULL, sizeof *e.totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (e.totals == MAP_FAILED)
        die("bench: no memory to share");
    scenario.branch = branch;
    scenario.branch_arg = &e;
    scenario.branch_exits = !o->twice;
    bench_run(&scenario, &r);
    if (o->twice && e.depth > 0 && !r.failure[0])
        run_again(&e, &r);
    if (e.depth > 0)
        e.totals->runs++;
    if (r.failure[0])
        tell(&e, &r);
    if (e.depth > 0)
        _exit(0);
    totals->runs += e.totals->runs;
    totals->violations += e.totals->violations;
    munmap(e.totals, sizeof *e.totals);
}
