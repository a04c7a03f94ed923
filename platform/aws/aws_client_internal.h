/*
 * aws_client_internal.h - what aws_client.c (life of an operation) and proof.c (an operation of several calls) share.
 * Ownership: an operation belongs to its client until aws_operation_finish.
 */
#ifndef CNI_IAM_AWS_AWS_CLIENT_INTERNAL_H
#define CNI_IAM_AWS_AWS_CLIENT_INTERNAL_H

#include "platform/aws/aws_call.h"
#include "platform/aws/aws_client.h"

struct proof;

struct operation {
    struct aws_client *client;
    struct operation *next, *prev;
    uint64_t ticket;
    struct arena *arena;
    const struct effect *effect;
    effect_done_fn done;
    void *arg;
    struct aws_call *call;
    uint64_t timer;
    void (*attempt)(struct operation *op); /* starts op->call, or finishes */
    bool waits_for_credentials;
    uint64_t credentials_generation;
    int64_t until_boot_ms;
    int attempts; /* of this page or step that failed */
    int retry_cost;
    bool renewed; /* credentials or clock, once for this operation */
    json *merged; /* pages so far */
    const char *marker;
    int pages;
    char request_id[96];
    struct proof *proof; /* of PROVE_ROLE */
};

struct aws_transport *aws_client_transport(struct aws_client *c);
struct operation *aws_operation_new(struct aws_client *c, const struct effect *e, effect_done_fn done, void *arg,
                                    void (*attempt)(struct operation *op));
void aws_operation_count(struct operation *op, const struct error *err);
/* True: this was a failure worth another attempt, and one will be made. */
bool aws_operation_retries(struct operation *op, const struct error *err);
/* Takes value; the operation is gone afterwards. */
void aws_operation_finish(struct operation *op, json *value, const struct error *err);
void proof_release(struct proof *p); /* NULL is fine */

#endif
