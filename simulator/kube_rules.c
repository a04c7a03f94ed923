/*
 * kube_rules.c - the CEL rules of crd/cniiambindings.yaml, each as one C predicate, found by its message.
 *
 * The schema itself is read as it stands; only its rules are written twice, because CEL is a language of its own. A CRD
 * with a rule that is not here is refused (kube_crd_check), so that the two cannot drift apart unnoticed.
 */
#include <locale.h>
#include <regex.h>
#include <string.h>
#include <wctype.h>

#include "platform/base/str.h"
#include "platform/base/utf8.h"
#include "simulator/kube_internal.h"

#define PARTITION "^arn:aws(-cn|-us-gov|-eusc|-iso(-[a-z])?)?:iam::"
#define ROLE_ARN PARTITION "[0-9]{12}:role/([!-.0-~]+/)*[0-9A-Za-z_+=,.@-]{1,64}$"
#define POLICY_ARN PARTITION "(aws|[0-9]{12}):policy/([!-.0-~]+/)*[0-9A-Za-z_+=,.@-]{1,128}$"

static bool matches(const json *self, const char *pattern) {
    regex_t re;
    if (!json_is_string(self)) {
        return false;
    }
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        die("a rule's pattern does not compile: %s", pattern);
    }
    bool found = regexec(&re, self->valuestring, 0, NULL, 0) == 0;
    regfree(&re);
    return found;
}

static bool has(const json *o, const char *key) {
    return json_get(o, key) != NULL;
}

/* ---- the whole object ---- */

static bool stays_pinned(const json *self, const json *old, const char *field) {
    const json *pinned = json_path(old, "status.cluster");
    const char *wanted = json_key_str(json_path(self, "spec.cluster"), field);
    const char *there = json_key_str(pinned, field);
    return !has(pinned, "arn") || wanted == NULL || there == NULL || str_eq(wanted, there);
}

static bool cluster_name_stays(const json *self, const json *old) {
    return stays_pinned(self, old, "name");
}

static bool cluster_region_stays(const json *self, const json *old) {
    return stays_pinned(self, old, "region");
}

/* ---- spec.cluster, spec.identity ---- */

static bool is_cluster_name(const json *self, const json *old) {
    (void)old;
    return matches(self, "^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$");
}

static bool is_region(const json *self, const json *old) {
    (void)old;
    return matches(self, "^[a-z]{2,6}(-[a-z]{1,12}){1,4}-[0-9]{1,2}$");
}

static bool is_account(const json *self, const json *old) {
    (void)old;
    return matches(self, "^[0-9]{12}$");
}

static bool is_not_pod_identity(const json *self, const json *old) {
    (void)old;
    return !json_is_string(self) || !str_eq(self->valuestring, "PodIdentity");
}

/* ---- spec.role ---- */

static bool manages(const json *role, const char *how) {
    return str_eq(json_key_str(role, "management"), how);
}

static bool name_or_arn(const json *self, const json *old) {
    (void)old;
    return !(has(self, "name") && has(self, "arn"));
}

static bool arn_is_not_managed(const json *self, const json *old) {
    (void)old;
    return !has(self, "arn") || !manages(self, "Manage");
}

static bool arn_without_path(const json *self, const json *old) {
    (void)old;
    return !has(self, "arn") || !has(self, "path");
}

static bool existing_is_named(const json *self, const json *old) {
    (void)old;
    return manages(self, "Manage") || has(self, "name") || has(self, "arn");
}

static bool reference_changes_nothing(const json *self, const json *old) {
    (void)old;
    return !manages(self, "Reference") || !(has(self, "permissionsBoundaryARN") || has(self, "tags") ||
                                            has(self, "description") || has(self, "maxSessionDurationSeconds"));
}

static bool is_role_name(const json *self, const json *old) {
    (void)old;
    return matches(self, "^[0-9A-Za-z_+=,.@-]{1,64}$");
}

static bool is_role_arn(const json *self, const json *old) {
    (void)old;
    return matches(self, ROLE_ARN);
}

static bool is_path(const json *self, const json *old) {
    (void)old;
    return matches(self, "^/([!-.0-~]+/)*$");
}

static bool is_policy_arn(const json *self, const json *old) {
    (void)old;
    return matches(self, POLICY_ARN);
}

static bool is_consumer(const json *self, const json *old) {
    (void)old;
    return matches(self, "^[!-~]{1,256}$");
}

/* ---- tags and the description: letters of all the world ---- */

static bool tags_are_not_reserved(const json *self, const json *old) {
    (void)old;
    for (const json *it = json_first(self); it != NULL; it = it->next) {
        const char *k = it->string;
        if (str_has_prefix(k, "aws:") || str_has_prefix(k, "AWS:") || str_has_prefix(k, "Aws:") ||
            str_has_prefix(k, "cniiam.dev/")) {
            return false;
        }
    }
    return true;
}

static uint32_t next_point(const char **s) {
    uint32_t c = 0;
    size_t n = utf8_step((const unsigned char *)*s, strlen(*s), &c);
    *s += n > 0 ? n : 1;
    return n > 0 ? c : 0;
}

