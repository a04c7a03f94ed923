#include "simulator/virtual/net.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "platform/base/random.h"
#include "platform/base/str.h"
#include "platform/base/strmap.h"
#include "platform/http/http.h"
#include "simulator/virtual/net_faults.h"
#include "simulator/virtual/virtual_loop.h"

#define STALE_LISTS_MAX 64
#define OLD_LISTS_MS 10000 /* after the crash: the lists with which informers begin, not those that are asked live */
#define DEADLINE_MS 40000  /* of a call that has none of its own */

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
    char retry_after[16], date[40];
};

struct http_client {
    struct http_client *next;
    struct http_request *requests;
    int process; /* whose it is */
};

static struct {
    struct net_options o;
    struct prng prng;
    struct net_fault faults[NET_FAULTS_MAX];
    int nfaults, nwrites, counts[NET_COUNTERS];
    bool quiet;
    struct net_weather weather;
    struct http_client *clients;
    struct http_client orphans; /* requests whose process is gone */
    char *forbidden;            /* what is refused, until */
    int64_t forbidden_until_ms, slow_until_ms;
    struct net_stale *stale;
    struct strmap *told; /* paths whose first list was given; NULL: nobody gets old lists */
    int64_t old_rv, old_until_ms;
    int old_process;
    char *writes[NET_CALLS_MAX];
    int64_t writes_ms[NET_CALLS_MAX];
    int64_t calls;
} net;

