/* oracle_gates.c - the gates and the way back, by what is so in the world when a call reaches its server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/oracle_internal.h"

#define PROBE_MAX_AGE_MS 130000
#define GUARD_MS 35000                /* S1': 30 s from seeing it */
#define FOREIGN "i-0ba57104b0000000f" /* the instance of others in every scenario that has one */
#define FOREIGN_MS 400000             /* progressDeadlineSeconds (300 here) to join, and a look at AWS */
#define PROOFS_NEEDED 3
#define OWN_ROLE "cni-iam-"
#define CNI_POLICY "/AmazonEKS_CNI_Policy"
#define RESTARTED_FOR "cniiam.dev/restarted-for"
#define ROWS_MAX 64

/* A node's pod as it was, and since when. */
struct place {
    char node[64];
    int64_t good_since_ms;     /* own role, permitted, Ready; -1: it is not */
    int64_t stranded_since_ms; /* lives on a node role without the policy; -1: it does not */
    int deleted;               /* by the operator */
};

static struct {
    struct sim_node_row rows[ROWS_MAX];
    int nrows;
    struct place places[ROWS_MAX];
    int nplaces;
    char probed_role[80], probed_policy[160]; /* the last attach that AWS said yes to */
    int64_t probed_ms, first_proof_ms, last_proof_ms, foreign_since_ms;
    int proofs;
    bool annotated;
    char restarted_for[64];
} gates;

static struct place *place_of(const char *node) {
    for (int i = 0; i < gates.nplaces; i++)
        if (strcmp(gates.places[i].node, node) == 0)
            return &gates.places[i];
    if (gates.nplaces == ROWS_MAX)
        die("more than %d nodes under an oracle", ROWS_MAX);
    struct place *p = &gates.places[gates.nplaces++];
    *p = (struct place){.good_since_ms = -1, .stranded_since_ms = -1};
    snprintf(p->node, sizeof p->node, "%s", node);
    return p;
}

/* --- the account --- */

static json *ask(const char *action, const char *param, const char *value) {
    struct sim_aws_param p = {param, value};
    struct sim_aws_call call = {.service = "iam", .action = action, .params = &p, .nparams = param ? 1 : 0};
    struct sim_aws_answer answer;
    sim_aws_do(sim_world_aws(oracle.world), &call, &answer);
    return answer.value;
}

static bool has_cni_policy(const char *role) {
    json *value = ask("ListAttachedRolePolicies", "RoleName", role);
    bool found = false;
    for (const json *it = json_first(json_array(value, "AttachedPolicies")); it; it = it->next)
        found = found || str_has_suffix(json_str(it, "PolicyArn"), CNI_POLICY);
    json_free(value);
    return found;
}

static const char *role_of_node(const char *node) {
    const char *id = json_str(sim_kube_get(sim_world_kube(oracle.world), "nodes", NULL, node), "spec.providerID");
    const char *slash = id ? strrchr(id, '/') : NULL;
    const char *arn = slash ? sim_aws_role_of_instance(sim_world_aws(oracle.world), slash + 1) : NULL;
    return arn ? strrchr(arn, '/') + 1 : "";
}

/* S2 has to hold afterwards too: who came later gets the policy back. */
static void look_at_foreign(void) {
    const char *arn = sim_aws_role_of_instance(sim_world_aws(oracle.world), FOREIGN);
    bool stranded = arn && !has_cni_policy(strrchr(arn, '/') + 1);
    if (!stranded)
        gates.foreign_since_ms = -1;
    else if (gates.foreign_since_ms < 0)
        gates.foreign_since_ms = virtual_now_ms();
    if (stranded && virtual_now_ms() - gates.foreign_since_ms > FOREIGN_MS)
        oracle_broken("S2: instance " FOREIGN " has lived without the policy for %d s", FOREIGN_MS / 1000);
}

/* --- the pods --- */

