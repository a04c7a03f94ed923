#include "platform/os/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "platform/base/log.h"
#include "platform/os/timer_heap.h"

#define DELAY_MAX_MS ((int64_t)1000 * 86400 * 365)
#define LWS_LINES_PER_MINUTE 10
/* Its own sockets only (two servers of 64 connections). Without a limit it allocates tables for as many as the process
 * may have: 16 bytes for each of the million that containers are often given. */
#define LWS_DESCRIPTORS_MAX 256

struct loop_fd {
    struct loop *loop;
    int fd;
    unsigned io;
    loop_fd_fn fn;
    void *arg;
    bool dead;
    struct loop_fd *next_dead;
};

struct loop {
    struct lws_context *lws;
    struct lws_vhost *vhost;
    int epoll_fd; /* lws owns it once it is adopted */
    int timer_fd, signal_fd;
    struct loop_fd *timer_watch, *signal_watch;
    struct timer_heap timers;
    bool quit, dispatching, freeing;
    struct loop_fd *dead;
    void (*on_signal)(void *arg, int signo);
    void *on_signal_arg;
};

static int64_t clock_ms(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t boot_ms(void *ctx) {
    (void)ctx;
    return clock_ms(CLOCK_BOOTTIME);
}

static int64_t wall_ms(void *ctx) {
    (void)ctx;
    return clock_ms(CLOCK_REALTIME);
}

/* --- another machine --- */

static const struct loop_machine *machine; /* NULL: the real one */
static int alive;

void loop_use(const struct loop_machine *m) {
    if (m == machine)
        return;
    if (alive)
        die("the machine can not change under a loop");
    machine = m;
}

static void demand_descriptors(const char *who) {
    if (machine)
        die("%s: there are no descriptors on a simulated machine", who);
}

static struct loop *alloc_loop(void) {
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        die("out of memory");
    alive++;
    return l;
}

/* --- timers: a heap over one timerfd --- */

static void arm(struct loop *l) {
    struct itimerspec spec = {0};
    const struct timer *first = timer_heap_first(&l->timers);
    if (first) {
        /* A time of 0 would disarm. */
        int64_t at = first->at_ms > 0 ? first->at_ms : 1;
        spec.it_value.tv_sec = at / 1000;
        spec.it_value.tv_nsec = at % 1000 * 1000000;
    }
    timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static uint64_t timer_start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    struct loop *l = ctx;
    int64_t delay = delay_ms < 0 ? 0 : delay_ms > DELAY_MAX_MS ? DELAY_MAX_MS : delay_ms;
    uint64_t ticket = timer_heap_add(&l->timers, boot_ms(NULL) + delay, fire, arg);
    if (timer_heap_first(&l->timers)->ticket == ticket)
        arm(l);
    return ticket;
}

static void timer_stop(void *ctx, uint64_t ticket) {
    struct loop *l = ctx;
    const struct timer *first = timer_heap_first(&l->timers);
    bool was_first = first && first->ticket == ticket;
    if (timer_heap_remove(&l->timers, ticket) && was_first)
        arm(l);
}

static void on_timer_fd(void *arg, int fd, unsigned io) {
    struct loop *l = arg;
    uint64_t count;
    (void)io;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        die("the timerfd can not be read: %s", strerror(errno));
    /* What is started by a timer that fires now waits for the next turn, so that a turn ends. */
    uint64_t last = l->timers.last_ticket;
    const struct timer *first;
    while ((first = timer_heap_first(&l->timers)) && first->at_ms <= boot_ms(NULL) && first->ticket <= last &&
           !l->quit) {
        struct timer t = timer_heap_take(&l->timers);
        t.fire(t.arg);
    }
    arm(l);
}

struct clock loop_clock(struct loop *l) {
    if (machine)
        return machine->clock();
    return (struct clock){
        .ctx = l, .wall_ms = wall_ms, .boot_ms = boot_ms, .timer_start = timer_start, .timer_stop = timer_stop};
}

/* --- descriptors --- */

static uint32_t to_epoll(unsigned io) {
    return (io & LOOP_READ ? EPOLLIN : 0u) | (io & LOOP_WRITE ? EPOLLOUT : 0u);
}

struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned io, loop_fd_fn fn, void *arg) {
    demand_descriptors("loop_fd_add");
    struct loop_fd *w = calloc(1, sizeof *w);
    if (!w)
        die("out of memory");
    *w = (struct loop_fd){.loop = l, .fd = fd, .io = io, .fn = fn, .arg = arg};
    struct epoll_event ev = {.events = to_epoll(io), .data.ptr = w};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll_ctl(ADD %d): %s", fd, strerror(errno));
    return w;
}

