#include "controller/demo_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_MS 10

struct demo_child {
    pid_t pid; /* 0: ended and waited for */
    int status;
};

/* Between fork and exec; the loop has blocked signals, and a terminal's Ctrl-C is for the demo alone. */
_Noreturn static void become(const char *const *argv, const char *const *env, int log_fd, pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    int null_fd = open("/dev/null", O_RDONLY);
    bool ready = getppid() == parent && null_fd >= 0 && dup2(null_fd, 0) >= 0 && dup2(log_fd, 1) >= 0 &&
                 dup2(log_fd, 2) >= 0 && close_range(3, ~0u, 0) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0;
    if (ready)
        execve("/proc/self/exe", (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

struct demo_child *demo_child_start(const char *const *argv, const char *const *env, const char *log_path,
                                    struct error *err) {
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, "%s can not be written: %s", log_path, strerror(errno)), NULL;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(argv, env, fd, parent);
    int why = errno;
    close(fd);
    if (pid < 0)
        return error_set(err, ERR_IO, "the controller can not be started: %s", strerror(why)), NULL;
    struct demo_child *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->pid = pid;
    return c;
}

static bool reap(struct demo_child *c) {
    if (c->pid && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
        c->pid = 0;
    return c->pid == 0;
}

bool demo_child_ended(struct demo_child *c, char *why, size_t size) {
    if (!reap(c))
        return false;
    if (WIFSIGNALED(c->status))
        snprintf(why, size, "signal %d", WTERMSIG(c->status));
    else
        snprintf(why, size, "exit status %d", WEXITSTATUS(c->status));
    return true;
}

void demo_child_stop(struct demo_child *c, struct loop *l) {
    if (!c)
        return;
    if (!reap(c))
        kill(c->pid, SIGTERM);
    struct clock k = loop_clock(l);
    int64_t until = k.boot_ms(k.ctx) + DEMO_CHILD_PATIENCE_MS;
    while (!reap(c) && k.boot_ms(k.ctx) < until)
        loop_turn(l, STEP_MS);
    if (c->pid) {
        kill(c->pid, SIGKILL);
        waitpid(c->pid, &c->status, 0);
    }
    free(c);
}
