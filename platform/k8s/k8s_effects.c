#include "platform/k8s/k8s_effects.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/k8s/effect_request.h"
#include "platform/k8s/token.h"

#define DEFAULT_AUDIENCE "sts.amazonaws.com"

/* One effect under way: exactly one of call, token and timer will call back. */
struct job {
    struct k8s_effects *owner;
    struct job *next;
    uint64_t ticket;
    struct arena *arena;
    enum effect_kind kind;
    effect_done_fn done;
    void *arg;
    struct k8s_call *call;
    struct k8s_token_call *token;
    uint64_t timer;
    struct error failure; /* what the timer will report */
    /* LIST */
    struct k8s_request request;
    json *list;
    size_t items;
    size_t pages;
    bool in_one_piece;
};

struct k8s_effects {
    struct k8s_client *client;
    struct clock clock;
    struct job *jobs;
    uint64_t last_ticket;
};

struct k8s_effects *k8s_effects_new(struct k8s_client *c) {
    struct k8s_effects *x = calloc(1, sizeof *x);
    if (x == NULL) {
        die("out of memory");
    }
    x->client = c;
    x->clock = loop_clock(k8s_client_loop(c));
    return x;
}

/* ---- jobs ---- */

static void job_free(struct job *j) {
    struct job **at = &j->owner->jobs;
    while (*at != j) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = j->next;
    json_free(j->list);
    arena_free(j->arena);
    free(j);
}

static void job_stop(struct job *j) {
    k8s_call_cancel(j->call);
    k8s_token_cancel(j->token);
    j->owner->clock.timer_stop(j->owner->clock.ctx, j->timer);
    job_free(j);
}

void k8s_effects_free(struct k8s_effects *x) {
    if (x == NULL) {
        return;
    }
    while (x->jobs != NULL) {
        job_stop(x->jobs);
    }
    free(x);
}

/* Takes value. */
static void finish(struct job *j, json *value, const struct error *err, const char *request_id) {
    struct effect_result result = {.error = *err, .value = value, .request_id = request_id};
    effect_done_fn done = j->done;
    void *arg = j->arg;
    job_free(j);
    done(arg, &result);
    json_free(result.value);
}

static void on_failure_timer(void *arg) {
    struct job *j = arg;
    j->timer = 0;
    finish(j, NULL, &j->failure, "");
}

static void fail_soon(struct job *j) {
    j->timer = j->owner->clock.timer_start(j->owner->clock.ctx, 0, on_failure_timer, j);
}

/* ---- one call ---- */

static json *review_value(const json *body) {
    json *o = json_object();
    json_add_bool(o, "allowed", json_bool(body, "status.allowed", false));
    json_add_str(o, "reason", json_str(body, "status.reason"));
    return o;
}

static void on_answer(void *arg, struct k8s_answer *answer) {
    struct job *j = arg;
    struct error err = answer->error;
    json *value = NULL;
    j->call = NULL;
    if (err.code == ERR_NONE && j->kind == EFFECT_K8S_ACCESS_REVIEW) {
        value = review_value(answer->body);
    } else if (err.code == ERR_NONE) {
        value = answer->body;
        answer->body = NULL;
    }
    if (err.code == ERR_NONE && value == NULL) {
        (void)error_set(&err, ERR_PARSE, "the API server's answer is empty");
    }
    finish(j, value, &err, answer->request_id);
}

/* ---- LIST: pages merged (K-L5) ---- */

static void on_page(void *arg, struct k8s_answer *answer);

static void ask_page(struct job *j, const char *continue_token) {
    struct k8s_request r = j->request;
    if (j->in_one_piece) {
        r.nquery--; /* the limit, which is the last one */
    }
    if (!str_empty(continue_token)) {
        r.query[r.nquery++] = (struct k8s_query){"continue", continue_token};
    }
    j->pages++;
    j->call = k8s_client_send(j->owner->client, &r, on_page, j);
}

/* Moves the items of `from` behind those of the list: appending is cheap, copying a few megabytes is not. */
static void move_items(struct job *j, json *from) {
    json *to = cJSON_GetObjectItemCaseSensitive(j->list, "items");
    assert(to != NULL && from != NULL);
    while (from->child != NULL) {
        json_push(to, cJSON_DetachItemViaPointer(from, from->child));
        j->items++;
    }
}

static bool take_page(struct job *j, struct k8s_answer *answer, struct error *err) {
    json *items = cJSON_GetObjectItemCaseSensitive(answer->body, "items");
    if (items != NULL && cJSON_IsNull(items)) {
        (void)json_add_array(answer->body, "items");
        items = cJSON_GetObjectItemCaseSensitive(answer->body, "items");
    }
    if (!json_is_array(items)) {
        return error_set(err, ERR_PARSE, "the API server's answer to a LIST is no list");
    }
    if (j->list == NULL) {
        j->items = json_array_size(items);
        j->list = answer->body;
        answer->body = NULL;
    } else {
        move_items(j, items);
    }
    if (j->items > K8S_LIST_ITEMS_MAX || j->pages >= K8S_LIST_PAGES_MAX) {
        return error_set(err, ERR_TOO_LARGE, "a list has more than %d items or %d pages", K8S_LIST_ITEMS_MAX,
                         K8S_LIST_PAGES_MAX);
    }
    return true;
}