static void look(void) {
    int64_t now = virtual_now_ms();
    gates.nrows = sim_world_rows(oracle.world, gates.rows, ROWS_MAX);
    for (int i = 0; i < gates.nrows; i++) {
        const struct sim_node_row *row = &gates.rows[i];
        struct place *p = place_of(row->name);
        bool good = row->identity == SIM_POD_OWN_ROLE && row->ready && row->permitted;
        bool stranded = row->identity == SIM_POD_NODE_ROLE && !has_cni_policy(role_of_node(row->name));
        p->good_since_ms = good ? (p->good_since_ms < 0 ? now : p->good_since_ms) : -1;
        p->stranded_since_ms = stranded ? (p->stranded_since_ms < 0 ? now : p->stranded_since_ms) : -1;
        if (stranded && now - p->stranded_since_ms > GUARD_MS)
            oracle_broken("S1': pod %s on node %s lives on a node role without the policy for %d s", row->pod,
                          row->name, GUARD_MS / 1000);
    }
}

static bool is_restarted(const json *ds) {
    const char *key = str_or(json_key_str(json_path(ds, "spec.template.metadata.annotations"), RESTARTED_FOR), "");
    bool news = !str_eq(key, gates.restarted_for) && !str_eq(key, "none");
    snprintf(gates.restarted_for, sizeof gates.restarted_for, "%s", key);
    return news;
}

/* One pod goes first, and stays Ready for settleSeconds (5 in every scenario here). */
static void check_canary(const json *ds) {
    if (!is_restarted(ds))
        return;
    look();
    for (int i = 0; i < gates.nplaces; i++)
        if (gates.places[i].good_since_ms >= 0 && virtual_now_ms() - gates.places[i].good_since_ms >= 4000)
            return;
    oracle_broken("S9: the DaemonSet is restarted before one pod lived on the role for settleSeconds");
}

static void on_kube_write(void *arg, const char *type, const char *resource, const json *object, const char *manager) {
    (void)arg, (void)type, (void)manager;
    if (!oracle.world || oracle.violation[0])
        return;
    if (str_eq(resource, "pods"))
        look();
    if (str_eq(resource, "daemonsets"))
        check_canary(object);
}

static bool is_being_deleted(void) {
    const json *b = sim_kube_get(sim_world_kube(oracle.world), "cniiambindings", NULL, "aws-node");
    return !b || json_str(b, "metadata.deletionTimestamp");
}

/* One at a time: whoever goes leaves nobody behind who is not Ready. And no node's pod goes again and again. */
static void check_delete(const struct net_call *c) {
    const char *name = strrchr(c->path, '/') + 1;
    const json *pod = sim_kube_get(sim_world_kube(oracle.world), "pods", "kube-system", name);
    if (!pod || json_str(pod, "metadata.deletionTimestamp"))
        return; /* it goes already: asked for twice */
    look();
    for (int i = 0; i < gates.nrows; i++) {
        const struct sim_node_row *row = &gates.rows[i];
        if (str_eq(row->pod, name)) {
            struct place *p = place_of(row->name);
            if (!is_being_deleted() && ++p->deleted > 2)
                oracle_broken("S9: the pod of node %s is re-created for the %d. time", row->name, p->deleted);
        } else if (!row->ready) {
            oracle_broken("S9: pod %s goes while node %s has none that is Ready", name, row->name);
        }
    }
}

/* --- G7 --- */

static int soak_ms(void) {
    const char *at = strstr(oracle.o->spec, "\"soakSeconds\":");
    return at ? (int)strtol(at + strlen("\"soakSeconds\":"), NULL, 10) * 1000 : 0;
}

static void check_soak(const char *role) {
    look();
    for (int i = 0; i < gates.nrows; i++) {
        const struct place *p = place_of(gates.rows[i].name);
        if (!str_eq(role_of_node(p->node), role))
            continue;
        if (p->good_since_ms < 0)
            oracle_broken("S2: %s is to lose its policy while node %s has no Ready pod with a working role", role,
                          p->node);
        else if (virtual_now_ms() - p->good_since_ms < soak_ms() - 1000)
            oracle_broken("S2: %s is to lose its policy although node %s is proven for %lld s only", role, p->node,
                          (long long)(virtual_now_ms() - p->good_since_ms) / 1000);
    }
}

