#include "bench/net.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/virtual_loop.h"
#include "platform/base/random.h"
#include "platform/base/str.h"
#include "platform/http/http.h"

static const char *const fault_names[NET_FAULT_KINDS] = {"lost-before", "lost-after",  "twice",        "denied",
                                                         "throttled",   "unavailable", "crash-before", "crash-after"};

#define STREAM_LOOK_MS 1000 /* of one that hangs: may it speak again? */

enum stage { ON_THE_WAY, ON_THE_WAY_BACK, STREAMING };

struct line {
    struct line *next;
    size_t len;
    bool end;
    char text[];
};

struct http_request {
    struct http_client *client;
    struct http_request *next;
    struct arena *arena;
    struct sim_http_request req;
    bool to_aws, changes, alive;
    const char *what; /* for people */
    http_done_fn done;
    void *arg;
    void (*on_headers)(void *arg, const struct http_response *r);
    bool (*on_data)(void *arg, const char *p, size_t n);
    enum stage stage;
    int64_t sent_ms;
    uint64_t timer, deadline, watch;
    const struct net_fault *fault;
    struct sim_http_answer answer;
    struct error error;
    struct line *first, **last;
    char retry_after[16];
};

struct http_client {
    struct http_request *requests;
    struct http_client *next;
};

static struct {
    struct net_options o;
    struct net_weather weather;
    struct http_client *clients;
    struct http_client orphans; /* requests whose process is gone */
    struct prng prng;
    struct net_fault faults[NET_FAULTS_MAX];
    int nfaults, nwrites;
    bool quiet;
    char *writes[NET_CALLS_MAX];
    int64_t calls;
} net;

const char *net_fault_name(enum net_fault_kind kind) {
    return fault_names[kind];
}

void net_begin(const struct net_options *o) {
    for (int i = 0; i < net.nwrites; i++)
        free(net.writes[i]);
    struct http_client *clients = net.clients;
    memset(&net, 0, sizeof net);
    net.clients = clients;
    net.o = *o;
    prng_seed(&net.prng, o->seed);
}

void net_add_fault(enum net_fault_kind kind, int at) {
    if (net.nfaults == NET_FAULTS_MAX)
        die("more than %d faults", NET_FAULTS_MAX);
    net.faults[net.nfaults++] = (struct net_fault){.kind = kind, .at = at};
}

const struct net_fault *net_faults(int *n) {
    *n = net.nfaults;
    return net.faults;
}

struct net_weather *net_weather(void) {
    return &net.weather;
}

void net_quiet(void) {
    net.quiet = true;
}

int net_writes(const char ***lines) {
    if (lines)
        *lines = (const char **)(uintptr_t)net.writes;
    return net.nwrites;
}

int64_t net_calls(void) {
    return net.calls;
}

static void tell(const struct http_request *r, enum net_moment moment, const char *text) {
    if (!net.o.tap)
        return;
    struct net_call c = {.moment = moment,
                         .to_aws = r->to_aws,
                         .changes = r->changes,
                         .is_watch = r->on_data != NULL,
                         .what = r->what,
                         .method = r->req.method,
                         .path = r->req.path,
                         .query = r->req.query,
                         .body = r->req.body,
                         .sent_ms = r->sent_ms,
                         .status = r->error.code ? 0 : r->answer.status,
                         .retry_after_s = r->answer.retry_after_s,
                         .answer = text};
    net.o.tap(net.o.tap_arg, &c);
}

static int64_t delay(void) {
    return net.o.delay_max_ms > 0 ? 1 + (int64_t)prng_below(&net.prng, (uint64_t)net.o.delay_max_ms) : 1;
}

static uint64_t after(int64_t ms, timer_fn fire, void *arg) {
    struct clock c = virtual_clock();
    return c.timer_start(c.ctx, ms, fire, arg);
}

static void stop_timer(uint64_t *ticket) {
    struct clock c = virtual_clock();
    c.timer_stop(c.ctx, *ticket);
    *ticket = 0;
}

/* --- a request's life --- */

static void request_free(struct http_request *r) {
    struct http_request **at = &r->client->requests;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    stop_timer(&r->timer);
    stop_timer(&r->deadline);
    if (r->watch)
        sim_kube_watch_close(net.o.kube, r->watch);
    while (r->first) {
        struct line *line = r->first;
        r->first = line->next;
        free(line);
    }
    free(r->answer.body);
    arena_free(r->arena);
    free(r);
}

static const char *find_header(const struct http_response *response, const char *name) {
    const struct http_request *r = response->headers_;
    if (str_eq_nocase(name, "retry-after") && r->retry_after[0])
        return r->retry_after;
    if (str_eq_nocase(name, "content-type"))
        return r->answer.content_type;
    return NULL;
}

