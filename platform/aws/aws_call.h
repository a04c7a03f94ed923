/*
 * aws_call.h - one attempt of one AWS request: build, sign, send, parse. No retries, no pages, no credentials of its
 * own.
 *
 * Model: a transport holds what all calls share: the HTTP clients, the key cache, and the clock skew that was learnt
 * from the Date header of an answer that refused us for the time. aws_client.h adds policy.
 * An answer must be the operation's own: <GetRoleResponse> for GetRole, with its <GetRoleResult> where the operation
 * is a read. Of a write, an answer that can not be understood is ERR_LOST, and a 5xx page ERR_UNAVAILABLE: both mean
 * that the outcome is unknown (S7).
 *
 * Ownership: the call copies what it needs; the answer is lent to done, which takes value by setting it to NULL.
 * Answers of STS are wiped after use.
 * Errors: through the answer.   Bounds: AWS_BODY_MAX bytes an answer, the deadlines of aws_client.h.
 */
#ifndef CNI_IAM_AWS_AWS_CALL_H
#define CNI_IAM_AWS_AWS_CALL_H

#include "platform/aws/settings.h"
#include "platform/aws/sigv4.h"
#include "platform/http/http.h"
#include "platform/os/loop.h"
#include "platform/port/effect.h"

struct aws_transport {
    struct loop *loop;
    struct clock clock;
    struct http_client *http;  /* AWS services */
    struct http_client *local; /* metadata and container endpoints: never through a proxy */
    const struct aws_settings *settings;
    struct sigv4_cache *keys;
    int64_t skew_ms; /* the server's clock minus ours */
};
bool aws_transport_init(struct aws_transport *t, struct loop *l, const struct aws_settings *s, const char *user_agent,
                        struct error *err); /* false: nothing to undo */
void aws_transport_done(struct aws_transport *t);

struct aws_answer {
    json *value;
    struct error error;
    const char *request_id; /* "" if none */
    bool skewed;            /* refused for the time: the skew was learnt, once more is worth it */
    const char *next_token; /* where the operation has pages and there is another; NULL: no */
};
typedef void (*aws_answer_fn)(void *arg, struct aws_answer *answer);

struct aws_call;
struct aws_call_request {
    const struct effect *effect;
    const char *page_name, *page_token;          /* of the next page; NULL: none */
    const struct secret *secret_token;           /* WebIdentityToken of AssumeRoleWithWebIdentity; NULL: none */
    const char *action;                          /* NULL: the effect's operation (AssumeRole has no effect kind) */
    enum effect_service service;                 /* with `action` */
    const char *region;                          /* NULL: the settings' */
    const struct sigv4_credentials *credentials; /* NULL: unsigned */
    bool changes_something;
};
/* NULL with err set: not started, done is not called. */
struct aws_call *aws_call_start(struct aws_transport *t, const struct aws_call_request *r, aws_answer_fn done,
                                void *arg, struct error *err);
void aws_call_cancel(struct aws_call *c); /* done is not called any more; NULL is fine */

/* Overwrites every string of a tree that held keys. Its numbers and names stay. */
void aws_wipe_json(json *j);

#endif
