"""Starts one of the AWS emulators, with what our tests need of it and it lacks put in.

    python -m testbed.emulator moto|ministack PORT

What belongs behind the emulator's own check of signatures and permissions is put in here, so that its verdict still decides;
what is only another answer is restated by the proxy in front of it (awsproxy.py).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable
from urllib.parse import parse_qs, unquote

# IAM fills in a provider's thumbprint where the caller gives none.
THUMBPRINT = "9e99a48a9960b14926bb7f3b02e22da2b0ab7280"


def main() -> None:
    kind, port = sys.argv[1:]
    {"moto": run_moto, "ministack": run_ministack}[kind](port)


# --------------------------------------------------------------------------------------------------------------- moto


def run_moto(port: str) -> None:
    from moto.core.responses import EmptyResult
    from moto.ec2.utils import filter_dict_attribute_mapping
    from moto.iam.exceptions import DeleteConflictException
    from moto.iam.models import IAMBackend, OpenIDConnectProvider
    from moto.iam.responses import IamResponse
    from moto.server import main as serve

    def add_client_id(self: Any) -> Any:
        provider = self.backend.get_open_id_connect_provider(self._get_param("OpenIDConnectProviderArn"))
        if (client_id := self._get_param("ClientID")) not in provider.client_id_list:
            provider.client_id_list.append(client_id)
        return EmptyResult()

    def remove_client_id(self: Any) -> Any:
        provider = self.backend.get_open_id_connect_provider(self._get_param("OpenIDConnectProviderArn"))
        provider.client_id_list = [known for known in provider.client_id_list if known != self._get_param("ClientID")]
        return EmptyResult()

    IamResponse.add_client_id_to_open_id_connect_provider = add_client_id
    IamResponse.remove_client_id_from_open_id_connect_provider = remove_client_id

    make_provider = OpenIDConnectProvider.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make_provider(self, *args, **kwargs)
        self.thumbprint_list = self.thumbprint_list or [THUMBPRINT]

    OpenIDConnectProvider.__init__ = init

    delete_policy = IAMBackend.delete_policy

    def delete_unused(self: Any, policy_arn: str) -> Any:
        policy = self.get_policy(policy_arn)
        if any(policy_arn in role.managed_policies for role in self.roles.values()):
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        if len(policy.versions) > 1:
            raise DeleteConflictException("This policy has more than one version.")
        return delete_policy(self, policy_arn)

    IAMBackend.delete_policy = delete_unused
    # Unknown filters are an error in moto, of the kind that has no answer.
    filter_dict_attribute_mapping["iam-instance-profile.arn"] = "iam_instance_profile.Arn"

    serve(["-H", "127.0.0.1", "-p", port])


# ---------------------------------------------------------------------------------------------------------- ministack


def run_ministack(port: str) -> None:
    os.environ.update(GATEWAY_PORT=port, BIND_HOST="127.0.0.1", MINISTACK_HOST="127.0.0.1")
    take_audience_lists()
    answer_dry_runs()
    complete_instance_filters()
    complete_iam()
    complete_authorization()
    from ministack.app import main as serve

    sys.argv[1:] = []
    serve()


def take_audience_lists() -> None:
    """The `aud` of Kubernetes' tokens is a list, of one; STS compares that one."""
    from ministack.services import sts

    original = sts._web_identity_principal

    def principal(token: str, provider_id: str, role_arn: str) -> tuple[str, dict]:
        provider, keys = original(token, provider_id, role_arn)
        return provider, {key: value[0] if isinstance(value, list) and len(value) == 1 else value
                          for key, value in keys.items()}

    sts._web_identity_principal = principal


def answer_dry_runs() -> None:
    """A request comes to the service only when its caller may do it: all that is left of a dry run is to say so."""
    from ministack.services import ec2

    original = ec2.handle_request

    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> Any:
        params = {**query, **parse_qs((body or b"").decode("utf-8", "replace"))}
        if params.get("DryRun", [""])[0] == "true" and params.get("Action", [""])[0] in ec2._ACTION_MAP:
            return ec2._error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        return await original(method, path, headers, body, query)

    ec2.handle_request = handle


