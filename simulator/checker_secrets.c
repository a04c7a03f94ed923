/* checker_secrets.c - S10: canaries. What was given to an operator as a secret is looked for in all that it lets out. */
#include <string.h>

#include "simulator/checker_internal.h"

#define SECRET_MIN 12 /* shorter ones occur by chance */

static char yes[] = "";

void sim_checker_secret(struct sim_checker *c, const char *secret) {
    if (secret && strlen(secret) >= SECRET_MIN && strmap_count(c->secrets) < CHECKER_OBJECTS_MAX)
        (void)strmap_set(c->secrets, secret, yes);
}

void sim_checker_let_out(struct sim_checker *c, const char *where, const char *text, size_t len) {
    const char *secret;
    void *value;
    for (size_t it = 0; strmap_next(c->secrets, &it, &secret, &value);)
        if (memmem(text, len, secret, strlen(secret)))
            violated(c, "S10: %s holds a secret (%.4s…)", where, secret);
}

/* The exchange of a token for credentials is what the token is for. */
void secrets_judges(struct sim_checker *c, const struct call *k) {
    if (k->watch || str_eq(k->req->method, "GET"))
        return;
    if (!call_is(k, "AssumeRoleWithWebIdentity"))
        sim_checker_let_out(c, k->to_aws ? "a call to AWS" : k->req->path, k->req->body, k->req->body_len);
    sim_checker_let_out(c, "a path", k->req->path, strlen(k->req->path));
}

static void add_between(struct sim_checker *c, const struct call *k, const char *text, const char *from,
                        const char *to) {
    const char *begin = strstr(text, from), *end = begin ? strstr(begin, to) : NULL;
    if (end)
        sim_checker_secret(c, arena_strndup(k->a, begin + strlen(from), (size_t)(end - begin) - strlen(from)));
}

/* Of a token its signature: head and claims are nothing that opens a door. */
void secrets_heard(struct sim_checker *c, const struct call *k, const char *body) {
    if (body && call_is(k, "AssumeRoleWithWebIdentity")) {
        add_between(c, k, body, "<SecretAccessKey>", "</SecretAccessKey>");
        add_between(c, k, body, "<SessionToken>", "</SessionToken>");
    }
    if (!body || !call_is_kube(k, "POST", "serviceaccounts", "token"))
        return;
    struct error err;
    json *answer = json_parse(body, strlen(body), &err);
    const char *token = json_str(answer, "status.token"), *dot = token ? strrchr(token, '.') : NULL;
    if (dot)
        sim_checker_secret(c, dot + 1);
    json_free(answer);
}
