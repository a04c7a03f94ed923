"""Where an emulator answers otherwise than the simulated account, and why the simulated one is right. Read by test_aws_conformance.py;
each step is one of aws_steps.py."""

DONE = ""  # carried out, where AWS refuses
TAKEN = "arn:aws:sts::111122223333:assumed-role/cf-role/cf"
BOUNDARY = ('{"PermissionsBoundaryArn": "arn:aws:iam::111122223333:policy/own/cf-policy", '
            '"PermissionsBoundaryType": "PermissionsBoundaryPolicy"}')
MOTO, MINISTACK = ("moto",), ("ministack",)
BOTH = MOTO + MINISTACK

_TABLE = (
    # why ours is right, whose answer it is, what they answer, at which steps
    ("names of roles are unique without regard to case", BOTH, DONE, ("create it in capitals",)),
    ("CreateRole has patterns and lengths for names and paths; they are checked by the service", BOTH, DONE,
     ("a name with a space", "a name of 65", "a path without its end")),
    ("AssumeRolePolicyDocument is required", BOTH, DONE, ("no trust policy",)),
    ("a trust policy has statements, a principal in each, and no resources", BOTH, DONE,
     ("a trust policy that is no JSON", "a trust policy of nothing", "a trust policy with a resource")),
    ("a trust policy that cannot be read is refused when it is changed, too", MINISTACK, DONE, ("update its trust to nonsense",)),
    ("a tag's value has a pattern, without ampersands", MOTO, DONE, ("a tag with an ampersand",)),
    ("it does not escape what it puts into XML", MINISTACK, "unreadable",
     ("a tag with an ampersand", "a description with signs", "get those signs")),
    ("keys that begin with aws: are reserved, at CreateRole as at TagRole", BOTH, DONE, ("a tag of AWS",)),
    ("50 tags are a request's maximum", MINISTACK, DONE, ("51 tags",)),
    ("50 tags are a role's maximum", BOTH, DONE, ("and 30 more",)),
    ("a session lasts 12 hours at most", BOTH, DONE, ("a session of 13 hours",)),
    ("a managed policy has 6144 characters at most", BOTH, DONE, ("a policy that is too long",)),
    ("policies of AWS are nobody's to change", MOTO, DONE, ("change a policy of AWS",)),
    ("what is no ARN at all is InvalidInput, 'ARN … is not valid'", BOTH, "NoSuchEntity", ("attach no ARN",)),
    ("there is no such policy, and NoSuchEntity is documented", MOTO, DONE, ("who has what is not",)),
    ("the account answers Policy, whatever the model's enumeration says", BOTH, BOUNDARY, ("the role with it",)),
    ("NoSuchEntity is documented for a boundary policy or a role that is not there", MOTO, DONE,
     ("a boundary that is not", "profiles of what is not")),
    ("it ends in an error of its own, where the role is not in the profile", MOTO, "InvalidAction", ("and again",)),
    ("a provider's URL begins with https", BOTH, DONE, ("a provider without TLS",)),
    ("deleting a provider that is not there is documented to succeed", MINISTACK, "NoSuchEntity", ("delete the provider again",)),
    ("the answer says subject and audience of the token", MOTO, f'["{TAKEN}", null, null]', ("a pod takes the role",)),
    ("the answer says the subject of the token", MINISTACK, f'["{TAKEN}", "sts.amazonaws.com", "test-subject"]',
     ("a pod takes the role",)),
    ("durations and session names have bounds, and the role a maximum", BOTH, DONE,
     ("for too short a time", "for longer than the role says", "in a session without a name")),
    ("a role is taken as its trust policy says, which it does not look at", MOTO, DONE,
     ("another pod", "another role", "a role that is not")),
    ("it has no simulation of policies: the test bed's proxy refuses it", MOTO, "AccessDenied", ("what a node may", "what nobody may")),
    ("a principal that is not there is NoSuchEntity", MINISTACK, DONE, ("what nobody may",)),
    ("it has no associations and add-ons: the test bed's proxy knows only those it was told of", MOTO, "InvalidRequestException",
     ("an association", "the same association", "an add-on", "the same add-on", "delete the add-on", "delete the add-on again",
      "update what is not", "update the add-on", "update the add-on at the same time", "an update that is not",
      "change an association that is not")),
    ("it has no access entries: the test bed's proxy knows only those it was told of", MOTO, "InvalidRequestException",
     ("an entry", "the same entry", "an entry of a system's group", "an entry of a role that is not", "a policy for it",
      "a policy that is not", "its policies", "take the policy away", "delete the entry")),
    ("the association could not be made there", MOTO, "null", ("associations of aws-node",)),
    ("the add-on could not be made there", MOTO, "ResourceNotFoundException",
     ("the add-on", "the updated add-on")),
    ("an update is InProgress when it was asked for", MINISTACK, '["AddonUpdate", "Successful"]', ("update the add-on",)),
    ("an add-on has one update at a time, ResourceInUseException is documented", MINISTACK, DONE, ("update the add-on at the same time",)),
    ("an add-on is UPDATING until its update has ended", MINISTACK,
     '["ACTIVE", "arn:aws:iam::111122223333:role/eks-node", "vpc-cni"]', ("the updated add-on",)),
    ("it does not have the operation for add-ons", MINISTACK, "InvalidRequestException", ("an update that is not",)),
    ("a user's name in the cluster is the user's ARN, unless the entry says another", MINISTACK,
     '["", "STANDARD", "arn:aws:iam::111122223333:user/cf-user", ["admins"]]', ("an entry",)),
    ("groups that begin with system: are refused", MINISTACK, DONE, ("an entry of a system's group",)),
    ("the principal has to be there", MINISTACK, DONE, ("an entry of a role that is not",)),
    ("IAM's policies are none of EKS' access policies", MINISTACK, DONE, ("a policy that is not",)),
    ("it took the policy that is none", MINISTACK,
     '[["arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", {"namespaces": ["default"], "type": "namespace"}], '
     '["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy", {"namespaces": null, "type": "cluster"}]]', ("its policies",)),
    ("an instance is pending when it was asked for, and runs when it is read", MINISTACK,
     '[["arn:aws:iam::111122223333:instance-profile/eks-node", "running"]]', ("run an instance",)),
    ("EC2 answers InvalidParameterValue to the profile that is not there, not IAM's code", MOTO, "NoSuchEntity",
     ("on a profile that is not",)),
    ("an instance does not start on a profile that is not there", MINISTACK, DONE, ("on a profile that is not",)),
    ("filters that are not known are InvalidParameterValue", MOTO, "InvalidAction", ("a filter that is not",)),
    ("an id has a form: i- and hex digits", MOTO, "InvalidInstanceID.NotFound", ("an id that is none",)),
    ("it does not have the operation", MINISTACK, "InvalidAction", ("an interface that is not",)),
)
DIFFERENT = {(kind, step): (answer, why) for why, kinds, answer, steps in _TABLE for kind in kinds for step in steps}

# Scripts of test_aws_wire.py that the simulated account has no part in.
NEEDS_AN_EMULATOR = {
    "test_faults_on_the_way": "the proxy before the emulators loses answers; the bench has faults of its own",
    "test_wrong_keys": "signatures are read for who signed, and not verified: a world on loopback has no secrets",
}
