"""That the AWS side of the test bed does what the suites rely on: on both emulators, through the proxy, with the credentials
of the operator where it matters."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import botocore.exceptions
import pytest

from . import awsworld, controlplane
from .awsproxy import AwsError, Call, Credentials, Query, error_response, parse_args
from .awsworld import CNI_POLICY, AwsWorld
from .controlplane import ControlPlane, wait_until
from .watcher import Watcher, identity_of

HERE = Path(__file__).resolve().parent

TAGS_ONLY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:DescribeTags", "Resource": "*"}]}


def _programs() -> dict[str, str]:
    where = subprocess.run([HERE / "build", "--where"], check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in where.splitlines())


# Who may do so much and no more, by resource and condition.
NARROW = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["iam:GetRole", "iam:ListAttachedRolePolicies", "iam:SimulatePrincipalPolicy",
                                   "ec2:DescribeInstances", "eks:DescribeCluster", "eks:DescribeAddon"], "Resource": "*"},
    {"Effect": "Allow", "Action": "iam:CreateRole", "Resource": "arn:${PARTITION}:iam::${ACCOUNT_ID}:role/cni/*",
     "Condition": {"StringEquals": {"aws:RequestTag/managed-by": "cni-iam"}}},
    {"Effect": "Allow", "Action": ["iam:DeleteRole", "iam:UpdateAssumeRolePolicy"],
     "Resource": "arn:${PARTITION}:iam::${ACCOUNT_ID}:role/cni/*",
     "Condition": {"StringEquals": {"aws:ResourceTag/managed-by": "cni-iam", "made:up/key": "x"}}},
    {"Effect": "Allow", "Action": ["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
     "Resource": "arn:${PARTITION}:iam::${ACCOUNT_ID}:role/*",
     "Condition": {"ArnEquals": {"iam:PolicyARN": CNI_POLICY}}},
    {"Effect": "Allow", "Action": ["iam:CreateOpenIDConnectProvider", "iam:GetOpenIDConnectProvider",
                                   "iam:TagOpenIDConnectProvider"],
     "Resource": "arn:${PARTITION}:iam::${ACCOUNT_ID}:oidc-provider/oidc.eks.${REGION}.amazonaws.com/*"},
    {"Effect": "Allow", "Action": "iam:DeleteOpenIDConnectProvider", "Resource": "*",
     "Condition": {"StringEquals": {"aws:ResourceTag/managed-by": "cni-iam"}}},
    {"Effect": "Allow", "Action": "iam:GetInstanceProfile", "Resource": "arn:aws:iam::${ACCOUNT_ID}:instance-profile/eks-*"},
    {"Effect": "Allow", "Action": "iam:CreatePolicy", "Resource": "arn:aws:iam::${ACCOUNT_ID}:policy/cni/*"},
    {"Effect": "Allow", "Action": "eks:DescribeNodegroup",
     "Resource": "arn:aws:eks:${REGION}:${ACCOUNT_ID}:nodegroup/${CLUSTER_NAME}/*"},
    {"Effect": "Allow", "Action": "ec2:CreateNetworkInterface", "Resource": "*"},
]}


@pytest.fixture(scope="module", params=awsworld.KINDS)
def aws(request):
    with AwsWorld(request.param) as world:
        yield world


@pytest.fixture(scope="module")
def ministack():
    with AwsWorld("ministack", operator_policy=NARROW, drop_conditions=("made:up/",)) as world:
        yield world


@pytest.fixture(autouse=True)
def no_rules(request):
    yield
    for name in ("aws", "ministack"):
        if name in request.fixturenames:
            proxy = request.getfixturevalue(name).proxy
            proxy.clear()
            proxy.latency = 0.0


def operator(world: AwsWorld, service: str):
    """A client with the operator's key, through the recording side."""
    return world.client(service, world.operator, recorded=True)


def code(function, *args, **kwargs) -> tuple[str, int]:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        function(*args, **kwargs)
    answer = raised.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def unsigned(world: AwsWorld, action: str, endpoint: str = "", **params: str):
    """A raw, unsigned call of STS; raises AwsError."""
    return Query(endpoint or world.endpoint, world.region)("sts", action, None, **params)


_numbers = iter(range(10**6))


def fresh(prefix: str) -> str:
    return f"{prefix}-{next(_numbers)}"


# -------------------------------------------------------------------------------------------------------------- seeding


def test_seed(aws: AwsWorld):
    assert re.fullmatch(r"https://oidc\.eks\.us-west-2\.amazonaws\.com/id/[0-9A-F]{32}", aws.issuer)
    assert aws.node_role_policies() == sorted([*awsworld.NODE_POLICIES, CNI_POLICY])
    assert aws.providers() == {}
    eks = operator(aws, "eks")
    cluster = eks.describe_cluster(name="prod")["cluster"]
    assert cluster["identity"]["oidc"]["issuer"] == aws.issuer
    assert cluster["arn"] == "arn:aws:eks:us-west-2:111122223333:cluster/prod"
    assert cluster["status"] == "ACTIVE" and cluster["kubernetesNetworkConfig"]["ipFamily"] == "ipv4"
    assert "computeConfig" not in cluster
    assert eks.list_nodegroups(clusterName="prod")["nodegroups"] == ["default"]
    group = eks.describe_nodegroup(clusterName="prod", nodegroupName="default")["nodegroup"]
    assert group["nodeRole"] == "arn:aws:iam::111122223333:role/eks-node"
    assert operator(aws, "sts").get_caller_identity()["Arn"] == "arn:aws:iam::111122223333:user/cni-iam-operator"


