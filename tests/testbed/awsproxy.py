"""The proxy between the operator and an AWS emulator: it records every call, loses, delays and falsifies answers on request,
and restates what the emulator does not do as AWS does.

    proxy = Proxy("http://127.0.0.1:4566", account="111122223333", region="us-west-2").start()
    proxy.fault("throttled", action="GetRole", times=2)
    rule = proxy.hook(lambda call: operator.kill(), action="DetachRolePolicy", when="after", lose=True)
    ... requests to proxy.url ...
    print(*proxy.calls(writes=True), sep="\\n")

Requests to proxy.quiet_url are answered in the same way, but without record, faults and hooks: for the test itself.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import datetime
import fnmatch
import hashlib
import hmac
import http.client
import http.server
import json
import re
import select
import socket
import threading
import time
import urllib.parse
import uuid
from pathlib import Path
from typing import Any, Callable, Iterable
from xml.etree import ElementTree
from xml.sax.saxutils import escape

NAMESPACES = {"iam": "https://iam.amazonaws.com/doc/2010-05-08/", "sts": "https://sts.amazonaws.com/doc/2011-06-15/"}
VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15", "ec2": "2016-11-15"}

# Of a trust policy, as it was sent. AWS may not count white space: what fits so, fits there in any case.
TRUST_POLICY_LIMIT = 2048

# What each service says in each of these cases: code, status, text.
ERRORS = {
    "throttled": {
        "iam": ("Throttling", 400, "Rate exceeded"),
        "sts": ("Throttling", 400, "Rate exceeded"),
        "ec2": ("RequestLimitExceeded", 503, "Request limit exceeded."),
        "eks": ("ThrottlingException", 429, "Rate exceeded"),
    },
    "denied": {
        "iam": ("AccessDenied", 403, "User is not authorized to perform this action"),
        "sts": ("AccessDenied", 403, "User is not authorized to perform this action"),
        "ec2": ("UnauthorizedOperation", 403, "You are not authorized to perform this operation."),
        "eks": ("AccessDeniedException", 403, "User is not authorized to perform this action"),
    },
    "unavailable": {
        "iam": ("ServiceUnavailable", 503, "Service is unable to handle request."),
        "sts": ("ServiceUnavailable", 503, "Service is unable to handle request."),
        "ec2": ("Unavailable", 503, "The server is overloaded and can't handle the request."),
        "eks": ("ServiceUnavailableException", 503, "The service is unavailable."),
    },
    "internal": {
        "iam": ("ServiceFailure", 500, "The request processing has failed because of an unknown error."),
        "sts": ("InternalFailure", 500, "The request processing has failed because of an unknown error."),
        "ec2": ("InternalError", 500, "An internal error has occurred."),
        "eks": ("ServerException", 500, "An unexpected error occurred."),
    },
}

EKS_OPERATIONS = [(method, re.compile(path), action) for method, path, action in (
    ("GET", r"/clusters", "ListClusters"),
    ("POST", r"/clusters", "CreateCluster"),
    ("GET", r"/clusters/(?P<name>[^/]+)", "DescribeCluster"),
    ("DELETE", r"/clusters/(?P<name>[^/]+)", "DeleteCluster"),
    ("GET", r"/clusters/(?P<clusterName>[^/]+)/node-groups", "ListNodegroups"),
    ("POST", r"/clusters/(?P<clusterName>[^/]+)/node-groups", "CreateNodegroup"),
    ("GET", r"/clusters/(?P<clusterName>[^/]+)/node-groups/(?P<nodegroupName>[^/]+)", "DescribeNodegroup"),
    ("DELETE", r"/clusters/(?P<clusterName>[^/]+)/node-groups/(?P<nodegroupName>[^/]+)", "DeleteNodegroup"),
    ("GET", r"/clusters/(?P<clusterName>[^/]+)/addons", "ListAddons"),
    ("POST", r"/clusters/(?P<clusterName>[^/]+)/addons", "CreateAddon"),
    ("GET", r"/clusters/(?P<clusterName>[^/]+)/addons/(?P<addonName>[^/]+)", "DescribeAddon"),
    ("DELETE", r"/clusters/(?P<clusterName>[^/]+)/addons/(?P<addonName>[^/]+)", "DeleteAddon"),
    ("POST", r"/clusters/(?P<clusterName>[^/]+)/addons/(?P<addonName>[^/]+)/update", "UpdateAddon"),
    ("GET", r"/clusters/(?P<clusterName>[^/]+)/pod-identity-associations", "ListPodIdentityAssociations"),
    ("POST", r"/clusters/(?P<clusterName>[^/]+)/pod-identity-associations", "CreatePodIdentityAssociation"),
    ("GET", r"/clusters/(?P<clusterName>[^/]+)/pod-identity-associations/(?P<associationId>[^/]+)",
     "DescribePodIdentityAssociation"),
    ("POST", r"/clusters/(?P<clusterName>[^/]+)/pod-identity-associations/(?P<associationId>[^/]+)",
     "UpdatePodIdentityAssociation"),
    ("DELETE", r"/clusters/(?P<clusterName>[^/]+)/pod-identity-associations/(?P<associationId>[^/]+)",
     "DeletePodIdentityAssociation"),
    ("GET", r"/clusters/(?P<clusterName>[^/]+)/access-entries", "ListAccessEntries"),
    ("POST", r"/clusters/(?P<clusterName>[^/]+)/access-entries", "CreateAccessEntry"),
    ("GET", r"/clusters/(?P<clusterName>[^/]+)/access-entries/(?P<principalArn>[^/]+)", "DescribeAccessEntry"),
    ("POST", r"/clusters/(?P<clusterName>[^/]+)/access-entries/(?P<principalArn>[^/]+)", "UpdateAccessEntry"),
    ("DELETE", r"/clusters/(?P<clusterName>[^/]+)/access-entries/(?P<principalArn>[^/]+)", "DeleteAccessEntry"),
    ("GET", r"/clusters/(?P<name>[^/]+)/updates/(?P<updateId>[^/]+)", "DescribeUpdate"),
    ("POST", r"/tags/(?P<resourceArn>[^/]+)", "TagResource"),
    ("DELETE", r"/tags/(?P<resourceArn>[^/]+)", "UntagResource"),
    ("GET", r"/tags/(?P<resourceArn>[^/]+)", "ListTagsForResource"),
)]


# ------------------------------------------------------------------------------------------------------ signed requests


@dataclasses.dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    token: str = dataclasses.field(default="", repr=False)


# Both emulators take this key for the account's root.
ROOT = Credentials("test", "test")


class AwsError(Exception):
    """An answer that is not 2xx."""

    def __init__(self, request: str, status: int, code: str, message: str):
        self.status = status
        self.code = code
        self.message = message
        super().__init__(f"{request}: {status} {code}: {message}")


class Connection:
    """One kept-alive connection a thread to one server."""

    def __init__(self, url: str):
        split = urllib.parse.urlsplit(url)
        self.host, self.port = split.hostname, split.port
        self.local = threading.local()

    def request(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes,
                timeout: float = 60) -> Response:
        connection = getattr(self.local, "connection", None)
        # An idle connection that has something to read was closed by the server. To find that out by failing would not do:
        # a call that failed later may have been carried out.
        if connection and connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        if not connection or not connection.sock:
            connection = self.local.connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            # The Host header is the caller's, which signed it.
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Response(answer.status, list(answer.headers.items()), answer.read())
        except BaseException:
            connection.close()
            raise


@dataclasses.dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class Query:
    """Calls of the Query protocols (IAM, STS, EC2), signed; for many of them, where an SDK would cost too much."""

    def __init__(self, endpoint: str, region: str):
        self.connection = Connection(endpoint)
        self.netloc = urllib.parse.urlsplit(endpoint).netloc
        self.region = region

    def __call__(self, service: str, action: str, credentials: Credentials | None = ROOT,
                 **params: str) -> ElementTree.Element:
        """Returns the answer without its namespaces. credentials None: unsigned. Raises AwsError, or OSError."""
        body = urllib.parse.urlencode({"Action": action, "Version": VERSIONS[service], **params}).encode()
        headers = {"host": self.netloc, "content-type": "application/x-www-form-urlencoded; charset=utf-8",
                   "content-length": str(len(body))}
        if credentials:
            headers |= self._signature(service, headers, body, credentials)
        answer = self.connection.request("POST", "/", headers.items(), body)
        try:
            root = ElementTree.fromstring(re.sub(rb' xmlns="[^"]*"', b"", answer.body, count=1))
        except ElementTree.ParseError:
            raise AwsError(f"{service} {action}", answer.status, "", answer.body[:200].decode("utf-8", "replace")) from None
        if not 200 <= answer.status < 300:
            raise AwsError(f"{service} {action}", answer.status, root.findtext(".//Code", ""),
                           root.findtext(".//Message", ""))
        return root

    def _signature(self, service: str, headers: dict[str, str], body: bytes, credentials: Credentials) -> dict[str, str]:
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        region = "us-east-1" if service == "iam" else self.region
        scope = f"{now[:8]}/{region}/{service}/aws4_request"
        added = {"x-amz-date": now}
        if credentials.token:
            added["x-amz-security-token"] = credentials.token
        signed = {name: value for name, value in sorted((headers | added).items()) if name != "content-length"}
        names = ";".join(signed)
        canonical = "\n".join(["POST", "/", "", *(f"{name}:{value}" for name, value in signed.items()), "", names,
                               hashlib.sha256(body).hexdigest()])
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{credentials.secret_key}".encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        added["authorization"] = (f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, "
                                  f"Signature={key.hex()}")
        return added


# ---------------------------------------------------------------------------------------------------------------- calls


@dataclasses.dataclass
class Call:
    """One request as it came, and what became of it."""

    number: int
    time: float
    service: str
    action: str
    # Lists as lists, tags and filters as dicts; the token of AssumeRoleWithWebIdentity is left out.
    args: dict[str, Any]
    access_key: str
    # Whose key that is, as far as the proxy was told or has seen it handed out.
    caller: str
    user_agent: str
    dry_run: bool
    status: int = 0  # of the answer, also of one that was then lost; 0: there is none
    code: str = ""  # of AWS, where it was an error
    fault: str = ""  # what was done to it
    forwarded: bool = False  # the emulator (or what stands in for it) has seen it
    committed: bool = False  # and has carried it out
    seconds: float = 0.0

    @property
    def is_write(self) -> bool:
        """Whether it may change something in AWS."""
        return not self.dry_run and self.service != "sts" and not re.match(r"Get|List|Describe|Simulate", self.action)

    def json(self) -> dict:
        record = {"n": self.number, "t": round(self.time, 6), "service": self.service, "action": self.action,
                  "args": self.args, "key": self.access_key, "caller": self.caller, "ua": self.user_agent,
                  "status": self.status, "code": self.code, "committed": self.committed,
                  "ms": round(self.seconds * 1000, 2)}
        return record | ({"dry_run": True} if self.dry_run else {}) | ({"fault": self.fault} if self.fault else {})

    def __str__(self) -> str:
        names = ("RoleName", "PolicyArn", "PolicyName", "OpenIDConnectProviderArn", "Url", "RoleArn", "InstanceProfileName",
                 "PolicySourceArn", "name", "clusterName", "nodegroupName", "addonName", "InstanceId")
        what = " ".join(str(self.args[name]) for name in names if name in self.args)
        outcome = f"{self.status or '-'}{' ' + self.code if self.code else ''}"
        return " ".join(filter(None, (f"{self.service}:{self.action}", what, outcome, self.fault and f"({self.fault})")))


def parse_args(params: list[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of the Query protocols, nested lists folded."""
    args: dict[str, Any] = {}
    folded: dict[str, dict[int, Any]] = {}
    for name, value in params:
        match = re.fullmatch(r"([A-Za-z]+)(?:\.member)?\.(\d+)(?:\.(.+))?", name)
        if match:
            entry, number, rest = match[1], int(match[2]), match[3]
            if rest:
                folded.setdefault(entry, {}).setdefault(number, {})[rest] = value
            else:
                folded.setdefault(entry, {})[number] = value
        elif name not in ("Action", "Version"):
            args[name] = value
    for entry, numbered in folded.items():
        values = [numbered[number] for number in sorted(numbered)]
        if all(isinstance(value, dict) and "Key" in value for value in values):
            args[entry] = {value["Key"]: value.get("Value", "") for value in values}
        elif all(isinstance(value, dict) and "Name" in value for value in values):
            args[entry] = {value["Name"]: [value[key] for key in sorted(value) if key.startswith("Value.")]
                           for value in values}
        else:
            args[entry] = values
    return args


