"""A real Kubernetes control plane on loopback, for tests: etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
and kwok in the place of kubelets.

    with ControlPlane(issuer="https://oidc.example/id/1") as cluster:
        cluster.add_node("node-1", "aws:///us-west-2a/i-0123456789abcdef0")
        cluster.deploy_aws_node()
        cluster.deploy_webhook()
        cluster.kubectl("get", "pods", "-A")

The programs come from `build` beside this file. Everything lives in a temporary directory and dies with the process that
started it, however that one ends.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import datetime
import fcntl
import http.client
import itertools
import json
import os
import queue
import random
import re
import secrets
import select
import shutil
import signal
import socket
import ssl
import string
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator

HERE = Path(__file__).resolve().parent

# Where a plural lives; anything else is given as "group/version/plural".
RESOURCES = {
    **dict.fromkeys(
        ("configmaps", "events", "namespaces", "nodes", "pods", "secrets", "serviceaccounts", "services"), "api/v1"),
    **dict.fromkeys(("controllerrevisions", "daemonsets", "deployments", "replicasets"), "apis/apps/v1"),
    **dict.fromkeys(
        ("clusterrolebindings", "clusterroles", "rolebindings", "roles"), "apis/rbac.authorization.k8s.io/v1"),
    **dict.fromkeys(
        ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "validatingadmissionpolicies",
         "validatingadmissionpolicybindings"), "apis/admissionregistration.k8s.io/v1"),
    "customresourcedefinitions": "apis/apiextensions.k8s.io/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "cniiambindings": "apis/cniiam.dev/v1alpha1",
}

PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

# Only what a test can see: every other controller costs memory and CPU, and adds requests to the audit log.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "taint-eviction-controller",
    "validatingadmissionpolicy-status-controller",
)

WEBHOOK = "identity-webhook"
# The label by which a dry-run pod asks the stand-in for the webhook whether it is in force.
ASK_WEBHOOK = "testbed/ask-webhook"

_failed = False


def note_failure() -> None:
    """Says that a test failed: from now on stop() keeps the logs of every world. For a pytest hook."""
    global _failed
    _failed = True


class Timeout(AssertionError):
    pass


def wait_until(
    predicate: Callable[[], Any], timeout: float, what: str, interval: float = 0.05,
    alive: Callable[[], None] | None = None,
) -> Any:
    """Polls until the predicate gives something true, and returns that. `alive` may raise to end the wait early."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if alive:
            alive()
        if time.monotonic() >= deadline:
            raise Timeout(f"after {timeout:g} s still not: {what}")
        time.sleep(interval)


