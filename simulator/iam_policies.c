/* iam_policies.c - managed policies and their versions, those of AWS included. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_internal.h"

#define POLICY_NAME_MAX 128
#define OF_AWS_MAX (128 * 1024) /* AWS' own are longer than anybody else's may be */

/* --- the entity --- */

void sim_policy_free(void *policy) {
    struct sim_policy *p = policy;
    char *const texts[] = {p->name, p->path, p->arn, p->description};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(texts[i]);
    }
    for (size_t i = 0; i < p->nversions; i++) {
        free(p->versions[i].text);
    }
    json_free(p->tags);
    sim_history_done(&p->document);
    free(p);
}

struct sim_policy *sim_policy_find(struct sim_aws *a, const char *arn) {
    struct sim_policy *p = strmap_get(a->policies, arn);
    return p != NULL && sim_stored(&p->document) != NULL ? p : NULL;
}

static struct sim_version *find_version(struct sim_policy *p, const char *id) {
    for (size_t i = 0; i < p->nversions; i++) {
        if (str_eq(p->versions[i].id, id)) {
            return &p->versions[i];
        }
    }
    return NULL;
}

static struct sim_version *add_version(struct sim_policy *p, const char *text, int64_t now_ms) {
    struct sim_version *v = &p->versions[p->nversions++];
    (void)snprintf(v->id, sizeof v->id, "v%u", ++p->last_version);
    v->text = sim_strdup(text);
    v->created_ms = now_ms;
    p->updated_ms = now_ms;
    return v;
}

static void drop_version(struct sim_policy *p, struct sim_version *v) {
    size_t at = (size_t)(v - p->versions);
    free(v->text);
    p->nversions--;
    memmove(v, v + 1, (p->nversions - at) * sizeof *v);
}

/* Forgets policies whose deletion is enforced; returns how many of the account's own are stored. */
static size_t sweep(struct sim_aws *a) {
    size_t it = 0, stored = 0;
    const char *key;
    void *value;

    while (strmap_next(a->policies, &it, &key, &value)) {
        struct sim_policy *p = value;
        if (sim_history_gone(&p->document, sim_boot_ms(a))) {
            (void)strmap_remove(a->policies, key);
        } else {
            stored += !p->of_aws && sim_stored(&p->document) != NULL;
        }
    }
    return stored;
}

/* An empty policy of this name; what was deleted under it is taken over, with what is still enforced of it. */
static struct sim_policy *make(struct sim_aws *a, const char *owner, const char *path, const char *name) {
    const char *arn = arena_printf(a->scratch, "arn:%s:iam::%s:policy%s%s", a->partition, owner, path, name);
    struct sim_policy *p = strmap_get(a->policies, arn);

    if (p == NULL) {
        p = sim_new(sizeof *p);
        if (!strmap_set(a->policies, arn, p)) {
            sim_policy_free(p);
            return NULL;
        }
        p->arn = sim_strdup(arn);
        p->name = sim_strdup(name);
        p->path = sim_strdup(path);
    }
    sim_id(a, "ANPA", p->id);
    p->created_ms = sim_wall_ms(a);
    p->last_version = 0;
    free(p->description);
    p->description = NULL;
    return p;
}

/* --- policies of AWS (aws.md 4.2) --- */

