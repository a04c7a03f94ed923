/* policy_eval.c - statements of policy documents against one request. */
#include "simulator/policy_eval.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "platform/base/str.h"

/* --- values --- */

static bool same_char(char a, char b, bool ignore_case) {
    return a == b || (ignore_case && tolower((unsigned char)a) == tolower((unsigned char)b));
}

bool policy_wildcard(const char *pattern, const char *text, bool ignore_case) {
    const char *star = NULL, *resume = NULL;

    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern != '\0' && (*pattern == '?' || same_char(*pattern, *text, ignore_case))) {
            pattern++;
            text++;
        } else if (star != NULL) { /* the last star takes one more */
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

/* A string as it is, a boolean as IAM would write it; NULL for anything else. */
static const char *text_of(const json *v) {
    if (cJSON_IsBool(v)) {
        return cJSON_IsTrue(v) ? "true" : "false";
    }
    return json_is_string(v) ? v->valuestring : NULL;
}

/* The first of a list, or the single value itself: for (it = first_value(v); it; it = next_value(v, it)). */
static const json *first_value(const json *v) {
    return json_is_array(v) ? json_first(v) : v;
}

static const json *next_value(const json *v, const json *it) {
    return json_is_array(v) ? it->next : NULL;
}

static bool any_wildcard(const json *patterns, const char *text, bool ignore_case) {
    for (const json *it = first_value(patterns); it != NULL; it = next_value(patterns, it)) {
        const char *pattern = text_of(it);
        if (pattern != NULL && policy_wildcard(pattern, text, ignore_case)) {
            return true;
        }
    }
    return false;
}

/* --- conditions --- */

enum comparison { COMPARE_EXACT, COMPARE_NOCASE, COMPARE_LIKE };

static const struct operator_rule {
    const char *name;
    enum comparison comparison;
    bool negated;
} operators[] = {
    {"StringEquals", COMPARE_EXACT, false},
    {"StringNotEquals", COMPARE_EXACT, true},
    {"StringEqualsIgnoreCase", COMPARE_NOCASE, false},
    {"StringNotEqualsIgnoreCase", COMPARE_NOCASE, true},
    {"StringLike", COMPARE_LIKE, false},
    {"StringNotLike", COMPARE_LIKE, true},
    {"ArnEquals", COMPARE_LIKE, false}, /* AWS: ArnEquals and ArnLike behave identically */
    {"ArnLike", COMPARE_LIKE, false},
    {"ArnNotEquals", COMPARE_LIKE, true},
    {"ArnNotLike", COMPARE_LIKE, true},
    {"Bool", COMPARE_NOCASE, false},
};

static const struct operator_rule *find_operator(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (strlen(operators[i].name) == n && strncasecmp(operators[i].name, name, n) == 0) {
            return &operators[i];
        }
    }
    return NULL;
}

static bool compare(enum comparison how, const char *wanted, const char *value) {
    if (how == COMPARE_LIKE) {
        return policy_wildcard(wanted, value, false);
    }
    return how == COMPARE_NOCASE ? str_eq_nocase(wanted, value) : str_eq(wanted, value);
}

static bool any_value(enum comparison how, const json *wanted, const char *value) {
    for (const json *it = first_value(wanted); it != NULL; it = next_value(wanted, it)) {
        const char *w = text_of(it);
        if (w != NULL && compare(how, w, value)) {
            return true;
        }
    }
    return false;
}

/* One key of one operator: its values in the request against those in the document. */
static bool key_matches(const struct operator_rule *op, bool if_exists, const json *wanted,
                        const struct policy_request *r) {
    bool present = false, matched = false;

    for (size_t i = 0; i < r->nfacts; i++) {
        if (str_eq_nocase(r->facts[i].key, wanted->string)) {
            present = true;
            matched = matched || any_value(op->comparison, wanted, r->facts[i].value);
        }
    }
    if (!present) {
        return if_exists || op->negated;
    }
    return matched != op->negated;
}

static bool null_matches(const json *wanted, const struct policy_request *r) {
    bool present = false;
    for (size_t i = 0; i < r->nfacts; i++) {
        present = present || str_eq_nocase(r->facts[i].key, wanted->string);
    }
    return any_value(COMPARE_NOCASE, wanted, present ? "false" : "true");
}