static struct http_response response_of(const struct http_request *r) {
    struct http_response out = {.status = r->answer.status,
                                .body = r->answer.body ? r->answer.body : "",
                                .body_len = r->answer.body_len,
                                .error = r->error,
                                .header = find_header,
                                .headers_ = r};
    return out;
}

/* A watch that was refused: its answer comes as any stream does, headers first. */
static void hand_over_refusal(struct http_request *r, const struct http_response *response) {
    if (r->on_headers)
        r->on_headers(r->arg, response);
    if (response->body_len)
        r->on_data(r->arg, response->body, response->body_len);
}

static void finish(struct http_request *r) {
    struct http_response response = response_of(r);
    if (r->error.code)
        response.status = 0;
    if (r->on_data && response.status && response.status != 200)
        hand_over_refusal(r, &response);
    tell(r, NET_ANSWERED, r->error.code || !r->answer.body ? "" : r->answer.body);
    r->done(r->arg, &response);
    request_free(r);
}

static void on_back(void *arg) {
    struct http_request *r = arg;
    r->timer = 0;
    finish(r);
}

static void answer_later(struct http_request *r) {
    r->stage = ON_THE_WAY_BACK;
    if (r->answer.retry_after_s > 0)
        snprintf(r->retry_after, sizeof r->retry_after, "%d", r->answer.retry_after_s);
    r->timer = after(delay(), on_back, r);
}

static void lose(struct http_request *r, bool sent) {
    free(r->answer.body);
    memset(&r->answer, 0, sizeof r->answer);
    error_set(&r->error, sent ? ERR_LOST : ERR_UNREACHABLE, "the connection broke");
    answer_later(r);
}

/* --- streams --- */

static void pump(void *arg);

static void add_line(struct http_request *r, const char *text, size_t len, bool end) {
    struct line *line = malloc(sizeof *line + len + 2);
    if (!line)
        die("out of memory");
    *line = (struct line){.len = len + (end ? 0 : 1), .end = end};
    memcpy(line->text, text, len);
    line->text[len] = '\n';
    *r->last = line;
    r->last = &line->next;
    if (!r->timer)
        r->timer = after(delay(), pump, r);
}

static void on_watch_line(void *arg, const char *line, size_t len) {
    add_line(arg, line, len, false);
}

static void on_watch_end(void *arg) {
    struct http_request *r = arg;
    r->watch = 0;
    add_line(r, "", 0, true);
}

static void pump(void *arg) {
    struct http_request *r = arg;
    struct line *line = r->first;
    r->timer = 0;
    bool hangs = str_has_suffix(r->req.path, str_or(net.weather.hanging[0], "?")) ||
                 str_has_suffix(r->req.path, str_or(net.weather.hanging[1], "?"));
    if (hangs)
        r->timer = after(STREAM_LOOK_MS, pump, r);
    if (!line || hangs)
        return;
    r->first = line->next;
    if (!r->first)
        r->last = &r->first;
    else
        r->timer = after(delay(), pump, r);
    bool end = line->end;
    if (!end)
        tell(r, NET_LINE, line->text);
    bool go_on = end || r->on_data(r->arg, line->text, line->len);
    free(line);
    if (end) {
        finish(r);
    } else if (!go_on) {
        error_set(&r->error, ERR_CANCELLED, "ended by us");
        finish(r);
    }
}

static void on_deadline(void *arg) {
    struct http_request *r = arg;
    r->deadline = 0;
    error_set(&r->error, ERR_TIMEOUT, "no answer within the deadline");
    finish(r);
}

/* Every watch ends at once, as when a load balancer forgets its connections. */
void net_break_streams(void) {
    for (struct http_client *c = net.clients; c; c = c->next)
        for (struct http_request *r = c->requests, *next; r; r = next) {
            next = r->next;
            if (r->stage != STREAMING)
                continue;
            stop_timer(&r->timer);
            error_set(&r->error, ERR_LOST, "the connection broke");
            r->stage = ON_THE_WAY_BACK;
            r->timer = after(1, on_back, r);
        }
}

static void open_stream(struct http_request *r) {
    struct sim_watch_sink sink = {.arg = r, .on_line = on_watch_line, .on_end = on_watch_end};
    r->watch = sim_kube_watch(net.o.kube, &r->req, sink, &r->answer);
    if (!r->watch) {
        answer_later(r);
        return;
    }
    r->stage = STREAMING;
    r->answer.status = 200;
    struct http_response response = response_of(r);
    if (r->on_headers)
        r->on_headers(r->arg, &response);
}

/* --- at the server --- */

static void serve(struct http_request *r, struct sim_http_answer *out) {
    memset(out, 0, sizeof *out);
    if (r->to_aws)
        sim_aws_http(net.o.aws, &r->req, out);
    else
        sim_kube_http(net.o.kube, &r->req, out);
}

