/* Signing whatever path, query and body: no crash, and the same signature twice. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/aws/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_new(0);
    char *text = arena_strndup(a, (const char *)data, size);
    char *query = strchr(text, '?');
    struct secret *key = secret_new("secret", 6);
    struct sigv4_cache *cache = sigv4_cache_new();
    struct sigv4_credentials cred = {"AKID", key, key};
    struct sigv4_signature s[2];
    if (query) {
        *query++ = '\0';
    }
    struct sigv4_request r = {.method = "GET",
                              .host = "h",
                              .path = *text ? text : "/",
                              .query = query,
                              .body = text,
                              .body_len = strlen(text),
                              .region = "r",
                              .service = "s",
                              .wall_ms = 1440938160000};
    for (int i = 0; i < 2; i++) {
        sigv4_sign(cache, &r, &cred, a, &s[i]);
    }
    if (strcmp(s[0].authorization, s[1].authorization) != 0) {
        abort();
    }
    sigv4_cache_free(cache);
    secret_free(key);
    arena_free(a);
    return 0;
}
