/* http_easy.c - one curl handle: every option that safety or the reference measurements (docs/adr/0002) ask for. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "platform/base/str.h"
#include "platform/http/http_internal.h"
#include "platform/http/proxy.h"

#define DEADLINE_DEFAULT_MS 40000
/* A half-open path is found in at most 45 s (K-T1): a silent one by keepalives, one with unanswered data by the user
 * timeout. */
#define KEEPALIVE_IDLE_S 15L
#define KEEPALIVE_INTERVAL_S 5L
#define KEEPALIVE_COUNT 3
#define DEAD_PEER_MS 30000

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose) {
    unsigned timeout = DEAD_PEER_MS;
    int count = KEEPALIVE_COUNT;
    (void)arg;
    (void)purpose;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count); /* curl 7.88 has no option for it */
    return CURL_SOCKOPT_OK;
}

/* --- what is sent --- */

static void add_header(struct http_request *r, const char *name, const char *value, size_t value_n) {
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

static bool valid_header(const char *value, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (value[i] == '\r' || value[i] == '\n' || value[i] == '\0')
            return false;
    return true;
}

static bool add_headers(struct http_request *r, const struct http_call *call, struct error *err) {
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
static void use_server_name(struct http_request *r, const struct url *u, struct arena *a) {
    const char *real = strchr(u->host, ':') ? arena_printf(a, "[%s]", u->host) : u->host;
    const char *name = r->client->tls_server_name;
    if (strchr(name, ':'))
        name = arena_printf(a, "[%s]", name);
    const char *host = arena_printf(a, "%s:%d", real, u->port);
    r->connect_to = curl_slist_append(NULL, arena_printf(a, "%s:%d:%s", name, u->port, host));
    curl_easy_setopt(r->easy, CURLOPT_CONNECT_TO, r->connect_to);
    curl_easy_setopt(r->easy, CURLOPT_URL, arena_printf(a, "https://%s:%d%s", name, u->port, u->path));
    add_header(r, "Host", host, strlen(host));
}

/* Decided here, never by curl: proxy.h says why. A proxy that the options name holds for every host. */
static void set_proxy(struct http_request *r, const struct url *u) {
    struct proxy_settings s = proxy_settings_of_environment();
    const char *proxy = r->client->proxy_url ? r->client->proxy_url : proxy_for(u, &s);
    curl_easy_setopt(r->easy, CURLOPT_PROXY, proxy);
    curl_easy_setopt(r->easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(r->easy, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(r->easy, CURLOPT_HEADEROPT,
                     (long)CURLHEADER_SEPARATE);                     /* our headers are not for the proxy's CONNECT */
    curl_easy_setopt(r->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* nor are its headers an answer */
}

static bool set_url(struct http_request *r, const struct http_call *call, struct arena *a, struct error *err) {
    struct url u;
    if (!url_parse(call->url, &u, a, err))
        return false;
    if (u.has_userinfo)
        return error_set(err, ERR_INVALID, "a URL with a user name or password is refused");
    bool tls = str_eq(u.scheme, "https");
    if (!tls && !r->client->allow_plain_http && !url_host_is_local(u.host))
        return error_set(err, ERR_INVALID,
                         "http:// is refused for host %s, which is neither loopback nor link-local; use https://",
                         u.host);
    curl_easy_setopt(r->easy, CURLOPT_URL, call->url);
    if (tls && r->client->tls_server_name)
        use_server_name(r, &u, a);
    set_proxy(r, &u);
    return true;
}

static void set_blob(CURL *easy, CURLoption option, const char *p, size_t n) {
    struct curl_blob blob = {.data = (void *)(uintptr_t)p, .len = n, .flags = CURL_BLOB_COPY};
    curl_easy_setopt(easy, option, &blob);
}

static void set_tls(struct http_request *r) {
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

static void set_method(struct http_request *r, const struct http_call *call) {
    r->method = strdup(call->method);
    if (!r->method)
        die("out of memory");
    curl_easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, r->method);
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

static void set_limits(struct http_request *r, const struct http_call *call) {
    CURL *e = r->easy;
    int connect = r->client->connect_timeout_ms ? r->client->connect_timeout_ms : HTTP_CONNECT_TIMEOUT_MS;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    /* A name is looked up by a thread of curl's. Without this, ending a request waits for it: the loop would stand
     * still for as long as a dead name server takes. */
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); /* what was signed is what is sent */
    /* HTTP/1.1: one connection a watch, the kernel's flow control, no stream that takes others with it. */
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(call->deadline_ms > 0 ? call->deadline_ms : DEADLINE_DEFAULT_MS));
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
    /* On a pooled connection that dies before the answer curl sends again by itself, POST included. */
    if (r->changes_something || r->stream)
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
}

bool http_easy_make(struct http_request *r, const struct http_call *call, struct error *err) {
    r->easy = curl_easy_init();
    if (!r->easy)
        die("out of memory");
    struct arena *a = arena_new(0);
    bool ok = set_url(r, call, a, err) && add_headers(r, call, err);
    arena_free(a);
    if (!ok)
        return false;
    set_method(r, call);
    set_limits(r, call);
    set_tls(r);
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->header_list);
    curl_easy_setopt(r->easy, CURLOPT_USERAGENT, str_or(r->client->user_agent, "cni-iam"));
    http_receive_into(r);
    curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
    return true;
}
