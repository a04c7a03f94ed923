/* support_http_peer.h - starts http_peer.py, and calls it through http.c until the answer is there. */
#ifndef CNI_IAM_TESTS_SUPPORT_HTTP_PEER_H
#define CNI_IAM_TESTS_SUPPORT_HTTP_PEER_H

#include <sys/types.h>

#include "platform/http/http.h"

struct http_peer {
    pid_t pid;
    int clear, tls, mutual, old_tls, proxy; /* ports */
    char folder[256];
    struct loop *loop;
};
extern struct http_peer peer;

int http_peer_start(void **state);
int http_peer_stop(void **state);
char *http_peer_file(const char *name, struct arena *a); /* a certificate or key, as text */

struct answer {
    bool done;
    int status;
    struct error err;
    char body[65536];
    size_t n;
    char header[128]; /* X-Test */
    int pieces, header_blocks;
    bool resent;
};
void answer_done(void *arg, const struct http_response *r); /* http_done_fn */
bool answer_piece(void *arg, const char *p, size_t n);      /* ends the stream after a piece with STOP */
void answer_headers(void *arg, const struct http_response *r);

struct http_client *http_peer_client(const struct http_client_options *o);
/* url: absolute, or a path on the clear port. Waits for the end. */
void call_url(struct http_client *c, struct http_call *call, const char *url, struct answer *a);
void get(const char *path, struct http_call *call, struct answer *a); /* on a client of its own */

#endif
