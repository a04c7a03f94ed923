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


def kubeconfig(server: str, user: dict | None = None, **cluster: str) -> dict:
    return {"apiVersion": "v1", "kind": "Config", "current-context": "sim",
            "clusters": [{"name": "sim", "cluster": {"server": server, **cluster}}], "users": [{"name": "sim", "user": user or {}}],
            "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "sim"}}]}


class SimWorld:
    """A with statement. `folder` is the home of all clients: nothing of the machine's user reaches them."""

    def __init__(self, folder: Path, nodes: int = 2, tls: bool = False):
        self.folder = folder
        self.process = subprocess.Popen([SERVER, str(nodes), *(["--tls"] if tls else [])], stdout=subprocess.PIPE, text=True)
        said = json.loads(self.process.stdout.readline())
        self.server, self.endpoint = said["kube"], said["aws"]
        self.ca = folder / "ca.crt" if tls else None
        if tls:
            self.ca.write_text(said["ca"])
        self.api = Api(self.server, self.ca) if tls else PlainApi(self.server)
        self.kubectl_path = programs()["kubectl"]
        self.kubeconfig = self._write_kubeconfig("kubeconfig")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def _write_kubeconfig(self, name: str, user: dict | None = None) -> Path:
        """Of the administrator, unless a user is given. Over TLS kubectl asks for a name and a password where it has nothing to send."""
        user, trust = (user or {"token": "admin"}, {"certificate-authority": str(self.ca)}) if self.ca else (user, {})
        (self.folder / name).write_text(json.dumps(kubeconfig(self.server, user, **trust)))
        return self.folder / name

    def mint_token(self, namespace: str, serviceaccount: str) -> str:
        return self.api.create("serviceaccounts", {"spec": {}}, namespace, serviceaccount, "token")["status"]["token"]

    def operator_kubeconfig(self, namespace: str, serviceaccount: str, token_file: bool = False) -> Path:
        """With a token of this ServiceAccount, which no client sends without TLS: its bearer has what RBAC gives it."""
        assert self.ca
        token = self.mint_token(namespace, serviceaccount)
        name = f"{namespace}-{serviceaccount}"
        file = self.folder / f"{name}.token"
        if token_file:
            file.write_text(token)
        return self._write_kubeconfig(f"{name}.kubeconfig", {"tokenFile": str(file)} if token_file else {"token": token})

    def env(self, **more: str) -> dict[str, str]:
        """Of any client of the account: as its administrator, unless told otherwise."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "AKIASIMULATED",
                "AWS_SECRET_ACCESS_KEY": "any", **({"AWS_CA_BUNDLE": str(self.ca)} if self.ca else {}), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
                "AWS_CONFIG_FILE": str(self.folder / "no-config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no-credentials")} | more

    def command(self, *args: str, config: Path | None = None) -> list[str]:
        return [self.kubectl_path, f"--kubeconfig={config or self.kubeconfig}", f"--cache-dir={self.folder}/cache", *args]

    def run_kubectl(self, *args: str, stdin: str | None = None, config: Path | None = None) -> subprocess.CompletedProcess:
        """As the administrator, or as whom the kubeconfig says."""
        return subprocess.run(self.command(*args, config=config), input=stdin, env=self.env(), capture_output=True, text=True,
                              timeout=60, check=False)

    def kubectl(self, *args: str, stdin: str | None = None, config: Path | None = None) -> str:
        done = self.run_kubectl(*args, stdin=stdin, config=config)
        assert done.returncode == 0, f"{args}: {done.stderr}{done.stdout}"
        return done.stdout
