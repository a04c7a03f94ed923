#!/usr/bin/env python3
"""A small peer that plays AWS, rightly and wrongly, for the tests of platform/aws: IAM, STS, EKS, EC2, IMDS, a container
endpoint, and a credential_process.

usage: aws_peer.py DIR                     serves; prints "READY PORT" once it listens on loopback
       aws_peer.py DIR --process SCENARIO  is a credential_process

It checks every signature by its own implementation of SigV4. What it answers is chosen by a name that the call carries:
RoleName, the cluster's name, InstanceId.1, or the last part of RoleArn. DIR receives log.jsonl (one line a request).
Files in DIR steer it while it runs: ttl (seconds that credentials last, default 3600), clock (seconds that its clock is
ahead), imds (ok, refused, norole, failure, error, mute), web-token and container-token (what is accepted), sts (a
scenario for exchanges).
"""
import datetime
import hashlib
import hmac
import http.server
import json
import os
import socket
import sys
import threading
import time
import urllib.parse

DIR = sys.argv[1]
KEYS = {"AKIDPEER": "peer-secret", "AKIDOTHER": "other-secret"}
ROLE_DOCUMENT = '{"Version":"2012-10-17","Statement":[{"Sid":"a+b c","Effect":"Allow"}]}'
lock = threading.Lock()
counters = {}


def steer(name, default=""):
    try:
        with open(os.path.join(DIR, name), encoding="utf-8") as f:
            return f.read().strip()
    except FileNotFoundError:
        return default


def count(key):
    with lock:
        counters[key] = counters.get(key, 0) + 1
        return counters[key]


def log(**fields):
    with lock, open(os.path.join(DIR, "log.jsonl"), "a", encoding="utf-8") as f:
        f.write(json.dumps(fields) + "\n")


def now():
    return time.time() + float(steer("clock", "0"))


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def vend(source):
    """Fresh credentials; their names say where they are from."""
    key = f"ASIA-{source}-{count('vend-' + source)}"
    return {"AccessKeyId": key, "SecretAccessKey": f"secret {key}", "Token": f"token {key}",
            "Expiration": iso(now() + float(steer("ttl", "3600")))}


def secret_of(key):
    return KEYS.get(key) or (f"secret {key}" if key.startswith("ASIA-") else None)


