#include "support_k8s_peer.h"

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

#include "platform/k8s/file_text.h"

static void run_peer(const struct k8s_peer *p, int out, bool plain_http) {
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
    (void)dup2(out, STDOUT_FILENO);
    (void)execlp("python3", "python3", TESTS_DIR "/unit/k8s_peer.py", p->dir, plain_http ? "--plain" : NULL,
                 (char *)NULL);
    _exit(127);
}

void k8s_peer_start(struct k8s_peer *p, bool plain_http) {
    int fds[2];
    (void)strcpy(p->dir, "/tmp/k8s_peer.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    assert_int_equal(pipe(fds), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        run_peer(p, fds[1], plain_http);
    }
    (void)close(fds[1]);
    FILE *f = fdopen(fds[0], "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "READY %d", &p->port), 1);
    (void)fclose(f);
}

void k8s_peer_stop(struct k8s_peer *p) {
    char command[128];
    (void)kill(p->pid, SIGKILL);
    (void)waitpid(p->pid, NULL, 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    assert_int_equal(system(command), 0);
}

void k8s_peer_write(const struct k8s_peer *p, const char *name, const char *text) {
    char path[160];
    char temporary[170];
    (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
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

char *k8s_peer_read(const struct k8s_peer *p, const char *name) {
    char path[160];
    struct error err;
    size_t n = 0;
    (void)snprintf(path, sizeof path, "%s/%s", p->dir, name);
    char *text = file_text(path, K8S_FILE_MAX, &n, NULL, &err);
    return text != NULL ? text : strdup("");
}

int k8s_peer_count(const struct k8s_peer *p, const char *needle) {
    char *text = k8s_peer_read(p, "log.jsonl");
    int n = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        n += strstr(line, needle) != NULL ? 1 : 0;
    }
    free(text);
    return n;
}

void k8s_peer_forget(const struct k8s_peer *p) {
    k8s_peer_write(p, "log.jsonl", NULL);
}

struct k8s_config *k8s_peer_config(const struct k8s_peer *p) {
    struct k8s_config *c = k8s_config_new();
    char *ca = k8s_peer_read(p, "ca1.pem");
    bool plain = ca[0] == '\0';
    c->server = arena_printf(c->arena, "%s://127.0.0.1:%d", plain ? "http" : "https", p->port);
    c->ca_pem = plain ? NULL : arena_strdup(c->arena, ca);
    c->proxy_url = "";
    free(ca);
    return c;
}

struct k8s_client *k8s_peer_client(struct loop *l, const struct k8s_config *config) {
    struct error err = {0};
    struct k8s_client_options o = {.loop = l, .config = config, .version = "1.2.3", .component = "test"};
    struct k8s_client *c = k8s_client_new(&o, &err);
    if (c == NULL) {
        fail_msg("%s", err.message);
    }
    return c;
}

bool k8s_peer_wait(struct loop *l, const bool *done, long ms) {
    struct clock clock = loop_clock(l);
    int64_t end = clock.boot_ms(clock.ctx) + ms;
    while (!*done && clock.boot_ms(clock.ctx) < end) {
        loop_turn(l, 20);
    }
    return *done;
}

void k8s_peer_on_reply(void *arg, struct k8s_answer *a) {
    struct k8s_reply *r = arg;
    r->done = true;
    r->status = a->status;
    r->error = a->error;
    r->body = a->body;
    a->body = NULL;
}

struct k8s_reply k8s_peer_send(struct k8s_client *c, const struct k8s_request *r) {
    struct k8s_reply reply = {0};
    (void)k8s_client_send(c, r, k8s_peer_on_reply, &reply);
    assert_false(reply.done); /* never from inside send */
    assert_true(k8s_peer_wait(k8s_client_loop(c), &reply.done, 60000));
    return reply;
}

struct k8s_reply k8s_peer_do(struct k8s_client *c, enum k8s_verb verb, const char *name) {
    bool write = verb != K8S_VERB_GET;
    struct k8s_request r = {.verb = verb,
                            .resource = k8s_resource_find("configmaps"),
                            .ns = "ns",
                            .name = name,
                            .body = write ? "{\"a\":1}" : NULL,
                            .retry = !write};
    return k8s_peer_send(c, &r);
}

struct k8s_reply k8s_peer_get(struct k8s_client *c, const char *name) {
    return k8s_peer_do(c, K8S_VERB_GET, name);
}
