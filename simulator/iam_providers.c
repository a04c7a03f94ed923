/* iam_providers.c - OpenID Connect providers. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define URL_MAX 255
#define CLIENT_ID_MAX 255
#define THUMBPRINTS_MAX 5
#define THUMBPRINT_LENGTH 40

/* --- the entity --- */

void sim_provider_free(void *provider) {
    struct sim_provider *p = provider;
    free(p->arn);
    free(p->url);
    json_free(p->tags);
    json_free(p->thumbprints);
    sim_history_done(&p->clients);
    free(p);
}

static struct sim_provider *find(struct sim_aws *a, const char *arn) {
    struct sim_provider *p = strmap_get(a->providers, arn);
    return p != NULL && sim_stored(&p->clients) != NULL ? p : NULL;
}

static struct sim_provider *named(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *arn = sim_required(a, c, "OpenIDConnectProviderArn", out);
    struct sim_provider *p = NULL;

    if (arn != NULL && (!str_has_prefix(arn, "arn:") || strstr(arn, ":oidc-provider/") == NULL)) {
        sim_fail(a, out, 400, "InvalidInput", "Invalid ARN: %.200s", arn);
    } else if (arn != NULL && (p = find(a, arn)) == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "OpenIDConnect Provider not found for arn %s", arn);
    }
    return p;
}

static bool has_client(const json *clients, const char *id) {
    for (const json *it = json_first(clients); it != NULL; it = it->next) {
        if (str_eq(it->valuestring, id)) {
            return true;
        }
    }
    return false;
}

const char *sim_provider_fault(struct sim_aws *a, const char *issuer, const char *audience) {
    char *arn = sim_printf("arn:%s:iam::%s:oidc-provider/%s", a->partition, a->account, issuer);
    const struct sim_provider *p = strmap_get(a->providers, arn);
    const json *clients = p != NULL ? sim_enforced(&p->clients, sim_boot_ms(a)) : NULL;

    free(arn);
    if (clients == NULL) {
        return "No OpenIDConnect provider found in your account for";
    }
    return has_client(clients, audience) ? NULL : "Incorrect token audience";
}

/* Forgets providers whose deletion is enforced; returns how many are stored. */
static size_t sweep(struct sim_aws *a) {
    size_t it = 0, stored = 0;
    const char *key;
    void *value;

    while (strmap_next(a->providers, &it, &key, &value)) {
        struct sim_provider *p = value;
        if (sim_history_gone(&p->clients, sim_boot_ms(a))) {
            (void)strmap_remove(a->providers, key);
        } else {
            stored += sim_stored(&p->clients) != NULL;
        }
    }
    return stored;
}

/* --- reading --- */

static void list_providers(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    size_t it = 0;
    const char *arn;
    void *provider;

    (void)c;
    out->value = json_object();
    json *list = json_add_array(out->value, "OpenIDConnectProviderList");
    while (strmap_next(a->providers, &it, &arn, &provider)) {
        if (find(a, arn) != NULL) {
            json *one = json_object();
            json_add_str(one, "Arn", arn);
            json_push(list, one);
        }
    }
}

static void get_provider(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_provider *p = named(a, c, out);
    if (p == NULL) {
        return;
    }
    out->value = json_object();
    json_add_str(out->value, "Url", p->url);
    json_add_item(out->value, "ClientIDList", json_dup(sim_stored(&p->clients)));
    json_add_item(out->value, "ThumbprintList", json_dup(p->thumbprints));
    sim_add_time(out->value, "CreateDate", p->created_ms);
    if (json_array_size(p->tags) > 0) {
        json_add_item(out->value, "Tags", json_dup(p->tags));
    }
}

/* --- creating --- */

/* https://host[/path], no port, no query, no white space. */
static bool is_url(const char *url) {
    const char *host = url + strlen("https://");

    if (!str_has_prefix(url, "https://") || strlen(url) > URL_MAX || *host == '\0' || *host == '/') {
        return false;
    }
    for (const char *p = host; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || strchr(":?#@", *p) != NULL) {
            return false;
        }
    }
    return true;
}

