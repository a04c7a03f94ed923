#include "platform/base/random.h"

#include <assert.h>

/* splitmix64: spreads one seed over the whole state, which must not be all zero (Blackman, Vigna: xoshiro256**). */
static uint64_t splitmix(uint64_t *x) {
    *x += 0x9e3779b97f4a7c15u;
    uint64_t z = *x;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void prng_seed(struct prng *p, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        p->s[i] = splitmix(&seed);
    }
}

static uint64_t rotl(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

uint64_t prng_next(struct prng *p) {
    uint64_t *s = p->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t n) {
    assert(n >= 1);
    /* Values below 2^64 mod n would make small results likelier: draw again. */
    uint64_t least = (0 - n) % n;
    uint64_t r = prng_next(p);
    while (r < least) {
        r = prng_next(p);
    }
    return r % n;
}

double prng_unit(struct prng *p) {
    return (double)(prng_next(p) >> 11) * 0x1.0p-53;
}

void backoff_init(struct backoff *b, int64_t base_ms, int64_t cap_ms) {
    assert(base_ms >= 1);
    assert(cap_ms >= base_ms);
    b->base_ms = base_ms;
    b->cap_ms = cap_ms;
    b->attempt = 0;
}

void backoff_reset(struct backoff *b) {
    b->attempt = 0;
}

/* min(cap, base * 2^attempt) without overflow; counts the attempt. */
static int64_t step(struct backoff *b) {
    int64_t d = b->base_ms;
    for (unsigned i = 0; i < b->attempt && d < b->cap_ms; i++) {
        d = d > b->cap_ms / 2 ? b->cap_ms : d * 2;
    }
    if (b->attempt < 64) {
        b->attempt++;
    }
    return d < b->cap_ms ? d : b->cap_ms;
}

int64_t backoff_next_full_ms(struct backoff *b, struct prng *p) {
    return (int64_t)prng_below(p, (uint64_t)step(b) + 1);
}

int64_t backoff_next_doubled_ms(struct backoff *b, struct prng *p) {
    int64_t d = step(b);
    return d + (int64_t)prng_below(p, (uint64_t)d);
}
