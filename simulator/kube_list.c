/* kube_list.c - GET and LIST: resourceVersions, pages, and the forms in which objects are shown. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/digest.h"
#include "platform/base/str.h"
#include "simulator/kube_internal.h"

/* ---- forms ---- */

static json *metadata_only(const json *object) {
    json *o = json_object();
    json_add_str(o, "kind", "PartialObjectMetadata");
    json_add_str(o, "apiVersion", "meta.k8s.io/v1");
    json_add_item(o, "metadata", json_dup(json_get(object, "metadata")));
    return o;
}

bool kube_shows_whole(const struct kube_resource *r, enum kube_form form) {
    return form == KUBE_FULL && (r->store != KUBE_EVENTS || str_empty(r->group));
}

json *kube_show(const struct sim_kube *k, const struct kube_resource *r, const json *object, enum kube_form form,
                bool whole) {
    (void)k;
    if (form == KUBE_METADATA || form == KUBE_METADATA_LIST) {
        return metadata_only(object);
    }
    json *o = json_dup(object);
    if (r->store == KUBE_EVENTS && !str_empty(r->group)) {
        kube_event_to_group(o);
    }
    if (!whole) {
        kube_drop(o, "kind");
        kube_drop(o, "apiVersion");
    }
    return o;
}

static json *not_acceptable(void) {
    return kube_status(406, "NotAcceptable",
                       "only the following media types are accepted: application/json, application/yaml");
}

/* ---- resourceVersions ---- */

static json *too_large(const struct sim_kube *k, const struct kube_request *q, int64_t rv) {
    json *s = kube_status(504, "Timeout", "Timeout: Too large resource version: %lld, current: %lld", (long long)rv,
                          (long long)k->rv);
    json *details = json_add_object(s, "details");
    json *cause = json_object();
    json_add_str(cause, "reason", "ResourceVersionTooLarge");
    json_add_str(cause, "message", "Too large resource version");
    json_push(json_add_array(details, "causes"), cause);
    if (q->r->store != KUBE_EVENTS) {
        json_add_int64(details, "retryAfterSeconds", 1);
    }
    return s;
}

static json *read_version(const struct kube_request *q, int64_t *rv) {
    const char *text = kube_query(q, "resourceVersion");
    *rv = 0;
    if (text != NULL && !str_to_int64(text, rv)) {
        return kube_status(400, "BadRequest",
                           "resourceVersion: Invalid value: \"%s\": strconv.ParseUint: invalid syntax", text);
    }
    return NULL;
}

void kube_answer_version(struct sim_kube *k, const struct kube_request *q, int status, struct kube_version *v,
                         struct sim_http_answer *out) {
    const json *one = v->value;
    if (kube_shows_whole(q->r, q->form)) {
        kube_answer_text(out, status, kube_version_text(v));
        out->content_type = "application/json";
        return;
    }
    kube_answer_json(out, status,
                     q->form == KUBE_TABLE ? kube_table(k, q, &one, 1) : kube_show(k, q->r, one, q->form, true));
}

void kube_get(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out) {
    struct kube_version *v = kube_find(k, q->r->store, q->ns, q->name);
    int64_t rv = 0;
    json *refused = read_version(q, &rv);
    if (refused == NULL && rv > k->rv) {
        refused = too_large(k, q, rv);
    }
    if (refused == NULL && v == NULL) {
        refused = kube_not_found(q->r, q->name);
    }
    if (refused == NULL && q->form == KUBE_METADATA_LIST) {
        refused = not_acceptable();
    }
    if (refused != NULL) {
        kube_answer_status(out, refused);
        return;
    }
    assert(v != NULL);
    kube_answer_version(k, q, 200, v, out);
}

/* ---- pages ---- */

/* What a LIST asks for. */
struct page {
    int64_t rv;        /* as of when; 0: now */
    int64_t limit;     /* 0: all */
    const char *after; /* key of the last object before; NULL: from the first */
};

static const char *token_of(int64_t rv, const char *after, struct arena *a) {
    json *t = json_object();
    json_add_str(t, "v", "meta.k8s.io/v1");
    json_add_int64(t, "rv", rv);
    json_add_str(t, "start", after);
    const char *text = json_print_arena(t, a);
    json_free(t);
    return kube_base64url(text, strlen(text), a);
}

static json *expired(const char *token) {
    json *s =
        kube_status(410, "Expired",
                    "The provided continue parameter is too old to display a consistent list result. You can start "
                    "a new list without the continue parameter, or use the continue token in this response.");
    if (token != NULL) {
        json_add_str(kube_metadata(s), "continue", token);
    } else {
        json_add_str(s, "message", "The resourceVersion for the provided list is too old.");
    }
    return s;
}

