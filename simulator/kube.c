/* kube.c - the simulated API server: its state, and which verb of which resource a request is. */
#include "simulator/kube.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"
#include "simulator/kube_protobuf.h"

#define WORLD_MANAGER "cluster"

static void unref(void *v) {
    kube_unref(v);
}

static struct kube_write world_write(struct sim_kube *k, const char *resource, const json *object) {
    return (struct kube_write){.k = k,
                               .r = kube_resource_named(resource),
                               .ns = kube_namespace_of(object),
                               .name = kube_name_of(object),
                               .from_world = true,
                               .manager = WORLD_MANAGER};
}

/* Worlds come by the thousand, with the same text. */
static json *crd_of(const char *yaml) {
    static json *last;
    static char *of;
    struct error err = {0};
    if (of == NULL || strcmp(of, yaml) != 0) {
        json_free(last);
        free(of);
        of = strdup(yaml);
        last = kube_yaml_parse(yaml, strlen(yaml), &err);
        json *refused = last != NULL ? kube_crd_check(last) : NULL;
        if (of == NULL || last == NULL || refused != NULL) {
            die("the CRD cannot be used: %s",
                last == NULL ? err.message : str_or(json_str(refused, "message"), "refused"));
        }
    }
    return json_dup(last);
}

static void first_objects(struct sim_kube *k, const char *crd_yaml) {
    static const char *const namespaces[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
        json *ns = json_object();
        json *m = json_add_object(ns, "metadata");
        json_add_str(m, "name", namespaces[i]);
        json_add_str(json_add_object(m, "labels"), "kubernetes.io/metadata.name", namespaces[i]);
        (void)sim_kube_create(k, "namespaces", ns);
    }
    k->bindings_served = true;
    if (crd_yaml == NULL) {
        return;
    }
    if (!sim_kube_create(k, "customresourcedefinitions", crd_of(crd_yaml))) {
        die("the CRD cannot be used: the API server refused it");
    }
}

struct sim_kube *sim_kube_new(const struct sim_kube_options *o) {
    struct sim_kube *k = calloc(1, sizeof *k);
    if (k == NULL) {
        die("out of memory");
    }
    k->clock = o->clock;
    k->key_bits = o->key_bits;
    k->issuer = strdup(str_or(o->issuer, "https://kubernetes.default.svc"));
    k->history = calloc(SIM_KUBE_HISTORY_MAX, sizeof k->history[0]);
    if (k->issuer == NULL || k->history == NULL) {
        die("out of memory");
    }
    prng_seed(&k->prng, o->seed);
    for (int i = 0; i < KUBE_STORES; i++) {
        k->objects[i] = strmap_new(SIM_KUBE_OBJECTS_MAX, unref);
    }
    first_objects(k, o->crd_yaml);
    return k;
}

void sim_kube_free(struct sim_kube *k) {
    if (k == NULL) {
        return;
    }
    kube_watches_free(k);
    for (uint64_t n = k->first_event; n < k->next_event; n++) {
        struct kube_event *e = &k->history[n % SIM_KUBE_HISTORY_MAX];
        kube_unref(e->now);
        kube_unref(e->old);
    }
    for (int i = 0; i < KUBE_STORES; i++) {
        strmap_free(k->objects[i]);
    }
    kube_token_free(k);
    free(k->history);
    free(k->issuer);
    free(k);
}

/* ---- writes that came by HTTP ---- */

static json *read_protobuf(const struct kube_request *q, json **out) {
    struct error err = {0};
    *out = kube_protobuf_read(q->http->body, q->http->body_len, &err);
    if (*out != NULL) {
        return NULL;
    }
    return err.code == ERR_UNSUPPORTED ? kube_status(415, "UnsupportedMediaType", "%s", err.message)
                                       : kube_status(400, "BadRequest", "error decoding the body: %s", err.message);
}

