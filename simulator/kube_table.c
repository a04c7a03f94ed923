/* kube_table.c - Table answers for kubectl get: columns of the built-in kinds, and the CRD's printer columns. */
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/kube_internal.h"

#define CELL_MAX 64

static json *text_cell(const char *s) {
    json *j = cJSON_CreateString(str_or(s, ""));
    if (j == NULL) {
        die("out of memory");
    }
    return j;
}

static json *number_cell(int64_t n) {
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)n);
    return cJSON_CreateRaw(text);
}

/* As kubectl writes durations: 45s, 3m20s, 17m, 5h2m, 30h, 4d3h, 12d. */
static void write_age(int64_t s, char out[CELL_MAX]) {
    long long n = (long long)(s < 0 ? 0 : s);
    if (n < 120) {
        (void)snprintf(out, CELL_MAX, "%llds", n);
    } else if (n < 600 && n % 60 != 0) {
        (void)snprintf(out, CELL_MAX, "%lldm%llds", n / 60, n % 60);
    } else if (n < 3 * 3600) {
        (void)snprintf(out, CELL_MAX, "%lldm", n / 60);
    } else if (n < 8 * 3600 && n / 60 % 60 != 0) {
        (void)snprintf(out, CELL_MAX, "%lldh%lldm", n / 3600, n / 60 % 60);
    } else if (n < 48 * 3600) {
        (void)snprintf(out, CELL_MAX, "%lldh", n / 3600);
    } else if (n < 192 * 3600 && n / 3600 % 24 != 0) {
        (void)snprintf(out, CELL_MAX, "%lldd%lldh", n / 86400, n / 3600 % 24);
    } else {
        (void)snprintf(out, CELL_MAX, "%lldd", n / 86400);
    }
}

static json *since_cell(const struct sim_kube *k, const char *timestamp) {
    int64_t ms;
    char text[CELL_MAX] = "<unknown>";
    if (timestamp != NULL && timefmt_parse_rfc3339(timestamp, &ms)) {
        write_age((k->clock.wall_ms(k->clock.ctx) - ms) / 1000, text);
    }
    return text_cell(text);
}

/* ---- cells of the built-in kinds ---- */

typedef json *(*cell_fn)(const struct sim_kube *k, const json *o);

static json *cell_name(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(kube_name_of(o));
}

static json *cell_age(const struct sim_kube *k, const json *o) {
    return since_cell(k, json_str(o, "metadata.creationTimestamp"));
}

static json *cell_created(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(json_str(o, "metadata.creationTimestamp"));
}

static json *cell_phase(const struct sim_kube *k, const json *o) {
    (void)k;
    bool going = json_path(o, "metadata.deletionTimestamp") != NULL;
    return text_cell(going ? "Terminating" : str_or(json_str(o, "status.phase"), "Unknown"));
}

static json *cell_pod_ready(const struct sim_kube *k, const json *o) {
    (void)k;
    char text[CELL_MAX];
    size_t ready = 0;
    for (const json *it = json_first(json_array(o, "status.containerStatuses")); it != NULL; it = it->next) {
        ready += json_bool(it, "ready", false);
    }
    (void)snprintf(text, sizeof text, "%zu/%zu", ready, json_array_size(json_array(o, "spec.containers")));
    return text_cell(text);
}

static json *cell_pod_restarts(const struct sim_kube *k, const json *o) {
    (void)k;
    int64_t n = 0;
    for (const json *it = json_first(json_array(o, "status.containerStatuses")); it != NULL; it = it->next) {
        n += json_int64_or(it, "restartCount", 0);
    }
    return number_cell(n);
}

static json *cell_pod_ip(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(str_or(json_str(o, "status.podIP"), "<none>"));
}

static json *cell_pod_node(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(str_or(json_str(o, "spec.nodeName"), "<none>"));
}

