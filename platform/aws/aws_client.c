/* aws_client.c - effects through AWS: credentials, attempts, pages. One attempt: aws_call.c. */
#include "platform/aws/aws_client.h"

#include <stdlib.h>
#include <string.h>

#include "platform/aws/credentials.h"
#include "platform/aws/proof.h"
#include "platform/base/log.h"
#include "platform/base/random.h"
#include "platform/base/str.h"

#define STATS_MAX 512
#define RETRY_BASE_MS 500 /* legacy SDKs: rand(0,1) * min(2^n, 20 s); half of that here, in the same three attempts */
#define RETRY_CAP_MS 20000
#define RETRY_TOKENS 500
#define RETRY_COST 5

struct stat_row {
    enum effect_kind kind;
    enum err_code code;
    uint64_t count;
};

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
    bool waits_for_credentials;
    int attempt;
    bool refreshed;       /* credentials or clock were renewed once for this operation */
    json *merged;         /* pages so far */
    const char *marker;
    int pages;
    char request_id[96];
    struct proof *proof;  /* proof.c's part of PROVE_ROLE */
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

/* --- the end of an operation ------------------------------------------------------------------------------------------------- */

static void count(struct aws_client *c, enum effect_kind kind, enum err_code code)
{
    for (size_t i = 0; i < c->nstats; i++)
        if (c->stats[i].kind == kind && c->stats[i].code == code) {
            c->stats[i].count++;
            return;
        }
    if (c->nstats < STATS_MAX)
        c->stats[c->nstats++] = (struct stat_row){kind, code, 1};
}

static void release_proof(struct operation *op);

static void drop(struct operation *op)
{
    struct aws_client *c = op->client;
    release_proof(op);
    aws_call_cancel(op->call);
    c->t.clock.timer_stop(c->t.clock.ctx, op->timer);
    if (op->waits_for_credentials)
        credentials_forget_waiter(c->credentials, op);
    if (op->prev)
        op->prev->next = op->next;
    else
        c->operations = op->next;
    if (op->next)
        op->next->prev = op->prev;
    c->noperations--;
    json_free(op->merged);
    arena_free(op->arena);
    free(op);
}

static void finish(struct operation *op, json *value, const struct error *err)
{
    struct effect_result result = {.error = *err, .value = value, .request_id = op->request_id};
    effect_done_fn done = op->done;
    void *arg = op->arg;
    char id[sizeof op->request_id];
    str_copy(id, sizeof id, op->request_id);
    result.request_id = id;
    drop(op);
    done(arg, &result);
    json_free(result.value);
}

/* --- attempts -------------------------------------------------------------------------------------------------------------------- */

static void attempt(struct operation *op);

static void on_retry_timer(void *arg)
{
    struct operation *op = arg;
    op->timer = 0;
    attempt(op);
}

static bool is_write(const struct operation *op)
{
    return effect_class(op->effect->kind) != EFFECT_READ;
}

/* A read may always be asked again. A write only where it surely was not carried out (S7). */
static bool may_repeat(const struct operation *op, const struct error *err)
{
    if (err->code == ERR_THROTTLED || err->code == ERR_UNREACHABLE)
        return true;
    return !is_write(op) && (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT || err->code == ERR_LOST);
}

static void retry_later(struct operation *op, const struct error *err)
{
    struct aws_client *c = op->client;
    struct backoff b;
    backoff_init(&b, RETRY_BASE_MS, RETRY_CAP_MS);
    b.attempt = (unsigned)op->attempt;
    int64_t delay = backoff_next_full_ms(&b, &c->prng);
    if (err->retry_after_ms > delay)
        delay = err->retry_after_ms < RETRY_CAP_MS ? err->retry_after_ms : RETRY_CAP_MS;
    c->retry_tokens -= RETRY_COST;
    op->timer = c->t.clock.timer_start(c->t.clock.ctx, delay, on_retry_timer, op);
}

