/* snapshot_shape.c - every field that a snapshot may have. What is not here is neither copied nor read. */
#include "simulator/snapshot_internal.h"

#define END                                                                                                            \
    { NULL, SHAPE_TEXT, false, NULL, NULL }

static const char *const label_keys[] = {"k8s-app",
                                         "app.kubernetes.io/name",
                                         "controller-revision-hash",
                                         "pod-template-generation",
                                         "kubernetes.io/os",
                                         "kubernetes.io/arch",
                                         "topology.kubernetes.io/zone",
                                         "node.kubernetes.io/instance-type",
                                         "eks.amazonaws.com/*",
                                         "karpenter.sh/nodepool",
                                         "alpha.eksctl.io/nodegroup-name",
                                         NULL};
static const char *const annotation_keys[] = {"eks.amazonaws.com/*", "cniiam.dev/*",
                                              "kubectl.kubernetes.io/restartedAt", NULL};
/* Switches and the identity itself: none of them is a secret. All other values are left out. */
static const char *const variable_keys[] = {"AWS_ROLE_ARN",
                                            "AWS_WEB_IDENTITY_TOKEN_FILE",
                                            "AWS_REGION",
                                            "AWS_DEFAULT_REGION",
                                            "AWS_STS_REGIONAL_ENDPOINTS",
                                            "ENABLE_IPv4",
                                            "ENABLE_IPv6",
                                            "ENABLE_PREFIX_DELEGATION",
                                            "ENABLE_POD_ENI",
                                            NULL};

static const struct shape nothing[] = {END};

/* --- Kubernetes --- */

static const struct shape owner[] = {
    {"apiVersion", SHAPE_TEXT, false, NULL, NULL},   {"kind", SHAPE_TEXT, true, NULL, NULL},
    {"name", SHAPE_TEXT, true, NULL, NULL},          {"uid", SHAPE_TEXT, true, NULL, NULL},
    {"controller", SHAPE_SWITCH, false, NULL, NULL}, END};

static const struct shape metadata[] = {{"name", SHAPE_TEXT, true, NULL, NULL},
                                        {"namespace", SHAPE_TEXT, false, NULL, NULL},
                                        {"uid", SHAPE_TEXT, false, NULL, NULL},
                                        {"creationTimestamp", SHAPE_TEXT, false, NULL, NULL},
                                        {"generation", SHAPE_NUMBER, false, NULL, NULL},
                                        {"labels", SHAPE_MAP, false, NULL, label_keys},
                                        {"annotations", SHAPE_MAP, false, NULL, annotation_keys},
                                        {"finalizers", SHAPE_TEXTS, false, NULL, NULL},
                                        {"ownerReferences", SHAPE_LIST, false, owner, NULL},
                                        END};

static const struct shape mount[] = {
    {"name", SHAPE_TEXT, true, NULL, NULL},         {"mountPath", SHAPE_TEXT, true, NULL, NULL},
    {"readOnly", SHAPE_SWITCH, false, NULL, NULL},  {"subPath", SHAPE_TEXT, false, NULL, NULL},
    {"subPathExpr", SHAPE_TEXT, false, NULL, NULL}, END};

static const struct shape container[] = {{"name", SHAPE_TEXT, true, NULL, NULL},
                                         {"image", SHAPE_TEXT, false, NULL, NULL},
                                         {"env", SHAPE_VARIABLES, false, NULL, variable_keys},
                                         {"envFrom", SHAPE_LIST, false, nothing, NULL},
                                         {"volumeMounts", SHAPE_LIST, false, mount, NULL},
                                         END};

static const struct shape token_source[] = {{"audience", SHAPE_TEXT, false, NULL, NULL},
                                            {"expirationSeconds", SHAPE_NUMBER, false, NULL, NULL},
                                            {"path", SHAPE_TEXT, true, NULL, NULL},
                                            END};
