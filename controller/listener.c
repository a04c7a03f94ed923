#include "controller/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/base/str.h"

#define HOST_MAX 64
#define BACKLOG 64

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
    socklen_t n;
    bool every; /* no host given: IPv4 and IPv6 */
};

static bool invalid(const char *bind, const char *flag, struct error *err) {
    return error_set(
        err, ERR_INVALID,
        "%s \"%.100s\": write ADDRESS:PORT, e.g. 127.0.0.1:9809, [::1]:9809 or :9809 for every address, or 0 for off",
        flag, str_or(bind, ""));
}

static void set_v6(struct address *a, struct in6_addr ip, int port) {
    a->u.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = ip};
    a->n = sizeof a->u.v6;
}

static bool parse_host(const char *host, int port, struct address *a) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, str_eq(host, "localhost") ? "127.0.0.1" : host, &v4) == 1) {
        a->u.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = v4};
        a->n = sizeof a->u.v4;
        return true;
    }
    size_t n = strlen(host);
    char bare[HOST_MAX];
    if (n < 4 || host[0] != '[' || host[n - 1] != ']') {
        return false; /* without brackets the port could be read as a part of the address */
    }
    memcpy(bare, host + 1, n - 2);
    bare[n - 2] = '\0';
    if (inet_pton(AF_INET6, bare, &v6) != 1) {
        return false;
    }
    set_v6(a, v6, port);
    return true;
}

static bool parse(const char *bind, struct address *a) {
    const char *colon = bind != NULL ? strrchr(bind, ':') : NULL;
    int64_t port = 0;
    char host[HOST_MAX];
    memset(a, 0, sizeof *a);
    if (colon == NULL || !str_to_int64(colon + 1, &port) || port > 65535 || (size_t)(colon - bind) >= sizeof host) {
        return false;
    }
    memcpy(host, bind, (size_t)(colon - bind));
    host[colon - bind] = '\0';
    if (host[0] != '\0') {
        return parse_host(host, (int)port, a);
    }
    a->every = true;
    set_v6(a, in6addr_any, (int)port);
    return true;
}

static int try_listen(const struct address *a) {
    int on = 1;
    int v6_only = a->every ? 0 : 1;
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
                     sizeof on); /* a restart finds the old connections in TIME_WAIT */
    if (a->u.any.sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    }
    if (bind(fd, &a->u.any, a->n) != 0 || listen(fd, BACKLOG) != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static const char *what_to_do(int code) {
    switch (code) {
    case EADDRINUSE:
        return "the port is in use; choose another, or 0 for off";
    case EADDRNOTAVAIL:
        return "this machine does not have the address";
    case EACCES:
        return "ports below 1024 are not for every user; choose a higher one";
    default:
        return strerror(code);
    }
}

int listener_open(const char *bind, const char *flag, int *port, struct error *err) {
    struct address a;
    if (!parse(bind, &a)) {
        (void)invalid(bind, flag, err);
        return -1;
    }
    int fd = try_listen(&a);
    if (fd < 0 && a.every && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        /* A kernel without IPv6. */
        in_port_t p = a.u.v6.sin6_port;
        a.u.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = p};
        a.n = sizeof a.u.v4;
        fd = try_listen(&a);
    }
    if (fd < 0) {
        (void)error_set(err, ERR_IO, "%s %s can not be bound: %s", flag, bind, what_to_do(errno));
        return -1;
    }
    a.n = sizeof a.u;
    (void)getsockname(fd, &a.u.any, &a.n);
    *port = ntohs(a.u.any.sa_family == AF_INET ? a.u.v4.sin_port : a.u.v6.sin6_port);
    return fd;
}
