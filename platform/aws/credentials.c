/* credentials.c - the chain, the cache, the waiters. Providers: credentials_file.c, credentials_sts.c, credentials_local.c. */
#include "platform/aws/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "platform/aws/credentials_internal.h"
#include "platform/base/log.h"

static enum provider_start (*const chain[])(struct credentials *c) = {
    provider_environment, provider_assume_role, provider_web_identity, provider_credentials_file,
    provider_process,     provider_config_file, provider_container,    provider_imds};
#define CHAIN (sizeof chain / sizeof *chain)

void found_done(struct found *f)
{
    free(f->access_key_id);
    secret_free(f->secret_access_key);
    secret_free(f->session_token);
    memset(f, 0, sizeof *f);
}

struct credentials *credentials_new(struct aws_transport *t)
{
    struct credentials *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->t = t;
    return c;
}

static void end_refresh(struct credentials *c)
{
    arena_free(c->arena);
    c->arena = NULL;
    buf_done(&c->tried);
    found_done(&c->base);
    if (c->imds_token)
        explicit_bzero(c->imds_token, strlen(c->imds_token));
    free(c->imds_token);
    c->imds_token = NULL;
    c->nroles = 0;
    c->refreshing = false;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    aws_call_cancel(c->call);
    http_cancel(c->http);
    process_cancel(c->process);
    c->t->clock.timer_stop(c->t->clock.ctx, c->timer);
    if (c->refreshing)
        end_refresh(c);
    found_done(&c->now);
    free(c);
}

static int64_t wall(const struct credentials *c)
{
    return c->t->clock.wall_ms(c->t->clock.ctx) + c->t->skew_ms;
}

static bool holds(const struct credentials *c, int64_t margin_ms)
{
    return c->valid && (c->now.expires_wall_ms == 0 || c->now.expires_wall_ms - wall(c) > margin_ms);
}

static void lend(const struct credentials *c, credentials_fn done, void *arg)
{
    struct sigv4_credentials cred = {c->now.access_key_id, c->now.secret_access_key, c->now.session_token};
    struct error ok;
    error_clear(&ok);
    done(arg, &cred, &ok);
}

static void answer_all(struct credentials *c, const struct error *err)
{
    struct waiter *list = malloc(sizeof c->waiters);
    size_t n = c->nwaiters;
    if (!list)
        die("out of memory");
    memcpy(list, c->waiters, n * sizeof *list);
    c->nwaiters = 0;
    for (size_t i = 0; i < n; i++) {
        if (err->code == ERR_NONE)
            lend(c, list[i].done, list[i].arg);
        else
            list[i].done(list[i].arg, NULL, err);
    }
    free(list);
}

static void note(struct credentials *c, const char *name, const char *why)
{
    buf_printf(&c->tried, "%s%s: %s", c->tried.n ? "; " : "", name, why);
}

static void finish(struct credentials *c, const struct error *err)
{
    struct error result = *err;
    if (err->code && holds(c, CREDENTIALS_MANDATORY_MS)) {
        LOG_WARN("aws", "credentials not refreshed, the old ones still hold", F_STR("error", err->message));
        error_clear(&result);
    } else if (err->code) {
        c->valid = false;
    }
    end_refresh(c);
    answer_all(c, &result);
}

static void try_next(struct credentials *c)
{
    while (c->step < (int)CHAIN)
        if (chain[c->step++](c) == STARTED)
            return;
    struct error err;
    error_set(&err, ERR_NO_CREDENTIALS, "no AWS credentials; tried %s", buf_str(&c->tried));
    finish(c, &err);
}

void provider_found(struct credentials *c, struct found *f)
{
    struct error ok;
    found_done(&c->now);
    c->now = *f;
    memset(f, 0, sizeof *f);
    c->valid = true;
    error_clear(&ok);
    finish(c, &ok);
}

/* Configured and broken: falling through to another identity would be a surprise. */
void provider_failed(struct credentials *c, const char *name, const char *why)
{
    struct error err;
    error_set(&err, ERR_NO_CREDENTIALS, "AWS credentials from %s: %s", name, why);
    finish(c, &err);
}

void provider_absent(struct credentials *c, const char *name, const char *why)
{
    note(c, name, why);
    try_next(c);
}

static void begin(void *arg)
{
    struct credentials *c = arg;
    c->timer = 0;
    c->step = 0;
    c->attempts = 0;
    c->arena = arena_new(0);
    buf_init(&c->tried, 4096);
    note(c, "environment, profile", "nothing set");
    try_next(c);
}

static void refresh(struct credentials *c)
{
    if (c->refreshing)
        return;
    c->refreshing = true;
    /* From the loop: a provider that answers at once must not answer inside of get. */
    c->timer = c->t->clock.timer_start(c->t->clock.ctx, 0, begin, c);
}

void credentials_get(struct credentials *c, credentials_fn done, void *arg)
{
    if (holds(c, CREDENTIALS_REFRESH_MS)) {
        lend(c, done, arg);
        return;
    }
    refresh(c);
    if (holds(c, CREDENTIALS_MANDATORY_MS)) {
        lend(c, done, arg); /* one refreshes, the others go on with what still holds */
        return;
    }
    if (c->nwaiters >= CREDENTIALS_WAITERS_MAX) {
        struct error err;
        error_set(&err, ERR_INTERNAL, "too many calls wait for credentials");
        done(arg, NULL, &err);
        return;
    }
    c->waiters[c->nwaiters++] = (struct waiter){done, arg};
}

void credentials_forget_waiter(struct credentials *c, void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->nwaiters; i++)
        if (c->waiters[i].arg != arg)
            c->waiters[kept++] = c->waiters[i];
    c->nwaiters = kept;
}

void credentials_invalidate(struct credentials *c)
{
    c->valid = false;
}
