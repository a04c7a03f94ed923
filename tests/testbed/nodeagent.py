"""What kwok does not play of a node: an aws-node pod whose credentials are refused is not Ready, and says why.

The verdict comes from outside: a callable that is given a pod and says whether its credentials may do what the CNI has to
do. It is asked for a new pod as soon as kwok has made it Running, and again and again for every pod.

kwok's own stage for pods does not fight it: that one only acts on pods that are still Pending.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
import uuid
from typing import Callable

from .controlplane import Api, ApiError, ControlPlane, Watch, rfc3339

# Tells what this agent made un-Ready from what somebody else did, which is not its to repair.
MESSAGE = "aws-node has no permission to call the EC2 API"
REASON = "MissingIAMPermissions"


@dataclasses.dataclass(frozen=True)
class Flip:
    """A pod that this agent made Ready or not."""

    time: float
    pod: str
    uid: str
    node: str
    ready: bool


class NodeAgent:
    """start() and stop(), or a with statement.

    has_permission   may raise, when it could not find out: then the pod stays as it is, and `errors` counts
    interval         how often each pod is asked for
    event_interval   how often a refused pod's Event is repeated (as a series, as the recorder of client-go does)
    """

    def __init__(self, cluster: ControlPlane, has_permission: Callable[[dict], bool], interval: float = 0.5,
                 event_interval: float = 10.0):
        self.cluster = cluster
        self.has_permission = has_permission
        self.interval = interval
        self.event_interval = event_interval
        self.history: list[Flip] = []
        self.errors: list[str] = []
        self._pods: dict[str, dict] = {}
        self._due: dict[str, float] = {}
        self._events: dict[str, dict] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._watch: Watch | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> NodeAgent:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> NodeAgent:
        self._stopping = False
        self._api: Api = self.cluster.api_as("node-agent", user_agent="node-agent")
        self._threads = [threading.Thread(target=run, name=f"node-agent-{run.__name__}", daemon=True)
                         for run in (self._follow, self._work)]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            if self._watch:
                self._watch.close()
        for thread in self._threads:
            thread.join(30)

    def refused(self) -> set[str]:
        """The names of the pods that this agent holds un-Ready now."""
        with self._changed:
            return {pod["metadata"]["name"] for pod in self._pods.values() if _held(pod)}

    # --------------------------------------------------------------------------------------------- what pods there are

    def _follow(self) -> None:
        while not self._stopping:
            try:
                with self._api.watch("pods", "kube-system", "k8s-app=aws-node") as watch:
                    with self._changed:
                        self._watch = watch
                        # Each watch begins with all pods that there are.
                        self._pods.clear()
                        if self._stopping:
                            return
                    for kind, pod in watch:
                        self._note(kind, pod)
            except Exception as error:
                self._trouble("watch", error)

    def _note(self, kind: str, pod: dict) -> None:
        if kind not in ("ADDED", "MODIFIED", "DELETED"):
            return
        uid = pod["metadata"]["uid"]
        with self._changed:
            gone = kind == "DELETED" or "deletionTimestamp" in pod["metadata"]
            if gone or pod["status"].get("phase") != "Running":
                for table in (self._pods, self._due, self._events):
                    table.pop(uid, None)
                return
            self._pods[uid] = pod
            if uid not in self._due:
                self._due[uid] = time.monotonic()
                self._changed.notify_all()

    def _trouble(self, where: str, error: Exception) -> None:
        if self._stopping:
            return
        self.errors.append(f"{rfc3339(micro=True)} {where}: {error!r}")
        print(f"node agent: {where}: {error!r}", file=sys.stderr)
        # The API server may be down on purpose.
        time.sleep(0.2)

    # -------------------------------------------------------------------------------------------- what becomes of them

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                uid = min(self._pods, key=lambda uid: self._due.get(uid, 0), default=None)
                wait = self._due.get(uid, 0) - time.monotonic() if uid else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                pod = self._pods[uid]
                self._due[uid] = time.monotonic() + self.interval
            try:
                self._judge(pod, self.has_permission(pod))
            except Exception as error:
                self._trouble(pod["metadata"]["name"], error)

    def _judge(self, pod: dict, permitted: bool) -> None:
        try:
            if permitted:
                if _held(pod):
                    self._set_ready(pod, True)
                return
            flip = _ready(pod)
            if flip:
                self._set_ready(pod, False)
            self._say(pod, at_once=flip)
        except ApiError as error:
            # Gone meanwhile, or changed meanwhile: the watch tells, and the next round takes it up.
            if error.code not in (404, 409, 422):
                raise

    def _set_ready(self, pod: dict, ready: bool) -> None:
        now = rfc3339()
        containers = []
        for status in pod["status"].get("containerStatuses", []):
            if status["name"] == "aws-node":
                status = dict(status, ready=ready, started=ready)
                if ready:
                    status["state"] = {"running": {"startedAt": now}}
                else:
                    # Its process ends with 2 when it can not work, and is started again by the kubelet.
                    status["restartCount"] = status.get("restartCount", 0) + 1
                    status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": MESSAGE}}
                    status["lastState"] = {"terminated": {"exitCode": 2, "reason": "Error", "finishedAt": now}}
            containers.append(status)
        condition = {"status": str(ready), "lastTransitionTime": now,
                     "reason": None if ready else "ContainersNotReady", "message": None if ready else MESSAGE}
        metadata = pod["metadata"]
        answer = self._api.patch("pods", metadata["name"], {
            # Of the very pod that was judged, as it was when it was judged.
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "status": {
                "conditions": [{"type": kind, **condition} for kind in ("Ready", "ContainersReady")],
                "containerStatuses": containers,
            },
        }, metadata["namespace"], "strategic", "status")
        with self._changed:
            if metadata["uid"] in self._pods:
                self._pods[metadata["uid"]] = answer
        self.history.append(Flip(time.time(), metadata["name"], metadata["uid"], pod["spec"].get("nodeName", ""), ready))

    def _say(self, pod: dict, at_once: bool) -> None:
        metadata = pod["metadata"]
        now = time.time()
        known = self._events.get(metadata["uid"])
        if known and not at_once and now - known["last"] < self.event_interval:
            return
        if known:
            known["count"] += 1
            known["last"] = now
            self._api.patch("events.k8s.io/v1/events", known["name"], {
                "series": {"count": known["count"], "lastObservedTime": rfc3339(now, micro=True)},
            }, metadata["namespace"])
            return
        name = f"{metadata['name']}.{uuid.uuid4().hex[:16]}"
        self._api.create("events.k8s.io/v1/events", {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "eventTime": rfc3339(now, micro=True),
            "reportingController": "aws-node",
            "reportingInstance": metadata["name"],
            "type": "Warning",
            "reason": REASON,
            # The call that was refused.
            "action": "AssignPrivateIpAddresses",
            "note": "the call ec2:AssignPrivateIpAddresses was refused: the role lacks a policy that allows it",
            "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": metadata["namespace"],
                          "name": metadata["name"], "uid": metadata["uid"]},
        }, metadata["namespace"])
        self._events[metadata["uid"]] = {"name": name, "count": 1, "last": now}


def _ready_condition(pod: dict) -> dict:
    return next((c for c in pod["status"].get("conditions", []) if c["type"] == "Ready"), {})


def _ready(pod: dict) -> bool:
    return _ready_condition(pod).get("status") == "True"


def _held(pod: dict) -> bool:
    condition = _ready_condition(pod)
    return condition.get("status") == "False" and condition.get("message") == MESSAGE
