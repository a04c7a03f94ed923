#include "informers/watch_machine.h"

#include <assert.h>
#include <string.h>

#include "platform/base/mutant.h"
#include "platform/base/str.h"

void watch_machine_init(struct watch_machine *m, uint64_t seed, const char *remembered_rv) {
    memset(m, 0, sizeof *m);
    prng_seed(&m->prng, seed);
    backoff_init(&m->backoff, WATCH_BACKOFF_BASE_MS, WATCH_BACKOFF_CAP_MS);
    rv_advance(m->floor, rv_valid(remembered_rv) ? remembered_rv : NULL);
}

bool watch_machine_auditing(const struct watch_machine *m) {
    return m->audit == WATCH_AUDIT_LISTING;
}

const char *watch_state_name(enum watch_state s) {
    static const char *const names[] = {"Stopped", "Listing", "Watching", "Waiting"};
    return names[s];
}

/* Lists: the first page says which state is meant, the others only carry the token (K-L5). */

static void ask_page(struct watch_machine *m, int64_t now, struct watch_order *out) {
    bool first = m->pages == 0;
    bool audit = watch_machine_auditing(m);
    bool not_older = m->not_older && !audit && m->floor[0] != '\0';

    out->io = WATCH_IO_LIST;
    out->list = (struct list_query){0};
    if (first && not_older) {
        out->list.resource_version = m->floor;
        out->list.resource_version_match = "NotOlderThan";
    }
    if (first && MUTANT(list_at_version_zero)) {
        out->list.resource_version = "0";
    }
    if (!first) {
        out->list.continue_token = m->continue_token;
    }
    /* NotOlderThan is asked in one page: it is served from the server's cache, where pages would only cost (K-L3). */
    out->list.limit = m->unpaged || (not_older && first) ? 0 : WATCH_PAGE_LIMIT;
    m->list_deadline_ms = now + WATCH_LIST_DEADLINE_MS;
}

static void begin_list(struct watch_machine *m, int64_t now, struct watch_order *out) {
    m->state = WATCH_LISTING;
    m->pages = 0;
    m->continue_token[0] = '\0';
    m->counters.lists++;
    out->discard_stage = true;
    ask_page(m, now, out);
}

static void list_now(struct watch_machine *m, int64_t now, bool not_older, struct watch_order *out) {
    m->not_older = not_older;
    m->unpaged = false;
    begin_list(m, now, out);
}

static void schedule_audit(struct watch_machine *m, int64_t now, int64_t about_ms) {
    int64_t fifth = about_ms / 5;
    m->audit = WATCH_AUDIT_NONE;
    m->audit_at_ms = now + about_ms - fifth + (int64_t)prng_below(&m->prng, (uint64_t)(2 * fifth) + 1);
}

static void watch_now(struct watch_machine *m, int64_t now, struct watch_order *out) {
    assert(m->rv[0] != '\0');
    m->state = WATCH_WATCHING;
    m->watch_started_ms = now;
    m->lines = 0;
    m->silence_checked = false;
    m->timeout_seconds = WATCH_TIMEOUT_MIN_S + (int)prng_below(&m->prng, WATCH_TIMEOUT_SPREAD_S + 1);
    m->counters.watches++;
    out->io = WATCH_IO_WATCH;
    out->watch = (struct watch_query){m->rv, m->timeout_seconds};
}

/* Waits before `next`; at least as long as the server asked for. */
static void wait_for(struct watch_machine *m, int64_t now, enum watch_io next, const struct error *err) {
    if (now - m->backoff_ended_ms >= WATCH_BACKOFF_RESET_MS) {
        backoff_reset(&m->backoff);
    }
    int64_t delay = backoff_next_doubled_ms(&m->backoff, &m->prng);
    int64_t asked = err != NULL ? err->retry_after_ms : 0;
    if (asked > WATCH_RETRY_AFTER_MAX_MS) {
        asked = WATCH_RETRY_AFTER_MAX_MS;
    }
    if (MUTANT(watch_retry_after_is_ignored)) {
        asked = 0;
    }
    if (MUTANT(watch_without_back_off)) {
        delay = 0;
    }
    m->state = WATCH_WAITING;
    m->next = next;
    m->wait_until_ms = now + (delay > asked ? delay : asked);
    m->backoff_ended_ms = m->wait_until_ms;
    m->counters.backoffs++;
}

static void wait_for_list(struct watch_machine *m, int64_t now, bool not_older, const struct error *err) {
    m->not_older = not_older;
    m->unpaged = false;
    wait_for(m, now, WATCH_IO_LIST, err);
}

