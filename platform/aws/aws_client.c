/* aws_client.c - effects through AWS: credentials, attempts, pages. One attempt: aws_call.c. */
#include "platform/aws/aws_client.h"

#include <stdlib.h>
#include <string.h>

#include "platform/aws/aws_client_internal.h"
#include "platform/aws/credentials.h"
#include "platform/aws/pages.h"
#include "platform/base/mutant.h"
#include "platform/base/random.h"
#include "platform/base/str.h"

#define STATS_MAX (EFFECT_KIND_COUNT * 8)
#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS 20000
#define RETRY_TOKENS 500
#define RETRY_COST 5

struct stat_row {
    enum effect_kind kind;
    enum err_code code;
    uint64_t count;
};

struct aws_client {
    struct aws_transport t;
    struct credentials *credentials;
    struct operation *operations;
    size_t noperations;
    uint64_t last_ticket;
    struct prng prng;
    int retry_tokens;
    bool (*may_write)(void *arg);
    void *may_write_arg;
    struct stat_row stats[STATS_MAX];
    size_t nstats;
};

struct aws_transport *aws_client_transport(struct aws_client *c) {
    return &c->t;
}

/* --- counting and ending --- */

void aws_operation_count(struct operation *op, const struct error *err) {
    struct aws_client *c = op->client;
    for (size_t i = 0; i < c->nstats; i++) {
        if (c->stats[i].kind == op->effect->kind && c->stats[i].code == err->code) {
            c->stats[i].count++;
            return;
        }
    }
    if (c->nstats < STATS_MAX) {
        c->stats[c->nstats++] = (struct stat_row){op->effect->kind, err->code, 1};
    }
}

static void drop(struct operation *op) {
    struct aws_client *c = op->client;
    proof_release(op->proof);
    aws_call_cancel(op->call);
    c->t.clock.timer_stop(c->t.clock.ctx, op->timer);
    if (op->waits_for_credentials) {
        credentials_forget_waiter(c->credentials, op);
    }
    if (op->prev) {
        op->prev->next = op->next;
    } else {
        c->operations = op->next;
    }
    if (op->next) {
        op->next->prev = op->prev;
    }
    c->noperations--;
    json_free(op->merged);
    arena_free(op->arena);
    free(op);
}

void aws_operation_finish(struct operation *op, json *value, const struct error *err) {
    struct effect_result result = {.error = *err, .value = value};
    effect_done_fn done = op->done;
    void *arg = op->arg;
    char id[sizeof op->request_id];
    (void)str_copy(id, sizeof id, op->request_id);
    result.request_id = id;
    drop(op);
    done(arg, &result);
    json_free(result.value);
}

/* --- retries --- */

static int64_t boot(const struct aws_client *c) {
    return c->t.clock.boot_ms(c->t.clock.ctx);
}

static bool is_write(const struct operation *op) {
    return effect_class(op->effect->kind) != EFFECT_READ;
}

/* What takes away, or replaces a document whole, stands on what was read and announced directly before it (S2, S6b): seconds later
 * it has to be decided anew. */
static bool is_soon_stale(const struct operation *op) {
    enum effect_kind kind = op->effect->kind;
    return (effect_class(kind) == EFFECT_DESTRUCTIVE || kind == EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY) &&
           !MUTANT(removal_is_sent_again_later);
}

/* A read may always be asked again. A write only where it surely was not carried out (S7). */
static bool may_repeat(const struct operation *op, const struct error *err) {
    if (is_soon_stale(op)) {
        return false;
    }
    if (err->code == ERR_THROTTLED || err->code == ERR_UNREACHABLE) {
        return true;
    }
    return !is_write(op) && (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT || err->code == ERR_LOST);
}

static void on_retry_timer(void *arg) {
    struct operation *op = arg;
    op->timer = 0;
    op->attempt(op);
}

static int64_t retry_delay(struct operation *op, const struct error *err) {
    struct backoff b;
    backoff_init(&b, RETRY_BASE_MS, RETRY_CAP_MS);
    b.attempt = (unsigned)op->attempts - 1;
    int64_t delay = backoff_next_full_ms(&b, &op->client->prng);
    if (err->retry_after_ms > delay) {
        delay = err->retry_after_ms < RETRY_CAP_MS ? err->retry_after_ms : RETRY_CAP_MS;
    }
    return delay;
}

