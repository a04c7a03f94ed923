/* checker_call.c - the operators' requests, taken apart and handed round. */
#include <assert.h>
#include <string.h>

#include "simulator/checker_internal.h"

#define PATH_MAX_SEGMENTS 12

const char *call_param(const struct call *c, const char *name) {
    for (size_t i = 0; i < c->nparams; i++)
        if (str_eq(c->params[i].name, name))
            return c->params[i].value;
    return "";
}

const json *call_body(struct call *c) {
    struct error err;
    if (!c->body && !c->to_aws && c->req->body_len > 0)
        c->body = json_parse(c->req->body, c->req->body_len, &err);
    return c->body;
}

bool call_is(const struct call *c, const char *action) {
    return c->to_aws && str_eq(c->action, action);
}

bool call_is_kube(const struct call *c, const char *method, const char *resource, const char *subresource) {
    return !c->to_aws && str_eq(c->req->method, method) && str_eq(c->resource, resource) &&
           str_eq(c->subresource, subresource);
}

static char *decoded(struct arena *a, const char *s, size_t n) {
    char *copy = arena_strndup(a, s, n);
    for (char *p = copy; *p; p++)
        if (*p == '+')
            *p = ' ';
    return str_percent_decode(copy, a);
}

/* "A=1&B=2": the body of a query call, or the query of a path. */
static void read_form(struct call *c, const char *text) {
    while (text && *text && c->nparams < CHECKER_PARAMS_MAX) {
        size_t n = strcspn(text, "&"), name = strcspn(text, "=&");
        c->params[c->nparams++] = (struct sim_aws_param){
            decoded(c->a, text, name), name < n ? str_or(decoded(c->a, text + name + 1, n - name - 1), "") : ""};
        text += n + (text[n] == '&');
    }
}

/* /api/v1/… or /apis/<group>/<version>/…, then [namespaces/<ns>/]<resource>[/<name>[/<subresource>]] */
static void read_path(struct call *c) {
    struct strlist part = str_split(c->req->path, '/', c->a);
    size_t i = part.n > 0 && str_eq(part.v[0], "api") ? 2 : 3;
    if (part.n > i + 2 && str_eq(part.v[i], "namespaces")) {
        c->ns = part.v[i + 1];
        i += 2;
    }
    c->resource = i < part.n ? part.v[i] : NULL;
    c->name = i + 1 < part.n ? part.v[i + 1] : NULL;
    c->subresource = i + 2 < part.n ? part.v[i + 2] : NULL;
}

static void read_kube(struct call *c) {
    read_path(c);
    read_form(c, c->req->query);
    c->dry_run = str_eq(call_param(c, "dryRun"), "All");
    c->watch = str_eq(call_param(c, "watch"), "true") || str_eq(call_param(c, "watch"), "1");
    c->resource_version = call_param(c, "resourceVersion");
}

static void read_call(struct call *c, const struct sim_checker_call *from) {
    assert(from->replica >= 0 && from->replica < CHECKER_REPLICAS_MAX);
    c->replica = from->replica;
    c->to_aws = from->to_aws;
    c->changes = from->changes;
    c->req = from->req;
    c->a = arena_new(0);
    c->action = "";
    if (!c->to_aws) {
        read_kube(c);
        return;
    }
    read_form(c, c->req->body);
    c->action = call_param(c, "Action");
}

static void call_done(struct call *c) {
    json_free(c->body);
    arena_free(c->a);
}

void sim_checker_asked(struct sim_checker *c, const struct sim_checker_call *call) {
    struct call k = {0};
    read_call(&k, call);
    unknown_judges(c, &k);
    unknown_judges_watch(c, &k);
    secrets_judges(c, &k);
    if (!k.to_aws)
        rollout_judges(c, &k);
    if (k.changes) {
        detach_judges(c, &k);
        leader_judges(c, &k);
        liveness_judges(c);
    }
    if (k.changes && k.to_aws)
        aws_judges(c, &k);
    call_done(&k);
    c->at_hand = true;
}

void sim_checker_served(struct sim_checker *c, const struct sim_checker_call *call, int status, const char *body) {
    struct call k = {0};
    c->at_hand = false;
    read_call(&k, call);
    secrets_heard(c, &k, body);
    if (k.changes) {
        detach_heard(c, &k, status);
        leader_heard(c, &k, status, body);
        unknown_heard(c, &k, status);
        liveness_heard(c, &k, status, body);
    }
    call_done(&k);
}

void sim_checker_begins(struct sim_checker *c, int replica, const char *identity) {
    assert(replica >= 0 && replica < CHECKER_REPLICAS_MAX);
    struct checker_replica *r = &c->replicas[replica];
    (void)str_copy(r->identity, sizeof r->identity, identity);
    r->swapped = false;
    c->told = true;
    strmap_free(r->versions);
    r->versions = NULL;
}
