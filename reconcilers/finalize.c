/*
 * finalize.c - deletion: restore first, then remove what is ours and used by nobody else (S5, S15). Also the finalizer itself.
 *
 *   abandon annotation, Retain, bootstrap -> the finalizer goes, everything stays, an Event says so
 *   else: plan_restore -> role (or only our statement) -> customer policy -> provider -> finalizer
 */
#include <string.h>

#include "platform/base/mutant.h"
#include "reconcilers/context.h"
#include "reconcilers/guard_switch.h"
#include "reconcilers/policy_document.h"

/* --- the finalizer --- */

static json *patch_begin(const struct ctx *c) {
    json *ops = json_new_array(), *uid = json_object(), *rv = json_object();
    json_add_str(uid, "op", "test");
    json_add_str(uid, "path", "/metadata/uid");
    json_add_str(uid, "value", c->b->uid);
    json_push(ops, uid);
    json_add_str(rv, "op", "test");
    json_add_str(rv, "path", "/metadata/resourceVersion");
    json_add_str(rv, "value", c->b->resource_version);
    json_push(ops, rv);
    return ops;
}

static const struct effect *patch_end(struct ctx *c, json *ops) {
    struct effect *e = effect_new(c->a, EFFECT_K8S_JSON_PATCH, "resource", CIB_RESOURCE, "name", c->b->name,
                                  "fieldManager", FIELD_MANAGER, NULL);
    e->body = json_print_arena(ops, c->a);
    json_free(ops);
    return e;
}

static const struct effect *effect_add_finalizer(struct ctx *c) {
    json *ops = patch_begin(c), *op = json_object();
    json_add_str(op, "op", "add");
    if (c->b->finalizers.n) {
        json_add_str(op, "path", "/metadata/finalizers/-");
        json_add_str(op, "value", CIB_FINALIZER);
    } else {
        json_add_str(op, "path", "/metadata/finalizers");
        json_push_str(json_add_array(op, "value"), CIB_FINALIZER);
    }
    json_push(ops, op);
    return patch_end(c, ops);
}

static const struct effect *effect_remove_finalizer(struct ctx *c) {
    json *ops = patch_begin(c);
    for (size_t i = 0; i < c->b->finalizers.n; i++) {
        if (!str_eq(c->b->finalizers.v[i], CIB_FINALIZER))
            continue;
        const char *path = arena_printf(c->a, "/metadata/finalizers/%zu", i);
        json *test = json_object(), *op = json_object();
        json_add_str(test, "op", "test");
        json_add_str(test, "path", path);
        json_add_str(test, "value", CIB_FINALIZER);
        json_push(ops, test);
        json_add_str(op, "op", "remove");
        json_add_str(op, "path", path);
        json_push(ops, op);
        break;
    }
    return patch_end(c, ops);
}

/* Before the first effect outside of the object (K-P8). It is no line of the plan: it changes nothing for anybody. */
bool plan_finalizer(struct ctx *c) {
    if (c->b->has_finalizer || !c->may_act || c->blocked || c->missing_reads)
        return true;
    size_t lines = c->s->plan.steps.n;
    ctx_step(c, G1, effect_add_finalizer(c), "deletion has to restore before the object goes", "+ add finalizer %s",
             CIB_FINALIZER);
    c->s->plan.steps.n = lines;
    return false;
}

static void let_go(struct ctx *c, const char *reason, const char *note) {
    size_t lines = c->s->plan.steps.n;
    bool may_act = c->may_act;
    c->may_act = true;
    c->blocked = false;
    struct step *step = ctx_step(c, G8, effect_remove_finalizer(c), note, "- remove finalizer %s", CIB_FINALIZER);
    c->may_act = may_act;
    c->s->plan.steps.n = lines;
    step->event_reason = reason;
    step->event_note = note;
}

/* --- cleanup --- */

static const char *tag_value(const json *tags, const char *key) {
    for (const json *it = json_first(tags); it; it = it->next)
        if (str_eq_nocase(json_str(it, "Key"), key)) /* policies' and providers' tag keys: one emulator lowers them */
            return json_str(it, "Value");
    return NULL;
}

static bool tags_are_ours(const struct ctx *c, const json *tags) {
    return GUARD(live_tags_are_ours, str_eq(tag_value(tags, TAG_MANAGED_BY), TAG_MANAGED_BY_VALUE) &&
                                         str_eq(tag_value(tags, TAG_CLUSTER), c->cluster_arn) &&
                                         str_eq(tag_value(tags, TAG_BINDING), c->b->name));
}

static bool working(struct ctx *c, const char *what) {
    return ctx_wait(c, G8, REASON_RESTORING, 0, "%s", what);
}