def test_nodes_lead_to_their_role(aws: AwsWorld):
    arn = aws.add_node_role(name := fresh("pathed"), path="/nodes/", cni_policy=False)
    assert arn == f"arn:aws:iam::111122223333:role/nodes/{name}"
    provider_id = aws.add_instance(name, cluster="other")
    assert re.fullmatch(r"aws:///us-west-2a/i-[0-9a-f]{17}", provider_id) and provider_id in aws.provider_ids
    ec2, iam = operator(aws, "ec2"), operator(aws, "iam")
    instance_id = provider_id.rsplit("/", 1)[-1]
    instance = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    assert instance["State"]["Name"] == "running"
    assert {"Key": "eks:cluster-name", "Value": "other"} in instance["Tags"]
    profile = instance["IamInstanceProfile"]["Arn"]
    assert profile == f"arn:aws:iam::111122223333:instance-profile/nodes/{name}"
    assert [role["Arn"] for role in iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]] == [arn]
    assert [each["InstanceProfileName"] for each in
            iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]] == [name]
    associations = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance_id]}])["IamInstanceProfileAssociations"]
    assert [each["IamInstanceProfile"]["Arn"] for each in associations] == [profile]
    # Who else has the profile: that instance alone, and nobody of a profile that there is not.
    def having(arn: str) -> list[str]:
        pages = ec2.describe_instances(Filters=[{"Name": "iam-instance-profile.arn", "Values": [arn]},
                                                {"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
        return [instance["InstanceId"] for page in pages for instance in page["Instances"]]
    assert having(profile) == [instance_id]
    assert having(profile + "x") == []
    assert code(ec2.describe_instances, InstanceIds=["i-0123456789abcdef0"]) == ("InvalidInstanceID.NotFound", 400)
    aws.terminate_instance(provider_id)
    assert having(profile) == [] and provider_id not in aws.provider_ids


def test_state_is_complete(aws: AwsWorld):
    before = aws.state()
    policy = aws.create_policy(fresh("own"), {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ec2:AssignIpv6Addresses", "Resource": "*"}]})
    name = fresh("role")
    aws.create_role(name, aws.irsa_trust(), tags={"a": "1"}, policies=(policy,))
    aws.put_inline_policy(name, "inline", TAGS_ONLY)
    aws.create_provider(tags={"b": "2"})
    state = aws.state()
    assert state["roles"].pop(name) == {
        "arn": f"arn:aws:iam::111122223333:role/{name}", "path": "/", "trust": aws.irsa_trust(), "description": "",
        "max_session": 3600, "boundary": None, "tags": {"a": "1"}, "attached": [policy],
        "inline": {"inline": TAGS_ONLY}}
    assert state["policies"].pop(policy)["document"]["Statement"][0]["Action"] == "ec2:AssignIpv6Addresses"
    provider = state["providers"].pop(aws.provider_arn())
    # AWS gives the URL without its scheme, and finds the thumbprint by itself.
    assert provider == {"url": aws.issuer.removeprefix("https://"), "client_ids": ["sts.amazonaws.com"],
                        "thumbprints": [provider["thumbprints"][0]], "tags": {"b": "2"}}
    assert re.fullmatch("[0-9a-f]{40}", provider["thumbprints"][0])
    assert state == before
    aws.delete_role(name)
    aws.delete_provider()
    aws.client("iam").delete_policy(PolicyArn=policy)
    assert aws.state() == before and aws.role(name) is None


def test_environment_is_enough_for_an_sdk(aws: AwsWorld):
    script = ("import boto3; print(boto3.client('sts').get_caller_identity()['Arn']);"
              "print(boto3.client('eks').describe_cluster(name='prod')['cluster']['name'])")
    out = subprocess.run([sys.executable, "-c", script], env=aws.env(PATH=""), capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["arn:aws:iam::111122223333:user/cni-iam-operator", "prod"]
    assert aws.env()["AWS_EC2_METADATA_DISABLED"] == "true"


def test_stop_leaves_nothing():
    world = AwsWorld("ministack").start()
    pid, folder = world.process.pid, world.dir
    world.stop()
    world.stop()
    assert not Path(f"/proc/{pid}").exists()
    # Where a test has failed before, the logs are kept.
    assert not folder.exists() or controlplane._failed
    with pytest.raises(OSError):
        http.client.HTTPConnection(urllib.parse.urlsplit(world.endpoint).netloc, timeout=2).request("GET", "/")


def alive(pid: int) -> bool:
    # Whose parent is gone may stay a zombie where nobody collects them.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_dies_with_its_parent(tmp_path: Path):
    script = ("import os, signal, sys; from testbed.awsworld import AwsWorld; w = AwsWorld('ministack').start();"
              "print(w.process.pid, w.dir, flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          env={"PYTHONPATH": str(HERE.parent), "PATH": "/usr/bin:/bin"})
    pid, folder = done.stdout.split()
    wait_until(lambda: not alive(int(pid)), 5, "the emulator has ended")
    shutil.rmtree(folder)


# ------------------------------------------------------------------------------------------------------- what is restated


def test_clusters_of_other_kinds(aws: AwsWorld):
    six, auto = fresh("six"), fresh("auto")
    assert aws.add_cluster(six, ip_family="ipv6") != aws.issuer
    aws.add_cluster(auto, auto_mode=True)
    eks = operator(aws, "eks")
    network = eks.describe_cluster(name=six)["cluster"]["kubernetesNetworkConfig"]
    assert network["ipFamily"] == "ipv6" and network["serviceIpv6Cidr"] and "serviceIpv4Cidr" not in network
    assert eks.describe_cluster(name=auto)["cluster"]["computeConfig"]["enabled"] is True
    aws.restate_cluster({"identity": {"oidc": None}, "status": "UPDATING"}, six)
    cluster = eks.describe_cluster(name=six)["cluster"]
    assert cluster["identity"] == {} and cluster["status"] == "UPDATING"
    assert code(eks.describe_cluster, name="none") == ("ResourceNotFoundException", 404)


def test_addons(aws: AwsWorld):
    eks = operator(aws, "eks")
    aws.add_cluster(cluster := fresh("addons"))
    assert code(eks.describe_addon, clusterName=cluster, addonName="vpc-cni") == ("ResourceNotFoundException", 404)
    assert code(eks.describe_addon, clusterName="none", addonName="vpc-cni") == ("ResourceNotFoundException", 404)
    aws.put_addon("vpc-cni", "arn:aws:iam::111122223333:role/x", cluster)
    addon = eks.describe_addon(clusterName=cluster, addonName="vpc-cni")["addon"]
    assert addon["serviceAccountRoleArn"].endswith("role/x") and addon["status"] == "ACTIVE"
    assert eks.list_addons(clusterName=cluster)["addons"] == ["vpc-cni"]


def test_pod_identity_associations(aws: AwsWorld):
    eks = operator(aws, "eks")
    aws.add_cluster(cluster := fresh("associations"))
    assert eks.list_pod_identity_associations(clusterName=cluster)["associations"] == []
    assert code(eks.list_pod_identity_associations, clusterName="none") == ("ResourceNotFoundException", 404)
    aws.put_pod_identity_association("arn:aws:iam::111122223333:role/eks-node", cluster=cluster)
    listed = eks.list_pod_identity_associations(clusterName=cluster, namespace="kube-system", serviceAccount="aws-node")
    association, = listed["associations"]
    assert "roleArn" not in association
    found = eks.describe_pod_identity_association(clusterName=cluster, associationId=association["associationId"])
    assert found["association"]["roleArn"].endswith("role/eks-node")
    assert eks.list_pod_identity_associations(clusterName=cluster, serviceAccount="other")["associations"] == []


def test_access_entries_and_node_groups(aws: AwsWorld):
    eks = operator(aws, "eks")
    aws.add_cluster(cluster := fresh("entries"))
    arn = "arn:aws:iam::111122223333:role/eks-node"
    before = eks.list_access_entries(clusterName=cluster)["accessEntries"]
    assert arn not in before
    assert code(eks.describe_access_entry, clusterName=cluster, principalArn=arn) == ("ResourceNotFoundException", 404)
    aws.put_access_entry(arn, cluster=cluster)
    assert set(eks.list_access_entries(clusterName=cluster)["accessEntries"]) == {*before, arn}
    assert eks.describe_access_entry(clusterName=cluster, principalArn=arn)["accessEntry"]["type"] == "EC2_LINUX"
    assert code(eks.list_nodegroups, clusterName="none") == ("ResourceNotFoundException", 404)
    assert code(eks.describe_nodegroup, clusterName=cluster, nodegroupName="none") == ("ResourceNotFoundException", 404)


def test_provider_operations(aws: AwsWorld):
    iam = operator(aws, "iam")
    arn = aws.create_provider(issuer := f"https://example.org/{fresh('id')}", tags={"a": "1", "b": "2"})
    for _ in range(2):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="second")
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=[{"Key": "b", "Value": "3"}])
    iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=["a"])
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["a" * 40])
    assert aws.providers()[arn] == {"url": issuer.removeprefix("https://"), "client_ids": ["second", "sts.amazonaws.com"],
                                    "thumbprints": ["a" * 40], "tags": {"b": "3"}}
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="second")
    assert aws.providers()[arn]["client_ids"] == ["sts.amazonaws.com"]
    assert code(iam.create_open_id_connect_provider, Url=issuer) == ("EntityAlreadyExists", 409)
    aws.delete_provider(issuer)
    assert code(iam.add_client_id_to_open_id_connect_provider, OpenIDConnectProviderArn=arn, ClientID="x") == (
        "NoSuchEntity", 404)
    assert code(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn) == ("NoSuchEntity", 404)
    # A new one of that name begins anew.
    aws.create_provider(issuer)
    assert aws.providers()[arn]["tags"] == {} and aws.providers()[arn]["thumbprints"] != ["a" * 40]
    aws.delete_provider(issuer)


def test_tokens_are_checked_against_the_provider(aws: AwsWorld):
    issuer = f"https://oidc.eks.us-west-2.amazonaws.com/id/{fresh('T')}"
    arn = aws.create_role(fresh("web"), aws.irsa_trust(issuer=issuer))

    def assume(token: str) -> str:
        try:
            answer = unsigned(aws, "AssumeRoleWithWebIdentity", RoleArn=arn, RoleSessionName="test", WebIdentityToken=token)
        except AwsError as error:
            assert error.status == 400
            return f"{error.code}: {error.message}"
        return answer.findtext(".//AssumedRoleUser/Arn")

    token = aws.mint_token(issuer=issuer)
    assert assume(token) == f"InvalidIdentityToken: No OpenIDConnect provider found in your account for {issuer}"
    aws.create_provider(issuer, client_ids=("other",))
    assert assume(token) == "InvalidIdentityToken: Incorrect token audience"
    aws.client("iam").add_client_id_to_open_id_connect_provider(
        OpenIDConnectProviderArn=aws.provider_arn(issuer), ClientID="sts.amazonaws.com")
    assert assume(token).endswith("/test")
    assert assume(aws.mint_token(issuer=issuer, expiration_seconds=-1)).startswith("ExpiredTokenException: ")
    assert assume("no.token").startswith("InvalidIdentityToken: The ID Token provided is not a valid JWT")
    aws.delete_provider(issuer)
    assert assume(token).startswith("InvalidIdentityToken: No OpenIDConnect provider")
    call = aws.proxy.calls(action="AssumeRoleWithWebIdentity")[-1]
    assert call.args["WebIdentityToken"] == "(left out)" and call.access_key == "" and call.args["RoleArn"] == arn
    assert token.encode() not in aws.record.read_bytes()


def test_token_signatures_can_be_checked(tmp_path: Path):
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    with AwsWorld("ministack", token_key=key) as world:
        world.create_provider()
        arn = world.create_role("web", world.irsa_trust())
        good = world.mint_token()
        world.token_key, world._own_key = None, None
        forged = world.mint_token()
        params = {"RoleArn": arn, "RoleSessionName": "test"}
        unsigned(world, "AssumeRoleWithWebIdentity", WebIdentityToken=good, **params)
        with pytest.raises(AwsError, match="InvalidIdentityToken: Couldn't retrieve verification key"):
            unsigned(world, "AssumeRoleWithWebIdentity", WebIdentityToken=forged, **params)


def test_trust_policy_limit(aws: AwsWorld):
    iam = operator(aws, "iam")
    base = json.dumps(awsworld.trust("ec2.amazonaws.com"), separators=(",", ":"))

    def padded(length: int) -> str:
        return base + " " * (length - len(base))

    name = fresh("long")
    assert code(iam.create_role, RoleName=name, AssumeRolePolicyDocument=padded(2049)) == ("LimitExceeded", 409)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=padded(2048))
    assert code(iam.update_assume_role_policy, RoleName=name, PolicyDocument=padded(2049)) == ("LimitExceeded", 409)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=padded(2048))


