"""The watcher: asks AWS, for every aws-node pod and all the time, whether the credentials that the pod runs with may do what
the CNI has to do. It is independent of the operator: it takes from the pod's own spec whose credentials those are, obtains
them as the pod would, and makes the call with them; what is attached to which role it never looks at.

    watcher = Watcher.of(aws, cluster)
    with watcher:
        ... the migration ...
    assert not watcher.violations

Only ministack with AUTH can answer. Its verdicts are at once what was written last: there is no propagation delay in them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
import time
from typing import Any, Callable
from xml.etree import ElementTree

from .awsproxy import ROOT, AwsError, Call, Credentials, Query
from .awsworld import AwsWorld

# What AWS says to a caller that may not do it.
REFUSED = {"UnauthorizedOperation", "AccessDenied"}
# And what STS says when the identity that a pod was given is not one (any more).
NOT_GIVEN = REFUSED | {"InvalidIdentityToken", "IDPRejectedClaim"}

CONTAINER = "aws-node"


class NoCredentials(Exception):
    """The pod gets none, so it may do nothing."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """Where the credentials of a pod come from. Pods with equal ones have the same."""

    kind: str  # web-identity, node or static
    role: str = ""  # ARN
    audience: str = ""
    serviceaccount: tuple[str, str] = ("", "")
    instance: str = ""  # of node, until it is known what role it has
    keys: Credentials | None = None  # of static

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.role, self.instance, self.keys and self.keys.access_key)))


@dataclasses.dataclass(frozen=True)
class Verdict:
    permitted: bool
    reason: str
    identity: Identity | None


@dataclasses.dataclass
class Violation:
    """A time in which a pod that ran had no permission. `end` is None while it lasts, and where the pod ended with it."""

    pod: str
    uid: str
    node: str
    identity: str
    reason: str
    start: float
    end: float | None = None
    # It had been seen with permission before.
    lost: bool = False

    def __str__(self) -> str:
        lasted = f"{self.end - self.start:.2f} s" if self.end else "not over"
        what = "lost" if self.lost else "never had"
        return f"{self.pod} on {self.node} ({self.identity}) {what} permission: {self.reason}; {lasted}"


def identity_of(pod: dict, provider_id: Callable[[str], str]) -> Identity:
    """What the AWS SDK in the pod's aws-node container takes: static keys, then the web identity, then the node's role.
    Raises NoCredentials where it would stop at something broken instead of going on to the next."""
    spec = pod["spec"]
    container = next(each for each in spec["containers"] if each["name"] == CONTAINER)
    env = {each["name"]: each.get("value", "") for each in container.get("env", [])}
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        return Identity("static", keys=Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"],
                                                   env.get("AWS_SESSION_TOKEN", "")))
    if file := env.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        if not (role := env.get("AWS_ROLE_ARN")):
            raise NoCredentials("AWS_WEB_IDENTITY_TOKEN_FILE without AWS_ROLE_ARN")
        source = _token_source(spec, container, file)
        return Identity("web-identity", role=role, audience=source.get("audience", ""),
                        serviceaccount=(pod["metadata"]["namespace"], spec.get("serviceAccountName", "default")))
    if env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") or env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        raise ValueError("container credentials: no emulator hands them out, so nothing can be said of them")
    return Identity("node", instance=provider_id(spec["nodeName"]).rsplit("/", 1)[-1])


def _token_source(spec: dict, container: dict, file: str) -> dict:
    """The serviceAccountToken that the pod has in this file."""
    for mount in container.get("volumeMounts", []):
        volume = next((each for each in spec.get("volumes", []) if each["name"] == mount["name"]), {})
        for source in volume.get("projected", {}).get("sources", []):
            token = source.get("serviceAccountToken")
            if token and f"{mount['mountPath'].rstrip('/')}/{token['path']}" == file:
                return token
    raise NoCredentials(f"no token is mounted at {file}")


class Watcher:
    """start() and stop(), or a with statement; has_permission() works without.

    pods         gives the aws-node pods that there are
    mint_token   namespace, ServiceAccount, audiences, seconds → token
    provider_id  node's name → its spec.providerID
    action       of EC2: for IPv6 it is AssignIpv6Addresses
    interval     at most so often all pods are asked for, in seconds; besides, they are after every write that comes through
                 the proxy, before its answer: so no state that a write leaves behind goes unseen, however short
    reuse        for so long credentials are used again before they are obtained anew, in seconds; a verdict never is
    """

    def __init__(self, aws: AwsWorld, pods: Callable[[], list[dict]],
                 mint_token: Callable[[str, str, tuple[str, ...], int], str], provider_id: Callable[[str], str],
                 action: str = "AssignPrivateIpAddresses", interval: float = 0.2, reuse: float = 1.0):
        if aws.kind != "ministack" or not aws.auth:
            raise ValueError("only ministack with AUTH evaluates trust and permissions")
        self.aws = aws
        self.pods = pods
        self.mint_token = mint_token
        self.provider_id = provider_id
        self.action = action
        self.interval = interval
        self.reuse = reuse
        # Straight to the emulator, but for the exchange of tokens: there the emulator does not look for the provider.
        self.emulator = Query(aws.emulator, aws.region)
        self.sts = Query(aws.quiet_endpoint, aws.region)
        self.violations: list[Violation] = []
        self.errors: list[str] = []
        self.rounds = 0
        self.questions = 0
        # The longest time between two rounds of the clock.
        self.longest_gap = 0.0
        self._cache: dict[Identity, tuple[float, Credentials]] = {}
        self._instance_roles: dict[str, tuple[float, str]] = {}
        self._tokens: dict[tuple, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._one_round = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._had: set[str] = set()
        self._open: dict[str, Violation] = {}

    @classmethod
    def of(cls, aws: AwsWorld, cluster: Any, **options: Any) -> Watcher:
        """For a ControlPlane."""
        nodes: dict[str, str] = {}

        def provider_id(name: str) -> str:
            # Of a node that there is, it never changes.
            if name not in nodes:
                nodes[name] = cluster.api.get("nodes", name)["spec"]["providerID"]
            return nodes[name]

        return cls(aws, cluster.aws_node_pods, cluster.mint_token, provider_id, **options)

    def __enter__(self) -> Watcher:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ---------------------------------------------------------------------------------------------------- one question

    def has_permission(self, pod: dict) -> bool:
        """Whether this pod's credentials may do it now. Raises where that can not be found out."""
        return self.verdict(pod).permitted

    def verdict(self, pod: dict) -> Verdict:
        try:
            identity = self._identity(pod)
        except NoCredentials as error:
            return Verdict(False, str(error), None)
        return self._ask(identity)

    def _identity(self, pod: dict) -> Identity:
        identity = identity_of(pod, self.provider_id)
        if identity.kind == "node":
            # So that nodes with one role have one identity.
            return Identity("node", role=self._instance_role(identity.instance))
        return identity

    def _ask(self, identity: Identity) -> Verdict:
        try:
            credentials = self._credentials(identity)
        except NoCredentials as error:
            return Verdict(False, str(error), identity)
        self.questions += 1
        try:
            self.emulator("ec2", self.action, credentials, NetworkInterfaceId="eni-00000000000000000",
                          SecondaryPrivateIpAddressCount="1")
        except AwsError as error:
            if error.code in REFUSED:
                return Verdict(False, f"{self.action}: {error.code}", identity)
            # ministack has no such action, but says so only to those who may call it.
            if error.code == "InvalidAction":
                return Verdict(True, error.code, identity)
            with self._lock:
                self._cache.pop(identity, None)
            raise
        return Verdict(True, "", identity)

    def _credentials(self, identity: Identity) -> Credentials:
        if identity.kind == "static":
            return identity.keys
        with self._lock:
            known = self._cache.get(identity)
        if known and time.monotonic() - known[0] < self.reuse:
            return known[1]
        when = time.monotonic()
        try:
            if identity.kind == "node":
                answer = self.emulator("sts", "AssumeRole", ROOT, RoleArn=identity.role,
                                       RoleSessionName="watcher", DurationSeconds="900")
            else:
                answer = self.sts("sts", "AssumeRoleWithWebIdentity", None, RoleArn=identity.role, RoleSessionName="watcher",
                                  WebIdentityToken=self._token(identity), DurationSeconds="900")
        except AwsError as error:
            with self._lock:
                self._cache.pop(identity, None)
            if error.code in NOT_GIVEN:
                raise NoCredentials(f"{error.code}: {error.message}") from None
            raise
        credentials = Credentials(*(answer.findtext(f".//{name}") for name in
                                    ("AccessKeyId", "SecretAccessKey", "SessionToken")))
        with self._lock:
            self._cache[identity] = (when, credentials)
        return credentials

    def _token(self, identity: Identity) -> str:
        # The kubelet renews a pod's token seldom; what may break meanwhile is on the side of AWS.
        key = (identity.serviceaccount, identity.audience)
        with self._lock:
            known = self._tokens.get(key)
        if known and time.monotonic() - known[0] < 300:
            return known[1]
        token = self.mint_token(*identity.serviceaccount, (identity.audience,) if identity.audience else (), 3600)
        with self._lock:
            self._tokens[key] = (time.monotonic(), token)
        return token

    def _instance_role(self, instance_id: str) -> str:
        """What IMDS of that instance would hand out credentials of."""
        with self._lock:
            known = self._instance_roles.get(instance_id)
        if known and time.monotonic() - known[0] < 5 * self.reuse:
            return known[1]
        reservations = self.emulator("ec2", "DescribeInstances", ROOT, **{"InstanceId.1": instance_id})
        profile = reservations.findtext(".//iamInstanceProfile/arn")
        if not profile:
            raise NoCredentials(f"{instance_id} has no instance profile")
        answer: ElementTree.Element = self.emulator("iam", "GetInstanceProfile", ROOT,
                                                    InstanceProfileName=profile.rsplit("/", 1)[-1])
        role = answer.findtext(".//Roles/member/Arn")
        if not role:
            raise NoCredentials(f"{profile} holds no role")
        with self._lock:
            self._instance_roles[instance_id] = (time.monotonic(), role)
        return role

    # --------------------------------------------------------------------------------------------------- all the time

    def start(self) -> Watcher:
        self._stopping.clear()
        self.aws.proxy.observers.append(self._after_write)
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(ValueError):
            self.aws.proxy.observers.remove(self._after_write)
        if self._thread:
            self._thread.join(30)
            self._thread = None

    def wait_rounds(self, count: int = 2, timeout: float = 30) -> None:
        """Until so many rounds have begun and ended since now."""
        wanted, deadline = self.rounds + count + 1, time.monotonic() + timeout
        while self.rounds < wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"the watcher made no {count} rounds in {timeout:g} s; {self.errors[-3:]}")
            time.sleep(0.01)

    @property
    def open_violations(self) -> list[Violation]:
        """Those that last."""
        return list(self._open.values())

    def report(self) -> str:
        return "\n".join([f"{self.rounds} rounds, {self.questions} questions, longest gap {self.longest_gap:.2f} s, "
                          f"{len(self.errors)} errors", *map(str, self.violations)])

    def check_now(self) -> None:
        """One round, at once."""
        with self._one_round:
            try:
                self._round()
                self.rounds += 1
            except Exception as error:
                self._trouble("pods", error)

    def _after_write(self, call: Call) -> None:
        if call.is_write:
            self.check_now()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopping.is_set():
            begun = time.monotonic()
            self.longest_gap = max(self.longest_gap, begun - last)
            last = begun
            self.check_now()
            self._stopping.wait(max(0.0, self.interval - (time.monotonic() - begun)))

    def _round(self) -> None:
        pods = [pod for pod in self.pods() if running(pod)]
        # Pods with one identity have one answer, within a round.
        verdicts: dict[Identity, Verdict] = {}
        refused: list[tuple[dict, Verdict]] = []
        for pod in pods:
            uid = pod["metadata"]["uid"]
            try:
                identity = self._identity(pod)
                verdict = verdicts.get(identity)
                if verdict is None:
                    verdict = verdicts[identity] = self._ask(identity)
            except NoCredentials as error:
                verdict = Verdict(False, str(error), None)
            except Exception as error:
                self._trouble(pod["metadata"]["name"], error)
                continue
            if not verdict.permitted:
                refused.append((pod, verdict))
                continue
            self._had.add(uid)
            if violation := self._open.pop(uid, None):
                violation.end = time.time()
        if refused:
            self._note(refused)
        alive = {pod["metadata"]["uid"] for pod in pods}
        for uid in set(self._open) - alive:
            del self._open[uid]

    def _note(self, refused: list[tuple[dict, Verdict]]) -> None:
        # A pod may have gone between the list and the answer, and its role after it. One that is there now, was there then.
        now = time.time()
        there = {pod["metadata"]["uid"] for pod in self.pods() if running(pod)}
        for pod, verdict in refused:
            uid = pod["metadata"]["uid"]
            if uid in self._open or uid not in there:
                continue
            violation = Violation(pod["metadata"]["name"], uid, pod["spec"].get("nodeName", ""),
                                  str(verdict.identity or "none"), verdict.reason, now, lost=uid in self._had)
            self._open[uid] = violation
            self.violations.append(violation)

    def _trouble(self, where: str, error: Exception) -> None:
        if self._stopping.is_set():
            return
        self.errors.append(f"{time.time():.3f} {where}: {error!r}")
        print(f"watcher: {where}: {error!r}", file=sys.stderr)


def running(pod: dict) -> bool:
    return pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
