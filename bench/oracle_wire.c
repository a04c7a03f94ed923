/* oracle_wire.c - rules that every single call keeps, whatever it is for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/oracle_internal.h"
#include "platform/base/log.h"

#define MINUTE_MS 60000
#define SAME_WRITE_PER_MINUTE 40  /* back-off: 0.5 s doubling to 30 s, and news between */
#define SAME_STREAM_PER_MINUTE 20 /* of one resource; 0.8 s doubling to 30 s */
#define CALLS_PER_MINUTE 3000
#define SAME_READ_PER_MINUTE 60 /* of Kubernetes: a poll each 2 s at most */
#define WRITE_WINDOW_MS 5000    /* the renew deadline of 10 s less the longest write */
#define STREAMS_PER_HOUR 24     /* a watch lives for five minutes at least */

/* What is known of one method and path. */
struct route {
    char what[200];
    int64_t window_ms, not_before_ms;
    int in_window;
    int64_t hour_ms;
    int in_hour;
};

/* What a resource's streams have told. */
struct stream {
    char path[120];
    int64_t told_rv;
};

static struct {
    struct route routes[ORACLE_NAMES_MAX];
    struct stream streams[ORACLE_NAMES_MAX];
    size_t nroutes, nstreams;
    int64_t window_ms;
    int calls;
    int64_t renew_sent_ms, renewed_ms; /* the renewal under way, the last that succeeded (its sending); -1: none */
    int64_t released_ms;               /* the lease was given back last; -1: never */
    bool announced;                    /* the status was swapped, and nothing destructive went out since */
    char token[64];                    /* a piece of the last token that the API server signed for us */
} wire;

/* A list and a watch of the same path are two. */
static struct route *route_of(const struct net_call *c) {
    char what[200];
    snprintf(what, sizeof what, "%s%s", c->what, c->is_watch ? " (watch)" : "");
    for (size_t i = 0; i < wire.nroutes; i++)
        if (strcmp(wire.routes[i].what, what) == 0)
            return &wire.routes[i];
    if (wire.nroutes == ORACLE_NAMES_MAX)
        die("more than %d kinds of calls", ORACLE_NAMES_MAX);
    struct route *r = &wire.routes[wire.nroutes++];
    memset(r, 0, sizeof *r);
    memcpy(r->what, what, sizeof r->what);
    return r;
}

static struct stream *stream_of(const char *path) {
    for (size_t i = 0; i < wire.nstreams; i++)
        if (strcmp(wire.streams[i].path, path) == 0)
            return &wire.streams[i];
    if (wire.nstreams == ORACLE_NAMES_MAX)
        die("more than %d streams", ORACLE_NAMES_MAX);
    struct stream *s = &wire.streams[wire.nstreams++];
    memset(s, 0, sizeof *s);
    snprintf(s->path, sizeof s->path, "%s", path);
    return s;
}

static bool is_lease(const struct net_call *c) {
    return !c->to_aws && strstr(c->path, "/leases") != NULL;
}

/* --- how often --- */

static void count_call(const struct net_call *c) {
    int64_t now = virtual_now_ms();
    if (now - wire.window_ms >= MINUTE_MS) {
        wire.window_ms = now;
        wire.calls = 0;
    }
    if (++wire.calls > CALLS_PER_MINUTE)
        oracle_broken("L8: %d calls within a minute, the last of them %s", wire.calls, c->what);
}

