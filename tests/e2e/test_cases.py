"""Clusters and accounts that are not as one would wish, and what AWS may answer."""

import time

import pytest
from world import CNI_POLICY, World, fast, wait_until


@pytest.fixture(scope="module")
def shared():
    with World("ministack", nodes=3) as world:
        yield world


@pytest.fixture
def world(shared):
    """The same world for every test; each has to leave it as it was."""
    yield shared
    shared.aws.proxy.clear()
    try:
        if shared.binding():
            shared.delete()
        shared.assert_restored()
        assert len(shared.names) == 3
    except Exception:
        # A test that fails must not take the following ones with it.
        for name in shared.names[3:]:
            remove_node(shared, name)
        shared.reset()
        raise


def of_aws_node(world: World, since: float) -> list[str]:
    """Writes in Kubernetes beyond the operator's own objects."""
    return [str(entry) for entry in world.kube_writes(since) if entry.resource not in ("cniiambindings", "events")]


def nothing_written(world: World, since: float) -> None:
    """But the status of bindings, their Events, and the Lease."""
    assert world.writes(since) == []
    assert [str(entry) for entry in world.kube_writes(since)
            if (entry.resource, entry.subresource) != ("cniiambindings", "status") and entry.resource != "events"] == []
    assert world.aws.state() == world.before and world.annotation() is None


def passes(world: World, count: int = 2) -> None:
    """Until the operator has looked at AWS so many times again."""
    known = len(world.aws.proxy.calls(action="DescribeCluster"))
    world.until(lambda: len(world.aws.proxy.calls(action="DescribeCluster")) >= known + count, "the operator looks again")


# ------------------------------------------------------------------------------------------------------ modes, refusals


@pytest.mark.parametrize("mode", ["Plan", "Observe"])
def test_plan_and_observe_write_nothing(world, mode):
    since = time.time()
    world.apply(fast({"mode": mode}))
    world.wait("Ready", "False", "Planned")
    steps = world.status()["plan"]["steps"]
    assert any("create IAM role" in step for step in steps) and any("detach" in step for step in steps), steps
    passes(world)
    nothing_written(world, since)
    world.delete()


def stalled(world: World, spec: dict, reason: str, name: str = "aws-node") -> str:
    since = time.time()
    world.apply(spec, name)
    found = world.wait("Stalled", reason=reason, name=name)
    assert world.condition("Ready", name)["status"] == "False"
    nothing_written(world, since)
    print(f"\n{reason}: {found['message']}")
    return found["message"]


def test_the_wrong_account(world):
    assert world.aws.account in stalled(world, fast({"cluster": {"accountID": "999999999999"}}), "WrongAccount")


@pytest.fixture
def any_cluster(world):
    """The shipped policy lets the operator ask for its own cluster only: here it may ask for others."""
    policy = world.policy()
    world.aws.set_operator_policy(policy | {"Statement": policy["Statement"] + [
        {"Sid": "Any", "Effect": "Allow", "Action": "eks:*", "Resource": "*"}]})
    yield world
    world.aws.set_operator_policy(policy)


def test_a_cluster_that_is_not_there(any_cluster):
    assert "absent" in stalled(any_cluster, fast({"cluster": {"name": "absent"}}), "ClusterNotFound")


def test_another_cluster_than_the_api_servers(any_cluster):
    any_cluster.aws.add_cluster("other")
    stalled(any_cluster, fast({"cluster": {"name": "other"}}), "IssuerMismatch")


def test_a_cluster_that_the_policy_does_not_name(world):
    assert "eks:DescribeCluster" in stalled(world, fast({"cluster": {"name": "absent"}}), "AccessDenied")


def test_a_second_binding_for_the_cluster(world):
    world.apply(fast(detach="Never"))
    world.wait("Ready")
    since = time.time()
    world.apply(fast(), "second")
    found = world.wait("Stalled", reason="DuplicateBinding", name="second")
    assert "aws-node" in found["message"]
    passes(world)
    assert world.writes(since) == [] and of_aws_node(world, since) == []
    assert world.condition("Ready")["status"] == "True"
    # It goes without a trace, and the first is not touched.
    world.delete("second")
    assert world.condition("Ready")["status"] == "True" and world.annotation() == world.role_arn