static json *cell_node_status(const struct sim_kube *k, const json *o) {
    (void)k;
    const char *text = "Unknown";
    for (const json *it = json_first(json_array(o, "status.conditions")); it != NULL; it = it->next) {
        if (str_eq(json_str(it, "type"), "Ready")) {
            text = str_eq(json_str(it, "status"), "True") ? "Ready" : "NotReady";
        }
    }
    return json_bool(o, "spec.unschedulable", false)
               ? text_cell(str_eq(text, "Ready") ? "Ready,SchedulingDisabled" : "NotReady,SchedulingDisabled")
               : text_cell(text);
}

static json *cell_node_roles(const struct sim_kube *k, const json *o) {
    (void)k;
    (void)o;
    return text_cell("<none>");
}

static json *cell_node_version(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(json_str(o, "status.nodeInfo.kubeletVersion"));
}

#define CELL_OF_NUMBER(name, path)                                                                                     \
    static json *name(const struct sim_kube *k, const json *o) {                                                       \
        (void)k;                                                                                                       \
        return number_cell(json_int64_or(o, "status." path, 0));                                                       \
    }
CELL_OF_NUMBER(cell_ds_desired, "desiredNumberScheduled")
CELL_OF_NUMBER(cell_ds_current, "currentNumberScheduled")
CELL_OF_NUMBER(cell_ds_ready, "numberReady")
CELL_OF_NUMBER(cell_ds_updated, "updatedNumberScheduled")
CELL_OF_NUMBER(cell_ds_available, "numberAvailable")

static json *cell_ds_selector(const struct sim_kube *k, const json *o) {
    (void)k;
    struct buf b;
    buf_init(&b, 4096);
    for (const json *it = json_first(json_path(o, "spec.template.spec.nodeSelector")); it != NULL; it = it->next) {
        (void)buf_printf(&b, "%s%s=%s", b.n > 0 ? "," : "", it->string, str_or(it->valuestring, ""));
    }
    json *cell = text_cell(str_or(buf_str(&b), "<none>"));
    buf_done(&b);
    return cell;
}

static json *cell_sa_secrets(const struct sim_kube *k, const json *o) {
    (void)k;
    return number_cell((int64_t)json_array_size(json_array(o, "secrets")));
}

static json *cell_data(const struct sim_kube *k, const json *o) {
    (void)k;
    return number_cell((int64_t)json_array_size(json_get(o, "data")));
}

static json *cell_holder(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(json_str(o, "spec.holderIdentity"));
}

static json *cell_event_seen(const struct sim_kube *k, const json *o) {
    const char *seen = json_str(o, "series.lastObservedTime");
    seen = seen != NULL ? seen : json_str(o, "lastTimestamp");
    seen = seen != NULL ? seen : json_str(o, "eventTime");
    return since_cell(k, seen != NULL ? seen : json_str(o, "metadata.creationTimestamp"));
}

static json *cell_event_type(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(json_str(o, "type"));
}

static json *cell_event_reason(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(json_str(o, "reason"));
}

static json *cell_event_object(const struct sim_kube *k, const json *o) {
    (void)k;
    struct buf b;
    buf_init(&b, 4096);
    for (const char *c = str_or(json_str(o, "involvedObject.kind"), ""); *c != '\0'; c++) {
        (void)buf_putc(&b, *c >= 'A' && *c <= 'Z' ? (char)(*c + 'a' - 'A') : *c);
    }
    (void)buf_printf(&b, "/%s", str_or(json_str(o, "involvedObject.name"), ""));
    json *cell = text_cell(buf_str(&b));
    buf_done(&b);
    return cell;
}

static json *cell_event_message(const struct sim_kube *k, const json *o) {
    (void)k;
    return text_cell(json_str(o, "message"));
}

/* ---- columns ---- */

