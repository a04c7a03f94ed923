/* process.c with real programs: what they get, what they leave, and how they are stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/os/process.h"

static struct loop *loop;
static bool no_pidfd;

/* In place of the C library's, so that the kernel can be made one without pidfd_open. */
long syscall(long number, ...) {
    long a[6];
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_pidfd_open && no_pidfd) {
        errno = ENOSYS;
        return -1;
    }
    long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int set_up(void **state) {
    struct error err;
    (void)state;
    loop = loop_new(&err);
    return loop ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* every child was waited for */
    assert_int_equal(errno, ECHILD);
    loop_free(loop);
    return 0;
}

struct outcome {
    int calls;
    size_t n;
    char out[4096];
    struct error err;
    struct process *cancel;
};

static void on_done(void *arg, const char *out, size_t n, const struct error *err) {
    struct outcome *o = arg;
    o->calls++;
    o->n = n;
    snprintf(o->out, sizeof o->out, "%s", out);
    o->err = *err;
    process_cancel(o->cancel); /* of itself: too late, and harmless */
}

static int64_t run(const struct process_request *r, struct outcome *o) {
    struct error err;
    struct clock c = loop_clock(loop);
    int64_t start = c.boot_ms(c.ctx);
    memset(o, 0, sizeof *o);
    o->cancel = process_start(loop, r, on_done, o, &err);
    assert_non_null(o->cancel);
    assert_int_equal(o->calls, 0);
    for (int i = 0; i < 3000 && !o->calls; i++)
        loop_turn(loop, 10);
    assert_int_equal(o->calls, 1);
    return c.boot_ms(c.ctx) - start;
}

static int64_t shell(const char *script, struct outcome *o) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    return run(&(struct process_request){.argv = argv, .deadline_ms = 10000}, o);
}

static void output_comes_whole(void **state) {
    struct outcome o;
    (void)state;
    shell("echo one; sleep 0.05; echo two; echo noise >&2", &o);
    assert_int_equal(o.err.code, ERR_NONE);
    assert_string_equal(o.out, "one\ntwo\n");
    shell("exec 1>&-; sleep 0.05", &o);
    assert_int_equal(o.err.code, ERR_NONE);
    assert_int_equal(o.n, 0);
    shell("head -c 1048576 /dev/zero", &o);
    assert_int_equal(o.err.code, ERR_NONE);
    assert_int_equal(o.n, PROCESS_OUTPUT_MAX);
}

static void failures_say_what_the_program_said(void **state) {
    struct outcome o;
    (void)state;
    shell("echo secret-output; echo first >&2; echo 'you must \033[1mlog in\033[0m' >&2; exit 3", &o);
    assert_int_equal(o.err.code, ERR_IO);
    assert_non_null(strstr(o.err.message, "exit status 3"));
    assert_non_null(strstr(o.err.message, "log in"));
    assert_null(strstr(o.err.message, "secret-output"));
    assert_null(strchr(o.err.message, '\033'));
    shell("head -c 100000 /dev/zero | tr '\\0' x >&2; echo the-end >&2; exit 1", &o);
    assert_non_null(strstr(o.err.message, "the-end"));
    shell("exit 1", &o);
    assert_non_null(strstr(o.err.message, "nothing on stderr"));
    shell("kill -9 $$", &o);
    assert_int_equal(o.err.code, ERR_IO);
    assert_non_null(strstr(o.err.message, "signal 9"));
}

static void what_is_not_there_does_not_start(void **state) {
    struct error err;
    struct outcome o = {0};
    (void)state;
    const char *const absent[] = {"no-such-program-anywhere", NULL};
    assert_null(process_start(loop, &(struct process_request){.argv = absent}, on_done, &o, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.message, "no-such-program-anywhere"));
    const char *const argv[] = {"true", NULL};
    assert_null(process_start(loop, &(struct process_request){.argv = argv, .cwd = "/no/such"}, on_done, &o, &err));
    assert_int_equal(o.calls, 0);
}

static void arguments_are_not_read_by_a_shell(void **state) {
    struct outcome o;
    (void)state;
    const char *const argv[] = {"printf", "%s|", "$HOME `id`", "a b", "", ";", NULL};
    run(&(struct process_request){.argv = argv}, &o);
    assert_string_equal(o.out, "$HOME `id`|a b||;|");
}

static void environment_and_folder(void **state) {
    struct outcome o;
    (void)state;
    setenv("PROCESS_TEST_KEPT", "kept", 1);
    setenv("PROCESS_TEST", "old", 1);
    setenv("PROCESS_TEST_LONGER", "longer", 1);
    const char *const argv[] = {
        "sh", "-c",
        "echo $PROCESS_TEST_KEPT $PROCESS_TEST $PROCESS_TEST_LONGER $NEW; pwd; env | grep -c ^PROCESS_TEST=", NULL};
    const char *const env[] = {"PROCESS_TEST=new", "NEW=1", NULL};
    run(&(struct process_request){.argv = argv, .extra_env = env, .cwd = "/usr"}, &o);
    assert_string_equal(o.out, "kept new longer 1\n/usr\n1\n");
}