/* The resource is not there: an absent CRD is no wish to undo anything (K-C7, S14). The state stays as it is. */
static void wait_for_resource(struct watch_machine *m, int64_t now) {
    m->absent = true;
    m->not_older = false;
    m->unpaged = false;
    m->state = WATCH_WAITING;
    m->next = WATCH_IO_LIST;
    m->wait_until_ms = now + WATCH_ABSENT_MS + (int64_t)prng_below(&m->prng, WATCH_ABSENT_MS / 5);
}

/* What the end of a watch, or a failed list, asks for. */
enum verdict {
    VERDICT_RESUME,      /* nothing is wrong with us: go on where we were */
    VERDICT_RETRY,       /* the same again, later */
    VERDICT_FAILED,      /* later; after some in a row, from a list */
    VERDICT_RELIST,      /* later, from a list */
    VERDICT_MOST_RECENT, /* our RV is of no use to this server: list without it */
    VERDICT_FUTURE,      /* the same, but the server may only be behind: later */
    VERDICT_ABSENT
};

static enum verdict judge(enum err_code code) {
    switch (code) {
    case ERR_NONE:
    case ERR_LOST:
    case ERR_TIMEOUT:
    case ERR_CANCELLED:
        return VERDICT_RESUME;
    case ERR_THROTTLED:
    case ERR_UNREACHABLE:
        return VERDICT_RETRY;
    case ERR_GONE:
        return VERDICT_MOST_RECENT;
    case ERR_FUTURE_VERSION:
        return VERDICT_FUTURE;
    case ERR_NOT_FOUND:
    case ERR_UNSUPPORTED:
        return VERDICT_ABSENT;
    case ERR_UNAVAILABLE:
    case ERR_PARSE:
    case ERR_TOO_LARGE:
    case ERR_FORBIDDEN:
    case ERR_UNAUTHORIZED:
    case ERR_EXPIRED_CREDENTIALS:
    case ERR_NO_CREDENTIALS:
    case ERR_IO:
        return VERDICT_FAILED;
    case ERR_INVALID:
    case ERR_ALREADY_EXISTS:
    case ERR_CONFLICT:
    case ERR_FIELD_CONFLICT:
    case ERR_QUOTA:
    case ERR_MALFORMED_POLICY:
    case ERR_DELETE_CONFLICT:
    case ERR_IDENTITY_TOKEN:
    case ERR_INTERNAL:
    case ERR_CODE_COUNT:
        break;
    }
    return VERDICT_RELIST;
}

static void list_failed(struct watch_machine *m, int64_t now, const struct error *err, struct watch_order *out) {
    out->discard_stage = true;
    switch (judge(err->code)) {
    case VERDICT_MOST_RECENT:
        m->counters.gone++;
        if (m->pages > 0) { /* the token expired: once more, whole, at the RV that was asked for first (K-L5) */
            m->unpaged = true;
            begin_list(m, now, out);
            return;
        }
        if (m->not_older) {
            list_now(m, now, false, out);
            return;
        }
        break;
    case VERDICT_FUTURE:
        if (m->not_older) { /* a lagging server, or one restored from a backup: ask for what is true now (K-L3) */
            list_now(m, now, false, out);
            return;
        }
        break;
    case VERDICT_ABSENT:
        wait_for_resource(m, now);
        return;
    case VERDICT_RELIST: /* perhaps the RV itself is what the server cannot stand */
        wait_for_list(m, now, false, err);
        return;
    case VERDICT_RESUME:
    case VERDICT_RETRY:
    case VERDICT_FAILED:
        break;
    }
    wait_for_list(m, now, m->not_older, err);
}

/* A token that must be followed; false: this was the last page. "continue":"" is the end too (real-apiserver 0.9). */
static bool more_pages(const struct watch_input *in) {
    return !str_empty(in->as.page.continue_token);
}

/* Notes one page's RV and token; false when the answer cannot be a list. */
static bool take_page(struct watch_machine *m, const struct watch_input *in, struct error *err) {
    const char *rv = in->as.page.resource_version;

    if (m->pages == 0 && (str_empty(rv) || str_eq(rv, "0") || !str_copy(m->list_rv, sizeof m->list_rv, rv))) {
        return error_set(err, ERR_PARSE, "a list without a usable resourceVersion");
    }
    m->pages++;
    if (more_pages(in) && str_eq(in->as.page.continue_token, m->continue_token)) {
        return error_set(err, ERR_PARSE, "a list whose token leads to itself");
    }
    if (m->pages > WATCH_PAGES_MAX ||
        !str_copy(m->continue_token, sizeof m->continue_token, in->as.page.continue_token)) {
        return error_set(err, ERR_TOO_LARGE, "a list of too many pages, or with too long a token");
    }
    return true;
}

