/* checker_secrets.c - S10: canaries. What was given to an operator as a secret is looked for in all that it lets out. */
#include <string.h>

#include "simulator/checker_internal.h"

#define SECRET_MIN 16 /* shorter ones occur by chance */
#define FILTER_HALF 65536U
#define STRIDE 8 /* a text is looked at in every eighth place: one of the first eight of a secret is among them */
_Static_assert(SECRET_MIN >= STRIDE - 1 + sizeof(uint64_t), "the eight bytes at such a place are all the secret's");

/* Eight bytes as a bit in each half of the filter: one pass over a text looks for all secrets, and next to nothing else
 * passes. No secret has eight zeros in a row, of which files are full. */
static bool filter_bits_of(const char *p, unsigned bits[2]) {
    uint64_t head;
    memcpy(&head, p, sizeof head);
    uint64_t mixed = head * UINT64_C(0x9e3779b97f4a7c15);
    bits[0] = (unsigned)(mixed >> 48);
    bits[1] = (unsigned)(mixed >> 32 & 0xffff) + FILTER_HALF;
    return head != 0;
}

static void set_bit(struct sim_checker *c, unsigned bit) {
    c->secret_filter[bit / 8] |= (unsigned char)(1U << bit % 8);
}

static bool has_bit(const struct sim_checker *c, unsigned bit) {
    return (c->secret_filter[bit / 8] & 1U << bit % 8) != 0;
}

void sim_checker_secret(struct sim_checker *c, const char *secret) {
    static char yes[] = "";
    if (!secret || strlen(secret) < SECRET_MIN || strmap_count(c->secrets) >= CHECKER_OBJECTS_MAX)
        return;
    (void)strmap_set(c->secrets, secret, yes);
    for (int i = 0; i < STRIDE; i++) {
        unsigned bits[2];
        (void)filter_bits_of(secret + i, bits);
        set_bit(c, bits[0]);
        set_bit(c, bits[1]);
    }
}

static void look_at(struct sim_checker *c, const char *where, const char *at, size_t left) {
    const char *secret;
    void *value;
    for (size_t it = 0; strmap_next(c->secrets, &it, &secret, &value);)
        if (*at == *secret && strlen(secret) <= left && memcmp(at, secret, strlen(secret)) == 0)
            violated(c, "S10: %s holds a secret (%.4s…)", where, secret);
}

void sim_checker_let_out(struct sim_checker *c, const char *where, const char *text, size_t len) {
    for (size_t i = 0; i + sizeof(uint64_t) <= len; i += STRIDE) {
        unsigned bits[2];
        if (!filter_bits_of(text + i, bits) || !has_bit(c, bits[0]) || !has_bit(c, bits[1]))
            continue;
        for (size_t back = 0; back < STRIDE && back <= i; back++)
            look_at(c, where, text + i - back, len - i + back);
    }
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
