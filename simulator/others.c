/* others.c - who there is, and how all of them speak to the servers. */
#include "simulator/others.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/others_internal.h"

static const struct {
    const char *who;
    const struct sim_verb *verbs;
} actors[] = {
    {"human", human_verbs},
    {"terraform", terraform_verbs},
    {"eksctl", eksctl_verbs},
    {"ack", ack_verbs},
    {"gitops", gitops_verbs},
    {"eks", eks_addon_verbs},
    {"pod-identity", pod_identity_verbs},
    {"karpenter", karpenter_verbs},
    {"trouble", trouble_verbs},
};
#define ACTORS (sizeof actors / sizeof *actors)

/* --- names --- */

static const struct sim_verb *verbs_of(const char *who) {
    for (size_t i = 0; i < ACTORS; i++)
        if (str_eq(actors[i].who, who))
            return actors[i].verbs;
    return NULL;
}

bool sim_actor_is(const char *who) {
    return verbs_of(who) != NULL;
}

const struct sim_verb *sim_verb_find(const char *who, const char *does) {
    const struct sim_verb *v = verbs_of(who);
    while (v && v->does && !str_eq(v->does, does))
        v++;
    return v && v->does ? v : NULL;
}

const char *const *sim_verb_params(const struct sim_verb *v) {
    return v->params;
}

