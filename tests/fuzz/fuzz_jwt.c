/* fuzz_jwt.c - any bytes as a token: refused, or claims within bounds. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/k8s/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    struct token_claims c;
    struct arena *a = arena_new(0);
    if (token_claims((const char *)data, size, &c, a, &err)) {
        assert(c.audiences.n <= TOKEN_AUDIENCES_MAX);
        assert(c.expires_s >= 0 && c.issued_s >= 0 && c.not_before_s >= 0);
    } else {
        assert(err.code == ERR_PARSE || err.code == ERR_TOO_LARGE);
    }
    arena_free(a);
    return 0;
}