static bool withdraw_statement(struct ctx *c, const char *document) {
    const char *rest = trust_without(document, c->a);
    if (!rest)
        return true; /* gone already, or the only one: a role can not be without a trust policy */
    ctx_step(
        c, G8,
        effect_new(c->a, EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY, "RoleName", c->role_name, "PolicyDocument", rest, NULL),
        "the role is used by others: it loses our statement only",
        "~ remove our statement from the trust of IAM role %s", c->role_name);
    return working(c, "taking our statement out of the role's trust");
}

/* False: not known (yet). */
static bool read_attached(struct ctx *c, const json **attached) {
    const struct effect *e = effect_new(c->a, EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "RoleName", c->role_name, NULL);
    const struct observation *o = ctx_read(c, e, LIVE_MAX_AGE_MS);
    if (!o || o->error.code)
        return o && ctx_read_failed(c, G8, e, &o->error);
    *attached = json_array(o->value, "AttachedPolicies");
    return true;
}

static bool detach_from_role(struct ctx *c, bool *others) {
    const json *attached = NULL;
    if (!read_attached(c, &attached))
        return false;
    for (const json *it = json_first(attached); it; it = it->next) {
        const char *arn = json_str(it, "PolicyArn");
        bool ours =
            strlist_has(&c->s->policies.arns, arn) || str_eq(name_of_arn(arn), name_ipv6_policy(c->role_name, c->a));
        if (!ours && !MUTANT(foreign_policy_is_detached)) {
            *others = true;
            continue;
        }
        ctx_step(c, G8,
                 effect_new(c->a, EFFECT_IAM_DETACH_ROLE_POLICY, "RoleName", c->role_name, "PolicyArn", arn, NULL),
                 "no pod has the role any more", "- detach %s from IAM role %s", arn, c->role_name);
        return working(c, "detaching the policies of the role");
    }
    return true;
}

static bool cleanup_own_role(struct ctx *c, const char *document, const struct trust_want *w) {
    struct trust_report r;
    if (!GUARD(role_is_trusted_by_nobody_else, trust_examine(document, w, &r, c->a) && r.foreign == 0))
        return withdraw_statement(c, document);
    bool others = false;
    if (!detach_from_role(c, &others))
        return false;
    if (others) {
        ctx_note(c, true, "RoleRetained", "Delete", "role %s has policies of others attached and stays", c->role_name);
        return true;
    }
    struct step *step = ctx_step(c, G8, effect_new(c->a, EFFECT_IAM_DELETE_ROLE, "RoleName", c->role_name, NULL),
                                 "made by this binding, used by nobody", "- delete IAM role %s", c->role_name);
    step->event_reason = "RoleDeleted";
    step->event_note = arena_printf(c->a, "deleted IAM role %s", c->role_name);
    return working(c, "deleting the role");
}

/* The mark goes when what it marks is gone: whoever attaches the policy afterwards keeps it. */
static bool remove_marks(struct ctx *c, const json *tags) {
    for (const json *it = json_first(tags); it; it = it->next) {
        const char *key = json_str(it, "Key");
        if (!str_has_prefix(key, TAG_ATTACHED_PREFIX))
            continue;
        ctx_step(
            c, G8, effect_new(c->a, EFFECT_IAM_UNTAG_ROLE, "RoleName", c->role_name, "TagKeys.member.1", key, NULL),
            "the policy that it marks as attached by us is off", "~ remove tag %s from IAM role %s", key, c->role_name);
        return working(c, "taking our tags off the adopted role");
    }
    return true;
}

/* S5: of an adopted role's policies those that its tags mark. */
static bool take_policies_off(struct ctx *c, const json *tags) {
    const json *attached = NULL;
    if (!read_attached(c, &attached))
        return false;
    for (const json *it = json_first(attached); it; it = it->next) {
        const char *arn = json_str(it, "PolicyArn");
        if (!GUARD(adopted_policy_is_ours, str_eq(tag_value(tags, name_attached_tag(arn, c->a)), arn)))
            continue;
        ctx_step(c, G8,
                 effect_new(c->a, EFFECT_IAM_DETACH_ROLE_POLICY, "RoleName", c->role_name, "PolicyArn", arn, NULL),
                 "it was not there before this binding, and no pod has the role any more",
                 "- detach %s from IAM role %s", arn, c->role_name);
        return working(c, "detaching what was attached to the adopted role");
    }
    return remove_marks(c, tags);
}

