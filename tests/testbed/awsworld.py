"""An AWS account with an EKS cluster in it, for tests: an emulator on loopback, the recording proxy before it, and all that
such an account has before the operator comes.

    with AwsWorld("ministack") as aws, ControlPlane(aws.issuer) as cluster:
        provider_id = aws.add_instance()
        cluster.add_node("node-1", provider_id)
        run_operator(env=aws.env())
        aws.node_role_policies()
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

from . import controlplane
from .awsproxy import ROOT, Credentials, Proxy
from .controlplane import Process, free_port, plain_environment, wait_until

MANAGED = "arn:aws:iam::aws:policy"
CNI_POLICY = f"{MANAGED}/AmazonEKS_CNI_Policy"
NODE_POLICIES = (f"{MANAGED}/AmazonEKSWorkerNodePolicy", f"{MANAGED}/AmazonEC2ContainerRegistryReadOnly")
KINDS = ("moto", "ministack")

_worlds: set[AwsWorld] = set()


@atexit.register
def _stop_all() -> None:
    for world in list(_worlds):
        world.stop()


def trust(service: str) -> dict:
    return {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}


class AwsWorld:
    """start() and stop(), or a with statement.

    kind             moto or ministack
    auth             whether signatures and permissions are checked: on ministack (default) only, moto can not do it whole
    cluster          name of the EKS cluster
    operator_policy  the policy that the operator's user gets: a file or a document; without one it may do everything.
                     ${ACCOUNT_ID}, ${REGION}, ${PARTITION}, ${CLUSTER_NAME} and what policy_values has are put in
    drop_conditions  condition keys that are taken out of that policy, where the emulator does not know them
    ip_family        ipv4 or ipv6
    auto_mode        the cluster has computeConfig.enabled
    node_role        name of the first node role; None: there is none yet
    token_key        PEM with the key that signs the cluster's tokens (ControlPlane.dir / "serviceaccount.key"): with it, STS
                     refuses other tokens
    """

    def __init__(self, kind: str = "ministack", auth: bool | None = None, cluster: str = "prod",
                 region: str = "us-west-2", account: str = "111122223333", version: str = "1.33",
                 operator_policy: Path | dict | None = None, policy_values: dict[str, str] | None = None,
                 drop_conditions: tuple[str, ...] = (), ip_family: str = "ipv4", auto_mode: bool = False,
                 node_role: str | None = "eks-node", token_key: Path | None = None):
        if kind not in KINDS:
            raise ValueError(f"{kind}: one of {', '.join(KINDS)}")
        if kind == "moto" and auth:
            raise ValueError("while moto checks signatures, it refuses every GET of EKS and fails at unsigned calls of STS")
        self.kind = kind
        self.auth = kind == "ministack" if auth is None else auth
        self.cluster = cluster
        self.region = region
        self.account = account
        self.version = version
        self.operator_policy = operator_policy
        self.policy_values = policy_values or {}
        self.drop_conditions = drop_conditions
        self.ip_family = ip_family
        self.auto_mode = auto_mode
        self.node_role = node_role
        self.token_key = token_key
        self.issuers: dict[str, str] = {}
        self.instances: dict[str, str] = {}  # provider id → node role
        self.timings: dict[str, float] = {}
        self._clients: dict[str, Any] = {}
        self._own_key: Any = None

    def __enter__(self) -> AwsWorld:
        return self.start()

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.stop(keep_logs=kind is not None)

    # ------------------------------------------------------------------------------------------------ start and stop

    def start(self) -> AwsWorld:
        controlplane._remove_leftovers()
        # Named and locked as the control plane's directories are, so that its sweep takes what a killed run has left.
        self.dir = Path(tempfile.mkdtemp(prefix="cni-iam-world-aws-"))
        self._owner = open(self.dir / "owner", "w")
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        _worlds.add(self)
        self._started = time.monotonic()
        try:
            self._start_emulator()
            self.record = self.dir / "aws.jsonl"
            self.proxy = Proxy(self.emulator, self.account, self.region, self.record, self.kind == "moto", self.token_key)
            self.proxy.start(free_port(), free_port())
            self.endpoint, self.quiet_endpoint = self.proxy.url, self.proxy.quiet_url
            self._seed()
        except BaseException:
            self.stop(keep_logs=True)
            raise
        self._timing("started")
        return self

    def stop(self, keep_logs: bool = False) -> None:
        if self not in _worlds:
            return
        _worlds.discard(self)
        if proxy := getattr(self, "proxy", None):
            proxy.stop()
        if process := getattr(self, "process", None):
            process.kill()
        if keep_logs or os.environ.get("CNI_IAM_TEST_KEEP") or controlplane._failed:
            (self.dir / "kept").touch()
            print(f"testbed: the logs of {self.kind} and the record of its calls are in {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        self._owner.close()

    def check(self) -> None:
        """Raises with the last lines of its log when the emulator has ended."""
        self.process.check()

    def rss(self) -> float:
        """Resident memory of the emulator in MiB."""
        return self.process.rss()

    def _timing(self, what: str) -> None:
        self.timings[what] = round(time.monotonic() - self._started, 2)

    def _start_emulator(self) -> None:
        port = free_port()
        self.emulator = f"http://127.0.0.1:{port}"
        env = plain_environment(self.dir) | {
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "PYTHONUNBUFFERED": "1", "TMPDIR": str(self.dir),
            "AWS_DEFAULT_REGION": self.region,
            # ministack starts containers for clusters where it finds a Docker to do so.
            "DOCKER_HOST": f"unix://{self.dir}/no-docker",
        }
        if self.kind == "moto":
            env |= {"MOTO_ACCOUNT_ID": self.account, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
        else:
            env |= {"MINISTACK_ACCOUNT_ID": self.account, "MINISTACK_REGION": self.region, "LOG_LEVEL": "WARNING",
                    "AUTH": str(self.auth).lower()}
        self.process = Process(self.kind, [sys.executable, "-m", "testbed.emulator", self.kind, port],
                               self.dir / f"{self.kind}.log", env, self.dir)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, 60, f"{self.kind} listens", alive=self.check)
        self._timing("emulator")

    def _seed(self) -> None:
        iam = self.client("iam")
        iam.create_role(RoleName="eks-cluster", AssumeRolePolicyDocument=json.dumps(trust("eks.amazonaws.com")))
        iam.attach_role_policy(RoleName="eks-cluster", PolicyArn=f"{MANAGED}/AmazonEKSClusterPolicy")
        if self.node_role:
            self.add_node_role(self.node_role)
        self.add_cluster(self.cluster)
        self.issuer = self.issuers[self.cluster]
        if self.node_role:
            self.add_nodegroup("default", self.node_role)
        self._make_operator()

    def add_cluster(self, name: str, ip_family: str | None = None, auto_mode: bool | None = None) -> str:
        """Returns its issuer, which the emulator's is restated to."""
        issuer = f"https://oidc.eks.{self.region}.amazonaws.com/id/{secrets.token_hex(16).upper()}"
        ipv6 = (ip_family or self.ip_family) == "ipv6"
        self.client("eks").create_cluster(
            name=name, version=self.version, roleArn=f"arn:aws:iam::{self.account}:role/eks-cluster",
            resourcesVpcConfig={"subnetIds": ["subnet-0a", "subnet-0b"]},
            accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
        self.proxy.eks[name] = {}
        patch: dict[str, Any] = {
            "identity": {"oidc": {"issuer": issuer}},
            "status": "ACTIVE",
            "platformVersion": "eks.12",
            "accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"},
            "kubernetesNetworkConfig": {"ipFamily": "ipv6", "serviceIpv6Cidr": "fd30:1c53:5f8a::/108",
                                        "serviceIpv4Cidr": None} if ipv6 else
                                       {"ipFamily": "ipv4", "serviceIpv4Cidr": "10.100.0.0/16"},
        }
        if self.auto_mode if auto_mode is None else auto_mode:
            patch["computeConfig"] = {"enabled": True, "nodePools": ["general-purpose", "system"],
                                      "nodeRoleArn": f"arn:aws:iam::{self.account}:role/eks-auto-node"}
        self.proxy.cluster_patches[name] = patch
        self.issuers[name] = issuer
        return issuer

    def restate_cluster(self, patch: dict, cluster: str | None = None) -> None:
        """Merges this into what DescribeCluster says; a None takes a key away."""
        self.proxy.cluster_patches.setdefault(cluster or self.cluster, {})
        target = self.proxy.cluster_patches[cluster or self.cluster]

        def deep(into: dict, new: dict) -> None:
            for key, value in new.items():
                if isinstance(value, dict) and isinstance(into.get(key), dict):
                    deep(into[key], value)
                else:
                    into[key] = value

        deep(target, patch)

    def _make_operator(self) -> None:
        policy = self.operator_policy
        if policy is None:
            policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        text = policy.read_text() if isinstance(policy, Path) else json.dumps(policy)
        for name, value in ({"ACCOUNT_ID": self.account, "REGION": self.region, "PARTITION": "aws",
                             "CLUSTER_NAME": self.cluster} | self.policy_values).items():
            text = text.replace(f"${{{name}}}", value)
        document = without_conditions(json.loads(text), self.drop_conditions)
        iam = self.client("iam")
        iam.create_user(UserName="cni-iam-operator")
        arn = iam.create_policy(PolicyName="cni-iam-operator",
                                PolicyDocument=json.dumps(document, separators=(",", ":")))["Policy"]["Arn"]
        iam.attach_user_policy(UserName="cni-iam-operator", PolicyArn=arn)
        self.operator_policy_arn = arn
        key = iam.create_access_key(UserName="cni-iam-operator")["AccessKey"]
        self.operator = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        self.proxy.callers[self.operator.access_key] = "operator"

    # ------------------------------------------------------------------------------------------------------ the operator

    def env(self, **more: str) -> dict[str, str]:
        """What the operator needs of AWS in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.operator.access_key,
            "AWS_SECRET_ACCESS_KEY": self.operator.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Not what the machine may have for its user.
            "AWS_CONFIG_FILE": str(self.dir / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.dir / "no-credentials"),
        } | more

    def set_operator_policy(self, document: dict) -> None:
        """Another policy in place of the operator's, from now on."""
        iam = self.client("iam")
        versions = iam.list_policy_versions(PolicyArn=self.operator_policy_arn)["Versions"]
        iam.create_policy_version(PolicyArn=self.operator_policy_arn, PolicyDocument=json.dumps(document), SetAsDefault=True)
        for version in versions:
            iam.delete_policy_version(PolicyArn=self.operator_policy_arn, VersionId=version["VersionId"])

    # ------------------------------------------------------------------------------------- what the tests change by hand

    def client(self, service: str, credentials: Credentials = ROOT, recorded: bool = False) -> Any:
        """A boto3 client that does not retry, as root unless told otherwise. Its calls are answered as the operator's, but
        neither recorded nor met by faults, unless that is wanted."""
        import boto3
        from botocore.config import Config

        key = f"{service} {credentials.access_key} {recorded}"
        if key not in self._clients:
            session = boto3.session.Session(
                aws_access_key_id=credentials.access_key, aws_secret_access_key=credentials.secret_key,
                aws_session_token=credentials.token or None, region_name=self.region)
            self._clients[key] = session.client(
                service, endpoint_url=self.endpoint if recorded else self.quiet_endpoint,
                config=Config(retries={"total_max_attempts": 1}))
        return self._clients[key]

    def add_node_role(self, name: str, path: str = "/", cni_policy: bool = True, policies: tuple[str, ...] = ()) -> str:
        """A role for nodes and an instance profile of the same name. Returns the role's ARN."""
        iam = self.client("iam")
        arn = iam.create_role(RoleName=name, Path=path,
                              AssumeRolePolicyDocument=json.dumps(trust("ec2.amazonaws.com")))["Role"]["Arn"]
        for policy in (*NODE_POLICIES, *([CNI_POLICY] if cni_policy else []), *policies):
            iam.attach_role_policy(RoleName=name, PolicyArn=policy)
        iam.create_instance_profile(InstanceProfileName=name, Path=path)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return arn

    def add_nodegroup(self, name: str, role: str, cluster: str | None = None) -> None:
        self.client("eks").create_nodegroup(
            clusterName=cluster or self.cluster, nodegroupName=name, subnets=["subnet-0a"],
            nodeRole=self.client("iam").get_role(RoleName=role)["Role"]["Arn"])

    def add_instance(self, role: str | None = None, cluster: str | None = None, profile: bool = True,
                     tags: dict[str, str] | None = None) -> str:
        """A running instance with the node role's profile; of another cluster, or of none, where that is given. Returns the
        providerID that its node has."""
        role = role or self.node_role
        cluster = self.cluster if cluster is None else cluster
        tags = ({f"kubernetes.io/cluster/{cluster}": "owned", "eks:cluster-name": cluster} if cluster else {}) | (tags or {})
        instance = self.client("ec2").run_instances(
            ImageId=self._image(), MinCount=1, MaxCount=1, InstanceType="m5.large",
            Placement={"AvailabilityZone": f"{self.region}a"},
            **({"IamInstanceProfile": {"Name": role}} if profile else {}),
            TagSpecifications=[{"ResourceType": "instance",
                                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}])["Instances"][0]
        provider_id = f"aws:///{self.region}a/{instance['InstanceId']}"
        self.instances[provider_id] = role if profile else ""
        return provider_id

    def _image(self) -> str:
        if not hasattr(self, "_image_id"):
            images = self.client("ec2").describe_images(Owners=["amazon"])["Images"]
            self._image_id = images[0]["ImageId"] if images else "ami-00000000"
        return self._image_id

    def terminate_instance(self, provider_id: str) -> None:
        self.client("ec2").terminate_instances(InstanceIds=[provider_id.rsplit("/", 1)[-1]])
        del self.instances[provider_id]

    @property
    def provider_ids(self) -> list[str]:
        """Of all instances that were added, in that order."""
        return list(self.instances)

    def attach(self, role: str, policy_arn: str = CNI_POLICY) -> None:
        self.client("iam").attach_role_policy(RoleName=role, PolicyArn=policy_arn)

    def detach(self, role: str, policy_arn: str = CNI_POLICY) -> None:
        self.client("iam").detach_role_policy(RoleName=role, PolicyArn=policy_arn)

    def set_trust(self, role: str, document: dict) -> None:
        self.client("iam").update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(document))

    def put_inline_policy(self, role: str, name: str, document: dict) -> None:
        self.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    def create_policy(self, name: str, document: dict, path: str = "/") -> str:
        """A customer managed policy; returns its ARN."""
        answer = self.client("iam").create_policy(PolicyName=name, Path=path, PolicyDocument=json.dumps(document))
        return answer["Policy"]["Arn"]

    def create_role(self, name: str, trust_policy: dict, path: str = "/", tags: dict[str, str] | None = None,
                    policies: tuple[str, ...] = ()) -> str:
        iam = self.client("iam")
        arn = iam.create_role(
            RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(trust_policy),
            **({"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]} if tags else {}))["Role"]["Arn"]
        for policy in policies:
            iam.attach_role_policy(RoleName=name, PolicyArn=policy)
        return arn

    def delete_role(self, name: str) -> None:
        """With all that is attached to it."""
        iam = self.client("iam")
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)

    def provider_arn(self, issuer: str | None = None) -> str:
        return f"arn:aws:iam::{self.account}:oidc-provider/{(issuer or self.issuer).removeprefix('https://')}"

    def create_provider(self, issuer: str | None = None, client_ids: tuple[str, ...] = ("sts.amazonaws.com",),
                        tags: dict[str, str] | None = None) -> str:
        return self.client("iam").create_open_id_connect_provider(
            Url=issuer or self.issuer, ClientIDList=list(client_ids),
            **({"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]} if tags else {}),
        )["OpenIDConnectProviderArn"]

    def delete_provider(self, issuer: str | None = None) -> None:
        self.client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=self.provider_arn(issuer))

    def irsa_trust(self, namespace: str = "kube-system", serviceaccount: str = "aws-node", issuer: str | None = None,
                   audience: str = "sts.amazonaws.com") -> dict:
        """The trust policy for one ServiceAccount, as the AWS walkthrough has it."""
        host = (issuer or self.issuer).removeprefix("https://")
        return {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Federated": self.provider_arn(issuer)},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{host}:aud": audience,
                                           f"{host}:sub": f"system:serviceaccount:{namespace}:{serviceaccount}"}}}]}

    def put_addon(self, name: str = "vpc-cni", role_arn: str | None = None, cluster: str | None = None) -> None:
        cluster = cluster or self.cluster
        if self.kind == "ministack":
            self.client("eks").create_addon(clusterName=cluster, addonName=name, addonVersion="v1.20.4-eksbuild.1",
                                            **({"serviceAccountRoleArn": role_arn} if role_arn else {}))
            return
        addon = {"addonName": name, "clusterName": cluster, "status": "ACTIVE", "addonVersion": "v1.20.4-eksbuild.1",
                 "health": {"issues": []}, "createdAt": time.time(), "modifiedAt": time.time(), "tags": {},
                 "addonArn": f"arn:aws:eks:{self.region}:{self.account}:addon/{cluster}/{name}/0"}
        if role_arn:
            addon["serviceAccountRoleArn"] = role_arn
        self.proxy.eks[cluster].setdefault("addons", {})[name] = addon

    def put_pod_identity_association(self, role_arn: str, namespace: str = "kube-system",
                                     serviceaccount: str = "aws-node", cluster: str | None = None) -> None:
        cluster = cluster or self.cluster
        if self.kind == "ministack":
            self.client("eks").create_pod_identity_association(
                clusterName=cluster, namespace=namespace, serviceAccount=serviceaccount, roleArn=role_arn)
            return
        number = f"a-{secrets.token_hex(9)[:17]}"
        self.proxy.eks[cluster].setdefault("associations", {})[number] = {
            "clusterName": cluster, "namespace": namespace, "serviceAccount": serviceaccount, "roleArn": role_arn,
            "associationArn": f"arn:aws:eks:{self.region}:{self.account}:podidentityassociation/{cluster}/{number}",
            "associationId": number, "tags": {}, "createdAt": time.time(), "modifiedAt": time.time()}

    def put_access_entry(self, principal_arn: str, kind: str = "EC2_LINUX", cluster: str | None = None) -> None:
        cluster = cluster or self.cluster
        if self.kind == "ministack":
            self.client("eks").create_access_entry(clusterName=cluster, principalArn=principal_arn, type=kind)
            return
        self.proxy.eks[cluster].setdefault("access_entries", {})[principal_arn] = {
            "clusterName": cluster, "principalArn": principal_arn, "kubernetesGroups": [], "type": kind, "tags": {},
            "username": "system:node:{{EC2PrivateDNSName}}", "createdAt": time.time(), "modifiedAt": time.time(),
            "accessEntryArn": f"arn:aws:eks:{self.region}:{self.account}:access-entry/{cluster}/0"}

    # ---------------------------------------------------------------------------------------------------- what is there

    def node_role_policies(self, role: str | None = None) -> list[str]:
        """The ARNs of what is attached to it, sorted."""
        attached = self.client("iam").list_attached_role_policies(RoleName=role or self.node_role)["AttachedPolicies"]
        return sorted(policy["PolicyArn"] for policy in attached)

    def role(self, name: str) -> dict | None:
        """arn, path, trust, description, max_session, boundary, tags, attached, inline; None where there is no such role."""
        iam = self.client("iam")
        try:
            role = iam.get_role(RoleName=name)["Role"]
        except iam.exceptions.NoSuchEntityException:
            return None
        return {
            "arn": role["Arn"],
            "path": role["Path"],
            "trust": document(role["AssumeRolePolicyDocument"]),
            "description": role.get("Description", ""),
            "max_session": role.get("MaxSessionDuration", 3600),
            "boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            "tags": tag_dict(role.get("Tags", [])),
            "attached": self.node_role_policies(name),
            "inline": {policy: document(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
                       for policy in sorted(iam.list_role_policies(RoleName=name)["PolicyNames"])},
        }

    def roles(self) -> list[str]:
        pages = self.client("iam").get_paginator("list_roles").paginate()
        return sorted(role["RoleName"] for page in pages for role in page["Roles"])

    def providers(self) -> dict[str, dict]:
        """By ARN: url, client_ids, thumbprints, tags."""
        iam = self.client("iam")
        arns = sorted(each["Arn"] for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"])
        found = {}
        for arn in arns:
            provider = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
            found[arn] = {"url": provider["Url"], "client_ids": sorted(provider["ClientIDList"]),
                          "thumbprints": provider["ThumbprintList"], "tags": tag_dict(provider.get("Tags", []))}
        return found

    def policies(self) -> dict[str, dict]:
        """The customer managed ones, by ARN: the default version's document, and the tags."""
        iam = self.client("iam")
        found = {}
        for page in iam.get_paginator("list_policies").paginate(Scope="Local"):
            for policy in page["Policies"]:
                arn = policy["Arn"]
                version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
                found[arn] = {"document": document(version["Document"]),
                              "tags": tag_dict(iam.get_policy(PolicyArn=arn)["Policy"].get("Tags", []))}
        return found

    def state(self) -> dict:
        """All of IAM that the operator could change, in a form that can be compared."""
        return {"roles": {name: self.role(name) for name in self.roles()}, "providers": self.providers(),
                "policies": {arn: policy for arn, policy in self.policies().items() if arn != self.operator_policy_arn}}

    # ---------------------------------------------------------------------------------------------------------- tokens

    def mint_token(self, namespace: str = "kube-system", serviceaccount: str = "aws-node",
                   audiences: tuple[str, ...] = ("sts.amazonaws.com",), expiration_seconds: int = 3600,
                   issuer: str | None = None) -> str:
        """A token as an API server signs it, for tests without one. The first four arguments are those of
        ControlPlane.mint_token()."""
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        if not self._own_key:
            self._own_key = (serialization.load_pem_private_key(self.token_key.read_bytes(), None) if self.token_key
                             else rsa.generate_private_key(65537, 2048))
        now = int(time.time())
        claims = {"iss": issuer or self.issuer, "sub": f"system:serviceaccount:{namespace}:{serviceaccount}",
                  "aud": list(audiences), "iat": now, "nbf": now, "exp": now + expiration_seconds,
                  "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": serviceaccount, "uid": "0"}}}
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
                        for part in ({"alg": "RS256", "kid": "testbed"}, claims))
        signature = self._own_key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def document(value: Any) -> Any:
    """A policy document: boto3 has decoded it, unless the emulator sent it in a form that AWS does not use."""
    if not isinstance(value, str):
        return value
    with contextlib.suppress(ValueError):
        return json.loads(urllib.parse.unquote(value))
    return value