static bool add_name(char *out, size_t size, const char *name) {
    size_t n = strlen(out);
    return (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", name) < size - n;
}

bool sim_actor_names(char *out, size_t size) {
    bool whole = true;
    out[0] = '\0';
    for (size_t i = 0; i < ACTORS; i++)
        whole = add_name(out, size, actors[i].who) && whole;
    return whole;
}

bool sim_verb_names(const char *who, char *out, size_t size) {
    bool whole = true;
    out[0] = '\0';
    for (const struct sim_verb *v = verbs_of(who); v && v->does; v++)
        whole = add_name(out, size, v->does) && whole;
    return whole;
}

/* --- arguments --- */

const char *deed_arg(const struct deed *d, const char *name) {
    for (size_t i = 0; i < d->nargs; i++)
        if (str_eq(d->args[i].name, name))
            return d->args[i].value;
    return NULL;
}

int64_t deed_duration_ms(const struct deed *d, const char *name, int64_t fallback) {
    int64_t ms = 0;
    const char *text = deed_arg(d, name);
    if (!text)
        return fallback;
    if (!str_to_duration_ms(text, &ms))
        deed_failed(d, "%s: %.60s is no duration", name, text);
    return ms;
}

int64_t deed_number(const struct deed *d, const char *name, int64_t fallback) {
    int64_t n = 0;
    const char *text = deed_arg(d, name);
    if (!text)
        return fallback;
    if (!str_to_int64(text, &n))
        deed_failed(d, "%s: %.60s is no number", name, text);
    return n;
}

bool deed_failed(const struct deed *d, const char *fmt, ...) {
    va_list ap;
    if (d->err->code != ERR_NONE)
        return false;
    va_start(ap, fmt);
    const char *message = arena_vprintf(d->a, fmt, ap);
    va_end(ap);
    return error_set(d->err, ERR_INVALID, "%s: %s", d->who, message);
}

/* --- AWS --- */

static void key_of(const struct deed *d, char out[64]) {
    snprintf(out, 64, "AKIASIMULATED-%s", d->who);
}

static bool call_aws(struct deed *d, const struct sim_aws_call *begun, json **out, va_list ap) {
    struct sim_aws_param params[SIM_DEED_CALL_PARAMS_MAX];
    struct sim_aws_call whole = *begun, *call = &whole;
    struct sim_aws_answer answer;
    char key[64];
    for (const char *name; (name = va_arg(ap, const char *)) != NULL;) {
        const char *value = va_arg(ap, const char *);
        if (value && call->nparams == SIM_DEED_CALL_PARAMS_MAX)
            die("simulator: a call of more than %d parameters", SIM_DEED_CALL_PARAMS_MAX);
        if (value)
            params[call->nparams++] = (struct sim_aws_param){name, value};
    }
    if (d->err->code != ERR_NONE)
        return false;
    key_of(d, key);
    call->params = params;
    call->access_key = key;
    sim_aws_do(d->o->w->aws, call, &answer);
    bool ok = answer.code == NULL ||
              deed_failed(d, "%s:%s: %s: %.200s", call->service, call->action, answer.code, str_or(answer.message, ""));
    if (ok && out)
        *out = answer.value;
    else
        json_free(answer.value);
    return ok;
}

bool deed_aws(struct deed *d, const char *service, const char *action, json **out, ...) {
    struct sim_aws_call call = {.service = service, .action = action};
    va_list ap;
    va_start(ap, out);
    bool ok = call_aws(d, &call, out, ap);
    va_end(ap);
    return ok;
}

bool deed_aws_body(struct deed *d, const char *service, const char *action, const char *body, ...) {
    struct sim_aws_call call = {.service = service, .action = action, .body = body};
    va_list ap;
    va_start(ap, body);
    bool ok = call_aws(d, &call, NULL, ap);
    va_end(ap);
    return ok;
}

const char *deed_policy_arn(const struct deed *d, const char *policy) {
    return str_has_prefix(policy, "arn:") ? policy : arena_printf(d->a, "arn:aws:iam::aws:policy/%s", policy);
}

const char *deed_irsa_trust(const struct deed *d) {
    const char *issuer = &SIM_ISSUER_URL[strlen("https://")];
    return arena_printf(d->a,
                        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":"
                        "\"arn:aws:iam::" SIM_ACCOUNT_ID ":oidc-provider/%s\"},\"Action\":"
                        "\"sts:AssumeRoleWithWebIdentity\",\"Condition\":{\"StringEquals\":{\"%s:sub\":"
                        "\"system:serviceaccount:kube-system:aws-node\",\"%s:aud\":\"sts.amazonaws.com\"}}}]}",
                        issuer, issuer, issuer);
}

bool deed_attached(struct deed *d, const char *role, struct strlist *arns) {
    json *list = NULL;
    *arns = (struct strlist){0};
    if (!deed_aws(d, "iam", "ListAttachedRolePolicies", &list, "RoleName", role, NULL))
        return false;
    for (const json *it = json_first(json_array(list, "AttachedPolicies")); it; it = it->next)
        strlist_add(arns, json_str(it, "PolicyArn"), d->a);
    json_free(list);
    return true;
}

/* --- Kubernetes --- */

static const char *query_of(const struct deed *d, const char *type) {
    if (str_eq(type, DEED_APPLY))
        return arena_printf(d->a, "fieldManager=%s&force=true", d->who);
    return type ? arena_printf(d->a, "fieldManager=%s", d->who) : "";
}

bool deed_kube(struct deed *d, const char *method, const char *path, const char *type, const char *body) {
    struct sim_http_request req = {.method = method,
                                   .path = path,
                                   .query = query_of(d, type),
                                   .content_type = type,
                                   .user_agent = arena_printf(d->a, "%s/1.0", d->who),
                                   .body = str_or(body, ""),
                                   .body_len = body ? strlen(body) : 0};
    struct sim_http_answer answer = {0};
    if (d->err->code != ERR_NONE)
        return false;
    sim_kube_http(d->o->w->kube, &req, &answer);
    bool ok =
        answer.status < 300 || deed_failed(d, "%s %s: %d %.200s", method, path, answer.status, str_or(answer.body, ""));
    free(answer.body);
    return ok;
}

/* --- programs that come back --- */

static void on_keeper(void *arg) {
    struct keeper *k = arg;
    struct error err = {0};
    k->timer = world_after(k->o->w, k->every_ms, on_keeper, k);
    (void)sim_others_do(k->o, &k->verb, NULL, 0, &err); /* such programs log an error, and come again */
}

void keeper_start(struct keeper *k, const struct deed *d, const struct sim_verb *verb, int64_t every_ms) {
    keeper_stop(k);
    k->o = d->o;
    k->verb = *verb;
    k->every_ms = every_ms > 0 ? every_ms : 1000;
    k->timer = world_after(k->o->w, k->every_ms, on_keeper, k);
}

void keeper_stop(struct keeper *k) {
    if (k->timer)
        world_stop_timer(k->o->w, &k->timer);
}

/* --- life --- */

static const char *actor_of(const struct sim_verb *verb) {
    for (size_t i = 0; i < ACTORS; i++)
        for (const struct sim_verb *v = actors[i].verbs; v->does; v++)
            if (v->act == verb->act)
                return actors[i].who;
    die("simulator: a verb of nobody");
}

void sim_others_on_deed(struct sim_others *o, void (*fn)(void *arg, bool done), void *arg) {
    o->on_deed = fn;
    o->arg = arg;
}

bool sim_others_do(struct sim_others *o, const struct sim_verb *v, const struct sim_deed_arg *args, size_t nargs,
                   struct error *err) {
    struct deed d = {.o = o, .who = actor_of(v), .args = args, .nargs = nargs, .a = arena_new(0), .err = err};
    *err = (struct error){0};
    if (o->on_deed)
        o->on_deed(o->arg, false);
    bool ok = v->act(&d) && err->code == ERR_NONE;
    if (o->on_deed)
        o->on_deed(o->arg, true);
    arena_free(d.a);
    return ok;
}

struct sim_others *sim_others_new(struct sim_world *w) {
    struct sim_others *o = calloc(1, sizeof *o);
    if (!o)
        die("out of memory");
    o->w = w;
    for (size_t i = 0; i < ACTORS; i++) {
        struct deed d = {.who = actors[i].who};
        char key[64], arn[128];
        key_of(&d, key);
        snprintf(arn, sizeof arn, "arn:aws:iam::" SIM_ACCOUNT_ID ":user/%s", actors[i].who);
        sim_aws_add_access_key(w->aws, key, arn);
    }
    return o;
}

void sim_others_free(struct sim_others *o) {
    if (!o)
        return;
    keeper_stop(&o->ack);
    keeper_stop(&o->gitops);
    json_free(o->terraform_state);
    json_free(o->ack_spec);
    json_free(o->binding);
    free(o);
}