static const struct shape source[] = {{"serviceAccountToken", SHAPE_OBJECT, false, token_source, NULL}, END};
static const struct shape projected[] = {
    {"defaultMode", SHAPE_NUMBER, false, NULL, NULL}, {"sources", SHAPE_LIST, false, source, NULL}, END};
static const struct shape volume[] = {
    {"name", SHAPE_TEXT, true, NULL, NULL}, {"projected", SHAPE_OBJECT, false, projected, NULL}, END};

static const struct shape pod_spec[] = {{"nodeName", SHAPE_TEXT, false, NULL, NULL},
                                        {"serviceAccountName", SHAPE_TEXT, false, NULL, NULL},
                                        {"hostNetwork", SHAPE_SWITCH, false, NULL, NULL},
                                        {"priorityClassName", SHAPE_TEXT, false, NULL, NULL},
                                        {"terminationGracePeriodSeconds", SHAPE_NUMBER, false, NULL, NULL},
                                        {"nodeSelector", SHAPE_MAP, false, NULL, NULL},
                                        {"initContainers", SHAPE_LIST, false, container, NULL},
                                        {"containers", SHAPE_LIST, true, container, NULL},
                                        {"volumes", SHAPE_LIST, false, volume, NULL},
                                        END};

static const struct shape condition[] = {{"type", SHAPE_TEXT, true, NULL, NULL},
                                         {"status", SHAPE_TEXT, true, NULL, NULL},
                                         {"reason", SHAPE_TEXT, false, NULL, NULL},
                                         END};
static const struct shape container_status[] = {
    {"name", SHAPE_TEXT, true, NULL, NULL}, {"ready", SHAPE_SWITCH, false, NULL, NULL}, END};
static const struct shape pod_status[] = {{"phase", SHAPE_TEXT, false, NULL, NULL},
                                          {"conditions", SHAPE_LIST, false, condition, NULL},
                                          {"containerStatuses", SHAPE_LIST, false, container_status, NULL},
                                          {"initContainerStatuses", SHAPE_LIST, false, container_status, NULL},
                                          END};
static const struct shape pod[] = {{"metadata", SHAPE_OBJECT, true, metadata, NULL},
                                   {"spec", SHAPE_OBJECT, true, pod_spec, NULL},
                                   {"status", SHAPE_OBJECT, false, pod_status, NULL},
                                   END};

static const struct shape template_metadata[] = {
    {"labels", SHAPE_MAP, false, NULL, label_keys}, {"annotations", SHAPE_MAP, false, NULL, annotation_keys}, END};
static const struct shape template[] = {
    {"metadata", SHAPE_OBJECT, false, template_metadata, NULL}, {"spec", SHAPE_OBJECT, true, pod_spec, NULL}, END};
static const struct shape rolling[] = {
    {"maxUnavailable", SHAPE_COUNT, false, NULL, NULL}, {"maxSurge", SHAPE_COUNT, false, NULL, NULL}, END};
static const struct shape strategy[] = {
    {"type", SHAPE_TEXT, false, NULL, NULL}, {"rollingUpdate", SHAPE_OBJECT, false, rolling, NULL}, END};
static const struct shape selector[] = {{"matchLabels", SHAPE_MAP, false, NULL, label_keys}, END};
static const struct shape daemon_set_spec[] = {{"selector", SHAPE_OBJECT, false, selector, NULL},
                                               {"updateStrategy", SHAPE_OBJECT, false, strategy, NULL},
                                               {"template", SHAPE_OBJECT, true, template, NULL},
                                               END};
static const struct shape daemon_set_status[] = {{"observedGeneration", SHAPE_NUMBER, false, NULL, NULL},
                                                 {"desiredNumberScheduled", SHAPE_NUMBER, false, NULL, NULL},
                                                 {"currentNumberScheduled", SHAPE_NUMBER, false, NULL, NULL},
                                                 {"updatedNumberScheduled", SHAPE_NUMBER, false, NULL, NULL},
                                                 {"numberReady", SHAPE_NUMBER, false, NULL, NULL},
                                                 {"numberAvailable", SHAPE_NUMBER, false, NULL, NULL},
                                                 {"numberMisscheduled", SHAPE_NUMBER, false, NULL, NULL},
                                                 END};