def tag_dict(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in sorted(tags, key=lambda tag: tag["Key"])}


def without_conditions(policy: dict, keys: tuple[str, ...]) -> dict:
    """The policy without the conditions on these keys; a key that ends with / stands for all that begin with it."""
    def dropped(name: str) -> bool:
        return any(name.lower() == key.lower() or key.endswith("/") and name.lower().startswith(key.lower()) for key in keys)

    statements = []
    for statement in policy["Statement"]:
        conditions = {operator: {name: value for name, value in tests.items() if not dropped(name)}
                      for operator, tests in statement.get("Condition", {}).items()}
        conditions = {operator: tests for operator, tests in conditions.items() if tests}
        rest = {name: value for name, value in statement.items() if name != "Condition"}
        statements.append(rest | ({"Condition": conditions} if conditions else {}))
    return policy | {"Statement": statements}


def main() -> None:
    """A world to try things in: python3 -m testbed.awsworld [moto|ministack], with tests/ in PYTHONPATH."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with AwsWorld(*sys.argv[1:2]) as world:
        world.add_instance()
        for name, value in world.env().items():
            print(f"export {name}={value}")
        print(f"# issuer {world.issuer}\n# instances {' '.join(world.provider_ids)}\n# record {world.record}\n"
              f"# ready after {world.timings['started']} s; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
