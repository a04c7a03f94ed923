#include "platform/aws/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/digest.h"
#include "platform/base/error.h"
#include "platform/base/str.h"
#include "platform/base/timefmt.h"

struct derived {
    char scope[160]; /* access key id, date, region, service */
    unsigned char key[DIGEST_SHA256_BYTES];
};

struct sigv4_cache {
    struct derived keys[SIGV4_KEYS_MAX];
    size_t next;
};

struct sigv4_cache *sigv4_cache_new(void) {
    struct sigv4_cache *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    return c;
}

void sigv4_cache_free(struct sigv4_cache *c) {
    if (!c)
        return;
    explicit_bzero(c, sizeof *c);
    free(c);
}

static void hmac_text(const unsigned char *key, size_t n, const char *text, unsigned char out[DIGEST_SHA256_BYTES]) {
    digest_hmac_sha256(key, n, text, strlen(text), out);
}

static void derive(const struct secret *secret, const char *date, const char *region, const char *service,
                   unsigned char out[DIGEST_SHA256_BYTES]) {
    size_t n = secret_len(secret);
    char *start = malloc(n + 5);
    unsigned char a[DIGEST_SHA256_BYTES], b[DIGEST_SHA256_BYTES];
    if (!start)
        die("out of memory");
    static const char prefix[4] = {'A', 'W', 'S', '4'};
    memcpy(start, prefix, sizeof prefix);
    memcpy(start + sizeof prefix, secret_expose(secret), n + 1);
    hmac_text((const unsigned char *)start, n + 4, date, a);
    hmac_text(a, sizeof a, region, b);
    hmac_text(b, sizeof b, service, a);
    hmac_text(a, sizeof a, "aws4_request", out);
    explicit_bzero(start, n + 5);
    free(start);
    explicit_bzero(a, sizeof a);
    explicit_bzero(b, sizeof b);
}

static const unsigned char *signing_key(struct sigv4_cache *c, const struct sigv4_credentials *cred, const char *date,
                                        const char *region, const char *service) {
    char scope[sizeof c->keys[0].scope], secret_hex[DIGEST_SHA256_HEX];
    digest_sha256_hex(secret_expose(cred->secret_access_key), secret_len(cred->secret_access_key), secret_hex);
    /* The digest makes a rotated secret under the same id another scope. */
    (void)snprintf(scope, sizeof scope, "%.64s/%.16s/%s/%.40s/%.16s", cred->access_key_id, secret_hex, date, region,
                   service);
    for (size_t i = 0; i < SIGV4_KEYS_MAX; i++)
        if (strcmp(c->keys[i].scope, scope) == 0)
            return c->keys[i].key;
    struct derived *d = &c->keys[c->next++ % SIGV4_KEYS_MAX];
    derive(cred->secret_access_key, date, region, service, d->key);
    (void)snprintf(d->scope, sizeof d->scope, "%s", scope);
    return d->key;
}

/* Dot segments and doubled slashes go, then everything is encoded once more. */
static char *canonical_path(const char *path, struct arena *a) {
    struct strlist kept = {0};
    bool trailing = false;
    for (const char *p = path; *p;) {
        while (*p == '/')
            p++;
        size_t n = strcspn(p, "/");
        char *segment = arena_strndup(a, p, n);
        p += n;
        trailing = n == 0 || *p == '/';
        if (n == 0 || str_eq(segment, "."))
            continue;
        if (str_eq(segment, "..")) {
            kept.n -= kept.n > 0;
            continue;
        }
        strlist_add(&kept, segment, a);
    }
    if (kept.n == 0)
        return arena_strdup(a, "/");
    char *joined = arena_printf(a, "/%s%s", strlist_join(&kept, "/", a), trailing ? "/" : "");
    return str_percent_encode(joined, "/", a);
}

static char *canonical_piece(const char *p, size_t n, struct arena *a) {
    char *raw = arena_strndup(a, p, n), *decoded = str_percent_decode(raw, a);
    return str_percent_encode(decoded ? decoded : raw, "", a);
}

/* qsort over pairs "key\0value". */
struct pair {
    const char *key, *value;
};

static int by_key_then_value(const void *x, const void *y) {
    const struct pair *p = x, *q = y;
    int order = strcmp(p->key, q->key);
    return order ? order : strcmp(p->value, q->value);
}

