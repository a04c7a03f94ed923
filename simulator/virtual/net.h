/*
 * net.h - the network between operator and world: platform/http/http.h without sockets, and everything that goes wrong.
 *
 * Model: a request reaches its server after a delay of the seed, is carried out, and its answer takes as long again.
 * Lines of a watch take one delay each and keep their order. Each call that changes something has a number, from 1; so has
 * each event of a watch that reaches an operator, and each of all other calls (reads, Leases, dry runs, tokens, Events).
 * A fault is one thing that happens at one number:
 *
 *   at a write
 *   LOST_BEFORE   the connection breaks, the server never saw it
 *   LOST_AFTER    the server did it, the answer is lost;   TIMEOUT_AFTER   the server did it, a proxy answers 504
 *   TWICE         the network delivers it twice: the second meets what the first left
 *   DENIED, THROTTLED, UNAVAILABLE, CONFLICT, LIMITED (429 with Retry-After)   refused, nothing is done
 *   FORBIDDEN     the same write is refused for `by` seconds from now on, whoever asks
 *   CRASH_BEFORE, CRASH_AFTER   the operator ends before, or after the server did it
 *   CRASH_FORGETS  the same, and its state file is gone (S11)
 *   PAUSE         it stands still for `by` seconds once the server did it, and goes on
 *   COMPACTED     the API server forgets its history and drops all watches: 410 for those that come back late
 *   CRASH_SPOILS  the same, and there is nonsense in the state file
 *   DISK_FULL, DISK_BROKEN, DISK_READ_ONLY   so is the disk of its state file for `by` seconds (S11)
 *   CLOCK_AHEAD, CLOCK_BACK   the wall clock of its machine jumps `by` seconds; the servers go by their own
 *   SLOW_WATCH    no event arrives for `by` seconds
 *   STALE_LIST    the operator ends; the next finds an API server whose first list of each kind is `by` versions old,
 *                 and whose watch goes on from there
 *   at an event of a watch
 *   WATCH_CUT     the connection breaks, the event is lost;   WATCH_GONE   ERROR 410 comes instead
 *   at another call
 *   READ_LOST, READ_DENIED, READ_UNAVAILABLE   as at a write
 *   EMPTY_LIST    the list has no items; an informer that got it may believe it for NET_DIVERGENCE_MS (L5), so long it lasts
 *   STALE_READ    IAM answers as before its last write, up to a minute after it
 *
 * Ownership: process-wide; between begin and end all clients of http.h are on this network. net_begin starts anew, operators
 * come and go.   Errors: as http.h's.
 * Bounds: NET_FAULTS_MAX faults, NET_CALLS_MAX recorded calls.
 */
#ifndef CNI_IAM_VIRTUAL_NET_H
#define CNI_IAM_VIRTUAL_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "simulator/aws_http.h"
#include "simulator/checker.h"
#include "simulator/kube.h"

#define NET_FAULTS_MAX 8
#define NET_CALLS_MAX 4096
#define NET_DIVERGENCE_MS (11 * 60 * 1000)
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
    NET_PAUSE,
    NET_CONFLICT,
    NET_TIMEOUT_AFTER,
    NET_LIMITED,
    NET_FORBIDDEN,
    NET_COMPACTED,
    NET_SLOW_WATCH,
    NET_STALE_LIST,
    NET_CRASH_FORGETS,
    NET_CRASH_SPOILS,
    NET_DISK_FULL,
    NET_DISK_BROKEN,
    NET_DISK_READ_ONLY,
    NET_CLOCK_AHEAD,
    NET_CLOCK_BACK,
    NET_WATCH_CUT,
    NET_WATCH_GONE,
    NET_READ_LOST,
    NET_READ_DENIED,
    NET_READ_UNAVAILABLE,
    NET_EMPTY_LIST,
    NET_STALE_READ,
    NET_FAULT_KINDS
};
enum net_counter { NET_COUNTS_WRITES, NET_COUNTS_EVENTS, NET_COUNTS_READS, NET_COUNTERS };
enum net_counter net_fault_counter(enum net_fault_kind kind);
const char *net_fault_name(enum net_fault_kind kind);
int net_fault_by(enum net_fault_kind kind,
                 int i); /* the i-th `by` that a sweep tries; 0: no more, or it says nothing */

struct net_fault {
    enum net_fault_kind kind;
    int at; /* number of what its counter counts; reads: the first from there on that it can happen to */
    int by; /* see above */
    bool hit;
    int64_t over_ms; /* when it is over, once it has hit */
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
    struct sim_checker *checker; /* hears of every call; NULL: nobody does */
    uint64_t seed;
    int64_t delay_max_ms;                                                   /* one way */
    void (*crash)(void *arg, int process, enum net_fault_kind kind);        /* it is gone when this returns */
    void (*disk)(void *arg, int process, enum net_fault_kind kind, int by); /* NULL: it has none */
    /* A write, read or event got its number; its fault, if there is one, comes next. NULL: nobody asks. */
    void (*counted)(void *arg, enum net_counter counter, int number);
    /* The same call, as its server sees it; NULL: nobody asks. */
    void (*request)(void *arg, bool to_aws, const struct sim_http_request *req);
    void *arg;
    void (*tap)(void *arg, const struct net_call *c); /* NULL: nobody */
    void *tap_arg;
};
struct net_weather *net_weather(void); /* fair after net_begin */
void net_break_streams(void);
void net_begin(const struct net_options *o);
void net_end(void);                                           /* when every client is freed: the real network again */
void net_add_fault(enum net_fault_kind kind, int at, int by); /* by 0: the first that a sweep tries */
const struct net_fault *net_faults(int *n);
void net_quiet(void); /* no more faults from now on */
/* What was changed or tried, in order: "kube PATCH …", "aws AttachRolePolicy". Returns how many. */
int net_writes(const char ***lines);
int64_t net_write_ms(int i);             /* when the i-th of them arrived */
int64_t net_calls(void);                 /* reads and writes */
int net_count(enum net_counter counter); /* so far */

#endif