bool aws_operation_retries(struct operation *op, const struct error *err) {
    struct aws_client *c = op->client;
    if (!may_repeat(op, err) || ++op->attempts >= c->t.settings->max_attempts || c->retry_tokens < RETRY_COST) {
        return false;
    }
    int64_t delay = retry_delay(op, err);
    if (boot(c) + delay > op->until_boot_ms) {
        return false;
    }
    c->retry_tokens -= RETRY_COST;
    op->retry_cost += RETRY_COST;
    op->timer = c->t.clock.timer_start(c->t.clock.ctx, delay, on_retry_timer, op);
    return true;
}

static void give_back_tokens(struct operation *op) {
    struct aws_client *c = op->client;
    c->retry_tokens += op->retry_cost ? op->retry_cost : 1;
    op->retry_cost = 0;
    if (c->retry_tokens > RETRY_TOKENS) {
        c->retry_tokens = RETRY_TOKENS;
    }
}

/* --- answers --- */

static void next_page(struct operation *op, struct aws_answer *answer) {
    struct error err;
    bool circle = str_eq(op->marker, answer->next_token);
    op->marker = arena_strdup(op->arena, answer->next_token);
    if (op->merged) {
        pages_merge(op->merged, answer->value);
    } else {
        op->merged = answer->value;
        answer->value = NULL;
    }
    op->attempts = 0;
    if (circle) {
        (void)error_set(&err, ERR_PARSE, "the same page marker twice");
    } else if (++op->pages >= AWS_PAGES_MAX) {
        (void)error_set(&err, ERR_TOO_LARGE, "more than %d pages", AWS_PAGES_MAX);
    } else if (boot(op->client) > op->until_boot_ms) {
        (void)error_set(&err, ERR_TIMEOUT, "%d pages took more than %d s", op->pages, AWS_OPERATION_DEADLINE_MS / 1000);
    } else {
        op->attempt(op);
        return;
    }
    aws_operation_finish(op, NULL, &err);
}

static void succeed(struct operation *op, struct aws_answer *answer) {
    json *value = answer->value;
    answer->value = NULL;
    if (op->merged) {
        pages_merge(op->merged, value);
        json_free(value);
        value = op->merged;
        op->merged = NULL;
    }
    pages_drop_marks(value);
    aws_operation_finish(op, value, &answer->error);
}

/* Refused for who we are, which other credentials or another clock may mend. */
static bool renews(struct operation *op, const struct aws_answer *answer) {
    const struct error *err = &answer->error;
    bool unknown_key = str_eq(err->wire, "InvalidClientTokenId") || str_eq(err->wire, "UnrecognizedClientException");
    if (op->renewed || !(answer->skewed || unknown_key || err->code == ERR_EXPIRED_CREDENTIALS)) {
        return false;
    }
    op->renewed = true;
    if (!answer->skewed) {
        credentials_invalidate(op->client->credentials, op->credentials_generation);
    }
    return true;
}

static void on_answer(void *arg, struct aws_answer *answer) {
    struct operation *op = arg;
    op->call = NULL;
    (void)str_copy(op->request_id, sizeof op->request_id, answer->request_id);
    aws_operation_count(op, &answer->error);
    if (answer->error.code == ERR_NONE) {
        give_back_tokens(op);
        if (answer->next_token) {
            next_page(op, answer);
        } else {
            succeed(op, answer);
        }
    } else if (renews(op, answer)) {
        op->attempt(op);
    } else if (!aws_operation_retries(op, &answer->error)) {
        aws_operation_finish(op, NULL, &answer->error);
    }
}

/* --- attempts --- */

static const char *page_name(enum effect_service service) {
    if (service == SERVICE_EKS) {
        return "nextToken";
    }
    return service == SERVICE_EC2 ? "NextToken" : "Marker";
}