static const struct column {
    enum kube_store store; /* KUBE_STORES: of whatever is named nowhere else */
    const char *name, *type;
    int priority;
    cell_fn cell;
} columns[] = {
    {KUBE_PODS, "Name", "string", 0, cell_name},
    {KUBE_PODS, "Ready", "string", 0, cell_pod_ready},
    {KUBE_PODS, "Status", "string", 0, cell_phase},
    {KUBE_PODS, "Restarts", "integer", 0, cell_pod_restarts},
    {KUBE_PODS, "Age", "string", 0, cell_age},
    {KUBE_PODS, "IP", "string", 1, cell_pod_ip},
    {KUBE_PODS, "Node", "string", 1, cell_pod_node},
    {KUBE_NODES, "Name", "string", 0, cell_name},
    {KUBE_NODES, "Status", "string", 0, cell_node_status},
    {KUBE_NODES, "Roles", "string", 0, cell_node_roles},
    {KUBE_NODES, "Age", "string", 0, cell_age},
    {KUBE_NODES, "Version", "string", 0, cell_node_version},
    {KUBE_NAMESPACES, "Name", "string", 0, cell_name},
    {KUBE_NAMESPACES, "Status", "string", 0, cell_phase},
    {KUBE_NAMESPACES, "Age", "string", 0, cell_age},
    {KUBE_DAEMONSETS, "Name", "string", 0, cell_name},
    {KUBE_DAEMONSETS, "Desired", "integer", 0, cell_ds_desired},
    {KUBE_DAEMONSETS, "Current", "integer", 0, cell_ds_current},
    {KUBE_DAEMONSETS, "Ready", "integer", 0, cell_ds_ready},
    {KUBE_DAEMONSETS, "Up-to-date", "integer", 0, cell_ds_updated},
    {KUBE_DAEMONSETS, "Available", "integer", 0, cell_ds_available},
    {KUBE_DAEMONSETS, "Node Selector", "string", 0, cell_ds_selector},
    {KUBE_DAEMONSETS, "Age", "string", 0, cell_age},
    {KUBE_SERVICEACCOUNTS, "Name", "string", 0, cell_name},
    {KUBE_SERVICEACCOUNTS, "Secrets", "integer", 0, cell_sa_secrets},
    {KUBE_SERVICEACCOUNTS, "Age", "string", 0, cell_age},
    {KUBE_CONFIGMAPS, "Name", "string", 0, cell_name},
    {KUBE_CONFIGMAPS, "Data", "integer", 0, cell_data},
    {KUBE_CONFIGMAPS, "Age", "string", 0, cell_age},
    {KUBE_LEASES, "Name", "string", 0, cell_name},
    {KUBE_LEASES, "Holder", "string", 0, cell_holder},
    {KUBE_LEASES, "Age", "string", 0, cell_age},
    {KUBE_EVENTS, "Last Seen", "string", 0, cell_event_seen},
    {KUBE_EVENTS, "Type", "string", 0, cell_event_type},
    {KUBE_EVENTS, "Reason", "string", 0, cell_event_reason},
    {KUBE_EVENTS, "Object", "string", 0, cell_event_object},
    {KUBE_EVENTS, "Message", "string", 0, cell_event_message},
    {KUBE_CRDS, "Name", "string", 0, cell_name},
    {KUBE_CRDS, "Created At", "date", 0, cell_created},
    {KUBE_STORES, "Name", "string", 0, cell_name},
    {KUBE_STORES, "Age", "string", 0, cell_age},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

static void define(json *list, const char *name, const char *type, const char *description, int64_t priority) {
    json *d = json_object();
    json_add_str(d, "name", name);
    json_add_str(d, "type", type);
    json_add_str(d, "format", str_eq(name, "Name") ? "name" : "");
    json_add_str(d, "description", str_or(description, name));
    json_add_int64(d, "priority", priority);
    json_push(list, d);
}

/* ---- the CRD's columns ---- */

/* .a.b and .a[?(@.type=="Ready")].b: as far as printer columns go. */
static const json *by_json_path(const json *o, const char *path, struct arena *a) {
    while (o != NULL && *path == '.') {
        size_t n = strcspn(++path, ".[");
        o = json_get(o, arena_strndup(a, path, n));
        path += n;
        static const char filter[] = "[?(@.";
        if (!str_has_prefix(path, filter)) {
            continue;
        }
        path += strlen(filter);
        size_t key_n = strcspn(path, "=");
        const char *key = arena_strndup(a, path, key_n);
        path += key_n;
        path += strspn(path, "=\"'");
        size_t value_n = strcspn(path, "\"'");
        const char *value = arena_strndup(a, path, value_n);
        path += value_n + strcspn(path + value_n, "]");
        path += *path == ']';
        const json *it = json_is_array(o) ? json_first(o) : NULL;
        while (it != NULL && !str_eq(json_key_str(it, key), value)) {
            it = it->next;
        }
        o = it;
    }
    return o;
}

static json *printer_cell(const struct sim_kube *k, const json *column, const json *o, struct arena *a) {
    const json *v = by_json_path(o, str_or(json_str(column, "jsonPath"), ""), a);
    if (v == NULL) {
        return cJSON_CreateNull();
    }
    return str_eq(json_str(column, "type"), "date") && json_is_string(v) ? since_cell(k, v->valuestring) : json_dup(v);
}

static const json *printer_columns(const struct sim_kube *k, const struct kube_request *q) {
    return q->r->store == KUBE_BINDINGS ? json_array(kube_crd_version(k), "additionalPrinterColumns") : NULL;
}

static bool has_columns(enum kube_store store) {
    for (size_t i = 0; i < COLUMNS; i++) {
        if (columns[i].store == store) {
            return true;
        }
    }
    return false;
}

static json *row_of(const struct sim_kube *k, const struct kube_request *q, const json *o) {
    enum kube_store store = has_columns(q->r->store) ? q->r->store : KUBE_STORES;
    const json *printers = printer_columns(k, q);
    const char *include = str_or(kube_query(q, "includeObject"), "Metadata");
    json *row = json_object();
    json *cells = json_add_array(row, "cells");

    for (size_t i = 0; i < COLUMNS && printers == NULL; i++) {
        if (columns[i].store == store) {
            json_push(cells, columns[i].cell(k, o));
        }
    }
    if (printers != NULL) {
        json_push(cells, cell_name(k, o));
    }
    for (const json *it = json_first(printers); it != NULL; it = it->next) {
        json_push(cells, printer_cell(k, it, o, q->a));
    }
    if (!str_eq(include, "None")) {
        enum kube_form form = str_eq(include, "Object") ? KUBE_FULL : KUBE_METADATA;
        json_add_item(row, "object", kube_show(k, q->r, o, form, true));
    }
    return row;
}

json *kube_table(const struct sim_kube *k, const struct kube_request *q, const json *const *objects, size_t n) {
    enum kube_store store = has_columns(q->r->store) ? q->r->store : KUBE_STORES;
    const json *printers = printer_columns(k, q);
    json *table = json_object();
    json_add_str(table, "kind", "Table");
    json_add_str(table, "apiVersion", "meta.k8s.io/v1");
    json *metadata = json_add_object(table, "metadata");
    json *definitions = json_add_array(table, "columnDefinitions");
    json *rows = json_add_array(table, "rows");

    if (n == 1) {
        json_add_str(metadata, "resourceVersion", json_str(objects[0], "metadata.resourceVersion"));
    }
    for (size_t i = 0; i < COLUMNS && printers == NULL; i++) {
        if (columns[i].store == store) {
            define(definitions, columns[i].name, columns[i].type, NULL, columns[i].priority);
        }
    }
    if (printers != NULL) {
        define(definitions, "Name", "string", "Name of the object", 0);
    }
    for (const json *it = json_first(printers); it != NULL; it = it->next) {
        define(definitions, json_str(it, "name"), json_str(it, "type"), json_str(it, "description"),
               json_int64_or(it, "priority", 0));
    }
    for (size_t i = 0; i < n; i++) {
        json_push(rows, row_of(k, q, objects[i]));
    }
    return table;
}
