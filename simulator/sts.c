/* sts.c - access keys and their principals; taking roles; who am I. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define SESSION_NAME_MAX 64
#define DURATION_MIN_S 900
#define DURATION_MAX_S 43200
#define DURATION_DEFAULT_S 3600
#define CHAINED_MAX_S 3600
#define TOKEN_MIN 4
#define TOKEN_MAX 20000
#define SESSION_POLICY_MAX 2048
#define SECRET_LENGTH 40
#define SESSION_TOKEN_LENGTH 180

/* --- principals --- */

void sim_principal_free(void *principal) {
    struct sim_principal *p = principal;
    free(p->arn);
    free(p->role_arn);
    free(p->role_id);
    free(p->session);
    json_free(p->policy);
    free(p);
}

/* The oldest session makes room. */
static void make_room(struct sim_aws *a) {
    size_t it = 0;
    const char *key;
    void *value;

    while (strmap_count(a->keys) >= SIM_KEYS_MAX && strmap_next(a->keys, &it, &key, &value)) {
        const struct sim_principal *p = value;
        if (p->expires_ms != 0) {
            (void)strmap_remove(a->keys, key);
        }
    }
}

void sim_aws_add_access_key(struct sim_aws *a, const char *access_key, const char *principal_arn) {
    struct sim_principal *p = sim_new(sizeof *p);
    const char *assumed = strstr(principal_arn, ":assumed-role/");

    p->arn = sim_strdup(principal_arn);
    if (assumed != NULL) {
        const char *name = assumed + strlen(":assumed-role/");
        int n = (int)strcspn(name, "/");
        char *role = sim_printf("%.*s", n, name);
        const struct sim_role *r = sim_role_find(a, role);
        p->role_arn =
            r != NULL ? sim_strdup(r->arn) : sim_printf("arn:%s:iam::%s:role/%s", a->partition, a->account, role);
        p->session = sim_strdup(name[n] == '/' ? name + n + 1 : "session");
        free(role);
    } else if (strstr(principal_arn, ":role/") != NULL) {
        p->role_arn = sim_strdup(principal_arn);
    }
    make_room(a);
    if (!strmap_set(a->keys, access_key, p)) {
        sim_principal_free(p);
    }
}

bool sim_may(struct sim_aws *a, const struct sim_principal *p, const char *action, const char *resource) {
    if (p == NULL || p->role_arn == NULL) {
        return true; /* administrators and users */
    }
    const struct sim_role *r = sim_role_by_arn(a, p->role_arn);
    struct sim_question q = {.action = action, .resource = resource, .enforced = true};
    struct policy_request request = {.action = action, .resource = resource};

    if (r == NULL || (p->role_id != NULL && !str_eq(p->role_id, r->id)) ||
        sim_decide(a, r, &q).verdict != POLICY_ALLOWED) {
        return false;
    }
    return p->policy == NULL || policy_evaluate(p->policy, &request) == POLICY_ALLOWED;
}

/* --- trust --- */

static const json *enforced_trust(struct sim_aws *a, const struct sim_role *r) {
    int64_t now = sim_boot_ms(a);
    return sim_enforced(&r->exists, now) != NULL ? sim_enforced(&r->trust, now) : NULL;
}

bool sim_role_trusts(struct sim_aws *a, const struct sim_role *r, const char *issuer, const char *subject,
                     const char *audience) {
    char *aud = sim_printf("%s:aud", issuer), *sub = sim_printf("%s:sub", issuer);
    char *arn = sim_printf("arn:%s:iam::%s:oidc-provider/%s", a->partition, a->account, issuer);
    struct policy_fact facts[] = {{aud, audience}, {sub, subject}, {"aws:FederatedProvider", arn}};
    struct policy_principal who = {.federated = arn};
    struct policy_request request = {
        .action = "sts:AssumeRoleWithWebIdentity", .facts = facts, .nfacts = sizeof facts / sizeof *facts};
    bool trusted = policy_trusts(enforced_trust(a, r), &who, &request) == POLICY_ALLOWED;

    free(aud);
    free(sub);
    free(arn);
    return trusted;
}

/* --- sessions --- */

struct assumption {
    struct sim_role *role; /* NULL: no such role */
    const char *role_arn, *session;
    int64_t seconds;
    json *policy;
};

static bool read_session_policy(struct sim_aws *a, const struct sim_aws_call *c, struct assumption *w,
                                struct sim_aws_answer *out) {
    const char *text = sim_param(c, "Policy");
    if (sim_param(c, "PolicyArns.member.1.arn") != NULL) {
        sim_invalid(a, out, "This simulation knows no session policies by ARN.");
        return false;
    }
    if (text == NULL) {
        return true;
    }
    w->policy = sim_document(a, text, false, SESSION_POLICY_MAX, "SessionPolicySize", out);
    return w->policy != NULL;
}

