/* credentials.c - the chain, what it found, who waits for it. Providers: credentials_file.c, credentials_process.c,
 * credentials_sts.c, credentials_container.c, credentials_imds.c. */
#include "platform/aws/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "platform/aws/credentials_internal.h"
#include "platform/base/log.h"

#define TRIED_MAX 4096

static enum provider_start (*const chain[])(struct credentials *c) = {
    provider_environment, provider_assume_role, provider_web_identity, provider_credentials_file,
    provider_process,     provider_config_file, provider_container,    provider_imds};
#define CHAIN ((int)(sizeof chain / sizeof *chain))

const char *provider_variable(const char *name) {
    const char *v = getenv(name);
    return str_empty(v) ? NULL : v;
}

void found_done(struct found *f) {
    free(f->access_key_id);
    secret_free(f->secret_access_key);
    secret_free(f->session_token);
    memset(f, 0, sizeof *f);
}

struct credentials *credentials_new(struct aws_transport *t) {
    struct credentials *c = calloc(1, sizeof *c);
    if (!c) {
        die("out of memory");
    }
    c->t = t;
    return c;
}

static void forget_keys(const struct ini *ini) {
    ini_forget(ini, "aws_secret_access_key");
    ini_forget(ini, "aws_session_token");
}

static void end_refresh(struct credentials *c) {
    forget_keys(c->config);
    forget_keys(c->shared);
    c->config = c->shared = NULL;
    arena_free(c->arena);
    c->arena = NULL;
    buf_done(&c->tried);
    found_done(&c->base);
    secret_free(c->imds_token);
    c->imds_token = NULL;
    c->nroles = 0;
    c->refreshing = false;
}

void credentials_free(struct credentials *c) {
    if (!c) {
        return;
    }
    if (c->gone) {
        *c->gone = true;
    }
    aws_call_cancel(c->call);
    http_cancel(c->http);
    process_cancel(c->process);
    c->t->clock.timer_stop(c->t->clock.ctx, c->timer);
    if (c->refreshing) {
        end_refresh(c);
    }
    found_done(&c->now);
    free(c);
}

static int64_t wall(const struct credentials *c) {
    return c->t->clock.wall_ms(c->t->clock.ctx) + c->t->skew_ms;
}

static int64_t boot(const struct credentials *c) {
    return c->t->clock.boot_ms(c->t->clock.ctx);
}

static bool holds(const struct credentials *c, int64_t margin_ms) {
    return c->valid && (c->now.expires_wall_ms == 0 || c->now.expires_wall_ms - wall(c) > margin_ms);
}

static void lend(const struct credentials *c, credentials_fn done, void *arg) {
    struct sigv4_credentials cred = {c->now.access_key_id, c->now.secret_access_key, c->now.session_token};
    struct error ok;
    error_clear(&ok);
    done(arg, &cred, &ok);
}

/* One by one from the front: a callback may forget other waiters, ask again, or free everything. */
static void answer_all(struct credentials *c, const struct error *err) {
    bool gone = false;
    c->gone = &gone; /* cppcheck-suppress autoVariables ; cleared below, while this frame lives */
    c->answering = c->nwaiters;
    while (c->answering > 0) {
        struct waiter w = c->waiters[0];
        c->answering--;
        c->nwaiters--;
        memmove(c->waiters, c->waiters + 1, c->nwaiters * sizeof *c->waiters);
        if (err->code == ERR_NONE) {
            lend(c, w.done, w.arg);
        } else {
            w.done(w.arg, NULL, err);
        }
        if (gone) {
            return;
        }
    }
    c->gone = NULL;
}

static void note(struct credentials *c, const char *name, const char *why) {
    (void)buf_printf(&c->tried, "%s%s: %s", c->tried.n ? "; " : "", name, why);
}

static void finish(struct credentials *c, const struct error *err) {
    struct error result = *err;
    if (err->code && holds(c, CREDENTIALS_LAST_USE_MS)) {
        LOG_WARN("aws", "credentials not refreshed, the old ones still hold", F_STR("error", err->message));
        error_clear(&result);
    } else if (err->code) {
        c->valid = false;
    }
    c->pause_until_boot_ms = boot(c) + CREDENTIALS_PAUSE_MS;
    end_refresh(c);
    answer_all(c, &result);
}

