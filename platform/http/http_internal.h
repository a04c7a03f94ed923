/* http_internal.h - what http.c (life of a request), http_easy.c (curl's options) and http_answer.c (what comes back)
 * share. */
#ifndef CNI_IAM_HTTP_HTTP_INTERNAL_H
#define CNI_IAM_HTTP_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "platform/base/buf.h"
#include "platform/http/headers.h"
#include "platform/http/http.h"

struct http_request {
    struct http_client *client;
    struct http_request *next, *prev;
    CURL *easy;
    struct curl_slist *header_list, *connect_to;
    char *method, *request_body;
    size_t request_body_n;
    bool stream, changes_something;
    size_t max_body;
    struct buf body;
    struct headers headers;
    int sends; /* how often the request line went out */
    bool too_large, ended_by_us, cancelled;
    bool waiting;   /* made inside a callback of curl, where handles may not be added: added right after */
    bool finishing; /* its done callback runs */
    char curl_error[CURL_ERROR_SIZE];
    http_done_fn done;
    void (*on_headers)(void *arg, const struct http_response *r);
    bool (*on_data)(void *arg, const char *p, size_t n);
    void *arg;
};

struct http_client {
    struct loop *loop;
    struct clock clock;
    CURLM *multi;
    uint64_t timer;
    struct http_request *requests;
    size_t nrequests;
    bool in_curl; /* inside curl_multi_socket_action: handles may be neither added nor removed */
    bool acting;  /* that, or callers' callbacks run */
    bool dying;   /* freed by one of them: goes when they are through */
    char *ca_pem, *tls_server_name, *proxy_url, *user_agent;
    struct secret *cert, *key;
    bool insecure_skip_verify, allow_plain_http;
    int connect_timeout_ms;
};

/* Makes the curl handle of a request; false: err says why. */
bool http_easy_make(struct http_request *r, const struct http_call *call, struct error *err);
void http_receive_into(struct http_request *r); /* curl's callbacks */
void http_fill_response(struct http_request *r, struct http_response *out);
/* Letters, digits, '.', '-', '_', or an IPv6 address (with a zone): what every URL parser reads alike. */
bool url_host_is_valid(const char *host);

#endif
