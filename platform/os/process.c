#include "platform/os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/base/buf.h"

#define STDERR_TAIL_MAX 2048
#define STDERR_SHOWN_MAX 400
#define PIECE 16384
#define POLL_MS 50 /* where the kernel (or valgrind) has no pidfd */

extern char **environ;

struct process {
    struct loop *loop;
    struct clock clock;
    pid_t pid;
    int pid_fd, out_fd, err_fd;
    struct loop_fd *pid_watch, *out_watch, *err_watch;
    uint64_t deadline, poll;
    struct buf out;
    char tail[STDERR_TAIL_MAX + 1];
    size_t tail_n;
    bool exited, timed_out, too_large;
    bool finishing; /* done is running: cancelling has come too late */
    int status;
    process_done_fn done;
    void *arg;
};

static void close_watch(struct loop_fd **watch, int *fd) {
    if (*watch)
        loop_fd_remove(*watch);
    *watch = NULL;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void release(struct process *p) {
    close_watch(&p->pid_watch, &p->pid_fd);
    close_watch(&p->out_watch, &p->out_fd);
    close_watch(&p->err_watch, &p->err_fd);
    p->clock.timer_stop(p->clock.ctx, p->deadline);
    p->clock.timer_stop(p->clock.ctx, p->poll);
    buf_done_secret(&p->out);
    free(p);
}

/* The last words on stderr: the reason usually stands there. error_set takes out control bytes. */
static const char *last_words(struct process *p) {
    while (p->tail_n > 0 && (p->tail[p->tail_n - 1] == '\n' || p->tail[p->tail_n - 1] == '\r'))
        p->tail_n--;
    p->tail[p->tail_n] = '\0';
    if (p->tail_n == 0)
        return "nothing on stderr";
    return p->tail_n > STDERR_SHOWN_MAX ? p->tail + p->tail_n - STDERR_SHOWN_MAX : p->tail;
}

static void finish(struct process *p) {
    struct error err;
    error_clear(&err);
    if (p->too_large)
        error_set(&err, ERR_TOO_LARGE, "wrote more than %zu bytes", PROCESS_OUTPUT_MAX);
    else if (p->timed_out)
        error_set(&err, ERR_TIMEOUT, "did not end in time and was killed");
    else if (!WIFEXITED(p->status))
        error_set(&err, ERR_IO, "was ended by signal %d", WTERMSIG(p->status));
    else if (WEXITSTATUS(p->status) != 0)
        error_set(&err, ERR_IO, "exit status %d: %s", WEXITSTATUS(p->status), last_words(p));
    p->finishing = true;
    p->done(p->arg, buf_str(&p->out), p->out.n, &err);
    release(p);
}

static void kill_group(struct process *p) {
    if (p->exited)
        return; /* its id may be another's by now */
    kill(-p->pid, SIGKILL);
    kill(p->pid, SIGKILL);
}

static void keep_tail(struct process *p, const char *s, size_t n) {
    if (n > STDERR_TAIL_MAX) {
        s += n - STDERR_TAIL_MAX;
        n = STDERR_TAIL_MAX;
    }
    if (p->tail_n + n > STDERR_TAIL_MAX) {
        size_t drop = p->tail_n + n - STDERR_TAIL_MAX;
        memmove(p->tail, p->tail + drop, p->tail_n - drop);
        p->tail_n -= drop;
    }
    memcpy(p->tail + p->tail_n, s, n);
    p->tail_n += n;
}

static void keep_out(struct process *p, const char *s, size_t n) {
    if (p->too_large || buf_append(&p->out, s, n))
        return;
    p->too_large = true;
    kill_group(p);
}

/* One piece of a pipe; false when it has ended or has nothing now. */
static bool read_piece(struct process *p, int fd, void (*keep)(struct process *p, const char *s, size_t n),
                       bool *ended) {
    char piece[PIECE];
    ssize_t n = read(fd, piece, sizeof piece);
    *ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (n <= 0)
        return false;
    keep(p, piece, (size_t)n);
    explicit_bzero(piece, (size_t)n);
    return true;
}

static void on_out(void *arg, int fd, unsigned io) {
    struct process *p = arg;
    bool ended;
    (void)io;
    read_piece(p, fd, keep_out, &ended);
    if (ended)
        close_watch(&p->out_watch, &p->out_fd);
}

static void on_err(void *arg, int fd, unsigned io) {
    struct process *p = arg;
    bool ended;
    (void)io;
    read_piece(p, fd, keep_tail, &ended);
    if (ended)
        close_watch(&p->err_watch, &p->err_fd);
}

/* What the helper wrote before it ended is in the pipes by now. Their end is not waited for: something that it left
 * running (a browser for a login) may hold them open for as long as it lives. */
static void drain_pipes(struct process *p) {
    bool ended;
    for (size_t i = 0; p->out_fd >= 0 && i <= PROCESS_OUTPUT_MAX / PIECE && read_piece(p, p->out_fd, keep_out, &ended);
         i++)
        ;
    for (size_t i = 0; p->err_fd >= 0 && i <= PROCESS_OUTPUT_MAX / PIECE && read_piece(p, p->err_fd, keep_tail, &ended);
         i++)
        ;
}

/* Once it has ended and was not killed by us, its group is left alone; killed, the group goes with it while its id is
 * still taken. */
static bool reap(struct process *p) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != p->pid)
        return false;
    if (p->timed_out || p->too_large)
        kill(-p->pid, SIGKILL);
    waitpid(p->pid, &p->status, 0);
    p->exited = true;
    drain_pipes(p);
    finish(p);
    return true;
}