def test_policies_that_are_not_there_or_in_use(aws: AwsWorld):
    iam = operator(aws, "iam")
    iam.create_role(RoleName=(name := fresh("r")), AssumeRolePolicyDocument=json.dumps(aws.irsa_trust()))
    for arn in (f"{awsworld.MANAGED}/NoSuchPolicy", "arn:aws:iam::111122223333:policy/none"):
        assert code(iam.attach_role_policy, RoleName=name, PolicyArn=arn) == ("NoSuchEntity", 404)
        assert code(iam.get_policy, PolicyArn=arn) == ("NoSuchEntity", 404)
    assert code(iam.detach_role_policy, RoleName=name, PolicyArn=CNI_POLICY) == ("NoSuchEntity", 404)
    arn = iam.create_policy(PolicyName=fresh("p"), PolicyDocument=json.dumps(TAGS_ONLY))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    assert code(iam.delete_policy, PolicyArn=arn) == ("DeleteConflict", 409)
    assert [each["RoleName"] for each in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]] == [name]
    assert code(iam.delete_role, RoleName=name) == ("DeleteConflict", 409)
    iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(TAGS_ONLY), SetAsDefault=True)
    assert code(iam.delete_policy, PolicyArn=arn) == ("DeleteConflict", 409)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)


def test_every_call_of_the_operator_is_answered_in_its_form(aws: AwsWorld):
    """Nothing that it may ask is answered by HTML or by a crash of the emulator."""
    iam = operator(aws, "iam")
    aws.proxy.forget()
    name = fresh("all")
    iam.create_role(RoleName=name, Path="/cni/", AssumeRolePolicyDocument=json.dumps(aws.irsa_trust()), Description="d",
                    MaxSessionDuration=7200, Tags=[{"Key": "a", "Value": "1"}])
    iam.tag_role(RoleName=name, Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_role(RoleName=name, TagKeys=["a"])
    iam.update_role(RoleName=name, Description="e", MaxSessionDuration=3600)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(aws.irsa_trust()))
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=CNI_POLICY)
    iam.attach_role_policy(RoleName=name, PolicyArn=CNI_POLICY)
    iam.attach_role_policy(RoleName=name, PolicyArn=CNI_POLICY)
    role = aws.role(name)
    assert (role["path"], role["tags"], role["description"], role["boundary"], role["attached"]) == (
        "/cni/", {"b": "2"}, "e", CNI_POLICY, [CNI_POLICY])
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == []
    aws.put_inline_policy(name, "in", TAGS_ONLY)
    assert iam.get_role_policy(RoleName=name, PolicyName="in")["PolicyDocument"]
    assert name in [each["RoleName"] for each in iam.list_roles(PathPrefix="/cni/")["Roles"]]
    version = iam.get_policy(PolicyArn=CNI_POLICY)["Policy"]["DefaultVersionId"]
    found = awsworld.document(iam.get_policy_version(PolicyArn=CNI_POLICY, VersionId=version)["PolicyVersion"]["Document"])
    assert "ec2:AssignPrivateIpAddresses" in found["Statement"][0]["Action"]
    assert iam.list_policy_versions(PolicyArn=CNI_POLICY)["Versions"]
    try:
        results = iam.simulate_principal_policy(
            PolicySourceArn=role["arn"], ActionNames=["ec2:AssignPrivateIpAddresses", "ec2:RunInstances"])
        assert [each["EvalDecision"] for each in results["EvaluationResults"]] == ["allowed", "implicitDeny"]
    except botocore.exceptions.ClientError as error:
        assert aws.kind == "moto" and error.response["Error"]["Code"] == "AccessDenied"
    iam.detach_role_policy(RoleName=name, PolicyArn=CNI_POLICY)
    aws.delete_role(name)
    assert code(iam.get_role, RoleName=name) == ("NoSuchEntity", 404)
    assert operator(aws, "sts").get_caller_identity()["Account"] == "111122223333"
    assert all(call.status in (200, 403, 404) for call in aws.proxy.calls())