static json *read_body(const struct kube_request *q, json **out) {
    struct error err = {0};
    const char *type = str_or(q->http->content_type, "application/json");
    bool protobuf = str_has_prefix(type, KUBE_PROTOBUF_TYPE);
    if (!protobuf && (!str_has_prefix(type, "application/") || strstr(type, "form") != NULL)) {
        return kube_status(415, "UnsupportedMediaType",
                           "the body of the request was in an unknown format - accepted media types include: "
                           "application/json, application/yaml, application/vnd.kubernetes.protobuf");
    }
    if (q->http->body == NULL || q->http->body_len == 0) {
        return kube_status(400, "BadRequest", "the request has no body");
    }
    if (protobuf) {
        return read_protobuf(q, out);
    }
    *out = str_has_prefix(type, "application/yaml") ? kube_yaml_parse(q->http->body, q->http->body_len, &err)
                                                    : json_parse(q->http->body, q->http->body_len, &err);
    return *out != NULL ? NULL : kube_status(400, "BadRequest", "error decoding the body: %s", err.message);
}

static void answer_and_unref(struct sim_kube *k, const struct kube_request *q, int status, struct kube_version *v,
                             struct sim_http_answer *out) {
    kube_answer_version(k, q, status, v, out);
    kube_unref(v);
}

static json *post(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out) {
    bool token = q->r->store == KUBE_SERVICEACCOUNTS && str_eq(q->sub, "token") && q->name != NULL;
    bool is_review = q->r->store == KUBE_NO_STORE;
    json *body = NULL;
    json *made = NULL;
    struct kube_version *v = NULL;
    if (q->name != NULL && !token) {
        return kube_status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
    }
    json *refused = read_body(q, &body);
    if (refused != NULL) {
        return refused;
    }
    if (!json_is_object(body)) {
        json_free(body);
        return kube_status(400, "BadRequest", "the body is no object");
    }
    if (token || is_review) {
        refused = token ? kube_token_request(k, q, body, &made) : kube_review(k, q, body, &made);
        if (refused == NULL) {
            kube_answer_json(out, 201, made);
        }
        return refused;
    }
    struct kube_write w = kube_write_of(k, q);
    refused = kube_create(&w, body, &v);
    if (refused == NULL) {
        answer_and_unref(k, q, 201, v, out);
    }
    return refused;
}

static json *put(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out) {
    struct kube_version *live = kube_find(k, q->r->store, q->ns, q->name);
    struct kube_version *v = NULL;
    json *body = NULL;
    json *refused = read_body(q, &body);
    refused = refused == NULL && live == NULL ? kube_not_found(q->r, q->name) : refused;
    if (refused != NULL) {
        json_free(body);
        return refused;
    }
    struct kube_write w = kube_write_of(k, q);
    kube_ref(live);
    refused = kube_update(&w, live, body, false, &v);
    kube_unref(live);
    if (refused == NULL) {
        answer_and_unref(k, q, 200, v, out);
    }
    return refused;
}

static json *required_manager(const struct kube_request *q) {
    json *s =
        kube_status(422, "Invalid",
                    "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply "
                    "patch");
    json *cause = json_object();
    json_add_str(cause, "reason", "FieldValueRequired");
    json_add_str(cause, "message", "Required value: is required for apply patch");
    json_add_str(cause, "field", "fieldManager");
    json_push(json_add_array(json_add_object(s, "details"), "causes"), cause);
    (void)q;
    return s;
}

static json *apply(const struct kube_write *w, struct kube_request *q, struct kube_version *live, json *body_take,
                   struct kube_version **out) {
    json *refused = NULL;
    const char *name = kube_name_of(body_take);
    if (kube_query(q, "fieldManager") == NULL) {
        refused = required_manager(q);
    } else if (!json_is_object(body_take)) {
        refused = kube_status(400, "BadRequest", "the body is no object");
    } else if (name != NULL && !str_eq(name, q->name)) {
        refused = kube_status(400, "BadRequest", "the name of the object (%s) does not match the name on the URL (%s)",
                              name, q->name);
    }
    if (refused != NULL) {
        json_free(body_take);
        return refused;
    }
    return kube_apply(w, live, body_take, kube_query_true(q, "force"), out);
}