def complete_instance_filters() -> None:
    """ministack takes a filter of DescribeInstances that it does not know for one that everything passes."""
    from ministack.services import ec2

    matches, describe = ec2._matches_filters, ec2._describe_instances
    known = {"instance-state-name", "instance-type", "image-id"}
    ours: dict[str, Callable[[dict], str]] = {
        "iam-instance-profile.arn": lambda instance: (instance.get("IamInstanceProfile") or {}).get("Arn", ""),
        "availability-zone": lambda instance: instance["Placement"]["AvailabilityZone"],
        "instance-id": lambda instance: instance["InstanceId"],
        "private-dns-name": lambda instance: instance["PrivateDnsName"],
        "subnet-id": lambda instance: instance["SubnetId"],
        "vpc-id": lambda instance: instance["VpcId"],
    }

    def matches_all(instance: dict, filters: dict[str, list[str]]) -> bool:
        return matches(instance, filters) and all(
            ec2._filter_value_matches(ours[name](instance), values) for name, values in filters.items() if name in ours)

    def describe_filtered(params: dict) -> Any:
        for name in ec2._parse_filters(params):
            if name not in known and name not in ours and not name.startswith("tag:") and name != "tag-key":
                return ec2._error("InvalidParameterValue", f"The filter '{name}' is invalid", 400)
        return describe(params)

    ec2._matches_filters = matches_all
    ec2._ACTION_MAP["DescribeInstances"] = describe_filtered


def complete_iam() -> None:
    from ministack.core import iam_evaluator
    from ministack.services import iam, tagging

    get, create = iam._get_oidc_provider, iam._create_oidc_provider
    attach, delete_policy = iam._attach_role_policy, iam._delete_policy

    def get_provider(params: dict) -> Any:
        status, headers, body = get(params)
        return status, headers, body.replace(b"<Url>https://", b"<Url>")

    def create_provider(params: dict) -> Any:
        if not iam._p(params, "ThumbprintList.member.1"):
            params = {**params, "ThumbprintList.member.1": [THUMBPRINT]}
        return create(params)

    def of_provider(name: str, change: Callable[[dict, dict], None]) -> Callable[[dict], Any]:
        def handler(params: dict) -> Any:
            arn = iam._p(params, "OpenIDConnectProviderArn")
            provider = iam._oidc_providers.get(arn)
            if provider is None:
                return iam._error(404, "NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}")
            change(provider, params)
            return iam._xml(200, f"{name}Response", "")

        return handler

    def add_client_id(provider: dict, params: dict) -> None:
        if (client_id := iam._p(params, "ClientID")) not in provider["ClientIDList"]:
            provider["ClientIDList"].append(client_id)

    def remove_client_id(provider: dict, params: dict) -> None:
        provider["ClientIDList"] = [known for known in provider["ClientIDList"] if known != iam._p(params, "ClientID")]

    def thumbprints(provider: dict, params: dict) -> None:
        provider["ThumbprintList"] = [values[0] for name, values in sorted(params.items())
                                      if name.startswith("ThumbprintList.member.")]

    def tag(provider: dict, params: dict) -> None:
        new = iam._extract_tags(params)
        names = {each["Key"].lower() for each in new}
        provider["Tags"] = [each for each in provider["Tags"] if each["Key"].lower() not in names] + new

    def untag(provider: dict, params: dict) -> None:
        names = {key.lower() for key in iam._extract_tag_keys(params)}
        provider["Tags"] = [each for each in provider["Tags"] if each["Key"].lower() not in names]

    def attach_existing(params: dict) -> Any:
        arn = iam._p(params, "PolicyArn")
        if not iam._policy_exists(arn):
            return iam._error(404, "NoSuchEntity", f"Policy {arn} does not exist or is not attachable.")
        return attach(params)

    def delete_single_version(params: dict) -> Any:
        policy = iam._policies.get(iam._p(params, "PolicyArn"))
        if policy and len(policy["Versions"]) > 1:
            return iam._error(409, "DeleteConflict", "This policy has more than one version.")
        return delete_policy(params)

    iam._IAM_HANDLERS.update({
        "AttachRolePolicy": attach_existing,
        "DeletePolicy": delete_single_version,
        "CreateOpenIDConnectProvider": create_provider,
        "GetOpenIDConnectProvider": get_provider,
        **{name: of_provider(name, change) for name, change in {
            "AddClientIDToOpenIDConnectProvider": add_client_id,
            "RemoveClientIDFromOpenIDConnectProvider": remove_client_id,
            "UpdateOpenIDConnectProviderThumbprint": thumbprints,
            "TagOpenIDConnectProvider": tag,
            "UntagOpenIDConnectProvider": untag,
        }.items()},
    })

    # What node roles carry besides, in our own words: what they allow does not matter here, only that it is not the CNI's.
    pull = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Resource": "*",
        "Action": ["ecr:BatchGetImage", "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer"]}]})
    for name in ("AmazonEC2ContainerRegistryReadOnly", "AmazonEC2ContainerRegistryPullOnly"):
        iam._aws_managed_policies.setdefault(f"arn:aws:iam::aws:policy/{name}", iam._make_aws_managed_record(name, pull))

    # SimulatePrincipalPolicy takes the path for a part of the role's name.
    of_role = iam_evaluator._gather_role_policies
    iam_evaluator._gather_role_policies = lambda name, account: of_role(name.rsplit("/", 1)[-1], account)

    # Conditions on aws:ResourceTag know the tags of users and roles only.
    collect = tagging._RESOURCE_TAG_COLLECTORS["iam"]

    def collect_more() -> Any:
        yield from collect()
        for store in (iam._oidc_providers, iam._policies):
            for entity in store.values():
                yield entity["Arn"], tagging._normalise_list(entity.get("Tags"))

    tagging._RESOURCE_TAG_COLLECTORS["iam"] = collect_more


