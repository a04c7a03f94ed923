/*
 * aws_xml.h - answers of IAM, STS and EC2 as XML. Private to the simulated account's HTTP face.
 *
 * Model: a value of aws.h to the elements of its service: members are <member> (IAM, STS) or <item> (EC2); policy documents
 * of IAM are percent-encoded (aws.md 1.2). Control bytes that XML can not hold become '?'.
 * Ownership: appends to the caller's buffer.   Errors: buf's overflow.   Bounds: the buffer's maximum.
 */
#ifndef CNI_IAM_SIMULATOR_AWS_XML_H
#define CNI_IAM_SIMULATOR_AWS_XML_H

#include "platform/base/buf.h"
#include "platform/base/json.h"

/* value NULL: the operation has no output. */
void aws_xml_answer(struct buf *b, const char *service, const char *action, const json *value, const char *request_id);
void aws_xml_error(struct buf *b, const char *service, int status, const char *code, const char *message,
                   const char *request_id);

#endif