def rfc3339(when: float | None = None, micro: bool = False) -> str:
    moment = datetime.datetime.fromtimestamp(time.time() if when is None else when, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------------------------------------------------------- API


class ApiError(Exception):
    """An answer of the API server that is not 2xx. `body` is the Status, or the text where it sent no JSON."""

    def __init__(self, code: int, body: Any, request: str):
        status = body if isinstance(body, dict) else {}
        self.code = code
        self.reason = status.get("reason", "")
        self.message = status.get("message", body if isinstance(body, str) else "")
        self.body = body
        super().__init__(f"{request}: {code} {self.reason} {self.message}".rstrip())


class Api:
    """Plain REST with JSON. One kept-alive connection a thread, so it may be shared by threads."""

    def __init__(self, server: str, ca_file: Path, token: str = "", user_agent: str = "testbed",
                 client_certificate: tuple[Path, Path] | None = None):
        split = urllib.parse.urlsplit(server)
        self.host, self.port = split.hostname, split.port
        self.token = token
        self.user_agent = user_agent
        self.tls = ssl.create_default_context(cafile=str(ca_file))
        if client_certificate:
            self.tls.load_cert_chain(*map(str, client_certificate))
        self.local = threading.local()

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)

    def _connection(self, timeout: float) -> http.client.HTTPSConnection:
        connection = getattr(self.local, "connection", None)
        # The server closes idle connections and all of them when it restarts; an idle one that has something to read is
        # closed. To find out by failing would not do: a POST can not be repeated blindly.
        if connection and connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        if not connection or not connection.sock:
            connection = self.local.connection = self._connect(timeout)
        else:
            connection.sock.settimeout(timeout)
        return connection

    def _headers(self, content_type: str | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": self.user_agent}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if content_type:
            headers["Content-Type"] = content_type
        return headers

    def request(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None,
                content_type: str = "application/json", timeout: float = 30) -> Any:
        """Returns the decoded answer (the text, where it is not JSON); raises ApiError, or OSError."""
        if query := {key: value for key, value in (query or {}).items() if value is not None}:
            path += "?" + urllib.parse.urlencode(query)
        data = None if body is None else json.dumps(body).encode()
        connection = self._connection(timeout)
        try:
            connection.request(method, path, data, self._headers(content_type if data is not None else None))
            response = connection.getresponse()
            text = response.read().decode()
        except BaseException:
            connection.close()
            raise
        answer: Any = text
        if response.headers.get_content_type() == "application/json":
            answer = json.loads(text)
        if not 200 <= response.status < 300:
            raise ApiError(response.status, answer, f"{method} {path}")
        return answer

    @staticmethod
    def path(resource: str, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        prefix = RESOURCES.get(resource)
        if prefix is None:
            version, _, resource = resource.rpartition("/")
            if not version:
                raise ValueError(f"{resource}: unknown, give it as group/version/plural")
            prefix = f"api/{version}" if "/" not in version else f"apis/{version}"
        parts = [prefix, *(("namespaces", namespace) if namespace else ()), resource]
        return "/" + "/".join(parts + [part for part in (name, subresource) if part])

    def get(self, resource: str, name: str, namespace: str | None = None, subresource: str | None = None) -> dict:
        return self.request("GET", self.path(resource, namespace, name, subresource))

    def find(self, resource: str, name: str, namespace: str | None = None) -> dict | None:
        """As get(), but None where there is no such object."""
        try:
            return self.get(resource, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, resource: str, namespace: str | None = None, label_selector: str | None = None,
             field_selector: str | None = None) -> list[dict]:
        return self.request("GET", self.path(resource, namespace), query={
            "labelSelector": label_selector, "fieldSelector": field_selector})["items"]

    def create(self, resource: str, body: dict, namespace: str | None = None, name: str | None = None,
               subresource: str | None = None, dry_run: bool = False, field_manager: str | None = None) -> dict:
        """With name and subresource the body goes there: tokens, evictions."""
        return self.request("POST", self.path(resource, namespace, name, subresource), body, {
            "dryRun": "All" if dry_run else None, "fieldManager": field_manager})

    def patch(self, resource: str, name: str, body: Any, namespace: str | None = None, type: str = "merge",
              subresource: str | None = None, field_manager: str | None = None, force: bool = False,
              dry_run: bool = False) -> dict:
        return self.request("PATCH", self.path(resource, namespace, name, subresource), body, {
            "fieldManager": field_manager, "force": "true" if force else None, "dryRun": "All" if dry_run else None,
        }, PATCH_TYPES[type])

    def delete(self, resource: str, name: str, namespace: str | None = None, grace_seconds: int | None = None,
               missing_ok: bool = True) -> dict | None:
        try:
            return self.request("DELETE", self.path(resource, namespace, name), query={
                "gracePeriodSeconds": grace_seconds})
        except ApiError as error:
            if error.code == 404 and missing_ok:
                return None
            raise

    @contextlib.contextmanager
    def watch(self, resource: str, namespace: str | None = None, label_selector: str | None = None,
              field_selector: str | None = None, resource_version: str | None = None,
              timeout_seconds: int = 300) -> Iterator[Watch]:
        """Events of one watch, on a connection of its own. Without a version it begins with ADDED for what is there."""
        query = {"watch": "true", "timeoutSeconds": timeout_seconds, "labelSelector": label_selector,
                 "fieldSelector": field_selector, "resourceVersion": resource_version}
        connection = self._connect(timeout_seconds + 30)
        try:
            connection.request("GET", self.path(resource, namespace) + "?" + urllib.parse.urlencode(
                {key: value for key, value in query.items() if value is not None}), headers=self._headers(None))
            response = connection.getresponse()
            if response.status != 200:
                raise ApiError(response.status, response.read().decode(), f"WATCH {resource}")
            yield Watch(connection, response)
        finally:
            connection.close()


class Watch:
    """Iterates over (type, object); close() from another thread ends it."""

    def __init__(self, connection: http.client.HTTPSConnection, response: http.client.HTTPResponse):
        self.socket = connection.sock
        self.response = response
        self.closed = False

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        while True:
            try:
                line = self.response.readline()
            except (OSError, ValueError, http.client.HTTPException):
                if self.closed:
                    return
                raise
            if not line:
                return
            event = json.loads(line)
            yield event["type"], event["object"]

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):
            # Below TLS, so that a reader in another thread returns at once.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


# ------------------------------------------------------------------------------------------------------------- audit


# Asked with POST, but they change nothing.
_QUESTIONS = {
    "selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews", "subjectaccessreviews",
    "localsubjectaccessreviews", "tokenreviews",
}


@dataclasses.dataclass(frozen=True)
class AuditEntry:
    """One request as the API server recorded it. A watch appears when it starts, with code 200."""

    time: float
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user: str
    user_agent: str
    code: int
    # From the query only: where a DELETE puts dryRun into its body, a record without bodies does not show it.
    dry_run: bool
    field_manager: str
    uri: str

    @property
    def is_write(self) -> bool:
        """Whether it could change something: tokens, access reviews and dry runs can not."""
        return (self.verb in ("create", "update", "patch", "delete", "deletecollection") and not self.dry_run
                and self.resource not in _QUESTIONS and (self.resource, self.subresource) != ("serviceaccounts", "token"))

    def __str__(self) -> str:
        what = "/".join(part for part in (self.resource, self.subresource) if part) or self.uri
        where = "/".join(part for part in (self.namespace, self.name) if part)
        return " ".join(part for part in (self.verb, what, where, str(self.code), "dry-run" * self.dry_run) if part)


def _audit_entry(line: bytes) -> tuple[str, AuditEntry]:
    event = json.loads(line)
    ref = event.get("objectRef", {})
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(event["requestURI"]).query)
    received = datetime.datetime.fromisoformat(event["requestReceivedTimestamp"].replace("Z", "+00:00"))
    return event["auditID"], AuditEntry(
        time=received.timestamp(), verb=event["verb"], group=ref.get("apiGroup", ""), resource=ref.get("resource", ""),
        subresource=ref.get("subresource", ""), namespace=ref.get("namespace", ""), name=ref.get("name", ""),
        user=event.get("user", {}).get("username", ""), user_agent=event.get("userAgent", ""),
        code=event.get("responseStatus", {}).get("code", 0), dry_run="dryRun" in query,
        field_manager=query.get("fieldManager", [""])[0], uri=event["requestURI"])


