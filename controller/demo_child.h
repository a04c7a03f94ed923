/*
 * demo_child.h - this program's own controller as a child process, as it runs in production.
 *
 * Model: fork and exec of /proc/self/exe with an environment of its own: nothing of the user's AWS or Kubernetes
 * settings reaches it, so that a demo can not touch anything real. Its output goes into a file. It is killed when this
 * process dies, however it dies.
 *
 * Ownership: start/stop; stop ends it with SIGTERM, after DEMO_CHILD_PATIENCE_MS with SIGKILL, and waits. Meanwhile the
 * loop turns: the controller gives its Lease back before it goes, and this process is its API server.
 * Errors: ERR_IO.   Bounds: arguments and environment are the caller's.
 */
#ifndef CNI_IAM_CONTROLLER_DEMO_CHILD_H
#define CNI_IAM_CONTROLLER_DEMO_CHILD_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/error.h"
#include "platform/os/loop.h"

#define DEMO_CHILD_PATIENCE_MS 3000

struct demo_child;
struct demo_child *demo_child_start(const char *const *argv, const char *const *env, const char *log_path,
                                    struct error *err);
void demo_child_stop(struct demo_child *c, struct loop *l); /* c NULL is fine */
/* Has it ended by itself? Then why: "exit status 1", "signal 11". */
bool demo_child_ended(struct demo_child *c, char *why, size_t size);

#endif
