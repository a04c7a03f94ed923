/*
 * aws_client.h - the effector port for IAM, STS, EKS and EC2.
 *
 * Model: credentials -> sign -> send -> parse -> pages -> result. Retries inside: reads on throttling, 5xx and lost answers; writes only when they were surely not
 * sent, throttled, or refused for skew or expired credentials; a write whose outcome is unknown is reported as such (S7).
 * Before each attempt of a write `may_write` is asked (S6a); a no is ERR_CANCELLED.
 * Results: JSON as effect.h says.
 *
 * Ownership: aws_client_new/_free; settings, loop and clock must outlive it. free cancels without callbacks.
 * Errors: through results; done is called once, from the loop, never from inside submit.
 * Bounds: AWS_CALLS_MAX calls under way, AWS_PAGES_MAX pages, AWS_BODY_MAX bytes an answer.
 */
#ifndef CNI_IAM_AWS_AWS_CLIENT_H
#define CNI_IAM_AWS_AWS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/aws/settings.h"
#include "platform/os/loop.h"
#include "platform/port/effector.h"

#define AWS_CALLS_MAX 256
#define AWS_PAGES_MAX 200
#define AWS_BODY_MAX ((size_t)8 * 1024 * 1024)
#define AWS_READ_DEADLINE_MS 20000
#define AWS_WRITE_DEADLINE_MS 5000 /* a fenced write ends before the lease can be another's (leader.h) */

struct aws_client;
struct aws_client *aws_client_new(struct loop *l, const struct aws_settings *s, const char *user_agent, struct error *err);
void aws_client_free(struct aws_client *c);
struct effector aws_client_effector(struct aws_client *c);
void aws_client_set_write_gate(struct aws_client *c, bool (*may_write)(void *arg), void *arg);

struct aws_stat {
    const char *service, *operation, *outcome; /* "ok" or an error's name */
    uint64_t count;
};
void aws_client_stats(const struct aws_client *c, void (*each)(void *arg, const struct aws_stat *s), void *arg);

#endif
