/*
 * proof.h - the AWS half of PROVE_ROLE (G3): a token of the ServiceAccount becomes credentials of the role, and EC2 is
 * asked with them.
 *
 * Model: AssumeRoleWithWebIdentity (unsigned, 15 minutes), then DescribeInstances and DescribeNetworkInterfaces with
 * DryRun=true: both actions are in the IPv4 and in the IPv6 policy, and a dry run has no effect. DryRunOperation, or an
 * answer where the server knows no dry run, is "allowed"; UnauthorizedOperation and AccessDenied are "denied".
 * Value: {"assumed":true,"ec2":{"DescribeInstances":"allowed","DescribeNetworkInterfaces":"denied"}}.
 * Anything else proves nothing and is the result's error, after the retries of a read: a refused exchange, EC2 down or
 * throttling, a page of HTML. EC2 refusing the fresh credentials themselves is ERR_IDENTITY_TOKEN.
 *
 * Ownership: the token is copied; credentials live as long as the call, and go nowhere else (S10).
 * Errors: through the result.   Bounds: those of aws_client.h.
 */
#ifndef CNI_IAM_AWS_PROOF_H
#define CNI_IAM_AWS_PROOF_H

#include "platform/aws/aws_client.h"
#include "platform/base/secret.h"

/* Arguments of the effect: RoleArn, Region (absent: the settings'). The ticket can be cancelled through the client's
 * effector. */
uint64_t aws_prove_role(struct aws_client *c, const struct effect *e, const struct secret *web_identity_token,
                        effect_done_fn done, void *arg);

#endif
