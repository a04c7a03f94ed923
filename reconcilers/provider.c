/* provider.c - G1: the IAM OIDC provider of exactly this issuer, with the audience sts.amazonaws.com. */
#include <string.h>

#include "reconcilers/context.h"
#include "reconcilers/policy_document.h"

static void add_tag(const struct ctx *c, struct effect *e, int *n, const char *key, const char *value) {
    ++*n;
    effect_add_arg(e, c->a, arena_printf(c->a, "Tags.member.%d.Key", *n), key);
    effect_add_arg(e, c->a, arena_printf(c->a, "Tags.member.%d.Value", *n), value);
}

static const struct effect *create_provider(struct ctx *c) {
    /* No thumbprint: IAM fetches it, and from inside a VPC the issuer's host may not resolve (aws.md 1.7). */
    struct effect *e =
        effect_new(c->a, EFFECT_IAM_CREATE_OIDC_PROVIDER, "Url", arena_printf(c->a, "https://%s", c->issuer),
                   "ClientIDList.member.1", TRUST_AUDIENCE, NULL);
    int n = 0;
    add_tag(c, e, &n, TAG_MANAGED_BY, TAG_MANAGED_BY_VALUE);
    add_tag(c, e, &n, TAG_CLUSTER, c->cluster_arn);
    add_tag(c, e, &n, TAG_BINDING, c->b->name);
    return e;
}

bool plan_provider(struct ctx *c) {
    if (c->spec->identity != CIB_IDENTITY_IRSA) {
        ctx_gate_not_applicable(c, G1, "identity NodeRole needs no provider");
        return true;
    }
    c->s->provider.arn = c->provider_arn;
    const struct effect *e =
        effect_new(c->a, EFFECT_IAM_GET_OIDC_PROVIDER, "OpenIDConnectProviderArn", c->provider_arn, NULL);
    const struct observation *o = ctx_read(c, e, ctx_audit_age(c));
    if (!o)
        return false;
    if (o->error.code == ERR_NOT_FOUND) {
        c->s->provider.created = true; /* recorded with the write; the live tags decide when it is to be deleted (S5) */
        struct step *step = ctx_step(c, G1, create_provider(c), "the role's trust needs the cluster's OIDC provider",
                                     "+ create IAM OIDC provider %s (audience %s)", c->provider_arn, TRUST_AUDIENCE);
        step->event_reason = "ProviderCreated";
        step->event_note = arena_printf(c->a, "created IAM OIDC provider %s", c->provider_arn);
        return ctx_wait(c, G1, REASON_CREATING, 0, "the IAM OIDC provider %s is to be created", c->provider_arn);
    }
    if (o->error.code)
        return ctx_read_failed(c, G1, e, &o->error);
    struct strlist clients = json_strings(json_get(o->value, "ClientIDList"), c->a);
    if (!strlist_has(&clients, TRUST_AUDIENCE)) {
        ctx_step(c, G1,
                 effect_new(c->a, EFFECT_IAM_ADD_CLIENT_ID, "OpenIDConnectProviderArn", c->provider_arn, "ClientID",
                            TRUST_AUDIENCE, NULL),
                 "without the audience STS answers: Incorrect token audience",
                 "~ add audience %s to IAM OIDC provider %s", TRUST_AUDIENCE, c->provider_arn);
        return ctx_wait(c, G1, REASON_REPAIRING, 0, "the provider lacks the audience %s", TRUST_AUDIENCE);
    }
    return ctx_pass(c, G1, REASON_VERIFIED, "%s serves %s with audience %s", c->provider_arn, c->issuer,
                    TRUST_AUDIENCE);
}
