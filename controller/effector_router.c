#include "controller/effector_router.h"

#include <stdlib.h>
#include <string.h>

#include "platform/aws/proof.h"
#include "platform/base/arena.h"
#include "platform/k8s/token.h"

/* One effect under way. For most it only maps our ticket to the part's. */
struct route {
    struct effector_router *router;
    struct route *next, *prev;
    uint64_t ticket; /* ours */
    uint64_t inner;  /* the part's; 0 while the token is asked for */
    enum effect_service service;
    struct k8s_token_call *token;
    struct arena *arena;
    const struct effect *effect;
    effect_done_fn done;
    void *arg;
};

struct effector_router {
    struct k8s_client *k8s;
    struct effector k8s_effector, aws_effector;
    struct aws_client *aws;
    struct route *routes;
    uint64_t last_ticket;
};

static void drop(struct route *r) {
    if (r->prev)
        r->prev->next = r->next;
    else
        r->router->routes = r->next;
    if (r->next)
        r->next->prev = r->prev;
    arena_free(r->arena);
    free(r);
}

static void on_done(void *arg, struct effect_result *result) {
    struct route *r = arg;
    effect_done_fn done = r->done;
    void *done_arg = r->arg;
    drop(r);
    done(done_arg, result);
}

static void on_token(void *arg, const struct secret *token, int64_t expires_wall_ms, const struct error *err) {
    struct route *r = arg;
    (void)expires_wall_ms;
    r->token = NULL;
    if (err->code) {
        struct effect_result result = {.error = *err, .request_id = ""};
        error_wrap(&result.error, "a token for the proof");
        on_done(r, &result);
        return;
    }
    r->inner = aws_prove_role(r->router->aws, r->effect, token, on_done, r);
}

static struct route *route_new(struct effector_router *x, const struct effect *e, effect_done_fn done, void *arg) {
    struct route *r = calloc(1, sizeof *r);
    if (!r)
        die("out of memory");
    r->router = x;
    r->ticket = ++x->last_ticket;
    r->service = effect_service(e->kind);
    r->arena = arena_new(0);
    r->done = done;
    r->arg = arg;
    r->next = x->routes;
    if (x->routes)
        x->routes->prev = r;
    x->routes = r;
    return r;
}

static uint64_t submit(void *ctx, const struct effect *e, effect_done_fn done, void *arg) {
    struct effector_router *x = ctx;
    struct route *r = route_new(x, e, done, arg);
    uint64_t ticket = r->ticket;
    if (r->service == SERVICE_PROOF) {
        r->effect = effect_dup(e, r->arena);
        r->token = k8s_token_request(x->k8s, effect_arg(e, "Namespace"), effect_arg(e, "ServiceAccount"),
                                     effect_arg(e, "Audience"), PROOF_TOKEN_SECONDS, on_token, r);
    } else if (r->service == SERVICE_KUBERNETES) {
        r->inner = x->k8s_effector.submit(x->k8s_effector.ctx, e, on_done, r);
    } else {
        r->inner = x->aws_effector.submit(x->aws_effector.ctx, e, on_done, r);
    }
    return ticket;
}

static void cancel_route(struct route *r) {
    struct effector *part = r->service == SERVICE_KUBERNETES ? &r->router->k8s_effector : &r->router->aws_effector;
    if (r->token)
        k8s_token_cancel(r->token);
    else
        part->cancel(part->ctx, r->inner);
    drop(r);
}

static void cancel(void *ctx, uint64_t ticket) {
    struct effector_router *x = ctx;
    for (struct route *r = x->routes; r; r = r->next)
        if (r->ticket == ticket) {
            cancel_route(r);
            return;
        }
}

struct effector_router *effector_router_new(struct k8s_client *k8s, struct k8s_effects *effects,
                                            struct aws_client *aws) {
    struct effector_router *x = calloc(1, sizeof *x);
    if (!x)
        die("out of memory");
    x->k8s = k8s;
    x->aws = aws;
    x->k8s_effector = k8s_effects_effector(effects);
    x->aws_effector = aws_client_effector(aws);
    return x;
}

void effector_router_free(struct effector_router *x) {
    if (!x)
        return;
    for (struct route *r = x->routes, *next; r; r = next) {
        next = r->next;
        cancel_route(r);
    }
    free(x);
}

struct effector effector_router_effector(struct effector_router *x) {
    return (struct effector){.ctx = x, .submit = submit, .cancel = cancel};
}