/* S12: a server that answers with the past is not believed at once. */
static bool went_back(const struct watch_machine *m, size_t regressed) {
    return rv_older(m->list_rv, m->floor) || regressed > 0;
}

static void list_done(struct watch_machine *m, const struct watch_input *in, struct watch_order *out) {
    bool back = went_back(m, in->as.page.regressed);

    if (back) {
        m->counters.regressions++;
        m->refusals++;
        if (m->refusals < WATCH_REFUSALS_MAX) {
            out->discard_stage = true;
            wait_for_list(m, in->now_ms, false, NULL);
            return;
        }
        m->floor[0] = '\0';
    }
    m->refusals = 0;
    m->failures = 0;
    m->absent = false;
    (void)str_copy(m->rv, sizeof m->rv, m->list_rv);
    rv_advance(m->floor, m->rv);
    out->cache = back ? WATCH_CACHE_RESTORE : WATCH_CACHE_REPLACE;
    out->rv = m->rv;
    schedule_audit(m, in->now_ms, WATCH_AUDIT_MS);
    watch_now(m, in->now_ms, out);
}

static void step_listing(struct watch_machine *m, const struct watch_input *in, struct watch_order *out) {
    struct error err;

    switch (in->kind) {
    case WATCH_PAGE_CAME:
        if (!take_page(m, in, &err)) {
            list_failed(m, in->now_ms, &err, out);
        } else if (more_pages(in)) {
            ask_page(m, in->now_ms, out);
        } else {
            list_done(m, in, out);
        }
        break;
    case WATCH_LIST_FAILED:
        list_failed(m, in->now_ms, in->as.error, out);
        break;
    case WATCH_TICKED:
        if (in->now_ms >= m->list_deadline_ms) {
            (void)error_set(&err, ERR_TIMEOUT, "no answer to a list");
            out->close_list = true;
            list_failed(m, in->now_ms, &err, out);
        }
        break;
    case WATCH_STARTED:
    case WATCH_OPENED:
    case WATCH_EVENT_CAME:
    case WATCH_ENDED:
    case WATCH_AUDITED:
        break;
    }
}

/* Leaves the watch: whatever the audit beside it had begun is worth nothing without it. */
static void leave_watch(struct watch_machine *m, int64_t now, struct watch_order *out) {
    if (m->audit != WATCH_AUDIT_NONE) {
        out->close_list = watch_machine_auditing(m);
        out->discard_stage = true;
        schedule_audit(m, now, WATCH_AUDIT_RETRY_MS);
    }
}

/* Without a line although it was there long enough for a bookmark: it may have been opened at an RV from the future. */
static bool was_silent(const struct watch_machine *m, int64_t now) {
    return m->lines == 0 && !m->silence_checked && now - m->watch_started_ms >= WATCH_SILENCE_MS;
}

static void watch_ended(struct watch_machine *m, int64_t now, const struct error *err, struct watch_order *out) {
    leave_watch(m, now, out);
    switch (judge(err != NULL ? err->code : ERR_NONE)) {
    case VERDICT_RESUME:
        if (was_silent(m, now)) {
            list_now(m, now, true, out);
        } else if (now - m->watch_started_ms < WATCH_SHORT_MS) {
            wait_for(m, now, WATCH_IO_WATCH, err);
        } else {
            watch_now(m, now, out);
        }
        break;
    case VERDICT_RETRY:
        wait_for(m, now, WATCH_IO_WATCH, err);
        break;
    case VERDICT_FAILED:
        m->failures++;
        if (m->failures > WATCH_FAILURES_MAX) {
            wait_for_list(m, now, true, err);
        } else {
            wait_for(m, now, WATCH_IO_WATCH, err);
        }
        break;
    case VERDICT_RELIST:
        wait_for_list(m, now, true, err);
        break;
    case VERDICT_MOST_RECENT:
        if (MUTANT(gone_is_fatal)) {
            m->state = WATCH_STOPPED;
            break;
        }
        m->counters.gone++;
        m->gone_in_a_row++;
        if (m->gone_in_a_row > 1) { /* list, watch, 410, list ...: not in a hot loop */
            wait_for_list(m, now, false, err);
        } else {
            list_now(m, now, false, out);
        }
        break;
    case VERDICT_FUTURE:
        wait_for_list(m, now, false, err);
        break;
    case VERDICT_ABSENT:
        wait_for_resource(m, now);
        break;
    }
}