static bool cleanup_current_role(struct ctx *c) {
    if (str_empty(c->role_name))
        return true;
    const struct effect *e = effect_new(c->a, EFFECT_IAM_GET_ROLE, "RoleName", c->role_name, NULL);
    const struct observation *o = ctx_read(c, e, 0); /* what others wrote into its trust a moment ago has to stay */
    if (!o)
        return false;
    c->role_present = o->error.code == ERR_NONE;
    if (o->error.code == ERR_NOT_FOUND)
        return true;
    if (o->error.code)
        return ctx_read_failed(c, G8, e, &o->error);
    const json *role = json_get(o->value, "Role"), *tags = json_get(role, "Tags");
    const char *document = json_str(role, "AssumeRolePolicyDocument");
    struct trust_want w = {.provider_arn = c->provider_arn, .issuer = c->issuer};
    if (!tags_are_ours(c, tags))
        return true; /* S5: not ours by its live tags: not touched */
    if (str_eq(tag_value(tags, TAG_ADOPTED), "true") && !MUTANT(adopted_role_is_deleted))
        return take_policies_off(c, tags) && withdraw_statement(c, document);
    return cleanup_own_role(c, document, &w);
}

bool cleanup_role(struct ctx *c, const char *name) {
    const char *current = c->role_name;
    bool present = c->role_present;
    c->role_name = name;
    bool done = cleanup_current_role(c);
    c->role_name = current;
    c->role_present = present;
    return done;
}

static bool delete_policy(struct ctx *c, const char *arn) {
    const struct effect *list = effect_new(c->a, EFFECT_IAM_LIST_POLICY_VERSIONS, "PolicyArn", arn, NULL);
    const struct observation *o = ctx_read(c, list, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, G8, list, &o->error);
    for (const json *it = json_first(json_array(o->value, "Versions")); it; it = it->next)
        if (!json_bool(it, "IsDefaultVersion", false)) {
            ctx_step(c, G8,
                     effect_new(c->a, EFFECT_IAM_DELETE_POLICY_VERSION, "PolicyArn", arn, "VersionId",
                                json_str(it, "VersionId"), NULL),
                     "a policy with versions can not be deleted", "- delete version %s of IAM policy %s",
                     str_or(json_str(it, "VersionId"), "?"), arn);
            return working(c, "deleting versions of the policy");
        }
    ctx_step(c, G8, effect_new(c->a, EFFECT_IAM_DELETE_POLICY, "PolicyArn", arn, NULL),
             "made by this binding, attached nowhere", "- delete IAM policy %s", arn);
    return working(c, "deleting the policy");
}

