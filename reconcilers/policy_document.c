#include "reconcilers/policy_document.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "platform/base/json.h"
#include "platform/base/mutant.h"

/* Statement is one object or a list of them; anything else is no policy, and must not be replaced as if it said nothing. */
static bool statements_are_readable(const json *doc) {
    const json *s = json_get(doc, "Statement");
    if (!s || json_is_object(s))
        return true;
    if (!json_is_array(s))
        return false;
    for (const json *it = json_first(s); it; it = it->next)
        if (!json_is_object(it))
            return false;
    return true;
}

static json *parse(const char *text) {
    struct error err;
    if (!text || strlen(text) > POLICY_DOCUMENT_MAX)
        return NULL;
    json *j = json_parse(text, strlen(text), &err);
    if (j && !(json_is_object(j) && statements_are_readable(j))) {
        json_free(j);
        return NULL;
    }
    return j;
}

static const json *first_statement(const json *doc) {
    const json *s = json_get(doc, "Statement");
    return json_is_array(s) ? json_first(s) : (json_is_object(s) ? s : NULL);
}

static const json *next_statement(const json *doc, const json *s) {
    return json_is_array(json_get(doc, "Statement")) ? s->next : NULL;
}

static bool is_one_string(const json *v, const char *want, bool ignore_case) {
    if (json_is_array(v)) {
        if (json_array_size(v) != 1)
            return false;
        v = json_first(v);
    }
    if (!json_is_string(v))
        return false;
    return ignore_case ? str_eq_nocase(v->valuestring, want) : str_eq(v->valuestring, want);
}

static size_t member_count(const json *object) {
    size_t n = 0;
    for (const json *it = json_first(object); it; it = it->next)
        n++;
    return n;
}

static const json *member_nocase(const json *object, const char *key) {
    for (const json *it = json_first(object); it; it = it->next)
        if (str_eq_nocase(it->string, key))
            return it;
    return NULL;
}

/* The operator that binds aud and sub. */
static const char *equals_operator(void) {
    return MUTANT(trust_by_string_like) ? "StringLike" : "StringEquals";
}

static bool conditions_are_exact(const json *condition, const struct trust_want *w, struct arena *a) {
    if (!json_is_object(condition) || member_count(condition) != 1)
        return false;
    const json *equals = member_nocase(condition, equals_operator());
    if (!json_is_object(equals) || member_count(equals) != 2)
        return false;
    const char *aud = arena_printf(a, "%s:aud", w->issuer), *sub = arena_printf(a, "%s:sub", w->issuer);
    return is_one_string(member_nocase(equals, aud), TRUST_AUDIENCE, false) &&
           is_one_string(member_nocase(equals, sub), TRUST_SUBJECT, false);
}

static bool only_known_members(const json *statement) {
    static const char *const known[] = {"Sid", "Effect", "Principal", "Action", "Condition"};
    for (const json *it = json_first(statement); it; it = it->next) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            found = found || str_eq(it->string, known[i]);
        if (!found)
            return false;
    }
    return true;
}

static bool statement_is_exact(const json *s, const struct trust_want *w, struct arena *a) {
    const json *principal = json_get(s, "Principal");
    return only_known_members(s) && str_eq(json_str(s, "Effect"), "Allow") && json_is_object(principal) &&
           member_count(principal) == 1 && is_one_string(json_get(principal, "Federated"), w->provider_arn, false) &&
           is_one_string(json_get(s, "Action"), "sts:AssumeRoleWithWebIdentity", true) &&
           conditions_are_exact(json_get(s, "Condition"), w, a);
}

static bool statement_is_ours(const json *s, const struct trust_want *w, struct arena *a) {
    return str_eq(json_str(s, "Sid"), TRUST_SID) || statement_is_exact(s, w, a);
}

static bool names(const json *v, const char *text) {
    if (json_is_string(v))
        return str_eq(v->valuestring, text);
    for (const json *it = json_is_array(v) ? json_first(v) : NULL; it; it = it->next)
        if (json_is_string(it) && str_eq(it->valuestring, text))
            return true;
    return false;
}

static bool statement_names_provider(const json *s, const char *provider_arn) {
    return names(json_path(s, "Principal.Federated"), provider_arn);
}

static bool has_exact_sub(const json *s, const struct trust_want *w, struct arena *a) {
    const json *equals = member_nocase(json_get(s, "Condition"), "StringEquals");
    return member_nocase(equals, arena_printf(a, "%s:sub", w->issuer)) != NULL;
}

