/* kube_builtin.c - what the real server checks and fills in for its own kinds, as far as the product can notice. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/kube_internal.h"

#define TEMPLATE_GENERATION "deprecated.daemonset.template.generation"

/* ---- filling in ---- */

static void prepare_daemonset(const struct kube_write *w, json *o, const json *old) {
    if (w->status_only) {
        return;
    }
    const char *before = json_key_str(json_path(old, "metadata.annotations"), TEMPLATE_GENERATION);
    int64_t n = 0;
    char text[24];
    if (before == NULL || !str_to_int64(before, &n)) {
        n = 0;
    }
    if (old == NULL || !json_equal(json_path(o, "spec.template"), json_path(old, "spec.template"))) {
        n++;
    }
    (void)snprintf(text, sizeof text, "%lld", (long long)(n > 0 ? n : 1));
    json_add_str(kube_need_object(kube_metadata(o), "annotations"), TEMPLATE_GENERATION, text);
    json *spec = kube_member(o, "spec");
    if (json_is_object(spec) && json_get(spec, "updateStrategy") == NULL) {
        json *strategy = json_add_object(spec, "updateStrategy");
        json_add_str(strategy, "type", "RollingUpdate");
        json *rolling = json_add_object(strategy, "rollingUpdate");
        json_add_int64(rolling, "maxUnavailable", 1);
        json_add_int64(rolling, "maxSurge", 0);
    }
    if (json_is_object(spec) && json_get(spec, "revisionHistoryLimit") == NULL) {
        json_add_int64(spec, "revisionHistoryLimit", 10);
    }
    if (old == NULL && !w->from_world) {
        json *status = json_add_object(o, "status");
        json_add_int64(status, "currentNumberScheduled", 0);
        json_add_int64(status, "numberMisscheduled", 0);
        json_add_int64(status, "desiredNumberScheduled", 0);
        json_add_int64(status, "numberReady", 0);
    }
}

static void prepare_pod(json *o) {
    json *spec = kube_need_object(o, "spec");
    if (json_get(spec, "serviceAccountName") == NULL) {
        json_add_str(spec, "serviceAccountName", "default");
    }
    if (json_get(spec, "restartPolicy") == NULL) {
        json_add_str(spec, "restartPolicy", "Always");
    }
    if (json_get(spec, "terminationGracePeriodSeconds") == NULL) {
        json_add_int64(spec, "terminationGracePeriodSeconds", 30);
    }
    json *status = kube_need_object(o, "status");
    if (json_get(status, "phase") == NULL) {
        json_add_str(status, "phase", "Pending");
    }
}

void kube_builtin_prepare(const struct kube_write *w, json *object, const json *old) {
    char now[TIMEFMT_MAX];
    switch ((int)w->r->store) {
    case KUBE_DAEMONSETS:
        prepare_daemonset(w, object, old);
        break;
    case KUBE_PODS:
        if (old == NULL) {
            prepare_pod(object);
        }
        break;
    case KUBE_NAMESPACES:
        if (json_path(object, "status.phase") == NULL) {
            json_add_str(kube_need_object(object, "status"), "phase", "Active");
        }
        break;
    case KUBE_CRDS:
        kube_now(w->k, now);
        if (!w->status_only) {
            kube_crd_established(object, now);
        }
        break;
    default:
        break;
    }
}

bool kube_pod_needs_grace(const json *pod) {
    const char *phase = json_str(pod, "status.phase");
    return !str_empty(json_str(pod, "spec.nodeName")) && !str_eq(phase, "Succeeded") && !str_eq(phase, "Failed");
}

/* ---- checks ---- */

/* Exactly six decimals. */
static bool is_micro_time(const char *s) {
    int64_t ms;
    const char *dot = strchr(s, '.');
    size_t digits = 0;
    while (dot != NULL && isdigit((unsigned char)dot[1 + digits])) {
        digits++;
    }
    return digits == 6 && timefmt_parse_rfc3339(s, &ms);
}

static json *check_micro(const json *object, const char *path) {
    const char *text = json_str(object, path);
    if (text == NULL || is_micro_time(text)) {
        return NULL;
    }
    return kube_status(400, "BadRequest",
                       "parsing time \"%s\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"%s\"", text, text);
}

static json *check_lease(const struct kube_write *w, const json *o) {
    struct kube_causes c = {0};
    json *refused = check_micro(o, "spec.renewTime");
    refused = refused != NULL ? refused : check_micro(o, "spec.acquireTime");
    if (refused != NULL) {
        return refused;
    }
    if (json_int64_or(o, "spec.leaseDurationSeconds", 1) <= 0) {
        kube_cause(&c, "spec.leaseDurationSeconds", "FieldValueInvalid", "Invalid value: %lld: must be greater than 0",
                   (long long)json_int64_or(o, "spec.leaseDurationSeconds", 0));
    }
    if (json_int64_or(o, "spec.leaseTransitions", 0) < 0) {
        kube_cause(&c, "spec.leaseTransitions", "FieldValueInvalid",
                   "Invalid value: %lld: must be greater than or equal to 0",
                   (long long)json_int64_or(o, "spec.leaseTransitions", 0));
    }
    return kube_causes_status(&c, w->r, kube_name_of(o));
}

