"""cni-iam demo as a process: it converges, it stays if asked to, real clients can talk to its world, and it leaves nothing behind.

Needs cni-iam: env CNI_IAM, or cni-iam under the folder that env BUILD_DIR names, default build/dev.
"""

import json
import os
import re
import signal
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from simworld import AWS_CLI
from testbed.controlplane import programs

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CNI_IAM") or str(ROOT / os.environ.get("BUILD_DIR", "build/dev") / "cni-iam")


@pytest.fixture
def env(tmp_path):
    # What a user may have set, and what must never reach the controller of a demo.
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "AWS_PROFILE": "production",
            "AWS_ENDPOINT_URL_IAM": "http://127.0.0.1:1", "CNI_IAM_CONTEXT": "production"}


def test_it_converges(env, tmp_path):
    done = subprocess.run([BINARY, "demo", "--fast"], env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 invariants broken" in done.stdout and "\033" not in done.stdout
    writes = done.stdout[done.stdout.index("Writes, in their order"):]
    assert writes.index("CreateRole") < writes.index("change serviceaccounts") < writes.index("DetachRolePolicy eks-node")
    assert "the identity webhook did not inject it" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_another_seed(env):
    done = subprocess.run([BINARY, "demo", "--fast", "--seed=99"], env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_stays_and_repairs(env, tmp_path):
    process = subprocess.Popen([BINARY, "demo", "--fast", "--keep"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        text = ""
        while "Ctrl-C ends this world" not in text:
            line = process.stdout.readline()
            assert line, text
            text += line
        kubeconfig = Path(re.search(r"KUBECONFIG=(\S+)", text)[1])
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        server, trust = cluster["server"], ssl.create_default_context(cafile=kubeconfig.with_name(cluster["certificate-authority"]))
        assert server.startswith("https://127.0.0.1:")
        sa = f"{server}/api/v1/namespaces/kube-system/serviceaccounts/aws-node"
        before = json.load(urllib.request.urlopen(sa, context=trust))["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        patch = json.dumps({"metadata": {"annotations": {"eks.amazonaws.com/role-arn": None}}}).encode()
        urllib.request.urlopen(urllib.request.Request(
            sa, patch, {"Content-Type": "application/merge-patch+json"}, method="PATCH"), context=trust)
        deadline = time.monotonic() + 30
        while json.load(urllib.request.urlopen(sa, context=trust))["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn") != before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
    assert list(tmp_path.iterdir()) == []


def until(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_look_around_and_break_things(env, tmp_path):
    """What the demo says that can be done in another terminal, done there with kubectl and the AWS CLI as they ship; both terminals know
    a proxy, at which nobody is."""
    proxy = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    process = subprocess.Popen([BINARY, "demo", "--fast", "--keep"], env=env | proxy, stdout=subprocess.PIPE, text=True)
    try:
        text = ""
        while "Ctrl-C ends this world" not in text:
            line = process.stdout.readline()
            assert line, text
            text += line
        exports = " ".join(re.findall(r"^  export (.+)$", text, re.M))
        theirs = proxy | dict(part.split("=", 1) for part in exports.split()) | {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "AWS_EC2_METADATA_DISABLED": "true"}

        def run(program, *args):
            done = subprocess.run([program, *args], env=theirs, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        def kubectl(*args):
            return run(programs()["kubectl"], *args)

        def operator(*args):
            config = Path(theirs["KUBECONFIG"]).with_name("operator.kubeconfig")
            return subprocess.run([programs()["kubectl"], f"--kubeconfig={config}", *args], env=theirs, capture_output=True, text=True,
                                  timeout=60, check=False).stdout

        def attached(role):
            listed = json.loads(run(AWS_CLI, "iam", "list-attached-role-policies", "--role-name", role))["AttachedPolicies"]
            return "AmazonEKS_CNI_Policy" in [p["PolicyName"] for p in listed]

        kubectl("wait", "--for=condition=Ready", "cib/aws-node", "--timeout=10s")
        assert "nodeRole" in kubectl("explain", "cib.spec") and kubectl("auth", "can-i", "delete", "cib") == "yes\n"
        assert "system:serviceaccount:kube-system:cni-iam" in operator("auth", "whoami")
        assert [operator("auth", "can-i", "delete", what) for what in ("pods", "nodes")] == ["yes\n", "no\n"]
        role = kubectl("get", "cib", "aws-node", "-o", "jsonpath={.status.role.name}")
        assert attached(role) and not attached("eks-node")
        run(AWS_CLI, "iam", "detach-role-policy", "--role-name", role, "--policy-arn", "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy")
        until(lambda: attached(role))
        kubectl("annotate", "sa", "aws-node", "eks.amazonaws.com/role-arn-")
        until(lambda: role in kubectl("get", "sa", "aws-node", "-o", "yaml"))
        pod = kubectl("get", "pods", "-o", "name").split()[0]
        kubectl("delete", pod)
        kubectl("rollout", "status", "ds/aws-node", "--timeout=30s")
        token = kubectl("create", "token", "aws-node", "--audience=sts.amazonaws.com")
        arn = kubectl("get", "cib", "aws-node", "-o", "jsonpath={.status.role.arn}")
        said = json.loads(run(AWS_CLI, "sts", "assume-role-with-web-identity", "--role-arn", arn, "--role-session-name", "me",
                              "--web-identity-token", token))
        assert said["SubjectFromWebIdentityToken"] == "system:serviceaccount:kube-system:aws-node"
        kubectl("delete", "cib", "aws-node", "--timeout=60s")
        assert attached("eks-node") and attached("eks-node-memory")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=20)[0]
        assert process.returncode == 0 and "(by you)" in rest
    finally:
        process.kill()


def test_a_controller_that_ends_is_a_failure(env, tmp_path):
    process = subprocess.Popen([BINARY, "demo", "--fast"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 20
    while not (found := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int(found[0]), signal.SIGKILL)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and "the controller ended by itself: signal 9" in said
    kept = re.search(r"kept in (\S+)", said)[1]
    assert (Path(kept) / "controller.log").exists()


def test_no_home(env):
    """Nothing is written outside of the directory for temporary files."""
    done = subprocess.run([BINARY, "demo", "--fast"], env=env | {"HOME": "/nonexistent"}, capture_output=True, text=True, timeout=90,
                          check=False)
    assert done.returncode == 0, done.stderr


def killed(env):
    """The directory that a killed demo leaves."""
    process = subprocess.Popen([BINARY, "demo", "--fast", "--keep"], env=env, stdout=subprocess.PIPE, text=True)
    while not (found := re.search(r"KUBECONFIG=(\S+)/kubeconfig", line := process.stdout.readline())):
        assert line
    process.kill()
    process.wait()
    return Path(found[1])


def test_what_a_killed_demo_left_goes_with_the_next(env, tmp_path):
    left = killed(env)
    assert (left / "controller.log").exists()
    run = [BINARY, "demo", "--fast"]
    subprocess.run(run, env=env, capture_output=True, timeout=90, check=True)
    assert left.exists()  # it might be of one that is just starting
    os.utime(left, (0, 0))
    (tmp_path / "cni-iam-demo.kept00").mkdir()
    (tmp_path / "cni-iam-demo.kept00/kept").touch()
    (tmp_path / "cni-iam-demo.linked").symlink_to("/")
    os.utime(tmp_path / "cni-iam-demo.kept00", (0, 0))
    living = subprocess.Popen([*run, "--keep"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        while not (found := re.search(r"KUBECONFIG=(\S+)/kubeconfig", line := living.stdout.readline())):
            assert line
        assert not left.exists()
        os.utime(found[1], (0, 0))
        subprocess.run(run, env=env, capture_output=True, timeout=90, check=True)
        assert Path(found[1]).exists()
    finally:
        living.send_signal(signal.SIGINT)
        assert living.wait(20) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"cni-iam-demo.kept00", "cni-iam-demo.linked"}


def test_no_place_for_temporary_files(env):
    done = subprocess.run([BINARY, "demo", "--fast"], env=env | {"TMPDIR": "/nonexistent"}, capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 1 and "set TMPDIR" in done.stderr
