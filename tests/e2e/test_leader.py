"""Two replicas, one lease: the other takes over, and one that comes back from a pause writes nothing (S6)."""

import contextlib
import json
import signal
import time

import pytest
from world import World, fast, free_port, watched


@pytest.fixture
def world():
    with World("ministack", nodes=3, operator=False) as world:
        world.lease = ["--leader-elect-lease-duration", "4s", "--leader-elect-renew-deadline", "3s"]
        with watched(world) as watcher:
            world.watcher = watcher
            yield world
            watcher.wait_rounds(2)
            assert not watcher.violations, watcher.report()


@pytest.fixture
def replicas(world):
    """The first holds the lease."""
    replicas = [world.process("first", f"127.0.0.1:{free_port()}")]
    world.until(lambda: holder(world), "the first holds the lease")
    replicas.append(world.process("second", f"127.0.0.1:{free_port()}"))
    yield replicas
    for each in replicas:
        each.signal(signal.SIGCONT)
        each.kill()


def holder(world: World) -> str:
    lease = world.cp.api.find("leases", "cni-iam", "kube-system")
    return ((lease or {}).get("spec") or {}).get("holderIdentity") or ""


def steps(replica) -> list[dict]:
    found = []
    for line in replica.log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("msg") in ("step done", "step failed"):
                found.append(entry)
    return found


@pytest.mark.parametrize("action", ["AttachRolePolicy", "DescribeNetworkInterfaces", "DetachRolePolicy"])
def test_the_leader_is_paused_and_comes_back(world, replicas, action):
    first, second = replicas
    before = holder(world)
    rule = world.aws.proxy.hook(lambda call: first.signal(signal.SIGSTOP), action=action, times=1)
    world.apply(fast())
    rule.wait()
    world.until(lambda: holder(world) not in ("", before), "the second holds the lease")
    world.wait("NodeRoleDetached")
    world.wait("Ready")
    world.assert_migrated()
    # What the first had sent before its pause may have been all that was left.
    assert steps(second) or action == "DetachRolePolicy"

    done = len(steps(first))
    writes, since = len(world.writes()), time.time()
    first.signal(signal.SIGCONT)
    # It finds that its time is over, and ends without another write: whoever runs it starts it again.
    world.until(lambda: first.popen.poll() is not None, "the first ends")
    assert first.popen.returncode == 1, first.tail()
    late = [entry for entry in steps(first)[done:] if entry["msg"] == "step done"]
    # An answer that was on its way when it was stopped may still be told; a call may not be made.
    assert len(late) <= 1 and len(world.writes()) == writes, (late, world.writes()[writes:])
    assert [str(entry) for entry in world.kube_writes(since) if entry.resource in ("serviceaccounts", "daemonsets", "pods")] == []
    world.wait("Ready")
    world.assert_migrated()


def test_the_leader_stops_and_the_other_goes_on_at_once(world, replicas):
    first, second = replicas
    before = holder(world)
    world.apply(fast())
    world.wait("IdentityAnnotated")
    begun = time.monotonic()
    assert first.terminate(10) == 0
    world.until(lambda: holder(world) not in ("", before), "the second holds the lease")
    print(f"\nthe second holds the lease after {time.monotonic() - begun:.1f} s")
    world.wait("Ready")
    world.assert_migrated()
    assert steps(second)