static void refuse(struct http_request *r, enum net_fault_kind kind) {
    static const struct {
        int status;
        const char *code, *reason;
    } how[] = {[NET_DENIED] = {403, "AccessDenied", "Forbidden"},
               [NET_THROTTLED] = {400, "Throttling", "TooManyRequests"},
               [NET_UNAVAILABLE] = {503, "ServiceUnavailable", "ServiceUnavailable"}};
    char text[512];
    int status = net.weather.not_found ? 404 : how[kind].status;
    const char *code = net.weather.not_found ? "NoSuchEntity" : how[kind].code;
    if (r->to_aws)
        snprintf(text, sizeof text,
                 "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>injected</Message></Error>"
                 "<RequestId>r</RequestId></ErrorResponse>",
                 code);
    else
        snprintf(text, sizeof text,
                 "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"injected\","
                 "\"reason\":\"%s\",\"code\":%d}",
                 how[kind].reason, kind == NET_THROTTLED ? (status = 429) : status);
    r->answer = (struct sim_http_answer){.status = status,
                                         .content_type = r->to_aws ? "text/xml" : "application/json",
                                         .body = strdup(text),
                                         .body_len = strlen(text),
                                         .retry_after_s = net.weather.retry_after_s};
    answer_later(r);
}

static bool is_refused(const struct http_request *r) {
    const struct net_weather *w = &net.weather;
    return w->refused && strstr(r->what, w->refused) && (w->refused_streams || !r->on_data);
}

/* A list of nothing: an answer like any other, and no wish (S14). */
static bool is_emptied(const struct http_request *r) {
    return net.weather.lists_are_empty && !r->to_aws && str_eq(r->req.method, "GET") &&
           (str_has_suffix(r->req.path, "/pods") || str_has_suffix(r->req.path, "/nodes"));
}

static void answer_empty(struct http_request *r) {
    serve(r, &r->answer);
    struct error err;
    json *list = json_parse(str_or(r->answer.body, "{}"), r->answer.body_len, &err);
    json_add_item(list, "items", json_new_array());
    free(r->answer.body);
    r->answer.body = json_print(list);
    r->answer.body_len = strlen(r->answer.body);
    json_free(list);
    answer_later(r);
}

static struct net_fault *fault_for(int number) {
    for (int i = 0; i < net.nfaults && !net.quiet; i++)
        if (net.faults[i].at == number && !net.faults[i].hit)
            return &net.faults[i];
    return NULL;
}

static void remember(const struct http_request *r) {
    if (net.nwrites < NET_CALLS_MAX)
        net.writes[net.nwrites++] = strdup(r->what);
}

/* The operator is gone: it must not be called back, and the request with it. */
static void crash(void) {
    net.o.crash(net.o.arg);
}

static void arrive_with(struct http_request *r, struct net_fault *f) {
    struct sim_http_answer again;
    f->hit = true;
    switch ((int)f->kind) {
    case NET_LOST_BEFORE:
        lose(r, true);
        return;
    case NET_CRASH_BEFORE:
        crash();
        return;
    case NET_DENIED:
    case NET_THROTTLED:
    case NET_UNAVAILABLE:
        refuse(r, f->kind);
        return;
    default:
        break;
    }
    serve(r, &r->answer);
    if (f->kind == NET_CRASH_AFTER) {
        crash();
        return;
    }
    if (f->kind == NET_LOST_AFTER) {
        lose(r, true);
        return;
    }
    serve(r, &again); /* NET_TWICE: the operator hears of the second */
    free(r->answer.body);
    r->answer = again;
    answer_later(r);
}

static void arrive_without_sender(struct http_request *r) {
    remember(r);
    serve(r, &r->answer);
    request_free(r);
}

static void on_arrival(void *arg) {
    struct http_request *r = arg;
    struct net_fault *f = NULL;
    r->timer = 0;
    tell(r, NET_ARRIVED, "");
    if (r->client == &net.orphans) {
        arrive_without_sender(r);
        return;
    }
    if (is_refused(r)) {
        refuse(r, net.weather.refusal);
        return;
    }
    if (r->on_data) {
        open_stream(r);
        return;
    }
    if (is_emptied(r)) {
        answer_empty(r);
        return;
    }
    if (r->changes) {
        remember(r);
        if (net.o.before)
            net.o.before(net.o.arg, r->what);
        f = fault_for(net.nwrites);
    }
    if (f) {
        arrive_with(r, f);
        return;
    }
    serve(r, &r->answer);
    answer_later(r);
}

/* --- http.h --- */

struct http_client *http_client_new(struct loop *l, const struct http_client_options *o, struct error *err) {
    (void)l, (void)o, (void)err;
    struct http_client *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->next = net.clients;
    net.clients = c;
    return c;
}

