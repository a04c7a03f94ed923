"""A rehearsal from a snapshot, and then the real thing: both make the same AWS calls, in the same order. And what is not in a
snapshot."""

import base64
import json
import os
import secrets
import stat
import time
from pathlib import Path

import pytest
from testbed.awsproxy import parse_args
from world import CNI_POLICY, World, fast

CANARY = "canary" + secrets.token_hex(12)


def hide_canaries(world: World) -> list[str]:
    """Everywhere where somebody may have put a secret. Returns more texts that must not be found."""
    cp = world.cp
    cp.kubectl("-n", "kube-system", "create", "secret", "generic", "hidden", f"--from-literal=key={CANARY}1")
    cp.kubectl("-n", "kube-system", "create", "configmap", "hidden", f"--from-literal=key={CANARY}2")
    for kind in ("serviceaccount", "daemonset"):
        cp.kubectl("-n", "kube-system", "annotate", kind, "aws-node", f"example.com/note={CANARY}3")
        cp.kubectl("-n", "kube-system", "label", kind, "aws-node", f"example.com/label={CANARY}4")
    cp.kubectl("annotate", "node", world.names[0], f"example.com/note={CANARY}5")
    patch = {"spec": {"template": {
        "metadata": {"annotations": {"example.com/note": f"{CANARY}6"}},
        "spec": {"containers": [{"name": "aws-node", "args": [f"--password={CANARY}7"], "env": [
            {"name": "VENDOR_API_KEY", "value": f"{CANARY}8"},
            {"name": "VENDOR_URL", "value": f"https://user:{CANARY}9@$(HOST_IP)/"},
            {"name": "VENDOR_TOKEN", "valueFrom": {"secretKeyRef": {"name": f"{CANARY}10", "key": "key"}}}]}],
            "volumes": [{"name": "hidden", "secret": {"secretName": f"{CANARY}11", "optional": True}}]}}}}
    cp.kubectl("-n", "kube-system", "patch", "daemonset", "aws-node", "--type=strategic", "-p", json.dumps(patch))
    cp.wait_daemonset(nodes=len(world.names))
    pod = world.pods()[0]["metadata"]["name"]
    cp.kubectl("-n", "kube-system", "annotate", "pod", pod, f"other.example.com/note={CANARY}12")
    env = world.env()
    return [CANARY, base64.b64encode(CANARY.encode()).decode()[:16], env["AWS_SECRET_ACCESS_KEY"], "last-applied-configuration",
            "managedFields", "certificate", "eyJ", "secretKeyRef", "BEGIN "]


def take(world: World, manifest: str) -> str:
    file = world.cp.dir / "snapshot.json"
    done = world.command("snapshot", "-f", "-", "-o", file, *where(world), input=manifest)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    return str(file)


def where(world: World) -> tuple[str, ...]:
    return "--cluster-name", world.aws.cluster, "--region", world.aws.region


def rehearse(world: World, manifest: str, *flags: str) -> dict:
    done = world.command("rehearse", "-f", "-", "-o", "json", *flags, input=manifest)
    assert done.returncode in (0, 2), done.stderr
    report = json.loads(done.stdout)
    assert (done.returncode == 0) == report["converges"], report["problems"]
    return report


def predicted(report: dict) -> list[tuple[str, dict]]:
    return [(step["call"], parse_args(list(step["parameters"].items()))) for step in report["steps"] if step["api"] == "aws"]


def made(world: World, since: float) -> list[tuple[str, dict]]:
    return [(call.action, {name: value for name, value in call.args.items() if name not in ("Action", "Version")})
            for call in world.aws.proxy.calls(writes=True, since=since)]


@pytest.mark.parametrize("kind, detach", [("ministack", "Automatic"), ("moto", "OnApproval")])
def test_the_rehearsal_is_what_happens(kind, detach):
    with World(kind, nodes=4, operator=False) as world:
        forbidden = hide_canaries(world)
        manifest, before, since = world.manifest(fast(detach=detach)), world.aws.state(), time.time()
        file = take(world, manifest)
        text = Path(file).read_text()
        assert [each for each in forbidden if each in text] == []
        assert json.loads(text)["unknown"] == []  # the operator's own policy is enough

        report = rehearse(world, manifest, "--snapshot", file)
        assert report["converges"] and report["problems"] == []
        assert [gate["state"] for gate in report["gates"]] == ["Passed"] * 8
        role = next(each for each in report["nodeRoles"] if each["arn"].endswith(f"/{world.aws.node_role}"))
        assert sorted(role["nodes"]) == sorted(world.names) and role["others"] == [] and role["detaches"] == [CNI_POLICY]
        assert ("approval" in report) == (detach == "OnApproval")
        # Without the file it reads for itself.
        assert predicted(rehearse(world, manifest, *where(world))) == predicted(report)
        # Nothing of all this touched anything.
        assert world.aws.state() == before and world.aws.proxy.calls(writes=True, since=since) == []
        assert [str(each) for each in world.cp.audit_requests("cni-iam", since=since, writes=True)] == []

        world.start()
        world.apply(fast(detach=detach))
        if detach == "OnApproval":
            world.wait("NodeRoleDetached", "False", "AwaitingApproval")
            world.approve()
        world.wait("NodeRoleDetached")
        world.wait("Ready")
        assert len(made(world, since)) >= 6
        assert predicted(report) == made(world, since)


def test_an_account_with_a_history():
    """A role to adopt, a provider for somebody else's audience, two node roles, an inline policy, and an instance that is no node:
    first declared by nobody, which stalls as predicted, then declared."""
    with World("ministack", nodes=2, operator=False) as world:
        ec2 = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        world.aws.create_role("cni-iam-made-by-hand", {"Version": "2012-10-17", "Statement": [ec2]}, tags={"team": "platform"})
        world.aws.create_provider(client_ids=("somebody-else",))
        world.aws.add_node_role("eks-node-memory")
        world.aws.put_inline_policy("eks-node-memory", "logs", {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}]})
        world.add_node(role="eks-node-memory")
        other = world.aws.add_instance("eks-node-memory", cluster="").rsplit("/", 1)[1]
        more = {"role": {"name": "cni-iam-made-by-hand", "management": "Adopt"}}

        since, manifest = time.time(), world.manifest(fast(more))
        report = rehearse(world, manifest, "--snapshot", take(world, manifest))
        assert not report["converges"] and len(report["problems"]) == 1, report["problems"]
        role = next(each for each in report["nodeRoles"] if each["arn"].endswith("/eks-node-memory"))
        assert role["nodes"] == world.names[2:] and other in role["others"][0] and role["detaches"] == []
        world.start()
        world.apply(fast(more))
        found = world.wait("Stalled", reason="ForeignConsumer")
        assert report["problems"] == [f"Stalled is True, ForeignConsumer: {found['message']}"]
        assert predicted(report) == made(world, since)

        # From the middle: the binding is there, with a status, and one node role has lost its policy.
        assert world.stop() == 0
        declared = fast(more | {"nodeRole": {"foreignConsumers": [other]}})
        since, manifest = time.time(), world.manifest(declared)
        report = rehearse(world, manifest, "--snapshot", take(world, manifest))
        assert report["converges"], report["problems"]
        world.apply(declared)
        world.start()
        world.wait("NodeRoleDetached")
        assert world.node_role_has_policy() is False and CNI_POLICY not in world.aws.node_role_policies("eks-node-memory")
        assert [call for call, _ in made(world, since)][-1] == "DetachRolePolicy"
        assert predicted(report) == made(world, since)