static bool operator_matches(const json *block, const struct policy_request *r) {
    const char *name = block->string;
    size_t n = strlen(name);
    const size_t suffix = strlen("IfExists");
    bool if_exists = n > suffix && strcasecmp(name + n - suffix, "IfExists") == 0;
    const struct operator_rule *op = find_operator(name, if_exists ? n - suffix : n);
    bool is_null = strcasecmp(name, "Null") == 0;

    if ((op == NULL && !is_null) || !json_is_object(block)) {
        return false;
    }
    for (const json *it = json_first(block); it != NULL; it = it->next) {
        if (!(op != NULL ? key_matches(op, if_exists, it, r) : null_matches(it, r))) {
            return false;
        }
    }
    return true;
}

static bool conditions_match(const json *statement, const struct policy_request *r) {
    const json *condition = json_get(statement, "Condition");
    if (condition == NULL) {
        return true;
    }
    if (!json_is_object(condition)) {
        return false;
    }
    for (const json *it = json_first(condition); it != NULL; it = it->next) {
        if (!operator_matches(it, r)) {
            return false;
        }
    }
    return true;
}

/* --- statements --- */

static bool element_matches(const json *statement, const char *positive, const char *negative, const char *text,
                            bool ignore_case) {
    const json *yes = json_get(statement, positive), *no = json_get(statement, negative);
    if (yes != NULL) {
        return any_wildcard(yes, text, ignore_case);
    }
    return no != NULL && !any_wildcard(no, text, ignore_case);
}

/* "111122223333" and "arn:aws:iam::111122223333:root" both stand for the account. */
static bool names_account(const char *principal, const char *account) {
    const char *root = strstr(principal, ":iam::");
    size_t n = strlen(account);

    if (str_eq(principal, account)) {
        return true;
    }
    return root != NULL && str_has_prefix(principal, "arn:") && strncmp(root + 6, account, n) == 0 &&
           str_eq(root + 6 + n, ":root");
}

static bool kind_matches(const json *principals, const char *who) {
    for (const json *it = first_value(principals); who != NULL && it != NULL; it = next_value(principals, it)) {
        if (str_eq(text_of(it), "*") || str_eq(text_of(it), who)) {
            return true;
        }
    }
    return false;
}

static bool account_matches(const json *principals, const char *account) {
    for (const json *it = first_value(principals); account != NULL && it != NULL; it = next_value(principals, it)) {
        const char *p = text_of(it);
        if (p != NULL && names_account(p, account)) {
            return true;
        }
    }
    return false;
}

static bool principal_matches(const json *statement, const struct policy_principal *who) {
    const json *p = json_get(statement, "Principal");
    if (json_is_string(p)) {
        return str_eq(p->valuestring, "*");
    }
    return kind_matches(json_get(p, "Federated"), who->federated) ||
           kind_matches(json_get(p, "Service"), who->service) || kind_matches(json_get(p, "AWS"), who->aws) ||
           account_matches(json_get(p, "AWS"), who->account);
}

static bool statement_applies(const json *statement, const struct policy_principal *who,
                              const struct policy_request *r) {
    if (who != NULL ? !principal_matches(statement, who)
                    : !element_matches(statement, "Resource", "NotResource", r->resource, false)) {
        return false;
    }
    return element_matches(statement, "Action", "NotAction", r->action, true) && conditions_match(statement, r);
}

enum policy_verdict policy_verdict_join(enum policy_verdict a, enum policy_verdict b) {
    return a > b ? a : b;
}

static enum policy_verdict evaluate(const json *document, const struct policy_principal *who,
                                    const struct policy_request *r) {
    const json *statements = json_get(document, "Statement");
    enum policy_verdict v = POLICY_NOTHING;

    for (const json *it = first_value(statements); it != NULL; it = next_value(statements, it)) {
        const char *effect = json_str(it, "Effect");
        bool allow = str_eq(effect, "Allow");
        if ((allow || str_eq(effect, "Deny")) && statement_applies(it, who, r)) {
            v = policy_verdict_join(v, allow ? POLICY_ALLOWED : POLICY_DENIED);
        }
    }
    return v;
}

