/*
 * kube_schema.c - a structural schema (openAPIV3Schema): pruning, defaults, validation with the real server's messages.
 *
 * What did not change since the old object is not checked again (ratcheting). Rules come last, and only when everything
 * else is right.
 */
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/kube_internal.h"

/* ---- pruning and defaults ---- */

struct pruning {
    struct strlist *unknown; /* NULL: nobody asks */
    struct arena *a;
};

static void prepare(const json *schema, json *value, const char *path, const struct pruning *p, bool root);

static bool is_meta_key(const char *key) {
    return str_eq(key, "apiVersion") || str_eq(key, "kind") || str_eq(key, "metadata");
}

static const char *join(const char *path, const char *key, struct arena *a) {
    size_t before = strlen(path);
    if (before == 0) {
        return arena_strdup(a, key);
    }
    size_t size = before + strlen(key) + 2;
    char *joined = arena_alloc(a, size);
    char *end = stpcpy(joined, path);
    *end = '.';
    (void)stpcpy(end + 1, key);
    return joined;
}

static void prune_members(const json *schema, json *value, const char *path, const struct pruning *p, bool root) {
    const json *properties = json_get(schema, "properties");
    const json *additional = json_get(schema, "additionalProperties");
    bool keeps = json_bool(schema, "x-kubernetes-preserve-unknown-fields", false);
    for (json *it = value->child; it != NULL;) {
        json *next = it->next;
        const json *known = json_get(properties, it->string);
        const char *at = join(path, it->string, p->a);
        if (root && is_meta_key(it->string)) {
            it = next;
            continue;
        }
        known = known != NULL ? known : additional;
        if (known == NULL && !keeps) {
            if (p->unknown != NULL) {
                strlist_add(p->unknown, at, p->a);
            }
            json_free(cJSON_DetachItemViaPointer(value, it));
        } else if (cJSON_IsNull(it) && !json_bool(known, "nullable", false)) {
            json_free(cJSON_DetachItemViaPointer(value, it));
        } else if (known != NULL) {
            prepare(known, it, at, p, false);
        }
        it = next;
    }
}

static void fill_defaults(const json *schema, json *value, const char *path, const struct pruning *p) {
    for (const json *it = json_first(json_get(schema, "properties")); it != NULL; it = it->next) {
        const json *fallback = json_get(it, "default");
        if (fallback != NULL && json_get(value, it->string) == NULL) {
            json_add_item(value, it->string, json_dup(fallback));
            prepare(it, kube_member(value, it->string), join(path, it->string, p->a), p, false);
        }
    }
}

static void prepare(const json *schema, json *value, const char *path, const struct pruning *p, bool root) {
    if (json_is_object(value)) {
        prune_members(schema, value, path, p, root);
        fill_defaults(schema, value, path, p);
    } else if (json_is_array(value) && json_is_object(json_get(schema, "items"))) {
        int i = 0;
        for (json *it = value->child; it != NULL; it = it->next) {
            prepare(json_get(schema, "items"), it, arena_printf(p->a, "%s[%d]", path, i++), p, false);
        }
    }
}

void kube_schema_prepare(const json *schema, json *object, struct strlist *unknown, struct arena *a) {
    struct pruning p = {unknown, a};
    prepare(schema, object, "", &p, true);
}

/* ---- validation ---- */

struct checking {
    struct kube_causes *c;
    struct arena *a;
    bool rules; /* the second round */
};

static void check(const json *schema, const json *value, const json *old, const char *path, const struct checking *ck);

static const char *type_of(const json *v) {
    double whole;
    if (json_is_object(v)) {
        return "object";
    }
    if (json_is_array(v)) {
        return "array";
    }
    if (json_is_string(v)) {
        return "string";
    }
    if (cJSON_IsBool(v)) {
        return "boolean";
    }
    if (cJSON_IsNull(v)) {
        return "null";
    }
    return cJSON_IsRaw(v) ? (strpbrk(v->valuestring, ".eE") == NULL ? "integer" : "number")
                          : (modf(v->valuedouble, &whole) == 0.0 ? "integer" : "number");
}

static bool check_type(const json *schema, const json *value, const char *path, const struct checking *ck) {
    const char *wanted = json_str(schema, "type");
    const char *is = type_of(value);
    if (wanted == NULL || str_eq(wanted, is) || (str_eq(wanted, "number") && str_eq(is, "integer")) ||
        (str_eq(is, "null") && json_bool(schema, "nullable", false))) {
        return true;
    }
    if (!ck->rules) {
        kube_cause(ck->c, path, "FieldValueTypeInvalid", "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"",
                   is, path, wanted, is);
    }
    return false;
}

