/* kube_store.c - objects by store and key, one resourceVersion for all, and the history of what changed. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/base/timefmt.h"
#include "simulator/kube_internal.h"

void kube_ref(struct kube_version *v) {
    v->refs++;
}

void kube_unref(struct kube_version *v) {
    if (v != NULL && --v->refs == 0) {
        json_free(v->value);
        free(v->text);
        free(v);
    }
}

const char *kube_version_text(struct kube_version *v) {
    v->text = v->text != NULL ? v->text : json_print(v->value);
    return v->text;
}

/* ---- trees ---- */

json *kube_member(json *o, const char *key) {
    return (json *)(uintptr_t)json_get(o, key);
}

json *kube_need_object(json *o, const char *key) {
    json *child = kube_member(o, key);
    return json_is_object(child) ? child : json_add_object(o, key);
}

void kube_drop(json *o, const char *key) {
    json *there = kube_member(o, key);
    if (there != NULL) {
        json_free(cJSON_DetachItemViaPointer(o, there));
    }
}

json *kube_metadata(json *object) {
    return kube_need_object(object, "metadata");
}

const char *kube_name_of(const json *object) {
    return json_str(object, "metadata.name");
}

const char *kube_namespace_of(const json *object) {
    return json_str(object, "metadata.namespace");
}

int64_t kube_version_of(const json *object) {
    int64_t rv = 0;
    return str_to_int64(json_str(object, "metadata.resourceVersion"), &rv) ? rv : 0;
}

void kube_copy_member(json *to, const json *from, const char *key) {
    const json *there = json_get(from, key);
    if (there == NULL) {
        kube_drop(to, key);
    } else if (!json_equal(json_get(to, key), there)) {
        json_add_item(to, key, json_dup(there));
    }
}

void kube_now(const struct sim_kube *k, char out[TIMEFMT_MAX]) {
    timefmt_rfc3339(k->clock.wall_ms(k->clock.ctx), out);
}

/* ---- objects ---- */

static const char *key_for(char key[KUBE_KEY_MAX], const char *ns, const char *name) {
    size_t n = str_empty(ns) ? 0 : strnlen(ns, KUBE_KEY_MAX - 2);
    if (n > 0) {
        memcpy(key, ns, n);
        key[n++] = '/';
    }
    (void)str_copy(key + n, KUBE_KEY_MAX - n, str_or(name, ""));
    return key;
}

struct kube_version *kube_find(const struct sim_kube *k, enum kube_store store, const char *ns, const char *name) {
    char key[KUBE_KEY_MAX];
    return store < KUBE_STORES ? strmap_get(k->objects[store], key_for(key, ns, name)) : NULL;
}

const char *kube_key_of(const json *object, char key[KUBE_KEY_MAX]) {
    return key_for(key, kube_namespace_of(object), kube_name_of(object));
}

bool kube_is_full(const struct sim_kube *k) {
    return k->nobjects >= SIM_KUBE_OBJECTS_MAX;
}

struct keyed {
    const char *key;
    struct kube_version *v;
};

static int by_key(const void *x, const void *y) {
    const struct keyed *a = x;
    const struct keyed *b = y;
    return strcmp(a->key, b->key);
}

static bool in_namespace(const struct kube_version *v, const char *ns) {
    return ns == NULL || str_eq(kube_namespace_of(v->value), ns);
}

static struct kube_versions of_map(const struct strmap *m, const char *ns, struct arena *a) {
    struct kube_versions l = {ARENA_ARRAY(a, strmap_count(m) + 1, struct kube_version *), 0};
    struct keyed *found = ARENA_ARRAY(a, strmap_count(m) + 1, struct keyed);
    const char *key;
    void *value;
    for (size_t it = 0; strmap_next(m, &it, &key, &value);) {
        struct kube_version *v = value;
        if (in_namespace(v, ns)) {
            found[l.n++] = (struct keyed){key, v};
        }
    }
    qsort(found, l.n, sizeof *found, by_key);
    for (size_t i = 0; i < l.n; i++) {
        kube_ref(found[i].v);
        l.v[i] = found[i].v;
    }
    return l;
}

struct kube_versions kube_all(const struct sim_kube *k, enum kube_store store, const char *ns, struct arena *a) {
    return of_map(k->objects[store], ns, a);
}

