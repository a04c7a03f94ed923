/* loop.c and timer_heap.c: descriptors, timers, signals; order, removal inside callbacks, and no turning while idle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/base/random.h"
#include "platform/os/loop.h"
#include "platform/os/timer_heap.h"

static struct loop *loop;
static struct clock clk;

static int set_up(void **state) {
    struct error err;
    (void)state;
    loop = loop_new(&err);
    if (loop)
        clk = loop_clock(loop);
    return loop ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static int64_t now(void) {
    return clk.boot_ms(clk.ctx);
}

/* --- timers --- */

static int order[64];
static int64_t fired_at[64];
static size_t nfired;

static void note(void *arg) {
    fired_at[nfired] = now();
    order[nfired++] = (int)(intptr_t)arg;
}

static uint64_t after(int64_t ms, int mark) {
    return clk.timer_start(clk.ctx, ms, note, (void *)(intptr_t)mark);
}

static void turn_for(int64_t ms) {
    int64_t end = now() + ms;
    while (now() < end)
        loop_turn(loop, end - now());
}

static void timers_fire_in_order_and_never_early(void **state) {
    (void)state;
    nfired = 0;
    int64_t start = now();
    after(40, 5);
    after(20, 2);
    after(20, 3);
    after(20, 4);
    after(0, 0);
    after(-5, 1);
    while (nfired < 6)
        loop_turn(loop, 100);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(order[i], i);
        assert_true(fired_at[i] >= start + (i < 2 ? 0 : i < 5 ? 20 : 40));
    }
}

static void stopped_timers_do_not_fire(void **state) {
    (void)state;
    nfired = 0;
    uint64_t first = after(10, 1), second = after(10, 2);
    after(10, 3);
    clk.timer_stop(clk.ctx, first);
    clk.timer_stop(clk.ctx, first);
    clk.timer_stop(clk.ctx, 0);
    turn_for(30);
    assert_int_equal(nfired, 2);
    assert_int_equal(order[0], 2);
    clk.timer_stop(clk.ctx, second);
    uint64_t never = after(INT64_MAX, 4);
    turn_for(10);
    assert_int_equal(nfired, 2);
    clk.timer_stop(clk.ctx, never);
}

static uint64_t victim;

static void stop_the_other(void *arg) {
    note(arg);
    clk.timer_stop(clk.ctx, victim);
}

static void again(void *arg) {
    note(arg);
    if (nfired < 10)
        clk.timer_start(clk.ctx, 0, again, arg);
}

static void timers_act_on_timers(void **state) {
    (void)state;
    nfired = 0;
    clk.timer_start(clk.ctx, 5, stop_the_other, NULL);
    victim = after(5, 9);
    turn_for(20);
    assert_int_equal(nfired, 1);
    nfired = 0;
    clk.timer_start(clk.ctx, 0, again, NULL);
    loop_turn(loop, 50);
    assert_true(nfired < 10); /* one that starts itself anew waits for the next turn: the others have theirs */
    for (int i = 0; i < 30 && nfired < 10; i++)
        loop_turn(loop, 10);
    assert_int_equal(nfired, 10);
}

/* Against a plain list: whatever is added and removed, what is taken is the least by (time, ticket). */
static void heap_against_a_list(void **state) {
    (void)state;
    struct timer_heap h = {0};
    struct prng p;
    struct timer list[200];
    size_t n = 0;
    prng_seed(&p, 7);
    for (int step = 0; step < 5000; step++) {
        uint64_t dice = prng_below(&p, 10);
        if (dice < 5 && n < 200) {
            int64_t at = (int64_t)prng_below(&p, 20);
            list[n++] = (struct timer){.at_ms = at, .ticket = timer_heap_add(&h, at, note, NULL)};
        } else if (dice < 8 && n > 0) {
            size_t i = prng_below(&p, n);
            assert_true(timer_heap_remove(&h, list[i].ticket));
            assert_false(timer_heap_remove(&h, list[i].ticket));
            list[i] = list[--n];
        } else if (n > 0) {
            size_t least = 0;
            for (size_t i = 1; i < n; i++)
                if (list[i].at_ms < list[least].at_ms ||
                    (list[i].at_ms == list[least].at_ms && list[i].ticket < list[least].ticket))
                    least = i;
            assert_int_equal(timer_heap_first(&h)->ticket, list[least].ticket);
            assert_int_equal(timer_heap_take(&h).ticket, list[least].ticket);
            list[least] = list[--n];
        }
        assert_int_equal(h.n, n);
    }
    timer_heap_done(&h);
    assert_null(timer_heap_first(&h));
}

/* --- descriptors --- */

struct pair {
    int fd[2];
    struct loop_fd *watch[2];
    int calls;
    unsigned last;
};

static void open_pair(struct pair *p) {
    memset(p, 0, sizeof *p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p->fd), 0);
}

static void close_pair(struct pair *p) {
    for (int i = 0; i < 2; i++) {
        loop_fd_remove(p->watch[i]);
        close(p->fd[i]);
    }
}

static void on_io(void *arg, int fd, unsigned io) {
    struct pair *p = arg;
    char c;
    p->calls++;
    p->last = io;
    if (io & LOOP_READ)
        (void)!read(fd, &c, 1);
}

