#include "platform/k8s/pem.h"

#include <stddef.h>
#include <string.h>

#define PEM_BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n\t "

/* `label_end` is the last word or words of the label: "CERTIFICATE", "PRIVATE KEY". */
static bool is_begin_line(const char *begin, const char *label_end) {
    const char *end = strstr(begin, "-----\n");
    const char *end_crlf = strstr(begin, "-----\r\n");
    if (end_crlf != NULL && (end == NULL || end_crlf < end)) {
        end = end_crlf;
    }
    size_t n = strlen(label_end);
    return end != NULL && (size_t)(end - begin) >= n && memcmp(end - n, label_end, n) == 0 &&
           memchr(begin, '\n', (size_t)(end - begin)) == NULL;
}

/* Encrypted and old-style keys have header lines ("Proc-Type: ...") before the base64. */
static bool body_is_sound(const char *begin) {
    const char *body = strchr(begin, '\n');
    if (body == NULL) {
        return false;
    }
    const char *end = strstr(body, "-----END ");
    if (end == NULL) {
        return false;
    }
    const char *blank = strstr(body, "\n\n");
    if (blank != NULL && blank < end && memchr(body, ':', (size_t)(blank - body)) != NULL) {
        body = blank;
    }
    size_t n = strspn(body, PEM_BASE64);
    return (size_t)(end - body) == n && end - body > 16;
}

static bool has_block(const char *text, const char *label_end) {
    static const char begin_mark[] = "-----BEGIN ";
    for (const char *p = strstr(text, begin_mark); p != NULL; p = strstr(p, begin_mark)) {
        p += sizeof begin_mark - 1;
        if (is_begin_line(p, label_end) && body_is_sound(p)) {
            return true;
        }
    }
    return false;
}

bool pem_has_certificate(const char *text, const char *what, struct error *err) {
    return has_block(text, "CERTIFICATE") ||
           error_set(err, ERR_PARSE, "%s holds no PEM certificate (-----BEGIN CERTIFICATE-----)", what);
}

bool pem_has_private_key(const char *text, const char *what, struct error *err) {
    return has_block(text, "PRIVATE KEY") ||
           error_set(err, ERR_PARSE, "%s holds no PEM private key (-----BEGIN ... PRIVATE KEY-----)", what);
}
