#include "platform/base/secret.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "platform/base/error.h"

/* One mapping a secret: the struct and its bytes, so that locking and wiping concern no other data. */
struct secret {
    size_t mapped;
    size_t n;
    char bytes[];
};

static size_t page_round(size_t n) {
    long page = sysconf(_SC_PAGESIZE);
    size_t p = page > 0 ? (size_t)page : 4096;
    return (n + p - 1) / p * p;
}

struct secret *secret_new(const char *bytes, size_t n) {
    if (n > SECRET_MAX) {
        return NULL;
    }
    size_t size = page_round(sizeof(struct secret) + n + 1);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        die("out of memory: a secret");
    }
    /* Best effort: RLIMIT_MEMLOCK may be small, and a secret that could be swapped is better than no operator. */
    (void)mlock(p, size);
    (void)madvise(p, size, MADV_DONTDUMP);
    struct secret *s = p;
    s->mapped = size;
    s->n = n;
    if (n > 0) {
        memcpy(s->bytes, bytes, n);
    }
    s->bytes[n] = '\0';
    return s;
}

struct secret *secret_dup(const struct secret *s) {
    return s != NULL ? secret_new(s->bytes, s->n) : NULL;
}

void secret_free(struct secret *s) {
    if (s != NULL) {
        size_t size = s->mapped;
        explicit_bzero(s, size);
        (void)munmap(s, size);
    }
}

const char *secret_expose(const struct secret *s) {
    return s->bytes;
}

size_t secret_len(const struct secret *s) {
    return s->n;
}

bool secret_equal(const struct secret *a, const struct secret *b) {
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return a->n == b->n && CRYPTO_memcmp(a->bytes, b->bytes, a->n) == 0;
}

void secret_harden_process(void) {
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