static bool is_one_of(const json *list, const json *value) {
    const json *it = json_first(list);
    while (it != NULL && !json_equal(it, value)) {
        it = it->next;
    }
    return it != NULL;
}

static void check_enum(const json *schema, const json *value, const char *path, const struct checking *ck) {
    const json *list = json_array(schema, "enum");
    struct strlist shown = {0};
    if (list != NULL && !is_one_of(list, value)) {
        for (const json *it = json_first(list); it != NULL; it = it->next) {
            strlist_add(&shown, json_print_arena(it, ck->a), ck->a);
        }
        kube_cause(ck->c, path, "FieldValueNotSupported", "Unsupported value: %s: supported values: %s",
                   json_print_arena(value, ck->a), strlist_join(&shown, ", ", ck->a));
    }
}

static int64_t characters(const char *s) {
    int64_t n = 0;
    for (; *s != '\0'; s++) {
        n += ((unsigned char)*s & 0xc0) != 0x80;
    }
    return n;
}

static bool matches_pattern(const char *pattern, const char *text) {
    regex_t re;
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool found = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return found;
}

static void check_string(const json *schema, const json *value, const char *path, const struct checking *ck) {
    const char *text = value->valuestring;
    const char *pattern = json_str(schema, "pattern");
    int64_t limit;
    int64_t ms;
    if (json_int64(schema, "maxLength", &limit) && characters(text) > limit) {
        kube_cause(ck->c, path, "FieldValueTooLong", "Too long: may not be more than %lld bytes", (long long)limit);
    }
    if (json_int64(schema, "minLength", &limit) && characters(text) < limit) {
        kube_cause(ck->c, path, "FieldValueInvalid",
                   "Invalid value: \"%s\": %s in body should be at least %lld chars long", text, path,
                   (long long)limit);
    }
    if (pattern != NULL && !matches_pattern(pattern, text)) {
        kube_cause(ck->c, path, "FieldValueInvalid", "Invalid value: \"%s\": %s in body should match '%s'", text, path,
                   pattern);
    }
    if (str_eq(json_str(schema, "format"), "date-time") && !timefmt_parse_rfc3339(text, &ms)) {
        kube_cause(ck->c, path, "FieldValueInvalid",
                   "Invalid value: \"%s\": %s in body must be of type date-time: \"%s\"", text, path, text);
    }
}

static double number_of(const json *v) {
    return cJSON_IsRaw(v) ? strtod(v->valuestring, NULL) : v->valuedouble;
}

static void check_number(const json *schema, const json *value, const char *path, const struct checking *ck) {
    const json *min = json_get(schema, "minimum");
    const json *max = json_get(schema, "maximum");
    if (min != NULL && number_of(value) < number_of(min)) {
        kube_cause(ck->c, path, "FieldValueInvalid",
                   "Invalid value: %s: %s in body should be greater than or equal to %s",
                   json_print_arena(value, ck->a), path, json_print_arena(min, ck->a));
    }
    if (max != NULL && number_of(value) > number_of(max)) {
        kube_cause(ck->c, path, "FieldValueInvalid", "Invalid value: %s: %s in body should be less than or equal to %s",
                   json_print_arena(value, ck->a), path, json_print_arena(max, ck->a));
    }
}

static bool same_key(const json *keys, const json *x, const json *y) {
    for (const json *k = json_first(keys); k != NULL; k = k->next) {
        const json *a = json_is_string(k) ? json_get(x, k->valuestring) : NULL;
        const json *b = json_is_string(k) ? json_get(y, k->valuestring) : NULL;
        if (a == NULL || b == NULL || !json_equal(a, b)) {
            return false;
        }
    }
    return true;
}

static void check_duplicates(const json *schema, const json *list, const char *path, const struct checking *ck) {
    const char *type = json_str(schema, "x-kubernetes-list-type");
    const json *keys = json_array(schema, "x-kubernetes-list-map-keys");
    bool set = str_eq(type, "set");
    int i = 0;
    if (!set && !str_eq(type, "map")) {
        return;
    }
    for (const json *it = json_first(list); it != NULL; it = it->next, i++) {
        for (const json *before = json_first(list); before != it; before = before->next) {
            if (set ? json_equal(before, it) : same_key(keys, before, it)) {
                kube_cause(ck->c, arena_printf(ck->a, "%s[%d]", path, i), "FieldValueDuplicate", "Duplicate value: %s",
                           json_print_arena(it, ck->a));
                break;
            }
        }
    }
}

