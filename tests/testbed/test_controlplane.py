"""The test bed does what its users rely on."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.controlplane import Api, ApiError, ControlPlane, wait_until
from testbed.nodeagent import MESSAGE, NodeAgent

ISSUER = "https://oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
ROLE = "arn:aws:iam::111122223333:role/AmazonEKSVPCCNIRole"
OTHER_ROLE = "arn:aws:iam::111122223333:role/other"
ROLE_ARN = "eks.amazonaws.com/role-arn"
AGENT = "cni-iam/0.0-test"


class Stopwatch:
    """Prints how long each step took, past pytest's capture."""

    def __init__(self, capsys):
        self.capsys = capsys
        self.last = time.monotonic()

    def __call__(self, what):
        now = time.monotonic()
        with self.capsys.disabled():
            print(f"\n  {now - self.last:6.2f} s  {what}", end="")
        self.last = now


@pytest.fixture
def took(capsys):
    return Stopwatch(capsys)


@pytest.fixture(scope="module")
def cluster():
    with ControlPlane(ISSUER) as world:
        for number in range(1, 4):
            world.add_node(f"node-{number}", f"aws:///us-west-2a/i-{number:017x}", wait=False)
        world.deploy_aws_node()
        world.deploy_webhook()
        yield world


@pytest.fixture
def annotated(cluster):
    """kube-system/aws-node with a role; without one again afterwards."""
    annotate(cluster, ROLE)
    yield
    annotate(cluster, None)
    cluster.restart_aws_node()


def annotate(cluster, role, **more):
    cluster.api.patch("serviceaccounts", "aws-node", {"metadata": {"annotations": {ROLE_ARN: role, **more}}},
                      "kube-system")
    wait_until(lambda: role_of(would_be(cluster)) == (role or ""), 10, f"a dry-run pod has the role {role}")


def would_be(cluster, **metadata):
    pod = cluster.aws_node_pod_template()
    for key, value in metadata.items():
        pod["metadata"].setdefault(key, {}).update(value)
    return cluster.api.create("pods", pod, "kube-system", dry_run=True)


def env_of(container):
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


def role_of(pod):
    """The role of every container, where they agree."""
    roles = {env_of(c).get("AWS_ROLE_ARN", "") for c in pod["spec"]["initContainers"] + pod["spec"]["containers"]}
    assert len(roles) == 1, roles
    return roles.pop()


def ready(cluster, name):
    pod = cluster.api.get("pods", name, "kube-system")
    return next(c["status"] for c in pod["status"]["conditions"] if c["type"] == "Ready") == "True"


def test_world(cluster, capsys):
    with capsys.disabled():
        print(f"\n  seconds from nothing: {cluster.timings}")
        print("  MiB resident: " + ", ".join(f"{name} {size:.0f}" for name, size in cluster.rss().items()), end="")
    assert cluster.api.request("GET", "/version")["gitVersion"] == "v1.36.3"
    assert {node["spec"]["providerID"] for node in cluster.api.list("nodes")} == {
        f"aws:///us-west-2a/i-{number:017x}" for number in (1, 2, 3)}
    pods = cluster.aws_node_pods()
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1", "node-2", "node-3"}
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert [container["name"] for container in pods[0]["spec"]["containers"]] == ["aws-node", "aws-eks-nodeagent"]
    assert {role_of(pod) for pod in pods} == {""}


def test_tokens_come_from_the_issuer(cluster):
    token = cluster.mint_token("kube-system", "aws-node", ("sts.amazonaws.com",), 600)
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["iss"] == ISSUER
    assert claims["aud"] == ["sts.amazonaws.com"]
    assert claims["sub"] == "system:serviceaccount:kube-system:aws-node"
    assert cluster.api.request("GET", "/.well-known/openid-configuration")["issuer"] == ISSUER