static const char *provider_url(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *url = sim_required(a, c, "Url", out);
    if (url != NULL && !is_url(url)) {
        sim_invalid(a, out, "Invalid Open ID Connect Provider URL");
        return NULL;
    }
    return url != NULL ? url + strlen("https://") : NULL;
}

static bool is_thumbprint(const char *s) {
    for (const char *p = s; *p != '\0'; p++) {
        if (!isxdigit((unsigned char)*p)) {
            return false;
        }
    }
    return strlen(s) == THUMBPRINT_LENGTH;
}

/* Without one, IAM asks the host for its certificates: a constant stands for that. */
static json *read_thumbprints(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct strlist given;
    json *list = json_new_array();

    if (!sim_list(a, c, "ThumbprintList.member", &given, out)) {
        json_free(list);
        return NULL;
    }
    for (size_t i = 0; i < given.n; i++) {
        if (i >= THUMBPRINTS_MAX || !is_thumbprint(given.v[i])) {
            sim_invalid(a, out,
                        i >= THUMBPRINTS_MAX ? "Thumbprint list must contain fewer than 5 entries."
                                             : "Thumbprint must be 40 hexadecimal characters.");
            json_free(list);
            return NULL;
        }
        json_push_str(list, given.v[i]);
    }
    if (given.n == 0) {
        json_push_str(list, "9e99a48a9960b14926bb7f3b02e22da2b0ab7280");
    }
    return list;
}

static bool check_client(struct sim_aws *a, const char *id, struct sim_aws_answer *out) {
    if (*id != '\0' && strlen(id) <= CLIENT_ID_MAX) {
        return true;
    }
    sim_invalid(a, out,
                "1 validation error detected: Value at 'clientID' failed to satisfy constraint: Member must have "
                "length between 1 and %d",
                CLIENT_ID_MAX);
    return false;
}

static json *read_clients(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct strlist given;
    json *list = json_new_array();
    bool ok = sim_list(a, c, "ClientIDList.member", &given, out);

    for (size_t i = 0; ok && i < given.n; i++) {
        if (i >= SIM_CLIENT_IDS_MAX) {
            sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d",
                     SIM_CLIENT_IDS_MAX);
            ok = false;
        } else if ((ok = check_client(a, given.v[i], out)) && !has_client(list, given.v[i])) {
            json_push_str(list, given.v[i]);
        }
    }
    if (!ok) {
        json_free(list);
        list = NULL;
    }
    return list;
}

/* Takes the parts; NULL: exists already, or too many. */
static struct sim_provider *make(struct sim_aws *a, const char *url, struct sim_aws_answer *out) {
    const char *arn = arena_printf(a->scratch, "arn:%s:iam::%s:oidc-provider/%s", a->partition, a->account, url);

    if (find(a, arn) != NULL) {
        sim_fail(a, out, 409, "EntityAlreadyExists", "Provider with url https://%s already exists.", url);
        return NULL;
    }
    if (sweep(a) >= SIM_PROVIDERS_MAX) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d",
                 SIM_PROVIDERS_MAX);
        return NULL;
    }
    struct sim_provider *p = strmap_get(a->providers, arn);
    if (p == NULL) {
        p = sim_new(sizeof *p);
        p->arn = sim_strdup(arn);
        p->url = sim_strdup(url);
        if (!strmap_set(a->providers, arn, p)) {
            sim_provider_free(p);
            sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d",
                     SIM_PROVIDERS_MAX);
            return NULL;
        }
    }
    return p;
}

