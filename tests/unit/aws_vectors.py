#!/usr/bin/env python3
"""Prints the rows that test_sigv4.c and test_endpoint.c have as constants, by botocore: run it in the test bed's venv.

usage: aws_vectors.py sigv4|endpoints
"""
import datetime
import sys

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.endpoint_provider
import botocore.session

FORM = "application/x-www-form-urlencoded; charset=utf-8"
TOKEN = "AQoDYXdzEPT//////////wEXAMPLE=="
# method, host, path, query, content type, body, region, service, token
REQUESTS = [
    ("POST", "iam.amazonaws.com", "/", "", FORM, "Action=ListRoles&Version=2010-05-08&Marker=a%2Bb%2F%3D", "us-east-1", "iam", None),
    ("POST", "iam.us-gov.amazonaws.com", "/", "", FORM, "Action=GetRole&Version=2010-05-08&RoleName=x", "us-gov-west-1", "iam", TOKEN),
    ("POST", "sts.cn-north-1.amazonaws.com.cn", "/", "", FORM, "", "cn-north-1", "sts", None),
    ("POST", "ec2.eu-west-1.amazonaws.com", "/", "", FORM, "Action=DescribeInstances&Version=2016-11-15&DryRun=true", "eu-west-1", "ec2", TOKEN),
    ("POST", "localhost:4566", "/", "", FORM, "Action=GetRole", "us-east-1", "iam", None),
    ("POST", "127.0.0.1:5000", "/prefix/", "", FORM, "Action=GetRole", "us-east-1", "iam", None),
    ("GET", "eks.us-west-2.amazonaws.com", "/clusters/my-cluster", "", None, "", "us-west-2", "eks", None),
    ("GET", "eks.us-west-2.amazonaws.com", "/clusters/a%20b%2Fc", "", None, "", "us-west-2", "eks", None),
    ("GET", "eks.us-west-2.amazonaws.com", "/clusters/my-cluster/addons/vpc-cni", "", None, "", "us-west-2", "eks", TOKEN),
    ("GET", "eks.us-west-2.amazonaws.com", "/clusters/c/node-groups", "nextToken=&maxResults=100", None, "", "us-west-2", "eks", None),
    ("GET", "eks.us-west-2.amazonaws.com", "/clusters/c/node-groups", "a-b=1&a=2&a.b=3&A=4", None, "", "us-west-2", "eks", None),
    ("GET", "eks.us-west-2.amazonaws.com", "/clusters/c/node-groups", "b=%E1%88%B4&a=x~y_z-1.2", None, "", "us-west-2", "eks", None),
    ("DELETE", "eks.us-west-2.amazonaws.com", "/clusters/c/pod-identity-associations/a-1", "", None, "", "us-west-2", "eks", None),
]
REGIONS = ["us-east-1", "us-west-2", "us-gov-west-1", "us-gov-east-1", "cn-north-1", "cn-northwest-1", "us-iso-east-1",
           "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1", "eusc-de-east-1"]


def c(text):
    return "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def sigv4():
    when = datetime.datetime(2026, 1, 2, 3, 4, 5)
    botocore.auth.get_current_datetime = lambda *_, **__: when
    for method, host, path, query, kind, body, region, service, token in REQUESTS:
        url = f"https://{host}{path}" + (f"?{query}" if query else "")
        if ":" in host:
            url = "http" + url[5:]
        request = botocore.awsrequest.AWSRequest(method, url, headers={"Content-Type": kind} if kind else {}, data=body)
        keys = botocore.credentials.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
        botocore.auth.SigV4Auth(keys, service, region).add_auth(request)
        given = request.headers["Authorization"]
        assert "/20260102/" in given, given
        print(f"{{{{{c(method)}, {c(host)}, {c(path)}, {c(query) if query else 'NULL'}, {'FORM' if kind else 'NULL'}, "
              f"{c(body) if kind else 'NULL'}, 0, {c(region)}, {c(service)}, 0}}, {'TOKEN' if token else 'NULL'}, WHEN, "
              f"{c(given.split('Signature=')[1])}, NULL}},")


def endpoints():
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    partitions = loader.load_data("partitions")
    for service in ("iam", "sts", "eks", "ec2"):
        rules = loader.load_service_model(service, "endpoint-rule-set-1")
        provider = botocore.endpoint_provider.EndpointProvider(rules, partitions)
        for region in REGIONS:
            for fips in (False, True):
                for dual in (False, True):
                    more = {"UseGlobalEndpoint": False} if service == "sts" else {}
                    e = provider.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual, **more)
                    signing = (e.properties.get("authSchemes") or [{}])[0].get("signingRegion", region)
                    print(f"{{SERVICE_{service.upper()}, {c(region)}, {int(fips)}, {int(dual)}, {c(e.url)}, {c(signing)}}},")


if __name__ == "__main__":
    {"sigv4": sigv4, "endpoints": endpoints}[sys.argv[1]]()