def test_unknown_calls(aws: AwsWorld):
    with pytest.raises(AwsError) as raised:
        Query(aws.endpoint, aws.region)("iam", "NoSuchThing", aws.operator)
    assert (raised.value.code, raised.value.status) == ("InvalidAction", 400)


def test_dry_run_changes_nothing(aws: AwsWorld):
    ec2 = operator(aws, "ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    before = len(ec2.describe_network_interfaces()["NetworkInterfaces"])
    assert code(ec2.create_network_interface, SubnetId=subnet, DryRun=True) == ("DryRunOperation", 412)
    assert code(ec2.describe_instances, DryRun=True) == ("DryRunOperation", 412)
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == before
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    assert code(ec2.delete_network_interface, NetworkInterfaceId=interface, DryRun=True) == ("DryRunOperation", 412)
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == before + 1
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    calls = aws.proxy.calls(action="*NetworkInterface")
    assert [call.is_write for call in calls[-4:]] == [False, True, False, True]


# ------------------------------------------------------------------------------------------------ ministack's enforcement


def test_the_shipped_policy_is_what_counts(ministack: AwsWorld):
    """Resources with paths, tags and policy ARNs of a policy are evaluated, as the operator's own will be."""
    iam, ec2, eks = operator(ministack, "iam"), operator(ministack, "ec2"), operator(ministack, "eks")
    denied = ("AccessDenied", 403)
    trust = json.dumps(ministack.irsa_trust())
    ours = [{"Key": "managed-by", "Value": "cni-iam"}]
    name = fresh("n")
    assert code(iam.create_role, RoleName=name, AssumeRolePolicyDocument=trust, Tags=ours) == denied
    assert code(iam.create_role, RoleName=name, Path="/cni/", AssumeRolePolicyDocument=trust) == denied
    iam.create_role(RoleName=name, Path="/cni/", AssumeRolePolicyDocument=trust, Tags=ours)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    assert code(iam.tag_role, RoleName=name, Tags=ours) == denied
    iam.attach_role_policy(RoleName=name, PolicyArn=CNI_POLICY)
    assert code(iam.attach_role_policy, RoleName=name, PolicyArn=awsworld.NODE_POLICIES[0]) == denied
    iam.detach_role_policy(RoleName=name, PolicyArn=CNI_POLICY)
    ministack.create_role(foreign := fresh("foreign"), ministack.irsa_trust(), path="/cni/", tags={"managed-by": "me"})
    assert code(iam.delete_role, RoleName=foreign) == denied
    iam.delete_role(RoleName=name)

    issuer = f"https://oidc.eks.us-west-2.amazonaws.com/id/{fresh('P')}"
    arn = iam.create_open_id_connect_provider(Url=issuer, ClientIDList=["sts.amazonaws.com"])["OpenIDConnectProviderArn"]
    assert code(iam.create_open_id_connect_provider, Url="https://example.org", ClientIDList=["x"]) == denied
    assert code(iam.delete_open_id_connect_provider, OpenIDConnectProviderArn=arn) == denied
    assert code(iam.add_client_id_to_open_id_connect_provider, OpenIDConnectProviderArn=arn, ClientID="x") == denied
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=ours)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert code(iam.list_open_id_connect_providers) == denied

    iam.get_instance_profile(InstanceProfileName="eks-node")
    assert code(iam.get_instance_profile, InstanceProfileName="other") == denied
    iam.create_policy(PolicyName=fresh("p"), Path="/cni/", PolicyDocument=json.dumps(TAGS_ONLY))
    assert code(iam.create_policy, PolicyName=fresh("p"), PolicyDocument=json.dumps(TAGS_ONLY)) == denied
    eks.describe_nodegroup(clusterName="prod", nodegroupName="default")
    assert code(eks.list_nodegroups, clusterName="prod") == ("AccessDeniedException", 403)

    subnet = ministack.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    assert code(ec2.create_network_interface, SubnetId=subnet, DryRun=True) == ("DryRunOperation", 412)
    assert code(ec2.delete_network_interface, NetworkInterfaceId="eni-0", DryRun=True) == ("UnauthorizedOperation", 403)
    assert ministack.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []


def test_signatures_are_checked(ministack: AwsWorld):
    wrong = Credentials(ministack.operator.access_key, "wrong")
    for credentials, expected in ((wrong, "SignatureDoesNotMatch"),
                                  (Credentials("AKIAUNKNOWN000000000", "x"), "InvalidClientTokenId")):
        with pytest.raises(AwsError) as raised:
            Query(ministack.endpoint, ministack.region)("iam", "GetRole", credentials, RoleName="eks-node")
        assert (raised.value.code, raised.value.status) == (expected, 403)
    # Signed for the proxy's own name and port, and for no other.
    query = Query(ministack.endpoint, ministack.region)
    query("iam", "GetRole", ministack.operator, RoleName="eks-node")
    query.netloc = "127.0.0.1:1"
    headers = query._signature("iam", {"host": query.netloc}, b"", ministack.operator)
    answer = query.connection.request(
        "POST", "/", [("host", urllib.parse.urlsplit(ministack.endpoint).netloc), *headers.items()], b"")
    assert answer.status == 403


def test_operator_policy_can_be_taken_away(ministack: AwsWorld):
    kept = awsworld.document(ministack.policies()[ministack.operator_policy_arn]["document"])
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    iam = operator(ministack, "iam")
    ministack.set_operator_policy(nothing)
    assert code(iam.get_role, RoleName="eks-node") == ("AccessDenied", 403)
    ministack.set_operator_policy(kept)
    iam.get_role(RoleName="eks-node")


def test_conditions_and_values_of_the_policy(ministack: AwsWorld):
    text = json.dumps(ministack.policies()[ministack.operator_policy_arn]["document"])
    assert "made:up" not in text and "${" not in text and "arn:aws:iam::111122223333:role/cni/*" in text
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "a", "Resource": "*", "Condition": {
        "StringEquals": {"X:Y": "1"}}}]}
    assert "Condition" not in awsworld.without_conditions(policy, ("x:y",))["Statement"][0]
    assert awsworld.without_conditions(policy, ("x:",)) == policy


# --------------------------------------------------------------------------------------------------------------- records


def test_record(aws: AwsWorld):
    aws.proxy.forget()
    iam, eks, ec2 = operator(aws, "iam"), operator(aws, "eks"), operator(aws, "ec2")
    name = fresh("recorded")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(aws.irsa_trust()),
                    Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    code(iam.get_role, RoleName="none")
    eks.describe_cluster(name="prod")
    ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running", "pending"]}])
    aws.client("iam").get_role(RoleName=name)
    calls = aws.proxy.calls()
    assert [str(call) for call in calls] == [
        f"iam:CreateRole {name} 200", "iam:GetRole none 404 NoSuchEntity", "eks:DescribeCluster prod 200",
        "ec2:DescribeInstances 200"]
    assert [call.is_write for call in calls] == [True, False, False, False]
    assert [call.committed for call in calls] == [True, False, True, True]
    assert calls[0].args["Tags"] == {"a": "1", "b": ""} and json.loads(calls[0].args["AssumeRolePolicyDocument"])
    assert calls[3].args["Filter"] == {"instance-state-name": ["running", "pending"]}
    assert {call.caller for call in calls} == {"operator"} and calls[0].access_key == aws.operator.access_key
    assert aws.proxy.calls(writes=True) == calls[:1] and aws.proxy.calls(action="Get*") == calls[1:2]
    assert aws.proxy.calls(since=calls[2].time) == calls[2:] and aws.proxy.calls(service="ec2") == calls[3:]
    assert aws.proxy.counts(service="iam") == {"iam:CreateRole": 1, "iam:GetRole": 1}
    lines = [json.loads(line) for line in aws.record.read_text().splitlines()[-4:]]
    assert [line["action"] for line in lines] == ["CreateRole", "GetRole", "DescribeCluster", "DescribeInstances"]
    assert lines[1] | {"t": 0, "ms": 0, "n": 0, "ua": ""} == {
        "n": 0, "t": 0, "service": "iam", "action": "GetRole", "args": {"RoleName": "none"}, "key": aws.operator.access_key,
        "caller": "operator", "ua": "", "status": 404, "code": "NoSuchEntity", "committed": False, "ms": 0}
    assert "botocore" in lines[1]["ua"].lower()


def test_record_names_sessions(ministack: AwsWorld):
    ministack.create_provider(issuer := f"https://example.org/{fresh('s')}")
    arn = ministack.create_role(name := fresh("session"), ministack.irsa_trust(issuer=issuer), policies=(CNI_POLICY,))
    answer = unsigned(ministack, "AssumeRoleWithWebIdentity", RoleArn=arn, RoleSessionName="proof",
                      WebIdentityToken=ministack.mint_token(issuer=issuer))
    credentials = Credentials(*(answer.findtext(f".//{each}") for each in
                                         ("AccessKeyId", "SecretAccessKey", "SessionToken")))
    with pytest.raises(AwsError, match="DryRunOperation"):
        Query(ministack.endpoint, ministack.region)("ec2", "DescribeInstances", credentials, DryRun="true")
    assert ministack.proxy.calls(action="DescribeInstances")[-1].caller == f"assumed-role/{name}/proof"
    assert credentials.secret_key not in ministack.record.read_text()