static void try_next(struct credentials *c) {
    struct error err;
    while (c->step < CHAIN) {
        if (chain[c->step++](c) == STARTED) {
            return;
        }
    }
    (void)error_set(&err, ERR_NO_CREDENTIALS, "no AWS credentials: %s", buf_str(&c->tried));
    finish(c, &err);
}

static void provider_found(struct credentials *c, struct found *f) {
    struct error ok;
    found_done(&c->now);
    c->now = *f;
    memset(f, 0, sizeof *f);
    c->valid = true;
    c->generation++;
    error_clear(&ok);
    finish(c, &ok);
}

static void fail(struct credentials *c, enum err_code code, const char *name, const char *why) {
    struct error err;
    bool others = c->tried.n > 0;
    (void)error_set(&err, code, "AWS credentials from %s: %s%s%s%s", name, why, others ? " (before it: " : "",
                    buf_str(&c->tried), others ? ")" : "");
    finish(c, &err);
}

void provider_failed(struct credentials *c, const char *name, const char *why) {
    fail(c, ERR_NO_CREDENTIALS, name, why);
}

/* What was to be done was surely not sent, whatever became of the question for credentials. */
void provider_unreachable(struct credentials *c, const char *name, const char *why) {
    fail(c, ERR_UNREACHABLE, name, why);
}

void provider_absent(struct credentials *c, const char *name, const char *why) {
    note(c, name, why);
    try_next(c);
}

enum provider_start not_configured(struct credentials *c, const char *name, const char *why) {
    note(c, name, why);
    return NOT_CONFIGURED;
}

/* --- a role may stand on it: credentials_sts.c --- */

void provider_base(struct credentials *c, struct found *f) {
    if (c->nroles == 0) {
        provider_found(c, f);
        return;
    }
    found_done(&c->base);
    c->base = *f;
    memset(f, 0, sizeof *f);
    assume_next_role(c);
}

/* --- refreshing --- */

static void begin(void *arg) {
    struct credentials *c = arg;
    const struct aws_settings *s = c->t->settings;
    struct error err;
    c->timer = 0;
    c->step = 0;
    c->attempts = 0;
    c->arena = arena_new(0);
    buf_init(&c->tried, TRIED_MAX);
    if (aws_ini_load(s->config_file, &c->config, c->arena, &err) &&
        aws_ini_load(s->credentials_file, &c->shared, c->arena, &err)) {
        try_next(c);
    } else {
        provider_failed(c, "the shared files", err.message);
    }
}

static void refresh(struct credentials *c) {
    if (!c->refreshing) {
        c->refreshing = true;
        /* From the loop: a provider that answers at once must not answer inside of get. */
        c->timer = c->t->clock.timer_start(c->t->clock.ctx, 0, begin, c);
    }
}

void credentials_get(struct credentials *c, credentials_fn done, void *arg) {
    bool just_tried = holds(c, CREDENTIALS_LAST_USE_MS) && boot(c) < c->pause_until_boot_ms;
    if (holds(c, CREDENTIALS_ADVISORY_MS) || (just_tried && !c->refreshing)) {
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
        (void)error_set(&err, ERR_TOO_LARGE, "more than %d calls wait for credentials", CREDENTIALS_WAITERS_MAX);
        done(arg, NULL, &err);
        return;
    }
    c->waiters[c->nwaiters++] = (struct waiter){done, arg};
}

void credentials_forget_waiter(struct credentials *c, const void *arg) {
    size_t kept = 0, answering = c->answering;
    for (size_t i = 0; i < c->nwaiters; i++) {
        if (c->waiters[i].arg != arg) {
            c->waiters[kept++] = c->waiters[i];
        } else if (i < answering) {
            c->answering--;
        }
    }
    c->nwaiters = kept;
}

uint64_t credentials_generation(const struct credentials *c) {
    return c->generation;
}

void credentials_invalidate(struct credentials *c, uint64_t generation) {
    if (c->generation == generation) {
        c->valid = false;
    }
}
