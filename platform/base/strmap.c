#include "platform/base/strmap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "platform/base/error.h"

/* Entries stand in an array in the order of insertion; `index` is the hash table, of positions + 1 (0: free). A removed
 * entry leaves a hole in both (key NULL; the index slot stays, so probing goes on) until the next growth packs them. */
struct entry {
    char *key;
    void *value;
    uint64_t hash;
};

struct strmap {
    struct entry *entries;
    uint32_t *index;
    size_t slots;  /* of index; a power of two */
    size_t filled; /* entries used, holes included */
    size_t count;
    size_t max;
    void (*free_value)(void *value);
};

#define SLOTS_FIRST ((size_t)16)
#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

/* SipHash-1-3 (Aumasson, Bernstein) with a key drawn once: names come from outside, and nobody shall choose our
 * collisions. */
static uint64_t sip_key[2];

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = ROTL(v[1], 13) ^ v[0];
    v[0] = ROTL(v[0], 32);
    v[2] += v[3];
    v[3] = ROTL(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ROTL(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ROTL(v[1], 17) ^ v[2];
    v[2] = ROTL(v[2], 32);
}

static uint64_t hash_of(const char *key) {
    size_t n = strlen(key);
    uint64_t v[4] = {sip_key[0] ^ 0x736f6d6570736575u, sip_key[1] ^ 0x646f72616e646f6du,
                     sip_key[0] ^ 0x6c7967656e657261u, sip_key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)n << 56;

    for (; n >= 8; n -= 8, key += 8) {
        uint64_t m;
        memcpy(&m, key, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < n; i++) {
        last |= (uint64_t)(unsigned char)key[i] << (8 * i);
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void *checked(void *p) {
    if (p == NULL) {
        die("out of memory: a map");
    }
    return p;
}

struct strmap *strmap_new(size_t max_entries, void (*free_value)(void *value)) {
    if (sip_key[0] == 0 && getrandom(sip_key, sizeof sip_key, GRND_NONBLOCK) != (ssize_t)sizeof sip_key) {
        sip_key[0] = 0x0706050403020100u; /* no entropy yet: still a correct map */
    }
    if (max_entries > UINT32_MAX / 4) {
        die("a map of %zu entries is too large", max_entries);
    }
    struct strmap *m = checked(calloc(1, sizeof *m));
    m->max = max_entries;
    m->free_value = free_value;
    return m;
}

static void drop_value(const struct strmap *m, void *value) {
    if (m->free_value != NULL && value != NULL) {
        m->free_value(value);
    }
}

void strmap_free(struct strmap *m) {
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < m->filled; i++) {
        if (m->entries[i].key != NULL) {
            free(m->entries[i].key);
            drop_value(m, m->entries[i].value);
        }
    }
    free(m->entries);
    free(m->index);
    free(m);
}

/* The entry of key, or NULL. */
static struct entry *find(const struct strmap *m, const char *key, uint64_t hash) {
    if (m->slots == 0) {
        return NULL;
    }
    size_t mask = m->slots - 1;
    for (size_t i = hash & mask; m->index[i] != 0; i = (i + 1) & mask) {
        struct entry *e = &m->entries[m->index[i] - 1];
        if (e->key != NULL && e->hash == hash && strcmp(e->key, key) == 0) {
            return e;
        }
    }
    return NULL;
}

static void index_add(struct strmap *m, size_t position) {
    size_t mask = m->slots - 1;
    size_t i = m->entries[position].hash & mask;
    while (m->index[i] != 0) {
        i = (i + 1) & mask;
    }
    m->index[i] = (uint32_t)(position + 1);
}

/* Packs the holes away and keeps the table at most half full; entries hold slots / 2. */
static void rebuild(struct strmap *m) {
    size_t slots = SLOTS_FIRST;
    while (slots < (m->count + 1) * 3) {
        slots *= 2;
    }
    struct entry *entries = checked(calloc(slots / 2, sizeof *entries));
    size_t n = 0;
    for (size_t i = 0; i < m->filled; i++) {
        if (m->entries[i].key != NULL) {
            entries[n++] = m->entries[i];
        }
    }
    free(m->entries);
    free(m->index);
    m->entries = entries;
    m->filled = n;
    m->slots = slots;
    m->index = checked(calloc(slots, sizeof *m->index));
    for (size_t i = 0; i < n; i++) {
        index_add(m, i);
    }
}

void *strmap_get(const struct strmap *m, const char *key) {
    if (key == NULL) {
        return NULL;
    }
    const struct entry *e = find(m, key, hash_of(key));
    return e != NULL ? e->value : NULL;
}

bool strmap_set(struct strmap *m, const char *key, void *value) {
    uint64_t hash = hash_of(key);
    struct entry *e = find(m, key, hash);

    if (e != NULL) {
        void *old = e->value;
        e->value = value;
        if (old != value) {
            drop_value(m, old);
        }
        return true;
    }
    if (m->count >= m->max) {
        return false;
    }
    if (m->filled >= m->slots / 2) {
        rebuild(m);
    }
    e = &m->entries[m->filled];
    e->key = checked(strdup(key));
    e->value = value;
    e->hash = hash;
    index_add(m, m->filled);
    m->filled++;
    m->count++;
    return true;
}

void *strmap_take(struct strmap *m, const char *key) {
    struct entry *e = key != NULL ? find(m, key, hash_of(key)) : NULL;
    if (e == NULL) {
        return NULL;
    }
    void *value = e->value;
    free(e->key);
    e->key = NULL;
    e->value = NULL;
    m->count--;
    return value;
}

bool strmap_remove(struct strmap *m, const char *key) {
    size_t before = m->count;
    void *value = strmap_take(m, key);
    bool removed = m->count < before;
    drop_value(m, value);
    return removed;
}

size_t strmap_count(const struct strmap *m) {
    return m->count;
}

bool strmap_next(const struct strmap *m, size_t *it, const char **key, void **value) {
    while (*it < m->filled) {
        const struct entry *e = &m->entries[(*it)++];
        if (e->key != NULL) {
            *key = e->key;
            *value = e->value;
            return true;
        }
    }
    return false;
}
