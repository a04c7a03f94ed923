"""A watch whose network dies in silence is noticed within 45 s (K-T1).

Peer and client run in a network namespace of their own, whose only interface is then taken down: no FIN, no RST, nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
K8S_CALL = os.environ.get("K8S_CALL") or str(ROOT / os.environ.get("BUILD_DIR", "build/dev") / "tests" / "k8s_call")
UNSHARE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]

SCRIPT = """
set -e
ip link set lo up
"$1" "$2" "$3" --plain > "$3/out" &
peer=$!
trap 'kill $peer' EXIT
until grep -q READY "$3/out"; do sleep 0.05; done
port=$(sed 's/READY //' "$3/out")
cat > "$3/kubeconfig" <<END
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:$port'}}]
contexts: [{name: x, context: {cluster: c}}]
current-context: x
END
"$4" --kubeconfig "$3/kubeconfig" WATCH resource=pods labelSelector=scenario=silent resourceVersion=5 timeoutSeconds=300 &
watch=$!
sleep 1
ip link set lo down
wait $watch
"""


def can_unshare():
    return shutil.which("ip") and subprocess.run(UNSHARE + ["true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs ip and the right to make a network namespace")
def test_watch_on_a_dead_path_ends_within_45_seconds(tmp_path):
    begin = time.monotonic()
    done = subprocess.run(UNSHARE + ["sh", "-c", SCRIPT, "sh", sys.executable, str(ROOT / "tests/unit/k8s_peer.py"),
                                     str(tmp_path), K8S_CALL], capture_output=True, text=True, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines and lines[0] == {"open": True}, done.stderr + done.stdout
    assert lines[-1]["error"] == "Lost", lines
    assert time.monotonic() - begin < 47
