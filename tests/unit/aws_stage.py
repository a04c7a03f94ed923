#!/usr/bin/env python3
"""A small peer that speaks enough of IAM, STS, EC2, EKS, IMDSv2 and the container endpoint, rightly and wrongly.

usage: aws_stage.py DIR

It listens on loopback, prints "READY PORT", and writes one line a request into DIR/log.jsonl. Signatures are verified,
with an implementation of its own: the secret of key id K is "secret-of-K", the session token of K (where K starts with
ASIA) "token-of-K". What it answers is steered by files in DIR that tests write while it runs:

  plan            lines "KEY ANSWER...": the first request of KEY gets the first answer, the last one stays. KEY is the
                  action of a form, "eks" for a GET below /clusters, imds-token, imds-role, imds-keys, container. Without
                  a line: "ok". A plan that is written anew starts anew. The answers are the functions answer_NAME.
  lifetime        seconds that credentials handed out live (3600)
  expected-token  what the container endpoint wants in Authorization
"""
import datetime
import email.utils
import hashlib
import hmac
import http.server
import json
import os
import re
import socketserver
import sys
import threading
import time
import urllib.parse

DIR = sys.argv[1]
CLOCK_AHEAD = 900  # of the answer "ahead"
lock = threading.Lock()
plan_seen = {"stamp": None, "steps": {}, "issued": 0}


def in_dir(name):
    return os.path.join(DIR, name)


