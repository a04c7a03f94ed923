/* cni_version.c - the CNI's version from its image: mirrors rename the repository, but keep the tag. */
#include <string.h>

#include "crd/views.h"

#define VERSION_PART_MAX 99999

/* One number and what has to follow it; moves *s over both. */
static bool part(const char **s, const char *follows, int *out) {
    int v = 0;
    if (**s < '0' || **s > '9') {
        return false;
    }
    for (; **s >= '0' && **s <= '9'; (*s)++) {
        v = v * 10 + (**s - '0');
        if (v > VERSION_PART_MAX) {
            return false;
        }
    }
    if (strchr(follows, **s) == NULL) { /* the terminating NUL is one of `follows` */
        return false;
    }
    *s += **s == '.';
    *out = v;
    return true;
}

bool cni_version_parse(const char *image, struct cni_version *out) {
    struct cni_version v;

    if (image == NULL) {
        return false;
    }
    const char *slash = strrchr(image, '/');
    const char *name = slash != NULL ? slash + 1 : image; /* a colon before it belongs to the registry's port */
    const char *digest = strchr(name, '@');
    const char *colon = strchr(name, ':');
    if (colon == NULL || (digest != NULL && digest < colon)) {
        return false;
    }
    const char *s = colon + 1 + (colon[1] == 'v');
    if (!part(&s, ".", &v.major) || s[-1] != '.' || !part(&s, ".", &v.minor) || s[-1] != '.' ||
        !part(&s, "-+@", &v.patch)) {
        return false;
    }
    *out = v;
    return true;
}

int cni_version_compare(struct cni_version a, struct cni_version b) {
    int d = a.major != b.major ? a.major - b.major : a.minor != b.minor ? a.minor - b.minor : a.patch - b.patch;
    return (d > 0) - (d < 0);
}
