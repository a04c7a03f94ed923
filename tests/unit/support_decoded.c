#include "support_decoded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void decoded_drop(struct decoded *d) {
    if (d->value)
        d->free_value(d->value);
    free(d->text);
    memset(d, 0, sizeof *d);
}

static json *tree_of(const char *text) {
    struct error err;
    json *j = json_parse(text, strlen(text), &err);
    if (!j) {
        (void)fprintf(stderr, "%s: %s\n", err.message, text);
        abort();
    }
    return j;
}

static const void *remembered(struct decoded *d, const char *text, void *(*decode)(const json *o),
                              void (*free_value)(void *value)) {
    if (d->text && strcmp(d->text, text) == 0)
        return d->value;
    json *tree = tree_of(text);
    decoded_drop(d);
    d->text = strdup(text);
    d->value = decode(tree);
    d->free_value = free_value;
    json_free(tree);
    if (!d->text || !d->value)
        abort();
    return d->value;
}

static void *copy_of(const json *o) {
    return json_dup(o);
}

static void free_copy(void *value) {
    json_free(value);
}

const json *decoded_json(struct decoded *d, const char *text) {
    return remembered(d, text, copy_of, free_copy);
}

#define DECODED(name, type, decode, release)                                                                           \
    static void *name##_of(const json *o) {                                                                            \
        struct error err;                                                                                              \
        return decode(o, &err);                                                                                        \
    }                                                                                                                  \
    static void free_##name(void *value) {                                                                             \
        release(value);                                                                                                \
    }                                                                                                                  \
    const struct type *decoded_##name(struct decoded *d, const char *text) {                                           \
        return remembered(d, text, name##_of, free_##name);                                                            \
    }

DECODED(binding, cib_binding, cib_decode, cib_free)
DECODED(service_account, service_account_view, service_account_decode, service_account_free)
DECODED(daemon_set, daemon_set_view, daemon_set_decode, daemon_set_free)
DECODED(pod, pod_view, pod_decode, pod_free)
DECODED(node, node_view, node_decode, node_free)
