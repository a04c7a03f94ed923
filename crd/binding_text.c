#include "crd/binding_text.h"

#include <string.h>

#include "platform/base/str.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool all_of(const char *s, const char *allowed, size_t min, size_t max) {
    size_t n = strlen(s);
    return n >= min && n <= max && strspn(s, allowed) == n;
}

/* Bytes from '!' to '~'. */
static bool is_printable(const char *s) {
    for (; *s != '\0'; s++) {
        if (*s < '!' || *s > '~') {
            return false;
        }
    }
    return true;
}

bool cib_is_role_name(const char *s) {
    return all_of(s, LOWER UPPER DIGITS "_+=,.@-", 1, CIB_ROLE_NAME_MAX);
}

bool cib_is_path(const char *s) {
    size_t n = strlen(s);
    return n >= 1 && n <= CIB_PATH_MAX && s[0] == '/' && s[n - 1] == '/' && is_printable(s) && strstr(s, "//") == NULL;
}

bool cib_is_account_id(const char *s) {
    return all_of(s, DIGITS, 12, 12);
}

/* aws, aws-cn, aws-us-gov, aws-iso, aws-iso-b ..., aws-eusc. Returns what follows the partition and its colon; NULL if
 * it is none. */
static const char *after_partition(const char *s) {
    static const char *const partitions[] = {"aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso"};
    const char *colon = strchr(s, ':');

    if (colon == NULL) {
        return NULL;
    }
    size_t n = (size_t)(colon - s);
    for (size_t i = 0; i < sizeof partitions / sizeof partitions[0]; i++) {
        if (strlen(partitions[i]) == n && strncmp(s, partitions[i], n) == 0) {
            return colon + 1;
        }
    }
    bool isolated = n == 9 && strncmp(s, "aws-iso-", 8) == 0 && s[8] >= 'a' && s[8] <= 'z';
    return isolated ? colon + 1 : NULL;
}

/* "arn:PARTITION:iam::ACCOUNT:KIND/REST" -> REST; NULL if it is not that. `aws` as the account only where it may be. */
static const char *iam_resource(const char *s, const char *kind, bool aws_managed) {
    if (strlen(s) > CIB_ARN_MAX || !str_has_prefix(s, "arn:")) {
        return NULL;
    }
    s = after_partition(s + 4);
    if (s == NULL || !str_has_prefix(s, "iam::")) {
        return NULL;
    }
    s += 5;
    size_t account = strspn(s, DIGITS);
    if (aws_managed && str_has_prefix(s, "aws:")) {
        account = 3;
    } else if (account != 12) {
        return NULL;
    }
    s += account;
    size_t n = strlen(kind);
    return s[0] == ':' && strncmp(s + 1, kind, n) == 0 && s[1 + n] == '/' ? s + 2 + n : NULL;
}

/* "a/b/name": a path whose parts may be any printable text, and a name. */
static bool is_path_and_name(const char *s, size_t name_max) {
    if (s == NULL || !is_printable(s) || s[0] == '/' || strstr(s, "//") != NULL) {
        return false;
    }
    const char *slash = strrchr(s, '/');
    return all_of(slash != NULL ? slash + 1 : s, LOWER UPPER DIGITS "_+=,.@-", 1, name_max);
}

bool cib_is_role_arn(const char *s) {
    return is_path_and_name(iam_resource(s, "role", false), CIB_ROLE_NAME_MAX);
}

bool cib_is_policy_arn(const char *s) {
    return is_path_and_name(iam_resource(s, "policy", true), 128);
}

bool cib_is_cluster_name(const char *s) {
    return all_of(s, LOWER UPPER DIGITS "_-", 1, CIB_CLUSTER_NAME_MAX) && s[0] != '-' && s[0] != '_';
}

bool cib_is_region(const char *s) {
    size_t n = strlen(s);
    return all_of(s, LOWER DIGITS "-", 5, CIB_REGION_MAX) && s[0] >= 'a' && s[0] <= 'z' && strchr(s, '-') != NULL &&
           s[n - 1] >= '0' && s[n - 1] <= '9';
}

/* What IAM takes: tab, line ends, and everything from blank to U+00FF but the C1 controls. Bytes above 0x7f are judged
 * by IAM. */
bool cib_is_description(const char *s) {
    if (strlen(s) > (size_t)4 * CIB_DESCRIPTION_MAX) {
        return false;
    }
    for (; *s != '\0'; s++) {
        if (((unsigned char)*s < ' ' && strchr("\t\n\r", *s) == NULL) || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

bool cib_is_consumer(const char *s) {
    size_t n = strlen(s);
    return n >= 1 && n <= CIB_CONSUMER_MAX && is_printable(s);
}

/* AWS allows any letter; bytes above 0x7f are parts of such letters and are judged by IAM. */
static bool is_tag_text(const char *s) {
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x80 && strchr(LOWER UPPER DIGITS " _.:/=+-@", *s) == NULL) {
            return false;
        }
    }
    return true;
}

bool cib_is_tag_key(const char *s) {
    size_t n = strlen(s);
    bool reserved = strncasecmp(s, "aws:", 4) == 0 || strncasecmp(s, "cniiam.dev/", 11) == 0;
    return n >= 1 && n <= (size_t)4 * CIB_TAG_KEY_MAX && !reserved && is_tag_text(s);
}

bool cib_is_tag_value(const char *s) {
    return strlen(s) <= (size_t)4 * CIB_TAG_VALUE_MAX && is_tag_text(s);
}
