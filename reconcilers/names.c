#include "reconcilers/names.h"

#include <string.h>

#include "platform/base/digest.h"

static char *short_digest(const char *text, int hex, struct arena *a) {
    char full[DIGEST_SHA256_HEX];
    digest_sha256_hex(text, strlen(text), full);
    return arena_printf(a, "%.*s", hex, full);
}

char *name_default_role(const char *cluster_name, const char *cluster_arn, struct arena *a) {
    /* "cni-iam-" 8 + cluster 46 + "-" 1 + digest 8 = 63 */
    return arena_printf(a, "cni-iam-%.46s-%s", cluster_name, short_digest(cluster_arn, 8, a));
}

char *name_ipv6_policy(const char *role_name, struct arena *a) {
    return arena_printf(a, "%s-ipv6", role_name);
}

char *name_attached_tag(const char *policy_arn, struct arena *a) {
    return arena_printf(a, TAG_ATTACHED_PREFIX "%s", name_of_arn(policy_arn));
}

const char *name_of_arn(const char *arn) {
    const char *slash = arn ? strrchr(arn, '/') : NULL;
    return slash ? slash + 1 : arn;
}

char *partition_of_arn(const char *arn, struct arena *a) {
    if (!str_has_prefix(arn, "arn:"))
        return arena_strdup(a, "aws");
    const char *start = arn + 4, *end = strchr(start, ':');
    return end ? arena_strndup(a, start, (size_t)(end - start)) : arena_strdup(a, "aws");
}

char *name_restart_key(const char *role_arn, const char *audience, bool regional_sts, struct arena *a) {
    if (!role_arn)
        return arena_strdup(a, "none");
    return short_digest(arena_printf(a, "%s|%s|%d", role_arn, str_or(audience, ""), regional_sts ? 1 : 0), 16, a);
}

char *name_digest(const struct strlist *parts, struct arena *a) {
    return short_digest(strlist_join(parts, "\n", a), 16, a);
}