static void drop_version(void *v) {
    kube_unref(v);
}

struct kube_versions kube_all_at(const struct sim_kube *k, enum kube_store store, const char *ns, int64_t rv,
                                 struct arena *a) {
    struct strmap *then = strmap_new((size_t)2 * SIM_KUBE_OBJECTS_MAX, drop_version);
    struct kube_versions now = kube_all(k, store, ns, a);
    char key[KUBE_KEY_MAX];

    for (size_t i = 0; i < now.n; i++) { /* the references go over to the map */
        (void)strmap_set(then, kube_key_of(now.v[i]->value, key), now.v[i]);
    }
    for (uint64_t n = k->next_event; n > k->first_event && kube_event_at(k, n - 1)->rv > rv; n--) {
        const struct kube_event *e = kube_event_at(k, n - 1);
        if (e->store != store || !in_namespace(e->now, ns)) {
            continue;
        }
        (void)kube_key_of(e->now->value, key);
        if (e->old == NULL) {
            (void)strmap_remove(then, key);
        } else {
            kube_ref(e->old);
            (void)strmap_set(then, key, e->old);
        }
    }
    struct kube_versions l = of_map(then, ns, a);
    strmap_free(then);
    return l;
}

void kube_versions_drop(struct kube_versions *l) {
    for (size_t i = 0; i < l->n; i++) {
        kube_unref(l->v[i]);
    }
    l->n = 0;
}

/* ---- history ---- */

const struct kube_event *kube_event_at(const struct sim_kube *k, uint64_t number) {
    assert(number >= k->first_event && number < k->next_event);
    return &k->history[number % SIM_KUBE_HISTORY_MAX];
}

const char *kube_change_name(enum kube_change c) {
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED"};
    return names[c];
}

static void remember(struct sim_kube *k, struct kube_event e) {
    struct kube_event *slot = &k->history[k->next_event % SIM_KUBE_HISTORY_MAX];
    if (k->next_event - k->first_event == SIM_KUBE_HISTORY_MAX) {
        if (slot->rv > k->compacted) {
            k->compacted = slot->rv;
        }
        kube_unref(slot->now);
        kube_unref(slot->old);
        k->first_event++;
    }
    kube_ref(e.now);
    if (e.old != NULL) {
        kube_ref(e.old);
    }
    *slot = e;
    k->next_event++;
}

struct kube_version *kube_loose_version(json *value_take, int64_t rv) {
    struct kube_version *v = calloc(1, sizeof *v);
    if (v == NULL) {
        die("out of memory");
    }
    v->refs = 1;
    v->rv = rv;
    v->value = value_take;
    return v;
}

static struct kube_version *version_new(struct sim_kube *k, json *value_take) {
    char text[24];
    struct kube_version *v = kube_loose_version(value_take, ++k->rv);
    (void)snprintf(text, sizeof text, "%lld", (long long)v->rv);
    json_add_str(kube_metadata(value_take), "resourceVersion", text);
    return v;
}

static void tell(struct sim_kube *k, enum kube_change change, const struct kube_resource *r,
                 const struct kube_version *v, const char *manager) {
    for (size_t i = 0; i < k->nlisteners; i++) {
        k->listeners[i].fn(k->listeners[i].arg, kube_change_name(change), r->plural, v->value, manager);
    }
}

struct kube_version *kube_commit(struct sim_kube *k, const struct kube_resource *r, struct kube_version *old,
                                 json *value_take, bool removes, const char *manager) {
    enum kube_change change = removes ? KUBE_DELETED : old == NULL ? KUBE_ADDED : KUBE_MODIFIED;
    struct kube_version *v = version_new(k, value_take);
    char key[KUBE_KEY_MAX];

    (void)kube_key_of(v->value, key);
    remember(k, (struct kube_event){v->rv, change, r->store, v, old});
    if (removes) {
        k->nobjects--;
        (void)strmap_remove(k->objects[r->store], key);
    } else {
        k->nobjects += change == KUBE_ADDED;
        kube_ref(v);
        if (!strmap_set(k->objects[r->store], key, v)) {
            die("the simulated etcd holds more than %d objects", SIM_KUBE_OBJECTS_MAX);
        }
    }
    kube_watches_wake(k, r->store);
    tell(k, change, r, v, manager);
    return v;
}
