"""What others undo is repaired; what is deleted is restored first."""

import time

import pytest
from testbed.watcher import Watcher
from world import CNI_POLICY, NAME, RESTARTED_FOR, World, fast, wait_until

FOREIGN = {"Sid": "ForTests", "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


# ---------------------------------------------------------------------------------------------------------------- repair


@pytest.fixture(scope="module", params=["before", "after"])
def migrated(request):
    """A world whose binding is Ready, before or after the detachment."""
    with World("ministack", nodes=3) as world:
        world.detached = request.param == "after"
        world.apply(fast(detach="OnApproval"))
        world.wait("Ready")
        if world.detached:
            world.approve()
            world.wait("NodeRoleDetached")
        world.watcher = Watcher.of(world.aws, world.cp)
        world.good = world.aws.state()
        yield world


def repaired(world: World, broken_at: float) -> None:
    """AWS and the annotation are as they were; no pod was touched for it, and nothing was detached or given back."""
    arn = world.role_arn
    world.until(lambda: world.annotation() == arn and world.aws.state() == world.good, "repaired")
    took = time.time() - broken_at
    world.wait("Ready")
    detached = world.condition("NodeRoleDetached")
    assert (detached["status"] == "True") == world.detached and world.node_role_has_policy() != world.detached
    assert world.pods_without(arn) == {}
    for pod in world.pods():
        assert world.watcher.verdict(pod).permitted
    assert not world.events("GuardFired") and not world.events("RollbackStarted")
    print(f"\nrepaired after {took:.1f} s: {[str(call) for call in world.writes(broken_at)]}")


def pod_uids(world: World) -> set[str]:
    return {pod["metadata"]["uid"] for pod in world.pods()}


def test_annotation_removed(migrated):
    pods, since = pod_uids(migrated), time.time()
    migrated.annotate(None)
    repaired(migrated, since)
    assert pod_uids(migrated) == pods


def test_annotation_changed(migrated):
    pods, since = pod_uids(migrated), time.time()
    migrated.annotate("arn:aws:iam::111122223333:role/somebody-elses")
    repaired(migrated, since)
    assert pod_uids(migrated) == pods


def test_policy_detached_from_the_role(migrated):
    pods, since = pod_uids(migrated), time.time()
    migrated.aws.detach(migrated.role_name)
    repaired(migrated, since)
    assert pod_uids(migrated) == pods
    assert [call.action for call in migrated.writes(since)] == ["AttachRolePolicy"]


def test_trust_edited_by_hand(migrated):
    """Our own statement comes back; what somebody added stays."""
    since, role = time.time(), migrated.role_name
    trust = migrated.aws.role(role)["trust"]
    ours = trust["Statement"][0]
    issuer = migrated.aws.issuer.removeprefix("https://")
    wrong = {**ours, "Condition": {"StringEquals": {f"{issuer}:aud": "sts.amazonaws.com",
                                                    f"{issuer}:sub": "system:serviceaccount:default:somebody"}}}
    migrated.aws.set_trust(role, trust | {"Statement": [wrong]})
    repaired(migrated, since)

    since = time.time()
    migrated.aws.set_trust(role, trust | {"Statement": [FOREIGN]})
    found = migrated.until(
        lambda: (now := migrated.aws.role(role)["trust"]["Statement"]) and ours in now and now, "our statement is back")
    assert FOREIGN in found and len(found) == 2
    assert [call.action for call in migrated.writes(since)] == ["UpdateAssumeRolePolicy"]
    migrated.aws.set_trust(role, trust)
    repaired(migrated, since)


def test_provider_deleted(migrated):
    pods, since = pod_uids(migrated), time.time()
    migrated.aws.delete_provider()
    repaired(migrated, since)
    assert pod_uids(migrated) == pods


def test_role_deleted(migrated):
    """The role that comes back is another one to AWS, whose sessions of the old one are void: pods obtain new ones by themselves."""
    since = time.time()
    migrated.aws.delete_role(migrated.role_name)
    repaired(migrated, since)


# -------------------------------------------------------------------------------------------------------------- deletion


@pytest.fixture(scope="module")
def world():
    with World("ministack", nodes=3) as world:
        yield world


@pytest.fixture(autouse=True)
def nothing_left(request):
    """A test that fails must not take the following ones with it."""
    yield
    world = request.node.funcargs.get("world")
    if world and (world.binding() or world.aws.state() != world.before):
        world.reset()


def migrate(world: World, more: dict | None = None) -> float:
    world.apply(fast(more))
    world.wait("Ready")
    world.assert_migrated()
    return time.time()


def test_deletion_gives_back_before_it_takes(world):
    since = migrate(world)
    world.delete()
    world.assert_restored()
    writes = world.writes(since)
    names = [call.action for call in writes]
    assert writes[0].action == "AttachRolePolicy" and writes[0].args["RoleName"] == world.aws.node_role
    assert writes[0].args["PolicyArn"] == CNI_POLICY
    assert sorted(names[1:]) == ["DeleteOpenIDConnectProvider", "DeleteRole", "DetachRolePolicy"]
    assert names.index("DetachRolePolicy") < names.index("DeleteRole") < names.index("DeleteOpenIDConnectProvider")
    changes = [entry for entry in world.kube_writes(since) if entry.resource in ("serviceaccounts", "daemonsets", "pods")]
    assert {entry.resource for entry in changes} >= {"serviceaccounts", "daemonsets"}
    given_back = writes[0].time + writes[0].seconds
    assert all(entry.time > given_back for entry in changes), [str(entry) for entry in changes]
    # And no pod had the role any more when the role began to go.
    assert all(entry.time < writes[1].time for entry in changes)
    template = world.cp.api.get("daemonsets", "aws-node", "kube-system")["spec"]["template"]["metadata"]
    assert template["annotations"][RESTARTED_FOR] == "none"


def test_a_provider_that_another_role_trusts_stays(world):
    since = migrate(world)
    world.aws.create_role("somebody-elses", world.aws.irsa_trust("default", "app"))
    world.delete()
    state = world.aws.state()
    assert list(state["providers"]) == [world.aws.provider_arn()]
    assert world.aws.role("somebody-elses") and not [name for name in state["roles"] if name.startswith("cni-iam-")]
    assert "DeleteOpenIDConnectProvider" not in [call.action for call in world.writes(since)]
    assert world.node_role_has_policy() and len(world.pods_on_node_role()) == 3
    world.until(lambda: world.events("ProviderRetained"), "an Event says so")
    world.aws.delete_role("somebody-elses")
    world.aws.delete_provider()
    world.assert_restored()


def test_a_provider_that_was_there_before_stays(world):
    arn = world.aws.create_provider()
    before = world.aws.state()
    world.apply(fast())
    world.wait("Ready")
    world.delete()
    assert world.aws.state() == before
    assert arn in world.aws.providers()
    world.aws.delete_provider()


def test_a_suspended_binding_is_deleted_as_any_other(world):
    migrate(world)
    world.patch({"suspend": True})
    world.wait("Ready", "False", "Suspended")
    world.delete()
    world.assert_restored()


def test_before_the_detachment_nothing_is_given_back(world):
    world.apply(fast(detach="Never"))
    world.wait("Ready")
    since = time.time()
    world.delete()
    world.assert_restored()
    assert [call.action for call in world.writes(since)] == ["DetachRolePolicy", "DeleteRole", "DeleteOpenIDConnectProvider"]


def test_sigterm_ends_it_cleanly_and_gives_the_lease_back(world):
    lease = world.cp.api.get("leases", "cni-iam", "kube-system")
    assert lease["spec"]["holderIdentity"]
    begun = time.monotonic()
    assert world.stop(10) == 0
    print(f"\nended after {time.monotonic() - begun:.2f} s")
    assert not world.cp.api.get("leases", "cni-iam", "kube-system")["spec"].get("holderIdentity")
    world.start()
    wait_until(lambda: "leading" in world.readyz(), 30, "the next one leads", alive=world.operator.check)


def test_sigterm_in_the_middle_of_a_migration(world):
    """The call under way ends; what is left is done by the next one."""
    rule = world.aws.proxy.fault("delayed", action="CreateRole", ms=1000)
    world.apply(fast())
    rule.wait()
    assert world.stop(10) == 0
    rule.remove()
    assert world.aws.proxy.calls(action="CreateRole")[-1].committed
    assert not world.cp.api.get("leases", "cni-iam", "kube-system")["spec"].get("holderIdentity")
    world.start()
    world.wait("Ready")
    world.assert_migrated()
    world.delete()
    world.assert_restored()


@pytest.mark.parametrize("how", ["Retain", "abandon"])
def test_retained_and_taken_up_again(world, how):
    migrate(world)
    state, pods, arn = world.aws.state(), pod_uids(world), world.role_arn
    if how == "Retain":
        world.patch({"deletionPolicy": "Retain"})
    else:
        world.cp.api.patch("cniiambindings", NAME, {"metadata": {"annotations": {"cniiam.dev/abandon": "true"}}})
    since = time.time()
    world.delete()
    assert world.aws.state() == state and world.writes(since) == []
    assert world.annotation() == arn and pod_uids(world) == pods
    world.until(lambda: world.events("Retained" if how == "Retain" else "Abandoned"), "an Event says so")
    # A binding of the same name finds everything in place.
    since = time.time()
    migrate(world)
    assert pod_uids(world) == pods and world.role_arn == arn
    print(f"\ntaken up again by: {[str(call) for call in world.writes(since)]}")
    # What there was before is told by the tags of the role.
    world.delete()
    world.assert_restored()