/* Arrays of a further page go behind those of the first, at every depth where both have them. */
static void merge_pages(json *into, const json *page)
{
    for (const json *it = json_first(page); it; it = it->next) {
        json *mine = (json *)(uintptr_t)json_get(into, it->string);
        if (json_is_array(mine) && json_is_array(it)) {
            for (const json *e = json_first(it); e; e = e->next)
                json_push(mine, json_dup(e));
        } else if (!mine || (json_is_string(mine) && json_is_array(it))) {
            json_add_item(into, it->string, json_dup(it));
        } else if (json_is_object(mine) && json_is_object(it)) {
            merge_pages(mine, it);
        }
    }
}

static void next_page(struct operation *op, struct aws_answer *answer)
{
    struct error err;
    op->marker = arena_strdup(op->arena, answer->next_token);
    if (op->merged)
        merge_pages(op->merged, answer->value);
    else {
        op->merged = answer->value;
        answer->value = NULL;
    }
    op->attempt = 0;
    if (++op->pages < AWS_PAGES_MAX) {
        attempt(op);
        return;
    }
    error_set(&err, ERR_TOO_LARGE, "more than %d pages", AWS_PAGES_MAX);
    finish(op, NULL, &err);
}

static void succeed(struct operation *op, struct aws_answer *answer)
{
    struct aws_client *c = op->client;
    if (c->retry_tokens < RETRY_TOKENS)
        c->retry_tokens++;
    json *value = answer->value;
    answer->value = NULL;
    if (op->merged) {
        merge_pages(op->merged, value);
        json_free(value);
        value = op->merged;
        op->merged = NULL;
    }
    finish(op, value, &answer->error);
}

static void on_answer(void *arg, struct aws_answer *answer)
{
    struct operation *op = arg;
    struct aws_client *c = op->client;
    const struct error *err = &answer->error;
    op->call = NULL;
    str_copy(op->request_id, sizeof op->request_id, answer->request_id);
    count(c, op->effect->kind, err->code);
    if (err->code == ERR_NONE) {
        if (answer->next_token)
            next_page(op, answer);
        else
            succeed(op, answer);
        return;
    }
    bool renewable = answer->skewed || err->code == ERR_EXPIRED_CREDENTIALS;
    if (renewable && !op->refreshed) {
        op->refreshed = true;
        if (!answer->skewed)
            credentials_invalidate(c->credentials);
        attempt(op);
        return;
    }
    if (may_repeat(op, err) && ++op->attempt < c->t.settings->max_attempts && c->retry_tokens >= RETRY_COST) {
        retry_later(op, err);
        return;
    }
    finish(op, NULL, err);
}

static void on_credentials(void *arg, const struct sigv4_credentials *cred, const struct error *cred_err)
{
    struct operation *op = arg;
    struct aws_client *c = op->client;
    struct error err;
    op->waits_for_credentials = false;
    if (!cred) {
        finish(op, NULL, cred_err);
        return;
    }
    if (is_write(op) && c->may_write && !c->may_write(c->may_write_arg)) {
        error_set(&err, ERR_CANCELLED, "not sent: this process may not write now (lease)");
        finish(op, NULL, &err);
        return;
    }
    bool eks = effect_service(op->effect->kind) == SERVICE_EKS, ec2 = effect_service(op->effect->kind) == SERVICE_EC2;
    struct aws_call_request r = {.effect = op->effect,
                                 .extra_name = op->marker ? (eks ? "nextToken" : (ec2 ? "NextToken" : "Marker")) : NULL,
                                 .extra_value = op->marker,
                                 .credentials = cred,
                                 .changes_something = is_write(op)};
    op->call = aws_call_start(&c->t, &r, on_answer, op, &err);
    if (!op->call)
        finish(op, NULL, &err);
}

static void attempt(struct operation *op)
{
    op->waits_for_credentials = true;
    credentials_get(op->client->credentials, on_credentials, op);
}

/* --- the effector ----------------------------------------------------------------------------------------------------------------- */

