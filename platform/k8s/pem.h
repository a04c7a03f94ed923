/*
 * pem.h - is this text a PEM block of the kind that it should be? A question of form: OpenSSL answers the real one when
 * it connects.
 *
 * Model: finds "-----BEGIN X-----" ... "-----END X-----" with base64 in between, so that a half-written file, a swapped
 * pair or a base64 text that was never decoded is noticed before it replaces something that works (K-A5: keep the old
 * on parse failure).
 *
 * Ownership: borrows.
 *
 * Errors: ERR_PARSE, with `what` in front.
 */
#ifndef CNI_IAM_K8S_PEM_H
#define CNI_IAM_K8S_PEM_H

#include <stdbool.h>

#include "platform/base/error.h"

bool pem_has_certificate(const char *text, const char *what, struct error *err);
bool pem_has_private_key(const char *text, const char *what, struct error *err); /* any "... PRIVATE KEY" */

#endif