static json *our_statement(const struct trust_want *w, struct arena *a) {
    json *s = json_object();
    json_add_str(s, "Sid", TRUST_SID);
    json_add_str(s, "Effect", "Allow");
    json_add_str(json_add_object(s, "Principal"), "Federated", w->provider_arn);
    json_add_str(s, "Action", "sts:AssumeRoleWithWebIdentity");
    json *equals = json_add_object(json_add_object(s, "Condition"), equals_operator());
    json_add_str(equals, arena_printf(a, "%s:aud", w->issuer), TRUST_AUDIENCE);
    json_add_str(equals, arena_printf(a, "%s:sub", w->issuer), TRUST_SUBJECT);
    return s;
}

static char *print_and_free(json *j, struct arena *a) {
    char *text = json_print_arena(j, a);
    json_free(j);
    return text;
}

char *trust_build(const struct trust_want *w, struct arena *a) {
    json *doc = json_object();
    json_add_str(doc, "Version", "2012-10-17");
    json_push(json_add_array(doc, "Statement"), our_statement(w, a));
    return print_and_free(doc, a);
}

bool trust_examine(const char *document, const struct trust_want *w, struct trust_report *out, struct arena *a) {
    memset(out, 0, sizeof *out);
    json *doc = parse(document);
    if (!doc)
        return false;
    for (const json *s = first_statement(doc); s; s = next_statement(doc, s)) {
        if (statement_is_exact(s, w, a)) {
            out->exact = true;
        } else if (str_eq(json_str(s, "Sid"), TRUST_SID)) {
            out->ours_wrong = true;
        } else {
            out->foreign++;
            if (str_eq(json_str(s, "Effect"), "Allow") && statement_names_provider(s, w->provider_arn) &&
                !has_exact_sub(s, w, a))
                out->broad = true;
        }
    }
    json_free(doc);
    return true;
}

/* All statements that are not ours, in their order, in a new array. */
static json *foreign_statements(const json *doc, const struct trust_want *w, struct arena *a) {
    json *kept = json_new_array();
    for (const json *s = first_statement(doc); s; s = next_statement(doc, s))
        if (!statement_is_ours(s, w, a))
            json_push(kept, json_dup(s));
    return kept;
}

char *trust_merge(const char *document, const struct trust_want *w, struct arena *a) {
    json *doc = parse(document);
    if (!doc)
        return NULL;
    json *kept = MUTANT(foreign_statements_are_dropped) ? json_new_array() : foreign_statements(doc, w, a);
    json_push(kept, our_statement(w, a));
    json_add_item(doc, "Statement", kept);
    if (!json_str(doc, "Version"))
        json_add_str(doc, "Version", "2012-10-17");
    return print_and_free(doc, a);
}

/* By the Sid alone: an equal statement without it was there before us, in a role that was adopted (S5). */
char *trust_without(const char *document, struct arena *a) {
    json *doc = parse(document);
    if (!doc)
        return NULL;
    json *kept = json_new_array();
    size_t ours = 0;
    for (const json *s = first_statement(doc); s; s = next_statement(doc, s)) {
        if (str_eq(json_str(s, "Sid"), TRUST_SID))
            ours++;
        else
            json_push(kept, json_dup(s));
    }
    if (ours == 0 || json_array_size(kept) == 0) {
        json_free(kept);
        json_free(doc);
        return NULL;
    }
    json_add_item(doc, "Statement", kept);
    return print_and_free(doc, a);
}

bool trust_names_provider(const char *document, const char *provider_arn, struct arena *a) {
    (void)a;
    json *doc = parse(document);
    /* A document that cannot be read might name it: the careful answer keeps the provider. */
    bool found = doc == NULL;
    for (const json *s = first_statement(doc); s && !found; s = next_statement(doc, s))
        found = statement_names_provider(s, provider_arn);
    json_free(doc);
    return found;
}

static const char *const ipv4_actions[] = {"ec2:AssignPrivateIpAddresses",
                                           "ec2:AttachNetworkInterface",
                                           "ec2:CreateNetworkInterface",
                                           "ec2:DeleteNetworkInterface",
                                           "ec2:DescribeInstances",
                                           "ec2:DescribeTags",
                                           "ec2:DescribeNetworkInterfaces",
                                           "ec2:DescribeInstanceTypes",
                                           "ec2:DescribeSubnets",
                                           "ec2:DetachNetworkInterface",
                                           "ec2:ModifyNetworkInterfaceAttribute",
                                           "ec2:UnassignPrivateIpAddresses",
                                           "ec2:CreateTags"};