static void count_route(const struct net_call *c) {
    struct route *r = route_of(c);
    int64_t now = virtual_now_ms();
    if (now < r->not_before_ms)
        oracle_broken("L8: %s was sent %lld ms before the time that the server's Retry-After named", c->what,
                      (long long)(r->not_before_ms - now));
    if (now - r->window_ms >= MINUTE_MS) {
        r->window_ms = now;
        r->in_window = 0;
    }
    if (now - r->hour_ms >= 60 * MINUTE_MS) {
        r->hour_ms = now;
        r->in_hour = 0;
    }
    r->in_window++;
    r->in_hour += c->is_watch;
    if (c->changes && r->in_window > SAME_WRITE_PER_MINUTE)
        oracle_broken("L8: %s was tried %d times within a minute", c->what, r->in_window);
    if (!c->to_aws && !c->changes && r->in_window > SAME_READ_PER_MINUTE)
        oracle_broken("L8: %s was asked %d times within a minute", c->what, r->in_window);
    if (c->is_watch && r->in_window > SAME_STREAM_PER_MINUTE)
        oracle_broken("L8: %s was asked %d times within a minute", c->what, r->in_window);
    if (c->is_watch && r->in_hour > STREAMS_PER_HOUR && !oracle.o->on_phase)
        oracle_broken("L5: %s was opened %d times within an hour, and nothing broke it", c->what, r->in_hour);
}

static void note_retry_after(const struct net_call *c) {
    if (c->retry_after_s <= 0 || is_lease(c) || c->status < 400)
        return;
    int64_t slack = 200;
    route_of(c)->not_before_ms = virtual_now_ms() + c->retry_after_s * 1000 - slack;
}

/* --- S8, S12 --- */

static void check_preconditions(const struct net_call *c) {
    if (c->to_aws || strstr(c->query, "dryRun=All"))
        return;
    bool pod = strstr(c->path, "/pods/") != NULL;
    bool shared =
        str_has_suffix(c->path, "/serviceaccounts/aws-node") || str_has_suffix(c->path, "/daemonsets/aws-node");
    if (pod && str_eq(c->method, "DELETE") && !(strstr(c->body, "\"uid\"") && strstr(c->body, "\"resourceVersion\"")))
        oracle_broken("S8: %s without the uid and version that were seen", c->what);
    if (shared && c->changes && !strstr(c->body, "uid"))
        oracle_broken("S8: %s without the uid that was seen", c->what);
}

static int64_t rv_in_query(const struct net_call *c) {
    const char *at = strstr(c->query, "resourceVersion=");
    return at ? strtoll(at + strlen("resourceVersion="), NULL, 10) : -1;
}

/* Of two each has a stream of its own, and a call does not say whose it is: checker_unknown.c knows. */
static bool one_process(void) {
    bool paused = false;
    for (int i = 0; i < oracle.o->nfaults; i++)
        paused = paused || oracle.o->faults[i].kind == NET_PAUSE;
    return oracle.o->replicas == 1 || (oracle.o->replicas == 0 && !paused);
}

static void check_read(const struct net_call *c) {
    if (c->to_aws || !str_eq(c->method, "GET"))
        return;
    int64_t rv = rv_in_query(c);
    if (rv == 0)
        oracle_broken("S12: %s at resourceVersion 0: an answer of any age would do", c->what);
    if (c->is_watch && rv > 0 && rv < stream_of(c->path)->told_rv && one_process())
        oracle_broken("S12: %s from version %" PRId64 ", although the stream before had told of %" PRId64, c->what, rv,
                      stream_of(c->path)->told_rv);
}

static void note_line(const struct net_call *c) {
    const char *at = strstr(c->answer, "\"resourceVersion\":\"");
    if (!at || strstr(c->answer, "\"type\":\"ERROR\""))
        return;
    int64_t rv = strtoll(at + strlen("\"resourceVersion\":\""), NULL, 10);
    struct stream *s = stream_of(c->path);
    if (rv > s->told_rv)
        s->told_rv = rv;
}

/* --- S6 --- */

static void note_lease(const struct net_call *c) {
    if (!is_lease(c) || str_eq(c->method, "GET"))
        return;
    bool gives_back = strstr(c->body, "\"holderIdentity\":\"\"") != NULL;
    if (c->moment == NET_SENT && !gives_back)
        wire.renew_sent_ms = virtual_now_ms();
    if (c->moment == NET_ARRIVED && gives_back)
        wire.released_ms = virtual_now_ms();
    if (c->moment == NET_ANSWERED && !gives_back && c->status >= 200 && c->status < 300)
        wire.renewed_ms = wire.renew_sent_ms;
}

