"""The AWS CLI as it ships, against the simulated account: reading, writing, taking a role, and errors as AWS gives them."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from simworld import ACCOUNT, AWS_CLI, CLUSTER, ISSUER, REGION, SimWorld

CNI_POLICY = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER.removeprefix('https://')}"
SERVICE_TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
POD_TRUST = {"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"Federated": PROVIDER}, "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {"StringEquals": {f"{ISSUER.removeprefix('https://')}:aud": "sts.amazonaws.com",
                                   f"{ISSUER.removeprefix('https://')}:sub": "system:serviceaccount:kube-system:aws-node"}}}]}
ERROR = re.compile(r"An error occurred \((\S+)\) when calling the (\w+) operation: (.+)")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with SimWorld(tmp_path_factory.mktemp("cli"), tls=True) as w:
        yield w


def run(world, *args, **env):
    return subprocess.run([AWS_CLI, *args], env=world.env(**env), capture_output=True, text=True, timeout=60, check=False)


def aws(world, *args, **env):
    done = run(world, *args, **env)
    assert done.returncode == 0, f"{args}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout else None


def refused(world, *args, **env):
    """The error's code. The CLI ends with 254, or 255 before its second version, and says nothing on stdout."""
    done = run(world, *args, **env)
    said = ERROR.search(done.stderr)
    assert said and done.returncode in (254, 255) and not done.stdout, done
    return said[1]


def all_refused(world, *calls):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda call: refused(world, *call), calls))


