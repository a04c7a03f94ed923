"""The definition, RBAC and admission policies, as a real API server takes them."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from testbed.controlplane import ApiError, ControlPlane, wait_until  # noqa: E402

OPERATOR = "system:serviceaccount:kube-system:cni-iam"
ROLE = "arn:aws:iam::111122223333:role/cni"
CRD = yaml.safe_load((ROOT / "crd/cniiambindings.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

DEFAULTS = {
    "mode": "Enforce",
    "identity": {"type": "IRSA"},
    "role": {"management": "Manage"},
    "permissions": {"ipFamily": "Auto"},
    "serviceAccount": {},
    "rollout": {"proofSeconds": 60, "settleSeconds": 30, "progressDeadlineSeconds": 600},
    "nodeRole": {"detach": "OnApproval", "soakSeconds": 300},
    "deletionPolicy": "Restore",
    "suspend": False,
}


@pytest.fixture(scope="module")
def cluster():
    with ControlPlane("https://oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF") as world:
        world.add_node("node-1", "aws:///us-west-2a/i-00000000000000001")
        world.deploy_aws_node()
        world.kubectl("apply", "-k", ROOT / "manifests/base")
        world.kubectl("wait", "--for=condition=Established", "crd/cniiambindings.cniiam.dev", "--timeout=20s")
        wait_until(lambda: "cniiambindings" in world.kubectl("api-resources", check=False).stdout, 20, "the API is there")
        yield world


@pytest.fixture(scope="module")
def operator(cluster):
    """The API with the rights of the operator, as manifests/base gives them."""
    return cluster.api_as(token=cluster.mint_token("kube-system", "cni-iam"), user_agent="cni-iam/test")


def binding(spec, name="t"):
    return {"apiVersion": "cniiam.dev/v1alpha1", "kind": "CniIamBinding", "metadata": {"name": name}, "spec": spec}


def create(cluster, spec, name="t", dry_run=True):
    return cluster.api.create("cniiambindings", binding(spec, name), dry_run=dry_run)


@pytest.fixture
def stored(cluster):
    """A binding with `spec: {}`; gone afterwards."""
    yield create(cluster, {}, "stored", dry_run=False)
    cluster.api.delete("cniiambindings", "stored")


# ------------------------------------------------------------------------------------------------------------- install


def test_kubectl_apply_of_the_folder_installs_the_definition_alone(cluster):
    out = cluster.kubectl("apply", "--dry-run=server", "-f", ROOT / "crd").stdout
    assert out.split() == ["customresourcedefinition.apiextensions.k8s.io/cniiambindings.cniiam.dev", "unchanged",
                           "(server", "dry", "run)"]


def test_the_base_applies_twice_without_a_change(cluster):
    out = cluster.kubectl("apply", "-k", ROOT / "manifests/base").stdout
    assert "created" not in out and "configured" not in out, out
    assert out.count("unchanged") == 7


@pytest.mark.parametrize("path", sorted((ROOT / "manifests/examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_examples_are_accepted_as_they_stand(cluster, path):
    cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", path)


def test_what_gitops_tools_must_not_prune_says_so(cluster):
    for thing in yaml.safe_load_all(cluster.kubectl("kustomize", ROOT / "manifests/base").stdout):
        annotations = thing["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false", thing["kind"]
        assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
        assert annotations["helm.sh/resource-policy"] == "keep"


def test_the_operator_does_not_need_what_it_guards(cluster):
    pod = cluster.api.get("deployments", "cni-iam", "kube-system")["spec"]["template"]["spec"]
    assert pod["hostNetwork"] and pod["dnsPolicy"] == "Default" and pod["priorityClassName"] == "system-cluster-critical"
    container = pod["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] and container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    assert {p["hostIP"] for p in container["ports"]} == {"127.0.0.1"}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["host"] == "127.0.0.1"


# -------------------------------------------------------------------------------------------------------------- schema


@pytest.mark.parametrize("spec", [
    {},
    {"identity": {}, "role": {}, "permissions": {}, "serviceAccount": {}, "rollout": {}, "nodeRole": {}},
    {"mode": None, "rollout": None, "nodeRole": {"detach": None}},
], ids=["empty", "empty parents", "nulls"])
def test_defaults(cluster, spec):
    assert create(cluster, spec)["spec"] == DEFAULTS


def test_a_binding_needs_no_spec_at_all(cluster):
    body = binding({})
    del body["spec"]
    assert cluster.api.create("cniiambindings", body, dry_run=True)["spec"] == DEFAULTS


def test_null_is_kept_where_it_means_something(cluster):
    assert create(cluster, {"serviceAccount": {"stsRegionalEndpoints": None}})["spec"]["serviceAccount"] == {"stsRegionalEndpoints": None}


ARN_OF_POLICY = "arn:aws:iam::111122223333:policy/p"
REFUSED = [
    ({"mode": "enforce"}, "Unsupported value"),
    ({"cluster": {"name": "-x"}}, "Write the name of the EKS cluster"),
    ({"cluster": {"region": "us-west"}}, "Write an AWS Region, like us-west-2"),
    ({"cluster": {"region": "us-west-2.evil.example"}}, "Write an AWS Region"),
    ({"cluster": {"accountID": "123"}}, "Write the 12 digits of the AWS account in quotes"),
    ({"cluster": {"accountID": 111122223333}}, "must be of type string"),
    ({"identity": {"type": "PodIdentity"}}, "PodIdentity is not supported yet. Write IRSA"),
    ({"role": {"name": "a", "arn": ROLE, "management": "Adopt"}}, "role.name and role.arn exclude each other"),
    ({"role": {"arn": ROLE}}, "Add management: Adopt"),
    ({"role": {"arn": ROLE, "management": "Adopt", "path": "/x/"}}, "Remove role.path"),
    ({"role": {"management": "Adopt"}}, "Write role.arn or role.name"),
    ({"role": {"management": "Reference"}}, "Write role.arn or role.name"),
    ({"role": {"arn": ROLE, "management": "Reference", "tags": {"a": "b"}}}, "nothing of the role is changed"),
    ({"role": {"arn": ROLE, "management": "Reference", "maxSessionDurationSeconds": 3600}}, "nothing of the role is changed"),
    ({"role": {"name": "a/b"}}, "Write at most 64 letters"),
    ({"role": {"name": ""}}, "Write at most 64 letters"),
    ({"role": {"name": "a" * 65}}, "Too long: may not be more than 64"),
    ({"role": {"arn": "arn:aws:iam::1111:role/x", "management": "Adopt"}}, "Write the ARN of a role"),
    ({"role": {"arn": "arn:gcp:iam::111122223333:role/x", "management": "Adopt"}}, "Write the ARN of a role"),
    ({"role": {"arn": "arn:aws:iam::111122223333:user/x", "management": "Adopt"}}, "Write the ARN of a role"),
    ({"role": {"arn": "arn:aws:iam::aws:role/x", "management": "Adopt"}}, "Write the ARN of a role"),
    ({"role": {"path": "cni"}}, "Write a path that starts and ends with a slash"),
    ({"role": {"path": "/a//"}}, "Write a path that starts and ends with a slash"),
    ({"role": {"permissionsBoundaryARN": ROLE}}, "Write the ARN of a policy"),
    ({"role": {"tags": {"aws:x": "y"}}}, "The prefixes aws: and cniiam.dev/ are reserved"),
    ({"role": {"tags": {"cniiam.dev/managed-by": "y"}}}, "The prefixes aws: and cniiam.dev/ are reserved"),
    ({"role": {"tags": {"a": "<"}}}, "Write tags of letters"),
    ({"role": {"tags": {"a" * 129: "x"}}}, "Write tags of letters"),
    ({"role": {"tags": {"a": "x" * 257}}}, "Too long"),
    ({"role": {"tags": {f"k{i}": "" for i in range(41)}}}, "Too many"),
    ({"role": {"description": "\u6c49"}}, "Write a description of Latin-1 characters"),
    ({"role": {"maxSessionDurationSeconds": 60}}, "greater than or equal to 3600"),
    ({"permissions": {"policyARNs": ["AmazonEKS_CNI_Policy"]}}, "Write ARNs of policies"),
    ({"permissions": {"policyARNs": [ARN_OF_POLICY, ARN_OF_POLICY]}}, "Duplicate value"),
    ({"serviceAccount": {"stsRegionalEndpoints": "true"}}, "must be of type boolean"),
    ({"rollout": {"proofSeconds": -1}}, "greater than or equal to 0"),
    ({"rollout": {"settleSeconds": 86401}}, "less than or equal to 86400"),
    ({"rollout": {"progressDeadlineSeconds": 1.5}}, "must be of type integer"),
    ({"nodeRole": {"soakSeconds": -1}}, "greater than or equal to 0"),
    ({"nodeRole": {"detach": "Always"}}, "Unsupported value"),
    ({"nodeRole": {"roleARNs": ["node"]}}, "Write ARNs of roles"),
    ({"nodeRole": {"foreignConsumers": ["a b"]}}, "Write ARNs or ids without blanks"),
    ({"nodeRole": {"foreignConsumers": [f"i-{i}" for i in range(65)]}}, "Too many"),
    ({"deletionPolicy": "Delete"}, "Unsupported value"),
]


@pytest.mark.parametrize("spec, sentence", REFUSED, ids=lambda v: json.dumps(v)[:60] if isinstance(v, dict) else "")
def test_refused_with_a_sentence(cluster, spec, sentence):
    with pytest.raises(ApiError) as refusal:
        create(cluster, spec)
    assert refusal.value.code == 422
    assert sentence in refusal.value.message


def test_every_rule_of_the_schema_has_a_refusal_above(cluster):
    """A rule that no test sees refuse may be dead."""
    sentences = {rule["message"] for rule in rules_of(SCHEMA["properties"]["spec"])}
    untested = [s for s in sentences if not any(part in s for _, part in REFUSED)]
    assert not untested


def rules_of(node):
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "x-kubernetes-validations":
            yield from value
        else:
            yield from rules_of(value)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-f"])
def test_partitions(cluster, partition):
    create(cluster, {"role": {"arn": f"arn:{partition}:iam::111122223333:role/a/b/c", "management": "Adopt"},
                     "permissions": {"policyARNs": [f"arn:{partition}:iam::aws:policy/AmazonEKS_CNI_Policy"]}})


@pytest.mark.parametrize("region", ["us-west-2", "us-gov-east-1", "cn-northwest-1", "ap-southeast-7", "us-isob-east-1", "eusc-de-east-1"])
def test_regions(cluster, region):
    create(cluster, {"cluster": {"region": region}})


def test_zero_is_a_wait(cluster):
    spec = create(cluster, {"rollout": {"proofSeconds": 0, "settleSeconds": 0, "progressDeadlineSeconds": 0},
                            "nodeRole": {"soakSeconds": 0}})["spec"]
    assert set(spec["rollout"].values()) == {0} and spec["nodeRole"]["soakSeconds"] == 0


def test_unknown_fields_are_refused_by_kubectl_and_dropped_otherwise(cluster):
    done = cluster.kubectl("create", "-f", "-", input=json.dumps(binding({"rol": {"name": "x"}})), check=False)
    assert done.returncode and 'unknown field "spec.rol"' in done.stderr
    assert "rol" not in create(cluster, {"rol": {}})["spec"]


def pin(cluster, name):
    status = {"cluster": {"name": "prod", "region": "us-west-2", "arn": "arn:aws:eks:us-west-2:111122223333:cluster/prod"}}
    cluster.api.patch("cniiambindings", name, {"status": status}, subresource="status")


def test_the_cluster_is_fixed_once_it_is_pinned_also_by_way_of_unsetting_it(cluster, stored):
    def change(spec):
        return cluster.api.patch("cniiambindings", "stored", {"spec": spec})

    change({"cluster": {"name": "typo", "region": "eu-west-1"}})  # nothing is pinned yet: a slip can be mended
    change({"cluster": {"name": "prod", "region": "us-west-2"}})
    pin(cluster, "stored")
    for field, value in (("name", "other"), ("region", "eu-west-1")):
        with pytest.raises(ApiError, match="belongs to the cluster in status.cluster"):
            change({"cluster": {field: value}})
    change({"cluster": None})
    with pytest.raises(ApiError, match="belongs to the cluster in status.cluster"):
        change({"cluster": {"name": "other"}})
    change({"cluster": {"name": "prod"}, "mode": "Plan"})


def test_lists_are_sets_to_server_side_apply(cluster, stored):
    def apply(manager, consumer):
        body = {**binding({"nodeRole": {"foreignConsumers": [consumer]}}, "stored")}
        return cluster.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", input=json.dumps(body))

    apply("one", "i-1")
    apply("two", "i-2")
    assert sorted(cluster.api.get("cniiambindings", "stored")["spec"]["nodeRole"]["foreignConsumers"]) == ["i-1", "i-2"]


# -------------------------------------------------------------------------------------------------------- for people


def nodes_of(schema, path=""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes_of(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes_of(schema["items"], f"{path}[]")


def test_every_field_is_described_and_every_string_and_list_ends(cluster):
    for path, node in nodes_of(SCHEMA):
        if path == ".metadata":
            continue  # the API server's own
        if not path.endswith("[]"):
            assert node.get("description"), path
        if node["type"] == "string" and path not in (".apiVersion", ".kind"):
            assert "maxLength" in node or "enum" in node or node.get("format") == "date-time", path
        if node["type"] == "array":
            assert "maxItems" in node, path


def test_kubectl_explain(cluster):
    out = cluster.kubectl("explain", "cib", "--recursive").stdout
    assert "foreignConsumers" in out and "mayDetach" in out
    out = cluster.kubectl("explain", "cib.spec.nodeRole.detach").stdout
    assert "ENUM: OnApproval Never Automatic" in " ".join(out.split())
    assert "detaches the policy once the digest" in " ".join(out.split())


FULL_STATUS = {
    "observedGeneration": 9007199254740993,
    "cluster": {"name": "prod", "region": "us-west-2", "arn": "arn:c", "issuer": "https://i", "accountID": "111122223333"},
    "role": {"arn": ROLE, "name": "cni", "id": "AROA", "created": True, "earlierARNs": [ROLE]},
    "provider": {"arn": "arn:p", "created": True},
    "policies": {"arns": ["arn:a"], "createdARN": "arn:b"},
    "prior": {"recorded": True, "roleARN": "", "stsRegionalEndpoints": "true", "worked": True},
    "rollout": {"roleARN": ROLE, "annotatedAt": "2026-01-02T03:04:05Z", "restartKey": "k", "canaryUID": "u",
                "canaryAt": "2026-01-02T03:04:05Z"},
    "nodes": {"total": 10, "proven": 9, "summary": "9/10"},
    "nodeRoles": [{"arn": "arn:n", "name": "n", "attached": ["p", "p"], "detached": ["p"], "findings": ["f"],
                   "mayDetach": False, "reason": "ForeignConsumer", "message": "m", "consumersKnown": True,
                   "probedAt": "2026-01-02T03:04:05Z",
                   "intent": {"action": "Detach", "policyARN": "p", "digest": "d", "epoch": 3, "at": "2026-01-02T03:04:05Z"}}],
    "gates": [{"name": "G1", "state": "Passed", "since": "2026-01-02T03:04:05Z", "evidence": "e"},
              {"name": "G8", "state": "NotApplicable"}],
    "plan": {"digest": "d", "steps": ["+ x", "+ x"]},
    "approval": {"digest": "d", "at": "2026-01-02T03:04:05Z", "used": True},
    "guard": {"fired": True, "reason": "r", "at": "2026-01-02T03:04:05Z"},
    "phase": "RollingBack",
    "epoch": 3,
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "RollingOut", "message": "9 of 10", "observedGeneration": 1,
         "lastTransitionTime": "2026-01-02T03:04:05Z"},
        {"type": "NodeRoleDetached", "status": "False", "reason": "AwaitingApproval", "message": "", "observedGeneration": 1,
         "lastTransitionTime": "2026-01-02T03:04:05Z"}],
}


def test_a_full_status_survives_and_is_printed(cluster, operator, stored):
    body = {**binding({}, "stored"), "status": FULL_STATUS}
    body["metadata"]["uid"] = stored["metadata"]["uid"]
    operator.request("PATCH", "/apis/cniiam.dev/v1alpha1/cniiambindings/stored/status", body,
                     {"fieldManager": "cni-iam", "force": "true", "fieldValidation": "Strict"},
                     content_type="application/apply-patch+yaml")
    assert cluster.api.get("cniiambindings", "stored")["status"] == FULL_STATUS
    header, row = cluster.kubectl("get", "cib", "stored").stdout.splitlines()
    assert re.split(r"\s{2,}", header.strip()) == ["NAME", "READY", "REASON", "MODE", "IDENTITY", "NODES", "NODE ROLE", "AGE"]
    assert row.split()[1:7] == ["False", "RollingOut", "Enforce", "IRSA", "9/10", "AwaitingApproval"]
    wide = cluster.kubectl("get", "cib", "stored", "-o", "wide").stdout
    assert ROLE in wide and "9 of 10" in wide


def test_the_encoder_writes_only_what_the_schema_has(cluster):
    known = {path.rsplit(".", 1)[-1] for path, _ in nodes_of(SCHEMA["properties"]["status"])}
    known |= {"apiVersion", "kind", "name", "uid", "resourceVersion", "metadata", "status"}
    source = (ROOT / "crd/binding_status.c").read_text()
    written = set(re.findall(r'add_\w+\(\w+, "(\w+)"', source))
    assert len(written) > 50
    assert written <= known


def test_selectable_fields(cluster, stored):
    names = cluster.kubectl("get", "cib", "-o", "name", "--field-selector=spec.mode=Enforce,spec.identity.type=IRSA").stdout
    assert "stored" in names
    assert not cluster.kubectl("get", "cib", "-o", "name", "--field-selector=spec.nodeRole.detach=Automatic").stdout


# ---------------------------------------------------------------------------------------------------------------- RBAC

# verb, group/resource[/subresource], name, namespace, allowed
RBAC = [
    ("get", "cniiam.dev/cniiambindings", "", "", True),
    ("list", "cniiam.dev/cniiambindings", "", "", True),
    ("watch", "cniiam.dev/cniiambindings", "", "", True),
    ("patch", "cniiam.dev/cniiambindings", "x", "", True),
    ("update", "cniiam.dev/cniiambindings", "x", "", False),
    ("create", "cniiam.dev/cniiambindings", "", "", False),
    ("delete", "cniiam.dev/cniiambindings", "x", "", False),
    ("patch", "cniiam.dev/cniiambindings/status", "x", "", True),
    ("get", "/serviceaccounts", "aws-node", "kube-system", True),
    ("watch", "/serviceaccounts", "aws-node", "kube-system", True),
    ("patch", "/serviceaccounts", "aws-node", "kube-system", True),
    ("patch", "/serviceaccounts", "cni-iam", "kube-system", False),
    ("patch", "/serviceaccounts", "aws-node", "default", False),
    ("create", "/serviceaccounts", "", "kube-system", False),
    ("list", "/serviceaccounts", "", "", True),
    ("watch", "/serviceaccounts", "", "", False),
    ("create", "/serviceaccounts/token", "aws-node", "kube-system", True),
    ("create", "/serviceaccounts/token", "cni-iam", "kube-system", False),
    ("create", "/serviceaccounts/token", "aws-node", "default", False),
    ("get", "apps/daemonsets", "aws-node", "kube-system", True),
    ("list", "apps/daemonsets", "aws-node", "kube-system", True),
    ("watch", "apps/daemonsets", "aws-node", "kube-system", True),
    ("patch", "apps/daemonsets", "aws-node", "kube-system", True),
    ("patch", "apps/daemonsets", "kube-proxy", "kube-system", False),
    ("update", "apps/daemonsets", "aws-node", "kube-system", False),
    ("delete", "apps/daemonsets", "aws-node", "kube-system", False),
    ("list", "apps/daemonsets", "", "kube-system", False),
    ("patch", "apps/daemonsets/status", "aws-node", "kube-system", False),
    ("list", "/pods", "", "kube-system", True),
    ("watch", "/pods", "", "kube-system", True),
    ("delete", "/pods", "aws-node-x", "kube-system", True),
    ("create", "/pods", "", "kube-system", True),
    ("create", "/pods", "", "default", False),
    ("delete", "/pods", "x", "default", False),
    ("create", "/pods/exec", "aws-node-x", "kube-system", False),
    ("patch", "/pods", "aws-node-x", "kube-system", False),
    ("list", "/nodes", "", "", True),
    ("patch", "/nodes", "node-1", "", False),
    ("list", "/events", "", "kube-system", True),
    ("create", "events.k8s.io/events", "", "kube-system", True),
    ("patch", "events.k8s.io/events", "x", "kube-system", True),
    ("create", "events.k8s.io/events", "", "default", False),
    ("get", "coordination.k8s.io/leases", "cni-iam", "kube-system", True),
    ("update", "coordination.k8s.io/leases", "cni-iam", "kube-system", True),
    ("create", "coordination.k8s.io/leases", "", "kube-system", True),
    ("update", "coordination.k8s.io/leases", "kube-scheduler", "kube-system", False),
    ("delete", "coordination.k8s.io/leases", "cni-iam", "kube-system", False),
    ("get", "/namespaces", "kube-system", "", True),
    ("get", "/namespaces", "default", "", False),
    ("get", "/secrets", "x", "kube-system", False),
    ("list", "/secrets", "", "", False),
    ("get", "/configmaps", "x", "kube-system", False),
    ("create", "authorization.k8s.io/selfsubjectaccessreviews", "", "", True),
    ("impersonate", "/users", "", "", False),
    ("escalate", "rbac.authorization.k8s.io/clusterroles", "", "", False),
    ("bind", "rbac.authorization.k8s.io/clusterroles", "", "", False),
    ("patch", "apiextensions.k8s.io/customresourcedefinitions", "cniiambindings.cniiam.dev", "", False),
    ("create", "admissionregistration.k8s.io/validatingadmissionpolicies", "", "", False),
    ("*", "*/*", "", "", False),
]


def test_rbac(cluster, operator):
    wrong = []
    for verb, what, name, namespace, allowed in RBAC:
        group, resource, *subresource = what.split("/")
        attributes = {"verb": verb, "group": group, "resource": resource, "name": name, "namespace": namespace,
                      "subresource": subresource[0] if subresource else ""}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
        answer = operator.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        if answer["status"]["allowed"] != allowed:
            wrong.append((verb, what, name, namespace, answer["status"]))
    assert not wrong


def test_named_lists_work_with_a_field_selector(operator):
    for path in ("/api/v1/namespaces/kube-system/serviceaccounts", "/apis/apps/v1/namespaces/kube-system/daemonsets"):
        answer = operator.request("GET", path, query={"fieldSelector": "metadata.name=aws-node"})
        assert [item["metadata"]["name"] for item in answer["items"]] == ["aws-node"]
    with pytest.raises(ApiError) as refusal:
        operator.request("GET", "/apis/apps/v1/namespaces/kube-system/daemonsets")
    assert refusal.value.code == 403


# ----------------------------------------------------------------------------------------------------------- admission


def refused(call, sentence):
    with pytest.raises(ApiError) as refusal:
        call()
    assert sentence in refusal.value.message, refusal.value.message


@pytest.fixture(scope="class")
def policies(cluster, operator):
    cluster.kubectl("apply", "-k", ROOT / "manifests/admission")

    def in_force():
        try:
            operator.create("serviceaccounts", {"spec": {}}, "kube-system", "aws-node", "token")
        except ApiError as refusal:
            return refusal.code in (403, 422)
        return False

    wait_until(in_force, 20, "the admission policies are in force")
    time.sleep(1)  # each of the others comes by itself
    yield
    cluster.kubectl("delete", "-k", ROOT / "manifests/admission")


def patch_template(api, annotations, **more):
    return api.patch("daemonsets", "aws-node", {"spec": {"template": {"metadata": {"annotations": annotations}}, **more}},
                     "kube-system", type="strategic")


@pytest.mark.usefixtures("policies")
class TestAdmission:
    def test_no_policy_has_a_type_error(self, cluster):
        for policy in cluster.api.list("validatingadmissionpolicies"):
            wait_until(lambda: cluster.api.get("validatingadmissionpolicies", policy["metadata"]["name"]).get("status"), 20, "checked")
            status = cluster.api.get("validatingadmissionpolicies", policy["metadata"]["name"])["status"]
            assert not status.get("typeChecking", {}).get("expressionWarnings"), policy["metadata"]["name"]

    def test_tokens_for_aws_only(self, operator):
        def ask(*audiences):
            return operator.create("serviceaccounts", {"spec": {"audiences": list(audiences)}}, "kube-system", "aws-node", "token")

        assert ask("sts.amazonaws.com")["status"]["token"]
        refused(lambda: ask("https://kubernetes.default.svc"), "audience sts.amazonaws.com only")
        refused(lambda: ask("sts.amazonaws.com", "other"), "audience sts.amazonaws.com only")

    def test_one_template_annotation_only(self, operator, cluster):
        patch_template(operator, {"cniiam.dev/restarted-for": "abc"})
        refused(lambda: patch_template(operator, {"other": "x"}), "no other template annotation")
        image = {"template": {"spec": {"containers": [{"name": "aws-node", "image": "evil"}]}}}
        refused(lambda: operator.patch("daemonsets", "aws-node", {"spec": image}, "kube-system", type="strategic"), "nothing of a DaemonSet but")
        refused(lambda: operator.patch("daemonsets", "aws-node", {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}},
                                       "kube-system"), "nothing of a DaemonSet but")
        patch_template(cluster.api, {"cniiam.dev/restarted-for": None, "other": "y"})  # anybody else may
        refused(lambda: patch_template(operator, {"other": None}), "no other template annotation")
        patch_template(cluster.api, {"other": None})

    def test_pods_as_a_dry_run_only(self, operator, cluster):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        operator.create("pods", pod, "kube-system", dry_run=True)
        refused(lambda: operator.create("pods", pod, "kube-system"), "as a dry run only")
        cluster.api.create("pods", pod, "kube-system")
        refused(lambda: operator.delete("pods", "p", "kube-system"), "k8s-app=aws-node only")
        cluster.api.delete("pods", "p", "kube-system", grace_seconds=0)

    def test_two_annotations_of_the_service_account(self, operator, cluster):
        def annotate(api, **annotations):
            body = {"metadata": {"annotations": {key.replace("_", "-"): value for key, value in annotations.items()}}}
            return api.patch("serviceaccounts", "aws-node", body, "kube-system")

        operator.patch("serviceaccounts", "aws-node", {"metadata": {"annotations": {
            "eks.amazonaws.com/role-arn": ROLE, "eks.amazonaws.com/sts-regional-endpoints": "true"}}}, "kube-system")
        refused(lambda: annotate(operator, other="x"), "no more of a ServiceAccount")
        refused(lambda: operator.patch("serviceaccounts", "aws-node", {"imagePullSecrets": [{"name": "x"}]}, "kube-system"),
                "no more of a ServiceAccount")
        operator.patch("serviceaccounts", "aws-node", {"metadata": {"annotations": {
            "eks.amazonaws.com/role-arn": None, "eks.amazonaws.com/sts-regional-endpoints": None}}}, "kube-system")

    def test_bindings_are_not_its_own_to_write(self, operator, stored):
        operator.patch("cniiambindings", "stored", {"metadata": {"finalizers": ["cniiam.dev/restore"]}})
        refused(lambda: operator.patch("cniiambindings", "stored", {"spec": {"mode": "Plan"}}), "may not change what is wanted")
        refused(lambda: operator.patch("cniiambindings", "stored", {"metadata": {"annotations": {"cniiam.dev/approve": "x"}}}),
                "may not approve its own plan")
        operator.patch("cniiambindings", "stored", {"metadata": {"finalizers": None}})

    def test_nobody_else_changes_the_role(self, cluster):
        cluster.kubectl("create", "clusterrole", "editor", "--verb=patch,get", "--resource=serviceaccounts")
        cluster.kubectl("create", "clusterrolebinding", "editor", "--clusterrole=editor", "--user=editor")
        annotate = ("annotate", "--overwrite", "-n", "kube-system", "sa", "aws-node")
        done = cluster.kubectl(*annotate, f"eks.amazonaws.com/role-arn={ROLE}", "--as=editor", check=False)
        assert done.returncode and "A CniIamBinding rules the role" in done.stderr
        cluster.kubectl(*annotate, "team=x", "--as=editor")
        cluster.kubectl(*annotate, f"eks.amazonaws.com/role-arn={ROLE}")  # system:masters: break glass
        cluster.kubectl("annotate", "-n", "kube-system", "sa", "aws-node", "eks.amazonaws.com/role-arn-", "team-")


def test_fail_closed_refuses_pods_that_were_not_injected(cluster):
    cluster.kubectl("apply", "-k", ROOT / "manifests/admission/fail-closed")
    template = cluster.aws_node_pod_template()

    def try_to_create(pod):
        try:
            made = cluster.api.create("pods", pod, "kube-system")
        except ApiError as refusal:
            return refusal.message
        cluster.api.delete("pods", made["metadata"]["name"], "kube-system", grace_seconds=0)
        return ""

    wait_until(lambda: "did not inject" in try_to_create(template), 20, "the policy is in force")
    cluster.api.create("pods", template, "kube-system", dry_run=True)  # a dry run sees what is
    for container in template["spec"]["containers"]:
        container.setdefault("env", []).extend(
            [{"name": "AWS_ROLE_ARN", "value": ROLE}, {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/t"}])
    assert "did not inject an init container" in try_to_create(template)
    for container in template["spec"]["initContainers"]:
        container.setdefault("env", []).extend(
            [{"name": "AWS_ROLE_ARN", "value": ROLE}, {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/t"}])
    assert try_to_create(template) == ""
    cluster.kubectl("delete", "-k", ROOT / "manifests/admission/fail-closed")


# ----------------------------------------------------------------------------------------------------------------- IAM


@pytest.mark.parametrize("name", ["operator-policy.json", "operator-policy-ipv6.json", "operator-trust-policy.json",
                                  "operator-trust-policy-pod-identity.json"])
def test_iam_policies_render(name):
    done = subprocess.run([ROOT / "manifests/iam/render", name, "CLUSTER_NAME=prod", "REGION=us-west-2", "ACCOUNT_ID=111122223333",
                           "ISSUER=oidc.eks.us-west-2.amazonaws.com/id/1", "NODE_ROLES=role/a", "NODE_ROLES=role/b"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "${" not in done.stdout and json.loads(done.stdout)["Statement"]


def test_the_iam_policies_grant_every_effect():
    """EFFECT_TABLE names every AWS call there is in the program; GetCallerIdentity and AssumeRoleWithWebIdentity need no grant."""
    table = (ROOT / "platform/port/effect.h").read_text()
    calls = {(service.lower(), operation) for service, operation in re.findall(r'SERVICE_(IAM|EKS|EC2), "(\w+)"', table)}
    granted = set()
    for name in ("operator-policy.json", "operator-policy-ipv6.json"):
        for statement in json.loads((ROOT / "manifests/iam" / name).read_text())["Statement"]:
            actions = statement["Action"]
            if statement["Effect"] == "Allow":
                granted |= set([actions] if isinstance(actions, str) else actions)
    assert len(calls) > 30
    assert {f"{service}:{operation}" for service, operation in calls} <= granted
    extra = granted - {f"{service}:{operation}" for service, operation in calls}
    assert extra == {"iam:TagPolicy"}  # CreatePolicy with tags asks for it