static void on_credentials(void *arg, const struct sigv4_credentials *cred, const struct error *cred_err) {
    struct operation *op = arg;
    struct aws_client *c = op->client;
    struct error err;
    op->waits_for_credentials = false;
    if (!cred) {
        aws_operation_finish(op, NULL, cred_err);
        return;
    }
    if (is_write(op) && c->may_write && !c->may_write(c->may_write_arg)) {
        (void)error_set(&err, ERR_CANCELLED, "not sent: this process may not write now (lease)");
        aws_operation_finish(op, NULL, &err);
        return;
    }
    op->credentials_generation = credentials_generation(c->credentials);
    struct aws_call_request r = {.effect = op->effect,
                                 .page_name = op->marker ? page_name(effect_service(op->effect->kind)) : NULL,
                                 .page_token = op->marker,
                                 .credentials = cred,
                                 .changes_something = is_write(op)};
    op->call = aws_call_start(&c->t, &r, on_answer, op, &err);
    if (!op->call) {
        aws_operation_finish(op, NULL, &err);
    }
}

static void attempt(struct operation *op) {
    op->waits_for_credentials = true;
    credentials_get(op->client->credentials, on_credentials, op);
}

static void on_start(void *arg) {
    struct operation *op = arg;
    struct error err;
    op->timer = 0;
    if (op->client->noperations > AWS_CALLS_MAX) {
        (void)error_set(&err, ERR_TOO_LARGE, "more than %d AWS calls at once", AWS_CALLS_MAX);
        aws_operation_finish(op, NULL, &err);
        return;
    }
    op->attempt(op);
}

struct operation *aws_operation_new(struct aws_client *c, const struct effect *e, effect_done_fn done, void *arg,
                                    void (*how)(struct operation *op)) {
    struct operation *op = calloc(1, sizeof *op);
    if (!op) {
        die("out of memory");
    }
    op->client = c;
    op->ticket = ++c->last_ticket;
    op->arena = arena_new(0);
    op->effect = effect_dup(e, op->arena);
    op->done = done;
    op->arg = arg;
    op->attempt = how;
    op->until_boot_ms = boot(c) + AWS_OPERATION_DEADLINE_MS;
    op->next = c->operations;
    if (c->operations) {
        c->operations->prev = op;
    }
    c->operations = op;
    c->noperations++;
    op->timer = c->t.clock.timer_start(c->t.clock.ctx, 0, on_start, op); /* never from inside submit */
    return op;
}

/* --- the effector --- */

static uint64_t submit(void *ctx, const struct effect *e, effect_done_fn done, void *arg) {
    return aws_operation_new(ctx, e, done, arg, attempt)->ticket;
}

static void cancel(void *ctx, uint64_t ticket) {
    struct aws_client *c = ctx;
    for (struct operation *op = c->operations; op; op = op->next) {
        if (op->ticket == ticket) {
            drop(op);
            return;
        }
    }
}

struct effector aws_client_effector(struct aws_client *c) {
    return (struct effector){.ctx = c, .submit = submit, .cancel = cancel};
}

void aws_client_set_write_gate(struct aws_client *c, bool (*may_write)(void *arg), void *arg) {
    c->may_write = may_write;
    c->may_write_arg = arg;
}

void aws_client_stats(const struct aws_client *c, void (*each)(void *arg, const struct aws_stat *s), void *arg) {
    for (size_t i = 0; i < c->nstats; i++) {
        const struct stat_row *r = &c->stats[i];
        struct aws_stat s = {.service = effect_service_name(effect_service(r->kind)),
                             .operation = effect_operation(r->kind),
                             .outcome = r->code ? error_name(r->code) : "ok",
                             .count = r->count};
        each(arg, &s);
    }
}

struct aws_client *aws_client_new(struct loop *l, const struct aws_settings *s, const char *user_agent,
                                  struct error *err) {
    struct aws_client *c = calloc(1, sizeof *c);
    if (!c) {
        die("out of memory");
    }
    if (!aws_transport_init(&c->t, l, s, user_agent, err)) {
        free(c);
        return NULL;
    }
    c->credentials = credentials_new(&c->t);
    c->retry_tokens = RETRY_TOKENS;
    prng_seed(&c->prng, (uint64_t)boot(c) ^ (uint64_t)(uintptr_t)c);
    return c;
}

void aws_client_seed(struct aws_client *c, uint64_t seed) {
    prng_seed(&c->prng, seed);
}

void aws_client_free(struct aws_client *c) {
    if (!c) {
        return;
    }
    while (c->operations) {
        drop(c->operations); /* NOLINT(clang-analyzer-unix.Malloc): drop unlinks what it frees */
    }
    credentials_free(c->credentials);
    aws_transport_done(&c->t);
    free(c);
}
