/* conditions.c - the condition list of a status (K-S1). */
#include "crd/binding.h"

static size_t index_of(const struct cib_status *s, const char *type) {
    size_t i = 0;
    while (i < s->nconditions && !str_eq(s->conditions[i].type, type)) {
        i++;
    }
    return i;
}

void cib_condition_set(struct cib_status *s, struct cib_condition c) {
    size_t i = index_of(s, c.type);

    if (i == CIB_CONDITIONS_MAX) {
        die("more than %d conditions: %s", CIB_CONDITIONS_MAX, c.type);
    }
    if (i == s->nconditions) {
        s->nconditions++;
    } else if (s->conditions[i].status == c.status) {
        c.last_transition_ms = s->conditions[i].last_transition_ms;
    }
    s->conditions[i] = c;
}

void cib_condition_remove(struct cib_status *s, const char *type) {
    size_t i = index_of(s, type);

    if (i == s->nconditions) {
        return;
    }
    for (; i + 1 < s->nconditions; i++) {
        s->conditions[i] = s->conditions[i + 1];
    }
    s->nconditions--;
}

const struct cib_condition *cib_condition_find(const struct cib_status *s, const char *type) {
    size_t i = index_of(s, type);
    return i < s->nconditions ? &s->conditions[i] : NULL;
}