static void check_list(const json *schema, const json *list, const char *path, const struct checking *ck) {
    int64_t limit;
    int i = 0;
    int64_t n = (int64_t)json_array_size(list);
    if (!ck->rules && json_int64(schema, "maxItems", &limit) && n > limit) {
        kube_cause(ck->c, path, "FieldValueTooMany", "Too many: %lld: must have at most %lld items", (long long)n,
                   (long long)limit);
        return;
    }
    if (!ck->rules) {
        check_duplicates(schema, list, path, ck);
    }
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        check(json_get(schema, "items"), it, NULL, arena_printf(ck->a, "%s[%d]", path, i++), ck);
    }
}

static void check_object(const json *schema, const json *value, const json *old, const char *path,
                         const struct checking *ck) {
    int64_t limit;
    const json *additional = json_get(schema, "additionalProperties");
    bool root = path[0] == '\0';
    for (const json *it = ck->rules ? NULL : json_first(json_get(schema, "required")); it != NULL; it = it->next) {
        if (json_is_string(it) && json_get(value, it->valuestring) == NULL) {
            kube_cause(ck->c, join(path, it->valuestring, ck->a), "FieldValueRequired", "Required value");
        }
    }
    if (!ck->rules && json_int64(schema, "maxProperties", &limit) && (int64_t)json_array_size(value) > limit) {
        kube_cause(ck->c, path, "FieldValueTooMany", "Too many: %zu: must have at most %lld items",
                   json_array_size(value), (long long)limit);
        return;
    }
    for (const json *it = json_first(value); it != NULL; it = it->next) {
        const json *known = json_get(json_get(schema, "properties"), it->string);
        known = known != NULL ? known : additional;
        if (json_is_object(known) && !(root && is_meta_key(it->string))) {
            check(known, it, json_get(old, it->string), join(path, it->string, ck->a), ck);
        }
    }
}

static void check_rule(const json *rule, const json *value, const json *old, const char *path,
                       const struct checking *ck) {
    const char *message = json_str(rule, "message");
    const char *reason = str_or(json_str(rule, "reason"), "FieldValueInvalid");
    const char *at = json_str(rule, "fieldPath");
    if ((old == NULL && kube_rule_is_transition(message)) || kube_rule_holds(message, value, old)) {
        return;
    }
    const char *field = at == NULL ? path : path[0] == '\0' ? at + 1 : arena_printf(ck->a, "%s%s", path, at);
    if (str_eq(reason, "FieldValueForbidden")) {
        kube_cause(ck->c, field, reason, "Forbidden: %s", message);
    } else {
        kube_cause(ck->c, field, reason, "Invalid value: \"%s\": %s", type_of(value), message);
    }
}

static void check(const json *schema, const json *value, const json *old, const char *path, const struct checking *ck) {
    if ((old != NULL && json_equal(old, value)) || !check_type(schema, value, path, ck)) {
        return;
    }
    for (const json *it = ck->rules ? json_first(json_get(schema, "x-kubernetes-validations")) : NULL; it != NULL;
         it = it->next) {
        check_rule(it, value, old, path, ck);
    }
    if (json_is_object(value)) {
        check_object(schema, value, old, path, ck);
    } else if (json_is_array(value)) {
        check_list(schema, value, path, ck);
    } else if (!ck->rules) {
        check_enum(schema, value, path, ck);
        if (json_is_string(value)) {
            check_string(schema, value, path, ck);
        } else if (cJSON_IsNumber(value) || cJSON_IsRaw(value)) {
            check_number(schema, value, path, ck);
        }
    }
}

void kube_schema_check(const json *schema, const json *object, const json *old, struct kube_causes *c) {
    struct arena *a = arena_new(0);
    struct checking ck = {c, a, false};
    check(schema, object, old, "", &ck);
    if (c->n > 0) {
        kube_cause(
            c, "<nil>", "FieldValueInvalid",
            "Invalid value: null: some validation rules were not checked because the object was invalid; correct "
            "the existing errors to complete validation");
    } else {
        ck.rules = true;
        check(schema, object, old, "", &ck);
    }
    arena_free(a);
}