class Request:
    """One HTTP request, whole, and what AWS would take it for."""

    def __init__(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.args: dict[str, Any] = {}
        self.action = ""
        authorization = self.header("authorization")
        scope = re.search(r"Credential=([^/,]+)/\d{8}/([^/]+)/([^/]+)/aws4_request", authorization)
        self.access_key, self.region, self.service = scope.groups() if scope else ("", "", "")
        path, _, query = target.partition("?")
        if self.service == "eks":
            self._read_eks(path, query)
        else:
            params = urllib.parse.parse_qsl(query, keep_blank_values=True)
            if "form-urlencoded" in self.header("content-type"):
                params += urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
            self.action = dict(params).get("Action", "")
            self.args = parse_args(params)
            # The only ones that are not signed are calls of STS.
            if not self.service and self.action:
                self.service = "sts"
        self.dry_run = self.service == "ec2" and self.args.get("DryRun") == "true"

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def _read_eks(self, path: str, query: str) -> None:
        for method, pattern, action in EKS_OPERATIONS:
            if method == self.method and (match := pattern.fullmatch(path)):
                self.action = action
                self.args = {name: urllib.parse.unquote(value) for name, value in match.groupdict().items()}
                break
        self.args |= urllib.parse.parse_qsl(query)
        try:
            body = json.loads(self.body) if self.body else {}
        except ValueError:
            body = {}
        self.args |= body if isinstance(body, dict) else {}


# ---------------------------------------------------------------------------------------------------------------- rules

LOSE = "lose"


class Rule:
    """One fault or hook. `hits` are the calls that it met."""

    def __init__(self, proxy: Proxy, kind: str, service: str | None, action: str | None, nth: int | None,
                 times: int | None, where: Callable[[Call], bool] | None, when: str, options: dict[str, Any]):
        if when not in ("before", "after"):
            raise ValueError(f"when: {when}: before or after")
        self.proxy = proxy
        self.kind = kind
        self.service = service
        self.action = action
        self.nth = nth
        self.times = times
        self.where = where
        self.when = when
        self.options = options
        self.matched = 0
        self.hits: list[Call] = []
        self.removed = threading.Event()
        self._hit = threading.Condition()

    def takes(self, call: Call) -> bool:
        if self.removed.is_set():
            return False
        if self.service and call.service != self.service:
            return False
        if self.action and not fnmatch.fnmatchcase(call.action, self.action):
            return False
        if self.where and not self.where(call):
            return False
        self.matched += 1
        if self.nth is not None and self.matched != self.nth:
            return False
        if self.times is not None and len(self.hits) >= self.times:
            return False
        with self._hit:
            self.hits.append(call)
            self._hit.notify_all()
        return True

    def remove(self) -> None:
        """From now on it meets nothing; calls that it holds go on."""
        self.removed.set()
        with self.proxy._lock:
            if self in self.proxy._rules:
                self.proxy._rules.remove(self)

    def wait(self, timeout: float = 30, hits: int = 1) -> list[Call]:
        """Until it has met so many calls."""
        with self._hit:
            if not self._hit.wait_for(lambda: len(self.hits) >= hits, timeout):
                raise AssertionError(f"after {timeout:g} s {self} has met {len(self.hits)} calls of {hits}")
        return self.hits

    def __str__(self) -> str:
        return f"{self.kind} {self.when} {self.service or '*'}:{self.action or '*'} nth={self.nth} times={self.times}"


KINDS = {"lost", "delayed", "hang", "error", "body", "garbage", "truncated", "cut", "gateway", *ERRORS}
# These mangle an answer, so there must be one.
NEED_ANSWER = {"garbage", "truncated", "cut"}


# ---------------------------------------------------------------------------------------------------------------- proxy


class Proxy:
    """start() and stop(), or a with statement.

    emulator       URL of the emulator
    record         file for one JSON line a call
    synthesize_eks the emulator knows clusters and node groups only: the rest comes from `eks`
    token_key      PEM with the key of the issuer: then tokens must be signed with it
    """

    def __init__(self, emulator: str, account: str, region: str, record: Path | None = None,
                 synthesize_eks: bool = False, token_key: Path | None = None):
        self.emulator = emulator
        self.account = account
        self.region = region
        self.record = record
        self.synthesize_eks = synthesize_eks
        self.token_key = token_key
        # By cluster: merged into what DescribeCluster says; a None takes a key away.
        self.cluster_patches: dict[str, dict] = {}
        # By cluster: {"addons": {name: …}, "associations": {id: …}, "access_entries": {principal ARN: …}}.
        self.eks: dict[str, dict[str, dict[str, dict]]] = {}
        # Names for access keys, for the record.
        self.callers: dict[str, str] = {ROOT.access_key: "root"}
        # Called with each call that was carried out, before its answer and before any fault that follows.
        self.observers: list[Callable[[Call], None]] = []
        # Seconds by which every answer comes later.
        self.latency = 0.0
        self.query = Query(emulator, region)
        self._upstream = Connection(emulator)
        self._lock = threading.RLock()
        self._calls: list[Call] = []
        self._number = 0
        self._rules: list[Rule] = []
        self._file: Any = None
        self._servers: list[http.server.ThreadingHTTPServer] = []

    def __enter__(self) -> Proxy:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0, quiet_port: int = 0) -> Proxy:
        self._file = open(self.record, "a", encoding="utf-8", buffering=1) if self.record else None
        for wanted, quiet in ((port, False), (quiet_port, True)):
            handler = type("ProxyHandler", (_Handler,), {"proxy": self, "quiet": quiet})
            server = _Server(("127.0.0.1", wanted), handler)
            threading.Thread(target=server.serve_forever, args=(0.1,), name="aws-proxy", daemon=True).start()
            self._servers.append(server)
        self.url, self.quiet_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)
        return self

    def stop(self) -> None:
        for rule in list(self._rules):
            rule.remove()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()
        with self._lock:
            if self._file:
                self._file.close()
                self._file = None

    # ------------------------------------------------------------------------------------------- records, faults, hooks

    def calls(self, service: str | None = None, action: str | None = None, writes: bool | None = None,
              since: float | None = None, caller: str | None = None) -> list[Call]:
        """In the order in which they came. action may be a pattern (Get*), since as time.time() gives it."""
        with self._lock:
            calls = list(self._calls)
        return [call for call in calls
                if (service is None or call.service == service)
                and (action is None or fnmatch.fnmatchcase(call.action, action))
                and (writes is None or call.is_write == writes)
                and (since is None or call.time >= since)
                and (caller is None or fnmatch.fnmatchcase(call.caller, caller))]

    def counts(self, **filters: Any) -> dict[str, int]:
        """How often each action was called, as service:action."""
        counts: dict[str, int] = {}
        for call in self.calls(**filters):
            name = f"{call.service}:{call.action}"
            counts[name] = counts.get(name, 0) + 1
        return dict(sorted(counts.items()))

    def forget(self) -> None:
        """Empties the record in memory; the file keeps everything."""
        with self._lock:
            self._calls.clear()

    def fault(self, kind: str, service: str | None = None, action: str | None = None, nth: int | None = None,
              times: int | None = None, where: Callable[[Call], bool] | None = None, when: str | None = None,
              **options: Any) -> Rule:
        """From now on, for the calls that match (only the nth of them; at most so many times):

        lost         the connection is closed without an answer
        throttled, denied, unavailable, internal   the service's own error of that kind
        error        code=, status=400, message="": any error in the service's own form
        gateway      502 with HTML, as a load balancer gives it
        delayed      ms=: the request (before) or the answer (after) comes so much later
        hang         there is no answer until the rule is removed
        body         body=b"…", status=200, content_type=…: any bytes at all
        garbage      an answer of bytes that are nothing
        truncated    the first half of the answer, as if it were whole
        cut          the connection is closed in the middle of the answer

        when="before": AWS never sees the call; "after": it was carried out before that happens. What mangles an answer is
        always "after".
        """
        if kind not in KINDS:
            raise ValueError(f"{kind}: one of {', '.join(sorted(KINDS))}")
        return self._add(Rule(self, kind, service, action, nth, times, where,
                              "after" if kind in NEED_ANSWER else when or "before", options))

    def hook(self, function: Callable[[Call], Any], service: str | None = None, action: str | None = None,
             nth: int | None = None, times: int | None = None, where: Callable[[Call], bool] | None = None,
             when: str = "before", lose: bool = False) -> Rule:
        """Calls the function with the call when its request has arrived, or (when="after") when it was carried out and
        before it is answered. With lose, or when it returns LOSE, the connection is then closed: before, AWS never sees the
        call. So a process that the function kills was killed before or after that call, and nothing is left to chance."""
        return self._add(Rule(self, "hook", service, action, nth, times, where, when, {"function": function, "lose": lose}))

    def at_write(self, nth: int, function: Callable[[Call], Any], when: str) -> Rule:
        """hook() for the nth write from now on, whichever it is, with the connection closed after it."""
        return self.hook(function, nth=nth, when=when, lose=True, where=lambda call: call.is_write)

    def clear(self) -> None:
        """Removes all faults and hooks."""
        for rule in list(self._rules):
            rule.remove()

    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    # ----------------------------------------------------------------------------------------------------- one request

    def _begin(self, request: Request) -> tuple[Call, list[Rule]]:
        args = {name: "(left out)" if name == "WebIdentityToken" else value for name, value in request.args.items()}
        with self._lock:
            self._number += 1
            call = Call(self._number, time.time(), request.service, request.action, args, request.access_key,
                        self.callers.get(request.access_key, ""), request.header("user-agent"), request.dry_run)
            self._calls.append(call)
            return call, [rule for rule in list(self._rules) if rule.takes(call)]

    def _end(self, call: Call, response: Response | None) -> None:
        call.seconds = time.time() - call.time
        if response:
            call.status = response.status
            call.code = error_code(response)
        with self._lock:
            if self._file:
                self._file.write(json.dumps(call.json(), separators=(",", ":")) + "\n")

    def handle(self, request: Request) -> tuple[Response | None, int | None]:
        """The answer, or None where there is to be none; and after how many bytes of it the connection is to be cut."""
        call, rules = self._begin(request)
        response: Response | None = None
        cut: int | None = None
        lost = False
        try:
            for stage in ("before", "after"):
                if stage == "after":
                    # What was lost, or answered in AWS's place, has no after.
                    if lost or response:
                        break
                    call.forwarded = True
                    response = self.answer(request)
                    call.committed = 200 <= response.status < 300
                    call.status, call.code = response.status, error_code(response)
                    if call.committed:
                        for observer in list(self.observers):
                            observer(call)
                for rule in rules:
                    if rule.when != stage or lost or (stage == "before" and response):
                        continue
                    if rule.kind == "hook":
                        lost = rule.options["function"](call) == LOSE or rule.options["lose"]
                        call.fault += f" lost {stage}" if lost else ""
                        continue
                    call.fault += f" {rule.kind} {stage}"
                    if rule.kind == "lost":
                        lost = True
                    elif rule.kind == "delayed":
                        rule.removed.wait(rule.options["ms"] / 1000)
                    elif rule.kind == "hang":
                        rule.removed.wait()
                    elif rule.kind == "cut":
                        cut = len(response.body) // 2
                    else:
                        response = self._faulty(call, rule, response)
            if self.latency:
                time.sleep(self.latency)
            return (None, None) if lost else (response, cut)
        except Exception as error:
            # A mistake of a hook, or the emulator is gone. The caller sees a lost answer, and the record says why.
            call.fault += f" {error!r}"
            raise
        finally:
            call.fault = call.fault.strip()
            self._end(call, None if lost else response)

    @staticmethod
    def _faulty(call: Call, rule: Rule, response: Response | None) -> Response:
        options = rule.options
        if rule.kind in ERRORS:
            return error_response(call.service, *ERRORS[rule.kind].get(call.service, ERRORS[rule.kind]["iam"]))
        if rule.kind == "error":
            return error_response(call.service, options["code"], options.get("status", 400), options.get("message", ""))
        if rule.kind == "gateway":
            return Response(502, [("Content-Type", "text/html")],
                            b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>")
        if rule.kind == "body":
            kind = options.get("content_type", "text/xml" if call.service != "eks" else "application/json")
            return Response(options.get("status", 200), [("Content-Type", kind)], options["body"])
        if rule.kind == "garbage":
            return Response(200, response.headers, bytes((7 * n * n + 13 * n + 1) % 256 for n in range(997)))
        return Response(response.status, response.headers, response.body[:len(response.body) // 2])

    # ------------------------------------------------------------------------------------------------- what AWS answers

    def answer(self, request: Request) -> Response:
        """The emulator's answer, or what AWS would have said where the emulator says something else."""
        try:
            instead = self._instead(request)
        except AwsError as error:
            return error_response(request.service, error.code, error.status, error.message)
        if instead is not None:
            return instead
        headers = [(name, value) for name, value in request.headers
                   if name.lower() not in ("connection", "keep-alive", "expect", "proxy-connection")]
        response = self._upstream.request(request.method, request.target, headers, request.body)
        return self._restate(request, response)

    def _instead(self, request: Request) -> Response | None:
        service, action, args = request.service, request.action, request.args
        if service == "iam" and action in ("CreateRole", "UpdateAssumeRolePolicy"):
            document = args.get("AssumeRolePolicyDocument") or args.get("PolicyDocument", "")
            if len(document) > TRUST_POLICY_LIMIT:
                raise AwsError(action, 409, "LimitExceeded", f"Cannot exceed quota for ACLSizePerRole: {TRUST_POLICY_LIMIT}")
        if service == "sts" and action == "AssumeRoleWithWebIdentity":
            self._check_token(args.get("WebIdentityToken", ""))
        if service == "eks" and self.synthesize_eks:
            return self._eks(request)
        return None

    def _restate(self, request: Request, response: Response) -> Response:
        service, action = request.service, request.action
        html = "html" in response.header("content-type")
        if service in VERSIONS and html:
            # moto's way to say that it does not know an action. That it can not simulate is told as most callers see it.
            if action.startswith("Simulate"):
                code, status, message = ERRORS["denied"]["iam"]
                return error_response(service, code, status, f"{message}: iam:{action}")
            return error_response(service, "InvalidAction", 400,
                                  f"Could not find operation {action} for version {VERSIONS[service]}")
        if service == "eks" and html:
            return error_response(service, "InvalidRequestException", 400,
                                  f"{action or request.target}: the emulator has no such call")
        if service == "eks" and action == "DescribeCluster" and response.status == 200:
            answer = json.loads(response.body)
            merge(answer["cluster"], self.cluster_patches.get(request.args["name"], {}))
            return Response(200, response.headers, json.dumps(answer).encode())
        if service == "sts" and action.startswith("AssumeRole") and response.status == 200:
            text = response.body.decode()
            key = re.search(r"<AccessKeyId>([^<]+)<", text)
            who = re.search(r"<Arn>([^<]+)<", text)
            if key and who:
                self.callers[key[1]] = who[1].split(":", 5)[-1]
        return response

    def provider(self, issuer: str) -> ElementTree.Element | None:
        """The IAM OIDC provider of this issuer, as GetOpenIDConnectProvider gives it."""
        arn = f"arn:aws:iam::{self.account}:oidc-provider/{issuer.removeprefix('https://')}"
        try:
            return self.query("iam", "GetOpenIDConnectProvider", OpenIDConnectProviderArn=arn)
        except AwsError as error:
            if error.code == "NoSuchEntity":
                return None
            raise

    def _check_token(self, token: str) -> None:
        """What STS looks at before it looks at the role. Neither emulator does."""
        def invalid(message: str, code: str = "InvalidIdentityToken") -> AwsError:
            return AwsError("AssumeRoleWithWebIdentity", 400, code, message)

        try:
            head, payload, signature = token.split(".")
            claims = json.loads(unpadded(payload))
            issuer, audience, expires = claims["iss"], claims["aud"], claims["exp"]
            json.loads(unpadded(head))
        except (ValueError, KeyError, TypeError):
            raise invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
                          ) from None
        provider = self.provider(issuer)
        if provider is None:
            raise invalid(f"No OpenIDConnect provider found in your account for {issuer}")
        if self.token_key and not signed_with(self.token_key, f"{head}.{payload}".encode(), unpadded(signature)):
            raise invalid("Couldn't retrieve verification key from your identity provider, please reference "
                          "AssumeRoleWithWebIdentity documentation for requirements")
        now = time.time()
        if expires <= now:
            raise invalid(f"Token expired: current date/time {now:.0f} must be before the expiration date/time {expires}",
                          "ExpiredTokenException")
        known = {member.text for member in provider.findall(".//ClientIDList/member")}
        if not known & set([audience] if isinstance(audience, str) else audience):
            raise invalid("Incorrect token audience")

    def _eks(self, request: Request) -> Response | None:
        """Add-ons, Pod Identity associations and access entries for an emulator that has none."""
        action, args = request.action, request.args
        kinds = {
            "Addon": ("addons", "addonName", "addon"),
            "PodIdentityAssociation": ("associations", "associationId", "association"),
            "AccessEntry": ("access_entries", "principalArn", "accessEntry"),
        }
        plurals = {"ListAddons": "Addon", "ListPodIdentityAssociations": "PodIdentityAssociation",
                   "ListAccessEntries": "AccessEntry"}
        kind = plurals.get(action) or action.removeprefix("Describe")
        if kind not in kinds and action not in ("ListNodegroups", "DescribeNodegroup"):
            return None
        cluster = args["clusterName"]
        if cluster not in self.eks:
            raise AwsError(action, 404, "ResourceNotFoundException", f"No cluster found for name: {cluster}.")
        if kind not in kinds:
            return None
        table, key, member = kinds[kind]
        things = self.eks[cluster].get(table, {})
        if action not in plurals:
            thing = things.get(args[key])
            if thing is None:
                raise AwsError(action, 404, "ResourceNotFoundException",
                               f"No {member}: {args[key]} found in cluster: {cluster}")
            return json_response({member: thing})
        if kind != "PodIdentityAssociation":
            return json_response({"addons" if kind == "Addon" else "accessEntries": list(things)})
        return json_response({"associations": [
            {name: thing[name] for name in ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId",
                                            "ownerArn") if name in thing}
            for thing in things.values()
            if all(args.get(name) in (None, thing[name]) for name in ("namespace", "serviceAccount"))]})


def merge(target: dict, patch: dict) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed_with(pem: Path, text: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding

    data = pem.read_bytes()
    key = (serialization.load_pem_private_key(data, None).public_key() if b"PRIVATE" in data
           else serialization.load_pem_public_key(data))
    try:
        key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def json_response(body: dict, status: int = 200, *headers: tuple[str, str]) -> Response:
    return Response(status, [("Content-Type", "application/json"), ("x-amzn-RequestId", str(uuid.uuid4())), *headers],
                    json.dumps(body).encode())


def error_response(service: str, code: str, status: int, message: str) -> Response:
    """An error in the form of the service."""
    request_id, text = str(uuid.uuid4()), escape(message)
    if service == "eks":
        return json_response({"message": message}, status, ("x-amzn-ErrorType", code))
    if service == "ec2":
        body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{text}'
                f"</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>")
    else:
        body = (f'<ErrorResponse xmlns="{NAMESPACES.get(service, NAMESPACES["iam"])}"><Error><Type>Sender</Type>'
                f"<Code>{code}</Code><Message>{text}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>")
    return Response(status, [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)], body.encode())


