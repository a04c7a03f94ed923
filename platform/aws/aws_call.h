/*
 * aws_call.h - one attempt of one AWS request: build, sign, send, parse. No retries, no pages, no credentials of its own.
 *
 * Model: a transport holds what all calls share: the HTTP client, the key cache, the clock skew that was learnt from Date headers. aws_client.h adds policy.
 * Ownership: the call copies what it needs; the answer is lent to done, which takes value by setting it to NULL.
 * Errors: through the answer.   Bounds: AWS_BODY_MAX bytes an answer.
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
    int64_t skew_ms;           /* server's clock minus ours */
};
bool aws_transport_init(struct aws_transport *t, struct loop *l, const struct aws_settings *s, const char *user_agent, struct error *err);
void aws_transport_done(struct aws_transport *t);

struct aws_answer {
    json *value;
    struct error error;
    const char *request_id;
    bool skewed;            /* refused for the time: the skew was learnt, once more is worth it */
    const char *next_token; /* where the operation has pages and there is another; NULL */
};
typedef void (*aws_answer_fn)(void *arg, struct aws_answer *answer);

struct aws_call;
struct aws_call_request {
    const struct effect *effect;
    const char *extra_name, *extra_value;        /* the page marker; NULL: none */
    const struct secret *secret_token;           /* WebIdentityToken of AssumeRoleWithWebIdentity; NULL: none */
    const char *action;                          /* NULL: the effect's operation (AssumeRole has no effect kind of its own) */
    enum effect_service service;                 /* with `action` */
    const char *region;                          /* NULL: the settings' */
    const struct sigv4_credentials *credentials; /* NULL: unsigned */
    bool changes_something;
};
/* NULL with err set: not started. */
struct aws_call *aws_call_start(struct aws_transport *t, const struct aws_call_request *r, aws_answer_fn done, void *arg, struct error *err);
void aws_call_cancel(struct aws_call *c);

#endif