static struct operation *operation_new(struct aws_client *c, const struct effect *e, effect_done_fn done, void *arg)
{
    struct operation *op = calloc(1, sizeof *op);
    if (!op)
        die("out of memory");
    op->client = c;
    op->ticket = ++c->last_ticket;
    op->arena = arena_new(0);
    op->effect = effect_dup(e, op->arena);
    op->done = done;
    op->arg = arg;
    op->next = c->operations;
    if (c->operations)
        c->operations->prev = op;
    c->operations = op;
    c->noperations++;
    return op;
}

static void on_start(void *arg)
{
    struct operation *op = arg;
    struct error err;
    op->timer = 0;
    if (op->client->noperations > AWS_CALLS_MAX) {
        error_set(&err, ERR_TOO_LARGE, "more than %d AWS calls at once", AWS_CALLS_MAX);
        finish(op, NULL, &err);
        return;
    }
    attempt(op);
}

static uint64_t submit(void *ctx, const struct effect *e, effect_done_fn done, void *arg)
{
    struct aws_client *c = ctx;
    struct operation *op = operation_new(c, e, done, arg);
    op->timer = c->t.clock.timer_start(c->t.clock.ctx, 0, on_start, op); /* never from inside submit */
    return op->ticket;
}

static void cancel(void *ctx, uint64_t ticket)
{
    struct aws_client *c = ctx;
    for (struct operation *op = c->operations; op; op = op->next)
        if (op->ticket == ticket) {
            drop(op);
            return;
        }
}

struct effector aws_client_effector(struct aws_client *c)
{
    return (struct effector){.ctx = c, .submit = submit, .cancel = cancel};
}

void aws_client_set_write_gate(struct aws_client *c, bool (*may_write)(void *arg), void *arg)
{
    c->may_write = may_write;
    c->may_write_arg = arg;
}

void aws_client_stats(const struct aws_client *c, void (*each)(void *arg, const struct aws_stat *s), void *arg)
{
    for (size_t i = 0; i < c->nstats; i++) {
        const struct stat_row *r = &c->stats[i];
        struct aws_stat s = {.service = effect_service_name(effect_service(r->kind)),
                             .operation = effect_operation(r->kind),
                             .outcome = r->code ? error_name(r->code) : "ok",
                             .count = r->count};
        each(arg, &s);
    }
}

struct aws_client *aws_client_new(struct loop *l, const struct aws_settings *s, const char *user_agent, struct error *err)
{
    struct aws_client *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    if (!aws_transport_init(&c->t, l, s, user_agent, err)) {
        free(c);
        return NULL;
    }
    c->credentials = credentials_new(&c->t);
    c->retry_tokens = RETRY_TOKENS;
    prng_seed(&c->prng, (uint64_t)c->t.clock.boot_ms(c->t.clock.ctx) ^ (uint64_t)(uintptr_t)c);
    return c;
}

void aws_client_free(struct aws_client *c)
{
    if (!c)
        return;
    while (c->operations)
        drop(c->operations);
    credentials_free(c->credentials);
    aws_transport_done(&c->t);
    free(c);
}

/* --- the proof (proof.h): two more kinds of attempt, on credentials that live as long as the operation -------------------------------- */

struct proof {
    struct secret *secret, *session;
    const char *access_key_id, *region;
    int next;
    json *value, *ec2;
};

static const char *const proof_actions[] = {"DescribeInstances", "DescribeNetworkInterfaces"};

static void release_proof(struct operation *op)
{
    struct proof *p = op->proof;
    if (!p)
        return;
    json_free(p->value);
    secret_free(p->secret);
    secret_free(p->session);
    op->proof = NULL;
}

static void proof_done(struct operation *op, const struct error *err)
{
    json *value = NULL;
    if (err->code == ERR_NONE) {
        value = op->proof->value;
        op->proof->value = NULL;
    }
    finish(op, value, err);
}

static void ask_ec2(struct operation *op);

