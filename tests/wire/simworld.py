"""The simulated cluster and account as a process, and the unchanged clients of others that talk to it.

Needs the helper sim_server: env SIM_SERVER, or tests/sim_server under the folder that env BUILD_DIR names, default
build/dev.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from testbed.controlplane import Api, programs

ROOT = Path(__file__).resolve().parents[2]
SERVER = os.environ.get("SIM_SERVER") or str(ROOT / os.environ.get("BUILD_DIR", "build/dev") / "tests" / "sim_server")
AWS_CLI = Path(sys.executable).with_name("aws")
ACCOUNT, REGION, CLUSTER = "111122223333", "us-west-2", "prod"
ISSUER = "https://oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"


class PlainApi(Api):
    def __init__(self, server: str):
        # pylint: disable=super-init-not-called
        self.host, port = server.removeprefix("http://").split(":")
        self.port, self.token, self.user_agent, self.local = int(port), "", "testbed", threading.local()

    def _connect(self, timeout: float):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)


def kubeconfig(server: str) -> dict:
    return {"apiVersion": "v1", "kind": "Config", "current-context": "sim",
            "clusters": [{"name": "sim", "cluster": {"server": server}}], "users": [{"name": "sim", "user": {}}],
            "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "sim"}}]}


class SimWorld:
    """A with statement. `folder` is the home of all clients: nothing of the machine's user reaches them."""

    def __init__(self, folder: Path, nodes: int = 2):
        self.folder = folder
        self.process = subprocess.Popen([SERVER, str(nodes)], stdout=subprocess.PIPE, text=True)
        urls = json.loads(self.process.stdout.readline())
        self.server, self.endpoint = urls["kube"], urls["aws"]
        self.api = PlainApi(self.server)
        self.kubectl_path = programs()["kubectl"]
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(kubeconfig(self.server)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def env(self, **more: str) -> dict[str, str]:
        """Of any client of the account: as its administrator, unless told otherwise."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "AKIASIMULATED",
                "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
                "AWS_CONFIG_FILE": str(self.folder / "no-config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no-credentials")} | more

    def command(self, *args: str) -> list[str]:
        return [self.kubectl_path, f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder}/cache", *args]

    def run_kubectl(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*args), input=stdin, env=self.env(), capture_output=True, text=True, timeout=60,
                              check=False)

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        done = self.run_kubectl(*args, stdin=stdin)
        assert done.returncode == 0, f"{args}: {done.stderr}{done.stdout}"
        return done.stdout
