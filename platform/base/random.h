/*
 * random.h - deterministic pseudo-randomness (xoshiro256**) and backoff with full jitter.
 *
 * Model: a generator is a value; the same seed gives the same numbers on every machine. Jitter and tests only:
 * never keys or identities (those come from OpenSSL's RAND_bytes).
 * Source: AWS "exponential backoff and full jitter": delay = rand(0, min(cap, base * 2^attempt)).
 */
#ifndef CNI_IAM_BASE_RANDOM_H
#define CNI_IAM_BASE_RANDOM_H

#include <stdint.h>

struct prng {
    uint64_t s[4];
};
void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t n); /* 0..n-1; n >= 1; unbiased */
double prng_unit(struct prng *p);                /* [0,1) */

struct backoff {
    int64_t base_ms;
    int64_t cap_ms;
    unsigned attempt; /* failures so far */
};
void backoff_init(struct backoff *b, int64_t base_ms, int64_t cap_ms);
void backoff_reset(struct backoff *b);
/* Delay before the next try, full jitter: [0, min(cap, base*2^attempt)]; counts the attempt. Never overflows. */
int64_t backoff_next_full_ms(struct backoff *b, struct prng *p);
/* client-go's watch backoff (K-W10): d = min(cap, base*2^attempt); delay in [d, 2d). */
int64_t backoff_next_doubled_ms(struct backoff *b, struct prng *p);

#endif
