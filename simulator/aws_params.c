/* aws_params.c - parameters of a call as AWS validates them, tags, pages, documents, and how it refuses. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/aws_internal.h"

/* --- refusing --- */

static void fail(struct sim_aws *a, struct sim_aws_answer *out, int status, const char *code, const char *fmt,
                 va_list ap) __attribute__((format(printf, 5, 0)));

static void fail(struct sim_aws *a, struct sim_aws_answer *out, int status, const char *code, const char *fmt,
                 va_list ap) {
    json_free(out->value);
    out->value = NULL;
    out->status = status;
    out->code = arena_strdup(a->scratch, code);
    out->message = arena_vprintf(a->scratch, fmt, ap);
}

void sim_fail(struct sim_aws *a, struct sim_aws_answer *out, int status, const char *code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fail(a, out, status, code, fmt, ap);
    va_end(ap);
}

void sim_invalid(struct sim_aws *a, struct sim_aws_answer *out, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fail(a, out, 400, "ValidationError", fmt, ap);
    va_end(ap);
}

/* --- single parameters --- */

const char *sim_param(const struct sim_aws_call *c, const char *name) {
    for (size_t i = 0; i < c->nparams; i++) {
        if (str_eq(c->params[i].name, name)) {
            return c->params[i].value;
        }
    }
    return NULL;
}

/* Members are named in lower camel case in messages: RoleName -> roleName. */
static const char *member_name(struct sim_aws *a, const char *param) {
    char *s = arena_strdup(a->scratch, param);
    s[0] = (char)tolower((unsigned char)s[0]);
    return s;
}

const char *sim_required(struct sim_aws *a, const struct sim_aws_call *c, const char *name,
                         struct sim_aws_answer *out) {
    const char *v = sim_param(c, name);
    if (v == NULL) {
        sim_invalid(a, out,
                    "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be "
                    "null",
                    member_name(a, name));
    } else if (*v == '\0') {
        sim_invalid(a, out,
                    "1 validation error detected: Value '' at '%s' failed to satisfy constraint: Member must have "
                    "length greater than or equal to 1",
                    member_name(a, name));
        v = NULL;
    }
    return v;
}

bool sim_is_name(const char *s, size_t max) {
    size_t n = strlen(s);
    for (const char *p = s; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("_+=,.@-", *p) == NULL) {
            return false;
        }
    }
    return n > 0 && n <= max;
}

const char *sim_required_name(struct sim_aws *a, const struct sim_aws_call *c, const char *param, size_t max,
                              struct sim_aws_answer *out) {
    const char *v = sim_required(a, c, param, out);
    if (v != NULL && strlen(v) > max) {
        sim_invalid(a, out,
                    "1 validation error detected: Value '%.200s' at '%s' failed to satisfy constraint: Member must "
                    "have length less than or equal to %zu",
                    v, member_name(a, param), max);
        return NULL;
    }
    if (v != NULL && !sim_is_name(v, max)) {
        sim_invalid(a, out,
                    "The specified value for %s is invalid. It must contain only alphanumeric characters and/or the "
                    "following: +=,.@_-",
                    member_name(a, param));
        return NULL;
    }
    return v;
}

static bool is_path(const char *s) {
    size_t n = strlen(s);
    for (const char *p = s; *p != '\0'; p++) {
        if (*p < '!' || *p > '~') {
            return false;
        }
    }
    return n >= 1 && n <= 512 && s[0] == '/' && s[n - 1] == '/';
}

const char *sim_path(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *path = sim_param(c, "Path");
    if (path == NULL || is_path(path)) {
        return path != NULL ? path : "/";
    }
    sim_invalid(a, out,
                "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric "
                "characters and/or / characters.");
    return NULL;
}

bool sim_number(struct sim_aws *a, const struct sim_aws_call *c, const char *name, int64_t min, int64_t max,
                int64_t fallback, int64_t *n, struct sim_aws_answer *out) {
    const char *text = sim_param(c, name);
    *n = fallback;
    if (text == NULL) {
        return true;
    }
    if (str_to_int64(text, n) && *n >= min && *n <= max) {
        return true;
    }
    sim_invalid(a, out,
                "1 validation error detected: Value '%.40s' at '%s' failed to satisfy constraint: Member must have "
                "value between %lld and %lld",
                text, member_name(a, name), (long long)min, (long long)max);
    return false;
}

