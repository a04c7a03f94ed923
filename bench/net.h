/*
 * net.h - the network between operator and world: platform/http/http.h without sockets, and everything that goes wrong.
 *
 * Model: a request reaches its server after a delay of the seed, is carried out, and its answer takes as long again.
 * Lines of a watch take one delay each and keep their order. Each call that changes something has a number, from 1; a fault is
 * one thing that happens to the call of one number (any read: NET_READS):
 *
 *   LOST_BEFORE   the connection breaks, the server never saw it
 *   LOST_AFTER    the server did it, the answer is lost
 *   TWICE         the network delivers it twice: the second meets what the first left
 *   DENIED, THROTTLED, UNAVAILABLE   the server's own refusal, nothing is done
 *   CRASH_BEFORE, CRASH_AFTER        the operator ends before, or after the server did it
 *
 * Besides there is a weather, for as long as somebody else wants it: streams that say nothing, refusals of some calls, lists
 * that come back empty. A tap sees every call, for oracles (bench/oracle.h).
 *
 * Ownership: process-wide; net_begin starts anew, operators come and go.   Errors: as http.h's.
 * Bounds: NET_FAULTS_MAX faults, NET_CALLS_MAX recorded calls.
 */
#ifndef CNI_IAM_BENCH_NET_H
#define CNI_IAM_BENCH_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "simulator/aws_http.h"
#include "simulator/kube.h"

#define NET_FAULTS_MAX 8
#define NET_CALLS_MAX 4096
#define NET_KUBE "https://kube.sim"
#define NET_AWS "https://aws.sim"

enum net_fault_kind {
    NET_LOST_BEFORE,
    NET_LOST_AFTER,
    NET_TWICE,
    NET_DENIED,
    NET_THROTTLED,
    NET_UNAVAILABLE,
    NET_CRASH_BEFORE,
    NET_CRASH_AFTER,
    NET_FAULT_KINDS
};
const char *net_fault_name(enum net_fault_kind kind);

struct net_fault {
    enum net_fault_kind kind;
    int at; /* number of the call that changes something */
    bool hit;
};

/* One moment of one call. */
enum net_moment { NET_SENT, NET_ARRIVED, NET_ANSWERED, NET_LINE };
struct net_call {
    enum net_moment moment;
    bool to_aws, changes, is_watch;
    const char *what, *method, *path, *query, *body;
    int64_t sent_ms;           /* virtual time */
    int status, retry_after_s; /* NET_ANSWERED; status 0: the answer was lost */
    const char *answer;        /* NET_ANSWERED: its body; NET_LINE: the line of a watch */
};

struct net_weather {
    const char *hanging[2]; /* watches of these paths' ends say nothing; NULL: none */
    bool lists_are_empty;
    const char *refused;         /* calls whose text ("kube PATCH /…", "aws …") holds this; NULL: none */
    bool refused_streams;        /* watches too */
    enum net_fault_kind refusal; /* NET_DENIED, NET_THROTTLED, NET_UNAVAILABLE */
    bool not_found;              /* instead: 404, NoSuchEntity */
    int retry_after_s;           /* of such a refusal; 0: it does not say */
    bool writes_outlive;         /* what a process that ends has sent still reaches its server */
    int64_t aws_delay_ms;        /* on top, one way, for what changes something */
};

struct net_options {
    struct sim_kube *kube;
    struct sim_aws *aws;
    uint64_t seed;
    int64_t delay_max_ms;                        /* one way */
    void (*crash)(void *arg);                    /* the operator is gone when this returns */
    void (*before)(void *arg, const char *what); /* a call that changes something arrives at its server */
    void *arg;
    void (*tap)(void *arg, const struct net_call *c); /* NULL: nobody */
    void *tap_arg;
};
struct net_weather *net_weather(void); /* fair after net_begin */
void net_break_streams(void);
void net_begin(const struct net_options *o);
void net_add_fault(enum net_fault_kind kind, int at);
const struct net_fault *net_faults(int *n);
void net_quiet(void); /* no more faults from now on */
/* What was changed or tried, in order: "kube PATCH …", "aws AttachRolePolicy". Returns how many. */
int net_writes(const char ***lines);
int64_t net_calls(void); /* reads and writes */

#endif
