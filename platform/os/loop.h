/*
 * loop.h - the one event loop: libwebsockets' poll loop outside, one adopted epoll instance inside (docs/adr/0002).
 *
 * Model: one thread. The epoll set holds curl's sockets, one timerfd for all timers, one signalfd, pidfds and pipes.
 * libwebsockets serves its own sockets. Callbacks run to completion; each is short (JSON of large lists is parsed item
 * by item by its owner). Ownership: loop_new/loop_free; watchers are the loop's, handles stay valid until removed.
 * Errors: loop_new returns NULL with an error. Bounds: LOOP_EVENTS_PER_TURN, TIMER_HEAP_MAX (timer_heap.h).
 */
#ifndef CNI_IAM_OS_LOOP_H
#define CNI_IAM_OS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/base/error.h"
#include "platform/port/clock.h"

#define LOOP_EVENTS_PER_TURN 64

struct loop;
struct loop_fd; /* a watched descriptor */
struct lws_context;

enum loop_io { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_ERROR = 4 };
typedef void (*loop_fd_fn)(void *arg, int fd, unsigned io);

struct loop *loop_new(struct error *err);
void loop_free(struct loop *l);
void loop_run(struct loop *l); /* returns after loop_stop */
void loop_stop(struct loop *l);
/* Turns the loop once without blocking longer than max_wait_ms (tests, short CLI commands). */
void loop_turn(struct loop *l, int64_t max_wait_ms);

struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned io, loop_fd_fn fn, void *arg); /* does not own fd */
void loop_fd_set(struct loop_fd *w, unsigned io);
void loop_fd_remove(struct loop_fd *w); /* safe inside any callback; no further callback comes */

struct clock loop_clock(struct loop *l); /* real clocks, timers on this loop */
/* Calls fn for SIGTERM, SIGINT, SIGHUP (blocked process-wide by loop_new, read from a signalfd). */
void loop_on_signal(struct loop *l, void (*fn)(void *arg, int signo), void *arg);
struct lws_context *loop_lws(struct loop *l); /* for servers */
/* For liveness: the last moment at which nothing was overdue. Now, unless a timer that should have fired did not: an
 * idle loop does not turn, and is healthy. */
int64_t loop_heartbeat_boot_ms(const struct loop *l);

/* --- another machine under the loop (docs/adr/0004) --- */

/* Loops that are made from now on have the clock of this machine and turn by it; NULL: the real one. They have no
 * descriptors, no servers and no signals: asking for one ends the process. Not while a loop is alive. */
struct loop_machine {
    struct clock (*clock)(void);
    void (*turn)(int64_t max_wait_ms);
};
void loop_use(const struct loop_machine *m); /* lent until the next call */

#endif
