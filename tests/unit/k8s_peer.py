#!/usr/bin/env python3
"""A small peer that speaks enough of the Kubernetes API, rightly and wrongly, for the tests of platform/k8s.

usage: k8s_peer.py DIR [--plain]

A plain one is a proxy too: HTTP CONNECT on its port, SOCKS 5 on the port that DIR/socks-port names.

DIR receives ca1.pem, ca2.pem, client.pem, client.key and log.jsonl (one line a request). What it does is chosen by the
object's name or, for collections, by labelSelector=scenario=NAME. Files in DIR that tests write steer it while it runs:
valid-tokens (one a line; absent: every request is accepted) and use-ca2 (new connections get a certificate of the
second CA). "READY PORT" is printed once it listens on loopback.
"""
import base64
import http.server
import json
import os
import select
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

DIR = sys.argv[1]
PLAIN = "--plain" in sys.argv[2:]
lock = threading.Lock()
counters = {}


def openssl(*args):
    subprocess.run(("openssl",) + args, check=True, cwd=DIR, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates():
    for n in ("1", "2"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                "/CN=test CA " + n, "-keyout", f"ca{n}.key", "-out", f"ca{n}.pem")
        sign(f"server{n}", f"ca{n}", "/CN=api.example", "subjectAltName=IP:127.0.0.1,DNS:api.example")
    sign("client", "ca1", "/CN=alice", "extendedKeyUsage=clientAuth")
    sign("client2", "ca1", "/CN=bob", "extendedKeyUsage=clientAuth")


def sign(name, ca, subject, extension):
    with open(os.path.join(DIR, name + ".ext"), "w") as f:
        f.write(extension + "\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout",
            name + ".key", "-out", name + ".csr")
    openssl("x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-set_serial",
            str(int.from_bytes(os.urandom(8), "big")), "-days", "2", "-extfile", name + ".ext", "-out", name + ".pem")


def tls_context(n):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(os.path.join(DIR, f"server{n}.pem"), os.path.join(DIR, f"server{n}.key"))
    c.load_verify_locations(os.path.join(DIR, "ca1.pem"))
    c.verify_mode = ssl.CERT_OPTIONAL
    return c


def in_dir(name):
    return os.path.join(DIR, name)


def count(key):
    with lock:
        counters[key] = counters.get(key, 0) + 1
        return counters[key]


def status(code, reason, message, **details):
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "details": details, "code": code}