def read(name, otherwise=""):
    try:
        with open(in_dir(name), encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return otherwise


def next_answer(key):
    with lock:
        text = read("plan")
        if text != plan_seen["stamp"]:
            plan_seen.update(stamp=text, steps={line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()})
        steps = plan_seen["steps"].get(key, ["ok"])
        return steps.pop(0) if len(steps) > 1 else steps[0]


def issue(kind):
    """Keys that work, with the names of the members that IMDS, the container endpoint and STS share."""
    with lock:
        plan_seen["issued"] += 1
        key = f"ASIA{kind}{plan_seen['issued']}"
    ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=int(read("lifetime", "3600")))
    return {"AccessKeyId": key, "SecretAccessKey": "secret-of-" + key, "Token": "token-of-" + key,
            "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}


def sha(data):
    return hashlib.sha256(data).hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_fault(method, target, headers, body):
    """None, or what is wrong with the signature (SigV4 as published, for services other than S3)."""
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                         r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", headers.get("Authorization", ""))
    if not found:
        return "no signature"
    key, day, region, service, names, given = found.groups()
    path, _, query = target.partition("?")
    pairs = sorted(tuple(p.partition("=")[::2]) for p in query.split("&") if p)
    lines = [method, urllib.parse.quote(path, safe="/-._~"), "&".join(f"{k}={v}" for k, v in pairs)]
    lines += [f"{n}:{' '.join(headers.get(n, '').split())}" for n in names.split(";")] + ["", names, sha(body)]
    stamp = headers.get("X-Amz-Date", "")
    scope = f"{day}/{region}/{service}/aws4_request"
    step = ("AWS4secret-of-" + key).encode()
    for part in (day, region, service, "aws4_request"):
        step = mac(step, part)
    wanted = mac(step, "\n".join(["AWS4-HMAC-SHA256", stamp, scope, sha("\n".join(lines).encode())])).hex()
    if key.startswith("ASIA") and headers.get("X-Amz-Security-Token") != "token-of-" + key:
        return "wrong session token"
    if "host" not in names.split(";") or "x-amz-date" not in names.split(";"):
        return "host or date is not signed"
    return None if wanted == given else "wrong signature"


def form_error(service, code, message):
    if service == "ec2":
        return (f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
                "<RequestID>peer</RequestID></Response>")
    return ("<ErrorResponse><Error><Type>Sender</Type>" f"<Code>{code}</Code><Message>{message}</Message></Error>"
            "<RequestId>peer</RequestId></ErrorResponse>")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: the second would wait for a delayed ACK
    timeout = 60
    ahead = 0

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate((timestamp or time.time()) + self.ahead, usegmt=True)

    # ---- plumbing ----

    def send(self, status, body, content_type="text/xml", headers=()):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("x-amzn-RequestId", "peer-request")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, code, message="as planned", headers=()):
        if self.service == "eks":
            self.send(status, json.dumps({"message": message}), "application/json", [("x-amzn-errortype", code + ":http://internal/")])
        else:
            self.send(status, form_error(self.service, code, message), headers=headers)

    def serve(self):
        self.raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.form = {k: v[0] for k, v in urllib.parse.parse_qs(self.raw.decode(), keep_blank_values=True).items()}
        self.query = {k: v[0] for k, v in urllib.parse.parse_qs(self.path.partition("?")[2]).items()}
        self.action = self.form.get("Action", "")
        version = self.form.get("Version", "")
        self.service = {"2010-05-08": "iam", "2011-06-15": "sts", "2016-11-15": "ec2"}.get(version, "eks")
        if path.startswith("/latest/") or path.startswith("/keys"):
            key = {"/latest/api/token": "imds-token", "/latest/meta-data/iam/security-credentials/": "imds-role"}.get(path, "imds-keys")
            key = "container" if path.startswith("/keys") else key
        else:
            key = self.action or "eks"
        answer = next_answer(key)
        line = {"key": key, "answer": answer, "method": self.command, "path": self.path, "form": self.form,
                "headers": {k.lower(): v for k, v in self.headers.items()}}
        with lock, open(in_dir("log.jsonl"), "a", encoding="utf-8") as f:
            f.write(json.dumps(line, sort_keys=True) + "\n")
        self.key = key
        getattr(self, "answer_" + answer.replace("-", "_"))()

    do_GET = do_POST = do_PUT = serve

    # ---- right answers ----

    def answer_ok(self):
        right = {"imds-token": self.imds_token, "imds-role": self.imds_role, "imds-keys": self.imds_keys,
                 "container": self.container, "AssumeRoleWithWebIdentity": self.web_identity}.get(self.key)
        if right:
            right()
            return
        wrong = signature_fault(self.command, self.path, self.headers, self.raw)
        if wrong:
            self.fail(403, "SignatureDoesNotMatch", wrong)
            return
        getattr(self, "do_" + (self.action or "eks"), self.empty)()

    def imds_token(self):
        ok = self.command == "PUT" and self.headers.get("x-aws-ec2-metadata-token-ttl-seconds") == "21600"
        self.send(200 if ok else 400, "imds-session" if ok else "", "text/plain")

    def with_imds_session(self, body, content_type="text/plain"):
        if self.headers.get("x-aws-ec2-metadata-token") == "imds-session":
            self.send(200, body, content_type)
        else:
            self.send(401, "")

    def imds_role(self):
        self.with_imds_session("node-role")

    def imds_keys(self):
        self.with_imds_session(json.dumps({"Code": "Success", "Type": "AWS-HMAC", **issue("IMDS")}))

    def container(self):
        wanted = read("expected-token")
        if wanted and self.headers.get("Authorization") != wanted:
            self.send(400, "unauthorized", "text/plain")
        else:
            self.send(200, json.dumps({**issue("POD"), "AccountId": "111122223333"}), "application/json")

    def sts_credentials(self, kind):
        keys = issue(kind)
        keys["SessionToken"] = keys.pop("Token")
        inner = "".join(f"<{k}>{v}</{k}>" for k, v in keys.items())
        self.send(200, f"<{self.action}Response><{self.action}Result><Credentials>{inner}</Credentials></{self.action}Result>"
                  f"</{self.action}Response>")

    def web_identity(self):
        if "Authorization" in self.headers or not self.form.get("WebIdentityToken"):
            self.fail(400, "InvalidIdentityToken", "signed, or without a token")
        else:
            self.sts_credentials("WEB")

    def do_AssumeRole(self):
        self.sts_credentials("ROLE")

    def result(self, inner):
        body = f"<{self.action}Result>{inner}</{self.action}Result>" if inner is not None else ""
        self.send(200, f"<{self.action}Response xmlns='https://iam.amazonaws.com/doc/2010-05-08/'>{body}"
                  f"<ResponseMetadata><RequestId>peer-in-xml</RequestId></ResponseMetadata></{self.action}Response>")

    def empty(self):
        self.result(None)

    def do_GetCallerIdentity(self):
        key = re.search(r"Credential=([^/]+)", self.headers["Authorization"]).group(1)
        self.result(f"<Arn>arn:aws:sts::111122223333:assumed-role/{key}/s</Arn><UserId>{key}</UserId><Account>111122223333</Account>")

    def do_GetRole(self):
        document = urllib.parse.quote('{"Version":"2012-10-17","Statement":[{"Sid":"a+b"}]}', safe="")
        name = self.form["RoleName"].replace("&", "&amp;").replace("<", "&lt;")
        self.result(f"<Role><RoleName>{name}</RoleName><AssumeRolePolicyDocument>{document}"
                    "</AssumeRolePolicyDocument><Tags><member><Key>k</Key><Value>v</Value></member></Tags></Role>")

    def do_ListRoles(self):
        """Three pages, the second with fewer than asked for, the last one empty."""
        pages = {"": (["a", "b"], "m 1/+&="), "m 1/+&=": (["c"], "m2"), "m2": ([], None)}
        names, following = pages[self.form.get("Marker", "")]
        members = "".join(f"<member><RoleName>{n}</RoleName></member>" for n in names)
        rest = f"<IsTruncated>true</IsTruncated><Marker>{following.replace('&', '&amp;')}</Marker>" if following else "<IsTruncated>false</IsTruncated>"
        self.result(f"<Roles>{members}</Roles>{rest}" if members else f"{rest}<Roles/>")

    def do_DescribeInstances(self):
        page = self.form.get("NextToken", "")
        instance = f"<item><instancesSet><item><instanceId>i-{page or '0'}</instanceId></item></instancesSet></item>"
        token = "" if page == "2" else f"<nextToken>{int(page or 0) + 1}</nextToken>"
        self.send(200, f"<DescribeInstancesResponse><requestId>r</requestId><reservationSet>{instance}</reservationSet>{token}"
                  "</DescribeInstancesResponse>", headers=[])

    def do_eks(self):
        if self.path.startswith("/clusters/c%20%C3%A9%2F1"):
            self.send(200, json.dumps({"cluster": {"name": "odd", "path": self.path}}), "application/json")
        elif "/pod-identity-associations" in self.path:
            following = {"": "t+/=1", "t+/=1": None}[self.query.get("nextToken", "")]
            self.send(200, json.dumps({"associations": [{"associationId": self.query.get("nextToken", "first")}], "nextToken": following}),
                      "application/json")
        else:
            self.send(200, json.dumps({"cluster": {"name": "c", "createdAt": 1767323045.25}}), "application/json")

    # ---- wrong ones ----

    def answer_throttled(self):
        self.fail(429 if self.service == "eks" else 400, "ThrottlingException" if self.service == "eks" else "Throttling", "Rate exceeded")

    def answer_throttled_later(self):
        self.fail(503, "RequestLimitExceeded" if self.service == "ec2" else "Throttling", "later", [("Retry-After", "2")])

    def answer_failure(self):
        self.fail(500, "ServerException" if self.service == "eks" else "ServiceFailure")

    def answer_unavailable(self):
        self.send(503, "Service Unavailable", "text/plain")

    def answer_denied(self):
        self.fail(403, {"ec2": "UnauthorizedOperation", "eks": "AccessDeniedException"}.get(self.service, "AccessDenied"))

    def answer_dry_run(self):
        self.fail(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")

    def answer_quota(self):
        self.fail(409, "LimitExceeded", "Cannot exceed quota")

    def answer_missing(self):
        self.fail(404, "ResourceNotFoundException" if self.service == "eks" else "NoSuchEntity")

    def answer_expired(self):
        self.fail(403, "ExpiredTokenException" if self.service == "eks" else "ExpiredToken")

    def answer_identity(self):
        self.fail(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://x")

    def answer_idp(self):
        self.fail(400, "IDPCommunicationError")

    def answer_opted_out(self):
        self.fail(403, "OptInRequired")

    def answer_ahead(self):
        """The clock of this server is CLOCK_AHEAD seconds ahead."""
        self.ahead = CLOCK_AHEAD
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=CLOCK_AHEAD)
        stamp = self.headers.get("X-Amz-Date", "19700101T000000Z")
        sent = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((now - sent).total_seconds()) > 300:
            self.fail(403, "SignatureDoesNotMatch", "Signature expired: that is now earlier than this")
        else:
            self.answer_ok()

    def answer_skew_lie(self):
        """Never content with the time, and its own clock is right."""
        self.fail(403, "RequestTimeTooSkewed")

    def answer_lost(self):
        self.close_connection = True

    def answer_half(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"<GetRoleResponse>")
        self.close_connection = True

    def answer_hang(self):
        time.sleep(30)

    def answer_short_hang(self):
        time.sleep(3)
        self.answer_ok()

    def answer_html_404(self):
        self.send(404, "<!doctype html><html><body><h1>Not Found</h1></body></html>", "text/html")

    def answer_html_500(self):
        self.send(500, "<!doctype html>\n<html lang=en><title>500</title><p>oops</p></html>", "text/html")

    def answer_html_200(self):
        self.send(200, "<html><body>log in first</body></html>", "text/html")

    def answer_garbage(self):
        self.send(200, b"\x00\xff\xfe not at all", "text/xml")

    def answer_nothing(self):
        self.send(200, "")

    def answer_other(self):
        self.send(200, "<OtherOperationResponse><OtherOperationResult><A>1</A></OtherOperationResult></OtherOperationResponse>")

    def answer_error_200(self):
        self.send(200, form_error(self.service, "Throttling", "with the wrong status"))

    def answer_redirect(self):
        self.send(301, "", headers=[("Location", "http://127.0.0.1:1/")])

    def answer_endless(self):
        self.result("<Roles><member><RoleName>x</RoleName></member></Roles><IsTruncated>true</IsTruncated><Marker>again</Marker>")

    def answer_no_marker(self):
        self.result("<Roles><member><RoleName>x</RoleName></member></Roles><IsTruncated>true</IsTruncated>")

    def answer_huge(self):
        self.send(200, "<GetRoleResponse><GetRoleResult><A>" + "x" * 9000000 + "</A></GetRoleResult></GetRoleResponse>")

    def answer_array(self):
        self.send(200, "[1]", "application/json")

    def answer_unauthorized(self):
        self.send(401, "", "text/plain")

    def answer_not_found(self):
        self.send(404, "not found", "text/plain")

    def answer_old_keys(self):
        """Keys that ended ten minutes ago, as IMDS gives them when it can not get new ones."""
        ended = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=600)
        self.send(200, json.dumps({"Code": "Success", **issue("OLD"), "Expiration": ended.strftime("%Y-%m-%dT%H:%M:%SZ")}))

    def answer_not_success(self):
        self.send(200, json.dumps({"Code": "AssumeRoleUnauthorizedAccess", "Message": "no"}), "application/json")

    def answer_no_keys(self):
        self.send(200, json.dumps({"Code": "Success", "AccessKeyId": "ASIAX"}), "application/json")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


def main():
    server = Server(("127.0.0.1", 0), Handler)
    print(f"READY {server.server_port}", flush=True)
    server.serve_forever()


main()