void loop_fd_set(struct loop_fd *w, unsigned io) {
    struct epoll_event ev = {.events = to_epoll(io), .data.ptr = w};
    if (w->io == io)
        return;
    w->io = io;
    epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);
}

void loop_fd_remove(struct loop_fd *w) {
    if (!w || w->dead)
        return;
    /* Fails where the descriptor was closed before: the kernel has dropped it then. */
    epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->dead = true;
    if (!w->loop->dispatching) {
        free(w);
        return;
    }
    /* A later event of the same batch may still point here. */
    w->next_dead = w->loop->dead;
    w->loop->dead = w;
}

static void bury(struct loop *l) {
    while (l->dead) {
        struct loop_fd *w = l->dead;
        l->dead = w->next_dead;
        free(w);
    }
}

static unsigned from_epoll(uint32_t events) {
    return (events & EPOLLIN ? (unsigned)LOOP_READ : 0u) | (events & EPOLLOUT ? (unsigned)LOOP_WRITE : 0u) |
           (events & (EPOLLERR | EPOLLHUP) ? (unsigned)LOOP_ERROR : 0u);
}

static void dispatch(struct loop *l) {
    struct epoll_event ev[LOOP_EVENTS_PER_TURN];
    int n = epoll_wait(l->epoll_fd, ev, LOOP_EVENTS_PER_TURN, 0);
    l->dispatching = true;
    for (int i = 0; i < n && !l->quit; i++) {
        struct loop_fd *w = ev[i].data.ptr;
        if (!w->dead)
            w->fn(w->arg, w->fd, from_epoll(ev[i].events));
    }
    l->dispatching = false;
    bury(l);
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    struct loop *l = lws_context_user(lws_get_context(wsi));
    (void)user;
    (void)in;
    (void)len;
    if ((int)reason == LWS_CALLBACK_RAW_RX_FILE)
        dispatch(l);
    else if ((int)reason == LWS_CALLBACK_RAW_CLOSE_FILE) {
        l->epoll_fd = -1; /* libwebsockets closes it */
        if (!l->freeing)
            die("libwebsockets gave up the loop's descriptor");
    }
    return 0;
}

/* --- signals --- */

static void on_signal_fd(void *arg, int fd, unsigned io) {
    struct loop *l = arg;
    struct signalfd_siginfo info;
    (void)io;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (l->on_signal)
            l->on_signal(l->on_signal_arg, (int)info.ssi_signo);
        else
            _exit(128 + (int)info.ssi_signo); /* a command that did not ask: as without us */
    }
}

void loop_on_signal(struct loop *l, void (*fn)(void *arg, int signo), void *arg) {
    l->on_signal = fn;
    l->on_signal_arg = arg;
}

static bool open_signals(struct loop *l) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    /* Before any library starts a thread: the resolver's threads inherit the mask. */
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return l->signal_fd >= 0;
}

/* --- life --- */

/* libwebsockets writes peers' mistakes as errors ("Ran out of header data space"): nothing here is an error of ours,
 * and a peer must not fill the log. */