enum policy_verdict policy_evaluate(const json *document, const struct policy_request *r) {
    return evaluate(document, NULL, r);
}

enum policy_verdict policy_trusts(const json *document, const struct policy_principal *who,
                                  const struct policy_request *r) {
    return evaluate(document, who, r);
}

/* --- what IAM takes --- */

static bool is_text_list(const json *v) {
    for (const json *it = first_value(v); it != NULL; it = next_value(v, it)) {
        if (!json_is_string(it) || it->valuestring[0] == '\0') {
            return false;
        }
    }
    return v != NULL && first_value(v) != NULL;
}

static const char *action_fault(const json *statement) {
    const json *v = json_get(statement, "Action");
    v = v != NULL ? v : json_get(statement, "NotAction");
    if (!is_text_list(v)) {
        return "Policy statement must contain actions.";
    }
    for (const json *it = first_value(v); it != NULL; it = next_value(v, it)) {
        if (!str_eq(it->valuestring, "*") && strchr(it->valuestring, ':') == NULL) {
            return "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
        }
    }
    return NULL;
}

static const char *principal_fault(const json *statement) {
    const json *p = json_get(statement, "Principal");

    if (p == NULL) {
        return json_get(statement, "NotPrincipal") != NULL ? NULL : "Missing required field Principal";
    }
    if (json_is_string(p)) {
        return str_eq(p->valuestring, "*") ? NULL : "Invalid principal in policy.";
    }
    for (const json *kind = json_first(p); kind != NULL; kind = kind->next) {
        bool known = str_eq(kind->string, "AWS") || str_eq(kind->string, "Service") ||
                     str_eq(kind->string, "Federated") || str_eq(kind->string, "CanonicalUser");
        if (!known || !is_text_list(kind)) {
            return "Invalid principal in policy.";
        }
    }
    return json_first(p) != NULL ? NULL : "Invalid principal in policy.";
}

static const char *condition_fault(const json *statement) {
    const json *c = json_get(statement, "Condition");

    if (c != NULL && !json_is_object(c)) {
        return "Syntax errors in policy.";
    }
    for (const json *it = json_first(c); it != NULL; it = it->next) {
        if (!json_is_object(it)) {
            return "Syntax errors in policy.";
        }
    }
    return NULL;
}

static const char *resource_fault(const json *statement, bool is_trust) {
    const json *v = json_get(statement, "Resource");
    v = v != NULL ? v : json_get(statement, "NotResource");
    if (is_trust) {
        return v != NULL ? "Has prohibited field Resource" : NULL;
    }
    if (json_get(statement, "Principal") != NULL) {
        return "Policy document should not specify a principal.";
    }
    return is_text_list(v) ? NULL : "Policy statement must contain resources.";
}

static const char *statement_fault(const json *statement, bool is_trust) {
    const char *effect = json_str(statement, "Effect"), *fault;

    if (!json_is_object(statement)) {
        return "Syntax errors in policy.";
    }
    if (effect == NULL) {
        return "Missing required field Effect";
    }
    if (!str_eq(effect, "Allow") && !str_eq(effect, "Deny")) {
        return "Invalid effect in policy.";
    }
    if (is_trust && (fault = principal_fault(statement)) != NULL) {
        return fault;
    }
    if ((fault = action_fault(statement)) != NULL || (fault = resource_fault(statement, is_trust)) != NULL) {
        return fault;
    }
    return condition_fault(statement);
}

const char *policy_document_fault(const json *document, bool is_trust) {
    const json *statements = json_get(document, "Statement"), *version = json_get(document, "Version");

    if (!json_is_object(document)) {
        return is_trust ? "This policy contains invalid Json" : "Syntax errors in policy.";
    }
    if (version != NULL && !str_eq(text_of(version), "2012-10-17") && !str_eq(text_of(version), "2008-10-17")) {
        return "The policy must contain a valid version string";
    }
    if (first_value(statements) == NULL) {
        return "Syntax errors in policy.";
    }
    for (const json *it = first_value(statements); it != NULL; it = next_value(statements, it)) {
        const char *fault = statement_fault(it, is_trust);
        if (fault != NULL) {
            return fault;
        }
    }
    return NULL;
}