/* The merged list is what one answer would have been: the first page's resourceVersion, no continue. */
static json *whole_list(struct job *j) {
    json *list = j->list;
    json *metadata = cJSON_GetObjectItemCaseSensitive(list, "metadata");
    if (metadata != NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(metadata, "continue");
        cJSON_DeleteItemFromObjectCaseSensitive(metadata, "remainingItemCount");
    }
    j->list = NULL;
    return list;
}

static void on_page(void *arg, struct k8s_answer *answer) {
    struct job *j = arg;
    struct error err = answer->error;
    char *next = NULL;

    j->call = NULL;
    if (err.code == ERR_GONE && j->list != NULL && !j->in_one_piece) {
        /* The token died with a compaction. The one in the 410 would give an inconsistent list: read all of it at once.
         */
        json_free(j->list);
        j->list = NULL;
        j->in_one_piece = true;
        ask_page(j, NULL);
        return;
    }
    if (err.code == ERR_NONE) {
        const json *metadata = json_get(answer->body, "metadata");
        next = arena_strdup(j->arena, json_key_str(metadata, "continue"));
        (void)take_page(j, answer, &err);
    }
    if (err.code != ERR_NONE) {
        finish(j, NULL, &err, answer->request_id);
    } else if (!str_empty(next)) {
        ask_page(j, next);
    } else {
        finish(j, whole_list(j), &err, answer->request_id);
    }
}

/* ---- TOKEN_ISSUER ---- */

static void on_token(void *arg, const struct secret *token, int64_t expires_wall_ms, const struct error *token_err) {
    struct job *j = arg;
    struct error err = *token_err;
    struct token_claims claims;
    json *value = NULL;

    (void)expires_wall_ms;
    j->token = NULL;
    if (err.code == ERR_NONE && token_claims(secret_expose(token), secret_len(token), &claims, j->arena, &err)) {
        value = json_object();
        json_add_str(value, "issuer", claims.issuer);
        json_add_str(value, "subject", claims.subject);
        json *audiences = json_add_array(value, "audiences");
        for (size_t i = 0; i < claims.audiences.n; i++) {
            json_push_str(audiences, claims.audiences.v[i]);
        }
    }
    finish(j, value, &err, "");
}

static bool ask_token(struct job *j, const struct effect *e) {
    const char *ns = effect_arg(e, "namespace");
    const char *name = effect_arg(e, "name");
    if (str_empty(ns) || str_empty(name)) {
        return error_set(&j->failure, ERR_INVALID, "TokenIssuer needs namespace and name of a ServiceAccount");
    }
    j->token = k8s_token_request(j->owner->client, ns, name, str_or(effect_arg(e, "audience"), DEFAULT_AUDIENCE),
                                 TOKEN_SECONDS_MIN, on_token, j);
    return true;
}

/* ---- the port ---- */

static bool start(struct job *j, const struct effect *e) {
    if (e->kind == EFFECT_K8S_TOKEN_ISSUER) {
        return ask_token(j, e);
    }
    if (!effect_request(e, &j->request, j->arena, &j->failure)) {
        return false;
    }
    if (e->kind == EFFECT_K8S_LIST) {
        ask_page(j, NULL);
    } else {
        j->call = k8s_client_send(j->owner->client, &j->request, on_answer, j);
    }
    return true;
}

static uint64_t submit(void *ctx, const struct effect *e, effect_done_fn done, void *arg) {
    struct k8s_effects *x = ctx;
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        die("out of memory");
    }
    j->owner = x;
    j->ticket = ++x->last_ticket;
    j->arena = arena_new(0);
    j->kind = e->kind;
    j->done = done;
    j->arg = arg;
    j->next = x->jobs;
    x->jobs = j;
    /* Pages are asked for later, when the caller's effect may be gone. */
    if (!start(j, effect_dup(e, j->arena))) {
        fail_soon(j);
    }
    return j->ticket;
}

static void cancel(void *ctx, uint64_t ticket) {
    struct k8s_effects *x = ctx;
    for (struct job *j = x->jobs; j != NULL; j = j->next) {
        if (j->ticket == ticket) {
            job_stop(j);
            return;
        }
    }
}

struct effector k8s_effects_effector(struct k8s_effects *x) {
    return (struct effector){.ctx = x, .submit = submit, .cancel = cancel};
}