bool cleanup_policy(struct ctx *c, const char *arn) {
    if (!arn)
        return true;
    const struct effect *e = effect_new(c->a, EFFECT_IAM_GET_POLICY, "PolicyArn", arn, NULL);
    const struct observation *o = ctx_read(c, e, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (o->error.code == ERR_NOT_FOUND)
        return true;
    if (o->error.code)
        return ctx_read_failed(c, G8, e, &o->error);
    const json *policy = json_get(o->value, "Policy");
    int64_t attachments = 0;
    const char *text = json_str(policy, "AttachmentCount");
    if (!text || !str_to_int64(text, &attachments))
        attachments = json_int64_or(policy, "AttachmentCount", 0);
    if (!tags_are_ours(c, json_get(policy, "Tags")) || attachments > 0) {
        ctx_note(c, false, "PolicyRetained", "Delete", "policy %s is attached elsewhere or not ours and stays", arn);
        return true;
    }
    return delete_policy(c, arn);
}

/* S5: a provider is shared property. NULL: nobody uses it; else who does. *asked false: it is not known (yet). */
static const char *provider_user(struct ctx *c, bool *asked) {
    const struct effect *list_roles = effect_new(c->a, EFFECT_IAM_LIST_ROLES, NULL);
    const struct effect *list_accounts = effect_new(c->a, EFFECT_K8S_LIST, "resource", "serviceaccounts", NULL);
    /* Of this very pass: a list that an earlier deletion left behind misses who came since. */
    const struct observation *roles = ctx_read(c, list_roles, 0);
    const struct observation *accounts = ctx_read(c, list_accounts, 0);
    *asked = roles && accounts;
    if (*asked && roles->error.code)
        *asked = ctx_read_failed(c, G8, list_roles, &roles->error);
    else if (*asked && accounts->error.code)
        *asked = ctx_read_failed(c, G8, list_accounts, &accounts->error);
    if (!*asked)
        return NULL;
    for (const json *r = json_first(json_array(roles->value, "Roles")); r; r = r->next)
        /* Our own role counts too where it stays: adopted, referenced, or kept for others. */
        if ((c->role_present || !str_eq(json_str(r, "RoleName"), c->role_name)) &&
            trust_names_provider(json_str(r, "AssumeRolePolicyDocument"), c->provider_arn, c->a))
            return arena_printf(c->a, "role %s trusts it", str_or(json_str(r, "RoleName"), "?"));
    for (const json *s = json_first(json_array(accounts->value, "items")); s; s = s->next)
        if (json_key_str(json_path(s, "metadata.annotations"), "eks.amazonaws.com/role-arn"))
            return arena_printf(c->a, "ServiceAccount %s/%s has a role", str_or(json_str(s, "metadata.namespace"), "?"),
                                str_or(json_str(s, "metadata.name"), "?"));
    return NULL;
}

static bool cleanup_provider(struct ctx *c) {
    const struct effect *e =
        effect_new(c->a, EFFECT_IAM_GET_OIDC_PROVIDER, "OpenIDConnectProviderArn", c->provider_arn, NULL);
    const struct observation *o = ctx_read(c, e, LIVE_MAX_AGE_MS);
    if (!o)
        return false;
    if (o->error.code == ERR_NOT_FOUND)
        return true;
    if (o->error.code)
        return ctx_read_failed(c, G8, e, &o->error);
    if (!tags_are_ours(c, json_get(o->value, "Tags")) && !MUTANT(untagged_provider_is_deleted))
        return true;
    bool asked;
    const char *user = provider_user(c, &asked);
    if (!asked)
        return false;
    if (!GUARD(provider_is_unused, user == NULL)) {
        ctx_note(c, false, "ProviderRetained", "Delete", "IAM OIDC provider %s stays: %s", c->provider_arn, user);
        return true;
    }
    struct step *step = ctx_step(
        c, G8, effect_new(c->a, EFFECT_IAM_DELETE_OIDC_PROVIDER, "OpenIDConnectProviderArn", c->provider_arn, NULL),
        "made by this binding, trusted by no role", "- delete IAM OIDC provider %s", c->provider_arn);
    step->event_reason = "ProviderDeleted";
    step->event_note = arena_printf(c->a, "deleted IAM OIDC provider %s", c->provider_arn);
    return working(c, "deleting the provider");
}

bool plan_cleanup(struct ctx *c) {
    return cleanup_current_role(c) && cleanup_earlier_roles(c, true) && cleanup_policy(c, c->s->policies.created_arn) &&
           cleanup_provider(c);
}

/* --- deletion as a whole --- */

static bool nothing_was_done(const struct ctx *c) {
    return !c->s->prior.recorded && !c->s->provider.arn && !c->s->role.arn;
}

static bool let_go_early(struct ctx *c) {
    if (str_eq(c->b->abandon, "true"))
        return let_go(c, "Abandoned", "abandoned as asked: nothing in AWS or the cluster was touched"), true;
    if (nothing_was_done(c))
        return let_go(c, "Released", "nothing had been changed: nothing to restore"), true;
    if (c->spec->deletion_policy == CIB_DELETION_RETAIN && !MUTANT(retain_is_ignored))
        return let_go(c, REASON_RETAINED, "deletionPolicy Retain: role, annotation and detachment stay as they are"),
               true;
    if (c->s->prior.recorded && !c->s->prior.worked)
        return let_go(
                   c, REASON_RETAINED,
                   "nothing worked before this binding: its role and annotation stay, so that pods keep permissions"),
               true;
    return false;
}

void plan_finalize(struct ctx *c) {
    if (!c->b->has_finalizer)
        return;
    if (let_go_early(c))
        return;
    if (c->spec->mode != CIB_MODE_ENFORCE) {
        ctx_stall(c, G8, REASON_MODE_FORBIDS,
                  "deletion has to restore, and this mode writes nothing; set spec.mode: Enforce, or "
                  "spec.deletionPolicy: Retain");
        return;
    }
    c->may_act = true; /* suspended ones too (S15) */
    /* The return path needs nothing but status: it goes first, whatever else can not be read. */
    if (!plan_reattach(c, G7, "the binding is being deleted") || !observe_cluster(c))
        return;
    c->role_name = c->s->role.name;
    c->role_arn = c->s->role.arn;
    observe_pods(c);
    const char *lacks = NULL;
    if (!node_roles_carry(c, &lacks) || c->missing_reads)
        return;
    if (lacks) {
        let_go(c, REASON_RETAINED,
               arena_printf(c->a,
                            "node role %s does not grant the CNI's permissions: role and annotation stay, so that its "
                            "pods keep theirs",
                            lacks));
        return;
    }
    if (plan_restore(c, RESTORE_DELETE) && (MUTANT(finalizer_goes_before_the_cleanup) || plan_cleanup(c)) &&
        !c->missing_reads)
        let_go(c, "Restored", "aws-node is back on what it lived on before; what this binding made is removed");
}
