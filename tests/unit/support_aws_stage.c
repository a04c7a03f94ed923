#include "support_aws_stage.h"

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

#include "platform/base/str.h"

extern char **environ;

static void run_peer(const struct aws_stage *p, int out) {
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
    (void)dup2(out, STDOUT_FILENO);
    (void)execlp("python3", "python3", TESTS_DIR "/unit/aws_stage.py", p->dir, (char *)NULL);
    _exit(127);
}

void aws_stage_start(struct aws_stage *p) {
    int fds[2];
    (void)strcpy(p->dir, "/tmp/aws_stage.XXXXXX");
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
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%d", p->port);
    aws_stage_environment(p);
}

void aws_stage_stop(struct aws_stage *p) {
    char command[128];
    (void)kill(p->pid, SIGKILL);
    (void)waitpid(p->pid, NULL, 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    assert_int_equal(system(command), 0);
}

static void forget_variables(void) {
    char name[256];
    for (size_t i = 0; environ[i] != NULL;) {
        size_t n = strcspn(environ[i], "=");
        if (strncmp(environ[i], "AWS_", 4) == 0 && n < sizeof name) {
            (void)snprintf(name, sizeof name, "%.*s", (int)n, environ[i]);
            (void)unsetenv(name);
        } else {
            i++;
        }
    }
}

void aws_stage_environment(const struct aws_stage *p) {
    forget_variables();
    (void)setenv("HOME", p->dir, 1);
    (void)setenv("AWS_REGION", "us-west-2", 1);
    (void)setenv("AWS_ENDPOINT_URL", p->url, 1);
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", p->url, 1);
    (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    (void)setenv("AWS_CONFIG_FILE", aws_stage_path(p, "config"), 1);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", aws_stage_path(p, "credentials"), 1);
    static const char *const ours[] = {"config", "credentials", "lifetime", "expected-token", "plan", "log.jsonl"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        aws_stage_write(p, ours[i], NULL);
    }
}

void aws_stage_static_keys(void) {
    (void)setenv("AWS_ACCESS_KEY_ID", "AKIDPEER", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "secret-of-AKIDPEER", 1);
}

char *aws_stage_path(const struct aws_stage *p, const char *name) {
    static char paths[4][160];
    static size_t next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", p->dir, name);
    return path;
}

void aws_stage_write(const struct aws_stage *p, const char *name, const char *text) {
    char temporary[176];
    const char *path = aws_stage_path(p, name);
    if (text == NULL) {
        (void)unlink(path);
        return;
    }
    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *f = fopen(temporary, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, path), 0);
}

void aws_stage_plan(const struct aws_stage *p, const char *lines) {
    static int number;
    char text[2048]; /* numbered: the same plan again starts anew too */
    (void)snprintf(text, sizeof text, "%s\nplan-%d ok\n", lines, number++);
    aws_stage_write(p, "plan", text);
    aws_stage_write(p, "log.jsonl", NULL);
}

int aws_stage_count(const struct aws_stage *p, const char *needle) {
    FILE *f = fopen(aws_stage_path(p, "log.jsonl"), "r");
    char *line = NULL;
    size_t cap = 0;
    int n = 0;
    while (f != NULL && getline(&line, &cap, f) > 0) {
        n += strstr(line, needle) != NULL ? 1 : 0;
    }
    free(line);
    if (f != NULL) {
        (void)fclose(f);
    }
    return n;
}

void aws_stage_bench_open(struct aws_stage_bench *b) {
    struct error err;
    b->arena = arena_new(0);
    b->settings = aws_settings_load(b->arena, NULL, &err);
    if (b->settings == NULL) {
        fail_msg("%s", err.message);
    }
    b->loop = loop_new(&err);
    assert_non_null(b->loop);
    b->client = aws_client_new(b->loop, b->settings, "cni-iam/test", &err);
    assert_non_null(b->client);
}

void aws_stage_bench_close(struct aws_stage_bench *b) {
    aws_client_free(b->client);
    loop_free(b->loop);
    arena_free(b->arena);
    memset(b, 0, sizeof *b);
}

void aws_stage_on_reply(void *arg, struct effect_result *r) {
    struct aws_stage_reply *reply = arg;
    reply->done = true;
    reply->calls++;
    reply->error = r->error;
    reply->value = r->value;
    r->value = NULL;
    (void)str_copy(reply->request_id, sizeof reply->request_id, r->request_id);
}

bool aws_stage_wait(struct aws_stage_bench *b, const bool *done, long ms) {
    struct clock clock = loop_clock(b->loop);
    int64_t end = clock.boot_ms(clock.ctx) + ms;
    while (!*done && clock.boot_ms(clock.ctx) < end) {
        loop_turn(b->loop, 20);
    }
    return *done;
}

struct aws_stage_reply aws_stage_do(struct aws_stage_bench *b, const struct effect *e) {
    struct aws_stage_reply reply = {0};
    struct effector x = aws_client_effector(b->client);
    assert_true(x.submit(x.ctx, e, aws_stage_on_reply, &reply) != 0);
    assert_false(reply.done); /* never from inside submit */
    assert_true(aws_stage_wait(b, &reply.done, 60000));
    return reply;
}

struct aws_stage_reply aws_stage_ask(struct aws_stage_bench *b, enum effect_kind kind, const char *n1, const char *v1,
                                     const char *n2, const char *v2) {
    struct arena *a = arena_new(0);
    struct effect *e = effect_new(a, kind, NULL);
    if (n1 != NULL) {
        effect_add_arg(e, a, n1, v1);
    }
    if (n2 != NULL) {
        effect_add_arg(e, a, n2, v2);
    }
    struct aws_stage_reply r = aws_stage_do(b, e);
    arena_free(a);
    return r;
}

void aws_stage_expect(struct aws_stage_bench *b, enum effect_kind kind, const char *n1, const char *v1,
                      enum err_code code) {
    struct aws_stage_reply r = aws_stage_ask(b, kind, n1, v1, NULL, NULL);
    if (r.error.code != code) {
        print_error("%s: %s instead of %s: %s\n", effect_operation(kind), error_name(r.error.code), error_name(code),
                    r.error.message);
    }
    assert_int_equal(r.error.code, code);
    json_free(r.value);
}

const char *aws_stage_key_in_use(struct aws_stage_bench *b, struct error *err) {
    static char key[128];
    struct aws_stage_reply r = aws_stage_ask(b, EFFECT_STS_GET_CALLER_IDENTITY, NULL, NULL, NULL, NULL);
    (void)str_copy(key, sizeof key, str_or(json_str(r.value, "UserId"), ""));
    *err = r.error;
    json_free(r.value);
    return key;
}
