/* fuzz_policy_document.c - any bytes as a policy: refused, or merged into a document that is exact and keeps all others
 * (S4). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/json.h"
#include "reconcilers/policy_document.h"

#define ISSUER "oidc.eks.us-west-2.amazonaws.com/id/ABC"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_trust(const char *text, struct arena *a) {
    const struct trust_want w = {.provider_arn = "arn:aws:iam::1:oidc-provider/" ISSUER, .issuer = ISSUER};
    struct trust_report before, after;
    bool readable = trust_examine(text, &w, &before, a);
    const char *merged = trust_merge(text, &w, a);
    assert(readable == (merged != NULL));
    if (!merged) {
        assert(trust_names_provider(text, w.provider_arn, a));
        return;
    }
    assert(trust_examine(merged, &w, &after, a));
    assert(after.exact && !after.ours_wrong && after.foreign == before.foreign && after.broad == before.broad);
    assert(trust_names_provider(merged, w.provider_arn, a));
    const char *without = trust_without(merged, a);
    assert((without != NULL) == (before.foreign > 0));
    assert(!without || (trust_examine(without, &w, &after, a) && after.foreign == before.foreign && !after.ours_wrong));
}

static void check_permissions(const char *text, struct arena *a) {
    struct strlist documents = {0}, actions = cni_actions(false, a);
    strlist_add(&documents, text, a);
    assert(policy_missing_actions(&documents, &actions, a).n <= actions.n);
    assert(policy_cni_grants(text, a).n <= 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_new(0);
    char *text = arena_strndup(a, (const char *)data, size);
    check_trust(text, a);
    check_permissions(text, a);
    arena_free(a);
    return 0;
}
