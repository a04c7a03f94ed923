/* fuzz_url.c - URLs and NO_PROXY. What url.c accepts, curl must read as the same host: else a host that we take for
 * local could be another for curl. Input: URL, newline, NO_PROXY. */
#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/http/http.h"
#include "platform/http/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "127.1", "0x7f.1": curl writes such numbers as four decimals. We never take them for local before. */
static bool is_number(const char *host) {
    return strspn(host, "0123456789abcdefABCDEFxX.") == strlen(host);
}

/* curl writes IPv6 addresses in their shortest form: compared as bytes, without brackets and zone. */
static bool same_address(const char *ours, const char *curls) {
    struct in6_addr x, y;
    char text[2][64];
    snprintf(text[0], sizeof text[0], "%.*s", (int)strcspn(ours, "%"), ours);
    snprintf(text[1], sizeof text[1], "%.*s", (int)strcspn(curls + 1, "%]"), curls + 1);
    return inet_pton(AF_INET6, text[0], &x) == 1 && inet_pton(AF_INET6, text[1], &y) == 1 &&
           memcmp(&x, &y, sizeof x) == 0;
}

static void same_for_curl(const char *text, const struct url *u) {
    CURLU *h = curl_url();
    char *host = NULL, *port = NULL;
    if (curl_url_set(h, CURLUPART_URL, text, 0) == CURLUE_OK) {
        assert(curl_url_get(h, CURLUPART_HOST, &host, 0) == CURLUE_OK);
        assert(curl_url_get(h, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
        bool same = host[0] == '[' ? same_address(u->host, host) : str_eq_nocase(host, u->host);
        assert(same || (is_number(u->host) && !url_host_is_local(u->host)));
        assert(atoi(port) == u->port);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_new(0);
    char *text = arena_strndup(a, (const char *)data, size);
    char *no_proxy = strchr(text, '\n');
    struct error err;
    struct url u;
    if (no_proxy) {
        *no_proxy++ = '\0';
    }
    if (url_parse(text, &u, a, &err)) {
        struct proxy_settings s = {.https_proxy = "http://p", .http_proxy = "http://p", .no_proxy = no_proxy};
        assert(u.host[0] != '\0' && u.path[0] == '/' && u.port >= 1 && u.port <= 65535);
        if (!u.has_userinfo) {
            same_for_curl(text, &u);
        }
        const char *proxy = proxy_for(&u, &s);
        assert(!url_host_is_local(u.host) || str_empty(proxy));
    } else {
        assert(err.code == ERR_INVALID && err.message[0] != '\0');
    }
    arena_free(a);
    return 0;
}
