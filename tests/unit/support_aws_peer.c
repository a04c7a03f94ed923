#include "support_aws_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

extern char **environ;

void set_variable(const char *name, const char *fmt, ...) {
    char value[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    assert_int_equal(setenv(name, value, 1), 0);
}

static void clear_variables(void) {
    for (char **e = environ; *e;) {
        char name[128];
        size_t n = strcspn(*e, "=");
        if (strncmp(*e, "AWS_", 4) == 0 && n < sizeof name) {
            memcpy(name, *e, n);
            name[n] = '\0';
            (void)unsetenv(name);
            e = environ;
        } else {
            e++;
        }
    }
}

const char *aws_peer_path(const struct aws_peer *p, const char *name) {
    static char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
    return path;
}

void aws_peer_environment(const struct aws_peer *p) {
    clear_variables();
    set_variable("AWS_ENDPOINT_URL", "http://127.0.0.1:%d", p->port);
    set_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:%d/", p->port);
    set_variable("AWS_EC2_METADATA_DISABLED", "true");
    set_variable("AWS_REGION", "us-west-2");
    set_variable("AWS_CONFIG_FILE", "%s/config", p->dir);
    set_variable("AWS_SHARED_CREDENTIALS_FILE", "%s/credentials", p->dir);
}

static void run_peer(const struct aws_peer *p, int out) {
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
    (void)dup2(out, STDOUT_FILENO);
    (void)execlp("python3", "python3", TESTS_DIR "/unit/aws_peer.py", p->dir, (char *)NULL);
    _exit(127);
}

void aws_peer_start(struct aws_peer *p) {
    int fds[2];
    (void)strcpy(p->dir, "/tmp/aws_peer.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    assert_int_equal(pipe(fds), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        run_peer(p, fds[1]);
    }
    (void)close(fds[1]);
    FILE *f = fdopen(fds[0], "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "READY %d", &p->port), 1);
    (void)fclose(f);
    aws_peer_environment(p);
}

void aws_peer_stop(struct aws_peer *p) {
    char command[128];
    (void)kill(p->pid, SIGKILL);
    (void)waitpid(p->pid, NULL, 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    assert_int_equal(system(command), 0);
}

void aws_peer_write(const struct aws_peer *p, const char *name, const char *text) {
    char temporary[200];
    if (!text) {
        (void)unlink(aws_peer_path(p, name));
        return;
    }
    (void)snprintf(temporary, sizeof temporary, "%s.new", aws_peer_path(p, name));
    FILE *f = fopen(temporary, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, aws_peer_path(p, name)), 0);
}

int aws_peer_count(const struct aws_peer *p, const char *needle) {
    char line[8192];
    int n = 0;
    FILE *f = fopen(aws_peer_path(p, "log.jsonl"), "r");
    while (f && fgets(line, sizeof line, f)) {
        n += strstr(line, needle) ? 1 : 0;
    }
    if (f) {
        (void)fclose(f);
    }
    return n;
}

void aws_peer_forget(const struct aws_peer *p) {
    aws_peer_write(p, "log.jsonl", NULL);
}

bool wait_for(struct loop *l, const bool *done, long ms) {
    struct clock clock = loop_clock(l);
    int64_t end = clock.boot_ms(clock.ctx) + ms;
    while (!*done && clock.boot_ms(clock.ctx) < end) {
        loop_turn(l, 20);
    }
    return *done;
}