bool sim_list(struct sim_aws *a, const struct sim_aws_call *c, const char *prefix, struct strlist *list,
              struct sim_aws_answer *out) {
    char name[128];
    *list = (struct strlist){0};
    for (size_t i = 1; i <= SIM_LIST_MAX + 1; i++) {
        (void)snprintf(name, sizeof name, "%s.%zu", prefix, i);
        const char *v = sim_param(c, name);
        if (v == NULL) {
            return true;
        }
        strlist_add(list, v, a->scratch);
    }
    sim_invalid(a, out, "%s: too many members.", prefix);
    return false;
}

const char *sim_lower(struct sim_aws *a, const char *name) {
    char *s = arena_strdup(a->scratch, name);
    for (char *p = s; *p != '\0'; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    return s;
}

/* --- pages --- */

bool sim_page(struct sim_aws *a, const struct sim_aws_call *c, json *value, const char *array,
              struct sim_aws_answer *out) {
    int64_t most, from = 0;
    const char *marker = sim_param(c, "Marker");
    json *all = cJSON_DetachItemFromObjectCaseSensitive(value, array), *page = json_new_array();
    int64_t total = (int64_t)json_array_size(all), i = 0;
    bool ok = sim_number(a, c, "MaxItems", 1, 1000, 100, &most, out);

    if (ok && marker != NULL &&
        (!str_has_prefix(marker, "page-") || !str_to_int64(marker + 5, &from) || from > total)) {
        sim_invalid(a, out, "Invalid Marker.");
        ok = false;
    }
    while (ok && all->child != NULL && i < from + most) {
        json *item = cJSON_DetachItemViaPointer(all, all->child);
        if (i++ < from) {
            json_free(item);
        } else {
            json_push(page, item);
        }
    }
    json_free(all);
    json_add_item(value, array, page);
    json_add_str(value, "IsTruncated", from + most < total ? "true" : "false");
    if (from + most < total) {
        json_add_str(value, "Marker", arena_printf(a->scratch, "page-%" PRId64, from + most));
    }
    return ok;
}

/* --- tags --- */

static json *find_tag(json *tags, const char *key) {
    for (json *it = tags->child; it != NULL; it = it->next) {
        if (str_eq_nocase(json_str(it, "Key"), key)) {
            return it;
        }
    }
    return NULL;
}

/* Of AWS' pattern [\p{L}\p{Z}\p{N}_.:/=+\-@]* all that is not ASCII is taken for letters. */
static bool is_tag_text(const char *s) {
    for (const char *p = s; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x80 && !isalnum((unsigned char)*p) && strchr("_.:/=+-@ ", *p) == NULL) {
            return false;
        }
    }
    return true;
}

static bool check_tag(struct sim_aws *a, const char *key, const char *value, struct sim_aws_answer *out) {
    if (key == NULL || *key == '\0' || strlen(key) > 128) {
        sim_invalid(a, out,
                    "1 validation error detected: Value '%.200s' at 'tags.key' failed to satisfy constraint: Member "
                    "must have length between 1 and 128",
                    str_or(key, ""));
        return false;
    }
    if (value == NULL || strlen(value) > 256) {
        sim_invalid(a, out,
                    "1 validation error detected: Value of '%s' at 'tags.value' failed to satisfy constraint: Member "
                    "must have length less than or equal to 256",
                    key);
        return false;
    }
    if (!is_tag_text(key) || !is_tag_text(value)) {
        sim_invalid(a, out,
                    "1 validation error detected: Value '%s' at 'tags.%s' failed to satisfy constraint: Member must "
                    "satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*",
                    is_tag_text(key) ? value : key, is_tag_text(key) ? "value" : "key");
        return false;
    }
    if (str_has_prefix(sim_lower(a, key), "aws:")) {
        sim_fail(a, out, 400, "InvalidInput", "System tags cannot be added/updated/deleted: %s", key);
        return false;
    }
    return true;
}

