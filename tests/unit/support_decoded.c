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

static bool is_known(const struct decoded *d, const char *text) {
    return d->text && strcmp(d->text, text) == 0;
}

static const void *remember(struct decoded *d, const char *text, void *value, void (*free_value)(void *value)) {
    decoded_drop(d);
    d->text = strdup(text);
    d->value = value;
    d->free_value = free_value;
    if (!d->text || !d->value)
        abort();
    return d->value;
}

static void free_tree(void *value) {
    json_free(value);
}

const json *decoded_json(struct decoded *d, const char *text) {
    return is_known(d, text) ? d->value : remember(d, text, tree_of(text), free_tree);
}

static void free_binding(void *value) {
    cib_free(value);
}

const struct cib_binding *decoded_binding(struct decoded *d, const char *text, const json *tree) {
    struct error err;
    return is_known(d, text) ? d->value : remember(d, text, cib_decode(tree, &err), free_binding);
}

#define DECODED(name, type, decode, release)                                                                           \
    static void free_##name(void *value) {                                                                             \
        release(value);                                                                                                \
    }                                                                                                                  \
    const struct type *decoded_##name(struct decoded *d, const char *text) {                                           \
        struct error err;                                                                                              \
        if (is_known(d, text))                                                                                         \
            return d->value;                                                                                           \
        json *tree = tree_of(text);                                                                                    \
        (void)remember(d, text, decode(tree, &err), free_##name);                                                      \
        json_free(tree);                                                                                               \
        return d->value;                                                                                               \
    }

DECODED(service_account, service_account_view, service_account_decode, service_account_free)
DECODED(daemon_set, daemon_set_view, daemon_set_decode, daemon_set_free)
DECODED(pod, pod_view, pod_decode, pod_free)
DECODED(node, node_view, node_decode, node_free)
