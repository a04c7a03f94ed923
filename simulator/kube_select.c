/* kube_select.c - label selectors (equality and sets) and field selectors. */
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"

#define REQUIREMENTS_MAX 64

enum op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_ABSENT };

struct requirement {
    bool is_label;
    const char *key;
    enum op op;
    struct strlist values;
};

struct kube_selector {
    struct requirement req[REQUIREMENTS_MAX];
    size_t n;
};

static char *trimmed(const char *s, size_t n, struct arena *a) {
    while (n > 0 && *s == ' ') {
        s++;
        n--;
    }
    while (n > 0 && s[n - 1] == ' ') {
        n--;
    }
    return arena_strndup(a, s, n);
}

/* "key in (a,b)", "key notin (a)": where the word is, or NULL. */
static const char *set_word(const char *text, const char *word) {
    const char *at = strstr(text, word);
    return at != NULL && at != text && strchr(at, '(') != NULL ? at : NULL;
}

static bool read_set(struct requirement *r, const char *text, struct arena *a) {
    const char *in = set_word(text, " in ");
    const char *notin = set_word(text, " notin ");
    const char *word = in != NULL ? in : notin;
    if (word == NULL) {
        return false;
    }
    const char *open = strchr(word, '(') + 1;
    r->op = in != NULL ? OP_IN : OP_NOT_IN;
    r->key = trimmed(text, (size_t)(word - text), a);
    r->values = str_split(arena_strndup(a, open, strcspn(open, ")")), ',', a);
    return true;
}

static void read_equality(struct requirement *r, const char *text, struct arena *a) {
    const char *at = strchr(text, '=');
    bool negative = at != NULL && at != text && at[-1] == '!';
    if (at == NULL) {
        r->op = text[0] == '!' ? OP_ABSENT : OP_EXISTS;
        r->key = trimmed(text + (text[0] == '!'), strlen(text) - (text[0] == '!'), a);
        return;
    }
    r->op = negative ? OP_NOT_IN : OP_IN;
    r->key = trimmed(text, (size_t)(at - text) - negative, a);
    at += at[1] == '=' ? 2 : 1;
    strlist_add(&r->values, trimmed(at, strlen(at), a), a);
}

/* Up to the next comma outside parentheses. */
static size_t term_length(const char *p) {
    int depth = 0;
    size_t n = 0;
    for (; p[n] != '\0' && (p[n] != ',' || depth > 0); n++) {
        depth += p[n] == '(' ? 1 : p[n] == ')' ? -1 : 0;
    }
    return n;
}

static bool key_is_sound(const char *key) {
    return !str_empty(key) && strpbrk(key, " \t\n(),!=<>\"") == NULL;
}

static json *read_terms(struct kube_selector *s, const char *text, bool labels, struct arena *a) {
    for (const char *p = str_or(text, ""); *p != '\0';) {
        size_t n = term_length(p);
        char *term = trimmed(p, n, a);
        p += n + (p[n] == ',');
        if (*term == '\0') {
            continue;
        }
        if (s->n == REQUIREMENTS_MAX) {
            return kube_status(400, "BadRequest", "the selector has more than %d terms", REQUIREMENTS_MAX);
        }
        struct requirement *r = &s->req[s->n];
        *r = (struct requirement){.is_label = labels};
        if (!labels || !read_set(r, term, a)) {
            read_equality(r, term, a);
        }
        if (!key_is_sound(r->key) || (!labels && (r->op == OP_EXISTS || r->op == OP_ABSENT))) {
            return kube_status(400, "BadRequest", "unable to parse requirement: \"%s\"", term);
        }
        s->n++;
    }
    return NULL;
}

/* ---- which fields may be selected by ---- */

static const struct {
    enum kube_store store;
    const char *fields[16];
} selectable[] = {
    {KUBE_PODS,
     {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
      "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"}},
    {KUBE_NODES, {"spec.unschedulable"}},
    {KUBE_NAMESPACES, {"status.phase"}},
    {KUBE_EVENTS,
     {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
      "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
      "reportingComponent", "source", "type"}},
};

static const char *core_event_field(const char *field, struct arena *a) {
    if (str_has_prefix(field, "regarding.")) {
        return arena_printf(a, "involvedObject.%s", field + strlen("regarding."));
    }
    return str_eq(field, "reportingController") ? "reportingComponent" : field;
}

static bool crd_selects(const struct sim_kube *k, const char *field) {
    const json *list = json_array(kube_crd_version(k), "selectableFields");
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        const char *path = json_str(it, "jsonPath");
        if (path != NULL && path[0] == '.' && str_eq(path + 1, field)) {
            return true;
        }
    }
    return false;
}

static bool may_select(const struct sim_kube *k, const struct kube_resource *r, const char *field) {
    if (str_eq(field, "metadata.name") || (str_eq(field, "metadata.namespace") && r->namespaced)) {
        return true;
    }
    if (r->store == KUBE_BINDINGS) {
        return crd_selects(k, field);
    }
    for (size_t i = 0; i < sizeof selectable / sizeof selectable[0]; i++) {
        for (size_t f = 0; selectable[i].store == r->store && f < 16 && selectable[i].fields[f] != NULL; f++) {
            if (str_eq(selectable[i].fields[f], field)) {
                return true;
            }
        }
    }
    return false;
}

json *kube_selector_read(const struct sim_kube *k, const struct kube_request *q, struct kube_selector **out) {
    const char *labels = kube_query(q, "labelSelector");
    const char *fields = kube_query(q, "fieldSelector");
    *out = NULL;
    if (labels == NULL && fields == NULL && q->name == NULL) {
        return NULL;
    }
    struct kube_selector *s = ARENA_NEW(q->a, struct kube_selector);
    json *refused = read_terms(s, labels, true, q->a);
    if (refused == NULL) {
        refused = read_terms(s, fields, false, q->a);
    }
    for (size_t i = 0; refused == NULL && i < s->n; i++) {
        struct requirement *r = &s->req[i];
        if (r->is_label) {
            continue;
        }
        r->key = q->r->store == KUBE_EVENTS ? core_event_field(r->key, q->a) : r->key;
        if (!may_select(k, q->r, r->key)) {
            refused = kube_status(400, "BadRequest", "field label not supported: %s", r->key);
        }
    }
    *out = s;
    return refused;
}

/* ---- matching ---- */

/* What a field selector compares with; an absent field is "", as in the real server. */
static const char *field_text(const json *object, const char *key) {
    const json *v = json_path(object, str_eq(key, "source") ? "source.component" : key);
    if (json_is_string(v)) {
        return v->valuestring;
    }
    if (cJSON_IsBool(v)) {
        return cJSON_IsTrue(v) ? "true" : "false";
    }
    return str_eq(key, "spec.unschedulable") || str_eq(key, "spec.hostNetwork") ? "false" : "";
}

static bool holds(const struct requirement *r, const json *object) {
    const char *v =
        r->is_label ? json_key_str(json_path(object, "metadata.labels"), r->key) : field_text(object, r->key);
    switch ((int)r->op) {
    case OP_EXISTS:
        return v != NULL;
    case OP_ABSENT:
        return v == NULL;
    case OP_IN:
        return v != NULL && strlist_has(&r->values, v);
    default:
        return v == NULL || !strlist_has(&r->values, v);
    }
}

bool kube_selector_matches(const struct kube_selector *s, const json *object) {
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        if (!holds(&s->req[i], object)) {
            return false;
        }
    }
    return true;
}
