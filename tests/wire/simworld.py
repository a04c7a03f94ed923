"""The simulated cluster and account as a process, and the unchanged clients of others that talk to it.

Needs the helper sim_server: env SIM_SERVER, or tests/sim_server under the folder that env BUILD_DIR names, default
build/dev.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
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


class TlsFront:
    """TLS before the plain face: without it no client sends a token. Bytes go through as they are."""

    def __init__(self, folder: Path, server: str):
        host, port = server.removeprefix("http://").split(":")
        self.target, self.certificate = (host, int(port)), folder / "front.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                        "-subj", "/CN=simulated", "-addext", f"subjectAltName=IP:{host}", "-keyout", folder / "front.key",
                        "-out", self.certificate], check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, folder / "front.key")
        self.listener = socket.create_server((host, 0))
        self.server = f"https://{host}:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket):
        with contextlib.suppress(OSError), self.context.wrap_socket(connection, server_side=True) as client, \
                socket.create_connection(self.target) as server:
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
            self._pump(client, server)

    @staticmethod
    def _pump(source: socket.socket, to: socket.socket):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                to.sendall(piece)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)


def kubeconfig(server: str, user: dict | None = None, **cluster: str) -> dict:
    return {"apiVersion": "v1", "kind": "Config", "current-context": "sim",
            "clusters": [{"name": "sim", "cluster": {"server": server, **cluster}}], "users": [{"name": "sim", "user": user or {}}],
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
        self.front = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.front:
            self.front.listener.close()
        self.process.kill()
        self.process.wait()

    def mint_token(self, namespace: str, serviceaccount: str) -> str:
        return self.api.create("serviceaccounts", {"spec": {}}, namespace, serviceaccount, "token")["status"]["token"]

    def operator_kubeconfig(self, namespace: str, serviceaccount: str, token_file: bool = False) -> Path:
        """With a token of this ServiceAccount: its bearer has what RBAC gives it."""
        token = self.mint_token(namespace, serviceaccount)
        path = self.folder / f"{namespace}-{serviceaccount}.kubeconfig"
        if token_file:
            path.with_suffix(".token").write_text(token)
        user = {"tokenFile": str(path.with_suffix(".token"))} if token_file else {"token": token}
        self.front = self.front or TlsFront(self.folder, self.server)
        whole = kubeconfig(self.front.server, user, **{"certificate-authority": str(self.front.certificate)})
        path.write_text(json.dumps(whole))
        return path

    def env(self, **more: str) -> dict[str, str]:
        """Of any client of the account: as its administrator, unless told otherwise."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "AKIASIMULATED",
                "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
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