def error_code(response: Response) -> str:
    if response.status < 300:
        return ""
    if kind := response.header("x-amzn-errortype"):
        return kind.split(":")[0].split("#")[-1]
    if match := re.search(rb"<Code>([^<]*)<", response.body):
        return match[1].decode()
    if match := re.search(rb'"(?:__type|code)"\s*:\s*"([^"]*)"', response.body):
        return match[1].decode().split("#")[-1]
    return ""


# -------------------------------------------------------------------------------------------------------------- server


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    # A connection that is held (hang) must not hold the end of a test.
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # of a client that was killed, or recorded with the call


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    proxy: Proxy
    quiet: bool

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, list(self.headers.items()), body)
        cut: int | None = None
        response: Response | None = None
        try:
            if self.quiet:
                response = self.proxy.answer(request)
            else:
                response, cut = self.proxy.handle(request)
        except (OSError, http.client.HTTPException) as error:
            if not self.quiet:
                raise
            response = error_response(request.service, "EmulatorUnreachable", 502, repr(error))
        if response is None:
            self.close_connection = True
            return
        self.log_request = lambda *_: None
        self.send_response_only(response.status)
        names = set()
        for name, value in response.headers:
            if name.lower() not in ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
                names.add(name.lower())
        if not names & {"x-amzn-requestid", "x-amz-request-id"}:
            self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body if cut is None else response.body[:cut])
        self.wfile.flush()
        if cut is not None:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, *_: Any) -> None:
        pass