static const char *verdict(const struct error *err)
{
    if (str_eq(err->wire, "DryRunOperation"))
        return "allowed";
    /* An implementation without DryRun answers the question itself: that is a yes as well. */
    if (err->code == ERR_NONE)
        return "allowed";
    return err->code == ERR_FORBIDDEN ? "denied" : "unknown";
}

static void on_ec2(void *arg, struct aws_answer *answer)
{
    struct operation *op = arg;
    struct proof *p = op->proof;
    op->call = NULL;
    count(op->client, EFFECT_PROVE_ROLE, ERR_NONE);
    json_add_str(p->ec2, proof_actions[p->next], verdict(&answer->error));
    p->next++;
    ask_ec2(op);
}

static void ask_ec2(struct operation *op)
{
    struct proof *p = op->proof;
    struct error err;
    error_clear(&err);
    if (p->next == (int)(sizeof proof_actions / sizeof *proof_actions)) {
        proof_done(op, &err);
        return;
    }
    struct sigv4_credentials cred = {p->access_key_id, p->secret, p->session};
    struct effect *e = effect_new(op->arena, EFFECT_EC2_DESCRIBE_INSTANCES, "DryRun", "true", NULL);
    struct aws_call_request r = {
        .effect = e, .action = proof_actions[p->next], .service = SERVICE_EC2, .region = p->region, .credentials = &cred};
    op->call = aws_call_start(&op->client->t, &r, on_ec2, op, &err);
    if (!op->call)
        proof_done(op, &err);
}

static struct secret *take_secret(const json *credentials, const char *member)
{
    const char *s = json_str(credentials, member);
    return str_empty(s) ? NULL : secret_new(s, strlen(s));
}

static void on_exchange(void *arg, struct aws_answer *answer)
{
    struct operation *op = arg;
    struct proof *p = op->proof;
    struct error err = answer->error;
    const json *credentials = json_get(answer->value, "Credentials");
    op->call = NULL;
    count(op->client, EFFECT_PROVE_ROLE, err.code);
    p->access_key_id = arena_strdup(op->arena, json_str(credentials, "AccessKeyId"));
    p->secret = take_secret(credentials, "SecretAccessKey");
    p->session = take_secret(credentials, "SessionToken");
    if (err.code == ERR_NONE && (!p->access_key_id || !p->secret))
        error_set(&err, ERR_PARSE, "AssumeRoleWithWebIdentity answered without credentials");
    if (err.code) {
        proof_done(op, &err);
        return;
    }
    json_add_bool(p->value, "assumed", true);
    ask_ec2(op);
}

static void on_proof_start(void *arg)
{
    struct operation *op = arg;
    struct error err;
    op->timer = 0;
    struct effect *e = effect_new(op->arena, EFFECT_STS_GET_CALLER_IDENTITY, "RoleArn", effect_arg(op->effect, "RoleArn"),
                                  "RoleSessionName", "cni-iam-proof", "DurationSeconds", "900", NULL);
    struct aws_call_request r = {.effect = e,
                                 .action = "AssumeRoleWithWebIdentity",
                                 .service = SERVICE_STS,
                                 .region = op->proof->region,
                                 .secret_token = op->proof->session};
    op->call = aws_call_start(&op->client->t, &r, on_exchange, op, &err);
    secret_free(op->proof->session);
    op->proof->session = NULL;
    if (!op->call)
        proof_done(op, &err);
}

uint64_t aws_prove_role(struct aws_client *c, const struct effect *e, const struct secret *token, effect_done_fn done, void *arg)
{
    struct operation *op = operation_new(c, e, done, arg);
    struct proof *p = ARENA_NEW(op->arena, struct proof);
    op->proof = p;
    p->region = effect_arg(op->effect, "Region");
    p->session = secret_dup(token);
    p->value = json_object();
    p->ec2 = json_add_object(p->value, "ec2");
    op->timer = c->t.clock.timer_start(c->t.clock.ctx, 0, on_proof_start, op);
    return op->ticket;
}