/* Every patch but an apply: a copy of what is shown is changed, and then written like any update. */
static json *patch_copy(const struct kube_write *w, const char *type, struct kube_version *live, json *patch_take,
                        struct kube_version **out) {
    assert(live != NULL); /* patch() has looked */
    json *shown = kube_show(w->k, w->r, live->value, KUBE_FULL, true);
    json *changed = NULL;
    json *refused = NULL;
    if (str_has_prefix(type, "application/json-patch+json")) {
        refused = kube_patch_json(w, shown, patch_take, &changed);
    } else if (!json_is_object(patch_take)) {
        refused = kube_status(400, "BadRequest", "the patch is no object");
    } else {
        bool merges = str_has_prefix(type, "application/merge-patch+json");
        changed = merges ? kube_patch_merge(shown, patch_take) : kube_patch_strategic(shown, patch_take);
    }
    json_free(shown);
    json_free(patch_take);
    return refused != NULL ? refused : kube_update(w, live, changed, true, out);
}

static json *check_patch_type(const struct kube_request *q) {
    const char *type = str_or(q->http->content_type, "");
    bool apply_type = str_has_prefix(type, "application/apply-patch+yaml");
    bool strategic = str_has_prefix(type, "application/strategic-merge-patch+json");
    if (!apply_type && !strategic && !str_has_prefix(type, "application/merge-patch+json") &&
        !str_has_prefix(type, "application/json-patch+json")) {
        return kube_status(415, "UnsupportedMediaType", "the body of the request was in an unknown format");
    }
    if (strategic && q->r->store == KUBE_BINDINGS) {
        return kube_status(415, "UnsupportedMediaType",
                           "the body of the request was in an unknown format - accepted media types include: "
                           "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
    }
    if (kube_query(q, "force") != NULL && !apply_type) {
        return kube_status(
            422, "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch");
    }
    return NULL;
}

/* An apply may be YAML, and JSON is that: JSON is tried first, because it keeps numbers exact. */
static json *read_patch(const struct kube_request *q, json **out) {
    struct error err = {0};
    const char *body = q->http->body != NULL ? q->http->body : "";
    *out = json_parse(body, q->http->body_len, &err);
    if (*out == NULL && str_has_prefix(q->http->content_type, "application/apply-patch+yaml")) {
        error_clear(&err);
        *out = kube_yaml_parse(body, q->http->body_len, &err);
    }
    return *out != NULL ? NULL : kube_status(400, "BadRequest", "error decoding patch: %s", err.message);
}

static json *patch(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out) {
    struct kube_version *live = kube_find(k, q->r->store, q->ns, q->name);
    struct kube_version *v = NULL;
    struct kube_write w = kube_write_of(k, q);
    w.patches = true;
    const char *type = str_or(q->http->content_type, "");
    bool applies = str_has_prefix(type, "application/apply-patch+yaml");
    json *body = NULL;
    json *refused = check_patch_type(q);
    refused = refused != NULL ? refused : read_patch(q, &body);
    refused = refused == NULL && live == NULL && !applies ? kube_not_found(q->r, q->name) : refused;
    if (refused != NULL) {
        json_free(body);
        return refused;
    }
    if (live != NULL) {
        kube_ref(live);
    }
    refused = applies ? apply(&w, q, live, body, &v) : patch_copy(&w, type, live, body, &v);
    if (refused == NULL) {
        answer_and_unref(k, q, live == NULL ? 201 : 200, v, out);
    }
    kube_unref(live);
    return refused;
}

/* The kinds whose deletion is answered with a Status, once they are gone. */
static json *deleted_status(const struct kube_request *q, const json *object) {
    json *s = json_object();
    json_add_str(s, "kind", "Status");
    json_add_str(s, "apiVersion", "v1");
    (void)json_add_object(s, "metadata");
    json_add_str(s, "status", "Success");
    json *d = json_add_object(s, "details");
    json_add_str(d, "name", q->name);
    json_add_str(d, "group", str_empty(q->r->group) ? NULL : q->r->group);
    json_add_str(d, "kind", q->r->plural);
    json_add_str(d, "uid", json_str(object, "metadata.uid"));
    return s;
}

static json *delete_one(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out) {
    struct kube_write w = kube_write_of(k, q);
    struct kube_version *v = NULL;
    json *options = NULL;
    bool gone = false;
    json *refused = q->http->body_len > 0 ? read_body(q, &options) : NULL;
    const char *grace = kube_query(q, "gracePeriodSeconds"), *policy = kube_query(q, "propagationPolicy");
    int64_t grace_s = 0;
    if (refused == NULL && options == NULL) {
        options = json_object();
    }
    if (refused == NULL && json_is_object(options) && grace != NULL && str_to_int64(grace, &grace_s)) {
        json_add_int64(options, "gracePeriodSeconds", grace_s);
    }
    if (refused == NULL && json_is_object(options)) {
        json_add_str(options, "propagationPolicy", policy);
    }
    w.dry_run = w.dry_run || json_first(json_array(options, "dryRun")) != NULL;
    refused = refused != NULL ? refused : kube_delete(&w, options, &v, &gone);
    json_free(options);
    if (refused != NULL) {
        return refused;
    }
    if (gone && q->r->store != KUBE_SERVICEACCOUNTS && q->r->store != KUBE_PODS) {
        kube_answer_json(out, 200, deleted_status(q, v->value));
        kube_unref(v);
    } else {
        answer_and_unref(k, q, 200, v, out);
    }
    return NULL;
}

/* ---- routing ---- */

static bool sub_is_served(const struct kube_request *q) {
    if (q->sub == NULL) {
        return true;
    }
    if (str_eq(q->sub, "token")) {
        return q->r->store == KUBE_SERVICEACCOUNTS && str_eq(q->http->method, "POST");
    }
    return str_eq(q->sub, "status") && q->r->has_status && !str_eq(q->http->method, "DELETE");
}

static json *not_allowed(void) {
    return kube_status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

static json *route(struct sim_kube *k, struct kube_request *q, struct sim_http_answer *out) {
    const char *method = str_or(q->http->method, "");
    if (!sub_is_served(q)) {
        return kube_status(404, "NotFound", "the server could not find the requested resource");
    }
    if (str_eq(method, "POST")) {
        return post(k, q, out);
    }
    if (q->r->store == KUBE_NO_STORE) {
        return not_allowed();
    }
    if (str_eq(method, "GET")) {
        (q->name != NULL ? kube_get : kube_list)(k, q, out);
        return NULL;
    }
    if (q->name == NULL) {
        return not_allowed();
    }
    if (str_eq(method, "PUT")) {
        return put(k, q, out);
    }
    if (str_eq(method, "PATCH")) {
        return patch(k, q, out);
    }
    return str_eq(method, "DELETE") ? delete_one(k, q, out) : not_allowed();
}

void sim_kube_http(struct sim_kube *k, const struct sim_http_request *req, struct sim_http_answer *out) {
    struct arena *a = arena_new(0);
    struct kube_request q;
    *out = (struct sim_http_answer){0};
    json *refused = kube_request_read(req, a, &q);
    refused = refused != NULL ? refused : kube_authorize(k, &q);

    if (refused != NULL) {
        kube_answer_status(out, refused);
    } else if (q.r == NULL || (q.r->store == KUBE_BINDINGS && !k->bindings_served)) {
        bool ours = q.nsegments > 1 && str_eq(q.segments[1], "cniiam.dev");
        if (!kube_discover(k, &q, out) && ours) {
            kube_answer_text(out, 404, "404 page not found\n");
        } else if (out->status == 0) {
            json *s = kube_status(404, "NotFound", "the server could not find the requested resource");
            (void)json_add_object(s, "details");
            kube_answer_status(out, s);
        }
    } else {
        refused = route(k, &q, out);
        if (refused != NULL) {
            kube_answer_status(out, refused);
        }
    }
    arena_free(a);
}

/* ---- what the world does and asks ---- */

const json *sim_kube_get(const struct sim_kube *k, const char *resource, const char *ns, const char *name) {
    const struct kube_resource *r = kube_resource_named(resource);
    const struct kube_version *v = r != NULL ? kube_find(k, r->store, ns, name) : NULL;
    return v != NULL ? v->value : NULL;
}

void sim_kube_each(struct sim_kube *k, const char *resource, const char *ns, void (*fn)(void *arg, const json *object),
                   void *arg) {
    const struct kube_resource *r = kube_resource_named(resource);
    if (r == NULL) {
        return;
    }
    struct arena *a = arena_new(0);
    struct kube_versions all = kube_all(k, r->store, ns, a);
    for (size_t i = 0; i < all.n; i++) {
        fn(arg, all.v[i]->value);
    }
    kube_versions_drop(&all);
    arena_free(a);
}

static bool done(json *refused, struct kube_version *v) {
    bool good = refused == NULL;
    json_free(refused);
    kube_unref(v);
    return good;
}

bool sim_kube_create(struct sim_kube *k, const char *resource, json *object) {
    struct kube_write w = world_write(k, resource, object);
    struct kube_version *v = NULL;
    if (w.r == NULL) {
        json_free(object);
        return false;
    }
    w.ns = NULL;
    w.name = NULL;
    json *refused = kube_create(&w, object, &v);
    return done(refused, v);
}

bool sim_kube_update(struct sim_kube *k, const char *resource, json *object) {
    struct kube_write w = world_write(k, resource, object);
    struct kube_version *live = w.r != NULL ? kube_find(k, w.r->store, w.ns, w.name) : NULL;
    struct kube_version *v = NULL;
    if (live == NULL) {
        json_free(object);
        return false;
    }
    kube_drop(kube_metadata(object), "uid");
    kube_drop(kube_metadata(object), "resourceVersion");
    kube_ref(live);
    w.ns = kube_namespace_of(live->value); /* the object's own are replaced on the way */
    w.name = kube_name_of(live->value);
    json *refused = kube_update(&w, live, object, false, &v);
    bool good = done(refused, v);
    kube_unref(live);
    return good;
}

bool sim_kube_delete(struct sim_kube *k, const char *resource, const char *ns, const char *name) {
    struct kube_write w = world_write(k, resource, NULL);
    struct kube_version *v = NULL;
    bool gone = false;
    w.ns = ns;
    w.name = name;
    if (w.r == NULL) {
        return false;
    }
    json *refused = kube_delete(&w, NULL, &v, &gone);
    return done(refused, v);
}

int64_t sim_kube_resource_version(const struct sim_kube *k) {
    return k->rv;
}

void sim_kube_compact(struct sim_kube *k) {
    k->compacted = k->rv;
}

void sim_kube_on_admission(struct sim_kube *k, void (*fn)(void *arg, json *pod, bool dry_run), void *arg) {
    if (k->nadmission == KUBE_HOOKS_MAX) {
        die("more than %d admission hooks", KUBE_HOOKS_MAX);
    }
    k->admission[k->nadmission++] = (struct kube_admission){fn, arg};
}

void sim_kube_on_write(struct sim_kube *k,
                       void (*fn)(void *arg, const char *type, const char *resource, const json *object,
                                  const char *manager),
                       void *arg) {
    if (k->nlisteners == KUBE_HOOKS_MAX) {
        die("more than %d listeners", KUBE_HOOKS_MAX);
    }
    k->listeners[k->nlisteners++] = (struct kube_listener){fn, arg};
}
