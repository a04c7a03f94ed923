"""The main job, from `kubectl apply` to a node role without the CNI policy, on both emulators."""

import time

import pytest
from world import CNI_POLICY, LONG, NAME, World, fast

IRSA_CALLS = {"GetOpenIDConnectProvider", "CreateOpenIDConnectProvider", "GetRole", "CreateRole", "AttachRolePolicy",
              "TagRole", "UpdateAssumeRolePolicy"}
RSS_MAX = 24.0  # MiB


def kubectl_wait(world: World, kind: str) -> str:
    done = world.cp.kubectl("wait", f"--for=condition={kind}", f"cib/{NAME}", "--timeout=120s", check=False, timeout=150)
    assert done.returncode == 0, done.stderr + world.tell()
    return done.stdout


@pytest.mark.parametrize("kind", ["ministack", "moto"])
def test_one_object_ends_in_a_verified_cutover(kind):
    with World(kind, nodes=10) as world:
        begun, wall = time.monotonic(), time.time()
        world.apply(fast(detach="OnApproval"))
        kubectl_wait(world, "Ready")
        ready = time.monotonic() - begun
        status = world.status()
        assert status["nodes"]["total"] == status["nodes"]["proven"] == 10
        assert world.pods_without(world.role_arn) == {}
        assert world.node_role_has_policy(), "detached without approval"
        waiting = world.condition("NodeRoleDetached")
        assert (waiting["status"], waiting["reason"]) == ("False", "AwaitingApproval")
        iam_calls = world.aws.proxy.calls(service="iam", since=wall)
        of_irsa = irsa_calls(world, iam_calls)

        assert CNI_POLICY in world.approve()
        kubectl_wait(world, "NodeRoleDetached")
        assert not world.node_role_has_policy()
        assert world.condition("Ready")["status"] == "True"
        world.assert_migrated()
        assert [gate["state"] for gate in world.status()["gates"]] == ["Passed"] * 8
        print(f"\n{kind}: Ready after {ready:.1f} s, detached after {time.monotonic() - begun:.1f} s"
              f"\nAWS calls: {world.aws.proxy.counts(since=wall)}"
              f"\nfor the IRSA objects, until the role stood: {of_irsa}"
              f"\nRSS {world.operator.rss():.1f} MiB")
        assert len(of_irsa) <= 6, of_irsa
        assert world.operator.rss() <= RSS_MAX


def irsa_calls(world: World, calls: list) -> list[str]:
    """The calls for provider, role and policy until they stood. Those of the node role are not theirs."""
    last = max(number for number, call in enumerate(calls) if call.is_write)
    return [f"{call.action} {call.status}" for call in calls[:last + 1]
            if call.action in IRSA_CALLS and call.args.get("RoleName") != world.aws.node_role]


def test_automatic_needs_one_wait_and_then_rests():
    """And: a spec that says nothing of the cluster; the plan before and after; no write while nothing happens."""
    with World("ministack", nodes=10, operator=False) as world:
        manifest = world.manifest(fast())
        flags = ("--cluster-name", world.aws.cluster, "--region", world.aws.region)

        since = time.time()
        plan = world.command("plan", "-f", "-", *flags, input=manifest)
        assert plan.returncode == 2, plan.stderr
        lines = plan.stdout.splitlines()
        assert lines and all(line[:2] in ("+ ", "~ ", "- ") for line in lines), plan.stdout
        assert any(line.startswith("+ create IAM role") for line in lines)
        assert any(line.startswith("- ") and CNI_POLICY in line and world.aws.node_role in line for line in lines), plan.stdout
        assert world.writes() == []
        assert [str(e) for e in world.cp.audit_requests("cni-iam", since=since, writes=True)] == []
        print("\n" + plan.stdout)

        world.start()
        begun = time.monotonic()
        world.apply(fast())
        kubectl_wait(world, "Ready")
        print(f"Ready, detachment included, after {time.monotonic() - begun:.1f} s")
        assert world.condition("NodeRoleDetached")["status"] == "True"
        world.assert_migrated()

        since = time.time()
        plan = world.command("plan", "-f", "-", *flags, input=manifest)
        assert plan.returncode == 0 and plan.stdout.startswith("nothing to do: "), plan.stdout + plan.stderr
        assert world.aws.proxy.calls(writes=True, since=since) == []
        assert world.cp.audit_requests("cni-iam-plan", since=since, writes=True) == []

        idle(world, 600 if LONG else 60)


def idle(world: World, seconds: int) -> None:
    """The Events of the end of the migration come at once: from here on nothing is written but the Lease."""
    since = time.time()
    before = world.binding()
    # A period is what is to be seen here: there is no condition to wait for.
    while time.time() - since < seconds:
        world.operator.check()
        time.sleep(1)
    assert [str(entry) for entry in world.kube_writes(since)] == []
    leases = world.kube_writes(since, lease=True)
    assert leases and {entry.verb for entry in leases} == {"update"}
    assert world.writes(since) == []
    assert world.binding() == before
    print(f"idle {seconds} s: {len(leases)} writes of the Lease, {len(world.aws.proxy.calls(since=since))} AWS reads, "
          f"RSS {world.operator.rss():.1f} MiB")
    assert world.operator.rss() <= RSS_MAX


@pytest.mark.parametrize("manifest, flags, says", [
    ("kind: ConfigMap\n", (), "holds no CniIamBinding"),
    ("a: [\n", (), "cni-iam plan: "),
    (World.manifest({}), (), "cluster"),
    (World.manifest({"cluster": {"name": "absent"}}), ("--region", "us-west-2"), "ClusterNotFound"),
])
def test_a_plan_that_can_not_be_made_ends_with_1(small, manifest, flags, says):
    done = small.command("plan", "-f", "-", *flags, input=manifest)
    assert done.returncode == 1 and says in done.stderr, (done.returncode, done.stdout, done.stderr)
    assert small.command("plan").returncode == 1
    assert small.command("plan", "-f", "/nowhere/at/all").returncode == 1


@pytest.fixture(scope="module")
def small():
    with World("moto", nodes=1) as world:
        yield world


def test_an_empty_spec_is_a_binding(small):
    small.apply({})
    small.wait("RoleReady")
    status = small.status()
    assert status["cluster"]["name"] == small.aws.cluster and status["cluster"]["region"] == small.aws.region
    assert status["cluster"]["arn"].endswith(f":cluster/{small.aws.cluster}")
    assert status["provider"]["arn"] == small.aws.provider_arn()
    small.wait("RoleProven", "False", "Proving")  # the default waits a minute here
    assert small.condition("Ready")["status"] == "False"
    assert small.annotation() is None and small.node_role_has_policy()
    small.delete()
    small.assert_restored()