def test_a_role_that_is_not_ours_and_its_adoption(world):
    arn = world.aws.create_role("cni-iam-made-by-hand", {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    role = world.aws.role("cni-iam-made-by-hand")
    try:
        since = time.time()
        world.apply(fast({"role": {"name": "cni-iam-made-by-hand"}}))
        world.wait("Stalled", reason="RoleNotOurs")
        assert world.aws.role("cni-iam-made-by-hand") == role and of_aws_node(world, since) == []
        world.apply(fast({"role": {"name": "cni-iam-made-by-hand", "management": "Adopt"}}))
        world.wait("Ready")
        assert world.role_arn == arn and world.pods_without(arn) == {}
        adopted = world.aws.role("cni-iam-made-by-hand")
        assert len(adopted["trust"]["Statement"]) == 2 and adopted["attached"] == [CNI_POLICY]
        assert not world.node_role_has_policy()
        world.delete()
        # It loses our statement and stays.
        assert world.aws.role("cni-iam-made-by-hand")["trust"] == role["trust"]
        assert world.node_role_has_policy() and len(world.pods_on_node_role()) == 3
    finally:
        if world.binding():
            world.delete()
        world.aws.delete_role("cni-iam-made-by-hand")


# ---------------------------------------------------------------------------------------------------------------- nodes


def remove_node(world: World, name: str) -> None:
    provider_id = world.cp.api.get("nodes", name)["spec"]["providerID"]
    world.cp.remove_node(name)
    world.aws.terminate_instance(provider_id)
    world.names.remove(name)


@pytest.mark.parametrize("detach", ["Never", "Automatic"])
def test_a_pod_that_the_webhook_missed(world, detach):
    """A node joins while the webhook is down: before the detachment its pod is made anew; after it, the guard gives the policy back
    first."""
    world.apply(fast(detach=detach))
    world.wait("Ready")
    since = time.time()
    with world.cp.without_webhook():
        name = world.add_node()
        missed = world.until(world.pods_on_node_role, "a pod without the role")
        world.until(lambda: world.condition("Ready")["status"] == "False" or world.events("GuardFired"), "it is noticed")
        if detach == "Automatic":
            world.until(world.node_role_has_policy, "the node role has its policy again")
            world.until(lambda: world.condition("GuardActive")["reason"] == "GuardFired", "the guard says that it fired")
            assert world.writes(since)[0].action == "AttachRolePolicy"
    arn = world.role_arn
    world.until(lambda: len(world.pods()) == 4 and not world.pods_without(arn), "every pod has the role")
    assert not {pod["metadata"]["name"] for pod in world.pods()} & set(missed)
    world.wait("PodsProven")
    if detach == "Automatic":
        # After the guard has fired, only a new approval detaches again.
        assert world.wait("NodeRoleDetached", "False")
        assert world.node_role_has_policy()
        world.until(lambda: world.status()["plan"].get("digest"), "there is something to approve")
        world.wait("NodeRoleDetached", "False", "AwaitingApproval")
        world.approve()
        world.wait("NodeRoleDetached")
        world.wait("Ready")
    world.delete()
    remove_node(world, name)
    world.cp.wait_daemonset(nodes=3)


def test_a_node_that_joins_in_the_middle(world):
    rule = world.aws.proxy.hook(lambda call: world.add_node(wait=False), action="DescribeNetworkInterfaces", times=1)
    world.apply(fast())
    rule.wait()
    world.wait("Ready")
    world.until(lambda: world.status()["nodes"]["proven"] == 4, "four nodes are proven")
    world.assert_migrated()
    # And one that joins afterwards.
    name = world.add_node()
    world.until(lambda: world.status()["nodes"]["proven"] == 5, "five nodes are proven")
    world.wait("Ready")
    world.assert_migrated()
    world.delete()
    for each in (name, world.names[-2]):
        remove_node(world, each)
    world.cp.wait_daemonset(nodes=3)


def test_a_shared_node_role(world):
    """An instance that is no node holds the detachment back, until it is declared."""
    foreign = world.aws.add_instance(cluster="")
    instance = foreign.rsplit("/", 1)[-1]
    try:
        world.apply(fast())
        found = world.wait("NodeRoleDetached", "False", "ForeignConsumer")
        assert instance in found["message"]
        passes(world)
        assert world.node_role_has_policy()
        world.patch({"nodeRole": {"foreignConsumers": [instance]}})
        world.wait("NodeRoleDetached")
        assert not world.node_role_has_policy()
        world.delete()
    finally:
        world.aws.terminate_instance(foreign)


# ------------------------------------------------------------------------------------------------- what AWS may answer


@pytest.mark.parametrize("kind", ["denied", "internal", "gateway", "garbage"])
def test_an_add_on_that_can_not_be_asked_for_is_no_self_managed_one(world, kind):
    """Only ResourceNotFoundException means that there is none."""
    since = time.time()
    rule = world.aws.proxy.fault(kind, action="DescribeAddon")
    world.apply(fast())
    rule.wait(hits=2)
    if kind == "denied":
        world.wait("Stalled", reason="AccessDenied")
    else:
        world.wait("Ready", "False")
    print(f"\n{kind}: {world.condition('Ready')['reason']}: {world.condition('Ready')['message']}")
    nothing_written(world, since)
    rule.remove()
    world.wait("Ready")
    world.assert_migrated()


# A fault met by the first calls of each action, reads and writes alike.
FAULTS = {
    "throttled": {"times": 8},
    "lost before": {"kind": "lost", "times": 8},
    "lost after commit": {"kind": "lost", "when": "after", "where": lambda call: call.is_write, "times": 6},
    "garbage": {"times": 8},
    "truncated": {"times": 8},
    "cut": {"times": 8},
    "unavailable": {"times": 8},
}


@pytest.mark.parametrize("name", FAULTS)
def test_it_converges_in_spite_of(world, name):
    options = dict(FAULTS[name])
    rule = world.aws.proxy.fault(options.pop("kind", name), **options)
    begun = time.monotonic()
    world.apply(fast())
    world.wait("Ready", timeout=180)
    world.assert_migrated()
    assert rule.hits
    print(f"\n{name}: Ready after {time.monotonic() - begun:.1f} s with {len(rule.hits)} faults")


# --------------------------------------------------------------------------------------------------- clusters of their own


def test_a_managed_add_on():
    with World("ministack", nodes=1) as world:
        world.aws.put_addon()
        assert "update-addon" in stalled(world, fast(), "ManagedAddon")
        since = time.time()
        passes(world)
        nothing_written(world, since)
        world.aws.client("eks").delete_addon(clusterName=world.aws.cluster, addonName="vpc-cni")
        world.wait("Ready")
        world.assert_migrated()


def test_an_ipv6_cluster():
    with World("ministack", nodes=2, ipv6=True) as world:
        # What such clusters have on their node role instead of the managed policy.
        document = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Resource": "*", "Action": [
                "ec2:AssignIpv6Addresses", "ec2:DescribeInstances", "ec2:DescribeTags", "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeInstanceTypes"]},
            {"Effect": "Allow", "Action": ["ec2:CreateTags"], "Resource": ["arn:aws:ec2:*:*:network-interface/*"]}]}
        by_hand = world.aws.create_policy("AmazonEKS_CNI_IPv6_Policy", document)
        world.aws.detach(world.aws.node_role)
        world.aws.attach(world.aws.node_role, by_hand)
        before = world.aws.state()
        world.apply(fast())
        world.wait("PodsProven")
        role = world.aws.role(world.role_name)
        created = world.status()["policies"]["createdARN"]
        assert role["attached"] == [created]
        policy = world.aws.policies()[created]
        actions = {action for statement in policy["document"]["Statement"] for action in
                   ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])}
        print(f"\n{created}: {sorted(actions)}")
        assert actions >= {"ec2:AssignIpv6Addresses", "ec2:DescribeInstances", "ec2:DescribeTags", "ec2:DescribeNetworkInterfaces",
                           "ec2:DescribeInstanceTypes", "ec2:CreateTags"}
        assert policy["tags"].get("cniiam.dev/managed-by") == "cni-iam"
        # A policy that is nobody's to detach is a finding.
        detached = world.wait("NodeRoleDetached", "False")
        assert by_hand in world.aws.node_role_policies()
        print(f"{detached['reason']}: {detached['message']}")
        world.wait("Ready")
        world.delete()
        assert world.aws.state() == before


def test_nodes_that_never_had_the_policy():
    """Where nothing worked before, there is nothing to detach, and deletion leaves the role: pods keep their permissions."""
    with World("ministack", nodes=2, cni_policy=False) as world:
        world.apply(fast())
        world.wait("Ready")
        arn = world.role_arn
        assert world.pods_without(arn) == {}
        detached = world.condition("NodeRoleDetached")
        assert (detached["status"], detached["reason"]) == ("True", "NothingToDetach")
        assert [call for call in world.writes() if call.args.get("RoleName") == world.aws.node_role] == []
        world.delete()
        assert world.annotation() == arn and world.pods_without(arn) == {}
        assert world.aws.role(arn.rsplit("/", 1)[-1])
        wait_until(lambda: world.events("Retained"), 30, "an Event says so")