def jwt(audiences):
    def part(o):
        return base64.urlsafe_b64encode(json.dumps(o).encode()).rstrip(b"=").decode()
    return ".".join((part({"alg": "RS256"}), part({"aud": audiences, "exp": 2000000600, "iss": "https://issuer.example",
                                                  "sub": "system:serviceaccount:kube-system:aws-node"}), "c2ln"))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second would wait for a delayed ACK
    timeout = 120

    def setup(self):
        if not PLAIN:
            self.request.settimeout(20)
            self.request.do_handshake()
        super().setup()

    def log_message(self, *args):
        pass

    # ---- plumbing ----

    def common_name(self):
        cert = None if PLAIN else self.request.getpeercert()
        for rdn in (cert or {}).get("subject", ()):
            for key, value in rdn:
                if key == "commonName":
                    return value
        return ""

    def record(self, body):
        line = {"method": self.command, "path": self.path, "cn": self.common_name(), "body": body,
                "headers": {k.lower(): v for k, v in self.headers.items()}, "groups": self.headers.get_all("Impersonate-Group")}
        with lock, open(in_dir("log.jsonl"), "a") as f:
            f.write(json.dumps(line, sort_keys=True) + "\n")
        return line

    def reply(self, code, body, content_type="application/json", **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Audit-Id", "audit-" + str(count("audit")))
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drop(self):
        self.close_connection = True
        self.connection.close()

    def allowed(self):
        try:
            with open(in_dir("valid-tokens")) as f:
                tokens = f.read().split()
        except FileNotFoundError:
            return True
        given = self.headers.get("Authorization", "")
        return given in ["Bearer " + t for t in tokens] or given in ["Basic " + t for t in tokens]

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode() if length else ""
        line = self.record(body)
        if not self.allowed():
            self.reply(401, status(401, "Unauthorized", "Unauthorized"))
            return
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        selector = query.get("labelSelector", "")
        name = selector[len("scenario="):] if selector.startswith("scenario=") else parts.path.rsplit("/", 1)[1]
        if query.get("watch"):
            Watch(self, query).play(name)
        elif selector:
            self.list(name, query)
        else:
            self.single(name, line, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def do_CONNECT(self):
        self.record("")
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            relay(self.connection, upstream)
        self.close_connection = True

    # ---- one object ----

    def single(self, name, line, body):
        times = count(self.command + name)
        base, _, number = name.rpartition("-")
        if base == "apf":  # refused `number` times, then accepted
            if times <= int(number):
                self.reply(429, "Too many requests, please try again later.\n", "text/plain", Retry_After="1")
                return
        elif base == "unavailable" and times <= int(number):
            self.reply(503, status(503, "ServiceUnavailable", "x", retryAfterSeconds=1), Retry_After="1")
            return
        elif base == "longwait" and times <= int(number):
            self.reply(429, "Too many requests\n", "text/plain", Retry_After="60")
            return
        play = getattr(self, "one_" + name.replace("-", "_"), None)
        if play:
            play(body)
        else:
            self.reply(201 if self.command == "POST" else 200,
                       {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "uid": "u-1"}, "seen": line})

    def one_page_not_found(self, _):
        self.reply(404, "404 page not found\n", "text/plain; charset=utf-8")

    def one_gone_for_good(self, _):
        self.reply(404, status(404, "NotFound", 'configmaps "x" not found'))

    def one_future(self, _):
        self.reply(504, status(504, "Timeout", "Timeout: Too large resource version: 9, current: 3",
                               causes=[{"reason": "ResourceVersionTooLarge"}], retryAfterSeconds=1), Retry_After="1")

    def one_redirect(self, _):
        self.reply(302, "", Location="/api/v1/namespaces/ns/configmaps/plain")

    def one_garbage(self, _):
        self.reply(200, "<html>hello", "text/html")

    def one_truncated_json(self, _):
        self.reply(200, '{"kind":"ConfigMap","metadata":{"na')

    def one_empty(self, _):
        self.reply(200, "")

    def one_truncated(self, _):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "4096")
        self.end_headers()
        self.wfile.write(b'{"kind":"ConfigMap"')
        self.drop()

    def one_never(self, _):
        time.sleep(30)
        self.drop()

    def one_reset(self, _):
        self.drop()

    def one_warn(self, _):
        self.reply(200, {"kind": "ConfigMap"}, Warning='299 - "unknown field \\"spec.x\\""')

    def one_huge(self, _):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        try:
            for _ in range(33 * 16):
                self.wfile.write(piece)
        except OSError:
            pass
        self.drop()

    # Writes that were done, and an answer that does not say so.
    def one_commit_504(self, _):
        self.reply(504, status(504, "Timeout", "Timeout: request did not complete within requested timeout"))

    def one_commit_lost(self, _):
        self.drop()

    def one_conflict(self, _):
        self.reply(409, status(409, "Conflict", "the object has been modified"))

    def one_patch_test_failed(self, _):
        self.reply(422, status(422, "Invalid", "the server rejected our request due to an error in our request"))

    def one_field_conflict(self, _):
        self.reply(409, status(409, "Conflict", "Apply failed with 1 conflict", causes=[
            {"reason": "FieldManagerConflict", "message": 'conflict with "eks"', "field": ".metadata.annotations.x"}]))

    def one_token(self, body):
        spec = json.loads(body)["spec"]
        self.reply(201, {"kind": "TokenRequest", "status": {"token": jwt(spec["audiences"] or ["https://kubernetes"]),
                                                            "expirationTimestamp": "2033-05-18T03:33:20Z"}})

    def one_selfsubjectaccessreviews(self, body):
        attributes = json.loads(body)["spec"]["resourceAttributes"]
        self.reply(201, {"kind": "SelfSubjectAccessReview", "spec": {}, "status": {"allowed": attributes["verb"] == "get"}})

    def one_pods(self, body):
        pod = json.loads(body)
        pod["spec"] = {"containers": [{"env": [{"name": "AWS_ROLE_ARN"}]}]}
        self.reply(201, pod)

    # ---- LIST ----

    def list(self, name, query):
        limit = int(query.get("limit", "0"))
        start = int(query.get("continue", "0"))
        if name == "expires" and start > 0:
            self.reply(410, status(410, "Expired", "The provided continue parameter is too old"))
            return
        if name == "nolist":
            self.reply(200, {"kind": "Status"})
            return
        if name == "null":
            self.reply(200, {"kind": "PodList", "metadata": {"resourceVersion": "5"}, "items": None})
            return
        items = [{"metadata": {"name": "pod-%d" % i}} for i in range(int(query.get("fieldSelector", "n=1200")[2:]))]
        page = items[start:start + limit] if limit else items[start:]
        more = bool(limit) and start + limit < len(items)
        # A custom resource's list: continue is there and empty, metadata comes last.
        self.reply(200, {"kind": "PodList", "items": page, "metadata": {
            "resourceVersion": "77", "continue": str(start + limit) if more else ""}})


