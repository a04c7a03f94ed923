/*
 * support_k8s_peer.h - starts tests/unit/k8s_peer.py and a client that talks to it.
 *
 * Ownership: k8s_peer_start/_stop; the directory is removed by stop.   Errors: fail the test.
 */
#ifndef CNI_IAM_TESTS_SUPPORT_K8S_PEER_H
#define CNI_IAM_TESTS_SUPPORT_K8S_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "platform/k8s/k8s_client.h"
#include "platform/k8s/k8s_config.h"
#include "platform/os/loop.h"

struct k8s_peer {
    pid_t pid;
    int port;
    char dir[64];
};

void k8s_peer_start(struct k8s_peer *p, bool plain_http);
void k8s_peer_stop(struct k8s_peer *p);
void k8s_peer_write(const struct k8s_peer *p, const char *name, const char *text); /* atomically; NULL removes */
char *k8s_peer_read(const struct k8s_peer *p, const char *name);                   /* "" if absent; caller frees */
int k8s_peer_count(const struct k8s_peer *p, const char *needle);                  /* requests whose log line has it */
void k8s_peer_forget(const struct k8s_peer *p);                                    /* empties the log */

/* server, ca_pem and nothing else; the caller adds credentials. */
struct k8s_config *k8s_peer_config(const struct k8s_peer *p);
struct k8s_client *k8s_peer_client(struct loop *l, const struct k8s_config *config);

/* Turns the loop until *done or ms have passed; false: time is up. */
bool k8s_peer_wait(struct loop *l, const bool *done, long ms);

/* One request, waited for. The body is the caller's. */
struct k8s_reply {
    bool done;
    int status;
    json *body;
    struct error error;
};
void k8s_peer_on_reply(void *arg, struct k8s_answer *a); /* arg: struct k8s_reply */
struct k8s_reply k8s_peer_send(struct k8s_client *c, const struct k8s_request *r);
/* GET (or another verb) of configmap `name` in namespace ns. */
struct k8s_reply k8s_peer_get(struct k8s_client *c, const char *name);
struct k8s_reply k8s_peer_do(struct k8s_client *c, enum k8s_verb verb, const char *name);

#endif
