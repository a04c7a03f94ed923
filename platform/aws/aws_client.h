/*
 * aws_client.h - the effector port for IAM, STS, EKS and EC2.
 *
 * Model: credentials -> sign -> send -> parse -> pages -> result.
 * Retries inside, at most AWS_MAX_ATTEMPTS (3) attempts a page with full jitter, rand(0, min(2^n s, 20 s)), or the
 * server's Retry-After, out of a common budget of RETRY_TOKENS (aws.md 2.3):
 *   reads    throttling, 5xx, no or half an answer, not sent
 *   writes   throttling, and surely not sent; nothing else. A write whose outcome is unknown is reported as such (S7)
 *   removals, and documents that are replaced whole: nothing; who asked looks again before it asks again (S2)
 *   all      once more at once after a refusal for skew (the clock offset is learnt) or expired credentials (refreshed)
 * Before each attempt of a write `may_write` is asked (S6a); a no is ERR_CANCELLED, and nothing was sent.
 * Results: JSON as effect.h says, all pages in one value.
 *
 * Ownership: aws_client_new/_free; settings and loop must outlive it. free cancels without callbacks, and may be called
 * inside one. done takes the result's value by setting it to NULL.
 * Errors: through results; done is called once, from the loop, never from inside submit.
 * Bounds: AWS_CALLS_MAX calls under way, AWS_PAGES_MAX pages, AWS_BODY_MAX bytes an answer, AWS_READ_DEADLINE_MS and
 * AWS_WRITE_DEADLINE_MS an attempt, no attempt begins after AWS_OPERATION_DEADLINE_MS.
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
#define AWS_OPERATION_DEADLINE_MS 120000

struct aws_client;
struct aws_client *aws_client_new(struct loop *l, const struct aws_settings *s, const char *user_agent,
                                  struct error *err);
void aws_client_free(struct aws_client *c);
struct effector aws_client_effector(struct aws_client *c);
void aws_client_seed(struct aws_client *c, uint64_t seed); /* of the jitter, in place of its own */
void aws_client_set_write_gate(struct aws_client *c, bool (*may_write)(void *arg), void *arg);

/* One row for each service, operation and outcome: attempts that were answered or failed. */
struct aws_stat {
    const char *service, *operation, *outcome; /* "ok" or an error's name */
    uint64_t count;
};
void aws_client_stats(const struct aws_client *c, void (*each)(void *arg, const struct aws_stat *s), void *arg);

#endif
