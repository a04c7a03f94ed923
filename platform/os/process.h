/*
 * process.h - runs a helper program by argv, with limits (exec credential plugins, credential_process).
 *
 * Model: posix_spawnp, never a shell; stdin from /dev/null, stdout captured, stderr's tail kept for error messages; its
 * own process group, killed as a whole at the deadline, or when it writes too much; no descriptor but 0, 1, 2 is
 * inherited. It is over when the program itself has ended: what it left running may go on (a login helper's browser),
 * and is not waited for. Ownership: arguments are copied; the result is lent to `done`. Errors: ERR_IO (not found,
 * non-zero exit: message holds the stderr tail, cleaned), ERR_TIMEOUT, ERR_TOO_LARGE. Bounds: PROCESS_OUTPUT_MAX, the
 * deadline given.
 */
#ifndef CNI_IAM_OS_PROCESS_H
#define CNI_IAM_OS_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "platform/base/error.h"
#include "platform/os/loop.h"

#define PROCESS_OUTPUT_MAX ((size_t)1024 * 1024)
#define PROCESS_DEADLINE_MS 60000

struct process_request {
    const char *const *argv;      /* NULL-terminated; argv[0] is looked up in PATH unless it holds '/' */
    const char *const *extra_env; /* "NAME=value", added to or replacing the environment; NULL: none */
    const char *cwd;              /* NULL: ours */
    int64_t deadline_ms;          /* 0: PROCESS_DEADLINE_MS */
};

/* out may hold secrets: wiped after the callback. err->code ERR_NONE on exit status 0. */
typedef void (*process_done_fn)(void *arg, const char *out, size_t out_len, const struct error *err);
struct process;
struct process *process_start(struct loop *l, const struct process_request *r, process_done_fn done, void *arg,
                              struct error *err); /* NULL: err set, done is not called */
void process_cancel(
    struct process *p); /* kills the group; done is not called any more. NULL is fine; inside done it does nothing */

#endif
