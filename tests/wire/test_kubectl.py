"""kubectl as it ships, against the simulated API server: it can not tell it from a real one in what a user of the demo does."""

import base64
import json
import subprocess
import threading

import pytest
import yaml
from simworld import ISSUER, ROOT, SimWorld

NODE = ("-n", "kube-system")
BINDING = """
apiVersion: cniiam.dev/v1alpha1
kind: CniIamBinding
metadata: {name: aws-node}
spec: {cluster: {name: prod, region: us-west-2}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with SimWorld(tmp_path_factory.mktemp("kubectl"), tls=True) as w:
        w.kubectl("apply", "-f", str(ROOT / "crd/cniiambindings.yaml"))
        w.kubectl("wait", "--for=condition=Established", "crd/cniiambindings.cniiam.dev", "--timeout=10s")
        yield w


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def refused(world, *args):
    done = world.run_kubectl(*args)
    assert done.returncode == 1 and done.stdout == "", done
    return done.stderr


def ready_pods(world):
    return {p["metadata"]["name"] for p in json.loads(world.kubectl("get", "pods", *NODE, "-o", "json"))["items"]
            if all(c["status"] == "True" for c in p["status"].get("conditions", []) if c["type"] == "Ready")}


def test_trust(world):
    """Who was not given the authority of this world does not talk to it."""
    config = json.loads(world.kubeconfig.read_text())
    assert config["clusters"][0]["cluster"]["server"].startswith("https://127.0.0.1:")
    del config["clusters"][0]["cluster"]["certificate-authority"]
    (world.folder / "trusts-others").write_text(json.dumps(config))
    done = world.run_kubectl("get", "nodes", config=world.folder / "trusts-others")
    assert done.returncode == 1 and "certificate signed by unknown authority" in done.stderr


def test_reviews(world):
    """kubectl sends them as protobuf, and knows no other way."""
    assert world.kubectl("auth", "can-i", "get", "pods", *NODE) == "yes\n"
    assert world.kubectl("auth", "can-i", "create", "serviceaccounts", "--subresource=token") == "yes\n"
    assert world.kubectl("auth", "can-i", "get", "/metrics") == "yes\n"
    assert "*.*" in world.kubectl("auth", "can-i", "--list", *NODE)
    assert "kubernetes-admin" in world.kubectl("auth", "whoami")


def test_tokens(world):
    said = claims(world.kubectl("create", "token", *NODE, "aws-node"))
    assert said["sub"] == "system:serviceaccount:kube-system:aws-node" and said["iss"] == ISSUER
    assert said["exp"] - said["iat"] == 3600
    pod = sorted(ready_pods(world))[0]
    said = claims(world.kubectl("create", "token", *NODE, "aws-node", "--audience=sts.amazonaws.com", "--duration=900s",
                                "--bound-object-kind=Pod", f"--bound-object-name={pod}"))
    assert said["aud"] == ["sts.amazonaws.com"] and said["exp"] - said["iat"] == 900
    assert said["kubernetes.io"]["pod"]["name"] == pod
    assert "10 minutes" in refused(world, "create", "token", *NODE, "aws-node", "--duration=10s")
    assert 'serviceaccounts "nobody" not found' in refused(world, "create", "token", *NODE, "nobody")
    assert 'pods "nobody" not found' in refused(world, "create", "token", *NODE, "aws-node", "--bound-object-kind=Pod",
                                                "--bound-object-name=nobody")


def test_creating(world, tmp_path):
    (tmp_path / "bytes").write_bytes(b"\x00\xff\x10")
    (tmp_path / "text").write_text("é\n")
    assert world.kubectl("create", "namespace", "made") == "namespace/made created\n"
    world.kubectl("create", "serviceaccount", "-n", "made", "one")
    create = ("create", "configmap", "-n", "made", "some", "--from-literal=a=b", "--from-literal=empty=",
              f"--from-file={tmp_path}")
    world.kubectl(*create)
    got = json.loads(world.kubectl("get", "configmap", "-n", "made", "some", "-o", "json"))
    assert got["data"] == {"a": "b", "empty": "", "text": "é\n"} and got["binaryData"] == {"bytes": "AP8Q"}
    assert "already exists" in refused(world, *create)
    assert 'namespaces "none" not found' in refused(world, "create", "configmap", "-n", "none", "x")
    assert "created (server dry run)" in world.kubectl("create", "configmap", "-n", "made", "dry", "--dry-run=server")
    assert "not found" in refused(world, "get", "configmap", "-n", "made", "dry")
    world.kubectl("delete", "configmap", "-n", "made", "some")
    assert "not found" in refused(world, "get", "configmap", "-n", "made", "some")


def test_kinds_that_are_not_read_as_protobuf(world):
    """Of those the server can do nothing with it says the kind, and what would be understood."""
    connection = world.api._connect(10)
    body = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12\0"
    connection.request("POST", "/api/v1/namespaces/default/configmaps", body,
                       {"Content-Type": "application/vnd.kubernetes.protobuf"})
    answer = connection.getresponse()
    said = json.load(answer)
    connection.close()
    assert answer.status == 415 and said["reason"] == "UnsupportedMediaType" and "v1 Secret" in said["message"]


def test_changing(world):
    def sa():
        return json.loads(world.kubectl("get", "sa", "-n", "default", "changed", "-o", "json"))["metadata"]

    at = ("sa", "-n", "default", "changed")
    world.kubectl("create", *at)
    world.kubectl("annotate", *at, "a=1")
    assert "overwrite is false" in refused(world, "annotate", *at, "a=2")
    world.kubectl("annotate", *at, "a=2", "--overwrite")
    world.kubectl("label", *at, "l=x")
    assert sa()["annotations"] == {"a": "2"} and sa()["labels"] == {"l": "x"}
    world.kubectl("label", *at, "l-")
    world.kubectl("patch", *at, "--type=merge", "-p", '{"metadata":{"annotations":{"a":null,"b":"1"}}}')
    assert sa()["annotations"] == {"b": "1"} and "labels" not in sa()
    world.kubectl("patch", *at, "-p", '{"metadata":{"annotations":{"c":"1"}}}')
    world.kubectl("patch", *at, "--type=json", "-p", '[{"op":"remove","path":"/metadata/annotations/b"}]')
    assert sa()["annotations"] == {"c": "1"}
    assert "The request is invalid" in refused(world, "patch", *at, "--type=json", "-p",
                                               '[{"op":"test","path":"/metadata/annotations/c","value":"2"}]')
    old = world.kubectl("get", *at, "-o", "yaml")
    world.kubectl("replace", "-f", "-", stdin=old.replace('c: "1"', 'c: "3"'))
    assert sa()["annotations"] == {"c": "3"}
    done = world.run_kubectl("replace", "-f", "-", stdin=old)
    assert done.returncode == 1 and "the object has been modified" in done.stderr
    world.kubectl("delete", *at)


def test_apply_and_explain(world):
    assert "GROUP:      cniiam.dev" in world.kubectl("explain", "cniiambindings.spec")
    assert "settleSeconds" in world.kubectl("explain", "cib.spec", "--recursive")
    assert world.kubectl("apply", "-f", "-", stdin=BINDING) == "cniiambinding.cniiam.dev/aws-node created\n"
    assert world.kubectl("apply", "-f", "-", stdin=BINDING) == "cniiambinding.cniiam.dev/aws-node unchanged\n"
    said = world.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=BINDING.replace("}}", "}, mode: Plan}"))
    assert said == "cniiambinding.cniiam.dev/aws-node serverside-applied\n"
    done = world.run_kubectl("apply", "-f", "-", stdin=BINDING.replace("region:", "regiom:"))
    assert done.returncode == 1 and "regiom" in done.stderr
    world.kubectl("patch", "cib", "aws-node", "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"conditions": [
        {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
    world.kubectl("wait", "--for=condition=Ready", "cib/aws-node", "--timeout=10s")
    assert "Ready" in world.kubectl("describe", "cib", "aws-node")
    world.kubectl("delete", "cib", "aws-node")


def test_watch(world):
    """A change is seen while it happens, and the line before it was there from the beginning."""
    world.kubectl("create", "configmap", "watched")
    process = subprocess.Popen(world.command("get", "configmap", "-w", "--output-watch-events", "--field-selector=metadata.name=watched"),
                               env=world.env(), stdout=subprocess.PIPE, text=True)
    late = threading.Timer(60, process.kill)
    late.start()
    try:
        lines = [process.stdout.readline().split()[:2] for _ in range(2)]
        assert lines == [["EVENT", "NAME"], ["ADDED", "watched"]]
        world.kubectl("label", "configmap", "watched", "a=b")
        assert process.stdout.readline().split()[:2] == ["MODIFIED", "watched"]
        world.kubectl("delete", "configmap", "watched")
        assert process.stdout.readline().split()[:2] == ["DELETED", "watched"]
    finally:
        late.cancel()
        process.kill()
        process.wait()


def test_what_is_owned_goes_with_its_owner(world):
    at = ("daemonset", *NODE, "aws-node")
    kept = world.kubectl("get", *at, "-o", "json")
    again = json.dumps({**(ds := json.loads(kept)), "metadata": {k: ds["metadata"][k] for k in ("name", "namespace", "labels")}})
    before = ready_pods(world)
    world.kubectl("delete", *at, "--cascade=orphan")
    assert "not found" in refused(world, "get", *at) and ready_pods(world) == before
    owners = json.loads(world.kubectl("get", "pods", *NODE, "-o", "json"))["items"]
    assert not any(p["metadata"].get("ownerReferences") for p in owners)
    world.kubectl("delete", "pods", *NODE, "--all")
    for cascade in ("foreground", "background"):
        world.kubectl("create", "-f", "-", stdin=again)
        world.kubectl("wait", *NODE, "ds/aws-node", "--for=jsonpath={.status.numberReady}=2", "--timeout=30s")
        world.kubectl("delete", *at, f"--cascade={cascade}")
        world.kubectl("wait", *NODE, "pods", "--all", "--for=delete", "--timeout=30s")
    world.kubectl("create", "-f", "-", stdin=again)
    world.kubectl("wait", *NODE, "ds/aws-node", "--for=jsonpath={.status.numberReady}=2", "--timeout=30s")


def test_rollout_and_pods(world):
    at = (*NODE, "ds/aws-node")
    before = ready_pods(world)
    assert len(before) == 2
    world.kubectl("rollout", "restart", *at)
    assert "successfully rolled out" in world.kubectl("rollout", "status", *at, "--timeout=30s")
    after = ready_pods(world)
    assert len(after) == 2 and not after & before
    revisions = world.kubectl("rollout", "history", *at).splitlines()[2:]
    assert [line.split()[0] for line in revisions if line] == ["1", "2"]
    assert "restartedAt" in world.kubectl("rollout", "history", *at, "--revision=2")
    assert "rolled back" in world.kubectl("rollout", "undo", *at)
    assert "successfully rolled out" in world.kubectl("rollout", "status", *at, "--timeout=30s")
    template = json.loads(world.kubectl("get", *at, "-o", "json"))["spec"]["template"]
    assert "restartedAt" not in json.dumps(template)
    revisions = world.kubectl("rollout", "history", *at).splitlines()[2:]
    assert [line.split()[0] for line in revisions if line] == ["2", "3"]
    after = ready_pods(world)
    gone = sorted(after)[0]
    world.kubectl("delete", "pod", *NODE, gone)
    assert "not found" in refused(world, "get", "pod", *NODE, gone)
    world.kubectl("wait", *NODE, "ds/aws-node", "--for=jsonpath={.status.numberReady}=2", "--timeout=30s")
    assert len(ready_pods(world)) == 2


def test_reading(world):
    said = world.kubectl("get", "all", "-A")
    assert "pod/aws-node" in said and "daemonset.apps/aws-node" in said
    assert "NODE SELECTOR" in world.kubectl("get", "ds", *NODE)
    assert "aws-node" in world.kubectl("describe", "ds", *NODE, "aws-node")
    assert "cniiambindings" in world.kubectl("api-resources") and "selfsubjectaccessreviews" in world.kubectl("api-resources")
    node = world.kubectl("get", "nodes", "-o", "name").split()[0].removeprefix("node/")
    world.kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guest", "namespace": "default"},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}}))
    assert "SchedulingDisabled" not in world.kubectl("get", "nodes")
    said = world.kubectl("drain", node, "--ignore-daemonsets", "--force", "--grace-period=3", "--timeout=30s")
    assert "drained" in said and "not found" in refused(world, "get", "pod", "guest") and "Ready,SchedulingDisabled" in world.kubectl("get", "nodes")
    world.kubectl("uncordon", node)
    assert len(yaml.safe_load(world.kubectl("get", "nodes", "-o", "yaml"))["items"]) == 2


def test_rbac(world):
    """The operator's own manifest decides what its ServiceAccount may do."""
    world.kubectl("apply", "-f", str(ROOT / "manifests/base/rbac.yaml"), "-f", str(ROOT / "manifests/base/service-account.yaml"))
    operator = world.operator_kubeconfig("kube-system", "cni-iam")

    def may(*args):
        return world.run_kubectl("auth", "can-i", *args, config=operator).stdout == "yes\n"

    assert "system:serviceaccount:kube-system:cni-iam" in world.kubectl("auth", "whoami", config=operator)
    for question in (("patch", "serviceaccounts/aws-node", *NODE), ("create", "serviceaccounts/aws-node", "--subresource=token", *NODE),
                     ("list", "nodes"), ("delete", "pods", *NODE), ("update", "leases/cni-iam", *NODE), ("get", "ns/kube-system"),
                     ("patch", "cib"), ("patch", "cib", "--subresource=status")):
        assert may(*question), question
    for question in (("patch", "serviceaccounts/default", *NODE), ("create", "serviceaccounts/cni-iam", "--subresource=token", *NODE),
                     ("delete", "nodes"), ("delete", "pods", "-n", "default"), ("update", "leases/other", *NODE), ("get", "ns/default"),
                     ("create", "cib"), ("delete", "daemonsets", *NODE), ("get", "configmaps", *NODE)):
        assert not may(*question), question
    rules = world.kubectl("auth", "can-i", "--list", *NODE, config=operator)
    assert "daemonsets.apps" in rules and "*.*" not in rules
    assert "aws-node" in world.kubectl("get", "pods", *NODE, config=operator)
    assert "aws-node" in world.kubectl("get", "sa", *NODE, "aws-node", config=operator)
    done = world.run_kubectl("get", "sa", *NODE, "cni-iam", config=operator)
    assert done.returncode == 1 and ('serviceaccounts "cni-iam" is forbidden: User "system:serviceaccount:kube-system:cni-iam" cannot '
                                     'get resource "serviceaccounts" in API group "" in the namespace "kube-system"') in done.stderr
    done = world.run_kubectl("delete", "node", "x", config=operator)
    assert "at the cluster scope" in done.stderr
    world.kubectl("delete", "rolebinding", *NODE, "cni-iam")
    assert not may("delete", "pods", *NODE) and may("list", "nodes")
    world.kubectl("delete", "serviceaccount", *NODE, "cni-iam")
    assert "Unauthorized" in world.run_kubectl("get", "nodes", config=operator).stderr