static void check_way_back(const char *role, const char *policy) {
    if (!str_eq(role, gates.probed_role) || !str_eq(policy, gates.probed_policy) ||
        virtual_now_ms() - gates.probed_ms > PROBE_MAX_AGE_MS)
        oracle_broken("S3: %s comes off %s and attaching it was not tried just before", policy, role);
    json *roles = ask("ListRoles", NULL, NULL);
    bool tagged = false;
    for (const json *r = json_first(json_array(roles, "Roles")); r; r = r->next) {
        json *value = ask("GetRole", "RoleName", json_str(r, "RoleName"));
        for (const json *t = json_first(json_array(value, "Role.Tags")); t; t = t->next)
            tagged = tagged || (str_has_suffix(json_str(t, "Key"), role) && str_eq(json_str(t, "Value"), policy));
        json_free(value);
    }
    json_free(roles);
    if (!tagged)
        oracle_broken("S3: %s comes off %s and no tag of any role says so", policy, role);
    const json *b = sim_kube_get(sim_world_kube(oracle.world), "cniiambindings", NULL, "aws-node");
    bool recorded = false;
    for (const json *n = json_first(json_array(b, "status.nodeRoles")); n; n = n->next)
        for (const json *d = json_first(json_array(n, "detached")); d; d = d->next)
            recorded = recorded || (str_has_suffix(json_str(n, "arn"), role) && json_is_string(d));
    if (!recorded)
        oracle_broken("S3: %s comes off %s and status does not say so", policy, role);
}

static void check_detach(const struct net_call *c) {
    char role[80], policy[160];
    aws_param(c, "RoleName", role, sizeof role);
    aws_param(c, "PolicyArn", policy, sizeof policy);
    if (!str_has_prefix(role, "eks-node"))
        return;
    const char *foreign = sim_aws_role_of_instance(sim_world_aws(oracle.world), FOREIGN);
    if (foreign && str_has_suffix(foreign, role))
        oracle_broken("S2: %s is to lose its policy while instance " FOREIGN ", no node, uses it", role);
    if (!has_cni_policy(role))
        oracle_broken("S7: %s comes off %s, where it is not any more: nobody looked", policy, role);
    check_soak(role);
    check_way_back(role, policy);
}

/* --- what is written --- */

/* S4, by the account's own evaluator of the stored document: nobody but kube-system/aws-node of this cluster. */
static void check_trust(const struct net_call *c) {
    char document[4096];
    const char *name = aws_is(c, "CreateRole") ? "AssumeRolePolicyDocument" : "PolicyDocument";
    aws_param(c, name, document, sizeof document);
    struct error err;
    json *doc = json_parse(document, strlen(document), &err);
    for (const json *s = json_first(json_array(doc, "Statement")); s; s = s->next) {
        char *condition = json_print(json_get(s, "Condition"));
        bool web = str_eq(json_str(s, "Action"), "sts:AssumeRoleWithWebIdentity");
        if (web &&
            !(strstr(condition, "{\"StringEquals\":{") == condition &&
              strstr(condition, ":aud\":\"sts.amazonaws.com\"") &&
              strstr(condition, ":sub\":\"system:serviceaccount:kube-system:aws-node\"") && !strchr(condition, '*')))
            oracle_broken("S4: a trust policy for more than kube-system/aws-node is written: %.150s", condition);
        cJSON_free(condition);
    }
    if (oracle.o->kept_trust && aws_is(c, "UpdateAssumeRolePolicy") && !strstr(document, oracle.o->kept_trust))
        oracle_broken("S4: a trust policy is written that has lost what others wrote: %s", oracle.o->kept_trust);
    if (!doc)
        oracle_broken("S4: a trust policy that is no JSON is written");
    json_free(doc);
}

static void check_attach(const struct net_call *c) {
    char policy[160];
    aws_param(c, "PolicyArn", policy, sizeof policy);
    if (!str_has_suffix(policy, CNI_POLICY) && !strstr(policy, ":policy/" OWN_ROLE))
        oracle_broken("S16: policy %s is attached, which nobody allowed", policy);
}

