/*
 * query.h - form bodies and query strings: what goes onto the wire of IAM, STS, EC2 and EKS.
 *
 * Model: names and values are percent-encoded (RFC 3986; a space is %20) straight into the buffer: no copy of a token
 * stays behind. An empty value is written as "Name=", which is how these services are given an empty list.
 * Ownership: the caller's buffer.   Errors: the buffer's overflow.   Source: aws.md 1.1, 2.2.
 */
#ifndef CNI_IAM_AWS_QUERY_H
#define CNI_IAM_AWS_QUERY_H

#include "platform/base/buf.h"

/* "name=value", with '&' before it unless the buffer is empty. */
void query_put(struct buf *b, const char *name, const char *value);
void query_put_encoded(struct buf *b, const char *text);

#endif
