/*
 * auth.h - one interface over every way to prove who we are: static token, token file, basic, certificates, exec
 * plugin.
 *
 * Model: k8s_auth_get gives what a request needs *now*: headers and a TLS identity, with two generations that change
 * when the Authorization header or anything of TLS changes. What lives in files is re-read here when it is due: tokens
 * every minute with 10 s leeway (K-A4), the CA every minute, certificates every five (K-A5). A file that can not be
 * read, or holds no PEM, leaves the old value in place. When a plugin has to run first, the answer is "wait", and a
 * waiter is called when it has run: one run serves all who wait. After a 401 k8s_auth_rejected drops the credential: it
 * says whether another one may be had, so that a request is sent again at most once. Credentials are given for https
 * servers only (K-A6).
 *
 * Ownership: an identity is borrowed until the loop turns. A waiter lives in its caller's struct and unlinks itself
 * before it is called.
 *
 * Errors: ERR_NO_CREDENTIALS (plugin), ERR_INVALID (a token that can not stand in a header).
 */
#ifndef CNI_IAM_K8S_AUTH_H
#define CNI_IAM_K8S_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/error.h"
#include "platform/http/http.h"
#include "platform/k8s/k8s_config.h"
#include "platform/os/loop.h"

#define AUTH_TOKEN_PERIOD_MS 50000 /* a minute less 10 s */
#define AUTH_CA_PERIOD_MS 60000
#define AUTH_CERT_PERIOD_MS 300000
#define AUTH_HEADERS_MAX (3 + 2 * K8S_CONFIG_EXTRAS_MAX)

struct k8s_auth;

struct k8s_identity {
    const struct http_header *headers; /* Authorization, Impersonate-... */
    size_t nheaders;
    const char *ca_pem;
    const struct secret *client_cert_pem;
    const struct secret *client_key_pem;
    uint64_t token_generation; /* give it back to k8s_auth_rejected */
    uint64_t tls_generation;
};

struct k8s_auth_waiter {
    void (*fn)(void *arg, const struct error *err); /* ERR_NONE: ask k8s_auth_get again */
    void *arg;
    struct k8s_auth_waiter *next, *prev;
    bool waiting;
};

struct k8s_auth *k8s_auth_new(struct loop *l, const struct k8s_config *config, struct error *err); /* borrows both */
void k8s_auth_free(struct k8s_auth *a); /* no waiter is called any more */

/* False: a plugin has to run first (it is running now): wait. */
bool k8s_auth_get(struct k8s_auth *a, struct k8s_identity *out);
void k8s_auth_wait(struct k8s_auth *a, struct k8s_auth_waiter *w);   /* after a false only */
void k8s_auth_unwait(struct k8s_auth *a, struct k8s_auth_waiter *w); /* fine when it does not wait */

/* The server said 401 to that generation. True: there is, or will be, another credential: send once more. */
bool k8s_auth_rejected(struct k8s_auth *a, uint64_t token_generation);

#endif