/* \p{L}, \p{Z}, \p{N} */
static bool is_letter_blank_or_number(uint32_t c) {
    static locale_t unicode;
    if (unicode == (locale_t)0) {
        unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    }
    if (c == 0xa0 || c == 0x202f || c == 0x2007) {
        return true;
    }
    if (c < 0x80 || unicode == (locale_t)0) {
        return c == ' ' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 0x80;
    }
    return iswalnum_l((wint_t)c, unicode) != 0 || (iswspace_l((wint_t)c, unicode) != 0 && c != 0x85);
}

/* The number of characters, or -1 when one is not a tag's. */
static int tag_characters(const char *s) {
    int n = 0;
    while (*s != '\0') {
        uint32_t c = next_point(&s);
        if (!is_letter_blank_or_number(c) && (c >= 0x80 || strchr("_.:/=+@-", (int)c) == NULL)) {
            return -1;
        }
        n++;
    }
    return n;
}

static bool tags_are_writable(const json *self, const json *old) {
    (void)old;
    for (const json *it = json_first(self); it != NULL; it = it->next) {
        int key = tag_characters(it->string);
        if (key < 1 || key > 128 || !json_is_string(it) || tag_characters(it->valuestring) < 0) {
            return false;
        }
    }
    return true;
}

static bool is_latin_1(const json *self, const json *old) {
    (void)old;
    for (const char *s = json_is_string(self) ? self->valuestring : ""; *s != '\0';) {
        uint32_t c = next_point(&s);
        if (!(c == '\t' || c == '\n' || c == '\r' || (c >= ' ' && c <= '~') || (c >= 0xa1 && c <= 0xff))) {
            return false;
        }
    }
    return true;
}

/* ---- by message ---- */

static const struct rule {
    const char *message;
    bool (*holds)(const json *self, const json *old);
    bool transition;
} rules[] = {
    {"The binding belongs to the cluster in status.cluster: write that name or leave spec.cluster.name out. For "
     "another "
     "cluster, delete this binding and create a new one there.",
     cluster_name_stays, true},
    {"The binding belongs to the cluster in status.cluster: write its region or leave spec.cluster.region out. For "
     "another "
     "cluster, delete this binding and create a new one there.",
     cluster_region_stays, true},
    {"Write the name of the EKS cluster, like prod; it has letters, digits, - and _ and starts with a letter or digit.",
     is_cluster_name, false},
    {"Write an AWS Region, like us-west-2.", is_region, false},
    {"Write the 12 digits of the AWS account in quotes, like \"111122223333\".", is_account, false},
    {"PodIdentity is not supported yet. Write IRSA, or NodeRole to stay on the node role.", is_not_pod_identity, false},
    {"role.name and role.arn exclude each other. Write role.name for a role in this account, or role.arn for one that "
     "exists.",
     name_or_arn, false},
    {"role.arn names a role that exists. Add management: Adopt to have its trust policy and permissions kept right, or "
     "management: Reference to leave it as it is; or write role.name to have a role made.",
     arn_is_not_managed, false},
    {"The path is a part of role.arn. Remove role.path.", arn_without_path, false},
    {"management: Adopt and management: Reference need a role that exists. Write role.arn or role.name.",
     existing_is_named, false},
    {"With management: Reference nothing of the role is changed. Remove permissionsBoundaryARN, tags, description and "
     "maxSessionDurationSeconds, or write management: Adopt.",
     reference_changes_nothing, false},
    {"Write at most 64 letters, digits and the characters _+=,.@- as role.name; a path belongs into role.path.",
     is_role_name, false},
    {"Write the ARN of a role, like arn:aws:iam::111122223333:role/name.", is_role_arn, false},
    {"Write a path that starts and ends with a slash, like /cni/.", is_path, false},
    {"Write the ARN of a policy, like arn:aws:iam::111122223333:policy/boundary.", is_policy_arn, false},
    {"The prefixes aws: and cniiam.dev/ are reserved. Write other tag keys.", tags_are_not_reserved, false},
    {"Write tags of letters, digits, blanks and the characters _.:/=+-@ with keys of 1 to 128 characters.",
     tags_are_writable, false},
    {"Write a description of Latin-1 characters; IAM takes no others.", is_latin_1, false},
    {"Write ARNs of policies, like arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy.", is_policy_arn, false},
    {"Write ARNs of roles, like arn:aws:iam::111122223333:role/node.", is_role_arn, false},
    {"Write ARNs or ids without blanks, like i-0123456789abcdef0.", is_consumer, false},
};

static const struct rule *find(const char *message) {
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (str_eq(rules[i].message, message)) {
            return &rules[i];
        }
    }
    return NULL;
}

bool kube_rule_known(const char *message) {
    return find(message) != NULL;
}

bool kube_rule_is_transition(const char *message) {
    const struct rule *r = find(message);
    return r != NULL && r->transition;
}

bool kube_rule_holds(const char *message, const json *self, const json *old_self) {
    const struct rule *r = find(message);
    return r != NULL && r->holds(self, old_self);
}