static void note_attach(const struct net_call *c) {
    if (c->status != 200)
        return;
    aws_param(c, "RoleName", gates.probed_role, sizeof gates.probed_role);
    aws_param(c, "PolicyArn", gates.probed_policy, sizeof gates.probed_policy);
    gates.probed_ms = virtual_now_ms();
}

/* G3: three exchanges over proofSeconds (10 in every scenario here) before any pod may be injected. */
static void check_annotation(const struct net_call *c) {
    if (!str_has_suffix(c->path, "/serviceaccounts/aws-node") || !str_eq(c->method, "PATCH") || gates.annotated ||
        is_being_deleted())
        return;
    gates.annotated = true;
    if (gates.proofs < PROOFS_NEEDED || gates.last_proof_ms - gates.first_proof_ms < 9000)
        oracle_broken("G3: the ServiceAccount is annotated after %d proofs of the role within %lld ms", gates.proofs,
                      (long long)(gates.last_proof_ms - gates.first_proof_ms));
}

static void note_proof(const struct net_call *c) {
    if (c->status != 200) {
        gates.proofs = 0;
        return;
    }
    if (gates.proofs++ == 0)
        gates.first_proof_ms = virtual_now_ms();
    gates.last_proof_ms = virtual_now_ms();
}

/* S15: before the first effect outside of the object. */
static void check_finalizer(const struct net_call *c) {
    const json *b = sim_kube_get(sim_world_kube(oracle.world), "cniiambindings", NULL, "aws-node");
    for (const json *f = json_first(json_array(b, "metadata.finalizers")); f; f = f->next)
        if (json_is_string(f) && str_has_prefix(f->valuestring, "cniiam.dev/"))
            return;
    oracle_broken("S15: %s while no finalizer holds the binding", c->what);
}

/* S5: what belongs to others, by words of the scenario: all of a word's parts ('+' between them) in one call are wrong. */
static void check_keep(const struct net_call *c) {
    char words[400], *rest = words;
    snprintf(words, sizeof words, "%s", str_or(oracle.keep, ""));
    for (char *word; (word = strsep(&rest, "|"));) {
        bool all = *word;
        char whole[100];
        snprintf(whole, sizeof whole, "%s", word);
        for (char *part; (part = strsep(&word, "+"));)
            all = all && (str_has_prefix(part, "aws ") ? str_has_prefix(c->what, part)
                                                       : strstr(c->what, part) || strstr(c->body, part));
        if (all)
            oracle_broken("S5: %s touches what is not ours to touch (%s)", c->what, whole);
    }
}

void gates_begin(void) {
    memset(&gates, 0, sizeof gates);
    gates.foreign_since_ms = -1;
    sim_kube_on_write(sim_world_kube(oracle.world), on_kube_write, NULL);
    look();
}

static void see_write(const struct net_call *c) {
    check_keep(c);
    if (c->to_aws)
        check_finalizer(c);
    if (aws_is(c, "DetachRolePolicy"))
        check_detach(c);
    if (aws_is(c, "CreateRole") || aws_is(c, "UpdateAssumeRolePolicy"))
        check_trust(c);
    if (aws_is(c, "AttachRolePolicy"))
        check_attach(c);
    if (!c->to_aws && str_eq(c->method, "DELETE") && strstr(c->path, "/pods/"))
        check_delete(c);
    if (!c->to_aws)
        check_annotation(c);
}

void gates_see(const struct net_call *c) {
    if (c->moment == NET_ARRIVED && c->changes)
        see_write(c);
    if (c->moment == NET_ANSWERED && aws_is(c, "AttachRolePolicy"))
        note_attach(c);
    if (c->moment == NET_ANSWERED && aws_is(c, "AssumeRoleWithWebIdentity"))
        note_proof(c);
    if (c->moment == NET_SENT && !c->to_aws && strstr(c->path, "/leases/")) {
        look(); /* time goes on */
        look_at_foreign();
    }
}
