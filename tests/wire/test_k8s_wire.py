"""platform/k8s against a real kube-apiserver: each answer as the decoder and the watch see it.

Needs the programs of tests/testbed/build and the helper k8s_call (env K8S_CALL, or tests/k8s_call under the folder that
env BUILD_DIR names, default build/dev).
"""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from testbed.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
K8S_CALL = os.environ.get("K8S_CALL") or str(ROOT / os.environ.get("BUILD_DIR", "build/dev") / "tests" / "k8s_call")
ISSUER = "https://oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
ANNOTATION = "eks.amazonaws.com/role-arn"

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cniiambindings.cniiam.dev}
spec:
  group: cniiam.dev
  scope: Cluster
  names: {plural: cniiambindings, singular: cniiambinding, kind: CniIamBinding, listKind: CniIamBindingList}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {mode: {type: string, enum: [Plan, Enforce]}}}
          status:
            type: object
            properties:
              text: {type: string}
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items:
                  type: object
                  required: [type]
                  properties: {type: {type: string}, status: {type: string}}
"""


def call(cluster, kind, *, body=None, kubeconfig=None, **args):
    """The last line that k8s_call prints."""
    return stream(cluster, kind, body=body, kubeconfig=kubeconfig, **args)[-1]


def argv_of(cluster, kind, body, kubeconfig, args):
    argv = [K8S_CALL, "--kubeconfig", str(kubeconfig or cluster.kubeconfig)]
    if body is not None:
        argv += ["--body", body if isinstance(body, str) else json.dumps(body)]
    return argv + [kind] + [f"{k}={v}" for k, v in args.items()]


def stream(cluster, kind, *, body=None, kubeconfig=None, **args):
    done = subprocess.run(argv_of(cluster, kind, body, kubeconfig, args), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr + done.stdout
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def refused(answer, error, message=""):
    assert answer["error"] == error, answer
    assert message in answer["message"], answer


def ok(answer):
    assert answer["error"] == "OK", answer
    return answer.get("value")


@pytest.fixture(scope="module")
def cluster():
    # Without the cache's snapshots and with quick compaction, old versions are really gone.
    with ControlPlane(ISSUER, apiserver_args=("--etcd-compaction-interval=3s",)) as world:
        world.apply(CRD)
        world.kubectl("wait", "--for=condition=Established", "crd/cniiambindings.cniiam.dev")
        yield world


SA = {"resource": "serviceaccounts", "namespace": "default"}


@pytest.fixture
def account(cluster):
    """A fresh ServiceAccount; gives its name and uid."""
    name = f"sa-{time.monotonic_ns()}"
    made = cluster.api.create("serviceaccounts", {"metadata": {"name": name, "labels": {"app": "x"}}}, "default")
    return name, made["metadata"]["uid"]


def apply_body(uid=None, value=None, annotation=ANNOTATION):
    metadata = {"annotations": {annotation: value}} if value else {}
    if uid:
        metadata["uid"] = uid
    return {"metadata": metadata}


# ---------------------------------------------------------------------------------------------- reading


def test_get_and_absence(cluster, account):
    name, uid = account
    assert ok(call(cluster, "K8S_GET", **SA, name=name))["metadata"]["uid"] == uid
    answer = call(cluster, "K8S_GET", **SA, name="absent")
    refused(answer, "NotFound", "not found")
    assert answer["wire"] == "NotFound" and answer["http"] == 404


def test_every_resource_of_the_table_is_served(cluster):
    for resource in ("serviceaccounts", "pods", "nodes", "namespaces", "configmaps", "events", "events.events.k8s.io",
                     "daemonsets", "controllerrevisions", "leases", "cniiambindings", "customresourcedefinitions"):
        value = ok(call(cluster, "K8S_LIST", resource=resource))
        assert value["kind"].endswith("List") and isinstance(value["items"], list), resource


def test_list_pages_merge_and_selectors(cluster):
    for i in range(7):
        cluster.api.create("configmaps", {"metadata": {"name": f"page-{i}", "labels": {"page": "a b=c"[:1]}}}, "default")
    value = ok(call(cluster, "K8S_LIST", resource="configmaps", namespace="default", labelSelector="page in (a, b)"))
    assert len(value["items"]) == 7 and "continue" not in value["metadata"]
    first = ok(call(cluster, "LIST", resource="configmaps", namespace="default", labelSelector="page=a", limit=3))
    assert len(first["items"]) == 3
    token = first["metadata"]["continue"]
    second = ok(call(cluster, "LIST", resource="configmaps", namespace="default", labelSelector="page=a", limit=3,
                     **{"continue": token}))
    assert len(second["items"]) == 3 and second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    # resourceVersion beside a continue token, a garbage token, a match without a version, a selector nobody knows.
    refused(call(cluster, "LIST", resource="configmaps", limit=3, resourceVersion="1", **{"continue": token}), "Invalid",
            "resource version")
    refused(call(cluster, "LIST", resource="configmaps", **{"continue": "!!"}), "Invalid", "continue")
    refused(call(cluster, "LIST", resource="configmaps", resourceVersionMatch="NotOlderThan"), "Invalid")
    refused(call(cluster, "LIST", resource="pods", fieldSelector="spec.foo=x"), "Invalid", "field")
    one = ok(call(cluster, "LIST", resource="configmaps", namespace="default", fieldSelector="metadata.name=page-3"))
    assert [item["metadata"]["name"] for item in one["items"]] == ["page-3"]


@pytest.fixture(scope="module")
def many(cluster):
    """620 ConfigMaps in kube-public, label many=x: more than a page."""
    def make(start):
        for i in range(start, 620, 4):
            cluster.api.create("configmaps", {"metadata": {"name": f"many-{i:04}", "labels": {"many": "x"}}}, "kube-public")
    threads = [threading.Thread(target=make, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]


def test_list_effect_reads_more_than_one_page(cluster, many):
    value = ok(call(cluster, "K8S_LIST", resource="configmaps", namespace="kube-public", labelSelector="many=x"))
    assert [item["metadata"]["name"] for item in value["items"]] == [f"many-{i:04}" for i in range(620)]
    requests = cluster.audit_requests("cni-iam/0.0-test")
    assert any("limit=500" in r.uri and "continue=" in r.uri for r in requests)


def test_list_versions(cluster, account):
    version = ok(call(cluster, "LIST", resource="serviceaccounts"))["metadata"]["resourceVersion"]
    ok(call(cluster, "LIST", resource="serviceaccounts", resourceVersion=version, resourceVersionMatch="NotOlderThan"))
    future = call(cluster, "LIST", resource="serviceaccounts", resourceVersion="99999999",
                  resourceVersionMatch="NotOlderThan")
    refused(future, "FutureVersion", "Too large resource version")
    assert future["retryAfterMs"] == 1000 and future["wire"] == "Timeout"
    refused(call(cluster, "LIST", resource="serviceaccounts", resourceVersion="abc"), "Invalid")


def test_metadata_only(cluster, account):
    value = ok(call(cluster, "LIST", resource="serviceaccounts", metadataOnly="true"))
    assert value["kind"] == "PartialObjectMetadataList"
    version = value["metadata"]["resourceVersion"]
    cluster.api.create("serviceaccounts", {"metadata": {"name": "for-metadata"}}, "default")
    lines = stream(cluster, "WATCH", resource="serviceaccounts", metadataOnly="true", resourceVersion=version,
                   timeoutSeconds=2)
    kinds = {line["line"]["object"]["kind"] for line in lines if "line" in line}
    assert kinds == {"PartialObjectMetadata"} and lines[-1]["error"] == "OK"


# ---------------------------------------------------------------------------------------------- server-side apply


def test_apply_own_fields_and_idempotence(cluster, account):
    name, uid = account
    body = apply_body(uid, "arn:1")
    first = ok(call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam", body=body))
    again = ok(call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam", body=body))
    assert first["metadata"]["annotations"][ANNOTATION] == "arn:1"
    assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]
    gone = ok(call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam", body=apply_body(uid)))
    assert ANNOTATION not in gone["metadata"].get("annotations", {})


def test_apply_conflict_and_force(cluster, account):
    name, uid = account
    cluster.kubectl("annotate", "sa", name, f"{ANNOTATION}=arn:theirs")
    answer = call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam", body=apply_body(uid, "arn:ours"))
    refused(answer, "FieldConflict", "kubectl-annotate")
    assert ANNOTATION in answer["message"] and answer["http"] == 409
    forced = ok(call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam", force="true",
                     body=apply_body(uid, "arn:ours")))
    assert forced["metadata"]["annotations"][ANNOTATION] == "arn:ours"


def test_apply_conflict_with_nobody_in_particular(cluster):
    """An object that was made without any field has no managers; what was written to it before the first apply belongs to
    "before-first-apply"."""
    made = cluster.api.create("serviceaccounts", {"metadata": {"name": "bare"}}, "default")
    cluster.kubectl("annotate", "sa", "bare", f"{ANNOTATION}=arn:theirs")
    refused(call(cluster, "K8S_APPLY", **SA, name="bare", fieldManager="cni-iam",
                 body=apply_body(made["metadata"]["uid"], "arn:ours")), "FieldConflict", "before-first-apply")


def test_apply_never_creates_what_is_not_there(cluster, account):
    _, uid = account
    refused(call(cluster, "K8S_APPLY", **SA, name="not-there", fieldManager="cni-iam", body=apply_body(uid, "x")),
            "Conflict", "no existing object was found")
    assert cluster.api.find("serviceaccounts", "not-there", "default") is None
    refused(call(cluster, "K8S_APPLY", **SA, name="not-there", fieldManager="cni-iam", body=apply_body(None, "x")),
            "Invalid", "K-P3")
    made = ok(call(cluster, "K8S_APPLY", **SA, name="made", fieldManager="cni-iam", create="true", body="{}"))
    assert made["metadata"]["name"] == "made"


def test_apply_with_the_uid_of_another_life(cluster, account):
    name, uid = account
    cluster.api.delete("serviceaccounts", name, "default")
    cluster.api.create("serviceaccounts", {"metadata": {"name": name}}, "default")
    refused(call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam", body=apply_body(uid, "x")), "Conflict",
            "immutable")


def test_apply_undeclared_field_is_our_mistake(cluster, account):
    name, uid = account
    refused(call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam",
                 body={"metadata": {"uid": uid, "annotation": {"a": "b"}}}), "Invalid", "not declared in schema")
    refused(call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam",
                 body={"metadata": {"uid": uid, "managedFields": []}}), "Invalid")


def test_merge_patch_then_apply_conflicts_with_ourselves(cluster, account):
    name, uid = account
    ok(call(cluster, "K8S_MERGE_PATCH", **SA, name=name, fieldManager="cni-iam",
            body={"metadata": {"annotations": {ANNOTATION: "arn:1"}}}))
    refused(call(cluster, "K8S_APPLY", **SA, name=name, fieldManager="cni-iam", body=apply_body(uid, "arn:2")),
            "FieldConflict", '"cni-iam"')


# ---------------------------------------------------------------------------------------------- status


@pytest.fixture
def binding(cluster):
    name = f"b-{time.monotonic_ns()}"
    made = cluster.api.create("cniiambindings", {
        "apiVersion": "cniiam.dev/v1alpha1", "kind": "CniIamBinding", "metadata": {"name": name}, "spec": {"mode": "Plan"}})
    return name, made["metadata"]["uid"]


def status_body(uid, **status):
    return {"metadata": {"uid": uid}, "status": status}


def test_status_apply(cluster, binding):
    name, uid = binding
    where = {"resource": "cniiambindings", "name": name, "fieldManager": "cni-iam"}
    body = status_body(uid, text="t", conditions=[{"type": "Ready", "status": "Unknown"}])
    body["spec"] = {"mode": "Enforce"}  # ignored by /status
    value = ok(call(cluster, "K8S_APPLY_STATUS", **where, body=body))
    assert value["status"]["conditions"] == [{"type": "Ready", "status": "Unknown"}]
    assert value["spec"]["mode"] == "Plan" and value["metadata"]["generation"] == 1
    del body["spec"]
    again = ok(call(cluster, "K8S_APPLY_STATUS", **where, body=body))
    assert again["metadata"]["resourceVersion"] == value["metadata"]["resourceVersion"]
    other = dict(where, fieldManager="other")
    ok(call(cluster, "K8S_APPLY_STATUS", **other, body=status_body(uid, conditions=[{"type": "X", "status": "True"}])))
    kept = ok(call(cluster, "K8S_APPLY_STATUS", **where, body=body))
    assert sorted(c["type"] for c in kept["status"]["conditions"]) == ["Ready", "X"]
    refused(call(cluster, "K8S_APPLY_STATUS", **where, body=status_body(
        uid, conditions=[{"type": "A"}, {"type": "A"}])), "Invalid", "duplicate")
    refused(call(cluster, "K8S_APPLY_STATUS", **dict(where, name="absent"), body=status_body(uid)), "NotFound")


def test_schema_violation_says_what(cluster, binding):
    name, uid = binding
    refused(call(cluster, "K8S_APPLY", resource="cniiambindings", name=name, fieldManager="x",
                 body={"metadata": {"uid": uid}, "spec": {"mode": "Nope"}}, force="true"), "Invalid", "spec.mode")


# ---------------------------------------------------------------------------------------------- patches, put, delete


def test_json_patch_finalizer_with_test(cluster, binding):
    name, _ = binding
    where = {"resource": "cniiambindings", "name": name}
    finalizer = "cniiam.dev/restore"
    value = ok(call(cluster, "K8S_JSON_PATCH", **where, body=[
        {"op": "add", "path": "/metadata/finalizers", "value": [finalizer]}]))
    assert value["metadata"]["finalizers"] == [finalizer]
    remove = {"op": "remove", "path": "/metadata/finalizers/0"}
    answer = call(cluster, "K8S_JSON_PATCH", **where, body=[
        {"op": "test", "path": "/metadata/finalizers/0", "value": "else"}, remove])
    refused(answer, "Conflict")
    assert answer["http"] == 422
    refused(call(cluster, "K8S_JSON_PATCH", **where, body=[{"op": "remove", "path": "/metadata/finalizers/7"}]), "Conflict")
    ok(call(cluster, "K8S_JSON_PATCH", **where, body=[
        {"op": "test", "path": "/metadata/finalizers/0", "value": finalizer}, remove]))
    refused(call(cluster, "K8S_JSON_PATCH", **where, body=[{"op": "replace", "path": "/spec/mode", "value": "Nope"}]),
            "Invalid", "spec.mode")
    refused(call(cluster, "K8S_JSON_PATCH", **dict(where, name="absent"), body=[remove]), "NotFound")


def test_merge_patch_stale_version(cluster, account):
    name, _ = account
    refused(call(cluster, "K8S_MERGE_PATCH", **SA, name=name, body={"metadata": {"resourceVersion": "1"}}), "Conflict")


def lease(name, version=None, holder="me"):
    metadata = {"resourceVersion": version} if version else {}
    return {"metadata": metadata, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0,
                                           "renewTime": "2026-01-02T03:04:05.000000Z"}}


def test_lease_create_update_conflict(cluster):
    where = {"resource": "leases", "namespace": "default"}
    made = ok(call(cluster, "K8S_CREATE", **where, name="l", body=lease("l")))
    refused(call(cluster, "K8S_CREATE", **where, name="l", body=lease("l")), "AlreadyExists")
    version = made["metadata"]["resourceVersion"]
    ok(call(cluster, "K8S_UPDATE", **where, name="l", body=lease("l", version, "you")))
    refused(call(cluster, "K8S_UPDATE", **where, name="l", body=lease("l", version, "they")), "Conflict", "modified")
    refused(call(cluster, "K8S_UPDATE", **where, name="l", body=lease("l")), "Invalid", "K-P1")
    bad = lease("l2")
    bad["spec"]["renewTime"] = "2026-01-02T03:04:05.123Z"
    refused(call(cluster, "K8S_CREATE", **where, name="l2", body=bad), "Invalid", "parsing time")
    refused(call(cluster, "K8S_CREATE", resource="leases", namespace="no-such", name="l", body=lease("l")), "NotFound",
            "namespaces")


def test_delete_preconditions(cluster, account):
    name, uid = account
    version = cluster.api.get("serviceaccounts", name, "default")["metadata"]["resourceVersion"]
    refused(call(cluster, "K8S_DELETE", **SA, name=name, uid="wrong", resourceVersion=version), "Conflict", "UID")
    refused(call(cluster, "K8S_DELETE", **SA, name=name, uid=uid, resourceVersion="1"), "Conflict", "ResourceVersion")
    refused(call(cluster, "K8S_DELETE", **SA, name=name, uid=uid), "Invalid", "K-P7")
    ok(call(cluster, "K8S_DELETE", **SA, name=name, uid=uid, resourceVersion=version))
    refused(call(cluster, "K8S_DELETE", **SA, name=name, uid=uid, resourceVersion=version), "NotFound")


def test_event_create_and_series(cluster):
    where = {"resource": "events.events.k8s.io", "namespace": "default", "name": "e.1"}
    body = {"eventTime": "2026-01-02T03:04:05.000000Z", "reportingController": "cniiam.dev/controller",
            "reportingInstance": "i", "action": "Apply", "reason": "Test", "type": "Normal", "note": "n",
            "regarding": {"kind": "CniIamBinding", "apiVersion": "cniiam.dev/v1alpha1", "name": "b"}}
    ok(call(cluster, "K8S_CREATE", **where, body=body))
    ok(call(cluster, "K8S_MERGE_PATCH", **where, body={
        "series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:06.000000Z"}}))
    refused(call(cluster, "K8S_MERGE_PATCH", **where, body={"note": "other"}), "Invalid")


# ---------------------------------------------------------------------------------------------- identity


def test_token_issuer_and_reviews(cluster, account):
    name, _ = account
    value = ok(call(cluster, "K8S_TOKEN_ISSUER", namespace="default", name=name))
    assert value == {"issuer": ISSUER, "subject": f"system:serviceaccount:default:{name}",
                     "audiences": ["sts.amazonaws.com"]}
    refused(call(cluster, "K8S_TOKEN_ISSUER", namespace="default", name="absent"), "NotFound")
    nobody = cluster.operator_kubeconfig("default", name)
    refused(call(cluster, "K8S_TOKEN_ISSUER", namespace="default", name=name, kubeconfig=nobody), "Forbidden",
            "cannot create resource")
    assert ok(call(cluster, "K8S_ACCESS_REVIEW", verb="patch", group="apps", resource="daemonsets",
                   namespace="kube-system", name="aws-node"))["allowed"] is True
    assert ok(call(cluster, "K8S_ACCESS_REVIEW", verb="patch", group="apps", resource="daemonsets",
                   namespace="kube-system", kubeconfig=nobody))["allowed"] is False
    refused(call(cluster, "K8S_APPLY", resource="daemonsets", namespace="kube-system", name="aws-node", fieldManager="x",
                 body={"metadata": {"uid": "u"}}, kubeconfig=nobody), "Forbidden", "cannot patch")


def test_pod_dry_run_changes_nothing(cluster):
    pod = {"metadata": {"generateName": "dry-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    value = ok(call(cluster, "K8S_POD_DRY_RUN", namespace="default", body=pod))
    assert value["metadata"]["uid"] and value["spec"]["serviceAccountName"] == "default"
    assert "resourceVersion" not in value["metadata"]
    assert not [p for p in cluster.api.list("pods", "default") if p["metadata"]["name"].startswith("dry-")]


def test_bad_and_missing_tokens(cluster, account):
    refused(call(cluster, "K8S_GET", **SA, name="default", kubeconfig=cluster.write_kubeconfig("bad", token="nope")),
            "Unauthorized")
    refused(call(cluster, "K8S_GET", **SA, name="default", kubeconfig=cluster.write_kubeconfig("anon", token="")),
            "Forbidden", "system:anonymous")


def test_client_certificate(cluster):
    pair = cluster.client_certificate("carol", ("system:masters",))
    config = cluster.write_kubeconfig("carol", client_certificate=pair)
    ok(call(cluster, "K8S_GET", resource="namespaces", name="default", kubeconfig=config))


KUBECONFIG = """
apiVersion: v1
kind: Config
clusters:
- name: c
  cluster: {{server: '{server}', certificate-authority: '{ca}', tls-server-name: 'localhost'}}
