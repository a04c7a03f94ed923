/* json.c - JSON as a tree: reading and building. */
#include "platform/base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void json_free(json *j) {
    cJSON_Delete(j);
}

const json *json_get(const json *j, const char *key) {
    if (j == NULL || key == NULL || (j->type & 0xff) != cJSON_Object) {
        return NULL;
    }
    for (const json *it = j->child; it != NULL; it = it->next) {
        if (it->string[0] == key[0] && strcmp(it->string, key) == 0) {
            return it;
        }
    }
    return NULL;
}

static const json *get_n(const json *j, const char *key, size_t n) {
    if ((j->type & 0xff) != cJSON_Object) {
        return NULL;
    }
    for (const json *it = j->child; it != NULL; it = it->next) {
        if (it->string[0] == key[0] && strncmp(it->string, key, n) == 0 && it->string[n] == '\0') {
            return it;
        }
    }
    return NULL;
}

const json *json_path(const json *j, const char *path) {
    while (j != NULL) {
        size_t n = (size_t)(strchrnul(path, '.') - path);
        j = get_n(j, path, n);
        if (path[n] == '\0') {
            return j;
        }
        path += n + 1;
    }
    return NULL;
}

static const char *string_of(const json *j) {
    return cJSON_IsString(j) ? j->valuestring : NULL;
}

const char *json_str(const json *j, const char *path) {
    return string_of(json_path(j, path));
}

const char *json_key_str(const json *j, const char *key) {
    return string_of(json_get(j, key));
}

bool json_bool(const json *j, const char *path, bool fallback) {
    const json *v = json_path(j, path);
    const char *s = string_of(v);

    if (cJSON_IsBool(v)) {
        return cJSON_IsTrue(v);
    }
    if (str_eq(s, "true")) {
        return true;
    }
    return str_eq(s, "false") ? false : fallback;
}

/* An integer's exact text, as json_parse keeps it where cJSON would lose digits. */
static bool int64_of_text(const char *s, int64_t *out) {
    bool negative = s[0] == '-';
    int64_t v = 0;

    for (s += negative ? 1 : 0; *s != '\0'; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, *s - '0', &v)) { /* downwards: INT64_MIN has no positive */
            return false;
        }
    }
    if (!negative && __builtin_sub_overflow(0, v, &v)) {
        return false;
    }
    *out = v;
    return true;
}

bool json_int64(const json *j, const char *path, int64_t *out) {
    const json *v = json_path(j, path);

    if (cJSON_IsRaw(v)) {
        return int64_of_text(v->valuestring, out);
    }
    if (!cJSON_IsNumber(v)) {
        return false;
    }
    double d = v->valuedouble;
    if (!(fabs(d) <= 9007199254740992.0) || d != (double)(int64_t)d) {
        return false;
    }
    *out = (int64_t)d;
    return true;
}

int64_t json_int64_or(const json *j, const char *path, int64_t fallback) {
    int64_t v;
    return json_int64(j, path, &v) ? v : fallback;
}

const json *json_array(const json *j, const char *path) {
    const json *v = json_path(j, path);
    return cJSON_IsArray(v) ? v : NULL;
}

bool json_is_array(const json *j) {
    return cJSON_IsArray(j);
}

bool json_is_object(const json *j) {
    return cJSON_IsObject(j);
}

bool json_is_string(const json *j) {
    return cJSON_IsString(j);
}

size_t json_array_size(const json *arr) {
    size_t n = 0;
    for (const json *it = json_first(arr); it != NULL; it = it->next) {
        n++;
    }
    return n;
}

const json *json_first(const json *array_or_object) {
    return array_or_object != NULL ? array_or_object->child : NULL;
}

static json *made(json *j) {
    if (j == NULL) {
        die("out of memory: JSON");
    }
    return j;
}

json *json_object(void) {
    return made(cJSON_CreateObject());
}

json *json_new_array(void) {
    return made(cJSON_CreateArray());
}

void json_add_item(json *o, const char *key, json *child) {
    bool there = json_get(o, key) != NULL;
    if (!(there ? cJSON_ReplaceItemInObjectCaseSensitive(o, key, child) : cJSON_AddItemToObject(o, key, child))) {
        die("a JSON member \"%s\" could not be added", key);
    }
}

json *json_add_object(json *o, const char *key) {
    json *child = json_object();
    json_add_item(o, key, child);
    return child;
}

json *json_add_array(json *o, const char *key) {
    json *child = json_new_array();
    json_add_item(o, key, child);
    return child;
}

void json_add_str(json *o, const char *key, const char *value) {
    if (value != NULL) {
        json_add_item(o, key, made(cJSON_CreateString(value)));
    }
}

void json_add_int64(json *o, const char *key, int64_t value) {
    const int64_t exact = INT64_C(999999999999999); /* fifteen digits: what cJSON prints of a double */
    char text[24];

    if (value >= -exact && value <= exact) {
        json_add_item(o, key, made(cJSON_CreateNumber((double)value)));
        return;
    }
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    json_add_item(o, key, made(cJSON_CreateRaw(text)));
}

void json_add_bool(json *o, const char *key, bool value) {
    json_add_item(o, key, made(cJSON_CreateBool(value)));
}

void json_push(json *arr, json *child) {
    if (!cJSON_AddItemToArray(arr, child)) {
        die("a JSON element could not be added");
    }
}

void json_push_str(json *arr, const char *value) {
    json_push(arr, made(cJSON_CreateString(value)));
}

json *json_dup(const json *j) {
    return j != NULL ? made(cJSON_Duplicate(j, 1)) : NULL;
}

struct strlist json_strings(const json *arr, struct arena *a) {
    struct strlist l = {0};

    if (cJSON_IsString(arr)) {
        strlist_add(&l, arr->valuestring, a);
        return l;
    }
    for (const json *it = cJSON_IsArray(arr) ? arr->child : NULL; it != NULL; it = it->next) {
        if (cJSON_IsString(it)) {
            strlist_add(&l, it->valuestring, a);
        }
    }
    return l;
}