static void stop_watch(struct watch_machine *m, int64_t now, const struct error *err, struct watch_order *out) {
    out->close_watch = true;
    watch_ended(m, now, err, out);
}

/* A line proves that the stream works, and that the server's time goes on. */
static void moved_on(struct watch_machine *m, const char *rv, struct watch_order *out) {
    m->failures = 0;
    m->gone_in_a_row = 0;
    if (rv_valid(rv)) {
        rv_advance(m->rv, rv);
    } else {
        (void)str_copy(m->rv, sizeof m->rv, rv); /* opaque: the last one seen is all there is */
    }
    rv_advance(m->floor, m->rv);
    out->rv = m->rv;
    if (m->audit == WATCH_AUDIT_ALIGNING && rv_reached(m->rv, m->audit_rv)) {
        m->audit = WATCH_AUDIT_COMPARING;
        out->compare = true;
    }
}

static void object_event(struct watch_machine *m, int64_t now, const struct watch_event *e, struct watch_order *out) {
    const char *rv = e->id.resource_version;
    struct error err;

    m->counters.events++;
    if (str_eq(rv, m->rv)) {
        m->counters.dropped++;
        return;
    }
    if (rv_older(rv, m->rv)) {
        m->counters.dropped++;
        m->counters.regressions++;
        (void)error_set(&err, ERR_INVALID, "the server sent an event of the past: %s after %s", rv, m->rv);
        stop_watch(m, now, &err, out);
        return;
    }
    out->cache = WATCH_CACHE_APPLY;
    moved_on(m, rv, out);
}

static void event_came(struct watch_machine *m, int64_t now, const struct watch_event *e, struct watch_order *out) {
    m->lines++;
    switch (e->type) {
    case WATCH_EVENT_ADDED:
    case WATCH_EVENT_MODIFIED:
    case WATCH_EVENT_DELETED:
        object_event(m, now, e, out);
        break;
    case WATCH_EVENT_BOOKMARK:
        m->counters.bookmarks++;
        out->cache = WATCH_CACHE_PROGRESS;
        if (!MUTANT(bookmark_is_not_remembered)) {
            moved_on(m, e->id.resource_version, out);
        }
        break;
    case WATCH_EVENT_ERROR:
        if (!MUTANT(error_event_is_ignored)) {
            stop_watch(m, now, &e->error, out);
        }
        break;
    case WATCH_EVENT_UNKNOWN:
        m->counters.unknown++;
        break;
    }
}

/* The audit: a second opinion on the cache, asked beside the running watch (K-W11). */

static void begin_audit(struct watch_machine *m, int64_t now, struct watch_order *out) {
    m->audit = WATCH_AUDIT_LISTING;
    m->silence_checked = true;
    /* What the answer must reach; the watch may run ahead of it meanwhile. */
    (void)str_copy(m->audit_rv, sizeof m->audit_rv, m->floor);
    m->pages = 0;
    m->unpaged = false;
    m->continue_token[0] = '\0';
    m->counters.lists++;
    out->discard_stage = true;
    ask_page(m, now, out);
}

static void audit_page(struct watch_machine *m, const struct watch_input *in, struct watch_order *out) {
    struct error err;

    if (!take_page(m, in, &err)) {
        out->discard_stage = true;
        schedule_audit(m, in->now_ms, WATCH_AUDIT_RETRY_MS);
        return;
    }
    if (more_pages(in)) {
        ask_page(m, in->now_ms, out);
        return;
    }
    if (rv_older(m->list_rv, m->audit_rv)) { /* the most recent state is older than what we saw: the server went back */
        m->counters.regressions++;
        (void)error_set(&err, ERR_FUTURE_VERSION, "the server is at %s, we were at %s", m->list_rv, m->audit_rv);
        stop_watch(m, in->now_ms, &err, out);
        return;
    }
    (void)str_copy(m->audit_rv, sizeof m->audit_rv, m->list_rv);
    m->audit = WATCH_AUDIT_COMPARING;
    m->audit_since_ms = in->now_ms;
    out->compare = true;
}

static void audited(struct watch_machine *m, const struct watch_input *in, struct watch_order *out) {
    if (m->audit != WATCH_AUDIT_COMPARING) {
        return;
    }
    if (in->as.differences == 0) {
        m->counters.audits++;
        out->discard_stage = true;
        out->cache = WATCH_CACHE_PROGRESS;
        out->rv = m->audit_rv;
        rv_advance(m->floor, m->audit_rv);
        schedule_audit(m, in->now_ms, WATCH_AUDIT_MS);
    } else if (rv_reached(m->rv, m->audit_rv)) {
        m->counters.audits++;
        m->counters.divergences += (int64_t)in->as.differences;
        leave_watch(m, in->now_ms, out);
        out->close_watch = true;
        list_now(m, in->now_ms, false, out);
    } else {
        m->audit = WATCH_AUDIT_ALIGNING; /* the watch may only be behind */
    }
}

