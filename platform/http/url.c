/* url.c - absolute URLs taken apart, and which hosts may be spoken to in clear. */
#include <arpa/inet.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/http/http_internal.h"

#define URL_MAX 8192

static bool parse_port(const char *s, int *port, struct error *err) {
    int64_t value;
    if (!str_to_int64(s, &value) || value < 1 || value > 65535)
        return error_set(err, ERR_INVALID, "port \"%.20s\" is not a number from 1 to 65535", s);
    *port = (int)value;
    return true;
}

bool url_host_is_valid(const char *host) {
    struct in6_addr v6;
    char address[INET6_ADDRSTRLEN];
    size_t n = strcspn(host, "%");
    if (!strchr(host, ':'))
        return host[0] &&
               strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") == strlen(host);
    if (n >= sizeof address)
        return false;
    memcpy(address, host, n);
    address[n] = '\0';
    return inet_pton(AF_INET6, address, &v6) == 1 && strcspn(host + n, "/?#@[]:\\\"<> ") == strlen(host + n);
}

/* host, host:port or [v6]:port. */
static bool parse_authority(char *text, struct url *out, struct error *err) {
    char *port = NULL;
    if (text[0] == '[') {
        char *end = strchr(text, ']');
        if (!end)
            return error_set(err, ERR_INVALID, "an IPv6 address needs a closing ]");
        *end = '\0';
        out->host = text + 1;
        if (end[1] == ':')
            port = end + 2;
        else if (end[1] != '\0')
            return error_set(err, ERR_INVALID, "unexpected text after ]");
    } else {
        out->host = text;
        port = strchr(text, ':');
        if (port)
            *port++ = '\0';
    }
    if (out->host[0] == '\0')
        return error_set(err, ERR_INVALID, "the URL has no host");
    if ((text[0] == '[') != (strchr(out->host, ':') != NULL) || !url_host_is_valid(out->host))
        return error_set(err, ERR_INVALID, "\"%.100s\" is neither a host name nor an address", out->host);
    out->port = str_eq(out->scheme, "https") ? 443 : 80;
    return !port || parse_port(port, &out->port, err);
}

bool url_parse(const char *text, struct url *out, struct arena *a, struct error *err) {
    memset(out, 0, sizeof *out);
    if (str_empty(text) || strlen(text) > URL_MAX)
        return error_set(err, ERR_INVALID, "an absolute URL of at most %d characters is needed", URL_MAX);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7f)
            return error_set(err, ERR_INVALID, "the URL holds a space or control character");
    const char *rest;
    if (str_has_prefix(text, "https://")) {
        out->scheme = "https";
        rest = text + 8;
    } else if (str_has_prefix(text, "http://")) {
        out->scheme = "http";
        rest = text + 7;
    } else {
        return error_set(err, ERR_INVALID, "\"%.100s\" does not start with https:// (or http://)", text);
    }
    size_t n = strcspn(rest, "/?#");
    char *authority = arena_strndup(a, rest, n);
    char *at = strrchr(authority, '@');
    if (at) {
        out->has_userinfo = true;
        authority = at + 1;
    }
    const char *tail = rest + n;
    size_t path_n = strcspn(tail, "#");
    out->path = tail[0] == '/' ? arena_strndup(a, tail, path_n) : arena_printf(a, "/%.*s", (int)path_n, tail);
    return parse_authority(authority, out, err);
}

static bool is_local_v4(const char *host) {
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) != 1)
        return false;
    uint32_t ip = ntohl(v4.s_addr);
    return ip >> 24 == 127 || ip >> 16 == 0xa9fe; /* 127.0.0.0/8, 169.254.0.0/16 */
}

static bool is_local_v6(const char *host) {
    struct in6_addr v6;
    static const unsigned char metadata[4] = {0xfd, 0x00, 0x0e,
                                              0xc2}; /* fd00:ec2::/32: IMDS and the Pod Identity agent */
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) || memcmp(v6.s6_addr, metadata, 4) == 0;
}

bool url_host_is_local(const char *host) {
    return host && (str_eq_nocase(host, "localhost") || is_local_v4(host) || is_local_v6(host));
}