def complete_authorization() -> None:
    """A request is checked against the resource and the condition keys that AWS documents for its action. ministack knows no
    paths of roles, and neither providers nor instance profiles: a policy that names them would allow nothing."""
    from ministack.core import iam_actions
    from ministack.services import eks, iam

    resource_of, tags_of = iam_actions.extract_resource_arn, iam_actions.request_tag_context

    def iam_resource(params: dict, account: str) -> str:
        def param(name: str) -> str:
            return iam_actions._query_param(params, name)

        if arn := param("OpenIDConnectProviderArn") or param("PolicySourceArn"):
            return arn
        prefix = f"arn:aws:iam::{account}"
        path = param("Path") or "/"
        if name := param("RoleName"):
            role = iam._roles.get(name)
            return role["Arn"] if role else f"{prefix}:role{path}{name}"
        if name := param("InstanceProfileName"):
            profile = iam._instance_profiles.get(name)
            return profile["Arn"] if profile else f"{prefix}:instance-profile{path}{name}"
        if param("Action") == "CreateOpenIDConnectProvider":
            return f"{prefix}:oidc-provider/{param('Url').removeprefix('https://')}"
        if param("Action") == "CreatePolicy":
            return f"{prefix}:policy{path}{param('PolicyName')}"
        return ""

    def eks_resource(path: str) -> str:
        parts = path.strip("/").split("/")
        if len(parts) < 4 or parts[0] != "clusters":
            return ""
        cluster, kind, name = parts[1:4]
        if kind == "node-groups":
            return eks._nodegroup_arn(cluster, name)
        if kind == "addons":
            return eks._addon_arn(cluster, name)
        if kind == "access-entries":
            return eks._access_entry_arn(cluster, "/".join(parts[3:]))
        if kind == "pod-identity-associations":
            return eks._pod_identity_association_arn(cluster, name)
        return ""

    def resource(service: str, method: str, path: str, headers: dict, body: bytes, params: dict, region: str,
                 account: str) -> str:
        arn = ""
        if service == "iam":
            arn = iam_resource(params, account)
        elif service == "eks":
            arn = eks_resource(unquote(path))
        return arn or resource_of(service, method, path, headers, body, params, region, account)

    def context(service: str, action: str, body: bytes, params: dict) -> dict:
        keys = tags_of(service, action, body, params)
        if service == "iam":
            if action in ("iam:AttachRolePolicy", "iam:DetachRolePolicy"):
                keys["iam:PolicyARN"] = iam_actions._query_param(params, "PolicyArn")
            role = iam._roles.get(iam_actions._query_param(params, "RoleName")) or {}
            if boundary := iam_actions._query_param(params, "PermissionsBoundary") or role.get("PermissionsBoundary"):
                keys["iam:PermissionsBoundary"] = boundary
        return keys

    iam_actions.extract_resource_arn = resource
    iam_actions.request_tag_context = context


if __name__ == "__main__":
    main()
