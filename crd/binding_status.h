/*
 * binding_status.h - decode of .status, and the lengths that the schema allows in it.
 *
 * Model: the encoder cuts what is too long, because a status that the API server refuses would hide everything else it says.
 * Ownership: strings in the arena.   Errors: none: what is unreadable is absent, as status is never the only ground for an act.
 * Bounds: the CIB_TEXT_* lengths in bytes; cniiambindings.yaml has the same in characters.
 */
#ifndef CNI_IAM_CRD_BINDING_STATUS_H
#define CNI_IAM_CRD_BINDING_STATUS_H

#include "crd/binding.h"

#define CIB_TEXT_ID 1024   /* names, ARNs, reasons, digests, annotation values */
#define CIB_TEXT_LINE 1024 /* evidence, steps, findings */
#define CIB_TEXT_MESSAGE 4096

void cib_status_decode(const json *status, struct cib_status *out, struct arena *a);

#endif