static json *read_token(const struct sim_kube *k, const char *text, struct arena *a, struct page *p) {
    struct error err = {0};
    size_t n = 0;
    const char *plain = digest_base64url_decode(text, strlen(text), &n, a);
    json *t = plain != NULL ? json_parse(plain, n, &err) : NULL;
    int64_t rv = 0;
    const char *start = arena_strdup(a, json_str(t, "start"));
    bool sound = json_int64(t, "rv", &rv) && start != NULL && rv >= -1 && rv <= k->rv;

    json_free(t);
    if (!sound) {
        return kube_status(400, "BadRequest", "invalid continue token: %s", "it was not made by this server");
    }
    p->after = start;
    p->rv = rv < 0 ? 0 : rv;
    if (p->rv != 0 && p->rv < k->compacted) {
        return expired(token_of(-1, start, a));
    }
    return NULL;
}

static json *invalid(const char *field, const char *what) {
    json *s = kube_status(422, "Invalid", "ListOptions.meta.k8s.io \"\" is invalid: %s: Forbidden: %s", field, what);
    json *cause = json_object();
    json_add_str(cause, "reason", "FieldValueForbidden");
    json_add_str(cause, "message", what);
    json_add_str(cause, "field", field);
    json_push(json_add_array(json_add_object(s, "details"), "causes"), cause);
    return s;
}

