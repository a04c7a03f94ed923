#include "platform/base/utf8.h"

size_t utf8_step(const unsigned char *p, size_t n, uint32_t *code) {
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = 0;

    if (n == 0) {
        return 0;
    }
    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if ((p[0] & 0xf0u) == 0xe0u) {
        len = 3;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
    }
    if (len == 0 || n < len) {
        return 0;
    }
    uint32_t c = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0u) != 0x80u) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *code = c;
    return len;
}
