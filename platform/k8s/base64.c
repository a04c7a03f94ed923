#include "platform/k8s/base64.h"

size_t base64_encode(const void *bytes, size_t n, char *out) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = bytes;
    size_t at = 0;
    for (size_t i = 0; i < n; i += 3) {
        unsigned b1 = i + 1 < n ? p[i + 1] : 0u;
        unsigned b2 = i + 2 < n ? p[i + 2] : 0u;
        unsigned v = ((unsigned)p[i] << 16) | (b1 << 8) | b2;
        out[at++] = alphabet[v >> 18 & 63u];
        out[at++] = alphabet[v >> 12 & 63u];
        out[at++] = i + 1 < n ? alphabet[v >> 6 & 63u] : '=';
        out[at++] = i + 2 < n ? alphabet[v & 63u] : '=';
    }
    out[at] = '\0';
    return at;
}
