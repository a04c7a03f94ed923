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

/* Where in an object: its text is made when somebody has to be told. */
struct place {
    const struct place *up; /* NULL: the object itself */
    const char *key;        /* NULL: of an item */
    int item;
};

static const char *path_of(const struct place *at, struct arena *a) {
    if (at->up == NULL) {
        return "";
    }
    const char *before = path_of(at->up, a);
    if (at->key == NULL) {
        return arena_printf(a, "%s[%d]", before, at->item);
    }
    return before[0] == '\0' ? at->key : arena_printf(a, "%s.%s", before, at->key);
}

static void prepare(const json *schema, json *value, const struct place *at, const struct pruning *p);

static bool is_meta_key(const char *key) {
    return str_eq(key, "apiVersion") || str_eq(key, "kind") || str_eq(key, "metadata");
}

static void prune_members(const json *schema, json *value, const struct place *at, const struct pruning *p) {
    const json *properties = json_get(schema, "properties");
    const json *additional = json_get(schema, "additionalProperties");
    bool keeps = json_bool(schema, "x-kubernetes-preserve-unknown-fields", false);
    for (json *it = value->child; it != NULL;) {
        json *next = it->next;
        const json *known = json_get(properties, it->string);
        const struct place member = {at, it->string, 0};
        if (at->up == NULL && is_meta_key(it->string)) {
            it = next;
            continue;
        }
        known = known != NULL ? known : additional;
        if (known == NULL && !keeps) {
            if (p->unknown != NULL) {
                strlist_add(p->unknown, path_of(&member, p->a), p->a);
            }
            json_free(cJSON_DetachItemViaPointer(value, it));
        } else if (cJSON_IsNull(it) && !json_bool(known, "nullable", false)) {
            json_free(cJSON_DetachItemViaPointer(value, it));
        } else if (known != NULL) {
            prepare(known, it, &member, p);
        }
        it = next;
    }
}

static void fill_defaults(const json *schema, json *value, const struct place *at, const struct pruning *p) {
    for (const json *it = json_first(json_get(schema, "properties")); it != NULL; it = it->next) {
        const json *fallback = json_get(it, "default");
        if (fallback != NULL && json_get(value, it->string) == NULL) {
            const struct place member = {at, it->string, 0};
            json_add_item(value, it->string, json_dup(fallback));
            prepare(it, kube_member(value, it->string), &member, p);
        }
    }
}

static void prepare(const json *schema, json *value, const struct place *at, const struct pruning *p) {
    if (json_is_object(value)) {
        prune_members(schema, value, at, p);
        fill_defaults(schema, value, at, p);
    } else if (json_is_array(value) && json_is_object(json_get(schema, "items"))) {
        struct place item = {at, NULL, 0};
        for (json *it = value->child; it != NULL; it = it->next, item.item++) {
            prepare(json_get(schema, "items"), it, &item, p);
        }
    }
}

void kube_schema_prepare(const json *schema, json *object, struct strlist *unknown, struct arena *a) {
    const struct place whole = {0};
    struct pruning p = {unknown, a};
    prepare(schema, object, &whole, &p);
}

/* ---- validation ---- */

struct checking {
    struct kube_causes *c;
    struct kube_causes *rules; /* told only when everything else is right */
    struct arena *a;
};

static void check(const json *schema, const json *value, const json *old, const struct place *at,
                  const struct checking *ck);

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

static bool check_type(const json *schema, const json *value, const struct place *at, const struct checking *ck) {
    const char *wanted = json_key_str(schema, "type");
    const char *is = type_of(value);
    if (wanted == NULL || str_eq(wanted, is) || (str_eq(wanted, "number") && str_eq(is, "integer")) ||
        (str_eq(is, "null") && json_bool(schema, "nullable", false))) {
        return true;
    }
    const char *path = path_of(at, ck->a);
    kube_cause(ck->c, path, "FieldValueTypeInvalid", "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"", is,
               path, wanted, is);
    return false;
}

static bool is_one_of(const json *list, const json *value) {
    const json *it = json_first(list);
    while (it != NULL && !json_equal(it, value)) {
        it = it->next;
    }
    return it != NULL;
}