def test_injection(cluster, annotated, took):
    cluster.api.patch("serviceaccounts", "aws-node", {"metadata": {"annotations": {
        "eks.amazonaws.com/sts-regional-endpoints": "true"}}}, "kube-system")
    wait_until(lambda: "AWS_STS_REGIONAL_ENDPOINTS" in env_of(would_be(cluster)["spec"]["containers"][0]), 10,
               "the webhook knows the second annotation")
    pod = would_be(cluster)
    took("annotated, and a dry-run pod shows it")
    plain = cluster.aws_node_pods()[0]
    directory = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
    for kind in ("containers", "initContainers"):
        for before, after in zip(plain["spec"][kind], pod["spec"][kind], strict=True):
            assert after["env"][:len(before["env"])] == before["env"]
            assert after["env"][len(before["env"]):] == [
                {"name": "AWS_STS_REGIONAL_ENDPOINTS", "value": "regional"},
                {"name": "AWS_DEFAULT_REGION", "value": "us-west-2"},
                {"name": "AWS_REGION", "value": "us-west-2"},
                {"name": "AWS_ROLE_ARN", "value": ROLE},
                {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": f"{directory}/token"},
            ]
            assert {"name": "aws-iam-token", "mountPath": directory, "readOnly": True} in after["volumeMounts"]
    volume, = (volume for volume in pod["spec"]["volumes"] if volume["name"] == "aws-iam-token")
    assert volume["projected"]["sources"] == [{"serviceAccountToken": {
        "audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}}]
    assert {role_of(pod) for pod in cluster.aws_node_pods()} == {""}, "a pod that is there never changes"

    took("compared")
    cluster.restart_aws_node()
    took("restarted")
    assert {role_of(pod) for pod in cluster.aws_node_pods()} == {ROLE}

    cluster.api.patch("serviceaccounts", "aws-node", {"metadata": {"annotations": {
        "eks.amazonaws.com/sts-regional-endpoints": None}}}, "kube-system")
    annotate(cluster, OTHER_ROLE)
    took("changed to another role")
    annotate(cluster, None)
    took("annotation removed")


def test_what_the_webhook_leaves_alone(cluster, annotated):
    assert role_of(would_be(cluster, labels={"eks.amazonaws.com/skip-pod-identity-webhook": "true"})) == ""
    pod = cluster.aws_node_pod_template()
    pod["metadata"]["annotations"] = {"eks.amazonaws.com/skip-containers": "aws-eks-nodeagent"}
    pod["spec"]["containers"][0]["env"] += [{"name": "AWS_ROLE_ARN", "value": OTHER_ROLE},
                                            {"name": "AWS_REGION", "value": "eu-west-1"}]
    node, agent = cluster.api.create("pods", pod, "kube-system", dry_run=True)["spec"]["containers"]
    assert env_of(node)["AWS_ROLE_ARN"] == OTHER_ROLE
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" not in env_of(node)
    assert env_of(node)["AWS_REGION"] == "eu-west-1"
    assert "AWS_DEFAULT_REGION" not in env_of(node)
    assert "AWS_ROLE_ARN" not in env_of(agent)
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "bare-"}, "spec": {
        "serviceAccountName": "aws-node", "automountServiceAccountToken": False,
        "containers": [{"name": "bare", "image": "bare"}]}}
    only, = cluster.api.create("pods", bare, "kube-system", dry_run=True)["spec"]["containers"]
    assert env_of(only)["AWS_ROLE_ARN"] == ROLE, "a container without variables, mounts and volumes"
    bare["spec"]["serviceAccountName"] = "default"
    only, = cluster.api.create("pods", bare, "kube-system", dry_run=True)["spec"]["containers"]
    assert "env" not in only


def test_webhook_down(cluster, annotated, took):
    cluster.webhook_down()
    took("webhook down")
    cluster.restart_aws_node()
    assert {role_of(pod) for pod in cluster.aws_node_pods()} == {""}
    took("restarted without it")
    cluster.webhook_up()
    took("webhook up")
    cluster.restart_aws_node()
    assert {role_of(pod) for pod in cluster.aws_node_pods()} == {ROLE}


def test_node_agent(cluster, took):
    victim = cluster.aws_node_pods()[0]["metadata"]["name"]
    refused = set()
    with NodeAgent(cluster, lambda pod: pod["metadata"]["name"] not in refused, interval=0.1, event_interval=0.2) as agent:
        wait_until(lambda: len(agent._due) == 3, 10, "the agent knows all pods")
        refused.add(victim)
        wait_until(lambda: not ready(cluster, victim), 10, f"{victim} is not Ready")
        took("refused and un-Ready")
        assert agent.refused() == {victim}
        pod = cluster.api.get("pods", victim, "kube-system")
        assert {c["name"]: c["ready"] for c in pod["status"]["containerStatuses"]} == {
            "aws-node": False, "aws-eks-nodeagent": True}
        status = cluster.api.get("daemonsets", "aws-node", "kube-system")["status"]
        wait_until(lambda: cluster.api.get("daemonsets", "aws-node", "kube-system")["status"].get("numberReady") == 2, 10,
                   f"the DaemonSet counts it: {status}")

        def events():
            return [event for event in cluster.api.list("events.k8s.io/v1/events", "kube-system")
                    if event["reason"] == "MissingIAMPermissions"]

        event, = wait_until(events, 10, "an Event says so")
        assert (event["type"], event["reportingController"]) == ("Warning", "aws-node")
        assert (event["regarding"]["name"], event["regarding"]["uid"]) == (victim, pod["metadata"]["uid"])
        wait_until(lambda: events()[0].get("series", {}).get("count", 0) >= 2, 10, "the Event is repeated")
        # kwok must not make it Ready behind the agent's back, while other things happen to the pod.
        cluster.api.patch("pods", victim, {"metadata": {"labels": {"touched": "yes"}}}, "kube-system")
        before = len(agent.history)
        wait_until(lambda: events()[0]["series"]["count"] >= 6, 10, "some rounds more")
        assert not ready(cluster, victim) and len(agent.history) == before

        refused.clear()
        wait_until(lambda: ready(cluster, victim), 10, f"{victim} is Ready again")
        took("permitted and Ready again")
        cluster.wait_daemonset()
        assert [(flip.pod, flip.ready) for flip in agent.history] == [(victim, False), (victim, True)]
        assert not agent.refused()

        # A pod that starts without permissions.
        cluster.api.delete("pods", victim, "kube-system")
        node = pod["spec"]["nodeName"]
        agent.has_permission = lambda pod: pod["spec"]["nodeName"] != node
        fresh, = wait_until(agent.refused, 10, "the new pod is held")
        assert fresh != victim
        agent.has_permission = lambda pod: True
        # The pod itself: the DaemonSet's status may still count it as Ready from before the agent took that away.
        wait_until(lambda: ready(cluster, fresh), 10, f"{fresh} is Ready")
        cluster.wait_daemonset()
        assert agent.errors == []
    held = cluster.api.get("pods", fresh, "kube-system")
    assert MESSAGE not in json.dumps(held["status"])


def test_operator_identity_and_audit(cluster):
    cluster.apply("""
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: operator, namespace: kube-system}
rules:
- {apiGroups: [""], resources: [serviceaccounts], resourceNames: [aws-node], verbs: [get, patch]}
- {apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [aws-node], verbs: [create]}
- {apiGroups: [""], resources: [pods], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: operator, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: operator}
subjects: [{kind: ServiceAccount, name: operator, namespace: kube-system}]
""")
    path = cluster.operator_kubeconfig("kube-system", "operator", token_file=True)
    user = "system:serviceaccount:kube-system:operator"
    assert cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", kubeconfig=path).stdout == user

    operator = cluster.api_as(token=(path.parent / "kube-system-operator.token").read_text(), user_agent=AGENT)
    since = time.time()
    operator.get("serviceaccounts", "aws-node", "kube-system")
    operator.create("serviceaccounts", {"spec": {"audiences": ["sts.amazonaws.com"]}}, "kube-system", "aws-node", "token")
    operator.create("pods", cluster.aws_node_pod_template(), "kube-system", dry_run=True)
    with pytest.raises(ApiError) as refusal:
        operator.list("nodes")
    assert (refusal.value.code, refusal.value.reason) == (403, "Forbidden")
    asked = cluster.audit_requests(AGENT, since)
    assert [str(entry) for entry in asked] == [
        "get serviceaccounts kube-system/aws-node 200",
        "create serviceaccounts/token kube-system/aws-node 201",
        "create pods kube-system 201 dry-run",
        "list nodes 403",
    ]
    assert {entry.user for entry in asked} == {user}
    assert not any(entry.is_write for entry in asked), "not one write"

    operator.patch("serviceaccounts", "aws-node", {"apiVersion": "v1", "kind": "ServiceAccount"}, "kube-system", "apply",
                   field_manager="cni-iam")
    write, = cluster.audit_requests(AGENT, since, writes=True)
    assert (write.verb, write.resource, write.name, write.field_manager) == (
        "patch", "serviceaccounts", "aws-node", "cni-iam")


def test_client_certificate(cluster):
    certificate = cluster.client_certificate("jane", ("readers",))
    path = cluster.write_kubeconfig("jane", client_certificate=certificate)
    who = cluster.kubectl("auth", "whoami", "-o", "json", kubeconfig=path).stdout
    assert json.loads(who)["status"]["userInfo"]["username"] == "jane"
    jane = Api(cluster.server, cluster.ca_file, client_certificate=certificate)
    with pytest.raises(ApiError, match='User "jane" cannot list'):
        jane.list("nodes")


def test_a_node_joins_and_goes(cluster, took):
    cluster.add_node("node-4", "aws:///us-west-2b/i-00000000000000004", {"eks.amazonaws.com/nodegroup": "late"})
    took("joined")
    cluster.wait_daemonset(nodes=4)
    took("its pod is Ready")
    cluster.add_node("fargate-1", labels={"eks.amazonaws.com/compute-type": "fargate"})
    cluster.remove_node("node-4")
    cluster.wait_daemonset(nodes=3)
    assert {pod["spec"]["nodeName"] for pod in cluster.aws_node_pods()} == {"node-1", "node-2", "node-3"}
    took("went, and a Fargate node got none")
    cluster.remove_node("fargate-1")


def test_watch_and_api_server_restart(cluster, took):
    with cluster.api.watch("serviceaccounts", "kube-system", field_selector="metadata.name=aws-node") as watch:
        events = iter(watch)
        kind, before = next(events)
        assert kind == "ADDED"
        cluster.restart_apiserver()
        took("API server killed and started again")
        assert list(events) == []
    assert cluster.api.get("serviceaccounts", "aws-node", "kube-system")["metadata"]["uid"] == before["metadata"]["uid"]
    cluster.restart_aws_node()
    took("and the controllers work again")


CRASHING = """
import sys, time
from testbed.controlplane import ControlPlane
world = ControlPlane("https://oidc.example/id/crash").start()
print(world.dir, *(process.pid for process in world.processes.values()), flush=True)
time.sleep(600)
"""


def test_a_killed_run_leaves_nothing(took):
    env = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[1]))
    with subprocess.Popen([sys.executable, "-c", CRASHING], env=env, stdout=subprocess.PIPE, text=True) as run:
        directory, *pids = run.stdout.readline().split()
        assert len(pids) == 5 and all(Path(f"/proc/{pid}").exists() for pid in pids)
        took("a second world")
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10, "its servers ended with it")
    took("gone")
    assert Path(directory).exists()
    with ControlPlane("https://oidc.example/id/next"):
        assert not Path(directory).exists(), "the next world cleans up"
