"""The main job on a real control plane, told while it happens: what ./quickstart --real shows.

Exit status 0 only when every pod has the role, the node role has lost the CNI policy, and no pod was without permissions meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from .awsworld import CNI_POLICY, AwsWorld
from .controlplane import ControlPlane, Process, wait_until

REPO = Path(__file__).resolve().parents[2]
BINDING = {
    "apiVersion": "cniiam.dev/v1alpha1",
    "kind": "CniIamBinding",
    "metadata": {"name": "aws-node"},
    "spec": {
        # The defaults wait minutes, for production's sake; here they are short.
        "rollout": {"proofSeconds": 3, "settleSeconds": 2, "progressDeadlineSeconds": 120},
        "nodeRole": {"detach": "Automatic", "soakSeconds": 5},
    },
}


class Story:
    """Prints what is new: gates that changed, Events of the binding, the pods' identities."""

    def __init__(self, cluster: ControlPlane, aws: AwsWorld):
        self.cluster, self.aws, self.started = cluster, aws, time.monotonic()
        self.gates: dict[str, str] = {}
        self.events: set[str] = set()
        self.pods = ""
        self.color = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def line(self, mark: str, text: str) -> None:
        if self.color:
            mark = {"+": "\033[32m+\033[0m", "!": "\033[31m!\033[0m"}.get(mark, mark)
        print(f"{time.monotonic() - self.started:6.1f} s  {mark} {text}", flush=True)

    def look(self) -> dict:
        found = json.loads(self.cluster.kubectl("get", "cib", "-o", "json").stdout)["items"]
        binding = found[0] if found else {}
        events = json.loads(self.cluster.kubectl("get", "events", "-n", "kube-system", "-o", "json").stdout)["items"]
        for event in sorted(events, key=lambda e: e.get("eventTime") or ""):
            uid = event["metadata"]["uid"]
            if uid not in self.events and event.get("involvedObject", {}).get("kind") == "CniIamBinding":
                self.events.add(uid)
                self.line("+" if event["type"] == "Normal" else "!", f"{event['reason']}: {event.get('message', '')}")
        for gate in binding.get("status", {}).get("gates", []):
            state = gate.get("state", "")
            if self.gates.get(gate["name"]) != state:
                self.gates[gate["name"]] = state
                if state in ("Passed", "Failed"):
                    self.line("+" if state == "Passed" else "!", f"{gate['name']} {state}: {gate.get('evidence', '')}")
        pods = self.cluster.aws_node_pods()
        wave = "".join("#" if has_role(pod) else "." for pod in sorted(pods, key=lambda p: p["spec"].get("nodeName", "")))
        if wave != self.pods:
            self.pods = wave
            self.line(" ", f"nodes [{wave}]  # own role, . node role")
        return binding


def has_role(pod: dict) -> bool:
    return any(env["name"] == "AWS_ROLE_ARN" for c in pod["spec"]["containers"] for env in c.get("env", []))


def condition(binding: dict, kind: str) -> dict:
    return next((c for c in binding.get("status", {}).get("conditions", []) if c["type"] == kind), {})


def operator(cluster: ControlPlane, aws: AwsWorld, folder: Path) -> Process:
    cluster.kubectl("apply", "-k", str(REPO / "manifests/base"))
    # Here it runs outside of the cluster, with the ServiceAccount and the RBAC of the manifests.
    cluster.kubectl("-n", "kube-system", "delete", "deployment", "cni-iam", "--ignore-not-found")
    cluster.kubectl("wait", "--for=condition=Established", "crd/cniiambindings.cniiam.dev", "--timeout=30s")
    kubeconfig = cluster.operator_kubeconfig("kube-system", "cni-iam")
    argv = [str(REPO / "build/release/cni-iam"), "controller", "--kubeconfig", str(kubeconfig), "--cluster-name", aws.cluster,
            "--region", aws.region, "--state-file", str(folder / "state.db"), "--aws-audit-interval", "10s",
            "--leader-elect-retry-period", "500ms"]
    return Process("cni-iam", argv, folder / "cni-iam.log", env=aws.env(HOME=str(folder), PATH=os.environ["PATH"]), cwd=folder)


def run(nodes: int, keep: bool) -> int:
    with AwsWorld("ministack") as aws, ControlPlane(aws.issuer) as cluster:
        folder = cluster.dir
        for i in range(nodes):
            cluster.add_node(f"node-{i:02d}", aws.add_instance(), wait=False)
        cluster.deploy_aws_node()
        cluster.deploy_webhook()
        story = Story(cluster, aws)
        story.line(" ", f"{nodes} nodes; aws-node lives on the node role {aws.node_role}, as every other pod on the nodes could")
        process = operator(cluster, aws, folder)
        cluster.kubectl("apply", "-f", "-", input=json.dumps(BINDING))
        story.line("+", "kubectl apply: one CniIamBinding")

        def done() -> bool:
            process.check()
            return condition(story.look(), "Ready").get("status") == "True"

        try:
            wait_until(done, 180, "the binding to become Ready", interval=0.3)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the reader wants the state and the log
            ready = condition(story.look(), "Ready")
            story.line("!", f"not done: {problem}; Ready is {ready.get('reason')}: {ready.get('message')}")
            print(process.tail())
            return 1
        left = aws.node_role_policies()
        ok = CNI_POLICY not in left and all(has_role(pod) for pod in cluster.aws_node_pods())
        story.line("+" if ok else "!", f"node role {aws.node_role} has: {', '.join(p.rsplit('/', 1)[1] for p in left)}")
        calls = aws.proxy.calls()
        story.line(" ", f"{len(calls)} AWS calls, {sum(c.is_write for c in calls)} of them writes; cni-iam uses {process.rss():.0f} MiB")
        if keep:
            look_around(cluster, aws, process)
        return 0 if ok else 1


def look_around(cluster: ControlPlane, aws: AwsWorld, process: Process) -> None:
    print(f"""
Look around:
  export KUBECONFIG={cluster.kubeconfig} PATH=$PATH:{Path(cluster.kubectl_path).parent}
  kubectl get cib -o wide; kubectl describe cib aws-node; kubectl get events
Break something, and watch it being repaired:
  kubectl -n kube-system annotate sa aws-node eks.amazonaws.com/role-arn-
  kubectl get cib -w
Undo it all, in the safe order:
  kubectl delete cib aws-node
Ctrl-C ends this world.""", flush=True)
    try:
        while True:
            process.check()
            time.sleep(1)
    except KeyboardInterrupt:
        print()


def main() -> int:
    parser = argparse.ArgumentParser(prog="quickstart", description=__doc__)
    parser.add_argument("--nodes", type=int, default=10, help="how many (default 10)")
    parser.add_argument("--keep", action="store_true", help="leave it running to look around; Ctrl-C ends it")
    options = parser.parse_args()
    if not 1 <= options.nodes <= 200:
        parser.error("--nodes: from 1 to 200")
    return run(options.nodes, options.keep)


if __name__ == "__main__":
    sys.exit(main())
