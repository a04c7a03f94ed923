/*
 * proof.h - the AWS half of PROVE_ROLE (G3): a token of the ServiceAccount becomes credentials of the role, and EC2 is asked with them.
 *
 * Model: AssumeRoleWithWebIdentity (unsigned), then DescribeInstances and DescribeNetworkInterfaces with DryRun=true: both are in the IPv4 and in the IPv6
 * policy, and DryRun has no effect. DryRunOperation means allowed, UnauthorizedOperation or AccessDenied denied, anything else unknown.
 * Value: {"assumed":true,"ec2":{"DescribeInstances":"allowed","DescribeNetworkInterfaces":"allowed"}}. A refused exchange is the result's error.
 * The credentials live as long as the call (S10).
 */
#ifndef CNI_IAM_AWS_PROOF_H
#define CNI_IAM_AWS_PROOF_H

#include "platform/aws/aws_client.h"
#include "platform/base/secret.h"

/* Arguments of the effect: RoleArn, Region. The ticket can be cancelled through the client's effector. */
uint64_t aws_prove_role(struct aws_client *c, const struct effect *e, const struct secret *web_identity_token, effect_done_fn done, void *arg);

#endif
