"""A server that answers in every wrong way: in clear, over TLS, over TLS with client certificates, and a CONNECT proxy.

Prints its ports (clear, TLS, client certificates, TLS 1.1 at most, proxy) and the folder of its certificates, then serves until its parent is gone.
"""
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

count = 0  # requests for /dies
last_connect = ""


def openssl(folder, *args):
    subprocess.run(["openssl", *args], check=True, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", name + ".key", "-out", name + ".pem", "-subj", "/CN=" + name)


def certificate(folder, name, extension):
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key", "-out",
            name + ".csr", "-subj", "/CN=" + name)
    with open(os.path.join(folder, "ext"), "w") as f:
        f.write(extension)
    openssl(folder, "x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out",
            name + ".pem", "-extfile", "ext")


def certificates(folder):
    authority(folder, "ca")
    authority(folder, "otherca")
    certificate(folder, "server", "subjectAltName=DNS:peer.test,IP:127.0.0.1")
    certificate(folder, "alice", "extendedKeyUsage=clientAuth")
    certificate(folder, "bob", "extendedKeyUsage=clientAuth")


def plain(body, status="200 OK", extra=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nX-Test: yes\r\n{extra}\r\n{body}".encode()


def stream(conn, pieces, pause, end=b"0\r\n\r\n"):
    conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Test: yes\r\n\r\n")
    for piece in pieces:
        conn.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        time.sleep(pause)
    conn.sendall(end)


def drip(conn):
    conn.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        conn.sendall(b"X-Drip: 1\r\n")
        time.sleep(0.1)


def who(conn):
    cert = conn.getpeercert() if isinstance(conn, ssl.SSLSocket) else None
    return dict(part[0] for part in cert["subject"])["commonName"] if cert else "nobody"


WRONG = {
    "/redirect": plain("", "302 Found", "Location: /hello\r\n"),
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "/cutchunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc",
    "/cuthead": b"HTTP/1.1 200 OK\r\nContent-Le",
    "/badchunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "/badlength": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
    "/nul": b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    "/garbage": b"\x00\x01\x02 this is no HTTP\r\n\r\n",
    "/bigbody": plain("x" * 100000),
    "/bigbodyunknown": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100000,
    "/bigheader": b"HTTP/1.1 200 OK\r\nX-Big: " + b"y" * 90000 + b"\r\nContent-Length: 0\r\n\r\n",
    "/manyheaders": b"HTTP/1.1 200 OK\r\n" + b"X-Many: y\r\n" * 9000 + b"Content-Length: 0\r\n\r\n",
    "/closedelimited": b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "/continue": b"HTTP/1.1 100 Continue\r\nX-Test: no\r\n\r\n" + plain("after 100"),
    "/gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    "/trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Test: trailer\r\n\r\n",
}
STREAMS = {
    "/stream": ((b"one\n", b"two\n", b"STOP\n", b"never\n"), 0.05),
    "/streamwhole": ((b"one\n", b"two\n"), 0.02),
    "/streamcut": ((b"one\n",), 0.02, b""),
    "/streamslow": ((b"one\n", b"two\n"), 20),
}


def answer(conn, path, head, body):
    """True: the connection may be used again."""
    global count
    if path == "/dies":
        count += 1
        return False
    if path in WRONG:
        conn.sendall(WRONG[path])
        return False
    if path in STREAMS:
        stream(conn, *STREAMS[path])
        return False
    if path == "/slow":
        time.sleep(30)
    elif path == "/drip":
        drip(conn)
    elif path.startswith("/status/"):
        conn.sendall(plain("", path[8:] + " Status"))
    elif path == "/count":
        conn.sendall(plain(str(count)))
    elif path == "/whoami":
        conn.sendall(plain(who(conn)))
    elif path == "/port":  # which connection this is
        conn.sendall(plain(str(conn.getpeername()[1])))
    elif path == "/connect":
        conn.sendall(plain(last_connect))
    elif path == "/hello":
        conn.sendall(plain("hello"))
    else:
        conn.sendall(plain(head.decode("latin-1") + "\r\n\r\n" + body.decode("latin-1")))
    return True


def read_head(conn, data):
    while b"\r\n\r\n" not in data:
        piece = conn.recv(65536)
        if not piece:
            return None, data
        data += piece
    head, _, data = data.partition(b"\r\n\r\n")
    return head, data


def serve(conn, context):
    try:
        if context:
            conn = context.wrap_socket(conn, server_side=True)
        data = b""
        while True:
            head, data = read_head(conn, data)
            if head is None:
                return
            need = 0
            for line in head.split(b"\r\n")[1:]:
                if line.lower().startswith(b"content-length:"):
                    need = int(line.split(b":")[1])
            while len(data) < need:
                data += conn.recv(65536)
            body, data = data[:need], data[need:]
            if not answer(conn, head.split(b" ")[1].decode(), head, body):
                return
    except (OSError, ValueError):
        pass
    finally:
        conn.close()


def copy(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
    except OSError:
        pass
    for s in (source, sink):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def proxy(conn, _):
    """CONNECT to any name goes to this machine; refused.test is refused; silent.test is never answered."""
    global last_connect
    head, _ = read_head(conn, b"")
    if head is None:
        return
    last_connect = head.decode()
    method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
    host, _, port = target.rpartition(":")
    if method != "CONNECT":
        conn.sendall(plain("by the proxy"))
        conn.close()
    elif host == "silent.test":
        time.sleep(30)
    elif host == "refused.test":
        conn.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nX-Test: proxy\r\nContent-Length: 0\r\n\r\n")
        conn.close()
    else:
        other = socket.create_connection(("127.0.0.1", int(port)))
        conn.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")
        threading.Thread(target=copy, args=(other, conn), daemon=True).start()
        copy(conn, other)


def listen(handler, context=None):
    s = socket.create_server(("127.0.0.1", 0), backlog=300)

    def loop():
        while True:
            conn, _ = s.accept()
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=handler, args=(conn, context), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def main():
    with tempfile.TemporaryDirectory() as folder:
        certificates(folder)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
        mutual = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        mutual.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
        mutual.load_verify_locations(os.path.join(folder, "ca.pem"))
        mutual.verify_mode = ssl.CERT_REQUIRED
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        old.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        print(listen(serve), listen(serve, tls), listen(serve, mutual), listen(serve, old), listen(proxy), folder, flush=True)
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
