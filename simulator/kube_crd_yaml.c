/* kube_crd_yaml.c - YAML to JSON (one document, the core schema, no anchors), and what the server says of a CRD. */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "platform/base/str.h"
#include "simulator/kube_internal.h"

#define YAML_DEPTH_MAX 64

struct reader {
    yaml_parser_t parser;
    struct error *err;
    int depth;
};

static json *read_node(struct reader *r, yaml_event_t *e);

static bool next_event(struct reader *r, yaml_event_t *e) {
    if (yaml_parser_parse(&r->parser, e) != 0) {
        return true;
    }
    return error_set(r->err, ERR_PARSE, "YAML line %zu: %s", r->parser.problem_mark.line + 1,
                     str_or(r->parser.problem, "cannot be read"));
}

static bool in(const char *s, const char *const *words) {
    for (; *words != NULL; words++) {
        if (str_eq(s, *words)) {
            return true;
        }
    }
    return false;
}

static json *read_scalar(const yaml_event_t *e) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    const char *text = (const char *)e->data.scalar.value;
    struct error ignored = {0};

    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        if (in(text, nulls)) {
            return cJSON_CreateNull();
        }
        if (in(text, trues) || in(text, falses)) {
            return cJSON_CreateBool(in(text, trues));
        }
        json *number = strchr("-0123456789", text[0]) != NULL ? json_parse(text, strlen(text), &ignored) : NULL;
        if (number != NULL) {
            return number;
        }
    }
    return cJSON_CreateString(text);
}

static json *read_sequence(struct reader *r) {
    json *list = json_new_array();
    yaml_event_t e;
    while (next_event(r, &e)) {
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            return list;
        }
        json *item = read_node(r, &e);
        if (item == NULL) {
            break;
        }
        json_push(list, item);
    }
    json_free(list);
    return NULL;
}

static json *read_mapping(struct reader *r) {
    json *map = json_object();
    yaml_event_t e;
    while (next_event(r, &e)) {
        if (e.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&e);
            return map;
        }
        char *key = e.type == YAML_SCALAR_EVENT ? strdup((const char *)e.data.scalar.value) : NULL;
        yaml_event_delete(&e);
        json *value = key != NULL && json_get(map, key) == NULL && next_event(r, &e) ? read_node(r, &e) : NULL;
        if (value == NULL) {
            (void)(r->err->code == ERR_NONE && error_set(r->err, ERR_PARSE, "YAML: key \"%s\"", str_or(key, "?")));
            free(key);
            break;
        }
        json_add_item(map, key, value);
        free(key);
    }
    json_free(map);
    return NULL;
}

/* Deletes the event. */
static json *read_node(struct reader *r, yaml_event_t *e) {
    json *j = NULL;
    yaml_event_type_t type = e->type;
    if (type == YAML_SCALAR_EVENT) {
        j = read_scalar(e);
    }
    yaml_event_delete(e);
    if (r->depth >= YAML_DEPTH_MAX) {
        (void)error_set(r->err, ERR_TOO_LARGE, "YAML: more than %d levels", YAML_DEPTH_MAX);
        json_free(j);
        return NULL;
    }
    r->depth++;
    if (type == YAML_SEQUENCE_START_EVENT) {
        j = read_sequence(r);
    } else if (type == YAML_MAPPING_START_EVENT) {
        j = read_mapping(r);
    } else if (j == NULL) {
        (void)error_set(r->err, ERR_PARSE, "YAML: neither a value, a list nor a map");
    }
    r->depth--;
    return j;
}

json *kube_yaml_parse(const char *text, size_t n, struct error *err) {
    struct reader r = {.err = err};
    yaml_event_t e;
    json *j = NULL;
    if (yaml_parser_initialize(&r.parser) == 0) {
        die("out of memory");
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    while (j == NULL && err->code == ERR_NONE && next_event(&r, &e)) {
        if (e.type == YAML_STREAM_START_EVENT || e.type == YAML_DOCUMENT_START_EVENT) {
            yaml_event_delete(&e);
        } else if (e.type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&e);
            (void)error_set(err, ERR_PARSE, "YAML: no document");
        } else {
            j = read_node(&r, &e);
        }
    }
    yaml_parser_delete(&r.parser);
    return j;
}

/* ---- the CRD object ---- */

static json *condition(const char *type, const char *reason, const char *message, const char *now) {
    json *c = json_object();
    json_add_str(c, "type", type);
    json_add_str(c, "status", "True");
    json_add_str(c, "lastTransitionTime", now);
    json_add_str(c, "reason", reason);
    json_add_str(c, "message", message);
    return c;
}

void kube_crd_established(json *crd, const char *now) {
    json *status = kube_need_object(crd, "status");
    if (json_get(status, "conditions") == NULL) {
        json *list = json_add_array(status, "conditions");
        json_push(list, condition("NamesAccepted", "NoConflicts", "no conflicts found", now));
        json_push(list, condition("Established", "InitialNamesAccepted", "the initial names have been accepted", now));
    }
    kube_copy_member(status, json_get(crd, "spec"), "names");
    json *names = cJSON_DetachItemFromObjectCaseSensitive(status, "names");
    if (names != NULL) {
        json_add_item(status, "acceptedNames", names);
    }
    const char *version = json_str(json_first(json_array(crd, "spec.versions")), "name");
    if (version != NULL) {
        json_push_str(json_add_array(status, "storedVersions"), version);
    }
}

static void check_rules(const json *schema, const char **unknown) {
    for (const json *it = json_first(json_get(schema, "x-kubernetes-validations")); it != NULL; it = it->next) {
        const char *message = json_str(it, "message");
        if (!kube_rule_known(message)) {
            *unknown = str_or(json_str(it, "rule"), "?");
        }
    }
    for (const json *it = json_first(json_get(schema, "properties")); it != NULL; it = it->next) {
        check_rules(it, unknown);
    }
    if (json_is_object(json_get(schema, "items"))) {
        check_rules(json_get(schema, "items"), unknown);
    }
    if (json_is_object(json_get(schema, "additionalProperties"))) {
        check_rules(json_get(schema, "additionalProperties"), unknown);
    }
}

json *kube_crd_check(const json *crd) {
    const json *version = json_first(json_array(crd, "spec.versions"));
    const json *schema = json_path(version, "schema.openAPIV3Schema");
    const struct kube_resource *r = kube_resource_named("customresourcedefinitions");
    const char *unknown = NULL;
    if (!json_is_object(schema)) {
        return kube_invalid_one(r, KUBE_CRD_NAME, "spec.versions[0].schema.openAPIV3Schema", "FieldValueRequired",
                                "Required value: schemas are required");
    }
    check_rules(schema, &unknown);
    if (unknown != NULL) {
        return kube_invalid_one(r, KUBE_CRD_NAME, "spec.versions[0].schema", "FieldValueInvalid",
                                "Invalid value: the simulator does not know the rule %s", unknown);
    }
    return NULL;
}

const json *kube_crd_version(const struct sim_kube *k) {
    const struct kube_version *v = kube_find(k, KUBE_CRDS, NULL, KUBE_CRD_NAME);
    return v != NULL ? json_first(json_array(v->value, "spec.versions")) : NULL;
}
