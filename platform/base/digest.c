#include "platform/base/digest.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "platform/base/error.h"

/* Looked up once: EVP_sha256() means a search through the providers with every use. It lasts as long as the process. */
static const EVP_MD *sha256(void) {
    static EVP_MD *found;
    if (found == NULL) {
        found = EVP_MD_fetch(NULL, "SHA256", NULL);
    }
    if (found == NULL) {
        die("OpenSSL has no SHA-256");
    }
    return found;
}

void digest_sha256(const void *p, size_t n, unsigned char out[DIGEST_SHA256_BYTES]) {
    if (EVP_Digest(p, n, out, NULL, sha256(), NULL) != 1) {
        die("SHA-256 failed");
    }
}

void digest_sha256_hex(const void *p, size_t n, char out[DIGEST_SHA256_HEX]) {
    unsigned char raw[DIGEST_SHA256_BYTES];
    digest_sha256(p, n, raw);
    digest_hex(raw, sizeof raw, out);
}

void digest_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n,
                        unsigned char out[DIGEST_SHA256_BYTES]) {
    if (key_n > INT_MAX || HMAC(sha256(), key, (int)key_n, p, n, out, NULL) == NULL) {
        die("HMAC-SHA-256 failed");
    }
}

void digest_hex(const unsigned char *p, size_t n, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15u];
    }
    out[2 * n] = '\0';
}

static int value_of(char c, char c62, char c63) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == c62) {
        return 62;
    }
    return c == c63 ? 63 : -1;
}

/* Decodes n characters without padding; false on a foreign character, an impossible length, or bits left over. */
static bool decode(const char *s, size_t n, char c62, char c63, char *out, size_t *out_n) {
    unsigned acc = 0;
    unsigned bits = 0;
    size_t o = 0;

    if (n % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int v = value_of(s[i], c62, c63);
        if (v < 0) {
            return false;
        }
        acc = (acc << 6 | (unsigned)v) & 0xffffu;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[o++] = (char)(acc >> bits & 0xffu);
        }
    }
    if ((acc & ((1u << bits) - 1u)) != 0) {
        return false; /* two texts for the same bytes are one too many */
    }
    out[o] = '\0';
    *out_n = o;
    return true;
}

char *digest_base64_decode(const char *s, size_t *out_n, struct arena *a) {
    size_t n = 0;
    size_t pad = 0;

    if (s == NULL) {
        return NULL;
    }
    char *packed = arena_alloc(a, strlen(s) + 1);
    for (; *s != '\0'; s++) {
        if (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n') {
            continue;
        }
        packed[n++] = *s;
    }
    while (pad < 2 && n > pad && packed[n - 1 - pad] == '=') {
        pad++;
    }
    if (n % 4 != 0) {
        return NULL;
    }
    char *out = arena_alloc(a, n / 4 * 3 + 1);
    return decode(packed, n - pad, '+', '/', out, out_n) ? out : NULL;
}

char *digest_base64url_decode(const char *s, size_t n, size_t *out_n, struct arena *a) {
    if (s == NULL) {
        return NULL;
    }
    char *out = arena_alloc(a, n / 4 * 3 + 3);
    return decode(s, n, '-', '_', out, out_n) ? out : NULL;
}