def test_who(world):
    assert aws(world, "sts", "get-caller-identity") == {
        "UserId": ACCOUNT, "Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:root"}
    without = {k: v for k, v in world.env().items() if k != "AWS_ENDPOINT_URL"}
    done = subprocess.run([AWS_CLI, "--endpoint-url", world.endpoint, "sts", "get-caller-identity", "--query", "Account",
                           "--output", "text"], env=without, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{ACCOUNT}\n", done


def test_trust(world):
    """Who was not given the authority of this world does not talk to it."""
    assert world.endpoint.startswith("https://127.0.0.1:")
    env = {name: value for name, value in world.env().items() if name != "AWS_CA_BUNDLE"}
    done = subprocess.run([AWS_CLI, "sts", "get-caller-identity"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "SSL validation failed" in done.stderr, done


def test_life_of_a_role(world):
    text = "a & <b> + %2B é"
    tags = json.dumps([{"Key": "k", "Value": "a+b = é:/@"}])
    made = aws(world, "iam", "create-role", "--role-name", "cli", "--path", "/p/", "--description", text, "--tags", tags,
               "--assume-role-policy-document", json.dumps(SERVICE_TRUST))["Role"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/p/cli" and made["AssumeRolePolicyDocument"] == SERVICE_TRUST
    got = aws(world, "iam", "get-role", "--role-name", "cli")["Role"]
    assert got["Description"] == text and got["Tags"] == json.loads(tags) and got["RoleId"] == made["RoleId"]
    listed = aws(world, "iam", "list-roles")["Roles"]
    assert {"eks-node", "cli"} <= {r["RoleName"] for r in listed}
    assert [r["RoleName"] for r in aws(world, "iam", "list-roles", "--path-prefix", "/p/")["Roles"]] == ["cli"]
    assert {r["RoleName"] for r in aws(world, "iam", "list-roles", "--page-size", "1")["Roles"]} == {r["RoleName"] for r in listed}

    def attached():
        return aws(world, "iam", "list-attached-role-policies", "--role-name", "cli")["AttachedPolicies"]

    attach = ("--role-name", "cli", "--policy-arn", CNI_POLICY)
    assert aws(world, "iam", "attach-role-policy", *attach) is None
    assert attached() == [{"PolicyName": "AmazonEKS_CNI_Policy", "PolicyArn": CNI_POLICY}]
    assert refused(world, "iam", "delete-role", "--role-name", "cli") == "DeleteConflict"
    aws(world, "iam", "detach-role-policy", *attach)
    assert attached() == []
    assert refused(world, "iam", "detach-role-policy", *attach) == "NoSuchEntity"
    aws(world, "iam", "delete-role", "--role-name", "cli")
    assert refused(world, "iam", "get-role", "--role-name", "cli") == "NoSuchEntity"


def test_policies(world):
    policy = aws(world, "iam", "get-policy", "--policy-arn", CNI_POLICY)["Policy"]
    version = aws(world, "iam", "get-policy-version", "--policy-arn", CNI_POLICY, "--version-id",
                  policy["DefaultVersionId"])["PolicyVersion"]
    actions = {a for s in version["Document"]["Statement"] for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}
    assert {"ec2:AssignPrivateIpAddresses", "ec2:CreateTags"} <= actions
    results = aws(world, "iam", "simulate-principal-policy", "--policy-source-arn", f"arn:aws:iam::{ACCOUNT}:role/eks-node",
                  "--action-names", "ec2:AssignPrivateIpAddresses", "iam:CreateUser")["EvaluationResults"]
    assert {r["EvalActionName"]: r["EvalDecision"] for r in results} == {
        "ec2:AssignPrivateIpAddresses": "allowed", "iam:CreateUser": "implicitDeny"}


def test_a_pods_credentials(world, tmp_path):
    """From kubectl's token to a role that EC2 knows: what the identity webhook arranges for a pod."""
    assert aws(world, "iam", "list-open-id-connect-providers")["OpenIDConnectProviderList"] == []
    token = tmp_path / "token"
    token.write_text(world.kubectl("create", "token", "-n", "kube-system", "aws-node", "--audience=sts.amazonaws.com"))
    role = f"arn:aws:iam::{ACCOUNT}:role/pods"
    take = ("sts", "assume-role-with-web-identity", "--role-arn", role, "--role-session-name", "cli",
            "--web-identity-token", token.read_text())
    aws(world, "iam", "create-role", "--role-name", "pods", "--assume-role-policy-document", json.dumps(POD_TRUST))
    assert refused(world, *take) == "InvalidIdentityToken"
    aws(world, "iam", "create-open-id-connect-provider", "--url", ISSUER, "--client-id-list", "sts.amazonaws.com")
    assert aws(world, "iam", "list-open-id-connect-providers")["OpenIDConnectProviderList"] == [{"Arn": PROVIDER}]
    taken = aws(world, *take)
    assert taken["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/pods/cli"
    keys = taken["Credentials"]
    pod = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
           "AWS_SESSION_TOKEN": keys["SessionToken"]}
    assert aws(world, "sts", "get-caller-identity", **pod)["Arn"] == taken["AssumedRoleUser"]["Arn"]
    assert refused(world, "ec2", "describe-instances", "--dry-run", **pod) == "UnauthorizedOperation"
    aws(world, "iam", "attach-role-policy", "--role-name", "pods", "--policy-arn", CNI_POLICY)
    assert refused(world, "ec2", "describe-instances", "--dry-run", **pod) == "DryRunOperation"
    # The chain of the SDK, as in a pod: no keys, a role and a file.
    chain = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
    assert ":assumed-role/pods/" in aws(world, "sts", "get-caller-identity", **chain)["Arn"]
    assert refused(world, "iam", "list-roles", **chain) == "AccessDenied"
    assert refused(world, "eks", "list-clusters", **chain) == "AccessDeniedException"


def test_cluster(world):
    cluster = aws(world, "eks", "describe-cluster", "--name", CLUSTER)["cluster"]
    assert cluster["identity"]["oidc"]["issuer"] == ISSUER and cluster["status"] == "ACTIVE"
    assert aws(world, "eks", "list-clusters")["clusters"] == [CLUSTER]
    at = ("--cluster-name", CLUSTER)
    groups = aws(world, "eks", "list-nodegroups", *at)["nodegroups"]
    group = aws(world, "eks", "describe-nodegroup", *at, "--nodegroup-name", groups[0])["nodegroup"]
    assert group["nodeRole"] == f"arn:aws:iam::{ACCOUNT}:role/eks-node"
    assert aws(world, "eks", "list-pod-identity-associations", *at)["associations"] == []
    assert aws(world, "eks", "list-addons", *at)["addons"] == []
    assert all_refused(world, ("eks", "describe-addon", *at, "--addon-name", "vpc-cni"),
                       ("eks", "describe-cluster", "--name", "none")) == ["ResourceNotFoundException"] * 2
    assert REGION in aws(world, "eks", "describe-cluster", "--name", CLUSTER)["cluster"]["arn"]


def test_instances(world):
    of_cluster = ("ec2", "describe-instances", "--filters", f"Name=tag:eks:cluster-name,Values={CLUSTER}",
                  "Name=instance-state-name,Values=running")
    found = [i for r in aws(world, *of_cluster)["Reservations"] for i in r["Instances"]]
    assert len(found) == 2 and {i["State"]["Name"] for i in found} == {"running"}
    assert {i["IamInstanceProfile"]["Arn"] for i in found} == {f"arn:aws:iam::{ACCOUNT}:instance-profile/eks-node"}
    names = json.loads(world.kubectl("get", "nodes", "-o", "json"))["items"]
    assert {i["InstanceId"] for i in found} == {n["spec"]["providerID"].rsplit("/", 1)[-1] for n in names}
    assert all_refused(world, ("ec2", "describe-instances", "--dry-run"),
                       ("ec2", "describe-instances", "--instance-ids", "i-00000000000000000"),
                       ("ec2", "describe-instances", "--filters", "Name=no-such,Values=x")) == [
        "DryRunOperation", "InvalidInstanceID.NotFound", "InvalidParameterValue"]


def annotation(world):
    account = json.loads(world.kubectl("get", "serviceaccount", "-n", "kube-system", "aws-node", "-o", "json"))
    return account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]


def test_breaking_things(world):
    """What a user of the demo may do to it by hand."""
    at = ("--cluster-name", CLUSTER)
    role = f"arn:aws:iam::{ACCOUNT}:role/eks-node"
    assert aws(world, "eks", "create-addon", *at, "--addon-name", "vpc-cni")["addon"]["status"] == "CREATING"
    assert aws(world, "eks", "describe-addon", *at, "--addon-name", "vpc-cni")["addon"]["status"] == "ACTIVE"
    update = aws(world, "eks", "update-addon", *at, "--addon-name", "vpc-cni", "--service-account-role-arn", role)["update"]
    assert (update["status"], update["type"]) == ("InProgress", "AddonUpdate")
    aws(world, "eks", "wait", "addon-active", *at, "--addon-name", "vpc-cni")
    followed = ("eks", "describe-update", "--name", CLUSTER, "--addon-name", "vpc-cni", "--update-id", update["id"])
    assert aws(world, *followed)["update"]["status"] == "Successful"
    assert annotation(world) == role
    assert aws(world, "eks", "delete-addon", *at, "--addon-name", "vpc-cni")["addon"]["status"] == "DELETING"
    assert aws(world, "eks", "list-addons", *at)["addons"] == []
    associate = ("eks", "create-pod-identity-association", *at, "--namespace", "kube-system", "--service-account", "aws-node",
                 "--role-arn", role)
    made = aws(world, *associate)["association"]
    assert refused(world, *associate) == "ResourceInUseException"
    by_id = ("--association-id", made["associationId"])
    assert aws(world, "eks", "describe-pod-identity-association", *at, *by_id)["association"]["roleArn"] == role
    aws(world, "eks", "delete-pod-identity-association", *at, *by_id)
    assert refused(world, "eks", "delete-pod-identity-association", *at, *by_id) == "ResourceNotFoundException"
    started = aws(world, "ec2", "run-instances", "--image-id", "ami-1", "--count", "2", "--iam-instance-profile",
                  "Name=eks-node")["Instances"]
    ids = [i["InstanceId"] for i in started]
    assert {i["State"]["Name"] for i in started} == {"pending"} and len(ids) == 2
    found = aws(world, "ec2", "describe-instances", "--instance-ids", *ids)["Reservations"]
    assert {i["State"]["Name"] for r in found for i in r["Instances"]} == {"running"}
    ended = aws(world, "ec2", "terminate-instances", "--instance-ids", *ids)["TerminatingInstances"]
    assert {(i["PreviousState"]["Name"], i["CurrentState"]["Name"]) for i in ended} == {("running", "shutting-down")}


def test_who_may_come_into_the_cluster(world):
    at = ("--cluster-name", CLUSTER)
    node, admin = f"arn:aws:iam::{ACCOUNT}:role/eks-node", f"arn:aws:iam::{ACCOUNT}:user/admin"
    policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    assert aws(world, "eks", "list-access-entries", *at)["accessEntries"] == [node, f"{node}-memory"]
    assert aws(world, "eks", "describe-access-entry", *at, "--principal-arn", node)["accessEntry"]["type"] == "EC2_LINUX"
    made = aws(world, "eks", "create-access-entry", *at, "--principal-arn", admin)["accessEntry"]
    assert (made["type"], made["username"]) == ("STANDARD", admin)
    aws(world, "eks", "associate-access-policy", *at, "--principal-arn", admin, "--policy-arn", policy, "--access-scope", "type=cluster")
    listed = aws(world, "eks", "list-associated-access-policies", *at, "--principal-arn", admin)["associatedAccessPolicies"]
    assert [p["policyArn"] for p in listed] == [policy]
    aws(world, "eks", "delete-access-entry", *at, "--principal-arn", admin)
    assert refused(world, "eks", "describe-access-entry", *at, "--principal-arn", admin) == "ResourceNotFoundException"


def test_errors(world):
    create = ("iam", "create-role", "--role-name")
    document = ("--assume-role-policy-document", json.dumps(SERVICE_TRUST))
    assert all_refused(
        world, (*create, "eks-node", *document), (*create, "wrong", "--assume-role-policy-document", "{"), (*create, "a b", *document),
        (*create, "tagged", *document, "--tags", "Key=k,Value=a&b"),
        ("iam", "attach-role-policy", "--role-name", "eks-node", "--policy-arn", "arn:aws:iam::aws:policy/NoSuch"),
        ("iam", "get-policy", "--policy-arn", f"arn:aws:iam::{ACCOUNT}:policy/none"),
        ("iam", "list-users"),
    ) == ["EntityAlreadyExists", "MalformedPolicyDocument", "ValidationError", "ValidationError", "NoSuchEntity", "NoSuchEntity", "InvalidAction"]


def test_keys_that_are_not_known(world):
    nobody = {"AWS_ACCESS_KEY_ID": "AKIANOBODY"}
    assert refused(world, "iam", "list-roles", **nobody) == "InvalidClientTokenId"
    assert refused(world, "eks", "list-clusters", **nobody) == "UnrecognizedClientException"
    assert refused(world, "ec2", "describe-instances", **nobody) == "AuthFailure"
