/* http_easy.c - one curl handle: every option that safety or the reference measurements (docs/adr/0002) ask for. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "platform/base/str.h"
#include "platform/http/http_internal.h"

#define DEADLINE_DEFAULT_MS 40000
#define DEAD_PEER_MS 30000 /* TCP_USER_TIMEOUT; with the keepalives below a half-open path is found in at most 45 s (K-T1) */

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    unsigned timeout = DEAD_PEER_MS;
    (void)arg;
    (void)purpose;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    return CURL_SOCKOPT_OK;
}

/* --- headers that come ------------------------------------------------------------------------------------------------ */

void http_forget_headers(struct http_request *r)
{
    for (size_t i = 0; i < r->nheaders; i++) {
        free(r->headers[i].name);
        free(r->headers[i].value);
    }
    r->nheaders = 0;
}

static const char *find_header(const struct http_response *response, const char *name)
{
    const struct http_request *r = response->headers_;
    for (size_t i = 0; r && i < r->nheaders; i++)
        if (str_eq_nocase(r->headers[i].name, name))
            return r->headers[i].value;
    return NULL;
}

static char *trimmed(const char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t')) {
        p++;
        n--;
    }
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r' || p[n - 1] == '\n'))
        n--;
    char *s = strndup(p, n);
    if (!s)
        die("out of memory");
    return s;
}

static void store_header(struct http_request *r, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    if (!colon || r->nheaders >= HTTP_HEADERS_MAX)
        return; /* beyond that nothing we read can stand: a client that sends 128 headers */
    r->headers[r->nheaders].name = trimmed(line, (size_t)(colon - line));
    r->headers[r->nheaders++].value = trimmed(colon + 1, n - (size_t)(colon - line) - 1);
}

void http_fill_response(struct http_request *r, struct http_response *out)
{
    long status = 0, connects = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(r->easy, CURLINFO_NUM_CONNECTS, &connects);
    memset(out, 0, sizeof *out);
    out->status = (int)status;
    out->header = find_header;
    out->headers_ = r;
    out->resent = connects > 1;
}

static void tell_headers(struct http_request *r)
{
    struct http_response response;
    http_fill_response(r, &response);
    if (response.status < 200 || r->headers_told)
        return; /* 100 Continue, and a proxy's own answer, are no answer */
    r->headers_told = true;
    if (r->on_headers && !r->cancelled)
        r->on_headers(r->arg, &response);
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct http_request *r = arg;
    n *= size;
    r->header_bytes += n;
    if (r->header_bytes > HTTP_HEADER_MAX) {
        r->too_large = true;
        return 0;
    }
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
        http_forget_headers(r); /* a new block: after 100, or after a proxy's CONNECT */
    else if (n <= 2 && (n == 0 || p[0] == '\r' || p[0] == '\n'))
        tell_headers(r);
    else
        store_header(r, p, n);
    return r->cancelled ? 0 : n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct http_request *r = arg;
    n *= size;
    if (r->cancelled)
        return 0;
    if (r->stream) {
        if (r->on_data(r->arg, p, n) && !r->cancelled)
            return n;
        r->ended_by_us = true;
        return 0;
    }
    if (r->body.n + n > r->max_body || !buf_append(&r->body, p, n)) {
        r->too_large = true;
        return 0;
    }
    return n;
}

/* --- what is sent ------------------------------------------------------------------------------------------------------ */

static void add_header(struct http_request *r, const char *name, const char *value, size_t value_n)
{
    size_t name_n = strlen(name);
    char *line = malloc(name_n + value_n + 3);
    if (!line)
        die("out of memory");
    memcpy(line, name, name_n);
    memcpy(line + name_n, value_n ? ": " : ":", value_n ? 2 : 1);
    memcpy(line + name_n + (value_n ? 2 : 1), value, value_n);
    line[name_n + value_n + (value_n ? 2 : 1)] = '\0';
    struct curl_slist *grown = curl_slist_append(r->header_list, line);
    explicit_bzero(line, name_n + value_n);
    free(line);
    if (!grown)
        die("out of memory");
    r->header_list = grown;
}

static bool valid_header(const char *value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (value[i] == '\r' || value[i] == '\n' || value[i] == '\0')
            return false;
    return true;
}

static bool add_headers(struct http_request *r, const struct http_call *call, struct error *err)
{
    for (size_t i = 0; i < call->nheaders; i++) {
        const struct http_header *h = &call->headers[i];
        const char *value = h->secret_value ? secret_expose(h->secret_value) : str_or(h->value, "");
        size_t n = h->secret_value ? secret_len(h->secret_value) : strlen(value);
        if (!valid_header(value, n))
            return error_set(err, ERR_INVALID, "the value of header %s holds a line end", h->name);
        add_header(r, h->name, value, n);
    }
    add_header(r, "Expect", "", 0); /* no 100-continue: it costs a round trip and proxies get it wrong */
    return true;
}

