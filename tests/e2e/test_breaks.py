"""The role breaks at the worst moments. Each ends with every pod having permissions again, as somebody independent sees it, and with
a condition that says what happened."""

import time

import pytest
from world import LONG, World, by_proxy, condition, fast, merged, watched

NODES = 4
# Of each moment, what the default run takes; CNI_IAM_LONG=1 takes all.
MOMENTS = {
    "between proof and canary": ["trust"],
    "at the canary": ["policy"],
    "in the middle of the rollout": ["provider"],
    "after the detachment": ["policy", "trust", "provider"],
}
CASES = [(moment, what) for moment, chosen in MOMENTS.items() for what in (["policy", "trust", "provider"] if LONG else chosen)]


@pytest.fixture(scope="module")
def world():
    with World("ministack", nodes=NODES, operator=False) as world, by_proxy(world):
        world.start()
        with watched(world) as watcher:
            world.watcher = watcher
            yield world


@pytest.fixture(autouse=True)
def nothing_left(world):
    """A test that fails must not take the following ones with it."""
    yield
    world.kube.clear()
    if world.binding() or world.aws.state() != world.before:
        world.reset()


class Break:
    """Something in AWS that makes the role useless, by others."""

    def __init__(self, world: World, what: str):
        self.world, self.what, self.at = world, what, 0.0
        self.rule = None

    def __call__(self) -> None:
        aws, role = self.world.aws, self.role
        if self.what == "policy":
            aws.put_inline_policy(role, "deny", {"Version": "2012-10-17", "Statement": [
                {"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}]})
        elif self.what == "trust":
            trust = aws.role(role)["trust"]
            self.kept = trust
            aws.set_trust(role, trust | {"Statement": trust["Statement"] + [
                {"Sid": "Deny", "Effect": "Deny", "Principal": {"Federated": aws.provider_arn()},
                 "Action": "sts:AssumeRoleWithWebIdentity"}]})
        else:
            self.rule = aws.proxy.fault("denied", action="CreateOpenIDConnectProvider")
            aws.delete_provider()
        self.at = time.time()

    def when_some_pods_have_it(self) -> None:
        """The rollout goes on by itself: two pods that it made are its middle."""
        self.world.until(lambda: NODES - len(self.world.pods_on_node_role()) >= 2, "two pods have the role")
        self()

    @property
    def role(self) -> str:
        return next(name for name in self.world.aws.roles() if name.startswith("cni-iam-"))

    def mend(self) -> None:
        aws = self.world.aws
        if self.what == "policy":
            aws.client("iam").delete_role_policy(RoleName=self.role, PolicyName="deny")
        elif self.what == "trust":
            aws.set_trust(self.role, self.kept)
        else:
            self.rule.remove()


def ready(pod: dict) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def all_is_well(world: World) -> bool:
    pods = world.pods()
    return len(pods) == NODES and all(map(ready, pods)) and all(world.watcher.verdict(pod).permitted for pod in pods)


def says(world: World) -> str:
    """The first condition that tells the user of the break."""
    for kind, reasons in (("Stalled", {"RolledBack", "RoleNotProven", "AccessDenied"}), ("GuardActive", {"GuardFired"}),
                          ("RoleProven", {"RoleNotProven", "Proving"}), ("ProviderReady", {"AccessDenied"})):
        found = world.condition(kind)
        if found.get("reason") in reasons and (kind, found["status"]) not in (("RoleProven", "True"), ("ProviderReady", "True")):
            return f"{kind}={found['status']} {found['reason']}: {found['message']}"
    return ""


@pytest.mark.parametrize("moment, what", CASES)
def test_the_role_breaks(world, moment, what):
    broken, kube = Break(world, what), world.kube
    if moment == "between proof and canary":
        kube.at_write("PATCH serviceaccounts/aws-node", 1, "after", broken, lose=False)
    elif moment == "at the canary":
        kube.at_write("DELETE pods", 1, "after", broken, lose=False)
    elif moment == "in the middle of the rollout":
        kube.at_write("PATCH daemonsets/aws-node", 1, "after", broken.when_some_pods_have_it, lose=False)
    else:
        kube.clear()
    seen = len(world.watcher.violations)
    world.apply(merged(fast(), {"rollout": {"progressDeadlineSeconds": 6}}))
    if moment == "after the detachment":
        world.wait("NodeRoleDetached")
        broken()
    world.until(lambda: broken.at, "it broke")

    def ended() -> str:
        text = says(world)
        return text if text and all_is_well(world) else ""

    # It has to stay so: a pod that is made anew now must not be born without permissions for good.
    text = world.until(lambda: (first := ended()) and world.watcher.wait_rounds(20) is None and ended() and first,
                       "every pod has permissions again, and a condition says what happened")
    print(f"\n{what} {moment}: well again after {time.time() - broken.at:.1f} s; {text[:160]}")
    for violation in world.watcher.violations[seen:]:
        print(f"    {violation}")
    if moment in ("between proof and canary", "at the canary"):
        assert world.node_role_has_policy()

    broken.mend()
    world.delete()
    world.assert_restored()
    world.watcher.wait_rounds(2)
    assert not world.watcher.open_violations
