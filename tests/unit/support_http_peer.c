#include "support_http_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct http_peer peer;

int http_peer_start(void **state) {
    struct error err;
    int fds[2];
    (void)state;
    if (pipe(fds))
        return -1;
    peer.pid = fork();
    if (peer.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
        dup2(fds[1], 1);
        execlp("python3", "python3", "-W", "ignore", TESTS_DIR "/unit/http_peer.py", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    FILE *out = fdopen(fds[0], "r");
    int n = fscanf(out, "%d %d %d %d %d %255s", &peer.clear, &peer.tls, &peer.mutual, &peer.old_tls, &peer.proxy,
                   peer.folder);
    fclose(out);
    peer.loop = loop_new(&err);
    return n == 6 && peer.loop ? 0 : -1;
}

int http_peer_stop(void **state) {
    (void)state;
    loop_free(peer.loop);
    kill(peer.pid, SIGKILL);
    waitpid(peer.pid, NULL, 0);
    return 0;
}

char *http_peer_file(const char *name, struct arena *a) {
    char *text = arena_alloc(a, 8192);
    FILE *f = fopen(arena_printf(a, "%s/%s", peer.folder, name), "r");
    assert_non_null(f);
    size_t n = fread(text, 1, 8191, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

void answer_done(void *arg, const struct http_response *r) {
    struct answer *a = arg;
    assert_false(a->done);
    a->done = true;
    a->status = r->status;
    a->err = r->error;
    a->resent = r->resent;
    if (r->body) {
        a->n = r->body_len;
        snprintf(a->body, sizeof a->body, "%s", r->body);
    }
    const char *header = r->header(r, "x-test");
    snprintf(a->header, sizeof a->header, "%s", header ? header : "");
}

bool answer_piece(void *arg, const char *p, size_t n) {
    struct answer *a = arg;
    assert_int_equal(a->header_blocks, 1);
    a->pieces++;
    if (a->n + n < sizeof a->body) {
        memcpy(a->body + a->n, p, n);
        a->n += n;
    }
    return strstr(a->body, "STOP") == NULL;
}

void answer_headers(void *arg, const struct http_response *r) {
    struct answer *a = arg;
    a->header_blocks++;
    a->status = r->status;
    assert_null(r->body);
    assert_string_equal(r->header(r, "X-Test"), "yes");
}

struct http_client *http_peer_client(const struct http_client_options *o) {
    struct error err;
    struct http_client *c = http_client_new(peer.loop, o, &err);
    if (!c)
        fail_msg("%s", err.message);
    return c;
}

void call_url(struct http_client *c, struct http_call *call, const char *url, struct answer *a) {
    struct error err;
    char absolute[512];
    memset(a, 0, sizeof *a);
    snprintf(absolute, sizeof absolute, "http://127.0.0.1:%d%s", peer.clear, url);
    call->url = url[0] == '/' ? absolute : url;
    if (!call->method)
        call->method = "GET";
    if (!http_start(c, call, answer_done, a, &err)) {
        a->done = true;
        a->err = err;
        return;
    }
    assert_false(a->done);
    for (int i = 0; i < 3000 && !a->done; i++)
        loop_turn(peer.loop, 10);
    assert_true(a->done);
}

void get(const char *path, struct http_call *call, struct answer *a) {
    struct http_client *c = http_peer_client(&(struct http_client_options){0});
    call_url(c, call, path, a);
    http_client_free(c);
}
