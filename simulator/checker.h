/*
 * checker.h - the judge of a simulated world: invariants by what is so, never by what the operator thinks.
 *
 *   S1   a node whose aws-node pod was permitted has one that is not
 *   S2   a CNI policy comes off a node role, and a consumer of it is no node whose pod was Ready, made after the
 *        annotation, permitted, on the role that it names, for as long as the soak; nor declared
 *   S3   ... and attaching it was not heard to work since it came off last, or status does not record it
 *   S4   a trust policy gets a statement that is not exactly ours, or loses one that is not ours
 *   S5   what is not ours by its tags is changed; a provider goes that a role trusts; more of the DaemonSet than template
 *        annotations, the spec of a binding, or a pod of somebody else is touched
 *   S6   a write of who does not hold the Lease; something taken away without a compare-and-swap right before, from a
 *        node role without an intent of this epoch in status
 *   S7   a write to what a lost answer, 500, 502 or 504 left unknown, before a look at it (attaching and applying may be
 *        said again in the same words)
 *   S8   a pod is deleted without uid and resourceVersion
 *   S9   a second restart for one injection; one before a pod worked, unless it goes back to the role that was annotated
 *        when the judge came; one while a node has no Ready pod; any with OnDelete; a pod is re-created while another waits
 *   S10  a canary in a request, a log line, a file
 *   S12  a watch from an earlier version than the one before
 *   S14  role, policy or provider is removed and neither a deletion nor another spec asked for it
 *   S15  the annotation goes while a policy that was taken is off, or not given back for as long as the soak; a role is
 *        removed that a pod bears or the ServiceAccount names
 *   S16  a policy, a path, an object, a token that an operator has no business with
 *   L3   three refusals of one write, and a minute later Stalled is not True; unless another write was taken
 *        since the last, or it was said and is not asked for any more
 *   L6   35 s after the leader was gone nobody who lives holds the Lease
 *   L8   writes without an end
 *
 * Elsewhere, because the end of a run or another program shows it: L1, L2, L4, S13 and the end state of S15 in
 * bench/run.c; S11 by all of these in runs whose state file is lost (CRASH_FORGETS of virtual/net.h). Because the world
 * does not show it: S17 (bounds: the tests of each module and tests/fuzz), S18 (the operator of the bench runs outside of
 * the cluster: test_guards.c), L5 (there are no half-open connections here: tests/wire/test_half_open.py). L7:
 * only as far as L2, nobody in this world removes what is needed while the bench rests.
 *
 * Model: hears of every call of the operators before and after the server (sim_checker_asked, _served), of every write to
 * Kubernetes and AWS, and looks every CHECKER_LOOK_MS for as long as IAM may still be changing its mind. Where nobody
 * tells of calls (sim_checker_begins was never called), S1 is judged, and S2 without the soak. What others break is
 * excused for as long as sim_checker_excuse says so; what they changed seconds ago no operator could know.
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

/* The operator hears an event of a watch of that path. */
void sim_checker_line(struct sim_checker *c, const char *path, const char *line);

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