/* Reads Tags.member.N into an array. */
static bool read_tags(struct sim_aws *a, const struct sim_aws_call *c, json *tags, struct sim_aws_answer *out) {
    char name[64];
    for (int i = 1; i <= SIM_TAGS_MAX + 1; i++) {
        (void)snprintf(name, sizeof name, "Tags.member.%d.Key", i);
        const char *key = sim_param(c, name);
        (void)snprintf(name, sizeof name, "Tags.member.%d.Value", i);
        const char *value = sim_param(c, name);
        if (key == NULL && value == NULL) {
            return true;
        }
        if (!check_tag(a, key, value, out)) {
            return false;
        }
        if (find_tag(tags, key) != NULL) {
            sim_fail(a, out, 400, "InvalidInput",
                     "Duplicate tag keys found. Please note that Tag keys are case insensitive.");
            return false;
        }
        json *tag = json_object();
        json_add_str(tag, "Key", key);
        json_add_str(tag, "Value", value);
        json_push(tags, tag);
    }
    sim_invalid(
        a, out,
        "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less "
        "than or equal to %d",
        SIM_TAGS_MAX);
    return false;
}

bool sim_tags_join(struct sim_aws *a, const struct sim_aws_call *c, json **tags, struct sim_aws_answer *out) {
    json *given = json_new_array(), *joined = *tags != NULL ? json_dup(*tags) : json_new_array();
    bool ok = read_tags(a, c, given, out);

    while (ok && given->child != NULL) {
        json *tag = cJSON_DetachItemViaPointer(given, given->child);
        json *old = find_tag(joined, json_str(tag, "Key"));
        if (old != NULL) {
            (void)cJSON_ReplaceItemViaPointer(joined, old, tag);
        } else {
            json_push(joined, tag);
        }
    }
    if (ok && json_array_size(joined) > SIM_TAGS_MAX) {
        sim_fail(a, out, 409, "LimitExceeded", "The number of tags has reached the maximum limit.");
        ok = false;
    }
    json_free(given);
    if (ok) {
        json_free(*tags);
        *tags = joined;
    } else {
        json_free(joined);
    }
    return ok;
}

bool sim_tags_drop(struct sim_aws *a, const struct sim_aws_call *c, json *tags, struct sim_aws_answer *out) {
    struct strlist keys;
    if (!sim_list(a, c, "TagKeys.member", &keys, out)) {
        return false;
    }
    for (size_t i = 0; i < keys.n; i++) {
        json_free(cJSON_DetachItemViaPointer(tags, find_tag(tags, keys.v[i])));
    }
    return true;
}

/* --- values --- */

void sim_add_time(json *o, const char *key, int64_t wall_ms) {
    char text[TIMEFMT_MAX];
    timefmt_rfc3339(wall_ms, text);
    json_add_str(o, key, text);
}

json *sim_true(void) {
    json *j = cJSON_CreateTrue();
    if (j == NULL) {
        die("out of memory: JSON");
    }
    return j;
}

static size_t size_without_space(const char *text) {
    size_t n = 0;
    for (const char *p = text; *p != '\0'; p++) {
        n += !isspace((unsigned char)*p);
    }
    return n;
}

json *sim_document(struct sim_aws *a, const char *text, bool is_trust, size_t max, const char *quota,
                   struct sim_aws_answer *out) {
    struct error err;
    json *document = strlen(text) <= POLICY_DOCUMENT_MAX ? json_parse(text, strlen(text), &err) : NULL;
    const char *fault = policy_document_fault(document, is_trust);

    if (fault != NULL) {
        sim_fail(a, out, 400, "MalformedPolicyDocument", "%s", fault);
    } else if (size_without_space(text) > max) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for %s: %zu", quota, max);
        fault = quota;
    }
    if (fault != NULL) {
        json_free(document);
        document = NULL;
    }
    return document;
}
