"""A server that answers in every wrong way; prints its ports and its CA's file, serves until it is killed."""
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

count = 0


def certificates(folder):
    ca = os.path.join(folder, "cert.pem")
    key = os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-keyout", key, "-out", ca, "-subj", "/CN=peer.test", "-addext",
                    "subjectAltName=DNS:peer.test,IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    return ca, key


def plain(body, status="200 OK", extra=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nX-Test: yes\r\n{extra}\r\n{body}".encode()


def answer(conn, method, path):
    """True: the connection may be used again."""
    global count
    if path == "/hello":
        conn.sendall(plain("hello"))
        return True
    if path == "/count":
        conn.sendall(plain(str(count)))
        return True
    if path.startswith("/status/"):
        conn.sendall(plain("", path[8:] + " Status"))
        return True
    if path == "/redirect":
        conn.sendall(plain("", "302 Found", "Location: /hello\r\n"))
    elif path == "/dies":
        count += 1
    elif path == "/short":
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    elif path == "/cutchunk":
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc")
    elif path == "/garbage":
        conn.sendall(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
    elif path == "/slow":
        time.sleep(30)
    elif path == "/bigbody":
        conn.sendall(plain("x" * 100000))
    elif path == "/bigheader":
        conn.sendall(b"HTTP/1.1 200 OK\r\nX-Big: " + b"y" * 90000 + b"\r\nContent-Length: 0\r\n\r\n")
    elif path == "/stream":
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one\n", b"two\n", b"STOP\n", b"never\n"):
            conn.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(0.05)
    return False


def serve(conn, context):
    try:
        if context:
            conn = context.wrap_socket(conn, server_side=True)
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                piece = conn.recv(65536)
                if not piece:
                    return
                data += piece
            head, _, data = data.partition(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            for line in head.split(b"\r\n")[1:]:
                if line.lower().startswith(b"content-length:"):
                    need = int(line.split(b":")[1])
                    while len(data) < need:
                        data += conn.recv(65536)
                    data = data[need:]
            if not answer(conn, method, path):
                return
    except (OSError, ValueError):
        pass
    finally:
        conn.close()


def listen(context):
    s = socket.create_server(("127.0.0.1", 0))

    def loop():
        while True:
            conn, _ = s.accept()
            threading.Thread(target=serve, args=(conn, context), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def main():
    with tempfile.TemporaryDirectory() as folder:
        ca, key = certificates(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ca, key)
        print(listen(None), listen(context), ca, flush=True)
        while os.getppid() != 1:
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