static const char *const ipv6_actions[] = {
    "ec2:AssignIpv6Addresses", "ec2:DescribeInstances",         "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
    "ec2:DescribeTags",        "ec2:DescribeNetworkInterfaces", "ec2:DescribeInstanceTypes",  "ec2:CreateTags"};

struct strlist cni_actions(bool ipv6, struct arena *a) {
    struct strlist l = {0};
    const char *const *from = ipv6 ? ipv6_actions : ipv4_actions;
    size_t n = ipv6 ? sizeof ipv6_actions / sizeof *ipv6_actions : sizeof ipv4_actions / sizeof *ipv4_actions;
    for (size_t i = 0; i < n; i++)
        strlist_add(&l, from[i], a);
    return l;
}

char *ipv6_policy_build(const char *partition, struct arena *a) {
    json *doc = json_object();
    json_add_str(doc, "Version", "2012-10-17");
    json *statements = json_add_array(doc, "Statement");
    json *use = json_object();
    json_add_str(use, "Effect", "Allow");
    json *actions = json_add_array(use, "Action");
    for (size_t i = 0; i + 1 < sizeof ipv6_actions / sizeof *ipv6_actions; i++)
        json_push_str(actions, ipv6_actions[i]);
    json_add_str(use, "Resource", "*");
    json_push(statements, use);
    json *tag = json_object();
    json_add_str(tag, "Effect", "Allow");
    json_push_str(json_add_array(tag, "Action"), "ec2:CreateTags");
    json_push_str(json_add_array(tag, "Resource"), arena_printf(a, "arn:%s:ec2:*:*:network-interface/*", partition));
    json_push(statements, tag);
    return print_and_free(doc, a);
}

/* IAM wildcards: '*' any run, '?' any one; action names ignore case. Iterative: no blow-up on hostile patterns. */
static bool wildcard_match(const char *pattern, const char *text) {
    const char *star = NULL, *mark = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            mark = text;
        } else if (*pattern == '?' || strncasecmp(pattern, text, 1) == 0) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool list_matches(const json *v, const char *action) {
    if (json_is_string(v))
        return wildcard_match(v->valuestring, action);
    for (const json *it = json_is_array(v) ? json_first(v) : NULL; it; it = it->next)
        if (json_is_string(it) && wildcard_match(it->valuestring, action))
            return true;
    return false;
}

static bool statement_speaks_of(const json *s, const char *action) {
    const json *not_action = json_get(s, "NotAction");
    if (not_action)
        return !list_matches(not_action, action);
    return list_matches(json_get(s, "Action"), action);
}

static void document_verdict(const char *text, const char *action, bool *allowed, bool *denied) {
    json *doc = parse(text);
    for (const json *s = first_statement(doc); s; s = next_statement(doc, s)) {
        if (!statement_speaks_of(s, action))
            continue;
        if (str_eq(json_str(s, "Effect"), "Allow"))
            *allowed = true;
        else if (str_eq(json_str(s, "Effect"), "Deny") && !json_get(s, "Condition"))
            *denied = true;
    }
    json_free(doc);
}

struct strlist policy_missing_actions(const struct strlist *documents, const struct strlist *actions, struct arena *a) {
    struct strlist missing = {0};
    for (size_t i = 0; i < actions->n; i++) {
        bool allowed = false, denied = false;
        for (size_t d = 0; d < documents->n; d++)
            document_verdict(documents->v[d], actions->v[i], &allowed, &denied);
        if (!allowed || denied)
            strlist_add(&missing, actions->v[i], a);
    }
    return missing;
}

struct strlist policy_cni_grants(const char *document, struct arena *a) {
    static const char *const writing[] = {"ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
                                          "ec2:AttachNetworkInterface",   "ec2:CreateNetworkInterface",
                                          "ec2:DeleteNetworkInterface",   "ec2:DetachNetworkInterface",
                                          "ec2:AssignIpv6Addresses"};
    struct strlist found = {0};
    for (size_t i = 0; i < sizeof writing / sizeof *writing; i++) {
        bool allowed = false, denied = false;
        document_verdict(document, writing[i], &allowed, &denied);
        if (allowed && !denied)
            strlist_add(&found, writing[i], a);
    }
    return found;
}