static void check_enum(const json *schema, const json *value, const struct place *at, const struct checking *ck) {
    const json *list = json_array(schema, "enum");
    struct strlist shown = {0};
    if (list == NULL || is_one_of(list, value)) {
        return;
    }
    for (const json *it = json_first(list); it != NULL; it = it->next) {
        strlist_add(&shown, json_print_arena(it, ck->a), ck->a);
    }
    kube_cause(ck->c, path_of(at, ck->a), "FieldValueNotSupported", "Unsupported value: %s: supported values: %s",
               json_print_arena(value, ck->a), strlist_join(&shown, ", ", ck->a));
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

static void check_length(const json *schema, const char *text, const struct place *at, const struct checking *ck) {
    int64_t limit;
    if (json_int64(schema, "maxLength", &limit) && characters(text) > limit) {
        kube_cause(ck->c, path_of(at, ck->a), "FieldValueTooLong", "Too long: may not be more than %lld bytes",
                   (long long)limit);
    }
    if (json_int64(schema, "minLength", &limit) && characters(text) < limit) {
        const char *path = path_of(at, ck->a);
        kube_cause(ck->c, path, "FieldValueInvalid",
                   "Invalid value: \"%s\": %s in body should be at least %lld chars long", text, path,
                   (long long)limit);
    }
}

static void check_string(const json *schema, const json *value, const struct place *at, const struct checking *ck) {
    const char *text = value->valuestring;
    const char *pattern = json_key_str(schema, "pattern");
    int64_t ms;
    check_length(schema, text, at, ck);
    if (pattern != NULL && !matches_pattern(pattern, text)) {
        const char *path = path_of(at, ck->a);
        kube_cause(ck->c, path, "FieldValueInvalid", "Invalid value: \"%s\": %s in body should match '%s'", text, path,
                   pattern);
    }
    if (str_eq(json_key_str(schema, "format"), "date-time") && !timefmt_parse_rfc3339(text, &ms)) {
        const char *path = path_of(at, ck->a);
        kube_cause(ck->c, path, "FieldValueInvalid",
                   "Invalid value: \"%s\": %s in body must be of type date-time: \"%s\"", text, path, text);
    }
}

static double number_of(const json *v) {
    return cJSON_IsRaw(v) ? strtod(v->valuestring, NULL) : v->valuedouble;
}

static void say_bound(const json *value, const json *bound, const char *how, const struct place *at,
                      const struct checking *ck) {
    const char *path = path_of(at, ck->a);
    kube_cause(ck->c, path, "FieldValueInvalid", "Invalid value: %s: %s in body should be %s than or equal to %s",
               json_print_arena(value, ck->a), path, how, json_print_arena(bound, ck->a));
}

static void check_number(const json *schema, const json *value, const struct place *at, const struct checking *ck) {
    const json *min = json_get(schema, "minimum");
    const json *max = json_get(schema, "maximum");
    if (min != NULL && number_of(value) < number_of(min)) {
        say_bound(value, min, "greater", at, ck);
    }
    if (max != NULL && number_of(value) > number_of(max)) {
        say_bound(value, max, "less", at, ck);
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

static void check_duplicates(const json *schema, const json *list, const struct place *at, const struct checking *ck) {
    const char *type = json_key_str(schema, "x-kubernetes-list-type");
    const json *keys = json_array(schema, "x-kubernetes-list-map-keys");
    bool set = str_eq(type, "set");
    struct place item = {at, NULL, 0};
    if (!set && !str_eq(type, "map")) {
        return;
    }
    for (const json *it = json_first(list); it != NULL; it = it->next, item.item++) {
        for (const json *before = json_first(list); before != it; before = before->next) {
            if (set ? json_equal(before, it) : same_key(keys, before, it)) {
                kube_cause(ck->c, path_of(&item, ck->a), "FieldValueDuplicate", "Duplicate value: %s",
                           json_print_arena(it, ck->a));
                break;
            }
        }
    }
}

static void check_list(const json *schema, const json *list, const struct place *at, const struct checking *ck) {
    int64_t limit;
    int64_t n = (int64_t)json_array_size(list);
    struct place item = {at, NULL, 0};
    if (json_int64(schema, "maxItems", &limit) && n > limit) {
        kube_cause(ck->c, path_of(at, ck->a), "FieldValueTooMany", "Too many: %lld: must have at most %lld items",
                   (long long)n, (long long)limit);
        return;
    }
    check_duplicates(schema, list, at, ck);
    for (const json *it = json_first(list); it != NULL; it = it->next, item.item++) {
        check(json_get(schema, "items"), it, NULL, &item, ck);
    }
}

static void check_required(const json *schema, const json *value, const struct place *at, const struct checking *ck) {
    for (const json *it = json_first(json_get(schema, "required")); it != NULL; it = it->next) {
        if (json_is_string(it) && json_get(value, it->valuestring) == NULL) {
            const struct place member = {at, it->valuestring, 0};
            kube_cause(ck->c, path_of(&member, ck->a), "FieldValueRequired", "Required value");
        }
    }
}

static void check_object(const json *schema, const json *value, const json *old, const struct place *at,
                         const struct checking *ck) {
    int64_t limit;
    const json *properties = json_get(schema, "properties");
    const json *additional = json_get(schema, "additionalProperties");
    check_required(schema, value, at, ck);
    if (json_int64(schema, "maxProperties", &limit) && (int64_t)json_array_size(value) > limit) {
        kube_cause(ck->c, path_of(at, ck->a), "FieldValueTooMany", "Too many: %zu: must have at most %lld items",
                   json_array_size(value), (long long)limit);
        return;
    }
    for (const json *it = json_first(value); it != NULL; it = it->next) {
        const json *known = json_get(properties, it->string);
        known = known != NULL ? known : additional;
        if (json_is_object(known) && !(at->up == NULL && is_meta_key(it->string))) {
            const struct place member = {at, it->string, 0};
            check(known, it, json_get(old, it->string), &member, ck);
        }
    }
}

static void check_rule(const json *rule, const json *value, const json *old, const struct place *at,
                       const struct checking *ck) {
    const char *message = json_key_str(rule, "message");
    const char *reason = str_or(json_key_str(rule, "reason"), "FieldValueInvalid");
    const char *below = json_key_str(rule, "fieldPath");
    if ((old == NULL && kube_rule_is_transition(message)) || kube_rule_holds(message, value, old)) {
        return;
    }
    const char *path = path_of(at, ck->a);
    const char *field = below == NULL ? path : path[0] == '\0' ? below + 1 : arena_printf(ck->a, "%s%s", path, below);
    if (str_eq(reason, "FieldValueForbidden")) {
        kube_cause(ck->rules, field, reason, "Forbidden: %s", message);
    } else {
        kube_cause(ck->rules, field, reason, "Invalid value: \"%s\": %s", type_of(value), message);
    }
}

static void check(const json *schema, const json *value, const json *old, const struct place *at,
                  const struct checking *ck) {
    if ((old != NULL && json_equal(old, value)) || !check_type(schema, value, at, ck)) {
        return;
    }
    for (const json *it = json_first(json_get(schema, "x-kubernetes-validations")); it != NULL; it = it->next) {
        check_rule(it, value, old, at, ck);
    }
    if (json_is_object(value)) {
        check_object(schema, value, old, at, ck);
    } else if (json_is_array(value)) {
        check_list(schema, value, at, ck);
    } else {
        check_enum(schema, value, at, ck);
        if (json_is_string(value)) {
            check_string(schema, value, at, ck);
        } else if (cJSON_IsNumber(value) || cJSON_IsRaw(value)) {
            check_number(schema, value, at, ck);
        }
    }
}

void kube_schema_check(const json *schema, const json *object, const json *old, struct kube_causes *c) {
    struct arena *a = arena_new(0);
    struct kube_causes rules = {0};
    const struct place whole = {0};
    struct checking ck = {c, &rules, a};
    check(schema, object, old, &whole, &ck);
    if (c->n > 0) {
        kube_cause(
            c, "<nil>", "FieldValueInvalid",
            "Invalid value: null: some validation rules were not checked because the object was invalid; correct "
            "the existing errors to complete validation");
        kube_causes_drop(&rules);
    } else {
        *c = rules;
    }
    arena_free(a);
}