static void on_exit_fd(void *arg, int fd, unsigned io) {
    (void)fd;
    (void)io;
    reap(arg);
}

static void on_poll(void *arg) {
    struct process *p = arg;
    p->poll = 0;
    if (!reap(p))
        p->poll = p->clock.timer_start(p->clock.ctx, POLL_MS, on_poll, p);
}

static void on_deadline(void *arg) {
    struct process *p = arg;
    p->deadline = 0;
    p->timed_out = true;
    kill_group(p);
}

/* The environment of ours, with "NAME=value" of the request in place of or after it. */
static char **merge_environment(const char *const *extra) {
    size_t n = 0, m = 0;
    while (environ[n])
        n++;
    while (extra && extra[m])
        m++;
    char **env = calloc(n + m + 1, sizeof *env);
    if (!env)
        die("out of memory");
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        bool replaced = false;
        size_t name = strcspn(environ[i], "=");
        for (size_t j = 0; j < m; j++)
            replaced = replaced || (strncmp(environ[i], extra[j], name) == 0 && extra[j][name] == '=');
        if (!replaced)
            env[k++] = environ[i];
    }
    for (size_t j = 0; j < m; j++)
        env[k++] = (char *)(uintptr_t)extra[j];
    return env;
}

static int spawn(struct process *p, const struct process_request *r, int out, int err) {
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none, all;
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&at);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out, 1);
    posix_spawn_file_actions_adddup2(&fa, err, 2);
    if (r->cwd)
        posix_spawn_file_actions_addchdir_np(&fa, r->cwd);
    posix_spawn_file_actions_addclosefrom_np(&fa, 3); /* curl's sockets are not close-on-exec everywhere */
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&at, &none); /* else the child starts with SIGTERM blocked */
    posix_spawnattr_setsigdefault(&at, &all);
    posix_spawnattr_setpgroup(&at, 0);
    posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    char **env = merge_environment(r->extra_env);
    int rc = posix_spawnp(&p->pid, r->argv[0], &fa, &at, (char *const *)(uintptr_t)r->argv, env);
    free(env);
    posix_spawnattr_destroy(&at);
    posix_spawn_file_actions_destroy(&fa);
    return rc;
}

static void watch(struct process *p, int64_t deadline_ms) {
    p->out_watch = loop_fd_add(p->loop, p->out_fd, LOOP_READ, on_out, p);
    p->err_watch = loop_fd_add(p->loop, p->err_fd, LOOP_READ, on_err, p);
    p->pid_fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pid_fd >= 0)
        p->pid_watch = loop_fd_add(p->loop, p->pid_fd, LOOP_READ, on_exit_fd, p);
    else
        p->poll = p->clock.timer_start(p->clock.ctx, POLL_MS, on_poll, p);
    p->deadline = p->clock.timer_start(p->clock.ctx, deadline_ms, on_deadline, p);
}

struct process *process_start(struct loop *l, const struct process_request *r, process_done_fn done, void *arg,
                              struct error *err) {
    int out[2], errs[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return error_set(err, ERR_IO, "no pipe: %s", strerror(errno)), NULL;
    if (pipe2(errs, O_CLOEXEC) < 0) {
        close(out[0]);
        close(out[1]);
        return error_set(err, ERR_IO, "no pipe: %s", strerror(errno)), NULL;
    }
    struct process *p = calloc(1, sizeof *p);
    if (!p)
        die("out of memory");
    *p = (struct process){
        .loop = l, .clock = loop_clock(l), .pid_fd = -1, .out_fd = out[0], .err_fd = errs[0], .done = done, .arg = arg};
    buf_init(&p->out, PROCESS_OUTPUT_MAX);
    int rc = spawn(p, r, out[1], errs[1]);
    close(out[1]);
    close(errs[1]);
    if (rc != 0) {
        error_set(err, ERR_IO, "%s can not be started: %s", r->argv[0], strerror(rc));
        release(p);
        return NULL;
    }
    fcntl(p->out_fd, F_SETFL, O_NONBLOCK);
    fcntl(p->err_fd, F_SETFL, O_NONBLOCK);
    watch(p, r->deadline_ms > 0 ? r->deadline_ms : PROCESS_DEADLINE_MS);
    return p;
}

void process_cancel(struct process *p) {
    if (!p || p->finishing)
        return;
    kill_group(p);
    waitpid(p->pid, &p->status, 0);
    release(p);
}
