/* kube_request.c - what a request's path, query and headers ask for. */
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/utf8.h"
#include "simulator/kube_internal.h"

static json *bad(const char *what) {
    return kube_status(400, "BadRequest", "%s", what);
}

/* What answers may repeat: UTF-8 without control bytes. */
static bool is_printable(const char *s) {
    uint32_t c = 0;
    for (size_t n; s != NULL && *s != '\0'; s += n) {
        n = utf8_step((const unsigned char *)s, strlen(s), &c);
        if (n == 0 || c < ' ' || c == 0x7f) {
            return false;
        }
    }
    return s != NULL;
}

static json *split_path(const char *path, struct arena *a, struct kube_request *q) {
    if (path == NULL || path[0] != '/') {
        return bad("the path does not begin with a slash");
    }
    for (const char *p = path + 1; *p != '\0';) {
        size_t n = strcspn(p, "/");
        char *segment = str_percent_decode(arena_strndup(a, p, n), a);
        if (!is_printable(segment) || q->nsegments == KUBE_SEGMENTS_MAX || (n == 0 && p[n] != '\0')) {
            return kube_status(404, "NotFound", "the server could not find the requested resource");
        }
        q->segments[q->nsegments++] = segment;
        p += n + (p[n] == '/');
    }
    return NULL;
}

static char *decode_query(const char *text, size_t n, struct arena *a) {
    char *copy = arena_strndup(a, text, n);
    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '+' ? ' ' : *c;
    }
    return str_percent_decode(copy, a);
}

static json *split_query(const char *query, struct arena *a, struct kube_request *q) {
    for (const char *p = str_or(query, ""); *p != '\0';) {
        size_t n = strcspn(p, "&");
        size_t name_n = strcspn(p, "=&");
        if (n > 0) {
            char *name = decode_query(p, name_n, a);
            char *value = name_n < n ? decode_query(p + name_n + 1, n - name_n - 1, a) : arena_strdup(a, "");
            if (!is_printable(name) || !is_printable(value) || q->nquery == KUBE_QUERY_MAX) {
                return bad("the query cannot be read");
            }
            q->query[q->nquery++] = (struct kube_param){name, value};
        }
        p += n + (p[n] == '&');
    }
    return NULL;
}

const char *kube_query(const struct kube_request *q, const char *name) {
    for (size_t i = 0; i < q->nquery; i++) {
        if (str_eq(q->query[i].name, name)) {
            return str_empty(q->query[i].value) ? NULL : q->query[i].value;
        }
    }
    return NULL;
}

bool kube_query_true(const struct kube_request *q, const char *name) {
    const char *v = kube_query(q, name);
    return str_eq(v, "true") || str_eq(v, "1");
}

/* The first media range counts: clients put what they want there, and plain JSON behind it. */
static enum kube_form form_of(const char *accept, struct arena *a) {
    const char *first = accept == NULL ? "" : arena_strndup(a, accept, strcspn(accept, ","));
    struct strlist parts = str_split(first, ';', a);
    for (size_t i = 0; i < parts.n; i++) {
        if (str_eq(parts.v[i], "as=Table")) {
            return KUBE_TABLE;
        }
        if (str_eq(parts.v[i], "as=PartialObjectMetadata")) {
            return KUBE_METADATA;
        }
        if (str_eq(parts.v[i], "as=PartialObjectMetadataList")) {
            return KUBE_METADATA_LIST;
        }
    }
    return KUBE_FULL;
}

static bool is_namespace_itself(const struct kube_request *q, size_t at) {
    return q->nsegments <= at + 2 || (q->nsegments == at + 3 && str_eq(q->segments[at + 2], "status"));
}

/* /api/v1/... and /apis/<group>/<version>/...; without a resource of that name q->r stays NULL. */
static void find_resource(struct kube_request *q) {
    bool core = q->nsegments >= 3 && str_eq(q->segments[0], "api");
    bool grouped = q->nsegments >= 4 && str_eq(q->segments[0], "apis");
    if (!core && !grouped) {
        return;
    }
    const char *group = core ? "" : q->segments[1];
    const char *version = core ? q->segments[1] : q->segments[2];
    size_t at = core ? 2 : 3;
    bool own = core && is_namespace_itself(q, at);
    if (str_eq(q->segments[at], "namespaces") && !own && q->nsegments > at + 2) {
        q->ns = q->segments[at + 1];
        at += 2;
    }
    q->r = kube_resource_find(group, version, q->segments[at]);
    q->name = at + 1 < q->nsegments ? q->segments[at + 1] : NULL;
    q->sub = at + 2 < q->nsegments ? q->segments[at + 2] : NULL;
    if (q->r != NULL && (at + 3 < q->nsegments || (q->ns != NULL && !q->r->namespaced) || str_eq(q->name, "") ||
                         (q->ns == NULL && q->name != NULL && q->r->namespaced))) {
        q->r = NULL;
    }
}

static json *read_options(struct kube_request *q) {
    const char *dry = kube_query(q, "dryRun");
    const char *agent = q->http->user_agent;
    const char *manager = kube_query(q, "fieldManager");

    q->form = form_of(q->http->accept, q->a);
    q->strict = str_eq(kube_query(q, "fieldValidation"), "Strict");
    q->dry_run = dry != NULL;
    if (dry != NULL && !str_eq(dry, "All")) {
        return kube_status(422, "Invalid", "dryRun: Unsupported value: \"%s\": supported values: \"All\"", dry);
    }
    if (manager == NULL && !str_empty(agent)) {
        manager = arena_strndup(q->a, agent, strcspn(agent, "/"));
    }
    q->manager = str_or(manager, "unknown");
    if (strlen(q->manager) > 128 || !is_printable(q->manager)) {
        return kube_status(422, "Invalid",
                           "fieldManager: Invalid value: it has more than 128 bytes, or unprintable ones");
    }
    return NULL;
}

json *kube_request_read(const struct sim_http_request *http, struct arena *a, struct kube_request *out) {
    *out = (struct kube_request){.http = http, .a = a};
    json *refused = split_path(http->path, a, out);
    if (refused == NULL) {
        refused = split_query(http->query, a, out);
    }
    if (refused == NULL && http->body_len > SIM_KUBE_BODY_MAX) {
        refused = kube_status(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728");
    }
    if (refused == NULL) {
        refused = read_options(out);
    }
    if (refused == NULL) {
        find_resource(out);
    }
    return refused;
}
