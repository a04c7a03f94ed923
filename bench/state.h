/*
 * state.h - the state file of a run: the product's sqlite store, in a file that a forked run can take a copy of.
 *
 * Model: the lives of one replica share one file, as those of one pod do. When a run goes on in a second
 * process (run.h, branches), that one copies the file and forgets the connection it inherited: sqlite forbids its use
 * on both sides of a fork, closing it included.
 *
 * Ownership: bench_state_new/_free, which removes the file.   Errors: none; a store that cannot be opened is OFF.
 */
#ifndef CNI_IAM_BENCH_STATE_H
#define CNI_IAM_BENCH_STATE_H

#include "bench/faulty_disk.h"
#include "platform/port/store.h"

struct bench_state;
struct bench_state *bench_state_new(int replica);
void bench_state_free(struct bench_state *s);
void bench_state_open(struct bench_state *s); /* an operator starts */
void bench_state_close(struct bench_state *s);
void bench_state_forget(struct bench_state *s); /* the file is gone; while it is closed */
void bench_state_spoil(struct bench_state *s);  /* other bytes stand in the middle of it; while it is closed */
void bench_state_disk(struct bench_state *s, enum disk_state disk); /* a store that is OFF tries again */
/* Valid from open to close, in the process that opened it and after bench_state_take_copy. */
struct store bench_state_port(struct bench_state *s);
/* In a process that was forked while the state was open, or not. */
void bench_state_take_copy(struct bench_state *s);
/* All bytes of its files, one file at a time. */
void bench_state_read(const struct bench_state *s, void (*each)(void *arg, const char *bytes, size_t n), void *arg);
const char *bench_state_directory(const struct bench_state *s); /* of this process, for other files of the run */

#endif
