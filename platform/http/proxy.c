#include "platform/http/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "platform/base/str.h"

#define ENTRY_MAX 256

static const char *environment(const char *upper, const char *lower) {
    const char *value = getenv(upper);
    return str_empty(value) ? getenv(lower) : value;
}

struct proxy_settings proxy_settings_of_environment(void) {
    return (struct proxy_settings){.https_proxy = environment("HTTPS_PROXY", "https_proxy"),
                                   .http_proxy = environment("HTTP_PROXY", "http_proxy"),
                                   .no_proxy = environment("NO_PROXY", "no_proxy")};
}

/* An address in 16 bytes; IPv4 as ::ffff:a.b.c.d, so that both are compared alike. */
static bool parse_address(const char *text, unsigned char out[16]) {
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (inet_pton(AF_INET6, text, out) == 1) {
        return true;
    }
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out + 12) == 1;
}

static bool same_bits(const unsigned char *a, const unsigned char *b, int bits) {
    int whole = bits / 8;
    if (memcmp(a, b, (size_t)whole) != 0) {
        return false;
    }
    return bits % 8 == 0 || (a[whole] ^ b[whole]) >> (8 - bits % 8) == 0;
}

static bool in_range(const char *network, const char *prefix, const unsigned char host[16]) {
    unsigned char net[16];
    int64_t bits = 0;
    if (!parse_address(network, net) || !str_to_int64(prefix, &bits)) {
        return false;
    }
    bool v4 = strchr(network, ':') == NULL;
    return bits <= (v4 ? 32 : 128) && same_bits(net, host, (int)bits + (v4 ? 96 : 0));
}

static bool name_matches(const char *entry, const char *host) {
    bool subdomains_only = entry[0] == '.';
    const char *name = subdomains_only ? entry + 1 : entry;
    size_t host_n = strlen(host);
    size_t name_n = strlen(name);
    if (name_n == 0 || name_n > host_n || strcasecmp(host + host_n - name_n, name) != 0) {
        return false;
    }
    return name_n == host_n ? !subdomains_only : host[host_n - name_n - 1] == '.';
}

/* Takes ":port" and brackets off; false when the port is another one than asked for. */
static bool strip_port(char **entry, int port) {
    char *text = *entry;
    char *colon = strrchr(text, ':');
    char *end = strchr(text, ']');
    if (text[0] == '[' && end != NULL) {
        colon = end[1] == ':' ? end + 1 : NULL;
        *end = '\0';
        *entry = text + 1;
    } else if (colon != NULL && strchr(text, ':') != colon) {
        return true; /* a bare IPv6 address */
    }
    if (colon == NULL) {
        return true;
    }
    int64_t wanted = 0;
    *colon = '\0';
    return str_to_int64(colon + 1, &wanted) && wanted == port;
}

static bool entry_matches(char *entry, const struct url *u, const unsigned char *address) {
    char *slash = strchr(entry, '/');
    unsigned char other[16];
    if (str_eq(entry, "*")) {
        return true;
    }
    if (slash != NULL) {
        *slash = '\0';
        return address != NULL && in_range(entry, slash + 1, address);
    }
    if (!strip_port(&entry, u->port)) {
        return false;
    }
    if (address != NULL) {
        return parse_address(entry, other) && memcmp(other, address, sizeof other) == 0;
    }
    return name_matches(str_has_prefix(entry, "*.") ? entry + 1 : entry, u->host);
}

static bool exempt(const struct url *u, const char *no_proxy) {
    unsigned char bytes[16];
    const unsigned char *address = parse_address(u->host, bytes) ? bytes : NULL;
    for (const char *p = no_proxy; p != NULL && *p != '\0';) {
        char entry[ENTRY_MAX];
        p += strspn(p, ", \t");
        size_t n = strcspn(p, ", \t");
        if (n > 0 && n < sizeof entry) {
            memcpy(entry, p, n);
            entry[n] = '\0';
            if (entry_matches(entry, u, address)) {
                return true;
            }
        }
        p += n;
    }
    return false;
}

const char *proxy_for(const struct url *u, const struct proxy_settings *s) {
    const char *proxy = str_eq(u->scheme, "https") ? s->https_proxy : s->http_proxy;
    return str_empty(proxy) || url_host_is_local(u->host) || exempt(u, s->no_proxy) ? "" : proxy;
}