static bool read_assumption(struct sim_aws *a, const struct sim_aws_call *c, struct assumption *w,
                            struct sim_aws_answer *out) {
    w->role_arn = sim_required(a, c, "RoleArn", out);
    if (w->role_arn == NULL) {
        return false;
    }
    if (!str_has_prefix(w->role_arn, "arn:") || strlen(w->role_arn) > SIM_ARN_MAX ||
        strstr(w->role_arn, ":role/") == NULL) {
        sim_invalid(a, out, "%.200s is invalid", w->role_arn);
        return false;
    }
    w->session = sim_required_name(a, c, "RoleSessionName", SESSION_NAME_MAX, out);
    if (w->session == NULL) {
        return false;
    }
    if (strlen(w->session) < 2) {
        sim_invalid(a, out,
                    "1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member "
                    "must have length greater than or equal to 2",
                    w->session);
        return false;
    }
    w->role = sim_role_by_arn(a, w->role_arn);
    return sim_number(a, c, "DurationSeconds", DURATION_MIN_S, DURATION_MAX_S, DURATION_DEFAULT_S, &w->seconds, out) &&
           read_session_policy(a, c, w, out);
}

static bool check_duration(struct sim_aws *a, const struct assumption *w, struct sim_aws_answer *out) {
    bool chained = a->caller != NULL && a->caller->session != NULL;
    if (chained && w->seconds > CHAINED_MAX_S) {
        sim_invalid(
            a, out,
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining");
        return false;
    }
    if (w->seconds > w->role->max_session_s) {
        sim_invalid(a, out, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
        return false;
    }
    return true;
}

/* Takes w's policy. */
static struct sim_principal *add_session(struct sim_aws *a, struct assumption *w, char key[24]) {
    struct sim_principal *p = sim_new(sizeof *p);

    p->arn = sim_printf("arn:%s:sts::%s:assumed-role/%s/%s", a->partition, a->account, w->role->name, w->session);
    p->role_arn = sim_strdup(w->role->arn);
    p->role_id = sim_strdup(w->role->id);
    p->session = sim_strdup(w->session);
    p->policy = w->policy;
    w->policy = NULL;
    p->expires_ms = sim_wall_ms(a) + w->seconds * 1000;
    sim_id(a, "ASIA", key);
    key[20] = '\0'; /* as long as AWS' */
    make_room(a);
    if (!strmap_set(a->keys, key, p)) {
        die("simulated account: all %d access keys are long-lived", SIM_KEYS_MAX);
    }
    w->role->last_used_ms = sim_wall_ms(a);
    return p;
}

static void give_credentials(struct sim_aws *a, struct assumption *w, struct sim_aws_answer *out) {
    char key[24], secret[SECRET_LENGTH + 1], token[SESSION_TOKEN_LENGTH + 1];
    const struct sim_principal *p = add_session(a, w, key);

    sim_random_text(a, secret, SECRET_LENGTH);
    sim_random_text(a, token, SESSION_TOKEN_LENGTH);
    out->value = json_object();
    json *credentials = json_add_object(out->value, "Credentials");
    json_add_str(credentials, "AccessKeyId", key);
    json_add_str(credentials, "SecretAccessKey", secret);
    json_add_str(credentials, "SessionToken", token);
    sim_add_time(credentials, "Expiration", p->expires_ms);
    json *user = json_add_object(out->value, "AssumedRoleUser");
    json_add_str(user, "AssumedRoleId", arena_printf(a->scratch, "%s:%s", p->role_id, p->session));
    json_add_str(user, "Arn", p->arn);
}

/* --- AssumeRoleWithWebIdentity --- */

static bool read_token(struct sim_aws *a, const struct sim_aws_call *c, struct sim_token_claims *claims,
                       struct sim_aws_answer *out) {
    const char *token = sim_required(a, c, "WebIdentityToken", out);

    if (token == NULL) {
        return false;
    }
    if (strlen(token) < TOKEN_MIN || strlen(token) > TOKEN_MAX) {
        sim_invalid(
            a, out,
            "1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must "
            "have length between %d and %d",
            TOKEN_MIN, TOKEN_MAX);
        return false;
    }
    if (a->o.verify_token == NULL || !a->o.verify_token(a->o.verify_arg, token, claims)) {
        sim_fail(a, out, 400, "InvalidIdentityToken",
                 "Couldn't retrieve verification key from your identity provider, please reference "
                 "AssumeRoleWithWebIdentity documentation for requirements");
        return false;
    }
    if (claims->expires_ms <= sim_wall_ms(a)) {
        sim_fail(a, out, 400, "ExpiredTokenException",
                 "Token expired: current date/time %lld must be before the expiration date/time %lld",
                 (long long)(sim_wall_ms(a) / 1000), (long long)(claims->expires_ms / 1000));
        return false;
    }
    return true;
}

static bool check_token(struct sim_aws *a, const char *issuer, const struct sim_token_claims *claims,
                        struct sim_aws_answer *out) {
    const char *fault = sim_provider_fault(a, issuer, claims->audience);
    if (fault == NULL) {
        return true;
    }
    bool unknown = str_has_suffix(fault, " for");
    sim_fail(a, out, 400, "InvalidIdentityToken", "%s%s%s", fault, unknown ? " " : "", unknown ? claims->issuer : "");
    return false;
}

static void with_web_identity(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct assumption w = {0};
    struct sim_token_claims claims = {0};

    if (read_assumption(a, c, &w, out) && read_token(a, c, &claims, out)) {
        const char *issuer = claims.issuer + (str_has_prefix(claims.issuer, "https://") ? strlen("https://") : 0);
        if (!check_token(a, issuer, &claims, out)) {
            /* answered */
        } else if (w.role == NULL || !sim_role_trusts(a, w.role, issuer, claims.subject, claims.audience)) {
            sim_fail(a, out, 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
        } else if (check_duration(a, &w, out)) {
            give_credentials(a, &w, out);
            json_add_str(out->value, "SubjectFromWebIdentityToken", claims.subject);
            json_add_str(out->value, "Audience", claims.audience);
            json_add_str(out->value, "Provider",
                         arena_printf(a->scratch, "arn:%s:iam::%s:oidc-provider/%s", a->partition, a->account, issuer));
        }
    }
    json_free(w.policy);
}

/* --- AssumeRole --- */

/* The ARN of the caller itself suffices in the trust; one that names the account leaves it to the caller's own policies. */
static bool may_assume(struct sim_aws *a, const struct sim_aws_call *c, const struct assumption *w) {
    const struct sim_principal *p = a->caller;
    struct policy_fact facts[] = {{"sts:RoleSessionName", w->session}, {"sts:ExternalId", sim_param(c, "ExternalId")}};
    struct policy_request request = {
        .action = "sts:AssumeRole", .facts = facts, .nfacts = facts[1].value != NULL ? 2 : 1};
    struct policy_principal self = {.aws = p != NULL ? p->arn : NULL};
    struct policy_principal role = {.aws = p != NULL ? p->role_arn : NULL}, account = {.account = a->account};
    const json *trust = w->role != NULL ? enforced_trust(a, w->role) : NULL;
    enum policy_verdict named = policy_trusts(trust, &self, &request);
    enum policy_verdict by_account = policy_trusts(trust, &account, &request);

    named = policy_verdict_join(named, policy_trusts(trust, &role, &request));
    if (named == POLICY_DENIED || by_account == POLICY_DENIED) {
        return false;
    }
    return named == POLICY_ALLOWED || (by_account == POLICY_ALLOWED && sim_may(a, p, "sts:AssumeRole", w->role_arn));
}

static const char *caller_arn(struct sim_aws *a) {
    return a->caller != NULL ? a->caller->arn
                             : arena_printf(a->scratch, "arn:%s:iam::%s:root", a->partition, a->account);
}

static void assume_role(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct assumption w = {0};

    if (read_assumption(a, c, &w, out)) {
        if (!may_assume(a, c, &w)) {
            sim_fail(a, out, 403, "AccessDenied",
                     "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller_arn(a),
                     w.role_arn);
        } else if (check_duration(a, &w, out)) {
            give_credentials(a, &w, out);
        }
    }
    json_free(w.policy);
}

/* --- GetCallerIdentity --- */

static void get_caller_identity(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_principal *p = a->caller;
    const char *id = a->account;

    (void)c;
    if (p != NULL && p->role_arn != NULL) {
        const struct sim_role *r = sim_role_by_arn(a, p->role_arn);
        id = p->role_id != NULL ? p->role_id : r != NULL ? r->id : "AROAUNKNOWN";
        id = arena_printf(a->scratch, "%s:%s", id, str_or(p->session, "session"));
    } else if (p != NULL && !str_has_suffix(p->arn, ":root")) {
        id = "AIDASIMULATEDUSER0001";
    }
    out->value = json_object();
    json_add_str(out->value, "UserId", id);
    json_add_str(out->value, "Account", a->account);
    json_add_str(out->value, "Arn", caller_arn(a));
}

const struct sim_operation sim_sts_operations[] = {
    {"sts:GetCallerIdentity", get_caller_identity},
    {"sts:AssumeRole", assume_role},
    {"sts:AssumeRoleWithWebIdentity", with_web_identity},
    {NULL, NULL},
};