def test_lists_are_folded():
    assert parse_args([("Action", "X"), ("ClientIDList.member.2", "b"), ("ClientIDList.member.1", "a"), ("RoleName", "r"),
                       ("Tags.member.1.Key", "k"), ("Tags.member.1.Value", "v"), ("InstanceId.1", "i-1"),
                       ("Filter.1.Name", "n"), ("Filter.1.Value.1", "x"), ("Filter.1.Value.2", "y")]) == {
        "ClientIDList": ["a", "b"], "RoleName": "r", "Tags": {"k": "v"}, "InstanceId": ["i-1"], "Filter": {"n": ["x", "y"]}}


# ---------------------------------------------------------------------------------------------------------------- faults


@pytest.fixture
def attach(aws: AwsWorld):
    """A write, and whether it is in force."""
    aws.create_role(name := fresh("faulty"), aws.irsa_trust())
    iam = operator(aws, "iam")

    class Attach:
        def __call__(self):
            return iam.attach_role_policy(RoleName=name, PolicyArn=CNI_POLICY)

        @property
        def done(self) -> bool:
            return aws.node_role_policies(name) == [CNI_POLICY]

    return Attach()


@pytest.mark.parametrize("when", ["before", "after"])
def test_lost(aws: AwsWorld, attach, when: str):
    rule = aws.proxy.fault("lost", action="AttachRolePolicy", when=when, times=1)
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        attach()
    assert attach.done == (when == "after")
    call, = rule.hits
    assert call.fault == f"lost {when}" and call.committed == (when == "after")
    attach()
    assert attach.done and len(rule.hits) == 1


@pytest.mark.parametrize("kind, iam, ec2, eks", [
    ("throttled", ("Throttling", 400), ("RequestLimitExceeded", 503), ("ThrottlingException", 429)),
    ("denied", ("AccessDenied", 403), ("UnauthorizedOperation", 403), ("AccessDeniedException", 403)),
    ("unavailable", ("ServiceUnavailable", 503), ("Unavailable", 503), ("ServiceUnavailableException", 503)),
    ("internal", ("ServiceFailure", 500), ("InternalError", 500), ("ServerException", 500)),
])
def test_errors_of_each_service(aws: AwsWorld, attach, kind: str, iam, ec2, eks):
    aws.proxy.fault(kind)
    assert code(attach) == iam and not attach.done
    assert code(operator(aws, "ec2").describe_instances) == ec2
    assert code(operator(aws, "eks").describe_cluster, name="prod") == eks
    aws.proxy.clear()
    aws.proxy.fault(kind, when="after")
    assert code(attach) == iam and attach.done


def test_any_error(aws: AwsWorld, attach):
    aws.proxy.fault("error", code="ConcurrentModification", status=409, message="a < b", action="Attach*")
    with pytest.raises(botocore.exceptions.ClientError, match="a < b"):
        attach()
    assert aws.proxy.calls()[-1].code == "ConcurrentModification"
    aws.proxy.clear()
    aws.proxy.fault("gateway", when="after")
    with pytest.raises((botocore.exceptions.ClientError, botocore.parsers.ResponseParserError)):
        attach()
    assert attach.done and aws.proxy.calls()[-1].status == 502


def test_delayed(aws: AwsWorld, attach):
    for when in ("before", "after"):
        rule = aws.proxy.fault("delayed", ms=400, action="AttachRolePolicy", when=when)
        started = time.monotonic()
        thread = threading.Thread(target=attach)
        thread.start()
        rule.wait()
        time.sleep(0.2)
        assert attach.done == (when == "after")
        thread.join()
        assert 0.4 <= time.monotonic() - started < 3
        rule.remove()
        aws.detach(aws.proxy.calls()[-1].args["RoleName"])
    aws.proxy.latency = 0.1
    started = time.monotonic()
    attach()
    assert time.monotonic() - started >= 0.1


def test_hang(aws: AwsWorld, attach):
    rule = aws.proxy.fault("hang", action="AttachRolePolicy")
    thread = threading.Thread(target=attach)
    thread.start()
    rule.wait()
    time.sleep(0.2)
    assert thread.is_alive() and not attach.done
    rule.remove()
    thread.join(5)
    assert attach.done


@pytest.mark.parametrize("kind", ["garbage", "truncated", "cut", "body"])
def test_mangled_answers(aws: AwsWorld, kind: str):
    aws.proxy.fault(kind, action="AttachRolePolicy", when="after", **({"body": b"<a><b>"} if kind == "body" else {}))
    raw = Query(aws.endpoint, aws.region)
    with pytest.raises((AwsError, http.client.IncompleteRead, OSError)) as raised:
        raw("iam", "AttachRolePolicy", aws.operator, RoleName="eks-node", PolicyArn=CNI_POLICY)
    assert (kind == "cut") == isinstance(raised.value, http.client.IncompleteRead)
    if kind != "cut":
        assert raised.value.status == 200 and raised.value.code == ""
    assert aws.proxy.calls()[-1].committed


def test_which_calls_a_rule_meets(aws: AwsWorld):
    iam = operator(aws, "iam")
    second = aws.proxy.fault("throttled", service="iam", action="GetRole", nth=2)
    chosen = aws.proxy.fault("denied", where=lambda call: call.args.get("RoleName") == "eks-cluster")
    answers = []
    for name in ("eks-node", "eks-node", "eks-node", "eks-cluster"):
        try:
            answers.append(iam.get_role(RoleName=name)["ResponseMetadata"]["HTTPStatusCode"])
        except botocore.exceptions.ClientError as error:
            answers.append(error.response["Error"]["Code"])
    assert answers == [200, "Throttling", 200, "AccessDenied"]
    assert len(second.hits) == len(chosen.hits) == 1
    # What does not go through the recorded side is never met.
    aws.client("iam").get_role(RoleName="eks-cluster")
    with pytest.raises(AssertionError, match="has met 1 calls of 2"):
        chosen.wait(0.05, hits=2)
    with pytest.raises(ValueError):
        aws.proxy.fault("broken")


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_at_a_write(aws: AwsWorld, tmp_path: Path, when: str):
    """As the operator will be killed: the process is dead before its nth write is seen by AWS, or right after."""
    roles = [fresh("killed") for _ in range(3)]
    script = ("import boto3, sys; iam = boto3.client('iam');\n"
              "for name in sys.argv[1:]:\n"
              "    iam.list_roles(); iam.create_role(RoleName=name, AssumeRolePolicyDocument='%s')" %
              json.dumps(awsworld.trust("ec2.amazonaws.com")))
    process = subprocess.Popen([sys.executable, "-c", script, *roles], env=aws.env(PATH=""), stderr=subprocess.DEVNULL)

    def kill(_: Call) -> None:
        process.kill()
        process.wait()

    rule = aws.proxy.at_write(2, kill, when)
    assert process.wait(30) == -9
    call, = rule.wait()
    assert call.action == "CreateRole" and call.args["RoleName"] == roles[1]
    time.sleep(0.1)
    assert [aws.role(name) is not None for name in roles] == [True, when == "after", False]
    assert call.fault == f"lost {when}"


