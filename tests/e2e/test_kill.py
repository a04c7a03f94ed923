"""kill -9 before and after each write of the migration and of the deletion, in AWS and in Kubernetes. Each time another operator
resumes and ends in the same state, and at no moment a pod is without permissions, as somebody independent sees it."""

import contextlib
import time

import pytest
from world import LONG, World, by_proxy, fast, watched

NODES = 3

# What the reference run has to show, so that no write is left out below.
AWS_MIGRATION = [
    "CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy cni-iam", "AttachRolePolicy eks-node", "TagRole cni-iam",
    "DetachRolePolicy eks-node",
]
STATUS = "PATCH cniiambindings/aws-node/status"
FINALIZER = "PATCH cniiambindings/aws-node"
KUBE_MIGRATION = [FINALIZER, STATUS, "PATCH serviceaccounts/aws-node", "DELETE pods", "PATCH daemonsets/aws-node"]
KUBE_DELETION = [STATUS, "PATCH serviceaccounts/aws-node", "PATCH daemonsets/aws-node", FINALIZER]
AWS_DELETION = ["AttachRolePolicy eks-node", "DetachRolePolicy cni-iam", "DeleteRole", "DeleteOpenIDConnectProvider"]


@pytest.fixture(scope="module")
def world():
    with World("ministack", nodes=NODES, operator=False) as world, by_proxy(world):
        # The next operator has to wait for the lease of the one that was killed.
        world.lease = ["--leader-elect-lease-duration", "3s", "--leader-elect-renew-deadline", "2500ms"]
        world.start()
        with watched(world) as watcher:
            world.watcher = watcher
            yield world


def described(calls) -> list[str]:
    names = {"AttachRolePolicy", "DetachRolePolicy", "TagRole"}
    return [f"{call.action} {'cni-iam' if call.args['RoleName'].startswith('cni-iam') else call.args['RoleName']}"
            if call.action in names else call.action for call in calls]


def until(world: World, goal, what: str) -> None:
    """Whenever it was killed, another operator is started; also where it ended by itself, as one does that lost its lease."""
    def reached():
        world.revive()
        return goal()

    world.until(reached, what)


def migrate(world: World) -> None:
    world.apply(fast())
    until(world, lambda: world.condition("Ready").get("status") == "True" and not world.killed.is_set(), "Ready")
    world.assert_migrated()
    assert world.aws.state()["roles"][world.role_name] == world.reference["role"]
    no_pod_was_without(world)


def delete(world: World) -> None:
    world.cp.kubectl("delete", "cib", "aws-node", "--wait=false")
    until(world, lambda: world.binding() is None, "the binding is gone")
    world.assert_restored()
    no_pod_was_without(world)


def no_pod_was_without(world: World) -> None:
    world.watcher.wait_rounds(2)
    assert not world.watcher.violations, world.watcher.report()


@pytest.fixture(scope="module")
def reference(world):
    """One run without a kill: the writes, in their order."""
    found, world.reference = {}, None
    since = time.time()
    world.kube.clear()
    world.apply(fast())
    world.wait("Ready")
    world.assert_migrated()
    world.reference = {"role": world.aws.state()["roles"][world.role_name]}
    found["aws migration"] = described(world.writes(since))
    found["kube migration"] = list(map(str, world.kube.writes))
    world.kube.clear()
    since = time.time()
    world.delete()
    world.assert_restored()
    found["aws deletion"] = described(world.writes(since))
    found["kube deletion"] = list(map(str, world.kube.writes))
    no_pod_was_without(world)
    for name, writes in found.items():
        print(f"\n{name}: {len(writes)} writes")
        print("\n".join(f"  {number:2} {write}" for number, write in enumerate(writes, 1)))
    return found


def test_the_writes_are_these(reference):
    assert reference["aws migration"] == AWS_MIGRATION
    assert reference["aws deletion"] == AWS_DELETION
    assert set(reference["kube migration"]) == set(KUBE_MIGRATION)
    assert set(reference["kube deletion"]) == set(KUBE_DELETION)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, len(AWS_MIGRATION) + 1))
def test_killed_at_writes(world, reference, number, when):
    """One in AWS and one in Kubernetes on the way there, and on the way back as many as are left. Of Kubernetes those that are
    not of the status, and the first of those that are; all the others below."""
    with kills(world, number, KUBE_MIGRATION, when) as met:
        migrate(world)
    assert_met(met, aws=True, kube=number <= len(KUBE_MIGRATION))
    # The write of the last round may be behind the goal that was waited for.
    with kills(world, number, KUBE_DELETION, when) as met:
        delete(world)
    assert_met(met, aws=number <= len(AWS_DELETION), kube=number <= len(KUBE_DELETION))


@contextlib.contextmanager
def kills(world: World, number: int, kube: list[str], when: str):
    met: dict = {}
    rule = world.aws.proxy.at_write(number, world.kill, when)
    if number <= len(kube):
        world.kube.at_write(kube[number - 1], 1, when, world.kill)
    yield met
    rule.remove()
    if world.killed.is_set():
        world.start()
    met["aws"], met["kube"] = rule.hits, world.kube.hit if number <= len(kube) else None
    world.kube.clear()
    print(f"\nkilled {when} {', '.join(map(str, [*met['aws'], *([met['kube']] if met['kube'] else [])]))}", end=" ")


def assert_met(met: dict, aws: bool, kube: bool) -> None:
    assert bool(met["aws"]) == aws and bool(met["kube"]) == kube, met


@pytest.mark.skipif(not LONG, reason="a quarter of an hour: CNI_IAM_LONG=1")
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_write_of_the_status(world, reference, when):
    """How many there are may differ from run to run: one that does not come is told, not missed."""
    there, back = (reference[way].count(STATUS) for way in ("kube migration", "kube deletion"))
    for number in range(1, max(there, back) + 1):
        for way, count in ((migrate, there), (delete, back)):
            if number <= count:
                world.kube.at_write(STATUS, number, when, world.kill)
            way(world)
            if world.killed.is_set():
                world.start()
            print(f"\n{way.__name__}: killed {when} write {number} of the status: {bool(world.kube.hit)}", end=" ")
            world.kube.clear()
