/* service_account.c - kube-system/aws-node: the annotations that the identity webhook reads, and who owns them. */
#include "crd/object_meta.h"
#include "platform/base/mutant.h"

#define ROLE_ARN "eks.amazonaws.com/role-arn"
#define STS_REGIONAL "eks.amazonaws.com/sts-regional-endpoints"

static struct strlist annotation_managers(const json *o, const char *field, struct arena *a) {
    const char *const steps[] = {"f:metadata", "f:annotations", field};
    return field_managers(o, steps, 3, a);
}

static int64_t role_arn_set_ms(const json *o) {
    static const char annotation[] = "f:" ROLE_ARN;
    static const char *const steps[] = {"f:metadata", "f:annotations", annotation};
    return field_set_ms(o, steps, 3);
}

struct service_account_view *service_account_decode(const json *o, struct error *err) {
    struct arena *a = arena_new(0);
    struct service_account_view *v = ARENA_NEW(a, struct service_account_view);

    v->arena = a;
    if (!object_meta_decode(o, &v->meta, a, err)) {
        service_account_free(v);
        return NULL;
    }
    v->role_arn = arena_strdup(a, object_annotation(o, ROLE_ARN));
    if (MUTANT(annotation_keys_ignore_case))
        v->role_arn =
            arena_strdup(a, cJSON_GetStringValue(cJSON_GetObjectItem(json_path(o, "metadata.annotations"), ROLE_ARN)));
    v->audience = arena_strdup(a, object_annotation(o, "eks.amazonaws.com/audience"));
    v->sts_regional_endpoints = arena_strdup(a, object_annotation(o, STS_REGIONAL));
    v->token_expiration = arena_strdup(a, object_annotation(o, "eks.amazonaws.com/token-expiration"));
    v->role_arn_managers = annotation_managers(o, "f:" ROLE_ARN, a);
    v->sts_regional_managers = annotation_managers(o, "f:" STS_REGIONAL, a);
    v->role_arn_set_ms = role_arn_set_ms(o);
    return v;
}

void service_account_free(struct service_account_view *v) {
    if (v != NULL) {
        arena_free(v->arena);
    }
}