static void emit_lws_log(int level, const char *line) {
    static int64_t minute;
    static int written;
    int64_t now = boot_ms(NULL) / 60000;
    if (now != minute) {
        minute = now;
        written = 0;
    }
    if (!log_enabled(LOG_LEVEL_DEBUG) || written++ >= LWS_LINES_PER_MINUTE)
        return;
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
    LOG_DEBUG("libwebsockets", text, F_INT("level", level));
}

static const struct lws_protocols protocols[] = {{"loopfd", on_lws, 0, 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};

static bool open_lws(struct loop *l, struct error *err) {
    struct lws_context_creation_info info = {0};
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_lws_log);
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.fd_limit_per_thread = LWS_DESCRIPTORS_MAX;
    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info.user = l;
    l->lws = lws_create_context(&info);
    if (!l->lws)
        return error_set(err, ERR_IO, "libwebsockets does not start");
    info.protocols = protocols;
    info.vhost_name = "loop";
    l->vhost = lws_create_vhost(l->lws, &info);
    lws_sock_file_fd_type file = {.filefd = l->epoll_fd};
    if (!l->vhost || !lws_adopt_descriptor_vhost(l->vhost, LWS_ADOPT_RAW_FILE_DESC, file, "loopfd", NULL))
        return error_set(err, ERR_IO, "libwebsockets does not adopt the epoll descriptor");
    return true;
}

/* Started with a closed stdin, stdout or stderr, the next descriptor would take its place, and get our log. */
static void reserve_stdio(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

struct loop *loop_new(struct error *err) {
    if (machine)
        return alloc_loop();
    reserve_stdio();
    struct loop *l = alloc_loop();
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    l->signal_fd = -1;
    if (l->epoll_fd < 0 || l->timer_fd < 0 || !open_signals(l)) {
        error_set(err, ERR_IO, "the event loop can not be made: %s", strerror(errno));
        loop_free(l);
        return NULL;
    }
    if (!open_lws(l, err)) {
        loop_free(l);
        return NULL;
    }
    l->timer_watch = loop_fd_add(l, l->timer_fd, LOOP_READ, on_timer_fd, l);
    l->signal_watch = loop_fd_add(l, l->signal_fd, LOOP_READ, on_signal_fd, l);
    return l;
}

void loop_free(struct loop *l) {
    if (!l)
        return;
    alive--;
    if (machine) {
        free(l);
        return;
    }
    l->freeing = true;
    loop_fd_remove(l->timer_watch);
    loop_fd_remove(l->signal_watch);
    if (l->lws)
        lws_context_destroy(l->lws); /* closes the epoll descriptor that it adopted */
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->timer_fd >= 0)
        close(l->timer_fd);
    if (l->signal_fd >= 0)
        close(l->signal_fd);
    bury(l);
    timer_heap_done(&l->timers);
    free(l);
}

void loop_run(struct loop *l) {
    demand_descriptors("loop_run");
    while (!l->quit && lws_service(l->lws, 0) >= 0)
        ;
}

void loop_stop(struct loop *l) {
    l->quit = true;
    if (!machine)
        lws_cancel_service(l->lws);
}

static void nothing(void *arg) {
    (void)arg;
}

void loop_turn(struct loop *l, int64_t max_wait_ms) {
    if (machine) {
        machine->turn(max_wait_ms);
        return;
    }
    uint64_t t = timer_start(l, max_wait_ms, nothing, NULL);
    if (!l->quit)
        lws_service(l->lws, 0);
    timer_stop(l, t);
}

struct lws_context *loop_lws(struct loop *l) {
    demand_descriptors("loop_lws");
    return l->lws;
}

int64_t loop_heartbeat_boot_ms(const struct loop *l) {
    if (machine)
        return machine->clock().boot_ms(machine->clock().ctx);
    int64_t now = boot_ms(NULL);
    const struct timer *first = timer_heap_first(&l->timers);
    return first && first->at_ms < now ? first->at_ms : now;
}
