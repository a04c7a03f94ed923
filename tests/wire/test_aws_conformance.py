"""The simulated account answers as AWS does: the script of aws_steps.py, by an SDK that is not ours, and beside it two emulators
that others wrote. Where one of them says something else, the difference stands in aws_differences.py with the reason why ours is
right: one that comes or goes has to be decided on there. Then the scripts of test_aws_wire.py, by the product's own client."""

import json
import re

import boto3
import jmespath
import pytest
import test_aws_wire as real
from aws_differences import DIFFERENT, NEEDS_AN_EMULATOR
from aws_steps import STEPS
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from simworld import ACCOUNT, CLUSTER, ISSUER, REGION, SimWorld
from testbed.awsproxy import ROOT, Credentials
from testbed.awsworld import KINDS, AwsWorld, document

ADMINISTRATOR = Credentials("AKIASIMULATED", "any")


class SimulatedAccount(AwsWorld):
    """AwsWorld's hands, on the simulated account: nothing in between."""

    def __init__(self, world: SimWorld):
        super().__init__("moto", cluster=CLUSTER, region=REGION, account=ACCOUNT)
        self.kind, self.world, self.dir, self.issuer = "simulated", world, world.folder, ISSUER
        self.endpoint = self.quiet_endpoint = world.endpoint
        self.operator = ADMINISTRATOR
        self._image_id = "ami-00000000"
        self.nodegroup = "eks-node"

    def client(self, service, credentials=ADMINISTRATOR, recorded=False):
        return super().client(service, credentials, recorded)

    def mint_token(self, namespace="kube-system", serviceaccount="aws-node", audiences=("sts.amazonaws.com",), **_):
        if serviceaccount == "default":
            self.world.run_kubectl("create", "serviceaccount", "-n", namespace, serviceaccount)
        return self.world.kubectl("create", "token", "-n", namespace, serviceaccount, *[f"--audience={a}" for a in audiences])

    def put_pod_identity_association(self, role_arn, namespace="kube-system", serviceaccount="aws-node", cluster=None):
        self.client("eks").create_pod_identity_association(
            clusterName=cluster or self.cluster, namespace=namespace, serviceAccount=serviceaccount, roleArn=role_arn)


class Script:
    """One run of the steps against one account; what it says is a code, or the part of the answer that has to be the same."""

    def __init__(self, account: AwsWorld):
        self.account = account
        who = ADMINISTRATOR if account.kind == "simulated" else ROOT
        session = boto3.session.Session(who.access_key, who.secret_key, region_name=REGION)
        # What AWS refuses the SDK shall not refuse before it.
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        self.clients = {service: session.client(service, endpoint_url=account.quiet_endpoint, config=config)
                        for service in ("iam", "sts", "eks", "ec2")}
        self.values = {
            "issuer": account.issuer, "host": account.issuer.removeprefix("https://"), "provider": account.provider_arn(),
            "image": account._image(), "token": account.mint_token(), "token_of_default": account.mint_token("default", "default"),
            "token_for_others": account.mint_token(audiences=("others",))}

    def filled(self, value, key=""):
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda found: self.values[found[1]], value)
        if isinstance(value, dict):
            whole = {self.filled(k): self.filled(v, k) for k, v in value.items()}
            return json.dumps(whole) if key.endswith("Document") else whole
        return [self.filled(v) for v in value] if isinstance(value, list) else value

    def canonical(self, value):
        if isinstance(value, str):
            said = document(value) if value[:1] in ("{", "%") else value
            return self.canonical(said) if isinstance(said, dict) else said.replace(self.values["host"], "HOST")
        if isinstance(value, dict):
            return {self.canonical(k): self.canonical(v) for k, v in value.items()}
        if isinstance(value, list):  # absent and empty are the same
            return sorted((self.canonical(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True)) or None
        return value

    def run(self, step) -> str:
        service, operation = step.operation.split(".")
        method = boto3.session.botocore.xform_name(operation)
        try:
            answer = getattr(self.clients[service], method)(**self.filled(step.params))
        except ClientError as refused:
            return refused.response["Error"]["Code"]
        except ResponseParserError:
            return "unreadable"
        return json.dumps(self.canonical(jmespath.search(step.same, answer)), sort_keys=True) if step.same else ""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    with SimWorld(tmp_path_factory.mktemp("steps")) as world:
        script = Script(SimulatedAccount(world))
        return {step.name: script.run(step) for step in STEPS}


def test_the_simulated_account_answers_as_aws_does(said):
    """Errors by their codes; of answers the emulators judge, below."""
    wrong = {step.name: (step.code, said[step.name]) for step in STEPS
             if (said[step.name] != step.code if step.code else re.fullmatch(r"[A-Z][A-Za-z.]+", said[step.name]))}
    assert not wrong


@pytest.mark.parametrize("kind", KINDS)
def test_an_emulator_answers_the_same(said, kind):
    with AwsWorld(kind) as account:
        script = Script(account)
        theirs = {step.name: script.run(step) for step in STEPS}
    different = {name: answer for name, answer in theirs.items() if answer != said[name]}
    listed = {name: answer for (of, name), (answer, _) in DIFFERENT.items() if of == kind}
    assert different == listed


def test_the_lists_name_steps_that_exist():
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
    assert {name for _, name in DIFFERENT} <= set(names)
    assert all(len(reason) > 20 for _, reason in DIFFERENT.values())
    assert NEEDS_AN_EMULATOR.keys() <= SCRIPTS


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with SimWorld(tmp_path_factory.mktemp("account")) as world:
        yield SimulatedAccount(world)


SCRIPTS = {name for name in dir(real) if name.startswith("test_")}
for script_name in SCRIPTS - NEEDS_AN_EMULATOR.keys():
    globals()[script_name] = getattr(real, script_name)
