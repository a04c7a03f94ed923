#!/usr/bin/env python3
"""A credential plugin for the tests: exec_plugin_peer.py DIR BEHAVIOUR

Counts its runs in DIR/runs, leaves what it was told in DIR/info, and prints what BEHAVIOUR says.
"""
import json
import os
import sys
import time

directory, behaviour = sys.argv[1:3]


def path(name):
    return os.path.join(directory, name)


def read(name, default=""):
    try:
        with open(path(name)) as f:
            return f.read()
    except FileNotFoundError:
        return default


def credential(version="client.authentication.k8s.io/v1", **status):
    print(json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}))


runs = int(read("runs", "0")) + 1
with open(path("runs"), "w") as f:
    f.write(str(runs))
with open(path("info"), "w") as f:
    f.write(json.dumps({"info": json.loads(os.environ["KUBERNETES_EXEC_INFO"]), "extra": os.environ.get("EXTRA"),
                        "home": "HOME" in os.environ, "stdin": sys.stdin.read() if not sys.stdin.isatty() else "tty"}))

if behaviour == "token":  # a token that expires in an hour
    credential(token="token-%d" % runs, expirationTimestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)))
elif behaviour == "forever":
    credential(token="token-%d" % runs)
elif behaviour == "expired":
    credential(token="token-%d" % runs, expirationTimestamp="2001-01-01T00:00:00Z")
elif behaviour == "slow":
    time.sleep(0.4)
    credential(token="token-%d" % runs)
elif behaviour == "cert":
    credential(clientCertificateData=read("client.pem"), clientKeyData=read("client.key"))
elif behaviour == "half":
    credential(clientCertificateData=read("client.pem"))
elif behaviour == "swapped":
    credential(clientCertificateData=read("client.key"), clientKeyData=read("client.pem"))
elif behaviour == "empty":
    credential()
elif behaviour == "version":
    credential(version="client.authentication.k8s.io/v1beta1", token="x")
elif behaviour == "time":
    credential(token="x", expirationTimestamp="tomorrow")
elif behaviour == "garbage":
    print("eyJhbGciOiJIUzI1NiJ9.secret-looking-output")
elif behaviour == "header":
    credential(token="x\r\nX-Evil: 1")
elif behaviour == "huge":
    sys.stdout.write("x" * (2 * 1024 * 1024))
elif behaviour == "fails":
    sys.stderr.write("the SSO session has expired\n")
    sys.exit(3)
