"""platform/aws against two AWS emulators that others wrote: what goes out is understood, what comes back is decoded.

Needs the programs of tests/testbed/build and the helper aws_call (env AWS_CALL, or tests/aws_call under the folder that
env BUILD_DIR names, default build/dev).
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from testbed.awsworld import CNI_POLICY, KINDS, AwsWorld, trust

ROOT = Path(__file__).resolve().parents[2]
AWS_CALL = os.environ.get("AWS_CALL") or str(ROOT / os.environ.get("BUILD_DIR", "build/dev") / "tests" / "aws_call")


@pytest.fixture(scope="module", params=KINDS)
def aws(request):
    with AwsWorld(request.param) as world:
        yield world


def call(world, kind, *, token=None, env=None, **args):
    argv = [AWS_CALL] + (["--token", str(token)] if token else []) + [kind]
    argv += [f"{name.replace('__', '.')}={value}" for name, value in args.items()]
    base = {"PATH": os.environ["PATH"], "HOME": str(world.dir), "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, env=base | (world.env() if env is None else env))
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def value(answer):
    assert answer["error"] == "OK", answer
    return answer.get("value", {})


def names(items, key):
    return {item[key] for item in items or []}


def test_identity(aws):
    said = value(call(aws, "STS_GET_CALLER_IDENTITY"))
    assert said["Account"] == aws.account and said["Arn"].startswith("arn:aws:")


def test_cluster_and_nodes(aws):
    cluster = value(call(aws, "EKS_DESCRIBE_CLUSTER", name=aws.cluster))["cluster"]
    assert cluster["identity"]["oidc"]["issuer"] == aws.issuer
    group = getattr(aws, "nodegroup", "default")
    assert value(call(aws, "EKS_LIST_NODEGROUPS", clusterName=aws.cluster))["nodegroups"] == [group]
    described = value(call(aws, "EKS_DESCRIBE_NODEGROUP", clusterName=aws.cluster, nodegroupName=group))["nodegroup"]
    assert described["nodeRole"].endswith(aws.node_role)
    assert call(aws, "EKS_DESCRIBE_CLUSTER", name="no-such")["error"] == "NotFound"
    assert call(aws, "EKS_DESCRIBE_ADDON", clusterName=aws.cluster, addonName="vpc-cni")["error"] == "NotFound"
    assert value(call(aws, "EKS_LIST_POD_IDENTITY_ASSOCIATIONS", clusterName=aws.cluster))["associations"] == []
    aws.put_pod_identity_association(f"arn:aws:iam::{aws.account}:role/x")
    associations = value(call(aws, "EKS_LIST_POD_IDENTITY_ASSOCIATIONS", clusterName=aws.cluster, namespace="kube-system"))
    assert len(associations["associations"]) == 1


def test_instances(aws):
    instance = aws.add_instance().rsplit("/", 1)[-1]
    said = value(call(aws, "EC2_DESCRIBE_INSTANCES", InstanceId__1=instance))
    found = said["reservationSet"][0]["instancesSet"][0]
    assert found["instanceId"] == instance and ":instance-profile/" in found["iamInstanceProfile"]["arn"]
    profile = found["iamInstanceProfile"]["arn"].rsplit("/", 1)[-1]
    roles = value(call(aws, "IAM_GET_INSTANCE_PROFILE", InstanceProfileName=profile))["InstanceProfile"]["Roles"]
    assert names(roles, "RoleName") == {aws.node_role}
    listed = value(call(aws, "IAM_LIST_INSTANCE_PROFILES_FOR_ROLE", RoleName=aws.node_role))["InstanceProfiles"]
    assert profile in names(listed, "InstanceProfileName")
    assert call(aws, "EC2_DESCRIBE_INSTANCES", InstanceId__1="i-00000000000000000")["error"] == "NotFound"


def test_life_of_a_role(aws):
    """Every write on roles and policies, each read back; a name and documents with what has to be encoded."""
    issuer = aws.issuer.removeprefix("https://")
    provider = f"arn:aws:iam::{aws.account}:oidc-provider/{issuer}"
    made = call(aws, "IAM_CREATE_OIDC_PROVIDER", Url=aws.issuer, ClientIDList__member__1="sts.amazonaws.com",
                Tags__member__1__Key="managed-by", Tags__member__1__Value="cni-iam")
    assert value(made)["OpenIDConnectProviderArn"] == provider
    value(call(aws, "IAM_ADD_CLIENT_ID", OpenIDConnectProviderArn=provider, ClientID="second"))
    value(call(aws, "IAM_TAG_OIDC_PROVIDER", OpenIDConnectProviderArn=provider, Tags__member__1__Key="k", Tags__member__1__Value="v"))
    got = value(call(aws, "IAM_GET_OIDC_PROVIDER", OpenIDConnectProviderArn=provider))
    assert sorted(got["ClientIDList"]) == ["second", "sts.amazonaws.com"] and got["Url"] == issuer
    assert provider in names(value(call(aws, "IAM_LIST_OIDC_PROVIDERS"))["OpenIDConnectProviderList"], "Arn")
    assert call(aws, "IAM_CREATE_OIDC_PROVIDER", Url=aws.issuer)["error"] == "AlreadyExists"

    trust = aws.irsa_trust()
    trust["Statement"][0]["Sid"] = "plus"
    trust["Statement"][0]["Condition"]["StringEquals"]["a:b"] = "+ %2B é &=;"
    name = "cni+=,.@-_role"
    text = "a+b = %2B" + (" & <c>" if aws.kind != "ministack" else "")  # ministack does not escape what it puts into XML
    tag = "a+b = é:/@"  # as far as the pattern of a tag's value goes
    made = call(aws, "IAM_CREATE_ROLE", RoleName=name, Path="/cni/", AssumeRolePolicyDocument=json.dumps(trust), Description=text,
                Tags__member__1__Key="managed-by", Tags__member__1__Value=tag)
    assert value(made)["Role"]["RoleName"] == name
    assert call(aws, "IAM_CREATE_ROLE", RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["error"] == "AlreadyExists"
    role = value(call(aws, "IAM_GET_ROLE", RoleName=name))["Role"]
    assert json.loads(role["AssumeRolePolicyDocument"]) == trust
    assert role["Description"] == text and {"Key": "managed-by", "Value": tag} in role["Tags"]
    assert name in names(value(call(aws, "IAM_LIST_ROLES", PathPrefix="/cni/"))["Roles"], "RoleName")
    value(call(aws, "IAM_UPDATE_ROLE", RoleName=name, Description="new", MaxSessionDuration="7200"))
    value(call(aws, "IAM_TAG_ROLE", RoleName=name, Tags__member__1__Key="t", Tags__member__1__Value=""))
    value(call(aws, "IAM_UNTAG_ROLE", RoleName=name, TagKeys__member__1="t"))
    value(call(aws, "IAM_UPDATE_ASSUME_ROLE_POLICY", RoleName=name, PolicyDocument=json.dumps(aws.irsa_trust())))
    role = value(call(aws, "IAM_GET_ROLE", RoleName=name))["Role"]
    assert json.loads(role["AssumeRolePolicyDocument"]) == aws.irsa_trust() and role["MaxSessionDuration"] == "7200"

    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:DescribeTags", "Resource": "*"}]}
    policy = value(call(aws, "IAM_CREATE_POLICY", PolicyName="own", Path="/cni/", PolicyDocument=json.dumps(allow)))["Policy"]["Arn"]
    allow["Statement"][0]["Action"] = "ec2:DescribeInstances"
    version = value(call(aws, "IAM_CREATE_POLICY_VERSION", PolicyArn=policy, PolicyDocument=json.dumps(allow), SetAsDefault="true"))
    assert version["PolicyVersion"]["VersionId"] == "v2"
    got = value(call(aws, "IAM_GET_POLICY_VERSION", PolicyArn=policy, VersionId="v2"))["PolicyVersion"]["Document"]
    assert json.loads(got) == allow
    assert names(value(call(aws, "IAM_LIST_POLICY_VERSIONS", PolicyArn=policy))["Versions"], "VersionId") == {"v1", "v2"}
    assert value(call(aws, "IAM_GET_POLICY", PolicyArn=policy))["Policy"]["DefaultVersionId"] == "v2"
    value(call(aws, "IAM_PUT_ROLE_BOUNDARY", RoleName=name, PermissionsBoundary=policy))
    value(call(aws, "IAM_ATTACH_ROLE_POLICY", RoleName=name, PolicyArn=policy))
    attached = value(call(aws, "IAM_LIST_ATTACHED_ROLE_POLICIES", RoleName=name))["AttachedPolicies"]
    assert names(attached, "PolicyArn") == {policy}
    assert names(value(call(aws, "IAM_LIST_ENTITIES_FOR_POLICY", PolicyArn=policy, EntityFilter="Role"))["PolicyRoles"], "RoleName")
    assert call(aws, "IAM_DELETE_ROLE", RoleName=name)["error"] == "DeleteConflict"
    value(call(aws, "IAM_DETACH_ROLE_POLICY", RoleName=name, PolicyArn=policy))
    assert call(aws, "IAM_DETACH_ROLE_POLICY", RoleName=name, PolicyArn=policy)["error"] == "NotFound"
    assert not value(call(aws, "IAM_LIST_ROLE_POLICIES", RoleName=name))["PolicyNames"]
    value(call(aws, "IAM_DELETE_ROLE", RoleName=name))
    value(call(aws, "IAM_DELETE_POLICY_VERSION", PolicyArn=policy, VersionId="v1"))
    value(call(aws, "IAM_DELETE_POLICY", PolicyArn=policy))
    value(call(aws, "IAM_DELETE_OIDC_PROVIDER", OpenIDConnectProviderArn=provider))
    for kind, key, name in (("IAM_GET_ROLE", "RoleName", name), ("IAM_GET_POLICY", "PolicyArn", policy),
                            ("IAM_GET_OIDC_PROVIDER", "OpenIDConnectProviderArn", provider)):
        assert call(aws, kind, **{key: name})["error"] == "NotFound"


def test_inline_policies(aws):
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::a+b/*"}]}
    aws.put_inline_policy(aws.node_role, "inline+1", document)
    assert value(call(aws, "IAM_LIST_ROLE_POLICIES", RoleName=aws.node_role))["PolicyNames"] == ["inline+1"]
    got = value(call(aws, "IAM_GET_ROLE_POLICY", RoleName=aws.node_role, PolicyName="inline+1"))
    assert json.loads(got["PolicyDocument"]) == document


def test_simulation(aws):
    answer = call(aws, "IAM_SIMULATE_PRINCIPAL_POLICY", PolicySourceArn=f"arn:aws:iam::{aws.account}:role/{aws.node_role}",
                  ActionNames__member__1="ec2:DescribeInstances", ActionNames__member__2="iam:CreateUser")
    if aws.kind == "moto":
        assert answer["error"] == "Forbidden", answer
        return
    results = {r["EvalActionName"]: r["EvalDecision"] for r in value(answer)["EvaluationResults"]}
    assert results == {"ec2:DescribeInstances": "allowed", "iam:CreateUser": "implicitDeny"}


def test_pages(aws):
    for n in range(7):
        aws.create_role(f"page-{n}", trust("ec2.amazonaws.com"), path="/pages/")
    roles = value(call(aws, "IAM_LIST_ROLES", PathPrefix="/pages/", MaxItems="3"))["Roles"]
    assert names(roles, "RoleName") == {f"page-{n}" for n in range(7)} and len(roles) == 7


def test_faults_on_the_way(aws):
    with_rule = aws.proxy.fault("throttled", action="GetRole", times=1)
    value(call(aws, "IAM_GET_ROLE", RoleName=aws.node_role))
    with_rule.remove()
    rule = aws.proxy.fault("lost", action="AttachRolePolicy", when="after", times=1)
    answer = call(aws, "IAM_ATTACH_ROLE_POLICY", RoleName="page-0", PolicyArn=CNI_POLICY)
    rule.remove()
    assert answer["error"] in ("Lost", "Timeout"), answer
    assert names(value(call(aws, "IAM_LIST_ATTACHED_ROLE_POLICIES", RoleName="page-0"))["AttachedPolicies"], "PolicyArn") == {CNI_POLICY}


def test_wrong_keys(aws):
    if aws.kind == "moto":
        pytest.skip("moto does not check signatures")
    env = aws.env() | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    assert call(aws, "IAM_GET_ROLE", RoleName=aws.node_role, env=env)["error"] == "Unauthorized"
    env = {k: v for k, v in aws.env().items() if "KEY" not in k and "PROFILE" not in k}
    assert call(aws, "IAM_GET_ROLE", RoleName=aws.node_role, env=env)["error"] == "NoCredentials"


def test_proof(aws, tmp_path):
    """A token of the ServiceAccount becomes credentials of the role, and EC2 says what they may do."""
    token = tmp_path / "token"
    token.write_text(aws.mint_token())
    aws.create_provider()
    role = aws.create_role("proved", aws.irsa_trust())
    arn = f"arn:aws:iam::{aws.account}:role/proved"
    prove = {"RoleArn": arn, "Namespace": "kube-system", "ServiceAccount": "aws-node", "Audience": "sts.amazonaws.com", "Region": aws.region}
    if aws.kind != "moto":
        assert value(call(aws, "PROVE_ROLE", token=token, **prove)) == {
            "assumed": True, "ec2": {"DescribeInstances": "denied", "DescribeNetworkInterfaces": "denied"}}, role
    aws.attach("proved", CNI_POLICY)
    assert value(call(aws, "PROVE_ROLE", token=token, **prove)) == {
        "assumed": True, "ec2": {"DescribeInstances": "allowed", "DescribeNetworkInterfaces": "allowed"}}
    aws.delete_provider()
    assert call(aws, "PROVE_ROLE", token=token, **prove)["error"] == "IdentityToken"