# --------------------------------------------------------------------------------------------------------- processes


class _Spawner:
    """Starts every child from one thread that lives as long as the process: the signal that a child asks for on its
    parent's death comes already when the *thread* that started it ends."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.lock = threading.Lock()

    def _run(self) -> None:
        while True:
            argv, options, answer = self.jobs.get()
            try:
                answer.put(subprocess.Popen(argv, **options))
            except BaseException as error:
                answer.put(error)

    def __call__(self, argv: list[str], **options: Any) -> subprocess.Popen:
        with self.lock:
            if not self.thread or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._run, name="spawner", daemon=True)
                self.thread.start()
        answer: queue.SimpleQueue = queue.SimpleQueue()
        # setpriv and not preexec_fn: Python code between fork and exec can deadlock where there are threads.
        if setpriv := shutil.which("setpriv"):
            argv = [setpriv, "--pdeathsig", "KILL", "--", *argv]
        self.jobs.put((argv, options, answer))
        result = answer.get()
        if isinstance(result, BaseException):
            raise result
        return result


spawn = _Spawner()


class Process:
    """A child in a process group of its own, its output in a file. For the servers of the test bed and for the operator."""

    def __init__(self, name: str, argv: list[Any], log: Path, env: dict[str, str], cwd: Path | None = None):
        self.name = name
        self.log = log
        with open(log, "ab") as output:
            self.popen = spawn([str(arg) for arg in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                               env=env, cwd=cwd, start_new_session=True)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def check(self) -> None:
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.popen.returncode}; its last lines:\n{self.tail()}")

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def rss(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        # The group and not the process: what it started itself has to go too.
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def terminate(self, timeout: float) -> int:
        """SIGTERM, then SIGKILL when it does not end in time. Returns the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.popen.returncode


_ports_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, out of a range from which the kernel takes none for outgoing
    connections: so nobody is given it by chance between this look and the server's start, or while it restarts."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(20000, 32000)
        if port in _ports_given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port
    raise RuntimeError("no free port on 127.0.0.1 between 20000 and 32000")