static bool is_destructive(const struct net_call *c) {
    return aws_is(c, "DetachRolePolicy") || aws_is(c, "DeleteRole") || aws_is(c, "DeletePolicy") ||
           aws_is(c, "DeleteOpenIDConnectProvider");
}

static void note_status(const struct net_call *c) {
    bool status = !c->to_aws && strstr(c->path, "/cniiambindings/") && str_has_suffix(c->path, "/status");
    if (status && c->moment == NET_ANSWERED && c->status == 200)
        wire.announced = strstr(c->body, "\"resourceVersion\"") != NULL;
}

static void check_leadership(const struct net_call *c) {
    if (!c->changes)
        return;
    if (c->moment == NET_SENT && virtual_now_ms() - wire.renewed_ms > WRITE_WINDOW_MS)
        oracle_broken("S6: %s was sent %lld ms after the last renewal of the lease that succeeded", c->what,
                      (long long)(virtual_now_ms() - wire.renewed_ms));
    if (c->moment == NET_ARRIVED && c->sent_ms <= wire.released_ms)
        oracle_broken("S6: %s arrives after its sender gave the lease back", c->what);
    if (c->moment == NET_SENT && is_destructive(c)) {
        if (!wire.announced)
            oracle_broken("S6: %s was not announced by a compare-and-swap of status", c->what);
    }
    /* One announcement is for one write; a client that was told to slow down may send the same once more. */
    if (c->moment == NET_ANSWERED && is_destructive(c) && !strstr(c->answer, "Throttling"))
        wire.announced = false;
}

/* --- S10 --- */

static bool holds_secret(const char *text) {
    return text && (strstr(text, ORACLE_SECRET) || (wire.token[0] && strstr(text, wire.token)));
}

static void on_log_line(void *ctx, const char *line, size_t len) {
    (void)ctx;
    char text[4096];
    snprintf(text, sizeof text, "%.*s", (int)len, line);
    if (oracle.world && holds_secret(text))
        oracle_broken("S10: a log line holds a secret");
}

/* A piece of its claims, which no other text has: messages are cut at their end. */
static void note_token(const struct net_call *c) {
    if (c->moment != NET_ANSWERED || !str_has_suffix(c->path, "/token") || c->status != 201)
        return;
    const char *at = strstr(c->answer, "\"token\":\"");
    const char *end = at ? strchr(at + strlen("\"token\":\""), '"') : NULL;
    if (end && end - at > 200)
        snprintf(wire.token, sizeof wire.token, "%.*s", 40, at + 120);
}

static void check_secrets(const struct net_call *c) {
    if (c->moment == NET_SENT && !c->to_aws && holds_secret(c->body))
        oracle_broken("S10: %s writes a secret", c->what);
}

static void check_state_bytes(void *arg, const char *bytes, size_t n) {
    (void)arg;
    if (memmem(bytes, n, ORACLE_SECRET, strlen(ORACLE_SECRET)) ||
        (wire.token[0] && memmem(bytes, n, wire.token, strlen(wire.token))))
        oracle_broken("S10: the state file holds a secret");
}

/* --- all of them --- */

void wire_begin(void) {
    memset(&wire, 0, sizeof wire);
    wire.released_ms = -1;
    wire.renewed_ms = -WRITE_WINDOW_MS - 1;
    log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    log_set_sink(on_log_line, NULL);
}

void wire_see(const struct net_call *c) {
    note_lease(c);
    note_token(c);
    note_status(c);
    check_secrets(c);
    check_leadership(c);
    if (c->moment == NET_LINE)
        note_line(c);
    if (c->moment == NET_ANSWERED)
        note_retry_after(c);
    if (c->moment != NET_SENT)
        return;
    count_call(c);
    if (!is_lease(c))
        count_route(c);
    check_preconditions(c);
    check_read(c);
}

void wire_end(void) {
    bench_state_read(oracle.state, check_state_bytes, NULL);
}