static void tick_watching(struct watch_machine *m, int64_t now, struct watch_order *out) {
    struct error err;

    if (now - m->watch_started_ms >= (int64_t)m->timeout_seconds * 1000 + WATCH_DEADLINE_GRACE_MS) {
        (void)error_set(&err, ERR_TIMEOUT, "the server did not end the watch in time");
        stop_watch(m, now, &err, out);
    } else if (m->audit == WATCH_AUDIT_LISTING && now >= m->list_deadline_ms) {
        leave_watch(m, now, out);
    } else if (m->audit == WATCH_AUDIT_ALIGNING && now - m->audit_since_ms >= WATCH_ALIGN_MS) {
        leave_watch(m, now, out); /* never decided; the list itself is the remedy */
        out->close_watch = true;
        list_now(m, now, false, out);
    } else if (m->audit == WATCH_AUDIT_NONE && (was_silent(m, now) || now >= m->audit_at_ms)) {
        begin_audit(m, now, out);
    }
}

static void step_watching(struct watch_machine *m, const struct watch_input *in, struct watch_order *out) {
    switch (in->kind) {
    case WATCH_PAGE_CAME:
        if (watch_machine_auditing(m)) {
            audit_page(m, in, out);
        }
        break;
    case WATCH_LIST_FAILED:
        if (watch_machine_auditing(m)) {
            out->discard_stage = true;
            schedule_audit(m, in->now_ms, WATCH_AUDIT_RETRY_MS);
        }
        break;
    case WATCH_EVENT_CAME:
        event_came(m, in->now_ms, in->as.event, out);
        break;
    case WATCH_ENDED:
        watch_ended(m, in->now_ms, in->as.error, out);
        break;
    case WATCH_AUDITED:
        audited(m, in, out);
        break;
    case WATCH_TICKED:
        tick_watching(m, in->now_ms, out);
        break;
    case WATCH_STARTED:
    case WATCH_OPENED: /* 200 is no proof of anything (K-W5) */
        break;
    }
}

static void step_waiting(struct watch_machine *m, const struct watch_input *in, struct watch_order *out) {
    if (in->kind != WATCH_TICKED || in->now_ms < m->wait_until_ms) {
        return;
    }
    if (m->next == WATCH_IO_WATCH) {
        watch_now(m, in->now_ms, out);
    } else {
        begin_list(m, in->now_ms, out);
    }
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t wake_watching(const struct watch_machine *m) {
    int64_t at = m->watch_started_ms + (int64_t)m->timeout_seconds * 1000 + WATCH_DEADLINE_GRACE_MS;

    switch (m->audit) {
    case WATCH_AUDIT_NONE:
        at = earlier(at, m->audit_at_ms);
        if (m->lines == 0 && !m->silence_checked) {
            at = earlier(at, m->watch_started_ms + WATCH_SILENCE_MS);
        }
        break;
    case WATCH_AUDIT_LISTING:
        at = earlier(at, m->list_deadline_ms);
        break;
    case WATCH_AUDIT_ALIGNING:
        at = earlier(at, m->audit_since_ms + WATCH_ALIGN_MS);
        break;
    case WATCH_AUDIT_COMPARING:
        break;
    }
    return at;
}

static int64_t wake_at(const struct watch_machine *m) {
    switch (m->state) {
    case WATCH_STOPPED:
        break;
    case WATCH_LISTING:
        return m->list_deadline_ms;
    case WATCH_WATCHING:
        return wake_watching(m);
    case WATCH_WAITING:
        return m->wait_until_ms;
    }
    return 0;
}

void watch_machine_step(struct watch_machine *m, const struct watch_input *in, struct watch_order *out) {
    memset(out, 0, sizeof *out);
    switch (m->state) {
    case WATCH_STOPPED:
        if (in->kind == WATCH_STARTED) {
            m->backoff_ended_ms = in->now_ms;
            list_now(m, in->now_ms, false, out);
        }
        break;
    case WATCH_LISTING:
        step_listing(m, in, out);
        break;
    case WATCH_WATCHING:
        step_watching(m, in, out);
        break;
    case WATCH_WAITING:
        step_waiting(m, in, out);
        break;
    }
    out->wake_at_ms = wake_at(m);
}