def programs() -> dict[str, Path]:
    """The paths of the programs; `build` must have made them."""
    where = subprocess.run([HERE / "build", "--where"], check=True, capture_output=True, text=True).stdout
    folders = dict(line.split("=", 1) for line in where.splitlines())
    etcd, kubernetes = Path(folders["etcd"]), Path(folders["kubernetes"])
    if not (etcd / "complete").exists() or not (kubernetes / "complete").exists():
        raise RuntimeError("the programs of the test bed are not built: run tests/testbed/build")
    return {"etcd": etcd / "etcd", **{
        name: kubernetes / name for name in
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok", "stages.yaml")}}


def plain_environment(home: Path) -> dict[str, str]:
    """What the servers see: nothing of the caller's AWS, Kubernetes and proxy settings."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8"}


# ----------------------------------------------------------------------------------------------------- control plane

_worlds: set[ControlPlane] = set()


@atexit.register
def _stop_all() -> None:
    for world in list(_worlds):
        world.stop()


class ControlPlane:
    """One cluster. start() and stop(), or a with statement.

    issuer           what DescribeCluster gives as the OIDC issuer; tokens are signed with it
    region           put into aws-node's images and what the identity webhook injects
    apiserver_args   further flags for kube-apiserver
    audit_level      Metadata, Request or RequestResponse
    service_account_key   an RSA key (PEM) to sign tokens with, instead of a new one
    """

    def __init__(self, issuer: str, region: str = "us-west-2", apiserver_args: tuple[str, ...] = (),
                 audit_level: str = "Metadata", service_account_key: Path | None = None):
        self.issuer = issuer
        self.region = region
        self.apiserver_args = tuple(apiserver_args)
        self.audit_level = audit_level
        self.service_account_key = service_account_key
        self.processes: dict[str, Process] = {}
        self.timings: dict[str, float] = {}
        self._node_numbers = itertools.count(1)
        self._certificates = itertools.count(1)
        self._audit_lock = threading.Lock()
        self._audit_offset = 0
        self._audit: dict[str, AuditEntry] = {}
        self._keep = bool(os.environ.get("CNI_IAM_TEST_KEEP"))

    def __enter__(self) -> ControlPlane:
        return self.start()

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.stop(keep_logs=kind is not None)

    # ------------------------------------------------------------------------------------------------ start and stop

    def start(self) -> ControlPlane:
        self.programs = programs()
        _remove_leftovers()
        self.dir = Path(tempfile.mkdtemp(prefix="cni-iam-world-"))
        # Held as long as this process lives: tells a later run that this directory is still somebody's.
        self._owner = open(self.dir / "owner", "w")
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        _worlds.add(self)
        self.logs = self.dir / "logs"
        self.logs.mkdir()
        self.env = plain_environment(self.dir)
        self._started = time.monotonic()
        try:
            self._make_credentials()
            self._start_etcd()
            self.start_apiserver()
            self._start_rest()
        except BaseException:
            self.stop(keep_logs=True)
            raise
        self._timing("started")
        return self

    def stop(self, keep_logs: bool = False) -> None:
        if self not in _worlds:
            return
        _worlds.discard(self)
        # Nothing in here is worth a graceful end, which would take the API server a minute while watches are open.
        for process in reversed(self.processes.values()):
            process.kill()
        shutil.rmtree(self.dir / "etcd", ignore_errors=True)
        if keep_logs or self._keep or _failed:
            (self.dir / "kept").touch()
            print(f"testbed: the logs of the control plane are in {self.logs}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        self._owner.close()

    def check(self) -> None:
        """Raises with the last lines of its log when a server has ended."""
        for process in self.processes.values():
            process.check()

    def rss(self) -> dict[str, float]:
        return {name: process.rss() for name, process in self.processes.items()}

    def _timing(self, what: str) -> None:
        self.timings[what] = round(time.monotonic() - self._started, 2)

    def _spawn(self, name: str, *argv: Any) -> Process:
        process = Process(name, [self.programs[name], *argv], self.logs / f"{name}.log", self.env, self.dir)
        self.processes[name] = process
        return process

    def _openssl(self, *argv: Any) -> None:
        done = subprocess.run(["openssl", *map(str, argv)], cwd=self.dir, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"openssl {argv[0]}: {done.stderr}")

    def _make_credentials(self) -> None:
        # A configuration of our own: the machine's adds extensions, and some of them twice.
        (self.dir / "openssl.cnf").write_text("[req]\ndistinguished_name = name\n[name]\n")
        self._sign("ca", "/CN=testbed-ca", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        self._certificate("apiserver", "/CN=kube-apiserver", "serverAuth",
                          "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:::1,IP:10.96.0.1")
        if self.service_account_key:
            shutil.copy(self.service_account_key, self.dir / "serviceaccount.key")
        else:
            self._openssl("genrsa", "-out", "serviceaccount.key", 2048)
        # system:masters for all, with names of their own to be told apart by in the audit log. The controllers run with
        # one identity, for which there is no role that would do.
        users = ("admin", "kube-controller-manager", "kube-scheduler", "kwok", "node-agent")
        self.tokens = {user: secrets.token_hex(16) for user in users}
        (self.dir / "tokens.csv").write_text(
            "".join(f"{token},testbed:{user},{user},system:masters\n" for user, token in self.tokens.items()))
        (self.dir / "audit-policy.yaml").write_text(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n"
            f"rules: [{{level: {self.audit_level}}}]\n")

    def _sign(self, name: str, subject: str, *extensions: str, signer: tuple[str, ...] = ()) -> None:
        extensions += ("subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid:always")
        self._openssl(
            "req", "-config", "openssl.cnf", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", 30, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.crt", *signer,
            *itertools.chain.from_iterable(("-addext", extension) for extension in extensions))

    def _certificate(self, name: str, subject: str, usage: str, names: str = "") -> tuple[Path, Path]:
        self._sign(name, subject, "basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature",
                   f"extendedKeyUsage={usage}", *([f"subjectAltName={names}"] if names else []),
                   signer=("-CA", "ca.crt", "-CAkey", "ca.key"))
        return self.dir / f"{name}.crt", self.dir / f"{name}.key"

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.etcd_url = client
        self._spawn(
            "etcd", "--name=testbed", f"--data-dir={self.dir}/etcd", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=testbed={peer}")
        # kube-apiserver waits for etcd by itself, but in steps of a second.
        port = urllib.parse.urlsplit(client).port
        wait_until(lambda: _listening(port), 30, "etcd listens", alive=self.check)
        self._timing("etcd")
        self._port = free_port()
        self.server = f"https://127.0.0.1:{self._port}"
        self.ca_file = self.dir / "ca.crt"
        self.audit_log = self.logs / "audit.log"
        self.api = self.api_as("admin")
        self.kubeconfig = self.write_kubeconfig("admin", token=self.tokens["admin"])
        self.kubectl_path = self.programs["kubectl"]

    def start_apiserver(self) -> None:
        """Starts kube-apiserver (again, after stop_apiserver()), and returns when it is ready."""
        self._spawn(
            "kube-apiserver", f"--etcd-servers={self.etcd_url}", "--bind-address=127.0.0.1", f"--secure-port={self._port}",
            # Loopback can not be an address of the service `kubernetes`; nothing here goes there.
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/24",
            "--tls-cert-file=apiserver.crt", "--tls-private-key-file=apiserver.key", "--client-ca-file=ca.crt",
            "--token-auth-file=tokens.csv", "--authorization-mode=Node,RBAC", "--allow-privileged=true",
            f"--service-account-issuer={self.issuer}", "--service-account-key-file=serviceaccount.key",
            "--service-account-signing-key-file=serviceaccount.key",
            "--audit-policy-file=audit-policy.yaml", f"--audit-log-path={self.audit_log}", "--audit-log-maxsize=10000",
            # Otherwise a SIGTERM lasts a minute, in which open watches go on.
            "--shutdown-watch-termination-grace-period=1s", "--profiling=false", *self.apiserver_args)

        def ready() -> bool:
            with contextlib.suppress(OSError, ApiError, http.client.HTTPException):
                return self.api.request("GET", "/readyz", timeout=5) == "ok"
            return False

        wait_until(ready, 60, "kube-apiserver is ready", alive=self.check)
        self._timing("kube-apiserver")

    def stop_apiserver(self, graceful: bool = False) -> None:
        """Stops only kube-apiserver, by SIGKILL, or by SIGTERM."""
        process = self.processes.pop("kube-apiserver")
        if graceful:
            process.terminate(70)
        else:
            process.kill()

    def restart_apiserver(self, graceful: bool = False) -> None:
        """Same port, same data. Every open watch ends, and a resume from its version is answered 410."""
        self.stop_apiserver(graceful)
        self.start_apiserver()

    def _start_rest(self) -> None:
        for name in ("kube-controller-manager", "kube-scheduler", "kwok"):
            self.write_kubeconfig(name, token=self.tokens[name])
        self._spawn(
            "kube-controller-manager", f"--kubeconfig={self.dir}/kube-controller-manager.kubeconfig",
            "--service-account-private-key-file=serviceaccount.key", "--root-ca-file=ca.crt", "--leader-elect=false",
            # No serving: nobody asks them, and a certificate would have to be made at each start.
            "--secure-port=0", f"--controllers={','.join(CONTROLLERS)}", "--kube-api-qps=200", "--kube-api-burst=400",
            "--profiling=false")
        self._spawn(
            "kube-scheduler", f"--kubeconfig={self.dir}/kube-scheduler.kubeconfig", "--leader-elect=false",
            "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false")
        # With leases, or nodes turn NotReady after the grace period.
        self._spawn(
            "kwok", f"--kubeconfig={self.dir}/kwok.kubeconfig", f"--config={self.programs['stages.yaml']}",
            "--manage-all-nodes=true", "--node-lease-duration-seconds=40", f"--server-address=127.0.0.1:{free_port()}")
        # The first thing the controllers do that everything later needs.
        wait_until(lambda: self.api.find("serviceaccounts", "default", "kube-system"), 60,
                   "the controllers made kube-system's ServiceAccount", alive=self.check)
        self._timing("controllers")

    # --------------------------------------------------------------------------------------------------------- clients

    def api_as(self, user: str = "", token: str = "", user_agent: str = "testbed") -> Api:
        """A client: of one of the test bed's own users, with a token, or with neither (anonymous)."""
        return Api(self.server, self.ca_file, self.tokens[user] if user else token, user_agent)

    def kubectl(self, *args: Any, input: str | None = None, check: bool = True, timeout: float = 120,
                kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as admin, or as another kubeconfig says; .stdout, .stderr, .returncode. Raises unless it ended
        with 0, or check is off."""
        done = subprocess.run(
            [self.kubectl_path, f"--kubeconfig={kubeconfig or self.kubeconfig}", *map(str, args)], input=input,
            capture_output=True, text=True, timeout=timeout, env=self.env)
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(map(str, args))}: {done.returncode}\n{done.stderr}{done.stdout}")
        return done

    def apply(self, manifest: str | Path, **values: str) -> None:
        """kubectl apply of a file or a text, in which each ${NAME} of `values` is put in."""
        text = manifest.read_text() if isinstance(manifest, Path) else manifest
        if values:
            text = string.Template(text).substitute(values)
        self.kubectl("apply", "-f", "-", input=text)

    def write_kubeconfig(self, name: str, token: str = "", token_file: Path | None = None,
                         client_certificate: tuple[Path, Path] | None = None, namespace: str = "default") -> Path:
        path = self.dir / f"{name}.kubeconfig"
        user = []
        if token:
            user.append(f"token: {token}")
        if token_file:
            user.append(f"tokenFile: {token_file}")
        if client_certificate:
            user += [f"client-certificate: {client_certificate[0]}", f"client-key: {client_certificate[1]}"]
        lines = "\n    ".join(user)
        path.write_text(f"""\
apiVersion: v1
kind: Config
clusters:
- name: testbed
  cluster:
    server: {self.server}
    certificate-authority: {self.ca_file}
users:
- name: {name}
  user:
    {lines}
contexts:
- name: testbed
  context:
    cluster: testbed
    user: {name}
    namespace: {namespace}
current-context: testbed
""")
        path.chmod(0o600)
        return path

    def mint_token(self, namespace: str, serviceaccount: str, audiences: tuple[str, ...] = (),
                   expiration_seconds: int = 7 * 86400) -> str:
        """Without audiences it is for the API server itself."""
        spec: dict[str, Any] = {"expirationSeconds": expiration_seconds}
        if audiences:
            spec["audiences"] = list(audiences)
        return self.api.create("serviceaccounts", {"spec": spec}, namespace, serviceaccount, "token")["status"]["token"]

    def operator_kubeconfig(self, namespace: str, serviceaccount: str, token_file: bool = False,
                            expiration_seconds: int = 7 * 86400) -> Path:
        """A kubeconfig with a token of this ServiceAccount, which must be there, so that its bearer has what RBAC gives
        it and no more. With token_file the token stands in a file beside it, NAME.token, and may be rotated there."""
        token = self.mint_token(namespace, serviceaccount, (), expiration_seconds)
        name = f"{namespace}-{serviceaccount}"
        if not token_file:
            return self.write_kubeconfig(name, token=token, namespace=namespace)
        path = self.dir / f"{name}.token"
        path.write_text(token)
        path.chmod(0o600)
        return self.write_kubeconfig(name, token_file=path, namespace=namespace)

    def client_certificate(self, user: str, groups: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """Certificate and key of a user, signed by the CA that the API server takes client certificates from."""
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        return self._certificate(f"client-{next(self._certificates)}", subject, "clientAuth")

    # ----------------------------------------------------------------------------------------------------------- nodes

    def add_node(self, name: str, provider_id: str = "", labels: dict[str, str] | None = None,
                 wait: bool = True) -> None:
        """A node that kwok keeps Ready. provider_id as the cloud writes it: aws:///us-west-2a/i-0123456789abcdef0."""
        number = next(self._node_numbers)
        zone = provider_id.split("/")[3] if provider_id.count("/") >= 4 else f"{self.region}a"
        self.api.create("nodes", {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": "m5.large",
                "topology.kubernetes.io/region": self.region,
                "topology.kubernetes.io/zone": zone,
                **(labels or {}),
            }},
            "spec": {"providerID": provider_id} if provider_id else {},
            "status": {
                "addresses": [{"type": "InternalIP", "address": f"10.0.{number // 250}.{number % 250 + 1}"},
                              {"type": "Hostname", "address": name}],
                "nodeInfo": dict.fromkeys(
                    ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion",
                     "kubeProxyVersion"), "") | {
                        "kubeletVersion": "v1.36.3-eks-0000000", "operatingSystem": "linux", "architecture": "amd64"},
            },
        })
        if wait:
            wait_until(lambda: _condition(self.api.get("nodes", name), "Ready") == "True", 60, f"{name} is Ready",
                       alive=self.check)

    def remove_node(self, name: str) -> None:
        """The node and at once its pods, as when an instance is terminated: nobody is left to end them."""
        self.api.delete("nodes", name)
        for pod in self.api.list("pods", field_selector=f"spec.nodeName={name}"):
            self.api.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"], grace_seconds=0)

    # -------------------------------------------------------------------------------------------------------- aws-node

    def deploy_aws_node(self, version: str = "v1.23.1", ipv6: bool = False, wait: bool = True) -> None:
        """The VPC CNI as self-managed: ServiceAccount, RBAC, DaemonSet. Again, it wipes what is not in the manifest only
        as `kubectl apply` does."""
        self.apply(HERE / "manifests/aws-node.yaml", CNI_VERSION=version, REGION=self.region,
                   ENABLE_IPV4=str(not ipv6).lower(), ENABLE_IPV6=str(ipv6).lower(),
                   # IPv6 works with prefixes only.
                   PREFIX_DELEGATION=str(ipv6).lower())
        if wait:
            self.wait_daemonset()

    def restart_aws_node(self, wait: bool = True) -> None:
        """As `kubectl rollout restart` does it, which refuses a second restart within a second."""
        self.api.patch("daemonsets", "aws-node", {"spec": {"template": {"metadata": {"annotations": {
            "kubectl.kubernetes.io/restartedAt": rfc3339(micro=True)}}}}}, "kube-system", field_manager="kubectl-rollout")
        if wait:
            self.wait_daemonset()

    def wait_daemonset(self, name: str = "aws-node", namespace: str = "kube-system", timeout: float = 120,
                       nodes: int | None = None) -> dict:
        """Until every pod has the newest template and is available. Returns the DaemonSet. Its status says nothing of
        nodes that came or went a moment ago: give their number to wait for that too."""
        def done() -> dict | None:
            daemonset = self.api.get("daemonsets", name, namespace)
            status = daemonset["status"]
            if status.get("observedGeneration", 0) < daemonset["metadata"]["generation"]:
                return None
            desired = status.get("desiredNumberScheduled", 0)
            if nodes is not None and desired != nodes:
                return None
            counts = (status.get(key, 0) for key in
                      ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady"))
            return daemonset if all(count == desired for count in counts) else None

        return wait_until(done, timeout, f"the DaemonSet {name} is rolled out", alive=self.check)

    def aws_node_pods(self) -> list[dict]:
        """Without those that are being deleted."""
        return [pod for pod in self.api.list("pods", "kube-system", "k8s-app=aws-node")
                if "deletionTimestamp" not in pod["metadata"]]

    def aws_node_pod_template(self) -> dict:
        """A pod as the DaemonSet would make it, fit for a dry-run create."""
        template = self.api.get("daemonsets", "aws-node", "kube-system")["spec"]["template"]
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"generateName": "aws-node-", "labels": dict(template["metadata"]["labels"])},
                "spec": template["spec"]}

    # --------------------------------------------------------------------------------------------------------- webhook

    def deploy_webhook(self) -> None:
        """The stand-in for the identity webhook, in force."""
        self.apply(HERE / "manifests/identity-webhook.yaml", REGION=self.region)
        self._wait_webhook(True)

    def webhook_down(self) -> None:
        """From now on pods are made without injection, and nobody says so."""
        self.api.delete("mutatingadmissionpolicybindings", WEBHOOK)
        self._wait_webhook(False)

    def webhook_up(self) -> None:
        self.deploy_webhook()

    @contextlib.contextmanager
    def without_webhook(self) -> Iterator[None]:
        """It is up again afterwards, however the block ends."""
        self.webhook_down()
        try:
            yield
        finally:
            self.webhook_up()

    def _wait_webhook(self, up: bool) -> None:
        # A policy takes effect a moment after it was written, and no status says when: ask with a pod that is not made.
        if not self.api.find("serviceaccounts", "aws-node", "kube-system"):
            return  # without its parameter the binding is not evaluated, so there is nothing to wait for
        pod = {"apiVersion": "v1", "kind": "Pod",
               "metadata": {"generateName": "ask-webhook-", "labels": {ASK_WEBHOOK: ""}},
               "spec": {"serviceAccountName": "aws-node", "containers": [{"name": "ask", "image": "ask"}]}}

        def in_force() -> bool:
            answer = self.api.create("pods", pod, "kube-system", dry_run=True)
            return answer["metadata"]["labels"][ASK_WEBHOOK] == "here"

        wait_until(lambda: in_force() == up, 30, f"the identity webhook is {'up' if up else 'down'}", alive=self.check)

    # ----------------------------------------------------------------------------------------------------------- audit

    def audit_requests(self, user_agent_prefix: str = "", since: float | None = None, user: str | None = None,
                       writes: bool | None = None, resource: str | None = None) -> list[AuditEntry]:
        """What the API server was asked, in the order of arrival; since: as time.time() gives it. All requests whose
        answers came before this call are there."""
        self._read_audit_up_to_now()
        return sorted((
            entry for entry in self._audit.values()
            if entry.user_agent.startswith(user_agent_prefix) and (since is None or entry.time >= since)
            and (user is None or entry.user == user) and (writes is None or entry.is_write == writes)
            and (resource is None or entry.resource == resource)
        ), key=lambda entry: entry.time)

    def _read_audit_up_to_now(self) -> None:
        # A record is written when the answer is sent, so it can come a little after it; once that of a request made now
        # is there, those of earlier ones are.
        marker = f"testbed-audit-{uuid.uuid4()}"
        api = self.api_as("admin", user_agent=marker)
        api.request("GET", "/version")
        api.local.connection.close()

        def seen() -> bool:
            with self._audit_lock, open(self.audit_log, "rb") as log:
                log.seek(self._audit_offset)
                found = False
                for line in log:
                    if not line.endswith(b"\n"):
                        break
                    self._audit_offset += len(line)
                    key, entry = _audit_entry(line)
                    found |= entry.user_agent == marker
                    if entry.user_agent.startswith("testbed-audit-"):
                        continue
                    # A watch has two records, at its start and at its end, under one id.
                    self._audit[key] = entry
                return found

        wait_until(seen, 10, "the audit log is up to date", interval=0.01, alive=self.check)


def _condition(thing: dict, kind: str) -> str:
    return next((c["status"] for c in thing.get("status", {}).get("conditions", []) if c["type"] == kind), "")


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _remove_leftovers() -> None:
    """Directories of runs that were killed; etcd's alone take some 70 MB each. Logs that were kept stay."""
    for left in Path(tempfile.gettempdir()).glob("cni-iam-world-*"):
        with contextlib.suppress(OSError):
            if (left / "kept").exists():
                continue
            with open(left / "owner") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)


def main() -> None:
    """A world to try things in: python3 -m testbed.controlplane [NODES], with tests/ in PYTHONPATH."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    # Ctrl-C and a plain kill end it the same way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ControlPlane("https://oidc.eks.us-west-2.amazonaws.com/id/TESTBED") as world:
        for number in range(1, count + 1):
            world.add_node(f"node-{number}", f"aws:///us-west-2a/i-{number:017x}", wait=False)
        world.deploy_aws_node()
        world.deploy_webhook()
        print(f"export KUBECONFIG={world.kubeconfig} PATH={world.kubectl_path.parent}:$PATH\n"
              f"# ready after {time.monotonic() - world._started:.1f} s; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
