"""Requests to an account and what AWS answers to them: one script, for the simulated account and for the emulators of others.

A step is its name, the operation, its parameters, the code that AWS answers with ("" is success), and a JMESPath expression of
the part of the answer that has to be the same everywhere; lists in it are compared without their order. In parameters {issuer},
{provider}, {token…} and {instance} are put in. Steps follow each other: each may build on those before.
"""

from typing import Any, NamedTuple

CNI = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
WORKER = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
ROLES = "arn:aws:iam::111122223333:role"
USER = "arn:aws:iam::111122223333:user/cf-user"
VIEW = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
OWN = "arn:aws:iam::111122223333:policy/own/cf-policy"


class Step(NamedTuple):
    name: str
    operation: str
    params: dict[str, Any]
    code: str = ""
    same: str = ""


def document(*statements: dict) -> dict:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Any, resource: Any = "*", effect: str = "Allow") -> dict:
    return document({"Effect": effect, "Action": action, "Resource": resource})


NODES = document({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
PODS = document({
    "Effect": "Allow", "Principal": {"Federated": "{provider}"}, "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {"StringEquals": {"{host}:aud": "sts.amazonaws.com", "{host}:sub": "system:serviceaccount:kube-system:aws-node"}}})
LONG = document({"Sid": "a" * 2048, "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
ROLE = "Role.[Path, RoleName, Arn, AssumeRolePolicyDocument, Description, MaxSessionDuration, Tags, PermissionsBoundary]"
NOBODY = {"RoleName": "cf-nobody"}
CF = {"RoleName": "cf-role"}


def odd(n: int) -> dict:
    return {"RoleName": f"cf-odd-{n}"}


STEPS = [
    # --- roles
    Step("create a role", "iam.CreateRole", {**CF, "Path": "/own/", "AssumeRolePolicyDocument": NODES, "Description": "some words",
                                             "Tags": [{"Key": "k", "Value": "a b+=@/-"}]}, "", "Role.[Path, RoleName, Arn, Tags]"),
    Step("create it again", "iam.CreateRole", {**CF, "AssumeRolePolicyDocument": NODES}, "EntityAlreadyExists"),
    Step("create it in capitals", "iam.CreateRole", {"RoleName": "CF-ROLE", "AssumeRolePolicyDocument": NODES}, "EntityAlreadyExists"),
    Step("get it", "iam.GetRole", CF, "", ROLE),
    Step("get a role that is not", "iam.GetRole", NOBODY, "NoSuchEntity"),
    Step("a name with a space", "iam.CreateRole", {"RoleName": "a b", "AssumeRolePolicyDocument": NODES}, "ValidationError"),
    Step("a name of 65", "iam.CreateRole", {"RoleName": "a" * 65, "AssumeRolePolicyDocument": NODES}, "ValidationError"),
    Step("a path without its end", "iam.CreateRole", {**odd(1), "Path": "/x", "AssumeRolePolicyDocument": NODES}, "ValidationError"),
    Step("no trust policy", "iam.CreateRole", odd(2), "ValidationError"),
    Step("a trust policy that is no JSON", "iam.CreateRole", {**odd(3), "AssumeRolePolicyDocument": "{"}, "MalformedPolicyDocument"),
    Step("a trust policy of nothing", "iam.CreateRole", {**odd(4), "AssumeRolePolicyDocument": document()}, "MalformedPolicyDocument"),
    Step("a trust policy with a resource", "iam.CreateRole", {**odd(5), "AssumeRolePolicyDocument": allow("sts:AssumeRole")},
         "MalformedPolicyDocument"),
    Step("a trust policy that is too long", "iam.CreateRole", {**odd(6), "AssumeRolePolicyDocument": LONG}, "LimitExceeded"),
    Step("a tag with an ampersand", "iam.CreateRole", {**odd(7), "AssumeRolePolicyDocument": NODES,
                                                       "Tags": [{"Key": "k", "Value": "a&b"}]}, "ValidationError"),
    Step("a tag of AWS", "iam.CreateRole", {**odd(8), "AssumeRolePolicyDocument": NODES, "Tags": [{"Key": "aws:k", "Value": "v"}]},
         "InvalidInput"),
    Step("a description with signs", "iam.CreateRole", {**odd(9), "Path": "/signs/", "AssumeRolePolicyDocument": NODES,
                                                        "Description": "a & <b>"}, "", "Role.RoleName"),
    Step("get those signs", "iam.GetRole", odd(9), "", "Role.Description"),
    Step("51 tags", "iam.TagRole", {**odd(9), "Tags": [{"Key": f"n{n}", "Value": "v"} for n in range(51)]}, "ValidationError"),
    Step("30 tags", "iam.TagRole", {**odd(9), "Tags": [{"Key": f"n{n}", "Value": "v"} for n in range(30)]}),
    Step("and 30 more", "iam.TagRole", {**odd(9), "Tags": [{"Key": f"m{n}", "Value": "v"} for n in range(30)]}, "LimitExceeded"),
    Step("and away with it", "iam.DeleteRole", odd(9)),
    Step("roles under a path", "iam.ListRoles", {"PathPrefix": "/own/"}, "", "Roles[].RoleName"),
    Step("roles one by one", "iam.ListRoles", {"PathPrefix": "/own/", "MaxItems": 1}, "", "[IsTruncated, Roles[].RoleName]"),
    Step("a session of 13 hours", "iam.UpdateRole", {**CF, "MaxSessionDuration": 46800}, "ValidationError"),
    Step("update it", "iam.UpdateRole", {**CF, "Description": "new", "MaxSessionDuration": 7200}),
    Step("update a role that is not", "iam.UpdateRole", NOBODY, "NoSuchEntity"),
    Step("update its trust to nonsense", "iam.UpdateAssumeRolePolicy", {**CF, "PolicyDocument": "[]"}, "MalformedPolicyDocument"),
    Step("update its trust", "iam.UpdateAssumeRolePolicy", {**CF, "PolicyDocument": PODS}),
    Step("update the trust of a role that is not", "iam.UpdateAssumeRolePolicy", {**NOBODY, "PolicyDocument": NODES}, "NoSuchEntity"),
    Step("tag it", "iam.TagRole", {**CF, "Tags": [{"Key": "k", "Value": ""}, {"Key": "l", "Value": "é"}]}),
    Step("tag it twice", "iam.TagRole", {**CF, "Tags": [{"Key": "m", "Value": "1"}, {"Key": "M", "Value": "2"}]}, "InvalidInput"),
    Step("tag a role that is not", "iam.TagRole", {**NOBODY, "Tags": [{"Key": "k", "Value": "v"}]}, "NoSuchEntity"),
    Step("its tags", "iam.ListRoleTags", CF, "", "Tags"),
    Step("untag it", "iam.UntagRole", {**CF, "TagKeys": ["l", "never"]}),
    Step("get it after all that", "iam.GetRole", CF, "", ROLE),
    # --- policies
    Step("create a policy", "iam.CreatePolicy", {"PolicyName": "cf-policy", "Path": "/own/", "PolicyDocument": allow("ec2:Describe*")},
         "", "Policy.[PolicyName, Path, Arn, DefaultVersionId, AttachmentCount]"),
    Step("create that again", "iam.CreatePolicy", {"PolicyName": "cf-policy", "Path": "/own/", "PolicyDocument": allow("*")},
         "EntityAlreadyExists"),
    Step("a policy without a resource", "iam.CreatePolicy", {
        "PolicyName": "x", "PolicyDocument": document({"Effect": "Allow", "Action": "*"})}, "MalformedPolicyDocument"),
    Step("a policy with a principal", "iam.CreatePolicy", {"PolicyName": "x", "PolicyDocument": NODES}, "MalformedPolicyDocument"),
    Step("a policy that is too long", "iam.CreatePolicy", {"PolicyName": "x", "PolicyDocument": allow(["ec2:" + "a" * 6200])},
         "LimitExceeded"),
    Step("get the policy", "iam.GetPolicy", {"PolicyArn": OWN}, "", "Policy.[PolicyName, Path, Arn, DefaultVersionId, AttachmentCount]"),
    Step("get a policy that is not", "iam.GetPolicy", {"PolicyArn": f"{OWN}x"}, "NoSuchEntity"),
    Step("its second version", "iam.CreatePolicyVersion", {"PolicyArn": OWN, "PolicyDocument": allow("ec2:*"), "SetAsDefault": True},
         "", "PolicyVersion.[VersionId, IsDefaultVersion]"),
    Step("get that version", "iam.GetPolicyVersion", {"PolicyArn": OWN, "VersionId": "v2"}, "",
         "PolicyVersion.[VersionId, IsDefaultVersion, Document]"),
    Step("a version that is not", "iam.GetPolicyVersion", {"PolicyArn": OWN, "VersionId": "v9"}, "NoSuchEntity"),
    Step("its versions", "iam.ListPolicyVersions", {"PolicyArn": OWN}, "", "Versions[].[VersionId, IsDefaultVersion]"),
    Step("delete the default version", "iam.DeletePolicyVersion", {"PolicyArn": OWN, "VersionId": "v2"}, "DeleteConflict"),
    *[Step(f"version {n}", "iam.CreatePolicyVersion", {"PolicyArn": OWN, "PolicyDocument": allow("s3:*")}) for n in (3, 4, 5)],
    Step("a sixth version", "iam.CreatePolicyVersion", {"PolicyArn": OWN, "PolicyDocument": allow("s3:*")}, "LimitExceeded"),
    Step("change a policy of AWS", "iam.CreatePolicyVersion", {"PolicyArn": CNI, "PolicyDocument": allow("*")}, "AccessDenied"),
    Step("delete a policy that has versions", "iam.DeletePolicy", {"PolicyArn": OWN}, "DeleteConflict"),
    Step("the CNI's policy", "iam.GetPolicy", {"PolicyArn": CNI}, "", "Policy.[PolicyName, Arn, IsAttachable]"),
    # --- attachments
    Step("attach", "iam.AttachRolePolicy", {**CF, "PolicyArn": CNI}),
    Step("attach again", "iam.AttachRolePolicy", {**CF, "PolicyArn": CNI}),
    Step("attach our own", "iam.AttachRolePolicy", {**CF, "PolicyArn": OWN}),
    Step("attach what is not", "iam.AttachRolePolicy", {**CF, "PolicyArn": f"{OWN}x"}, "NoSuchEntity"),
    Step("attach to what is not", "iam.AttachRolePolicy", {**NOBODY, "PolicyArn": CNI}, "NoSuchEntity"),
    Step("attach no ARN", "iam.AttachRolePolicy", {**CF, "PolicyArn": "no-arn-but-some-text"}, "InvalidInput"),
    Step("what is attached", "iam.ListAttachedRolePolicies", CF, "", "AttachedPolicies[].[PolicyName, PolicyArn]"),
    Step("what is attached to what is not", "iam.ListAttachedRolePolicies", NOBODY, "NoSuchEntity"),
    Step("who has our policy", "iam.ListEntitiesForPolicy", {"PolicyArn": OWN, "EntityFilter": "Role"}, "", "PolicyRoles[].RoleName"),
    Step("who has what is not", "iam.ListEntitiesForPolicy", {"PolicyArn": f"{OWN}x"}, "NoSuchEntity"),
    Step("how often it is attached", "iam.GetPolicy", {"PolicyArn": OWN}, "", "Policy.AttachmentCount"),
    Step("delete a policy that is attached", "iam.DeletePolicy", {"PolicyArn": OWN}, "DeleteConflict"),
    Step("delete a role that has policies", "iam.DeleteRole", CF, "DeleteConflict"),
    Step("detach", "iam.DetachRolePolicy", {**CF, "PolicyArn": CNI}),
    Step("detach again", "iam.DetachRolePolicy", {**CF, "PolicyArn": CNI}, "NoSuchEntity"),
    Step("detach our own", "iam.DetachRolePolicy", {**CF, "PolicyArn": OWN}),
    Step("detach from what is not", "iam.DetachRolePolicy", {**NOBODY, "PolicyArn": CNI}, "NoSuchEntity"),
    # --- boundaries and inline policies
    Step("a boundary", "iam.PutRolePermissionsBoundary", {**CF, "PermissionsBoundary": OWN}),
    Step("the role with it", "iam.GetRole", CF, "", "Role.PermissionsBoundary"),
    Step("delete a policy that is a boundary", "iam.DeletePolicy", {"PolicyArn": OWN}, "DeleteConflict"),
    Step("a boundary that is not", "iam.PutRolePermissionsBoundary", {**CF, "PermissionsBoundary": f"{OWN}x"}, "NoSuchEntity"),
    Step("no boundary any more", "iam.DeleteRolePermissionsBoundary", CF),
    Step("an inline policy", "iam.PutRolePolicy", {**CF, "PolicyName": "in+line", "PolicyDocument": allow("s3:*", "arn:aws:s3:::a+b/*")}),
    Step("get the inline policy", "iam.GetRolePolicy", {**CF, "PolicyName": "in+line"}, "", "[RoleName, PolicyName, PolicyDocument]"),
    Step("an inline policy that is not", "iam.GetRolePolicy", {**CF, "PolicyName": "no"}, "NoSuchEntity"),
    Step("an inline policy of nothing", "iam.PutRolePolicy", {**CF, "PolicyName": "x", "PolicyDocument": document()},
         "MalformedPolicyDocument"),
    Step("its inline policies", "iam.ListRolePolicies", CF, "", "PolicyNames"),
    Step("delete a role that has one", "iam.DeleteRole", CF, "DeleteConflict"),
    Step("delete the inline policy", "iam.DeleteRolePolicy", {**CF, "PolicyName": "in+line"}),
    Step("delete it again", "iam.DeleteRolePolicy", {**CF, "PolicyName": "in+line"}, "NoSuchEntity"),
    # --- instance profiles
    Step("create a profile", "iam.CreateInstanceProfile", {"InstanceProfileName": "cf-profile"}, "",
         "InstanceProfile.[InstanceProfileName, Arn, Roles]"),
    Step("create the profile again", "iam.CreateInstanceProfile", {"InstanceProfileName": "cf-profile"}, "EntityAlreadyExists"),
    Step("a role into it", "iam.AddRoleToInstanceProfile", {**CF, "InstanceProfileName": "cf-profile"}),
    Step("a second role into it", "iam.AddRoleToInstanceProfile", {"RoleName": "eks-node", "InstanceProfileName": "cf-profile"},
         "LimitExceeded"),
    Step("get the profile", "iam.GetInstanceProfile", {"InstanceProfileName": "cf-profile"}, "", "InstanceProfile.Roles[].RoleName"),
    Step("a profile that is not", "iam.GetInstanceProfile", {"InstanceProfileName": "none"}, "NoSuchEntity"),
    Step("profiles of the role", "iam.ListInstanceProfilesForRole", CF, "", "InstanceProfiles[].InstanceProfileName"),
    Step("profiles of what is not", "iam.ListInstanceProfilesForRole", NOBODY, "NoSuchEntity"),
    Step("delete a role in a profile", "iam.DeleteRole", CF, "DeleteConflict"),
    Step("delete a profile with a role", "iam.DeleteInstanceProfile", {"InstanceProfileName": "cf-profile"}, "DeleteConflict"),
    Step("the role out of it", "iam.RemoveRoleFromInstanceProfile", {**CF, "InstanceProfileName": "cf-profile"}),
    Step("and again", "iam.RemoveRoleFromInstanceProfile", {**CF, "InstanceProfileName": "cf-profile"}, "NoSuchEntity"),
    Step("delete the profile", "iam.DeleteInstanceProfile", {"InstanceProfileName": "cf-profile"}),
    # --- providers
    Step("create a provider", "iam.CreateOpenIDConnectProvider", {"Url": "{issuer}", "ClientIDList": ["sts.amazonaws.com"]}, "",
         "OpenIDConnectProviderArn"),
    Step("create the provider again", "iam.CreateOpenIDConnectProvider", {"Url": "{issuer}"}, "EntityAlreadyExists"),
    Step("all providers", "iam.ListOpenIDConnectProviders", {}, "", "OpenIDConnectProviderList[].Arn"),
    Step("a provider without TLS", "iam.CreateOpenIDConnectProvider", {"Url": "http://a.example"}, "ValidationError"),
    Step("a client more", "iam.AddClientIDToOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}", "ClientID": "more"}),
    Step("the same client", "iam.AddClientIDToOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}", "ClientID": "more"}),
    Step("get the provider", "iam.GetOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}"}, "", "[Url, ClientIDList]"),
    Step("a client less", "iam.RemoveClientIDFromOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}", "ClientID": "more"}),
    Step("tag the provider", "iam.TagOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}",
                                                             "Tags": [{"Key": "k", "Value": "v"}]}),
    Step("get it with its tag", "iam.GetOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}"}, "", "[Url, ClientIDList, Tags]"),
    Step("a provider that is not", "iam.GetOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}0"}, "NoSuchEntity"),
    Step("a client of what is not", "iam.AddClientIDToOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}0", "ClientID": "x"},
         "NoSuchEntity"),
    # --- taking roles
    Step("who", "sts.GetCallerIdentity", {}, "", "Account"),
    Step("a pod takes the role", "sts.AssumeRoleWithWebIdentity", {"RoleArn": f"{ROLES}/own/cf-role", "RoleSessionName": "cf",
                                                                  "WebIdentityToken": "{token}"},
         "", "[AssumedRoleUser.Arn, SubjectFromWebIdentityToken, Audience]"),
    Step("for too short a time", "sts.AssumeRoleWithWebIdentity", {
        "RoleArn": f"{ROLES}/own/cf-role", "RoleSessionName": "cf", "WebIdentityToken": "{token}", "DurationSeconds": 60}, "ValidationError"),
    Step("for longer than the role says", "sts.AssumeRoleWithWebIdentity", {
        "RoleArn": f"{ROLES}/own/cf-role", "RoleSessionName": "cf", "WebIdentityToken": "{token}", "DurationSeconds": 7201},
        "ValidationError"),
    Step("in a session without a name", "sts.AssumeRoleWithWebIdentity", {
        "RoleArn": f"{ROLES}/own/cf-role", "RoleSessionName": "", "WebIdentityToken": "{token}"}, "ValidationError"),
    Step("another pod", "sts.AssumeRoleWithWebIdentity", {"RoleArn": f"{ROLES}/own/cf-role", "RoleSessionName": "cf",
                                                         "WebIdentityToken": "{token_of_default}"}, "AccessDenied"),
    Step("another audience", "sts.AssumeRoleWithWebIdentity", {"RoleArn": f"{ROLES}/own/cf-role", "RoleSessionName": "cf",
                                                              "WebIdentityToken": "{token_for_others}"}, "InvalidIdentityToken"),
    Step("another role", "sts.AssumeRoleWithWebIdentity", {"RoleArn": f"{ROLES}/eks-node", "RoleSessionName": "cf",
                                                          "WebIdentityToken": "{token}"}, "AccessDenied"),
    Step("a role that is not", "sts.AssumeRoleWithWebIdentity", {"RoleArn": f"{ROLES}/cf-nobody", "RoleSessionName": "cf",
                                                                "WebIdentityToken": "{token}"}, "AccessDenied"),
    Step("no token", "sts.AssumeRoleWithWebIdentity", {"RoleArn": f"{ROLES}/own/cf-role", "RoleSessionName": "cf",
                                                      "WebIdentityToken": "nonsense"}, "InvalidIdentityToken"),
    Step("delete the provider", "iam.DeleteOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}"}),
    Step("delete the provider again", "iam.DeleteOpenIDConnectProvider", {"OpenIDConnectProviderArn": "{provider}"}),
    Step("a pod without the provider", "sts.AssumeRoleWithWebIdentity", {
        "RoleArn": f"{ROLES}/own/cf-role", "RoleSessionName": "cf", "WebIdentityToken": "{token}"}, "InvalidIdentityToken"),
    # --- simulation
    Step("what a node may", "iam.SimulatePrincipalPolicy", {"PolicySourceArn": f"{ROLES}/eks-node",
                                                           "ActionNames": ["ec2:AssignPrivateIpAddresses", "iam:CreateUser"]},
         "", "EvaluationResults[].[EvalActionName, EvalDecision]"),
    Step("what nobody may", "iam.SimulatePrincipalPolicy", {"PolicySourceArn": f"{ROLES}/cf-nobody", "ActionNames": ["ec2:RunInstances"]},
         "NoSuchEntity"),
    # --- the end of what was made
    Step("delete the role", "iam.DeleteRole", CF),
    Step("delete the role again", "iam.DeleteRole", CF, "NoSuchEntity"),
    *[Step(f"delete version {n}", "iam.DeletePolicyVersion", {"PolicyArn": OWN, "VersionId": f"v{n}"}) for n in (1, 3, 4, 5)],
    Step("delete a version again", "iam.DeletePolicyVersion", {"PolicyArn": OWN, "VersionId": "v1"}, "NoSuchEntity"),
    Step("delete the policy", "iam.DeletePolicy", {"PolicyArn": OWN}),
    Step("delete the policy again", "iam.DeletePolicy", {"PolicyArn": OWN}, "NoSuchEntity"),
    # --- EKS
    Step("the cluster", "eks.DescribeCluster", {"name": "prod"}, "",
         "cluster.[name, arn, status, identity, kubernetesNetworkConfig.ipFamily, accessConfig.authenticationMode]"),
    Step("a cluster that is not", "eks.DescribeCluster", {"name": "none"}, "ResourceNotFoundException"),
    Step("node groups of what is not", "eks.ListNodegroups", {"clusterName": "none"}, "ResourceNotFoundException"),
    Step("a node group that is not", "eks.DescribeNodegroup", {"clusterName": "prod", "nodegroupName": "none"}, "ResourceNotFoundException"),
    Step("an add-on that is not", "eks.DescribeAddon", {"clusterName": "prod", "addonName": "vpc-cni"}, "ResourceNotFoundException"),
    Step("associations", "eks.ListPodIdentityAssociations", {"clusterName": "prod"}, "", "associations"),
    Step("associations of what is not", "eks.ListPodIdentityAssociations", {"clusterName": "none"}, "ResourceNotFoundException"),
    Step("an association", "eks.CreatePodIdentityAssociation", {"clusterName": "prod", "namespace": "kube-system",
                                                               "serviceAccount": "aws-node", "roleArn": f"{ROLES}/eks-node"}, "",
         "association.[namespace, serviceAccount, roleArn, clusterName]"),
    Step("the same association", "eks.CreatePodIdentityAssociation", {"clusterName": "prod", "namespace": "kube-system",
                                                                     "serviceAccount": "aws-node", "roleArn": f"{ROLES}/eks-node"},
         "ResourceInUseException"),
    Step("associations of aws-node", "eks.ListPodIdentityAssociations", {"clusterName": "prod", "namespace": "kube-system",
                                                                        "serviceAccount": "aws-node"},
         "", "associations[].[namespace, serviceAccount, clusterName]"),
    Step("associations of another", "eks.ListPodIdentityAssociations", {"clusterName": "prod", "namespace": "default"}, "", "associations"),
    Step("an add-on", "eks.CreateAddon", {"clusterName": "prod", "addonName": "vpc-cni"}, "", "addon.[addonName, clusterName]"),
    Step("the same add-on", "eks.CreateAddon", {"clusterName": "prod", "addonName": "vpc-cni"}, "ResourceInUseException"),
    Step("the add-on", "eks.DescribeAddon", {"clusterName": "prod", "addonName": "vpc-cni"}, "", "addon.[addonName, status]"),
    Step("update what is not", "eks.UpdateAddon", {"clusterName": "prod", "addonName": "none"}, "ResourceNotFoundException"),
    Step("update the add-on", "eks.UpdateAddon", {"clusterName": "prod", "addonName": "vpc-cni", "serviceAccountRoleArn": f"{ROLES}/eks-node"}, "",
         "update.[status, type]"),
    Step("update the add-on at the same time", "eks.UpdateAddon", {"clusterName": "prod", "addonName": "vpc-cni"}, "ResourceInUseException"),
    Step("the updated add-on", "eks.DescribeAddon", {"clusterName": "prod", "addonName": "vpc-cni"}, "",
         "addon.[addonName, status, serviceAccountRoleArn]"),
    Step("an update that is not", "eks.DescribeUpdate", {"name": "prod", "updateId": "none", "addonName": "vpc-cni"},
         "ResourceNotFoundException"),
    Step("delete the add-on", "eks.DeleteAddon", {"clusterName": "prod", "addonName": "vpc-cni"}, "", "addon.addonName"),
    Step("delete the add-on again", "eks.DeleteAddon", {"clusterName": "prod", "addonName": "vpc-cni"}, "ResourceNotFoundException"),
    Step("change an association that is not", "eks.UpdatePodIdentityAssociation", {
        "clusterName": "prod", "associationId": "a-none", "roleArn": f"{ROLES}/eks-node"}, "ResourceNotFoundException"),
    Step("an entry", "eks.CreateAccessEntry", {"clusterName": "prod", "principalArn": USER, "kubernetesGroups": ["admins"]}, "",
         "accessEntry.[principalArn, kubernetesGroups, username, type]"),
    Step("the same entry", "eks.CreateAccessEntry", {"clusterName": "prod", "principalArn": USER}, "ResourceInUseException"),
    Step("an entry of a system's group", "eks.CreateAccessEntry", {
        "clusterName": "prod", "principalArn": f"{USER}2", "kubernetesGroups": ["system:masters"]}, "InvalidParameterException"),
    Step("an entry of a role that is not", "eks.CreateAccessEntry", {"clusterName": "prod", "principalArn": f"{ROLES}/cf-nobody"},
         "InvalidParameterException"),
    Step("a policy for it", "eks.AssociateAccessPolicy", {
        "clusterName": "prod", "principalArn": USER, "policyArn": VIEW, "accessScope": {"type": "namespace", "namespaces": ["default"]}}, "",
         "[principalArn, associatedAccessPolicy.[policyArn, accessScope]]"),
    Step("a policy that is not", "eks.AssociateAccessPolicy", {
        "clusterName": "prod", "principalArn": USER, "policyArn": CNI, "accessScope": {"type": "cluster"}}, "InvalidParameterException"),
    Step("its policies", "eks.ListAssociatedAccessPolicies", {"clusterName": "prod", "principalArn": USER}, "",
         "associatedAccessPolicies[].[policyArn, accessScope]"),
    Step("take the policy away", "eks.DisassociateAccessPolicy", {"clusterName": "prod", "principalArn": USER, "policyArn": VIEW}),
    Step("delete the entry", "eks.DeleteAccessEntry", {"clusterName": "prod", "principalArn": USER}),
    Step("the entry that was", "eks.DescribeAccessEntry", {"clusterName": "prod", "principalArn": USER}, "ResourceNotFoundException"),
    # --- EC2
    Step("run an instance", "ec2.RunInstances", {
        "ImageId": "{image}", "MinCount": 1, "MaxCount": 1, "IamInstanceProfile": {"Name": "eks-node"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "kubernetes.io/cluster/cf", "Value": "owned"}]}]},
        "", "Instances[].[IamInstanceProfile.Arn, State.Name]"),
    Step("on a profile that is not", "ec2.RunInstances", {"ImageId": "{image}", "MinCount": 1, "MaxCount": 1,
                                                         "IamInstanceProfile": {"Name": "none"}}, "InvalidParameterValue"),
    Step("the instance by its tag", "ec2.DescribeInstances", {"Filters": [{"Name": "tag-key", "Values": ["kubernetes.io/cluster/cf"]}]}, "",
         "Reservations[].Instances[].[IamInstanceProfile.Arn, State.Name]"),
    Step("a filter that is not", "ec2.DescribeInstances", {"Filters": [{"Name": "no-such", "Values": ["x"]}]}, "InvalidParameterValue"),
    Step("an instance that is not", "ec2.DescribeInstances", {"InstanceIds": ["i-00000000000000000"]}, "InvalidInstanceID.NotFound"),
    Step("an id that is none", "ec2.DescribeInstances", {"InstanceIds": ["x"]}, "InvalidInstanceID.Malformed"),
    Step("a dry run", "ec2.DescribeInstances", {"DryRun": True}, "DryRunOperation"),
    Step("an interface that is not", "ec2.AssignPrivateIpAddresses", {"NetworkInterfaceId": "eni-00000000000000000",
                                                                    "SecondaryPrivateIpAddressCount": 1},
         "InvalidNetworkInterfaceID.NotFound"),
    Step("terminate what is not", "ec2.TerminateInstances", {"InstanceIds": ["i-00000000000000000"]}, "InvalidInstanceID.NotFound"),
]