/* stdin is empty, nothing but 0, 1 and 2 is open, no signal is blocked or ignored, and it leads a group of its own. */
static void the_child_starts_clean(void **state) {
    struct outcome o;
    (void)state;
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
    const char *const list[] = {"ls", "/proc/self/fd", NULL};
    run(&(struct process_request){.argv = list}, &o);
    assert_string_equal(o.out, "0\n1\n2\n3\n"); /* 3 is the folder that it reads */
    shell("cat", &o);
    assert_int_equal(o.err.code, ERR_NONE);
    assert_int_equal(o.n, 0);
    close(leak);
    const char *const argv[] = {"grep", "-E", "SigBlk|SigIgn", "/proc/self/status", NULL};
    run(&(struct process_request){.argv = argv}, &o);
    unsigned long long blocked = 1, ignored = 1;
    assert_int_equal(sscanf(o.out, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_int_equal(blocked, 0);
    assert_int_equal(ignored & 0x7fffffff, 0); /* 32 and 33 are glibc's own */
    shell("[ $$ = $(ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat) ] && echo leader", &o);
    assert_string_equal(o.out, "leader\n");
}

static bool alive(int pid) {
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    bool is = fgets(line, sizeof line, f) && !strstr(line, ") Z ");
    fclose(f);
    return is;
}

static void the_deadline_kills_the_group(void **state) {
    struct outcome o;
    (void)state;
    const char *const argv[] = {"sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait; sleep 60", NULL};
    int64_t took = run(&(struct process_request){.argv = argv, .deadline_ms = 200}, &o);
    assert_int_equal(o.err.code, ERR_TIMEOUT);
    assert_in_range(took, 200, 4000);
    for (int i = 0; i < 100 && alive(atoi(o.out)); i++)
        usleep(10000);
    assert_false(alive(atoi(o.out)));
}

/* A grandchild in a session of its own keeps the pipes open: the deadline holds all the same. */
static void the_deadline_holds_for_whoever_escapes(void **state) {
    struct outcome o;
    (void)state;
    const char *const argv[] = {"sh", "-c", "setsid sleep 5 & wait", NULL};
    int64_t took = run(&(struct process_request){.argv = argv, .deadline_ms = 200}, &o);
    assert_int_equal(o.err.code, ERR_TIMEOUT);
    assert_in_range(took, 200, 4000);
}

static void what_is_left_running_is_not_waited_for_and_not_killed(void **state) {
    struct outcome o;
    (void)state;
    int64_t took = shell("sleep 30 & echo $!", &o);
    assert_int_equal(o.err.code, ERR_NONE);
    assert_in_range(took, 0, 5000);
    int pid = atoi(o.out);
    assert_true(alive(pid));
    kill(pid, SIGKILL);
}

static void too_much_output_ends_it(void **state) {
    struct outcome o;
    (void)state;
    int64_t took = shell("yes; sleep 60", &o);
    assert_int_equal(o.err.code, ERR_TOO_LARGE);
    assert_in_range(took, 0, 8000);
}

static void cancelled_processes_are_gone(void **state) {
    struct error err;
    struct outcome o = {0};
    (void)state;
    const char *const argv[] = {"sleep", "60", NULL};
    struct process *p = process_start(loop, &(struct process_request){.argv = argv}, on_done, &o, &err);
    assert_non_null(p);
    loop_turn(loop, 10);
    process_cancel(p);
    process_cancel(NULL);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 5);
    assert_int_equal(o.calls, 0);
}

static void works_without_pidfds(void **state) {
    struct outcome o;
    no_pidfd = true;
    output_comes_whole(state);
    the_deadline_kills_the_group(state);
    too_much_output_ends_it(state);
    cancelled_processes_are_gone(state);
    shell("exit 4", &o);
    assert_int_equal(o.err.code, ERR_IO);
    no_pidfd = false;
}

static size_t open_descriptors(void) {
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void nothing_stays_open(void **state) {
    struct outcome o;
    (void)state;
    shell("true", &o);
    size_t before = open_descriptors();
    for (int i = 0; i < 20; i++)
        shell("echo x; echo y >&2; exit 1", &o);
    assert_int_equal(open_descriptors(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(output_comes_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_say_what_the_program_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_does_not_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arguments_are_not_read_by_a_shell, set_up, tear_down),
        cmocka_unit_test_setup_teardown(environment_and_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_child_starts_clean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_deadline_kills_the_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_deadline_holds_for_whoever_escapes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_left_running_is_not_waited_for_and_not_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_much_output_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_processes_are_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(works_without_pidfds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_stays_open, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