static void descriptors_call_back_for_what_was_asked(void **state) {
    (void)state;
    struct pair p;
    open_pair(&p);
    p.watch[0] = loop_fd_add(loop, p.fd[0], LOOP_READ, on_io, &p);
    turn_for(5);
    assert_int_equal(p.calls, 0);
    assert_int_equal(write(p.fd[1], "ab", 2), 2);
    loop_turn(loop, 100);
    loop_turn(loop, 100);
    assert_int_equal(p.calls, 2); /* level triggered: the second byte is not forgotten */
    loop_fd_set(p.watch[0], LOOP_WRITE);
    loop_turn(loop, 100);
    assert_int_equal(p.last, LOOP_WRITE);
    loop_fd_set(p.watch[0], LOOP_READ);
    int before = p.calls;
    turn_for(5);
    assert_int_equal(p.calls, before);
    shutdown(p.fd[1], SHUT_RDWR);
    loop_turn(loop, 100);
    assert_true(p.last & LOOP_ERROR);
    close_pair(&p);
}

/* Both ends are ready in one batch; whichever comes first removes both: the other's event is already fetched. */
static void remove_both(void *arg, int fd, unsigned io) {
    struct pair *p = arg;
    (void)fd;
    (void)io;
    p->calls++;
    for (int i = 0; i < 2; i++) {
        loop_fd_remove(p->watch[i]);
        p->watch[i] = NULL;
    }
}

static void removal_inside_a_batch_holds_at_once(void **state) {
    (void)state;
    struct pair p;
    open_pair(&p);
    for (int i = 0; i < 2; i++) {
        p.watch[i] = loop_fd_add(loop, p.fd[i], LOOP_READ, remove_both, &p);
        assert_int_equal(write(p.fd[i], "x", 1), 1);
    }
    turn_for(10);
    assert_int_equal(p.calls, 1);
    /* The same descriptor again, at once. */
    p.watch[0] = loop_fd_add(loop, p.fd[0], LOOP_READ, on_io, &p);
    loop_turn(loop, 100);
    assert_int_equal(p.calls, 2);
    close_pair(&p);
}

static void many_descriptors_all_have_their_turn(void **state) {
    (void)state;
    enum { MANY = 3 * LOOP_EVENTS_PER_TURN };
    static struct pair p[MANY];
    for (int i = 0; i < MANY; i++) {
        open_pair(&p[i]);
        p[i].watch[0] = loop_fd_add(loop, p[i].fd[0], LOOP_READ, on_io, &p[i]);
        assert_int_equal(write(p[i].fd[1], "x", 1), 1);
    }
    for (int turns = 0; turns < 8; turns++)
        loop_turn(loop, 1);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(p[i].calls, 1);
        close_pair(&p[i]);
    }
}

/* --- run and stop --- */

static void stop(void *arg) {
    loop_stop(arg);
}

static void an_idle_loop_does_not_turn(void **state) {
    (void)state;
    struct rusage before, later;
    clk.timer_start(clk.ctx, 1500, stop, loop);
    getrusage(RUSAGE_SELF, &before);
    loop_run(loop);
    getrusage(RUSAGE_SELF, &later);
    assert_in_range(later.ru_nvcsw - before.ru_nvcsw, 0, 2); /* the timer itself */
}

static void an_idle_loop_is_healthy_and_a_late_one_is_not(void **state) {
    (void)state;
    after(10, 1);
    usleep(60000); /* a callback that takes too long */
    int64_t heartbeat = loop_heartbeat_boot_ms(loop);
    assert_true(now() - heartbeat >= 40);
    nfired = 0;
    turn_for(5);
    usleep(60000); /* nothing to do */
    int64_t before = now();
    assert_true(loop_heartbeat_boot_ms(loop) >= before);
}

static void turning_after_stopping_returns(void **state) {
    (void)state;
    loop_stop(loop);
    loop_run(loop);
    loop_turn(loop, 1000);
}

/* --- signals --- */

static void on_signal(void *arg, int signo) {
    *(int *)arg = signo;
    loop_stop(loop);
}

static void signals_come_through_the_loop(void **state) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        int got = 0;
        tear_down(NULL);
        assert_int_equal(set_up(NULL), 0);
        loop_on_signal(loop, on_signal, &got);
        kill(getpid(), signals[i]);
        loop_run(loop);
        assert_int_equal(got, signals[i]);
    }
    assert_int_equal(raise(SIGPIPE), 0);
}

/* A command that does not ask for signals ends by them, with the status that a shell expects. */
static void signals_nobody_asked_for_end_the_process(void **state) {
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct error err;
        struct loop *l = loop_new(&err);
        kill(getpid(), SIGTERM);
        loop_run(l);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 128 + SIGTERM);
}

static void closed_standard_descriptors_are_not_taken(void **state) {
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct error err;
        close(0);
        close(2);
        struct loop *l = loop_new(&err);
        _exit(l && open("/dev/null", O_RDONLY) > 2 && write(2, "x", 1) == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_against_a_list),
        cmocka_unit_test_setup_teardown(timers_fire_in_order_and_never_early, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopped_timers_do_not_fire, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timers_act_on_timers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(descriptors_call_back_for_what_was_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removal_inside_a_batch_holds_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_descriptors_all_have_their_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_idle_loop_does_not_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_idle_loop_is_healthy_and_a_late_one_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(turning_after_stopping_returns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(signals_come_through_the_loop, set_up, tear_down),
        cmocka_unit_test(signals_nobody_asked_for_end_the_process),
        cmocka_unit_test(closed_standard_descriptors_are_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