static json *check_match(const struct kube_request *q) {
    const char *match = kube_query(q, "resourceVersionMatch");
    const char *rv = kube_query(q, "resourceVersion");
    if (kube_query(q, "sendInitialEvents") != NULL) {
        return invalid("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    if (match == NULL) {
        return NULL;
    }
    if (rv == NULL) {
        return invalid("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
    }
    if (kube_query(q, "continue") != NULL) {
        return invalid("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
    }
    if (str_eq(match, "Exact") && str_eq(rv, "0")) {
        return invalid("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    }
    if (!str_eq(match, "Exact") && !str_eq(match, "NotOlderThan")) {
        return invalid("resourceVersionMatch", "supported values: \"Exact\", \"NotOlderThan\", \"\"");
    }
    return NULL;
}

static json *read_limit(const struct kube_request *q, struct page *p) {
    const char *limit = kube_query(q, "limit");
    if (limit != NULL && limit[0] != '-' && !str_to_int64(limit, &p->limit)) {
        return kube_status(400, "BadRequest", "strconv.ParseInt: parsing \"%s\": invalid syntax", limit);
    }
    if (str_eq(kube_query(q, "resourceVersion"), "0") && kube_query(q, "continue") == NULL) {
        p->limit = 0;
    }
    return NULL;
}

static json *read_page(const struct sim_kube *k, const struct kube_request *q, struct page *p) {
    const char *token = kube_query(q, "continue");
    const char *match = kube_query(q, "resourceVersionMatch");
    int64_t rv = 0;
    json *refused = check_match(q);
    refused = refused != NULL ? refused : read_version(q, &rv);
    refused = refused != NULL ? refused : read_limit(q, p);
    if (refused != NULL) {
        return refused;
    }
    if (token != NULL) {
        return rv != 0
                   ? kube_status(400, "BadRequest", "specifying resource version is not allowed when using continue")
                   : read_token(k, token, q->a, p);
    }
    if (rv > k->rv) {
        return too_large(k, q, rv);
    }
    if (str_eq(match, "Exact") || (match == NULL && rv != 0 && p->limit > 0)) {
        p->rv = rv;
        return rv < k->compacted ? expired(NULL) : NULL;
    }
    return NULL;
}

/* ---- LIST ---- */

static void keep_wanted(struct kube_versions *l, const struct kube_selector *s, const char *after) {
    char key[KUBE_KEY_MAX];
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        if ((after == NULL || strcmp(kube_key_of(l->v[i]->value, key), after) > 0) &&
            kube_selector_matches(s, l->v[i]->value)) {
            l->v[kept++] = l->v[i];
        } else {
            kube_unref(l->v[i]);
        }
    }
    l->n = kept;
}

static json *list_metadata(const struct sim_kube *k, const struct kube_request *q, const struct page *p,
                           const struct kube_versions *l, size_t shown) {
    char key[KUBE_KEY_MAX];
    int64_t rv = p->rv != 0 ? p->rv : k->rv;
    json *m = json_object();
    json_add_str(m, "resourceVersion", arena_printf(q->a, "%lld", (long long)rv));
    if (shown < l->n) {
        json_add_str(m, "continue", token_of(rv, kube_key_of(l->v[shown - 1]->value, key), q->a));
        if (kube_query(q, "labelSelector") == NULL && kube_query(q, "fieldSelector") == NULL) {
            json_add_int64(m, "remainingItemCount", (int64_t)(l->n - shown));
        }
    } else if (q->r->store == KUBE_BINDINGS && q->form == KUBE_FULL) {
        json_add_str(m, "continue", "");
    }
    return m;
}

static void put_items(struct buf *b, const struct sim_kube *k, const struct kube_request *q,
                      const struct kube_versions *l, size_t shown) {
    bool whole = q->r->store == KUBE_BINDINGS;
    (void)buf_puts(b, "\"items\":[");
    for (size_t i = 0; i < shown; i++) {
        (void)buf_puts(b, i > 0 ? "," : "");
        if (whole && kube_shows_whole(q->r, q->form)) {
            (void)buf_puts(b, kube_version_text(l->v[i]));
            continue;
        }
        json *o = kube_show(k, q->r, l->v[i]->value, q->form, whole);
        char *text = json_print(o);
        (void)buf_puts(b, text);
        free(text);
        json_free(o);
    }
    (void)buf_puts(b, "]");
}

/* Text, item by item: a tree of all would hold everything twice. Custom lists have metadata behind their items. */
static void answer_list(struct sim_kube *k, const struct kube_request *q, const struct page *p,
                        const struct kube_versions *l, size_t shown, struct sim_http_answer *out) {
    bool custom = q->r->store == KUBE_BINDINGS && q->form == KUBE_FULL;
    const char *kind = q->form == KUBE_METADATA_LIST ? "PartialObjectMetadata" : q->r->kind;
    const char *version = q->form == KUBE_METADATA_LIST ? "meta.k8s.io/v1" : kube_api_version(q->r, q->a);
    json *metadata = list_metadata(k, q, p, l, shown);
    char *metadata_text = json_print(metadata);
    struct buf b;

    buf_init(&b, KUBE_ANSWER_MAX);
    (void)buf_printf(&b, "{\"kind\":\"%sList\",\"apiVersion\":\"%s\",", kind, version);
    if (!custom) {
        (void)buf_printf(&b, "\"metadata\":%s,", metadata_text);
    }
    put_items(&b, k, q, l, shown);
    if (custom) {
        (void)buf_printf(&b, ",\"metadata\":%s", metadata_text);
    }
    (void)buf_puts(&b, "}");
    free(metadata_text);
    json_free(metadata);
    if (b.overflow) {
        buf_done(&b);
        kube_answer_status(out, kube_status(500, "InternalError", "the list is too large"));
        return;
    }
    *out = (struct sim_http_answer){.status = 200, .content_type = "application/json", .body_len = b.n};
    out->body = buf_take(&b);
}

static void answer_table(struct sim_kube *k, const struct kube_request *q, const struct page *p,
                         const struct kube_versions *l, size_t shown, struct sim_http_answer *out) {
    const json **objects = ARENA_ARRAY(q->a, shown + 1, const json *);
    for (size_t i = 0; i < shown; i++) {
        objects[i] = l->v[i]->value;
    }
    json *table = kube_table(k, q, objects, shown);
    json_add_item(table, "metadata", list_metadata(k, q, p, l, shown));
    kube_answer_json(out, 200, table);
}

void kube_list(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out) {
    struct page p = {0};
    struct kube_selector *s = NULL;
    json *refused = q->form == KUBE_METADATA ? not_acceptable() : read_page(k, q, &p);
    if (refused == NULL) {
        refused = kube_selector_read(k, q, &s);
    }
    if (refused != NULL) {
        kube_answer_status(out, refused);
        return;
    }
    struct kube_versions l = p.rv != 0 && p.rv < k->rv ? kube_all_at(k, q->r->store, q->ns, p.rv, q->a)
                                                       : kube_all(k, q->r->store, q->ns, q->a);
    keep_wanted(&l, s, p.after);
    size_t shown = p.limit > 0 && (uint64_t)p.limit < l.n ? (size_t)p.limit : l.n;
    if (q->form == KUBE_TABLE) {
        answer_table(k, q, &p, &l, shown, out);
    } else {
        answer_list(k, q, &p, &l, shown, out);
    }
    kube_versions_drop(&l);
}