static const struct shape daemon_set[] = {{"metadata", SHAPE_OBJECT, true, metadata, NULL},
                                          {"spec", SHAPE_OBJECT, true, daemon_set_spec, NULL},
                                          {"status", SHAPE_OBJECT, false, daemon_set_status, NULL},
                                          END};

static const struct shape service_account[] = {{"metadata", SHAPE_OBJECT, true, metadata, NULL}, END};

static const struct shape node_spec[] = {
    {"providerID", SHAPE_TEXT, false, NULL, NULL}, {"unschedulable", SHAPE_SWITCH, false, NULL, NULL}, END};
static const struct shape node_status[] = {{"conditions", SHAPE_LIST, false, condition, NULL}, END};
static const struct shape node[] = {{"metadata", SHAPE_OBJECT, true, metadata, NULL},
                                    {"spec", SHAPE_OBJECT, false, node_spec, NULL},
                                    {"status", SHAPE_OBJECT, false, node_status, NULL},
                                    END};

static const struct shape binding[] = {
    {"apiVersion", SHAPE_TEXT, true, NULL, NULL},     {"kind", SHAPE_TEXT, true, NULL, NULL},
    {"metadata", SHAPE_OBJECT, true, metadata, NULL}, {"spec", SHAPE_TREE, false, NULL, NULL},
    {"status", SHAPE_TREE, false, NULL, NULL},        END};

static const struct shape lease[] = {
    {"holderIdentity", SHAPE_TEXT, false, NULL, NULL}, {"renewTime", SHAPE_TEXT, false, NULL, NULL}, END};

static const struct shape kubernetes[] = {{"clusterUid", SHAPE_TEXT, true, NULL, NULL},
                                          {"issuer", SHAPE_TEXT, false, NULL, NULL},
                                          {"webhook", SHAPE_TEXT, true, NULL, NULL},
                                          {"lease", SHAPE_OBJECT, false, lease, NULL},
                                          {"serviceAccount", SHAPE_OBJECT, false, service_account, NULL},
                                          {"daemonSet", SHAPE_OBJECT, false, daemon_set, NULL},
                                          {"nodes", SHAPE_LIST, true, node, NULL},
                                          {"pods", SHAPE_LIST, true, pod, NULL},
                                          {"bindings", SHAPE_LIST, true, binding, NULL},
                                          END};

/* --- AWS --- */

static const struct shape cluster[] = {{"name", SHAPE_TEXT, true, NULL, NULL},
                                       {"arn", SHAPE_TEXT, true, NULL, NULL},
                                       {"version", SHAPE_TEXT, false, NULL, NULL},
                                       {"issuer", SHAPE_TEXT, false, NULL, NULL},
                                       {"ipFamily", SHAPE_TEXT, false, NULL, NULL},
                                       {"autoMode", SHAPE_SWITCH, false, NULL, NULL},
                                       END};
static const struct shape addon[] = {{"addonName", SHAPE_TEXT, true, NULL, NULL},
                                     {"addonVersion", SHAPE_TEXT, false, NULL, NULL},
                                     {"status", SHAPE_TEXT, false, NULL, NULL},
                                     {"serviceAccountRoleArn", SHAPE_TEXT, false, NULL, NULL},
                                     END};
static const struct shape association[] = {{"associationId", SHAPE_TEXT, true, NULL, NULL},
                                           {"associationArn", SHAPE_TEXT, false, NULL, NULL},
                                           {"namespace", SHAPE_TEXT, true, NULL, NULL},
                                           {"serviceAccount", SHAPE_TEXT, true, NULL, NULL},
                                           END};