/* Sent is sent: a write on the way arrives, though nobody waits for its answer any more. */
static bool outlives(struct http_request *r) {
    if (!net.weather.writes_outlive || !r->changes || r->stage != ON_THE_WAY)
        return false;
    struct http_request **at = &r->client->requests;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    stop_timer(&r->deadline);
    r->client = &net.orphans;
    r->next = net.orphans.requests;
    net.orphans.requests = r;
    return true;
}

void http_client_free(struct http_client *c) {
    if (!c)
        return;
    struct http_client **at = &net.clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    while (c->requests)
        http_cancel(c->requests);
    free(c);
}

bool http_client_reconfigure(struct http_client *c, const struct http_client_options *o, struct error *err) {
    (void)c, (void)o, (void)err;
    return true;
}

static const char *header_of(const struct http_call *call, const char *name, struct arena *a) {
    for (size_t i = 0; i < call->nheaders; i++)
        if (str_eq_nocase(call->headers[i].name, name))
            return arena_strdup(a, call->headers[i].secret_value ? secret_expose(call->headers[i].secret_value)
                                                                 : call->headers[i].value);
    return NULL;
}

static bool take_url(struct http_request *r, const char *url, struct error *err) {
    assert(url);
    r->to_aws = str_has_prefix(url, NET_AWS "/") || str_eq(url, NET_AWS);
    if (!r->to_aws && !str_has_prefix(url, NET_KUBE "/"))
        return error_set(err, ERR_UNREACHABLE, "nobody answers at %s", url);
    const char *path = url + (r->to_aws ? strlen(NET_AWS) : strlen(NET_KUBE));
    const char *query = strchr(path, '?');
    r->req.path = *path == '\0'
                      ? "/"
                      : (query ? arena_strndup(r->arena, path, (size_t)(query - path)) : arena_strdup(r->arena, path));
    r->req.query = query ? arena_strdup(r->arena, query + 1) : "";
    return true;
}

/* Leases, reviews, tokens, dry runs and Events change nothing that a fault could hurt. */
static bool counts_as_write(const struct http_request *r, const struct http_call *call) {
    assert(r->req.path && r->req.query);
    if (r->to_aws)
        return call->changes_something;
    return !str_eq(call->method, "GET") && !strstr(r->req.path, "/leases/") && !strstr(r->req.path, "accessreviews") &&
           !strstr(r->req.path, "/token") && !strstr(r->req.path, "/events") && !strstr(r->req.query, "dryRun=All") &&
           !str_has_suffix(r->req.path, "/leases");
}

static const char *name_of(struct http_request *r, const struct http_call *call) {
    if (!r->to_aws)
        return arena_printf(r->arena, "kube %s %s", call->method, r->req.path);
    const char *action = call->body ? strstr(call->body, "Action=") : NULL;
    action = action ? action + strlen("Action=") : r->req.path;
    return arena_printf(r->arena, "aws %.*s", (int)strcspn(action, "&"), action);
}

struct http_request *http_start(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg,
                                struct error *err) {
    struct arena *a = arena_new(0);
    struct http_request *r = calloc(1, sizeof *r);
    if (!r)
        die("out of memory");
    r->arena = a;
    if (!take_url(r, call->url, err)) {
        arena_free(a);
        free(r);
        return NULL;
    }
    char *body = arena_strndup(a, call->body ? call->body : "", call->body ? call->body_len : 0);
    r->client = c;
    r->next = c->requests;
    c->requests = r;
    r->last = &r->first;
    r->done = done;
    r->arg = arg;
    r->on_headers = call->on_headers;
    r->on_data = call->on_data;
    r->req.method = arena_strdup(a, call->method);
    r->req.authorization = header_of(call, "Authorization", a);
    r->req.accept = header_of(call, "Accept", a);
    r->req.content_type = header_of(call, "Content-Type", a);
    r->req.user_agent = "cni-iam/bench";
    r->req.body = body;
    r->req.body_len = call->body ? call->body_len : 0;
    r->changes = counts_as_write(r, call);
    r->what = name_of(r, call);
    net.calls++;
    r->sent_ms = virtual_now_ms();
    tell(r, NET_SENT, "");
    r->timer = after(delay() + (r->to_aws && r->changes ? net.weather.aws_delay_ms : 0), on_arrival, r);
    r->deadline = after(call->deadline_ms > 0 ? call->deadline_ms : 40000, on_deadline, r);
    return r;
}

void http_cancel(struct http_request *r) {
    if (r && !outlives(r))
        request_free(r);
}

int http_retry_after_ms(const struct http_response *r, int64_t now_wall_ms) {
    (void)now_wall_ms;
    const char *s = r->header(r, "Retry-After");
    int64_t seconds = 0;
    return s && str_to_int64(s, &seconds) ? (int)(seconds * 1000) : 0;
}