static const char cni_document[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"AmazonEKSCNIPolicy\",\"Effect\":\"Allow\",\"Action\":["
    "\"ec2:AssignPrivateIpAddresses\",\"ec2:AttachNetworkInterface\",\"ec2:CreateNetworkInterface\","
    "\"ec2:DeleteNetworkInterface\",\"ec2:DescribeInstances\",\"ec2:DescribeTags\",\"ec2:DescribeNetworkInterfaces\","
    "\"ec2:DescribeInstanceTypes\",\"ec2:DescribeSubnets\",\"ec2:DescribeSecurityGroups\","
    "\"ec2:DetachNetworkInterface\",\"ec2:ModifyNetworkInterfaceAttribute\",\"ec2:UnassignPrivateIpAddresses\"],"
    "\"Resource\":\"*\"},{\"Sid\":\"AmazonEKSCNIPolicyENITag\",\"Effect\":\"Allow\",\"Action\":[\"ec2:CreateTags\"],"
    "\"Resource\":[\"arn:%s:ec2:*:*:network-interface/*\"]}]}";
static const char worker_document[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"WorkerNodePermissions\",\"Effect\":\"Allow\",\"Action\":["
    "\"ec2:DescribeInstances\",\"ec2:DescribeInstanceTypes\",\"ec2:DescribeRouteTables\",\"ec2:"
    "DescribeSecurityGroups\","
    "\"ec2:DescribeSubnets\",\"ec2:DescribeVolumes\",\"ec2:DescribeVolumesModifications\",\"ec2:DescribeVpcs\","
    "\"eks:DescribeCluster\",\"eks-auth:AssumeRoleForPodIdentity\"],\"Resource\":\"*\"}]}";
static const char registry_document[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"ecr:GetAuthorizationToken\","
    "\"ecr:BatchCheckLayerAvailability\",\"ecr:GetDownloadUrlForLayer\",\"ecr:GetRepositoryPolicy\","
    "\"ecr:DescribeRepositories\",\"ecr:ListImages\",\"ecr:DescribeImages\",\"ecr:BatchGetImage\","
    "\"ecr:GetLifecyclePolicy\",\"ecr:GetLifecyclePolicyPreview\",\"ecr:ListTagsForResource\","
    "\"ecr:DescribeImageScanFindings\"],\"Resource\":\"*\"}]}";
static const char ssm_document[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"ssm:DescribeAssociation\","
    "\"ssm:GetDeployablePatchSnapshotForInstance\",\"ssm:GetDocument\",\"ssm:DescribeDocument\",\"ssm:GetManifest\","
    "\"ssm:GetParameter\",\"ssm:GetParameters\",\"ssm:ListAssociations\",\"ssm:ListInstanceAssociations\","
    "\"ssm:PutInventory\",\"ssm:PutComplianceItems\",\"ssm:PutConfigurePackageResult\","
    "\"ssm:UpdateAssociationStatus\",\"ssm:UpdateInstanceAssociationStatus\",\"ssm:UpdateInstanceInformation\"],"
    "\"Resource\":\"*\"},{\"Effect\":\"Allow\",\"Action\":[\"ssmmessages:CreateControlChannel\","
    "\"ssmmessages:CreateDataChannel\",\"ssmmessages:OpenControlChannel\",\"ssmmessages:OpenDataChannel\"],"
    "\"Resource\":\"*\"},{\"Effect\":\"Allow\",\"Action\":[\"ec2messages:AcknowledgeMessage\","
    "\"ec2messages:DeleteMessage\",\"ec2messages:FailMessage\",\"ec2messages:GetEndpoint\","
    "\"ec2messages:GetMessages\",\"ec2messages:SendReply\"],\"Resource\":\"*\"}]}";

static void add_of_aws(struct sim_aws *a, const char *name, const char *text) {
    struct sim_policy *p = make(a, "aws", "/", name);
    struct error err;
    json *document = json_parse(text, strlen(text), &err);

    if (p == NULL || document == NULL) {
        die("simulated account: policy %s", name);
    }
    p->of_aws = true;
    p->tags = json_new_array();
    (void)str_copy(p->default_id, sizeof p->default_id, add_version(p, text, p->created_ms)->id);
    sim_set_now(&p->document, document);
}

void sim_policies_of_aws(struct sim_aws *a) {
    char cni[sizeof cni_document + 16];
    const char *gap = strstr(cni_document, "%s");

    (void)snprintf(cni, sizeof cni, "%.*s%s%s", (int)(gap - cni_document), cni_document, a->partition, gap + 2);
    add_of_aws(a, "AmazonEKS_CNI_Policy", cni);
    add_of_aws(a, "AmazonEKSWorkerNodePolicy", worker_document);
    add_of_aws(a, "AmazonEC2ContainerRegistryReadOnly", registry_document);
    add_of_aws(a, "AmazonSSMManagedInstanceCore", ssm_document);
}

/* "arn:aws:iam::OWNER:policy/PATH/NAME" */
static struct sim_policy *make_by_arn(struct sim_aws *a, const char *arn) {
    const char *rest = strstr(arn, ":policy/"), *name = strrchr(arn, '/'), *owner = rest;
    struct sim_policy *there = strmap_get(a->policies, arn);
    if (there != NULL) {
        return there;
    }
    while (owner != NULL && owner > arn && owner[-1] != ':') {
        owner--;
    }
    if (owner == NULL || name == NULL) {
        return NULL;
    }
    const char *path =
        arena_strndup(a->scratch, rest + strlen(":policy"), (size_t)(name + 1 - rest) - strlen(":policy"));
    struct sim_policy *p = make(a, arena_strndup(a->scratch, owner, (size_t)(rest - owner)), path, name + 1);
    return p != NULL && str_eq(p->arn, arn) ? p : NULL;
}

bool sim_aws_set_policy(struct sim_aws *a, const char *policy_arn, const char *document) {
    struct sim_aws_answer ignored = {0};
    arena_reset(a->scratch);
    json *parsed = sim_document(a, document, false, OF_AWS_MAX, "PolicySize", &ignored);
    struct sim_policy *p = parsed != NULL ? make_by_arn(a, policy_arn) : NULL;
    if (p == NULL) {
        json_free(parsed);
        return false;
    }
    p->of_aws = strstr(policy_arn, ":iam::aws:policy/") != NULL;
    p->tags = p->tags != NULL ? p->tags : json_new_array();
    if (p->nversions == SIM_VERSIONS_MAX) {
        drop_version(p, &p->versions[0]);
    }
    (void)str_copy(p->default_id, sizeof p->default_id, add_version(p, document, p->created_ms)->id);
    sim_set_now(&p->document, parsed);
    return true;
}

/* --- answers --- */

static void count_uses(struct sim_aws *a, const char *arn, int *attached, int *bounds) {
    size_t it = 0;
    const char *key;
    void *role;

    *attached = *bounds = 0;
    while (strmap_next(a->roles, &it, &key, &role)) {
        const struct sim_role *r = role;
        const struct sim_history *h = sim_role_attachment(r, arn);
        const json *boundary = sim_stored(&r->boundary);
        if (sim_stored(&r->exists) != NULL) {
            *attached += h != NULL && sim_stored(h) != NULL;
            *bounds += boundary != NULL && str_eq(boundary->valuestring, arn);
        }
    }
}

static json *policy_json(struct sim_aws *a, const struct sim_policy *p) {
    json *o = json_object();
    int attached, bounds;

    count_uses(a, p->arn, &attached, &bounds);
    json_add_str(o, "PolicyName", p->name);
    json_add_str(o, "PolicyId", p->id);
    json_add_str(o, "Arn", p->arn);
    json_add_str(o, "Path", p->path);
    json_add_str(o, "DefaultVersionId", p->default_id);
    json_add_str(o, "AttachmentCount", arena_printf(a->scratch, "%d", attached));
    json_add_str(o, "PermissionsBoundaryUsageCount", arena_printf(a->scratch, "%d", bounds));
    json_add_str(o, "IsAttachable", "true");
    json_add_str(o, "Description", p->description);
    sim_add_time(o, "CreateDate", p->created_ms);
    sim_add_time(o, "UpdateDate", p->updated_ms);
    if (json_array_size(p->tags) > 0) {
        json_add_item(o, "Tags", json_dup(p->tags));
    }
    return o;
}

static json *version_json(const struct sim_policy *p, const struct sim_version *v, bool with_document) {
    json *o = json_object();
    if (with_document) {
        json_add_str(o, "Document", v->text);
    }
    json_add_str(o, "VersionId", v->id);
    json_add_str(o, "IsDefaultVersion", str_eq(v->id, p->default_id) ? "true" : "false");
    sim_add_time(o, "CreateDate", v->created_ms);
    return o;
}

/* --- reading --- */

static struct sim_policy *named(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *arn = sim_required(a, c, "PolicyArn", out);
    if (arn != NULL && (!str_has_prefix(arn, "arn:") || strlen(arn) > SIM_ARN_MAX)) {
        sim_fail(a, out, 400, "InvalidInput", "ARN %.200s is not valid.", arn);
        return NULL;
    }
    struct sim_policy *p = arn != NULL ? sim_policy_find(a, arn) : NULL;
    if (arn != NULL && p == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "Policy %s was not found.", arn);
    }
    return p;
}

/* The account's own policy, to be changed. */
static struct sim_policy *own(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_policy *p = named(a, c, out);
    if (p != NULL && p->of_aws) {
        sim_fail(a, out, 403, "AccessDenied", "Cannot change the AWS managed policy %s.", p->arn);
        return NULL;
    }
    return p;
}

static struct sim_version *named_version(struct sim_aws *a, const struct sim_aws_call *c, struct sim_policy *p,
                                         struct sim_aws_answer *out) {
    const char *id = p != NULL ? sim_required(a, c, "VersionId", out) : NULL;
    struct sim_version *v = id != NULL ? find_version(p, id) : NULL;
    if (id != NULL && v == NULL) {
        sim_fail(a, out, 404, "NoSuchEntity", "Policy %s version %.40s does not exist or is not attachable.", p->arn,
                 id);
    }
    return v;
}

static void get_policy(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_policy *p = named(a, c, out);
    if (p != NULL) {
        out->value = json_object();
        json_add_item(out->value, "Policy", policy_json(a, p));
    }
}

static void get_version(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_policy *p = named(a, c, out);
    const struct sim_version *v = named_version(a, c, p, out);
    if (v != NULL) {
        out->value = json_object();
        json_add_item(out->value, "PolicyVersion", version_json(p, v, true));
    }
}

static void give_page(struct sim_aws *a, const struct sim_aws_call *c, json *value, const char *array,
                      struct sim_aws_answer *out) {
    if (sim_page(a, c, value, array, out)) {
        out->value = value;
    } else {
        json_free(value);
    }
}

static void list_versions(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const struct sim_policy *p = named(a, c, out);
    if (p == NULL) {
        return;
    }
    json *value = json_object(), *list = json_add_array(value, "Versions");
    for (size_t i = p->nversions; i > 0; i--) { /* newest first */
        json_push(list, version_json(p, &p->versions[i - 1], false));
    }
    give_page(a, c, value, "Versions", out);
}

static void list_policies(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *scope = str_or(sim_param(c, "Scope"), "All"), *key;
    json *value = json_object(), *list = json_add_array(value, "Policies");
    size_t it = 0;
    void *policy;

    while (strmap_next(a->policies, &it, &key, &policy)) {
        const struct sim_policy *p = policy;
        bool in_scope = str_eq(scope, "All") || str_eq(scope, p->of_aws ? "AWS" : "Local");
        if (in_scope && sim_stored(&p->document) != NULL) {
            json_push(list, policy_json(a, p));
        }
    }
    give_page(a, c, value, "Policies", out);
}

/* --- writing --- */

static bool name_taken(struct sim_aws *a, const char *name) {
    size_t it = 0;
    const char *key;
    void *policy;
    while (strmap_next(a->policies, &it, &key, &policy)) {
        const struct sim_policy *p = policy;
        if (!p->of_aws && sim_stored(&p->document) != NULL && str_eq_nocase(p->name, name)) {
            return true;
        }
    }
    return false;
}

static bool check_new(struct sim_aws *a, const char *name, struct sim_aws_answer *out) {
    if (name_taken(a, name)) {
        sim_fail(a, out, 409, "EntityAlreadyExists",
                 "A policy called %s already exists. Duplicate names are not allowed.", name);
        return false;
    }
    if (sweep(a) >= SIM_AWS_POLICIES_MAX) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for PoliciesPerAccount: %d", SIM_AWS_POLICIES_MAX);
        return false;
    }
    return true;
}

static void create_policy(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    const char *name = sim_required_name(a, c, "PolicyName", POLICY_NAME_MAX, out);
    const char *text = name != NULL ? sim_required(a, c, "PolicyDocument", out) : NULL;
    const char *path = text != NULL ? sim_path(a, c, out) : NULL;
    json *document = path != NULL ? sim_document(a, text, false, SIM_POLICY_MAX, "PolicySize", out) : NULL,
         *tags = NULL;

    if (document == NULL || !sim_tags_join(a, c, &tags, out) || !check_new(a, name, out)) {
        json_free(document);
        json_free(tags);
        return;
    }
    struct sim_policy *p = make(a, a->account, path, name);
    if (p == NULL) {
        sim_fail(a, out, 409, "LimitExceeded", "Cannot exceed quota for PoliciesPerAccount: %d", SIM_AWS_POLICIES_MAX);
        json_free(document);
        json_free(tags);
        return;
    }
    p->description = sim_strdup(sim_param(c, "Description"));
    p->tags = tags;
    (void)str_copy(p->default_id, sizeof p->default_id, add_version(p, text, p->created_ms)->id);
    sim_change(a, &p->document, document);
    out->value = json_object();
    json_add_item(out->value, "Policy", policy_json(a, p));
    sim_wrote(a, "CreatePolicy %s", p->arn);
}

static void create_version(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_policy *p = own(a, c, out);
    const char *text = p != NULL ? sim_required(a, c, "PolicyDocument", out) : NULL;
    json *document = text != NULL ? sim_document(a, text, false, SIM_POLICY_MAX, "PolicySize", out) : NULL;

    if (document == NULL) {
        return;
    }
    if (p->nversions >= SIM_VERSIONS_MAX) {
        sim_fail(a, out, 409, "LimitExceeded",
                 "A managed policy can have up to %d versions. Before you create a new version, you must delete an "
                 "existing version.",
                 SIM_VERSIONS_MAX);
        json_free(document);
        return;
    }
    const struct sim_version *v = add_version(p, text, sim_wall_ms(a));
    if (str_eq(sim_param(c, "SetAsDefault"), "true")) {
        (void)str_copy(p->default_id, sizeof p->default_id, v->id);
        sim_change(a, &p->document, document);
    } else {
        json_free(document);
    }
    out->value = json_object();
    json_add_item(out->value, "PolicyVersion", version_json(p, v, false));
    sim_wrote(a, "CreatePolicyVersion %s %s", p->arn, v->id);
}

static void set_default(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_policy *p = own(a, c, out);
    const struct sim_version *v = named_version(a, c, p, out);
    struct error err;

    if (v != NULL) {
        (void)str_copy(p->default_id, sizeof p->default_id, v->id);
        sim_change(a, &p->document, json_parse(v->text, strlen(v->text), &err));
        sim_wrote(a, "SetDefaultPolicyVersion %s %s", p->arn, v->id);
    }
}

static void delete_version(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_policy *p = own(a, c, out);
    struct sim_version *v = named_version(a, c, p, out);

    if (v != NULL && str_eq(v->id, p->default_id)) {
        sim_fail(a, out, 409, "DeleteConflict", "Cannot delete the default version of a policy.");
    } else if (v != NULL) {
        sim_wrote(a, "DeletePolicyVersion %s %s", p->arn, v->id);
        drop_version(p, v);
    }
}

static void delete_policy(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_policy *p = own(a, c, out);
    int attached, bounds;

    if (p == NULL) {
        return;
    }
    count_uses(a, p->arn, &attached, &bounds);
    if (attached + bounds > 0) {
        sim_fail(a, out, 409, "DeleteConflict", "Cannot delete a policy attached to entities.");
        return;
    }
    if (p->nversions > 1) {
        sim_fail(a, out, 409, "DeleteConflict",
                 "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                 "versions. The default version is deleted with the policy.");
        return;
    }
    sim_wrote(a, "DeletePolicy %s", p->arn);
    drop_version(p, &p->versions[0]);
    json_free(p->tags);
    p->tags = NULL;
    sim_change(a, &p->document, NULL);
}

static void tag_policy(struct sim_aws *a, const struct sim_aws_call *c, struct sim_aws_answer *out) {
    struct sim_policy *p = own(a, c, out);
    if (p != NULL && sim_tags_join(a, c, &p->tags, out)) {
        sim_wrote(a, "TagPolicy %s", p->arn);
    }
}

const struct sim_operation sim_policy_operations[] = {
    {"iam:GetPolicy", get_policy},
    {"iam:ListPolicies", list_policies},
    {"iam:GetPolicyVersion", get_version},
    {"iam:ListPolicyVersions", list_versions},
    {"iam:CreatePolicy", create_policy},
    {"iam:CreatePolicyVersion", create_version},
    {"iam:SetDefaultPolicyVersion", set_default},
    {"iam:DeletePolicyVersion", delete_version},
    {"iam:DeletePolicy", delete_policy},
    {"iam:TagPolicy", tag_policy},
    {NULL, NULL},
};
