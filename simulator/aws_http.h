/*
 * aws_http.h - the account behind AWS' wire protocols: query with XML answers (IAM, STS, EC2) and rest-json (EKS).
 *
 * Model: one request in, one answer out; no sockets here. The service is that of the credential scope of Authorization
 * (SigV4), for unsigned STS calls that of the action. Signatures are parsed, not verified: the access key says who asks.
 *
 * Ownership: the answer's body is the caller's (free).   Errors: AWS' own error documents; garbage is a 400 in the
 * protocol's own shape, and changes nothing.   Bounds: SIM_AWS_BODY_MAX.
 */
#ifndef CNI_IAM_SIMULATOR_AWS_HTTP_H
#define CNI_IAM_SIMULATOR_AWS_HTTP_H

#include "simulator/aws.h"
#include "simulator/http_message.h"

#define SIM_AWS_BODY_MAX ((size_t)1024 * 1024)

void sim_aws_http(struct sim_aws *a, const struct sim_http_request *req, struct sim_http_answer *out);

#endif