/* TLS to another name than the URL's: curl is given the URL with that name, and told where to connect. */
static void use_server_name(struct http_request *r, const struct url *u)
{
    const char *name = r->client->tls_server_name;
    char *to, *url, *host;
    bool v6 = strchr(u->host, ':') != NULL;
    if (asprintf(&to, "%s:%d:%s%s%s:%d", name, u->port, v6 ? "[" : "", u->host, v6 ? "]" : "", u->port) < 0 ||
        asprintf(&url, "https://%s:%d%s", name, u->port, u->path) < 0 ||
        asprintf(&host, "%s%s%s:%d", v6 ? "[" : "", u->host, v6 ? "]" : "", u->port) < 0)
        die("out of memory");
    r->connect_to = curl_slist_append(NULL, to);
    curl_easy_setopt(r->easy, CURLOPT_CONNECT_TO, r->connect_to);
    curl_easy_setopt(r->easy, CURLOPT_URL, url);
    add_header(r, "Host", host, strlen(host));
    free(to);
    free(url);
    free(host);
}

static bool set_url(struct http_request *r, const struct http_call *call, struct error *err)
{
    struct arena *a = arena_new(0);
    struct url u;
    bool ok = url_parse(call->url, &u, a, err);
    if (ok && u.has_userinfo)
        ok = error_set(err, ERR_INVALID, "a URL with a user name or password is refused");
    bool local = ok && url_host_is_local(u.host);
    if (ok && str_eq(u.scheme, "http") && !local && !r->client->allow_plain_http)
        ok = error_set(err, ERR_INVALID, "http:// is refused for host %s, which is neither loopback nor link-local; use https://", u.host);
    if (ok) {
        curl_easy_setopt(r->easy, CURLOPT_URL, call->url);
        if (r->client->tls_server_name && str_eq(u.scheme, "https"))
            use_server_name(r, &u);
        if (r->client->proxy_url)
            curl_easy_setopt(r->easy, CURLOPT_PROXY, r->client->proxy_url);
        else if (local)
            curl_easy_setopt(r->easy, CURLOPT_PROXY, "");
        /* else curl reads https_proxy, HTTPS_PROXY, http_proxy and NO_PROXY itself */
    }
    arena_free(a);
    return ok;
}

static void set_blob(CURL *easy, CURLoption option, const char *p, size_t n)
{
    struct curl_blob blob = {.data = (void *)(uintptr_t)p, .len = n, .flags = CURL_BLOB_COPY};
    curl_easy_setopt(easy, option, &blob);
}

static void set_tls(struct http_request *r)
{
    const struct http_client *c = r->client;
    curl_easy_setopt(r->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (c->ca_pem) {
        /* The default CAPATH would stay active beside the blob and accept any public CA. */
        curl_easy_setopt(r->easy, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(r->easy, CURLOPT_CAINFO, NULL);
        set_blob(r->easy, CURLOPT_CAINFO_BLOB, c->ca_pem, strlen(c->ca_pem));
    }
    if (c->cert && c->key) {
        set_blob(r->easy, CURLOPT_SSLCERT_BLOB, secret_expose(c->cert), secret_len(c->cert));
        set_blob(r->easy, CURLOPT_SSLKEY_BLOB, secret_expose(c->key), secret_len(c->key));
    }
    if (c->insecure_skip_verify) {
        curl_easy_setopt(r->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(r->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_method(struct http_request *r, const struct http_call *call)
{
    curl_easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, call->method);
    if (str_eq(call->method, "HEAD"))
        curl_easy_setopt(r->easy, CURLOPT_NOBODY, 1L);
    if (!call->body)
        return;
    r->request_body = malloc(call->body_len + 1);
    if (!r->request_body)
        die("out of memory");
    memcpy(r->request_body, call->body, call->body_len);
    r->request_body_n = call->body_len;
    curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
    curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->request_body);
}

static void set_limits(struct http_request *r, const struct http_call *call)
{
    CURL *e = r->easy;
    int connect = r->client->connect_timeout_ms ? r->client->connect_timeout_ms : HTTP_CONNECT_TIMEOUT_MS;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); /* what was signed is what is sent */
    /* HTTP/1.1: one connection a watch, the kernel's flow control, no stream that takes others with it. */
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(call->deadline_ms > 0 ? call->deadline_ms : DEADLINE_DEFAULT_MS));
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 15L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 5L);
    curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
    /* On a pooled connection that dies before the answer curl sends again by itself, POST included. */
    if (r->changes_something || r->stream)
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
}

bool http_easy_make(struct http_request *r, const struct http_call *call, struct error *err)
{
    r->easy = curl_easy_init();
    if (!r->easy)
        die("out of memory");
    if (!set_url(r, call, err) || !add_headers(r, call, err))
        return false;
    set_method(r, call);
    set_limits(r, call);
    set_tls(r);
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->header_list);
    curl_easy_setopt(r->easy, CURLOPT_USERAGENT, str_or(r->client->user_agent, "cni-iam"));
    curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->curl_error);
    curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
    return true;
}
