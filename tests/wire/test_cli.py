"""The command line as a process: exit statuses and the sentences that say what to write. No server is needed.

Needs cni-iam: env CNI_IAM, or cni-iam under the folder that env BUILD_DIR names, default build/dev.
"""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CNI_IAM") or str(ROOT / os.environ.get("BUILD_DIR", "build/dev") / "cni-iam")
BINDING = "apiVersion: cniiam.dev/v1alpha1\nkind: CniIamBinding\nmetadata: {name: prod}\nspec: {}\n"


@pytest.fixture
def env(tmp_path):
    """Nothing of the machine's own: no cluster, no AWS settings."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "none")}


def cni_iam(env, *args, stdin=""):
    return subprocess.run([BINARY, *args], env=env, input=stdin, capture_output=True, text=True, timeout=30, check=False)


def refused(env, sentence, *args, stdin=""):
    done = cni_iam(env, *args, stdin=stdin)
    assert done.returncode == 1, done
    assert sentence in done.stderr, done.stderr
    assert done.stdout == ""


def kubeconfig(path, server):
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}]\n"
        "contexts: [{name: c, context: {cluster: k, user: u}}]\nusers: [{name: u, user: {token: t}}]\n",
        encoding="utf-8",
    )
    return str(path)


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help_goes_to_stdout(env, word):
    done = cni_iam(env, word)
    assert done.returncode == 0 and done.stderr == ""
    for subcommand in ("controller", "plan", "approve", "snapshot", "rehearse", "version"):
        assert f"  {subcommand}" in done.stdout


@pytest.mark.parametrize("subcommand", ["controller", "plan", "approve", "snapshot", "rehearse"])
def test_each_subcommand_has_help(env, subcommand):
    done = cni_iam(env, subcommand, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"cni-iam {subcommand}")
    assert "--kubeconfig FILE" in done.stdout and "CNI_IAM_" in done.stdout


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version(env, word):
    done = cni_iam(env, word)
    assert done.returncode == 0 and done.stdout.startswith("cni-iam ") and done.stdout.count("\n") == 1


def test_nothing_prints_the_help_as_an_error(env):
    done = cni_iam(env)
    assert done.returncode == 1 and "SUBCOMMAND --help" in done.stderr


def test_bad_words_are_named(env):
    refused(env, 'unknown subcommand "polan"; did you mean plan?', "polan")
    refused(env, "unknown flag --bogus; see --help", "controller", "--bogus")
    refused(env, "--aws-audit-interval soon: write a duration such as 15s", "controller", "--aws-audit-interval", "soon")
    refused(env | {"CNI_IAM_LOG_LEVEL": "loud"}, "environment CNI_IAM_LOG_LEVEL", "controller")


def test_plan_wants_a_binding(env, tmp_path):
    refused(env, "write: cni-iam plan -f binding.yaml", "plan")
    refused(env, "can not be opened", "plan", "-f", str(tmp_path / "missing.yaml"))
    refused(env, "can not be read", "plan", "-f", str(tmp_path))
    refused(env, "holds no CniIamBinding", "plan", "-f", "-", stdin="kind: ConfigMap\n")
    refused(env, "cni-iam plan: -: ", "plan", "-f", "-", stdin="a: [1\n")
    refused(env, "larger than", "plan", "-f", "-", stdin="#" * (1024 * 1024 + 10))


SMALL = Path(__file__).resolve().parents[1] / "fuzz/seeds/fuzz_snapshot/small.json"


def test_a_snapshot_that_is_wrong_is_refused_with_its_line(env, tmp_path):
    file = tmp_path / "s.json"
    rehearse = ("rehearse", "--snapshot", str(file), "-f", "-")
    refused(env, "can not be opened", *rehearse, stdin=BINDING)
    for old, new, says in [
            ('"version": 1', '"version": 9', "expected version 1; take the snapshot again"),
            ('"pods": [', '"pods": [7,', "kubernetes.pods[0]: expected an object"),
            ('"role": "eks-node-memory"', '"role": "gone"', "expected a role that aws.roles has"),
            ('"bindings": []', '"bindings": [', "expected JSON: ")]:
        text = SMALL.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
        line = text[:text.index(old)].count("\n") + 1
        done = cni_iam(env, *rehearse, stdin=BINDING)
        assert done.returncode == 1 and done.stdout == "" and says in done.stderr, done.stderr
        assert f"{file}:{line}: " in done.stderr or says == "expected JSON: " and f"{file}:" in done.stderr


def test_a_rehearsal_of_what_would_not_be_taken(env):
    rehearse = ("rehearse", "--snapshot", str(SMALL))
    refused(env, "the cluster has no binding: write which one", *rehearse)
    refused(env, "write json or text", *rehearse, "-o", "xml")
    refused(env, "holds no CniIamBinding", *rehearse, "-f", "-", stdin="kind: ConfigMap\n")
    refused(env, "the API server would refuse the binding", *rehearse, "-f", "-",
            stdin=BINDING.replace("spec: {}", "spec: {nodeRole: {detach: Often}}"))


def test_a_rehearsal_needs_no_cluster_and_leaves_nothing(env, tmp_path):
    """Twice the same, to the byte; an undeclared user of a node role is what would go wrong, and declared it does not."""
    env = env | {"TMPDIR": str(tmp_path)}
    binding = "apiVersion: cniiam.dev/v1alpha1\nkind: CniIamBinding\nmetadata: {name: aws-node}\nspec: {nodeRole: {%s}}\n"
    rehearse = ("rehearse", "--snapshot", str(SMALL), "-f", "-")
    first = cni_iam(env, *rehearse, stdin=binding % "")
    assert first.returncode == 2, first.stderr
    assert "ForeignConsumer: instance i-0ba57104b0000000f" in first.stdout and "It would not get there" in first.stdout
    assert "approved here, in the rehearsal alone" in first.stdout
    assert cni_iam(env, *rehearse, stdin=binding % "").stdout == first.stdout
    done = cni_iam(env, *rehearse, "-o", "json", stdin=binding % "foreignConsumers: [i-0ba57104b0000000f]")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["converges"] and report["problems"] == [], done.stderr
    assert [step["call"] for step in report["steps"]].count("DetachRolePolicy") == 2
    ends = json.loads(cni_iam(env, *rehearse, "-o", "json", "--approve=false",
                              stdin=binding % "foreignConsumers: [i-0ba57104b0000000f]").stdout)
    assert ends["converges"] and not ends["approval"]["given"]
    assert "DetachRolePolicy" not in [step["call"] for step in ends["steps"]]
    slow = json.loads(cni_iam(env, *rehearse, "-o", "json", "--iam-lag", "5m", "--pod-start", "2m",
                              stdin=binding % "foreignConsumers: [i-0ba57104b0000000f]").stdout)
    assert slow["tookMs"] > report["tookMs"] + 120000
    assert list(tmp_path.iterdir()) == []


def test_approve_wants_a_name(env):
    refused(env, "write: cni-iam approve NAME", "approve")
    refused(env, 'unexpected argument "b"', "approve", "a", "b")


def test_without_a_cluster_the_reason_is_told(env):
    refused(env, "no Kubernetes cluster", "plan", "-f", "-", stdin=BINDING)
    refused(env, "no Kubernetes cluster", "approve", "prod")
    done = cni_iam(env, "controller", "--log-format=text")
    assert done.returncode == 1 and "no Kubernetes cluster" in done.stderr


def test_a_server_that_does_not_answer(env, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        config = kubeconfig(tmp_path / "config", f"http://127.0.0.1:{s.getsockname()[1]}")  # bound, not listening
        refused(env, "cni-iam approve: prod: ", "approve", "prod", "--kubeconfig", config)


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_the_controller_waits_for_its_server_and_ends_when_told(env, tmp_path, signo):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        config = kubeconfig(tmp_path / "config", f"http://127.0.0.1:{s.getsockname()[1]}")
        with subprocess.Popen(
            [BINARY, "controller", "--kubeconfig", config, f"--state-file={tmp_path}/s.db", "--region=us-west-2"],
            env=env | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_EC2_METADATA_DISABLED": "true"},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stderr:
                if '"started"' in line:
                    break
            assert process.poll() is None
            begun = time.monotonic()
            process.send_signal(signo)
            assert process.wait(timeout=10) == 0
            assert time.monotonic() - begun < 5