def test_hooks_and_observers(aws: AwsWorld, attach):
    seen = []
    aws.proxy.hook(lambda call: seen.append(("before", attach.done)), action="AttachRolePolicy")
    aws.proxy.hook(lambda call: seen.append(("after", attach.done)), action="AttachRolePolicy", when="after")
    aws.proxy.observers.append(lambda call: seen.append(("observed", call.action)))
    try:
        attach()
        assert seen == [("before", False), ("observed", "AttachRolePolicy"), ("after", True)]
        seen.clear()
        aws.proxy.fault("throttled", action="AttachRolePolicy")
        code(attach)
        # It was not carried out, so there is no after.
        assert seen == [("before", True)]
    finally:
        aws.proxy.observers.clear()
    with pytest.raises(ValueError):
        aws.proxy.hook(print, when="later")


def test_error_forms():
    assert b"<Response><Errors><Error><Code>C</Code><Message>&lt;</Message>" in error_response("ec2", "C", 400, "<").body
    assert b"<ErrorResponse" in error_response("iam", "C", 400, "m").body
    answer = error_response("eks", "C", 400, "m")
    assert json.loads(answer.body) == {"message": "m"} and answer.header("x-amzn-errortype") == "C"


def test_many_connections_at_once(aws: AwsWorld):
    errors = []

    def work() -> None:
        query = Query(aws.endpoint, aws.region)
        try:
            for _ in range(10):
                query("iam", "GetRole", aws.operator, RoleName="eks-node")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# --------------------------------------------------------------------------------------------------------------- watcher

TOKEN_FILE = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"