static char *canonical_query(const char *query, struct arena *a) {
    if (str_empty(query))
        return arena_strdup(a, "");
    size_t count = 1, n = 0;
    for (const char *p = query; *p; p++)
        count += *p == '&';
    struct pair *pairs = ARENA_ARRAY(a, count, struct pair);
    for (const char *p = query; *p;) {
        size_t len = strcspn(p, "&"), key = strcspn(p, "=&");
        if (len > 0) {
            pairs[n].key = canonical_piece(p, key, a);
            pairs[n++].value = key < len ? canonical_piece(p + key + 1, len - key - 1, a) : "";
        }
        p += len + (p[len] == '&');
    }
    qsort(pairs, n, sizeof *pairs, by_key_then_value);
    char *text = arena_strdup(a, "");
    for (size_t i = 0; i < n; i++)
        text = arena_printf(a, "%s%s%s=%s", text, i ? "&" : "", pairs[i].key, pairs[i].value);
    return text;
}

/* Outer space goes, inner runs become one. */
static char *folded(const char *value, struct arena *a) {
    char *out = arena_alloc(a, strlen(value) + 1), *w = out;
    while (*value == ' ')
        value++;
    for (; *value; value++)
        if (*value != ' ' || (value[1] && value[1] != ' '))
            *w++ = *value;
    *w = '\0';
    return out;
}

/* `token` is what stands for the session token; NULL: there is none. */
static char *header_lines(const struct sigv4_request *r, const char *amz_date, const char *token, struct arena *a) {
    const char *type = r->content_type ? arena_printf(a, "content-type:%s\n", folded(r->content_type, a)) : "";
    const char *session = token ? "x-amz-security-token:" : "";
    return arena_printf(a, "%shost:%s\nx-amz-date:%s\n%s%s%s", type, folded(r->host, a), amz_date, session,
                        str_or(token, ""), token ? "\n" : "");
}

/* TOKEN_PLACE stands for the session token in the arena's copy; the token itself passes
 * only through a buffer that is wiped. Only the first place counts: a path or query can not hold a line "x-amz-...". */
#define TOKEN_PLACE "(session token)"

static void hash_canonical(const char *readable, const char *token, char hex[DIGEST_SHA256_HEX]) {
    const char *place = token ? strstr(readable, "x-amz-security-token:" TOKEN_PLACE) : NULL;
    struct buf b;
    if (!place) {
        digest_sha256_hex(readable, strlen(readable), hex);
        return;
    }
    place += strlen("x-amz-security-token:");
    buf_init(&b, SECRET_MAX + strlen(readable) + 1);
    (void)buf_append(&b, readable, (size_t)(place - readable));
    (void)buf_puts(&b, token);
    (void)buf_puts(&b, place + strlen(TOKEN_PLACE));
    digest_sha256_hex(b.p, b.n, hex);
    buf_done_secret(&b);
}

void sigv4_sign(struct sigv4_cache *c, const struct sigv4_request *r, const struct sigv4_credentials *cred,
                struct arena *a, struct sigv4_signature *out) {
    char amz_date[TIMEFMT_MAX], hex[DIGEST_SHA256_HEX], body_hex[DIGEST_SHA256_HEX];
    unsigned char mac[DIGEST_SHA256_BYTES];
    const char *token = cred->session_token ? secret_expose(cred->session_token) : NULL;
    timefmt_basic(r->wall_ms, amz_date);
    const char *date = arena_strndup(a, amz_date, 8);
    const char *names = arena_printf(a, "%shost;x-amz-date%s", r->content_type ? "content-type;" : "",
                                     token ? ";x-amz-security-token" : "");
    digest_sha256_hex(str_or(r->body, ""), r->body ? r->body_len : 0, body_hex);
    out->canonical_request =
        arena_printf(a, "%s\n%s\n%s\n%s\n%s\n%s", r->method, canonical_path(r->path, a), canonical_query(r->query, a),
                     header_lines(r, amz_date, token ? TOKEN_PLACE : NULL, a), names, body_hex);
    hash_canonical(out->canonical_request, token, hex);
    const char *scope = arena_printf(a, "%s/%s/%s/aws4_request", date, r->region, r->service);
    out->string_to_sign = arena_printf(a, "AWS4-HMAC-SHA256\n%s\n%s\n%s", amz_date, scope, hex);
    hmac_text(signing_key(c, cred, date, r->region, r->service), DIGEST_SHA256_BYTES, out->string_to_sign, mac);
    digest_hex(mac, sizeof mac, hex);
    out->amz_date = arena_strdup(a, amz_date);
    out->authorization = arena_printf(a, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                                      cred->access_key_id, scope, names, hex);
}
