#include "platform/aws/query.h"

#include <string.h>

void query_put_encoded(struct buf *b, const char *text) {
    static const char hex[] = "0123456789ABCDEF";
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    while (*text) {
        size_t n = strspn(text, plain);
        (void)buf_append(b, text, n);
        text += n;
        if (*text) {
            unsigned char c = (unsigned char)*text++;
            const char escape[3] = {'%', hex[c >> 4], hex[c & 15u]};
            (void)buf_append(b, escape, sizeof escape);
        }
    }
}

void query_put(struct buf *b, const char *name, const char *value) {
    if (b->n > 0) {
        (void)buf_putc(b, '&');
    }
    query_put_encoded(b, name);
    (void)buf_putc(b, '=');
    query_put_encoded(b, value);
}
