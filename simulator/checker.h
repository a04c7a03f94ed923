/*
 * checker.h - the judge of a simulated world: invariants by what is so, never by what the operator thinks.
 *
 *   S1   a node whose aws-node pod was permitted has one that is not
 *   S2   a CNI policy came off a node role while a node with that role had no Ready pod with a working role of its own
 *   S5   a provider was deleted that some role trusts
 *   S9   the DaemonSet was restarted more than twice: once on the way there, once on the way back
 *
 * Model: asked after every write to Kubernetes or AWS, and every CHECKER_LOOK_MS for as long as IAM may still be changing
 * its mind. What others break is excused for as long as sim_checker_excuse says so.
 *
 * Ownership: sim_checker_new/_free (before the world).   Errors: none.   Bounds: CHECKER_VIOLATIONS_MAX sentences are kept.
 */
#ifndef CNI_IAM_SIMULATOR_CHECKER_H
#define CNI_IAM_SIMULATOR_CHECKER_H

#include "simulator/world.h"

#define CHECKER_LOOK_MS 250
#define CHECKER_VIOLATIONS_MAX 16
#define CHECKER_SENTENCE_MAX 320
#define CHECKER_REPLICAS_MAX 4

struct sim_checker;
struct sim_checker *sim_checker_new(struct sim_world *w);
void sim_checker_free(struct sim_checker *c);

/* --- what operators ask: told by whoever stands between them and the servers --- */
struct sim_checker_call {
    int replica; /* below CHECKER_REPLICAS_MAX */
    bool to_aws;
    bool changes; /* a write of the operator's that is no Lease, Event, review, token or dry run */
    const struct sim_http_request *req;
};
/* A process begins, under this identity in the Lease. */
void sim_checker_begins(struct sim_checker *c, int replica, const char *identity);
void sim_checker_ends(struct sim_checker *c, int replica); /* it crashed, or gave up */
/* The request is at its server, which has not done anything yet. */
void sim_checker_asked(struct sim_checker *c, const struct sim_checker_call *call);
/* It is over, whatever came of it: the status that the operator will hear, 0 if it will hear nothing; and what it says. */
void sim_checker_served(struct sim_checker *c, const struct sim_checker_call *call, int status, const char *body);

/* S10: what no operator may let out of its memory; tokens and session keys that servers give are known without. */
void sim_checker_secret(struct sim_checker *c, const char *secret);
void sim_checker_let_out(struct sim_checker *c, const char *where, const char *text,
                         size_t len); /* a log line, a file */

/* From now on S1 and S2 are not judged (true), or are again, from what is then so (false). */
void sim_checker_excuse(struct sim_checker *c, bool excused);
int sim_checker_violations(const struct sim_checker *c);
const char *sim_checker_violation(const struct sim_checker *c, int i); /* "S1: …" */
int sim_checker_restarts(const struct sim_checker *c);

#endif
