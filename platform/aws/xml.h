/*
 * xml.h - answers of IAM, STS and EC2: XML to the JSON shape of effect.h.
 *
 * Model: an element without children is its text; one whose children are <member> or <item> is an array; any other is
 * an object. Policy documents (AssumeRolePolicyDocument, PolicyDocument, Document) are percent-decoded unless they
 * start with '{' (aws.md 1.2, 3.2). Text beside children, attributes and name-space prefixes are dropped; of two
 * children of the same name the later counts. An empty list can not be told from an empty text: it is "". Doctype and
 * entity declarations are refused. Ownership: the tree is the caller's.   Errors: ERR_PARSE, ERR_TOO_LARGE. Bounds:
 * XML_DEPTH_MAX, XML_NODES_MAX, XML_MEMBERS_MAX members an object (a list has no maximum of its own), XML_TEXT_MAX
 * bytes a text.
 */
#ifndef CNI_IAM_AWS_XML_H
#define CNI_IAM_AWS_XML_H

#include <stddef.h>

#include "platform/base/error.h"
#include "platform/base/json.h"

#define XML_DEPTH_MAX 64
#define XML_NODES_MAX 400000
#define XML_MEMBERS_MAX 256
#define XML_TEXT_MAX ((size_t)1024 * 1024)

/* The root's content; *root gets the root element's name (at most 127 bytes). NULL on error. */
json *xml_to_json(const char *text, size_t n, char root[128], struct error *err);

#endif
