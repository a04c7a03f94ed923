/*
 * pages.h - several pages of a list become one value.
 *
 * Model: arrays of a further page go behind those of the first, in every object that both have; an empty list, which in
 * XML is an empty text, gives way to an array. The marks of paging (IsTruncated, Marker, nextToken) are taken out, so
 * that a list in pages and the same list whole are equal.
 * Ownership: page is borrowed.   Errors: none.   Bounds: the caller's (AWS_PAGES_MAX).
 */
#ifndef CNI_IAM_AWS_PAGES_H
#define CNI_IAM_AWS_PAGES_H

#include "platform/base/json.h"

void pages_merge(json *into, const json *page);
void pages_drop_marks(json *value);

#endif
