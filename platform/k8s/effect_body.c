#include "platform/k8s/effect_body.h"

#include <string.h>

#include "platform/base/json.h"
#include "platform/base/mutant.h"
#include "platform/base/str.h"

static json *parse_body(const struct effect *e, struct error *err) {
    if (e->body == NULL) {
        (void)error_set(err, ERR_INVALID, "%s has no body", effect_operation(e->kind));
        return NULL;
    }
    json *j = json_parse(e->body, strlen(e->body), err);
    if (j == NULL) {
        (void)error_wrap(err, "body of %s", effect_operation(e->kind));
    }
    return j;
}

/* Fills in or compares one string field of `o`; *filled: in. */
static bool settle(json *o, const char *key, const char *value, bool *filled, struct error *err) {
    const json *there = json_get(o, key);
    if (value == NULL) {
        return true;
    }
    if (there == NULL) {
        json_add_str(o, key, value);
        return *filled = true;
    }
    if (!json_is_string(there) || !str_eq(there->valuestring, value)) {
        return error_set(err, ERR_INVALID, "the body's %s is not \"%s\", as the effect's arguments have it", key,
                         value);
    }
    return true;
}

static json *metadata_of(json *o, bool *filled, struct error *err) {
    json *m = cJSON_GetObjectItemCaseSensitive(o, "metadata");
    if (m == NULL) {
        *filled = true;
        return json_add_object(o, "metadata");
    }
    if (!json_is_object(m)) {
        (void)error_set(err, ERR_INVALID, "the body's metadata is no object");
        return NULL;
    }
    return m;
}

static bool check_rules(const json *metadata, const struct effect *e, const struct effect_body_rules *rules,
                        struct error *err) {
    if (rules->needs_uid && str_empty(json_key_str(metadata, "uid"))) {
        return error_set(err, ERR_INVALID,
                         "%s without metadata.uid would create a missing object (K-P3); give the uid, or create=true",
                         effect_operation(e->kind));
    }
    if (rules->needs_resource_version && str_empty(json_key_str(metadata, "resourceVersion"))) {
        return error_set(err, ERR_INVALID, "%s without metadata.resourceVersion would overwrite blindly (K-P1)",
                         effect_operation(e->kind));
    }
    return true;
}

static bool complete(json *o, const struct effect *e, const struct k8s_resource *r,
                     const struct effect_body_rules *rules, bool *filled, struct error *err) {
    if (!json_is_object(o)) {
        return error_set(err, ERR_INVALID, "the body of %s is no object", effect_operation(e->kind));
    }
    json *metadata = metadata_of(o, filled, err);
    return metadata != NULL && settle(o, "apiVersion", r->api_version, filled, err) &&
           settle(o, "kind", r->kind, filled, err) && settle(metadata, "name", effect_arg(e, "name"), filled, err) &&
           settle(metadata, "namespace", effect_arg(e, "namespace"), filled, err) &&
           check_rules(metadata, e, rules, err);
}

const char *effect_body_object(const struct effect *e, const struct k8s_resource *r,
                               const struct effect_body_rules *rules, struct arena *a, struct error *err) {
    bool filled = false;
    json *o = parse_body(e, err);
    bool good = o != NULL && complete(o, e, r, rules, &filled, err);
    const char *text = !good ? NULL : filled ? json_print_arena(o, a) : arena_strdup(a, e->body);
    json_free(o);
    return text;
}

const char *effect_body_patch(const struct effect *e, bool is_json_patch, struct arena *a, struct error *err) {
    json *o = parse_body(e, err);
    const char *text = NULL;
    if (o == NULL) {
        return NULL;
    }
    if (is_json_patch ? json_is_array(o) : json_is_object(o)) {
        text = arena_strdup(a, e->body);
    } else {
        (void)error_set(err, ERR_INVALID, "the body of %s is no %s", effect_operation(e->kind),
                        is_json_patch ? "list of operations" : "object");
    }
    json_free(o);
    return text;
}

const char *effect_body_delete(const struct effect *e, struct arena *a, struct error *err) {
    const char *uid = effect_arg(e, "uid");
    const char *version = effect_arg(e, "resourceVersion");
    const char *grace = effect_arg(e, "gracePeriodSeconds");
    int64_t grace_s = 0;
    if (str_empty(uid) || str_empty(version)) {
        (void)error_set(err, ERR_INVALID, "Delete needs uid and resourceVersion as preconditions (K-P7)");
        return NULL;
    }
    if (grace != NULL && !str_to_int64(grace, &grace_s)) {
        (void)error_set(err, ERR_INVALID, "gracePeriodSeconds is no number");
        return NULL;
    }
    json *o = json_object();
    json_add_str(o, "apiVersion", "v1");
    json_add_str(o, "kind", "DeleteOptions");
    json *preconditions = json_add_object(o, "preconditions");
    if (!MUTANT(pod_is_deleted_by_name)) {
        json_add_str(preconditions, "uid", uid);
        json_add_str(preconditions, "resourceVersion", version);
    }
    json_add_str(o, "propagationPolicy", effect_arg(e, "propagationPolicy"));
    if (grace != NULL) {
        json_add_int64(o, "gracePeriodSeconds", grace_s);
    }
    const char *text = json_print_arena(o, a);
    json_free(o);
    return text;
}

const char *effect_body_review(const struct effect *e, struct arena *a, struct error *err) {
    static const char *const fields[] = {"namespace", "verb", "group", "resource", "subresource", "name"};
    if (str_empty(effect_arg(e, "verb")) || str_empty(effect_arg(e, "resource"))) {
        (void)error_set(err, ERR_INVALID, "an access review needs verb and resource");
        return NULL;
    }
    json *o = json_object();
    json_add_str(o, "apiVersion", "authorization.k8s.io/v1");
    json_add_str(o, "kind", "SelfSubjectAccessReview");
    json *attributes = json_add_object(json_add_object(o, "spec"), "resourceAttributes");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        json_add_str(attributes, fields[i], effect_arg(e, fields[i]));
    }
    const char *text = json_print_arena(o, a);
    json_free(o);
    return text;
}
