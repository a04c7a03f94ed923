/* snapshot_take.c - the Kubernetes half, and the whole; the account: snapshot_aws.c. */
#include "controller/snapshot_take.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "controller/collect.h"
#include "controller/operator.h"
#include "controller/snapshot_taking.h"
#include "platform/base/timefmt.h"
#include "simulator/snapshot.h"

/* --- asking --- */

static void note_unknown(struct taking *t, const char *what, const struct error *err) {
    if (json_array_size(t->unknown) < UNKNOWN_MAX)
        json_push_str(t->unknown, arena_printf(t->arena, "%s: %s", what, err->message));
}

json *taking_ask(struct taking *t, const struct effect *e) {
    struct error err;
    assert(effect_class(e->kind) == EFFECT_READ);
    if (t->err->code)
        return NULL;
    json *value = connection_call(t->connection, e, &err);
    t->not_found = err.code == ERR_NOT_FOUND;
    if (!err.code)
        return value;
    if (err.code == ERR_FORBIDDEN)
        note_unknown(t, effect_describe(e, t->arena), &err);
    else if (err.code != ERR_NOT_FOUND && err.code != ERR_UNSUPPORTED) {
        *t->err = err;
        error_wrap(t->err, "%s", effect_describe(e, t->arena));
    }
    json_free(value);
    return NULL;
}

/* --- Kubernetes --- */

static json *list_of(struct taking *t, enum watched kind) {
    const struct watch_target *target = &watched_kind(kind)->target;
    fprintf(stderr, "reading %s\n", target->resource);
    return taking_ask(t, effect_new(t->arena, EFFECT_K8S_LIST, "resource", target->resource, "namespace", target->ns,
                                    "labelSelector", target->label_selector, "fieldSelector", target->field_selector,
                                    NULL));
}

/* Moves the items; what is being deleted is as good as gone. */
static void add_list(struct taking *t, json *out, const char *key, enum watched kind) {
    json *value = list_of(t, kind), *list = json_add_array(out, key);
    json *items = cJSON_GetObjectItemCaseSensitive(value, "items");
    while (items && items->child) {
        json *item = cJSON_DetachItemViaPointer(items, items->child);
        if (kind != WATCH_BINDINGS && json_str(item, "metadata.deletionTimestamp")) {
            json_free(item);
            continue;
        }
        if (kind == WATCH_BINDINGS) {
            json_add_str(item, "apiVersion", CIB_API_VERSION);
            json_add_str(item, "kind", CIB_KIND);
        }
        json_push(list, item);
    }
    json_free(value);
}

static void add_only(struct taking *t, json *out, const char *key, enum watched kind) {
    json *value = list_of(t, kind);
    const json *first = json_first(json_array(value, "items"));
    if (first)
        json_add_item(out, key, json_dup(first));
    json_free(value);
}

static void add_issuer(struct taking *t, json *out) {
    if (!json_get(out, "serviceAccount"))
        return;
    json *value = taking_ask(
        t, effect_new(t->arena, EFFECT_K8S_TOKEN_ISSUER, "namespace", "kube-system", "name", "aws-node", NULL));
    json_add_str(out, "issuer", json_str(value, "issuer"));
    json_free(value);
}

/* Others than EKS' own may inject as well, under any name: what is not seen is not known. */
static void add_webhook(struct taking *t, json *out) {
    json *value =
        taking_ask(t, effect_new(t->arena, EFFECT_K8S_LIST, "resource", "mutatingwebhookconfigurations", NULL));
    const char *found = "Unknown";
    for (const json *it = json_first(json_array(value, "items")); it; it = it->next)
        if (strstr(str_or(json_str(it, "metadata.name"), ""), "pod-identity-webhook"))
            found = "Present";
    json_add_str(out, "webhook", found);
    json_free(value);
}

static void add_lease(struct taking *t, json *out) {
    json *value = taking_ask(t, effect_new(t->arena, EFFECT_K8S_GET, "resource", "leases", "namespace", "kube-system",
                                           "name", OPERATOR_LEASE_NAME, NULL));
    if (json_get(value, "spec"))
        json_add_item(out, "lease", json_dup(json_get(value, "spec")));
    json_free(value);
}

static json *take_kubernetes(struct taking *t) {
    json *out = json_object();
    json *ns =
        taking_ask(t, effect_new(t->arena, EFFECT_K8S_GET, "resource", "namespaces", "name", "kube-system", NULL));
    json_add_str(out, "clusterUid", str_or(json_str(ns, "metadata.uid"), ""));
    json_free(ns);
    add_only(t, out, "serviceAccount", WATCH_SERVICE_ACCOUNT);
    add_only(t, out, "daemonSet", WATCH_DAEMON_SET);
    add_issuer(t, out);
    add_webhook(t, out);
    add_lease(t, out);
    add_list(t, out, "nodes", WATCH_NODES);
    add_list(t, out, "pods", WATCH_PODS);
    add_list(t, out, "bindings", WATCH_BINDINGS);
    return out;
}

/* --- the whole --- */

json *snapshot_take(struct connection *c, const struct snapshot_request *r, struct error *err) {
    char now[TIMEFMT_MAX];
    struct clock clock = loop_clock(c->loop);
    struct taking t = {.connection = c, .request = r, .arena = arena_new(0), .err = err};
    json *whole = json_object();
    error_clear(err);
    timefmt_rfc3339(clock.wall_ms(clock.ctx), now);
    json_add_str(whole, "kind", SNAPSHOT_KIND);
    json_add_int64(whole, "version", SNAPSHOT_VERSION);
    json_add_str(whole, "takenAt", now);
    json_add_str(whole, "takenBy", "cni-iam " CNI_IAM_VERSION);
    t.unknown = json_add_array(whole, "unknown");
    json *kubernetes = take_kubernetes(&t);
    json_add_item(whole, "kubernetes", kubernetes);
    json_add_item(whole, "aws", snapshot_take_aws(&t, kubernetes));
    json *named = err->code ? NULL : snapshot_copy(whole);
    json_free(whole);
    arena_free(t.arena);
    return named;
}

bool snapshot_take_text(struct connection *c, const struct snapshot_request *r, struct buf *out, struct error *err) {
    json *tree = snapshot_take(c, r, err);
    if (!tree)
        return false;
    snapshot_print(tree, out);
    json_free(tree);
    if (out->overflow)
        return error_set(err, ERR_TOO_LARGE, "the snapshot is larger than %zu bytes", out->max);
    struct snapshot *s = snapshot_parse("the snapshot", buf_str(out), out->n, err);
    snapshot_free(s);
    return s != NULL;
}