static void create_provider(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *url = provider_url(a, c, out);
    json *tags = NULL, *clients = url != NULL ? read_clients(a, c, out) : NULL;
    json *prints = clients != NULL ? read_thumbprints(a, c, out) : NULL;
    struct sim_provider *p = NULL;

    if (prints == NULL || !sim_tags_join(a, c, &tags, out) || (p = make(a, url, out)) == NULL) {
        json_free(clients);
        json_free(prints);
        json_free(tags);
        return;
    }
    json_free(p->tags);
    json_free(p->thumbprints);
    p->tags = tags;
    p->thumbprints = prints;
    p->created_ms = sim_wall_ms(a);
    sim_change(a, &p->clients, clients);
    out->value = json_object();
    json_add_str(out->value, "OpenIDConnectProviderArn", p->arn);
    if (json_array_size(p->tags) > 0) {
        json_add_item(out->value, "Tags", json_dup(p->tags));
    }
    sim_wrote(a, "CreateOpenIDConnectProvider %s", p->arn);
}

/* --- changing --- */

static void add_client(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_provider *p = named(a, c, out);
    const char *id = p != NULL ? sim_required(a, c, "ClientID", out) : NULL;

    if (id == NULL || !check_client(a, id, out) || has_client(sim_stored(&p->clients), id)) {
        return; /* idempotent */
    }
    if (json_array_size(sim_stored(&p->clients)) >= SIM_CLIENT_IDS_MAX) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d",
                 SIM_CLIENT_IDS_MAX);
        return;
    }
    json *clients = json_dup(sim_stored(&p->clients));
    json_push_str(clients, id);
    sim_change(a, &p->clients, clients);
    sim_wrote(a, "AddClientIDToOpenIDConnectProvider %s %s", p->arn, id);
}

static void remove_client(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_provider *p = named(a, c, out);
    const char *id = p != NULL ? sim_required(a, c, "ClientID", out) : NULL;

    if (id == NULL || !has_client(sim_stored(&p->clients), id)) {
        return; /* idempotent */
    }
    json *clients = json_new_array();
    for (const json *it = json_first(sim_stored(&p->clients)); it != NULL; it = it->next) {
        if (!str_eq(it->valuestring, id)) {
            json_push_str(clients, it->valuestring);
        }
    }
    sim_change(a, &p->clients, clients);
    sim_wrote(a, "RemoveClientIDFromOpenIDConnectProvider %s %s", p->arn, id);
}

static void update_thumbprints(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_provider *p = named(a, c, out);
    json *prints = p != NULL ? read_thumbprints(a, c, out) : NULL;
    if (prints != NULL) {
        json_free(p->thumbprints);
        p->thumbprints = prints;
        sim_wrote(a, "UpdateOpenIDConnectProviderThumbprint %s", p->arn);
    }
}

static void tag_provider(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_provider *p = named(a, c, out);
    if (p != NULL && sim_tags_join(a, c, &p->tags, out)) {
        sim_wrote(a, "TagOpenIDConnectProvider %s", p->arn);
    }
}

static void untag_provider(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_provider *p = named(a, c, out);
    if (p != NULL && sim_tags_drop(a, c, p->tags, out)) {
        sim_wrote(a, "UntagOpenIDConnectProvider %s", p->arn);
    }
}

/* Of one that is not there, too, AWS says that all is well. */
static void delete_provider(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_provider *p = named(a, c, out);
    if (p == NULL && str_eq(out->code, "NoSuchEntity")) {
        *out = (struct sim_aws_answer){.status = 200};
    } else if (p != NULL) {
        sim_wrote(a, "DeleteOpenIDConnectProvider %s", p->arn);
        sim_change(a, &p->clients, NULL);
    }
}

const struct sim_operation sim_provider_operations[] = {
    {"iam:ListOpenIDConnectProviders", list_providers},
    {"iam:GetOpenIDConnectProvider", get_provider},
    {"iam:CreateOpenIDConnectProvider", create_provider},
    {"iam:AddClientIDToOpenIDConnectProvider", add_client},
    {"iam:RemoveClientIDFromOpenIDConnectProvider", remove_client},
    {"iam:UpdateOpenIDConnectProviderThumbprint", update_thumbprints},
    {"iam:TagOpenIDConnectProvider", tag_provider},
    {"iam:UntagOpenIDConnectProvider", untag_provider},
    {"iam:DeleteOpenIDConnectProvider", delete_provider},
    {NULL, NULL},
};