def relay(a, b):
    while True:
        for source in select.select((a, b), (), ())[0]:
            data = source.recv(65536)
            if not data:
                return
            (b if source is a else a).sendall(data)


class Socks(socketserver.StreamRequestHandler):
    """SOCKS 5 without authentication, IPv4 addresses only (RFC 1928)."""

    def handle(self):
        self.rfile.read(self.rfile.read(2)[1])
        self.wfile.write(b"\x05\x00")
        if self.rfile.read(4) != b"\x05\x01\x00\x01":
            return
        host, port = socket.inet_ntoa(self.rfile.read(4)), int.from_bytes(self.rfile.read(2), "big")
        with lock, open(in_dir("log.jsonl"), "a") as f:
            f.write(json.dumps({"method": "SOCKS", "path": "%s:%d" % (host, port)}) + "\n")
        with socket.create_connection((host, port)) as upstream:
            self.wfile.write(b"\x05\x00\x00\x01" + b"\x00" * 6)
            relay(self.connection, upstream)


class Watch:
    """One stream: HTTP/1.1 chunked, as the API server writes it."""

    def __init__(self, handler, query):
        self.h = handler
        self.query = query

    def play(self, name):
        method = getattr(self, "play_" + name.replace("-", "_"))
        try:
            method()
        except OSError:
            self.h.close_connection = True

    def begin(self, code=200, **headers):
        self.h.send_response(code)
        self.h.send_header("Content-Type", "application/json")
        self.h.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.h.send_header(name.replace("_", "-"), value)
        self.h.end_headers()

    def chunk(self, data):
        self.h.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.h.wfile.flush()

    def end(self):
        self.h.wfile.write(b"0\r\n\r\n")
        self.h.wfile.flush()

    @staticmethod
    def event(i, size=0):
        return json.dumps({"type": "ADDED", "object": {"metadata": {"name": "p%d" % i, "resourceVersion": str(i)},
                                                       "pad": "x" * size}}).encode() + b"\n"

    def play_bytes(self):
        self.begin()
        for i in range(3):
            for b in self.event(i):
                self.chunk(bytes((b,)))
        self.end()

    def play_every_split(self):
        """Two events, cut in two at every place in turn."""
        self.begin()
        pair = self.event(1) + self.event(2)
        for at in range(1, len(pair)):
            self.chunk(pair[:at])
            self.chunk(pair[at:])
        self.end()

    def play_burst(self):
        self.begin()
        self.chunk(b"".join(self.event(i) for i in range(10000)))
        self.end()

    def play_large(self):
        self.begin()
        self.chunk(self.event(1, 8 * 1024 * 1024))
        self.chunk(self.event(2))
        self.end()

    def play_too_large(self):
        self.begin()
        self.chunk(self.event(1))
        for _ in range(17 * 16):
            self.chunk(b"x" * 65536)
        time.sleep(5)
        self.h.drop()

    def play_cut(self):
        self.begin()
        self.chunk(self.event(1) + self.event(2)[:-5])
        self.h.drop()

    def play_cut_clean(self):
        self.begin()
        self.chunk(self.event(1) + self.event(2)[:-5])
        self.end()

    def play_silent(self):
        self.begin()
        time.sleep(60)

    def play_late_headers(self):
        time.sleep(0.5)
        self.begin()
        self.chunk(self.event(1))
        self.end()

    def play_gzip(self):
        self.begin(Content_Encoding="gzip")
        self.chunk(b"\x1f\x8b not looked at")
        time.sleep(5)

    def play_expired(self):
        self.h.reply(410, status(410, "Expired", "too old resource version: 1 (9)"))

    def play_forbidden(self):
        self.h.reply(403, status(403, "Forbidden", "pods is forbidden"))

    def play_throttled(self):
        self.h.reply(429, "Too many requests, please try again later.\n", "text/plain", Retry_After="1")

    def play_error_event(self):
        self.begin()
        self.chunk(json.dumps({"type": "ERROR", "object": status(410, "Expired", "too old")}).encode() + b"\n")
        self.end()

    def play_steady(self):
        self.begin()
        for i in range(100):
            self.chunk(self.event(i))
            time.sleep(0.02)
        self.end()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        connection, address = super().get_request()
        if not PLAIN:
            context = contexts[1 if os.path.exists(in_dir("use-ca2")) else 0]
            connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the play


contexts = []
if not PLAIN:
    make_certificates()
    contexts = [tls_context("1"), tls_context("2")]
else:
    socks = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Socks)
    socks.daemon_threads = True
    threading.Thread(target=socks.serve_forever, daemon=True).start()
    with open(in_dir("socks-port"), "w") as f:
        f.write(str(socks.server_address[1]))
server = Server(("127.0.0.1", 0), Handler)
print("READY %d" % server.server_address[1], flush=True)
server.serve_forever()