# --------------------------------------------------------------------------------------------------------- signatures


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_error(handler, body):
    """What AWS would say of this request's signature: (code, message) or None."""
    given = handler.headers.get("Authorization", "")
    if not given.startswith("AWS4-HMAC-SHA256 "):
        return "MissingAuthenticationToken", "Request is missing Authentication Token"
    parts = dict(p.strip().split("=", 1) for p in given.split(" ", 1)[1].split(","))
    key, date, region, service, _ = parts["Credential"].split("/")
    secret = secret_of(key)
    if secret is None:
        return "InvalidClientTokenId", "The security token included in the request is invalid."
    stamp = handler.headers["X-Amz-Date"]
    then = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
    if abs(then - now()) > 300:
        return "SignatureDoesNotMatch", f"Signature expired: {stamp} is now earlier than {iso(now())} (15 min.)"
    token = handler.headers.get("X-Amz-Security-Token")
    if token != (f"token {key}" if key.startswith("ASIA-") else None):
        return "InvalidClientTokenId", "The security token included in the request is invalid."
    path, _, query = handler.path.partition("?")
    pairs = sorted((urllib.parse.quote(k, "-._~"), urllib.parse.quote(v, "-._~"))
                   for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
    names = parts["SignedHeaders"].split(";")
    canonical = "\n".join([
        handler.command, urllib.parse.quote(path, "/-._~"), "&".join(f"{k}={v}" for k, v in pairs),
        "".join(f"{n}:{' '.join(handler.headers[n].split())}\n" for n in names), ";".join(names),
        hashlib.sha256(body).hexdigest()])
    scope = f"{date}/{region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    k = mac(mac(mac(mac(b"AWS4" + secret.encode(), date), region), service), "aws4_request")
    if mac(k, to_sign).hex() != parts["Signature"]:
        return "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."
    return None


# ------------------------------------------------------------------------------------------------------------ answers


def xml_text(value):
    if isinstance(value, list):
        return "".join(f"<member>{xml_text(v)}</member>" for v in value)
    if isinstance(value, dict):
        return "".join(f"<{k}>{xml_text(v)}</{k}>" for k, v in value.items())
    return str(value).replace("&", "&amp;").replace("<", "&lt;")


class Peer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second would wait for a delayed ACK

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(now())

    def say(self, status, body, kind="text/xml", **headers):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def say_json(self, status, value, **headers):
        self.say(status, json.dumps(value), "application/json", **headers)

    def result(self, action, value):
        inner = f"<{action}Result>{xml_text(value)}</{action}Result>" if value is not None else ""
        self.say(200, f'<{action}Response xmlns="https://iam.amazonaws.com/doc/2010-05-08/">{inner}<ResponseMetadata>'
                      f"<RequestId>xml-id</RequestId></ResponseMetadata></{action}Response>")

    def refuse(self, status, code, message="because", **headers):
        self.say(status, "<ErrorResponse><Error><Type>Sender</Type>"
                         f"<Code>{code}</Code><Message>{xml_text(message)}</Message></Error>"
                         "<RequestId>r</RequestId></ErrorResponse>", x_amzn_RequestId="header-id", **headers)

    def refuse_ec2(self, status, code):
        self.say(status, f"<Response><Errors><Error><Code>{code}</Code><Message>because</Message></Error></Errors>"
                         "<RequestID>r</RequestID></Response>")

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    # ---- one of many ways to go wrong; True: it did

    def goes_wrong(self, name, action, commit):
        n = count(f"{name}/{action}")
        if name == "lost-before":
            self.hang_up()
        elif name == "lost-once" and n == 1:
            self.hang_up()
        elif name == "lost-after":
            commit()
            self.hang_up()
        elif name == "mute":
            commit()
            time.sleep(30)
        elif name == "half":
            commit()
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"<Half")
            self.hang_up()
        elif name in ("throttled", "throttled-twice") and (n <= 2 or name == "throttled"):
            self.refuse(400, "Throttling", "Rate exceeded")
        elif name == "slow-down" and n == 1:
            self.refuse(503, "SlowDown", Retry_After="1")
        elif name in ("unavailable", "unavailable-once") and (n == 1 or name == "unavailable"):
            self.refuse(500, "ServiceFailure")
        elif name == "expired-once" and n == 1:
            self.refuse(403, "ExpiredToken", "The security token included in the request is expired")
        elif name == "expired":
            self.refuse(403, "ExpiredToken", "The security token included in the request is expired")
        elif name == "denied":
            self.refuse(403, "AccessDenied", "User: arn is not authorized to perform: iam:" + action)
        elif name == "limit":
            self.refuse(409, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")
        elif name == "missing":
            self.refuse(404, "NoSuchEntity")
        elif name == "garbage":
            commit()
            self.say(200, b"\x00\xff<not xml")
        elif name == "huge":
            commit()
            self.say(200, b"x" * (9 << 20))
        elif name == "html-404":
            self.say(404, "<!DOCTYPE html><html><title>404 Not Found</title>AccessDenied NoSuchEntity</html>", "text/html")
        elif name == "html-500":
            self.say(500, "<!doctype html><html lang=en><title>500</title>AccessDenied</html>", "text/html")
        elif name == "html-503":
            self.say(503, "<html><b>busy</html>", "text/html")
        elif name == "redirect":
            self.say(302, "", Location="https://elsewhere.example/")
        elif name == "other-operation":
            self.result("SomethingElse", {"a": "b"})
        else:
            return False
        return True

    # ---- IAM

    def iam(self, action, p):
        name = p.get("RoleName", "")

        def commit():
            log(committed=action, name=name)

        if self.goes_wrong(name, action, commit):
            return
        if action == "GetRole":
            if name == "no-result":
                self.result(action, None)
                return
            self.result(action, {"Role": {"RoleName": name, "Path": "/", "Description": "a & b < c",
                                          "AssumeRolePolicyDocument": urllib.parse.quote(ROLE_DOCUMENT, safe="+"),
                                          "Tags": [{"Key": "k", "Value": ""}], "RoleLastUsed": ""}})
        elif action == "ListAttachedRolePolicies":
            self.policies(name, int(p.get("Marker") or 0))
        else:
            commit()
            self.result(action, None if action != "UpdateRole" else "")

    def policies(self, name, page):
        last = {"pages": 3, "many-pages": 30}.get(name, 0)
        more = name == "endless" or page < last
        items = [] if name == "pages" and page == last else [{"PolicyArn": f"arn:{page}.{i}"} for i in range(2)]
        if name == "empty-first" and page == 0:
            more, items = True, []
        marker = 1 if name == "circle" else page + 1
        more = more or name == "circle"
        self.result("ListAttachedRolePolicies", {"AttachedPolicies": items, "IsTruncated": str(more).lower(),
                                                 **({"Marker": marker} if more else {})})

    # ---- STS

    def sts(self, action, p):
        scenario = steer("sts")
        if action == "GetCallerIdentity":
            if not self.goes_wrong(scenario, action, lambda: None):
                self.result(action, {"Account": "111122223333", "Arn": "arn:aws:iam::111122223333:user/x", "UserId": "u"})
            return
        role = p["RoleArn"].rsplit("/", 1)[-1]
        if scenario and self.goes_wrong(scenario, action, lambda: None):
            return
        if action == "AssumeRoleWithWebIdentity":
            if p["WebIdentityToken"] != steer("web-token"):
                self.refuse(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://x")
                return
        elif role == "needs-external-id" and p.get("ExternalId") != "shared":
            self.refuse(403, "AccessDenied", "not authorized to perform: sts:AssumeRole")
            return
        c = vend(role)
        self.result(action, {"Credentials": {"AccessKeyId": c["AccessKeyId"], "SecretAccessKey": c["SecretAccessKey"],
                                             "SessionToken": c["Token"], "Expiration": c["Expiration"]}})

    # ---- EC2

    def ec2(self, action, p):
        key = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        if p.get("DryRun") == "true":
            role = key.split("-")[1] if key.startswith("ASIA-") else ""
            n = count(f"dry/{role}/{action}")
            if role == "powerless" or (role == "half" and action == "DescribeNetworkInterfaces"):
                self.refuse_ec2(403, "UnauthorizedOperation")
            elif role == "busy" and n == 1:
                self.refuse_ec2(503, "RequestLimitExceeded")
            elif role == "strange":
                self.refuse_ec2(400, "InvalidState")
            elif role == "fresh":
                self.refuse_ec2(401, "AuthFailure")
            elif role == "nodryrun":
                self.say(200, f"<{action}Response><reservationSet/></{action}Response>")
            else:
                self.refuse_ec2(412, "DryRunOperation")
            return
        page = int(p.get("NextToken") or 0)
        ids = [v for k, v in sorted(p.items()) if k.startswith("InstanceId.")]
        if ids == ["i-missing"]:
            self.refuse_ec2(400, "InvalidInstanceID.NotFound")
            return
        token = f"<nextToken>{page + 1}</nextToken>" if page < 1 else ""
        self.say(200, f'<?xml version="1.0"?><{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
                      f"<requestId>ec2-id</requestId><reservationSet><item><instancesSet><item><instanceId>i-{page}"
                      f"</instanceId></item></instancesSet></item></reservationSet>{token}</{action}Response>")

    # ---- EKS

    def eks(self, path, query):
        parts = [urllib.parse.unquote(p) for p in path.split("/")]
        name = parts[2]
        if name == "html":
            self.say(404, "<html>ResourceNotFoundException</html>", "text/html", x_amzn_errortype="ResourceNotFoundException")
        elif name == "none":
            self.say_json(404, {"message": "No cluster found", "clusterName": None},
                          x_amzn_errortype="ResourceNotFoundException:http://internal.amazon.com/coral/com.amazon#x/",
                          x_amzn_RequestId="eks-id")
        elif name == "denied":
            self.say_json(403, {"__type": "com.amazon.eks#AccessDeniedException", "Message": "no"})
        elif name == "busy":
            self.say_json(429, {"code": "TooManyRequestsException", "message": "slow"})
        elif name == "array":
            self.say_json(200, ["cluster"])
        elif len(parts) == 4 and parts[3] == "node-groups":
            page = int(query.get("nextToken") or 0)
            self.say_json(200, {"nodegroups": [f"g{page}"], "nextToken": str(page + 1) if page < 2 else None})
        elif len(parts) == 5:
            self.say_json(200, {"addon": {"addonName": parts[4], "clusterName": name}})
        else:
            self.say_json(200, {"cluster": {"name": name, "query": query}, "nextToken": None})

    # ---- metadata and container

    def imds(self):
        mode = steer("imds", "ok")
        log(imds=self.path, method=self.command, mode=mode)
        if mode == "mute":
            time.sleep(5)
        if self.command == "PUT":
            if mode == "refused" or self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") != "21600":
                self.say(403, "no")
            elif mode == "error-once" and count("imds-error") == 1:
                self.say(500, "oops")
            else:
                self.say(200, "imds-token")
        elif self.headers.get("X-aws-ec2-metadata-token") != "imds-token":
            self.say(401, "Unauthorized")
        elif self.path.endswith("/security-credentials/"):
            self.say(404 if mode == "norole" else 200, "node-role\n" if mode != "empty" else "\n")
        elif mode == "failure":
            self.say_json(200, {"Code": "AssumeRoleUnauthorizedAccess", "Message": "no"})
        else:
            self.say_json(200, {"Code": "Success", "Type": "AWS-HMAC", **vend("imds")})

    def container(self):
        log(container=self.path, authorization=self.headers.get("Authorization") == steer("container-token"))
        if self.path.endswith("/busy") and count("container") < 3:
            self.say(503, "busy")
        elif self.path.endswith("/garbage"):
            self.say(200, '{"AccessKeyId":"only"}')
        elif self.headers.get("Authorization", "") != steer("container-token"):
            self.say(401, "wrong token")
        else:
            self.say_json(200, vend("container"))

    # ---- dispatch

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.startswith("/latest/"):
            self.imds()
        elif path.startswith("/container"):
            self.container()
        else:
            self.service(b"", path.removeprefix("/prefix"), query)

    def do_PUT(self):
        self.imds()

    def do_POST(self):
        self.service(self.body(), self.path.removeprefix("/prefix"), "")

    def service(self, body, path, query):
        p = dict(urllib.parse.parse_qsl((body.decode() or query), keep_blank_values=True))
        action = p.get("Action", "")
        wrong = None if action == "AssumeRoleWithWebIdentity" else signature_error(self, body)
        auth = self.headers.get("Authorization", "")
        scope = auth.partition("Credential=")[2].partition(",")[0].split("/")
        log(call=action or path, key=scope[0], scope="/".join(scope[2:4]), connection=self.client_address[1],
            error=wrong[0] if wrong else None, date=self.headers.get("X-Amz-Date"), agent=self.headers.get("User-Agent"),
            name=p.get("RoleName") or p.get("RoleArn") or "", parameters={k: v for k, v in p.items() if "Token" not in k})
        version = p.get("Version")
        if wrong and not action:
            self.say_json(403, {"message": wrong[1]}, x_amzn_errortype=wrong[0])
        elif wrong and version == "2016-11-15":
            self.refuse_ec2(401, "AuthFailure")
        elif wrong:
            self.refuse(403, *wrong)
        elif not action:
            self.eks(path, p)
        elif version == "2010-05-08":
            self.iam(action, p)
        elif version == "2011-06-15":
            self.sts(action, p)
        else:
            self.ec2(action, p)


def process(scenario):
    log(process=scenario, arguments=sys.argv[4:])
    c = vend("process-" + str(os.getpid()))
    if scenario == "fail":
        print("it went wrong", file=sys.stderr)
        sys.exit(3)
    out = {"Version": 2 if scenario == "version" else 1, "AccessKeyId": c["AccessKeyId"],
           "SecretAccessKey": c["SecretAccessKey"], "SessionToken": c["Token"], "Expiration": c["Expiration"]}
    print("not json" if scenario == "garbage" else json.dumps(out))


def main():
    if sys.argv[2:3] == ["--process"]:
        process(sys.argv[3])
        return
    http.server.ThreadingHTTPServer.request_queue_size = 512  # as many as the client has at once: a SYN that is dropped comes again after seconds
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    server.daemon_threads = True
    print("READY", server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
