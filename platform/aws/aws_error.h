/*
 * aws_error.h - what an AWS service said no with.
 *
 * Model: the envelopes of IAM and STS (<ErrorResponse>), EC2 (<Response><Errors>) and EKS (header x-amzn-errortype,
 * else code, else __type, with a JSON body in any case); the code decides, not the HTTP status. A code that the table
 * lacks is judged by its status: 403 forbidden, 429 throttled, 5xx unavailable, else invalid. LimitExceeded is a quota
 * (ERR_QUOTA), never throttling. A page that is no such envelope (an HTML 404 or 500 of a server that lacks the
 * operation) is ERR_UNSUPPORTED or, for 502, 503, 504, ERR_UNAVAILABLE: never a permission answer, never "not found".
 * A dry run's yes, DryRunOperation, is an error here as well: err->wire tells.
 *
 * Ownership: values.   Errors: it makes them.   Source: aws.md 1.2, 1.5, 2.3.
 */
#ifndef CNI_IAM_AWS_AWS_ERROR_H
#define CNI_IAM_AWS_AWS_ERROR_H

#include <stddef.h>

#include "platform/base/error.h"
#include "platform/port/effect.h"

/* status is not 2xx. error_type: the header's value or NULL. */
void aws_error_decode(enum effect_service service, int status, const char *body, size_t n, const char *error_type,
                      struct error *err);
enum err_code aws_error_code(const char *wire); /* ERR_NONE if the code is not in the table */

#endif