users:
- name: u
  user: {user}
contexts:
- {{name: x, context: {{cluster: c, user: u}}}}
current-context: x
"""


def kubeconfig_with(cluster, tmp_path, user):
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.format(server=cluster.server, ca=cluster.ca_file, user=json.dumps(user)))
    return path


def test_exec_plugin(cluster, account, tmp_path):
    name, _ = account
    token = cluster.mint_token("default", name)
    plugin = tmp_path / "plugin"
    plugin.write_text("""#!/bin/sh
cat <<END
{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}
END
""" % token)
    plugin.chmod(0o755)
    config = kubeconfig_with(cluster, tmp_path, {"exec": {
        "command": "./plugin", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}})
    refused(call(cluster, "K8S_GET", **SA, name="default", kubeconfig=config), "Forbidden",
            f"system:serviceaccount:default:{name}")


def test_impersonation(cluster, tmp_path):
    config = kubeconfig_with(cluster, tmp_path, {"token": cluster.tokens["admin"], "as": "mallory", "as-groups": ["g"],
                                                 "as-user-extra": {"Example.com/Scope": ["v"]}})
    refused(call(cluster, "K8S_GET", **SA, name="default", kubeconfig=config), "Forbidden", '"mallory"')


def test_token_file_of_a_service_account(cluster, account):
    name, _ = account
    config = cluster.operator_kubeconfig("default", name, token_file=True)
    refused(call(cluster, "K8S_GET", **SA, name="default", kubeconfig=config), "Forbidden",
            f"system:serviceaccount:default:{name}")


def test_the_same_file_as_kubectl_reads(cluster, account, tmp_path):
    """Two files in KUBECONFIG, the cluster in one and the user in the other."""
    name, _ = account
    token = cluster.mint_token("default", name)
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(json.dumps({"clusters": [{"name": "c", "cluster": {
        "server": cluster.server, "certificate-authority": os.path.relpath(cluster.ca_file, tmp_path)}}]}))
    two.write_text(json.dumps({"current-context": "x", "users": [{"name": "u", "user": {"token": token}}],
                               "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}))
    env = dict(os.environ, KUBECONFIG=f"{tmp_path}/none:{one}:{two}", HOME=str(tmp_path))
    ours = subprocess.run([K8S_CALL, "K8S_GET", "resource=namespaces", "name=default"], env=env, capture_output=True,
                          text=True)
    theirs = subprocess.run([cluster.kubectl_path, "get", "namespace", "default"], env=env, capture_output=True, text=True)
    assert f"system:serviceaccount:default:{name}" in theirs.stderr
    refused(json.loads(ours.stdout), "Forbidden", f"system:serviceaccount:default:{name}")


def test_user_agent_and_audit_id(cluster):
    answer = call(cluster, "K8S_GET", resource="namespaces", name="default")
    assert len(answer["requestId"]) == 36
    agents = {r.user_agent for r in cluster.audit_requests("cni-iam/0.0-test")}
    assert agents and all(a.startswith("cni-iam/0.0-test (linux/") and a.endswith(") wire-test") for a in agents)


# ---------------------------------------------------------------------------------------------- watch


def start_watch(cluster, **args):
    return subprocess.Popen(argv_of(cluster, "WATCH", None, None, args), stdout=subprocess.PIPE, text=True)


def test_watch_events_in_order_and_clean_end(cluster):
    version = ok(call(cluster, "LIST", resource="configmaps", namespace="default"))["metadata"]["resourceVersion"]
    with start_watch(cluster, resource="configmaps", namespace="default", resourceVersion=version,
                     timeoutSeconds=4) as p:
        assert json.loads(p.stdout.readline()) == {"open": True}
        cluster.api.create("configmaps", {"metadata": {"name": "w"}, "data": {"x": "<" * 1000}}, "default")
        cluster.api.patch("configmaps", "w", {"data": {"y": "\u00e9\u2028"}}, "default")
        cluster.api.delete("configmaps", "w", "default")
        lines = [json.loads(line) for line in p.stdout]
    events = [line["line"] for line in lines if "line" in line]
    assert [e["type"] for e in events if e["type"] != "BOOKMARK"] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[1]["object"]["data"] == {"x": "<" * 1000, "y": "\u00e9\u2028"}
    assert lines[-1]["error"] == "OK"


def test_watch_by_field_selector(cluster, account):
    name, uid = account
    version = ok(call(cluster, "LIST", resource="serviceaccounts", namespace="default"))["metadata"]["resourceVersion"]
    with start_watch(cluster, resource="serviceaccounts", namespace="default", fieldSelector=f"metadata.name={name}",
                     resourceVersion=version, timeoutSeconds=3) as p:
        p.stdout.readline()
        cluster.api.create("serviceaccounts", {"metadata": {"name": name + "-other"}}, "default")
        cluster.api.patch("serviceaccounts", name, {"metadata": {"labels": {"a": "b"}}}, "default")
        events = [json.loads(line)["line"] for line in p.stdout if "line" in json.loads(line)]
    assert [e["object"]["metadata"]["name"] for e in events if e["type"] != "BOOKMARK"] == [name]


def test_watch_bookmarks(cluster):
    """A busy type gets one before the deadline."""
    cluster.api.create("configmaps", {"metadata": {"name": "busy"}}, "default")
    version = ok(call(cluster, "LIST", resource="configmaps"))["metadata"]["resourceVersion"]
    with start_watch(cluster, resource="configmaps", resourceVersion=version, timeoutSeconds=6) as p:
        while p.poll() is None:
            cluster.api.patch("configmaps", "busy", {"data": {"t": str(time.monotonic_ns())}}, "default")
            time.sleep(0.2)
        lines = [json.loads(line) for line in p.stdout]
    bookmarks = [line["line"] for line in lines if line.get("line", {}).get("type") == "BOOKMARK"]
    assert bookmarks and all(int(b["object"]["metadata"]["resourceVersion"]) > int(version) for b in bookmarks)


def test_watch_refusals(cluster, account):
    name, _ = account
    nobody = cluster.operator_kubeconfig("default", name)
    refused(call(cluster, "WATCH", resource="pods", resourceVersion="1", kubeconfig=nobody), "Forbidden")
    malformed = call(cluster, "WATCH", resource="pods", resourceVersion="abc", timeoutSeconds=2)
    assert malformed["http"] == 500 and malformed["error"] == "Invalid", malformed


def test_list_expired_continue_token(cluster, many):
    """With compaction every 3 s the token dies within half a minute."""
    first = ok(call(cluster, "LIST", resource="configmaps", namespace="kube-public", limit=3))
    deadline = time.monotonic() + 60
    while True:
        cluster.api.patch("configmaps", "many-0000", {"data": {"t": str(time.monotonic_ns())}}, "kube-public")
        answer = call(cluster, "LIST", resource="configmaps", namespace="kube-public", limit=3,
                      **{"continue": first["metadata"]["continue"]})
        if answer["error"] != "OK":
            break
        assert time.monotonic() < deadline, "the token is still good after a minute"
        time.sleep(1)
    refused(answer, "Gone")
    assert answer["wire"] == "Expired"


# Those that take the API or the server away come last.


def test_absent_crd(cluster):
    cluster.kubectl("delete", "crd", "cniiambindings.cniiam.dev")
    answer = call(cluster, "LIST", resource="cniiambindings")
    refused(answer, "NotFound", "404 page not found")
    assert answer["wire"] == "PageNotFound"
    refused(call(cluster, "WATCH", resource="cniiambindings", resourceVersion="1"), "NotFound")


def test_watch_too_old_is_an_error_event(cluster):
    """Every restart of the API server does that to every version from before it (K-W5)."""
    version = ok(call(cluster, "LIST", resource="configmaps"))["metadata"]["resourceVersion"]
    cluster.api.create("configmaps", {"metadata": {"name": "later"}}, "default")
    cluster.restart_apiserver()
    lines = stream(cluster, "WATCH", resource="configmaps", resourceVersion=version, timeoutSeconds=3)
    event = lines[1]["line"]
    assert event["type"] == "ERROR" and event["object"]["code"] == 410 and event["object"]["reason"] == "Expired"
    assert lines[0] == {"open": True} and lines[-1]["error"] == "OK"


def test_api_server_killed_and_gone(cluster):
    version = ok(call(cluster, "LIST", resource="pods"))["metadata"]["resourceVersion"]
    with start_watch(cluster, resource="pods", resourceVersion=version, timeoutSeconds=60) as p:
        assert json.loads(p.stdout.readline()) == {"open": True}
        cluster.stop_apiserver()
        lines = [json.loads(line) for line in p.stdout]
    refused(lines[-1], "Lost")
    refused(call(cluster, "K8S_GET", resource="namespaces", name="default"), "Unreachable")