void net_add_fault(enum net_fault_kind kind, int at, int by) {
    if (net.nfaults == NET_FAULTS_MAX)
        die("more than %d faults", NET_FAULTS_MAX);
    net.faults[net.nfaults++] = (struct net_fault){.kind = kind, .at = at, .by = by > 0 ? by : net_fault_by(kind, 0)};
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

int net_count(enum net_counter counter) {
    return net.counts[counter];
}

int64_t net_write_ms(int i) {
    return net.writes_ms[i];
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

static int64_t line_delay(void) {
    int64_t wait = net.slow_until_ms - virtual_now_ms(), way = delay();
    return wait > way ? wait : way;
}

/* What happens at a server is the world's; what a process hears, it hears when it runs. */
static struct clock clock_of(const struct http_request *r) {
    return r->stage == ON_THE_WAY ? virtual_clock() : virtual_process_clock(r->client->process);
}

static uint64_t after(const struct http_request *r, int64_t ms, timer_fn fire) {
    struct clock c = clock_of(r);
    return c.timer_start(c.ctx, ms, fire, (void *)(uintptr_t)r);
}

static void stop_timer(const struct http_request *r, uint64_t *ticket) {
    struct clock c = clock_of(r);
    c.timer_stop(c.ctx, *ticket);
    *ticket = 0;
}

/* --- a request's life --- */

static void drop_lines(struct http_request *r) {
    while (r->first) {
        struct line *line = r->first;
        r->first = line->next;
        free(line);
    }
    r->last = &r->first;
}

static void request_free(struct http_request *r) {
    struct http_request **at = &r->client->requests;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    stop_timer(r, &r->timer);
    r->stage = ON_THE_WAY_BACK;
    stop_timer(r, &r->deadline);
    if (r->watch)
        sim_kube_watch_close(net.o.kube, r->watch);
    drop_lines(r);
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
    if (str_eq_nocase(name, "date"))
        return r->date;
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

/* Servers say what time it is. */
static void write_date(struct http_request *r) {
    struct clock c = virtual_clock();
    time_t now = (time_t)(c.wall_ms(c.ctx) / 1000);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || strftime(r->date, sizeof r->date, "%a, %d %b %Y %H:%M:%S GMT", &utc) == 0)
        r->date[0] = '\0';
}

static void answer_later(struct http_request *r) {
    r->stage = ON_THE_WAY_BACK;
    write_date(r);
    if (r->answer.retry_after_s > 0)
        snprintf(r->retry_after, sizeof r->retry_after, "%d", r->answer.retry_after_s);
    r->timer = after(r, delay(), on_back);
}

static void lose(struct http_request *r, bool sent) {
    free(r->answer.body);
    memset(&r->answer, 0, sizeof r->answer);
    error_set(&r->error, sent ? ERR_LOST : ERR_UNREACHABLE, "the connection broke");
    answer_later(r);
}

/* --- faults --- */

static struct net_fault *fault_at(enum net_counter counter, int number) {
    for (int i = 0; i < net.nfaults && !net.quiet; i++) {
        struct net_fault *f = &net.faults[i];
        if (net_fault_counter(f->kind) == counter && !f->hit &&
            (f->at == number || (counter == NET_COUNTS_READS && f->at < number)))
            return f;
    }
    return NULL;
}

static int count_here(enum net_counter counter) {
    int number = ++net.counts[counter];
    if (net.o.counted)
        net.o.counted(net.o.arg, counter, number);
    return number;
}

static bool expects(enum net_fault_kind kind) {
    for (int i = 0; i < net.nfaults; i++)
        if (net.faults[i].kind == kind && !net.faults[i].hit)
            return true;
    return false;
}

static bool is_of_the_disk(enum net_fault_kind kind) {
    return kind == NET_DISK_FULL || kind == NET_DISK_BROKEN || kind == NET_DISK_READ_ONLY;
}

static void happens(struct net_fault *f) {
    bool lasts =
        f->kind == NET_PAUSE || f->kind == NET_FORBIDDEN || f->kind == NET_SLOW_WATCH || is_of_the_disk(f->kind);
    f->hit = true;
    f->over_ms = virtual_now_ms() + (lasts ? (int64_t)f->by * 1000 : 0);
    if (f->kind == NET_EMPTY_LIST)
        f->over_ms += NET_DIVERGENCE_MS;
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
    line->text[len + 1] = '\0';
    *r->last = line;
    r->last = &line->next;
    if (!r->timer)
        r->timer = after(r, line_delay(), pump);
}

static void on_watch_line(void *arg, const char *line, size_t len) {
    add_line(arg, line, len, false);
}

static void on_watch_end(void *arg) {
    struct http_request *r = arg;
    r->watch = 0;
    add_line(r, "", 0, true);
}

static void break_stream(struct http_request *r) {
    if (r->watch)
        sim_kube_watch_close(net.o.kube, r->watch);
    r->watch = 0;
    drop_lines(r);
    stop_timer(r, &r->timer);
    error_set(&r->error, ERR_LOST, "the connection broke");
    r->timer = after(r, delay(), on_back);
}

static void break_streams(void) {
    for (struct http_client *c = net.clients; c; c = c->next)
        for (struct http_request *r = c->requests; r; r = r->next)
            if (r->stage == STREAMING && !r->error.code)
                break_stream(r);
}

/* NULL: nothing happens to this event. */
static const struct net_fault *event_fault(void) {
    struct net_fault *f = fault_at(NET_COUNTS_EVENTS, count_here(NET_COUNTS_EVENTS));
    if (f)
        happens(f);
    return f;
}

static void end_with_410(struct http_request *r) {
    static const char gone[] =
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
        "\"status\":\"Failure\",\"message\":\"too old resource version\",\"reason\":\"Expired\","
        "\"code\":410}}\n";
    stop_timer(r, &r->timer);
    (void)r->on_data(r->arg, gone, sizeof gone - 1);
    finish(r);
}

static void pump(void *arg) {
    struct http_request *r = arg;
    struct line *line = r->first;
    r->timer = 0;
    bool hangs = str_has_suffix(r->req.path, str_or(net.weather.hanging[0], "?")) ||
                 str_has_suffix(r->req.path, str_or(net.weather.hanging[1], "?"));
    if (hangs)
        r->timer = after(r, STREAM_LOOK_MS, pump);
    if (!line || hangs)
        return;
    const struct net_fault *f = line->end ? NULL : event_fault();
    if (f && f->kind == NET_WATCH_CUT) {
        break_stream(r);
        return;
    }
    if (f) {
        end_with_410(r);
        return;
    }
    r->first = line->next;
    if (!r->first)
        r->last = &r->first;
    else
        r->timer = after(r, line_delay(), pump);
    bool end = line->end;
    if (!end)
        tell(r, NET_LINE, line->text);
    if (!end && net.o.checker)
        sim_checker_line(net.o.checker, r->req.path, line->text);
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

static void on_stream(void *arg) {
    struct http_request *r = arg;
    struct http_response response = response_of(r);
    r->timer = r->first ? after(r, line_delay(), pump) : 0;
    if (r->on_headers)
        r->on_headers(r->arg, &response);
}

/* Every watch ends at once, as when a load balancer forgets its connections. */
void net_break_streams(void) {
    for (struct http_client *c = net.clients; c; c = c->next)
        for (struct http_request *r = c->requests, *next; r; r = next) {
            next = r->next;
            if (r->stage != STREAMING)
                continue;
            stop_timer(r, &r->timer);
            error_set(&r->error, ERR_LOST, "the connection broke");
            r->stage = ON_THE_WAY_BACK;
            r->timer = after(r, 1, on_back);
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
    r->timer = after(r, 0, on_stream);
}

/* --- at the server --- */

static int replica_of(const struct http_request *r) {
    return r->client->process > 0 ? r->client->process : 0;
}

static struct sim_checker_call call_of(const struct http_request *r) {
    return (struct sim_checker_call){
        .replica = replica_of(r), .to_aws = r->to_aws, .changes = r->changes, .req = &r->req};
}

static void tell_asked(const struct http_request *r) {
    struct sim_checker_call call = call_of(r);
    if (net.o.checker)
        sim_checker_asked(net.o.checker, &call);
}

/* answer NULL: the operator will hear nothing. */
static void tell_served(const struct http_request *r, const struct sim_http_answer *answer) {
    struct sim_checker_call call = call_of(r);
    if (net.o.checker)
        sim_checker_served(net.o.checker, &call, answer ? answer->status : 0, answer ? answer->body : NULL);
}

static void serve(struct http_request *r, struct sim_http_answer *out) {
    memset(out, 0, sizeof *out);
    if (r->to_aws)
        sim_aws_http(net.o.aws, &r->req, out);
    else
        sim_kube_http(net.o.kube, &r->req, out);
}

static void refuse(struct http_request *r, enum net_fault_kind kind) {
    net_refusal(kind, r->to_aws, &r->answer);
    tell_served(r, &r->answer);
    answer_later(r);
}

static bool is_refused(const struct http_request *r) {
    const struct net_weather *w = &net.weather;
    return w->refused && strstr(r->what, w->refused) && (w->refused_streams || !r->on_data);
}

static void refuse_as_all(struct http_request *r) {
    net_refusal(net.weather.refusal, r->to_aws, &r->answer);
    if (net.weather.not_found)
        net_not_found(r->to_aws, &r->answer);
    if (net.weather.retry_after_s)
        r->answer.retry_after_s = net.weather.retry_after_s;
    tell_served(r, &r->answer);
    answer_later(r);
}

/* A list of nothing: an answer like any other, and no wish (S14). */
static bool is_emptied(const struct http_request *r) {
    return net.weather.lists_are_empty && !r->to_aws && str_eq(r->req.method, "GET") &&
           (str_has_suffix(r->req.path, "/pods") || str_has_suffix(r->req.path, "/nodes"));
}

static bool is_forbidden(const struct http_request *r) {
    return net.forbidden && virtual_now_ms() < net.forbidden_until_ms && str_eq(r->what, net.forbidden);
}

static void remember(const struct http_request *r) {
    if (net.nwrites == NET_CALLS_MAX)
        return;
    net.writes_ms[net.nwrites] = virtual_now_ms();
    net.writes[net.nwrites++] = strdup(r->what);
}

/* The operator is gone: it must not be called back, and the request with it. */
static void crash(const struct http_request *r, const struct net_fault *f) {
    net.o.crash(net.o.arg, replica_of(r), f->kind);
}

/* --- an API server that lags --- */

/* The first list of an informer has a limit, and asks for the most recent state. */
static bool is_list(const char *query) {
    return strstr(query, "limit=") && !strstr(query, "watch=") && !strstr(query, "continue=");
}

static const char *without_version(const char *query, struct arena *a) {
    struct strlist all = str_split(query, '&', a), kept = {0};
    for (size_t i = 0; i < all.n; i++)
        if (!str_has_prefix(all.v[i], "resourceVersion"))
            strlist_add(&kept, all.v[i], a);
    return strlist_join(&kept, "&", a);
}

static void age_lists(const struct http_request *r, int versions) {
    int64_t rv = sim_kube_resource_version(net.o.kube) - versions;
    net.old_rv = rv > 1 ? rv : 1;
    net.old_process = replica_of(r);
    net.old_until_ms = virtual_now_ms() + OLD_LISTS_MS;
    strmap_free(net.told);
    net.told = strmap_new(STALE_LISTS_MAX, NULL);
}

/* The first list of each kind, of the process that comes after the crash. Exact is how the server can be asked for it. */
static void make_older(struct http_request *r) {
    static char yes[] = "";
    if (!net.told || virtual_now_ms() > net.old_until_ms || replica_of(r) != net.old_process ||
        !str_eq(r->req.method, "GET") || !is_list(r->req.query) || strmap_get(net.told, r->req.path) ||
        !strmap_set(net.told, r->req.path, yes))
        return;
    r->req.query = arena_printf(r->arena, "%s&resourceVersion=%lld&resourceVersionMatch=Exact",
                                without_version(r->req.query, r->arena), (long long)net.old_rv);
}

/* --- what is besides the call itself --- */

static void forbid(const struct http_request *r, const struct net_fault *f) {
    if (f->kind != NET_FORBIDDEN)
        return;
    free(net.forbidden);
    net.forbidden = strdup(r->what);
    net.forbidden_until_ms = virtual_now_ms() + (int64_t)f->by * 1000;
}

static void besides(const struct http_request *r, const struct net_fault *f) {
    if (f->kind == NET_PAUSE) {
        virtual_process_pause(replica_of(r), (int64_t)f->by * 1000);
    } else if (f->kind == NET_CLOCK_AHEAD || f->kind == NET_CLOCK_BACK) {
        virtual_process_set_wall(replica_of(r), (f->kind == NET_CLOCK_AHEAD ? 1000 : -1000) * (int64_t)f->by);
    } else if (is_of_the_disk(f->kind) && net.o.disk) {
        net.o.disk(net.o.arg, replica_of(r), f->kind, f->by);
    } else if (f->kind == NET_SLOW_WATCH) {
        net.slow_until_ms = virtual_now_ms() + (int64_t)f->by * 1000;
    } else if (f->kind == NET_COMPACTED) {
        sim_kube_compact(net.o.kube);
        break_streams();
    }
}

static void arrive_with(struct http_request *r, struct net_fault *f) {
    struct sim_http_answer again;
    happens(f);
    switch ((int)f->kind) {
    case NET_LOST_BEFORE:
        tell_served(r, NULL);
        lose(r, true);
        return;
    case NET_CRASH_BEFORE:
        tell_served(r, NULL);
        crash(r, f);
        return;
    case NET_STALE_LIST:
        tell_served(r, NULL);
        age_lists(r, f->by);
        crash(r, f);
        return;
    default:
        break;
    }
    if (net_is_refusal(f->kind)) {
        forbid(r, f);
        refuse(r, f->kind);
        return;
    }
    serve(r, &r->answer);
    if (f->kind == NET_TWICE) { /* the operator hears of the second */
        serve(r, &again);
        free(r->answer.body);
        r->answer = again;
    }
    if (f->kind == NET_TIMEOUT_AFTER) {
        free(r->answer.body);
        net_gateway_timeout(r->to_aws, &r->answer);
    }
    bool crashes = f->kind == NET_CRASH_AFTER || f->kind == NET_CRASH_FORGETS || f->kind == NET_CRASH_SPOILS;
    bool heard = !crashes && f->kind != NET_LOST_AFTER;
    tell_served(r, heard ? &r->answer : NULL);
    if (crashes) {
        crash(r, f);
        return;
    }
    if (f->kind == NET_LOST_AFTER)
        lose(r, true);
    else
        answer_later(r);
    besides(r, f);
}

static void arrive_write(struct http_request *r) {
    remember(r);
    count_here(NET_COUNTS_WRITES);
    if (net.o.request)
        net.o.request(net.o.arg, r->to_aws, &r->req);
    if (r->to_aws && expects(NET_STALE_READ))
        net_stale_before_write(net.stale, virtual_now_ms());
    struct net_fault *f = fault_at(NET_COUNTS_WRITES, net.counts[NET_COUNTS_WRITES]);
    if (f) {
        arrive_with(r, f);
    } else if (is_forbidden(r)) {
        refuse(r, NET_FORBIDDEN);
    } else {
        serve(r, &r->answer);
        tell_served(r, &r->answer);
        answer_later(r);
    }
}

/* false: it can not happen to this one. */
static bool read_with(struct http_request *r, const struct net_fault *f) {
    struct sim_http_answer old;
    switch ((int)f->kind) {
    case NET_READ_LOST:
        tell_served(r, NULL);
        lose(r, true);
        return true;
    case NET_EMPTY_LIST:
        return net_empty_list(&r->answer);
    case NET_STALE_READ:
        if (!r->to_aws || !net_stale_answer(net.stale, &r->req, virtual_now_ms(), &old))
            return false;
        free(r->answer.body);
        r->answer = old;
        return true;
    default:
        free(r->answer.body);
        refuse(r, f->kind);
        return true;
    }
}

static void arrive_read(struct http_request *r) {
    struct net_fault *f = fault_at(NET_COUNTS_READS, count_here(NET_COUNTS_READS));
    if (r->to_aws && expects(NET_STALE_READ))
        net_stale_saw_read(net.stale, &r->req);
    if (!r->to_aws)
        make_older(r);
    serve(r, &r->answer);
    if (is_emptied(r))
        (void)net_empty_list(&r->answer);
    if (f && read_with(r, f))
        happens(f);
    if (r->stage != ON_THE_WAY)
        return; /* answered by the fault */
    tell_served(r, &r->answer);
    answer_later(r);
}

static void arrive_without_sender(struct http_request *r) {
    remember(r);
    net.counts[NET_COUNTS_WRITES]++; /* without a word: no fault can happen to who is gone */
    serve(r, &r->answer);
    tell_served(r, NULL);
    request_free(r);
}

static void on_arrival(void *arg) {
    struct http_request *r = arg;
    r->timer = 0;
    tell(r, NET_ARRIVED, "");
    tell_asked(r);
    if (r->client == &net.orphans) {
        arrive_without_sender(r);
        return;
    }
    if (is_refused(r)) {
        refuse_as_all(r);
        return;
    }
    if (r->on_data) {
        open_stream(r);
        tell_served(r, NULL);
        return;
    }
    if (r->changes)
        arrive_write(r);
    else
        arrive_read(r);
}

/* --- what http.h is asked --- */

static struct http_client *client_new(void) {
    struct http_client *c = calloc(1, sizeof *c);
    if (!c)
        die("out of memory");
    c->process = virtual_process_at_work();
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
    r->stage = ON_THE_WAY_BACK; /* the deadline is its sender's */
    stop_timer(r, &r->deadline);
    r->stage = ON_THE_WAY;
    net.orphans.process = r->client->process;
    r->client = &net.orphans;
    r->next = net.orphans.requests;
    net.orphans.requests = r;
    return true;
}

static void cancel(struct http_request *r) {
    if (!outlives(r))
        request_free(r);
}

static void client_free(struct http_client *c) {
    struct http_client **at = &net.clients;
    for (struct http_request *r = c->requests, *next; r; r = next) {
        next = r->next;
        cancel(r);
    }
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    free(c);
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

static struct http_request *start(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg,
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
    r->req.date = header_of(call, "X-Amz-Date", a);
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
    r->timer = after(r, delay() + (r->to_aws && r->changes ? net.weather.aws_delay_ms : 0), on_arrival);
    struct clock own = virtual_process_clock(c->process);
    r->deadline = own.timer_start(own.ctx, call->deadline_ms > 0 ? call->deadline_ms : DEADLINE_MS, on_deadline, r);
    return r;
}

/* --- begin and end --- */

static void forget(void) {
    net_stale_free(net.stale);
    strmap_free(net.told);
    free(net.forbidden);
    for (int i = 0; i < net.nwrites; i++)
        free(net.writes[i]);
    memset(&net, 0, sizeof net);
}

void net_begin(const struct net_options *o) {
    static const struct http_transport transport = {
        .client_new = client_new, .client_free = client_free, .start = start, .cancel = cancel};
    forget();
    net.o = *o;
    prng_seed(&net.prng, o->seed);
    net.stale = net_stale_new(o->aws);
    http_use(&transport);
}

void net_end(void) {
    forget();
    http_use(NULL);
}