static void need(struct kube_causes *c, const json *o, const char *field, const char *shown, size_t max) {
    const char *v = json_str(o, field);
    if (str_empty(v)) {
        kube_cause(c, shown, "FieldValueRequired", "Required value");
    } else if (strlen(v) > max) {
        kube_cause(c, shown, "FieldValueInvalid", "Invalid value: \"\": can have at most %zu characters", max);
    }
}

/* Of events.k8s.io/v1; core Events are taken as they are. The object is in its core form already. */
static json *check_event(const struct kube_write *w, const json *o, const json *old) {
    struct kube_causes c = {0};
    json *refused = check_micro(o, "eventTime");
    refused = refused != NULL ? refused : check_micro(o, "series.lastObservedTime");
    if (refused != NULL || str_empty(w->r->group)) {
        return refused;
    }
    if (old != NULL) {
        if (json_get(o, "series") != NULL && json_int64_or(o, "series.count", 0) < 2) {
            kube_cause(&c, "series.count", "FieldValueInvalid", "Invalid value: \"\": should be at least 2");
        }
        return kube_causes_status(&c, w->r, kube_name_of(o));
    }
    need(&c, o, "eventTime", "eventTime", 64);
    need(&c, o, "reportingComponent", "reportingController", 253);
    need(&c, o, "reportingInstance", "reportingInstance", 128);
    need(&c, o, "action", "action", 128);
    need(&c, o, "reason", "reason", 128);
    if (strlen(str_or(json_str(o, "message"), "")) > 1024) {
        kube_cause(&c, "note", "FieldValueInvalid", "Invalid value: \"\": can have at most 1024 characters");
    }
    if (!str_eq(json_str(o, "type"), "Normal") && !str_eq(json_str(o, "type"), "Warning")) {
        kube_cause(&c, "type", "FieldValueInvalid", "Invalid value: \"\": has invalid value: %s",
                   str_or(json_str(o, "type"), ""));
    }
    return kube_causes_status(&c, w->r, kube_name_of(o));
}

static bool selects(const json *selector, const json *labels) {
    for (const json *it = json_first(json_get(selector, "matchLabels")); it != NULL; it = it->next) {
        const char *v = json_key_str(labels, it->string);
        if (!json_is_string(it) || !str_eq(v, it->valuestring)) {
            return false;
        }
    }
    return true;
}

static json *check_daemonset(const struct kube_write *w, const json *o, const json *old) {
    struct kube_causes c = {0};
    const json *selector = json_path(o, "spec.selector");
    if (!json_is_object(selector) || json_first(selector) == NULL) {
        kube_cause(&c, "spec.selector", "FieldValueRequired", "Required value");
    } else if (!selects(selector, json_path(o, "spec.template.metadata.labels"))) {
        kube_cause(&c, "spec.template.metadata.labels", "FieldValueInvalid",
                   "Invalid value: `selector` does not match template `labels`");
    } else if (old != NULL && !json_equal(selector, json_path(old, "spec.selector"))) {
        kube_cause(&c, "spec.selector", "FieldValueInvalid", "Invalid value: field is immutable");
    }
    if (json_first(json_array(o, "spec.template.spec.containers")) == NULL) {
        kube_cause(&c, "spec.template.spec.containers", "FieldValueRequired", "Required value");
    }
    return kube_causes_status(&c, w->r, kube_name_of(o));
}

json *kube_builtin_check(const struct kube_write *w, const json *object, const json *old) {
    if (w->from_world) {
        return NULL;
    }
    switch ((int)w->r->store) {
    case KUBE_LEASES:
        return check_lease(w, object);
    case KUBE_EVENTS:
        return check_event(w, object, old);
    case KUBE_DAEMONSETS:
        return check_daemonset(w, object, old);
    case KUBE_PODS:
        return json_first(json_array(object, "spec.containers")) != NULL
                   ? NULL
                   : kube_invalid_one(w->r, kube_name_of(object), "spec.containers", "FieldValueRequired",
                                      "Required value");
    case KUBE_CRDS:
        return str_eq(kube_name_of(object), KUBE_CRD_NAME) ? kube_crd_check(object) : NULL;
    default:
        return NULL;
    }
}

/* ---- the two forms of an Event ---- */

static const struct {
    const char *core, *group;
} event_fields[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"reportingComponent", "reportingController"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
};

static void rename_field(json *o, const char *from, const char *to) {
    json *v = cJSON_DetachItemFromObjectCaseSensitive(o, from);
    if (v != NULL) {
        json_add_item(o, to, v);
    }
}

void kube_event_to_core(json *event) {
    for (size_t i = 0; i < sizeof event_fields / sizeof event_fields[0]; i++) {
        rename_field(event, event_fields[i].group, event_fields[i].core);
    }
    json_add_str(event, "apiVersion", "v1");
}

void kube_event_to_group(json *event) {
    for (size_t i = 0; i < sizeof event_fields / sizeof event_fields[0]; i++) {
        rename_field(event, event_fields[i].core, event_fields[i].group);
    }
    json_add_str(event, "apiVersion", "events.k8s.io/v1");
}