def pod_on(node: str, role_arn: str = "", env: dict[str, str] | None = None, mounted: bool = True) -> dict:
    """An aws-node pod; with a role, as the identity webhook makes it."""
    values = ({"AWS_ROLE_ARN": role_arn, "AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN_FILE} if role_arn else {}) | (env or {})
    mounts = [{"name": "aws-iam-token", "mountPath": TOKEN_FILE.rsplit("/", 1)[0]}] if role_arn and mounted else []
    return {
        "metadata": {"name": f"aws-node-{node}", "namespace": "kube-system", "uid": fresh("uid")},
        "spec": {
            "nodeName": node, "serviceAccountName": "aws-node",
            "containers": [{"name": "aws-eks-nodeagent"},
                           {"name": "aws-node", "env": [{"name": key, "value": value} for key, value in values.items()],
                            "volumeMounts": mounts}],
            "volumes": [{"name": "aws-iam-token", "projected": {"sources": [{"serviceAccountToken": {
                "path": "token", "audience": "sts.amazonaws.com", "expirationSeconds": 86400}}]}}] if role_arn else [],
        },
        "status": {"phase": "Running"},
    }


@pytest.fixture
def bed(ministack: AwsWorld):
    """A node role, an instance as node-1, a provider, a role for aws-node; and a watcher over a list of pods."""
    class Bed:
        aws = ministack
        node_role = fresh("watched-node")
        pods: list[dict] = []

    ministack.add_node_role(Bed.node_role)
    instance = ministack.add_instance(Bed.node_role)
    if ministack.provider_arn() not in ministack.providers():
        ministack.create_provider()
    Bed.role = fresh("aws-node")
    Bed.role_arn = ministack.create_role(Bed.role, ministack.irsa_trust(), policies=(CNI_POLICY,))
    Bed.pods = []
    Bed.watcher = Watcher(ministack, lambda: list(Bed.pods), ministack.mint_token, lambda node: {"node-1": instance}[node],
                          interval=0.05, reuse=0.2)
    yield Bed
    Bed.watcher.stop()


def test_verdict_of_a_pod_on_its_node_role(bed):
    pod = pod_on("node-1")
    verdict = bed.watcher.verdict(pod)
    assert verdict.permitted and verdict.identity.role.endswith(bed.node_role)
    bed.aws.detach(bed.node_role)
    assert not bed.watcher.has_permission(pod)
    assert bed.watcher.verdict(pod).reason == "AssignPrivateIpAddresses: UnauthorizedOperation"
    # By another way than the attachment, which nobody looks at.
    bed.aws.put_inline_policy(bed.node_role, "in", {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ec2:Assign*", "Resource": "*"}]})
    assert bed.watcher.has_permission(pod)
    bed.aws.put_inline_policy(bed.node_role, "in", {"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}]})
    bed.aws.attach(bed.node_role)
    assert not bed.watcher.has_permission(pod)


def test_verdict_of_an_injected_pod(bed):
    pod = pod_on("node-1", bed.role_arn)
    bed.aws.detach(bed.node_role)
    assert bed.watcher.has_permission(pod)

    def becomes(permitted: bool, reason: str = "") -> None:
        time.sleep(bed.watcher.reuse)
        verdict = bed.watcher.verdict(pod)
        assert verdict.permitted == permitted and reason in verdict.reason

    bed.aws.set_trust(bed.role, bed.aws.irsa_trust(serviceaccount="other"))
    becomes(False, "AccessDenied")
    bed.aws.set_trust(bed.role, bed.aws.irsa_trust(audience="other"))
    becomes(False, "AccessDenied")
    bed.aws.set_trust(bed.role, bed.aws.irsa_trust())
    becomes(True)
    bed.aws.delete_provider()
    becomes(False, "InvalidIdentityToken: No OpenIDConnect provider found")
    bed.aws.create_provider(client_ids=("other",))
    becomes(False, "Incorrect token audience")
    bed.aws.delete_provider()
    bed.aws.create_provider()
    becomes(True)
    # With a role of its own there is no way back to the node's.
    bed.aws.attach(bed.node_role)
    bed.aws.detach(bed.role)
    assert not bed.watcher.has_permission(pod)
    bed.aws.attach(bed.role)
    assert bed.watcher.has_permission(pod)
    bed.aws.client("iam").put_role_permissions_boundary(RoleName=bed.role, PermissionsBoundary=awsworld.NODE_POLICIES[1])
    assert not bed.watcher.has_permission(pod)
    bed.aws.delete_role(bed.role)
    becomes(False, "AccessDenied")


def test_whose_credentials_a_pod_has(bed):
    def kind(pod: dict) -> str:
        return identity_of(pod, lambda node: "aws:///us-west-2a/i-0").kind

    assert kind(pod_on("n")) == "node"
    assert kind(pod_on("n", bed.role_arn)) == "web-identity"
    assert kind(pod_on("n", bed.role_arn, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})) == "static"
    # A role without a token file is passed over; a token file without a role, or that is not mounted, is not.
    assert kind(pod_on("n", env={"AWS_ROLE_ARN": bed.role_arn})) == "node"
    assert not bed.watcher.has_permission(pod_on("node-1", env={"AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN_FILE}))
    assert not bed.watcher.has_permission(pod_on("node-1", bed.role_arn, mounted=False))
    operator_keys = {"AWS_ACCESS_KEY_ID": bed.aws.operator.access_key,
                     "AWS_SECRET_ACCESS_KEY": bed.aws.operator.secret_key}
    assert not bed.watcher.has_permission(pod_on("node-1", bed.role_arn, operator_keys))
    with pytest.raises(ValueError, match="container credentials"):
        bed.watcher.has_permission(pod_on("node-1", env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/"}))
    bare = bed.aws.add_instance(bed.node_role, profile=False)
    bed.watcher.provider_id = {"node-1": bare}.get
    assert bed.watcher.verdict(pod_on("node-1")).reason.endswith("has no instance profile")


def test_watcher_records_losses(bed):
    first, second = pod_on("node-1"), pod_on("node-1", bed.role_arn)
    bed.pods += [first, second]
    with bed.watcher as watcher:
        watcher.wait_rounds()
        assert watcher.violations == []
        bed.aws.detach(bed.node_role)
        watcher.wait_rounds()
        loss, = watcher.open_violations
        assert loss.uid == first["metadata"]["uid"] and loss.lost and loss.end is None
        assert "UnauthorizedOperation" in loss.reason
        bed.aws.attach(bed.node_role)
        watcher.wait_rounds()
        assert watcher.open_violations == [] and loss.start < loss.end
        # A pod that never had it; one that is ending, or not there any more, does not count.
        bed.aws.detach(bed.node_role)
        bed.pods[:] = [second, never := pod_on("node-1"), ending := pod_on("node-1")]
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        watcher.wait_rounds()
        assert [each.uid for each in watcher.open_violations] == [never["metadata"]["uid"]]
        assert not watcher.open_violations[0].lost
        bed.pods[:] = [second]
        watcher.wait_rounds()
        assert watcher.open_violations == [] and len(watcher.violations) == 2 and watcher.errors == []
    assert "lost permission" in watcher.report() and "never had permission" in watcher.report()


def test_watcher_sees_what_lasts_for_one_write_only(bed):
    """Between two writes there may be less time than between two rounds."""
    bed.pods.append(pod_on("node-1"))
    bed.watcher.interval = 60
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:*", "Resource": "*"}]}
    kept = bed.aws.policies()[bed.aws.operator_policy_arn]["document"]
    bed.aws.set_operator_policy(policy)
    with bed.watcher as watcher:
        iam = operator(bed.aws, "iam")
        iam.detach_role_policy(RoleName=bed.node_role, PolicyArn=CNI_POLICY)
        iam.attach_role_policy(RoleName=bed.node_role, PolicyArn=CNI_POLICY)
    bed.aws.set_operator_policy(kept)
    loss, = watcher.violations
    assert loss.end and loss.end - loss.start < 5


def test_watcher_does_not_blame_a_pod_that_has_gone(bed):
    gone = pod_on("node-1", bed.role_arn)
    lists = iter([[gone], []])
    bed.watcher.pods = lambda: next(lists, [])
    bed.aws.delete_role(bed.role)
    bed.watcher.check_now()
    assert bed.watcher.violations == [] and bed.watcher.errors == []


@pytest.mark.skipif(not Path(_programs().get("kubernetes", "/"), "complete").exists(), reason="run tests/testbed/build")
def test_watcher_on_a_control_plane():
    """A migration by hand of real pods, with real tokens, takes nobody's permission; a pod that is not injected has none."""
    with AwsWorld("ministack") as aws, ControlPlane(aws.issuer) as cluster:
        for number in range(3):
            cluster.add_node(f"node-{number}", aws.add_instance(), wait=False)
        cluster.deploy_aws_node()
        cluster.deploy_webhook()
        role = aws.create_role("aws-node", aws.irsa_trust(), policies=(CNI_POLICY,))
        with Watcher.of(aws, cluster) as watcher:
            aws.create_provider()
            cluster.kubectl("-n", "kube-system", "annotate", "serviceaccount", "aws-node",
                            f"eks.amazonaws.com/role-arn={role}")
            watcher.wait_rounds()
            cluster.restart_aws_node()
            watcher.wait_rounds()
            assert {watcher.verdict(pod).identity.role for pod in cluster.aws_node_pods()} == {role}
            aws.detach("eks-node")
            watcher.wait_rounds()
            assert watcher.violations == [] and watcher.errors == []
            cluster.webhook_down()
            cluster.restart_aws_node(wait=False)
            wait_until(lambda: watcher.violations, 20, "the watcher sees a pod that was not injected")
            assert watcher.violations[0].identity.endswith("role/eks-node") and not watcher.violations[0].lost
            aws.attach("eks-node")
            cluster.wait_daemonset()
            watcher.wait_rounds()
            assert watcher.open_violations == [], watcher.report()


def test_watcher_tells_trouble_from_refusal(bed):
    bed.pods.append(pod_on("node-2"))
    bed.watcher.check_now()
    assert bed.watcher.violations == [] and len(bed.watcher.errors) == 1
    with pytest.raises(KeyError):
        bed.watcher.has_permission(bed.pods[0])
    with pytest.raises(ValueError):
        AwsWorld("moto", auth=True)
    with pytest.raises(ValueError):
        Watcher(AwsWorld("moto"), list, lambda *_: "", str)
