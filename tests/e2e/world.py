"""A cluster in an AWS account, with aws-node on the node role and the operator beside it: what every suite here begins with.

    with World("ministack", nodes=3) as world:
        world.apply(fast())
        world.wait("Ready")

The operator runs as it would outside of a cluster: with a token of its own ServiceAccount, under the RBAC of manifests/base, and
in AWS with an access key of its own, under manifests/iam/operator-policy.json.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path
from typing import Any, Callable

from kubeproxy import KubeProxy
from testbed.awsproxy import Call, Rule
from testbed.awsworld import CNI_POLICY, AwsWorld
from testbed.controlplane import ApiError, AuditEntry, ControlPlane, Process, Timeout, free_port, wait_until
from testbed.nodeagent import NodeAgent
from testbed.watcher import Watcher

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "build/release/cni-iam"
POLICY = ROOT / "manifests/iam/operator-policy.json"
POLICY_IPV6 = ROOT / "manifests/iam/operator-policy-ipv6.json"
OPERATOR = "system:serviceaccount:kube-system:cni-iam"
LONG = os.environ.get("CNI_IAM_LONG") == "1"
NAME = "aws-node"
PATIENCE = 120.0  # nothing here takes so long on a machine that has something else to do
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
RESTARTED_FOR = "cniiam.dev/restarted-for"
MANAGED_BY = {"cniiam.dev/managed-by": "cni-iam"}
TOKEN_FILE = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"

# Without waits: what is waited for in production is IAM's propagation, which an emulator has none of.
FAST: dict[str, Any] = {
    "rollout": {"proofSeconds": 0, "settleSeconds": 0, "progressDeadlineSeconds": 60},
    "nodeRole": {"detach": "Automatic", "soakSeconds": 1},
}


def merged(base: dict, more: dict) -> dict:
    result = copy.deepcopy(base)
    for key, value in more.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


def fast(more: dict | None = None, detach: str = "Automatic") -> dict:
    return merged(merged(FAST, {"nodeRole": {"detach": detach}}), more or {})


def condition(binding: dict | None, kind: str) -> dict:
    return next((each for each in (binding or {}).get("status", {}).get("conditions", []) if each["type"] == kind), {})


def role_of(container: dict) -> str:
    return next((each.get("value", "") for each in container.get("env", []) if each["name"] == "AWS_ROLE_ARN"), "")


def defects(pod: dict, role_arn: str) -> list[str]:
    """What a pod lacks to run with this role, in every container."""
    spec, found = pod["spec"], []
    for container in spec["containers"] + spec.get("initContainers", []):
        env = {each["name"]: each.get("value", "") for each in container.get("env", [])}
        if env.get("AWS_ROLE_ARN") != role_arn:
            found.append(f"{container['name']}: AWS_ROLE_ARN is {env.get('AWS_ROLE_ARN')}")
        if env.get("AWS_WEB_IDENTITY_TOKEN_FILE") != TOKEN_FILE:
            found.append(f"{container['name']}: no token file")
        if not any(TOKEN_FILE.startswith(mount["mountPath"]) and mount["name"] == "aws-iam-token"
                   for mount in container.get("volumeMounts", [])):
            found.append(f"{container['name']}: no mount")
    audiences = [source["serviceAccountToken"]["audience"] for volume in spec.get("volumes", [])
                 if volume["name"] == "aws-iam-token" for source in volume["projected"]["sources"]]
    if audiences != ["sts.amazonaws.com"]:
        found.append(f"audiences {audiences}")
    return found


class World:
    """A with statement.

    nodes        how many, each with an instance on the node role
    cni_policy   whether the node role has the CNI policy
    operator     whether it is started at once
    server       URL by which the operator reaches the API server, in place of its own
    aws          more for AwsWorld
    """

    def __init__(self, kind: str = "ministack", nodes: int = 3, cni_policy: bool = True, operator: bool = True,
                 ipv6: bool = False, **aws: Any):
        self.kind, self.nodes, self.cni_policy, self.start_operator, self.ipv6 = kind, nodes, cni_policy, operator, ipv6
        self.aws_options = aws
        self.operator: Process | None = None
        self.flags: list[str] = []
        # Not so short that a machine which has something else to do loses it.
        self.lease = ["--leader-elect-lease-duration", "8s", "--leader-elect-renew-deadline", "6s"]
        self.killed = threading.Event()
        self._life = threading.Lock()  # hooks kill from threads of their own
        self.names: list[str] = []

    def __enter__(self) -> World:
        with contextlib.ExitStack() as stack:
            self._enter(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *why: Any) -> None:
        # Before its servers: what it would log then hides what matters.
        if self.operator:
            self.operator.kill()
        self._stack.__exit__(*why)

    def _enter(self, stack: contextlib.ExitStack) -> None:
        options: dict[str, Any] = {"operator_policy": self.policy()}
        self.aws = stack.enter_context(AwsWorld(
            self.kind, ip_family="ipv6" if self.ipv6 else "ipv4", **(options | self.aws_options)))
        if not self.cni_policy:
            self.aws.detach(self.aws.node_role)
        self.cp = stack.enter_context(ControlPlane(self.aws.issuer))
        # From now on STS refuses tokens that this API server has not signed.
        self.aws.proxy.token_key = self.cp.dir / "serviceaccount.key"
        for _ in range(self.nodes):
            self.add_node(wait=False)
        self.cp.deploy_aws_node(ipv6=self.ipv6)
        self.cp.wait_daemonset(nodes=self.nodes)
        self.cp.deploy_webhook()
        self.cp.kubectl("apply", "-k", ROOT / "manifests/base")
        self.cp.kubectl("-n", "kube-system", "delete", "deployment", "cni-iam")
        self.cp.kubectl("wait", "--for=condition=Established", "crd/cniiambindings.cniiam.dev", "--timeout=30s")
        wait_until(lambda: "cniiambindings" in self.cp.kubectl("api-resources", check=False).stdout, 30, "the API is served")
        self.binary = self.cp.dir / "cni-iam"
        shutil.copy(BINARY, self.binary)  # it may be built anew meanwhile
        self.kubeconfig = self.cp.operator_kubeconfig("kube-system", "cni-iam")
        self.log = self.cp.logs / "cni-iam.log"
        self.before = self.aws.state()
        if self.start_operator:
            self.start()

    def policy(self) -> dict:
        """The shipped one, as its own script renders it."""
        documents = []
        for path in [POLICY, POLICY_IPV6] if self.ipv6 else [POLICY]:
            done = subprocess.run([POLICY.parent / "render", path, "CLUSTER_NAME=prod", "REGION=us-west-2", "ACCOUNT_ID=111122223333",
                                   # ministack knows no region of a request; every other condition holds.
                                   "--without-condition", "aws:RequestedRegion"], check=True, capture_output=True, text=True)
            documents.append(json.loads(done.stdout))
        return documents[0] | {"Statement": [each for document in documents for each in document["Statement"]]}

    # ------------------------------------------------------------------------------------------------------ the operator

    def env(self) -> dict[str, str]:
        return self.aws.env(HOME=str(self.cp.dir), PATH=os.environ["PATH"])

    def start(self, *flags: str) -> Process:
        """Starts the operator; flags given once are kept for later starts."""
        if flags:
            self.flags = list(flags)
        self.killed.clear()
        self.health = f"127.0.0.1:{free_port()}"
        self.operator = self.process("cni-iam", self.health)
        return self.operator

    def process(self, name: str, health: str) -> Process:
        """A replica with a state of its own."""
        return Process(name, [
            self.binary, "controller", "--kubeconfig", self.kubeconfig, "--cluster-name", self.aws.cluster, "--region", self.aws.region,
            "--state-file", self.cp.dir / f"{name}.db", "--health-probe-bind-address", health, *self.lease,
            "--leader-elect-retry-period", "500ms", "--aws-audit-interval", "3s", *self.flags],
            self.cp.logs / f"{name}.log", env=self.env(), cwd=self.cp.dir)

    def kill(self, *_: Any) -> None:
        """SIGKILL; may be called from a hook of the proxy."""
        with self._life:
            if self.operator:
                process, self.operator = self.operator, None
                process.kill()
            self.killed.set()

    def revive(self) -> None:
        """Starts another one if this one was killed, or ended by itself as one does that lost its lease."""
        with self._life:
            if self.killed.is_set() or (self.operator and self.operator.popen.poll() is not None):
                self.start()

    def resume(self) -> None:
        """Waits until a hook has killed it, and starts it again."""
        if not self.killed.wait(PATIENCE):
            raise Timeout(f"the operator was not killed as planned\n{self.tell()}")
        self.start()

    def stop(self, timeout: float = 10) -> int:
        process, self.operator = self.operator, None
        return process.terminate(timeout)

    def readyz(self) -> str:
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://{self.health}/readyz", timeout=2).read().decode()
        return ""

    def command(self, *argv: Any, input: str | None = None, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A subcommand of the binary, by default as the cluster's admin."""
        return subprocess.run([self.binary, *map(str, argv)], input=input, capture_output=True, text=True, timeout=60,
                              env=self.env() | {"KUBECONFIG": str(kubeconfig or self.cp.kubeconfig)}, cwd=self.cp.dir)

    def approve(self, name: str = NAME) -> str:
        done = self.command("approve", name)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def log_lines(self, message: str) -> list[dict]:
        lines = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("msg") == message:
                    lines.append(entry)
        return lines

    # ------------------------------------------------------------------------------------------------------- the binding

    @staticmethod
    def manifest(spec: dict, name: str = NAME) -> str:
        return json.dumps({"apiVersion": "cniiam.dev/v1alpha1", "kind": "CniIamBinding", "metadata": {"name": name}, "spec": spec})

    def apply(self, spec: dict, name: str = NAME) -> None:
        self.cp.kubectl("apply", "-f", "-", input=self.manifest(spec, name))

    def patch(self, spec: dict, name: str = NAME) -> None:
        self.cp.api.patch("cniiambindings", name, {"spec": spec})

    def binding(self, name: str = NAME) -> dict | None:
        return self.cp.api.find("cniiambindings", name)

    def condition(self, kind: str, name: str = NAME) -> dict:
        return condition(self.binding(name), kind)

    def wait(self, kind: str, status: str = "True", reason: str | None = None, name: str = NAME,
             timeout: float = PATIENCE) -> dict:
        """Until the condition stands so, for the spec as it is now. Returns the condition."""
        def reached() -> dict | None:
            binding = self.binding(name)
            found = condition(binding, kind)
            if found.get("status") != status or (reason and found.get("reason") != reason):
                return None
            return found if found.get("observedGeneration") == binding["metadata"]["generation"] else None

        return self.until(reached, f"{kind} is {status}{f' for {reason}' if reason else ''}", timeout)

    def until(self, predicate: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
        try:
            return wait_until(predicate, timeout, what, interval=0.1, alive=self._alive)
        except Timeout as late:
            raise Timeout(f"{late}\n{self.tell()}") from None

    def _alive(self) -> None:
        with self._life:
            if self.operator and self.operator.popen.poll() is not None and not self.killed.is_set():
                self.operator.check()

    def tell(self) -> str:
        """What the binding says, and the last of the log."""
        lines = []
        for binding in self.cp.api.list("cniiambindings"):
            lines += [f"{binding['metadata']['name']}: {each['type']}={each['status']} {each['reason']}: {each.get('message', '')}"
                      for each in binding.get("status", {}).get("conditions", [])]
        tail = self.log.read_text(errors="replace").splitlines()[-15:] if self.log.exists() else []
        return "\n".join([*lines, *(line[:600] for line in tail), *map(str, self.aws.proxy.calls()[-12:])])

    def delete(self, name: str = NAME, timeout: float = PATIENCE) -> None:
        self.cp.kubectl("delete", "cib", name, "--wait=false")
        self.until(lambda: self.binding(name) is None, f"{name} is gone", timeout)

    def status(self, name: str = NAME) -> dict:
        return (self.binding(name) or {}).get("status", {})

    # --------------------------------------------------------------------------------------------------------- the world

    def add_node(self, wait: bool = True, role: str | None = None) -> str:
        name = f"node-{len(self.names):02d}"
        self.names.append(name)
        self.cp.add_node(name, self.aws.add_instance(role), wait=wait)
        return name

    @property
    def role_name(self) -> str:
        return self.status()["role"]["name"]

    @property
    def role_arn(self) -> str:
        return self.status()["role"]["arn"]

    def pods(self) -> list[dict]:
        return self.cp.aws_node_pods()

    def pods_without(self, role_arn: str) -> dict[str, list[str]]:
        return {pod["metadata"]["name"]: found for pod in self.pods() if (found := defects(pod, role_arn))}

    def pods_on_node_role(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods() if not any(map(role_of, pod["spec"]["containers"]))]

    def serviceaccount(self) -> dict:
        return self.cp.api.get("serviceaccounts", "aws-node", "kube-system")

    def annotation(self) -> str | None:
        return self.serviceaccount()["metadata"].get("annotations", {}).get(ROLE_ANNOTATION)

    def annotate(self, value: str | None) -> None:
        self.cp.api.patch("serviceaccounts", "aws-node", {"metadata": {"annotations": {ROLE_ANNOTATION: value}}}, "kube-system",
                          field_manager="kubectl-annotate")

    def node_role_has_policy(self) -> bool:
        return CNI_POLICY in self.aws.node_role_policies()

    def writes(self, since: float | None = None) -> list[Call]:
        """What the operator wrote in AWS."""
        return self.aws.proxy.calls(writes=True, since=since)

    def kube_writes(self, since: float | None = None, lease: bool = False) -> list[AuditEntry]:
        """What the operator wrote in Kubernetes; without the Lease, unless asked for."""
        return [entry for entry in self.cp.audit_requests(user=OPERATOR, writes=True, since=since)
                if lease or entry.resource != "leases"]

    def events(self, reason: str | None = None) -> list[dict]:
        return [event for event in self.cp.api.list("events") if event["involvedObject"]["kind"] == "CniIamBinding"
                and reason in (None, event["reason"])]

    # ------------------------------------------------------------------------------------------------------------- checks

    def assert_migrated(self) -> None:
        """Everything is as the walkthrough in the AWS documentation leaves it, and nothing else has changed."""
        arn, name = self.role_arn, self.role_name
        state, provider = self.aws.state(), self.aws.provider_arn()
        assert self.pods_without(arn) == {}
        assert len(self.pods()) == len(self.names)
        assert self.annotation() == arn
        assert state["providers"].pop(provider)["client_ids"] == ["sts.amazonaws.com"]
        role = state["roles"].pop(name)
        trust = role["trust"]
        for statement in trust["Statement"]:
            statement.pop("Sid", None)  # a name, by which the operator finds its own statement again
        assert trust == self.aws.irsa_trust()
        assert role["attached"] == [CNI_POLICY] and role["inline"] == {} and role["boundary"] is None
        assert role["tags"].items() >= MANAGED_BY.items()
        assert state["roles"][self.aws.node_role]["attached"] == [
            each for each in self.before["roles"][self.aws.node_role]["attached"] if each != CNI_POLICY]
        state["roles"][self.aws.node_role] = self.before["roles"][self.aws.node_role]
        assert state == self.before

    def reset(self) -> None:
        """As it was, by hand, after a test that left something: nobody knows any more what was there before the first binding."""
        self.aws.proxy.clear()
        for binding in self.cp.api.list("cniiambindings"):
            name = binding["metadata"]["name"]
            self.cp.api.patch("cniiambindings", name, {"metadata": {"annotations": {"cniiam.dev/abandon": "true"}}})
            self.delete(name)
        self.aws.attach(self.aws.node_role)
        self.annotate(None)
        self.cp.restart_aws_node()
        for arn in self.aws.providers():
            self.aws.client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        for name in set(self.aws.roles()) - set(self.before["roles"]):
            self.aws.delete_role(name)
        self.assert_restored()

    def assert_restored(self) -> None:
        """AWS is as it was before the first binding, and the pods live on the node role."""
        assert self.aws.state() == self.before
        assert self.annotation() is None
        assert len(self.pods_on_node_role()) == len(self.names)


@contextlib.contextmanager
def by_proxy(world: World) -> Any:
    """From the next start on, the operator reaches the API server by way of world.kube."""
    with KubeProxy(world.cp.server, world.cp.ca_file, world.cp.mint_token("kube-system", "cni-iam")) as kube:
        text = world.kubeconfig.read_text().replace(world.cp.server, kube.url)
        world.kubeconfig = world.cp.dir / "by-proxy.kubeconfig"
        world.kubeconfig.write_text("".join(line for line in text.splitlines(True) if "certificate-authority" not in line))
        world.kubeconfig.chmod(0o600)
        world.kube = kube
        yield kube


@contextlib.contextmanager
def watched(world: World) -> Any:
    """The watcher and the node agent, all the time."""
    watcher = Watcher.of(world.aws, world.cp)
    with watcher, NodeAgent(world.cp, watcher.has_permission):
        yield watcher


__all__ = [
    "ApiError", "BINARY", "CNI_POLICY", "Call", "FAST", "LONG", "NAME", "OPERATOR", "PATIENCE", "RESTARTED_FOR", "ROLE_ANNOTATION",
    "ROOT", "Rule", "World", "by_proxy", "condition", "defects", "fast", "merged", "role_of", "wait_until", "watched",
]
