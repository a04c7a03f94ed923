/*
 * binding_spec.h - decode of .spec.
 *
 * Ownership: strings in the arena.   Errors: NULL on success, else the first thing that is wrong, as a sentence; *out then holds defaults
 * and whatever was readable before and after it.
 */
#ifndef CNI_IAM_CRD_BINDING_SPEC_H
#define CNI_IAM_CRD_BINDING_SPEC_H

#include "crd/binding.h"

const char *cib_spec_decode(const json *spec, struct cib_spec *out, struct arena *a);

#endif
