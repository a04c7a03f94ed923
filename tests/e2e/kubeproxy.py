"""A proxy between the operator and the API server, which tells each write of the operator before it arrives and after it was
carried out. It answers plain HTTP on loopback. No client sends a token over that, so the proxy puts it in."""

from __future__ import annotations

import http.client
import http.server
import socketserver
import ssl
import threading
import urllib.parse
from pathlib import Path
from typing import Any, Callable

QUESTIONS = ("/token", "/selfsubjectaccessreviews", "/selfsubjectreviews")


class Write:
    def __init__(self, method: str, target: str, content_type: str):
        self.method, self.content_type = method, content_type
        self.path = urllib.parse.urlsplit(target).path

    def __str__(self) -> str:
        parts = self.path.split("/")
        start = next((i + 1 for i, part in enumerate(parts) if part in ("v1", "v1alpha1")), 0)
        rest = parts[start:]
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            rest = rest[2:]
        # The names of pods and Events are never the same twice.
        if rest[0] in ("pods", "events"):
            rest = rest[:1]
        return f"{self.method} {'/'.join(rest)}"


class KubeProxy:
    """A with statement. `writes` are those of the operator but for its Lease and its Events, in their order."""

    def __init__(self, server: str, ca_file: Path, token: str):
        split = urllib.parse.urlsplit(server)
        self.host, self.port = split.hostname, split.port
        self.tls = ssl.create_default_context(cafile=str(ca_file))
        self.token = token
        self.writes: list[Write] = []
        self.lock = threading.Lock()
        self._hook: tuple[str, int, str, Callable[[], Any], bool] | None = None
        self.hit: Write | None = None

    def __enter__(self) -> KubeProxy:
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="kube-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def at_write(self, write: str, occurrence: int, when: str, function: Callable[[], Any],
                 lose: bool = True) -> None:
        """Calls the function for that write, the so-and-so-many-th of its kind from now on (the first is 1), before it arrives
        or after it was carried out, and (with lose) closes the connection without an answer."""
        with self.lock:
            self.writes.clear()
            self._hook, self.hit = (write, occurrence, when, function, lose), None

    def clear(self) -> None:
        with self.lock:
            self.writes.clear()
            self._hook = None

    def note(self, write: Write) -> tuple[str, Callable[[], Any], bool] | None:
        with self.lock:
            self.writes.append(write)
            if self._hook and not self.hit and str(write) == self._hook[0] and sum(
                    str(each) == self._hook[0] for each in self.writes) == self._hook[1]:
                self.hit = write
                return self._hook[2:]
        return None


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # of a client that was killed


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: KubeProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hook = None
        if self._is_write():
            hook = self.proxy.note(Write(self.command, self.path, self.headers.get("Content-Type", "")))
        if hook and hook[0] == "before":
            hook[1]()
            if hook[2]:
                self.close_connection = True
                return
        connection = http.client.HTTPSConnection(self.proxy.host, self.proxy.port, context=self.proxy.tls, timeout=600)
        try:
            headers = {name: value for name, value in self.headers.items()
                       if name.lower() not in ("host", "connection", "accept-encoding")}
            headers["Authorization"] = f"Bearer {self.proxy.token}"
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            if "watch=" in self.path:
                self._stream(response)
                return
            content = response.read()
            if hook and hook[0] == "after":
                hook[1]()
                if hook[2]:
                    self.close_connection = True
                    return
            self._head(response)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        finally:
            connection.close()

    def _is_write(self) -> bool:
        path, _, query = self.path.partition("?")
        return (self.command != "GET" and "dryRun" not in query and not path.endswith(QUESTIONS) and "/leases" not in path
                and "/events" not in path)

    def _head(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)

    def _stream(self, response: http.client.HTTPResponse) -> None:
        self._head(response)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while data := response.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, *_: Any) -> None:
        pass