static const struct shape node_group[] = {{"name", SHAPE_TEXT, true, NULL, NULL},
                                          {"nodeRole", SHAPE_TEXT, false, NULL, NULL},
                                          {"status", SHAPE_TEXT, false, NULL, NULL},
                                          END};
static const struct shape provider[] = {{"arn", SHAPE_TEXT, true, NULL, NULL},
                                        {"url", SHAPE_TEXT, true, NULL, NULL},
                                        {"clientIds", SHAPE_TEXTS, true, NULL, NULL},
                                        {"tags", SHAPE_MAP, false, NULL, NULL},
                                        END};
static const struct shape inline_policy[] = {
    {"name", SHAPE_TEXT, true, NULL, NULL}, {"document", SHAPE_TREE, true, NULL, NULL}, END};
static const struct shape role[] = {{"name", SHAPE_TEXT, true, NULL, NULL},
                                    {"path", SHAPE_TEXT, true, NULL, NULL},
                                    {"arn", SHAPE_TEXT, true, NULL, NULL},
                                    {"description", SHAPE_TEXT, false, NULL, NULL},
                                    {"maxSessionSeconds", SHAPE_NUMBER, false, NULL, NULL},
                                    {"permissionsBoundary", SHAPE_TEXT, false, NULL, NULL},
                                    {"tags", SHAPE_MAP, false, NULL, NULL},
                                    {"trust", SHAPE_TREE, true, NULL, NULL},
                                    {"attachedPolicies", SHAPE_TEXTS, true, NULL, NULL},
                                    {"inlinePolicies", SHAPE_LIST, true, inline_policy, NULL},
                                    END};
static const struct shape policy[] = {
    {"arn", SHAPE_TEXT, true, NULL, NULL}, {"document", SHAPE_TREE, false, NULL, NULL}, END};
static const struct shape profile[] = {{"name", SHAPE_TEXT, true, NULL, NULL},
                                       {"arn", SHAPE_TEXT, true, NULL, NULL},
                                       {"role", SHAPE_TEXT, false, NULL, NULL},
                                       END};
static const struct shape instance[] = {{"id", SHAPE_TEXT, true, NULL, NULL},
                                        {"state", SHAPE_TEXT, false, NULL, NULL},
                                        {"profile", SHAPE_TEXT, false, NULL, NULL},
                                        {"clusterTag", SHAPE_TEXT, false, NULL, NULL},
                                        END};

static const struct shape account[] = {{"account", SHAPE_TEXT, true, NULL, NULL},
                                       {"region", SHAPE_TEXT, true, NULL, NULL},
                                       {"cluster", SHAPE_OBJECT, true, cluster, NULL},
                                       {"addon", SHAPE_OBJECT, false, addon, NULL},
                                       {"association", SHAPE_OBJECT, false, association, NULL},
                                       {"nodeGroups", SHAPE_LIST, false, node_group, NULL},
                                       {"providers", SHAPE_LIST, true, provider, NULL},
                                       {"roles", SHAPE_LIST, true, role, NULL},
                                       {"absentRoles", SHAPE_TEXTS, true, NULL, NULL},
                                       {"policies", SHAPE_LIST, true, policy, NULL},
                                       {"profiles", SHAPE_LIST, true, profile, NULL},
                                       {"instances", SHAPE_LIST, true, instance, NULL},
                                       END};

const struct shape snapshot_shape[] = {
    {"kind", SHAPE_TEXT, true, NULL, NULL},      {"version", SHAPE_NUMBER, true, NULL, NULL},
    {"takenAt", SHAPE_TEXT, true, NULL, NULL},   {"takenBy", SHAPE_TEXT, false, NULL, NULL},
    {"unknown", SHAPE_TEXTS, false, NULL, NULL}, {"kubernetes", SHAPE_OBJECT, true, kubernetes, NULL},
    {"aws", SHAPE_OBJECT, true, account, NULL},  END};
